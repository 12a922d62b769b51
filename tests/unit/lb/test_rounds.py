"""All elections of one request."""

import pytest

from ajp.errors import Reason
from ajp.lb import Balancer, Choice, Extension, NoMember, Outcome, Pause, Rounds, State
from tests.unit.lb.stage import balancer, elect, put_state, session, states

pytestmark = pytest.mark.usefixtures("kind_of_store")


def story(lb: Balancer, *ids: str, outcome: Outcome | None = None, most: int = 20) -> list[str]:
    """Ask until it is over; names, `pause`, and the reason at the end."""
    rounds = Rounds(lb, session(*ids) if ids else None)
    told: list[str] = []
    for step in range(most):
        found = rounds.next(1.0 + step)
        match found:
            case Choice():
                told.append(found.name)
                lb.begin(found)
                lb.end(found, outcome or Outcome.SOFT_STATUS, 1.0 + step)
            case Pause():
                told.append(f"pause {found.milliseconds}")
            case NoMember():
                return [*told, found.reason]
    raise AssertionError(told)


def test_two_rounds_of_two_and_the_new_ones_first() -> None:
    lb = balancer("n1", "n2", "n3")
    assert story(lb) == ["n1", "n2", "pause 100", "n3", "n1", "no_member"]


def test_rounds_are_no_longer_than_there_are_members() -> None:
    lb = balancer("n1", "n2", lb_retries=5, retry_interval_ms=7)
    assert story(lb) == ["n1", "n2", "pause 7", "n1", "n2", "no_member"]
    assert story(balancer("n1", retries=3)) == ["n1", "pause 100"] * 2 + ["n1", "no_member"]


def test_one_round_of_one() -> None:
    lb = balancer("n1", "n2", retries=1, lb_retries=1)
    assert story(lb) == ["n1", "no_member"]


def test_many_rounds_go_through_everybody() -> None:
    lb = balancer(*(f"n{i}" for i in range(5)), retries=3)
    told = [word for word in story(lb) if word.startswith("n") and word != "no_member"]
    assert sorted(told[:5]) == ["n0", "n1", "n2", "n3", "n4"]
    assert len(told) == 6


def test_session_goes_home_first_and_then_elsewhere() -> None:
    lb = balancer("n1", "n2", "n3")
    told = story(lb, "abc.n2")
    assert told[0] == "n2"
    assert "n2" not in told[1:4]


def test_dead_members_are_forced_once() -> None:
    lb = balancer("n1", "n2")
    assert story(lb, outcome=Outcome.CONNECT_FAILED) == [
        *("n1", "n2", "pause 100", "n1", "n2"),
        "no_member",
    ]
    assert states(lb) == ["ERR", "ERR"]
    # Next request: nobody is left, so all are forced; the second round has nobody to force.
    assert story(lb, outcome=Outcome.CONNECT_FAILED) == [
        *("n1", "n2", "pause 100"),
        "no_member",
    ]


def test_another_that_failed_is_forced_before_one_is_tried_twice() -> None:
    lb = balancer("n1", "n2")
    put_state(lb, 1, State.ERROR)
    assert story(lb) == ["n1", "n2", "pause 100", "n1", "n2", "no_member"]
    assert states(lb) == ["OK", "OK"]


def test_forced_session_is_tried_again_at_home() -> None:
    lb = balancer("n1", "n2", sticky_session_force=True)
    told = story(lb, "abc.n1")
    assert told == ["n1", "pause 100", "n1", "sticky_forced"]


def test_nobody_there() -> None:
    lb = balancer("n1", "n2")
    for member in (0, 1):
        lb.begin(elect(lb, f"x.n{member + 1}"))
        put_state(lb, member, State.BUSY)
    assert story(lb) == ["pause 100", "no_member"]


@pytest.mark.parametrize("by_rule", [False, True])
def test_what_is_asked_is_passed_on(by_rule: bool) -> None:
    lb = balancer("n1", "n2")
    rule = Extension(sticky_ignore=True, stateless=True)
    rounds = (
        Rounds(lb, session("x.n2"), extension=rule)
        if by_rule
        else Rounds(lb, session("x.n2"), stateless=True, sticky_ignore=True)
    )
    found = rounds.next(1.0)
    assert isinstance(found, Choice)
    assert (found.name, found.makes_session) == ("n1", False)
    assert repr(rounds) == "<Rounds round=1 attempts=1 tried=1>"


def test_end_says_how_much_was_tried() -> None:
    lb = balancer("n1", retries=1)
    rounds = Rounds(lb)
    rounds.next(1.0)
    found = rounds.next(1.0)
    assert found == NoMember(reason=Reason.NO_MEMBER, why="round 1 of 1 is over")
