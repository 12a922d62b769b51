"""The end that answers requests, alone against bytes."""

import pytest

from ajp import _codec
from ajp.connection import CLOSED, NEED_DATA, PAUSED, ContainerConnection, State
from ajp.constants import Tolerate
from ajp.errors import LocalProtocolError
from ajp.messages import (
    CPing,
    CPong,
    ForwardRequest,
    GetBodyChunk,
    RequestBody,
    SendBodyChunk,
    SendHeaders,
)
from tests.unit.connection_ends import (
    DROP,
    GET,
    KEEP,
    OK,
    Send,
    container_in,
    drain,
    fails,
    feed,
    fragmented,
    post,
    refuses,
    web_server_in,
)


def test_pings_are_answered_one_by_one() -> None:
    connection = ContainerConnection()
    connection.receive(_codec.CPING * 2 + _codec.encode(GET))
    for _ in range(2):
        assert drain(connection) == ([CPing()], PAUSED)
        assert connection.send(CPong()) == bytes.fromhex("4142 0001 09")
    assert drain(connection) == ([GET], PAUSED)


def test_length_is_found_in_any_spelling() -> None:
    connection = ContainerConnection()
    packet = _codec.encode(post(9)).replace(b"\xa0\x08", b"\x00\x0eContent-LENGTH\x00")
    payload = packet[4:]
    feed(connection, packet[:2] + len(payload).to_bytes(2, "big") + payload)
    assert connection.owed


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("0006 68656c6c6f21", "E_BODY_OVERRUN"),
        ("0000", "E_BODY_SHORT"),
        ("", "E_BODY_SHORT"),
        ("0005 68656c6c", "E_BODY_LEN"),
        ("0a", "E_SHORT_FIELD"),
    ],
)
@fragmented
def test_body_that_is_not_what_was_announced(body: str, code: str, delivery: Send) -> None:
    payload = bytes.fromhex(body)
    packet = b"\x12\x34" + len(payload).to_bytes(2, "big") + payload
    for state in (State.WAITING, State.RESPONDING):
        connection = container_in(state, post(5))
        for piece in delivery(packet):
            connection.receive(piece)
        fails(connection, code)
        answered = connection.send_refusal(400, b"") != b""
        assert answered is (state is State.WAITING)


@fragmented
def test_end_of_body_is_read_in_both_spellings(delivery: Send) -> None:
    for packet in ("1234 0000", "1234 0002 0000"):
        connection = container_in(State.WAITING)
        connection.send(GetBodyChunk(8186))
        assert feed(connection, bytes.fromhex(packet), delivery) == [RequestBody()]
        assert connection.body_complete
        assert connection.body_allowance == 0


def test_body_packet_may_be_larger_than_was_asked_for() -> None:
    connection = container_in(State.WAITING)
    connection.send(GetBodyChunk(1))
    assert feed(connection, _codec.encode(RequestBody(b"hello"))) == [RequestBody(b"hello")]


def test_whole_packet_may_be_asked_for_though_less_is_left() -> None:
    connection = container_in(State.WAITING, post(5))
    feed(connection, _codec.encode(RequestBody(b"h")))
    assert connection.body_allowance == 4
    connection.send(GetBodyChunk(8186))
    for size in (0, 8187, 65535):
        refuses(container_in(State.WAITING), GetBodyChunk(size))


def test_nothing_is_asked_for_while_a_packet_is_owed() -> None:
    announced = container_in(State.WAITING, post(5))
    asked = container_in(State.WAITING)
    asked.send(GetBodyChunk(5))
    for connection in (announced, asked):
        assert connection.body_allowance == 0
        refuses(connection, GetBodyChunk(5))


def test_connection_with_an_unread_body_packet_is_not_kept() -> None:
    connection = container_in(State.RESPONDING, post(5))
    refuses(connection, KEEP)
    feed(connection, _codec.encode(RequestBody(b"hello")))
    connection.send(KEEP)
    assert connection.is_idle
    connection = container_in(State.RESPONDING, post(5))
    connection.send(DROP)
    assert connection.state is State.CLOSED
    assert not connection.owed


@fragmented
def test_smuggled_request_is_read_as_the_body_it_is(delivery: Send) -> None:
    smuggled = _codec.encode(ForwardRequest(uri=b"/admin"))
    body = RequestBody(smuggled[6:])  # now its type and method are read as the length
    packet = smuggled[:4] + len(body.data).to_bytes(2, "big") + body.data
    connection = container_in(State.WAITING, post(len(body.data)))
    assert feed(connection, packet, delivery) == [body]
    connection.send(OK)
    connection.send(KEEP)
    assert connection.next_event() is NEED_DATA


@pytest.mark.parametrize(
    "stray",
    [
        _codec.encode(ForwardRequest(uri=b"/admin")),
        _codec.encode(RequestBody(b"x")),
        _codec.CPING[:3],
        _codec.CPING * 2,
        _codec.CPING + b"\x12",
        _codec.SHUTDOWN,
        b"ABCDE",
        b"\x12\x34\x00\x00\x12",
    ],
)
@fragmented
def test_bytes_nobody_asked_for_end_the_connection(stray: bytes, delivery: Send) -> None:
    connection = container_in(State.RESPONDING)
    assert not connection.has_unsolicited
    assert feed(connection, stray, delivery) == []
    assert connection.next_event() is PAUSED
    assert connection.has_unsolicited
    assert connection.body_allowance == 0
    refuses(connection, GetBodyChunk(5))
    refuses(connection, KEEP)
    connection.send(SendBodyChunk(b"answer"))
    connection.send(DROP)
    assert not connection.has_unsolicited
    assert connection.next_event() is CLOSED


@fragmented
def test_ping_within_an_exchange_waits_its_turn(delivery: Send) -> None:
    """Undertow's client can queue one behind a request."""
    connection = container_in(State.RESPONDING)
    assert feed(connection, _codec.CPING, delivery) == []
    assert not connection.has_unsolicited
    connection.send(GetBodyChunk(5))
    assert feed(connection, _codec.encode(RequestBody(b"hello"))) == [RequestBody(b"hello")]
    assert not connection.has_unsolicited
    connection.send(KEEP)
    assert connection.next_event() == CPing()
    assert connection.send(CPong()) == _codec.CPONG
    assert connection.next_event() is NEED_DATA


def test_bytes_behind_an_owed_packet_wait_until_it_was_read() -> None:
    connection = container_in(State.WAITING, post(5))
    connection.receive(_codec.encode(RequestBody(b"hello")) + _codec.encode(GET))
    assert not connection.has_unsolicited
    assert drain(connection) == ([RequestBody(b"hello")], PAUSED)
    assert connection.has_unsolicited


def test_flood_of_bytes_nobody_asked_for_is_not_stored() -> None:
    connection = container_in(State.WAITING)
    for _ in range(100):
        connection.receive(b"\x12" * 4096)
    assert connection._splitter.buffered == 8192
    connection.receive(b"")
    fails(connection, "E_EOF")


def test_limits_reach_the_decoder() -> None:
    request = ForwardRequest(headers=((b"a", b"1"), (b"b", b"2")))
    connection = ContainerConnection(max_headers=1)
    connection.receive(_codec.encode(request))
    fails(connection, "E_HEADER_COUNT")
    packet = bytearray(_codec.encode(ForwardRequest(is_ssl=True)))
    at = packet.index(b"\x00\x50\x01") + 2
    packet[at] = 2
    connection = ContainerConnection()
    connection.receive(bytes(packet))
    fails(connection, "E_BOOLEAN")
    connection = ContainerConnection(tolerate=Tolerate.BOOLEAN)
    assert feed(connection, bytes(packet)) == [ForwardRequest(is_ssl=True)]


# --- container: refusals --------------------------------------------------------------------------


def invalid_request() -> bytes:
    return _codec.encode(GET)[:5] + b"\x63" + _codec.encode(GET)[6:]  # method code 99


@pytest.mark.parametrize(
    ("stream", "code"),
    [(invalid_request(), "E_METHOD"), (b"\x12\x34\x1f\xfd", "E_TOO_LARGE")],
)
@fragmented
def test_invalid_request_is_answered_once(stream: bytes, code: str, delivery: Send) -> None:
    connection = ContainerConnection()
    for piece in delivery(stream):
        connection.receive(piece)
    assert connection.send_refusal() == b""
    fails(connection, code)
    with pytest.raises(LocalProtocolError):
        connection.send_refusal(100)
    assert feed(web_server_in(State.WAITING), connection.send_refusal()) == [
        SendHeaders(400, b"400"),
        DROP,
    ]
    assert connection.send_refusal() == b""
    assert connection.state is State.DEAD


def test_refusal_says_what_it_is_told() -> None:
    connection = ContainerConnection()
    connection.receive(invalid_request())
    fails(connection, "E_METHOD")
    refusal = connection.send_refusal(503, b"Busy")
    assert feed(web_server_in(State.WAITING), refusal) == [SendHeaders(503, b"Busy"), DROP]


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        ("4142 0001 0a", "E_MAGIC"),
        ("1234 0001 07", "E_TYPE"),
        ("1234 0001 08", "E_TYPE"),
        ("1234 0001 63", "E_TYPE"),
        ("1234 0000", "E_EMPTY"),
        ("1234 0002 0a00", "E_TRAILING"),
    ],
)
def test_what_is_no_request_is_not_answered(stream: str, code: str) -> None:
    connection = ContainerConnection()
    connection.receive(bytes.fromhex(stream))
    fails(connection, code)
    assert connection.send_refusal() == b""


@pytest.mark.parametrize(("stream", "code"), [(b"AB", "E_MAGIC"), (b"", "E_EOF")])
def test_broken_stream_within_an_exchange_is_not_answered(stream: bytes, code: str) -> None:
    connection = container_in(State.WAITING, post(5))
    connection.receive(stream)
    fails(connection, code)
    assert connection.send_refusal() == b""


def test_oversize_body_packet_is_answered_before_the_headers_only() -> None:
    for state, answered in ((State.WAITING, True), (State.RESPONDING, False)):
        connection = container_in(state, post(9000))
        connection.receive(b"\x12\x34\x1f\xfd")
        fails(connection, "E_TOO_LARGE")
        assert (connection.send_refusal(413) != b"") is answered
