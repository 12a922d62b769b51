"""Look after the containers: which are there, which are not, and which stand still.

One process of all probes, whichever the table names; when it ends, another one takes over with its
next look, and when it stands still, a few seconds later. What it finds is in the table and on the
members. Every process looks at the table, and has requests leave a container that stands still. How
a probe is made is in `ajp.probe`, what it does to a member in `ajp.lb`.

A container is frozen when a CPING is unanswered for freeze_timeout, and not one byte of it came
meanwhile, over any connection of any process. So one whose threads are all at work is not, as long
as one of them gets somewhere.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Final, NamedTuple

from ajp._column import Column
from ajp._slot import Slot
from ajp.errors import EndpointError, Reason
from ajp.probe import Probe, ProbeRequest, ProbeResult
from ajp.snapshot import ProbeState
from ajp.worker import Worker

from ._placement import Group
from .balancing import log_changes
from .config.model import Config, ProbeConfig
from .ledger import Ledger

__all__ = ["LOOK_EVERY", "Prober"]

logger = logging.getLogger("ajpd.prober")

#: Seconds between two looks.
LOOK_EVERY: Final = 0.1
#: Most that one look adds to a silence: when looks come later it was us who stood still.
MOST_OF_A_LOOK: Final = 0.25
#: Seconds without a sign of life after which a process that probes has lost its place.
LOST_AFTER: Final = 3.0
#: Seconds of silence after which a container with requests under way is asked out of turn.
SUSPICIOUS: Final = 0.3

# What is no failure of a container that others hear of meanwhile.
_LATE: Final = frozenset({Reason.CPING_TIMEOUT, Reason.CONNECT_TIMEOUT})


class _Place(NamedTuple):
    """A container as a member: the group of its balancer, and its number there."""

    group: Group
    member: int

    def note(self, now: float, *, is_good: bool) -> None:
        """Tell the balancer what a probe found."""
        if self.group.balancer.note_probe(self.member, now, is_good=is_good):
            log_changes(self.group)


class _Watched:
    """One container, as the process sees it that probes.

    Args:
        worker: of this process.
        slot: its place in the table.
        column: of this process.
        config: how it is probed.
        places: where it is a member.
    """

    def __init__(
        self,
        worker: Worker,
        slot: Slot,
        column: Column,
        config: ProbeConfig,
        places: Sequence[_Place],
    ) -> None:
        self._worker = worker
        self._slot = slot
        self._column = column
        self._config = config
        self._places = places
        self._freeze_s = config.freeze_timeout_ms / 1000
        self._state = slot.probe_state
        self._reads = slot.reads
        self._silent_s = 0.0
        self._unanswered_s = 0.0
        self._asked_at = 0.0
        self._next_at = 0.0
        self._failed_at = monotonic()
        # A question that is late, of a container that had said something to others.
        self._put_off: ProbeResult | None = None
        timeout = self._timeout_s = config.timeout_ms / 1000
        self._ping = Probe(worker.name, worker.settings, timeout=timeout, on_result=self._on_pong)
        self._page: Probe | None = None
        if config.kind == "request":
            self._page = Probe(
                worker.name,
                worker.settings,
                timeout=timeout,
                on_result=self._on_page,
                request=ProbeRequest(
                    method=config.method, uri=config.uri, statuses=config.statuses
                ),
            )

    def __repr__(self) -> str:
        """How it is, and for how long nothing was heard."""
        return f"<_Watched {self._worker.name} {self._state.name} silent={self._silent_s:.1f}>"

    def look(self, now: float, passed: float) -> None:
        """See what was heard, ask if it is time, and call it frozen if it is.

        Args:
            now: monotonic seconds.
            passed: since the last look, as far as we could have heard anything.
        """
        for probe in self._probes():
            if probe.settings is not self._worker.settings:
                probe.change(self._worker.settings)
            probe.look(now)
        reads = self._slot.reads
        self._silent_s = self._silent_s + passed if reads == self._reads else 0.0
        self._reads = reads
        self._unanswered_s = self._unanswered_s + passed if self._ping.asked_at else 0.0
        if not self._ping.asked_at:
            self._put_off = None
        elif self._put_off is not None and self._silent_s >= self._timeout_s:
            self._on_pong(self._put_off)
        if self._is_standing_still():
            if now >= self._next_at or self._state is not ProbeState.FROZEN:
                self._next_at = now + self._config.interval_ms / 1000
                words = f"no CPONG, and not a byte to anybody, for {self._unanswered_s:.1f} s"
                self._found(ProbeState.FROZEN, now, reason=Reason.FROZEN, words=words)
        elif now >= self._next_at:
            self._next_at = now + self._config.interval_ms / 1000
            self._ask(now)
            if self._page is not None:
                self._page.ask()
        elif self._is_suspicious(now):
            self._ask(now)

    def _probes(self) -> list[Probe]:
        return [self._ping] if self._page is None else [self._ping, self._page]

    def _ask(self, now: float) -> None:
        self._asked_at = now
        self._ping.ask()

    def _is_suspicious(self, now: float) -> bool:
        """Whether requests wait and nothing was heard, so that asking cannot wait."""
        if self._silent_s < SUSPICIOUS or now - self._asked_at < SUSPICIOUS:
            return False
        return self._slot.in_flight > 0

    def _is_standing_still(self) -> bool:
        return 0 < self._freeze_s <= min(self._silent_s, self._unanswered_s)

    def _on_pong(self, result: ProbeResult) -> None:
        now = monotonic()
        self._put_off = None
        if result.reason in _LATE:
            # Whether it is frozen is decided elsewhere.
            if self._is_standing_still():
                return
            if result.reason is Reason.CPING_TIMEOUT and self._freeze_s > 0:
                return
            # Whoever says something to others is late, as long as it goes on to.
            if self._silent_s < self._timeout_s:
                if result.reason is Reason.CPING_TIMEOUT:
                    self._put_off = result
                return
        if result.is_good:
            self._silent_s = 0.0
        if not result.is_good:
            self._fail(result, now)
        elif self._page is None:
            self._found(ProbeState.ANSWERS, now, rtt_s=result.rtt)
        elif self._state is ProbeState.FROZEN:
            # It moves again; whether it is well the page has to show.
            self._page.ask()

    def _on_page(self, result: ProbeResult) -> None:
        now = monotonic()
        if result.is_good:
            self._found(ProbeState.ANSWERS, now, rtt_s=result.rtt)
        elif self._state is not ProbeState.FROZEN or not self._is_standing_still():
            self._fail(result, now)

    def _fail(self, result: ProbeResult, now: float) -> None:
        self._found(ProbeState.FAILS, now, reason=result.reason, words=result.error)

    def _found(
        self,
        state: ProbeState,
        now: float,
        *,
        rtt_s: float = -1.0,
        reason: Reason | None = None,
        words: str = "",
    ) -> None:
        """Note a result in the table, and on every member that the container is."""
        before, self._state = self._state, state
        is_good = state is ProbeState.ANSWERS
        self._slot.note_probe(state, now, rtt_s=rtt_s)
        self._column.counted(self._slot, "probes")
        if not is_good:
            self._column.counted(self._slot, "probe_failures")
        if state is not before:
            if reason is not None:
                self._column.failed(self._slot, reason, now)
            self._log(before, now, reason, words)
        for place in self._places:
            place.note(now, is_good=is_good)

    def _log(self, before: ProbeState, now: float, reason: Reason | None, words: str) -> None:
        name = self._worker.name
        if self._state is ProbeState.ANSWERS:
            if before is not ProbeState.NONE:
                logger.info("worker=%s answers after %.1f s", name, now - self._failed_at)
            return
        if before in (ProbeState.NONE, ProbeState.ANSWERS):
            self._failed_at = now
        if not self._places:
            words += "; it is in no balancer, so nobody else can have its requests"
        logger.warning("worker=%s reason=%s: %s", name, reason, words)

    async def aclose(self) -> None:
        """Ask no more."""
        for probe in self._probes():
            await probe.aclose()


class Prober:
    """One process's part in it.

    Must be created inside the running loop.

    Args:
        config: whom to probe, and how.
        ledger: the table, with a column of this process.
        workers: of all containers, by name.
        groups: all balancers, by name.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        workers: Mapping[str, Worker],
        groups: Mapping[str, Group],
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._groups = groups
        self._workers = {
            name: workers[name]
            for name, container in config.containers.items()
            if container.probe.kind != "off" and not container.is_off
        }
        self._watched: list[_Watched] = []
        self._frozen: set[str] = set()
        self._looked_at = monotonic()
        self._beat = (-1, 0)
        self._beat_is_old_s = 0.0
        self._is_leaving = False
        self._ended: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        """Whether it is the one that probes, and how many."""
        role = "probes" if self.is_probing else "listens"
        return f"<Prober {role} containers={len(self._workers)}>"

    @property
    def is_probing(self) -> bool:
        """Whether this process probes for all."""
        return bool(self._watched)

    def start(self) -> None:
        """Look again and again, until `aclose`."""
        if not self._workers or self._ledger.column is None:
            return
        self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self.start)
        try:
            self.look(monotonic())
        except Exception:
            # One look that fails must not be the last.
            logger.exception("looking after the containers failed")

    def look(self, now: float) -> None:
        """Do what there is to do at this moment."""
        passed = min(now - self._looked_at, MOST_OF_A_LOOK)
        self._looked_at = now
        for name, worker in self._workers.items():
            worker.excuse()
            self._leave_frozen(name, worker)
        if self._is_ours(passed):
            if not self._watched:
                self._begin()
            for watched in self._watched:
                watched.look(now, passed)
        elif self._watched:
            self._end()

    def retire(self) -> None:
        """Leave probing to others: this process takes no new clients."""
        self._is_leaving = True
        self._end()
        column = self._ledger.column
        if column is not None:
            self._ledger.memory.release_prober(column.number)

    async def aclose(self) -> None:
        """End everything."""
        if self._timer is not None:
            self._timer.cancel()
        self.retire()
        await asyncio.gather(*self._ended)

    def _is_ours(self, passed: float) -> bool:
        column, memory = self._ledger.column, self._ledger.memory
        if column is None or self._is_leaving:
            return False
        held_by = memory.prober
        if held_by is not None and held_by != column.number and self._is_lost(held_by, passed):
            logger.warning("the process that probes stands still: another one probes now")
            memory.release_prober(held_by)
            held_by = None
        if held_by is None:
            return memory.claim_prober(column.number)
        return held_by == column.number

    def _is_lost(self, held_by: int, passed: float) -> bool:
        """Whether the process that probes shows no sign of life, for as long as we do."""
        beats = {each.column: each.heartbeat_ns for each in self._ledger.memory.processes()}
        beat = (held_by, beats.get(held_by, 0))
        self._beat_is_old_s = self._beat_is_old_s + passed if beat == self._beat else 0.0
        self._beat = beat
        return self._beat_is_old_s >= LOST_AFTER

    def _begin(self) -> None:
        column = self._ledger.column
        assert column is not None
        self._watched = [
            _Watched(
                worker,
                self._ledger.workers[name],
                column,
                self._config.containers[name].probe,
                self._places(name),
            )
            for name, worker in self._workers.items()
        ]
        logger.debug("this process probes %d containers", len(self._watched))

    def _places(self, name: str) -> list[_Place]:
        return [
            _Place(self._groups[balancer], number)
            for balancer, config in self._config.balancers.items()
            for number, member in enumerate(config.members)
            if member.worker.name == name
        ]

    def _end(self) -> None:
        loop = asyncio.get_running_loop()
        self._ended += [
            loop.create_task(watched.aclose(), name="ajpd prober ends") for watched in self._watched
        ]
        self._watched = []

    def _leave_frozen(self, name: str, worker: Worker) -> None:
        """Have requests leave a container that stands still; in every process."""
        if self._ledger.workers[name].probe_state is not ProbeState.FROZEN:
            self._frozen.discard(name)
            return
        error = EndpointError(f"worker {name} stands still", reason=Reason.FROZEN)
        moved = worker.rescue(error)
        if moved or name not in self._frozen:
            pool = worker.pool
            stay = pool.busy + pool.waiting
            level = logging.WARNING if moved or stay else logging.DEBUG
            logger.log(level, "worker=%s is frozen: %d requests moved, %d stay", name, moved, stay)
        self._frozen.add(name)
