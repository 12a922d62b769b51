"""Which host a request is for decides which rules count."""

import asyncio
from pathlib import Path

import pytest

from ajpd.config import load_toml
from ajpd.config.model import ListenAddress, Mount
from ajpd.listeners import open_listener
from ajpd.process import Process
from tests.faults.container import Container
from tests.faults.stage import Stage, eventually, stage


async def status(s: Stage, *lines: bytes) -> int:
    client = await s.connect()
    await client.send(b"\r\n".join((*lines, b"", b"")))
    return (await client.response()).status


def only(s: Stage, wanted: bytes) -> list[tuple[bytes, bytes]]:
    """Map everything of one host, and nothing else; returns what is asked from now on."""
    asked: list[tuple[bytes, bytes]] = []

    def match_host(host: bytes, path: bytes) -> Mount | None:
        asked.append((host, path))
        return Mount(pattern=b"/*", worker="app") if host == wanted else None

    s.process.service.remap(lambda path: None, match_host)
    return asked


async def test_the_name_of_the_request_decides() -> None:
    async with stage() as s:
        asked = only(s, b"a.example")
        assert await status(s, b"GET /x HTTP/1.1", b"Host: a.example:8080") == 200
        assert await status(s, b"GET /x HTTP/1.1", b"Host: b.example") == 404
        assert await status(s, b"GET http://a.example/y HTTP/1.1", b"Host: a.example") == 200
        assert await status(s, b"GET /x HTTP/1.0") == 404
        assert asked == [
            (b"a.example", b"/x"),
            (b"b.example", b"/x"),
            (b"a.example", b"/y"),
            (b"", b"/x"),
        ]


async def test_a_trusted_proxy_says_which_host_it_is() -> None:
    lines = (b"GET /x HTTP/1.1", b"Host: b.example", b"X-Forwarded-Host: a.example")
    async with stage(server={"trusted_proxies": ("127.0.0.1",)}) as s:
        only(s, b"a.example")
        assert await status(s, *lines) == 200
    async with stage() as s:
        only(s, b"a.example")
        assert await status(s, *lines) == 404


async def test_rules_may_change_between_two_requests() -> None:
    async with stage() as s:
        only(s, b"a.example")
        client = await s.connect()
        await client.send(b"GET /x HTTP/1.1\r\nHost: b.example\r\n\r\n")
        assert (await client.response()).status == 404
        s.process.service.remap(lambda path: Mount(pattern=b"/*", worker="app"))
        await client.send(b"GET /x HTTP/1.1\r\nHost: b.example\r\n\r\n")
        assert (await client.response()).status == 200


TOML = """\
[worker.app]
host = "127.0.0.1"
port = {port}
[map]
file = "rules"
reload = "20ms"
[host."shop.example"]
aliases = ["*.shop.example", "::1"]
mount = {{ "/*" = "app" }}
"""


async def answer(port: int, host: str, path: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


async def test_hosts_and_changed_maps_of_a_whole_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Container() as container:
        (tmp_path / "rules").write_text("/old=app\n")
        (tmp_path / "t").write_text(TOML.format(port=container.port))
        listener = open_listener(ListenAddress(host="127.0.0.1", port=0))
        port = listener.getsockname()[1]
        process = Process(load_toml(tmp_path / "t", env={}), [listener])
        await process.start()
        try:
            for host in ("shop.example", "SHOP.example:80", "a.b.shop.example", "[::1]:8080"):
                assert await answer(port, host, "/x") == 200
            assert await answer(port, "other.example", "/x") == 404
            assert await answer(port, "other.example", "/old") == 200
            change(tmp_path / "rules", "/new=app\n")
            await eventually(lambda: "URI maps read" in caplog.text)
            assert await answer(port, "other.example", "/new") == 200
            assert await answer(port, "other.example", "/old") == 404
            assert await answer(port, "shop.example", "/x") == 200
            change(tmp_path / "rules", "/new=nobody\n")
            await eventually(lambda: "names an unknown worker" in caplog.text)
            assert await answer(port, "other.example", "/new") == 200
        finally:
            await process.stop()


def change(path: Path, text: str) -> None:
    """Put another file in place, as an editor does."""
    other = path.with_name("other")
    other.write_text(text)
    other.replace(path)
