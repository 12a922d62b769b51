import fnmatch
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ajp.lb import Activation, Extension
from ajpd.config.errors import Findings, Place
from ajpd.config.model import Mount, MountSource
from ajpd.config.urimap import Decision, UriMap, parse_rule, read_uri_map, rules_of_worker


def parse(
    key: str, value: str, source: MountSource = MountSource.FILE
) -> tuple[list[Mount], list[str], list[str]]:
    findings = Findings()
    rules = parse_rule(key, value, findings, place=Place("f", 1), source=source)
    return rules, [str(e) for e in findings.errors], [str(w) for w in findings.warnings]


def rules(text: str, source: MountSource = MountSource.FILE) -> list[Mount]:
    findings = Findings()
    found: list[Mount] = []
    for line in text.split():
        key, _, value = line.partition("=")
        found += parse_rule(key, value, findings, place=Place("f", 1), source=source)
    assert not findings.errors
    return found


def worker_for(text: str, path: bytes) -> str | None:
    mount = UriMap(rules(text)).match(path)
    return None if mount is None else mount.worker


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("/a", ["/a=w"]),
        ("!/a", ["!/a=w"]),
        ("-/a", ["-/a=w"]),
        ("-!/a", ["-!/a=w"]),
        ("/a|/*", ["/a=w", "/a/*=w"]),
        ("-!/a|/*", ["-!/a=w", "-!/a/*=w"]),
        ("/a|/b|c", ["/a=w", "/a/b|c=w"]),
        ("/a|", ["/a=w", "/a=w"]),
    ],
)
def test_syntax(key: str, shown: list[str]) -> None:
    found, errors, warnings = parse(key, "w")
    assert [str(rule) for rule in found] == shown
    assert not errors
    assert not warnings


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("a/*", "w", "f:1: the pattern of 'a/*' must begin with '/' (did you mean '/a/*'?)"),
        ("*.jsp", "w", "f:1: the pattern of '*.jsp' must begin with '/' (did you mean '/*.jsp'?)"),
        ("!*.gif", "w", "f:1: the pattern of '!*.gif' must begin with '/' "
         "(did you mean '!/*.gif'?)"),
        ("!-/a", "w", "f:1: the pattern of '!-/a' must begin with '/' (did you mean '-!/a'?)"),
        ("!", "w", "f:1: the pattern of '!' must begin with '/'"),
        ("/a", ";reply_timeout=1", "f:1: the rule '/a' names no worker"),
        ("/a", "*", "f:1: '*' as worker belongs into exclusions only, not into '/a'"),
        ("/a", "w;reply_timout=1", "f:1: unknown extension 'reply_timout' of a rule "
         "(did you mean 'reply_timeout'?)"),
        ("/a", "w;nonsense", "f:1: unknown extension 'nonsense' of a rule"),
        ("/a", "w;fail_on_status=5o3", "f:1: fail_on_status: '5o3' is no status of 100 to 999, "
         "with or without a minus"),
        ("/a", "w;use_server_errors=1", "f:1: use_server_errors: '1' is neither 0 nor a status of "
         "400 to 599"),
        ("/a", "w;reply_timeout=20s", "f:1: reply_timeout: '20s' is no number of milliseconds, "
         "0 for no limit or -1 for that of the worker"),
        ("/a", "w;reply_timeout=-2", "f:1: reply_timeout: '-2' is no number of milliseconds, "
         "0 for no limit or -1 for that of the worker"),
    ],
)  # fmt: skip
def test_broken_rules(key: str, value: str, error: str) -> None:
    assert parse(key, value, MountSource.MOUNT)[1] == [error]


@pytest.mark.parametrize(
    ("key", "value", "warning"),
    [
        (
            "*.jsp",
            "w",
            "f:1: the pattern of '*.jsp' must begin with '/': the rule is left out, as mod_jk does "
            "(did you mean '/*.jsp'?)",
        ),
        (
            "!-/a",
            "w",
            "f:1: the pattern of '!-/a' must begin with '/': the rule is left out, as mod_jk does "
            "(did you mean '-!/a'?)",
        ),
        (
            "/a",
            "w;reply_timout=7",
            "f:1: unknown extension 'reply_timout' of a rule is not looked at, as in mod_jk "
            "(did you mean 'reply_timeout'?)",
        ),
        ("/a", "w;reply_timeout=20s", "f:1: reply_timeout: '20s' counts as 20, as in mod_jk"),
        ("/a", "w;fail_on_status=503x", "f:1: fail_on_status: '503x' counts as 503, as in mod_jk"),
        (
            "/a",
            "w;use_server_errors=500.5",
            "f:1: use_server_errors: '500.5' counts as 500, as in mod_jk",
        ),
    ],
)
def test_a_map_of_mod_jk_may_have_what_mod_jk_accepts(key: str, value: str, warning: str) -> None:
    rules, errors, warnings = parse(key, value)
    assert not errors
    assert warnings == [warning]
    assert len(rules) == (key == "/a")


@pytest.mark.parametrize(
    ("value", "message"),
    [("reply_timeout=x", "'x' is no number"), ("fail_on_status=x", "'x' is no status")],
)
def test_what_is_no_number_is_an_error_everywhere(value: str, message: str) -> None:
    for source in (MountSource.FILE, MountSource.MOUNT):
        (error,) = parse("/a", f"w;{value}", source)[1]
        assert message in error


@pytest.mark.parametrize(
    ("value", "timeout"),
    [
        ("w", None),
        ("w;reply_timeout=5000", 5000),
        ("w;reply_timeout=0", 0),
        ("w;reply_timeout=-1", None),
        ("w ; reply_timeout = 7 ;", 7),
        ("w;sticky_ignore=0;stateless=0;reply_timeout=7", 7),
        ("w;session_path=", None),
    ],
)
def test_extensions(value: str, timeout: int | None) -> None:
    found, errors, warnings = parse("/a", value)
    assert [(rule.worker, rule.reply_timeout_ms) for rule in found] == [("w", timeout)]
    assert not errors
    assert not warnings


@pytest.mark.parametrize(
    ("value", "statuses", "least"),
    [
        ("w", None, 0),
        ("w;fail_on_status=", None, 0),
        ("w;fail_on_status=503", (503,), 0),
        ("w;fail_on_status=503,-500 404", (503, -500, 404), 0),
        ("w;use_server_errors=0", None, 0),
        ("w;use_server_errors=400;fail_on_status=-599", (-599,), 400),
    ],
)
def test_statuses(value: str, statuses: tuple[int, ...] | None, least: int) -> None:
    (rule,), errors, _ = parse("/a", value)
    assert not errors
    assert (rule.fail_on_status, rule.use_server_errors) == (statuses, least)


def test_an_exclusion_has_no_use_for_extensions() -> None:
    found, errors, warnings = parse("!/a", "w;sticky_ignore=1;reply_timeout=1")
    assert [str(rule) for rule in found] == ["!/a=w"]
    assert not errors
    assert warnings == ["f:1: the exclusion '!/a' has no use for extensions"]


def test_extensions_are_in_every_rule_of_a_shorthand() -> None:
    found, errors, _ = parse("/a|/*", "lb;stateless=1;stopped=x")
    assert not errors
    for rule in found:
        assert rule.extension == Extension(stateless=True)
        assert rule.overrides == (("x", Activation.STOPPED),)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("/a;x=1", "path parameters (;)"),
        ("/a//b", "no '//'"),
        ("/a%20b", "paths are decoded"),
        ("/a/../b", "no '.' and '..' segments"),
        ("/a/.", "no '.' and '..' segments"),
    ],
)
def test_patterns_that_match_nothing(pattern: str, why: str) -> None:
    found, errors, warnings = parse(pattern, "w")
    assert len(found) == 1
    assert not errors
    assert len(warnings) == 1
    assert why in warnings[0]


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        (b"/a", b"/a", True),
        (b"/a", b"/a/", False),
        (b"/a", b"/A", False),
        (b"/a/*", b"/a/", True),
        (b"/a/*", b"/a/b/c", True),
        (b"/a/*", b"/a", False),
        (b"/a*", b"/ab/c", True),
        (b"/*", b"/", True),
        (b"/*", b"*", False),
        (b"/*.jsp", b"/a/b.jsp", True),
        (b"/*.jsp", b"/.jsp", True),
        (b"/*.jsp", b"/a.jspx", False),
        (b"/*.cfm/*", b"/x.cfm/y", True),
        (b"/*.cfm/*", b"/x.cfm", False),
        (b"/ab*ba", b"/aba", False),
        (b"/ab*ba", b"/abba", True),
        (b"/a*b*c*d", b"/a-b-c-d", True),
        (b"/a*b*c*d", b"/a-c-b-d", False),
        (b"/a**b", b"/a-b", True),
        (b"/a?c", b"/abc", True),
        (b"/a?c", b"/a/c", True),
        (b"/a?c", b"/ac", False),
        (b"/a?c", b"/a\nc", True),
        (b"/?*", b"/", False),
        (b"/?*", b"/x", True),
        (b"/*.jpe?g", b"/x.jpeg", False),
        (b"/*.jpe?g", b"/x.jpe_g", True),
        (b"/a?*?b*c", b"/axxbc", True),
        (b"/a?*?b*c", b"/axbc", False),
        (b"/[a]*", b"/[a]x", True),
        (b"/[a]?", b"/ax", False),
        (b"/\xe4*", b"/\xe4x", True),
    ],
)
def test_matching(pattern: bytes, path: bytes, expected: bool) -> None:
    uri_map = UriMap([Mount(pattern=pattern, worker="w")])
    assert (uri_map.match(path) is not None) is expected


text = st.text(alphabet="ab/*?.", max_size=12)


@given(text, st.text(alphabet="ab/.", max_size=12))
def test_matching_agrees_with_an_expression(tail: str, path: str) -> None:
    pattern, path = "/" + tail, "/" + path
    expected = re.fullmatch(fnmatch.translate(pattern), path) is not None
    uri_map = UriMap([Mount(pattern=pattern.encode(), worker="w")])
    assert (uri_map.match(path.encode()) is not None) is expected


def test_no_pattern_takes_long() -> None:
    uri_map = UriMap(
        Mount(pattern=b"/" + piece * 30 + b"b", worker="w") for piece in (b"*a", b"*a?")
    )
    start = time.perf_counter()
    assert uri_map.match(b"/" + b"a" * 60_000) is None
    assert time.perf_counter() - start < 0.2


def test_order_slashes_then_length_then_source() -> None:
    order = UriMap(
        [
            *rules("/m=worker", MountSource.WORKER),
            *rules("/m=mount", MountSource.MOUNT),
            *rules("/*=w /a/b=w /a/*x*=w /*/*/*=w -/off=w"),
            *rules("/m=file"),
        ]
    ).rules
    assert [str(rule) for rule in order] == [
        "/*/*/*=w",
        "/a/*x*=w",
        "/a/b=w",
        "/m=file",
        "/*=w",
        "/m=mount",
        "/m=worker",
    ]


def test_equal_rank_keeps_the_order_written() -> None:
    assert worker_for("/a*=one /b*=no /*a=two", b"/aa") == "one"
    assert worker_for("/*a=two /b*=no /a*=one", b"/aa") == "two"
    assert worker_for("/*=any /m=exact", b"/m") == "exact"


@pytest.mark.parametrize(
    ("text", "path", "worker"),
    [
        ("/a/b=exact /a/*x*=wild", b"/a/b", "exact"),
        ("/foo/bar=exact /*/*/*=wild", b"/foo/bar/x", "wild"),
        ("/a/*=one /*=two", b"/a/x", "one"),
        ("/a/*=one /*=two", b"/b", "two"),
        ("/a/*=one", b"/b", None),
        ("-/a/*=one", b"/a/b", None),
        ("/a/*=one !/a/*.gif=one", b"/a/x.gif", None),
        ("/a/*=one !/a/*.gif=two", b"/a/x.gif", "one"),
        ("/a/*=one !/a/*.gif=*", b"/a/x.gif", None),
        ("/a/*=one -!/a/*.gif=one", b"/a/x.gif", "one"),
        ("/a/b/c=one /*=two !/*=one", b"/a/b/c", None),
        ("!/a=*", b"/a", None),
        ("/*=w", b"*", None),
    ],
)
def test_decisions(text: str, path: bytes, worker: str | None) -> None:
    assert worker_for(text, path) == worker


def test_decide_says_why() -> None:
    mount, exclusion = rules("/a/*=w !/a/x=*")
    uri_map = UriMap([mount, exclusion])
    assert uri_map.decide(b"/a/x") == Decision(mount, exclusion)
    assert uri_map.decide(b"/a/y") == Decision(mount)
    assert uri_map.decide(b"/b") == Decision(None)
    assert repr(uri_map) == "<UriMap 1 mounts 1 exclusions>"


def test_the_map_without_rules() -> None:
    assert UriMap([]).match(b"/") is None


def test_shadowed() -> None:
    one, two, other = rules("/a=one /a=two /b=one")
    assert UriMap([one, two, other]).shadowed() == [(one, two)]


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "map.properties"
    path.write_bytes(
        b"# map\r\n"
        b"/app|/* = w\r\n"
        b"!/app/*.gif=w # pictures\r\n"
        b"/name.list=$(WHO)\r\n"
        b"/name.list=z\r\n"
        b"/\xe4=w;reply_timeout=9\r\n"
    )
    findings = Findings()
    found = read_uri_map(path, findings, env={"WHO": "v"})
    assert [(rule.pattern, rule.worker, rule.place.line) for rule in found] == [
        (b"/app", "w", 2),
        (b"/app/*", "w", 2),
        (b"/app/*.gif", "w", 3),
        (b"/name.list", "z", 5),
        (b"/\xe4", "w", 6),
    ]
    assert found[-1].reply_timeout_ms == 9
    assert {rule.source for rule in found} == {MountSource.FILE}
    assert [str(warning) for warning in findings.warnings] == [
        f"{path}:5: '/name.list' was already given on line 4; the last one counts"
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    findings = Findings()
    assert read_uri_map(tmp_path / "x", findings, asked_at=Place("ajpd.toml", 2)) == []
    assert findings.errors[0].place == Place("ajpd.toml", 2)


def test_rules_of_a_worker() -> None:
    findings = Findings()
    place = Place("f", 3)
    patterns = [(text, place) for text in ("/a", "!/a/x", "-/b", "/c|d", "e", "/f;g")]
    found = rules_of_worker("w", patterns, findings, encoding="utf-8")
    assert [str(rule) for rule in found] == ["/a=w", "!/a/x=w", "-/b=w", "/c|d=w", "/f;g=w"]
    assert {rule.source for rule in found} == {MountSource.WORKER}
    assert [str(error) for error in findings.errors] == [
        "f:3: the pattern of 'e' must begin with '/' (did you mean '/e'?)"
    ]
    assert len(findings.warnings) == 2


def test_every_rule_hears_what_became_of_it() -> None:
    text = "/a/*=w /a/b/*=v !/a/b/*.gif=v !/a/b/*=w !/*=* -/a/b/c=w /z=w"
    found = UriMap(rules(text.replace("!/*=* ", ""))).consider(b"/a/b/c.gif")
    assert [(str(each.rule), str(each.standing)) for each in found] == [
        ("!/a/b/*.gif=v", "excludes"),
        ("-/a/b/c=w", "no match"),
        ("/a/b/*=v", "excluded"),
        ("!/a/b/*=w", "other"),
        ("/a/*=w", "later"),
        ("/z=w", "no match"),
    ]
    uri_map = UriMap(rules(text))
    standings = {str(each.rule): str(each.standing) for each in uri_map.consider(b"/a/b/c")}
    assert standings["/a/b/*=v"] == "excluded"
    assert standings["!/*=*"] == "excludes"
    assert standings["-/a/b/c=w"] == "off"
    nothing = {str(each.rule): str(each.standing) for each in uri_map.consider(b"/y")}
    assert nothing["!/*=*"] == "other"


@given(st.lists(st.sampled_from(["/a/*=w", "/a/b=v", "!/a/*=v", "!/*=*", "-/a/b=w", "/*b=w"])))
def test_what_is_considered_is_what_is_decided(lines: list[str]) -> None:
    uri_map = UriMap(rules(" ".join(lines)))
    for path in (b"/a/b", b"/a/c", b"/b", b"/"):
        decision = uri_map.decide(path)
        found = {str(each.standing): each.rule for each in reversed(uri_map.consider(path))}
        assert found.get("decides") is (None if decision.exclusion else decision.mount)
        assert found.get("excludes") is decision.exclusion
        assert found.get("excluded") is (decision.mount if decision.exclusion else None)
