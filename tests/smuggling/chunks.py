"""Chunked bodies: sizes, ends of lines, extensions, trailers."""

from collections.abc import Iterator
from typing import Final

from .case import SMUGGLED, Case, chunked, refused, seen, served

__all__ = ["CHUNKS", "EXTENSIONS", "TRAILERS"]

_END: Final = b"0\r\n\r\n"
_HELLO: Final = seen(method=b"POST", body=b"hello", is_chunked=True)
#: The head and all of the data may be with the container before the rest proves broken.
_BEGUN: Final = seen(method=b"POST", body=b"hello!", is_chunked=True)
_SIZE: Final = "RFC 9112 §7.1"


def _chunks() -> Iterator[Case]:
    for name, raw, body in (
        ("chunk of one digit", b"5\r\nhello\r\n" + _END, b"hello"),
        ("chunk size in capitals", b"A\r\n0123456789\r\n" + _END, b"0123456789"),
        ("chunk size in small letters", b"a\r\n0123456789\r\n" + _END, b"0123456789"),
        ("chunk size with leading zeros", b"0005\r\nhello\r\n" + _END, b"hello"),
        ("last chunk of many zeros", b"5\r\nhello\r\n00000\r\n\r\n", b"hello"),
        ("chunks of one byte", b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n" + _END, b"abc"),
        ("no chunk but the last", _END, b""),
        ("data that looks like the last chunk", b"5\r\n" + _END + b"\r\n" + _END, _END),
        (
            "data that looks like the end and a request",
            b"%x\r\n%s\r\n%s" % (len(_END + SMUGGLED), _END + SMUGGLED, _END),
            _END + SMUGGLED,
        ),
    ):
        yield served(
            name,
            chunked(raw),
            seen(method=b"POST", body=body, is_chunked=True),
            reason="chunk-size is 1*HEXDIG; data is counted, not read",
            source=_SIZE,
        )
    for name, raw in (
        ("chunk size with 0x", b"0x5\r\nhello\r\n"),
        ("chunk size with a plus", b"+5\r\nhello\r\n"),
        ("chunk size with a minus", b"-5\r\nhello\r\n"),
        ("chunk size -0", b"-0\r\n\r\n"),
        ("chunk size with a blank before it", b" 5\r\nhello\r\n"),
        ("chunk size with a blank behind it", b"5 \r\nhello\r\n"),
        ("chunk size with a tab behind it", b"5\t\r\nhello\r\n"),
        ("chunk size with a blank in it", b"0 5\r\nhello\r\n"),
        ("chunk size with an underscore", b"0_5\r\nhello\r\n"),
        ("chunk size with a comma", b"5,\r\nhello\r\n"),
        ("chunk size with a fraction", b"5.0\r\nhello\r\n"),
        ("chunk size that is no number", b"g\r\nhello\r\n"),
        ("chunk size h behind a number", b"5h\r\nhello\r\n"),
        ("chunk size of full-width digits", b"\xef\xbc\x95\r\nhello\r\n"),
        ("no chunk size", b"\r\nhello\r\n"),
        ("empty line before a chunk", b"\r\n5\r\nhello\r\n"),
        ("zero byte in a chunk size", b"5\x00\r\nhello\r\n"),
        ("chunk size 2^64 and five", b"10000000000000005\r\nhello\r\n"),
        ("chunk size 2^64 - 1", b"ffffffffffffffff\r\nhello\r\n"),
        ("chunk size 2^63", b"8000000000000000\r\nhello\r\n"),
        ("chunk size of 144 digits", b"100000005" * 16 + b"\r\nhello\r\n"),
        ("chunk size of a hundred zeros", b"0" * 100 + b"5\r\nhello\r\n"),
        ("chunk size ended by LF", b"5\nhello\r\n"),
        ("chunk size ended by CR", b"5\rhello\r\n"),
        ("chunk size ended by CR CR LF", b"5\r\r\nhello\r\n"),
        ("chunk size ended by LF CR", b"5\n\rhello\r\n"),
        ("data without CRLF behind it", b"5\r\nhello"),
        ("data with LF behind it", b"5\r\nhello\n"),
        ("data with CR behind it", b"5\r\nhello\r"),
        ("data with two other bytes behind it", b"5\r\nhelloXX"),
        ("data longer than its size", b"5\r\nhello!\r\n"),
        ("data shorter than its size", b"6\r\nhello\r\n"),
        ("last chunk ended by LF", b"5\r\nhello\r\n0\n\r\n"),
        ("last chunk and LF LF", b"5\r\nhello\r\n0\n\n"),
        ("last chunk and CRLF LF", b"5\r\nhello\r\n0\r\n\n"),
        ("last chunk and CR CR LF", b"5\r\nhello\r\n0\r\n\r\r\n"),
    ):
        yield refused(
            name,
            chunked(raw if raw.startswith(b"5\r\nhello\r\n0") else raw + _END),
            reason="one reader ends the chunk here, the next elsewhere",
            source=f"{_SIZE}, §2.2",
            begins=seen(method=b"POST", body=b"hello\r\n", is_chunked=True),
        )
    for name, raw in (
        ("end of the connection within a chunk", b"5\r\nhel"),
        ("end of the connection behind a chunk", b"5\r\nhello\r\n"),
        ("end of the connection behind the last size", b"5\r\nhello\r\n0\r\n"),
        ("end of the connection within a size", b"5\r\nhello\r\n1"),
    ):
        yield Case(
            name=name,
            sent=chunked(raw),
            answers=(),
            begins=_BEGUN,
            closes=True,
            is_cut=True,
            reason="an incomplete body is never ended as if it was whole",
            source="RFC 9112 §8",
        )


def _extensions() -> Iterator[Case]:
    for name, raw in (
        ("chunk extension", b"5;a\r\nhello\r\n" + _END),
        ("chunk extension with a value", b"5;a=b;c=d\r\nhello\r\n" + _END),
        ("chunk extension in quotes", b'5;a="b c;d"\r\nhello\r\n' + _END),
        ("chunk extension of 4000 bytes", b"5;" + b"a" * 4000 + b"\r\nhello\r\n" + _END),
        ("extension of the last chunk", b"5\r\nhello\r\n0;a=b\r\n\r\n"),
        ("chunk extension that looks like a chunk", b"5;2\r\nhello\r\n" + _END),
    ):
        yield served(
            name,
            chunked(raw),
            _HELLO,
            reason="an unknown extension is read past",
            source="RFC 9112 §7.1.1",
        )
    quoted = (
        b'"\r\nhe'  # five bytes behind the first CRLF: what a reader takes that knows no quotes
    )
    many = (b"1;" + b"a" * 70 + b"\r\nh\r\n") * 300
    for name, raw, body in (
        ("chunk extension ended by LF", b"5;a\nhello\r\n" + _END, b""),
        ("chunk extension with a bare CR", b"5;a\rb\r\nhello\r\n" + _END, b""),
        ("chunk extension with LF in quotes", b'5;a="\n"\r\nhello\r\n' + _END, b""),
        ("chunk extension with CRLF in quotes", b'5;a="\r\n"\r\nhello\r\n' + _END, quoted),
        ("chunk extension with a zero byte", b"5;\x00\r\nhello\r\n" + _END, b""),
        ("chunk extension with a control byte", b"5;a\x1b\r\nhello\r\n" + _END, b""),
        ("chunk extension of 20000 bytes", b"5;" + b"a" * 20_000 + b"\r\nhello\r\n" + _END, b""),
        ("extensions of 300 chunks", many + _END, b"h" * 300),
        ("extension of the last chunk ended by LF", b"5\r\nhello\r\n0;a\n\r\n", b"hello"),
        ("a request behind an LF in an extension", b"5;\n" + SMUGGLED + b"\r\nhello\r\n", b""),
    ):
        yield refused(
            name,
            chunked(raw),
            reason="a reader that takes LF for the end of the line reads another body; and no "
            "client needs that much",
            source="RFC 9112 §7.1.1, §2.2",
            begins=seen(method=b"POST", body=body, is_chunked=True),
        )


def _trailers() -> Iterator[Case]:
    start = b"5\r\nhello\r\n0\r\n"
    for name, lines in (
        ("a trailer", b"X-Foo: 1\r\n"),
        ("two trailers", b"X-Foo: 1\r\nX-Bar: 2\r\n"),
        ("Content-Length as trailer", b"Content-Length: 50\r\n"),
        ("Transfer-Encoding as trailer", b"Transfer-Encoding: chunked\r\n"),
        ("Host as trailer", b"Host: other.example\r\n"),
        ("Cookie and Authorization as trailers", b"Cookie: a=1\r\nAuthorization: x\r\n"),
        ("Connection as trailer", b"Connection: close\r\n"),
        ("an attribute's name as trailer", b"AJP_REMOTE_PORT: 1\r\n"),
        ("a trailer without value", b"X-Foo:\r\n"),
    ):
        yield served(
            name,
            chunked(start + lines + b"\r\n"),
            _HELLO,
            reason="AJP has no trailers: they are dropped, and never merged into the headers",
            source="RFC 9110 §6.5.1, RFC 9112 §7.1.2",
        )
    for name, lines in (
        ("trailer ended by LF", b"X-Foo: 1\n\r\n"),
        ("trailers ended by LF LF", b"X-Foo: 1\n\n"),
        ("trailer with a bare CR", b"X-Foo: 1\r2\r\n\r\n"),
        ("trailer with a zero byte", b"X-Foo: \x00\r\n\r\n"),
        ("trailer with a control byte in its name", b"X-\x0bFoo: 1\r\n\r\n"),
        ("trailers of 20000 bytes", b"X-Foo: 1234567890\r\n" * 1100 + b"\r\n"),
        ("trailer of 20000 bytes", b"X-Foo: " + b"a" * 20_000 + b"\r\n\r\n"),
    ):
        yield refused(
            name,
            chunked(start + lines),
            reason="the end of the trailers is the end of the request; and no client needs so many",
            source="RFC 9112 §7.1.2, §2.2",
            begins=_BEGUN,
        )
    for name, lines in (
        ("trailer without a colon", b"X-Foo\r\n\r\n"),
        ("trailer without a name", b": 1\r\n\r\n"),
        ("trailer with a blank before its colon", b"X-Foo : 1\r\n\r\n"),
        ("trailer on a folded line", b"X-Foo: 1\r\n 2\r\n\r\n"),
        ("trailer with a name that is no token", b"X(Foo): 1\r\n\r\n"),
        ("a request in place of the trailers", b""),
    ):
        yield refused(
            name,
            chunked(start + lines),
            reason="trailers are field lines; a request that is taken for one is lost without a "
            "word, or executed by the next reader",
            source="RFC 9112 §7.1.2, §5",
            begins=_BEGUN,
        )


CHUNKS: Final = tuple(_chunks())
EXTENSIONS: Final = tuple(_extensions())
TRAILERS: Final = tuple(_trailers())
