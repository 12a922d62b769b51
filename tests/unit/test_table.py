"""The shared status table in memory: its slots, what the operator sets, its columns."""

import threading

import pytest

from ajp._column import Column
from ajp._slot import Slot
from ajp.errors import Reason, StatusTableError, TableFull
from ajp.lb import Record, State
from ajp.snapshot import (
    FIELDS,
    NUMBERS,
    TEXTS,
    Kind,
    ProbeState,
    ProcessState,
    Reload,
    Reloads,
)
from tests.unit.table_stage import (
    PLACES,
    Bytes,
    claimed,
    member,
    memory,
    table_store,
    worker,
)


class TestSlots:
    def test_found_again_by_name_and_address(self) -> None:
        table = memory()
        slot = worker(table)
        again = worker(table)
        assert (slot.is_new, again.is_new, slot.index) == (True, False, again.index)
        others = [worker(table, "n2"), worker(table, "n1", "other:1"), member(table, "n1")]
        others += [member(table, "n1", "lb2"), Slot.take(table, Kind.BALANCER, "n1")]
        assert len({slot.index, *(other.index for other in others)}) == 6
        assert repr(slot) == "<Slot 0 worker n1 10.0.0.1:8009>"
        assert repr(others[2]) == "<Slot 3 member lb/n1 n1:8009>"
        assert repr(table) == "<Memory slots=6/8 processes=0/3 generation=0>"

    def test_names_that_cannot_be(self) -> None:
        table = memory()
        assert worker(table, "n" * 63, "a" * 127).name == "n" * 63
        for name, address in [("n" * 64, "a"), ("ü" * 32, "a"), ("n\0", "a"), ("n", "a" * 128)]:
            with pytest.raises(ValueError, match="bytes; at most"):
                worker(table, name, address)
        for kind, name, balancer in [
            (Kind.WORKER, "", ""),
            (Kind.MEMBER, "n", ""),
            (Kind.WORKER, "n", "lb"),
        ]:
            with pytest.raises(ValueError, match="cannot be"):
                Slot.take(table, kind, name, balancer=balancer)
        with pytest.raises(ValueError, match="an identity has 256 bytes, not 1"):
            table.take(1, b"n")
        with pytest.raises(IndexError, match="slot 8 of 8"):
            Slot(table, 8)
        with pytest.raises(StatusTableError, match="slot 7 of the table is free"):
            Slot(table, 7)

    def test_full(self) -> None:
        table = memory()
        for number in range(8):
            worker(table, f"n{number}")
        with pytest.raises(TableFull, match="all 8 slots of the table are taken"):
            worker(table, "one more")

    def test_slots_of_past_generations_are_used_again(self) -> None:
        table = memory()
        column = claimed(table)
        slots = [worker(table, f"n{number}") for number in range(8)]
        column.finished(slots[3], duration_us=1)
        slots[3].configure(busy_limit=4)
        slots[3].reset()
        assert table.begin_generation() == table.generation == 1
        for number in (0, 1, 2):
            worker(table, f"n{number}")
        # A process of the old generation still runs.
        assert table.release_unused() == 0
        assert table.clear_column(column.number)
        fresh = worker(table, "n8")
        assert (fresh.index, fresh.is_new) == (3, True)
        assert [slot.is_current for slot in slots] == [True] * 3 + [False] * 5
        found = fresh.snapshot()
        assert (found.totals["used"], found.config, found.sequence) == (0, {}, 0)
        assert (found.since_reset["used"], found.reset_ns, found.generation) == (0, 0, 1)
        for use in (slots[3].snapshot, slots[3].reset, slots[3].configure):
            with pytest.raises(StatusTableError, match="slot 3 is no longer that of 'n3'"):
                use()
        assert table.taken() == [0, 1, 2, 3]

    def test_states_outlive_generations(self) -> None:
        store = table_store(["a"])
        record = Record(store, 0)
        record.change_state(State.IDLE, State.ERROR)
        table = store.balancer.memory
        for _ in range(3):
            table.begin_generation()
            assert member(table, "a").snapshot().state == State.ERROR


class TestConfig:
    def test_nothing_was_changed(self) -> None:
        slot = worker(memory())
        assert (slot.sequence, slot.config(), slot.pull()) == (0, {}, (0, {}))

    @pytest.mark.parametrize("kind", Kind)
    def test_every_field(self, kind: Kind) -> None:
        table = memory()
        slot = Slot.take(table, kind, "x", balancer="lb" if kind is Kind.MEMBER else "")
        expected: dict[str, int | str] = {}
        for number, name in enumerate(sorted(FIELDS[kind])):
            expected[name] = f"t{number}" if name in TEXTS else number % 3
            slot.configure(**{name: expected[name]})
            assert (slot.sequence, slot.config(), table.changes) == (
                number + 1,
                expected,
                number + 1,
            )
        for name in sorted(FIELDS[kind]):
            slot.configure(**{name: None})
            del expected[name]
            assert slot.config() == expected
        strange = min({*NUMBERS, *TEXTS} - FIELDS[kind])
        with pytest.raises(ValueError, match=f"{strange} of a {kind.name.lower()} cannot be"):
            slot.configure(**{strange: 1})

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            ({"lbfactor": 1 << 63}, "does not fit into 64 bits"),
            ({"activation": 3}, "activation is 0, 1 or 2"),
            ({"route": "r" * 64}, "has 64 bytes; at most 63"),
            ({"lbfactor": 5, "domain": "a\0b"}, "none 0"),
        ],
    )
    def test_refused_changes_change_nothing(
        self, change: dict[str, int | str], problem: str
    ) -> None:
        table = memory()
        slot = member(table, "a")
        slot.configure(lbfactor=2, activation=1)
        with pytest.raises(ValueError, match=problem):
            slot.configure(**change)
        assert slot.pull() == (1, {"lbfactor": 2, "activation": 1})
        assert (slot.activation, table.changes) == (1, 1)

    def test_activation_of_the_files_and_of_the_operator(self) -> None:
        slot = member(memory(), "a")
        slot.settle(2)
        assert (slot.activation, slot.config()) == (2, {})
        slot.configure(activation=1)
        slot.settle(2)
        assert slot.activation == 1
        slot.configure(activation=None)
        slot.settle(2)
        assert slot.activation == 2

    def test_longest_texts(self) -> None:
        slot = worker(memory())
        slot.configure(host="h" * 127)
        slot.configure(host="short")
        assert slot.config() == {"host": "short"}

    def test_holder_that_died_is_told_of(self) -> None:
        table = memory()
        table.hold(7)
        assert (table.holder, table.changes) == (7, 0)
        table.hold(8)
        assert (table.holder, table.changes) == (8, 1)
        table.hold(0)
        table.hold(9)
        assert table.changes == 1

    def test_readers_see_whole_configs(self) -> None:
        table = memory()
        slot = member(table, "a")
        slot.configure(lbfactor=0, distance=0, route="0", domain="0", redirect="0")
        stop = threading.Event()

        def write() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                text = str(number)
                slot.configure(
                    lbfactor=number, distance=number, route=text, domain=text, redirect=text
                )

        writer = threading.Thread(target=write)
        writer.start()
        try:
            last = 0
            for _ in range(2000):
                sequence, found = slot.pull()
                assert sequence >= last
                last = sequence
                assert {str(value) for value in found.values()} == {str(sequence - 1)}
        finally:
            stop.set()
            writer.join()

    def test_writer_that_dies_half_way_changed_nothing(self) -> None:
        raw = Bytes(8, 1)
        slot = member(raw.table, "a")
        slot.configure(lbfactor=3, route="r")
        # What it would have written before the sequence moved: the other copy.
        other = raw.slot(0) + PLACES["slot", "config"].at
        raw.buffer[other : other + 832] = b"\xff" * 832
        assert slot.config() == {"lbfactor": 3, "route": "r"}
        slot.configure(lbfactor=4)
        assert slot.config() == {"lbfactor": 4, "route": "r"}


class TestColumns:
    @pytest.mark.parametrize("status", [0, 1, 99, 100, 199, 200, 304, 404, 500, 599, 600, 65535])
    def test_each_request_has_one_class(self, status: int) -> None:
        table = memory()
        slot = worker(table)
        claimed(table).finished(slot, duration_us=1, status=status)
        counters = slot.totals().counters
        name = f"status_{status // 100}xx" if 100 <= status < 600 else "status_none"
        found = {key: count for key, count in counters.items() if key.startswith("status_")}
        assert {key for key, count in found.items() if count} == {name}
        assert sum(found.values()) == counters["used"] == 1

    def test_sums(self) -> None:
        table = memory()
        slot, other = worker(table), worker(table, "n2")
        one, two = claimed(table, 1), claimed(table, 2)
        for column in (one, one, two):
            column.begun(slot)
            column.connection_made(slot)
        column.connection_lost(slot)
        assert (slot.in_flight, slot.connected, other.in_flight, other.connected) == (3, 2, 0, 0)
        assert (one.in_flight(slot), two.in_flight(slot)) == (2, 1)
        one.ended(slot)
        one.finished(slot, duration_us=2000, first_byte_us=900, bytes_in=5, bytes_out=6, status=200)
        two.finished(slot, duration_us=1, status=404, reason=Reason.CLIENT_ABORT, now=3.0)
        two.failed(slot, Reason.REPLY_TIMEOUT, 4.0)
        two.failed(slot, Reason.FROZEN, 5.0)
        two.counted(slot, "sessions")
        one.counted(slot, "retries", 3)
        found = slot.snapshot()
        assert found.totals.counters == {
            "used": 2, "retries": 3, "sessions": 1, "bytes_in": 5, "bytes_out": 6, "connects": 3,
            "first_byte_us": 900, "duration_us": 2001, "status_1xx": 0, "status_2xx": 1,
            "status_3xx": 0, "status_4xx": 1, "status_5xx": 0,
            "reads": 0, "probes": 0, "probe_failures": 0, "rescued": 0,
            "status_none": 0, "tls_handshakes": 0, "tls_failures": 0,
        }  # fmt: skip
        assert found.totals.reasons == {
            Reason.CLIENT_ABORT: 1, Reason.REPLY_TIMEOUT: 1, Reason.FROZEN: 1
        }  # fmt: skip
        totals = found.totals
        assert (totals.client_errors, totals.errors, totals.reply_timeouts) == (1, 2, 1)
        assert (totals.duration.total, totals.first_byte.total) == (2, 1)
        assert (found.in_flight, found.max_in_flight, found.max_connected) == (2, 3, 3)
        assert (found.last_reason, found.last_reason_at) == (Reason.FROZEN, 5.0)

    def test_gauges_never_go_below_nothing(self) -> None:
        table = memory()
        slot, column = worker(table), claimed(table)
        column.ended(slot)
        column.connection_lost(slot)
        assert (slot.in_flight, slot.connected) == (0, 0)

    def test_statuses_that_are_none(self) -> None:
        table = memory()
        slot, column = worker(table), claimed(table)
        for status in (0, 99, 600, 100, 599):
            column.finished(slot, duration_us=0, status=status)
        totals = slot.totals()
        assert [totals[f"status_{n}xx"] for n in range(1, 6)] == [1, 0, 0, 0, 1]

    def test_dead_process_is_forgotten_but_not_what_it_did(self) -> None:
        table = memory()
        slot = worker(table)
        dead, alive = claimed(table, 1), claimed(table, 2)
        for column in (dead, alive):
            column.begun(slot)
            column.connection_made(slot)
            column.finished(slot, duration_us=1)
        assert [process.pid for process in table.processes()] == [1, 2]
        assert table.clear_column(dead.number)
        assert not table.clear_column(dead.number)
        assert (slot.in_flight, slot.connected, slot.totals()["used"]) == (1, 1, 2)
        assert [process.pid for process in table.processes()] == [2]
        # Who comes next counts on.
        heir = claimed(table, 3)
        assert heir.number == dead.number
        heir.finished(slot, duration_us=1)
        assert (slot.in_flight, slot.totals()["used"]) == (1, 3)

    def test_full(self) -> None:
        table = memory(columns=2)
        claimed(table, 1)
        claimed(table, 2)
        with pytest.raises(TableFull, match="all 2 columns of the table belong to processes"):
            claimed(table, 3)

    def test_more_than_a_word_of_columns(self) -> None:
        table = memory(columns=256)
        slot = worker(table)
        columns = [claimed(table, number + 1) for number in range(256)]
        for column in columns:
            column.begun(slot)
        assert slot.in_flight == 256
        for number in (0, 63, 64, 255):
            table.clear_column(number)
        assert slot.in_flight == 252
        assert [claimed(table, 1).number for _ in range(4)] == [0, 63, 64, 255]

    def test_reset_begins_anew_without_going_down(self) -> None:
        table = memory()
        slot, column = worker(table), claimed(table)
        column.begun(slot)
        column.begun(slot)
        column.ended(slot)
        column.finished(slot, duration_us=70, reason=Reason.FROZEN, now=1.0)
        slot.reset()
        column.finished(slot, duration_us=80, reason=Reason.SHUTDOWN, now=2.0)
        found = slot.snapshot()
        assert (found.totals["used"], found.since_reset["used"]) == (2, 1)
        assert found.since_reset.reasons == {Reason.SHUTDOWN: 1}
        assert (found.since_reset.duration.total, found.max_in_flight) == (1, 1)
        assert (found.last_reason, found.reset_ns) == (Reason.SHUTDOWN, 2)

    def test_processes(self) -> None:
        table = memory()
        table.begin_generation()
        column = Column(table, table.claim(pid=9, started=8, generation=0))
        column.heartbeat(5)
        (process,) = table.processes()
        assert (process.pid, process.started, process.generation) == (9, 8, 0)
        assert (process.heartbeat_ns, process.state) == (5, ProcessState.RUNNING)
        column.set_state(ProcessState.DRAINING)
        assert table.processes()[0].state is ProcessState.DRAINING
        assert repr(column) == "<Column 0 pid=9>"

    def test_columns_that_cannot_be(self) -> None:
        table = memory()
        with pytest.raises(IndexError, match="column 3 of 3"):
            Column(table, 3)
        with pytest.raises(IndexError, match="column 3 of 3"):
            table.clear_column(3)
        with pytest.raises(ValueError, match="is no slot of this table"):
            claimed(table).begun(worker(memory()))

    def test_restart_of_the_system(self) -> None:
        store = table_store(["a"])
        record = Record(store, 0)
        record.note_error(3.0)
        store.claim(0.0, 2.0)
        table = store.balancer.memory
        table.reboot(bytes(16))
        found = store.members[0].snapshot()
        assert (found.first_error_at, found.last_error_at, found.errors) == (0.0, 0.0, 1)
        assert (store.maintained, table.processes(), table.boot_id) == (0.0, [], bytes(16))
        with pytest.raises(ValueError, match="a boot id has 16 bytes, not 1"):
            table.reboot(b"1")


class TestReloads:
    def test_they_are_counted_and_the_last_one_is_known(self) -> None:
        table = memory()
        assert table.reloads == Reloads()
        table.note_reload(done=True)
        table.note_reload(done=True)
        found = table.reloads
        assert (found.done, found.refused, found.last) == (2, 0, Reload.DONE)
        assert 0 < found.last_ns < table.clock()
        table.note_reload(done=False)
        found = table.reloads
        assert (found.done, found.refused, found.last, found.deaths) == (2, 1, Reload.REFUSED, 0)
        table.note_death()
        assert table.reloads.deaths == 1
        # A restart of the system takes nothing of it.
        table.reboot(bytes(16))
        assert table.reloads.done == 2


class TestTakingOver:
    def test_all_that_is_known(self) -> None:
        old = memory(columns=2)
        old.begin_generation()
        old.journal = 5
        old.note_reload(done=False)
        old.note_death()
        slot = member(old, "a")
        for pid in (1, 2):
            column = claimed(old, pid)
            column.finished(slot, duration_us=1)
        slot.reset()
        column.finished(slot, duration_us=1)
        slot.configure(lbfactor=4, activation=2)
        new = memory(slots=24, columns=9)
        with pytest.raises(ValueError, match="when its processes are gone"):
            new.take_over(old)
        for number in range(2):
            old.clear_column(number)
        new.take_over(old)
        assert Slot(new, slot.index).snapshot() == slot.snapshot()
        assert (new.generation, new.changes, new.journal) == (1, 1, 5)
        assert new.reloads == old.reloads != Reloads()
        with pytest.raises(ValueError, match="into an empty one"):
            new.take_over(old)

    def test_no_room(self) -> None:
        old = memory(slots=16)
        for number in range(9):
            worker(old, f"n{number}")
        with pytest.raises(TableFull, match="9 slots do not fit into 8"):
            memory().take_over(old)

    def test_replaced(self) -> None:
        table = memory()
        assert not table.is_replaced
        table.retire()
        assert table.is_replaced


class TestGauges:
    def test_pools_are_sums_of_those_who_live(self) -> None:
        table = memory()
        one, two, slot = claimed(table), claimed(table, 2), worker(table)
        one.pool_is(slot, waiting=3, idle=1)
        two.pool_is(slot, waiting=4, idle=0)
        assert (slot.waiting, slot.idle) == (7, 1)
        one.pool_is(slot, waiting=0, idle=2)
        found = slot.snapshot()
        assert (found.waiting, found.idle) == (4, 2)
        table.clear_column(two.number)
        assert (slot.waiting, slot.idle) == (0, 2)


class TestProber:
    def test_one_at_a_time(self) -> None:
        table = memory()
        one, two = claimed(table), claimed(table, 2)
        assert table.prober is None
        assert table.claim_prober(one.number)
        assert table.claim_prober(one.number)
        assert not table.claim_prober(two.number)
        assert table.prober == one.number
        assert not table.release_prober(two.number)
        assert table.release_prober(one.number)
        assert table.claim_prober(two.number)

    def test_the_dead_do_not_probe(self) -> None:
        table = memory()
        one, two = claimed(table), claimed(table, 2)
        table.claim_prober(one.number)
        table.clear_column(two.number)
        assert table.prober == one.number
        table.clear_column(one.number)
        assert table.prober is None
        with pytest.raises(ValueError, match="column 0 belongs to no process"):
            table.claim_prober(one.number)
        with pytest.raises(ValueError, match="column 9 belongs to no process"):
            table.claim_prober(9)

    def test_results(self) -> None:
        table = memory()
        slot = worker(table)
        assert slot.probe_state is ProbeState.NONE
        slot.note_probe(ProbeState.ANSWERS, 5.0, rtt_s=0.25)
        slot.note_probe(ProbeState.FAILS, 6.0)
        slot.note_probe(ProbeState.FROZEN, 7.0)
        found = slot.snapshot()
        assert (found.probe_state, found.probe_at) == (ProbeState.FROZEN, 7.0)
        assert (found.probe_rtt_s, found.probe_failures) == (0.25, 2)
        slot.note_probe(ProbeState.ANSWERS, 8.0, rtt_s=0.5)
        found = slot.snapshot()
        assert (found.probe_rtt_s, found.probe_failures) == (0.5, 0)
        table.reboot(bytes(16))
        assert (slot.probe_state, slot.snapshot().probe_at) == (ProbeState.NONE, 0.0)

    def test_reads_are_summed(self) -> None:
        table = memory()
        one, two, slot = claimed(table), claimed(table, 2), worker(table)
        one.counted(slot, "reads", 3)
        two.counted(slot, "reads")
        assert slot.reads == 4


class TestSessions:
    def test_few_are_counted_well(self) -> None:
        table = memory()
        column, slot = claimed(table), member(table, "n1")
        assert (slot.sessions_in(60, 1000.0), slot.last_session_at) == (0, 0.0)
        for _ in range(3):
            for number in range(10):
                column.session_seen(slot, b"session-%d" % number, 1000.0)
        assert slot.sessions_in(60, 1000.0) == 10
        assert slot.last_session_at == slot.snapshot().session_at == 1000.0

    @pytest.mark.parametrize("count", [100, 1000, 5000])
    def test_many_are_within_a_tenth(self, count: int) -> None:
        table = memory()
        columns, slot = [claimed(table), claimed(table, 2)], member(table, "n1")
        for number in range(count):
            columns[number % 2].session_seen(slot, b"%032x.node1" % number, 1000.0)
        assert slot.sessions_in(60, 1000.0) == pytest.approx(count, rel=0.1)

    def test_too_many_are_as_many_as_can_be_told(self) -> None:
        table = memory()
        column, slot = claimed(table), member(table, "n1")
        for number in range(60_000):
            column.session_seen(slot, b"%d" % number, 1000.0)
        assert slot.sessions_in(60, 1000.0) == 15615

    def test_old_minutes_do_not_count(self) -> None:
        table = memory()
        column, slot = claimed(table), member(table, "n1")
        for minute in range(10):
            for number in range(5):
                column.session_seen(slot, b"%d %d" % (minute, number), 60.0 * minute + 30.0)
        now = 60.0 * 9 + 59.0
        assert [slot.sessions_in(60 * n, now) for n in (1, 2, 6, 99)] == [5, 10, 30, 30]
        # Nobody turned the ring for a while.
        assert slot.sessions_in(60, now + 60.0) == 0
        assert slot.sessions_in(360, now + 120.0) == 20
        assert slot.sessions_in(360, now + 86400.0) == 0
        column.session_seen(slot, b"late", now + 86400.0)
        assert slot.sessions_in(360, now + 86400.0) == 1
        # A process whose clock was read before another turned the ring.
        column.session_seen(slot, b"early", now + 86400.0 - 360.0)
        assert slot.sessions_in(60, now + 86400.0) in (1, 2)
