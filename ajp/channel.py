"""One connection of a web server: its bytes, its clock, and the request that is on it.

`Channel` moves the bytes of a `ContainerConnection` over asyncio and waits for what it needs;
`ContainerRequest` is what a handler gets to see of it. Both are bounded: what is received and not
yet read is about one packet and one read, what is written and not yet taken about `WRITE_SIZE`.
Who is admitted, and how an exchange ends, is decided in `container` and must not be added here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from http import HTTPStatus
from typing import Any, Final, TypeAlias, cast

from . import constants
from .connection import NEED_DATA, ContainerConnection, Signal
from .errors import (
    EndpointClosed,
    EndpointTimeout,
    LocalProtocolError,
    Reason,
    RemoteProtocolError,
)
from .messages import (
    ForwardRequest,
    FromContainer,
    FromWebServer,
    GetBodyChunk,
    Headers,
    RequestBody,
    SendBodyChunk,
    SendHeaders,
)

__all__ = ["Channel", "ContainerRequest", "HeaderPairs", "phrase_of"]

Text: TypeAlias = str | bytes
HeaderPairs: TypeAlias = Iterable[tuple[Text, Text]]

#: Output is handed to the transport in pieces of about this many bytes.
WRITE_SIZE: Final = 65536
#: Seconds a web server gets to close after it was told that the connection ends.
LINGER_TIME: Final = 2.0
#: Statuses without a body, whatever the application writes.
BODILESS: Final = frozenset((204, 205, 304))


def octets(text: Text) -> bytes:
    """Bytes of a header's text."""
    return text if isinstance(text, bytes) else text.encode("latin-1")


def phrase_of(status: int) -> bytes:
    """Say what a status means; its number where nobody knows."""
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b"%d" % status


class ContainerRequest:
    """One request and the means to answer it; lives as long as the handler's call.

    Everything textual is bytes, as it came. When the web server goes away, what waits in a method
    here raises `EndpointClosed`; a handler that waits elsewhere is cancelled.

    Attributes:
        head: the request as it came over the wire.
    """

    def __init__(self, head: ForwardRequest, channel: "Channel") -> None:
        self.head = head
        self._channel = channel
        self._rest = b""  # of the last body packet
        self._bodiless = head.method == b"HEAD"
        self._status = 0
        self._announced: int | None = None
        self._written = 0

    def __repr__(self) -> str:
        """Method, path and status: headers and attributes may hold secrets."""
        return f"<ContainerRequest {self.method!r} {self.uri!r} status={self._status or None}>"

    @property
    def method(self) -> bytes:
        """Method, case as sent."""
        return self.head.method

    @property
    def uri(self) -> bytes:
        """Path, still percent-encoded."""
        return self.head.uri

    @property
    def query(self) -> bytes | None:
        """Query without ``?``; None when there was no ``?``."""
        return self.head.query_string

    @property
    def headers(self) -> Headers:
        """Header pairs in the order of the wire."""
        return self.head.headers

    @property
    def attributes(self) -> dict[bytes, bytes | None]:
        """Named request attributes that were let through."""
        return self.head.request_attributes

    @property
    def is_started(self) -> bool:
        """Whether the response headers are out."""
        return self._status != 0

    def header(self, name: Text) -> bytes | None:
        """First value of a header, its name in any case; None when absent."""
        return self.head.header(octets(name))

    # --- the request body -------------------------------------------------------------------------

    async def read(self, n: int = -1) -> bytes:
        """Read request body.

        Args:
            n: bytes at most; negative for all of it.

        Returns:
            At least one byte unless the body is complete or `n` is 0.

        Raises:
            EndpointClosed: the web server went away.
            EndpointTimeout: a packet it owes did not come in time.
            RemoteProtocolError: the body is shorter or longer than announced.
        """
        if n < 0:
            return b"".join([chunk async for chunk in self])
        if n == 0:
            return b""
        chunk = self._rest or await self._channel.receive_body()
        self._rest = chunk[n:]
        return chunk[:n]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the rest of the request body as it comes; raises as `read` does."""
        chunk, self._rest = self._rest, b""
        while chunk := chunk or await self._channel.receive_body():
            yield chunk
            chunk = b""

    # --- the response -----------------------------------------------------------------------------

    async def respond(
        self, status: int = 200, headers: HeaderPairs = (), body: bytes | str = b""
    ) -> None:
        """Answer in one go; a content-length is added where it is missing.

        Args:
            status: 200-999.
            headers: (name, value) pairs, str or bytes.
            body: str is sent as UTF-8.
        """
        data = body.encode() if isinstance(body, str) else body
        pairs = [(octets(name), octets(value)) for name, value in headers]
        if status not in (204, 304) and not any(
            name.lower() == b"content-length" for name, _ in pairs
        ):
            pairs.append((b"Content-Length", b"%d" % len(data)))
        await self.send_headers(status, pairs)
        await self.write(data)

    async def send_headers(
        self, status: int, headers: HeaderPairs = (), reason: Text | None = None
    ) -> None:
        """Begin the response.

        Raises:
            LocalProtocolError: called twice, or the headers do not fit into one packet; in the
                latter case others may still be sent.
            EndpointClosed: the web server went away.
        """
        pairs = tuple((octets(name), octets(value)) for name, value in headers)
        phrase = phrase_of(status) if reason is None else octets(reason)
        self._channel.check_open()
        self._channel.send(SendHeaders(status, phrase, pairs))
        self._status = status
        self._bodiless = self._bodiless or status in BODILESS
        for name, value in pairs:
            if name.lower() == b"content-length" and value.isdigit():
                self._announced = int(value)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send a piece of the response body; returns when there is room for more.

        Where the response has no body (HEAD, 204, 205, 304) it is dropped.

        Raises:
            LocalProtocolError: before `send_headers`, or more than the announced content-length.
            EndpointClosed: the web server went away.
        """
        channel = self._channel
        channel.check_open()
        if self._bodiless:
            return
        self._written += len(data)
        if self._announced is not None and self._written > self._announced:
            raise LocalProtocolError(
                f"response body of {self._written} bytes: content-length said {self._announced}"
            )
        step = channel.wire.max_packet_size - constants.RESPONSE_BODY_OVERHEAD
        for start in range(0, len(data), step):
            channel.send(SendBodyChunk(bytes(data[start : start + step])))
            await channel.drain()

    async def flush(self) -> None:
        """Tell the web server to pass on to the client what it has; needs `send_headers`."""
        self._channel.check_open()
        if not self._bodiless:
            self._channel.send(SendBodyChunk())
        self._channel.flush()
        await self._channel.drain()

    async def disconnected(self) -> None:
        """Return when the web server has gone away."""
        await self._channel.wait_gone()

    def shortfall(self) -> LocalProtocolError | None:
        """Say what is missing from the response if it ended now."""
        if not self._status:
            return LocalProtocolError("the handler returned without a response")
        if self._announced is None or self._bodiless or self._written == self._announced:
            return None
        return LocalProtocolError(
            f"response body of {self._written} bytes: content-length said {self._announced}"
        )


class Channel(asyncio.Protocol):
    """One connection of a web server, and the task that serves it.

    Args:
        run: serves the channel; run as a task from the moment it is connected, and cancelled when
            the web server goes away while a handler waits elsewhere than in a method of ours.
        forget: called once the connection is gone.
        packet_timeout: seconds a web server may take for the rest of a packet.
        max_packet_size: bytes, 8192-65536.
        max_headers: a request with more is malformed.

    Attributes:
        wire: state of the connection.
        peer: address of the web server, for logs.
        in_handler: whether a handler is running.
        has_stalled: whether the web server let a packet's time pass.
        offence: what the web server did wrong, once it did.
    """

    transport: asyncio.Transport
    task: asyncio.Task[None]

    def __init__(
        self,
        run: "Callable[[Channel], Coroutine[Any, Any, None]]",
        forget: "Callable[[Channel], None]",
        *,
        packet_timeout: float | None,
        max_packet_size: int,
        max_headers: int,
    ) -> None:
        self.wire = ContainerConnection(max_packet_size=max_packet_size, max_headers=max_headers)
        self.peer: object = None
        self.in_handler = False
        self.has_stalled = False
        self.offence: RemoteProtocolError | None = None
        self._run = run
        self._forget = forget
        self._packet_timeout = packet_timeout
        self._loop = asyncio.get_running_loop()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._gone = asyncio.Event()
        self._waiting = 0  # coroutines that will notice by themselves that the peer is gone
        self._unread = 0  # bytes received since the wire last needed any
        self._is_paused = False
        self._is_deaf = False
        self._out: list[bytes] = []
        self._out_size = 0
        self._flush_handle: asyncio.Handle | None = None

    def __repr__(self) -> str:
        """Peer and state."""
        return f"<Channel {self.peer} {self.wire.state.name}>"

    # --- asyncio protocol -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve."""
        # Not asserted: uvloop's transports are no subclasses.
        self.transport = cast(asyncio.Transport, transport)
        self.peer = transport.get_extra_info("peername") or "unix"
        self._writable.set()
        self.task = self._loop.create_task(self._run(self), name=f"ajp container {self.peer}")

    def data_received(self, data: bytes) -> None:
        """Keep bytes until somebody wants them."""
        if self._is_deaf:
            return
        self.wire.receive(data)
        self._unread += len(data)
        # A request and its first body packet are the most that a web server may send unasked.
        if self._unread > 2 * self.wire.max_packet_size + constants.HEADER_LEN + 1:
            self._is_paused = True
            self.transport.pause_reading()
        self._readable.set()

    def eof_received(self) -> bool:
        """Take a web server that will say nothing more for gone, but let answers out."""
        self._lose()
        return True

    def connection_lost(self, error: BaseException | None) -> None:
        """Wake everybody who waits."""
        self._lose()
        self._forget(self)

    def pause_writing(self) -> None:
        """Make writers wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable.set()

    def _lose(self) -> None:
        if self._gone.is_set():
            return
        self._gone.set()
        self._readable.set()
        self._writable.set()
        if self.in_handler and not self._waiting:
            self.task.cancel()

    # --- output -----------------------------------------------------------------------------------

    @property
    def is_gone(self) -> bool:
        """Whether the web server closed its end, or the connection broke."""
        return self._gone.is_set()

    def check_open(self) -> None:
        """Raise EndpointClosed when the web server is gone."""
        if self._gone.is_set():
            raise EndpointClosed("the web server closed the connection", reason=Reason.CLIENT_ABORT)

    def send(self, message: FromContainer) -> None:
        """Put a message into the output, which leaves no later than the loop's next turn."""
        self.put(self.wire.send(message))

    def put(self, packet: bytes) -> None:
        """Put an encoded packet into the output."""
        self._out.append(packet)
        self._out_size += len(packet)
        if self._out_size >= WRITE_SIZE:
            self.flush()
        elif self._flush_handle is None:
            self._flush_handle = self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Hand the output to the transport in one write."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        if self._out:
            out, self._out, self._out_size = self._out, [], 0
            if not self.transport.is_closing():
                self.transport.write(b"".join(out))

    async def drain(self) -> None:
        """Wait until the transport takes more."""
        if not self._writable.is_set():
            await self._wait(self._writable)
        self.check_open()

    async def end_badly(self, packet: bytes) -> None:
        """Write a last packet, if any, and see to it that it arrives."""
        if not packet:
            return
        self.put(packet)
        self.flush()
        # Closing with bytes unread would reset the connection and take the answer along.
        self._is_deaf = True
        if self.transport.is_closing():
            return
        self._resume()
        with contextlib.suppress(TimeoutError, OSError):
            self.transport.write_eof()
            async with asyncio.timeout(LINGER_TIME):
                await self._gone.wait()

    # --- input ------------------------------------------------------------------------------------

    async def wait_gone(self) -> None:
        """Return when the web server is gone."""
        await self._wait(self._gone)

    async def receive_body(self) -> bytes:
        """Receive one packet of request body, asking for it first if need be; empty: the end."""
        wire = self.wire
        if wire.body_complete:
            return b""
        self.check_open()
        if not wire.owed:
            if wire.has_unsolicited:
                self.offence = RemoteProtocolError("bytes that were not asked for", code="E_STATE")
                raise self.offence
            self.send(GetBodyChunk(wire.body_allowance))
            self.flush()
        message = await self.receive(self._packet_timeout)
        assert isinstance(message, RequestBody)
        return message.data

    async def receive(self, patience: float | None) -> FromWebServer | Signal:
        """Receive the next message.

        Args:
            patience: seconds to wait for its first byte, None for ever; the rest of it gets
                `packet_timeout`.

        Raises:
            EndpointClosed: the web server is gone.
            EndpointTimeout: it took too long.
            RemoteProtocolError: what came is malformed or out of turn.
        """
        deadline = self._deadline(patience)
        is_begun = False
        while (event := self._next_event()) is NEED_DATA:
            self.check_open()
            self._readable.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._wait(self._readable)
            except TimeoutError as exc:
                self.has_stalled = True
                raise EndpointTimeout(
                    "the web server sent no whole packet in time", reason=Reason.CLIENT_TIMEOUT
                ) from exc
            if not is_begun:
                is_begun, deadline = True, self._deadline(self._packet_timeout)
        return event

    def _deadline(self, seconds: float | None) -> float | None:
        return None if seconds is None else self._loop.time() + seconds

    def _next_event(self) -> FromWebServer | Signal:
        try:
            event = self.wire.next_event()
        except RemoteProtocolError as error:
            self._is_deaf = True
            self.offence = error
            raise
        if event is NEED_DATA:
            self._unread = 0
            self._resume()
        return event

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()

    async def _wait(self, event: asyncio.Event) -> None:
        self._waiting += 1
        try:
            await event.wait()
        finally:
            self._waiting -= 1
