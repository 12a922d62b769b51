"""AsyncClient: requests to one container or to the members of a balancer, by coroutines.

Stands on `Worker`, which has the pool, and on `Attempt`, which gets what comes back. A request
costs no task, unless its content has to be waited for: then one carries it over. Where it goes, and
where next after a failure, is known to `Attempts`.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Final, Self, TypeAlias, Unpack

from . import _codec, constants
from ._endpoint import STATE_NAMES, Attempt, Endpoint
from ._packets import ResponseHead
from .attempts import Attempts, Ending
from .client import ClientBase
from .errors import EndpointClosed, Progress, Reason, ReplyTimeout
from .request import (
    PING_TIMEOUT,
    BodyCutter,
    Content,
    HeaderMap,
    RequestOptions,
    Response,
    failure,
    known_length,
    reason_text,
)
from .timers import Timers
from .worker import Worker

__all__ = ["AsyncClient", "AsyncContent", "AsyncStreamedResponse"]

AsyncContent: TypeAlias = Content | Iterable[Content] | AsyncIterable[Content] | None

#: A response body that nobody reads is taken from the container up to about this many bytes.
READ_AHEAD: Final = 65536


class _Upload:
    """Request content on its way into body packets.

    Args:
        content: of the request.
        length: bytes announced; None when nothing was.
        most: bytes of one packet.

    Attributes:
        length: as it was given.
        first: packet that goes along with the request, unasked; empty when none does.
        sent: its bytes of data.
    """

    def __init__(self, content: AsyncContent, length: int | None, most: int) -> None:
        self.length = length
        self.first = b""
        self.sent = 0
        self._cutter = BodyCutter(length)
        self._source: AsyncIterator[Content] | None = None
        self._whole: Content | None = None
        self._is_begun = False
        self._most = most
        if isinstance(content, (bytes, bytearray, memoryview, str)):
            self._whole = content
            self._cutter.put(content)
        elif content is not None:
            self._source = _each(content)

    async def begin(self) -> None:
        """Make the first packet."""
        if self.length is not None:
            await self._fill()
            data = self._cutter.cut(self._most)
            self.sent = len(data)
            self.first = self._packet(data) if data else b""

    @property
    def is_replayable(self) -> bool:
        """Whether all of it is still there, but for a first packet, which is kept."""
        return self._whole is not None or not self._is_begun

    def rewind(self) -> None:
        """Begin again behind the first packet."""
        if self._whole is not None and self._is_begun:
            self._cutter = BodyCutter(self.length)
            self._cutter.put(self._whole)
            self._cutter.cut(self.sent)

    @property
    def is_at_hand(self) -> bool:
        """Whether `answer_now` can do without waiting."""
        return self._source is None or not self._cutter.wants_more

    def answer_now(self, exchange: "_Exchange", allowance: int) -> None:
        """Send what was asked for."""
        self._is_begun = True
        data = self._cutter.cut(min(allowance, self._most))
        if data:
            exchange.send_body(self._packet(data), len(data))
        else:
            exchange.end_body()

    def _packet(self, data: bytes) -> bytes:
        return _codec.encode_request_body(data, self._most + constants.REQUEST_BODY_OVERHEAD)

    async def answer(self, exchange: "_Exchange", allowance: int) -> None:
        """Wait for content and send it, or the end."""
        # A source whose next piece is waited for and then not wanted may have lost it.
        self._is_begun = True
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

    def __init__(self, packet: bytes, upload: _Upload) -> None:
        self.head: ResponseHead | None = None
        self.error: BaseException | None = None
        self.ending = Ending()
        self._began_at = 0.0
        self._packet = packet
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
        return not self.ending.is_complete and self.error is None

    # --- Attempt ----------------------------------------------------------------------------------

    def on_endpoint(self, endpoint: Endpoint) -> None:
        super().on_endpoint(endpoint)
        upload = self._upload
        self.ending.is_reused = endpoint.requests > 0
        self._began_at = time.monotonic()
        left = None if upload.length is None else upload.length - upload.sent
        self.begin(self._packet, left, upload.sent > 0)

    def on_headers(self, head: ResponseHead) -> None:
        self.head = head
        self.ending.first_byte_s = time.monotonic() - self._began_at

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
        self.ending.is_complete = True
        self._is_paused = False
        self._changed.set()

    def on_failed(self, reason: Reason, progress: Progress, error: BaseException | None) -> None:
        self.error = error or failure(reason, progress, str(reason))
        self.ending.reason, self.ending.progress = reason, progress
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
            if self.ending.is_complete:
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
        return Progress.BODY_SENT if self._upload.sent else Progress.HEAD_SENT

    def close(self, worker: Worker) -> Ending:
        """Keep no connection, whatever was going on, and say how it ended."""
        ending = self.ending
        if self.is_open:
            # An endpoint with half an exchange on it is of no use to anybody.
            worker.cancel(self)
            ending.progress = self._progress()
            self.error = EndpointClosed(
                "the response was left before it was complete", progress=ending.progress
            )
            self.abort()
        ending.is_replayable = self._upload.is_replayable
        ending.bytes_in, ending.bytes_out = self.bytes_in, self.bytes_out
        return ending

    async def settle(self) -> None:
        """Leave no task behind."""
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
        member: of a balancer, whose answer it is; None without one.
    """

    def __init__(self, head: ResponseHead, exchange: _Exchange, attempts: Attempts) -> None:
        self.status = head.status
        self.reason = reason_text(head.status, head.reason)
        self.headers = HeaderMap(attempts.headers(head.headers))
        self.member = attempts.member
        self._exchange = exchange
        self._deadline = attempts.deadline

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


class AsyncClient(ClientBase):
    """Requests to one container, or to the members of a `Balancer`.

    `Client` takes the same arguments, and has the same methods without `await`.
    """

    _timers: Timers | None = None
    _workers: tuple[Worker, ...] = ()

    def __repr__(self) -> str:
        """Where requests go and, once there is one, the pool."""
        if self.balancer is None and self._workers:
            return f"<AsyncClient {self._workers[0]}>"
        return f"<AsyncClient {self._where}>"

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
    def workers(self) -> tuple[Worker, ...]:
        """The worker of each member in their order, or the only one; needs a running loop."""
        return self._open()

    async def aclose(self) -> None:
        """Close all connections; requests under way fail."""
        for worker in self._workers:
            await worker.aclose()
        if self._timers is not None:
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
            BalancerError: no member can have it.
            TimeoutError: the content did not come in time; base of all timeouts above.
        """
        async with self.stream(method, url, content=content, **options) as r:
            return Response(r.status, r.reason, r.headers, await r.read(), r.member)

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
        workers = self._open()
        attempts = self._attempts(method, url, known_length(content), options)
        exchange, head = await self._send(workers, attempts, content)
        try:
            yield AsyncStreamedResponse(head, exchange, attempts)
        finally:
            attempts.finish(exchange.close(workers[attempts.container]))
            await exchange.settle()

    async def _send(
        self, workers: tuple[Worker, ...], attempts: Attempts, content: AsyncContent
    ) -> tuple[_Exchange, ResponseHead]:
        """Make attempts until one has response headers; the caller ends what it gets."""
        size = self._max_packet_size
        most = size - constants.REQUEST_BODY_OVERHEAD
        upload = _Upload(content, attempts.request.content_length, most)
        async with asyncio.timeout_at(attempts.deadline):
            await upload.begin()
        try:
            while True:
                if pause := attempts.next():
                    await asyncio.sleep(pause)
                    continue
                worker = workers[attempts.container]
                packet = _codec.encode_forward_request(attempts.request, size)
                exchange = _Exchange(packet + upload.first, upload)
                if head := await self._try(worker, attempts, exchange):
                    return exchange, head
                upload.rewind()
        except BaseException:
            attempts.abandon()
            raise

    async def _try(
        self, worker: Worker, attempts: Attempts, exchange: _Exchange
    ) -> ResponseHead | None:
        """Make one attempt; None when another one is to follow."""
        try:
            worker.acquire(exchange)
            head = await exchange.wait_head(attempts.deadline)
            attempts.check_status(head.status)
        except BaseException as error:
            is_next = attempts.failed(error, exchange.close(worker))
            await exchange.settle()
            if not is_next:
                raise
            return None
        return head

    async def ping(
        self,
        *,
        timeout: float = PING_TIMEOUT,  # noqa: ASYNC109
        member: str | None = None,
    ) -> float:
        """Ask the container over one of the connections whether it is there.

        Args:
            timeout: seconds for its answer; a connection that has to be made first has its own.
            member: of the balancer; None for the only container there is.

        Returns:
            Seconds from question to answer.

        Raises:
            CPingTimeout: no answer in time.
            EndpointError: no connection, or it broke.
            PoolTimeout: all connections stayed busy.
        """
        return await self._open()[self._number(member)].ping(timeout)

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

    def _open(self) -> tuple[Worker, ...]:
        if self._timers is None:
            timers = self._timers = Timers(asyncio.get_running_loop())
            self._workers = tuple(
                Worker(name, settings, timers)
                for name, settings in zip(self._names, self._containers, strict=True)
            )
        return self._workers
