"""The wheel of deadlines against a model that is obviously right, and the timer that turns it."""

import asyncio
import gc
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ajp._wheel import Timed, Wheel
from ajp.timers import TICK, Timers
from tests.unit.support import both_loops

#: Binary fractions, so that sums of times are exact.
A_TICK = 0.125


class Note(Timed):
    """Writes down when it was called."""

    def __init__(self) -> None:
        self.calls: list[float] = []

    def on_deadline(self, now: float) -> None:
        self.calls.append(now)


class WheelAgainstModel(RuleBasedStateMachine):
    """The model is a dict of deadlines: due is what lies in the past, a tick late at most."""

    @initialize(start=st.integers(0, 10000), buckets=st.integers(2, 20))
    def begin(self, start: int, buckets: int) -> None:
        self.now = start * A_TICK
        self.wheel = Wheel(self.now, tick=A_TICK, buckets=buckets)
        self.notes = [Note() for _ in range(6)]
        self.model: dict[int, float] = {}
        self.armed_at: dict[int, float] = {}

    @rule(number=st.integers(0, 5), ahead=st.integers(-16, 200))
    def arm(self, number: int, ahead: int) -> None:
        deadline = self.now + ahead * A_TICK / 8
        self.wheel.set(self.notes[number], deadline)
        self.model[number] = deadline
        self.armed_at[number] = self.now
        if deadline <= 0:
            del self.model[number]

    @rule(number=st.integers(0, 5))
    def disarm(self, number: int) -> None:
        self.wheel.set(self.notes[number], 0.0)
        self.model.pop(number, None)

    @rule(eighths=st.integers(0, 300))
    def advance(self, eighths: int) -> None:
        self.now += eighths * A_TICK / 8
        due = {self.notes.index(note) for note in self.wheel.advance(self.now)}  # type: ignore[arg-type]
        for number in due:
            assert self.model.pop(number) <= self.now, "early"
            assert self.notes[number].deadline == 0.0
        for number, deadline in self.model.items():
            # Who was armed for the past waits for the next tick.
            since = max(deadline, self.armed_at[number])
            assert since > self.now - A_TICK, "more than a tick late"

    @invariant()
    def same_deadlines(self) -> None:
        if hasattr(self, "wheel"):
            assert self.wheel.armed == len(self.model)
            for number, note in enumerate(self.notes):
                assert note.deadline == self.model.get(number, 0.0)


TestWheelAgainstModel = WheelAgainstModel.TestCase


def test_never_early_and_a_tick_late_at_most() -> None:
    wheel = Wheel(0.0, tick=0.1, buckets=4)
    notes = [Note() for _ in range(30)]
    for i, note in enumerate(notes):
        wheel.set(note, 0.05 + i * 0.07)
    for step in range(1, 50):
        now = step * 0.05
        for note in wheel.advance(now):
            due = 0.05 + notes.index(note) * 0.07  # type: ignore[arg-type]
            assert due <= now <= due + 0.1 + 0.05 + 1e-9
    assert wheel.armed == 0


def test_moving_a_deadline_later_and_sooner() -> None:
    wheel, note = Wheel(0.0, tick=0.1), Note()
    wheel.set(note, 1.0)
    wheel.set(note, 2.0)
    assert wheel.advance(1.5) == []
    wheel.set(note, 1.6)
    assert wheel.advance(1.8) == [note]
    assert wheel.armed == 0


def test_an_object_may_change_its_wheel() -> None:
    first, second, note = Wheel(0.0), Wheel(0.0), Note()
    first.set(note, 1.0)
    second.set(note, 1.0)
    assert (first.armed, second.armed) == (0, 1)
    assert second.advance(2.0) == [note]


def test_armed_objects_are_borrowed() -> None:
    wheel = Wheel(0.0)
    wheel.set(Note(), 1.0)
    gc.collect()
    assert wheel.armed == 0
    note = Note()
    wheel.set(note, 1.0)
    del wheel
    gc.collect()
    assert note.deadline == 1.0
    Wheel(0.0).set(note, 0.0)
    assert note.deadline == 0.0


@given(st.floats(max_value=0.0))
def test_tick_that_cannot_be(tick: float) -> None:
    with pytest.raises(ValueError, match="tick"):
        Wheel(0.0, tick=tick)


def test_one_bucket_is_no_wheel() -> None:
    with pytest.raises(ValueError, match="buckets"):
        Wheel(0.0, buckets=1)


def test_first_object_starts_the_clock() -> None:
    starts: list[int] = []
    wheel, note = Wheel(0.0, on_first=lambda: starts.append(1)), Note()
    wheel.set(note, 1.0)
    wheel.set(note, 0.5)
    wheel.set(Note(), 1.0)
    wheel.set(note, 0.0)
    assert len(starts) >= 1


def test_deadline_without_a_listener() -> None:
    timed = Timed()
    timed.on_deadline(1.0)
    assert timed.deadline == 0.0


@both_loops
async def test_timers_call_who_is_due(caplog: pytest.LogCaptureFixture) -> None:
    class Fails(Timed):
        def on_deadline(self, now: float) -> None:
            raise RuntimeError("cannot")

    class Wakes(Timed):
        def on_deadline(self, now: float) -> None:
            woken.set()

    loop = asyncio.get_running_loop()
    timers, woken, fails, wakes = Timers(loop), asyncio.Event(), Fails(), Wakes()
    started = loop.time()
    timers.set(fails, 0.05)
    timers.set(wakes, 0.06)
    with caplog.at_level(logging.ERROR, "ajp.timers"):
        await woken.wait()
    assert 0.06 <= loop.time() - started < 0.06 + 4 * TICK
    assert "cannot" in caplog.text
    timers.close()


@both_loops
async def test_closed_timers_call_nobody() -> None:
    timers, note = Timers(asyncio.get_running_loop()), Note()
    timers.set(note, 0.01)
    timers.close()
    timers.close()
    await asyncio.sleep(0.02)
    assert note.calls == []
