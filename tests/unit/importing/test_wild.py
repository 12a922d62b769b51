"""Files that people have published: a configuration that can be run, or line by line why not."""

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ajpd.config import load_toml
from ajpd.importing.importer import Imported, import_configuration
from ajpd.importing.remarks import Level, Remarks
from ajpd.importing.syntax import Block, Node, parse

DATA = Path(__file__).parent / "data"
FILES = sorted(DATA.glob("*.conf"))

#: What rules of these name; the workers of one are no part of its file.
WORKERS = {
    "heesun-yang": "worker.list=jkstatus,app\nworker.jkstatus.type=status\nworker.app.port=8009\n",
    "ivanokman": "worker.list=tomcat-worker\nworker.tomcat-worker.port=8009\n",
    "noyahuni": "worker.list=was2\nworker.was2.host=localhost\n",
    "szels": "worker.list=loadbalancer\nworker.loadbalancer.type=lb\n"
    "worker.loadbalancer.balance_workers=a\nworker.a.port=8010\n",
    "tges": "worker.list=status,lb\nworker.status.type=status\nworker.lb.port=8009\n",
    "wydewy": "worker.list=ajp13,worker1\nworker.ajp13.port=8009\nworker.worker1.port=8010\n",
    "xtecuan": "worker.list=AppSystemUser1\nworker.AppSystemUser1.port=8009\n",
}
#: These say nothing about where their workers are.
FRAGMENTS = ("szels", "xtecuan")
MAPS = {
    "heesun-yang": "/app/*=app\n",
    "noyahuni": "/*.jsp=was2\n",
    "tges": "/*=lb\n!/jkstatus*=lb\n",
}
#: Directives that lead requests somewhere: each of them has to be in the result or in a remark.
LEADS = re.compile(
    r"jk(un)?mount$|jkmountfile$|jkworkersfile|proxypass(match)?$|balancermember", re.I
)


def imported(name: str, folder: Path) -> Imported:
    """Import one of them, with the files that it names beside it."""
    path = folder / f"{name}.conf"
    shutil.copy(DATA / path.name, path)
    paths = [path]
    if name in WORKERS:
        workers = folder / "workers.properties"
        workers.write_text(WORKERS[name])
        if name in FRAGMENTS:
            paths.append(workers)
    if name in MAPS:
        (folder / "uriworkermap.properties").write_text(MAPS[name])
    return import_configuration(paths)


def lines(nodes: list[Node]) -> list[tuple[str, int]]:
    """Every directive with its line, whatever it stands in."""
    found = []
    for node in nodes:
        if isinstance(node, Block):
            found += lines(node.children)
        else:
            found.append((node.name, node.place.line or 0))
    return found


@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_each_can_be_run_with_its_workers(name: str, tmp_path: Path) -> None:
    found = imported(name, tmp_path)
    (tmp_path / "ajpd.toml").write_text(found.text)
    config = load_toml(tmp_path / "ajpd.toml")
    assert found.is_good
    assert config.rules
    assert config.workers or config.balancers


@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_no_line_is_lost(name: str, tmp_path: Path) -> None:
    """Each is in the result, or named in a remark."""
    found = imported(name, tmp_path)
    file = str(tmp_path / f"{name}.conf")
    kept = {place.line for place in found.kept if place.file == file}
    named = {remark.place.line for remark in found.remarks if remark.place.file == file}
    text = Path(file).read_text(encoding="utf-8")
    everything = lines(parse(text, file, Remarks()))
    silent = {word.lower() for word, line in everything if line not in named | kept}
    assert any(LEADS.match(word) for word, _ in everything)
    assert not [word for word in silent if LEADS.match(word)]
    # These are in the result without a line of their own.
    tls = {"sslengine", "sslcertificatekeyfile", "sslprotocol", "sslcertificatechainfile"}
    assert silent <= {*tls, "servername", "serveralias", "serverroot", "jkmountcopy", "loadmodule"}


#: Name: (workers without their file, `[mount]`, lines with an error).
EXPECTED: dict[str, tuple[list[str], dict[str, str], list[int]]] = {
    "chaniel": (["lbcluster1", "TomcatA", "TomcatB"], {"/*": "lbcluster1"}, []),
    "cornbuddy": (["lb", "tom-a", "tom-b", "tom-c"], {"/*": "lb"}, [15]),
    "heesun-yang": ([], {"/jkstatus": "jkstatus"}, []),
    "ivanokman": (
        [],
        {
            "/*": "tomcat-worker",
            "!/error": "tomcat-worker",
            "!/babycry.png": "tomcat-worker",
        },
        [],
    ),
    "noyahuni": ([], {}, []),
    "npcimap": (
        ["localhost"],
        {"/examples/*": "localhost", "/manager/*": "localhost", "/tisco/*": "localhost"},
        [1],
    ),
    "rmannibucau": (["tomcat"], {"/examples/*": "tomcat"}, []),
    "scottylogan": (["localhost"], {"/idp|/*": "localhost"}, [10, 11]),
    "szels": ([], {"!/static_media/*": "loadbalancer", "/*": "loadbalancer"}, []),
    "tges": ([], {"/jkstatus/": "status"}, []),
    "willemelbers": (["localhost"], {"/debugger|/*": "localhost"}, [17, 18, 69, 82]),
    "wydewy": (
        [],
        {"/servlet/*": "worker1", "/*.jsp": "worker1", "/*.do": "ajp13"},
        [8, 25, 33],
    ),
    "xtecuan": ([], {"/*": "AppSystemUser1"}, []),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_becomes_of_each(name: str, tmp_path: Path) -> None:
    workers, mounts, errors = EXPECTED[name]
    found = imported(name, tmp_path)
    document: dict[str, Any] = tomllib.loads(found.text)
    assert list(document.get("worker", {})) == workers
    assert document.get("mount", {}) == mounts
    lines_of_errors = {remark.place.line for remark in found.remarks if remark.level is Level.ERROR}
    if name in ("scottylogan", "willemelbers"):
        # The certificates may be there on the machine that runs the tests.
        errors = [line for line in errors if line in lines_of_errors or line > 18]
    assert sorted(lines_of_errors - {None}) == errors


def test_all_are_expected() -> None:
    assert sorted(EXPECTED) == [path.stem for path in FILES]


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_without_their_workers_the_lines_are_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.conf"
    shutil.copy(DATA / path.name, path)
    found = import_configuration([path])
    errors = [remark for remark in found.remarks if remark.level is Level.ERROR]
    assert not found.is_good
    assert [remark for remark in errors if remark.place.file == str(path)]
    for remark in errors:
        assert remark.reason
    # What is written is TOML all the same, and rules that lead nowhere are comments in it.
    assert tomllib.loads(found.text).get("mount", {}) == {}
