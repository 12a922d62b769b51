"""Two Tomcats behind one balancer, and browsers that keep their cookies."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ajp.table import Table
from ajpd.control import ControlError, ask_table

from .daemon import AJPD_PYTHON, ROOT, START_TIMEOUT, Daemon
from .front import Front
from .processes import ServerProcess, free_port
from .rawhttp import Client, Header, Response, build
from .tomcat import Connector, Tomcat, TomcatOptions

__all__ = ["NODES", "BalancedDaemon", "Browser", "ClusteredTomcat", "node_options", "operate"]

NODES = ("nodeA", "nodeB")

_CLUSTER = """\
      <Cluster className="org.apache.catalina.ha.tcp.SimpleTcpCluster" channelSendOptions="6"
               channelStartOptions="3">
        <Manager className="org.apache.catalina.ha.session.DeltaManager"
                 notifyListenersOnReplication="true" stateTransferTimeout="5" />
        <Channel className="org.apache.catalina.tribes.group.GroupChannel">
          <Receiver className="org.apache.catalina.tribes.transport.nio.NioReceiver"
                    address="127.0.0.1" port="{own}" autoBind="0" />
          <Sender
              className="org.apache.catalina.tribes.transport.ReplicationTransmitter">
            <Transport
                className="org.apache.catalina.tribes.transport.nio.PooledParallelSender" />
          </Sender>
          <Interceptor className=
              "org.apache.catalina.tribes.group.interceptors.TcpPingInterceptor" />
          <Interceptor className=
              "org.apache.catalina.tribes.group.interceptors.TcpFailureDetector" />
          <Interceptor className=
              "org.apache.catalina.tribes.group.interceptors.StaticMembershipInterceptor">
            <Member className="org.apache.catalina.tribes.membership.StaticMember"
                    host="127.0.0.1" port="{other}" uniqueId="{{{other_id}}}" />
            <LocalMember className="org.apache.catalina.tribes.membership.StaticMember"
                    host="127.0.0.1" port="{own}" uniqueId="{{{own_id}}}" />
          </Interceptor>
        </Channel>
        <Valve className="org.apache.catalina.ha.tcp.ReplicationValve" />
        <Valve className="org.apache.catalina.ha.session.JvmRouteBinderValve" />
        <ClusterListener className="org.apache.catalina.ha.session.ClusterSessionListener" />
      </Cluster>
"""


def node_options(name: str, record: Path, *, threads: int = 250) -> TomcatOptions:
    """What a node of the balancer is told: its route, and where its servlet writes."""
    return TomcatOptions(
        packet_sizes=(8192,),
        route=name,
        threads=threads,
        java_options=(f"-Dprobe.record={record}",),
    )


class ClusteredTomcat(Tomcat):
    """A Tomcat that copies its sessions to another one.

    Args:
        number: 0 or 1, its place in `ports`.
        ports: of the two, for what they say to each other.
    """

    def __init__(
        self,
        directory: Path,
        application: Path,
        number: int,
        *,
        ports: Sequence[int],
        record: Path,
    ) -> None:
        self._number = number
        self._ports = ports
        super().__init__(NODES[number], directory, application, node_options(NODES[number], record))

    def _write_base(self, base: Path, application: Path) -> None:
        shared = base.parent / f"{base.name}-application"
        shutil.copytree(application, shared)
        web = shared / "WEB-INF/web.xml"
        text = web.read_text(encoding="utf-8")
        web.write_text(text.replace("</web-app>", "<distributable/></web-app>"), encoding="utf-8")
        super()._write_base(base, shared)
        server = base / "conf/server.xml"
        own, other = self._number, 1 - self._number
        cluster = _CLUSTER.format(
            own=self._ports[own],
            other=self._ports[other],
            own_id=",".join(["1"] * 15 + [str(own)]),
            other_id=",".join(["1"] * 15 + [str(other)]),
        )
        text = server.read_text(encoding="utf-8")
        server.write_text(text.replace("      <Host ", cluster + "      <Host ", 1), "utf-8")


class BalancedDaemon(Daemon):
    """One ajpd before several connectors, from the files of mod_jk.

    Args:
        directory: for its files; made here.
        connectors: of the members, by name.
        balancer: directives of the balancer.
        more: whole lines of workers.properties.
        processes: that serve.
    """

    def __init__(
        self,
        directory: Path,
        connectors: Mapping[str, Connector],
        balancer: Mapping[str, object] | None = None,
        *more: str,
        processes: int = 1,
    ) -> None:
        directory.mkdir()
        self.workers = directory / "workers.properties"
        self.rules = directory / "uriworkermap.properties"
        self.write(connectors, balancer, *more)
        self.rules.write_text("/app|/*=lb\n", encoding="utf-8")
        port = free_port()
        places = [str(ROOT), str(ROOT / "daemon"), os.environ.get("PYTHONPATH", "")]
        files = (*self.files, "--processes", str(processes))
        self.process = ServerProcess(
            "ajpd",
            [AJPD_PYTHON, "-m", "ajpd", "run", *files, "--listen", f"127.0.0.1:{port}"],
            directory,
            env={"PYTHONPATH": os.pathsep.join(filter(None, places)), "PYTHONUNBUFFERED": "1"},
        )
        self.front = Front(
            name="ajpd",
            process=self.process,
            port=port,
            connector=next(iter(connectors.values())),
            style="properties",
        )

    def write(
        self,
        connectors: Mapping[str, Connector],
        balancer: Mapping[str, object] | None = None,
        *more: str,
    ) -> None:
        """Write workers.properties, as it is to be read at the start or at the next reload."""
        lines = ["worker.list=lb", "worker.lb.type=lb", *more]
        lines.append(f"worker.lb.balance_workers={','.join(connectors)}")
        lines += [f"worker.lb.{key}={value}" for key, value in (balancer or {}).items()]
        for name, connector in connectors.items():
            facts = {"type": "ajp13", "host": connector.host, "port": connector.port}
            facts["secret"] = connector.secret
            lines += [f"worker.{name}.{key}={value}" for key, value in facts.items()]
        self.workers.write_text("\n".join([*lines, ""]), encoding="utf-8")

    def start(self) -> Front:
        """Start it and return when all its processes serve, and commands find it."""
        self.process.start(self._is_found, timeout=START_TIMEOUT)
        return self.front

    def _is_found(self) -> bool:
        with contextlib.suppress(ControlError):
            return bool(self._table_path())
        return False

    def _table_path(self) -> str:
        return ask_table([str(self.workers), str(self.rules)])

    @property
    def files(self) -> tuple[str, ...]:
        """Options of a command line that mean this daemon."""
        return "--workers", str(self.workers), "--map", str(self.rules)

    def table(self) -> Table:
        """Its status table, to look at."""
        return Table.attach(self._table_path())

    def children(self) -> list[int]:
        """The processes that serve."""
        pid = self.process.pid
        return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split())]


def operate(files: Sequence[str], *words: str) -> subprocess.Popen[str]:
    """Another ajpd, that talks to the one that runs with these files."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "daemon"), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [AJPD_PYTHON, "-m", "ajpd", *words, *files],
        env={**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@dataclass(slots=True)
class Browser:
    """Keeps a connection and the session cookie it was given.

    Attributes:
        nodes: where its requests to /app/session were answered, one after the other.
        hits: what these said.
    """

    address: tuple[str, int]
    session_id: str = ""
    nodes: list[str] = field(default_factory=list)
    hits: list[int] = field(default_factory=list)
    _client: Client | None = None

    def ask(self, target: str, method: str = "GET") -> Response:
        """One request; a session that comes with the answer is kept."""
        if self._client is None:
            self._client = Client(self.address)
        cookie: list[Header] = []
        if self.session_id:
            cookie = [("Cookie", f"JSESSIONID={self.session_id}")]
        body = b"" if method == "POST" else None
        response = self._client.exchange(build(method, target, cookie, body=body))
        for value in response.all("Set-Cookie"):
            name, _, rest = value.partition("=")
            if name == "JSESSIONID":
                self.session_id = rest.partition(";")[0]
        if (response.one("Connection") or "") == "close":
            self.close()
        return response

    def visit(self) -> str:
        """Use the session; which node answered."""
        response = self.ask("/app/session")
        assert response.status == 200, response
        session_id, hits = json.loads(response.body)
        self.nodes.append(session_id.rpartition(".")[2])
        self.hits.append(hits)
        return self.nodes[-1]

    @property
    def moves(self) -> int:
        """How often two visits in a row were at different nodes."""
        return sum(one != other for one, other in zip(self.nodes, self.nodes[1:], strict=False))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
