"""Valid streams to begin with and the damage done to them; everything follows from one seed."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ajp import _codec
from ajp.constants import METHODS, REQUEST_HEADERS, RESPONSE_HEADERS, AttributeCode
from ajp.messages import (
    Attribute,
    CPing,
    CPong,
    EndResponse,
    ForwardRequest,
    FromContainer,
    FromWebServer,
    GetBodyChunk,
    Headers,
    RequestBody,
    SendBodyChunk,
    SendHeaders,
)

VECTORS = Path(__file__).parents[1] / "vectors" / "ajp13.json"
RANDOM_MESSAGES = 600
#: Bytes and numbers that sit at the edges of something: signs, header codes, packet sizes, nulls.
EDGE_BYTES = (0x00, 0x7F, 0x80, 0xFF)
EDGE_NUMBERS = (
    *(0, 1, 2, 3, 4, 5, 0x7F, 0x80, 0xFF, 0x100, 0x1FF8, 0x1FFA, 0x1FFC, 0x1FFD, 0x2000),
    *(0x7FFF, 0x8000, 0x9FFF, 0xA000, 0xA001, 0xA00B, 0xA00E, 0xA00F, 0xFFFC, 0xFFFE, 0xFFFF),
)
TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
PLAIN_CODES = tuple(
    code
    for code in AttributeCode
    if code
    not in (AttributeCode.REQ_ATTRIBUTE, AttributeCode.SSL_KEY_SIZE, AttributeCode.STORED_METHOD)
)

Mutation: TypeAlias = Callable[[random.Random, bytearray, "Corpus"], None]


# --- messages -------------------------------------------------------------------------------------


def _token(rng: random.Random) -> bytes:
    return bytes(rng.choices(TOKEN, k=rng.randint(1, 24)))


def _text(rng: random.Random) -> bytes:
    length = rng.choice((0, 1, 5, 20, 60)) if rng.random() < 0.95 else rng.randint(200, 2000)
    return bytes(rng.choices(range(0x20, 0x100), k=length))


def _nullable(rng: random.Random) -> bytes | None:
    return None if rng.random() < 0.3 else _text(rng)


def _headers(rng: random.Random, known: tuple[bytes, ...]) -> Headers:
    # The length is drawn apart: whoever writes one has to mean it.
    names = [name for name in known[1:] if name.lower() != b"content-length"]
    found = []
    for _ in range(rng.choice((0, 1, 2, 5, 9, 30))):
        name = rng.choice(names) if rng.random() < 0.7 else b"x-" + _token(rng)
        found.append((name, _text(rng)))
    return tuple(found)


def _request(rng: random.Random) -> ForwardRequest:
    framing: Headers = rng.choice(
        (
            (),
            ((b"content-length", b"%d" % rng.choice((0, 1, 5, 8186, 2**63 - 1))),),
            ((b"Transfer-Encoding", b"chunked"),),
        )
    )
    attributes = [Attribute(code, _nullable(rng)) for code in PLAIN_CODES if rng.random() < 0.2]
    attributes += [
        Attribute(AttributeCode.REQ_ATTRIBUTE, _nullable(rng), _token(rng))
        for _ in range(rng.choice((0, 0, 1, 4)))
    ]
    if rng.random() < 0.3:
        key_size = rng.choice((0, 1, 5, 128, 256, 65535))
        attributes.append(Attribute(AttributeCode.SSL_KEY_SIZE, key_size))
    rng.shuffle(attributes)
    return ForwardRequest(
        method=rng.choice(METHODS[1:]) if rng.random() < 0.8 else _token(rng),
        uri=b"/" + _text(rng),
        protocol=_nullable(rng),
        remote_addr=_nullable(rng),
        remote_host=_nullable(rng),
        server_name=_nullable(rng),
        server_port=rng.randint(0, 0xFFFF),
        is_ssl=rng.random() < 0.5,
        headers=_headers(rng, REQUEST_HEADERS) + framing,
        attributes=tuple(attributes),
    )


def _data(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((1, 2, 5, 60)) if rng.random() < 0.97 else 8184)


def random_message(rng: random.Random) -> FromWebServer | FromContainer:
    """A message of either end."""
    kind = rng.randrange(12)
    if kind < 5:
        return _request(rng)
    if kind < 8:
        status = rng.choice((200, 204, 404, 500, 999))
        return SendHeaders(status, _nullable(rng), _headers(rng, RESPONSE_HEADERS))
    if kind == 8:
        return SendBodyChunk(_data(rng)) if rng.random() < 0.8 else SendBodyChunk()
    if kind == 9:
        return RequestBody(_data(rng)) if rng.random() < 0.8 else RequestBody()
    if kind == 10:
        return GetBodyChunk(rng.choice((1, 5, 8185, 8186)))
    return rng.choice((CPing(), CPong(), EndResponse(reuse=True), EndResponse(reuse=False)))


# --- streams --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Corpus:
    """Streams by the end that sends them, each with the packets it consists of."""

    from_web_server: tuple[bytes, ...]
    from_container: tuple[bytes, ...]

    @property
    def all(self) -> tuple[bytes, ...]:
        """Every stream."""
        return self.from_web_server + self.from_container

    def choose(self, rng: random.Random) -> bytes:
        """One stream; those of thousands of bytes come rarely, for they are slow and dull."""
        streams = self.from_container if rng.random() < 0.5 else self.from_web_server
        found = rng.choice(streams)
        while len(found) > 2500 and rng.random() < 0.9:
            found = rng.choice(streams)
        return found


def load_corpus(seed: int) -> Corpus:
    """The golden packets and exchanges, and random messages beside them."""
    document = json.loads(VECTORS.read_text())
    streams = [bytes.fromhex(vector["hex"]) for vector in document["packets"]]
    for sequence in document["sequences"]:
        for direction in ("W>C", "C>W"):
            packets = [bytes.fromhex(step[2]) for step in sequence["steps"] if step[0] == direction]
            streams.append(b"".join(packets))
    rng = random.Random(seed)
    for _ in range(RANDOM_MESSAGES):
        streams.append(_codec.encode(random_message(rng), 65536))
    for _ in range(RANDOM_MESSAGES // 10):
        streams.append(_response(rng))
    return Corpus(
        tuple(stream for stream in streams if stream[:1] == b"\x12"),
        tuple(stream for stream in streams if stream[:1] == b"A"),
    )


def _response(rng: random.Random) -> bytes:
    """A whole answer, so that damage is met in every state of a connection."""
    status = rng.choice((200, 304, 500))
    messages: list[FromContainer] = [SendHeaders(status, b"OK", _headers(rng, RESPONSE_HEADERS))]
    for _ in range(rng.randint(0, 4)):
        chunk = SendBodyChunk() if rng.random() < 0.2 else SendBodyChunk(_data(rng))
        messages.append(chunk)
    for _ in range(rng.choice((0, 0, 1, 3))):
        messages.insert(rng.randint(0, len(messages)), GetBodyChunk(rng.choice((1, 8186))))
    messages.append(EndResponse(reuse=rng.random() < 0.7))
    return b"".join(_codec.encode(message, 65536) for message in messages)


# --- damage ---------------------------------------------------------------------------------------


def _flip(rng: random.Random, data: bytearray, corpus: Corpus) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set_byte(rng: random.Random, data: bytearray, corpus: Corpus) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((*EDGE_BYTES, rng.randrange(256)))


def _place_of_a_length(rng: random.Random, data: bytearray) -> int:
    """Where two bytes look like the length of a string; anywhere, if they are not found soon."""
    at = 0
    for _ in range(12):
        at = rng.randrange(max(len(data) - 1, 1))
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end < len(data) and data[end] == 0:
            break
    return at


def _replace_length(rng: random.Random, data: bytearray, corpus: Corpus) -> None:
    at = _place_of_a_length(rng, data)
    old = int.from_bytes(data[at : at + 2], "big")
    rest = max(len(data) - at - 2, 0)
    near = (old - 1, old + 1, rest - 1, rest, rest + 1, 0xA000 | (old & 0xFF))
    number = rng.choice((*EDGE_NUMBERS, *near, rng.randrange(0x10000)))
    data[at : at + 2] = (number & 0xFFFF).to_bytes(2, "big")


def _replace_string(rng: random.Random, data: bytearray, corpus: Corpus) -> None:
    """Put in another string with the right length, so that what stands behind is read at all."""
    at = _place_of_a_length(rng, data)
    end = at + 2 + int.from_bytes(data[at : at + 2], "big") + 1
    if end <= len(data):
        text = rng.choice((b"", b"5", b"chunked", _token(rng), _text(rng), rng.randbytes(4)))
        data[at:end] = len(text).to_bytes(2, "big") + text + b"\0"


def _truncate(rng: random.Random, data: bytearray, corpus: Corpus) -> None:
    del data[rng.randint(0, len(data)) :]


def _cut(rng: random.Random, data: bytearray, corpus: Corpus) -> None:
    at = rng.randint(0, len(data))
    del data[at : at + rng.randint(1, 8)]


def _insert(rng: random.Random, data: bytearray, corpus: Corpus) -> None:
    at = rng.randint(0, len(data))
    count = rng.randint(1, 8)
    filler = bytes((rng.choice(EDGE_BYTES),)) * count
    data[at:at] = filler if rng.random() < 0.5 else rng.randbytes(count)


def _repeat(rng: random.Random, data: bytearray, corpus: Corpus) -> None:
    start = rng.randint(0, len(data))
    piece = data[start : start + rng.randint(1, 40)]
    at = rng.randint(0, len(data))
    data[at:at] = piece


def _splice(rng: random.Random, data: bytearray, corpus: Corpus) -> None:
    other = corpus.choose(rng)
    data[rng.randint(0, len(data)) :] = other[rng.randint(0, len(other)) :]


def _append(rng: random.Random, data: bytearray, corpus: Corpus) -> None:
    data += corpus.choose(rng)


def _reframe(rng: random.Random, data: bytearray, corpus: Corpus) -> None:
    if len(data) >= 4:
        data[2:4] = ((len(data) - 4) & 0xFFFF).to_bytes(2, "big")


def _misframe(rng: random.Random, data: bytearray, corpus: Corpus) -> None:
    if len(data) >= 4:
        near = (len(data) - 5, len(data) - 3, rng.randrange(0x10000))
        data[2:4] = (rng.choice((*EDGE_NUMBERS, *near)) & 0xFFFF).to_bytes(2, "big")


MUTATIONS: tuple[Mutation, ...] = (
    *(_flip, _set_byte, _replace_length, _replace_length, _replace_string, _replace_string),
    *(_truncate, _cut, _insert, _repeat, _splice, _append, _misframe),
)


def packets_of(stream: bytes) -> list[bytes]:
    """A valid stream cut into its packets; what is no whole packet stays in one piece."""
    found = []
    while len(stream) >= 4:
        end = 4 + int.from_bytes(stream[2:4], "big")
        found.append(stream[:end])
        stream = stream[end:]
    return [*found, stream] if stream or not found else found


def damaged(rng: random.Random, corpus: Corpus) -> bytes:
    """One stream, with nothing to five things done to one of its packets."""
    packets = packets_of(corpus.choose(rng))
    at = rng.randrange(len(packets))
    data = bytearray(packets[at])
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        rng.choice(MUTATIONS)(rng, data, corpus)
    # In an honest frame the damage reaches the decoder, and what follows stays in step.
    if rng.random() < 0.6:
        _reframe(rng, data, corpus)
    packets[at] = bytes(data)
    return b"".join(packets)
