"""Requests that are answered here, without a container."""

from ajpd._course cimport Course
from ajpd.http._request cimport RequestHead


cdef class Inside(Course):
    """The part of an exchange that is a conversation with a page of our own."""

    cdef object page                # inside.Page; None: a container has the request
    cdef object asked               # arguments of inside.Asked, without the body
    cdef object stream              # inside.Stream under way; None

    cdef int _answer_inside(self) except -1
    cdef int _begin_stream(self, bytes head, object stream) except -1
    cdef int _leave_stream(self) except -1
    # the exchange's
    cdef int _close(self) except -1
    cdef int _finish(self, bint reusable) except -1
    cdef int _answer_with_page(self, int status, str reason, str detail) except -1
