"""What holds for every exchange between two correct ends, and for every broken peer."""

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ajp import _codec
from ajp.connection import (
    CLOSED,
    ContainerConnection,
    Signal,
    State,
    WebServerConnection,
)
from ajp.errors import LocalProtocolError, RemoteProtocolError
from ajp.messages import (
    CPing,
    CPong,
    EndResponse,
    ForwardRequest,
    FromContainer,
    FromWebServer,
    GetBodyChunk,
    RequestBody,
    SendBodyChunk,
    SendHeaders,
)
from tests.property import strategies as ours

few = settings(max_examples=60, deadline=None)
many = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass
class Script:
    """What both applications of one exchange do; the connections decide when."""

    body: bytes
    announced: bool
    asks: list[int]
    reads_all: bool
    response: list[FromContainer]


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    body = draw(st.binary(max_size=30) | st.integers(8000, 20000).map(lambda size: b"x" * size))
    chunks = draw(st.lists(ours.send_body_chunks, max_size=3))
    return Script(
        body=body,
        announced=draw(st.booleans()),
        asks=draw(st.lists(st.integers(1, 8186), min_size=1, max_size=4)),
        reads_all=draw(st.booleans()),
        response=[draw(ours.send_headers), *chunks, EndResponse(reuse=True)],
    )


class Wire:
    """Carries bytes between the ends in pieces of any size and notes what each end saw."""

    def __init__(self, data: st.DataObject | None) -> None:
        self._data = data
        self.web_server = WebServerConnection()
        self.container = ContainerConnection()
        self.seen_by_container: list[FromWebServer] = []
        self.seen_by_web_server: list[FromContainer] = []

    def _pieces(self, stream: bytes) -> list[bytes]:
        return [stream] if self._data is None else self._data.draw(ours.pieces(stream))

    def ask(self, message: FromWebServer) -> None:
        for piece in self._pieces(self.web_server.send(message)):
            self.container.receive(piece)
            while not isinstance(event := self.container.next_event(), Signal):
                self.seen_by_container.append(event)

    def answer(self, message: FromContainer) -> None:
        for piece in self._pieces(self.container.send(message)):
            self.web_server.receive(piece)
            while not isinstance(event := self.web_server.next_event(), Signal):
                self.seen_by_web_server.append(event)

    def run(self, script: Script) -> bytes:
        """One exchange; returns the request body as the container saw it."""
        length = ((b"content-length", b"%d" % len(script.body)),)
        self.ask(ForwardRequest(b"POST", b"/", headers=length if script.announced else ()))
        left = script.body
        asks = iter(script.asks * (1 + len(script.body)))
        begin = len(self.seen_by_container)
        while self.web_server.owed or (script.reads_all and not self.container.body_complete):
            assert self.web_server.owed is self.container.owed
            if not self.web_server.owed:
                self.answer(GetBodyChunk(min(next(asks), self.container.body_allowance)))
            allowance = self.web_server.body_allowance
            assert allowance <= 8186
            self.ask(RequestBody(left[:allowance]))
            left = left[allowance:]
        for message in script.response:
            self.answer(message)
        packets = self.seen_by_container[begin:]
        return b"".join(p.data for p in packets if isinstance(p, RequestBody))


@many
@given(st.lists(scripts(), min_size=1, max_size=3), st.data())
def test_any_split_of_both_streams_gives_the_same_exchange(
    exchanges: list[Script], data: st.DataObject
) -> None:
    split, whole = Wire(data), Wire(None)
    for script in exchanges:
        expected = script.body if script.reads_all else script.body[: 8186 * script.announced]
        for wire in (split, whole):
            assert wire.run(script) == expected
            assert wire.web_server.is_reusable
            assert wire.container.is_idle
        split.ask(CPing())
        split.answer(CPong())
    assert whole.seen_by_web_server == [
        event for event in split.seen_by_web_server if event != CPong()
    ]
    assert whole.seen_by_container == [
        event for event in split.seen_by_container if event != CPing()
    ]
    for connection in (split.web_server, split.container):
        connection.receive(b"")
        assert connection.next_event() is CLOSED


def outcome(connection: WebServerConnection | ContainerConnection) -> list[object]:
    """Messages until a signal or an error, which ends the list by its code."""
    found: list[object] = []
    try:
        while not isinstance(event := connection.next_event(), Signal):
            found.append(event)
    except RemoteProtocolError as error:
        found.append(error.code)
    return found


def feed_all(
    connection: WebServerConnection | ContainerConnection, parts: list[bytes]
) -> list[object]:
    found: list[object] = []
    for part in parts:
        try:
            connection.receive(part)
        except RemoteProtocolError:
            break
        found += outcome(connection)
    return found


def web_server_in(state: State) -> WebServerConnection:
    connection = WebServerConnection()
    if state is State.PINGING:
        connection.send(CPing())
    elif state is not State.IDLE:
        connection.send(ForwardRequest(headers=((b"content-length", b"5"),)))
        connection.send(RequestBody(b"hello"))
    if state is State.RESPONDING:
        connection.receive(_codec.encode(SendHeaders(200)))
        connection.next_event()
    return connection


def container_in(state: State) -> ContainerConnection:
    connection = ContainerConnection()
    if state is State.PINGING:
        connection.receive(_codec.CPING)
        connection.next_event()
    elif state is not State.IDLE:
        connection.receive(_codec.encode(ForwardRequest()))
        connection.next_event()
        connection.send(GetBodyChunk(100))
    if state is State.RESPONDING:
        connection.send(SendHeaders(200))
    return connection


open_states = st.sampled_from([State.IDLE, State.PINGING, State.WAITING, State.RESPONDING])
streams_to_web_server = st.one_of(
    st.lists(ours.packets(ours.from_container), max_size=5).map(b"".join),
    st.lists(ours.reframed(ours.packets(ours.from_container)), max_size=3).map(b"".join),
    ours.damaged(ours.packets(ours.from_container)),
    st.binary(max_size=60).map(lambda tail: b"AB" + tail),
    st.binary(max_size=20),
)
streams_to_container = st.one_of(
    st.lists(ours.packets(ours.from_web_server), max_size=5).map(b"".join),
    st.lists(ours.reframed(ours.packets(ours.from_web_server)), max_size=3).map(b"".join),
    ours.damaged(ours.packets(ours.from_web_server)),
    st.binary(max_size=60).map(lambda tail: b"\x12\x34" + tail),
    st.binary(max_size=20),
)


@many
@given(open_states, streams_to_web_server, st.data())
def test_web_server_sees_the_same_whatever_the_split(
    state: State, stream: bytes, data: st.DataObject
) -> None:
    """Right or wrong, and it never raises anything but RemoteProtocolError."""
    pieces = data.draw(ours.pieces(stream))
    split, whole = web_server_in(state), web_server_in(state)
    assert feed_all(split, [*pieces, b""]) == feed_all(whole, [stream, b""] if stream else [b""])
    assert split.state is whole.state
    assert split.owed is whole.owed


@many
@given(open_states, streams_to_container, st.data())
def test_container_sees_the_same_whatever_the_split(
    state: State, stream: bytes, data: st.DataObject
) -> None:
    """Right or wrong, and it never raises anything but RemoteProtocolError."""
    pieces = data.draw(ours.pieces(stream))
    split, whole = container_in(state), container_in(state)
    assert feed_all(split, [*pieces, b""]) == feed_all(whole, [stream, b""] if stream else [b""])
    assert split.state is whole.state
    assert split.send_refusal() == whole.send_refusal()


@many
@given(open_states, streams_to_web_server)
def test_web_server_that_was_misled_sends_nothing_more(state: State, stream: bytes) -> None:
    connection = web_server_in(state)
    feed_all(connection, [stream + b"x", b""])
    assert connection.state in (State.DEAD, State.CLOSED)
    assert not connection.is_reusable
    with pytest.raises((LocalProtocolError, RemoteProtocolError)):
        connection.send(ForwardRequest())


@few
@given(open_states, streams_to_container)
def test_refusal_is_an_answer_or_nothing(state: State, stream: bytes) -> None:
    connection = container_in(state)
    connection.receive(stream)
    outcome(connection)
    refusal = connection.send_refusal()
    if refusal:
        assert connection.state is State.DEAD
        peer = web_server_in(State.WAITING)
        peer.receive(refusal)
        assert outcome(peer) == [SendHeaders(400, b"400"), EndResponse(reuse=False)]


@few
@given(open_states, ours.from_web_server | ours.from_container)
def test_refused_messages_change_nothing(
    state: State, message: FromWebServer | FromContainer
) -> None:
    for connection in (web_server_in(state), container_in(state)):
        before = (connection.state, connection.owed, connection.body_complete, repr(connection))
        try:
            packet = connection.send(message)  # type: ignore[arg-type]
        except LocalProtocolError:
            assert before == (
                connection.state,
                connection.owed,
                connection.body_complete,
                repr(connection),
            )
        else:
            assert packet == _codec.encode(message)


@few
@given(st.lists(ours.send_body_chunks, max_size=6), st.data())
def test_flushes_and_chunks_arrive_in_order(
    chunks: list[SendBodyChunk], data: st.DataObject
) -> None:
    container = container_in(State.IDLE)
    container.receive(_codec.encode(ForwardRequest()))
    container.next_event()
    stream = container.send(SendHeaders(200)) + b"".join(map(container.send, chunks))
    connection = web_server_in(State.WAITING)
    found = feed_all(connection, data.draw(ours.pieces(stream)))
    assert found == [SendHeaders(200), *chunks]
