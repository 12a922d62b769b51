"""The compiled endpoint: the table packet by packet, sending, pings, time, ends."""

import socket
import struct
import time
from collections.abc import Callable

import pytest

from ajp import _codec
from ajp._endpoint import Attempt
from ajp.connection import (
    MAX_ASKS_AFTER_END,
    WEB_SERVER_RECEIVE,
    PacketEvent,
    State,
    WebServerConnection,
)
from ajp.errors import (
    CPingTimeout,
    EndpointClosed,
    EndpointReset,
    Progress,
    Reason,
    RemoteProtocolError,
    ReplyTimeout,
)
from ajp.messages import (
    CPing,
    ForwardRequest,
)
from tests.unit.endpoint_stage import (
    ASK,
    BODY,
    HEADERS,
    KEEP,
    PACKETS,
    SIZE,
    Recorder,
    Stage,
)


def staged(state: State) -> tuple[Stage, Recorder | None]:
    """An endpoint in a state, and the attempt on it."""
    stage = Stage(connect_ping=1.0 if state is State.PINGING else 0.0)
    attempt = None if state is State.IDLE else stage.begin(Recorder(b"x" * 9), left=None)
    if state is State.RESPONDING:
        stage.receive(HEADERS)
    assert stage.state == state.name
    return stage, attempt


LIVE = (State.IDLE, State.PINGING, State.WAITING, State.RESPONDING)


# --- the table ----------------------------------------------------------------------------------


@pytest.mark.parametrize("event", PACKETS, ids=lambda event: event.name)
@pytest.mark.parametrize("state", LIVE, ids=lambda state: state.name)
def test_switch_is_the_table(state: State, event: PacketEvent) -> None:
    stage, attempt = staged(state)
    stage.receive(PACKETS[event])
    expected = WEB_SERVER_RECEIVE.get((state, event), State.DEAD)
    if state is State.PINGING and expected is State.IDLE:
        # The request that the ping was for follows at once.
        expected = State.WAITING
    assert stage.state == expected.name
    failed = [told for told in (attempt.events if attempt else ()) if told[0] == "failed"]
    assert bool(failed) is (expected is State.DEAD and attempt is not None)
    assert stage.transport.is_closing() is (expected in (State.CLOSED, State.DEAD))


@pytest.mark.parametrize("event", PACKETS, ids=lambda event: event.name)
@pytest.mark.parametrize("state", LIVE, ids=lambda state: state.name)
def test_connection_is_the_table(state: State, event: PacketEvent) -> None:
    """The other side of the comparison: the same packets to the machine without I/O."""
    connection = WebServerConnection()
    if state is State.PINGING:
        connection.send(CPing())
    elif state is not State.IDLE:
        connection.send(ForwardRequest(headers=((b"transfer-encoding", b"chunked"),)))
    if state is State.RESPONDING:
        connection.receive(HEADERS)
        connection.next_event()
    connection.receive(PACKETS[event])
    expected = WEB_SERVER_RECEIVE.get((state, event), State.DEAD)
    if expected is State.DEAD:
        with pytest.raises(RemoteProtocolError):
            connection.next_event()
    else:
        connection.next_event()
    assert connection.state is expected


def test_every_packet_of_a_container_is_in_the_comparison() -> None:
    assert {event for _, event in WEB_SERVER_RECEIVE} - set(PACKETS) == {PacketEvent.PEER_EOF}


@pytest.mark.parametrize("state", LIVE, ids=lambda state: state.name)
def test_end_of_stream(state: State) -> None:
    stage, attempt = staged(state)
    assert not stage.endpoint.eof_received()
    stage.endpoint.connection_lost(None)
    assert stage.owner.lost == [stage.endpoint]
    is_legal = (state, PacketEvent.PEER_EOF) in WEB_SERVER_RECEIVE
    assert is_legal is (attempt is None)
    assert stage.state == "CLOSED"


@pytest.mark.parametrize("length", range(1, 15))
def test_even_half_a_packet_is_too_much_while_idle(length: int) -> None:
    stage = Stage()
    stage.receive(HEADERS[:length])
    assert stage.state == "DEAD"
    assert stage.transport.is_closing()
    assert not stage.endpoint.is_idle


# --- sending --------------------------------------------------------------------------------------


def test_request_leaves_in_one_write() -> None:
    stage = Stage()
    stage.begin(left=5, with_body=True)
    assert (stage.transport.written, stage.transport.writes) == (b"request", 1)
    assert not stage.endpoint.owed
    assert repr(stage.endpoint) == "<Endpoint tomcat1 10.0.0.7:8009 WAITING reqs=1>"


def test_announced_body_is_owed_unasked() -> None:
    stage = Stage()
    attempt = stage.begin(Recorder(b"12345"), left=5)
    assert stage.endpoint.owed
    attempt.answer(3)
    assert not stage.endpoint.owed
    assert stage.endpoint.left == 2
    stage.receive(ASK)
    assert attempt.events[0] == ("ask", 2)
    assert stage.transport.written.endswith(b"\x12\x34\x00\x04\x00\x0245")


def test_ask_is_clamped() -> None:
    stage = Stage()
    attempt = stage.begin(Recorder(b"x" * 20000), left=None)
    stage.receive(b"AB\x00\x03\x06\xff\xfe")
    stage.receive(_codec.encode_get_body_chunk(2))
    assert attempt.events[0::2] == [("ask", SIZE - 6), ("ask", 2)]


@pytest.mark.parametrize("left", [0, None])
def test_asking_on_after_the_end(left: int | None) -> None:
    stage = Stage()
    attempt = stage.begin(left=left)
    for _ in range(1 + MAX_ASKS_AFTER_END):
        stage.receive(ASK)
        assert stage.state == "WAITING"
    ends = _codec.END_OF_BODY * (1 + MAX_ASKS_AFTER_END)
    assert stage.transport.written == b"request" + ends
    stage.receive(ASK)
    assert stage.state == "DEAD"
    assert isinstance(attempt.error, RemoteProtocolError)


def test_asking_twice_at_once() -> None:
    class Silent(Recorder):
        def answer(self, allowance: int) -> None:
            pass

    stage = Stage()
    attempt = stage.begin(Silent(), left=None)
    stage.receive(ASK, ASK)
    assert stage.state == "DEAD"
    assert "not answered" in str(attempt.error)


def test_response_that_ends_while_a_packet_is_owed_closes() -> None:
    stage = Stage()
    attempt = stage.begin(Recorder(b"12345"), left=5)
    stage.receive(HEADERS, KEEP)
    assert attempt.story[-1] == ("end",)
    assert stage.state == "CLOSED"
    assert stage.owner.released == []


# --- pings ----------------------------------------------------------------------------------------


def test_ping_goes_before_the_first_request_only() -> None:
    stage = Stage(connect_ping=5.0, prepost_ping=5.0)
    for expected in (_codec.CPING, b"request"):
        stage.transport.written = b""
        attempt = stage.begin()
        assert stage.transport.written == expected
        if expected == _codec.CPING:
            stage.receive(_codec.CPONG)
            assert stage.transport.written == _codec.CPING + b"request"
        stage.receive(HEADERS, KEEP)
        assert attempt.story[-1] == ("end",)
    assert stage.owner.released == [stage.endpoint] * 2
    assert stage.endpoint.requests == 2


def test_no_cpong_in_time() -> None:
    stage = Stage(connect_ping=0.5)
    attempt = stage.begin()
    stage.pass_time(0.4)
    assert stage.state == "PINGING"
    stage.pass_time(0.6)
    assert attempt.events == [("failed", Reason.CPING_TIMEOUT, Progress.NOTHING_SENT)]
    assert isinstance(attempt.error, CPingTimeout)


def test_cpong_with_something_in_it() -> None:
    stage = Stage(connect_ping=0.5)
    attempt = stage.begin()
    stage.receive(b"AB\x00\x02\x09\x00")
    assert attempt.error.code == "E_TRAILING"


def test_reused() -> None:
    stage = Stage()
    assert not stage.endpoint.reused
    for expected in (False, True, True):
        stage.begin()
        assert stage.endpoint.reused is expected
        stage.receive(HEADERS, KEEP)


def test_idle_endpoint_is_asked() -> None:
    stage = Stage(prepost_ping=5.0)
    since = stage.endpoint.idle_since
    stage.endpoint.ping(0.5)
    assert (stage.state, stage.endpoint.is_idle) == ("PINGING", False)
    assert stage.transport.written == _codec.CPING
    for byte in _codec.CPONG:
        assert stage.owner.released == []
        stage.receive(bytes((byte,)))
    assert stage.owner.released == [stage.endpoint]
    assert stage.endpoint.is_idle
    assert stage.endpoint.idle_since == since < stage.endpoint.heard_at
    assert stage.wheel.armed == 0
    stage.begin()
    assert stage.endpoint.requests == 1


def test_idle_endpoint_that_does_not_answer() -> None:
    stage = Stage()
    stage.endpoint.ping(0.5)
    stage.pass_time(0.4)
    assert stage.state == "PINGING"
    stage.pass_time(0.6)
    assert (stage.state, stage.owner.lost) == ("CLOSED", [stage.endpoint])
    assert stage.owner.released == []


@pytest.mark.parametrize("packet", [HEADERS, BODY, KEEP, ASK, _codec.CPONG * 2, b"junk"])
def test_idle_endpoint_that_answers_something_else(packet: bytes) -> None:
    stage = Stage()
    stage.endpoint.ping(0.5)
    stage.receive(packet)
    assert (stage.state, stage.owner.lost) == ("DEAD", [stage.endpoint])


def test_retired_endpoints_are_not_released() -> None:
    busy, asked = Stage(), Stage()
    attempt = busy.begin()
    asked.endpoint.ping(0.5)
    for stage in (busy, asked):
        stage.endpoint.retire()
        assert stage.endpoint.retired
        assert not stage.transport.is_closing()
    busy.receive(HEADERS, KEEP)
    asked.receive(_codec.CPONG)
    assert attempt.story[-1] == ("end",)
    for stage in (busy, asked):
        assert stage.state == "CLOSED"
        assert stage.transport.is_closing()
        assert stage.owner.released == []


# --- time -----------------------------------------------------------------------------------------


def test_reply_timeout_is_before_each_packet() -> None:
    stage = Stage(reply_timeout=0.5)
    attempt = stage.begin()
    stage.pass_time(0.4)
    stage.receive(HEADERS)
    stage.pass_time(0.4)
    assert stage.state == "RESPONDING"
    stage.pass_time(0.7)
    assert attempt.events[-1] == ("failed", Reason.REPLY_TIMEOUT, Progress.RESPONSE_STARTED)
    assert isinstance(attempt.error, ReplyTimeout)


def test_attempt_may_bring_its_own_reply_timeout() -> None:
    stage = Stage(reply_timeout=0.5)
    attempt = Recorder()
    attempt.reply_timeout = 5.0
    stage.begin(attempt)
    stage.pass_time(1.0)
    assert stage.state == "WAITING"
    stage.receive(HEADERS, KEEP)
    stage.begin()
    stage.pass_time(2.0)
    assert stage.state == "CLOSED"


def test_socket_timeout_is_before_any_byte() -> None:
    stage = Stage(socket_timeout=0.5)
    attempt = stage.begin()
    for byte in HEADERS + BODY[:3]:
        stage.pass_time(0.4)
        stage.receive(bytes((byte,)))
    stage.pass_time(0.6)
    assert attempt.events[-1] == ("failed", Reason.REPLY_TIMEOUT, Progress.RESPONSE_STARTED)
    assert isinstance(attempt.error, ReplyTimeout)
    assert "no bytes within the socket_timeout of 0.5 s" in str(attempt.error)


@pytest.mark.parametrize(
    ("options", "own", "late"),
    [
        ({"socket_timeout": 0.5, "reply_timeout": 5.0}, -1.0, False),
        ({"socket_timeout": 5.0, "reply_timeout": 0.5}, -1.0, True),
        ({"socket_timeout": 0.5, "reply_timeout": 5.0}, 0.0, True),
        ({"socket_timeout": 0.5}, 5.0, False),
    ],
)
def test_reply_timeout_goes_before_socket_timeout(
    options: dict[str, float], own: float, late: bool
) -> None:
    stage = Stage(**options)
    attempt = Recorder()
    attempt.reply_timeout = own
    stage.begin(attempt)
    stage.pass_time(1.0)
    assert bool(attempt.events) is late


def test_container_does_not_take_our_bytes() -> None:
    stage = Stage(socket_timeout=0.5, reply_timeout=50.0)
    assert stage.transport.high_water == 0
    attempt = stage.begin()
    for _ in range(3):
        stage.endpoint.pause_writing()
        stage.pass_time(0.4)
        stage.endpoint.resume_writing()
        stage.pass_time(0.6)
        assert stage.state == "WAITING"
    stage.endpoint.pause_writing()
    stage.pass_time(0.7)
    assert attempt.events == [("failed", Reason.REPLY_TIMEOUT, Progress.HEAD_SENT)]
    assert "took no bytes within the socket_timeout of 0.5 s" in str(attempt.error)


def test_without_socket_timeout_writing_has_no_end() -> None:
    stage = Stage()
    stage.begin()
    stage.endpoint.pause_writing()
    assert stage.wheel.armed == 0
    stage.endpoint.resume_writing()
    assert (stage.state, stage.transport.high_water) == ("WAITING", 65536)


def test_response_that_ends_before_its_request_has_left() -> None:
    stage = Stage(socket_timeout=0.5)
    attempt = stage.begin()
    stage.endpoint.pause_writing()
    stage.receive(HEADERS, KEEP)
    assert attempt.story[-1] == ("end",)
    assert stage.transport.was_aborted
    assert (stage.owner.released, stage.wheel.armed) == ([], 0)


def test_nobody_is_late_while_we_do_not_listen() -> None:
    stage = Stage(reply_timeout=0.5)
    attempt = stage.begin()
    attempt.pause_reading()
    assert stage.transport.is_paused
    stage.pass_time(1.0)
    assert stage.state == "WAITING"
    attempt.resume_reading()
    assert not stage.transport.is_paused
    stage.pass_time(2.0)
    assert attempt.events[-1] == ("failed", Reason.REPLY_TIMEOUT, Progress.HEAD_SENT)


def test_armed_endpoint_that_is_the_last_to_know_its_wheel() -> None:
    """Both end at once; what the wheel borrowed must not be given back a second time."""
    for _ in range(1000):
        stage = Stage(connect_ping=1.0)
        stage.begin()
        assert stage.wheel.armed == 1
        del stage


def test_idle_endpoint_has_no_deadline() -> None:
    stage = Stage(reply_timeout=0.5)
    stage.begin()
    stage.receive(HEADERS, KEEP)
    stage.endpoint.on_deadline(time.monotonic())
    assert stage.endpoint.is_idle
    assert stage.wheel.armed == 0


# --- ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packets", "progress", "with_body"),
    [((), 1, False), ((), 2, True), ((HEADERS,), 3, False), ((HEADERS, BODY[:8]), 3, True)],
    ids=["head sent", "body sent", "headers", "in a chunk"],
)
@pytest.mark.parametrize("error", [None, ConnectionResetError("reset by peer")], ids=["eof", "rst"])
def test_connection_lost(
    packets: tuple[bytes, ...], progress: int, with_body: bool, error: Exception | None
) -> None:
    stage = Stage()
    attempt = stage.begin(with_body=with_body)
    stage.receive(*packets)
    stage.endpoint.connection_lost(error)
    started = progress == Progress.RESPONSE_STARTED
    if error is None:
        reason = Reason.EOF_MID_BODY if started else Reason.EOF_BEFORE_HEADERS
        assert isinstance(attempt.error, EndpointClosed)
    else:
        reason = Reason.RESET_MID_BODY if started else Reason.RESET_BEFORE_HEADERS
        assert isinstance(attempt.error, EndpointReset)
        assert attempt.error.__cause__ is error
    assert attempt.events[-1] == ("failed", reason, progress)
    assert (attempt.error.reason, attempt.error.progress) == (reason, progress)
    assert stage.owner.lost == [stage.endpoint]


def test_loss_is_told_once() -> None:
    stage = Stage()
    stage.begin()
    stage.receive(b"GET /")
    stage.endpoint.connection_lost(None)
    stage.endpoint.connection_lost(None)
    assert stage.owner.lost == [stage.endpoint]


def test_packet_declared_too_large() -> None:
    stage = Stage()
    attempt = stage.begin()
    stage.receive(b"AB\x1f\xfd")
    assert attempt.events == [
        ("failed", Reason.PACKET_TOO_LARGE_FROM_CONTAINER, Progress.HEAD_SENT)
    ]


@pytest.mark.parametrize(
    "packet",
    [
        b"AB\x00\x00",
        b"AB\x00\x01\x03",
        b"AB\x00\x04\x03\x00\x05x",
        b"AB\x00\x02\x04\x00",
        b"AB\x00\x03\x06\x00\x00",
        b"AB\x00\x01\x63",
        b"BA",
    ],
    ids=["empty", "short chunk", "long chunk", "cut headers", "ask for 0", "type", "magic"],
)
def test_malformed_packets(packet: bytes) -> None:
    stage = Stage()
    attempt = stage.begin(left=None)
    stage.receive(packet)
    assert attempt.events == [("failed", Reason.PROTOCOL_ERROR, Progress.HEAD_SENT)]
    assert stage.state == "DEAD"


def test_malformed_end() -> None:
    stage = Stage()
    attempt = stage.begin()
    stage.receive(HEADERS, b"AB\x00\x01\x05")
    assert attempt.events[-1] == ("failed", Reason.PROTOCOL_ERROR, Progress.RESPONSE_STARTED)


def test_bytes_behind_the_end_close() -> None:
    stage = Stage()
    attempt = stage.begin()
    stage.receive(HEADERS, KEEP, KEEP)
    assert attempt.story[-1] == ("end",)
    assert stage.state == "CLOSED"
    stage.receive(b"whatever")


@pytest.mark.parametrize("end", [Attempt.abort, Attempt.leave])
@pytest.mark.parametrize("moment", ["headers", "body", "flush", "ask", "read done"])
def test_going_away_from_within(moment: str, end: Callable[[Attempt], None]) -> None:
    def do(attempt: Recorder, name: str) -> None:
        if name == moment:
            end(attempt)

    class Passive(Recorder):
        def answer(self, allowance: int) -> None:
            if self.endpoint is not None:
                super().answer(allowance)

    stage = Stage()
    attempt = stage.begin(Passive(do=do), left=None)
    stage.receive(HEADERS, BODY, _codec.FLUSH, ASK)
    assert attempt.events[-1][0] == moment
    assert attempt.endpoint is None
    assert stage.state == "CLOSED"
    attempt.abort()
    stage.receive(BODY)
    stage.endpoint.connection_lost(None)
    assert attempt.events[-1][0] == moment
    assert stage.owner.lost == [stage.endpoint]


def test_end_while_paused_listens_again() -> None:
    stage = Stage()
    attempt = stage.begin()
    stage.receive(HEADERS)
    attempt.pause_reading()
    stage.receive(KEEP)
    assert not stage.transport.is_paused
    assert stage.endpoint.is_idle


def test_close() -> None:
    idle, busy = Stage(), Stage()
    attempt = busy.begin()
    for stage in (idle, busy):
        stage.endpoint.close()
        assert stage.state == "CLOSED"
        assert stage.transport.is_closing()
        stage.endpoint.connection_lost(None)
        assert stage.owner.lost == [stage.endpoint]
    assert attempt.events == []


@pytest.mark.parametrize("hard", [False, True])
def test_leaving_before_the_request_left(hard: bool) -> None:
    """Only a CPING is out: its CPONG makes the connection as good as before."""
    stage = Stage(connect_ping=0.5)
    attempt = stage.begin()
    attempt.leave(hard)
    assert (stage.state, attempt.endpoint) == ("PINGING", None)
    stage.receive(_codec.CPONG)
    assert stage.owner.released == [stage.endpoint]
    assert (stage.endpoint.requests, stage.transport.written) == (0, _codec.CPING)
    assert attempt.events == []


def left(*, hard: bool) -> tuple[Stage, Recorder]:
    """An endpoint whose attempt went away while reading was paused."""
    stage = Stage(reply_timeout=0.5)
    attempt = stage.begin()
    stage.receive(HEADERS)
    attempt.events.clear()
    attempt.pause_reading()
    attempt.leave(hard)
    attempt.leave(hard)
    assert (stage.state, attempt.endpoint) == ("CLOSED", None)
    assert stage.owner.lost == []
    return stage, attempt


def test_leaving_in_order() -> None:
    stage, attempt = left(hard=False)
    transport = stage.transport
    assert (transport.is_half_closed, transport.is_paused) == (True, False)
    stage.receive(BODY, KEEP)
    stage.endpoint.resume_writing()
    stage.pass_time(1.9)
    assert not transport.is_closing()
    stage.pass_time(2.2)
    assert transport.was_aborted
    stage.endpoint.connection_lost(None)
    assert stage.owner.lost == [stage.endpoint]
    assert attempt.events == []
    assert transport.options == []


def test_leaving_reads_on_for_a_while_only() -> None:
    stage, attempt = left(hard=False)
    stage.receive(bytes(32767))
    assert not stage.transport.is_closing()
    stage.receive(b"x")
    assert stage.transport.was_aborted
    stage.receive(b"x")
    assert (attempt.events, stage.wheel.armed) == ([], 0)


def test_leaving_hard() -> None:
    stage, attempt = left(hard=True)
    assert stage.transport.was_aborted
    linger = struct.pack("ii", 1, 0)
    assert stage.transport.options == [(socket.SOL_SOCKET, socket.SO_LINGER, linger)]
    assert not stage.transport.is_half_closed
    assert (attempt.events, stage.wheel.armed) == ([], 0)


def test_leaving_while_the_container_closes() -> None:
    stage = Stage()
    attempt = stage.begin()
    stage.transport.close()
    attempt.leave()
    assert stage.transport.was_aborted
    assert not stage.transport.is_half_closed


def test_closing_what_was_left() -> None:
    stage, _ = left(hard=False)
    stage.endpoint.close()
    assert stage.transport.was_aborted
    assert stage.wheel.armed == 0


def test_transport_that_closes_by_itself() -> None:
    stage = Stage()
    stage.transport.close()
    assert not stage.endpoint.is_idle


def test_attempt_without_an_endpoint() -> None:
    attempt = Attempt()
    for call in (
        lambda: attempt.begin(b"", 0),
        lambda: attempt.send_body(b"", 1),
        attempt.end_body,
        attempt.pause_reading,
        attempt.resume_reading,
    ):
        with pytest.raises(RuntimeError, match="no endpoint"):
            call()
    attempt.abort()
    attempt.leave()
    assert attempt.reply_timeout == -1.0


def test_attempt_that_does_not_care() -> None:
    stage = Stage()
    attempt = Attempt()
    attempt.on_endpoint(stage.endpoint)
    attempt.begin(b"request", 0)
    stage.receive(HEADERS, BODY, _codec.FLUSH, KEEP)
    assert stage.endpoint.is_idle
    attempt.on_endpoint(stage.endpoint)
    attempt.begin(b"request", None)
    stage.receive(ASK)
    stage.receive(b"nonsense")
    assert stage.state == "DEAD"
