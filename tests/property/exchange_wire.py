"""What goes over the wires of the exchange's stage, read by readers that share nothing with ajpd.

Requests whose every byte is known, a strict reader of responses, and for both directions of an AJP
connection a reader that keeps what an attempt may be held to. A reader raises AssertionError as
soon as what it reads may not be there.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ajp import _codec
from ajp._endpoint import Attempt
from ajp.errors import RemoteProtocolError
from ajp.messages import (
    CPong,
    EndResponse,
    ForwardRequest,
    GetBodyChunk,
    SendBodyChunk,
    SendHeaders,
)

__all__ = ["IDEMPOTENT", "Answer", "Answers", "Forward", "Heard", "Request", "Told", "text"]

IDEMPOTENT = (b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE")
#: Statuses of ajpd's own pages, and 200 for OPTIONS *.
OWN = (200, 400, 404, 408, 413, 414, 417, 431, 500, 501, 502, 503, 504, 505)
LARGEST_PACKET = 8192
_TEXT = random.Random(13).randbytes(1 << 20)
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2}) [\t\x20-\x7e\x80-\xff]*")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\t\x20-\x7e\x80-\xff]*)")


def text(of: int, size: int) -> bytes:
    """Bytes that are another's at any other place."""
    start = of * 977 % (len(_TEXT) - size)
    return _TEXT[start : start + size]


# --- from the client ------------------------------------------------------------------------------


@dataclass(slots=True)
class Request:
    """One request on the wire."""

    id: bytes
    method: bytes
    minor: int
    path: bytes
    body: bytes
    raw: bytes
    head_size: int
    #: Where its body is in `raw`.
    spans: list[tuple[int, int]]
    #: Whether it is what it should be; else nothing is known of what follows it either.
    is_valid: bool = True

    @classmethod
    def make(
        cls,
        number: int,
        method: bytes,
        path: bytes,
        *,
        minor: int = 1,
        connection: bytes = b"",
        expects: bool = False,
        size: int = 0,
        chunk: int = 0,
        padding: int = 0,
    ) -> "Request":
        """Write one; `chunk`: the size of its chunks, 0 for a Content-Length."""
        identity, body = b"%d" % number, text(number, size)
        lines = [b"%s %s HTTP/1.%d" % (method, path, minor), b"Host: a", b"X-Id: " + identity]
        if connection:
            lines.append(b"Connection: " + connection)
        if expects:
            lines.append(b"Expect: 100-continue")
        if padding:
            lines.append(b"X-Padding: " + b"p" * padding)
        if chunk:
            lines.append(b"Transfer-Encoding: chunked")
        elif size:
            lines.append(b"Content-Length: %d" % size)
        head = b"\r\n".join([*lines, b"", b""])
        raw, spans = bytearray(head), []
        step = chunk or max(size, 1)
        for at in range(0, size, step):
            piece = body[at : at + step]
            raw += b"%x\r\n" % len(piece) if chunk else b""
            spans.append((len(raw), len(raw) + len(piece)))
            raw += piece + (b"\r\n" if chunk else b"")
        raw += b"0\r\n\r\n" if chunk else b""
        return cls(identity, method, minor, path, body, bytes(raw), len(head), spans)

    @classmethod
    def unknown(cls, raw: bytes) -> "Request":
        """Bytes that may be anything."""
        return cls(b"", b"", 1, b"", b"", raw, 0, [], is_valid=False)

    def body_in(self, size: int) -> int:
        """Bytes of body in the first `size` bytes of all."""
        return sum(max(min(end, size) - start, 0) for start, end in self.spans)


# --- to the client --------------------------------------------------------------------------------


@dataclass(slots=True)
class Answer:
    """One final response, as far as it was written."""

    status: int
    fields: list[tuple[bytes, bytes]]
    #: Of its request; None when nobody knows.
    method: bytes | None
    minor: int
    framing: Literal["none", "length", "chunked", "close"] = "none"
    left: int = 0
    body: bytearray = field(default_factory=bytearray)
    is_whole: bool = False
    #: Bytes of its body that were compared already.
    seen: int = 0

    def all(self, name: bytes) -> list[bytes]:
        return [value for each, value in self.fields if each == name]

    def one(self, name: bytes) -> bytes | None:
        found = self.all(name)
        assert len(found) < 2, f"{name!r} more than once: {found}"
        return found[0] if found else None

    @property
    def keeps_open(self) -> bool:
        """Whether another response may follow."""
        connection = self.one(b"connection")
        assert connection in (None, b"close", b"keep-alive"), connection
        if self.framing == "close" or connection == b"close":
            return False
        return self.minor >= 1 or connection == b"keep-alive"


class Answers:
    """Reads what a client gets, strictly.

    Args:
        request_of: method and minor version of the request an answer belongs to, given its place
            and its headers; None when nobody knows.
    """

    def __init__(self, request_of: Callable[[int, Answer], tuple[bytes, int] | None]) -> None:
        self.all: list[Answer] = []
        #: Interim responses before the next final one.
        self.interim = 0
        self._request_of = request_of
        self._buffer = bytearray()

    @property
    def current(self) -> Answer | None:
        """The one that is not whole yet."""
        return self.all[-1] if self.all and not self.all[-1].is_whole else None

    @property
    def whole(self) -> int:
        return len(self.all) - (self.current is not None)

    def feed(self, data: bytes) -> None:
        """One write: no head, no line of a chunk may be cut at its end."""
        self._buffer += data
        while self._buffer:
            if self.current is None:
                self._head()
            else:
                self._body(self.current)

    def _line(self) -> bytes:
        line, found, rest = bytes(self._buffer).partition(b"\r\n")
        assert found, f"a line without an end: {line[:60]!r}"
        self._buffer = bytearray(rest)
        return line

    def _head(self) -> None:
        assert not self.all or self.all[-1].keeps_open, (
            f"written after a response that promised to be the last: {bytes(self._buffer[:60])!r}"
        )
        status_line = _STATUS_LINE.fullmatch(self._line())
        assert status_line, f"no status line; behind it {bytes(self._buffer[:60])!r}"
        fields = []
        while line := self._line():
            parsed = _FIELD.fullmatch(line)
            assert parsed, f"no header line: {line!r}"
            fields.append((parsed[1].lower(), parsed[2]))
        answer = Answer(int(status_line[1]), fields, None, 1)
        if answer.status < 200:
            assert answer.status == 100, "an interim response of an unknown kind"
            assert not fields, "an interim response with header fields"
            self.interim += 1
            return
        known = self._request_of(len(self.all), answer)
        if known is not None:
            answer.method, answer.minor = known
        elif not self._buffer or self._buffer.startswith(b"HTTP/1.1 "):
            answer.method = b"HEAD"
        self._frame(answer)
        self.all.append(answer)
        self.interim = 0

    def _frame(self, answer: Answer) -> None:
        length, coding = answer.one(b"content-length"), answer.one(b"transfer-encoding")
        assert answer.one(b"date") is not None, "no Date"
        assert length is None or re.fullmatch(rb"[0-9]+", length), length
        assert coding in (None, b"chunked"), coding
        assert length is None or coding is None, "two lengths"
        if answer.method == b"HEAD" or answer.status in (204, 304):
            assert coding is None or answer.status != 204
            answer.is_whole = True
        elif coding is not None:
            assert answer.minor >= 1, "chunks for HTTP/1.0"
            answer.framing = "chunked"
        elif length is not None:
            answer.framing, answer.left = "length", int(length)
            answer.is_whole = answer.left == 0
        else:
            answer.framing = "close"

    def _body(self, answer: Answer) -> None:
        if answer.framing == "close":
            answer.body += self._buffer
            self._buffer.clear()
        elif answer.framing == "length":
            self._take(answer, answer.left)
            answer.is_whole = answer.left == 0
        elif answer.left == 0:
            size = self._line()
            assert re.fullmatch(rb"[0-9a-f]{1,8}", size), f"no chunk size: {size!r}"
            answer.left = int(size, 16)
            assert answer.left or self._line() == b"", "trailers"
            answer.is_whole = answer.left == 0
        else:
            assert len(self._buffer) >= answer.left + 2, "a chunk that is cut in two"
            self._take(answer, answer.left)
            assert self._line() == b"", "no end of a chunk"

    def _take(self, answer: Answer, size: int) -> None:
        piece = self._buffer[:size]
        answer.body += piece
        answer.left -= len(piece)
        del self._buffer[: len(piece)]


# --- between ajpd and a container -----------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Forward:
    """One FORWARD_REQUEST that was written, and what came of it."""

    serial: int
    id: bytes
    method: bytes
    minor: int
    path: bytes
    #: Of its body; None: as many as come.
    length: int | None
    #: Whose it is, and the place of the request in its client's stream.
    attempt: Attempt
    place: int
    body: bytearray = field(default_factory=bytearray)
    #: How often its end was said.
    ends: int = 0
    status: int = 0
    announced: int | None = None
    response: bytearray = field(default_factory=bytearray)
    is_ended: bool = False
    reuse: bool = False


class Told:
    """Reads what a container is told: the requests, and body where it is owed."""

    def __init__(self, on_forward: Callable[[ForwardRequest], Forward], heard: "Heard") -> None:
        self._on_forward = on_forward
        self._heard = heard
        self.pings = 0

    def feed(self, data: bytes) -> None:
        """One write: whole packets only."""
        while data:
            assert data[:2] == b"\x12\x34", f"no packet: {data[:20]!r}"
            size = int.from_bytes(data[2:4], "big")
            assert size <= LARGEST_PACKET - 4
            assert len(data) >= size + 4, "a packet that is cut in two"
            self._packet(data[4 : size + 4])
            data = data[size + 4 :]

    def _packet(self, payload: bytes) -> None:
        heard = self._heard
        if heard.asks:
            assert heard.forward is not None
            self._body(heard.forward, payload, heard.asks.pop(0))
            return
        assert heard.state == "idle", f"a packet nobody waits for: {payload[:20]!r}"
        assert not heard.noise, "a connection goes on being used after bytes nobody asked for"
        message = _codec.decode_from_web_server(payload)
        if isinstance(message, ForwardRequest):
            heard.begin(self._on_forward(message))
        else:
            assert payload == b"\x0a", payload
            self.pings += 1
            heard.state = "pinging"

    def _body(self, forward: Forward, payload: bytes, most: int) -> None:
        piece = _codec.decode_request_body(payload).data if payload else b""
        assert len(piece) <= most, f"{len(piece)} bytes of body where {most} were asked for"
        assert not (piece and forward.ends), "body behind its end"
        forward.body += piece
        assert forward.length is None or len(forward.body) <= forward.length, "too much body"
        forward.ends += not piece


class Heard:
    """Reads what a container said and what of it has arrived; the least an endpoint must know.

    It may take for good what an endpoint refuses, never the other way round.
    """

    def __init__(self) -> None:
        self.state: Literal["idle", "pinging", "waiting", "responding", "broken"] = "idle"
        self.forward: Forward | None = None
        #: Most bytes of each body packet that is owed.
        self.asks: list[int] = []
        #: Bytes came that belong to nothing.
        self.noise = False
        self._buffer = b""
        self._chunk = 0
        self._skip = 0

    def begin(self, forward: Forward) -> None:
        self.forward, self.state = forward, "waiting"
        if forward.length:
            self.asks.append(LARGEST_PACKET - 6)

    def feed(self, data: bytes) -> None:
        if self.state == "idle":
            self.noise = True
        self._buffer += data
        while self._buffer and self.state not in ("idle", "broken"):
            if not (self._in_chunk() if self._chunk or self._skip else self._packet()):
                return
        self.noise |= bool(self._buffer)

    def _in_chunk(self) -> bool:
        assert self.forward is not None
        piece = self._buffer[: self._chunk]
        self.forward.response += piece
        self._chunk -= len(piece)
        self._buffer = self._buffer[len(piece) :]
        if not self._chunk and self._skip and self._buffer:
            self._buffer, self._skip = self._buffer[self._skip :], 0
        return True

    def _packet(self) -> bool:
        """Take one packet, or the head of a chunk; whether it was there."""
        data = self._buffer
        size = int.from_bytes(data[2:4], "big")
        if data[:2] != b"AB"[: len(data)] or (
            len(data) >= 4 and not 0 < size <= LARGEST_PACKET - 4
        ):
            self.state = "broken"
            return False
        if len(data) >= 7 and data[4] == 3 and self.state == "responding" and size > 3:
            chunk = int.from_bytes(data[5:7], "big")
            if chunk and size - 3 - chunk in (0, 1):
                self._chunk, self._skip = chunk, size - 3 - chunk
                self._buffer = data[7:]
                return True
        if len(data) < 4 or len(data) < 4 + size:
            return False
        self._buffer = data[4 + size :]
        try:
            message = _codec.decode_from_container(data[4 : 4 + size])
        except RemoteProtocolError:
            self.state = "broken"
            return False
        self._act(message)
        return True

    def _act(self, message: object) -> None:
        forward, state = self.forward, self.state
        if isinstance(message, CPong):
            self.state = "idle" if state == "pinging" else "broken"
        elif forward is None or state == "pinging":
            self.state = "broken"
        elif isinstance(message, SendHeaders) and state == "waiting" and message.status >= 200:
            self.state = "responding"
            forward.status = message.status
            lengths = [v for n, v in message.headers if n.lower() == b"content-length"]
            forward.announced = int(lengths[0]) if lengths and lengths[0].isdigit() else None
        elif isinstance(message, GetBodyChunk):
            # Two in one read are fine when the first is answered at once.
            self.asks.append(message.requested)
        elif isinstance(message, EndResponse) and state == "responding":
            self.state = "idle"
            forward.is_ended, forward.reuse = True, message.reuse
        elif message != SendBodyChunk(b""):
            self.state = "broken"
