from typing import Final, TypeAlias, final

from .messages import (
    CPing,
    ForwardRequest,
    FromContainer,
    FromWebServer,
    Ping,
    RequestBody,
    SendHeaders,
    Shutdown,
)

__all__ = [
    "CPING",
    "CPONG",
    "END_OF_BODY",
    "END_RESPONSE_CLOSE",
    "END_RESPONSE_REUSE",
    "FLUSH",
    "PING",
    "SHUTDOWN",
    "Splitter",
    "decode_from_container",
    "decode_from_web_server",
    "decode_request_body",
    "encode",
    "encode_forward_request",
    "encode_get_body_chunk",
    "encode_request_body",
    "encode_send_body_chunk",
    "encode_send_headers",
]

Buffer: TypeAlias = bytes | bytearray | memoryview

CPING: Final[bytes]
CPONG: Final[bytes]
PING: Final[bytes]
SHUTDOWN: Final[bytes]
END_OF_BODY: Final[bytes]
FLUSH: Final[bytes]
END_RESPONSE_REUSE: Final[bytes]
END_RESPONSE_CLOSE: Final[bytes]

def encode(message: FromWebServer | FromContainer, max_packet_size: int = 8192) -> bytes: ...
def encode_forward_request(message: ForwardRequest, max_packet_size: int = 8192) -> bytes: ...
def encode_request_body(data: Buffer, max_packet_size: int = 8192) -> bytes: ...
def encode_send_headers(message: SendHeaders, max_packet_size: int = 8192) -> bytes: ...
def encode_send_body_chunk(data: Buffer, max_packet_size: int = 8192) -> bytes: ...
def encode_get_body_chunk(requested: int, max_packet_size: int = 8192) -> bytes: ...
def decode_from_web_server(
    payload: Buffer, max_headers: int = 512, tolerate: int = 0
) -> ForwardRequest | CPing | Ping | Shutdown: ...
def decode_request_body(payload: Buffer, strict: bool = False) -> RequestBody: ...
def decode_from_container(payload: Buffer, max_headers: int = 512) -> FromContainer: ...

@final
class Splitter:
    max_packet_size: Final[int]
    def __init__(self, magic: bytes, max_packet_size: int = 8192) -> None: ...
    @property
    def buffered(self) -> int: ...
    def feed(self, data: Buffer) -> None: ...
    def take(self) -> bytes | None: ...
    def finish(self) -> None: ...
