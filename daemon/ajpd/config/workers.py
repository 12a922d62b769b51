"""Worker sections: what was written about each worker → `WorkerConfig`.

Both kinds of file end here: `worker.NAME.directive=value` lines and `[worker.NAME]` tables become
the same sections. This file knows what the directives of an ajp13 worker mean together; it knows
no rule and no other worker.

Source: mod_jk `jk_ajp_common.c` (ajp_init: how ping_mode fills the timeouts that say nothing) and
`jk_worker.c` (wc_open: the listed workers are the ones that exist).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from .directives import (
    WORKER_SCOPES,
    known_scopes,
    lookup,
    not_yet,
    suggest_in,
    worker_directive,
)
from .errors import Findings, Place
from .model import WorkerConfig, parse_host, parse_unix_path
from .properties import Property
from .secret import find_secret
from .values import BadValue, Directive, Reading, Scope, Value, default_of, read_text, read_toml

__all__ = [
    "Entry",
    "Section",
    "build_worker",
    "check_names",
    "listed_workers",
    "sections_from_properties",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One directive as it was written, its value not yet understood.

    Attributes:
        name: of the directive.
        value: text from a properties file, or TOML's value.
        place: where it was written.
        origin: the property it comes from; None for TOML.
    """

    name: str
    value: object = field(repr=False)
    place: Place
    origin: Property | None = None

    def read(self, directive: Directive) -> Reading:
        """Understand the value; raises BadValue."""
        if self.origin is None:
            return read_toml(directive, self.value)
        return read_text(directive, self.origin.value)

    def tokens(self) -> list[tuple[str, Place]]:
        """Items of a list value, each with its place; empty when it is no list of texts."""
        if self.origin is not None:
            return list(self.origin.tokens())
        try:
            value = read_toml(lookup(Scope.COMMON, "mount"), self.value).value
        except BadValue:
            return []
        return [(str(item), self.place) for item in cast(tuple[str, ...], value)]

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
        """The type as written, whether it exists or not; `ajp13` when nothing is written."""
        entry = self.entries.get("type")
        return "ajp13" if entry is None else str(entry.value)

    def members(self) -> list[tuple[str, Place]]:
        """Names in balance_workers, with their places; empty unless this is a balancer."""
        if self.kind != "lb":
            return []
        names = ("balance_workers", "balanced_workers")
        entry = next((self.entries[name] for name in names if name in self.entries), None)
        return [] if entry is None else entry.tokens()


def sections_from_properties(properties: list[Property], findings: Findings) -> dict[str, Section]:
    """Sort `worker.NAME.directive` keys by name; other keys are left to variables.

    Keys of the whole file (`worker.list`, `worker.maintain`) are checked here, but not kept.
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
        entry = Entry(name=attribute, value=item.value, place=item.place, origin=item)
        section.entries[attribute] = entry
    return sections


def _remark_on_prefix(item: Property, findings: Findings) -> None:
    begin = item.key.casefold()
    if begin.startswith(("worker.", ";")) or " worker." in begin:
        findings.warn(
            item.place,
            f"{item.key!r} does not begin with 'worker.' and is only a variable",
            directive=item.key,
        )


def _check_global(attribute: str, item: Property, findings: Findings) -> None:
    rows = [name for name in ("list", "maintain") if name == attribute]
    if not rows:
        findings.error(
            item.place,
            f"unknown directive {item.key!r}",
            directive=item.key,
            hint=_hint_for_global(attribute),
        )
    elif attribute == "maintain":
        # Kept nowhere, checked all the same: a slip of the pen is not silence's business.
        try:
            read_text(lookup(Scope.GLOBAL, attribute), item.value)
        except BadValue as exc:
            findings.error(item.place, f"{item.key}: {exc}", directive=item.key, hint=exc.hint)


def _hint_for_global(attribute: str) -> str:
    if known_scopes(attribute):
        return f"worker.NAME.{attribute}"
    close = suggest_in(attribute, (Scope.GLOBAL,))
    return f"worker.{close}" if close else ""


def listed_workers(properties: list[Property]) -> list[tuple[str, Place]]:
    """Names in worker.list with their places; empty when there is no such key."""
    return [token for item in properties if item.key == "worker.list" for token in item.tokens()]


def check_names(section: Section, findings: Findings) -> None:
    """Report directives that do not exist, as mod_jk does for every worker, used or not."""
    for entry in section.entries.values():
        if known_scopes(entry.name):
            continue
        if entry.name in ("list", "maintain"):
            message = f"{entry.name!r} is no directive of a worker"
            hint = f"worker.{entry.name}"
        else:
            message = f"unknown directive {entry.name!r} of worker {section.name!r}"
            hint = suggest_in(entry.name, WORKER_SCOPES)
        findings.error(entry.place, message, directive=entry.name, hint=hint)


def build_worker(
    section: Section,
    findings: Findings,
    *,
    env: Mapping[str, str],
    is_member: bool = False,
) -> WorkerConfig | None:
    """Turn a section into a worker.

    Args:
        section: with names already checked; unknown ones are passed over here.
        findings: collects errors and warnings.
        env: environment for `secret=env:NAME`.
        is_member: a balancer names this worker, so the directives of members mean something.

    Returns:
        the worker, or None when there was an error.
    """
    before = len(findings.errors)
    kind = _check_type(section, findings)
    if kind != "ajp13":
        _check_values(section, kind, findings)
        return None
    settings = _read_entries(section, findings, is_member=is_member)
    worker = settings.worker(section, env, is_member=is_member)
    return worker if len(findings.errors) == before else None


def _check_type(section: Section, findings: Findings) -> str:
    """The type whose directives are to be looked at; it is the one meant where it is no type."""
    entry = section.entries.get("type")
    if entry is None:
        if any(name in section.entries for name in ("balance_workers", "balanced_workers")):
            findings.error(
                section.place,
                f"worker {section.name!r} has members but no type, which makes it ajp13",
                directive="type",
                hint="type=lb",
            )
            return "lb"
        return "ajp13"
    try:
        kind = str(entry.read(lookup(Scope.COMMON, "type")).value)
    except BadValue as exc:
        findings.error(entry.place, f"type: {exc}", directive="type", hint=exc.hint)
        kind = exc.hint
    else:
        if kind != "ajp13":
            what = f"type {kind!r} of worker {section.name!r}"
            findings.error(entry.place, not_yet(what), directive="type")
    # What there was of ajp12 and ajp14 is named as it is for ajp13.
    return kind if kind in ("lb", "status") else "ajp13"


def _check_values(section: Section, kind: str, findings: Findings) -> None:
    """Report values that cannot be, for a type that is not built."""
    for entry in section.entries.values():
        if entry.name == "type" or not known_scopes(entry.name):
            continue
        directive = worker_directive(kind, entry.name)
        if directive is None:
            continue
        try:
            entry.read(directive)
        except BadValue as exc:
            message = f"{entry.name}: {exc}"
            findings.error(entry.place, message, directive=entry.name, hint=exc.hint)


def _read_entries(section: Section, findings: Findings, *, is_member: bool) -> "_Settings":
    settings = _Settings(findings)
    for entry in section.entries.values():
        if entry.name == "type" or not known_scopes(entry.name):
            continue
        directive = worker_directive("ajp13", entry.name)
        if directive is None:
            scope = known_scopes(entry.name)[0]
            _warn(entry, findings, f"belongs to type {scope} and has no effect on type ajp13")
        elif directive.scope is Scope.DEAD:
            hint = "secret" if entry.name == "secretkey" else ""
            _warn(entry, findings, "is ignored, as it is by mod_jk", hint=hint)
        elif directive.scope is Scope.MEMBER:
            if not is_member:
                _warn(entry, findings, "only means something for a member of a balancer")
        elif directive.alias_of:
            _warn(entry, findings, f"is the former name of {directive.alias_of!r}")
            if directive.alias_of not in section.entries:
                settings.take(entry, lookup(directive.scope, directive.alias_of))
        else:
            settings.take(entry, directive)
    return settings


def _warn(entry: Entry, findings: Findings, text: str, *, hint: str = "") -> None:
    findings.warn(entry.place, f"{entry.name!r} {text}", directive=entry.name, hint=hint)


class _Settings:
    """Values of one ajp13 worker, written or default, and what they mean together."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._values: dict[str, Value] = {}
        self._entries: dict[str, Entry] = {}

    def take(self, entry: Entry, directive: Directive) -> None:
        try:
            reading = entry.read(directive)
        except BadValue as exc:
            self._error(entry, str(exc), hint=exc.hint)
            return
        if reading.remark:
            self._findings.warn(
                entry.place, f"{entry.name}: {reading.remark}", directive=entry.name
            )
        self._values[directive.name] = reading.value
        self._entries[directive.name] = entry

    def worker(self, section: Section, env: Mapping[str, str], *, is_member: bool) -> WorkerConfig:
        size = self._number("connection_pool_size")
        mode = self._ping_mode()
        packet_size = self._packet_size()
        return WorkerConfig(
            name=section.name,
            host=self._host(),
            port=self._port(section, is_member=is_member),
            secret=self._secret(env),
            max_packet_size=packet_size,
            connection_pool_size=size,
            connection_pool_minsize=self._pool_minsize(size),
            connection_pool_timeout_ms=self._number("connection_pool_timeout"),
            connection_acquire_timeout_ms=self._number("connection_acquire_timeout"),
            busy_limit=self._number("busy_limit"),
            socket_timeout_ms=self._number("socket_timeout"),
            socket_connect_timeout_ms=self._connect_timeout(),
            socket_keepalive=self._bool("socket_keepalive"),
            socket_buffer=self._socket_buffer(packet_size),
            source=self._source(),
            prefer_ipv6=self._bool("prefer_ipv6"),
            connect_timeout_ms=self._cping("connect_timeout", is_in_mode="C" in mode),
            prepost_timeout_ms=self._cping("prepost_timeout", is_in_mode="P" in mode),
            ping_timeout_ms=self._number("ping_timeout"),
            ping_mode=mode,
            connection_ping_interval_ms=self._ping_interval(mode),
            reply_timeout_ms=self._number("reply_timeout"),
            retries=self._number("retries"),
            retry_interval_ms=self._number("retry_interval"),
            recovery_options=self._number_or_none("recovery_options"),
            fail_on_status=self._statuses(),
            replay_buffer=self._number("replay_buffer"),
            place=section.place,
        )

    def _number(self, name: str) -> int:
        if name in self._values:
            return cast(int, self._values[name])
        return cast(int, default_of(lookup(Scope.AJP, name)))

    def _number_or_none(self, name: str) -> int | None:
        return cast(int | None, self._values.get(name))

    def _bool(self, name: str) -> bool:
        return cast(bool, self._values.get(name, default_of(lookup(Scope.AJP, name))))

    def _text(self, name: str) -> str:
        return cast(str, self._values.get(name, default_of(lookup(Scope.AJP, name))))

    def _host(self) -> str:
        text = self._text("host")
        try:
            if text.startswith("unix:"):
                if "port" in self._entries:
                    _warn(self._entries["port"], self._findings, "is not used with a Unix socket")
                return f"unix:{parse_unix_path(text)}"
            return parse_host(text)
        except ValueError as exc:
            self._error(self._entries["host"], str(exc))
            return ""

    def _port(self, section: Section, *, is_member: bool) -> int:
        port = self._number("port")
        if port == 0 and not is_member and not self._text("host").startswith("unix:"):
            self._error(
                self._entries["port"],
                f"0 switches worker {section.name!r} off, and no balancer has another for it",
            )
        return port

    def _packet_size(self) -> int:
        size = self._number("max_packet_size")
        rounded = -(-size // 1024) * 1024
        if rounded != size:
            _warn(
                self._entries["max_packet_size"],
                self._findings,
                f"is rounded up from {size} to {rounded}, a multiple of 1024",
            )
        return rounded

    def _pool_minsize(self, size: int) -> int:
        if "connection_pool_minsize" not in self._values:
            return (size + 1) // 2
        minsize = self._number("connection_pool_minsize")
        if minsize > size:
            _warn(
                self._entries["connection_pool_minsize"],
                self._findings,
                f"is more than connection_pool_size and taken as {size}",
            )
        return min(minsize, size)

    def _ping_mode(self) -> str:
        letters = self._text("ping_mode")
        return "CPI" if "A" in letters else letters

    def _cping(self, name: str, *, is_in_mode: bool) -> int:
        """The time for a CPONG: as mod_jk, ping_mode counts where the value is 0 or not written."""
        written = name in self._values
        if is_in_mode and not (written and self._number(name)):
            return self._number("ping_timeout")
        return self._number(name)

    def _ping_interval(self, mode: str) -> int:
        """As mod_jk: ping_mode counts where the value is 0 or not written."""
        interval, wait = self._number("connection_ping_interval"), self._number("ping_timeout")
        if interval and not wait:
            _warn(
                self._entries["connection_ping_interval"],
                self._findings,
                "has no effect while ping_timeout is 0",
            )
        # A hundredth of the number of milliseconds, as seconds.
        return interval or (wait * 10 if "I" in mode else 0)

    def _connect_timeout(self) -> int:
        """As mod_jk: socket_timeout where nothing else is written."""
        if "socket_connect_timeout" in self._values or not self._number("socket_timeout"):
            return self._number("socket_connect_timeout")
        return self._number("socket_timeout")

    def _socket_buffer(self, packet_size: int) -> int:
        size = self._number("socket_buffer")
        if 0 < size < packet_size:
            _warn(
                self._entries["socket_buffer"],
                self._findings,
                f"is less than max_packet_size and taken as {packet_size}",
            )
            return packet_size
        return size

    def _source(self) -> str:
        text = self._text("source")
        if not text:
            return ""
        entry = self._entries["source"]
        if self._text("host").startswith("unix:"):
            _warn(entry, self._findings, "is not used with a Unix socket")
        try:
            return parse_host(text)
        except ValueError as exc:
            self._error(entry, str(exc))
            return ""

    def _statuses(self) -> tuple[int, ...]:
        statuses = cast(tuple[int, ...], self._values.get("fail_on_status", ()))
        for status in statuses:
            if not 100 <= abs(status) <= 999:
                self._error(
                    self._entries["fail_on_status"],
                    f"{status} is no status code, with or without a minus sign",
                )
        return statuses

    def _secret(self, env: Mapping[str, str]) -> bytes | None:
        entry = self._entries.get("secret")
        if entry is None:
            return None
        try:
            return find_secret(
                cast(str, self._values["secret"]),
                encoding=entry.encoding,
                base=Path(entry.place.file).parent,
                env=env,
            )
        except ValueError as exc:
            self._error(entry, str(exc))
            return None

    def _error(self, entry: Entry, text: str, *, hint: str = "") -> None:
        message = f"{entry.name}: {text}"
        self._findings.error(entry.place, message, directive=entry.name, hint=hint)
