"""One record of the shared status table: a worker, a member or a balancer."""

from libc.stdint cimport uint32_t, uint64_t

from ajp._layout cimport Config, SlotMemory
from ajp._table cimport Memory


cdef class Slot:
    """One record of the table."""

    cdef readonly Memory memory
    cdef readonly uint32_t index
    cdef readonly object kind       # snapshot.Kind
    cdef readonly str name
    cdef readonly str balancer      # of members; empty for others
    cdef readonly str address       # empty for balancers
    cdef readonly bint is_new       # whether asking for it made it
    cdef SlotMemory* at             # borrowed from memory
    cdef uint32_t _incarnation

    cdef void _forget_nonsense(self) noexcept nogil
    cdef int _check_current(self) except -1
    cdef uint64_t _read_config(self, Config* out) noexcept nogil
    cdef void _write_config(self, const Config* config) noexcept nogil
    cdef dict _values_of(self, Config* config)
    cdef int _put(self, Config* config, str name, value) except -1
    cdef object _reset_totals(self)
