"""Encode and decode what really travels, beside AJPy where it can do the same.

Nothing here asserts a time: `make bench` prints them. Each test checks that ours and theirs are the
same bytes, so that the same work is compared.

AJPy cannot decode a request (it reads text), encode a response, or fill a packet of 64 KB.
"""

import io
from collections.abc import Callable
from typing import Any

import pytest

from ajp import _codec
from ajp.constants import MAGIC_FROM_CONTAINER, REQUEST_HEADERS, RESPONSE_HEADERS, AttributeCode
from ajp.messages import (
    Attribute,
    EndResponse,
    ForwardRequest,
    Headers,
    RequestBody,
    SendBodyChunk,
    SendHeaders,
)

try:
    from ajpy import ajp as ajpy
except ImportError:
    ajpy = None

Measure = Callable[..., Any]

LARGEST = 65536
SMALL: Headers = (
    (b"host", b"app.example.com"),
    (b"user-agent", b"curl/8.5.0"),
    (b"accept", b"*/*"),
)
BROWSER: Headers = (
    (b"host", b"app.example.com"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"de,en-US;q=0.7,en;q=0.3"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"connection", b"keep-alive"),
    (b"referer", b"https://app.example.com/app/reports"),
    (b"cookie", b"JSESSIONID=5A3F1C09D7E84B62A1F0C3D5E7B9A864.node1; theme=dark"),
    (b"upgrade-insecure-requests", b"1"),
)
LARGE: Headers = (
    *BROWSER[:7],
    (b"cookie", b"JSESSIONID=5A3F1C09D7E84B62A1F0C3D5E7B9A864.node1; state=" + b"c" * 1800),
    (b"authorization", b"Bearer " + b"t" * 900),
    *((b"x-forwarded-field-%02d" % n, b"v" * 20) for n in range(21)),
)
REQUESTS = {
    name: ForwardRequest(
        uri=b"/app/reports/list.jsp",
        remote_addr=b"192.0.2.17",
        server_name=b"app.example.com",
        server_port=443,
        is_ssl=True,
        headers=headers,
        attributes=(
            Attribute(AttributeCode.SECRET, b"s3cr3t-of-16-chr"),
            Attribute(AttributeCode.QUERY_STRING, b"page=2&sort=date"),
            Attribute(AttributeCode.ROUTE, b"node1"),
        ),
    )
    for name, headers in (("small", SMALL), ("browser", BROWSER), ("large", LARGE))
}
RESPONSE = SendHeaders(
    200,
    b"200",
    (
        (b"Content-Type", b"text/html;charset=UTF-8"),
        (b"Content-Length", b"8184"),
        (b"Date", b"Sun, 22 Nov 2026 12:00:00 GMT"),
        (b"Set-Cookie", b"JSESSIONID=5A3F1C09D7E84B62A1F0C3D5E7B9A864.node1; Path=/app; HttpOnly"),
        (b"X-Frame-Options", b"SAMEORIGIN"),
    ),
)

sizes = pytest.mark.parametrize("size", REQUESTS)
both = pytest.mark.parametrize("by", ["ajp", "ajpy"])


def need_ajpy() -> None:
    if ajpy is None:
        pytest.skip("AJPy is not installed: pip install ajpy")


# --- AJPy -----------------------------------------------------------------------------------------


def text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("ascii")


def ajpy_request(message: ForwardRequest) -> Any:
    """The same request as AJPy wants it."""
    found = ajpy.AjpForwardRequest(ajpy.AjpForwardRequest.SERVER_TO_CONTAINER)
    found.method = ajpy.AjpForwardRequest.REQUEST_METHODS[text(message.method)]
    found.protocol = text(message.protocol)
    found.req_uri = text(message.uri)
    found.remote_addr = text(message.remote_addr)
    found.remote_host = text(message.remote_host)
    found.server_name = text(message.server_name)
    found.server_port = message.server_port
    found.is_ssl = message.is_ssl
    found.request_headers = {
        (
            "SC_REQ_" + name.decode().upper().replace("-", "_")
            if name in REQUEST_HEADERS
            else name.decode()
        ): text(value)
        for name, value in message.headers
    }
    found.attributes = [
        {"name": attribute.code.name.lower(), "value": text(attribute.value)}  # type: ignore[arg-type]
        for attribute in message.attributes
    ]
    return found


def ajpy_answer(stream: io.BytesIO) -> Any:
    stream.seek(0)
    return ajpy.AjpResponse.receive(stream)


def ajpy_body(stream: io.BytesIO, direction: int) -> bytes:
    stream.seek(0)
    packet: bytes = ajpy.AjpBodyRequest(stream, None, direction).serialize()
    return packet


# --- requests -------------------------------------------------------------------------------------


@sizes
@both
def test_encode_request(measure: Measure, size: str, by: str) -> None:
    message = REQUESTS[size]
    expected = _codec.encode_forward_request(message)
    if by == "ajp":
        assert measure(_codec.encode_forward_request, message) == expected
    else:
        need_ajpy()
        assert measure(ajpy_request(message).serialize) == expected


@sizes
def test_decode_request(measure: Measure, size: str) -> None:
    payload = _codec.encode(REQUESTS[size])[4:]
    assert measure(_codec.decode_from_web_server, payload) == REQUESTS[size]


@both
def test_encode_request_body_of_8_kb(measure: Measure, by: str) -> None:
    data = b"x" * 8186
    expected = _codec.encode_request_body(data)
    if by == "ajp":
        assert measure(_codec.encode_request_body, data) == expected
    else:
        need_ajpy()
        assert measure(ajpy_body, io.BytesIO(data), 0) == expected


def test_encode_request_body_of_64_kb(measure: Measure) -> None:
    data = b"x" * (LARGEST - 6)
    packet = measure(_codec.encode_request_body, data, LARGEST)
    assert packet[6:] == data


@pytest.mark.parametrize("length", [8186, LARGEST - 6])
def test_decode_request_body(measure: Measure, length: int) -> None:
    payload = _codec.encode(RequestBody(b"x" * length), LARGEST)[4:]
    assert len(measure(_codec.decode_request_body, payload).data) == length


# --- responses ------------------------------------------------------------------------------------


def test_encode_response_head(measure: Measure) -> None:
    assert measure(_codec.encode_send_headers, RESPONSE) == _codec.encode(RESPONSE)


@both
def test_decode_response_head(measure: Measure, by: str) -> None:
    packet = _codec.encode(RESPONSE)
    if by == "ajp":
        assert measure(_codec.decode_from_container, packet[4:]) == RESPONSE
        return
    need_ajpy()
    head = measure(ajpy_answer, io.BytesIO(packet))
    assert head.http_status_code == RESPONSE.status
    known = {name.decode() for name in RESPONSE_HEADERS}
    found = {
        (name.encode() if name in known else name): value
        for name, value in head.response_headers.items()
    }
    assert found == dict(RESPONSE.headers)


@pytest.mark.parametrize("length", [8184, LARGEST - 8])
def test_encode_body_chunk(measure: Measure, length: int) -> None:
    data = b"x" * length
    packet = measure(_codec.encode_send_body_chunk, data, LARGEST)
    assert packet[7:-1] == data


@pytest.mark.parametrize("length", [8184, LARGEST - 8])
@both
def test_decode_body_chunk(measure: Measure, by: str, length: int) -> None:
    packet = _codec.encode(SendBodyChunk(b"x" * length), LARGEST)
    if by == "ajp":
        assert len(measure(_codec.decode_from_container, packet[4:]).data) == length
    else:
        need_ajpy()
        assert len(measure(ajpy_answer, io.BytesIO(packet)).data) == length + 1


def split(stream: bytes) -> list[object]:
    splitter = _codec.Splitter(MAGIC_FROM_CONTAINER)
    splitter.feed(stream)
    found: list[object] = []
    while (payload := splitter.take()) is not None:
        found.append(_codec.decode_from_container(payload))
    return found


def ajpy_split(stream: io.BytesIO) -> list[Any]:
    found = [ajpy_answer(stream)]
    while found[-1].prefix_code != ajpy.AjpResponse.END_RESPONSE:
        found.append(ajpy.AjpResponse.receive(stream))
    return found


@both
def test_read_whole_response(measure: Measure, by: str) -> None:
    """Head, one chunk of 8 KB and the end, out of a stream."""
    messages = [RESPONSE, SendBodyChunk(b"x" * 8184), EndResponse(reuse=True)]
    stream = b"".join(map(_codec.encode, messages))
    if by == "ajp":
        assert measure(split, stream) == messages
    else:
        need_ajpy()
        assert len(measure(ajpy_split, io.BytesIO(stream))) == len(messages)
