"""What is said about each member, in the words an operator reads."""

import pytest

from ajp.lb import Activation, Extension, Member, Method, State, activations
from tests.unit.lb.stage import balancer, elect, put_state, session, states

pytestmark = pytest.mark.usefixtures("kind_of_store")


def test_everybody_has_a_reason() -> None:
    lb = balancer(
        "n1",
        "n2",
        Member(name="n3", activation=Activation.DISABLED),
        Member(name="n4", activation=Activation.STOPPED),
        "n5",
        Member(name="n6", distance=1),
    )
    lb.records[0].value = 3
    put_state(lb, 4, State.ERROR)
    said = lb.explain(None, 1.0)
    assert [tuple(verdict) for verdict in said] == [
        ("n1", False, "another is nearer or has less, or it is its turn (distance 0, load 3)"),
        ("n2", True, "nobody near has less (distance 0, load 0)"),
        ("n3", False, "disabled: only for sessions it has (distance 0, load 0)"),
        ("n4", False, "stopped (distance 0, load 0)"),
        ("n5", False, "its state is ERR (distance 0, load 0)"),
        ("n6", False, "another is nearer or has less, or it is its turn (distance 1, load 0)"),
    ]


def test_ways_of_a_session() -> None:
    lb = balancer(
        Member(name="n1", redirect="n2"),
        "n2",
        Member(name="n3", domain="d"),
        Member(name="n4", domain="d"),
    )
    text = {v.member: v.text for v in lb.explain(session("x.n1"), 1.0)}
    assert text["n1"].startswith("the session lives here")
    assert text["n2"].startswith("the session leads elsewhere")
    said = {v.member: v for v in lb.explain(session("x.n1"), 1.0, tried=0b1)}
    assert said["n1"].text.startswith("was tried for this request already")
    assert said["n2"].is_chosen
    assert "names it as its stand-in" in said["n2"].text
    said = {v.member: v for v in lb.explain(session("x.n3"), 1.0, tried=0b100)}
    assert (said["n4"].is_chosen, said["n4"].text[:20]) == (True, "it shares the domain")


def test_only_and_standing_by() -> None:
    (only,) = balancer("n1").explain(None, 1.0)
    assert only.text.startswith("it is the only member")
    lb = balancer(
        Member(name="n1", redirect="n2"), Member(name="n2", activation=Activation.DISABLED)
    )
    said = lb.explain(None, 1.0, tried=0b1)
    assert [verdict.is_chosen for verdict in said] == [False, True]
    assert said[1].text.startswith("nobody else is left")


def test_rule_and_settings_count() -> None:
    lb = balancer("n1", "n2", sticky_session_force=True)
    assert not any(v.is_chosen for v in lb.explain(session("x"), 1.0))
    assert lb.explain(session("x"), 1.0, sticky_ignore=True)[0].is_chosen
    rule = Extension(
        sticky_ignore=True,
        activations=activations(["n1", "n2"], {"n1": Activation.DISABLED}),
    )
    said = lb.explain(session("x"), 1.0, extension=rule)
    assert said[0].text.startswith("disabled")
    assert said[1].is_chosen
    lb.records[0].value = 9
    assert lb.explain(None, 1.0, stateless=True)[0].is_chosen


def test_explaining_changes_nothing() -> None:
    for method in Method:
        lb = balancer("n1", "n2", "n3", method=method)
        put_state(lb, 0, State.BUSY)
        put_state(lb, 1, State.ERROR)
        before = (states(lb), lb.store.offset)
        for _ in range(3):
            said = lb.explain(None, 1.0)
            assert sum(v.is_chosen for v in said) == 1
            assert "BUSY" not in said[0].text  # nothing is on its way to it, so it can be had
        assert (states(lb), lb.store.offset) == before
        assert not any(v.is_chosen for v in lb.explain(None, 1.0, tried=0b101))
        assert states(lb)[1] == "ERR"
        assert lb.take_changes() == []


def test_what_is_explained_is_what_comes() -> None:
    lb = balancer("n1", "n2", "n3")
    for _ in range(7):
        (expected,) = [v.member for v in lb.explain(None, 1.0) if v.is_chosen]
        choice = elect(lb)
        lb.begin(choice)
        assert choice.name == expected
