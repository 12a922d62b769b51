"""What `ajpd check --server-xml` names is what breaks, and what it says to write mends it."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from .daemon import AJPD_PYTHON, ROOT, START_TIMEOUT
from .processes import ServerProcess, free_port, listens
from .rawhttp import Broken, Client, build
from .tomcat import Connector, Tomcat, TomcatOptions, answers_cping

SECRET = "right-secret"
PATTERN = 'allowedRequestAttributesPattern="GROUP"'
UPLOAD = bytes(range(256)) * 120
DOWNLOAD = 300_000

#: How each connector is written, and what its worker says beside the port.
CONNECTORS = {
    "small": (f'secret="{SECRET}" {PATTERN}', "max_packet_size = 65536"),
    "large": (f'secret="{SECRET}" packetSize="65536" {PATTERN}', ""),
    "wrong": (f'secret="other-secret" {PATTERN}', ""),
    "closed": (PATTERN, ""),
    "strict": (f'secret="{SECRET}"', ""),
    "right": (f'secret="{SECRET}" packetSize="16384" {PATTERN}', "max_packet_size = 16384"),
}
#: What each is asked, which only works when both sides agree.
QUESTIONS = {
    "small": build("POST", "/app/hash", host="small.test", body=UPLOAD),
    "large": build("GET", f"/app/bytes?n={DOWNLOAD}", host="large.test"),
    "right": build("POST", "/app/hash", host="right.test", body=UPLOAD),
    **{
        name: build("GET", "/app/bytes?n=1", host=f"{name}.test")
        for name in ("wrong", "closed", "strict")
    },
}
TOML = """\
[server]
listen = ["127.0.0.1:{listen}"]
processes = 1
[attributes]
GROUP = "value:staff"
"""
WORKER = """\
[worker.{name}]
host = "127.0.0.1"
port = {port}
secret = "{secret}"
probe = "off"
connection_pool_size = 20
{more}
[host."{name}.test"]
mount = {{ "/*" = "{name}" }}
"""


class Told(NamedTuple):
    """An error of the check."""

    line: int
    worker: str
    name: str
    value: str


class Site:
    """A Tomcat with a connector for each mistake, and a daemon before it."""

    def __init__(self, directory: Path, application: Path) -> None:
        directory.mkdir()
        self.tomcat = Tomcat("mistaken", directory, application, TomcatOptions(packet_sizes=()))
        self.server_xml = directory / "mistaken/conf/server.xml"
        self.ports = {name: free_port() for name in CONNECTORS}
        lines = [
            f'<Connector protocol="AJP/1.3" port="{self.ports[name]}" {written} />'
            for name, (written, _) in CONNECTORS.items()
        ]
        text = self.server_xml.read_text(encoding="utf-8")
        whole = text.replace('<Service name="Catalina">', "\n".join(['<Service name="C">', *lines]))
        self.server_xml.write_text(whole, encoding="utf-8")
        listen = free_port()
        self.toml = directory / "ajpd.toml"
        workers = [
            WORKER.format(name=name, port=self.ports[name], secret=SECRET, more=more)
            for name, (_, more) in CONNECTORS.items()
        ]
        self.toml.write_text(TOML.format(listen=listen) + "".join(workers), encoding="utf-8")
        self.address = ("127.0.0.1", listen)
        places = [str(ROOT), str(ROOT / "daemon"), os.environ.get("PYTHONPATH", "")]
        self.env = {"PYTHONPATH": os.pathsep.join(filter(None, places))}
        command = [AJPD_PYTHON, "-m", "ajpd", "run", "-c", str(self.toml)]
        self.daemon = ServerProcess("ajpd", command, directory, env=self.env)

    def start_tomcat(self, *names: str) -> None:
        """Start it, and wait for these connectors."""
        self.tomcat.connectors = {
            self.ports[name]: Connector(port=self.ports[name], packet_size=8192, secret=SECRET)
            for name in names
        }
        self.tomcat.start()

    def check(self) -> tuple[int, list[Told], str]:
        """What the check says: its exit code, what is to be changed, and all of it."""
        command = [AJPD_PYTHON, "-m", "ajpd", "check", "-c", str(self.toml)]
        done = subprocess.run(
            [*command, "--server-xml", str(self.server_xml)],
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        place = re.escape(str(self.server_xml))
        form = rf'error: {place}:(\d+):\d+: worker (\w+): .*; write (\w+)="([^"]*)"'
        found = [re.match(form, line) for line in done.stderr.splitlines() if line[:6] == "error:"]
        assert all(found), done.stderr
        told = [Told(int(m[1]), m[2], m[3], m[4].replace("…", SECRET)) for m in found if m]
        return done.returncode, told, done.stdout + done.stderr

    def mend(self, told: list[Told]) -> None:
        """Write what is to be written."""
        lines = self.server_xml.read_text(encoding="utf-8").splitlines()
        for each in told:
            line = re.sub(rf'\s{each.name}="[^"]*"', "", lines[each.line - 1])
            lines[each.line - 1] = line.replace("/>", f'{each.name}="{each.value}" />')
        self.server_xml.write_text("\n".join(lines), encoding="utf-8")

    def works(self, name: str) -> bool:
        """Whether the container answers as it should."""
        with Client(self.address) as client:
            client.send(QUESTIONS[name])
            try:
                response = client.response(QUESTIONS[name].split()[0].decode())
            except Broken:
                return False
        if name == "large" and response.status == 200:
            return len(response.body) == DOWNLOAD
        return response.status == 200


@pytest.fixture
def site(directory: Path, application: Path) -> Iterator[Site]:
    site = Site(directory / "server_xml", application)
    try:
        yield site
    finally:
        site.daemon.stop()
        site.tomcat.stop()


def test_what_is_named_breaks_and_what_is_written_mends_it(site: Site) -> None:
    code, told, text = site.check()
    assert code == 1
    assert {(each.worker, each.name) for each in told} == {
        ("small", "packetSize"),
        ("large", "packetSize"),
        ("wrong", "secret"),
        ("closed", "secret"),
        ("strict", "allowedRequestAttributesPattern"),
    }, text
    assert SECRET not in text
    site.start_tomcat("small", "large", "wrong", "strict", "right")
    site.daemon.start(lambda: listens(site.address[1]), timeout=START_TIMEOUT)
    assert {name: site.works(name) for name in CONNECTORS} == {
        name: name == "right" for name in CONNECTORS
    }
    # Tomcat binds the port and then does not serve it.
    assert listens(site.ports["closed"])
    assert not answers_cping(site.ports["closed"])
    site.tomcat.stop()
    site.mend(told)
    code, told, text = site.check()
    assert (code, told) == (0, []), text
    assert text.count("ok: ") == 1 + len(CONNECTORS)
    site.start_tomcat(*CONNECTORS)
    assert {name: site.works(name) for name in CONNECTORS} == dict.fromkeys(CONNECTORS, True)
