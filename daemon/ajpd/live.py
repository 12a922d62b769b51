"""What operators change while we run, taken over by one process.

Somebody changes the status table (`ajpd.status.actions`); each process looks at one word of it now
and then, and pulls what moved. A change that cannot be taken is logged, and then nothing of it
counts. Requests under way end as they began: with the member, the connection and the retries they
had. What may be changed, and how the files and changes go together, is in `ajpd.config.changes`.

Source: mod_jk `jk_lb_pull`, `jk_ajp_pull`. Differs: nobody waits for a lock, and nothing is looked
at per request.
"""

import logging
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from functools import partial
from typing import Final

from ajp._slot import Slot
from ajp.journal import Journal
from ajp.lb import Activation
from ajp.snapshot import ProcessState
from ajp.worker import Worker

from ._placement import Group
from ._service import Target
from .config.changes import changed, settings_of, shown
from .config.model import BalancerConfig, Config, MemberConfig, WorkerConfig
from .ledger import Ledger
from .targets import make_target, worker_settings

__all__ = ["LOOK_EVERY", "Live", "let_files_win"]

logger = logging.getLogger("ajpd.live")

#: Seconds between two looks at the table.
LOOK_EVERY: Final = 0.25

Changeable = WorkerConfig | MemberConfig | BalancerConfig


class Live:
    """One process's workers and balancers, and the changes they follow.

    Args:
        config: as the files have it.
        ledger: where the slots are.
        workers: of all containers, by name.
        services: what rules lead to, by name; shared with the exchanges.
        groups: the balancers among them.
        targets: of all containers, by name.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        *,
        workers: Mapping[str, Worker],
        services: MutableMapping[str, object],
        groups: Mapping[str, Group],
        targets: Mapping[str, Target],
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._workers = workers
        self._services = services
        self._groups = groups
        self._targets = dict(targets)
        self._seen = -1
        self._sequences: dict[int, int] = {}
        self._worker_configs = dict(config.containers)
        self._balancer_configs = dict(config.balancers)

    def look(self) -> None:
        """Take over what moved since the last look; costs next to nothing when nothing did."""
        changes = self._ledger.memory.changes
        if changes == self._seen:
            return
        # Before pulling: what moves meanwhile is seen the next time.
        self._seen = changes
        for name, slot in self._ledger.workers.items():
            if self._has_moved(slot):
                self._take(slot, partial(self._change_worker, name, slot))
        for name, slot in self._ledger.balancers.items():
            slots = (slot, *self._ledger.members[name])
            if [each for each in slots if self._has_moved(each)]:
                self._take(slot, partial(self._change_balancer, name))

    def _has_moved(self, slot: Slot) -> bool:
        sequence = slot.sequence
        before = self._sequences.get(slot.index, 0)
        self._sequences[slot.index] = sequence
        return sequence != before

    def _change_worker(self, name: str, slot: Slot) -> None:
        before = self._worker_configs[name]
        now = changed(self._config.containers[name], slot.config())
        if now == before:
            return
        worker = self._workers[name]
        target = make_target(now, worker, slot)
        worker.change(worker_settings(now))
        self._worker_configs[name] = now
        self._targets[name] = target
        if name in self._config.workers:
            self._services[name] = target
        for balancer, group in self._groups.items():
            members = self._config.balancers[balancer].members
            if any(member.worker.name == name for member in members):
                group.retarget([self._targets[member.worker.name] for member in members])
        self._log(name, before, now)

    def _change_balancer(self, name: str) -> None:
        files, before = self._config.balancers[name], self._balancer_configs[name]
        pairs = zip(files.members, self._ledger.members[name], strict=True)
        members = tuple(changed(member, slot.config()) for member, slot in pairs)
        now = replace(changed(files, self._ledger.balancers[name].config()), members=members)
        if now == before:
            return
        # Activations are in the table itself: elections know them already.
        if _without_activations(now) != _without_activations(before):
            self._groups[name].change([member.member for member in members], now.settings)
        self._balancer_configs[name] = now
        self._log(name, before, now)
        for was, member in zip(before.members, members, strict=True):
            self._log(f"{name}/{member.name}", was, member)

    def _take(self, slot: Slot, change: Callable[[], None]) -> None:
        try:
            change()
        except ValueError as exc:
            logger.error("%s: a change cannot be taken, all is as before: %s", slot.name, exc)

    def _log(self, name: str, before: Changeable, now: Changeable) -> None:
        """One of the processes speaks for all."""
        was = settings_of(before)
        words = [
            f"{key} {shown(was[key])} -> {shown(value)}"
            for key, value in settings_of(now).items()
            if value != was[key]
        ]
        if words:
            level = logging.INFO if self._is_first() else logging.DEBUG
            logger.log(level, "%s: %s", name, ", ".join(words))

    def _is_first(self) -> bool:
        column = self._ledger.column
        serving = [
            process.column
            for process in self._ledger.memory.processes()
            if process.state is ProcessState.RUNNING
        ]
        return column is not None and column.number == min(serving, default=column.number)


def _without_activations(config: BalancerConfig) -> BalancerConfig:
    members = [replace(member, activation=Activation.ACTIVE) for member in config.members]
    return replace(config, members=tuple(members))


def let_files_win(
    ledger: Ledger, before: Config, now: Config, journal: Journal | None = None
) -> None:
    """Forget changes of what the files themselves say otherwise since the last time.

    Args:
        ledger: of the configuration that begins.
        before: what was run until now.
        now: what begins.
        journal: where that is written down.

    Raises:
        StatusTableError: it cannot be written down, or the control lock cannot be had.
    """
    for name, worker in now.containers.items():
        if name in before.containers:
            _forget(ledger.workers[name], before.containers[name], worker, journal)
    for name, balancer in now.balancers.items():
        if name not in before.balancers:
            continue
        _forget(ledger.balancers[name], before.balancers[name], balancer, journal)
        were = {member.name: member for member in before.balancers[name].members}
        for slot, member in zip(ledger.members[name], balancer.members, strict=True):
            if member.name in were:
                _forget(slot, were[member.name], member, journal)


def _forget(slot: Slot, before: Changeable, now: Changeable, journal: Journal | None) -> None:
    was, live = settings_of(before), slot.config()
    edited = {
        key: value for key, value in settings_of(now).items() if key in live and value != was[key]
    }
    if edited:
        if journal is None:
            slot.configure(**dict.fromkeys(edited))
        else:
            journal.configure(slot, dict.fromkeys(edited), time.time(), who="the files")
        words = ", ".join(f"{key} {shown(value)}" for key, value in edited.items())
        what = f"{slot.balancer}/{slot.name}" if slot.balancer else slot.name
        logger.info("%s: the files changed, and count again: %s", what, words)
