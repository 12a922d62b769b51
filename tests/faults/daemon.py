"""The daemon as its users start it, in processes of its own, and clients that never stop asking."""

import asyncio
import contextlib
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUEST = b"GET /app HTTP/1.1\r\nHost: app.example\r\n\r\n"
PATIENCE = 30.0


def environment(more: Mapping[str, str] | None = None, first: Path | None = None) -> dict[str, str]:
    places = [ROOT, ROOT / "daemon"] if first is None else [first, ROOT, ROOT / "daemon"]
    path = os.pathsep.join(map(str, places))
    return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "error", **(more or {})}


async def until(condition: Callable[[], object], what: str = "", within: float = PATIENCE) -> None:
    """Wait until something holds that another process brings about."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, what or "it did not come to pass"
        await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


class Ajpd:
    """One `ajpd run`.

    Attributes:
        config: path of its ajpd.toml; write what it shall read at a reload.
        pid: of the master.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "ajpd.toml"
        self.errors = folder / "stderr"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def children(self) -> list[int]:
        """The living processes under the master."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        return [pid for pid in map(int, text.split()) if is_alive(pid)]

    def said(self) -> str:
        """All it wrote to its standard error."""
        return self.errors.read_text(encoding="utf-8", errors="replace")

    def count(self, words: str) -> int:
        return self.said().count(words)

    def write(self, port: int, container: int, *, server: str = "", more: str = "") -> None:
        """Write a configuration in which everything goes to one container."""
        self.config.write_text(
            f'[server]\nlisten = ["127.0.0.1:{port}"]\nshutdown_timeout = "5s"\n{server}\n'
            f'[worker.app]\nhost = "127.0.0.1"\nport = {container}\n'
            f'[mount]\n"/*" = "app"\n{more}\n'
        )

    async def start(
        self,
        *,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
        is_ready: Callable[[], object] | None = None,
        path: Path | None = None,
    ) -> None:
        """Start it and return when it serves; `path` is searched for modules first."""
        before = self.count("listens on") if self.errors.exists() else 0
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - nothing waits for it here
                [*(command or (sys.executable, "-m", "ajpd")), "run", "-c", str(self.config)],
                env=environment(env, path),
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=pass_fds,
                start_new_session=True,
            )
        ready = is_ready or (lambda: self.count("listens on") > before)
        await until(lambda: ready() or not is_alive(self.pid), "it did not start")
        assert ready(), self.said()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def ends(self, within: float = PATIENCE) -> int:
        """Its exit code, once it has ended."""
        process = self.process
        assert process is not None
        await until(lambda: process.poll() is not None, "it did not end", within)
        return process.returncode

    async def ask(self, *args: object) -> tuple[int, str, str]:
        """Run another ajpd: exit code and what it said."""
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "ajpd", *map(str, args)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return done.returncode, done.stdout, done.stderr

    async def reload(self) -> tuple[int, str, str]:
        return await self.ask("reload", "-c", self.config)


@asynccontextmanager
async def ajpd(folder: Path, *, may_have_errors: bool = False) -> AsyncIterator[Ajpd]:
    """A daemon to be written and started; ended at the end, with nobody left behind."""
    daemon = Ajpd(folder)
    try:
        yield daemon
    finally:
        if daemon.process is not None:
            left = daemon.children() if daemon.process.poll() is None else []
            with contextlib.suppress(ProcessLookupError):
                os.killpg(daemon.pid, signal.SIGKILL)
            await daemon.ends()
            await until(lambda: not any(map(is_alive, left)))
    assert may_have_errors or "Traceback" not in daemon.said(), daemon.said()
    for words in ("never retrieved", "Exception ignored", "unclosed"):
        assert words not in daemon.said(), daemon.said()


# --- clients --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Load:
    """Clients that ask one after the other.

    Attributes:
        done: answers with 200.
        failures: what happened instead, one for each request.
    """

    port: int
    tls: ssl.SSLContext | None = None
    done: int = 0
    failures: list[str] = field(default_factory=list)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _is_over: bool = False

    def begin(self, fresh: int, keeping: int) -> None:
        """Start clients: with a connection for each request, and with one for many."""
        for number in range(fresh + keeping):
            self._tasks.add(asyncio.create_task(self._client(keeps=number >= fresh)))

    async def end(self) -> None:
        self._is_over = True
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*self._tasks)

    async def more(self, count: int) -> None:
        """Return after so many more answers."""
        enough = self.done + count
        await until(lambda: self.done >= enough, "there are no answers any more")

    async def _client(self, *, keeps: bool) -> None:
        while not self._is_over:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls)
            except OSError as exc:
                self.failures.append(f"connect: {exc!r}")
                await asyncio.sleep(0.01)
                continue
            try:
                while await self._request(reader, writer) and keeps and not self._is_over:
                    pass
            except (OSError, EOFError, TimeoutError) as exc:
                self.failures.append(repr(exc))
            finally:
                writer.transport.abort()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection stays."""
        writer.write(REQUEST)
        async with asyncio.timeout(PATIENCE):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
        if head.startswith(b"http/1.1 200 "):
            self.done += 1
        else:
            self.failures.append(head.partition(b"\r\n")[0].decode())
        return b"connection: close" not in head


@asynccontextmanager
async def load(
    port: int, *, fresh: int = 6, keeping: int = 6, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Load]:
    """Clients for as long as the block lasts."""
    made = Load(port, tls)
    made.begin(fresh, keeping)
    try:
        await made.more(50)
        yield made
    finally:
        await made.end()
