"""Expressions of ProxyPassMatch and RewriteRule → patterns with `*`, where that is the same.

Rules here know `*` (any run of characters) and `?` (any one). An expression that says more than
that has no pattern, and is never made wider than it was.
"""

import re
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Found", "TooMuch", "patterns_of", "substitute"]

#: Alternatives of one expression; more make no table that anybody wants to read.
MAX_FOUND: Final = 32
_SPECIAL: Final = frozenset("\\^$.|?*+()[]{}")


class TooMuch(ValueError):  # noqa: N818 - says what it is
    """The expression says more than a pattern can; the message says which part does."""


@dataclass(frozen=True, slots=True)
class Found:
    """One alternative: a pattern, and what each group stands for in it."""

    text: str = ""
    groups: dict[int, str] = field(default_factory=dict)

    def then(self, other: "Found") -> "Found":
        """This one, and the other behind it."""
        return Found(self.text + other.text, {**self.groups, **other.groups})


def patterns_of(expression: str) -> list[Found]:
    """Every pattern that an expression stands for, anchored at both ends.

    Raises:
        TooMuch: patterns cannot say it.
    """
    parser = _Parser(expression)
    found = parser.alternatives()
    if not parser.is_at_end:
        raise TooMuch(f"the ) at character {parser.at + 1}")
    result: dict[str, Found] = {}
    for each in found:
        for whole in _anchored(each, expression):
            result.setdefault(whole.text, whole)
    return list(result.values())


def _anchored(found: Found, expression: str) -> list[Found]:
    text = found.text
    # The parser leaves the anchors in: they are the only \A and \Z there are.
    has_begin, has_end = text.startswith("\\A"), text.endswith("\\Z")
    text = text.removeprefix("\\A").removesuffix("\\Z")
    if "\\A" in text or "\\Z" in text:
        raise TooMuch(f"an anchor in the middle of {expression}")
    if not has_end and not text.endswith("*"):
        text += "*"
    begins = [text]
    if not has_begin:
        begins = [text, f"/*{text}"] if text.startswith("/") else [f"/*{text}"]
    elif text.startswith("*"):
        begins = [f"/{text}"]
    result = []
    for begin in begins:
        pattern = re.sub(r"\*\*+", "*", begin)
        if not pattern.startswith("/"):
            raise TooMuch(f"{expression} does not begin with /")
        result.append(Found(pattern, found.groups))
    return result


def substitute(template: str, found: Found) -> str:
    """Put what groups stand for in place of $1 and its like."""

    def one(match: re.Match[str]) -> str:
        number = int(match[1])
        return found.text if number == 0 else found.groups.get(number, "")

    return re.sub(r"\*\*+", "*", re.sub(r"\$([0-9])", one, template))


class _Parser:
    """Reads an expression from left to right; every step gives all alternatives so far."""

    def __init__(self, expression: str) -> None:
        self._text = expression
        self.at = 0
        self._groups = 0

    @property
    def is_at_end(self) -> bool:
        return self.at >= len(self._text)

    def _peek(self, length: int = 1) -> str:
        return self._text[self.at : self.at + length]

    def alternatives(self) -> list[Found]:
        found = self._sequence()
        while self._peek() == "|":
            self.at += 1
            found = [*found, *self._sequence()]
        if len(found) > MAX_FOUND:
            raise TooMuch(f"more than {MAX_FOUND} alternatives")
        return found

    def _sequence(self) -> list[Found]:
        found = [Found()]
        while not self.is_at_end and self._peek() not in ("|", ")"):
            atoms = self._atom()
            found = [left.then(right) for left in found for right in atoms]
            if len(found) > MAX_FOUND:
                raise TooMuch(f"more than {MAX_FOUND} alternatives")
        return found

    def _atom(self) -> list[Found]:
        char = self._peek()
        self.at += 1
        if char == "^":
            return [Found("\\A")]
        if char == "$":
            return [Found("\\Z")]
        if char == "(":
            return self._group()
        if char == ".":
            return self._any()
        if char == "\\":
            char = self._peek()
            self.at += 1
            if not char or char.isalnum():
                raise TooMuch(f"\\{char}")
        elif char in _SPECIAL:
            raise TooMuch(f"the {char} at character {self.at}")
        if char in "*?":
            raise TooMuch(f"{char} as a character of its own")
        return self._repeated([Found(char)], char)

    def _any(self) -> list[Found]:
        quantifier = self._peek()
        if quantifier not in ("*", "+"):
            return self._repeated([Found("?")], ".")
        self.at += 1
        if self._peek() in ("?", "+"):
            if self._peek() == "+":
                raise TooMuch(f".{quantifier}+")
            self.at += 1
        return [Found("*" if quantifier == "*" else "?*")]

    def _group(self) -> list[Found]:
        number = 0
        if self._peek(2) == "?:":
            self.at += 2
        elif self._peek() == "?":
            raise TooMuch(f"({self._peek(3)}")
        else:
            self._groups += 1
            number = self._groups
        found = self.alternatives()
        if self._peek() != ")":
            raise TooMuch("a ( that is not closed")
        self.at += 1
        if number:
            found = [Found(each.text, {**each.groups, number: each.text}) for each in found]
        return self._repeated(found, "(…)")

    def _repeated(self, found: list[Found], what: str) -> list[Found]:
        """Only `?` behind something can be said in patterns: with it, and without."""
        char = self._peek()
        if char in ("*", "+", "{"):
            raise TooMuch(f"{what}{char}")
        if char != "?":
            return found
        self.at += 1
        if self._peek() in ("?", "+"):
            raise TooMuch(f"{what}?{self._peek()}")
        return [*found, Found()]
