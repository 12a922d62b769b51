"""What may be done about a failure: pure decisions, no I/O.

A request whose head left completely may have been executed; only where executing it twice means
the same as once does it go out again.
"""

from typing import Final

from ajp.errors import Progress, Reason

__all__ = ["CLIENT_FAULTS", "IDEMPOTENT", "may_retry"]

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

#: The container was not reached over this connection, or went away before it answered.
_LOST: Final = frozenset(
    (Reason.RESET_BEFORE_HEADERS, Reason.EOF_BEFORE_HEADERS, Reason.CPING_TIMEOUT)
)


def may_retry(
    reason: Reason, progress: Progress, *, is_idempotent: bool, attempts: int, limit: int
) -> bool:
    """Whether one attempt more can do no harm.

    Args:
        reason: why the last one failed.
        progress: how far it had come.
        is_idempotent: whether the method is one of IDEMPOTENT.
        attempts: made so far.
        limit: how many there may be.
    """
    if attempts >= limit or reason not in _LOST:
        return False
    return progress == Progress.NOTHING_SENT or is_idempotent
