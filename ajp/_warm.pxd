"""What a worker does for a request that finds a warm endpoint."""

from ajp._pool cimport Pool


cdef class Warm:
    """The compiled half of a worker."""

    cdef readonly Pool _pool
    cdef public bint _closed
    cdef public bint _is_limited    # busy_limit is set: every request has to be looked at
    cdef readonly dict _inquiries   # endpoint -> who asked over it whether the container is there
    cdef public double _idle_care   # seconds after which an idle endpoint may need care; 0 never
