"""Connecting to a container: which address, which socket, how long, and what becomes of names."""

import asyncio
import errno
import os
import socket
from typing import Any

import pytest

from ajp import dial
from ajp.container import serve
from ajp.dial import Address
from ajp.errors import ConnectFailed, ConnectTimeout, Reason
from ajp.worker import Worker, WorkerSettings
from tests.unit.support import both_loops, until
from tests.unit.worker_stage import (
    Once,
    at_work,
    full_listener,
    hold,
    plain,
    send,
    unused_port,
    worker,
)


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
@pytest.mark.parametrize("lack", [errno.EMFILE, errno.ENFILE])
async def test_no_container_is_to_blame_where_we_have_no_descriptor_left(
    lack: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object, **__: object) -> socket.socket:
        raise OSError(lack, "Too many open files")

    async with worker(unused_port()) as its_worker:
        monkeypatch.setattr(dial.socket, "socket", none_left)
        attempt = Once()
        its_worker.acquire(attempt)
        await attempt.ended.wait()
        monkeypatch.undo()
    assert attempt.outcome is Reason.POOL_EXHAUSTED
    assert "Too many open files" in str(attempt.error)


@both_loops
async def test_connect_timeout() -> None:
    with full_listener() as port:
        async with worker(port, connect_timeout=0.05) as its_worker:
            attempt = await send(its_worker)
    assert attempt.outcome is Reason.CONNECT_TIMEOUT
    assert isinstance(attempt.error, ConnectTimeout)


class Resolving:
    """An event loop that knows one name; `answer` is what it leads to, or why it leads nowhere."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *answer: str | Exception) -> None:
        self._loop = loop
        self.answer = answer
        self.asked = 0
        self.port = 0

    async def getaddrinfo(self, host: str, port: int, **kwargs: object) -> list[Any]:
        assert host == "app.example"
        self.asked += 1
        await asyncio.sleep(0)
        return [self._info(item, self.port or port) for item in self.answer]

    def _info(self, item: str | Exception, port: int) -> tuple[Any, ...]:
        if isinstance(item, Exception):
            raise item
        if ":" in item:
            return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (item, port, 0, 0))
        return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (item, port))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


def resolve(worker: Worker, *answer: str | Exception) -> Resolving:
    """Let the worker's name lead to these addresses."""
    resolver = worker._dialer.resolver
    assert resolver is not None
    loop = Resolving(asyncio.get_running_loop(), *answer)
    resolver._loop = loop  # type: ignore[assignment]
    return loop


NOBODY = socket.gaierror(socket.EAI_NONAME, "nobody of that name")


@both_loops
async def test_name_that_cannot_be_resolved() -> None:
    async with worker(1, host="app.example") as its_worker:
        resolve(its_worker, NOBODY)
        attempt = await send(its_worker)
        assert attempt.outcome is Reason.RESOLVE_FAILED
        assert "nobody of that name" in str(attempt.error)
        resolve(its_worker)
        attempt = await send(its_worker)
        assert "it has no address" in str(attempt.error)


@both_loops
async def test_resolver_that_says_nothing() -> None:
    async with worker(1, host="app.example", connect_timeout=0.05) as its_worker:
        loop = resolve(its_worker)
        loop.getaddrinfo = _never  # type: ignore[method-assign]
        attempt = await send(its_worker)
        assert attempt.outcome is Reason.RESOLVE_FAILED
        assert "was not resolved within 0.05 s" in str(attempt.error)


async def _never(*args: object, **kwargs: object) -> Any:
    await asyncio.Event().wait()


@both_loops
async def test_next_address_is_tried() -> None:
    async with at_work(host="app.example", prefer_ipv6=True, keepalive=True) as (worker, _):
        resolve(worker, "127.0.0.1", "::1")
        attempt = await hold(worker)
        assert attempt.endpoint is not None
        assert attempt.endpoint.peer == "127.0.0.1"


async def local_address(worker: Worker) -> str:
    """Where a connection starts from."""
    sock, _ = await worker._dialer.connect()
    with sock:
        return str(sock.getsockname()[0])


@both_loops
async def test_all_addresses_fail() -> None:
    async with worker(unused_port(), host="app.example") as its_worker:
        resolve(its_worker, "127.0.0.1", "127.0.0.2")
        attempt = await send(its_worker)
        assert attempt.outcome is Reason.CONNECT_REFUSED
        words = "127.0.0.1: Connection refused; 127.0.0.2: Connection refused"
        assert str(attempt.error) == f"tomcat1 ({its_worker.settings.address}): {words}"


@both_loops
async def test_dead_address_does_not_use_up_the_time() -> None:
    """The first address never answers; the second has the same port and does."""
    async with serve(plain, port=0, host="127.0.0.1") as server:
        with full_listener("127.0.0.2", server.port):
            options = {"host": "app.example", "connect_timeout": 0.6}
            async with worker(server.port, **options) as its_worker:
                resolve(its_worker, "127.0.0.2", "127.0.0.1")
                attempt = await send(its_worker)
                assert attempt.outcome == "end"
                assert not its_worker._dialer._tries


@both_loops
async def test_only_dead_addresses() -> None:
    with full_listener() as port:
        async with worker(port, host="app.example", connect_timeout=0.1) as its_worker:
            resolve(its_worker, "127.0.0.1", "127.0.0.1", "::1")
            attempt = await send(its_worker)
            assert attempt.outcome is Reason.CONNECT_TIMEOUT
            await until(lambda: not its_worker._dialer._tries)


@both_loops
async def test_many_dials_ask_once_and_a_failed_one_makes_them_ask_again() -> None:
    async with at_work(host="app.example") as (worker, _):
        loop = resolve(worker, "127.0.0.1")
        for _ in range(3):
            await hold(worker)
        assert loop.asked == 1
        loop.port = unused_port()
        resolver = worker._dialer.resolver
        assert resolver is not None
        resolver.doubt()
        assert (await send(worker)).outcome is Reason.CONNECT_REFUSED
        assert (await send(worker)).outcome is Reason.CONNECT_REFUSED
        assert loop.asked == 3


@both_loops
async def test_name_that_leads_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    """Idle connections to the old address go at once, busy ones with the end of their request."""
    caplog.set_level("INFO", "ajp.worker")
    async with at_work(host="app.example") as (worker, _):
        loop = resolve(worker, "127.0.0.1")
        idle, busy = await hold(worker), await hold(worker)
        idle.go()
        await idle.ended.wait()
        loop.answer = ("127.0.0.9",)
        ask_again(worker)
        await until(lambda: worker.pool.idle == 0)
        assert worker.pool.busy == 1
        busy.go()
        await busy.ended.wait()
        assert busy.outcome == "end"
        await until(lambda: worker.pool.open == 0)
        assert "app.example is 127.0.0.9 now, not 127.0.0.1 any more" in caplog.text


@both_loops
async def test_connection_that_comes_after_the_news() -> None:
    """It was on its way to a former address; the next answer ends it too."""
    async with at_work(host="app.example") as (worker, _):
        loop = resolve(worker, "127.0.0.1")
        attempt = await hold(worker)
        resolver = worker._dialer.resolver
        assert resolver is not None
        resolver._known = (Address(socket.AF_INET, ("127.0.0.9", 1)),)
        loop.answer = ("127.0.0.9",)
        ask_again(worker)
        await until(lambda: attempt.endpoint is not None and attempt.endpoint.retired)


def ask_again(worker: Worker) -> None:
    """Let the half minute pass that a name is believed."""
    resolver = worker._dialer.resolver
    assert resolver is not None
    resolver.asked_at -= 31
    worker._resolve_alarm.on_deadline(asyncio.get_running_loop().time())


@both_loops
async def test_name_that_is_lost_keeps_its_addresses(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ajp.worker")
    async with at_work(host="app.example") as (worker, _):
        loop = resolve(worker, "127.0.0.1")
        await hold(worker)
        loop.answer = (NOBODY,)
        for asked in (2, 3):
            ask_again(worker)
            await until(lambda asked=asked: loop.asked == asked)
            await hold(worker)
        assert worker.pool.busy == 3
        assert caplog.text.count("cannot be resolved any more (nobody of that name)") == 1
        loop.answer = ("127.0.0.1",)
        ask_again(worker)
        await until(lambda: "app.example can be resolved again" in caplog.text)


@both_loops
async def test_known_addresses_do_not_wait_for_a_resolver_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dial, "PATIENCE", 0.01)
    async with at_work(host="app.example") as (worker, _):
        loop = resolve(worker, "127.0.0.1")
        await hold(worker)
        loop.getaddrinfo = _never  # type: ignore[method-assign]
        resolver = worker._dialer.resolver
        assert resolver is not None
        resolver.doubt()
        for _ in range(2):
            await hold(worker)
        assert worker.pool.busy == 3


@both_loops
async def test_system_that_gives_up_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_work(host="app.example", connect_timeout=0.0) as (worker, _):
        resolve(worker, "127.0.0.1", "127.0.0.2")

        async def time_out(sock: socket.socket, where: object) -> None:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

        monkeypatch.setattr(worker._dialer, "_reach", time_out)
        attempt = await send(worker)
        assert attempt.outcome is Reason.CONNECT_TIMEOUT
        assert "127.0.0.2: Connection timed out" in str(attempt.error)


@both_loops
async def test_name_is_only_asked_while_there_are_connections() -> None:
    async with at_work(host="app.example") as (worker, _):
        loop = resolve(worker, "127.0.0.1")
        worker._resolve_alarm.on_deadline(0.0)
        assert loop.asked == 0
        await hold(worker)
        assert worker._resolve_alarm.deadline
        worker._resolve_alarm.on_deadline(asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)
        assert loop.asked == 1
    async with at_work() as (worker, _):
        await hold(worker)
        assert not worker._resolve_alarm.deadline


@both_loops
async def test_source() -> None:
    async with at_work(source="127.0.0.5") as (worker, _):
        assert await local_address(worker) == "127.0.0.5"


@both_loops
async def test_source_of_another_family() -> None:
    async with at_work(source="::1") as (worker, _):
        attempt = await send(worker)
        assert isinstance(attempt.error, ConnectFailed)
        assert "source ::1 is no IPv4 address" in str(attempt.error)


@both_loops
async def test_source_that_is_not_ours() -> None:
    async with at_work(source="192.0.2.1") as (worker, _):
        attempt = await send(worker)
        assert isinstance(attempt.error, ConnectFailed)
        assert "source 192.0.2.1: Cannot assign requested address" in str(attempt.error)


@both_loops
async def test_source_by_name() -> None:
    async with at_work(source="app.example") as (worker, _):
        loop = Resolving(asyncio.get_running_loop(), "::1", "127.0.0.5")
        worker._dialer._loop = loop  # type: ignore[assignment]
        assert await local_address(worker) == "127.0.0.5"
        loop.answer = (NOBODY,)
        attempt = await send(worker)
        assert attempt.outcome is Reason.RESOLVE_FAILED
        assert "source app.example cannot be resolved" in str(attempt.error)


@both_loops
async def test_socket_buffer() -> None:
    async with at_work(socket_buffer=20_000) as (worker, _server):
        sock, _ = await worker._dialer.connect()
        with sock:
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                # Linux keeps its own books in the same buffer and doubles it.
                assert sock.getsockopt(socket.SOL_SOCKET, option) == 40_000


@both_loops
@pytest.mark.parametrize("keepalive", [False, True])
async def test_options_of_sockets(keepalive: bool) -> None:
    async with at_work(keepalive=keepalive) as (worker, _server):
        sock, peer = await worker._dialer.connect()
        with sock:
            assert peer == "127.0.0.1"
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is keepalive


@both_loops
async def test_unix_socket_with_a_full_queue(tmp_path: Any) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as filler:
        listener.bind(path)
        listener.listen(0)
        filler.connect(path)
        async with worker(0, host=f"unix:{path}", connect_timeout=0.1) as its_worker:
            attempt = await send(its_worker)
            assert attempt.outcome is Reason.CONNECT_TIMEOUT


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
