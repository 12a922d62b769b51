"""Attempts leave a container that stands still, if they may; and silence that is ours."""

import asyncio
import os

from ajp._column import Column
from ajp._slot import Slot
from ajp.container import serve
from ajp.errors import EndpointError, Progress, Reason
from ajp.snapshot import Kind
from ajp.table import private_memory
from ajp.timers import Timers
from ajp.worker import Worker, WorkerSettings
from tests.unit.support import both_loops, scripted_container, take_packet, until
from tests.unit.worker_stage import PACKET, Once, hold, plain, worker

FROZEN = EndpointError("of a test", reason=Reason.FROZEN)


class Leaving(Once):
    """A request that leaves, or does not; and how far it had come."""

    def __init__(self, *, may: bool, holds: bool = False) -> None:
        super().__init__(holds=holds)
        self.may = may
        self.progress: Progress | None = None

    def may_leave(self, progress: Progress) -> bool:
        self.progress = progress
        return self.may

    def on_failed(self, reason: Reason, progress: Progress, error: BaseException | None) -> None:
        assert progress is self.progress
        self.outcome, self.error = reason, error
        self.ended.set()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await take_packet(reader)
    await reader.read()


@both_loops
async def test_who_was_sent() -> None:
    async with scripted_container(silent) as port, worker(port, connect_ping=0.0) as made:
        stays, leaves = Leaving(may=False), Leaving(may=True)
        for attempt in (stays, leaves):
            made.acquire(attempt)
            await attempt.has_endpoint.wait()
        assert made.rescue(FROZEN) == 1
        assert (leaves.outcome, leaves.error) == (Reason.FROZEN, FROZEN)
        assert leaves.progress is stays.progress is Progress.HEAD_SENT
        assert stays.outcome is None
        assert made.pool.busy == 1
        assert made.rescue(FROZEN) == 0


@both_loops
async def test_who_waits_for_a_cpong() -> None:
    async with scripted_container(silent) as port, worker(port, connect_ping=30.0) as made:
        leaves = Leaving(may=True)
        made.acquire(leaves)
        await leaves.has_endpoint.wait()
        assert made.rescue(FROZEN) == 1
        assert leaves.progress is Progress.NOTHING_SENT


@both_loops
async def test_who_waits_in_the_queue() -> None:
    async with scripted_container(silent) as port, worker(port, pool_size=1) as made:
        await hold(made)
        waiting = [Leaving(may=False), Leaving(may=True), Leaving(may=True)]
        for attempt in waiting:
            made.acquire(attempt)
        assert made.rescue(FROZEN) == 2
        assert [each.outcome for each in waiting] == [None, Reason.FROZEN, Reason.FROZEN]
        assert made.pool.waiting == 1


@both_loops
async def test_others_do_not_leave() -> None:
    """Without a word of its own an attempt stays."""
    async with scripted_container(silent) as port, worker(port, connect_ping=0.0) as made:
        attempt = Once()
        made.acquire(attempt)
        await attempt.has_endpoint.wait()
        assert made.rescue(FROZEN) == 0
        assert attempt.outcome is None


@both_loops
async def test_it_is_counted_and_silence_of_ours_is_excused() -> None:
    memory = private_memory(slots=8, columns=2)
    columns = [Column(memory, memory.claim(pid=os.getpid(), started=0)) for _ in range(2)]
    slot = Slot.take(memory, Kind.WORKER, "tomcat1", address="a")
    timers = Timers(asyncio.get_running_loop())
    async with serve(plain, port=0) as server:
        settings = WorkerSettings(host="127.0.0.1", port=server.port, connect_ping=0.0)
        made = Worker("tomcat1", settings, timers, slot=slot, column=columns[0])
        made.excuse()
        assert slot.reads == 0
        attempt = Leaving(may=True, holds=True)
        columns[0].begun(slot)
        made.acquire(attempt)
        await attempt.has_endpoint.wait()
        # It has its request to say, but its client sends the body when it pleases.
        attempt.begin(PACKET, 10)
        assert not made.awaits_container()
        made.excuse()
        assert slot.reads == 1
        # Another process waits for the container in earnest.
        columns[1].begun(slot)
        made.excuse()
        assert slot.reads == 1
        columns[1].ended(slot)
        attempt.pause_reading()
        made.excuse()
        assert slot.reads == 2
        assert made.rescue(FROZEN) == 1
        assert slot.totals().counters["rescued"] == 1
        await until(lambda: made.pool.open == 0)
        made.excuse()
        assert slot.reads == 2
        await made.aclose()
    timers.close()
