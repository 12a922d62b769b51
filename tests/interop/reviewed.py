"""Where the daemon differs from mod_jk, and why. Whatever differs and is not here is a defect.

A difference that names cases must show in each of them; one that names none may show in any.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["IN_REQUESTS", "IN_RESPONSES", "NEVER_COMPARED", "Difference", "unreviewed"]

#: One thing that was seen under one name; a name is absent when nothing was seen.
Facts = Mapping[str, Any]


class _Any:
    """Equal to everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any()
ABSENT: Final = "(absent)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One fact that may differ.

    Attributes:
        fact: its name.
        ours: what it is with the daemon.
        theirs: what it is with mod_jk.
        cases: names of the cases in which it must differ; in every case it may when empty.
        reason: why that is right.
    """

    fact: str
    ours: Any = ANY
    theirs: Any = ANY
    cases: tuple[str, ...] = ()
    reason: str

    def covers(self, case: str, fact: str, ours: Any, theirs: Any) -> bool:
        """Whether this is that difference."""
        if fact != self.fact or (self.cases and case not in self.cases):
            return False
        return bool(self.ours == ours and self.theirs == theirs)


#: Facts that are another every time: fact → reason.
NEVER_COMPARED: Final[Mapping[str, str]] = {
    "remotePort": "the port of the client's connection, which is another one for each request",
}

_HOP_BY_HOP: Final = "speaks of the client's own connection and goes no further (RFC 9110 7.6.1)"
_TWO_LENGTHS: Final = (
    "two readers could disagree where this request ends; refused (RFC 9112 6.1), httpd picks one"
)

#: What the application sees, and the status where it never ran.
IN_REQUESTS: Final[tuple[Difference, ...]] = (
    # what is asked for over TLS
    Difference(
        fact="answer",
        ours=421,
        theirs=200,
        cases=("absolute form, https",),
        reason="an https target must have come over TLS (RFC 9110 7.4); httpd does not look",
    ),
    Difference(
        fact="ran", ours=False, theirs=True, cases=("absolute form, https",), reason="as above"
    ),
    # fields of the client's connection
    Difference(
        fact="header connection",
        ours=ABSENT,
        cases=(
            "Connection: keep-alive",
            "Connection: close",
            "Connection names a header",
            "Connection names Cookie",
            "Keep-Alive",
            "TE",
            "Upgrade",
            "HTTP/1.0 keep-alive",
        ),
        reason=_HOP_BY_HOP,
    ),
    Difference(fact="header keep-alive", ours=ABSENT, cases=("Keep-Alive",), reason=_HOP_BY_HOP),
    Difference(
        fact="header proxy-connection",
        ours=ABSENT,
        cases=("Proxy-Connection",),
        reason=_HOP_BY_HOP,
    ),
    Difference(fact="header te", ours=ABSENT, cases=("TE",), reason=_HOP_BY_HOP),
    Difference(fact="header upgrade", ours=ABSENT, cases=("Upgrade",), reason=_HOP_BY_HOP),
    Difference(
        fact="header x-private",
        ours=ABSENT,
        theirs=["1"],
        cases=("Connection names a header",),
        reason="Connection names it, so it goes no further (RFC 9110 7.6.1)",
    ),
    Difference(
        fact="header cookie",
        ours=ABSENT,
        theirs=["a=1"],
        cases=("Connection names Cookie",),
        reason="Connection names it, so it goes no further (RFC 9110 7.6.1)",
    ),
    Difference(
        fact="cookies",
        ours=[],
        theirs=[["a", "1"]],
        cases=("Connection names Cookie",),
        reason="as above",
    ),
    Difference(
        fact="header expect",
        ours=ABSENT,
        theirs=["100-continue"],
        cases=("Expect without a body",),
        reason="met by the front itself; AJP has no interim responses",
    ),
    # fields that come more than once
    Difference(
        fact="header x-same",
        ours=["1", "3"],
        theirs=["1, 3"],
        cases=("repeated header",),
        reason="forwarded as sent; httpd joins them, which means the same (RFC 9110 5.3)",
    ),
    Difference(
        fact="header accept",
        ours=["a/b", "c/d"],
        theirs=["a/b, c/d"],
        cases=("repeated Accept",),
        reason="forwarded as sent; httpd joins them, which means the same (RFC 9110 5.3)",
    ),
    Difference(
        fact="header cookie",
        ours=["a=1", "b=2"],
        theirs=["a=1, b=2"],
        cases=("two Cookie headers",),
        reason="forwarded as sent; httpd joins them with a comma, which Cookie does not allow",
    ),
    Difference(
        fact="cookies",
        ours=[["a", "1"], ["b", "2"]],
        theirs=[],
        cases=("two Cookie headers",),
        reason="as above: with mod_jk Tomcat finds no cookie at all",
    ),
    Difference(
        fact="order of headers",
        ours=["host", "x-probe", "transfer-encoding"],
        theirs=["host", "transfer-encoding", "x-probe"],
        cases=(
            "POST in chunks",
            "POST of no chunks",
            "POST in chunks of one byte",
            "GET in chunks",
            "chunks with a trailer",
            "chunk extensions",
        ),
        reason="written by the front, which knows that the body is chunked, not copied",
    ),
    # names
    Difference(
        fact="localName",
        ours="[::1]",
        theirs="::1",
        cases=("Host [::1]", "Host [::1]:8080"),
        reason="server_name is the host as in a URI, with brackets, as Tomcat's own serverName is",
    ),
    Difference(
        fact="localName",
        ours="[2001:db8::1]",
        theirs="2001:db8::1",
        cases=("Host [2001:DB8::1]:443",),
        reason="as above",
    ),
    Difference(
        fact="localName",
        ours="app.example.",
        theirs="app.example",
        cases=("Host app.example.",),
        reason="the name as the client wrote it; serverName is the same in both",
    ),
    Difference(
        fact="serverName",
        ours="127.0.0.1",
        theirs="localhost",
        cases=("HTTP/1.0 without Host",),
        reason="the address that was connected to; there is no ServerName to configure",
    ),
    Difference(
        fact="localName",
        ours="127.0.0.1",
        theirs="localhost",
        cases=("HTTP/1.0 without Host",),
        reason="as above",
    ),
    Difference(
        fact="answer",
        ours=200,
        theirs=400,
        cases=("Host app.example:", "Host "),
        reason="an empty port (RFC 3986 3.2.3) and an empty Host (RFC 9112 3.2) are legal",
    ),
    Difference(
        fact="ran", ours=True, theirs=False, cases=("Host app.example:", "Host "), reason="as above"
    ),
    # paths
    Difference(
        fact="requestURI",
        ours="/app/dump/a%3Bb",
        theirs="/app/dump/a;b",
        cases=("path /a%3Bb",),
        reason="decoded it would begin a parameter; mod_jk makes one of it",
    ),
    Difference(
        fact="pathInfo",
        ours="/a;b",
        theirs="/a",
        cases=("path /a%3Bb",),
        reason="as above: a part of the name is lost with mod_jk",
    ),
    Difference(
        fact="answer",
        ours=400,
        theirs=404,
        cases=("path /a%2Fb", "path /%00"),
        reason="said to be bad, not to be missing",
    ),
    # methods and versions
    Difference(
        fact="answer",
        ours=405,
        theirs=200,
        cases=("method TRACE",),
        reason="forwarded, and Tomcat's allowTrace is false; httpd echoes it itself",
    ),
    Difference(
        fact="answer",
        ours=501,
        theirs=405,
        cases=("CONNECT",),
        reason="there is no tunnel under any address",
    ),
    Difference(
        fact="protocol",
        ours="HTTP/1.1",
        theirs="HTTP/1.2",
        cases=("HTTP/1.2",),
        reason="the version that is spoken (RFC 9110 2.5), not one that nobody has heard of",
    ),
    Difference(
        fact="answer",
        ours=505,
        theirs=200,
        cases=("HTTP/2.0", "HTTP/3.9"),
        reason="other major versions look different on the wire; httpd takes any digit",
    ),
    Difference(
        fact="ran", ours=False, theirs=True, cases=("HTTP/2.0", "HTTP/3.9"), reason="as above"
    ),
    Difference(
        fact="answer",
        ours=200,
        theirs=206,
        cases=("a browser's headers", "names in lower case", "names in upper case"),
        reason="Range is the application's business; httpd cuts answers that ignored it",
    ),
    # framing
    Difference(
        fact="answer",
        ours=400,
        theirs=200,
        cases=("length and chunked", "HTTP/1.0 in chunks"),
        reason=_TWO_LENGTHS,
    ),
    Difference(
        fact="ran",
        ours=False,
        theirs=True,
        cases=("length and chunked", "HTTP/1.0 in chunks"),
        reason=_TWO_LENGTHS,
    ),
    Difference(
        fact="answer",
        ours=400,
        theirs=200,
        cases=("folded header",),
        reason="obsolete, and read in two ways; a server may refuse it (RFC 9112 5.2)",
    ),
    Difference(fact="ran", ours=False, theirs=True, cases=("folded header",), reason="as above"),
    Difference(
        fact="answer",
        ours=400,
        theirs=501,
        cases=("chunked twice",),
        reason="must not be sent (RFC 9112 7.1), so it is the client's fault; refused by both",
    ),
    Difference(
        fact="answer",
        ours=501,
        theirs=400,
        cases=("identity", "xchunked"),
        reason="a coding that is not known (RFC 9112 6.1); refused by both",
    ),
)

_NOT_FOR_CLIENTS: Final = "speaks of the container's connection and goes no further"

#: What the client is told. Where one side broke the answer off, only that is compared.
IN_RESPONSES: Final[tuple[Difference, ...]] = (
    Difference(
        fact="reason",
        reason="Tomcat sends the number as its phrase, which mod_jk forwards; ours is the usual "
        "phrase of the status, or none",
    ),
    Difference(
        fact="answer",
        ours=200,
        theirs="broken",
        cases=("header Transfer-Encoding:chunked",),
        reason="the front frames the body; mod_jk forwards the header, but no chunks",
    ),
    Difference(
        fact="header last-modified",
        cases=(
            "header Last-Modified:Fri, 01 Jan 2100 00:00:00 GMT",
            "header Last-Modified:yesterday",
        ),
        reason="the application's business; httpd writes another date",
    ),
    Difference(
        fact="header proxy-connection",
        ours=ABSENT,
        cases=("header Proxy-Connection:close",),
        reason=_NOT_FOR_CLIENTS,
    ),
    Difference(
        fact="header te", ours=ABSENT, cases=("header TE:trailers",), reason=_NOT_FOR_CLIENTS
    ),
    Difference(
        fact="header trailer", ours=ABSENT, cases=("header Trailer:X-A",), reason=_NOT_FOR_CLIENTS
    ),
    Difference(
        fact="header upgrade", ours=ABSENT, cases=("header Upgrade:h2c",), reason=_NOT_FOR_CLIENTS
    ),
)


def unreviewed(
    case: str, ours: Facts, theirs: Facts, reviewed: Iterable[Difference]
) -> Iterator[str]:
    """Say what differs and is not reviewed, and what is reviewed but does not differ."""
    used: set[str] = set()
    known = tuple(reviewed)
    for fact in sorted({*ours, *theirs} - {*NEVER_COMPARED}):
        left, right = ours.get(fact, ABSENT), theirs.get(fact, ABSENT)
        if left == right:
            continue
        used.add(fact)
        if not any(each.covers(case, fact, left, right) for each in known):
            yield f"{fact}: {left!r}, with mod_jk {right!r}"
    for each in known:
        if case in each.cases and each.fact not in used:
            yield f"{each.fact}: reviewed as different, but {ours.get(each.fact, ABSENT)!r} twice"
