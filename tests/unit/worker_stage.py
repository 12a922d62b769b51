"""A worker on a stage: requests that take notes, listeners that hang, a container that works."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ajp import _codec
from ajp._endpoint import Attempt, Endpoint
from ajp.channel import ContainerRequest
from ajp.container import Server, serve
from ajp.errors import Progress, Reason
from ajp.messages import ForwardRequest, SendHeaders
from ajp.timers import Timers
from ajp.worker import Worker, WorkerSettings

CPING_TYPE = 10
ANSWER = _codec.encode(SendHeaders(200, b"", ())) + _codec.END_RESPONSE_REUSE
PACKET = _codec.encode(ForwardRequest(headers=((b"content-length", b"0"),)))


class Once(Attempt):
    """A request, and how it ended."""

    def __init__(self, *, holds: bool = False) -> None:
        self.outcome: object = None
        self.error: Any = None
        self.is_reused = False
        self._holds = holds
        self.ended = asyncio.Event()
        self.has_endpoint = asyncio.Event()

    def on_endpoint(self, endpoint: Endpoint) -> None:
        super().on_endpoint(endpoint)
        self.is_reused = endpoint.requests > 0
        self.has_endpoint.set()
        if not self._holds:
            self.go()

    def go(self) -> None:
        self.begin(PACKET, 0)

    def on_end(self) -> None:
        self.outcome = "end"
        self.ended.set()

    def on_failed(self, reason: Reason, progress: Progress, error: BaseException | None) -> None:
        assert self.outcome is None
        assert progress is Progress.NOTHING_SENT
        self.outcome, self.error = reason, error
        self.ended.set()


async def plain(request: ContainerRequest) -> None:
    await request.send_headers(200)


@asynccontextmanager
async def worker(port: int, **options: Any) -> AsyncIterator[Worker]:
    timers = Timers(asyncio.get_running_loop())
    settings = WorkerSettings(**{"host": "127.0.0.1", "port": port, **options})
    worker = Worker("tomcat1", settings, timers)
    try:
        yield worker
    finally:
        await worker.aclose()
        timers.close()


@asynccontextmanager
async def at_work(**options: Any) -> AsyncIterator[tuple[Worker, Server]]:
    async with serve(plain, port=0) as server, worker(server.port, **options) as its_worker:
        yield its_worker, server


async def send(worker: Worker, attempt: Once | None = None) -> Once:
    attempt = attempt or Once()
    worker.acquire(attempt)
    async with asyncio.timeout(5):
        await attempt.ended.wait()
    return attempt


async def hold(worker: Worker) -> Once:
    """Take an endpoint and keep it busy."""
    attempt = Once(holds=True)
    worker.acquire(attempt)
    async with asyncio.timeout(5):
        await attempt.has_endpoint.wait()
    return attempt


class full_listener:  # noqa: N801 - reads as what it is
    """A listener whose backlog is full: connecting to it hangs."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._where = (host, port)

    def __enter__(self) -> int:
        self.sockets = [socket.socket() for _ in range(5)]
        listener, *blockers = self.sockets
        listener.bind(self._where)
        listener.listen(0)
        for blocker in blockers:
            blocker.setblocking(False)
            blocker.connect_ex(listener.getsockname())
        return int(listener.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        for sock in self.sockets:
            sock.close()


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
