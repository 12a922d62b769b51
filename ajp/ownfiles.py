"""Files of one user: opened where nobody else could have put them, and refused if somebody could.

What such files hold decides where requests go: the status table and its journal. So a link, another
owner, a mode or a directory that lets others in is refused, never repaired. What is in the files is
not known here.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .errors import StatusTableError

__all__ = ["FLAGS", "check_file", "directory", "open_own", "placed_by_root"]

#: Open for reading and writing, and nothing but what has that name.
FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

_ABSENT: Final = "there is no table; does ajpd run?"
_MODE: Final = 0o600
_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022


@contextmanager
def directory(path: Path) -> Iterator[tuple[int, set[int | None]]]:
    """Open the directory of a file; it and the users whose files in there are believed.

    Raises:
        StatusTableError: others could put files there in place of ours.
    """
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise StatusTableError(f"{path.parent}: {exc.strerror}") from exc
    try:
        found = os.fstat(folder)
        us = os.geteuid()
        if found.st_uid not in (0, us) and us != 0:
            raise StatusTableError(f"{path.parent} belongs to user {found.st_uid}, not to {us}")
        if found.st_mode & _OTHERS_WRITE and not found.st_mode & stat.S_ISVTX:
            mode = stat.S_IMODE(found.st_mode)
            raise StatusTableError(f"others can put files into {path.parent}: its mode is {mode:o}")
        # Root reads what the daemon's user has in a directory of his own.
        yield folder, {us, found.st_uid} if us == 0 else {us}
    finally:
        os.close(folder)


def placed_by_root(path: Path) -> int | None:
    """Whose file that is, if we are root and nobody else can put any there; None otherwise.

    A daemon that root starts gives its files to the user it becomes; root, who uses its commands,
    believes these files.
    """
    if os.geteuid() != 0:
        return None
    with directory(path) as (folder, _):
        found = os.fstat(folder)
        if found.st_uid != 0 or found.st_mode & _OTHERS_WRITE:
            return None
        try:
            return os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_uid
        except FileNotFoundError:
            return None


def open_own(path: Path, flags: int, folder: int, *, absent: str = _ABSENT) -> int:
    """Open a file in a directory of ours, or make it.

    Args:
        path: its whole path, for what errors say.
        flags: of `os.open`; FLAGS and perhaps more.
        folder: its directory, as `directory` opened it.
        absent: what an error says when there is none.

    Raises:
        StatusTableError: the reason why not.
    """
    try:
        return os.open(path.name, flags, _MODE, dir_fd=folder)
    except OSError as exc:
        why = exc.strerror
        if exc.errno == errno.ELOOP:
            why = "a symbolic link is not followed"
        elif exc.errno == errno.ENOENT:
            why = absent
        raise StatusTableError(f"{path}: {why}") from exc


def check_file(path: Path, found: os.stat_result, owners: set[int | None]) -> None:
    """Refuse what somebody else could have written, or can.

    Raises:
        StatusTableError: the reason why.
    """
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        raise StatusTableError(f"{path} is no file")
    if found.st_uid not in owners:
        raise StatusTableError(f"{path} belongs to user {found.st_uid}, not to {os.geteuid()}")
    if mode & _OTHERS:
        raise StatusTableError(f"{path} is open to others: its mode is {mode:04o}, not 0600")
    if found.st_nlink != 1:
        raise StatusTableError(f"{path} has {found.st_nlink} names, one of them somewhere else")
