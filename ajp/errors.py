"""Every exception of the library, the reasons of a failure and the progress of an attempt.

    AJPError
    ├── ProtocolError
    │   ├── LocalProtocolError      we tried to say what the wire cannot carry
    │   └── RemoteProtocolError     the peer said what the protocol does not allow
    ├── EndpointError               one connection to a container failed
    │   ├── ConnectFailed           (also ConnectionError)
    │   ├── EndpointClosed
    │   ├── EndpointReset
    │   └── EndpointTimeout         (also TimeoutError)
    │       ├── ConnectTimeout
    │       ├── CPingTimeout
    │       └── ReplyTimeout
    ├── PoolError
    │   ├── PoolTimeout             (also TimeoutError)
    │   └── PoolClosed
    ├── BalancerError               no member of a balancer can have the request
    │   ├── NoUsableMember
    │   └── RouteNotFound           not those of its session, and no other may
    └── StatusTableError            the shared status table cannot be used
        ├── LayoutMismatch          another version, or another kind of machine, made it
        └── TableFull

Direction is told by type (we or the peer), phase by type (connect, cping, reply). This file
knows no I/O and no HTTP beyond the one table that turns a reason into a status.
"""

from enum import IntEnum, StrEnum
from typing import Final

__all__ = [
    "REASON_STATUS",
    "AJPError",
    "BalancerError",
    "CPingTimeout",
    "ConnectFailed",
    "ConnectTimeout",
    "EndpointClosed",
    "EndpointError",
    "EndpointReset",
    "EndpointTimeout",
    "LayoutMismatch",
    "LocalProtocolError",
    "NoUsableMember",
    "PoolClosed",
    "PoolError",
    "PoolTimeout",
    "Progress",
    "ProtocolError",
    "Reason",
    "RemoteProtocolError",
    "ReplyTimeout",
    "RouteNotFound",
    "StatusTableError",
    "TableFull",
]


class Progress(IntEnum):
    """How far an attempt had come when it ended; retry decisions read this and the method."""

    NOTHING_SENT = 0
    HEAD_SENT = 1
    BODY_SENT = 2
    RESPONSE_STARTED = 3


class Reason(StrEnum):
    """Why an attempt or an exchange failed: one closed vocabulary for logs, metrics and pages."""

    CONNECT_REFUSED = "connect_refused"
    CONNECT_TIMEOUT = "connect_timeout"
    RESOLVE_FAILED = "resolve_failed"
    CPING_TIMEOUT = "cping_timeout"
    RESET_BEFORE_HEADERS = "reset_before_headers"
    EOF_BEFORE_HEADERS = "eof_before_headers"
    RESET_MID_BODY = "reset_mid_body"
    EOF_MID_BODY = "eof_mid_body"
    REPLY_TIMEOUT = "reply_timeout"
    PROTOCOL_ERROR = "protocol_error"
    PACKET_TOO_LARGE_FROM_CONTAINER = "packet_too_large_from_container"
    REQUEST_TOO_LARGE = "request_too_large"
    SECRET_REJECTED = "secret_rejected"
    ATTRIBUTE_REJECTED = "attribute_rejected"
    POOL_EXHAUSTED = "pool_exhausted"
    QUEUE_TIMEOUT = "queue_timeout"
    BUSY_LIMIT = "busy_limit"
    NO_MEMBER = "no_member"
    STICKY_FORCED = "sticky_forced"
    NO_MAPPING = "no_mapping"
    CLIENT_ABORT = "client_abort"
    CLIENT_TIMEOUT = "client_timeout"
    BAD_REQUEST = "bad_request"
    FAIL_ON_STATUS = "fail_on_status"
    FROZEN = "frozen"
    CONNECTION_LIMIT = "connection_limit"
    SHUTDOWN = "shutdown"


#: HTTP status a client gets when an exchange ends with this reason and nothing was answered yet.
REASON_STATUS: Final[dict[Reason, int]] = {
    Reason.CONNECT_REFUSED: 503,
    Reason.CONNECT_TIMEOUT: 503,
    Reason.RESOLVE_FAILED: 503,
    Reason.CPING_TIMEOUT: 503,
    Reason.RESET_BEFORE_HEADERS: 502,
    Reason.EOF_BEFORE_HEADERS: 502,
    Reason.RESET_MID_BODY: 502,
    Reason.EOF_MID_BODY: 502,
    Reason.REPLY_TIMEOUT: 504,
    Reason.PROTOCOL_ERROR: 502,
    Reason.PACKET_TOO_LARGE_FROM_CONTAINER: 502,
    Reason.REQUEST_TOO_LARGE: 431,
    Reason.SECRET_REJECTED: 502,
    Reason.ATTRIBUTE_REJECTED: 502,
    Reason.POOL_EXHAUSTED: 503,
    Reason.QUEUE_TIMEOUT: 503,
    Reason.BUSY_LIMIT: 503,
    Reason.NO_MEMBER: 503,
    Reason.STICKY_FORCED: 503,
    Reason.NO_MAPPING: 404,
    Reason.CLIENT_ABORT: 400,
    Reason.CLIENT_TIMEOUT: 408,
    Reason.BAD_REQUEST: 400,
    Reason.FAIL_ON_STATUS: 503,
    Reason.FROZEN: 503,
    Reason.CONNECTION_LIMIT: 503,
    Reason.SHUTDOWN: 503,
}


class AJPError(Exception):
    """Root of everything this library raises on purpose."""


class ProtocolError(AJPError):
    """A rule of the protocol was broken, by us or by the peer."""


class LocalProtocolError(ProtocolError):
    """We were asked to send what cannot be said on the wire, or at the wrong moment.

    Attributes:
        needed: bytes the packet would have needed, or None when size was not the matter.
        limit: bytes the packet may have, or None.
        largest: the largest headers as (name, bytes on the wire), largest first; may be empty.
    """

    def __init__(
        self,
        message: str,
        *,
        needed: int | None = None,
        limit: int | None = None,
        largest: tuple[tuple[bytes, int], ...] = (),
    ) -> None:
        super().__init__(message)
        self.needed = needed
        self.limit = limit
        self.largest = largest


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol; the connection it came from is unusable.

    Attributes:
        code: short name of the rule that was broken, such as ``E_STRING_OVERRUN``.
        offset: where in the packet's payload, in bytes from its start; in the packet header
            (``E_MAGIC``, ``E_TOO_LARGE``) from the packet's start; -1 when there is no place.
        expected: what a correct peer would have sent there.
        got: what was there, as text.
        packet_type: first payload byte, or None when it was not read.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "E_STATE",
        offset: int = -1,
        expected: str = "",
        got: str = "",
        packet_type: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.offset = offset
        self.expected = expected
        self.got = got
        self.packet_type = packet_type


class EndpointError(AJPError):
    """One attempt on one connection to a container failed.

    Attributes:
        reason: the word for it.
        progress: how far the attempt had come.
    """

    reason: Reason = Reason.EOF_BEFORE_HEADERS

    def __init__(
        self,
        message: str,
        *,
        reason: Reason | None = None,
        progress: Progress = Progress.NOTHING_SENT,
    ) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason
        self.progress = progress


class ConnectFailed(EndpointError, ConnectionError):  # noqa: N818 - the field's word
    """No connection to the container could be made."""

    reason = Reason.CONNECT_REFUSED


class EndpointClosed(EndpointError):  # noqa: N818
    """The container closed the connection before the response was complete."""

    reason = Reason.EOF_BEFORE_HEADERS


class EndpointReset(EndpointError):  # noqa: N818
    """The connection broke before the response was complete."""

    reason = Reason.RESET_BEFORE_HEADERS


class EndpointTimeout(EndpointError, TimeoutError):  # noqa: N818
    """The container took longer than it was given."""

    reason = Reason.REPLY_TIMEOUT


class ConnectTimeout(EndpointTimeout):
    """The connection was not made in time."""

    reason = Reason.CONNECT_TIMEOUT


class CPingTimeout(EndpointTimeout):
    """No CPONG in time."""

    reason = Reason.CPING_TIMEOUT


class ReplyTimeout(EndpointTimeout):
    """The next packet of a response did not come in time."""

    reason = Reason.REPLY_TIMEOUT


class PoolError(AJPError):
    """No endpoint could be had from the pool."""


class PoolTimeout(PoolError, TimeoutError):  # noqa: N818
    """All endpoints stayed busy for the whole time allowed."""


class PoolClosed(PoolError):  # noqa: N818
    """The pool is closed."""


class BalancerError(AJPError):
    """No member of a balancer can have the request.

    Attributes:
        reason: the word for it.
    """

    reason: Reason = Reason.NO_MEMBER


class NoUsableMember(BalancerError):  # noqa: N818
    """Every member has failed, is busy, or is not to get new work."""

    reason = Reason.NO_MEMBER


class RouteNotFound(BalancerError):  # noqa: N818
    """The member of the session cannot have the request, and sticky_session_force no other."""

    reason = Reason.STICKY_FORCED


class StatusTableError(AJPError):
    """The shared status table cannot be used as asked."""


class LayoutMismatch(StatusTableError):  # noqa: N818
    """The table is one of another version, or of another kind of machine."""


class TableFull(StatusTableError):  # noqa: N818
    """There is no room for another worker, member, balancer or process."""
