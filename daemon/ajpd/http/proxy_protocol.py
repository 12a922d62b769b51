"""The PROXY header a load balancer sends before the first byte of its client, versions 1 and 2.

Law: bytes in, one value out. The same bytes with more behind them give the same value again, or the
same refusal. Who may send such a header is not decided here: whoever calls this must have asked
`ajpd.http.forwarded.TrustedProxies` first, because the header says where a connection comes from.

Source: haproxy `doc/proxy-protocol.txt` (2.x), sections 2.1 and 2.2.
"""

from enum import Enum, auto
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

__all__ = ["NEED_MORE", "BadProxyHeader", "ClientTLS", "NeedMore", "ProxyHeader", "parse"]


class BadProxyHeader(ValueError):  # noqa: N818 - the connection is cut, the name says why
    """It begins like a PROXY header and is none; the connection must be cut."""


class NeedMore(Enum):
    """What `parse` returns while the header may still become whole."""

    NEED_MORE = auto()


NEED_MORE: Final = NeedMore.NEED_MORE


class ClientTLS(NamedTuple):
    r"""What the proxy says about the TLS of its client.

    Attributes:
        client_cert: 0 for no certificate, else PP2_CLIENT_CERT_CONN (2), PP2_CLIENT_CERT_SESS (4)
            or both.
        version: such as `TLSv1.3`; empty when not said.
        common_name: of the client's certificate, empty when not said. Bytes that are no UTF-8
            are written `\xNN`.
        is_verified: there was a certificate and the proxy found it good. Without it, the common
            name is only what somebody claims.
    """

    client_cert: int
    version: str
    common_name: str
    is_verified: bool


class ProxyHeader(NamedTuple):
    """What a proxy says about the connection that follows.

    Attributes:
        length: bytes of the header; the client's own begin behind them.
        source: the client's address as text; an IPv4 address mapped into IPv6 is given as IPv4.
        source_port: 0-65535.
        destination: the address the client connected to.
        destination_port: 0-65535.
        is_local: there is no address (LOCAL, UNKNOWN, UNSPEC or a Unix socket): those of the
            connection itself count, and the four above are None and 0.
        is_own: the proxy speaks for itself (LOCAL). Otherwise there is a client, known or not.
        tls: None if the client did not use TLS, or nothing is said about it.
        authority: the host name the client asked for (SNI), 1-255 visible bytes.
    """

    length: int
    source: str | None = None
    source_port: int = 0
    destination: str | None = None
    destination_port: int = 0
    is_local: bool = True
    is_own: bool = False
    tls: ClientTLS | None = None
    authority: bytes | None = None


_V1_START: Final = b"PROXY "
_V1_LONGEST: Final = 107  # section 2.1: "PROXY UNKNOWN" with two addresses and ports, CRLF included
_V2_START: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED: Final = 16
#: Bytes behind the fixed part. The protocol allows 65535; haproxy and the clouds send some hundred.
_V2_LONGEST: Final = 4096
_LOCAL: Final = 0
_PROXY: Final = 1
#: Bytes of one address by family nibble: UNSPEC, INET, INET6, UNIX.
_ADDRESS_SIZE: Final = (0, 4, 16, 108)
_INET: Final = 1
_INET6: Final = 2
_UNIX: Final = 3
_DGRAM: Final = 2

_AUTHORITY: Final = 0x02
_CRC32C: Final = 0x03
_SSL: Final = 0x20
_SSL_VERSION: Final = 0x21
_SSL_CN: Final = 0x22
_USED_TLS: Final = 0x01
_HAD_CERTIFICATE: Final = 0x06
#: Where a second one would leave open which of the two counts.
_ONLY_ONCE: Final = frozenset((_AUTHORITY, _CRC32C, _SSL, _SSL_VERSION, _SSL_CN))


def parse(data: bytes) -> ProxyHeader | NeedMore | None:
    """Read the header at the start of a connection.

    UDP addresses are taken like those of TCP: to fall back to the proxy's own address, as the
    protocol allows, would give a client the rights of the proxy.

    Args:
        data: everything received so far.

    Returns:
        None if this can be no PROXY header; NEED_MORE while it may become one. At most 4112 bytes
        are ever asked for.

    Raises:
        BadProxyHeader: it begins like one and breaks the rules.

    Source:
        proxy-protocol.txt 2.1, 2.2. Differs: more than 4096 bytes behind the fixed part are
        refused, and so is a second TLV of one of the types that are used here.
    """
    if data.startswith(_V1_START):
        return _parse_v1(data)
    if data.startswith(_V2_START):
        return _parse_v2(data)
    if _V1_START.startswith(data) or _V2_START.startswith(data):
        return NEED_MORE
    return None


def _parse_v1(data: bytes) -> ProxyHeader | NeedMore:
    line, newline, _ = data[:_V1_LONGEST].partition(b"\r\n")
    # A CR may be the last byte so far, if its LF still fits.
    bare = line if newline or len(line) >= _V1_LONGEST else line.removesuffix(b"\r")
    if b"\r" in bare or b"\n" in bare:
        raise BadProxyHeader("CR and LF stand together, at the end of a PROXY line, and only there")
    if not newline:
        if len(line) >= _V1_LONGEST:
            raise BadProxyHeader(f"no end of the PROXY line in {_V1_LONGEST} bytes")
        return NEED_MORE
    length = len(line) + 2
    family, *words = line[len(_V1_START) :].split(b" ")
    if family == b"UNKNOWN":
        return ProxyHeader(length)
    if family not in (b"TCP4", b"TCP6"):
        raise BadProxyHeader(f"family {family!r}: expected TCP4, TCP6 or UNKNOWN")
    if len(words) != 4:
        raise BadProxyHeader(f"{len(words)} words behind {family.decode()}: expected 4")
    return ProxyHeader(
        length,
        source=_address(family, words[0]),
        source_port=_port(words[2]),
        destination=_address(family, words[1]),
        destination_port=_port(words[3]),
        is_local=False,
    )


def _address(family: bytes, word: bytes) -> str:
    """Check one address; the family says which kind it must be."""
    try:
        text = word.decode("ascii")
        if family == b"TCP4":
            return str(IPv4Address(text))
        if "%" not in text:  # the name of an interface means nothing on another machine
            return _v6_text(IPv6Address(text))
    except ValueError as wrong:
        raise BadProxyHeader(f"{word!r} is no {family.decode()} address") from wrong
    raise BadProxyHeader(f"{word!r} is no {family.decode()} address")


def _v6_text(address: IPv6Address) -> str:
    return str(address.ipv4_mapped or address)


def _port(word: bytes) -> int:
    if not word.isdigit() or len(word) > 5 or (word[0] == 0x30 and word != b"0"):
        raise BadProxyHeader(f"port {word!r}: expected 0-65535 without leading zeroes")
    port = int(word)
    if port > 0xFFFF:
        raise BadProxyHeader(f"port {word!r}: expected 0-65535 without leading zeroes")
    return port


def _parse_v2(data: bytes) -> ProxyHeader | NeedMore:
    """Check the fixed part byte by byte as it comes, so that what is wrong ends at once."""
    if len(data) > 12 and data[12] not in (0x20 | _LOCAL, 0x20 | _PROXY):
        raise BadProxyHeader(
            f"version and command 0x{data[12]:02X} at offset 12: expected 0x20 or 0x21"
        )
    is_local = len(data) > 12 and data[12] & 0x0F == _LOCAL
    if len(data) > 13 and not is_local:
        _check_family(data[13])
    if len(data) < _V2_FIXED:
        return NEED_MORE
    size = int.from_bytes(data[14:16], "big")
    if size > _V2_LONGEST:
        raise BadProxyHeader(f"{size} bytes of addresses and TLVs: allowed are {_V2_LONGEST}")
    length = _V2_FIXED + size
    if len(data) < length:
        return NEED_MORE
    family, protocol = divmod(data[13], 16)
    if is_local or not family or not protocol:
        # Nothing in the block counts, the addresses least of all.
        return ProxyHeader(length, is_own=is_local)
    return _read_block(data[:length], family)


def _check_family(byte: int) -> None:
    family, protocol = divmod(byte, 16)
    if family > _UNIX or protocol > _DGRAM:
        raise BadProxyHeader(f"family and protocol 0x{byte:02X} at offset 13 are unknown")


def _read_block(header: bytes, family: int) -> ProxyHeader:
    """Read addresses and TLVs of a whole header with a family and a protocol."""
    size = _ADDRESS_SIZE[family]
    end = _V2_FIXED + 2 * size + (0 if family == _UNIX else 4)
    if len(header) < end:
        raise BadProxyHeader(
            f"{len(header) - _V2_FIXED} bytes of addresses: family {family} has {end - _V2_FIXED}"
        )
    values = _tlvs(header, end, len(header))
    _check_crc(header, values)
    found = ProxyHeader(
        len(header), tls=_client_tls(header, values), authority=_authority(header, values)
    )
    if family == _UNIX:
        return found
    addresses = [
        str(IPv4Address(raw)) if family == _INET else _v6_text(IPv6Address(raw))
        for raw in (header[16 : 16 + size], header[16 + size : 16 + 2 * size])
    ]
    ports = header[end - 4 : end]
    return found._replace(
        source=addresses[0],
        source_port=int.from_bytes(ports[:2], "big"),
        destination=addresses[1],
        destination_port=int.from_bytes(ports[2:], "big"),
        is_local=False,
    )


def _tlvs(header: bytes, start: int, end: int) -> dict[int, slice]:
    """Find where the values are; types that nobody here asks for are only checked for length."""
    found: dict[int, slice] = {}
    pos = start
    while pos < end:
        value = pos + 3
        stop = value + int.from_bytes(header[pos + 1 : value], "big")
        if value > end or stop > end:
            raise BadProxyHeader(f"the TLV at offset {pos} does not end in its place")
        kind = header[pos]
        if kind in found and kind in _ONLY_ONCE:
            raise BadProxyHeader(f"a second TLV of type 0x{kind:02X} at offset {pos}")
        found[kind] = slice(value, stop)
        pos = stop
    return found


def _authority(header: bytes, values: dict[int, slice]) -> bytes | None:
    place = values.get(_AUTHORITY)
    name = header[place] if place is not None else b""
    if len(name) > 255 or any(byte <= 0x20 or byte == 0x7F for byte in name):
        raise BadProxyHeader(f"the authority {name[:255]!r} is no host name of 1-255 bytes")
    return name or None


def _client_tls(header: bytes, values: dict[int, slice]) -> ClientTLS | None:
    """Read the TLV of type PP2_TYPE_SSL: a byte, a number of four bytes, TLVs."""
    place = values.get(_SSL)
    if place is None:
        return None
    if place.stop - place.start < 5:
        raise BadProxyHeader(f"the TLS part at offset {place.start} has less than 5 bytes")
    client = header[place.start]
    verify = header[place.start + 1 : place.start + 5]
    inner = _tlvs(header, place.start + 5, place.stop)
    version = _visible(header, inner.get(_SSL_VERSION))
    common_name = _visible(header, inner.get(_SSL_CN))
    if not client & _USED_TLS:
        return None
    certificate = client & _HAD_CERTIFICATE
    return ClientTLS(
        client_cert=certificate,
        version=version,
        common_name=common_name,
        is_verified=bool(certificate) and verify == bytes(4),
    )


def _visible(header: bytes, place: slice | None) -> str:
    """Read a text that goes into attributes and logs, where a NUL or a line break would cut it."""
    raw = header[place] if place is not None else b""
    if any(byte < 0x20 or byte == 0x7F for byte in raw):
        raise BadProxyHeader(f"a control byte in the TLS part: {raw[:100]!r}")
    # Old certificates have names in Latin-1. Their owners are not turned away for that.
    return raw.decode("utf-8", "backslashreplace")


def _crc_table() -> tuple[int, ...]:
    """Make the table for one byte at a time, reflected polynomial 0x82F63B78 (RFC 4960, B)."""
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_CRC_TABLE: Final = _crc_table()


def _check_crc(header: bytes, values: dict[int, slice]) -> None:
    place = values.get(_CRC32C)
    if place is None:
        return
    if place.stop - place.start != 4:
        raise BadProxyHeader(f"the checksum at offset {place.start} is not of 4 bytes")
    crc = 0xFFFFFFFF
    for byte in header[: place.start] + bytes(4) + header[place.stop :]:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    expected = crc ^ 0xFFFFFFFF
    got = int.from_bytes(header[place], "big")
    if got != expected:
        raise BadProxyHeader(f"checksum 0x{got:08X}: expected 0x{expected:08X}")
