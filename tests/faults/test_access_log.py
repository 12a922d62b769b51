"""The access log of several processes: every request has its line, and a whole one."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.faults.container import Container
from tests.faults.daemon import Ajpd, ajpd, load, until
from tests.interop.processes import free_port

SERVER = 'processes = 4\nrequest_id = "create"'


def lines(*paths: Path) -> list[dict[str, Any]]:
    """All lines, each of them whole."""
    text = "".join(path.read_text(encoding="ascii") for path in paths if path.exists())
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


async def start(daemon: Ajpd, port: int, container: Container) -> Path:
    daemon.write(port, container.port, server=SERVER, more='[log]\naccess = "access.log"')
    await daemon.start()
    return daemon.folder / "access.log"


async def test_every_request_has_its_line(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        log = await start(daemon, port, container)
        async with load(port) as clients:
            await clients.more(2000)
        assert clients.failures == []
        daemon.signal(signal.SIGTERM)
        assert await daemon.ends() == 0
        found = lines(log)
        assert len(found) == container.executions
        assert {line["status"] for line in found} == {200}
        assert len({line["request_id"] for line in found}) == len(found)


async def test_nothing_is_lost_when_it_is_moved_away(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        log = await start(daemon, port, container)
        old = []
        async with load(port) as clients:
            for number in range(5):
                await clients.more(200)
                await until(lambda: log.exists() and log.stat().st_size)
                old.append(tmp_path / f"access.{number}")
                log.rename(old[-1])
                daemon.signal(signal.SIGUSR1)
                await until(log.exists)
            await clients.more(200)
        assert clients.failures == []
        daemon.signal(signal.SIGTERM)
        assert await daemon.ends() == 0
        assert len(lines(log, *old)) == container.executions
        assert all(lines(each) for each in old)


async def test_nothing_is_lost_by_reloads(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        log = await start(daemon, port, container)
        async with load(port) as clients:
            for _ in range(3):
                await clients.more(100)
                assert (await daemon.reload())[0] == 0
        assert clients.failures == []
        daemon.signal(signal.SIGTERM)
        assert await daemon.ends() == 0
        assert len(lines(log)) == container.executions


async def test_a_process_that_is_killed_leaves_whole_lines(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        log = await start(daemon, port, container)
        async with load(port) as clients:
            for _ in range(4):
                await clients.more(200)
                os.kill(daemon.children()[0], signal.SIGKILL)
                await until(lambda: len(daemon.children()) == 4)
            await clients.more(200)
        daemon.signal(signal.SIGTERM)
        assert await daemon.ends() == 0
        # What the dead ones had collected in a tenth of a second is gone, and nothing else.
        found = lines(log)
        assert container.executions / 2 < len(found) <= container.executions


@pytest.mark.parametrize("target", ["/dev/full"])
async def test_a_full_disk_holds_nobody_up(tmp_path: Path, target: str) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        (tmp_path / "access.log").symlink_to(target)
        await start(daemon, port, container)
        async with load(port) as clients:
            await clients.more(500)
            await until(lambda: "the access log cannot be written" in daemon.said())
            await clients.more(100)
        assert clients.failures == []
        daemon.signal(signal.SIGTERM)
        assert await daemon.ends() == 0
        assert "lines of the access log are lost" in daemon.said()
