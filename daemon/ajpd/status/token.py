"""What a page gives its reader to send back: that a change was meant, and by whom.

Nobody else's page can know it, so no link or form on another site changes anything here. All
processes of a daemon have the same key, made once, in the one that they all come from.
"""

import hmac
import secrets
import time
from typing import Final

__all__ = ["is_token", "token_for"]

# Made when the master imports this, before it forks.
_KEY: Final = secrets.token_bytes(32)
#: A token is good for one to two of these, in seconds.
_PERIOD: Final = 6 * 3600


def token_for(who: str, *, now: float | None = None) -> str:
    """What a page for this reader has in its forms.

    Args:
        who: the reader, as far as known.
        now: seconds since 1970; this moment when None.
    """
    return _made(who, int((time.time() if now is None else now) // _PERIOD))


def is_token(text: str, who: str, *, now: float | None = None) -> bool:
    """Whether it was given to this reader, not too long ago."""
    period = int((time.time() if now is None else now) // _PERIOD)
    given = text.encode("utf-8", "replace")
    return any(
        hmac.compare_digest(given, _made(who, each).encode()) for each in (period, period - 1)
    )


def _made(who: str, period: int) -> str:
    text = f"{period}\0{who}".encode("utf-8", "surrogatepass")
    return hmac.new(_KEY, text, "sha256").hexdigest()[:32]
