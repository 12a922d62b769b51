"""Names of requests that go with them from machine to machine."""

from libc.stdint cimport uint64_t

from ajpd.http._request cimport RequestHead


cdef class Names:
    """What one request is called."""

    cdef readonly bytes request_id      # X-Request-Id; None when it is none of our business
    cdef readonly bytes traceparent     # likewise


cdef class Trace:
    """Whose names count, and new ones where nobody's do."""

    cdef readonly bint names_requests
    cdef readonly bint traces
    cdef int _ids                       # a Whose
    cdef int _parents
    cdef uint64_t _state[2]

    # The names of a request; its head is as the client sent it.
    cdef Names names_of(self, RequestHead head, bint trusted)
    # Take headers out of a head that are written anew.
    cdef int prepare(self, RequestHead head, Names names) except -1
    cdef bytes _digits(self, int count)
    cdef uint64_t _next(self) noexcept
