"""Deadlines without a timer each: a hashed wheel of intrusive lists.

Moving a deadline later costs one store: the object is looked at when its old bucket comes round and
hung further on. Knows no clock and calls nobody: `advance` is told the time and returns what is due.

Source: the hashed wheel of Varghese and Lauck (1987), with lazy moving as haproxy's and nginx's
timers have it.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

__all__ = ["Timed", "Wheel"]


cdef class Timed:
    """Something that can have one deadline."""

    def __cinit__(self):
        self.deadline = 0.0
        self._tick = -1
        self._prev = NULL
        self._next = NULL
        self._wheel = NULL

    def __dealloc__(self):
        self.disarm()

    cpdef on_deadline(self, double now):
        """Called by whoever runs the wheel once the deadline has passed."""

    cdef void disarm(self) noexcept:
        """Forget the deadline and leave the wheel."""
        self.deadline = 0.0
        if self._wheel != NULL:
            (<Wheel>self._wheel)._unlink(self)


cdef class Wheel:
    """Buckets of one tick each; deadlines further away than all buckets go round more than once.

    Args:
        now: monotonic seconds.
        tick: seconds of one bucket; a deadline is reported up to one tick late, never early.
        buckets: how many.
        on_first: called when an empty wheel gets its first object, to start a clock.
    """

    def __init__(self, double now, *, double tick=0.1, Py_ssize_t buckets=1024, on_first=None):
        if self._buckets != NULL:
            raise RuntimeError("a wheel is made once")
        if tick <= 0 or buckets < 2:
            raise ValueError("a wheel needs a positive tick and two buckets")
        self._buckets = <void**>calloc(<size_t>buckets, sizeof(void*))
        if self._buckets == NULL:
            raise MemoryError()
        self.tick = tick
        self.armed = 0
        self._count = buckets
        self._on_first = on_first
        self._now = <int64_t>(now / tick)

    def __dealloc__(self):
        cdef Py_ssize_t i
        cdef void* each
        cdef void* following
        if self._buckets != NULL:
            for i in range(self._count):
                each = self._buckets[i]
                while each != NULL:
                    # No reference is taken: it may be this object's end that is ours as well.
                    following = (<Timed>each)._next
                    (<Timed>each)._prev = NULL
                    (<Timed>each)._next = NULL
                    (<Timed>each)._wheel = NULL
                    (<Timed>each)._tick = -1
                    each = following
            free(self._buckets)

    def set(self, Timed timed, double deadline):
        """Give an object its deadline in monotonic seconds, in place of an earlier one; 0: none."""
        self.arm(timed, deadline)

    cdef int arm(self, Timed timed, double deadline) except -1:
        cdef int64_t due
        if deadline <= 0.0:
            timed.disarm()
            return 0
        timed.deadline = deadline
        due = <int64_t>(deadline / self.tick) + 1
        if timed._wheel != NULL:
            if timed._wheel == <void*>self and timed._tick <= due:
                return 0
            (<Wheel>timed._wheel)._unlink(timed)
        if self.armed == 0 and self._on_first is not None:
            self._on_first()
        self._link(timed)
        return 0

    cdef void _link(self, Timed timed) noexcept:
        cdef int64_t due = <int64_t>(timed.deadline / self.tick) + 1
        cdef Py_ssize_t index
        if due <= self._now:
            due = self._now + 1
        elif due >= self._now + self._count:
            due = self._now + self._count - 1
        index = <Py_ssize_t>(due % self._count)
        timed._tick = due
        timed._wheel = <void*>self
        timed._prev = NULL
        timed._next = self._buckets[index]
        if timed._next != NULL:
            (<Timed>timed._next)._prev = <void*>timed
        self._buckets[index] = <void*>timed
        self.armed += 1

    cdef void _unlink(self, Timed timed) noexcept:
        if timed._next != NULL:
            (<Timed>timed._next)._prev = timed._prev
        if timed._prev != NULL:
            (<Timed>timed._prev)._next = timed._next
        else:
            self._buckets[timed._tick % self._count] = timed._next
        timed._prev = NULL
        timed._next = NULL
        timed._wheel = NULL
        timed._tick = -1
        self.armed -= 1

    def advance(self, double now):
        """Move the hand to `now`.

        Returns:
            The objects whose deadline has passed, no longer armed. The caller calls their
            `on_deadline`.
        """
        cdef int64_t target = <int64_t>(now / self.tick)
        cdef Py_ssize_t index
        cdef Timed timed
        cdef list due = []
        if target - self._now > self._count:
            self._now = target - self._count
        while self._now < target:
            self._now += 1
            index = <Py_ssize_t>(self._now % self._count)
            while self._buckets[index] != NULL:
                timed = <Timed>self._buckets[index]
                self._unlink(timed)
                if timed.deadline > now:
                    self._link(timed)
                else:
                    timed.deadline = 0.0
                    due.append(timed)
        return due
