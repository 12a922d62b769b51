"""Where in Apache's configuration a directive stands: at the top of a server, or in a Location.

Source: httpd `server/core.c` (urlsection).
"""

from typing import Final, NamedTuple

from .reading import Statement
from .remarks import Remarks
from .syntax import Block, words_of

__all__ = ["EVERYWHERE", "Location", "location_of", "of_block"]


class Location(NamedTuple):
    """`<Location path>`, `<Location ~ expression>` or `<LocationMatch expression>`."""

    path: str
    is_expression: bool = False


#: Of a directive that stands in no section.
EVERYWHERE: Final = Location("")


def of_block(block: Block) -> Location | None:
    """What a section is about; None when it is no Location."""
    words = words_of(block.args)
    kind = block.name.lower()
    if kind not in ("location", "locationmatch") or not words:
        return None
    if kind == "locationmatch":
        return Location(words[0], is_expression=True)
    if words[0] == "~":
        return Location(" ".join(words[1:2]), is_expression=True)
    return Location(words[0])


def location_of(statement: Statement, remarks: Remarks) -> Location | None:
    """Where a directive counts.

    Returns:
        None, with a remark, when that is something ajpd cannot tell, such as a directory.
    """
    if not statement.blocks:
        return EVERYWHERE
    *outer, block = statement.blocks
    location = of_block(block)
    strangers = [each for each in outer if of_block(each) is None]
    if location is not None and not strangers:
        return location
    stranger = strangers[0] if strangers else block
    remarks.error(
        statement.place,
        statement.name,
        f"it counts inside {stranger.title} only, and rules here know nothing but name and path of "
        "a request",
        "write a rule into [mount] if its path tells enough",
    )
    return None
