"""What all files of one configuration say, joined and not yet checked against each other.

This file reads the files that others name and keeps what they say; whether it fits together is for
`checks.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from .addresses import ListenAddress
from .directives import WORKER_SCOPES, in_scope, lookup
from .errors import Findings, Place
from .hosts import HostSection, host_name
from .model import HostConfig, Mount
from .properties import LIST_ATTRIBUTES, Repeats, read_properties, resolve_references
from .sections import Section, listed_workers, maintain_ms, sections_from_properties
from .toml import TomlFile, beside
from .urimap import read_uri_map
from .values import Scope, default_of

__all__ = ["REPEATS", "Parts"]

#: What becomes of repeated keys of workers.properties.
REPEATS: Final = Repeats(
    known=frozenset(name for scope in WORKER_SCOPES for name in in_scope(scope)) - LIST_ATTRIBUTES
)


@dataclass(slots=True, kw_only=True)
class Parts:
    """What was read so far, not yet checked against each other.

    `is_complete` turns false when the workers file cannot be read; what it defines is unknown
    then, so nobody is told that it is missing. `read` and `written` are the settings of workers in
    workers.properties and in ajpd.toml, by name. `without_list` is a workers file in which there is
    no worker.list. `unlisted` are the workers of ajpd.toml that no worker.list names, although
    rules may.
    """

    env: Mapping[str, str]
    listen: tuple[ListenAddress, ...] | None = None
    sections: dict[str, Section] = field(default_factory=dict)
    listed: list[tuple[str, Place]] = field(default_factory=list)
    without_list: Place | None = None
    unlisted: set[str] = field(default_factory=set)
    maintain_ms: int = cast(int, default_of(lookup(Scope.GLOBAL, "maintain")))
    is_complete: bool = True
    templates: set[str] = field(default_factory=set)
    rules: list[Mount] = field(default_factory=list)
    hosts: list[HostConfig] = field(default_factory=list)
    map_file: str = ""
    files: list[str] = field(default_factory=list)
    read: list[tuple[str, str]] = field(default_factory=list)
    written: list[tuple[str, str]] = field(default_factory=list)

    def take_workers(self, file: str, findings: Findings, asked_at: Place | None) -> None:
        """Read workers.properties."""
        self.files.append(file)
        before = findings.count
        properties = read_properties(
            file, findings, env=self.env, repeats=REPEATS, asked_at=asked_at
        )
        if findings.count > before:
            self.is_complete = False
            return
        self.templates = {
            item.value.removeprefix("worker.")
            for item in properties
            if item.key.startswith("worker.") and item.key.endswith(".reference")
        }
        properties = resolve_references(properties, findings)
        self.read = [(item.key, item.value) for item in properties]
        self.sections = sections_from_properties(properties, findings)
        self.maintain_ms = maintain_ms(properties, findings)
        self.listed = listed_workers(properties)
        self.without_list = None if self.listed else Place(file)

    def make_up_list(self, findings: Findings) -> None:
        """Without worker.list there is one worker, ajp13; mod_jk even makes it up."""
        if self.without_list is None or self.listed:
            return
        (name,) = cast(tuple[str, ...], lookup(Scope.GLOBAL, "list").default)
        if name not in self.sections:
            findings.warn(
                self.without_list,
                f"no worker.list: as in mod_jk there is one worker, {name!r}, a container on "
                "localhost with port 8009",
                directive="worker.list",
            )
            self.sections[name] = Section(name=name, place=self.without_list)
        self.listed = [(name, self.sections[name].place)]

    def take_map(self, file: str, findings: Findings, asked_at: Place | None) -> None:
        """Read the URI map for names that no host has."""
        self.files.append(file)
        self.map_file = file
        self.rules += read_uri_map(file, findings, env=self.env, asked_at=asked_at)

    def take_host(self, section: HostSection, document: TomlFile, findings: Findings) -> None:
        """Read the URI map of a host, and check its names."""
        names = []
        for text, place in (
            (section.name, section.place),
            *((alias, section.aliases_place or section.place) for alias in section.aliases),
        ):
            try:
                names.append(host_name(text))
            except ValueError as exc:
                findings.error(place, f"host: {exc}", directive=text)
        file, rules = "", list(section.rules)
        if section.file is not None and section.file[0]:
            file = beside(document, section.file[0])
            self.files.append(file)
            read = read_uri_map(file, findings, env=self.env, asked_at=section.file[1])
            rules = [*read, *rules]
        self.hosts.append(
            HostConfig(
                name=section.name,
                names=tuple(dict.fromkeys(names)),
                rules=tuple(rules),
                file=file,
                mount_copy=section.mount_copy,
                place=section.place,
            )
        )

    def properties(self) -> tuple[tuple[str, str], ...]:
        """All settings of workers, as workers.properties would have them."""
        return (*self.read, *self.written)

    def take_toml(self, document: TomlFile, findings: Findings) -> None:
        """Join what is written in place; a worker there needs no list."""
        self.rules += document.rules
        for host in document.hosts:
            self.take_host(host, document, findings)
        listed = {name for name, _ in self.listed}
        for name, section in document.sections.items():
            if name in self.sections:
                findings.error(
                    section.place,
                    f"worker {name!r} is also defined at {self.sections[name].place}",
                    directive=name,
                )
                continue
            self.sections[name] = section
            self.written += [
                (f"worker.{name}.{key}", _text(entry.value))
                for key, entry in section.entries.items()
            ]
            if name not in listed:
                self.listed.append((name, section.place))
                self.unlisted.add(name)


def _text(value: object) -> str:
    """A value of TOML in the notation of workers.properties."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
