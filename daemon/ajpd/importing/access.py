"""Who may see a page of a status worker: `Require` and its like → `allow` of `[status]`.

What stands in the Location of a JkMount is gathered while files are read; only later it is known
which workers are status workers. For every other worker it is a remark, like access anywhere else.

Source: httpd `modules/aaa/mod_authz_host.c` and `mod_access_compat.c`.
"""

import ipaddress
from collections.abc import Iterable, Set
from typing import Final

from .draft import Draft, Guard, Rule, Setting
from .elsewhere import saying
from .remarks import Remarks

__all__ = ["take_guards"]

_NEITHER: Final = "is neither an address nor a network"
_ALL: Final = frozenset(("all", "granted"))


def take_guards(draft: Draft, rules: Iterable[Rule], statuses: Set[str], remarks: Remarks) -> None:
    """Make networks of them.

    Args:
        draft: what was gathered.
        rules: all that count.
        statuses: names of status workers.
        remarks: of the whole import.
    """
    networks: list[str] = []
    first: Guard | None = None
    guarded: set[str] = set()
    for guard in draft.guards:
        if guard.worker not in statuses:
            _remark(guard, remarks)
            continue
        found = _networks(guard, remarks)
        if found:
            first = first or guard
            guarded.add(guard.worker)
            networks += found
    for rule in rules:
        if rule.worker in statuses - guarded and not rule.key.startswith("!"):
            _remark_on_open(rule, remarks)
    if first is not None:
        unique = list(dict.fromkeys(networks))
        draft.set(
            "status", "allow", Setting(value=unique, place=first.place, directive=first.directive)
        )


def _remark(guard: Guard, remarks: Remarks) -> None:
    found = saying(guard.directive.lower())
    if found is None:
        raise AssertionError(f"{guard.directive} is in no table")
    if guard.is_free:
        remarks.note(guard.place, guard.directive, "everybody who reaches ajpd gets there")
    else:
        remarks.warn(guard.place, guard.directive, *found[1:])


def _remark_on_open(rule: Rule, remarks: Remarks) -> None:
    remarks.warn(
        rule.place,
        rule.directive,
        f"Apache shows the page of {rule.worker} to everybody who gets there; here only this "
        "machine may see it",
        "write networks into allow of [status]",
    )


def _networks(guard: Guard, remarks: Remarks) -> list[str]:
    """Those that one line lets in."""
    words = [word.lower() for word in guard.words]
    is_plain = guard.directive.lower() in ("order", "satisfy", "deny") or "denied" in words
    if is_plain or guard.is_free:
        what = "who may see the page of a status worker is said by allow of [status]"
        remarks.note(guard.place, guard.directive, what)
        return []
    kind, *rest = words or [""]
    if kind == "local":
        return ["loopback"]
    if kind not in ("ip", "from"):
        found = saying(guard.directive.lower()) or (False, "it is not carried over", "")
        remarks.warn(guard.place, guard.directive, *found[1:])
        return []
    networks = []
    for word in rest:
        network = _network(word)
        if network:
            networks.append(network)
        elif word not in _ALL:
            remarks.warn(
                guard.place, guard.directive, f"{word} {_NEITHER}, and is left out",
                "write its addresses into allow of [status]",
            )  # fmt: skip
    return networks


def _network(word: str) -> str:
    """`10.1`, `10.1.0.0/16`, `10.1.0.0/255.255.0.0`; empty for anything else."""
    digits = word.rstrip(".").split(".")
    if all(each.isdecimal() for each in digits) and len(digits) < 4 and "/" not in word:
        word = f"{'.'.join((*digits, *['0'] * (4 - len(digits))))}/{8 * len(digits)}"
    try:
        return str(ipaddress.ip_network(word, strict=False))
    except ValueError:
        return ""
