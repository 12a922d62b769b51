"""Decisions about the endpoints of one container: who gets which, who waits, what expires.

Plain values in, plain values out: no I/O, no clock, no randomness. The worker that owns a pool
does what it decides. Endpoints and waiters are opaque here. Compiled because every request comes
through here twice.
"""

cimport cython

from collections import deque
from enum import Enum
from types import GenericAlias

__all__ = ["CONNECT", "WAIT", "Decision", "Pool"]


class Decision(Enum):
    """What to do for somebody who wants an endpoint and gets none at once."""

    CONNECT = "connect"
    WAIT = "wait"


CONNECT = Decision.CONNECT
WAIT = Decision.WAIT


@cython.final
cdef class Pool:
    """The endpoints of one container in one process.

    The last endpoint that came back is the first to be given away, so that connections nobody
    needs grow old and can be closed. Who has to wait is served first come, first served.

    Args:
        size: most endpoints at any time, connecting ones included.
        min_size: idle endpoints that are never expired.
        idle_timeout: seconds an endpoint may be idle; 0 for ever.
        ping_interval: seconds an idle endpoint may be silent until it is to be asked; 0 for ever.
    """

    __class_getitem__ = classmethod(GenericAlias)

    def __init__(
        self,
        *,
        Py_ssize_t size,
        Py_ssize_t min_size=0,
        double idle_timeout=0.0,
        double ping_interval=0.0,
    ):
        if size < 1:
            raise ValueError(f"a pool needs room for one endpoint, not {size}")
        self.size = size
        self.min_size = min_size
        self.idle_timeout = idle_timeout
        self.ping_interval = ping_interval
        self.connecting = 0
        # Since when each is idle, oldest first.
        self._idle = {}
        # The same of those that are being asked whether they are still good.
        self._asked = {}
        # When those that were asked have answered.
        self._heard = {}
        self._busy = set()
        self._waiting = deque()

    def __repr__(self):
        """Counts of everything that has one."""
        return (
            f"<Pool idle={len(self._idle)} busy={len(self._busy)} connecting={self.connecting} "
            f"waiting={len(self._waiting)} size={self.size}>"
        )

    @property
    def open(self):
        """Endpoints that exist or are being connected."""
        return len(self._idle) + len(self._asked) + len(self._busy) + self.connecting

    @property
    def idle(self):
        """Endpoints that a request could have at once."""
        return len(self._idle)

    @property
    def busy(self):
        """Endpoints in use."""
        return len(self._busy)

    @property
    def waiting(self):
        """Waiters in the queue."""
        return len(self._waiting)

    def acquire(self, waiter, double deadline):
        """Find an endpoint for a waiter.

        Args:
            waiter: who wants it.
            deadline: when the waiter wants to wait no longer, in monotonic seconds; never earlier
                than that of a waiter before.

        Returns:
            An idle endpoint, now busy; or CONNECT: the waiter is queued and one connection more
            is to be made; or WAIT: the waiter is queued.
        """
        endpoint = self.take()
        if endpoint is not None:
            return endpoint
        self._waiting.append((deadline, waiter))
        # A connection that is already on its way serves the first of the queue.
        return CONNECT if self.wants_connection() else WAIT

    cdef object take(self):
        """An idle endpoint, now busy; None when there is none, or somebody waits already."""
        if not self._idle or self._waiting:
            return None
        endpoint = self._idle.popitem()[0]
        self._busy.add(endpoint)
        return endpoint

    cdef bint keep(self, object endpoint, double now) except -1:
        """Let a busy endpoint be idle, if nobody waits for it and it was not asked anything."""
        if self._waiting or self._asked:
            return False
        self._busy.discard(endpoint)
        self._idle[endpoint] = now
        return True

    def wants_connection(self):
        """Whether one connection more is to be made; if so it counts as being made from now on."""
        if self.connecting < len(self._waiting) and self.open < self.size:
            self.connecting += 1
            return True
        return False

    def connected(self, endpoint, double now):
        """A connection was made.

        Returns:
            The waiter it is for, the endpoint now busy; None when nobody waits any more.
        """
        self.connecting -= 1
        return self._offer(endpoint, now)

    def connect_failed(self):
        """A connection could not be made; the waiter it fails, the first of the queue."""
        self.connecting -= 1
        return self._waiting.popleft()[1] if self._waiting else None

    def release(self, endpoint, double now):
        """A busy endpoint is free, or one that was asked has answered.

        Returns:
            The waiter it is for, the endpoint busy; None: it is idle now.
        """
        if endpoint in self._asked:
            since = self._asked.pop(endpoint)
            if not self._waiting:
                # Being asked makes nobody younger: it goes back to its place among the others.
                self._heard[endpoint] = now
                everybody = [*self._idle.items(), (endpoint, since)]
                self._idle = dict(sorted(everybody, key=lambda entry: entry[1]))
                return None
        self._busy.discard(endpoint)
        return self._offer(endpoint, now)

    def lost(self, endpoint):
        """An endpoint is gone, idle or busy; ask `wants_connection` afterwards."""
        self._busy.discard(endpoint)
        self._idle.pop(endpoint, None)
        self._asked.pop(endpoint, None)
        self._heard.pop(endpoint, None)

    def give_up(self, waiter):
        """Take a waiter out of the queue; whether it was in it."""
        for entry in self._waiting:
            if entry[1] is waiter:
                self._waiting.remove(entry)
                return True
        return False

    def overdue(self, double now):
        """Waiters whose deadline has passed, in their order; they leave the queue here."""
        late = []
        while self._waiting and self._waiting[0][0] <= now:
            late.append(self._waiting.popleft()[1])
        return late

    @property
    def waiters(self):
        """Everybody in the queue, in order."""
        return [waiter for _, waiter in self._waiting]

    @property
    def next_deadline(self):
        """Deadline of the first waiter; None when nobody waits."""
        return self._waiting[0][0] if self._waiting else None

    def expired(self, double now):
        """Idle endpoints that are too old, oldest first; they are forgotten here."""
        if self.idle_timeout <= 0:
            return []
        old = []
        for endpoint, since in self._idle.items():
            if len(self._idle) - len(old) <= self.min_size or now - since <= self.idle_timeout:
                break
            old.append(endpoint)
        for endpoint in old:
            del self._idle[endpoint]
        return old

    def silent(self, double now):
        """Idle endpoints to ask whether they are still good, oldest first.

        Until they answer (`release`) or are `lost` nobody gets them: a request would have to
        wait for the answer too.
        """
        if self.ping_interval <= 0:
            return []
        silent = [endpoint for endpoint in self._idle if self._ask_at(endpoint) <= now]
        for endpoint in silent:
            self._asked[endpoint] = self._idle.pop(endpoint)
        return silent

    @property
    def next_care(self):
        """When the next idle endpoint will expire or is to be asked; None when none will."""
        times = [self._ask_at(endpoint) for endpoint in self._idle if self.ping_interval > 0]
        if self.idle_timeout > 0 and len(self._idle) > self.min_size:
            times.append(next(iter(self._idle.values())) + self.idle_timeout)
        return min(times, default=None)

    def _ask_at(self, endpoint):
        heard = self._heard.get(endpoint, 0.0)
        return max(heard, self._idle[endpoint]) + self.ping_interval

    def drain(self):
        """Forget all idle endpoints and all waiters; returns both."""
        idle = [*self._idle, *self._asked]
        waiting = [waiter for _, waiter in self._waiting]
        self._idle.clear()
        self._asked.clear()
        self._waiting.clear()
        return idle, waiting

    @property
    def busy_endpoints(self):
        """Endpoints in use, in no order."""
        return list(self._busy)

    def is_busy(self, endpoint):
        """Whether somebody uses it."""
        return endpoint in self._busy

    @property
    def endpoints(self):
        """All endpoints there are, in no order."""
        return [*self._idle, *self._asked, *self._busy]

    def _offer(self, endpoint, double now):
        if self._waiting:
            self._busy.add(endpoint)
            return self._waiting.popleft()[1]
        self._idle[endpoint] = now
        return None
