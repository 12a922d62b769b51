"""What workers mod_jk has: which rules may name, and their tables where these are written in place.

A workers.properties stays a file that ajpd.toml names. Where mod_jk is told more than that file
says (JkWorkerProperty, `$(ServerRoot)`), its workers become tables.

Source: mod_jk `mod_jk.c` (jk_set_worker_property, init_jk) and `jk_worker.c` (wc_open).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from ajpd.config.directives import known_scopes, lookup, worker_directive
from ajpd.config.errors import Findings, Place
from ajpd.config.parts import REPEATS, Parts
from ajpd.config.properties import parse_properties, resolve_references
from ajpd.config.sections import (
    Entry,
    Section,
    listed_workers,
    maintain_ms,
    sections_from_properties,
)
from ajpd.config.values import BadValue, Directive, Scope, ValueType, default_of

from .containers import Table
from .draft import Draft, Scalar, Setting
from .parameters import duration
from .remarks import Remarks
from .sources import read_text

__all__ = ["Workers", "read_workers"]

_ROOT: Final = "$(ServerRoot)"


@dataclass(slots=True, kw_only=True)
class Workers:
    """What there is.

    Attributes:
        names: that rules may have.
        taken: all names, members of balancers too.
        statuses: names of those that are status workers.
        is_known: the names are all that there are; a broken file may have more.
        file: that ajpd.toml has to name; empty where there is none.
        tables: in its place.
    """

    names: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)
    statuses: set[str] = field(default_factory=set)
    is_known: bool = True
    file: str = ""
    tables: list[Table] = field(default_factory=list)


def read_workers(draft: Draft, remarks: Remarks, *, in_place: bool) -> Workers:
    """Read what JkWorkersFile and JkWorkerProperty say.

    Args:
        draft: names the file.
        remarks: of the whole import.
        in_place: make tables, whatever there is.
    """
    file = "" if draft.workers_file is None else str(draft.workers_file.value)
    text = ""
    if file:
        remarks.begin(file)
        try:
            text = read_text(Path(file))
        except (OSError, ValueError) as exc:
            place = (draft.workers_file and draft.workers_file.place) or Place(file)
            remarks.error(place, "JkWorkersFile", f"cannot read {file}: {exc}")
            return Workers(is_known=False)
    if not file and not draft.properties:
        return Workers()
    if draft.properties or _ROOT in text or in_place:
        return _InPlace(draft, file, text, remarks).workers()
    parts = Parts(env=os.environ)
    findings = Findings()
    parts.take_workers(file, findings, None)
    parts.make_up_list(findings)
    return Workers(
        names={name for name, _ in parts.listed},
        taken=set(parts.sections),
        statuses=_statuses(parts.sections),
        is_known=parts.is_complete,
        file=file,
    )


class _InPlace:
    """Makes tables of JkWorkerProperty lines and the file behind them."""

    def __init__(self, draft: Draft, file: str, text: str, remarks: Remarks) -> None:
        self._remarks = remarks
        self._findings = Findings()
        lines = [str(each.value) for each in draft.properties]
        self._origins = [each.place or Place("JkWorkerProperty") for each in draft.properties]
        for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
            lines.append(line)
            self._origins.append(Place(file, number))
        environment = {**os.environ, **({"ServerRoot": draft.root} if draft.root else {})}
        # All of it is one text for mod_jk, so that variables and lists are as they are there.
        properties = parse_properties(
            "\n".join(lines), "", self._findings, env=environment, repeats=REPEATS
        )
        self._templates = {
            item.value.removeprefix("worker.")
            for item in properties
            if item.key.startswith("worker.") and item.key.endswith(".reference")
        }
        properties = resolve_references(properties, self._findings)
        self._sections = sections_from_properties(properties, self._findings)
        self._listed = listed_workers(properties) or self._made_up()
        self._maintain_ms = maintain_ms(properties, self._findings)

    def _made_up(self) -> list[tuple[str, Place]]:
        (name,) = cast(tuple[str, ...], lookup(Scope.GLOBAL, "list").default)
        place = Place("", 1)
        self._sections.setdefault(name, Section(name=name, place=place))
        return [(name, place)]

    def _origin(self, place: Place) -> Place:
        if place.line is None or not 0 < place.line <= len(self._origins):
            return self._origins[0] if self._origins else place
        return self._origins[place.line - 1]

    def workers(self) -> Workers:
        """Everything in use, as tables."""
        names = [name for name, _ in self._listed]
        for name, place in self._listed:
            if name not in self._sections:
                self._remarks.error(
                    self._origin(place), "worker.list", f"worker {name} is defined nowhere"
                )
        members = [
            member
            for name in names
            if name in self._sections
            for member, _ in self._sections[name].members()
        ]
        used = list(dict.fromkeys(name for name in (*names, *members) if name in self._sections))
        self._remark_on_unused(used)
        if self._maintain_ms != cast(int, default_of(lookup(Scope.GLOBAL, "maintain"))):
            self._remarks.warn(
                self._origin(Place("", 1)),
                "worker.maintain",
                "it works in workers.properties only, and these workers are written in place",
            )
        tables = [self._table(self._sections[name]) for name in used]
        for error in self._findings.errors:
            self._remarks.error(self._origin(error.place), "", error.message)
        return Workers(
            names={name for name in names if name in self._sections},
            taken=set(self._sections),
            statuses=_statuses(self._sections),
            tables=tables,
        )

    def _remark_on_unused(self, used: Sequence[str]) -> None:
        for name, section in self._sections.items():
            if name not in used and name not in self._templates:
                self._remarks.note(
                    self._origin(section.place),
                    f"worker.{name}",
                    "it is not in worker.list and not used, and left out",
                )

    def _table(self, section: Section) -> Table:
        place = self._origin(section.place)
        table = Table(name=section.name, kind=section.kind, place=place)
        for entry in section.entries.values():
            if entry.name not in ("type", "reference"):
                self._take(section, table, entry)
        return table

    def _take(self, section: Section, table: Table, entry: Entry) -> None:
        place, key = self._origin(entry.place), f"worker.{section.name}.{entry.name}"
        directive = worker_directive(table.kind, entry.name)
        if not known_scopes(entry.name):
            self._remarks.error(
                place, key, f"unknown directive {entry.name!r}: mod_jk does not start with it",
                "mend it",
            )  # fmt: skip
            return
        if directive is None or directive.scope is Scope.DEAD:
            self._remarks.note(place, key, "it means nothing for this worker, in mod_jk neither")
            return
        try:
            value = entry.read(directive).value
        except BadValue as exc:
            self._remarks.error(place, key, f"{exc}; it is left out", "mend it")
            return
        name, written = _written(directive, value)
        if name and (name == entry.name or name not in section.entries):
            table.settings[name] = Setting(value=written, place=place)


def _statuses(sections: Mapping[str, Section]) -> set[str]:
    return {name for name, section in sections.items() if section.kind == "status"}


def _written(directive: Directive, value: object) -> tuple[str, Scalar]:
    """Present name and TOML's value of a directive; no name where it says nothing."""
    if directive.alias_of and directive.type is ValueType.BOOL:
        return (directive.alias_of if value else ""), directive.name.capitalize()
    name = directive.alias_of or directive.name
    if directive.type is ValueType.DURATION:
        return name, duration(cast(int, value))
    return name, list(value) if isinstance(value, tuple) else cast(Scalar, value)
