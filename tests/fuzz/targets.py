"""What damaged bytes are fed to, and what must hold whatever they are.

`RemoteProtocolError` is the only exception the peer's bytes may cause. Besides: a decoded message
survives a round trip, a splitter does not care how the stream is cut, and the compiled endpoint
ends an exchange as `WebServerConnection` does.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ajp import _codec
from ajp._wheel import Wheel
from ajp.connection import ContainerConnection, Signal, WebServerConnection
from ajp.constants import MAGIC_FROM_CONTAINER, MAGIC_FROM_WEB_SERVER
from ajp.errors import LocalProtocolError, RemoteProtocolError
from ajp.messages import (
    CPing,
    CPong,
    EndResponse,
    ForwardRequest,
    GetBodyChunk,
    RequestBody,
    SendBodyChunk,
    SendHeaders,
)
from tests.fuzz.endpoint import Outcome, Plan, Recorder, Told, WildRecorder, connected

T = TypeVar("T")

TYPELESS = 0x100
PACKET_SIZES = (8192, 8192, 8192, 16000, 65536)
#: Makes a copy of bytes that the sanitizer guards to the last byte; see `guard.py`.
Guard = Callable[[bytes], bytes]


class Finding(AssertionError):  # noqa: N818 - the field's word
    """Something that must hold does not."""


def expect(claim: bool, text: str, *details: object) -> None:
    """Raise Finding unless the claim is true."""
    if not claim:
        raise Finding(" ".join((text, *map(repr, details))))


def fragments(rng: random.Random, stream: bytes) -> list[bytes]:
    """The stream as a transport might deliver it."""
    mode = rng.random()
    if mode < 0.4 or len(stream) < 2:
        return [stream] if stream else []
    if mode < 0.45 and len(stream) < 100:
        return [stream[i : i + 1] for i in range(len(stream))]
    cuts = sorted(rng.sample(range(1, len(stream)), min(rng.randint(1, 6), len(stream) - 1)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def refusal(call: Callable[..., object], *arguments: Any) -> RemoteProtocolError | None:
    """The RemoteProtocolError of a call, checked for what it has to say; None without one."""
    try:
        call(*arguments)
    except RemoteProtocolError as error:
        expect(error.code.startswith("E_"), "no code", error)
        expect(error.packet_type is None or 0 <= error.packet_type < TYPELESS, "type", error)
        return error
    return None


# --- splitter -------------------------------------------------------------------------------------


def split(rng: random.Random, stream: bytes, guard: Guard) -> None:
    """Any fragmentation gives the same payloads and the same end."""
    magic = MAGIC_FROM_CONTAINER if stream[:1] == b"A" else MAGIC_FROM_WEB_SERVER
    size = rng.choice(PACKET_SIZES)
    results = []
    for pieces in ([stream], fragments(rng, stream)):
        splitter = _codec.Splitter(magic, size)
        payloads: list[bytes] = []
        error = None
        for piece in pieces:
            error = refusal(_split_piece, splitter, guard(piece), payloads)
            if error is not None:
                break
        error = error or refusal(splitter.finish)
        expect(error is not None or splitter.buffered == 0, "bytes left behind a clean end")
        expect(refusal(splitter.take) is error, "the error is not sticky")
        results.append((payloads, error and error.code))
    expect(results[0] == results[1], "fragments change what is read", *results)


def _split_piece(splitter: _codec.Splitter, piece: bytes, payloads: list[bytes]) -> None:
    splitter.feed(piece)
    while (payload := splitter.take()) is not None:
        payloads.append(payload)


# --- decoders -------------------------------------------------------------------------------------


def decode(rng: random.Random, stream: bytes, guard: Guard) -> bool:
    """Feed the payload to every decoder; whether one of them took it."""
    payload = guard(stream[4:])
    max_headers = rng.choice((512, 512, 512, 512, 512, 4, 0))
    tolerate = rng.choice((0, 0, 0x7F, rng.randrange(0x80)))
    strict = rng.random() < 0.5
    accepted = False
    try:
        message = _codec.decode_from_web_server(payload, max_headers, tolerate)
    except RemoteProtocolError as error:
        _check_place(error, payload)
    else:
        accepted = True
        check_request(message, tolerate)
    try:
        body = _codec.decode_request_body(payload, strict)
    except RemoteProtocolError as error:
        _check_place(error, payload)
    else:
        # Almost any bytes are a body packet, so these do not count as accepted.
        expect(body.data == payload[2 : 2 + len(body.data)], "body is not in the payload")
    try:
        answer = _codec.decode_from_container(payload, max_headers)
    except RemoteProtocolError as error:
        _check_place(error, payload)
    else:
        accepted = True
        check_answer(answer)
    return accepted


def _check_place(error: RemoteProtocolError, payload: bytes) -> None:
    expect(-1 <= error.offset <= len(payload), "offset outside the payload", error)
    expect(error.expected != "" and error.got != "", "an error that says nothing", error)


def check_request(message: object, tolerate: int) -> None:
    """A decoded message of the web server holds what its readers rely on, and can be sent on."""
    if not isinstance(message, ForwardRequest):
        return
    length = message.content_length
    expect(length is None or 0 <= length < 2**63, "content length", length)
    expect(0 <= message.server_port <= 0xFFFF, "port", message.server_port)
    for name, value in message.headers:
        expect(name != b"" and not set(value) & set(b"\r\n\0"), "header", name, value)
    try:
        packet = _codec.encode(message, 65536)
    except LocalProtocolError:
        return  # read by a rule that was waived, or a name longer than is ever written
    if tolerate == 0:
        again = _codec.decode_from_web_server(packet[4:])
        expect(_in_lower_case(again) == _in_lower_case(message), "round trip", message)


def check_answer(message: object) -> None:
    """A decoded message of the container survives a round trip, where it can be sent on."""
    if isinstance(message, SendHeaders):
        expect(100 <= message.status <= 999, "status", message.status)
        for name, value in message.headers:
            expect(name != b"" and not set(value) & set(b"\r\n\0"), "header", name, value)
    try:
        packet = _codec.encode(message, 65536)  # type: ignore[arg-type]
    except LocalProtocolError:
        return  # an interim status
    again = _codec.decode_from_container(packet[4:])
    expect(_in_lower_case(again) == _in_lower_case(message), "round trip", message)


def _in_lower_case(message: Any) -> object:
    """The message with the names of its headers in one case: one with a code loses its own."""
    headers = getattr(message, "headers", None)
    if headers is None:
        return message
    return replace(message, headers=tuple((name.lower(), value) for name, value in headers))


# --- connections ----------------------------------------------------------------------------------


def container_connection(rng: random.Random, stream: bytes, guard: Guard) -> None:
    """A container that reads the stream and answers what it can."""
    connection = ContainerConnection(
        max_packet_size=rng.choice(PACKET_SIZES),
        max_headers=rng.choice((512, 512, 512, 512, 4)),
        tolerate=rng.choice((0, 0, rng.randrange(0x80))),
    )
    pieces = fragments(rng, stream)
    if rng.random() < 0.5:
        length = rng.choice((b"5", b"8186", b"0"))
        request = ForwardRequest(method=b"POST", headers=((b"content-length", length),))
        pieces.insert(0, _codec.encode(request))
    if rng.random() < 0.8:
        pieces.append(b"")
    for piece in pieces:
        error = refusal(_container_reads, connection, guard(piece), rng)
        if error is not None:
            expect(refusal(connection.next_event) is error, "the error is not sticky")
            answer = connection.send_refusal()
            expect(answer == b"" or answer.startswith(b"AB"), "refusal", answer)
            expect(connection.send_refusal() == b"", "refused twice")
            return


def _container_reads(connection: ContainerConnection, piece: bytes, rng: random.Random) -> None:
    connection.receive(piece)
    for _ in range(1000):
        event = connection.next_event()
        if event is Signal.PAUSED:
            _container_answers(connection, rng)
        elif isinstance(event, Signal):
            return
    raise Finding("the container does not come to an end")


def _container_answers(connection: ContainerConnection, rng: random.Random) -> None:
    if connection.state.name == "PINGING":
        connection.send(CPong())
    elif connection.body_allowance and rng.random() < 0.8:
        connection.send(GetBodyChunk(connection.body_allowance))
    else:
        if connection.state.name == "WAITING":
            connection.send(SendHeaders(200))
        connection.send(SendBodyChunk(b"x"))
        connection.send(EndResponse(reuse=not connection.owed and not connection.has_unsolicited))


def web_server_outcome(plan: Plan, pieces: list[bytes]) -> Outcome:
    """What a WebServerConnection makes of the container's stream, up to the end of one response."""
    connection = WebServerConnection(max_packet_size=plan.max_packet_size)
    outcome = Outcome()
    told = Told(plan)
    if plan.ping:
        connection.send(CPing())
    else:
        _send_request(connection, plan, told)
    error = None
    for piece in [*pieces, b""]:
        error = refusal(_web_server_reads, connection, piece, plan, told, outcome)
        if error is not None:
            break
    outcome.error = error
    outcome.reusable = outcome.ended and error is None and not outcome.closed
    return outcome


def _send_request(connection: WebServerConnection, plan: Plan, told: Told) -> None:
    connection.send(plan.request)
    if plan.first:
        connection.send(RequestBody(told.take(len(plan.first))))
    elif plan.answers_at_once and connection.owed:
        connection.send(RequestBody(told.take(connection.body_allowance)))


def _web_server_reads(
    connection: WebServerConnection, piece: bytes, plan: Plan, told: Told, outcome: Outcome
) -> None:
    if outcome.spoke_first:
        return
    if outcome.ended:
        outcome.closed |= piece != b""
        return
    connection.receive(piece)
    while not isinstance(event := connection.next_event(), Signal):
        if isinstance(event, CPong):
            if not connection.is_reusable:
                # It answers a request that it has not seen.
                outcome.spoke_first = True
                return
            _send_request(connection, plan, told)
        elif isinstance(event, GetBodyChunk):
            connection.send(RequestBody(told.take(connection.body_allowance)))
        elif isinstance(event, SendHeaders):
            outcome.head = (event.status, event.reason, event.headers)
        elif isinstance(event, SendBodyChunk):
            outcome.body += event.data
        else:
            outcome.ended = True
            outcome.closed = not connection.is_reusable
            return


# --- endpoint -------------------------------------------------------------------------------------


def draw_plan(rng: random.Random) -> Plan:
    """One exchange and how its body is sent."""
    kind = rng.randrange(4)
    size = rng.choice(PACKET_SIZES)
    ping = rng.random() < 0.15
    if kind == 0:
        request = ForwardRequest(headers=((b"content-length", b"0"),))
        return Plan(request, b"", left=0, ping=ping, max_packet_size=size)
    if kind == 1:
        request = ForwardRequest(method=b"POST", headers=((b"transfer-encoding", b"chunked"),))
        return Plan(request, b"hello", left=None, ping=ping, max_packet_size=size)
    body = b"hello" if rng.random() < 0.7 else b"x" * 9000
    length = b"%d" % len(body)
    request = ForwardRequest(method=b"POST", headers=((b"content-length", length),))
    first = body[:8186] if kind == 2 else b""
    return Plan(
        request,
        body,
        left=len(body) - len(first),
        first=first,
        ping=ping,
        answers_at_once=not ping and rng.random() < 0.8,
        max_packet_size=size,
    )


HEAD = _codec.encode(SendHeaders(200, b"OK", ((b"Content-Type", b"text/plain"),)))


def container_stream(rng: random.Random, stream: bytes, plan: Plan) -> bytes:
    """The damaged stream, behind what brings the receiver into the state to read it in."""
    start = _codec.CPONG if plan.ping and rng.random() < 0.9 else b""
    has_head = stream[4:5] == b"\x04"
    if rng.random() < (0.1 if has_head else 0.7):
        start += HEAD
    tail = _codec.END_RESPONSE_REUSE if rng.random() < 0.3 else b""
    return start + stream + tail


def endpoint_agrees(rng: random.Random, stream: bytes, guard: Guard) -> None:
    """The endpoint ends an exchange exactly as WebServerConnection does."""
    plan = draw_plan(rng)
    stream = container_stream(rng, stream, plan)
    pieces = fragments(rng, stream)
    reference = web_server_outcome(plan, pieces)
    endpoint, owner = connected(plan, Wheel(0.0, buckets=8))
    attempt = Recorder(plan)
    attempt.on_endpoint(endpoint)
    attempt.start()
    for piece in pieces:
        endpoint.data_received(guard(piece))
    if attempt.outcome.ended:
        attempt.outcome.reusable = bool(endpoint.is_idle)
    endpoint.connection_lost(None)
    outcome = attempt.outcome
    expect(outcome.ended != outcome.failed, "neither ended nor failed, or both")
    expect(owner.lost == 1, "loss was told so many times", owner.lost)
    expect(outcome.ended == reference.ended, "one end of two", outcome, reference)
    expect(outcome.head == reference.head or reference.head is None, "heads", outcome, reference)
    if reference.ended:
        expect(outcome.body == reference.body, "bodies differ", outcome, reference)
        expect(outcome.reusable == reference.reusable, "reuse", outcome, reference)
    else:
        expect(outcome.body.startswith(reference.body), "bodies differ", outcome, reference)


def endpoint_survives(rng: random.Random, stream: bytes, guard: Guard) -> None:
    """An attempt that aborts, pauses, closes and begins anew wherever it likes."""
    plan = draw_plan(rng)
    pieces = fragments(rng, container_stream(rng, stream, plan))
    wheel = Wheel(0.0, buckets=8)
    endpoint, owner = connected(plan, wheel, reply_timeout=rng.choice((0.0, 5.0)))
    attempt = WildRecorder(plan, rng)
    owner.next_attempt = lambda: WildRecorder(plan, rng)
    attempt.on_endpoint(endpoint)
    attempt.start()
    for piece in pieces:
        endpoint.data_received(guard(piece))
        if rng.random() < 0.02:
            for timed in wheel.advance(1e12):
                timed.on_deadline(1e12)
    repr(endpoint)
    endpoint.connection_lost(rng.choice((None, ConnectionResetError("reset"))))
    expect(owner.lost == 1, "loss was told so many times", owner.lost)
    expect(wheel.armed == 0, "a lost endpoint is still armed")
    attempts = (attempt, *owner.attempts)
    expect(all(each.endpoint is None for each in attempts), "a lost endpoint is still attached")


@dataclass(frozen=True)
class Target:
    """Something to feed, how often, and the first byte of what it can read beyond that."""

    feed: Callable[[random.Random, bytes, Guard], object]
    share: float
    magic: bytes = b""

    def wants(self, rng: random.Random, stream: bytes) -> bool:
        """Whether to feed it this stream; what its magic already tells apart comes rarely."""
        share = self.share if stream.startswith(self.magic) else self.share / 20
        return rng.random() < share


TARGETS = (
    Target(split, 0.5),
    Target(container_connection, 1.0, b"\x12"),
    Target(endpoint_agrees, 1.0, b"A"),
    Target(endpoint_survives, 0.5, b"A"),
)


def feed_all(rng: random.Random, stream: bytes, guard: Guard) -> bool:
    """Feed one damaged stream to the decoders and its share of the rest; whether it was accepted.

    Raises:
        Finding: something does not hold. Any other exception is a finding as well.
    """
    accepted = decode(rng, stream, guard)
    for target in TARGETS:
        if target.wants(rng, stream):
            target.feed(rng, stream, guard)
    return accepted
