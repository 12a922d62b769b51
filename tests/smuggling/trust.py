"""What a client may say about itself, about the connection, and in the words of the web server."""

from collections.abc import Iterator
from typing import Final

from .case import Case, Pairs, chunked, head, post, refused, seen, served, turned_away

__all__ = ["EXPECTATIONS", "HOPS", "NAMES", "PROXIES"]

_HOP: Final = "RFC 9110 §7.6.1"
_HELLO: Final = seen(method=b"POST", body=b"hello")


def _hops() -> Iterator[Case]:
    kept: Pairs
    for name, lines, kept in (
        ("names X-Foo", (b"Connection: X-Foo", b"X-Foo: 1", b"X-Bar: 2"), ((b"x-bar", b"2"),)),
        ("names X-Foo in other letters", (b"X-FOO: 1", b"Connection: x-foo"), ()),
        ("names one of three equal fields", (b"X: 1", b"X: 2", b"Connection: X", b"x: 3"), ()),
        ("names Cookie", (b"Connection: Cookie", b"Cookie: a=1"), ()),
        ("names Authorization", (b"Connection: close-x, Authorization", b"Authorization: x"), ()),
        (
            "names X-Forwarded-For",
            (b"Connection: X-Forwarded-For", b"X-Forwarded-For: 1.2.3.4"),
            (),
        ),
        ("names Host", (b"Connection: Host",), ()),
        ("names itself", (b"Connection: Connection",), ()),
        ("names nothing that is there", (b"Connection: X-Foo", b"X-Foo2: 1"), ((b"x-foo2", b"1"),)),
        ("twice, each names one", (b"Connection: A", b"Connection: B", b"A: 1", b"B: 2"), ()),
        ("with empty elements", (b"Connection: ,, X-Foo ,", b"X-Foo: 1"), ()),
        ("empty", (b"Connection:",), ()),
    ):
        yield served(
            f"Connection {name}",
            head(*lines),
            seen(*kept),
            reason="what it names goes no further, and Host stays",
            source=_HOP,
        )
    yield served(
        "Connection names Content-Length",
        post(b"Connection: Content-Length", b"Content-Length: 5", body=b"hello"),
        _HELLO,
        reason="without its length the container would read the next request as body",
        source=_HOP,
    )
    yield served(
        "Connection names Transfer-Encoding",
        chunked(b"5\r\nhello\r\n0\r\n\r\n", b"Connection: Transfer-Encoding"),
        seen(method=b"POST", body=b"hello", is_chunked=True),
        reason="the framing is written anew for each connection",
        source=_HOP,
    )
    for name, lines in (
        ("two words", (b"Connection: close keep-alive",)),
        ("quotes", (b'Connection: "close"',)),
        ("a semicolon", (b"Connection: close;x",)),
        ("hundreds of names", (b"Connection: " + b"a," * 300,)),
    ):
        yield refused(
            f"Connection: {name}",
            head(*lines),
            reason="no list of names, or one that costs more than it is worth",
            source=_HOP,
        )
    for name, lines in (
        ("Upgrade to websocket", (b"Connection: Upgrade", b"Upgrade: websocket")),
        (
            "Upgrade to h2c with HTTP2-Settings",
            (
                b"Connection: Upgrade, HTTP2-Settings",
                b"Upgrade: h2c",
                b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
            ),
        ),
        ("Upgrade without Connection", (b"Upgrade: h2c",)),
        ("Upgrade to TLS", (b"Connection: Upgrade", b"Upgrade: TLS/1.2")),
        ("Keep-Alive", (b"Keep-Alive: timeout=9999, max=0",)),
        ("Proxy-Connection", (b"Proxy-Connection: close",)),
        ("TE", (b"TE: trailers, chunked", b"Connection: TE")),
        ("Trailer", (b"Trailer: X-Foo",)),
    ):
        yield served(
            name,
            head(*lines),
            seen(),
            reason="speaks of this connection: nobody switches protocols, what follows is HTTP/1.1",
            source=f"{_HOP}, §7.8",
        )
    yield served(
        "Upgrade to h2c with a body that is a request",
        post(
            b"Connection: Upgrade",
            b"Upgrade: h2c",
            b"Content-Length: 24",
            body=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ),
        seen(method=b"POST", body=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        reason="the body is counted; no tunnel opens behind the back of the rules",
        source="RFC 9110 §7.8",
    )


def _expectations() -> Iterator[Case]:
    for name, line in (
        ("100-continue", b"Expect: 100-continue"),
        ("100-Continue", b"EXPECT: 100-CONTINUE"),
    ):
        yield served(
            f"Expect: {name}, and the body at once",
            post(line, b"Content-Length: 5", body=b"hello"),
            _HELLO,
            reason="met here: AJP has no interim responses",
            source="RFC 9110 §10.1.1",
        )
    yield served(
        "Expect without a body",
        head(b"Expect: 100-continue"),
        seen(),
        reason="nothing to wait for",
        source="RFC 9110 §10.1.1",
    )
    yield served(
        "Expect in HTTP/1.0",
        post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello", version=b"HTTP/1.0"),
        seen(method=b"POST", body=b"hello", version=b"HTTP/1.0"),
        closes=True,
        reason="must be ignored",
        source="RFC 9110 §10.1.1",
    )
    for name, line in (
        ("another one", b"Expect: 200-ok"),
        ("two in a list", b"Expect: 100-continue, x"),
        ("a word behind it", b"Expect: 100-continue x"),
        ("a parameter", b"Expect: 100-continue;q=1"),
        ("quotes", b'Expect: "100-continue"'),
        ("nothing", b"Expect:"),
    ):
        yield refused(
            f"Expect: {name}",
            post(line, b"Content-Length: 5", body=b"hello"),
            400,
            417,
            reason="cannot be met; whether the body comes is not known, so the connection ends",
            source="RFC 9110 §10.1.1, §15.5.18",
        )
    yield Case(
        name="Expect, for a path that is not mapped, and no body",
        sent=head(
            b"Expect: 100-continue", b"Content-Length: 50", method=b"POST", target=b"/other/x"
        ),
        answers=((404, 417),),
        closes=True,
        reason="whether body or a request follows cannot be known: what follows is not executed",
        source="RFC 9110 §10.1.1",
    )


def _names() -> Iterator[Case]:
    """Fields with names that mean something where they do not belong."""
    for name in (
        "AJP_REMOTE_PORT",
        "AJP_LOCAL_ADDR",
        "AJP_SSL_PROTOCOL",
        "JK_LB_ACTIVATION",
        "JK_ROUTE",
        "REMOTE_USER",
        "remote_user",
        "auth_type",
        "HTTPS",
        "is_ssl",
        "secret",
        "Secret",
        "requiredSecret",
        "SSL_CLIENT_CERT",
        "SSL_CIPHER",
        "req_attribute",
        "stored_method",
        "query_string",
        "route",
        "javax.servlet.include.request_uri",
        "javax.servlet.include.servlet_path",
        "javax.servlet.include.path_info",
        "jakarta.servlet.include.request_uri",
        "jakarta.servlet.request.X509Certificate",
        "org.apache.catalina.jsp_file",
        "X-HTTP-Method-Override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "Proxy",
    ):
        field = name.encode()
        yield served(
            f"a field with the name {name}",
            head(field + b": /WEB-INF/web.xml"),
            seen((field.lower(), b"/WEB-INF/web.xml")),
            reason="a header and nothing else: no attribute, no secret, no other path or method",
            source="CVE-2020-1938",
        )
    yield served(
        "Content_Type, Content-Type",
        head(b"Content_Type: a/b", b"Content-Type: c/d"),
        seen((b"content_type", b"a/b"), (b"content-type", b"c/d")),
        reason="two names; only a gateway that makes variables of them takes them for one",
        source="RFC 9110 §5.1",
    )


def _proxies() -> Iterator[Case]:
    """What only a proxy that is trusted may say; none is."""
    for name, lines in (
        ("X-Forwarded-For", (b"X-Forwarded-For: 192.0.2.66",)),
        ("X-Forwarded-For: 127.0.0.2 twice", (b"X-Forwarded-For: 127.0.0.2",) * 2),
        ("X-Forwarded-Proto: https", (b"X-Forwarded-Proto: https",)),
        ("X-Forwarded-Host", (b"X-Forwarded-Host: other.example",)),
        ("X-Forwarded-Port", (b"X-Forwarded-Port: 443",)),
        ("Forwarded", (b"Forwarded: for=192.0.2.66;proto=https;host=other.example",)),
        ("X-Real-IP", (b"X-Real-IP: 192.0.2.66",)),
        ("Client-IP and True-Client-IP", (b"Client-IP: 192.0.2.66", b"True-Client-IP: 192.0.2.66")),
        ("X-SSL-Client-Cert", (b"X-SSL-Client-Cert: x",)),
        ("Front-End-Https", (b"Front-End-Https: on",)),
    ):
        pairs = [line.split(b": ", 1) for line in lines]
        yield served(
            f"{name} of a client that is not trusted",
            head(*lines),
            seen(*((pair[0].lower(), pair[1]) for pair in pairs)),
            reason="client address, host and TLS are those of the connection",
            source="RFC 7239 §8.1",
        )
    for name, line in (
        ("version 1", b"PROXY TCP4 192.0.2.66 192.0.2.1 1 80\r\n"),
        ("version 1, UNKNOWN", b"PROXY UNKNOWN\r\n"),
        (
            "version 2",
            b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x42\xc0\x00\x02\x01\x00\x01\x00\x50",
        ),
    ):
        yield refused(
            f"PROXY header, {name}, of a client that is not trusted",
            line + head(),
            reason="no request line; believed, it would give the client any address",
            source="PROXY protocol §2",
        )
    yield turned_away(
        "a path that is not mapped, and X-Original-URL that is",
        head(b"X-Original-URL: /app/x", target=b"/other/x"),
        404,
        reason="the request line decides",
        source="RFC 9112 §3",
    )


NAMES: Final = tuple(_names())
HOPS: Final = tuple(_hops())
EXPECTATIONS: Final = tuple(_expectations())
PROXIES: Final = tuple(_proxies())
