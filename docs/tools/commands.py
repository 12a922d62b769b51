"""Print what `ajpd --help` says, and the same of every command, as Markdown."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def help_of(*words: str) -> str:
    """Run `ajpd … --help`."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "daemon"), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        [sys.executable, "-m", "ajpd", *words, "--help"],
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "88"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.rstrip()


def lines() -> Iterator[str]:
    """The overview, then a heading for each command it names."""
    overview = help_of()
    yield f"```text\n{overview}\n```\n"
    commands = overview.partition("COMMAND\n")[2].partition("\n\n")[0]
    for command in re.findall(r"^ {4}(\w+)", commands, re.MULTILINE):
        yield f"## ajpd {command}\n"
        yield f"```text\n{help_of(command)}\n```\n"


if __name__ == "__main__":
    print("\n".join(lines()))
