"""One client request, from its parsed head to its complete answer."""

from libc.stdint cimport int64_t, uint8_t

from ajp._packets cimport ResponseHead
from ajp._endpoint cimport Attempt, Endpoint
from ajpd._service cimport ClientSide, Service, Target
from ajpd.http._request cimport Chunks, RequestHead
from ajpd.http._response cimport ResponsePlan


cdef class Exchange(Attempt):
    """One client request and all its attempts."""

    cdef Service service
    cdef ClientSide client
    cdef Target target
    cdef bytes method
    cdef bytes path                 # as sent by the client, for the log
    cdef bytes packet               # FORWARD_REQUEST, and the first body packet if with_body
    cdef bint with_body
    cdef bint is_idempotent
    cdef int attempts
    cdef bint waiting               # for an endpoint
    # request body
    cdef bint body_complete         # all of it came from the client
    cdef bint by_chunks
    cdef int64_t body_left          # still to come from the client; of a known length
    cdef int64_t body_total         # came from the client so far
    cdef int64_t after_packet       # body bytes that do not ride in `packet`; -1 unknown
    cdef bint replayable            # nothing left the queue but what is in `packet`
    cdef Chunks chunks
    cdef list queue                 # (bytes, start, end) that wait for the container
    cdef Py_ssize_t queued          # their bytes
    cdef Py_ssize_t allowance       # what the container asked for and did not get yet
    cdef bint expects_continue      # the client waits for 100 Continue
    cdef bint discarding            # answered; the rest of the body is read and dropped
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
    cdef int _refuse_encoding(self, RequestHead head, object wrong) except -1
    cdef int _answer_options(self) except -1
    cdef int _queue_piece(self, bytes data, Py_ssize_t start, Py_ssize_t length) except -1
    cdef int _bad_body(self) except -1
    cdef int _say_continue(self) except -1
    cdef int _abandon(self) except -1
    cdef int _try(self) except -1
    cdef int _drop_response(self) except -1
    cdef int _refuse_with(self, int status, object reason, str detail, object progress, object error) except -1
    cdef int _log(self, object reason, object progress, object error) except -1
    cdef bint _may_be_cut_short(self) noexcept
    cdef bint _correct_length(self) except -1
    cdef int _pump(self) except -1
    cdef bytes _take_body_packet(self, Py_ssize_t most)
    cdef int _flush(self, bint last) except -1
    cdef int _refuse(self, int status, object reason, str detail) except -1
    cdef int _finish(self, bint reusable) except -1
