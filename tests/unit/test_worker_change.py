"""A worker that is told other settings while it works."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from ajp.container import Server, serve
from ajp.errors import Reason
from ajp.worker import Worker
from tests.unit.support import both_loops, scripted_container, take_packet, until
from tests.unit.worker_stage import (
    ANSWER,
    CPING_TYPE,
    Once,
    at_work,
    full_listener,
    hold,
    plain,
    send,
    worker,
)


def change(worker: Worker, **settings: Any) -> None:
    worker.change(replace(worker.settings, **settings))


@both_loops
async def test_other_address() -> None:
    async with at_work() as (worker, before), serve(plain, port=0) as after:
        busy, idle = await hold(worker), await hold(worker)
        idle.go()
        await idle.ended.wait()
        assert (worker.pool.idle, worker.pool.busy) == (1, 1)
        change(worker, port=after.port)
        await until(lambda: before.connections == 1)
        found = await send(worker)
        assert (found.outcome, found.is_reused) == ("end", False)
        assert after.connections == 1
        # The busy one ends where it began, and is not used again.
        busy.go()
        await busy.ended.wait()
        assert busy.outcome == "end"
        await until(lambda: before.connections == 0)
        assert repr(worker).startswith(f"<Worker tomcat1 127.0.0.1:{after.port} ")


@both_loops
async def test_the_same_settings_change_nothing() -> None:
    async with at_work() as (worker, server):
        await send(worker)
        change(worker)
        found = await send(worker)
        assert (found.is_reused, server.connections) == (True, 1)


@both_loops
async def test_who_waits_is_served_at_the_new_address() -> None:
    async with at_work(pool_size=1) as (worker, _), serve(plain, port=0) as after:
        holder, waiter = await hold(worker), Once()
        worker.acquire(waiter)
        change(worker, port=after.port)
        assert worker.pool.waiting == 1
        holder.go()
        await waiter.ended.wait()
        assert (waiter.outcome, after.connections) == ("end", 1)


@both_loops
async def test_who_waits_for_more_connections_gets_them() -> None:
    async with at_work(pool_size=1) as (worker, server):
        holder, waiter = await hold(worker), Once()
        worker.acquire(waiter)
        change(worker, pool_size=2)
        await waiter.ended.wait()
        assert (waiter.outcome, server.connections) == ("end", 2)
        holder.go()
        await holder.ended.wait()


@both_loops
async def test_connection_being_made_is_made_anew() -> None:
    with full_listener() as port:
        async with serve(plain, port=0) as after, worker(port, connect_timeout=0.3) as its_worker:
            waiter = Once()
            its_worker.acquire(waiter)
            await until(lambda: its_worker.pool.connecting == 1)
            change(its_worker, port=after.port)
            await waiter.ended.wait()
            assert (waiter.outcome, after.connections) == ("end", 1)
            assert (its_worker.pool.open, its_worker.pool.connecting) == (1, 0)


@both_loops
async def test_connection_that_comes_too_late_is_closed() -> None:
    async with AsyncExitStack() as stack:
        servers: list[Server] = [
            await stack.enter_async_context(serve(plain, port=0)) for _ in range(2)
        ]
        its_worker = await stack.enter_async_context(worker(servers[0].port))
        waiter = Once()
        its_worker.acquire(waiter)
        # Its task has begun, and the socket is not connected before the loop turns again.
        await asyncio.sleep(0)
        change(its_worker, port=servers[1].port)
        await waiter.ended.wait()
        assert waiter.outcome == "end"
        await until(lambda: [server.connections for server in servers] == [0, 1])
        assert its_worker.pool.open == 1


@both_loops
async def test_close_while_a_former_address_is_dialled() -> None:
    with full_listener() as port:
        async with serve(plain, port=0) as after, worker(port) as its_worker:
            waiter = Once()
            its_worker.acquire(waiter)
            await until(lambda: its_worker.pool.connecting == 1)
            change(its_worker, port=after.port)
        assert waiter.outcome is Reason.SHUTDOWN


@both_loops
async def test_packets_of_another_size_take_new_connections() -> None:
    async with at_work() as (worker, server):
        await send(worker)
        change(worker, max_packet_size=16384)
        found = await hold(worker)
        assert found.endpoint is not None
        assert (found.endpoint.max_packet_size, found.is_reused) == (16384, False)
        found.go()
        await found.ended.wait()
        await until(lambda: server.connections == 1)


@both_loops
async def test_times_count_for_connections_that_are_there() -> None:
    asked: list[int] = []

    async def container(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while payload := await take_packet(reader):
            asked.append(payload[0])
            if payload[0] != CPING_TYPE and len(asked) == 1:
                writer.write(ANSWER)

    async with scripted_container(container) as port, worker(port, connect_ping=0.0) as its_worker:
        await send(its_worker)
        change(its_worker, reply_timeout=0.05)
        waiter = Once()
        waiter.on_failed = lambda reason, progress, error: (  # type: ignore[method-assign]
            setattr(waiter, "outcome", reason) or waiter.ended.set()
        )
        its_worker.acquire(waiter)
        await waiter.ended.wait()
        assert waiter.outcome is Reason.REPLY_TIMEOUT
        assert waiter.is_reused


@both_loops
async def test_idle_connections_learn_how_old_they_may_be() -> None:
    async with at_work() as (worker, server):
        await send(worker)
        change(worker, pool_timeout=0.05)
        await until(lambda: server.connections == 0)


@both_loops
async def test_busy_limit_counts_at_once() -> None:
    async with at_work() as (worker, _):
        holder = await hold(worker)
        change(worker, busy_limit=1)
        assert (await send(worker)).outcome is Reason.BUSY_LIMIT
        change(worker, busy_limit=0)
        assert (await send(worker)).outcome == "end"
        holder.go()
        await holder.ended.wait()


@both_loops
async def test_a_former_name_is_not_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = asyncio.Event()
    loop = asyncio.get_running_loop()
    real = type(loop).getaddrinfo

    async def slow(self: Any, host: str, *args: Any, **how: Any) -> Any:
        if host == "former.example":
            await answer.wait()
            host = "127.0.0.9"
        return await real(self, host, *args, **how)

    monkeypatch.setattr(type(loop), "getaddrinfo", slow, raising=False)
    async with at_work() as (worker, server):
        port = worker.settings.port
        change(worker, host="former.example")
        waiter = Once()
        worker.acquire(waiter)
        await until(lambda: worker.pool.connecting == 1)
        change(worker, host="127.0.0.1", port=port)
        other = await send(worker)
        assert other.outcome == "end"
        answer.set()
        await waiter.ended.wait()
        assert waiter.outcome == "end"
        await until(lambda: not worker._leaving and worker.pool.connecting == 0)
        # Neither was closed because it leads elsewhere.
        assert worker.pool.open == 2
        await until(lambda: server.connections == 2)
