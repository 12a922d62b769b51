"""The short pages this daemon answers with itself, whole responses as bytes.

Law: whatever the status and the texts, a page comes out. All that can be wrong with templates is
found when they are read, once, at start.
"""

import codecs
import re
from html import escape
from http import HTTPStatus
from json import dumps
from pathlib import Path
from typing import Final

__all__ = ["Pages", "options_answer", "page", "wants_json"]

_WORDS: Final = {
    400: "The request could not be understood.",
    404: "Nothing is served under this address.",
    408: "The request did not arrive in time.",
    413: "The request body is larger than allowed.",
    414: "The address is longer than allowed.",
    417: "Only the expectation 100-continue is supported.",
    421: "This address is served over TLS only.",
    431: "The request headers are larger than allowed.",
    501: "This is not supported here.",
    502: "The application server gave no proper answer.",
    503: "The application server cannot be reached.",
    504: "The application server took too long to answer.",
    505: "Only HTTP/1.0 and HTTP/1.1 are supported.",
}
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_CLASS_PHRASES: Final = {4: "Client Error", 5: "Server Error"}
_HTML: Final = b"text/html; charset=utf-8"
_PROBLEM: Final = b"application/problem+json"

#: What may stand in a template between {{ and }}.
_PLACES: Final = ("status", "phrase", "words", "detail", "reason")
_PLACE: Final = re.compile(r"\{\{(?:(" + "|".join(_PLACES) + r")\}\})?")
_TEMPLATE_NAME: Final = re.compile(r"(?:[45][0-9][0-9]|[45]xx|error)\.html")

#: Texts and, at odd places, names of what comes between them.
_Template = tuple[str, ...]


class Pages:
    """All pages in one look: that of this daemon, or that of templates.

    Templates are UTF-8 files called `503.html`, `5xx.html` or `error.html`, tried in this order.
    `{{status}}`, `{{phrase}}`, `{{words}}` (a sentence about the status), `{{detail}}` (one about
    this request) and `{{reason}}` are put in, escaped for text and attributes. Nothing else is.

    Args:
        directory: where the templates are; None for none.

    Raises:
        ValueError: something in the directory cannot be used; the text begins with file and line.
    """

    def __init__(self, directory: str | None) -> None:
        self._templates = _read_all(Path(directory)) if directory is not None else {}

    def page(
        self,
        status: int,
        reason: str,
        *,
        date_line: bytes,
        keep_alive: bool,
        minor: int = 1,
        head_request: bool = False,
        detail: str = "",
        json: bool = False,
        retry_after: int | None = None,
        more: bytes = b"",
    ) -> bytes:
        """Compose a whole response.

        Args:
            status: 400-599.
            reason: the word from `ajp.errors.Reason` that the log has, too.
            date_line: a whole Date header line.
            keep_alive: whether the connection stays open.
            minor: of the client's HTTP/1.x.
            head_request: leave the body out, its length in.
            detail: one more sentence, plain text.
            json: answer a program; templates are for people.
            retry_after: seconds until it makes sense to ask again.
            more: whole header lines.

        Returns:
            Status line, headers and body.

        Source:
            RFC 9457 for what programs get: its members, and `reason`.
        """
        phrase = _PHRASES.get(status) or _CLASS_PHRASES.get(status // 100, "Error")
        if json:
            text = _problem(status, phrase, reason=reason, detail=detail)
        else:
            text = self._html(status, phrase, reason=reason, detail=detail)
        body = text.encode("utf-8", "backslashreplace")
        if retry_after is not None:
            more += b"Retry-After: %d\r\n" % retry_after
        if not keep_alive:
            more += b"Connection: close\r\n"
        elif minor == 0:
            more += b"Connection: keep-alive\r\n"
        head = (
            b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n"
            b"Cache-Control: no-store\r\n%s%s\r\n"
        ) % (status, phrase.encode(), _PROBLEM if json else _HTML, len(body), date_line, more)
        return head if head_request else head + body

    def _html(self, status: int, phrase: str, *, reason: str, detail: str) -> str:
        for name in (f"{status}.html", f"{status // 100}xx.html", "error.html"):
            template = self._templates.get(name)
            if template is not None:
                break
        else:
            return _own_page(status, phrase, reason=reason, detail=detail)
        values = {
            "status": str(status),
            "phrase": phrase,
            "words": _WORDS.get(status, ""),
            "detail": escape(detail),
            "reason": escape(reason),
        }
        return "".join(values[part] if place % 2 else part for place, part in enumerate(template))


def _own_page(status: int, phrase: str, *, reason: str, detail: str) -> str:
    words = escape(f"{_WORDS.get(status, '')} {detail}".strip(), quote=False)
    return (
        f'<!doctype html><html lang="en"><title>{status} {phrase}</title>'
        f"<h1>{status} {phrase}</h1><p>{words}</p><p><small>{reason}</small></p></html>\n"
    )


def _problem(status: int, phrase: str, *, reason: str, detail: str) -> str:
    members: dict[str, str | int] = {"type": "about:blank", "title": phrase, "status": status}
    words = f"{_WORDS.get(status, '')} {detail}".strip()
    if words:
        members["detail"] = words
    members["reason"] = reason
    return dumps(members, ensure_ascii=False) + "\n"


def _read_all(directory: Path) -> dict[str, _Template]:
    """Read every template; what is no .html is left to whoever put it there."""
    try:
        files = sorted(path for path in directory.iterdir() if path.suffix == ".html")
    except OSError as wrong:
        raise ValueError(f"{directory}: cannot be read: {wrong.strerror}") from wrong
    return {path.name: _read(path) for path in files}


def _read(path: Path) -> _Template:
    if _TEMPLATE_NAME.fullmatch(path.name) is None:
        raise ValueError(
            f"{path}: no page has this name; expected a status such as 503.html, 4xx.html, "
            "5xx.html or error.html"
        )
    try:
        raw = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as wrong:
        raise ValueError(f"{path}: cannot be read: {wrong.strerror}") from wrong
    try:
        text = raw.decode()
    except UnicodeDecodeError as wrong:
        line = raw.count(b"\n", 0, wrong.start) + 1
        raise ValueError(f"{path}:{line}: byte 0x{raw[wrong.start]:02X} is no UTF-8") from wrong
    for place in _PLACE.finditer(text):
        if place[1] is None:
            line = text.count("\n", 0, place.start()) + 1
            written = text[place.start() : place.start() + 20].partition("\n")[0]
            expected = ", ".join(f"{{{{{name}}}}}" for name in _PLACES)
            raise ValueError(f"{path}:{line}: {written!r}: expected one of {expected}")
    return tuple(_PLACE.split(text))


#: A page in our own look.
page = Pages(None).page


def options_answer(date_line: bytes, *, keep_alive: bool, minor: int = 1) -> bytes:
    """Compose the answer to `OPTIONS *`: what this server understands, whatever is behind it.

    Args:
        date_line: a whole Date header line.
        keep_alive: whether the connection stays open.
        minor: of the client's HTTP/1.x.
    """
    connection = b""
    if not keep_alive:
        connection = b"Connection: close\r\n"
    elif minor == 0:
        connection = b"Connection: keep-alive\r\n"
    return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%s%s%s\r\n" % (
        b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE\r\n",
        date_line,
        connection,
    )


_MEDIA_RANGE: Final = re.compile(rb"[ \t]*([^\s;,/]+/[^\s;,/]+)[ \t]*(?:;(.*))?", re.DOTALL)
_QUALITY: Final = re.compile(rb"[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*")
_MOST_RANGES: Final = 64


def wants_json(accept: bytes) -> bool:
    """Tell whether a client would rather have JSON than HTML.

    `*/*` alone is no wish, nor is `application/*`; HTML that is liked as much as JSON wins.

    Args:
        accept: the value of Accept, empty when there is none.

    Source:
        RFC 9110 12.5.1. Differs: a range with a weight that is none is passed over.
    """
    accept = accept.lower()
    if b"json" not in accept:
        return False
    json = html = 0.0
    for written in accept.split(b",", _MOST_RANGES)[:_MOST_RANGES]:
        match = _MEDIA_RANGE.fullmatch(written)
        if match is None:
            continue
        quality = _quality(match[2] or b"")
        if match[1] == b"text/html":
            html = max(html, quality)
        elif match[1] == b"application/json" or (
            match[1].startswith(b"application/") and match[1].endswith(b"+json")
        ):
            json = max(json, quality)
    return json > html


def _quality(parameters: bytes) -> float:
    """Read the weight of a media range: 0 to 1, 1 if there is none, 0 if it is no number."""
    for parameter in parameters.split(b";"):
        if parameter.lstrip(b" \t").startswith(b"q="):
            match = _QUALITY.fullmatch(parameter)
            return float(match[1]) if match is not None else 0.0
    return 1.0
