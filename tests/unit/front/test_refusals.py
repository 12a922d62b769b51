"""Requests that two readers could understand in two ways are refused, and nothing is forwarded."""

import logging

import pytest

from tests.faults.stage import Broken, get, post, reasons, stage

HEAD = b"GET / HTTP/1.1\r\nHost: app.example\r\n"
POST = b"POST / HTTP/1.1\r\nHost: app.example\r\n"

REFUSED: dict[str, tuple[bytes, int]] = {
    # lines
    "bare LF after the request line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "bare LF after a field": (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    "bare LF at the end": (HEAD + b"\n", 400),
    "LF LF": (b"GET / HTTP/1.1\n\n", 400),
    "bare CR in the request line": (b"GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "bare CR in a value": (HEAD + b"X: a\rb\r\n\r\n", 400),
    "bare CR before a name": (HEAD + b"\rX: a\r\n\r\n", 400),
    "folded line": (HEAD + b"X: a\r\n b\r\n\r\n", 400),
    "folded with a tab": (HEAD + b"X: a\r\n\tb\r\n\r\n", 400),
    "folded first line": (b"GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n", 400),
    "line of blanks": (HEAD + b"  \r\n\r\n", 400),
    "space before the colon": (HEAD + b"X : a\r\n\r\n", 400),
    "tab before the colon": (HEAD + b"X\t: a\r\n\r\n", 400),
    "no colon": (HEAD + b"X\r\n\r\n", 400),
    "no name": (HEAD + b": a\r\n\r\n", 400),
    "a name that is no token": (HEAD + b"X(y): a\r\n\r\n", 400),
    "a name beyond ASCII": (HEAD + b"X\xe4: a\r\n\r\n", 400),
    "zero byte in a value": (HEAD + b"X: a\0b\r\n\r\n", 400),
    "zero byte in a name": (HEAD + b"X\0: a\r\n\r\n", 400),
    "zero byte in the target": (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "escape in a value": (HEAD + b"X: \x1b[2J\r\n\r\n", 400),
    "delete in a value": (HEAD + b"X: \x7f\r\n\r\n", 400),
    "control byte in the target": (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "delete in the target": (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    # request line
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
    "no target": (b"GET HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "no version": (b"GET /\r\nHost: a\r\n\r\n", 400),
    "two spaces": (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "two spaces before the version": (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "space at the end": (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    "space at the start": (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "tabs": (b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "space in the target": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "method that is no token": (b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "empty request line": (b"\r\n" * 12, 400),
    "fragment": (b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "relative target": (b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "asterisk": (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
    "another scheme": (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "URL without a host": (b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "URL with a user": (b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "URL with a port too large": (b"GET http://a:65536/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    # versions
    "HTTP/0.9": (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    "HTTP/2.0": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/1.": (b"GET / HTTP/1.\r\nHost: a\r\n\r\n", 400),
    "HTTP/1.10": (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
    "HTTP/1.x": (b"GET / HTTP/1.x\r\nHost: a\r\n\r\n", 505),
    "HTTP/11": (b"GET / HTTP/11\r\nHost: a\r\n\r\n", 400),
    "http/1.1": (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    # Host
    "no Host": (b"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400),
    "no header at all": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (HEAD + b"Host: app.example\r\n\r\n", 400),
    "two Hosts in other letters": (HEAD + b"hOsT: other\r\n\r\n", 400),
    "Host with a path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "Host with a user": (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    "Host with a space": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "Host with a comma": (b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
    "Host with a bad port": (b"GET / HTTP/1.1\r\nHost: a:http\r\n\r\n", 400),
    "Host with a port too large": (b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400),
    "Host with a negative port": (b"GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n", 400),
    "Host with half a bracket": (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
    "Host with text behind a bracket": (b"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400),
    "Host with two ports": (b"GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", 400),
    # length
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "the same length twice": (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
    "a list of lengths": (POST + b"Content-Length: 1, 1\r\n\r\na", 400),
    "negative length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "length with a plus": (POST + b"Content-Length: +1\r\n\r\na", 400),
    "hexadecimal length": (POST + b"Content-Length: 0x1\r\n\r\na", 400),
    "length with a fraction": (POST + b"Content-Length: 1.0\r\n\r\na", 400),
    "no length in it": (POST + b"Content-Length:\r\n\r\n", 400),
    "length beyond 2^63": (POST + b"Content-Length: 9223372036854775808\r\n\r\n", 400),
    "length beyond 2^64": (POST + b"Content-Length: 18446744073709551617\r\n\r\na", 400),
    # coding
    "length and coding": (
        POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "coding and length": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
        400,
    ),
    "coding of HTTP/1.0": (
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "two codings": (POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", 400),
    "gzip, chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked, chunked": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked, identity": (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", 501),
    "xchunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "quoted chunked": (POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 501),
    "chunked with a parameter": (POST + b"Transfer-Encoding: chunked;x\r\n\r\n0\r\n\r\n", 501),
    "empty coding": (POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", 501),
    # others
    "another expectation": (POST + b"Expect: tea\r\nContent-Length: 1\r\n\r\n", 417),
    "Connection that is no list": (HEAD + b"Connection: a b\r\n\r\n", 400),
    "Connection of many names": (HEAD + b"Connection: " + b"a," * 65 + b"\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused(name: str, caplog: pytest.LogCaptureFixture) -> None:
    data, status = REFUSED[name]
    async with stage() as s:
        client = await s.connect()
        await client.send(data + get(b"/smuggled"))
        response = await client.response()
        assert response.status == status
        assert response.closes
        assert await client.at_end()
        assert s.container.executions == 0
        assert reasons(caplog, logger="ajpd.front") == ["bad_request"]


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_byte_by_byte(name: str) -> None:
    data, status = REFUSED[name]
    async with stage() as s:
        client = await s.connect()
        try:
            for at in range(len(data)):
                await client.send(data[at : at + 1])
        except ConnectionError:
            pass  # refused before the last byte
        assert (await client.response()).status == status
        assert s.container.executions == 0


#: Path, host and port as the container has to see them; port 0: that of the listener.
ACCEPTED: dict[str, tuple[bytes, bytes, bytes, int]] = {
    "plain": (get(b"/x"), b"/x", b"app.example", 0),
    "query": (get(b"/x?a=b?c"), b"/x", b"app.example", 0),
    "empty query": (get(b"/x?"), b"/x", b"app.example", 0),
    "no space behind the colon": (b"GET /x HTTP/1.1\r\nHost:a\r\n\r\n", b"/x", b"a", 0),
    "blanks around a value": (b"GET /x HTTP/1.1\r\nHost: \t a \t\r\n\r\n", b"/x", b"a", 0),
    "capitals": (b"GET /x HTTP/1.1\r\nHOST: A.Example\r\n\r\n", b"/x", b"a.example", 0),
    "port": (b"GET /x HTTP/1.1\r\nHost: a:8080\r\n\r\n", b"/x", b"a", 8080),
    "empty port": (b"GET /x HTTP/1.1\r\nHost: a:\r\n\r\n", b"/x", b"a", 0),
    "IPv6": (b"GET /x HTTP/1.1\r\nHost: [::1]:81\r\n\r\n", b"/x", b"[::1]", 81),
    "IPv6 without a port": (b"GET /x HTTP/1.1\r\nHost: [fe80::1]\r\n\r\n", b"/x", b"[fe80::1]", 0),
    "empty Host": (b"GET /x HTTP/1.1\r\nHost:\r\n\r\n", b"/x", b"127.0.0.1", 0),
    "HTTP/1.0 without Host": (b"GET /x HTTP/1.0\r\n\r\n", b"/x", b"127.0.0.1", 0),
    "HTTP/1.0 without any header": (b"HEAD / HTTP/1.0\r\n\r\n", b"/", b"127.0.0.1", 0),
    "URL": (b"GET http://b:81/x HTTP/1.1\r\nHost: a\r\n\r\n", b"/x", b"b", 81),
    "URL without a path": (b"GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", b"/", b"b", 0),
    "URL with a query alone": (b"GET http://b?x=y HTTP/1.1\r\nHost: a\r\n\r\n", b"/", b"b", 0),
    "URL in capitals": (b"GET HTTP://b/x HTTP/1.1\r\nHost: a\r\n\r\n", b"/x", b"b", 0),
    "length with zeros": (
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0003\r\n\r\nabc",
        b"/x",
        b"a",
        0,
    ),
    "CHUNKED": (
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
        b"/x",
        b"a",
        0,
    ),
    "HTTP/1.2": (b"GET /x HTTP/1.2\r\nHost: a\r\n\r\n", b"/x", b"a", 0),
    "dots": (get(b"/a/./b/../c"), b"/a/c", b"app.example", 0),
    "double slash": (get(b"//a"), b"/a", b"app.example", 0),
    "bytes beyond ASCII in a value": (
        b"GET /x HTTP/1.1\r\nHost: a\r\nX: \xe4\xf6\r\n\r\n",
        b"/x",
        b"a",
        0,
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_accepted(name: str) -> None:
    data, path, host, port = ACCEPTED[name]
    async with stage() as s:
        assert (await s.ask(data)).status == 200
        head = s.container.requests[0].head
        assert (head.uri, head.server_name) == (path, host)
        assert head.server_port == (port or s.where[1])


@pytest.mark.parametrize("host", [b"Host: evil\r\n", b"Host: evil /x\r\n", b""])
async def test_a_url_as_target_replaces_host(host: bytes) -> None:
    """RFC 9112 §3.2.2: what Host says is ignored, and no container may see it."""
    async with stage() as s:
        version = b"1.1" if host else b"1.0"
        response = await s.ask(b"GET http://b:81/x HTTP/" + version + b"\r\n" + host + b"\r\n")
        assert response.status == 200
        head = s.container.requests[0].head
        assert [value for name, value in head.headers if name.lower() == b"host"] == [b"b:81"]


async def test_bad_paths_keep_the_connection() -> None:
    async with stage() as s:
        client = await s.connect()
        for path in (b"/%", b"/%zz", b"/%2f", b"/../x", b"/%00", b"/a\\b"):
            response = await client.ask(get(path))
            assert response.status == 400, path
            assert not response.closes
        assert (await client.ask(get(b"/nowhere/x"))).status == 404
        assert (await client.ask(get(b"/x"))).status == 200
        assert s.container.executions == 1


async def test_a_page_does_not_repeat_what_the_client_sent() -> None:
    async with stage() as s:
        client = await s.connect()
        response = await client.ask(get(b"/nowhere/<script>alert(1)</script>"))
        assert b"<script>" not in response.body
        response = await client.ask(get(b"/%<b>"))
        assert b"<b>" not in response.body


async def test_404_of_head_has_no_body() -> None:
    async with stage() as s:
        client = await s.connect()
        response = await client.ask(get(b"/nowhere/x", method=b"HEAD"))
        assert response.status == 404
        assert int(response.one(b"content-length") or 0) > 0
        assert (await client.ask(get())).status == 200


# --- sizes ----------------------------------------------------------------------------------------


async def test_a_request_line_without_end() -> None:
    async with stage(server={"max_header_bytes": 2048}) as s:
        client = await s.connect()
        await client.send(b"GET /" + b"x" * 2100)
        assert (await client.response()).status == 414
        assert await client.at_end()


async def test_a_head_without_end() -> None:
    async with stage(server={"max_header_bytes": 2048}) as s:
        client = await s.connect()
        await client.send(HEAD + b"X: " + b"x" * 2100)
        assert (await client.response()).status == 431
        assert await client.at_end()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (get(b"/" + b"x" * 2100), 414),
        (get(b"/", b"X: " + b"x" * 2100), 431),
        (get(b"/", *[b"X: y"] * 400), 431),
    ],
)
async def test_a_whole_head_that_is_too_long(data: bytes, status: int) -> None:
    async with stage(server={"max_header_bytes": 2048}) as s:
        client = await s.connect()
        await client.send(data)
        assert (await client.response()).status == status
        assert s.container.executions == 0


@pytest.mark.parametrize("count", [510, 511, 512, 600])
async def test_the_number_of_headers(count: int) -> None:
    async with stage() as s:
        # And Host.
        response = await s.ask(get(b"/", *[b"a: b"] * count))
        if count > 511:
            assert response.status == 431
            assert s.container.executions == 0
        else:
            assert response.status == 200
            assert len(s.container.requests[0].head.headers) >= count + 1


async def test_headers_that_do_not_fit_into_a_packet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with stage() as s:
        client = await s.connect()
        response = await client.ask(get(b"/", b"X-Large: " + b"x" * 9000, b"X-Small: y"))
        assert response.status == 431
        assert b"X-Large (9" in response.body
        assert reasons(caplog) == ["request_too_large"]
        assert (await client.ask(get())).status == 200
        response = await client.ask(get(b"/" + b"x" * 9000))
        assert response.status == 414
        assert (await client.ask(get())).status == 200
        assert s.container.executions == 2


async def test_413_by_its_length(caplog: pytest.LogCaptureFixture) -> None:
    async with stage(server={"max_body_bytes": 1000}) as s:
        client = await s.connect()
        assert (await client.ask(post(b"x" * 1000))).status == 200
        response = await client.ask(post(b"x" * 1001))
        assert response.status == 413
        assert reasons(caplog) == ["request_too_large"]
        assert (await client.ask(get())).status == 200
        assert s.container.executions == 2


async def test_a_refused_request_with_an_expectation_is_not_continued() -> None:
    async with stage(server={"max_body_bytes": 1000}) as s:
        for line in (b"Content-Length: 2000", b"Content-Length: 10"):
            client = await s.connect()
            path = b"/nowhere/x" if line.endswith(b" 10") else b"/"
            request = get(path, line, b"Expect: 100-continue", method=b"POST")
            response = await client.ask(request)
            assert response.status == (404 if path != b"/" else 413)
            assert response.interim == []
            # Whether the client sends its body now cannot be known.
            assert response.closes
            assert await client.at_end()


async def test_end_of_the_connection_in_a_head() -> None:
    async with stage() as s:
        for at in range(1, len(get()) - 1, 7):
            client = await s.connect()
            await client.send(get()[:at])
            client.half_close()
            with pytest.raises(Broken):
                await client.response()
        assert s.container.executions == 0
