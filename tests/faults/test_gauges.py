"""What the status table says of processes that live, and of those that were killed."""

import asyncio
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from ajp.errors import Reason
from ajp.snapshot import Kind, Snapshot
from ajp.table import Table
from tests.faults.container import Container, never, send, wait, whole
from tests.faults.daemon import Ajpd, ajpd, load, until
from tests.interop.processes import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_factories=["asyncio"]),
]

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
QUICK = b"GET /quick HTTP/1.1\r\nHost: a\r\n\r\n"


def config(daemon: Ajpd, port: int, *containers: int, more: str = "") -> None:
    names = [f"n{number}" for number in range(len(containers))]
    daemon.config.write_text(
        f'[server]\nlisten = ["127.0.0.1:{port}"]\nprocesses = 2\nshutdown_timeout = "5s"\n'
        f'[worker.lb]\ntype = "lb"\nbalance_workers = {names}\n{more}\n[mount]\n"/*" = "lb"\n'
        f'[table]\nfile = "{daemon.folder}/t.shm"\n'
        + "".join(
            f'[worker.{name}]\nhost = "127.0.0.1"\nport = {number}\nconnect_timeout = 0\n{more}\n'
            for name, number in zip(names, containers, strict=True)
        )
    )


def look(daemon: Ajpd) -> dict[str, Snapshot]:
    table = Table.attach(daemon.folder / "t.shm")
    found = [slot.snapshot() for slot in table.slots()]
    return {f"{Kind(each.kind).name.lower()} {each.name}": each for each in found}


async def test_processes_count_together(tmp_path: Path) -> None:
    async with Container() as one, Container() as two, ajpd(tmp_path) as daemon:
        port = free_port()
        config(daemon, port, one.port, two.port)
        await daemon.start()
        async with load(port, fresh=4, keeping=4) as clients:
            await clients.more(200)
        assert clients.failures == []
        await until(lambda: look(daemon)["front front"].in_flight == 0)
        seen = look(daemon)
        for each in ("front front", "balancer lb"):
            assert seen[each].totals["used"] == clients.done
            assert seen[each].totals["status_2xx"] == clients.done
            assert seen[each].totals.duration.total == clients.done
            assert seen[each].max_in_flight >= 1
        for kind in ("member", "worker"):
            both = [seen[f"{kind} n0"], seen[f"{kind} n1"]]
            assert sum(each.totals["used"] for each in both) == clients.done
            # Both processes elect by the same numbers.
            assert abs(both[0].totals["used"] - both[1].totals["used"]) <= 8
            assert [each.in_flight for each in both] == [0, 0]
            assert all(each.totals["bytes_in"] > 0 for each in both)
        assert len(Table.attach(tmp_path / "t.shm").processes()) == 2


async def test_a_killed_process_has_nothing_in_flight(tmp_path: Path) -> None:
    async with Container([never]) as container, ajpd(tmp_path) as daemon:
        port = free_port()
        config(daemon, port, container.port)
        await daemon.start()
        writers = []
        for _ in range(12):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST)
            writers.append(writer)
        names = ("front front", "balancer lb", "member n0", "worker n0")
        await until(lambda: [look(daemon)[name].in_flight for name in names] == [12] * 4)
        assert look(daemon)["worker n0"].connected == 12
        assert look(daemon)["front front"].connected == 12
        for pid in daemon.children():
            os.kill(pid, signal.SIGKILL)
        await until(lambda: [look(daemon)[name].in_flight for name in names] == [0] * 4, within=2.0)
        await until(lambda: len(daemon.children()) == 2, within=2.0)
        assert look(daemon)["worker n0"].connected == 0
        assert look(daemon)["front front"].connected == 0
        for writer in writers:
            writer.transport.abort()


async def test_who_waits_and_what_is_idle_when_one_of_two_is_killed(tmp_path: Path) -> None:
    """What the other process has stays counted, and it works on."""
    go = asyncio.Event()
    async with (
        Container([never]) as stuck,
        Container([wait(go), send(whole())]) as quick,
        ajpd(tmp_path) as daemon,
    ):
        port = free_port()
        daemon.config.write_text(
            f'[server]\nlisten = ["127.0.0.1:{port}"]\nprocesses = 2\n'
            f'[table]\nfile = "{daemon.folder}/t.shm"\n'
            f'[worker.quick]\nport = {quick.port}\nprobe = "off"\n'
            f'[worker.stuck]\nport = {stuck.port}\nprobe = "off"\nconnection_pool_size = 2\n'
            "connection_acquire_timeout = 60000\n"
            '[mount]\n"/*" = "stuck"\n"/quick" = "quick"\n'
        )
        await daemon.start()
        users = [await asyncio.open_connection("127.0.0.1", port) for _ in range(16)]
        for _, writer in users:
            writer.write(QUICK)
        # All at once, so that each has a connection to the container.
        await until(lambda: quick.executions == len(users))
        go.set()
        for reader, _ in users:
            assert (await reader.readuntil(b"fine")).startswith(b"HTTP/1.1 200 ")
        waiting = [await asyncio.open_connection("127.0.0.1", port) for _ in range(24)]
        for _, writer in waiting:
            writer.write(REQUEST)
        seen = partial(gauges, daemon)
        await until(lambda: seen("quick") == (0, 16, 16, 0))
        await until(lambda: seen("stuck") == (24, 4, 0, 20))
        killed = daemon.children()[0]
        os.kill(killed, signal.SIGKILL)
        await until(lambda: killed not in daemon.children() and len(daemon.children()) == 2)
        waiting, users = await left_of(waiting), await left_of(users)
        left = len(waiting)
        assert 2 < left < 22
        await until(lambda: seen("stuck") == (left, 2, 0, left - 2), within=2.0)
        await until(lambda: seen("quick") == (0, len(quick.open), len(quick.open), 0), within=2.0)
        assert len(users) == len(quick.open)
        for reader, writer in users:
            writer.write(QUICK)
            assert (await reader.readuntil(b"fine")).startswith(b"HTTP/1.1 200 ")
        await until(lambda: look(daemon)["front front"].in_flight == left)
        for _, writer in (*users, *waiting):
            writer.transport.abort()
        await until(lambda: seen("stuck") == (0, 0, 0, 0), within=5.0)


def gauges(daemon: Ajpd, name: str) -> tuple[int, int, int, int]:
    found = look(daemon)[f"worker {name}"]
    return found.in_flight, found.connected, found.idle, found.waiting


Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def left_of(links: list[Link]) -> list[Link]:
    """Those whose process lives; its sockets were closed before anybody was told of its death."""
    for _ in range(5):
        await asyncio.sleep(0)
    ended = [link for link in links if link[0].at_eof() or link[0].exception() is not None]
    for _, writer in ended:
        writer.transport.abort()
    return [link for link in links if link not in ended]


async def test_busy_limit_is_for_all_processes(tmp_path: Path) -> None:
    async with Container([never]) as container, ajpd(tmp_path) as daemon:
        port = free_port()
        config(daemon, port, container.port)
        text = daemon.config.read_text().replace("connect_timeout = 0", "busy_limit = 5")
        daemon.config.write_text(text.replace('type = "lb"', 'type = "lb"\nretries = 1'))
        await daemon.start()
        streams = []
        refused = 0
        for number in range(12):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            streams.append(writer)
            writer.write(REQUEST)
            if number < 5:
                await until(lambda n=number: look(daemon)["worker n0"].in_flight == n + 1)
            else:
                async with asyncio.timeout(5):
                    head = await reader.readuntil(b"\r\n\r\n")
                refused += head.startswith(b"HTTP/1.1 503 ")
        assert refused == 7
        # Once the member is known to be busy, it is not asked any more.
        assert look(daemon)["worker n0"].totals.reasons.keys() == {Reason.BUSY_LIMIT}
        for writer in streams:
            writer.transport.abort()
        await until(lambda: look(daemon)["worker n0"].in_flight == 0)


async def test_pools_and_reads_are_shown(tmp_path: Path) -> None:
    async with Container([send(whole())]) as container, ajpd(tmp_path) as daemon:
        port = free_port()
        config(daemon, port, container.port)
        await daemon.start()
        async with load(port, fresh=0, keeping=4) as clients:
            await clients.more(40)
        seen = look(daemon)["worker n0"]
        assert seen.totals["reads"] >= clients.done
        assert seen.totals["connects"] == seen.connected > 0
        await until(lambda: look(daemon)["worker n0"].idle == seen.connected, within=2.0)
        assert look(daemon)["worker n0"].waiting == 0


async def test_sessions_are_counted_where_they_live(tmp_path: Path) -> None:
    async with Container([send(whole())]) as one, Container() as two, ajpd(tmp_path) as daemon:
        port = free_port()
        config(daemon, port, one.port, two.port)
        await daemon.start()
        for number in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            cookie = f"JSESSIONID={number}.n{number % 4 // 3}"
            for _ in range(2):
                writer.write(f"GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n".encode())
                await reader.readuntil(b"fine")
            writer.transport.abort()
        table = Table.attach(tmp_path / "t.shm")
        slots = {slot.name: slot for slot in table.slots() if slot.kind is Kind.MEMBER}
        now = time.monotonic()
        assert [slots[name].sessions_in(120, now) for name in ("n0", "n1")] == [15, 5]
        assert 0 < slots["n1"].last_session_at <= now
        # Whoever drains a member wants to know of sessions that begin, too.
        for cookie in ("", "Cookie: JSESSIONID=1.other\r\n"):
            before = max(slot.last_session_at for slot in slots.values())
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET / HTTP/1.1\r\nHost: a\r\n{cookie}\r\n".encode())
            await reader.readuntil(b"fine")
            writer.transport.abort()
            assert max(slot.last_session_at for slot in slots.values()) > before
        assert [slots[name].sessions_in(120, now) for name in ("n0", "n1")] == [15, 5]


async def test_pessimistic_processes_elect_one_after_the_other(tmp_path: Path) -> None:
    async with Container() as one, Container() as two, ajpd(tmp_path) as daemon:
        port = free_port()
        config(daemon, port, one.port, two.port)
        text = daemon.config.read_text().replace('"lb"\n', '"lb"\nlock = "Pessimistic"\n', 1)
        daemon.config.write_text(text)
        await daemon.start()
        async with load(port, fresh=6, keeping=6) as clients:
            await clients.more(400)
        assert clients.failures == []
        await until(lambda: look(daemon)["front front"].in_flight == 0)
        seen = look(daemon)
        used = [seen[f"member {name}"].totals["used"] for name in ("n0", "n1")]
        assert sum(used) == clients.done
        assert abs(used[0] - used[1]) <= 1


async def test_what_is_known_outlives_a_restart(tmp_path: Path) -> None:
    async with Container([send(whole())]) as container, ajpd(tmp_path) as daemon:
        port = free_port()
        config(daemon, port, container.port)
        await daemon.start()
        async with load(port) as clients:
            await clients.more(20)
        await until(lambda: look(daemon)["front front"].in_flight == 0)
        before = look(daemon)["member n0"].totals["used"]
        assert before == clients.done
        daemon.signal(signal.SIGTERM)
        assert await daemon.ends() == 0
        assert Table.attach(tmp_path / "t.shm").processes() == []
        await daemon.start()
        assert look(daemon)["member n0"].totals["used"] == before


async def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    async with ajpd(tmp_path) as daemon:
        config(daemon, free_port(), 1)
        (tmp_path / "t.shm").write_bytes(b"something else")
        (tmp_path / "t.shm").chmod(0o600)
        with pytest.raises(AssertionError):
            await daemon.start()
        assert await daemon.ends() == 1
        assert f"ajpd: table: {tmp_path}/t.shm: 14 bytes are no table" in daemon.said()
