"""Whether lists, members and rules fit together, whatever file they are in."""

from pathlib import Path

import pytest

from ajp.lb import Activation, Extension
from ajpd.config import (
    Config,
    ConfigErrors,
    load_files,
    load_toml,
)

BALANCER = """\
worker.list=lb
worker.lb.type=lb
worker.lb.balance_workers=a,b
worker.a.host=a.example
worker.b.host=b.example
"""


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)


def load(folder: Path, text: str) -> Config:
    write(folder, ajpd_toml=text)
    return load_toml(folder / "ajpd.toml", env={})


def warnings_of(config: Config, folder: Path) -> list[str]:
    return [str(warning).replace(f"{folder}/", "") for warning in config.warnings]


def load_workers(folder: Path, workers: str, rules: str = "/*=lb\n") -> Config:
    write(folder, w=workers, m=rules)
    return load_files(folder / "w", folder / "m", env={})


def workers_errors(folder: Path, workers: str, rules: str = "/*=lb\n") -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load_workers(folder, workers, rules)
    return [str(error).replace(f"{folder}/", "") for error in caught.value.errors]


def test_a_balancer(tmp_path: Path) -> None:
    config = load_workers(tmp_path, BALANCER + "worker.maintain=5\n")
    assert config.warnings == ()
    assert config.workers == {}
    assert list(config.balancers) == ["lb"]
    balancer = config.balancers["lb"]
    assert [member.worker.host for member in balancer.members] == ["a.example", "b.example"]
    assert balancer.maintain_ms == 5_000


def test_errors_of_a_balancer_and_its_members_come_together(tmp_path: Path) -> None:
    assert workers_errors(
        tmp_path,
        "worker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers=a,bb\n"
        "worker.lb.method=X\nworker.a.lbfactor=three\nworker.a.port=x\nworker.b.port=1\n",
        "/*=lb;disabled=c\n/x=lbb\n",
    ) == [
        "w:3: member 'bb' of balancer 'lb' is defined nowhere",
        "w:4: method: 'X' is none of Request, Traffic, Busyness, Sessions, Next, P2C, Latency",
        "w:5: lbfactor: 'three' is not a number",
        "w:6: port: 'x' is not a number",
        "m:2: the rule /x=lbb names an unknown worker (did you mean 'lb'?)",
    ]


def test_a_member_that_is_listed_is_one_worker(tmp_path: Path) -> None:
    config = load_workers(
        tmp_path, BALANCER.replace("list=lb", "list=lb b other") +
        "worker.other.type=lb\nworker.other.balance_workers=b\n",
        "/*=lb\n/b=b\n/other=other\n",
    )  # fmt: skip
    assert list(config.workers) == ["b"]
    b = config.workers["b"]
    assert config.balancers["lb"].members[1].worker is b
    assert config.balancers["other"].members[0].worker is b
    assert warnings_of(config, tmp_path) == [
        "w:1: worker 'b' is in worker.list and a member of balancer 'lb': rules that name it pass "
        "by the balancer"
    ]


def test_a_balancer_in_toml(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "[worker.lb]\ntype = 'lb'\nbalance_workers = ['a', 'b']\nrecover_time = '500ms'\n"
        "[worker.a]\nlbfactor = 2\n[worker.b]\nport = 0\n[mount]\n'/*' = 'lb;stopped=a'\n",
    )
    assert warnings_of(config, tmp_path) == [
        "ajpd.toml:4: recover_time: less than 1 s is taken as 1 s"
    ]
    assert list(config.workers) == ["a", "b"]
    balancer = config.balancers["lb"]
    assert [member.worker for member in balancer.members] == list(config.workers.values())
    assert [member.lbfactor for member in balancer.members] == [2, 1]
    assert balancer.members[1].activation is Activation.STOPPED
    assert balancer.recover_time_ms == 1000
    assert config.rules[0].extension == Extension(activations=bytes((2, 255)))


def test_who_no_rule_reaches(tmp_path: Path) -> None:
    config = load_workers(tmp_path, BALANCER + "worker.c.port=1\nworker.list=c\n", "/*=c\n")
    assert warnings_of(config, tmp_path) == ["w:2: no rule leads to worker 'lb'"]


def test_members_of_balancers_that_are_not_listed_are_not_used(tmp_path: Path) -> None:
    text = BALANCER.replace("list=lb", "list=c") + "worker.c.port=1\nworker.b.lbfactor=nonsense\n"
    config = load_workers(tmp_path, text, "/*=c\n")
    assert [warning.partition(": ")[2] for warning in warnings_of(config, tmp_path)] == [
        f"worker {name!r} is not in worker.list and not used" for name in ("lb", "a", "b")
    ]


def test_rules_of_a_member_that_is_not_listed_are_none(tmp_path: Path) -> None:
    config = load_workers(tmp_path, BALANCER + "worker.a.mount=/a\n")
    assert len(config.rules) == 1
    assert warnings_of(config, tmp_path) == [
        "w:6: 'mount' only counts for workers in worker.list, and 'a' is not"
    ]


def test_a_balancer_has_rules_of_its_own(tmp_path: Path) -> None:
    config = load_workers(tmp_path, BALANCER + "worker.lb.mount=/a !/a/b\n", "")
    assert [str(rule) for rule in config.rules] == ["/a=lb", "!/a/b=lb"]
    assert config.warnings == ()


def test_rules_that_name_members(tmp_path: Path) -> None:
    assert workers_errors(tmp_path, BALANCER, "/*=lb\n/a=a\n") == [
        "m:2: the rule /a=a names a worker that is not in worker.list"
    ]
    text = BALANCER.replace("list=lb", "list=lb,a") + "worker.a.port=0\n"
    config = load_workers(tmp_path, text, "/*=lb\n/a=a\n-/b=a\n!/c=a\n")
    assert warnings_of(config, tmp_path)[1:] == [
        "m:2: the rule /a=a leads to worker 'a', which is switched off"
    ]


def test_names_must_exist(tmp_path: Path) -> None:
    write(
        tmp_path,
        w="worker.list=node,nodee\nworker.node1.port=1\nworker.node.mount=/a\n",
        m="/b=nods\n/c=node1\n!/d=nobody\n!/e=*\n",
        x="worker.a.port=1\n",
    )
    with pytest.raises(ConfigErrors) as caught:
        load_files(tmp_path / "w", tmp_path / "m", env={})
    assert [str(error).replace(f"{tmp_path}/", "") for error in caught.value.errors] == [
        "w:1: worker 'nodee' is listed, but defined nowhere (did you mean 'node'?)",
        "m:1: the rule /b=nods names an unknown worker (did you mean 'node'?)",
        "m:2: the rule /c=node1 names a worker that is not in worker.list",
        "m:3: the rule !/d=nobody names an unknown worker",
    ]
