"""Two real Tomcats behind a balancer: sessions stay, and one of the two may die at any moment."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ajp.errors import Reason
from ajp.snapshot import Kind

from .balanced import NODES, BalancedDaemon, Browser, ClusteredTomcat, node_options
from .conftest import TARGET
from .front import Front
from .processes import eventually, free_port
from .rawhttp import Broken
from .tomcat import Tomcat

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(TARGET == "apache", reason="needs a daemon of its own"),
]

CLIENTS = 200
#: How long they keep coming back; the longer, the more it shows.
SECONDS = float(os.environ.get("AJPD_TEST_STICKY_SECONDS", "4"))
PROCESSES = 2
THREADS = 16
#: A member that failed is tried again after a second, and maintenance looks that often.
SOON = "worker.maintain=1"
RECOVERS = {"recover_time": 1}


@dataclass(slots=True)
class Pair:
    """Two Tomcats, what their servlets recorded, and where their daemons have their files."""

    directory: Path
    tomcats: dict[str, Tomcat]
    record: Path

    def recorded(self) -> Counter[str]:
        """How often each id was executed, over all lives of both."""
        return Counter(self.record.read_text().split()) if self.record.exists() else Counter()

    @contextmanager
    def daemon(self) -> Iterator[Front]:
        """A daemon before both; a node that was killed comes back afterwards."""
        connectors = {name: each.connectors[8192] for name, each in self.tomcats.items()}
        directory = self.directory / f"daemon-{time.monotonic_ns()}"
        daemon = BalancedDaemon(directory, connectors, RECOVERS, SOON, processes=PROCESSES)
        front = daemon.start()
        try:
            yield front
        finally:
            daemon.stop()
            for tomcat in self.tomcats.values():
                if not tomcat.process.is_alive:
                    tomcat.start()


@contextmanager
def running(tomcats: list[Tomcat]) -> Iterator[None]:
    """Start one after the other: two that begin together wait long for each other's sessions."""
    try:
        for each in tomcats:
            each.start()
        yield
    finally:
        for each in tomcats:
            each.stop()


@pytest.fixture(scope="module")
def pair(directory: Path, application: Path) -> Iterator[Pair]:
    """nodeA and nodeB, which know nothing of each other."""
    base = directory / "balancer"
    base.mkdir()
    record = base / "record"
    tomcats = {name: Tomcat(name, base, application, node_options(name, record)) for name in NODES}
    with running(list(tomcats.values())):
        yield Pair(base, tomcats, record)


def browsers(front: Front, count: int = CLIENTS) -> list[Browser]:
    return [Browser(front.address) for _ in range(count)]


def visit(everybody: list[Browser], times: int) -> None:
    for _ in range(times):
        for browser in everybody:
            browser.visit()


def close(everybody: list[Browser]) -> None:
    for browser in everybody:
        browser.close()


def test_sessions_stay_where_they_are(pair: Pair) -> None:
    with pair.daemon() as front:
        everybody = browsers(front)
        visits, end = 0, time.monotonic() + SECONDS
        while visits < 3 or time.monotonic() < end:
            visit(everybody, 1)
            visits += 1
        close(everybody)
    assert [browser.moves for browser in everybody] == [0] * CLIENTS
    assert all(browser.hits == list(range(1, visits + 1)) for browser in everybody)
    half = CLIENTS // 2
    assert Counter(browser.nodes[0] for browser in everybody) == {"nodeA": half, "nodeB": half}


@pytest.mark.parametrize("method", ["Request", "Session", "Next", "Traffic", "Busyness"])
def test_requests_one_by_one_go_by_the_method(pair: Pair, method: str) -> None:
    """Factors 1, 2 and 3, whichever process is asked: the numbers are those of all of them."""
    one, two = (pair.tomcats[name].connectors[8192] for name in NODES)
    factors = {"n1": 1, "n2": 2, "n3": 3}
    more = [f"worker.{name}.lbfactor={factor}" for name, factor in factors.items()]
    directory = pair.directory / f"method-{method}"
    daemon = BalancedDaemon(
        directory,
        {"n1": one, "n2": two, "n3": two},
        {"method": method},
        *more,
        processes=PROCESSES,
    )
    rounds = 6
    front = daemon.start()
    try:
        for _ in range(rounds * sum(factors.values())):
            # A new connection each time, so that either process may get it.
            browser = Browser(front.address)
            assert browser.ask("/app/slow?ms=0").status == 200
            browser.close()
        slots = [slot for slot in daemon.table().slots() if slot.kind is Kind.MEMBER]
        # A page may be complete a moment before its container has said so.
        whole = rounds * sum(factors.values())
        eventually(lambda: sum(slot.totals()["used"] for slot in slots) == whole)
        used = {slot.name: slot.totals()["used"] for slot in slots}
    finally:
        daemon.stop()
    if method == "Busyness":
        # Nothing is ever under way: members take turns, from where each process was.
        even = rounds * sum(factors.values()) // len(factors)
        assert all(abs(count - even) <= PROCESSES for count in used.values()), used
    else:
        slack = 1 if method == "Traffic" else 0
        for name, factor in factors.items():
            assert abs(used[name] - rounds * factor) <= slack, used


def test_only_the_sessions_of_a_dead_node_move(pair: Pair) -> None:
    """Each of them once; when the node is back they stay, and new ones go to both."""
    with pair.daemon() as front:
        everybody = browsers(front)
        visit(everybody, 2)
        pair.tomcats["nodeA"].kill()
        visit(everybody, 3)
        assert {browser.nodes[-1] for browser in everybody} == {"nodeB"}
        pair.tomcats["nodeA"].start()
        visit(everybody, 2)

        def is_back() -> bool:
            browser = Browser(front.address)
            try:
                return browser.visit() == "nodeA"
            finally:
                browser.close()

        eventually(is_back)
        visit(everybody, 3)
        close(everybody)
        for browser in everybody:
            lived_at_a = browser.nodes[0] == "nodeA"
            assert browser.moves == int(lived_at_a), browser.nodes
            assert browser.hits == ([1, 2, *range(1, 9)] if lived_at_a else list(range(1, 11)))
        log = front.process.output()
    assert "member=nodeA" in log
    assert "-> ERR" in log
    assert log.count("member=nodeB") == log.count("member=nodeB OK/IDLE")


@dataclass(slots=True)
class Load:
    """What one connection after the other came to."""

    gets: Counter[int] = field(default_factory=Counter)
    posts: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def _work(number: int, front: Front, stop: threading.Event, load: Load) -> None:
    """GET and POST in turns, without a session."""
    browser = Browser(front.address)
    turn = 0
    while not stop.is_set():
        turn += 1
        browser.session_id = ""
        name = f"{number}-{turn}"
        try:
            load.gets[browser.ask("/app/slow?ms=2").status] += 1
            load.posts[name] = browser.ask(f"/app/record?id={name}&ms=2", "POST").status
        except Broken as exc:
            load.broken.append(f"{name}: {exc}")
            browser.close()
    browser.close()


@pytest.mark.parametrize("victim", NODES)
def test_a_node_dies_under_load(pair: Pair, victim: str) -> None:
    """No GET fails; no POST is executed twice, and those that fail were on their way to it."""
    pair.record.unlink(missing_ok=True)
    loads, stop = [Load() for _ in range(THREADS)], threading.Event()
    with pair.daemon() as front:
        threads = [
            threading.Thread(target=_work, args=(number, front, stop, load))
            for number, load in enumerate(loads)
        ]
        for thread in threads:
            thread.start()
        eventually(lambda: pair.recorded().total() > 300)
        pair.tomcats[victim].kill()
        so_far = pair.recorded().total()
        eventually(lambda: pair.recorded().total() > so_far + 300)
        stop.set()
        for thread in threads:
            thread.join(20)
        log = front.process.output()
        assert f"member={victim}" in log
        assert not any(thread.is_alive() for thread in threads)
    executed = pair.recorded()
    gets = sum((load.gets for load in loads), Counter[int]())
    assert [load.broken for load in loads if load.broken] == []
    assert set(gets) == {200}, gets
    assert set(executed.values()) == {1}
    for load in loads:
        failed = [name for name, status in load.posts.items() if status != 200]
        assert len(failed) <= 1
        assert all(load.posts[name] == 502 for name in failed)
        assert all(executed[name] == 1 for name in load.posts if name not in failed)
    # Whoever gets 502 was with the container; what never left us went elsewhere.
    lost = [line for line in log.splitlines() if "status=502" in line]
    assert bool(lost) == any(502 in load.posts.values() for load in loads)
    assert not [line for line in lost if "NOTHING_SENT" in line or "reason=connect" in line]


def test_a_post_that_nobody_was_given_is_placed_elsewhere(pair: Pair) -> None:
    """And where there is nobody else, the answer says that it was not executed: 503, never 502."""
    pair.record.unlink(missing_ok=True)
    nowhere = {
        name: replace(each.connectors[8192], port=free_port())
        for name, each in pair.tomcats.items()
    }
    one = pair.tomcats["nodeB"].connectors[8192]
    posts = 20
    for left, status in ((one, 200), (nowhere["nodeB"], 503)):
        members = {"nodeA": nowhere["nodeA"], "nodeB": left}
        directory = pair.directory / f"refused-{status}"
        more = [f"worker.{name}.probe=off" for name in NODES]
        daemon = BalancedDaemon(directory, members, {"recover_time": 1}, *more, processes=PROCESSES)
        front = daemon.start()
        try:
            for number in range(posts):
                browser = Browser(front.address)
                answer = browser.ask(f"/app/record?id={status}-{number}", "POST")
                browser.close()
                assert answer.status == status, answer
            log = front.process.output()
            slots = {
                slot.name: slot.totals()
                for slot in daemon.table().slots()
                if slot.kind is Kind.WORKER
            }
        finally:
            daemon.stop()
        assert slots["nodeA"].reasons.keys() == {Reason.CONNECT_REFUSED}
        assert ("status=503" in log) == (status == 503)
        assert "status=502" not in log
    assert pair.recorded() == {f"200-{number}": 1 for number in range(posts)}


def test_sessions_that_are_copied_survive_their_node(directory: Path, application: Path) -> None:
    """DeltaManager with static members: the other node goes on where the dead one was."""
    base = directory / "replicated"
    base.mkdir()
    ports = (free_port(), free_port())
    tomcats: list[Tomcat] = [
        ClusteredTomcat(base, application, number, ports=ports, record=base / "record")
        for number in (0, 1)
    ]
    connectors = {name: each.connectors[8192] for name, each in zip(NODES, tomcats, strict=True)}
    with running(tomcats):
        daemon = BalancedDaemon(base / "daemon", connectors, RECOVERS, SOON, processes=PROCESSES)
        front = daemon.start()
        try:
            everybody = browsers(front, 10)
            visit(everybody, 3)
            assert {browser.nodes[0] for browser in everybody} == set(NODES)
            tomcats[0].kill()
            visit(everybody, 3)
            close(everybody)
        finally:
            daemon.stop()
    for browser in everybody:
        assert browser.hits == [1, 2, 3, 4, 5, 6]
        assert browser.nodes[3:] == ["nodeB"] * 3
