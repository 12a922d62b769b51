"""A web server talks to the container side: packets, applications, and both put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ajp import _codec
from ajp.channel import ContainerRequest
from ajp.container import Handler, Server, serve
from ajp.messages import (
    Attribute,
    ForwardRequest,
    Headers,
    RequestBody,
    SendBodyChunk,
    SendHeaders,
)
from tests.unit.support import WebServer, web_server

CPING = bytes.fromhex("123400010a")
CPONG = bytes.fromhex("4142000109")
END_KEEP = bytes.fromhex("414200020501")
END_CLOSE = bytes.fromhex("414200020500")
FLUSH = bytes.fromhex("4142000403000000")
ASK_FULL = bytes.fromhex("41420003061ffa")
EOF_LONG = bytes.fromhex("123400020000")
EOF_SHORT = bytes.fromhex("12340000")
REFUSED_400 = bytes.fromhex("4142000b0401900003343030000000")
REFUSED_403 = bytes.fromhex("4142000b0401930003343033000000")


def request(
    method: bytes = b"GET",
    uri: bytes = b"/",
    headers: Headers = ((b"content-length", b"0"),),
    attributes: tuple[Attribute, ...] = (),
) -> bytes:
    return _codec.encode(
        ForwardRequest(method=method, uri=uri, headers=headers, attributes=attributes)
    )


def post(length: int) -> bytes:
    return request(b"POST", b"/up", ((b"content-length", b"%d" % length),))


def push() -> bytes:
    return request(b"POST", b"/up", ((b"transfer-encoding", b"chunked"),))


def body(data: bytes) -> bytes:
    return _codec.encode(RequestBody(data))


def ask(length: int) -> bytes:
    return _codec.encode_get_body_chunk(length)


def head(status: int, *headers: tuple[bytes, bytes], reason: bytes = b"OK") -> bytes:
    return _codec.encode(SendHeaders(status, reason, headers))


def chunk(data: bytes) -> bytes:
    return _codec.encode(SendBodyChunk(data))


class Application:
    """Handles requests as a test says and remembers them."""

    def __init__(self, handler: Handler | None = None) -> None:
        self.requests: list[bytes] = []
        self.failures: list[BaseException] = []
        self.bodies: list[bytes] = []
        self.began = asyncio.Event()
        self.ended = asyncio.Event()
        self._handler = handler or self.plain

    async def __call__(self, request: ContainerRequest) -> None:
        self.requests.append(request.uri)
        self.began.set()
        try:
            await self._handler(request)
        except BaseException as error:
            self.failures.append(error)
            raise
        finally:
            self.ended.set()

    async def plain(self, request: ContainerRequest) -> None:
        await request.send_headers(200)

    @classmethod
    def reading(cls) -> "Application":
        async def read(request: ContainerRequest) -> None:
            application.bodies.append(await request.read())
            await request.send_headers(200)

        application = cls(read)
        return application


@asynccontextmanager
async def conversation(
    application: Application, **options: Any
) -> AsyncIterator[tuple[Server, WebServer]]:
    async with serve(application, port=0, **options) as server, web_server(server.port) as peer:
        yield server, peer
