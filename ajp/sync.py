"""Client: requests to one container or to the members of a balancer, by blocking calls.

A client may be shared by threads; one response belongs to one thread. Where a request goes, and
where next after a failure, is known to `Attempts`.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self, TypeAlias, Unpack

from . import _codec, constants
from .attempts import Attempts, Ending, reason_of
from .client import ClientBase
from .connection import NEED_DATA, Signal, State
from .errors import AJPError, Progress, RemoteProtocolError
from .link import Clock, Link, Links, connect
from .messages import (
    EndResponse,
    ForwardRequest,
    FromContainer,
    GetBodyChunk,
    RequestBody,
    SendBodyChunk,
    SendHeaders,
)
from .request import (
    PING_TIMEOUT,
    BodyCutter,
    Content,
    HeaderMap,
    RequestOptions,
    Response,
    known_length,
    reason_text,
)

__all__ = ["Client", "StreamedResponse", "SyncContent"]

SyncContent: TypeAlias = Content | Iterable[Content] | None

#: A connection that worked this many seconds ago is taken as alive without a CPING.
FRESH: Final = 1.0


class _Body:
    """Request content on its way into body packets.

    Args:
        content: of the request.
        length: bytes announced; None when nothing was.
        most: bytes of one packet.

    Attributes:
        first: what goes along with the request, unasked.
    """

    def __init__(self, content: SyncContent, length: int | None, most: int) -> None:
        self._length = length
        self._cutter = BodyCutter(length)
        self._source: Iterator[Content] | None = None
        self._whole: Content | None = None
        self._is_begun = False
        if isinstance(content, (bytes, bytearray, memoryview, str)):
            self._whole = content
            self._cutter.put(content)
        elif content is not None:
            self._source = iter(content)
        self.first = b"" if length is None else self._take(most)

    @property
    def is_replayable(self) -> bool:
        """Whether all of it is still there, but for what went along, which is kept."""
        return self._whole is not None or not self._is_begun

    def rewind(self) -> None:
        """Begin again behind what goes along."""
        if self._whole is not None and self._is_begun:
            self._cutter = BodyCutter(self._length)
            self._cutter.put(self._whole)
            self._cutter.cut(len(self.first))

    def next(self, allowance: int) -> bytes:
        """Take up to `allowance` bytes; empty when there is no more."""
        self._is_begun = True
        return self._take(allowance)

    def _take(self, allowance: int) -> bytes:
        while self._source is not None and self._cutter.wants_more:
            chunk = next(self._source, None)
            if chunk is None:
                self._source = None
                self._cutter.finish()
            else:
                self._cutter.put(chunk)
        return self._cutter.cut(allowance)


class _Exchange:
    """One request on one connection.

    Attributes:
        link: the connection; None until there is one.
        ending: what is known of its end.
    """

    def __init__(self, body: _Body, clock: Clock) -> None:
        self.link: Link | None = None
        self.ending = Ending()
        self._body = body
        self._clock = clock

    def send(self, link: Link, request: ForwardRequest) -> SendHeaders:
        """Send a request, with what is owed at once, and wait for the response headers."""
        begun = time.monotonic()
        link.requests += 1
        packet = link.wire.send(request)
        if self._body.first:
            packet += link.wire.send(RequestBody(self._body.first))
        link.write(packet, self._clock, Progress.HEAD_SENT)
        if self._body.first:
            link.progress = Progress.BODY_SENT
        while True:
            message = self._next(link)
            if isinstance(message, SendHeaders):
                link.progress = Progress.RESPONSE_STARTED
                self.ending.first_byte_s = time.monotonic() - begun
                return message

    def next_data(self) -> bytes:
        """Wait for response body; empty when it is complete."""
        assert self.link is not None
        while not self.ending.is_complete:
            message = self._next(self.link)
            if isinstance(message, SendBodyChunk) and message.data:
                return message.data
            self.ending.is_complete = isinstance(message, EndResponse)
        return b""

    def settle(self) -> bool:
        """Whether the response has ended in order; nothing is waited for."""
        assert self.link is not None
        wire = self.link.wire
        while not self.ending.is_complete and not wire.owed and wire.state is State.RESPONDING:
            try:
                message = wire.next_event()
            except RemoteProtocolError as error:
                self.note(error)
                break
            if message is NEED_DATA:
                break
            self.ending.is_complete = isinstance(message, EndResponse)
        return self.ending.is_complete and wire.is_reusable

    def note(self, error: BaseException) -> None:
        """Remember what the container is to blame for; not that the time for everything is up."""
        if not self._clock.is_over:
            self.ending.reason = reason_of(error)

    def close(self) -> Ending:
        """Say how it ended."""
        ending, link = self.ending, self.link
        ending.is_replayable = self._body.is_replayable
        if link is not None:
            ending.progress = link.progress
            ending.bytes_in, ending.bytes_out = link.bytes_in, link.bytes_out
        return ending

    def _next(self, link: Link) -> FromContainer | Signal:
        try:
            message = link.next_message(self._clock)
            if isinstance(message, GetBodyChunk):
                allowance = link.wire.body_allowance
                data = self._body.next(allowance) if allowance else b""
                link.write(link.wire.send(RequestBody(data)), self._clock, Progress.BODY_SENT)
        except AJPError as error:
            self.note(error)
            raise
        return message


class StreamedResponse:
    """A response whose body is still to come; made by `Client.stream`.

    Attributes:
        status: 200-999.
        reason: phrase.
        headers: by name.
        member: of a balancer, whose answer it is; None without one.
    """

    def __init__(self, head: SendHeaders, exchange: _Exchange, attempts: Attempts) -> None:
        self.status = head.status
        self.reason = reason_text(head.status, head.reason)
        self.headers = HeaderMap(attempts.headers(head.headers))
        self.member = attempts.member
        self._exchange = exchange

    def __repr__(self) -> str:
        """Status."""
        return f"<StreamedResponse {self.status} {self.reason}>"

    def iter_bytes(self) -> Iterator[bytes]:
        """Yield the body as it comes; the container is slowed down to the reader's pace.

        Raises:
            EndpointError: the response broke off or took too long.
            RemoteProtocolError: the container broke the protocol.
        """
        while data := self._exchange.next_data():
            yield data

    def read(self) -> bytes:
        """Read the rest of the body; raises as `iter_bytes` does."""
        return b"".join(self.iter_bytes())


class Client(ClientBase):
    """Requests to one container, or to the members of a `Balancer`; may be shared by threads.

    `AsyncClient` takes the same arguments.
    """

    _links: tuple[Links, ...]

    def _prepare(self) -> None:
        self._links = tuple(Links(self._pool_size, self._idle_timeout) for _ in self._containers)

    def __repr__(self) -> str:
        """Where requests go, and counts."""
        is_open = sum(links.open for links in self._links)
        idle = sum(len(links.idle) for links in self._links)
        return f"<Client {self._where} open={is_open} idle={idle}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close idle connections now and busy ones when their request ends."""
        for links in self._links:
            links.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        content: SyncContent = None,
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
        """
        with self.stream(method, url, content=content, **options) as r:
            return Response(r.status, r.reason, r.headers, r.read(), r.member)

    @contextmanager
    def stream(
        self,
        method: str,
        url: str,
        *,
        content: SyncContent = None,
        **options: Unpack[RequestOptions],
    ) -> Iterator[StreamedResponse]:
        """Send a request and hand over the response while its body is still coming.

        Leaving the context before the body is complete closes the connection. Arguments and
        exceptions are those of `request`.
        """
        attempts = self._attempts(method, url, known_length(content), options)
        # What cannot be sent must not cost a connection.
        _codec.encode_forward_request(attempts.request, self._max_packet_size)
        most = self._max_packet_size - constants.REQUEST_BODY_OVERHEAD
        body = _Body(content, attempts.request.content_length, most)
        clock = Clock(attempts.deadline, self._reply_timeout)
        exchange, head = self._send(attempts, body, clock)
        is_reusable = False
        try:
            yield StreamedResponse(head, exchange, attempts)
            is_reusable = exchange.settle()
        finally:
            attempts.finish(exchange.close())
            self._give_back(attempts.container, exchange.link, is_reusable=is_reusable)

    def _send(self, attempts: Attempts, body: _Body, clock: Clock) -> tuple[_Exchange, SendHeaders]:
        """Make attempts until one has response headers; the caller ends what it gets."""
        try:
            while True:
                if pause := attempts.next():
                    time.sleep(pause)
                    continue
                exchange = _Exchange(body, clock)
                if head := self._try(attempts, exchange, clock):
                    return exchange, head
                body.rewind()
        except BaseException:
            attempts.abandon()
            raise

    def _try(self, attempts: Attempts, exchange: _Exchange, clock: Clock) -> SendHeaders | None:
        """Make one attempt; None when another one is to follow."""
        number = attempts.container
        try:
            link = exchange.link = self._take(number, clock)
            exchange.ending.is_reused = link.requests > 0
            self._check(link)
            head = exchange.send(link, attempts.request)
            attempts.check_status(head.status)
        except BaseException as error:
            exchange.note(error)
            is_next = attempts.failed(error, exchange.close())
            if exchange.link is not None:
                self._give_back(number, exchange.link, is_reusable=False)
            if not is_next:
                raise
            return None
        return head

    def _take(self, number: int, clock: Clock) -> Link:
        links, container = self._links[number], self._containers[number]
        link = links.take(clock.sooner(self._acquire_timeout))
        if link is None:
            try:
                limit = clock.sooner(self._connect_timeout)
                link = connect(container.host, container.port, limit, self._max_packet_size)
            except BaseException:
                links.give_back(None)
                raise
        link.begin()
        return link

    def _give_back(self, number: int, link: Link | None, *, is_reusable: bool) -> None:
        assert link is not None
        if not is_reusable:
            link.close()
        self._links[number].give_back(link if is_reusable else None)

    def _check(self, link: Link) -> None:
        if self._ping_timeout is None:
            return
        if link.requests == 0 or time.monotonic() - link.idle_since > FRESH:
            link.ping(self._ping_timeout)

    def ping(self, *, timeout: float = PING_TIMEOUT, member: str | None = None) -> float:
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
            RemoteProtocolError: what came was no answer.
        """
        number = self._number(member)
        link = self._take(number, Clock(None, None))
        is_reusable = False
        try:
            begun = time.monotonic()
            link.ping(timeout)
            is_reusable = True
            return time.monotonic() - begun
        finally:
            self._give_back(number, link, is_reusable=is_reusable)

    def get(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """GET; see `request`."""
        return self.request("GET", url, **options)

    def head(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """HEAD; see `request`."""
        return self.request("HEAD", url, **options)

    def delete(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """DELETE; see `request`."""
        return self.request("DELETE", url, **options)

    def post(
        self, url: str, *, content: SyncContent = None, **options: Unpack[RequestOptions]
    ) -> Response:
        """POST; see `request`."""
        return self.request("POST", url, content=content, **options)

    def put(
        self, url: str, *, content: SyncContent = None, **options: Unpack[RequestOptions]
    ) -> Response:
        """PUT; see `request`."""
        return self.request("PUT", url, content=content, **options)
