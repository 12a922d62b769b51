"""Values of the clients: URLs, headers, lengths, responses; no socket is opened."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ajp
from ajp.constants import AttributeCode
from ajp.errors import (
    ConnectFailed,
    EndpointError,
    EndpointReset,
    LocalProtocolError,
    Progress,
    Reason,
    ReplyTimeout,
)
from ajp.messages import ForwardRequest
from ajp.request import (
    BodyCutter,
    HeaderMap,
    Response,
    build_request,
    failure,
    known_length,
    parse_address,
    reason_text,
)


def build(
    url: str = "/", *, length: int | None = 0, secret: bytes | None = None, **options: Any
) -> ForwardRequest:
    return build_request("GET", url, length=length, secret=secret, options=options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "uri", "query"),
    [
        ("/", b"/", None),
        ("/?", b"/", b""),
        ("/a b/é?x=é y&z=%41#part", b"/a%20b/%C3%A9", b"x=%C3%A9%20y&z=%41"),
        ("/a%2Fb;v=1?q?", b"/a%2Fb;v=1", b"q?"),
        ("//two//slashes", b"//two//slashes", None),
        ("*", b"*", None),
        ("http://h", b"/", None),
        ("http://h/p?", b"/p", b""),
        ("http://h/p?a=b", b"/p", b"a=b"),
    ],
)
def test_paths_and_queries(url: str, uri: bytes, query: bytes | None) -> None:
    request = build(url)
    assert (request.uri, request.query_string) == (uri, query)


def test_params_join_the_query() -> None:
    assert build("/", params={"a": "b c"}).query_string == b"a=b+c"
    assert build("/?x=1", params=[("a", "1"), ("a", "2")]).query_string == b"x=1&a=1&a=2"
    assert build("/?x=1", params={}).query_string == b"x=1"


@pytest.mark.parametrize(
    ("url", "options", "expected"),
    [
        ("/", {}, (b"localhost", 80, False, b"localhost")),
        ("/", {"is_ssl": True}, (b"localhost", 443, True, b"localhost")),
        ("https://h/", {}, (b"h", 443, True, b"h")),
        ("https://h:8443/", {}, (b"h", 8443, True, b"h:8443")),
        ("http://[::1]:81/", {}, (b"::1", 81, False, b"[::1]:81")),
        ("http://h/", {"server_name": "s", "server_port": 9}, (b"s", 9, False, b"s:9")),
        ("/", {"headers": {"Host": "other"}}, (b"localhost", 80, False, b"other")),
    ],
)
def test_where_the_request_seems_to_go(
    url: str, options: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    request = build(url, **options)
    host = request.header(b"host")
    assert (request.server_name, request.server_port, request.is_ssl, host) == expected


@pytest.mark.parametrize("url", ["ftp://h/", "h/p", "http:///p", ""])
def test_urls_of_another_kind(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        build(url)


def test_attributes_and_secret() -> None:
    attributes = {"remote_user": "bob", "ssl_key_size": 256, "AJP_REMOTE_PORT": "99", "N": None}
    request = build("/?q", secret=b"s", attributes=attributes)
    assert request.attributes[0].code is AttributeCode.SECRET
    assert request.secret == b"s"
    assert request.attribute(AttributeCode.REMOTE_USER) == b"bob"
    assert request.attribute(AttributeCode.SSL_KEY_SIZE) == 256
    assert request.request_attributes == {b"AJP_REMOTE_PORT": b"99", b"N": None}


def test_addresses_of_the_client() -> None:
    request = build(remote_addr="10.0.0.1", remote_host="there")
    assert (request.remote_addr, request.remote_host) == (b"10.0.0.1", b"there")
    assert build().remote_addr == b"127.0.0.1"
    assert build(remote_addr=None).remote_addr is None


@pytest.mark.parametrize(
    ("length", "headers", "announced", "encoding"),
    [
        (0, {}, b"0", None),
        (5, {}, b"5", None),
        (5, {"Content-Length": "5"}, b"5", None),
        (None, {}, None, b"chunked"),
        (None, {"content-length": "7"}, b"7", None),
    ],
)
def test_headers_say_what_is_true(
    length: int | None, headers: Mapping[str, str], announced: bytes | None, encoding: bytes | None
) -> None:
    request = build(length=length, headers=headers)
    assert request.header(b"content-length") == announced
    assert request.header(b"transfer-encoding") == encoding


def test_headers_that_contradict() -> None:
    with pytest.raises(LocalProtocolError, match="content-length"):
        build(length=5, headers={"Content-Length": "6"})
    with pytest.raises(LocalProtocolError, match="transfer-encoding"):
        build(length=None, headers=[(b"Transfer-Encoding", b"chunked")])


@pytest.mark.parametrize(
    ("content", "length"),
    [
        (None, 0),
        (b"abc", 3),
        (bytearray(4), 4),
        ("é", 2),
        (memoryview(b"12345678").cast("I"), 8),
        ([b"abc"], None),
        (iter(()), None),
    ],
)
def test_known_lengths(content: object, length: int | None) -> None:
    assert known_length(content) == length


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ajp://h", ("h", 8009)),
        ("ajp://h:1/", ("h", 1)),
        ("h:2", ("h", 2)),
        ("ajp://[::1]:3", ("::1", 3)),
        ("/run/ajp.sock", ("unix:/run/ajp.sock", 0)),
        ("unix:/run/ajp.sock", ("unix:/run/ajp.sock", 0)),
    ],
)
def test_addresses(address: str, expected: tuple[str, int]) -> None:
    assert parse_address(address) == expected


@pytest.mark.parametrize("address", ["http://h", "ajp://", "ajp://h/p", "ajp://h?x", "", "u@h"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        parse_address(address)


def test_headers_by_name() -> None:
    headers = HeaderMap(((b"Set-Cookie", b"a"), (b"set-cookie", b"b"), (b"X", b"\xe9")))
    assert headers["SET-COOKIE"] == "a"
    assert headers.get_all("Set-cookie") == ["a", "b"]
    assert headers.get_all("none") == []
    assert dict(headers) == {"set-cookie": "a", "x": "é"}
    assert len(headers) == 2
    assert "x" in headers
    assert headers.get("Y") is None
    assert repr(headers) == "<HeaderMap set-cookie, x>"


@pytest.mark.parametrize(
    ("kind", "content", "text"),
    [
        (b"text/plain; charset=iso-8859-1", b"\xe9", "é"),
        (b'text/plain; charset="UTF-8"', b"\xc3\xa9", "é"),
        (b"text/plain", b"\xc3\xa9\xff", "é\ufffd"),
        (b"text/plain; charset=klingon", b"\xc3\xa9", "é"),
        (None, b"abc", "abc"),
    ],
)
def test_text(kind: bytes | None, content: bytes, text: str) -> None:
    headers = HeaderMap(((b"Content-Type", kind),) if kind else ())
    assert Response(200, "OK", headers, content).text == text


@pytest.mark.parametrize(
    ("status", "reason", "text"),
    [
        (200, b"200", "OK"),
        (404, None, "Not Found"),
        (200, b"", "OK"),
        (200, b"Fine", "Fine"),
        (799, b"799", ""),
    ],
)
def test_reason_phrases(status: int, reason: bytes | None, text: str) -> None:
    assert reason_text(status, reason) == text


def test_failures() -> None:
    error = failure(Reason.RESET_MID_BODY, Progress.RESPONSE_STARTED, "gone")
    assert isinstance(error, EndpointReset)
    assert (error.reason, error.progress) == (Reason.RESET_MID_BODY, Progress.RESPONSE_STARTED)
    refused = failure(Reason.RESOLVE_FAILED, Progress.NOTHING_SENT, "who?")
    assert isinstance(refused, ConnectFailed)
    assert isinstance(failure(Reason.REPLY_TIMEOUT, Progress.HEAD_SENT, "late"), ReplyTimeout)
    assert type(failure(Reason.FROZEN, Progress.HEAD_SENT, "cold")) is EndpointError


@pytest.mark.parametrize("length", [None, 3])
@pytest.mark.parametrize(
    "values", [("4", "4"), ("3", "4"), ("-3",), ("+3",), ("0x3",), ("",), ("3,3",), ("9" * 19,)]
)
def test_a_length_that_could_be_read_in_two_ways(
    values: tuple[str, ...], length: int | None
) -> None:
    headers = [("Content-Length", value) for value in values]
    with pytest.raises(LocalProtocolError, match="content-length"):
        build(length=length, headers=headers)


@given(
    chunks=st.lists(st.binary(max_size=50), max_size=8),
    allowances=st.lists(st.integers(1, 30), min_size=1),
)
def test_cutter_loses_nothing(chunks: list[bytes], allowances: list[int]) -> None:
    whole = b"".join(chunks)
    cutter = BodyCutter(len(whole))
    for chunk in chunks:
        cutter.put(chunk)
    cutter.finish()
    pieces: list[bytes] = []
    while not cutter.is_empty:
        allowance = allowances[len(pieces) % len(allowances)]
        pieces.append(cutter.cut(allowance))
        assert 0 < len(pieces[-1]) <= allowance
    assert b"".join(pieces) == whole
    assert cutter.cut(5) == b""


def test_cutter_counts() -> None:
    cutter = BodyCutter(3)
    cutter.put("é")
    with pytest.raises(LocalProtocolError, match="1 bytes early"):
        cutter.finish()
    assert not cutter.wants_more
    cutter.put(b"1")
    assert cutter.wants_more
    cutter.put(b"")
    with pytest.raises(LocalProtocolError, match="1 bytes more"):
        cutter.put(b"2")
    endless = BodyCutter(None)
    endless.put(memoryview(b"12345678").cast("I"))
    endless.finish()
    assert endless.cut(100) == b"12345678"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"max_packet_size": 100}, "max_packet_size"),
        ({"pool_size": 0}, "pool_size"),
        ({"timeout": -1}, "timeout"),
        ({"address": "ajp://127.0.0.1:0"}, "port 0"),
        ({"address": "ajp://h:99999"}, "ajp://h:99999"),
        ({"address": "ajp://[::1"}, "ajp://"),
    ],
)
@pytest.mark.parametrize("kind", [ajp.Client, ajp.AsyncClient])
def test_a_client_refuses_what_it_cannot_work_with(
    kind: type, arguments: dict[str, Any], word: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(word)):
        kind(**arguments)
