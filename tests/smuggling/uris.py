"""Paths: what is decided by, what is forwarded, what Tomcat makes of it. Mapped: /app/*, without
/app/private/*. The container also serves /other and everything else, which nobody may reach.
"""

from collections.abc import Iterator
from typing import Final

from .case import Case, Reached, head, refused, served, turned_away

__all__ = ["ENCODINGS", "ESCAPES", "PRIVATE", "QUERIES"]

_DOTS: Final = "RFC 3986 §5.2.4"
_PARAMETERS: Final = "CVE-2018-11759, CVE-2018-1323"
_TWICE: Final = "CVE-2007-0450, CVE-2007-1860"
_SLASHES: Final = "CVE-2014-8111"

Row = tuple[str, bytes, str]


def _nowhere(rows: Iterator[Row] | tuple[Row, ...], reason: str) -> Iterator[Case]:
    for name, target, source in rows:
        yield turned_away(
            f"{name}: {_shown(target)}", head(target=target), 404, reason=reason, source=source
        )


def _bad(rows: tuple[Row, ...], reason: str) -> Iterator[Case]:
    for name, target, source in rows:
        yield turned_away(
            f"{name}: {_shown(target)}", head(target=target), 400, reason=reason, source=source
        )


def _fine(rows: tuple[tuple[str, bytes, bytes, bytes, str], ...], reason: str) -> Iterator[Case]:
    """Name, target, what is forwarded, what that means, source."""
    for name, target, uri, path, source in rows:
        yield served(
            f"{name}: {_shown(target)}",
            head(target=target),
            Reached(uri=uri, path=path),
            reason=reason,
            source=source,
        )


def _shown(target: bytes) -> str:
    return target.decode("ascii", "backslashreplace")


def _escapes() -> Iterator[Case]:
    """Out of the application that is mapped."""
    yield from _nowhere(
        (
            ("dot segments", b"/app/../other/x", _DOTS),
            ("dot segments", b"/app/./../other/x", _DOTS),
            ("dot segments", b"/app/a/b/../../../other/x", _DOTS),
            ("dot segments at the end", b"/app/..", _DOTS),
            ("encoded dots", b"/app/%2e%2e/other/x", _DOTS),
            ("encoded dots", b"/app/%2E%2e/other/x", _DOTS),
            ("one encoded dot", b"/app/.%2e/other/x", _DOTS),
            ("one encoded dot", b"/app/%2e./other/x", _DOTS),
            ("dots with a parameter", b"/app/..;/other/x", _PARAMETERS),
            ("dots with a parameter", b"/app/..;a=b/other/x", _PARAMETERS),
            ("dots with parameters", b"/app/..;a;b=c/other/x", _PARAMETERS),
            ("dots with a session", b"/app/..;jsessionid=A/other/x", _PARAMETERS),
            ("encoded dots with a parameter", b"/app/%2e%2e;/other/x", _PARAMETERS),
            ("encoded dots with a parameter", b"/app/.%2e;a/other/x", _PARAMETERS),
            ("parameters everywhere", b"/app;a/x;b/..;c/..;d/other;e/x;f", _PARAMETERS),
            ("dots behind a parameter", b"/app;/../other/x", _PARAMETERS),
            ("a slash too many", b"/app/x//../..//other/x", _SLASHES),
            ("slashes before it", b"//other/x", _SLASHES),
            ("slashes before it", b"///other//x", _SLASHES),
            ("the root", b"/", "docs/explanation/uri.md"),
            ("a name that begins alike", b"/application/x", "docs/explanation/uri.md"),
            ("a name that begins alike", b"/app.x/y", "docs/explanation/uri.md"),
            ("the context without its slash", b"/app", "docs/explanation/uri.md"),
            ("the context in other letters", b"/APP/x", "docs/explanation/uri.md"),
            ("a blank behind the context", b"/app%20/x", "docs/explanation/uri.md"),
            ("a parameter that is data", b"/app%3b/x", "docs/explanation/uri.md"),
        ),
        "not mapped: nobody gets it",
    )
    yield from _bad(
        (
            ("above the root", b"/../app/x", _DOTS),
            ("above the root", b"/app/../../app/x", _DOTS),
            ("above the root, with a parameter", b"/..;/app/x", _PARAMETERS),
            ("above the root, encoded", b"/%2e%2e/app/x", _DOTS),
            ("a slash too many", b"/app//../../other/x", _SLASHES),
            ("an empty segment with a parameter", b"/app/;/../../other/x", _PARAMETERS),
            ("encoded slash", b"/app/..%2fother/x", _TWICE),
            ("encoded slash", b"/app/..%2Fother/x", _TWICE),
            ("encoded slash", b"/app%2fx", _TWICE),
            ("encoded slash", b"/app/%2e%2e%2fother%2fx", _TWICE),
            ("encoded backslash", b"/app/..%5cother/x", "CVE-2007-0450"),
            ("encoded backslash", b"/app/..%5C..%5Cother/x", "CVE-2007-0450"),
            ("backslash", b"/app/..\\other/x", "CVE-2007-0450"),
            ("backslash", b"/app\\..\\other\\x", "CVE-2007-0450"),
            ("backslash", b"/app/x\\y", "RFC 3986 §3.3"),
        ),
        "two readers resolve it differently, or it leads nowhere",
    )
    yield from _fine(
        (
            ("dot segments that stay", b"/app/a/../x", b"/app/x", b"/app/x", _DOTS),
            ("dot segments that come back", b"/other/../app/x", b"/app/x", b"/app/x", _DOTS),
            ("a dot", b"/app/./x", b"/app/x", b"/app/x", _DOTS),
            ("an encoded dot", b"/app/%2e/x", b"/app/x", b"/app/x", _DOTS),
            ("a dot at the end", b"/app/x/.", b"/app/x/", b"/app/x/", _DOTS),
            ("dots at the end", b"/app/x/y/..", b"/app/x/", b"/app/x/", _DOTS),
            ("slashes", b"//app///x", b"/app/x", b"/app/x", _SLASHES),
            ("an encoded letter", b"/%61pp/x", b"/app/x", b"/app/x", "RFC 3986 §6.2.2.2"),
            ("three dots", b"/app/.../x", b"/app/.../x", b"/app/.../x", _DOTS),
            ("a dot behind a name", b"/app/x.", b"/app/x.", b"/app/x.", _DOTS),
            ("dots behind a name", b"/app/x../y", b"/app/x../y", b"/app/x../y", _DOTS),
            ("a parameter", b"/app/x;a=b", b"/app/x;a=b", b"/app/x", _PARAMETERS),
            (
                "a session",
                b"/app/x;jsessionid=A.n1",
                b"/app/x;jsessionid=A.n1",
                b"/app/x",
                _PARAMETERS,
            ),
            ("a parameter of the context", b"/app;a=b/x", b"/app;a=b/x", b"/app/x", _PARAMETERS),
            ("a segment that is a parameter", b"/app/;a/x", b"/app/;a/x", b"/app/x", _PARAMETERS),
            ("one before the context", b"/;a/app/x", b"/;a/app/x", b"/app/x", _PARAMETERS),
            ("dots with a parameter", b"/app/y/..;a/x", b"/app/y/..;a/x", b"/app/x", _PARAMETERS),
            (
                "dots twice encoded",
                b"/app/%252e%252e/x",
                b"/app/%252e%252e/x",
                b"/app/%2e%2e/x",
                _TWICE,
            ),
            ("slash twice encoded", b"/app/..%252fx", b"/app/..%252fx", b"/app/..%2fx", _TWICE),
            (
                "a parameter that is data",
                b"/app/..%3b/x",
                b"/app/..%3B/x",
                b"/app/..;/x",
                _PARAMETERS,
            ),
            (
                "a parameter that is data",
                b"/app/x%3ba/y",
                b"/app/x%3Ba/y",
                b"/app/x;a/y",
                _PARAMETERS,
            ),
            ("dots and an encoded blank", b"/app/..%20/x", b"/app/..%20/x", b"/app/.. /x", _DOTS),
        ),
        "decided by the path that the container resolves",
    )


def _private() -> Iterator[Case]:
    """Into the part of the application that is excluded."""
    yield from _nowhere(
        (
            ("excluded", b"/app/private/x", "docs/explanation/uri.md"),
            ("excluded, its root", b"/app/private/", "docs/explanation/uri.md"),
            ("excluded, slashes", b"/app//private/x", _SLASHES),
            ("excluded, slashes", b"//app/private//x", _SLASHES),
            ("excluded, a dot", b"/app/./private/x", _DOTS),
            ("excluded, an encoded dot", b"/app/%2e/private/x", _DOTS),
            ("excluded, dots", b"/app/x/../private/x", _DOTS),
            ("excluded, dots with a parameter", b"/app/x/..;/private/x", _PARAMETERS),
            ("excluded, a parameter", b"/app/private;a/x", _PARAMETERS),
            ("excluded, a parameter", b"/app/private;/x", _PARAMETERS),
            ("excluded, a parameter of the context", b"/app;a/private/x", _PARAMETERS),
            ("excluded, a segment that is a parameter", b"/app/;a/private/x", _PARAMETERS),
            ("excluded, encoded letters", b"/app/%70rivate/x", _TWICE),
            ("excluded, encoded letters", b"/app/%70%72%69%76%61%74%65/x", _TWICE),
            ("excluded, from outside", b"/other/../app/private/x", _DOTS),
            ("excluded, there and back", b"/app/private/../private/x", _DOTS),
        ),
        "an exclusion holds for every spelling of the path",
    )
    yield from _bad(
        (
            ("excluded, an encoded slash", b"/app/private%2fx", _TWICE),
            ("excluded, an encoded slash", b"/app%2fprivate/x", _TWICE),
            ("excluded, a backslash", b"/app\\private/x", "CVE-2007-0450"),
        ),
        "an exclusion holds for every spelling of the path",
    )
    yield from _fine(
        (
            ("out of what is excluded", b"/app/private/../x", b"/app/x", b"/app/x", _DOTS),
            (
                "another name",
                b"/app/privates/x",
                b"/app/privates/x",
                b"/app/privates/x",
                "docs/explanation/uri.md",
            ),
            (
                "other letters",
                b"/app/PRIVATE/x",
                b"/app/PRIVATE/x",
                b"/app/PRIVATE/x",
                "docs/explanation/uri.md",
            ),
            (
                "deeper",
                b"/app/x/private/y",
                b"/app/x/private/y",
                b"/app/x/private/y",
                "docs/explanation/uri.md",
            ),
            (
                "parameter as data",
                b"/app/private%3ba/x",
                b"/app/private%3Ba/x",
                b"/app/private;a/x",
                _PARAMETERS,
            ),
            (
                "twice encoded",
                b"/app/%2570rivate/x",
                b"/app/%2570rivate/x",
                b"/app/%70rivate/x",
                _TWICE,
            ),
        ),
        "not what is excluded, to the container neither",
    )


def _encodings() -> Iterator[Case]:
    yield from _bad(
        (
            ("a percent sign alone", b"/app/x%", "RFC 3986 §2.1"),
            ("one digit", b"/app/x%4", "RFC 3986 §2.1"),
            ("no digits", b"/app/x%zz", "RFC 3986 §2.1"),
            ("a digit and a letter", b"/app/x%2g", "RFC 3986 §2.1"),
            ("IIS escape", b"/app/%u002e%u002e/other/x", "RFC 3986 §2.1"),
            ("zero byte", b"/app/x%00", "docs/explanation/uri.md"),
            ("zero byte before an ending", b"/app/x.jsp%00.png", "docs/explanation/uri.md"),
            ("zero byte in dots", b"/app/..%00/other/x", "docs/explanation/uri.md"),
        ),
        "no escape, or a byte that ends names in C",
    )
    yield from _fine(
        (
            ("blank", b"/app/a%20b", b"/app/a%20b", b"/app/a b", "RFC 3986 §2.1"),
            ("question mark", b"/app/a%3fb", b"/app/a%3Fb", b"/app/a?b", "RFC 3986 §2.2"),
            ("number sign", b"/app/a%23b", b"/app/a%23b", b"/app/a#b", "RFC 3986 §2.2"),
            ("percent sign", b"/app/a%25b", b"/app/a%25b", b"/app/a%b", _TWICE),
            ("plus", b"/app/a%2bb", b"/app/a+b", b"/app/a+b", "RFC 3986 §6.2.2.2"),
            (
                "CR and LF",
                b"/app/a%0d%0aHost:b",
                b"/app/a%0D%0AHost:b",
                b"/app/a\r\nHost:b",
                "RFC 3986 §2.1",
            ),
            ("LF", b"/app/a%0ab", b"/app/a%0Ab", b"/app/a\nb", "RFC 3986 §2.1"),
            ("DEL", b"/app/a%7fb", b"/app/a%7Fb", b"/app/a\x7fb", "RFC 3986 §2.1"),
            ("UTF-8", b"/app/%c3%bc", b"/app/%C3%BC", b"/app/\xc3\xbc", "RFC 3986 §2.5"),
            ("raw UTF-8", b"/app/\xc3\xbc", b"/app/%C3%BC", b"/app/\xc3\xbc", "RFC 3986 §2.5"),
            (
                "overlong dots",
                b"/app/%c0%ae%c0%ae/x",
                b"/app/%C0%AE%C0%AE/x",
                b"/app/\xc0\xae\xc0\xae/x",
                "RFC 3629 §3",
            ),
            (
                "overlong slash",
                b"/app/..%c0%afx",
                b"/app/..%C0%AFx",
                b"/app/..\xc0\xafx",
                "RFC 3629 §3",
            ),
            (
                "overlong dots of three bytes",
                b"/app/%e0%80%ae/x",
                b"/app/%E0%80%AE/x",
                b"/app/\xe0\x80\xae/x",
                "RFC 3629 §3",
            ),
            (
                "raw overlong dots",
                b"/app/\xc0\xae\xc0\xae/x",
                b"/app/%C0%AE%C0%AE/x",
                b"/app/\xc0\xae\xc0\xae/x",
                "RFC 3629 §3",
            ),
            (
                "full-width dots",
                b"/app/\xef\xbc\x8e\xef\xbc\x8e/x",
                b"/app/%EF%BC%8E%EF%BC%8E/x",
                b"/app/\xef\xbc\x8e\xef\xbc\x8e/x",
                "RFC 3986 §2.5",
            ),
            ("not UTF-8", b"/app/%ff", b"/app/%FF", b"/app/\xff", "RFC 3986 §2.5"),
            (
                "brackets and quotes",
                b'/app/<"[x]">',
                b"/app/%3C%22%5Bx%5D%22%3E",
                b'/app/<"[x]">',
                "RFC 3986 §3.3",
            ),
            (
                "WEB-INF",
                b"/app/WEB-INF/web.xml",
                b"/app/WEB-INF/web.xml",
                b"/app/WEB-INF/web.xml",
                "Servlet 10.5",
            ),
            (
                "WEB-INF with a parameter",
                b"/app/WEB-INF;a/web.xml",
                b"/app/WEB-INF;a/web.xml",
                b"/app/WEB-INF/web.xml",
                "Servlet 10.5",
            ),
            (
                "WEB-INF encoded",
                b"/app/%57EB-INF/web.xml",
                b"/app/WEB-INF/web.xml",
                b"/app/WEB-INF/web.xml",
                "Servlet 10.5",
            ),
        ),
        "decoded once, and encoded again in the only way",
    )
    for name, target in (
        ("fragment", b"/app/x#y"),
        ("fragment with dots", b"/app/x#/../../other/x"),
        ("fragment in the query", b"/app/x?a#b"),
        ("blank", b"/app/a b"),
        ("blank in the query", b"/app/x?a b"),
    ):
        yield refused(
            f"{name}: {_shown(target)}",
            head(target=target),
            reason="a byte that no request target has",
            source="RFC 9112 §3.2, RFC 3986 §3.5",
        )


def _queries() -> Iterator[Case]:
    for name, query in (
        ("nothing", b""),
        ("dots", b"/../../other/x"),
        ("another question mark", b"a?b"),
        ("zero byte, encoded", b"a=%00"),
        ("broken escapes", b"a=%&b=%zz"),
        ("encoded CR and LF", b"a=%0d%0aX-Foo:1"),
        ("a backslash", b"a=\\"),
        ("quotes and brackets", b"a=\"<>[]{}|^`'"),
        ("a semicolon", b";a=b;jsessionid=c"),
        ("bytes beyond ASCII", b"a=\xc3\xbc\xff"),
        ("a URL", b"u=http://other.example/"),
    ):
        yield served(
            f"query: {name}",
            head(target=b"/app/x?" + query),
            Reached(query=query),
            reason="arrives byte by byte, and decides nothing",
            source="RFC 3986 §3.4",
        )


ESCAPES: Final = tuple(_escapes())
PRIVATE: Final = tuple(_private())
ENCODINGS: Final = tuple(_encodings())
QUERIES: Final = tuple(_queries())
