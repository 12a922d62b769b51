"""Where Apache httpd with mod_jk does something else than we with a case, and why.

As seen with Debian's httpd 2.4 and mod_jk with the options they have when nobody says anything,
before Tomcat 10. What differs and is not here is a defect of one of them, or of the case.
"""

from collections.abc import Mapping
from typing import Final

from .case import Case
from .difference import Difference
from .reviewed_bodies import BODIES
from .reviewed_heads import HEADS
from .suite import AREAS, CASES

__all__ = ["DIFFERENCES", "recorded"]

DIFFERENCES: Final = (*BODIES, *HEADS)

#: Every body whose framing is refused, unless another difference names it.
_BROKEN_BODY: Final = Difference(
    theirs="no answer; connection ends",
    cases=(),
    reason="refused by both; mod_jk has sent the head by then and ends the connection without a "
    "word, we say 400",
)
_BODY_AREAS: Final = ("Chunks", "Chunk extensions", "Trailers")


def _by_case() -> Mapping[str, Difference]:
    found = {name: each for each in DIFFERENCES for name in each.cases}
    for area in _BODY_AREAS:
        for case in AREAS[area]:
            if case.closes and not case.is_cut:
                found.setdefault(case.name, _BROKEN_BODY)
    return found


_RECORDED: Final = _by_case()
assert not {*_RECORDED} - {case.name for case in CASES}, "reviewed, but no case"


def recorded(case: Case) -> Difference | None:
    """What they do with a case; None when it is the same."""
    return _RECORDED.get(case.name)
