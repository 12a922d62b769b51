"""Containers and balancers of mod_proxy → workers with names.

mod_proxy knows them by URL; here a rule names a worker. This file makes up the names, and puts
together what URL, member, <Proxy> and ProxySet say about one container.

Source: httpd `modules/proxy/proxy_util.c` (ap_proxy_define_worker) and
`mod_proxy_balancer.c` (lbset, hot standby).
"""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from ajpd.config.addresses import parse_host, parse_unix_path
from ajpd.config.errors import Place

from .draft import Balancer, Draft, Member, Parameters, Setting
from .parameters import Settings, balancer_settings, container_settings, duration, put
from .proxy import milliseconds
from .remarks import Remarks

__all__ = ["Address", "Containers", "Group", "Table", "parse_url"]

_URL: Final = re.compile(
    r"(?:unix:(?P<socket>[^|]+)\|)?(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?P<host>\[[^\]]*\]|[^/:$]*)(?::(?P<port>[^/$]*))?(?P<path>[/$].*)?",
)
_PORT: Final = 8009
_MOST_MEMBERS: Final = 64


@dataclass(frozen=True, slots=True)
class Address:
    """Where a URL leads.

    Attributes:
        scheme: `ajp`, `balancer` or another, in lower case.
        host: name or address, `unix:/path`, or the name of a balancer.
        port: of the container.
        path: behind that, or an empty text.
    """

    scheme: str
    host: str
    port: int
    path: str


def parse_url(url: str) -> Address:
    """Take a URL apart.

    Raises:
        ValueError: it is none, or its host or port cannot be.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(f"{url} is no URL")
    scheme, path = match["scheme"].lower(), match["path"] or ""
    if scheme != "ajp":
        return Address(scheme, match["host"], 0, path)
    if match["socket"]:
        return Address(scheme, f"unix:{parse_unix_path(match['socket'])}", 0, path)
    port = match["port"] or str(_PORT)
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) <= 65535:
        raise ValueError(f"{port} is no port")
    return Address(scheme, parse_host(match["host"]), int(port), path)


@dataclass(slots=True, kw_only=True)
class Table:
    """`[worker.NAME]`."""

    name: str
    kind: str
    place: Place
    settings: Settings = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Group:
    """A balancer that was made: its name, and the paths in the URLs of its members."""

    name: str
    paths: set[str]


class Containers:
    """Makes workers, each one once.

    Args:
        draft: what was gathered.
        remarks: of the whole import.
        taken: names that workers have already.
    """

    def __init__(self, draft: Draft, remarks: Remarks, taken: Collection[str]) -> None:
        self._draft = draft
        self._remarks = remarks
        self._names = set(taken)
        self._known: dict[tuple[Address, str], str] = {}
        self._groups: dict[int, Group | None] = {}
        self.tables: list[Table] = []

    def _name(self, wanted: str) -> str:
        """A name that nobody has yet."""
        base = re.sub(r"[^A-Za-z0-9_-]+", "-", wanted).strip("-") or "tomcat"
        name, number = base, 2
        while name in self._names:
            name, number = f"{base}-{number}", number + 1
        self._names.add(name)
        return name

    # --- one container ----------------------------------------------------------------------------

    def single(
        self,
        url: str,
        address: Address,
        parameters: Parameters,
        *,
        place: Place,
        directive: str,
        timeout_ms: Setting | None,
    ) -> str:
        """The name of the worker for a container that a rule leads to itself."""
        settings = self._settings(url, address, parameters, timeout_ms)
        for name in ("route", "redirect", "distance", "activation"):
            settings.pop(name, None)
        bare = Address(address.scheme, address.host, address.port, "")
        says = repr(sorted((name, str(each.value)) for name, each in settings.items()))
        known = self._known.get((bare, says))
        if known is None:
            known = self._known[bare, says] = self._name(_slug(address))
            where = _where(address, place, directive)
            table = Table(name=known, kind="ajp13", place=place, settings={**where, **settings})
            self.tables.append(table)
        return known

    def _settings(
        self, url: str, address: Address, parameters: Parameters, timeout_ms: Setting | None
    ) -> Settings:
        """What counts for a container, from the most general to its own."""
        said: Parameters = {}
        for prefix, those in self._draft.containers.items():
            if url.lower().startswith(prefix.lower().rstrip("/")) and "*" not in prefix:
                said.update(those)
        settings: Settings = {}
        general = self._draft.settings.get("proxy", {})
        if "max_packet_size" in general:
            settings["max_packet_size"] = general["max_packet_size"]
        if timeout_ms is not None and isinstance(timeout_ms.value, int):
            text = duration(timeout_ms.value)
            put(settings, "ajp13", "reply_timeout", text, timeout_ms, self._remarks)
        settings.update(container_settings({**said, **parameters}, self._remarks))
        if address.scheme == "ajp" and "probe_uri" in settings:
            settings.pop("probe", None)
        return settings

    # --- balancers --------------------------------------------------------------------------------

    def group(self, balancer: Balancer, timeout_ms: Setting | None) -> Group | None:
        """A balancer's name here; None when it cannot be made, which was said then."""
        if id(balancer) not in self._groups:
            self._groups[id(balancer)] = self._made(balancer, timeout_ms)
        return self._groups[id(balancer)]

    def _made(self, balancer: Balancer, timeout_ms: Setting | None) -> Group | None:
        members: list[tuple[Member, Address]] = []
        for member in balancer.members:
            address = self._address(member)
            if address is not None:
                members.append((member, address))
        for member, _ in members[_MOST_MEMBERS:]:
            what = f"a balancer has at most {_MOST_MEMBERS} members, and this one is left out"
            self._remarks.error(member.place, "BalancerMember", what)
        if not members:
            return None
        name = self._name(balancer.name)
        table = Table(name=name, kind="lb", place=balancer.place)
        names = self._members(balancer, members[:_MOST_MEMBERS], timeout_ms)
        table.settings["balance_workers"] = Setting(value=names)
        table.settings.update(balancer_settings(balancer.parameters, self._remarks))
        self._retry(balancer, table)
        self._redirects(names)
        at = len(self.tables) - len(names)
        self.tables.insert(at, table)
        return Group(name=name, paths={address.path for _, address in members})

    def remark_on_unused(self) -> None:
        """Name members of balancers that no rule leads to."""
        for server in self._draft.servers:
            for balancer in server.balancers.values():
                if id(balancer) in self._groups:
                    continue
                for member in balancer.members:
                    self._remarks.note(
                        member.place,
                        "BalancerMember",
                        f"no rule leads to balancer://{balancer.name}, so it is left out",
                    )

    def _address(self, member: Member) -> Address | None:
        try:
            address = parse_url(member.url)
        except ValueError as exc:
            self._remarks.error(member.place, "BalancerMember", str(exc), "mend it")
            return None
        if address.scheme == "ajp":
            return address
        self._remarks.error(
            member.place,
            "BalancerMember",
            f"{member.url} is no AJP, which is all that ajpd speaks to containers; it is left out",
            "let the container have an AJP connector and write ajp:// and its port",
        )
        return None

    def _members(
        self,
        balancer: Balancer,
        members: list[tuple[Member, Address]],
        timeout_ms: Setting | None,
    ) -> list[str]:
        shares = _shares([member for member, _ in members], self._remarks)
        sets = [_number(member.parameters.get("lbset")) for member, _ in members]
        names: list[str] = []
        for (member, address), share in zip(members, shares, strict=True):
            settings = self._settings(member.url, address, member.parameters, timeout_ms)
            self._statuses(balancer, settings)
            if share is not None:
                settings["lbfactor"] = share
            self._reserve(member, settings, max(sets, default=0))
            self._route(settings, member, names)
            route = settings.get("route")
            name = self._name(str(route.value) if route is not None else _slug(address))
            names.append(name)
            where = _where(address, member.place, "BalancerMember")
            self.tables.append(
                Table(name=name, kind="ajp13", place=member.place, settings={**where, **settings})
            )
        return names

    def _redirects(self, names: list[str]) -> None:
        """A redirect names the route of another member."""
        mine = [table for table in self.tables if table.name in names]
        routes = {
            table.settings["route"].value if "route" in table.settings else table.name
            for table in mine
        }
        for table in mine:
            said = table.settings.get("redirect")
            if said is not None and said.value not in routes:
                self._remarks.warn(
                    table.place,
                    "BalancerMember redirect=",
                    f"no member has the route {said.value}, so it means nothing and is left out",
                )
                del table.settings["redirect"]

    def _route(self, settings: Settings, member: Member, before: list[str]) -> None:
        """No two members may have one route."""
        route = settings.get("route")
        mine = [table for table in self.tables if table.name in before]
        routes = [table.settings["route"].value for table in mine if "route" in table.settings]
        if route is not None and route.value in routes:
            self._remarks.warn(
                member.place,
                "BalancerMember route=",
                f"another member has the route {route.value}; the name of this one is its route",
                "write the jvmRoute of its container",
            )
            del settings["route"]

    def _statuses(self, balancer: Balancer, settings: Settings) -> None:
        """Failonstatus of a balancer is a directive of members here."""
        said = balancer.parameters.get("failonstatus")
        if said is not None:
            numbers = [int(word) for word in re.findall(r"[0-9]+", str(said.value))]
            put(settings, "ajp13", "fail_on_status", numbers, said, self._remarks)

    def _reserve(self, member: Member, settings: Settings, largest: int) -> None:
        """A hot standby gets nothing as long as one of the others can: it is farther away."""
        said = member.parameters.get("status")
        letters = "" if said is None else _switched_on(str(said.value))
        if said is None or not ({"H", "R"} & set(letters)):
            return
        away = largest + (2 if "H" in letters else 1)
        put(settings, "ajp13", "distance", away, said, self._remarks)
        if "R" in letters:
            self._remarks.warn(
                member.place,
                "BalancerMember status=",
                "a spare (R) takes the place of one failed member in Apache; here it gets requests "
                "once all others have failed",
            )

    def _retry(self, balancer: Balancer, table: Table) -> None:
        """Of members the smallest one counts for their balancer."""
        found: list[tuple[int, Setting]] = []
        for member in balancer.members:
            said = member.parameters.get("retry")
            time_ms = None if said is None else milliseconds(str(said.value))
            if said is not None and time_ms is not None:
                found.append((time_ms, said))
        if not found:
            return
        least, said = min(found, key=lambda each: each[0])
        put(table.settings, "lb", "recover_time", duration(max(least, 1000)), said, self._remarks)
        if len({time_ms for time_ms, _ in found}) > 1 or len(found) < len(balancer.members):
            self._remarks.note(
                said.place or balancer.place,
                "BalancerMember retry=",
                "the smallest one counts for all members of its balancer, as recover_time; a probe "
                "brings members back earlier",
            )


def _where(address: Address, place: Place, directive: str) -> Settings:
    """`host` and `port`."""
    found = {"host": Setting(value=address.host, place=place, directive=directive)}
    if not address.host.startswith("unix:"):
        found["port"] = Setting(value=address.port)
    return found


def _slug(address: Address) -> str:
    """A name out of an address."""
    host = address.host.removeprefix("unix:")
    return host if address.port in (0, _PORT) else f"{host}-{address.port}"


def _switched_on(text: str) -> str:
    """The letters of status= that are not taken back."""
    is_on, found = True, ""
    for letter in text.upper():
        if letter in "+-":
            is_on = letter == "+"
        elif is_on:
            found += letter
    return found


def _number(said: Setting | None) -> int:
    text = "" if said is None else str(said.value)
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _shares(members: list[Member], remarks: Remarks) -> list[Setting | None]:
    """`loadfactor`, which may be a fraction, as whole numbers in the same proportion."""
    found: list[Fraction | None] = []
    for member in members:
        said = member.parameters.get("loadfactor")
        text = "" if said is None else str(said.value)
        good = re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,2})?", text)
        if said is not None and (good is None or not Fraction(text)):
            remarks.warn(member.place, "BalancerMember loadfactor=", f"{text} is no number from 1")
            good = None
        found.append(Fraction(text) if good else None)
    scale = math.lcm(*(each.denominator for each in found if each is not None))
    if all(each is None for each in found):
        return [None] * len(members)
    result: list[Setting | None] = []
    for member, each in zip(members, found, strict=True):
        value = int((each or Fraction(1)) * scale)
        place = None if each is None else member.place
        result.append(Setting(value=value, place=place, directive="BalancerMember"))
    return result
