"""Who a request comes from: what proxies write, and what clients write to be somebody else."""

from collections.abc import Sequence
from typing import Any

import pytest

from ajpd.http.forwarded import Family, Origin, TrustedProxies, origin

PEER = b"10.0.0.1"
TRUSTED = TrustedProxies(["10.0.0.0/8", "2001:db8:1::/48"])


def read(**headers: Any) -> Origin:
    return origin(PEER, trusted=TRUSTED, **headers)


def x(*lines: bytes, **more: Any) -> Origin:
    return read(x_forwarded_for=lines, **more)


def rfc(*lines: bytes) -> Origin:
    return read(forwarded=lines)


# --- trust ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("networks", "inside", "outside"),
    [
        ([], [], ["127.0.0.1", "::1", None]),
        (["unix"], [None], ["127.0.0.1", "::1"]),
        (["loopback"], ["127.0.0.1", "127.9.9.9", "::1"], [None, "128.0.0.1", "::2"]),
        (
            ["private"],
            ["10.255.255.255", "172.16.0.0", "172.31.9.9", "192.168.0.1", "fd00::1", "fc00::"],
            ["127.0.0.1", "::1", "172.32.0.0", "192.169.0.0", "169.254.0.1", "fe80::1", None],
        ),
        (["10.0.0.7"], ["10.0.0.7", "::ffff:10.0.0.7"], ["10.0.0.6", "10.0.0.8", "::a00:7"]),
        (["10.0.0.0/8", "unix"], ["10.1.2.3", None], ["11.0.0.0", "9.255.255.255"]),
        (["10.0.0.0/255.255.0.0"], ["10.0.9.9"], ["10.1.0.0"]),
        (["2001:db8::/32"], ["2001:db8::1", "2001:DB8:ffff::"], ["2001:db9::", "32.1.13.184"]),
        (["::ffff:10.0.0.0/104"], ["10.9.9.9", "::ffff:10.9.9.9"], ["11.0.0.0", "::1"]),
        (["0.0.0.0/0"], ["0.0.0.0", "255.255.255.255"], ["::1", None]),
        (["::/0"], ["::1", "ffff::"], ["1.2.3.4", "::ffff:1.2.3.4"]),
    ],
)
def test_trust(
    networks: list[str], inside: Sequence[str | None], outside: Sequence[str | None]
) -> None:
    trusted = TrustedProxies(networks)
    for _ in range(2):  # the second answer comes from memory
        assert [address for address in inside if not trusted.trusts(address)] == []
        assert [address for address in outside if trusted.trusts(address)] == []


@pytest.mark.parametrize(
    "address", ["", "x", "10.0.0.1 ", "10.0.0", "::1%lo", "10.0.0.1%x", "1" * 1000, "\u06610.0.0.1"]
)
def test_what_is_no_address_is_not_trusted(address: str) -> None:
    assert not TrustedProxies(["0.0.0.0/0", "::/0", "unix"]).trusts(address)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("", "'' is no address"),
        ("Loopback", "'Loopback' is no address, no network such as 10.0.0.0/8 and none of"),
        ("10.0.0.0/33", "'10.0.0.0/33' is no"),
        ("10.0.0.0/8/8", "'10.0.0.0/8/8' is no"),
        ("example.org", "'example.org' is no"),
        ("fe80::1%eth0", "'fe80::1%eth0' is no"),
        ("10.0.0.1/8", "'10.0.0.1/8' has bits behind its prefix; the network is 10.0.0.0/8"),
        ("fd00::1/64", "'fd00::1/64' has bits behind its prefix; the network is fd00::/64"),
    ],
)
def test_networks_that_are_none(word: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        TrustedProxies(["unix", word])


def test_memory_is_bounded() -> None:
    trusted = TrustedProxies(["10.0.0.0/8"])
    for number in range(5000):
        assert trusted.trusts(f"10.0.{number >> 8}.{number & 255}")
        assert not trusted.trusts(f"no address {number}")
    assert len(trusted._known) <= 1024


# --- X-Forwarded-For ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "address", "port"),
    [
        ([b"192.0.2.1"], b"192.0.2.1", None),
        ([b" \t192.0.2.1 \t"], b"192.0.2.1", None),
        ([b"192.0.2.1:4711"], b"192.0.2.1", b"4711"),
        ([b"192.0.2.1:00080"], b"192.0.2.1", b"80"),
        ([b"2001:db8::1"], b"2001:db8::1", None),
        ([b"2001:DB8:0:0::1"], b"2001:db8::1", None),
        ([b"[2001:db8::1]"], b"2001:db8::1", None),
        ([b"[2001:db8::1]:65535"], b"2001:db8::1", b"65535"),
        ([b"::ffff:192.0.2.1"], b"192.0.2.1", None),
        ([b"[::ffff:c000:201]:1"], b"192.0.2.1", b"1"),
        # Trusted proxies are skipped, from the right, over all lines.
        ([b"192.0.2.1, 10.0.0.2"], b"192.0.2.1", None),
        ([b"192.0.2.1,10.0.0.2,2001:db8:1::5"], b"192.0.2.1", None),
        ([b"192.0.2.1:5", b"10.0.0.3:80, 10.0.0.2:90"], b"192.0.2.1", b"5"),
        ([b"192.0.2.1, ::ffff:10.0.0.2"], b"192.0.2.1", None),
        # What stands left of the first that is not trusted was written by that one.
        ([b"127.0.0.1, 192.0.2.1"], b"192.0.2.1", None),
        ([b"10.0.0.9, 192.0.2.1"], b"192.0.2.1", None),
        ([b"10.0.0.9", b"192.0.2.1"], b"192.0.2.1", None),
        ([b'<script>", ,unknown, 192.0.2.1'], b"192.0.2.1", None),
        ([b"127.0.0.1, 192.0.2.1, 10.0.0.2"], b"192.0.2.1", None),
        # All are trusted: the one that is furthest away.
        ([b"10.0.0.3, 10.0.0.2"], b"10.0.0.3", None),
        ([b"10.0.0.3:7"], b"10.0.0.3", b"7"),
        # No address: the last one before it, which is the peer if there is none.
        ([b"192.0.2.1, unknown"], None, None),
        ([b"192.0.2.1, unknown, 10.0.0.2"], b"10.0.0.2", None),
        ([b"192.0.2.1, _hidden:_port, 10.0.0.2:7"], b"10.0.0.2", b"7"),
        ([b"Unknown"], None, None),
        ([], None, None),
    ],
)
def test_x_forwarded_for(lines: list[bytes], address: bytes | None, port: bytes | None) -> None:
    assert read(x_forwarded_for=lines) == Origin(address, port)


@pytest.mark.parametrize(
    "entry",
    [
        *(b"", b"192.0.2", b"192.0.2.256", b"192.0.2.01", b"192.0.2.1:", b"192.0.2.1:x"),
        *(b"192.0.2.1:65536", b"192.0.2.1:123456", b"[192.0.2.1]", b"[2001:db8::1", b"[::1]80"),
        *(b"[::1]:", b"fe80::1%eth0", b"[fe80::1%eth0]", b"1:2", b":::", b'"192.0.2.1"'),
        *(b"localhost", b"192.0.2.1 192.0.2.2", b"\xff", b"\xd9\xa1.0.0.1", b"unknownx", b"_"),
        *(b"1" * 500, b"[" + 500 * b":" + b"]", b"::1:" + 500 * b"0", b"192.0.2.1;192.0.2.2"),
    ],
)
def test_x_forwarded_for_garbage_ends_the_walk(entry: bytes) -> None:
    found = x(b"192.0.2.9, " + entry + b", 10.0.0.2:77")
    assert found[:-1] == (b"10.0.0.2", b"77", None, None, None)
    assert found.problem is not None
    assert found.problem.startswith("X-Forwarded-For of 10.0.0.1: ")
    assert found.problem.endswith("is no address")
    assert len(found.problem) < 500
    assert x(entry).remote_addr is None


def test_work_on_x_forwarded_for_is_bounded() -> None:
    hops = [b"10.0.%d.%d" % (n >> 8, n & 255) for n in range(200)]
    assert x(b"192.0.2.1, " + b", ".join(hops[:63])).remote_addr == b"192.0.2.1"
    assert x(b"192.0.2.1, " + b", ".join(hops[:64])).remote_addr == hops[0]
    assert x(b"192.0.2.1", *hops[:64]).remote_addr == hops[0]
    assert x(*hops).remote_addr == hops[-64]
    assert x(b"," * 60_000 + b"192.0.2.1").remote_addr == b"192.0.2.1"


# --- X-Forwarded-Proto, -Host, -Port --------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"https"], True),
        ([b"HTTPS"], True),
        ([b"wss"], True),
        ([b"http"], False),
        ([b"ws"], False),
        ([b"http, https"], True),
        ([b"https, http"], False),
        ([b"https", b"http"], False),
        # The nearest proxy's word, or none: what stands before it may be the client's.
        ([b"https, ftp"], None),
        ([b"https, "], None),
        ([b"https", b""], None),
        ([b"httpss"], None),
        ([b'"https"'], None),
        ([b"https;q=1"], None),
        ([b""], None),
        ([], None),
    ],
)
def test_x_forwarded_proto(lines: list[bytes], expected: bool | None) -> None:
    assert read(x_forwarded_proto=lines) == Origin(scheme_is_https=expected)


def test_lists_of_equal_length_do_not_bring_a_clients_word_back() -> None:
    # The outer proxy appends to both; the inner one appends its peer, and passes the scheme on.
    sent_by_client = b"https"
    found = x(b"192.0.2.1, 10.0.0.2", x_forwarded_proto=[sent_by_client + b", http"])
    assert found.scheme_is_https is False


@pytest.mark.parametrize(
    ("lines", "name", "port"),
    [
        ([b"example.org"], b"example.org", None),
        ([b"Example.ORG:8443"], b"example.org", 8443),
        ([b"example.org:"], b"example.org", None),
        ([b"192.0.2.1:1"], b"192.0.2.1", 1),
        ([b"[2001:DB8::1]"], b"[2001:db8::1]", None),
        ([b"[2001:db8::1]:65535"], b"[2001:db8::1]", 65535),
        ([b"a_b-c~d"], b"a_b-c~d", None),
        ([b"evil.example, example.org"], b"example.org", None),
        ([b"evil.example", b"example.org"], b"example.org", None),
        ([255 * b"a"], 255 * b"a", None),
        ([256 * b"a"], None, None),
        ([251 * b"a" + b":8080"], None, None),
        ([b"example.org, "], None, None),
        ([b"example.org, a b"], None, None),
        ([b"a/b"], None, None),
        ([b"user@a"], None, None),
        ([b"http://a"], None, None),
        ([b"a:0"], None, None),
        ([b"a:65536"], None, None),
        ([b"a:123456"], None, None),
        ([b"a:x"], None, None),
        ([b":80"], None, None),
        ([b"2001:db8::1"], None, None),
        ([b"[2001:db8::g]"], None, None),
        ([b"[192.0.2.1]"], None, None),
        ([b"[]"], None, None),
        ([b"[::1]x"], None, None),
        ([b"\xc3\xa4.example"], None, None),
        ([b"a\r\nb"], None, None),
        ([b"a\n"], None, None),
        ([b""], None, None),
    ],
)
def test_x_forwarded_host(lines: list[bytes], name: bytes | None, port: int | None) -> None:
    assert read(x_forwarded_host=lines) == Origin(server_name=name, server_port=port)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((b"443", 443), (b"1", 1), (b"65535", 65535), (b"1, 8080", 8080), (b"00443", 443)),
        *((b"0", None), (b"65536", None), (b"", None), (b"443, x", None), (b"+1", None)),
        *((b"1_0", None), (b"\xd9\xa1", None), (b"000443", None), (b"80\n", None)),
    ],
)
def test_x_forwarded_port(value: bytes, expected: int | None) -> None:
    assert read(x_forwarded_port=[value]) == Origin(server_port=expected)
    beaten = read(x_forwarded_host=[b"a:99"], x_forwarded_port=[value])
    assert beaten == Origin(server_name=b"a", server_port=expected or 99)


# --- Forwarded ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"for=192.0.2.60;proto=http;by=203.0.113.43"], Origin(b"192.0.2.60", None, False)),
        ([b'For="[2001:db8:cafe::17]:4711"'], Origin(b"2001:db8:cafe::17", b"4711")),
        ([b'for="192.0.2.43:47011"'], Origin(b"192.0.2.43", b"47011")),
        ([b'for="192.0.2.43:_dark"'], Origin(b"192.0.2.43")),
        ([b"for=192.0.2.43,for=10.0.0.2"], Origin(b"192.0.2.43")),
        ([b"for=192.0.2.43", b"for=10.0.0.2"], Origin(b"192.0.2.43")),
        ([b"for=127.0.0.1;proto=https, for=192.0.2.43"], Origin(b"192.0.2.43")),
        ([b"for=192.0.2.43;proto=https , for=10.0.0.2;proto=http"], Origin(b"192.0.2.43", None, 1)),
        ([b"for=10.0.0.3;proto=https, for=10.0.0.2;proto=http"], Origin(b"10.0.0.3", None, 1)),
        ([b"for=192.0.2.43 ; PROTO=WSS ;\thost=A.b"], Origin(b"192.0.2.43", None, 1, b"a.b")),
        ([b'for=192.0.2.43;host="a.b:8443"'], Origin(b"192.0.2.43", None, None, b"a.b", 8443)),
        ([b'for=192.0.2.43;host="[::1]:80"'], Origin(b"192.0.2.43", None, None, b"[::1]", 80)),
        ([b'for="1\\92.0.2.\\43";proto="http\\s"'], Origin(b"192.0.2.43", None, True)),
        ([b'for=192.0.2.43;host="a\\"b"'], Origin(b"192.0.2.43")),
        ([b'for=192.0.2.43;ext="a, for=1.1.1.1;\\\\";ext2=""'], Origin(b"192.0.2.43")),
        ([b'for=192.0.2.43;ext="\\\\\\"\\\\"'], Origin(b"192.0.2.43")),
        ([b";for=192.0.2.43;;"], Origin(b"192.0.2.43")),
        ([b'for=192.0.2.43;proto=ftp;host="a/b"'], Origin(b"192.0.2.43")),
        # Names that are none: the element is a trusted proxy's nevertheless.
        ([b"for=192.0.2.43, for=unknown;proto=https"], Origin(None, None, True)),
        ([b'for=_hidden;host=a, for="10.0.0.2:7"'], Origin(b"10.0.0.2", b"7", None, b"a")),
        ([b"proto=https;host=a"], Origin(None, None, True, b"a")),
        ([b"for=192.0.2.43, "], Origin()),
        ([b""], Origin()),
        ([], Origin()),
    ],
)
def test_forwarded(lines: list[bytes], expected: Origin) -> None:
    assert rfc(*lines) == expected
    assert read(forwarded=lines, family="forwarded") == expected


@pytest.mark.parametrize(
    ("element", "message"),
    [
        (b"for", "name=value was expected at the end of b'for=10.0.0.9, for'"),
        (b"for=", "name=value was expected"),
        (b"=192.0.2.1", "name=value was expected"),
        (b"for = 192.0.2.1", "name=value was expected"),
        (b"192.0.2.1", "name=value was expected"),
        (b"for=192.0.2.1:80", "name=value was expected"),
        (b"for=[::1]", "name=value was expected"),
        (b"f\xc3=x", "name=value was expected"),
        (b'for="192.0.2.1', "name=value was expected"),
        (b'for=192.0.2.1"', "a quoted string has no beginning"),
        (b'x"', "a quoted string has no beginning"),
        (b'for="a\\"', "cannot be quoted"),
        (b'for="a\0"', "cannot be quoted"),
        (b'for="a\x7f"', "cannot be quoted"),
        (b'"192.0.2.1"', "name=value was expected"),
        (b'for"192.0.2.1"', "name=value was expected"),
        (b'="192.0.2.1"', "name=value was expected"),
        (b"for=192.0.2.1 proto=http", "byte 0x31 where ';' or ',' was expected"),
        (b'for="192.0.2.1"proto=http', "byte 0x22 where"),
        (b"for=192.0.2.1;For=192.0.2.2", "b'for' stands twice in one element"),
        (b"proto=http;proto=https", "b'proto' stands twice"),
        (b'for="192.0.2.256"', "b'192.0.2.256' is no address"),
        (b'for="2001:db8::1"', "b'2001:db8::1' is no address"),
        (b'for="[192.0.2.1]"', "is no address"),
        (b'for="192.0.2.1:65536"', "is no address"),
        (b'for=""', "b'' is no address"),
        (b'for="' + 500 * b"1" + b'"', "is no address"),
    ],
)
def test_forwarded_broken(element: bytes, message: str) -> None:
    found = rfc(b"for=10.0.0.9, " + element)
    assert found[:2] == (None, None)
    assert found.problem is not None
    assert found.problem.startswith("Forwarded of 10.0.0.1: ")
    assert message in found.problem
    assert len(found.problem) < 500
    # Behind a proxy that is known, that one is where the request comes from.
    assert rfc(element + b', for="10.0.0.2:5"')[:2] == (b"10.0.0.2", b"5")


@pytest.mark.parametrize(
    "sent_by_client",
    [
        *(
            b'for="',
            b'"',
            b"for=10.0.0.9",
            b"for=10.0.0.9;",
            b'for=10.0.0.9;x="\\',
            b"\\",
            b",,;=(",
        ),
        *(b'for=10.0.0.9;proto="https', b"host=evil;", b'host="evil', b"for=10.0.0.9;proto=https,"),
    ],
)
def test_nothing_a_client_sends_comes_before_what_its_proxy_appends(sent_by_client: bytes) -> None:
    written = b'for="192.0.2.7:1";proto=http;host="a:80"'
    expected = Origin(b"192.0.2.7", b"1", False, b"a", 80)
    assert rfc(sent_by_client + b", " + written) == expected
    assert rfc(sent_by_client, written) == expected
    assert rfc(sent_by_client + b", " + written, b"for=10.0.0.2;host=inner") == expected


def test_work_on_forwarded_is_bounded() -> None:
    hops = [b"for=10.0.0.%d" % n for n in range(200)]
    assert rfc(b"for=192.0.2.1, " + b", ".join(hops[:63])).remote_addr == b"192.0.2.1"
    assert rfc(b"for=192.0.2.1, " + b", ".join(hops[:64])).remote_addr == b"10.0.0.0"
    assert rfc(b"for=192.0.2.1", *hops[:64]).remote_addr == b"10.0.0.0"
    for filling in (b'"', b"\\", b'\\"', b" ", b";", b",", b"a", b"a=b;"):
        line = b"for=192.0.2.1" + 60_000 * filling
        assert rfc(line + b", for=192.0.2.2").remote_addr == b"192.0.2.2"
        found = rfc(line)
        assert found.remote_addr is None
        assert found.scheme_is_https is None


def test_bytes_of_forwarded_are_bounded() -> None:
    short = b"for=192.0.2.1"
    proxy = b"for=10.0.0.2;x=" + 8000 * b"a"
    room = 8192 - len(proxy)
    for before in (short.ljust(room), b" " * (room - len(short) - 1) + b"," + short):
        assert rfc(before, proxy).remote_addr == b"192.0.2.1"
    found = rfc(short.ljust(room + 1), proxy)
    assert found.remote_addr == b"10.0.0.2"
    assert found.problem == "Forwarded of 10.0.0.1: it goes on after 8192 bytes"
    # The last 8192 bytes alone would name somebody.
    cut = (b"for=192.0.2.1;y=").ljust(8192, b"a")
    assert rfc(cut).remote_addr == b"192.0.2.1"
    assert rfc(b"x" + cut).remote_addr is None


# --- which headers --------------------------------------------------------------------------------

BOTH: dict[str, Any] = {
    "x_forwarded_for": [b"192.0.2.1"],
    "x_forwarded_proto": [b"https"],
    "x_forwarded_host": [b"x.example"],
    "x_forwarded_port": [b"8443"],
    "forwarded": [b"for=192.0.2.2;proto=http;host=f.example"],
}
FROM_X = Origin(b"192.0.2.1", None, True, b"x.example", 8443)
FROM_RFC = Origin(b"192.0.2.2", None, False, b"f.example")


@pytest.mark.parametrize(
    ("family", "expected"),
    [("none", Origin()), ("x-forwarded", FROM_X), ("forwarded", FROM_RFC)],
)
def test_family(family: Family, expected: Origin) -> None:
    assert read(family=family, **BOTH) == expected


@pytest.mark.parametrize("name", [name for name in BOTH if name != "forwarded"])
def test_auto_reads_one_family_only(name: str) -> None:
    found = read(forwarded=BOTH["forwarded"], **{name: BOTH[name]})
    assert found.problem == "Forwarded of 10.0.0.1 is not read where there is X-Forwarded-*, too"
    assert found._replace(problem=None) == read(family="x-forwarded", **{name: BOTH[name]})
    assert read(forwarded=BOTH["forwarded"]) == FROM_RFC


def test_peer_is_shown_whatever_it_is() -> None:
    found = origin(b"\xff\n", trusted=TRUSTED, x_forwarded_for=[b"x"])
    assert found.problem == "X-Forwarded-For of \\xff\n: b'x' is no address"
