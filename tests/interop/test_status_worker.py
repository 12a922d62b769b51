"""What scripts read: our status worker beside that of a real mod_jk, for the same files.

Both have the same workers and rules and get the same requests. Every field that mod_jk writes must
be there in the same place; its value must be the same, but for those below.
"""

import http.client
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from xml.etree import ElementTree

import pytest

from . import modjk
from .daemon import AJPD_PYTHON, ROOT
from .processes import ServerProcess, free_port, listens
from .tomcat import Connector

WORKERS: Final = """\
worker.list=lb,alone,parity-status
worker.parity-status.type=status
worker.lb.type=lb
worker.lb.balance_workers=up,down,spare
worker.lb.method=R
worker.lb.recover_time=77
worker.lb.sticky_session_force=0
worker.template.type=ajp13
worker.template.host=127.0.0.1
worker.template.port={port}
worker.template.secret={secret}
worker.template.connect_timeout=3000
worker.template.prepost_timeout=1000
worker.template.recovery_options=3
worker.up.reference=worker.template
worker.up.lbfactor=2
worker.up.domain=d
worker.down.reference=worker.template
worker.down.port=9
worker.down.redirect=up
worker.down.connection_pool_timeout=60
worker.spare.reference=worker.template
worker.spare.activation=d
worker.spare.source=127.0.0.1
worker.spare.distance=1
worker.alone.reference=worker.template
worker.alone.reply_timeout=5000
worker.alone.busy_limit=50
worker.alone.ping_mode=A
"""
#: What mod_jk does not know: without probes only requests find out what is wrong.
OURS: Final = "".join(f"worker.{name}.probe=off\n" for name in ("up", "down", "spare", "alone"))
RULES: Final = """\
/app|/*=lb
/other|/*=alone;reply_timeout=9000;use_server_errors=500
/app/stateless/*=lb;stateless=1;fail_on_status=503
!/app/no=lb
-/app/off=lb
!/never=*
/parity-status=parity-status
"""
TOML: Final = """\
[server]
listen = ["127.0.0.1:{port}"]
processes = 1
[workers]
file = "workers.properties"
[map]
file = "uriworkermap.properties"
[status]
allow_get = true
"""

#: Fields with another value, each with the reason.
OTHER: Final = {
    "server_port": "each has a port of its own",
    "port": "of the server: the same",
    "web_server": "another program",
    "jk_version": "another program",
    "server": "a virtual host of Apache; here * stands for all names",
    "datetime": "the moment",
    "unix": "the moment",
    "time_to_maintenance_min": "maintenance has a clock of its own",
    "time_to_maintenance_max": "maintenance has a clock of its own",
    "time_to_recover_min": "never before the next maintenance, which has a clock of its own",
    "time_to_recover_max": "the moment",
    "last_reset_at": "the moment of the start",
    "last_reset_ago": "the moment of the start",
    "transferred": "httpd passes other headers on",
    "read": "mod_jk counts the answers to its CPINGs",
    "max_busy": "a request counts until its container has said that it was all",
    "connected": "connections are closed and kept by other rules",
    "max_connected": "connections are closed and kept by other rules",
}
MOMENT: Final = re.compile(r"((error_)?time_)?(datetime|unix.*|ago.*)")


class Pair(NamedTuple):
    """Where both can be asked."""

    theirs: int
    ours: int


class Line(NamedTuple):
    """One line of an answer: what kind it is, and its fields in order."""

    kind: str
    fields: dict[str, str]


def ask(port: int, target: str, **headers: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", target, headers=headers)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def status(port: int, query: str) -> str:
    return ask(port, f"/parity-status?{query}")


@pytest.fixture(scope="module")
def pair(directory: Path, tomcat_8k: Connector) -> Iterator[Pair]:
    """Both, with requests behind them."""
    base = directory / "status-worker"
    theirs, ours = base / "mod_jk", base / "ajpd"
    for folder in (base, theirs, ours):
        folder.mkdir()
        folder.chmod(0o755)
    workers = WORKERS.format(port=tomcat_8k.port, secret=tomcat_8k.secret)
    (ours / "workers.properties").write_text(workers + OURS)
    (ours / "uriworkermap.properties").write_text(RULES)
    port = free_port()
    (ours / "ajpd.toml").write_text(TOML.format(port=port))
    process = ServerProcess(
        "ajpd",
        [AJPD_PYTHON, "-m", "ajpd", "run", "-c", str(ours / "ajpd.toml")],
        ours,
        env={"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "daemon")))},
    )
    with modjk._running(theirs, workers.encode(), RULES.encode()) as other:
        process.start(lambda: listens(port), timeout=20)
        try:
            for each in (other, port):
                for target in ("/app/slow?ms=0", "/other/none", "/app/slow?ms=0", "/app/no"):
                    ask(each, target)
                # Of a session that lives there, and of one that nobody has.
                ask(each, "/app/slow?ms=0", Cookie="JSESSIONID=1.up")
                ask(each, "/app/slow?ms=0", Cookie="JSESSIONID=1.nobody")
            yield Pair(other, port)
        finally:
            process.stop()


def lines_of(text: str) -> list[Line]:
    """An answer of mime=txt."""
    found = []
    for line in text.splitlines():
        kind, _, rest = line.partition(": ")
        pairs = re.findall(r'([\w]+)=("[^"]*"|\S*)', rest)
        found.append(Line(kind, {name: value.strip('"') for name, value in pairs}))
    return found


def elements_of(text: str) -> list[Line]:
    """An answer of mime=xml."""
    root = ElementTree.fromstring(text)
    return [Line(each.tag.rpartition("}")[2], dict(each.attrib)) for each in root.iter()]


def quoting(text: str) -> list[str]:
    """What is in quotes in a text, and what is not."""
    return re.sub(r'"[^"]*"', '"', re.sub(r"=[^\s\"]+", "=", text)).splitlines()


def compare(theirs: list[Line], ours: list[Line]) -> None:
    assert [line.kind for line in ours] == [line.kind for line in theirs]
    for wanted, found in zip(theirs, ours, strict=True):
        assert list(found.fields) == list(wanted.fields), wanted
        different = {
            name: (value, found.fields[name])
            for name, value in wanted.fields.items()
            if found.fields[name] != value and name not in OTHER and not MOMENT.fullmatch(name)
        }
        assert different == {}, wanted


QUERIES: Final = (
    "cmd=list",
    "cmd=list&opt=1",
    "cmd=list&opt=2",
    "cmd=list&opt=8",
    "cmd=list&opt=16",
    "cmd=show&w=lb",
    "cmd=show&w=lb&opt=3",
    "cmd=show&w=lb&sw=down",
    "cmd=show&w=alone",
    "cmd=show&w=parity-status",
    "cmd=edit&w=lb",
    "cmd=version",
    "cmd=bogus",
    "cmd=show",
    "cmd=show&w=none",
    "cmd=show&w=lb&sw=none",
    "cmd=show&w=lb&sw=d*",
    "cmd=show&w=alone&sw=x",
    "cmd=recover&w=lb&sw=up",
    "cmd=recover&w=lb",
    "cmd=update",
    "cmd=reset&w=none",
)


@pytest.mark.parametrize("query", QUERIES)
def test_lines(pair: Pair, query: str) -> None:
    theirs, ours = (status(port, f"{query}&mime=txt") for port in pair)
    compare(lines_of(theirs), lines_of(ours))
    assert quoting(ours) == quoting(theirs)


@pytest.mark.parametrize("query", QUERIES)
def test_xml(pair: Pair, query: str) -> None:
    theirs, ours = (status(port, f"{query}&mime=xml") for port in pair)
    compare(elements_of(theirs), elements_of(ours))
    # Line by line too: there are scripts that look for lines.
    shape = re.compile(r'"[^"]*"')
    assert [shape.sub('""', line) for line in ours.splitlines()] == [
        shape.sub('""', line) for line in theirs.splitlines()
    ]


@pytest.mark.parametrize("query", QUERIES)
def test_properties(pair: Pair, query: str) -> None:
    theirs, ours = (
        [tuple(line.split("=", 1)) for line in status(port, f"{query}&mime=prop").splitlines()]
        for port in pair
    )
    # What mod_jk writes under the name of the balancer, each member over the last one, we write
    # under the member's name too.
    more = re.compile(r"worker\.(up|down|spare)\.(last_reset|error_time)_\w+")
    ours = [each for each in ours if not more.fullmatch(each[0])]
    assert [name for name, _ in ours] == [name for name, _ in theirs]
    for (name, found), (_, wanted) in zip(ours, theirs, strict=True):
        last = name.rpartition(".")[2]
        if last not in OTHER and not MOMENT.fullmatch(last):
            assert found == wanted, name


def test_the_dump_has_what_was_read(pair: Pair) -> None:
    theirs, ours = (status(port, "cmd=dump&mime=txt").splitlines() for port in pair)
    begin = ours.index("Configuration:") + 1
    wanted = [line for line in theirs if line.startswith("worker.") and "secret" not in line]
    found = [line for line in ours[begin:-1] if not line.endswith(".probe=off")]
    # The list of the file: the name of the status worker was put in front of theirs.
    assert [line for line in found if not line.startswith("worker.list")] == [
        line for line in wanted if not line.startswith("worker.list")
    ]
    assert "secret" not in "".join(ours)


def test_changes_by_get_have_the_same_effect(pair: Pair) -> None:
    """Last of all, since it changes what the others look at."""
    for query in (
        "cmd=update&w=lb&sw=up&vwa=d&vwf=5&vwn=upper&vwr=down&vwc=e&vwd=3",
        "cmd=update&w=lb&sw=*&vwa=s",
        "cmd=update&w=lb&sw=d*&vwa=0",
        "cmd=update&w=lb&att=vwf&val0=3&val2=7",
        "cmd=update&w=lb&vlr=4&vlt=99&vlee=11&vlx=2&vls=1&vlf=1&vlm=T&vll=P",
        "cmd=update&w=lb&sw=spare&vacpt=9&vact=1&vapt=2&vart=3&var=4&varo=7&vabl=8",
        "cmd=update&w=alone&vapng=4321",
        "cmd=update&w=lb&sw=none&vwa=d",
        "cmd=update&w=alone&sw=none&vwa=d",
        "cmd=update&w=lb&sw=&vwa=d",
        "cmd=recover&w=lb&sw=down",
        "cmd=reset&w=lb",
        "cmd=reset&w=alone",
    ):
        theirs, ours = (lines_of(status(port, f"{query}&mime=txt")) for port in pair)
        assert [line.kind for line in ours] == [line.kind for line in theirs] == ["Result"]
        assert ours[0].fields == theirs[0].fields, query
        theirs, ours = (lines_of(status(port, "mime=txt&opt=2")) for port in pair)
        compare(theirs, ours)
