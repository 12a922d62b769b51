"""What a client says and hears in one exchange, as plain values.

Turns what a caller writes (URL, headers, content) into a `ForwardRequest` and what a container
sends into a `Response`; shared by the client that blocks and the one that does not. Sockets, clocks
and waiting must not be added.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from typing import Final, TypeAlias, TypedDict
from urllib.parse import quote, urlencode, urlsplit

from . import constants
from .constants import AttributeCode
from .errors import (
    ConnectFailed,
    ConnectTimeout,
    CPingTimeout,
    EndpointClosed,
    EndpointError,
    EndpointReset,
    LocalProtocolError,
    Progress,
    Reason,
    ReplyTimeout,
)
from .messages import Attribute, ForwardRequest, Headers

__all__ = [
    "PING_TIMEOUT",
    "BodyCutter",
    "Content",
    "HeaderMap",
    "RequestOptions",
    "Response",
    "build_request",
    "failure",
    "known_length",
    "parse_address",
    "reason_text",
]

Text: TypeAlias = str | bytes
Content: TypeAlias = bytes | bytearray | memoryview | str
Pairs: TypeAlias = Mapping[str, str] | Iterable[tuple[Text, Text]]

DEFAULT_PORT: Final = 8009
UNIX_PREFIX: Final = "unix:"
#: Seconds that a container usually gets for the answer to a CPING.
PING_TIMEOUT: Final = 2.0

# More digits would be no length but an attempt at something.
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_PATH_SAFE: Final = "/%:;=@!$&'()*+,~-._"
_QUERY_SAFE: Final = _PATH_SAFE + "?"
_CODED: Final = {
    code.name.lower(): code
    for code in AttributeCode
    if code not in (AttributeCode.REQ_ATTRIBUTE, AttributeCode.STORED_METHOD)
}


class RequestOptions(TypedDict, total=False):
    """What may be said of a request besides method, URL and content.

    Attributes:
        params: added to the query.
        headers: mapping or pairs; host and the length of the content are added.
        attributes: named request attributes; ``remote_user``, ``auth_type``, ``route``,
            ``ssl_cert``, ``ssl_cipher``, ``ssl_session`` and ``ssl_key_size`` go by their codes.
            A container refuses names that it was not told to allow.
        remote_addr: address of the client in whose name we ask; 127.0.0.1.
        remote_host: its name; None.
        server_name: what the client called the server; from the URL or ``localhost``.
        server_port: from the URL, or 80, 443 over TLS.
        is_ssl: whether the client came over TLS; from the URL.
        timeout: seconds for everything, None for ever; in place of the client's.
    """

    params: Mapping[str, str] | Iterable[tuple[str, str]] | None
    headers: Pairs | None
    attributes: Mapping[str, str | bytes | int | None] | None
    remote_addr: str | None
    remote_host: str | None
    server_name: str | None
    server_port: int | None
    is_ssl: bool | None
    timeout: float | None


class HeaderMap(Mapping[str, str]):
    """Response headers by name in any case; of a name that repeats the first value counts.

    Attributes:
        raw: the pairs as they came.
    """

    def __init__(self, raw: Headers = ()) -> None:
        self.raw = raw
        self._values: dict[str, list[str]] = {}
        for name, value in raw:
            key = name.decode("latin-1").lower()
            self._values.setdefault(key, []).append(value.decode("latin-1"))

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        """Names only: values may be cookies."""
        return f"<HeaderMap {', '.join(self._values)}>"

    def get_all(self, name: str) -> list[str]:
        """Every value of a name, in order."""
        return list(self._values.get(name.lower(), ()))


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response.

    Attributes:
        status: 200-999.
        reason: phrase; the usual one where the container sent none or only the number.
        headers: by name.
        content: the body, whole.
        member: of a balancer, whose answer it is; None without one.
    """

    status: int
    reason: str
    headers: HeaderMap
    content: bytes = b""
    member: str | None = None

    @property
    def text(self) -> str:
        """Body as text, by the charset of its content-type or as UTF-8; bad bytes replaced."""
        message = Message()
        message["content-type"] = self.headers.get("content-type", "")
        charset = message.get_param("charset", "utf-8")
        try:
            return self.content.decode(str(charset), "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")

    def __repr__(self) -> str:
        """Status and size."""
        return f"<Response {self.status} {self.reason} {len(self.content)} bytes>"


def reason_text(status: int, reason: bytes | None) -> str:
    """Phrase to show for a status; Tomcat sends the number, others nothing."""
    if reason and reason != b"%d" % status:
        return reason.decode("latin-1")
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


_FAILURES: Final[dict[Reason, type[EndpointError]]] = {
    Reason.CONNECT_REFUSED: ConnectFailed,
    Reason.RESOLVE_FAILED: ConnectFailed,
    Reason.CONNECT_TIMEOUT: ConnectTimeout,
    Reason.CPING_TIMEOUT: CPingTimeout,
    Reason.REPLY_TIMEOUT: ReplyTimeout,
    Reason.EOF_BEFORE_HEADERS: EndpointClosed,
    Reason.EOF_MID_BODY: EndpointClosed,
    Reason.RESET_BEFORE_HEADERS: EndpointReset,
    Reason.RESET_MID_BODY: EndpointReset,
}


def failure(reason: Reason, progress: Progress, message: str) -> EndpointError:
    """Make the exception that stands for a reason."""
    return _FAILURES.get(reason, EndpointError)(message, reason=reason, progress=progress)


def parse_address(address: str) -> tuple[str, int]:
    """Read the address of a container.

    Args:
        address: ``ajp://host``, ``ajp://host:port``, ``host:port``, ``unix:/path`` or ``/path``.

    Returns:
        Host and port; a Unix socket's path is a host that begins with ``unix:``.

    Raises:
        ValueError: none of these.
    """
    if address.startswith("/"):
        return UNIX_PREFIX + address, 0
    if address.startswith(UNIX_PREFIX):
        return address, 0
    try:
        parts = urlsplit(address if "://" in address else f"ajp://{address}")
        port = parts.port
    except ValueError as exc:
        raise ValueError(f"address {address!r}: {exc}") from exc
    if port == 0:
        raise ValueError(f"address {address!r}: port 0 is no port to connect to")
    if parts.scheme != "ajp" or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f"address {address!r}: expected ajp://host:port or unix:/path")
    if parts.username is not None:
        raise ValueError("address: AJP knows no user; a secret is given as secret=")
    return parts.hostname, port or DEFAULT_PORT


def check_limits(max_packet_size: int, pool_size: int, **seconds: float | None) -> None:
    """Refuse what no client can work with, by the name of the argument.

    Raises:
        ValueError: one of them is out of its range.
    """
    if not constants.MIN_PACKET_SIZE <= max_packet_size <= constants.MAX_PACKET_SIZE:
        raise ValueError(f"max_packet_size must be 8192-65536 bytes, not {max_packet_size}")
    if pool_size < 1:
        raise ValueError(f"pool_size must be at least 1, not {pool_size}")
    for name, value in seconds.items():
        if value is not None and value < 0:
            raise ValueError(f"{name} must not be negative, and is {value:g} seconds")


def known_length(content: object) -> int | None:
    """Bytes of a request body that is at hand as a whole; None for one that is not."""
    if content is None:
        return 0
    if isinstance(content, str):
        return len(content.encode())
    if isinstance(content, memoryview):
        return content.nbytes
    return len(content) if isinstance(content, (bytes, bytearray)) else None


def build_request(
    method: str,
    url: str,
    *,
    length: int | None,
    secret: bytes | None = None,
    options: RequestOptions,
) -> ForwardRequest:
    """Make the request to send.

    Args:
        method: as it is, upper case usually.
        url: path and query, or an absolute http(s) URL.
        length: bytes of the body; None when they are not known beforehand, unless a header
            content-length says so.
        secret: shared with the container; None for none, or when that is not known yet.
        options: everything else.

    Raises:
        LocalProtocolError: headers that contradict the content.
        ValueError: an URL of another kind.
    """
    where = _Target(url, options)
    query = where.query
    if params := options.get("params"):
        more = urlencode(params if isinstance(params, Mapping) else list(params))
        query = f"{query}&{more}" if query else more
    headers = _with_length(_pairs(options.get("headers")), length)
    if not any(name.lower() == b"host" for name, _ in headers):
        headers.insert(0, (b"host", where.authority))
    attributes = [] if secret is None else [Attribute(AttributeCode.SECRET, secret)]
    if query is not None:
        text = quote(query, safe=_QUERY_SAFE).encode("ascii")
        attributes.append(Attribute(AttributeCode.QUERY_STRING, text))
    for name, value in (options.get("attributes") or {}).items():
        attributes.append(_attribute(name, value))
    return ForwardRequest(
        method=_octets(method),
        uri=quote(where.path, safe=_PATH_SAFE).encode("ascii"),
        remote_addr=_nullable(options.get("remote_addr", "127.0.0.1")),
        remote_host=_nullable(options.get("remote_host")),
        server_name=_octets(where.name),
        server_port=where.port,
        is_ssl=where.is_ssl,
        headers=tuple(headers),
        attributes=tuple(attributes),
    )


class _Target:
    """Where a request goes: the parts of its URL, completed by the options."""

    def __init__(self, url: str, options: RequestOptions) -> None:
        scheme, host, port = "http", None, None
        if url.startswith("/") or url == "*":
            self.path, mark, query = url.partition("#")[0].partition("?")
        else:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"url {url!r}: expected a path, or http://host/path")
            scheme, host, port = parts.scheme, parts.hostname, parts.port
            self.path, query = parts.path or "/", parts.query
            mark = "?" if query or url.partition("#")[0].endswith("?") else ""
        self.query = query if mark else None
        is_ssl = options.get("is_ssl")
        self.is_ssl = scheme == "https" if is_ssl is None else is_ssl
        usual = 443 if self.is_ssl else 80
        self.name = options.get("server_name") or host or "localhost"
        self.port = options.get("server_port") or port or usual
        shown = f"[{self.name}]" if ":" in self.name else self.name
        self.authority = _octets(shown if self.port == usual else f"{shown}:{self.port}")


def _octets(text: Text) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _nullable(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _header(text: Text) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def _pairs(headers: Pairs | None) -> list[tuple[bytes, bytes]]:
    if headers is None:
        return []
    items: Iterable[tuple[Text, Text]]
    items = headers.items() if isinstance(headers, Mapping) else headers
    return [(_header(name), _header(value)) for name, value in items]


def _with_length(
    headers: list[tuple[bytes, bytes]], length: int | None
) -> list[tuple[bytes, bytes]]:
    """Make headers say of the body's length what is true; the first packet hangs on it."""
    if any(name.lower() == b"transfer-encoding" for name, _ in headers):
        raise LocalProtocolError("transfer-encoding: decided by the content, not by a header")
    announced = [value for name, value in headers if name.lower() == b"content-length"]
    if announced:
        _check_length(announced, length)
        return headers
    if length is None:
        return [*headers, (b"transfer-encoding", b"chunked")]
    return [*headers, (b"content-length", b"%d" % length)]


def _check_length(announced: list[bytes], length: int | None) -> None:
    """Refuse a content-length that a container could read in another way than we do."""
    if len(announced) > 1:
        raise LocalProtocolError(f"content-length: given {len(announced)} times")
    if not _LENGTH.fullmatch(announced[0]):
        raise LocalProtocolError(f"content-length: {announced[0]!r} is no number of bytes")
    if length is not None and int(announced[0]) != length:
        raise LocalProtocolError(
            f"content-length: {int(announced[0])}, but the content has {length} bytes"
        )


def _attribute(name: str, value: str | bytes | int | None) -> Attribute:
    plain = _octets(value) if isinstance(value, str) else value
    code = _CODED.get(name)
    if code is None:
        return Attribute(AttributeCode.REQ_ATTRIBUTE, plain, _octets(name))
    return Attribute(code, plain)


class BodyCutter:
    """Cuts what a caller's iterable yields into packets and holds it to the announced length.

    Args:
        length: bytes announced; None when nothing was.
    """

    def __init__(self, length: int | None) -> None:
        self._left = length
        self._rest: deque[memoryview] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to cut."""
        return not self._rest

    @property
    def wants_more(self) -> bool:
        """Whether to look for another piece before the next cut.

        When all that was announced is here as well: a piece more is to be found out before the
        last packet leaves, and with it the request is one that can be executed.
        """
        return self._left == 0 or not self._rest

    def put(self, chunk: Content) -> None:
        """Take the next piece of the body.

        Raises:
            LocalProtocolError: more than announced.
        """
        piece = memoryview(chunk.encode() if isinstance(chunk, str) else chunk).cast("B")
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise LocalProtocolError(f"the content has {-self._left} bytes more than announced")
        if piece:
            self._rest.append(piece)

    def cut(self, allowance: int) -> bytes:
        """Take out up to `allowance` bytes for one packet; empty when there are none."""
        allowance = min(allowance, constants.MAX_PACKET_SIZE)
        pieces: list[memoryview] = []
        while self._rest and allowance:
            piece = self._rest.popleft()
            if len(piece) > allowance:
                self._rest.appendleft(piece[allowance:])
                piece = piece[:allowance]
            allowance -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def finish(self) -> None:
        """Say that nothing more comes.

        Raises:
            LocalProtocolError: less than announced.
        """
        if self._left:
            raise LocalProtocolError(f"the content ended {self._left} bytes early")
