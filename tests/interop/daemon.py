"""The daemon under test, started as a subprocess from files as its users write them."""

import json
import os
import sys
from pathlib import Path
from typing import Literal

from .front import Front
from .processes import ServerFailed, ServerProcess, free_port, listens
from .tomcat import Connector

#: The interpreter that runs the daemon: the one that runs the tests.
AJPD_PYTHON = sys.executable
ROOT = Path(__file__).parents[2]

Style = Literal["toml", "properties"]
Setting = str | int

START_TIMEOUT = 20.0

_TOML = """\
[server]
listen = ["127.0.0.1:{listen}"]
processes = 1

[worker.tomcat]
host = "{host}"
port = {port}
max_packet_size = {packet_size}
{more}
[mount]
"/app" = "tomcat"
"/app/*" = "tomcat"
"""
_WORKERS = """\
# as for mod_jk
worker.list=tomcat
worker.template.type=ajp13
worker.template.host={host}
worker.template.max_packet_size={packet_size}
worker.tomcat.reference=worker.template
worker.tomcat.port={port}
{more}
"""
_MAP = """\
/app|/*=tomcat
"""


class Daemon:
    """One ajpd before one connector; one process serves, so that connections can be counted.

    Args:
        directory: for its files; made here.
        connector: where `/app` and all below it goes.
        style: `toml`: one ajpd.toml; `properties`: the two files of mod_jk.
        settings: more directives of the worker.
    """

    def __init__(
        self,
        directory: Path,
        connector: Connector,
        style: Style = "toml",
        settings: dict[str, Setting] | None = None,
    ) -> None:
        directory.mkdir()
        port = free_port()
        facts: dict[str, object] = {
            "listen": port,
            "host": connector.host,
            "port": connector.port,
            "packet_size": connector.packet_size,
        }
        # Connections are counted, and what it costs to have them.
        usual: dict[str, Setting] = {"probe": "off"}
        if connector.secret:
            usual["secret"] = connector.secret
        write = _write_toml if style == "toml" else _write_properties
        options = write(directory, facts, {**usual, **(settings or {})})
        places = [str(ROOT), str(ROOT / "daemon"), os.environ.get("PYTHONPATH", "")]
        self.process = ServerProcess(
            "ajpd",
            [AJPD_PYTHON, "-m", "ajpd", "run", *options],
            directory,
            env={"PYTHONPATH": os.pathsep.join(filter(None, places)), "PYTHONUNBUFFERED": "1"},
        )
        self.front = Front(
            name="ajpd", process=self.process, port=port, connector=connector, style=style
        )

    def start(self) -> Front:
        """Start it and return when it accepts connections."""
        self.process.start(lambda: listens(self.front.port), timeout=START_TIMEOUT)
        return self.front

    def stop(self) -> None:
        """End it with SIGTERM, unless the test already has.

        Raises:
            ServerFailed: it ended with another exit code than 0, or its log shows an error of its
                own; or it was dead already.
        """
        if self.process.has_died:
            self.process.kill()
            raise ServerFailed(f"ajpd died before it was stopped\n{self.process.tail()}")
        code = self.process.stop()
        if code != 0:
            raise ServerFailed(f"ajpd ended with {code} after SIGTERM\n{self.process.tail()}")
        if self.front.complaints():
            raise ServerFailed(f"ajpd logged an error of its own\n{self.process.tail()}")


def _write_toml(
    directory: Path, facts: dict[str, object], settings: dict[str, Setting]
) -> tuple[str, ...]:
    more = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    file = directory / "ajpd.toml"
    file.write_text(_TOML.format(**facts, more=more), encoding="utf-8")
    return ("-c", str(file))


def _write_properties(
    directory: Path, facts: dict[str, object], settings: dict[str, Setting]
) -> tuple[str, ...]:
    more = "".join(f"worker.tomcat.{name}={value}\n" for name, value in settings.items())
    workers = directory / "workers.properties"
    workers.write_text(_WORKERS.format(**facts, more=more), encoding="utf-8")
    rules = directory / "uriworkermap.properties"
    rules.write_text(_MAP, encoding="utf-8")
    listen = f"127.0.0.1:{facts['listen']}"
    files = ("--workers", str(workers), "--map", str(rules))
    return (*files, "--listen", listen, "--processes", "1")
