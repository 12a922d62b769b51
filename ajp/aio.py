"""AsyncClient: requests to one container, by coroutines.

Stands on `Worker`, which has the pool, and on `Attempt`, which gets what comes back. A request
costs no task, unless its content has to be waited for: then one carries it over. Retry goes no
further than to replace a connection that turned out dead before anything was sent.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Final, Self, TypeAlias, Unpack

from . import _codec, constants
from ._endpoint import STATE_NAMES, Attempt, Endpoint
from ._packets import ResponseHead
from .errors import EndpointClosed, EndpointError, Progress, Reason, ReplyTimeout
from .messages import ForwardRequest
from .request import (
    PING_TIMEOUT,
    BodyCutter,
    Content,
    HeaderMap,
    RequestOptions,
    Response,
    build_request,
    check_limits,
    failure,
    known_length,
    parse_address,
    reason_text,
)
from .timers import Timers
from .worker import Worker, WorkerSettings

__all__ = ["AsyncClient", "AsyncContent", "AsyncStreamedResponse"]

AsyncContent: TypeAlias = Content | Iterable[Content] | AsyncIterable[Content] | None

#: A response body that nobody reads is taken from the container up to about this many bytes.
READ_AHEAD: Final = 65536


class _Upload:
    """Request content on its way into body packets."""

    def __init__(self, content: AsyncContent, length: int | None, most: int) -> None:
        self.length = length
        self._cutter = BodyCutter(length)
        self._source: AsyncIterator[Content] | None = None
        self._most = most
        if content is None:
            return
        if isinstance(content, (bytes, bytearray, memoryview, str)):
            self._cutter.put(content)
        else:
            self._source = _each(content)

    async def first_packet(self) -> tuple[bytes, int]:
        """Packet to send unasked, and its bytes of data; nothing when no length is announced."""
        if self.length is None:
            return b"", 0
        await self._fill()
        data = self._cutter.cut(self._most)
        return self._packet(data) if data else b"", len(data)

    @property
    def is_at_hand(self) -> bool:
        """Whether `answer_now` can do without waiting."""
        return self._source is None or not self._cutter.wants_more

    def answer_now(self, exchange: "_Exchange", allowance: int) -> None:
        """Send what was asked for."""
        data = self._cutter.cut(min(allowance, self._most))
        if data:
            exchange.send_body(self._packet(data), len(data))
        else:
            exchange.end_body()

    def _packet(self, data: bytes) -> bytes:
        return _codec.encode_request_body(data, self._most + constants.REQUEST_BODY_OVERHEAD)

    async def answer(self, exchange: "_Exchange", allowance: int) -> None:
        """Wait for content and send it, or the end."""
        await self._fill()
        if exchange.is_open:
            self.answer_now(exchange, allowance)

    async def _fill(self) -> None:
        while self._source is not None and self._cutter.wants_more:
            try:
                self._cutter.put(await anext(self._source))
            except StopAsyncIteration:
                self._source = None
                self._cutter.finish()


async def _each(content: Iterable[Content] | AsyncIterable[Content]) -> AsyncIterator[Content]:
    if isinstance(content, AsyncIterable):
        async for chunk in content:
            yield chunk
    else:
        for chunk in content:
            yield chunk


class _Exchange(Attempt):
    """One try of one request, and whoever waits for it."""

    def __init__(self, packet: bytes, sent: int, upload: _Upload) -> None:
        self.head: ResponseHead | None = None
        self.error: BaseException | None = None
        self.is_complete = False
        self.is_reused = False
        self._packet = packet
        self._sent = sent
        self._upload = upload
        self._asked = asyncio.Event()
        self._allowance = 0
        self._carrier: asyncio.Task[None] | None = None
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._is_paused = False
        self._changed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether more may come of it."""
        return not self.is_complete and self.error is None

    # --- Attempt ----------------------------------------------------------------------------------

    def on_endpoint(self, endpoint: Endpoint) -> None:
        super().on_endpoint(endpoint)
        self.is_reused = endpoint.requests > 0
        length = self._upload.length
        left = None if length is None else length - self._sent
        self.begin(self._packet, left, self._sent > 0)

    def on_headers(self, head: ResponseHead) -> None:
        self.head = head

    def on_body(self, data: bytes, start: int, end: int) -> None:
        self._chunks.append(data[start:end])
        self._buffered += end - start
        if self._buffered > READ_AHEAD and not self._is_paused:
            self._is_paused = True
            self.pause_reading()

    def on_get_body(self, allowance: int) -> None:
        if self._upload.is_at_hand:
            self._upload.answer_now(self, allowance)
            return
        self._allowance = allowance
        self._asked.set()
        if self._carrier is None:
            loop = asyncio.get_running_loop()
            self._carrier = loop.create_task(self._carry(), name="ajp upload")

    def on_read_done(self) -> None:
        self._changed.set()

    def on_end(self) -> None:
        self.is_complete = True
        self._is_paused = False
        self._changed.set()

    def on_failed(self, reason: Reason, progress: Progress, error: BaseException | None) -> None:
        self.error = error or failure(reason, progress, str(reason))
        self._is_paused = False
        self._changed.set()

    # --- the waiting side -------------------------------------------------------------------------

    async def _carry(self) -> None:
        """Carry content over, a packet each time it is asked for; a failing source ends it all."""
        try:
            while self.is_open:
                await self._asked.wait()
                self._asked.clear()
                await self._upload.answer(self, self._allowance)
        except Exception as error:
            if self.is_open:
                self.error = error
                self.abort()
                self._changed.set()

    async def wait_head(self, deadline: float | None) -> ResponseHead:
        """Wait for the response headers."""
        while self.head is None:
            await self._wait(deadline)
        return self.head

    async def next_data(self, deadline: float | None) -> bytes:
        """Wait for response body; empty when it is complete."""
        while not self._chunks:
            if self.is_complete:
                return b""
            await self._wait(deadline)
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._is_paused:
            self._is_paused = False
            self.resume_reading()
        return data

    async def _wait(self, deadline: float | None) -> None:
        if self.error is not None:
            raise self.error
        self._changed.clear()
        try:
            async with asyncio.timeout_at(deadline):
                await self._changed.wait()
        except TimeoutError as exc:
            raise ReplyTimeout(
                "no complete response within the time allowed", progress=self._progress()
            ) from exc

    def _progress(self) -> Progress:
        if self.head is not None:
            return Progress.RESPONSE_STARTED
        if self.endpoint is None or STATE_NAMES[self.endpoint.state] == "PINGING":
            return Progress.NOTHING_SENT
        return Progress.BODY_SENT if self._sent else Progress.HEAD_SENT

    async def aclose(self, worker: Worker) -> None:
        """Leave nothing behind, whatever was going on."""
        if self.is_open:
            # An endpoint with half an exchange on it is of no use to anybody.
            worker.cancel(self)
            self.error = EndpointClosed(
                "the response was left before it was complete", progress=self._progress()
            )
            self.abort()
        carrier, self._carrier = self._carrier, None
        if carrier is not None and not carrier.done():
            carrier.cancel()
            await asyncio.wait([carrier])


class AsyncStreamedResponse:
    """A response whose body is still to come; made by `AsyncClient.stream`.

    Attributes:
        status: 200-999.
        reason: phrase.
        headers: by name.
    """

    def __init__(self, head: ResponseHead, exchange: _Exchange, deadline: float | None) -> None:
        self.status = head.status
        self.reason = reason_text(head.status, head.reason)
        self.headers = HeaderMap(head.headers)
        self._exchange = exchange
        self._deadline = deadline

    def __repr__(self) -> str:
        """Status."""
        return f"<AsyncStreamedResponse {self.status} {self.reason}>"

    async def iter_bytes(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; the container is slowed down to the reader's pace.

        Raises:
            EndpointError: the response broke off or took too long.
            RemoteProtocolError: the container broke the protocol.
        """
        while data := await self._exchange.next_data(self._deadline):
            yield data

    async def read(self) -> bytes:
        """Read the rest of the body; raises as `iter_bytes` does."""
        return b"".join([data async for data in self.iter_bytes()])


class AsyncClient:
    """Requests to one container.

    Args:
        address: ``ajp://host:port``, ``host:port`` or ``unix:/path``.
        secret: shared with the container.
        timeout: seconds for a whole request, unless it says otherwise; None for ever.
        connect_timeout: seconds for a connection to be made.
        reply_timeout: seconds before each packet of a response; None for ever.
        acquire_timeout: seconds to wait for one of `pool_size` connections to be free.
        ping_timeout: seconds for the answer to the CPING that goes before the first request of a
            connection, and before a later one when it was idle for over a second; None: no CPING.
        pool_size: most connections.
        idle_timeout: seconds a connection may be idle; None for ever.
        max_packet_size: bytes, 8192-65536; must equal the container's packetSize.
    """

    def __init__(
        self,
        address: str = "ajp://127.0.0.1:8009",
        *,
        secret: str | bytes | None = None,
        timeout: float | None = None,
        connect_timeout: float | None = 2.0,
        reply_timeout: float | None = None,
        acquire_timeout: float = 5.0,
        ping_timeout: float | None = 2.0,
        pool_size: int = 100,
        idle_timeout: float | None = None,
        max_packet_size: int = constants.DEFAULT_PACKET_SIZE,
    ) -> None:
        check_limits(
            max_packet_size,
            pool_size,
            timeout=timeout,
            connect_timeout=connect_timeout,
            reply_timeout=reply_timeout,
            acquire_timeout=acquire_timeout,
            ping_timeout=ping_timeout,
            idle_timeout=idle_timeout,
        )
        host, port = parse_address(address)
        self.timeout = timeout
        self._settings = WorkerSettings(
            host=host,
            port=port,
            secret=secret.encode() if isinstance(secret, str) else secret,
            max_packet_size=max_packet_size,
            pool_size=pool_size,
            pool_timeout=idle_timeout or 0.0,
            acquire_timeout=acquire_timeout,
            connect_timeout=connect_timeout or 0.0,
            connect_ping=ping_timeout or 0.0,
            prepost_ping=ping_timeout or 0.0,
            reply_timeout=reply_timeout or 0.0,
        )
        self._timers: Timers | None = None
        self._worker: Worker | None = None

    def __repr__(self) -> str:
        """Address and, once there is one, the pool."""
        return f"<AsyncClient {self._worker or self._settings.address}>"

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def worker(self) -> Worker:
        """The worker behind, with its pool; needs a running loop."""
        return self._open()

    async def aclose(self) -> None:
        """Close all connections; requests under way fail."""
        if self._worker is not None and self._timers is not None:
            await self._worker.aclose()
            self._timers.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        content: AsyncContent = None,
        **options: Unpack[RequestOptions],
    ) -> Response:
        """Send a request and read the whole response.

        Args:
            method: as it is, upper case usually.
            url: path and query, or an absolute http(s) URL.
            content: body; without a known length it is sent chunked.
            **options: see `RequestOptions`.

        Raises:
            EndpointError: no connection, or it failed; ``.reason`` and ``.progress`` say how.
            PoolTimeout: all connections stayed busy.
            RemoteProtocolError: the container broke the protocol.
            LocalProtocolError: the request cannot be sent.
            TimeoutError: the content did not come in time; base of all timeouts above.
        """
        async with self.stream(method, url, content=content, **options) as r:
            return Response(r.status, r.reason, r.headers, await r.read())

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        content: AsyncContent = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncIterator[AsyncStreamedResponse]:
        """Send a request and hand over the response while its body is still coming.

        Leaving the context before the body is complete closes the connection. Arguments and
        exceptions are those of `request`.
        """
        worker = self._open()
        seconds = options.get("timeout", self.timeout)
        deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
        request = build_request(
            method, url, length=known_length(content), secret=self._settings.secret, options=options
        )
        exchange = await self._send(worker, request, content, deadline)
        try:
            yield AsyncStreamedResponse(await exchange.wait_head(deadline), exchange, deadline)
        finally:
            await exchange.aclose(worker)

    async def _send(
        self, worker: Worker, request: ForwardRequest, content: AsyncContent, deadline: float | None
    ) -> _Exchange:
        """Send a request and wait for the response headers; the caller closes what it gets."""
        size = self._settings.max_packet_size
        packet = _codec.encode_forward_request(request, size)
        upload = _Upload(content, request.content_length, size - constants.REQUEST_BODY_OVERHEAD)
        async with asyncio.timeout_at(deadline):
            body, sent = await upload.first_packet()
        is_again = False
        while True:
            exchange = _Exchange(packet + body, sent, upload)
            try:
                worker.acquire(exchange)
                await exchange.wait_head(deadline)
            except EndpointError as error:
                await exchange.aclose(worker)
                # A connection may have died in the pool without anybody noticing.
                is_stale = exchange.is_reused and error.progress is Progress.NOTHING_SENT
                if is_again or error is not exchange.error or not is_stale:
                    raise
                is_again = True
            except BaseException:
                await exchange.aclose(worker)
                raise
            else:
                return exchange

    async def ping(self, *, timeout: float = PING_TIMEOUT) -> float:  # noqa: ASYNC109
        """Ask the container over one of the connections whether it is there.

        Args:
            timeout: seconds for its answer; a connection that has to be made first has its own.

        Returns:
            Seconds from question to answer.

        Raises:
            CPingTimeout: no answer in time.
            EndpointError: no connection, or it broke.
            PoolTimeout: all connections stayed busy.
        """
        return await self._open().ping(timeout)

    async def get(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """GET; see `request`."""
        return await self.request("GET", url, **options)

    async def head(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """HEAD; see `request`."""
        return await self.request("HEAD", url, **options)

    async def delete(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """DELETE; see `request`."""
        return await self.request("DELETE", url, **options)

    async def post(
        self, url: str, *, content: AsyncContent = None, **options: Unpack[RequestOptions]
    ) -> Response:
        """POST; see `request`."""
        return await self.request("POST", url, content=content, **options)

    async def put(
        self, url: str, *, content: AsyncContent = None, **options: Unpack[RequestOptions]
    ) -> Response:
        """PUT; see `request`."""
        return await self.request("PUT", url, content=content, **options)

    def _open(self) -> Worker:
        if self._worker is None:
            self._timers = Timers(asyncio.get_running_loop())
            self._worker = Worker("client", self._settings, self._timers)
        return self._worker
