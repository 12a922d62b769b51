"""What must hold on the exchange's stage after everything that happens.

Plain questions about what both sides got and what is kept meanwhile, asked from outside: nothing of
an exchange's inside is looked at. What can be seen while a byte is written is the readers' business
in `exchange_wire`, who uses which endpoint the worker's in `exchange_stage`.
"""

from ajp._endpoint import Attempt
from tests.property.exchange_stage import READ, ClientEnd, ContainerEnd, Play
from tests.property.exchange_wire import OWN, Answer, Forward

__all__ = ["check"]

INPUT_LIMIT = 65536
QUEUE_HIGH = 131072
PACKET_BODY = 8186
#: Of an error page that waits for the rest of its length.
PAGE_HELD = 32768


def check(play: Play) -> None:
    for client in play.clients:
        _check_ends(play, client)
        _check_answers(play, client)
        if not client.transport.is_lost:
            _check_order(play, client)
            _check_input(play, client)
        for forward in client.forwards:
            _check_body(play, forward, client)
    for end in play.worker.ends.values():
        if end.transport.is_lost:
            assert end.is_lost, "a loss was not told"
            assert end.endpoint.deadline == 0, "a lost endpoint is armed"
        elif end.carries is not None:
            _check_pauses(play, end, play.attempts[end.carries])
            _check_progress(play, end, end.carries)


def _check_ends(play: Play, client: ClientEnd) -> None:
    """How the connection ended, or will."""
    transport, answers = client.transport, client.answers
    if transport.is_lost:
        assert client.front not in play.service.clients
        assert client.front.deadline == 0, "a lost client is armed"
        for attempt, whose in play.attempts.items():
            if whose is client:
                _check_left(play, client, attempt)
    elif transport.closed_by == "us" and not transport.loss:
        assert client.front.deadline > 0 or not play.options["send_timeout"], "closing for ever"
    last = answers.all[-1] if answers.all else None
    if last is None:
        return
    forward = _forward_of(play, last)
    # All of its length may be there before the container says that it is done.
    if last.is_whole and not last.keeps_open and (forward is None or forward.is_ended):
        assert transport.closed_by or transport.said_eof, "promised to close, and did not"
    if last.framing == "close" and transport.end == "fin" and not client.is_gone:
        assert forward is not None
        assert forward.is_ended, "a response the container did not end looks complete"
        assert not transport.is_truncated, "a response that was cut short looks complete"
        assert last.body == forward.response


def _check_left(play: Play, client: ClientEnd, attempt: Attempt) -> None:
    """An exchange whose client is gone has nothing to do, but for the end of a whole response."""
    assert attempt not in play.worker.waiting, "a lost client's exchange waits"
    if attempt.endpoint is None:
        assert attempt.deadline == 0, "a lost client's exchange is armed"
        return
    assert attempt.deadline > 0, "a lost client's exchange keeps an endpoint"
    last = client.answers.all[-1]
    assert last.is_whole, "a lost client's exchange keeps an endpoint for a part of a response"
    assert client.forwards[-1] is _forward_of(play, last)
    assert client.forwards[-1].attempt is attempt


def _forward_of(play: Play, answer: Answer) -> Forward | None:
    serial = answer.one(b"x-serial")
    return None if serial is None else play.forwards[int(serial)]


def _check_answers(play: Play, client: ClientEnd) -> None:
    for place, answer in enumerate(client.answers.all[client.checked :], client.checked):
        _check_answer(play, client, place, answer)
    client.checked = client.answers.whole


def _check_answer(play: Play, client: ClientEnd, place: int, answer: Answer) -> None:
    """What a client got is what its container sent, or a page of ours."""
    forward = _forward_of(play, answer)
    if forward is None:
        assert answer.status in OWN, answer.status
        return
    assert forward.place == place, "the answer to another request"
    assert play.attempts[forward.attempt] is client, "another client's answer"
    assert answer.status == forward.status
    size = len(answer.body)
    assert answer.body[answer.seen :] == forward.response[answer.seen : size], "other bytes"
    answer.seen = size
    if answer.framing == "none" or answer.one(b"content-length") is None:
        assert not answer.is_whole or answer.framing == "none" or forward.is_ended, (
            "a response looks complete before its end"
        )
        if answer.is_whole and answer.framing == "chunked":
            assert size == len(forward.response)
    elif answer.status != 205:
        length = size + answer.left
        is_cut_short = answer.status >= 400 and forward.is_ended
        assert length == forward.announced or (is_cut_short and length == len(forward.response)), (
            "another length"
        )


def _check_order(play: Play, client: ClientEnd) -> None:
    """One response a request, and no interim response without one."""
    answers = client.answers
    if not client.is_known:
        return
    places = range(len(client.requests))
    asked = sum(client.has_head(place) for place in places)
    if len(answers.all) > asked:
        last = answers.all[-1]
        assert len(answers.all) == asked + 1, "more responses than requests"
        assert _forward_of(play, last) is None, "a response without a request"
        assert not last.keeps_open
    if answers.interim:
        assert len(answers.all) < asked, "an interim response without a request"
        assert client.requests[len(answers.all)].minor >= 1, "100 for HTTP/1.0"


def _check_input(play: Play, client: ClientEnd) -> None:
    """What is kept of the client's bytes has bounds, and nobody waits for nothing."""
    transport, place = client.transport, client.answers.whole
    request = client.known(place)
    if client.is_open and not transport.said_eof:
        if client.is_idle and not transport.told_pause:
            assert not transport.is_paused, "idle, and its client is not read"
            assert client.front.deadline > 0 or not play.has_all_timeouts, "idle for ever"
        if request is not None:
            behind = client.arrived(place) - len(request.raw)
            assert behind <= INPUT_LIMIT + READ, f"{behind} bytes of later requests are kept"
            queued = request.body_in(client.arrived(place))
            if client.forwards and client.forwards[-1].place == place:
                queued -= len(client.forwards[-1].body)
            most = QUEUE_HIGH + READ + PACKET_BODY + play.target["replay_buffer"]
            assert queued <= most, f"{queued} bytes of upload are queued"


def _check_body(play: Play, forward: Forward, client: ClientEnd) -> None:
    """The container has the beginning of the body, from its first byte."""
    request, place = client.known(forward.place), forward.place
    if request is None:
        return
    arrived = request.body_in(client.arrived(place))
    assert len(forward.body) <= arrived
    assert request.body.startswith(forward.body), "another body"
    if forward.ends:
        assert client.arrived(place) >= len(request.raw), "the body ended before its end"
        assert len(forward.body) == len(request.body), "the end of half a body"


def _check_pauses(play: Play, end: ContainerEnd, client: ClientEnd) -> None:
    """A client that does not read pauses its container, and nothing else does."""
    if not end.transport.closed_by and client.is_open:
        assert end.transport.is_paused == client.transport.told_pause, (
            "the container is read for a client that does not"
            if client.transport.told_pause
            else "the container is not read, and nobody waits"
        )


def _check_progress(play: Play, end: ContainerEnd, attempt: Attempt) -> None:
    """All that came was used, as far as it could be."""
    forward, client = end.heard.forward, play.attempts[attempt]
    if forward is None or forward.attempt is not attempt or not end.is_honest:
        return
    if not client.is_open or end.transport.closed_by:
        return
    assert not forward.is_ended, "the response has ended, and nobody was told"
    request = client.known(forward.place)
    if end.heard.asks and request is not None:
        arrived = client.arrived(forward.place)
        assert len(forward.body) == request.body_in(arrived), "there is body to send"
        assert arrived < len(request.raw), "the end of the body was not sent"
        assert not client.transport.is_paused, "the body that is waited for is not read"
    _check_held(play, attempt, forward)


def _check_held(play: Play, attempt: Attempt, forward: Forward) -> None:
    """What a read brought was written at its end."""
    client, place = play.attempts[attempt], forward.place
    is_bodiless = forward.method == b"HEAD" or forward.status in (204, 205, 304)
    if not forward.status or is_bodiless:
        return
    if forward.path == b"/replaced" and forward.status >= 500:
        return
    answers = client.answers.all
    written = len(answers[place].body) if len(answers) > place else 0
    held = len(forward.response) - written
    if forward.announced is not None:
        held = min(forward.announced, len(forward.response)) - written
    if held or len(answers) <= place:
        assert attempt.deadline > 0, "held for ever"
        assert held == 0 or (forward.status >= 400 and held <= PAGE_HELD), f"{held} bytes held"
