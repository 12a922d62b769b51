"""What a worker does for a request that finds a warm endpoint, and for one that leaves it so.

Nearly every request of a busy daemon does, so this half of a worker is compiled. Whatever else may
come between a request and an endpoint is in `worker.py`.
"""

from ajp._endpoint cimport Attempt, Endpoint
from ajp._line cimport EP_PINGING
from ajp._pool cimport Pool

from ajp.errors import Progress

__all__ = ["Warm"]

cdef object NOTHING_SENT = Progress.NOTHING_SENT


cdef class Warm:
    """The compiled half of a worker.

    Args:
        pool: of its endpoints.
        is_limited: whether busy_limit is set.
        idle_care: seconds after which an idle endpoint may need care; 0 never.
    """

    def __init__(self, Pool pool not None, *, bint is_limited, double idle_care):
        self._pool = pool
        self._is_limited = is_limited
        self._idle_care = idle_care
        self._closed = False
        self._inquiries = {}

    def acquire(self, Attempt attempt not None):
        """Find an endpoint; `attempt.on_endpoint` or `attempt.on_failed` follows, maybe at once.

        An attempt that changes its mind while it has no endpoint calls `cancel`.
        """
        cdef Endpoint endpoint
        if not self._closed and not self._is_limited:
            endpoint = self._pool.take()
            while endpoint is not None:
                if endpoint.may_start():
                    attempt.on_endpoint(endpoint)
                    return
                # Closed a moment ago and not yet reported as lost.
                self._pool.lost(endpoint)
                endpoint = self._pool.take()
        self._acquire(attempt)

    def endpoint_released(self, Endpoint endpoint not None):
        """An endpoint finished its exchange, or answered a CPING while idle."""
        if not self._closed and not self._inquiries and (
            self._pool.keep(endpoint, endpoint.heard_at)
        ):
            if self._idle_care > 0.0:
                self._watch_idle(endpoint)
        else:
            self._release(endpoint)

    def awaits_container(self):
        """Whether the next word over any endpoint is the container's, and we would hear it."""
        cdef Endpoint endpoint
        for endpoint in self._pool.busy_endpoints:
            if endpoint.state == EP_PINGING:
                return True
            if endpoint._attempt is not None and not (endpoint.owed or endpoint._reading_paused):
                return True
        return False

    def _move_off(self, reason, error):
        """Fail attempts that somebody else could have; how many. The queue goes first."""
        cdef Attempt attempt
        cdef Endpoint endpoint
        cdef Py_ssize_t moved = 0
        for attempt in self._pool.waiters:
            if attempt.may_leave(NOTHING_SENT) and self._pool.give_up(attempt):
                moved += 1
                attempt.on_failed(reason, NOTHING_SENT, error)
        for endpoint in self._pool.busy_endpoints:
            attempt = endpoint._attempt
            if attempt is not None and attempt.may_leave(endpoint._progress()):
                moved += 1
                endpoint._fail(reason, error)
        return moved

    def _acquire(self, attempt):
        raise NotImplementedError

    def _release(self, endpoint):
        raise NotImplementedError

    def _watch_idle(self, endpoint):
        raise NotImplementedError
