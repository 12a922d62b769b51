from ajp.errors import LocalProtocolError, Reason
from ajpd.refusal import refusal_of


def test_what_does_not_fit_into_a_packet() -> None:
    assert refusal_of(LocalProtocolError("no such name"), 5) == (
        *(400, Reason.BAD_REQUEST, "no such name"),
    )
    large = LocalProtocolError(
        "too large", needed=9000, limit=8192, largest=((b"cookie", 8000), (b"x", 10))
    )
    status, reason, detail = refusal_of(large, 5)
    assert (status, reason) == (431, Reason.REQUEST_TOO_LARGE)
    assert detail == "The largest are cookie (8000 bytes), x (10 bytes)."
    assert refusal_of(large, 5000)[0] == 414
