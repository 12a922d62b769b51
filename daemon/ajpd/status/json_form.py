"""A report as values that JSON has: the keys are documented and stay.

Keys are the names of the report; times of day are seconds since 1970. docs/reference/cli.md lists
them. A new key may come at any time; none changes what it means.
"""

from collections.abc import Mapping
from typing import Any

from ajp.lb import Activation
from ajp.snapshot import Histogram, Totals
from ajpd.config.changes import Setting

from .report import (
    BalancerReport,
    MemberReport,
    ProcessReport,
    Report,
    SlotReport,
    WorkerReport,
)

__all__ = ["as_json"]

_NS = 1e9


def as_json(report: Report) -> dict[str, Any]:
    """All of it."""
    return {
        "when": report.when_ns / _NS,
        "generation": report.generation,
        "created": report.created_ns / _NS,
        "changes": report.changes,
        "processes": [_process(each) for each in report.processes],
        "front": None if report.front is None else _slot(report.front),
        "balancers": [_balancer(each) for each in report.balancers],
        "workers": [_worker(each) for each in report.workers],
        "missing": [*report.missing],
    }


def _process(process: ProcessReport) -> dict[str, Any]:
    return {
        "pid": process.pid,
        "column": process.column,
        "generation": process.generation,
        "state": process.state.name.lower(),
        "heartbeat_age_s": process.heartbeat_age_s,
        "is_prober": process.is_prober,
    }


def _slot(slot: SlotReport) -> dict[str, Any]:
    trouble = None
    if slot.trouble is not None:
        trouble = {"reason": str(slot.trouble.reason), "age_s": slot.trouble.age_s}
    return {
        "name": slot.name,
        "in_flight": slot.in_flight,
        "max_in_flight": slot.max_in_flight,
        "waiting": slot.waiting,
        "connected": slot.connected,
        "max_connected": slot.max_connected,
        "idle": slot.idle,
        "trouble": trouble,
        "settings": _settings(slot.settings),
        "changed": _settings(slot.changed),
        "changed_at": slot.changed_ns / _NS or None,
        "reset_at": slot.reset_ns / _NS,
        "since_reset": _totals(slot.since_reset),
        "totals": _totals(slot.totals),
    }


def _settings(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    return {
        name: value.name.lower() if isinstance(value, Activation) else value
        for name, value in settings.items()
    }


def _totals(totals: Totals) -> dict[str, Any]:
    return {
        **totals.counters,
        "errors": totals.errors,
        "client_errors": totals.client_errors,
        "reply_timeouts": totals.reply_timeouts,
        "reasons": {str(reason): count for reason, count in totals.reasons.items()},
        "first_byte": _times(totals.first_byte),
        "duration": _times(totals.duration),
    }


def _times(histogram: Histogram) -> dict[str, Any]:
    return {
        "count": histogram.total,
        "p50_us": histogram.p50_us,
        "p95_us": histogram.p95_us,
        "p99_us": histogram.p99_us,
    }


def _worker(worker: WorkerReport) -> dict[str, Any]:
    probe = None
    if worker.probe is not None:
        probe = {
            "state": worker.probe.state.name.lower(),
            "age_s": worker.probe.age_s,
            "rtt_s": worker.probe.rtt_s,
            "failures": worker.probe.failures,
        }
    return {
        **_slot(worker),
        "address": worker.address,
        "balancers": [*worker.balancers],
        "probe": probe,
    }


def _balancer(balancer: BalancerReport) -> dict[str, Any]:
    return {
        **_slot(balancer),
        "maintained_age_s": balancer.maintained_age_s,
        "maintenance_min_s": balancer.maintenance_min_s,
        "maintenance_max_s": balancer.maintenance_max_s,
        "members": [_member(each) for each in balancer.members],
    }


def _member(member: MemberReport) -> dict[str, Any]:
    return {
        **_slot(member),
        "balancer": member.balancer,
        "address": member.address,
        "activation": member.activation.name.lower(),
        "state": member.state.label,
        "multiplier": member.multiplier,
        "value": member.value,
        "elected": member.elected,
        "sessions": member.sessions,
        "errors": member.errors,
        "reply_timeouts": member.reply_timeouts,
        "first_error_age_s": member.first_error_age_s,
        "last_error_age_s": member.last_error_age_s,
        "recover_min_s": member.recover_min_s,
        "recover_max_s": member.recover_max_s,
        "latency_s": member.latency_s,
        "returned_age_s": member.returned_age_s,
        "last_session_age_s": member.last_session_age_s,
        "recent_sessions": member.recent_sessions,
    }
