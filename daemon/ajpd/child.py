"""A process that serves under a master, from its fork to its end.

Both talk over a pair of sockets, a word at a time. The master says `go` `drain` `stop` `abort` and
`logs`; the process says `prepared` `serving` `beat` and `failed:WHY`. When the master is gone, its
end of the pair closes: the process then drains and ends, so that a new master starts clean.
"""

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import signal
import socket
from collections.abc import Sequence
from typing import Final

from ajp.errors import StatusTableError
from ajp.table import Table

from .config.certificates import BadCertificate
from .config.model import Config, Scheduling, ServerConfig
from .ledger import Ledger, describe
from .listeners import Sockets
from .log import reopen, take_files
from .process import Process, run_loop

__all__ = ["BEAT_S", "PATIENCE_S", "become", "listing", "run_child"]

logger = logging.getLogger("ajpd.process")

#: Seconds between two signs of life.
BEAT_S: Final = 1.0
#: Seconds in which idle clients of a process that a new one replaces may still ask once more; after
#: them a request would meet a closed connection. nginx has keepalive_min_timeout for it.
PATIENCE_S: Final = 2.0

_MOST_BYTES: Final = 65536
_MOST_FILES: Final = 64


def run_child(
    config: Config,
    sockets: Sockets,
    channel: socket.socket,
    *,
    slot: int,
    table: Table,
    generation: int,
) -> int:
    """Serve until the master says otherwise; returns the exit code.

    Args:
        config: checked.
        sockets: listeners of this process.
        channel: to the master.
        slot: see `Process`.
        table: where it counts, in a column of its own.
        generation: that the table knows its configuration by.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    child = _Child(channel)
    try:
        ledger = Ledger.enter(table, config, column=table.claim_process(generation=generation))
    except StatusTableError as exc:
        child.fail(describe(exc, table.path))
        return child.code
    try:
        run_loop(child.live(config, sockets, slot, ledger))
    finally:
        _leave_table(ledger)
    return child.code


def _leave_table(ledger: Ledger) -> None:
    """Have nothing in flight any more, also when there is no master to see to it."""
    if ledger.column is not None:
        try:
            ledger.memory.clear_column(ledger.column.number)
        except StatusTableError as exc:
            logger.warning("the column of this process stays in the table: %s", exc)


def become(server: ServerConfig) -> None:
    """Stop being root, for good, if there is a user to become.

    Raises:
        OSError: the system refuses.
        KeyError: there is no such user or group any more.
    """
    if not server.user or os.geteuid() != 0:
        return
    user = pwd.getpwnam(server.user)
    group = grp.getgrnam(server.group).gr_gid if server.group else user.pw_gid
    os.initgroups(server.user, group)
    os.setresgid(group, group, group)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)


def schedule(wanted: Scheduling) -> None:
    """Have this process wait for its turn where that is wanted.

    A policy that somebody gave it on purpose stays.
    """
    if wanted != "batch" or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError as exc:
        logger.warning("scheduling = batch: the system refuses: %s", exc.strerror)


def listing(files: Sequence[tuple[str, int]]) -> tuple[bytes, list[int]]:
    """Word and descriptors with which a master hands over logs that it opened again."""
    names = "\0".join(path for path, _ in files)
    return b"logs" + names.encode("utf-8", "surrogateescape"), [fd for _, fd in files]


class _Child:
    """What a process does at the words of its master, and at signals."""

    def __init__(self, channel: socket.socket) -> None:
        self.code = 0
        self._channel = channel
        self._master = os.getppid()
        self._go = asyncio.Event()
        self._end = asyncio.Event()
        self._patience = 0.0
        self._signals = 0
        self._process: Process | None = None

    async def live(
        self,
        config: Config,
        sockets: Sockets,
        slot: int,
        ledger: Ledger,
    ) -> None:
        """All of it."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._channel.fileno(), self._hear)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._on_signal, number)
        loop.add_signal_handler(signal.SIGUSR1, _reopen_logs)
        try:
            # What only root may read is read before.
            self._process = Process(
                config,
                *sockets,
                slot=slot,
                keeps_paths=True,
                ledger=ledger,
                master=self._master,
            )
            become(config.server)
            schedule(config.server.scheduling)
        except BadCertificate as exc:  # it was good a moment ago
            self.fail(f"tls.{exc.key}: {exc}")
        except (OSError, KeyError, ValueError) as exc:
            self.fail(str(exc))
        else:
            self._say(b"prepared")
            await self._serve(self._process)
        loop.remove_reader(self._channel.fileno())

    async def _serve(self, process: Process) -> None:
        ended = asyncio.ensure_future(self._end.wait())
        go = asyncio.ensure_future(self._go.wait())
        await asyncio.wait((go, ended), return_when=asyncio.FIRST_COMPLETED)
        go.cancel()
        if not ended.done():
            await process.start()
            self._say(b"serving")
        beating = asyncio.create_task(self._beat(), name="beat")
        await ended
        await process.stop(patience=self._patience)
        beating.cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self._say(b"beat")

    def fail(self, words: str) -> None:
        """Tell the master why this process cannot go on."""
        self.code = 1
        self._say(b"failed:" + words.encode("utf-8", "surrogateescape"))

    def _say(self, word: bytes) -> None:
        # A master that reads nothing hears nothing; one that is gone is noticed elsewhere.
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self._channel.send(word)

    def _hear(self) -> None:
        try:
            word, fds, _, _ = socket.recv_fds(self._channel, _MOST_BYTES, _MOST_FILES)
        except BlockingIOError:
            return
        except ConnectionError:
            word, fds = b"", []
        if word.startswith(b"logs"):
            names = word.removeprefix(b"logs").decode("utf-8", "surrogateescape").split("\0")
            take_files(zip(names, fds, strict=True))
            logger.debug("logs opened again")
        elif word == b"go":
            self._go.set()
        elif word == b"abort":
            self._leave(now=True)
        elif word in (b"drain", b"stop"):
            self._leave(patience=PATIENCE_S if word == b"drain" else 0.0)
        elif not word:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            logger.error("the master is gone: finishing what is under way")
            self._leave()

    def _on_signal(self, number: signal.Signals) -> None:
        # A terminal sends its signals to the master too, which speaks about them.
        logger.debug("%s", number.name)
        self._signals += 1
        self._leave(now=number == signal.SIGQUIT or self._signals > 1)

    def _leave(self, *, patience: float = 0.0, now: bool = False) -> None:
        if self._process is not None and (now or self._end.is_set()):
            if now:
                self._process.abort()
            elif not patience:
                self._process.hurry()
        if not self._end.is_set():
            if self._process is not None:
                self._process.say_draining()
            self._patience = patience
            self._end.set()


def _reopen_logs() -> None:
    for problem in reopen():
        logger.error("%s", problem)
