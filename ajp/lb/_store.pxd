"""Where a balancer keeps what it counts: the interface, and a store of this process alone."""

from libc.stdint cimport int32_t, int64_t, uint64_t


cdef enum:                      # counts
    VALUE               # lb_value of the methods that add up; see Election.score for the others
    IN_FLIGHT           # attempts begun and not ended, of all processes
    ELECTED             # attempts begun since the last reset
    ELECTED_SEEN        # ELECTED at the last maintenance
    SESSIONS            # attempts that were to make a session
    ERRORS              # failures of the member
    REPLY_TIMEOUTS      # halved at each maintenance
    COUNTS              # how many counts there are


cdef enum:                      # marks
    FIRST_ERROR         # monotonic seconds; 0: no error since the last success
    LAST_ERROR          # monotonic seconds; 0 likewise
    LATENCY             # smoothed seconds to the first byte at LATENCY_AT; 0: never measured
    LATENCY_AT          # monotonic seconds
    RETURNED            # monotonic seconds when it came back; 0: it was never away, or is and
    # nobody looks after it; negative: it has failed, and a probe is to bring it back
    MARKS               # how many marks there are


cdef struct Cell:
    # One member as an election sees it.
    uint64_t count[COUNTS]
    double mark[MARKS]
    int32_t state       # member.State
    int32_t activation  # member.Activation


cdef class Store:
    """What a balancer keeps about its members; one subclass for each kind of memory."""

    cdef readonly int count         # members
    cdef readonly bint is_writable  # False: for who only looks; nothing is changed then
    cdef public int offset          # where the next search begins; of this process, as in mod_jk

    # Current cells of all members, borrowed until the next call. Not to be written to.
    cdef const Cell* view(self) noexcept nogil
    # The cell of one member without its IN_FLIGHT, borrowed likewise.
    cdef const Cell* cell(self, int member) noexcept nogil
    # Let nobody else elect meanwhile, with lock=Pessimistic; waits a few milliseconds at most.
    cdef void lock(self) noexcept nogil
    cdef void unlock(self) noexcept nogil
    # Move a count up or down; it stops at 0 and at CEILING.
    cdef void add(self, int member, int count, int64_t by) noexcept nogil
    # Set a count, never IN_FLIGHT, which belongs to the attempts.
    cdef void put(self, int member, int count, uint64_t number) noexcept nogil
    cdef void put_mark(self, int member, int mark, double number) noexcept nogil
    # From one state to another if it is still in the first; whether it was.
    cdef bint change_state(self, int member, int32_t expected, int32_t state) noexcept nogil
    cdef void put_activation(self, int member, int32_t activation) noexcept nogil
    # Monotonic seconds of the last maintenance, of whichever process; 0: none yet.
    cdef double last_maintenance(self) noexcept nogil
    # Note a maintenance at `now` if nobody has since `last`; whether that was so.
    cdef bint claim_maintenance(self, double last, double now) noexcept nogil


cdef class MemoryStore(Store):
    """A store in plain memory."""

    cdef Cell* _cells               # owned
    cdef double _last_maintenance


cdef class Record:
    """One member's cell, for everything that is not an election."""

    cdef readonly int member
    cdef Store _store

    cdef Store _changing(self)
    cdef const Cell* _cell(self) noexcept nogil
