"""Ask a container whether it is there, over a connection of its own and off the data path.

A probe has one question at a time: a CPING, or a request for a page and the statuses it may have.
Its connection stays open between two questions. A CPING whose time is over stays asked: a container
that stood still answers it the moment it goes on, and nobody has to connect for that. When to ask,
and what an answer means for members, is somebody else's business and must not be added.

Source: mod_jk `ajp_handle_cping_cpong` for the question. Differs: there it costs a user's request
its time, and a connection that does not answer is closed at once.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final, Literal, cast

from .connection import CLOSED, NEED_DATA, WebServerConnection
from .dial import Dialer
from .errors import (
    CPingTimeout,
    EndpointError,
    Progress,
    ProtocolError,
    Reason,
    RemoteProtocolError,
    ReplyTimeout,
)
from .faults import connection_gone
from .messages import (
    CPing,
    CPong,
    EndResponse,
    ForwardRequest,
    FromContainer,
    FromWebServer,
    RequestBody,
    SendHeaders,
)
from .request import build_request
from .worker import RESOLVE_AGAIN, WorkerSettings

__all__ = ["Probe", "ProbeRequest", "ProbeResult"]

#: A CPING unanswered for so many seconds is put over another connection too, and after twice as
#: many again: where packets were lost, the system sends the first one again too late.
PATIENCE: Final = 10.0
MOST_PATIENCE: Final = 60.0
#: A connection that lived shorter is not replaced before the next question.
LEAST_LIFE: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRequest:
    """A page to ask for.

    Attributes:
        method: GET or HEAD; the body of an answer is passed over.
        uri: path and query.
        statuses: ranges of statuses that are good, both ends included.
    """

    method: Literal["GET", "HEAD"] = "GET"
    uri: str
    statuses: tuple[tuple[int, int], ...] = ((200, 399),)

    def accepts(self, status: int) -> bool:
        """Whether an answer of that status is a good one."""
        return any(low <= status <= high for low, high in self.statuses)

    def message(self, secret: bytes | None) -> ForwardRequest:
        """The request to send."""
        return build_request(
            self.method,
            self.uri,
            length=0,
            secret=secret,
            options={"headers": {"user-agent": "ajp-probe", "connection": "keep-alive"}},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What became of one question.

    Attributes:
        reason: why there was no good answer; None: there was one.
        rtt: seconds from the question to the good answer.
        error: what went wrong, in words.
    """

    reason: Reason | None = None
    rtt: float = 0.0
    error: str = ""

    @property
    def is_good(self) -> bool:
        """Whether the container answered as it should."""
        return self.reason is None


class _Line(asyncio.Protocol):
    """One connection of a probe."""

    def __init__(self, probe: "Probe", peer: str, max_packet_size: int, made_at: float) -> None:
        self.peer = peer
        self.made_at = made_at
        self.answers = 0
        self.status = 0
        self._probe = probe
        self._wire = WebServerConnection(max_packet_size=max_packet_size)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    @property
    def is_free(self) -> bool:
        """Whether a question may go over it."""
        transport = self._transport
        return transport is not None and not transport.is_closing() and self._wire.is_reusable

    def put(self, question: FromWebServer) -> None:
        """Send a question."""
        assert self._transport is not None
        self.status = 0
        self._transport.write(self._wire.send(question))

    def data_received(self, data: bytes) -> None:
        try:
            self._wire.receive(data)
            while (event := self._wire.next_event()) is not NEED_DATA and event is not CLOSED:
                self._take(cast(FromContainer, event))
        except ProtocolError as wrong:
            self._probe.broken(self, wrong)

    def _take(self, message: FromContainer) -> None:
        match message:
            case SendHeaders(status=status):
                self.status = status
            case CPong():
                self.answers += 1
                self._probe.answered(self, reuse=True)
            case EndResponse(reuse=reuse):
                self.answers += 1
                self._probe.answered(self, reuse=reuse)
        if self._wire.owed and self._transport is not None:
            self._transport.write(self._wire.send(RequestBody()))

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._probe.lost(self, error)

    def close(self) -> None:
        """Close it, whatever is asked."""
        if self._transport is not None:
            self._transport.abort()


class Probe:
    """One question to one container, asked again and again.

    Must be created inside the running loop. `look` has to be called now and then.

    Args:
        name: of the worker, for messages.
        settings: where the container is, and its secret.
        timeout: seconds for connecting, and as many for the answer.
        on_result: told what became of each question; a CPING whose answer comes late has two
            results, the first with the reason CPING_TIMEOUT.
        request: what to ask for; None: a CPING.
    """

    def __init__(
        self,
        name: str,
        settings: WorkerSettings,
        *,
        timeout: float,
        on_result: Callable[[ProbeResult], None],
        request: ProbeRequest | None = None,
    ) -> None:
        self.settings = settings
        #: Monotonic seconds since when an answer is due; 0: none is.
        self.asked_at = 0.0
        self._name = name
        self._timeout = timeout
        self._on_result = on_result
        self._request = request
        self._loop = asyncio.get_running_loop()
        self._line: _Line | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_told = False
        self._patience = PATIENCE
        self._closed = False
        self._leaving: set[asyncio.Task[None]] = set()
        self._dialer = self._new_dialer()

    def __repr__(self) -> str:
        """Whom it asks, and what it does."""
        doing = "asked" if self.asked_at else "connecting" if self._task else "quiet"
        return f"<Probe {self._name} {self.settings.address} {doing}>"

    @property
    def is_quiet(self) -> bool:
        """Whether `ask` would ask: no answer is due, and no connection is being made."""
        return not self.asked_at and self._task is None and not self._closed

    def ask(self) -> None:
        """Ask, unless the last question is still open."""
        if not self.is_quiet:
            return
        self._ask_for_name()
        if self._line is not None and self._line.is_free:
            self._put(self._line)
        else:
            self._connect()

    def look(self, now: float) -> None:
        """See whether an answer is late."""
        if not self.asked_at:
            return
        late = now - self.asked_at
        if late >= self._timeout and not self._is_told:
            self._is_told = True
            self._tell_late()
        if self.asked_at and late >= self._patience and self._task is None:
            self._patience = late + min(late, MOST_PATIENCE)
            self._connect()

    def change(self, settings: WorkerSettings) -> None:
        """Ask somewhere else from now on."""
        self.settings = settings
        self._leave()
        self._dialer = self._new_dialer()

    async def aclose(self) -> None:
        """Close the connection and ask no more."""
        self._closed = True
        self._leave()
        await asyncio.gather(*self._leaving)

    # --- for its connection -----------------------------------------------------------------------

    def answered(self, line: _Line, *, reuse: bool) -> None:
        """The answer is complete."""
        if line is not self._line or not self.asked_at:
            return
        rtt = monotonic() - self.asked_at
        if not reuse:
            self._drop()
        self.asked_at = 0.0
        self._patience = PATIENCE
        if self._request is None or self._request.accepts(line.status):
            self._on_result(ProbeResult(rtt=rtt))
            return
        reason, hint = Reason.FAIL_ON_STATUS, ""
        if line.status == 403 and not reuse:
            reason, hint = Reason.SECRET_REJECTED, ", as it does where the secret is wrong"
        words = f"{self._name}: {self._request.uri} was answered {line.status}{hint}"
        self._on_result(ProbeResult(reason=reason, error=words))

    def broken(self, line: _Line, wrong: ProtocolError) -> None:
        """What came was no AJP13, or not the answer."""
        if line is not self._line:
            return
        self._drop()
        is_large = isinstance(wrong, RemoteProtocolError) and wrong.code == "E_TOO_LARGE"
        reason = Reason.PACKET_TOO_LARGE_FROM_CONTAINER if is_large else Reason.PROTOCOL_ERROR
        self._on_result(ProbeResult(reason=reason, error=f"{self._name}: {wrong}"))

    def lost(self, line: _Line, cause: Exception | None) -> None:
        """The connection is gone: often the first sign that the container is."""
        if line is not self._line:
            return
        was_asked = bool(self.asked_at)
        self._drop()
        if self._closed:
            return
        if line.answers and monotonic() - line.made_at >= LEAST_LIFE:
            if self._task is None:
                self._connect()
        elif was_asked:
            self._fail(connection_gone(self._name, cause, progress=Progress.NOTHING_SENT))

    # --- its own business -------------------------------------------------------------------------

    def _drop(self) -> None:
        """Forget the connection and what was asked over it."""
        line, self._line = self._line, None
        self.asked_at = 0.0
        if line is not None:
            line.close()

    def _leave(self) -> None:
        """Forget the connection, made or not; its dialer ends in a task of its own."""
        self._drop()
        dialing, self._task = self._task, None
        task = self._loop.create_task(
            self._end(self._dialer, dialing), name=f"ajp probe leaves {self._name}"
        )
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _end(self, dialer: Dialer, dialing: asyncio.Task[None] | None) -> None:
        if dialing is not None:
            dialing.cancel()
            await asyncio.gather(dialing, return_exceptions=True)
        await dialer.aclose()

    def _put(self, line: _Line) -> None:
        self.asked_at = self.asked_at or monotonic()
        self._is_told = False
        request = self._request
        line.put(CPing() if request is None else request.message(self.settings.secret))

    def _tell_late(self) -> None:
        words = f"{self._name}: no CPONG within {self._timeout:g} s"
        error: EndpointError = CPingTimeout(words)
        if self._request is not None:
            # Nothing is learned from a page that comes late.
            self._drop()
            uri = self._request.uri
            error = ReplyTimeout(f"{self._name}: no answer to {uri} within {self._timeout:g} s")
        self._fail(error)

    def _fail(self, error: EndpointError) -> None:
        self._on_result(ProbeResult(reason=error.reason, error=str(error)))

    def _connect(self) -> None:
        self._task = self._loop.create_task(self._dial(), name=f"ajp probe {self._name}")

    async def _dial(self) -> None:
        try:
            line = await self._dialer.dial(self._new_line)
        except EndpointError as error:
            if self._is_dialing():
                self._task = None
                self._fail(error)
            return
        if not self._is_dialing():
            # It was made in the moment in which it was given up.
            line.close()
            return
        self._task = None
        former, self._line = self._line, line
        if former is not None:
            former.close()
        if line.is_free:
            self._put(line)
        else:
            self._drop()
            self._fail(connection_gone(self._name, None, progress=Progress.NOTHING_SENT))

    def _is_dialing(self) -> bool:
        """Whether the running task is the one whose connection is wanted."""
        return self._task is asyncio.current_task()

    def _new_line(self, peer: str) -> _Line:
        return _Line(self, peer, self.settings.max_packet_size, monotonic())

    def _new_dialer(self) -> Dialer:
        settings = self.settings
        return Dialer(
            self._name,
            settings.host,
            settings.port,
            address=settings.address,
            timeout=self._timeout,
            source=settings.source,
            keepalive=settings.keepalive,
            prefer_ipv6=settings.prefer_ipv6,
            on_answer=self._keep_to,
        )

    def _ask_for_name(self) -> None:
        """See now and then whether the name still leads to where the connection does."""
        resolver = self._dialer.resolver
        if self._line is None or resolver is None or not resolver.is_name:
            return
        if monotonic() - resolver.asked_at >= RESOLVE_AGAIN:
            resolver.ask()

    def _keep_to(self, hosts: frozenset[str]) -> None:
        if self._line is not None and self._line.peer not in hosts and not self.asked_at:
            self._drop()
