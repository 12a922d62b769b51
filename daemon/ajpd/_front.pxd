"""One client connection."""

from libc.stdint cimport int64_t

from ajpd._exchange cimport Exchange
from ajpd._service cimport ClientSide, Service


cdef class Front(ClientSide):
    """Compiled asyncio protocol of one client connection."""

    cdef Service service
    cdef Exchange exchange          # None between requests
    cdef bytes input                # received and not yet used; None when there is nothing
    cdef Py_ssize_t line            # where the first unfinished line of the head begins
    cdef bint read_paused
    cdef bint half_closed           # the client will send nothing more
    cdef bint lingering             # answered for the last time; what still comes is dropped
    cdef bint closing               # closed once everything written has left
    cdef bint running               # inside _run
    cdef int timer                  # what the deadline armed is for
    cdef double idle_since          # on the clock of draining, which stands still before
    cdef bint fresh                 # no request was begun on this connection yet
    cdef bint is_unix
    cdef object _header             # PROXY header that came before a TLS handshake
    cdef bint may_be_proxied        # no PROXY header was seen or ruled out yet
    cdef int probes                 # looks at a half-closed client during this exchange
    cdef int64_t taken              # of its answer at the last look
    cdef int64_t body_seen          # of the request body when its clock was set

    cdef int _run(self) except -1
    cdef Py_ssize_t _next_request(self, bytes data) except -1
    cdef Py_ssize_t _take_proxy_header(self, bytes data) except -2
    cdef bint _is_still_there(self) except -1
    cdef bint _was_reset(self) except -1
    cdef int _introduced(self, object header) except -1
    cdef int _after_body(self) except -1
    cdef int _refuse(self, int status, object reason, str problem) except -1
    cdef int _lose_exchange(self, object reason, str words) except -1
    cdef int _watch(self) except -1
    cdef int _pause(self, bint paused) except -1
    cdef int _close(self, bint client_is_sending) except -1
    cdef int _shut(self) except -1
    cdef int _reset(self) except -1
