"""Facts of AJP13: packet types, methods, header and attribute codes, sizes.

This file holds names and numbers only, and it is the only Python copy of them. The compiled
codec repeats the numbers it switches on in `_codec.pxd`; a test proves both agree.

Source: ajpv13a; Tomcat `org.apache.coyote.ajp.Constants`; mod_jk `jk_ajp_common.h`.
"""

from enum import IntEnum, IntFlag
from typing import Final

__all__ = [
    "DEFAULT_PACKET_SIZE",
    "MAGIC_FROM_CONTAINER",
    "MAGIC_FROM_WEB_SERVER",
    "MAX_PACKET_SIZE",
    "METHODS",
    "MIN_PACKET_SIZE",
    "REQUEST_HEADERS",
    "RESPONSE_HEADERS",
    "AttributeCode",
    "PacketType",
    "Tolerate",
]

MAGIC_FROM_WEB_SERVER: Final = b"\x12\x34"
MAGIC_FROM_CONTAINER: Final = b"AB"

#: Sizes of a whole packet, header included, in bytes.
MIN_PACKET_SIZE: Final = 8192
MAX_PACKET_SIZE: Final = 65536
DEFAULT_PACKET_SIZE: Final = 8192

HEADER_LEN: Final = 4
#: What a packet spends beside request-body data: header and inner length.
REQUEST_BODY_OVERHEAD: Final = 6
#: What a packet spends beside response-body data: header, type, inner length, trailing NUL.
RESPONSE_BODY_OVERHEAD: Final = 8

#: More headers than this in one message are refused (Tomcat stops at 100, Undertow at 200).
DEFAULT_MAX_HEADERS: Final = 512


class PacketType(IntEnum):
    """First payload byte of every packet except request-body packets, which have none."""

    FORWARD_REQUEST = 2
    SEND_BODY_CHUNK = 3
    SEND_HEADERS = 4
    END_RESPONSE = 5
    GET_BODY_CHUNK = 6
    SHUTDOWN = 7
    PING = 8
    CPONG = 9
    CPING = 10


class AttributeCode(IntEnum):
    """Codes of the optional fields behind the headers of a FORWARD_REQUEST."""

    CONTEXT = 1
    SERVLET_PATH = 2
    REMOTE_USER = 3
    AUTH_TYPE = 4
    QUERY_STRING = 5
    ROUTE = 6
    SSL_CERT = 7
    SSL_CIPHER = 8
    SSL_SESSION = 9
    REQ_ATTRIBUTE = 10
    SSL_KEY_SIZE = 11
    SECRET = 12
    STORED_METHOD = 13


ATTRIBUTES_DONE: Final = 0xFF
STORED_METHOD_CODE: Final = 0xFF

#: Method names by code; index 0 is unused. Names are case-sensitive.
METHODS: Final[tuple[bytes, ...]] = (
    b"",
    b"OPTIONS",
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"TRACE",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"ACL",
    b"REPORT",
    b"VERSION-CONTROL",
    b"CHECKIN",
    b"CHECKOUT",
    b"UNCHECKOUT",
    b"SEARCH",
    b"MKWORKSPACE",
    b"UPDATE",
    b"LABEL",
    b"MERGE",
    b"BASELINE-CONTROL",
    b"MKACTIVITY",
)

#: Request header names by the low byte of their code 0xA0nn; index 0 is unused.
REQUEST_HEADERS: Final[tuple[bytes, ...]] = (
    b"",
    b"accept",
    b"accept-charset",
    b"accept-encoding",
    b"accept-language",
    b"authorization",
    b"connection",
    b"content-type",
    b"content-length",
    b"cookie",
    b"cookie2",
    b"host",
    b"pragma",
    b"referer",
    b"user-agent",
)

#: Response header names by the low byte of their code 0xA0nn; index 0 is unused.
RESPONSE_HEADERS: Final[tuple[bytes, ...]] = (
    b"",
    b"Content-Type",
    b"Content-Language",
    b"Content-Length",
    b"Date",
    b"Last-Modified",
    b"Location",
    b"Set-Cookie",
    b"Set-Cookie2",
    b"Servlet-Engine",
    b"Status",
    b"WWW-Authenticate",
)

#: Request attributes that Tomcat consumes itself; any other needs its allow-list.
PRIVATE_ATTRIBUTES: Final[frozenset[bytes]] = frozenset(
    (b"AJP_REMOTE_PORT", b"AJP_LOCAL_ADDR", b"AJP_SSL_PROTOCOL", b"JK_LB_ACTIVATION")
)


class Tolerate(IntFlag):
    """Rules of the decoder of requests that some real peers break.

    Each can be waived on its own; bounds are never among them.
    """

    NOTHING = 0
    #: is_ssl other than 0 and 1: non-zero is true
    BOOLEAN = 1
    #: Content-Length and Transfer-Encoding in one request
    LENGTH_AND_ENCODING = 2
    #: a single-valued attribute twice
    REPEATED_ATTRIBUTE = 4
    #: req_uri null or empty
    EMPTY_URI = 8
    #: bytes behind the message, inside the packet
    TRAILING_BYTES = 16
    #: a header name that is no RFC 9110 token
    ANY_HEADER_NAME = 32
    #: attribute code 0x00 is skipped, as Tomcat and Undertow do
    ZERO_ATTRIBUTE = 64
