"""PROXY headers: what haproxy sends, what the text allows, and everything that is cut off."""

import re
import struct

import pytest

from ajpd.http.proxy_protocol import (
    NEED_MORE,
    BadProxyHeader,
    ClientTLS,
    NeedMore,
    ProxyHeader,
    parse,
)

SIGNATURE = bytes.fromhex("0D0A0D0A000D0A515549540A")
LOCAL, PROXY = 0x20, 0x21
TCP4 = bytes([10, 0, 0, 7, 192, 168, 1, 2]) + struct.pack("!HH", 40000, 443)
TCP6 = bytes.fromhex("20010db8" + 11 * "00" + "01" + "20010db8" + 11 * "00" + "02") + bytes(
    [0, 80, 1, 187]
)
FROM_TCP4 = ProxyHeader(0, "10.0.0.7", 40000, "192.168.1.2", 443, is_local=False)


def v2(block: bytes, *, command: int = PROXY, family: int = 0x11) -> bytes:
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(block)) + block


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def tls(client: int, *inner: bytes, verify: int = 0) -> bytes:
    return tlv(0x20, struct.pack("!BI", client, verify) + b"".join(inner))


def crc32c(data: bytes) -> int:
    """Bit by bit, most significant last: as RFC 4960 says it, without a table."""
    crc = 0xFFFFFFFF
    for byte in data:
        for bit in range(8):
            is_odd = (crc ^ byte >> bit) & 1
            crc = crc >> 1 ^ (0x82F63B78 if is_odd else 0)
    return crc ^ 0xFFFFFFFF


def with_crc(addresses: bytes, *tlvs: bytes, family: int = 0x11) -> bytes:
    """A header whose first TLV is its checksum."""
    whole = v2(addresses + tlv(3, bytes(4)) + b"".join(tlvs), family=family)
    at = 16 + len(addresses) + 3
    return whole[:at] + struct.pack("!I", crc32c(whole)) + whole[at + 4 :]


def test_the_checksum_of_the_tests() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4


# Sent by haproxy 2.6.12: send-proxy, send-proxy-v2, proxy-v2-options ssl, cert-cn, ssl-cipher,
# authority, crc32c, unique-id. The client spoke over loopback or a Unix socket.
CAPTURED = {
    "v1 TCP4": (
        b"PROXY TCP4 127.0.0.1 127.0.0.1 51220 18911\r\n",
        ProxyHeader(44, "127.0.0.1", 51220, "127.0.0.1", 18911, is_local=False),
    ),
    "v1 TCP6": (
        b"PROXY TCP6 ::1 ::1 40234 18912\r\n",
        ProxyHeader(32, "::1", 40234, "::1", 18912, is_local=False),
    ),
    "v1 TCP6 mapped": (
        b"PROXY TCP6 ::ffff:127.0.0.1 ::ffff:127.0.0.1 54914 18916\r\n",
        ProxyHeader(58, "127.0.0.1", 54914, "127.0.0.1", 18916, is_local=False),
    ),
    "v1 Unix": (b"PROXY UNKNOWN\r\n", ProxyHeader(15)),
    "v2 TCP4": (
        bytes.fromhex("0d0a0d0a000d0a515549540a2111000c7f0000017f000001b06849e1"),
        ProxyHeader(28, "127.0.0.1", 45160, "127.0.0.1", 18913, is_local=False),
    ),
    "v2 TCP6 checksum": (
        bytes.fromhex(
            "0d0a0d0a000d0a515549540a2121002b0000000000000000000000000000000100000000000000"
            "000000000000000001d26649e2030004a2c807f1"
        ),
        ProxyHeader(59, "::1", 53862, "::1", 18914, is_local=False),
    ),
    "v2 TLS": (
        bytes.fromhex(
            "0d0a0d0a000d0a515549540a2111004e7f0000017f000001e9be49e3030004ff4be59a02000a66"
            "726f6e742e746573740500002000280100000000210007544c5376312e33230016544c535f4145"
            "535f3235365f47434d5f534841333834"
        ),
        ProxyHeader(
            94,
            *("127.0.0.1", 59838, "127.0.0.1", 18915),
            is_local=False,
            tls=ClientTLS(0, "TLSv1.3", "", is_verified=False),
            authority=b"front.test",
        ),
    ),
    "v2 TLS certificate": (
        bytes.fromhex(
            "0d0a0d0a000d0a515549540a2111005b7f0000017f000001e9c649e3030004a86e38ec02000a66"
            "726f6e742e746573740500002000350700000000210007544c5376312e3322000a416e6e204bc3"
            "a4666572230016544c535f4145535f3235365f47434d5f534841333834"
        ),
        ProxyHeader(
            107,
            *("127.0.0.1", 59846, "127.0.0.1", 18915),
            is_local=False,
            tls=ClientTLS(6, "TLSv1.3", "Ann Käfer", is_verified=True),
            authority=b"front.test",
        ),
    ),
    "v2 Unix": (
        bytes.fromhex("0d0a0d0a000d0a515549540a20000007030004a9b87e8f"),
        ProxyHeader(23, is_own=True),
    ),
}


@pytest.mark.parametrize("name", CAPTURED)
def test_what_haproxy_sends(name: str) -> None:
    header, expected = CAPTURED[name]
    assert expected.length == len(header)
    assert parse(header) == expected
    assert parse(header + b"GET / HTTP/1.1\r\n") == expected
    for length in range(len(header)):
        assert parse(header[:length]) is NEED_MORE


@pytest.mark.parametrize(
    "data",
    [
        *(b"G", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00", b"\n", b"\r\n\r\nGET", b"\r\nG"),
        *(b"POST ", b"PROXYTCP4", b"PROXY\r\n", b"proxy TCP4 ", b" PROXY", b"\0", b"PROPFIND /"),
        SIGNATURE[:-1] + b"\r",
    ],
)
def test_what_is_no_header(data: bytes) -> None:
    assert parse(data) is None


@pytest.mark.parametrize("signature", [b"PROXY ", SIGNATURE])
def test_the_beginning_of_a_signature(signature: bytes) -> None:
    for length in range(len(signature) + 1):
        assert parse(signature[:length]) is NeedMore.NEED_MORE


# --- version 1 ------------------------------------------------------------------------------------


def test_v1() -> None:
    line = b"PROXY TCP6 2001:DB8:0:0:0:0:0:1 ffff:: 0 65535\r\n"
    assert parse(line + b"\r\n") == ProxyHeader(
        len(line), "2001:db8::1", 0, "ffff::", 65535, is_local=False
    )
    assert parse(b"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n") == ProxyHeader(
        44, "255.255.255.255", 65535, "0.0.0.0", 0, is_local=False
    )


@pytest.mark.parametrize("rest", [b"", b" ", b" TCP4 1 2 3 4 5", b" \xff\0 x", b" " + 91 * b"x"])
def test_v1_unknown_ignores_the_rest_of_the_line(rest: bytes) -> None:
    line = b"PROXY UNKNOWN" + rest + b"\r\n"
    assert parse(line + b"PROXY") == ProxyHeader(len(line))


def test_v1_longest_line() -> None:
    line = b"PROXY UNKNOWN" + 92 * b"x"
    assert len(line) == 105
    with pytest.raises(BadProxyHeader, match="family"):
        parse(line + b"\r\n")
    line = b"PROXY UNKNOWN " + 91 * b"x"
    assert parse(line) is NEED_MORE
    assert parse(line + b"\r") is NEED_MORE
    assert parse(line + b"\r\n") == ProxyHeader(107)
    assert parse(line + b"x") is NEED_MORE
    for tail in (b"x\r", b"x\r\n", b"xx", b"xxx\r\n"):
        with pytest.raises(BadProxyHeader):
            parse(line + tail)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"PROXY \r\n", "family b'': expected TCP4"),
        (b"PROXY TCP 1.2.3.4 1.2.3.4 1 2\r\n", "family b'TCP'"),
        (b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", "family b'TCP5'"),
        (b"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", "family b'tcp4'"),
        (b"PROXY UNKNOWN\t\r\n", "family b'UNKNOWN\\t'"),
        (b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "family b''"),
        (b"PROXY TCP4\r\n", "0 words behind TCP4: expected 4"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "3 words"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "5 words"),
        (b"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", "5 words"),
        (b"PROXY TCP4 1.2.3.4 1.2.3 1 2\r\n", "b'1.2.3' is no TCP4 address"),
        (b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n", "b'1.2.3.04' is no TCP4"),
        (b"PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", "b'1.2.3.256' is no TCP4"),
        (b"PROXY TCP4 ::1 1.2.3.4 1 2\r\n", "b'::1' is no TCP4"),
        (b"PROXY TCP4 1.2.3.4/8 1.2.3.4 1 2\r\n", "is no TCP4"),
        (b"PROXY TCP4 16909060 1.2.3.4 1 2\r\n", "is no TCP4"),
        (b"PROXY TCP4 \xd9\xa1.2.3.4 1.2.3.4 1 2\r\n", "is no TCP4"),
        (b"PROXY TCP6 1.2.3.4 ::1 1 2\r\n", "b'1.2.3.4' is no TCP6"),
        (b"PROXY TCP6 ::1 fe80::1%eth0 1 2\r\n", "b'fe80::1%eth0' is no TCP6"),
        (b"PROXY TCP6 ::1 1::2::3 1 2\r\n", "is no TCP6"),
        (b"PROXY TCP6 [::1] ::1 1 2\r\n", "is no TCP6"),
        (b"PROXY TCP6 ::12345 ::1 1 2\r\n", "is no TCP6"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "port b'01': expected 0-65535"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 00 2\r\n", "port b'00'"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "port b'65536'"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 100000\r\n", "port b'100000'"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", "port b'-1'"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", "port b'+1'"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1_0 2\r\n", "port b'1_0'"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n", "port b''"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "CR and LF"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx", "CR and LF"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n", "CR and LF"),
        (b"PROXY UNKNOWN a\rb\r\n", "CR and LF"),
        (b"PROXY UNKNOWN a\nb\r\n", "CR and LF"),
        (b"PROXY / HTTP/1.1\r\n", "family b'/'"),
        (b"PROXY " + 101 * b"x", "no end of the PROXY line in 107 bytes"),
    ],
)
def test_v1_refused(line: bytes, message: str) -> None:
    with pytest.raises(BadProxyHeader, match=re.escape(message)) as caught:
        parse(line)
    assert isinstance(caught.value, ValueError)
    with pytest.raises(BadProxyHeader):
        parse(line + b"GET / HTTP/1.1\r\n")


# --- version 2 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [0x11, 0x12])
def test_v2_tcp4_and_udp4(family: int) -> None:
    assert parse(v2(TCP4, family=family) + b"x") == FROM_TCP4._replace(length=28)


@pytest.mark.parametrize("family", [0x21, 0x22])
def test_v2_tcp6_and_udp6(family: int) -> None:
    assert parse(v2(TCP6, family=family)) == ProxyHeader(
        52, "2001:db8::1", 80, "2001:db8::2", 443, is_local=False
    )


def test_v2_mapped_address_is_given_as_ipv4() -> None:
    mapped = bytes(10) + b"\xff\xff" + bytes([10, 0, 0, 7])
    header = parse(v2(mapped + bytes(15) + b"\1" + bytes(4), family=0x21))
    assert header == ProxyHeader(52, "10.0.0.7", 0, "::1", 0, is_local=False)


@pytest.mark.parametrize(
    ("command", "family", "block"),
    [
        (LOCAL, 0x00, b""),
        (LOCAL, 0x11, TCP4),
        (LOCAL, 0xFF, b"whatever"),
        (LOCAL, 0x11, b"short"),
        (LOCAL, 0x11, TCP4 + tlv(3, b"bad!")),
        (PROXY, 0x00, b""),
        (PROXY, 0x00, TCP4 + b"\1"),
        (PROXY, 0x10, TCP4),
        (PROXY, 0x01, b"abc"),
        (PROXY, 0x31, bytes(216)),
        (PROXY, 0x32, b"/run/a".ljust(108, b"\0") + 108 * b"b" + tlv(4, b"")),
    ],
)
def test_v2_without_an_address(command: int, family: int, block: bytes) -> None:
    header = v2(block, command=command, family=family)
    assert parse(header + b"GET") == ProxyHeader(len(header), is_own=command == LOCAL)


def test_v2_unix_socket_may_speak_of_tls() -> None:
    block = bytes(216) + tls(1, tlv(0x21, b"TLSv1.2")) + tlv(2, b"host")
    header = v2(block, family=0x31)
    expected = ClientTLS(0, "TLSv1.2", "", is_verified=False)
    assert parse(header) == ProxyHeader(len(header), tls=expected, authority=b"host")


@pytest.mark.parametrize("at", range(13, 16))
def test_v2_refuses_as_early_as_it_can(at: int) -> None:
    wrong = [(12, 0x31), (13, 0x41), (14, 0x11)]
    for place, byte in wrong:
        header = bytearray(v2(TCP4))
        header[place] = byte
        if place < at and place < 14:
            with pytest.raises(BadProxyHeader):
                parse(bytes(header[:at]))
        else:
            assert parse(bytes(header[:at])) is NEED_MORE


@pytest.mark.parametrize("byte", sorted({*range(256)} - {LOCAL, PROXY}))
def test_v2_version_and_command(byte: int) -> None:
    with pytest.raises(BadProxyHeader, match=f"version and command 0x{byte:02X} at offset 12"):
        parse(v2(TCP4, command=byte))


@pytest.mark.parametrize("byte", [0x03, 0x0F, 0x13, 0x1F, 0x33, 0x40, 0x41, 0xF1, 0xFF])
def test_v2_unknown_family_or_protocol(byte: int) -> None:
    with pytest.raises(BadProxyHeader, match=f"family and protocol 0x{byte:02X} at offset 13"):
        parse(v2(TCP4, family=byte))


@pytest.mark.parametrize(
    ("family", "size"), [(0x11, 12), (0x12, 12), (0x21, 36), (0x22, 36), (0x31, 216)]
)
def test_v2_addresses_must_be_whole(family: int, size: int) -> None:
    parse(v2(bytes(size), family=family))
    with pytest.raises(BadProxyHeader, match=f"{size - 1} bytes of addresses: .* {size}"):
        parse(v2(bytes(size - 1), family=family))


def test_v2_longest() -> None:
    padding = tlv(4, bytes(4096 - len(TCP4) - 3))
    assert parse(v2(TCP4 + padding)) == FROM_TCP4._replace(length=4112)
    for command in (LOCAL, PROXY):
        with pytest.raises(BadProxyHeader, match="4097 bytes of addresses and TLVs"):
            parse(v2(bytes(4097), command=command)[:16])


def test_v2_unknown_tlvs_are_ignored() -> None:
    block = TCP4 + tlv(1, b"h2") + 3 * tlv(0xEA, b"\x01vpce-1") + tlv(0x30, b"ns") + tlv(5, b"")
    assert parse(v2(block)) == FROM_TCP4._replace(length=16 + len(block))


@pytest.mark.parametrize(
    "tail", [b"\4", b"\4\0", b"\4\0\1", b"\4\0\5abcd", tlv(4, b"") + b"\2\xff"]
)
def test_v2_tlv_that_does_not_fit(tail: bytes) -> None:
    with pytest.raises(BadProxyHeader, match="TLV at offset"):
        parse(v2(TCP4 + tail))


@pytest.mark.parametrize("kind", [2, 3, 0x20])
def test_v2_tlv_that_may_come_only_once(kind: int) -> None:
    with pytest.raises(BadProxyHeader, match=f"a second TLV of type 0x{kind:02X}"):
        parse(v2(TCP4 + 2 * tlv(kind, bytes(5))))


def authority(value: bytes) -> bytes | None:
    header = parse(v2(TCP4 + tlv(2, value)))
    assert isinstance(header, ProxyHeader)
    return header.authority


def test_v2_authority() -> None:
    assert authority(b"a.example") == b"a.example"
    assert authority("ä".encode()) == "ä".encode()
    assert authority(255 * b"a") == 255 * b"a"
    assert authority(b"") is None


@pytest.mark.parametrize("value", [256 * b"a", b"a\0b", b"a b", b"a\r\nb", b"\x7f"])
def test_v2_authority_refused(value: bytes) -> None:
    with pytest.raises(BadProxyHeader, match="no host name"):
        authority(value)


def client_tls(value: bytes) -> ClientTLS | None:
    header = parse(v2(TCP4 + value))
    assert isinstance(header, ProxyHeader)
    return header.tls


VERSION = tlv(0x21, b"TLSv1.3")
NAME = tlv(0x22, b"ann")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", None),
        (tls(0), None),
        (tls(6, NAME), None),
        (tls(1), ClientTLS(0, "", "", is_verified=False)),
        (tls(1, VERSION, verify=0), ClientTLS(0, "TLSv1.3", "", is_verified=False)),
        (tls(3, VERSION, NAME), ClientTLS(2, "TLSv1.3", "ann", is_verified=True)),
        (tls(5, VERSION, NAME), ClientTLS(4, "TLSv1.3", "ann", is_verified=True)),
        (tls(7, NAME, verify=18), ClientTLS(6, "", "ann", is_verified=False)),
        (tls(7, NAME, verify=1 << 24), ClientTLS(6, "", "ann", is_verified=False)),
        (tls(0xF9, VERSION), ClientTLS(0, "TLSv1.3", "", is_verified=False)),
        (tls(7, tlv(0x22, b"K\xe4fer")), ClientTLS(6, "", "K\\xe4fer", is_verified=True)),
        (tls(1, tlv(0x23, b"X"), tlv(0x77, b"\0")), ClientTLS(0, "", "", is_verified=False)),
    ],
)
def test_v2_tls(value: bytes, expected: ClientTLS | None) -> None:
    assert client_tls(value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (tlv(0x20, b""), "less than 5 bytes"),
        (tlv(0x20, bytes(4)), "less than 5 bytes"),
        (tls(1, b"\x21"), "TLV at offset"),
        (tls(1, b"\x21\0\7TLSv1."), "TLV at offset"),
        # It would end in the header, yet not in the TLV around it.
        (tls(1, b"\x21\0\7TLS") + tlv(4, b"abcdef"), "TLV at offset"),
        (tls(1, VERSION, VERSION), "a second TLV of type 0x21"),
        (tls(7, NAME, NAME), "a second TLV of type 0x22"),
        (tls(7, tlv(0x22, b"root\0.evil")), "control byte"),
        (tls(7, tlv(0x22, b"a\nb")), "control byte"),
        (tls(1, tlv(0x21, b"\x7f")), "control byte"),
    ],
)
def test_v2_tls_refused(value: bytes, message: str) -> None:
    with pytest.raises(BadProxyHeader, match=message):
        client_tls(value)


def test_v2_checksum() -> None:
    whole = with_crc(TCP4, tlv(2, b"host"), tls(3, VERSION, NAME))
    header = parse(whole + b"not in it")
    assert isinstance(header, ProxyHeader)
    assert header.authority == b"host"
    # One bit of the addresses, of the checksum, of the TLVs behind it.
    for at in (16, 27, 31, 34, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[at] ^= 0x01
        with pytest.raises(BadProxyHeader, match="checksum 0x"):
            parse(bytes(damaged))


def test_v2_checksum_over_the_longest_header() -> None:
    whole = with_crc(TCP4, tlv(4, bytes(4096 - len(TCP4) - 7 - 3)))
    assert parse(whole) == FROM_TCP4._replace(length=4112)


@pytest.mark.parametrize("size", [0, 3, 5])
def test_v2_checksum_of_a_wrong_size(size: int) -> None:
    with pytest.raises(BadProxyHeader, match="is not of 4 bytes"):
        parse(v2(TCP4 + tlv(3, bytes(size))))
