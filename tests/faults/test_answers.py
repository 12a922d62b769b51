"""What a client gets when a container fails in the middle of an exchange, for each kind of request.

A connection of a client that got a page stays usable; an answer that cannot be completed is
recognisable as broken; nothing that may have been executed is executed again unless that is safe.
"""

import asyncio
from dataclasses import dataclass

import pytest

from tests.faults.container import (
    CPONG,
    END,
    FLUSH,
    Container,
    Script,
    Step,
    chunk,
    cut,
    get_body,
    headers,
    packet,
    raw_headers,
    read_body,
    reset,
    respond,
    send,
    slowly,
    wait,
    whole,
)
from tests.faults.stage import (
    Broken,
    get,
    post,
    post_chunked,
    reasons,
    retried,
    stage,
    within,
)

REQUESTS = {
    "GET": get(b"/x"),
    "HEAD": get(b"/x", method=b"HEAD"),
    "POST": post(b"some body", b"/x"),
    "POST chunked": post_chunked([b"some ", b"body"], b"/x"),
}
#: Twice means once for these; what they send is still in memory.
REPEATABLE = frozenset(("GET", "HEAD"))


@dataclass(frozen=True, slots=True)
class Fault:
    """Steps that go wrong before anything of a response reached the client."""

    steps: Script
    status: int
    reason: str
    is_retried: bool = False  # for an idempotent request


PAGES = {
    "eof": Fault([cut], 502, "eof_before_headers", is_retried=True),
    "reset": Fault([reset], 502, "reset_before_headers", is_retried=True),
    "garbage": Fault([send(b"HTTP/1.1 200 OK\r\n\r\n")], 502, "protocol_error"),
    "wrong magic": Fault([send(b"\x12\x34" + whole()[2:])], 502, "protocol_error"),
    "oversize packet": Fault([send(b"AB\x20\x00\x04")], 502, "packet_too_large_from_container"),
    "empty packet": Fault([send(packet(b""))], 502, "protocol_error"),
    "unknown packet": Fault([send(packet(b"\x63hello"))], 502, "protocol_error"),
    "cpong": Fault([send(CPONG)], 502, "protocol_error"),
    "end without headers": Fault([send(END)], 502, "protocol_error"),
    "chunk before headers": Fault([send(chunk(b"early") + whole())], 502, "protocol_error"),
    "status 100": Fault([send(raw_headers(100) + whole())], 502, "protocol_error"),
    "status 103": Fault([send(raw_headers(103) + whole())], 502, "protocol_error"),
    "status 0": Fault([send(raw_headers(0) + END)], 502, "protocol_error"),
    "status 1000": Fault([send(raw_headers(1000) + END)], 502, "protocol_error"),
    "line break in a value": Fault(
        [send(raw_headers(200, (b"X", b"a\r\nSet-Cookie: b")) + END)], 502, "protocol_error"
    ),
    "line feed in a value": Fault(
        [send(raw_headers(200, (b"X", b"a\nb")) + END)], 502, "protocol_error"
    ),
    "zero byte in a value": Fault(
        [send(raw_headers(200, (b"X", b"a\0b")) + END)], 502, "protocol_error"
    ),
    "space in a name": Fault([send(raw_headers(200, (b"X Y", b"a")) + END)], 502, "protocol_error"),
    "colon in a name": Fault([send(raw_headers(200, (b"X:Y", b"a")) + END)], 502, "protocol_error"),
    "empty name": Fault([send(raw_headers(200, (b"", b"a")) + END)], 502, "protocol_error"),
    "a length that is none": Fault(
        [send(raw_headers(200, (b"Content-Length", b"-1")) + END)], 502, "protocol_error"
    ),
    "two lengths": Fault(
        [send(raw_headers(200, (b"Content-Length", b"1"), (b"Content-Length", b"2")) + END)],
        502,
        "protocol_error",
    ),
    "headers cut short": Fault(
        [send(packet(b"\x04\x00\xc8\x00\x00\x00\x00\x05"))], 502, "protocol_error"
    ),
    "half a packet, then eof": Fault(
        [send(headers(200)[:-2]), cut], 502, "eof_before_headers", is_retried=True
    ),
    "ask for nothing": Fault([send(get_body(1)[:-2] + b"\0\0")], 502, "protocol_error"),
    "headers and a reset in one": Fault(
        [send(headers(200) + chunk(b"x") + headers(200))], 502, "protocol_error"
    ),
}


@pytest.mark.parametrize("request_kind", REQUESTS)
@pytest.mark.parametrize("name", PAGES)
async def test_a_page_and_a_usable_connection(
    name: str, request_kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    fault, request = PAGES[name], REQUESTS[request_kind]
    is_retried = fault.is_retried and request_kind in REPEATABLE
    faulty: list[Step] = [read_body, *fault.steps]
    async with stage(Container(*[faulty] * (1 + is_retried), respond())) as s:
        client = await s.connect()
        with within(1.0):
            response = await client.ask(request)
        assert response.status == fault.status
        assert fault.reason.encode() in response.body or request_kind == "HEAD"
        assert reasons(caplog) == [fault.reason]
        assert s.container.executions == 1 + is_retried
        assert retried(caplog) == is_retried
        assert not response.closes
        assert (await client.ask(get())).body == b"fine"
        assert len(s.service.clients) == 1
        assert s.pool.busy == 0


@pytest.mark.parametrize("request_kind", REQUESTS)
@pytest.mark.parametrize("fault", [cut, reset])
async def test_only_the_idempotent_are_tried_again(
    fault: Step, request_kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(Container([read_body, fault], respond())) as s:
        client = await s.connect()
        response = await client.ask(REQUESTS[request_kind])
        if request_kind in REPEATABLE:
            assert response.status == 200
            assert reasons(caplog) == []
            assert retried(caplog) == 1
            assert s.container.executions == 2
        else:
            assert response.status == 502
            assert retried(caplog) == 0
            assert s.container.executions == 1


@pytest.mark.parametrize("method", [b"PUT", b"DELETE"])
async def test_an_idempotent_request_with_a_short_body_is_tried_again(method: bytes) -> None:
    async with stage(Container([cut], respond())) as s:
        response = await s.ask(post(b"body", method=method))
        assert response.status == 200
        assert [seen.body for seen in s.container.requests] == [b"", b"body"]


async def test_a_body_that_left_the_queue_is_not_sent_again() -> None:
    async with stage(Container([read_body, cut], respond())) as s:
        response = await s.ask(post(b"x" * 20_000, method=b"PUT"))
        assert response.status == 502
        assert s.container.executions == 1


async def test_patch_is_not_idempotent() -> None:
    async with stage(Container([cut], respond())) as s:
        assert (await s.ask(post(b"x", method=b"PATCH"))).status == 502
        assert s.container.executions == 1


async def test_retries_one_is_no_retry() -> None:
    async with stage(Container([cut], respond()), worker={"retries": 1}) as s:
        assert (await s.ask(get())).status == 502
        assert s.container.executions == 1


# --- after the head of the response ---------------------------------------------------------------

BREAKS: dict[str, tuple[Script, str]] = {
    "eof": ([cut], "eof_mid_body"),
    "reset": ([reset], "reset_mid_body"),
    "garbage": ([send(b"\0" * 8)], "protocol_error"),
    "second headers": ([send(headers(200) + END)], "protocol_error"),
    "cpong": ([send(CPONG)], "protocol_error"),
    "oversize packet": ([send(b"AB\x20\x00\x03\x00\x00")], "packet_too_large_from_container"),
    "chunk longer than its packet": (
        [send(packet(b"\x03\x00\x20abc"))],
        "protocol_error",
    ),
    "half a chunk, then eof": ([send(chunk(b"abcdef")[:-3]), cut], "eof_mid_body"),
}
HEADS: dict[str, tuple[tuple[tuple[bytes, bytes], ...], int]] = {
    "length": (((b"Content-Length", b"1000"),), 1),
    "chunked": ((), 1),
    "close": ((), 0),
}


@pytest.mark.parametrize("framing", HEADS)
@pytest.mark.parametrize("name", BREAKS)
async def test_a_broken_answer_can_be_told_from_a_whole_one(
    name: str, framing: str, caplog: pytest.LogCaptureFixture
) -> None:
    steps, reason = BREAKS[name]
    fields, version = HEADS[framing]
    start = send(headers(200, *fields) + chunk(b"begin"))
    # What follows comes in a read of its own: the client has the head by then.
    on_its_way = asyncio.Event()
    async with stage(Container([start, wait(on_its_way), *steps], respond())) as s:
        client = await s.connect()
        await client.send(get(version=version))
        while b"begin" not in client.buffer:
            await client.more()
        on_its_way.set()
        with within(1.0), pytest.raises(Broken):
            await client.response()
        assert reasons(caplog) == [reason]
        assert s.container.executions == 1
        assert retried(caplog) == 0
        assert (await s.ask(get())).body == b"fine"


@pytest.mark.slow
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_reset_at_every_byte_of_a_response(method: bytes) -> None:
    """Whole, or visibly broken, or a page of ours; never falsely whole."""
    for fields, version in HEADS.values():
        answer = headers(200, *fields) + chunk(b"y" * 10)
        if fields:
            answer = whole(b"y" * 10)
            answer = answer[: -len(END)]
        answer += END
        for fault in (cut, reset):
            scripts = [[send(answer[:at]), fault] for at in range(len(answer))]
            async with stage(Container(*scripts, respond()), worker={"retries": 1}) as s:
                for at in range(len(answer)):
                    client = await s.connect()
                    try:
                        response = await client.ask(get(method=method, version=version))
                    except Broken:
                        continue
                    finally:
                        client.close()
                    if response.status == 502:
                        continue
                    assert response.status == 200, at
                    assert response.body == (b"y" * 10 if method == b"GET" else b""), at
                    # Complete by its length although the end never came: that is all there is.
                    assert response.framing in ("length", "none"), at
                assert s.container.executions == len(answer)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_a_response_byte_by_byte(method: bytes) -> None:
    answer = headers(200, (b"X-One", b"1")) + FLUSH + chunk(b"y" * 10) + FLUSH + chunk(b"z") + END
    async with stage(Container([slowly(answer)])) as s:
        client = await s.connect()
        for _ in range(2):
            response = await client.ask(get(method=method))
            assert response.status == 200
            assert response.one(b"x-one") == b"1"
            assert response.body == (b"yyyyyyyyyyz" if method == b"GET" else b"")
        assert s.container.connections == 1


async def test_an_answer_shorter_than_announced(caplog: pytest.LogCaptureFixture) -> None:
    short = headers(200, (b"Content-Length", b"10")) + chunk(b"short") + END
    async with stage(Container([send(short)], respond())) as s:
        client = await s.connect()
        with pytest.raises(Broken):
            await client.ask(get())
        assert reasons(caplog) == ["eof_mid_body"]
        assert (await s.ask(get())).status == 200


async def test_an_answer_longer_than_announced_is_cut() -> None:
    long = headers(200, (b"Content-Length", b"4")) + chunk(b"longer") + chunk(b"still") + END
    async with stage(Container([send(long)], respond())) as s:
        client = await s.connect()
        response = await client.ask(get())
        assert response.body == b"long"
        assert await client.at_end()


async def test_bytes_behind_the_end_cost_the_endpoint_its_reuse() -> None:
    async with stage(Container([send(whole() + FLUSH)], respond())) as s:
        client = await s.connect()
        assert (await client.ask(get())).body == b"fine"
        assert (await client.ask(get())).body == b"fine"
        assert s.container.connections == 2


async def test_an_end_that_forbids_reuse() -> None:
    async with stage(Container(respond(reuse=False), respond())) as s:
        client = await s.connect()
        assert (await client.ask(get())).body == b"fine"
        assert (await client.ask(get())).body == b"fine"
        assert s.container.connections == 2
