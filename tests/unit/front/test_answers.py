"""What of a container's answer reaches the client, and in which form."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from ajpd.config.model import ListenAddress
from tests.faults.container import (
    END,
    FLUSH,
    Container,
    chunk,
    echo,
    headers,
    packet,
    raw_headers,
    respond,
    send,
    wait,
)
from tests.faults.stage import get, post, stage, unix_address


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("status", [200, 204, 205, 299, 301, 304, 404, 500, 599, 999])
async def test_statuses(status: int, method: bytes) -> None:
    script = [send(headers(status, (b"X-One", b"1")) + chunk(b"body") + END)]
    async with stage(Container(script)) as s:
        client = await s.connect()
        for _ in range(2):
            response = await client.ask(get(method=method))
            assert response.status == status
            assert response.one(b"x-one") == b"1"
            if method == b"HEAD" or status in (204, 304):
                assert response.body == b""
                assert response.framing == "none"
            else:
                assert response.body == (b"body" if status != 205 else b"")


@pytest.mark.parametrize("status", [204, 205, 304])
async def test_a_length_where_there_is_no_body(status: int) -> None:
    script = [send(headers(status, (b"Content-Length", b"5")) + END)]
    async with stage(Container(script)) as s:
        client = await s.connect()
        for _ in range(2):
            response = await client.ask(get())
            assert response.status == status
            assert response.body == b""
            assert response.one(b"content-length") == (b"0" if status == 205 else None)


async def test_head_keeps_the_length() -> None:
    async with stage(Container([send(headers(200, (b"Content-Length", b"12345")) + END)])) as s:
        client = await s.connect()
        for _ in range(2):
            response = await client.ask(get(method=b"HEAD"))
            assert response.one(b"content-length") == b"12345"


@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"Keep-Alive",
        b"Proxy-Connection",
        b"Transfer-Encoding",
        b"TE",
        b"Trailer",
        b"Upgrade",
        b"tRANSFER-eNCODING",
    ],
)
async def test_what_belongs_to_the_hop_is_dropped(name: bytes) -> None:
    script = [send(headers(200, (name, b"x, close, chunked"), (b"X-One", b"1")) + END)]
    async with stage(Container(script)) as s:
        client = await s.connect()
        for _ in range(2):
            response = await client.ask(get())
            assert response.one(b"x-one") == b"1"
            assert response.one(b"transfer-encoding") == b"chunked"
            if name.lower() != b"transfer-encoding":
                assert response.one(name.lower()) is None


async def test_what_belongs_to_the_hop_is_not_forwarded() -> None:
    async with stage() as s:
        await s.ask(
            get(
                b"/",
                b"Connection: X-Mine, keep-alive, Host, Content-Length",
                b"X-Mine: 1",
                b"X-Yours: 2",
                b"Keep-Alive: 5",
                b"TE: trailers",
                b"Upgrade: h2c",
                b"Proxy-Connection: x",
                b"Trailer: X",
            )
        )
        names = [name.lower() for name, _ in s.container.requests[0].head.headers]
        assert sorted(names) == [b"content-length", b"host", b"x-yours"]


async def test_headers_keep_order_and_number() -> None:
    cookies = [(b"Set-Cookie", b"c%d=%d" % (n, n)) for n in range(5)]
    async with stage(Container(respond(b"", 200, *cookies, (b"X-Empty", b"")))) as s:
        response = await s.ask(get())
        assert response.all(b"set-cookie") == [value for _, value in cookies]
        assert response.one(b"x-empty") == b""


@pytest.mark.parametrize("given", [True, False])
async def test_date_is_there_once(given: bool) -> None:
    fields = [(b"Date", b"Thu, 01 Jan 1970 00:00:00 GMT")] if given else []
    async with stage(Container(respond(b"", 200, *fields))) as s:
        date = (await s.ask(get())).one(b"date")
        assert (date == b"Thu, 01 Jan 1970 00:00:00 GMT") is given
        assert date


@pytest.mark.parametrize(
    ("sent", "phrase"),
    [
        (b"", b"Not Found"),
        (b"404", b"Not Found"),
        (b"Nothing Here", b"Nothing Here"),
        (b"tab\there", b"Not Found"),
        (b"\x1b[2J", b"Not Found"),
    ],
)
async def test_phrases(sent: bytes, phrase: bytes) -> None:
    text = len(sent).to_bytes(2) + sent + b"\0"
    script = [send(packet(b"\x04\x01\x94" + text + b"\0\0") + END)]
    async with stage(Container(script)) as s:
        response = await s.ask(get())
        assert (response.status, response.reason) == (404, phrase)


async def test_the_same_length_twice_is_one() -> None:
    twice = raw_headers(200, (b"Content-Length", b"4"), (b"content-length", b"4"))
    async with stage(Container([send(twice + chunk(b"body") + END)])) as s:
        response = await s.ask(get())
        assert response.all(b"content-length") == [b"4"]
        assert response.body == b"body"


async def test_what_was_flushed_arrives_before_the_end() -> None:
    go = asyncio.Event()
    script = [send(headers(200) + chunk(b"first") + FLUSH), wait(go), send(chunk(b"last") + END)]
    async with stage(Container(script)) as s:
        client = await s.connect()
        await client.send(get())
        while b"first" not in client.buffer:
            await client.more()
        go.set()
        assert (await client.response()).body == b"firstlast"


async def test_a_head_of_the_largest_packet() -> None:
    fields = [(b"X-%d" % n, b"y" * 70) for n in range(90)]
    async with stage(Container(respond(b"fine", 200, *fields))) as s:
        response = await s.ask(get())
        assert [value for name, value in response.headers if name.startswith(b"x-")] == [
            b"y" * 70
        ] * 90


@pytest.mark.parametrize(
    "method",
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH", b"PROPFIND",
     b"get", b"X-OWN", b"M-SEARCH"],
)  # fmt: skip
async def test_methods(method: bytes) -> None:
    async with stage() as s:
        client = await s.connect()
        assert (await client.ask(get(method=method))).status == 200
        assert s.container.requests[0].head.method == method


async def test_what_the_container_is_told() -> None:
    async with stage(worker={"secret": b"s3cret"}) as s:
        client = await s.connect()
        await client.ask(get(b"/a?b=c", b"Cookie: d=e", b"X-Own: f"))
        head = s.container.requests[0].head
        here = client.sock.getsockname()
        assert head.remote_addr == here[0].encode()
        assert head.request_attributes[b"AJP_REMOTE_PORT"] == b"%d" % here[1]
        assert head.request_attributes[b"AJP_LOCAL_ADDR"] == b"127.0.0.1"
        assert head.secret == b"s3cret"
        assert head.uri == b"/a"
        assert b"b=c" in [attribute.value for attribute in head.attributes]
        assert (head.header(b"cookie"), head.header(b"x-own")) == (b"d=e", b"f")
        assert head.header(b"content-length") == b"0"
        assert not head.is_ssl


# --- listeners ------------------------------------------------------------------------------------


async def test_unix_listener(tmp_path: Path) -> None:
    path = tmp_path / "http"
    async with stage(Container(echo()), server={"listen": unix_address(path)}) as s:
        client = await s.connect()
        assert (await client.ask(post(b"body", b"/u"))).body == b"POST /u body"
        assert s.container.requests[0].head.remote_addr == b"127.0.0.1"
    assert not path.exists()


async def test_ipv6_listener() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    listen: dict[str, Any] = {"listen": (ListenAddress(host="::1", port=0),)}
    async with stage(server=listen) as s:
        client = await s.connect()
        assert (await client.ask(get())).status == 200
        head = s.container.requests[0].head
        assert head.remote_addr == b"::1"
        assert head.request_attributes[b"AJP_LOCAL_ADDR"] == b"::1"


# --- splits ---------------------------------------------------------------------------------------


async def test_a_request_split_at_every_byte() -> None:
    requests = {
        "get": get(b"/a?b", b"X: y"),
        "length": post(b"0123456789", b"/b"),
        "chunked": get(b"/c", b"Transfer-Encoding: chunked", method=b"POST")
        + b"3\r\nabc\r\n2;e\r\nde\r\n0\r\nT: u\r\n\r\n",
        "empty lines": b"\r\n\r\n" + get(b"/d"),
    }
    async with stage(Container(echo())) as s:
        client = await s.connect()
        for name, request in requests.items():
            expected = (await client.ask(request)).body
            for at in range(1, len(request)):
                await client.send(request[:at])
                # The front has read the first part before the second comes.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                await client.send(request[at:])
                assert (await client.response()).body == expected, (name, at)
        heads = {(seen.head.uri, seen.head.headers, seen.body) for seen in s.container.requests}
        assert len(heads) == len(requests)
