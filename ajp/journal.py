"""What an operator changed while we ran: one line for each change, in a file of its own.

The status table knows the same, but on most machines it lies in memory and is gone when the machine
starts again. So a change is written here and on the disk before anybody is told that it was made.
Entries have numbers, and the table knows the newest that is part of it: a table that was lost gets
all of them again, one that lived gets those it has not. Where both disagree after that, the table
is right, and what it has is written down.

The file is JSON lines, for people to read. Everything happens under the table's control lock. What
the changes mean is not known here.
"""

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

from ._slot import Slot
from ._table import Memory
from .errors import StatusTableError
from .ownfiles import FLAGS, check_file, directory, open_own
from .snapshot import FIELDS, Kind
from .table import Table

__all__ = ["Entry", "Journal", "Replay"]

logger = logging.getLogger("ajp.table")

#: More lines than this, and twice as many as there are slots in them, are made fewer.
_LINES_LEAST: Final = 64
_NUMBER_MOST: Final = (1 << 63) - 1
_NANO: Final = 1_000_000_000
_READ_BYTES: Final = 1 << 20

Changes = Mapping[str, int | str | None]
_Identity = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change.

    Attributes:
        number: greater than that of every entry before.
        time: when it was, UTC, as ISO 8601 has it.
        who: who made it, as far as known.
        kind: `worker`, `member` or `balancer`.
        balancer: of a member; else empty.
        name, address: as the configuration files have them.
        changes: by names of `ajp.snapshot.FIELDS`; None: as the files say again.
    """

    number: int
    time: str
    who: str
    kind: str
    balancer: str
    name: str
    address: str
    changes: Changes

    @property
    def identity(self) -> _Identity:
        """Whom it is about."""
        return (self.kind, self.balancer, self.name, self.address)

    def in_words(self) -> str:
        """What was changed."""
        return ", ".join(
            f"{name} as in the files" if value is None else f"{name} {value}"
            for name, value in self.changes.items()
        )

    def __str__(self) -> str:
        name = f"{self.balancer}/{self.name}" if self.balancer else self.name
        return f"{self.kind} {name} {self.address}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What became of a journal.

    Attributes:
        applied: entries that are part of the table now and were not before.
        unknown: entries that were not: the table has nobody of that name and address.
        refused: entries that cannot be applied, with the reason.
        noted: what the table had and the journal had not; it is there now.
    """

    applied: tuple[Entry, ...]
    unknown: tuple[Entry, ...]
    refused: tuple[tuple[Entry, str], ...]
    noted: tuple[Entry, ...]


class Journal:
    """The journal of a table. Nothing is open between two calls.

    Args:
        path: of its file, which is made when it is not there; its directory has to be.
        owner: user that the file is to belong to; None for our own.
    """

    def __init__(self, path: str | os.PathLike[str], *, owner: int | None = None) -> None:
        self.path = Path(path).absolute()
        self._owner = owner
        # What the file held when we last looked, and how it looked from outside.
        self._entries: list[Entry] = []
        self._look: tuple[int, int, int] | None = None

    def __repr__(self) -> str:
        return f"<Journal {self.path} entries={len(self._entries)}>"

    # --- changes ----------------------------------------------------------------------------------

    def append(self, slot: Slot, changes: Changes, now: float, *, who: str = "") -> Entry:
        """Write down a change; it is on the disk afterwards, and the table counts it as its own.

        Args:
            slot: whose it is.
            changes: as `Slot.configure` takes them.
            now: seconds since 1970.
            who: who made it.

        Raises:
            StatusTableError: it cannot be written, or the file cannot be trusted; nothing is kept.
            ValueError: no changes, or names that the slot has not.
        """
        table = slot.memory
        if not changes or set(changes) - FIELDS[slot.kind]:
            raise ValueError(f"{dict(changes)} is no change of {slot!r}")
        _check_writable(table)
        with table.guard:
            if not slot.is_current:
                raise StatusTableError(f"{slot!r} is somebody else's by now")
            entries = self._load()
            newest = max(table.journal, entries[-1].number if entries else 0)
            entry = Entry(
                number=newest + 1,
                time=_written(now),
                who=who,
                kind=slot.kind.name.lower(),
                balancer=slot.balancer,
                name=slot.name,
                address=slot.address,
                changes={name: _plain(value) for name, value in changes.items()},
            )
            self._write(entry)
            table.journal = entry.number
            self._shorten(table)
        return entry

    def configure(self, slot: Slot, changes: Changes, now: float, *, who: str = "") -> Entry:
        """Make a change and write it down, or neither; arguments as of `append`.

        Raises:
            StatusTableError: it cannot be written; all is as it was.
            ValueError: a name or a value that cannot be; all is as it was.
        """
        with slot.memory.guard:
            before, activation = slot.config(), slot.activation
            slot.configure(**changes)
            try:
                return self.append(slot, changes, now, who=who)
            except BaseException:
                slot.configure(**{name: before.get(name) for name in changes})
                # Also where no operator had set it.
                slot.settle(activation)
                raise

    # --- the file as a whole ----------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """All that is in the file, but for a last line that is not whole; changes nothing.

        Raises:
            StatusTableError: the file cannot be trusted or read; with the line if one is to blame.
        """
        if not os.path.lexists(self.path):
            return []
        with self._open(0) as (fd, _):
            text = _read_all(fd)
        return list(_parsed(self.path, text[: text.rfind(b"\n") + 1]))

    def replay(self, table: Table) -> Replay:
        """Apply what a table has not; for the daemon when it starts, as soon as slots are taken.

        Raises:
            StatusTableError: the file cannot be trusted, read or written. With a line that is none
                nothing was applied.
        """
        applied, unknown = [], []
        refused = []
        _check_writable(table)
        with table.guard:
            # Made if it is not there: what is wrong with its place is found now.
            with self._open(os.O_CREAT) as (fd, folder):
                if os.fstat(fd).st_size == 0:
                    _sync(folder)
            entries = self._load()
            slots = {_identity(slot): slot for slot in table.slots()}
            known = table.journal
            for entry in entries:
                if entry.number <= known:
                    continue
                slot = slots.get(entry.identity)
                if slot is None:
                    unknown.append(entry)
                    continue
                try:
                    slot.configure(**entry.changes)
                except (TypeError, ValueError) as exc:
                    refused.append((entry, str(exc)))
                else:
                    applied.append(entry)
            if entries:
                table.journal = max(known, entries[-1].number)
            noted = self._note(table, slots)
            self._shorten(table)
        return Replay(
            applied=tuple(applied), unknown=tuple(unknown), refused=tuple(refused), noted=noted
        )

    def _note(self, table: Table, slots: Mapping[_Identity, Slot]) -> tuple[Entry, ...]:
        """Write down what the table has otherwise."""
        kept = _merged(self._entries)
        noted = []
        for identity, slot in slots.items():
            before = kept[identity].changes if identity in kept else {}
            config = slot.config()
            differs = {
                name: config.get(name)
                for name in sorted(before.keys() | config.keys())
                if config.get(name) != before.get(name) and name in FIELDS[slot.kind]
            }
            if differs:
                noted.append(self.append(slot, differs, table.clock() / _NANO, who="the table"))
        return tuple(noted)

    def _shorten(self, table: Memory) -> None:
        """Compact the file if it is long; who may write to it may not be who can make another."""
        if len(self._entries) > _LINES_LEAST + 2 * len(_merged(self._entries)):
            try:
                self.compact(table)
            except StatusTableError as exc:
                logger.warning("journal: it stays long: %s", exc)

    def compact(self, table: Memory) -> None:
        """Leave one line for each slot, those included that the table has not, and no more.

        Raises:
            StatusTableError: it cannot be written; the old file is there still.
        """
        _check_writable(table)
        with table.guard:
            entries = sorted(_merged(self._load()).values(), key=lambda entry: entry.number)
            name = f".{self.path.name}.{token_hex(8)}"
            with self._folder() as (folder, _):
                flags = FLAGS | os.O_CREAT | os.O_EXCL
                fd = open_own(self.path.with_name(name), flags, folder)
                try:
                    self._own(fd)
                    _write_all(fd, b"".join(map(_line, entries)))
                    os.rename(name, self.path.name, src_dir_fd=folder, dst_dir_fd=folder)
                    _sync(folder)
                    self._saw(fd, entries)
                finally:
                    os.close(fd)
                    with suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=folder)

    # --- bytes ------------------------------------------------------------------------------------

    @contextmanager
    def _folder(self) -> Iterator[tuple[int, set[int | None]]]:
        """The directory, with what goes wrong in it told as of this file."""
        try:
            with directory(self.path) as found:
                yield found
        except OSError as exc:
            raise StatusTableError(f"{self.path}: {exc.strerror}") from exc

    @contextmanager
    def _open(self, flags: int) -> Iterator[tuple[int, int]]:
        """Open the file; it and its directory."""
        with self._folder() as (folder, owners):
            fd = open_own(self.path, FLAGS | flags, folder, absent="there is no journal")
            try:
                self._own(fd)
                check_file(self.path, os.fstat(fd), owners | {self._owner})
                yield fd, folder
            finally:
                os.close(fd)

    def _own(self, fd: int) -> None:
        if self._owner is not None and os.fstat(fd).st_uid == os.geteuid() != self._owner:
            os.fchown(fd, self._owner, -1)

    def _saw(self, fd: int, entries: Iterable[Entry]) -> None:
        found = os.fstat(fd)
        self._entries = list(entries)
        self._look = (found.st_ino, found.st_size, found.st_mtime_ns)

    def _load(self) -> list[Entry]:
        """Read the file if it is another one than last time; under the lock.

        A line without an end was cut by a loss of power, before anybody was told of its change.
        """
        if not os.path.lexists(self.path):
            self._entries, self._look = [], None
            return self._entries
        with self._open(0) as (fd, _):
            found = os.fstat(fd)
            if self._look != (found.st_ino, found.st_size, found.st_mtime_ns):
                text = _read_all(fd)
                whole = text.rfind(b"\n") + 1
                entries = list(_parsed(self.path, text[:whole]))
                if whole < len(text):
                    logger.warning(
                        "journal: the last line was written in part and is cut off"
                        " file=%s line=%d bytes=%d",
                        self.path, len(entries) + 1, len(text) - whole,
                    )  # fmt: skip
                    os.ftruncate(fd, whole)
                    os.fsync(fd)
                self._saw(fd, entries)
        return self._entries

    def _write(self, entry: Entry) -> None:
        """Add a line, or leave the file as it was."""
        with self._open(os.O_APPEND | os.O_CREAT) as (fd, folder):
            size = os.fstat(fd).st_size
            try:
                _write_all(fd, _line(entry))
            except OSError:
                os.ftruncate(fd, size)
                raise
            if size == 0:
                _sync(folder)
            self._saw(fd, [*self._entries, entry])


def _check_writable(table: Memory) -> None:
    if not table.is_writable:
        raise StatusTableError("the table was opened for reading only")


def _identity(slot: Slot) -> _Identity:
    return (slot.kind.name.lower(), slot.balancer, slot.name, slot.address)


def _plain(value: int | str | None) -> int | str | None:
    """Without the class of an enum, or a bool."""
    return int(value) if isinstance(value, int) else value


def _written(now: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))


def _merged(entries: Iterable[Entry]) -> dict[_Identity, Entry]:
    """The newest entry of each slot with all that was changed; what was taken back stays as None.

    For a table that knows the older half of it, that is a change too.
    """
    found: dict[_Identity, Entry] = {}
    for entry in entries:
        before = found.get(entry.identity)
        changes = entry.changes if before is None else {**before.changes, **entry.changes}
        found[entry.identity] = replace(entry, changes=changes)
    return found


def _line(entry: Entry) -> bytes:
    return json.dumps(asdict(entry), separators=(", ", ": ")).encode() + b"\n"


def _parsed(path: Path, text: bytes) -> Iterator[Entry]:
    """The entries of whole lines.

    Raises:
        StatusTableError: a line is none; with its number.
    """
    last = 0
    for number, line in enumerate(text.split(b"\n")[:-1], 1):
        try:
            entry = _entry(json.loads(line))
            if entry.number <= last:
                raise ValueError(f"number {entry.number} follows number {last}")
        except (ValueError, RecursionError) as exc:
            raise StatusTableError(f"{path}:{number}: no line of a journal: {exc}") from exc
        last = entry.number
        yield entry


def _entry(found: Any) -> Entry:
    """An entry of what JSON made of it.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(found, dict) or found.keys() != _KEYS:
        raise ValueError(f"not an object with {', '.join(sorted(_KEYS))}")
    for key in _KEYS - {"number", "changes"}:
        if not isinstance(found[key], str):
            raise ValueError(f"{key} is {found[key]!r}, not a text")
    if type(found["number"]) is not int or not 0 < found["number"] <= _NUMBER_MOST:
        raise ValueError(f"number {found['number']!r} cannot be")
    if found["kind"].upper() not in Kind.__members__:
        raise ValueError(f"kind {found['kind']!r} is none")
    changes = found["changes"]
    if not isinstance(changes, dict) or not all(
        value is None or type(value) in (int, str) for value in changes.values()
    ):
        raise ValueError(f"changes {changes!r} cannot be")
    return Entry(**found)


_KEYS: Final = frozenset(Entry.__dataclass_fields__)


def _read_all(fd: int) -> bytes:
    return b"".join(iter(lambda: os.read(fd, _READ_BYTES), b""))


def _write_all(fd: int, text: bytes) -> None:
    """Write, and have it on the disk.

    Raises:
        OSError: it is not, or in part.
    """
    while text:
        text = text[os.write(fd, text) :]
    os.fsync(fd)


def _sync(folder: int) -> None:
    """Have the names in a directory on the disk."""
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
