"""Apache's configuration language: text → directives and sections, each with its line.

This file knows lines, continuations, quotes and `<sections>`. It knows no directive by name, opens
nothing, and replaces no variable: `reading.py` does.

Source: httpd `server/util.c` (ap_cfg_getline, ap_getword_conf) and `server/config.c`
(ap_build_config, ap_walk_config). Differs on purpose: what Apache does not start with is a remark
here, and reading goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ajpd.config.errors import Place

from .remarks import Remarks

__all__ = ["Block", "Line", "Node", "parse", "words_of"]

#: What C's isspace() calls space; U+00A0 is none of it, in Apache as well.
_SPACE: Final = " \t\n\v\f\r"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One directive: its name and everything behind it, as written."""

    name: str
    args: str = field(repr=False)  # it may hold a secret
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """`<Name args>` and what is in it."""

    name: str
    args: str
    place: Place
    children: list["Node"] = field(default_factory=list, repr=False)

    @property
    def title(self) -> str:
        """As one would say it."""
        return f"<{self.name} {self.args}>" if self.args else f"<{self.name}>"


Node = Line | Block


def parse(text: str, file: str, remarks: Remarks) -> list[Node]:
    """Parse the text of one file.

    Args:
        text: of the file.
        file: its path, for places.
        remarks: gets sections that are not closed, and the like.

    Returns:
        directives and sections, in order.
    """
    top: list[Node] = []
    open_blocks: list[Block] = []
    for number, content in _logical_lines(text):
        place = Place(file, number)
        inside = open_blocks[-1].children if open_blocks else top
        if content.startswith("</"):
            _close(content, place, open_blocks, remarks)
        elif content.startswith("<"):
            block = _block(content, place, remarks)
            inside.append(block)
            open_blocks.append(block)
        else:
            name, args = _split(content)
            inside.append(Line(name=name, args=args, place=place))
    for block in open_blocks:
        remarks.warn(
            block.place,
            block.title,
            "the section is never closed, and Apache does not start with it",
            f"it is read as if </{block.name}> stood at the end of the file",
        )
    return top


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that say something, trimmed, with the number of the first line of each."""
    begun, parts = 0, []
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = raw.removesuffix("\r")
        begun = begun or number
        if line.endswith("\\"):
            parts.append(line[:-1])
            continue
        content = "".join((*parts, line)).strip(_SPACE)
        # A comment is continued like any other line.
        if content and not content.startswith("#"):
            yield begun, content
        begun, parts = 0, []
    content = "".join(parts).strip(_SPACE)
    if content and not content.startswith("#"):
        yield begun, content


def _split(content: str) -> tuple[str, str]:
    """The name, which may be quoted like any word, and the rest."""
    name, at = _word(content, 0)
    return name, content[at:].strip(_SPACE)


def _block(content: str, place: Place, remarks: Remarks) -> Block:
    inner, closing, _ = content[1:].rpartition(">")
    if not closing:
        inner = content[1:]
        remarks.warn(place, content, "there is no '>' at its end: Apache does not start with it")
    name, _, args = inner.strip(_SPACE).replace("\t", " ").partition(" ")
    return Block(name=name, args=args.strip(_SPACE), place=place)


def _close(content: str, place: Place, open_blocks: list[Block], remarks: Remarks) -> None:
    name = content[2:].partition(">")[0].strip(_SPACE)
    names = [block.name.lower() for block in open_blocks]
    if name.lower() not in names:
        remarks.warn(
            place, content, "no such section is open: Apache does not start with it",
            "the line is left out",
        )  # fmt: skip
        return
    while open_blocks:
        block = open_blocks.pop()
        if block.name.lower() == name.lower():
            return
        remarks.warn(
            block.place,
            block.title,
            f"the section is not closed before {content} on line {place.line}, and Apache does "
            "not start with it",
            "it is read as if it ended there",
        )


def words_of(args: str) -> list[str]:
    """Split what follows a directive's name into its arguments, quotes taken off.

    Source:
        httpd `server/util.c`, ap_getword_conf: a word that begins with a quote ends with the same
        one; in it a backslash stands before that quote or another backslash.
    """
    words, at = [], _skip(args, 0)
    while at < len(args):
        word, at = _word(args, at)
        words.append(word)
        at = _skip(args, at)
    return words


def _skip(text: str, at: int) -> int:
    """Where the next word begins."""
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _word(text: str, at: int) -> tuple[str, int]:
    """The word that begins there, and where it has ended."""
    quote, begin = text[at : at + 1], at
    if quote not in ('"', "'") or not quote:
        while at < len(text) and text[at] not in _SPACE:
            at += 1
        return text[begin:at], at
    found: list[str] = []
    at += 1
    while at < len(text) and text[at] != quote:
        if text[at] == "\\" and at + 1 < len(text) and text[at + 1] in ("\\", quote):
            at += 1
        found.append(text[at])
        at += 1
    return "".join(found), at + 1
