"""Whole exchanges between the two ends."""

import pytest

from ajp.connection import NEED_DATA, PAUSED
from ajp.messages import CPing, CPong, GetBodyChunk, RequestBody, SendBodyChunk, SendHeaders
from tests.unit.connection_ends import (
    GET,
    KEEP,
    OK,
    PUSH,
    ConnectionPair,
    Send,
    bytewise,
    fragmented,
    post,
    refuses,
    whole,
)


@pytest.fixture(params=[whole, bytewise])
def pair(request: pytest.FixtureRequest) -> ConnectionPair:
    """Both ends, with a wire that delivers in one piece or byte by byte."""
    return ConnectionPair(request.param)


def test_keep_alive_with_pings_between_requests(pair: ConnectionPair) -> None:
    for _ in range(2):
        pair.ask(CPing())
        pair.answer(CPong())
        pair.ask(GET)
        assert pair.container.body_complete
        assert pair.container.body_allowance == 0
        pair.answer(OK, SendBodyChunk(b"hello"), SendBodyChunk(), KEEP)
        assert pair.web_server.is_reusable
        assert pair.container.is_idle


def test_body_of_known_length_over_several_packets(pair: ConnectionPair) -> None:
    pair.ask(post(10000))
    assert pair.web_server.owed
    assert pair.web_server.body_allowance == 8186
    assert pair.container.owed
    assert pair.container.next_event() is NEED_DATA
    pair.ask(RequestBody(b"a" * 8186))
    assert not pair.web_server.owed
    assert not pair.container.body_complete
    assert pair.container.body_allowance == 1814
    pair.answer(GetBodyChunk(1814))
    assert pair.web_server.body_allowance == 1814
    pair.ask(RequestBody(b"b" * 1814))
    assert pair.web_server.body_complete
    assert pair.container.body_complete
    assert pair.container.next_event() is PAUSED
    refuses(pair.container, GetBodyChunk(1))
    pair.answer(OK, KEEP)
    assert pair.web_server.is_reusable


def test_body_of_unknown_length(pair: ConnectionPair) -> None:
    pair.ask(PUSH)
    assert not pair.web_server.owed
    assert pair.web_server.body_allowance == 0
    assert pair.container.next_event() is PAUSED
    assert pair.container.body_allowance == 8186
    pair.answer(GetBodyChunk(3))
    assert pair.web_server.body_allowance == 3
    assert "3 bytes" in refuses(pair.web_server, RequestBody(b"hell"))
    pair.ask(RequestBody(b"hel"))
    refuses(pair.web_server, RequestBody(b"lo"))
    pair.answer(GetBodyChunk(8186))
    pair.ask(RequestBody(b"lo"))
    pair.answer(GetBodyChunk(8186))
    pair.ask(RequestBody())
    assert pair.container.body_complete
    assert pair.web_server.body_complete
    refuses(pair.container, GetBodyChunk(8186))
    pair.answer(OK, KEEP)
    assert pair.web_server.is_reusable


def test_body_and_response_interleave(pair: ConnectionPair) -> None:
    pair.ask(PUSH)
    pair.answer(OK, GetBodyChunk(5), SendBodyChunk(b"1"), SendBodyChunk())
    pair.ask(RequestBody(b"hello"))
    pair.answer(SendBodyChunk(b"2"), GetBodyChunk(5))
    pair.ask(RequestBody())
    pair.answer(SendBodyChunk(b"3"), KEEP)
    assert pair.web_server.is_reusable
    assert pair.container.is_idle


@fragmented
def test_larger_packets_carry_more(delivery: Send) -> None:
    pair = ConnectionPair(delivery, 65536)
    pair.ask(post(70000))
    assert pair.web_server.body_allowance == 65530
    pair.ask(RequestBody(b"x" * 65530))
    pair.answer(GetBodyChunk(pair.container.body_allowance), OK, SendBodyChunk(b"y" * 65528))
    assert pair.web_server.body_allowance == 4470


def test_early_answer_to_a_large_upload_keeps_the_connection(pair: ConnectionPair) -> None:
    pair.ask(post(10_000_000), RequestBody(b"a" * 8186))
    pair.answer(SendHeaders(413, b""), KEEP)
    assert pair.web_server.is_reusable
    assert not pair.web_server.body_complete
    pair.ask(GET)
