"""Our own pages: whole responses, whatever the request was."""

from http import HTTPStatus

import pytest

from ajp.errors import REASON_STATUS
from ajpd.http.pages import page

DATE = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"


def parts(data: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    fields = dict(line.split(b": ", 1) for line in lines)
    assert len(fields) == len(lines)
    return first, fields, body


@pytest.mark.parametrize("status", sorted({*REASON_STATUS.values(), 413, 414, 417, 501, 505}))
def test_every_status(status: int) -> None:
    first, fields, body = parts(page(status, "a_reason", date_line=DATE, keep_alive=True))
    assert first == b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())
    assert int(fields[b"Content-Length"]) == len(body)
    assert fields[b"Content-Type"] == b"text/html; charset=utf-8"
    assert fields[b"Cache-Control"] == b"no-store"
    assert fields[b"Date"] == b"Thu, 01 Jan 1970 00:00:00 GMT"
    assert b"a_reason" in body
    # Words for people, not only a number.
    assert b"<p></p>" not in body


@pytest.mark.parametrize(
    ("keep_alive", "minor", "expected"),
    [
        (True, 1, None),
        (True, 0, b"keep-alive"),
        (False, 1, b"close"),
        (False, 0, b"close"),
    ],
)
def test_connection(keep_alive: bool, minor: int, expected: bytes | None) -> None:
    _, fields, _ = parts(page(502, "x", date_line=DATE, keep_alive=keep_alive, minor=minor))
    assert fields.get(b"Connection") == expected


def test_head_has_the_length_and_no_body() -> None:
    whole = page(503, "x", date_line=DATE, keep_alive=True)
    head = page(503, "x", date_line=DATE, keep_alive=True, head_request=True)
    assert head.endswith(b"\r\n\r\n")
    assert whole.startswith(head)
    assert len(whole) > len(head)


def test_detail_is_text_and_no_markup() -> None:
    detail = "<script>&amp;\"'ä"
    _, fields, body = parts(page(400, "x", date_line=DATE, keep_alive=True, detail=detail))
    assert b"<script>" not in body
    assert b"&lt;script&gt;&amp;amp;" in body
    assert "ä".encode() in body
    assert int(fields[b"Content-Length"]) == len(body)


def test_a_status_without_words_of_its_own() -> None:
    first, _, body = parts(page(500, "x", date_line=DATE, keep_alive=True, detail="Odd."))
    assert first == b"HTTP/1.1 500 Internal Server Error"
    assert b"Odd." in body
