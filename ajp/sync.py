"""Client: requests to one container, by blocking calls.

A client may be shared by threads; one response belongs to one thread. Retry goes no further than to
replace a connection that turned out dead before anything was sent.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self, TypeAlias, Unpack

from . import _codec, constants
from .connection import NEED_DATA, Signal, State
from .errors import EndpointError, Progress, RemoteProtocolError
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
    build_request,
    check_limits,
    known_length,
    parse_address,
    reason_text,
)

__all__ = ["Client", "StreamedResponse", "SyncContent"]

SyncContent: TypeAlias = Content | Iterable[Content] | None

#: A connection that worked this many seconds ago is taken as alive without a CPING.
FRESH: Final = 1.0


class _Body:
    """Request content on its way into body packets.

    Attributes:
        first: what goes along with the request, unasked.
    """

    def __init__(self, content: SyncContent, length: int | None, most: int) -> None:
        self._cutter = BodyCutter(length)
        self._source: Iterator[Content] | None = None
        if isinstance(content, (bytes, bytearray, memoryview, str)):
            self._cutter.put(content)
        elif content is not None:
            self._source = iter(content)
        self.first = b"" if length is None else self.next(most)

    def next(self, allowance: int) -> bytes:
        """Take up to `allowance` bytes; empty when there is no more."""
        while self._source is not None and self._cutter.wants_more:
            chunk = next(self._source, None)
            if chunk is None:
                self._source = None
                self._cutter.finish()
            else:
                self._cutter.put(chunk)
        return self._cutter.cut(allowance)


class _Exchange:
    """One request on one connection."""

    def __init__(self, link: Link, body: _Body, clock: Clock) -> None:
        self.link = link
        self.is_complete = False
        self._body = body
        self._clock = clock

    def send(self, request: ForwardRequest) -> SendHeaders:
        """Send a request, with what is owed at once, and wait for the response headers."""
        link = self.link
        link.requests += 1
        packet = link.wire.send(request)
        if self._body.first:
            packet += link.wire.send(RequestBody(self._body.first))
        link.write(packet, self._clock, Progress.HEAD_SENT)
        if self._body.first:
            link.progress = Progress.BODY_SENT
        while True:
            message = self._next()
            if isinstance(message, SendHeaders):
                link.progress = Progress.RESPONSE_STARTED
                return message

    def next_data(self) -> bytes:
        """Wait for response body; empty when it is complete."""
        while not self.is_complete:
            message = self._next()
            if isinstance(message, SendBodyChunk) and message.data:
                return message.data
            self.is_complete = isinstance(message, EndResponse)
        return b""

    def settle(self) -> bool:
        """Whether the response has ended in order; nothing is waited for."""
        wire = self.link.wire
        while not self.is_complete and not wire.owed and wire.state is State.RESPONDING:
            try:
                message = wire.next_event()
            except RemoteProtocolError:
                break
            if message is NEED_DATA:
                break
            self.is_complete = isinstance(message, EndResponse)
        return self.is_complete and wire.is_reusable

    def _next(self) -> FromContainer | Signal:
        link = self.link
        message = link.next_message(self._clock)
        if isinstance(message, GetBodyChunk):
            allowance = link.wire.body_allowance
            data = self._body.next(allowance) if allowance else b""
            link.write(link.wire.send(RequestBody(data)), self._clock, Progress.BODY_SENT)
        return message


class StreamedResponse:
    """A response whose body is still to come; made by `Client.stream`.

    Attributes:
        status: 200-999.
        reason: phrase.
        headers: by name.
    """

    def __init__(self, head: SendHeaders, exchange: _Exchange) -> None:
        self.status = head.status
        self.reason = reason_text(head.status, head.reason)
        self.headers = HeaderMap(head.headers)
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


class Client:
    """Requests to one container; may be shared by threads.

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
        self._host, self._port = parse_address(address)
        self._address = address
        self._secret = secret.encode() if isinstance(secret, str) else secret
        self.timeout = timeout
        self._connect_timeout = connect_timeout
        self._reply_timeout = reply_timeout
        self._acquire_timeout = acquire_timeout
        self._ping_timeout = ping_timeout
        self._max_packet_size = max_packet_size
        self._links = Links(pool_size, idle_timeout)

    def __repr__(self) -> str:
        """Address and counts."""
        links = self._links
        return f"<Client {self._address} open={links.open} idle={len(links.idle)}>"

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
        self._links.close()

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
        """
        with self.stream(method, url, content=content, **options) as r:
            return Response(r.status, r.reason, r.headers, r.read())

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
        seconds = options.get("timeout", self.timeout)
        deadline = None if seconds is None else time.monotonic() + seconds
        request = build_request(
            method, url, length=known_length(content), secret=self._secret, options=options
        )
        # What cannot be sent must not cost a connection.
        _codec.encode_forward_request(request, self._max_packet_size)
        most = self._max_packet_size - constants.REQUEST_BODY_OVERHEAD
        body = _Body(content, request.content_length, most)
        clock = Clock(deadline, self._reply_timeout)
        exchange, head = self._send(request, body, clock)
        is_reusable = False
        try:
            yield StreamedResponse(head, exchange)
            is_reusable = exchange.settle()
        finally:
            self._give_back(exchange.link, is_reusable=is_reusable)

    def _send(
        self, request: ForwardRequest, body: _Body, clock: Clock
    ) -> tuple[_Exchange, SendHeaders]:
        is_again = False
        while True:
            link = self._take(clock)
            is_stale = link.requests > 0 and not is_again
            try:
                self._check(link)
                exchange = _Exchange(link, body, clock)
                return exchange, exchange.send(request)
            except EndpointError as error:
                self._give_back(link, is_reusable=False)
                # A connection may have died in the pool without anybody noticing.
                if not is_stale or error.progress is not Progress.NOTHING_SENT:
                    raise
                is_again = True
            except BaseException:
                self._give_back(link, is_reusable=False)
                raise

    def _take(self, clock: Clock) -> Link:
        seconds = clock.sooner(self._acquire_timeout)
        link = self._links.take(seconds)
        if link is None:
            try:
                limit = clock.sooner(self._connect_timeout)
                link = connect(self._host, self._port, limit, self._max_packet_size)
            except BaseException:
                self._links.give_back(None)
                raise
        link.progress = Progress.NOTHING_SENT
        return link

    def _give_back(self, link: Link, *, is_reusable: bool) -> None:
        if not is_reusable:
            link.close()
        self._links.give_back(link if is_reusable else None)

    def _check(self, link: Link) -> None:
        if self._ping_timeout is None:
            return
        if link.requests == 0 or time.monotonic() - link.idle_since > FRESH:
            link.ping(self._ping_timeout)

    def ping(self, *, timeout: float = PING_TIMEOUT) -> float:
        """Ask the container over one of the connections whether it is there.

        Args:
            timeout: seconds for its answer; a connection that has to be made first has its own.

        Returns:
            Seconds from question to answer.

        Raises:
            CPingTimeout: no answer in time.
            EndpointError: no connection, or it broke.
            PoolTimeout: all connections stayed busy.
            RemoteProtocolError: what came was no answer.
        """
        link = self._take(Clock(None, None))
        is_reusable = False
        try:
            begun = time.monotonic()
            link.ping(timeout)
            is_reusable = True
            return time.monotonic() - begun
        finally:
            self._give_back(link, is_reusable=is_reusable)

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
