"""A store of a balancer in the shared status table."""

from libc.stdint cimport uint32_t

from ajp._column cimport Column
from ajp._layout cimport SlotMemory
from ajp._slot cimport Slot
from ajp._table cimport Memory
from ajp.lb._store cimport Cell, Store


cdef class TableStore(Store):
    """A store that all processes share."""

    cdef readonly Slot balancer
    cdef readonly tuple members     # Slot
    cdef readonly Column column     # of this process; None: it only looks
    cdef Memory _memory
    cdef Cell* _cells               # owned; what `view` copied last
    cdef SlotMemory** _slots        # owned array; the slots are borrowed from _memory
    cdef uint32_t* _indexes         # owned array
    cdef bint _counts               # whether there is a column
