"""Tables to test with, in memory of this process alone."""

import mmap
import struct
import sys
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import count
from pathlib import Path

from ajp._column import Column
from ajp._slot import Slot
from ajp._table import Memory, format_memory, table_bytes
from ajp.lb import Member
from ajp.lb._tablestore import TableStore
from ajp.snapshot import Kind

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "tools"))
import table_layout  # noqa: E402

BOOT = bytes(range(16))
PLACES = {
    (name, field.name.partition("[")[0]): field
    for name, fields in table_layout.structures().items()
    for field in fields
}
SIZES = {name: f[-1].at + f[-1].size for name, f in table_layout.structures().items()}


def opened(buffer: mmap.mmap | bytes) -> Memory:
    return Memory(buffer, nullcontext(), lambda: 1)


def blank(slots: int = 8, columns: int = 3, *, boot_id: bytes = BOOT) -> mmap.mmap:
    """The bytes of an empty table."""
    buffer = mmap.mmap(-1, table_bytes(slots=slots, columns=columns))
    format_memory(buffer, slots=slots, columns=columns, now_ns=7, boot_id=boot_id)
    return buffer


def memory(slots: int = 8, columns: int = 3) -> Memory:
    """An empty table; its clock counts 1, 2, 3 …"""
    ticks = count(1)
    return Memory(blank(slots, columns), threading.RLock(), lambda: next(ticks))


def worker(table: Memory, name: str = "n1", address: str = "10.0.0.1:8009") -> Slot:
    return Slot.take(table, Kind.WORKER, name, address=address)


def member(table: Memory, name: str, balancer: str = "lb") -> Slot:
    return Slot.take(table, Kind.MEMBER, name, address=f"{name}:8009", balancer=balancer)


def claimed(table: Memory, pid: int = 1) -> Column:
    return Column(table, table.claim(pid=pid, started=0))


def table_store(members: Sequence[str | Member]) -> TableStore:
    """A store of a balancer `lb` in a table of its own."""
    names = [m if isinstance(m, str) else m.name for m in members]
    table = memory(slots=len(names) + 1)
    claimed(table)  # so that the store's own column is not the first one
    slots = [member(table, name) for name in names]
    for slot, given in zip(slots, members, strict=True):
        if isinstance(given, Member):
            slot.settle(given.activation)
    return TableStore(Slot.take(table, Kind.BALANCER, "lb"), slots, claimed(table, 2))


class Bytes:
    """Reads a table as the documentation says that it lies there."""

    def __init__(self, slots: int, columns: int) -> None:
        self.slots, self.columns = slots, columns
        self.buffer = blank(slots, columns)
        self.table = opened(self.buffer)

    def number(self, base: int, structure: str, field: str, index: int = 0) -> int:
        place = PLACES[structure, field]
        form = {"word": "Q", "half": "I"}.get(place.kind) or {"uint32_t": "I", "int64_t": "q"}.get(
            place.kind, "Q"
        )
        found: int = struct.unpack_from(
            form, self.buffer, base + place.at + index * struct.calcsize(form)
        )[0]
        return found

    def slot(self, index: int) -> int:
        return SIZES["header"] + index * SIZES["slot"]

    def column(self, number: int) -> int:
        size = SIZES["column"] + self.slots * (32 + SIZES["tally"])
        return self.slot(self.slots) + number * size

    def tally(self, number: int, index: int) -> int:
        base = self.column(number)
        if number < self.columns:
            base += SIZES["column"] + self.slots * 32
        return base + index * SIZES["tally"]
