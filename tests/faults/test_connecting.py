"""Containers that cannot be reached, do not speak, or leave between two requests."""

import asyncio
import socket
from functools import partial
from pathlib import Path

import pytest

from tests.faults.container import (
    END,
    Container,
    chunk,
    cut,
    delay,
    echo,
    headers,
    never,
    packet,
    reset,
    respond,
    send,
    stall,
    wait,
    whole,
)
from tests.faults.nowhere import answers, full_backlog, unused_port
from tests.faults.stage import (
    Stage,
    eventually,
    get,
    post,
    post_chunked,
    reasons,
    retried,
    stage,
    within,
)

REQUESTS = {
    "GET": get(),
    "HEAD": get(method=b"HEAD"),
    "POST": post(b"body"),
    "POST chunked": post_chunked([b"body"]),
}


NAMED = {"host": "app.example", "socket_connect_timeout_ms": 600}


async def test_a_container_that_comes_back_is_used_at_once() -> None:
    late = Container(respond(b"back"))
    with unused_port() as port:
        late.port = port
    async with stage(worker={"port": port}) as s:
        client = await s.connect()
        assert (await client.ask(get())).status == 503
        async with late:
            assert (await client.ask(get())).body == b"back"


@pytest.mark.parametrize("host", ["nobody.invalid", "256.256.256.256"])
async def test_resolve_failed(host: str, caplog: pytest.LogCaptureFixture) -> None:
    # RFC 6761: .invalid never resolves.
    async with stage(worker={"host": host}) as s:
        with within(3.0):
            assert (await s.ask(get())).status == 503
        assert reasons(caplog) == ["resolve_failed"]


@pytest.mark.slow
@pytest.mark.parametrize("host", ["a..b", "a" * 64])
async def test_a_name_that_is_none(host: str, caplog: pytest.LogCaptureFixture) -> None:
    """The resolver is not even asked: socket.getaddrinfo raises UnicodeError."""
    async with stage(worker={"host": host}) as s, asyncio.timeout(0.5):
        assert (await s.ask(get())).status == 503
        assert reasons(caplog) == ["resolve_failed"]


@pytest.mark.slow
async def test_the_second_address_is_found_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address of the name swallows what is sent to it."""
    async with stage(Container(), worker=NAMED) as s:
        answers(monkeypatch, "127.0.0.2", "127.0.0.1")
        with full_backlog("127.0.0.2", s.container.port), within(0.6):
            assert (await s.ask(post(b"x"))).status == 200


async def test_a_container_that_moved_is_found_without_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with stage(Container(), worker=NAMED) as s:
        known = answers(monkeypatch, "127.0.0.1")
        client = await s.connect()
        assert (await client.ask(get())).status == 200
        known[:] = ["127.0.0.2"]
        worker = s.process.workers["app"]
        resolver = worker._dialer.resolver
        assert resolver is not None
        await resolver.ask()
        await eventually(lambda: s.pool.open == 0)
        assert (await client.ask(get())).status == 503
        known[:] = ["127.0.0.1"]
        assert (await client.ask(get())).status == 200
        assert s.container.connections == 2


async def test_source_nobody_has(caplog: pytest.LogCaptureFixture) -> None:
    async with stage(Container(), worker={"source": "192.0.2.1"}) as s:
        assert (await s.ask(get())).status == 503
        assert set(reasons(caplog)) == {"connect_refused"}
        assert "source 192.0.2.1" in caplog.text


async def test_unix_socket(tmp_path: Path) -> None:
    async with stage(Container(echo(), path=tmp_path / "ajp")) as s:
        client = await s.connect()
        assert (await client.ask(get(b"/a"))).body == b"GET /a "
        assert (await client.ask(post(b"body", b"/b"))).body == b"POST /b body"


async def test_unix_socket_that_is_not_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(worker={"host": f"unix:{tmp_path}/nobody"}) as s:
        assert (await s.ask(get())).status == 503
        assert reasons(caplog) == ["connect_refused"]


async def test_unix_socket_nobody_listens_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "stale"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    async with stage(worker={"host": f"unix:{path}"}) as s:
        assert (await s.ask(get())).status == 503
        assert reasons(caplog) == ["connect_refused"]


# --- CPING ----------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_container_that_accepts_and_never_reads(
    caplog: pytest.LogCaptureFixture,
) -> None:
    container = Container(on_connect=[stall])
    async with stage(container, worker={"connect_timeout_ms": 100, "retries": 1}) as s:
        with within(1.0):
            assert (await s.ask(post(b"x"))).status == 503
        assert reasons(caplog) == ["cping_timeout"]


@pytest.mark.parametrize(("step", "reason"), [(cut, "eof"), (reset, "reset")])
async def test_a_container_that_hangs_up_on_connect(
    step: object, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(Container(on_connect=[step])) as s:  # type: ignore[list-item]
        with within(1.0):
            response = await s.ask(post(b"x"))
        assert response.status in (502, 503)
        assert s.container.executions == 0
        assert len(reasons(caplog)) == 1


async def test_a_container_that_sends_a_response_in_place_of_a_cpong(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with stage(Container(on_connect=[delay(0.01), send(whole())])) as s:
        with within(1.0):
            assert (await s.ask(get())).status in (502, 503)
        assert s.container.executions == 0


async def test_without_cping() -> None:
    container = Container(answers_cping=False)
    async with stage(container, worker={"connect_timeout_ms": 0, "prepost_timeout_ms": 0}) as s:
        assert (await s.ask(post(b"x"))).status == 200
        assert container.cpings == 0


# --- idle connections -----------------------------------------------------------------------------


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("kind", REQUESTS)
async def test_closed_between_two_requests(
    kind: str, hard: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage() as s:
        client = await s.connect()
        assert (await client.ask(get())).status == 200
        s.container.drop_idle(hard=hard)
        await eventually(lambda: s.pool.idle == 0)
        assert (await client.ask(REQUESTS[kind])).status == 200
        assert reasons(caplog) == []
        assert retried(caplog) == 0
        assert s.container.executions == 2


@pytest.mark.parametrize("kind", REQUESTS)
async def test_closed_while_the_next_request_is_on_its_way(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Both cross on the wire: the request may have been read for all this side can know."""
    async with stage(Container(respond(), [cut], respond())) as s:
        client = await s.connect()
        assert (await client.ask(get())).status == 200
        response = await client.ask(REQUESTS[kind])
        if kind in ("GET", "HEAD"):
            assert response.status == 200
            assert retried(caplog) == 1
        else:
            assert response.status == 502
            assert reasons(caplog) == ["eof_before_headers"]
            assert s.container.executions == 2


@pytest.mark.slow
async def test_a_stale_connection_is_found_by_its_cping_before_a_post() -> None:
    """Idle for over a second, and half open: no FIN ever came."""
    async with stage(worker={"prepost_timeout_ms": 100}) as s:
        client = await s.connect()
        assert (await client.ask(get())).status == 200
        for connection in s.container.open:
            connection.transport.pause_reading()
        await asyncio.sleep(1.05)
        with within(1.0):
            assert (await client.ask(post(b"once"))).status == 200
        assert [seen.body for seen in s.container.requests] == [b"", b"once"]
        assert s.container.connections == 2


async def test_bytes_on_an_idle_connection_cost_it_its_place() -> None:
    async with stage() as s:
        client = await s.connect()
        assert (await client.ask(get())).status == 200
        for connection in s.container.open:
            await connection.write(b"A")
        await eventually(lambda: s.pool.open == 0)
        assert (await client.ask(post(b"x"))).status == 200
        assert s.container.connections == 2


@pytest.mark.slow
async def test_pool_timeout_closes_idle_connections() -> None:
    async with stage(worker={"connection_pool_timeout_ms": 200}) as s:
        assert (await s.ask(get())).status == 200
        assert s.pool.idle == 1
        await s.container.gone.wait()
        await eventually(lambda: s.pool.open == 0)


@pytest.mark.slow
async def test_idle_connections_are_asked_at_intervals() -> None:
    often = {"connection_ping_interval_ms": 150, "ping_timeout_ms": 100}
    async with stage(worker=often) as s:
        assert (await s.ask(get())).status == 200
        first = s.container.cpings
        await eventually(lambda: s.container.cpings >= first + 2)
        assert s.container.connections == 1
        assert (await s.ask(post(b"x"))).status == 200
        assert s.container.connections == 1
        s.container.answers_cping = False
        await eventually(lambda: s.pool.open == 0)


# --- a full pool ----------------------------------------------------------------------------------


async def test_busy_limit(caplog: pytest.LogCaptureFixture) -> None:
    go = asyncio.Event()
    busy = {"connection_pool_size": 1, "busy_limit": 2}
    async with stage(Container([wait(go), *respond()], respond()), worker=busy) as s:
        first, second, third = [await s.connect() for _ in range(3)]
        await first.send(get())
        await eventually(lambda: s.container.executions == 1)
        await second.send(get())
        await eventually(partial(is_full, s, 1))
        with within(0.5):
            assert (await third.ask(get())).status == 503
        assert reasons(caplog) == ["busy_limit"]
        go.set()
        for client in (first, second):
            assert (await client.response()).status == 200
        assert (await third.ask(get())).status == 200


def is_full(s: Stage, waiting: int) -> bool:
    return bool(s.pool.waiting == waiting and s.pool.busy == 1)


async def test_who_waits_is_served_in_order() -> None:
    go = asyncio.Event()
    container = Container([wait(go), *respond()], *[echo()])
    async with stage(container, worker={"connection_pool_size": 1}) as s:
        clients = [await s.connect() for _ in range(5)]
        for number, client in enumerate(clients):
            await client.send(get(b"/%d" % number))
            await eventually(partial(is_full, s, number))
        go.set()
        for client in clients:
            assert (await client.response()).status == 200
        assert [seen.head.uri for seen in container.requests] == [b"/%d" % n for n in range(5)]
        assert container.connections == 1


async def test_a_client_that_leaves_the_queue(caplog: pytest.LogCaptureFixture) -> None:
    go = asyncio.Event()
    container = Container([wait(go), *respond()], respond())
    async with stage(container, worker={"connection_pool_size": 1}) as s:
        first, second = await s.connect(), await s.connect()
        await first.send(get())
        await eventually(lambda: s.pool.busy == 1)
        await second.send(get(b"/never"))
        await eventually(lambda: s.pool.waiting == 1)
        second.reset()
        await eventually(lambda: s.pool.waiting == 0)
        assert reasons(caplog) == ["client_abort"]
        go.set()
        assert (await first.response()).status == 200
        assert container.executions == 1


@pytest.mark.parametrize("fault", [cut, reset])
async def test_a_lost_endpoint_leaves_its_place_to_the_second_attempt(fault: object) -> None:
    """With room for one connection and no time to wait, a retry still finds room."""
    alone = {"connection_pool_size": 1, "connection_acquire_timeout_ms": 0}
    container = Container(respond(), [fault], respond())  # type: ignore[list-item]
    async with stage(container, worker=alone) as s:
        client = await s.connect()
        assert (await client.ask(get())).status == 200
        assert (await client.ask(get())).status == 200


# --- a container that is slow ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", REQUESTS)
async def test_socket_timeout(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Silence in the middle of a packet is silence too."""
    script = [send(headers(200), chunk(b"x" * 100)[:50]), never]
    async with stage(Container(script), worker={"socket_timeout_ms": 150}) as s:
        with within(1.0):
            client = await s.connect()
            await client.send(REQUESTS[kind])
            if kind == "HEAD":
                # Nothing is missing to its client, who keeps the connection.
                assert (await client.response(b"HEAD")).status == 200
                await eventually(lambda: reasons(caplog))
            else:
                await client.read_all()
        assert reasons(caplog) == ["reply_timeout"]
        assert "socket_timeout" in caplog.text
        assert s.container.executions == 1


@pytest.mark.slow
async def test_socket_timeout_for_what_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    """A container that asks for body and then reads none of it."""
    small = {"socket_timeout_ms": 200, "socket_buffer": 4096, "max_packet_size": 65536}
    script = [send(packet(b"\x06" + (65530).to_bytes(2))), stall]
    container = Container(script, receive_buffer=4096)
    async with stage(container, worker=small) as s:
        client = await s.connect()
        with within(2.0):
            await client.send(post(b"x" * 130_000))
            assert (await client.response()).status == 504
        assert reasons(caplog) == ["reply_timeout"]
        assert "took no bytes" in caplog.text


@pytest.mark.slow
async def test_reply_timeout_of_a_rule() -> None:
    async with stage(Container([never], [delay(0.6), *respond()])) as s:
        client = await s.connect()
        with within(1.0):
            assert (await client.ask(get(b"/soon/x"))).status == 504
        assert (await client.ask(get(b"/x"))).status == 200


@pytest.mark.slow
async def test_reply_timeout_counts_from_the_latest_packet() -> None:
    steps = [send(headers(200))]
    for _ in range(5):
        steps += [delay(0.1), send(chunk(b"x"))]
    async with stage(Container([*steps, send(END)]), worker={"reply_timeout_ms": 300}) as s:
        assert (await s.ask(get())).body == b"xxxxx"


@pytest.mark.slow
@pytest.mark.parametrize("request_", [post(b"x" * 20_000), post_chunked([b"x" * 20_000])])
async def test_reply_timeout_does_not_count_what_the_client_owes(request_: bytes) -> None:
    """The container asked for body and waits for it: it is not the one that is late."""
    async with stage(worker={"reply_timeout_ms": 150}) as s:
        client = await s.connect()
        await client.send(request_[:-5000])
        await asyncio.sleep(0.6)
        await client.send(request_[-5000:])
        assert (await client.response()).status == 200
