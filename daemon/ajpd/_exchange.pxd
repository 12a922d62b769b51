"""One client request, from its parsed head to its complete answer."""

from libc.stdint cimport int64_t

from ajp._packets cimport ResponseHead
from ajp._endpoint cimport Attempt, Endpoint
from ajpd._peer cimport Peer
from ajpd._service cimport ClientSide, Service, Target
from ajpd._upload cimport Upload
from ajpd.http._request cimport RequestHead
from ajpd.http._response cimport ResponsePlan


cdef class Exchange(Attempt):
    """One client request and all its attempts."""

    cdef Service service
    cdef ClientSide client
    cdef Peer peer                  # who asks, as far as it is believed
    cdef Target target
    cdef bytes method
    cdef bytes path                 # as sent by the client, for the log
    cdef bytes packet               # FORWARD_REQUEST, and the first body packet if with_body
    cdef bint with_body
    cdef bint wants_json            # of our own pages
    cdef object fail_on_status      # statuses that are failures, soft ones negative; None
    cdef int replace_from           # statuses from here on get a page of ours; 0 none
    cdef bint replacing             # this answer gets one
    cdef int attempts
    cdef int stale                  # of these over a pooled connection that was dead already
    cdef bint waiting               # for an endpoint
    cdef bint resting               # until the next attempt
    cdef bint reused                # the last attempt went over a connection that had worked
    # request body
    cdef Upload upload              # None when there is none
    cdef bint body_complete         # all of it came from the client
    cdef int64_t after_packet       # body bytes that do not ride in `packet`; -1 unknown
    cdef Py_ssize_t allowance       # what the container asked for and did not get yet
    # response
    cdef ResponsePlan plan
    cdef bytes head_bytes           # not written yet
    cdef bint head_written
    cdef bint flush_wanted          # by the container
    cdef bint answered              # complete, or given up
    cdef list pieces                # body not written yet
    cdef Py_ssize_t pieces_size
    cdef int64_t sent               # body bytes written
    cdef int status

    cdef int begin(self, RequestHead head) except -1
    cdef Py_ssize_t feed(self, bytes data, Py_ssize_t start, Py_ssize_t end) except -1
    cdef int go(self) except -1
    cdef int client_gone(self, object reason, str words) except -1
    cdef int client_late(self) except -1
    cdef int pause(self, bint paused) except -1
    cdef bint wants_body(self) noexcept
    cdef bint _has_all(self) noexcept
    cdef bint may_say_more(self) noexcept
    cdef int _refuse_encoding(self, RequestHead head, object wrong) except -1
    cdef int _answer_options(self) except -1
    cdef int _bad_body(self) except -1
    cdef int _abandon(self) except -1
    cdef int _try(self) except -1
    cdef bint _again(self, object reason, object progress, object error) except -1
    cdef bint _rest_is_too_much(self) noexcept
    cdef int _refuse_with(self, int status, object reason, str detail, object progress, object error) except -1
    cdef int _answer_with_page(self, int status, str reason, str detail) except -1
    cdef int _log(self, object reason, object progress, object error) except -1
    cdef bint _may_be_cut_short(self) noexcept
    cdef bint _correct_length(self) except -1
    cdef int _pump(self) except -1
    cdef int _flush(self, bint last) except -1
    cdef int _refuse(self, int status, object reason, str detail) except -1
    cdef int _finish(self, bint reusable) except -1
