"""A report as lines for a terminal: aligned columns, the short form of everything."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from ajp.lb import Activation, State
from ajp.snapshot import Histogram, ProbeState, ProcessState
from ajpd.config.changes import shown

from .report import BalancerReport, MemberReport, Report, SlotReport, WorkerReport

__all__ = ["ago", "aligned", "as_text", "duration", "quantiles"]

_MEMBER_HEAD = (
    *("MEMBER", "ADDRESS", "ACT", "STATE", "FACTOR", "ROUTE", "IN-FLIGHT", "CONN", "DONE"),
    *("ERRORS", "P50", "P95", "P99", "SESSIONS"),
)
_WORKER_HEAD = (
    *("WORKER", "ADDRESS", "PROBE", "IN-FLIGHT", "WAITING", "CONN", "IDLE", "DONE"),
    *("ERRORS", "P50", "P95", "P99"),
)
_LEFT = frozenset(
    ("", "MEMBER", "WORKER", "ADDRESS", "ACT", "STATE", "ROUTE", "DOMAIN", "PROBE", "WHY")
)
_NOTHING = "-"


def as_text(report: Report) -> list[str]:
    """All of it, a line each."""
    lines = [*_head(report)]
    for balancer in report.balancers:
        lines += ["", _title(balancer)]
        rows = [_member(member) for member in balancer.members]
        lines += [f"  {line}" for line in aligned(_MEMBER_HEAD, rows)]
    if report.workers:
        lines.append("")
        lines += aligned(_WORKER_HEAD, [_worker(worker) for worker in report.workers])
    remarks = [*_remarks(report)]
    return [*lines, "", *remarks] if remarks else lines


def aligned(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns side by side: texts to the left, numbers to the right."""
    table = [head, *rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(head))]
    lines = []
    for row in table:
        cells = [
            cell.ljust(width) if name in _LEFT else cell.rjust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def duration(seconds: float) -> str:
    """A time in two figures or so, with the unit that fits."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f}us"
    if seconds < 1:
        return f"{seconds * 1e3:.3g}ms" if seconds < 0.9995 else "1s"
    if seconds < 100:
        return f"{seconds:.3g}s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f}min"
    return f"{seconds / 3600:.0f}h" if seconds < 100 * 3600 else f"{seconds / 86400:.0f}d"


def ago(seconds: float | None) -> str:
    """How long ago."""
    return "never" if seconds is None else f"{duration(seconds)} ago"


def _head(report: Report) -> Iterable[str]:
    serving = [p.pid for p in report.processes if p.state is ProcessState.RUNNING]
    leaving = [p.pid for p in report.processes if p.state is not ProcessState.RUNNING]
    line = f"{_count(len(serving), 'process')}: {_listed(serving)}"
    if leaving:
        line += f"; {_listed(leaving)} finishing"
    yield f"{line}; generation {report.generation}"
    if report.front is not None:
        front, counted = report.front, report.front.since_reset
        since = datetime.fromtimestamp(front.reset_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        yield (
            f"{_count(front.in_flight, 'request')} under way, {counted['used']} done since "
            f"{since}, {counted.errors} failed, {counted.client_errors} by their clients"
        )


def _title(balancer: BalancerReport) -> str:
    words = [f"balancer {balancer.name}"]
    if balancer.config is not None:
        words.append(f"method {balancer.config.method}")
        if not balancer.config.sticky_session:
            words.append("not sticky")
        elif balancer.config.sticky_session_force:
            words.append("sticky, by force")
    words.append(f"{balancer.in_flight} under way, {balancer.max_in_flight} at most")
    return "; ".join(words)


def _member(member: MemberReport) -> list[str]:
    worker = member.worker
    return [
        member.name,
        member.where,
        member.activation.letters,
        member.state.label,
        _or_nothing(member.lbfactor),
        member.route or _NOTHING,
        str(member.in_flight),
        _NOTHING if worker is None else str(worker.connected),
        str(member.elected),
        str(member.errors),
        *quantiles(member.since_reset.duration),
        str(member.recent_sessions),
    ]


def _worker(worker: WorkerReport) -> list[str]:
    counted = worker.since_reset
    probe = _NOTHING
    if worker.probe is not None:
        probe = worker.probe.state.name.lower()
        if worker.probe.state is ProbeState.ANSWERS and worker.probe.rtt_s is not None:
            probe = duration(worker.probe.rtt_s)
    return [
        worker.name,
        worker.where,
        probe,
        str(worker.in_flight),
        str(worker.waiting),
        str(worker.connected),
        str(worker.idle),
        str(counted["used"]),
        str(counted.errors),
        *quantiles(worker.since_reset.duration),
    ]


def quantiles(times: Histogram) -> list[str]:
    """What half, 95 and 99 of 100 stay within."""
    found = (times.p50_us, times.p95_us, times.p99_us)
    return [_NOTHING if us is None else duration(us / 1e6) for us in found]


def _remarks(report: Report) -> Iterable[str]:
    for slot, what in _all(report):
        if slot.changed:
            words = ", ".join(f"{name} {shown(value)}" for name, value in slot.changed.items())
            yield f"changed: {what}: {words}"
    for member in report.members:
        if member.state is State.ERROR:
            yield f"failed: {member.balancer}/{member.name}: {_why(member)}"
    for balancer in report.balancers:
        if not any(_takes_new_work(member) for member in balancer.members):
            yield f"warning: {balancer.name} has no member that takes new sessions"
    for name in report.missing:
        yield f"warning: {name} is in the files, and not in the running ajpd: reload it"


def _takes_new_work(member: MemberReport) -> bool:
    return member.activation is Activation.ACTIVE and member.state <= State.FORCE


def _why(member: MemberReport) -> str:
    trouble = member.trouble or (None if member.worker is None else member.worker.trouble)
    words = [f"last error {ago(member.last_error_age_s)}"]
    if trouble is not None:
        words.append(str(trouble.reason))
    probe = None if member.worker is None else member.worker.probe
    if probe is not None and probe.state in (ProbeState.FAILS, ProbeState.FROZEN):
        # Each probe that fails is a later error.
        words.append("back with the first good probe")
    elif member.recover_min_s is not None and member.recover_max_s is not None:
        earliest, latest = duration(member.recover_min_s), duration(member.recover_max_s)
        words.append(f"tried again in {earliest} to {latest}")
    return ", ".join(words)


def _all(report: Report) -> Iterable[tuple[SlotReport, str]]:
    for balancer in report.balancers:
        yield balancer, balancer.name
        for member in balancer.members:
            yield member, f"{balancer.name}/{member.name}"
    for worker in report.workers:
        yield worker, worker.name


def _count(number: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def _listed(pids: Sequence[int]) -> str:
    return ", ".join(map(str, pids)) or "none"


def _or_nothing(number: int | None) -> str:
    return _NOTHING if number is None else str(number)
