"""What time does, and what an operator does."""

import pytest

from ajp.lb import Activation, Balancer, Event, Member, Method, Outcome, Settings, State
from ajp.lb.upkeep import apply
from tests.unit.lb.stage import (
    attempt,
    balancer,
    elect,
    put_state,
    refuse,
    state,
    states,
    values,
)

pytestmark = pytest.mark.usefixtures("kind_of_store")

ACCUMULATING = [method for method in Method if method.accumulates]
HALVING = [Method.REQUEST, Method.TRAFFIC, Method.SESSIONS]
CURRENT = [Method.BUSYNESS, Method.P2C, Method.LATENCY]


def started(*members: str | Member, **settings: object) -> Balancer:
    """A balancer whose clock was 1.0 when it began."""
    lb = balancer(*members, **settings)
    assert not lb.maintain(1.0)
    return lb


def test_maintenance_comes_at_its_time() -> None:
    lb = balancer("n1", maintain_s=10)
    assert lb.next_maintenance == 0.0
    assert not lb.maintain(5.0)  # counts from here
    assert lb.next_maintenance == 15.0
    assert not lb.maintain(14.9)
    assert lb.maintain(15.0)
    assert not lb.maintain(15.1)
    assert lb.next_maintenance == 25.0


def test_no_maintenance_ever() -> None:
    lb = balancer("n1", maintain_s=0)
    assert lb.next_maintenance is None
    assert not lb.maintain(1.0)
    assert not lb.maintain(1e9)


def test_one_process_maintains_for_all() -> None:
    one = started("n1", "n2")
    other = Balancer(one.members, one.settings, store=one.store)
    one.records[0].value = 8
    assert one.maintain(61.0)
    assert not other.maintain(61.0)
    assert values(other) == [4, 0]


@pytest.mark.parametrize("method", HALVING)
@pytest.mark.parametrize(
    ("now", "after"), [(61.0, [50, 3]), (181.0, [12, 0]), (1e9, [0, 0]), (120.9, [50, 3])]
)
def test_sums_halve_for_each_interval(method: Method, now: float, after: list[int]) -> None:
    lb = started("n1", "n2", method=method)
    lb.records[0].value, lb.records[1].value = 100, 7
    lb.records[0].reply_timeouts = 100
    assert lb.maintain(now)
    assert values(lb) == after
    assert lb.records[0].reply_timeouts == after[0]


@pytest.mark.parametrize("method", CURRENT)
def test_what_goes_on_does_not_fade(method: Method) -> None:
    lb = started("n1", "n2", method=method)
    lb.begin(elect(lb, "x.n1"))
    before = lb.load(0, 61.0)
    lb.maintain(61.0)
    assert lb.load(0, 61.0) == before > 0


@pytest.mark.parametrize(
    ("unusable", "after"),
    [(None, [6, 0, 3]), (Activation.DISABLED, [3, 0, 0]), (Activation.STOPPED, [3, 0, 0])],
)
def test_next_compares_with_active_members_only(
    unusable: Activation | None, after: list[int]
) -> None:
    lb = started("n1", "n2", "n3", method=Method.NEXT)
    if unusable is not None:
        lb.set_activation(1, unusable)
    for record, value in zip(lb.records, (10, 4, 7), strict=True):
        record.value = value
    lb.maintain(61.0)
    assert values(lb) == after


def test_next_with_nobody_usable_takes_nothing_away() -> None:
    lb = started(Member(name="n1", activation=Activation.DISABLED), "n2", method=Method.NEXT)
    put_state(lb, 1, State.ERROR, error_at=60.0)
    lb.records[0].value, lb.records[1].value = 5, 6
    lb.maintain(61.0)
    assert values(lb) == [5, 6]


@pytest.mark.parametrize(
    ("method", "value"),
    [
        (Method.REQUEST, 20),
        (Method.TRAFFIC, 20),
        (Method.SESSIONS, 20),
        (Method.NEXT, 40),  # the most from before it took the least away
        *((method, 0) for method in CURRENT),
    ],
)
def test_member_comes_back_without_an_advantage(method: Method, value: int) -> None:
    lb = started("n1", "n2", "n3", method=method)
    if method.accumulates:
        lb.records[1].value, lb.records[2].value = 40, 30
    put_state(lb, 0, State.ERROR, error_at=0.5)
    lb.records[0].reply_timeouts = 9
    lb.maintain(61.0)
    assert (states(lb)[0], values(lb)[0]) == ("ERR/REC", value)
    assert lb.records[0].reply_timeouts == 0
    assert lb.records[0].first_error == 0.5  # until it succeeds


@pytest.mark.parametrize(("error_at", "label"), [(1.0, "ERR"), (0.99, "ERR/REC")])
def test_recover_time_has_to_be_exceeded(error_at: float, label: str) -> None:
    lb = started("n1", "n2", recover_time_s=60)
    put_state(lb, 0, State.ERROR, error_at=error_at)
    lb.maintain(61.0)
    assert states(lb)[0] == label


@pytest.mark.parametrize("in_state", State)
@pytest.mark.parametrize("is_old", [False, True])
def test_errors_for_too_long_without_a_success(in_state: State, is_old: bool) -> None:
    lb = started("n1", "n2", recover_time_s=1000, error_escalation_time_s=30)
    put_state(lb, 0, in_state)
    lb.records[0].first_error = lb.records[0].last_error = 31.0 if is_old else 31.5
    lb.records[0].elected = 1
    lb.maintain(61.0)
    stays = in_state in (State.ERROR, State.RECOVER) or not is_old
    assert state(lb, 0) is (in_state if stays else State.ERROR)


def test_probe_that_never_ended_fails_and_is_repeated() -> None:
    lb = started("n1", "n2")
    put_state(lb, 0, State.PROBE, error_at=1.0)
    seen = []
    for minute in range(1, 4):
        lb.maintain(1.0 + 60 * minute)
        seen.append(states(lb)[0])
    assert seen == ["ERR", "ERR/REC", "ERR/REC"]


@pytest.mark.parametrize("in_state", State)
def test_member_without_work_is_idle(in_state: State) -> None:
    lb = started("n1", "n2", recover_time_s=1000, error_escalation_time_s=1000)
    put_state(lb, 0, in_state, error_at=60.0)
    lb.maintain(61.0)
    assert state(lb, 0) is (State.IDLE if in_state is State.OK else in_state)


def test_member_with_work_is_not_idle() -> None:
    lb = started("n1", "n2")
    attempt(lb, "x.n1")
    lb.maintain(61.0)
    assert states(lb)[0] == "OK"
    lb.maintain(121.0)
    assert states(lb)[0] == "OK/IDLE"
    assert lb.take_changes()[-1].event is Event.UNUSED


def test_all_failed_are_all_tried() -> None:
    lb = started("n1", "n2")
    for member in (0, 1):
        put_state(lb, member, State.ERROR, error_at=60.0)
        lb.records[member].reply_timeouts = 8
    lb.maintain(61.0)
    assert states(lb) == ["ERR/FRC", "ERR/FRC"]
    assert [record.reply_timeouts for record in lb.records] == [0, 0]


def test_one_that_recovers_is_enough() -> None:
    lb = started("n1", "n2")
    put_state(lb, 0, State.ERROR, error_at=60.0)
    put_state(lb, 1, State.ERROR, error_at=0.5)
    lb.maintain(61.0)
    assert states(lb) == ["ERR", "ERR/REC"]


@pytest.mark.parametrize("method", Method)
def test_activation_begins_all_sums_anew(method: Method) -> None:
    lb = balancer("n1", "n2", method=method)
    for _ in range(4):
        attempt(lb, bytes_in=10)
    before = values(lb)
    lb.set_activation(1, Activation.ACTIVE)
    assert values(lb) == before
    lb.set_activation(1, Activation.STOPPED)
    assert values(lb) == [0, 0]
    assert {elect(lb).name for _ in range(3)} == {"n1"}
    assert elect(lb, "x.n2").name == "n1"


@pytest.mark.parametrize("in_state", State)
@pytest.mark.parametrize("method", [Method.REQUEST, Method.BUSYNESS])
def test_operator_recovers_what_failed(in_state: State, method: Method) -> None:
    lb = balancer("n1", "n2", method=method)
    put_state(lb, 0, in_state, error_at=5.0)
    lb.records[0].value, lb.records[1].value, lb.records[0].reply_timeouts = 1, 9, 4
    is_failed = in_state is State.ERROR
    assert lb.recover(0) is is_failed
    assert state(lb, 0) is (State.RECOVER if is_failed else in_state)
    assert lb.records[0].value == (9 if is_failed and method is Method.REQUEST else 1)
    assert lb.records[0].reply_timeouts == (0 if is_failed else 4)
    if is_failed:
        assert lb.records[0].last_error == 5.0


@pytest.mark.parametrize("in_state", State)
def test_operator_resets(in_state: State) -> None:
    lb = balancer("n1", "n2")
    lb.begin(elect(lb, "x.n1"))
    attempt(lb, "x.n1", outcome=Outcome.REPLY_TIMEOUT, first_byte_s=1.0)
    put_state(lb, 0, in_state)
    lb.reset(0)
    record = lb.records[0]
    assert state(lb, 0) is State.IDLE
    assert (record.value, record.elected, record.sessions, record.errors) == (0, 0, 0, 0)
    assert (record.reply_timeouts, record.latency) == (0, 0.0)
    assert (record.first_error, record.last_error) == (0.0, 0.0)
    assert record.in_flight == 1  # what goes on is not forgotten


def test_busyness_survives_reset_and_another_factor() -> None:
    # mod_jk adds and takes away, so what goes on meanwhile is wrong for ever.
    lb = balancer("n1", "n2", method=Method.BUSYNESS)
    choice = elect(lb, "x.n1")
    lb.begin(choice)
    lb.change([Member(name="n1", lbfactor=1), Member(name="n2", lbfactor=3)])
    assert [lb.load(member, 1.0) for member in (0, 1)] == [3, 0]
    lb.reset(0)
    assert lb.load(0, 1.0) == 3
    lb.end(choice, Outcome.OK, 1.0)
    assert [lb.load(member, 1.0) for member in (0, 1)] == [0, 0]


def test_other_settings_of_the_same_members() -> None:
    lb = balancer("n1", Member(name="n2", activation=Activation.STOPPED))
    attempt(lb)
    lb.change([Member(name="n1", route="r1", distance=4), Member(name="n2", route="r2")])
    assert elect(lb, "x.r1").name == "n1"
    assert elect(lb, "x.n1").route == b"r1"
    assert refuse(lb, tried=0b01).why == "n1 ACT OK tried, n2 STP OK/IDLE"
    assert values(lb) == [1, 0]


def test_another_method_begins_anew() -> None:
    lb = balancer("n1", "n2")
    attempt(lb)
    lb.change(settings=Settings(retries=5))
    assert values(lb) == [1, 0]
    lb.change(settings=Settings(method=Method.TRAFFIC))
    assert values(lb) == [0, 0]
    attempt(lb, bytes_in=3)
    assert sum(values(lb)) == 3


@pytest.mark.parametrize("names", [["n1"], ["n2", "n1"], ["n1", "n3"]])
def test_members_stay_the_same(names: list[str]) -> None:
    lb = balancer("n1", "n2")
    with pytest.raises(ValueError, match="stay the same"):
        lb.change([Member(name=name) for name in names])
    with pytest.raises(ValueError, match="two members have the route 'x'"):
        lb.change([Member(name="n1", route="x"), Member(name="n2", route="x")])
    assert [member.route for member in lb.members] == ["n1", "n2"]
    assert elect(lb, "x.n2").name == "n2"


def test_event_meets_the_state_another_process_left() -> None:
    lb = balancer("n1", "n2")
    record = lb.records[0]

    class Raced:
        """A record whose state another process changes just before we do."""

        member = 0

        def __init__(self) -> None:
            self.races = 1

        @property
        def state(self) -> int:
            return record.state

        def change_state(self, expected: int, after: int) -> bool:
            if self.races:
                self.races -= 1
                put_state(lb, 0, State.ERROR)
            return record.change_state(expected, after)

    change = apply(Raced(), Event.SERVED)  # type: ignore[arg-type]
    assert change == (0, State.ERROR, State.OK, Event.SERVED)
