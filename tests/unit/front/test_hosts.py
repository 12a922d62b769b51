"""Which host a request is for decides which rules count."""

from ajpd.config.model import Mount
from tests.faults.stage import Stage, stage


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
