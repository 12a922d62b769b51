"""The request that is asked about: a URL and headers as they are typed, and its head as bytes.

What a browser would change on its way is changed here too, and said. Nothing is decided.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["BadQuestion", "Question", "question_of"]

#: Asked for where nobody says which name.
NO_HOST: Final = "localhost"

_URL: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)")
_CANNOT_BE_SENT: Final = re.compile(rb"[\x00-\x20\x7f-\xff]")
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*)")
_METHOD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class BadQuestion(ValueError):  # noqa: N818 - it is the question that is bad
    """What was typed is no request; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request.

    Attributes:
        method: as typed.
        target: path and query, as they are sent.
        host: value of the header Host.
        is_ssl: it comes over TLS.
        headers: all others, in order.
        remarks: what is not as it was typed.
        is_named: somebody said which host is asked for.
    """

    method: str
    target: bytes
    host: bytes
    is_ssl: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()
    remarks: tuple[str, ...] = ()
    is_named: bool = True

    @property
    def path(self) -> bytes:
        """The target without query."""
        return self.target.partition(b"?")[0]

    @property
    def url(self) -> str:
        """All of it, as one would type it."""
        scheme = "https" if self.is_ssl else "http"
        return f"{scheme}://{_text(self.host)}{_text(self.target)}"

    @property
    def head(self) -> bytes:
        """The request as bytes."""
        lines = [b"%s %s HTTP/1.1" % (self.method.encode(), self.target), b"Host: " + self.host]
        lines += [b"%s: %s" % header for header in self.headers]
        return b"\r\n".join((*lines, b"", b""))


def question_of(url: str, headers: Iterable[str] = (), method: str = "GET") -> Question:
    """Understand what was typed.

    Args:
        url: with http:// or https://, or a path alone.
        headers: `Name: value` each; a Host among them counts instead of the URL's.
        method: of the request.

    Raises:
        BadQuestion: it is no request.
    """
    if not _METHOD.fullmatch(method):
        raise BadQuestion(f"{method!r} is no method such as GET")
    remarks: list[str] = []
    host, rest, is_ssl = _split(url, remarks)
    pairs = [_header(text) for text in headers]
    hosts = [value for name, value in pairs if name.lower() == b"host"]
    if len(hosts) > 1:
        raise BadQuestion("there is one Host only")
    return Question(
        method=method,
        target=_target(rest, remarks),
        host=hosts[0] if hosts else (host or NO_HOST).encode(),
        is_ssl=is_ssl,
        headers=tuple(pair for pair in pairs if pair[0].lower() != b"host"),
        remarks=tuple(remarks),
        is_named=bool(hosts or host),
    )


def _split(url: str, remarks: list[str]) -> tuple[str, str, bool]:
    """Host with its port, everything behind it, and whether it is https."""
    if url.startswith("/"):
        return "", url, False
    found = _URL.match(url)
    if found is None:
        raise BadQuestion(f"{url!r} begins with neither / nor http:// nor https://")
    scheme = found["scheme"].lower()
    if scheme not in ("http", "https"):
        raise BadQuestion(f"{found['scheme']}:// is not spoken here: http:// or https://")
    user, at, host = found["authority"].rpartition("@")
    if at:
        remarks.append(f"{user.partition(':')[0]}@ is for the browser, and is not sent")
    if not host:
        raise BadQuestion(f"{url!r} names no host")
    rest = url[found.end() :]
    return _ascii(host, remarks), rest if rest.startswith("/") else f"/{rest}", scheme == "https"


def _ascii(host: str, remarks: list[str]) -> str:
    """A name as browsers ask for it."""
    if host.isascii():
        return host
    name, colon, port = host.partition(":")
    try:
        found = name.encode("idna").decode() + colon + port
    except UnicodeError as exc:
        raise BadQuestion(f"{host!r} is no name of a host") from exc
    remarks.append(f"browsers ask for {found}")
    return found


def _target(rest: str, remarks: list[str]) -> bytes:
    """Path and query as they are sent: no fragment, and no byte that cannot be."""
    sent, hash_sign, fragment = rest.partition("#")
    if hash_sign:
        remarks.append(f"#{fragment} is for the browser, and is not sent")
    raw = os.fsencode(sent)
    target = _CANNOT_BE_SENT.sub(lambda match: b"%%%02X" % match[0][0], raw)
    if target != raw:
        remarks.append(f"sent as {_text(target)}")
    return target


def _header(text: str) -> tuple[bytes, bytes]:
    found = _HEADER.fullmatch(text)
    if found is None:
        raise BadQuestion(f"{text!r} is no header such as 'Cookie: JSESSIONID=1.nodeA'")
    return found[1].encode(), os.fsencode(found[2].rstrip(" \t"))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
