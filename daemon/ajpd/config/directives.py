"""The one table of directives, and how to look into it.

Everything that is said about a directive anywhere (parsing, errors, the reference, the sample
file) comes from here. A new directive is a new row in `rows_*.py` and nothing else.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from .errors import suggest
from .rows_balancer import BALANCER_ROWS
from .rows_daemon import DAEMON_ROWS
from .rows_worker import WORKER_ROWS
from .values import Directive, Scope

__all__ = [
    "DIRECTIVES",
    "WORKER_SCOPES",
    "in_scope",
    "known_scopes",
    "lookup",
    "suggest_in",
    "worker_directive",
]

DIRECTIVES: Final[tuple[Directive, ...]] = (*WORKER_ROWS, *BALANCER_ROWS, *DAEMON_ROWS)

#: Scopes whose names may follow `worker.NAME.`; a type's own scope is looked at first.
WORKER_SCOPES: Final = (
    Scope.COMMON,
    Scope.AJP,
    Scope.MEMBER,
    Scope.LB,
    Scope.STATUS,
    Scope.DEAD,
)

_OF_TYPE: Final[Mapping[str, tuple[Scope, ...]]] = {
    "ajp13": (Scope.AJP, Scope.COMMON, Scope.MEMBER, Scope.DEAD),
    "lb": (Scope.LB, Scope.COMMON, Scope.DEAD),
    "status": (Scope.STATUS, Scope.COMMON, Scope.DEAD),
}


def _by_scope() -> dict[Scope, Mapping[str, Directive]]:
    rows: dict[Scope, dict[str, Directive]] = {scope: {} for scope in Scope}
    for row in DIRECTIVES:
        if row.name in rows[row.scope]:
            raise AssertionError(f"{row.name} is twice in {row.scope}")
        rows[row.scope][row.name] = row
    return {scope: MappingProxyType(named) for scope, named in rows.items()}


_TABLE: Final = _by_scope()


def in_scope(scope: Scope) -> Mapping[str, Directive]:
    """All directives of a scope by name, in the table's order."""
    return _TABLE[scope]


def lookup(scope: Scope, name: str) -> Directive:
    """The directive of that name, which must exist.

    Raises:
        KeyError: it does not; a mistake of the caller, not of the configuration.
    """
    return _TABLE[scope][name]


def worker_directive(kind: str, name: str) -> Directive | None:
    """What `name` means for a worker of type `kind`; None when it means nothing there."""
    for scope in _OF_TYPE[kind]:
        if name in _TABLE[scope]:
            return _TABLE[scope][name]
    return None


def known_scopes(name: str) -> tuple[Scope, ...]:
    """The worker scopes that know this name; empty when mod_jk would refuse it."""
    return tuple(scope for scope in WORKER_SCOPES if name in _TABLE[scope])


def suggest_in(name: str, scopes: Iterable[Scope]) -> str:
    """The name in these scopes that was probably meant, or an empty string."""
    return suggest(name, [known for scope in scopes for known in _TABLE[scope]])
