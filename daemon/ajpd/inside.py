"""Requests that this daemon answers itself: what is asked, what is given, and its HTTP form.

A page is anything with `answer`; rules lead to it as they lead to workers. It runs in the loop, so
it must be quick, and it is called when the whole of a short request body is there. What comes over
time, such as events, is a stream that writes into a pipe.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import parse_qsl

__all__ = ["MOST_BODY", "Asked", "Given", "Page", "Pipe", "Stream", "head_of"]

#: Bytes of a request body that a page gets; forms are short.
MOST_BODY: Final = 65536

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request.

    Attributes:
        method: as sent.
        path: as sent, without the query.
        query: as sent, without the question mark; None when there was none.
        headers: values by lower-case name, in order; those that nobody may believe are not there.
        body: whole.
        remote_addr: of the client, as far as somebody is believed; 127.0.0.1 over a Unix socket.
        server_name, server_port: that the client asked for, else those it reached.
        remote_user: name out of the client's certificate; None without one.
        is_ssl: the client came by TLS, to us or to a proxy that is believed.
    """

    method: str
    path: bytes
    query: bytes | None = None
    headers: Mapping[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    body: bytes = b""
    remote_addr: str = ""
    server_name: str = ""
    server_port: int = 0
    remote_user: str | None = None
    is_ssl: bool = False

    def header(self, name: bytes) -> str:
        """Value of a header, several joined by commas; empty when there is none."""
        return ", ".join(value.decode("latin-1") for value in self.headers.get(name, ()))

    def form(self) -> dict[str, str]:
        """Fields of a submitted form, none of another body; of two of one name the last."""
        kind = self.header(b"content-type").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            return {}
        text = self.body.decode("latin-1")
        try:
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=1000))
        except ValueError:
            return {}


class Pipe(Protocol):
    """Where a stream writes to."""

    def push(self, data: bytes) -> None:
        """Send bytes now; nothing happens once the client has gone."""

    def finish(self) -> None:
        """End the answer in good order."""

    def may_push(self) -> bool:
        """The client takes what is sent; else there is no use in sending more for now."""

    def shall_finish(self) -> bool:
        """The process wants to end."""


class Stream(Protocol):
    """An answer that comes over time."""

    def begin(self, pipe: Pipe) -> None:
        """The head has left."""

    def end(self) -> None:
        """The client has gone, or `finish` was called; nobody must be written to any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One answer.

    Attributes:
        status: of it.
        content_type: of the body.
        body: whole; empty with a stream.
        headers: more of them.
        stream: what follows the head; None for none.
    """

    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    stream: Stream | None = None


class Page(Protocol):
    """What answers requests here."""

    def answer(self, asked: Asked) -> Given:
        """Answer one."""


def head_of(given: Given, *, date_line: bytes, keep_alive: bool, minor: int = 1) -> bytes:
    """The head of an answer, with the empty line at its end.

    Args:
        given: the answer; header values must not have line ends in them.
        date_line: a whole Date header line.
        keep_alive: whether the connection stays open behind it.
        minor: of the client's HTTP/1.x.
    """
    lines = [
        f"HTTP/1.1 {given.status} {_PHRASES.get(given.status, 'Unknown')}",
        f"Content-Type: {given.content_type}",
    ]
    lines += [f"{name}: {value}" for name, value in given.headers]
    if given.stream is None:
        lines.append(f"Content-Length: {len(given.body)}")
    elif minor >= 1:
        lines.append("Transfer-Encoding: chunked")
    if not keep_alive:
        lines.append("Connection: close")
    elif minor == 0:
        lines.append("Connection: keep-alive")
    text = "\r\n".join(lines)
    if text.count("\r") + text.count("\n") != 2 * (len(lines) - 1) or "\0" in text:
        raise ValueError(f"a header of an answer has a line end in it: {text!r}")
    return text.encode("latin-1", "replace") + b"\r\n" + date_line + b"\r\n"
