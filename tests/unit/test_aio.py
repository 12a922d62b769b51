"""AsyncClient against our own container and against containers that misbehave."""

import asyncio
import gc
import hashlib
import inspect
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pytest

from ajp import _codec
from ajp.aio import AsyncClient
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
from tests.unit.support import both_loops, open_files, scripted_container, take_packet, until

FIVE_MB = os.urandom(1 << 20) * 5
HEAD = _codec.encode(SendHeaders(200, b"200"))
HELLO = _codec.encode(SendBodyChunk(b"hello"))
KEEP = _codec.END_RESPONSE_REUSE


async def application(request: ContainerRequest) -> None:
    """A bit of everything."""
    match request.uri:
        case b"/echo":
            await request.send_headers(200, [("X-Method", request.method)])
            async for chunk in request:
                await request.write(chunk)
        case b"/digest":
            digest = hashlib.sha256()
            async for chunk in request:
                digest.update(chunk)
            length = request.header("content-length") or b"none"
            encoding = request.header("transfer-encoding") or b"none"
            headers = [("X-Length", length), ("X-Encoding", encoding)]
            await request.respond(200, headers, digest.hexdigest())
        case b"/early":
            await request.respond(413, body="too much")
        case b"/big":
            await request.send_headers(200)
            for start in range(0, len(FIVE_MB), 65536):
                await request.write(FIVE_MB[start : start + 65536])
        case b"/never":
            await asyncio.Event().wait()
        case b"/half" | b"/stuck":
            await request.send_headers(200)
            await request.write(b"half")
            await request.flush()
            if request.uri == b"/stuck":
                await asyncio.Event().wait()
            raise ConnectionAbortedError
        case _:
            cookies = [("Set-Cookie", "a=1"), ("set-cookie", "b=2")]
            kind = ("Content-Type", "text/plain; charset=iso-8859-1")
            text = b"%s %s?%s \xe9" % (request.method, request.uri, request.query or b"")
            await request.respond(200, [*cookies, kind], text)


class Pair(NamedTuple):
    client: AsyncClient
    server: Server


def to_container(test: Callable[..., Any]) -> Callable[..., None]:
    """Give a test a client and a server of the application above; nothing may be left over."""

    async def run(**fixtures: Any) -> None:
        async with serve(application, port=0, secret="s") as server:
            files = open_files()
            address = f"ajp://127.0.0.1:{server.port}"
            async with AsyncClient(address, secret="s", timeout=10) as client:
                await test(Pair(client, server), **fixtures)
                await until(lambda: client.workers[0].pool.busy == 0)
            await until(lambda: server.connections == 0)
            await until(lambda: open_files() <= files)

    run.__name__, run.__module__ = test.__name__, test.__module__
    run.pytestmark = list(getattr(test, "pytestmark", ()))  # type: ignore[attr-defined]
    asked = list(inspect.signature(test).parameters.values())[1:]
    run.__signature__ = inspect.Signature(asked)  # type: ignore[attr-defined]
    return both_loops(run)


# --- plain requests -----------------------------------------------------------------------------


@to_container
async def test_get(pair: Pair) -> None:
    response = await pair.client.get("/a b?x=1", params={"y": "é"}, headers={"X-Y": "z"})
    assert response.status == 200
    assert response.reason == "OK"
    assert response.text == "GET /a%20b?x=1&y=%C3%A9 é"
    assert response.headers["SET-cookie"] == "a=1"
    assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert repr(response) == f"<Response 200 OK {len(response.content)} bytes>"


@to_container
async def test_other_methods(pair: Pair) -> None:
    assert (await pair.client.head("/x")).content == b""
    assert (await pair.client.delete("/x")).text == "DELETE /x? é"
    assert (await pair.client.put("/echo", content="é")).content == "é".encode()
    assert (await pair.client.post("/echo", content=b"abc")).headers["x-method"] == "POST"
    assert (await pair.client.request("PATCH", "/echo")).headers["x-method"] == "PATCH"


@to_container
async def test_connection_is_used_again(pair: Pair) -> None:
    for _ in range(20):
        await pair.client.get("/")
    assert pair.server.connections == 1
    pool = pair.client.workers[0].pool
    assert (pool.idle, pool.busy, pool.open) == (1, 0, 1)
    assert "idle=1" in repr(pair.client)


@to_container
async def test_many_at_once(pair: Pair) -> None:
    answers = await asyncio.gather(*(pair.client.get(f"/{i}") for i in range(50)))
    assert [answer.text for answer in answers] == [f"GET /{i}? é" for i in range(50)]
    assert pair.server.connections <= 50


@to_container
async def test_wrong_secret(pair: Pair) -> None:
    for secret in (None, "wrong"):
        async with AsyncClient(f"127.0.0.1:{pair.server.port}", secret=secret) as client:
            assert (await client.get("/")).status == 403
            assert (await client.get("/")).status == 403


@both_loops
async def test_unix_socket(tmp_path: Any) -> None:
    path = str(tmp_path / "s")
    async with serve(application, path=path), AsyncClient(f"unix:{path}") as client:
        assert (await client.get("/x")).text == "GET /x? é"


# --- content ------------------------------------------------------------------------------------


def pieces(size: int) -> Iterator[bytes]:
    for start in range(0, len(FIVE_MB), size):
        yield FIVE_MB[start : start + size]


async def apieces(size: int) -> AsyncIterator[bytes]:
    for piece in pieces(size):
        await asyncio.sleep(0)
        yield piece


DIGEST = hashlib.sha256(FIVE_MB).hexdigest()


@to_container
async def test_five_megabytes_there_and_back(pair: Pair) -> None:
    assert (await pair.client.post("/echo", content=FIVE_MB)).content == FIVE_MB
    assert (await pair.client.post("/echo", content=apieces(70000))).content == FIVE_MB
    assert (await pair.client.get("/big")).content == FIVE_MB


@to_container
async def test_lengths_on_the_wire(pair: Pair) -> None:
    async def sent(content: Any, **options: Any) -> tuple[str, str, bool]:
        answer = await pair.client.post("/digest", content=content, **options)
        headers = answer.headers
        return headers["x-length"], headers["x-encoding"], answer.text == DIGEST

    length = str(len(FIVE_MB))
    announced = {"headers": {"Content-Length": length}}
    assert await sent(None) == ("0", "none", False)
    assert await sent(b"") == ("0", "none", False)
    assert await sent(FIVE_MB) == (length, "none", True)
    assert await sent(memoryview(FIVE_MB)) == (length, "none", True)
    assert await sent(pieces(100000)) == ("none", "chunked", True)
    assert await sent(apieces(5000)) == ("none", "chunked", True)
    assert await sent(apieces(5000), **announced) == (length, "none", True)
    assert await sent(pieces(1 << 20), **announced) == (length, "none", True)


@to_container
async def test_early_answer_ends_the_upload(pair: Pair) -> None:
    never_read = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * 8186
        await never_read.wait()

    headers = {"content-length": "1000000"}
    for content in (FIVE_MB, slow()):
        options = {} if content is FIVE_MB else {"headers": headers}
        answer = await pair.client.post("/early", content=content, **options)  # type: ignore[arg-type]
        assert (answer.status, answer.text) == (413, "too much")
    assert pair.server.connections == 1


@to_container
@pytest.mark.parametrize("length", ["9", "11"])
async def test_content_of_another_length_than_announced(pair: Pair, length: str) -> None:
    for content in ([b"0123456789"], [b"01234", b"56789"]):
        with pytest.raises(LocalProtocolError, match=r"early|more than announced"):
            await pair.client.post("/echo", content=content, headers={"Content-Length": length})


@to_container
@pytest.mark.parametrize(
    ("length", "content"),
    [("0", [b"", b"x"]), ("5", [b"01234", b"5"]), ("20000", [b"x" * 20000, b"", b"y"])],
)
async def test_content_that_goes_on(pair: Pair, length: str, content: list[bytes]) -> None:
    """What is too much is found before the last of what was announced leaves."""
    headers = {"content-length": length}
    with pytest.raises(LocalProtocolError, match="1 bytes more than announced"):
        await pair.client.post("/echo", content=content, headers=headers)
    assert pair.server.connections == 0
    answer = await pair.client.post("/echo", content=content[:-1], headers=headers)
    assert answer.content == b"".join(content[:-1])


@to_container
async def test_content_that_fails(pair: Pair) -> None:
    def failing(first: bytes) -> Iterable[bytes]:
        yield first
        raise KeyError("the source")

    for headers in ({}, {"content-length": "100"}):
        with pytest.raises(KeyError):
            await pair.client.post("/echo", content=failing(b"x"), headers=headers)


@to_container
async def test_contradictions_are_found_before_a_connection_is_made(pair: Pair) -> None:
    with pytest.raises(LocalProtocolError):
        await pair.client.post("/", content=b"abc", headers={"content-length": "4"})
    with pytest.raises(LocalProtocolError):
        await pair.client.post("/", content=b"abc", headers={"transfer-encoding": "gzip"})
    with pytest.raises(LocalProtocolError) as caught:
        await pair.client.get("/", headers={"X": "y" * 9000})
    assert caught.value.limit == 8192 - 4 or caught.value.limit == 8192
    with pytest.raises(ValueError, match="url"):
        await pair.client.get("ftp://example.org/")
    assert pair.client.workers[0].pool.open == 0
    assert pair.server.connections == 0


# --- streams ------------------------------------------------------------------------------------


@to_container
async def test_ping(pair: Pair) -> None:
    for _ in range(3):
        assert 0 < await pair.client.ping() < 5
        await pair.client.get("/")
    assert pair.server.connections == 1
    assert pair.client.workers[0].pool.idle == 1


@both_loops
async def test_ping_without_an_answer() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with scripted_container(deaf) as port, AsyncClient(f"127.0.0.1:{port}") as client:
        with pytest.raises(CPingTimeout, match=r"no CPONG within 0\.01 s"):
            await client.ping(timeout=0.01)
        await until(lambda: client.workers[0].pool.open == 0)
        asking = asyncio.create_task(client.ping())
        await until(lambda: client.workers[0].pool.busy == 1)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        await until(lambda: client.workers[0].pool.open == 0)
    with pytest.raises(PoolClosed):
        await client.ping()


@both_loops
async def test_ping_when_there_is_nobody() -> None:
    async def goes_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_packet(reader)

    async with scripted_container(goes_away) as port, AsyncClient(f"127.0.0.1:{port}") as client:
        with pytest.raises(EndpointClosed, match="closed instead of a CPONG"):
            await client.ping()
    async with AsyncClient(f"127.0.0.1:{port}") as client:
        with pytest.raises(ConnectFailed):
            await client.ping()


@to_container
async def test_ping_that_waits_for_a_connection(pair: Pair) -> None:
    async with AsyncClient(f"127.0.0.1:{pair.server.port}", secret="s", pool_size=1) as client:
        async with client.stream("GET", "/big"):
            waiting = asyncio.create_task(client.ping())
            called_off = asyncio.create_task(client.ping())
            await until(lambda: client.workers[0].pool.waiting == 2)
            called_off.cancel()
            await asyncio.wait([called_off])
            assert client.workers[0].pool.waiting == 1
        assert await waiting > 0


@to_container
async def test_stream(pair: Pair) -> None:
    async with pair.client.stream("GET", "/big") as response:
        assert repr(response) == "<AsyncStreamedResponse 200 OK>"
        assert b"".join([data async for data in response.iter_bytes()]) == FIVE_MB
        assert await response.read() == b""
    assert pair.client.workers[0].pool.idle == 1


@to_container
async def test_slow_reader_slows_the_container_down(pair: Pair) -> None:
    async with pair.client.stream("GET", "/big") as response:
        stream = response.iter_bytes()
        got = [await anext(stream)]
        await until(lambda: pair.server.busy == 1)
        await asyncio.sleep(0.05)
        assert pair.server.busy == 1
        got += [data async for data in stream]
        assert b"".join(got) == FIVE_MB


async def rest(stream: AsyncIterator[bytes]) -> None:
    while await anext(stream):
        pass


@to_container
async def test_leaving_a_stream_closes_its_connection(pair: Pair) -> None:
    async with pair.client.stream("GET", "/big") as response:
        stream = response.iter_bytes()
        await anext(stream)
    with pytest.raises(EndpointClosed):
        await rest(stream)
    assert pair.client.workers[0].pool.idle == 0
    await until(lambda: pair.server.connections == 0)


@to_container
async def test_chat_both_ways_at_once(pair: Pair) -> None:
    says: asyncio.Queue[bytes] = asyncio.Queue()

    async def talk() -> AsyncIterator[bytes]:
        while word := await says.get():
            yield word

    words = [b"first", b"second", b"third"]
    await says.put(words[0])
    async with pair.client.stream("POST", "/echo", content=talk()) as response:
        stream = response.iter_bytes()
        for word, following in zip(words, [*words[1:], b""], strict=True):
            assert await anext(stream) == word
            await says.put(following)
        assert await response.read() == b""


# --- failures -----------------------------------------------------------------------------------


@both_loops
async def test_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with AsyncClient(f"127.0.0.1:{port}") as client:
        with pytest.raises(ConnectFailed) as caught:
            await client.get("/")
    assert caught.value.reason is Reason.CONNECT_REFUSED
    assert caught.value.progress is Progress.NOTHING_SENT


@both_loops
async def test_connect_timeout() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        # Connections that nobody accepts fill the backlog; the next one hangs.
        blockers = [socket.socket() for _ in range(4)]
        for blocker in blockers:
            blocker.setblocking(False)
            blocker.connect_ex(address)
        client = AsyncClient(f"127.0.0.1:{address[1]}", connect_timeout=0.1)
        with pytest.raises(ConnectTimeout) as caught:
            await client.get("/")
        await client.aclose()
        for blocker in blockers:
            blocker.close()
    assert isinstance(caught.value, TimeoutError)


@to_container
async def test_total_timeout(pair: Pair) -> None:
    with pytest.raises(ReplyTimeout) as caught:
        await pair.client.get("/never", timeout=0.05)
    assert caught.value.progress is Progress.HEAD_SENT
    with pytest.raises(ReplyTimeout) as caught:
        await pair.client.post("/never", content=b"x", timeout=0.05)
    assert caught.value.progress is Progress.BODY_SENT
    await until(lambda: pair.server.connections == 0)


@to_container
async def test_total_timeout_counts_the_content_too(pair: Pair) -> None:
    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    for headers in ({}, {"content-length": "3"}):
        with pytest.raises(TimeoutError):
            await pair.client.post("/echo", content=never(), headers=headers, timeout=0.05)


@to_container
async def test_total_timeout_inside_a_stream(pair: Pair) -> None:
    async with pair.client.stream("GET", "/stuck", timeout=0.1) as response:
        stream = response.iter_bytes()
        assert await anext(stream) == b"half"
        with pytest.raises(ReplyTimeout) as caught:
            await anext(stream)
    assert caught.value.progress is Progress.RESPONSE_STARTED


@both_loops
async def test_reply_timeout() -> None:
    async with (
        serve(application, port=0) as server,
        AsyncClient(f"127.0.0.1:{server.port}", reply_timeout=0.1) as client,
    ):
        assert (await client.get("/")).status == 200
        with pytest.raises(ReplyTimeout) as caught:
            await client.get("/never")
        await until(lambda: server.connections == 0)
    assert caught.value.reason is Reason.REPLY_TIMEOUT


@both_loops
async def test_no_cpong() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with (
        scripted_container(deaf) as port,
        AsyncClient(f"127.0.0.1:{port}", ping_timeout=0.1) as client,
    ):
        with pytest.raises(CPingTimeout) as caught:
            await client.get("/")
    assert caught.value.progress is Progress.NOTHING_SENT


def answering(*answer: bytes, reset: bool = False) -> Any:
    """Script of a container that says this to its first request and closes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_packet(reader)
        writer.writelines(answer)
        await writer.drain()
        if reset:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

    return script


@both_loops
@pytest.mark.parametrize(
    ("script", "kind", "reason", "progress"),
    [
        (answering(), EndpointClosed, Reason.EOF_BEFORE_HEADERS, Progress.HEAD_SENT),
        (answering(HEAD[:9]), EndpointClosed, Reason.EOF_BEFORE_HEADERS, Progress.HEAD_SENT),
        (answering(HEAD, HELLO), EndpointClosed, Reason.EOF_MID_BODY, Progress.RESPONSE_STARTED),
        (answering(HEAD, HELLO[:8]), EndpointClosed, Reason.EOF_MID_BODY, 3),
        (answering(reset=True), EndpointReset, Reason.RESET_BEFORE_HEADERS, Progress.HEAD_SENT),
    ],
    ids=["before headers", "inside headers", "mid body", "inside chunk", "reset"],
)
async def test_container_that_goes_away(
    script: Any, kind: type[EndpointError], reason: Reason, progress: Progress
) -> None:
    async with (
        scripted_container(script) as port,
        AsyncClient(f"127.0.0.1:{port}", ping_timeout=None) as client,
    ):
        with pytest.raises(kind) as caught:
            await client.get("/")
        assert client.workers[0].pool.busy == 0
    assert caught.value.reason is reason
    assert caught.value.progress is progress or caught.value.progress == progress


@both_loops
@pytest.mark.parametrize(
    "noise",
    [b"HTTP/1.1 200 OK\r\n\r\n", HEAD + HEAD, HELLO, KEEP, _codec.CPONG, b"AB\x00\x00"],
    ids=["http", "two heads", "body first", "end first", "cpong", "empty"],
)
async def test_garbage(noise: bytes) -> None:
    async with (
        scripted_container(answering(noise)) as port,
        AsyncClient(f"127.0.0.1:{port}", ping_timeout=None) as client,
    ):
        with pytest.raises(RemoteProtocolError):
            await client.get("/")
        assert client.workers[0].pool.open <= 1


@to_container
async def test_response_that_breaks_off(pair: Pair) -> None:
    async with pair.client.stream("GET", "/half") as response:
        stream = response.iter_bytes()
        assert await anext(stream) == b"half"
        with pytest.raises(EndpointClosed) as caught:
            await anext(stream)
    assert caught.value.reason is Reason.EOF_MID_BODY


@both_loops
@pytest.mark.slow
async def test_stale_connection_is_replaced_once() -> None:
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

    async with (
        scripted_container(once) as port,
        AsyncClient(f"127.0.0.1:{port}", ping_timeout=0.15, pool_size=1) as client,
    ):
        assert (await client.get("/")).content == b"hello"
        # A connection is taken as alive for a second.
        await asyncio.sleep(1.01)
        assert (await client.get("/")).content == b"hello"
    assert connections == 2


@both_loops
async def test_pool_that_stays_busy() -> None:
    async with (
        serve(application, port=0) as server,
        AsyncClient(f"127.0.0.1:{server.port}", pool_size=1, acquire_timeout=0.1) as client,
    ):
        async with client.stream("GET", "/big"):
            with pytest.raises(PoolTimeout):
                await client.get("/")
        assert (await client.get("/")).status == 200


@both_loops
async def test_closed_client() -> None:
    async with serve(application, port=0) as server:
        client = AsyncClient(f"127.0.0.1:{server.port}")
        await client.aclose()
        await client.get("/")
        waiting = asyncio.ensure_future(client.get("/never"))
        await until(lambda: server.busy == 1)
        await client.aclose()
        with pytest.raises(PoolClosed):
            await client.get("/")
        waiting.cancel()
        await asyncio.wait([waiting])


@to_container
async def test_cancelled_request_leaves_nothing(pair: Pair) -> None:
    async def forever() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    tasks = [
        asyncio.ensure_future(call)
        for call in (
            pair.client.get("/never"),
            pair.client.post("/echo", content=forever()),
            pair.client.post("/never", content=FIVE_MB),
        )
    ]
    await until(lambda: pair.server.busy == 3)
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    done, _ = await asyncio.wait(tasks)
    assert all(task.cancelled() for task in done)
    await until(lambda: pair.client.workers[0].pool.open == 0)
    await until(lambda: pair.server.connections == 0)
    gc.collect()
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert not [name for name in names if name.startswith("ajp")]


@to_container
async def test_cancelled_while_waiting_for_a_connection(pair: Pair) -> None:
    async with AsyncClient(f"127.0.0.1:{pair.server.port}", secret="s", pool_size=1) as client:
        async with client.stream("GET", "/big"):
            waiting = asyncio.ensure_future(client.get("/"))
            await until(lambda: client.workers[0].pool.waiting == 1)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert client.workers[0].pool.waiting == 0
        assert (await client.get("/")).status == 200


def test_address_that_is_none() -> None:
    for address in ("http://example.org", "ajp://", "ajp://u:p@host", "ajp://host/app"):
        with pytest.raises(ValueError, match="address"):
            AsyncClient(address)
    assert repr(AsyncClient("ajp://[::1]")) == "<AsyncClient [::1]:8009>"
