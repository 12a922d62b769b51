"""The compiled endpoint and the machine without I/O tell the same story, however it is cut."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ajp import _codec
from ajp.connection import (
    NEED_DATA,
    PacketEvent,
    State,
    WebServerConnection,
)
from ajp.errors import (
    RemoteProtocolError,
)
from ajp.messages import (
    CPong,
    EndResponse,
    ForwardRequest,
    FromContainer,
    GetBodyChunk,
    RequestBody,
    SendBodyChunk,
    SendHeaders,
)
from tests.unit.endpoint_stage import (
    ASK,
    BODY,
    HEADERS,
    KEEP,
    PACKETS,
    Recorder,
    Stage,
)

containers = st.lists(
    st.one_of(
        st.sampled_from(
            [PacketEvent.SEND_BODY_CHUNK, PacketEvent.GET_BODY_CHUNK, PacketEvent.FLUSH]
        ),
        st.sampled_from(list(PACKETS)),
    ).map(PACKETS.__getitem__),
    max_size=8,
)
wholes = st.tuples(
    st.lists(st.sampled_from([ASK, _codec.FLUSH]), max_size=3),
    st.just([HEADERS]),
    st.lists(
        st.one_of(
            st.sampled_from([ASK, _codec.FLUSH, _codec.encode_get_body_chunk(3)]),
            st.binary(min_size=1, max_size=40).map(_codec.encode_send_body_chunk),
        ),
        max_size=8,
    ),
    st.sampled_from([[KEEP], [_codec.END_RESPONSE_CLOSE], [KEEP, KEEP], [KEEP, b"A"]]),
).map(lambda parts: [packet for part in parts for packet in part])


def cut(stream: bytes, places: list[int]) -> Iterator[bytes]:
    """Cut a stream at these places, as far as they lie in it."""
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    for start, end in pairwise(edges):
        yield stream[start:end]


def told_by_endpoint(
    reads: list[bytes], body: bytes, length: int | None
) -> tuple[list[Any], bytes, bool]:
    stage = Stage()
    first = body[:5] if length else b""
    attempt = Recorder(body[len(first) :])
    packet = b"request" + (_codec.encode_request_body(first) if first else b"")
    attempt.on_endpoint(stage.endpoint)
    attempt.begin(packet, None if length is None else length - len(first), bool(first))
    for data in reads:
        if not stage.transport.is_closing():
            stage.endpoint.data_received(data)
    told = [("failed",) if event[0] == "failed" else event for event in attempt.story]
    return told, stage.transport.written.removeprefix(b"request"), stage.endpoint.is_idle


def told_by_connection(
    reads: list[bytes], body: bytes, length: int | None
) -> tuple[list[Any], bytes, bool]:
    recorder = Recorder()
    connection = WebServerConnection()
    written = b""
    headers = (b"transfer-encoding", b"chunked") if length is None else None
    headers = headers or (b"content-length", b"%d" % (length or 0))
    connection.send(ForwardRequest(headers=(headers,)))

    def answer(most: int) -> None:
        nonlocal written, body
        piece, body = body[:most], body[most:]
        written += connection.send(RequestBody(piece))

    if length:
        answer(5)
    try:
        for data in reads:
            if connection.state is State.CLOSED or recorder.events[-1:] == [("end",)]:
                connection.receive(data)
                continue
            connection.receive(data)
            while (message := connection.next_event()) is not NEED_DATA:
                tell(recorder, connection, message)  # type: ignore[arg-type]
                if connection.owed and not isinstance(message, EndResponse):
                    answer(connection.body_allowance)
                if isinstance(message, EndResponse):
                    break
    except RemoteProtocolError:
        if recorder.events[-1:] != [("end",)]:
            recorder.note("failed")
    return recorder.story, written, connection.is_reusable


def tell(recorder: Recorder, connection: WebServerConnection, message: FromContainer) -> None:
    match message:
        case SendHeaders():
            recorder.note("headers", message.status, message.headers)
        case SendBodyChunk(data=b""):
            # Before the headers a flush means nothing.
            if connection.state is State.RESPONDING:
                recorder.note("flush")
        case SendBodyChunk():
            recorder.note("body", message.data)
        case GetBodyChunk():
            # At the end of the body the endpoint answers by itself.
            if not connection.body_complete:
                recorder.note("ask", connection.body_allowance)
        case EndResponse():
            recorder.note("end")
        case CPong():
            raise AssertionError("not in an exchange")


@given(
    packets=st.one_of(containers, wholes),
    places=st.lists(st.integers(0, 400), max_size=6),
    size=st.integers(0, 30),
    is_known=st.booleans(),
)
def test_endpoint_and_connection_tell_the_same(
    packets: list[bytes], places: list[int], size: int, is_known: bool
) -> None:
    stream, body = b"".join(packets), bytes(range(size))
    length = size if is_known else None
    reads = list(cut(stream, places))
    by_endpoint = told_by_endpoint(reads, body, length)
    assert by_endpoint == told_by_endpoint([stream] if stream else [], body, length)
    assert by_endpoint == told_by_connection(reads, body, length)


def test_every_two_way_split_and_byte_by_byte() -> None:
    stream = ASK + HEADERS + BODY + _codec.FLUSH + ASK + BODY + ASK + KEEP
    whole = told_by_endpoint([stream], b"0123456789", None)
    assert [event[0] for event in whole[0]] == [
        *("ask", "headers", "body", "flush", "ask", "body", "end")
    ]
    for place in range(1, len(stream)):
        parts = [stream[:place], stream[place:]]
        assert told_by_endpoint(parts, b"0123456789", None) == whole
    single = [stream[i : i + 1] for i in range(len(stream))]
    assert told_by_endpoint(single, b"0123456789", None) == whole
