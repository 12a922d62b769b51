"""What the parameters of `cmd=update` change: mod_jk's codes, in its units.

Source: mod_jk `jk_status.c` `commit_worker`, `commit_member`, `commit_all_members`. Differs: a
value that cannot be is refused with a reason, not passed over in silence; switches go off as well
as on.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from ajp._slot import Slot
from ajp.snapshot import Kind
from ajpd.config.changes import Setting, read
from ajpd.config.values import BadValue

from .actions import ActionError, Deed, Operator
from .question import Question
from .report import BalancerReport, SlotReport

__all__ = ["BALANCER_CODES", "MEMBER_CODES", "WORKER_CODES", "update_balancer", "update_members"]

#: Code of a parameter, and the field of the table that it changes.
BALANCER_CODES: Final[Mapping[str, str]] = {
    "vlr": "retries",
    "vlri": "retry_interval_ms",
    "vlt": "recover_time_ms",
    "vlee": "error_escalation_time_ms",
    "vlx": "max_reply_timeouts",
    "vls": "sticky_session",
    "vlf": "sticky_session_force",
    "vlm": "method",
    "vll": "lock",
}
MEMBER_CODES: Final[Mapping[str, str]] = {
    "vwa": "activation",
    "vwf": "lbfactor",
    "vwn": "route",
    "vwr": "redirect",
    "vwc": "domain",
    "vwd": "distance",
}
WORKER_CODES: Final[Mapping[str, str]] = {
    "vahst": "host",
    "vaprt": "port",
    "vacpt": "connection_pool_timeout_ms",
    "vapng": "ping_timeout_ms",
    "vact": "connect_timeout_ms",
    "vapt": "prepost_timeout_ms",
    "vart": "reply_timeout_ms",
    "var": "retries",
    "vari": "retry_interval_ms",
    "vacpi": "connection_ping_interval_ms",
    "varo": "recovery_options",
    "vabl": "busy_limit",
    "vamps": "max_packet_size",
}
#: These may be made empty.
_TEXTS: Final = frozenset(("vwn", "vwr", "vwc"))
#: A slot, and what is known of it.
_Slot = tuple[Slot, SlotReport]
#: `val0`, `val1`, … of one attribute for all members.
_POSITION: Final = re.compile(r"val(\d{1,3})")


def update_balancer(
    operator: Operator, slot: Slot, now: BalancerReport, values: Mapping[str, str]
) -> list[Deed]:
    """Change settings of a balancer.

    Args:
        operator: does it.
        slot: of the balancer.
        now: how it is; what is so already is left as it is.
        values: of parameters.

    Raises:
        ActionError: a value cannot be; nothing was changed.
    """
    changes = _read(Kind.BALANCER, BALANCER_CODES, values, now)
    return operator.configure(slot, changes) if changes else []


def update_members(
    operator: Operator, members: Sequence[_Slot], workers: Sequence[_Slot], question: Question
) -> list[Deed]:
    """Change settings of members of a balancer, or of containers without one.

    Args:
        operator: does it.
        members: with how they are, in the order of the configuration; none for a container alone.
        workers: their containers, in the same order. What is so already is left as it is.
        question: with `att`, one attribute of all members, each to its own value.

    Raises:
        ActionError: a value cannot be; members before the one that it was for are changed.
    """
    if question.attribute is None:
        changes = [dict(question.values) for _ in workers]
    else:
        changes = _one_attribute(question, len(workers))
    # First all of it is read: hardly anything goes wrong behind that.
    todo = [
        (slot, _read(Kind.MEMBER, MEMBER_CODES, values, now))
        for (slot, now), values in zip(members, changes, strict=False)
    ]
    todo += [
        (slot, _read(Kind.WORKER, WORKER_CODES, values, now))
        for (slot, now), values in zip(workers, changes, strict=True)
    ]
    return [deed for slot, values in todo if values for deed in operator.configure(slot, values)]


def _one_attribute(question: Question, count: int) -> list[dict[str, str]]:
    code = question.attribute or ""
    if code not in MEMBER_CODES and (code not in WORKER_CODES or code in ("vahst", "vaprt")):
        raise ActionError(f"att: {code!r} is no attribute that all members can get")
    changes: list[dict[str, str]] = [{} for _ in range(count)]
    for name, value in question.values.items():
        position = _POSITION.fullmatch(name)
        if position is not None and int(position[1]) < count:
            changes[int(position[1])][code] = value
    return changes


def _read(
    kind: Kind, codes: Mapping[str, str], values: Mapping[str, str], now: SlotReport
) -> dict[str, Setting]:
    """Values of the model that are others than now; a number that is left out changes nothing."""
    found: dict[str, Setting] = {}
    for code, name in codes.items():
        text = values.get(code)
        if text is None or (not text.strip() and code not in _TEXTS):
            continue
        try:
            value = read(kind, name, text.strip())
        except (BadValue, ValueError) as exc:
            raise ActionError(f"{code}={text}: {exc}") from exc
        if value != now.settings.get(name):
            found[name] = value
    return found
