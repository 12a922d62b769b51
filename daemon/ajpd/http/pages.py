"""The short pages this daemon answers with itself, whole responses as bytes."""

from http import HTTPStatus

__all__ = ["page"]

_WORDS = {
    400: "The request could not be understood.",
    404: "Nothing is served under this address.",
    408: "The request did not arrive in time.",
    413: "The request body is larger than allowed.",
    414: "The address is longer than allowed.",
    417: "Only the expectation 100-continue is supported.",
    431: "The request headers are larger than allowed.",
    501: "This is not supported here.",
    502: "The application server gave no proper answer.",
    503: "The application server cannot be reached.",
    504: "The application server took too long to answer.",
    505: "Only HTTP/1.0 and HTTP/1.1 are supported.",
}


def page(
    status: int,
    reason: str,
    *,
    date_line: bytes,
    keep_alive: bool,
    minor: int = 1,
    head_request: bool = False,
    detail: str = "",
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

    Returns:
        Status line, headers and body.
    """
    phrase = HTTPStatus(status).phrase
    words = f"{_WORDS.get(status, '')} {detail}".strip()
    escaped = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    body = (
        f'<!doctype html><html lang="en"><title>{status} {phrase}</title>'
        f"<h1>{status} {phrase}</h1><p>{escaped}</p><p><small>{reason}</small></p></html>\n"
    ).encode()
    connection = b""
    if not keep_alive:
        connection = b"Connection: close\r\n"
    elif minor == 0:
        connection = b"Connection: keep-alive\r\n"
    head = (
        b"HTTP/1.1 %d %s\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n"
        b"Cache-Control: no-store\r\n%s%s\r\n"
    ) % (status, phrase.encode(), len(body), date_line, connection)
    return head if head_request else head + body
