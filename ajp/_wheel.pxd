"""Deadlines without a timer each: a hashed wheel of intrusive lists."""

from libc.stdint cimport int64_t


cdef class Timed:
    """Something that can have one deadline; the wheel borrows it, so being armed keeps nobody alive."""

    cdef readonly double deadline   # monotonic seconds; 0 when there is none
    cdef int64_t _tick              # tick of the bucket it hangs in, -1 when in none
    cdef void* _prev                # Timed, borrowed
    cdef void* _next                # Timed, borrowed
    cdef void* _wheel               # Wheel, borrowed; NULL when in no bucket

    cpdef on_deadline(self, double now)
    cdef void disarm(self) noexcept


cdef class Wheel:
    """Buckets of one tick each."""

    cdef readonly double tick       # seconds
    cdef readonly Py_ssize_t armed  # objects that hang in a bucket
    cdef object _on_first           # called when the first object is armed; or None
    cdef int64_t _now               # last tick that was run
    cdef Py_ssize_t _count          # buckets
    cdef void** _buckets            # heads of the lists, owned array

    cdef int arm(self, Timed timed, double deadline) except -1
    cdef void _link(self, Timed timed) noexcept
    cdef void _unlink(self, Timed timed) noexcept
