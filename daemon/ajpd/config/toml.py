"""ajpd.toml → typed values, worker sections and rules, each with its line.

The standard parser tells no lines, so `KeyLocator` looks for them in the text: good for
`[section]` headers and `key = value` lines, and near enough for the rest. This file reads one
file; what the files it names say, and whether all of it fits together, is for `load.py`.
"""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from .attributes import parse_attribute
from .directives import in_scope, lookup, suggest_in
from .errors import Findings, Place
from .hosts import HostSection
from .model import AttributeRule, Mount, MountSource
from .properties import read_bytes
from .sections import Entry, Section
from .urimap import parse_rule
from .values import BadValue, Directive, Scope, Value, default_of, read_toml

__all__ = ["KeyLocator", "TomlFile", "Written", "beside", "read_toml_file", "value_of"]

_HEADER: Final = re.compile(r"\s*\[{1,2}\s*([^\[\]]+?)\s*\]{1,2}\s*(#.*)?$")
_KEY: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED: Final = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_ASSIGNMENT: Final = re.compile(rf"\s*({_DOTTED})\s*=\s*(.*)")
_ONE_KEY: Final = re.compile(_KEY)
_ERROR_PLACE: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")
#: Sections that hold keys and nothing else, by name; one of them is a scope and its rows.
_SECTIONS: Final = {
    scope.value[1:-1]: scope for scope in Scope if re.fullmatch(r"\[[a-z]+\]", scope.value)
}


class KeyLocator:
    """Finds where a key of a TOML text is written, and its value."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._places: dict[tuple[str, ...], Place] = {}
        self._values: dict[tuple[str, ...], int] = {}
        section: tuple[str, ...] = ()
        quotes = ""
        for number, line in enumerate(text.split("\n"), start=1):
            if quotes:
                quotes = "" if quotes in line else quotes
                continue
            header = _HEADER.match(line)
            if header is not None:
                section = _path(header[1])
                self._note(section, number, header.start(1))
                continue
            assignment = _ASSIGNMENT.match(line)
            if assignment is not None:
                path = (*section, *_path(assignment[1]))
                self._note(path, number, assignment.start(1))
                self._values.setdefault(path, assignment.start(2) + 1)
                quotes = _open_quotes(assignment[2])

    def _note(self, path: tuple[str, ...], number: int, index: int) -> None:
        for length in range(1, len(path) + 1):
            place = Place(self._file, number, index + 1)
            self._places.setdefault(path[:length], place)

    def place(self, *path: str) -> Place:
        """Where a key is, or the nearest table around it, or the file as a whole."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._places:
                return self._places[path[:length]]
        return Place(self._file)

    def column(self, *path: str) -> int | None:
        """Where the value of that key begins in its line; that of the key when it is not known."""
        return self._values.get(path, self.place(*path).column)

    def value_place(self, *path: str) -> Place:
        """Where the value of a key begins."""
        return self.place(*path)._replace(column=self.column(*path))


def _path(text: str) -> tuple[str, ...]:
    return tuple(_unquote(key) for key in _ONE_KEY.findall(text))


def _unquote(key: str) -> str:
    if key.startswith('"'):
        try:
            return str(tomllib.loads(f"key = {key}")["key"])
        except tomllib.TOMLDecodeError:
            return key
    return key.strip("'")


def _open_quotes(value: str) -> str:
    """The triple quotes that begin on this line and end on another, or an empty string."""
    for quotes in ('"""', "'''"):
        if value.startswith(quotes) and quotes not in value[3:]:
            return quotes
    return ""


@dataclass(frozen=True, slots=True)
class Written:
    """A typed value and where it was written; no line when it is the default."""

    value: Value
    place: Place


@dataclass(slots=True, kw_only=True)
class TomlFile:
    """What one ajpd.toml says.

    Attributes:
        path: of the file.
        values: of sections that hold keys only, such as `[server]`; defaults left out.
        sections: of `[worker.NAME]`, in order.
        rules: of `[mount]`, in order.
        hosts: of `[host.NAME]`, in order.
        attributes: of `[attributes]`, in order.
        tls: where `[tls]` is written, None when it is not.
    """

    path: Path
    values: dict[tuple[Scope, str], Written] = field(default_factory=dict)
    sections: dict[str, Section] = field(default_factory=dict)
    rules: list[Mount] = field(default_factory=list)
    hosts: list[HostSection] = field(default_factory=list)
    attributes: list[AttributeRule] = field(default_factory=list)
    tls: Place | None = None


def value_of(document: TomlFile | None, scope: Scope, name: str) -> Value:
    """What was written for a key, or its default."""
    if document is not None and (scope, name) in document.values:
        return document.values[scope, name].value
    return default_of(lookup(scope, name))


def beside(document: TomlFile | None, name: str) -> str:
    """A path relative to ajpd.toml; empty stays empty."""
    return str(document.path.parent / name) if document is not None and name else name


def read_toml_file(path: str | Path, findings: Findings) -> TomlFile | None:
    """Read ajpd.toml; what is wrong goes to `findings`.

    Returns:
        what could be understood, or None when the file cannot be read or is not TOML.
    """
    file = str(path)
    findings.begin(file)
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        findings.error(Place(file, _line_of(exc)), "the file is not UTF-8, which TOML must be")
        return None
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        findings.error(
            Place(file), f"cannot read the file: {getattr(exc, 'strerror', None) or exc}"
        )
        return None
    text = text.replace("\r\n", "\n")
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as exc:  # all that tomllib raises, however long or deep
        _syntax_error(exc, text, file, findings)
        return None
    document = TomlFile(path=Path(path))
    locator = KeyLocator(text, file)
    for name, content in tables.items():
        _Reader(document, locator, findings).section(name, content)
    return document


def _line_of(exc: UnicodeDecodeError) -> int:
    return exc.object.count(b"\n", 0, exc.start) + 1


def _syntax_error(exc: Exception, text: str, file: str, findings: Findings) -> None:
    message = str(exc)
    where = _ERROR_PLACE.search(message)
    if where is None:
        lines = text.rstrip("\n").count("\n") + 1
        findings.error(Place(file, lines), f"not TOML: {message}")
        return
    place = Place(file, int(where[1]), int(where[2]))
    findings.error(place, f"not TOML: {message[: where.start()]}")


class _Reader:
    """Sorts the tables of one file into a `TomlFile`."""

    def __init__(self, document: TomlFile, locator: KeyLocator, findings: Findings) -> None:
        self._document = document
        self._locator = locator
        self._findings = findings

    def section(self, name: str, content: object) -> None:
        directive = in_scope(Scope.TOP).get(name)
        place = self._locator.place(name)
        if directive is None:
            what = "section" if isinstance(content, dict) else "key"
            self._findings.error(
                place,
                f"unknown {what} {name!r}",
                directive=name,
                hint=self._meant(name, content),
            )
        elif not directive.supported:
            self._findings.error(
                place, f"section {name!r} is not supported by this version", directive=name
            )
        elif not isinstance(content, dict):
            self._findings.error(place, f"{name!r} must be a section", directive=name)
        elif name == "worker":
            self._workers(content)
        elif name == "mount":
            self._document.rules += self._mounts(content, ("mount",))
        elif name == "host":
            self._hosts(content)
        elif name == "attributes":
            self._attributes(content)
        else:
            if name == "tls":
                self._document.tls = place
            self._keys(name, content)

    def _meant(self, name: str, content: object) -> str:
        if isinstance(content, dict):
            return suggest_in(name, (Scope.TOP,))
        owners = [section for section, scope in _SECTIONS.items() if name in in_scope(scope)]
        return f"{name} in [{owners[0]}]" if owners else ""

    def _keys(self, section: str, content: dict[str, object]) -> None:
        scope = _SECTIONS[section]
        for name, value in content.items():
            written = self._key(scope, (section, name), value)
            if written is not None:
                self._document.values[scope, name] = written

    def _key(self, scope: Scope, path: tuple[str, ...], value: object) -> Written | None:
        """Read the value of a key, if there is such a key."""
        *_, name = path
        place = self._locator.place(*path)
        directive = in_scope(scope).get(name)
        if directive is None:
            what = f"unknown key {name!r} in {scope}"
            hint = suggest_in(name, (scope,))
            self._findings.error(place, what, directive=name, hint=hint)
        elif not directive.supported:
            what = f"{name!r} in {scope} is not supported by this version"
            self._findings.error(place, what, directive=name)
        else:
            return self._value(directive, value, self._locator.value_place(*path))
        return None

    def _value(self, directive: Directive, value: object, place: Place) -> Written | None:
        name = directive.name
        try:
            reading = read_toml(directive, value)
        except BadValue as exc:
            self._findings.error(place, f"{name}: {exc}", directive=name, hint=exc.hint)
            return None
        if reading.remark:
            self._findings.warn(place, f"{name}: {reading.remark}", directive=name)
        return Written(reading.value, place)

    def _hosts(self, content: dict[str, object]) -> None:
        for name, table in content.items():
            place = self._locator.place("host", name)
            if not isinstance(table, dict) or name in (*in_scope(Scope.HOST), "mount"):
                what = f"{name!r} must be a section [host.NAME], and quotes belong around the NAME"
                self._findings.error(place, what, directive=name, hint='[host."www.example.org"]')
                continue
            host = HostSection(name=name, place=place)
            for key, value in table.items():
                self._host_key(host, key, value)
            self._document.hosts.append(host)

    def _host_key(self, host: HostSection, key: str, value: object) -> None:
        path = ("host", host.name, key)
        if key == "mount":
            if isinstance(value, dict):
                host.rules = self._mounts(value, path)
            else:
                place = self._locator.place(*path)
                self._findings.error(place, "'mount' must be a section", directive=key)
            return
        written = self._key(Scope.HOST, path, value)
        if written is None:
            return
        if key == "aliases":
            host.aliases = cast(tuple[str, ...], written.value)
            host.aliases_place = written.place
        elif key == "map":
            host.file = (str(written.value), written.place)
        else:
            host.mount_copy = bool(written.value)

    def _workers(self, content: dict[str, object]) -> None:
        for name, table in content.items():
            place = self._locator.place("worker", name)
            if not isinstance(table, dict):
                self._findings.error(
                    place, f"{name!r} must be a section [worker.NAME]", directive=name
                )
                continue
            section = Section(name=name, place=place)
            for key, value in table.items():
                self._entry(section, key, value)
            self._document.sections[name] = section

    def _entry(self, section: Section, key: str, value: object) -> None:
        place = self._locator.place("worker", section.name, key)
        if key == "reference":
            self._findings.error(
                place, "'reference' works in workers.properties only", directive=key
            )
            return
        column = self._locator.column("worker", section.name, key)
        section.entries[key] = Entry(name=key, value=value, place=place, column=column)

    def _mounts(self, content: dict[str, object], path: tuple[str, ...]) -> list[Mount]:
        rules: list[Mount] = []
        for pattern, target in content.items():
            place = self._locator.place(*path, pattern)
            if isinstance(target, str):
                rules += parse_rule(
                    pattern,
                    target,
                    self._findings,
                    place=place,
                    source=MountSource.MOUNT,
                    column=self._locator.column(*path, pattern),
                )
            else:
                what = f"the rule {pattern!r} must name a worker"
                self._findings.error(place, what, directive=pattern)
        return rules

    def _attributes(self, content: dict[str, object]) -> None:
        for name, text in content.items():
            place = self._locator.place("attributes", name)
            if not isinstance(text, str):
                self._findings.error(place, f"the attribute {name!r} must be text", directive=name)
                continue
            rule = parse_attribute(name, text, self._findings, place=place)
            if rule is not None:
                self._document.attributes.append(rule)
