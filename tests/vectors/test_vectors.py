"""Golden packets and exchanges of `ajp13.json` against codec and connections.

Each packet of the file says which bytes, in which direction and state, decode to what, or are
refused by which rule; each sequence is one connection seen from one end.
"""

import json
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from ajp import _codec
from ajp.connection import (
    PAUSED,
    ContainerConnection,
    PacketEvent,
    Signal,
    State,
    WebServerConnection,
    packet_event,
)
from ajp.constants import MAGIC_FROM_CONTAINER, MAGIC_FROM_WEB_SERVER, METHODS
from ajp.errors import LocalProtocolError, RemoteProtocolError
from ajp.messages import (
    Attribute,
    CPing,
    CPong,
    EndResponse,
    ForwardRequest,
    FromContainer,
    FromWebServer,
    GetBodyChunk,
    Ping,
    RequestBody,
    SendBodyChunk,
    SendHeaders,
    Shutdown,
)

Vector: TypeAlias = dict[str, Any]
Message: TypeAlias = FromWebServer | FromContainer

DOCUMENT = json.loads((Path(__file__).parent / "ajp13.json").read_text())
PACKETS: dict[str, Vector] = {vector["id"]: vector for vector in DOCUMENT["packets"]}
SEQUENCES: dict[str, Vector] = {vector["id"]: vector for vector in DOCUMENT["sequences"]}
ACCEPTED = [vector for vector in PACKETS.values() if vector["expect"] == "ok"]
REFUSED = [vector for vector in PACKETS.values() if vector["expect"] != "ok"]

#: The codec knows these two types; refusing them is the connection's business.
TYPES_NOBODY_USES = {"D18": Shutdown(), "D19": Ping()}
#: Accepted spellings that are not the one written. E55 is a 1xx status, which is read so that the
#: connection can name it, and never written.
OTHER_SPELLINGS = {"A09", "B06", "B12", "C04", "C06", "E06", "E13", "E24", "E55"}


def name_of(vector: Vector) -> str:
    return f"{vector['id']}-{vector['name']}" if "name" in vector else vector["id"]


def packet_of(vector: Vector) -> bytes:
    packet = bytes.fromhex(vector["hex"])
    assert len(packet) == vector["nbytes"]
    return packet


def whole(stream: bytes) -> list[bytes]:
    return [stream]


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[i : i + 1] for i in range(len(stream))]


def text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def described(message: Message) -> dict[str, Any]:
    """A message in the terms of the file."""
    match message:
        case ForwardRequest():
            length = message.content_length
            body = "on-demand" if length is None else f"fixed:{length}" if length else "none"
            return {
                "type": "FORWARD_REQUEST",
                "method": text(message.method),
                "protocol": text(message.protocol),
                "uri": text(message.uri),
                "remote_addr": text(message.remote_addr),
                "remote_host": text(message.remote_host),
                "server_name": text(message.server_name),
                "server_port": message.server_port,
                "is_ssl": message.is_ssl,
                "headers": [[text(name), text(value)] for name, value in message.headers],
                "attributes": [described_attribute(entry) for entry in message.attributes],
                "body": body,
            }
        case RequestBody(data=data):
            return {"type": "BODY", "eof": not data, "data": data.hex()}
        case SendHeaders(status=status, reason=reason, headers=headers):
            pairs = [[text(name), text(value)] for name, value in headers]
            return {
                "type": "SEND_HEADERS",
                "status": status,
                "reason": text(reason),
                "headers": pairs,
            }
        case SendBodyChunk(data=data):
            return {"type": "SEND_BODY_CHUNK", "data": data.hex(), "flush": not data}
        case EndResponse(reuse=reuse):
            return {"type": "END_RESPONSE", "reuse": reuse}
        case GetBodyChunk(requested=requested):
            return {"type": "GET_BODY_CHUNK", "requested": requested}
        case CPing() | CPong():
            return {"type": type(message).__name__.upper()}
    raise AssertionError(message)


def described_attribute(attribute: Attribute) -> list[Any]:
    name = attribute.code.name.lower() if attribute.name is None else text(attribute.name)
    value = attribute.value
    return [name, text(value) if isinstance(value, bytes) else value]


def expected(vector: Vector) -> dict[str, Any]:
    """What the file says, without what only a sniffer would care for."""
    return {k: v for k, v in vector["decoded"].items() if k not in ("nul", "surplus")}


def decode_payload(vector: Vector, payload: bytes) -> Message:
    if vector["dir"] == "C>W":
        return _codec.decode_from_container(payload)
    if vector["state"] == "body":
        return _codec.decode_request_body(payload, strict=vector["id"] == "C05")
    return _codec.decode_from_web_server(payload)


def decode(vector: Vector, pieces: Iterable[bytes]) -> Message:
    """By splitter and decoder; the stream ends behind the pieces."""
    magic = MAGIC_FROM_CONTAINER if vector["dir"] == "C>W" else MAGIC_FROM_WEB_SERVER
    splitter = _codec.Splitter(magic, vector["max_packet"])
    payload = None
    for piece in pieces:
        assert payload is None
        splitter.feed(piece)
        payload = splitter.take()
    splitter.finish()
    assert payload is not None
    return decode_payload(vector, payload)


def web_server_before(vector: Vector) -> WebServerConnection:
    """A web server in the state where this packet is in turn."""
    connection = WebServerConnection(max_packet_size=vector["max_packet"])
    type_ = bytes.fromhex(vector["hex"])[4:5]
    if type_ == b"\x09":
        connection.send(CPing())
    else:
        connection.send(ForwardRequest())
    if type_ in (b"\x03", b"\x05"):
        connection.receive(_codec.encode(SendHeaders(200)))
        connection.next_event()
    return connection


def container_before(vector: Vector) -> ContainerConnection:
    """A container in the state where this packet is in turn."""
    size = vector["max_packet"]
    connection = ContainerConnection(max_packet_size=size)
    if vector["state"] == "body":
        connection.receive(_codec.encode(ForwardRequest()))
        connection.next_event()
        connection.send(GetBodyChunk(size - 6))
    return connection


def through_connection(vector: Vector, pieces: Iterable[bytes]) -> Message:
    """By a connection whose state is right; the stream ends behind the pieces if it must."""
    before = web_server_before if vector["dir"] == "C>W" else container_before
    connection: WebServerConnection | ContainerConnection = before(vector)
    event: Message | Signal = PAUSED
    for piece in pieces:
        connection.receive(piece)
        event = connection.next_event()
    if isinstance(event, Signal):
        connection.receive(b"")
        event = connection.next_event()
    assert not isinstance(event, Signal)
    return event


# --- packets --------------------------------------------------------------------------------------


def test_the_file_is_whole() -> None:
    assert len(PACKETS) == len(DOCUMENT["packets"]) > 100
    assert len(SEQUENCES) == len(DOCUMENT["sequences"]) > 20


@pytest.mark.parametrize("cut", [whole, bytewise])
@pytest.mark.parametrize("vector", ACCEPTED, ids=name_of)
def test_accepted_packets(vector: Vector, cut: Callable[[bytes], list[bytes]]) -> None:
    assert described(decode(vector, cut(packet_of(vector)))) == expected(vector)


@pytest.mark.parametrize("cut", [whole, bytewise])
@pytest.mark.parametrize("vector", REFUSED, ids=name_of)
def test_refused_packets(vector: Vector, cut: Callable[[bytes], list[bytes]]) -> None:
    packet = packet_of(vector)
    if vector["id"] in TYPES_NOBODY_USES:
        assert decode(vector, cut(packet)) == TYPES_NOBODY_USES[vector["id"]]
        return
    with pytest.raises(RemoteProtocolError) as caught:
        decode(vector, cut(packet))
    assert caught.value.code == vector["expect"]


@pytest.mark.parametrize("cut", [whole, bytewise])
@pytest.mark.parametrize("vector", PACKETS.values(), ids=name_of)
def test_packets_through_a_connection(vector: Vector, cut: Callable[[bytes], list[bytes]]) -> None:
    packet = packet_of(vector)
    expect = {"C05": "ok", "E55": "E_STATUS"}.get(vector["id"], vector["expect"])
    if expect == "ok":
        message = through_connection(vector, cut(packet))
        assert vector["id"] == "C05" or described(message) == expected(vector)
    else:
        with pytest.raises(RemoteProtocolError) as caught:
            through_connection(vector, cut(packet))
        assert caught.value.code == expect


@pytest.mark.parametrize("vector", ACCEPTED, ids=name_of)
def test_accepted_packets_are_written_as_they_were_read(vector: Vector) -> None:
    message = decode(vector, [packet_of(vector)])
    if packet_event(message) is PacketEvent.INTERIM_HEADERS:
        with pytest.raises(LocalProtocolError):
            _codec.encode(message)
        return
    again = _codec.encode(message, vector["max_packet"])
    assert (again != packet_of(vector)) is (vector["id"] in OTHER_SPELLINGS)
    assert described(decode(vector, [again])) == described(message) or vector["id"] == "B06"
    assert _codec.encode(decode(vector, [again]), vector["max_packet"]) == again


@pytest.mark.parametrize(("code", "name"), list(enumerate(METHODS))[1:])
def test_method_table(code: int, name: bytes) -> None:
    packet = bytearray(packet_of(PACKETS["B01"]))
    packet[5] = code
    message = decode(PACKETS["B01"], [bytes(packet)])
    assert isinstance(message, ForwardRequest)
    assert message.method == name
    assert _codec.encode(message) == packet


@pytest.mark.parametrize("code", [0, *range(28, 256)])
def test_other_method_codes(code: int) -> None:
    packet = bytearray(packet_of(PACKETS["B01"]))
    packet[5] = code
    with pytest.raises(RemoteProtocolError) as caught:
        decode(PACKETS["B01"], [bytes(packet)])
    assert caught.value.code == "E_METHOD"


# --- metamorphic ----------------------------------------------------------------------------------

SMALL = [vector for vector in PACKETS.values() if vector["nbytes"] <= 600]
#: Rules that damage may break though no packet of the file breaks them.
UNSEEN = {"E_ATTR_NAME", "E_BOOLEAN", "E_HEADER_COUNT", "E_REQ_LEN"}
LISTED = UNSEEN | {vector["expect"] for vector in REFUSED}


def outcome(
    read: Callable[[Vector, list[bytes]], Message], vector: Vector, *pieces: bytes
) -> object:
    try:
        return read(vector, list(pieces))
    except RemoteProtocolError as error:
        return error.code


@pytest.mark.parametrize("vector", SMALL, ids=name_of)
def test_every_split_in_two_gives_the_same(vector: Vector) -> None:
    packet = packet_of(vector)
    for read in (decode, through_connection):
        together = outcome(read, vector, packet)
        for at in range(1, len(packet)):
            assert outcome(read, vector, packet[:at], packet[at:]) == together


@pytest.mark.parametrize(("direction", "size"), list(product(("C>W", "W>C"), (8192, 65536))))
def test_many_packets_in_one_read(direction: str, size: int) -> None:
    """The splitter hands out all of them and keeps what is not whole yet."""
    vectors = [v for v in ACCEPTED if v["dir"] == direction and v["max_packet"] <= size]
    magic = MAGIC_FROM_CONTAINER if direction == "C>W" else MAGIC_FROM_WEB_SERVER
    splitter = _codec.Splitter(magic, size)
    remainder = packet_of(vectors[-1])[:-1]
    splitter.feed(b"".join(map(packet_of, vectors)) + remainder)
    for vector in vectors:
        payload = splitter.take()
        assert payload is not None
        assert described(decode_payload(vector, payload)) == expected(vector)
    assert splitter.take() is None
    assert splitter.buffered == len(remainder)
    splitter.feed(packet_of(vectors[-1])[-1:])
    assert splitter.take() == packet_of(vectors[-1])[4:]


def damaged_payloads(payload: bytes) -> Iterable[bytes]:
    """Each byte replaced, each pair read as a length replaced; only the ends of a long payload."""
    near_an_end = [i for i in range(len(payload)) if i < 300 or i >= len(payload) - 20]
    for at, value in product(near_an_end, (0x00, 0x7F, 0x80, 0xFF)):
        yield payload[:at] + bytes((value,)) + payload[at + 1 :]
    for at in near_an_end[:-1]:
        length = int.from_bytes(payload[at : at + 2], "big")
        for value in (length - 1, length + 1, 0, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF):
            yield payload[:at] + (value & 0xFFFF).to_bytes(2, "big") + payload[at + 2 :]


@pytest.mark.parametrize("vector", ACCEPTED, ids=name_of)
def test_damage_is_accepted_or_refused_by_a_listed_rule(vector: Vector) -> None:
    for payload in damaged_payloads(packet_of(vector)[4:]):
        try:
            decode_payload(vector, payload)
        except RemoteProtocolError as error:
            code, offset = error.code, error.offset
        else:
            continue
        assert code in LISTED
        assert 0 <= offset <= len(payload)


@pytest.mark.parametrize("vector", SMALL, ids=name_of)
def test_truncated_payloads_are_refused_or_end_elsewhere(vector: Vector) -> None:
    payload = packet_of(vector)[4:]
    for length in range(len(payload)):
        try:
            decode_payload(vector, payload[:length])
        except RemoteProtocolError as error:
            code = error.code
        else:
            continue
        assert code in LISTED


@pytest.mark.parametrize("size", [8192, 16000, 65536])
def test_largest_payload_is_the_packet_size_less_its_header(size: int) -> None:
    for magic in (MAGIC_FROM_CONTAINER, MAGIC_FROM_WEB_SERVER):
        splitter = _codec.Splitter(magic, size)
        splitter.feed(magic + (size - 4).to_bytes(2, "big") + b"x" * (size - 4))
        assert splitter.take() == b"x" * (size - 4)
        for length in {size - 3, min(size, 0xFFFF), 0xFFFF}:
            splitter = _codec.Splitter(magic, size)
            splitter.feed(magic + length.to_bytes(2, "big"))
            with pytest.raises(RemoteProtocolError) as caught:
                splitter.take()
            assert caught.value.code == "E_TOO_LARGE"


# --- sequences ------------------------------------------------------------------------------------


class Replay:
    """One end of a recorded connection: it receives the peer's packets and must write its own."""

    def __init__(self, cut: Callable[[bytes], list[bytes]], side: str) -> None:
        self._cut = cut
        self._is_container = side == "container"
        self.events: list[Message] = []
        self.last: Message | Signal = PAUSED
        self.connect()

    def connect(self) -> None:
        self.container = ContainerConnection()
        self.web_server = WebServerConnection()

    def receive(self, stream: bytes) -> None:
        connection = self.container if self._is_container else self.web_server
        for piece in self._cut(stream):
            connection.receive(piece)
            while not isinstance(event := connection.next_event(), Signal):
                self.events.append(event)
            self.last = event

    def write(self, packet: bytes) -> None:
        if self._is_container:
            assert self.container.send(_codec.decode_from_container(packet[4:])) == packet
        elif self.web_server.owed:
            assert self.web_server.send(_codec.decode_request_body(packet[4:])) == packet
        else:
            message = _codec.decode_from_web_server(packet[4:])
            assert self.web_server.send(message) == packet

    def run(self, steps: list[list[Any]]) -> None:
        for direction, _, packet, remark in steps:
            stream = bytes.fromhex(packet)
            if direction == "note":
                if remark == "new connection":
                    self.connect()
            elif (direction == "W>C") is self._is_container:
                self.receive(stream)
            else:
                self.write(stream)


def replay(name: str, cut: Callable[[bytes], list[bytes]], *, steps: slice | None = None) -> Replay:
    sequence = SEQUENCES[name]
    run = Replay(cut, sequence["side"])
    run.run(sequence["steps"] if steps is None else sequence["steps"][steps])
    return run


cuts = pytest.mark.parametrize("cut", [whole, bytewise])
Cut: TypeAlias = Callable[[bytes], list[bytes]]

#: What these come down to for a connection is that each step is legal and each packet as recorded.
PLAIN = ["Q01", "Q02", "Q04", "Q06", "Q08", "Q11", "Q13", "Q14", "Q20", "Q21", "Q27", "Q29", "Q30"]


@cuts
@pytest.mark.parametrize("name", PLAIN)
def test_sequence_that_ends_well(name: str, cut: Cut) -> None:
    run = replay(name, cut)
    if SEQUENCES[name]["steps"][-1][1] == "A04":
        assert run.container.state is State.CLOSED
    elif SEQUENCES[name]["side"] == "container":
        assert run.container.state in (State.IDLE, State.WAITING)
    else:
        assert run.web_server.is_reusable


def test_no_sequence_is_forgotten() -> None:
    named = {name for name in globals() if name.startswith("test_q")}
    assert {*PLAIN, *(name[5:8].upper() for name in named)} == set(SEQUENCES)


def bodies(run: Replay) -> list[bytes]:
    return [event.data for event in run.events if isinstance(event, RequestBody)]


@cuts
def test_bodies_of_the_sequences_arrive_whole(cut: Cut) -> None:
    assert [len(data) for data in bodies(replay("Q04", cut))] == [8186, 1814]
    assert bodies(replay("Q06", cut)) == [b"test=data"]
    assert bodies(replay("Q08", cut)) == [b"hello"]
    assert bodies(replay("Q02", cut)) == []


@cuts
def test_q09_web_server_disappears_within_the_body(cut: Cut) -> None:
    run = replay("Q09", cut)
    run.container.receive(b"")
    with pytest.raises(RemoteProtocolError) as caught:
        run.container.next_event()
    assert caught.value.code == "E_EOF"
    assert run.container.send_refusal() == b""


@cuts
def test_q10_body_that_ends_early(cut: Cut) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        replay("Q10", cut)
    assert caught.value.code == "E_BODY_SHORT"
    run = replay("Q10", cut, steps=slice(-1))
    assert run.container.owed


@cuts
def test_q11_smuggled_request_is_never_seen(cut: Cut) -> None:
    run = replay("Q11", cut)
    requests = [event for event in run.events if isinstance(event, ForwardRequest)]
    assert [request.uri for request in requests] == [b"/up"]
    assert len(bodies(run)) == 1


@cuts
def test_q12_unsolicited_body_is_never_read(cut: Cut) -> None:
    run = replay("Q12", cut)
    assert [event.uri for event in run.events if isinstance(event, ForwardRequest)] == [b"/up"]
    assert run.last is PAUSED
    assert run.container.has_unsolicited
    run.container.send(SendHeaders(200))
    with pytest.raises(LocalProtocolError):
        run.container.send(EndResponse(reuse=True))
    run.container.send(EndResponse(reuse=False))
    assert run.container.state is State.CLOSED
    assert len(run.events) == 1


@cuts
def test_q15_invalid_request_is_answered_and_the_connection_closed(cut: Cut) -> None:
    request, *answer = (bytes.fromhex(step[2]) for step in SEQUENCES["Q15"]["steps"])
    run = Replay(cut, "container")
    with pytest.raises(RemoteProtocolError) as caught:
        run.receive(request)
    assert caught.value.code == "E_CONTENT_LENGTH"
    assert run.container.send_refusal(400) == b"".join(answer)
    assert run.container.state is State.DEAD


@cuts
def test_q16_interim_or_second_headers(cut: Cut) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        replay("Q16", cut)
    assert caught.value.code == "E_STATUS"
    request, _, final = (bytes.fromhex(step[2]) for step in SEQUENCES["Q16"]["steps"])
    run = Replay(cut, "front end")
    run.write(request)
    run.receive(final)
    with pytest.raises(RemoteProtocolError) as caught:
        run.receive(final)
    assert caught.value.code == "E_STATE"


@cuts
def test_q18_end_without_headers(cut: Cut) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        replay("Q18", cut)
    assert caught.value.code == "E_STATE"


@cuts
def test_q23_bytes_behind_the_response(cut: Cut) -> None:
    run = replay("Q23", cut, steps=slice(3))
    assert run.web_server.is_reusable
    stray = bytes.fromhex(SEQUENCES["Q23"]["steps"][3][2])
    run.web_server.receive(stray[:1])
    assert not run.web_server.is_reusable
    with pytest.raises(LocalProtocolError):
        run.web_server.send(ForwardRequest())
    with pytest.raises(RemoteProtocolError) as caught:
        replay("Q23", cut)
    assert caught.value.code == "E_STATE"


@cuts
def test_q26_container_dies_within_the_response(cut: Cut) -> None:
    run = replay("Q26", cut)
    run.web_server.receive(b"")
    with pytest.raises(RemoteProtocolError) as caught:
        run.web_server.next_event()
    assert caught.value.code == "E_EOF"
    assert [type(event) for event in run.events] == [SendHeaders, SendBodyChunk]


@cuts
def test_q28_upload_that_breaks_off_cannot_be_ended(cut: Cut) -> None:
    run = replay("Q28", cut)
    assert run.web_server.owed
    with pytest.raises(LocalProtocolError):
        run.web_server.send(RequestBody())


@cuts
def test_flushes_are_told_from_data(cut: Cut) -> None:
    kinds = [packet_event(event) for event in replay("Q30", cut).events]
    assert kinds == [
        PacketEvent.SEND_HEADERS,
        PacketEvent.FLUSH,
        PacketEvent.SEND_BODY_CHUNK,
        PacketEvent.FLUSH,
        PacketEvent.SEND_BODY_CHUNK,
        PacketEvent.END_RESPONSE_REUSE,
    ]
