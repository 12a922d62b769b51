import pytest

from ajp.errors import Progress, Reason
from ajp.lb.member import Outcome
from ajp.retry import (
    CLIENT_FAULTS,
    IDEMPOTENT,
    Step,
    leaves_hard,
    may_move_on,
    may_retry,
    next_step,
    outcome_of,
    retry_delay,
)

LOST = {
    Reason.CONNECT_REFUSED,
    Reason.RESET_BEFORE_HEADERS,
    Reason.EOF_BEFORE_HEADERS,
    Reason.CPING_TIMEOUT,
}
METHODS = (b"GET", b"HEAD", b"PUT", b"POST", b"PATCH")


def again(
    reason: Reason = Reason.EOF_BEFORE_HEADERS,
    progress: Progress = Progress.HEAD_SENT,
    *,
    method: bytes = b"GET",
    options: int | None = None,
    is_replayable: bool = True,
    attempts: int = 1,
) -> bool:
    return may_retry(
        reason,
        progress,
        method=method,
        is_replayable=is_replayable,
        recovery_options=options,
        attempts=attempts,
        limit=2,
    )


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("progress", Progress)
@pytest.mark.parametrize("method", METHODS)
def test_one_attempt_more(reason: Reason, progress: Progress, method: bytes) -> None:
    expected = reason in LOST and (
        progress == Progress.NOTHING_SENT
        or (method in IDEMPOTENT and progress < Progress.RESPONSE_STARTED)
    )
    assert again(reason, progress, method=method) == expected
    assert not again(reason, progress, method=method, attempts=2)
    assert not again(reason, progress, method=method, is_replayable=False)


@pytest.mark.parametrize("options", range(32))
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("progress", [Progress.HEAD_SENT, Progress.BODY_SENT])
def test_recovery_options(options: int, method: bytes, progress: Progress) -> None:
    expected = (
        not options & 1
        or (method == b"HEAD" and options & 8 > 0)
        or (method == b"GET" and options & 16 > 0)
    )
    assert again(progress=progress, method=method, options=options) == expected
    assert again(progress=Progress.NOTHING_SENT, method=method, options=options)
    assert not again(progress=Progress.RESPONSE_STARTED, method=method, options=options)


@pytest.mark.parametrize("reason", LOST)
@pytest.mark.parametrize("reused", [False, True])
def test_when(reason: Reason, reused: bool) -> None:
    at_once = reused and reason is not Reason.CPING_TIMEOUT
    assert retry_delay(reason, reused=reused, interval=0.1) == (0.0 if at_once else 0.1)


def test_how_a_container_is_left() -> None:
    assert [leaves_hard(options) for options in (None, 0, 3, 4, 31)] == [
        *(True, False, False, True, True)
    ]


def test_nothing_that_is_the_clients_fault_is_tried_again() -> None:
    assert not CLIENT_FAULTS & LOST


MOVES_ALWAYS = {
    Reason.CONNECT_REFUSED,
    Reason.CONNECT_TIMEOUT,
    Reason.RESOLVE_FAILED,
    Reason.POOL_EXHAUSTED,
    Reason.QUEUE_TIMEOUT,
    Reason.BUSY_LIMIT,
}


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("progress", Progress)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", [None, 0, 1])
def test_another_member(
    reason: Reason, progress: Progress, method: bytes, options: int | None
) -> None:
    repeats = options == 0 or (options is None and method in IDEMPOTENT)
    is_unseen = progress < Progress.RESPONSE_STARTED or reason is Reason.FAIL_ON_STATUS
    expected = reason not in CLIENT_FAULTS and (
        progress == Progress.NOTHING_SENT or (repeats and is_unseen)
    )
    may = {"method": method, "recovery_options": options}
    assert may_move_on(reason, progress, is_replayable=True, **may) == expected  # type: ignore[arg-type]
    assert not may_move_on(reason, progress, is_replayable=False, **may)  # type: ignore[arg-type]


def step(reason: Reason, progress: Progress, **changes: object) -> tuple[Step, float]:
    usual = {
        "method": b"GET",
        "is_replayable": True,
        "recovery_options": None,
        "attempts": 1,
        "limit": 2,
        "reused": False,
        "interval": 0.1,
        "has_others": False,
    }
    return next_step(reason, progress, **{**usual, **changes})  # type: ignore[arg-type]


def test_steps() -> None:
    lost = (Reason.RESET_BEFORE_HEADERS, Progress.HEAD_SENT)
    assert step(*lost) == (Step.AGAIN, 0.1)
    assert step(*lost, reused=True) == (Step.AGAIN, 0.0)
    assert step(*lost, reused=True, has_others=True) == (Step.AGAIN, 0.0)
    assert step(*lost, has_others=True) == (Step.MOVE_ON, 0.0)
    assert step(*lost, attempts=2) == (Step.GIVE_UP, 0.0)
    assert step(*lost, reused=True, attempts=2, has_others=True) == (Step.MOVE_ON, 0.0)
    assert step(*lost, method=b"POST", has_others=True) == (Step.GIVE_UP, 0.0)
    for reason in MOVES_ALWAYS:
        unsent = step(reason, Progress.NOTHING_SENT, method=b"POST", has_others=True)
        assert unsent == (Step.MOVE_ON, 0.0)


@pytest.mark.parametrize("reason", Reason)
def test_what_a_failure_says_about_the_member(reason: Reason) -> None:
    outcome = outcome_of(reason)
    assert outcome is not Outcome.OK
    assert (outcome is Outcome.CLIENT_ERROR) == (
        reason in CLIENT_FAULTS
        or reason
        in (
            Reason.SECRET_REJECTED,
            Reason.ATTRIBUTE_REJECTED,
            Reason.NO_MEMBER,
            Reason.STICKY_FORCED,
            Reason.CONNECTION_LIMIT,
            Reason.SHUTDOWN,
        )
    )
    assert outcome_of(Reason.FAIL_ON_STATUS, is_soft=True) is Outcome.SOFT_STATUS
