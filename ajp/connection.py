"""The two ends of an AJP13 connection as state machines without I/O.

Bytes go in by `receive`, messages come out of `next_event`, and `send` turns a message into the
bytes to write. What may be sent and received in which state is data, `TRANSITIONS`; what is absent
there is an error. Only the state decides what bytes are: a request-body packet has no type byte, so
`ContainerConnection` reads one exactly when it is owed, and never because of what it looks like.

Whatever the peer does wrong raises `RemoteProtocolError`, then and in every later call; what the
caller does wrong raises `LocalProtocolError` and changes nothing.

Nothing here waits, retries, splits data into packets, or knows HTTP beyond the length of a body.
Sockets, clocks, logging and policy (which status for which failure) must not be added.

Source: ajpv13a; the tables follow what Tomcat `AjpProcessor` and mod_jk `ajp_process_callback` do,
with their tolerance for peers out of step left out.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, NoReturn, TypeAlias

from . import _codec, constants, messages
from .errors import LocalProtocolError, RemoteProtocolError
from .messages import ForwardRequest, FromContainer, FromWebServer, GetBodyChunk, RequestBody

__all__ = [
    "CLOSED",
    "CONTAINER_RECEIVE",
    "NEED_DATA",
    "PAUSED",
    "TRANSITIONS",
    "WEB_SERVER_RECEIVE",
    "ContainerConnection",
    "PacketEvent",
    "Role",
    "Signal",
    "State",
    "WebServerConnection",
    "packet_event",
]

#: How often a container may ask again once the end of a body was written. That Tomcat asks once
#: more after the last byte is no repetition: no end was written then. Going on is a loop.
MAX_ASKS_AFTER_END: Final = 2


class Signal(Enum):
    """What `next_event` returns when there is no message."""

    NEED_DATA = auto()  #: no whole packet is there yet: `receive` more
    PAUSED = auto()  #: our turn: before we send, the peer's bytes may not be interpreted
    CLOSED = auto()  #: the connection is over in good order: close the transport


NEED_DATA: Final = Signal.NEED_DATA
PAUSED: Final = Signal.PAUSED
CLOSED: Final = Signal.CLOSED


class Role(Enum):
    """Which end of the connection this is."""

    WEB_SERVER = "web server"
    CONTAINER = "container"


class State(Enum):
    """States of a connection; both ends go through the same, one packet's flight apart."""

    IDLE = auto()  #: between exchanges
    PINGING = auto()  #: CPING without its CPONG
    WAITING = auto()  #: in an exchange, before SEND_HEADERS
    RESPONDING = auto()  #: in an exchange, after SEND_HEADERS
    CLOSED = auto()  #: over in good order
    DEAD = auto()  #: the peer broke the protocol


class PacketEvent(Enum):
    """Packets as the tables tell them apart, and the end of the peer's stream."""

    FORWARD_REQUEST = auto()
    REQUEST_BODY = auto()
    CPING = auto()
    PING = auto()
    SHUTDOWN = auto()
    SEND_HEADERS = auto()
    INTERIM_HEADERS = auto()  #: SEND_HEADERS with a 1xx status, which AJP does not have
    SEND_BODY_CHUNK = auto()
    FLUSH = auto()  #: SEND_BODY_CHUNK without data
    GET_BODY_CHUNK = auto()
    END_RESPONSE_REUSE = auto()
    END_RESPONSE_CLOSE = auto()
    CPONG = auto()
    PEER_EOF = auto()


_S = State
_E = PacketEvent

_Table: TypeAlias = dict[State, dict[PacketEvent, State]]

_WEB_SERVER_TABLE: Final[_Table] = {
    _S.IDLE: {_E.CPING: _S.PINGING, _E.FORWARD_REQUEST: _S.WAITING, _E.PEER_EOF: _S.CLOSED},
    _S.PINGING: {_E.CPONG: _S.IDLE},
    _S.WAITING: {
        _E.REQUEST_BODY: _S.WAITING,
        _E.GET_BODY_CHUNK: _S.WAITING,
        _E.FLUSH: _S.WAITING,
        _E.SEND_HEADERS: _S.RESPONDING,
    },
    _S.RESPONDING: {
        _E.REQUEST_BODY: _S.RESPONDING,
        _E.GET_BODY_CHUNK: _S.RESPONDING,
        _E.SEND_BODY_CHUNK: _S.RESPONDING,
        _E.FLUSH: _S.RESPONDING,
        _E.END_RESPONSE_REUSE: _S.IDLE,
        _E.END_RESPONSE_CLOSE: _S.CLOSED,
    },
    _S.CLOSED: {_E.PEER_EOF: _S.CLOSED},
    _S.DEAD: {},
}

# A web server has to put up with a flush before the headers; a container has no reason to send it.
_CONTAINER_TABLE: Final[_Table] = {
    **_WEB_SERVER_TABLE,
    _S.WAITING: {e: s for e, s in _WEB_SERVER_TABLE[_S.WAITING].items() if e is not _E.FLUSH},
}

#: Next states. What the state does not carry (is a body packet owed, how much of the body is left)
#: the two classes check besides.
TRANSITIONS: Final = {Role.WEB_SERVER: _WEB_SERVER_TABLE, Role.CONTAINER: _CONTAINER_TABLE}

_FROM_WEB_SERVER: Final = {_E.FORWARD_REQUEST, _E.REQUEST_BODY, _E.CPING, _E.PING, _E.SHUTDOWN}
_SENT_BY: Final = {
    Role.WEB_SERVER: _FROM_WEB_SERVER,
    Role.CONTAINER: set(PacketEvent) - _FROM_WEB_SERVER - {_E.PEER_EOF},
}


def _receivable(role: Role) -> dict[tuple[State, PacketEvent], State]:
    """The part of a role's table that is about what the peer does."""
    return {
        (state, event): target
        for state, row in TRANSITIONS[role].items()
        for event, target in row.items()
        if event not in _SENT_BY[role]
    }


#: What each end may receive; a pair that is absent is a protocol error and leads to DEAD.
WEB_SERVER_RECEIVE: Final[Mapping[tuple[State, PacketEvent], State]] = _receivable(Role.WEB_SERVER)
CONTAINER_RECEIVE: Final[Mapping[tuple[State, PacketEvent], State]] = _receivable(Role.CONTAINER)

_PLAIN_EVENTS: Final[dict[type, PacketEvent]] = {
    messages.ForwardRequest: _E.FORWARD_REQUEST,
    messages.RequestBody: _E.REQUEST_BODY,
    messages.CPing: _E.CPING,
    messages.Ping: _E.PING,
    messages.Shutdown: _E.SHUTDOWN,
    messages.GetBodyChunk: _E.GET_BODY_CHUNK,
    messages.CPong: _E.CPONG,
}


def packet_event(message: FromWebServer | FromContainer) -> PacketEvent:
    """Say what the transition tables call a message.

    Raises:
        TypeError: not a message of `ajp.messages`.
    """
    match message:
        case messages.SendHeaders(status=status):
            return _E.INTERIM_HEADERS if 100 <= status <= 199 else _E.SEND_HEADERS
        case messages.SendBodyChunk(data=data):
            return _E.SEND_BODY_CHUNK if data else _E.FLUSH
        case messages.EndResponse(reuse=reuse):
            return _E.END_RESPONSE_REUSE if reuse else _E.END_RESPONSE_CLOSE
    event = _PLAIN_EVENTS.get(type(message))
    if event is None:
        raise TypeError(f"expected a message of ajp.messages, not {type(message).__name__}")
    return event


class _Connection:
    """What both ends share: the stream, the table, the body's account, the sticky error."""

    def __init__(self, role: Role, magic: bytes, max_packet_size: int) -> None:
        self.max_packet_size: Final = max_packet_size
        self._role = role
        self._table = TRANSITIONS[role]
        self._state = State.IDLE
        self._splitter = _codec.Splitter(magic, max_packet_size)
        self._eof = False
        self._error: RemoteProtocolError | None = None
        self._begin_body(0)

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._state

    @property
    def is_idle(self) -> bool:
        """Whether no exchange and no ping is going on."""
        return self._state is State.IDLE

    @property
    def owed(self) -> bool:
        """Whether the web server has to write one more body packet."""
        return self._owed

    @property
    def body_complete(self) -> bool:
        """Whether the whole request body has passed.

        When its length is known no event says so: an end packet is owed only for a body of unknown
        length, and a container that waits for one elsewhere waits for ever (CVE-2014-0095).
        """
        return self._left == 0 or self._ended

    def receive(self, data: bytes | bytearray | memoryview) -> None:
        """Store bytes from the peer; copies them. ``b""`` says that it closed.

        Raises:
            LocalProtocolError: bytes behind ``b""``.
        """
        self._check_alive()
        if not data:
            self._eof = True
        elif self._eof:
            raise LocalProtocolError("bytes received behind the end of the stream")
        elif not self._is_deaf:
            self._splitter.feed(data)

    @property
    def _is_deaf(self) -> bool:
        return self._state is State.CLOSED

    def _begin_body(self, length: int | None) -> None:
        self._left = length
        self._owed = bool(length)
        self._ended = False

    def _count_body(self, length: int) -> None:
        self._owed = False
        self._ended = length == 0
        if self._left is not None:
            self._left -= length

    def _check_alive(self) -> None:
        if self._error is not None:
            # Without its old traceback, which would grow with each raise.
            raise self._error.with_traceback(None)

    def _violation(self, got: str, code: str = "E_STATE", kind: int | None = None) -> NoReturn:
        """Object to something the peer may not do now."""
        expected = self._legal(by_us=False)
        raise RemoteProtocolError(
            f"{got} in state {self._state.name}: expected {expected} [{code}]",
            code=code,
            expected=expected,
            got=got,
            packet_type=kind,
        )

    def _legal(self, *, by_us: bool) -> str:
        sent = _SENT_BY[self._role]
        names = [event.name for event in self._table[self._state] if (event in sent) is by_us]
        return " or ".join(names) or "nothing"

    def _check_may_send(self, event: PacketEvent) -> None:
        self._check_alive()
        if event not in _SENT_BY[self._role] or event not in self._table[self._state]:
            raise LocalProtocolError(
                f"{self._role.value} cannot send {event.name} in state {self._state.name}: "
                f"expected {self._legal(by_us=True)}"
            )

    def _advance(self, event: PacketEvent) -> None:
        self._state = self._table[self._state][event]

    def _no_packet(self) -> Signal:
        """Say what the absence of a whole packet means."""
        if not self._eof:
            return NEED_DATA
        self._splitter.finish()
        if _E.PEER_EOF not in self._table[self._state]:
            self._violation("end of stream", "E_EOF")
        self._advance(_E.PEER_EOF)
        return CLOSED

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._state.name} owed={self._owed:d} left={self._left}>"


class WebServerConnection(_Connection):
    """The end that sends requests.

    Write what `send` returns; feed what arrives to `receive` and call `next_event` until it returns
    `NEED_DATA` or `CLOSED` (it never returns `PAUSED`). A request that announces a body owes its
    first packet at once, every later one is asked for by a GetBodyChunk. Whenever `owed`::

        data = source.read(connection.body_allowance)
        transport.write(connection.send(RequestBody(data)))

    Args:
        max_packet_size: bytes of the largest whole packet, 8192-65536, the same on both ends.

    Source:
        ajpv13a; Tomcat `AjpProcessor`; mod_jk `ajp_send_request`, `ajp_process_callback`. Differs:
        mod_jk lets a second SEND_HEADERS and an END_RESPONSE without one pass.
    """

    def __init__(self, *, max_packet_size: int = constants.DEFAULT_PACKET_SIZE) -> None:
        super().__init__(Role.WEB_SERVER, constants.MAGIC_FROM_CONTAINER, max_packet_size)
        self._requested = 0
        self._asks_after_end = 0

    @property
    def is_reusable(self) -> bool:
        """Whether a request may be sent: idle, and nothing came behind the last response."""
        return self.is_idle and self._splitter.buffered == 0 and not self._eof

    @property
    def body_allowance(self) -> int:
        """Bytes the next RequestBody may carry now.

        0 when nothing is owed; also 0 when a packet is `owed` but the body is used up: then it has
        to be the end packet, `RequestBody()`.
        """
        if not self._owed or self._ended:
            return 0
        allowance = min(self._requested, self.max_packet_size - constants.REQUEST_BODY_OVERHEAD)
        return allowance if self._left is None else min(allowance, self._left)

    def next_event(self) -> FromContainer | Signal:
        """Take the next message.

        Returns:
            A message, `NEED_DATA`, or `CLOSED` (END_RESPONSE said so, or the container closed while
            idle). A GetBodyChunk sets `owed`; a flush before SendHeaders has no meaning.

        Raises:
            RemoteProtocolError: a malformed packet (its code); one out of turn (E_STATE, E_STATUS
                for 1xx); any byte while idle (E_STATE); end of stream inside a packet (E_TRUNCATED)
                or an exchange (E_EOF).
        """
        self._check_alive()
        try:
            return CLOSED if self._state is State.CLOSED else self._next()
        except RemoteProtocolError as error:
            self._error, self._state = error, State.DEAD
            raise

    def _next(self) -> FromContainer | Signal:
        if self._state is State.IDLE and self._splitter.buffered:
            # A container never speaks first: the packet need not even be whole.
            self._violation("bytes")
        payload = self._splitter.take()
        if payload is None:
            return self._no_packet()
        message = _codec.decode_from_container(payload)
        event = packet_event(message)
        if (self._state, event) not in WEB_SERVER_RECEIVE:
            code = "E_STATUS" if event is _E.INTERIM_HEADERS else "E_STATE"
            self._violation(event.name, code, payload[0])
        if isinstance(message, GetBodyChunk):
            self._asks_after_end += self._ended
            if self._owed or self._asks_after_end > MAX_ASKS_AFTER_END:
                self._violation("one GET_BODY_CHUNK too many", kind=payload[0])
            self._owed = True
            self._requested = message.requested
        elif event is _E.END_RESPONSE_REUSE and self._owed:
            # The container would read the packet still owed as the next request.
            event = _E.END_RESPONSE_CLOSE
        self._advance(event)
        return message

    def send(self, message: FromWebServer) -> bytes:
        """Encode a message into one packet and go on as if it was written.

        Args:
            message: ForwardRequest or CPing while `is_reusable`; RequestBody while `owed`, with at
                most `body_allowance` bytes, or without data to end the body.

        Raises:
            LocalProtocolError: not now, or it cannot be encoded; nothing has changed.

        Source:
            ajpv13a "Request Body"; mod_jk sends the first packet of a body of known length behind
            the request unasked, and nothing unasked when the length is not known.
        """
        event = packet_event(message)
        self._check_may_send(event)
        if isinstance(message, RequestBody):
            self._check_body(len(message.data))
        elif not self.is_reusable:
            raise LocalProtocolError(f"{event.name}: the container closed or spoke out of turn")
        packet = _codec.encode(message, self.max_packet_size)
        self._advance(event)
        if isinstance(message, RequestBody):
            self._count_body(len(message.data))
        elif isinstance(message, ForwardRequest):
            self._begin_body(message.content_length)
            self._requested = self.max_packet_size
            self._asks_after_end = 0
        return packet

    def _check_body(self, length: int) -> None:
        if not self._owed:
            raise LocalProtocolError("request body packet that is not owed")
        if length > self.body_allowance:
            raise LocalProtocolError(
                f"request body packet may carry {self.body_allowance} bytes now, not {length}"
            )
        if length == 0 and self._left:
            # The container would take this for a complete body; closing is the honest way out.
            raise LocalProtocolError(f"request body ended {self._left} bytes early")


class ContainerConnection(_Connection):
    """The end that answers requests.

    After a ForwardRequest `next_event` returns `PAUSED` until a body packet is owed: at once when
    the request announced a body, else after a GetBodyChunk. While one is `owed`, END_RESPONSE may
    not keep the connection: take the packet first. With `has_unsolicited` it never may.

    Args:
        max_packet_size: bytes of the largest whole packet, 8192-65536, the same on both ends.
        max_headers: a request with more headers is refused.
        tolerate: `ajp.Tolerate` flags for the requests of careless peers.

    Source:
        ajpv13a; Tomcat `AjpProcessor.refillReadBuffer`, `finishResponse`. Differs: Tomcat asks once
        more after the last byte of a known length and takes an end packet before it for the end.
    """

    def __init__(
        self,
        *,
        max_packet_size: int = constants.DEFAULT_PACKET_SIZE,
        max_headers: int = constants.DEFAULT_MAX_HEADERS,
        tolerate: int = 0,
    ) -> None:
        super().__init__(Role.CONTAINER, constants.MAGIC_FROM_WEB_SERVER, max_packet_size)
        self._max_headers = max_headers
        self._tolerate = tolerate
        self._held: bytes | None = None  # payload of a packet that was looked at before its time
        self._may_refuse = False

    @property
    def body_allowance(self) -> int:
        """Bytes the next GetBodyChunk should ask for; 0 when none may be sent."""
        # Unsolicited bytes would be taken for the answer.
        if not self._in_exchange or self._owed or self.body_complete or self.has_unsolicited:
            return 0
        largest = self.max_packet_size - constants.REQUEST_BODY_OVERHEAD
        return largest if self._left is None else min(largest, self._left)

    @property
    def has_unsolicited(self) -> bool:
        """Whether the web server sent, within this exchange, what it does not owe.

        Such bytes are never interpreted: they may be a body made to look like a request. One exact
        CPING is no offence (Undertow's client can queue it behind a request); it waits its turn.
        """
        if not self._in_exchange or self._owed:
            return False
        if self._held is None and self._splitter.buffered == len(_codec.CPING):
            try:
                self._held = self._splitter.take()
            except RemoteProtocolError:
                return True
        return self._held not in (None, b"\x0a") or self._splitter.buffered > 0

    @property
    def _in_exchange(self) -> bool:
        return self._state is State.WAITING or self._state is State.RESPONDING

    @property
    def _is_deaf(self) -> bool:
        # Unsolicited bytes are never interpreted; they must not fill our memory either.
        flooded = self._splitter.buffered >= self.max_packet_size and self.has_unsolicited
        return flooded or self._state is State.CLOSED

    def next_event(self) -> FromWebServer | Signal:
        """Take the next message.

        Returns:
            ForwardRequest or CPing while idle (answer the latter by CPong); RequestBody while one
            is owed, without data for an end packet; `NEED_DATA`, `PAUSED` or `CLOSED`.

        Raises:
            RemoteProtocolError: a malformed packet (its code); SHUTDOWN or PING (E_TYPE); more body
                than announced (E_BODY_OVERRUN), its end too early (E_BODY_SHORT); end of stream
                inside a packet (E_TRUNCATED) or an exchange (E_EOF). See `send_refusal`.
        """
        self._check_alive()
        try:
            return CLOSED if self._state is State.CLOSED else self._next()
        except RemoteProtocolError as error:
            self._may_refuse = self._is_answerable(error)
            self._error, self._state = error, State.DEAD
            raise

    def _next(self) -> FromWebServer | Signal:
        if self._state is State.PINGING:
            return PAUSED
        if self._in_exchange:
            return self._next_body()
        payload = self._splitter.take() if self._held is None else self._held
        self._held = None
        if payload is None:
            return self._no_packet()
        message = _codec.decode_from_web_server(payload, self._max_headers, self._tolerate)
        event = packet_event(message)
        if (self._state, event) not in CONTAINER_RECEIVE:
            self._violation(event.name, "E_TYPE", payload[0])
        if isinstance(message, ForwardRequest):
            self._begin_body(message.content_length)
        self._advance(event)
        return message

    def _next_body(self) -> RequestBody | Signal:
        if not self._owed:
            if self._eof:
                self._violation("end of stream", "E_EOF")
            return PAUSED
        payload = self._splitter.take()
        if payload is None:
            return self._no_packet()
        body = _codec.decode_request_body(payload)
        surplus = 0 if self._left is None else len(body.data) - self._left
        if surplus > 0:
            self._violation(f"{surplus} body bytes more than announced", "E_BODY_OVERRUN")
        if surplus < 0 and not body.data:
            self._violation(f"end of body {-surplus} bytes early", "E_BODY_SHORT")
        self._count_body(len(body.data))
        self._advance(_E.REQUEST_BODY)
        return body

    def _is_answerable(self, error: RemoteProtocolError) -> bool:
        if self._state is State.IDLE and error.code != "E_TOO_LARGE":
            return error.packet_type == constants.PacketType.FORWARD_REQUEST
        is_framed = error.code not in ("E_MAGIC", "E_TRUNCATED", "E_EOF")
        return is_framed and self._state is not State.RESPONDING

    def send(self, message: FromContainer) -> bytes:
        """Encode a message into one packet and go on as if it was written.

        Splitting data at max_packet_size - 8, and leaving out the body of an answer to HEAD or
        with 204, 205 or 304, is the caller's business.

        Args:
            message: CPong after CPing; SendHeaders once in an exchange, then SendBodyChunk;
                GetBodyChunk when `body_allowance`; EndResponse last.

        Raises:
            LocalProtocolError: not now, or it cannot be encoded; nothing has changed.

        Source:
            ajpv13a "Response Packet Structure"; an END_RESPONSE that keeps a connection with an
            unread body packet on it was CVE-2011-3190.
        """
        event = packet_event(message)
        self._check_may_send(event)
        if event is _E.GET_BODY_CHUNK and not self.body_allowance:
            raise LocalProtocolError("GET_BODY_CHUNK: owed, complete, or bytes came unasked")
        if event is _E.END_RESPONSE_REUSE and (self._owed or self.has_unsolicited):
            raise LocalProtocolError("END_RESPONSE with reuse: body owed, or bytes came unasked")
        packet = _codec.encode(message, self.max_packet_size)
        self._advance(event)
        # What is owed at END_RESPONSE was given up together with the connection.
        self._owed = self._in_exchange and (self._owed or event is _E.GET_BODY_CHUNK)
        return packet

    def send_refusal(self, status: int = 400, reason: bytes | None = None) -> bytes:
        """Answer what `next_event` raised for, where that can still be done.

        It can after a well framed but invalid FORWARD_REQUEST or body packet and after a packet
        declared too large, unless SEND_HEADERS was written before. All else (wrong magic, another
        type, end of stream) is to be closed without a word. Close after writing.

        Args:
            status: 200-999.
            reason: None for the status as text, as Tomcat sends it.

        Returns:
            SEND_HEADERS and END_RESPONSE without reuse; empty when nothing can be said (any more).

        Source:
            Tomcat `AjpProcessor.service`: 400, then END_RESPONSE with reuse 0.
        """
        if not self._may_refuse:
            return b""
        phrase = b"%d" % status if reason is None else reason
        packet = _codec.encode(messages.SendHeaders(status, phrase), self.max_packet_size)
        self._may_refuse = False
        return packet + _codec.END_RESPONSE_CLOSE
