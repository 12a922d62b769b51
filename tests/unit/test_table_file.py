"""The shared status table as a file: what is refused, what survives, who holds the lock."""

import fcntl
import os
import signal
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ajp import table as module
from ajp._slot import Slot
from ajp.errors import LayoutMismatch, StatusTableError, TableFull
from ajp.lb import Activation, Balancer, Choice, Member, State
from ajp.lb._tablestore import TableStore
from ajp.snapshot import Kind
from ajp.table import Table, private_copy
from tests.unit.table_stage import PLACES

ME = os.geteuid()
NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "ajpd.shm"


def create(path: Path, **how: Any) -> Table:
    return Table.create(path, **{"slots": 8, "columns": 2, **how})


def opened(path: Path, **how: Any) -> Table:
    return Table.open(path, **{"slots": 8, "columns": 2, **how})


def dead_process() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def waiting_process() -> int:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    return pid


class TestFile:
    def test_is_ours_alone(self, path: Path) -> None:
        before = os.umask(0)
        try:
            table = create(path)
        finally:
            os.umask(before)
        for file in (path, path.with_name("ajpd.shm.lock")):
            found = file.stat()
            assert (found.st_mode & 0o7777, found.st_uid, found.st_nlink) == (0o600, ME, 1)
        assert sorted(os.listdir(path.parent)) == ["ajpd.shm", "ajpd.shm.lock"]
        assert (table.path, table.boot_id) == (path, module._boot_id())
        assert path.stat().st_blocks * 512 >= path.stat().st_size

    def test_descriptors_do_not_stay(self, path: Path) -> None:
        before = os.listdir("/proc/self/fd")
        table = create(path)
        with table.lock():
            table.worker("n1", "h:1")
        Table.attach(path).slots()
        with pytest.raises(StatusTableError):
            create(path)
        # The mapping itself has one.
        assert len(os.listdir("/proc/self/fd")) == len(before) + 1
        del table
        assert len(os.listdir("/proc/self/fd")) == len(before)

    def test_no_second_one(self, path: Path) -> None:
        create(path).worker("n1", "h:1")
        with pytest.raises(StatusTableError, match=r"ajpd\.shm is there already"):
            create(path)
        assert create(path, replace=True).slots() == []

    def test_relative_paths_stay_where_they_were(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(path.parent)
        table = create(Path("ajpd.shm"))
        monkeypatch.chdir("/")
        assert table.worker("n1", "h:1").is_new

    def test_no_room_on_the_disk(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(fd: int, offset: int, size: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", full)
        with pytest.raises(StatusTableError, match=r"No space left on device; \d+ bytes needed"):
            create(path)
        assert os.listdir(path.parent) == ["ajpd.shm.lock"]

    @pytest.mark.skipif(ME != 0, reason="only root gives files away")
    def test_of_another_user(self, path: Path) -> None:
        create(path, owner=NOBODY)
        os.chown(path.parent, NOBODY, -1)
        assert [file.stat().st_uid for file in path.parent.iterdir()] == [NOBODY] * 2
        assert opened(path, owner=NOBODY).is_writable
        # Root looks at what the user of its directory has there, and changes it.
        assert Table.attach(path, writable=True).worker("n1", "h:1").is_new


class TestRefused:
    def refuse(self, path: Path, problem: str, *, error: type = StatusTableError) -> None:
        for use in (opened, Table.attach, lambda at: Table.attach(at, writable=True)):
            with pytest.raises(error, match=problem):
                use(path)

    def test_nothing_there(self, path: Path) -> None:
        with pytest.raises(StatusTableError, match=r"ajpd\.shm: there is no table; does ajpd run"):
            Table.attach(path)

    def test_no_directory(self, path: Path) -> None:
        self.refuse(path / "deeper", "No such file or directory")

    def test_symbolic_link(self, path: Path) -> None:
        create(path.with_name("real"))
        path.symlink_to("real")
        self.refuse(path, "a symbolic link is not followed")

    def test_symbolic_link_to_nothing(self, path: Path) -> None:
        path.symlink_to("nothing")
        self.refuse(path, "a symbolic link is not followed")

    def test_lock_that_is_a_link(self, path: Path) -> None:
        create(path)
        lock = path.with_name("ajpd.shm.lock")
        lock.unlink()
        lock.symlink_to("elsewhere")
        with pytest.raises(StatusTableError, match="lock: a symbolic link is not followed"):
            opened(path)
        assert not path.with_name("elsewhere").exists()

    @pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o666])
    def test_open_to_others(self, path: Path, mode: int) -> None:
        create(path)
        path.chmod(mode)
        self.refuse(path, f"open to others: its mode is {mode:04o}, not 0600")

    def test_two_names(self, path: Path) -> None:
        create(path)
        os.link(path, path.with_name("other"))
        self.refuse(path, "has 2 names")

    @pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
    def test_no_file(self, path: Path, make: Callable[[Path], None]) -> None:
        make(path)
        self.refuse(path, r"is no file|Is a directory")

    @pytest.mark.skipif(ME != 0, reason="only root gives files away")
    def test_of_somebody_else(self, path: Path) -> None:
        create(path)
        os.chown(path, NOBODY, -1)
        # Others could have put it there.
        path.parent.chmod(0o1777)
        self.refuse(path, f"belongs to user {NOBODY}, not to {ME}")

    @pytest.mark.skipif(ME != 0, reason="only root gives files away")
    def test_of_whom_root_gave_it(self, path: Path) -> None:
        """Root uses the commands of a daemon that root started, and that became somebody else."""
        create(path, owner=NOBODY)
        for writable in (False, True):
            assert Table.attach(path, writable=writable).is_writable is writable
        # What is made on the way has to be of use to the daemon.
        lock = path.with_name(path.name + ".lock")
        lock.unlink()
        with Table.attach(path, writable=True).lock():
            assert lock.stat().st_uid == NOBODY
        # A daemon that stays root has nothing to do with it.
        with pytest.raises(StatusTableError, match=f"belongs to user {NOBODY}, not to {ME}"):
            opened(path)

    def test_directory_of_somebody_else(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        create(path)
        if ME == 0:
            os.chown(path.parent, NOBODY, -1)
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        owner = NOBODY if ME == 0 else ME
        self.refuse(path, f"belongs to user {owner}, not to 12345")

    @pytest.mark.parametrize("mode", [0o777, 0o770, 0o722])
    def test_directory_that_others_can_write_to(self, path: Path, mode: int) -> None:
        create(path)
        path.parent.chmod(mode)
        self.refuse(path, f"others can put files into .*: its mode is {mode:o}")
        path.parent.chmod(mode | 0o1000)
        assert opened(path).is_writable

    def test_empty(self, path: Path) -> None:
        path.touch(0o600)
        self.refuse(path, "an empty file is no table")

    @pytest.mark.parametrize("size", [1, 255, 256, 4096])
    def test_cut_off(self, path: Path, size: int) -> None:
        create(path)
        os.truncate(path, size)
        self.refuse(path, r"ajpd\.shm: .*(are no table|bytes and says)")

    def test_something_else(self, path: Path) -> None:
        path.write_bytes(b"!JKSHM13" + bytes(4088))
        path.chmod(0o600)
        self.refuse(path, r"ajpd\.shm: a table begins with b'ajpd\.shm', not with b'!JKSHM13'")

    def test_other_layout(self, path: Path) -> None:
        create(path)
        with path.open("r+b") as file:
            file.seek(PLACES["header", "layout"].at)
            file.write(struct.pack("I", 99))
        self.refuse(path, r"ajpd\.shm: the table has layout 0x63", error=LayoutMismatch)
        assert create(path, replace=True).slots() == []


class TestSurvival:
    def test_state_survives_the_daemon(self, path: Path) -> None:
        table = opened(path)
        table.begin_generation()
        slot = table.worker("n1", "h:1")
        column = table.claim_process()
        column.finished(slot, duration_us=1)
        slot.configure(busy_limit=3)
        del table, slot, column
        again = opened(path).worker("n1", "h:1")
        assert (again.is_new, again.config()) == (False, {"busy_limit": 3})
        assert again.totals()["used"] == 1

    def test_dead_processes_are_found_at_start(self, path: Path) -> None:
        table = opened(path)
        slot = table.worker("n1", "h:1")
        table.claim_process(dead_process()).begun(slot)
        mine = table.claim_process()
        mine.begun(slot)
        assert slot.in_flight == 2
        again = opened(path)
        assert [process.pid for process in again.processes()] == [os.getpid()]
        assert slot.in_flight == 1

    def test_processes_that_died_unseen_make_room(self, path: Path) -> None:
        table = create(path)
        table.claim_process()
        table.claim_process(dead_process())
        assert table.claim_process().number == 1
        with pytest.raises(TableFull, match="all 2 columns"):
            table.claim_process()

    def test_other_process_of_the_same_number(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        table = create(path)
        table.claim_process()
        assert table.clear_dead() == []
        monkeypatch.setattr(module, "_started", lambda pid: 1)
        assert [process.pid for process in table.clear_dead()] == [os.getpid()]

    def test_unreaped_process_is_dead(self, path: Path) -> None:
        table = create(path)
        pid = waiting_process()
        table.claim_process(pid)
        assert table.clear_dead() == []
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert [process.pid for process in table.clear_dead()] == [pid]
        os.waitpid(pid, 0)

    def test_clear_process(self, path: Path) -> None:
        table = create(path)
        table.claim_process()
        assert not table.clear_process(1)
        assert table.clear_process(os.getpid())
        assert table.processes() == []

    def test_bigger_table_knows_the_same(self, path: Path) -> None:
        old = opened(path)
        slot = old.worker("n1", "h:1")
        old.claim_process().finished(slot, duration_us=1)
        slot.configure(busy_limit=3)
        old.clear_process(os.getpid())
        new = opened(path, slots=20, columns=5)
        assert (new.capacity, new.columns) == (24, 5)
        assert (old.is_replaced, new.is_replaced) == (True, False)
        (found,) = new.slots()
        assert found.snapshot() == slot.snapshot()
        # A smaller one is not made of it.
        assert opened(path, slots=8, columns=9).capacity == 24

    def test_no_bigger_table_while_processes_count(self, path: Path) -> None:
        opened(path).claim_process()
        with pytest.raises(TableFull, match=f"process {os.getpid()} has to end first"):
            opened(path, columns=3)

    def test_restart_of_the_system(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        table = opened(path)
        table.claim_process()
        monkeypatch.setattr(module, "_boot_id", lambda: bytes(16))
        again = opened(path)
        assert (again.boot_id, again.processes()) == (bytes(16), [])

    def test_system_without_a_boot_id(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(*_: Any, **__: Any) -> str:
            raise FileNotFoundError

        assert len(module._boot_id()) == 16
        monkeypatch.setattr(Path, "read_text", missing)
        assert module._boot_id() == bytes(16)

    def test_attached_for_reading(self, path: Path) -> None:
        table = create(path)
        slot = table.worker("n1", "h:1")
        looking = Table.attach(path)
        (found,) = looking.slots()
        table.claim_process().begun(slot)
        assert (found.in_flight, found.snapshot().state) == (1, State.IDLE)
        with pytest.raises(StatusTableError, match="for reading only"):
            found.configure(busy_limit=1)

    def test_slots_by_kind(self, path: Path) -> None:
        table = create(path)
        table.balancer("lb")
        table.member("lb", "n1", "h:1")
        table.worker("n1", "h:1")
        assert [slot.kind for slot in table.slots()] == [Kind.BALANCER, Kind.MEMBER, Kind.WORKER]
        with pytest.raises(ValueError, match="cannot be"):
            table.member("", "n1", "h:1")


class TestLock:
    def test_is_entered_again_by_who_is_in(self, path: Path) -> None:
        table = create(path)
        with table.lock(), table.lock():
            assert table.holder == os.getpid()
            table.worker("n1", "h:1").configure(busy_limit=1)
            assert table.holder == os.getpid()
        assert table.holder == 0
        assert repr(table.lock()) == f"<_Lock {path}.lock depth=0>"

    def test_keeps_others_out(self, path: Path) -> None:
        table = create(path)
        other = Table.attach(path, writable=True, lock_timeout_s=0.0)
        slot = other.worker("n1", "h:1")
        with table.lock():
            problem = rf"process {os.getpid()} held the lock for 0\.0 s"
            with pytest.raises(StatusTableError, match=problem):
                slot.configure(busy_limit=1)
        slot.configure(busy_limit=1)

    def test_lock_of_an_unknown_holder(self, path: Path) -> None:
        create(path)
        with path.with_name("ajpd.shm.lock").open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(StatusTableError, match="somebody held the lock"):
                opened(path, lock_timeout_s=0.0)

    def test_waits_for_it(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        table = create(path)
        other = Table.attach(path, writable=True)
        # What the wait does instead of sleeping: the holder lets go.
        held = table.lock()
        held.__enter__()
        monkeypatch.setattr(module.time, "sleep", lambda _: held.__exit__(None, None, None))
        assert other.worker("n1", "h:1").is_new

    def test_other_thread_waits_too(self, path: Path) -> None:
        table = create(path, lock_timeout_s=0.01)
        problems = []

        def work() -> None:
            try:
                with table.lock():
                    pass
            except StatusTableError as exc:
                problems.append(str(exc))

        with table.lock():
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert problems == [f"{path}.lock: another thread held the lock for too long"]

    def test_dead_holder_leaves_it(self, path: Path) -> None:
        table = create(path)
        changes = table.changes
        pid = os.fork()
        if pid == 0:
            other = Table.attach(path, writable=True)
            other.lock().__enter__()
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        assert table.holder == pid
        with table.lock():
            # It may have changed something and not said so.
            assert (table.holder, table.changes) == (os.getpid(), changes + 1)

    def test_child_forked_meanwhile_does_not_keep_it(self, path: Path) -> None:
        table = create(path)
        with table.lock():
            pid = waiting_process()
        try:
            other = Table.attach(path, writable=True, lock_timeout_s=0.0)
            assert other.worker("n1", "h:1").is_new
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_who_lives_can_be_seen_without_writing(path: Path) -> None:
    table = create(path, columns=3)
    table.claim_process()
    table.claim_process(dead_process())
    seen = Table.attach(path)
    assert [process.pid for process in seen.living()] == [os.getpid()]
    assert len(seen.processes()) == 2


def test_who_only_looks_changes_nothing_through_a_store(tmp_path: Path) -> None:
    made = Table.create(tmp_path / "t.shm", slots=8, columns=2)
    made.balancer("lb")
    made.member("lb", "n1", "h:1")
    table = Table.attach(tmp_path / "t.shm")
    slots = {slot.kind: slot for slot in table.slots()}
    store = TableStore(slots[Kind.BALANCER], [slots[Kind.MEMBER]])
    lb = Balancer([Member(name="n1")], store=store)
    choice = lb.elect(None, 1.0)
    assert isinstance(choice, Choice)
    lb.begin(choice)
    assert not lb.maintain(100.0)
    with pytest.raises(ValueError, match="is for looking only"):
        lb.records[0].change_state(0, 1)
    with pytest.raises(ValueError, match="is for looking only"):
        lb.set_activation(0, Activation.STOPPED)
    with pytest.raises(ValueError, match="is for looking only"):
        lb.records[0].value = 7
    assert (lb.records[0].elected, lb.records[0].in_flight) == (0, 0)


def test_a_copy_is_nobody_elses(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    table = Table.create(tmp_path / "t", slots=8, columns=2)
    slot = table.worker("w", "a:1")
    copy = private_copy(table)
    assert copy.taken() == table.taken()
    Slot(copy, slot.index).configure(host="elsewhere")
    Slot.take(copy, Kind.BALANCER, "lb")
    assert slot.config() == {}
    assert len(table.taken()) == 1
