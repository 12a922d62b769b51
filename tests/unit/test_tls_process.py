"""A process with a listener for TLS: requests, certificates that change, the end."""

import asyncio
import dataclasses
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ajpd.config.model import KeyPair, ListenAddress, TlsConfig
from ajpd.listeners import open_listener
from ajpd.process import Process
from tests.faults.container import Container, respond, wait
from tests.faults.stage import configuration, get, open_files
from tests.unit.pki import Authority
from tests.unit.support import both_loops, until

ANY = ListenAddress(host="127.0.0.1", port=0)


class Stage:
    """A process before a container, reached over TLS only."""

    def __init__(self, process: Process, port: int, folder: Path) -> None:
        self.process = process
        self.port = port
        self.client = ssl.create_default_context(cafile=folder / "ca.pem")
        self.client.check_hostname = False
        self.client.verify_flags &= ~ssl.VERIFY_X509_STRICT

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(5):
            return await asyncio.open_connection(
                "127.0.0.1", self.port, ssl=self.client, server_hostname="any.example"
            )

    async def shown(self) -> str:
        """The name in the certificate that a new connection gets."""
        _, writer = await self.connect()
        names = writer.get_extra_info("peercert")["subjectAltName"]
        writer.transport.abort()
        return str(names[0][1])


@asynccontextmanager
async def stage(folder: Path, container: Container, *, reload_ms: int = 0) -> AsyncIterator[Stage]:
    """Everything up, then down again with nothing left behind."""
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    authority.server(folder, "www", "www.example")
    authority.server(folder, "next", "next.example")
    tls = TlsConfig(
        listen=(ANY,),
        pairs=(KeyPair(str(folder / "www.pem"), str(folder / "www.key")),),
        reload_ms=reload_ms,
    )
    await asyncio.sleep(0)
    before = open_files()
    async with container:
        config = configuration(worker={"port": container.port})
        listener = open_listener(ANY)
        process = Process(dataclasses.replace(config, tls=tls), [], [listener])
        await process.start()
        try:
            yield Stage(process, listener.getsockname()[1], folder)
        finally:
            await process.stop()
    await until(lambda: open_files() <= before)


def renew(folder: Path) -> None:
    for ending in ("key", "pem"):
        os.replace(folder / f"next.{ending}", folder / f"www.{ending}")


@both_loops
async def test_a_request_over_tls(tmp_path: Path) -> None:
    async with stage(tmp_path, Container(respond(b"secret"))) as s:
        reader, writer = await s.connect()
        for _ in range(2):
            writer.write(get())
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 ")
                assert await reader.readexactly(6) == b"secret"
        writer.transport.abort()


async def test_handshakes_are_counted(tmp_path: Path) -> None:
    async with stage(tmp_path, Container(respond(b"x"))) as s:
        front = s.process.ledger.front
        _, writer = await s.connect()
        writer.transport.abort()
        _, writer = await asyncio.open_connection("127.0.0.1", s.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await until(lambda: front.totals()["tls_failures"] == 1)
        writer.transport.abort()
        assert front.totals()["tls_handshakes"] == 1


@both_loops
async def test_certificates_are_looked_at_now_and_then(tmp_path: Path) -> None:
    async with stage(tmp_path, Container(), reload_ms=5) as s:
        assert await s.shown() == "www.example"
        renew(tmp_path)
        async with asyncio.timeout(5):
            # A connection takes about as long as the pause between two looks.
            while await s.shown() != "next.example":
                pass


@both_loops
async def test_certificates_are_read_again_when_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ajpd")
    async with stage(tmp_path, Container()) as s:
        renew(tmp_path)
        assert await s.shown() == "www.example"
        assert s.process.reload_certificates()
        assert await s.shown() == "next.example"
        (tmp_path / "www.pem").write_text("")
        assert not s.process.reload_certificates()
        assert await s.shown() == "next.example"
        assert "www.pem: there is no certificate in it" in caplog.text


@both_loops
async def test_the_end_waits_for_requests_and_not_for_handshakes(tmp_path: Path) -> None:
    go = asyncio.Event()
    container = Container([wait(go), *respond(b"late")])
    async with stage(tmp_path, container) as s:
        reader, writer = await s.connect()
        writer.write(get())
        await until(lambda: container.executions == 1)
        with socket.create_connection(("127.0.0.1", s.port)) as silent:
            # One accept after the other: when the second is through, the first is known.
            assert await s.shown() == "www.example"
            stopping = asyncio.create_task(s.process.stop())
            silent.settimeout(5)
            assert await asyncio.to_thread(silent.recv, 1) == b""
            assert not stopping.done()
            go.set()
            async with asyncio.timeout(5):
                assert (await reader.read()).endswith(b"late")
                writer.transport.abort()
                await stopping


@both_loops
async def test_with_patience_the_end_waits_for_handshakes(tmp_path: Path) -> None:
    async with stage(tmp_path, Container()) as s:
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", s.port)) as sock:
            assert await s.shown() == "www.example"
            # Patience is at its end, and the client has not said a word.
            stopping = asyncio.create_task(s.process.stop(patience=0.001))
            await until(lambda: s.process.service.draining)
            await asyncio.sleep(0.1)
            assert not stopping.done()
            sock.setblocking(False)
            reader = asyncio.StreamReader()
            async with asyncio.timeout(5):
                transport, _ = await loop.create_connection(
                    lambda: asyncio.StreamReaderProtocol(reader),
                    sock=sock,
                    ssl=s.client,
                    server_hostname="any.example",
                )
                await asyncio.sleep(0.05)
                transport.write(get())
                assert (await reader.read()).lower().startswith(b"http/1.1 200 ")
                transport.abort()
                await stopping


@both_loops
@pytest.mark.parametrize("word", ["hurry", "abort"])
async def test_waiting_for_handshakes_ends(tmp_path: Path, word: str) -> None:
    async with stage(tmp_path, Container()) as s:
        with socket.create_connection(("127.0.0.1", s.port)) as silent:
            assert await s.shown() == "www.example"
            stopping = asyncio.create_task(s.process.stop(patience=0.001))
            await until(lambda: s.process.service.draining)
            await asyncio.sleep(0.05)
            assert not stopping.done()
            getattr(s.process, word)()
            async with asyncio.timeout(5):
                await stopping
            silent.settimeout(5)
            assert await asyncio.to_thread(silent.recv, 1) == b""


@both_loops
async def test_nobody_waits_in_a_queue_that_nobody_serves(tmp_path: Path) -> None:
    go = asyncio.Event()
    container = Container([wait(go), *respond(b"late")])
    async with stage(tmp_path, container) as s:
        reader, writer = await s.connect()
        writer.write(get())
        await until(lambda: container.executions == 1)
        stopping = asyncio.create_task(s.process.stop())
        await until(lambda: s.process.service.draining)
        await asyncio.sleep(0.01)
        with pytest.raises(ConnectionRefusedError):
            await s.connect()
        assert not stopping.done()
        go.set()
        async with asyncio.timeout(5):
            assert (await reader.read()).endswith(b"late")
            writer.transport.abort()
            await stopping


def test_without_tls_there_is_nothing_to_read_again() -> None:
    async def main() -> None:
        process = Process(configuration(), [])
        await process.start()
        assert not process.reload_certificates()
        await process.stop()

    asyncio.run(main())
