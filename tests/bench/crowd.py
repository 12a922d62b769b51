"""What a crowd of idle and of very slow clients costs the others: throughput with and without it.

    python tests/bench/crowd.py URL [--beside URL] [--idle 10000] [--slow 2000] [--rounds 3]

Opens idle keep-alive connections (one request each, then silence) and slow ones (a request head,
one byte every other second, again and again), all in one process beside the measured one, and runs
`wrk` in turns: without the crowd, with it, without it … Prints requests per second of each run, the
medians and their ratio. On few cores a part of what is missing is the crowd's own work: `--beside`
sends it to another server of the same kind, to see how much. The daemon needs a keepalive_timeout
longer than the whole run, and both sides enough file descriptors (ulimit -n).
"""

import argparse
import asyncio
import re
import resource
import statistics
import subprocess
from urllib.parse import urlsplit

HEAD = b"GET %s HTTP/1.1\r\nHost: crowd\r\n"


class Crowd:
    """Connections that are only there."""

    def __init__(self, host: str, port: int, path: bytes) -> None:
        self._where = (host, port)
        self._path = path
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._slow: list[asyncio.Task[None]] = []
        self.cut_off = 0

    async def gather(self, idle: int, slow: int) -> None:
        """Open all of them, some hundred at a time."""
        gate = asyncio.Semaphore(200)

        async def one() -> None:
            async with gate:
                reader, writer = await asyncio.open_connection(*self._where)
                writer.write(HEAD % self._path + b"\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                assert b" 200 " in head, head
                assert length is not None, head
                await reader.readexactly(int(length[1]))
                self._idle.append((reader, writer))

        await asyncio.gather(*(one() for _ in range(idle)))
        self._slow = [asyncio.create_task(self._drip(number)) for number in range(slow)]

    async def _drip(self, number: int) -> None:
        await asyncio.sleep(number % 200 / 100)
        while True:
            _, writer = await asyncio.open_connection(*self._where)
            try:
                for byte in HEAD % self._path + b"X-Slow: " + b"x" * 1000:
                    writer.write(bytes((byte,)))
                    await writer.drain()
                    await asyncio.sleep(2)
            except ConnectionError:
                self.cut_off += 1
            finally:
                writer.close()

    async def leave(self) -> None:
        for task in self._slow:
            task.cancel()
        await asyncio.gather(*self._slow, return_exceptions=True)
        for _, writer in self._idle:
            writer.transport.abort()
        self._idle.clear()

    @property
    def still_open(self) -> int:
        return sum(not reader.at_eof() for reader, _ in self._idle)


async def measure(url: str, seconds: int) -> float:
    run = await asyncio.create_subprocess_exec(
        *("wrk", "-t1", "-c32", f"-d{seconds}s", url), stdout=subprocess.PIPE
    )
    out = (await run.communicate())[0].decode()
    assert "Non-2xx" not in out, out
    found = re.search(r"Requests/sec:\s+([0-9.]+)", out)
    assert found is not None, out
    return float(found[1])


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument("url")
    parser.add_argument("--beside", help="where the crowd goes instead: what it costs by itself")
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--slow", type=int, default=2_000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    url = urlsplit(args.beside or args.url)
    assert url.hostname is not None
    alone, crowded = [], []
    await measure(args.url, 2)
    for number in range(args.rounds):
        alone.append(await measure(args.url, args.seconds))
        crowd = Crowd(url.hostname, url.port or 80, url.path.encode())
        await crowd.gather(args.idle, args.slow)
        await asyncio.sleep(2)
        crowded.append(await measure(args.url, args.seconds))
        print(
            f"round {number + 1}: alone {alone[-1]:.0f}/s, crowded {crowded[-1]:.0f}/s, "
            f"idle still open {crowd.still_open}/{args.idle}, slow ones cut off {crowd.cut_off}"
        )
        await crowd.leave()
        await asyncio.sleep(2)
    ratio = statistics.median(crowded) / statistics.median(alone)
    print(
        f"median alone {statistics.median(alone):.0f}/s, "
        f"crowded {statistics.median(crowded):.0f}/s, ratio {ratio:.3f}"
    )


if __name__ == "__main__":
    asyncio.run(main())
