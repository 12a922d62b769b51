"""The transport under an endpoint: its pauses, its deadlines and its ends."""

from ajp._wheel cimport Timed, Wheel


cdef enum EndpointState:
    # Same names and meanings as connection.State; a test proves the switch equal.
    EP_IDLE = 0
    EP_PINGING = 1
    EP_WAITING = 2          # request sent, no headers yet
    EP_RESPONDING = 3       # headers seen
    EP_CLOSED = 4
    EP_DEAD = 5             # closed because the container broke the protocol


cdef class Line(Timed):
    """What an endpoint is without AJP."""

    cdef readonly int state             # EndpointState
    cdef readonly object name           # for logs: worker and address
    cdef readonly object peer           # address of the container, without port; empty: a Unix path
    cdef readonly bint retired          # to be closed in place of being released
    cdef object _owner                  # EndpointOwner: released(endpoint), lost(endpoint)
    cdef object _transport
    cdef object _write                  # transport.write, looked up once
    cdef Wheel _wheel
    cdef bint _reading_paused
    cdef double _socket_timeout         # seconds for bytes to come or go; 0 off
    cdef double _answer_due             # when the container has to have spoken; 0 whenever it likes
    cdef double _write_due              # when it has to have taken our bytes; 0 it has
    cdef Py_ssize_t _discard_left       # bytes that are still read for nobody; 0 unless leaving

    # whether a request may start on it
    cdef bint may_start(self) except -1
    cdef int _attach(self, transport) except -1
    cdef int _detach(self) except -1
    cdef int _schedule(self) except -1
    cdef int _rest(self) except -1
    cdef int pause_reading(self) except -1
    cdef int resume_reading(self) except -1
    cdef int abort(self) except -1
    cdef int _abort(self, bint hard) except -1
    # overridden: let go of the attempt
    cdef int _forget_attempt(self) except -1
    cdef int _cut(self, bint hard) except -1
    cdef int _hang_up(self) except -1
    cdef int _discard(self, Py_ssize_t size) except -1
    cdef int _tell_lost(self) except -1


# Close a transport with a reset.
cdef int reset_transport(object transport) except -1
