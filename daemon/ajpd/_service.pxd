"""What exchanges share, and what they need of the connection their client is on."""

from libc.stdint cimport int64_t

from ajp._wheel cimport Timed, Wheel
from ajpd.http._request cimport RequestHead


cdef enum:
    # Body of an already answered request that is read for the sake of the connection, in bytes.
    DISCARD_LIMIT = 1048576


cdef class Target:
    """A worker as an exchange sees it: what goes into the packet, and how to get an endpoint."""

    cdef readonly object worker         # acquire(attempt), cancel(attempt)
    cdef readonly str name
    cdef bytes secret                   # None when there is none
    cdef Py_ssize_t max_packet_size
    cdef int retries                    # attempts of one request, the first included


cdef class Service:
    """What all connections of one process share."""

    cdef readonly Wheel wheel
    cdef readonly set clients           # every open client connection
    cdef public bint draining           # answer what is there, accept nothing more
    cdef public object on_drained       # called when the last client goes while draining; or None
    cdef readonly int64_t requests      # begun
    cdef readonly int64_t failures      # ended with a reason
    cdef object match                   # path bytes -> Mount or None
    cdef dict targets                   # worker name -> Target
    cdef RequestHead head               # scratch: parsed and encoded in one go
    cdef double header_timeout          # seconds, as all times here; 0: none
    cdef double keepalive_timeout
    cdef double body_timeout
    cdef double send_timeout
    cdef Py_ssize_t max_header_bytes
    cdef int64_t max_body_bytes         # 0: no limit
    cdef bytes _date_line
    cdef int64_t _date_second

    cdef bytes date_line(self)


cdef class ClientSide(Timed):
    """What an exchange needs of the connection its client is on; the front implements it."""

    cdef object transport
    cdef object write                   # transport.write, looked up once
    cdef bint write_paused
    cdef bytes remote_addr              # addresses as text
    cdef bytes remote_port
    cdef bytes local_addr
    cdef int local_port
    cdef bint is_tls

    # the response is complete and written; `reusable` as promised in its head
    cdef int exchange_done(self, bint reusable) except -1
    # the response cannot be completed any more; `cleanly` False: a close alone would look complete
    cdef int exchange_broken(self, bint cleanly) except -1
    # more request body is wanted, or none for now
    cdef int want_body(self, bint wanted) except -1
