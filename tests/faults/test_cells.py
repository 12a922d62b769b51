"""Every cell of the fault matrix: each fault with each kind of request."""

import asyncio
import re
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace

import pytest

from docs.tools.faults import lines
from tests.faults.catalogue import FAULTS
from tests.faults.cells import HELD_BACK, Cell, Got, Outcome, Request, cells, expected
from tests.faults.container import (
    END,
    Connection,
    Container,
    chunk,
    headers,
    once_seen,
    read_body,
    respond,
    send,
)
from tests.faults.nowhere import answers, full_backlog, unused_port
from tests.faults.stage import (
    Broken,
    Client,
    Stage,
    eventually,
    get,
    post,
    post_chunked,
    reasons,
    retried,
    stage,
)

#: What a busy machine may add to any time that is waited for.
SLACK_S = 1.0
#: Of what a client sends and nobody takes: a queue, one read, and what the system has room for.
MOST_BUFFERED = 1_500_000
SMALL = 16384
ALL = [cell for fault in FAULTS for cell in cells(fault)]
#: Tried on the other loop as well: something of each kind.
TELLING = (
    Request("GET"),
    Request("HEAD"),
    Request("POST", 9, "length"),
    Request("PUT", 20_000, "chunked"),
    Request("POST", 4_000_000, "length"),
)

# --- one request ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw."""

    got: Got
    status: int
    body: bytes = b""
    seconds: float = 0.0


def body_of(request: Request) -> bytes:
    return (bytes(range(256)) * (request.size // 256 + 1))[: request.size]


def on_the_wire(request: Request) -> bytes:
    method, body = request.method.encode(), body_of(request)
    if request.framing == "length":
        return post(body, b"/x", method=method)
    if request.framing == "chunked":
        return post_chunked([body], b"/x", method=method)
    return get(b"/x", method=method, version=request.minor)


class Asking:
    """A request on its way, as far as anybody takes it."""

    def __init__(self, client: Client, cell: Cell) -> None:
        self.client = client
        self.cell = cell
        self.sent = 0
        self._wire = on_the_wire(cell.request)
        self._begin = time.monotonic()

    async def upload(self, end: int) -> None:
        """Send up to a place in the request; large ones in pieces, to see how far they come."""
        loop = asyncio.get_running_loop()
        while self.sent < end:
            piece = self._wire[self.sent : min(end, self.sent + 65536)]
            await loop.sock_sendall(self.client.sock, piece)
            self.sent += len(piece)

    async def ask(self, onward: asyncio.Event) -> Seen:
        """Send, and read what comes; let the container go on once the head is there."""
        held_back = HELD_BACK if self.cell.fault.is_partial else 0
        upload = asyncio.create_task(self.upload(len(self._wire) - held_back))
        status = 0
        try:
            while b"\r\n\r\n" not in self.client.buffer:
                await self.client.more()
            status = int(self.client.buffer[9:12])
            onward.set()
            response = await self.client.response(self.cell.request.method.encode())
        except Broken:
            return Seen(Got.BROKEN, status, seconds=self.seconds)
        finally:
            upload.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await upload
        is_ours = response.one(b"content-type") == b"text/html; charset=utf-8"
        got = Got.PAGE if is_ours else Got.WHOLE
        return Seen(got, response.status, response.body, self.seconds)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begin

    async def finish(self) -> None:
        """Send what was held back."""
        await self.upload(len(self._wire))


# --- scenes ---------------------------------------------------------------------------------------


@asynccontextmanager
async def scene(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """The container of a cell, or what is in its place."""
    fault = cell.fault
    worker = {"retry_interval_ms": 0, **fault.worker}
    steps = [fault.script(announced=cell.announced)] * (9 if fault.is_constant else 1)
    container: Container | None = None
    with ExitStack() as around:
        if fault.scene == "refused":
            worker["port"] = around.enter_context(unused_port())
        elif fault.scene == "blackhole":
            worker["port"] = around.enter_context(full_backlog())
        elif fault.scene == "nameless":
            answers(monkeypatch)
            worker["host"] = "app.example"
        elif fault.scene == "busy":
            container = Container([once_seen, *respond()], respond())
        elif fault.at_cping:
            container = Container(pongs=steps, receive_buffer=SMALL)
        else:
            container = Container(*steps, respond(), receive_buffer=SMALL)
        async with stage(container, worker=worker, send_buffer=SMALL) as s:
            if fault.scene == "busy":
                await (await s.connect()).send(get(b"/holder"))
                await eventually(lambda: s.pool.busy == 1)
            yield s


async def play(
    cell: Cell, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run a cell and compare."""
    wanted = expected(cell.fault, cell.request)
    async with scene(cell, monkeypatch) as s:
        container = s._container or Container()
        asking = Asking(await s.connect(), cell)
        asking.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        seen = await asking.ask(container.onward)
        compare(cell, wanted, seen)
        if wanted.lives:
            await asking.finish()
        else:
            await asking.client.read_all()
            seen = replace(seen, seconds=asking.seconds)
        await eventually(lambda: s.pool.busy == 0)
        if wanted.got is Got.WHOLE and wanted.reason is not None:
            # The client has its answer; what fails behind it shows at the container's side alone.
            seen = replace(seen, seconds=asking.seconds)
        assert reasons(caplog) == ([wanted.reason] if wanted.reason else [])
        assert retried(caplog) == wanted.attempts - 1
        took_time(cell, wanted, seen.seconds)
        if wanted.attempts == 1 and cell.request.size > MOST_BUFFERED:
            assert asking.sent < MOST_BUFFERED
        if wanted.reuses is not None:
            others = [each for each in container.requests if each.head.uri != b"/holder"]
            assert len(others) == wanted.executions
            assert all(each.body == body_of(cell.request) for each in others if each.is_whole)
            await go_on(s, asking.client if wanted.lives else await s.connect(), wanted)


def compare(cell: Cell, wanted: Outcome, seen: Seen) -> None:
    """What the client saw, with what it should have seen."""
    assert (seen.got, seen.status) == (wanted.got, wanted.status), seen
    if cell.request.method == "HEAD":
        assert seen.body == b""
    elif wanted.got is Got.WHOLE:
        assert seen.body == (b"abcdef" if cell.fault.is_complete else b"fine")
    elif wanted.got is Got.PAGE:
        assert wanted.reason is not None
        assert wanted.reason.encode() in seen.body


def took_time(cell: Cell, wanted: Outcome, seconds: float) -> None:
    """No answer before its time, and none much later."""
    directive, count = wanted.waits
    wait_s = count * cell.fault.worker[f"{directive}_ms"] / 1000 if count else 0.0
    assert wait_s - 0.001 <= seconds < wait_s + SLACK_S


async def go_on(s: Stage, client: Client, wanted: Outcome) -> None:
    """The next request is served, over the connections it should be served over."""
    s.container.scripts[:] = [respond()]
    s.container.pongs.clear()
    before = s.container.connections
    assert (await client.ask(get(b"/next"))).body == b"fine"
    assert (s.container.connections == before) is wanted.reuses


def parameters(chosen: Iterable[Cell]) -> list[object]:
    """Those that have to wait are slow."""
    return [
        pytest.param(cell, id=str(cell), marks=[pytest.mark.slow] * bool(cell.fault.after))
        for cell in chosen
    ]


@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize("cell", parameters(ALL))
async def test_cell(
    cell: Cell, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await play(cell, caplog, monkeypatch)


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize(
    "cell", parameters(cell for cell in ALL if cell.request in TELLING and not cell.announced)
)
async def test_cell_on_the_other_loop(
    cell: Cell, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await play(cell, caplog, monkeypatch)


# --- the matrix itself ----------------------------------------------------------------------------


def test_every_fault_has_its_row() -> None:
    """The page in the documentation leaves nothing out and has nothing twice."""
    named = [found[1] for line in lines() if (found := re.match(r"\| (\S.*?) \|", line))]
    named = [name for name in named if name != "what the container does"]
    assert sorted(named) == sorted(fault.name for fault in FAULTS)


def test_names_are_unique_within_a_section() -> None:
    named = [(fault.section, fault.name) for fault in FAULTS]
    assert len(named) == len(set(named))


def test_only_what_is_idempotent_is_ever_executed_twice() -> None:
    """The rules cannot have said otherwise by accident."""
    twice = {
        cell.request.method for cell in ALL if expected(cell.fault, cell.request).executions > 1
    }
    assert twice == {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PROPFIND"}


# --- memory ---------------------------------------------------------------------------------------


async def test_what_is_more_than_announced_is_not_kept() -> None:
    """16 MB behind the end of the body are read and forgotten."""
    piece = chunk(b"x" * 65536)

    async def flood(connection: Connection) -> None:
        for _ in range(256):
            await connection.write(piece)

    short = send(headers(200, (b"Content-Length", b"4")), chunk(b"fine"))
    async with stage(Container([read_body, short, flood, send(END)])) as s:
        client = await s.connect()
        tracemalloc.start()
        try:
            assert (await client.ask(get())).body == b"fine"
            await eventually(lambda: s.pool.busy == 0)
            assert tracemalloc.get_traced_memory()[1] < 4_000_000
        finally:
            tracemalloc.stop()
