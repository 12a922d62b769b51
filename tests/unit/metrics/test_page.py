"""The answer to a scrape, as it leaves a process."""

import asyncio
import socket

import pytest

from ajpd.config.model import MetricsConfig
from ajpd.inside import Asked, Given
from ajpd.metrics import page as page_module
from ajpd.metrics.page import MetricsPage
from ajpd.metrics.text import OPENMETRICS, PLAIN, render
from tests.faults.container import Container, respond, wait
from tests.faults.stage import Client, Stage, eventually, get, stage
from tests.unit.metrics.stage import numbers_of, value

SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: h\r\nAccept: application/openmetrics-text\r\n\r\n"


async def scraper(s: Stage, *, receive_buffer: int = 0) -> Client:
    """A connection to the process's listener for metrics."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(s.process.metrics.front, "127.0.0.1", 0)
    s.process._servers.append(server)
    sock = socket.socket()
    sock.setblocking(False)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await loop.sock_connect(sock, server.sockets[0].getsockname())
    client = Client(sock)
    s.clients.append(client)
    return client


async def test_a_scrape() -> None:
    async with stage(Container(respond(b"abc"))) as s:
        client = await s.connect()
        await client.ask(get())
        fetching = await scraper(s)
        await fetching.send(SCRAPE + SCRAPE)
        for _ in range(2):
            answer = await fetching.response()
            assert answer.status == 200
            assert answer.one(b"content-type") == OPENMETRICS.encode()
            assert answer.one(b"vary") == b"Accept"
            numbers = numbers_of(answer.body.decode())
            assert value(numbers, "ajpd_front_requests_total", **{"class": "2xx"}) == 1
            assert value(numbers, "ajpd_front_connections") == 1
            assert (value(numbers, "ajpd_worker_response_bytes_total", worker="app") or 0) > 3
        await fetching.send(SCRAPE.replace(b"GET", b"HEAD"))
        head = await fetching.response(b"HEAD")
        length = head.one(b"content-length")
        assert int(length) > 1000
        # It is nobody's client.
        assert s.service.requests == 1


class Turns:
    """A pipe that notes in which turn of the loop something was pushed."""

    def __init__(self) -> None:
        self.turn = 0
        self.pushed: list[int] = []
        self.taken = b""
        self.done = asyncio.Event()
        self.is_open = True

    def tick(self) -> None:
        self.turn += 1
        if not self.done.is_set():
            asyncio.get_running_loop().call_soon(self.tick)

    def push(self, data: bytes) -> None:
        self.pushed.append(self.turn)
        self.taken += data

    def finish(self) -> None:
        self.done.set()

    def may_push(self) -> bool:
        return self.is_open

    def shall_finish(self) -> bool:
        return False


async def test_others_have_their_turn_between_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "_MOST_BYTES", 1)
    async with stage() as s:
        page = MetricsPage(MetricsConfig(), s.process.metrics.look)
        given = asked(page, headers={b"accept": (b"application/openmetrics-text",)})
        pipe = Turns()
        assert given.stream is not None
        pipe.tick()
        given.stream.begin(pipe)
        await pipe.done.wait()
        assert len(pipe.pushed) > 40
        assert len(set(pipe.pushed)) == len(pipe.pushed)
        assert value(numbers_of(pipe.taken.decode()), "ajpd_front_requests_in_flight") == 0


async def test_nothing_is_sent_to_who_has_gone() -> None:
    async with stage() as s:
        given = asked(MetricsPage(MetricsConfig(), s.process.metrics.look))
        assert given.stream is not None
        pipe = Turns()
        given.stream.begin(pipe)
        given.stream.end()
        for _ in range(5):
            await asyncio.sleep(0)
        assert pipe.pushed == []
        given.stream.end()


async def test_who_does_not_read_is_waited_for() -> None:
    async with stage() as s:
        fetching = await scraper(s, receive_buffer=4096)
        for _ in range(30):
            await fetching.send(SCRAPE)
        await eventually(lambda: any(True for _ in s.process.metrics.service.clients))
        await asyncio.sleep(0.2)
        for _ in range(30):
            answer = await fetching.response()
            assert answer.body.endswith(b"# EOF\n")


async def test_who_leaves_in_the_middle_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "_MOST_BYTES", 1)
    async with stage() as s:
        fetching = await scraper(s)
        await fetching.send(SCRAPE)
        await fetching.read(100)
        fetching.reset()
        await eventually(lambda: not s.process.metrics.service.clients)


async def test_a_scrape_under_way_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "_MOST_BYTES", 1)
    go = asyncio.Event()
    async with stage(Container([wait(go), *respond()])) as s:
        fetching, idle = await scraper(s), await scraper(s)
        await eventually(lambda: len(s.process.metrics.service.clients) == 2)
        await fetching.send(SCRAPE)
        await fetching.read(10)
        go.set()
        await s.process.stop()
        rest, was_reset = await fetching.read_all()
        assert not was_reset
        assert rest.endswith(b"# EOF\n\r\n0\r\n\r\n")
        assert await idle.at_end()


def asked(page: MetricsPage, **what: object) -> Given:
    fields = {"method": "GET", "path": b"/metrics", "remote_addr": "127.0.0.1", **what}
    return page.answer(Asked(**fields))  # type: ignore[arg-type]


async def test_refusals() -> None:
    async with stage() as s:
        look = s.process.metrics.look
        page = MetricsPage(MetricsConfig(), look)
        assert asked(page).status == 200
        assert asked(page, remote_addr="::1").status == 200
        assert asked(page, query=b"a=b").status == 200
        for far in ("10.0.0.1", "", "nonsense"):
            assert asked(page, remote_addr=far).status == 403
            assert asked(page, remote_addr=far, path=b"/").status == 403
        for path in (b"/", b"/metrics/", b"/Metrics", b"/metrics;a=b"):
            assert asked(page, path=path).status == 404
        for method in ("POST", "OPTIONS", "get"):
            given = asked(page, method=method)
            assert (given.status, given.headers) == (405, (("Allow", "GET, HEAD"),))
        head = asked(page, method="HEAD")
        assert (head.status, head.content_type, head.stream) == (200, PLAIN, None)
        # Ages move on between two looks.
        assert abs(len(head.body) - len(render(look(), openmetrics=False))) < 100
        elsewhere = MetricsPage(MetricsConfig(path="/-/m", allow=("10.0.0.0/8",)), look)
        assert asked(elsewhere, path=b"/-/m", remote_addr="10.1.2.3").status == 200
        assert asked(elsewhere, path=b"/-/m").status == 403
