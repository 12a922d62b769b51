"""One client request, from its parsed head to its complete answer."""

from libc.stdint cimport int64_t, uint8_t

from ajp._packets cimport ResponseHead
from ajp._endpoint cimport Attempt, Endpoint
from ajp._wheel cimport Timed, Wheel
from ajp._wire cimport Slice, Writer
from ajpd.http._request cimport Chunks, RequestHead
from ajpd.http._response cimport ResponsePlan


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
    cdef object _match                  # path bytes -> Mount or None
    cdef dict _targets                  # worker name -> Target
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
    cdef int client_gone(self) except -1
    cdef int client_late(self) except -1
    cdef int pause(self, bint paused) except -1
    cdef bint wants_body(self) noexcept
    cdef int _encode(self, RequestHead head, bytes uri) except -1
    cdef int _put_attributes(self, RequestHead head, Writer* w) except -1
    cdef int _refuse_encoding(self, RequestHead head, object wrong) except -1
    cdef int _answer_options(self) except -1
    cdef int _queue_piece(self, bytes data, Py_ssize_t start, Py_ssize_t length) except -1
    cdef int _bad_body(self) except -1
    cdef int _say_continue(self) except -1
    cdef int _abandon(self) except -1
    cdef int _try(self) except -1
    cdef int _may_retry(self, object reason, object progress) except -1
    cdef int _drop_response(self) except -1
    cdef int _refuse_with(self, int status, object reason, str detail, object progress, object error) except -1
    cdef int _log(self, object reason, object progress, object error) except -1
    cdef bint _correct_length(self) except -1
    cdef int _pump(self) except -1
    cdef bytes _take_body_packet(self, Py_ssize_t most)
    cdef int _flush(self, bint last) except -1
    cdef int _refuse(self, int status, object reason, str detail) except -1
    cdef int _finish(self, bint reusable) except -1
