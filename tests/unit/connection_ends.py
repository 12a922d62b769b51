"""Either end of a connection in any state, and both together as a pair; what its tests share."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import pytest

from ajp import _codec
from ajp.connection import ContainerConnection, Signal, State, WebServerConnection
from ajp.errors import LocalProtocolError, RemoteProtocolError
from ajp.messages import (
    CPing,
    EndResponse,
    ForwardRequest,
    FromContainer,
    FromWebServer,
    SendHeaders,
)

Connection: TypeAlias = WebServerConnection | ContainerConnection
Event: TypeAlias = FromWebServer | FromContainer
Send: TypeAlias = Callable[[bytes], Iterable[bytes]]

GET = ForwardRequest(uri=b"/", headers=((b"content-length", b"0"),))
PUSH = ForwardRequest(method=b"POST", uri=b"/up", headers=((b"Transfer-Encoding", b"chunked"),))
OK = SendHeaders(200, b"OK")
KEEP = EndResponse(reuse=True)
DROP = EndResponse(reuse=False)
INTERIM = bytes.fromhex("4142000b0400640003313030000000")  # SEND_HEADERS 100; not to be encoded


def post(length: int) -> ForwardRequest:
    return ForwardRequest(
        method=b"POST", uri=b"/up", headers=((b"content-length", b"%d" % length),)
    )


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[i : i + 1] for i in range(len(stream))]


def whole(stream: bytes) -> list[bytes]:
    return [stream] if stream else []


#: The test runs twice: the stream in one piece and byte by byte.
fragmented = pytest.mark.parametrize("delivery", [whole, bytewise])


def drain(connection: Connection) -> tuple[list[Event], Signal]:
    found: list[Event] = []
    while not isinstance(event := connection.next_event(), Signal):
        found.append(event)
    return found, event


def feed(connection: Connection, stream: bytes, delivery: Send = whole) -> list[Event]:
    found = []
    for piece in delivery(stream):
        connection.receive(piece)
        found += drain(connection)[0]
    return found


class ConnectionPair:
    """A web server and a container with a wire between them that delivers at once."""

    def __init__(self, delivery: Send = whole, max_packet_size: int = 8192) -> None:
        self.web_server = WebServerConnection(max_packet_size=max_packet_size)
        self.container = ContainerConnection(max_packet_size=max_packet_size)
        self._delivery = delivery

    def ask(self, *messages: FromWebServer) -> None:
        """Let the web server send each message and the container receive just that."""
        for message in messages:
            packet = self.web_server.send(message)
            assert feed(self.container, packet, self._delivery) == [message]

    def answer(self, *messages: FromContainer) -> None:
        """Let the container send each message and the web server receive just that."""
        for message in messages:
            packet = self.container.send(message)
            assert feed(self.web_server, packet, self._delivery) == [message]


def remote_error(call: Callable[[], object]) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        call()
    return caught.value


def fails(connection: Connection, code: str) -> RemoteProtocolError:
    """The connection finds the peer guilty, and says so again whatever is called next."""
    error = remote_error(connection.next_event)
    assert error.code == code
    assert connection.state is State.DEAD
    for _ in range(2):
        assert remote_error(connection.next_event) is error
    assert remote_error(lambda: connection.receive(b"x")) is error
    if isinstance(connection, WebServerConnection):
        web_server = connection
        assert remote_error(lambda: web_server.send(GET)) is error
        assert not connection.is_reusable
    else:
        container = connection
        assert remote_error(lambda: container.send(OK)) is error
    return error


def refuses(connection: Connection, message: Event) -> str:
    """The connection will not send this, and nothing has changed."""
    before = (connection.state, connection.owed, connection.body_allowance, repr(connection))
    with pytest.raises(LocalProtocolError) as caught:
        connection.send(message)  # type: ignore[arg-type]
    assert before == (
        connection.state,
        connection.owed,
        connection.body_allowance,
        repr(connection),
    )
    return str(caught.value)


OPEN_STATES = (State.IDLE, State.PINGING, State.WAITING, State.RESPONDING)


def web_server_in(state: State, request: ForwardRequest = PUSH) -> WebServerConnection:
    connection = WebServerConnection()
    if state is State.PINGING:
        connection.send(CPing())
    elif state is not State.IDLE:
        connection.send(request)
    if state in (State.RESPONDING, State.CLOSED):
        assert feed(connection, _codec.encode(OK)) == [OK]
    if state is State.CLOSED:
        assert feed(connection, _codec.encode(DROP)) == [DROP]
    assert connection.state is state
    return connection


def container_in(state: State, request: ForwardRequest = PUSH) -> ContainerConnection:
    connection = ContainerConnection()
    if state is State.PINGING:
        feed(connection, _codec.CPING)
    elif state is not State.IDLE:
        feed(connection, _codec.encode(request))
    if state in (State.RESPONDING, State.CLOSED):
        connection.send(OK)
    if state is State.CLOSED:
        connection.send(DROP)
    assert connection.state is state
    return connection
