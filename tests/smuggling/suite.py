"""All cases by area. To add one, add it to a file of this folder; nothing else knows how many."""

from collections.abc import Mapping
from typing import Final

from . import chunks, framing, heads, targets, trust, uris
from .case import Case

__all__ = ["AREAS", "CASES"]

AREAS: Final[Mapping[str, tuple[Case, ...]]] = {
    "Two lengths": framing.TWO_LENGTHS,
    "Content-Length": framing.LENGTHS,
    "Transfer-Encoding": framing.CODINGS,
    "One request after the other": framing.PIPELINES,
    "Chunks": chunks.CHUNKS,
    "Chunk extensions": chunks.EXTENSIONS,
    "Trailers": chunks.TRAILERS,
    "Request line and ends of lines": heads.LINES,
    "Control bytes": heads.CONTROLS,
    "Header fields": heads.FIELDS,
    "Sizes": heads.SIZES,
    "Host": targets.HOSTS,
    "Forms of the target": targets.FORMS,
    "Methods": targets.METHODS,
    "Connection and Upgrade": trust.HOPS,
    "Expect": trust.EXPECTATIONS,
    "Names that belong elsewhere": trust.NAMES,
    "Words of a proxy": trust.PROXIES,
    "Paths out of the application": uris.ESCAPES,
    "Paths into an exclusion": uris.PRIVATE,
    "Encoded paths": uris.ENCODINGS,
    "Queries": uris.QUERIES,
}
CASES: Final = tuple(case for cases in AREAS.values() for case in cases)
