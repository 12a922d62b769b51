"""Who probes when the process that did is killed, or drains."""

import os
import signal
from pathlib import Path

import pytest

from ajp.snapshot import ProbeState
from ajp.table import Table
from tests.faults.container import Container
from tests.faults.daemon import ajpd, until
from tests.interop.processes import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_factories=["asyncio"]),
]


def who_probes(table: Table) -> int:
    """Number of the process that does; 0 for none."""
    held_by = table.prober
    return next((each.pid for each in table.processes() if each.column == held_by), 0)


async def test_another_process_takes_over(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        file = tmp_path / "t.shm"
        daemon.write(
            free_port(),
            container.port,
            server="processes = 2",
            more=f'[table]\nfile = "{file}"\n',
        )
        await daemon.start()
        table = Table.attach(file)
        await until(lambda: who_probes(table) in daemon.children())
        await until(lambda: container.cpings > 0)
        for is_killed in (True, False):
            before, asked = who_probes(table), container.cpings
            if is_killed:
                os.kill(before, signal.SIGKILL)
            else:
                assert (await daemon.reload())[0] == 0
            await until(lambda before=before: who_probes(table) not in (0, before), within=2.0)
            await until(lambda asked=asked: container.cpings > asked + 1)
            slot = next(each for each in table.slots() if each.name == "app")
            assert slot.probe_state is ProbeState.ANSWERS
        # One connection at a time, however often it changed hands.
        await until(lambda: len(container.open) == 1)
