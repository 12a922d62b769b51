import pytest

from ajpd.config.errors import Findings, Place
from ajpd.config.properties import parse_properties
from ajpd.config.sections import (
    Entry,
    Section,
    SectionValues,
    check_names,
    check_type,
    listed_workers,
    maintain_ms,
    sections_from_properties,
)


def sections(text: str, findings: Findings) -> dict[str, Section]:
    return sections_from_properties(parse_properties(text, "f", findings, env={}), findings)


def values_of(
    lines: str, kind: str, *, is_member: bool = False
) -> tuple[SectionValues, list[str], list[str]]:
    """Values of the section `a`, from lines without their `worker.a.`."""
    findings = Findings()
    text = "\n".join(f"worker.a.{line}" for line in lines.split("\n"))
    values = SectionValues(sections(text, findings)["a"], kind, findings, is_member=is_member)
    return values, [str(e) for e in findings.errors], [str(w) for w in findings.warnings]


def test_keys_of_the_whole_file() -> None:
    findings = Findings()
    found = sections(
        "worker.list=a\nworker.maintain=60\nworker.lst=a\nworker.port=1\nworker..x=1\nps=/\n"
        "; worker.list=b\nWorker.a.port=1\nworkers.java_home=/x\nworker.a.b.host=h",
        findings,
    )
    assert list(found) == ["a.b"]
    assert [str(error) for error in findings.errors] == [
        "f:3: unknown directive 'worker.lst' (did you mean 'worker.list'?)",
        "f:5: unknown directive 'worker..x'",
    ]
    assert [str(warning) for warning in findings.warnings] == [
        "f:4: 'worker.port' is the directive of no worker and means nothing, nor does it in mod_jk "
        "(did you mean 'worker.NAME.port'?)",
        "f:7: '; worker.list' does not begin with 'worker.' and is only a variable: "
        "only # begins a comment",
        "f:8: 'Worker.a.port' does not begin with 'worker.' and is only a variable",
    ]


def test_listed_workers() -> None:
    def listed(text: str) -> list[tuple[str, Place]]:
        return listed_workers(parse_properties(text, "f", Findings(), env={}))

    assert listed("x=1\nworker.list=a b\nworker.list=c") == [
        ("a", Place("f", 2, 13)),
        ("b", Place("f", 2, 15)),
        ("c", Place("f", 3, 13)),
    ]
    assert listed("x=1") == []


def test_members() -> None:
    found = sections(
        "worker.b.type=lb\nworker.b.balance_workers=x, y\nworker.c.type=lb\n"
        "worker.c.balanced_workers=z\nworker.d.type=lb\nworker.e.balance_workers=x",
        Findings(),
    )
    members = {name: [member for member, _ in s.members()] for name, s in found.items()}
    assert members == {"b": ["x", "y"], "c": ["z"], "d": [], "e": []}


@pytest.mark.parametrize(
    ("text", "milliseconds", "errors", "warnings"),
    [
        ("x=1", 60_000, [], []),
        ("x=1\nworker.maintain=5", 5_000, [], []),
        ("worker.maintain=0", 0, [], []),
        ("worker.maintain=-1", 0, [], ["f:1: worker.maintain: less than 0 s is taken as 0 s"]),
        ("worker.maintain=x", 60_000, ["f:1: worker.maintain: 'x' is not a number"], []),
    ],
)
def test_maintain(text: str, milliseconds: int, errors: list[str], warnings: list[str]) -> None:
    findings = Findings()
    assert maintain_ms(parse_properties(text, "f", findings, env={}), findings) == milliseconds
    assert [str(error).partition(";")[0] for error in findings.errors] == errors
    assert [str(warning) for warning in findings.warnings] == warnings


def test_entries() -> None:
    place = Place("ajpd.toml", 4)
    entry = Entry(name="mount", value=["/a", "/b c"], place=place)
    assert entry.tokens() == [("/a", place), ("/b c", place)]
    assert entry.encoding == "utf-8"
    assert Entry(name="mount", value=5, place=place).tokens() == []


def test_names_are_checked() -> None:
    findings = Findings()
    check_names(
        sections("worker.a.hots=x\nworker.a.port=1\nworker.a.list=b", findings)["a"], findings
    )
    assert [str(error) for error in findings.errors] == [
        "f:1: unknown directive 'hots' of worker 'a' (did you mean 'host'?)",
    ]
    assert [str(warning) for warning in findings.warnings] == [
        "f:3: 'list' is no directive of a worker and means nothing here "
        "(did you mean 'worker.list'?)",
    ]


def test_values_written_and_default() -> None:
    values, errors, warnings = values_of(
        "type=lb\nmethod=b\nsticky_session=0\nrecover_time=7\nnonsense=1", "lb"
    )
    assert (errors, warnings) == ([], [])
    assert values.text("method") == "Busyness"
    assert values.flag("sticky_session") is False
    assert values.flag("set_session_cookie") is False
    assert values.number("recover_time") == 7_000
    assert values.number("retry_interval") == 100
    assert values.number_or_none("error_escalation_time") is None
    assert values.is_written("method")
    assert not values.is_written("lock")
    assert values.secret({}) is None
    with pytest.raises(AssertionError, match="port means nothing for type lb"):
        values.number("port")


@pytest.mark.parametrize(
    ("line", "kind", "warning"),
    [
        (
            "sticky_session=1",
            "ajp13",
            "f:1: 'sticky_session' belongs to type lb and has no effect on type ajp13, "
            "nor has it in mod_jk",
        ),
        (
            "css=x",
            "lb",
            "f:1: 'css' belongs to type status and has no effect on type lb, nor has it in mod_jk",
        ),
        (
            "port=1",
            "lb",
            "f:1: 'port' belongs to type ajp13 and has no effect on type lb, nor has it in mod_jk: "
            "write it for the members",
        ),
        ("lbfactor=1", "lb", "f:1: 'lbfactor' only means something for a member of a balancer"),
        ("route=r", "ajp13", "f:1: 'route' only means something for a member of a balancer"),
        ("local_worker=1", "lb", "f:1: 'local_worker' is ignored, as it is by mod_jk"),
        ("recover_time=0", "lb", "f:1: recover_time: less than 1 s is taken as 1 s"),
        (
            "balanced_workers=x",
            "lb",
            "f:1: 'balanced_workers' is the former name of 'balance_workers'",
        ),
    ],
)
def test_values_with_a_warning(line: str, kind: str, warning: str) -> None:
    _, errors, warnings = values_of(line, kind)
    assert not errors
    assert warnings == [warning]


def test_former_names_of_members() -> None:
    values, errors, warnings = values_of("jvm_route=r\nstopped=1", "ajp13", is_member=True)
    assert not errors
    assert warnings == [
        "f:1: 'jvm_route' is the former name of 'route'",
        "f:2: 'stopped' is a former way to write 'activation'",
    ]
    assert values.text_or_none("route") == "r"
    assert values.flag("stopped")
    assert not values.is_written("activation")
    values, *_ = values_of("jvm_route=r\nroute=s", "ajp13", is_member=True)
    assert values.text_or_none("route") == "s"


def test_errors_and_warnings_tell_what_was_written() -> None:
    findings = Findings()
    section = sections("worker.a.port=1\nworker.a.jvm_route=r", findings)["a"]
    values = SectionValues(section, "ajp13", findings, is_member=True)
    values.error("route", "no good", hint="s")
    values.warn("port", "is odd", hint="2")
    assert [str(e) for e in findings.errors] == ["f:2: jvm_route: no good (did you mean 's'?)"]
    assert "f:1: 'port' is odd (did you mean '2'?)" in [str(w) for w in findings.warnings]


def test_secrets_of_any_type() -> None:
    values, *_ = values_of("secret=geheim", "lb")
    assert values.secret({}) == b"geheim"
    findings = Findings()
    section = sections("worker.a.secret=env:NONE", findings)["a"]
    assert SectionValues(section, "lb", findings).secret({}) is None
    assert [str(e) for e in findings.errors] == [
        "f:1: secret: the environment variable 'NONE' is not set or empty"
    ]


def test_a_type_that_is_no_text() -> None:
    for value in (["ajp14"], {"a": 1}, 5):
        entries = {"type": Entry(name="type", value=value, place=Place("t", 1))}
        section = Section(name="a", place=Place("t", 1), entries=entries)
        findings = Findings()
        check_type(section, findings)
        (error,) = findings.errors
        assert error.message.startswith("type: must be one of ajp13, lb, status, not ")


def test_entries_hide_their_values() -> None:
    assert "geheim" not in repr(Entry(name="secret", value="geheim", place=Place("f", 1)))
