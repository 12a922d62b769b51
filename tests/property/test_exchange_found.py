"""What the exchange's machine found, made small by hand."""

import pytest

from ajp import _codec
from ajp.messages import SendHeaders
from tests.property.exchange_checks import check
from tests.property.exchange_stage import READ, ClientEnd, ContainerEnd, Play
from tests.property.exchange_wire import Request
from tests.property.test_exchange_checks import END, answer, ask, set_up


def stall(client: ClientEnd, *, high: int = 65536) -> None:
    client.transport.is_stalled = True
    client.transport.set_write_buffer_limits(high)


def pipeline(client: ClientEnd, *paths: bytes, padding: int = 0) -> None:
    for path in paths:
        number = len(client.requests) + 1
        client.enqueue(Request.make(number, b"GET", path, padding=padding))


def test_nothing_begins_behind_a_broken_response() -> None:
    """Its bytes would be taken for the rest of the body."""
    play = Play()
    client, end = set_up(play)
    stall(client, high=0)
    pipeline(client, b"/", b"/nowhere")
    client.send(READ)
    fields = ((b"X-Serial", b"0"), (b"Content-Length", b"400"))
    end.outbox += _codec.encode_send_headers(SendHeaders(200, b"", fields))
    end.outbox += _codec.encode_send_body_chunk(b"x") + END
    end.send(READ)
    assert client.transport.closed_by == "us"
    client.transport.take()
    check(play)
    play.end()


def test_requests_of_a_client_that_takes_no_answer_are_bounded() -> None:
    play = Play()
    client = play.connect_client()
    stall(client, high=0)
    pipeline(client, b"/nowhere")
    client.send(READ)
    pipeline(client, *[b"/"] * 50, padding=6000)
    for _ in range(5):
        client.send(READ)
    check(play)
    play.end()


@pytest.mark.parametrize("ends", [b"", END])
def test_a_late_client_can_tell_that_its_response_was_cut_short(ends: bytes) -> None:
    """Of a response that ends with the connection."""
    play = Play()
    client, end = set_up(play)
    stall(client)
    ask(client, minor=0)
    answer(end, size=70_000, ends=ends)
    play.pass_time([client.front])
    check(play)
    play.end()


def test_a_half_closed_client_can_tell_that_its_response_was_cut_short() -> None:
    play = Play()
    client, end = set_up(play)
    ask(client, minor=0)
    answer(end, ends=b"")
    client.transport.eof()
    play.pass_time([client.front])
    check(play)
    play.end()


def test_the_last_clients_can_tell_that_their_responses_were_cut_short() -> None:
    play = Play()
    client, end = set_up(play)
    ask(client, minor=0)
    answer(end, ends=b"")
    play.drain()
    play.abort(client)
    check(play)
    play.end()


def test_nothing_is_refused_behind_a_hard_close() -> None:
    """The head of a pipelined request may be late then, too."""
    play = Play()
    client, end = set_up(play)
    ask(client, minor=0)
    ask(client)
    answer(end, ends=b"")
    end.outbox += _codec.CPONG
    end.send(READ)
    assert client.transport.end == "rst"
    play.pass_time([client.front])
    check(play)
    play.end()


def test_a_page_takes_the_place_of_a_head_that_waited() -> None:
    """And of its deadline."""
    play = Play()
    client, end = set_up(play)
    ask(client)
    answer(end, size=0, ends=b"")
    end.outbox += _codec.CPONG
    end.send(READ)
    client.transport.reset()
    client.transport.lose()
    check(play)
    play.end()


def whole_but_for_its_end() -> tuple[Play, ContainerEnd]:
    play = Play()
    client, end = set_up(play)
    ask(client, b"HEAD")
    answer(end, size=0, ends=_codec.FLUSH)
    client.transport.reset()
    client.transport.lose()
    check(play)
    return play, end


def test_an_end_that_comes_for_nobody_is_waited_for_no_longer() -> None:
    play, end = whole_but_for_its_end()
    end.outbox += END
    end.send(READ)
    check(play)
    play.end()


def test_a_loss_that_comes_for_nobody_is_waited_for_no_longer() -> None:
    play, end = whole_but_for_its_end()
    end.transport.reset()
    end.transport.lose()
    check(play)
    play.end()
