"""One client request, from its parsed head to its complete answer."""

from libc.stdint cimport int64_t

from ajp._endpoint cimport Attempt, Endpoint
from ajp._packets cimport ResponseHead
from ajpd._account cimport Account
from ajpd._answer cimport Answer
from ajpd._noted cimport Noted
from ajpd._peer cimport Peer
from ajpd._placement cimport Placement
from ajpd._service cimport ClientSide, Service, Target
from ajpd._upload cimport Upload
from ajpd.http._request cimport RequestHead


cdef class Exchange(Attempt):
    """One client request and all its attempts."""

    cdef Service service
    cdef ClientSide client
    cdef Peer peer                  # who asks, as far as it is believed
    cdef object mount               # the rule; None before it was found
    cdef Target target
    cdef Placement placement        # None: the target is no balancer's
    cdef bytes method
    cdef bytes path                 # as sent by the client, for the log
    cdef bytes forward              # as sent to the container
    cdef bytes head_bytes           # holds the head while another member may need it
    cdef Py_ssize_t head_start
    cdef Py_ssize_t head_end
    cdef bytes packet               # FORWARD_REQUEST
    cdef bint wants_json            # of our own pages
    cdef object fail_on_status      # statuses that are failures, soft ones negative; None
    cdef bint replacing             # this answer gets a page of ours
    # attempts
    cdef Account account
    cdef Noted noted                # of the head, for the access log; None
    cdef bint ready                 # to begin, with the first of the body if there is one
    cdef bint waiting               # for an endpoint
    cdef bint resting               # until the next attempt
    cdef object failure             # (reason, progress, error) to rest after
    cdef bint reused                # the last attempt went over a connection that had worked
    # request body
    cdef Upload upload              # None when there is none
    cdef bint body_complete         # all of it came from the client
    cdef int64_t content_length     # -1 unknown
    cdef Py_ssize_t allowance       # what the container asked for and did not get yet
    # response
    cdef Answer answer
    cdef bint flush_wanted          # by the container
    cdef bint too_long              # more came than its head announced
    cdef bint answered              # complete, or given up

    cdef int begin(self, RequestHead head, bytes data, Py_ssize_t start, Py_ssize_t end) except -1
    cdef Py_ssize_t feed(self, bytes data, Py_ssize_t start, Py_ssize_t end) except -1
    cdef int go(self) except -1
    cdef int client_gone(self, object reason, str words) except -1
    cdef int client_late(self) except -1
    cdef int pause(self, bint paused) except -1
    cdef bint wants_body(self) noexcept
    cdef bint may_say_more(self) noexcept
    cdef int _place(self, RequestHead head) except -1
    cdef int _address(self, RequestHead head, Target target) except -1
    cdef int _answer_options(self) except -1
    cdef int _bad_body(self) except -1
    cdef int _cut(self, int status, object reason, str words, str detail) except -1
    cdef int _abandon(self, object reason) except -1
    cdef object _learned(self)
    cdef int _try(self) except -1
    cdef bint _again(self, object reason, object progress, object error, object outcome) except -1
    cdef int _rest(self, double seconds) except -1
    cdef bint _move_on(self, object reason, object progress, object error) except -1
    cdef int _nobody(self) except -1
    cdef int _tell(self, object outcome, object reason) except -1
    cdef int _count(self, object reason, bint counts) except -1
    cdef int _close(self) except -1
    cdef bint _rest_is_too_much(self) noexcept
    cdef int _fail_on_status(self, int status) except -1
    cdef int _refuse_with(self, int status, object reason, str detail, object progress, object error) except -1
    cdef int _answer_with_page(self, int status, str reason, str detail) except -1
    cdef int _log(self, object reason, object progress, object error) except -1
    cdef int _pump(self) except -1
    cdef int _refuse(self, int status, object reason, str detail) except -1
    cdef int _finish(self, bint reusable) except -1
