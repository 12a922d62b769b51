"""One client request, from its parsed head to its complete answer."""

from ajp._endpoint cimport Endpoint
from ajp._packets cimport ResponseHead
from ajpd._inside cimport Inside
from ajpd._noted cimport Noted
from ajpd.http._request cimport RequestHead


cdef class Exchange(Inside):
    """One client request, its attempts and its answer."""

    cdef bint wants_json            # of our own pages
    cdef bint replacing             # this answer gets a page of ours
    cdef Noted noted                # of the head, for the access log; None
    # request body
    cdef Py_ssize_t allowance       # what the container asked for and did not get yet
    # response
    cdef bint flush_wanted          # by the container
    cdef bint too_long              # more came than its head announced

    cdef int begin(self, RequestHead head, bytes data, Py_ssize_t start, Py_ssize_t end) except -1
    cdef Py_ssize_t feed(self, bytes data, Py_ssize_t start, Py_ssize_t end) except -1
    cdef int client_gone(self, object reason, str words) except -1
    cdef int client_late(self) except -1
    cdef int pause(self, bint paused) except -1
    cdef bint wants_body(self) noexcept
    cdef bint may_say_more(self) noexcept
    cdef int _answer_options(self) except -1
    cdef int _bad_body(self) except -1
    cdef int _cut(self, int status, object reason, str words, str detail) except -1
    cdef bint _rest_is_too_much(self) noexcept
    cdef bytes _id_line(self)
    cdef int _fail_on_status(self, int status) except -1
    cdef int _log(self, object reason, object progress, object error) except -1
    cdef int _pump(self) except -1
