"""Lines of the log about exchanges that did not go well; the client's own faults are no news."""

import logging

from ajp.errors import Progress, Reason
from ajp.retry import CLIENT_FAULTS

__all__ = ["exchange_failed", "trying_again"]

logger = logging.getLogger("ajpd.exchange")


def exchange_failed(
    method: bytes,
    path: bytes,
    *,
    client: bytes,
    worker: str | None,
    status: int,
    reason: Reason,
    progress: Progress | None,
    attempts: int,
    error: object,
    request_id: bytes | None = None,
) -> None:
    """One line for an exchange, at its end.

    Args:
        method: of the request.
        path: as the client sent it.
        client: its address.
        worker: the last container's; None before there was one.
        status: that the client got, 0 for none.
        reason: why it failed.
        progress: of the last attempt; None when the failure is not its own.
        attempts: all of them.
        error: an exception or words; empty for none.
        request_id: what it is called; None for nothing.
    """
    name = "" if request_id is None else f" request_id={request_id.decode('latin-1')}"
    logger.log(
        logging.INFO if reason in CLIENT_FAULTS else logging.WARNING,
        "%s %s client=%s worker=%s status=%s reason=%s progress=%s attempts=%d%s error=%s",
        method.decode("latin-1"),
        path.decode("latin-1"),
        client.decode("latin-1"),
        worker or "-",
        status or "-",
        reason,
        progress.name if progress is not None else "-",
        attempts,
        name,
        error or "-",
        extra={"about": (worker, reason, status)},
    )


def trying_again(
    method: bytes,
    path: bytes,
    *,
    worker: str,
    reason: Reason,
    progress: Progress,
    error: object,
) -> None:
    """One line for an attempt that is followed by another."""
    logger.info(
        "%s %s worker=%s reason=%s progress=%s error=%s: trying again",
        method.decode("latin-1"),
        path.decode("latin-1"),
        worker,
        reason,
        progress.name,
        error,
        extra={"about": (worker, reason)},
    )
