"""Each method: when a member's load changes, by how much, and whom that elects."""

from collections import Counter
from random import Random

import pytest

from ajp.lb import Balancer, Member, Method, Outcome, Settings, State
from tests.unit.lb.stage import attempt, balancer, chosen, elect, put_state, session, values

pytestmark = pytest.mark.usefixtures("kind_of_store")

ACCUMULATING = [method for method in Method if method.accumulates]
FACTORS = (1, 2, 3)  # multipliers 6, 3, 2


def weighted(method: Method) -> Balancer:
    return balancer(
        *(Member(name=f"n{factor}", lbfactor=factor) for factor in FACTORS), method=method
    )


@pytest.mark.parametrize(
    ("method", "begun", "ended"),
    [
        (Method.REQUEST, [6, 0, 0], [6, 0, 0]),
        (Method.TRAFFIC, [0, 0, 0], [180, 0, 0]),
        (Method.BUSYNESS, [6, 0, 0], [0, 0, 0]),
        (Method.SESSIONS, [6, 0, 0], [6, 0, 0]),
        (Method.NEXT, [6, 0, 0], [6, 0, 0]),
        (Method.P2C, [6, 0, 0], [0, 0, 0]),
    ],
)
def test_load_of_an_attempt_without_a_session(
    method: Method, begun: list[int], ended: list[int]
) -> None:
    lb = weighted(method)
    choice = elect(lb, tried=0b110)
    lb.begin(choice)
    assert [lb.load(member, 1.0) for member in range(3)] == begun
    lb.end(choice, Outcome.OK, 1.0, bytes_in=20, bytes_out=10)
    assert [lb.load(member, 1.0) for member in range(3)] == ended


@pytest.mark.parametrize("method", [Method.SESSIONS, Method.NEXT])
@pytest.mark.parametrize("case", ["session", "session without route", "stateless"])
def test_sessions_count_when_they_begin(method: Method, case: str) -> None:
    lb = weighted(method)
    ids = {"session": ["x.n1"], "session without route": ["x"], "stateless": []}[case]
    attempt(lb, *ids, how={"stateless": case == "stateless"})
    assert values(lb) == [0, 0, 0]
    assert [record.sessions for record in lb.records] == [0, 0, 0]
    assert sum(record.elected for record in lb.records) == 1


@pytest.mark.parametrize("how", [{"sticky_ignore": True}, {}])
def test_every_request_is_a_new_session_without_stickiness(how: dict[str, bool]) -> None:
    lb = balancer("n1", "n2", method=Method.SESSIONS, sticky_session=bool(how))
    assert [attempt(lb, "x.n2", how=how) for _ in range(3)] == ["n1", "n2", "n1"]
    assert [record.sessions for record in lb.records] == [2, 1]


def test_requests_of_sessions_count_as_requests() -> None:
    lb = weighted(Method.REQUEST)
    attempt(lb, "x.n3")
    attempt(lb, how={"stateless": True})
    assert sorted(values(lb)) == [0, 2, 6]


def test_failed_attempts_count_again() -> None:
    lb = balancer("n1", "n2", error_escalation_time_s=10)
    first = elect(lb)
    lb.begin(first)
    lb.end(first, Outcome.HARD_STATUS, 1.0)
    attempt(lb, how={"tried": 0b01})
    assert values(lb) == [1, 1]


@pytest.mark.parametrize("method", Method)
def test_attempt_without_an_endpoint_leaves_nothing(method: Method) -> None:
    lb = weighted(method)
    choice = elect(lb)
    lb.begin(choice)
    lb.end(choice, Outcome.BUSY, 1.0, bytes_in=5)
    assert [lb.load(member, 1.0) for member in range(3)] == [0, 0, 0]
    for record in lb.records:
        assert (record.in_flight, record.elected, record.sessions) == (0, 0, 0)


def test_traffic_of_the_largest_kind_stays_in_order() -> None:
    lb = weighted(Method.TRAFFIC)
    attempt(lb, bytes_in=(1 << 63) - 1)
    attempt(lb, bytes_in=(1 << 62) - 1)
    assert [value.bit_length() for value in values(lb)] == [62, 62, 0]
    assert attempt(lb, bytes_out=1) == "n3"


@pytest.mark.parametrize("method", ACCUMULATING)
def test_shares_follow_the_factors(method: Method) -> None:
    lb = weighted(method)
    seen = Counter(attempt(lb, bytes_in=100) for _ in range(600))
    assert seen == {"n1": 100, "n2": 200, "n3": 300}


@pytest.mark.parametrize("method", [Method.BUSYNESS, Method.P2C, Method.LATENCY])
def test_attempts_under_way_follow_the_factors(method: Method) -> None:
    lb = weighted(method)
    if method is Method.LATENCY:
        for record in lb.records:
            record.latency = 0.1
    for _ in range(60):
        lb.begin(elect(lb))
    expected = (10, 20, 30)
    for record, wanted in zip(lb.records, expected, strict=True):
        # Two of three are compared by P2C, all of them by the others.
        assert record.in_flight == pytest.approx(wanted, abs=6 if method is Method.P2C else 1)


def test_equals_take_turns() -> None:
    lb = balancer("a", "b", "c", method=Method.BUSYNESS)
    assert [attempt(lb) for _ in range(7)] == list("abcabca")


def test_stateless_requests_take_turns_whatever_the_load() -> None:
    lb = balancer("a", "b", Member(name="far", distance=1))
    lb.records[0].value = 100
    how = {"stateless": True}
    assert [attempt(lb, how=how) for _ in range(4)] == ["a", "b", "a", "b"]


def test_smaller_distance_wins_whatever_the_load() -> None:
    lb = balancer(Member(name="far", distance=2), Member(name="near"), Member(name="near2"))
    lb.records[1].value, lb.records[2].value = 100, 50
    assert elect(lb).name == "near2"
    put_state(lb, 2, State.ERROR)
    assert elect(lb).name == "near"
    put_state(lb, 1, State.ERROR)
    assert elect(lb).name == "far"


class Loaded(Random):
    """Dice that fall as told."""

    def __init__(self, first: float, second: float) -> None:
        self.bits = int(second * 2**32) << 32 | int(first * 2**32)

    def getrandbits(self, k: int, /) -> int:
        assert k == 64
        return self.bits


@pytest.mark.parametrize(
    ("first", "second", "busy", "name"),
    [
        # Factors 1, 2, 3: the first of six parts is n1, two are n2, three are n3.
        (0.0, 0.0, [], "n1"),
        (0.2, 0.0, [], "n2"),
        (0.49, 0.0, [], "n2"),
        (0.51, 0.0, [], "n3"),
        (0.99, 0.99, [], "n3"),
        # The second of those left: n1, n2 and n3 of 3, 4 and 5 parts.
        (0.0, 0.0, [0], "n2"),
        (0.0, 0.99, [0], "n3"),
        (0.99, 0.0, [2], "n1"),
        (0.99, 0.99, [2], "n2"),
        (0.99, 0.99, [1], "n3"),
    ],
)
def test_power_of_two_choices(first: float, second: float, busy: list[int], name: str) -> None:
    members = [Member(name=f"n{factor}", lbfactor=factor) for factor in FACTORS]
    lb = Balancer(members, Settings(method=Method.P2C), random=Loaded(first, second))
    for member in busy:
        lb.begin(elect(lb, f"x.n{member + 1}"))
    assert chosen(lb.elect(None, 1.0)).name == name


def test_power_of_two_choices_with_fewer_to_choose_from() -> None:
    lb = balancer("a", "b", Member(name="far", distance=1), method=Method.P2C)
    assert {attempt(lb) for _ in range(30)} == {"a", "b"}
    put_state(lb, 0, State.ERROR)
    assert {attempt(lb) for _ in range(5)} == {"b"}
    how = {"stateless": True}
    lb.records[0].change_state(State.ERROR, State.OK)
    assert sorted(attempt(lb, how=how) for _ in range(4)) == ["a", "a", "b", "b"]


def test_power_of_two_choices_shares_by_factor_when_nothing_goes_on() -> None:
    lb = weighted(Method.P2C)
    seen = Counter(attempt(lb) for _ in range(6000))
    assert seen["n1"] == pytest.approx(1000, abs=150)
    assert seen["n2"] == pytest.approx(2000, abs=150)


class TestLatency:
    """Peak EWMA: what a member last took, times what it has to do already."""

    def setup_method(self) -> None:
        self.lb = balancer("a", "b", method=Method.LATENCY)

    def answer(self, name: str, seconds: float, now: float = 1.0) -> None:
        attempt(self.lb, f"x.{name}", now=now, first_byte_s=seconds)

    def test_the_quicker_one(self) -> None:
        self.answer("a", 0.2)
        self.answer("b", 0.1)
        assert [elect(self.lb).name for _ in range(3)] == ["b"] * 3
        self.lb.begin(elect(self.lb))
        assert self.lb.load(1, 1.0) == pytest.approx(0.2e9)
        self.lb.begin(elect(self.lb, "x.b"))
        assert elect(self.lb).name == "a"

    def test_a_slow_answer_counts_at_once_and_fades(self) -> None:
        self.answer("a", 0.1)
        self.answer("a", 2.0)
        assert self.lb.load(0, 1.0) == pytest.approx(2e9)
        assert self.lb.load(0, 11.0) == pytest.approx(2e9 / 2.718281828)
        self.answer("a", 0.1, now=11.0)
        # 0.37 of the peak is left, and 0.63 of the new one is in.
        assert self.lb.load(0, 11.0) == pytest.approx(
            (2 * 0.367879 + 0.1 * 0.632121) * 1e9, rel=1e-4
        )

    def test_whoever_was_never_asked_comes_first_and_alone(self) -> None:
        self.answer("a", 0.1)
        choice = elect(self.lb)
        assert choice.name == "b"
        self.lb.begin(choice)
        # Its first answer is awaited; until then it counts as slow.
        assert self.lb.load(1, 1.0) == 2_000_000_000
        assert elect(self.lb).name == "a"

    def test_answer_in_no_time_is_measured_as_well(self) -> None:
        self.answer("a", 0.0)
        self.lb.begin(elect(self.lb, "x.a"))
        assert self.lb.load(0, 1.0) == 2

    def test_failed_attempts_measure_nothing(self) -> None:
        attempt(self.lb, "x.a", outcome=Outcome.LOST)
        assert self.lb.records[0].latency == 0.0

    def test_loads_beyond_all_bounds(self) -> None:
        self.lb.records[0].latency = 1e300
        assert self.lb.load(0, 1.0) == 1 << 62

    def test_clock_of_another_process_may_be_behind(self) -> None:
        self.answer("a", 1.0, now=100.0)
        assert self.lb.load(0, 99.0) == pytest.approx(1e9)
        self.answer("a", 0.5, now=99.0)
        assert self.lb.load(0, 99.0) == pytest.approx(1e9)


def test_in_flight_is_that_of_all_processes() -> None:
    # Two balancers over one store are what two processes are.
    one = balancer("a", "b", method=Method.BUSYNESS)
    other = Balancer(one.members, one.settings, store=one.store)
    one.begin(elect(one))
    assert elect(other).name == "b"
    other.begin(elect(other, "x.b"))
    assert [record.in_flight for record in one.records] == [1, 1]
    assert other.elect(session("y.a"), 1.0) == one.elect(session("y.a"), 1.0)
