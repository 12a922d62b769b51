"""The transport under an endpoint: its pauses, its deadlines and its ends.

Knows bytes and time, no packet and no attempt. There are two deadlines at most, one for the
container's next word and one for it to take what was written; the earlier one hangs in the wheel.

Source: mod_jk `jk_shutdown_socket` for the orderly end: half-close, read a little, close.
"""

import socket
import struct

from ajp._clock cimport monotonic
from ajp._wheel cimport Timed

__all__ = ["Line"]


cdef enum:
    # What is read of a response nobody waits for, so that the container is not reset at once.
    DISCARD_LIMIT = 32768

# And how many seconds it may take.
cdef double LEAVING = 2.0
cdef bytes LINGER_NOT = struct.pack("ii", 1, 0)


cdef int reset_transport(object transport) except -1:
    """Close now, with a reset: the other end cannot take it for an orderly end."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    transport.abort()
    return 0


cdef class Line(Timed):
    """What an endpoint is without AJP."""

    def eof_received(self):
        """The container will send nothing more; asyncio closes the transport."""
        return False

    def pause_writing(self):
        """The container does not take what was written; it has socket_timeout to begin."""
        if self._socket_timeout > 0:
            self._write_due = monotonic() + self._socket_timeout
            self._schedule()

    def resume_writing(self):
        """It took everything."""
        self._write_due = 0.0
        self._schedule()

    cdef int _attach(self, transport) except -1:
        self._transport = transport
        self._write = transport.write
        if self._socket_timeout > 0:
            # Every byte that does not leave at once counts: a packet is far smaller than the
            # loops' own limits.
            transport.set_write_buffer_limits(high=0)
        return 0

    cdef int _detach(self) except -1:
        """The connection is gone."""
        if self.state < EP_CLOSED:
            self.state = EP_CLOSED
        self._transport = None
        self._write = None
        self._rest()
        self._tell_lost()
        return 0

    cdef int _schedule(self) except -1:
        """Hang the earlier of both deadlines into the wheel."""
        cdef double due = self._answer_due
        if self._write_due > 0 and (due <= 0 or self._write_due < due):
            due = self._write_due
        self._wheel.arm(self, due)
        return 0

    cdef int _rest(self) except -1:
        """Nothing is waited for."""
        self._answer_due = 0.0
        self._write_due = 0.0
        self.disarm()
        return 0

    cdef int pause_reading(self) except -1:
        """Read nothing more for now."""
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()
        return 0

    cdef int resume_reading(self) except -1:
        """Undo `pause_reading`."""
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()
        return 0

    @property
    def is_idle(self):
        """Whether a request may start on it."""
        return self.may_start()

    cdef bint may_start(self) except -1:
        """The same."""
        return self.state == EP_IDLE and self._transport is not None and not (
            self._transport.is_closing()
        )

    def retire(self):
        """Whoever uses it is the last one: it is closed where it would be released."""
        self.retired = True

    def close(self):
        """Close an idle endpoint in order; any other as `abort` does."""
        if self.state != EP_IDLE:
            self.abort()
            return
        self.state = EP_CLOSED
        self._rest()
        if self._transport is not None:
            self._transport.close()

    cdef int abort(self) except -1:
        """Close now, telling the attempt nothing."""
        return self._abort(False)

    cdef int _abort(self, bint hard) except -1:
        self._forget_attempt()
        if self.state < EP_CLOSED:
            self.state = EP_CLOSED
        return self._cut(hard)

    cdef int _forget_attempt(self) except -1:
        return 0

    cdef int _cut(self, bint hard) except -1:
        """Close now; `hard`: with a reset, whatever the system would have done."""
        self._rest()
        self._discard_left = 0
        if self._transport is not None:
            if hard:
                reset_transport(self._transport)
            else:
                self._transport.abort()
        return 0

    cdef int _hang_up(self) except -1:
        """Say that nothing more is sent, read on for a little while, then close."""
        self._rest()
        if self._transport is None or self._transport.is_closing():
            return self._cut(False)
        Line.resume_reading(self)
        self._discard_left = DISCARD_LIMIT
        self._answer_due = monotonic() + LEAVING
        self._schedule()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        return 0

    cdef int _discard(self, Py_ssize_t size) except -1:
        """Bytes for nobody."""
        if self._discard_left > 0:
            self._discard_left -= size
            if self._discard_left <= 0:
                self._cut(False)
        return 0

    cdef int _tell_lost(self) except -1:
        """Tell the owner, once."""
        owner = self._owner
        self._owner = None
        if owner is not None:
            owner.endpoint_lost(self)
        return 0
