"""One client connection: HTTP bytes in, exchanges out, one after the other.

Pulls one request at a time out of what was received; what lies behind it waits. Knows HTTP's
connection rules (keep-alive, half-close, lingering close) and the client's deadlines, and nothing
of containers.

Source: RFC 9112 §9; nginx `lingering_close` for why a refused upload is not cut off at once.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memchr

from ajp._clock cimport monotonic
from ajp._line cimport reset_transport
from ajp._packets cimport is_token
from ajpd._exchange cimport Exchange
from ajpd._peer cimport peer_behind, peer_of
from ajpd._service cimport DISCARD_LIMIT, ClientSide, Service
from ajpd.http._request cimport HEAD_INCOMPLETE, HEAD_MALFORMED, RequestHead, head_length

import logging
import socket

from ajp.errors import Reason
from ajpd.http.proxy_protocol import NEED_MORE, BadProxyHeader
from ajpd.http.proxy_protocol import parse as parse_proxy_header

__all__ = ["Front"]

logger = logging.getLogger("ajpd.front")


cdef enum:
    # Pipelined requests wait here; beyond it the client waits.
    INPUT_LIMIT = 65536
    EMPTY_LINES = 4  # before a request line; RFC 9112 §2.2 asks to ignore at least one

cdef enum:
    # What the one deadline is for.
    NO_TIMER
    HEAD_TIMER
    BODY_TIMER
    SEND_TIMER
    IDLE_TIMER
    HALF_TIMER
    RESET_TIMER
    LINGER_TIMER

# Seconds a client may go on sending after the last answer.
cdef double LINGER = 5.0
# Seconds between two looks at a client that may have gone.
cdef double LOOK_SOON = 0.2
cdef double LOOK_AGAIN = 1.0
# Looks at a half-closed client before which something is written, for its system to refuse. Few:
# there are clients that give up after five interim responses.
cdef frozenset PROBES = frozenset((1, 5, 30, 120))
cdef enum:
    TCP_CLOSED = 7  # Linux, include/net/tcp_states.h
cdef bytes STILL_HERE = b"HTTP/1.1 100 Continue\r\n\r\n"


@cython.final
cdef class Front(ClientSide):
    """Compiled asyncio protocol of one client connection.

    Args:
        service: shared by all of a process.
        header: a `ProxyHeader` that was taken off before the TLS handshake.
    """

    def __init__(self, Service service, header=None):
        self.service = service
        self.fresh = True
        self._header = header

    def __repr__(self):
        state = "busy" if self.exchange is not None else "idle"
        return f"<Front {self._client()} {state}>"

    # --- asyncio protocol -------------------------------------------------------------------------

    def connection_made(self, transport):
        """A client connected."""
        self.transport = transport
        self.write = transport.write
        self.peer = peer_of(transport, self.service.describe_tls)
        self.is_unix = type(transport.get_extra_info("peername")) is not tuple
        self.trusted = self.service.trusts(self.peer, self.is_unix)
        # Over TLS it would have come before the handshake.
        self.may_be_proxied = not self.peer.is_ssl
        if self._header is not None:
            self._introduced(self._header)
            self._header = None
        self.service.clients.add(self)
        self.service.count_client(1)
        count = self.service.connections()
        if 0 < self.service.max_connections < count:
            if count > self.service.most_accepted:
                self.service.count_refusal(Reason.CONNECTION_LIMIT, 0)
                transport.abort()
                return
            self._refuse(
                503,
                Reason.CONNECTION_LIMIT,
                f"{self.service.max_connections} connections are open, which is the most",
            )
            return
        self._watch()

    def data_received(self, bytes data):
        """Bytes of the client."""
        cdef Py_ssize_t used
        if self.lingering or self.closing:
            return
        if self.exchange is not None and self.input is None and not self.exchange.body_complete:
            used = self.exchange.feed(data, 0, PyBytes_GET_SIZE(data))
            if self.lingering or self.transport is None:
                return
            if used == PyBytes_GET_SIZE(data):
                self._after_body()
                return
            data = data[used:]
        self.input = data if self.input is None else self.input + data
        if self.exchange is None or self.exchange.body_complete:
            self._after_body()
        if (
            (self.exchange is not None or self.write_paused)
            and self.input is not None
            and PyBytes_GET_SIZE(self.input) > INPUT_LIMIT
        ):
            self._pause(True)

    def eof_received(self):
        """The client sends nothing more; it may still be waiting for its answer."""
        self.half_closed = True
        if self.lingering:
            return False
        if self.exchange is None:
            # Whole requests may still wait for the client to read an earlier answer.
            return self.write_paused and self.input is not None
        if not self.exchange.body_complete:
            self._lose_exchange(Reason.CLIENT_ABORT, "the client closed the connection")
            return False
        # It may have gone for good; see _is_still_there.
        self.probes = 0
        self.taken = -1
        self._watch()
        # Over TLS there is no half of a connection.
        return self.transport.can_write_eof()

    def connection_lost(self, error):
        """The connection is gone."""
        self._lose_exchange(Reason.CLIENT_ABORT, "the client closed the connection")
        self.disarm()
        self.service.count_client(-1)
        self.service.clients.discard(self)
        if self.service.draining and not self.service.clients:
            if self.service.on_drained is not None:
                self.service.on_drained()
        self.transport = None
        self.write = None
        self.input = None

    def pause_writing(self):
        """The client reads too slowly."""
        self.write_paused = True
        if self.exchange is not None:
            self.exchange.pause(True)
        self._watch()

    def resume_writing(self):
        """The client caught up."""
        self.write_paused = False
        if self.exchange is not None:
            self.exchange.pause(False)
            self._watch()
        else:
            self._run()

    cpdef on_deadline(self, double now):
        """The client was too slow, or idle for long enough."""
        if self.transport is None:
            return
        self.timer = NO_TIMER
        if self.lingering or self.closing:
            self.abort()
        elif self.half_closed and self.exchange is not None and not self.exchange.answered:
            if self._is_still_there():
                self._watch()
            else:
                self._lose_exchange(
                    Reason.CLIENT_ABORT, "the client closed the connection, or left its side closed"
                )
                self.abort()
        elif self.write_paused:
            self._lose_exchange(Reason.CLIENT_TIMEOUT, "the client did not take its answer in time")
            self.abort()
        elif self.exchange is not None and self.read_paused and not self.exchange.answered:
            if self._was_reset():
                self._lose_exchange(Reason.CLIENT_ABORT, "the client reset the connection")
                self.abort()
            else:
                self._watch()
        elif self.exchange is not None:
            self.exchange.client_late()
        elif self.input is not None:
            self._refuse(408, Reason.CLIENT_TIMEOUT, "the request head did not arrive in time")
        else:
            self._shut()

    def drain(self, *, bint fresh_too=True):
        """Accept no further request; a connection that was idle for all patience closes now.

        Args:
            fresh_too: also one whose client has not asked anything yet. To a client, one that was
                used may end at any time; on a new one it expects an answer.
        """
        if self.exchange is None and self.input is None and self.transport is not None:
            if (fresh_too or not self.fresh) and (
                self.service.drained - self.idle_since >= self.service.patience
            ):
                self._shut()

    def abort(self):
        """Close now, so that nobody takes what is not written yet for nothing."""
        if self.transport is not None:
            self._reset()

    cdef bint _is_still_there(self) except -1:
        """Whether a client that closed its side still waits for its answer.

        To TCP a client that is gone looks the same until something is sent to it. An interim
        response is such a thing, and every HTTP/1.1 client reads past it (RFC 9110 §15.2).
        """
        if self._was_reset():
            return False
        self.probes += 1
        if self.exchange.may_say_more():
            if self.probes in PROBES:
                self.write(STILL_HERE)
            return True
        # Nothing may be said but the answer, and that arrives, or nothing is known.
        if self.exchange.answer.sent == self.taken:
            return False
        self.taken = self.exchange.answer.sent
        return True

    cdef bint _was_reset(self) except -1:
        """Whether the client's system refused what was sent, though nobody reads to notice it."""
        sock = self.transport.get_extra_info("socket")
        if sock is None or self.is_unix:
            return False
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSED

    # --- one request after the other --------------------------------------------------------------

    cdef int _after_body(self) except -1:
        """More of the client's bytes were used: see how things go on."""
        cdef Exchange exchange = self.exchange
        if exchange is not None and exchange.answered:
            if not exchange.body_complete:
                if exchange.upload.total > DISCARD_LIMIT:
                    self._close(True)
                return 0
            self.exchange = None
        self._run()

    cdef int _run(self) except -1:
        """Begin requests as long as there are whole heads and nobody is being served."""
        cdef Py_ssize_t used
        cdef bytes data
        if self.running:
            return 0
        self.running = True
        try:
            while (
                self.exchange is None
                and self.input is not None
                and not self.write_paused
                and not self.lingering
                and not self.closing
                and self.transport is not None
            ):
                data = self.input
                used = self._next_request(data)
                if used == 0:
                    break
                if self.input is data:
                    self.input = data[used:] if used < PyBytes_GET_SIZE(data) else None
        finally:
            self.running = False
        if self.read_paused and (
            self.input is None or PyBytes_GET_SIZE(self.input) <= INPUT_LIMIT
        ):
            if self.exchange is None or self.exchange.upload is None or not self.exchange.upload.queued:
                self._pause(False)
        if self.half_closed and self.exchange is None and self.transport is not None:
            if self.input is None or not self.write_paused:
                return self._shut()
        return self._watch()

    cdef Py_ssize_t _next_request(self, bytes data) except -1:
        """Begin the request at the start of data; returns the bytes used, 0 when more are needed."""
        cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(data)
        cdef Py_ssize_t available = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t start = 0, length
        cdef RequestHead head = self.service.head
        cdef Exchange exchange
        if self.fresh and self.trusted and self.may_be_proxied:
            length = self._take_proxy_header(data)
            if length != 0:
                return length if length > 0 else 0
        while available - start >= 2 and p[start] == 13 and p[start + 1] == 10:
            start += 2
            if start > 2 * EMPTY_LINES:
                self._refuse(400, Reason.BAD_REQUEST, "empty lines instead of a request")
                return 0
        if available == start:
            return start
        if p[start] != 13 and not is_token(p + start, 1):
            # Whatever it is, waiting for the rest of it would not make it a request.
            self._refuse(400, Reason.BAD_REQUEST, "this port speaks HTTP without TLS")
            return 0
        if self.line < start:
            self.line = start
        length = head_length(p, available, &self.line)
        if length == HEAD_MALFORMED:
            self._refuse(400, Reason.BAD_REQUEST, "a line of the head does not end in CRLF")
            return 0
        if length == HEAD_INCOMPLETE or length - start > self.service.max_header_bytes:
            if available - start > self.service.max_header_bytes:
                self._refuse(
                    414 if memchr(p + start, 10, <size_t>self.service.max_header_bytes) == NULL
                    else 431,
                    Reason.REQUEST_TOO_LARGE,
                    f"the request head is longer than {self.service.max_header_bytes} bytes",
                )
            return 0
        self.line = 0
        self.fresh = False
        if not head.parse(p + start, length - start):
            self._refuse(head.status, Reason.BAD_REQUEST, head.problem)
            return 0
        exchange = Exchange.__new__(Exchange)
        exchange.service = self.service
        exchange.client = self
        self.exchange = exchange
        exchange.begin(head, data, start, length)
        if not exchange.body_complete and length < available and self.exchange is exchange:
            length += exchange.feed(data, length, available)
        if not exchange.answered:
            exchange.go()
        elif exchange.body_complete and self.exchange is exchange:
            self.exchange = None
        return length

    cdef Py_ssize_t _take_proxy_header(self, bytes data) except -2:
        """Look for a PROXY header in front of the first request.

        Returns the bytes it takes; 0 when there is none; -1 when more are needed, or it was wrong.
        """
        try:
            header = parse_proxy_header(data)
        except BadProxyHeader as wrong:
            self._refuse(400, Reason.BAD_REQUEST, f"PROXY header: {wrong}")
            return -1
        if header is NEED_MORE:
            return -1
        self.may_be_proxied = False
        if header is None:
            return 0
        self._introduced(header)
        return header.length

    cdef int _introduced(self, object header) except -1:
        """Believe a PROXY header; from here on it is its client that is or is not trusted."""
        self.peer = peer_behind(self.peer, header)
        if not header.is_own:
            # A client that nobody knows is believed nothing.
            self.trusted = not header.is_local and self.service.trusts(self.peer, False)
        return 0

    cdef int exchange_done(self, bint reusable) except -1:
        """The response is written."""
        # A client that was promised more than this answer may have begun to ask already.
        if not reusable or (self.service.draining and self.service.patience <= 0):
            return self._close(not self.exchange.body_complete)
        if self.exchange.body_complete:
            self.exchange = None
            return self._run()
        return self._watch()

    cdef int exchange_broken(self, bint cleanly) except -1:
        """The response stays incomplete, and the client must be able to tell."""
        self.exchange = None
        if self.transport is None:
            return 0
        return self._shut() if cleanly else self._reset()

    cdef int want_body(self, bint wanted) except -1:
        """Take more request body from the client, or no more for now."""
        if wanted and self.input is not None and PyBytes_GET_SIZE(self.input) > INPUT_LIMIT:
            return 0
        self._pause(not wanted)
        # From here on it may be the client that is waited for.
        return self._watch() if wanted else 0

    cdef int _pause(self, bint paused) except -1:
        if self.transport is None or paused == self.read_paused or self.transport.is_closing():
            return 0
        self.read_paused = paused
        if paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()
        return self._watch()

    cdef int _watch(self) except -1:
        """Set the one deadline that matters in the present state."""
        cdef int timer = NO_TIMER
        cdef double wait = 0.0
        if self.transport is None or self.closing:
            return 0
        if self.lingering:
            timer, wait = LINGER_TIMER, LINGER
            if self.transport.get_write_buffer_size() > 0 and self.service.send_timeout > LINGER:
                # The last answer is still on its way.
                wait = self.service.send_timeout
        elif self.write_paused:
            timer, wait = SEND_TIMER, self.service.send_timeout
        elif self.exchange is not None:
            if self.exchange.answered:
                timer, wait = LINGER_TIMER, LINGER
            elif self.half_closed:
                timer, wait = HALF_TIMER, self.service.send_timeout
                if self.exchange.may_say_more():
                    wait = LOOK_SOON if self.probes < 2 else LOOK_AGAIN
            elif self.exchange.wants_body() and not self.read_paused:
                timer, wait = BODY_TIMER, self.service.body_timeout
            elif self.read_paused:
                timer, wait = RESET_TIMER, LOOK_AGAIN
        elif self.input is not None or self.fresh:
            timer, wait = HEAD_TIMER, self.service.header_timeout
        else:
            timer, wait = IDLE_TIMER, self.service.keepalive_timeout
            if self.timer != IDLE_TIMER:
                self.idle_since = self.service.drained
        # Only a body's clock begins anew, with each byte of data and with no other: what is slow by
        # design must end.
        if timer == self.timer and (
            timer != BODY_TIMER or self.exchange.upload.total == self.body_seen
        ):
            return 0
        if timer == BODY_TIMER:
            self.body_seen = self.exchange.upload.total
        self.timer = timer
        if wait > 0:
            self.service.wheel.arm(self, monotonic() + wait)
        else:
            self.disarm()
        return 0

    # --- endings ----------------------------------------------------------------------------------

    cdef int _refuse(self, int status, object reason, str problem) except -1:
        """Answer a request that never became an exchange, and close."""
        logger.info(
            "client=%s status=%d reason=%s error=%s",
            self._client(),
            status,
            reason,
            problem,
            extra={"about": (status, reason)},
        )
        self.service.count_refusal(reason, status)
        if self.service.access is not None:
            self.service.access.note(
                client=self._client().encode(), status=status, reason=reason
            )
        self.write(
            self.service.pages.page(
                status,
                str(reason),
                date_line=self.service.date_line(),
                keep_alive=False,
                detail=problem[:1].upper() + problem[1:] + ".",
            )
        )
        self._close(True)

    cdef int _close(self, bint client_is_sending) except -1:
        """Close in order: what was written arrives, also when the client is still sending."""
        self.input = None
        self.exchange = None
        if self.transport is None:
            return 0
        if not client_is_sending or self.half_closed or not self.transport.can_write_eof():
            return self._shut()
        self.lingering = True
        self._pause(False)
        self.transport.write_eof()
        return self._watch()

    cdef int _shut(self) except -1:
        """Close once everything written has left, or once the client had its time to take it."""
        if self.closing:
            return 0
        self.closing = True
        self.input = None
        self.transport.close()
        if self.transport is not None and self.service.send_timeout > 0:
            self.service.wheel.arm(self, monotonic() + self.service.send_timeout)
        else:
            self.disarm()
        return 0

    def _client(self):
        return self.peer.remote_addr.decode("ascii") if self.peer is not None else "-"

    cdef int _reset(self) except -1:
        """Close with a reset: a response that ends with the connection would look complete."""
        self.closing = True
        self.input = None
        self.disarm()
        return reset_transport(self.transport)

    cdef int _lose_exchange(self, object reason, str words) except -1:
        cdef Exchange exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            exchange.client_gone(reason, words)
