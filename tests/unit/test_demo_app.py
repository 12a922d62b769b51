"""The demo application, asked over AJP as a front would ask it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ajp import AsyncClient, Response, serve
from ajpd import demo
from ajpd.demo import Containers, demo_application, serve_containers
from tests.unit.support import both_loops


@asynccontextmanager
async def containers(n: int = 2) -> AsyncIterator[tuple[Containers, list[AsyncClient]]]:
    running = await serve_containers(n)
    clients = [
        AsyncClient(f"127.0.0.1:{server.port}", secret=running.secret, timeout=10)
        for server in running.servers.values()
    ]
    try:
        yield running, clients
    finally:
        for client in clients:
            await client.aclose()
        await running.close()


def on_one(test: Callable[[AsyncClient], Any]) -> Callable[..., None]:
    """Run a test against one container."""

    async def run() -> None:
        async with containers(1) as (_, (client,)):
            await test(client)

    run.__name__ = test.__name__
    return both_loops(run)


def session_of(response: Response) -> str:
    match = re.fullmatch(
        r"JSESSIONID=([0-9A-F]{32}\.\w+); Path=/; HttpOnly; SameSite=Lax",
        response.headers["set-cookie"],
    )
    assert match
    return match[1]


def count_of(response: Response) -> int:
    match = re.search(r'class="count">(\d+)<', response.text)
    assert match
    return int(match[1])


@both_loops
async def test_containers_have_names_a_secret_and_ports_of_their_own() -> None:
    async with containers(3) as (running, clients):
        assert list(running.servers) == ["nodeA", "nodeB", "nodeC"]
        assert len({server.port for server in running.servers.values()}) == 3
        assert running.secret not in repr(running)
        assert len(running.secret) >= 32
        for route, client in zip(running.servers, clients, strict=True):
            assert (await client.get("/")).headers["X-Container"] == route
        port = running.servers["nodeA"].port
        async with AsyncClient(f"127.0.0.1:{port}") as stranger:
            assert (await stranger.get("/")).status == 403


@both_loops
async def test_many_containers_and_a_secret_of_ones_own() -> None:
    running = await serve_containers(27, "chosen")
    assert running.secret == "chosen"
    assert list(running.servers)[25:] == ["nodeZ", "node27"]
    await running.close(0.1)


@both_loops
async def test_containers_that_cannot_all_start(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    async def serve(*args: Any, **options: Any) -> Any:
        if started:
            raise OSError("no more ports")
        started.append(await real(*args, **options))
        return started[0]

    real = demo.serve
    monkeypatch.setattr(demo, "serve", serve)
    with pytest.raises(OSError, match="no more"):
        await serve_containers(2)
    assert started[0].sockets == ()
    monkeypatch.undo()


@on_one
async def test_start_page_leads_everywhere(client: AsyncClient) -> None:
    start = await client.get("/")
    assert start.headers["content-type"] == "text/html; charset=utf-8"
    assert "Answered by container nodeA, its request no. 1." in start.text
    links = re.findall(r'href="([^"]+)"', start.text)
    assert len(links) == 6
    # Nothing is loaded from elsewhere.
    assert "http" not in start.text
    for link in links:
        at_once = re.sub(r"ms=\d+", "ms=0", link.replace("&amp;", "&"))
        page = await client.get(at_once)
        assert page.status == (404 if link.endswith("/nowhere") else 200)
        assert page.headers["x-content-type-options"] == "nosniff"


@both_loops
async def test_start_pages_lead_to_each_other() -> None:
    async with containers(2) as (_, (a, b)):
        for client, route, other in ((a, "nodeA", "nodeB"), (b, "nodeB", "nodeA")):
            for path in ("/", f"/{route}", f"/{route}/"):
                text = (await client.get(path)).text
                assert f'href="/{other}/"' in text
                assert f'href="/{route}/session"' in text
        assert (await a.get("/nodeA/session")).status == 200
        assert (await a.get("/nodeB/session")).status == 404


@on_one
async def test_other_paths(client: AsyncClient) -> None:
    missing = await client.get("/<script>")
    assert missing.status == 404
    assert "%3Cscript%3E" in missing.text
    assert (await client.get("/session;jsessionid=0.nodeA")).status == 200


@both_loops
async def test_session_counts_where_it_began() -> None:
    async with containers() as (_, (a, b)):
        first = await a.get("/session")
        assert count_of(first) == 1
        cookie = session_of(first)
        assert cookie.endswith(".nodeA")
        headers = {"Cookie": f"theme=dark; JSESSIONID={cookie}; x=\x7b1\x7d"}
        again = await a.get("/session", headers=headers)
        assert (count_of(again), session_of(again)) == (2, cookie)
        moved = await b.get("/session", headers=headers)
        assert count_of(moved) == 1
        assert session_of(moved).endswith(".nodeB")
        assert "a session that was on nodeA" in moved.text
        forged = await a.get("/session", headers={"Cookie": "JSESSIONID=<b>.<i>"})
        assert session_of(forged) != cookie
        assert "<b>" not in forged.text
        assert "<i>" not in forged.text
        unknown = await a.get("/session", headers={"Cookie": "JSESSIONID=0.nodeA"})
        assert "a session that was here" in unknown.text


@both_loops
async def test_sessions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "MOST_SESSIONS", 3)
    async with containers(1) as (_, (client,)):
        cookies = [session_of(await client.get("/session")) for _ in range(4)]
        oldest = {"Cookie": f"JSESSIONID={cookies[0]}"}
        assert session_of(await client.get("/session", headers=oldest)) != cookies[0]
        latest = {"Cookie": f"JSESSIONID={cookies[3]}"}
        assert count_of(await client.get("/session", headers=latest)) == 2


@on_one
async def test_echo(client: AsyncClient) -> None:
    form = await client.get("/echo")
    assert '<form method="post"' in form.text
    upload = bytes(range(256)) * 4000
    known = await client.post("/echo", content=upload, headers={"Content-Type": "text/html"})
    assert known.content == upload
    assert known.headers["content-length"] == str(len(upload))
    assert known.headers["content-type"] == "text/plain; charset=utf-8"
    chunked = await client.put("/echo", content=[upload, upload])
    assert chunked.content == upload * 2
    assert "content-length" not in chunked.headers


@on_one
async def test_echo_answers_while_the_upload_goes_on(client: AsyncClient) -> None:
    go_on = asyncio.Event()

    async def upload() -> AsyncIterator[bytes]:
        yield b"first"
        await go_on.wait()
        yield b"second"

    async with client.stream("POST", "/echo", content=upload()) as response:
        pieces = response.iter_bytes()
        assert await anext(pieces) == b"first"
        go_on.set()
        assert await anext(pieces) == b"second"


@on_one
async def test_slow(client: AsyncClient) -> None:
    for query in ("?ms=0", "?ms=20"):
        answer = await client.get(f"/slow{query}")
        assert re.fullmatch(r"nodeA took \d+ ms\n", answer.text)


@pytest.mark.parametrize(
    ("query", "expected"),
    [(b"ms=5", 5), (b"ms=99999999", 50), (b"ms=-1", 7), (b"ms=%C2%B2", 7), (b"", 7), (None, 7)],
)
def test_numbers_from_the_query(query: bytes | None, expected: int) -> None:
    class Request:
        pass

    request: Any = Request()
    request.query = query
    assert demo._number(request, "ms", 7, 50) == expected


@on_one
async def test_stream(client: AsyncClient) -> None:
    async with client.stream("GET", "/stream?n=3&ms=20") as response:
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        lines = [piece async for piece in response.iter_bytes()]
    assert len(lines) == 3
    assert re.fullmatch(rb"line 2 of 3 from nodeA at \d\d:\d\d:\d\d\n", lines[1])
    events = await client.get("/stream?n=1", headers={"Accept": "text/event-stream"})
    assert events.headers["content-type"] == "text/event-stream"
    assert re.fullmatch(r"data: line 1 of 1 .*\n\n", events.text)


@on_one
async def test_dump_shows_everything_but_the_secret(client: AsyncClient) -> None:
    answer = await client.get(
        "/dump?a=%20b",
        headers=[("X-Twice", "one"), ("X-Twice", "two")],
        attributes={"JK_LB_ACTIVATION": "ACT", "remote_user": "bob", "ssl_key_size": 256},
        remote_addr="10.1.2.3",
        server_name="example.org",
        server_port=8443,
        is_ssl=True,
    )
    rows = dict(re.findall(r"^(.+?)  +(.*)$", answer.text, re.MULTILINE))
    assert rows["attribute secret"] == "(not shown)"
    assert client._containers[0].secret.decode() not in answer.text  # type: ignore[union-attr]
    assert answer.text.count("header X-Twice") == 2
    wanted = {
        "container": "nodeA",
        "uri": "/dump",
        "remote_addr": "10.1.2.3",
        "remote_host": "(null)",
        "server_name": "example.org",
        "server_port": "8443",
        "is_ssl": "true",
        "header host": "example.org:8443",
        "attribute query_string": "a=%20b",
        "attribute JK_LB_ACTIVATION": "ACT",
        "attribute remote_user": "bob",
        "attribute ssl_key_size": "256",
    }
    assert {key: rows.get(key) for key in wanted} == wanted


@both_loops
async def test_application_alone() -> None:
    async with (
        serve(demo_application("nodeX"), port=0) as server,
        AsyncClient(f"127.0.0.1:{server.port}") as client,
    ):
        assert 'href="/session"' in (await client.get("/")).text
