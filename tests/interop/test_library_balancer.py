"""The library's balancer before two real Tomcats: one dies, the work goes on at the other."""

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import ajp

from .balanced import NODES, node_options
from .conftest import TARGET
from .test_balancer import eventually, running
from .tomcat import SECRET, Tomcat

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(TARGET == "apache", reason="no daemon takes part"),
]

HERE = Path(__file__).parent
VISITORS, THREADS = 10, 8


@dataclass(slots=True)
class Pair:
    """Two Tomcats, and what their servlets recorded."""

    tomcats: dict[str, Tomcat]
    record: Path

    @property
    def addresses(self) -> dict[str, str]:
        ports = {name: each.connectors[8192].port for name, each in self.tomcats.items()}
        return {name: f"ajp://127.0.0.1:{port}" for name, port in ports.items()}

    def recorded(self) -> Counter[str]:
        return Counter(self.record.read_text().split()) if self.record.exists() else Counter()

    @contextmanager
    def mended(self) -> Iterator[None]:
        """Behind it both run again."""
        try:
            yield
        finally:
            for tomcat in self.tomcats.values():
                if not tomcat.process.is_alive:
                    tomcat.start()


@pytest.fixture(scope="module")
def pair(directory: Path, application: Path) -> Iterator[Pair]:
    base = directory / "library"
    base.mkdir()
    record = base / "record"
    tomcats = {name: Tomcat(name, base, application, node_options(name, record)) for name in NODES}
    with running(list(tomcats.values())):
        yield Pair(tomcats, record)


@dataclass(slots=True)
class Visitor:
    """Keeps the session cookie; where its visits were answered, and what they said."""

    cookie: str = ""
    nodes: list[str | None] = field(default_factory=list)
    hits: list[int] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        return {"cookie": self.cookie} if self.cookie else {}

    def take(self, response: ajp.Response) -> None:
        assert response.status == 200
        if "set-cookie" in response.headers:
            self.cookie = response.headers["set-cookie"].partition(";")[0]
        session_id, hits = json.loads(response.content)
        assert session_id.rpartition(".")[2] == response.member
        self.nodes.append(response.member)
        self.hits.append(hits)


def visit_blocking(balancer: ajp.Balancer, everybody: list[Visitor], times: int) -> None:
    with ajp.Client(balancer, secret=SECRET, timeout=20) as client:
        for _ in range(times):
            for visitor in everybody:
                visitor.take(client.get("/app/session", headers=visitor.headers))


def visit_async(balancer: ajp.Balancer, everybody: list[Visitor], times: int) -> None:
    async def visit() -> None:
        async with ajp.AsyncClient(balancer, secret=SECRET, timeout=20) as client:
            for _ in range(times):
                for visitor in everybody:
                    visitor.take(await client.get("/app/session", headers=visitor.headers))

    asyncio.run(visit())


@pytest.mark.parametrize("visit", [visit_blocking, visit_async])
def test_sessions_stay_and_only_those_of_a_dead_node_move(pair: Pair, visit: Any) -> None:
    everybody = [Visitor() for _ in range(VISITORS)]
    balancer = ajp.Balancer(pair.addresses, recover_time_s=3600)
    with pair.mended():
        visit(balancer, everybody, 3)
        assert Counter(each.nodes[0] for each in everybody) == dict.fromkeys(NODES, 5)
        pair.tomcats["nodeA"].kill()
        visit(balancer, everybody, 2)
        assert balancer.members[0].state is ajp.MemberState.ERROR
        pair.tomcats["nodeA"].start()
        assert balancer.recover("nodeA")
        newcomers = [Visitor() for _ in range(VISITORS)]
        visit(balancer, everybody + newcomers, 2)
    for visitor in everybody:
        lived_at_a = visitor.nodes[0] == "nodeA"
        assert visitor.nodes == [visitor.nodes[0]] * 3 + ["nodeB"] * 4
        assert visitor.hits == ([1, 2, 3, 1, 2, 3, 4] if lived_at_a else [*range(1, 8)])
    # The sessions that moved are nodeB's work now, so new ones begin at the other.
    assert "nodeA" in {each.nodes[0] for each in newcomers}
    assert [each.in_flight for each in balancer.members] == [0, 0]


def test_a_node_dies_under_load(pair: Pair) -> None:
    """No GET fails; no POST is executed twice, and those that fail were on their way to it."""
    pair.record.unlink(missing_ok=True)
    balancer = ajp.Balancer(pair.addresses, recover_time_s=3600)
    gets: Counter[object] = Counter()
    posts: dict[str, object] = {}
    stop = threading.Event()

    def work(client: ajp.Client, number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            name = f"{number}-{turn}"
            try:
                gets[client.get("/app/slow?ms=2").status] += 1
            except ajp.AJPError as error:
                gets[str(error)] += 1
            try:
                posts[name] = client.post(f"/app/record?id={name}&ms=2", content=b"").status
            except ajp.EndpointError as error:
                posts[name] = error.progress

    with pair.mended(), ajp.Client(balancer, secret=SECRET, timeout=20) as client:
        threads = [threading.Thread(target=work, args=(client, n)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        eventually(lambda: pair.recorded().total() > 200)
        pair.tomcats["nodeA"].kill()
        so_far = pair.recorded().total()
        eventually(lambda: pair.recorded().total() > so_far + 200)
        stop.set()
        for thread in threads:
            thread.join(20)
    executed = pair.recorded()
    assert set(gets) == {200}, gets
    assert set(executed.values()) == {1}
    failed = {name: how for name, how in posts.items() if how != 200}
    assert len(failed) <= THREADS
    assert all(how >= ajp.Progress.HEAD_SENT for how in failed.values())  # type: ignore[operator]
    assert all(executed[name] == 1 for name in posts if name not in failed)


class Peer:
    """One more process at the same table."""

    def __init__(self, table: Path, addresses: dict[str, str]) -> None:
        members = [word for pair in addresses.items() for word in pair]
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "library_process.py"), str(table), *members],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(HERE.parents[1])},
        )

    def say(self, *words: object) -> None:
        assert self.process.stdin is not None
        print(json.dumps(words), file=self.process.stdin, flush=True)

    def do(self, *words: object) -> Any:
        assert self.process.stdout is not None
        self.say(*words)
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        self.process.kill()
        with self.process:
            pass


@contextmanager
def peers(table: Path, addresses: dict[str, str], count: int) -> Iterator[list[Peer]]:
    everybody = [Peer(table, addresses) for _ in range(count)]
    try:
        yield everybody
    finally:
        for each in everybody:
            each.end()


def test_two_processes_at_one_table(pair: Pair, tmp_path: Path) -> None:
    """They take turns together; what one learns or sets, both know; kill -9 leaves nothing."""
    path = tmp_path / "table"
    table = ajp.Table.create(path, slots=8, columns=4)
    with pair.mended(), peers(path, pair.addresses, 2) as (one, other):
        counts: Counter[str] = Counter()
        for _ in range(5):
            counts += Counter(one.do("get", "/app/session", 3, ""))
            counts += Counter(other.do("get", "/app/session", 1, ""))
        assert counts == {"nodeA": 10, "nodeB": 10}

        one.do("drain", "nodeA")
        assert other.do("get", "/app/session", 4, "") == {"nodeB": 4}
        assert other.do("get", "/app/session", 4, "JSESSIONID=1.nodeA") == {"nodeA": 4}
        one.do("activate", "nodeA")

        pair.tomcats["nodeA"].kill()
        assert one.do("get", "/app/session", 4, "JSESSIONID=1.nodeA") == {"nodeB": 4}
        assert other.do("states")["nodeA"][:2] == ["ACT", "ERR"]
        assert other.do("get", "/app/session", 4, "") == {"nodeB": 4}

        one.say("get", "/app/slow?ms=20000", 1, "")
        eventually(lambda: other.do("states")["nodeB"][2] == 1)
        one.end()
        assert [process.pid for process in table.clear_dead()] == [one.process.pid]
        assert other.do("states")["nodeB"][2] == 0
        assert other.do("get", "/app/session", 2, "") == {"nodeB": 2}
