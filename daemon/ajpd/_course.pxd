"""Where one request goes: attempt after attempt."""

from libc.stdint cimport int64_t

from ajp._endpoint cimport Attempt
from ajpd._account cimport Account
from ajpd._answer cimport Answer
from ajpd._peer cimport Peer
from ajpd._placement cimport Placement
from ajpd._rules cimport Rule
from ajpd._service cimport ClientSide, Service, Target
from ajpd._trace cimport Names
from ajpd._upload cimport Upload
from ajpd.http._request cimport RequestHead


cdef class Course(Attempt):
    """The attempts of one request."""

    cdef Service service
    cdef ClientSide client
    cdef Peer peer                  # who asks, as far as it is believed
    cdef Rule rule                  # None before it was found
    cdef Target target
    cdef Placement placement        # None: the target is no balancer's
    cdef Names names                # what the request is called; None: nothing
    cdef bytes method
    cdef bytes path                 # as sent by the client, for the log
    cdef bytes forward              # as sent to the container
    cdef bytes head_bytes           # holds the head while another member may need it
    cdef Py_ssize_t head_start
    cdef Py_ssize_t head_end
    cdef bytes packet               # FORWARD_REQUEST
    cdef object fail_on_status      # statuses that are failures, soft ones negative; None
    # attempts
    cdef Account account
    cdef bint ready                 # to begin, with the first of the body if there is one
    cdef bint waiting               # for an endpoint
    cdef bint resting               # until the next attempt
    cdef object failure             # (reason, progress, error) to rest after
    cdef bint reused                # the last attempt went over a connection that had worked
    # what goes with it, and what comes back
    cdef Upload upload              # None when there is no body
    cdef bint body_complete         # all of it came from the client
    cdef int64_t content_length     # of it; -1 unknown
    cdef Answer answer
    cdef bint answered              # complete, or given up

    # The exchange's: ask for an endpoint once the first of the body is there; give up with a page.
    cdef int go(self) except -1
    cdef int _refuse(self, int status, object reason, str detail) except -1
    cdef int _refuse_with(
        self, int status, object reason, str detail, object progress, object error
    ) except -1
    # A page of our own has it, and no container.
    cdef int _ask(self, RequestHead head, object page) except -1
    cdef int _place(self, RequestHead head) except -1
    cdef int _address(self, RequestHead head, Target target) except -1
    cdef int _abandon(self, object reason) except -1
    cdef object _learned(self)
    cdef int _try(self) except -1
    cdef bint _again(self, object reason, object progress, object error, object outcome) except -1
    cdef int _rest(self, double seconds) except -1
    cdef bint _move_on(self, object reason, object progress, object error) except -1
    cdef int _nobody(self) except -1
    cdef int _tell(self, object outcome, object reason) except -1
    cdef int _count(self, object reason, bint counts) except -1
