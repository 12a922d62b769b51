"""Sections of status workers → `StatusConfig`.

Who is shown what, and how, is for those who serve the page; this file knows the directives only.

Source: mod_jk `jk_status.c` (init, and status_rating of the words for `good` and `bad`).
"""

from typing import Final, NamedTuple

from .errors import Findings, Place
from .model import StatusConfig
from .sections import Section, SectionValues

__all__ = ["build_status", "rating"]

#: By the first letter, as in mod_jk: the byte of an activation, the bits of a state in all bytes.
_ACTIVATIONS: Final = {"a": 0x0000FF, "d": 0x00FF00, "s": 0xFF0000}
_STATES: Final = {
    "o": 0x010101,
    "i": 0x020202,
    "n": 0x020202,
    "b": 0x040404,
    "r": 0x080808,
    "e": 0x101010,
}
_DEFAULT: Final = StatusConfig(name="", place=Place(""))


def rating(word: str) -> int:
    """What a word of `good` or `bad` stands for: an activation, a state, or both with a dot.

    Raises:
        ValueError: it is none of these.
    """
    first, dot, second = word.casefold().partition(".")
    if not dot and first[:1] in _ACTIVATIONS:
        return _ACTIVATIONS[first[:1]]
    if not dot and first[:1] in _STATES:
        return _STATES[first[:1]]
    if first[:1] in _ACTIVATIONS and second[:1] in _STATES:
        return _ACTIVATIONS[first[:1]] & _STATES[second[:1]]
    raise ValueError(
        f"{word!r} is none of active, disabled, stopped, none of ok, idle, busy, recovering, "
        "error, and not two of them such as active.ok"
    )


def build_status(section: Section, findings: Findings) -> StatusConfig:
    """Build a status worker; what is wrong goes to `findings`."""
    values = SectionValues(section, "status", findings)
    ratings = _ratings(values)
    return StatusConfig(
        name=section.name,
        css=values.text("css"),
        read_only=values.flag("read_only"),
        users=values.texts("user"),
        user_case_insensitive=values.flag("user_case_insensitive"),
        good=ratings.good,
        bad=ratings.bad,
        prefix=values.text("prefix"),
        ns=_unless_minus(values.text("ns")),
        xmlns=_unless_minus(values.text("xmlns")),
        doctype=values.text("doctype"),
        place=section.place,
    )


class _Ratings(NamedTuple):
    good: int
    bad: int


def _ratings(values: SectionValues) -> _Ratings:
    good = _sum(values, "good", _DEFAULT.good)
    bad = _sum(values, "bad", _DEFAULT.bad)
    if good & bad:
        name = "good" if values.is_written("good") else "bad"
        values.warn(name, "has members in it that are good and bad; they count as bad")
    return _Ratings(good, bad)


def _sum(values: SectionValues, name: str, default: int) -> int:
    if not values.is_written(name):
        return default
    found = 0
    for word in values.texts(name):
        try:
            found |= rating(word)
        except ValueError as exc:
            values.error(name, str(exc))
    return found


def _unless_minus(text: str) -> str:
    """mod_jk: a value that begins with a minus stands for none."""
    return "" if text.startswith("-") else text
