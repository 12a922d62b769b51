"""The sample ajpd.toml is what its comments say it is."""

import re
import tomllib
from pathlib import Path

import pytest

from ajpd.config import BalancerConfig, Config, MemberConfig, StatusConfig, load_toml
from ajpd.config.directives import in_scope
from ajpd.config.values import Scope, default_of, read_toml

SAMPLE = Path(__file__).parents[3] / "daemon" / "etc" / "ajpd.toml"
BALANCER = re.compile(r"# --- several containers.*?(?=# --- )", re.DOTALL)
STATUS = re.compile(r"# --- a page about all workers.*?(?=# --- )", re.DOTALL)


def load(folder: Path, text: str) -> Config:
    (folder / "ajpd.toml").write_text(text)
    return load_toml(folder / "ajpd.toml", env={"AJP_SECRET": "geheim"})


def test_as_it_is(tmp_path: Path) -> None:
    config = load(tmp_path, SAMPLE.read_text())
    assert list(config.workers) == ["tomcat"]
    assert not config.balancers
    assert config.warnings == ()


def test_the_balancer_in_it_has_the_defaults(tmp_path: Path) -> None:
    text = BALANCER.sub(
        lambda match: re.sub(r"(?m)^#(?=\[|\w+ = )", "", match[0]), SAMPLE.read_text()
    )
    text = text.replace('"/*" = "tomcat"', '"/*" = "tomcat"\n"/lb/*" = "lb"')
    config = load(tmp_path, text)
    assert [warning.directive for warning in config.warnings] == ["secret"]
    node1, node2 = (config.workers[name] for name in ("node1", "node2"))
    assert (node1.secret, node2.secret) == (b"geheim", b"geheim")
    assert config.workers["tomcat"].secret is None
    assert config.balancers["lb"] == BalancerConfig(
        name="lb",
        members=(
            MemberConfig(name="node1", worker=node1, route="node1"),
            MemberConfig(name="node2", worker=node2, route="node2"),
        ),
        place=config.balancers["lb"].place,
    )


def test_the_status_worker_in_it_has_the_defaults(tmp_path: Path) -> None:
    text = STATUS.sub(
        lambda match: re.sub(r"(?m)^#(?=\[|\w+ = )", "", match[0]), SAMPLE.read_text()
    )
    text = text.replace('"/*" = "tomcat"', '"/*" = "tomcat"\n"!/jk" = "jkstatus"')
    status = load(tmp_path, text).statuses["jkstatus"]
    assert status == StatusConfig(name="jkstatus", place=status.place)


#: Keys that the sample shows with an example, since there is no default, or none of one line.
EXAMPLES = {
    "[server]": set(),
    "[tls]": {"listen", "certificate"},
    "[workers]": {"file"},
    "[map]": {"file"},
    "[host.NAME]": {"aliases", "map"},
    "any worker": {"type", "mount"},
    "ajp13": {
        "probe_uri",
        "secret",
        "fail_on_status",
        "connection_pool_minsize",
        "recovery_options",
    },
    "a member of a balancer": {"route", "domain"},
    "lb": {"balance_workers", "secret", "error_escalation_time"},
    "status": {"good", "bad"},
}
NOT_IN_TOML = {(Scope.COMMON, "reference")}


def shown(scope: Scope) -> dict[str, list[object]]:
    """Values of keys in the parts of the sample that belong to a scope."""
    found: dict[str, list[object]] = {}
    header = ""
    for line in SAMPLE.read_text().splitlines():
        section = re.match(r"#?\[([a-z]+)(?:\.(\"[^\"]*\"|\w+))?(\.\w+)?\]", line)
        if section is not None:
            header = HEADERS.get(section[0].removeprefix("#"), f"[{section[1]}]")
            header = "[host.NAME]" if section[1] == "host" and not section[3] else header
        key = re.match(r"#?(\w+) = (.*)", line)
        if key is not None and header in OWNERS.get(scope, (scope.value,)):
            found.setdefault(key[1], []).append(tomllib.loads(f"x = {key[2]}")["x"])
    return found


HEADERS = {
    "[worker.tomcat]": "ajp13",
    "[worker.lb]": "lb",
    "[worker.node1]": "member",
    "[worker.node2]": "member",
    "[worker.jkstatus]": "status",
}
OWNERS = {
    Scope.COMMON: ("ajp13", "lb", "status"),
    Scope.AJP: ("ajp13", "member"),
    Scope.MEMBER: ("member",),
    Scope.LB: ("lb",),
    Scope.STATUS: ("status",),
}


@pytest.mark.parametrize(
    "scope", [scope for scope in Scope if scope not in (Scope.TOP, Scope.GLOBAL, Scope.DEAD)]
)
def test_every_key_is_there_with_its_default(scope: Scope) -> None:
    values = shown(scope)
    for row in in_scope(scope).values():
        if row.alias_of or not row.supported or (scope, row.name) in NOT_IN_TOML:
            continue
        assert row.name in values, f"{row.name} of {scope}"
        readings = [read_toml(row, value).value for value in values[row.name]]
        if row.name not in EXAMPLES.get(scope.value, ()):
            assert default_of(row) in readings, f"{row.name} of {scope}"
