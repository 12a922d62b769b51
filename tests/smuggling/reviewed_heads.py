"""What httpd and mod_jk do with lines, fields, targets and paths; see `reviewed.py`."""

from typing import Final

from .difference import FOLDED, HOP, JOINED, MISSING, STAYS, UNKNOWN, Difference

__all__ = ["HEADS"]

HEADS: Final = (
    Difference(
        theirs="no answer; GET /app/x; connection ends",
        cases=(
            "request line: no version (HTTP/0.9)",
            "request line: no version, a blank",
        ),
        reason="HTTP/0.9 is not spoken; httpd does, and answers without a head",
    ),
    Difference(
        theirs="400; connection ends",
        cases=(
            "version: a digit that is none",
            "version: HTTP/0.9",
            "the preface of HTTP/2",
        ),
        reason=UNKNOWN,
    ),
    Difference(
        theirs="200; GET /app/x; connection stays",
        cases=(
            "version: HTTP/2.0",
            "version: HTTP/3.0",
        ),
        reason="other major versions look different on the wire; httpd takes any digit",
    ),
    Difference(
        theirs="no answer; connection stays",
        cases=("ten empty lines",),
        reason="httpd ignores ten empty lines, we four; at least one is to be ignored (RFC "
        "9112 §2.2)",
    ),
    Difference(
        theirs="200; GET /app/x; connection stays",
        cases=(
            "folded line",
            "line folded with a tab",
            "folded line that is a field",
            "Host: a second one on a folded line",
        ),
        reason=FOLDED,
    ),
    Difference(
        theirs="200; GET /app/x; connection ends",
        cases=("folded Connection",),
        reason=FOLDED,
    ),
    Difference(
        theirs="also x-foo: 1, 3, 4",
        cases=("one name three times, with others between",),
        reason=JOINED,
    ),
    Difference(
        theirs="400; connection ends",
        cases=(
            "name of 70000 bytes",
            "value of 70000 bytes",
            "600 fields",
            "Host of 70000 bytes",
            "value of 9000 bytes, more than a packet",
            "Host of 9000 bytes, more than a packet",
        ),
        reason="httpd's LimitRequestFieldSize is 8190 bytes and says 400; ours is what fits "
        "into a packet or max_header_bytes, and says 431 (RFC 6585 §5)",
    ),
    Difference(
        theirs="414; connection ends",
        cases=(
            "target of 9000 bytes, more than a packet",
            "query of 9000 bytes, more than a packet",
        ),
        reason=STAYS,
    ),
    Difference(
        theirs="400; connection ends",
        cases=(
            "name of 9000 bytes, more than a packet",
            "absolute form: dot segments above the root",
            "above the root: /../app/x",
            "above the root: /app/../../app/x",
            "above the root, with a parameter: /..;/app/x",
            "above the root, encoded: /%2e%2e/app/x",
            "a slash too many: /app//../../other/x",
            "encoded backslash: /app/..%5cother/x",
            "encoded backslash: /app/..%5C..%5Cother/x",
            "backslash: /app/..\\other/x",
            "backslash: /app/x\\y",
            "a percent sign alone: /app/x%",
            "one digit: /app/x%4",
            "no digits: /app/x%zz",
            "a digit and a letter: /app/x%2g",
            "IIS escape: /app/%u002e%u002e/other/x",
            "overlong dots: /app/%c0%ae%c0%ae/x",
            "overlong slash: /app/..%c0%afx",
            "overlong dots of three bytes: /app/%e0%80%ae/x",
            "raw overlong dots: /app/\\xc0\\xae\\xc0\\xae/x",
            "not UTF-8: /app/%ff",
        ),
        reason=STAYS,
    ),
    Difference(
        theirs="414; connection ends",
        cases=("method of 9000 bytes, more than a packet",),
        reason="httpd's LimitRequestLine is 8190 bytes; ours is what fits into a packet",
    ),
    Difference(
        theirs="400; connection ends",
        cases=("Host: an underscore",),
        reason="Tomcat refuses the name; httpd ends the connection after a 400, whoever says it",
    ),
    Difference(
        theirs="400; connection ends",
        cases=("Host: an empty port",),
        reason="an empty port is legal (RFC 3986 §3.2.3)",
    ),
    Difference(
        theirs="200; GET /app/x; connection stays",
        cases=("absolute form with two Hosts",),
        reason="httpd looks at no Host when the target has one; two of them are refused (RFC "
        "9112 §3.2)",
    ),
    Difference(
        theirs="200; GET /app/x; connection stays",
        cases=(
            "absolute form: no host",
            "absolute form: one slash",
            "absolute form: three slashes",
        ),
        reason="an http URL without a host is to be refused (RFC 9110 §4.2.1); httpd falls "
        "back to Host",
    ),
    Difference(
        theirs="200; GET /app/x; connection stays",
        cases=("absolute form: a port too large",),
        reason="no port (RFC 9110 §4.2.1); httpd falls back to Host",
    ),
    Difference(
        theirs="404; connection stays",
        cases=("absolute form: nothing behind the slashes",),
        reason="an http URL without a host is to be refused (RFC 9110 §4.2.1); httpd falls "
        "back to Host",
    ),
    Difference(
        theirs="404; connection stays",
        cases=("target: a question mark",),
        reason="no form of a target begins with it (RFC 9112 §3.2); httpd looks for a file",
    ),
    Difference(
        theirs="200; connection stays",
        cases=("OPTIONS *?a",),
        reason="the asterisk stands alone (RFC 9112 §3.2.4)",
    ),
    Difference(
        theirs="405; connection stays",
        cases=("CONNECT with host and port",),
        reason="there is no tunnel under any address: 501 in every form",
    ),
    Difference(
        theirs="400; connection ends",
        cases=(
            "CONNECT with a path",
            "CONNECT with a body that is a request",
        ),
        reason="there is no tunnel under any address: 501 in every form",
    ),
    Difference(
        theirs="200; connection stays",
        cases=("method TRACE",),
        reason="httpd echoes it itself; we forward it, and Tomcat says 405",
    ),
    Difference(
        theirs="also x-foo: 1",
        cases=(
            "Connection names X-Foo",
            "Connection names X-Foo in other letters",
            "Connection with empty elements",
        ),
        reason=HOP,
    ),
    Difference(
        theirs="also x: 1, 2, 3",
        cases=("Connection names one of three equal fields",),
        reason=HOP,
    ),
    Difference(
        theirs="also cookie: a=1",
        cases=("Connection names Cookie",),
        reason=HOP,
    ),
    Difference(
        theirs="also authorization: x",
        cases=("Connection names Authorization",),
        reason=HOP,
    ),
    Difference(
        theirs="also x-forwarded-for: 1.2.3.4",
        cases=("Connection names X-Forwarded-For",),
        reason=HOP,
    ),
    Difference(
        theirs="also a: 1, b: 2",
        cases=("Connection twice, each names one",),
        reason=HOP,
    ),
    Difference(
        theirs="200; GET /app/x; connection ends",
        cases=(
            "Connection: two words",
            "Connection: quotes",
            "Connection: a semicolon",
        ),
        reason="no list of names (RFC 9110 §7.6.1); httpd looks for words in it",
    ),
    Difference(
        theirs="200; GET /app/x; connection stays",
        cases=("Connection: hundreds of names",),
        reason="more than 64 names cost more than they are worth; httpd does not remove them",
    ),
    Difference(
        theirs="also upgrade: websocket",
        cases=("Upgrade to websocket",),
        reason=HOP,
    ),
    Difference(
        theirs="also http2-settings: AAMAAABkAARAAAAAAAIAAAAA, upgrade: h2c",
        cases=("Upgrade to h2c with HTTP2-Settings",),
        reason=HOP,
    ),
    Difference(
        theirs="also upgrade: h2c",
        cases=(
            "Upgrade without Connection",
            "Upgrade to h2c with a body that is a request",
        ),
        reason=HOP,
    ),
    Difference(
        theirs="also upgrade: TLS/1.2",
        cases=("Upgrade to TLS",),
        reason=HOP,
    ),
    Difference(
        theirs="also keep-alive: timeout=9999, max=0",
        cases=("Keep-Alive",),
        reason=HOP,
    ),
    Difference(
        theirs="also proxy-connection: close",
        cases=("Proxy-Connection",),
        reason=HOP,
    ),
    Difference(
        theirs="also te: trailers, chunked",
        cases=("TE",),
        reason=HOP,
    ),
    Difference(
        theirs="also trailer: X-Foo",
        cases=("Trailer",),
        reason=HOP,
    ),
    Difference(
        theirs="also expect: 100-continue",
        cases=(
            "Expect: 100-continue, and the body at once",
            "Expect in HTTP/1.0",
        ),
        reason="met by the front itself; AJP has no interim responses",
    ),
    Difference(
        theirs="also expect: 100-CONTINUE",
        cases=("Expect: 100-Continue, and the body at once",),
        reason="met by the front itself; AJP has no interim responses",
    ),
    Difference(
        theirs="200; GET /app/x; connection ends",
        cases=("Expect without a body",),
        reason="nothing to wait for, so the connection can stay; httpd ends it",
    ),
    Difference(
        theirs="200; POST /app/x with 5 bytes; connection stays",
        cases=("Expect: nothing",),
        reason="an expectation that is not 100-continue (RFC 9110 §10.1.1); httpd ignores it "
        "when it is empty",
    ),
    Difference(
        theirs="waits; connection ends",
        cases=("Expect, for a path that is not mapped, and no body",),
        reason="a final status and the end in place of 100 is shorter (RFC 9110 §10.1.1); "
        "httpd waits for the body",
    ),
    Difference(
        theirs="also x-forwarded-for: 127.0.0.2, 127.0.0.2",
        cases=("X-Forwarded-For: 127.0.0.2 twice of a client that is not trusted",),
        reason=JOINED,
    ),
    Difference(
        theirs="200; GET /app;/x, resolved to /app/x; connection stays",
        cases=("a parameter that is data: /app%3b/x",),
        reason="decoded it is a parameter to mod_jk and to Tomcat; to us it is part of a name, "
        "so not mapped",
    ),
    Difference(
        theirs="404; connection stays",
        cases=(
            "an empty segment with a parameter: /app/;/../../other/x",
            "encoded slash: /app/..%2fother/x",
            "encoded slash: /app/..%2Fother/x",
            "encoded slash: /app%2fx",
            "encoded slash: /app/%2e%2e%2fother%2fx",
            "backslash: /app\\..\\other\\x",
            "excluded, an encoded slash: /app/private%2fx",
            "excluded, an encoded slash: /app%2fprivate/x",
            "excluded, a backslash: /app\\private/x",
            "zero byte: /app/x%00",
            "zero byte before an ending: /app/x.jsp%00.png",
            "zero byte in dots: /app/..%00/other/x",
        ),
        reason=MISSING,
    ),
    Difference(
        theirs="404; connection stays",
        cases=(
            "a parameter that is data: /app/..%3b/x",
            "parameter as data: /app/private%3ba/x",
        ),
        reason="a semicolon that was encoded is data; mod_jk decodes it, which makes a "
        "parameter of it",
    ),
    Difference(
        theirs="200; GET /app/x;a/y, resolved to /app/x/y; connection stays",
        cases=("a parameter that is data: /app/x%3ba/y",),
        reason="a semicolon that was encoded is data; mod_jk decodes it, which makes a "
        "parameter of it",
    ),
    Difference(
        theirs="200; GET /app/x; connection stays",
        cases=("absolute form: https on a connection without TLS",),
        reason="httpd serves https without TLS when a target says so; it must be refused (RFC "
        "9110 §7.4)",
    ),
)
