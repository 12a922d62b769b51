"""What the transition tables say, done by both ends; ends of streams and of connections."""

from collections.abc import Callable

import pytest

from ajp import _codec
from ajp.connection import (
    CLOSED,
    CONTAINER_RECEIVE,
    NEED_DATA,
    PAUSED,
    TRANSITIONS,
    WEB_SERVER_RECEIVE,
    ContainerConnection,
    PacketEvent,
    Role,
    State,
    WebServerConnection,
    packet_event,
)
from ajp.errors import LocalProtocolError
from ajp.messages import (
    CPing,
    CPong,
    FromContainer,
    FromWebServer,
    GetBodyChunk,
    Ping,
    RequestBody,
    SendBodyChunk,
    SendHeaders,
    Shutdown,
)
from tests.unit.connection_ends import (
    DROP,
    GET,
    INTERIM,
    KEEP,
    OK,
    OPEN_STATES,
    Connection,
    Send,
    container_in,
    drain,
    fails,
    feed,
    fragmented,
    post,
    refuses,
    web_server_in,
)

# --- the tables -----------------------------------------------------------------------------------

FROM_WEB_SERVER: dict[PacketEvent, tuple[FromWebServer, bytes]] = {
    packet_event(message): (message, _codec.encode(message))
    for message in (post(5), RequestBody(b"hello"), CPing(), Ping(), Shutdown())
}
FROM_CONTAINER: dict[PacketEvent, tuple[FromContainer, bytes]] = {
    packet_event(message): (message, _codec.encode(message))
    for message in (
        OK,
        SendBodyChunk(b"hello"),
        SendBodyChunk(),
        GetBodyChunk(5),
        KEEP,
        DROP,
        CPong(),
    )
} | {PacketEvent.INTERIM_HEADERS: (SendHeaders(100), INTERIM)}


def test_every_state_of_both_roles_has_a_row() -> None:
    assert set(TRANSITIONS) == set(Role)
    for table in TRANSITIONS.values():
        assert set(table) == set(State)
        assert table[State.DEAD] == {}
        assert table[State.CLOSED] == {PacketEvent.PEER_EOF: State.CLOSED}
        for row in table.values():
            assert not {PacketEvent.PING, PacketEvent.SHUTDOWN, PacketEvent.INTERIM_HEADERS} & set(
                row
            )


def test_the_ends_differ_only_in_a_flush_before_headers() -> None:
    web_server, container = TRANSITIONS[Role.WEB_SERVER], TRANSITIONS[Role.CONTAINER]
    for state in State:
        row = dict(web_server[state])
        if state is State.WAITING:
            assert row.pop(PacketEvent.FLUSH) is State.WAITING
        assert row == container[state]


def test_received_events_are_those_of_the_peer() -> None:
    assert {e for _, e in WEB_SERVER_RECEIVE} <= {*FROM_CONTAINER, PacketEvent.PEER_EOF}
    assert {e for _, e in CONTAINER_RECEIVE} <= {*FROM_WEB_SERVER, PacketEvent.PEER_EOF}
    assert {*FROM_CONTAINER, *FROM_WEB_SERVER, PacketEvent.PEER_EOF} == set(PacketEvent)


@pytest.mark.parametrize("state", OPEN_STATES)
@pytest.mark.parametrize("event", FROM_CONTAINER)
@fragmented
def test_web_server_receives_what_its_table_says(
    state: State, event: PacketEvent, delivery: Send
) -> None:
    connection = web_server_in(state)
    message, packet = FROM_CONTAINER[event]
    target = WEB_SERVER_RECEIVE.get((state, event))
    if target is not None:
        assert feed(connection, packet, delivery) == [message]
        assert connection.state is target
        return
    for piece in delivery(packet):
        connection.receive(piece)
    expected_code = "E_STATE"
    if event is PacketEvent.INTERIM_HEADERS and state is not State.IDLE:
        expected_code = "E_STATUS"
    error = fails(connection, expected_code)
    if state is not State.IDLE:
        assert error.packet_type == packet[4]
        assert state.name in str(error)
        assert event.name in error.got
        assert error.expected


@pytest.mark.parametrize("state", OPEN_STATES)
@pytest.mark.parametrize("event", FROM_WEB_SERVER)
@fragmented
def test_container_receives_what_its_table_says(
    state: State, event: PacketEvent, delivery: Send
) -> None:
    connection = container_in(state)
    if event is PacketEvent.REQUEST_BODY and state in (State.WAITING, State.RESPONDING):
        connection.send(GetBodyChunk(5))
    message, packet = FROM_WEB_SERVER[event]
    target = CONTAINER_RECEIVE.get((state, event))
    if target is not None:
        assert feed(connection, packet, delivery) == [message]
        assert connection.state is target
    elif state is State.IDLE:
        for piece in delivery(packet):
            connection.receive(piece)
        # A body packet has no type: its length's high byte, 0, is read as one.
        error = fails(connection, "E_TYPE")
        assert error.packet_type == packet[4]
        assert connection.send_refusal() == b""
    else:
        # Nothing is owed, so nothing is interpreted.
        assert feed(connection, packet, delivery) == []
        assert connection.next_event() is PAUSED
        assert connection.state is state


@pytest.mark.parametrize("state", [*OPEN_STATES, State.CLOSED])
@pytest.mark.parametrize("event", FROM_WEB_SERVER)
def test_web_server_sends_what_its_table_says(state: State, event: PacketEvent) -> None:
    connection = web_server_in(state, post(5))
    message, packet = FROM_WEB_SERVER[event]
    target = TRANSITIONS[Role.WEB_SERVER][state].get(event)
    if target is None:
        text = refuses(connection, message)
        assert event.name in text
        assert state.name in text
    else:
        assert connection.send(message) == packet
        assert connection.state is target


@pytest.mark.parametrize("state", [*OPEN_STATES, State.CLOSED])
@pytest.mark.parametrize("event", FROM_CONTAINER)
def test_container_sends_what_its_table_says(state: State, event: PacketEvent) -> None:
    connection = container_in(state)
    message, packet = FROM_CONTAINER[event]
    target = TRANSITIONS[Role.CONTAINER][state].get(event)
    if target is None:
        text = refuses(connection, message)
        assert event.name in text
        assert state.name in text
    else:
        assert connection.send(message) == packet
        assert connection.state is target


def test_nobody_sends_what_the_other_end_says() -> None:
    for message, _ in FROM_CONTAINER.values():
        refuses(web_server_in(State.RESPONDING), message)
    for misplaced, _ in FROM_WEB_SERVER.values():
        refuses(container_in(State.RESPONDING, post(5)), misplaced)


@pytest.mark.parametrize("make", [web_server_in, container_in])
@pytest.mark.parametrize("state", [*OPEN_STATES, State.CLOSED])
def test_end_of_stream_is_clean_only_between_exchanges(
    make: Callable[[State], Connection], state: State
) -> None:
    connection = make(state)
    connection.receive(b"")
    if state in (State.IDLE, State.CLOSED):
        assert connection.next_event() is CLOSED
        assert connection.next_event() is CLOSED
        assert connection.state is State.CLOSED
    elif isinstance(connection, ContainerConnection) and state is State.PINGING:
        # Whoever pings and closes its writing half still wants to read the answer.
        assert connection.next_event() is PAUSED
        assert connection.send(CPong()) == _codec.CPONG
        assert connection.next_event() is CLOSED
    else:
        fails(connection, "E_EOF")


@pytest.mark.parametrize(
    ("connection", "packet"),
    [
        (web_server_in(State.RESPONDING), _codec.encode(SendBodyChunk(b"hello"))),
        (container_in(State.IDLE), _codec.encode(GET)),
        (container_in(State.WAITING, post(5)), _codec.encode(RequestBody(b"hello"))),
    ],
    ids=["response", "request", "body"],
)
def test_end_of_stream_inside_a_packet(connection: Connection, packet: bytes) -> None:
    connection.receive(packet[:-1])
    assert connection.next_event() is NEED_DATA
    connection.receive(b"")
    fails(connection, "E_TRUNCATED")


def test_nothing_can_be_received_behind_the_end_of_the_stream() -> None:
    connection = WebServerConnection()
    connection.receive(b"")
    connection.receive(b"")
    with pytest.raises(LocalProtocolError):
        connection.receive(b"x")
    assert not connection.is_reusable
    assert "closed" in refuses(connection, GET)
    assert connection.next_event() is CLOSED


def test_packets_before_the_end_of_the_stream_are_not_lost() -> None:
    connection = web_server_in(State.WAITING)
    connection.receive(b"".join(_codec.encode(m) for m in (OK, SendBodyChunk(b"x"), KEEP)))
    connection.receive(b"")
    assert drain(connection) == ([OK, SendBodyChunk(b"x"), KEEP], CLOSED)


@pytest.mark.parametrize("make", [web_server_in, container_in])
def test_bytes_behind_the_end_of_a_connection_mean_nothing(
    make: Callable[[State], Connection],
) -> None:
    connection = make(State.CLOSED)
    connection.receive(b"whatever")
    assert connection.next_event() is CLOSED
    connection.receive(b"")
    assert connection.next_event() is CLOSED


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(TypeError, match="not bytes"):
        packet_event(b"x")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        WebServerConnection().send("GET /")  # type: ignore[arg-type]


def test_repr_shows_where_it_stands() -> None:
    web_server = web_server_in(State.RESPONDING, post(5))
    assert repr(web_server) == "<WebServerConnection RESPONDING owed=1 left=5>"
    assert repr(container_in(State.WAITING)) == "<ContainerConnection WAITING owed=0 left=None>"


@pytest.mark.parametrize("size", [8191, 65537])
def test_packet_size_has_bounds(size: int) -> None:
    for make in (WebServerConnection, ContainerConnection):
        with pytest.raises(ValueError, match="max_packet_size"):
            make(max_packet_size=size)
