"""What a case says: the bytes, what may come of them, why, and where that is written.

Cases are data and know no socket. Whoever plays one sends `TAIL` behind it on the same connection:
it must be executed, alone and whole, when the case says that the connection stays; and must reach
nobody when the case says that it ends. So every case also tests where its own bytes end.
"""

from dataclasses import dataclass
from typing import Final

__all__ = [
    "APP",
    "HOST",
    "SMUGGLED",
    "TAIL",
    "Case",
    "Reached",
    "Statuses",
    "chunked",
    "head",
    "post",
    "refused",
    "seen",
    "served",
    "turned_away",
]

HOST: Final = b"app.example"
#: A path that is mapped.
APP: Final = b"/app/x"
#: What an attacker would like to have executed.
SMUGGLED: Final = b"GET /app/smuggled HTTP/1.1\r\nHost: app.example\r\n\r\n"
TAIL: Final = b"GET /app/tail HTTP/1.1\r\nHost: app.example\r\n\r\n"

Pairs = tuple[tuple[bytes, bytes], ...]
#: Any one of these is right.
Statuses = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """One request as the container may see it.

    Attributes:
        method: exactly.
        uri: as forwarded.
        path: what `uri` means once it is decoded and resolved; by it the decision was made.
        query: None when there is none.
        headers: all, in order, names in lower case; those that frame the message are left out.
        body: whole.
        is_chunked: announced by Transfer-Encoding; otherwise by its length, be it 0.
        version: of HTTP.
        server_name: host that the client asked for.
        server_port: 0 for the one it reached, where the client named none.
    """

    method: bytes = b"GET"
    uri: bytes = APP
    path: bytes = APP
    query: bytes | None = None
    headers: Pairs = ((b"host", HOST),)
    body: bytes = b""
    is_chunked: bool = False
    version: bytes = b"HTTP/1.1"
    server_name: bytes = HOST
    server_port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Bytes of a client, and all that may come of them.

    Attributes:
        name: what is sent, in words.
        sent: on the wire.
        answers: of each response before the tail's, the statuses that are right.
        reaches: the requests that reach the container whole; no others may.
        begins: a request that may begin to reach it and is never ended as if it was whole.
        closes: the connection ends after the last of `answers`.
        is_cut: the client says nothing more: no tail, but the end of its side.
        max_packet_size: of the worker.
        reason: one line, why it has to be so.
        source: where that is written.
    """

    name: str
    sent: bytes
    answers: tuple[Statuses, ...]
    reaches: tuple[Reached, ...] = ()
    begins: Reached | None = None
    closes: bool = False
    is_cut: bool = False
    max_packet_size: int = 8192
    reason: str
    source: str

    @property
    def stream(self) -> bytes:
        """All that is sent."""
        return self.sent if self.is_cut else self.sent + TAIL

    @property
    def first_method(self) -> bytes:
        """By which the first response is read."""
        return self.sent.lstrip(b"\r\n").partition(b" ")[0]


def refused(
    name: str,
    sent: bytes,
    *statuses: int,
    reason: str,
    source: str,
    begins: Reached | None = None,
    max_packet_size: int = 8192,
) -> Case:
    """Nothing reaches the container, and the connection ends."""
    return Case(
        name=name,
        sent=sent,
        answers=(statuses or (400,),),
        begins=begins,
        closes=True,
        max_packet_size=max_packet_size,
        reason=reason,
        source=source,
    )


def turned_away(name: str, sent: bytes, *statuses: int, reason: str, source: str) -> Case:
    """Nothing reaches the container; where it ends is beyond doubt, so the connection stays."""
    return Case(name=name, sent=sent, answers=(statuses,), reason=reason, source=source)


def served(
    name: str,
    sent: bytes,
    *reached: Reached,
    reason: str,
    source: str,
    closes: bool = False,
) -> Case:
    """Exactly these reach the container."""
    return Case(
        name=name,
        sent=sent,
        answers=((200,),) * len(reached),
        reaches=reached,
        closes=closes,
        reason=reason,
        source=source,
    )


# --- bytes ----------------------------------------------------------------------------------------


def head(
    *lines: bytes,
    method: bytes = b"GET",
    target: bytes = APP,
    version: bytes = b"HTTP/1.1",
    host: bytes | None = HOST,
) -> bytes:
    """A request head, its empty line included."""
    first = b"%s %s %s" % (method, target, version)
    hosts = [] if host is None else [b"Host: " + host]
    return b"\r\n".join([first, *hosts, *lines, b"", b""])


def post(
    *lines: bytes, body: bytes, method: bytes = b"POST", version: bytes = b"HTTP/1.1"
) -> bytes:
    """A request with a body and nothing said of it but in `lines`."""
    return head(*lines, method=method, version=version) + body


def chunked(raw: bytes, *lines: bytes, method: bytes = b"POST") -> bytes:
    """A request whose chunks are `raw`."""
    return post(*lines, b"Transfer-Encoding: chunked", body=raw, method=method)


def seen(
    *pairs: tuple[bytes, bytes],
    method: bytes = b"GET",
    body: bytes = b"",
    is_chunked: bool = False,
    version: bytes = b"HTTP/1.1",
) -> Reached:
    """A request to `APP` with these headers behind Host."""
    return Reached(
        method=method,
        headers=((b"host", HOST), *pairs),
        body=body,
        is_chunked=is_chunked,
        version=version,
    )
