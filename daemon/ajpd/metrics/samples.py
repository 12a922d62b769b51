"""What every family has to say about one report: the samples, and nothing about how they are sent.

A sample is the end of its name, its labels as text, and a number. Labels are made once for a slot,
since it has hundreds of samples. What is not known has no sample.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate
from typing import Final, NamedTuple

from ajp import __version__
from ajp.errors import Reason
from ajp.lb import Activation, State
from ajp.snapshot import BUCKETS, Histogram, ProbeState, ProcessState, Reload, bucket_of
from ajpd.status.report import (
    BalancerReport,
    MemberReport,
    ProcessReport,
    Report,
    SlotReport,
    WorkerReport,
)

from .families import BOUNDS, CLASSES, FAMILIES, REASONS_OF_CONTAINERS
from .usage import Usage

__all__ = ["Sample", "Scrape", "escape", "samples"]


class Sample(NamedTuple):
    """One line of an answer."""

    end: str
    labels: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """All that an answer is made from.

    Attributes:
        report: of the table.
        usages: of the processes, as far as the system tells.
    """

    report: Report
    usages: Sequence[Usage] = ()


class _Subject(NamedTuple):
    """A slot, and the labels that all of its samples have."""

    slot: SlotReport
    labels: str


Read = Callable[[SlotReport], float | None]
Subjects = Iterable[_Subject]

_NS: Final = 1e9
_BUCKET_OF_BOUND: Final = tuple(bucket_of(bound) for bound in BOUNDS)
_LE: Final = (*(f'le="{bound / 1e6}"' for bound in BOUNDS), 'le="+Inf"')
_STATUS: Final = tuple((f'class="{name}"', f"status_{name}") for name in CLASSES)
_BUILD: Final = f'version="{__version__}",python="{platform.python_version()}"'


def escape(text: str) -> str:
    """Text as the value of a label has it, between its quotes."""
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def samples(scrape: Scrape) -> Iterator[tuple[str, Iterable[Sample]]]:
    """Name and samples of every family, in the order of FAMILIES."""
    found = _all(scrape)
    for family in FAMILIES:
        yield family.name, found[family.name]


def _all(scrape: Scrape) -> Mapping[str, Iterable[Sample]]:
    """Samples of everything, made when they are asked for."""
    report = scrape.report
    front = [] if report.front is None else [_Subject(report.front, "")]
    balancers = [_Subject(each, _labels(balancer=each.name)) for each in report.balancers]
    members = [
        _Subject(each, _labels(balancer=each.balancer, member=each.name)) for each in report.members
    ]
    workers = [_Subject(each, _labels(worker=each.name)) for each in report.workers]
    return {
        **_daemon(report),
        **_processes(report.processes),
        **_usages(scrape.usages),
        **_common("ajpd_front", front, tuple(Reason)),
        **_front(front),
        **_common("ajpd_balancer", balancers, tuple(Reason)),
        **_balancers(report.balancers, balancers),
        **_common("ajpd_member", members, REASONS_OF_CONTAINERS),
        **_members(report.members, members),
        **_common("ajpd_worker", workers, REASONS_OF_CONTAINERS),
        **_workers(report, workers),
    }


def _labels(**labels: str) -> str:
    return ",".join(f'{name}="{escape(value)}"' for name, value in labels.items())


def _join(labels: str, more: str) -> str:
    return f"{labels},{more}" if labels else more


# --- the daemon and its processes -----------------------------------------------------------------


def _daemon(report: Report) -> dict[str, Iterable[Sample]]:
    reloads = report.reloads
    was = reloads.last is not Reload.NONE
    return {
        "ajpd_build": [Sample("_info", _BUILD, 1)],
        "ajpd_table_created_timestamp_seconds": [Sample("", "", report.created_ns / _NS)],
        "ajpd_table_generation": [Sample("", "", report.generation)],
        "ajpd_table_changes": [Sample("_total", "", report.changes)],
        "ajpd_reloads": [
            Sample("_total", 'result="done"', reloads.done),
            Sample("_total", 'result="refused"', reloads.refused),
        ],
        "ajpd_last_reload_successful": [Sample("", "", reloads.last is Reload.DONE)] if was else [],
        "ajpd_last_reload_timestamp_seconds": (
            [Sample("", "", reloads.last_ns / _NS)] if was else []
        ),
        "ajpd_process_deaths": [Sample("_total", "", reloads.deaths)],
    }


def _processes(processes: Sequence[ProcessReport]) -> dict[str, Iterable[Sample]]:
    them = [(each, f'pid="{each.pid}"') for each in processes]
    return {
        "ajpd_process_state": [
            sample
            for each, labels in them
            for sample in _states("ajpd_process_state", labels, ProcessState, each.state)
        ],
        "ajpd_process_generation": [Sample("", labels, p.generation) for p, labels in them],
        "ajpd_process_prober": [Sample("", labels, p.is_prober) for p, labels in them],
        "ajpd_process_heartbeat_age_seconds": [
            Sample("", labels, p.heartbeat_age_s)
            for p, labels in them
            if p.heartbeat_age_s is not None
        ],
    }


def _usages(usages: Sequence[Usage]) -> dict[str, Iterable[Sample]]:
    them = [(each, f'pid="{each.pid}",role="{each.role}"') for each in usages]

    def known(read: Callable[[Usage], float | None], end: str = "") -> list[Sample]:
        found = [(labels, read(usage)) for usage, labels in them]
        return [Sample(end, labels, value) for labels, value in found if value is not None]

    return {
        "ajpd_process_cpu_seconds": known(lambda usage: usage.cpu_s, "_total"),
        "ajpd_process_resident_memory_bytes": known(lambda usage: usage.resident_bytes),
        "ajpd_process_start_time_seconds": known(lambda usage: usage.started_s),
        "ajpd_process_open_fds": known(lambda usage: usage.open_fds),
        "ajpd_process_max_fds": known(lambda usage: usage.max_fds),
    }


def _states(family: str, labels: str, of: type[IntEnum], state: IntEnum | None) -> Iterator[Sample]:
    for each in of:
        label = f'{family}="{each.name.lower()}"'
        yield Sample("", _join(labels, label), each is state)


# --- what has a slot ------------------------------------------------------------------------------


def _common(
    prefix: str, subjects: Sequence[_Subject], reasons: Sequence[Reason]
) -> dict[str, Iterable[Sample]]:
    return {
        f"{prefix}_requests": _requests(subjects),
        f"{prefix}_failures": _failures(subjects, reasons),
        f"{prefix}_requests_in_flight": _gauge(subjects, lambda slot: slot.in_flight),
        f"{prefix}_request_duration_seconds": _histogram(
            subjects, lambda slot: slot.totals.duration, "duration_us"
        ),
        f"{prefix}_first_byte_seconds": _histogram(
            subjects, lambda slot: slot.totals.first_byte, "first_byte_us"
        ),
        f"{prefix}_request_bytes": _counter(subjects, "bytes_out"),
        f"{prefix}_response_bytes": _counter(subjects, "bytes_in"),
    }


def _front(subjects: Sequence[_Subject]) -> dict[str, Iterable[Sample]]:
    return {
        "ajpd_front_retries": _counter(subjects, "retries"),
        "ajpd_front_connections": _gauge(subjects, lambda slot: slot.connected),
        "ajpd_front_connections_opened": _counter(subjects, "connects"),
        "ajpd_front_tls_handshakes": _counter(subjects, "tls_handshakes"),
        "ajpd_front_tls_failures": _counter(subjects, "tls_failures"),
    }


def _balancers(
    balancers: Sequence[BalancerReport], subjects: Sequence[_Subject]
) -> dict[str, Iterable[Sample]]:
    them = [*zip(balancers, (subject.labels for subject in subjects), strict=True)]
    return {
        "ajpd_balancer_retries": _counter(subjects, "retries"),
        "ajpd_balancer_members": [Sample("", labels, len(each.members)) for each, labels in them],
        "ajpd_balancer_usable_members": [
            Sample("", labels, sum(map(_is_usable, each.members))) for each, labels in them
        ],
    }


def _is_usable(member: MemberReport) -> bool:
    is_well = member.state in (State.IDLE, State.OK, State.BUSY)
    return is_well and member.activation is Activation.ACTIVE


def _members(
    members: Sequence[MemberReport], subjects: Sequence[_Subject]
) -> dict[str, Iterable[Sample]]:
    them = [*zip(members, (subject.labels for subject in subjects), strict=True)]
    state, activation = "ajpd_member_state", "ajpd_member_activation"
    return {
        "ajpd_member_route": [
            Sample("_info", f"{labels},{_labels(route=m.route, domain=m.text('domain') or '')}", 1)
            for m, labels in them
            if m.route is not None
        ],
        state: (s for m, labels in them for s in _states(state, labels, State, m.state)),
        activation: (
            s for m, labels in them for s in _states(activation, labels, Activation, m.activation)
        ),
        "ajpd_member_usable": [Sample("", labels, _is_usable(m)) for m, labels in them],
        "ajpd_member_lbfactor": [
            Sample("", labels, m.lbfactor) for m, labels in them if m.lbfactor is not None
        ],
        "ajpd_member_sessions": _counter(subjects, "sessions"),
        "ajpd_member_recent_sessions": [
            Sample("", labels, m.recent_sessions) for m, labels in them
        ],
    }


def _workers(report: Report, subjects: Sequence[_Subject]) -> dict[str, Iterable[Sample]]:
    them = [*zip(report.workers, (subject.labels for subject in subjects), strict=True)]
    taking = sum(each.state is ProcessState.RUNNING for each in report.processes)

    def known(read: Callable[[WorkerReport], float | None]) -> list[Sample]:
        found = [(labels, read(worker)) for worker, labels in them]
        return [Sample("", labels, value) for labels, value in found if value is not None]

    state = "ajpd_worker_probe_state"
    return {
        "ajpd_worker_address": [
            Sample("_info", f"{labels},{_labels(address=worker.address)}", 1)
            for worker, labels in them
        ],
        "ajpd_worker_connections": _gauge(subjects, lambda slot: slot.connected),
        "ajpd_worker_idle_connections": _gauge(subjects, lambda slot: slot.idle),
        "ajpd_worker_connection_limit": known(
            lambda worker: worker.config.connection_pool_size * taking if worker.config else None
        ),
        "ajpd_worker_connections_opened": _counter(subjects, "connects"),
        "ajpd_worker_requests_waiting": _gauge(subjects, lambda slot: slot.waiting),
        "ajpd_worker_busy_limit": known(lambda worker: worker.number("busy_limit") or None),
        "ajpd_worker_reads": _counter(subjects, "reads"),
        state: (
            s
            for worker, labels in them
            for s in _states(
                state, labels, ProbeState, worker.probe.state if worker.probe else ProbeState.NONE
            )
        ),
        "ajpd_worker_probe_rtt_seconds": known(
            lambda worker: worker.probe.rtt_s if worker.probe else None
        ),
        "ajpd_worker_probe_failures_in_a_row": known(
            lambda worker: worker.probe.failures if worker.probe else None
        ),
        "ajpd_worker_probes": _counter(subjects, "probes"),
        "ajpd_worker_probe_failures": _counter(subjects, "probe_failures"),
        "ajpd_worker_rescued": _counter(subjects, "rescued"),
    }


def _gauge(subjects: Subjects, read: Read) -> Iterator[Sample]:
    for slot, labels in subjects:
        value = read(slot)
        if value is not None:
            yield Sample("", labels, value)


def _counter(subjects: Subjects, name: str) -> Iterator[Sample]:
    for slot, labels in subjects:
        yield Sample("_total", labels, slot.totals[name])


def _requests(subjects: Subjects) -> Iterator[Sample]:
    for slot, labels in subjects:
        for label, name in _STATUS:
            yield Sample("_total", _join(labels, label), slot.totals[name])


def _failures(subjects: Subjects, reasons: Sequence[Reason]) -> Iterator[Sample]:
    for slot, labels in subjects:
        counts = dict.fromkeys(reasons, 0) | dict(slot.totals.reasons)
        for reason, count in counts.items():
            yield Sample("_total", _join(labels, f'reason="{reason}"'), count)


def _histogram(
    subjects: Subjects, read: Callable[[SlotReport], Histogram], total_us: str
) -> Iterator[Sample]:
    for slot, labels in subjects:
        below = [0, *accumulate(read(slot).counts)]
        places = (*_BUCKET_OF_BOUND, BUCKETS)
        for le, place in zip(_LE, places, strict=True):
            yield Sample("_bucket", _join(labels, le), below[place])
        yield Sample("_count", labels, below[BUCKETS])
        yield Sample("_sum", labels, slot.totals[total_us] / 1e6)
