"""Worker sections: what was written about each worker, and typed values out of it.

Both kinds of file end here: `worker.NAME.directive=value` lines and `[worker.NAME]` tables become
the same sections. This file knows how directives are written; what they mean together must not be
added: `workers.py` and `balancers.py` know that.

Source: mod_jk `jk_worker.c` (wc_open: the listed workers are the ones that exist).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from .directives import (
    WORKER_SCOPES,
    known_scopes,
    lookup,
    suggest_in,
    worker_directive,
)
from .errors import Findings, Place, suggest
from .properties import Property
from .secret import find_secret
from .values import (
    BadValue,
    Directive,
    Reading,
    Scope,
    Value,
    default_of,
    read_text,
    read_toml,
)

__all__ = [
    "Entry",
    "Section",
    "SectionValues",
    "check_names",
    "check_type",
    "listed_workers",
    "maintain_ms",
    "sections_from_properties",
]


_MEMBERS_ONLY: Final = "only means something for a member of a balancer"

_KINDS: Final = ("ajp13", "lb", "status")
#: Types that mod_jk knows or knew, and what to do about them.
_BYGONE: Final = {
    "ajp12": "no Tomcat since version 4 speaks AJP12: write type=ajp13 and the port of its AJP/1.3 "
    "connector, mostly 8009",
    "ajp14": "no Tomcat speaks AJP14, which was never finished: write type=ajp13, and secret in "
    "place of secretkey",
    "jni": "a Tomcat inside Apache, which mod_jk lost long ago: start Tomcat by itself, with an "
    "AJP/1.3 connector, and write type=ajp13 with its host and port",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One directive as it was written, its value not yet understood.

    Attributes:
        name: of the directive.
        value: text from a properties file, or TOML's value.
        place: where it was written.
        column: of the value.
        origin: the property it comes from; None for TOML.
    """

    name: str
    value: object = field(repr=False)
    place: Place
    column: int | None = None
    origin: Property | None = None

    def read(self, directive: Directive) -> Reading:
        """Understand the value; raises BadValue."""
        if self.origin is None:
            return read_toml(directive, self.value)
        return read_text(directive, self.origin.value, is_lenient=True)

    def tokens(self) -> list[tuple[str, Place]]:
        """Items of a list value, each with its place; empty when it is no list of texts."""
        if self.origin is not None:
            return list(self.origin.tokens())
        try:
            value = read_toml(lookup(Scope.COMMON, "mount"), self.value).value
        except BadValue:
            return []
        return [(str(item), self.value_place) for item in cast(tuple[str, ...], value)]

    @property
    def value_place(self) -> Place:
        """Where the value begins."""
        return self.place._replace(column=self.column)

    @property
    def encoding(self) -> str:
        """To turn text back into the bytes of the file."""
        return "utf-8" if self.origin is None else self.origin.encoding


@dataclass(slots=True, kw_only=True)
class Section:
    """Everything that was written about one worker name."""

    name: str
    place: Place
    entries: dict[str, Entry] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """`ajp13`, `lb` or `status`: as written, or what was probably meant."""
        entry = self.entries.get("type")
        if entry is None:
            return "ajp13"
        written = str(entry.value)
        return written if written in _KINDS else suggest(written, _KINDS) or "ajp13"

    @property
    def is_lenient(self) -> bool:
        """It was written for mod_jk: what mod_jk accepts, in its way, is no error."""
        return any(entry.origin is not None for entry in self.entries.values())

    def members(self) -> list[tuple[str, Place]]:
        """Names in balance_workers, with their places; empty unless this is a balancer."""
        if self.kind != "lb":
            return []
        entry = self.written("balance_workers", "balanced_workers")
        return [] if entry is None else entry.tokens()

    def written(self, *names: str) -> Entry | None:
        """The first of these directives that is there; None when none is."""
        return next((self.entries[name] for name in names if name in self.entries), None)


def check_type(section: Section, findings: Findings) -> None:
    """Report a type that does not exist, or none where there should be one."""
    entry = section.entries.get("type")
    if entry is None:
        if section.written("balance_workers", "balanced_workers") is not None:
            what = f"worker {section.name!r} has members but no type, which makes it ajp13"
            say = findings.warn if section.is_lenient else findings.error
            say(section.place, what, directive="type", hint="type=lb")
        return
    written = str(entry.value)
    if written in _BYGONE:
        what = f"type {written} of worker {section.name!r}: {_BYGONE[written]}"
        findings.error(entry.value_place, what, directive="type")
        return
    try:
        entry.read(lookup(Scope.COMMON, "type"))
    except BadValue as exc:
        findings.error(entry.value_place, f"type: {exc}", directive="type", hint=exc.hint)


def sections_from_properties(properties: list[Property], findings: Findings) -> dict[str, Section]:
    """Sort `worker.NAME.directive` keys by name; other keys are left to variables.

    Keys of the whole file are not kept; see `listed_workers` and `maintain_ms`.
    """
    sections: dict[str, Section] = {}
    for item in properties:
        if not item.key.startswith("worker."):
            _remark_on_prefix(item, findings)
            continue
        name, dot, attribute = item.key.removeprefix("worker.").rpartition(".")
        if not dot or not name:
            _check_global(attribute, item, findings)
            continue
        section = sections.setdefault(name, Section(name=name, place=item.place))
        entry = Entry(
            name=attribute,
            value=item.value,
            place=item.place,
            column=item.column,
            origin=item,
        )
        section.entries[attribute] = entry
    return sections


def _remark_on_prefix(item: Property, findings: Findings) -> None:
    begin = item.key.casefold()
    if begin.startswith(("worker.", ";")) or " worker." in begin:
        why = ": only # begins a comment" if begin.startswith(";") else ""
        findings.warn(
            item.place,
            f"{item.key!r} does not begin with 'worker.' and is only a variable{why}",
            directive=item.key,
        )


def _check_global(attribute: str, item: Property, findings: Findings) -> None:
    if attribute in ("list", "maintain"):
        return
    if known_scopes(attribute):
        what = (
            f"{item.key!r} is the directive of no worker and means nothing, nor does it in mod_jk"
        )
        findings.warn(item.place, what, directive=item.key, hint=f"worker.NAME.{attribute}")
        return
    close = suggest_in(attribute, (Scope.GLOBAL,))
    hint = f"worker.{close}" if close else ""
    findings.error(item.place, f"unknown directive {item.key!r}", directive=item.key, hint=hint)


def listed_workers(properties: list[Property]) -> list[tuple[str, Place]]:
    """Names in worker.list with their places; empty when there is no such key."""
    return [token for item in properties if item.key == "worker.list" for token in item.tokens()]


def maintain_ms(properties: list[Property], findings: Findings) -> int:
    """What worker.maintain says, or its default."""
    directive = lookup(Scope.GLOBAL, "maintain")
    for item in properties:
        if item.key == "worker.maintain":
            try:
                reading = read_text(directive, item.value, is_lenient=True)
            except BadValue as exc:
                findings.error(
                    item.value_place, f"{item.key}: {exc}", directive=item.key, hint=exc.hint
                )
                continue
            if reading.remark:
                findings.warn(item.value_place, f"{item.key}: {reading.remark}", directive=item.key)
            return cast(int, reading.value)
    return cast(int, default_of(directive))


def check_names(section: Section, findings: Findings) -> None:
    """Report directives that do not exist, as mod_jk does for every worker, used or not."""
    for entry in section.entries.values():
        if known_scopes(entry.name):
            continue
        if entry.name in ("list", "maintain"):
            say = findings.error if entry.origin is None else findings.warn
            what = f"{entry.name!r} is no directive of a worker and means nothing here"
            say(entry.place, what, directive=entry.name, hint=f"worker.{entry.name}")
            continue
        hint = suggest_in(entry.name, WORKER_SCOPES)
        what = f"unknown directive {entry.name!r} of worker {section.name!r}"
        findings.error(entry.place, what, directive=entry.name, hint=hint)


class SectionValues:
    """Values of one section, written or default.

    Args:
        section: with names already checked; unknown ones are passed over.
        kind: type of the worker, which says what its directives are.
        findings: collects errors and warnings.
        is_member: a balancer names this worker, so the directives of members mean something.
    """

    def __init__(
        self, section: Section, kind: str, findings: Findings, *, is_member: bool = False
    ) -> None:
        self.section = section
        self._kind = kind
        self._findings = findings
        self._values: dict[str, Value] = {}
        self._entries: dict[str, Entry] = {}
        for entry in section.entries.values():
            if entry.name != "type" and known_scopes(entry.name):
                self._read(entry, is_member=is_member)

    def _read(self, entry: Entry, *, is_member: bool) -> None:
        directive = worker_directive(self._kind, entry.name)
        if directive is None:
            self.warn(entry.name, self._foreign(known_scopes(entry.name)[0]))
        elif directive.scope is Scope.DEAD:
            hint = "secret" if entry.name == "secretkey" else ""
            self.warn(entry.name, "is ignored, as it is by mod_jk", hint=hint)
        elif directive.scope is Scope.MEMBER and not is_member:
            self.warn(entry.name, _MEMBERS_ONLY)
        elif directive.alias_of:
            self._read_former(entry, directive)
        else:
            self._take(entry, directive)

    def _read_former(self, entry: Entry, directive: Directive) -> None:
        present = lookup(directive.scope, directive.alias_of)
        if directive.type is not present.type:
            # One of the present directive's words was a directive of its own.
            self.warn(entry.name, f"is a former way to write {present.name!r}")
            self._take(entry, directive)
            return
        self.warn(entry.name, f"is the former name of {present.name!r}")
        if present.name not in self.section.entries:
            self._take(entry, present)

    def _foreign(self, scope: Scope) -> str:
        if scope is Scope.MEMBER:
            return _MEMBERS_ONLY
        text = f"belongs to type {scope} and has no effect on type {self._kind}"
        if self._kind == "lb" and scope is Scope.AJP:
            text += ", nor has it in mod_jk: write it for the members"
        elif self.section.is_lenient:
            text += ", nor has it in mod_jk"
        return text

    def _take(self, entry: Entry, directive: Directive) -> None:
        try:
            reading = entry.read(directive)
        except BadValue as exc:
            self.error(entry.name, str(exc), hint=exc.hint)
            return
        if reading.remark:
            message = f"{entry.name}: {reading.remark}"
            self._findings.warn(entry.value_place, message, directive=entry.name)
        self._values[directive.name] = reading.value
        self._entries[directive.name] = entry

    def is_written(self, name: str) -> bool:
        """There is a good value for it, maybe under its former name."""
        return name in self._values

    def _value(self, name: str) -> Value:
        if name in self._values:
            return self._values[name]
        directive = worker_directive(self._kind, name)
        if directive is None:
            raise AssertionError(f"{name} means nothing for type {self._kind}")
        return default_of(directive)

    def number(self, name: str) -> int:
        """A number; of a duration, its milliseconds."""
        return cast(int, self._value(name))

    def number_or_none(self, name: str) -> int | None:
        """A number that has no default."""
        return cast(int | None, self._values.get(name))

    def numbers(self, name: str) -> tuple[int, ...]:
        """A list of numbers."""
        return cast(tuple[int, ...], self._value(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        return cast(tuple[str, ...], self._value(name))

    def flag(self, name: str) -> bool:
        """True or false."""
        return cast(bool, self._value(name))

    def text(self, name: str) -> str:
        """Text, or one of the directive's words."""
        return cast(str, self._value(name))

    def text_or_none(self, name: str) -> str | None:
        """Text that has no default."""
        return cast(str | None, self._values.get(name))

    def secret(self, env: Mapping[str, str]) -> bytes | None:
        """The secret, looked for where it is; None when there is none, or an error."""
        if not self.is_written("secret"):
            return None
        entry = self._entries["secret"]
        try:
            return find_secret(
                self.text("secret"),
                encoding=entry.encoding,
                base=Path(entry.place.file).parent,
                env=env,
            )
        except ValueError as exc:
            self.error("secret", str(exc))
            return None

    def _entry(self, name: str) -> Entry:
        """What a directive's value comes from, or would if it were any good."""
        return self._entries.get(name) or self.section.entries[name]

    def warn(self, name: str, text: str, *, hint: str = "") -> None:
        """Warn of a directive that is written."""
        entry = self._entry(name)
        self._findings.warn(entry.place, f"{entry.name!r} {text}", directive=entry.name, hint=hint)

    def objection(self, name: str, text: str, meaning: str) -> None:
        """An error in ajpd.toml; in a file of mod_jk's a warning that says what it means there."""
        if self._entry(name).origin is None:
            self.error(name, text)
        else:
            entry = self._entry(name)
            message = f"{entry.name}: {text}; {meaning}"
            self._findings.warn(entry.value_place, message, directive=entry.name)

    def error(self, name: str, text: str, *, hint: str = "") -> None:
        """Report that the value of a directive that is written cannot be."""
        entry = self._entry(name)
        message = f"{entry.name}: {text}"
        self._findings.error(entry.value_place, message, directive=entry.name, hint=hint)
