"""Clients that are slow or silent, at each place where one can be."""

import asyncio

import pytest

from tests.faults.container import (
    END,
    Container,
    ask,
    chunk,
    headers,
    never,
    respond,
    send,
    swallow,
)
from tests.faults.stage import (
    Broken,
    as_chunk,
    eventually,
    get,
    post,
    reasons,
    stage,
    within,
)

pytestmark = pytest.mark.slow
HEAD = get(b"/", b"Content-Length: 20000", method=b"POST")


async def test_a_connection_without_a_request_is_closed() -> None:
    async with stage(server={"header_timeout_ms": 200}) as s:
        client = await s.connect()
        with within(1.0):
            assert await client.at_end()


async def test_a_head_byte_by_byte_must_end_all_the_same() -> None:
    """The time counts from the first byte, not from the latest."""
    async with stage(server={"header_timeout_ms": 300}) as s:
        client = await s.connect()

        async def drip() -> None:
            for byte in get(b"/", b"X: " + b"y" * 500):
                await client.send(bytes((byte,)))
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        with within(1.5):
            assert (await client.response()).status == 408
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        assert s.container.executions == 0


async def test_half_a_head_is_answered_with_408(caplog: pytest.LogCaptureFixture) -> None:
    async with stage(server={"header_timeout_ms": 200}) as s:
        client = await s.connect()
        assert (await client.ask(get())).status == 200
        await client.send(get()[:-3])
        with within(1.0):
            response = await client.response()
        assert response.status == 408
        assert response.closes
        assert await client.at_end()
        assert reasons(caplog, logger="ajpd.front") == ["client_timeout"]


async def test_keepalive_timeout() -> None:
    async with stage(server={"keepalive_timeout_ms": 200}) as s:
        client = await s.connect()
        for _ in range(3):
            assert (await client.ask(get())).status == 200
            await asyncio.sleep(0.1)
        with within(1.0):
            assert await client.at_end()


async def test_a_slow_container_is_no_slow_client() -> None:
    short = {
        "header_timeout_ms": 100,
        "keepalive_timeout_ms": 100,
        "body_timeout_ms": 100,
        "send_timeout_ms": 100,
    }
    go = asyncio.Event()

    async def wait_for_go(connection: object) -> None:
        await go.wait()

    async with stage(Container([wait_for_go, *respond()]), server=short) as s:
        for request in (get(), post(b"x" * 20_000)):
            go.clear()
            client = await s.connect()
            await client.send(request)
            await asyncio.sleep(0.4)
            go.set()
            assert (await client.response()).status == 200


@pytest.mark.parametrize("sent", [0, 100, 8186, 9000, 19_999])
async def test_a_body_that_stops(sent: int, caplog: pytest.LogCaptureFixture) -> None:
    async with stage(server={"body_timeout_ms": 150}) as s:
        client = await s.connect()
        await client.send(HEAD + b"x" * sent)
        with within(1.0):
            response = await client.response()
        assert response.status == 408
        assert response.closes
        assert reasons(caplog) == ["client_timeout"]
        await eventually(lambda: s.pool.busy == 0)
        assert not any(seen.is_whole for seen in s.container.requests)


async def test_chunks_that_stop(caplog: pytest.LogCaptureFixture) -> None:
    async with stage(server={"body_timeout_ms": 150}) as s:
        client = await s.connect()
        head = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")
        await client.send(head + as_chunk(b"x"))
        with within(1.0):
            assert (await client.response()).status == 408
        assert reasons(caplog) == ["client_timeout"]


async def test_a_body_that_pauses_is_not_late() -> None:
    async with stage(server={"body_timeout_ms": 300}) as s:
        client = await s.connect()
        await client.send(HEAD)
        for _ in range(5):
            await asyncio.sleep(0.1)
            await client.send(b"x" * 4000)
        assert (await client.response()).status == 200


async def test_a_body_that_stops_behind_a_begun_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = [send(headers(200) + chunk(b"begun")), swallow, ask(), ask(), ask()]
    async with stage(Container(script), server={"body_timeout_ms": 150}) as s:
        client = await s.connect()
        await client.send(HEAD + b"x" * 9000)
        with within(1.0), pytest.raises(Broken) as broken:
            await client.response()
        assert b"408" not in broken.value.received
        assert reasons(caplog) == ["client_timeout"]


async def test_a_client_that_does_not_read(caplog: pytest.LogCaptureFixture) -> None:
    body = [send(headers(200)), *[send(chunk(b"x" * 65536))] * 300, send(END)]
    container = Container(body, receive_buffer=8192)
    async with stage(container, server={"send_timeout_ms": 300}, send_buffer=8192) as s:
        client = await s.connect(receive_buffer=8192)
        await client.send(get())
        with within(2.0):
            await s.container.gone.wait()
        await eventually(lambda: not s.service.clients and s.pool.open == 0)
        assert len(reasons(caplog)) == 1


async def test_a_client_that_reads_slowly_is_not_cut() -> None:
    body = b"x" * 600_000
    async with stage(
        Container(respond(body)), server={"send_timeout_ms": 1500}, send_buffer=16384
    ) as s:
        client = await s.connect(receive_buffer=16384)
        await client.send(get())
        received = b""
        while len(received) < len(body):
            received += await client.read(30_000)
            await asyncio.sleep(0.09)


async def test_an_answer_nobody_reads_does_not_keep_an_idle_connection() -> None:
    """Too little is unsent to pause anything, yet closing has to wait for it: not for ever."""
    timeouts = {"keepalive_timeout_ms": 200, "send_timeout_ms": 300}
    async with stage(Container(respond(b"x" * 60_000)), server=timeouts, send_buffer=2048) as s:
        client = await s.connect(receive_buffer=2048)
        await client.send(get())
        await eventually(lambda: s.container.executions == 1 and s.pool.idle == 1)
        await eventually(lambda: not s.service.clients, what="the connection stays for ever")


async def test_a_last_answer_nobody_reads_does_not_keep_the_connection() -> None:
    timeouts = {"keepalive_timeout_ms": 200, "send_timeout_ms": 300}
    async with stage(Container(respond(b"x" * 60_000)), server=timeouts, send_buffer=2048) as s:
        client = await s.connect(receive_buffer=2048)
        await client.send(get(b"/", b"Connection: close"))
        await eventually(lambda: s.container.executions == 1 and s.pool.idle == 1)
        await eventually(lambda: not s.service.clients, what="the connection stays for ever")


async def test_no_timeouts_at_all() -> None:
    off = dict.fromkeys(
        ("header_timeout_ms", "keepalive_timeout_ms", "body_timeout_ms", "send_timeout_ms"), 0
    )
    async with stage(Container([never], respond()), server=off) as s:
        client = await s.connect()
        await client.send(get()[:5])
        await asyncio.sleep(0.3)
        await client.send(get()[5:])
        await eventually(lambda: s.container.executions == 1)


async def test_what_cannot_begin_a_request_is_refused_at_once() -> None:
    async with stage() as s:
        client = await s.connect()
        await client.send(b"\x16\x03\x01\x02\x00\x01\x00")
        with within(1.0):
            assert (await client.response()).status == 400


@pytest.mark.parametrize(
    "drip", [b"5;ext", b"1\r\nx\r\n0\r\nTrailer"], ids=["extension", "trailer"]
)
async def test_framing_is_no_sign_of_life(drip: bytes) -> None:
    async with stage(server={"body_timeout_ms": 300}) as s:
        client = await s.connect()
        await client.send(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + drip)

        async def go_on() -> None:
            while True:
                await asyncio.sleep(0.05)
                await client.send(b"a")

        dripping = asyncio.create_task(go_on())
        with within(1.5):
            assert (await client.response()).status == 408
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


async def test_a_chunked_body_that_never_begins_holds_no_endpoint() -> None:
    async with stage(worker={"connection_pool_size": 1}) as s:
        waiting = await s.connect()
        await waiting.send(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"5;x")
        assert (await s.ask(get())).status == 200
        await waiting.send(b"\r\nhello\r\n0\r\n\r\n")
        assert (await waiting.response()).status == 200
