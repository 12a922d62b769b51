"""Backpressure in both directions, and clients that leave."""

import asyncio

import pytest

from tests.faults.container import (
    CPONG,
    END,
    Connection,
    Container,
    ask,
    chunk,
    headers,
    respond,
    send,
    swallow,
    tell,
    wait,
    whole,
)
from tests.faults.stage import (
    Client,
    Stage,
    as_chunk,
    eventually,
    get,
    post,
    reasons,
    stage,
)

SMALL = 16384
CHUNKED = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")


async def settled(count: object) -> int:
    """Wait until a number stops growing."""
    before = -1
    while (now := count()) != before:  # type: ignore[operator]
        before = now
        await asyncio.sleep(0.15)
    return before


@pytest.mark.slow
async def test_a_client_that_does_not_read_pauses_the_container() -> None:
    written = 0
    total = 24

    async def flood(connection: Connection) -> None:
        nonlocal written
        for _ in range(total):
            await connection.write(chunk(b"x" * 65536))
            written += 1

    container = Container([send(headers(200)), flood, send(END)], receive_buffer=SMALL)
    async with stage(container, send_buffer=SMALL) as s:
        client = await s.connect(receive_buffer=SMALL)
        await client.send(get())
        # 1.5 MB are on offer; what is under way is bounded by the buffers between.
        assert await settled(lambda: written) < 16
        response = await client.response()
        assert len(response.body) == total * 65536
        assert (await client.ask(get())).status == 200


@pytest.mark.slow
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_container_that_does_not_read_pauses_the_client(is_chunked: bool) -> None:
    go = asyncio.Event()
    sent = 0
    total = 4_000_000
    first = [wait(go)] if is_chunked else [swallow, wait(go)]

    async def rest(connection: Connection) -> None:
        seen = connection.seen
        assert seen is not None
        while len(seen.body) < total:
            await ask()(connection)
        if is_chunked:
            await ask()(connection)

    async with stage(Container([*first, rest, send(whole())]), send_buffer=SMALL) as s:
        client = await s.connect()

        async def upload() -> None:
            nonlocal sent
            if is_chunked:
                await client.send(CHUNKED)
            else:
                head = get(b"/", b"Content-Length: %d" % total, method=b"POST")
                await client.send(head)
            for _ in range(total // 20_000):
                piece = b"x" * 20_000
                await client.send(as_chunk(piece) if is_chunked else piece)
                sent += len(piece)
            if is_chunked:
                await client.send(b"0\r\n\r\n")

        async with asyncio.TaskGroup() as group:
            group.create_task(upload())
            # The queue, one read, and what the system holds for a socket.
            held = await settled(lambda: sent)
            assert held < total
            go.set()
        assert (await client.response()).status == 200
        assert len(s.container.requests[0].body) == total


@pytest.mark.slow
async def test_a_large_answer() -> None:
    body = bytes(i * 7 % 251 for i in range(3_000_000))
    async with stage(Container(respond(body))) as s:
        client = await s.connect()
        for _ in range(2):
            assert (await client.ask(get())).body == body
        assert s.container.connections == 1


async def test_large_answers_in_chunks_to_many_clients() -> None:
    script = [send(headers(200)), *[send(chunk(b"%d" % n * 50_000)) for n in range(9)], send(END)]
    async with stage(Container(script)) as s:
        clients = [await s.connect() for _ in range(8)]
        for client in clients:
            await client.send(get())
        for client in clients:
            assert len((await client.response()).body) == 450_000


# --- clients that leave ---------------------------------------------------------------------------


async def leave(s: Stage, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """The client goes; the container has to notice, and nothing stays."""
    client.reset()
    async with asyncio.timeout(2):
        await s.container.gone.wait()
    await eventually(lambda: not s.service.clients and s.pool.open == 0)
    assert reasons(caplog) == ["client_abort"]
    assert (await s.ask(get())).status == 200


async def forever(connection: Connection) -> None:
    await connection.until_gone()


async def test_leaving_while_the_container_works(caplog: pytest.LogCaptureFixture) -> None:
    begun = asyncio.Event()
    async with stage(Container([tell(begun), forever], respond())) as s:
        client = await s.connect()
        await client.send(get())
        await begun.wait()
        await leave(s, client, caplog)
        assert s.container.aborted == 1


async def test_leaving_while_sending_the_body(caplog: pytest.LogCaptureFixture) -> None:
    async with stage(Container([swallow, ask(), ask()], respond())) as s:
        client = await s.connect()
        await client.send(post(b"x" * 20_000)[:-5000])
        await eventually(lambda: sum(len(seen.body) for seen in s.container.requests) > 8186)
        await leave(s, client, caplog)
        assert not s.container.requests[0].is_whole


async def test_leaving_inside_a_chunk(caplog: pytest.LogCaptureFixture) -> None:
    async with stage(Container([ask(), ask()], respond())) as s:
        client = await s.connect()
        await client.send(CHUNKED + b"10\r\nhalf")
        await eventually(lambda: any(seen.body == b"half" for seen in s.container.requests))
        await leave(s, client, caplog)


async def test_leaving_in_the_middle_of_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    async with stage(Container([send(headers(200) + chunk(b"begun")), forever], respond())) as s:
        client = await s.connect()
        await client.send(get())
        while b"begun" not in client.buffer:
            await client.more()
        await leave(s, client, caplog)


async def test_leaving_while_the_answer_is_paused(caplog: pytest.LogCaptureFixture) -> None:
    flood = [send(headers(200)), *[send(chunk(b"x" * 65536))] * 200]
    container = Container(flood, respond(), receive_buffer=SMALL)
    async with stage(container, send_buffer=SMALL) as s:
        client = await s.connect(receive_buffer=SMALL)
        await client.send(get())
        await client.more()
        await asyncio.sleep(0.05)
        await leave(s, client, caplog)


async def test_leaving_while_connecting(caplog: pytest.LogCaptureFixture) -> None:
    pong = asyncio.Event()
    container = Container(on_connect=[wait(pong), send(CPONG)], answers_cping=False)
    async with stage(container) as s:
        client = await s.connect()
        await client.send(post(b"x"))
        await eventually(lambda: container.connections == 1 and s.pool.busy == 1)
        client.reset()
        await eventually(lambda: not s.service.clients)
        assert reasons(caplog) == ["client_abort"]
        # Nothing of the request had left: the connection is as good as new.
        pong.set()
        await eventually(lambda: s.pool.idle == 1)
        assert container.executions == 0


async def test_leaving_behind_a_whole_answer_is_no_abort(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with stage() as s:
        client = await s.connect()
        assert (await client.ask(get())).status == 200
        client.reset()
        await eventually(lambda: not s.service.clients)
        assert reasons(caplog) == []
        assert s.pool.idle == 1
        assert s.service.failures == 0
        assert s.service.requests == 1


async def test_leaving_with_pipelined_requests_waiting() -> None:
    begun = asyncio.Event()
    async with stage(Container([tell(begun), forever])) as s:
        client = await s.connect()
        await client.send(get() * 10)
        await begun.wait()
        client.reset()
        await eventually(lambda: not s.service.clients and s.pool.open == 0)
        assert s.container.executions == 1


async def test_many_clients_come_and_go() -> None:
    async with stage() as s:
        for turn in range(60):
            client = await s.connect()
            await client.send(get() if turn % 3 else post(b"x" * 9000)[: -turn * 10 - 1])
            if turn % 2:
                client.reset()
            elif turn % 3:
                await client.response()
        for client in s.clients:
            client.reset()
        await eventually(lambda: not s.service.clients and s.pool.busy == 0)
