"""Which connector belongs to which workers: by what was said, else by port, route and address."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ajpd.config.errors import Findings, Place, suggest
from ajpd.config.model import Config, WorkerConfig

from .server_xml import Connector, ServerXml, number_of

__all__ = ["Pair", "find_pairs", "port_of", "socket_of"]

_NO_PORT = -1
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One connector, and the workers that lead to it.

    Attributes:
        connector: of a server.xml.
        workers: one or more of one container.
        routes: of these, as members; with the name of each balancer.
    """

    connector: Connector
    workers: tuple[WorkerConfig, ...]
    routes: tuple[tuple[str, str], ...]

    @property
    def names(self) -> str:
        """The workers, for messages."""
        names = [worker.name for worker in self.workers]
        return f"worker {names[0]}" if len(names) == 1 else f"workers {', '.join(names)}"


def port_of(connector: Connector) -> int | None:
    """Where a connector listens, with the server's offset; None when that is not known."""
    text = connector.element.text("port", str(_NO_PORT))
    # A portOffset of the connector's own counts for nothing: the server's is set after it.
    offset = connector.server.text("portOffset", "0")
    if text is None or offset is None:
        return None
    port, shift = number_of(text), number_of(offset)
    return None if port is None or shift is None else port + shift


def socket_of(connector: Connector) -> str | None:
    """Path of the Unix socket on which a connector listens; None for none."""
    return connector.element.text("unixDomainSocketPath") or None


def find_pairs(
    config: Config, server: ServerXml, whose: str | None, findings: Findings
) -> list[Pair]:
    """Find the workers of each connector; what has none, or several, is an error.

    Args:
        config: of the daemon.
        server: of a Tomcat.
        whose: name of a worker whose Tomcat it is; None: not said.
        findings: of the whole check.
    """
    if not server.connectors:
        if not _speaks_http(config, server, whose, findings):
            _no_connector(config, server, whose, findings)
        return []
    if whose is not None:
        return _said(config, server, whose, findings)
    found = []
    lost: list[Connector] = []
    for connector in server.connectors:
        candidates = _narrowed(_containers(config, _leads_to(config, connector)), connector, config)
        if not candidates:
            lost.append(connector)
        elif len(candidates) > 1:
            _several(connector, candidates, server, findings)
        else:
            found.append(_pair(config, connector, candidates[0]))
    if not found and lost and not _speaks_http(config, server, whose, findings):
        for connector in lost:
            _nobody(config, connector, findings)
    return found


def _said(config: Config, server: ServerXml, whose: str, findings: Findings) -> list[Pair]:
    """The connector of a worker that was named."""
    worker = config.containers.get(whose)
    place = Place(server.file)
    if worker is None:
        hint = suggest(whose, config.containers)
        findings.error(place, f"{whose!r} is the name of no worker", hint=hint)
        return []
    same = next(c for c in _containers(config, config.containers.values()) if worker in c)
    reached = [c for c in server.connectors if _is_reached(worker, c)]
    is_elsewhere = any(_is_reached(worker, c) for c in server.others)
    if len(reached) == 1 or (len(server.connectors) == 1 and not is_elsewhere):
        return [_pair(config, (reached or server.connectors)[0], same)]
    if _speaks_http(config, server, whose, findings):
        return []
    ports = ", ".join(str(port_of(connector)) for connector in server.connectors)
    what = f"no AJP connector is at {worker.address}, where worker {whose} looks for it"
    findings.error(place, f"{what}: there are {ports}")
    return []


def _is_reached(worker: WorkerConfig, connector: Connector) -> bool:
    if worker.unix_path is not None:
        return worker.unix_path == socket_of(connector)
    return socket_of(connector) is None and worker.port == port_of(connector)


def _leads_to(config: Config, connector: Connector) -> list[WorkerConfig]:
    return [worker for worker in config.containers.values() if _is_reached(worker, connector)]


def _containers(config: Config, workers: Iterable[WorkerConfig]) -> list[tuple[WorkerConfig, ...]]:
    """Workers side by side that lead to one address."""
    found: dict[tuple[str, int], list[WorkerConfig]] = {}
    for worker in workers:
        host = "localhost" if worker.host in _LOOPBACK else worker.host
        found.setdefault((host, worker.port), []).append(worker)
    return [tuple(same) for same in found.values()]


def _narrowed(
    containers: list[tuple[WorkerConfig, ...]], connector: Connector, config: Config
) -> list[tuple[WorkerConfig, ...]]:
    """Of several containers on one port, the one with the route, or else the address, of Tomcat."""
    if len(containers) < 2:
        return containers
    route = "" if connector.engine is None else connector.engine.text("jvmRoute")
    by_route = [c for c in containers if route in {text for _, text in _routes(config, c)}]
    if len(by_route) == 1:
        return by_route
    address = connector.element.text("address")
    by_address = [c for c in containers if c[0].host == address]
    return by_address if len(by_address) == 1 else containers


def _routes(config: Config, workers: Sequence[WorkerConfig]) -> list[tuple[str, str]]:
    """Balancers with these as members, and the routes there; those where a route counts."""
    names = {worker.name for worker in workers}
    return [
        (balancer.name, member.route)
        for balancer in config.balancers.values()
        for member in balancer.members
        if member.worker.name in names and balancer.sticky_session and len(balancer.members) > 1
    ]


def _pair(config: Config, connector: Connector, workers: tuple[WorkerConfig, ...]) -> Pair:
    return Pair(connector=connector, workers=workers, routes=tuple(_routes(config, workers)))


def _several(
    connector: Connector,
    candidates: list[tuple[WorkerConfig, ...]],
    server: ServerXml,
    findings: Findings,
) -> None:
    names = [workers[0].name for workers in candidates]
    findings.error(
        connector.element.where("port"),
        f"workers {', '.join(names)} all look for this port, and neither jvmRoute nor "
        f"address says whose Tomcat this is: say it with --server-xml {names[0]}={server.file}",
    )


def _nobody(config: Config, connector: Connector, findings: Findings) -> None:
    port = port_of(connector)
    places = ", ".join(f"{worker.name} {worker.address}" for worker in config.containers.values())
    what = f"no worker leads to this connector on port {port} ({places})"
    if port is None:
        what = f"the port of this connector is not known ({places})"
    fix = ""
    if len(config.containers) == 1 and port is not None:
        (worker,) = config.containers.values()
        fix = f'; write port="{worker.port}"'
    findings.error(connector.element.where("port"), f"{what}{fix}", directive="port")


def _speaks_http(config: Config, server: ServerXml, whose: str | None, findings: Findings) -> bool:
    """Whether workers look for a port where HTTP is spoken; that is an error, and said."""
    workers = [w for w in config.containers.values() if whose in (None, w.name)]
    found = [(w, other) for other in server.others for w in workers if _is_reached(w, other)]
    ports = [port for port in map(port_of, server.connectors) if port is not None]
    for worker, other in found:
        protocol = other.element.text("protocol", "HTTP/1.1") or "another protocol"
        what = f"looks for port {worker.port}, where {protocol} is spoken and not AJP"
        fix = f"; write port = {ports[0]} in the worker" if len(ports) == 1 else ""
        place = other.element.where("port")
        findings.error(place, f"worker {worker.name}: {what}{fix}", directive="port")
    return bool(found)


def _no_connector(config: Config, server: ServerXml, whose: str | None, findings: Findings) -> None:
    """Since the fixes for CVE-2020-1938, Tomcat ships its AJP connector in a comment."""
    worker = config.containers.get(whose or "")
    if worker is None and len(config.containers) == 1:
        (worker,) = config.containers.values()
    line = server.commented
    what = "no connector speaks AJP"
    if line is not None:
        what = f"{what}: the one of protocol AJP/1.3 stands in a comment"
    findings.error(Place(server.file, line), f"{what}; write {_whole(worker)}")


def _whole(worker: WorkerConfig | None) -> str:
    """A connector that fits a worker."""
    port = 8009 if worker is None else worker.port
    size = 8192 if worker is None else worker.max_packet_size
    words = [f'port="{port}"', 'address="…"']
    if worker is not None and worker.unix_path is not None:
        words = [f'unixDomainSocketPath="{worker.unix_path}"']
    words += [f'packetSize="{size}"'] if size != 8192 else []
    is_secret = worker is None or worker.secret is not None
    words.append('secret="…"' if is_secret else 'secretRequired="false"')
    return f'<Connector protocol="AJP/1.3" {" ".join(words)} />'
