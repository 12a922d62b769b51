import datetime

import pytest

from ajpd.config.values import (
    BadValue,
    Directive,
    Reading,
    Scope,
    Unit,
    Value,
    ValueType,
    default_of,
    read_text,
    read_toml,
)


def row(
    kind: ValueType,
    unit: Unit = Unit.NONE,
    *,
    low: int | None = None,
    high: int = 2**31 - 1,
    clamp: bool = False,
    words: tuple[str, ...] = (),
    whole: tuple[str, ...] = (),
    default: Value | None = None,
) -> Directive:
    return Directive(
        name="x",
        scope=Scope.AJP,
        type=kind,
        unit=unit,
        minimum=low,
        maximum=high,
        is_clamped=clamp,
        words=words,
        whole_words=whole,
        default=default,
        doc="",
    )


INT = row(ValueType.INT)
SECONDS = row(ValueType.DURATION, Unit.S, low=0, clamp=True)
MS = row(ValueType.DURATION, Unit.MS, low=0)
BOOL = row(ValueType.BOOL)
METHOD = row(ValueType.ENUM, words=("Request", "Traffic", "Busyness", "Sessions", "Next"))
OURS = row(ValueType.ENUM, words=("Request", "Next", "P2C", "Latency"), whole=("P2C", "Latency"))
TYPE = row(ValueType.WORD, words=("ajp13", "lb"))
MODE = row(ValueType.LETTERS, words=("A", "C", "P", "I"))
SIZE = row(ValueType.INT, Unit.BYTES, low=10, high=2048)


@pytest.mark.parametrize(
    ("directive", "text", "value"),
    [
        (INT, "42", 42),
        (INT, "-1", -1),
        (INT, "+7", 7),
        (INT, "007", 7),
        (INT, "2k", 2048),
        (INT, "2K", 2048),
        (INT, "3m", 3 * 1024 * 1024),
        (SIZE, "1K", 1024),
        (SECONDS, "20", 20_000),
        (MS, "20", 20),
        (BOOL, "true", True),
        (BOOL, "True", True),
        (BOOL, "ON", True),
        (BOOL, "1", True),
        (BOOL, "y", True),
        (BOOL, "off", False),
        (BOOL, "No", False),
        (BOOL, "F", False),
        (BOOL, "0", False),
        (TYPE, "lb", "lb"),
        (METHOD, "Traffic", "Traffic"),
        (METHOD, "busy", "Busyness"),
        (METHOD, "s", "Sessions"),
        (METHOD, "4", "Next"),
        (OURS, "p2c", "P2C"),
        (OURS, "Latency", "Latency"),
        (OURS, "1", "Next"),
        (MODE, "A", "A"),
        (MODE, "pc", "CP"),
        (MODE, "", ""),
        (row(ValueType.LIST), "a, b\tc,,d ", ("a", "b", "c", "d")),
        (row(ValueType.INT_LIST), "500,-503 404", (500, -503, 404)),
        (row(ValueType.TEXT), "as it is", "as it is"),
        (row(ValueType.SECRET), "as it is", "as it is"),
    ],
)
def test_text(directive: Directive, text: str, value: Value) -> None:
    assert read_text(directive, text) == Reading(value)


@pytest.mark.parametrize(
    ("directive", "text", "value", "remark"),
    [
        (SECONDS, "60s", 60_000, "'60s': write 60, s is meant anyway"),
        (MS, "60 ms", 60, "'60 ms': write 60, ms is meant anyway"),
        (SECONDS, "-1", 0, "less than 0 s is taken as 0 s"),
        (
            SECONDS,
            "5m",
            5 * 1024 * 1024 * 1000,
            "'5m' means 5242880 s: k and m multiply by 1024, as in mod_jk",
        ),
        (row(ValueType.INT, high=5, clamp=True), "6", 5, "more than 5 is taken as 5"),
        (BOOL, "Yeah", True, "'Yeah' is taken as true"),
        (BOOL, "nope", False, "'nope' is taken as false"),
        (METHOD, "ByTraffic", "Busyness", "'ByTraffic' is taken as Busyness"),
    ],
)
def test_text_with_a_remark(directive: Directive, text: str, value: Value, remark: str) -> None:
    assert read_text(directive, text) == Reading(value, remark)


@pytest.mark.parametrize(
    ("directive", "text", "message"),
    [
        (INT, "", "'' is not a number"),
        (INT, "abc", "'abc' is not a number"),
        (INT, "80x9", "'80x9' is not a number"),
        (INT, "1 2", "'1 2' is not a number"),
        (INT, "٣", "'٣' is not a number"),
        (INT, "0x10", "'0x10' is not a number"),
        (INT, "2147483648", "must be at most 2147483647"),
        (INT, "9" * 30, "is not a number"),
        (INT, "4096m", "must be at most 2147483647"),
        (SIZE, "9", "must be at least 10 bytes"),
        (SIZE, "1m", "must be at most 2048 bytes"),
        (MS, "-1", "must be at least 0 ms"),
        (MS, "60s", "'60s' is not a number; a plain number of ms belongs here"),
        (SECONDS, "500ms", "a plain number of s belongs here"),
        (SECONDS, "60 sec", "a plain number of s belongs here"),
        (BOOL, "maybe", "'maybe' is neither true nor false"),
        (BOOL, "2", "'2' is neither"),
        (BOOL, "", "'' is neither"),
        (TYPE, "AJP13", "'AJP13' is none of ajp13, lb"),
        (METHOD, "x", "'x' is none of Request, Traffic"),
        (METHOD, "5", "'5' is none of"),
        (METHOD, "", "'' is none of"),
        (OURS, "L", "'L' is none of Request, Next, P2C, Latency"),
        (OURS, "2", "'2' is none of"),
        (OURS, "P2CC", "'P2CC' is none of"),
        (MODE, "CQ", "'Q' in 'CQ' is none of A, C, P, I"),
        (row(ValueType.INT_LIST), "500,x", "'x' is not a number"),
    ],
)
def test_bad_text(directive: Directive, text: str, message: str) -> None:
    with pytest.raises(BadValue) as caught:
        read_text(directive, text)
    assert message in str(caught.value)


def test_a_wrong_word_gets_a_hint() -> None:
    with pytest.raises(BadValue) as caught:
        read_text(TYPE, "Ajp13")
    assert caught.value.hint == "ajp13"


@pytest.mark.parametrize(
    ("directive", "written", "value"),
    [
        (INT, 5, 5),
        (INT, "2k", 2048),
        (SECONDS, 20, 20_000),
        (SECONDS, "20s", 20_000),
        (SECONDS, "20 s", 20_000),
        (SECONDS, "1500ms", 1500),
        (SECONDS, "5min", 300_000),
        (SECONDS, "1h", 3_600_000),
        (SECONDS, "0", 0),
        (MS, 20, 20),
        (MS, "2s", 2000),
        (MS, "0", 0),
        (BOOL, True, True),
        (BOOL, False, False),
        (BOOL, "on", True),
        (TYPE, "lb", "lb"),
        (METHOD, "Next", "Next"),
        (MODE, "cp", "CP"),
        (row(ValueType.LIST), ["a b", "c"], ("a b", "c")),
        (row(ValueType.LIST), "a, b", ("a", "b")),
        (row(ValueType.INT_LIST), [1, -2], (1, -2)),
        (row(ValueType.INT_LIST), 3, (3,)),
        (row(ValueType.INT_LIST), "1 2", (1, 2)),
        (row(ValueType.TEXT), "x", "x"),
    ],
)
def test_toml(directive: Directive, written: object, value: Value) -> None:
    assert read_toml(directive, written) == Reading(value)


@pytest.mark.parametrize(
    ("directive", "written", "message"),
    [
        (INT, True, "must be a number, not true or false"),
        (INT, 1.5, "must be a number, not a fraction"),
        (INT, [1], "must be a number, not an array"),
        (INT, {}, "must be a number, not a table"),
        (INT, datetime.date(2026, 1, 1), "must be a number, not a date"),
        (INT, 2**31, "must be at most"),
        (SECONDS, "20", 'is not a duration such as "500ms"'),
        (SECONDS, "fast", "'fast' is not a duration"),
        (SECONDS, "-1s", "'-1s' is not a duration"),
        (SECONDS, True, 'must be a duration such as "20s" or a number, not true or false'),
        (MS, "300000000h", "must be at most 2147483647 ms"),
        (BOOL, 1, "must be true or false, not a number"),
        (TYPE, 1, "must be one of ajp13, lb, not a number"),
        (METHOD, 1, "must be one of Request"),
        (MODE, 1, "must be letters out of A, C, P, I"),
        (row(ValueType.LIST), [1], "must be an array of texts, not an array"),
        (row(ValueType.INT_LIST), ["1"], "must be an array of numbers"),
        (row(ValueType.INT_LIST), [True], "must be an array of numbers"),
        (row(ValueType.TEXT), 5, "must be text, not a number"),
        (row(ValueType.SECRET), ["geheim"], "must be text, not an array"),
    ],
)
def test_bad_toml(directive: Directive, written: object, message: str) -> None:
    with pytest.raises(BadValue) as caught:
        read_toml(directive, written)
    assert message in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_minutes_are_not_m() -> None:
    with pytest.raises(BadValue) as caught:
        read_toml(SECONDS, "5m")
    assert caught.value.hint == "5min"


def test_a_row_is_supported_since_some_version() -> None:
    assert not INT.supported
    assert Directive(name="x", scope=Scope.AJP, since="0.1", doc="").supported


def test_defaults_have_the_unit_of_values() -> None:
    assert default_of(row(ValueType.DURATION, Unit.S, default=5)) == 5000
    assert default_of(row(ValueType.DURATION, Unit.MS, default=5)) == 5
    assert default_of(row(ValueType.INT, default=5)) == 5
    with pytest.raises(AssertionError, match="no default"):
        default_of(INT)
