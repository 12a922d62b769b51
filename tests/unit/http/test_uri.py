"""The path we decide on is the path the container resolves: examples, then properties."""

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ajpd.http.uri import BadURI, ForwardMode, NormalisedURI, forward_mode, is_plain, normalise

MODES: tuple[ForwardMode, ...] = ("proxy", "compat", "compat_unparsed", "escaped")
OTHER_MODES = MODES[1:]


def tomcat_resolve(path: bytes) -> bytes | None:
    """What Tomcat makes of a path, step by step as it does it; None where it answers 400.

    Written from the behaviour of CoyoteAdapter (path parameters, decoding, normalize) and
    without a look at the code under test. Defaults: an encoded slash, any backslash and NUL are
    refused.
    """
    while b";" in path:
        start = path.index(b";")
        end = start + 1
        while end < len(path) and path[end : end + 1] not in (b";", b"/"):
            end += 1
        path = path[:start] + path[end:]
    out = bytearray()
    pos = 0
    while pos < len(path):
        if path[pos] == 0x25:
            if not re.fullmatch(rb"[0-9A-Fa-f]{2}", path[pos + 1 : pos + 3]):
                return None
            byte = int(path[pos + 1 : pos + 3], 16)
            if byte == 0x2F:
                return None
            out.append(byte)
            pos += 3
        else:
            out.append(path[pos])
            pos += 1
    path = bytes(out)
    if b"\\" in path or b"\0" in path or not path.startswith(b"/"):
        return None
    while b"//" in path:
        path = path.replace(b"//", b"/")
    if path.endswith((b"/.", b"/..")):
        path += b"/"
    while b"/./" in path:
        path = path.replace(b"/./", b"/", 1)
    while b"/../" in path:
        at = path.index(b"/../")
        if at == 0:
            return None
        path = path[: path.rindex(b"/", 0, at)] + path[at + 3 :]
    return path


@pytest.mark.parametrize(
    ("raw", "match", "forward"),
    [
        (b"/", b"/", b"/"),
        (b"*", b"*", b"*"),
        (b"/app/x.jsp", b"/app/x.jsp", b"/app/x.jsp"),
        (b"/app;x=1/a;jsessionid=S.n1", b"/app/a", b"/app;x=1/a;jsessionid=S.n1"),
        (b"/app/..;/manager/html", b"/manager/html", b"/app/..;/manager/html"),
        (b"/a/b/..;x/c", b"/a/c", b"/a/b/..;x/c"),
        (b"//app///a", b"/app/a", b"/app/a"),
        (b"/app/%2e%2e/x", b"/x", b"/x"),
        (b"/app/%2E./x", b"/x", b"/x"),
        (b"/app/%252e%252e/x", b"/app/%2e%2e/x", b"/app/%252e%252e/x"),
        (b"/app/a%3Bb", b"/app/a;b", b"/app/a%3Bb"),
        (b"/app/a%3bb;p", b"/app/a;b", b"/app/a%3Bb;p"),
        (b"/app/a;p%3bq%3Dr", b"/app/a", b"/app/a;p%3Bq%3Dr"),
        (b"/a%3Db", b"/a=b", b"/a=b"),
        (b"/app/%7Euser", b"/app/~user", b"/app/~user"),
        ("/app/ä".encode(), "/app/ä".encode(), b"/app/%C3%A4"),
        (b"/app/%c3%a4", "/app/ä".encode(), b"/app/%C3%A4"),
        (b"/a%20b", b"/a b", b"/a%20b"),
        (b"/a%3fb%23c", b"/a?b#c", b"/a%3Fb%23c"),
        (b'/a"<>[]^`{|}', b'/a"<>[]^`{|}', b"/a%22%3C%3E%5B%5D%5E%60%7B%7C%7D"),
        (b"/a%0Ab", b"/a\nb", b"/a%0Ab"),
        (b"/a/.", b"/a/", b"/a/"),
        (b"/a/./b/.", b"/a/b/", b"/a/b/"),
        (b"/a/b/..", b"/a/", b"/a/"),
        (b"/a/..", b"/", b"/"),
        (b"/a/../", b"/", b"/"),
        (b"/a/.../b", b"/a/.../b", b"/a/.../b"),
        (b"/.well-known/x", b"/.well-known/x", b"/.well-known/x"),
        (b"/a//../b", b"/b", b"/b"),
        (b"/a/;x/../b", b"/b", b"/a/;x/../b"),
        (b"/a/.;x/../b", b"/b", b"/a/.;x/../b"),
        (b"/a/b/..;x/../c", b"/c", b"/a/b/..;x/../c"),
        (b"/a/b/..;x/../c/../d", b"/d", b"/a/b/..;x/../d"),
        (b"/a/b/..;x/..", b"/", b"/a/b/..;x/.."),
        (b"/a/b/..;x/.", b"/a/", b"/a/b/..;x/"),
        (b"/a/b/..;x", b"/a/", b"/a/b/..;x"),
        (b"/a/;x", b"/a/", b"/a/;x"),
        (b"/;x", b"/", b"/;x"),
        (b"/a;x/../b", b"/b", b"/b"),
        (b"/a/%2e%2e;x/b", b"/b", b"/a/..;x/b"),
        (b"/a/..%3Bx/b", b"/a/..;x/b", b"/a/..%3Bx/b"),
        (b"/a/..%253Bx/b", b"/a/..%3Bx/b", b"/a/..%253Bx/b"),
    ],
)
def test_examples(raw: bytes, match: bytes, forward: bytes) -> None:
    assert normalise(raw) == NormalisedURI(match, forward)
    if raw != b"*":
        assert tomcat_resolve(raw) == tomcat_resolve(forward) == match
    assert normalise(forward) == (match, forward)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "does not begin"),
        (b"app", "does not begin"),
        (b"**", "does not begin"),
        (b"%2Fapp", "does not begin"),
        (b"http://host/app", "does not begin"),
        (b"/a b", "byte 0x20 at offset 2"),
        (b"/a\tb", "byte 0x09"),
        (b"/a\r\nb", "byte 0x0D"),
        (b"/a\n", "byte 0x0A"),
        (b"/a\0", "byte 0x00"),
        (b"/a\x7f", "byte 0x7F"),
        (b"/a\\..\\b", "byte 0x5C"),
        (b"/a#b", "byte 0x23"),
        (b"/a?b", "byte 0x3F"),
        (b"/a%", "'%' without"),
        (b"/a%4", "'%' without"),
        (b"/a%4/", "'%' without"),
        (b"/a%zz", "'%' without"),
        (b"/a%u0041", "'%' without"),
        (b"/a%00b", "%00 at offset 2"),
        (b"/a%2Fb", "%2F at offset 2"),
        (b"/a%2fb", "%2f"),
        (b"/a;x=%2F", "%2F"),
        (b"/a%5cb", "%5c"),
        (b"/..", "above the root"),
        (b"/../x", "above the root"),
        (b"/..;/x", "above the root"),
        (b"/%2e%2e/x", "above the root"),
        (b"/a/../../x", "above the root"),
        (b"/a/..;x/..;y/b", "above the root"),
        (b"//../x", "above the root"),
        (b"/;x/../y", "above the root"),
    ],
)
def test_refused(raw: bytes, message: str) -> None:
    with pytest.raises(BadURI, match=re.escape(message)) as caught:
        normalise(raw)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"/", True),
        (b"/a/b/", True),
        (b"/a~$-_.+!*'(),:@&=Z9", True),
        (b"/.well-known/..a/a../...", True),
        (b"", False),
        (b"*", False),
        (b"a", False),
        (b"//", False),
        (b"/a//b", False),
        (b"/.", False),
        (b"/..", False),
        (b"/./a", False),
        (b"/a/../b", False),
        (b"/a/.", False),
        (b"/a;x", False),
        (b"/a%41", False),
        (b"/a\n", False),
        (b"/a/..\n", False),
        (b"/\xe4", False),
    ],
)
def test_is_plain(raw: bytes, expected: bool) -> None:
    assert is_plain(raw) is expected


def test_plain_paths_are_returned_as_they_are() -> None:
    raw = b"/app/index.html"
    for mode in MODES:
        match, forward = normalise(raw, mode)
        assert match is raw
        assert forward is raw


# --- the other modes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "compat", "unparsed", "escaped"),
    [
        (b"/", b"/", b"/", b"/"),
        (b"*", b"*", b"*", b"*"),
        (b"/app/x.jsp", b"/app/x.jsp", b"/app/x.jsp", b"/app/x.jsp"),
        (b"/a%20b", b"/a b", b"/a%20b", b"/a%20b"),
        (b"/%c3%a4", b"/\xc3\xa4", b"/%c3%a4", b"/%C3%A4"),
        (b"/\xe4", b"/\xe4", b"/\xe4", b"/%E4"),
        (b"/%7Eann", b"/~ann", b"/%7Eann", b"/~ann"),
        (b"/a%3Db", b"/a=b", b"/a%3Db", b"/a=b"),
        (b"//a/./b/..", b"/a/", b"//a/./b/..", b"/a/"),
        (b"/%2e%2E/a", None, None, None),
        (b"/x/%2e%2E/a", b"/a", b"/x/%2e%2E/a", b"/a"),
        # Parameters: what was one is one, and what was none is none.
        (b"/a;jsessionid=0F.n1/b", b"/a;jsessionid=0F.n1/b", b"/a;jsessionid=0F.n1/b", None),
        (b"/app/..;/manager", b"/app/..;/manager", b"/app/..;/manager", None),
        (b"/a;p=%2541%25zz", b"/a;p=%41%zz", b"/a;p=%2541%25zz", None),
        (b"/a;b/../c", b"/c", b"/a;b/../c", b"/c"),
        (b"/a%3Bb", None, b"/a%3Bb", b"/a%3Bb"),
        (b"/a/..%3Bx/b", None, b"/a/..%3Bx/b", b"/a/..%3Bx/b"),
        # A second decoding would find what the first one left.
        (b"/a%25b", None, b"/a%25b", b"/a%25b"),
        (b"/a%2541", None, b"/a%2541", b"/a%2541"),
        (b"/a/%252e%252e/b", None, b"/a/%252e%252e/b", b"/a/%252e%252e/b"),
        (b"/%252e%252e/x", None, b"/%252e%252e/x", b"/%252e%252e/x"),
        (b"/a%252Fb", None, b"/a%252Fb", b"/a%252Fb"),
        (b"/a%255cb", None, b"/a%255cb", b"/a%255cb"),
        (b"/a%2500", None, b"/a%2500", b"/a%2500"),
        # Raw, these end a path or a line.
        (b"/a%3Fb", None, b"/a%3Fb", b"/a%3Fb"),
        (b"/a%23b", None, b"/a%23b", b"/a%23b"),
        (b"/a%0D%0Ab", None, b"/a%0D%0Ab", b"/a%0D%0Ab"),
        (b"/a%7fb", None, b"/a%7fb", b"/a%7Fb"),
        (b"/a;x=%0a", None, b"/a;x=%0a", None),
    ],
)
def test_examples_of_other_modes(
    raw: bytes, compat: bytes | None, unparsed: bytes | None, escaped: bytes | None
) -> None:
    for mode, forward in zip(OTHER_MODES, (compat, unparsed, escaped), strict=True):
        if forward is None:
            with pytest.raises(BadURI):
                normalise(raw, mode)
            continue
        match = normalise(raw).match
        assert normalise(raw, mode) == NormalisedURI(match, forward)
        if raw != b"*":
            assert tomcat_resolve(forward) == match


@pytest.mark.parametrize(
    ("raw", "mode", "message"),
    [
        (b"/a%3Bb", "compat", "would read the path otherwise (forward_uri is compat)"),
        (b"/a;b", "escaped", "would read the path otherwise (forward_uri is escaped)"),
        (b"/a%0ab", "compat", "byte 0x0A of the decoded path cannot be forwarded"),
        (b"/a%3fb", "compat", "byte 0x3F of the decoded path cannot be forwarded"),
    ],
)
def test_why_other_modes_refuse(raw: bytes, mode: ForwardMode, message: str) -> None:
    with pytest.raises(BadURI, match=re.escape(message)):
        normalise(raw, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("raw", [b"", b"a", b"/a b", b"/..", b"/a%2Fb", b"/a%", b"/a\\b", b"/a%00"])
def test_what_is_refused_in_any_mode(raw: bytes, mode: ForwardMode) -> None:
    with pytest.raises(BadURI):
        normalise(raw, mode)


@pytest.mark.parametrize(
    ("word", "mode"),
    [
        *((mode, mode) for mode in MODES),
        ("ForwardURIProxy", "proxy"),
        ("+ForwardURICompat", "compat"),
        ("forwarduricompatunparsed", "compat_unparsed"),
        ("+ForwardURIEscaped", "escaped"),
        ("Proxy", "proxy"),
    ],
)
def test_forward_mode(word: str, mode: ForwardMode) -> None:
    assert forward_mode(word) == mode


@pytest.mark.parametrize("word", ["", "raw", "compat-unparsed", "-ForwardURIProxy", "ForwardURI"])
def test_no_forward_mode(word: str) -> None:
    expected = f"{word!r} is none of proxy, compat, compat_unparsed, escaped"
    with pytest.raises(ValueError, match=re.escape(expected)):
        forward_mode(word)


# --- properties -----------------------------------------------------------------------------------


PIECES = [
    *(b"/", b"/", b"/", b".", b"..", b"...", b";", b"..;", b".;x", b"%2e", b"%2E%2e", b"%3B"),
    *(b"%3b", b"%253B", b"%252e", b"%25", b"%3D", b"=", b"a", b"B.c", b"%41", b"%7e", b"%20"),
    *(b"%252F", b"%255c", b"%2500", b"%25zz", b"%3F", b"%23"),
    *(b"%0a", b"\xc3\xa4", b"%c3%A4", b"[", b"*", b"jsessionid=X.n1", b"%2F", b"%5C", b"%00"),
]
tricky = st.lists(st.sampled_from(PIECES), max_size=14).map(lambda parts: b"/" + b"".join(parts))
any_path = st.binary(max_size=40).map(lambda tail: b"/" + tail)


def check_laws(raw: bytes) -> None:
    try:
        match, forward = normalise(raw)
    except BadURI:
        return
    assert tomcat_resolve(raw) == match
    assert tomcat_resolve(forward) == match
    assert normalise(forward) == (match, forward)
    assert is_plain(raw) == (match == forward == raw)
    assert re.fullmatch(rb"(?:[A-Za-z0-9~$\-_.+!*'(),;:@&=/]|%[0-9A-F]{2})+", forward)
    assert b"//" not in forward
    assert b"//" not in match


def check_laws_of_other_modes(raw: bytes) -> None:
    """No mode accepts what `proxy` refuses, or decides on another path."""
    try:
        match, proxied = normalise(raw)
    except BadURI:
        for mode in OTHER_MODES:
            with pytest.raises(BadURI):
                normalise(raw, mode)
        return
    forwarded: dict[str, bytes] = {}
    for mode in OTHER_MODES:
        with contextlib.suppress(BadURI):
            found = normalise(raw, mode)
            assert found.match == match
            assert tomcat_resolve(found.forward) == match
            forwarded[mode] = found.forward
    assert forwarded["compat_unparsed"] == raw
    assert forwarded.get("escaped") == (None if b";" in proxied else proxied)
    decoded = re.sub(rb"%(..)", lambda escape: bytes.fromhex(escape[1].decode()), proxied)
    is_safe = tomcat_resolve(decoded) == match and not re.search(rb"[\0-\x1f\x7f?#]", decoded)
    assert forwarded.get("compat") == (decoded if is_safe else None)


@settings(max_examples=600)
@given(tricky)
def test_laws_on_tricky_paths(raw: bytes) -> None:
    check_laws(raw)
    check_laws_of_other_modes(raw)


@given(any_path)
def test_laws_on_any_bytes(raw: bytes) -> None:
    check_laws(raw)
    check_laws_of_other_modes(raw)


@given(tricky)
def test_what_tomcat_refuses_is_refused(raw: bytes) -> None:
    valid = re.sub(rb"%(?![0-9A-Fa-f]{2})", b"", raw)
    if tomcat_resolve(valid) is None:
        for mode in MODES:
            with pytest.raises(BadURI):
                normalise(valid, mode)


@given(st.binary(max_size=40), st.sampled_from(MODES))
def test_nothing_but_bad_uri_is_raised(raw: bytes, mode: ForwardMode) -> None:
    with contextlib.suppress(BadURI):
        normalise(raw, mode)
