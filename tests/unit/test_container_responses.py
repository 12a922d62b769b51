"""The container side, byte for byte: responses, failures, and ends."""

import asyncio
import socket
from typing import Any

import pytest

from ajp import _codec
from ajp.channel import ContainerRequest
from ajp.constants import AttributeCode
from ajp.container import serve
from ajp.errors import EndpointClosed, LocalProtocolError
from ajp.messages import (
    Attribute,
    EndResponse,
)
from tests.unit.conversations import (
    CPING,
    CPONG,
    END_CLOSE,
    END_KEEP,
    FLUSH,
    Application,
    ask,
    body,
    chunk,
    conversation,
    head,
    post,
    request,
)
from tests.unit.support import WebServer, both_loops, until, web_server

# --- responses ----------------------------------------------------------------------------------


@both_loops
@pytest.mark.parametrize(
    ("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 205), (b"GET", 304)]
)
async def test_bodies_that_must_not_be(method: bytes, status: int) -> None:
    async def answer(request: ContainerRequest) -> None:
        await request.send_headers(status, reason="OK")
        await request.write(b"never seen")
        await request.flush()

    async with conversation(Application(answer)) as (_, peer):
        peer.send(request(method))
        await peer.expect(head(status), END_KEEP)


@both_loops
async def test_respond_announces_its_length() -> None:
    async def answer(request: ContainerRequest) -> None:
        status = int(request.uri[1:])
        await request.respond(status, [("content-length", "5")] * (status == 201), "héll")

    async with conversation(Application(answer)) as (_, peer):
        length = (b"Content-Length", b"5")
        text = "héll".encode()
        peer.send(request(uri=b"/200"))
        await peer.expect(head(200, length), chunk(text), END_KEEP)
        peer.send(request(b"HEAD", uri=b"/200"))
        await peer.expect(head(200, length), END_KEEP)
        peer.send(request(uri=b"/201"))
        await peer.expect(head(201, length, reason=b"Created"), chunk(text), END_KEEP)
        peer.send(request(uri=b"/304"))
        await peer.expect(head(304, reason=b"Not Modified"), END_KEEP)
        peer.send(request(uri=b"/599"))
        await peer.expect(head(599, length, reason=b"599"), chunk(text), END_KEEP)


@both_loops
async def test_data_is_split_into_packets() -> None:
    async def answer(request: ContainerRequest) -> None:
        await request.send_headers(200)
        await request.write(memoryview(b"x" * 20000))

    async with conversation(Application(answer)) as (_, peer):
        peer.send(request())
        await peer.expect(head(200), chunk(b"x" * 8184), chunk(b"x" * 8184))
        await peer.expect(chunk(b"x" * 3632), END_KEEP)


@both_loops
async def test_flush_reaches_the_web_server_before_the_end() -> None:
    go_on = asyncio.Event()

    async def answer(request: ContainerRequest) -> None:
        await request.send_headers(200)
        await request.write(b"hello")
        await request.flush()
        await go_on.wait()
        await request.write(bytes(3))

    async with conversation(Application(answer)) as (_, peer):
        peer.send(request())
        await peer.expect(head(200), chunk(b"hello"), FLUSH)
        go_on.set()
        await peer.expect(chunk(bytes(3)), END_KEEP)


@both_loops
async def test_what_is_written_leaves_without_a_flush() -> None:
    go_on = asyncio.Event()

    async def answer(request: ContainerRequest) -> None:
        await request.send_headers(200)
        await request.write(b"hello")
        await go_on.wait()

    async with conversation(Application(answer)) as (_, peer):
        peer.send(request())
        await peer.expect(head(200), chunk(b"hello"))
        go_on.set()
        await peer.expect(END_KEEP)


@both_loops
async def test_writer_waits_for_a_slow_web_server() -> None:
    written = 0

    async def answer(request: ContainerRequest) -> None:
        nonlocal written
        await request.send_headers(200)
        for _ in range(2000):
            await request.write(b"x" * 8184)
            written += 8184

    application = Application(answer)
    async with conversation(application) as (_, peer):
        peer.send(request())
        await application.began.wait()
        before = -1
        while before != written:
            before = written
            await asyncio.sleep(0.05)
        assert written < 2000 * 8184
        await peer.expect(head(200), *[chunk(b"x" * 8184)] * 2000, END_KEEP)


# --- failures -----------------------------------------------------------------------------------

FAILED = head(500, (b"Content-Length", b"0"), reason=b"Internal Server Error")


@both_loops
async def test_handler_that_fails_before_the_headers(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: ContainerRequest) -> None:
        raise RuntimeError("no luck today")

    async with conversation(Application(fail)) as (_, peer):
        peer.send(post(3), body(b"abc"), request())
        await peer.expect(FAILED, END_CLOSE)
    assert "no luck today" in caplog.text


@both_loops
async def test_connection_survives_a_failed_handler() -> None:
    async def fail(request: ContainerRequest) -> None:
        raise RuntimeError("no luck today")

    async with conversation(Application(fail)) as (_, peer):
        for _ in range(2):
            peer.send(post(3), body(b"abc"))
            await peer.expect(FAILED, END_KEEP)


@both_loops
async def test_handler_that_fails_after_the_headers() -> None:
    async def fail(request: ContainerRequest) -> None:
        await request.send_headers(200)
        await request.write(b"half")
        raise RuntimeError("no luck today")

    async with conversation(Application(fail)) as (_, peer):
        peer.send(request())
        await peer.expect(head(200), chunk(b"half"))
        await peer.expect_close()


@both_loops
async def test_handler_that_answers_nothing() -> None:
    async def nothing(request: ContainerRequest) -> None:
        pass

    async with conversation(Application(nothing)) as (_, peer):
        peer.send(request())
        await peer.expect(FAILED, END_KEEP)


@both_loops
async def test_handler_that_is_cancelled_from_within() -> None:
    async def cancelled(request: ContainerRequest) -> None:
        raise asyncio.CancelledError

    async with conversation(Application(cancelled)) as (_, peer):
        peer.send(request())
        await peer.expect(FAILED, END_KEEP)


@both_loops
async def test_handler_that_fails_as_a_gateway() -> None:
    async def fail(request: ContainerRequest) -> None:
        raise EndpointClosed("the one behind us closed")

    async with conversation(Application(fail)) as (_, peer):
        peer.send(request())
        await peer.expect(head(502, (b"Content-Length", b"0"), reason=b"Bad Gateway"), END_KEEP)


@both_loops
async def test_less_body_than_announced_is_no_complete_response() -> None:
    async def answer(request: ContainerRequest) -> None:
        await request.send_headers(200, [("Content-Length", "10")])
        await request.write(b"short")

    async with conversation(Application(answer)) as (_, peer):
        peer.send(request())
        await peer.expect(head(200, (b"Content-Length", b"10")), chunk(b"short"))
        await peer.expect_close()


@both_loops
async def test_more_body_than_announced_is_refused() -> None:
    async def answer(request: ContainerRequest) -> None:
        await request.send_headers(200, [("Content-Length", "3")])
        await request.write(b"long")

    application = Application(answer)
    async with conversation(application) as (_, peer):
        peer.send(request())
        await peer.expect(head(200, (b"Content-Length", b"3")))
        await peer.expect_close()
    assert isinstance(application.failures[0], LocalProtocolError)


@both_loops
async def test_headers_that_do_not_fit() -> None:
    async def answer(request: ContainerRequest) -> None:
        with pytest.raises(LocalProtocolError):
            await request.send_headers(200, [("X", "y" * 9000)])
        assert not request.is_started
        await request.send_headers(200)
        assert request.is_started

    async with conversation(Application(answer)) as (_, peer):
        peer.send(request())
        await peer.expect(head(200), END_KEEP)


@both_loops
async def test_wrong_order_is_the_applications_fault() -> None:
    async def answer(request: ContainerRequest) -> None:
        with pytest.raises(LocalProtocolError):
            await request.write(b"before the headers")
        await request.send_headers(200)
        with pytest.raises(LocalProtocolError):
            await request.send_headers(200)

    async with conversation(Application(answer)) as (_, peer):
        peer.send(request())
        await peer.expect(head(200), END_KEEP)


# --- web servers that leave ---------------------------------------------------------------------


@both_loops
async def test_reader_is_told_that_the_web_server_left() -> None:
    application = Application.reading()
    async with conversation(application) as (server, peer):
        peer.send(post(10000), body(b"a" * 8186))
        await peer.expect(ask(1814))
        await peer.close()
        await application.ended.wait()
        await until(lambda: server.connections == 0)
    assert [type(failure) for failure in application.failures] == [EndpointClosed]


@both_loops
async def test_handler_that_waits_elsewhere_is_cancelled() -> None:
    async def wait(request: ContainerRequest) -> None:
        await asyncio.Event().wait()

    application = Application(wait)
    async with conversation(application) as (server, peer):
        peer.send(request())
        await application.began.wait()
        assert server.busy == 1
        await peer.close()
        await application.ended.wait()
        await until(lambda: server.connections == 0)
    assert [type(failure) for failure in application.failures] == [asyncio.CancelledError]


@both_loops
async def test_handler_that_waits_for_the_end_is_not_cancelled() -> None:
    async def wait(request: ContainerRequest) -> None:
        await request.disconnected()
        for call in (request.write(b""), request.send_headers(200), request.flush()):
            with pytest.raises(EndpointClosed):
                await call

    application = Application(wait)
    async with conversation(application) as (_, peer):
        peer.send(request())
        await application.began.wait()
        await peer.close()
        await application.ended.wait()
    assert application.failures == []


@both_loops
async def test_writer_is_told_that_the_web_server_left() -> None:
    async def write(request: ContainerRequest) -> None:
        await request.send_headers(200)
        while True:
            await request.write(b"x" * 65536)

    application = Application(write)
    async with conversation(application) as (server, peer):
        peer.send(request())
        await peer.expect(head(200))
        peer.writer.transport.abort()
        await application.ended.wait()
        await until(lambda: server.connections == 0)
    assert [type(failure) for failure in application.failures] == [EndpointClosed]


@both_loops
async def test_request_of_a_web_server_that_already_left() -> None:
    async with serve(Application(), port=0) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(request())
        async with web_server(server.port) as peer:
            peer.send(CPING)
            await peer.expect(CPONG)
        await until(lambda: server.connections == 0)


@both_loops
async def test_ping_of_one_that_says_nothing_more() -> None:
    async with conversation(Application()) as (_, peer):
        peer.send(CPING)
        peer.writer.write_eof()
        await peer.expect(CPONG)
        await peer.expect_close()


# --- time ---------------------------------------------------------------------------------------


@both_loops
async def test_idle_connections_are_closed() -> None:
    async with conversation(Application(), idle_timeout=0.05) as (_, peer):
        peer.send(CPING)
        await peer.expect(CPONG)
        await peer.expect_close()


@both_loops
async def test_packet_that_stops_in_the_middle() -> None:
    async with conversation(Application(), packet_timeout=0.05) as (_, peer):
        await peer.expect_silence()
        peer.send(request()[:10])
        await peer.expect_close()


# --- the server ---------------------------------------------------------------------------------


@both_loops
async def test_close_waits_for_running_handlers() -> None:
    go_on = asyncio.Event()

    async def wait(request: ContainerRequest) -> None:
        await go_on.wait()
        await request.send_headers(200)

    application = Application(wait)
    server = await serve(application, port=0)
    async with web_server(server.port) as busy, web_server(server.port) as idle:
        busy.send(request())
        await application.began.wait()
        closing = asyncio.ensure_future(server.close(grace=5))
        await asyncio.sleep(0)
        go_on.set()
        await busy.expect(head(200), END_CLOSE)
        await busy.close()
        await closing
        await idle.expect_close()
    await until(lambda: server.connections == 0)
    assert application.failures == []
    assert server.sockets == ()
    assert server.port == 0


@both_loops
async def test_close_without_grace_cancels() -> None:
    async def wait(request: ContainerRequest) -> None:
        await asyncio.Event().wait()

    application = Application(wait)
    server = await serve(application, port=0)
    async with web_server(server.port) as peer:
        peer.send(request())
        await application.began.wait()
        await server.close()
        await peer.expect_close()
    assert [type(failure) for failure in application.failures] == [asyncio.CancelledError]


@both_loops
async def test_unix_socket(tmp_path: Any) -> None:
    path = str(tmp_path / "ajp.sock")
    server = await serve(Application(), path=path)
    assert server.port == 0
    assert repr(server) == f"<Server {path} connections=0 busy=0>"
    peer = WebServer(*await asyncio.open_unix_connection(path))
    peer.send(CPING)
    await peer.expect(CPONG)
    await server.close()
    await peer.expect_close()
    await peer.close()
    assert not (tmp_path / "ajp.sock").exists()


@both_loops
async def test_larger_packets() -> None:
    application = Application.reading()
    async with conversation(application, max_packet_size=65536) as (_, peer):
        peer.send(post(65530), b"\x12\x34" + (65532).to_bytes(2) + (65530).to_bytes(2))
        peer.send(b"z" * 65530)
        await peer.expect(head(200), END_KEEP)
    assert application.bodies == [b"z" * 65530]


@pytest.mark.parametrize(
    "options", [{"max_packet_size": 8191}, {"max_packet_size": 65537}, {"secret": ""}], ids=str
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        serve(Application.plain, **options)  # type: ignore[arg-type]


@both_loops
async def test_convenience_and_repr() -> None:
    shown: list[object] = []

    async def look(request: ContainerRequest) -> None:
        shown.extend((request.method, request.uri, request.query, request.headers))
        shown.extend((request.header("HOST"), request.header(b"x-none"), repr(request)))
        await request.send_headers(202)
        shown.append(repr(request))

    async with conversation(Application(look)) as (_, peer):
        attributes = (Attribute(AttributeCode.QUERY_STRING, b"a=1"),)
        peer.send(request(b"PATCH", b"/p", ((b"host", b"h"),), attributes))
        await peer.expect(head(202, reason=b"Accepted"), _codec.encode(EndResponse(reuse=True)))
    assert shown == [
        *(b"PATCH", b"/p", b"a=1", ((b"host", b"h"),), b"h", None),
        "<ContainerRequest b'PATCH' b'/p' status=None>",
        "<ContainerRequest b'PATCH' b'/p' status=202>",
    ]
