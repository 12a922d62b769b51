"""What holds for every message and every byte string the codec may meet."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ajp import _codec, messages
from ajp.constants import MAGIC_FROM_CONTAINER, MAGIC_FROM_WEB_SERVER
from ajp.errors import RemoteProtocolError
from tests.property import strategies as ours

few = settings(max_examples=60, deadline=None)
many = settings(max_examples=150, deadline=None)

DECODERS: list[Callable[[bytes], object]] = [
    _codec.decode_from_web_server,
    lambda payload: _codec.decode_from_web_server(payload, 4, 0x7F),
    _codec.decode_request_body,
    lambda payload: _codec.decode_request_body(payload, strict=True),
    _codec.decode_from_container,
]


def payload_of(packet: bytes, magic: bytes) -> bytes:
    splitter = _codec.Splitter(magic)
    splitter.feed(packet)
    payload = splitter.take()
    assert payload is not None
    splitter.finish()
    return payload


@many
@given(ours.typed_from_web_server)
def test_messages_from_the_web_server_survive_a_round_trip(
    message: messages.FromWebServer,
) -> None:
    payload = payload_of(_codec.encode(message), MAGIC_FROM_WEB_SERVER)
    assert _codec.decode_from_web_server(payload) == message


@few
@given(ours.request_bodies)
def test_request_bodies_survive_a_round_trip(message: messages.RequestBody) -> None:
    payload = payload_of(_codec.encode(message), MAGIC_FROM_WEB_SERVER)
    assert _codec.decode_request_body(payload, strict=True) == message


@many
@given(ours.from_container)
def test_messages_from_the_container_survive_a_round_trip(
    message: messages.FromContainer,
) -> None:
    payload = payload_of(_codec.encode(message), MAGIC_FROM_CONTAINER)
    assert _codec.decode_from_container(payload) == message


@few
@given(ours.typed_from_web_server | ours.from_container)
def test_packet_size_does_not_change_what_is_written(
    message: messages.FromWebServer | messages.FromContainer,
) -> None:
    assert _codec.encode(message) == _codec.encode(message, 65536)


@few
@given(st.lists(ours.from_container, max_size=8), st.data())
def test_any_split_of_a_stream_gives_the_same_payloads(
    sent: list[messages.FromContainer], data: st.DataObject
) -> None:
    stream = b"".join(map(_codec.encode, sent))
    splitter = _codec.Splitter(MAGIC_FROM_CONTAINER)
    got = []
    for piece in data.draw(ours.pieces(stream)):
        splitter.feed(piece)
        while (payload := splitter.take()) is not None:
            got.append(_codec.decode_from_container(payload))
    assert got == sent
    assert splitter.buffered == 0


@few
@given(st.lists(ours.from_container, max_size=4), st.binary(max_size=3), st.data())
def test_the_remainder_stays_where_it_is(
    sent: list[messages.FromContainer], tail: bytes, data: st.DataObject
) -> None:
    remainder = (MAGIC_FROM_CONTAINER + b"\x00\x09" + tail)[: data.draw(st.integers(0, 7))]
    splitter = _codec.Splitter(MAGIC_FROM_CONTAINER)
    splitter.feed(b"".join(map(_codec.encode, sent)) + remainder)
    for message in sent:
        payload = splitter.take()
        assert payload is not None
        assert _codec.decode_from_container(payload) == message
    assert splitter.take() is None
    assert splitter.buffered == len(remainder)
    if remainder:
        with pytest.raises(RemoteProtocolError) as caught:
            splitter.finish()
        assert caught.value.code == "E_TRUNCATED"


def check_outcome(decoder: Callable[[bytes], object], payload: bytes) -> None:
    """A message or a RemoteProtocolError that says where; any other exception fails the test."""
    error = refusal(decoder, payload)
    if error is None:
        assert type(decoder(payload)).__module__ == "ajp.messages"
    else:
        assert error.code.startswith("E_")
        assert -1 <= error.offset <= len(payload)
        assert error.expected


def refusal(call: Callable[..., object], *arguments: object) -> RemoteProtocolError | None:
    try:
        call(*arguments)
    except RemoteProtocolError as error:
        return error
    return None


@many
@given(st.sampled_from(DECODERS), st.binary(max_size=300))
def test_garbage_gives_remote_protocol_errors_only(
    decoder: Callable[[bytes], object], payload: bytes
) -> None:
    check_outcome(decoder, payload)
    check_outcome(decoder, b"\x02\x02" + payload)
    check_outcome(decoder, b"\x04\x00\xc8" + payload)


@many
@given(ours.reframed(ours.packets(ours.from_web_server) | ours.packets(ours.from_container)))
def test_damaged_payloads_give_remote_protocol_errors_only(packet: bytes) -> None:
    for decoder in DECODERS:
        check_outcome(decoder, packet[4:])


@many
@given(
    st.sampled_from([MAGIC_FROM_CONTAINER, MAGIC_FROM_WEB_SERVER]),
    st.binary(max_size=40)
    | ours.damaged(ours.packets(ours.from_web_server) | ours.packets(ours.from_container)),
)
def test_damaged_streams_give_remote_protocol_errors_only(magic: bytes, stream: bytes) -> None:
    splitter = _codec.Splitter(magic)
    splitter.feed(stream)
    taken = 0

    def run() -> None:
        nonlocal taken
        while (payload := splitter.take()) is not None:
            taken += 4 + len(payload)
        assert taken + splitter.buffered == len(stream)
        splitter.finish()

    error = refusal(run)
    if error is None:
        assert splitter.buffered == 0
    else:
        for call in (splitter.take, splitter.finish, lambda: splitter.feed(b"more")):
            again = refusal(call)
            assert again is not None
            assert again.code == error.code


@many
@given(ours.reframed(ours.packets(ours.from_web_server) | ours.packets(ours.from_container)))
def test_what_was_accepted_can_be_encoded_again(packet: bytes) -> None:
    """Except for what a reader sees in the wild and a writer never says."""
    for decoder in (_codec.decode_from_web_server, _codec.decode_from_container):
        try:
            message = decoder(packet[4:])
        except RemoteProtocolError:
            continue
        if isinstance(message, messages.SendHeaders) and message.status < 200:
            continue
        if isinstance(message, messages.GetBodyChunk) and message.requested > 65530:
            continue
        if isinstance(message, messages.ForwardRequest) and any(
            len(name) > 255 for name, _ in message.headers
        ):
            continue
        again = _codec.encode(message, 65536)
        assert decoder(again[4:]) == message
