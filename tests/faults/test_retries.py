"""When a request goes out a second time, and when it must not, whatever goes wrong."""

import asyncio
from itertools import pairwise

import pytest

from tests.faults.container import (
    Container,
    Step,
    ask,
    cut,
    headers,
    read_body,
    reset,
    respond,
    send,
    swallow,
)
from tests.faults.stage import eventually, get, post, post_chunked, reasons, retried, stage, within

METHODS = (b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"POST", b"PATCH", b"LOCK")
#: recovery_options -> methods that are sent again once they may have been executed.
AGAIN: dict[int | None, frozenset[bytes]] = {
    None: frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE")),
    0: frozenset(METHODS),
    2: frozenset(METHODS),
    1: frozenset(),
    3: frozenset(),
    1 + 8: frozenset((b"HEAD",)),
    1 + 16: frozenset((b"GET",)),
    1 + 8 + 16: frozenset((b"GET", b"HEAD")),
}


@pytest.mark.parametrize("method", METHODS, ids=bytes.decode)
@pytest.mark.parametrize("options", AGAIN)
@pytest.mark.parametrize("fault", [cut, reset])
async def test_recovery_options(fault: Step, options: int | None, method: bytes) -> None:
    is_repeated = method in AGAIN[options]
    request = get(b"/x", method=method)
    if method in (b"POST", b"PUT", b"PATCH"):
        request = post(b"some body", b"/x", method=method)
    container = Container([read_body, fault], respond())
    async with stage(container, worker={"recovery_options": options}) as s:
        response = await s.ask(request)
        assert response.status == (200 if is_repeated else 502)
        assert container.executions == 1 + is_repeated
        if request.endswith(b"some body"):
            assert all(seen.body == b"some body" for seen in container.requests)


@pytest.mark.parametrize("options", AGAIN)
async def test_never_once_a_response_began(options: int | None) -> None:
    container = Container([send(headers(200)), cut], respond())
    async with stage(container, worker={"recovery_options": options}) as s:
        assert (await s.ask(get(b"/x"))).status == 502
        assert container.executions == 1


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("size", "replay_buffer", "is_replayed"),
    [
        (8000, 0, True),
        (20_000, 0, False),
        (20_000, 40_000, True),
        (50_000, 40_000, False),
    ],
)
async def test_how_much_body_is_kept(
    size: int, replay_buffer: int, is_replayed: bool, chunked: bool
) -> None:
    body = bytes(range(256)) * (size // 256)
    request = (
        post_chunked([body[:100], body[100:]], b"/x", method=b"PUT")
        if chunked
        else post(body, b"/x", method=b"PUT")
    )
    container = Container([read_body, cut], respond())
    async with stage(container, worker={"replay_buffer": replay_buffer}) as s:
        response = await s.ask(request)
        assert response.status == (200 if is_replayed else 502)
        assert [seen.body for seen in container.requests] == [body] * (1 + is_replayed)


async def test_a_body_that_had_come_in_part_goes_on_behind_what_was_kept() -> None:
    """The second attempt begins while the client is still sending."""
    body = bytes(range(256)) * 80
    head = get(b"/x", b"Content-Length: %d" % len(body), method=b"PUT")
    container = Container([swallow, ask(), cut], respond())
    async with stage(container, worker={"replay_buffer": 65536}) as s:
        client = await s.connect()
        await client.send(head + body[:5000])
        await eventually(lambda: container.executions >= 1)
        await client.send(body[5000:9000])
        await eventually(lambda: container.executions >= 2)
        await client.send(body[9000:])
        assert (await client.response()).status == 200
        assert container.requests[1].body == body


@pytest.mark.parametrize("retries", [1, 2, 4])
async def test_retries_counts_all_attempts(retries: int) -> None:
    async with stage(Container([cut]), worker={"retries": retries}) as s:
        assert (await s.ask(get(b"/x"))).status == 502
        assert s.container.executions == retries


@pytest.mark.slow
async def test_retry_interval_passes_before_a_new_connection_is_tried_again() -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def note(connection: object) -> None:
        times.append(loop.time())

    async with stage(Container([note, cut]), worker={"retries": 3, "retry_interval_ms": 200}) as s:
        assert (await s.ask(get(b"/x"))).status == 502
        assert [later - sooner >= 0.19 for sooner, later in pairwise(times)] == [True] * 2


async def test_a_connection_that_was_idle_is_replaced_at_once() -> None:
    container = Container(respond(), [cut], respond())
    async with stage(container, worker={"retry_interval_ms": 60_000}) as s:
        client = await s.connect()
        assert (await client.ask(get(b"/1"))).status == 200
        assert (await client.ask(get(b"/2"))).status == 200
        assert container.executions == 3


@pytest.mark.slow
async def test_a_container_that_is_back_in_a_moment(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody listens at first: the second attempt finds somebody."""
    container = Container()
    async with container:
        port = container.port
    again = Container()
    again.port = port
    async with stage(worker={"port": port, "retry_interval_ms": 300}) as s:
        client = await s.connect()
        await client.send(get(b"/x"))
        await eventually(lambda: retried(caplog) > 0)
        async with again:
            assert (await client.response()).status == 200


async def test_nobody_listens() -> None:
    container = Container()
    async with container:
        port = container.port
    async with stage(worker={"port": port, "retry_interval_ms": 0}) as s:
        response = await s.ask(post(b"x"))
        assert response.status == 503
        assert b"connect_refused" in response.body


async def test_a_client_that_goes_while_an_attempt_rests(caplog: pytest.LogCaptureFixture) -> None:
    container = Container([cut], respond())
    async with stage(container, worker={"retry_interval_ms": 200}) as s:
        client = await s.connect()
        await client.send(get(b"/x"))
        await eventually(lambda: retried(caplog) > 0)
        client.reset()
        await asyncio.sleep(0.5)
        assert container.executions == 1
    assert reasons(caplog) == ["client_abort"]


@pytest.mark.parametrize("path", [b"/strict/x", b"/x"])
@pytest.mark.parametrize("status", [500, 404, 503, 200])
async def test_fail_on_status(status: int, path: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The rule's list takes the place of the worker's."""
    fails = status in ((500, 404) if path == b"/strict/x" else (503,))
    container = Container(respond(b"theirs", status))
    async with stage(container, worker={"fail_on_status": (-503,)}) as s:
        client = await s.connect()
        with within(1.0):
            response = await client.ask(get(path))
        assert response.status == (503 if fails else status)
        assert reasons(caplog) == ["fail_on_status"] * fails
        assert container.executions == 1
        assert (b"theirs" in response.body) != fails
        # The connection to the client is as good as before.
        assert (await client.ask(get(b"/x"))).status in (status, 503)
