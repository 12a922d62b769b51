"""What probes say about members, and the share of those that came back."""

from collections import Counter

import pytest

from ajp.lb import Balancer, Event, Member, Method, Outcome, Probing, State
from tests.unit.lb.stage import attempt, balancer, elect, put_state, state, states, values

pytestmark = pytest.mark.usefixtures("kind_of_store")

ACCUMULATING = [method for method in Method if method.accumulates]


def probed(probing: Probing = Probing.CPING, **settings: object) -> Balancer:
    return balancer(*(Member(name=name, probing=probing) for name in ("n1", "n2")), **settings)


def fail(lb: Balancer, outcome: Outcome, *, now: float = 5.0) -> None:
    """Have the first member fail a request."""
    choice = elect(lb, tried=0b10, now=now)
    lb.begin(choice)
    lb.end(choice, outcome, now)
    assert state(lb, 0) is State.ERROR


def probe(lb: Balancer, now: float, *, is_good: bool) -> bool:
    return lb.note_probe(0, now, is_good=is_good)


LOST = (Outcome.CONNECT_FAILED, Outcome.LOST)
BAD_ANSWERS = (Outcome.HARD_STATUS, Outcome.REPLY_TIMEOUT)


@pytest.mark.parametrize(
    ("probing", "outcome", "comes_back"),
    [
        *((Probing.OFF, outcome, False) for outcome in (*LOST, *BAD_ANSWERS)),
        *((Probing.CPING, outcome, True) for outcome in LOST),
        *((Probing.CPING, outcome, False) for outcome in BAD_ANSWERS),
        *((Probing.REQUEST, outcome, True) for outcome in (*LOST, *BAD_ANSWERS)),
    ],
)
def test_who_comes_back_by_a_good_probe(
    probing: Probing, outcome: Outcome, comes_back: bool
) -> None:
    lb = probed(probing)
    fail(lb, outcome)
    assert probe(lb, 6.0, is_good=True) is comes_back
    assert states(lb) == ["OK/IDLE" if comes_back else "ERR", "OK/IDLE"]
    record = lb.records[0]
    assert (record.returned, record.last_error) == ((6.0, 0.0) if comes_back else (0.0, 5.0))
    assert not record.is_awaited
    assert probe(lb, 7.0, is_good=True) is False


@pytest.mark.parametrize("before", [state for state in State if state is not State.ERROR])
def test_a_bad_probe_makes_it_fail_at_once(before: State) -> None:
    lb = probed()
    put_state(lb, 0, before)
    lb.take_changes()
    assert probe(lb, 5.0, is_good=False)
    assert state(lb, 0) is State.ERROR
    record = lb.records[0]
    assert (record.last_error, record.errors) == (5.0, 1)
    [change] = lb.take_changes()
    assert (change.before, change.after, change.event) == (
        before,
        State.ERROR,
        Event.FOUND_DEAD,
    )
    assert elect(lb, now=5.0).name == "n2"
    assert probe(lb, 6.0, is_good=True)
    assert state(lb, 0) is State.IDLE


def test_further_bad_probes_are_later_errors() -> None:
    lb = probed(recover_time_s=10, maintain_s=1)
    lb.maintain(1.0)
    probe(lb, 5.0, is_good=False)
    for now in range(6, 60):
        assert probe(lb, float(now), is_good=False) is False
        lb.maintain(float(now))
    # As long as somebody probes no request is sacrificed.
    assert state(lb, 0) is State.ERROR
    assert (lb.records[0].errors, lb.records[0].last_error) == (1, 59.0)
    # Whoever probed is gone: it is as if nobody ever had.
    lb.maintain(68.5)
    assert state(lb, 0) is State.ERROR
    lb.maintain(69.6)
    assert state(lb, 0) is State.RECOVER
    assert probe(lb, 71.0, is_good=True)
    assert state(lb, 0) is State.IDLE


def test_bad_status_and_then_found_dead() -> None:
    lb = probed()
    fail(lb, Outcome.HARD_STATUS)
    assert probe(lb, 6.0, is_good=False) is False
    # It went away after that: when it is there again it is another one.
    assert probe(lb, 7.0, is_good=True)


def test_lost_and_then_a_bad_status() -> None:
    lb = probed()
    probe(lb, 5.0, is_good=False)
    lb._force(None)
    attempt(lb, outcome=Outcome.HARD_STATUS, now=6.0, how={"tried": 0b10})
    assert probe(lb, 7.0, is_good=True) is False


def test_garbage_of_one_that_is_tried() -> None:
    for probing, comes_back in ((Probing.CPING, False), (Probing.REQUEST, True)):
        lb = probed(probing)
        put_state(lb, 0, State.FORCE)
        attempt(lb, outcome=Outcome.PROTOCOL_ERROR, now=6.0, how={"tried": 0b10})
        assert state(lb, 0) is State.ERROR
        assert probe(lb, 7.0, is_good=True) is comes_back


def test_escalated_errors() -> None:
    lb = probed(error_escalation_time_s=10, maintain_s=1)
    lb.maintain(1.0)
    first, second = elect(lb, tried=0b10), elect(lb, tried=0b10)
    lb.begin(first)
    lb.begin(second)
    lb.end(first, Outcome.LOST, 2.0)
    assert state(lb, 0) is State.OK
    assert probe(lb, 3.0, is_good=True) is False
    lb.maintain(12.0)
    assert state(lb, 0) is State.ERROR
    assert probe(lb, 13.0, is_good=True)


def test_forced_member_is_found_alive() -> None:
    lb = probed()
    probe(lb, 5.0, is_good=False)
    lb._force(None)
    assert state(lb, 0) is State.FORCE
    assert probe(lb, 6.0, is_good=True)
    assert state(lb, 0) is State.IDLE


def test_forced_member_is_found_dead() -> None:
    lb = probed()
    probe(lb, 5.0, is_good=False)
    lb._force(None)
    assert probe(lb, 6.0, is_good=False)
    assert state(lb, 0) is State.ERROR


@pytest.mark.parametrize("method", ACCUMULATING)
def test_it_comes_back_without_an_advantage(method: Method) -> None:
    lb = probed(method=method)
    for _ in range(8):
        attempt(lb, bytes_in=100)
    probe(lb, 5.0, is_good=False)
    for _ in range(20):
        assert attempt(lb, bytes_in=100, now=5.0) == "n2"
    probe(lb, 6.0, is_good=True)
    assert values(lb)[0] == values(lb)[1]
    seen = Counter(attempt(lb, bytes_in=100, now=6.0) for _ in range(20))
    assert seen == {"n1": 10, "n2": 10}


@pytest.mark.parametrize("method", ACCUMULATING)
def test_slow_start_of_sums(method: Method) -> None:
    lb = probed(method=method, slow_start_s=10)
    probe(lb, 1.0, is_good=False)
    probe(lb, 100.0, is_good=True)
    for age, share in ((0.0, 1), (1.0, 1), (2.0, 2), (5.0, 5), (10.0, 10), (50.0, 10)):
        for record in lb.records:
            record.value = 0
        lb.store.offset = 1
        seen = Counter(
            attempt(lb, now=100.0 + age, bytes_in=1000) for _ in range(10 * (10 + share))
        )
        assert seen["n1"] == pytest.approx(10 * share, abs=2)


@pytest.mark.parametrize("method", [Method.BUSYNESS, Method.P2C])
def test_slow_start_of_what_is_under_way(method: Method) -> None:
    for age, share in ((0.0, 1), (2.0, 2), (5.0, 5), (10.0, 10)):
        lb = probed(method=method, slow_start_s=10)
        probe(lb, 1.0, is_good=False)
        probe(lb, 100.0, is_good=True)
        for _ in range(110):
            lb.begin(elect(lb, now=100.0 + age))
        under_way = [record.in_flight for record in lb.records]
        assert under_way[0] == pytest.approx(110 * share / (10 + share), abs=2)


def test_slow_start_by_latency() -> None:
    lbs = [probed(method=Method.LATENCY, slow_start_s=seconds) for seconds in (10, 0)]
    for lb in lbs:
        probe(lb, 1.0, is_good=False)
        probe(lb, 100.0, is_good=True)
        attempt(lb, first_byte_s=0.01, now=100.0, how={"tried": 0b10})
    for now, times in ((100.0, 10), (101.0, 10), (105.0, 2), (110.0, 1)):
        slow, plain = (lb.load(0, now) for lb in lbs)
        assert slow == pytest.approx(times * plain, rel=0.01)
    # Of one that was never measured nobody knows that it is fast.
    for lb in lbs:
        lb.records[0].latency = 0.0
    assert [lb.load(0, 100.0) for lb in lbs] == [10_000_000_000, 0]
    assert [lb.load(0, 110.0) for lb in lbs] == [0, 0]


def test_no_slow_start_of_who_never_failed() -> None:
    lb, plain = probed(slow_start_s=10), probed()
    for now in range(1, 50):
        assert attempt(lb, now=float(now)) == attempt(plain, now=float(now))
        assert values(lb) == values(plain)


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.CLIENT_ERROR])
def test_slow_start_of_who_came_back_by_a_request(outcome: Outcome) -> None:
    lb = balancer("n1", "n2", slow_start_s=10)
    put_state(lb, 0, State.RECOVER)
    attempt(lb, outcome=outcome, now=7.0, how={"tried": 0b10})
    assert state(lb, 0) is State.OK
    assert lb.records[0].returned == 7.0


def test_reset_forgets_it() -> None:
    lb = probed(slow_start_s=10)
    probe(lb, 1.0, is_good=False)
    probe(lb, 2.0, is_good=True)
    lb.reset(0)
    assert lb.records[0].returned == 0.0


def test_an_attempt_taken_back_leaves_nothing() -> None:
    lb = probed(slow_start_s=10)
    probe(lb, 1.0, is_good=False)
    probe(lb, 2.0, is_good=True)
    attempt(lb, outcome=Outcome.UNTRIED, now=2.0, how={"tried": 0b10})
    assert values(lb) == [0, 0]
