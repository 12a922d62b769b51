"""Client against our own container and against ones that misbehave, both in another thread."""

import asyncio
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ajp import _codec
from ajp.channel import ContainerRequest
from ajp.container import Server, serve
from ajp.errors import (
    ConnectFailed,
    ConnectTimeout,
    CPingTimeout,
    EndpointClosed,
    EndpointError,
    EndpointReset,
    LocalProtocolError,
    PoolClosed,
    PoolTimeout,
    Progress,
    Reason,
    RemoteProtocolError,
    ReplyTimeout,
)
from ajp.messages import SendBodyChunk, SendHeaders
from ajp.sync import Client
from tests.unit.support import in_background, scripted_container, take_packet

FIVE_MB = os.urandom(1 << 20) * 5
DIGEST = hashlib.sha256(FIVE_MB).hexdigest()
HEAD = _codec.encode(SendHeaders(200, None))
HELLO = _codec.encode(SendBodyChunk(b"hello"))
KEEP = _codec.END_RESPONSE_REUSE
FLUSH = _codec.FLUSH


async def application(request: ContainerRequest) -> None:
    """A bit of everything."""
    match request.uri:
        case b"/echo":
            await request.send_headers(200)
            async for chunk in request:
                await request.write(chunk)
        case b"/digest":
            digest = hashlib.sha256()
            async for chunk in request:
                digest.update(chunk)
            length = request.header("content-length") or b"none"
            await request.respond(200, [("X-Length", length)], digest.hexdigest())
        case b"/early":
            await request.respond(413, body="too much")
        case b"/big":
            await request.send_headers(200)
            await request.write(FIVE_MB)
        case b"/never":
            await asyncio.Event().wait()
        case b"/half":
            await request.send_headers(200)
            await request.write(b"half")
            await request.flush()
            raise ConnectionAbortedError
        case _:
            await request.respond(200, body=b"%s %s" % (request.method, request.uri))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with in_background(lambda: serve(application, port=0, secret="s")) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(f"ajp://127.0.0.1:{server.port}", secret="s", timeout=10) as client:
        yield client


def until(claim: Callable[[], object]) -> None:
    """Wait until a claim about the other thread holds."""
    deadline = time.monotonic() + 5
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.001)


# --- plain requests -----------------------------------------------------------------------------


def test_methods(client: Client) -> None:
    response = client.get("/x")
    assert (response.status, response.reason, response.text) == (200, "OK", "GET /x")
    assert client.head("/x").content == b""
    assert client.delete("/x").text == "DELETE /x"
    assert client.put("/echo", content="é").text == "é"
    assert client.post("/echo", content=bytearray(b"abc")).content == b"abc"
    assert client.request("PATCH", "/x").text == "PATCH /x"


def test_connection_is_used_again(client: Client) -> None:
    for _ in range(20):
        client.get("/")
    assert repr(client).endswith("open=1 idle=1>")


def test_wrong_secret(server: Server) -> None:
    for secret in (None, b"wrong"):
        with Client(f"127.0.0.1:{server.port}", secret=secret) as client:
            assert client.get("/").status == 403
            assert client.post("/", content=FIVE_MB).status == 403
            assert repr(client).endswith("open=0 idle=0>")


def test_unix_socket(tmp_path: Any) -> None:
    path = str(tmp_path / "s")
    with in_background(lambda: serve(application, path=path)), Client(f"unix:{path}") as client:
        assert client.get("/x").text == "GET /x"
    with Client(path) as client, pytest.raises(ConnectFailed):
        client.get("/")


def test_shared_by_threads(server: Server) -> None:
    answers: list[bool] = []
    with Client(f"127.0.0.1:{server.port}", secret="s", pool_size=3) as client:

        def work(number: int) -> None:
            for i in range(10):
                answers.append(client.get(f"/{number}/{i}").text == f"GET /{number}/{i}")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [True] * 80
        assert client._links[0].open <= 3


# --- content ------------------------------------------------------------------------------------


def pieces(size: int) -> Iterator[bytes]:
    for start in range(0, len(FIVE_MB), size):
        yield FIVE_MB[start : start + size]


def test_five_megabytes_there_and_back(client: Client) -> None:
    assert client.post("/echo", content=FIVE_MB).content == FIVE_MB
    assert client.post("/echo", content=pieces(70000)).content == FIVE_MB
    assert client.get("/big").content == FIVE_MB


def test_lengths_on_the_wire(client: Client) -> None:
    def sent(content: Any, **options: Any) -> tuple[str, bool]:
        answer = client.post("/digest", content=content, **options)
        return answer.headers["x-length"], answer.text == DIGEST

    length = str(len(FIVE_MB))
    assert sent(None) == ("0", False)
    assert sent(memoryview(FIVE_MB)) == (length, True)
    assert sent(pieces(100000)) == ("none", True)
    assert sent(pieces(5000), headers={"content-length": length}) == (length, True)


def test_early_answer_ends_the_upload(client: Client) -> None:
    assert client.post("/early", content=FIVE_MB).text == "too much"
    assert client.post("/early", content=pieces(8000)).text == "too much"
    assert repr(client).endswith("open=1 idle=1>")


def test_content_that_is_wrong(client: Client) -> None:
    def failing() -> Iterator[bytes]:
        yield b"x"
        raise KeyError("the source")

    for content in ([b"0123456789"], [b"01234", b"56789"]):
        with pytest.raises(LocalProtocolError, match="early"):
            client.post("/echo", content=content, headers={"content-length": "11"})
    with pytest.raises(LocalProtocolError, match="more than announced"):
        client.post("/echo", content=[b"0123456789"], headers={"content-length": "9"})
    for length, wrong in (("0", [b"", b"x"]), ("5", [b"01234", b"5"])):
        with pytest.raises(LocalProtocolError, match="1 bytes more than announced"):
            client.post("/echo", content=wrong, headers={"content-length": length})
    many = [b"x" * 20000, b"", b"y"]
    with pytest.raises(LocalProtocolError, match="1 bytes more than announced"):
        client.post("/echo", content=many, headers={"content-length": "20000"})
    with pytest.raises(KeyError):
        client.post("/echo", content=failing())
    with pytest.raises(LocalProtocolError):
        client.get("/", headers={"X": "y" * 9000})
    assert repr(client).endswith("open=0 idle=0>")


# --- streams ------------------------------------------------------------------------------------


def test_stream(client: Client) -> None:
    with client.stream("GET", "/big") as response:
        assert repr(response) == "<StreamedResponse 200 OK>"
        assert b"".join(response.iter_bytes()) == FIVE_MB
        assert response.read() == b""
    with client.stream("HEAD", "/x") as response:
        assert response.headers["content-length"] == "7"
    assert repr(client).endswith("open=1 idle=1>")


def test_leaving_a_stream_closes_its_connection(client: Client, server: Server) -> None:
    before = server.connections
    with client.stream("GET", "/big") as response:
        next(response.iter_bytes())
    assert repr(client).endswith("open=0 idle=0>")
    until(lambda: server.connections <= before)


def test_failing_inside_a_stream_closes_its_connection(client: Client) -> None:
    with pytest.raises(KeyError), client.stream("GET", "/x"):
        raise KeyError
    assert repr(client).endswith("open=0 idle=0>")


# --- failures -----------------------------------------------------------------------------------


def test_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Client(f"127.0.0.1:{port}") as client, pytest.raises(ConnectFailed) as caught:
        client.get("/")
    assert caught.value.reason is Reason.CONNECT_REFUSED


def test_name_that_cannot_be_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "nobody of that name")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with Client("nobody.invalid") as client, pytest.raises(ConnectFailed) as caught:
        client.get("/")
    assert caught.value.reason is Reason.RESOLVE_FAILED


def test_connect_timeout() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        blockers = [socket.socket() for _ in range(4)]
        for blocker in blockers:
            blocker.setblocking(False)
            blocker.connect_ex(address)
        with Client(f"127.0.0.1:{address[1]}", connect_timeout=0.1) as client:
            with pytest.raises(ConnectTimeout):
                client.get("/")
            with pytest.raises(ConnectTimeout):
                client.get("/", timeout=0.05)
        for blocker in blockers:
            blocker.close()


def test_timeouts(client: Client, server: Server) -> None:
    with pytest.raises(ReplyTimeout) as caught:
        client.get("/never", timeout=0.05)
    assert caught.value.progress is Progress.HEAD_SENT
    with pytest.raises(ReplyTimeout) as caught:
        client.post("/never", content=b"x", timeout=0.05)
    assert caught.value.progress is Progress.BODY_SENT
    with pytest.raises(ReplyTimeout):
        client.get("/never", timeout=0)
    with (
        Client(f"127.0.0.1:{server.port}", secret="s", reply_timeout=0.05) as hasty,
        pytest.raises(ReplyTimeout),
    ):
        hasty.get("/never")


async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def test_ping(client: Client) -> None:
    for _ in range(3):
        assert 0 < client.ping() < 5
        client.get("/")
    assert repr(client).endswith("open=1 idle=1>")


def test_ping_without_an_answer() -> None:
    with (
        in_background(lambda: scripted_container(deaf)) as port,
        Client(f"127.0.0.1:{port}") as client,
    ):
        with pytest.raises(CPingTimeout):
            client.ping(timeout=0.05)
        assert repr(client).endswith("open=0 idle=0>")
    with Client(f"127.0.0.1:{port}") as client, pytest.raises(ConnectFailed):
        client.ping()


def test_no_cpong() -> None:
    with (
        in_background(lambda: scripted_container(deaf)) as port,
        Client(f"127.0.0.1:{port}", ping_timeout=0.05) as client,
    ):
        with pytest.raises(CPingTimeout) as caught:
            client.get("/")
        assert caught.value.progress is Progress.NOTHING_SENT
        assert repr(client).endswith("open=0 idle=0>")


def answering(*answer: bytes, reset: bool = False, requests: int = 1) -> Any:
    """Script of a container that says this to each of its requests and closes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(requests):
            await take_packet(reader)
            writer.writelines(answer)
            await writer.drain()
        if reset:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

    return script


@pytest.mark.parametrize(
    ("script", "kind", "reason", "progress"),
    [
        (answering(), EndpointClosed, Reason.EOF_BEFORE_HEADERS, Progress.HEAD_SENT),
        (answering(HEAD[:9]), EndpointClosed, Reason.EOF_BEFORE_HEADERS, Progress.HEAD_SENT),
        (answering(HEAD, HELLO), EndpointClosed, Reason.EOF_MID_BODY, Progress.RESPONSE_STARTED),
        (answering(reset=True), EndpointReset, Reason.RESET_BEFORE_HEADERS, Progress.HEAD_SENT),
    ],
    ids=["before headers", "inside headers", "mid body", "reset"],
)
def test_container_that_goes_away(
    script: Any, kind: type[EndpointError], reason: Reason, progress: Progress
) -> None:
    with (
        in_background(lambda: scripted_container(script)) as port,
        Client(f"127.0.0.1:{port}", ping_timeout=None) as client,
    ):
        with pytest.raises(kind) as caught:
            client.get("/")
        assert repr(client).endswith("open=0 idle=0>")
    assert caught.value.reason is reason
    assert caught.value.progress is progress


@pytest.mark.parametrize(
    "noise",
    [b"HTTP/1.1 200 OK\r\n\r\n", HEAD + HEAD, HELLO, KEEP, _codec.CPONG],
    ids=["http", "two heads", "body first", "end first", "cpong"],
)
def test_garbage(noise: bytes) -> None:
    with (
        in_background(lambda: scripted_container(answering(noise))) as port,
        Client(f"127.0.0.1:{port}", ping_timeout=None) as client,
        pytest.raises(RemoteProtocolError),
    ):
        client.get("/")


def test_response_that_breaks_off(client: Client) -> None:
    with client.stream("GET", "/half") as response:
        stream = response.iter_bytes()
        assert next(stream) == b"half"
        with pytest.raises(EndpointClosed) as caught:
            next(stream)
    assert caught.value.reason is Reason.EOF_MID_BODY


@pytest.mark.parametrize("behind", [b"", HEAD], ids=["closed", "stray bytes"])
def test_dead_connection_is_not_used_again(behind: bytes) -> None:
    script = answering(HEAD, FLUSH, HELLO, KEEP, behind)
    with (
        in_background(lambda: scripted_container(script)) as port,
        Client(f"127.0.0.1:{port}", ping_timeout=None) as client,
    ):
        for _ in range(3):
            assert client.get("/").content == b"hello"
            until(lambda: not client._links[0].idle or not client._links[0].idle[0].is_alive)


def test_stray_packet_within_the_stream_context() -> None:
    script = answering(HEAD, HEAD)
    with (
        in_background(lambda: scripted_container(script)) as port,
        Client(f"127.0.0.1:{port}", ping_timeout=None) as client,
    ):
        with client.stream("GET", "/") as response:
            assert response.status == 200
        assert repr(client).endswith("open=0 idle=0>")


def test_stale_connection_is_replaced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    connections = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one request, then answer pings no more."""
        nonlocal connections
        connections += 1
        await take_packet(reader)
        writer.write(_codec.CPONG)
        await take_packet(reader)
        writer.writelines([HEAD, HELLO, KEEP])
        await reader.read()

    monkeypatch.setattr("ajp.sync.FRESH", -1.0)
    with (
        in_background(lambda: scripted_container(once)) as port,
        Client(f"127.0.0.1:{port}", ping_timeout=0.1) as client,
    ):
        assert client.get("/").content == b"hello"
        assert client.get("/").content == b"hello"
    assert connections == 2


def test_pool_that_stays_busy(server: Server) -> None:
    address = f"127.0.0.1:{server.port}"
    with Client(address, secret="s", pool_size=1, acquire_timeout=0.05) as client:
        with client.stream("GET", "/big"), pytest.raises(PoolTimeout):
            client.get("/")
        assert client.get("/").status == 200


def test_old_connections_are_closed(server: Server) -> None:
    with Client(f"127.0.0.1:{server.port}", secret="s", idle_timeout=0.0) as client:
        client.get("/")
        (link,) = client._links[0].idle
        client.get("/")
        assert client._links[0].idle != [link]


def test_closed_client(server: Server) -> None:
    client = Client(f"127.0.0.1:{server.port}", secret="s")
    with client.stream("GET", "/x") as response:
        client.close()
        assert response.read() == b"GET /x"
    assert repr(client).endswith("open=0 idle=0>")
    with pytest.raises(PoolClosed):
        client.get("/")


def test_container_that_takes_nothing() -> None:
    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.writelines([HEAD, *[_codec.encode_get_body_chunk(8186)]])
        await asyncio.Event().wait()

    with (
        in_background(lambda: scripted_container(stuck)) as port,
        Client(f"127.0.0.1:{port}", ping_timeout=None, timeout=0.1) as client,
        pytest.raises(ReplyTimeout),
    ):
        client.post("/", content=pieces(8000))
