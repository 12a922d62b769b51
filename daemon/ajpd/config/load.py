"""Files → one checked `Config`, or every error in them at once.

This file reads and checks nothing itself; it calls those who do, in order.
"""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, cast

from ajpd.accesslog import AccessFormatError, compile_format
from ajpd.syslog import PREFIX, Destination

from .balancers import Workers, build_workers
from .checks import (
    check_hosts,
    check_list,
    check_members,
    check_reach,
    check_rules,
    check_switched_off,
    mount_rules,
)
from .conflicts import check_conflicts
from .errors import ConfigErrors, Findings, Place
from .extensions import settle
from .hosts import rules_of
from .metrics import build_metrics
from .model import (
    AttributeRule,
    Config,
    HostConfig,
    ListenAddress,
    LogConfig,
    LogLevel,
    MapConfig,
    MetricsConfig,
    Mount,
    MountSource,
    ServerConfig,
    TableConfig,
    TlsConfig,
)
from .page import build_page
from .parts import Parts
from .sections import Section, check_names
from .server import build_server
from .tls import build_tls
from .toml import TomlFile, beside, read_toml_file, value_of
from .urimap import read_uri_map
from .values import Scope

__all__ = ["load_files", "load_toml", "reread_maps"]

_COMMAND_LINE: Final = "command line"

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
    parts = Parts(env=os.environ if env is None else env)
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
    parts = Parts(env=os.environ if env is None else env)
    here = Place(_COMMAND_LINE)
    if listen:
        parts.listen = _addresses([(text, here) for text in listen], findings, at=here)
    if workers is not None:
        parts.take_workers(os.fspath(workers), findings, None)
    if map is not None:
        parts.take_map(os.fspath(map), findings, None)
    whole = here if workers is None else Place(os.fspath(workers))
    return _finish(parts, None, findings, whole=whole)


def _addresses(
    texts: Collection[tuple[str, Place]],
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
    if not found and not may_be_none and not texts:
        findings.error(at, "listen: there must be an address", directive="listen")
    return tuple(found)


def _finish(parts: Parts, document: TomlFile | None, findings: Findings, *, whole: Place) -> Config:
    """Build the workers, check everything against everything, raise or return."""
    parts.make_up_list(findings)
    listed = check_list(parts, findings, whole)
    members = check_members(parts, listed, findings)
    for name, section in parts.sections.items():
        check_names(section, findings)
        if name not in listed and name not in members and name not in parts.templates:
            findings.warn(section.place, f"worker {name!r} is not in worker.list and not used")
    built = build_workers(
        parts.sections, listed, findings, env=parts.env, maintain_ms=parts.maintain_ms
    )
    parts.rules += mount_rules(parts, listed, findings)
    rules, hosts = _settle_all(parts, built, findings)
    _check_all(parts, listed, members, built, findings, rules=rules, hosts=hosts, whole=whole)
    server = build_server(document, parts.listen, findings)
    tls = _tls(document, server.listen, findings)
    attributes = _attributes(document, server, tls, findings)
    listen = (*server.listen, *(() if tls is None else tls.listen))
    metrics = _metrics(document, listen, findings)
    page = build_page(document, built.statuses, findings)
    check_conflicts(built.workers, built.balancers.values(), listen, findings)
    log = _log(document, findings)
    findings.raise_errors()
    return Config(
        server=server,
        workers={name: built.workers[name] for name in listed if name in built.workers},
        balancers=built.balancers,
        statuses=built.statuses,
        page=page,
        properties=parts.properties(),
        rules=rules,
        hosts=hosts,
        maps=_maps(parts, document),
        log=log,
        table=_table(document),
        metrics=metrics,
        tls=tls,
        attributes=attributes,
        warnings=findings.warnings,
        files=tuple(parts.files),
    )


def _settle_all(
    parts: Parts, built: Workers, findings: Findings
) -> tuple[tuple[Mount, ...], tuple[HostConfig, ...]]:
    """Rules for names that no host has, and hosts with theirs; made to fit their workers."""

    def settled(rules: Iterable[Mount]) -> tuple[Mount, ...]:
        return tuple(settle(rules, built.workers, built.balancers, findings))

    hosts = [replace(host, rules=settled(host.rules)) for host in parts.hosts]
    return settled(parts.rules), tuple(hosts)


def _check_all(
    parts: Parts,
    listed: Mapping[str, Place],
    members: Mapping[str, Section],
    built: Workers,
    findings: Findings,
    *,
    rules: tuple[Mount, ...],
    hosts: tuple[HostConfig, ...],
    whole: Place,
) -> None:
    """Rules and hosts, each by itself and all together."""
    check_hosts(hosts, findings)
    everything = [*rules, *(rule for host in hosts for rule in host.rules)]
    if parts.is_complete:
        for together in (rules, *(rules_of(host, rules) for host in hosts)):
            check_rules(together, listed, findings, unlisted=parts.sections)
        check_reach(parts, everything, listed, members, findings, whole=whole)
    check_switched_off(everything, parts.sections, built.workers, findings)


def reread_maps(config: Config, *, env: Mapping[str, str] | None = None) -> Config:
    """Read the URI maps of a configuration again; everything else stays as it is.

    Args:
        config: that is in use.
        env: environment for `$(name)`; the process's own when None.

    Returns:
        the configuration with new rules; its warnings are those of the maps only.

    Raises:
        ConfigErrors: there are errors; all of them.
    """
    findings = Findings()
    environment = os.environ if env is None else env

    def again(file: str, rules: Iterable[Mount]) -> tuple[Mount, ...]:
        read = read_uri_map(file, findings, env=environment) if file else []
        kept = [rule for rule in rules if rule.source is not MountSource.FILE]
        return (*settle(read, config.workers, config.balancers, findings), *kept)

    rules = again(config.maps.file, config.rules)
    hosts = tuple(replace(host, rules=again(host.file, host.rules)) for host in config.hosts)
    known = {*config.workers, *config.balancers, *config.statuses}
    for together in (rules, *(rules_of(host, rules) for host in hosts)):
        check_rules(together, known, findings)
    findings.raise_errors()
    return replace(config, rules=rules, hosts=hosts, warnings=findings.warnings)


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
        if tls is None and document.tls is not None:
            continue  # its errors come first
        if rule.source == "certificate" and (tls is None or tls.client_verify == "none"):
            why = "no client is asked for a certificate, see client_verify in [tls]"
        elif rule.source == "header" and not server.trusted_proxies:
            why = "the header is believed from nobody, see trusted_proxies in [server]"
        elif rule.source == "request":
            key = "request_id" if rule.key == b"id" else "traceparent"
            if getattr(server, key) == "off":
                why = f"{key} in [server] is off"
        if why:
            findings.warn(rule.place, f"attribute {name!r}: {why}", directive=name)
    return tuple(document.attributes)


def _maps(parts: Parts, document: TomlFile | None) -> MapConfig:
    reload_ms = cast(int, value_of(document, Scope.MAP, "reload"))
    return MapConfig(file=parts.map_file, reload_ms=reload_ms)


def _metrics(
    document: TomlFile | None, taken: Sequence[ListenAddress], findings: Findings
) -> MetricsConfig:
    written = None if document is None else document.values.get((Scope.METRICS, "listen"))
    listen: tuple[ListenAddress, ...] = ()
    if written is not None:
        addresses = [(text, written.place) for text in cast(tuple[str, ...], written.value)]
        listen = _addresses(addresses, findings, at=written.place, may_be_none=True)
    return build_metrics(document, listen, taken, findings)


def _table(document: TomlFile | None) -> TableConfig:
    return TableConfig(
        file=beside(document, cast(str, value_of(document, Scope.TABLE, "file"))),
        journal=beside(document, cast(str, value_of(document, Scope.TABLE, "journal"))),
    )


def _log(document: TomlFile | None, findings: Findings) -> LogConfig:
    access = cast(str, value_of(document, Scope.LOG, "access"))
    text = cast(str, value_of(document, Scope.LOG, "access_format"))
    try:
        compile_format(text)
    except AccessFormatError as exc:
        where = Place("defaults")
        if document is not None and (Scope.LOG, "access_format") in document.values:
            where = document.values[Scope.LOG, "access_format"].place
        findings.error(where, f"access_format: {exc}", directive="access_format")
    return LogConfig(
        level=cast(LogLevel, value_of(document, Scope.LOG, "level")),
        file=_log_target(document, "file", findings),
        access="" if access == "off" else _log_target(document, "access", findings),
        access_format=text,
    )


def _log_target(document: TomlFile | None, name: str, findings: Findings) -> str:
    """A path, or `-`, or syslog; what is wrong with that goes to `findings`."""
    text = cast(str, value_of(document, Scope.LOG, name))
    if text == "-" and name == "access":
        return text
    if not text.startswith(PREFIX):
        return beside(document, text)
    try:
        Destination.parse(text)
    except ValueError as exc:
        assert document is not None
        place = document.values[Scope.LOG, name].place
        findings.error(place, f"{name}: {exc}", directive=name)
    return text
