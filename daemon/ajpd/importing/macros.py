"""`<Macro name $a $b>` and `Use name x y`: text put in place of text.

Source: httpd `modules/core/mod_macro.c` (macro_section, use_macro): names in any case, the longest
parameter first, and every occurrence of it wherever it stands in a line.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from .syntax import Block, Node, words_of

__all__ = ["BadUse", "Macros"]

#: Macros that use others deeper than this are a circle.
MAX_DEPTH: Final = 16


class BadUse(ValueError):  # noqa: N818 - says what it is
    """A macro cannot be used so; the message says why."""


@dataclass(frozen=True, slots=True)
class _Macro:
    parameters: tuple[str, ...]
    content: Sequence[Node]


class Macros:
    """Those that were defined so far."""

    def __init__(self) -> None:
        self._known: dict[str, _Macro] = {}

    def define(self, block: Block) -> str:
        """Keep a macro; what is wrong with it, or an empty text."""
        words = words_of(block.args)
        if not words:
            return "it has no name"
        name, *parameters = words
        is_twice = name.lower() in self._known
        self._known[name.lower()] = _Macro(tuple(parameters), block.children)
        return "it is there already, and this one counts from here on" if is_twice else ""

    def use(self, words: Sequence[str]) -> list[Node]:
        """The lines of a macro, its parameters replaced.

        Args:
            words: its name and the values.

        Raises:
            BadUse: there is no such macro, or it takes another number of values.
        """
        if not words:
            raise BadUse("it names no macro")
        name, *values = words
        macro = self._known.get(name.lower())
        if macro is None:
            raise BadUse(f"there is no macro {name} so far")
        if len(values) != len(macro.parameters):
            raise BadUse(f"{name} takes {len(macro.parameters)} values, and has {len(values)}")
        pairs = sorted(zip(macro.parameters, values, strict=True), key=lambda pair: -len(pair[0]))
        return [_filled(node, pairs) for node in macro.content]


def _filled(node: Node, pairs: Sequence[tuple[str, str]]) -> Node:
    name, args = _put(node.name, pairs), _put(node.args, pairs)
    if isinstance(node, Block):
        children = [_filled(child, pairs) for child in node.children]
        return replace(node, name=name, args=args, children=children)
    return replace(node, name=name, args=args)


def _put(text: str, pairs: Sequence[tuple[str, str]]) -> str:
    """From left to right; what was put in is not looked at again."""
    found, at = "", 0
    while at < len(text):
        for parameter, value in pairs:
            if parameter and text.startswith(parameter, at):
                found += value
                at += len(parameter)
                break
        else:
            found += text[at]
            at += 1
    return found
