"""What one process counts in the shared status table."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from ajp._atomic cimport word
from ajp._layout cimport ColumnHead, SlotMemory, Tally
from ajp._table cimport Memory


cdef struct Finished:
    # A request that ended.
    uint64_t duration_us
    int64_t first_byte_us       # until the response began; negative when it did not
    uint64_t bytes_in           # from the container
    uint64_t bytes_out          # to the container
    uint32_t status             # of the response; 0: none
    uint32_t reason             # snapshot.REASON_NUMBERS; 0: nothing failed
    double now                  # monotonic seconds


# A hash that is the same in every process: FNV-1a, its bits mixed once more.
cdef inline uint64_t hash_of(const unsigned char* text, Py_ssize_t size) noexcept nogil:
    cdef uint64_t number = 0xCBF29CE484222325ULL
    cdef Py_ssize_t i
    for i in range(size):
        number = (number ^ text[i]) * 0x100000001B3ULL
    number = (number ^ (number >> 33)) * 0xFF51AFD7ED558CCDULL
    return number ^ (number >> 33)


cdef class Column:
    """The cells of one process: nobody else writes them."""

    cdef readonly Memory memory
    cdef readonly uint32_t number
    cdef ColumnHead* _head          # borrowed from memory, as the rest
    cdef word* _in_flight
    cdef word* _connected
    cdef Tally* _tallies

    # All of them: `slot` is Slot.index, and is not checked.
    # A request is on its way; `end` takes it back.
    cdef void begin(self, uint32_t slot) noexcept nogil
    cdef void end(self, uint32_t slot) noexcept nogil
    # Move what is in flight; it stops at 0.
    cdef void move_in_flight(self, uint32_t slot, int64_t by) noexcept nogil
    # Count a request that ended; nothing of `end`.
    cdef void finish(self, uint32_t slot, const Finished* done) noexcept nogil
    # Count a failed attempt that was not the last one of its request, or a failure without any.
    cdef void fail(self, uint32_t slot, uint32_t reason, double now) noexcept nogil
    # Move one of _layout.Counter up.
    cdef void count(self, uint32_t slot, int counter, uint64_t by) noexcept nogil
    # A connection is made, or is gone.
    cdef void connect(self, uint32_t slot) noexcept nogil
    cdef void disconnect(self, uint32_t slot) noexcept nogil
    # How many requests wait for an endpoint, and how many connections have no work.
    cdef void set_pool(self, uint32_t slot, uint64_t waiting, uint64_t idle) noexcept nogil
    # A request came that carries a session of this member; `session` as `hash_of` has it.
    cdef void saw_session(self, uint32_t slot, uint64_t session, double now) noexcept nogil
    # A request came whose answer may begin a session of this member.
    cdef void begin_session(self, uint32_t slot, double now) noexcept nogil
    cdef void beat(self, uint64_t now_ns) noexcept nogil
    cdef void _turn(self, SlotMemory* at, int ring, uint64_t minute) noexcept nogil
    cdef uint32_t _index(self, slot) except 0xFFFFFFFF
