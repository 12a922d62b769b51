"""The compiled endpoint on a stage: a transport that is none, and an attempt that takes notes."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from ajp import _codec
from ajp._endpoint import STATE_NAMES, Attempt, Endpoint
from ajp._packets import ResponseHead
from ajp._wheel import Wheel
from ajp.connection import (
    PacketEvent,
)
from ajp.errors import (
    Progress,
    Reason,
)
from ajp.messages import (
    SendBodyChunk,
    SendHeaders,
)

SIZE = 8192
INTERIM = bytes.fromhex("4142000b0400640003313030000000")  # SEND_HEADERS 100; not to be encoded
PACKETS = {
    PacketEvent.SEND_HEADERS: _codec.encode(SendHeaders(200, b"OK", ((b"X", b"y"),))),
    PacketEvent.INTERIM_HEADERS: INTERIM,
    PacketEvent.SEND_BODY_CHUNK: _codec.encode(SendBodyChunk(b"hello")),
    PacketEvent.FLUSH: _codec.FLUSH,
    PacketEvent.GET_BODY_CHUNK: _codec.encode_get_body_chunk(8186),
    PacketEvent.END_RESPONSE_REUSE: _codec.END_RESPONSE_REUSE,
    PacketEvent.END_RESPONSE_CLOSE: _codec.END_RESPONSE_CLOSE,
    PacketEvent.CPONG: _codec.CPONG,
    # What only a web server sends is an unknown type here.
    PacketEvent.CPING: b"AB\x00\x01\x0a",
    PacketEvent.FORWARD_REQUEST: b"AB\x00\x01\x02",
    PacketEvent.PING: b"AB\x00\x01\x08",
    PacketEvent.SHUTDOWN: b"AB\x00\x01\x07",
}
HEADERS, BODY = PACKETS[PacketEvent.SEND_HEADERS], PACKETS[PacketEvent.SEND_BODY_CHUNK]
ASK, KEEP = PACKETS[PacketEvent.GET_BODY_CHUNK], PACKETS[PacketEvent.END_RESPONSE_REUSE]


class Transport(asyncio.Transport):
    """Keeps what is written; tells its protocol of the end when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.writes = 0
        self.is_paused = False
        self.high_water = 65536
        self.is_half_closed = False
        self.was_aborted = False
        self.options: list[tuple[int, int, bytes]] = []
        self._closing = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self.high_water = high

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_half_closed = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        assert name == "socket"
        return self

    def setsockopt(self, *option: Any) -> None:
        self.options.append(option)

    def write(self, data: Any) -> None:
        assert not self._closing
        self.written += data
        self.writes += 1

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self.was_aborted = self._closing = True

    def is_closing(self) -> bool:
        return self._closing


class Owner:
    def __init__(self) -> None:
        self.released: list[Endpoint] = []
        self.lost: list[Endpoint] = []

    def endpoint_released(self, endpoint: Endpoint) -> None:
        self.released.append(endpoint)

    def endpoint_lost(self, endpoint: Endpoint) -> None:
        self.lost.append(endpoint)


class Recorder(Attempt):
    """Writes down what happens and sends `body` in pieces as it is asked for."""

    def __init__(self, body: bytes = b"", *, do: Callable[["Recorder", str], None] | None = None):
        self.events: list[tuple[object, ...]] = []
        self.error: Any = None
        self._body = body
        self._do = do

    def note(self, name: str, *more: object) -> None:
        self.events.append((name, *more))
        if self._do is not None:
            self._do(self, name)

    def on_headers(self, head: ResponseHead) -> None:
        self.note("headers", head.status, head.headers)

    def on_body(self, data: bytes, start: int, end: int) -> None:
        assert 0 <= start < end <= len(data)
        self.note("body", data[start:end])

    def on_flush(self) -> None:
        self.note("flush")

    def on_get_body(self, allowance: int) -> None:
        self.note("ask", allowance)
        self.answer(allowance)

    def answer(self, allowance: int) -> None:
        piece, self._body = self._body[:allowance], self._body[allowance:]
        if piece:
            self.send_body(_codec.encode_request_body(piece), len(piece))
        else:
            self.end_body()

    def on_end(self) -> None:
        assert self.endpoint is None
        self.note("end")

    def on_failed(self, reason: Reason, progress: Progress, error: BaseException | None) -> None:
        assert self.endpoint is None
        self.error = error
        self.note("failed", reason, progress)

    def on_read_done(self) -> None:
        self.note("read done")

    @property
    def story(self) -> list[tuple[object, ...]]:
        """Events without the ends of reads, adjacent pieces of body put together."""
        told: list[tuple[object, ...]] = []
        for event in self.events:
            if event[0] == "read done":
                continue
            if event[0] == "body" and told and told[-1][0] == "body":
                event = ("body", told.pop()[1] + event[1])  # type: ignore[operator]
            told.append(event)
        return told


class Stage:
    """An endpoint on a transport that is none."""

    def __init__(self, **options: Any) -> None:
        self.transport = Transport()
        self.owner = Owner()
        self.wheel = Wheel(time.monotonic(), tick=0.01)
        self.endpoint = Endpoint(self.owner, self.wheel, name="tomcat1 10.0.0.7:8009", **options)
        assert not self.endpoint.is_idle
        self.endpoint.connection_made(self.transport)

    @property
    def state(self) -> str:
        return STATE_NAMES[self.endpoint.state]

    def begin(
        self, attempt: Attempt | None = None, left: int | None = 0, with_body: bool = False
    ) -> Recorder:
        attempt = Recorder() if attempt is None else attempt
        attempt.on_endpoint(self.endpoint)
        attempt.begin(b"request", left, with_body)
        assert isinstance(attempt, Recorder)
        return attempt

    def receive(self, *packets: bytes) -> None:
        self.endpoint.data_received(b"".join(packets))

    def pass_time(self, seconds: float) -> None:
        now = time.monotonic() + seconds
        for timed in self.wheel.advance(now):
            timed.on_deadline(now)
