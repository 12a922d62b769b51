"""Changed URI maps are found, used as a whole, and kept out while they are broken."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ajpd import remap
from ajpd.config import Config, load_toml
from ajpd.remap import MapWatch

TOML = """\
[worker.w]
[worker.v]
[map]
file = "m"
reload = "{reload}"
[host."h"]
map = "n"
"""


def load(folder: Path, reload: str = "60s") -> Config:
    (folder / "t").write_text(TOML.format(reload=reload))
    write(folder, "m", "/a=w\n")
    write(folder, "n", "/b=v\n")
    return load_toml(folder / "t", env={})


def write(folder: Path, name: str, text: str) -> None:
    """Put another file in place, as an editor does."""
    (folder / "new").write_text(text)
    (folder / "new").replace(folder / name)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    found = asyncio.new_event_loop()
    yield found
    found.close()


class Watched:
    """A watch, and what it handed on."""

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.folder = folder
        self.used: list[Config] = []
        self.watch = MapWatch(load(folder), loop, self.used.append)

    def look(self) -> None:
        self.watch.take(self.watch.look())

    @property
    def rules(self) -> list[str]:
        config = self.used[-1]
        return [str(rule) for rule in (*config.rules, *config.hosts[0].rules)]


@pytest.fixture
def watched(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> Watched:
    return Watched(tmp_path, loop)


def messages(caplog: pytest.LogCaptureFixture, folder: Path) -> list[str]:
    found = [record.getMessage().replace(f"{folder}/", "") for record in caplog.records]
    caplog.clear()
    return found


def test_nothing_new(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(3):
        watched.look()
    assert watched.watch.look() is None
    assert not watched.used
    assert not caplog.records


def test_new_rules(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    write(watched.folder, "m", "/a=w\n//c=w\n")
    watched.look()
    watched.look()
    assert len(watched.used) == 1
    assert watched.rules == ["/a=w", "//c=w", "/b=v"]
    first, second = messages(caplog, watched.folder)
    assert first.startswith("m:2: the rule //c=w will hardly match")
    assert second == "URI maps read: m, n; 3 rules"
    write(watched.folder, "n", "/d=w\n")
    watched.look()
    assert watched.rules == ["/a=w", "//c=w", "/d=w"]


def test_a_broken_file_is_told_once_and_changes_nothing(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    write(watched.folder, "m", "/a=x\n")
    write(watched.folder, "n", "/b=y\n")
    for _ in range(3):
        watched.look()
    assert not watched.used
    assert messages(caplog, watched.folder) == [
        "m:1: the rule /a=x names an unknown worker",
        "n:1: the rule /b=y names an unknown worker",
        "the URI maps have errors; the rules read before stay in use",
    ]
    (watched.folder / "m").unlink()
    watched.look()
    assert "m: cannot read the file: No such file or directory" in messages(caplog, watched.folder)
    write(watched.folder, "m", "/e=w\n")
    write(watched.folder, "n", "/b=v\n")
    watched.look()
    assert watched.rules == ["/e=w", "/b=v"]


def test_a_file_that_is_being_written_waits(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(watched.folder, "m", "/c=w\n")
    read = remap.reread_maps

    def slowly(config: Config) -> Config:
        found = read(config)
        write(watched.folder, "m", "/c=w\n/d=w\n")
        return found

    monkeypatch.setattr(remap, "reread_maps", slowly)
    watched.look()
    assert not watched.used
    monkeypatch.undo()
    watched.look()
    assert watched.rules == ["/c=w", "/d=w", "/b=v"]


async def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_looks_now_and_then(tmp_path: Path) -> None:
    used: list[Config] = []
    watch = MapWatch(load(tmp_path, "10ms"), asyncio.get_running_loop(), used.append)
    watch.start()
    write(tmp_path, "m", "/c=w\n")
    await wait_for(lambda: len(used) == 1)
    write(tmp_path, "m", "/d=w\n")
    await wait_for(lambda: len(used) == 2)
    watch.close()
    write(tmp_path, "m", "/e=w\n")
    await asyncio.sleep(0.1)
    assert len(used) == 2


async def test_a_look_that_fails_does_not_end_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    used: list[Config] = []
    watch = MapWatch(load(tmp_path, "10ms"), asyncio.get_running_loop(), used.append)

    def fails(config: Config) -> Config:
        raise MemoryError

    monkeypatch.setattr(remap, "reread_maps", fails)
    watch.start()
    await wait_for(lambda: bool(caplog.records))
    assert caplog.records[0].getMessage() == "a look at the URI maps failed"
    monkeypatch.undo()
    write(tmp_path, "m", "/c=w\n")
    await wait_for(lambda: bool(used))
    watch.close()


async def test_never(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    watch = MapWatch(load(tmp_path, "0"), loop, lambda config: None)
    watch.start()
    assert watch._timer is None
    watch.close()
    (tmp_path / "e").write_text("[worker.w]\n[mount]\n'/*' = 'w'\n")
    watch = MapWatch(load_toml(tmp_path / "e", env={}), loop, lambda config: None)
    watch.start()
    assert watch.files == ()
    assert watch._timer is None


async def test_files_of_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch = MapWatch(load(tmp_path), asyncio.get_running_loop(), lambda config: None)
    monkeypatch.setattr(os, "access", lambda file, mode: not str(file).endswith("m"))
    watch.start()
    assert watch._timer is None
    assert messages(caplog, tmp_path) == [
        "m cannot be read by this user: changes count after ajpd reload"
    ]
