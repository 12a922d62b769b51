"""Virtual hosts: which rules count for the name that a request asks for.

A request whose name no host has goes by the rules for all others; a host has only its own, unless
it takes these over. The one place where names of hosts are compared.

Source: mod_jk `mod_jk.c` (a map for each virtual host, JkMountCopy) for what a host takes over.
Differs on purpose: the name alone decides, never the address that a connection came to.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from .addresses import parse_host
from .errors import Place
from .model import Config, HostConfig, Mount, MountSource
from .urimap import Decision, UriMap

__all__ = ["HostMaps", "HostSection", "host_name", "names_twice", "rules_of"]

_LABELS: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


@dataclass(slots=True, kw_only=True)
class HostSection:
    """`[host.NAME]` as it was written.

    Attributes:
        name: of the section.
        place: of it.
        aliases: more names, with their place.
        file: path of its URI map and where it was written; None for none.
        mount_copy: see `HostConfig`.
        rules: of its mount table.
    """

    name: str
    place: Place
    aliases: tuple[str, ...] = ()
    aliases_place: Place | None = None
    file: tuple[str, Place] | None = None
    mount_copy: bool = False
    rules: list[Mount] = field(default_factory=list)


def host_name(text: str) -> str:
    """Check the name of a host, maybe with `*.` before it; in the form in which it is compared.

    Raises:
        ValueError: no request can ask for it.
    """
    name = text.lower().rstrip(".")
    if not name.isascii():
        try:
            meant = repr(name.encode("idna").decode())
        except UnicodeError:
            meant = "its form that begins with xn--"
        raise ValueError(f"{text!r}: browsers ask for {meant}, write that")
    if name == "*":
        raise ValueError(f"{text!r}: rules for all other names belong into [map] and [mount]")
    if name.startswith("*.") and _LABELS.fullmatch(name[2:]):
        return name
    if "*" in name:
        raise ValueError(f"{text!r}: a * stands for whole labels at the beginning, *.example.org")
    bare = parse_host(name)
    return f"[{bare}]" if ":" in bare else bare


def rules_of(host: HostConfig, others: Iterable[Mount]) -> tuple[Mount, ...]:
    """All rules of a host.

    Args:
        host: maybe with mount_copy.
        others: rules for names that no host has.

    Returns:
        its own, and with mount_copy of the others those whose pattern it has not itself; those of
        their URI map only when it has no URI map.

    Source:
        mod_jk `mod_jk.c`, JkMountCopy.
    """
    if not host.mount_copy:
        return host.rules
    own = {_key(rule) for rule in host.rules}
    copied = [
        rule
        for rule in others
        if _key(rule) not in own and not (host.file and rule.source is MountSource.FILE)
    ]
    return (*host.rules, *copied)


def _key(rule: Mount) -> tuple[bytes, bool, bool]:
    return rule.pattern, rule.is_exclusion, rule.is_disabled


class HostMaps:
    """The URI maps of a configuration; immutable for its users.

    Args:
        config: with rules and hosts.
    """

    def __init__(self, config: Config) -> None:
        self.default: Final = UriMap(config.rules)
        self._exact: dict[bytes, UriMap] = {}
        self._wild: dict[bytes, UriMap] = {}
        self._hosts: dict[int, HostConfig] = {}
        for host in config.hosts:
            uri_map = UriMap(rules_of(host, config.rules))
            self._hosts[id(uri_map)] = host
            for name in host.names:
                if name.startswith("*."):
                    self._wild[name[1:].encode()] = uri_map
                else:
                    self._exact[name.encode()] = uri_map

    def __repr__(self) -> str:
        return f"<HostMaps {self.default!r} {len(self._exact)} names {len(self._wild)} wildcards>"

    @property
    def has_hosts(self) -> bool:
        """The name of a request makes a difference."""
        return bool(self._exact or self._wild)

    def map_of(self, host: bytes) -> UriMap:
        """The map for a name, in any case and without port: its own, one of `*.`, or the default.

        Of several wildcards the longest counts.
        """
        name = host.lower().rstrip(b".")
        found = self._exact.get(name)
        if found is not None:
            return found
        return self._wildcard(name) if self._wild else self.default

    def _wildcard(self, name: bytes) -> UriMap:
        dot = name.find(b".")
        while dot >= 0:
            found = self._wild.get(name[dot:])
            if found is not None:
                return found
            dot = name.find(b".", dot + 1)
        return self.default

    def host_of(self, host: bytes) -> HostConfig | None:
        """The section whose rules count for a name; None: those for all names that no host has."""
        return self._hosts.get(id(self.map_of(host)))

    def match(self, host: bytes, path: bytes) -> Mount | None:
        """Find the rule for a request.

        Args:
            host: name that it asks for, without port; empty when it says none.
            path: as for `UriMap.match`.
        """
        return self.map_of(host).match(path)

    def decide(self, host: bytes, path: bytes) -> Decision:
        """Find the rule and the exclusion that takes it back, if there is one."""
        return self.map_of(host).decide(path)


def names_twice(hosts: Iterable[HostConfig]) -> Mapping[str, tuple[HostConfig, HostConfig]]:
    """Names that two hosts have."""
    first: dict[str, HostConfig] = {}
    found: dict[str, tuple[HostConfig, HostConfig]] = {}
    for host in hosts:
        for name in host.names:
            other = first.setdefault(name, host)
            if other is not host:
                found[name] = (other, host)
    return found
