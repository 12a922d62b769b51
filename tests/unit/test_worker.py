"""One container seen from one process: queueing, connecting, expiring, failing, closing."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ajp import _codec
from ajp._endpoint import Attempt, Endpoint
from ajp.channel import ContainerRequest
from ajp.container import Server, serve
from ajp.errors import (
    ConnectFailed,
    ConnectTimeout,
    EndpointClosed,
    PoolClosed,
    PoolTimeout,
    Progress,
    Reason,
)
from ajp.messages import ForwardRequest
from ajp.timers import Timers
from ajp.worker import Worker, WorkerSettings
from tests.unit.support import both_loops, scripted_container, until

PACKET = _codec.encode(ForwardRequest(headers=((b"content-length", b"0"),)))


class Once(Attempt):
    """A request, and how it ended."""

    def __init__(self, *, holds: bool = False) -> None:
        self.outcome: object = None
        self.error: Any = None
        self.is_reused = False
        self._holds = holds
        self.ended = asyncio.Event()
        self.has_endpoint = asyncio.Event()

    def on_endpoint(self, endpoint: Endpoint) -> None:
        super().on_endpoint(endpoint)
        self.is_reused = endpoint.requests > 0
        self.has_endpoint.set()
        if not self._holds:
            self.go()

    def go(self) -> None:
        self.begin(PACKET, 0)

    def on_end(self) -> None:
        self.outcome = "end"
        self.ended.set()

    def on_failed(self, reason: Reason, progress: Progress, error: BaseException | None) -> None:
        assert self.outcome is None
        assert progress is Progress.NOTHING_SENT
        self.outcome, self.error = reason, error
        self.ended.set()


async def plain(request: ContainerRequest) -> None:
    await request.send_headers(200)


@asynccontextmanager
async def worker(port: int, **options: Any) -> AsyncIterator[Worker]:
    timers = Timers(asyncio.get_running_loop())
    settings = WorkerSettings(**{"host": "127.0.0.1", "port": port, **options})
    worker = Worker("tomcat1", settings, timers)
    try:
        yield worker
    finally:
        await worker.aclose()
        timers.close()


@asynccontextmanager
async def at_work(**options: Any) -> AsyncIterator[tuple[Worker, Server]]:
    async with serve(plain, port=0) as server, worker(server.port, **options) as its_worker:
        yield its_worker, server


async def send(worker: Worker, attempt: Once | None = None) -> Once:
    attempt = attempt or Once()
    worker.acquire(attempt)
    async with asyncio.timeout(5):
        await attempt.ended.wait()
    return attempt


async def hold(worker: Worker) -> Once:
    """Take an endpoint and keep it busy."""
    attempt = Once(holds=True)
    worker.acquire(attempt)
    async with asyncio.timeout(5):
        await attempt.has_endpoint.wait()
    return attempt


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
    async with worker(0, acquire_timeout=0.0, connect_timeout=0.22) as its_worker:
        with full_listener() as port:
            object.__setattr__(its_worker.settings, "port", port)
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


# --- connecting ---------------------------------------------------------------------------------


class full_listener:  # noqa: N801 - reads as what it is
    """A listener whose backlog is full: connecting to it hangs."""

    def __enter__(self) -> int:
        self.sockets = [socket.socket() for _ in range(5)]
        listener, *blockers = self.sockets
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for blocker in blockers:
            blocker.setblocking(False)
            blocker.connect_ex(listener.getsockname())
        return int(listener.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        for sock in self.sockets:
            sock.close()


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@both_loops
async def test_connect_refused() -> None:
    async with worker(unused_port()) as its_worker:
        attempts = [Once() for _ in range(3)]
        for attempt in attempts:
            its_worker.acquire(attempt)
        for attempt in attempts:
            await attempt.ended.wait()
            assert attempt.outcome is Reason.CONNECT_REFUSED
            assert isinstance(attempt.error, ConnectFailed)
        assert str(attempts[0].error).count("tomcat1") == 1
        assert its_worker.pool.open == 0


@both_loops
async def test_connect_timeout() -> None:
    with full_listener() as port:
        async with worker(port, connect_timeout=0.05) as its_worker:
            attempt = await send(its_worker)
    assert attempt.outcome is Reason.CONNECT_TIMEOUT
    assert isinstance(attempt.error, ConnectTimeout)


@both_loops
async def test_name_that_cannot_be_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    async with worker(1, host="nobody.invalid") as its_worker:

        async def resolve(*args: object, **kwargs: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "nobody of that name")

        its_worker._loop = _With(its_worker._loop, getaddrinfo=resolve)
        attempt = await send(its_worker)
        assert attempt.outcome is Reason.RESOLVE_FAILED
        assert "nobody of that name" in str(attempt.error)
        its_worker._loop = asyncio.get_running_loop()


class _With:
    """An event loop one method of which is another."""

    def __init__(self, loop: asyncio.AbstractEventLoop, **methods: Callable[..., Any]) -> None:
        self._loop, self._methods = loop, methods

    def __getattr__(self, name: str) -> Any:
        return self._methods.get(name) or getattr(self._loop, name)


@both_loops
async def test_next_address_is_tried() -> None:
    async with at_work(prefer_ipv6=True, keepalive=True) as (worker, server):

        async def resolve(host: str, port: int, **kwargs: object) -> list[Any]:
            closed = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", unused_port(), 0, 0))
            good = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))
            return [good, closed]

        worker._loop = _With(worker._loop, getaddrinfo=resolve)  # type: ignore[assignment]
        assert (await send(worker)).outcome == "end"


@both_loops
async def test_unix_socket(tmp_path: Any) -> None:
    path = str(tmp_path / "s")
    async with serve(plain, path=path), worker(0, host=f"unix:{path}") as its_worker:
        assert (await send(its_worker)).outcome == "end"
        assert its_worker.settings.address == f"unix:{path}"
    async with worker(0, host=f"unix:{path}") as its_worker:
        assert (await send(its_worker)).outcome is Reason.CONNECT_REFUSED


def test_addresses() -> None:
    assert WorkerSettings(host="::1", port=1).address == "[::1]:1"
    assert WorkerSettings().address == "localhost:8009"
    assert "s3cret" not in repr(WorkerSettings(secret=b"s3cret"))


@both_loops
async def test_container_that_speaks_first() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 welcome\r\n")
        await reader.read()

    async with scripted_container(greet) as port, worker(port, connect_ping=0.0) as its_worker:
        holder = await hold(its_worker)
        endpoint = holder.endpoint
        assert endpoint is not None
        await until(lambda: its_worker.pool.open == 0)
        assert not endpoint.is_idle


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
