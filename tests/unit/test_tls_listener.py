"""The listener for TLS: who gets through, who does not, a PROXY header before the handshake."""

import asyncio
import contextlib
import gc
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from ajpd.http.proxy_protocol import ProxyHeader
from ajpd.tls import Contexts
from ajpd.tls_listener import TLSListener
from tests.faults.stage import open_files
from tests.unit.pki import Place
from tests.unit.support import both_loops, until


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class Echo(asyncio.Protocol):
    """Sends back what it gets; `header` is what stood before the handshake."""

    def __init__(self, header: ProxyHeader | None, made: list["Echo"]) -> None:
        self.header = header
        self.transport: asyncio.Transport | None = None
        self._made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self._made.append(self)

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class Listening:
    """A listener and the connections that got through."""

    def __init__(self, place: Place, sock: socket.socket, listener: TLSListener) -> None:
        self.place = place
        self.sock = sock
        self.port: int = sock.getsockname()[1]
        self.listener = listener
        self.through: list[Echo] = []

    async def ask(self, client: ssl.SSLContext, first: bytes = b"") -> bytes:
        """Send something through a handshake of its own and read the answer."""
        loop = asyncio.get_running_loop()
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.sendall(first)
        sock.setblocking(False)
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        async with asyncio.timeout(5):
            transport, _ = await loop.create_connection(
                lambda: protocol, sock=sock, ssl=client, server_hostname="www.example"
            )
            transport.write(b"hello")
            answer = await reader.readexactly(5)
        transport.close()
        return answer

    async def plain(self, *parts: bytes) -> bytes:
        """Send bytes as they are and read until the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)
        received = b""
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                received = await reader.read()
        writer.close()
        return received


@asynccontextmanager
async def listening(place: Place, **values: Any) -> AsyncIterator[Listening]:
    """A listener with nothing left behind, and nothing that reached the loop's handler."""
    loop = asyncio.get_running_loop()
    uncaught: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: uncaught.append(context))
    await asyncio.sleep(0)
    before = open_files()
    config = values.pop("config", None) or place.config()
    contexts = Contexts(config)
    made: list[Echo] = []
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    listener = TLSListener(
        sock,
        lambda: contexts.current,
        lambda header: Echo(header, made),
        **{"handshake_timeout": 5.0, **values},
    )
    found = Listening(place, sock, listener)
    found.through = made
    listener.start()
    try:
        yield found
    finally:
        await listener.aclose()
        sock.close()
        for echo in made:
            assert echo.transport is not None
            echo.transport.abort()
    assert listener.handshakes == 0
    await until(lambda: open_files() <= before)
    assert not uncaught, uncaught


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test leaves more than one line of one kind in the log, and none of asyncio."""
    caplog.set_level(logging.DEBUG, "ajpd")
    caplog.set_level(logging.INFO, "asyncio")
    yield
    assert not [record for record in caplog.records if record.name == "asyncio"]


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.INFO]


@both_loops
async def test_a_connection_gets_through(place: Place) -> None:
    async with listening(place) as found:
        assert await found.ask(place.client()) == b"hello"
        assert [echo.header for echo in found.through] == [None]
        await until(lambda: found.listener.handshakes == 0)


@both_loops
async def test_many_at_once(place: Place) -> None:
    async with listening(place) as found:
        client = place.client()
        assert await asyncio.gather(*(found.ask(client) for _ in range(20))) == [b"hello"] * 20


@both_loops
async def test_clients_that_do_not_speak_tls(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(place) as found:
        await found.plain(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert complaints(caplog) == [
            "client=127.0.0.1 TLS handshake: the client speaks HTTP without TLS"
        ]
        caplog.clear()
        await found.plain(b"\x00\x01\x02garbage garbage")
        assert len(complaints(caplog)) == 1
        assert not found.through


@both_loops
async def test_health_checks_leave_no_line(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(place) as found:
        for reset in (False, True):
            sock = socket.create_connection(("127.0.0.1", found.port))
            await until(lambda: found.listener.handshakes == 1)
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
            await until(lambda: found.listener.handshakes == 0)
    assert complaints(caplog) == []


@both_loops
async def test_who_never_shakes_hands_is_cut_off(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(place, handshake_timeout=0.05) as found:
        assert await found.plain() == b""
        assert await found.plain(b"\x16\x03\x01") == b""
        assert not found.through
        await until(lambda: found.listener.handshakes == 0)
    assert complaints(caplog) == ["client=127.0.0.1 TLS handshake: not done in time"] * 2


@both_loops
async def test_a_client_without_the_certificate_that_is_required(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(place, config=place.config(client_verify="require")) as found:
        # The loops drop the alert; the client is told all the same.
        with pytest.raises(ssl.SSLError, match="ALERT_CERTIFICATE_REQUIRED"):
            await found.ask(place.client())
        assert await found.ask(place.client(with_certificate=True)) == b"hello"
    assert complaints(caplog) == ["client=127.0.0.1 TLS handshake: the client has no certificate"]


@both_loops
async def test_a_client_with_old_versions_is_told(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(place, config=place.config(min_version="1.3")) as found:
        client = place.client()
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
            await found.ask(client)
    assert complaints(caplog) == [
        "client=127.0.0.1 TLS handshake: the client's versions of TLS are too old"
    ]


@both_loops
async def test_a_name_that_is_not_ascii(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    hello = ssl.MemoryBIO()
    client = place.client().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="www.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    async with listening(place, config=place.config("www", "wild")) as found:
        # An exception that Python could only print would fail this test.
        await found.plain(hello.read().replace(b"www.example", b"\xff\xfew.example"))
    assert complaints(caplog) == [
        "client=127.0.0.1 TLS handshake: the client asks for a name that is not ASCII"
    ]


@both_loops
async def test_closing_cuts_off_who_is_not_through(place: Place) -> None:
    async with listening(place) as found:
        sock = socket.create_connection(("127.0.0.1", found.port))
        await until(lambda: found.listener.handshakes == 1)
        await found.listener.aclose()
        assert found.listener.handshakes == 0
        sock.settimeout(5)
        assert await asyncio.to_thread(sock.recv, 1) == b""
        sock.close()


@both_loops
async def test_closing_right_after_accepting(place: Place) -> None:
    # However far the task of a connection is, its socket is closed; a warning fails the test.
    for turns in range(6):
        async with listening(place) as found:
            with socket.create_connection(("127.0.0.1", found.port)):
                while not found.listener.handshakes:  # noqa: ASYNC110 - a pause would miss it
                    await asyncio.sleep(0)
                for _ in range(turns):
                    await asyncio.sleep(0)
                await found.listener.aclose()
        gc.collect()


@both_loops
async def test_nobody_is_lost_between_the_queue_and_a_handshake(place: Place) -> None:
    """At whatever moment accepting ends, who comes is in one of the two."""
    for turns in range(12):
        async with listening(place) as found, contextlib.AsyncExitStack() as stack:
            rest = stack.enter_context(found.sock.dup())
            for _ in range(5):
                address = ("127.0.0.1", found.port)
                stack.enter_context(socket.create_connection(address))
            for _ in range(turns):
                await asyncio.sleep(0)
            found.listener.accept_no_more()
            for _ in range(3):
                await asyncio.sleep(0)
            left = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    rest.accept()[0].close()
                    left += 1
            assert found.listener.handshakes + left == 5
        gc.collect()


@both_loops
async def test_handshakes_at_a_time(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(place, most=1) as found:
        with socket.create_connection(("127.0.0.1", found.port)):
            await until(lambda: found.listener.handshakes == 1)
            assert await found.plain() == b""
        await until(lambda: found.listener.handshakes == 0)
        assert await found.ask(place.client()) == b"hello"
    assert complaints(caplog) == ["client=127.0.0.1 cut off: 1 handshakes"]


@both_loops
async def test_no_descriptors_left(
    place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ajpd.tls_listener.PAUSE", 0.01)
    failures = [OSError(24, "Too many open files"), ConnectionAbortedError(103, "aborted")]

    class Poor(socket.socket):
        """A listening socket whose first accepts fail."""

        def accept(self) -> Any:
            if failures:
                raise failures.pop(0)
            return super().accept()

    async with listening(place) as found:
        found.listener.accept_no_more()
        with Poor(fileno=found.sock.dup().detach()) as poor:
            poor.setblocking(False)
            found.listener._sock = poor
            found.listener.start()
            assert await found.ask(place.client()) == b"hello"
            found.listener.accept_no_more()
    assert not failures
    assert complaints(caplog) == [
        "cannot accept: [Errno 24] Too many open files; the next try is in 0.01 s"
    ]


@both_loops
async def test_accepting_ends_while_there_are_no_descriptors(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ajpd.tls_listener.PAUSE", 0.01)

    class Poor(socket.socket):
        """A listening socket that cannot accept."""

        tries = 0

        def accept(self) -> Any:
            Poor.tries += 1
            raise OSError(24, "Too many open files")

    async with listening(place) as found:
        found.listener.accept_no_more()
        with Poor(fileno=found.sock.dup().detach()) as poor:
            poor.setblocking(False)
            found.listener._sock = poor
            found.listener.start()
            with socket.create_connection(("127.0.0.1", found.port)):
                await until(lambda: Poor.tries == 2)
                found.listener.accept_no_more()
                await asyncio.sleep(0.03)
                assert Poor.tries == 2


# --- a PROXY header before the handshake ----------------------------------------------------------

V1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 443\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes([192, 0, 2, 7, 192, 0, 2, 1, 156, 64, 1, 187])


def trusts(address: str | None) -> bool:
    return address == "127.0.0.1"


@both_loops
async def test_a_proxy_may_say_who_its_client_is(place: Place) -> None:
    async with listening(place, trusts=trusts) as found:
        for header in (V1, V2):
            assert await found.ask(place.client(), header) == b"hello"
        assert await found.ask(place.client()) == b"hello"
        said = [
            echo.header and (echo.header.source, echo.header.source_port) for echo in found.through
        ]
        assert said == [("192.0.2.7", 40000), ("192.0.2.7", 40000), None]


@both_loops
async def test_a_header_in_pieces(place: Place) -> None:
    async with listening(place, trusts=trusts) as found:
        for header in (V1, V2):
            sock = socket.create_connection(("127.0.0.1", found.port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            for index in range(len(header)):
                sock.send(header[index : index + 1])
                await asyncio.sleep(0.001)
            async with asyncio.timeout(5):
                _, writer = await asyncio.open_connection(
                    sock=sock, ssl=place.client(), server_hostname="www.example"
                )
            await until(lambda: found.listener.handshakes == 0)
            writer.transport.abort()
            source = found.through[-1].header
            assert source is not None
            assert source.source == "192.0.2.7"


@both_loops
async def test_nobody_else_may_say_so(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    refusals: list[Callable[[str | None], bool] | None] = [None, lambda _: False]
    for refusal in refusals:
        async with listening(place, trusts=refusal) as found:
            assert V1 not in await found.plain(V1)
            assert not found.through
    assert len(complaints(caplog)) == 2


@both_loops
async def test_a_header_that_is_none(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(place, trusts=trusts, handshake_timeout=0.1) as found:
        assert await found.plain(b"PROXY TCP9 x\r\n") == b""
        assert await found.plain(b"PRO", b"XIMITY") == b""
        assert await found.plain(b"PROXY TCP4 ") == b""
        sock = socket.create_connection(("127.0.0.1", found.port))
        await until(lambda: found.listener.handshakes == 1)
        sock.close()
        await until(lambda: found.listener.handshakes == 0)
        assert not found.through
    assert complaints(caplog) == [
        "client=127.0.0.1 PROXY header: family b'TCP9': expected TCP4, TCP6 or UNKNOWN",
        "client=127.0.0.1 PROXY header: it ends before it has begun",
        "client=127.0.0.1 PROXY header: not in time",
    ]  # and nothing about the one that only looked
