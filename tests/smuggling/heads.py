"""Lines of a head: their ends, control bytes in every place, names, folding, sizes."""

from collections.abc import Iterator
from typing import Final

from .case import Case, head, refused, seen, served

__all__ = ["CONTROLS", "FIELDS", "LINES", "SIZES"]

_LINE: Final = b"GET /app/x HTTP/1.1\r\n"
_HOST: Final = b"Host: app.example\r\n"
_ENDS: Final = "RFC 9112 §2.2"


def _lines() -> Iterator[Case]:
    """The request line and the ends of lines."""
    for name, sent in (
        ("LF alone everywhere", head(b"X: y").replace(b"\r\n", b"\n")),
        ("LF alone behind the request line", _LINE[:-2] + b"\n" + _HOST + b"\r\n"),
        ("LF alone behind a field", _LINE + _HOST[:-2] + b"\nX: y\r\n\r\n"),
        ("LF alone as the empty line", _LINE + _HOST + b"\n"),
        ("LF CR in place of CRLF", head(b"X: y").replace(b"\r\n", b"\n\r")),
        ("CR alone everywhere", head(b"X: y").replace(b"\r\n", b"\r") + b"\r\n\r\n"),
        ("CR alone as the empty line", _LINE + _HOST + b"\r" + _LINE + _HOST + b"\r\n"),
        ("CR CR LF behind the request line", _LINE[:-2] + b"\r\r\n" + _HOST + b"\r\n"),
        ("CR CR LF behind a field", _LINE + _HOST[:-2] + b"\r\r\n\r\n"),
        ("CR CR LF as the empty line", _LINE + _HOST + b"\r\r\n\r\n"),
    ):
        yield refused(
            name,
            sent,
            reason="a line ends in CRLF; where LF or CR counts, another head is read",
            source=_ENDS,
        )
    for name, line in (
        ("no method", b"/app/x HTTP/1.1"),
        ("no target", b"GET HTTP/1.1"),
        ("no target, two blanks", b"GET  HTTP/1.1"),
        ("no version (HTTP/0.9)", b"GET /app/x"),
        ("no version, a blank", b"GET /app/x "),
        ("a method alone", b"GET"),
        ("two blanks before the target", b"GET  /app/x HTTP/1.1"),
        ("two blanks before the version", b"GET /app/x  HTTP/1.1"),
        ("a blank at the end", b"GET /app/x HTTP/1.1 "),
        ("a tab at the end", b"GET /app/x HTTP/1.1\t"),
        ("a blank at the beginning", b" GET /app/x HTTP/1.1"),
        ("tabs in place of blanks", b"GET\t/app/x\tHTTP/1.1"),
        ("vertical tabs in place of blanks", b"GET\x0b/app/x\x0bHTTP/1.1"),
        ("form feed behind the target", b"GET /app/x\x0c HTTP/1.1"),
        ("two versions", b"GET /app/x HTTP/1.1 HTTP/1.1"),
        ("two targets", b"GET /app/x /app/y HTTP/1.1"),
        ("a colon behind the method", b"GET: /app/x HTTP/1.1"),
        ("a method with a comma", b"GET,POST /app/x HTTP/1.1"),
        ("a method in quotes", b'"GET" /app/x HTTP/1.1'),
        ("a method with a slash", b"GET/1 /app/x HTTP/1.1"),
        ("a method beyond ASCII", b"G\xc3\x89T /app/x HTTP/1.1"),
        ("a method with a zero byte", b"GE\x00T /app/x HTTP/1.1"),
        ("a target with a zero byte", b"GET /app/x\x00y HTTP/1.1"),
        ("a target with a bare CR", b"GET /app/x\ry HTTP/1.1"),
        ("a target with a control byte", b"GET /app/x\x01 HTTP/1.1"),
        ("a target with DEL", b"GET /app/x\x7f HTTP/1.1"),
        ("a query with a zero byte", b"GET /app/x?a=\x00 HTTP/1.1"),
        ("a query with a tab", b"GET /app/x?a=\tb HTTP/1.1"),
        ("a byte-order mark before it", b"\xef\xbb\xbfGET /app/x HTTP/1.1"),
    ):
        yield refused(
            f"request line: {name}",
            line + b"\r\n" + _HOST + b"\r\n",
            reason="method, target and version, one blank between them; nothing is guessed",
            source="RFC 9112 §3",
        )
    for name, version in (
        ("http/1.1", b"http/1.1"),
        ("Http/1.1", b"Http/1.1"),
        ("HTTP/1.10", b"HTTP/1.10"),
        ("HTTP/01.1", b"HTTP/01.1"),
        ("HTTP/1.", b"HTTP/1."),
        ("HTTP/1,1", b"HTTP/1,1"),
        ("HTTP/11", b"HTTP/11"),
        ("HTTP/1.1x", b"HTTP/1.1x"),
        ("HTTP/-1.1", b"HTTP/-1.1"),
        ("HTTP /1.1", b"HTTP /1.1"),
        ("HTTPS/1.1", b"HTTPS/1.1"),
        ("RTSP/1.0", b"RTSP/1.0"),
        ("a zero byte behind it", b"HTTP/1.1\x00"),
        ("a digit that is none", b"HTTP/1.x"),
        ("HTTP/0.9", b"HTTP/0.9"),
        ("HTTP/2.0", b"HTTP/2.0"),
        ("HTTP/2", b"HTTP/2"),
        ("HTTP/3.0", b"HTTP/3.0"),
    ):
        yield refused(
            f"version: {name}",
            head(version=version),
            400,
            505,
            reason="HTTP/1 and one digit; other versions look different on the wire",
            source="RFC 9112 §2.3, RFC 9110 §15.6.6",
        )
    yield served(
        "version: HTTP/1.2",
        head(version=b"HTTP/1.2"),
        seen(),
        reason="read as the highest version that is known, and forwarded as that",
        source="RFC 9110 §2.5, §6.2",
    )
    yield refused(
        "the preface of HTTP/2",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        400,
        505,
        reason="not spoken here; its frames are no requests",
        source="RFC 9113 §3.4",
    )
    for name, sent in (
        ("a TLS handshake", b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + b"a" * 40),
        ("the greeting of SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("an AJP packet", b"\x12\x34\x00\x0e\x02\x02\x00\x08HTTP/1.1\x00"),
        ("a zero byte before a request", b"\x00" + head()),
        ("ten empty lines", b"\r\n" * 10),
        ("an LF before a request", b"\n" + head()),
        ("a CR before a request", b"\r" + head()),
    ):
        yield refused(name, sent, reason="no request line", source="RFC 9112 §2.2, §3")
    yield served(
        "an empty line before a request",
        b"\r\n" + head(),
        seen(),
        reason="at least one is to be ignored",
        source=_ENDS,
    )


def _controls() -> Iterator[Case]:
    """A control byte in a name, before the colon, in a value."""
    for name, byte in (
        ("zero byte", b"\x00"),
        ("bare CR", b"\r"),
        ("bare LF", b"\n"),
        ("vertical tab", b"\x0b"),
        ("form feed", b"\x0c"),
        ("escape", b"\x1b"),
        ("DEL", b"\x7f"),
        ("backspace", b"\x08"),
    ):
        for where, line in (
            ("before a name", byte + b"X-Foo: 1"),
            ("in a name", b"X-%sFoo: 1" % byte),
            ("before a colon", b"X-Foo%s: 1" % byte),
            ("before a value", b"X-Foo: %s1" % byte),
            ("in a value", b"X-Foo: 1%s2" % byte),
            ("at the end of a value", b"X-Foo: 1" + byte),
        ):
            if (name, where) == ("bare CR", "at the end of a value"):
                continue  # CR CR LF, see the lines
            yield refused(
                f"{name} {where}",
                head(line, b"X-Bar: 2"),
                reason="not a field line, or the beginning of one that only some readers see",
                source="RFC 9110 §5.5, RFC 9112 §2.2",
            )


def _fields() -> Iterator[Case]:
    for name, lines in (
        ("folded line", (b"X-Foo: 1", b" 2")),
        ("line folded with a tab", (b"X-Foo: 1", b"\t2")),
        ("folded line of blanks", (b"X-Foo: 1", b"  ")),
        ("folded line that is a field", (b"X-Foo: 1", b" Content-Length: 5")),
        ("folded Connection", (b"Connection:", b" close")),
    ):
        yield refused(
            name,
            head(*lines),
            reason="joined by one reader, a field to another",
            source="RFC 9112 §5.2",
        )
    yield refused(
        "first line folded",
        _LINE + b" X-Foo: 1\r\n" + _HOST + b"\r\n",
        reason="white space between the request line and the first field",
        source="RFC 9112 §2.2",
    )
    for name, line in (
        ("blank before the colon", b"X-Foo : 1"),
        ("tab before the colon", b"X-Foo\t: 1"),
        ("blank in a name", b"X Foo: 1"),
        ("no name", b": 1"),
        ("a colon alone", b":"),
        ("no colon", b"X-Foo"),
        ("a request line as field", b"GET /app/smuggled HTTP/1.1"),
        ("name in quotes", b'"X-Foo": 1'),
        ("name with a parenthesis", b"X-Foo(1): 1"),
        ("name with a slash", b"X/Foo: 1"),
        ("name with an at sign", b"X@Foo: 1"),
        ("name with an equals sign", b"X=Foo: 1"),
        ("name with brackets", b"X[Foo]: 1"),
        ("name with a semicolon", b"X;Foo: 1"),
        ("name beyond ASCII", b"X-F\xc3\xb6\xc3\xb6: 1"),
        ("name that begins with byte A0, as coded names do in AJP", b"\xa0\x01: 1"),
    ):
        yield refused(
            f"field line: {name}",
            head(line),
            reason="a name is a token, and the colon follows it at once",
            source="RFC 9112 §5.1, RFC 9110 §5.1",
        )
    for name, line, pair in (
        ("no blank behind the colon", b"X-Foo:1", (b"x-foo", b"1")),
        ("nothing in it", b"X-Foo:", (b"x-foo", b"")),
        ("blanks alone in it", b"X-Foo: \t ", (b"x-foo", b"")),
        ("a tab within", b"X-Foo: a\tb", (b"x-foo", b"a\tb")),
        ("Latin-1", b"X-Foo: \xe4\xf6", (b"x-foo", b"\xe4\xf6")),
        ("UTF-8", b"X-Foo: \xc3\xa4", (b"x-foo", b"\xc3\xa4")),
        (
            "bytes that end a line when cut to 7 bits",
            b"X-Foo: a\x8d\x8aB: c",
            (b"x-foo", b"a\x8d\x8aB: c"),
        ),
        ("colons", b"X-Foo: a: b", (b"x-foo", b"a: b")),
        ("quotes and a backslash", b'X-Foo: "a\\"', (b"x-foo", b'"a\\"')),
        ("a name of every tchar", b"!#$%&'*+-.^_`|~9A: 1", (b"!#$%&'*+-.^_`|~9a", b"1")),
    ):
        yield served(
            f"field value: {name}",
            head(line),
            seen(pair),
            reason="legal, and arrives byte by byte",
            source="RFC 9110 §5.5, §5.1",
        )
    yield served(
        "one name three times, with others between",
        head(b"X-Foo: 1", b"X-Bar: 2", b"x-foo: 3", b"X-FOO: 4"),
        seen((b"x-foo", b"1"), (b"x-bar", b"2"), (b"x-foo", b"3"), (b"x-foo", b"4")),
        reason="order and number are kept",
        source="RFC 9110 §5.3",
    )


def _sizes() -> Iterator[Case]:
    for name, sent, statuses in (
        ("method of 70000 bytes", head(method=b"A" * 70_000), (400, 414, 431)),
        ("target of 70000 bytes", head(target=b"/app/" + b"x" * 70_000), (414,)),
        ("query of 70000 bytes", head(target=b"/app/x?" + b"x" * 70_000), (414,)),
        ("name of 70000 bytes", head(b"X" * 70_000 + b": 1"), (431,)),
        ("value of 70000 bytes", head(b"X: " + b"y" * 70_000), (431,)),
        ("600 fields", head(*[b"X: y"] * 600), (431,)),
        ("Host of 70000 bytes", head(host=b"a" * 70_000), (431, 400)),
    ):
        yield refused(
            name,
            sent,
            *statuses,
            reason="beyond max_header_bytes or MOST_FIELDS",
            source="RFC 9110 §5.4",
        )
    for name, sent, status in (
        ("target of 9000 bytes", head(target=b"/app/" + b"x" * 9000), 414),
        ("query of 9000 bytes", head(target=b"/app/x?" + b"y" * 9000), 414),
        ("name of 9000 bytes", head(b"X" * 9000 + b": 1"), 431),
        ("value of 9000 bytes", head(b"X: " + b"y" * 9000), 431),
        ("Host of 9000 bytes", head(host=b"a" * 9000), 431),
        ("method of 9000 bytes", head(method=b"A" * 9000), 431),
    ):
        yield Case(
            name=f"{name}, more than a packet",
            sent=sent,
            answers=((status, 400),),
            reason="refused before a container is asked: nothing is cut off, no worker is blamed",
            source="CVE-2007-0774, CVE-2009-0033",
        )
    for name, length in (("A001", 0xA001), ("A00E", 0xA00E), ("A0FF", 0xA0FF)):
        yield Case(
            name=f"name of 0x{name} bytes, in packets of 64 KB",
            sent=head(b"X" * length + b": 1"),
            answers=((400, 431),),
            max_packet_size=65536,
            reason="a length of 0xA0nn would be read as the code of another header",
            source="ajpv13a, Request Packet Structure",
        )
    yield served(
        "value of 4000 bytes",
        head(b"X: " + b"y" * 4000),
        seen((b"x", b"y" * 4000)),
        reason="long, and nothing is cut off",
        source="RFC 9110 §5.4",
    )


LINES: Final = tuple(_lines())
CONTROLS: Final = tuple(_controls())
FIELDS: Final = tuple(_fields())
SIZES: Final = tuple(_sizes())
