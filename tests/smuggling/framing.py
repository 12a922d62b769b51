"""Where a message ends: Content-Length, Transfer-Encoding, both, neither, one after the other."""

from collections.abc import Iterator
from typing import Final

from .case import (
    SMUGGLED,
    Case,
    Reached,
    chunked,
    head,
    post,
    refused,
    seen,
    served,
)

__all__ = ["CODINGS", "LENGTHS", "PIPELINES", "TWO_LENGTHS"]

_TE: Final = b"Transfer-Encoding: chunked"
_HELLO: Final = seen(method=b"POST", body=b"hello")
_HIDDEN: Final = b"0\r\n\r\n" + SMUGGLED
_BOTH: Final = "RFC 9112 §6.1, §6.3"


def _both() -> Iterator[Case]:
    """Content-Length beside something that is, or looks like, Transfer-Encoding."""
    length = b"Content-Length: %d" % len(_HIDDEN)
    for name, lines in (
        ("Content-Length, then Transfer-Encoding", (length, _TE)),
        ("Transfer-Encoding, then Content-Length", (_TE, length)),
        ("both, names in lower case", (length.lower(), _TE.lower())),
        ("both, names in capitals", (b"CONTENT-LENGTH: 5", b"TRANSFER-ENCODING: CHUNKED")),
        ("Content-Length: 0 and chunked", (b"Content-Length: 0", _TE)),
        ("chunked between two Content-Lengths", (b"Content-Length: 5", _TE, length)),
        ("Content-Length between two codings", (_TE, length, _TE)),
        ("both, far apart", (length, *[b"X-Between: 1"] * 50, _TE)),
        ("both, and Connection names Content-Length", (length, _TE, b"Connection: content-length")),
        (
            "both, and Connection names Transfer-Encoding",
            (length, _TE, b"Connection: transfer-encoding"),
        ),
    ):
        yield refused(
            name,
            post(*lines, body=_HIDDEN),
            reason="one reader goes by the length, the next by the chunks",
            source=_BOTH,
        )
    for name, value in (
        ("xchunked", b"xchunked"),
        ("identity", b"identity"),
        ("chunked, identity", b"chunked, identity"),
        ("chunked in quotes", b'"chunked"'),
        ("chunked behind a no-break space", b"\xa0chunked"),
        ("nothing in it", b""),
    ):
        yield refused(
            f"Content-Length and Transfer-Encoding: {name}",
            post(length, b"Transfer-Encoding: " + value, body=_HIDDEN),
            400,
            501,
            reason="httpd dropped the length and sent an unasked body packet (AJP smuggling)",
            source="CVE-2022-26377, CVE-2022-36760",
        )
    for name, line in (
        ("blank before its colon", b"Transfer-Encoding : chunked"),
        ("tab before its colon", b"Transfer-Encoding\t: chunked"),
        ("vertical tab in its name", b"Transfer-Encoding\x0b: chunked"),
        ("zero byte in its name", b"Transfer-Encoding\x00: chunked"),
        ("vertical tab before its value", b"Transfer-Encoding: \x0bchunked"),
        ("form feed behind its value", b"Transfer-Encoding: chunked\x0c"),
        ("blank before its name", b" Transfer-Encoding: chunked"),
        ("tab before its name", b"\tTransfer-Encoding: chunked"),
        ("it hidden behind a bare LF", b"X: y\nTransfer-Encoding: chunked"),
        ("it hidden behind a bare CR", b"X: y\rTransfer-Encoding: chunked"),
        ("its value on a folded line", b"Transfer-Encoding:\r\n chunked"),
        ("its name broken by a folded line", b"Transfer\r\n -Encoding: chunked"),
        ("bytes beyond ASCII in its name", b"Transfer-Encodin\xc7\xb5: chunked"),
    ):
        yield refused(
            f"Content-Length and Transfer-Encoding, {name}",
            post(length, line, body=_HIDDEN),
            400,
            501,
            reason="a lenient reader takes it for Transfer-Encoding",
            source="RFC 9112 §5.1, §5.2, §2.2",
        )
    for field in (b"Transfer_Encoding", b"Content-Encoding", b"X-Transfer-Encoding"):
        yield served(
            f"Content-Length and {field.decode()}: chunked",
            post(b"Content-Length: 5", field + b": chunked", body=b"hello"),
            seen((field.lower(), b"chunked"), method=b"POST", body=b"hello"),
            reason="another name is another field: it frames nothing",
            source="RFC 9110 §5.1",
        )


def _lengths() -> Iterator[Case]:
    """Content-Length alone."""
    for name, value in (
        ("a number", b"5"),
        ("leading zeros", b"0005"),
        ("blanks around it", b" \t 5 \t"),
        ("no blank before it", b"5"),
    ):
        colon = b"Content-Length:" if name.startswith("no blank") else b"Content-Length: "
        yield served(
            f"Content-Length: {name}",
            post(colon + value, body=b"hello"),
            _HELLO,
            reason="1*DIGIT, optional white space around it",
            source="RFC 9110 §8.6",
        )
    for name, value in (
        ("a plus sign", b"+5"),
        ("a minus sign", b"-5"),
        ("minus nothing", b"-0"),
        ("hexadecimal", b"0x5"),
        ("hexadecimal without a prefix", b"a"),
        ("a fraction", b"5.0"),
        ("an exponent", b"5e0"),
        ("an underscore", b"0_5"),
        ("a blank between digits", b"5 5"),
        ("a semicolon", b"5;"),
        ("quotes", b'"5"'),
        ("nothing", b""),
        ("a comma alone", b","),
        ("a list of equal lengths", b"5, 5"),
        ("a list without a blank", b"5,5"),
        ("a list of unequal lengths", b"5, 6"),
        ("a list with an empty element", b"5,"),
        ("Arabic digits", b"\xd9\xa5"),
        ("a full-width digit", b"\xef\xbc\x95"),
        ("2^63", b"9223372036854775808"),
        ("2^64 and five", b"18446744073709551621"),
        ("a number of 22 digits", b"21474836485" * 2),
        ("thirty digits", b"5" * 30),
        ("a zero byte", b"5\x00"),
        ("a vertical tab before it", b"\x0b5"),
        ("a form feed behind it", b"5\x0c"),
        ("a bare CR behind it", b"5\r"),
        ("on a folded line", b"\r\n 5"),
        ("a digit on a folded line", b"5\r\n 0"),
    ):
        yield refused(
            f"Content-Length: {name}",
            post(b"Content-Length: " + value, body=b"hello"),
            reason="no length, or one that two readers compute differently",
            source="RFC 9110 §8.6, RFC 9112 §6.3",
        )
    for name, second in (("equal", 5), ("smaller", 1), ("larger", 50)):
        yield refused(
            f"two Content-Lengths, the second {name}",
            post(b"Content-Length: 5", b"Content-Length: %d" % second, body=b"hello"),
            reason="which one counts differs; Tomcat itself took either",
            source="RFC 9112 §6.3, CVE-2005-2090, CVE-2013-4286",
        )
    yield refused(
        "two Content-Lengths, the second in other letters",
        post(b"Content-Length: 5", b"cOnTeNt-LeNgTh: 0", body=b"hello"),
        reason="names are equal in any case",
        source="RFC 9110 §5.1",
    )
    yield served(
        "Content_Length in place of Content-Length",
        head(b"Content_Length: 50", method=b"POST"),
        seen((b"content_length", b"50"), method=b"POST"),
        reason="another field: the message has no body",
        source="RFC 9110 §5.1",
    )
    yield Case(
        name="Content-Length larger than the body, then the end",
        sent=post(b"Content-Length: 10", body=b"hello"),
        answers=(),
        begins=_HELLO,
        closes=True,
        is_cut=True,
        reason="mod_jk kept the connection: the next user got mixed data",
        source="CVE-2008-5519, CVE-2009-1191, RFC 9112 §8",
    )
    yield Case(
        name="Content-Length 2^63 - 1, then the end",
        sent=post(b"Content-Length: 9223372036854775807", body=SMUGGLED),
        answers=(),
        begins=seen(method=b"POST", body=SMUGGLED),
        closes=True,
        is_cut=True,
        reason="a length; all that follows is body and no request",
        source="RFC 9112 §6.2",
    )
    packet = b"\x12\x34" + (b"\x00\x80\x02\x02\x00\x08HTTP/1.1" + b"\x00" * 0x204)[:0x204]
    yield served(
        "a body that is an AJP packet",
        post(b"Content-Length: %d" % len(packet), body=packet),
        seen(method=b"POST", body=packet),
        reason="a body packet whose length begins with 02 was read as FORWARD_REQUEST",
        source="CVE-2022-26377, CVE-2011-3190",
    )


def _codings() -> Iterator[Case]:
    """Transfer-Encoding alone."""
    body = b"5\r\nhello\r\n0\r\n\r\n"
    expected = seen(method=b"POST", body=b"hello", is_chunked=True)
    for name, line in (
        ("chunked", _TE),
        ("CHUNKED", b"TRANSFER-ENCODING: CHUNKED"),
        ("chunked, blanks and tabs around it", b"Transfer-Encoding: \t chunked \t "),
        ("chunked, no blank before it", b"Transfer-Encoding:chunked"),
    ):
        yield served(
            f"Transfer-Encoding: {name}",
            post(line, body=body),
            expected,
            reason="the name of a coding is equal in any case",
            source="RFC 9112 §7",
        )
    for name, value in (
        ("chunked, chunked", b"chunked, chunked"),
        ("identity", b"identity"),
        ("chunked, identity", b"chunked, identity"),
        ("identity, chunked", b"identity, chunked"),
        ("gzip, chunked", b"gzip, chunked"),
        ("chunked, gzip", b"chunked, gzip"),
        ("gzip", b"gzip"),
        ("xchunked", b"xchunked"),
        ("chunkedx", b"chunkedx"),
        ("chunked with a parameter", b"chunked;q=1"),
        ("chunked in double quotes", b'"chunked"'),
        ("chunked in single quotes", b"'chunked'"),
        ("chunked and a comma", b"chunked,"),
        ("a comma and chunked", b",chunked"),
        ("a tab within chunked", b"chun\tked"),
        ("chunked and a word", b"chunked x"),
        ("chunked behind a no-break space", b"\xa0chunked"),
        ("chunked with a long s", b"chunked\xc5\xbf"),
        ("nothing", b""),
        ("a comma", b","),
    ):
        yield refused(
            f"Transfer-Encoding: {name}",
            post(b"Transfer-Encoding: " + value, body=body),
            400,
            501,
            reason="only chunked, once and last, is a framing that is known here",
            source="RFC 9112 §6.1, CVE-2022-26377",
        )
    for name, lines in (
        ("twice", (_TE, _TE)),
        ("twice, in other letters", (_TE, b"transfer-encoding: CHUNKED")),
        ("twice, the second identity", (_TE, b"Transfer-Encoding: identity")),
        ("twice, the first gzip", (b"Transfer-Encoding: gzip", _TE)),
        ("with a blank before the colon", (b"Transfer-Encoding : chunked",)),
        ("with its value on a folded line", (b"Transfer-Encoding:\r\n chunked",)),
        ("with its value broken by a folded line", (b"Transfer-Encoding: chunk\r\n ed",)),
        ("with a zero byte behind it", (b"Transfer-Encoding: chunked\x00",)),
        ("with a vertical tab before it", (b"Transfer-Encoding:\x0bchunked",)),
        ("behind a bare CR", (b"Transfer-Encoding: x\rchunked",)),
    ):
        yield refused(
            f"Transfer-Encoding {name}",
            post(*lines, body=body),
            400,
            501,
            reason="one reader finds chunked here, the next does not",
            source="RFC 9112 §6.1, §5.1, §5.2",
        )
    yield refused(
        "Transfer-Encoding in HTTP/1.0",
        post(_TE, body=body, version=b"HTTP/1.0"),
        reason="HTTP/1.0 has no chunks: the framing is faulty",
        source="RFC 9112 §6.1",
    )
    yield refused(
        "Transfer-Encoding in HTTP/1.0 with keep-alive",
        post(_TE, b"Connection: keep-alive", body=body, version=b"HTTP/1.0"),
        reason="as above, where the connection would stay",
        source="RFC 9112 §6.1",
    )
    yield served(
        "TE: chunked with a Content-Length",
        post(b"TE: chunked", b"Content-Length: 5", body=b"hello"),
        _HELLO,
        reason="TE speaks of the response, and to this hop alone",
        source="RFC 9110 §10.1.4",
    )
    packet = b"\x02\x04" + b"\x02\x02\x00\x08HTTP/1.1\x00"
    yield refused(
        "Transfer-Encoding: chunked, identity with an AJP packet as body",
        post(b"Transfer-Encoding: chunked, identity", b"Content-Length: 15", body=packet),
        400,
        501,
        reason="the request of the advisory: its body was read as a packet of ours",
        source="CVE-2022-26377",
    )


def _pipelines() -> Iterator[Case]:
    """One after the other, with and without a body."""
    second = Reached(uri=b"/app/smuggled", path=b"/app/smuggled")
    for method in (b"GET", b"DELETE", b"OPTIONS", b"PROPFIND", b"PATCH", b"TRACE"):
        yield served(
            f"{method.decode()} with a body that is a request",
            post(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED, method=method),
            seen(method=method, body=SMUGGLED),
            reason="a body of any method is a body, and no second request",
            source="RFC 9110 §9.3.1, RFC 9112 §6",
        )
    yield served(
        "HEAD with a body that is a request",
        post(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED, method=b"HEAD"),
        seen(method=b"HEAD", body=SMUGGLED),
        reason="it has no body in its response, but may have one itself",
        source="RFC 9112 §6.3",
    )
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    for method in (b"GET", b"DELETE"):
        yield served(
            f"{method.decode()} with a chunk that is a request",
            chunked(chunk, method=method),
            seen(method=method, body=SMUGGLED, is_chunked=True),
            reason="a body of any method is a body, and no second request",
            source="RFC 9112 §6",
        )
    yield served(
        "POST without a length, then a request",
        head(method=b"POST") + SMUGGLED,
        seen(method=b"POST"),
        second,
        reason="neither field: the body is empty",
        source="RFC 9112 §6.3",
    )
    yield served(
        "POST with Content-Length: 0, then a request",
        head(b"Content-Length: 0", method=b"POST") + SMUGGLED,
        seen(method=b"POST"),
        second,
        reason="a container that waited for a packet took the next request for it",
        source="CVE-2014-0095",
    )
    yield served(
        "GET, POST with a length, POST in chunks, GET",
        head()
        + post(b"Content-Length: 5", body=b"hello")
        + chunked(b"5\r\nhello\r\n0\r\n\r\n")
        + SMUGGLED,
        seen(),
        _HELLO,
        seen(method=b"POST", body=b"hello", is_chunked=True),
        second,
        reason="four requests in one segment are four requests",
        source="RFC 9112 §9.3.2",
    )
    yield Case(
        name="GET, then a request with two lengths, then a request",
        sent=head() + post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello") + SMUGGLED,
        answers=((200,), (400,)),
        reaches=(seen(),),
        closes=True,
        reason="nothing behind a refused request is executed",
        source="RFC 9112 §9.3.2, §6.3",
    )
    for name, sent, version in (
        ("Connection: close", head(b"Connection: close"), b"HTTP/1.1"),
        ("keep-alive, close", head(b"Connection: keep-alive, close"), b"HTTP/1.1"),
        ("CLOSE in a second Connection", head(b"Connection: x", b"Connection: CLOSE"), b"HTTP/1.1"),
        ("HTTP/1.0", head(version=b"HTTP/1.0"), b"HTTP/1.0"),
    ):
        yield served(
            f"{name}, then a request",
            sent,
            seen(version=version),
            closes=True,
            reason="what follows the last request is not executed",
            source="RFC 9112 §9.6, §9.3",
        )
    yield served(
        "HTTP/1.0 with keep-alive, then a request",
        head(b"Connection: keep-alive", version=b"HTTP/1.0"),
        seen(version=b"HTTP/1.0"),
        reason="persistent by agreement",
        source="RFC 9112 §9.3",
    )
    yield served(
        "a body in HTTP/1.0",
        post(b"Content-Length: 5", body=b"hello", version=b"HTTP/1.0"),
        seen(method=b"POST", body=b"hello", version=b"HTTP/1.0"),
        closes=True,
        reason="its length counts in HTTP/1.0, too",
        source="RFC 9112 §6.2",
    )


TWO_LENGTHS: Final = tuple(_both())
LENGTHS: Final = tuple(_lengths())
CODINGS: Final = tuple(_codings())
PIPELINES: Final = tuple(_pipelines())
