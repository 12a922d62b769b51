"""Fronts and endpoints on a stage without sockets, loop or clock.

Whatever the two sides do is a method here; `exchange_checks` says what must hold afterwards, and
the readers of `exchange_wire` object while bytes are being written. Deadlines pass when they are
told to, in any order: what is safe however long each timeout is, is safe for those configured.
"""

import asyncio
import gc
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ajp._endpoint import Attempt, Endpoint
from ajp._wheel import Timed, Wheel
from ajp.errors import ConnectFailed, PoolTimeout, Progress, Reason
from ajp.messages import ForwardRequest
from ajpd._front import Front
from ajpd._service import Service, Target
from tests.property.exchange_wire import IDEMPOTENT, Answer, Answers, Forward, Heard, Request, Told

__all__ = ["READ", "ClientEnd", "ContainerEnd", "Play", "Transport", "Worker"]

#: Most bytes of one read.
READ = 65536
TCP_ESTABLISHED, TCP_CLOSED = 1, 7
HARD = b"\x01\0\0\0\0\0\0\0"


class Transport(asyncio.Transport):
    """What asyncio's and uvloop's do, for a peer that takes bytes when it is told to."""

    def __init__(self, name: str, sink: Callable[[bytes], None]) -> None:
        super().__init__()
        self.name = name
        self.sink = sink
        self.protocol: Any = None
        self.high, self.low = READ, READ // 4
        self.is_stalled = False
        self.buffered = 0
        self.told_pause = False
        self.is_paused = False
        #: The peer's end of stream was read; reading it again says so again.
        self.at_eof = False
        self.was_resumed = False
        self.said_eof = False
        self.closed_by = ""
        #: How the peer learns of the end: "", "fin" or "rst".
        self.end = ""
        self.is_truncated = False
        self.loss: list[BaseException | None] = []
        self.is_lost = False
        self.tcp_state = TCP_ESTABLISHED
        self._is_hard = False

    # what a protocol may call

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name in ("peername", "sockname"):
            return ("127.0.0.1", 40000)
        return self if name == "socket" else default

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        assert (level, option, value) == (socket.SOL_SOCKET, socket.SO_LINGER, HARD)
        self._is_hard = True

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option, size) == (socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        return bytes([self.tcp_state])

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self.high, self.low = high, high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return bool(self.closed_by)

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: Any) -> None:
        assert not self.is_lost, f"{self.name}: written to after connection_lost"
        assert not self.said_eof, f"{self.name}: written to after write_eof"
        assert self.closed_by != "us", f"{self.name}: written to after close: {bytes(data)[:60]!r}"
        self.sink(bytes(data))
        if self.closed_by:
            # The loop knows of an end that it has not reported yet.
            self.is_truncated = True
        elif self.tcp_state == TCP_CLOSED:
            self._give_up(BrokenPipeError("Broken pipe"))
        elif self.is_stalled:
            self.buffered += len(data)
            if self.buffered > self.high and not self.told_pause:
                self.told_pause = True
                self.protocol.pause_writing()

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def write_eof(self) -> None:
        if not self.closed_by and not self.said_eof:
            self.said_eof = True
            if not self.buffered:
                self.end = "fin"

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.was_resumed |= self.is_paused
        self.is_paused = False

    def close(self) -> None:
        self._close("us")

    def abort(self) -> None:
        if self.loss or self.is_lost:
            return
        self.closed_by = "us"
        self.is_truncated |= self.buffered > 0
        self.buffered = 0
        self.told_pause = False
        self.end = self.end or ("rst" if self._is_hard else "fin")
        self.loss.append(None)

    # what a peer or the loop does

    @property
    def can_read(self) -> bool:
        return not (self.is_paused or self.closed_by or self.is_lost or self.at_eof)

    def take(self, most: int | None = None) -> None:
        """The peer takes bytes out of the buffer."""
        self.buffered = 0 if most is None else max(self.buffered - most, 0)
        if self.told_pause and self.buffered <= self.low:
            self.told_pause = False
            self.protocol.resume_writing()
        if not self.buffered and not self.loss and not self.is_lost:
            if self.closed_by:
                self.end = self.end or "fin"
                self.loss.append(None)
            elif self.said_eof:
                self.end = "fin"

    def eof(self) -> None:
        """The loop reads the end of the stream."""
        self.at_eof, self.was_resumed = True, False
        if not self.protocol.eof_received():
            self._close("loop")

    def reset(self) -> None:
        """The peer resets; who does not read does not notice."""
        self.tcp_state = TCP_CLOSED
        if self.can_read:
            self._give_up(ConnectionResetError("Connection reset by peer"))

    def lose(self) -> None:
        """The loop reports the end."""
        error = self.loss.pop()
        self.is_lost = True
        self.buffered = 0
        self.protocol.connection_lost(error)

    def _close(self, by: str) -> None:
        if not self.closed_by:
            self.closed_by = by
            if not self.buffered:
                self.end = self.end or "fin"
                self.loss.append(None)

    def _give_up(self, error: OSError) -> None:
        if not self.loss and not self.is_lost:
            self.closed_by = self.closed_by or "loop"
            self.end = "rst"
            self.buffered = 0
            self.told_pause = False
            self.loss.append(error)


class ClientEnd:
    """A client, and the front of its connection."""

    def __init__(self, play: "Play") -> None:
        self.play = play
        self.requests: list[Request] = []
        #: Where each begins in what is sent.
        self.starts: list[int] = []
        self.outbox = bytearray()
        self.delivered = 0
        #: It looks at nothing any more.
        self.is_gone = False
        #: What containers were asked for it.
        self.forwards: list[Forward] = []
        self._valid = 0
        self.checked = 0
        self.answers = Answers(self._request_of)
        self.transport = Transport("client", self.answers.feed)
        self.transport.set_write_buffer_limits(play.high)
        self.front = Front(play.service)
        self.transport.protocol = self.front

    @property
    def is_open(self) -> bool:
        """Nobody closed the connection."""
        return not self.transport.closed_by and not self.transport.is_lost

    @property
    def is_idle(self) -> bool:
        return repr(self.front).endswith(" idle>")

    def known(self, place: int) -> Request | None:
        """A request of which everything is known, its place in the stream included."""
        return self.requests[place] if place < self._valid else None

    @property
    def is_known(self) -> bool:
        """All it ever sends is what it should be."""
        return self._valid == len(self.requests)

    def arrived(self, place: int) -> int:
        """Bytes of a request that arrived."""
        return max(self.delivered - self.starts[place], 0)

    def has_head(self, place: int) -> bool:
        request = self.known(place)
        return request is not None and self.arrived(place) >= request.head_size

    def enqueue(self, request: Request) -> None:
        if request.is_valid and self.is_known:
            self._valid += 1
        self.requests.append(request)
        self.starts.append(len(self.outbox))
        self.outbox += request.raw

    def send(self, size: int) -> None:
        """One read of at most that many bytes."""
        size = min(size, READ)
        piece = bytes(self.outbox[self.delivered : self.delivered + size])
        if piece and self.transport.can_read:
            self.delivered += len(piece)
            self.front.data_received(piece)

    def _request_of(self, place: int, answer: Answer) -> tuple[bytes, int] | None:
        serial = answer.one(b"x-serial")
        if serial is not None:
            forward = self.play.forwards[int(serial)]
            return forward.method, forward.minor
        request = self.known(place)
        # Of a head that is not there nobody knows that it says HEAD.
        if request is None or not self.has_head(place):
            return None
        return request.method, request.minor


class ContainerEnd:
    """A container's end of one connection, and the endpoint at ours."""

    def __init__(self, play: "Play", options: dict[str, Any]) -> None:
        self.play = play
        self.user: Attempt | None = None
        #: The worker asks it whether it is still good.
        self.is_asked = False
        self.is_lost = False
        #: It sent nothing so far that may not come.
        self.is_honest = True
        self.outbox = bytearray()
        self.heard = Heard()
        self.told = Told(self._on_forward, self.heard)
        self.transport = Transport("endpoint", self.told.feed)
        self.endpoint = Endpoint(play.worker, play.wheel, name="app", **options)
        self.transport.protocol = self.endpoint
        self.endpoint.connection_made(self.transport)

    @property
    def carries(self) -> Attempt | None:
        """The attempt that uses the endpoint right now."""
        user = self.user
        return user if user is not None and user.endpoint is self.endpoint else None

    def send(self, size: int) -> None:
        """One read of at most that many bytes."""
        piece = bytes(self.outbox[: min(size, READ)])
        if piece and self.transport.can_read:
            del self.outbox[: len(piece)]
            self.heard.feed(piece)
            self.endpoint.data_received(piece)

    def _on_forward(self, message: ForwardRequest) -> Forward:
        assert self.carries is not None, "a request over an endpoint that nobody was given"
        return self.play.forwarded(self.carries, message)


class Worker:
    """Gives endpoints away as it is told, and sees to it that each has one user."""

    def __init__(self, play: "Play") -> None:
        self._play = play
        #: What the next attempt is told at once.
        self.refuses: Reason | None = None
        self.keeps_waiting = False
        self.waiting: list[Attempt] = []
        self.ends: dict[Endpoint, ContainerEnd] = {}
        self.idle: list[ContainerEnd] = []

    def acquire(self, attempt: Attempt) -> None:
        self._play.attempts.setdefault(attempt, self._client_of(attempt))
        assert attempt not in self.waiting, "an attempt waits twice"
        assert attempt.endpoint is None, "an attempt wants a second endpoint"
        if self.refuses is not None:
            reason, self.refuses = self.refuses, None
            self.fail(attempt, reason)
            return
        while self.idle and not self.waiting and not self.keeps_waiting:
            end = self.idle.pop()
            if end.endpoint.is_idle:
                self._give(end, attempt)
                return
        self.waiting.append(attempt)

    def cancel(self, attempt: Attempt) -> bool:
        assert attempt in self.waiting, "cancelled without having waited"
        self.waiting.remove(attempt)
        return True

    def connect(self, end: ContainerEnd) -> None:
        """A connection was made: it is for who waits longest."""
        self.ends[end.endpoint] = end
        self._offer(end)

    def fail(self, attempt: Attempt, reason: Reason) -> None:
        error: Exception = PoolTimeout("app: no connection became free")
        if reason in (Reason.CONNECT_REFUSED, Reason.CONNECT_TIMEOUT):
            error = ConnectFailed("app: refused", reason=reason)
        attempt.on_failed(reason, Progress.NOTHING_SENT, error)

    def endpoint_released(self, endpoint: Endpoint) -> None:
        end = self.ends[endpoint]
        assert not end.is_lost, "released after it was lost"
        assert end.user is not None or end.is_asked, "released by nobody, or twice"
        assert end.carries is None, "released while its user goes on"
        assert not end.heard.asks, "released with a body packet owed"
        assert end.heard.state == "idle", f"released in the middle: {end.heard.state}"
        assert not end.heard.noise, "released with bytes that belong to nothing"
        assert endpoint.is_idle, "released and not idle"
        forward = end.heard.forward
        assert forward is None or (forward.is_ended and forward.reuse), "released before its end"
        end.user, end.is_asked = None, False
        self._offer(end)

    def endpoint_lost(self, endpoint: Endpoint) -> None:
        end = self.ends[endpoint]
        assert not end.is_lost, "lost twice"
        end.is_lost = True
        end.user = None
        if end in self.idle:
            self.idle.remove(end)

    def ask(self, end: ContainerEnd, seconds: float) -> None:
        """See whether an idle endpoint is still good."""
        self.idle.remove(end)
        if end.endpoint.is_idle:
            end.is_asked = True
            end.endpoint.ping(seconds)

    def _offer(self, end: ContainerEnd) -> None:
        if self.waiting:
            self._give(end, self.waiting.pop(0))
        else:
            self.idle.append(end)

    def _give(self, end: ContainerEnd, attempt: Attempt) -> None:
        assert end.user is None, "an endpoint for two"
        end.user = attempt
        attempt.on_endpoint(end.endpoint)

    def _client_of(self, attempt: Attempt) -> ClientEnd:
        fronts = [each for each in gc.get_referents(attempt) if isinstance(each, Front)]
        return next(client for client in self._play.clients if client.front in fronts)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a path is mapped to."""

    worker: str = "app"
    reply_timeout_ms: int | None = None
    fail_on_status: tuple[int, ...] | None = None
    use_server_errors: int = 0
    extension: None = None


def match(path: bytes) -> Rule | None:
    """/nowhere, /replaced (answers of 500 and more), /strict (500 is a failure), anything else."""
    if path == b"/nowhere":
        return None
    if path == b"/replaced":
        return Rule(use_server_errors=500)
    return Rule(fail_on_status=(500,)) if path == b"/strict" else Rule()


class Play:
    """Clients, containers and time.

    Args:
        service: options of `Service` other than those below.
        target: of `Target`.
        endpoint: of `Endpoint`.
        high: bytes that a client's transport buffers before it says so.
    """

    worker_type = Worker

    def __init__(
        self,
        *,
        service: dict[str, Any] | None = None,
        target: dict[str, Any] | None = None,
        endpoint: dict[str, Any] | None = None,
        high: int = 65536,
    ) -> None:
        times = ("header_timeout", "keepalive_timeout", "body_timeout", "send_timeout")
        limits = {"max_header_bytes": 16384, "max_body_bytes": 0}
        self.options = {**dict.fromkeys(times, 10.0), **limits, **(service or {})}
        self.has_all_timeouts = all(self.options[name] for name in times)
        self.target = {"retries": 2, "recovery_options": None, "replay_buffer": 0, **(target or {})}
        self.endpoint = endpoint or {}
        self.high = high
        self.wheel = Wheel(time.monotonic())
        self.worker = self.worker_type(self)
        app = Target("app", self.worker, secret=None, max_packet_size=8192, **self.target)
        self.service = Service(self.wheel, match, {"app": app}, **self.options)
        self.clients: list[ClientEnd] = []
        #: Every exchange that asked for an endpoint, and whose it is.
        self.attempts: dict[Attempt, ClientEnd] = {}
        self.forwards: list[Forward] = []
        self.drained = 0

    # --- what happens -----------------------------------------------------------------------------

    def connect_client(self) -> ClientEnd:
        client = ClientEnd(self)
        self.clients.append(client)
        client.front.connection_made(client.transport)
        return client

    def connect_container(self) -> ContainerEnd:
        end = ContainerEnd(self, self.endpoint)
        self.worker.connect(end)
        return end

    def forwarded(self, attempt: Attempt, message: ForwardRequest) -> Forward:
        """A request is being written to a container."""
        client = self.attempts[attempt]
        place = client.answers.whole
        assert client.answers.current is None, "a request goes out although its response began"
        # That the loop will report the end in its next turn nobody knows yet.
        assert not client.transport.is_lost, "a request for a client that is gone"
        assert client.transport.closed_by != "us", "a request of a client that was closed"
        forward = Forward(
            len(self.forwards),
            message.header(b"x-id") or b"",
            message.method,
            0 if message.protocol == b"HTTP/1.0" else 1,
            message.uri,
            None if message.header(b"transfer-encoding") else message.content_length,
            attempt,
            place,
        )
        request = client.known(place)
        if request is not None:
            assert (forward.id, forward.method) == (request.id, request.method), "another request"
        before = [earlier for earlier in client.forwards if earlier.attempt is attempt]
        assert len(before) < self.target["retries"], "one attempt too many"
        assert not any(earlier.status for earlier in before), "sent again after an answer began"
        if self.target["recovery_options"] is None and before:
            assert forward.method in IDEMPOTENT, f"{forward.method!r} is started twice"
        self.forwards.append(forward)
        client.forwards.append(forward)
        return forward

    def armed(self) -> list[Timed]:
        """What has a deadline, in a stable order."""
        everybody: list[Timed] = [client.front for client in self.clients]
        everybody += [end.endpoint for end in self.worker.ends.values()]
        everybody += self.attempts
        return [each for each in everybody if each.deadline > 0]

    def pass_time(self, due: list[Timed]) -> None:
        """These deadlines pass, in this order and in one turn of the wheel."""
        times = [each.deadline for each in due]
        for each in due:
            self.wheel.set(each, 0.0)
        for each, when in zip(due, times, strict=True):
            each.on_deadline(when + self.wheel.tick)

    def abort(self, client: ClientEnd) -> None:
        """The process waits no longer for this client."""
        client.front.abort()
        # What is written until the loop reports the end goes nowhere.
        client.transport.closed_by = "process"

    def drain(self) -> None:
        """The process is told to stop."""

        def count() -> None:
            assert not self.service.clients
            self.drained += 1

        self.service.on_drained = count
        self.service.draining = True
        for client in self.clients:
            client.front.drain()

    def end(self) -> None:
        """Everybody leaves, all time passes; nothing may be left."""
        waits_for_clients = self.service.draining and bool(self.service.clients)
        for client in self.clients:
            if not client.transport.is_lost:
                client.is_gone = True
                client.transport.abort()
                client.transport.lose()
        assert not self.service.clients, "clients stayed"
        assert not self.worker.waiting, "waiters stayed"
        self._settle()
        busy = [end for end in self.worker.ends.values() if end.user is not None]
        assert not busy, f"endpoints stayed with their users: {busy}"
        for end in self.worker.ends.values():
            if not end.transport.is_lost:
                end.endpoint.close()
        self._settle()
        assert all(end.is_lost for end in self.worker.ends.values()), "losses were not told"
        assert not self.armed(), f"still armed: {self.armed()}"
        assert not self.wheel.armed, "something unknown is armed"
        assert self.drained or not waits_for_clients, "nobody was told that all clients are gone"

    def _settle(self) -> None:
        for _ in range(10):
            for end in self.worker.ends.values():
                end.transport.take()
                if end.transport.loss:
                    end.transport.lose()
            self.pass_time(self.armed())
