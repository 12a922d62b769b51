from collections.abc import Mapping

import pytest

from ajp.lb import Activation, Balancer, Method, Settings
from ajpd.config.balancers import MAX_MEMBERS, Workers, bad_session_name, build_workers
from ajpd.config.errors import Findings, Place
from ajpd.config.model import BalancerConfig, MemberConfig
from ajpd.config.properties import parse_properties
from ajpd.config.sections import Entry, Section, sections_from_properties

#: Line 1 and 2 of every text; the lines of a test begin at 3.
HEAD = "worker.lb.type=lb\nworker.lb.balance_workers=a b\n"
TAIL = "\nworker.a.host=a.example\nworker.b.host=b.example\n"


def build(
    text: str, *, used: tuple[str, ...] = ("lb",), env: Mapping[str, str] = {}, maintain: int = 60
) -> tuple[Workers, list[str], list[str]]:
    findings = Findings()
    sections = sections_from_properties(parse_properties(text, "f", findings, env={}), findings)
    built = build_workers(sections, used, findings, env=env, maintain_ms=maintain * 1000)
    return built, [str(e) for e in findings.errors], [str(w) for w in findings.warnings]


def errors_of(text: str, **options: tuple[str, ...]) -> list[str]:
    return build(text, **options)[1]  # type: ignore[arg-type]  # `used` only


def balancer_of(lines: str) -> tuple[BalancerConfig, list[str]]:
    """The balancer `lb` of `a` and `b` with more lines; and the warnings."""
    built, errors, warnings = build(HEAD + lines + TAIL)
    assert not errors
    return built.balancers["lb"], warnings


def first_member(lines: str) -> tuple[MemberConfig, list[str]]:
    """The member `a`, from lines without their `worker.a.`."""
    balancer, warnings = balancer_of("\n".join(f"worker.a.{line}" for line in lines.split("\n")))
    return balancer.members[0], warnings


def test_all_defaults() -> None:
    built, errors, warnings = build(HEAD + TAIL)
    assert (errors, warnings) == ([], [])
    assert list(built.workers) == ["a", "b"]
    a, b = built.workers.values()
    assert built.balancers == {
        "lb": BalancerConfig(
            name="lb",
            members=(
                MemberConfig(
                    name="a",
                    worker=a,
                    lbfactor=1,
                    distance=0,
                    route="a",
                    domain="",
                    redirect="",
                    activation=Activation.ACTIVE,
                ),
                MemberConfig(name="b", worker=b, route="b"),
            ),
            method=Method.REQUEST,
            lock="Optimistic",
            sticky_session=True,
            sticky_session_force=False,
            session_cookie="JSESSIONID",
            session_path=";jsessionid",
            set_session_cookie=False,
            session_cookie_path="/",
            retries=2,
            lb_retries=2,
            retry_interval_ms=100,
            recover_time_ms=60_000,
            slow_start_ms=10_000,
            error_escalation_time_ms=30_000,
            max_reply_timeouts=0,
            maintain_ms=60_000,
            place=Place("f", 1),
        )
    }
    assert built.balancers["lb"].members[0].worker is a


def test_the_defaults_are_those_of_the_library() -> None:
    balancer, _ = balancer_of("")
    # Only the daemon probes, and so has members come back soon.
    assert balancer.settings == Settings(
        error_escalation_time_s=Settings().escalation_s, slow_start_s=10.0
    )


def test_everything_written() -> None:
    balancer, warnings = balancer_of(
        "worker.lb.method=B\nworker.lb.lock=P\nworker.lb.sticky_session=1\n"
        "worker.lb.sticky_session_force=1\nworker.lb.session_cookie=SID\n"
        "worker.lb.session_path=;sid\nworker.lb.set_session_cookie=true\n"
        "worker.lb.session_cookie_path=/shop\nworker.lb.retries=3\nworker.lb.lb_retries=4\n"
        "worker.lb.retry_interval=50\nworker.lb.recover_time=20\n"
        "worker.lb.slow_start=30\n"
        "worker.lb.error_escalation_time=0\nworker.lb.max_reply_timeouts=10\n"
        "worker.a.lbfactor=3\nworker.a.distance=2\nworker.a.route=r.1\nworker.a.domain=d\n"
        "worker.a.redirect=b\nworker.a.activation=disabled"
    )
    assert not warnings
    assert balancer == BalancerConfig(
        name="lb",
        members=(
            MemberConfig(
                name="a",
                worker=balancer.members[0].worker,
                lbfactor=3,
                distance=2,
                route="r.1",
                domain="d",
                redirect="b",
                activation=Activation.DISABLED,
            ),
            balancer.members[1],
        ),
        method=Method.BUSYNESS,
        lock="Pessimistic",
        sticky_session=True,
        sticky_session_force=True,
        session_cookie="SID",
        session_path=";sid",
        set_session_cookie=True,
        session_cookie_path="/shop",
        retries=3,
        lb_retries=4,
        retry_interval_ms=50,
        recover_time_ms=20_000,
        slow_start_ms=30_000,
        error_escalation_time_ms=0,
        max_reply_timeouts=10,
        maintain_ms=60_000,
        place=Place("f", 1),
    )


@pytest.mark.parametrize(
    ("word", "method"),
    [
        ("R", Method.REQUEST),
        ("0", Method.REQUEST),
        ("t", Method.TRAFFIC),
        ("Busyness", Method.BUSYNESS),
        ("Session", Method.SESSIONS),
        ("4", Method.NEXT),
        ("p2c", Method.P2C),
        ("latency", Method.LATENCY),
    ],
)
def test_methods(word: str, method: Method) -> None:
    balancer, warnings = balancer_of(f"worker.lb.method={word}")
    assert balancer.method is method
    assert not warnings


@pytest.mark.parametrize(("word", "hint"), [("P", "P2C"), ("Lat", "Latency"), ("5", "")])
def test_methods_that_mod_jk_does_not_know_are_written_out(word: str, hint: str) -> None:
    (error,) = errors_of(f"{HEAD}worker.lb.method={word}{TAIL}")
    assert error.startswith(f"f:3: method: {word!r} is none of Request, ")
    assert error.endswith(f"(did you mean {hint!r}?)") is bool(hint)


@pytest.mark.parametrize(
    ("lines", "activation", "warnings"),
    [
        ("activation=A", Activation.ACTIVE, []),
        ("activation=0", Activation.ACTIVE, []),
        ("activation=d", Activation.DISABLED, []),
        ("activation=1", Activation.DISABLED, []),
        ("activation=Stopped", Activation.STOPPED, []),
        ("activation=2", Activation.STOPPED, []),
        ("activation=DIS", Activation.DISABLED, []),
        (
            "disabled=1",
            Activation.DISABLED,
            ["f:3: 'disabled' is a former way to write 'activation'"],
        ),
        (
            "stopped=1\ndisabled=1",
            Activation.STOPPED,
            [
                "f:3: 'stopped' is a former way to write 'activation'",
                "f:4: 'disabled' is a former way to write 'activation'",
            ],
        ),
        (
            "stopped=0",
            Activation.ACTIVE,
            ["f:3: 'stopped' is a former way to write 'activation'"],
        ),
        (
            "stopped=1\nactivation=A",
            Activation.ACTIVE,
            [
                "f:3: 'stopped' is a former way to write 'activation'",
                "f:3: 'stopped' has no effect besides 'activation'",
            ],
        ),
        ("port=0", Activation.STOPPED, []),
        ("port=0\nactivation=S", Activation.STOPPED, []),
        (
            "port=0\nactivation=A",
            Activation.STOPPED,
            ["f:4: 'activation' has no effect with port 0: the member begins stopped"],
        ),
        ("port=0\nhost=unix:/run/ajp", Activation.ACTIVE, []),
    ],
)
def test_activations(lines: str, activation: Activation, warnings: list[str]) -> None:
    text = "".join(f"worker.a.{line}\n" for line in lines.split("\n"))
    tail = TAIL.replace("worker.a.host=a.example\n", "") if "host" in lines else TAIL
    built, errors, found = build(HEAD + text + tail)
    assert not errors
    assert built.balancers["lb"].members[0].activation is activation
    assert [line for line in found if "Unix socket" not in line] == warnings


@pytest.mark.parametrize(
    ("lines", "route", "domain"),
    [
        ("lbfactor=1", "a", ""),
        ("route=node1", "node1", ""),
        ("jvm_route=node1", "node1", ""),
        ("route=d1.node1", "d1.node1", "d1"),
        ("route=d1.x.node1", "d1.x.node1", "d1"),
        ("route=d1.node1\ndomain=d2", "d1.node1", "d2"),
        ("domain=d2", "a", "d2"),
    ],
)
def test_routes_and_domains(lines: str, route: str, domain: str) -> None:
    member, _ = first_member(lines)
    assert (member.route, member.domain) == (route, domain)
    assert (member.member.route, member.member.domain) == (route, domain)


@pytest.mark.parametrize(
    ("lines", "name", "value", "warning"),
    [
        ("lbfactor=0", "lbfactor", 1, "f:3: lbfactor: less than 1 is taken as 1"),
        ("distance=-5", "distance", 0, "f:3: distance: less than 0 is taken as 0"),
        ("jvm_route=r", "route", "r", "f:3: 'jvm_route' is the former name of 'route'"),
        (
            "recover_time=1",
            "lbfactor",
            1,
            "f:3: 'recover_time' belongs to type lb and has no effect on type ajp13, "
            "nor has it in mod_jk",
        ),
        (
            "redirect=a",
            "redirect",
            "a",
            "f:3: redirect: 'a' is the route of member 'a' itself, so it has no effect",
        ),
    ],
)
def test_members_with_a_warning(lines: str, name: str, value: object, warning: str) -> None:
    member, warnings = first_member(lines)
    assert getattr(member, name) == value
    assert warnings == [warning]


@pytest.mark.parametrize(
    ("line", "name", "value", "warning"),
    [
        (
            "sticky_session_force=1\nworker.lb.sticky_session=0",
            "sticky_session_force",
            True,
            "f:3: 'sticky_session_force' has no effect without sticky_session",
        ),
        (
            "session_path=sid",
            "session_path",
            "sid",
            "f:3: 'session_path' has no ';' and is found in other names too",
        ),
        ("retries=0", "retries", 1, "f:3: retries: less than 1 is taken as 1"),
        (
            "recover_time=0",
            "recover_time_ms",
            1000,
            "f:3: recover_time: less than 1 s is taken as 1 s",
        ),
        (
            "method=ByRequest",
            "method",
            Method.BUSYNESS,
            "f:3: method: 'ByRequest' is taken as Busyness",
        ),
        (
            "balance_workers=b",
            "maintain_ms",
            60_000,
            "f:3: member 'b' of balancer 'lb' is there twice",
        ),
        (
            "reply_timeout=5",
            "retries",
            2,
            "f:3: 'reply_timeout' belongs to type ajp13 and has no effect on type lb, nor has it "
            "in mod_jk: write it for the members",
        ),
        ("route=r", "retries", 2, "f:3: 'route' only means something for a member of a balancer"),
    ],
)
def test_balancers_with_a_warning(line: str, name: str, value: object, warning: str) -> None:
    balancer, warnings = balancer_of(f"worker.lb.{line}")
    assert getattr(balancer, name) == value
    assert [member.name for member in balancer.members] == ["a", "b"]
    assert warnings == [warning]


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ("worker.lb.retries=x", "f:3: retries: 'x' is not a number"),
        (
            "worker.lb.session_cookie=a;b",
            "f:3: session_cookie: 'a;b' cannot be the name of a cookie",
        ),
        (
            "worker.lb.session_path=;a=b",
            "f:3: session_path: ';a=b' cannot be the name of a path parameter",
        ),
        (
            "worker.lb.session_cookie_path=app",
            "f:3: session_cookie_path: 'app' cannot be the path of a cookie, which begins with /",
        ),
        (
            "worker.lb.secret=env:NONE",
            "f:3: secret: the environment variable 'NONE' is not set or empty",
        ),
        ("worker.a.route=a b", "f:3: route: 'a b' cannot be part of a session cookie"),
        ("worker.a.jvm_route=a,b", "f:3: jvm_route: 'a,b' cannot be part of a session cookie"),
        ("worker.a.domain=a/b", "f:3: domain: 'a/b' cannot be part of a session cookie"),
        ("worker.a.redirect=a;b", "f:3: redirect: 'a;b' cannot be part of a session cookie"),
        ("worker.a.activation=x", "f:3: activation: 'x' is none of Active, Disabled, Stopped"),
        ("worker.a.lbfactor=x", "f:3: lbfactor: 'x' is not a number"),
        ("worker.a.route=b", "f:5: members 'a' and 'b' of balancer 'lb' have the same route 'b'"),
        ("worker.b.route=a", "f:3: members 'a' and 'b' of balancer 'lb' have the same route 'a'"),
        ("worker.lb.balance_workers=c", "f:2: member 'c' of balancer 'lb' is defined nowhere"),
        (
            "worker.lb.balance_workers=c\nworker.c.type=lb",
            "f:3: member 'c' of balancer 'lb' is a balancer itself; members are of type ajp13",
        ),
        (
            "worker.lb.balance_workers=c\nworker.c.type=status",
            "f:3: member 'c' of balancer 'lb' is a status worker; members are of type ajp13",
        ),
    ],
)
def test_errors(lines: str, error: str) -> None:
    found = errors_of(HEAD + lines + TAIL)
    # A name of the list has the line of its own occurrence.
    assert found == [error.replace("f:2: member 'c'", "f:3: member 'c'")]


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        ("worker.a.redirect=c", "f:3: redirect: 'c' is the route of no member of balancer 'lb'"),
        (
            "worker.b.route=node2\nworker.a.redirect=node3",
            "f:4: redirect: 'node3' is the route of no "
            "member of balancer 'lb' (did you mean 'node2'?)",
        ),
        (
            "worker.b.route=node2\nworker.a.redirect=b",
            "f:4: redirect: 'b' is the route of no member of balancer 'lb' (did you mean 'node2'?)",
        ),
    ],
)
def test_redirects_to_nobody(lines: str, warning: str) -> None:
    _, errors, warnings = build(HEAD + lines + TAIL)
    assert not errors
    assert warnings == [warning]
    place = Place("ajpd.toml", 1)
    entries = {
        "lb": {"type": "lb", "balance_workers": ["a"]},
        "a": {"redirect": "c"},
    }
    sections = {
        name: Section(
            name=name,
            place=place,
            entries={
                key: Entry(name=key, value=value, place=place) for key, value in values.items()
            },
        )
        for name, values in entries.items()
    }
    findings = Findings()
    build_workers(sections, ("lb",), findings, env={}, maintain_ms=60_000)
    assert [str(error) for error in findings.errors] == [
        "ajpd.toml:1: redirect: 'c' is the route of no member of balancer 'lb'"
    ]


@pytest.mark.parametrize("lines", ["", "worker.lb.balance_workers= \n", "worker.lb.retries=2\n"])
def test_a_balancer_needs_members(lines: str) -> None:
    built, errors, _ = build(f"worker.lb.type=lb\n{lines}")
    assert built == Workers({}, {}, {})
    assert errors == ["f:1: balancer 'lb' has no members"]


def test_a_redirect_that_somebody_else_has_is_a_warning() -> None:
    lines = "worker.a.redirect=node3\nworker.c.route=node3\nworker.other.type=lb\n"
    lines += "worker.other.balance_workers=c"
    balancer, warnings = balancer_of(lines)
    assert balancer.members[0].redirect == "node3"
    assert warnings == ["f:3: redirect: 'node3' is the route of no member of balancer 'lb'"]


def test_a_member_whose_name_cannot_be_a_route() -> None:
    text = "worker.lb.type=lb\nworker.lb.balance_workers=a/b\nworker.a/b.host=h\n"
    assert errors_of(text) == [
        "f:3: member 'a/b' needs a route: its name cannot be part of a session cookie"
    ]
    built, errors, _ = build(f"{text}worker.a/b.route=r\n")
    assert not errors
    assert built.balancers["lb"].members[0].route == "r"


@pytest.mark.parametrize("listed", [False, True])
def test_all_the_ways_to_write_members(listed: bool) -> None:
    ways = (
        "worker.lb.balance_workers=a,b,c",
        "worker.lb.balance_workers=a\nworker.lb.balance_workers=b , c",
        "worker.lb.balanced_workers=a b\nworker.lb.balanced_workers=c",
        "worker.lb.balanced_workers=c\nworker.lb.balance_workers=a\tb c",
    )
    for way in ways:
        text = f"worker.lb.type=lb\n{way}\nworker.c.port=1{TAIL}"
        built, errors, _ = build(text, used=("c", "lb", "a") if listed else ("lb",))
        assert not errors
        members = built.balancers["lb"].members
        assert [member.name for member in members] == ["a", "b", "c"]
        assert all(member.worker is built.workers[member.name] for member in members)


@pytest.mark.parametrize("count", [1, MAX_MEMBERS, MAX_MEMBERS + 1])
def test_as_many_members_as_the_library_takes(count: int) -> None:
    names = [f"m{number}" for number in range(count)]
    text = f"worker.lb.type=lb\nworker.lb.balance_workers={','.join(names)}\n"
    built, errors, _ = build(text + "".join(f"worker.{name}.port=1\n" for name in names))
    config = built.balancers["lb"]
    members = [member.member for member in config.members]
    if count <= MAX_MEMBERS:
        assert not errors
        assert len(Balancer(members, config.settings).members) == count
    else:
        assert errors == ["f:2: balancer 'lb' has 65 members, and 64 is the most"]
        with pytest.raises(ValueError, match="1 to 64 members"):
            Balancer(members, config.settings)


def test_without_maintenance() -> None:
    _, errors, warnings = build(HEAD + TAIL, maintain=0)
    assert not errors
    assert warnings == [
        "f:1: because of worker.maintain=0, failed members of balancer 'lb' are only tried again "
        "when nobody else is left"
    ]


OTHER = "worker.other.type=lb\nworker.other.balance_workers=b c\nworker.c.port=1\n"


def test_members_inherit_the_secret() -> None:
    built, errors, _ = build(
        f"{HEAD}worker.lb.secret=env:S\nworker.a.secret=own\n{OTHER}{TAIL}",
        used=("lb", "other"),
        env={"S": "geheim"},
    )
    assert not errors
    secrets = {name: worker.secret for name, worker in built.workers.items()}
    assert secrets == {"a": b"own", "b": b"geheim", "c": None}
    assert built.balancers["lb"].members[1].worker is built.balancers["other"].members[0].worker
    assert "geheim" not in repr(built)


@pytest.mark.parametrize(
    ("lines", "errors"),
    [
        ("worker.lb.secret=s1\nworker.other.secret=s1", []),
        ("worker.lb.secret=s1\nworker.other.secret=s2\nworker.b.secret=s3", []),
        (
            "worker.b.port=2\nworker.lb.secret=s1\nworker.other.secret=s2",
            [
                "f:3: member 'b' has no secret, and balancers 'lb' and 'other' have different ones "
                "for it"
            ],
        ),
    ],
)
def test_balancers_agree_on_the_secret_of_a_member(lines: str, errors: list[str]) -> None:
    found = build(f"{HEAD}{lines}\n{OTHER}{TAIL}", used=("lb", "other"))[1]
    assert found == errors


def test_everything_wrong_is_told_at_once() -> None:
    text = f"{HEAD}worker.lb.method=x\nworker.a.port=x\nworker.a.route=a b\nworker.b.route=;{TAIL}"
    built, errors, _ = build(text)
    assert [error.split(": ")[1] for error in errors] == ["method", "port", "route"]
    # The routes of those that are no workers are not looked at.
    assert built.balancers == {}
    assert list(built.workers) == ["b"]


@pytest.mark.parametrize(
    ("directive", "good", "bad"),
    [
        (
            "session_cookie",
            ["JSESSIONID", "__Host-x", "a.b"],
            ["", "a b", "a=b", "a;b", "ä", "a,b"],
        ),
        (
            "session_path",
            [";jsessionid", ";JSESSIONID", "sid", ";a.b"],
            ["", ";", ";a=", ";a;b", ";a/b", "/a", ";a b", ";ä", "a?b"],
        ),
        (
            "session_cookie_path",
            ["/", "/app", "/a/b,c"],
            ["", "app", "/a;b", "/a b", "/ä", "/a\nb"],
        ),
    ],
)
def test_names_of_sessions(directive: str, good: list[str], bad: list[str]) -> None:
    assert [value for value in good + bad if not bad_session_name(directive, value)] == good
