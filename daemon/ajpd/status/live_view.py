"""The page as it goes on: Server-Sent Events for everybody who has it open.

One timer for all readers of a process, and none while there are none. A reader who is slow misses
views in between; what he gets is always a whole one.

Source: WHATWG HTML, "Server-sent events".
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from ajpd.inside import Pipe

__all__ = ["EVERY", "LiveView", "Readers"]

logger = logging.getLogger("ajpd.status")

#: Seconds between two views.
EVERY: Final = 2.0
#: Looks without news after which something is sent nevertheless, for proxies in between.
_QUIET: Final = 7
_MOST: Final = 64


class Readers:
    """Everybody who has a page open in this process."""

    def __init__(self) -> None:
        self._open: set[LiveView] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_full(self) -> bool:
        """There is no room for one more."""
        return len(self._open) >= _MOST

    def add(self, reader: "LiveView") -> None:
        """From now on he gets every view."""
        self._open.add(reader)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._turn)

    def discard(self, reader: "LiveView") -> None:
        """He has gone."""
        self._open.discard(reader)
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        self._timer = None
        self._next([*self._open])

    def _next(self, waiting: "list[LiveView]") -> None:
        """One reader after the other, each in a turn of the loop: a view takes its time."""
        loop = asyncio.get_running_loop()
        if waiting:
            waiting.pop().look()
            loop.call_soon(self._next, waiting)
        elif self._open and self._timer is None:
            self._timer = loop.call_later(EVERY, self._turn)


class LiveView:
    """What one reader gets.

    Args:
        readers: whom he is among.
        view: makes the HTML of this moment.
    """

    def __init__(self, readers: Readers, view: Callable[[], str]) -> None:
        self._readers = readers
        self._view = view
        self._pipe: Pipe | None = None
        self._last = ""
        self._quiet = 0

    def begin(self, pipe: Pipe) -> None:
        """He listens."""
        self._pipe = pipe
        pipe.push(f"retry: {EVERY * 1000:.0f}\n\n".encode())
        self._readers.add(self)
        self.look()

    def end(self) -> None:
        """He has gone."""
        self._pipe = None
        self._readers.discard(self)

    def look(self) -> None:
        """Send a new view, if it is one."""
        pipe = self._pipe
        if pipe is None:
            return
        if pipe.shall_finish():
            pipe.finish()
            return
        if not pipe.may_push():
            return
        try:
            view = self._view()
        except Exception:
            logger.exception("the status page could not be made")
            pipe.finish()
            return
        if view == self._last:
            self._quiet += 1
            if self._quiet >= _QUIET:
                self._quiet = 0
                pipe.push(b":\n\n")
            return
        self._last, self._quiet = view, 0
        lines = "\n".join(f"data: {line}" for line in view.splitlines())
        pipe.push(f"event: view\n{lines}\n\n".encode())
