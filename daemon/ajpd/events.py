"""What a process without an event loop waits for: files, signals and the passing of time.

For the master, which must not have a loop of its own when it forks. A signal only leaves its
number behind; it is acted on in `turn`, where everything else happens too.
"""

import contextlib
import heapq
import itertools
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable

__all__ = ["Events"]


class Events:
    """Calls back what was asked for, one after the other.

    Args:
        on_signal: gets the number of a signal.
        numbers: signals to be told about.
    """

    def __init__(
        self, on_signal: Callable[[signal.Signals], None], numbers: Iterable[signal.Signals]
    ) -> None:
        self._on_signal = on_signal
        self._numbers = [*numbers]
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._take_signals)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in self._numbers:
            signal.signal(number, _leave_its_number)

    def watch(self, sock: socket.socket, callback: Callable[[], None]) -> None:
        """Call back whenever there is something to read."""
        self._selector.register(sock, selectors.EVENT_READ, callback)

    def forget(self, sock: socket.socket) -> None:
        """Watch it no longer."""
        self._selector.unregister(sock)

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back once, after so many seconds; there is no way to take it back."""
        when = time.monotonic() + seconds
        heapq.heappush(self._timers, (when, next(self._order), callback))

    def turn(self) -> None:
        """Wait until there is something to do, and do it."""
        wait = None
        if self._timers:
            wait = max(self._timers[0][0] - time.monotonic(), 0.0)
        for key, _ in self._selector.select(wait):
            # What came before may have closed it.
            if self._selector.get_map().get(key.fd) is key:
                callback: Callable[[], None] = key.data
                callback()
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()

    def _take_signals(self) -> None:
        numbers: set[int] = set()
        with contextlib.suppress(BlockingIOError):
            while received := self._woken.recv(4096):
                numbers.update(received)
        # SIGCHLD last: who was told to end is not missed.
        for number in sorted(numbers, key=lambda each: each == signal.SIGCHLD):
            self._on_signal(signal.Signals(number))

    def close(self) -> None:
        """Watch nothing any more, and give the signals back to the system."""
        signal.set_wakeup_fd(-1)
        for number in self._numbers:
            signal.signal(number, signal.SIG_DFL)
        self._selector.close()
        self._woken.close()
        self._waker.close()

    def close_in_child(self) -> None:
        """Leave all of it to the parent: whatever was watched is closed here, and only here."""
        watched = [key.fileobj for key in self._selector.get_map().values()]
        self.close()
        for each in watched:
            if isinstance(each, socket.socket):
                each.close()


def _leave_its_number(number: int, frame: object) -> None:
    """Do nothing: that there is a handler makes Python write the number to the wakeup socket."""
