"""Apache httpd with mod_jk, started by the tests: what the daemon is compared with.

One process tree has an address for each connector, with the options that mod_jk has when nobody
says anything.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from .front import Front
from .processes import ServerProcess, free_port, listens, missing
from .tomcat import Connector

_MODULES = Path("/usr/lib/apache2/modules")
_NEEDED = {
    "mpm_event_module": ("mod_mpm_event.so", "apache2-bin"),
    "authz_core_module": ("mod_authz_core.so", "apache2-bin"),
    "jk_module": ("mod_jk.so", "libapache2-mod-jk"),
}
_START_TIMEOUT = 20.0

_HTTPD = """\
ServerName localhost
ServerRoot {base}
PidFile {base}/httpd.pid
Mutex file:{base} default
ErrorLog {base}/httpd.error.log
LogLevel warn
{modules}
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 30
Timeout 60
ServerLimit 4
StartServers 4
ThreadsPerChild 64
MinSpareThreads 256
MaxSpareThreads 256
MaxRequestWorkers 256
DocumentRoot {base}/empty
JkWorkersFile {base}/workers.properties
JkShmFile {base}/jk.shm
JkLogFile {base}/mod_jk.log
JkLogLevel error
{hosts}
"""
_HOST = """\
Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
  JkMount /app worker{packet_size}
  JkMount /app/* worker{packet_size}
</VirtualHost>
"""
_WORKER = """\
worker.worker{packet_size}.type=ajp13
worker.worker{packet_size}.host={host}
worker.worker{packet_size}.port={port}
worker.worker{packet_size}.secret={secret}
worker.worker{packet_size}.max_packet_size={packet_size}
worker.worker{packet_size}.socket_connect_timeout=2000
"""


def httpd_command(configuration: Path) -> list[str]:
    """What starts Apache in the foreground; skips the test when a part of it is missing."""
    program = shutil.which("apache2", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        missing("Apache httpd", "apache2-bin")
    for file, package in _NEEDED.values():
        if not (_MODULES / file).exists():
            missing(f"{file} of Apache httpd", package)
    return [program, "-f", str(configuration), "-DFOREGROUND"]


def httpd_modules() -> str:
    """Lines that load what mod_jk needs, and the user to be when root starts it."""
    lines = [f"LoadModule {name} {_MODULES / file}" for name, (file, _) in _NEEDED.items()]
    user = ["User www-data", "Group www-data"] if os.geteuid() == 0 else []
    return "\n".join(lines + user)


class Apache:
    """Apache httpd with mod_jk in front of some connectors of one Tomcat.

    Args:
        base: a directory of its own; when root starts it, other users must be able to enter.
        connectors: of different packet sizes.
    """

    def __init__(self, base: Path, connectors: Iterable[Connector]) -> None:
        self._base = base
        self._fronts: dict[int, Front] = {}
        self.process = ServerProcess("mod_jk", httpd_command(base / "httpd.conf"), base)
        (base / "empty").mkdir()
        hosts, workers = [], []
        for connector in connectors:
            workers.append(_WORKER.format(**_facts(connector)))
            hosts.append(self._host(connector))
        names = ",".join(f"worker{size}" for size in self._fronts)
        text = "".join([f"worker.list={names}\n", *workers])
        (base / "workers.properties").write_text(text, encoding="utf-8")
        (base / "httpd.conf").write_text(self._configuration(hosts), encoding="utf-8")

    def _host(self, connector: Connector) -> str:
        port = free_port()
        self._fronts[connector.packet_size] = Front(
            name="mod_jk", process=self.process, port=port, connector=connector
        )
        return _HOST.format(port=port, packet_size=connector.packet_size)

    def _configuration(self, hosts: list[str]) -> str:
        return _HTTPD.format(base=self._base, modules=httpd_modules(), hosts="\n".join(hosts))

    def front(self, packet_size: int) -> Front:
        """Its address before the connector of that packet size."""
        return self._fronts[packet_size]

    def start(self) -> None:
        """Start it and return when every address accepts connections."""
        self.process.start(self._is_ready, timeout=_START_TIMEOUT)

    def stop(self) -> None:
        """End it with SIGTERM."""
        self.process.stop()

    def _is_ready(self) -> bool:
        return all(listens(front.port) for front in self._fronts.values())


def _facts(connector: Connector) -> dict[str, object]:
    return {
        "packet_size": connector.packet_size,
        "host": connector.host,
        "port": connector.port,
        "secret": connector.secret,
    }
