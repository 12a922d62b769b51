"""lock=Pessimistic: one process at a time elects, and nobody waits for the dead or the stopped."""

import time

from ajp._column import Column
from ajp._slot import Slot
from ajp.lb import MemoryStore
from ajp.lb._tablestore import TableStore
from ajp.snapshot import Kind
from tests.unit.table_stage import claimed, member, memory


class Stage:
    """Two processes, as the table sees them, and one that only looks."""

    def __init__(self) -> None:
        self.table = memory()
        self.slot = Slot.take(self.table, Kind.BALANCER, "lb")
        self.members = [member(self.table, "n1")]
        self.columns = claimed(self.table), claimed(self.table, 2)
        self.one, self.two = (self.store(column) for column in self.columns)

    def store(self, column: Column | None) -> TableStore:
        return TableStore(self.slot, self.members, column)


def waited(store: TableStore | MemoryStore) -> bool:
    """Whether its lock was somebody else's; it is given back."""
    begin = time.monotonic()
    store.acquire_lock()
    seconds = time.monotonic() - begin
    store.release_lock()
    assert seconds < 1.0
    return seconds >= 0.001


def test_one_waits_for_the_other_and_not_for_ever() -> None:
    stage = Stage()
    assert not waited(stage.two)
    stage.one.acquire_lock()
    assert waited(stage.two)
    # Giving up takes nothing away from who has it.
    assert waited(stage.two)
    stage.one.release_lock()
    assert not waited(stage.two)


def test_the_dead_hold_nothing() -> None:
    stage = Stage()
    stage.one.acquire_lock()
    stage.table.clear_column(stage.columns[0].number)
    assert not waited(stage.two)


def test_who_follows_in_a_column_does_not_wait_for_who_had_it() -> None:
    stage = Stage()
    stage.one.acquire_lock()
    assert not waited(stage.store(stage.columns[0]))


def test_a_balancer_of_one_process_and_who_only_looks_lock_nothing() -> None:
    stage = Stage()
    stage.one.acquire_lock()
    assert not waited(stage.store(None))
    assert not waited(MemoryStore(1))
