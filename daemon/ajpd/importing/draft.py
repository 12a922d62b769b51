"""What Apache's configuration says, gathered and not yet put together: values only.

Readers of directives fill these; `hosts.py`, `proxies.py` and `writing.py` make ajpd's
configuration of them. Nothing is decided here.
"""

from dataclasses import dataclass, field

from ajpd.config.errors import Place

__all__ = [
    "Balancer",
    "Draft",
    "Guard",
    "Member",
    "Parameters",
    "Pass",
    "Rule",
    "Server",
    "Setting",
]

Scalar = str | int | bool | list[str] | list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value of ajpd.toml, and the line it comes from.

    Attributes:
        value: as TOML has it.
        place: of the directive that says it; None when nobody does.
        directive: its name, for the comment beside it.
    """

    value: Scalar = field(repr=False)  # it may be a secret
    place: Place | None = None
    directive: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of a mount table.

    Attributes:
        key: `[!]/pattern[|suffix]`.
        target: `worker[;extension=value]...`.
        place: of the directive.
        directive: its name.
    """

    key: str
    target: str
    place: Place
    directive: str

    @property
    def worker(self) -> str:
        """The name in front of the extensions."""
        return self.target.partition(";")[0].strip()


Parameters = dict[str, Setting]


@dataclass(slots=True, kw_only=True)
class Pass:
    """One ProxyPass, ProxyPassMatch, or RewriteRule with [P].

    Attributes:
        path: what the path of a request begins with, or an expression.
        is_expression: `path` is one.
        url: where it leads, or `!`.
        parameters: by lower-case name.
        place: of the directive.
        directive: its name.
        is_of_location: it stands in a Location, and so counts before all others.
        shows_own_errors: ProxyErrorOverride is on where it stands.
    """

    path: str
    is_expression: bool
    url: str
    parameters: Parameters
    place: Place
    directive: str
    is_of_location: bool = False
    shows_own_errors: bool = False


@dataclass(slots=True, kw_only=True)
class Member:
    """One BalancerMember."""

    url: str
    parameters: Parameters
    place: Place


@dataclass(slots=True, kw_only=True)
class Balancer:
    """`balancer://NAME`: members, and what ProxySet, ProxyPass and <Proxy> say about it."""

    name: str
    place: Place
    members: list[Member] = field(default_factory=list)
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Who may get to the worker of a JkMount that stands in the same Location.

    Attributes:
        worker: its name.
        directive: Require, Allow and so on.
        words: its arguments.
        place: of it.
        is_free: it lets everybody in.
    """

    worker: str
    directive: str
    words: tuple[str, ...]
    place: Place
    is_free: bool


@dataclass(slots=True, kw_only=True)
class Server:
    """The main server or one virtual host.

    Attributes:
        place: of `<VirtualHost`; None for the main server.
        addresses: as written there.
        names: ServerName and ServerAlias, with their places.
        jk: JkMount and JkUnMount by their key, the last one counts.
        passes: in order.
        balancers: of mod_proxy, by lower-case name.
        map_file: JkMountFile.
        copies: JkMountCopy: of a virtual host On or Off, of the main server All or nothing.
        tls: what SSL* directives say, by lower-case name.
        shows_own_errors: ProxyErrorOverride.
        timeout_ms: ProxyTimeout.
    """

    place: Place | None = None
    addresses: tuple[str, ...] = ()
    names: list[tuple[str, Place]] = field(default_factory=list)
    jk: dict[str, Rule] = field(default_factory=dict)
    passes: list[Pass] = field(default_factory=list)
    balancers: dict[str, Balancer] = field(default_factory=dict)
    map_file: Setting | None = None
    copies: bool | None = None
    tls: dict[str, list[Setting]] = field(default_factory=dict)
    shows_own_errors: bool = False
    timeout_ms: Setting | None = None

    @property
    def is_main(self) -> bool:
        """It is no virtual host."""
        return self.place is None

    @property
    def is_tls(self) -> bool:
        """Browsers speak TLS with it."""
        engine = self.tls.get("sslengine", [])
        return bool(engine) and str(engine[-1].value).lower() != "off"

    @property
    def title(self) -> str:
        """As one would say it."""
        if self.is_main:
            return "the main server"
        return self.names[0][0] if self.names else f"<VirtualHost {' '.join(self.addresses)}>"


@dataclass(slots=True, kw_only=True)
class Draft:
    """Everything.

    Attributes:
        main: what stands in no virtual host.
        hosts: virtual hosts, in order.
        workers_file: path of JkWorkersFile, or of one that was given.
        lacks_workers: a JkWorkersFile is not here.
        properties: JkWorkerProperty, in order.
        containers: parameters of `<Proxy ajp://…>` by URL.
        settings: of sections of ajpd.toml, by section and key.
        attributes: of `[attributes]`.
        listens: addresses of Listen, with the protocol if one is written.
        environment: SetEnv.
        wanted: names of JkEnvVar with their defaults.
        guards: access to Locations with a JkMount.
        root: ServerRoot, for `$(ServerRoot)`.
    """

    main: Server = field(default_factory=Server)
    hosts: list[Server] = field(default_factory=list)
    workers_file: Setting | None = None
    lacks_workers: bool = False
    properties: list[Setting] = field(default_factory=list)
    containers: dict[str, Parameters] = field(default_factory=dict)
    settings: dict[str, dict[str, Setting]] = field(default_factory=dict)
    attributes: dict[str, Setting] = field(default_factory=dict)
    listens: list[tuple[str, str, Place]] = field(default_factory=list)
    environment: dict[str, Setting] = field(default_factory=dict)
    wanted: dict[str, tuple[str | None, Place]] = field(default_factory=dict)
    guards: list[Guard] = field(default_factory=list)
    root: str = ""

    def set(self, section: str, key: str, setting: Setting) -> None:
        """Keep a key of a section; what was there is replaced."""
        self.settings.setdefault(section, {})[key] = setting

    def balancer(self, server: Server, name: str) -> Balancer | None:
        """The balancer that counts in a server: its own, or that of the main server."""
        for each in (server, self.main):
            found = each.balancers.get(name.lower())
            if found is not None and found.members:
                return found
        return None

    @property
    def servers(self) -> list[Server]:
        """The main server and all others."""
        return [self.main, *self.hosts]
