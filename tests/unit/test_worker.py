"""One container seen from one process: queueing, connecting, expiring, failing, closing."""

import asyncio
from typing import Any

import pytest

from ajp import _codec
from ajp._endpoint import Endpoint
from ajp.channel import ContainerRequest
from ajp.container import serve
from ajp.errors import EndpointClosed, PoolClosed, PoolError, PoolTimeout, Progress, Reason
from tests.unit.support import both_loops, scripted_container, take_packet, until
from tests.unit.worker_stage import (
    ANSWER,
    CPING_TYPE,
    PACKET,
    Once,
    at_work,
    full_listener,
    hold,
    plain,
    send,
    worker,
)

NO_PING: dict[str, Any] = {"connect_ping": 0.0}


# --- pool and queue -----------------------------------------------------------------------------


@both_loops
async def test_endpoints_are_used_again() -> None:
    async with at_work() as (worker, server):
        first, second = await send(worker), await send(worker)
        assert (first.outcome, second.outcome) == ("end", "end")
        assert (first.is_reused, second.is_reused) == (False, True)
        assert server.connections == 1
        address = worker.settings.address
        assert repr(worker) == f"<Worker tomcat1 {address} {worker.pool!r}>"


@both_loops
async def test_queue_is_first_come_first_served() -> None:
    async with at_work(pool_size=1) as (worker, _):
        holder = await hold(worker)
        order: list[int] = []
        waiters = [Once(holds=True) for _ in range(3)]
        for waiter in waiters:
            worker.acquire(waiter)
        assert worker.pool.waiting == 3
        holder.go()
        for number, waiter in enumerate(waiters):
            await waiter.has_endpoint.wait()
            order.append(number)
            waiter.go()
            await waiter.ended.wait()
        assert order == [0, 1, 2]
        assert (worker.pool.busy, worker.pool.idle) == (0, 1)


@both_loops
async def test_queue_deadline() -> None:
    async with at_work(pool_size=1, acquire_timeout=0.05) as (worker, _):
        holder = await hold(worker)
        late = await send(worker)
        assert late.outcome is Reason.QUEUE_TIMEOUT
        assert isinstance(late.error, PoolTimeout)
        holder.go()
        await holder.ended.wait()
        assert (await send(worker)).outcome == "end"


@both_loops
async def test_pool_exhausted_at_once() -> None:
    async with at_work(pool_size=1, acquire_timeout=0.0) as (worker, _):
        holder = await hold(worker)
        refused = Once()
        worker.acquire(refused)
        assert refused.outcome is Reason.POOL_EXHAUSTED
        holder.go()
        await holder.ended.wait()


@both_loops
async def test_without_a_queue_connecting_has_its_own_time() -> None:
    with full_listener() as port:
        async with worker(port, acquire_timeout=0.0, connect_timeout=0.22) as its_worker:
            attempt = await send(its_worker)
    assert attempt.outcome is Reason.CONNECT_TIMEOUT


@both_loops
async def test_who_gives_up_is_not_served() -> None:
    async with at_work(pool_size=1) as (worker, _):
        holder = await hold(worker)
        gone, stays = Once(), Once()
        worker.acquire(gone)
        worker.acquire(stays)
        assert worker.cancel(gone)
        assert not worker.cancel(gone)
        holder.go()
        await stays.ended.wait()
        assert (gone.outcome, stays.outcome) == (None, "end")


@both_loops
async def test_connection_nobody_waits_for_any_more_is_kept() -> None:
    async with at_work(pool_timeout=30.0) as (worker, _):
        attempt = Once()
        worker.acquire(attempt)
        assert worker.cancel(attempt)
        await until(lambda: worker.pool.idle == 1)
        assert worker.pool.connecting == 0


# --- endpoints that arrive dead ------------------------------------------------------------------


@both_loops
async def test_container_that_speaks_first() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 welcome\r\n")
        await reader.read()

    async with scripted_container(greet) as port, worker(port, connect_ping=0.0) as its_worker:
        attempt = Once(holds=True)
        its_worker.acquire(attempt)
        await until(lambda: attempt.ended.is_set() or attempt.endpoint is not None)
        await until(lambda: its_worker.pool.open == 0)
        # It depends on the loop what comes first, the greeting or the endpoint.
        if attempt.endpoint is None:
            assert isinstance(attempt.error, EndpointClosed)
        else:
            assert not attempt.endpoint.is_idle


@both_loops
async def test_endpoint_that_is_dead_when_it_arrives() -> None:
    async with at_work() as (worker, _):
        dial = worker._dial

        async def stillborn() -> Endpoint:
            endpoint = await dial()
            endpoint.close()
            return endpoint

        worker._dial = stillborn  # type: ignore[method-assign]
        attempt = await send(worker)
        assert isinstance(attempt.error, EndpointClosed)
        assert worker.pool.open == 0


# --- idle endpoints -------------------------------------------------------------------------------


@both_loops
async def test_idle_endpoints_expire() -> None:
    async with at_work(pool_timeout=0.05, pool_min_size=1) as (worker, server):
        holders = [await hold(worker) for _ in range(3)]
        for holder in holders:
            holder.go()
            await holder.ended.wait()
        assert worker.pool.idle == 3
        await until(lambda: worker.pool.idle == 1)
        await until(lambda: server.connections == 1)


@both_loops
async def test_endpoint_closed_by_the_container_is_forgotten() -> None:
    async with serve(plain, port=0, idle_timeout=0.05) as server, worker(server.port) as its_worker:
        await send(its_worker)
        await until(lambda: its_worker.pool.open == 0)
        assert (await send(its_worker)).outcome == "end"


@both_loops
async def test_stale_endpoint_is_replaced() -> None:
    """One that is closing, but has not said so yet, is passed over."""
    async with at_work() as (worker, server):
        first = await hold(worker)
        endpoint = first.endpoint
        first.go()
        await first.ended.wait()
        assert endpoint is not None
        endpoint.close()
        assert worker.pool.idle == 1
        second = await send(worker)
        assert (second.outcome, second.is_reused) == ("end", False)
        assert worker.pool.open == 1
        await until(lambda: server.connections == 1)


@both_loops
async def test_lost_endpoint_makes_room_for_who_waits() -> None:
    async with at_work(pool_size=1) as (worker, _):
        holder, waiter = await hold(worker), Once()
        holder.go()
        worker.acquire(waiter)
        holder.abort()
        await waiter.ended.wait()
        assert (waiter.outcome, waiter.is_reused) == ("end", False)


@both_loops
async def test_silent_endpoints_are_asked() -> None:
    cpings: list[asyncio.StreamWriter] = []

    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while payload := await take_packet(reader):
            if payload[0] == CPING_TYPE:
                cpings.append(writer)
            else:
                writer.write(ANSWER)

    options = {"connect_ping": 0.0, "ping_interval": 0.05, "ping_timeout": 5.0, "pool_size": 2}
    async with (
        scripted_container(container) as port,
        worker(port, pool_timeout=60.0, **options) as its_worker,
    ):
        await send(its_worker)
        await until(lambda: cpings)
        pool = its_worker.pool
        assert (pool.idle, pool.busy, pool.open) == (0, 0, 1)
        # Nobody gets it now.
        other = await hold(its_worker)
        assert not other.is_reused
        waiter = Once()
        its_worker.acquire(waiter)
        assert pool.waiting == 1
        cpings[0].write(_codec.CPONG)
        await waiter.ended.wait()
        assert (waiter.outcome, waiter.is_reused) == ("end", True)
        # It is asked again, and its place among the idle ones is its own.
        await until(lambda: len(cpings) == 2)
        cpings[1].write(_codec.CPONG)
        await until(lambda: pool.idle == 1)
        other.go()
        await other.ended.wait()


@both_loops
async def test_silent_endpoint_that_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ajp.endpoint")

    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_packet(reader)
        writer.write(ANSWER)
        await reader.read()

    options = {"connect_ping": 0.0, "ping_interval": 0.05, "ping_timeout": 0.05}
    async with scripted_container(container) as port, worker(port, **options) as its_worker:
        await send(its_worker)
        await until(lambda: its_worker.pool.open == 0)
        assert "no CPONG in time; the idle connection is closed" in caplog.text


@both_loops
async def test_close_while_an_endpoint_is_asked() -> None:
    asked = asyncio.Event()

    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_packet(reader)
        writer.write(ANSWER)
        await take_packet(reader)
        asked.set()
        await reader.read()

    options = {"connect_ping": 0.0, "ping_interval": 0.05}
    async with scripted_container(container) as port, worker(port, **options) as its_worker:
        await send(its_worker)
        await asked.wait()
        await its_worker.aclose()
        assert its_worker.pool.open == 0


@both_loops
async def test_busy_limit() -> None:
    async with at_work(busy_limit=2, pool_size=1) as (worker, _):
        holder = await hold(worker)
        waiter = Once()
        worker.acquire(waiter)
        refused = Once()
        worker.acquire(refused)
        assert refused.outcome is Reason.BUSY_LIMIT
        assert isinstance(refused.error, PoolError)
        assert "busy_limit" in str(refused.error)
        holder.go()
        await waiter.ended.wait()
        assert (await send(worker)).outcome == "end"


@both_loops
async def test_container_that_takes_nothing() -> None:
    """What is sent must leave within the socket_timeout."""

    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    class Upload(Once):
        def go(self) -> None:
            self.begin(PACKET + bytes(4_000_000), 10, True)

        def on_failed(
            self, reason: Reason, progress: Progress, error: BaseException | None
        ) -> None:
            self.outcome, self.error = (reason, progress), error
            self.ended.set()

    options = {"connect_ping": 0.0, "socket_timeout": 0.1, "socket_buffer": 4096}
    async with scripted_container(container) as port, worker(port, **options) as its_worker:
        attempt = await send(its_worker, Upload())
        assert attempt.outcome == (Reason.REPLY_TIMEOUT, Progress.BODY_SENT)
        assert "took no bytes within the socket_timeout of 0.1 s" in str(attempt.error)


@both_loops
async def test_container_that_takes_slowly() -> None:
    """Each time it took all, the time begins anew; the answer comes in the end."""
    size = 1_000_000

    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(PACKET) + size)
        writer.write(ANSWER)
        await reader.read()

    class Upload(Once):
        def go(self) -> None:
            self.begin(PACKET + bytes(size), 10, True)

    options = {"connect_ping": 0.0, "socket_timeout": 5.0, "socket_buffer": 4096}
    async with scripted_container(container) as port, worker(port, **options) as its_worker:
        assert (await send(its_worker, Upload())).outcome == "end"


@both_loops
async def test_left_endpoints_keep_their_place_until_they_are_closed() -> None:
    finished = asyncio.Event()
    ends: list[bytes | str] = []

    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_packet(reader)
        writer.write(ANSWER[:-10])
        ends.append(await reader.read())
        writer.write(ANSWER[-10:])
        await finished.wait()

    async with scripted_container(container) as port, worker(port, **NO_PING) as its_worker:
        attempt = Once()
        its_worker.acquire(attempt)
        await attempt.has_endpoint.wait()
        attempt.leave()
        assert attempt.endpoint is None
        assert (its_worker.pool.busy, its_worker.pool.idle) == (1, 0)
        await until(lambda: ends)
        # It may go on writing for a while.
        await asyncio.sleep(0.02)
        assert its_worker.pool.busy == 1
        finished.set()
        await until(lambda: its_worker.pool.open == 0)
        assert ends == [b""]
        assert attempt.outcome is None


@both_loops
async def test_leaving_hard_resets() -> None:
    ends: list[str] = []

    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_packet(reader)
        try:
            await reader.read()
        except ConnectionResetError:
            ends.append("reset")

    async with scripted_container(container) as port, worker(port, **NO_PING) as its_worker:
        attempt = Once()
        its_worker.acquire(attempt)
        await attempt.has_endpoint.wait()
        await asyncio.sleep(0.01)
        attempt.leave(True)
        await until(lambda: its_worker.pool.open == 0)
        await until(lambda: ends == ["reset"])
        assert attempt.outcome is None


# --- closing --------------------------------------------------------------------------------------


@both_loops
async def test_close_refuses_who_waits_and_who_comes() -> None:
    async with at_work(pool_size=1) as (worker, _):
        holder, waiter = await hold(worker), Once()
        worker.acquire(waiter)
        await worker.aclose()
        assert waiter.outcome is Reason.SHUTDOWN
        latecomer = await send(worker)
        assert isinstance(latecomer.error, PoolClosed)
        assert holder.outcome is None


@both_loops
async def test_close_gives_running_requests_time() -> None:
    go_on = asyncio.Event()

    async def slow(request: ContainerRequest) -> None:
        await go_on.wait()
        await request.send_headers(200)

    async with serve(slow, port=0) as server, worker(server.port) as its_worker:
        attempt = Once()
        its_worker.acquire(attempt)
        await until(lambda: server.busy == 1)
        closing = asyncio.ensure_future(its_worker.aclose(grace=5.0))
        await asyncio.sleep(0)
        go_on.set()
        await closing
        assert attempt.outcome == "end"
        await until(lambda: server.connections == 0)


@both_loops
async def test_close_ends_what_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    async def forever(request: ContainerRequest) -> None:
        await asyncio.Event().wait()

    async with serve(forever, port=0) as server, worker(server.port) as its_worker:
        its_worker.acquire(Once())
        await until(lambda: server.busy == 1)
        await its_worker.aclose(grace=0.02)
        assert "did not end in time" in caplog.text
        await until(lambda: server.connections == 0)


@both_loops
async def test_close_while_connecting() -> None:
    with full_listener() as port:
        async with worker(port) as its_worker:
            attempt = Once()
            its_worker.acquire(attempt)
            await asyncio.sleep(0)
            await its_worker.aclose()
            assert attempt.outcome is Reason.SHUTDOWN
            assert its_worker.pool.open == 0
