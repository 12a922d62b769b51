"""Who probes, when it asks, and what it makes of answers; here a test gives the answers."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ajp._column import Column
from ajp.errors import Reason
from ajp.lb import Probing, State
from ajp.probe import ProbeRequest, ProbeResult
from ajp.snapshot import ProbeState
from ajp.table import private_memory
from ajp.timers import Timers
from ajp.worker import Worker, WorkerSettings
from ajpd import prober
from ajpd.balancing import make_group
from ajpd.config.errors import Place
from ajpd.config.model import (
    BalancerConfig,
    Config,
    MemberConfig,
    ProbeConfig,
    ServerConfig,
    WorkerConfig,
)
from ajpd.ledger import Ledger
from ajpd.prober import LOOK_EVERY, Prober
from ajpd.targets import make_target, worker_settings
from tests.faults.stage import SERVER, WORKER
from tests.unit.support import both_loops


class FakeProbe:
    """Takes note of questions; a test gives the answers."""

    made: list["FakeProbe"]

    def __init__(
        self,
        name: str,
        settings: WorkerSettings,
        *,
        timeout: float,
        on_result: Callable[[ProbeResult], None],
        request: ProbeRequest | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self.request = request
        self.asked_at = 0.0
        self.questions = 0
        self.is_closed = False
        self._on_result = on_result
        self.made.append(self)

    def ask(self) -> None:
        if not self.asked_at:
            self.questions += 1
            self.asked_at = 1.0

    def look(self, now: float) -> None:
        pass

    def change(self, settings: WorkerSettings) -> None:
        self.settings = settings

    async def aclose(self) -> None:
        self.is_closed = True

    def answer(self, reason: Reason | None = None, *, keeps_asking: bool = False) -> None:
        if not keeps_asking:
            self.asked_at = 0.0
        self._on_result(ProbeResult(reason=reason, rtt=0.002, error="words"))


class Stage:
    """Probers of several processes in one table, and a clock."""

    def __init__(self, config: Config, processes: int) -> None:
        self.now = 1000.0
        self.memory = private_memory(slots=16, columns=processes)
        self.timers = Timers(asyncio.get_running_loop())
        self.probers: list[Prober] = []
        self.stopped: list[Prober] = []
        self.workers: list[dict[str, Worker]] = []
        self.columns: list[Column] = []
        for _ in range(processes):
            column = Column(self.memory, self.memory.claim(pid=os.getpid(), started=0))
            ledger = Ledger.enter(self.memory, config, column=column)
            workers = {
                name: Worker(
                    name,
                    worker_settings(each),
                    self.timers,
                    slot=ledger.workers[name],
                    column=column,
                )
                for name, each in config.containers.items()
            }
            targets = {
                name: make_target(config.containers[name], worker, ledger.workers[name])
                for name, worker in workers.items()
            }
            groups = {
                name: make_group(each, targets, ledger) for name, each in config.balancers.items()
            }
            self.ledger, self.groups = ledger, groups
            self.columns.append(column)
            self.workers.append(workers)
            self.probers.append(Prober(config, ledger, workers, groups))

    def look(self, seconds: float = LOOK_EVERY) -> None:
        """Let time pass, a look at a time."""
        for _ in range(max(round(seconds / LOOK_EVERY), 1)):
            self.now += LOOK_EVERY
            for each in self.probers:
                if each not in self.stopped:
                    self.beat(each)
                    each.look(self.now)

    def beat(self, process: Prober) -> None:
        """As its upkeep does, now and then."""
        column = process._ledger.column
        assert column is not None
        column.heartbeat(round(self.now * 1e9))

    @property
    def probe(self) -> FakeProbe:
        return FakeProbe.made[0]

    def slot(self, name: str = "a") -> Any:
        return self.ledger.workers[name]

    def found(self, name: str = "a") -> ProbeState:
        state: ProbeState = self.slot(name).probe_state
        return state

    def state(self, balancer: str = "lb", member: int = 0) -> State:
        return State(self.groups[balancer].balancer.records[member].state)

    def hear(self, process: int = 0) -> None:
        """Bytes of the container come to a process."""
        self.columns[process].counted(self.slot(), "reads")


def configuration(*, balancers: int = 1, **probe: Any) -> Config:
    how = ProbeConfig(**{"kind": "cping", **probe})
    workers = [
        WorkerConfig(**{**WORKER, "name": name, "port": 8009, "probe": how}) for name in "ab"
    ]
    members = tuple(MemberConfig(name=each.name, worker=each, route=each.name) for each in workers)
    made = [
        BalancerConfig(name=name, members=members, place=Place("test"))
        for name in ("lb", "other")[:balancers]
    ]
    return Config(
        server=ServerConfig(**SERVER),
        workers={} if balancers else {each.name: each for each in workers},
        balancers={each.name: each for each in made},
    )


@asynccontextmanager
async def stage(*, processes: int = 1, **options: Any) -> AsyncIterator[Stage]:
    FakeProbe.made = []
    patch = pytest.MonkeyPatch()
    patch.setattr(prober, "Probe", FakeProbe)
    patch.setattr(prober, "monotonic", lambda: made.now if FakeProbe.made else 1000.0)
    made = Stage(configuration(**options), processes)
    try:
        yield made
    finally:
        for each in made.probers:
            await each.aclose()
        for workers in made.workers:
            for worker in workers.values():
                await worker.aclose()
        made.timers.close()
        patch.undo()
        assert all(each.is_closed for each in FakeProbe.made)


@both_loops
async def test_one_process_of_all_probes() -> None:
    async with stage(processes=3) as made:
        made.look()
        assert [each.is_probing for each in made.probers] == [True, False, False]
        assert made.memory.prober == made.columns[0].number
        assert [each.name for each in FakeProbe.made] == ["a", "b"]
        assert repr(made.probers[0]) == "<Prober probes containers=2>"
        assert repr(made.probers[1]) == "<Prober listens containers=2>"
        # It drains.
        made.probers[0].retire()
        made.look()
        assert [each.is_probing for each in made.probers] == [False, True, False]
        # It is killed, and its column cleared.
        made.memory.clear_column(made.columns[1].number)
        killed = made.probers.pop(1)
        made.look()
        assert [each.is_probing for each in made.probers] == [False, True]
        await asyncio.sleep(0)
        assert [each.is_closed for each in FakeProbe.made] == [True] * 2 + [False] * 4
        await killed.aclose()


async def test_a_process_that_stands_still_loses_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with stage(processes=2) as made:
        first, second = made.probers
        made.look(10.0)
        assert (first.is_probing, second.is_probing) == (True, False)
        made.stopped.append(first)
        made.look(prober.LOST_AFTER - 0.2)
        assert not second.is_probing
        made.look(0.4)
        assert second.is_probing
        assert made.memory.prober == made.columns[1].number
        assert caplog.text.count("stands still: another one probes now") == 1
        # It wakes up, and sees that it is late.
        made.stopped.clear()
        made.look(10.0)
        assert (first.is_probing, second.is_probing) == (False, True)


async def test_who_stood_still_itself_takes_nobody_for_lost() -> None:
    async with stage(processes=2) as made:
        first, second = made.probers
        made.look(1.0)
        made.now += 60.0
        second.look(made.now)
        made.look(1.0)
        assert (first.is_probing, second.is_probing) == (True, False)


@both_loops
async def test_one_question_each_interval() -> None:
    async with stage(interval_ms=1000) as made:
        made.look()
        assert made.probe.questions == 1
        made.probe.answer()
        assert made.found() is ProbeState.ANSWERS
        assert made.slot().snapshot().probe_rtt_s == 0.002
        made.look(0.9)
        assert made.probe.questions == 1
        made.look(0.2)
        assert made.probe.questions == 2
        totals = made.slot().totals().counters
        assert (totals["probes"], totals["probe_failures"]) == (1, 0)


@both_loops
async def test_silence_and_an_unanswered_cping_make_frozen() -> None:
    async with stage(freeze_timeout_ms=1000) as made:
        made.look()
        made.look(0.9)
        assert made.found() is ProbeState.NONE
        made.look(0.2)
        assert made.found() is ProbeState.FROZEN
        assert made.state() is State.ERROR
        assert made.slot().snapshot().last_reason is Reason.FROZEN
        made.probe.answer()
        assert made.found() is ProbeState.ANSWERS
        assert made.state() is State.IDLE


@both_loops
async def test_a_byte_to_any_process_is_a_sign_of_life() -> None:
    async with stage(processes=2, freeze_timeout_ms=1000) as made:
        made.look()
        for number in range(20):
            made.look(0.8)
            made.hear(number % 2)
        assert made.found() is ProbeState.NONE
        made.look(1.2)
        assert made.found() is ProbeState.FROZEN


@both_loops
async def test_long_silence_before_the_question_is_none() -> None:
    async with stage(freeze_timeout_ms=1000, interval_ms=60_000) as made:
        made.look()
        made.probe.answer()
        made.look(30.0)
        made.probe.ask()
        made.look(0.9)
        assert made.found() is ProbeState.ANSWERS
        made.look(0.2)
        assert made.found() is ProbeState.FROZEN


@both_loops
async def test_time_in_which_nobody_looked_does_not_count() -> None:
    async with stage(freeze_timeout_ms=1000) as made:
        made.look()
        for _ in range(3):
            made.now += 60.0
            made.look()
        assert made.found() is ProbeState.NONE
        made.look(0.6)
        assert made.found() is ProbeState.FROZEN


@both_loops
async def test_requests_that_hear_nothing_have_it_asked_at_once() -> None:
    async with stage(interval_ms=60_000) as made:
        made.look()
        made.probe.answer()
        made.look(2.0)
        assert made.probe.questions == 1
        made.columns[0].begun(made.slot())
        made.look()
        assert made.probe.questions == 2
        made.probe.answer()
        made.look(0.2)
        assert made.probe.questions == 2
        made.look(0.2)
        assert made.probe.questions == 3
        made.probe.answer()
        for _ in range(5):
            made.hear()
            made.look(0.2)
        assert made.probe.questions == 3
        made.columns[0].ended(made.slot())


@both_loops
@pytest.mark.parametrize(
    ("reason", "freeze_ms", "heard", "fails"),
    [
        (Reason.CONNECT_REFUSED, 5000, True, True),
        (Reason.CONNECT_REFUSED, 0, True, True),
        (Reason.PROTOCOL_ERROR, 5000, True, True),
        (Reason.CONNECT_TIMEOUT, 5000, True, False),
        (Reason.CONNECT_TIMEOUT, 5000, False, True),
        (Reason.CPING_TIMEOUT, 0, True, False),
        (Reason.CPING_TIMEOUT, 0, False, True),
        (Reason.CPING_TIMEOUT, 5000, False, False),
    ],
)
async def test_what_fails(reason: Reason, freeze_ms: int, heard: bool, fails: bool) -> None:
    async with stage(freeze_timeout_ms=freeze_ms, timeout_ms=2000) as made:
        made.look()
        made.look(2.0)
        if heard:
            made.hear()
            made.look()
        made.probe.answer(reason, keeps_asking=True)
        assert made.found() is (ProbeState.FAILS if fails else ProbeState.NONE)
        assert made.state() is (State.ERROR if fails else State.IDLE)
        assert made.slot().totals().counters["probe_failures"] == int(fails)


@both_loops
async def test_a_connection_in_vain_leaves_it_frozen() -> None:
    async with stage(freeze_timeout_ms=1000) as made:
        made.look(1.2)
        assert made.found() is ProbeState.FROZEN
        made.probe.answer(Reason.CONNECT_TIMEOUT, keeps_asking=True)
        assert made.found() is ProbeState.FROZEN
        # Somebody killed it.
        made.probe.answer(Reason.CONNECT_REFUSED)
        assert made.found() is ProbeState.FAILS


@both_loops
async def test_forced_members_of_a_frozen_container_fail_again() -> None:
    async with stage(freeze_timeout_ms=1000, interval_ms=500) as made:
        made.look(1.2)
        made.groups["lb"].balancer._force(None)
        assert made.state() is State.FORCE
        made.look(0.6)
        assert made.state() is State.ERROR


@both_loops
async def test_a_container_of_several_balancers_is_probed_once() -> None:
    async with stage(balancers=2) as made:
        made.look()
        assert len(FakeProbe.made) == 2
        made.probe.answer(Reason.CONNECT_REFUSED)
        assert [made.state(name) for name in ("lb", "other")] == [State.ERROR] * 2
        assert made.state("lb", 1) is State.IDLE
        made.probe.answer()
        assert [made.state(name) for name in ("lb", "other")] == [State.IDLE] * 2


@both_loops
async def test_a_page_decides_where_there_is_one() -> None:
    async with stage(kind="request", uri="/up", statuses=((200, 200),)) as made:
        made.look()
        ping, page = FakeProbe.made[:2]
        assert (ping.request, page.request) == (
            None,
            ProbeRequest(uri="/up", statuses=((200, 200),)),
        )
        assert made.groups["lb"].balancer.members[0].probing is Probing.REQUEST
        ping.answer()
        assert made.found() is ProbeState.NONE
        page.answer(Reason.FAIL_ON_STATUS)
        assert made.found() is ProbeState.FAILS
        assert made.state() is State.ERROR
        ping.answer()
        assert made.found() is ProbeState.FAILS
        page.answer()
        assert made.found() is ProbeState.ANSWERS
        assert made.state() is State.IDLE


@both_loops
async def test_a_page_after_it_was_frozen() -> None:
    async with stage(kind="request", uri="/up", freeze_timeout_ms=1000) as made:
        made.look()
        ping, page = FakeProbe.made[:2]
        page.answer()
        made.look(1.2)
        assert made.found() is ProbeState.FROZEN
        page.answer(Reason.REPLY_TIMEOUT)
        assert made.found() is ProbeState.FROZEN
        questions = page.questions
        ping.answer()
        assert page.questions == questions + 1
        made.look()
        page.answer()
        assert made.found() is ProbeState.ANSWERS


@both_loops
async def test_it_follows_a_worker_elsewhere() -> None:
    async with stage() as made:
        made.look()
        worker = made.workers[0]["a"]
        worker.change(WorkerSettings(host="127.0.0.1", port=9009))
        made.look()
        assert made.probe.settings.port == 9009


@both_loops
async def test_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ajpd")
    async with stage(balancers=0, freeze_timeout_ms=1000) as made:
        made.look()
        for reason in (None, Reason.CONNECT_REFUSED, Reason.CONNECT_REFUSED):
            made.probe.answer(reason)
        made.now += 5.0
        made.probe.answer()
    assert [record.getMessage() for record in caplog.records] == [
        "worker=a reason=connect_refused: words; it is in no balancer, so nobody else can have its "
        "requests",
        "worker=a answers after 5.0 s",
    ]


@both_loops
async def test_a_look_that_fails_is_not_the_last(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage() as made:

        def wrong(_: float) -> None:
            raise RuntimeError("of a test")

        monkeypatch.setattr(made.probers[0], "look", wrong)
        made.probers[0].start()
        assert made.probers[0]._timer is not None
    assert "looking after the containers failed" in caplog.text


@both_loops
async def test_nobody_to_look_after() -> None:
    async with stage(kind="off") as made:
        made.probers[0].start()
        made.look()
        assert FakeProbe.made == []
        assert made.probers[0]._timer is None
