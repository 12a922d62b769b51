"""Run a wheel of deadlines from an event loop: one coarse timer a loop, none a request."""

import asyncio
import logging

from ._wheel import Timed, Wheel

__all__ = ["Timers"]

logger = logging.getLogger("ajp.timers")

TICK = 0.1


class Timers:
    """The wheel of one event loop.

    The timer runs only while something is armed.

    Args:
        loop: the loop whose clock counts.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self.wheel = Wheel(loop.time(), tick=TICK, on_first=self._start)

    def set(self, timed: Timed, seconds: float) -> None:
        """Give `timed` a deadline so many seconds from now."""
        self.wheel.set(timed, self._loop.time() + seconds)

    def close(self) -> None:
        """Stop the timer; armed objects are forgotten."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _start(self) -> None:
        if self._handle is None:
            # The hand stood still while nothing was armed.
            self._fire(self.wheel.advance(self._loop.time()))
            self._handle = self._loop.call_later(TICK, self._run)

    def _run(self) -> None:
        self._handle = None
        self._fire(self.wheel.advance(self._loop.time()))
        if self.wheel.armed and self._handle is None:
            self._handle = self._loop.call_later(TICK, self._run)

    def _fire(self, due: list[Timed]) -> None:
        now = self._loop.time()
        for timed in due:
            try:
                timed.on_deadline(now)
            except Exception:
                # One object's failure must not cost the others their deadlines.
                logger.exception("on_deadline of %r failed", timed)
