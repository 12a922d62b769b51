"""The end that sends requests, alone against bytes."""

import pytest

from ajp import _codec
from ajp.connection import CLOSED, MAX_ASKS_AFTER_END, State, WebServerConnection
from ajp.messages import CPing, ForwardRequest, GetBodyChunk, RequestBody, SendBodyChunk
from tests.unit.connection_ends import (
    GET,
    KEEP,
    OK,
    PUSH,
    Send,
    fails,
    feed,
    fragmented,
    post,
    refuses,
    web_server_in,
)

# --- web server: request body ---------------------------------------------------------------------


def test_asking_for_more_than_a_packet_holds_is_clamped() -> None:
    connection = web_server_in(State.WAITING)
    feed(connection, bytes.fromhex("4142 0003 06 fffe"))
    assert connection.body_allowance == 8186


@pytest.mark.parametrize("requested", ["0000", "ffff"])
def test_asking_for_nothing_is_an_error(requested: str) -> None:
    connection = web_server_in(State.WAITING)
    connection.receive(bytes.fromhex("4142 0003 06" + requested))
    fails(connection, "E_REQ_LEN")


def test_first_packet_is_owed_only_when_a_length_was_announced() -> None:
    assert not web_server_in(State.WAITING, GET).owed
    assert not web_server_in(State.WAITING, ForwardRequest()).owed
    refuses(web_server_in(State.WAITING, GET), RequestBody())
    refuses(web_server_in(State.WAITING, GET), RequestBody(b"x"))
    assert web_server_in(State.WAITING, post(1)).body_allowance == 1


def test_request_without_a_body_answers_an_ask_with_the_end() -> None:
    for request in (GET, ForwardRequest()):
        connection = web_server_in(State.WAITING, request)
        feed(connection, _codec.encode(GetBodyChunk(8186)))
        assert connection.owed
        assert connection.send(RequestBody()) == bytes.fromhex("1234 0002 0000")
        assert not connection.owed


def test_body_of_known_length_cannot_end_early() -> None:
    connection = web_server_in(State.WAITING, post(5))
    assert "5 bytes early" in refuses(connection, RequestBody())
    connection.send(RequestBody(b"he"))
    feed(connection, _codec.encode(GetBodyChunk(8186)))
    assert "3 bytes early" in refuses(connection, RequestBody())
    refuses(connection, RequestBody(b"llo!"))
    connection.send(RequestBody(b"llo"))
    assert connection.body_complete


def test_asks_behind_the_end_are_answered_twice() -> None:
    """Behind the last byte of a known length the first ask is none of them."""
    connection = web_server_in(State.WAITING, post(1))
    connection.send(RequestBody(b"x"))
    ask = _codec.encode(GetBodyChunk(8186))
    for _ in range(1 + MAX_ASKS_AFTER_END):
        feed(connection, ask)
        assert connection.owed
        assert connection.body_allowance == 0
        refuses(connection, RequestBody(b"x"))
        assert connection.send(RequestBody()) == _codec.END_OF_BODY
    connection.receive(ask)
    assert fails(connection, "E_STATE").packet_type == 6


def test_count_of_asks_begins_anew_with_each_request() -> None:
    connection = web_server_in(State.WAITING)
    ask = _codec.encode(GetBodyChunk(8186))
    for _ in range(3):
        for _ in range(1 + MAX_ASKS_AFTER_END):
            feed(connection, ask)
            connection.send(RequestBody())
        feed(connection, _codec.encode(OK) + _codec.encode(KEEP))
        connection.send(PUSH)


@pytest.mark.parametrize("request_", [post(5), PUSH], ids=["announced", "asked"])
def test_only_one_body_packet_is_owed_at_a_time(request_: ForwardRequest) -> None:
    connection = web_server_in(State.WAITING, request_)
    ask = _codec.encode(GetBodyChunk(8186))
    if not connection.owed:
        feed(connection, ask)
    connection.receive(ask)
    fails(connection, "E_STATE")


def test_reuse_is_worth_nothing_while_a_body_packet_is_owed() -> None:
    connection = web_server_in(State.RESPONDING, post(5))
    assert feed(connection, _codec.END_RESPONSE_REUSE) == [KEEP]
    assert connection.state is State.CLOSED
    assert not connection.is_idle
    assert not connection.is_reusable
    assert connection.next_event() is CLOSED
    refuses(connection, RequestBody(b"hello"))
    refuses(connection, GET)


# --- web server: responses ------------------------------------------------------------------------


@fragmented
def test_flush_before_the_headers_is_reported_and_changes_nothing(delivery: Send) -> None:
    connection = web_server_in(State.WAITING)
    assert feed(connection, _codec.FLUSH, delivery) == [SendBodyChunk()]
    assert connection.state is State.WAITING


def test_second_answer_without_headers_does_not_inherit_the_first_ones() -> None:
    connection = web_server_in(State.RESPONDING, GET)
    feed(connection, _codec.END_RESPONSE_REUSE)
    connection.send(GET)
    connection.receive(_codec.END_RESPONSE_REUSE)
    fails(connection, "E_STATE")


@pytest.mark.parametrize("stray", [b"A", b"\x12", _codec.FLUSH, _codec.encode(OK)])
def test_bytes_behind_the_response_spoil_the_connection(stray: bytes) -> None:
    connection = web_server_in(State.RESPONDING, GET)
    connection.receive(_codec.END_RESPONSE_REUSE + stray)
    assert connection.next_event() == KEEP
    assert connection.is_idle
    assert not connection.is_reusable
    assert "spoke out of turn" in refuses(connection, GET)
    refuses(connection, CPing())
    fails(connection, "E_STATE")


def test_malformed_packets_keep_their_own_code() -> None:
    for packet, code in (
        ("1234 0001 09", "E_MAGIC"),
        ("4142 1ffd", "E_TOO_LARGE"),
        ("4142 0000", "E_EMPTY"),
        ("4142 0001 07", "E_TYPE"),
        ("4142 0003 03 ffff", "E_CHUNK_LEN"),
    ):
        connection = web_server_in(State.RESPONDING)
        connection.receive(bytes.fromhex(packet))
        fails(connection, code)


def test_a_request_that_cannot_be_encoded_leaves_the_connection_idle() -> None:
    connection = WebServerConnection()
    refuses(connection, ForwardRequest(headers=((b"X-Large", b"x" * 9000),)))
    refuses(connection, ForwardRequest(headers=((b"Content-Length", b"+1"),)))
    assert connection.send(GET) == _codec.encode(GET)
