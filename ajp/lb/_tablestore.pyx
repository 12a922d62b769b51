"""A store of a balancer in the shared status table: all processes elect by the same numbers.

Every change is one atomic instruction on a word of the member's slot, but for attempts in flight,
which every process counts in its own column: what a dead one had can be forgotten. A view is a copy
of all members; each number in it was right at its moment.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from ajp._atomic cimport (
    bits_of,
    half,
    half_load,
    half_store,
    half_swap,
    load,
    load_acquire,
    load_double,
    move,
    store,
    swap,
    word,
)
from ajp._column cimport Column
from ajp._layout cimport SlotMemory
from ajp._slot cimport Slot
from ajp._table cimport trailing_zeros
from ajp.lb._store cimport COUNTS, IN_FLIGHT, MARKS, Cell, Store

from ajp.snapshot import Kind

__all__ = ["TableStore"]

cdef extern from "unistd.h" nogil:
    int usleep(unsigned int microseconds)


cdef enum:
    # An election takes less than a microsecond; its lock is waited for 2 ms at most.
    LOCK_SPINS = 200
    LOCK_PAUSE_US = 50
    LOCK_TRIES = 240
    # As of a store in memory: room to add two of them before a check.
    CEILING_BITS = 62


@cython.final
cdef class TableStore(Store):
    """A store that all processes share.

    Args:
        balancer: its slot.
        members: their slots, in the order of the balancer's members.
        column: of this process, which must be the only one to use it; None for who only looks.

    Raises:
        ValueError: no members, or a slot that is not of this balancer, or of another table.
    """

    def __cinit__(self, Slot balancer not None, members, Column column=None):
        cdef Slot member
        cdef int number
        self._cells = NULL
        self._slots = NULL
        self._indexes = NULL
        self._counts = column is not None
        self.balancer = balancer
        self.members = tuple(members)
        self.column = column
        self._memory = balancer.memory
        self.is_writable = self._memory.is_writable
        if not self.members:
            raise ValueError("a balancer has members, not 0")
        if balancer.kind is not Kind.BALANCER:
            raise ValueError(f"{balancer!r} is no balancer")
        if column is not None and column.memory is not self._memory:
            raise ValueError(f"{column!r} is of another table")
        self._cells = <Cell*>calloc(<size_t>len(self.members), sizeof(Cell))
        self._slots = <SlotMemory**>calloc(<size_t>len(self.members), sizeof(SlotMemory*))
        self._indexes = <uint32_t*>calloc(<size_t>len(self.members), sizeof(uint32_t))
        if self._cells == NULL or self._slots == NULL or self._indexes == NULL:
            raise MemoryError()
        for number, member in enumerate(self.members):
            if member is None or member.memory is not self._memory or (
                (member.kind, member.balancer) != (Kind.MEMBER, balancer.name)
            ):
                raise ValueError(f"{member!r} is no member of {balancer!r}")
            self._slots[number] = member.at
            self._indexes[number] = member.index
        self.count = <int>len(self.members)

    def __dealloc__(self):
        free(self._cells)
        free(self._slots)
        free(self._indexes)

    # hot
    cdef const Cell* view(self) noexcept nogil:
        cdef word* gauges
        cdef uint64_t claimed
        cdef int member, part
        for member in range(self.count):
            self.cell(member)
        # A process has the gauges of all members side by side: few cache lines for each.
        for part in range(4):
            claimed = load_acquire(&self._memory.header.claimed[part])
            while claimed:
                gauges = self._memory.in_flight_of(
                    <uint32_t>(64 * part + trailing_zeros(claimed))
                )
                claimed &= claimed - 1
                for member in range(self.count):
                    self._cells[member].count[IN_FLIGHT] += load(&gauges[self._indexes[member]])
        return self._cells

    # hot
    cdef const Cell* cell(self, int member) noexcept nogil:
        cdef SlotMemory* slot = self._slots[member]
        cdef Cell* cell = &self._cells[member]
        cdef int place
        for place in range(COUNTS):
            cell.count[place] = load(&slot.count[place])
        cell.count[IN_FLIGHT] = 0
        for place in range(MARKS):
            cell.mark[place] = load_double(&slot.mark[place])
        cell.state = <int32_t>half_load(&slot.state)
        cell.activation = <int32_t>half_load(&slot.activation)
        return cell

    cdef void lock(self) noexcept nogil:
        cdef half* lock = &self.balancer.at.lock
        cdef uint32_t us
        cdef int tries
        if not self._counts:
            return
        us = self.column.number + 1
        for tries in range(LOCK_TRIES):
            # One's own is left from a process that had the column before.
            if half_swap(lock, 0, us) or half_load(lock) == us:
                return
            if tries >= LOCK_SPINS:
                usleep(LOCK_PAUSE_US)
        # Whoever has it is stopped or about to be cleared away: one election is no reason to wait.

    cdef void unlock(self) noexcept nogil:
        if self._counts:
            half_swap(&self.balancer.at.lock, self.column.number + 1, 0)

    # hot
    cdef void add(self, int member, int count, int64_t by) noexcept nogil:
        if not self.is_writable:
            return
        if count != IN_FLIGHT:
            move(&self._slots[member].count[count], by, (<uint64_t>1) << CEILING_BITS)
        elif self._counts:
            self.column.move_in_flight(self._indexes[member], by)

    # hot
    cdef void put(self, int member, int count, uint64_t number) noexcept nogil:
        if self.is_writable:
            store(&self._slots[member].count[count], number)

    # hot
    cdef void put_mark(self, int member, int mark, double number) noexcept nogil:
        if self.is_writable:
            store(&self._slots[member].mark[mark], bits_of(number))

    # hot
    cdef bint change_state(self, int member, int32_t expected, int32_t state) noexcept nogil:
        if not self.is_writable:
            return False
        return half_swap(&self._slots[member].state, <uint32_t>expected, <uint32_t>state)

    # hot
    cdef void put_activation(self, int member, int32_t activation) noexcept nogil:
        if not self.is_writable:
            return
        half_store(&self._slots[member].activation, <uint32_t>activation)

    # hot
    cdef double last_maintenance(self) noexcept nogil:
        return load_double(&self.balancer.at.maintained)

    # hot
    cdef bint claim_maintenance(self, double last, double now) noexcept nogil:
        if not self.is_writable:
            return False
        return swap(&self.balancer.at.maintained, bits_of(last), bits_of(now))
