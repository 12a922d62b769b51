"""One connection to a container, and the receiver of what comes back over it."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from ajp._column cimport Column
from ajp._line cimport Line
from ajp._packets cimport ResponseHead
from ajp._wheel cimport Timed


cdef class Attempt(Timed):
    """One try of one request on one endpoint; subclassed by the client and by the daemon.

    Methods are called by the endpoint, or by the worker while no endpoint is attached.
    """

    cdef readonly Endpoint endpoint     # None before on_endpoint and after on_end, on_failed
    cdef readonly bint container_closed  # END_RESPONSE said that the connection is at its end
    cdef readonly int64_t bytes_in      # of the present try, AJP framing included
    cdef readonly int64_t bytes_out
    cdef public double reply_timeout    # seconds instead of the endpoint's; -1: the endpoint's

    cpdef on_endpoint(self, Endpoint endpoint)
    cpdef on_headers(self, ResponseHead head)
    cpdef on_body(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    cpdef on_flush(self)
    cpdef on_get_body(self, Py_ssize_t allowance)
    cpdef on_end(self)
    cpdef on_failed(self, object reason, object progress, object error)
    cpdef on_read_done(self)
    cpdef bint may_leave(self, object progress) except -1
    cdef Endpoint _attached(self)


cdef class Endpoint(Line):
    """Compiled asyncio protocol of one connection to a container."""

    cdef readonly bint owed             # we owe the container a body packet
    cdef readonly int64_t left          # request body bytes not yet sent; -1 unknown
    cdef readonly Py_ssize_t requests   # started on this connection
    cdef readonly bint reused           # the current or last request was not the first on it
    cdef readonly double idle_since     # end of the last request, or connected; monotonic seconds
    cdef readonly double heard_at       # that, or a later CPONG
    cdef readonly Py_ssize_t max_packet_size
    cdef Column _column                 # where this process counts; None: nowhere
    cdef uint32_t _slot                 # of the container there
    cdef Attempt _attempt
    cdef bytes _partial                 # start of a packet that is not whole yet
    cdef bytes _packet                  # request that waits for a CPONG
    cdef Py_ssize_t _chunk_left         # bytes of the current SEND_BODY_CHUNK still to come
    cdef Py_ssize_t _skip               # 1 when its trailing NUL is still to come
    cdef int _ends_sent                 # end packets written for this body
    cdef bint _body_sent                # a body byte left for the container
    cdef double _default_reply_timeout  # seconds before each packet; 0 off
    cdef double _reply_timeout          # that of the current attempt, or the socket_timeout
    cdef bint _waits_for_bytes          # it is the socket_timeout
    cdef double _connect_ping           # seconds to wait for a CPONG on a new connection; 0 off
    cdef double _prepost_ping           # the same before a request on one that was idle; 0 off

    cdef int start(
        self, Attempt attempt, bytes packet, int64_t left, bint with_body
    ) except -1
    cdef int send_body(self, object packet, Py_ssize_t length) except -1
    cdef int end_body(self) except -1
    cdef int leave(self, bint hard) except -1
    cdef int _ping(self, double wait) except -1
    cdef int _await(self, double seconds) except -1
    cdef int _receive(self, bytes data) except -1
    cdef Py_ssize_t _take_packet(self, bytes data, const uint8_t* p, Py_ssize_t pos, Py_ssize_t end) except -3
    cdef int _switch(self, int kind, bytes data, const uint8_t* p, Py_ssize_t pos, Py_ssize_t length) except -1
    cdef int _asked(self, Py_ssize_t wanted) except -1
    cdef int _pong(self) except -1
    cdef int _out_of_order(self, int kind, str detail=*) except -1
    cdef int _broken(self, object error) except -1
    cdef int _fail(self, object reason, object error) except -1
    cdef int _ended(self, bint reuse, bint clean) except -1
    cdef int _expect_reply(self) except -1
    cdef object _progress(self)
