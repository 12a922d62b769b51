"""The sample ajpd.toml is what its comments say it is."""

import re
from pathlib import Path

from ajpd.config import BalancerConfig, Config, MemberConfig, StatusConfig, load_toml

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
