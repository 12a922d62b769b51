"""The law of attempts as both clients follow it, without a client."""

import pytest

from ajp.attempts import Attempts, Ending, reason_of
from ajp.balancing import Balancer
from ajp.constants import AttributeCode
from ajp.errors import (
    AJPError,
    CPingTimeout,
    EndpointClosed,
    LocalProtocolError,
    PoolClosed,
    PoolTimeout,
    Progress,
    Reason,
    RemoteProtocolError,
)
from ajp.messages import Attribute, ForwardRequest

GET = ForwardRequest()
STALE = Ending(reason=Reason.EOF_BEFORE_HEADERS, is_reused=True)


def alone(request: ForwardRequest = GET) -> Attempts:
    attempts = Attempts(request, [None], None, None)
    assert attempts.next() == 0.0
    return attempts


def fails(attempts: Attempts, ending: Ending, error: AJPError | None = None) -> bool:
    """Whether another attempt follows; if so it is begun."""
    is_next = attempts.failed(error or EndpointClosed("gone"), ending)
    if is_next:
        assert attempts.next() == 0.0
    return is_next


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CPingTimeout("late"), Reason.CPING_TIMEOUT),
        (PoolTimeout("busy"), Reason.QUEUE_TIMEOUT),
        (PoolClosed("closed"), Reason.SHUTDOWN),
        (RemoteProtocolError("what?"), Reason.PROTOCOL_ERROR),
        (RemoteProtocolError("9", code="E_TOO_LARGE"), Reason.PACKET_TOO_LARGE_FROM_CONTAINER),
        (LocalProtocolError("no"), None),
        (KeyError("no"), None),
    ],
)
def test_reasons(error: BaseException, reason: Reason | None) -> None:
    assert reason_of(error) is reason


def test_dead_connections_are_no_attempts() -> None:
    attempts = alone()
    for _ in range(5):
        assert fails(attempts, STALE)
    assert not fails(attempts, Ending(reason=Reason.CONNECT_REFUSED))


def test_silent_connection_is_replaced_once() -> None:
    """Each of them costs the time of a ping."""
    silent = Ending(reason=Reason.CPING_TIMEOUT, is_reused=True)
    attempts = alone()
    assert fails(attempts, silent)
    assert not fails(attempts, silent)


@pytest.mark.parametrize("progress", [Progress.HEAD_SENT, Progress.RESPONSE_STARTED])
def test_one_container_gets_nothing_twice(progress: Progress) -> None:
    ending = Ending(reason=Reason.EOF_BEFORE_HEADERS, is_reused=True, progress=progress)
    assert not fails(alone(), ending)


def test_what_cannot_be_repeated() -> None:
    ending = Ending(reason=Reason.EOF_BEFORE_HEADERS, is_reused=True, is_replayable=False)
    assert not fails(alone(), ending)
    assert not fails(alone(), Ending(reason=Reason.SHUTDOWN), PoolClosed("closed"))
    assert not fails(alone(), Ending(), LocalProtocolError("our own"))


def test_dead_connections_of_a_member() -> None:
    balancer = Balancer(["h:1", "h:2"])
    attempts = Attempts(GET, [None, None], balancer.place(GET), None)
    assert attempts.next() == 0.0
    for _ in range(5):
        assert fails(attempts, STALE)
        assert attempts.member == "h:1"
    refused = Ending(reason=Reason.CONNECT_REFUSED)
    assert fails(attempts, refused)
    assert attempts.member == "h:2"
    assert not attempts.failed(EndpointClosed("gone"), Ending(reason=None))
    assert [each.errors for each in balancer.members] == [1, 0]
    assert [each.in_flight for each in balancer.members] == [0, 0]


def test_what_a_container_is_told() -> None:
    asked = ForwardRequest(attributes=(Attribute(AttributeCode.ROUTE, b"b"),))
    balancer = Balancer({"a": "h:1", "b": "h:2"})
    attempts = Attempts(asked, [b"one", b"two"], balancer.place(asked), None)
    attempts.next()
    assert attempts.request.attributes == (
        Attribute(AttributeCode.SECRET, b"two"),
        Attribute(AttributeCode.ROUTE, b"b"),
        Attribute(AttributeCode.REQ_ATTRIBUTE, b"ACT", b"JK_LB_ACTIVATION"),
    )
    assert alone().request is GET
    attempts.abandon()
    attempts.abandon()
    assert [each.in_flight for each in balancer.members] == [0, 0]
