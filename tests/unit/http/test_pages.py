"""Our own pages: whole responses, whatever the request was."""

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from ajp.errors import REASON_STATUS
from ajpd.http.pages import Pages, page, wants_json

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


def test_the_bytes_of_a_page() -> None:
    assert page(502, "eof_mid_body", date_line=DATE, keep_alive=False, detail="A <b>.") == (
        b"HTTP/1.1 502 Bad Gateway\r\n"
        b"Content-Type: text/html; charset=utf-8\r\n"
        b"Content-Length: 192\r\n"
        b"Cache-Control: no-store\r\n"
        b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
        b"Connection: close\r\n"
        b"\r\n"
        b'<!doctype html><html lang="en"><title>502 Bad Gateway</title><h1>502 Bad Gateway</h1>'
        b"<p>The application server gave no proper answer. A &lt;b&gt;.</p>"
        b"<p><small>eof_mid_body</small></p></html>\n"
    )


def default(status: int, **more: Any) -> tuple[bytes, dict[bytes, bytes], bytes]:
    return parts(page(status, "a_reason", date_line=DATE, keep_alive=True, **more))


@pytest.mark.parametrize("as_json", [False, True])
def test_every_number_has_a_page(as_json: bool) -> None:
    for status in range(400, 600):
        first, fields, body = default(status, json=as_json)
        assert re.fullmatch(rb"HTTP/1\.1 %d [A-Z][ -~]+" % status, first)
        assert int(fields[b"Content-Length"]) == len(body)
    assert default(499)[0] == b"HTTP/1.1 499 Client Error"
    assert default(599)[0] == b"HTTP/1.1 599 Server Error"
    assert default(416)[0].startswith(b"HTTP/1.1 416 Request")


def test_retry_after() -> None:
    assert b"Retry-After" not in default(503)[1]
    assert default(503, retry_after=0)[1][b"Retry-After"] == b"0"
    fields = default(503, retry_after=17, json=True)[1]
    assert fields[b"Retry-After"] == b"17"


def test_text_that_cannot_be_encoded() -> None:
    assert b"\\udcff" in default(400, detail="\udcff")[2]


# --- JSON -----------------------------------------------------------------------------------------


def test_problem_details() -> None:
    detail = 'Header "é<b>\n\x01.'
    _, fields, body = default(431, json=True, detail=detail)
    assert fields[b"Content-Type"] == b"application/problem+json"
    assert json.loads(body) == {
        "type": "about:blank",
        "title": HTTPStatus(431).phrase,
        "status": 431,
        "detail": f"The request headers are larger than allowed. {detail}",
        "reason": "a_reason",
    }


def test_problem_without_words() -> None:
    assert json.loads(default(499, json=True)[2]) == {
        "type": "about:blank",
        "title": "Client Error",
        "status": 499,
        "reason": "a_reason",
    }


def test_problem_for_head() -> None:
    whole = page(503, "x", date_line=DATE, keep_alive=True, json=True)
    head = page(503, "x", date_line=DATE, keep_alive=True, json=True, head_request=True)
    assert whole.startswith(head)
    assert head.endswith(b"\r\n\r\n")


# --- templates ------------------------------------------------------------------------------------


def body_of(pages: Pages, status: int, **more: Any) -> bytes:
    _, fields, body = parts(pages.page(status, "r<>", date_line=DATE, keep_alive=True, **more))
    assert int(fields[b"Content-Length"]) == len(body)
    return body


def test_the_nearest_template_is_taken(tmp_path: Path) -> None:
    for name in ("503", "5xx", "error"):
        (tmp_path / f"{name}.html").write_text(f"{name}: {{{{status}}}}")
    pages = Pages(str(tmp_path))
    assert body_of(pages, 503) == b"503: 503"
    assert body_of(pages, 502) == b"5xx: 502"
    assert body_of(pages, 404) == b"error: 404"
    _, fields, _ = parts(pages.page(502, "x", date_line=DATE, keep_alive=True))
    assert fields[b"Content-Type"] == b"text/html; charset=utf-8"


def test_without_a_template_the_page_is_ours(tmp_path: Path) -> None:
    (tmp_path / "404.html").write_text("gone")
    (tmp_path / "README.txt").write_bytes(b"{{anything}} \xff")
    pages = Pages(str(tmp_path))
    for status in (400, 503):
        ours = page(status, "x", date_line=DATE, keep_alive=False, detail="d")
        assert pages.page(status, "x", date_line=DATE, keep_alive=False, detail="d") == ours
    as_json = page(404, "x", date_line=DATE, keep_alive=True, json=True)
    assert pages.page(404, "x", date_line=DATE, keep_alive=True, json=True) == as_json


def test_places(tmp_path: Path) -> None:
    (tmp_path / "error.html").write_text(
        "{{status}}|{{phrase}}|{{words}}|{{detail}}|{{reason}}|{{status}}{{status}}|ä } }} {a} {%"
    )
    pages = Pages(str(tmp_path))
    assert body_of(pages, 404, detail="<a b=\"c\" d='e'>&{{status}}").decode() == (
        "404|Not Found|Nothing is served under this address."
        "|&lt;a b=&quot;c&quot; d=&#x27;e&#x27;&gt;&amp;{{status}}|r&lt;&gt;|404404|ä } }} {a} {%"
    )
    assert body_of(pages, 499) == "499|Client Error|||r&lt;&gt;|499499|ä } }} {a} {%".encode()


@pytest.mark.parametrize("raw", [b"", b"x", b"{{phrase}}", b"\xef\xbb\xbf{{phrase}}\r\n"])
def test_small_templates(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "4xx.html").write_bytes(raw)
    expected = raw.removeprefix(b"\xef\xbb\xbf").replace(b"{{phrase}}", b"Not Found")
    assert body_of(Pages(str(tmp_path)), 404) == expected


def test_templates_are_read_once(tmp_path: Path) -> None:
    template = tmp_path / "error.html"
    template.write_text("before")
    pages = Pages(str(tmp_path))
    template.unlink()
    assert body_of(pages, 500) == b"before"


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("error.html", b"a\n{{staus}}", "error.html:2: '{{staus}}': expected one of {{status}}, "),
        ("error.html", b"{{ status }}", "error.html:1: '{{ status }}': expected"),
        ("error.html", b"\n\n  {{status}", "error.html:3: '{{status}': expected"),
        ("error.html", b"{{", "error.html:1: '{{': expected"),
        ("error.html", b"{{{status}}}", "error.html:1: '{{{status}}}': expected"),
        ("5xx.html", b"{{Status}}\n", "5xx.html:1: '{{Status}}': expected"),
        ("404.html", b"{{" + 90 * b"a", "404.html:1: '{{aaaaaaaaaaaaaaaaaa': expected"),
        ("404.html", b"\n\n\xe4\n", "404.html:3: byte 0xE4 is no UTF-8"),
        ("404.html", b"\xef\xbb\xbf\n\xff", "404.html:2: byte 0xFF is no UTF-8"),
        ("50x.html", b"", "50x.html: no page has this name; expected a status such as 503.html"),
        ("200.html", b"", "200.html: no page has this name"),
        ("4040.html", b"", "4040.html: no page has this name"),
        ("3xx.html", b"", "3xx.html: no page has this name"),
    ],
)
def test_templates_that_cannot_be_used(tmp_path: Path, name: str, raw: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}/{message}")):
        Pages(str(tmp_path))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"/none: cannot be read: No such file or directory"):
        Pages(str(tmp_path / "none"))
    (tmp_path / "503.html").mkdir()
    with pytest.raises(ValueError, match=r"/503\.html: cannot be read: Is a directory"):
        Pages(str(tmp_path))


# --- who gets JSON --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "accept",
    [
        b"application/json",
        b"Application/JSON",
        b"application/problem+json",
        b"application/vnd.api+json",
        b"application/*+json",
        b"application/json, */*",
        b"application/json, text/plain, */*",
        b"text/plain , \tapplication/json\t; charset=utf-8 ; q=0.1",
        b"application/json;q=0.5, text/html;q=0.4",
        b"application/json, text/html;q=0.999",
        b"application/json;q=0.001, text/html;q=0",
        b"application/json;q=0, application/problem+json",
        b"text/html;q=0.1, application/json;q=0.2, text/html;q=0.1",
        b"application/json;version=1",
        b"application/json;Q=1.000",
        b"garbage, application/json, ;, /",
        b"application/json, text/html;q=nonsense",
    ],
)
def test_wants_json(accept: bytes) -> None:
    assert wants_json(accept)


@pytest.mark.parametrize(
    "accept",
    [
        b"",
        b"*/*",
        b"application/*",
        b"text/html",
        b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        b"application/json;q=0",
        b"application/json;q=0.000, */*",
        b"application/json, text/html",
        b"text/html;q=0.5, application/json;q=0.5",
        b"text/html;level=1, application/json;q=0.9",
        b"application/json;q=0.5, text/html;q=0.2, text/html;q=0.6",
        b"text/json",
        b"application/jsonp",
        b"application/x-json",
        b"json",
        b"application /json",
        b"application/json/x",
        b"application/json;q=1.1",
        b"application/json;q=",
        b"application/json;q=-1",
        b"application/json;q=0.1234",
        b"x;y=application/json",
        64 * b"x/y," + b"application/json",
    ],
)
def test_does_not_want_json(accept: bytes) -> None:
    assert not wants_json(accept)
