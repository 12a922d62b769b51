"""The requests that go through the daemon and through mod_jk, to be compared.

Each is a whole request as bytes. A header `X-Probe` marks those to /dump, so that the application
can be asked afterwards what it saw.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from .rawhttp import HOST, Header, build, chunks

__all__ = ["REQUESTS", "RESPONSES", "Case"]

_DUMP: Final = "/app/dump"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request.

    Attributes:
        name: says what is special about it.
        request: on the wire.
        method: by which the response is read.
    """

    name: str
    request: bytes
    method: str

    @property
    def mark(self) -> str:
        """Value of its X-Probe."""
        return mark(self.name)


def mark(name: str) -> str:
    """Turn the name of a case into a few plain characters."""
    return f"{zlib.crc32(name.encode()):08x}"


def _case(
    name: str,
    *headers: Header,
    method: str = "GET",
    target: str = _DUMP,
    body: bytes | None = None,
    raw_body: bytes = b"",
    host: str | None = HOST,
    version: str = "HTTP/1.1",
) -> Case:
    """One request to /dump; `raw_body` is appended without a Content-Length."""
    probe = [*headers, ("X-Probe", mark(name))]
    request = build(method, target, probe, body=body, host=host, version=version)
    return Case(name=name, request=request + raw_body, method=method)


def _methods() -> Iterable[Case]:
    known = ["HEAD", "OPTIONS", "DELETE", "TRACE", "PROPFIND", "PROPPATCH", "MKCOL", "COPY"]
    known += ["MOVE", "LOCK", "UNLOCK", "ACL", "REPORT", "VERSION-CONTROL", "CHECKIN", "CHECKOUT"]
    known += ["UNCHECKOUT", "SEARCH", "MKWORKSPACE", "UPDATE", "LABEL", "MERGE"]
    known += ["BASELINE-CONTROL", "MKACTIVITY"]
    others = ["PATCH", "FROB", "get", "M-SEARCH", "LINK", "QUERY", "X!#$%&'*+.^_`|~9"]
    for method in known + others:
        yield _case(f"method {method}", method=method)
    yield _case("OPTIONS *", method="OPTIONS", target="*")
    yield _case("CONNECT", method="CONNECT", target="app.example:80")


def _paths() -> Iterable[Case]:
    yield _case("plain")
    yield _case("context alone", target="/app")
    for path in (
        "/a/b/c",
        "/trailing/",
        "/~user",
        "/%7Euser",
        "/a%20b",
        "/a+b",
        "/%C3%BCml%C3%A4ut",
        "/%c3%bc",
        "/%E4",
        "/%41%42",
        "/%25",
        "/%2525",
        "/%3Fx",
        "/%23x",
        "/%3D%26%2B%2C%3A%40%24",
        "/!$&'()*+,:@=",
        "/a;jsessionid=0123ABCD.probe1",
        "/a;v=1;w=2/b;x",
        "/a%3Bb",
        "/%22%3C%3E",
        "/%5E%60%7B%7C%7D",
        "/a.b",
        "/.hidden",
        "/a//b",
        "/a/./b",
        "/a/../b",
        "/a/%2E%2E/b",
        "/..a/...",
    ):
        yield _case(f"path {path}", target=_DUMP + path)
    yield _case("session in the path", target=f"{_DUMP};jsessionid=0123ABCD.probe1?x=1")
    yield _case("raw bytes in the path", target=f"{_DUMP}/\xc3\xbc")
    yield _case("absolute form", target=f"http://{HOST}{_DUMP}/x?y=1")
    yield _case("absolute form, other Host", target=f"http://other.example:81{_DUMP}")
    yield _case("absolute form, https", target=f"https://{HOST}{_DUMP}")


def _refused_paths() -> Iterable[Case]:
    for path in ("/a%2Fb", "/a%5Cb", "/a\\b", "/%00", "/a%zz", "/a%4", "/../../../x", "/a#b"):
        yield _case(f"path {path}", target=_DUMP + path)
    yield _case("path without slash", target="app/dump")
    yield _case("path outside", target="/nothing/here")
    yield _case("blank in the path", target=f"{_DUMP}/a b")


def _queries() -> Iterable[Case]:
    for query in (
        "",
        "a",
        "a=1&b=2&a=3",
        "?",
        "a=b?c=d",
        "%41=%zz&%",
        "a+b=c%20d",
        "p=/../x&q=//",
        "u=%C3%BC",
        "quote='\"<>",
        "[]{}|^`",
        ";jsessionid=1",
        "\xc3\xbc",
        "x=" + "y" * 2000,
    ):
        yield _case(f"query ?{query[:40]}", target=f"{_DUMP}?{query}")
    yield _case("fragment in the query", target=f"{_DUMP}?a#b")


def _hosts() -> Iterable[Case]:
    for host in (
        "app.example:8080",
        "app.example:80",
        "app.example:443",
        "APP.Example",
        "app.example.",
        "127.0.0.1",
        "127.0.0.1:9000",
        "[::1]",
        "[::1]:8080",
        "[2001:DB8::1]:443",
        "app_example",
        "xn--bcher-kva.example",
        "app.example:",
        "",
    ):
        yield _case(f"Host {host}", host=host)
    yield _case("HTTP/1.0 without Host", host=None, version="HTTP/1.0")
    yield _case("HTTP/1.0 with Host", version="HTTP/1.0")


def _refused_hosts() -> Iterable[Case]:
    yield _case("HTTP/1.1 without Host", host=None)
    yield _case("two Hosts", ("Host", "other.example"))
    yield _case("two equal Hosts", ("Host", HOST))
    for host in ("app.example:port", "app.example:99999", "a b", "a/b", "user@app", "[::1", "a,b"):
        yield _case(f"Host {host}", host=host)


def _fields() -> Iterable[Case]:
    browser = (
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("Accept-Language", "de-DE,de;q=0.7,en;q=0.3"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Accept-Charset", "utf-8"),
        ("Referer", "https://app.example/app/?q=1"),
        ("Cookie", "JSESSIONID=0123456789ABCDEF.probe1; theme=dark"),
        ("Authorization", "Basic dXNlcjpwYXNz"),
        ("Pragma", "no-cache"),
        ("Cache-Control", "no-cache"),
        ("Upgrade-Insecure-Requests", "1"),
        ("Sec-Fetch-Mode", "navigate"),
        ("If-None-Match", 'W/"abc"'),
        ("If-Modified-Since", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("Range", "bytes=0-9"),
        ("DNT", "1"),
    )
    yield _case("a browser's headers", *browser)
    yield _case("names in lower case", *((name.lower(), value) for name, value in browser))
    yield _case("names in upper case", *((name.upper(), value) for name, value in browser))
    yield _case("sixty headers", *((f"X-Number-{i}", str(i)) for i in range(60)))
    cookies = "; ".join(f"cookie{i}={'v' * 20}" for i in range(60))
    yield _case("sixty cookies", ("Cookie", cookies))
    yield _case("two Cookie headers", ("Cookie", "a=1"), ("X-Between", "1"), ("Cookie", "b=2"))
    yield _case("repeated header", ("X-Same", "1"), ("X-Other", "2"), ("x-same", "3"))
    yield _case("repeated Accept", ("Accept", "a/b"), ("Accept", "c/d"))
    yield _case("Cookie2", ("Cookie2", "$Version=1"))
    yield _case("empty value", ("X-Empty", ""))
    yield _case("Latin-1 value", ("X-Latin", "\xe4\xf6\xfc"))
    yield _case("UTF-8 value", ("X-Text", "\xc3\xbc"))
    yield _case("blanks around a value", ("X-Blank", "  a  b\t "))
    yield _case("tab within a value", ("X-Tab", "a\tb"))
    yield _case("long value", ("X-Long", "v" * 4000))
    yield _case("name with odd characters", ("X!#$%&'*+.^_`|~9", "1"))
    yield _case("underscore in a name", ("X_Under_Score", "1"))
    yield _case("trusted names", ("AJP_REMOTE_PORT", "1"), ("REMOTE_USER", "admin"))
    yield _case("proxy headers", ("X-Forwarded-For", "1.2.3.4"), ("Forwarded", "for=1.2.3.4"))
    yield _case("Proxy", ("Proxy", "http://evil.example"))
    yield _case("Proxy-Authorization", ("Proxy-Authorization", "Basic eA=="))
    yield _case("Content-Type of nothing", ("Content-Type", "text/plain;charset=utf-8"))


def _hop_by_hop() -> Iterable[Case]:
    yield _case("Connection: keep-alive", ("Connection", "keep-alive"))
    yield _case("Connection: close", ("Connection", "close"))
    yield _case("Connection names a header", ("Connection", "X-Private"), ("X-Private", "1"))
    yield _case("Connection names Cookie", ("Connection", "Cookie"), ("Cookie", "a=1"))
    yield _case("Keep-Alive", ("Connection", "keep-alive"), ("Keep-Alive", "timeout=5"))
    yield _case("Proxy-Connection", ("Proxy-Connection", "keep-alive"))
    yield _case("TE", ("Connection", "TE"), ("TE", "trailers"))
    yield _case("Upgrade", ("Connection", "Upgrade"), ("Upgrade", "websocket"))
    yield _case("Expect without a body", ("Expect", "100-continue"))
    yield _case("Expect something else", ("Expect", "the unexpected"))
    yield _case(
        "HTTP/1.0 keep-alive", ("Connection", "keep-alive"), version="HTTP/1.0", host="app.example"
    )


def _bodies() -> Iterable[Case]:
    form = ("Content-Type", "application/x-www-form-urlencoded")
    chunked = ("Transfer-Encoding", "chunked")
    body = bytes(range(256)) * 100
    yield _case("POST form", form, method="POST", body=b"a=1&b=2")
    yield _case("POST 25600 bytes", method="POST", body=body)
    yield _case("POST of nothing", method="POST", body=b"")
    yield _case("POST without a length", method="POST")
    yield _case("PUT", method="PUT", body=body)
    yield _case("PATCH with a body", method="PATCH", body=body)
    yield _case("GET with a body", body=body)
    yield _case("GET with Content-Length 0", body=b"")
    yield _case("DELETE with a body", method="DELETE", body=b"x")
    yield _case("PROPFIND with a body", method="PROPFIND", body=b"<x/>")
    yield _case("POST in chunks", chunked, method="POST", raw_body=chunks(body, 1000))
    yield _case("POST of no chunks", chunked, method="POST", raw_body=chunks(b""))
    yield _case("POST in chunks of one byte", chunked, method="POST", raw_body=chunks(body[:99], 1))
    yield _case("GET in chunks", chunked, raw_body=chunks(b"body"))
    yield _case(
        "chunks with a trailer",
        chunked,
        method="POST",
        raw_body=chunks(b"body", trailer=b"X-Trailer: 1\r\n"),
    )
    yield _case(
        "chunk extensions", chunked, method="POST", raw_body=b"4;a=b\r\nbody\r\n0;c\r\n\r\n"
    )
    yield _case("HTTP/1.0 POST", method="POST", body=body, version="HTTP/1.0")


def _refused_bodies() -> Iterable[Case]:
    chunked = ("Transfer-Encoding", "chunked")
    for name, headers, raw_body in (
        ("length and chunked", (("Content-Length", "4"), chunked), chunks(b"body")),
        ("two lengths", (("Content-Length", "4"), ("Content-Length", "5")), b"body"),
        ("two equal lengths", (("Content-Length", "4"), ("Content-Length", "4")), b"body"),
        ("length list", (("Content-Length", "4, 4"),), b"body"),
        ("length +4", (("Content-Length", "+4"),), b"body"),
        ("length -4", (("Content-Length", "-4"),), b"body"),
        ("length 0x4", (("Content-Length", "0x4"),), b"body"),
        ("empty length", (("Content-Length", ""),), b""),
        ("enormous length", (("Content-Length", "9" * 30),), b"body"),
        ("gzip, chunked", (("Transfer-Encoding", "gzip, chunked"),), chunks(b"body")),
        ("chunked twice", (chunked, chunked), chunks(b"body")),
        ("identity", (("Transfer-Encoding", "identity"),), b""),
        ("xchunked", (("Transfer-Encoding", "xchunked"),), chunks(b"body")),
    ):
        yield _case(name, *headers, method="POST", raw_body=raw_body)
    yield _case("HTTP/1.0 in chunks", chunked, version="HTTP/1.0", raw_body=chunks(b"body"))


def _refused_lines() -> Iterable[Case]:
    """Requests that are not quite HTTP/1.1."""
    tail = f"Host: {HOST}\r\nX-Probe: %s\r\n\r\n"
    for name, head in (
        ("HTTP/1.2", f"GET {_DUMP} HTTP/1.2\r\n{tail}"),
        ("HTTP/2.0", f"GET {_DUMP} HTTP/2.0\r\n{tail}"),
        ("HTTP/3.9", f"GET {_DUMP} HTTP/3.9\r\n{tail}"),
        ("http/1.1", f"GET {_DUMP} http/1.1\r\n{tail}"),
        ("two blanks", f"GET  {_DUMP} HTTP/1.1\r\n{tail}"),
        ("bare line feeds", f"GET {_DUMP} HTTP/1.1\r\n{tail}".replace("\r\n", "\n")),
        ("empty line before", f"\r\nGET {_DUMP} HTTP/1.1\r\n{tail}"),
        ("blank before colon", f"GET {_DUMP} HTTP/1.1\r\nX-A : 1\r\n{tail}"),
        ("folded header", f"GET {_DUMP} HTTP/1.1\r\nX-A: 1\r\n 2\r\n{tail}"),
        ("header without colon", f"GET {_DUMP} HTTP/1.1\r\nX-A\r\n{tail}"),
        ("header without name", f"GET {_DUMP} HTTP/1.1\r\n: 1\r\n{tail}"),
        ("blank in a name", f"GET {_DUMP} HTTP/1.1\r\nX A: 1\r\n{tail}"),
        ("NUL in a value", f"GET {_DUMP} HTTP/1.1\r\nX-A: a\0b\r\n{tail}"),
        ("carriage return in a value", f"GET {_DUMP} HTTP/1.1\r\nX-A: a\rb\r\n{tail}"),
        ("control byte in a value", f"GET {_DUMP} HTTP/1.1\r\nX-A: a\x01b\r\n{tail}"),
        ("method that is no token", f"G@T {_DUMP} HTTP/1.1\r\n{tail}"),
    ):
        yield Case(name=name, request=(head % mark(name)).encode("latin-1"), method="GET")


REQUESTS: Final[tuple[Case, ...]] = (
    *_methods(),
    *_paths(),
    *_refused_paths(),
    *_queries(),
    *_hosts(),
    *_refused_hosts(),
    *_fields(),
    *_hop_by_hop(),
    *_bodies(),
    *_refused_bodies(),
    *_refused_lines(),
)


def _answer(name: str, target: str, *, method: str = "GET", version: str = "HTTP/1.1") -> Case:
    return Case(name=name, request=build(method, f"/app{target}", version=version), method=method)


def _responses() -> Iterable[Case]:
    for code in (200, 201, 202, 203, 205, 206, 207, 300, 301, 307, 400, 401, 403, 404, 405, 409):
        yield _answer(f"status {code}", f"/status?code={code}&body=text")
    for code in (410, 418, 422, 429, 451, 499, 500, 501, 502, 503, 504, 507, 599, 600, 799, 999):
        yield _answer(f"status {code}", f"/status?code={code}&body=text")
    for code in (200, 204, 205, 302, 304, 404, 500):
        yield _answer(f"status {code} without a body", f"/status?code={code}")
    for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        yield _answer(f"{method} answered 200", "/status?code=200&body=text", method=method)
    yield _answer("HEAD of 1 MB", "/bytes?n=1000000", method="HEAD")
    yield _answer("HEAD without a length", "/bytes?n=1000000&chunked", method="HEAD")
    yield _answer("HEAD answered 404", "/nothing", method="HEAD")
    for length in (0, 1, 100, 8192, 100_000):
        yield _answer(f"{length} bytes", f"/bytes?n={length}")
        yield _answer(f"{length} bytes without a length", f"/bytes?n={length}&chunked")
    yield _answer("HTTP/1.0", "/bytes?n=1000", version="HTTP/1.0")
    yield _answer("HTTP/1.0 without a length", "/bytes?n=1000&chunked", version="HTTP/1.0")
    yield _answer("sixty headers", "/headers?n=60&len=50")
    yield _answer("long headers", "/headers?n=5&len=1000")
    yield _answer("not found by Tomcat", "/nothing")
    yield _answer("early answer", "/early")
    yield _answer("died before the answer", "/die?when=before&chunked")
    yield _answer("died before the answer, of known length", "/die?when=before")
    yield _answer("redirect to a path", "/redirect?to=/app/dump")
    yield _answer("redirect to a relative path", "/redirect?to=dump")
    yield _answer("redirect elsewhere", "/redirect?to=https://other.example/%3Fa=b")
    yield _answer("flushed lines", "/stream?n=3&ms=1")
    for field in (
        "Content-Type:text/HTML; Charset=UTF-8",
        "Content-Type:text/html;charset=iso-8859-1",
        "Content-Language:de",
        "Last-Modified:Thu, 01 Jan 2026 00:00:00 GMT",
        "Last-Modified:Fri, 01 Jan 2100 00:00:00 GMT",
        "Last-Modified:yesterday",
        "ETag:%22abc%22",
        "Cache-Control:no-store",
        "Expires:Thu, 01 Jan 1970 00:00:00 GMT",
        "Vary:Accept-Encoding",
        "Content-Disposition:attachment; filename=%22a.pdf%22",
        "Content-Encoding:identity",
        "WWW-Authenticate:Basic realm=%22r%22",
        "Location:/somewhere",
        "Set-Cookie:a=1",
        "Set-Cookie2:a=1",
        "Servlet-Engine:probe",
        "Status:404 as text",
        "X-Empty:",
        "X-Latin:%C3%A4",
        "X-Blanks:a  b",
        "Warning:199 - x",
        "Strict-Transport-Security:max-age=1",
        "Content-Security-Policy:default-src 'self'",
        "Accept-Ranges:bytes",
        "Allow:GET",
        "Retry-After:1",
    ):
        target = f"/status?code=200&body=text&header={field.replace(' ', '%20')}"
        yield _answer(f"header {field}", target)
    for field in (
        "Keep-Alive:timeout=1",
        "Proxy-Connection:close",
        "Proxy-Authenticate:Basic",
        "TE:trailers",
        "Trailer:X-A",
        "Upgrade:h2c",
        "Transfer-Encoding:chunked",
        "Connection:close",
        "Connection:X-Private",
    ):
        yield _answer(f"header {field}", f"/status?code=200&body=text&header={field}")
    yield _answer("repeated header", "/status?code=200&body=x&header=X-A:1&header=X-A:2")
    yield _answer("header of 4000 bytes", f"/status?code=200&header=X-A:{'v' * 4000}")


RESPONSES: Final[tuple[Case, ...]] = tuple(_responses())
