"""A connector and its workers, held against each other; each difference is one finding.

An error is what breaks requests for certain, a warning what breaks some, or one day. Each says what
the attribute of the Connector or the Engine would have to be. Secrets are never shown.

Source: Tomcat `AbstractAjpProtocol` (defaults and least values), `AjpProcessor`,
`AbstractEndpoint`; Tomcat documentation "The AJP Connector".
"""

import re
import warnings
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from ajpd.config.attributes import tomcat_pattern
from ajpd.config.errors import Findings, suggest
from ajpd.config.model import Config, WorkerConfig

from .pairs import Pair, port_of, socket_of
from .server_xml import Attribute, Element, number_of

__all__ = ["compare"]

AJP: Final = "AJP/1.3"
PACKET_SIZE: Final = 8192
MAX_THREADS: Final = 200
MAX_CONNECTIONS: Final = 8192
#: A timeout of less milliseconds was meant in seconds.
_LEAST_MS: Final = 1000

#: What is compared here, and its neighbours, for names that are nearly one of them.
_KNOWN: Final = frozenset(
    (
        *("address", "ajpFlush", "allowedRequestAttributesPattern", "connectionTimeout"),
        *("executor", "keepAliveTimeout", "maxConnections", "maxThreads", "minSpareThreads"),
        *("packetSize", "port", "portOffset", "protocol", "secret", "secretRequired"),
        *("tomcatAuthentication", "tomcatAuthorization", "unixDomainSocketPath", "URIEncoding"),
        *("maxHeaderCount", "maxParameterCount", "maxPostSize", "maxSavePostSize", "acceptCount"),
        *("redirectPort", "proxyName", "proxyPort", "scheme", "secure", "useIPVHosts"),
        *("maxCookieCount", "processorCache", "connectionLinger", "tcpNoDelay", "bindOnInit"),
        *("clientCertProvider", "useBodyEncodingForURI", "enableLookups", "xpoweredBy"),
        *(
            "requiredSecret",
            "maxPartCount",
            "maxPartHeaderSize",
            "maxQueueSize",
            "parseBodyMethods",
            "asyncTimeout",
            "allowTrace",
            "unixDomainSocketPathPermissions",
        ),
    )
)
_HTTP_ONLY: Final = frozenset(
    ("maxHttpHeaderSize", "maxHttpRequestHeaderSize", "maxHttpResponseHeaderSize")
)


def compare(config: Config, pair: Pair, findings: Findings) -> None:
    """Find everything in which a connector and its workers do not agree."""
    _Comparison(config, pair, findings).run()


class _Comparison:
    """One connector and its workers."""

    def __init__(self, config: Config, pair: Pair, findings: Findings) -> None:
        self._config = config
        self._pair = pair
        self._findings = findings
        self._connector: Element = pair.connector.element
        self._worker: WorkerConfig = pair.workers[0]

    def run(self) -> None:
        self._names()
        self._port()
        self._address()
        self._secret()
        self._packet_size()
        self._attributes()
        self._remote_user()
        self._route()
        self._threads()
        self._connections()
        self._idle()
        self._encoding()

    # --- words ------------------------------------------------------------------------------------

    def _say(self, say: Callable[..., None], name: str, what: str, fix: str) -> None:
        tail = f"; write {fix}" if fix else ""
        say(self._connector.where(name), f"{self._pair.names}: {what}{tail}", directive=name)

    def _error(self, name: str, what: str, fix: str = "") -> None:
        self._say(self._findings.error, name, what, fix)

    def _warn(self, name: str, what: str, fix: str = "") -> None:
        self._say(self._findings.warn, name, what, fix)

    def _is_known(self, element: Element, name: str) -> bool:
        """Whether the value of an attribute is known, if it is there; if not, it is said."""
        found = element.get(name)
        if found is None or found.value is not None:
            return True
        properties = ", ".join(re.findall(r"\$\{([^{}:]+)", found.raw))
        self._findings.warn(
            found.place,
            f"{self._pair.names}: {name} is {found.raw}, which only that Tomcat knows: say it with "
            f"--property {properties.partition(',')[0]}=…",
            directive=name,
        )
        return False

    def _number(self, element: Element, name: str, default: int) -> int | None:
        """Value of a number; None when it is not known."""
        if not self._is_known(element, name):
            return None
        text = element.text(name, str(default)) or ""
        found = number_of(text)
        if found is None:
            what = f"{name}: {text!r} is no number"
            self._findings.error(element.where(name), what, directive=name)
        return found

    def _switch(self, name: str, *, default: bool) -> bool | None:
        """Value of a boolean, for which Tomcat knows one word only; None when it is not known."""
        if not self._is_known(self._connector, name):
            return None
        text = (self._connector.text(name, str(default)) or "").lower()
        if text not in ("true", "false"):
            self._warn(name, f"{name}={text!r} is neither true nor false, and counts as false")
        return text == "true"

    # --- names ------------------------------------------------------------------------------------

    def _names(self) -> None:
        """Attributes that Tomcat does not know are ignored, but for a line in its log."""
        for name, attribute in self._connector.attributes.items():
            if name in _HTTP_ONLY:
                size = self._worker.max_packet_size
                what = f"{name} means nothing to AJP: heads have to fit into packetSize"
                self._findings.warn(
                    attribute.place, f"{self._pair.names}: {what} ({size} here)", directive=name
                )
            elif name not in _KNOWN and (hint := self._meant(name)):
                self._findings.warn(
                    attribute.place,
                    f"{self._pair.names}: Tomcat knows no {name} and ignores it",
                    directive=name,
                    hint=hint,
                )
        protocol = self._connector.text("protocol") or ""
        if protocol != AJP and protocol.lower() == AJP.lower():
            what = f"protocol {protocol} is the name of a class to Tomcat, which it does not find"
            self._error("protocol", what, f'protocol="{AJP}"')
        old = self._connector.get("requiredSecret")
        if old is not None:
            what = "requiredSecret is the old name of secret"
            self._warn("requiredSecret", what, 'secret="…"')

    def _meant(self, name: str) -> str:
        folded = {known.lower(): known for known in _KNOWN}
        return folded.get(name.lower()) or suggest(name, _KNOWN)

    # --- reaching it ------------------------------------------------------------------------------

    def _port(self) -> None:
        worker, path = self._worker, socket_of(self._pair.connector)
        if worker.unix_path is not None:
            if path != worker.unix_path:
                fix = f'unixDomainSocketPath="{worker.unix_path}"'
                self._error("unixDomainSocketPath", f"looks for the socket {worker.unix_path}", fix)
        elif path is not None:
            what = f"looks for port {worker.port}, and this connector listens on a Unix socket only"
            self._error("unixDomainSocketPath", what, f'port="{worker.port}"')
        elif self._is_known(self._connector, "port"):
            port = port_of(self._pair.connector)
            if port is None or port < 1:
                self._error("port", "this connector has no port", f'port="{worker.port}"')
            elif port != worker.port:
                what = f"looks for port {worker.port}, and this connector listens on {port}"
                self._error("port", what, f'port="{worker.port}"')

    def _address(self) -> None:
        """Where it listens, and where it is looked for; without address that is the loopback."""
        if self._worker.unix_path is not None or not self._is_known(self._connector, "address"):
            return
        text = self._connector.text("address") or ""
        bound, sought = _ip(text or "127.0.0.1"), _ip(self._worker.host)
        if bound is None or bound.is_unspecified:
            return
        what = f"looks for {self._worker.host}, and this connector listens on {text or bound} alone"
        if sought is not None:
            if sought == bound:
                return
            if bound.is_loopback or sought.is_loopback:
                self._error("address", what, f'address="{sought}"')
            else:
                self._warn("address", f"{what}, unless addresses are translated between them")
        elif self._worker.host == "localhost":
            if not bound.is_loopback:
                self._error("address", what, 'address="127.0.0.1"')
        elif bound.is_loopback:
            what = f"{what}: reached from that machine only"
            self._warn("address", what, f'address="…" with the address of {self._worker.host}')

    # --- being let in -----------------------------------------------------------------------------

    def _secret(self) -> None:
        name = "secret" if self._connector.get("secret") else "requiredSecret"
        if not self._is_known(self._connector, name):
            return
        theirs = self._connector.text(name) or ""
        required = self._switch("secretRequired", default=True)
        for worker in self._pair.workers:
            ours = worker.secret or b""
            if theirs and not ours:
                what = f"worker {worker.name} sends no secret and this connector wants one: all 403"
                self._findings.error(
                    self._connector.where(name),
                    f"{what}; write the connector's secret at {worker.place}, secret = …",
                    directive="secret",
                )
            elif theirs and theirs.encode() != ours:
                what = f"another secret than that of worker {worker.name}: all requests get 403"
                self._error(name, what, f'secret="…" with that of worker {worker.name}')
        if not theirs and required:
            what = "without a secret this connector answers nothing: secretRequired is true"
            has_one = any(worker.secret for worker in self._pair.workers)
            fix = f'secret="…" with that of worker {self._worker.name}' if has_one else ""
            self._error("secretRequired", what, fix or 'secret="…", here and in the worker')
        elif not theirs and required is not None:
            self._open_door()

    def _open_door(self) -> None:
        """Whoever reaches a connector without a secret is believed everything."""
        address = _ip(self._connector.text("address") or "127.0.0.1")
        if self._worker.unix_path is not None or (address is not None and address.is_loopback):
            return
        what = "no secret, so whoever reaches this port may say who he is, and is believed"
        self._warn("secretRequired", what, 'secret="…", here and in the worker')

    def _packet_size(self) -> None:
        written = self._number(self._connector, "packetSize", PACKET_SIZE)
        if written is None:
            return
        theirs, ours = max(written, PACKET_SIZE), self._worker.max_packet_size
        if theirs != written:
            self._warn("packetSize", f"packetSize {written} counts as {PACKET_SIZE}, the least")
        fix = f'packetSize="{ours}"'
        if theirs < ours:
            what = f"max_packet_size is {ours}, packetSize {theirs}: larger heads and uploads fail"
            self._error("packetSize", what, fix)
        elif theirs > ours:
            what = f"max_packet_size is {ours}, packetSize {theirs}: large answers break off"
            self._error("packetSize", what, fix)

    # --- being told -------------------------------------------------------------------------------

    def _attributes(self) -> None:
        name = "allowedRequestAttributesPattern"
        names = [rule.name.decode() for rule in self._config.attributes]
        if not names or not self._is_known(self._connector, name):
            return
        pattern = self._connector.text(name) or ""
        fix = f'{name}="{tomcat_pattern(self._config.attributes)}"'
        try:
            refused = _refused(pattern, names)
        except (re.error, FutureWarning) as exc:
            self._warn(name, f"cannot be compared with [attributes]: {exc}", fix)
            return
        if refused:
            what = f"{', '.join(refused)} of [attributes] is not allowed: requests with it get 403"
            self._error(name, what, fix)

    def _remote_user(self) -> None:
        sends = self._config.tls is not None and bool(self._config.tls.remote_user)
        own = self._switch("tomcatAuthentication", default=True)
        authorizes = self._switch("tomcatAuthorization", default=False)
        if sends and own and authorizes is False:
            what = "remote_user of [tls] is sent, and Tomcat does not look at it"
            self._warn("tomcatAuthentication", what, 'tomcatAuthentication="false"')

    def _route(self) -> None:
        """The routes that balancers look for; Tomcat ends its session ids with jvmRoute."""
        engine = self._pair.connector.engine
        if engine is None or not self._pair.routes or not self._is_known(engine, "jvmRoute"):
            return
        theirs = engine.text("jvmRoute") or ""
        for balancer, route in self._pair.routes:
            if theirs == route:
                continue
            where, fix = engine.where("jvmRoute"), f'<Engine … jvmRoute="{route}">'
            if theirs:
                what = f"route {route} in balancer {balancer}, and jvmRoute is {theirs}"
                why = "sessions made here are not found again"
                self._findings.error(
                    where, f"{self._pair.names}: {what}: {why}; write {fix}", directive="jvmRoute"
                )
            else:
                what = f"route {route} in balancer {balancer}, and the Engine has no jvmRoute"
                why = "unless java is started with -DjvmRoute, sessions are not sticky"
                self._findings.error(
                    where, f"{self._pair.names}: {what}: {why}; write {fix}", directive="jvmRoute"
                )

    # --- how much, and how long -------------------------------------------------------------------

    def _most_connections(self) -> tuple[int, str]:
        """That all processes may have to this container, and how they come about."""
        pools = sum(worker.connection_pool_size for worker in self._pair.workers)
        processes = self._config.server.processes
        words = f"connection_pool_size {pools} in {processes} process{'es' * (processes > 1)}"
        return pools * processes, words

    def _threads(self) -> None:
        executor = self._pair.connector.executor
        if executor is not None and executor.get("className"):
            return  # one of its own kind, which may have any number of threads
        element = self._connector if executor is None else executor
        theirs = self._number(element, "maxThreads", MAX_THREADS)
        ours, words = self._most_connections()
        limits = [worker.busy_limit for worker in self._pair.workers]
        if all(limits):
            ours = min(ours, sum(limits))
        if theirs is None or theirs < 1 or ours <= theirs:
            return
        what = f"{ours} requests at a time ({words}), and maxThreads is {theirs}"
        fix = f'maxThreads="{ours}", or busy_limit = {theirs} in the worker'
        self._findings.warn(
            element.where("maxThreads"),
            f"{self._pair.names}: up to {what}: the rest waits in Tomcat; write {fix}",
            directive="maxThreads",
        )

    def _connections(self) -> None:
        theirs = self._number(self._connector, "maxConnections", MAX_CONNECTIONS)
        most, words = self._most_connections()
        # Each container is probed over a connection besides.
        ours = most + 1
        if theirs is not None and 0 <= theirs < ours:
            what = f"{ours} connections ({words}, and a probe), and maxConnections is {theirs}"
            why = "those beyond are not answered"
            self._warn("maxConnections", f"up to {what}: {why}", f'maxConnections="{ours}"')

    def _idle(self) -> None:
        """Who closes idle connections: it should be us, who know whether one is needed."""
        connecting = self._number(self._connector, "connectionTimeout", -1)
        if connecting is None:
            return
        keeping = self._number(self._connector, "keepAliveTimeout", connecting)
        for name, value in (("connectionTimeout", connecting), ("keepAliveTimeout", keeping)):
            if value is not None and 0 < value < _LEAST_MS and self._connector.get(name):
                self._warn(name, f"{name} {value} is in milliseconds", f'{name}="{value * 1000}"')
        if keeping is None or keeping < 0:
            return
        name = (
            "keepAliveTimeout" if self._connector.get("keepAliveTimeout") else "connectionTimeout"
        )
        for worker in self._pair.workers:
            ours, pinged = worker.connection_pool_timeout_ms, worker.connection_ping_interval_ms
            if 0 < ours <= keeping or 0 < pinged < keeping:
                continue
            when = f"after {ours} ms" if ours else "never"
            what = f"Tomcat closes idle connections after {keeping} ms, worker {worker.name}"
            fix = f'keepAliveTimeout="{ours}"' if ours else 'keepAliveTimeout="-1"'
            seconds = max(keeping // 1000, 1)
            self._warn(
                name, f"{what} {when}", f"{fix}, or connection_pool_timeout of {seconds} s there"
            )

    def _encoding(self) -> None:
        """Only where a rule has letters beyond ASCII does it matter how Tomcat reads them."""
        found: Attribute | None = self._connector.get("URIEncoding")
        if found is None or not self._is_known(self._connector, "URIEncoding"):
            return
        rules = [*self._config.rules, *(r for host in self._config.hosts for r in host.rules)]
        foreign = [rule for rule in rules if not rule.pattern.isascii()]
        if foreign and (found.value or "").lower().replace("-", "") != "utf8":
            rule = f"the rule {foreign[0]} ({foreign[0].place})"
            what = f"{rule} is compared as it is written, and Tomcat reads {found.value}"
            self._warn("URIEncoding", what, 'URIEncoding="UTF-8"')


def _refused(pattern: str, names: Iterable[str]) -> list[str]:
    """Names that a pattern of Java does not match, as far as it means the same here.

    Raises:
        re.error, FutureWarning: it does not.
    """
    with warnings.catch_warnings():
        # Such as && in a class, which Java knows and Python only reserves.
        warnings.simplefilter("error", FutureWarning)
        compiled = re.compile(pattern)
    return [name for name in names if not compiled.fullmatch(name)]


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    """An address; None where it is a name."""
    if text == "localhost":
        return None
    try:
        return ip_address(text.strip("[]"))
    except ValueError:
        return None
