import pytest

from ajp.errors import Progress, Reason
from ajpd.policy import CLIENT_FAULTS, may_retry

LOST = {Reason.RESET_BEFORE_HEADERS, Reason.EOF_BEFORE_HEADERS, Reason.CPING_TIMEOUT}


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("progress", Progress)
@pytest.mark.parametrize("is_idempotent", [False, True])
def test_one_attempt_more(reason: Reason, progress: Progress, is_idempotent: bool) -> None:
    allowed = may_retry(reason, progress, is_idempotent=is_idempotent, attempts=1, limit=2)
    assert allowed == (reason in LOST and (is_idempotent or progress == Progress.NOTHING_SENT))
    assert not may_retry(reason, progress, is_idempotent=is_idempotent, attempts=2, limit=2)


def test_nothing_that_is_the_clients_fault_is_tried_again() -> None:
    assert not CLIENT_FAULTS & LOST
