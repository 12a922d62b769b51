"""The configuration as the rest of the daemon sees it: frozen, typed, one unit.

Law: all times are milliseconds and say so in their names; all defaults are filled in; a value
that made it into these classes needs no further check. Secrets are never part of a repr.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Literal

from ajp.dial import address_text
from ajp.lb import Activation, Extension, Member, Method, Probing, Settings

from .addresses import ListenAddress
from .errors import ConfigWarning, Place

__all__ = [
    "CPING_IDLE_MS",
    "AttributeRule",
    "BalancerConfig",
    "Config",
    "HostConfig",
    "KeyPair",
    "ListenAddress",
    "LogConfig",
    "LogLevel",
    "MapConfig",
    "MemberConfig",
    "MetricsConfig",
    "Mount",
    "MountSource",
    "Naming",
    "PageConfig",
    "ProbeConfig",
    "Scheduling",
    "ServerConfig",
    "StatusConfig",
    "TableConfig",
    "TlsConfig",
    "WorkerConfig",
]

#: prepost_timeout applies to pooled connections that were idle for longer than this.
CPING_IDLE_MS: Final = 1000

LogLevel = Literal["debug", "info", "warning", "error"]
Naming = Literal["off", "create", "trusted", "any"]
Scheduling = Literal["batch", "normal"]
ForwardURI = Literal["proxy", "compat", "compat_unparsed", "escaped"]
ForwardedHeaders = Literal["auto", "x-forwarded", "forwarded", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeConfig:
    """How a container is looked after.

    Attributes:
        kind: `off`; `cping`; or `request`, which is a CPING and a page.
        interval_ms: between two probes.
        timeout_ms: for connecting, and as long for the answer.
        freeze_timeout_ms: silence after which the container is frozen; 0 it never is.
        method: of the request for the page.
        uri: path and query of the page; empty unless there is one.
        statuses: ranges of good answers, both ends included.
    """

    kind: Literal["off", "cping", "request"] = "off"
    interval_ms: int = 1000
    timeout_ms: int = 2000
    freeze_timeout_ms: int = 1000
    method: Literal["GET", "HEAD"] = "GET"
    uri: str = ""
    statuses: tuple[tuple[int, int], ...] = ((200, 399),)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """One container reached over AJP13.

    Attributes:
        name: of the worker.
        type: always `ajp13` in this version.
        host: name or address without brackets, or `unix:/path`.
        port: TCP port; means nothing for a Unix socket.
        secret: what the connector expects, as bytes on the wire, or None; maybe that of its
            balancer.
        max_packet_size: bytes, a multiple of 1024 in 8192..65536.
        connection_pool_size: most connections of one process.
        connection_pool_minsize: idle connections that are not closed for their age.
        connection_pool_timeout_ms: idle age at which a connection is closed; 0 never.
        connection_acquire_timeout_ms: longest wait for a free connection; 0 does not wait.
        busy_limit: most requests of one process at a time; 0 is no limit.
        socket_timeout_ms: longest wait for bytes of a response without reply_timeout, and for
            the container to take what is sent to it; 0 is no limit.
        socket_connect_timeout_ms: longest TCP connect; 0 leaves it to the operating system.
        socket_keepalive: TCP keep-alive.
        socket_buffer: bytes of the system's send and receive buffers; 0 leaves them to it.
        source: local name or address that connections start from; empty for any.
        prefer_ipv6: order of addresses when the name has both families.
        connect_timeout_ms: longest wait for the CPONG after connecting; 0 sends no CPING.
        prepost_timeout_ms: the same before reusing a connection idle for longer than
            CPING_IDLE_MS; 0 sends no CPING.
        ping_timeout_ms: as written; already part of the two above where ping_mode says so.
        connection_ping_interval_ms: silence of an idle connection after which it gets a CPING
            with ping_timeout_ms; 0 none.
        ping_mode: letters out of `CPI`, in that order.
        reply_timeout_ms: longest wait for each packet of a response; 0 is no limit.
        retries: attempts of one request, 1 or more, the first included.
        retry_interval_ms: pause before another attempt, unless an idle connection was to blame.
        recovery_options: sum of mod_jk's bits; None when nothing is written.
        fail_on_status: statuses that are failures, in order; negative ones are soft.
        replay_buffer: bytes of a request's body that are kept to send them again.
        probe: how it is looked after.
        place: where the worker begins in its file.
    """

    name: str
    type: Literal["ajp13"] = "ajp13"
    host: str
    port: int
    secret: bytes | None = field(default=None, repr=False)
    max_packet_size: int
    connection_pool_size: int
    connection_pool_minsize: int
    connection_pool_timeout_ms: int
    connection_acquire_timeout_ms: int
    busy_limit: int = 0
    socket_timeout_ms: int = 0
    socket_connect_timeout_ms: int
    socket_keepalive: bool
    socket_buffer: int = 0
    source: str = ""
    prefer_ipv6: bool
    connect_timeout_ms: int
    prepost_timeout_ms: int
    ping_timeout_ms: int
    ping_mode: str
    connection_ping_interval_ms: int = 0
    reply_timeout_ms: int
    retries: int
    retry_interval_ms: int = 100
    recovery_options: int | None = None
    fail_on_status: tuple[int, ...] = ()
    replay_buffer: int = 0
    probe: ProbeConfig = ProbeConfig()
    place: Place = field(compare=False, repr=False)

    @property
    def address(self) -> str:
        """Host and port as one would type them."""
        return address_text(self.host, self.port)

    @property
    def is_off(self) -> bool:
        """Whether port 0 switches it off, so that nobody can be reached."""
        return self.port == 0 and self.unix_path is None

    @property
    def unix_path(self) -> str | None:
        """Path of the container's Unix socket, or None when it is reached over TCP."""
        return self.host.removeprefix("unix:") if self.host.startswith("unix:") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberConfig:
    """A container as a member of a balancer.

    Attributes:
        name: of its worker.
        worker: how the container is reached. The same object in every balancer that has this
            member, and in `Config.workers` if it is there as well.
        lbfactor: share of the work, 1 or more.
        distance: members with a smaller one come first, 0 or more.
        route: jvmRoute of the container; no two members of a balancer have the same.
        domain: of members that share sessions; empty for none.
        redirect: route of the member that takes over first; empty for none.
        activation: to begin with.
    """

    name: str
    worker: WorkerConfig
    lbfactor: int = 1
    distance: int = 0
    route: str
    domain: str = ""
    redirect: str = ""
    activation: Activation = Activation.ACTIVE

    @property
    def member(self) -> Member:
        """What `ajp.lb.Balancer` has to know about it."""
        return Member(
            name=self.name,
            lbfactor=self.lbfactor,
            distance=self.distance,
            route=self.route,
            domain=self.domain,
            redirect=self.redirect,
            activation=self.activation,
            probing=Probing.OFF if self.worker.is_off else Probing(self.worker.probe.kind),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerConfig:
    """A worker of type `lb`: several containers behind one name.

    Attributes:
        name: of the worker.
        members: 1 to 64, in the order in which they were written; no name and no route is twice.
        method: how members are compared.
        lock: "Pessimistic" lets one process at a time elect, "Optimistic" any number.
        sticky_session: a session goes to the member that made it.
        sticky_session_force: it may go to no other.
        session_cookie: name of the cookie with the session id.
        session_path: name of the path parameter with the session id, semicolon included.
        set_session_cookie: the balancer tells the client the route itself.
        session_cookie_path: path of that cookie.
        retries: rounds of one request, 1 or more.
        lb_retries: most members tried in one round, 1 or more.
        retry_interval_ms: pause between two rounds.
        recover_time_ms: since its last error, until a failed member is tried again.
        slow_start_ms: over which a member that came back gets its share; 0 at once.
        error_escalation_time_ms: how long errors are tolerated; 0 not at all.
        max_reply_timeouts: reply timeouts, halved at each maintenance, that are tolerated.
        maintain_ms: between two maintenances; 0 none, ever.
        place: where the worker begins in its file.
    """

    name: str
    members: tuple[MemberConfig, ...]
    method: Method = Method.REQUEST
    lock: Literal["Optimistic", "Pessimistic"] = "Optimistic"
    sticky_session: bool = True
    sticky_session_force: bool = False
    session_cookie: str = "JSESSIONID"
    session_path: str = ";jsessionid"
    set_session_cookie: bool = False
    session_cookie_path: str = "/"
    retries: int = 2
    lb_retries: int = 2
    retry_interval_ms: int = 100
    recover_time_ms: int = 60_000
    slow_start_ms: int = 10_000
    error_escalation_time_ms: int = 30_000
    max_reply_timeouts: int = 0
    maintain_ms: int = 60_000
    place: Place = field(compare=False, repr=False)

    @property
    def settings(self) -> Settings:
        """What `ajp.lb.Balancer` has to know about it."""
        return Settings(
            method=self.method,
            sticky_session=self.sticky_session,
            sticky_session_force=self.sticky_session_force,
            session_cookie=self.session_cookie,
            session_path=self.session_path,
            set_session_cookie=self.set_session_cookie,
            session_cookie_path=self.session_cookie_path,
            retries=self.retries,
            lb_retries=self.lb_retries,
            retry_interval_ms=self.retry_interval_ms,
            recover_time_s=self.recover_time_ms / 1000,
            slow_start_s=self.slow_start_ms / 1000,
            error_escalation_time_s=self.error_escalation_time_ms / 1000,
            max_reply_timeouts=self.max_reply_timeouts,
            maintain_s=self.maintain_ms / 1000,
            is_pessimistic=self.lock == "Pessimistic",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusConfig:
    """A worker of type `status`: a page about all other workers.

    A rating is a number of 24 bits, as in mod_jk. Its lowest byte is for active members, the next
    one for disabled, the third for stopped ones; in each byte, bits 0 to 4 are for the states OK,
    idle, busy, recovering (forced and probed ones too) and error.

    Attributes:
        name: of the worker.
        css: address of a style sheet; empty for none.
        read_only: nothing can be changed.
        users: who may see it; empty for everybody.
        user_case_insensitive: their case does not count.
        good: rating of members that are well; where `bad` has a bit too, that counts.
        bad: rating of members that are not.
        prefix: what keys of the output as properties begin with.
        ns: what names of XML elements begin with; maybe empty.
        xmlns: attribute of the root element; maybe empty.
        doctype: text behind the XML declaration; maybe empty.
        place: where the worker begins in its file.
    """

    name: str
    css: str = ""
    read_only: bool = False
    users: tuple[str, ...] = ()
    user_case_insensitive: bool = False
    good: int = 0x00000F
    bad: int = 0xFF1010
    prefix: str = "worker"
    ns: str = "jk:"
    xmlns: str = 'xmlns:jk="http://tomcat.apache.org"'
    doctype: str = ""
    place: Place = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageConfig:
    """Who may see status pages and change things there, whichever worker they are.

    Attributes:
        allow: networks, and words that `TrustedProxies` knows.
        read_only: nothing can be changed.
        allow_get: programs on this machine may change things by GET, without a token.
    """

    allow: tuple[str, ...] = ("loopback",)
    read_only: bool = False
    allow_get: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """The side that faces the browsers. Times of 0 are no limit, and so is max_body_bytes 0.

    max_connections 0 is as many as there are file descriptors for; error_pages is a directory
    or empty; reply_timeout_header is in lower case or empty. user, group and pid_file may be
    empty; if not, the first two exist on this machine.
    """

    listen: tuple[ListenAddress, ...]
    header_timeout_ms: int
    keepalive_timeout_ms: int
    body_timeout_ms: int
    send_timeout_ms: int
    max_header_bytes: int
    max_body_bytes: int
    max_connections: int
    trusted_proxies: tuple[str, ...]
    forwarded_headers: ForwardedHeaders
    forward_uri: ForwardURI
    reply_timeout_header: str
    error_pages: str
    shutdown_timeout_ms: int
    request_id: Naming = "off"
    traceparent: Naming = "off"
    processes: int = 1
    hang_timeout_ms: int = 20_000
    scheduling: Scheduling = "batch"
    user: str = ""
    group: str = ""
    pid_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Where messages go; an empty file name means standard error.

    Attributes:
        level: least severe one.
        file: of messages.
        access: file of the access log, `-` for standard output, or empty for none.
        access_format: of its lines.
    """

    level: LogLevel = "info"
    file: str = ""
    access: str = ""
    access_format: str = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """Where metrics can be fetched.

    Attributes:
        listen: addresses, none of them for clients; empty: nobody can fetch any.
        path: begins with a slash.
        allow: networks and words, as `TrustedProxies` takes them.
    """

    listen: tuple[ListenAddress, ...] = ()
    path: str = "/metrics"
    allow: tuple[str, ...] = ("loopback",)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableConfig:
    """Where the status table is, empty for the usual place; and its journal, empty for none."""

    file: str = ""
    journal: str = ""


class MountSource(IntEnum):
    """Where a rule was written; the higher one is tried first among rules of equal rank."""

    WORKER = 1
    MOUNT = 2
    FILE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One rule of the URI map.

    Attributes:
        pattern: bytes compared with the normalised path; `*` is any run, `?` any one byte.
        worker: name of the worker; `*` in an exclusion means every worker.
        is_exclusion: a match of this rule takes back the match of another.
        is_disabled: kept for display, never matches.
        reply_timeout_ms: instead of the worker's; 0 no limit; None the worker's.
        fail_on_status: instead of the worker's; None the worker's.
        use_server_errors: answers of this status and above are replaced by pages of our own; 0
            none.
        extension: what the rule says to its balancer, activations included; None when it says
            nothing, and where the worker is no balancer.
        overrides: members that have another activation in requests of this rule, as written.
        source: kind of place it was written in.
        place: where it was written.
    """

    pattern: bytes
    worker: str
    is_exclusion: bool = False
    is_disabled: bool = False
    reply_timeout_ms: int | None = None
    fail_on_status: tuple[int, ...] | None = None
    use_server_errors: int = 0
    extension: Extension | None = None
    overrides: tuple[tuple[str, Activation], ...] = ()
    source: MountSource = MountSource.FILE
    place: Place = field(default=Place(""), compare=False)

    @property
    def is_exact(self) -> bool:
        """The pattern has no wildcard."""
        return b"*" not in self.pattern and b"?" not in self.pattern

    def __str__(self) -> str:
        marks = ("-" if self.is_disabled else "") + ("!" if self.is_exclusion else "")
        return f"{marks}{self.pattern.decode('utf-8', 'backslashreplace')}={self.worker}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """Rules for requests that ask for some names, and for no others.

    Attributes:
        name: of its section.
        names: all of them, in lower case; `*.example.org` is every name that ends so.
        rules: its own; see `hosts.rules_of`.
        file: path of its URI map; empty for none.
        mount_copy: the rules for all other names count here too.
        place: where its section begins.
    """

    name: str
    names: tuple[str, ...]
    rules: tuple[Mount, ...] = ()
    file: str = ""
    mount_copy: bool = False
    place: Place = field(default=Place(""), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapConfig:
    """Where rules are read from, besides ajpd.toml.

    Attributes:
        file: path of the URI map for every name that no host has; empty for none.
        reload_ms: how often URI maps are looked at; 0 never.
    """

    file: str = ""
    reload_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate with its chain, and the key to it; paths of PEM files, maybe the same."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """Connections that begin with a TLS handshake. Files are paths, their content was checked.

    Attributes:
        listen: addresses, none of them in `ServerConfig.listen`.
        pairs: one or more; the first one is for clients that ask for no name, or for one that
            no certificate has.
        client_ca: authorities of clients' certificates; empty when none are asked for.
        client_verify: whether clients are asked for a certificate.
        client_chain: containers get the chain of a client's certificate too.
        min_version: oldest version of TLS.
        ciphers: of TLS 1.2, in OpenSSL's notation; empty for the library's.
        remote_user: field of the client's certificate that names the remote user, as
            `client_certificate.field_named` returns it; empty for none.
        reload_ms: how often the files are looked at; 0 never.
    """

    listen: tuple[ListenAddress, ...]
    pairs: tuple[KeyPair, ...]
    client_ca: str = ""
    client_verify: Literal["none", "optional", "require"] = "none"
    client_chain: bool = False
    min_version: Literal["1.2", "1.3"] = "1.2"
    ciphers: str = ""
    remote_user: bytes = b""
    reload_ms: int = 60_000

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that the contexts are made of, each once."""
        found = [file for pair in self.pairs for file in (pair.certificate, pair.key)]
        return tuple(dict.fromkeys(found + ([self.client_ca] if self.client_ca else [])))


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeRule:
    """One request attribute for the containers.

    Attributes:
        name: of the attribute, as the servlet asks for it.
        source: where its value comes from.
        key: name of the request header, in lower case; field of the client's certificate, as
            `client_certificate.field_named` returns it; the constant; or `id` or `trace`.
        default: what is sent when there is no such header or field; None sends nothing.
        place: where it was written.
    """

    name: bytes
    source: Literal["header", "certificate", "value", "request"]
    key: bytes
    default: bytes | None = None
    place: Place = field(default=Place(""), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole configuration, checked.

    Attributes:
        server: the side that faces the browsers.
        workers: workers of type ajp13 that rules may name, in the order of worker.list.
        balancers: those of type lb, in the same order.
        statuses: those of type status, in the same order.
        page: who may see them.
        properties: names and values of all settings of workers as they were loaded, references
            followed; in the notation of workers.properties.
        rules: all rules for names that no host has, in the order they were written; `UriMap`
            puts them in the order they are tried.
        hosts: those with rules of their own, in the order they were written.
        maps: where rules are read from.
        log: where messages go.
        table: where the status table is.
        metrics: where metrics can be fetched.
        tls: connections over TLS; None when nobody listens for them.
        attributes: request attributes for the containers, in the order they were written.
        warnings: what was found while reading and is no error.
        files: every file that was read, to watch or to show.
    """

    server: ServerConfig
    workers: Mapping[str, WorkerConfig] = field(default_factory=dict)
    balancers: Mapping[str, BalancerConfig] = field(default_factory=dict)
    statuses: Mapping[str, StatusConfig] = field(default_factory=dict)
    page: PageConfig = PageConfig()
    properties: tuple[tuple[str, str], ...] = field(default=(), repr=False, compare=False)
    rules: tuple[Mount, ...] = ()
    hosts: tuple[HostConfig, ...] = ()
    maps: MapConfig = MapConfig()
    log: LogConfig = LogConfig()
    table: TableConfig = TableConfig()
    metrics: MetricsConfig = MetricsConfig()
    tls: TlsConfig | None = None
    attributes: tuple[AttributeRule, ...] = ()
    warnings: tuple[ConfigWarning, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def containers(self) -> Mapping[str, WorkerConfig]:
        """Every container by its worker's name: those that rules name, and balancers' members."""
        members = [m.worker for balancer in self.balancers.values() for m in balancer.members]
        return {worker.name: worker for worker in (*self.workers.values(), *members)}
