"""From Apache's files to a running pair: a JasperReports Server cluster, moved over and used.

The configuration is one as people have it: httpd.conf with a mod_jk.conf that it includes, a
balancer of two nodes and a status page. Apache itself starts with it.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .apache import httpd_command
from .balanced import Browser
from .conftest import TARGET
from .daemon import AJPD_PYTHON, ROOT
from .processes import ServerProcess, eventually, free_port, listens
from .rawhttp import Response
from .tomcat import Tomcat, TomcatOptions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(TARGET == "apache", reason="needs a daemon of its own"),
]

DATA = Path(__file__).parent / "data" / "jasper"
NODES = ("node1", "node2")
CONTEXT = "/jasperserver-pro"
USERS = 12


class Node(Tomcat):
    """A Tomcat with the application where JasperReports Server is."""

    def __init__(self, name: str, directory: Path, application: Path) -> None:
        options = TomcatOptions(packet_sizes=(8192,), route=name, secret=f"secret-of-{name}")
        super().__init__(name, directory, application, options)

    def _write_base(self, base: Path, application: Path) -> None:
        super()._write_base(base, application)
        server = base / "conf/server.xml"
        text = server.read_text(encoding="utf-8")
        assert 'path="/app"' in text
        server.write_text(text.replace('path="/app"', f'path="{CONTEXT}"'), encoding="utf-8")


def environment() -> dict[str, str]:
    places = [str(ROOT), str(ROOT / "daemon"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}


def ajpd(*words: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [AJPD_PYTHON, "-m", "ajpd", *map(str, words)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


@dataclass(slots=True)
class Cluster:
    """Two nodes that run, and Apache's files for them.

    Attributes:
        nodes: by name.
        root: ServerRoot.
        port: that Apache is told to listen on.
    """

    nodes: dict[str, Node]
    root: Path
    port: int


@pytest.fixture(scope="module")
def cluster(directory: Path, application: Path) -> Iterator[Cluster]:
    base = directory / "jasper"
    base.mkdir()
    base.chmod(0o755)
    nodes = {name: Node(name, base, application) for name in NODES}
    root = base / "apache"
    shutil.copytree(DATA, root)
    for name in ("logs", "htdocs"):
        (root / name).mkdir()
    port = free_port()
    words = {"@ROOT@": str(root), "@PORT@": str(port), "@USER@": _user()}
    for name, node in nodes.items():
        words[f"@{name}@"] = str(node.connectors[8192].port)
    for path in (root / "conf").iterdir():
        text = path.read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        assert "@" not in text
        path.write_text(text, encoding="utf-8")
    try:
        for node in nodes.values():
            node.start()
        yield Cluster(nodes, root, port)
    finally:
        for node in nodes.values():
            node.stop()


def _user() -> str:
    return "User www-data" if os.geteuid() == 0 else "# as whoever starts it"


def test_apache_starts_with_it(cluster: Cluster) -> None:
    """Otherwise nothing here would say much."""
    command = [*httpd_command(cluster.root / "conf/httpd.conf")[:3], "-t"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def visit(browser: Browser) -> str:
    """Use the session; which node answered."""
    response = browser.ask(f"{CONTEXT}/session")
    assert response.status == 200, response
    session_id, hits = json.loads(response.body)
    browser.nodes.append(session_id.rpartition(".")[2])
    browser.hits.append(hits)
    return browser.nodes[-1]


def status_of(address: tuple[str, int]) -> dict[str, str]:
    """What the status page says to a script."""
    browser = Browser(address)
    response: Response = browser.ask("/jkstatus?mime=prop")
    browser.close()
    assert response.status == 200, response
    lines = response.body.decode().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_from_apache_to_a_running_pair(cluster: Cluster, tmp_path: Path) -> None:
    config = tmp_path / "ajpd.toml"
    done = ajpd("import", cluster.root / "conf/httpd.conf", "--output", config)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("ajpd check accepts it\n")
    assert not re.search(r"^error: ", done.stderr, re.MULTILINE)
    assert oct(config.stat().st_mode & 0o777) == "0o644"  # the secrets are in their own file
    checked = ajpd("check", "-c", config)
    assert checked.returncode == 0, checked.stderr
    assert "1 balancer with 2 members, 1 status worker" in checked.stdout
    process = ServerProcess(
        "ajpd",
        [AJPD_PYTHON, "-m", "ajpd", "run", "-c", str(config)],
        tmp_path,
        env={"PYTHONPATH": environment()["PYTHONPATH"], "PYTHONUNBUFFERED": "1"},
    )
    process.start(lambda: listens(cluster.port), timeout=30)
    try:
        use(("127.0.0.1", cluster.port), cluster)
    finally:
        code = process.stop()
    assert code == 0, process.tail()


def use(address: tuple[str, int], cluster: Cluster) -> None:
    """Sessions stay, move once when their node is killed, and the page says so."""
    everybody = [Browser(address) for _ in range(USERS)]
    for _ in range(3):
        for browser in everybody:
            visit(browser)
    assert {browser.nodes[0] for browser in everybody} == set(NODES)
    assert all(browser.moves == 0 for browser in everybody)
    assert all(browser.hits == [1, 2, 3] for browser in everybody)
    found = status_of(address)
    assert found["worker.loadbalancer.type"] == "lb"
    assert found["worker.loadbalancer.member_count"] == "2"
    assert {found[f"worker.{name}.state"][:2] for name in NODES} == {"OK"}
    cluster.nodes["node1"].kill()
    for _ in range(2):
        for browser in everybody:
            assert visit(browser) == "node2"
    for browser in everybody:
        assert browser.moves == int(browser.nodes[0] == "node1")
    eventually(lambda: status_of(address)["worker.node1.state"].startswith("ERR"))
    page = Browser(address)
    response = page.ask("/jkstatus")
    assert response.status == 200
    assert "text/html" in (response.one("Content-Type") or "")
    assert b"node1" in response.body
    # What no rule maps is nobody's, and the exclusion is one.
    for path in ("/", "/manager/html", f"{CONTEXT}/static/logo.png"):
        assert page.ask(path).status == 404, path
    page.close()
    cluster.nodes["node1"].start()
    eventually(lambda: status_of(address)["worker.node1.state"].startswith("OK"))
    for browser in everybody:
        assert visit(browser) == "node2"
        browser.close()
