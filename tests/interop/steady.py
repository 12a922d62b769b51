"""Clients that ask all the time, come back after whatever happens, and note how long it took.

How long the machine itself had no time for them is noted too, so that a bound means the daemon.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.faults.daemon import until

__all__ = ["Steady", "ask", "steady"]

#: Seconds within which anything has to happen.
PATIENCE = 30.0
_TICK = 0.02
_PAUSE = 0.01


class _Link:
    """A connection that is made when it is needed, and again when it was closed."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._writer: asyncio.StreamWriter | None = None
        self._reader = asyncio.StreamReader()

    async def ask(self, line: str, header: str = "") -> int:
        """Send a request without a body; the status of its answer.

        Raises:
            OSError, EOFError: there was none.
        """
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(*self._address)
        length = "Content-Length: 0\r\n" if line.startswith("POST") else ""
        request = f"{line} HTTP/1.1\r\nHost: app.example\r\n{header}{length}\r\n"
        is_kept = False
        try:
            async with asyncio.timeout(PATIENCE):
                self._writer.write(request.encode())
                head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
                size = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await self._reader.readexactly(int(size))
            is_kept = b"connection: close" not in head
            return int(head[9:12])
        finally:
            if not is_kept:
                self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None


async def ask(address: tuple[str, int], line: str) -> int:
    """One request over a connection of its own; 0 when there was no answer."""
    link = _Link(address)
    try:
        return await link.ask(line)
    except (OSError, EOFError):
        return 0
    finally:
        link.close()


@dataclass(slots=True)
class Steady:
    """What came of all requests.

    Attributes:
        statuses: of the GETs.
        waits: seconds of each GET, from the first try to its answer.
        broken: tries of a GET that were not answered; each is made again.
        posts: what came of each POST, by its id; 0: nothing.
        stall: most seconds by which this machine was late for us.
        under_way: requests that wait for their answer right now.
    """

    address: tuple[str, int]
    statuses: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    posts: dict[str, int] = field(default_factory=dict)
    stall: float = 0.0
    under_way: int = 0
    _goes: asyncio.Event = field(default_factory=asyncio.Event)
    _is_over: bool = False

    @property
    def done(self) -> int:
        """How many GETs were answered."""
        return self.statuses.total()

    async def more(self, count: int) -> None:
        """Return after so many more answers."""
        enough = self.done + count
        await until(lambda: self.done >= enough, "there are no answers any more")

    async def pause(self) -> None:
        """Let nobody begin another request, and those under way end."""
        self._goes.clear()
        await until(lambda: self.under_way == 0, "requests do not end")

    def go_on(self) -> None:
        """Let everybody ask again."""
        self._goes.set()

    async def _client(self, number: int, line: str) -> None:
        """One client; `line` may have a place for an id."""
        link, turn = _Link(self.address), 0
        try:
            while not self._is_over:
                await self._goes.wait()
                turn += 1
                self.under_way += 1
                try:
                    await self._request(link, line, f"{number}-{turn}")
                finally:
                    self.under_way -= 1
                await asyncio.sleep(_PAUSE)
        finally:
            link.close()

    async def _request(self, link: _Link, line: str, name: str) -> None:
        begun = time.monotonic()
        while True:
            try:
                status = await link.ask(line.format(id=name))
            except (OSError, EOFError) as exc:
                if line.startswith("POST"):
                    self.posts[name] = 0
                    return
                self.broken.append(f"{name}: {exc!r}")
                await asyncio.sleep(_PAUSE)
            else:
                break
        if line.startswith("POST"):
            self.posts[name] = status
        else:
            self.statuses[status] += 1
            self.waits.append(time.monotonic() - begun)

    async def _watch_the_machine(self) -> None:
        while not self._is_over:
            before = time.monotonic()
            await asyncio.sleep(_TICK)
            self.stall = max(self.stall, time.monotonic() - before - _TICK)


@asynccontextmanager
async def steady(
    address: tuple[str, int], *, gets: int, posts: int = 0, get: str = "GET /app/slow?ms=2"
) -> AsyncIterator[Steady]:
    """Clients for as long as the block lasts; it begins when they were answered."""
    load = Steady(address)
    lines = [get] * gets + ["POST /app/record?ms=2&id={id}"] * posts
    tasks = [asyncio.create_task(load._client(number, line)) for number, line in enumerate(lines)]
    tasks.append(asyncio.create_task(load._watch_the_machine()))
    load.go_on()
    try:
        await load.more(5 * gets)
        yield load
    finally:
        load._is_over = True
        load.go_on()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*tasks)
