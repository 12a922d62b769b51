"""A real Tomcat is taken out of service while people use it, and comes back."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .balanced import NODES, BalancedDaemon, Browser, node_options, operate
from .conftest import TARGET
from .front import Front
from .processes import eventually
from .rawhttp import Broken
from .tomcat import Tomcat

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(TARGET == "apache", reason="needs a daemon of its own"),
]

USERS = 12


@dataclass(slots=True)
class Crowd:
    """Users with sessions who ask again and again, each until told to go home.

    Attributes:
        browsers: one for each.
        failures: what was no 200.
    """

    browsers: list[Browser]
    failures: list[str] = field(default_factory=list)
    _leave: dict[int, threading.Event] = field(default_factory=dict)
    _threads: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        for number, browser in enumerate(self.browsers):
            self._leave[number] = threading.Event()
            thread = threading.Thread(target=self._use, args=(number, browser))
            self._threads.append(thread)
            thread.start()

    def _use(self, number: int, browser: Browser) -> None:
        while not self._leave[number].wait(0.05):
            try:
                browser.visit()
            except (Broken, OSError, AssertionError) as exc:
                self.failures.append(f"{number}: {exc!r}")
        browser.close()

    def go_home(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._leave[number].set()

    def end(self) -> None:
        self.go_home(range(len(self.browsers)))
        for thread in self._threads:
            thread.join(20)


@contextmanager
def served(base: Path, tomcats: dict[str, Tomcat]) -> Iterator[tuple[Front, Sequence[str]]]:
    """A daemon of two processes before the Tomcats, and the options that name its files."""
    connectors = {name: each.connectors[8192] for name, each in tomcats.items()}
    daemon = BalancedDaemon(base / "daemon", connectors, processes=2)
    front = daemon.start()
    try:
        yield front, daemon.files
    finally:
        daemon.stop()


def test_drain_under_load_loses_nobody(directory: Path, application: Path) -> None:
    base = directory / "drained"
    base.mkdir()
    tomcats = {
        name: Tomcat(name, base, application, node_options(name, base / "record")) for name in NODES
    }
    try:
        for tomcat in tomcats.values():
            tomcat.start()
        with served(base, tomcats) as (front, files):
            crowd = Crowd([Browser(front.address) for _ in range(USERS)])
            crowd.begin()
            try:
                _drain_and_come_back(crowd, tomcats["nodeA"], front, files)
            finally:
                crowd.end()
            assert crowd.failures == []
            assert [browser.moves for browser in crowd.browsers] == [0] * USERS
    finally:
        for tomcat in tomcats.values():
            tomcat.stop()


def _drain_and_come_back(crowd: Crowd, node: Tomcat, front: Front, files: Sequence[str]) -> None:
    eventually(lambda: all(len(browser.nodes) > 3 for browser in crowd.browsers))
    at_a = [n for n, browser in enumerate(crowd.browsers) if browser.nodes[0] == "nodeA"]
    assert 0 < len(at_a) < USERS
    drain = operate(files, "drain", "nodeA", "--wait", "--quiet-for", "2s", "--timeout", "60s")
    try:
        eventually(lambda: _new_session(front) == "nodeB" == _new_session(front))
        # Those who have a session there go on; as long as they do, it is not empty.
        before = [len(crowd.browsers[n].nodes) for n in at_a]
        eventually(
            lambda: all(
                len(crowd.browsers[n].nodes) > so_far + 20
                for n, so_far in zip(at_a, before, strict=True)
            )
        )
        assert {_new_session(front) for _ in range(6)} == {"nodeB"}
        assert drain.poll() is None
        crowd.go_home(at_a)
        said, _ = drain.communicate(timeout=60)
    finally:
        drain.kill()
        drain.wait()
    assert drain.returncode == 0, said
    assert "lb/nodeA: disabled -> stopped" in said
    # Nobody is there: the Tomcat can be ended, and started again.
    node.stop()
    node.start()
    back = operate(files, "activate", "nodeA")
    said, _ = back.communicate(timeout=60)
    assert back.returncode == 0, said
    eventually(lambda: _new_session(front) == "nodeA")


def _new_session(front: Front) -> str:
    browser = Browser(front.address)
    try:
        return browser.visit()
    finally:
        browser.close()
