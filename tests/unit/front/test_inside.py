"""Requests that the daemon answers itself: the body they bring, and what comes over time."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from ajpd.config.model import Mount
from ajpd.inside import MOST_BODY, Asked, Given, Pipe
from tests.faults.stage import Stage, eventually, stage


class Echo:
    """Answers with what was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def answer(self, asked: Asked) -> Given:
        self.asked.append(asked)
        if asked.path == b"/broken":
            raise RuntimeError("as asked for")
        if asked.path == b"/split":
            return Given(headers=(("X-A", "b\r\nSet-Cookie: c=d"),))
        return Given(status=201, body=b"<" + asked.body + b">", headers=(("X-Own", "yes"),))


class Ticker:
    """Keeps its pipes."""

    def __init__(self) -> None:
        self.pipes: list[Pipe] = []
        self.ended = 0

    def answer(self, asked: Asked) -> Given:
        return Given(content_type="text/event-stream", stream=self)

    def begin(self, pipe: Pipe) -> None:
        self.pipes.append(pipe)

    def end(self) -> None:
        self.ended += 1


def serve(s: Stage, page: object) -> None:
    s.process.service.targets["page"] = page
    s.process.service.remap(lambda path: Mount(pattern=b"/*", worker="page"))


async def test_a_page_gets_the_request() -> None:
    async with stage() as s:
        page = Echo()
        serve(s, page)
        client = await s.connect()
        await client.send(
            b"GET /a%20b;c?d=e HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nx-one: 2\r\nTE: x\r\n\r\n"
        )
        answer = await client.response()
        assert (answer.status, answer.body) == (201, b"<>")
        assert answer.one(b"x-own") == b"yes"
        (asked,) = page.asked
        assert (asked.method, asked.path, asked.query) == ("GET", b"/a%20b;c", b"d=e")
        assert asked.header(b"x-one") == "1, 2"
        assert asked.header(b"te") == ""
        assert (asked.remote_addr, asked.remote_user, asked.is_ssl) == ("127.0.0.1", None, False)
        # And the connection goes on.
        await client.send(b"HEAD /x HTTP/1.1\r\nHost: h\r\n\r\nGET /y HTTP/1.0\r\n\r\n")
        head = await client.response(b"HEAD")
        assert (head.status, head.body) == (201, b"")
        assert head.one(b"content-length") == b"2"
        assert (await client.response()).status == 201
        assert await client.at_end()


@pytest.mark.parametrize("pieces", [1, 3, 100])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_page_gets_the_whole_body(pieces: int, chunked: bool) -> None:
    body = b"a=%41&b=c+d&b=e&f=" + b"x" * 1000
    framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    whole = (
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"%s\r\n\r\n%s" % (length, framed)
    )
    async with stage() as s:
        page = Echo()
        serve(s, page)
        client = await s.connect()
        step = -(-len(whole) // pieces)
        for at in range(0, len(whole), step):
            await client.send(whole[at : at + step])
            await asyncio.sleep(0)
        assert (await client.response()).body == b"<" + body + b">"
        assert page.asked[0].form() == {"a": "A", "b": "e", "f": "x" * 1000}


async def test_a_body_that_waits_to_be_asked_for() -> None:
    async with stage() as s:
        serve(s, Echo())
        client = await s.connect()
        await client.send(
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        assert await client.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"abc")
        assert (await client.response()).body == b"<abc>"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: %d\r\n\r\n" % (MOST_BODY + 1),
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (MOST_BODY + 1, b"x" * (MOST_BODY + 1)),
    ],
)
async def test_a_body_that_is_too_long(framing: bytes) -> None:
    async with stage() as s:
        page = Echo()
        serve(s, page)
        client = await s.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: h\r\n" + framing)
        assert (await client.response()).status == 413
        assert page.asked == []


@pytest.mark.parametrize("path", [b"/broken", b"/split"])
async def test_a_page_with_an_error(path: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with stage(forgiven="ajpd.inside") as s:
        serve(s, Echo())
        client = await s.connect()
        await client.send(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % path)
        answer = await client.response()
        assert answer.status == 500
        assert answer.one(b"set-cookie") is None
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.response()).status == 201
    assert [record.name for record in caplog.records if record.levelno >= logging.ERROR] == [
        "ajpd.inside"
    ]


async def test_a_stream() -> None:
    async with stage() as s:
        page = Ticker()
        serve(s, page)
        client = await s.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await eventually(lambda: page.pipes)
        (pipe,) = page.pipes
        for piece in (b"one", b"", b"two"):
            pipe.push(piece)
        pipe.finish()
        pipe.push(b"late")
        answer = await client.response()
        assert answer.body == b"onetwo"
        assert page.ended == 1
        # Chunks say where it ends, so the connection goes on.
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        await eventually(lambda: len(page.pipes) == 2)
        page.pipes[1].push(b"three")
        page.pipes[1].finish()
        assert (await client.response()).body == b"three"


def leaves(s: Stage) -> Callable[[], bool]:
    return lambda: not s.process.service.clients


async def test_a_reader_that_leaves_a_stream() -> None:
    async with stage() as s:
        page = Ticker()
        serve(s, page)
        client = await s.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await eventually(lambda: page.pipes)
        page.pipes[0].push(b"one")
        client.reset()
        await eventually(lambda: page.ended)
        page.pipes[0].push(b"two")
        page.pipes[0].finish()
        assert page.ended == 1
        await eventually(leaves(s))
        assert s.process.service.reasons == {}


async def test_a_stream_that_nobody_reads() -> None:
    async with stage(server={"send_timeout_ms": 300}) as s:
        page = Ticker()
        serve(s, page)
        client = await s.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await eventually(lambda: page.pipes)
        pipe = page.pipes[0]
        for _ in range(1000):
            if not pipe.may_push():
                break
            pipe.push(b"x" * 65536)
            await asyncio.sleep(0)
        assert not pipe.may_push()
        await eventually(lambda: page.ended)
        await eventually(leaves(s))
