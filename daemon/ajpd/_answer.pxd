"""A container's response on its way to the client."""

from libc.stdint cimport int64_t

from ajp._packets cimport ResponseHead
from ajpd._service cimport ClientSide, Service
from ajpd.http._response cimport ResponsePlan


cdef class Answer:
    """One response: a container's head and body as HTTP."""

    cdef ClientSide client
    cdef ResponsePlan plan
    cdef int status                 # of the container's head; 0 before
    cdef bytes head                 # not written yet
    cdef bint begun                 # something was written
    cdef list pieces                # body not written yet
    cdef Py_ssize_t pieces_size
    cdef int64_t sent               # body bytes written

    cdef int begin(self, ResponseHead head, bytes date_line, bytes more) except -1
    cdef Py_ssize_t add(self, bytes data, Py_ssize_t start, Py_ssize_t end) except -1
    cdef int write(self, bint last) except -1
    cdef int _write_small(self) except -1
    cdef int write_page(
        self, Service service, int status, str reason, str detail, bint json, bytes more
    ) except -1
    cdef int write_options(self, Service service) except -1
    cdef int drop(self) except -1
    cdef bint waits(self) noexcept
    cdef bint lacks(self) noexcept
    cdef bint is_whole(self) noexcept
    cdef bint mend(self) except -1
