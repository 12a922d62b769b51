"""The table against a dict, and many processes that count, change and are killed."""

import mmap
import os
import signal
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from ajp._column import Column
from ajp._slot import Slot
from ajp._table import Memory
from ajp.errors import TableFull
from ajp.lb import Balancer, Choice, Member, Outcome, Settings
from ajp.lb._tablestore import TableStore
from ajp.snapshot import Kind, ProbeState
from ajp.table import Table
from tests.unit.table_stage import blank

SLOTS, COLUMNS = 8, 3
NAMES = [f"n{number}" for number in range(12)]


POOL = st.tuples(st.integers(0, 1 << 40), st.integers(0, 3))


class TableAgainstDict(RuleBasedStateMachine):
    """The model is a dict of names; processes are columns, generations come and go."""

    names = Bundle("names")

    @initialize()
    def begin(self) -> None:
        self.buffer = blank(SLOTS, COLUMNS)
        self.reopen()
        self.generation = 0
        self.slots: dict[str, int] = {}  # name -> newest generation
        self.config: dict[str, dict[str, int]] = defaultdict(dict)
        self.used: dict[str, int] = defaultdict(int)
        self.columns: dict[int, tuple[Column, int, dict[str, int]]] = {}
        self.pools: dict[int, dict[str, tuple[int, int]]] = {}  # column -> waiting and idle
        self.probes: dict[str, tuple[ProbeState, int]] = {}  # name -> state and failures
        self.prober: int | None = None

    @rule()
    def reopen(self) -> None:
        """What another process, or the next daemon, sees."""
        self.table = Memory(self.buffer, nullcontext(), lambda: 1)

    def find(self, name: str) -> Slot:
        return next(s for s in map(self.slot, self.table.taken()) if s.name == name)

    def slot(self, index: int) -> Slot:
        return Slot(self.table, index)

    def oldest(self) -> int:
        return min([self.generation, *(born for _, born, _ in self.columns.values())])

    def forget(self) -> None:
        for name in [name for name, last in self.slots.items() if last < self.oldest()]:
            del self.slots[name]
            self.config.pop(name, None)
            self.used.pop(name, None)
            self.probes.pop(name, None)

    @rule(name=st.sampled_from(NAMES))
    def take(self, name: str) -> None:
        if name not in self.slots and len(self.slots) == SLOTS:
            self.forget()
        if name not in self.slots and len(self.slots) == SLOTS:
            with pytest.raises(TableFull):
                Slot.take(self.table, Kind.WORKER, name)
            return
        slot = Slot.take(self.table, Kind.WORKER, name)
        assert slot.is_new == (name not in self.slots)
        self.slots[name] = self.generation

    @rule()
    def begin_generation(self) -> None:
        self.generation += 1
        assert self.table.begin_generation() == self.generation

    @rule()
    def release(self) -> None:
        before = len(self.slots)
        self.forget()
        assert self.table.release_unused() == before - len(self.slots)

    @rule(pid=st.integers(1, 9))
    def claim(self, pid: int) -> None:
        if len(self.columns) == COLUMNS:
            with pytest.raises(TableFull):
                self.table.claim(pid=pid, started=0)
            return
        number = self.table.claim(pid=pid, started=0)
        assert number not in self.columns
        self.columns[number] = (Column(self.table, number), self.generation, defaultdict(int))
        self.pools[number] = {}

    @precondition(lambda self: self.columns)
    @rule(which=st.integers(0, COLUMNS))
    def die(self, which: int) -> None:
        number = sorted(self.columns)[which % len(self.columns)]
        del self.columns[number], self.pools[number]
        if self.prober == number:
            self.prober = None
        assert self.table.clear_column(number)

    @precondition(lambda self: self.columns and self.slots)
    @rule(which=st.integers(0, COLUMNS), what=st.integers(0, SLOTS), pool=POOL)
    def set_pool(self, which: int, what: int, pool: tuple[int, int]) -> None:
        number = sorted(self.columns)[which % len(self.columns)]
        column = self.columns[number][0]
        name = sorted(self.slots)[what % len(self.slots)]
        waiting, idle = pool
        column.pool_is(Slot(column.memory, self.find(name).index), waiting=waiting, idle=idle)
        self.pools[number][name] = pool
        Slot.take(self.table, Kind.WORKER, name)
        self.slots[name] = self.generation

    @precondition(lambda self: self.columns)
    @rule(which=st.integers(0, COLUMNS), ends=st.booleans())
    def probe_for_all(self, which: int, ends: bool) -> None:
        number = sorted(self.columns)[which % len(self.columns)]
        if ends:
            assert self.table.release_prober(number) == (self.prober == number)
            self.prober = None if self.prober == number else self.prober
        else:
            assert self.table.claim_prober(number) == (self.prober in (None, number))
            self.prober = number if self.prober is None else self.prober

    @precondition(lambda self: self.slots)
    @rule(what=st.integers(0, SLOTS), state=st.sampled_from([*ProbeState][1:]))
    def probe(self, what: int, state: ProbeState) -> None:
        name = sorted(self.slots)[what % len(self.slots)]
        self.find(name).note_probe(state, 1.0)
        failures = self.probes.get(name, (ProbeState.NONE, 0))[1] + 1
        self.probes[name] = (state, 0 if state is ProbeState.ANSWERS else failures)

    @precondition(lambda self: self.columns and self.slots)
    @rule(which=st.integers(0, COLUMNS), what=st.integers(0, SLOTS), ends=st.booleans())
    def count(self, which: int, what: int, ends: bool) -> None:
        column, born, gauges = self.columns[sorted(self.columns)[which % len(self.columns)]]
        # A process knows the slots of its own generation and of those before.
        known = sorted(name for name in self.slots)
        name = known[what % len(known)]
        slot = Slot(column.memory, self.find(name).index)
        if ends and gauges[name]:
            column.ended(slot)
            column.finished(slot, duration_us=what)
            gauges[name] -= 1
            self.used[name] += 1
        else:
            column.begun(slot)
            gauges[name] += 1
        self.slots[name] = max(self.slots[name], born)
        Slot.take(self.table, Kind.WORKER, name)
        self.slots[name] = self.generation

    @precondition(lambda self: self.slots)
    @rule(
        what=st.integers(0, SLOTS),
        field=st.sampled_from(["busy_limit", "retries"]),
        value=st.none() | st.integers(0, 3),
    )
    def configure(self, what: int, field: str, value: int | None) -> None:
        name = sorted(self.slots)[what % len(self.slots)]
        slot = self.find(name)
        before = (slot.sequence, self.table.changes)
        slot.configure(**{field: value})
        assert (slot.sequence, self.table.changes) == (before[0] + 1, before[1] + 1)
        self.config[name].pop(field, None)
        if value is not None:
            self.config[name][field] = value

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "table"):
            return
        found = {slot.name: slot for slot in map(self.slot, self.table.taken())}
        assert sorted(found) == sorted(self.slots)
        assert [process.column for process in self.table.processes()] == sorted(self.columns)
        for name, slot in found.items():
            assert slot.config() == self.config[name]
            assert slot.totals()["used"] == self.used[name]
            assert slot.in_flight == sum(gauges[name] for *_, gauges in self.columns.values())
            pools = [pool[name] for pool in self.pools.values() if name in pool]
            assert slot.waiting == sum(waiting for waiting, _ in pools)
            assert slot.idle == sum(idle for _, idle in pools)
            seen = slot.snapshot()
            probe = self.probes.get(name, (ProbeState.NONE, 0))
            assert (seen.probe_state, seen.probe_failures) == probe
        assert self.table.prober == self.prober


TestTableAgainstDict = TableAgainstDict.TestCase
TestTableAgainstDict.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def child(work: Callable[[], None]) -> int:
    """Fork a process that works and never comes back."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    finally:
        os._exit(0)


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    tmp_path.chmod(0o700)
    return Table.create(tmp_path / "ajpd.shm", slots=8, columns=8)


PROCESSES, ROUNDS, LEAST, SESSIONS = 4, 4, 300, 40


def count_for_ever(path: Path, done: mmap.mmap, place: int) -> None:
    """Count requests, and write down beside it how many: before and after each."""
    table = Table.attach(path, writable=True)
    column = table.claim_process()
    slots = [table.worker(name, "h:1") for name in "ab"]
    number = 0
    while True:
        number += 1
        table.claim_prober(column.number)
        done[place : place + 8] = number.to_bytes(8, "little")
        for slot in slots:
            column.begun(slot)
            column.finished(slot, duration_us=100, bytes_in=3)
            column.counted(slot, "reads", 2)
            column.pool_is(slot, waiting=number, idle=5)
            # Every third call is another minute, so that processes turn the ring at once.
            column.session_seen(slot, b"%d" % (number % SESSIONS), 60.0 * (number // 3 % 9))
        if number % 7:
            for slot in slots:
                column.ended(slot)
        done[place + 8 : place + 16] = number.to_bytes(8, "little")


def test_sums_stay_exact_when_processes_are_killed(table: Table) -> None:
    random = Random(1)
    slots = [table.worker(name, "h:1") for name in "ab"]
    done = mmap.mmap(-1, 16 * PROCESSES * ROUNDS)
    places = iter(range(0, len(done), 16))

    def start() -> tuple[int, int]:
        place = next(places)
        return child(lambda: count_for_ever(table.path, done, place)), place

    def counted(place: int) -> tuple[int, int]:
        begun = int.from_bytes(done[place : place + 8], "little")
        ended = int.from_bytes(done[place + 8 : place + 16], "little")
        return ended, begun

    running = [start() for _ in range(PROCESSES)]
    started = list(running)
    try:
        last = 0
        for _ in range(PROCESSES * (ROUNDS - 1)):
            pid, place = running.pop(random.randrange(len(running)))
            while counted(place)[0] < LEAST + random.randrange(LEAST):
                used = slots[0].totals()["used"]
                assert used >= last
                last = used
            [column] = [process.column for process in table.processes() if process.pid == pid]
            end(pid)
            assert table.clear_process(pid)
            # Whoever probes now lives.
            assert table.prober != column
            running.append(start())
            started.append(running[-1])
        while any(counted(place)[0] < LEAST for _, place in running):
            pass
    finally:
        for pid, _ in running:
            end(pid)
    for pid, _ in running:
        table.clear_process(pid)
    # Each was killed somewhere: the one count it was at may be there or not, nothing else.
    least = sum(counted(place)[0] for _, place in started)
    most = sum(counted(place)[1] for _, place in started)
    assert most - least <= len(started)
    for slot in slots:
        totals = slot.totals()
        assert least <= totals["used"] <= most
        assert least <= totals.duration.total <= most
        assert 3 * least <= totals["bytes_in"] <= 3 * most
        assert 2 * least <= slot.reads <= 2 * most
        assert (slot.in_flight, slot.waiting, slot.idle) == (0, 0, 0)
        assert 0 < slot.sessions_in(360, 60.0 * 8) <= SESSIONS + 2
    assert (table.processes(), table.prober) == ([], None)


def test_shared_words_lose_nothing(table: Table) -> None:
    # No process is killed: every count is one that both had to make.
    slots = [table.member("lb", name, "h:1") for name in "ab"]
    balancer = table.balancer("lb")

    def work() -> None:
        column = table.claim_process()
        store = TableStore(balancer, slots, column)
        lb = Balancer([Member(name=name) for name in "ab"], Settings(maintain_s=0), store=store)
        for _ in range(500):
            choice = lb.elect(None, 1.0)
            assert isinstance(choice, Choice)
            lb.begin(choice)
            lb.end(choice, Outcome.OK, 1.0)
        os._exit(7)

    pids = [child(work) for _ in range(4)]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [7] * 4
    found = [slot.snapshot() for slot in slots]
    assert sum(one.elected for one in found) == sum(one.value for one in found) == 2000
    assert [one.in_flight for one in found] == [0, 0]
    assert all(1 <= one.max_in_flight <= 4 for one in found)


def test_no_process_ever_sees_half_a_config(table: Table) -> None:
    slot = table.member("lb", "a", "h:1")
    texts = ("route", "domain", "redirect")

    def write() -> None:
        mine = Table.attach(table.path, writable=True).member("lb", "a", "h:1")
        number = 0
        while True:
            number += 1
            text = str(number) * 5
            mine.configure(lbfactor=number, distance=number, **dict.fromkeys(texts, text))

    writers = [child(write) for _ in range(2)]
    seen = set()
    try:
        while len(seen) < 300:
            sequence, found = slot.pull()
            if found:
                number = found["lbfactor"]
                text = str(number) * 5
                assert found == {
                    "lbfactor": number, "distance": number, **dict.fromkeys(texts, text)
                }  # fmt: skip
                seen.add(sequence)
    finally:
        # Killed wherever they are, with the lock or without.
        for pid in writers:
            end(pid)
    before = slot.sequence
    slot.configure(lbfactor=1)
    assert slot.pull()[1]["lbfactor"] == 1
    assert slot.sequence == before + 1
