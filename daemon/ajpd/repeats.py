"""Messages that say the same again and again: the first at once, the others as a number.

A message that may repeat says what it is about, by `about` in its `extra`; of all that are about
the same, one is written in each window of ten seconds, with how many there were. Messages without
it, and all of them where somebody wants to see everything (debug), are written as they come.
"""

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

__all__ = ["WINDOW_S", "Repeats"]

WINDOW_S: Final = 10.0
#: Things that are remembered; what is beyond is written as it comes.
_MOST: Final = 1000

_Key = tuple[str, int, Hashable]


@dataclass(slots=True)
class _Seen:
    """What was held back.

    Attributes:
        until: end of the window.
        count: of messages held back in it.
        last: of them.
    """

    until: float
    count: int = 0
    last: logging.LogRecord | None = None


class Repeats(logging.Filter):
    """What stands between a logger's messages and their handler.

    Args:
        handler: where numbers go.
        clock: seconds.
    """

    def __init__(
        self, handler: logging.Handler, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._handler = handler
        self._clock = clock
        self._seen: dict[_Key, _Seen] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is written now."""
        about = getattr(record, "about", None)
        if about is None or logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
            return True
        now = self._clock()
        key = (record.name, record.levelno, about)
        seen = self._seen.get(key)
        if seen is not None and now < seen.until:
            seen.count += 1
            seen.last = record
            return False
        if seen is not None:
            self._close(key, seen, now)
            return self.filter(record) if key in self._seen else self._open(key, now)
        return self._open(key, now)

    def _open(self, key: _Key, now: float) -> bool:
        if len(self._seen) < _MOST:
            self._seen[key] = _Seen(now + WINDOW_S)
        return True

    def look(self) -> None:
        """Write the numbers whose window is over."""
        now = self._clock()
        for key, seen in [*self._seen.items()]:
            if now >= seen.until:
                self._close(key, seen, now)

    def finish(self) -> None:
        """Write all numbers there are."""
        for seen in self._seen.values():
            self._say(seen)
        self._seen.clear()

    def _close(self, key: _Key, seen: _Seen, now: float) -> None:
        """A window is over: the next one begins, unless nothing came in it."""
        self._say(seen)
        if seen.count:
            seen.until, seen.count, seen.last = now + WINDOW_S, 0, None
        else:
            del self._seen[key]

    def _say(self, seen: _Seen) -> None:
        last = seen.last
        if last is None:
            return
        words = "once more" if seen.count == 1 else f"{seen.count} times more, this the last"
        # What was held back is written at the time it was held back.
        last.msg = f"{last.getMessage()} ({words}, in {WINDOW_S:g} s)"
        last.args = ()
        self._handler.handle(_unchecked(last))


def _unchecked(record: logging.LogRecord) -> logging.LogRecord:
    """A record that no filter holds back."""
    record.about = None
    return record
