"""One connection to a container: the only code that moves AJP bytes over asyncio.

An endpoint carries one attempt at a time. It knows framing, the order of packets and what it owes
the container; what a response means, and whether to try again, is the attempt's business. The
truth about the order of packets is `connection.WEB_SERVER_RECEIVE`; `_switch` repeats it in C and
a test compares both for every state and packet.

A SEND_BODY_CHUNK is handed on as its bytes arrive, without waiting for the whole packet.

Source: ajpv13a; mod_jk `ajp_process_callback`, `ajp_get_reply`; Tomcat `AjpProcessor`.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t

from ajp._clock cimport monotonic
from ajp._column cimport Column
from ajp._layout cimport READS
from ajp._packets cimport (
    CPONG_PACKET,
    END_RESPONSE,
    GET_BODY_CHUNK,
    MAGIC_FROM_CONTAINER_U16,
    MALFORMED,
    MOST_HEADERS,
    NEED_MORE,
    PACKET_HEADER,
    SEND_BODY_CHUNK,
    SEND_HEADERS,
    ResponseHead,
    chunk_length,
    end_response_reuse,
    get_body_length,
    packet_length,
    remote_error,
)
from ajp._line cimport EP_CLOSED, EP_DEAD, EP_IDLE, EP_PINGING, EP_RESPONDING, EP_WAITING, Line
from ajp._slot cimport Slot
from ajp._wheel cimport Timed, Wheel
from ajp._wire cimport E_EMPTY, E_TRAILING, E_TYPE, Reader, fail, reader_init

import logging

from ajp._codec import CPING, END_OF_BODY
from ajp.errors import Progress, Reason, RemoteProtocolError
from ajp.faults import connection_gone, late_cpong, late_reply, late_write, out_of_order

__all__ = ["STATE_NAMES", "Attempt", "Endpoint"]

logger = logging.getLogger("ajp.endpoint")


cdef object NOTHING_SENT = Progress.NOTHING_SENT
cdef object HEAD_SENT = Progress.HEAD_SENT
cdef object BODY_SENT = Progress.BODY_SENT
cdef object RESPONSE_STARTED = Progress.RESPONSE_STARTED

# A connection that worked this many seconds ago is taken as alive without asking.
cdef double FRESH = 1.0
# The end of a body, said once and to Tomcat twice; connection.MAX_ASKS_AFTER_END times again.
cdef int MOST_ENDS = 3
STATE_NAMES = ("IDLE", "PINGING", "WAITING", "RESPONDING", "CLOSED", "DEAD")


cdef class Attempt(Timed):
    """One try of one request on one endpoint.

    Exactly one of `on_end` and `on_failed` ends it. `on_read_done` follows every run of events
    that one read of the connection brought, unless the attempt ended in it.
    """

    def __cinit__(self):
        self.reply_timeout = -1.0

    cpdef on_endpoint(self, Endpoint endpoint):
        """A connected endpoint is ours now: call this one first, then `begin` (or `start`)."""
        self.endpoint = endpoint

    cpdef on_headers(self, ResponseHead head):
        """Status 200-999 and headers; comes once, before any body."""

    cpdef on_body(self, bytes data, Py_ssize_t start, Py_ssize_t end):
        """Response body: data[start:end], never empty."""

    cpdef on_flush(self):
        """The container wants what it sent so far to reach the client now."""

    cpdef on_get_body(self, Py_ssize_t allowance):
        """The container waits for 1 to `allowance` bytes of request body, or its end."""

    cpdef on_end(self):
        """The response is complete; the endpoint is gone."""

    cpdef on_failed(self, object reason, object progress, object error):
        """The attempt is over without a complete response; the endpoint is gone."""

    cpdef on_read_done(self):
        """All that one read brought has been handed over."""

    cpdef bint may_leave(self, object progress) except -1:
        """Whether somebody else could have the request, having come so far: see `Worker.rescue`."""
        return False

    def begin(self, bytes packet, left, bint with_body=False):
        """Send the request over the attached endpoint.

        Args:
            packet: an encoded FORWARD_REQUEST, and with it the first body packet if `with_body`.
            left: bytes of request body that are not in `packet`; None when unknown.
            with_body: whether `packet` ends with a body packet.
        """
        self._attached().start(self, packet, -1 if left is None else left, with_body)

    def send_body(self, bytes packet, Py_ssize_t length):
        """Send one body packet with `length` bytes of data in it."""
        self._attached().send_body(packet, length)

    def end_body(self):
        """Say that the request body is complete."""
        self._attached().end_body()

    def pause_reading(self):
        """Take no more from the container until `resume_reading`."""
        self._attached().pause_reading()

    def resume_reading(self):
        """Undo `pause_reading`."""
        self._attached().resume_reading()

    def abort(self):
        """Close the connection now; nothing more is called on this attempt."""
        if self.endpoint is not None:
            self.endpoint.abort()

    def leave(self, bint hard=False):
        """Nobody waits for the response any more; nothing more is called on this attempt."""
        if self.endpoint is not None:
            self.endpoint.leave(hard)

    cdef Endpoint _attached(self):
        """The endpoint of this attempt, for callers who may be too early or too late."""
        if self.endpoint is None:
            raise RuntimeError("this attempt has no endpoint (yet, or any more)")
        return self.endpoint


@cython.final
cdef class Endpoint(Line):
    """Compiled asyncio protocol of one connection to a container.

    Args:
        owner: told of the end of things: `endpoint_released(endpoint)` when it is idle again and
            may be reused, `endpoint_lost(endpoint)` once it is closed. Each loss is told once.
        wheel: where its deadlines hang.
        max_packet_size: bytes, 8192-65536; must equal the container's packetSize.
        reply_timeout: seconds to wait before each packet of a response; 0 for ever.
        socket_timeout: seconds to wait for any byte where reply_timeout is 0, and for the
            container to take what is sent to it; 0 for ever.
        connect_ping: seconds to wait for a CPONG before the first request; 0: no CPING.
        prepost_ping: the same before a later request, when nothing was heard for over a second.
        name: what to call it in logs.
        peer: address of the container, without port.
        slot: of the container in a status table.
        column: of this process there; both or none.
    """

    def __init__(
        self,
        owner,
        Wheel wheel,
        *,
        Py_ssize_t max_packet_size=8192,
        double reply_timeout=0.0,
        double socket_timeout=0.0,
        double connect_ping=0.0,
        double prepost_ping=0.0,
        name="endpoint",
        peer="",
        Slot slot=None,
        Column column=None,
    ):
        self.state = EP_CLOSED
        self.max_packet_size = max_packet_size
        self.name = name
        self.peer = peer
        if slot is not None and column is not None:
            self._slot = slot.index
            self._column = column
        self.left = 0
        self._owner = owner
        self._wheel = wheel
        self._default_reply_timeout = reply_timeout
        self._socket_timeout = socket_timeout
        self._connect_ping = connect_ping
        self._prepost_ping = prepost_ping

    def __repr__(self):
        return f"<Endpoint {self.name} {STATE_NAMES[self.state]} reqs={self.requests}>"

    def change(self, *, double reply_timeout, double connect_ping, double prepost_ping):
        """Take other times, from the next attempt on; seconds as for a new one."""
        self._default_reply_timeout = reply_timeout
        self._connect_ping = connect_ping
        self._prepost_ping = prepost_ping

    # --- asyncio protocol -------------------------------------------------------------------------

    def connection_made(self, transport):
        """Connected: the endpoint is idle."""
        self._attach(transport)
        if self._column is not None:
            self._column.connect(self._slot)
        self.state = EP_IDLE
        self.idle_since = self.heard_at = monotonic()

    def data_received(self, bytes data):
        """Bytes of the container: a sign of life, also where nobody waits for them any more."""
        if self._column is not None:
            self._column.count(self._slot, READS, 1)
        if self.state >= EP_CLOSED:
            self._discard(PyBytes_GET_SIZE(data))
            return
        self._receive(data)

    def connection_lost(self, error):
        """The connection is gone: the one place that forgets an endpoint."""
        if self._column is not None:
            self._column.disconnect(self._slot)
        if self._attempt is not None:
            error = connection_gone(self.name, error, progress=self._progress())
            self._fail(error.reason, error)
        self._partial = None
        self._detach()

    cpdef on_deadline(self, double now):
        """A packet or a CPONG did not come in time, or our bytes did not leave."""
        if self.state >= EP_CLOSED:
            # Long enough for a container that works for nobody.
            self._cut(False)
            return
        if 0 < self._write_due <= now:
            error = late_write(self.name, self._socket_timeout, progress=self._progress())
        elif not 0 < self._answer_due <= now:
            self._schedule()
            return
        elif self.state == EP_PINGING:
            error = late_cpong(self.name)
            if self._attempt is None:
                logger.info("%s: no CPONG in time; the idle connection is closed", self.name)
        elif self._reading_paused:
            # Our own pause: the container could not have been heard.
            self._await(self._reply_timeout)
            return
        else:
            error = late_reply(
                self.name,
                self._reply_timeout,
                is_of_socket=self._waits_for_bytes,
                progress=self._progress(),
            )
        self._fail(error.reason, error)

    # --- what an attempt does ---------------------------------------------------------------------

    cdef int start(
        self, Attempt attempt, bytes packet, int64_t left, bint with_body
    ) except -1:
        """Send a request; first a CPING where the connection is new or was idle for a while."""
        cdef double now = monotonic()
        cdef double wait = self._connect_ping
        assert self.state == EP_IDLE and self._attempt is None
        self._attempt = attempt
        attempt.endpoint = self
        attempt.bytes_in = 0
        attempt.bytes_out = PyBytes_GET_SIZE(packet)
        self._ends_sent = 0
        self._reply_timeout = self._default_reply_timeout
        if attempt.reply_timeout >= 0:
            self._reply_timeout = attempt.reply_timeout
        self._waits_for_bytes = self._reply_timeout <= 0
        if self._waits_for_bytes:
            self._reply_timeout = self._socket_timeout
        self.left = left
        # Whoever announces a length owes the first packet at once, unasked.
        self.owed = left > 0 and not with_body
        self._body_sent = with_body
        self.reused = self.requests > 0
        if self.reused:
            wait = self._prepost_ping if now - self.heard_at > FRESH else 0.0
        self.requests += 1
        if wait > 0:
            self._packet = packet
            return self._ping(wait)
        self.state = EP_WAITING
        self._write(packet)
        return self._expect_reply()

    cdef int _ping(self, double wait) except -1:
        """Ask whether the container is there, and give it that many seconds."""
        self.state = EP_PINGING
        self._write(CPING)
        return self._await(wait)

    cdef int send_body(self, object packet, Py_ssize_t length) except -1:
        """Send the owed body packet; it holds `length` bytes."""
        assert self.owed and length > 0 and (self.left < 0 or length <= self.left)
        self.owed = False
        self._body_sent = True
        if self.left > 0:
            self.left -= length
        self._attempt.bytes_out += length + 6
        self._write(packet)
        return self._expect_reply()

    cdef int end_body(self) except -1:
        """Send the end of a body of unknown length; legal only when owed."""
        assert self.owed and self.left <= 0
        self.owed = False
        self.left = 0
        self._ends_sent = 1
        self._write(END_OF_BODY)
        return self._expect_reply()

    cdef int _expect_reply(self) except -1:
        """Begin to wait for the next packet; not while the container waits for us."""
        if self._reply_timeout > 0 and not self.owed and self.state != EP_PINGING:
            return self._await(self._reply_timeout)
        return 0

    cdef int _await(self, double seconds) except -1:
        """Give the container that long for its next word; 0: for ever."""
        self._answer_due = monotonic() + seconds if seconds > 0 else 0.0
        return self._schedule()

    cdef int resume_reading(self) except -1:
        """The client caught up."""
        if self._reading_paused:
            Line.resume_reading(self)
            if self._attempt is not None:
                return self._expect_reply()

    cdef int leave(self, bint hard) except -1:
        """The client went away: the attempt is told nothing more, the owner once all is closed.

        Args:
            hard: the container is told with a reset, so that the next thing it writes fails. Else
                it is told that nothing more comes, and may go on writing for a moment.

        Source: mod_jk recovery_options 4 (`hard`), `jk_shutdown_socket`.
        """
        cdef bint is_unsent = self.state == EP_PINGING
        if self._attempt is None:
            return 0
        if hard and not is_unsent:
            return self._abort(True)
        self._forget_attempt()
        if is_unsent:
            # With its CPONG the connection is as good as any.
            self.requests -= 1
            return 0
        self.state = EP_CLOSED
        return self._hang_up()

    cdef int _forget_attempt(self) except -1:
        """Let go of the attempt, and of what was kept for it."""
        if self._attempt is not None:
            self._attempt.endpoint = None
        self._attempt = None
        self._packet = None
        return 0

    def ping(self, double wait):
        """Ask over an idle endpoint; with the CPONG it is released again, without it is lost.

        Args:
            wait: seconds for the CPONG.
        """
        assert self.state == EP_IDLE and self._attempt is None
        self._ping(wait)

    # --- what the container does ------------------------------------------------------------------

    cdef int _receive(self, bytes data) except -1:
        """Hand every event in these bytes to the attempt."""
        cdef const uint8_t* p
        cdef Py_ssize_t pos = 0, end, taken, stop
        cdef Attempt attempt = self._attempt
        if attempt is not None:
            attempt.bytes_in += PyBytes_GET_SIZE(data)
        if self._partial is not None:
            data = self._partial + data
            self._partial = None
        p = <const uint8_t*>PyBytes_AS_STRING(data)
        end = PyBytes_GET_SIZE(data)
        if self.state == EP_IDLE:
            # Even the start of a packet is too much: the next exchange would read its rest.
            self._out_of_order(-1)
            return 0
        while pos < end and self.state < EP_CLOSED:
            if self._chunk_left > 0:
                stop = pos + self._chunk_left
                if stop > end:
                    stop = end
                self._chunk_left -= stop - pos
                self._attempt.on_body(data, pos, stop)
                pos = stop
            elif self._skip > 0:
                self._skip = 0
                pos += 1
            else:
                taken = self._take_packet(data, p, pos, end)
                if taken < 0:
                    break
                pos += taken
                if self._attempt is None or self._attempt is not attempt:
                    # The response, or the CPING of an idle endpoint, ended in this packet.
                    return 0
        if pos < end and self.state < EP_CLOSED:
            self._partial = data[pos:end]
        if self._attempt is not None:
            self._expect_reply()
            self._attempt.on_read_done()
        return 0

    cdef Py_ssize_t _take_packet(
        self, bytes data, const uint8_t* p, Py_ssize_t pos, Py_ssize_t end
    ) except -3:
        """Take one packet, or the head of a body chunk; -1 when it is not there yet or was wrong."""
        cdef Reader error
        cdef Py_ssize_t available = end - pos
        cdef Py_ssize_t length = packet_length(
            p + pos, available, MAGIC_FROM_CONTAINER_U16, self.max_packet_size, &error
        )
        cdef Py_ssize_t whole, chunk
        cdef int kind
        if length == MALFORMED:
            self._broken(remote_error(&error, -1))
            return -1
        if length == NEED_MORE:
            return -1
        if length == 0:
            fail(&error, E_EMPTY, 0, 1, 0)
            self._broken(remote_error(&error, -1))
            return -1
        if available < PACKET_HEADER + 1:
            return -1
        kind = p[pos + PACKET_HEADER]
        whole = PACKET_HEADER + length
        if kind == SEND_BODY_CHUNK:
            # Its first three payload bytes are enough to begin.
            if available < PACKET_HEADER + (3 if length >= 3 else length):
                return -1
            chunk = chunk_length(p + pos + PACKET_HEADER, length, &error)
            if chunk < 0:
                self._broken(remote_error(&error, kind))
                return -1
            if chunk > 0:
                if self.state != EP_RESPONDING:
                    self._out_of_order(kind)
                    return -1
                self._chunk_left = chunk
                self._skip = length - 3 - chunk
                return PACKET_HEADER + 3
        if available < whole:
            return -1
        if kind == END_RESPONSE and self.state == EP_RESPONDING:
            length = end_response_reuse(p + pos + PACKET_HEADER, length, &error)
            if length < 0:
                self._broken(remote_error(&error, kind))
                return -1
            self._ended(length == 1, pos + whole == end)
            return whole
        if self._switch(kind, data, p, pos + PACKET_HEADER, length) < 0:
            return -1
        return whole

    cdef int _switch(
        self, int kind, bytes data, const uint8_t* p, Py_ssize_t pos, Py_ssize_t length
    ) except -1:
        """Act on one whole packet, payload p[pos:pos + length]; flushes and no other body chunks."""
        cdef Reader error
        cdef ResponseHead head
        cdef Py_ssize_t wanted
        reader_init(&error, p + pos, length)
        if kind == SEND_BODY_CHUNK:
            if self.state == EP_PINGING:
                self._out_of_order(kind)
            elif self.state == EP_RESPONDING:
                self._attempt.on_flush()
        elif kind == SEND_HEADERS:
            if self.state != EP_WAITING:
                self._out_of_order(kind)
                return 0
            head = ResponseHead.__new__(ResponseHead)
            try:
                head.load(data, pos, length, MOST_HEADERS)
            except RemoteProtocolError as wrong:
                self._broken(wrong)
                return 0
            if head.status < 200:
                self._out_of_order(kind, f"status {head.status}")
                return 0
            self.state = EP_RESPONDING
            self._attempt.on_headers(head)
        elif kind == GET_BODY_CHUNK:
            if self.state == EP_PINGING:
                self._out_of_order(kind)
                return 0
            wanted = get_body_length(p + pos, length, &error)
            if wanted == 0:
                self._broken(remote_error(&error, kind))
                return 0
            self._asked(wanted)
        elif kind == CPONG_PACKET:
            if self.state != EP_PINGING:
                self._out_of_order(kind)
            elif length > 1:
                fail(&error, E_TRAILING, 1, 0, length - 1)
                self._broken(remote_error(&error, kind))
            elif pos + length < PyBytes_GET_SIZE(data):
                # It would be taken for the answer to a request that has not left yet.
                self._out_of_order(kind, "bytes behind it")
            else:
                self._pong()
        elif kind == END_RESPONSE:
            self._out_of_order(kind)
        else:
            fail(&error, E_TYPE, 0, 0, kind)
            self._broken(remote_error(&error, kind))
        return 0

    cdef int _asked(self, Py_ssize_t wanted) except -1:
        """The container wants request body."""
        if self.owed:
            self._out_of_order(GET_BODY_CHUNK, "the last one is not answered yet")
            return 0
        if self.left == 0:
            if self._ends_sent == MOST_ENDS:
                self._out_of_order(GET_BODY_CHUNK, "the body has ended")
                return 0
            self._ends_sent += 1
            self._write(END_OF_BODY)
            return 0
        self.owed = True
        self._await(0.0)
        if wanted > self.max_packet_size - 6:
            wanted = self.max_packet_size - 6
        if self.left > 0 and wanted > self.left:
            wanted = <Py_ssize_t>self.left
        self._attempt.on_get_body(wanted)

    cdef int _pong(self) except -1:
        """The container is there: now the request, if there is one."""
        self.heard_at = monotonic()
        self._await(0.0)
        if self._attempt is None:
            self.state = EP_IDLE
            self.close() if self.retired else self._owner.endpoint_released(self)
            return 0
        self.state = EP_WAITING
        packet = self._packet
        self._packet = None
        self._write(packet)
        return self._expect_reply()

    cdef int _ended(self, bint reuse, bint clean) except -1:
        """END_RESPONSE: hand the endpoint back before the attempt goes on, or close it."""
        cdef Attempt attempt = self._attempt
        cdef bint unsent = self._write_due > 0
        self._forget_attempt()
        attempt.container_closed = not reuse
        self._rest()
        Line.resume_reading(self)
        # Bytes behind END_RESPONSE, or a body packet still owed: the next exchange would read them.
        if reuse and clean and not self.owed and not unsent and not self.retired and (
            not self._transport.is_closing()
        ):
            self.state = EP_IDLE
            self.idle_since = self.heard_at = monotonic()
            self._owner.endpoint_released(self)
        else:
            if reuse and not clean:
                logger.warning("%s: bytes behind END_RESPONSE; the connection is closed", self.name)
            self.state = EP_CLOSED
            # An orderly end would wait for the container to take what it has not taken yet.
            self._transport.abort() if unsent else self._transport.close()
        attempt.on_end()
        return 0

    cdef int _out_of_order(self, int kind, str detail="") except -1:
        """A packet that may not come in this state; -1: bytes of any kind."""
        return self._broken(out_of_order(self.name, kind, STATE_NAMES[self.state], detail=detail))

    cdef int _broken(self, object error) except -1:
        """The container broke the protocol: the connection is dead."""
        reason = Reason.PROTOCOL_ERROR
        if error.code == "E_TOO_LARGE":
            reason = Reason.PACKET_TOO_LARGE_FROM_CONTAINER
        self._fail(reason, error)
        self.state = EP_DEAD
        return 0

    cdef int _fail(self, object reason, object error) except -1:
        """End the attempt and close the connection."""
        cdef Attempt attempt = self._attempt
        progress = self._progress()
        self._abort(False)
        # The pool first: another attempt may want the place of this endpoint.
        self._tell_lost()
        if attempt is not None:
            attempt.on_failed(reason, progress, error)
        return 0

    cdef object _progress(self):
        """How far the current attempt has come."""
        if self.state == EP_RESPONDING:
            return RESPONSE_STARTED
        if self.state == EP_WAITING:
            return BODY_SENT if self._body_sent else HEAD_SENT
        return NOTHING_SENT
