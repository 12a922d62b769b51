"""Decisions about endpoints: never too many, first come first served, everything comes back."""

import math
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ajp._pool import CONNECT, WAIT, Decision, Pool


class PoolMachine(RuleBasedStateMachine):
    """Endpoints and waiters are numbers; the model is who waits, and what is out."""

    @initialize(size=st.integers(1, 4), min_size=st.integers(0, 2))
    def begin(self, size: int, min_size: int) -> None:
        self.pool: Pool[int, int] = Pool(
            size=size, min_size=min_size, idle_timeout=10.0, ping_interval=4.0
        )
        self.asked: list[int] = []
        self.since: dict[int, float] = {}
        self.heard: dict[int, float] = {}
        self.now = 0.0
        self.number = 0
        self.queue: list[int] = []
        self.deadlines: dict[int, float] = {}
        self.busy: list[int] = []
        self.idle: list[int] = []
        self.connecting = 0

    def served(self, waiter: int | None, endpoint: int) -> None:
        """An endpoint was offered: the first of the queue has it, or it is idle."""
        if self.queue:
            assert waiter == self.queue.pop(0)
            self.busy.append(endpoint)
        else:
            assert waiter is None
            self.idle.append(endpoint)
            self.since[endpoint] = self.heard[endpoint] = self.now

    @rule()
    def acquire(self) -> None:
        self.number += 1
        self.deadlines[self.number] = self.now + 5.0
        found = self.pool.acquire(self.number, self.now + 5.0)
        if self.idle and not self.queue:
            assert found == self.idle.pop()
            self.busy.append(found)  # type: ignore[arg-type]
            return
        self.queue.append(self.number)
        may_connect = self.connecting < len(self.queue) and self.open < self.pool.size
        assert found is (CONNECT if may_connect else WAIT)
        self.connecting += may_connect

    @property
    def open(self) -> int:
        return len(self.busy) + len(self.idle) + len(self.asked) + self.connecting

    @precondition(lambda self: self.connecting)
    @rule()
    def connected(self) -> None:
        self.number += 1
        self.connecting -= 1
        self.served(self.pool.connected(self.number, self.now), self.number)

    @precondition(lambda self: self.connecting)
    @rule()
    def connect_failed(self) -> None:
        self.connecting -= 1
        assert self.pool.connect_failed() == (self.queue.pop(0) if self.queue else None)
        self.connect_more()

    def connect_more(self) -> None:
        while self.pool.wants_connection():
            self.connecting += 1

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        endpoint = data.draw(st.sampled_from(self.busy))
        self.busy.remove(endpoint)
        self.served(self.pool.release(endpoint, self.now), endpoint)

    @rule()
    def ask(self) -> None:
        silent = [each for each in self.idle if self.heard[each] + 4.0 <= self.now]
        assert self.pool.silent(self.now) == silent
        self.asked += silent
        self.idle = [each for each in self.idle if each not in silent]

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def answered(self, data: st.DataObject) -> None:
        endpoint = data.draw(st.sampled_from(self.asked))
        self.asked.remove(endpoint)
        waiter = self.pool.release(endpoint, self.now)
        if self.queue:
            assert waiter == self.queue.pop(0)
            self.busy.append(endpoint)
            return
        assert waiter is None
        self.heard[endpoint] = self.now
        # It is as old as it was.
        younger = sum(self.since[each] > self.since[endpoint] for each in self.idle)
        self.idle.insert(len(self.idle) - younger, endpoint)

    @precondition(lambda self: self.busy or self.idle or self.asked)
    @rule(data=st.data())
    def lost(self, data: st.DataObject) -> None:
        endpoint = data.draw(st.sampled_from(self.busy + self.idle + self.asked))
        for group in (self.busy, self.idle, self.asked):
            if endpoint in group:
                group.remove(endpoint)
        self.pool.lost(endpoint)
        self.connect_more()

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self.queue))
        self.queue.remove(waiter)
        assert self.pool.give_up(waiter)
        assert not self.pool.give_up(waiter)

    @rule(seconds=st.sampled_from([0.5, 3.0, 11.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        late = [waiter for waiter in self.queue if self.deadlines[waiter] <= self.now]
        assert self.pool.overdue(self.now) == late
        self.queue = [waiter for waiter in self.queue if waiter not in late]
        for endpoint in self.pool.expired(self.now):
            assert endpoint == self.idle.pop(0)
        assert self.pool.idle >= min(self.pool.min_size, len(self.idle))

    @invariant()
    def counts_are_right(self) -> None:
        if not hasattr(self, "pool"):
            return
        pool = self.pool
        assert (pool.idle, pool.busy) == (len(self.idle), len(self.busy))
        assert (pool.connecting, pool.waiting) == (self.connecting, len(self.queue))
        assert pool.open == self.open <= pool.size
        assert sorted(pool.busy_endpoints) == sorted(self.busy)
        assert all(pool.is_busy(endpoint) for endpoint in self.busy)
        assert sorted(pool.endpoints) == sorted(self.busy + self.idle + self.asked)
        times = [self.heard[endpoint] + 4.0 for endpoint in self.idle]
        if len(self.idle) > pool.min_size:
            times.append(self.since[self.idle[0]] + 10.0)
        assert pool.next_care == min(times, default=None)
        first = self.deadlines[self.queue[0]] if self.queue else None
        assert pool.next_deadline == first

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        if getattr(self, "queue", None):
            assert self.busy or self.connecting or self.asked
            assert not self.idle

    def teardown(self) -> None:
        """Everybody gives back: nothing stays busy."""
        if not hasattr(self, "pool"):
            return
        for waiter in self.queue:
            self.pool.give_up(waiter)
        for endpoint in self.busy:
            self.pool.release(endpoint, self.now)
        assert self.pool.busy == 0
        idle, waiting = self.pool.drain()
        assert sorted(idle) == sorted(self.idle + self.asked + self.busy)
        assert waiting == []


TestPoolMachine = PoolMachine.TestCase


def pool(**options: Any) -> Pool[str, str]:
    return Pool(**{"size": 2, **options})


def test_a_pool_needs_room() -> None:
    with pytest.raises(ValueError, match="room"):
        pool(size=0)


def test_last_in_first_out() -> None:
    pool_ = pool()
    for waiter in ("v", "w"):
        assert pool_.acquire(waiter, 1.0) is CONNECT
    assert [pool_.connected(name, 0.0) for name in ("a", "b")] == ["v", "w"]
    assert [pool_.release(name, 0.0) for name in ("b", "a")] == [None, None]
    assert pool_.acquire("w", 1.0) == "a"
    assert repr(pool_) == "<Pool idle=1 busy=1 connecting=0 waiting=0 size=2>"


def test_queue_is_served_in_order() -> None:
    pool_ = pool(size=1)
    assert pool_.acquire("first", 1.0) is CONNECT
    assert pool_.acquire("second", 1.0) is WAIT
    assert pool_.acquire("third", 1.0) is WAIT
    assert pool_.connected("a", 0.0) == "first"
    assert pool_.release("a", 0.0) == "second"
    assert pool_.release("a", 0.0) == "third"
    assert pool_.release("a", 0.0) is None


def test_nothing_expires_without_a_timeout() -> None:
    pool_ = pool()
    pool_.acquire("w", 1.0)
    pool_.connected("a", 0.0)
    pool_.release("a", 0.0)
    assert pool_.expired(math.inf) == []


def test_nobody_is_asked_without_an_interval() -> None:
    pool_ = pool()
    pool_.acquire("w", 1.0)
    pool_.connected("a", 0.0)
    pool_.release("a", 0.0)
    assert pool_.silent(math.inf) == []
    assert pool_.next_care is None


def test_drain_gives_everything_away() -> None:
    pool_ = pool(size=1)
    pool_.acquire("first", 1.0)
    pool_.acquire("second", 1.0)
    pool_.connected("a", 0.0)
    assert pool_.drain() == ([], ["second"])
    assert pool_.release("a", 0.0) is None
    assert pool_.drain() == (["a"], [])
    assert pool_.next_deadline is None


def test_decisions_are_no_endpoints() -> None:
    assert {Decision.CONNECT, Decision.WAIT} == {CONNECT, WAIT}
