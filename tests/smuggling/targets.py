"""Who is asked, and in which form: Host, the four forms of a target, methods."""

from collections.abc import Iterator
from typing import Final

from .case import APP, HOST, Case, Reached, head, post, refused, seen, served, turned_away

__all__ = ["FORMS", "HOSTS", "METHODS"]

_PLACE: Final = "RFC 9112 §3.2, RFC 9110 §7.2"
_SECOND: Final = b"Host: other.example"


def _hosts() -> Iterator[Case]:
    for name, host, more in (
        ("two of them", HOST, (_SECOND,)),
        ("two equal ones", HOST, (b"Host: " + HOST,)),
        ("two, the second in other letters", HOST, (_SECOND.upper(),)),
        ("two, the second empty", HOST, (b"Host:",)),
        ("two, the first empty", b"", (_SECOND,)),
        ("two, far apart", HOST, (*[b"X-Between: 1"] * 50, _SECOND)),
        ("two, the second with a blank before its colon", HOST, (b"Host : other.example",)),
        ("a second one on a folded line", HOST, (b"X: 1", b" Host: other.example")),
        ("none in HTTP/1.1", None, ()),
        ("none, but X-Forwarded-Host", None, (b"X-Forwarded-Host: app.example",)),
    ):
        yield refused(
            f"Host: {name}",
            head(*more, host=host),
            reason="exactly one names the server that is asked",
            source="RFC 9112 §3.2",
        )
    for name, host in (
        ("a path", b"app.example/app"),
        ("a user", b"user@app.example"),
        ("a user and a password", b"user:pass@app.example"),
        ("a comma and another", b"app.example, other.example"),
        ("a blank and another", b"app.example other.example"),
        ("a tab and another", b"app.example\tother.example"),
        ("a semicolon", b"app.example;x"),
        ("a question mark", b"app.example?x"),
        ("a fragment", b"app.example#x"),
        ("a scheme", b"http://app.example"),
        ("a backslash", b"app.example\\x"),
        ("quotes", b'"app.example"'),
        ("angle brackets", b"<script>"),
        ("a percent sign that is no escape", b"app%zz.example"),
        ("an encoded slash", b"app.example%2fx"),
        ("an encoded CR and LF", b"app.example%0d%0aX:1"),
        ("a port that is no number", b"app.example:http"),
        ("a port of 99999", b"app.example:99999"),
        ("a port of 65536", b"app.example:65536"),
        ("a negative port", b"app.example:-1"),
        ("a port with a plus", b"app.example:+80"),
        ("a port and a blank", b"app.example: 80"),
        ("a port of 2^32 and 80", b"app.example:4294967376"),
        ("two ports", b"app.example:80:81"),
        ("a port and a path", b"app.example:80/app"),
        ("half a bracket", b"[::1"),
        ("half a bracket at the end", b"::1]"),
        ("IPv6 without brackets", b"::1"),
        ("text behind the bracket", b"[::1]x"),
        ("brackets with nothing in them", b"[]"),
        ("brackets with a name in them", b"[app.example]"),
        ("brackets with four letters in them", b"[abcd]"),
        ("bytes beyond ASCII", b"app\xe2\x80\xa8.example"),
        ("a zero byte", b"app.example\x00"),
    ):
        yield refused(
            f"Host: {name}",
            head(host=host),
            reason="no host and port; readers that cut it differ in where",
            source=_PLACE,
        )
    for name, host, server, port in (
        ("a port", b"app.example:8080", HOST, 8080),
        ("an empty port", b"app.example:", HOST, 0),
        ("capitals", b"APP.Example", HOST, 0),
        ("a dot at the end", b"app.example.", b"app.example.", 0),
        ("an underscore", b"app_1.example", b"app_1.example", 0),
        ("IPv4", b"192.0.2.1:81", b"192.0.2.1", 81),
        ("IPv6", b"[2001:db8::1]:81", b"[2001:db8::1]", 81),
        ("IPv6 without a port", b"[::1]", b"[::1]", 0),
    ):
        yield served(
            f"Host: {name}",
            head(host=host),
            Reached(headers=((b"host", host),), server_name=server, server_port=port),
            reason="legal",
            source="RFC 9110 §7.2, RFC 3986 §3.2.2",
        )


def _forms() -> Iterator[Case]:
    b_host = ((b"host", b"b.example:81"),)
    there = Reached(headers=b_host, server_name=b"b.example", server_port=81)
    for name, target, reached in (
        ("another host than Host", b"http://b.example:81/app/x", there),
        ("scheme in capitals", b"HTTP://b.example:81/app/x", there),
    ):
        yield served(
            f"absolute form: {name}",
            head(target=target),
            reached,
            reason="the target counts; the container sees one host, and the same as we",
            source="RFC 9112 §3.2.2",
        )
    yield refused(
        "absolute form without a Host",
        head(target=b"http://app.example/app/x", host=None),
        reason="Host is needed also where it does not count",
        source="RFC 9112 §3.2",
    )
    yield refused(
        "absolute form with two Hosts",
        head(_SECOND, target=b"http://app.example/app/x"),
        reason="as everywhere",
        source="RFC 9112 §3.2",
    )
    yield served(
        "absolute form: a Host that is none",
        head(target=b"http://app.example/app/x", host=b"a/b@c"),
        seen(),
        reason="what Host says is ignored then, and never forwarded",
        source="RFC 9112 §3.2.2",
    )
    yield refused(
        "absolute form: https on a connection without TLS",
        head(target=b"https://app.example/app/x"),
        400,
        421,
        reason="a request for https must be rejected that did not come over TLS",
        source="RFC 9110 §7.4",
    )
    for name, target in (
        ("ftp", b"ftp://app.example/app/x"),
        ("file", b"file:///app/x"),
        ("ws", b"ws://app.example/app/x"),
        ("javascript", b"javascript:alert(1)"),
        ("a user", b"http://user@app.example/app/x"),
        ("a user and a password", b"http://user:pass@app.example/app/x"),
        ("another host as user", b"http://app.example:80@b.example/app/x"),
        ("a backslash before an at sign", b"http://app.example\\@b.example/app/x"),
        ("an encoded slash in the host", b"http://app.example%2f/app/x"),
        ("no host", b"http:///app/x"),
        ("nothing behind the slashes", b"http://"),
        ("a port alone", b"http://:80/app/x"),
        ("one slash", b"http:/app/x"),
        ("no slash", b"http:app/x"),
        ("three slashes", b"http:////app/x"),
        ("a port too large", b"http://app.example:65536/app/x"),
        ("a port that is no number", b"http://app.example:x/app/x"),
        ("a fragment", b"http://app.example/app/x#y"),
        ("a fragment behind the host", b"http://app.example#/app/x"),
        ("half a bracket", b"http://[::1/app/x"),
        ("a comma in the host", b"http://app.example,b.example/app/x"),
    ):
        yield refused(
            f"absolute form: {name}",
            head(target=target),
            reason="not an http URL with a host, or one that is cut in several ways",
            source="RFC 9112 §3.2.2, RFC 9110 §4.2.1, §4.2.4",
        )
    for name, target, status in (
        ("a path that is not mapped", b"http://app.example/other/x", 404),
        ("dot segments to a path that is not mapped", b"http://app.example/app/../other/x", 404),
        ("dot segments above the root", b"http://app.example/../app/x", 400),
        ("no path", b"http://app.example", 404),
        ("no path, but a query", b"http://app.example?/app/x", 404),
    ):
        yield turned_away(
            f"absolute form: {name}",
            head(target=target),
            status,
            reason="its path is a path as any other",
            source="RFC 9112 §3.2.2, RFC 3986 §5.2.4",
        )
    for name, target in (
        ("authority", b"app.example:80"),
        ("a host name", b"app.example"),
        ("no slash before the path", b"app/x"),
        ("a question mark", b"?a=b"),
        ("a dot", b"./app/x"),
        ("an encoded slash first", b"%2fapp/x"),
        ("a backslash first", b"\\app\\x"),
        ("an asterisk with GET", b"*"),
        ("an asterisk and a path", b"*/app/x"),
    ):
        yield refused(
            f"target: {name}",
            head(target=target),
            reason="none of the four forms, or one that belongs to another method",
            source="RFC 9112 §3.2",
        )
    yield turned_away(
        "target: two slashes and a host",
        head(target=b"//app.example/app/x"),
        404,
        reason="a path of three segments, and not an authority",
        source="RFC 9112 §3.2.1, RFC 3986 §3.3",
    )
    yield turned_away(
        "OPTIONS *",
        head(method=b"OPTIONS", target=b"*"),
        200,
        reason="asks about the server; no application is asked",
        source="RFC 9110 §9.3.7",
    )
    yield turned_away(
        "OPTIONS * with a body",
        head(b"Content-Length: 5", method=b"OPTIONS", target=b"*") + b"hello",
        200,
        reason="its body is read past",
        source="RFC 9110 §9.3.7",
    )
    yield refused(
        "options *",
        head(method=b"options", target=b"*"),
        reason="methods differ by case: this is not OPTIONS",
        source="RFC 9110 §9.1",
    )
    yield refused(
        "OPTIONS *?a",
        head(method=b"OPTIONS", target=b"*?a"),
        reason="the asterisk stands alone",
        source="RFC 9112 §3.2.4",
    )
    for name, target in (("host and port", b"app.example:443"), ("a path", APP)):
        yield refused(
            f"CONNECT with {name}",
            head(method=b"CONNECT", target=target),
            400,
            405,
            501,
            reason="there is no tunnel under any address",
            source="RFC 9110 §9.3.6",
        )
    yield refused(
        "CONNECT with a body that is a request",
        post(b"Content-Length: 5", body=b"hello", method=b"CONNECT"),
        400,
        405,
        501,
        reason="readers differ in whether CONNECT has a body",
        source="RFC 9110 §9.3.6",
    )


def _methods() -> Iterator[Case]:
    methods = [b"get", b"GeT", b"QUERY", b"M-SEARCH", b"TRACE", b"TRACK", b"DEBUG", b"X"]
    methods += [b"PROPPATCH", b"LINK", b"PURGE", b"!#$%&'*+-.^_`|~9", b"A" * 300, b"HEADS"]
    for method in methods:
        name = method.decode() if len(method) < 30 else f"{len(method)} letters"
        yield served(
            f"method {name}",
            head(method=method),
            seen(method=method),
            reason="a token, forwarded as it is; whether it is allowed is the application's to say",
            source="RFC 9110 §9.1, §5.6.2",
        )


HOSTS: Final = tuple(_hosts())
FORMS: Final = tuple(_forms())
METHODS: Final = tuple(_methods())
