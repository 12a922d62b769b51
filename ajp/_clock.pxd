"""The clock of asyncio's loops, without a call into Python."""


cdef extern from "time.h" nogil:
    ctypedef int clockid_t
    cdef clockid_t CLOCK_MONOTONIC
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(clockid_t clock, timespec* out)


cdef inline double monotonic() noexcept nogil:
    """Monotonic seconds."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <double>now.tv_sec + <double>now.tv_nsec * 1e-9
