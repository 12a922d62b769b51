"""What containers do wrong: the rows of the fault matrix.

A row says what the container does and when that strikes; what comes of it is for the rules in
`cells` to say.
"""

from typing import Any, Final

from tests.faults.cells import Fault, Harm, Section, Took
from tests.faults.container import (
    CPONG,
    END,
    FLUSH,
    Connection,
    Script,
    Step,
    ask,
    chunk,
    cut,
    delay,
    get_body,
    headers,
    never,
    packet,
    raw_headers,
    read_body,
    reset,
    send,
    slowly,
    swallow,
    whole,
)
from tests.faults.leaving import UNREACHED, begun, leaving, silence

# --- nonsense -------------------------------------------------------------------------------------

PROTOCOL: Final = "protocol_error"
TOO_LARGE: Final = "packet_too_large_from_container"


def _wrong(name: str, *packets: bytes, reason: str = PROTOCOL, **more: Any) -> Fault:
    return Fault(
        section=Section.WRONG,
        name=name,
        steps=[read_body, send(*packets)],
        harm=Harm.SENT,
        reason=reason,
        requests="few",
        **more,
    )


def _named(name: bytes, value: bytes) -> bytes:
    return raw_headers(200, (name, value)) + END


_WRONG: Final = (
    _wrong("answers in HTTP", b"HTTP/1.1 200 OK\r\n\r\n"),
    _wrong("begins a packet with other bytes than `AB`", b"\x12\x34" + whole()[2:]),
    _wrong("announces a packet that is too large", b"AB\x20\x00\x04", reason=TOO_LARGE),
    _wrong("sends an empty packet", packet(b"")),
    _wrong("sends a packet of unknown type", packet(b"\x63hello")),
    _wrong("sends CPONG to a request", CPONG),
    _wrong("sends END_RESPONSE without headers", END),
    _wrong("sends body before the headers", chunk(b"early") + whole()),
    _wrong("sends headers twice, in one go", headers(200) + headers(200) + END),
    *(
        _wrong(f"answers with status {status}", raw_headers(status) + whole())
        for status in (0, 100, 103, 1000)
    ),
    _wrong("sends headers that are cut short", packet(b"\x04\x00\xc8\x00\x00\x00\x00\x05")),
    _wrong("sends CR LF in a header", _named(b"X", b"a\r\nSet-Cookie: b")),
    _wrong("sends CR in a header", _named(b"X", b"a\rb")),
    _wrong("sends LF in a header", _named(b"X", b"a\nb")),
    _wrong("sends NUL in a header", _named(b"X", b"a\0b")),
    _wrong("sends LF in a header's name", _named(b"X\nY", b"a")),
    _wrong("sends a space in a header's name", _named(b"X Y", b"a")),
    _wrong("sends a colon in a header's name", _named(b"X:Y", b"a")),
    _wrong("sends a header without a name", _named(b"", b"a")),
    _wrong("sends CR LF in the reason phrase", raw_headers(200, phrase=b"OK\r\nX: y") + END),
    _wrong("sends a Content-Length that is none", _named(b"Content-Length", b"-1")),
    _wrong(
        "sends two different Content-Lengths",
        raw_headers(200, (b"Content-Length", b"1"), (b"Content-Length", b"2")) + END,
    ),
    _wrong("asks for 0 bytes of body", get_body(1)[:-2] + b"\0\0"),
    Fault(
        section=Section.WRONG,
        name="asks for body again and again after its end",
        steps=[read_body, ask(), ask(), ask(), ask()],
        harm=Harm.SENT,
        reason=PROTOCOL,
        requests="few",
    ),
    Fault(
        section=Section.GREET,
        name="sends an answer in place of a CPONG",
        steps=[send(whole())],
        at_cping=True,
        harm=Harm.UNSENT,
        took=Took.NOTHING,
        reason=PROTOCOL,
    ),
    Fault(
        section=Section.GREET,
        name="sends CPONG twice",
        steps=[send(CPONG + CPONG)],
        at_cping=True,
        harm=Harm.UNSENT,
        took=Took.NOTHING,
        reason=PROTOCOL,
    ),
)

_LATER: Final = tuple(
    begun(name, [send(packets)], reason, section=Section.LATER)
    for name, packets, reason in (
        ("sends zeros", b"\0" * 8, PROTOCOL),
        ("sends headers again", headers(200) + END, PROTOCOL),
        ("sends CPONG", CPONG, PROTOCOL),
        ("announces a packet that is too large", b"AB\x20\x00\x03\x00\x00", TOO_LARGE),
        ("sends a chunk longer than its packet", packet(b"\x03\x00\x20abc"), PROTOCOL),
        ("sends an empty packet", packet(b""), PROTOCOL),
        ("sends a packet of unknown type", packet(b"\x63hello"), PROTOCOL),
        ("asks for 0 bytes of body", get_body(1)[:-2] + b"\0\0", PROTOCOL),
    )
)


# --- bodies ---------------------------------------------------------------------------------------


async def _ask_in_vain(connection: Connection) -> None:
    """Ask until the body is not there: 15 kB are, and one packet of them came unasked."""
    has_length = connection.request.header(b"content-length") is not None
    await connection.write(get_body() * (2 if has_length else 3))


async def _take(connection: Connection) -> None:
    await connection.take_body_packet()


_BODIES: Final = (
    Fault(
        section=Section.BODIES,
        name="ends the answer short of its Content-Length",
        steps=[read_body, send(headers(200, (b"Content-Length", b"10")) + chunk(b"short") + END)],
        harm=Harm.BEGUN,
        reason="eof_mid_body",
        is_of_body=True,
    ),
    Fault(
        section=Section.BODIES,
        name="ends an error page short of its Content-Length, which is corrected",
        steps=[read_body, send(headers(404, (b"Content-Length", b"10")) + chunk(b"fine") + END)],
        status=404,
        reason="eof_mid_body",
        is_of_body=True,
    ),
    Fault(
        section=Section.BODIES,
        name="sends more than its Content-Length, of which the client gets no more",
        steps=[
            read_body,
            send(headers(200, (b"Content-Length", b"4")) + chunk(b"fineness") + chunk(b"x") + END),
        ],
        reason=PROTOCOL,
        is_of_body=True,
        closes_client=True,
    ),
    Fault(
        section=Section.BODIES,
        name="asks for body, and again before the client has sent it",
        steps=[_ask_in_vain, send(get_body()), never],
        harm=Harm.SENT,
        took=Took.HEAD,
        reason=PROTOCOL,
        is_partial=True,
        requests="20 kB",
    ),
    Fault(
        section=Section.BODIES,
        name="answers before the client has sent all of the body",
        steps=[swallow, send(whole())],
        is_partial=True,
        requests="20 kB",
    ),
    Fault(
        section=Section.BODIES,
        name="answers and closes before the client has sent all of the body",
        steps=[swallow, send(whole(reuse=False)), cut],
        keeps_endpoint=False,
        is_partial=True,
        requests="20 kB",
    ),
    Fault(
        section=Section.BODIES,
        name="asks for body, and answers before the client has sent it",
        steps=[_ask_in_vain, send(whole()), never],
        keeps_endpoint=False,
        is_partial=True,
        requests="20 kB",
    ),
    Fault(
        section=Section.BODIES,
        name="answers and takes none of the body",
        steps=[swallow, send(whole())],
    ),
    Fault(
        section=Section.BODIES,
        name="answers and takes none of a large body",
        steps=[swallow, send(whole())],
        requests="4 MB",
    ),
)


# --- answers after all ----------------------------------------------------------------------------


def _willing(name: str, *steps: Step, **more: Any) -> Fault:
    return Fault(
        section=Section.WILLING, name=name, steps=[read_body, *steps], **{"requests": "few", **more}
    )


def _pausing() -> Script:
    """A short sleep between any two things."""
    parts = (headers(200), FLUSH, b"AB\x00", chunk(b"fi")[3:6], chunk(b"fi")[6:], chunk(b"ne"), END)
    steps: list[Step] = [delay(0.01), read_body]
    for part in parts:
        steps += [delay(0.01), send(part)]
    return steps


_WILLING: Final = (
    Fault(
        section=Section.GREET,
        name="sends its CPONG late, and in time",
        steps=[delay(0.05), send(CPONG)],
        at_cping=True,
        requests="few",
    ),
    Fault(section=Section.WILLING, name="pauses at every place", steps=_pausing(), requests="few"),
    _willing("answers byte by byte", slowly(whole())),
    _willing("sends bytes behind END_RESPONSE", send(whole() + FLUSH), keeps_endpoint=False),
    _willing("ends the answer with reuse 0", send(whole(reuse=False)), keeps_endpoint=False),
    _willing("closes behind its answer", send(whole(reuse=False)), cut, keeps_endpoint=False),
    _willing("closes behind an answer with reuse 1", send(whole()), cut, keeps_endpoint=False),
    _willing("resets behind an answer with reuse 1", send(whole()), reset, keeps_endpoint=False),
    _willing("asks for body that a request has not", ask(), send(whole()), requests="bodiless"),
    _willing("asks twice for body after its end", ask(), ask(), send(whole())),
    Fault(
        section=Section.WILLING,
        name="asks for the next body without awaiting the last",
        steps=[swallow, send(get_body() * 2), _take, _take, send(whole())],
        requests="20 kB",
    ),
    _willing(
        "answers 403 and closes: it does not like the secret",
        send(whole(b"fine", 403, reuse=False)),
        cut,
        status=403,
        reason="secret_rejected",
        keeps_endpoint=False,
    ),
    Fault(
        section=Section.WILLING,
        name="answers with a status that `fail_on_status` names",
        steps=[read_body, send(whole(b"theirs", 500))],
        harm=Harm.HELD,
        reason="fail_on_status",
        worker={"fail_on_status": (500,)},
    ),
)

FAULTS: Final = (
    *UNREACHED,
    *leaving(),
    *silence(),
    *_WRONG,
    *_LATER,
    *_BODIES,
    *_WILLING,
)
