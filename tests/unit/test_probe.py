"""A probe and the containers it meets: those that answer, stand still, break, or are not there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from ajp import _codec
from ajp.channel import ContainerRequest
from ajp.container import serve
from ajp.errors import Reason
from ajp.messages import SendHeaders
from ajp.probe import Probe, ProbeRequest, ProbeResult
from ajp.worker import WorkerSettings
from tests.faults.container import Container
from tests.unit.support import both_loops, scripted_container, take_packet, until
from tests.unit.worker_stage import CPING_TYPE, full_listener, plain, unused_port

LONG = 30.0


class Stage:
    """A probe, and what it was told."""

    def __init__(self, port: int, **options: Any) -> None:
        self.results: list[ProbeResult] = []
        settings = WorkerSettings(host="127.0.0.1", port=port, secret=options.pop("secret", None))
        self.probe = Probe(
            "tomcat1", settings, on_result=self.results.append, **{"timeout": LONG, **options}
        )

    async def ask(self) -> ProbeResult:
        """Ask and wait for what becomes of it."""
        count = len(self.results)
        self.probe.ask()
        await until(lambda: len(self.results) > count)
        return self.results[-1]

    @property
    def reasons(self) -> list[Reason | None]:
        return [result.reason for result in self.results]


@asynccontextmanager
async def probing(port: int, **options: Any) -> AsyncIterator[Stage]:
    stage = Stage(port, **options)
    try:
        yield stage
    finally:
        await stage.probe.aclose()


@both_loops
async def test_container_answers_over_one_connection() -> None:
    async with serve(plain, port=0) as server, probing(server.port) as stage:
        for _ in range(3):
            result = await stage.ask()
            assert result.is_good
            assert 0 < result.rtt < LONG
        assert stage.probe.is_quiet
        assert server.connections == 1


@both_loops
async def test_nobody_listens() -> None:
    async with probing(unused_port()) as stage:
        result = await stage.ask()
        assert (result.reason, result.is_good) == (Reason.CONNECT_REFUSED, False)
        assert "Connection refused" in result.error
        assert stage.probe.is_quiet


@both_loops
async def test_nobody_accepts() -> None:
    with full_listener() as port:
        async with probing(port, timeout=0.05) as stage:
            assert (await stage.ask()).reason is Reason.CONNECT_TIMEOUT


@both_loops
async def test_name_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(*_: object, **__: object) -> None:
        raise OSError("no such name")

    async with probing(1) as stage:
        stage.probe.change(WorkerSettings(host="nowhere.invalid"))
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", gone, raising=False)
        assert (await stage.ask()).reason is Reason.RESOLVE_FAILED


@both_loops
async def test_late_cpong_is_told_twice() -> None:
    goes_on = asyncio.Event()

    async def stands_still(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await take_packet(reader))[0] == CPING_TYPE
        await goes_on.wait()
        writer.write(_codec.CPONG)
        await reader.read()

    async with scripted_container(stands_still) as port, probing(port, timeout=5.0) as stage:
        stage.probe.ask()
        await until(lambda: stage.probe.asked_at > 0)
        asked_at = stage.probe.asked_at
        stage.probe.look(asked_at + 4.9)
        assert stage.results == []
        stage.probe.look(asked_at + 5.0)
        stage.probe.look(asked_at + 5.1)
        assert stage.reasons == [Reason.CPING_TIMEOUT]
        # It stays asked: nobody asks anew.
        stage.probe.ask()
        assert stage.probe.asked_at == asked_at
        goes_on.set()
        await until(lambda: len(stage.results) == 2)
        assert stage.results[-1].is_good
        assert stage.probe.asked_at == 0


@both_loops
async def test_another_connection_after_long_silence() -> None:
    connections: list[asyncio.StreamWriter] = []

    async def second_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await take_packet(reader)
        if len(connections) == 2:
            writer.write(_codec.CPONG)
        assert await reader.read() == b""

    async with scripted_container(second_answers) as port, probing(port) as stage:
        stage.probe.ask()
        await until(lambda: stage.probe.asked_at > 0)
        asked_at = stage.probe.asked_at
        stage.probe.look(asked_at + 9.9)
        assert "asked" in repr(stage.probe)
        stage.probe.look(asked_at + 10.0)
        assert stage.probe.asked_at == asked_at
        await until(lambda: len(stage.results) == 1)
        assert stage.results[0].is_good
        assert len(connections) == 2


@both_loops
async def test_silence_waits_longer_each_time() -> None:
    connections: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.read()

    async with scripted_container(silent) as port, probing(port, timeout=1000.0) as stage:
        stage.probe.ask()
        await until(lambda: stage.probe.asked_at > 0)
        for seconds, expected in ((10, 2), (19, 2), (20, 3), (39, 3), (40, 4), (79, 4), (80, 5)):
            stage.probe.look(stage.probe.asked_at + seconds)
            await until(lambda: stage.probe._task is None)
            await until(lambda expected=expected: len(connections) == expected)  # type: ignore[misc]


@both_loops
async def test_lost_connection_is_looked_into_at_once() -> None:
    async with AsyncExitStack() as there, probing(0) as stage:
        server = await there.enter_async_context(serve(plain, port=0))
        stage.probe.change(WorkerSettings(host="127.0.0.1", port=server.port))
        await stage.ask()
        line = stage.probe._line
        assert line is not None
        line.made_at -= 1.0
        await there.aclose()
        # Nobody asked again, and yet it is known.
        await until(lambda: len(stage.results) == 2)
        assert stage.reasons == [None, Reason.CONNECT_REFUSED]


@both_loops
async def test_connection_that_is_closed_between_questions() -> None:
    answered: list[int] = []

    async def one_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_packet(reader)
        writer.write(_codec.CPONG)
        answered.append(1)

    async with scripted_container(one_each) as port, probing(port) as stage:
        assert (await stage.ask()).is_good
        await until(lambda: stage.probe._line is None)
        assert len(answered) == 1
        assert (await stage.ask()).is_good
        assert len(answered) == 2


@both_loops
@pytest.mark.parametrize("is_reset", [False, True])
async def test_new_connection_breaks(is_reset: bool) -> None:
    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_packet(reader)
        if is_reset:
            writer.transport.abort()

    async with scripted_container(breaks) as port, probing(port) as stage:
        result = await stage.ask()
        assert result.reason in (Reason.EOF_BEFORE_HEADERS, Reason.RESET_BEFORE_HEADERS)
        assert stage.probe.is_quiet


@both_loops
async def test_other_protocol() -> None:
    async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 \r\n\r\n")
        await reader.read()

    async with scripted_container(http) as port, probing(port) as stage:
        assert (await stage.ask()).reason is Reason.PROTOCOL_ERROR
        assert (await stage.ask()).reason is Reason.PROTOCOL_ERROR


@both_loops
async def test_page() -> None:
    seen: list[ContainerRequest] = []

    async def health(request: ContainerRequest) -> None:
        seen.append(request)
        await request.send_headers(204 if request.uri == b"/health" else 500)

    good = ProbeRequest(uri="/health?deep=1")
    bad = ProbeRequest(method="HEAD", uri="/other", statuses=((200, 299), (404, 404)))
    async with serve(health, port=0, secret=b"s3cret") as server:
        async with probing(server.port, request=good, secret=b"s3cret") as stage:
            assert (await stage.ask()).is_good
            assert (await stage.ask()).is_good
            assert server.connections == 1
            assert seen[-1].method == b"GET"
            assert seen[-1].query == b"deep=1"
        async with probing(server.port, request=bad, secret=b"s3cret") as stage:
            result = await stage.ask()
            assert result.reason is Reason.FAIL_ON_STATUS
            assert result.error == "tomcat1: /other was answered 500"
            assert seen[-1].method == b"HEAD"


@pytest.mark.parametrize(
    ("status", "is_good"), [(199, False), (200, True), (399, True), (400, False), (503, True)]
)
def test_statuses(status: int, is_good: bool) -> None:
    request = ProbeRequest(uri="/", statuses=((200, 399), (503, 503)))
    assert request.accepts(status) is is_good


@both_loops
async def test_page_with_wrong_secret() -> None:
    request = ProbeRequest(uri="/")
    async with (
        serve(plain, port=0, secret=b"right") as server,
        probing(server.port, request=request, secret=b"wrong-one") as stage,
    ):
        result = await stage.ask()
        assert result.reason is Reason.SECRET_REJECTED
        assert "wrong-one" not in result.error


@both_loops
async def test_late_page() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_packet(reader)
        assert await reader.read() == b""

    request = ProbeRequest(uri="/")
    async with (
        scripted_container(silent) as port,
        probing(port, request=request, timeout=3.0) as stage,
    ):
        stage.probe.ask()
        await until(lambda: stage.probe.asked_at > 0)
        stage.probe.look(stage.probe.asked_at + 3.0)
        assert stage.reasons == [Reason.REPLY_TIMEOUT]
        assert stage.probe.is_quiet


@both_loops
async def test_page_that_asks_for_a_body() -> None:
    async def asks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_packet(reader)
        writer.write(b"AB\0\x03\x06\x10\x00")
        assert await take_packet(reader) == b"\0\0"
        writer.write(_codec.encode(SendHeaders(200, b"", ())) + _codec.END_RESPONSE_REUSE)
        await reader.read()

    request = ProbeRequest(uri="/")
    async with scripted_container(asks) as port, probing(port, request=request) as stage:
        assert (await stage.ask()).is_good


@both_loops
async def test_other_address() -> None:
    async with (
        serve(plain, port=0) as before,
        serve(plain, port=0) as after,
        probing(before.port) as stage,
    ):
        await stage.ask()
        stage.probe.change(WorkerSettings(host="127.0.0.1", port=after.port))
        assert (await stage.ask()).is_good
        await until(lambda: before.connections == 0)
        assert after.connections == 1


@both_loops
async def test_closed_while_connecting() -> None:
    with full_listener() as port:
        stage = Stage(port)
        stage.probe.ask()
        assert "connecting" in repr(stage.probe)
        await asyncio.sleep(0)
        await stage.probe.aclose()
        stage.probe.ask()
        assert repr(stage.probe) == f"<Probe tomcat1 127.0.0.1:{port} quiet>"
        assert stage.results == []


@both_loops
@pytest.mark.parametrize("turns", range(12))
async def test_a_connection_made_in_the_moment_of_the_end_is_closed(turns: int) -> None:
    async with Container() as container:
        stage = Stage(container.port)
        stage.probe.ask()
        for _ in range(turns):
            await asyncio.sleep(0)
        await stage.probe.aclose()
        assert stage.probe._line is None
        for _ in range(10):
            await asyncio.sleep(0)
        await until(lambda: not container.open)


@both_loops
async def test_a_dial_that_succeeds_after_the_end_is_closed() -> None:
    made: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    closed: list[str] = []

    class Line:
        def close(self) -> None:
            closed.append("closed")

    async def dial(_: object) -> Line:
        await made
        return Line()

    stage = Stage(1)
    stage.probe._dialer.dial = dial  # type: ignore[method-assign, assignment]
    stage.probe.ask()
    await asyncio.sleep(0)
    made.set_result(None)
    await stage.probe.aclose()
    assert closed == ["closed"]
    assert stage.results == []
