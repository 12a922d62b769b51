"""A front in the test's own loop, a scripted container behind it, raw sockets before it.

A stage takes everything down again and then looks for what stayed: clients, endpoints, file
descriptors, errors that nobody caught.
"""

import asyncio
import contextlib
import logging
import os
import re
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from ajpd.config.errors import Place
from ajpd.config.model import Config, ListenAddress, Mount, ServerConfig, WorkerConfig
from ajpd.listeners import open_listener
from ajpd.process import Process
from tests.faults.container import Container

TIMEOUT = 3.0
LONGEST = 20.0
HOST = b"app.example"

SERVER: dict[str, Any] = {
    "listen": (ListenAddress(host="127.0.0.1", port=0),),
    "header_timeout_ms": 10_000,
    "keepalive_timeout_ms": 10_000,
    "body_timeout_ms": 10_000,
    "send_timeout_ms": 10_000,
    "max_header_bytes": 65536,
    "max_body_bytes": 0,
    "max_connections": 0,
    "trusted_proxies": (),
    "forwarded_headers": "auto",
    "forward_uri": "proxy",
    "reply_timeout_header": "",
    "error_pages": "",
    "shutdown_timeout_ms": 1000,
}
WORKER: dict[str, Any] = {
    "name": "app",
    "host": "127.0.0.1",
    "port": 8009,
    "max_packet_size": 8192,
    "connection_pool_size": 16,
    "connection_pool_minsize": 0,
    "connection_pool_timeout_ms": 0,
    "connection_acquire_timeout_ms": 5000,
    "socket_connect_timeout_ms": 2000,
    "socket_keepalive": False,
    "prefer_ipv6": False,
    "connect_timeout_ms": 2000,
    "prepost_timeout_ms": 2000,
    "ping_timeout_ms": 10_000,
    "ping_mode": "",
    "reply_timeout_ms": 0,
    "retries": 2,
    "place": Place("test"),
}


def configuration(
    *, server: dict[str, Any] | None = None, worker: dict[str, Any] | None = None
) -> Config:
    """A whole configuration with one worker, mapped to everything but /nowhere."""
    made = WorkerConfig(**{**WORKER, **(worker or {})})
    return Config(
        server=ServerConfig(**{**SERVER, **(server or {})}),
        workers={made.name: made},
        rules=(
            Mount(pattern=b"/*", worker=made.name),
            Mount(pattern=b"/nowhere/*", worker=made.name, is_exclusion=True),
            Mount(pattern=b"/soon/*", worker=made.name, reply_timeout_ms=200),
            Mount(pattern=b"/replaced/*", worker=made.name, use_server_errors=500),
            Mount(pattern=b"/all-replaced/*", worker=made.name, use_server_errors=400),
            Mount(pattern=b"/strict/*", worker=made.name, fail_on_status=(500, -404)),
        ),
    )


# --- the client -----------------------------------------------------------------------------------


class Broken(Exception):  # noqa: N818 - it is the message that is broken
    """The connection ended before the message was complete."""

    def __init__(self, text: str, received: bytes) -> None:
        super().__init__(f"{text}; received {received[-200:]!r}")
        self.received = received


@dataclass(slots=True)
class Response:
    """One response as it was on the wire, names in lower case."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    framing: Literal["none", "length", "chunked", "close"] = "none"
    version: bytes = b"HTTP/1.1"
    reason: bytes = b""
    interim: list[int] = field(default_factory=list)

    def all(self, name: bytes) -> list[bytes]:
        return [value for each, value in self.headers if each == name]

    def one(self, name: bytes) -> bytes | None:
        values = self.all(name)
        assert len(values) < 2, (name, values)
        return values[0] if values else None

    @property
    def closes(self) -> bool:
        return self.one(b"connection") == b"close"


def get(path: bytes = b"/", *lines: bytes, method: bytes = b"GET", version: int = 1) -> bytes:
    """A request without a body."""
    head = [b"%s %s HTTP/1.%d" % (method, path, version), b"Host: " + HOST, *lines]
    return b"\r\n".join([*head, b"", b""])


def post(
    body: bytes, path: bytes = b"/", *lines: bytes, method: bytes = b"POST", version: int = 1
) -> bytes:
    """A request with a Content-Length."""
    length = b"Content-Length: %d" % len(body)
    return get(path, *lines, length, method=method, version=version) + body


def post_chunked(
    pieces: Iterable[bytes], path: bytes = b"/", *lines: bytes, method: bytes = b"POST"
) -> bytes:
    """A request with a chunked body."""
    head = get(path, *lines, b"Transfer-Encoding: chunked", method=method)
    return head + b"".join(map(as_chunk, pieces)) + b"0\r\n\r\n"


def as_chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


class Client:
    """A socket that sends what it is told and reads responses strictly by their framing."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(TIMEOUT):
            await self._loop.sock_sendall(self.sock, data)

    async def read(self, most: int = 65536) -> bytes:
        """Some bytes; empty at the end."""
        if self.buffer:
            data, self.buffer = self.buffer, b""
            return data
        async with asyncio.timeout(TIMEOUT):
            return await self._loop.sock_recv(self.sock, most)

    async def read_all(self) -> tuple[bytes, bool]:
        """Everything until the end, and whether the end was a reset."""
        received = b""
        while True:
            try:
                data = await self.read()
            except ConnectionError:
                return received, True
            if not data:
                return received, False
            received += data

    async def more(self) -> None:
        """Grow the buffer."""
        kept, self.buffer = self.buffer, b""
        try:
            data = await self.read()
        except ConnectionError as exc:
            raise Broken("reset", kept) from exc
        if not data:
            raise Broken("closed", kept)
        self.buffer = kept + data

    async def _until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            await self.more()
        data, _, self.buffer = self.buffer.partition(mark)
        return data

    async def _exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            await self.more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    async def response(self, method: bytes = b"GET") -> Response:
        """The next final response."""
        interim: list[int] = []
        while True:
            response = parse_head(await self._until(b"\r\n\r\n"))
            if response.status >= 200:
                break
            assert not response.headers
            interim.append(response.status)
        response.interim = interim
        await self._body(response, method)
        return response

    async def _body(self, response: Response, method: bytes) -> None:
        length, encoding = response.one(b"content-length"), response.one(b"transfer-encoding")
        if method == b"HEAD" or response.status in (204, 304):
            return
        if encoding is not None:
            assert encoding == b"chunked"
            assert length is None
            response.framing = "chunked"
            while size := int(await self._until(b"\r\n"), 16):
                response.body += await self._exactly(size)
                assert await self._exactly(2) == b"\r\n"
            assert await self._exactly(2) == b"\r\n"
        elif length is not None:
            response.framing = "length"
            response.body = await self._exactly(int(length))
        else:
            response.framing = "close"
            rest, was_reset = await self.read_all()
            if was_reset:
                raise Broken("reset", rest)
            response.body = rest

    async def ask(self, request: bytes) -> Response:
        """One request and its response."""
        await self.send(request)
        return await self.response(request.partition(b" ")[0])

    async def at_end(self) -> bool:
        """Whether nothing but an orderly end follows."""
        rest, was_reset = await self.read_all()
        assert rest == b"", rest
        return not was_reset

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with RST, if it is still open."""
        if self.sock.fileno() < 0:
            return
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()


def parse_head(data: bytes) -> Response:
    lines = data.split(b"\r\n")
    version, status, reason = lines[0].split(b" ", 2)
    assert version == b"HTTP/1.1"
    fields: list[tuple[bytes, bytes]] = []
    for line in lines[1:]:
        name, colon, value = line.partition(b": ")
        assert colon, line
        assert re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name), line
        assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value), line
        fields.append((name.lower(), value))
    return Response(int(status), fields, version=version, reason=reason)


# --- the stage ------------------------------------------------------------------------------------


class Stage:
    """What a test plays on."""

    def __init__(self, container: Container | None, process: Process, where: Any) -> None:
        self._container = container
        self.process = process
        self.where = where
        self.clients: list[Client] = []

    @property
    def container(self) -> Container:
        assert self._container is not None
        return self._container

    @property
    def service(self) -> Any:
        return self.process.service

    @property
    def pool(self) -> Any:
        return self.process.workers["app"].pool

    async def connect(self, *, receive_buffer: int = 0) -> Client:
        family = socket.AF_UNIX if isinstance(self.where, str) else socket.AF_INET
        if isinstance(self.where, tuple) and ":" in self.where[0]:
            family = socket.AF_INET6
        sock = socket.socket(family)
        sock.setblocking(False)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client = Client(sock)
        self.clients.append(client)
        await asyncio.get_running_loop().sock_connect(sock, self.where)
        return client

    async def ask(self, request: bytes) -> Response:
        """One request on a connection of its own."""
        return await (await self.connect()).ask(request)


async def eventually(condition: Any, *, within: float = 2.0, what: str = "") -> None:
    """Let the loop turn until something holds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, what or "it did not come to pass"
        await asyncio.sleep(0.002)


def open_files() -> int:
    """Open sockets of this process; libuv keeps a spare descriptor that is none."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


class _Errors(logging.Handler):
    def __init__(self, forgiven: str) -> None:
        super().__init__(logging.ERROR)
        self.forgiven = forgiven
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != self.forgiven:
            self.records.append(self.format(record))


@asynccontextmanager
async def stage(
    container: Container | None = None,
    *,
    server: dict[str, Any] | None = None,
    worker: dict[str, Any] | None = None,
    send_buffer: int = 0,
    forgiven: str = "",
) -> AsyncIterator[Stage]:
    """Everything up, then down again with nothing left behind.

    Args:
        container: behind the front; a healthy one when None and no worker address is given.
        server: values other than those of `SERVER`.
        worker: values other than those of `WORKER`.
        send_buffer: SO_SNDBUF and SO_RCVBUF of the front's client connections.
        forgiven: logger whose errors are what the test wants.
    """
    loop = asyncio.get_running_loop()
    uncaught: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: uncaught.append(context))
    errors = _Errors(forgiven)
    logging.getLogger().addHandler(errors)
    before = open_files()
    worker = dict(worker or {})
    if container is None and "host" not in worker and "port" not in worker:
        container = Container()
    try:
        if container is not None:
            await container.__aenter__()
            if container.path is not None:
                worker["host"] = f"unix:{container.path}"
            else:
                worker["port"] = container.port
        config = configuration(server=server, worker=worker)
        listener = open_listener(config.server.listen[0])
        if send_buffer:
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                listener.setsockopt(socket.SOL_SOCKET, option, send_buffer)
        where = listener.getsockname()
        process = Process(config, [listener])
        await process.start()
        made = Stage(container, process, where)
        try:
            async with asyncio.timeout(LONGEST):
                yield made
        finally:
            for client in made.clients:
                client.reset()
            async with asyncio.timeout(TIMEOUT):
                await process.stop()
            if container is not None:
                await container.__aexit__(None, None, None)
        assert not process.service.clients
        pool = process.workers["app"].pool
        await eventually(lambda: pool.open == 0, what=f"endpoints stayed: {pool!r}")
        assert pool.waiting == 0
        if container is not None:
            assert not container.violations
        await eventually(
            lambda: open_files() <= before, what=f"{open_files() - before} descriptors stayed"
        )
        assert not uncaught, uncaught
        assert not errors.records, errors.records
    finally:
        logging.getLogger().removeHandler(errors)
        loop.set_exception_handler(None)


# --- what a test looks at -------------------------------------------------------------------------


def reasons(caplog: pytest.LogCaptureFixture, *, logger: str = "ajpd.exchange") -> list[str]:
    """Reasons of the exchanges that failed, those that were tried again left out."""
    return [
        found[1]
        for record in caplog.records
        if record.name == logger
        and "trying again" not in record.getMessage()
        and (found := re.search(r"reason=(\w+)", record.getMessage()))
    ]


def retried(caplog: pytest.LogCaptureFixture) -> int:
    return sum("trying again" in record.getMessage() for record in caplog.records)


@contextmanager
def within(seconds: float) -> Any:
    """The block takes no longer."""
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds


def unix_address(path: Path) -> tuple[ListenAddress, ...]:
    return (ListenAddress(path=str(path)),)
