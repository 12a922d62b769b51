"""The processes of one configuration, as their master sees them: made, told and counted.

A *lane* is the place of a process in its generation: which queues of new connections it serves.
Its *slot* is a number that no other living process has, of whatever generation.
"""

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from .child import run_child
from .config.model import Config
from .ledger import Ledger
from .listeners import Listeners
from .log import say_repeats
from .opened import Opened

__all__ = ["Child", "Generation", "backoff", "spawn", "words_of"]

logger = logging.getLogger("ajpd.master")

#: A process that lived longer had no trouble with its start.
YOUNG_S: Final = 10.0
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_MOST_BYTES: Final = 65536


@dataclass(slots=True, kw_only=True, eq=False)
class Generation:
    """All processes that were started with one configuration.

    Attributes:
        number: as the status table has it.
        opened: what they share.
        ledger: their places in that table.
        children: the living ones by lane; a lane whose process died is missing until there is a
            new one.
        deaths: how many processes of a lane died young, one after the other.
    """

    number: int
    opened: Opened
    ledger: Ledger
    children: dict[int, "Child"] = field(default_factory=dict)
    deaths: dict[int, int] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        """What they run."""
        return self.opened.config

    @property
    def listeners(self) -> Listeners:
        """Theirs together."""
        return self.opened.listeners

    def is_whole(self, *, serving: bool) -> bool:
        """Whether every lane has a process that got so far."""
        found = [self.children.get(lane) for lane in range(self.listeners.lanes)]
        return all(
            child is not None and (child.is_serving or (child.is_prepared and not serving))
            for child in found
        )

    def tell(self, word: bytes) -> None:
        """Say a word to all."""
        for child in self.children.values():
            child.tell(word)

    def pause(self, child: "Child") -> float:
        """Note a death; returns the seconds until the lane shall have another process."""
        lived = time.monotonic() - child.born
        deaths = self.deaths.get(child.lane, 0) + 1 if lived < YOUNG_S else 0
        self.deaths[child.lane] = deaths
        return backoff(deaths)


@dataclass(slots=True, kw_only=True, eq=False)
class Child:
    """One process.

    Attributes:
        channel: to it, see `child.py`.
        born: when it was forked, on the monotonic clock.
        beat: when it was last heard of, on the same.
        failure: why it could not start, in its own words.
    """

    pid: int
    lane: int
    slot: int
    generation: Generation
    channel: socket.socket
    born: float
    beat: float
    is_prepared: bool = False
    is_serving: bool = False
    failure: str = ""

    def tell(self, word: bytes, fds: Sequence[int] = ()) -> None:
        """Say a word to it; one that is dead hears nothing."""
        try:
            socket.send_fds(self.channel, [word], fds)
        except BlockingIOError:
            logger.error("process %d does not listen to its master", self.pid)
        except OSError:
            logger.debug("process %d is gone", self.pid)

    def heard(self) -> Iterator[bytes]:
        """Words that came from it since the last time."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while word := self.channel.recv(_MOST_BYTES):
                self.beat = time.monotonic()
                yield word

    def kill(self) -> None:
        """End it, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def backoff(deaths: int) -> float:
    """Seconds until a process is replaced, of which so many died young in a row."""
    if deaths < 2:
        return 0.0
    return float(min(_FIRST_PAUSE_S * 2 ** min(deaths - 2, 10), _LONGEST_PAUSE_S))


def spawn(
    generation: Generation, *, lane: int, slot: int, leave_to_parent: Callable[[], None]
) -> Child:
    """Fork a process.

    Args:
        generation: it belongs to; it is not entered there.
        lane: in it.
        slot: of it.
        leave_to_parent: closes, in the new process, what belongs to the master, other than
            listeners.

    Raises:
        OSError: there cannot be more processes now.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setblocking(False)
    # What is not written yet would be written twice.
    sys.stdout.flush()
    sys.stderr.flush()
    # No handler of the master may run in the child.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            ours.close()
            leave_to_parent()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            _live(generation, lane, slot, theirs)
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
    now = time.monotonic()
    return Child(
        pid=pid, lane=lane, slot=slot, generation=generation, channel=ours, born=now, beat=now
    )


def _live(generation: Generation, lane: int, slot: int, channel: socket.socket) -> NoReturn:
    """Be a process of this generation; the way back into the master's code is closed."""
    code = 1
    try:
        # While another configuration comes up, the master writes to its log.
        generation.opened.use_log()
        sockets = generation.listeners.of(lane)
        generation.listeners.close_sockets(kept=sockets.all)
        code = run_child(
            generation.config,
            sockets,
            channel,
            slot=slot,
            table=generation.opened.table,
            generation=generation.number,
        )
    except BaseException:
        logger.exception("process %d ends by an error of its own", os.getpid())
    finally:
        say_repeats(all_of_them=True)
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def words_of(status: int) -> str:
    """What a status of `waitpid` means."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(number).name}"
        return f"was ended by signal {number}"
    return f"ended with exit code {os.waitstatus_to_exitcode(status)}"
