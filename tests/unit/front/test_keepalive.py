"""Several requests on one connection, and how a connection ends."""

import asyncio

import pytest

from tests.faults.container import END, Container, chunk, echo, headers, respond, send, tell, wait
from tests.faults.stage import Broken, eventually, get, post, stage


async def test_one_after_the_other() -> None:
    async with stage(Container(echo())) as s:
        client = await s.connect()
        for path in (b"/a", b"/b", b"/c"):
            assert (await client.ask(get(path))).body == b"GET %s " % path
        assert (await client.ask(post(b"xyz", b"/d"))).body == b"POST /d xyz"
        assert s.container.connections == 1
        assert len(s.service.clients) == 1
        assert s.pool.idle == 1


@pytest.mark.parametrize("half_close", [False, True])
async def test_pipelined(half_close: bool) -> None:
    async with stage(Container(echo())) as s:
        client = await s.connect()
        requests = [get(b"/1"), post(b"two", b"/2"), get(b"/3"), post(b"four", b"/4"), get(b"/5")]
        await client.send(b"".join(requests))
        if half_close:
            client.half_close()
        bodies = [(await client.response()).body for _ in requests]
        assert bodies == [b"GET /1 ", b"POST /2 two", b"GET /3 ", b"POST /4 four", b"GET /5 "]
        if half_close:
            assert await client.at_end()
        assert s.container.executions == 5


async def test_pipelined_answers_keep_their_order_when_the_first_is_slow() -> None:
    go = asyncio.Event()
    async with stage(Container([wait(go), *respond(b"slow")], respond(b"quick"))) as s:
        client = await s.connect()
        await client.send(get(b"/slow") + get(b"/quick") * 2)
        await eventually(lambda: s.container.executions)
        for _ in range(20):
            await asyncio.sleep(0)
        assert s.container.executions == 1, "a request was forwarded before its turn"
        go.set()
        assert [(await client.response()).body for _ in range(3)] == [b"slow", b"quick", b"quick"]


async def test_pipelined_and_half_closed_with_answers_that_the_client_leaves_unread() -> None:
    body = b"x" * 400_000
    async with stage(Container(respond(body)), send_buffer=8192) as s:
        client = await s.connect(receive_buffer=8192)
        await client.send(get() * 4)
        client.half_close()
        await asyncio.sleep(0.1)
        for number in range(4):
            assert (await client.response()).body == body, number
        assert await client.at_end()


async def test_a_pipelined_request_behind_a_refused_one_is_not_run() -> None:
    async with stage() as s:
        client = await s.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n" + get())
        assert (await client.response()).status == 400
        assert await client.at_end()
        assert s.container.executions == 0


async def test_nothing_behind_connection_close_is_run() -> None:
    async with stage() as s:
        client = await s.connect()
        await client.send(get(b"/", b"Connection: close") + get())
        response = await client.response()
        assert response.status == 200
        assert response.closes
        assert await client.at_end()
        assert s.container.executions == 1


@pytest.mark.parametrize(
    ("version", "line", "expected", "stays"),
    [
        (1, b"X: 1", None, True),
        (1, b"Connection: keep-alive", None, True),
        (1, b"Connection: close", b"close", False),
        (1, b"Connection: keep-alive, close", b"close", False),
        (1, b"Connection: CLOSE", b"close", False),
        (0, b"X: 1", b"close", False),
        (0, b"Connection: keep-alive", b"keep-alive", True),
        (0, b"Connection: Keep-Alive", b"keep-alive", True),
        (0, b"Connection: keep-alive, close", b"close", False),
    ],
)
async def test_who_keeps_the_connection(
    version: int, line: bytes, expected: bytes | None, stays: bool
) -> None:
    async with stage() as s:
        client = await s.connect()
        response = await client.ask(get(b"/", line, version=version))
        assert response.status == 200
        assert response.one(b"connection") == expected
        if stays:
            assert (await client.ask(get())).status == 200
        else:
            assert await client.at_end()


async def test_http_1_0_is_answered_without_chunks() -> None:
    script = [send(headers(200) + chunk(b"some") + chunk(b"thing") + END)]
    async with stage(Container(script)) as s:
        client = await s.connect()
        response = await client.ask(get(b"/", b"Connection: keep-alive", version=0))
        assert response.framing == "close"
        assert response.body == b"something"
        assert response.closes
        client = await s.connect()
        response = await client.ask(get())
        assert response.framing == "chunked"
        assert response.body == b"something"
        assert s.container.requests[0].head.protocol == b"HTTP/1.0"
        assert s.container.requests[1].head.protocol == b"HTTP/1.1"


async def test_several_options_star() -> None:
    async with stage() as s:
        client = await s.connect()
        await client.send(get(b"*", method=b"OPTIONS") * 2 + get())
        for _ in range(2):
            response = await client.response()
            assert response.status == 200
            assert response.body == b""
            assert b"GET" in (response.one(b"allow") or b"")
        assert (await client.response()).body == b"fine"
        assert s.container.executions == 1


async def test_options_star_over_http_1_0_says_that_it_keeps_the_connection() -> None:
    async with stage() as s:
        client = await s.connect()
        response = await client.ask(
            get(b"*", b"Connection: keep-alive", method=b"OPTIONS", version=0)
        )
        assert response.one(b"connection") == b"keep-alive"
        assert (await client.ask(get())).status == 200


async def test_half_close_while_the_container_works() -> None:
    go, begun = asyncio.Event(), asyncio.Event()
    async with stage(Container([tell(begun), wait(go), *respond(b"late")])) as s:
        client = await s.connect()
        await client.send(get())
        client.half_close()
        await begun.wait()
        go.set()
        assert (await client.response()).body == b"late"
        assert await client.at_end()


async def test_half_close_inside_a_body_ends_the_exchange() -> None:
    async with stage() as s:
        client = await s.connect()
        await client.send(post(b"x" * 100)[:-50])
        await eventually(lambda: s.container.executions == 1)
        client.half_close()
        assert await client.at_end()
        await s.container.gone.wait()
        assert not s.container.requests[0].is_whole


async def test_half_close_of_an_idle_connection_closes_it() -> None:
    async with stage() as s:
        client = await s.connect()
        await client.ask(get())
        client.half_close()
        assert await client.at_end()


async def test_empty_lines_before_a_request_are_ignored() -> None:
    async with stage() as s:
        client = await s.connect()
        assert (await client.ask(b"\r\n" + get())).status == 200
        assert (await client.ask(b"\r\n\r\n" + get())).status == 200
        await client.send(b"\r\n")
        await client.send(b"\r")
        await client.send(b"\n")
        assert (await client.ask(get())).status == 200


async def test_nothing_but_empty_lines_is_refused() -> None:
    async with stage() as s:
        client = await s.connect()
        await client.send(b"\r\n" * 100)
        assert (await client.response()).status == 400
        assert await client.at_end()


async def test_a_client_that_only_connects() -> None:
    async with stage() as s:
        client = await s.connect()
        await asyncio.sleep(0.01)
        client.reset()
        other = await s.connect()
        assert (await other.ask(get())).status == 200


async def test_a_request_that_ends_halfway_is_not_answered() -> None:
    async with stage() as s:
        client = await s.connect()
        await client.send(get()[:-2])
        client.half_close()
        with pytest.raises(Broken):
            await client.response()
        assert s.container.executions == 0
