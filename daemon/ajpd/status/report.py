"""What a status page, `ajpd status` and metrics are made from: everything, at one moment, frozen.

Ages are seconds before the report was made, None for never. Numbers are sums over all processes.
How something is shown must not be added.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ajp.errors import Reason
from ajp.lb import Activation, State
from ajp.snapshot import Kind, ProbeState, ProcessState, Reloads, Totals
from ajpd.config.changes import Setting
from ajpd.config.model import BalancerConfig, MemberConfig, WorkerConfig

__all__ = [
    "BalancerReport",
    "MemberReport",
    "Probe",
    "ProcessReport",
    "Report",
    "SlotReport",
    "Trouble",
    "WorkerReport",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessReport:
    """One process that serves, or finishes what it has.

    Attributes:
        pid: its number.
        column: of the table.
        generation: of the configuration it runs.
        state: what it does.
        heartbeat_age_s: since it last showed that it is alive.
        is_prober: it is the one that probes the containers.
    """

    pid: int
    column: int
    generation: int
    state: ProcessState
    heartbeat_age_s: float | None
    is_prober: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """The last failure that was counted."""

    reason: Reason
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What the prober knows of a container.

    Attributes:
        state: what the last probe showed.
        age_s: since the last result.
        rtt_s: of the last good one; None when there was none.
        failures: since the last good one.
    """

    state: ProbeState
    age_s: float | None
    rtt_s: float | None
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotReport:
    """What is known of everything that has a slot.

    Attributes:
        name: of the worker.
        kind: what it is.
        in_flight: requests on their way to it.
        max_in_flight: most of them since the last reset.
        waiting: requests in the queue for a connection.
        connected: connections.
        max_connected: most of them since the last reset.
        idle: connections without work.
        totals: sums since the table was made; never go down, so for metrics.
        since_reset: sums since the last reset, as mod_jk shows them.
        reset_ns: when it was reset; when its slot was taken, if never. Since 1970.
        trouble: the last failure; None when there was none since the last reset.
        settings: what may be changed while we run, as it applies now, by the names of
            `ajp.snapshot.FIELDS`. Without a configuration only what was changed.
        changed: what of it the operator changed; else the files have it so.
        changed_ns: when that was last, since 1970; 0 for never.
    """

    name: str
    kind: Kind
    in_flight: int
    max_in_flight: int
    waiting: int
    connected: int
    max_connected: int
    idle: int
    totals: Totals
    since_reset: Totals
    reset_ns: int
    reset_age_s: float
    trouble: Trouble | None
    settings: Mapping[str, Setting]
    changed: Mapping[str, Setting]
    changed_ns: int

    def text(self, name: str) -> str | None:
        """One of `settings` that is a text; None when no configuration says."""
        found = self.settings.get(name)
        return found if isinstance(found, str) else None

    def number(self, name: str) -> int | None:
        """One of `settings` that is a number; None when no configuration says."""
        found = self.settings.get(name)
        return found if isinstance(found, int) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport(SlotReport):
    """One container, whoever sends to it.

    Attributes:
        address: as the configuration files have it; `host` and `port` of `settings` are where
            connections go now.
        probe: what the prober knows; None when it never asked.
        balancers: that have it as a member.
        config: with what was changed; None when there is no configuration at hand.
    """

    address: str
    probe: Probe | None
    balancers: tuple[str, ...]
    config: WorkerConfig | None = field(repr=False)

    @property
    def where(self) -> str:
        """Where connections go: the address of the files, unless an operator changed it."""
        return self.address if self.config is None else self.config.address


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberReport(SlotReport):
    """One container as one balancer sees it.

    Attributes:
        balancer: its name.
        address: as the configuration files have it.
        activation: what the operator wants of it.
        state: what was seen of it.
        multiplier: what one unit of work weighs; None without a configuration.
        value: what the method compares, for those that add up.
        elected: attempts since the last reset.
        sessions: of these, the ones that were to make a session.
        errors: that the balancer held against it.
        reply_timeouts: fade with each maintenance.
        first_error_age_s: first error of those that no success ended.
        last_error_age_s: the last one of them.
        recover_min_s: a member in ERROR is tried again not before this.
        recover_max_s: and not later than this, once somebody asks.
        latency_s: smoothed time to the first byte, of the method Latency; 0 when there is none.
        returned_age_s: since it came back, for slow start.
        last_session_age_s: since a request of a session of this member came, or may have begun one.
        recent_sessions: how many sessions came in the last `RECENT_S` seconds, about.
        worker: the container itself.
        config: with what was changed; None when there is no configuration at hand.
    """

    balancer: str
    address: str
    activation: Activation
    state: State
    multiplier: int | None
    value: int
    elected: int
    sessions: int
    errors: int
    reply_timeouts: int
    first_error_age_s: float | None
    last_error_age_s: float | None
    recover_min_s: float | None
    recover_max_s: float | None
    latency_s: float
    returned_age_s: float | None
    last_session_age_s: float | None
    recent_sessions: int
    worker: WorkerReport | None
    config: MemberConfig | None = field(repr=False)

    @property
    def where(self) -> str:
        """Where connections go, see `WorkerReport.where`."""
        return self.address if self.worker is None else self.worker.where

    @property
    def route(self) -> str | None:
        """Where sessions lead that live there."""
        return self.text("route")

    @property
    def lbfactor(self) -> int | None:
        """Its share of the work."""
        return self.number("lbfactor")


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerReport(SlotReport):
    """One balancer.

    Attributes:
        members: in the order of the configuration.
        maintained_age_s: since the last maintenance.
        maintenance_min_s: until the next one, at least; None when there is none, or no
            configuration.
        maintenance_max_s: at most, once somebody asks.
        config: with what was changed; None when there is no configuration at hand.
    """

    members: tuple[MemberReport, ...]
    maintained_age_s: float | None
    maintenance_min_s: float | None
    maintenance_max_s: float | None
    config: BalancerConfig | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything.

    Attributes:
        when_ns: when it was made, since 1970.
        generation: newest one of processes; each reload begins another.
        created_ns: when the table was made, since 1970.
        changes: moves whenever the operator changes something.
        reloads: what the master did, and what happened to its processes.
        processes: that live, by column.
        balancers: in the order of the configuration.
        workers: every container, members and others, in the order of the configuration.
        front: all requests of clients, whoever answered them; None where nobody counts them.
        missing: names that the configuration has and the daemon does not know: it was not
            reloaded since. Members as `balancer/member`.
    """

    when_ns: int
    generation: int
    created_ns: int
    changes: int
    reloads: Reloads
    processes: tuple[ProcessReport, ...]
    balancers: tuple[BalancerReport, ...]
    workers: tuple[WorkerReport, ...]
    front: SlotReport | None = None
    missing: tuple[str, ...] = ()

    @property
    def members(self) -> tuple[MemberReport, ...]:
        """All members of all balancers."""
        return tuple(member for balancer in self.balancers for member in balancer.members)
