"""Prometheus's own tool, which knows best what it accepts."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.interop.processes import missing

ROOT = Path(__file__).parents[3]


def promtool(*arguments: str, feed: bytes = b"", good: bool = True) -> str:
    """What it says; the test is skipped where there is none.

    Args:
        arguments: for it.
        feed: its standard input.
        good: whether it is to find all well.
    """
    own = ROOT / "build" / "tools" / "promtool"
    found = str(own) if own.exists() else shutil.which("promtool")
    if found is None:
        missing("promtool", "prometheus")
    command: Sequence[str] = [found, *arguments]
    done = subprocess.run(command, input=feed, capture_output=True, timeout=60)
    said = (done.stdout + done.stderr).decode()
    assert (done.returncode == 0) is good, said
    return said
