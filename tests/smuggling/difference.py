"""One thing that Apache httpd with mod_jk does in another way than we, and reasons that repeat."""

from dataclasses import dataclass
from typing import Final

__all__ = ["FOLDED", "HOP", "JOINED", "MISSING", "STAYS", "UNKNOWN", "Difference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that they do.

    Attributes:
        theirs: answers without the tail's, what was executed, what became of the connection;
            or, beginning with `also`, header lines that reach the application in addition.
        cases: where they do it.
        reason: why we do not, or why it does not matter.
    """

    theirs: str
    cases: tuple[str, ...]
    reason: str


HOP: Final = "speaks of the client's own connection and goes no further (RFC 9110 §7.6.1)"
JOINED: Final = "forwarded as sent; httpd joins them, which means the same (RFC 9110 §5.3)"
FOLDED: Final = "obsolete, and read in two ways; a server may refuse it (RFC 9112 §5.2)"
UNKNOWN: Final = "refused by both; another version is 505 (RFC 9110 §15.6.6)"
MISSING: Final = "refused by both; said to be bad, not to be missing"
STAYS: Final = (
    "refused by both; where the request ends is beyond doubt, so the connection can stay; httpd "
    "ends it after each 400 and 414"
)
