"""PROXY headers: what was written is read, however it is cut; garbage is refused or waited for."""

import struct
from ipaddress import IPv4Address, IPv6Address

from hypothesis import given, settings
from hypothesis import strategies as st

from ajpd.http.proxy_protocol import NEED_MORE, BadProxyHeader, NeedMore, ProxyHeader, parse
from tests.property.strategies import damaged

Outcome = ProxyHeader | NeedMore | None | type[BadProxyHeader]

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ports = st.integers(0, 0xFFFF)
v4 = st.integers(0, 2**32 - 1).map(IPv4Address)
v6 = st.integers(0, 2**128 - 1).map(IPv6Address).filter(lambda address: not address.ipv4_mapped)
addresses = st.tuples(v4, v4) | st.tuples(v6, v6)


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


@st.composite
def lines(draw: st.DrawFn) -> tuple[bytes, ProxyHeader]:
    """Version 1, IPv6 in a spelling of the sender's choice."""
    source, destination = draw(addresses)
    source_port, destination_port = draw(ports), draw(ports)
    spell = draw(st.sampled_from([str, lambda a: a.exploded, lambda a: str(a).upper()]))
    family = "TCP4" if source.version == 4 else "TCP6"
    words = f"{spell(source)} {spell(destination)} {source_port} {destination_port}"
    line = f"PROXY {family} {words}\r\n".encode()
    header = ProxyHeader(
        len(line), str(source), source_port, str(destination), destination_port, is_local=False
    )
    return line, header


@st.composite
def blocks(draw: st.DrawFn) -> tuple[bytes, ProxyHeader]:
    """Version 2 with TLVs that mean nothing here, and maybe an authority."""
    source, destination = draw(addresses)
    source_port, destination_port = draw(ports), draw(ports)
    family = (0x11 if source.version == 4 else 0x21) + draw(st.integers(0, 1))
    others = st.builds(tlv, st.sampled_from([1, 4, 5, 0x30, 0xEA]), st.binary(max_size=20))
    tlvs = draw(st.lists(others, max_size=4))
    authority = draw(st.none() | st.just(b"host.example"))
    if authority is not None:
        tlvs.insert(draw(st.integers(0, len(tlvs))), tlv(2, authority))
    block = b"".join(
        (source.packed, destination.packed, struct.pack("!HH", source_port, destination_port))
    ) + b"".join(tlvs)
    whole = SIGNATURE + struct.pack("!BBH", 0x21, family, len(block)) + block
    header = ProxyHeader(
        *(len(whole), str(source), source_port, str(destination), destination_port),
        is_local=False,
        authority=authority,
    )
    return whole, header


headers = lines() | blocks()
whole_headers = headers.map(lambda pair: pair[0])


def outcome(data: bytes) -> Outcome:
    try:
        return parse(data)
    except BadProxyHeader:
        return BadProxyHeader


def check_growth(data: bytes) -> None:
    """Once something is decided, more bytes change nothing."""
    decided: Outcome = NEED_MORE
    for length in range(len(data) + 1):
        now = outcome(data[:length])
        if decided is not NEED_MORE:
            assert now == decided
        elif isinstance(now, ProxyHeader):
            assert now.length <= length
        decided = now


@given(headers, st.binary(max_size=8))
def test_what_was_written_is_read(pair: tuple[bytes, ProxyHeader], rest: bytes) -> None:
    whole, header = pair
    assert parse(whole + rest) == header
    assert all(parse(whole[:length]) is NEED_MORE for length in range(len(whole)))


@settings(max_examples=300)
@given(damaged(whole_headers))
def test_a_damaged_header_is_decided_once(data: bytes) -> None:
    check_growth(data)


@given(
    st.sampled_from([b"", b"PROXY ", b"PROXY UNKNOWN", SIGNATURE, SIGNATURE + b"\x21\x11\0"]),
    st.binary(max_size=120) | st.text("\r\n 14x.:", max_size=120).map(str.encode),
)
def test_garbage_is_decided_once(start: bytes, rest: bytes) -> None:
    check_growth(start + rest)


@given(st.binary(max_size=30), st.integers(0, 4))
def test_what_is_asked_for_is_bounded(rest: bytes, repeat: int) -> None:
    data = (SIGNATURE + rest + bytes(1030 * repeat)).ljust(16 + 4096, b"\0")
    assert outcome(data) is not NEED_MORE
    assert outcome((b"PROXY " + rest).ljust(107, b"x")) is not NEED_MORE
