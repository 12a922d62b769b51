"""A container that does what a script tells it to, correct or not.

A script is a list of steps that runs once a whole FORWARD_REQUEST has been read; the next request,
on whatever connection, takes the next script, and the last script serves all that follow. A step
is a coroutine function of one `Connection`. What the container saw is counted: connections,
executions (whole requests), bodies.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from ajp import _codec
from ajp.constants import MAGIC_FROM_WEB_SERVER
from ajp.messages import (
    CPing,
    CPong,
    EndResponse,
    ForwardRequest,
    GetBodyChunk,
    SendBodyChunk,
    SendHeaders,
)

Step = Callable[["Connection"], Awaitable[None]]
Script = Sequence[Step]

MAX_PACKET = 8192
CPONG = _codec.encode(CPong())
END = _codec.encode(EndResponse(True))
END_CLOSE = _codec.encode(EndResponse(False))
FLUSH = _codec.FLUSH


# --- packets --------------------------------------------------------------------------------------


def packet(payload: bytes) -> bytes:
    """Frame anything as a packet of a container."""
    return b"AB" + struct.pack(">H", len(payload)) + payload


def headers(status: int = 200, *pairs: tuple[bytes, bytes]) -> bytes:
    return _codec.encode_send_headers(SendHeaders(status, b"", pairs))


def raw_headers(status: int, *pairs: tuple[bytes, bytes], phrase: bytes = b"") -> bytes:
    """SEND_HEADERS that no encoder would write: nothing in it is checked."""

    def text(value: bytes) -> bytes:
        return struct.pack(">H", len(value)) + value + b"\0"

    fields = b"".join(text(name) + text(value) for name, value in pairs)
    return packet(
        struct.pack(">BH", 4, status) + text(phrase) + struct.pack(">H", len(pairs)) + fields
    )


def chunk(data: bytes) -> bytes:
    """SEND_BODY_CHUNK packets for any amount of data."""
    most = MAX_PACKET - 8
    return b"".join(
        _codec.encode(SendBodyChunk(data[at : at + most])) for at in range(0, len(data), most)
    )


def get_body(wanted: int = MAX_PACKET - 6) -> bytes:
    return _codec.encode(GetBodyChunk(wanted))


def whole(
    body: bytes = b"fine", status: int = 200, *pairs: tuple[bytes, bytes], reuse: bool = True
) -> bytes:
    """One correct response with a Content-Length."""
    length = (b"Content-Length", b"%d" % len(body))
    return headers(status, *pairs, length) + chunk(body) + (END if reuse else END_CLOSE)


# --- steps ----------------------------------------------------------------------------------------


def send(*packets: bytes) -> Step:
    async def step(connection: "Connection") -> None:
        await connection.write(b"".join(packets))

    return step


def slowly(*packets: bytes) -> Step:
    """Send byte by byte, each in its own segment."""

    async def step(connection: "Connection") -> None:
        for byte in b"".join(packets):
            await connection.write(bytes((byte,)))
            await asyncio.sleep(0)

    return step


def ask(wanted: int = MAX_PACKET - 6) -> Step:
    """Ask for body, and read the packet that comes."""

    async def step(connection: "Connection") -> None:
        await connection.write(get_body(wanted))
        await connection.take_body_packet()

    return step


async def swallow(connection: "Connection") -> None:
    """Take the packet that a request with a length brings unasked, as a container has to."""
    if int(connection.request.header(b"content-length") or 0):
        await connection.take_body_packet()


async def read_body(connection: "Connection") -> None:
    """Read the request body as Tomcat does when an application reads all of it."""
    await connection.read_body()


def wait(event: asyncio.Event) -> Step:
    async def step(connection: "Connection") -> None:
        await event.wait()

    return step


def tell(event: asyncio.Event) -> Step:
    async def step(connection: "Connection") -> None:
        event.set()

    return step


async def once_seen(connection: "Connection") -> None:
    """Wait until the client has the head of its answer."""
    await connection.container.onward.wait()


def delay(seconds: float) -> Step:
    async def step(connection: "Connection") -> None:
        await asyncio.sleep(seconds)

    return step


async def cut(connection: "Connection") -> None:
    """Send FIN."""
    connection.writer.write_eof()
    await connection.until_gone()


async def reset(connection: "Connection") -> None:
    """Send RST."""
    await connection.writer.drain()
    connection.reset()


async def never(connection: "Connection") -> None:
    """Say nothing until the other side closes."""
    await connection.until_gone()


async def stall(connection: "Connection") -> None:
    """Read nothing any more, answer nothing."""
    connection.transport.pause_reading()
    await connection.container.closing.wait()


def respond(
    body: bytes = b"fine", status: int = 200, *pairs: tuple[bytes, bytes], reuse: bool = True
) -> Script:
    """Read all of the request, then answer as a healthy container does."""
    return [read_body, send(whole(body, status, *pairs, reuse=reuse))]


def echo() -> Script:
    """Answer with method, path and body of the request."""

    async def step(connection: "Connection") -> None:
        head = connection.request
        text = b"%s %s %s" % (head.method, head.uri, connection.body)
        await connection.write(whole(text))

    return [read_body, step]


# --- the container --------------------------------------------------------------------------------


class Gone(Exception):  # noqa: N818 - it is the other side that is gone
    """The web server closed the connection."""


@dataclass(slots=True)
class Seen:
    """One request as it came."""

    head: ForwardRequest
    body: bytes = b""
    packets: list[int] = field(default_factory=list)  # sizes of the body packets
    is_whole: bool = False  # all of the body came


class Connection:
    """One connection of the web server, and the request that is on it."""

    def __init__(
        self, container: "Container", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.container = container
        self.reader = reader
        self.writer = writer
        self.seen: Seen | None = None
        self.written = 0

    @property
    def transport(self) -> asyncio.Transport:
        # uvloop's is one in all but its class.
        return cast(asyncio.Transport, self.writer.transport)

    @property
    def request(self) -> ForwardRequest:
        assert self.seen is not None
        return self.seen.head

    @property
    def body(self) -> bytes:
        assert self.seen is not None
        return self.seen.body

    async def write(self, data: bytes) -> None:
        if self.transport.is_closing():
            raise Gone
        try:
            self.writer.write(data)
            self.written += len(data)
            await self.writer.drain()
        except ConnectionError as exc:
            raise Gone from exc

    async def read_packet(self) -> bytes:
        """Payload of the next packet."""
        try:
            head = await self.reader.readexactly(4)
            if head[:2] != MAGIC_FROM_WEB_SERVER:
                self.container.violations.append(f"magic {head[:2]!r}")
            length = int.from_bytes(head[2:])
            if length > MAX_PACKET - 4:
                self.container.violations.append(f"packet of {length} bytes")
            return await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            raise Gone from exc

    async def take_body_packet(self) -> bytes:
        """One packet of request body; empty at its end."""
        assert self.seen is not None
        payload = await self.read_packet()
        data = _codec.decode_request_body(payload).data
        self.seen.body += data
        self.seen.packets.append(len(data))
        return data

    async def read_body(self) -> None:
        assert self.seen is not None
        length = self.request.header(b"content-length")
        if length is not None and int(length) == 0:
            self.seen.is_whole = True
            return
        total = None if length is None else int(length)
        if total is not None:
            await self.take_body_packet()
        while total is None or len(self.seen.body) < total:
            left = MAX_PACKET if total is None else total - len(self.seen.body)
            await self.write(get_body(min(MAX_PACKET - 6, left)))
            if not await self.take_body_packet():
                break
        self.seen.is_whole = total is None or len(self.seen.body) == total
        if total is not None and len(self.seen.body) > total:
            self.container.violations.append("more body than announced")

    async def until_gone(self) -> None:
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        raise Gone

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class Container:
    """An AJP listener on a free port, or on a Unix socket; see the module.

    Args:
        scripts: one for each request; the last one serves all later requests.
        on_connect: steps to do before anything is read of a new connection.
        answers_cping: whether a CPING gets its CPONG.
        pongs: steps in place of a CPONG, one script for each CPING; later ones are answered.
        path: of a Unix socket.
        receive_buffer: SO_RCVBUF and SO_SNDBUF of the connections; 0 leaves them alone.
    """

    def __init__(
        self,
        *scripts: Script,
        on_connect: Script = (),
        answers_cping: bool = True,
        pongs: Sequence[Script] = (),
        path: Path | None = None,
        receive_buffer: int = 0,
    ) -> None:
        self.scripts = list(scripts) or [respond()]
        self.on_connect = on_connect
        self.answers_cping = answers_cping
        self.pongs = list(pongs)
        self.path = path
        self.receive_buffer = receive_buffer
        self.connections = 0
        self.open: set[Connection] = set()
        self.requests: list[Seen] = []
        self.cpings = 0
        self.aborted = 0  # requests during which the web server went away
        self.violations: list[str] = []
        self.gone = asyncio.Event()  # the web server closed a connection
        self.closing = asyncio.Event()
        self.onward = asyncio.Event()  # see once_seen
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def executions(self) -> int:
        """Whole requests read."""
        return len(self.requests)

    async def __aenter__(self) -> Self:
        if self.path is not None:
            self._server = await asyncio.start_unix_server(self._serve, str(self.path))
            return self
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.receive_buffer:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, self.receive_buffer)
        sock.bind(("127.0.0.1", self.port))
        self._server = await asyncio.start_server(self._serve, sock=sock)
        self.port = sock.getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self.closing.set()
        self._server.close()
        # From being accepted to having a task takes a connection several turns of the loop.
        for _ in range(20):
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)

    def drop_idle(self, *, hard: bool = False) -> None:
        """Close every connection from this side."""
        for connection in list(self.open):
            if hard:
                connection.reset()
            else:
                connection.writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        connection = Connection(self, reader, writer)
        self.open.add(connection)
        try:
            for step in self.on_connect:
                await step(connection)
            while not writer.is_closing():
                await self._one(connection)
        except (Gone, asyncio.CancelledError):
            self.gone.set()
        finally:
            self._tasks.discard(task)
            self.open.discard(connection)
            connection.transport.abort()

    async def _one(self, connection: Connection) -> None:
        message = _codec.decode_from_web_server(await connection.read_packet(), max_headers=1024)
        if isinstance(message, CPing):
            self.cpings += 1
            pong = [send(CPONG)] if self.answers_cping else []
            for step in self.pongs.pop(0) if self.pongs else pong:
                await step(connection)
            return
        assert isinstance(message, ForwardRequest)
        seen = connection.seen = Seen(message)
        self.requests.append(seen)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        try:
            for step in script:
                await step(connection)
        except Gone:
            self.aborted += 1
            raise
