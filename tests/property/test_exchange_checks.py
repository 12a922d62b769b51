"""The exchange's stage objects: what is broken on purpose is found out, what is not is let pass."""

from collections.abc import Callable
from typing import Any

import pytest

from ajp import _codec
from ajp._endpoint import Attempt, Endpoint
from ajp.messages import SendHeaders
from tests.property.exchange_checks import check
from tests.property.exchange_stage import READ, ClientEnd, ContainerEnd, Play, Worker
from tests.property.exchange_wire import Request, text

END = _codec.END_RESPONSE_REUSE


def set_up(play: Play) -> tuple[ClientEnd, ContainerEnd]:
    return play.connect_client(), play.connect_container()


def ask(client: ClientEnd, method: bytes = b"GET", **shape: Any) -> None:
    client.enqueue(Request.make(len(client.requests) + 1, method, b"/", **shape))
    client.send(READ)


def answer(end: ContainerEnd, *, serial: int = 0, size: int = 10, ends: bytes = END) -> None:
    fields = ((b"X-Serial", b"%d" % serial),)
    end.outbox += _codec.encode_send_headers(SendHeaders(200, b"", fields))
    body = text(serial + 500, size)
    for at in range(0, size, 8184):
        end.outbox += _codec.encode_send_body_chunk(body[at : at + 8184])
    end.outbox += ends
    while end.outbox and end.transport.can_read:
        end.send(READ)


def test_what_is_right_is_let_pass() -> None:
    play = Play()
    client, end = set_up(play)
    for serial in range(3):
        ask(client, b"POST", size=20_000)
        while len(play.forwards[serial].body) < 20_000:
            end.outbox += _codec.encode_get_body_chunk(8186)
            end.send(READ)
            check(play)
        answer(end, serial=serial, size=20_000)
        check(play)
    assert [len(each.body) for each in client.answers.all] == [20_000] * 3
    play.end()


class _Twice(Worker):
    def endpoint_released(self, endpoint: Endpoint) -> None:
        super().endpoint_released(endpoint)
        super().endpoint_released(endpoint)


class _Forgetful(Worker):
    def cancel(self, attempt: Attempt) -> bool:
        return attempt in self.waiting


class _Deaf(Worker):
    def endpoint_lost(self, endpoint: Endpoint) -> None:
        """Says nothing to anybody."""


class _Eager(Worker):
    """Plays a request again without having been asked."""

    def endpoint_lost(self, endpoint: Endpoint) -> None:
        user = self.ends[endpoint].user
        super().endpoint_lost(endpoint)
        if user is not None and self.idle:
            self._give(self.idle.pop(), user)


def with_worker(worker: type[Worker]) -> Play:
    class Broken(Play):
        worker_type = worker

    return Broken()


def test_an_endpoint_that_is_released_twice_is_found_out() -> None:
    play = with_worker(_Twice)
    client, end = set_up(play)
    ask(client)
    with pytest.raises(AssertionError, match="twice"):
        answer(end)


def test_a_waiter_that_stays_is_found_out() -> None:
    play = with_worker(_Forgetful)
    client = play.connect_client()
    ask(client)
    client.transport.reset()
    client.transport.lose()
    with pytest.raises(AssertionError, match="waits"):
        check(play)


def test_a_loss_that_is_not_told_is_found_out() -> None:
    play = with_worker(_Deaf)
    client, end = set_up(play)
    ask(client)
    end.transport.reset()
    end.transport.lose()
    with pytest.raises(AssertionError, match="not told"):
        check(play)


def test_a_post_that_is_played_again_is_found_out() -> None:
    play = with_worker(_Eager)
    client, end = set_up(play)
    ask(client, b"POST")
    play.connect_container()
    end.transport.reset()
    with pytest.raises(AssertionError, match="started twice"):
        end.transport.lose()


def stalled(client: ClientEnd, end: ContainerEnd) -> None:
    client.transport.is_stalled = True
    ask(client)
    answer(end, size=70_000, ends=b"")


def test_a_container_that_is_read_for_a_client_that_does_not_is_found_out() -> None:
    play = Play()
    client, end = set_up(play)
    end.transport.pause_reading = lambda: None  # type: ignore[method-assign]
    stalled(client, end)
    with pytest.raises(AssertionError, match="is read for a client"):
        check(play)


def test_a_container_that_is_never_read_again_is_found_out() -> None:
    play = Play()
    client, end = set_up(play)
    end.transport.resume_reading = lambda: None  # type: ignore[method-assign]
    stalled(client, end)
    check(play)
    client.transport.take()
    with pytest.raises(AssertionError, match="nobody waits"):
        check(play)


def test_a_client_that_is_never_paused_is_found_out() -> None:
    play = Play()
    client = play.connect_client()
    client.transport.pause_reading = lambda: None  # type: ignore[method-assign]
    ask(client, b"POST", size=400_000)
    for _ in range(6):
        client.send(READ)
    with pytest.raises(AssertionError, match="of upload are queued"):
        check(play)


def test_input_without_bound_is_found_out() -> None:
    play = Play()
    client = play.connect_client()
    client.transport.pause_reading = lambda: None  # type: ignore[method-assign]
    for _ in range(30):
        ask(client, padding=6000)
    with pytest.raises(AssertionError, match="of later requests are kept"):
        check(play)


def test_a_broken_response_that_looks_complete_is_found_out() -> None:
    play = Play()
    client, end = set_up(play)
    # The reset that tells it from a whole one does not come about.
    client.transport.setsockopt = lambda *_: None  # type: ignore[method-assign]
    ask(client, minor=0)
    answer(end, ends=b"")
    check(play)
    end.transport.reset()
    end.transport.lose()
    with pytest.raises(AssertionError, match="looks complete"):
        check(play)


def test_an_end_nobody_said_is_found_out() -> None:
    play = Play()
    client, end = set_up(play)
    ask(client)
    answer(end, ends=b"")
    with pytest.raises(AssertionError, match="in the middle"):
        end.endpoint.data_received(END)


def spoilt(spoil: Callable[[bytes], bytes]) -> Play:
    """A response that went wrong on its last yards."""
    play = Play()
    client, end = set_up(play)
    sink = client.transport.sink
    client.transport.sink = lambda data: sink(spoil(data))
    ask(client)
    answer(end)
    check(play)
    return play


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda data: data + data, "the answer to another request"),
        (lambda data: data[:-1], "a line without an end"),
        (lambda data: data.replace(b"\r\na\r\n", b"\r\nb\r\n"), "cut in two|no end of a chunk"),
        (lambda data: data.replace(b"200 OK", b"100 OK"), "an interim response with"),
        (lambda data: data.replace(b"chunked", b"identity"), "identity"),
        (lambda data: data[:-9] + b"\0\0" + data[-7:], "other bytes"),
        (lambda data: data.replace(b"X-Serial", b"Connection: close\r\nX-Serial"), "promised"),
    ],
)
def test_a_wrong_response_is_found_out(spoil: Callable[[bytes], bytes], match: str) -> None:
    with pytest.raises(AssertionError, match=match):
        spoilt(spoil)


def test_another_body_for_the_container_is_found_out() -> None:
    play = Play()
    client, end = set_up(play)
    sink = end.transport.sink
    end.transport.sink = lambda data: sink(data[:-1] + bytes([data[-1] ^ 1]))
    ask(client, b"POST", size=100)
    with pytest.raises(AssertionError, match="another body"):
        check(play)


def test_a_write_after_the_end_is_found_out() -> None:
    play = Play()
    client, end = set_up(play)
    ask(client)
    client.transport.close()
    with pytest.raises(AssertionError, match="written to after close"):
        answer(end)


def test_a_deadline_that_stays_is_found_out() -> None:
    play = Play()
    client = play.connect_client()
    client.transport.reset()
    client.transport.lose()
    check(play)
    play.wheel.set(client.front, 1e9)
    with pytest.raises(AssertionError, match="armed"):
        check(play)
