"""Processes of the daemon die, or follow each other, before two real Tomcats and under load."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ajp.lb import Activation, State
from ajp.snapshot import Kind, Snapshot
from tests.faults.daemon import until

from .balanced import NODES, BalancedDaemon, operate
from .conftest import TARGET
from .processes import established, free_port
from .steady import Steady, ask, steady
from .tomcat import SECRET, Connector, Tomcat, TomcatOptions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(TARGET == "apache", reason="needs a daemon of its own"),
]

GETS, POSTS = 12, 4
#: Requests that are under way when somebody dies, and how long they take.
HELD, HELD_MS = 16, 2500
#: Seconds until everybody is served again, and until every gauge is right.
SERVED_WITHIN, RIGHT_WITHIN = 1.0, 2.0


@dataclass(slots=True)
class Pair:
    """Two Tomcats with two connectors each, and what their servlets recorded."""

    directory: Path
    tomcats: dict[str, Tomcat]
    record: Path

    def connectors(self, *names: str, size: int = 8192) -> dict[str, Connector]:
        return {name: self.tomcats[name].connectors[size] for name in names or NODES}

    def recorded(self) -> Counter[str]:
        """How often each id was executed."""
        return Counter(self.record.read_text().split()) if self.record.exists() else Counter()

    @contextmanager
    def daemon(self, *more: str, **others: Connector) -> Iterator[BalancedDaemon]:
        """A daemon of two processes before both, and before `others`."""
        self.record.unlink(missing_ok=True)
        directory = self.directory / f"daemon-{time.monotonic_ns()}"
        connectors = {**self.connectors(), **others}
        daemon = BalancedDaemon(directory, connectors, None, *more, processes=2)
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.stop()


@pytest.fixture(scope="module")
def pair(directory: Path, application: Path) -> Iterator[Pair]:
    base = directory / "processes"
    base.mkdir()
    record = base / "record"
    tomcats = {
        name: Tomcat(
            name,
            base,
            application,
            TomcatOptions(route=name, java_options=(f"-Dprobe.record={record}",)),
        )
        for name in NODES
    }
    try:
        for each in tomcats.values():
            each.start()
        yield Pair(base, tomcats, record)
    finally:
        for each in tomcats.values():
            each.stop()


def look(daemon: BalancedDaemon) -> dict[str, Snapshot]:
    found = [slot.snapshot() for slot in daemon.table().slots()]
    return {f"{Kind(each.kind).name.lower()} {each.name}": each for each in found}


def in_flight(daemon: BalancedDaemon) -> tuple[int, ...]:
    """Requests under way, as everybody counts them who does."""
    seen = look(daemon)
    both = [
        sum(seen[f"{kind} {name}"].in_flight for name in NODES) for kind in ("member", "worker")
    ]
    return (seen["front front"].in_flight, seen["balancer lb"].in_flight, *both)


def pools(daemon: BalancedDaemon) -> list[tuple[int, int, int]]:
    """Connections to each Tomcat that the table knows of, and of them how many have no work."""
    seen = look(daemon)
    workers = [seen[f"worker {name}"] for name in NODES]
    return [(each.connected, each.idle + each.in_flight, each.waiting) for each in workers]


def real_pools(pair: Pair) -> list[tuple[int, int, int]]:
    """The same as the system sees it; one connection to each is the prober's."""
    there = [established(each.port) - 1 for each in pair.connectors().values()]
    return [(count, count, 0) for count in there]


def is_served_on(load: Steady, pair: Pair, within: float) -> None:
    """What holds whoever died: everybody is served again soon, and nothing is done twice."""
    assert set(load.statuses) == {200}
    assert max(load.waits) < within
    assert set(load.posts.values()) <= {200, 0}
    # Who was not answered may have been executed, but never again.
    executed = pair.recorded()
    assert set(executed.values()) == {1}
    assert {name for name, status in load.posts.items() if status == 200} <= set(executed)


# --- deaths ---------------------------------------------------------------------------------------


def test_a_process_that_is_killed_under_load(pair: Pair) -> None:
    with pair.daemon() as daemon:
        load, stall = asyncio.run(_kill_one(pair, daemon))
    is_served_on(load, pair, SERVED_WITHIN + stall)
    # At most what was under way on each connection.
    assert len(load.broken) <= GETS
    assert sum(status == 0 for status in load.posts.values()) <= POSTS


async def _kill_one(pair: Pair, daemon: BalancedDaemon) -> tuple[Steady, float]:
    address = daemon.front.address
    async with steady(address, gets=GETS, posts=POSTS) as load:
        held = [
            asyncio.create_task(ask(address, f"GET /app/slow?ms={HELD_MS}")) for _ in range(HELD)
        ]
        await until(lambda: in_flight(daemon)[0] >= HELD, "requests do not arrive")
        before = daemon.children()
        begun = time.monotonic()
        os.kill(before[0], signal.SIGKILL)
        await until(
            lambda: before[0] not in daemon.children() and len(daemon.children()) == 2,
            "no other process came",
            within=SERVED_WITHIN + load.stall,
        )
        await load.more(5 * GETS)
        # While nobody asks, what is in flight is known: what the other process was given.
        await load.pause()
        left = sum(not each.done() for each in held)
        assert 0 < left < HELD
        assert left == HELD - sum(each.done() and each.result() == 0 for each in held)
        within = begun + RIGHT_WITHIN + load.stall - time.monotonic()
        await until(
            lambda: in_flight(daemon) == (left,) * 4, "what is in flight is wrong", within=within
        )
        await until(lambda: pools(daemon) == real_pools(pair), "pools are wrong", within=within)
        load.go_on()
        await load.more(5 * GETS)
        assert Counter(await asyncio.gather(*held)) == {200: left, 0: HELD - left}
        assert before[1] in daemon.children()
        await load.pause()
        await until(lambda: in_flight(daemon) == (0,) * 4, "what is in flight is wrong")
    return load, load.stall


def test_a_master_that_is_killed_under_load(pair: Pair) -> None:
    """Whoever is under way ends; a new master finds what the old one knew."""
    nobody = Connector(port=free_port(), packet_size=8192, secret=SECRET)
    with pair.daemon(nodeC=nobody) as daemon:
        load, started = asyncio.run(_kill_the_master(daemon))
    is_served_on(load, pair, SERVED_WITHIN + started)


async def _kill_the_master(daemon: BalancedDaemon) -> tuple[Steady, float]:
    address = daemon.front.address
    await until(lambda: look(daemon)["member nodeC"].state == State.ERROR, "nodeC is not missed")
    said, _ = await asyncio.to_thread(operate(daemon.files, "drain", "nodeA").communicate)
    assert "nodeA" in said
    before = look(daemon)
    async with steady(address, gets=GETS, posts=POSTS) as load:
        held = [
            asyncio.create_task(ask(address, f"GET /app/slow?ms={HELD_MS}")) for _ in range(HELD)
        ]
        await until(lambda: in_flight(daemon)[0] >= HELD, "requests do not arrive")
        daemon.process.kill()
        # At once, as systemd would, while the processes of the old one still drain.
        begun = time.monotonic()
        await asyncio.to_thread(daemon.start)
        started = time.monotonic() - begun
        await load.more(5 * GETS)
        assert await asyncio.gather(*held) == [200] * HELD
        await load.more(5 * GETS)
        await load.pause()
        await until(lambda: in_flight(daemon) == (0,) * 4, "what is in flight is wrong")
        await until(lambda: len(daemon.table().living()) == 2, "the old processes do not end")
    after = look(daemon)
    assert after["member nodeA"].activation == Activation.DISABLED
    assert after["member nodeA"].totals["used"] == before["member nodeA"].totals["used"]
    assert after["member nodeC"].state == State.ERROR
    assert after["member nodeC"].first_error_at == before["member nodeC"].first_error_at
    assert after["member nodeB"].totals["used"] >= load.done + HELD
    return load, started


# --- reloads --------------------------------------------------------------------------------------

RELOADS = 50
BROKEN_EVERY = 5


def test_fifty_reloads_that_change_the_members(pair: Pair) -> None:
    """Members come, go and move to other addresses; every fifth file is broken."""
    one, other = pair.connectors(), pair.connectors(size=65536)
    files = [
        one,
        {"nodeA": other["nodeA"], "nodeB": one["nodeB"]},
        {"nodeB": one["nodeB"]},
        {**one, "nodeC": other["nodeB"]},
        {"nodeB": other["nodeB"], "nodeA": one["nodeA"]},
        {"nodeA": one["nodeA"]},
        other,
    ]
    with pair.daemon() as daemon:
        load = asyncio.run(_reload_again_and_again(daemon, files))
        log = daemon.process.output()
    assert load.broken == []
    assert set(load.statuses) == {200}
    assert set(load.posts.values()) == {200}
    assert pair.recorded() == dict.fromkeys(load.posts, 1)
    assert log.count("did you mean 'lbfactor'?") == RELOADS // BROKEN_EVERY + 1
    assert "-> ERR" not in log


async def _reload_again_and_again(
    daemon: BalancedDaemon, files: list[dict[str, Connector]]
) -> Steady:
    async with steady(daemon.front.address, gets=GETS // 2, posts=POSTS // 2) as load:
        for number in range(RELOADS):
            is_broken = number % BROKEN_EVERY == BROKEN_EVERY - 1
            words = "reload: refused" if is_broken else "reloaded, listens on"
            members = files[number % len(files)]
            daemon.write(members, None, *(["worker.nodeB.lbfacto=2"] if is_broken else []))
            before = daemon.process.output().count(words)
            os.kill(daemon.process.pid, signal.SIGHUP)
            await until(
                lambda words=words, before=before: daemon.process.output().count(words) > before,
                "it does not reload",
            )
            await load.more(GETS)
        seen = {name for name, each in look(daemon).items() if each.kind == Kind.MEMBER}
        # The last file is broken: members are those of the one before.
        said, code = await asyncio.to_thread(_reload, daemon)
        assert code == 1
        assert "did you mean 'lbfactor'?" in said
        assert "refused, the old configuration is served on" in said
        assert seen >= {f"member {name}" for name in files[(RELOADS - 2) % len(files)]}
        await until(lambda: len(daemon.children()) == 2, "old processes do not end")
        await load.pause()
        await until(lambda: in_flight(daemon)[:2] == (0, 0), "what is in flight is wrong")
    return load


def _reload(daemon: BalancedDaemon) -> tuple[str, int]:
    process = operate(daemon.files, "reload")
    said, _ = process.communicate(timeout=60)
    return said, process.returncode
