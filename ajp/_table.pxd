"""The shared status table over a piece of memory: its slots, its columns, who has them."""

from libc.stdint cimport uint32_t, uint64_t

from ajp._atomic cimport load, load_acquire, word
from ajp._layout cimport ColumnHead, Header, SlotMemory, Tally


cdef extern from * nogil:
    """
    #define ajp_trailing_zeros(number) __builtin_ctzll(number)
    """
    int trailing_zeros "ajp_trailing_zeros"(uint64_t number)


cdef enum:                      # gauges of a slot in a column
    GAUGE_IN_FLIGHT
    GAUGE_CONNECTED
    GAUGE_WAITING
    GAUGE_IDLE
    GAUGES                      # how many there are


cdef class Memory:
    """A table in memory that processes share; the memory is borrowed as long as this lives."""

    cdef readonly object guard      # context manager of whoever writes what is not his own
    cdef readonly uint32_t capacity     # slots there is room for
    cdef readonly uint32_t columns      # processes there is room for
    cdef readonly bint is_writable
    cdef readonly object clock      # () -> nanoseconds since 1970
    cdef Py_buffer _view
    cdef bint _has_view
    cdef char* _at                  # borrowed from _view
    cdef Header* header             # likewise
    cdef size_t _column_bytes

    cdef inline SlotMemory* slot_at(self, uint32_t index) noexcept nogil:
        return &(<SlotMemory*>(self._at + sizeof(Header)))[index]

    cdef inline char* _column(self, uint32_t number) noexcept nogil:
        return (
            self._at + sizeof(Header) + self.capacity * sizeof(SlotMemory)
            + number * self._column_bytes
        )

    cdef inline ColumnHead* head_of(self, uint32_t number) noexcept nogil:
        return <ColumnHead*>self._column(number)

    # Gauges of all slots, one writer.
    cdef inline word* in_flight_of(self, uint32_t number) noexcept nogil:
        return <word*>(self._column(number) + sizeof(ColumnHead))

    cdef inline word* connected_of(self, uint32_t number) noexcept nogil:
        return self.in_flight_of(number) + GAUGE_CONNECTED * self.capacity

    cdef inline word* waiting_of(self, uint32_t number) noexcept nogil:
        return self.in_flight_of(number) + GAUGE_WAITING * self.capacity

    cdef inline word* idle_of(self, uint32_t number) noexcept nogil:
        return self.in_flight_of(number) + GAUGE_IDLE * self.capacity

    # Tallies of all slots, one writer; the ones after the last column are those of the resets.
    cdef inline Tally* tallies_of(self, uint32_t number) noexcept nogil:
        if number == self.columns:
            return <Tally*>self._column(number)
        return <Tally*>(self.in_flight_of(number) + GAUGES * self.capacity)

    # Sum of a slot's gauge over the processes that live.
    cdef inline uint64_t sum_gauge(self, uint32_t index, uint32_t gauge) noexcept nogil:
        cdef uint64_t total = 0, claimed
        cdef uint32_t number
        cdef int part
        for part in range(4):
            claimed = load_acquire(&self.header.claimed[part])
            while claimed:
                number = <uint32_t>(64 * part + trailing_zeros(claimed))
                total += load(&self.in_flight_of(number)[gauge * self.capacity + index])
                claimed &= claimed - 1
        return total

    cdef inline uint64_t sum_in_flight(self, uint32_t index) noexcept nogil:
        return self.sum_gauge(index, GAUGE_IN_FLIGHT)

    cdef inline uint64_t sum_connected(self, uint32_t index) noexcept nogil:
        return self.sum_gauge(index, GAUGE_CONNECTED)

    cdef int _check(self) except -1
    cdef int _check_writable(self) except -1
    cdef uint32_t _free_slot(self) except? 0xFFFFFFFF
    cdef void _wipe(self, uint32_t index) noexcept nogil
    cdef uint64_t _oldest_generation(self) noexcept nogil
    cdef bint _is_claimed(self, uint32_t number) noexcept nogil
    cdef uint64_t summed(self, uint32_t index, int place) noexcept nogil
