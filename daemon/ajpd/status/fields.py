"""A report as mod_jk's status worker shows it: its parts, their fields, in its names and units.

Values are texts, ready to be written; how is for `jk_forms`. Counters begin with the last reset, as
there. What mod_jk has no name for is left out: json has it.

Source: mod_jk 1.2.48 `jk_status.c` `display_worker_lb`, `display_worker_ajp_details`,
`display_map`, `rate_worker`.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ajp.lb import Activation, State
from ajpd.config.model import Config, HostConfig, Mount, MountSource, StatusConfig
from ajpd.config.urimap import in_order

from .report import BalancerReport, MemberReport, Report, SlotReport, WorkerReport

__all__ = ["Part", "Rating", "Shower", "Shown", "rate", "rules_of_worker"]

Fields = list[tuple[str, str]]

_SOURCES: Final = {
    MountSource.WORKER: "worker definition",
    MountSource.MOUNT: "JkMount",
    MountSource.FILE: "uriworkermap",
}
_STATE_BITS: Final = {
    State.OK: 0,
    State.IDLE: 1,
    State.BUSY: 2,
    State.RECOVER: 3,
    State.FORCE: 3,
    State.PROBE: 3,
    State.ERROR: 4,
}
_ACTIVATION_BYTES: Final = {Activation.ACTIVE: 0, Activation.DISABLED: 8, Activation.STOPPED: 16}


class Rating(NamedTuple):
    """How many members of a balancer are well, and how many are not."""

    good: int
    degraded: int
    bad: int


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is shown, with what belongs to it.

    Attributes:
        kind: `balancer`, `member`, `ajp` or `map`.
        name: of it; the number of a map.
        fields: names and values, in mod_jk's order.
        parts: in it.
    """

    kind: str
    name: str
    fields: Fields
    parts: tuple["Part", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Everything of one answer.

    Attributes:
        server: name and port that were asked for; None: not shown.
        when: seconds since 1970; None: not shown, and no software either.
        software: of this daemon.
        balancers, workers: what is shown.
        with_counts: they are all there are, and are introduced by their number.
        properties: of a dump; None for none.
        is_done: what was asked for was done.
        message: how that went.
    """

    server: tuple[str, int] | None = None
    when: float | None = None
    software: str = ""
    balancers: Sequence[Part] = ()
    workers: Sequence[Part] = ()
    with_counts: bool = False
    properties: Sequence[tuple[str, str]] | None = None
    is_done: bool = True
    message: str = "Action finished"


def rate(config: StatusConfig, members: Iterable[MemberReport]) -> Rating:
    """Count members by how they are; where both masks have one it is bad."""
    good = bad = count = 0
    for member in members:
        count += 1
        bit = 1 << _STATE_BITS[member.state] << _ACTIVATION_BYTES[member.activation]
        if config.bad & bit:
            bad += 1
        elif config.good & bit:
            good += 1
    return Rating(good, count - good - bad, bad)


def rules_of_worker(name: str, config: Config) -> list[tuple[str, Mount]]:
    """Rules about a worker, those about all of them too, with the host they count for."""
    found = [("*", rule) for rule in in_order(config.rules)]
    for host in config.hosts:
        found += [(_host(host), rule) for rule in in_order(host.rules)]
    return [(host, rule) for host, rule in found if rule.worker in (name, "*")]


def _host(host: HostConfig) -> str:
    return " ".join(host.names) or host.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Shower:
    """Makes parts of a report.

    Attributes:
        report: to show.
        config: with the rules of now.
        status: of the status worker that shows it.
        address_of: where a container's connections go, by its worker's name; empty as long as
            nobody knows.
        with_members, with_maps: whether balancers have theirs in them.
    """

    report: Report
    config: Config
    status: StatusConfig
    address_of: Callable[[str], str] = field(default=lambda name: "")
    with_members: bool = True
    with_maps: bool = True

    def balancers(self) -> list[Part]:
        """All that rules may name."""
        names = self.config.balancers
        return [self.balancer(each) for each in self.report.balancers if each.name in names]

    def workers(self) -> list[Part]:
        """Containers that are no balancer's alone."""
        names = self.config.workers
        return [self.worker(each) for each in self.report.workers if each.name in names]

    def balancer(self, balancer: BalancerReport, member: MemberReport | None = None) -> Part:
        """One balancer; with one of its members, if it is given."""
        maps = self._maps(balancer.name)
        members = balancer.members if member is None else (member,)
        parts = [self._member(each) for each in members] if self.with_members else []
        if self.with_maps:
            parts += maps
        rating = rate(self.status, balancer.members)
        fields = [
            ("type", "lb"),
            ("sticky_session", _word(balancer, "sticky_session")),
            ("sticky_session_force", _word(balancer, "sticky_session_force")),
            ("retries", _value(balancer, "retries")),
            ("recover_time", _seconds(balancer, "recover_time_ms")),
            ("error_escalation_time", _seconds(balancer, "error_escalation_time_ms")),
            ("max_reply_timeouts", _value(balancer, "max_reply_timeouts")),
            ("method", _value(balancer, "method")),
            ("lock", _value(balancer, "lock")),
            ("member_count", str(len(balancer.members))),
            ("good", str(rating.good)),
            ("degraded", str(rating.degraded)),
            ("bad", str(rating.bad)),
            ("busy", str(balancer.in_flight)),
            ("max_busy", str(balancer.max_in_flight)),
            ("map_count", str(len(maps))),
            ("time_to_maintenance_min", _whole(balancer.maintenance_min_s)),
            ("time_to_maintenance_max", _whole(balancer.maintenance_max_s)),
            *_reset(balancer),
        ]
        return Part("balancer", balancer.name, fields, tuple(parts))

    def _member(self, member: MemberReport) -> Part:
        worker = member.worker
        used = 0 if worker is None else worker.since_reset["used"]
        fields = [
            *(() if worker is None else self._container(worker)),
            ("activation", member.activation.letters),
            ("lbfactor", _value(member, "lbfactor")),
            ("route", _value(member, "route")),
            ("redirect", _value(member, "redirect")),
            ("domain", _value(member, "domain")),
            ("distance", _value(member, "distance")),
            ("state", member.state.label),
            ("lbmult", str(member.multiplier or 1)),
            ("lbvalue", str(member.value)),
            ("elected", str(used)),
            ("sessions", str(member.sessions)),
            ("errors", str(member.errors)),
            ("client_errors", "0" if worker is None else str(worker.since_reset.client_errors)),
            ("reply_timeouts", str(member.reply_timeouts)),
            *(() if worker is None else _traffic(worker)),
            ("time_to_recover_min", _whole(member.recover_min_s)),
            ("time_to_recover_max", _whole(member.recover_max_s)),
            *_reset(member),
            *self._error_time(member.first_error_age_s),
        ]
        return Part("member", member.name, fields)

    def worker(self, worker: WorkerReport) -> Part:
        """One container."""
        maps = self._maps(worker.name)
        counted = worker.since_reset
        trouble = worker.trouble
        fields = [
            *self._container(worker),
            ("used", str(counted["used"])),
            ("errors", str(counted.errors)),
            ("client_errors", str(counted.client_errors)),
            ("reply_timeouts", str(counted.reply_timeouts)),
            *_traffic(worker),
            ("map_count", str(len(maps))),
            *_reset(worker),
            *self._error_time(trouble.age_s if trouble is not None and counted.errors else None),
        ]
        return Part("ajp", worker.name, fields, tuple(maps) if self.with_maps else ())

    def _container(self, worker: WorkerReport) -> Fields:
        """Where it is and how it is reached."""
        source = "" if worker.config is None else worker.config.source
        options = worker.settings.get("recovery_options")
        host, port = _value(worker, "host"), _value(worker, "port")
        if host.startswith("unix:"):
            port = "0"
        return [
            ("type", "ajp13"),
            ("host", host),
            ("port", port),
            (
                "address",
                self.address_of(worker.name) or ("invalid" if port == "0" else "unresolved"),
            ),
            ("source", source or "undefined"),
            ("connection_pool_timeout", _seconds(worker, "connection_pool_timeout_ms")),
            ("ping_timeout", _value(worker, "ping_timeout_ms")),
            ("connect_timeout", _value(worker, "connect_timeout_ms")),
            ("prepost_timeout", _value(worker, "prepost_timeout_ms")),
            ("reply_timeout", _value(worker, "reply_timeout_ms")),
            ("connection_ping_interval", _seconds(worker, "connection_ping_interval_ms")),
            ("retries", _value(worker, "retries")),
            ("recovery_options", str(options or 0)),
            ("busy_limit", _value(worker, "busy_limit")),
            ("max_packet_size", _value(worker, "max_packet_size")),
        ]

    def _error_time(self, age_s: float | None) -> Fields:
        if age_s is None:
            return []
        when = self.report.when_ns / 1e9 - age_s
        local = time.localtime(when)
        return [
            ("error_time_datetime", time.strftime("%Y%m%d%H%M%S", local)),
            ("error_time_tz", time.strftime("%z", local)),
            ("error_time_unix_seconds", str(int(when))),
            ("error_time_ago", str(int(age_s))),
        ]

    def _maps(self, worker: str) -> list[Part]:
        rules = rules_of_worker(worker, self.config)
        return [_map(number, host, rule) for number, (host, rule) in enumerate(rules, 1)]


def _map(number: int, host: str, rule: Mount) -> Part:
    kind = "Exact" if rule.is_exact else "Wildchar"
    if rule.is_exclusion:
        kind = f"Unmount {kind}"
    if rule.is_disabled:
        kind = f"Disabled {kind}"
    extension = rule.extension
    overridden: dict[Activation, list[str]] = {}
    for member, activation in rule.overrides:
        overridden.setdefault(activation, []).append(member)
    timeout = rule.reply_timeout_ms
    fields = [
        ("server", host),
        ("uri", rule.pattern.decode("utf-8", "replace")),
        ("type", kind),
        ("source", _SOURCES[rule.source]),
        ("reply_timeout", str(-1 if timeout is None else timeout)),
        ("sticky_ignore", str(int(extension is not None and extension.sticky_ignore))),
        ("stateless", str(int(extension is not None and extension.stateless))),
        ("fail_on_status", " ".join(map(str, rule.fail_on_status or ()))),
        ("active", ",".join(overridden.get(Activation.ACTIVE, ()))),
        ("disabled", ",".join(overridden.get(Activation.DISABLED, ()))),
        ("stopped", ",".join(overridden.get(Activation.STOPPED, ()))),
        ("use_server_errors", str(rule.use_server_errors)),
    ]
    return Part("map", str(number), fields)


def _traffic(worker: WorkerReport) -> Fields:
    """What went there and came back, and what is open."""
    return [
        ("transferred", str(worker.since_reset["bytes_out"])),
        ("read", str(worker.since_reset["bytes_in"])),
        ("busy", str(worker.in_flight)),
        ("max_busy", str(worker.max_in_flight)),
        ("connected", str(worker.connected)),
        ("max_connected", str(worker.max_connected)),
    ]


def _reset(slot: SlotReport) -> Fields:
    return [
        ("last_reset_at", str(slot.reset_ns // 1_000_000_000)),
        ("last_reset_ago", str(int(slot.reset_age_s))),
    ]


def _value(slot: SlotReport, name: str) -> str:
    """A setting; an empty text when nobody knows it."""
    value = slot.settings.get(name)
    return "" if value is None else str(value)


def _word(slot: SlotReport, name: str) -> str:
    return "True" if slot.settings.get(name) else "False"


def _seconds(slot: SlotReport, name: str) -> str:
    return str((slot.number(name) or 0) // 1000)


def _whole(seconds: float | None) -> str:
    """Whole seconds; 0 where there are none."""
    return str(int(seconds or 0))
