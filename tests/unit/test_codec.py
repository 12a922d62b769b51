"""Encoders, rule by rule; the golden packets are in tests/vectors."""

from typing import Any

import pytest

from ajp import _codec
from ajp.constants import (
    MAGIC_FROM_CONTAINER,
    METHODS,
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    AttributeCode,
)
from ajp.errors import LocalProtocolError
from ajp.messages import (
    Attribute,
    CPing,
    CPong,
    EndResponse,
    ForwardRequest,
    GetBodyChunk,
    Headers,
    Ping,
    RequestBody,
    SendBodyChunk,
    SendHeaders,
    Shutdown,
)


def request(*headers: tuple[bytes, bytes], **fields: Any) -> ForwardRequest:
    return ForwardRequest(headers=headers, **fields)


def with_attributes(*attributes: Attribute) -> ForwardRequest:
    return ForwardRequest(attributes=attributes)


def string(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value + b"\0"


# --- fixed packets --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "packet"),
    [
        (CPing(), "1234 0001 0a"),
        (CPong(), "4142 0001 09"),
        (Ping(), "1234 0001 08"),
        (Shutdown(), "1234 0001 07"),
        (RequestBody(), "1234 0002 0000"),
        (SendBodyChunk(), "4142 0004 03 0000 00"),
        (EndResponse(reuse=True), "4142 0002 05 01"),
        (EndResponse(reuse=False), "4142 0002 05 00"),
        (GetBodyChunk(8186), "4142 0003 06 1ffa"),
        (RequestBody(b"abc"), "1234 0005 0003 616263"),
        (SendBodyChunk(b"a\0"), "4142 0006 03 0002 6100 00"),
        (SendHeaders(200, b"OK"), "4142 000a 04 00c8 0002 4f4b 00 0000"),
        (SendHeaders(404, None), "4142 0007 04 0194 ffff 0000"),
    ],
)
def test_message_is_written_as(message: Any, packet: str) -> None:
    assert _codec.encode(message) == bytes.fromhex(packet)


def test_constants_are_the_packets_of_their_messages() -> None:
    assert _codec.encode(CPing()) is _codec.CPING
    assert _codec.encode(CPong()) is _codec.CPONG
    assert _codec.encode(RequestBody()) is _codec.END_OF_BODY
    assert _codec.encode(SendBodyChunk()) is _codec.FLUSH
    assert _codec.encode(EndResponse(reuse=True)) is _codec.END_RESPONSE_REUSE
    assert _codec.encode(EndResponse(reuse=False)) is _codec.END_RESPONSE_CLOSE


def test_only_messages_can_be_encoded() -> None:
    with pytest.raises(TypeError, match="not bytes"):
        _codec.encode(b"\x12\x34")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, 8191, 65537])
def test_packet_size_has_bounds(size: int) -> None:
    for message in (ForwardRequest(), RequestBody(b"x"), SendHeaders(200), GetBodyChunk(1)):
        with pytest.raises(ValueError, match="8192-65536"):
            _codec.encode(message, size)
    with pytest.raises(ValueError, match="8192-65536"):
        _codec.Splitter(MAGIC_FROM_CONTAINER, size)


# --- FORWARD_REQUEST: encode ----------------------------------------------------------------------


def test_request_of_a_browser() -> None:
    """The worked example of the protocol description."""
    message = ForwardRequest(
        method=b"POST",
        uri=b"/p",
        remote_addr=b"127.0.0.1",
        server_name=b"localhost",
        headers=((b"host", b"localhost"), (b"content-length", b"3")),
        attributes=(
            Attribute(AttributeCode.SECRET, b"k"),
            Attribute(AttributeCode.QUERY_STRING, b"x=1"),
        ),
    )
    assert _codec.encode(message) == bytes.fromhex(
        "12340052 0204 0008 485454502f312e31 00 0002 2f70 00 0009 3132372e302e302e31 00 ffff"
        "0009 6c6f63616c686f7374 00 0050 00 0002 a00b 0009 6c6f63616c686f7374 00 a008 0001 33 00"
        "0c 0001 6b 00 05 0003 783d31 00 ff"
    )


@pytest.mark.parametrize("name", REQUEST_HEADERS[1:])
def test_known_request_headers_are_coded_in_any_case(name: bytes) -> None:
    code = REQUEST_HEADERS.index(name)
    for spelling in (name, name.upper(), name.title()):
        packet = _codec.encode(request((spelling, b"1")))
        assert b"\0\1\xa0" + bytes((code,)) + string(b"1") in packet
        message = _codec.decode_from_web_server(packet[4:])
        assert isinstance(message, ForwardRequest)
        assert message.headers == ((name, b"1"),)


@pytest.mark.parametrize("name", RESPONSE_HEADERS[1:])
def test_known_response_headers_are_coded_in_any_case(name: bytes) -> None:
    code = RESPONSE_HEADERS.index(name)
    for spelling in (name, name.upper(), name.lower()):
        packet = _codec.encode(SendHeaders(200, b"", ((spelling, b"1"),)))
        assert packet.endswith(b"\0\1\xa0" + bytes((code,)) + string(b"1"))
        assert _codec.decode_from_container(packet[4:]) == SendHeaders(200, b"", ((name, b"1"),))


def test_unknown_headers_keep_spelling_and_order() -> None:
    headers: Headers = ((b"X-B", b"1"), (b"x-a", b""), (b"X-B", b"2\t3"), (b"Hos", b"h"))
    for message in (request(*headers), SendHeaders(200, b"", headers)):
        packet = _codec.encode(message)
        assert string(b"X-B") + string(b"1") + string(b"x-a") + string(b"") in packet
    assert _codec.decode_from_web_server(_codec.encode(request(*headers))[4:]) == request(*headers)


@pytest.mark.parametrize("method", METHODS[1:])
def test_known_methods_have_a_code(method: bytes) -> None:
    packet = _codec.encode(ForwardRequest(method))
    assert packet[5] == METHODS.index(method)
    assert bytes((AttributeCode.STORED_METHOD,)) + string(method) not in packet


@pytest.mark.parametrize("method", [b"PATCH", b"get", b"GETS", b"GE", b"BASELINE_CONTROL"])
def test_other_methods_are_stored(method: bytes) -> None:
    packet = _codec.encode(ForwardRequest(method))
    assert packet[5] == 0xFF
    assert packet.endswith(b"\x0d" + string(method) + b"\xff")
    assert _codec.decode_from_web_server(packet[4:]) == ForwardRequest(method)


def test_stored_method_stands_before_the_named_attributes() -> None:
    """Where mod_jk writes it."""
    message = ForwardRequest(
        b"PATCH",
        attributes=(
            Attribute(AttributeCode.SECRET, b"k"),
            Attribute(AttributeCode.REQ_ATTRIBUTE, b"v", b"n"),
        ),
    )
    tail = (
        b"\x0c" + string(b"k") + b"\x0d" + string(b"PATCH") + b"\x0a" + string(b"n") + string(b"v")
    )
    packet = _codec.encode(message)
    assert packet.endswith(tail + b"\xff")
    assert _codec.decode_from_web_server(packet[4:]) == message


def test_null_and_empty_are_different() -> None:
    message = ForwardRequest(
        protocol=None,
        remote_addr=b"",
        server_name=None,
        attributes=(
            Attribute(AttributeCode.QUERY_STRING, b""),
            Attribute(AttributeCode.ROUTE, None),
            Attribute(AttributeCode.REQ_ATTRIBUTE, None, b"a"),
            Attribute(AttributeCode.REQ_ATTRIBUTE, b"", b"b"),
        ),
    )
    assert _codec.decode_from_web_server(_codec.encode(message)[4:]) == message


@pytest.mark.parametrize(
    "message",
    [
        # a string too long to have a length
        request((b"X", b"v" * 65535)),
        ForwardRequest(uri=b"/" * 65535),
        # a name that would be read as a code
        request((b"x" * 0xA000, b"v")),
        request((b"x" * 256, b"v")),
        # names
        request((b"X A", b"v")),
        request((b"", b"v")),
        request((b"X\r\nY", b"v")),
        request((b"Content-Length:", b"1")),
        request((b"X\0", b"v")),
        # values
        request((b"X", b"a\rb")),
        request((b"X", b"a\nb")),
        request((b"X", b"a\0b")),
        request((b"host", b"a\0b")),
        request((b"X", None)),  # type: ignore[arg-type]
        # what C peers would cut
        ForwardRequest(uri=b"/a\0b"),
        ForwardRequest(uri=b""),
        ForwardRequest(protocol=b"HTTP\0"),
        ForwardRequest(server_name=b"h\0"),
        with_attributes(Attribute(AttributeCode.QUERY_STRING, b"a\0")),
        with_attributes(Attribute(AttributeCode.REQ_ATTRIBUTE, b"a\0", b"n")),
        with_attributes(Attribute(AttributeCode.REQ_ATTRIBUTE, b"v", b"n\0")),
        # methods
        ForwardRequest(b"GE T"),
        ForwardRequest(b""),
        ForwardRequest(b"GET\0"),
        ForwardRequest(None),  # type: ignore[arg-type]
        # numbers
        ForwardRequest(server_port=-1),
        ForwardRequest(server_port=65536),
        with_attributes(Attribute(AttributeCode.SSL_KEY_SIZE, -1)),
        with_attributes(Attribute(AttributeCode.SSL_KEY_SIZE, 65536)),
        with_attributes(Attribute(AttributeCode.SSL_KEY_SIZE, b"256")),
        # lengths that contradict
        request((b"content-length", b"1"), (b"Content-Length", b"1")),
        request((b"content-length", b"1"), (b"Transfer-Encoding", b"chunked")),
        request((b"content-length", b"+1")),
        request((b"content-length", b"")),
        request((b"content-length", b"9223372036854775808")),
        # attributes
        with_attributes(
            Attribute(AttributeCode.SECRET, b"a"), Attribute(AttributeCode.SECRET, b"b")
        ),
        with_attributes(Attribute(AttributeCode.STORED_METHOD, b"GET")),
        with_attributes(Attribute(14, b"x")),  # type: ignore[arg-type]
        with_attributes(Attribute(AttributeCode.REQ_ATTRIBUTE, b"v", b"")),
        with_attributes(Attribute(AttributeCode.REQ_ATTRIBUTE, b"v")),
    ],
)
def test_request_that_cannot_be_said(message: ForwardRequest) -> None:
    with pytest.raises(LocalProtocolError):
        _codec.encode(message, 65536)


def test_header_count_is_sixteen_bits() -> None:
    with pytest.raises(LocalProtocolError):
        _codec.encode(request(*[(b"a", b"")] * 65536), 65536)


def test_text_is_bytes() -> None:
    for message in (
        ForwardRequest(uri="/"),  # type: ignore[arg-type]
        request((b"a", "b")),  # type: ignore[arg-type]
        with_attributes(Attribute(AttributeCode.SECRET, "s")),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError):
            _codec.encode(message)


def test_largest_request_fits_and_one_byte_more_does_not() -> None:
    base = len(_codec.encode(request((b"X-Large", b""), (b"X-B", b""))))
    for size in (8192, 65536):
        message = request((b"X-B", b""), (b"X-Large", b"v" * min(size - base, 65534)))
        assert len(_codec.encode(message, size)) == size
    message = request((b"X-B", b"b"), (b"X-Large", b"v" * (8192 - base)))
    with pytest.raises(LocalProtocolError) as caught:
        _codec.encode(message)
    error = caught.value
    assert (error.needed, error.limit) == (8193, 8192)
    assert error.largest == ((b"X-Large", 8192 - base + 7 + 6), (b"X-B", 3 + 1 + 6))
    assert "X-Large" in str(error)
    assert "8193" in str(error)
    assert len(_codec.encode(message, 9216)) == 8193


def test_refused_request_names_the_header_but_not_its_value() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        _codec.encode(request((b"Authorization", b"hunter2\n")))
    assert "Authorization" in str(caught.value)
    assert "hunter2" not in str(caught.value)


# --- other encoders -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8192, 16000, 65536])
def test_data_packets_fill_a_packet_and_no_more(size: int) -> None:
    for encoder, overhead in (
        (_codec.encode_request_body, 6),
        (_codec.encode_send_body_chunk, 8),
    ):
        for wrap in (bytes, bytearray, memoryview):
            data = wrap(b"x" * (size - overhead))
            assert len(encoder(data, size)) == size
        with pytest.raises(LocalProtocolError) as caught:
            encoder(b"x" * (size - overhead + 1), size)
        assert (caught.value.needed, caught.value.limit) == (size + 1, size)


def test_no_data_is_a_different_message() -> None:
    for encoder in (_codec.encode_request_body, _codec.encode_send_body_chunk):
        with pytest.raises(LocalProtocolError):
            encoder(b"")


@pytest.mark.parametrize("requested", [-1, 0, 8187, 65535])
def test_ask_that_cannot_be_said(requested: int) -> None:
    with pytest.raises(LocalProtocolError):
        _codec.encode(GetBodyChunk(requested))


def test_asks_that_can_be_said() -> None:
    for requested, size in ((1, 8192), (8186, 8192), (65530, 65536)):
        packet = _codec.encode(GetBodyChunk(requested), size)
        assert _codec.decode_from_container(packet[4:]) == GetBodyChunk(requested)


@pytest.mark.parametrize(
    "message",
    [
        SendHeaders(99),
        SendHeaders(100),
        SendHeaders(199),
        SendHeaders(1000),
        SendHeaders(200, b"O\nK"),
        SendHeaders(200, b"O\rK"),
        SendHeaders(200, b"O\0K"),
        SendHeaders(200, b"", ((b"X A", b"v"),)),
        SendHeaders(200, b"", ((b"", b"v"),)),
        SendHeaders(200, b"", ((b"x" * 0xA000, b"v"),)),
        SendHeaders(200, b"", ((b"X", b"a\r\nb"),)),
        SendHeaders(200, b"", ((b"X", b"a\0b"),)),
        SendHeaders(200, b"", ((b"Location", b"/\n"),)),
        SendHeaders(200, b"", ((b"X", None),)),  # type: ignore[arg-type]
        SendHeaders(200, b"", ((b"X", b"v" * 65535),)),
    ],
)
def test_response_that_cannot_be_said(message: SendHeaders) -> None:
    with pytest.raises(LocalProtocolError):
        _codec.encode(message, 65536)


def test_response_that_does_not_fit_is_not_cut() -> None:
    message = SendHeaders(200, b"", ((b"X-Large", b"v" * 9000), (b"X", b"")))
    with pytest.raises(LocalProtocolError) as caught:
        _codec.encode(message)
    assert caught.value.needed == 9000 + 32
    assert caught.value.limit == 8192
    assert caught.value.largest[0] == (b"X-Large", 9013)
    assert len(_codec.encode(message, 65536)) == caught.value.needed
