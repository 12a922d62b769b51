"""Debian's tomcat10, started by the tests with a base directory of their own.

One process has one AJP connector for each packet size. There is no HTTP connector: it is ready
when it answers a CPING.
"""

import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import quoteattr

from .processes import ServerProcess, free_port, missing

HOME = Path("/usr/share/tomcat10")
SECRET = "interop-secret"
ROUTE = "probe1"

_CPING = bytes.fromhex("123400010a")
_CPONG = bytes.fromhex("4142000109")
_START_TIMEOUT = 60.0

_LOGGING = """\
handlers = java.util.logging.ConsoleHandler
.handlers = java.util.logging.ConsoleHandler
java.util.logging.ConsoleHandler.level = INFO
java.util.logging.ConsoleHandler.formatter = org.apache.juli.OneLineFormatter
"""
_CATALINA = """\
common.loader="${catalina.home}/lib","${catalina.home}/lib/*.jar"
server.loader=
shared.loader=
tomcat.util.scan.StandardJarScanFilter.jarsToSkip=*.jar
"""
_WEB = """\
<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="5.0" metadata-complete="true"/>
"""
_SERVER = """\
<Server port="-1">
  <Service name="Catalina">
{connectors}
    <Engine name="Catalina" defaultHost="localhost" jvmRoute={route}>
      <Host name="localhost" appBase="none" autoDeploy="false" deployOnStartup="false">
        <Context path="/app" docBase={application} containerSciFilter=".*" />
      </Host>
    </Engine>
  </Service>
</Server>
"""
_CONNECTOR = """\
    <Connector protocol="AJP/1.3" address="127.0.0.1" port="{port}" packetSize="{packet_size}"
               secret={secret} maxThreads="{threads}" minSpareThreads="4"{more} />"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """Where a Tomcat listens for AJP, and what it expects."""

    port: int
    packet_size: int
    secret: str
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TomcatOptions:
    """What one Tomcat is told beside its place."""

    packet_sizes: tuple[int, ...] = (8192, 65536)
    secret: str = SECRET
    route: str = ROUTE
    allowed_attributes: str | None = None
    believes_remote_user: bool = False
    heap: str = "192m"
    threads: int = 250
    java_options: tuple[str, ...] = field(default=())


class Tomcat:
    """One Tomcat process with the probe application at /app.

    Args:
        name: of the directory under `directory` that becomes its base.
        directory: exists.
        application: docBase of the probe application, see `build_application`.
        options: packet sizes, secret and so on.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        application: Path,
        options: TomcatOptions | None = None,
    ) -> None:
        self.options = options or TomcatOptions()
        self.connectors = {
            size: Connector(port=free_port(), packet_size=size, secret=self.options.secret)
            for size in self.options.packet_sizes
        }
        base = directory / name
        self._write_base(base, application)
        self.process = ServerProcess(name, self._command(base), base)

    def _write_base(self, base: Path, application: Path) -> None:
        for part in ("conf", "logs", "temp", "work"):
            (base / part).mkdir(parents=True)
        pattern = self.options.allowed_attributes
        more = f" allowedRequestAttributesPattern={quoteattr(pattern)}" if pattern else ""
        if self.options.believes_remote_user:
            more += ' tomcatAuthentication="false"'
        connectors = [
            _CONNECTOR.format(
                port=connector.port,
                packet_size=connector.packet_size,
                secret=quoteattr(connector.secret),
                threads=self.options.threads,
                more=more,
            )
            for connector in self.connectors.values()
        ]
        server = _SERVER.format(
            connectors="\n".join(connectors),
            route=quoteattr(self.options.route),
            application=quoteattr(str(application)),
        )
        (base / "conf/server.xml").write_text(server, encoding="utf-8")
        (base / "conf/web.xml").write_text(_WEB, encoding="utf-8")
        (base / "conf/logging.properties").write_text(_LOGGING, encoding="utf-8")
        (base / "conf/catalina.properties").write_text(_CATALINA, encoding="utf-8")

    def _command(self, base: Path) -> list[str]:
        java = shutil.which("java")
        if java is None:
            missing("java", "default-jdk-headless")
        if not (HOME / "bin/bootstrap.jar").exists():
            missing(f"Tomcat ({HOME})", "tomcat10-common")
        jars = (HOME / "bin/bootstrap.jar", HOME / "bin/tomcat-juli.jar")
        return [
            java,
            f"-Xmx{self.options.heap}",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Djava.awt.headless=true",
            f"-Djava.io.tmpdir={base}/temp",
            f"-Djava.util.logging.config.file={base}/conf/logging.properties",
            "-Djava.util.logging.manager=org.apache.juli.ClassLoaderLogManager",
            f"-Dcatalina.home={HOME}",
            f"-Dcatalina.base={base}",
            *self.options.java_options,
            "-cp",
            ":".join(map(str, jars)),
            "org.apache.catalina.startup.Bootstrap",
            "start",
        ]

    def start(self) -> None:
        """Start it and return when every connector answers a CPING."""
        self.process.start(self._is_ready, timeout=_START_TIMEOUT)

    def stop(self) -> None:
        """End it with SIGTERM."""
        self.process.stop()

    def kill(self) -> None:
        """End it with SIGKILL; `start` brings it back on the same ports."""
        self.process.kill()

    def _is_ready(self) -> bool:
        return all(answers_cping(each.port) for each in self.connectors.values())


def answers_cping(port: int) -> bool:
    """Whether an AJP connector of the loopback answers a CPING."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as probe:
            probe.sendall(_CPING)
            return probe.recv(len(_CPONG), socket.MSG_WAITALL) == _CPONG
    except OSError:
        return False


def build_application(sources: Path, target: Path) -> Path:
    """Compile the probe application into a docBase below `target`.

    Args:
        sources: the folder `webapp` with `web.xml` and `src`.
        target: exists.

    Returns:
        the docBase.
    """
    javac = shutil.which("javac")
    if javac is None:
        missing("javac", "default-jdk-headless")
    api = HOME / "lib/servlet-api.jar"
    if not api.exists():
        missing(f"Tomcat ({api})", "tomcat10-common")
    application = target / "application"
    classes = application / "WEB-INF/classes"
    classes.mkdir(parents=True)
    shutil.copy(sources / "web.xml", application / "WEB-INF/web.xml")
    files = sorted(str(path) for path in (sources / "src").rglob("*.java"))
    command = [javac, "-encoding", "UTF-8", "-cp", str(api), "-d", str(classes), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"the probe application does not compile:\n{done.stderr}"
    return application
