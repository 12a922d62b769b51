"""Whose word about the client counts, and what the container learns of it."""

from pathlib import Path
from typing import Any

import pytest

from ajp.messages import ForwardRequest
from tests.faults.container import Container, never
from tests.faults.stage import Stage, get, stage, unix_address

TRUSTED = {"trusted_proxies": ("127.0.0.1",)}
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n"
V2 = (
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
    + bytes((192, 0, 2, 7, 198, 51, 100, 1))
    + ((40000).to_bytes(2) + (443).to_bytes(2))
)
V2_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0"


async def seen(s: Stage, *lines: bytes, before: bytes = b"") -> ForwardRequest:
    """Ask once; what the container was told."""
    client = await s.connect()
    await client.send(before + get(b"/x", *lines))
    assert (await client.response()).status == 200
    return s.container.requests[-1].head


def attributes(head: ForwardRequest) -> dict[bytes, bytes]:
    return {name: value or b"" for name, value in head.request_attributes.items()}


async def test_a_stranger_is_not_believed() -> None:
    lines = (
        b"X-Forwarded-For: 192.0.2.7",
        b"X_Forwarded_For: 192.0.2.7",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: evil.example",
        b"X-Forwarded-Port: 99",
        b"Forwarded: for=192.0.2.7;proto=https",
        b"X-Real-IP: 192.0.2.7",
    )
    async with stage(server={"trusted_proxies": ("192.0.2.0/24",)}) as s:
        head = await seen(s, *lines)
        assert head.remote_addr == b"127.0.0.1"
        assert not head.is_ssl
        assert (head.server_name, head.server_port) == (b"app.example", s.where[1])
        assert head.header(b"host") == b"app.example"
        assert [name for name, _ in head.headers if b"orwarded" in name.lower()] == []
        assert head.header(b"x-real-ip") is None


async def test_where_nobody_is_trusted_the_headers_pass_and_mean_nothing() -> None:
    async with stage() as s:
        head = await seen(s, b"X-Forwarded-For: 192.0.2.7", b"X-Forwarded-Proto: https")
        assert head.remote_addr == b"127.0.0.1"
        assert not head.is_ssl
        assert head.header(b"x-forwarded-for") == b"192.0.2.7"


async def test_a_trusted_proxy_is_believed() -> None:
    async with stage(server=TRUSTED) as s:
        head = await seen(
            s,
            b"X-Forwarded-For: 6.6.6.6, 192.0.2.7, 127.0.0.1",
            b"X-Forwarded-Proto: https",
            b"X-Forwarded-Host: shop.example",
        )
        assert head.remote_addr == b"192.0.2.7"
        assert head.is_ssl
        assert (head.server_name, head.server_port) == (b"shop.example", 443)
        assert attributes(head)[b"AJP_REMOTE_PORT"] == b"0"
        # It stays what it is for whoever wants to read it.
        assert head.header(b"x-forwarded-for") == b"6.6.6.6, 192.0.2.7, 127.0.0.1"


@pytest.mark.parametrize(
    ("lines", "host", "name", "port", "is_ssl"),
    [
        ((b"X-Forwarded-Proto: https",), b"app.example", b"app.example", 443, True),
        ((b"X-Forwarded-Proto: http",), b"app.example", b"app.example", 80, False),
        (
            (b"X-Forwarded-Proto: https", b"X-Forwarded-Port: 8443"),
            b"app.example:8443",
            b"app.example",
            8443,
            True,
        ),
        ((b"X-Forwarded-Port: 443",), b"app.example:443", b"app.example", 443, False),
        (
            (b"X-Forwarded-Host: a.example:8080",),
            b"a.example:8080",
            b"a.example",
            8080,
            False,
        ),
        ((b"Forwarded: proto=https;host=b.example",), b"b.example", b"b.example", 443, True),
    ],
)
async def test_name_and_port(
    lines: tuple[bytes, ...], host: bytes, name: bytes, port: int, is_ssl: bool
) -> None:
    async with stage(server=TRUSTED) as s:
        head = await seen(s, *lines)
        assert (head.server_name, head.server_port, head.is_ssl) == (name, port, is_ssl)
        assert [value for name, value in head.headers if name.lower() == b"host"] == [host]


async def test_forwarded_headers_may_be_chosen() -> None:
    lines = (b"X-Forwarded-For: 192.0.2.1", b"Forwarded: for=192.0.2.2")
    wanted = {"auto": b"192.0.2.1", "x-forwarded": b"192.0.2.1", "forwarded": b"192.0.2.2"}
    for family, address in [*wanted.items(), ("none", b"127.0.0.1")]:
        async with stage(server={**TRUSTED, "forwarded_headers": family}) as s:
            assert (await seen(s, *lines)).remote_addr == address


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
async def test_a_proxy_header(header: bytes) -> None:
    async with stage(server=TRUSTED) as s:
        head = await seen(s, before=header)
        assert head.remote_addr == b"192.0.2.7"
        assert attributes(head)[b"AJP_REMOTE_PORT"] == b"40000"
        assert attributes(head)[b"AJP_LOCAL_ADDR"] == b"198.51.100.1"


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
async def test_behind_a_proxy_header_nobody_else_is_believed(header: bytes) -> None:
    """The proxy hands a connection on: headers on it are the client's own."""
    async with stage(server=TRUSTED) as s:
        head = await seen(s, b"X-Forwarded-For: 6.6.6.6", before=header)
        assert head.remote_addr == b"192.0.2.7"
        assert head.header(b"x-forwarded-for") is None


async def test_a_proxy_header_counts_for_every_request_of_the_connection() -> None:
    async with stage(server=TRUSTED) as s:
        client = await s.connect()
        await client.send(V1 + get(b"/1") + get(b"/2"))
        await client.response()
        await client.response()
        assert [r.head.remote_addr for r in s.container.requests] == [b"192.0.2.7"] * 2


async def test_a_proxy_header_byte_by_byte() -> None:
    async with stage(server=TRUSTED) as s:
        client = await s.connect()
        for byte in V2 + get(b"/x"):
            await client.send(bytes((byte,)))
        assert (await client.response()).status == 200
        assert s.container.requests[0].head.remote_addr == b"192.0.2.7"


async def test_a_proxy_that_speaks_for_itself() -> None:
    async with stage(server=TRUSTED) as s:
        head = await seen(s, b"X-Forwarded-For: 192.0.2.9", before=V2_LOCAL)
        assert head.remote_addr == b"192.0.2.9"


async def test_a_second_proxy_header_is_no_request() -> None:
    async with stage(server=TRUSTED) as s:
        client = await s.connect()
        await client.send(V1 + V1 + get(b"/x"))
        assert (await client.response()).status == 400
        assert s.container.executions == 0


@pytest.mark.parametrize(
    "header", [b"PROXY TCP4 1.2.3 4.5.6.7 1 2\r\n", b"PROXY " + b"x" * 200, V2[:12] + b"\x31\x11"]
)
async def test_a_broken_proxy_header(header: bytes) -> None:
    async with stage(server=TRUSTED) as s:
        client = await s.connect()
        await client.send(header + b"\0" * 20 + get(b"/x"))
        response = await client.response()
        assert response.status == 400
        assert response.closes
        assert s.container.executions == 0


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("server", [{}, {"trusted_proxies": ("192.0.2.0/24",)}])
async def test_a_strangers_proxy_header_is_no_request(
    header: bytes, server: dict[str, Any]
) -> None:
    async with stage(server=server) as s:
        client = await s.connect()
        await client.send(header + get(b"/x"))
        assert (await client.response()).status == 400
        assert s.container.executions == 0


async def test_whoever_comes_over_a_unix_socket_may_be_trusted(tmp_path: Path) -> None:
    server = {"listen": unix_address(tmp_path / "front"), "trusted_proxies": ("unix",)}
    async with stage(server=server) as s:
        assert (await seen(s, b"X-Forwarded-For: 192.0.2.7")).remote_addr == b"192.0.2.7"
    server["trusted_proxies"] = ("127.0.0.1",)
    async with stage(server=server) as s:
        assert (await seen(s, b"X-Forwarded-For: 192.0.2.7")).remote_addr == b"127.0.0.1"


async def test_reply_timeout_of_one_request(caplog: pytest.LogCaptureFixture) -> None:
    server = {**TRUSTED, "reply_timeout_header": "x-reply-timeout"}
    async with stage(Container([never]), server=server) as s:
        client = await s.connect()
        await client.send(get(b"/x", b"X-Reply-Timeout: 100"))
        assert (await client.response()).status == 504
        assert s.container.requests[0].head.header(b"x-reply-timeout") is None
    stranger = {**server, "trusted_proxies": ("192.0.2.0/24",)}
    async with stage(server=stranger) as s:
        assert (await seen(s, b"X-Reply-Timeout: 100")).header(b"x-reply-timeout") is None


UNKNOWN = [
    b"PROXY UNKNOWN\r\n",
    V2[:12] + b"\x21\x00\0\0",
    V2[:12] + b"\x21\x31\0\xd8" + bytes(216),
]


@pytest.mark.parametrize("header", UNKNOWN, ids=["v1", "v2", "v2 Unix"])
async def test_a_client_that_nobody_knows_is_believed_nothing(header: bytes) -> None:
    """The balancer has a client, and no address for it: its headers are its own."""
    async with stage(server=TRUSTED) as s:
        head = await seen(s, b"X-Forwarded-For: 6.6.6.6", before=header)
        assert head.remote_addr == b"127.0.0.1"
        assert head.header(b"x-forwarded-for") is None
