"""The shared status table byte by byte, and everything that is none."""

import mmap
import os
import re
import struct
import sys
from itertools import pairwise

import pytest

from ajp._column import Column
from ajp._slot import Slot
from ajp._table import format_memory, table_bytes
from ajp.errors import LayoutMismatch, Reason, StatusTableError
from ajp.lb import Activation, Record, State
from ajp.snapshot import COUNTERS, NUMBERS, TEXTS, Kind, ProcessState
from tests.unit.table_stage import (
    BOOT,
    PLACES,
    ROOT,
    SIZES,
    Bytes,
    blank,
    claimed,
    member,
    memory,
    opened,
    table_layout,
    table_store,
    worker,
)


class TestBytes:
    def test_page_shows_what_the_code_has(self) -> None:
        page = (ROOT / "docs" / "explanation" / "status-table.md").read_text()
        assert "\n".join(table_layout.lines()).strip() in page

    def test_every_byte_belongs_to_one_field(self) -> None:
        for fields in table_layout.structures().values():
            assert fields[0].at == 0
            assert all(one.at + one.size == other.at for one, other in pairwise(fields))
        assert SIZES == {
            "header": 256, "config": 832, "identity": 256, "slot": 3840, "column": 64, "tally": 2304
        }  # fmt: skip
        assert all(SIZES[name] % 64 == 0 for name in ("header", "slot", "column", "tally"))

    def test_header(self) -> None:
        raw = Bytes(16, 5)
        assert raw.buffer[:8] == b"ajpd.shm"
        assert raw.buffer[8:12] == (0x0A0B0C0D).to_bytes(4, sys.byteorder)
        expected = {
            "layout": 2, "word_bytes": struct.calcsize("P"), "header_bytes": 256,
            "slot_bytes": 3840, "tally_bytes": 2304, "slots": 16, "columns": 5,
            "file_bytes": table_bytes(slots=16, columns=5), "created_ns": 7, "generation": 0,
            "state": 1, "holder": 0,
        }  # fmt: skip
        assert {name: raw.number(0, "header", name) for name in expected} == expected
        place = PLACES["header", "boot_id"]
        assert raw.buffer[place.at : place.at + 16] == BOOT == raw.table.boot_id
        assert len(raw.buffer) == raw.tally(5, 16) == raw.table.capacity * 2304 + raw.column(5)
        assert raw.table.created_ns == 7

    def test_slot(self) -> None:
        raw = Bytes(8, 2)
        worker(raw.table, "first")
        slot = member(raw.table, "n1")
        base = raw.slot(1)
        at = base + PLACES["slot", "identity"].at
        for field, text in [("name", b"n1"), ("balancer", b"lb"), ("address", b"n1:8009")]:
            place = PLACES["identity", field]
            found = raw.buffer[at + place.at : at + place.at + place.size]
            assert found == text.ljust(place.size, b"\0")
        assert raw.number(base, "slot", "kind") == Kind.MEMBER
        assert raw.number(base, "slot", "incarnation") == 1
        slot.configure(lbfactor=-5, redirect="n2", activation=2)
        assert raw.number(base, "slot", "sequence") == raw.number(0, "header", "changes") == 1
        assert raw.number(base, "slot", "activation") == 2
        config = base + PLACES["slot", "config"].at + SIZES["config"]
        lbfactor, redirect = NUMBERS.index("lbfactor"), TEXTS.index("redirect")
        assert raw.number(config, "config", "number", lbfactor) == -5
        assert raw.number(config, "config", "present") == 1 | 1 << lbfactor | 1 << 32 + redirect
        text = config + PLACES["config", "text"].at + 128 * redirect
        assert raw.buffer[text : text + 3] == b"n2\0"

    def test_observed(self) -> None:
        store = table_store(["a", "b"])
        record = Record(store, 1)
        for number, name in enumerate(
            ("value", "", "elected", "elected_seen", "sessions", "errors", "reply_timeouts")
        ):
            if name:
                setattr(record, name, number + 1)
        record.first_error, record.last_error, record.latency = 1.5, 2.5, 3.5
        record.change_state(0, State.BUSY)
        record.activation = Activation.DISABLED
        found = store.members[1].snapshot()
        assert (found.value, found.elected, found.elected_seen, found.sessions) == (1, 3, 4, 5)
        assert (found.errors, found.reply_timeouts) == (6, 7)
        assert (found.first_error_at, found.last_error_at, found.latency_s) == (1.5, 2.5, 3.5)
        assert (found.state, found.activation) == (State.BUSY, Activation.DISABLED)
        assert store.claim(0.0, 4.5)
        assert store.balancer.snapshot().maintained_at == 4.5

    def test_column(self) -> None:
        raw = Bytes(8, 3)
        claimed(raw.table, 41)
        column = claimed(raw.table, 42)
        slots = [worker(raw.table, f"n{i}") for i in range(3)]
        column.begun(slots[2])
        column.connection_made(slots[1])
        column.pool_is(slots[0], waiting=7, idle=8)
        column.heartbeat(99)
        column.set_state(ProcessState.DRAINING)
        column.finished(slots[2], duration_us=100, first_byte_us=64, reason=Reason.FROZEN)
        base = raw.column(1)
        found = [raw.number(base, "column", name) for name in ("pid", "state", "heartbeat_ns")]
        assert found == [42, ProcessState.DRAINING, 99]
        gauges = struct.unpack_from("32Q", raw.buffer, base + SIZES["column"])
        in_flight, connected = (0, 0, 1, 0, 0, 0, 0, 0), (0, 1, 0, 0, 0, 0, 0, 0)
        waiting, idle = (7, 0, 0, 0, 0, 0, 0, 0), (8, 0, 0, 0, 0, 0, 0, 0)
        assert gauges == in_flight + connected + waiting + idle
        tally = raw.tally(1, 2)
        assert raw.number(tally, "tally", "counter", 0) == 1
        assert raw.number(tally, "tally", "reason", 25) == 1
        assert raw.number(tally, "tally", "first_byte", 1) == 1
        assert raw.number(tally, "tally", "duration", 3) == 1
        assert raw.number(0, "header", "claimed") == 0b11
        slots[2].reset()
        assert (
            raw.buffer[tally : tally + SIZES["tally"]]
            == (raw.buffer[raw.tally(3, 2) : raw.tally(3, 3)])
        )


class TestDamage:
    """A disk, or somebody who may write there, left something else in a slot."""

    @pytest.mark.parametrize(
        ("place", "damage"),
        [
            (PLACES["slot", "kind"].at, struct.pack("I", 77)),
            (PLACES["slot", "identity"].at, b"\xff"),
            (PLACES["slot", "identity"].at + 64, b"\xc3("),
        ],
    )
    def test_a_slot_that_says_nothing(self, place: int, damage: bytes) -> None:
        raw = Bytes(8, 2)
        worker(raw.table, "one")
        worker(raw.table, "two")
        at = raw.slot(0) + place
        raw.buffer[at : at + len(damage)] = damage
        with pytest.raises(StatusTableError, match="slot 0 of the table is damaged: "):
            Slot(raw.table, 0)
        assert Slot(raw.table, 1).name == "two"

    def test_numbers_that_are_none_are_forgotten_by_who_begins(self) -> None:
        raw = Bytes(8, 2)
        member(raw.table, "n1")
        for state, activation in ((max(State), max(Activation)), (max(State) + 1, 3), (9**9, 9**9)):
            for field, number in (("state", state), ("activation", activation)):
                struct.pack_into("I", raw.buffer, raw.slot(0) + PLACES["slot", field].at, number)
            found = member(raw.table, "n1").snapshot()
            if state == max(State):
                assert (found.state, found.activation) == (state, activation)
            else:
                assert (found.state, found.activation) == (State.IDLE, Activation.ACTIVE)

    def test_a_name_without_an_end(self) -> None:
        raw = Bytes(8, 2)
        worker(raw.table, "one")
        at = raw.slot(0) + PLACES["slot", "identity"].at
        raw.buffer[at : at + 256] = b"x" * 256
        found = Slot(raw.table, 0)
        assert (found.name, found.balancer, found.address) == ("x" * 63, "x" * 63, "x" * 127)


class TestBadMemory:
    @pytest.mark.parametrize(
        ("field", "value", "problem"),
        [
            ("layout", 1, r"layout 0x1; this version, 0x2"),
            ("byte_order", 0x0D0C0B0A, "byte order 0xd0c0b0a"),
            ("word_bytes", 4, "word size 0x4"),
            ("header_bytes", 512, "header size 0x200"),
            ("slot_bytes", 8, "slot size 0x8"),
            ("tally_bytes", 8, "tally size 0x8"),
        ],
    )
    def test_other_layouts(self, field: str, value: int, problem: str) -> None:
        buffer = blank()
        struct.pack_into("I", buffer, PLACES["header", field].at, value)
        with pytest.raises(LayoutMismatch, match=problem):
            opened(buffer)

    @pytest.mark.parametrize(
        ("field", "value", "problem"),
        [
            ("magic", 0, "begins with b'ajpd.shm', not with"),
            ("slots", 7, "of 7 slots cannot be"),
            ("slots", 0, "of 0 slots cannot be"),
            ("slots", 1 << 20, "of 1048576 slots cannot be"),
            ("columns", 0, "of 0 columns cannot be"),
            ("columns", 257, "of 257 columns cannot be"),
            ("columns", 4, "8 slots and 4 columns take"),
            ("file_bytes", 1, "and says "),
            ("slots_used", 9, "more of it is used than there is"),
            ("columns_used", 4, "more of it is used than there is"),
        ],
    )
    def test_numbers_that_cannot_be(self, field: str, value: int, problem: str) -> None:
        buffer = blank()
        struct.pack_into("I", buffer, PLACES["header", field].at, value)
        with pytest.raises(StatusTableError, match=problem) as caught:
            opened(buffer)
        assert not isinstance(caught.value, LayoutMismatch)

    def test_too_short(self) -> None:
        with pytest.raises(StatusTableError, match="255 bytes are no table"):
            opened(bytes(255))
        whole = blank()
        short = mmap.mmap(-1, len(whole) - 4096)
        short[:] = whole[: len(short)]
        with pytest.raises(StatusTableError, match=f"has {len(short)} bytes and says"):
            opened(short)

    def test_every_truncated_header(self) -> None:
        whole = blank()[:256]
        for size in range(0, 256, 5):
            short = mmap.mmap(-1, 4096)
            short[:size] = whole[:size]
            with pytest.raises(StatusTableError):
                opened(short)

    def test_not_where_lines_begin(self) -> None:
        with pytest.raises(StatusTableError, match="multiple of 64"):
            opened(memoryview(mmap.mmap(-1, 8192))[8:])  # type: ignore[arg-type]

    def test_sizes_that_cannot_be(self) -> None:
        for slots, columns in [(0, 1), (65537, 1), (1, 0), (1, 257)]:
            with pytest.raises(ValueError, match=r"a table has 1 to"):
                table_bytes(slots=slots, columns=columns)
        with pytest.raises(ValueError, match=r"a table takes \d+ bytes and a boot id"):
            format_memory(mmap.mmap(-1, 4096), slots=1, columns=1, now_ns=0, boot_id=BOOT)

    def test_read_only(self) -> None:
        whole = blank()
        fd = os.memfd_create("table")
        try:
            os.write(fd, whole[:])
            table = opened(mmap.mmap(fd, len(whole), access=mmap.ACCESS_READ))
        finally:
            os.close(fd)
        assert not table.is_writable
        assert (table.generation, table.changes, table.processes()) == (0, 0, [])
        for change in (
            table.begin_generation,
            table.release_unused,
            table.retire,
            lambda: table.hold(1),
            lambda: table.reboot(BOOT),
            lambda: table.claim(pid=1, started=0),
            lambda: table.clear_column(0),
            lambda: table.take_over(memory()),
            lambda: table.note_reload(done=True),
            table.note_death,
            lambda: setattr(table, "journal", 1),
            lambda: worker(table),
            lambda: Column(table, 0),
        ):
            with pytest.raises(StatusTableError, match="for reading only"):
                change()


def test_doc_names_every_counter_and_field() -> None:
    page = (ROOT / "docs" / "explanation" / "status-table.md").read_text()
    assert [
        name for name in (*COUNTERS, *NUMBERS, *TEXTS) if not re.search(rf"\b{name}\b", page)
    ] == []
