from collections.abc import Mapping
from pathlib import Path

import pytest

from ajpd.config.errors import Findings, Place
from ajpd.config.properties import (
    LAST_COUNTS,
    MAX_SUBSTITUTIONS,
    Property,
    Repeats,
    encode,
    parse_properties,
    read_properties,
    resolve_references,
)


def parse(text: str, env: Mapping[str, str] | None = None) -> tuple[dict[str, str], list[str]]:
    findings = Findings()
    properties = parse_properties(text, "f", findings, env=env or {})
    assert not findings.errors
    return {item.key: item.value for item in properties}, [str(w) for w in findings.warnings]


def references(text: str) -> tuple[dict[str, Property], list[str]]:
    findings = Findings()
    properties = resolve_references(parse_properties(text, "f", findings, env={}), findings)
    return {item.key: item for item in properties}, [str(e) for e in findings.errors]


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=1\n", {"a": "1"}),
        ("a=1\r\nb=2\r\n", {"a": "1", "b": "2"}),
        ("  a \t=\v 1 \f", {"a": "1"}),
        ("a=b=c", {"a": "b=c"}),
        ("# a=1\n   #b=2\n\n \t\n", {}),
        ("a=1 # one", {"a": "1"}),
        ("\ufeff\na=1", {"a": "1"}),
        ("a=\u00a01", {"a": "\u00a01"}),
        ("a=1\x85b=2", {"a": "1\x85b=2"}),
    ],
)
def test_lines(text: str, pairs: dict[str, str]) -> None:
    assert parse(text) == (pairs, [])


def test_a_long_line_is_one_line() -> None:
    value = "x" * 20_000
    assert parse(f"a={value}")[0] == {"a": value}


def test_places_are_lines() -> None:
    items = parse_properties("\n# c\na=1\n\nb=2", "f", Findings(), env={})
    assert [item.place for item in items] == [Place("f", 3, 1), Place("f", 5, 1)]


def test_places_have_columns() -> None:
    (item,) = parse_properties(" \tworker.a = a = b ", "f", Findings(), env={})
    assert (item.key, item.value) == ("worker.a", "a = b")
    assert item.place == Place("f", 1, 3)
    assert item.value_place == Place("f", 1, 14)
    text = "a=bc\nworker.list = x,\ty\nworker.list=$(a) z"
    (_, listed) = parse_properties(text, "f", Findings(), env={})
    assert [place for _, place in listed.tokens()] == [
        Place("f", 2, 15),
        Place("f", 2, 18),
        # Where a variable was replaced, the value as a whole is meant.
        Place("f", 3, 13),
        Place("f", 3, 13),
    ]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("x\ny = 1", "f:1: a line without '=' is ignored"),
        ("y=1\n=z", "f:2: a line without a key is ignored"),
        ("y=1\n\nx=", "f:3: 'x' has no value and is ignored"),
        ("y=1\nx= # later", "f:2: 'x' has no value and is ignored"),
    ],
)
def test_what_is_ignored_is_told(text: str, warning: str) -> None:
    assert parse(text) == ({"y": "1"}, [warning])


def test_an_empty_value_does_not_undo_an_earlier_one() -> None:
    assert parse("x=1\nx=")[0] == {"x": "1"}


def test_a_value_that_a_hash_cuts() -> None:
    pairs, warnings = parse("worker.a.secret=ab#cd")
    assert pairs == {"worker.a.secret": "ab"}
    assert warnings == [
        "f:1: the value of 'worker.a.secret' ends at '#', which begins a comment anywhere in a line"
    ]


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("n=192.0.2\nh=$(n).7", "h", "192.0.2.7"),
        ("worker.a.port=1\nh=$(worker.a.port)$(worker.a.port)", "h", "11"),
        ("h=$(HOME)/x", "h", "/root/x"),
        ("HOME=/mine\nh=$(HOME)", "h", "/mine"),
        ("a=$(b)\nb=$(HOME)", "a", "$(b)"),
        ("x=(HOME)\nh=$$(x)", "h", "$(HOME)"),
        ("h=$(EMPTY)", "h", ""),
        ("h=$(HOME", "h", "$(HOME"),
        ("h=$HOME ${HOME}", "h", "$HOME ${HOME}"),
        ("$(HOME)=1", "$(HOME)", "1"),
        ("worker.list=a\nworker.list=b\nh=$(worker.list)", "h", "a,b"),
    ],
)
def test_variables(text: str, key: str, value: str) -> None:
    assert parse(text, {"HOME": "/root", "EMPTY": ""})[0][key] == value


def test_an_unknown_variable_stays_and_is_told() -> None:
    pairs, warnings = parse("a=1\nh=x$(later)y\nlater=2")
    assert pairs["h"] == "x$(later)y"
    assert warnings == [
        "f:2: the variable $(later) is set nowhere above and stays as it is written"
    ]


def test_there_is_an_end_to_variables() -> None:
    pairs, warnings = parse("a=1\nh=" + "$(a)" * (MAX_SUBSTITUTIONS + 1))
    assert pairs["h"] == "1" * MAX_SUBSTITUTIONS + "$(a)"
    assert warnings == ["f:2: only the first 21 variables of a value are replaced"]


def test_repeated_lists_are_joined_and_keep_their_lines() -> None:
    findings = Findings()
    (item,) = parse_properties("worker.list=a, b\n\nworker.list=c\td\n", "f", findings, env={})
    assert item.value == "a, b,c\td"
    assert not findings.warnings
    assert list(item.tokens()) == [
        ("a", Place("f", 1, 13)),
        ("b", Place("f", 1, 16)),
        ("c", Place("f", 3, 13)),
        ("d", Place("f", 3, 15)),
    ]


@pytest.mark.parametrize("name", ["balance_workers", "balanced_workers", "mount", "good", "bad"])
def test_all_lists_join(name: str) -> None:
    text = f"worker.x.{name}=a\nworker.x.{name}=b\nworker.x.{name}=c"
    assert parse(text)[0] == {f"worker.x.{name}": "a,b,c"}


def test_anything_else_repeated_counts_as_written_last() -> None:
    pairs, warnings = parse("worker.x.port=1\nworker.x.port=2\nworker.x.port=3")
    assert pairs == {"worker.x.port": "3"}
    assert warnings == [
        "f:2: 'worker.x.port' was already given on line 1; the last one counts",
        "f:3: 'worker.x.port' was already given on line 2; the last one counts",
    ]


def test_no_lists_where_there_are_none() -> None:
    findings = Findings()
    items = parse_properties("/x.list=a\n/x.list=b", "f", findings, env={}, repeats=LAST_COUNTS)
    assert [item.value for item in items] == ["b"]
    assert len(findings.warnings) == 1


def test_values_stay_out_of_the_repr() -> None:
    (item,) = parse_properties("worker.a.secret=geheim", "f", Findings(), env={})
    assert repr(item) == "<Property worker.a.secret f:1>"


@pytest.mark.parametrize(
    ("raw", "value", "encoding"),
    [
        (b"\xef\xbb\xbf# x\r\na=\xc3\xa4\r\n", "ä", "utf-8"),
        (b"a=\xc3\xa4", "ä", "utf-8"),
        (b"a=\xe4", "ä", "latin-1"),
    ],
)
def test_files(tmp_path: Path, raw: bytes, value: str, encoding: str) -> None:
    path = tmp_path / "w.properties"
    path.write_bytes(raw)
    findings = Findings()
    (item,) = read_properties(path, findings, env={})
    assert (item.key, item.value, item.encoding) == ("a", value, encoding)
    assert item.place == Place(str(path), raw.count(b"\n") or 1, 1)
    assert not findings.warnings


def test_a_byte_order_mark_before_a_key() -> None:
    pairs, warnings = parse("\ufeffworker.list = a\nb=1")
    assert pairs == {"worker.list": "a", "b": "1"}
    assert warnings == [
        "f:1: the file begins with a byte order mark, which mod_jk takes for part of "
        "'worker.list', so that it misses this line; here it counts"
    ]


@pytest.mark.parametrize(
    ("key", "value", "warning"),
    [
        ("worker.a.port", "2", "; the last one counts"),
        ("default.port", "2", "; the last one counts"),
        ("worker.a.session_cookie_path", "2", "; the last one counts"),
        ("worker.a.distance", "1*2", ": mod_jk joins both values with '*'"),
        ("worker.maintain", "1*2", ": mod_jk joins both values with '*'"),
        ("worker.a.secretkey", "1*2", ": mod_jk joins both values with '*'"),
        ("port", "1*2", ": mod_jk joins both values with '*'"),
        ("my.net", "1*2", ": mod_jk joins both values with '*'"),
        ("worker.a.class_path", "1:2", ""),
        ("worker.a.cmd_line", "1 2", ""),
        ("worker.a.mount", "1,2", ""),
    ],
)
def test_what_mod_jk_makes_of_repeated_keys(key: str, value: str, warning: str) -> None:
    findings = Findings()
    known = {"port", "session_cookie_path", "distance", "secretkey", "maintain"}
    repeats = Repeats(known=frozenset(known | {"class_path", "cmd_line"}))
    (item,) = parse_properties(f"{key}=1\n{key}=2", "f", findings, env={}, repeats=repeats)
    assert item.value == value
    found = [str(each) for each in findings.warnings]
    assert len(found) == bool(warning)
    if warning:
        assert found[0].startswith(f"f:2: {key!r} was already given on line 1{warning}")


def test_a_file_that_is_too_large_to_be_one() -> None:
    findings = Findings()
    assert read_properties("/dev/zero", findings, asked_at=Place("t", 1)) == []
    (error,) = findings.errors
    assert str(error) == (
        "t:1: cannot read '/dev/zero': it has more than 16 MB, which no configuration needs"
    )


def test_the_environment_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AJPD_TEST_NAME", "here")
    path = tmp_path / "w.properties"
    path.write_text("a=$(AJPD_TEST_NAME)")
    assert read_properties(path, Findings())[0].value == "here"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    findings = Findings()
    missing = str(tmp_path / "none")
    assert read_properties(missing, findings) == []
    assert read_properties(missing, findings, asked_at=Place("ajpd.toml", 4)) == []
    assert read_properties(tmp_path, findings) == []
    (tmp_path / "utf16").write_bytes("a=1".encode("utf-16"))
    assert read_properties(tmp_path / "utf16", findings) == []
    assert [str(error) for error in findings.errors] == [
        f"{missing}: cannot read the file: No such file or directory",
        f"{tmp_path}: cannot read the file: Is a directory",
        f"{tmp_path}/utf16:1: the file is UTF-16; save it as UTF-8",
        f"ajpd.toml:4: cannot read {missing!r}: No such file or directory",
    ]


def test_a_path_that_cannot_be() -> None:
    findings = Findings()
    assert read_properties("a\0b", findings, asked_at=Place("f", 1)) == []
    assert [str(error) for error in findings.errors] == [
        "f:1: cannot read 'a\\x00b': embedded null byte"
    ]


def test_bytes_of_text() -> None:
    assert encode("ä", "latin-1") == b"\xe4"
    assert encode("ä\udcff", "utf-8") == b"\xc3\xa4\xff"
    assert encode("€", "latin-1") == "€".encode()


def test_a_reference_gives_what_is_missing() -> None:
    table, errors = references(
        "worker.a.reference=worker.t\n"
        "worker.a.port=1\n"
        "worker.a.mount=/x\n"
        "worker.t.port=2\n"
        "worker.t.host=h\n"
        "worker.t.mount=/y\n"
    )
    assert not errors
    assert table["worker.a.port"].value == "1"
    assert table["worker.a.host"].value == "h"
    assert table["worker.a.host"].place == Place("f", 5, 1)
    assert table["worker.a.mount"].value == "/x"


def test_references_of_references() -> None:
    table, errors = references(
        "worker.a.reference=worker.b\nworker.b.reference=base\nbase.host=h\nbase.port=3\n"
        "worker.b.port=2"
    )
    assert not errors
    assert (table["worker.a.host"].value, table["worker.a.port"].value) == ("h", "2")


def test_a_template_does_not_hand_out_other_workers() -> None:
    table, errors = references("worker.a.reference=worker.t\nworker.t.x=1\nworker.t.u.host=h")
    assert not errors
    assert "worker.a.u.host" not in table


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("worker.a.reference=worker.a", "f:1: the references form a loop: worker.a → worker.a"),
        (
            "worker.a.reference=worker.b\nworker.b.reference=worker.a",
            "f:2: the references form a loop: worker.a → worker.b → worker.a",
        ),
        (
            "worker.a.reference=worker.none",
            "f:1: no key begins with 'worker.none.', so there is nothing to refer to",
        ),
        (
            "worker.tmpl.port=1\nworker.a.reference=worker.tmp",
            "f:2: no key begins with 'worker.tmp.', so there is nothing to refer to "
            "(did you mean 'worker.tmpl'?)",
        ),
        (
            "worker.t.port=1\nworker.a.reference=t",
            "f:2: no key begins with 't.', so there is nothing to refer to "
            "(did you mean 'worker.t'?)",
        ),
        (
            "worker.t.port=1\nworker.a.reference=worker.t.",
            "f:2: no key begins with 'worker.t..', so there is nothing to refer to "
            "(did you mean 'worker.t'?)",
        ),
    ],
)
def test_broken_references(text: str, error: str) -> None:
    assert references(text)[1] == [error]


def test_references_have_a_depth() -> None:
    chain = [f"worker.w{n}.reference=worker.w{n + 1}" for n in range(20)]
    table, errors = references("\n".join([*chain, "worker.w20.host=h"]))
    assert not errors
    assert table["worker.w0.host"].value == "h"
    chain.append("worker.w20.reference=worker.w21")
    errors = references("\n".join([*chain, "worker.w21.host=h"]))[1]
    assert errors == ["f:21: references are nested more than 20 deep"]
