import pytest

from ajp.errors import AJPError
from ajpd.config.errors import (
    ConfigError,
    ConfigErrors,
    ConfigWarning,
    Findings,
    Place,
    suggest,
)


def test_error_says_place_message_and_hint() -> None:
    error = ConfigError(
        "unknown directive 'hots'", file="w.properties", line=3, directive="hots", hint="host"
    )
    assert str(error) == "w.properties:3: unknown directive 'hots' (did you mean 'host'?)"
    assert isinstance(error, AJPError)
    assert (error.file, error.line, error.column) == ("w.properties", 3, None)
    assert (error.directive, error.hint) == ("hots", "host")


@pytest.mark.parametrize(
    ("line", "column", "text"),
    [(None, None, "f: m"), (7, None, "f:7: m"), (7, 2, "f:7: m")],
)
def test_place_is_as_exact_as_known(line: int | None, column: int | None, text: str) -> None:
    assert str(ConfigError("m", file="f", line=line, column=column)) == text
    assert str(ConfigWarning(message="m", file="f", line=line, column=column)) == text


def test_one_thing_is_one_line() -> None:
    error = ConfigError("a\nb\x1b[2J\x85c\u2028d", file="f\r", line=1, hint="\n")
    assert str(error) == r"f\r:1: a\nb\x1b[2J\x85c\u2028d (did you mean '\n'?)"
    assert error.message == "a\nb\x1b[2J\x85c\u2028d"


def test_errors_are_counted() -> None:
    findings = Findings()
    for message in ("a", "b", "a"):
        findings.error(Place("f"), message)
        findings.warn(Place("f"), message)
    assert findings.count == len(findings.errors) == 2


def test_the_column_is_for_those_who_ask() -> None:
    for made in (
        ConfigError("m", file="f", line=7, column=2, hint="h"),
        ConfigWarning(message="m", file="f", line=7, column=2, hint="h"),
    ):
        assert made.located == "f:7:2: m (did you mean 'h'?)"
        assert str(made.place) == "f:7"
        assert made.place.full == "f:7:2"
    assert ConfigError("m", file="f", line=7).located == "f:7: m"
    assert ConfigError("m", file="f").located == "f: m"


def test_place_of_both() -> None:
    place = Place("f", 1, 2)
    assert ConfigError("m", file="f", line=1, column=2).place == place
    assert ConfigWarning(message="m", file="f", line=1, column=2).place == place


def test_warning_is_a_value() -> None:
    warning = ConfigWarning(message="m", file="f", line=1, hint="h")
    assert warning == ConfigWarning(message="m", file="f", line=1, hint="h")
    assert not issubclass(ConfigWarning, BaseException)
    assert str(warning) == "f:1: m (did you mean 'h'?)"


def test_findings_keep_order_of_files_and_lines_and_drop_repeats() -> None:
    findings = Findings()
    findings.error(Place("b", 9), "x")
    findings.error(Place("a", 5), "x")
    findings.error(Place("b", 2), "y")
    findings.error(Place("b", 9), "x")
    findings.error(Place("b"), "z")
    findings.warn(Place("b", 4), "w", directive="d")
    findings.warn(Place("b", 4), "w", directive="d")
    assert [str(error) for error in findings.errors] == ["b: z", "b:2: y", "b:9: x", "a:5: x"]
    assert [str(warning) for warning in findings.warnings] == ["b:4: w"]


def test_findings_follow_the_order_of_reading() -> None:
    findings = Findings()
    for file in ("b", "a", "b"):
        findings.begin(file)
    for file in ("c", "a", "b"):
        findings.error(Place(file, 1), "x")
    assert [error.file for error in findings.errors] == ["b", "a", "c"]


def test_raise_errors() -> None:
    findings = Findings()
    findings.warn(Place("f", 1), "w")
    findings.raise_errors()
    findings.error(Place("f", 2), "one")
    findings.error(Place("f", 3), "two")
    with pytest.raises(ConfigErrors) as caught:
        findings.raise_errors()
    assert str(caught.value) == "f:2: one\nf:3: two"
    assert len(caught.value.errors) == 2
    assert len(caught.value.warnings) == 1
    assert isinstance(caught.value, AJPError)


@pytest.mark.parametrize(
    ("word", "meant"),
    [("HOST", "host"), ("hots", "host"), ("reply_timout", "reply_timeout"), ("zzz", "")],
)
def test_suggest(word: str, meant: str) -> None:
    assert suggest(word, ["host", "port", "reply_timeout"]) == meant
