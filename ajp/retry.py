"""What may be done about a failure: pure decisions, one law for the clients and for ajpd.

A request whose head left completely may have been executed. It goes out again only where executing
it twice means the same as once, or where the user's recovery_options ask for it.

Source: mod_jk `ajp_service`, `ajp_get_reply` and its RECOVER_… options. Differs: nothing is sent
again once a byte of a response came, whatever is written; options 8 and 16 do not depend on each
other; without a word of the user only idempotent requests are sent again.
"""

from enum import Enum, auto
from typing import Final

from .errors import Progress, Reason
from .lb.member import Outcome

__all__ = [
    "CLIENT_FAULTS",
    "IDEMPOTENT",
    "Step",
    "leaves_hard",
    "may_move_on",
    "may_retry",
    "next_step",
    "outcome_of",
    "retry_delay",
]

#: RFC 9110 §9.2.2, and the reading methods of WebDAV.
IDEMPOTENT: Final = frozenset(
    (b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE", b"PROPFIND", b"REPORT", b"SEARCH")
)

#: Reasons that lie with the client: no news for an operator, no mark against a container.
CLIENT_FAULTS: Final = frozenset(
    (
        Reason.BAD_REQUEST,
        Reason.CLIENT_ABORT,
        Reason.CLIENT_TIMEOUT,
        Reason.NO_MAPPING,
        Reason.REQUEST_TOO_LARGE,
    )
)

# Bits of recovery_options.
_NOT_ONCE_SENT: Final = 1
_ABORT_HARD: Final = 4
_ALWAYS_HEAD: Final = 8
_ALWAYS_GET: Final = 16

#: The container was not reached over this connection, or went away before it answered.
_LOST: Final = frozenset(
    (
        Reason.CONNECT_REFUSED,
        Reason.RESET_BEFORE_HEADERS,
        Reason.EOF_BEFORE_HEADERS,
        Reason.CPING_TIMEOUT,
    )
)


#: What is not here is not the member's fault.
_OUTCOMES: Final = {
    Reason.CONNECT_REFUSED: Outcome.CONNECT_FAILED,
    Reason.CONNECT_TIMEOUT: Outcome.CONNECT_FAILED,
    Reason.RESOLVE_FAILED: Outcome.CONNECT_FAILED,
    Reason.CPING_TIMEOUT: Outcome.CONNECT_FAILED,
    Reason.RESET_BEFORE_HEADERS: Outcome.LOST,
    Reason.EOF_BEFORE_HEADERS: Outcome.LOST,
    Reason.RESET_MID_BODY: Outcome.LOST,
    Reason.EOF_MID_BODY: Outcome.LOST,
    Reason.FROZEN: Outcome.LOST,
    Reason.REPLY_TIMEOUT: Outcome.REPLY_TIMEOUT,
    Reason.PROTOCOL_ERROR: Outcome.PROTOCOL_ERROR,
    Reason.PACKET_TOO_LARGE_FROM_CONTAINER: Outcome.PROTOCOL_ERROR,
    Reason.POOL_EXHAUSTED: Outcome.BUSY,
    Reason.QUEUE_TIMEOUT: Outcome.BUSY,
    Reason.BUSY_LIMIT: Outcome.BUSY,
}


def may_retry(
    reason: Reason,
    progress: Progress,
    *,
    method: bytes,
    is_replayable: bool,
    recovery_options: int | None,
    attempts: int,
    limit: int,
) -> bool:
    """Whether one attempt more does no harm, or is wanted in spite of it.

    Args:
        reason: why the last one failed.
        progress: how far it had come.
        method: of the request.
        is_replayable: whether all of the body that left is still there.
        recovery_options: as the user wrote them; None: not written.
        attempts: made so far.
        limit: how many there may be.
    """
    if attempts >= limit or reason not in _LOST or not is_replayable:
        return False
    return progress == Progress.NOTHING_SENT or (
        progress < Progress.RESPONSE_STARTED and _may_repeat(method, recovery_options)
    )


def may_move_on(
    reason: Reason,
    progress: Progress,
    *,
    method: bytes,
    is_replayable: bool,
    recovery_options: int | None,
) -> bool:
    """Whether another member of the balancer may get the request.

    A status of fail_on_status is an answer that nobody has seen yet, so it counts as none.

    Args:
        reason: why the attempt failed.
        progress: how far it had come.
        method: of the request.
        is_replayable: whether all of the body that left is still there.
        recovery_options: of the member that failed, as the user wrote them; None: not written.

    Source:
        mod_jk `ajp_service` and `service` of `jk_lb_worker.c`. Differs: fail_on_status asks
        recovery_options as well, so a POST is not executed a second time for its answer.
    """
    if reason in CLIENT_FAULTS or not is_replayable:
        return False
    if progress == Progress.NOTHING_SENT:
        return True
    if progress >= Progress.RESPONSE_STARTED and reason is not Reason.FAIL_ON_STATUS:
        return False
    return _may_repeat(method, recovery_options)


def _may_repeat(method: bytes, recovery_options: int | None) -> bool:
    """Whether a request that may have been executed goes out again."""
    if recovery_options is None:
        return method in IDEMPOTENT
    if not recovery_options & _NOT_ONCE_SENT:
        return True
    return (method == b"HEAD" and bool(recovery_options & _ALWAYS_HEAD)) or (
        method == b"GET" and bool(recovery_options & _ALWAYS_GET)
    )


class Step(Enum):
    """What follows a failed attempt."""

    AGAIN = auto()  #: another one on the same container
    MOVE_ON = auto()  #: one on another member of the balancer
    GIVE_UP = auto()  #: none


def next_step(
    reason: Reason,
    progress: Progress,
    *,
    method: bytes,
    is_replayable: bool,
    recovery_options: int | None,
    attempts: int,
    limit: int,
    reused: bool,
    interval: float,
    has_others: bool,
) -> tuple[Step, float]:
    """What follows a failed attempt, and after how many seconds.

    A balancer's member that would have to be waited for is left for another one: waiting is for
    containers that stand alone.

    Args:
        reason: see `may_retry`.
        progress: see there.
        method: see there.
        is_replayable: see there.
        recovery_options: see there.
        attempts: see there.
        limit: see there.
        reused: see `retry_delay`.
        interval: see there.
        has_others: whether the container is a member of a balancer.
    """
    delay = retry_delay(reason, reused=reused, interval=interval)
    if not (has_others and delay > 0) and may_retry(
        reason,
        progress,
        method=method,
        is_replayable=is_replayable,
        recovery_options=recovery_options,
        attempts=attempts,
        limit=limit,
    ):
        return Step.AGAIN, delay
    if has_others and may_move_on(
        reason,
        progress,
        method=method,
        is_replayable=is_replayable,
        recovery_options=recovery_options,
    ):
        return Step.MOVE_ON, 0.0
    return Step.GIVE_UP, 0.0


def outcome_of(reason: Reason, *, is_soft: bool = False) -> Outcome:
    """What a failure says about the member.

    Args:
        reason: of the failure.
        is_soft: the status was written with a minus in fail_on_status.
    """
    if reason is Reason.FAIL_ON_STATUS:
        return Outcome.SOFT_STATUS if is_soft else Outcome.HARD_STATUS
    return _OUTCOMES.get(reason, Outcome.CLIENT_ERROR)


def retry_delay(reason: Reason, *, reused: bool, interval: float) -> float:
    """Seconds until the next attempt.

    A connection that had worked before and is gone now says that it was old, and hardly anything
    about the container: no reason to wait.

    Args:
        reason: why the last attempt failed.
        reused: whether it went over such a connection.
        interval: retry_interval in seconds.
    """
    return 0.0 if reused and reason is not Reason.CPING_TIMEOUT else interval


def leaves_hard(recovery_options: int | None) -> bool:
    """Whether a container learns by a reset that the client of a request went away."""
    return recovery_options is None or bool(recovery_options & _ABORT_HARD)
