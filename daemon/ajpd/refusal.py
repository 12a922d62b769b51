"""What a client is told whose request cannot be sent: pure decisions, no I/O."""

from ajp.errors import LocalProtocolError, Reason

__all__ = ["refusal_of"]


def refusal_of(error: LocalProtocolError, target_size: int) -> tuple[int, Reason, str]:
    """What a client is told whose request does not fit into a packet, or cannot be said in one.

    Args:
        error: of the encoder.
        target_size: bytes of the request target.

    Returns:
        Status, reason, and one sentence more, maybe empty.
    """
    if error.needed is None or error.limit is None:
        return 400, Reason.BAD_REQUEST, str(error)
    if target_size > error.limit // 2:
        return 414, Reason.REQUEST_TOO_LARGE, ""
    largest = ", ".join(f"{name.decode('latin-1')} ({size} bytes)" for name, size in error.largest)
    return 431, Reason.REQUEST_TOO_LARGE, f"The largest are {largest}." if largest else ""
