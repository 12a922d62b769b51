"""Clients that go away while a container works, in each way one can, or only seem to."""

import asyncio

import pytest

from tests.faults.container import END, Container, chunk, delay, headers, never, send, wait, whole
from tests.faults.stage import Client, as_chunk, eventually, get, post, reasons, stage, within

pytestmark = pytest.mark.slow
PROBE = b"HTTP/1.1 100 Continue\r\n\r\n"


def close(client: Client) -> None:
    client.close()


def reset(client: Client) -> None:
    client.reset()


@pytest.mark.parametrize("go", [close, reset])
@pytest.mark.parametrize("request_", [get(b"/x"), post(b"some body", b"/x")], ids=["GET", "POST"])
async def test_a_client_that_is_gone_is_noticed_at_once(
    go: object, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(go)
    async with stage(Container([never])) as s:
        client = await s.connect()
        await client.send(request_)
        await eventually(lambda: s.container.executions == 1)
        with within(1.5):
            go(client)
            await s.container.gone.wait()
        await eventually(lambda: not s.service.clients and s.pool.open == 0)
        assert s.service.reasons == {"client_abort": 1}
    assert reasons(caplog) == ["client_abort"]


async def test_a_client_that_closed_its_side_gets_a_late_answer() -> None:
    done = asyncio.Event()
    async with stage(Container([wait(done), send(whole(b"at last"))])) as s:
        client = await s.connect()
        await client.send(get(b"/x"))
        await eventually(lambda: s.container.executions == 1)
        client.half_close()
        # Longer than it takes to find out about one that is gone.
        await asyncio.sleep(0.8)
        done.set()
        response = await client.response()
        assert (response.status, response.body) == (200, b"at last")
        assert set(response.interim) == {100}
        assert await client.at_end()


async def test_a_quick_answer_is_not_preceded_by_anything() -> None:
    async with stage() as s:
        client = await s.connect()
        await client.send(get(b"/x"))
        client.half_close()
        response = await client.response()
        assert response.status == 200
        assert response.interim == []


async def test_a_client_of_http_1_0_has_a_time(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing may be said to it but the answer, so it cannot be told from one that is gone."""
    async with stage(Container([never]), server={"send_timeout_ms": 300}) as s:
        client = await s.connect()
        await client.send(get(b"/x", version=0))
        await eventually(lambda: s.container.executions == 1)
        client.half_close()
        with within(1.5):
            assert await client.read_all() == (b"", True)
        await eventually(lambda: not s.pool.busy)
    assert reasons(caplog) == ["client_abort"]


async def test_a_client_that_closed_its_side_behind_a_begun_answer_has_a_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = [send(headers(200) + chunk(b"begun")), never]
    async with stage(Container(script), server={"send_timeout_ms": 300}) as s:
        client = await s.connect()
        await client.send(get(b"/x"))
        await eventually(lambda: s.container.executions == 1)
        client.half_close()
        with within(1.5):
            received, _ = await client.read_all()
        assert b"begun" in received
        assert PROBE not in received
        await eventually(lambda: not s.pool.busy)
    assert reasons(caplog) == ["client_abort"]


async def test_a_client_that_is_gone_behind_a_full_queue(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody reads from its connection any more, so nobody is told of its end."""
    async with stage(Container([never])) as s:
        client = await s.connect()
        await client.send(get(b"/", b"Content-Length: 90000000", method=b"POST"))
        filling = asyncio.ensure_future(client.send(b"x" * 8_000_000))
        await eventually(lambda: s.container.executions == 1)
        await asyncio.sleep(0.2)
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
        client.reset()
        await asyncio.wait_for(s.container.gone.wait(), 3.0)
        await eventually(lambda: not s.service.clients)
    assert reasons(caplog) == ["client_abort"]


@pytest.mark.parametrize(("options", "is_reset"), [(None, True), (4, True), (0, False), (3, False)])
async def test_how_a_container_learns_that_the_client_is_gone(
    options: int | None, is_reset: bool
) -> None:
    ends: list[str] = []

    async def until_the_end(connection: object) -> None:
        try:
            assert await connection.reader.read(10) == b""  # type: ignore[attr-defined]
            ends.append("closed")
            await connection.write(whole(b"for nobody"))  # type: ignore[attr-defined]
        except ConnectionResetError:
            ends.append("reset")

    async with stage(Container([until_the_end]), worker={"recovery_options": options}) as s:
        client = await s.connect()
        await client.send(get(b"/x"))
        await eventually(lambda: s.container.executions == 1)
        client.reset()
        await eventually(lambda: ends == ["reset" if is_reset else "closed"])
        # Either way the connection is not used again.
        await eventually(lambda: s.pool.open == 0, within=3.0)


async def test_a_client_that_goes_while_it_is_served_a_stream() -> None:
    more = asyncio.Event()

    async def endless(connection: object) -> None:
        while True:
            await connection.write(chunk(b"x" * 1000))  # type: ignore[attr-defined]
            more.set()
            await asyncio.sleep(0.005)

    async with stage(Container([send(headers(200)), endless])) as s:
        client = await s.connect()
        await client.send(get(b"/x"))
        await more.wait()
        client.close()
        with within(1.5):
            await s.container.gone.wait()
        await eventually(lambda: not s.service.clients and s.pool.open == 0)


async def test_a_client_that_goes_in_the_middle_of_its_chunks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with stage(Container([never])) as s:
        client = await s.connect()
        head = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")
        await client.send(head + as_chunk(b"x"))
        await eventually(lambda: s.container.executions == 1)
        client.close()
        with within(1.0):
            await s.container.gone.wait()
    assert reasons(caplog) == ["client_abort"]
    assert END not in caplog.text.encode()


@pytest.mark.parametrize("version", [0, 1])
async def test_an_answer_that_flows_to_a_client_that_closed_its_side(version: int) -> None:
    """Each piece of it is a sign of life, however long all of it takes."""
    script = [send(headers(200)), *[delay(0.15), send(chunk(b"piece"))] * 6, send(END)]
    async with stage(Container(script), server={"send_timeout_ms": 300}) as s:
        client = await s.connect()
        await client.send(get(b"/x", version=version))
        client.half_close()
        response = await client.response()
        assert response.body == b"piece" * 6
        assert await client.at_end()
