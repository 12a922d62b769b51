"""Two real Tomcats and a daemon of two processes that looks after them: one freezes, or dies.

The load is light, so that what is measured is the daemon: sixteen connections with a pause after
each answer.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .balanced import NODES, BalancedDaemon, Browser, node_options
from .conftest import TARGET
from .front import Front
from .tomcat import Tomcat, answers_cping

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(TARGET == "apache", reason="needs a daemon of its own"),
]

CONNECTIONS = 16
PAUSE_S = 0.04
FROZEN_S = 8.0
THREADS = 8


@dataclass(slots=True)
class Pair:
    """Two Tomcats with few threads, and what their servlets recorded."""

    directory: Path
    tomcats: dict[str, Tomcat]
    record: Path

    def recorded(self) -> Counter[str]:
        """How often each id was executed, over all lives of both."""
        return Counter(self.record.read_text().split()) if self.record.exists() else Counter()

    @contextmanager
    def daemon(self) -> Iterator[Front]:
        """A daemon of two processes before both."""
        self.record.unlink(missing_ok=True)
        connectors = {name: each.connectors[8192] for name, each in self.tomcats.items()}
        directory = self.directory / f"daemon-{time.monotonic_ns()}"
        daemon = BalancedDaemon(directory, connectors, processes=2)
        try:
            yield daemon.start()
        finally:
            daemon.stop()


@pytest.fixture(scope="module")
def pair(directory: Path, application: Path) -> Iterator[Pair]:
    base = directory / "probed"
    base.mkdir()
    record = base / "record"
    tomcats = {
        name: Tomcat(name, base, application, node_options(name, record, threads=THREADS))
        for name in NODES
    }
    try:
        for each in tomcats.values():
            each.start()
        yield Pair(base, tomcats, record)
    finally:
        for each in tomcats.values():
            each.stop()


@dataclass(slots=True)
class Load:
    """What came of the requests of all connections."""

    address: tuple[str, int]
    waits: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    posts: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    stop: bool = False

    async def get(self) -> None:
        """GET again and again."""
        await self._again(lambda turn: b"GET /app/slow?ms=2", self._note_get)

    async def post(self, number: int) -> None:
        """POST again and again, each one with an id of its own."""
        await self._again(
            lambda turn: f"POST /app/record?ms=2&id={number}-{turn}".encode(), self._note_post
        )

    def _note_get(self, line: bytes, status: int, wait: float) -> None:
        self.statuses[status] += 1
        self.waits.append(wait)

    def _note_post(self, line: bytes, status: int, wait: float) -> None:
        self.posts[line.decode().rpartition("=")[2]] = status

    async def _again(
        self, line: Callable[[int], bytes], note: Callable[[bytes, int, float], None]
    ) -> None:
        reader, writer = await asyncio.open_connection(*self.address)
        turn = 0
        while not self.stop:
            turn += 1
            begun = time.monotonic()
            length = b"" if line(turn).startswith(b"GET") else b"Content-Length: 0\r\n"
            writer.write(line(turn) + b" HTTP/1.1\r\nHost: app.example\r\n" + length + b"\r\n")
            try:
                status = await self._answer(reader)
            except (asyncio.IncompleteReadError, ConnectionError) as exc:
                self.broken.append(f"{line(turn)!r}: {exc!r}")
                reader, writer = await asyncio.open_connection(*self.address)
                continue
            note(line(turn), status, time.monotonic() - begun)
            await asyncio.sleep(PAUSE_S)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> int:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        _, _, length = head.partition(b"content-length: ")
        await reader.readexactly(int(length.partition(b"\r\n")[0]))
        return int(head[9:12])


async def under_load(front: Front, act: Callable[[], None], *, posts: int) -> Load:
    """Have connections ask all the time while something is done to a container."""
    load = Load(front.address)
    everybody = [load.get() for _ in range(CONNECTIONS)]
    everybody += [load.post(number) for number in range(posts)]
    tasks = [asyncio.create_task(each) for each in everybody]
    await asyncio.to_thread(time.sleep, 1.0)
    await asyncio.to_thread(act)
    await asyncio.to_thread(time.sleep, 1.0)
    load.stop = True
    async with asyncio.timeout(30):
        await asyncio.gather(*tasks)
    return load


def gets_work(front: Front, node: str, *, within: float = 15.0) -> bool:
    """Whether a new session begins at a node before long."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        browser = Browser(front.address)
        try:
            if browser.visit() == node:
                return True
        finally:
            browser.close()
        time.sleep(0.02)
    return False


def test_nobody_waits_for_a_frozen_node(pair: Pair) -> None:
    """Eight seconds stopped: GETs go elsewhere, POSTs that it has wait and are executed once."""

    def freeze() -> None:
        with pair.tomcats["nodeA"].process.frozen():
            time.sleep(FROZEN_S)

    with pair.daemon() as front:
        load = asyncio.run(under_load(front, freeze, posts=4))
        assert load.broken == []
        assert set(load.statuses) == {200}
        assert max(load.waits) < 2.5
        assert set(load.posts.values()) == {200}
        assert pair.recorded() == dict.fromkeys(load.posts, 1)
        assert gets_work(front, "nodeA")
        log = front.process.output()
    assert log.count("worker=nodeA reason=frozen: no CPONG") == 1
    assert "worker=nodeA answers after" in log
    assert "member=nodeB" not in log.replace("member=nodeB OK", "")


def test_all_threads_at_work_is_not_frozen(pair: Pair) -> None:
    """Every thread writes a line now and then, and none is left for a CPING."""

    async def stream(front: Front) -> bytes:
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(
            b"GET /app/stream?n=25&ms=200 HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n"
            b"Cookie: JSESSIONID=none.nodeA\r\n\r\n"
        )
        answer = await reader.read()
        writer.close()
        return answer

    async def streams(front: Front) -> None:
        tasks = [asyncio.create_task(stream(front)) for _ in range(THREADS)]
        await asyncio.sleep(1.0)
        port = pair.tomcats["nodeA"].connectors[8192].port
        assert not await asyncio.to_thread(answers_cping, port)
        for answer in await asyncio.gather(*tasks):
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.count(b"data: ") == 25

    with pair.daemon() as front:
        asyncio.run(streams(front))
        assert gets_work(front, "nodeA")
        log = front.process.output()
    assert "frozen" not in log
    assert "-> ERR" not in log


def test_a_node_dies_and_comes_back(pair: Pair) -> None:
    """No user's request finds out either; a POST that it had is executed once, and answered 502."""
    tomcat = pair.tomcats["nodeA"]

    def restart() -> None:
        tomcat.kill()
        time.sleep(2.0)
        tomcat.start()
        assert gets_work(front, "nodeA")

    with pair.daemon() as front:
        load = asyncio.run(under_load(front, restart, posts=4))
        log = front.process.output()
    assert load.broken == []
    assert set(load.statuses) == {200}
    assert max(load.waits) < 1.0
    executed = pair.recorded()
    assert set(executed.values()) == {1}
    failed = {name: status for name, status in load.posts.items() if status != 200}
    assert set(failed.values()) <= {502}
    assert len(failed) <= 4
    assert set(load.posts) - set(failed) <= set(executed)
    assert "member=nodeA ERR -> OK/IDLE event=found_alive" in log
    assert "ERR/REC" not in log
