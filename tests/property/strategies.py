"""Hypothesis strategies for messages, packets, damaged packets and fragmented streams.

What is drawn here can be said on the wire within the smallest packet size; header names that have a
code are spelled as the decoder spells them, so a round trip gives back an equal message.
"""

from itertools import pairwise

from hypothesis import strategies as st

from ajp import _codec, messages
from ajp.constants import METHODS, REQUEST_HEADERS, RESPONSE_HEADERS, AttributeCode

TOKEN_BYTES = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
LARGEST_BODY = 8192 - 6
LARGEST_CHUNK = 8192 - 8


def joined(alphabet: list[int], min_size: int = 0, max_size: int = 40) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(alphabet), min_size=min_size, max_size=max_size).map(bytes)


tokens = joined(list(TOKEN_BYTES), min_size=1, max_size=20)
#: Anything but NUL: what a string on the wire may hold.
strings = joined(list(range(1, 256)))
nullable = st.none() | strings
values = joined([byte for byte in range(1, 256) if byte not in b"\r\n"])
methods = st.sampled_from(METHODS[1:]) | tokens
lengths = (st.integers(0, 20000) | st.integers(0, 2**63 - 1)).map(lambda n: b"%d" % n)


def header_names(known: tuple[bytes, ...], reserved: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    taken = {name.lower() for name in (*known, *reserved)}
    coded = st.sampled_from([n for n in known[1:] if n.lower() not in reserved])
    return coded | tokens.filter(lambda name: name.lower() not in taken)


_RESERVED = (b"content-length", b"transfer-encoding")
_plain_request_headers = st.tuples(header_names(REQUEST_HEADERS, _RESERVED), values)
_framing_headers = st.sampled_from([(), ((b"Transfer-Encoding", b"chunked"),)]) | lengths.map(
    lambda length: ((b"content-length", length),)
)
request_headers = st.tuples(
    st.lists(_plain_request_headers, max_size=6), _framing_headers, st.integers(0, 6)
).map(lambda parts: (*parts[0][: parts[2]], *parts[1], *parts[0][parts[2] :]))
response_headers = st.lists(st.tuples(header_names(RESPONSE_HEADERS, ()), values), max_size=8).map(
    tuple
)


@st.composite
def attributes(draw: st.DrawFn) -> tuple[messages.Attribute, ...]:
    """Coded ones once each, named ones as often as you like, in any order."""
    single = [
        code
        for code in AttributeCode
        if code not in (AttributeCode.REQ_ATTRIBUTE, AttributeCode.STORED_METHOD)
    ]
    found = []
    for code in draw(st.lists(st.sampled_from(single), unique=True, max_size=5)):
        is_number = code == AttributeCode.SSL_KEY_SIZE
        value = draw(st.integers(0, 0xFFFF) if is_number else nullable)
        found.append(messages.Attribute(code, value))
    for _ in range(draw(st.integers(0, 3))):
        name = draw(strings.filter(bool))
        found.append(messages.Attribute(AttributeCode.REQ_ATTRIBUTE, draw(nullable), name))
    return tuple(draw(st.permutations(found)))


forward_requests = st.builds(
    messages.ForwardRequest,
    method=methods,
    uri=strings.filter(bool),
    protocol=nullable,
    remote_addr=nullable,
    remote_host=nullable,
    server_name=nullable,
    server_port=st.integers(0, 0xFFFF),
    is_ssl=st.booleans(),
    headers=request_headers,
    attributes=attributes(),
)
_few_bytes = st.binary(max_size=60)
request_bodies = st.builds(
    messages.RequestBody,
    _few_bytes | st.integers(LARGEST_BODY - 2, LARGEST_BODY).map(lambda size: b"\x02" * size),
)
send_headers = st.builds(
    messages.SendHeaders,
    status=st.integers(200, 999),
    reason=st.none() | values,
    headers=response_headers,
)
send_body_chunks = st.builds(
    messages.SendBodyChunk,
    _few_bytes | st.integers(LARGEST_CHUNK - 2, LARGEST_CHUNK).map(lambda size: b"\0" * size),
)
get_body_chunks = st.builds(messages.GetBodyChunk, st.integers(1, LARGEST_BODY))
end_responses = st.builds(messages.EndResponse, st.booleans())

typed_from_web_server: st.SearchStrategy[messages.FromWebServer] = st.one_of(
    forward_requests, st.sampled_from([messages.CPing(), messages.Ping(), messages.Shutdown()])
)
from_web_server: st.SearchStrategy[messages.FromWebServer] = st.one_of(
    typed_from_web_server, request_bodies
)
from_container: st.SearchStrategy[messages.FromContainer] = st.one_of(
    send_headers, send_body_chunks, get_body_chunks, end_responses, st.just(messages.CPong())
)


def packets(
    of: st.SearchStrategy[messages.FromWebServer] | st.SearchStrategy[messages.FromContainer],
) -> st.SearchStrategy[bytes]:
    return of.map(_codec.encode)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Valid bytes after a few of them were changed, cut out or put in."""
    packet = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(packet)))
        edit = draw(st.sampled_from(["set", "set16", "cut", "insert"]))
        if edit == "set":
            packet[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif edit == "set16":
            value = draw(st.sampled_from([0, 1, 0x7FFF, 0x8000, 0xA000, 0xA00F, 0xFFFE, 0xFFFF]))
            packet[at : at + 2] = value.to_bytes(2, "big")
        elif edit == "cut":
            del packet[at : at + draw(st.integers(1, 8))]
        else:
            packet[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(packet)


@st.composite
def reframed(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """A damaged payload in an honest frame, so that the damage reaches the decoder."""
    packet = draw(whole)
    payload = draw(damaged(st.just(packet[4:])))
    return packet[:2] + len(payload).to_bytes(2, "big") + payload


@st.composite
def pieces(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    """The stream as a transport might deliver it."""
    cuts = draw(st.lists(st.integers(0, len(stream)), max_size=12))
    edges = [0, *sorted(set(cuts) - {0, len(stream)}), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges) if b > a]
