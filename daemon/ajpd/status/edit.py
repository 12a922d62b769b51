"""Forms in which settings are changed by hand: of a balancer, a member, a container.

Their fields are the parameters of `cmd=update`.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final
from urllib.parse import urlencode

from ajp.lb import Activation
from ajpd.config.changes import directive_of
from ajpd.config.values import Unit

from .report import BalancerReport, MemberReport, SlotReport, WorkerReport
from .update import BALANCER_CODES, MEMBER_CODES, WORKER_CODES

__all__ = ["attribute_form", "balancer_form", "member_form", "worker_form"]

_CHOICES: Final = {
    "method": ("Request", "Traffic", "Busyness", "Sessions", "Next", "P2C", "Latency"),
    "lock": ("Optimistic", "Pessimistic"),
    "activation": ("active", "disabled", "stopped"),
    "sticky_session": ("true", "false"),
    "sticky_session_force": ("true", "false"),
}
_TEXTS: Final = frozenset(("route", "redirect", "domain", "host"))


def balancer_form(balancer: BalancerReport, token: str) -> str:
    """All settings of a balancer."""
    fields = _fields(balancer, BALANCER_CODES.items())
    return _form(f"Balancer {balancer.name}", {"w": balancer.name}, fields, token)


def member_form(member: MemberReport, token: str) -> str:
    """All settings of a member, and of its container."""
    fields = _fields(member, MEMBER_CODES.items())
    if member.worker is not None:
        fields += _fields(member.worker, WORKER_CODES.items())
    of = {"w": member.balancer, "sw": member.name}
    return _form(f"Member {member.name} of {member.balancer}", of, fields, token)


def worker_form(worker: WorkerReport, token: str) -> str:
    """All settings of a container."""
    fields = _fields(worker, WORKER_CODES.items())
    return _form(f"Worker {worker.name}", {"w": worker.name}, fields, token)


def attribute_form(balancer: BalancerReport, code: str, token: str) -> str:
    """One setting of all members; an empty text when there is no such setting."""
    fields = ""
    for number, member in enumerate(balancer.members):
        slot: SlotReport | None = member
        name = MEMBER_CODES.get(code)
        if name is None:
            name, slot = WORKER_CODES.get(code), member.worker
        if name is None or slot is None:
            return ""
        fields += _field(slot, f"val{number}", name, member.name)
    title = f"{MEMBER_CODES.get(code) or WORKER_CODES.get(code)} of all members"
    return _form(title, {"w": balancer.name, "att": code}, fields, token)


def _form(title: str, of: dict[str, str], fields: str, token: str) -> str:
    query = escape(urlencode({"cmd": "update", **of}))
    return (
        f'<form method="post" class="edit" action="?{query}" aria-label="{escape(title)}">'
        f'<h2>{escape(title)}</h2><input type="hidden" name="token" value="{token}">'
        f'<fieldset>{fields}</fieldset><p><button>Change</button> <a href="?">Leave it</a></p>'
        "</form>\n"
    )


def _fields(slot: SlotReport, codes: Iterable[tuple[str, str]]) -> str:
    return "".join(_field(slot, code, name, "") for code, name in codes)


def _field(slot: SlotReport, code: str, name: str, of: str) -> str:
    row = directive_of(slot.kind, name)
    value = slot.settings.get(name)
    unit = {Unit.S: " (s)", Unit.MS: " (ms)"}.get(row.unit, "")
    label = escape(of or f"{row.name}{unit}")
    text = _written(name, value, row.unit)
    if name in _CHOICES:
        entry = _select(code, _CHOICES[name], text)
    elif name in _TEXTS:
        entry = f'<input name="{code}" value="{escape(text)}" maxlength="63">'
    else:
        least = "" if row.minimum is None else f' min="{row.minimum}"'
        entry = f'<input type="number" name="{code}" value="{escape(text)}"{least}>'
    return f'<label title="{escape(row.doc)}"><span>{label}</span>{entry}</label>'


def _written(name: str, value: object, unit: Unit | None) -> str:
    """A value as it is typed."""
    if value is None:
        return ""
    if isinstance(value, Activation):
        return value.name.lower()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and name.endswith("_ms") and unit is Unit.S:
        return f"{value // 1000}"
    return str(value)


def _select(code: str, choices: Sequence[str], value: str) -> str:
    options = "".join(
        f"<option{' selected' if choice.lower() == value.lower() else ''}>{choice}</option>"
        for choice in choices
    )
    return f'<select name="{code}">{options}</select>'
