"""The container side, byte for byte: pings, request bodies, admission."""

import asyncio
import re

import pytest

from ajp import _codec
from ajp.channel import ContainerRequest
from ajp.constants import AttributeCode
from ajp.errors import EndpointTimeout, RemoteProtocolError
from ajp.messages import (
    Attribute,
)
from tests.unit.conversations import (
    ASK_FULL,
    CPING,
    CPONG,
    END_CLOSE,
    END_KEEP,
    EOF_LONG,
    EOF_SHORT,
    FLUSH,
    REFUSED_400,
    REFUSED_403,
    Application,
    ask,
    body,
    chunk,
    conversation,
    head,
    post,
    push,
    request,
)
from tests.unit.support import WebServer, both_loops

# --- pings and plain requests -------------------------------------------------------------------


@both_loops
async def test_cping_is_answered_by_five_bytes() -> None:
    async with conversation(Application()) as (_, peer):
        for _ in range(3):
            peer.send(CPING)
            assert await peer.reader.read(100) == CPONG


@both_loops
async def test_connection_is_kept_and_pings_go_between_requests() -> None:
    application = Application()
    async with conversation(application) as (server, peer):
        for _ in range(3):
            peer.send(CPING)
            await peer.expect(CPONG)
            peer.send(request())
            await peer.expect(head(200), END_KEEP)
        assert server.connections == 1
    assert application.requests == [b"/"] * 3


@both_loops
async def test_request_may_come_byte_by_byte() -> None:
    application = Application.reading()
    async with conversation(application) as (_, peer):
        for i in range(len(post(3))):
            peer.send(post(3)[i : i + 1])
            await asyncio.sleep(0)
        peer.send(body(b"abc"))
        await peer.expect(head(200), END_KEEP)
    assert application.bodies == [b"abc"]


@both_loops
async def test_small_answer_leaves_in_one_write() -> None:
    async def answer(request: ContainerRequest) -> None:
        await request.respond(200, [("X", "y")], "hello")

    async with conversation(Application(answer)) as (_, peer):
        peer.send(request())
        whole = head(200, (b"X", b"y"), (b"Content-Length", b"5")) + chunk(b"hello") + END_KEEP
        assert await peer.reader.read(1000) == whole


@both_loops
async def test_ping_behind_a_request_waits_for_its_end() -> None:
    go_on = asyncio.Event()

    async def wait(request: ContainerRequest) -> None:
        await go_on.wait()
        await request.send_headers(200)

    async with conversation(Application(wait)) as (_, peer):
        peer.send(request(), CPING)
        await peer.expect_silence()
        go_on.set()
        await peer.expect(head(200), END_KEEP, CPONG)


# --- request bodies -----------------------------------------------------------------------------


@both_loops
async def test_length_zero_asks_for_nothing() -> None:
    application = Application.reading()
    async with conversation(application) as (_, peer):
        peer.send(request())
        await peer.expect(head(200), END_KEEP)
    assert application.bodies == [b""]


@both_loops
async def test_known_length_is_asked_for_to_the_byte() -> None:
    application = Application.reading()
    async with conversation(application) as (_, peer):
        peer.send(post(10000), body(b"a" * 8186))
        await peer.expect(ask(1814))
        peer.send(body(b"b" * 1814))
        await peer.expect(head(200), END_KEEP)
    assert application.bodies == [b"a" * 8186 + b"b" * 1814]


@both_loops
@pytest.mark.parametrize("end", [EOF_LONG, EOF_SHORT], ids=["six bytes", "four bytes"])
async def test_unknown_length_ends_by_an_end_packet(end: bytes) -> None:
    application = Application.reading()
    async with conversation(application) as (_, peer):
        peer.send(push())
        await peer.expect(ASK_FULL)
        peer.send(body(b"hello"))
        await peer.expect(ASK_FULL)
        peer.send(end)
        await peer.expect(head(200), END_KEEP)
    assert application.bodies == [b"hello"]


@both_loops
async def test_read_in_pieces_and_by_iteration() -> None:
    pieces: list[bytes] = []

    async def read(request: ContainerRequest) -> None:
        pieces.append(await request.read(0))
        pieces.append(await request.read(2))
        pieces.append(await request.read(100))
        pieces.append(await request.read(1))
        async for piece in request:
            pieces.append(piece)
        pieces.append(await request.read(1))
        await request.send_headers(200)

    async with conversation(Application(read)) as (_, peer):
        peer.send(post(8), body(b"abcd"))
        await peer.expect(ask(4))
        peer.send(body(b"efgh"))
        await peer.expect(head(200), END_KEEP)
    assert pieces == [b"", b"ab", b"cd", b"e", b"fgh", b""]


@both_loops
async def test_unread_body_is_swallowed() -> None:
    application = Application()
    async with conversation(application) as (_, peer):
        peer.send(post(9), body(b"test-data"))
        await peer.expect(head(200), END_KEEP)
        peer.send(request(uri=b"/next"))
        await peer.expect(head(200), END_KEEP)
    assert application.requests == [b"/up", b"/next"]


@both_loops
async def test_answer_to_an_outstanding_ask_is_swallowed() -> None:
    async def give_up(request: ContainerRequest) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await request.read()
        await request.send_headers(200)

    async with conversation(Application(give_up)) as (_, peer):
        peer.send(push())
        await peer.expect(ASK_FULL, head(200))
        await peer.expect_silence()
        peer.send(body(b"hello"))
        await peer.expect(END_KEEP)


@both_loops
async def test_owed_packet_that_never_comes_closes() -> None:
    async with conversation(Application(), packet_timeout=0.05) as (_, peer):
        peer.send(post(9))
        await peer.expect(head(200), END_CLOSE)
        await peer.expect_close()


@both_loops
async def test_reader_of_an_owed_packet_that_never_comes() -> None:
    application = Application.reading()
    async with conversation(application, packet_timeout=0.05) as (_, peer):
        peer.send(post(9))
        refusal = head(408, (b"Content-Length", b"0"), reason=b"Request Timeout")
        await peer.expect(refusal, END_CLOSE)
        await peer.expect_close()
    assert isinstance(application.failures[0], EndpointTimeout)


@both_loops
async def test_end_before_the_announced_length() -> None:
    application = Application.reading()
    async with conversation(application) as (_, peer):
        peer.send(post(10000), body(b"a" * 8186))
        await peer.expect(ask(1814))
        peer.send(EOF_LONG)
        await peer.expect(REFUSED_400, END_CLOSE)
        await peer.expect_close()
    (failure,) = application.failures
    assert isinstance(failure, RemoteProtocolError)
    assert failure.code == "E_BODY_SHORT"


@both_loops
async def test_broken_body_that_nobody_read() -> None:
    async with conversation(Application()) as (_, peer):
        peer.send(post(9), EOF_LONG)
        await peer.expect(head(200), END_CLOSE)
        await peer.expect_close()


@both_loops
async def test_broken_body_after_the_headers() -> None:
    async def answer(request: ContainerRequest) -> None:
        await request.send_headers(200)
        await request.flush()
        await request.read()

    async with conversation(Application(answer)) as (_, peer):
        peer.send(post(9), EOF_LONG)
        await peer.expect(head(200), FLUSH)
        await peer.expect_close()


@both_loops
async def test_body_that_looks_like_a_request_stays_a_body() -> None:
    smuggled = request(b"GET", b"/admin")
    application = Application()
    async with conversation(application) as (_, peer):
        # Its inner length begins with 02, like a FORWARD_REQUEST.
        data = (smuggled * 20)[:514]
        assert body(data)[4] == 2
        peer.send(post(514), body(data))
        await peer.expect(head(200), END_KEEP)
        await peer.expect_silence()
    assert application.requests == [b"/up"]


@both_loops
async def test_body_nobody_asked_for_ends_the_connection() -> None:
    application = Application()
    async with conversation(application) as (_, peer):
        peer.send(push(), request(uri=b"/admin"))
        await peer.expect(head(200), END_CLOSE)
        await peer.expect_close()
    assert application.requests == [b"/up"]


@both_loops
async def test_reading_behind_bytes_nobody_asked_for() -> None:
    application = Application.reading()
    async with conversation(application) as (_, peer):
        peer.send(push(), body(b"x" * 518))
        refusal = head(400, (b"Content-Length", b"0"), reason=b"Bad Request")
        await peer.expect(refusal, END_CLOSE)
        await peer.expect_close()
    assert isinstance(application.failures[0], RemoteProtocolError)


async def flooding(peer: WebServer) -> None:
    while True:
        peer.send(b"\x12\x34" + bytes(65534))
        await peer.writer.drain()


@both_loops
async def test_flood_is_not_taken_in() -> None:
    go_on = asyncio.Event()

    async def wait(request: ContainerRequest) -> None:
        await go_on.wait()
        await request.send_headers(200)

    async with conversation(Application(wait)) as (_, peer):
        peer.send(push())
        flood = asyncio.ensure_future(flooding(peer))
        await asyncio.wait([flood], timeout=0.2)
        assert not flood.done()
        flood.cancel()
        assert peer.writer.transport.get_write_buffer_size() > 0
        go_on.set()
        await peer.expect(head(200), END_CLOSE)
        peer.writer.transport.abort()


# --- admission ----------------------------------------------------------------------------------


@both_loops
@pytest.mark.parametrize(
    "sent",
    [(), (Attribute(AttributeCode.SECRET, b"WRONG"),), (Attribute(AttributeCode.SECRET, b""),)],
    ids=["none", "wrong", "empty"],
)
async def test_bad_secrets_are_refused_alike(sent: tuple[Attribute, ...]) -> None:
    application = Application()
    async with conversation(application, secret="RIGHT") as (_, peer):
        peer.send(CPING)
        await peer.expect(CPONG)
        peer.send(request(b"POST", headers=((b"content-length", b"3"),), attributes=sent))
        peer.send(body(b"abc"))
        await peer.expect(REFUSED_403, END_CLOSE)
        await peer.expect_close()
    assert application.requests == []


@both_loops
async def test_right_secret_is_admitted() -> None:
    async with conversation(Application(), secret=b"RIGHT") as (_, peer):
        peer.send(request(attributes=(Attribute(AttributeCode.SECRET, b"RIGHT"),)))
        await peer.expect(head(200), END_KEEP)


def named(name: bytes) -> bytes:
    return request(attributes=(Attribute(AttributeCode.REQ_ATTRIBUTE, b"v", name),))


@both_loops
async def test_unknown_attribute_is_refused() -> None:
    application = Application()
    async with conversation(application) as (_, peer):
        peer.send(named(b"javax.servlet.include.path_info"))
        await peer.expect(REFUSED_403, END_CLOSE)
        await peer.expect_close()
    assert application.requests == []


@both_loops
@pytest.mark.parametrize("pattern", [r"SHIB_\w+", re.compile(r"SHIB_\w+")], ids=["text", "regex"])
async def test_attributes_that_are_allowed(pattern: str | re.Pattern[str]) -> None:
    seen: list[dict[bytes, bytes | None]] = []

    async def look(request: ContainerRequest) -> None:
        seen.append(request.attributes)
        await request.send_headers(200)

    names = [
        b"AJP_REMOTE_PORT",
        b"JK_LB_ACTIVATION",
        b"jakarta.servlet.request.cipher_suite",
        b"javax.servlet.request.X509Certificate",
        b"SHIB_user",
    ]
    async with conversation(Application(look), allowed_attributes=pattern) as (_, peer):
        for name in names:
            peer.send(named(name))
            await peer.expect(head(200), END_KEEP)
        peer.send(named(b"SHIB_user.evil"))
        await peer.expect(REFUSED_403, END_CLOSE)
    assert seen == [{name: b"v"} for name in names]


@both_loops
async def test_invalid_request_is_answered_before_the_close() -> None:
    # Two content-lengths, which the encoder would refuse.
    packet = bytearray(request(headers=((b"content-length", b"9"), (b"content-lengtX", b"9"))))
    packet = packet.replace(b"content-lengtX", b"content-length")
    application = Application()
    async with conversation(application) as (_, peer):
        peer.send(bytes(packet))
        await peer.expect(REFUSED_400, END_CLOSE)
        await peer.expect_close()
    assert application.requests == []


@both_loops
async def test_too_many_headers() -> None:
    many = tuple((b"x-%d" % i, b"") for i in range(3))
    async with conversation(Application(), max_headers=2) as (_, peer):
        peer.send(request(headers=many))
        await peer.expect(REFUSED_400, END_CLOSE)


@both_loops
async def test_packet_declared_too_large() -> None:
    async with conversation(Application()) as (_, peer):
        peer.send(b"\x12\x34\x1f\xfd", bytes(100000))
        await peer.expect(REFUSED_400, END_CLOSE)
        await peer.expect_close()


@both_loops
@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        CPONG,
        _codec.SHUTDOWN,
        _codec.PING,
        b"\x12\x34\x00\x00",
        b"\x12\x34\x00\x01\x63",
    ],
    ids=["http", "magic", "shutdown", "ping", "empty", "type"],
)
async def test_garbage_is_closed_without_a_word(noise: bytes) -> None:
    async with conversation(Application()) as (_, peer):
        peer.send(noise)
        await peer.expect_close()
