"""What a worker does for a request that finds a warm endpoint, and for one that leaves it so.

Nearly every request of a busy daemon does, so this half of a worker is compiled. Whatever else may
come between a request and an endpoint is in `worker.py`.
"""

from ajp._endpoint cimport Attempt, Endpoint
from ajp._pool cimport Pool

__all__ = ["Warm"]


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

    def _acquire(self, attempt):
        raise NotImplementedError

    def _release(self, endpoint):
        raise NotImplementedError

    def _watch_idle(self, endpoint):
        raise NotImplementedError
