"""The status table, and the configuration where it is at hand, become one report.

Only reads, takes no lock, and costs the daemon nothing. What the files say and the table does not
(routes, factors, methods) comes from the configuration; without one it is left out.
"""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import fields
from typing import Any, Final, NamedTuple, TypeVar

from ajp._slot import Slot
from ajp._table import Memory
from ajp.errors import StatusTableError
from ajp.lb import Activation, State
from ajp.lb.settings import multipliers
from ajp.snapshot import Kind, ProbeState, ProcessState, Snapshot
from ajpd.config.changes import Setting, changed, decode, settings_of
from ajpd.config.model import BalancerConfig, Config, MemberConfig, WorkerConfig
from ajpd.ledger import FRONT, slot_address

from .report import (
    BalancerReport,
    MemberReport,
    Probe,
    ProcessReport,
    Report,
    SlotReport,
    Trouble,
    WorkerReport,
)

__all__ = ["RECENT_S", "collect", "current_slots"]

#: Sessions that were seen within so many seconds are recent.
RECENT_S: Final = 300.0

Key = tuple[Kind, str, str]
Configured = TypeVar("Configured", WorkerConfig, MemberConfig, BalancerConfig)


class _Moment(NamedTuple):
    """When a report is made."""

    now: float
    now_ns: int

    def age(self, mark: float) -> float | None:
        """Seconds since a mark of the monotonic clock; None when it was never set."""
        return max(self.now - mark, 0.0) if mark > 0 else None


class _Seen(NamedTuple):
    """A slot and what was found in it."""

    slot: Slot
    snapshot: Snapshot


def current_slots(table: Memory) -> list[Slot]:
    """The slots of what is served now: those that no process refers to any more are left out.

    While a reload is under way those of both generations count.
    """
    serving = [p.generation for p in table.processes() if p.state is ProcessState.RUNNING]
    oldest = min(serving, default=table.generation)
    found = []
    for index in table.taken():
        # Somebody may free it meanwhile.
        with suppress(StatusTableError):
            found.append(Slot(table, index))
    return [slot for slot in found if slot.generation >= oldest]


def collect(
    table: Memory,
    config: Config | None = None,
    *,
    now: float | None = None,
    now_ns: int | None = None,
) -> Report:
    """Look at everything.

    Args:
        table: opened for reading at least.
        config: what the daemon runs, as far as known.
        now: monotonic seconds; those of this moment when None.
        now_ns: since 1970; this moment when None.
    """
    moment = _Moment(
        time.monotonic() if now is None else now, time.time_ns() if now_ns is None else now_ns
    )
    collector = _Collector(table, config, moment)
    return Report(
        when_ns=moment.now_ns,
        generation=table.generation,
        created_ns=table.created_ns,
        changes=table.changes,
        reloads=table.reloads,
        processes=tuple(_processes(table, moment)),
        balancers=tuple(collector.balancers()),
        workers=tuple(collector.workers.values()),
        front=collector.front(),
        missing=tuple(collector.missing()),
    )


def _processes(table: Memory, moment: _Moment) -> Iterable[ProcessReport]:
    prober = table.prober
    for process in table.processes():
        yield ProcessReport(
            pid=process.pid,
            column=process.column,
            generation=process.generation,
            state=process.state,
            heartbeat_age_s=moment.age(process.heartbeat_ns / 1e9),
            is_prober=prober == process.column,
        )


class _Collector:
    """Makes one report."""

    def __init__(self, table: Memory, config: Config | None, moment: _Moment) -> None:
        self._moment = moment
        self._config = config
        self._seen = self._look(table)
        self.workers = self._workers()

    def _look(self, table: Memory) -> dict[Key, _Seen]:
        """What there is, by kind, balancer and name; of two of one name the configured one."""
        addresses = {}
        if self._config is not None:
            addresses = {name: slot_address(w) for name, w in self._config.containers.items()}
        found: dict[Key, _Seen] = {}
        for slot in current_slots(table):
            key = (slot.kind, slot.balancer, slot.name)
            other = found.get(key)
            seen = _Seen(slot, slot.snapshot())
            if other is None or _fits_better(seen, other, addresses.get(slot.name)):
                found[key] = seen
        return found

    def _ordered(
        self, kind: Kind, balancer: str, configured: Iterable[str]
    ) -> Iterable[tuple[str, _Seen]]:
        """Those of one kind, in the order of the configuration; strangers to it at the end."""
        order = {name: number for number, name in enumerate(configured)}
        names = [key[2] for key in self._seen if key[:2] == (kind, balancer)]
        for name in sorted(names, key=lambda name: order.get(name, len(order))):
            yield name, self._seen[kind, balancer, name]

    def front(self) -> SlotReport | None:
        """All that clients ask for."""
        seen = self._seen.get((Kind.FRONT, "", FRONT))
        return None if seen is None else self._common(seen, None)

    def _workers(self) -> dict[str, WorkerReport]:
        configs = {} if self._config is None else self._config.containers
        users: dict[str, list[str]] = {}
        for kind, balancer, name in self._seen:
            if kind is Kind.MEMBER:
                users.setdefault(name, []).append(balancer)
        return {
            name: self._worker(seen, configs.get(name), tuple(users.get(name, ())))
            for name, seen in self._ordered(Kind.WORKER, "", configs)
        }

    def _worker(
        self, seen: _Seen, config: WorkerConfig | None, users: tuple[str, ...]
    ) -> WorkerReport:
        now = _with(config, seen.snapshot)
        return WorkerReport(
            **self._fields(seen, now),
            address=seen.slot.address,
            probe=self._probe(seen.snapshot),
            balancers=users,
            config=now,
        )

    def _probe(self, snapshot: Snapshot) -> Probe | None:
        if snapshot.probe_state is ProbeState.NONE:
            return None
        return Probe(
            state=snapshot.probe_state,
            age_s=self._moment.age(snapshot.probe_at),
            rtt_s=snapshot.probe_rtt_s or None,
            failures=snapshot.probe_failures,
        )

    def balancers(self) -> Iterable[BalancerReport]:
        """All of them."""
        configs = {} if self._config is None else self._config.balancers
        for name, seen in self._ordered(Kind.BALANCER, "", configs):
            config = _with(configs.get(name), seen.snapshot)
            maintain_s = 0.0 if config is None else config.maintain_ms / 1000
            age = self._moment.age(seen.snapshot.maintained_at)
            left = None if age is None or maintain_s <= 0 else maintain_s - age
            yield BalancerReport(
                **self._fields(seen, config),
                members=tuple(self._members(name, config, left)),
                maintained_age_s=age,
                maintenance_min_s=None if left is None else max(left, 0.0),
                maintenance_max_s=None if left is None else max(left + maintain_s, 0.0),
                config=config,
            )

    def _members(
        self, balancer: str, config: BalancerConfig | None, left: float | None
    ) -> Iterable[MemberReport]:
        configs = {} if config is None else {member.name: member for member in config.members}
        found = dict(self._ordered(Kind.MEMBER, balancer, configs))
        now = {name: _with(configs.get(name), seen.snapshot) for name, seen in found.items()}
        factors = {name: member.lbfactor for name, member in now.items() if member is not None}
        weights = dict(zip(factors, multipliers([*factors.values()]), strict=True))
        for name, seen in found.items():
            snapshot = seen.snapshot
            recover = self._recovery(snapshot, config, left)
            yield MemberReport(
                **self._fields(seen, now[name]),
                balancer=balancer,
                address=seen.slot.address,
                activation=Activation(snapshot.activation),
                state=State(snapshot.state),
                multiplier=weights.get(name),
                value=snapshot.value,
                elected=snapshot.elected,
                sessions=snapshot.sessions,
                errors=snapshot.errors,
                reply_timeouts=snapshot.reply_timeouts,
                first_error_age_s=self._moment.age(snapshot.first_error_at),
                last_error_age_s=self._moment.age(snapshot.last_error_at),
                recover_min_s=recover[0],
                recover_max_s=recover[1],
                latency_s=snapshot.latency_s,
                returned_age_s=self._moment.age(snapshot.returned_at),
                last_session_age_s=self._moment.age(snapshot.session_at),
                recent_sessions=seen.slot.sessions_in(RECENT_S, self._moment.now),
                worker=self.workers.get(name),
                config=now[name],
            )

    def _recovery(
        self, snapshot: Snapshot, config: BalancerConfig | None, left: float | None
    ) -> tuple[float | None, float | None]:
        """When a failed member is tried again: at the earliest and at the latest.

        Source:
            mod_jk `jk_status.c`: recover_time since the last error, but not before the next
            maintenance; at most one interval of maintenance later.
        """
        age = self._moment.age(snapshot.last_error_at)
        if snapshot.state != State.ERROR or config is None or age is None:
            return None, None
        wait = max(config.recover_time_ms / 1000 - age, 0.0)
        return max(wait, left or 0.0), wait + config.maintain_ms / 1000

    def _fields(
        self, seen: _Seen, config: WorkerConfig | MemberConfig | BalancerConfig | None
    ) -> dict[str, Any]:
        """What all have, for those who have more."""
        common = self._common(seen, config)
        return {each.name: getattr(common, each.name) for each in fields(common)}

    def _common(
        self, seen: _Seen, config: WorkerConfig | MemberConfig | BalancerConfig | None
    ) -> SlotReport:
        snapshot = seen.snapshot
        live: Mapping[str, Setting] = {
            name: decode(name, kept) for name, kept in snapshot.config.items()
        }
        reset_ns = snapshot.reset_ns or snapshot.created_ns
        trouble = None
        if snapshot.last_reason is not None:
            age = self._moment.age(snapshot.last_reason_at)
            trouble = Trouble(reason=snapshot.last_reason, age_s=age or 0.0)
        return SlotReport(
            name=snapshot.name,
            kind=snapshot.kind,
            in_flight=snapshot.in_flight,
            max_in_flight=snapshot.max_in_flight,
            waiting=snapshot.waiting,
            connected=snapshot.connected,
            max_connected=snapshot.max_connected,
            idle=snapshot.idle,
            totals=snapshot.totals,
            since_reset=snapshot.since_reset,
            reset_ns=reset_ns,
            reset_age_s=max(self._moment.now_ns - reset_ns, 0) / 1e9,
            trouble=trouble,
            settings=live if config is None else settings_of(config),
            changed=live,
            changed_ns=snapshot.changed_ns,
        )

    def missing(self) -> Iterable[str]:
        """Names that the files have and the table does not."""
        if self._config is None:
            return
        for name in self._config.containers:
            if (Kind.WORKER, "", name) not in self._seen:
                yield name
        for name, balancer in self._config.balancers.items():
            if (Kind.BALANCER, "", name) not in self._seen:
                yield name
            for member in balancer.members:
                if (Kind.MEMBER, name, member.name) not in self._seen:
                    yield f"{name}/{member.name}"


def _fits_better(seen: _Seen, other: _Seen, address: str | None) -> bool:
    """Whether a slot rather than another of the same name is the one to show."""
    ours, theirs = seen.slot.address == address, other.slot.address == address
    if ours is not theirs:
        return ours
    return seen.snapshot.generation > other.snapshot.generation


def _with(config: Configured | None, snapshot: Snapshot) -> Configured | None:
    return None if config is None else changed(config, snapshot.config)
