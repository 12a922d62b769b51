"""A report as the rows of `ajpd top`: what moves, and what is wrong, member by member."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ajp.lb import Activation, State
from ajp.snapshot import ProbeState, ProcessState
from ajpd.config.changes import shown

from .rates import Pace, Rates
from .report import MemberReport, Report, SlotReport, WorkerReport
from .text_form import ago, aligned, duration, quantiles

__all__ = ["HEADS", "Row", "as_lines", "details", "rows", "summary"]

Health = Literal["fine", "worse", "bad"]

HEADS: Final = (
    *("MEMBER", "ADDRESS", "ACT", "STATE", "IN-FLIGHT", "REQ/S", "P50", "P95", "P99", "ERR/S"),
    *("ERRORS", "SESSIONS", "CONN", "WAIT"),
)
_NOTHING: Final = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """One line.

    Attributes:
        name: `balancer/member`, or the name of a container that is in no balancer.
        cells: one for each of `HEADS`.
        health: how it is.
        is_member: it can be drained and the like.
    """

    name: str
    cells: tuple[str, ...]
    health: Health
    is_member: bool


def summary(report: Report, rates: Rates) -> str:
    """Everything in one line."""
    serving = sum(process.state is ProcessState.RUNNING for process in report.processes)
    words = [f"{serving} {'process' if serving == 1 else 'processes'}"]
    if report.front is not None:
        front, pace = report.front, rates.pace(report.front, report.when_ns)
        words += [
            f"{pace.per_s:.1f} requests/s",
            f"{pace.errors_per_s:.1f} failed/s",
            f"{front.in_flight} in flight",
            f"{front.connected} clients",
            *(
                f"{name} {text}"
                for name, text in zip(_QUANTILES, quantiles(pace.duration), strict=True)
            ),
        ]
    failed = sum(member.state is State.ERROR for member in report.members)
    if failed:
        words.append(f"{failed} of {len(report.members)} members failed")
    return ", ".join(words)


_QUANTILES: Final = ("p50", "p95", "p99")


def rows(report: Report, rates: Rates) -> list[Row]:
    """All members, then containers that are in no balancer."""
    found = [_member(member, rates.pace(member, report.when_ns)) for member in report.members]
    alone = [worker for worker in report.workers if not worker.balancers]
    return found + [_worker(worker, rates.pace(worker, report.when_ns)) for worker in alone]


def _member(member: MemberReport, pace: Pace) -> Row:
    worker = member.worker
    health: Health = "fine"
    if member.state is State.ERROR:
        health = "bad"
    elif member.activation is not Activation.ACTIVE or member.state > State.OK:
        health = "worse"
    cells = (
        f"{member.balancer}/{member.name}",
        member.where,
        member.activation.letters,
        member.state.label,
        str(member.in_flight),
        f"{pace.per_s:.1f}",
        *quantiles(pace.duration),
        f"{pace.errors_per_s:.1f}",
        str(member.errors),
        str(member.recent_sessions),
        _NOTHING if worker is None else str(worker.connected),
        _NOTHING if worker is None else str(worker.waiting),
    )
    return Row(cells[0], cells, health, is_member=True)


def _worker(worker: WorkerReport, pace: Pace) -> Row:
    state = _NOTHING if worker.probe is None else worker.probe.state.name.lower()
    is_bad = worker.probe is not None and worker.probe.state in (
        ProbeState.FAILS,
        ProbeState.FROZEN,
    )
    cells = (
        worker.name,
        worker.where,
        _NOTHING,
        state,
        str(worker.in_flight),
        f"{pace.per_s:.1f}",
        *quantiles(pace.duration),
        f"{pace.errors_per_s:.1f}",
        str(worker.since_reset.errors),
        _NOTHING,
        str(worker.connected),
        str(worker.waiting),
    )
    return Row(worker.name, cells, "bad" if is_bad else "fine", is_member=False)


def details(report: Report, name: str) -> list[str]:
    """What else is known of a row, a line each."""
    lines: list[str] = []
    for slot in _slots(report, name):
        reasons = sorted(slot.since_reset.reasons.items(), key=lambda item: -item[1])
        if reasons:
            words = ", ".join(f"{count} {reason}" for reason, count in reasons)
            lines.append(f"failed since {ago(slot.reset_age_s)}: {words}")
        if slot.trouble is not None:
            lines.append(f"last failure {ago(slot.trouble.age_s)}: {slot.trouble.reason}")
        if slot.changed:
            words = ", ".join(f"{key} {shown(value)}" for key, value in slot.changed.items())
            lines.append(f"changed while ajpd runs: {words}")
        if isinstance(slot, MemberReport):
            lines += _of_member(slot)
        if isinstance(slot, WorkerReport) and slot.probe is not None:
            took = "" if slot.probe.rtt_s is None else f", in {duration(slot.probe.rtt_s)}"
            lines.append(f"probe {ago(slot.probe.age_s)}: {slot.probe.state.name.lower()}{took}")
    return lines


def _of_member(member: MemberReport) -> Iterable[str]:
    if member.recover_min_s is not None and member.recover_max_s is not None:
        least, most = duration(member.recover_min_s), duration(member.recover_max_s)
        yield f"tried again in {least} to {most}"
    if member.activation is Activation.DISABLED:
        yield (
            f"drains: {member.in_flight} in flight, {member.recent_sessions} sessions in 5 min, "
            f"the last {ago(member.last_session_age_s)}"
        )


def _slots(report: Report, name: str) -> Iterable[SlotReport]:
    for member in report.members:
        if f"{member.balancer}/{member.name}" == name:
            yield member
            if member.worker is not None:
                yield member.worker
    for worker in report.workers:
        if worker.name == name:
            yield worker


def as_lines(report: Report, rates: Rates) -> list[str]:
    """All of it for a pipe, or a terminal that is no more than that."""
    found: Sequence[Row] = rows(report, rates)
    lines = [summary(report, rates), "", *aligned(HEADS, [row.cells for row in found])]
    for row in found:
        if row.health == "bad":
            lines += [f"{row.name}: {line}" for line in details(report, row.name)]
    return lines
