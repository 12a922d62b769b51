"""The messages of AJP13 as plain values, named as the specification names them.

Frozen and slotted; equality is by value. All text is bytes: AJP declares no character set.
`None` is AJP's null string and differs from `b""`.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from .constants import AttributeCode

__all__ = [
    "Attribute",
    "CPing",
    "CPong",
    "EndResponse",
    "ForwardRequest",
    "FromContainer",
    "FromWebServer",
    "GetBodyChunk",
    "Headers",
    "Ping",
    "RequestBody",
    "SendBodyChunk",
    "SendHeaders",
    "Shutdown",
]

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]


class Attribute(NamedTuple):
    """One optional field of a ForwardRequest.

    Attributes:
        code: which field.
        value: bytes, None for AJP's null, or an int 0-65535 for SSL_KEY_SIZE.
        name: name of a REQ_ATTRIBUTE; None for every other code.
    """

    code: AttributeCode
    value: bytes | int | None
    name: bytes | None = None


@dataclass(frozen=True, slots=True)
class ForwardRequest:
    """FORWARD_REQUEST (2): one HTTP request, from the web server to the container.

    Attributes:
        method: method name; names without a code travel as stored method.
        uri: path, still percent-encoded, without query.
        protocol: such as ``HTTP/1.1``; None is legal on the wire.
        remote_addr: client address as text.
        remote_host: client name; usually None.
        server_name: host part of what the client asked for.
        server_port: 0-65535.
        is_ssl: whether the client came over TLS.
        headers: (name, value) in order; a name may repeat. Names decoded from a code are in the
            spelling of `constants.REQUEST_HEADERS`.
        attributes: optional fields in the order of the wire; never STORED_METHOD.
    """

    method: bytes = b"GET"
    uri: bytes = b"/"
    protocol: bytes | None = b"HTTP/1.1"
    remote_addr: bytes | None = None
    remote_host: bytes | None = None
    server_name: bytes | None = None
    server_port: int = 80
    is_ssl: bool = False
    headers: Headers = ()
    attributes: tuple[Attribute, ...] = ()

    def header(self, name: bytes) -> bytes | None:
        """First value of a header, its name in any case; None when absent."""
        wanted = name.lower()
        for key, value in self.headers:
            if key.lower() == wanted:
                return value
        return None

    def attribute(self, code: AttributeCode) -> bytes | int | None:
        """Value of a coded attribute; None when absent or null."""
        for attribute in self.attributes:
            if attribute.code == code:
                return attribute.value
        return None

    @property
    def content_length(self) -> int | None:
        """Bytes of request body announced; None when the length is not known beforehand."""
        value = self.header(b"content-length")
        return None if value is None else int(value)

    @property
    def query_string(self) -> bytes | None:
        """Query without ``?``; None when there was no ``?``."""
        value = self.attribute(AttributeCode.QUERY_STRING)
        return value if isinstance(value, bytes) else None

    @property
    def secret(self) -> bytes | None:
        """The shared secret sent with this request."""
        value = self.attribute(AttributeCode.SECRET)
        return value if isinstance(value, bytes) else None

    @property
    def request_attributes(self) -> dict[bytes, bytes | None]:
        """Named attributes (code 10); the last of equal names counts, as in Tomcat."""
        return {
            attribute.name: attribute.value
            for attribute in self.attributes
            if attribute.code == AttributeCode.REQ_ATTRIBUTE
            and attribute.name is not None
            and not isinstance(attribute.value, int)
        }

    def __repr__(self) -> str:
        """Method and path only: headers and attributes may hold secrets."""
        return (
            f"<ForwardRequest {self.method!r} {self.uri!r} headers={len(self.headers)} "
            f"attributes={len(self.attributes)}>"
        )


@dataclass(frozen=True, slots=True)
class RequestBody:
    """One packet of request body; no data means the body is complete.

    Attributes:
        data: 0 to max_packet_size - 6 bytes.
    """

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class CPing:
    """CPING (10): are you there? From the web server, on an idle connection."""


@dataclass(frozen=True, slots=True)
class Ping:
    """PING (8): of a login phase nobody ever implemented; recognised, never answered."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """SHUTDOWN (7): recognised, never obeyed."""


@dataclass(frozen=True, slots=True)
class SendHeaders:
    """SEND_HEADERS (4): status and headers of the response.

    Attributes:
        status: 100-999.
        reason: phrase, maybe empty, maybe None, maybe the number as text (Tomcat).
        headers: (name, value) in order; a name may repeat.
    """

    status: int
    reason: bytes | None = b""
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class SendBodyChunk:
    """SEND_BODY_CHUNK (3): a piece of the response body; no data means flush.

    Attributes:
        data: 0 to max_packet_size - 8 bytes.
    """

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class EndResponse:
    """END_RESPONSE (5): the response is complete.

    Attributes:
        reuse: whether the connection may carry another request.
    """

    reuse: bool


@dataclass(frozen=True, slots=True)
class GetBodyChunk:
    """GET_BODY_CHUNK (6): the container asks for more request body.

    Attributes:
        requested: 1-65534 bytes at most.
    """

    requested: int


@dataclass(frozen=True, slots=True)
class CPong:
    """CPONG (9): yes, I am there."""


FromWebServer: TypeAlias = ForwardRequest | RequestBody | CPing | Ping | Shutdown
FromContainer: TypeAlias = SendHeaders | SendBodyChunk | EndResponse | GetBodyChunk | CPong
