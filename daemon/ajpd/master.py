"""The process that starts the others, watches them and replaces them; it serves nobody.

Everything happens in turns of one plain loop, because a process that forks must have neither an
event loop nor threads. A reload makes a new generation of processes beside the old one: read
everything, bind what is new, fork, wait until all are prepared, let them serve, and only then let
the old ones drain. Whatever goes wrong before that ends the new generation, never the old one.
"""

import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from ajp import __version__
from ajp.errors import StatusTableError

from .child import PATIENCE_S, listing
from .config.errors import ConfigErrors
from .config.model import Config
from .control import Answer, Control
from .events import Events
from .generation import Child, Generation, spawn, words_of
from .ledger import Ledger, describe, journal_of, replay
from .listeners import ListenError, Listeners
from .live import let_files_win
from .log import open_files, reopen
from .opened import Opened, Refused, open_all
from .process import raise_descriptor_limit
from .systemd import Notifier, sockets_handed_over, watchdog_s

__all__ = ["Master"]

logger = logging.getLogger("ajpd.master")

#: Seconds in which all processes of a generation must serve.
START_TIMEOUT_S: Final = 30.0
#: Seconds beyond all patience, until a process that should have ended is killed.
KILL_AFTER_S: Final = 5.0
#: The same for one that was told not to wait for anything.
ABORT_S: Final = 2.0
#: Seconds without a sign of life after which a process counts as stuck.
STALE_S: Final = 3.0
#: Seconds between two looks at the processes.
LOOK_S: Final = 1.0

_SIGNALS: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGCHLD,
)

Told = Callable[[int, int], None]


def _nobody(slot: int, pid: int) -> None:
    """Nobody wants to know."""


class Master:
    """Runs a configuration in as many processes as it says, until a signal.

    Args:
        config: to begin with.
        load: reads the configuration again; raises ConfigErrors.
        files: paths that the configuration is known by, for `ajpd reload`.
        on_started: gets slot and process id of a process, right after its fork.
        on_died: gets the same once it is gone.
    """

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        files: Sequence[str],
        *,
        on_started: Told = _nobody,
        on_died: Told = _nobody,
    ) -> None:
        self._first = config
        self._load = load
        self._files = files
        self._on_started = on_started
        self._on_died = on_died
        self._events = Events(self._on_signal, _SIGNALS)
        self._notifier = Notifier(os.environ)
        self._watchdog_s = watchdog_s(os.environ)
        self._looked = 0.0
        self._named = sockets_handed_over(os.environ)
        self._control: Control | None = None
        self._children: dict[int, Child] = {}
        self._current: Generation | None = None
        self._next: Generation | None = None
        self._warnings: Sequence[str] = ()
        self._is_asked_again = False
        self._is_stopping = False
        self._code = 0

    def run(self) -> int:
        """Serve; returns the exit code once every process is gone."""
        raise_descriptor_limit()
        try:
            self._begin(self._first)
        except Refused as refused:
            self._complain(refused)
            self._code, self._is_stopping = 1, True
        while self._children or not self._is_stopping:
            self._events.turn()
        self._events.close()
        # The files of Unix sockets went when it began to end: by now they may be a successor's.
        if self._current is not None and self._current.opened.pid_file is not None:
            self._current.opened.pid_file.remove()
        return self._code

    # --- a new generation -------------------------------------------------------------------------

    def _begin(self, config: Config) -> None:
        """Open what a configuration needs, and fork its processes.

        Raises:
            Refused: something cannot be opened; all is as it was.
        """
        before = None if self._current is None else self._current.opened
        opened = open_all(config, before, self._named, self._files)
        opened.use_log()
        try:
            number = opened.table.begin_generation()
            ledger = Ledger.enter(opened.table, config)
            replay(config, opened.table)
        except StatusTableError as exc:
            opened.close_except(before)
            raise Refused(describe(exc, opened.table.path)) from exc
        self._next = generation = Generation(number=number, opened=opened, ledger=ledger)
        if config.server.user and os.geteuid() != 0:
            logger.warning("user %r: only root can become somebody else", config.server.user)
        # Pages that the collector leaves alone stay shared with the processes.
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        for lane in range(opened.listeners.lanes):
            self._spawn(generation, lane)
        if len(generation.children) < opened.listeners.lanes:
            self._give_up("no process can be started")
        self._events.later(START_TIMEOUT_S, lambda: self._check_start(generation))

    def _spawn(self, generation: Generation, lane: int) -> None:
        taken = {child.slot for child in self._children.values()}
        slot = next(number for number in range(len(taken) + 1) if number not in taken)
        try:
            child = spawn(
                generation,
                lane=lane,
                slot=slot,
                leave_to_parent=lambda: self._leave_to_parent(generation),
            )
        except OSError as exc:
            logger.error("no process can be started: %s", exc.strerror or exc)
            return
        self._children[child.pid] = generation.children[lane] = child
        self._events.watch(child.channel, lambda: self._hear(child))
        self._on_started(slot, child.pid)

    def _leave_to_parent(self, generation: Generation) -> None:
        """In a new process of a generation: close what belongs to the master."""
        self._events.close_in_child()
        if self._control is not None:
            self._control.close_in_child()
        for other in (self._current, self._next):
            if other is not None:
                other.opened.close_in_child(generation.opened)

    def _hear(self, child: Child) -> None:
        for word in child.heard():
            if word == b"prepared":
                child.is_prepared = True
                self._on_prepared(child)
            elif word == b"serving":
                child.is_serving = True
                if child.generation is self._next and self._next.is_whole(serving=True):
                    self._settle(self._next)
            elif word.startswith(b"failed:"):
                child.failure = word.removeprefix(b"failed:").decode("utf-8", "surrogateescape")

    def _on_prepared(self, child: Child) -> None:
        generation = child.generation
        if generation is self._current:
            child.tell(b"go")
        elif generation is self._next and generation.is_whole(serving=False):
            try:
                if self._current is not None:
                    journal = journal_of(generation.config, generation.opened.table)
                    before = self._current.config
                    let_files_win(generation.ledger, before, generation.config, journal)
                generation.ledger.settle(generation.config)
                generation.listeners.listen()
            except (ListenError, StatusTableError) as exc:
                self._give_up(str(exc))
                return
            generation.tell(b"go")

    def _settle(self, generation: Generation) -> None:
        """Let a generation that serves be the current one, and the one before it drain."""
        old, self._current, self._next = self._current, generation, None
        count = generation.listeners.lanes
        serving = f"{count} process{'es' if count != 1 else ''}"
        where = str(generation.listeners) or "no address"
        if old is None:
            logger.info("ajpd %s listens on %s: %s", __version__, where, serving)
            self._open_control(generation.opened)
            self._looked = time.monotonic()
            self._look_after()
            self._watch_over()
        else:
            old.opened.close_except(generation.opened)
            generation.opened.table.note_reload(done=True)
            logger.info("reloaded, listens on %s: %s", where, serving)
            patience = PATIENCE_S if old.config.server.shutdown_timeout_ms else 0.0
            self._dismiss([*old.children.values()], b"drain", old.config, patience)
        self._notifier.ready(f"{serving} on {where}")
        text = f"reloaded: {serving} on {where}"
        self._answer(Answer(done=True, text=text, warnings=self._warnings))

    def _check_start(self, generation: Generation) -> None:
        if generation is self._next:
            self._give_up(f"not all processes serve after {START_TIMEOUT_S:g} s")

    def _give_up(self, *lines: str) -> None:
        """End the new generation, and be as before."""
        failed, self._next = self._next, None
        if failed is None:
            return
        if self._current is not None:
            self._current.opened.use_log()
        failed.opened.close_except(None if self._current is None else self._current.opened)
        self._dismiss([*failed.children.values()], b"stop", failed.config)
        refused = Refused(*lines, warnings=self._warnings)
        self._complain(refused)
        if self._current is None:
            self._code, self._is_stopping = 1, True

    def _complain(self, refused: Refused) -> None:
        """Say why a configuration is not used: at the start to who started, else to who asked."""
        if self._current is None:
            for line in refused.lines:
                print(f"ajpd: {line}", file=sys.stderr, flush=True)
            return
        for line in refused.lines:
            logger.error("reload: %s", line)
        logger.error("reload: refused, all is as before")
        self._current.opened.table.note_reload(done=False)
        self._notifier.ready("reload refused, all is as before")
        self._answer(Answer(done=False, errors=refused.lines, warnings=refused.warnings))

    # --- being asked ------------------------------------------------------------------------------

    def _open_control(self, opened: Opened) -> None:
        try:
            self._control = Control(
                self._files, self._events, self._reload, table=str(opened.table.path)
            )
        except OSError as exc:
            logger.warning(
                "ajpd reload will not find this one: %s: %s", " ".join(self._files), exc.strerror
            )

    def _answer(self, answer: Answer) -> None:
        if self._control is not None:
            self._control.answer(answer)
        if self._is_asked_again and not self._is_stopping:
            self._is_asked_again = False
            self._events.later(0.0, self._reload)

    def _reload(self) -> None:
        """Read everything again; what is wrong is said, and then nothing has changed."""
        if self._is_stopping or self._current is None:
            return
        if self._next is not None:
            self._is_asked_again = True
            return
        if self._control is not None:
            self._control.begin()
        logger.info("reading the configuration again")
        self._notifier.reloading()
        self._warnings = ()
        try:
            config = self._load()
            self._warnings = [warning.located for warning in config.warnings]
            for warning in self._warnings:
                logger.warning("reload: %s", warning)
            self._begin(config)
        except ConfigErrors as broken:
            warnings = [warning.located for warning in broken.warnings]
            self._complain(Refused(*(error.located for error in broken.errors), warnings=warnings))
        except Refused as refused:
            self._complain(Refused(*refused.lines, warnings=self._warnings))
        except Exception as exc:
            # Whatever it is, those who serve are not to blame.
            logger.exception("reload")
            self._refuse(f"an error of ajpd itself: {exc!r}")

    def _refuse(self, line: str) -> None:
        """End a reload, however far it has come."""
        if self._next is None:
            self._complain(Refused(line, warnings=self._warnings))
        else:
            self._give_up(line)

    def _on_signal(self, number: signal.Signals) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        elif number == signal.SIGHUP:
            self._reload()
        elif number == signal.SIGUSR1:
            self._reopen_logs()
        elif number == signal.SIGQUIT or self._is_stopping:
            self._abort(number.name)
        else:
            logger.info("%s: finishing what is under way", number.name)
            self._stop(b"stop")

    def _reopen_logs(self) -> None:
        """Open the logs again, and hand them to the processes, which may not be allowed to."""
        for problem in reopen():
            logger.error("%s", problem)
        word, fds = listing(open_files())
        for child in self._children.values():
            child.tell(word, fds)
        logger.info("logs opened again")

    # --- what processes do ------------------------------------------------------------------------

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.get(pid)
            if child is not None:
                self._hear(child)
                self._bury(child, status)

    def _bury(self, child: Child, status: int) -> None:
        generation = child.generation
        self._events.forget(child.channel)
        child.channel.close()
        del self._children[child.pid]
        del generation.children[child.lane]
        self._clear(generation, child)
        self._on_died(child.slot, child.pid)
        if status or (generation is self._current and not self._is_stopping):
            generation.opened.table.note_death()
        words = child.failure or f"process {child.pid} {words_of(status)}"
        if generation is self._next:
            self._give_up(words)
        elif generation is self._current and not self._is_stopping:
            pause = generation.pause(child)
            logger.error("%s; another one follows in %g s", words, pause)
            self._events.later(pause, lambda: self._replace(generation, child.lane))
        elif status:
            logger.warning("%s", words)

    def _clear(self, generation: Generation, child: Child) -> None:
        """Forget what a dead process had in flight."""
        try:
            generation.opened.table.clear_process(child.pid)
        except StatusTableError as exc:
            logger.error("what process %d had in flight stays counted: %s", child.pid, exc)

    def _replace(self, generation: Generation, lane: int) -> None:
        if generation is not self._current or self._is_stopping:
            return
        self._spawn(generation, lane)
        if lane not in generation.children:
            self._events.later(1.0, lambda: self._replace(generation, lane))

    def _look_after(self) -> None:
        """Kill processes that gave no sign of life for hang_timeout; others follow them."""
        if self._is_stopping or self._current is None:
            return
        now = time.monotonic()
        slept, self._looked = now - self._looked, now
        limit = self._current.config.server.hang_timeout_ms / 1000
        for child in self._current.children.values():
            if slept > LOOK_S + STALE_S:
                # We were stopped ourselves, and for all we know they were too.
                child.beat = now
            elif limit and child.is_serving and now - child.beat > limit:
                logger.error(
                    "process %d hangs: no sign of life for %.0f s; it is killed",
                    child.pid,
                    now - child.beat,
                )
                child.is_serving = False
                child.kill()
        self._events.later(LOOK_S, self._look_after)

    def _watch_over(self) -> None:
        """Tell systemd that all is well, as long as it is."""
        if not self._watchdog_s or self._is_stopping or self._current is None:
            return
        oldest = time.monotonic() - max(STALE_S, self._watchdog_s / 2)
        children = self._current.children.values()
        if self._current.is_whole(serving=True) and all(each.beat > oldest for each in children):
            self._notifier.is_alive()
        self._events.later(self._watchdog_s / 4, self._watch_over)

    # --- the end ----------------------------------------------------------------------------------

    def _dismiss(
        self, children: Sequence[Child], word: bytes, config: Config, patience: float = 0.0
    ) -> None:
        """Tell processes to end, and see to it that they do."""
        for child in children:
            child.tell(word)
        shutdown_s = config.server.shutdown_timeout_ms / 1000
        if shutdown_s or word == b"abort":
            wait = ABORT_S if word == b"abort" else shutdown_s + patience + KILL_AFTER_S
            self._events.later(wait, lambda: self._kill(children))

    def _kill(self, children: Sequence[Child]) -> None:
        for child in children:
            if self._children.get(child.pid) is child:
                logger.error("process %d does not end and is killed", child.pid)
                child.kill()

    def _stop(self, word: bytes) -> None:
        """Serve no longer; the processes may take the time that their configuration gives."""
        self._is_stopping = True
        self._notifier.stopping()
        if self._control is not None:
            self._control.close(Answer(done=False, errors=["ajpd is coming to its end"]))
            self._control = None
        if self._next is not None:
            failed, self._next = self._next, None
            failed.opened.close_except(None if self._current is None else self._current.opened)
        if self._current is not None:
            self._current.listeners.close_except(Listeners())
        for child in [*self._children.values()]:
            self._dismiss([child], word, child.generation.config)

    def _abort(self, name: str) -> None:
        if self._is_stopping:
            logger.warning("%s again: not waiting any longer", name)
            self._dismiss([*self._children.values()], b"abort", self._first)
        else:
            logger.warning("%s: not waiting for anything", name)
            self._stop(b"abort")
