"""Forwarding headers: a client cannot write itself into them, and nothing breaks their reader."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from ajpd.http.forwarded import Family, Origin, TrustedProxies, origin

NETWORKS = ["10.0.0.0/8", "192.168.7.0/24", "2001:db8::/32"]
TRUSTED = TrustedProxies(NETWORKS)
PEER = b"10.0.0.1"

v4 = st.integers(0, 2**32 - 1).map(IPv4Address)
v6 = st.integers(0, 2**128 - 1).map(IPv6Address).filter(lambda address: not address.ipv4_mapped)
clients = (v4 | v6).filter(lambda a: not any(a in ip_network(n) for n in NETWORKS))
proxies = st.integers(0, 2**24 - 1).map(lambda n: IPv4Address((10 << 24) + n)) | st.integers(
    0, 2**96 - 1
).map(lambda n: IPv6Address((0x20010DB8 << 96) + n))
ports = st.none() | st.integers(0, 0xFFFF)

NASTY = [
    *(b'"', b"\\", b",", b";", b"=", b" ", b"for", b"for=10.0.0.5", b"10.0.0.5", b"proto=https"),
    *(b"unknown", b"[", b"]", b":", b"https", b'host="', b"host=evil", b"\t", b"\xff", b"()"),
]
nasty = st.lists(st.sampled_from(NASTY), max_size=10).map(b"".join) | st.binary(max_size=30)


def bracketed(address: IPv4Address | IPv6Address, port: int | None) -> str:
    text = f"[{address}]" if address.version == 6 else str(address)
    return text if port is None else f"{text}:{port}"


@st.composite
def appended(draw: st.DrawFn, *, is_rfc: bool) -> tuple[list[bytes], bytes, bytes | None]:
    """Header lines after client and some proxies: each appends who it was spoken to by."""
    lines = draw(st.lists(nasty, max_size=2))
    client, port = draw(clients), draw(ports)
    hops = [(client, port), *draw(st.lists(st.tuples(proxies, st.none()), max_size=4))]
    for address, of_port in hops:
        entry = bracketed(address, of_port)
        if is_rfc:
            pairs = [f'for="{entry}"', "proto=http", 'host="own.example:80"', 'x="\\"\\\\,;"']
            entry = ";".join(draw(st.permutations(pairs)))
        if lines and draw(st.booleans()):
            lines[-1] += b", " + entry.encode()
        else:
            lines.append(entry.encode())
    return lines, str(client).encode(), None if port is None else b"%d" % port


@settings(max_examples=300)
@given(appended(is_rfc=False))
def test_the_client_of_x_forwarded_for(
    appended: tuple[list[bytes], bytes, bytes | None],
) -> None:
    lines, address, port = appended
    assert origin(PEER, trusted=TRUSTED, x_forwarded_for=lines) == Origin(address, port)


@settings(max_examples=300)
@given(appended(is_rfc=True))
def test_the_client_of_forwarded(appended: tuple[list[bytes], bytes, bytes | None]) -> None:
    lines, address, port = appended
    found = origin(PEER, trusted=TRUSTED, forwarded=lines)
    assert found == Origin(address, port, False, b"own.example", 80)


@given(
    st.lists(nasty, max_size=3),
    st.sampled_from([b"http", b"https", b"ftp", b""]),
    st.sampled_from([b"own.example:81", b"a b", b""]),
)
def test_the_last_value_is_the_only_one(before: list[bytes], scheme: bytes, host: bytes) -> None:
    expected = origin(PEER, trusted=TRUSTED, x_forwarded_proto=[scheme], x_forwarded_host=[host])
    joined = b",".join([*before, b""])
    for of_scheme, of_host in (
        ([*before, scheme], [*before, host]),
        ([joined + scheme], [joined + host]),
    ):
        found = origin(PEER, trusted=TRUSTED, x_forwarded_proto=of_scheme, x_forwarded_host=of_host)
        assert found == expected


many = st.lists(nasty, max_size=4)
families: st.SearchStrategy[Family] = st.sampled_from(("auto", "x-forwarded", "forwarded", "none"))


@settings(max_examples=300)
@given(many, many, many, many, many, families)
def test_anything_gives_something_valid(
    of_for: list[bytes],
    of_proto: list[bytes],
    of_host: list[bytes],
    of_port: list[bytes],
    forwarded: list[bytes],
    family: Family,
) -> None:
    found = origin(
        PEER,
        trusted=TRUSTED,
        family=family,
        x_forwarded_for=of_for,
        x_forwarded_proto=of_proto,
        x_forwarded_host=of_host,
        x_forwarded_port=of_port,
        forwarded=forwarded,
    )
    if found.remote_addr is not None:
        assert str(ip_address(found.remote_addr.decode())).encode() == found.remote_addr
    assert found.remote_port is None or 0 <= int(found.remote_port) <= 0xFFFF
    assert found.server_port is None or 0 < found.server_port <= 0xFFFF
    assert found.server_name is None or (
        found.server_name == found.server_name.lower()
        and not set(found.server_name) & set(b' ",;/@\\\r\n\t\0')
    )


@given(v4 | v6, st.lists(st.sampled_from([*NETWORKS, "loopback", "private", "unix"])))
def test_trust_is_membership(address: IPv4Address | IPv6Address, words: list[str]) -> None:
    spelled = {"loopback": ["127.0.0.0/8", "::1/128"], "unix": []}
    spelled["private"] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
    networks = [ip_network(n) for word in words for n in spelled.get(word, [word])]
    expected = any(address in network for network in networks)
    trusted = TrustedProxies(words)
    assert trusted.trusts(str(address)) == expected
    assert trusted.trusts(address.exploded) == expected
