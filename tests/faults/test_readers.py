"""Readers of the live status page who do not read, and a process that is killed under them."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.faults.container import Container, respond
from tests.faults.daemon import ajpd, until
from tests.interop.processes import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_factories=["asyncio"]),
]

#: As many as one process serves.
MOST = 64
CONFIG = """
[server]
listen = ["127.0.0.1:%d"]
processes = 1
[worker.app]
host = "127.0.0.1"
port = %d
[worker.jkstatus]
type = "status"
[mount]
"/app/*" = "app"
"/jkstatus" = "jkstatus"
"""


async def open_view(port: int) -> socket.socket:
    """A reader that took the head of the answer and nothing more."""
    loop = asyncio.get_running_loop()
    reader = socket.socket()
    reader.setblocking(False)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await loop.sock_connect(reader, ("127.0.0.1", port))
    await loop.sock_sendall(reader, b"GET /jkstatus?events=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return reader


async def status_of(reader: socket.socket) -> bytes:
    async with asyncio.timeout(5):
        return (await asyncio.get_running_loop().sock_recv(reader, 12))[9:]


async def ask(port: int) -> bytes:
    """The status of an answer of the container."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /app/ HTTP/1.0\r\n\r\n")
    try:
        async with asyncio.timeout(5):
            return (await reader.read())[9:12]
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def test_readers_that_do_not_read(tmp_path: Path) -> None:
    readers: list[socket.socket] = []
    async with Container(respond(b"hello")) as container, ajpd(tmp_path) as daemon:
        port = free_port()
        daemon.config.write_text(CONFIG % (port, container.port))
        await daemon.start()
        try:
            readers += [await open_view(port) for _ in range(MOST)]
            assert {await status_of(reader) for reader in readers} == {b"200"}
            one_more = await open_view(port)
            readers.append(one_more)
            assert await status_of(one_more) == b"503"
            # Several views later nobody else has noticed.
            for _ in range(30):
                assert await ask(port) == b"200"
                await asyncio.sleep(0.1)
            (before,) = daemon.children()
            os.kill(before, signal.SIGKILL)
            await until(lambda: daemon.count("was ended by SIGKILL"))
            await until(lambda: daemon.children() not in ([], [before]))
            # Their places are free again.
            another = await open_view(port)
            readers.append(another)
            assert await status_of(another) == b"200"
            daemon.signal(signal.SIGTERM)
            assert await daemon.ends() == 0
        finally:
            for reader in readers:
                reader.close()
