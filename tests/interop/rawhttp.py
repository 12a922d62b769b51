"""A strict HTTP/1.1 client for tests: bytes in, and every way of ending told apart.

It sends what it is told, correct or not. It reads a response by its framing and takes nothing on
trust: a message that ends before its framing says so raises `Broken`.
"""

import select
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

Header = tuple[str, str]
Framing = Literal["none", "length", "chunked", "close"]

#: What requests are addressed to unless a test says otherwise.
HOST = "app.example"
TIMEOUT = 20.0

_LINE_LIMIT = 128 * 1024


class Broken(Exception):  # noqa: N818 - it is the message that is broken
    """The connection ended, or was reset, before the message was complete.

    Attributes:
        response: what had come, or None when not even the head was complete.
    """

    def __init__(self, text: str, response: "Response | None" = None) -> None:
        super().__init__(text)
        self.response = response


@dataclass(slots=True, kw_only=True)
class Response:
    """One response; names and values as they were on the wire, as Latin-1."""

    version: str
    status: int
    reason: str
    headers: list[Header]
    interim: list[int] = field(default_factory=list)
    framing: Framing = "none"
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        """Values of all headers of that name, in order."""
        return [value for each, value in self.headers if each.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        """Value of the only header of that name, or None."""
        values = self.all(name)
        assert len(values) < 2, f"{len(values)} headers {name}: {values}"
        return values[0] if values else None


def build(
    method: str,
    target: str,
    headers: Iterable[Header] = (),
    *,
    body: bytes | None = None,
    host: str | None = HOST,
    version: str = "HTTP/1.1",
) -> bytes:
    """Write a request. A body gets a Content-Length; nothing else is added but Host."""
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head + (body or b"")


def chunks(body: bytes, size: int = 8192, *, trailer: bytes = b"") -> bytes:
    """Write a body in chunks of one size."""
    parts = []
    for start in range(0, len(body), size):
        part = body[start : start + size]
        parts += [b"%x\r\n" % len(part), part, b"\r\n"]
    return b"".join([*parts, b"0\r\n", trailer, b"\r\n"])


class Client:
    """One connection.

    Args:
        address: to connect to.
        timeout: longest wait for anything, in seconds.
        receive_buffer: of the socket, in bytes; None leaves it to the system.
    """

    def __init__(self, address: tuple[str, int], *, timeout: float = TIMEOUT) -> None:
        self._socket = socket.create_connection(address, timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

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
        """Close the connection."""
        self._socket.close()

    # --- out --------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.sendall(data)

    def send_until_answered(self, data: bytes) -> int:
        """Send until all is sent or something comes back; return how much was sent."""
        view, sent = memoryview(data), 0
        while sent < len(data):
            readable, writable, _ = select.select([self._socket], [self._socket], [], TIMEOUT)
            if readable or not writable:
                break
            sent += self._socket.send(view[sent : sent + 65536])
        return sent

    def send_while_taken(self, data: bytes, *, patience: float = 0.2) -> int:
        """Send until nothing more is taken for a while; return how much was sent."""
        view, sent = memoryview(data), 0
        while sent < len(data) and select.select([], [self._socket], [], patience)[1]:
            sent += self._socket.send(view[sent : sent + 65536])
        return sent

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        self._socket.shutdown(socket.SHUT_WR)

    # --- in ---------------------------------------------------------------------------------------

    def exchange(self, request: bytes, *, method: str | None = None) -> Response:
        """Send one request, read its response."""
        self.send(request)
        return self.response(method or request.split(b" ", 1)[0].decode("latin-1"))

    def response(self, method: str = "GET") -> Response:
        """Read one whole response to a request of that method."""
        response = self.head(method)
        for part in self.parts(response):
            response.body += part
        return response

    def head(self, method: str = "GET") -> Response:
        """Read a head; interim responses before it are noted in `interim`."""
        interim: list[int] = []
        while True:
            response = self._one_head()
            if response.status >= 200 or response.status == 101:
                break
            interim.append(response.status)
        response.interim = interim
        response.framing = _framing(response, method)
        return response

    def peek_status(self) -> int:
        """Status of the next head, which stays to be read."""
        line = self._line()
        self._rest = line + b"\r\n" + self._rest
        return int(line.split(b" ")[1])

    def interim(self) -> int:
        """Read one head that must be an interim response; return its status."""
        response = self._one_head()
        assert 100 <= response.status < 200, response
        return response.status

    def parts(self, response: Response) -> Iterator[bytes]:
        """Yield the body piece by piece, as the framing has them."""
        try:
            if response.framing == "length":
                yield from self._by_length(int(response.one("Content-Length") or 0))
            elif response.framing == "chunked":
                yield from self._by_chunks()
            elif response.framing == "close":
                while part := self._receive() or self._take():
                    yield part
        except Broken as exc:
            raise Broken(str(exc), response) from exc

    def is_closed(self) -> bool:
        """Wait for the end of the connection; False when something comes, or nothing happens."""
        try:
            return not self._rest and self._socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def is_open(self) -> bool:
        """Whether the connection is open right now and has nothing to say."""
        readable, _, _ = select.select([self._socket], [], [], 0)
        return not readable and not self._rest

    def _one_head(self) -> Response:
        version, _, rest = self._line().decode("latin-1").partition(" ")
        assert version in ("HTTP/1.0", "HTTP/1.1"), f"not a status line: {version!r} {rest!r}"
        status, blank, reason = rest.partition(" ")
        assert blank, f"no blank after the status: {rest!r}"
        assert len(status) == 3, f"status of {len(status)} digits: {rest!r}"
        headers: list[Header] = []
        while line := self._line().decode("latin-1"):
            name, colon, value = line.partition(":")
            assert colon, f"header without colon: {line!r}"
            assert name == name.strip(), f"blank around a header name: {line!r}"
            headers.append((name, value.strip(" \t")))
        return Response(version=version, status=int(status), reason=reason, headers=headers)

    def _by_length(self, length: int) -> Iterator[bytes]:
        while length:
            part = self._take(length) or self._receive()
            if not part:
                raise Broken(f"ended {length} bytes before its Content-Length")
            self._rest, part = part[length:] + self._rest, part[:length]
            length -= len(part)
            yield part

    def _by_chunks(self) -> Iterator[bytes]:
        while size := int(self._line().split(b";")[0], 16):
            part = self._exactly(size)
            assert self._line() == b"", "no line end after a chunk"
            yield part
        while self._line():
            pass

    def _line(self) -> bytes:
        while b"\r\n" not in self._rest:
            assert len(self._rest) < _LINE_LIMIT, "a line without end"
            got = self._receive()
            if not got:
                raise Broken(f"ended within a line, after {self._rest[:200]!r}")
            self._rest += got
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line

    def _exactly(self, size: int) -> bytes:
        parts = [self._take(size)]
        missing = size - len(parts[0])
        while missing:
            part = self._receive()
            if not part:
                raise Broken(f"ended {missing} bytes before the end of a chunk")
            parts.append(part[:missing])
            self._rest = part[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def _take(self, most: int | None = None) -> bytes:
        part, self._rest = self._rest[:most], b"" if most is None else self._rest[most:]
        return part

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(1 << 18)
        except ConnectionResetError as exc:
            raise Broken("the connection was reset") from exc


def _framing(response: Response, method: str) -> Framing:
    """How a response to a request of that method ends, by RFC 9112 section 6.3."""
    lengths = response.all("Content-Length")
    codings = response.all("Transfer-Encoding")
    assert len(lengths) < 2, f"several Content-Length: {lengths}"
    assert not (lengths and codings), "Content-Length beside Transfer-Encoding"
    if method == "HEAD" or response.status in (204, 304):
        return "none"
    if codings:
        assert codings == ["chunked"], f"Transfer-Encoding {codings}"
        return "chunked"
    return "length" if lengths else "close"


def fetch(address: tuple[str, int], request: bytes) -> Response:
    """Send one request on a connection of its own, read its response."""
    with Client(address) as client:
        return client.exchange(request)
