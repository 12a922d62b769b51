"""What the end of an attempt does to a member."""

import pytest

from ajp.lb import Balancer, Choice, Event, Outcome, State
from tests.unit.lb.stage import attempt, balancer, elect, put_state, state, states

pytestmark = pytest.mark.usefixtures("kind_of_store")

#: Outcome -> the state after an attempt that began in a fine member, and errors counted.
AFTER = {
    Outcome.OK: (State.OK, 0),
    Outcome.CLIENT_ERROR: (State.OK, 0),
    Outcome.SOFT_STATUS: (State.OK, 0),
    Outcome.HARD_STATUS: (State.ERROR, 1),
    Outcome.CONNECT_FAILED: (State.ERROR, 1),
    Outcome.LOST: (State.ERROR, 1),
    Outcome.REPLY_TIMEOUT: (State.ERROR, 1),
    Outcome.PROTOCOL_ERROR: (State.OK, 0),
    Outcome.BUSY: (State.BUSY, 0),
    Outcome.UNTRIED: (State.IDLE, 0),
}


def begun(lb: Balancer, in_state: State = State.IDLE, *, error_at: float = 0.0) -> Choice:
    """An attempt on the first member, which is in that state by the time it ends."""
    choice = elect(lb, "x.n1")
    lb.begin(choice)
    put_state(lb, 0, in_state, error_at=error_at)
    lb.take_changes()
    return choice


@pytest.mark.parametrize("outcome", Outcome)
def test_outcomes_of_a_lone_attempt(outcome: Outcome) -> None:
    lb = balancer("n1", "n2")
    lb.end(begun(lb), outcome, 7.0)
    after, errors = AFTER[outcome]
    record = lb.records[0]
    assert (state(lb, 0), record.errors, record.in_flight) == (after, errors, 0)
    assert (record.first_error, record.last_error) == ((7.0, 7.0) if errors else (0.0, 0.0))
    changes = [change[:3] for change in lb.take_changes()]
    assert changes == [(0, State.IDLE, after)] * (after is not State.IDLE)


@pytest.mark.parametrize("in_state", State)
def test_an_attempt_that_told_the_member_nothing(in_state: State) -> None:
    lb = balancer("n1", "n2")
    lb.end(begun(lb, in_state), Outcome.UNTRIED, 7.0)
    assert state(lb, 0) is (State.RECOVER if in_state is State.PROBE else in_state)
    assert lb.records[0].in_flight == 0


@pytest.mark.parametrize("in_state", State)
@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.CLIENT_ERROR, Outcome.SOFT_STATUS])
def test_whatever_serves_is_fine_and_forgiven(in_state: State, outcome: Outcome) -> None:
    lb = balancer("n1", "n2")
    choice = begun(lb, in_state)
    lb.records[0].note_error(3.0)
    lb.end(choice, outcome, 9.0)
    assert state(lb, 0) is State.OK
    assert (lb.records[0].first_error, lb.records[0].last_error) == (0.0, 0.0)
    assert lb.records[0].errors == 1


@pytest.mark.parametrize("in_state", State)
@pytest.mark.parametrize("outcome", [Outcome.HARD_STATUS, Outcome.REPLY_TIMEOUT])
def test_failures_that_count_at_once(in_state: State, outcome: Outcome) -> None:
    lb = balancer("n1", "n2", error_escalation_time_s=1000)
    other = elect(lb, "x.n1")
    lb.begin(other)  # the member has something else to do
    lb.end(begun(lb, in_state, error_at=2.0), outcome, 9.0)
    record = lb.records[0]
    assert (state(lb, 0), record.errors) == (State.ERROR, 1)
    assert (record.first_error, record.last_error) == (9.0, 9.0)


@pytest.mark.parametrize("outcome", [Outcome.CONNECT_FAILED, Outcome.LOST])
class TestTolerance:
    """Errors while other attempts are on their way: others may have more luck."""

    def failing(self, outcome: Outcome, *times: float, **settings: float) -> Balancer:
        lb = balancer("n1", "n2", **settings)
        lb.begin(elect(lb, "x.n1"))
        for now in times:
            choice = elect(lb, "x.n1", now=now)
            lb.begin(choice)
            lb.end(choice, outcome, now)
        return lb

    def test_an_error_is_tolerated(self, outcome: Outcome) -> None:
        lb = self.failing(outcome, 1.0)
        assert states(lb) == ["OK", "OK/IDLE"]
        assert lb.records[0].errors == 1
        assert elect(lb, "x.n1").name == "n1"

    def test_errors_for_too_long(self, outcome: Outcome) -> None:
        lb = self.failing(outcome, 1.0, 30.9, error_escalation_time_s=30)
        assert states(lb)[0] == "OK"
        assert (lb.records[0].first_error, lb.records[0].last_error) == (1.0, 30.9)
        lb = self.failing(outcome, 1.0, 31.0, error_escalation_time_s=30)
        assert states(lb)[0] == "ERR"

    def test_no_tolerance(self, outcome: Outcome) -> None:
        assert states(self.failing(outcome, 1.0, error_escalation_time_s=0))[0] == "ERR"

    def test_alone_there_is_none(self, outcome: Outcome) -> None:
        lb = balancer("n1", "n2", error_escalation_time_s=1000)
        attempt(lb, outcome=outcome)
        assert states(lb)[0] == "ERR"

    @pytest.mark.parametrize("in_state", State)
    def test_tolerated_in_every_state(self, outcome: Outcome, in_state: State) -> None:
        lb = balancer("n1", "n2", error_escalation_time_s=1000)
        lb.begin(elect(lb, "x.n1"))
        lb.end(begun(lb, in_state, error_at=2.0), outcome, 9.0)
        assert state(lb, 0) is (State.ERROR if in_state is State.ERROR else State.OK)
        assert lb.records[0].errors == 1

    def test_failing_at_once_after_it_recovered(self, outcome: Outcome) -> None:
        # first_error is kept, so the tolerance is used up already.
        lb = balancer("n1", "n2")
        lb.begin(elect(lb, "x.n1"))
        put_state(lb, 0, State.RECOVER, error_at=1.0)
        choice = elect(lb, "x.n1", now=90.0)
        lb.begin(choice)
        assert states(lb)[0] == "ERR/PRB"
        lb.end(choice, outcome, 91.0)
        assert states(lb)[0] == "ERR"


@pytest.mark.parametrize("in_state", State)
def test_busy_in_every_state(in_state: State) -> None:
    lb = balancer("n1", "n2")
    lb.end(begun(lb, in_state), Outcome.BUSY, 9.0)
    assert state(lb, 0) is (State.ERROR if in_state is State.ERROR else State.BUSY)


@pytest.mark.parametrize("in_state", State)
def test_garbage_in_every_state(in_state: State) -> None:
    lb = balancer("n1", "n2")
    lb.end(begun(lb, in_state, error_at=2.0), Outcome.PROTOCOL_ERROR, 9.0)
    is_retried = in_state in (State.FORCE, State.PROBE)
    after = State.ERROR if is_retried or in_state is State.ERROR else State.OK
    assert (state(lb, 0), lb.records[0].errors) == (after, int(is_retried))
    assert lb.records[0].last_error == (
        9.0 if is_retried else 2.0 if in_state in (State.ERROR, State.RECOVER) else 0.0
    )


@pytest.mark.parametrize("in_state", State)
def test_tolerated_reply_timeout_in_every_state(in_state: State) -> None:
    lb = balancer("n1", "n2", max_reply_timeouts=1)
    lb.end(begun(lb, in_state), Outcome.REPLY_TIMEOUT, 9.0)
    assert state(lb, 0) is (State.ERROR if in_state is State.ERROR else State.OK)
    assert (lb.records[0].errors, lb.records[0].reply_timeouts) == (0, 1)


def test_busy_member_is_fine_when_another_attempt_ends() -> None:
    lb = balancer("n1", "n2")
    first, second = elect(lb, "x.n1"), elect(lb, "x.n1")
    lb.begin(first)
    lb.begin(second)
    lb.end(second, Outcome.BUSY, 1.0)
    assert elect(lb, "x.n1").name == "n2"
    lb.end(first, Outcome.OK, 2.0)
    assert elect(lb, "x.n1").name == "n1"


@pytest.mark.parametrize("in_state", [State.IDLE, State.OK, State.RECOVER, State.FORCE, State.BUSY])
def test_begin_in_every_state_that_can_be_elected(in_state: State) -> None:
    lb = balancer("n1", "n2")
    put_state(lb, 0, in_state)
    lb.begin(elect(lb, "x.n1"))
    moved = {State.RECOVER: State.PROBE, State.BUSY: State.OK}
    assert state(lb, 0) is moved.get(in_state, in_state)


def test_changes_say_what_did_it() -> None:
    lb = balancer("n1", "n2")
    put_state(lb, 0, State.RECOVER)
    choice = elect(lb, "x.n1")
    lb.begin(choice)
    lb.end(choice, Outcome.OK, 1.0)
    attempt(lb, "x.n1")
    assert [(change.event, change.after) for change in lb.take_changes()] == [
        (Event.BEGUN, State.PROBE),
        (Event.SERVED, State.OK),
    ]


def test_changes_nobody_takes_are_lost_from_the_oldest_on() -> None:
    lb = balancer("n1", "n2")
    for _ in range(600):
        attempt(lb, "x.n1")
        lb.reset(0)
    changes = lb.take_changes()
    assert len(changes) == 1024
    assert changes[-1].event is Event.RESET
