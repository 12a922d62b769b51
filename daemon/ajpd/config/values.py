"""What a directive is, and how a written value becomes a typed one.

This file knows types, units and ranges, and the two ways to write a value: as text, with mod_jk's
spellings, and as TOML. It knows no directive by name; the table is in `directives.py`.

Source: mod_jk `jk_map.c` (jk_map_get_int) and `jk_util.c` (jk_get_bool_code and the enumerations,
which look at the first letter only). Differs on purpose: where mod_jk takes the default in
silence, a value that is no number, no boolean or no known word is refused here. What begins like
one is taken as in mod_jk, with a remark, and only where a file of mod_jk's says it.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, cast

from .errors import suggest

__all__ = [
    "BadValue",
    "Directive",
    "Reading",
    "Scope",
    "Unit",
    "Value",
    "ValueType",
    "default_of",
    "read_text",
    "read_toml",
]

Value = int | bool | str | tuple[str, ...] | tuple[int, ...]

#: mod_jk keeps numbers in a C int.
MAX_INT: Final = 2**31 - 1


class ValueType(StrEnum):
    """How a value is written and what it becomes."""

    TEXT = "text"  #: str
    INT = "int"  #: int
    BOOL = "bool"  #: bool
    WORD = "word"  #: str, one of `words`, exactly
    ENUM = "enum"  #: str, one of `words`; mod_jk looks at the first letter or a digit
    LETTERS = "letters"  #: str, any of the letters in `words`, upper-case, in the table's order
    LIST = "list"  #: tuple of str
    INT_LIST = "int list"  #: tuple of int
    SECRET = "secret"  #: str; never shown, never quoted in a message
    DURATION = "duration"  #: int, always milliseconds


class Unit(StrEnum):
    """What a plain number means."""

    NONE = ""
    S = "s"
    MS = "ms"
    BYTES = "bytes"


class Scope(StrEnum):
    """Where a directive may be written; a section of ajpd.toml or a kind of worker."""

    GLOBAL = "worker"
    COMMON = "any worker"
    AJP = "ajp13"
    MEMBER = "a member of a balancer"
    LB = "lb"
    STATUS = "status"
    DEAD = "left over"
    TOP = "ajpd.toml"
    SERVER = "[server]"
    WORKERS = "[workers]"
    MAP = "[map]"
    HOST = "[host.NAME]"
    LOG = "[log]"
    TLS = "[tls]"
    METRICS = "[metrics]"
    TABLE = "[table]"
    STATUS_PAGE = "[status]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """One row of the table.

    Attributes:
        name: as in workers.properties or ajpd.toml.
        scope: where it belongs.
        type: how it is written.
        default: what counts when it is not written; durations in `unit`. None: no value.
        unit: of a plain number.
        minimum: smallest number, in `unit`.
        maximum: largest number, in `unit`; MAX_INT when nothing is said.
        is_clamped: a number outside is moved to the limit with a warning, as mod_jk does;
            otherwise it is an error.
        words: what WORD, ENUM and LETTERS may be; what an INT may be besides a number.
        whole_words: those of an ENUM's words that must be written out, because mod_jk does not
            know them; of all others a letter or a number is enough.
        alias_of: the present name, when this is a former one.
        since: the version that honoured it first; empty as long as none does.
        doc: one paragraph for the reference and the sample file.
    """

    name: str
    scope: Scope
    type: ValueType = ValueType.TEXT
    default: Value | None = None
    unit: Unit = Unit.NONE
    minimum: int | None = None
    maximum: int = MAX_INT
    is_clamped: bool = False
    words: tuple[str, ...] = ()
    whole_words: tuple[str, ...] = ()
    alias_of: str = ""
    since: str = ""
    doc: str = field(repr=False)

    @property
    def supported(self) -> bool:
        """This version does what the directive says."""
        return bool(self.since)


@dataclass(frozen=True, slots=True)
class Reading:
    """A typed value and, maybe, a remark that its author should see."""

    value: Value
    remark: str = ""


class BadValue(ValueError):  # noqa: N818 - says what it is
    """The value cannot be what the directive needs."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


_TYPE_NAMES: Final = {
    bool: "true or false",
    int: "a number",
    float: "a fraction",
    str: "text",
    list: "an array",
    dict: "a table",
}

_NUMBER: Final = re.compile(r"([+-]?[0-9]{1,18})(.*)", re.DOTALL)
_SUFFIXES: Final = {"k": 1024, "m": 1024**2}
_MS_PER_UNIT: Final = {Unit.S: 1000, Unit.MS: 1}
_DURATION: Final = re.compile(r"([0-9]{1,15}) ?(ms|s|min|h)")
_DURATION_MS: Final = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}
_SEPARATORS: Final = re.compile(r"[ \t,]+")
_TRUE: Final = frozenset(("on", "true", "t", "yes", "y", "1"))
_FALSE: Final = frozenset(("off", "false", "f", "no", "n", "0"))


def default_of(directive: Directive) -> Value:
    """What counts when nothing is written; durations in milliseconds, like values read."""
    if directive.default is None:
        raise AssertionError(f"{directive.name} has no default")
    if directive.type is ValueType.DURATION:
        return cast(int, directive.default) * _MS_PER_UNIT[directive.unit]
    return directive.default


def read_text(directive: Directive, text: str, *, is_lenient: bool = False) -> Reading:
    """Read a value that is written as in workers.properties.

    Args:
        directive: says what it has to be.
        text: the value.
        is_lenient: take what only begins like a number, or has letters that mean nothing, as
            mod_jk does; with a remark.

    Raises:
        BadValue: it is not what the directive needs.
    """
    match directive.type:
        case ValueType.INT if text in directive.words:
            return Reading(text)
        case ValueType.INT | ValueType.DURATION:
            return _number_text(directive, text, is_lenient=is_lenient)
        case ValueType.BOOL:
            return _bool_text(text)
        case ValueType.WORD:
            return _word(directive, text)
        case ValueType.ENUM:
            return _enum_text(directive, text)
        case ValueType.LETTERS:
            return _letters_text(directive, text, is_lenient=is_lenient)
        case ValueType.LIST:
            return Reading(tuple(_tokens(text)))
        case ValueType.INT_LIST:
            return _numbers_text(text, is_lenient=is_lenient)
    return Reading(text)


def read_toml(directive: Directive, value: object) -> Reading:
    """Read a value from ajpd.toml: TOML's own types, or text as in workers.properties.

    A duration is text with a unit (`"20s"`, `"500ms"`, `"5min"`, `"1h"`, `"0"`) or a plain
    number in the directive's own unit.

    Raises:
        BadValue: it is not what the directive needs.
    """
    kind = directive.type
    if isinstance(value, bool):
        if kind is ValueType.BOOL:
            return Reading(value)
    elif isinstance(value, int):
        if kind in (ValueType.INT, ValueType.DURATION):
            return _in_range(directive, value)
        if kind is ValueType.INT_LIST:
            return Reading((value,))
    elif isinstance(value, str):
        if kind is ValueType.DURATION:
            return _duration_toml(directive, value)
        return read_text(directive, value)
    elif isinstance(value, list):
        if kind is ValueType.LIST and all(isinstance(item, str) for item in value):
            return Reading(tuple(str(item) for item in value))
        if kind is ValueType.INT_LIST and all(type(item) is int for item in value):
            return Reading(tuple(value))
    raise BadValue(f"must be {_expected(directive)}, not {_TYPE_NAMES.get(type(value), 'a date')}")


def _expected(directive: Directive) -> str:
    words = ", ".join(directive.words)
    return {
        ValueType.INT: f"a number or {words}" if words else "a number",
        ValueType.BOOL: "true or false",
        ValueType.WORD: f"one of {words}",
        ValueType.ENUM: f"one of {words}",
        ValueType.LETTERS: f"letters out of {words}",
        ValueType.LIST: "an array of texts",
        ValueType.INT_LIST: "an array of numbers",
        ValueType.DURATION: 'a duration such as "20s" or a number',
    }.get(directive.type, "text")


def _tokens(text: str) -> list[str]:
    return [token for token in _SEPARATORS.split(text) if token]


def _plain_int(token: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", token):
        raise BadValue(f"{token!r} is not a number")
    return int(token)


def _numbers_text(text: str, *, is_lenient: bool) -> Reading:
    numbers, remarks = [], []
    for token in _tokens(text):
        begin = re.match(r"[+-]?[0-9]{1,9}(?![0-9])", token)
        if is_lenient and begin is not None and begin[0] != token:
            numbers.append(int(begin[0]))
            remarks.append(_cut(token, begin[0]))
        else:
            numbers.append(_plain_int(token))
    return Reading(tuple(numbers), _join(*remarks))


def _cut(text: str, begin: str) -> str:
    return f"{text!r} is taken as {begin}, as mod_jk does: what follows the digits is not looked at"


def _number_text(directive: Directive, text: str, *, is_lenient: bool) -> Reading:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise BadValue(f"{text!r} is not a number")
    number, tail = int(match[1]), match[2]
    if not tail:
        return _in_range(directive, number)
    unit = directive.unit.value
    # mod_jk looks at the last letter, wherever the digits end.
    factor = _SUFFIXES.get(tail[-1:].lower() if is_lenient else tail.lower())
    if factor is not None and not tail[0].isdigit():
        reading = _in_range(directive, number * factor)
        if directive.type is not ValueType.DURATION and len(tail) == 1:
            return reading
        is_what = f"{text!r} means {number * factor} {unit}".rstrip()
        meaning = f"{is_what}: k and m multiply by 1024, as in mod_jk"
        return Reading(reading.value, _join(meaning, reading.remark))
    if directive.type is ValueType.DURATION and tail.strip() == unit:
        reading = _in_range(directive, number)
        meaning = f"{text!r}: write {number}, {unit} is meant anyway"
        return Reading(reading.value, _join(meaning, reading.remark))
    if is_lenient and not tail[0].isdigit():
        reading = _in_range(directive, number)
        meaning = _cut(text, f"{number} {unit}".strip())
        return Reading(reading.value, _join(meaning, reading.remark))
    plain = f"; a plain number of {unit} belongs here" if unit else ""
    raise BadValue(f"{text!r} is not a number{plain}")


def _join(*remarks: str) -> str:
    return "; ".join(remark for remark in remarks if remark)


def _in_range(directive: Directive, number: int) -> Reading:
    """Check a number in the directive's own unit; durations leave as milliseconds."""
    factor = 1
    if directive.type is ValueType.DURATION:
        factor = _MS_PER_UNIT[directive.unit]
    return _ms_in_range(directive, number * factor, factor)


def _ms_in_range(directive: Directive, number: int, factor: int) -> Reading:
    low, high = directive.minimum, directive.maximum
    unit = f" {directive.unit.value}" if directive.unit is not Unit.NONE else ""
    if low is not None and number < low * factor:
        if directive.is_clamped:
            return Reading(low * factor, f"less than {low}{unit} is taken as {low}{unit}")
        raise BadValue(f"must be at least {low}{unit}")
    if number > high * factor:
        if directive.is_clamped:
            return Reading(high * factor, f"more than {high}{unit} is taken as {high}{unit}")
        raise BadValue(f"must be at most {high}{unit}")
    return Reading(number)


def _duration_toml(directive: Directive, text: str) -> Reading:
    if text.strip() == "0":
        return _ms_in_range(directive, 0, _MS_PER_UNIT[directive.unit])
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        if re.fullmatch(r"[0-9]+m", text):
            raise BadValue(f"{text!r} is not a duration", hint=f"{text}in")
        raise BadValue(f'{text!r} is not a duration such as "500ms", "20s", "5min" or "1h"')
    return _ms_in_range(
        directive, int(match[1]) * _DURATION_MS[match[2]], _MS_PER_UNIT[directive.unit]
    )


def _bool_text(text: str) -> Reading:
    word = text.lower()
    if word in _TRUE:
        return Reading(value=True)
    if word in _FALSE:
        return Reading(value=False)
    if word[:1] in ("t", "y"):
        return Reading(True, f"{text!r} is taken as true")
    if word[:1] in ("f", "n"):
        return Reading(False, f"{text!r} is taken as false")
    raise BadValue(f"{text!r} is neither true nor false")


def _word(directive: Directive, text: str) -> Reading:
    if text in directive.words:
        return Reading(text)
    raise BadValue(
        f"{text!r} is none of {', '.join(directive.words)}",
        hint=suggest(text, directive.words),
    )


def _enum_text(directive: Directive, text: str) -> Reading:
    fold = text.lower()
    for index, word in enumerate(directive.words):
        if word in directive.whole_words:
            if fold == word.lower():
                return Reading(word)
        elif fold[:1] in (word[0].lower(), str(index)):
            is_plain = word.lower().startswith(fold) or text == str(index)
            return Reading(word, "" if is_plain else f"{text!r} is taken as {word}")
    begun = [word for word in directive.whole_words if fold and word.lower().startswith(fold)]
    raise BadValue(
        f"{text!r} is none of {', '.join(directive.words)}",
        hint=begun[0] if begun else suggest(text, directive.words),
    )


def _letters_text(directive: Directive, text: str, *, is_lenient: bool) -> Reading:
    letters = text.upper()
    value = "".join(word for word in directive.words if word in letters)
    strangers = [letter for letter in letters if letter not in directive.words]
    if not strangers:
        return Reading(value)
    if is_lenient and value:
        return Reading(value, f"{text!r} is taken as {value}: no other letters mean anything")
    raise BadValue(f"{strangers[0]!r} in {text!r} is none of {', '.join(directive.words)}")
