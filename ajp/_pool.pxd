"""Decisions about the endpoints of one container."""


cdef class Pool:
    """The endpoints of one container in one process."""

    cdef public Py_ssize_t size             # most endpoints
    cdef public Py_ssize_t min_size
    cdef public double idle_timeout         # seconds, as all times here
    cdef public double ping_interval
    cdef public Py_ssize_t connecting       # connections that are being made
    cdef dict _idle                         # endpoint -> since when, oldest first
    cdef dict _asked                        # the same of those that are being asked
    cdef dict _heard                        # when those that were asked have answered
    cdef set _busy
    cdef object _waiting                    # deque of (deadline, waiter)

    # For who is compiled too: the way of a request that finds everything warm.
    cdef object take(self)
    cdef bint keep(self, object endpoint, double now) except -1
