"""What httpd and mod_jk do with lengths, codings, chunks and trailers; see `reviewed.py`."""

from typing import Final

from .difference import FOLDED, HOP, Difference

__all__ = ["BODIES"]

BODIES: Final = (
    Difference(
        theirs="200; POST /app/x; connection ends",
        cases=(
            "Content-Length, then Transfer-Encoding",
            "Transfer-Encoding, then Content-Length",
            "both, names in lower case",
            "both, names in capitals",
            "Content-Length: 0 and chunked",
            "both, far apart",
            "both, and Connection names Content-Length",
            "both, and Connection names Transfer-Encoding",
        ),
        reason="httpd goes by the chunks and ends the connection, which RFC 9112 §6.3 leaves "
        "open; nobody honest sends both",
    ),
    Difference(
        theirs="501; connection ends",
        cases=(
            "Content-Length between two codings",
            "Transfer-Encoding twice",
            "Transfer-Encoding twice, in other letters",
        ),
        reason="refused by both; sent twice it is the client's fault, and no coding that is "
        "not known",
    ),
    Difference(
        theirs="400; connection ends",
        cases=(
            "Content-Length and Transfer-Encoding: xchunked",
            "Content-Length and Transfer-Encoding: identity",
            "Content-Length and Transfer-Encoding: chunked, identity",
            "Content-Length and Transfer-Encoding: chunked in quotes",
            "Content-Length and Transfer-Encoding: chunked behind a no-break space",
            "Content-Length and Transfer-Encoding: nothing in it",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: chunked, gzip",
            "Transfer-Encoding: gzip",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunkedx",
            "Transfer-Encoding: chunked with a parameter",
            "Transfer-Encoding: chunked in double quotes",
            "Transfer-Encoding: chunked in single quotes",
            "Transfer-Encoding: chunked and a comma",
            "Transfer-Encoding: a tab within chunked",
            "Transfer-Encoding: chunked and a word",
            "Transfer-Encoding: chunked behind a no-break space",
            "Transfer-Encoding: chunked with a long s",
            "Transfer-Encoding: nothing",
            "Transfer-Encoding: a comma",
            "Transfer-Encoding: chunked, identity with an AJP packet as body",
        ),
        reason="refused by both; a coding that is not known is 501 (RFC 9112 §6.1)",
    ),
    Difference(
        theirs="200; POST /app/x; connection ends",
        cases=("Content-Length and Transfer-Encoding, its value on a folded line",),
        reason=FOLDED,
    ),
    Difference(
        theirs="200; POST /app/x with 5 bytes; connection stays",
        cases=(
            "Content-Length: on a folded line",
            "Transfer-Encoding with its value on a folded line",
            "trailer on a folded line",
        ),
        reason=FOLDED,
    ),
    Difference(
        theirs="no answer; POST /app/x with 0 bytes, ended as if whole; connection ends",
        cases=("Content-Length larger than the body, then the end",),
        reason="the servlet sees an end in place of an error with mod_jk; with us the body "
        "breaks off",
    ),
    Difference(
        theirs="413; connection ends",
        cases=("Content-Length 2^63 - 1, then the end",),
        reason="httpd has LimitRequestBody of 1 GB; max_body_bytes is no limit unless it is set",
    ),
    Difference(
        theirs="400; connection ends",
        cases=("Transfer-Encoding with its value broken by a folded line",),
        reason=FOLDED,
    ),
    Difference(
        theirs="200; POST /app/x with 5 bytes; connection ends",
        cases=("Transfer-Encoding in HTTP/1.0",),
        reason="HTTP/1.0 has no chunks, the framing is faulty (RFC 9112 §6.1); httpd reads them",
    ),
    Difference(
        theirs="200; POST /app/x with 5 bytes; connection stays",
        cases=("Transfer-Encoding in HTTP/1.0 with keep-alive",),
        reason="HTTP/1.0 has no chunks, the framing is faulty (RFC 9112 §6.1); httpd reads them",
    ),
    Difference(
        theirs="also te: chunked",
        cases=("TE: chunked with a Content-Length",),
        reason=HOP,
    ),
    Difference(
        theirs="413; connection ends",
        cases=("TRACE with a body that is a request",),
        reason="httpd answers TRACE itself and allows no body; we forward it, and Tomcat says 405",
    ),
    Difference(
        theirs="200; POST /app/x with 5 bytes; connection stays",
        cases=(
            "chunk size with a blank behind it",
            "chunk size with a tab behind it",
        ),
        reason="httpd cuts white space behind a size (bad white space, RFC 9112 §7.1.1); we "
        "cut nothing",
    ),
    Difference(
        theirs="200; POST /app/x with 5 bytes; connection stays",
        cases=("chunk size of a hundred zeros",),
        reason="zeros are digits as well: fifteen of them are enough; httpd reads past any number",
    ),
    Difference(
        theirs="200; POST /app/x with 300 bytes; connection stays",
        cases=("extensions of 300 chunks",),
        reason="httpd bounds one extension, not all of a request",
    ),
)
