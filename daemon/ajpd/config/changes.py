"""What an operator changes while we run, laid over what the configuration files say.

The status table keeps numbers and texts under the names of `ajp.snapshot.FIELDS`; here they become
values of the model and back, and are checked by the same rows that check the files. Who may change
something, and how it reaches anybody, is not known here.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from ajp.lb import Activation, Member, Method
from ajp.snapshot import FIELDS, TEXTS, Kind

from .addresses import parse_host, parse_unix_path
from .directives import lookup
from .model import BalancerConfig, MemberConfig, WorkerConfig
from .values import BadValue, Directive, Scope, Unit, Value, ValueType, read_text

__all__ = [
    "Setting",
    "changed",
    "check",
    "decode",
    "directive_of",
    "encode",
    "read",
    "settings_of",
    "shown",
]

#: A value as the model has it.
Setting = int | str | bool | None

Configured = TypeVar("Configured", WorkerConfig, MemberConfig, BalancerConfig)

_METHODS: Final = tuple(Method)
_LOCKS: Final = ("Optimistic", "Pessimistic")
_BOOLS: Final = frozenset(("sticky_session", "sticky_session_force"))
_SCOPES: Final = {Kind.WORKER: Scope.AJP, Kind.MEMBER: Scope.MEMBER, Kind.BALANCER: Scope.LB}
_MS_PER_UNIT: Final = {Unit.S: 1000}
_PACKET_STEP: Final = 1024
_MOST_BYTES: Final = 63


def decode(name: str, kept: int | str) -> Setting:
    """What the table keeps, as the model has it; a number nobody knows any more is None."""
    if isinstance(kept, str):
        return kept
    words: tuple[Setting, ...] | None = {
        "method": _METHODS,
        "lock": _LOCKS,
        "activation": tuple(Activation),
    }.get(name)
    if words is not None:
        return words[kept] if 0 <= kept < len(words) else None
    return bool(kept) if name in _BOOLS else kept


def encode(name: str, value: Setting) -> int | str | None:
    """What the model has, as the table keeps it; None, for as in the files, stays None."""
    if value is None:
        return None
    if name == "method":
        return _METHODS.index(Method(str(value)))
    if name == "lock":
        return _LOCKS.index(str(value))
    return int(value) if isinstance(value, (bool, int)) else value


def shown(value: Setting) -> str:
    """A value as messages spell it."""
    if isinstance(value, Activation):
        return value.name.lower()
    return "''" if value == "" else str(value)


def settings_of(config: WorkerConfig | MemberConfig | BalancerConfig) -> dict[str, Setting]:
    """All that could be changed, by the names of `FIELDS`."""
    return {name: getattr(config, name) for name in sorted(FIELDS[_kind(config)])}


def changed(config: Configured, changes: Mapping[str, int | str]) -> Configured:
    """A configuration with what the operator changed.

    Args:
        config: as the files have it.
        changes: as the table keeps them; names and numbers that mean nothing here are left out.
    """
    names = FIELDS[_kind(config)]
    values: dict[str, Any] = {}
    for name, kept in changes.items():
        value = decode(name, kept) if name in names else None
        if value is not None:
            values[name] = value
    return replace(config, **values)


def _kind(config: WorkerConfig | MemberConfig | BalancerConfig) -> Kind:
    if isinstance(config, WorkerConfig):
        return Kind.WORKER
    return Kind.MEMBER if isinstance(config, MemberConfig) else Kind.BALANCER


def directive_of(kind: Kind, name: str) -> Directive:
    """The row of a field; its name is the field's without the unit."""
    return lookup(_SCOPES[kind], name.removesuffix("_ms"))


def read(kind: Kind, name: str, text: str) -> Setting:
    """Read a value as one writes it in workers.properties, and check it.

    What the files may say and is put right with a warning is refused here.

    Raises:
        BadValue: it is not what the directive needs.
        KeyError: it cannot be changed while we run, or is no field of this kind.
    """
    if name not in FIELDS[kind]:
        raise KeyError(name)
    reading = read_text(directive_of(kind, name), text)
    if reading.remark:
        raise BadValue(f"{name}: {reading.remark}")
    return check(kind, name, _of_model(name, reading.value))


def _of_model(name: str, value: Value) -> Setting:
    if name == "activation":
        return Activation[str(value).upper()]
    return Method(str(value)) if name == "method" else cast(Setting, value)


def check(kind: Kind, name: str, value: Setting) -> Setting:
    """A value that may be kept: as it was given, or rounded where the files round too.

    Raises:
        BadValue: it is not what the directive needs.
    """
    if name == "host":
        return _host(str(value))
    if name in TEXTS:
        return _text(name, str(value))
    row = directive_of(kind, name)
    if row.type not in (ValueType.INT, ValueType.DURATION):
        return value
    if not isinstance(value, int):
        raise BadValue(f"{name} is a number, not {value!r}")
    least = 1 if name == "port" else row.minimum
    factor = _MS_PER_UNIT.get(row.unit, 1)
    if least is not None and value < least * factor:
        raise BadValue(f"{name} is at least {least * factor}, not {value}")
    if value > row.maximum:
        raise BadValue(f"{name} is at most {row.maximum}, not {value}")
    if name == "max_packet_size":
        return -(-value // _PACKET_STEP) * _PACKET_STEP
    return value


def _host(text: str) -> str:
    try:
        if text.startswith("unix:"):
            return "unix:" + parse_unix_path(text)
        return parse_host(text)
    except ValueError as exc:
        raise BadValue(str(exc)) from exc


def _text(name: str, text: str) -> str:
    if len(text.encode()) > _MOST_BYTES:
        raise BadValue(f"{name} has at most {_MOST_BYTES} bytes, not {len(text.encode())}")
    one: dict[str, Any] = {name: text}
    try:
        Member(name="m", **one)
    except ValueError as exc:
        raise BadValue(f"{name} {text!r} cannot be in a cookie") from exc
    if name == "route" and not text:
        raise BadValue("a route cannot be empty")
    return text
