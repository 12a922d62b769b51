"""What the socket tests share: both event loops, a raw web server and a scripted container."""

import asyncio
import contextlib
import inspect
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

import pytest

try:
    from uvloop import new_event_loop as new_uvloop
except ImportError:
    LOOPS = {"asyncio": asyncio.new_event_loop}
else:
    LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": new_uvloop}

#: Seconds after which a wait in a test is a failure.
PATIENCE = 5.0

T = TypeVar("T")
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a coroutine test on each event loop; its fixtures are passed on."""

    def run(new_loop: Callable[[], asyncio.AbstractEventLoop], **fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(asyncio.wait_for(test(**fixtures), 30))

    asked = inspect.signature(test).parameters.values()
    new_loop = inspect.Parameter("new_loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = inspect.Signature([new_loop, *asked])  # type: ignore[attr-defined]
    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    run.pytestmark = list(getattr(test, "pytestmark", ()))  # type: ignore[attr-defined]
    return pytest.mark.parametrize("new_loop", LOOPS.values(), ids=list(LOOPS))(run)


async def until(claim: Callable[[], object]) -> None:
    """Wait until a claim holds that nothing announces."""
    deadline = time.monotonic() + PATIENCE
    while not claim():
        assert time.monotonic() < deadline, f"never came true: {inspect.getsource(claim)}"
        await asyncio.sleep(0.001)


def open_files() -> int:
    """Descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


class WebServer:
    """A web server's end of a connection, in bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *packets: bytes) -> None:
        self.writer.write(b"".join(packets))

    async def packet(self) -> bytes:
        """One whole packet."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readexactly(4)
            return head + await self.reader.readexactly(int.from_bytes(head[2:]))

    async def expect(self, *packets: bytes) -> None:
        """Exactly these packets come next."""
        for packet in packets:
            assert await self.packet() == packet

    async def expect_close(self) -> None:
        """Nothing more comes and the connection is closed."""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionResetError):
                assert await self.reader.read() == b""

    async def expect_silence(self) -> None:
        """Nothing comes for now."""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await self.reader.read(1)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def web_server(port: int) -> AsyncIterator[WebServer]:
    """Connect to a container as a web server does."""
    peer = WebServer(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield peer
    finally:
        await peer.close()


@contextlib.asynccontextmanager
async def scripted_container(script: Script) -> AsyncIterator[int]:
    """A container that does what `script` says on each connection; yields its port."""
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def take_packet(reader: asyncio.StreamReader) -> bytes:
    """Payload of the next packet."""
    head = await reader.readexactly(4)
    return await reader.readexactly(int.from_bytes(head[2:]))


@contextlib.contextmanager
def in_background(context: Callable[[], contextlib.AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """Keep an asynchronous context open on a loop of its own in another thread."""
    entered: Future[T] = Future()
    leave = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def stay() -> None:
        loops.append(asyncio.get_running_loop())
        try:
            async with context() as value:
                entered.set_result(value)
                await leave.wait()
        except BaseException as error:
            if entered.done():
                raise
            entered.set_exception(error)

    thread = Thread(target=asyncio.run, args=(stay(),))
    thread.start()
    try:
        yield entered.result(PATIENCE)
    finally:
        loops[0].call_soon_threadsafe(leave.set)
        thread.join(PATIENCE)
        assert not thread.is_alive()
