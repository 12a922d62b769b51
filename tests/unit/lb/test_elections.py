"""Whom a session leads to, by route, redirect, domain, distance and activation."""

import pytest

from ajp.errors import Reason
from ajp.lb import (
    Activation,
    Balancer,
    Choice,
    Extension,
    How,
    Member,
    MemoryStore,
    Method,
    NoMember,
    Outcome,
    Session,
    Settings,
    State,
    activations,
)
from tests.unit.lb.stage import attempt, balancer, chosen, elect, put_state, refuse, state, states

pytestmark = pytest.mark.usefixtures("kind_of_store")

DIS, STP = Activation.DISABLED, Activation.STOPPED
#: States in which a member can be elected.
USABLE = [State.IDLE, State.OK, State.RECOVER, State.FORCE]
UNUSABLE = [State.BUSY, State.ERROR, State.PROBE]


def occupied(lb: Balancer, member: int, in_state: State) -> None:
    """Put a member into a state, with an attempt under way, so that BUSY is real."""
    lb.begin(elect(lb, f"x.{lb.members[member].route}"))
    put_state(lb, member, in_state)


def test_session_stays_where_it_lives() -> None:
    lb = balancer("n1", "n2")
    lb.records[1].value = 1000
    assert [elect(lb, "abc.n2").name for _ in range(3)] == ["n2"] * 3
    found = elect(lb, "abc.n2")
    assert (found.how, found.is_sticky, found.makes_session) == (How.BY_ROUTE, True, False)
    assert (found.route, found.activation.letters, found.set_cookie) == (b"n2", "ACT", None)


def test_route_is_compared_whole_and_by_case() -> None:
    lb = balancer(Member(name="a", route="n1"), Member(name="b", route="x.n1.y"))
    lb.records[0].value = 5
    assert elect(lb, "abc.x.n1.y").how is How.BY_ROUTE
    assert elect(lb, "abc.n1").name == "a"
    for stranger in ("abc.N1", "abc.n1.", "abc.n", "abc.a", "abc"):
        found = elect(lb, stranger)
        assert (found.name, found.how, found.makes_session) == ("b", How.BY_METHOD, False)


def test_ids_are_tried_one_after_the_other() -> None:
    lb = balancer("n1", "n2", "n3")
    assert elect(lb, "a.gone", "b", "c.n3", "d.n1").name == "n3"
    # After a failover as well; mod_jk looks at the first id alone then.
    assert elect(lb, "a.gone", "b", "c.n3", "d.n1", tried=0b100).name == "n1"


@pytest.mark.parametrize("in_state", State)
@pytest.mark.parametrize("activation", Activation)
def test_who_can_be_elected(in_state: State, activation: Activation) -> None:
    lb = balancer("n1", "n2")
    lb.records[1].value = 1000
    occupied(lb, 0, in_state)
    lb.set_activation(0, activation)
    lb.records[0].value, lb.records[1].value = 0, 1000
    is_usable = in_state in USABLE
    assert (elect(lb).name == "n1") == (is_usable and activation is Activation.ACTIVE)
    assert (elect(lb, "abc.n1").name == "n1") == (is_usable and activation is not STP)


def test_busy_member_is_fine_once_nothing_is_on_its_way() -> None:
    lb = balancer("n1", "n2")
    occupied(lb, 0, State.BUSY)
    assert elect(lb, "abc.n1").name == "n2"
    assert state(lb, 0) is State.BUSY
    idle = balancer("n1", "n2")
    put_state(idle, 0, State.BUSY)
    choice = elect(idle, "abc.n1")
    assert choice.name == "n1"
    idle.begin(choice)
    assert state(idle, 0) is State.OK


@pytest.mark.parametrize("in_state", UNUSABLE)
def test_redirect_comes_before_domain(in_state: State) -> None:
    lb = balancer(
        Member(name="n1", redirect="n3", domain="d"),
        Member(name="n2", domain="d"),
        Member(name="n3", activation=DIS),
    )
    occupied(lb, 0, in_state)
    found = elect(lb, "abc.n1")
    assert (found.name, found.how, found.route) == ("n3", How.BY_REDIRECT, b"n3")
    assert (found.activation, found.is_sticky) == (DIS, False)


@pytest.mark.parametrize("broken", ["stopped", "failed", "unknown"])
def test_redirect_is_one_hop_only(broken: str) -> None:
    redirect = "nowhere" if broken == "unknown" else "n2"
    lb = balancer(
        Member(name="n1", redirect=redirect, domain="d", activation=STP),
        Member(name="n2", redirect="n3", activation=STP if broken == "stopped" else DIS),
        "n3",
        Member(name="n4", domain="d", distance=9),
    )
    put_state(lb, 1, State.ERROR if broken == "failed" else State.OK)
    found = elect(lb, "abc.n1")
    assert (found.name, found.how) == ("n3", How.BY_METHOD)


def test_domain_takes_the_nearest_and_then_the_least_loaded() -> None:
    lb = balancer(
        Member(name="n1", domain="d", activation=STP),
        Member(name="n2", domain="d", distance=1),
        Member(name="n3", domain="d"),
        Member(name="n4", domain="d"),
        Member(name="n5", domain="d", activation=DIS),
        Member(name="n6", domain="other"),
        "n7",
    )
    lb.records[2].value = 5
    names = [elect(lb, "abc.n1").name]
    lb.records[3].value = 6
    names.append(elect(lb, "abc.n1").name)
    names.append(elect(lb, "abc.n1", tried=0b1100).name)
    found = elect(lb, "abc.n1", tried=0b1110)
    assert names == ["n4", "n3", "n2"]
    assert found.how is How.BY_METHOD


def test_domain_of_an_unknown_route() -> None:
    lb = balancer("d1.a", "d2.a", Member(name="x", route="plain", domain="d3"))
    for route, name in [("d2.gone", "d2.a"), ("d2", "d2.a"), ("d3.x.y", "x"), ("d1.", "d1.a")]:
        found = elect(lb, f"abc.{route}")
        assert (found.name, found.how) == (name, How.BY_DOMAIN)
        assert found.route == route.partition(".")[0].encode()
    assert elect(lb, "abc.d4.gone").how is How.BY_METHOD


def test_disabled_member_stands_by() -> None:
    lb = balancer(Member(name="n1", redirect="n2"), Member(name="n2", activation=DIS))
    assert {elect(lb).name for _ in range(4)} == {"n1"}
    put_state(lb, 0, State.ERROR)
    found = elect(lb)
    assert (found.name, found.how, found.route) == ("n2", How.BY_STANDBY, b"n2")
    assert (found.is_sticky, found.makes_session) == (False, True)
    assert state(lb, 0) is State.ERROR  # nobody had to be forced


def test_every_stand_by_is_looked_at() -> None:
    # mod_jk looks at that of the first member alone.
    lb = balancer(
        Member(name="n1", redirect="s1"),
        Member(name="n2", redirect="s2"),
        Member(name="s1", activation=STP),
        Member(name="s2", activation=DIS),
    )
    assert elect(lb, tried=0b0011).name == "s2"


@pytest.mark.parametrize(
    ("case", "name"), [("route", "n1"), ("stopped", ""), ("unknown", ""), ("none", "")]
)
def test_forced_sessions(case: str, name: str) -> None:
    lb = balancer(Member(name="n1", redirect="n2", domain="d"), "n2", sticky_session_force=True)
    if case == "stopped":
        lb.set_activation(0, STP)
    ids = {"route": "abc.n1", "stopped": "abc.n1", "unknown": "abc.n9", "none": "abc"}[case]
    found = lb.elect(Session.of_ids([ids.encode()]), 1.0)
    if name:
        assert chosen(found).name == name
    else:
        assert isinstance(found, NoMember)
        assert found.reason is Reason.STICKY_FORCED
        assert "n1 " in found.why
    # Only sessions are bound.
    assert elect(lb).how is How.BY_METHOD
    assert elect(lb, ids, sticky_ignore=True).how is How.BY_METHOD


def test_forced_session_may_use_the_domain_of_an_unknown_route() -> None:
    lb = balancer("d.n1", "d.n2", sticky_session_force=True)
    assert elect(lb, "abc.d.n9").how is How.BY_DOMAIN


@pytest.mark.parametrize("activation", Activation)
@pytest.mark.parametrize("force", [False, True])
def test_only_member(activation: Activation, force: bool) -> None:
    lb = balancer(Member(name="n1", activation=activation), sticky_session_force=force)
    for ids in ([], ["abc"], ["abc.n1"]):
        found = lb.elect(Session.of_ids(i.encode() for i in ids), 1.0)
        if activation is Activation.ACTIVE:
            assert chosen(found).how is How.ALONE
            assert chosen(found).is_sticky
        elif activation is DIS and ids == ["abc.n1"]:
            assert chosen(found).how is How.BY_ROUTE
        else:
            assert isinstance(found, NoMember)


def test_only_member_disabled_is_had_by_its_own_redirect() -> None:
    assert elect(balancer(Member(name="n1", redirect="n1", activation=DIS))).how is How.BY_STANDBY


def test_only_member_that_failed_is_tried_at_once() -> None:
    lb = balancer("n1")
    put_state(lb, 0, State.ERROR)
    assert refuse(lb, may_force=False).why == "n1 ACT ERR"
    assert elect(lb).how is How.ALONE
    assert states(lb) == ["ERR/FRC"]


def test_nobody_left_forces_all_that_failed() -> None:
    lb = balancer("n1", "n2", Member(name="n3", activation=STP), "n4")
    for member in (0, 2, 3):
        put_state(lb, member, State.ERROR)
        lb.records[member].reply_timeouts = 3
    occupied(lb, 1, State.BUSY)
    assert elect(lb, tried=0b0001).name == "n4"
    assert states(lb) == ["ERR/FRC", "OK/BUSY", "ERR/FRC", "ERR/FRC"]
    assert [record.reply_timeouts for record in lb.records] == [0, 0, 0, 0]
    changes = [(change.member, change.before, change.after) for change in lb.take_changes()]
    assert changes == [(member, State.ERROR, State.FORCE) for member in (0, 2, 3)]
    assert lb.take_changes() == []


def test_member_that_failed_the_request_is_forced_if_nobody_is_new() -> None:
    lb = balancer("n1", Member(name="n2", activation=STP), Member(name="n3", activation=DIS))
    put_state(lb, 0, State.ERROR)
    put_state(lb, 1, State.ERROR)
    assert elect(lb, tried=0b001).name == "n1"
    refuse(lb, tried=0b001)  # not in ERROR any more, so nobody is forced


def test_nobody_left_and_nobody_failed() -> None:
    lb = balancer("n1", Member(name="n2", activation=DIS), Member(name="n3", activation=STP))
    found = refuse(lb, tried=0b001)
    assert found.reason is Reason.NO_MEMBER
    assert found.why == "n1 ACT OK/IDLE tried, n2 DIS OK/IDLE, n3 STP OK/IDLE"


def test_refused_session_forces_its_own_member_only() -> None:
    lb = balancer("n1", "n2", "n3", sticky_session_force=True)
    put_state(lb, 0, State.ERROR)
    put_state(lb, 1, State.ERROR)
    assert elect(lb, "abc.n2").name == "n2"
    assert states(lb) == ["ERR", "ERR/FRC", "OK/IDLE"]


def test_set_session_cookie() -> None:
    lb = balancer("n1", "n2", set_session_cookie=True, session_cookie="ROUTE")
    assert elect(lb).set_cookie == b"ROUTE=.n1;PATH=/;HttpOnly"
    assert elect(lb, "abc.gone").set_cookie == b"ROUTE=.n2;PATH=/;HttpOnly"
    assert elect(lb, "abc.n1").set_cookie is None
    assert elect(balancer("n1", set_session_cookie=True)).set_cookie is None
    assert elect(balancer("n1", "n2")).set_cookie is None


def test_cookie_carries_the_route_of_the_member_and_not_its_domain() -> None:
    lb = balancer("d.n1", "d.n2", set_session_cookie=True, session_cookie_path="/app")
    found = elect(lb, "abc.d.n1", tried=0b01)
    assert (found.how, found.route) == (How.BY_DOMAIN, b"d")
    assert found.set_cookie == b"JSESSIONID=.d.n2;PATH=/app;HttpOnly"


def test_rule_sets_cookies() -> None:
    lb = balancer("n1", "n2")
    rule = Extension(set_session_cookie=True)
    assert elect(lb, extension=rule).set_cookie == b"JSESSIONID=.n1;PATH=/;HttpOnly"
    rule = Extension(set_session_cookie=True, session_cookie="R", session_cookie_path="/x")
    assert elect(lb, extension=rule).set_cookie == b"R=.n2;PATH=/x;HttpOnly"
    assert elect(lb).set_cookie is None


def test_rule_ignores_sessions_or_takes_turns() -> None:
    lb = balancer("n1", "n2")
    lb.records[1].value = 10
    found = elect(lb, "abc.n2", extension=Extension(sticky_ignore=True))
    assert (found.name, found.makes_session) == ("n1", True)
    rule = Extension(stateless=True)
    turns = [elect(lb, extension=rule) for _ in range(2)]
    assert [(choice.name, choice.makes_session) for choice in turns] == [
        ("n2", False),
        ("n1", False),
    ]


def test_rule_overrides_activations() -> None:
    lb = balancer("n1", Member(name="n2", activation=DIS), Member(name="n3", activation=STP))
    names = [member.name for member in lb.members]
    rule = Extension(activations=activations(names, {"n1": STP, "n3": DIS}))
    assert refuse(lb, extension=rule).reason is Reason.NO_MEMBER
    found = elect(lb, "abc.n3", extension=rule)
    assert (found.name, found.activation.letters) == ("n3", "DIS")
    rule = Extension(activations=activations(names, {"n2": Activation.ACTIVE, "n1": STP}))
    found = elect(lb, "abc.n1", extension=rule)
    assert (found.name, found.activation.letters, found.how) == ("n2", "ACT", How.BY_METHOD)
    assert elect(lb, "abc.n2").activation is DIS


def test_rule_survives_the_force() -> None:
    lb = balancer("n1", "n2")
    put_state(lb, 0, State.ERROR)
    rule = Extension(
        activations=activations(["n1", "n2"], {"n2": STP}), stateless=True, sticky_ignore=True
    )
    found = elect(lb, "abc.n2", extension=rule)
    assert (found.name, found.how, found.makes_session) == ("n1", How.BY_METHOD, False)


def test_activations_of_another_balancer() -> None:
    lb = balancer("n1", "n2")
    with pytest.raises(ValueError, match="activations of 1 members, not 2"):
        lb.elect(None, 1.0, extension=Extension(activations=b"\0"))


def test_choices_are_made_once() -> None:
    lb = balancer("n1", "n2")
    assert elect(lb, "abc.n1") is elect(lb, "def.n1")


def test_forged_numbers_are_refused() -> None:
    lb = balancer("n1", "n2")
    stranger = elect(balancer("a", "b", "c"), "x.c")
    with pytest.raises(IndexError, match="member 2 of 2"):
        lb.begin(stranger)
    with pytest.raises(IndexError, match="member 2 of 2"):
        lb.end(stranger, Outcome.OK, 1.0)
    with pytest.raises(IndexError, match="member -1 of 2"):
        lb.load(-1, 1.0)


def test_balancers_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="has members, not 0"):
        Balancer([])
    with pytest.raises(ValueError, match="1 to 64 members, not 65"):
        Balancer([Member(name=f"n{i}") for i in range(65)])
    with pytest.raises(ValueError, match="two members have the name 'n1'"):
        balancer("n1", Member(name="n1", route="n2"))
    with pytest.raises(ValueError, match="two members have the route 'n1'"):
        balancer("n1", Member(name="n2", route="n1"))
    with pytest.raises(ValueError, match="P2C needs"):
        Balancer([Member(name="n1")], Settings(method=Method.P2C))
    with pytest.raises(ValueError, match="store for 1 members cannot keep 2"):
        Balancer([Member(name="a"), Member(name="b")], store=MemoryStore(1))


def test_sixty_four_members() -> None:
    lb = balancer(*(f"n{i}" for i in range(64)))
    assert [attempt(lb) for _ in range(64)] == [f"n{i}" for i in range(64)]
    assert elect(lb, tried=(1 << 63) - 1).name == "n63"
    assert elect(lb, "abc.n63").member == 63


def test_repr() -> None:
    lb = balancer("n1", Member(name="n2", activation=DIS))
    assert repr(lb) == "<Balancer Request n1 ACT OK/IDLE, n2 DIS OK/IDLE>"
    assert isinstance(lb.elect(None, 1.0), Choice)
