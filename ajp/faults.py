"""What ends an attempt at the wrong time, put into words.

Exceptions and their texts, no decisions: the endpoint says what happened and how far things had
come.
"""

from .errors import (
    CPingTimeout,
    EndpointClosed,
    EndpointError,
    EndpointReset,
    Progress,
    Reason,
    RemoteProtocolError,
    ReplyTimeout,
)

__all__ = ["connection_gone", "late_cpong", "late_reply", "late_write", "out_of_order"]

_PACKETS = {
    -1: "bytes",
    3: "SEND_BODY_CHUNK",
    4: "SEND_HEADERS",
    5: "END_RESPONSE",
    6: "GET_BODY_CHUNK",
    9: "CPONG",
}


def connection_gone(
    name: str, cause: BaseException | None, *, progress: Progress
) -> EndpointClosed | EndpointReset:
    """The connection ended before the response did; `cause`: None for an orderly close."""
    started = progress is Progress.RESPONSE_STARTED
    if cause is None:
        where = "inside the response" if started else "before the response headers"
        return EndpointClosed(
            f"{name}: the container closed the connection {where}",
            reason=Reason.EOF_MID_BODY if started else Reason.EOF_BEFORE_HEADERS,
            progress=progress,
        )
    error = EndpointReset(
        f"{name}: {cause}",
        reason=Reason.RESET_MID_BODY if started else Reason.RESET_BEFORE_HEADERS,
        progress=progress,
    )
    error.__cause__ = cause
    return error


def late_cpong(name: str) -> EndpointError:
    """No CPONG came in time."""
    return CPingTimeout(f"{name}: no CPONG in time")


def late_reply(
    name: str, seconds: float, *, is_of_socket: bool, progress: Progress
) -> EndpointError:
    """Nothing came in time; `is_of_socket`: it was socket_timeout that ran out."""
    text = f"no bytes within the socket_timeout of {seconds:g} s"
    if not is_of_socket:
        text = f"no packet within {seconds:g} s"
    return ReplyTimeout(f"{name}: {text}", progress=progress)


def late_write(name: str, seconds: float, *, progress: Progress) -> EndpointError:
    """The container did not take what was sent."""
    return ReplyTimeout(
        f"{name}: the container took no bytes within the socket_timeout of {seconds:g} s",
        progress=progress,
    )


def out_of_order(name: str, kind: int, state: str, *, detail: str = "") -> RemoteProtocolError:
    """A packet that may not come in this state; kind -1: bytes of any kind."""
    packet = _PACKETS.get(kind, f"packet type {kind}")
    return RemoteProtocolError(
        f"{name}: {packet} may not come in state {state}" + (f": {detail}" if detail else ""),
        code="E_STATE",
        expected=f"a packet of state {state}",
        got=packet,
        packet_type=None if kind < 0 else kind,
    )
