import dataclasses

import pytest

from ajp.lb import Activation, Extension
from ajpd.config.balancers import build_workers
from ajpd.config.errors import Findings, Place
from ajpd.config.extensions import Options, parse_extensions, settle
from ajpd.config.model import Mount, MountSource
from ajpd.config.properties import parse_properties
from ajpd.config.sections import sections_from_properties
from ajpd.config.urimap import parse_rule

PLACE = Place("f", 1)
ACT, DIS, STP = Activation
OWN = 255


def parse(text: str) -> tuple[Options, list[str], list[str]]:
    findings = Findings()
    options = parse_extensions(text.split(";"), findings, PLACE)
    return options, [str(e) for e in findings.errors], [str(w) for w in findings.warnings]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", Options()),
        (" ; ;", Options()),
        ("reply_timeout=5000", Options(reply_timeout_ms=5000)),
        ("reply_timeout=-1", Options()),
        ("reply_timeout=1;reply_timeout=2", Options(reply_timeout_ms=2)),
        ("fail_on_status=503,-404 500", Options(fail_on_status=(503, -404, 500))),
        ("use_server_errors=500", Options(use_server_errors=500)),
        ("sticky_ignore=1", Options(extension=Extension(sticky_ignore=True))),
        ("stateless=-1", Options(extension=Extension(stateless=True))),
        ("set_session_cookie=+2", Options(extension=Extension(set_session_cookie=True))),
        ("sticky_ignore=0;stateless=0;set_session_cookie=00", Options()),
        ("stateless=1;stateless=0", Options()),
        ("session_cookie=SID", Options(extension=Extension(session_cookie="SID"))),
        ("session_path=;sid", Options(extension=Extension(session_path=";sid"))),
        (
            "session_path=; sid ;stateless=1",
            Options(extension=Extension(session_path=";sid", stateless=True)),
        ),
        ("session_path=", Options()),
        ("session_path", Options()),
        ("session_cookie=;session_path=", Options()),
        ("active=a;disabled=;stopped=", Options(overrides=(("a", ACT),))),
        (
            " active = a , b ; disabled=c\td ;stopped=e",
            Options(overrides=(("a", ACT), ("b", ACT), ("c", DIS), ("d", DIS), ("e", STP))),
        ),
        ("disabled=a,a", Options(overrides=(("a", DIS),))),
    ],
)
def test_options(text: str, options: Options) -> None:
    assert parse(text) == (options, [], [])


@pytest.mark.parametrize(
    ("text", "options", "warning"),
    [
        (
            "sticky_ignore=true",
            Options(),
            "f:1: sticky_ignore: 'true' is no number and counts as 0, in mod_jk too: write 1 to "
            "switch it on",
        ),
        (
            "stateless",
            Options(),
            "f:1: stateless: '' is no number and counts as 0, in mod_jk too: write 1 to switch it "
            "on",
        ),
        (
            "stateless=1x",
            Options(extension=Extension(stateless=True)),
            "f:1: stateless: '1x' counts as 1",
        ),
        ("stateless=0x1", Options(), "f:1: stateless: '0x1' counts as 0"),
        (
            "session_path=sid",
            Options(extension=Extension(session_path="sid")),
            "f:1: session_path: 'sid' has no ';' and is found in other names too",
        ),
        (
            "session_cookie_path=/shop",
            Options(extension=Extension(session_cookie_path="/shop")),
            "f:1: 'session_cookie_path' of a rule counts here, in mod_jk it does not",
        ),
        (
            "fail_on_status=500;fail_on_status=404",
            Options(fail_on_status=(500,)),
            "f:1: 'fail_on_status' is there twice; the first one counts",
        ),
        (
            "active=a;active=b",
            Options(overrides=(("a", ACT),)),
            "f:1: 'active' is there twice; the first one counts",
        ),
        (
            "stopped=a;disabled=b;active=b,c",
            Options(overrides=(("b", DIS), ("c", ACT), ("a", STP))),
            "f:1: member 'b' is in 'active' and in 'disabled': 'disabled' counts",
        ),
    ],
)
def test_options_with_a_warning(text: str, options: Options, warning: str) -> None:
    assert parse(text) == (options, [], [warning])


def test_the_last_class_of_three_counts() -> None:
    options, _, warnings = parse("stopped=a;disabled=a;active=a")
    assert options.overrides == (("a", STP),)
    assert warnings == [
        "f:1: member 'a' is in 'active' and in 'disabled': 'disabled' counts",
        "f:1: member 'a' is in 'disabled' and in 'stopped': 'stopped' counts",
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "sticky_ignor=1",
            "f:1: unknown extension 'sticky_ignor' of a rule (did you mean 'sticky_ignore'?)",
        ),
        ("nonsense", "f:1: unknown extension 'nonsense' of a rule"),
        ("=1", "f:1: unknown extension '' of a rule"),
        ("session_cookie=a b", "f:1: session_cookie: 'a b' cannot be the name of a cookie"),
        (
            "session_path=;sticky_ignore=1",
            "f:1: session_path: ';sticky_ignore=1' cannot be the name of a path parameter",
        ),
        (
            "reply_timeout=20s",
            "f:1: reply_timeout: '20s' is no number of milliseconds, 0 for no limit "
            "or -1 for that of the worker",
        ),
        (
            "fail_on_status=5o3",
            "f:1: fail_on_status: '5o3' is no status of 100 to 999, with or without a minus",
        ),
        (
            "use_server_errors=1",
            "f:1: use_server_errors: '1' is neither 0 nor a status of 400 to 599",
        ),
    ],
)
def test_errors(text: str, error: str) -> None:
    assert parse(text)[1] == [error]


def settled(key: str, value: str) -> tuple[list[Mount], list[str], list[str]]:
    """Rules as they are for the balancer `lb` of `a`, `b` and `c`, and the worker `w`."""
    findings = Findings()
    text = "worker.lb.type=lb\nworker.lb.balance_workers=a,b,c\n"
    text += "".join(f"worker.{name}.port=1\n" for name in "abcw")
    sections = sections_from_properties(parse_properties(text, "w", findings, env={}), findings)
    built = build_workers(sections, ("lb", "w"), findings, env={}, maintain_ms=60_000)
    rules = parse_rule(key, value, findings, place=PLACE, source=MountSource.FILE)
    found = settle(rules, built.workers, built.balancers, findings)
    return found, [str(e) for e in findings.errors], [str(w) for w in findings.warnings]


@pytest.mark.parametrize(
    ("value", "extension"),
    [
        ("lb", None),
        ("lb;reply_timeout=7", None),
        ("lb;stateless=1", Extension(stateless=True)),
        ("lb;stopped=b", Extension(activations=bytes((OWN, STP, OWN)))),
        (
            "lb;sticky_ignore=1;active=c;disabled=a",
            Extension(sticky_ignore=True, activations=bytes((DIS, OWN, ACT))),
        ),
    ],
)
def test_rules_of_a_balancer(value: str, extension: Extension | None) -> None:
    rules, errors, warnings = settled("/x|/*", value)
    assert (errors, warnings) == ([], [])
    assert [rule.extension for rule in rules] == [extension, extension]


def test_members_that_are_none() -> None:
    rules, errors, _ = settled("/x|/*", "lb;stopped=B,a;active=node")
    assert len(rules) == 2
    assert errors == [
        "f:1: 'node' is no member of balancer 'lb'",
        "f:1: 'B' is no member of balancer 'lb' (did you mean 'b'?)",
    ]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("w;sticky_ignore=1", "sticky_ignore"),
        ("w;stopped=a;active=b;session_cookie=x", "session_cookie, active, stopped"),
    ],
)
def test_workers_that_are_no_balancers(value: str, what: str) -> None:
    (rule,), errors, warnings = settled("/x", f"{value};reply_timeout=7")
    assert not errors
    assert warnings == [f"f:1: the rule /x=w: {what} only means something for a balancer"]
    assert (rule.extension, rule.overrides, rule.reply_timeout_ms) == (None, (), 7)


def test_rules_that_are_let_be() -> None:
    (exclusion,), _, warnings = settled("!/x", "lb;stopped=nobody")
    assert exclusion.overrides == (("nobody", STP),)
    assert warnings == ["f:1: the exclusion '!/x' has no use for extensions"]
    (unknown,), errors, warnings = settled("/x", "lbb;stopped=nobody")
    assert (errors, warnings) == ([], [])
    assert unknown.extension is None


def test_every_extension_of_a_balancer_is_named_in_the_warning() -> None:
    everything = "sticky_ignore=1;stateless=1;set_session_cookie=1;session_cookie=a;"
    everything += "session_path=;b;session_cookie_path=/"
    _, _, warnings = settled("/x", f"w;{everything}")
    names = {field.name for field in dataclasses.fields(Extension)} - {"activations"}
    (warning,) = [line for line in warnings if "only means something" in line]
    assert {name for name in names if name in warning} == names
