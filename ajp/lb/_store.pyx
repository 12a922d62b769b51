"""Where a balancer keeps what it counts: the interface, and a store of this process alone.

An election reads all members at once, as an array of cells, and locks nothing. Every change is one
operation on one field, so that a store in shared memory can make it one atomic instruction, or a
cell of each process. What the numbers mean is not known here.

Source: mod_jk keeps the same per member in its shared memory (`jk_shm.h`, `jk_shm_lb_sub_worker`).
Differs: attempts in flight are counted as such, so a store can forget those of a dead process; a
change of state names the state it begins with, so two processes cannot undo each other's.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free

__all__ = ["MemoryStore", "Record", "Store"]

cdef double AWAITED = -1.0      # as RETURNED

cdef enum:
    # Room to add two of them, or a multiplied one, before a check.
    CEILING_BITS = 62


# hot
cdef inline uint64_t moved(uint64_t number, int64_t by) noexcept nogil:
    """A count after a move, between 0 and the ceiling."""
    cdef uint64_t ceiling = (<uint64_t>1) << CEILING_BITS
    if by < 0:
        return number - <uint64_t>(-by) if number > <uint64_t>(-by) else 0
    number += <uint64_t>by
    return number if number < ceiling else ceiling


cdef class Store:
    """What a balancer keeps about its members; one subclass for each kind of memory.

    The class itself has room for nobody. Subclasses are compiled: they set `count` and implement
    all that `_store.pxd` declares.
    """

    def __cinit__(self, *args, **kwargs):
        self.count = 0
        self.offset = 0
        self.is_writable = True

    def __repr__(self):
        """How many members, and where the next search begins."""
        return f"<{type(self).__name__} members={self.count} offset={self.offset}>"

    cdef const Cell* view(self) noexcept nogil:
        return NULL

    cdef const Cell* cell(self, int member) noexcept nogil:
        return &self.view()[member]

    cdef void lock(self) noexcept nogil:
        pass

    cdef void unlock(self) noexcept nogil:
        pass

    cdef void add(self, int member, int count, int64_t by) noexcept nogil:
        pass

    cdef void put(self, int member, int count, uint64_t number) noexcept nogil:
        pass

    cdef void put_mark(self, int member, int mark, double number) noexcept nogil:
        pass

    cdef bint change_state(self, int member, int32_t expected, int32_t state) noexcept nogil:
        return False

    cdef void put_activation(self, int member, int32_t activation) noexcept nogil:
        pass

    cdef double last_maintenance(self) noexcept nogil:
        return 0.0

    cdef bint claim_maintenance(self, double last, double now) noexcept nogil:
        return False

    def acquire_lock(self):
        """Let no other process elect until `release_lock`; waits a few milliseconds at most."""
        self.lock()

    def release_lock(self):
        """Undo `acquire_lock`."""
        self.unlock()

    @property
    def maintained(self):
        """Monotonic seconds of the last maintenance, of whichever process; 0: none yet."""
        return self.last_maintenance()

    def claim(self, double last, double now):
        """Note a maintenance at `now` if nobody has since `last`; whether that was so."""
        return self.claim_maintenance(last, now)


cdef class MemoryStore(Store):
    """A store in plain memory: of one process, as long as it lives.

    Args:
        count: members.
    """

    def __cinit__(self, int count):
        self._cells = NULL
        self._last_maintenance = 0.0
        if count < 1:
            raise ValueError(f"a balancer has members, not {count}")
        self._cells = <Cell*>calloc(<size_t>count, sizeof(Cell))
        if self._cells == NULL:
            raise MemoryError()
        self.count = count

    def __dealloc__(self):
        free(self._cells)

    cdef const Cell* view(self) noexcept nogil:
        return self._cells

    cdef void add(self, int member, int count, int64_t by) noexcept nogil:
        self._cells[member].count[count] = moved(self._cells[member].count[count], by)

    cdef void put(self, int member, int count, uint64_t number) noexcept nogil:
        self._cells[member].count[count] = number

    cdef void put_mark(self, int member, int mark, double number) noexcept nogil:
        self._cells[member].mark[mark] = number

    cdef bint change_state(self, int member, int32_t expected, int32_t state) noexcept nogil:
        if self._cells[member].state != expected:
            return False
        self._cells[member].state = state
        return True

    cdef void put_activation(self, int member, int32_t activation) noexcept nogil:
        self._cells[member].activation = activation

    cdef double last_maintenance(self) noexcept nogil:
        return self._last_maintenance

    cdef bint claim_maintenance(self, double last, double now) noexcept nogil:
        if self._last_maintenance != last:
            return False
        self._last_maintenance = now
        return True


cdef class Record:
    """One member's cell, for everything that is not an election.

    Args:
        store: keeps it.
        member: its number.
    """

    def __cinit__(self, Store store not None, int member):
        if not 0 <= member < store.count:
            raise IndexError(f"member {member} of {store.count}")
        self._store = store
        self.member = member

    def __repr__(self):
        """What counts for an election."""
        return (
            f"<Record {self.member} state={self.state} activation={self.activation} "
            f"value={self.value} in_flight={self.in_flight}>"
        )

    cdef Store _changing(self):
        """The store, for who changes something in it.

        Raises:
            ValueError: it is for looking only.
        """
        if not self._store.is_writable:
            raise ValueError(f"{self._store!r} is for looking only")
        return self._store

    cdef const Cell* _cell(self) noexcept nogil:
        return &self._store.view()[self.member]

    def change_state(self, int expected, int state):
        """Go from one state to another if it is still in the first; whether it was."""
        return self._changing().change_state(self.member, expected, state)

    @property
    def state(self):
        """Number of a `State`."""
        return self._cell().state

    @property
    def activation(self):
        """Number of an `Activation`."""
        return self._cell().activation

    @activation.setter
    def activation(self, int number):
        self._changing().put_activation(self.member, number)

    @property
    def value(self):
        """What the methods that add up have added; 0 for the others."""
        return self._cell().count[VALUE]

    @value.setter
    def value(self, uint64_t number):
        self._changing().put(self.member, VALUE, number)

    @property
    def in_flight(self):
        """Attempts begun and not ended, of all processes."""
        return self._cell().count[IN_FLIGHT]

    @property
    def elected(self):
        """Attempts begun since the last reset."""
        return self._cell().count[ELECTED]

    @elected.setter
    def elected(self, uint64_t number):
        self._changing().put(self.member, ELECTED, number)

    @property
    def elected_seen(self):
        """What `elected` was at the last maintenance."""
        return self._cell().count[ELECTED_SEEN]

    @elected_seen.setter
    def elected_seen(self, uint64_t number):
        self._changing().put(self.member, ELECTED_SEEN, number)

    @property
    def sessions(self):
        """Attempts that were to make a session."""
        return self._cell().count[SESSIONS]

    @sessions.setter
    def sessions(self, uint64_t number):
        self._changing().put(self.member, SESSIONS, number)

    @property
    def errors(self):
        """Failures of the member."""
        return self._cell().count[ERRORS]

    @errors.setter
    def errors(self, uint64_t number):
        self._changing().put(self.member, ERRORS, number)

    @property
    def reply_timeouts(self):
        """Reply timeouts, halved at each maintenance."""
        return self._cell().count[REPLY_TIMEOUTS]

    @reply_timeouts.setter
    def reply_timeouts(self, uint64_t number):
        self._changing().put(self.member, REPLY_TIMEOUTS, number)

    @property
    def first_error(self):
        """Monotonic seconds of the first error since the last success; 0: none."""
        return self._cell().mark[FIRST_ERROR]

    @first_error.setter
    def first_error(self, double number):
        self._changing().put_mark(self.member, FIRST_ERROR, number)

    @property
    def last_error(self):
        """Monotonic seconds of the last error since the last success; 0: none."""
        return self._cell().mark[LAST_ERROR]

    @last_error.setter
    def last_error(self, double number):
        self._changing().put_mark(self.member, LAST_ERROR, number)

    @property
    def latency(self):
        """Smoothed seconds to the first byte when it was last measured; 0: never."""
        return self._cell().mark[LATENCY]

    @latency.setter
    def latency(self, double number):
        self._changing().put_mark(self.member, LATENCY, number)

    @property
    def returned(self):
        """Monotonic seconds when the member came back after it had failed; 0: it did not."""
        return max(self._cell().mark[RETURNED], 0.0)

    @returned.setter
    def returned(self, double number):
        self._changing().put_mark(self.member, RETURNED, number)

    @property
    def is_awaited(self):
        """Whether it has failed, and a probe is to bring it back."""
        return self._cell().mark[RETURNED] == AWAITED

    def await_probe(self):
        """Have a probe bring it back."""
        self._changing().put_mark(self.member, RETURNED, AWAITED)

    def note_error(self, double now):
        """Count a failure and note when it was."""
        self._changing().add(self.member, ERRORS, 1)
        if self._cell().mark[FIRST_ERROR] == 0.0:
            self._changing().put_mark(self.member, FIRST_ERROR, now)
        self._changing().put_mark(self.member, LAST_ERROR, now)

    def note_reply_timeouts(self, int tries):
        """Count reply timeouts; how many there are now."""
        self._changing().add(self.member, REPLY_TIMEOUTS, tries)
        return self._cell().count[REPLY_TIMEOUTS]
