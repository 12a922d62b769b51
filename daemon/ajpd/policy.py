"""What may be done about a failure: pure decisions, no I/O.

A request whose head left completely may have been executed. It goes out again only where executing
it twice means the same as once, or where the user's recovery_options ask for it.

Source: mod_jk `ajp_service`, `ajp_get_reply` and its RECOVER_… options. Differs: nothing is sent
again once a byte of a response came, whatever is written; options 8 and 16 do not depend on each
other; without a word of the user only idempotent requests are sent again.
"""

from typing import Final

from ajp.errors import Progress, Reason

__all__ = ["CLIENT_FAULTS", "IDEMPOTENT", "leaves_hard", "may_retry", "retry_delay"]

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
    if progress == Progress.NOTHING_SENT:
        return True
    if progress >= Progress.RESPONSE_STARTED:
        return False
    if recovery_options is None:
        return method in IDEMPOTENT
    if not recovery_options & _NOT_ONCE_SENT:
        return True
    return (method == b"HEAD" and bool(recovery_options & _ALWAYS_HEAD)) or (
        method == b"GET" and bool(recovery_options & _ALWAYS_GET)
    )


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
