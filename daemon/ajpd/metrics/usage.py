"""What the system says of processes: time, memory and descriptors, out of /proc.

Any process may look at any other of its user. What it may not see, or who is gone by now, is left
out: a metric that is missing is better than one that is wrong.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Usage", "usage_of", "usages"]

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
#: Places in /proc/PID/stat behind the name, which may have anything in it; see proc(5).
_UTIME: Final = 11
_STIME: Final = 12
_STARTED: Final = 19
_RESIDENT: Final = 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One process.

    Attributes:
        pid: its number.
        role: `serving`, or `master` for the one that watches over them.
        cpu_s: seconds of processor time, of user and system.
        resident_bytes: of memory, what it shares with others included.
        started_s: since 1970; None when the system does not tell when it was started itself.
        open_fds: descriptors; None when they may not be seen.
        max_fds: as many as it may have; None for any number, or when that may not be seen.
    """

    pid: int
    role: str
    cpu_s: float
    resident_bytes: int
    started_s: float | None
    open_fds: int | None
    max_fds: int | None


def usages(master: int | None, serving: Iterable[int]) -> list[Usage]:
    """Usage of all that are there.

    Args:
        master: its number; None where there is none.
        serving: numbers of the processes that serve.
    """
    roles = {} if master is None else {master: "master"}
    roles |= dict.fromkeys(serving, "serving")
    found = [usage_of(pid, role) for pid, role in roles.items()]
    return [usage for usage in found if usage is not None]


def usage_of(pid: int, role: str, *, proc: Path = Path("/proc")) -> Usage | None:
    """Usage of a process; None when there is no such process any more."""
    try:
        fields = (proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    if not fields or fields[0] in (b"Z", b"X"):
        return None
    boot = _boot_s(proc)
    return Usage(
        pid=pid,
        role=role,
        cpu_s=(int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS,
        resident_bytes=int(fields[_RESIDENT]) * _PAGE,
        started_s=None if boot is None else boot + int(fields[_STARTED]) / _TICKS,
        open_fds=_open_fds(proc / str(pid) / "fd"),
        max_fds=_max_fds(proc / str(pid) / "limits"),
    )


_booted: dict[Path, float] = {}


def _boot_s(proc: Path) -> float | None:
    """When the system was started; read once, for it would move with corrections of the clock."""
    if proc not in _booted:
        with suppress(OSError, ValueError):
            for line in (proc / "stat").read_bytes().splitlines():
                if line.startswith(b"btime "):
                    _booted[proc] = float(line.split()[1])
    return _booted.get(proc)


def _open_fds(folder: Path) -> int | None:
    """How many there are: since Linux 6.2 the size of the directory, and else they are counted."""
    try:
        return os.stat(folder).st_size or len(os.listdir(folder))
    except OSError:
        return None


def _max_fds(limits: Path) -> int | None:
    try:
        text = limits.read_bytes()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith(b"Max open files"):
            soft = line.split()[3]
            return int(soft) if soft.isdigit() else None
    return None
