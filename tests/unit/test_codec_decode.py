"""Decoders and the splitter, rule by rule; the golden packets are in tests/vectors."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ajp import _codec
from ajp.constants import MAGIC_FROM_CONTAINER, MAGIC_FROM_WEB_SERVER, AttributeCode, Tolerate
from ajp.errors import RemoteProtocolError
from ajp.messages import (
    Attribute,
    EndResponse,
    ForwardRequest,
    RequestBody,
    SendBodyChunk,
    SendHeaders,
)


def string(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value + b"\0"


def refusal(call: Callable[..., object], *arguments: Any, **options: Any) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        call(*arguments, **options)
    return caught.value


#: A FORWARD_REQUEST payload up to and without the header count.
START = (
    b"\x02\x02"
    + string(b"HTTP/1.1")
    + string(b"/")
    + b"\xff\xff\xff\xff\xff\xff"
    + b"\0\x50"
    + b"\0"
)
PLAIN = START + b"\0\0\xff"


# --- decoders -------------------------------------------------------------------------------------


def test_decoders_take_any_buffer() -> None:
    for wrap in (bytes, bytearray, memoryview):
        assert isinstance(_codec.decode_from_web_server(wrap(PLAIN)), ForwardRequest)
        assert _codec.decode_request_body(wrap(b"\0\1x")) == RequestBody(b"x")
        assert _codec.decode_from_container(wrap(b"\x05\x01")) == EndResponse(reuse=True)


def test_decoded_values_are_copies() -> None:
    source = bytearray(b"\0\1x")
    body = _codec.decode_request_body(source)
    source[:] = b"\0\1y"
    assert body.data == b"x"


def test_error_says_what_and_where() -> None:
    error = refusal(_codec.decode_from_web_server, START + b"\0\1\xa0\x0f" + string(b"v") + b"\xff")
    assert error.code == "E_HEADER_CODE"
    assert error.offset == len(START) + 2
    assert error.packet_type == 2
    assert "0xa00e" in error.expected
    assert "0xa00f" in error.got
    for part in ("FORWARD_REQUEST", str(error.offset), error.expected, error.got, error.code):
        assert part in str(error)


def test_error_outside_any_packet_type() -> None:
    assert refusal(_codec.decode_from_container, b"").packet_type is None
    assert refusal(_codec.decode_from_web_server, b"").code == "E_EMPTY"
    assert refusal(_codec.decode_request_body, b"\0").packet_type is None
    unknown = refusal(_codec.decode_from_container, b"\x63")
    assert (unknown.code, unknown.packet_type) == ("E_TYPE", 0x63)
    assert "type 99" in str(unknown)


def test_first_broken_rule_from_the_left_is_named() -> None:
    broken = b"\x02\x63" + START[2:-1] + b"\x07" + b"\0\1\xa0\0" + b"\xff"
    assert refusal(_codec.decode_from_web_server, broken).code == "E_METHOD"


@pytest.mark.parametrize("kind", [0x07, 0x08, 0x0A])
def test_packets_without_fields_have_none(kind: int) -> None:
    error = refusal(_codec.decode_from_web_server, bytes((kind, 0)))
    assert (error.code, error.offset, error.packet_type) == ("E_TRAILING", 1, kind)


@pytest.mark.parametrize("payload", ["0900", "050100", "0600010a", "0400c8ffff000000"])
def test_nothing_may_stand_behind_a_message_of_the_container(payload: str) -> None:
    assert refusal(_codec.decode_from_container, bytes.fromhex(payload)).code == "E_TRAILING"


@pytest.mark.parametrize(("flag", "reuse"), [(0, False), (1, True), (2, False), (255, False)])
def test_only_one_keeps_a_connection(flag: int, reuse: bool) -> None:
    assert _codec.decode_from_container(bytes((5, flag))) == EndResponse(reuse)


@pytest.mark.parametrize("status", [0, 1, 99, 1000, 0x8000, 0xFFFF])
def test_status_has_three_digits(status: int) -> None:
    payload = b"\x04" + status.to_bytes(2, "big") + b"\xff\xff\0\0"
    assert refusal(_codec.decode_from_container, payload).code == "E_STATUS"


def test_interim_status_is_for_the_connection_to_refuse() -> None:
    payload = bytes.fromhex("04 0064 ffff 0000")
    assert _codec.decode_from_container(payload) == SendHeaders(100, None)


def test_chunk_with_and_without_its_trailing_nul() -> None:
    for tail in (b"", b"\0"):
        payload = b"\x03\0\2a\0" + tail
        assert _codec.decode_from_container(payload) == SendBodyChunk(b"a\0")
    assert refusal(_codec.decode_from_container, b"\x03\0\2a").code == "E_CHUNK_LEN"
    assert refusal(_codec.decode_from_container, b"\x03\0\2ab\0\0").code == "E_CHUNK_LEN"


def test_bytes_behind_the_body_are_ignored_unless_strict() -> None:
    payload = b"\0\1x" + b"\0\0\0\xff"
    assert _codec.decode_request_body(payload) == RequestBody(b"x")
    assert _codec.decode_request_body(b"\0\0\0\0\0\xff") == RequestBody()
    assert refusal(_codec.decode_request_body, payload, strict=True).code == "E_BODY_LEN"
    assert refusal(_codec.decode_request_body, b"\xff\xffx").code == "E_BODY_LEN"


def test_number_of_headers_is_limited() -> None:
    headers = ((b"a", b""),) * 3
    for packet, decoder in (
        (_codec.encode(ForwardRequest(headers=headers)), _codec.decode_from_web_server),
        (_codec.encode(SendHeaders(200, b"", headers)), _codec.decode_from_container),
    ):
        assert decoder(packet[4:], 3)
        assert refusal(decoder, packet[4:], 2).code == "E_HEADER_COUNT"


@pytest.mark.parametrize(
    ("value", "key_size"),
    [
        (b"\x01\x00", 256),
        (b"\x00\x80", 128),
        (b"\x00\x00", 0),
        (b"\xff\xff", 65535),
        (string(b"256"), 256),
        (string(b"65535"), 65535),
        (string(b"1"), 1),
        # A number of one to five bits stays one when no string follows.
        (b"\x00\x05", 5),
        (b"\x00\x01", 1),
    ],
)
@pytest.mark.parametrize("tail", [b"", b"\x0c" + string(b"s")])
def test_key_size_as_number_and_as_string(value: bytes, key_size: int, tail: bytes) -> None:
    message = _codec.decode_from_web_server(START + b"\0\0\x0b" + value + tail + b"\xff")
    assert isinstance(message, ForwardRequest)
    assert message.attributes[0] == Attribute(AttributeCode.SSL_KEY_SIZE, key_size)
    assert message.secret == (b"s" if tail else None)


@pytest.mark.parametrize("value", [string(b"99999"), string(b"12a"), string(b"123456")])
def test_key_size_that_is_no_number(value: bytes) -> None:
    payload = START + b"\0\0\x0b" + value + b"\xff"
    assert refusal(_codec.decode_from_web_server, payload).code == "E_ATTR_CODE"


def stored(method: bytes | None) -> bytes:
    return b"\x0d" + (b"\xff\xff" if method is None else string(method)) + b"\xff"


@pytest.mark.parametrize(
    "payload",
    [
        b"\x02\xff" + START[2:] + b"\0\0\xff",
        b"\x02\xff" + START[2:] + b"\0\0" + stored(None),
        b"\x02\xff" + START[2:] + b"\0\0" + stored(b""),
        b"\x02\xff" + START[2:] + b"\0\0" + stored(b"A\tB"),
        START + b"\0\0" + stored(b"PATCH"),
    ],
)
def test_stored_method_goes_with_its_code_alone(payload: bytes) -> None:
    assert refusal(_codec.decode_from_web_server, payload).code == "E_METHOD"


@pytest.mark.parametrize("name", [b"\xff\xff", b"\0\0\0"])
def test_request_attribute_without_a_name(name: bytes) -> None:
    payload = START + b"\0\0\x0a" + name + string(b"v") + b"\xff"
    assert refusal(_codec.decode_from_web_server, payload).code == "E_ATTR_NAME"


def test_request_attributes_may_repeat() -> None:
    entry = b"\x0a" + string(b"n") + string(b"v")
    message = _codec.decode_from_web_server(START + b"\0\0" + entry * 2 + b"\xff")
    assert isinstance(message, ForwardRequest)
    assert len(message.attributes) == 2


LENGTH = b"\xa0\x08" + string(b"5")
ENCODING = string(b"transfer-ENCODING") + string(b"chunked")


@pytest.mark.parametrize(
    ("flag", "payload", "code", "meant"),
    [
        (Tolerate.BOOLEAN, START[:-1] + b"\x02\0\0\xff", "E_BOOLEAN", {"is_ssl": True}),
        (
            Tolerate.LENGTH_AND_ENCODING,
            START + b"\0\2" + LENGTH + ENCODING + b"\xff",
            "E_CL_TE",
            {"headers": ((b"content-length", b"5"), (b"transfer-ENCODING", b"chunked"))},
        ),
        (
            Tolerate.LENGTH_AND_ENCODING,
            START + b"\0\2" + ENCODING + LENGTH + b"\xff",
            "E_CL_TE",
            {"headers": ((b"transfer-ENCODING", b"chunked"), (b"content-length", b"5"))},
        ),
        (
            Tolerate.REPEATED_ATTRIBUTE,
            START + b"\0\0" + (b"\x0c" + string(b"k")) * 2 + b"\xff",
            "E_ATTR_DUP",
            {"attributes": (Attribute(AttributeCode.SECRET, b"k"),) * 2},
        ),
        (
            Tolerate.EMPTY_URI,
            PLAIN.replace(string(b"/"), b"\xff\xff"),
            "E_URI",
            {"uri": b""},
        ),
        (Tolerate.EMPTY_URI, PLAIN.replace(string(b"/"), string(b"")), "E_URI", {"uri": b""}),
        (Tolerate.TRAILING_BYTES, PLAIN + b"\0", "E_TRAILING", {}),
        (
            Tolerate.ANY_HEADER_NAME,
            START + b"\0\1" + string(b"X A") + string(b"v") + b"\xff",
            "E_HEADER_NAME",
            {"headers": ((b"X A", b"v"),)},
        ),
        (
            Tolerate.ZERO_ATTRIBUTE,
            START + b"\0\0\0\x05" + string(b"q") + b"\xff",
            "E_ATTR_CODE",
            {"attributes": (Attribute(AttributeCode.QUERY_STRING, b"q"),)},
        ),
    ],
)
def test_each_tolerance_waives_its_rule_alone(
    flag: Tolerate, payload: bytes, code: str, meant: dict[str, Any]
) -> None:
    decode = _codec.decode_from_web_server
    others = ~flag & 0x7F
    assert refusal(decode, payload).code == code
    assert refusal(decode, payload, tolerate=others).code == code
    plain = _codec.decode_from_web_server(PLAIN)
    assert isinstance(plain, ForwardRequest)
    assert decode(payload, tolerate=flag) == replace(plain, **meant)


def test_tolerance_never_reaches_lengths() -> None:
    everything = 0x7F
    for payload in (
        START + b"\0\2" + LENGTH * 2 + b"\xff",
        START + b"\0\1\xa0\x08" + string(b"-1") + b"\xff",
    ):
        error = refusal(_codec.decode_from_web_server, payload, tolerate=everything)
        assert error.code == "E_CONTENT_LENGTH"
    empty_name = START + b"\0\1" + string(b"") + string(b"v") + b"\xff"
    for payload in (PLAIN[:-1], START + b"\0\5\xff", empty_name):
        assert refusal(_codec.decode_from_web_server, payload, tolerate=everything)


def test_flags_have_the_numbers_the_codec_tests() -> None:
    assert [flag.value for flag in Tolerate] == [1, 2, 4, 8, 16, 32, 64]


# --- splitter -------------------------------------------------------------------------------------


def test_splitter_wants_a_known_magic() -> None:
    with pytest.raises(ValueError, match="magic"):
        _codec.Splitter(b"\x12\x35")
    assert _codec.Splitter(MAGIC_FROM_CONTAINER, 16000).max_packet_size == 16000


def test_splitter_hands_out_payloads_as_they_become_whole() -> None:
    splitter = _codec.Splitter(MAGIC_FROM_WEB_SERVER)
    assert splitter.take() is None
    splitter.finish()
    splitter.feed(_codec.CPING + _codec.END_OF_BODY + b"\x12\x34\x00\x00" + b"\x12")
    assert [splitter.take() for _ in range(4)] == [b"\x0a", b"\0\0", b"", None]
    assert splitter.buffered == 1
    for byte in b"\x34\x00\x01":
        splitter.feed(bytes((byte,)))
        assert splitter.take() is None
    splitter.feed(memoryview(b"\x0a"))
    assert splitter.take() == b"\x0a"
    assert splitter.buffered == 0
    splitter.finish()


@pytest.mark.parametrize(
    ("stream", "code", "offset"),
    [
        (b"\x41", "E_MAGIC", 0),
        (b"\x12\x35", "E_MAGIC", 1),
        (b"\x12\x34\x1f\xfd", "E_TOO_LARGE", 2),
    ],
)
def test_splitter_decides_as_early_as_it_can(stream: bytes, code: str, offset: int) -> None:
    splitter = _codec.Splitter(MAGIC_FROM_WEB_SERVER)
    for byte in stream[:-1]:
        splitter.feed(bytes((byte,)))
        assert splitter.take() is None
    splitter.feed(stream[-1:])
    error = refusal(splitter.take)
    assert (error.code, error.offset, error.packet_type) == (code, offset, None)
    for call in (splitter.take, splitter.finish, lambda: splitter.feed(b"")):
        assert refusal(call) is error


def test_packets_before_a_broken_one_are_handed_out() -> None:
    splitter = _codec.Splitter(MAGIC_FROM_WEB_SERVER)
    splitter.feed(_codec.CPING + b"GET / HTTP/1.1\r\n")
    assert splitter.take() == b"\x0a"
    assert refusal(splitter.take).code == "E_MAGIC"


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (b"\x12", "E_TRUNCATED"),
        (b"\x12\x34\x00\x02\x00", "E_TRUNCATED"),
        (b"\x13", "E_MAGIC"),
        (b"\x12\x34\xff\xff", "E_TOO_LARGE"),
    ],
)
def test_end_of_stream_inside_a_packet(stream: bytes, code: str) -> None:
    splitter = _codec.Splitter(MAGIC_FROM_WEB_SERVER)
    splitter.feed(stream)
    error = refusal(splitter.finish)
    assert error.code == code
    assert refusal(splitter.take) is error
