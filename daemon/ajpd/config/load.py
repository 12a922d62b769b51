"""Files → one checked `Config`, or every error in them at once.

This file reads nothing itself; it calls the readers, joins what they found and checks what no
single file can know: rules and lists that name workers, workers that nothing reaches.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from .balancers import build_workers
from .directives import WORKER_SCOPES, in_scope, lookup
from .errors import ConfigErrors, Findings, Place, suggest
from .extensions import settle
from .model import (
    STATUS_IS_SERVED,
    AttributeRule,
    Config,
    ListenAddress,
    LogConfig,
    LogLevel,
    Mount,
    ServerConfig,
    StatusConfig,
    TableConfig,
    TlsConfig,
    WorkerConfig,
)
from .properties import LIST_ATTRIBUTES, Repeats, read_properties, resolve_references
from .sections import (
    Section,
    check_names,
    listed_workers,
    maintain_ms,
    sections_from_properties,
)
from .server import build_server
from .tls import build_tls
from .toml import TomlFile, beside, read_toml_file, value_of
from .urimap import UriMap, read_uri_map, rules_of_worker
from .values import Scope, default_of

__all__ = ["REPEATS", "load_files", "load_toml"]

_COMMAND_LINE: Final = "command line"
#: What becomes of repeated keys of workers.properties.
REPEATS: Final = Repeats(
    known=frozenset(name for scope in WORKER_SCOPES for name in in_scope(scope)) - LIST_ATTRIBUTES
)

StrPath = str | os.PathLike[str]


def load_toml(path: StrPath, *, env: Mapping[str, str] | None = None) -> Config:
    """Load ajpd.toml and the files it names.

    Args:
        path: of ajpd.toml; files named in it are relative to its directory.
        env: environment for `$(name)` and `env:NAME`; the process's own when None.

    Raises:
        ConfigErrors: there are errors; all of them.
    """
    findings = Findings()
    document = read_toml_file(os.fspath(path), findings)
    if document is None:
        raise ConfigErrors(findings.errors, findings.warnings)
    parts = _Parts(env=os.environ if env is None else env)
    listen = document.values.get((Scope.SERVER, "listen"))
    if listen is not None:
        addresses = [(text, listen.place) for text in cast(tuple[str, ...], listen.value)]
        parts.listen = _addresses(
            addresses, findings, at=listen.place, may_be_none=document.tls is not None
        )
    for scope, take in ((Scope.WORKERS, parts.take_workers), (Scope.MAP, parts.take_map)):
        file = document.values.get((scope, "file"))
        if file is not None:
            name = str(document.path.parent / cast(str, file.value))
            take(name, findings, file.place)
    parts.files.insert(0, os.fspath(path))
    parts.take_toml(document, findings)
    return _finish(parts, document, findings, whole=Place(os.fspath(path)))


def load_files(
    workers: StrPath | None = None,
    map: StrPath | None = None,  # noqa: A002 - the name of the option
    listen: Sequence[str] = (),
    *,
    env: Mapping[str, str] | None = None,
) -> Config:
    """Load workers.properties and uriworkermap.properties without an ajpd.toml.

    Args:
        workers: path of workers.properties.
        map: path of uriworkermap.properties.
        listen: addresses as in `server.listen`; the default address when empty.
        env: environment for `$(name)` and `env:NAME`; the process's own when None.

    Raises:
        ConfigErrors: there are errors; all of them.
    """
    findings = Findings()
    findings.begin(_COMMAND_LINE)
    parts = _Parts(env=os.environ if env is None else env)
    here = Place(_COMMAND_LINE)
    if listen:
        parts.listen = _addresses([(text, here) for text in listen], findings, at=here)
    if workers is not None:
        parts.take_workers(os.fspath(workers), findings, None)
    if map is not None:
        parts.take_map(os.fspath(map), findings, None)
    whole = here if workers is None else Place(os.fspath(workers))
    return _finish(parts, None, findings, whole=whole)


@dataclass(slots=True, kw_only=True)
class _Parts:
    """What was read so far, not yet checked against each other.

    `is_complete` turns false when the workers file cannot be read; what it defines is unknown
    then, so nobody is told that it is missing. `without_list` is a workers file in which there is
    no worker.list. `unlisted` are the workers of ajpd.toml that no
    worker.list names, although rules may.
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
    files: list[str] = field(default_factory=list)

    def take_workers(self, file: str, findings: Findings, asked_at: Place | None) -> None:
        self.files.append(file)
        before = len(findings.errors)
        properties = read_properties(
            file, findings, env=self.env, repeats=REPEATS, asked_at=asked_at
        )
        if len(findings.errors) > before:
            self.is_complete = False
            return
        self.templates = {
            item.value.removeprefix("worker.")
            for item in properties
            if item.key.startswith("worker.") and item.key.endswith(".reference")
        }
        properties = resolve_references(properties, findings)
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
        self.files.append(file)
        self.rules += read_uri_map(file, findings, env=self.env, asked_at=asked_at)

    def take_toml(self, document: TomlFile, findings: Findings) -> None:
        """Join what is written in place; a worker there needs no list."""
        self.rules += document.rules
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
            if name not in listed:
                self.listed.append((name, section.place))
                self.unlisted.add(name)


def _addresses(
    texts: Iterable[tuple[str, Place]],
    findings: Findings,
    *,
    at: Place,
    may_be_none: bool = False,
) -> tuple[ListenAddress, ...]:
    found: list[ListenAddress] = []
    for text, place in texts:
        try:
            address = ListenAddress.parse(text)
        except ValueError as exc:
            findings.error(place, f"listen: {exc}", directive="listen")
            continue
        if address in found and address.port != 0:
            findings.error(place, f"listen: {text!r} is there twice", directive="listen")
        found.append(address)
    if not found and not may_be_none and not findings.errors:
        findings.error(at, "listen: there must be an address", directive="listen")
    return tuple(found)


def _finish(
    parts: _Parts, document: TomlFile | None, findings: Findings, *, whole: Place
) -> Config:
    """Build the workers, check everything against everything, raise or return."""
    parts.make_up_list(findings)
    listed = _check_list(parts, findings, whole)
    members = _check_members(parts, listed, findings)
    for name, section in parts.sections.items():
        check_names(section, findings)
        if name not in listed and name not in members and name not in parts.templates:
            findings.warn(section.place, f"worker {name!r} is not in worker.list and not used")
    workers, balancers, statuses = build_workers(
        parts.sections, listed, findings, env=parts.env, maintain_ms=parts.maintain_ms
    )
    parts.rules += _rules_of_workers(parts, listed, findings)
    parts.rules = settle(parts.rules, workers, balancers, findings)
    if parts.is_complete:
        _check_rules(parts, listed, findings)
        _check_reach(parts, listed, members, findings, whole=whole)
    _check_switched_off(parts, workers, findings)
    _check_served(parts.rules, statuses, findings)
    server = build_server(document, parts.listen, findings)
    tls = _tls(document, server.listen, findings)
    findings.raise_errors()
    return Config(
        server=server,
        workers={name: workers[name] for name in listed if name in workers},
        balancers=balancers,
        statuses=statuses,
        rules=tuple(parts.rules),
        log=_log(document),
        table=_table(document),
        tls=tls,
        attributes=_attributes(document, server, tls, findings),
        warnings=findings.warnings,
        files=tuple(parts.files),
    )


def _check_list(parts: _Parts, findings: Findings, whole: Place) -> dict[str, Place]:
    """The listed workers that exist, in order."""
    listed: dict[str, Place] = {}
    for name, place in parts.listed:
        if name not in parts.sections:
            findings.error(
                place,
                f"worker {name!r} is listed, but defined nowhere",
                directive="worker.list",
                hint=suggest(name, parts.sections),
            )
        elif name in listed:
            findings.warn(place, f"worker {name!r} is listed twice", directive="worker.list")
        else:
            listed[name] = place
    if not listed and not findings.errors:
        findings.error(whole, "there is no worker, neither in a workers file nor as [worker.NAME]")
    return listed


def _check_members(
    parts: _Parts, listed: Mapping[str, Place], findings: Findings
) -> dict[str, Section]:
    """The balancers in use by the names of their members, which are workers in use as well."""
    balancers: dict[str, Section] = {}
    for section in [parts.sections[name] for name in listed]:
        for name, _ in section.members():
            balancers.setdefault(name, section)
    for name, balancer in balancers.items():
        if name in listed and name not in parts.unlisted:
            findings.warn(
                listed[name],
                f"worker {name!r} is in worker.list and a member of balancer {balancer.name!r}: "
                "rules that name it pass by the balancer",
                directive="worker.list",
            )
        elif name not in listed and name in parts.sections:
            mount = parts.sections[name].entries.get("mount")
            if mount is not None:
                findings.warn(
                    mount.place,
                    f"'mount' only counts for workers in worker.list, and {name!r} is not",
                    directive="mount",
                )
    return balancers


def _rules_of_workers(
    parts: _Parts, listed: Mapping[str, Place], findings: Findings
) -> list[Mount]:
    rules: list[Mount] = []
    for name in listed:
        entry = parts.sections[name].entries.get("mount")
        if entry is not None:
            rules += rules_of_worker(name, entry.tokens(), findings, encoding=entry.encoding)
    return rules


def _check_rules(parts: _Parts, listed: Mapping[str, Place], findings: Findings) -> None:
    for rule in parts.rules:
        if rule.worker in listed or (rule.worker == "*" and rule.is_exclusion):
            continue
        if rule.worker in parts.sections:
            message = f"the rule {rule} names a worker that is not in worker.list"
            hint = ""
        else:
            message = f"the rule {rule} names an unknown worker"
            hint = suggest(rule.worker, listed)
        findings.error(rule.place, message, directive=str(rule), hint=hint)
    for winner, rule in UriMap(parts.rules).shadowed():
        if winner.worker != rule.worker:
            findings.warn(
                rule.place, f"the rule {rule} never counts: {winner} at {winner.place} comes first"
            )


def _check_switched_off(
    parts: _Parts, workers: Mapping[str, WorkerConfig], findings: Findings
) -> None:
    """Port 0 is for members; a rule must not lead to one."""
    for rule in parts.rules:
        worker = None if rule.is_exclusion or rule.is_disabled else workers.get(rule.worker)
        if worker is None or worker.port or worker.unix_path is not None:
            continue
        message = f"the rule {rule} leads to worker {rule.worker!r}, which is switched off"
        say = findings.warn if parts.sections[rule.worker].is_lenient else findings.error
        say(rule.place, message, directive=str(rule))


def _check_served(
    rules: Iterable[Mount], statuses: Mapping[str, StatusConfig], findings: Findings
) -> None:
    for rule in rules:
        if STATUS_IS_SERVED or rule.is_exclusion or rule.is_disabled:
            continue
        if rule.worker in statuses:
            message = f"the rule {rule} leads to a status page, which this version does not serve"
            findings.warn(rule.place, f"{message}: 404 is answered", directive=str(rule))


def _check_reach(
    parts: _Parts,
    listed: Mapping[str, Place],
    members: Mapping[str, Section],
    findings: Findings,
    *,
    whole: Place,
) -> None:
    mounts = [rule for rule in parts.rules if not rule.is_exclusion and not rule.is_disabled]
    if not mounts and not findings.errors:
        findings.warn(whole, "no rule maps anything, so every request will be answered 404")
        return
    mapped = {rule.worker for rule in mounts}
    for name in listed:
        if name not in mapped and name not in members:
            findings.warn(parts.sections[name].place, f"no rule leads to worker {name!r}")


def _tls(
    document: TomlFile | None, plain: tuple[ListenAddress, ...], findings: Findings
) -> TlsConfig | None:
    if document is None or document.tls is None:
        return None
    written = document.values.get((Scope.TLS, "listen"))
    place = document.tls if written is None else written.place
    texts = () if written is None else cast(tuple[str, ...], written.value)
    listen = _addresses([(text, place) for text in texts], findings, at=place)
    for address in listen:
        if address in plain and address.port != 0:
            findings.error(
                place, f"listen: {address} is in [server] too, without TLS", directive="listen"
            )
    return build_tls(
        document.values, listen, findings, section=document.tls, base=document.path.parent
    )


def _attributes(
    document: TomlFile | None, server: ServerConfig, tls: TlsConfig | None, findings: Findings
) -> tuple[AttributeRule, ...]:
    """The rules as they are; those that can never have a value get a warning."""
    if document is None:
        return ()
    for rule in document.attributes:
        name, why = rule.name.decode(), ""
        if rule.source == "certificate" and (tls is None or tls.client_verify == "none"):
            why = "no client is asked for a certificate, see client_verify in [tls]"
        elif rule.source == "header" and not server.trusted_proxies:
            why = "the header is believed from nobody, see trusted_proxies in [server]"
        if why:
            findings.warn(rule.place, f"attribute {name!r}: {why}", directive=name)
    return tuple(document.attributes)


def _table(document: TomlFile | None) -> TableConfig:
    return TableConfig(
        file=beside(document, cast(str, value_of(document, Scope.TABLE, "file"))),
        journal=beside(document, cast(str, value_of(document, Scope.TABLE, "journal"))),
    )


def _log(document: TomlFile | None) -> LogConfig:
    file = beside(document, cast(str, value_of(document, Scope.LOG, "file")))
    return LogConfig(level=cast(LogLevel, value_of(document, Scope.LOG, "level")), file=file)
