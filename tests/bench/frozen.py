"""How long clients wait while a process behind a proxy stands still.

Sixteen connections ask the proxy for one page again and again. After a second the process gets
SIGSTOP, and SIGCONT some seconds later. Prints how many answers came, the worst wait, and how many
failed, as one line.

    python tests/bench/frozen.py URL PID [--seconds 8] [--connections 16]

Not a test: what it measures of others depends on their configuration, and is in
docs/explanation/probing.md.
"""

import argparse
import asyncio
import os
import signal
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PAUSE_S = 0.04
PATIENCE_S = 30.0


@dataclass(slots=True)
class Result:
    """What came of all requests."""

    waits: list[float] = field(default_factory=list)
    failed: int = 0

    def line(self) -> str:
        """For people."""
        late = sum(wait > 1.0 for wait in self.waits)
        return (
            f"{len(self.waits)} answers, the worst after {max(self.waits):.2f} s, {late} of them "
            f"after more than 1 s; {self.failed} failed"
        )


async def visit(host: str, port: int, target: str, result: Result, stop: asyncio.Event) -> None:
    """Ask until told to stop, over one connection as long as it lasts."""
    request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection(host, port)
    while not stop.is_set():
        begun = time.monotonic()
        try:
            writer.write(request)
            async with asyncio.timeout(PATIENCE_S):
                is_good, goes_on = await answer(reader)
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            is_good = goes_on = False
        result.waits.append(time.monotonic() - begun)
        result.failed += not is_good
        if not goes_on:
            writer.close()
            reader, writer = await asyncio.open_connection(host, port)
        await asyncio.sleep(PAUSE_S)
    writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[bool, bool]:
    """Read one answer; whether its status is good, and whether the connection goes on."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"transfer-encoding: chunked" in head:
        while size := int((await reader.readline()).strip(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        _, _, length = head.partition(b"content-length: ")
        await reader.readexactly(int(length.partition(b"\r\n")[0] or 0))
    return head[9:10] in b"23", b"connection: close" not in head


async def measure(url: str, pid: int, *, seconds: float, connections: int) -> Result:
    """Stop a process under load; what the load saw."""
    where = urlsplit(url)
    result, stop = Result(), asyncio.Event()
    tasks = [
        asyncio.create_task(
            visit(where.hostname or "", where.port or 80, where.path or "/", result, stop)
        )
        for _ in range(connections)
    ]
    await asyncio.sleep(1.0)
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)
    await asyncio.sleep(2.0)
    stop.set()
    await asyncio.gather(*tasks)
    return result


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("pid", type=int)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    found = measure(
        options.url, options.pid, seconds=options.seconds, connections=options.connections
    )
    print(asyncio.run(found).line())


if __name__ == "__main__":
    main()
