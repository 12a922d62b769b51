"""What can be set about members, and the table of their states."""

import pytest

from ajp.lb import Activation, Event, Member, Outcome, State
from ajp.lb.member import TRANSITIONS, next_state

S = State
E = Event

#: Written again, by event: the state each state goes to, in the order of their numbers; `-` where
#: the event does not happen.
#:           IDLE OK  REC FRC BUSY ERR PROBE
BY_EVENT = {
    E.BEGUN: "IDLE OK PROBE FORCE OK ERROR PROBE",
    E.SERVED: "OK OK OK OK OK OK OK",
    E.TOLERATED: "OK OK OK OK OK ERROR OK",
    E.GARBLED: "OK OK OK ERROR OK ERROR ERROR",
    E.FAILED: "ERROR ERROR ERROR ERROR ERROR ERROR ERROR",
    E.NO_ENDPOINT: "BUSY BUSY BUSY BUSY BUSY ERROR BUSY",
    E.GIVEN_UP: "- - - - - - RECOVER",
    E.WAITED: "- - - - - RECOVER -",
    E.ESCALATED: "ERROR ERROR - ERROR ERROR - ERROR",
    E.UNUSED: "IDLE IDLE RECOVER FORCE BUSY - PROBE",
    E.FORCED: "- - - - - FORCE -",
    E.FOUND_DEAD: "ERROR ERROR ERROR ERROR ERROR - ERROR",
    E.FOUND_ALIVE: "- - IDLE IDLE - IDLE -",
    E.RECOVERED: "- - - - - RECOVER -",
    E.RESET: "IDLE IDLE IDLE IDLE IDLE IDLE IDLE",
}


@pytest.mark.parametrize("event", Event)
def test_every_event_in_every_state(event: Event) -> None:
    expected = [None if name == "-" else State[name] for name in BY_EVENT[event].split()]
    assert [next_state(state, event) for state in State] == expected


def test_every_state_is_reached_and_left() -> None:
    assert set(TRANSITIONS) == set(State)
    reached = {
        after for state, row in TRANSITIONS.items() for after in row.values() if after is not state
    }
    assert reached == set(State)
    for state, row in TRANSITIONS.items():
        assert set(row.values()) - {state}


def test_labels_and_letters() -> None:
    labels = ["OK/IDLE", "OK", "ERR/REC", "ERR/FRC", "OK/BUSY", "ERR", "ERR/PRB"]
    assert [state.label for state in State] == labels
    assert [activation.letters for activation in Activation] == ["ACT", "DIS", "STP"]


def test_outcomes_that_leave_nothing_to_try() -> None:
    final = {outcome for outcome in Outcome if not outcome.may_move_on}
    assert final == {Outcome.OK, Outcome.CLIENT_ERROR, Outcome.UNTRIED}


def test_what_follows_from_a_name() -> None:
    member = Member(name="n1")
    assert (member.route, member.domain, member.redirect) == ("n1", "", "")
    assert (member.lbfactor, member.distance, member.activation) == (1, 0, Activation.ACTIVE)


@pytest.mark.parametrize(
    ("given", "domain"),
    [
        ({"route": "d1.n1"}, "d1"),
        ({"route": "d1.n1.x"}, "d1"),
        ({"route": "d1.n1", "domain": ""}, ""),
        ({"route": "d1.n1", "domain": "d2"}, "d2"),
        ({"route": ".n1"}, ""),
    ],
)
def test_domain_is_the_route_up_to_its_first_dot(given: dict[str, str], domain: str) -> None:
    assert Member(name="m", **given).domain == domain


def test_numbers_below_their_least() -> None:
    member = Member(name="n1", lbfactor=0, distance=-1)
    assert (member.lbfactor, member.distance) == (1, 0)
    assert Member(name="n1", distance=1 << 40).distance == 0x7FFFFFFF


@pytest.mark.parametrize("what", ["route", "domain", "redirect"])
@pytest.mark.parametrize("text", ["a b", "a;b", "a,b", 'a"b', "a/b", "a?b", "a\\b", "ä", "a\r\nb"])
def test_what_no_cookie_could_carry(what: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"'n1': {what}"):
        Member(name="n1", **{what: text})


def test_member_without_a_name() -> None:
    with pytest.raises(ValueError, match="name"):
        Member(name="")
