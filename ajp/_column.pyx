"""What one process counts in the shared status table.

No lock, no allocation, no locked instruction for what only this process writes. Whoever reads sums
over all columns. A column belongs to the process that claimed it: a forked child needs its own.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ajp._atomic cimport (
    bits_of,
    bump,
    half_load,
    half_store,
    load,
    raise_to,
    set_bits,
    store,
    swap,
    word,
)
from ajp._layout cimport (
    BYTES_IN,
    BYTES_OUT,
    CONNECTS,
    DURATION_US,
    FIRST_BYTE_US,
    MINUTES,
    REASONS,
    SEEN_WORDS,
    STATUS_1XX,
    STATUS_NONE,
    USED,
    SlotMemory,
    Tally,
    bucket_of,
)
from ajp._slot cimport Slot
from ajp._table cimport Memory

from .snapshot import COUNTERS, REASON_NUMBERS, ProcessState

__all__ = ["Column"]


@cython.final
cdef class Column:
    """The cells of one process.

    Args:
        memory: the table.
        number: of a column that this process claimed.
    """

    def __cinit__(self, Memory memory not None, uint32_t number):
        if number >= memory.columns:
            raise IndexError(f"column {number} of {memory.columns}")
        memory._check_writable()
        self.memory = memory
        self.number = number
        self._head = memory.head_of(number)
        self._in_flight = memory.in_flight_of(number)
        self._connected = memory.connected_of(number)
        self._tallies = memory.tallies_of(number)

    def __repr__(self):
        """Whose it is."""
        return f"<Column {self.number} pid={half_load(&self._head.pid)}>"

    # hot
    cdef void begin(self, uint32_t slot) noexcept nogil:
        self.move_in_flight(slot, 1)

    # hot
    cdef void end(self, uint32_t slot) noexcept nogil:
        self.move_in_flight(slot, -1)

    # hot
    cdef void move_in_flight(self, uint32_t slot, int64_t by) noexcept nogil:
        cdef uint64_t before = load(&self._in_flight[slot])
        if by < 0:
            store(&self._in_flight[slot], before - min(before, <uint64_t>(-by)))
        else:
            store(&self._in_flight[slot], before + <uint64_t>by)
            raise_to(&self.memory.slot_at(slot).max_in_flight, self.memory.sum_in_flight(slot))

    # hot
    cdef void finish(self, uint32_t slot, const Finished* done) noexcept nogil:
        cdef Tally* tally = &self._tallies[slot]
        bump(&tally.counter[USED], 1)
        bump(&tally.counter[BYTES_IN], done.bytes_in)
        bump(&tally.counter[BYTES_OUT], done.bytes_out)
        bump(&tally.counter[DURATION_US], done.duration_us)
        bump(&tally.duration[bucket_of(done.duration_us)], 1)
        if done.first_byte_us >= 0:
            bump(&tally.counter[FIRST_BYTE_US], <uint64_t>done.first_byte_us)
            bump(&tally.first_byte[bucket_of(<uint64_t>done.first_byte_us)], 1)
        if 100 <= done.status < 600:
            bump(&tally.counter[STATUS_1XX + done.status // 100 - 1], 1)
        else:
            bump(&tally.counter[STATUS_NONE], 1)
        if done.reason:
            self.fail(slot, done.reason, done.now)

    # hot
    cdef void fail(self, uint32_t slot, uint32_t reason, double now) noexcept nogil:
        cdef SlotMemory* at = self.memory.slot_at(slot)
        if 0 < reason < REASONS:
            bump(&self._tallies[slot].reason[reason], 1)
            half_store(&at.last_reason, reason)
            store(&at.last_reason_at, bits_of(now))

    # hot
    cdef void count(self, uint32_t slot, int counter, uint64_t by) noexcept nogil:
        bump(&self._tallies[slot].counter[counter], by)

    # hot
    cdef void connect(self, uint32_t slot) noexcept nogil:
        bump(&self._connected[slot], 1)
        bump(&self._tallies[slot].counter[CONNECTS], 1)
        raise_to(&self.memory.slot_at(slot).max_connected, self.memory.sum_connected(slot))

    # hot
    cdef void disconnect(self, uint32_t slot) noexcept nogil:
        cdef uint64_t before = load(&self._connected[slot])
        store(&self._connected[slot], before - min(before, <uint64_t>1))

    # hot
    cdef void set_pool(self, uint32_t slot, uint64_t waiting, uint64_t idle) noexcept nogil:
        store(&self.memory.waiting_of(self.number)[slot], waiting)
        store(&self.memory.idle_of(self.number)[slot], idle)

    # hot
    cdef void saw_session(self, uint32_t slot, uint64_t session, double now) noexcept nogil:
        cdef SlotMemory* at = self.memory.slot_at(slot)
        cdef uint64_t minute = <uint64_t>(now / 60.0) + 1
        cdef int ring = <int>(minute % MINUTES)
        cdef word* seen = &at.seen[ring][(session >> 6) % SEEN_WORDS]
        cdef uint64_t bit = (<uint64_t>1) << (session & 63)
        if load(&at.minute[ring]) != minute:
            self._turn(at, ring, minute)
        if not load(seen) & bit:
            set_bits(seen, bit)
        store(&at.session_at, bits_of(now))

    # hot
    cdef void begin_session(self, uint32_t slot, double now) noexcept nogil:
        store(&self.memory.slot_at(slot).session_at, bits_of(now))

    cdef void _turn(self, SlotMemory* at, int ring, uint64_t minute) noexcept nogil:
        """Begin another minute, if nobody has. A session seen by others meanwhile may be missed."""
        cdef uint64_t before = load(&at.minute[ring])
        cdef int place
        if before < minute and swap(&at.minute[ring], before, minute):
            for place in range(SEEN_WORDS):
                store(&at.seen[ring][place], 0)

    # hot
    cdef void beat(self, uint64_t now_ns) noexcept nogil:
        store(&self._head.heartbeat_ns, now_ns)

    # The same for who is not compiled.

    cdef uint32_t _index(self, slot) except 0xFFFFFFFF:
        if not isinstance(slot, Slot) or (<Slot>slot).memory is not self.memory:
            raise ValueError(f"{slot!r} is no slot of this table")
        return (<Slot>slot).index

    def begun(self, slot):
        """A request is on its way to somebody."""
        self.begin(self._index(slot))

    def ended(self, slot):
        """It no longer is."""
        self.end(self._index(slot))

    def finished(
        self,
        slot,
        *,
        uint64_t duration_us,
        int64_t first_byte_us=-1,
        uint64_t bytes_in=0,
        uint64_t bytes_out=0,
        uint32_t status=0,
        reason=None,
        double now=0.0,
    ):
        """Count a request that ended; `ended` besides, if it was `begun`.

        Args:
            slot: whose it was.
            duration_us: of all of it.
            first_byte_us: until the response began; negative when it did not.
            bytes_in: from the container.
            bytes_out: to the container.
            status: of the response; 0 when there was none.
            reason: the `Reason` of its failure; None when there was none.
            now: monotonic seconds; of the failure.
        """
        cdef Finished done
        cdef uint32_t index = self._index(slot)
        done.duration_us = duration_us
        done.first_byte_us = first_byte_us
        done.bytes_in = bytes_in
        done.bytes_out = bytes_out
        done.status = status
        done.reason = 0 if reason is None else REASON_NUMBERS[reason]
        done.now = now
        self.finish(index, &done)

    def failed(self, slot, reason, double now):
        """Count a failure that did not end a request."""
        self.fail(self._index(slot), REASON_NUMBERS[reason], now)

    def counted(self, slot, str counter not None, uint64_t by=1):
        """Move one of COUNTERS up."""
        self.count(self._index(slot), COUNTERS.index(counter), by)

    def connection_made(self, slot):
        """One more connection."""
        self.connect(self._index(slot))

    def connection_lost(self, slot):
        """One less."""
        self.disconnect(self._index(slot))

    def pool_is(self, slot, *, uint64_t waiting, uint64_t idle):
        """How many requests wait for an endpoint, and how many connections have no work."""
        self.set_pool(self._index(slot), waiting, idle)

    def session_seen(self, slot, bytes session not None, double now):
        """A request came that carries a session of this member.

        Args:
            slot: of the member.
            session: its id.
            now: monotonic seconds.
        """
        self.saw_session(self._index(slot), hash_of(session, len(session)), now)

    def session_may_begin(self, slot, double now):
        """A request came to a member whose answer may begin a session there.

        Args:
            slot: of the member.
            now: monotonic seconds.
        """
        self.begin_session(self._index(slot), now)

    def heartbeat(self, uint64_t now_ns):
        """Show that this process is alive, at a monotonic time."""
        self.beat(now_ns)

    def set_state(self, state):
        """Say what this process does."""
        half_store(&self._head.state, <uint32_t>ProcessState(state))

    def in_flight(self, slot):
        """Requests of this process on their way to somebody."""
        return load(&self._in_flight[self._index(slot)])
