"""How mod_jk elects, as seven examples; each is a sequence of elections and what follows them."""

import pytest

from ajp.errors import Reason
from ajp.lb import Activation, How, Member, Method, Outcome, State
from tests.unit.lb.stage import attempt, balancer, elect, put_state, refuse, state, states, values

pytestmark = pytest.mark.usefixtures("kind_of_store")


def test_factors_1_2_3_share_six_requests_as_1_2_3() -> None:
    lb = balancer(*(Member(name=f"n{factor}", lbfactor=factor) for factor in (1, 2, 3)))
    # Multipliers 6, 3, 2: values (6,0,0) (6,3,0) (6,3,2) (6,3,4) (6,6,4) (6,6,6).
    assert [attempt(lb) for _ in range(6)] == ["n1", "n2", "n3", "n3", "n2", "n3"]
    assert values(lb) == [6, 6, 6]


@pytest.mark.parametrize(("b_state", "after"), [(State.OK, [1, 0]), (State.ERROR, [0, 0])])
def test_next_takes_the_least_of_the_usable_away(b_state: State, after: list[int]) -> None:
    lb = balancer("A", "B", method=Method.NEXT)
    lb.maintain(1.0)
    lb.records[0].value, lb.records[1].value = 10, 9
    put_state(lb, 1, b_state, error_at=30.0)
    assert lb.maintain(61.0)
    assert values(lb) == after
    assert state(lb, 1) is (State.IDLE if b_state is State.OK else State.ERROR)


def test_failed_member_is_tried_again_after_recover_time() -> None:
    noon = 43200.0
    lb = balancer("A", "B", recover_time_s=60)
    lb.maintain(noon)
    put_state(lb, 0, State.ERROR, error_at=noon)
    lb.records[1].value = 4
    assert lb.maintain(noon + 60)  # 60 ≤ 60
    assert states(lb) == ["ERR", "OK/IDLE"]
    assert lb.maintain(noon + 120)
    assert states(lb) == ["ERR/REC", "OK/IDLE"]
    # It comes back with the most there is, which decays as that of the others does.
    assert values(lb) == [1, 1]
    choice = elect(lb, now=noon + 121)
    lb.begin(choice)
    assert (choice.name, states(lb)[0]) == ("A", "ERR/PRB")
    assert elect(lb, "x.A", now=noon + 121).name == "B"  # one request tries it, not two
    lb.end(choice, Outcome.OK, noon + 122)
    assert states(lb)[0] == "OK"


def test_sessions_of_members_that_cannot_be_had() -> None:
    lb = balancer(
        Member(name="n1", redirect="n2", activation=Activation.DISABLED),
        Member(name="n2", activation=Activation.DISABLED),
        Member(name="n3"),
    )
    assert elect(lb, "abc.n1").name == "n1"
    lb.set_activation(0, Activation.STOPPED)
    found = elect(lb, "abc.n1")
    assert (found.name, found.how, found.route) == ("n2", How.BY_REDIRECT, b"n2")
    lb = balancer(Member(name="n1", domain="d1"), "n2", Member(name="n3", domain="d1"))
    put_state(lb, 0, State.ERROR)
    found = elect(lb, "abc.n1")
    assert (found.name, found.how, found.route) == ("n3", How.BY_DOMAIN, b"d1")


def test_forced_session_without_a_route_is_refused() -> None:
    # mod_jk also has all failed members tried then; see Balancer.elect.
    lb = balancer("n1", "n2", sticky_session_force=True)
    put_state(lb, 1, State.ERROR)
    assert refuse(lb, "xyz").reason is Reason.STICKY_FORCED
    assert states(lb) == ["OK/IDLE", "ERR"]


def test_route_nobody_has_leads_to_its_domain() -> None:
    lb = balancer("other", "d1.n1", "d1.n2")
    lb.records[1].value = 5
    found = elect(lb, "abc.d1.n9")
    assert (found.name, found.how, found.route) == ("d1.n2", How.BY_DOMAIN, b"d1")


def test_reply_timeouts_above_the_limit() -> None:
    lb = balancer("n1", max_reply_timeouts=2)
    attempt(lb, outcome=Outcome.REPLY_TIMEOUT, tries=2)
    assert states(lb) == ["OK"]  # 2 > 2 is not so
    attempt(lb, outcome=Outcome.REPLY_TIMEOUT, tries=2)
    assert states(lb) == ["ERR"]
    assert lb.records[0].errors == 1
