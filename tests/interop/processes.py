"""Servers that the tests start themselves: one process each, its output in a file.

Nothing here knows which server it is. What is missing on the machine is told in words: the test
is skipped, or fails where the environment says `CI=true`.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

#: Ports are taken below the range from which the system takes those of outgoing connections, so
#: that a server can come back to its port after a restart.
_PORTS = range(20_000, 32_000)
_LOOPBACK = "127.0.0.1"
_TAIL_LINES = 40

_given_ports: set[int] = set()


class ServerFailed(Exception):  # noqa: N818 - says what happened, and to whom
    """A server did not start, did not stop, or died; the message ends with its last output."""


def eventually(condition: Callable[[], bool], *, within: float = 30.0) -> None:
    """Wait until something holds that another process brings about."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


def missing(what: str, package: str) -> NoReturn:
    """Skip the test because something is not installed; fail it in continuous integration."""
    text = f"{what} is missing: install {package} (tests/tools/system_packages.sh does)"
    if os.environ.get("CI") == "true":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def free_port() -> int:
    """Find a TCP port of the loopback that nothing listens on; never the same one twice."""
    while True:
        port = random.choice(_PORTS)
        if port in _given_ports:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_LOOPBACK, port))
            except OSError:
                continue
        _given_ports.add(port)
        return port


def established(port: int) -> int:
    """Count established TCP connections of this machine that lead to a port of the loopback."""
    remote, state = f"0100007F:{port:04X}", "01"
    rows = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    fields = [row.split() for row in rows]
    return sum(row[2] == remote and row[3] == state for row in fields)


def _all_stopped(pid: int) -> bool:
    """Whether each thread of a process has taken notice of SIGSTOP."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # pid (name) state ...; the name may hold anything
            if stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "T":
                return False
    return True


class ServerProcess:
    """One server: started, awaited, stopped or killed.

    Args:
        name: what messages call it.
        command: what to run; it must stay in the foreground.
        directory: where it runs, and where its output goes (`NAME.out`).
        env: added to the environment.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        directory: Path,
        *,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._command = [*command]
        self._directory = directory
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.output_path = directory / f"{name}.out"

    @property
    def pid(self) -> int:
        """Of the running process."""
        if self._process is None:
            raise ServerFailed(f"{self.name} is not running")
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def has_died(self) -> bool:
        """It was started, nobody stopped it, and yet it is gone."""
        return self._process is not None and self._process.poll() is not None

    def output(self) -> str:
        """All it wrote to its standard output and error, over all its lives."""
        if not self.output_path.exists():
            return ""
        return self.output_path.read_text(encoding="utf-8", errors="replace")

    def memory(self) -> int:
        """Bytes of memory it and its children have right now; what they share counts for each."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        pages = [
            Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
            for pid in (self.pid, *children.split())
        ]
        return sum(map(int, pages)) * os.sysconf("SC_PAGE_SIZE")

    def tail(self) -> str:
        """The last lines of its output, for messages."""
        lines = self.output().splitlines()[-_TAIL_LINES:]
        return "\n".join([f"--- last output of {self.name}:", *lines, "---"])

    def start(self, is_ready: Callable[[], bool], *, timeout: float) -> None:
        """Start it and return when it answers."""
        with self.output_path.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + timeout
        while not is_ready():
            if self._process.poll() is not None:
                code = self._process.returncode
                raise ServerFailed(f"{self.name} ended with {code} at its start\n{self.tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerFailed(f"{self.name} did not answer in {timeout} s\n{self.tail()}")
            time.sleep(0.02)

    def stop(self, *, timeout: float = 15.0) -> int:
        """End it politely (SIGTERM) and return its exit code."""
        return self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._end(signal.SIGKILL, 15.0)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it do nothing at all (SIGSTOP) for as long as the block lasts."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            while not _all_stopped(pid):
                time.sleep(0.001)
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def _end(self, number: signal.Signals, timeout: float) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired as exc:
            self._process.kill()
            self._process.wait()
            text = f"{self.name} did not end in {timeout} s after {number.name}"
            raise ServerFailed(f"{text}\n{self.tail()}") from exc
        finally:
            self._process = None


def listens(port: int) -> bool:
    """Whether a connection to a port of the loopback is accepted."""
    try:
        socket.create_connection((_LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True
