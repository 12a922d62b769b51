"""A configuration and a server.xml, and what is said of the two."""

from collections.abc import Mapping
from pathlib import Path

from ajpd.config.errors import Findings
from ajpd.config.load import load_toml
from ajpd.config.model import Config
from ajpd.tomcat.check import check_servers

WORKER = """\
[server]
processes = 1
[worker.n1]
port = 8009
secret = "s3cret"
connection_pool_size = 50
{worker}
[mount]
"/*" = "n1"
{more}
"""
BALANCER = """\
[server]
processes = 1
[worker.lb]
type = "lb"
balance_workers = ["n1", "n2"]
[worker.n1]
host = "10.0.0.1"
port = 8009
connection_pool_size = 50
secret = "s3cret"
[worker.n2]
host = "10.0.0.2"
port = 8009
connection_pool_size = 50
route = "second"
secret = "s3cret"
[mount]
"/*" = "lb"
"""
SERVER = """\
<?xml version="1.0" encoding="UTF-8"?>
<Server port="-1">
  <Service name="Catalina">
    <Executor name="small" maxThreads="20"/>
    <Connector port="8080" protocol="HTTP/1.1" maxThreads="1"/>
    <Connector protocol="AJP/1.3" {connector} />
    <Engine name="Catalina" defaultHost="localhost" {engine}>
      <Host name="localhost"/>
    </Engine>
  </Service>
</Server>
"""
#: Of the connector in SERVER, and the engine.
LINE, ENGINE_LINE = 6, 7
FITS = 'port="8009" secret="s3cret"'


def configuration(folder: Path, text: str = WORKER, *, worker: str = "", more: str = "") -> Config:
    path = folder / "ajpd.toml"
    path.write_text(text.replace("{worker}", worker).replace("{more}", more), encoding="utf-8")
    return load_toml(path, env={})


def server_xml(
    folder: Path, connector: str = FITS, engine: str = "", name: str = "server.xml"
) -> Path:
    path = folder / name
    path.write_text(SERVER.format(connector=connector, engine=engine), encoding="utf-8")
    return path


def said(
    config: Config, *files: object, properties: Mapping[str, str] | None = None
) -> tuple[list[str], list[str]]:
    """Errors and warnings, without the folders of their files."""
    findings = Findings()
    check_servers(config, [str(file) for file in files], properties or {}, findings)
    errors = [short(error.located) for error in findings.errors]
    return errors, [short(warning.located) for warning in findings.warnings]


def short(text: str) -> str:
    folder, colon, rest = text.partition(".xml:")
    return f"{folder.rpartition('/')[2]}{colon}{rest}" if colon else text
