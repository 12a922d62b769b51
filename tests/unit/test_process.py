"""Draining, and signals."""

import asyncio
import logging
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from ajp.worker import WorkerSettings
from ajpd.config.errors import Findings
from ajpd.config.model import ListenAddress
from ajpd.config.properties import parse_properties
from ajpd.config.sections import sections_from_properties
from ajpd.config.workers import build_worker
from ajpd.listeners import open_listener
from ajpd.process import Process, serve
from ajpd.targets import worker_settings
from tests.faults.container import (
    END,
    Container,
    Script,
    chunk,
    headers,
    never,
    respond,
    send,
    wait,
)
from tests.faults.stage import (
    Broken,
    Client,
    Stage,
    configuration,
    eventually,
    get,
    stage,
    unix_address,
    within,
)
from tests.unit.support import both_loops

ANY = ListenAddress(host="127.0.0.1", port=0)


# --- draining -------------------------------------------------------------------------------------


async def test_a_request_under_way_is_finished() -> None:
    go = asyncio.Event()
    async with stage(Container([wait(go), *respond(b"late")])) as s:
        client, idle = await s.connect(), await s.connect()
        await eventually(lambda: len(s.service.clients) == 2)
        await client.send(get())
        await eventually(lambda: s.container.executions == 1)
        stopping = asyncio.create_task(s.process.stop())
        # Idle ones are let go at once, new ones are not accepted.
        assert await idle.at_end()
        with pytest.raises(ConnectionError):
            await s.connect()
        assert not stopping.done()
        go.set()
        response = await client.response()
        assert response.body == b"late"
        assert response.closes
        assert await client.at_end()
        with within(1.0):
            await stopping


async def test_what_is_shown_goes_on_while_draining() -> None:
    """Who waits for a connection, and that the process lives."""
    go, on = asyncio.Event(), asyncio.Event()
    container = Container([wait(go), *respond()], [wait(on), *respond()])
    async with stage(container, worker={"connection_pool_size": 1}) as s:
        clients = [await s.connect() for _ in range(3)]
        for client in clients:
            await client.send(get())
        slot = s.process.ledger.workers["app"]
        await eventually(lambda: slot.waiting == 2)
        stopping = asyncio.create_task(s.process.stop())
        await eventually(lambda: s.service.draining)
        go.set()
        await eventually(lambda: s.container.executions == 2 and slot.waiting == 1)
        (process,) = s.process.ledger.memory.processes()
        before = process.heartbeat_ns
        await eventually(lambda: s.process.ledger.memory.processes()[0].heartbeat_ns > before)
        on.set()
        for client in clients:
            assert (await client.response()).status == 200
        with within(1.0):
            await stopping


async def test_requests_waiting_behind_the_one_under_way_are_not_begun() -> None:
    go = asyncio.Event()
    async with stage(Container([wait(go), *respond(b"late")])) as s:
        client = await s.connect()
        await client.send(get() * 3)
        await eventually(lambda: s.container.executions == 1)
        stopping = asyncio.create_task(s.process.stop())
        await asyncio.sleep(0)
        go.set()
        assert (await client.response()).closes
        assert await client.at_end()
        await stopping
        assert s.container.executions == 1


async def test_an_answer_that_has_begun_is_finished() -> None:
    go = asyncio.Event()
    begun, ended = send(headers(200) + chunk(b"begun,")), send(chunk(b"ended") + END)
    async with stage(Container([begun, wait(go), ended])) as s:
        client = await s.connect()
        await client.send(get())
        while b"begun" not in client.buffer:
            await client.more()
        stopping = asyncio.create_task(s.process.stop())
        await asyncio.sleep(0)
        go.set()
        assert (await client.response()).body == b"begun,ended"
        assert await client.at_end()
        with within(1.0):
            await stopping


async def test_half_a_head_may_still_be_completed() -> None:
    async with stage() as s:
        client = await s.connect()
        await client.send(get()[:10])
        await eventually(lambda: s.service.clients)
        await asyncio.sleep(0.01)
        stopping = asyncio.create_task(s.process.stop())
        await asyncio.sleep(0)
        await client.send(get()[10:])
        response = await client.response()
        assert response.status == 200
        assert response.closes
        await stopping


@pytest.mark.slow
async def test_what_does_not_end_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    async with stage(Container([never]), server={"shutdown_timeout_ms": 200}) as s:
        client = await s.connect()
        await client.send(get())
        await eventually(lambda: s.container.executions == 1)
        with within(1.0):
            await s.process.stop()
        with pytest.raises(Broken):
            await client.response()
        assert "1 connections did not end within 0.2 s" in caplog.text


async def test_with_patience_idle_clients_may_ask_once_more() -> None:
    async with stage() as s:
        client, used = await s.connect(), await s.connect()
        assert (await used.ask(get())).closes is False
        await eventually(lambda: len(s.service.clients) == 2)
        stopping = asyncio.create_task(s.process.stop(patience=60.0))
        await eventually(lambda: s.service.draining)
        for each in (client, used):
            response = await each.ask(get())
            assert (response.status, response.closes) == (200, True)
            assert await each.at_end()
        with within(1.0):
            await stopping


def half(go: asyncio.Event) -> Script:
    """An answer whose head has left, and promises that the connection stays, before it ends."""
    head = headers(200, (b"Content-Length", b"4"))
    return [send(head, chunk(b"ha")), wait(go), send(chunk(b"lf"), END)]


async def begin(s: Stage) -> Client:
    """A client that has the first half of its answer."""
    client = await s.connect()
    await client.send(get())
    while b"ha" not in client.buffer:
        await client.more()
    return client


@both_loops
async def test_who_was_promised_a_connection_may_ask_once_more() -> None:
    """It has no way to know, and may have begun when its answer ends."""
    go = asyncio.Event()
    async with stage(Container(half(go), respond())) as s:
        client = await begin(s)
        stopping = asyncio.create_task(s.process.stop(patience=60.0))
        await eventually(lambda: s.service.draining)
        go.set()
        response = await client.response()
        assert (response.body, response.closes) == (b"half", False)
        response = await client.ask(get())
        assert (response.status, response.closes) == (200, True)
        assert await client.at_end()
        with within(1.0):
            await stopping


async def test_patience_begins_when_an_answer_ends() -> None:
    """All that others had has passed by then."""
    go = asyncio.Event()
    async with stage(Container(half(go), respond())) as s:
        client, idle = await begin(s), await s.connect()
        assert (await idle.ask(get())).status == 200
        stopping = asyncio.create_task(s.process.stop(patience=0.2))
        assert await idle.at_end()
        already = s.service.drained
        assert already >= 0.2
        go.set()
        assert (await client.response()).closes is False
        assert await client.at_end()
        assert s.service.drained - already >= 0.2
        with within(1.0):
            await stopping


async def test_without_patience_a_promise_counts_for_nothing() -> None:
    go = asyncio.Event()
    async with stage(Container(half(go))) as s:
        client = await begin(s)
        stopping = asyncio.create_task(s.process.stop())
        await eventually(lambda: s.service.draining)
        go.set()
        assert (await client.response()).body == b"half"
        assert await client.at_end()
        with within(1.0):
            await stopping


@both_loops
async def test_patience_counts_only_time_in_which_clients_could_be_served() -> None:
    async with stage() as s:
        used = await s.connect()
        assert (await used.ask(get())).closes is False
        stopping = asyncio.create_task(s.process.stop(patience=0.2))
        await eventually(lambda: s.service.draining)
        # The machine has no time for this process, nor for its clients.
        time.sleep(0.4)  # noqa: ASYNC251 - nobody shall be served
        for _ in range(20):
            await asyncio.sleep(0)
        response = await used.ask(get())
        assert (response.status, response.closes) == (200, True)
        with within(1.0):
            await stopping


@both_loops
async def test_what_has_come_is_answered_after_all_patience() -> None:
    async with stage() as s:
        clients = [await s.connect() for _ in range(20)]
        for client in clients:
            assert (await client.ask(get())).closes is False
        stopping = asyncio.create_task(s.process.stop(patience=0.001))
        await eventually(lambda: s.service.draining)
        time.sleep(0.01)  # noqa: ASYNC251 - nobody shall be served
        for client in clients:
            client.sock.send(get())
        for client in clients:
            assert (await client.response()).closes is True
        with within(1.0):
            await stopping


@both_loops
async def test_who_has_asked_nothing_yet_may_do_so_after_all_patience() -> None:
    async with stage() as s:
        fresh, used = await s.connect(), await s.connect()
        assert (await used.ask(get())).closes is False
        stopping = asyncio.create_task(s.process.stop(patience=0.02))
        assert await used.at_end()
        response = await fresh.ask(get())
        assert (response.status, response.closes) == (200, True)
        assert await fresh.at_end()
        with within(1.0):
            await stopping


@both_loops
async def test_who_asks_nothing_is_let_go_as_ever() -> None:
    async with stage(server={"header_timeout_ms": 100}) as s:
        fresh = await s.connect()
        await eventually(lambda: s.service.clients)
        stopping = asyncio.create_task(s.process.stop(patience=0.001))
        assert await fresh.at_end()
        with within(1.0):
            await stopping


@both_loops
async def test_hurry_after_all_patience() -> None:
    async with stage() as s:
        fresh, used = await s.connect(), await s.connect()
        assert (await used.ask(get())).closes is False
        stopping = asyncio.create_task(s.process.stop(patience=0.001))
        assert await used.at_end()
        assert not stopping.done()
        s.process.hurry()
        assert await fresh.at_end()
        with within(1.0):
            await stopping


@both_loops
async def test_nobody_is_lost_who_comes_while_accepting_ends() -> None:
    """Whoever was accepted is answered, the others wait for who else listens there."""
    async with Container() as container:
        config = configuration(worker={"port": container.port})
        kept = 0
        for turns in range(8):
            listener = open_listener(ANY)
            process = Process(config, [listener])
            with listener.dup() as other, socket.create_connection(listener.getsockname()) as sock:
                client = Client(sock)
                sock.setblocking(False)
                await process.start()
                sock.send(get())
                for _ in range(turns):
                    await asyncio.sleep(0)
                await process.stop(patience=5.0)
                try:
                    other.accept()[0].close()
                except BlockingIOError:
                    response = await client.response()
                    assert (response.status, response.closes) == (200, True)
                else:
                    kept += 1
        assert kept < 8


async def test_patience_ends_when_there_is_hurry() -> None:
    async with stage() as s:
        client = await s.connect()
        await eventually(lambda: s.service.clients)
        stopping = asyncio.create_task(s.process.stop(patience=60.0))
        await eventually(lambda: s.service.draining)
        assert not stopping.done()
        s.process.hurry()
        assert await client.at_end()
        with within(1.0):
            await stopping


async def test_stop_twice_does_no_harm() -> None:
    async with stage() as s:
        assert (await s.ask(get())).status == 200
        await s.process.stop()
        await s.process.stop()


async def test_a_unix_listener_takes_its_file_away(tmp_path: Path) -> None:
    path = tmp_path / "http"
    async with stage(server={"listen": unix_address(path)}) as s:
        assert (await s.ask(get())).status == 200
    assert not path.exists()


async def test_two_listeners() -> None:
    async with Container() as container:
        config = configuration(worker={"port": container.port})
        sockets = [open_listener(ANY), open_listener(ANY)]
        places = [sock.getsockname() for sock in sockets]
        process = Process(config, sockets)
        await process.start()
        for place in places:
            sock = socket.socket()
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, place)
            client = Client(sock)
            assert (await client.ask(get())).status == 200
            client.close()
        await process.stop()


# --- signals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it(number: signal.Signals, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    ready = asyncio.Event()
    serving = asyncio.create_task(serve(configuration(), [open_listener(ANY)], on_ready=ready.set))
    await ready.wait()
    os.kill(os.getpid(), number)
    with within(1.0):
        await serving
    assert f"{number.name}: finishing what is under way" in caplog.text
    _forget_signals()


async def test_a_second_signal_does_not_wait() -> None:
    ready = asyncio.Event()
    async with Container([never]) as container:
        config = configuration(
            worker={"port": container.port}, server={"shutdown_timeout_ms": 60_000}
        )
        listener = open_listener(ANY)
        place = listener.getsockname()
        serving = asyncio.create_task(serve(config, [listener], on_ready=ready.set))
        await ready.wait()
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, place)
        client = Client(sock)
        await client.send(get())
        await eventually(lambda: container.executions == 1)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.05)
        assert not serving.done()
        os.kill(os.getpid(), signal.SIGTERM)
        with within(1.0):
            await serving
        with pytest.raises(Broken):
            await client.response()
        client.close()
    _forget_signals()


def _forget_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(number)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_worker_settings_have_the_units_of_the_library() -> None:
    text = "host=h\nport=1\nsecret=s\nmax_packet_size=16384\nconnection_pool_size=3\n"
    text += "connection_pool_minsize=2\nconnection_pool_timeout=4\nbusy_limit=5\n"
    text += "connection_acquire_timeout=600\nsocket_connect_timeout=700\nconnect_timeout=800\n"
    text += "prepost_timeout=900\nconnection_ping_interval=10\nping_timeout=1100\n"
    text += "reply_timeout=1200\nsocket_timeout=13\nsocket_buffer=20000\nsource=10.0.0.9\n"
    text += "socket_keepalive=1\nprefer_ipv6=1"
    findings = Findings()
    lines = "\n".join(f"worker.a.{line}" for line in text.splitlines())
    properties = parse_properties(lines, "f", findings, env={})
    config = build_worker(sections_from_properties(properties, findings)["a"], findings, env={})
    assert config is not None
    assert worker_settings(config) == WorkerSettings(
        host="h",
        port=1,
        secret=b"s",
        max_packet_size=16384,
        pool_size=3,
        pool_min_size=2,
        pool_timeout=4.0,
        acquire_timeout=0.6,
        busy_limit=5,
        connect_timeout=0.7,
        connect_ping=0.8,
        prepost_ping=0.9,
        ping_interval=10.0,
        ping_timeout=1.1,
        reply_timeout=1.2,
        socket_timeout=13.0,
        socket_buffer=20000,
        source="10.0.0.9",
        keepalive=True,
        prefer_ipv6=True,
    )
