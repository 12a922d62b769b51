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
        ("n1", False, "n2 has less (distance 0, load 3)"),
        ("n2", True, "nobody near has less (distance 0, load 0)"),
        ("n3", False, "it is disabled: only for sessions it has (distance 0, load 0)"),
        ("n4", False, "it is stopped (distance 0, load 0)"),
        ("n5", False, "its state is ERR (distance 0, load 0)"),
        ("n6", False, "n2 is nearer (distance 1, load 0)"),
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
    assert text["n2"].startswith("the session leads to n1")
    said = {v.member: v for v in lb.explain(session("x.n1"), 1.0, tried=0b1)}
    assert said["n1"].text.startswith(
        "the session lives here, but it was tried for this request already"
    )
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
    assert said[0].text.startswith("it is disabled by the rule")
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


def test_those_who_were_beaten_hear_by_whom() -> None:
    equal = balancer("n1", "n2").explain(None, 1.0)
    assert equal[1].text.startswith("n1 has as little, and it is its turn")
    turns = balancer("n1", "n2").explain(None, 1.0, stateless=True)
    assert turns[0].text.startswith("members take turns, and it is its")
    assert turns[1].text.startswith("members take turns, and it is that of n1")
    drawn = balancer("n1", "n2", method=Method.P2C).explain(None, 1.0)
    assert "by lot" in drawn[0].text
    assert "by lot" in drawn[1].text
    forced = balancer("n1", "n2", sticky_session_force=True).explain(session("x.gone"), 1.0)
    assert {v.is_chosen for v in forced} == {False}
    assert forced[0].text.startswith("not the session's own, and sticky_session_force")


def test_a_domain_has_a_best_member_and_others() -> None:
    lb = balancer(*(Member(name=name, domain="d") for name in ("n1", "n2", "n3")), "n4")
    lb.records[1].value = 5
    said = [v.text for v in lb.explain(session("x.n1"), 1.0, tried=0b1)]
    assert said[1].startswith("n3 has less")
    assert said[3].startswith("the session leads to n3")


def test_stand_ins_are_named_by_somebody() -> None:
    lb = balancer(
        Member(name="n1", redirect="n2"),
        Member(name="n2", activation=Activation.DISABLED),
        Member(name="n3", activation=Activation.DISABLED),
    )
    said = [v.text for v in lb.explain(None, 1.0, tried=0b1)]
    assert said[2].startswith("it is disabled")


def test_a_choice_that_was_made_is_explained() -> None:
    lb = balancer("n1", "n2", method=Method.P2C)
    choice = elect(lb)
    said = {v.member: v for v in lb.explain(None, 1.0, choice=choice)}
    assert [name for name, verdict in said.items() if verdict.is_chosen] == [choice.name]


def test_a_member_that_is_forced_is_no_riddle() -> None:
    made, before = balancer("n1", "n2"), balancer("n1", "n2")
    for lb in (made, before):
        put_state(lb, 0, State.ERROR)
        put_state(lb, 1, State.ERROR)
    said = before.explain(None, 1.0, choice=elect(made))
    assert said[0].text.startswith("nobody else is left, so it is tried although its state is ERR")
    assert said[1].text.startswith("its state is ERR")
