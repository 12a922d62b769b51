import pytest

from ajp.errors import Progress, Reason
from ajpd.policy import CLIENT_FAULTS, IDEMPOTENT, leaves_hard, may_retry, retry_delay

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
