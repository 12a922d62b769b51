"""A compiled endpoint without a network: transport, owner and attempts that note what they see."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from ajp import _codec
from ajp._endpoint import Attempt, Endpoint
from ajp._packets import ResponseHead
from ajp._wheel import Wheel
from ajp.errors import Progress, Reason, RemoteProtocolError
from ajp.messages import ForwardRequest, Headers, RequestBody


@dataclass(frozen=True)
class Plan:
    """One exchange.

    Attributes:
        request: what is sent.
        body: its whole body.
        left: bytes of body that do not ride along with the request; None when unknown.
        first: bytes of body that do.
        ping: whether a CPING goes first.
        answers_at_once: whether an announced body's first packet is sent unasked, as it should be;
            not with a ping, for then the request itself has not been sent yet.
        max_packet_size: bytes.
    """

    request: ForwardRequest
    body: bytes
    left: int | None
    first: bytes = b""
    ping: bool = False
    answers_at_once: bool = True
    max_packet_size: int = 8192


@dataclass
class Told:
    """How much of a plan's body was told to the container."""

    plan: Plan
    count: int = 0

    def take(self, allowance: int) -> bytes:
        """The next bytes of the body, empty at its end."""
        data = self.plan.body[self.count : self.count + allowance]
        self.count += len(data)
        return data


@dataclass
class Outcome:
    """How an exchange ended, seen from the web server's end."""

    head: tuple[int, bytes | None, Headers] | None = None
    body: bytes = b""
    ended: bool = False
    failed: bool = False
    closed: bool = False
    spoke_first: bool = False
    reusable: bool = False
    error: BaseException | None = None


class Transport:
    """Swallows what is written; closed as soon as someone says so."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self._closing = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self._closing = True

    abort = close

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Owner:
    """Counts losses; may begin the next attempt the moment an endpoint is free."""

    def __init__(self) -> None:
        self.lost = 0
        self.attempts: list[Recorder] = []
        self.next_attempt: Callable[[], Recorder] | None = None

    def endpoint_released(self, endpoint: Endpoint) -> None:
        if self.next_attempt is not None and len(self.attempts) < 3:
            attempt = self.next_attempt()
            self.attempts.append(attempt)
            attempt.on_endpoint(endpoint)
            attempt.start()

    def endpoint_lost(self, endpoint: Endpoint) -> None:
        self.lost += 1


def connected(plan: Plan, wheel: Wheel, reply_timeout: float = 0.0) -> tuple[Endpoint, Owner]:
    """A fresh endpoint on a transport of its own."""
    owner = Owner()
    endpoint = Endpoint(
        owner,
        wheel,
        max_packet_size=plan.max_packet_size,
        reply_timeout=reply_timeout,
        connect_ping=5.0 if plan.ping else 0.0,
        name="fuzz",
    )
    endpoint.connection_made(Transport())  # type: ignore[arg-type]
    return endpoint, owner


class Recorder(Attempt):
    """Notes what it is told, answers what it is asked, and minds that nothing comes too late."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.outcome = Outcome()
        self.told = Told(plan)

    def start(self) -> None:
        """Send the request on the endpoint it was given."""
        plan = self.plan
        packet = _codec.encode(plan.request, plan.max_packet_size)
        if plan.first:
            packet += _codec.encode(RequestBody(self.told.take(len(plan.first))))
        self.begin(packet, plan.left, bool(plan.first))
        if plan.answers_at_once and self.endpoint is not None and self.endpoint.owed:
            self._send(plan.max_packet_size - 6)

    def _send(self, allowance: int) -> None:
        data = self.told.take(allowance)
        if data:
            self.send_body(_codec.encode(RequestBody(data), self.plan.max_packet_size), len(data))
        else:
            self.end_body()

    def _check_open(self) -> None:
        assert not self.outcome.ended, "told something behind the end"
        assert not self.outcome.failed, "told something behind the failure"

    def on_headers(self, head: ResponseHead) -> None:
        self._check_open()
        assert self.outcome.head is None, "headers twice"
        self.outcome.head = (head.status, head.reason, head.headers)

    def on_body(self, data: bytes, start: int, end: int) -> None:
        self._check_open()
        assert self.outcome.head is not None, "body before headers"
        assert 0 <= start < end <= len(data), "body outside its bytes"
        self.outcome.body += data[start:end]

    def on_flush(self) -> None:
        self._check_open()

    def on_get_body(self, allowance: int) -> None:
        self._check_open()
        assert 1 <= allowance <= self.plan.max_packet_size - 6, "allowance"
        self._send(allowance)

    def on_read_done(self) -> None:
        self._check_open()

    def on_end(self) -> None:
        self._check_open()
        assert self.outcome.head is not None, "end before headers"
        self.outcome.ended = True

    def on_failed(self, reason: Reason, progress: Progress, error: BaseException | None) -> None:
        self._check_open()
        assert isinstance(reason, Reason)
        assert isinstance(progress, Progress)
        started = progress is Progress.RESPONSE_STARTED
        assert started == (self.outcome.head is not None), "progress"
        self.outcome.failed = True
        self.outcome.error = error
        if reason is Reason.PROTOCOL_ERROR:
            assert isinstance(error, RemoteProtocolError)


class WildRecorder(Recorder):
    """Aborts, closes, pauses and resumes inside any callback."""

    def __init__(self, plan: Plan, rng: random.Random) -> None:
        super().__init__(plan)
        self._rng = rng

    def _wild(self) -> None:
        endpoint = self.endpoint
        if endpoint is None:
            return
        chance = self._rng.random()
        if chance < 0.03:
            self.abort()
        elif chance < 0.05:
            endpoint.close()
        elif chance < 0.15:
            self.pause_reading()
        elif chance < 0.35:
            self.resume_reading()

    def on_headers(self, head: ResponseHead) -> None:
        super().on_headers(head)
        self._wild()

    def on_body(self, data: bytes, start: int, end: int) -> None:
        super().on_body(data, start, end)
        self._wild()

    def on_flush(self) -> None:
        super().on_flush()
        self._wild()

    def on_get_body(self, allowance: int) -> None:
        if self._rng.random() < 0.9:
            super().on_get_body(allowance)
        self._wild()

    def on_read_done(self) -> None:
        super().on_read_done()
        self._wild()

    def on_end(self) -> None:
        super().on_end()
        self._wild()
