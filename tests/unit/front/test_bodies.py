"""Request bodies: lengths, chunks, 100 Continue, and answers that come before the end."""

import asyncio

import pytest

from tests.faults.container import (
    END,
    Container,
    ask,
    chunk,
    echo,
    get_body,
    headers,
    read_body,
    respond,
    send,
    swallow,
    wait,
    whole,
)
from tests.faults.stage import (
    Broken,
    as_chunk,
    eventually,
    get,
    post,
    post_chunked,
    reasons,
    stage,
)

CHUNKED = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")
EXPECT = b"Expect: 100-continue"
SIZES = [0, 1, 8185, 8186, 8187, 16372, 16373, 100_000]


def bytes_of(size: int) -> bytes:
    return bytes(i * 7 % 251 for i in range(size))


@pytest.mark.parametrize("size", SIZES)
async def test_body_of_known_length(size: int) -> None:
    async with stage() as s:
        client = await s.connect()
        for _ in range(2):
            assert (await client.ask(post(bytes_of(size)))).status == 200
        for seen in s.container.requests:
            assert seen.body == bytes_of(size)
            assert seen.is_whole
            assert all(length <= 8186 for length in seen.packets)
            assert seen.head.header(b"content-length") == b"%d" % size
        assert s.container.connections == 1


@pytest.mark.parametrize("size", SIZES)
async def test_chunked_body(size: int) -> None:
    body = bytes_of(size)
    pieces = [body[at : at + 3000] for at in range(0, size, 3000)]
    async with stage() as s:
        client = await s.connect()
        for _ in range(2):
            assert (await client.ask(post_chunked(pieces))).status == 200
        for seen in s.container.requests:
            assert seen.body == body
            assert seen.packets[-1] == 0
            assert seen.head.header(b"content-length") is None
            assert seen.head.header(b"transfer-encoding") == b"chunked"


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64])
async def test_chunks_in_odd_pieces(step: int) -> None:
    data = (
        CHUNKED
        + b"5\r\nhello\r\n0A;name=value\r\n, 10 bytes\r\n"
        + b'1 ;x="y"\r\n'.replace(b" ", b"")
        + b"!\r\n000\r\nX-Trailer: ignored\r\nX: y\r\n\r\n"
    )
    async with stage() as s:
        client = await s.connect()
        for at in range(0, len(data), step):
            await client.send(data[at : at + step])
            await asyncio.sleep(0)
        assert (await client.response()).status == 200
        assert s.container.requests[0].body == b"hello, 10 bytes!"
        assert (await client.ask(get())).status == 200


BROKEN_CHUNKS = {
    "no size": b"\r\nhello\r\n",
    "no digits": b";x\r\nhello\r\n",
    "not hexadecimal": b"g\r\nhello\r\n",
    "prefix": b"0x5\r\nhello\r\n",
    "sign": b"+5\r\nhello\r\n",
    "negative": b"-5\r\nhello\r\n",
    "blank before": b" 5\r\nhello\r\n",
    "blank behind": b"5 \r\nhello\r\n",
    "bare LF": b"5\nhello\r\n0\r\n\r\n",
    "bare CR": b"5\rhello\r\n0\r\n\r\n",
    "LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "more than announced": b"5\r\nhello!\r\n0\r\n\r\n",
    "less than announced": b"6\r\nhello\r\n0\r\n\r\n",
    "sixteen digits": b"1000000000000000\r\n",
    "seventeen digits": b"10000000000000005\r\nhello\r\n",
    "zeros without end": b"0" * 100,
    "zero byte in an extension": b"5;\0\r\nhello\r\n",
    "LF in an extension": b"5;x\nhello\r\n",
    "extension without end": b"5;" + b"x" * 20_000,
    "extensions of many chunks": (b"1;" + b"x" * 1000 + b"\r\na\r\n") * 17,
    "trailer without end": b"0\r\nX: " + b"y" * 20_000,
    "many trailers": b"0\r\n" + b"X: yyyyyyyyyy\r\n" * 2000,
    "LF in a trailer": b"0\r\nX: y\n\r\n",
    "zero byte in a trailer": b"0\r\nX: \0\r\n\r\n",
    "CR CR at the end": b"0\r\n\r\r\n",
}


@pytest.mark.parametrize("name", BROKEN_CHUNKS)
async def test_broken_chunks(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async with stage() as s:
        client = await s.connect()
        await client.send(CHUNKED)
        await client.send(BROKEN_CHUNKS[name])
        response = await client.response()
        assert response.status == 400
        assert response.closes
        assert await client.at_end()
        assert reasons(caplog) == ["bad_request"]
        assert s.pool.busy == 0
        # What was forwarded by then is never ended as if it was whole.
        await eventually(lambda: not s.container.open or s.container.executions == 0)
        assert not any(seen.is_whole for seen in s.container.requests)


async def test_broken_chunks_behind_a_begun_answer() -> None:
    container = Container([send(headers(200) + chunk(b"early")), ask(), ask()])
    async with stage(container) as s:
        client = await s.connect()
        await client.send(CHUNKED + as_chunk(b"a"))
        while b"early" not in client.buffer:
            await client.more()
        await client.send(b"zz\r\n")
        with pytest.raises(Broken):
            await client.response()


# --- 100 Continue ---------------------------------------------------------------------------------


async def test_continue_with_a_length() -> None:
    async with stage() as s:
        client = await s.connect()
        for _ in range(2):
            request = post(b"body", b"/", EXPECT)
            await client.send(request[:-4])
            assert await client.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(b"body")
            response = await client.response()
            assert response.status == 200
            assert response.interim == []
        assert s.container.requests[0].body == b"body"
        assert s.container.requests[0].head.header(b"expect") is None


async def test_continue_with_chunks_comes_when_the_container_asks() -> None:
    go = asyncio.Event()
    async with stage(Container([wait(go), read_body, send(whole())])) as s:
        client = await s.connect()
        await client.send(get(b"/", b"Transfer-Encoding: chunked", EXPECT, method=b"POST"))
        await eventually(lambda: s.container.executions == 1)
        await asyncio.sleep(0.01)
        assert client.buffer == b""
        go.set()
        assert await client.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(as_chunk(b"body") + b"0\r\n\r\n")
        assert (await client.response()).status == 200
        assert s.container.requests[0].body == b"body"


async def test_no_continue_when_the_container_does_not_want_the_body() -> None:
    async with stage(Container([send(whole(b"no", 403))])) as s:
        client = await s.connect()
        await client.send(get(b"/", b"Transfer-Encoding: chunked", EXPECT, method=b"POST"))
        response = await client.response()
        assert response.status == 403
        assert response.interim == []
        assert response.closes
        assert await client.at_end()


@pytest.mark.parametrize("version", [0, 1])
async def test_no_continue_when_the_body_is_there(version: int) -> None:
    async with stage() as s:
        client = await s.connect()
        response = await client.ask(post(b"body", b"/", EXPECT, version=version))
        assert response.status == 200
        assert response.interim == []


async def test_no_continue_without_a_body() -> None:
    async with stage() as s:
        client = await s.connect()
        response = await client.ask(get(b"/", EXPECT))
        assert response.status == 200
        assert response.interim == []


async def test_no_continue_for_http_1_0() -> None:
    async with stage() as s:
        client = await s.connect()
        request = post(b"body", b"/", EXPECT, version=0)
        await client.send(request[:-4])
        await asyncio.sleep(0.02)
        await client.send(b"body")
        response = await client.response()
        assert response.status == 200
        assert response.interim == []


@pytest.mark.slow
async def test_a_client_that_waits_for_continue_is_not_late(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The container has not asked yet: it is not the client that keeps us waiting."""
    go = asyncio.Event()
    container = Container([wait(go), read_body, send(whole())])
    async with stage(container, server={"body_timeout_ms": 100}) as s:
        client = await s.connect()
        await client.send(get(b"/", b"Transfer-Encoding: chunked", EXPECT, method=b"POST"))
        await asyncio.sleep(0.4)
        go.set()
        assert await client.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(as_chunk(b"body") + b"0\r\n\r\n")
        assert (await client.response()).status == 200
        # From now on the time counts.
        await client.send(get(b"/", b"Transfer-Encoding: chunked", EXPECT, method=b"POST"))
        assert await client.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.response()).status == 408


# --- answers before the end of the body -----------------------------------------------------------


async def test_an_early_answer_to_a_small_upload_keeps_the_connection() -> None:
    async with stage(Container([swallow, send(whole(b"early"))], echo())) as s:
        client = await s.connect()
        request = post(bytes_of(50_000))
        await client.send(request[:30_000])
        response = await client.response()
        assert response.body == b"early"
        assert not response.closes
        await client.send(request[30_000:])
        assert (await client.ask(get(b"/next"))).body == b"GET /next "


async def test_an_early_answer_to_a_large_upload_arrives() -> None:
    """More than a megabyte to come: the connection ends, but the answer is not lost in an RST."""
    size = 8_000_000
    async with stage(Container([swallow, send(whole(b"early"))], respond())) as s:
        client = await s.connect()
        head = get(b"/", b"Content-Length: %d" % size, method=b"POST")
        upload = asyncio.create_task(client.send(head + bytes(size)))
        response = await client.response()
        assert response.body == b"early"
        assert response.closes
        await asyncio.gather(upload, return_exceptions=True)
        assert (await s.ask(get())).status == 200


async def test_an_early_answer_to_a_chunked_upload() -> None:
    async with stage(Container([send(whole(b"early"))], respond())) as s:
        client = await s.connect()
        await client.send(CHUNKED + as_chunk(b"x" * 1000))
        response = await client.response()
        assert response.body == b"early"
        assert response.closes
        await client.send(as_chunk(b"y" * 1000) + b"0\r\n\r\n")
        assert await client.at_end()


async def test_an_early_answer_with_an_open_question_costs_the_endpoint() -> None:
    """The container asked and ended without waiting: it would read a request as body."""
    async with stage(Container([ask(), send(get_body(), whole(b"early"))], respond())) as s:
        client = await s.connect()
        await client.send(CHUNKED + as_chunk(b"some"))
        response = await client.response()
        assert response.body == b"early"
        assert (await s.ask(get())).status == 200
        assert s.container.connections == 2


async def test_headers_before_the_body_is_read() -> None:
    script = [send(headers(200) + chunk(b"first,")), read_body, send(chunk(b"second") + END)]
    async with stage(Container(script)) as s:
        client = await s.connect()
        for request in (post(bytes_of(30_000)), post_chunked([bytes_of(30_000)])):
            assert (await client.ask(request)).body == b"first,second"
        assert all(seen.body == bytes_of(30_000) for seen in s.container.requests)


async def test_a_container_that_asks_again_after_the_end() -> None:
    """Tomcat does, once; what it gets is an end packet."""
    async with stage(Container([read_body, ask(), send(whole())])) as s:
        client = await s.connect()
        for request in (post(b"body"), post_chunked([b"body"]), get()):
            assert (await client.ask(request)).status == 200
        assert [seen.packets[-1] for seen in s.container.requests] == [0, 0, 0]
        assert s.container.connections == 1


async def test_a_container_that_asks_for_little() -> None:
    async def by_ones(connection: object) -> None:
        for _ in range(10):
            await ask(1)(connection)  # type: ignore[arg-type]

    async with stage(Container([by_ones, send(whole())])) as s:
        assert (await s.ask(post_chunked([b"0123456789"]))).status == 200
        seen = s.container.requests[0]
        assert seen.body == b"0123456789"
        assert seen.packets == [1] * 10


@pytest.mark.parametrize("answer_begun", [False, True])
async def test_413_in_the_middle_of_a_chunked_upload(answer_begun: bool) -> None:
    begin = [send(headers(200) + chunk(b"begun"))] if answer_begun else []
    async with stage(Container([*begin, read_body]), server={"max_body_bytes": 1000}) as s:
        client = await s.connect()
        await client.send(CHUNKED + as_chunk(b"x" * 900))
        await eventually(lambda: any(len(seen.body) == 900 for seen in s.container.requests))
        if answer_begun:
            while b"begun" not in client.buffer:
                await client.more()
        await client.send(as_chunk(b"x" * 900))
        if answer_begun:
            # A page inside another response would be taken for a part of it.
            with pytest.raises(Broken) as broken:
                await client.response()
            assert b"413" not in broken.value.received
        else:
            response = await client.response()
            assert response.status == 413
            assert response.closes
            assert await client.at_end()
        await s.container.gone.wait()
        assert not s.container.requests[0].is_whole


async def test_an_upload_in_the_wake_of_a_refusal_is_read_past() -> None:
    async with stage() as s:
        client = await s.connect()
        for _ in range(3):
            response = await client.ask(post(bytes_of(100_000), b"/nowhere/x"))
            assert response.status == 404
            assert not response.closes
        assert (await client.ask(get())).status == 200
        assert s.container.executions == 1
