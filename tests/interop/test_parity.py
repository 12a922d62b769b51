"""Public workers.properties, given to a real mod_jk and to us: the same is accepted, and is equal.

What mod_jk makes of a file is what its status worker says: every field of every worker, and all
properties as it has read them. See `data/README.md` for where the files come from.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from ajp.lb import Extension
from ajpd.config import (
    BalancerConfig,
    Config,
    ConfigErrors,
    MemberConfig,
    Mount,
    WorkerConfig,
    load_files,
)
from ajpd.config.errors import Findings
from ajpd.config.parts import REPEATS
from ajpd.config.properties import read_properties, resolve_references

from .modjk import STATUS, Answer, Refused, ask_mod_jk

DATA: Final = Path(__file__).parent / "data"
FILES: Final = sorted(path.stem for path in (DATA / "workers").glob("*.properties"))
MAPS: Final = sorted(path.stem for path in (DATA / "maps").glob("*.properties"))

#: What we refuse: (does mod_jk refuse it too, what we say).
REFUSED: Final = {
    "mcollins323": (True, "unknown directive 'max_reuse_connections' of worker 'cfusiontest'"),
    "sergeykvyatkovsky": (False, "member 'other' of balancer 'lb' is defined nowhere"),
    "sgorial": (False, "worker 'ajpWorker' is listed, but defined nowhere"),
}
ACCEPTED: Final = [name for name in FILES if name not in REFUSED]


class Difference(NamedTuple):
    """A value that is another one here on purpose.

    Attributes:
        theirs: what mod_jk says.
        ours: what we have.
        unless: keys of the worker with which both must be equal.
        reason: why.
    """

    theirs: str
    ours: str
    unless: tuple[str, ...]
    reason: str


#: The whole list. Everything else must be equal.
DIFFERENCES: Final = {
    "connect_timeout": Difference(
        "0",
        "2000",
        ("connect_timeout", "ping_mode"),
        "a CPING on every new connection, so that a connector that does not answer is found",
    ),
    "prepost_timeout": Difference(
        "0",
        "2000",
        ("prepost_timeout", "ping_mode"),
        "a CPING on connections that were idle for a second, so that dead ones are found",
    ),
    "recovery_options": Difference(
        "0",
        "none",
        ("recovery_options",),
        "what may be executed twice is only sent again where somebody asks for that",
    ),
}
#: Where a host cannot be resolved here, mod_jk switches the worker off at its start; we try again
#: with every connection, since names come back.
UNRESOLVED: Final = {"port": "0", "activation": "STP"}

#: What tells about the moment, and not about the configuration.
MOMENTARY: Final = re.compile(
    r"address|state|lbmult|lbvalue|elected|used|sessions|errors|client_errors|reply_timeouts|"
    r"transferred|read|busy|max_busy|connected|max_connected|time_to_.*|last_reset_.*|good|"
    r"degraded|bad|map_count|list|error_time.*"
)


def ours_of(config: Config) -> dict[tuple[str, str], str]:
    """What mod_jk's status worker would say about it."""
    found: dict[tuple[str, str], str] = {}
    for worker in config.workers.values():
        found |= {(worker.name, key): value for key, value in container(worker)}
    for balancer in config.balancers.values():
        found |= {(balancer.name, key): value for key, value in group(balancer)}
        for member in balancer.members:
            fields = (*container(member.worker), *membership(member))
            found |= {(member.name, key): value for key, value in fields}
    return found


def container(worker: WorkerConfig) -> Iterator[tuple[str, str]]:
    yield "type", "ajp13"
    yield "host", worker.host
    yield "port", str(worker.port)
    yield "source", worker.source or "undefined"
    yield "connection_pool_timeout", str(worker.connection_pool_timeout_ms // 1000)
    yield "ping_timeout", str(worker.ping_timeout_ms)
    yield "connect_timeout", str(worker.connect_timeout_ms)
    yield "prepost_timeout", str(worker.prepost_timeout_ms)
    yield "reply_timeout", str(worker.reply_timeout_ms)
    yield "retries", str(worker.retries)
    yield "connection_ping_interval", str(worker.connection_ping_interval_ms // 1000)
    options = worker.recovery_options
    yield "recovery_options", "none" if options is None else str(options)
    yield "busy_limit", str(worker.busy_limit)
    yield "max_packet_size", str(worker.max_packet_size)


def membership(member: MemberConfig) -> Iterator[tuple[str, str]]:
    yield "activation", {"A": "ACT", "D": "DIS", "S": "STP"}[member.activation.name[0]]
    yield "lbfactor", str(member.lbfactor)
    yield "route", member.route
    yield "redirect", member.redirect
    yield "domain", member.domain
    yield "distance", str(member.distance)


def group(balancer: BalancerConfig) -> Iterator[tuple[str, str]]:
    yield "type", "lb"
    yield "sticky_session", str(balancer.sticky_session)
    yield "sticky_session_force", str(balancer.sticky_session_force)
    yield "retries", str(balancer.retries)
    yield "recover_time", str(balancer.recover_time_ms // 1000)
    yield "error_escalation_time", str(balancer.error_escalation_time_ms // 1000)
    yield "max_reply_timeouts", str(balancer.max_reply_timeouts)
    yield "method", balancer.method
    yield "lock", balancer.lock
    yield "member_count", str(len(balancer.members))


def compare(answer: Answer, config: Config) -> list[str]:
    """Every value that should be equal and is not."""
    ours = ours_of(config)
    wrong = []
    for (name, key), value in answer.values.items():
        if not MOMENTARY.fullmatch(key) and name != "result":
            mine = ours.get((name, key), "nothing")
            if mine != value and not is_meant(answer, name, key, theirs=value, ours=mine):
                wrong.append(f"{name}.{key}: mod_jk {value!r}, ours {mine!r}")
    return wrong


def is_meant(answer: Answer, name: str, key: str, *, theirs: str, ours: str) -> bool:
    """Whether a difference is in the list, or comes from the machine and not from the file."""
    known = DIFFERENCES.get(key)
    if known is not None and (theirs, ours) == (known.theirs, known.ours):
        return not any(f"worker.{name}.{other}" in answer.properties for other in known.unless)
    is_unresolved = not answer.values[name, "address"][:1].isdigit()
    return is_unresolved and theirs == UNRESOLVED.get(key)


def load(name: str) -> Config:
    return load_files(DATA / "workers" / f"{name}.properties", env={})


@pytest.mark.parametrize("name", ACCEPTED)
def test_effective_values(name: str, folder: Path) -> None:
    raw = (DATA / "workers" / f"{name}.properties").read_bytes()
    without_list = not re.search(rb"(?m)^[ \t]*worker\.list[ \t]*=[ \t]*[^ \t\r\n]", raw)
    answer = ask_mod_jk(folder, raw, status="ajp13" if without_list else STATUS)
    config = load(name)
    if without_list:
        # That the status worker answered shows which name mod_jk makes up.
        assert list(config.workers) == ["ajp13"]
        return
    assert compare(answer, config) == []
    assert answer.listed == {*config.workers, *config.balancers}
    assert answer.members == {
        name: [member.name for member in balancer.members]
        for name, balancer in config.balancers.items()
    }


def resolved(path: Path) -> dict[str, str]:
    """All keys of a file as we have them, references resolved."""
    findings = Findings()
    properties = read_properties(path, findings, env={}, repeats=REPEATS)
    return {
        item.key: item.value.encode(item.encoding).decode("latin-1")
        for item in resolve_references(properties, findings)
    }


@pytest.mark.parametrize("name", [name for name in FILES if name != "mcollins323"])
def test_properties_are_read_alike(name: str, folder: Path) -> None:
    path = DATA / "workers" / f"{name}.properties"
    answer = ask_mod_jk(folder, path.read_bytes())
    theirs = {
        key.strip(): value
        for key, value in answer.properties.items()
        if STATUS not in key and key not in ("ServerRoot", "result.type") and key
    }
    ours = {key: value for key, value in resolved(path).items() if not key.endswith(".secret")}
    listed = [*filter(None, [ours.pop("worker.list", "")])]
    assert theirs.pop("worker.list") == ",".join([STATUS, *listed])
    for name in ("worker.result.type", "worker.result.message"):
        del theirs[name]
    assert theirs == ours


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, folder: Path) -> None:
    is_refused, message = REFUSED[name]
    raw = (DATA / "workers" / f"{name}.properties").read_bytes()
    if is_refused:
        with pytest.raises(Refused):
            ask_mod_jk(folder, raw)
    else:
        assert ask_mod_jk(folder, raw).values
    with pytest.raises(ConfigErrors) as caught:
        load(name)
    assert caught.value.errors[0].message == message
    assert caught.value.errors[0].line


#: What mod_jk takes in its own way; `test_effective_values` for a file of our own.
ODD: Final = """\
my.port=81
my.port=82
your.net=80
your.net=90
worker.list=lb alone,\tbad
worker.lb.type=lb
worker.lb.balance_workers=a,b
worker.lb.balance_workers=c
worker.lb.method=business
worker.lb.lock=p
worker.lb.sticky_session=no way
worker.lb.sticky_session_force=yes
worker.lb.retries=0
worker.lb.recover_time=7
worker.lb.max_reply_timeouts=3 times
worker.a.port=80x9
worker.a.distance=3
worker.a.distance=5
worker.a.retries=4
worker.a.retries=-4
worker.a.activation=dormant
worker.a.route=x.a
worker.a.reply_timeout=60ms
worker.a.connect_timeout=2k
worker.a.max_packet_size=8193
worker.b.reference=worker.t
worker.b.domain=d
worker.b.stopped=true
worker.b.ping_mode=ci
worker.b.ping_timeout=500
worker.t.port=$(your.net)
worker.t.lbfactor=0
worker.t.reference=worker.u
worker.u.redirect=nobody
worker.u.connection_pool_timeout=60s
worker.u.max_packet_size=1m
worker.c.port=$(my.port)
worker.c.ping_mode=A,P
worker.c.prepost_timeout=0
worker.c.jvm_route=old
worker.c.busy_limit=+5
worker.c.recovery_options=7
worker.alone.host=127.0.0.1
worker.alone.balance_workers=a
worker.alone.sticky_session=0
worker.alone.socket_timeout=5
worker.alone.connection_ping_interval=9
worker.alone.cache_timeout=5
worker.alone.source=127.0.0.1
worker.bad.host=Adresse IP TOMCAT1
worker.port=5
; worker.x.port=5
worker.x.list=5
no sign
worker.lb.secret=
"""


def test_odd_values(folder: Path) -> None:
    answer = ask_mod_jk(folder, ODD.encode())
    config = load_files(folder / "workers.properties", env={})
    assert compare(answer, config) == []
    assert answer.listed == {"lb", "alone", "bad"}
    assert answer.values["a", "port"] == "80"
    assert answer.values["a", "distance"] == "3"
    assert (config.workers["bad"].port, answer.values["bad", "port"]) == (0, "0")
    lines = ODD.split("\n")
    told = {warning.line for warning in config.warnings}
    for oddity in ("my.port=82", "your.net=90", "x.port=5", "no sign", "80x9", "worker.port=5"):
        assert any(oddity in lines[line - 1] for line in told if line), oddity


def test_a_difference_is_seen(folder: Path) -> None:
    """The comparison itself is not blind: other files give other values."""
    answer = ask_mod_jk(folder, ODD.replace("distance=3", "distance=4").encode())
    (folder / "ours.properties").write_text(ODD)
    wrong = compare(answer, load_files(folder / "ours.properties", env={}))
    assert wrong == ["a.distance: mod_jk '4', ours '3'"]


def rule_of(mount: Mount) -> dict[str, str]:
    """What mod_jk shows of a rule, as we have it."""
    kind = "Exact" if mount.is_exact else "Wildchar"
    kind = f"Unmount {kind}" if mount.is_exclusion else kind
    extension = mount.extension or Extension()
    activations: dict[str, list[str]] = {word: [] for word in ("active", "disabled", "stopped")}
    for member, activation in mount.overrides:
        activations[activation.name.lower()].append(member)
    return {
        "uri": mount.pattern.decode("latin-1"),
        "type": f"Disabled {kind}" if mount.is_disabled else kind,
        "source": "uriworkermap",
        "reply_timeout": "-1" if mount.reply_timeout_ms is None else str(mount.reply_timeout_ms),
        "sticky_ignore": str(int(extension.sticky_ignore)),
        "stateless": str(int(extension.stateless)),
        "fail_on_status": ",".join(map(str, mount.fail_on_status or ())),
        **{word: ",".join(found) for word, found in activations.items()},
        "use_server_errors": str(mount.use_server_errors),
    }


def rules_by_worker(config: Config, names: list[str]) -> dict[str, list[dict[str, str]]]:
    """A rule of worker `*` is shown with every worker."""
    return {
        name: [rule_of(rule) for rule in config.rules if rule.worker in (name, "*")]
        for name in names
    }


def compare_rules(folder: Path, uri_map: bytes, workers: str) -> None:
    answer = ask_mod_jk(folder, workers.encode(), uri_map)
    config = load_files(folder / "workers.properties", folder / "uriworkermap.properties", env={})
    ours = rules_by_worker(config, [*config.workers, *config.balancers])
    for name, rules in ours.items():
        theirs = [
            {key: value for key, value in rule.items() if key != "server"}
            for rule in answer.rules.get(name, [])
        ]
        assert sorted(theirs, key=str) == sorted(rules, key=str)
        assert all(list(rule) == list(other) for rule in theirs for other in rules[:1])


@pytest.mark.parametrize("name", MAPS)
def test_maps(name: str, folder: Path) -> None:
    raw = (DATA / "maps" / f"{name}.properties").read_bytes()
    names = sorted(set(re.findall(r"(?m)^[^#\n]*=[ \t]*([^ \t\r\n;#]+)", raw.decode("latin-1"))))
    workers = f"worker.list={','.join(names)}\n"
    workers += "".join(f"worker.{worker}.port=8009\n" for worker in names)
    compare_rules(folder, raw, workers)


ODD_MAP: Final = b"""\
/x|/*=lb;reply_timeout=5;sticky_ignore=1;fail_on_status=500,-503;use_server_errors=400
-!/y/*=w
!/z=*
*.jsp=w
!-/t=w
/q=lb;active=a;disabled=b,c
/s=lb;reply_timeout=5x;stateless=true;nonsense=1
/l=w;session_path=;x;reply_timeout=7
/dup=w;reply_timeout=1
/dup=w;reply_timeout=2
/blank=w # comment
 /indented=w\r
/?=lb;stateless=2
no sign
"""


def test_an_odd_map(folder: Path) -> None:
    workers = "worker.list=w,lb\nworker.w.port=1\nworker.lb.type=lb\n"
    workers += "worker.lb.balance_workers=a,b,c\n"
    workers += "".join(f"worker.{name}.port=2\n" for name in "abc")
    compare_rules(folder, ODD_MAP, workers)
