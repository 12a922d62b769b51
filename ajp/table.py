"""The shared status table as a file: made, opened, locked; and who of its processes still lives.

The file belongs to one user and nobody else may read it: it says where the containers are, and
whoever can write it decides where requests go. So a file, a link or a directory that somebody else
could have put there is refused, never repaired. What is in the table is not known here.

Source: mod_jk `jk_shm.c`. Differs: the file keeps its name and outlives the daemon, so state
survives a restart; CVE-2024-46544 (a file that others could read) is why the mode is checked.
"""

import fcntl
import mmap
import os
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Final

from ._column import Column
from ._slot import Slot
from ._table import Memory, format_memory, table_bytes
from .errors import StatusTableError, TableFull
from .ownfiles import FLAGS, check_file, directory, open_own, placed_by_root
from .snapshot import Kind, Process

__all__ = ["LOCK_TIMEOUT_S", "Table", "private_copy", "private_memory"]

#: Longest wait for the control lock. Its holders change a few words; longer means that one hangs.
LOCK_TIMEOUT_S: Final = 5.0

_LOCK_POLL_S: Final = 0.001
# Field "starttime" of /proc/PID/stat, counted behind the name of the command; see proc(5).
_START_TIME: Final = 19


class _Lock:
    """The control lock: a lock on a file beside the table, let go by the system when we die.

    Args:
        path: of the lock file.
        owner: user that the file is to belong to; None for our own.
        timeout_s: longest wait.
    """

    def __init__(self, path: Path, *, owner: int | None, timeout_s: float) -> None:
        self._path = path
        self._owner = owner
        self._timeout_s = timeout_s
        self._mine = threading.RLock()
        self._depth = 0
        self._fd = -1
        self.table: weakref.ref[Memory] | None = None

    def __repr__(self) -> str:
        return f"<_Lock {self._path} depth={self._depth}>"

    def __enter__(self) -> None:
        if not self._mine.acquire(timeout=self._timeout_s):
            raise StatusTableError(f"{self._path}: another thread held the lock for too long")
        try:
            if self._depth == 0:
                self._fd = self._locked()
                self._note(os.getpid())
        except BaseException:
            self._mine.release()
            raise
        self._depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._note(0)
            # Said aloud, since a child that was forked meanwhile has the file open as well.
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)
        self._mine.release()

    def _note(self, pid: int) -> None:
        table = self._held()
        if table is not None and table.is_writable:
            table.hold(pid)

    def _held(self) -> Memory | None:
        return None if self.table is None else self.table()

    def _locked(self) -> int:
        """Open the file anew, for locks belong to what was opened, and wait for the lock."""
        with directory(self._path) as (folder, owners):
            flags = FLAGS | os.O_CREAT
            fd = open_own(self._path, flags, folder)
        try:
            if self._owner is not None and os.fstat(fd).st_uid == os.geteuid() != self._owner:
                os.fchown(fd, self._owner, -1)
            check_file(self._path, os.fstat(fd), owners | {self._owner})
            self._wait(fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _wait(self, fd: int) -> None:
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                if time.monotonic() > deadline:
                    table = self._held()
                    pid = 0 if table is None else table.holder
                    holder = f"process {pid}" if pid else "somebody"
                    raise StatusTableError(
                        f"{self._path}: {holder} held the lock for {self._timeout_s} s"
                    ) from exc
                time.sleep(_LOCK_POLL_S)
            else:
                return


class Table(Memory):
    """A table in a file. `Table.open` for the daemon, `Table.attach` for who looks or changes.

    The mapping goes when nothing refers to it any more: neither table nor slot nor column.

    Args:
        buffer: the mapped file.
        guard: the control lock.
        clock: nanoseconds since 1970.
        path: of the file.
    """

    path: Path

    def __init__(self, buffer: mmap.mmap, guard: _Lock, clock: object, *, path: Path) -> None:
        self.path = path
        guard.table = weakref.ref(self)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        slots: int,
        columns: int,
        owner: int | None = None,
        replace: bool = False,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> "Table":
        """Make an empty table.

        Args:
            path: of its file; a file `path.lock` comes beside it.
            slots: room for workers, members and balancers.
            columns: room for processes, those of two generations.
            owner: user it is to belong to; None for our own.
            replace: whether a file of that name makes room.
            lock_timeout_s: longest wait for the control lock.

        Raises:
            StatusTableError: there is one, or a directory that others can write to, or no space.
        """
        path = Path(path).absolute()
        lock = _lock(path, owner, lock_timeout_s)
        with lock:
            return cls._create(path, lock, slots=slots, columns=columns, replace=replace)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        slots: int,
        columns: int,
        owner: int | None = None,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> "Table":
        """Open the table, or make one; for the daemon when it starts. Arguments as of `create`.

        Columns of dead processes are cleared. A table that is too small is replaced by one that
        knows the same.

        Raises:
            LayoutMismatch: another version made it; `create` with `replace` forgets what it knows.
            TableFull: it is too small, and some of its processes live.
            StatusTableError: it is no table, or not safe to use.
        """
        path = Path(path).absolute()
        lock = _lock(path, owner, lock_timeout_s)
        with lock:
            if not os.path.lexists(path):
                return cls._create(path, lock, slots=slots, columns=columns, replace=False)
            table = cls._map(path, lock, is_writable=True)
            if table.boot_id != _boot_id():
                table.reboot(_boot_id())
            table.clear_dead()
            if table.capacity >= slots and table.columns >= columns:
                return table
            if living := table.processes():
                raise TableFull(
                    f"{path} has {table.capacity} slots and {table.columns} columns; for {slots} "
                    f"and {columns} process {living[0].pid} has to end first"
                )
            slots, columns = max(slots, table.capacity), max(columns, table.columns)
            return cls._create(path, lock, slots=slots, columns=columns, replace=True, old=table)

    @classmethod
    def attach(
        cls,
        path: str | os.PathLike[str],
        *,
        writable: bool = False,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> "Table":
        """Open a table that is there, to look at it or to change what the operator sets.

        Raises:
            StatusTableError: there is none, it is no table, or not safe to use; LayoutMismatch if
                another version made it.
        """
        path = Path(path).absolute()
        lock = _lock(path, placed_by_root(path), lock_timeout_s)
        return cls._map(path, lock, is_writable=writable)

    @classmethod
    def _map(cls, path: Path, lock: _Lock, *, is_writable: bool) -> "Table":
        with directory(path) as (folder, owners):
            flags = FLAGS if is_writable else FLAGS & ~os.O_RDWR
            fd = open_own(path, flags, folder)
            try:
                found = os.fstat(fd)
                check_file(path, found, owners | {lock._owner})
                if found.st_size == 0:
                    raise StatusTableError(f"{path}: an empty file is no table")
                access = mmap.ACCESS_WRITE if is_writable else mmap.ACCESS_READ
                memory = mmap.mmap(fd, found.st_size, access=access)
            finally:
                os.close(fd)
        try:
            return cls(memory, lock, time.time_ns, path=path)
        except StatusTableError as exc:
            raise type(exc)(f"{path}: {exc}") from exc

    @classmethod
    def _create(
        cls,
        path: Path,
        lock: _Lock,
        *,
        slots: int,
        columns: int,
        replace: bool,
        old: "Table | None" = None,
    ) -> "Table":
        """Make a table under another name and move it to its place, so that none is half made."""
        total = table_bytes(slots=slots, columns=columns)
        if not replace and os.path.lexists(path):
            raise StatusTableError(f"{path} is there already")
        name = f".{path.name}.{token_hex(8)}"
        with directory(path) as (folder, _):
            fd = open_own(path.with_name(name), FLAGS | os.O_CREAT | os.O_EXCL, folder)
            try:
                if lock._owner is not None:
                    os.fchown(fd, lock._owner, -1)
                # With all its blocks: a full disk is found here and not by a signal later.
                os.posix_fallocate(fd, 0, total)
                memory = mmap.mmap(fd, total)
                format_memory(
                    memory, slots=slots, columns=columns, now_ns=time.time_ns(), boot_id=_boot_id()
                )
                table = cls(memory, lock, time.time_ns, path=path)
                if old is not None:
                    table.take_over(old)
                os.rename(name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError as exc:
                raise StatusTableError(f"{path}: {exc.strerror}; {total} bytes needed") from exc
            finally:
                os.close(fd)
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
        if old is not None:
            old.retire()
        return table

    def lock(self) -> "_Lock":
        """The control lock, for a `with` around several changes. Do not fork inside."""
        assert isinstance(self.guard, _Lock)
        return self.guard

    def worker(self, name: str, address: str) -> Slot:
        """The slot of a container, whoever sends to it; taken if there is none.

        Args:
            name: of the worker; at most 63 bytes.
            address: as the configuration files have it, at most 127 bytes. With another one it is
                another container, and begins from nothing.

        Raises:
            TableFull: every slot belongs to somebody.
            ValueError: a text that is too long, or no name.
        """
        return Slot.take(self, Kind.WORKER, name, address=address)

    def member(self, balancer: str, name: str, address: str) -> Slot:
        """The slot of a container as one balancer sees it; see `worker`."""
        return Slot.take(self, Kind.MEMBER, name, address=address, balancer=balancer)

    def balancer(self, name: str) -> Slot:
        """The slot of a balancer; see `worker`."""
        return Slot.take(self, Kind.BALANCER, name)

    def slots(self) -> list[Slot]:
        """Every slot that is taken, in the order they were."""
        found = []
        for index in self.taken():
            # Somebody may free it meanwhile.
            with suppress(StatusTableError):
                found.append(Slot(self, index))
        return found

    def claim_process(self, pid: int | None = None, *, generation: int | None = None) -> Column:
        """Give a process a column.

        Args:
            pid: of the process; None for this one.
            generation: of the configuration it runs; None for the newest.

        Raises:
            TableFull: as many processes live as there are columns.
        """
        pid = os.getpid() if pid is None else pid
        started = _started(pid) or 0
        with self.guard:
            if len(self.processes()) >= self.columns:
                self.clear_dead()
            return Column(self, self.claim(pid=pid, started=started, generation=generation))

    def living(self) -> list[Process]:
        """The processes that are there still; changes nothing, so also for who only looks."""
        return [process for process in self.processes() if _lives(process)]

    def clear_process(self, pid: int) -> bool:
        """Forget what a process had in flight, now that it is dead; whether it had a column."""
        with self.guard:
            found = [process.column for process in self.processes() if process.pid == pid]
            for column in found:
                self.clear_column(column)
        return bool(found)

    def clear_dead(self) -> list[Process]:
        """Clear the columns of all processes that are dead; who they were."""
        with self.guard:
            dead = [process for process in self.processes() if not _lives(process)]
            for process in dead:
                self.clear_column(process.column)
        return dead


def private_memory(*, slots: int, columns: int) -> Memory:
    """A table without a file, for this process and those it forks; empty.

    Args:
        slots: room for workers, members and balancers.
        columns: room for processes.
    """
    # Pages of zeros: what is never touched takes no room.
    memory = mmap.mmap(-1, table_bytes(slots=slots, columns=columns))
    format_memory(memory, slots=slots, columns=columns, now_ns=time.time_ns(), boot_id=_boot_id())
    return Memory(memory, threading.RLock(), time.time_ns)


def private_copy(table: Memory) -> Memory:
    """A table as it is at this moment, in memory that nobody else sees.

    What is tried out on the copy changes nothing for those who use the table.
    """
    image = table.image()
    memory = mmap.mmap(-1, len(image))
    memory[:] = image
    return Memory(memory, threading.RLock(), time.time_ns)


def _lock(path: Path, owner: int | None, timeout_s: float) -> _Lock:
    return _Lock(path.with_name(path.name + ".lock"), owner=owner, timeout_s=timeout_s)


def _boot_id() -> bytes:
    """16 bytes that are others after each start of the system; zeros if it has none."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return bytes(16)
    return bytes.fromhex(text.strip().replace("-", ""))


def _started(pid: int) -> int | None:
    """When a process started, in ticks since boot; None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = text.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[_START_TIME])


def _lives(process: Process) -> bool:
    """Whether it is still there, and no other one with its number."""
    return _started(process.pid) == process.started
