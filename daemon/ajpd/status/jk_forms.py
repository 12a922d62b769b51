"""What is shown, as XML, as lines of text and as properties, letter for letter like mod_jk.

Source: mod_jk 1.2.48 `jk_status.c`, its output of a real one. Differs: values in XML are escaped;
properties of a member that mod_jk writes under the balancer's name, where each member's replace the
last one's, are there under the member's name as well.
"""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from ajpd.config.model import StatusConfig

from .fields import Part, Shown

__all__ = ["as_properties", "as_txt", "as_xml"]

_QUOTED: Final = frozenset(("route", "redirect", "domain"))
_TITLES: Final = {
    "balancer": "Balancer Worker",
    "member": "Member",
    "ajp": "AJP Worker",
    "map": "Map",
}
_INDENTS: Final = {"balancer": 2, "member": 6, "ajp": 2, "map": 6}
#: Of a member's properties, those that mod_jk writes under the name of its balancer.
_MISPLACED: Final = {
    "last_reset_at": "last_reset_at",
    "last_reset_ago": "last_reset_ago",
    "error_time_datetime": "error_time_datetime",
    "error_time_tz": "error_time_tz",
    "error_time_unix_seconds": "error_time_unix seconds",
    "error_time_ago": "error_time_ago seconds",
}
#: What cannot be in a line, and what cannot be in XML at all.
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")


def _times(when: float) -> list[tuple[str, str]]:
    local = time.localtime(when)
    return [
        ("datetime", time.strftime("%Y%m%d%H%M%S", local)),
        ("tz", time.strftime("%z", local)),
        ("unix", str(int(when))),
    ]


def _result(shown: Shown) -> list[tuple[str, str]]:
    return [("type", "OK" if shown.is_done else "ERROR"), ("message", shown.message)]


# --- XML ------------------------------------------------------------------------------------------


def as_xml(shown: Shown, config: StatusConfig) -> str:
    """One document."""
    lines = ['<?xml version="1.0" encoding="UTF-8" ?>']
    if config.doctype:
        lines.append(config.doctype)
    ns = config.ns
    root = f"<{ns}status"
    lines += [root, f"  {config.xmlns}>"] if config.xmlns else [f"{root}>"]
    if shown.server is not None:
        name, port = shown.server
        lines += _element(f"{ns}server", [("name", name), ("port", str(port))], 0)
    if shown.when is not None:
        software = [("web_server", shown.software), ("jk_version", shown.software)]
        lines += _element(f"{ns}time", _times(shown.when), 0)
        lines += _element(f"{ns}software", software, 0)
    lines += _section(f"{ns}balancers", shown.balancers, shown, ns)
    lines += _section(f"{ns}ajp_workers", shown.workers, shown, ns)
    if shown.properties is not None:
        lines += _element(f"{ns}configuration", shown.properties, 2)
    lines += _element(f"{ns}result", _result(shown), 2)
    return "\n".join([*lines, f"</{ns}status>", ""])


def _section(tag: str, parts: Sequence[Part], shown: Shown, ns: str) -> Iterator[str]:
    if not parts:
        return
    if shown.with_counts:
        yield f"<{tag}"
        yield f'  count="{len(parts)}"'
        yield ">"
    for part in parts:
        yield from _part(part, ns)
    if shown.with_counts:
        yield f"</{tag}>"


def _part(part: Part, ns: str) -> Iterator[str]:
    """A part; maps of a container follow it, all others are inside."""
    tag, indent = f"{ns}{part.kind}", _INDENTS[part.kind]
    first = ("id", part.name) if part.kind == "map" else ("name", part.name)
    is_open = part.kind == "balancer"
    yield from _element(tag, [first, *part.fields], indent, is_open=is_open)
    for inner in part.parts:
        yield from _part(inner, ns)
    if is_open:
        yield f"{' ' * indent}</{tag}>"


def _element(
    tag: str, fields: Iterable[tuple[str, str]], indent: int, *, is_open: bool = False
) -> Iterator[str]:
    blanks = " " * indent
    yield f"{blanks}<{tag}"
    for name, value in fields:
        yield f'{blanks}  {name}="{escape(_CONTROLS.sub("?", value))}"'
    yield f"{blanks}>" if is_open else f"{blanks}/>"


# --- lines ----------------------------------------------------------------------------------------


def as_txt(shown: Shown) -> str:
    """A line for each part."""
    lines = []
    if shown.server is not None:
        name, port = shown.server
        lines.append(f"Server: name={_line(name)} port={port}")
    if shown.when is not None:
        lines.append(f"Time: {_pairs(_times(shown.when))}")
        lines.append(f'Software: web_server="{shown.software}" jk_version={shown.software}')
    for title, parts in (("Balancer Workers", shown.balancers), ("AJP Workers", shown.workers)):
        if parts and shown.with_counts:
            lines.append(f"{title}: count={len(parts)}")
        for part in parts:
            lines += _lines(part)
    if shown.properties is not None:
        lines.append("Configuration:")
        lines += [f"{name}={_line(value)}" for name, value in shown.properties]
    kind, message = (value for _, value in _result(shown))
    return "\n".join([*lines, f'Result: type={kind} message="{_line(message)}"', ""])


def _lines(part: Part) -> Iterator[str]:
    if part.kind == "map":
        pairs = " ".join(f'{name}="{_line(value)}"' for name, value in part.fields)
        yield f"Map: id={part.name} {pairs}"
    else:
        yield f"{_TITLES[part.kind]}: name={part.name} {_pairs(_reordered(part.fields))}"
    for inner in part.parts:
        yield from _lines(inner)


def _pairs(fields: Iterable[tuple[str, str]]) -> str:
    return " ".join(
        f'{name}="{_line(value)}"' if name in _QUOTED else f"{name}={_line(value)}"
        for name, value in fields
    )


def _reordered(fields: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Outside XML, retries stands before connection_ping_interval."""
    found = [*fields]
    names = [name for name, _ in found]
    if "connection_ping_interval" in names:
        found.insert(names.index("connection_ping_interval"), found.pop(names.index("retries")))
    return found


def _line(text: str) -> str:
    return _CONTROLS.sub("?", text)


# --- properties -----------------------------------------------------------------------------------


def as_properties(shown: Shown, config: StatusConfig) -> str:
    """A line for each field."""
    prefix = config.prefix
    lines = []
    if shown.server is not None:
        name, port = shown.server
        lines += [("server_name", name), ("server_port", str(port))]
    if shown.when is not None:
        lines += [(f"time_{name}", value) for name, value in _times(shown.when)]
        lines += [("web_server", shown.software), ("jk_version", shown.software)]
    for key, parts in (("lb_count", shown.balancers), ("ajp_count", shown.workers)):
        if parts and shown.with_counts:
            lines.append((key, str(len(parts))))
        for part in parts:
            lines += _properties(part, "")
    if shown.properties is not None:
        dumped = [f"{name}={_line(value)}" for name, value in shown.properties]
    else:
        dumped = []
    found = [f"{prefix}.{name}={_line(value)}" for name, value in lines]
    result = [f"{prefix}.result.{name}={_line(value)}" for name, value in _result(shown)]
    return "\n".join([*found, *dumped, *result, ""])


def _properties(part: Part, owner: str) -> Iterator[tuple[str, str]]:
    name = part.name
    if part.kind == "map":
        for key, value in part.fields:
            yield f"{owner}.map.{name}.{key}", value
        return
    if part.kind == "member":
        yield f"{owner}.balance_workers", name
    else:
        yield ("list" if part.kind == "balancer" else f"{name}.list"), name
    misplaced = []
    for key, value in _reordered(part.fields):
        yield f"{name}.{key}", value
        if part.kind == "member" and key in _MISPLACED:
            misplaced.append((f"{owner}.{_MISPLACED[key]}", value))
    yield from misplaced
    for inner in part.parts:
        yield from _properties(inner, name)
