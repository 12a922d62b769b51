"""Servers of Apache → rules for names.

Apache finds a virtual host by address and port first, and then by name; the first one of an
address answers for names that nobody has, and the main server for addresses that nobody has. Here
the name alone decides, and one table is for all other names.

Source: httpd `server/vhost.c` (update_server_from_aliases, find_default_server); mod_jk
`mod_jk.c` (merge_jk_config) for what a virtual host gets of the main server.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ajpd.config.errors import Place
from ajpd.config.hosts import host_name

from .draft import Draft, Rule, Server, Setting
from .remarks import Remarks

__all__ = ["HostTable", "Plan", "plan_hosts"]

_ANY: Final = frozenset(("*", "_default_"))
_USUAL_PORT: Final = "80"
_UNREACHED: Final = (
    "no request gets there, in Apache neither: another virtual host has its address, and it has no "
    "name of its own; it is left out"
)


@dataclass(slots=True, kw_only=True)
class HostTable:
    """Rules for some names, or for all others.

    Attributes:
        names: the first one is that of the section; none for all others.
        place: of the virtual host; None for the main server.
        rules: by key.
        map_file: of its own.
    """

    names: list[str] = field(default_factory=list)
    place: Place | None = None
    rules: dict[str, Rule] = field(default_factory=dict)
    map_file: Setting | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing gets anywhere."""
        return not self.rules and self.map_file is None

    def does_the_same(self, other: "HostTable") -> bool:
        """Both lead requests alike."""
        return _does(self) == _does(other)


@dataclass(slots=True, kw_only=True)
class Plan:
    """All of them: `others` is for names that none of `hosts` has."""

    others: HostTable
    hosts: list[HostTable] = field(default_factory=list)


def _does(table: HostTable) -> tuple[dict[str, str], object]:
    targets = {key: rule.target for key, rule in table.rules.items()}
    return targets, table.map_file and table.map_file.value


def plan_hosts(draft: Draft, passed: Mapping[int, Sequence[Rule]], remarks: Remarks) -> Plan:
    """Put the rules of all servers together.

    Args:
        draft: what was gathered.
        passed: rules of ProxyPass, by the id of their server.
        remarks: of the whole import.
    """
    return _Planner(draft, passed, remarks).plan()


class _Planner:
    def __init__(
        self, draft: Draft, passed: Mapping[int, Sequence[Rule]], remarks: Remarks
    ) -> None:
        self._draft = draft
        self._remarks = remarks
        self._tables = {
            id(server): self._table(server, passed[id(server)]) for server in draft.servers
        }

    def plan(self) -> Plan:
        others = self._others()
        hosts = self._named()
        kept = [
            host for host in hosts if not host.does_the_same(others) or _is_overlapped(host, hosts)
        ]
        for host in kept:
            self._remark_on_silence(host)
        self._remark_on_unreached([others, *kept])
        return Plan(others=others, hosts=kept)

    def _remark_on_unreached(self, tables: Sequence[HostTable]) -> None:
        """Name what is in no table, unless that was said already."""
        rules = [rule for table in tables for rule in table.rules.values()]
        places = {rule.place for rule in rules}
        same = {(rule.key, rule.target): rule.place for rule in reversed(rules)}
        maps = {table.map_file.place for table in tables if table.map_file is not None}
        for server in self._draft.servers:
            mine = self._of(server)
            for rule in mine.rules.values():
                if rule.place in places or self._remarks.has(rule.place):
                    continue
                other = same.get((rule.key, rule.target))
                self._remarks.note(
                    rule.place,
                    rule.directive,
                    f"{other} says the same" if other else _UNREACHED,
                )
            said = mine.map_file
            if said is None or said.place is None or said.place in maps:
                continue
            if not self._remarks.has(said.place):
                self._remarks.note(said.place, said.directive, _UNREACHED)

    def _table(self, server: Server, passed: Sequence[Rule]) -> HostTable:
        """What counts in one server."""
        main = self._draft.main
        rules, map_file = dict(server.jk), server.map_file
        if not server.is_main:
            copies = main.copies if server.copies is None else server.copies
            if copies:
                rules = {**main.jk, **rules}
                map_file = map_file or main.map_file
        for rule in passed:
            other = rules.setdefault(rule.key, rule)
            if other.worker != rule.worker:
                self._remarks.warn(
                    rule.place,
                    rule.directive,
                    f"{other.directive} at {other.place} leads {rule.key} elsewhere; that one "
                    "counts here",
                    "take one of them away",
                )
        return HostTable(place=server.place, rules=rules, map_file=map_file)

    def _of(self, server: Server) -> HostTable:
        return self._tables[id(server)]

    # --- names that nobody has --------------------------------------------------------------------

    def _others(self) -> HostTable:
        main = self._of(self._draft.main)
        if not self._draft.hosts:
            return main
        if self._is_main_reached():
            if not main.is_empty:
                return main
        else:
            self._remark_on_main()
        firsts: dict[str, Server] = {}
        for host in self._draft.hosts:
            for address in host.addresses:
                firsts.setdefault(address.lower(), host)
        found = [host for host in firsts.values() if not self._of(host).is_empty]
        if not found:
            return HostTable()
        first = found[0]
        for other in found[1:]:
            if not self._of(other).does_the_same(self._of(first)) and other.place is not None:
                self._remarks.warn(
                    other.place,
                    "<VirtualHost>",
                    f"at its address it answers for names that no virtual host has; here "
                    f"{first.title} ({first.place}) does at all addresses",
                    "write the names that it is for, as [host] tables",
                )
        table = self._of(first)
        return HostTable(place=table.place, rules=dict(table.rules), map_file=table.map_file)

    def _is_main_reached(self) -> bool:
        """Some request belongs to no virtual host, as far as one can tell."""
        ports = {_port(address) for address, _, _ in self._draft.listens} or {_USUAL_PORT}
        covered = set()
        for host in self._draft.hosts:
            for address in host.addresses:
                name, port = _split(address)
                if name in _ANY:
                    covered.add(port)
        return not ({"", "*"} & covered or ports <= covered)

    def _remark_on_main(self) -> None:
        """Rules that Apache never comes to."""
        main = self._draft.main
        if any((main.copies if host.copies is None else host.copies) for host in self._draft.hosts):
            return
        for rule in main.jk.values():
            self._remarks.warn(
                rule.place,
                rule.directive,
                "it stands outside of all virtual hosts, which answer all requests: without "
                "JkMountCopy it counts in none of them, and it is left out",
                "write JkMountCopy On into the virtual host it is for, and import again",
            )
        if main.map_file is not None and main.map_file.place is not None:
            self._remarks.warn(
                main.map_file.place,
                main.map_file.directive,
                "without JkMountCopy it counts in no virtual host, and they answer all requests; "
                "it is left out",
                "write JkMountCopy On into the virtual host it is for, and import again",
            )

    # --- names ------------------------------------------------------------------------------------

    def _named(self) -> list[HostTable]:
        owners: dict[str, list[Server]] = {}
        for host in self._draft.hosts:
            for name in self._names(host):
                mine = {address.lower() for address in host.addresses}
                those = owners.setdefault(name, [])
                taken = {address.lower() for other in those for address in other.addresses}
                if not mine & taken:
                    those.append(host)
        groups: dict[tuple[int, ...], HostTable] = {}
        for name, servers in owners.items():
            if not servers:
                continue
            key = tuple(map(id, servers))
            if key not in groups:
                groups[key] = self._together(servers)
            groups[key].names.append(name)
        return list(groups.values())

    def _names(self, host: Server) -> list[str]:
        found: list[str] = []
        for text, place in host.names:
            bare = text.partition("://")[2] or text
            name, colon, port = bare.rpartition(":")
            bare = name if colon and port.isdecimal() else bare
            try:
                found.append(host_name(bare))
            except ValueError as exc:
                self._remarks.warn(
                    place,
                    "ServerAlias",
                    f"{exc}; the name is left out",
                    "write the names that are meant into aliases of the [host]",
                )
        return found

    def _together(self, servers: Sequence[Server]) -> HostTable:
        """One name at several addresses: all that any of them leads anywhere."""
        first = servers[0]
        table = HostTable(place=first.place)
        full = [server for server in servers if not self._of(server).is_empty]
        for server in full:
            mine = self._of(server)
            for key, rule in mine.rules.items():
                if table.rules.setdefault(key, rule).worker != rule.worker:
                    self._remark(server, full[0], f"the rule {key} leads elsewhere")
            if table.map_file is None:
                table.map_file = mine.map_file
            elif mine.map_file is not None and mine.map_file.value != table.map_file.value:
                self._remark(server, full[0], "it has another JkMountFile")
        if len(full) > 1 and any(
            not self._of(server).does_the_same(self._of(full[0])) for server in full
        ):
            self._remark(full[1], full[0], "its rules are not the same", is_joined=True)
        return table

    def _remark(self, server: Server, first: Server, what: str, *, is_joined: bool = False) -> None:
        if server.place is None:
            return
        counts = "those of both count here" if is_joined else "that one counts here"
        self._remarks.warn(
            server.place,
            "<VirtualHost>",
            f"{what} than at {first.place} for the same name, and here the name alone decides; "
            f"{counts}",
        )

    def _remark_on_silence(self, host: HostTable) -> None:
        if host.is_empty and host.place is not None:
            self._remarks.note(
                host.place,
                "<VirtualHost>",
                f"nothing of {host.names[0]} leads to a container, so all of it is answered 404: "
                "ajpd serves no files and redirects nobody",
            )


def _is_overlapped(host: HostTable, hosts: Sequence[HostTable]) -> bool:
    """A wildcard of another host would take one of its names."""
    for other in hosts:
        if other is host:
            continue
        for wild in other.names:
            if wild.startswith("*.") and any(name.endswith(wild[1:]) for name in host.names):
                return True
    return False


def _split(address: str) -> tuple[str, str]:
    """Name and port of what stands in <VirtualHost …>."""
    name, colon, port = address.lower().rpartition(":")
    if not colon or port.endswith("]"):
        return address.lower(), ""
    return name, port


def _port(listen: str) -> str:
    return listen.rpartition(":")[2]
