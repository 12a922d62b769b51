"""An explanation as lines for a terminal, and as values that JSON has.

Keys of JSON are the names of `explanation`; they are documented and stay.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from ajpd.config.urimap import Standing
from ajpd.status.text_form import aligned

from .explanation import Explanation, Forwarded, HostFound, Rule, SessionFound, WorkerFound
from .rules import DEFAULT, ELSEWHERE

__all__ = ["as_json", "as_text"]

_HEAD: Final = (
    *("", "MEMBER", "ADDRESS", "ROUTE", "DOMAIN", "ACT", "STATE"),
    *("FACTOR", "IN-FLIGHT", "WHY"),
)
_NOTHING: Final = "-"
_WIDTH: Final = 9
#: Rules that do not match are counted where something does, and shown, up to so many, else.
_MOST_MISSES: Final = 12
_LETTERS: Final = {"active": "ACT", "disabled": "DIS", "stopped": "STP"}


def as_json(explanation: Explanation) -> dict[str, Any]:
    """All of it."""
    return asdict(explanation)


def as_text(explanation: Explanation) -> list[str]:
    """All of it, a line each."""
    lines = [explanation.request]
    lines += _part("host", _host(explanation.host))
    if explanation.path is not None:
        lines += _part("path", [f"{explanation.path} is compared with the rules"])
    if explanation.rules:
        lines += _part("rules", _rules(explanation.rules))
    if explanation.worker is not None:
        lines += _part("worker", _worker(explanation.worker))
    if explanation.session is not None:
        lines += _part("session", _session(explanation.session))
    if explanation.members:
        seen = "as the running daemon sees them" if explanation.is_live else "as at a start"
        lines += _part("members", [seen])
        lines += _members(explanation)
    if explanation.forwarded is not None:
        lines += _part("sent", _forwarded(explanation.forwarded))
    if explanation.answer is not None:
        answer = explanation.answer
        reason = f" {answer.reason}" if answer.reason else ""
        lines += _part("answer", [f"{answer.status}{reason}: {answer.why}"])
    return [*lines, *_part("remarks", explanation.remarks)]


def _part(title: str, lines: "Iterator[str] | list[str] | tuple[str, ...]") -> list[str]:
    """Lines beside a title."""
    found = []
    for line in lines:
        found.append(f"{title:{_WIDTH}}{line}".rstrip())
        title = ""
    return found


def _host(host: HostFound) -> Iterator[str]:
    said = " (says a trusted proxy)" if host.is_forwarded else ""
    name = host.name or "no name"
    if host.section is not None:
        yield f"{name}{said}: [host.{host.section}] ({host.place}) has it"
    elif host.others:
        yield f"{name}{said}: {DEFAULT}"
    else:
        yield f"{name}{said}: there are no rules for single hosts"
    if host.others:
        others = ", ".join(f"[host.{name}] ({place})" for name, place in host.others.items())
        yield f"not of this name: {others}"


def _rules(rules: tuple[Rule, ...]) -> Iterator[str]:
    shown = [rule for rule in rules if rule.standing != Standing.NO_MATCH]
    misses = [rule for rule in rules if rule.standing == Standing.NO_MATCH]
    left = 0
    if any(rule.standing in (Standing.DECIDES, Standing.EXCLUDED) for rule in rules):
        left = len(misses)
    else:
        kept = set(map(id, misses[:_MOST_MISSES]))
        left = len(misses) - len(kept)
        shown = [r for r in rules if r.standing != Standing.NO_MATCH or id(r) in kept]
    for mark, rule in ((_mark(rule), rule) for rule in shown):
        yield f"{mark} {rule.text} ({rule.place}): {rule.why}"
    if left:
        yield f"   {left} more that {'does' if left == 1 else 'do'} not match"


def _mark(rule: Rule) -> str:
    if rule.standing == Standing.DECIDES:
        return "->"
    return "  " if rule.standing in (Standing.NO_MATCH, Standing.LATER, ELSEWHERE) else "- "


def _worker(worker: WorkerFound) -> Iterator[str]:
    yield f"{worker.name}, type {worker.type} ({worker.place})"
    if worker.settings:
        yield ", ".join(f"{name} {value}" for name, value in worker.settings.items())
    if worker.by_rule:
        yield f"by the rule: {', '.join(f'{k}={v}' for k, v in worker.by_rule.items())}"
    if worker.on_failure:
        yield worker.on_failure
    if worker.type == "status":
        yield "ajpd answers by itself, and asks no container"


def _session(session: SessionFound) -> Iterator[str]:
    if not session.ids:
        yield f"none: {session.where}"
        return
    yield f"{', '.join(session.ids)} in the {session.where}"
    yield session.why if session.counts else f"does not count: {session.why}"


def _members(explanation: Explanation) -> list[str]:
    rows = [
        [
            "->" if member.is_chosen else "",
            member.name,
            member.address,
            member.route,
            member.domain or _NOTHING,
            _LETTERS[member.activation],
            member.state,
            str(member.lbfactor),
            str(member.in_flight),
            member.why,
        ]
        for member in explanation.members
    ]
    return [f"  {line}" for line in aligned(_HEAD, rows)]


def _forwarded(sent: Forwarded) -> Iterator[str]:
    query = "" if sent.query is None else f"?{sent.query}"
    yield f"{sent.method} {sent.uri}{query} to {sent.worker} at {sent.address}"
    scheme = "https" if sent.is_ssl else "http"
    yield (
        f"for {sent.remote_addr}, which asked {scheme}://{sent.server_name}:{sent.server_port}; "
        f"{sent.size} of {sent.max_packet_size} bytes, "
        f"{'with a' if sent.has_secret else 'without'} secret"
    )
    for name, value in sent.headers:
        yield f"header {name}: {value}"
    for name, value in sent.attributes:
        yield f"attribute {name}={value}"
