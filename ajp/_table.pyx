"""The shared status table over a piece of memory: its slots, its columns, who has them.

Three kinds of words, and who writes them: what the operator sets (whoever holds the guard), what is
observed (anybody, one atomic instruction each), what is counted (the one process that has the
column). Nobody waits for a writer: every change under the guard ends in one word that makes it
valid, so one that died half-way has changed nothing. Where the memory comes from and how the guard
works are not known here; neither is the time.

Source: mod_jk `jk_shm.c` has the same split of a sequence for what is set and no lock for what is
counted. Differs: a column for each process, so nothing is lost when two count at once and what a
dead one had in flight can be forgotten; slots can be freed; a layout is checked before it is used.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ajp._atomic cimport (
    bump,
    clear_bits,
    copy_in,
    copy_out,
    half_load,
    half_store,
    half_swap,
    load,
    load_acquire,
    raise_to,
    set_bits,
    store,
    store_release,
    word,
)
from ajp._layout cimport (
    BYTE_ORDER,
    IDENTITY_WORDS,
    IN_USE,
    LAYOUT,
    MARKS,
    MAX_COLUMNS,
    MAX_SLOTS,
    MINUTES,
    REPLACED,
    ColumnHead,
    Header,
    Identity,
    SlotMemory,
    Tally,
)

from .errors import LayoutMismatch, StatusTableError, TableFull
from .snapshot import Process, ProcessState, Reload, Reloads

__all__ = ["Memory", "format_memory", "table_bytes"]

cdef bytes MAGIC = b"ajpd.shm"

cdef enum:
    TALLY_WORDS = sizeof(Tally) // 8


cdef size_t column_bytes(size_t slots) noexcept nogil:
    return sizeof(ColumnHead) + slots * (GAUGES * sizeof(word) + sizeof(Tally))


def table_bytes(*, int slots, int columns):
    """Bytes of a table with room for so many slots, rounded up to eights, and processes.

    Raises:
        ValueError: a number that is no table.
    """
    if not 0 < slots <= MAX_SLOTS:
        raise ValueError(f"a table has 1 to {MAX_SLOTS} slots, not {slots}")
    if not 0 < columns <= MAX_COLUMNS:
        raise ValueError(f"a table has 1 to {MAX_COLUMNS} columns, not {columns}")
    cdef size_t room = <size_t>((slots + 7) // 8 * 8)
    return (
        sizeof(Header) + room * (sizeof(SlotMemory) + sizeof(Tally))
        + <size_t>columns * column_bytes(room)
    )


def format_memory(buffer, *, int slots, int columns, int64_t now_ns, bytes boot_id not None):
    """Make memory full of zeros an empty table.

    Args:
        buffer: writable, of `table_bytes`.
        slots: room for workers, members and balancers; rounded up to eights.
        columns: room for processes.
        now_ns: since 1970.
        boot_id: 16 bytes, of the system that the monotonic times belong to.
    """
    cdef uint64_t total = table_bytes(slots=slots, columns=columns)
    cdef Py_buffer view
    cdef Header* header
    PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
    try:
        if <uint64_t>view.len != total or len(boot_id) != 16:
            raise ValueError(f"a table takes {total} bytes and a boot id of 16, not {view.len}")
        header = <Header*>view.buf
        fill(header, <uint32_t>((slots + 7) // 8 * 8), <uint32_t>columns)
        header.file_bytes = total
        header.created_ns = <uint64_t>now_ns
        memcpy(header.boot_id, <char*>boot_id, 16)
        half_store(&header.state, IN_USE)
        memcpy(header.magic, <char*>MAGIC, 8)
    finally:
        PyBuffer_Release(&view)


cdef void fill(Header* header, uint32_t slots, uint32_t columns) noexcept nogil:
    """Say what the table looks like."""
    header.byte_order = BYTE_ORDER
    header.layout = LAYOUT
    header.word_bytes = sizeof(void*)
    header.header_bytes = sizeof(Header)
    header.slot_bytes = sizeof(SlotMemory)
    header.tally_bytes = sizeof(Tally)
    header.slots = slots
    header.columns = columns


cdef class Memory:
    """A table in memory that processes share.

    Args:
        buffer: all of it, made by `format_memory`; borrowed as long as this lives.
        guard: context manager that lets one in at a time, of all processes; may be entered again
            by who is in.
        clock: gives nanoseconds since 1970.

    Raises:
        LayoutMismatch: another version, or another kind of machine, made it.
        StatusTableError: it is no table.
    """

    def __cinit__(self, buffer, guard, clock, **_):
        self._has_view = False
        self.is_writable = True
        try:
            PyObject_GetBuffer(buffer, &self._view, PyBUF_WRITABLE)
        except (BufferError, TypeError):
            PyObject_GetBuffer(buffer, &self._view, PyBUF_SIMPLE)
            self.is_writable = False
        self._has_view = True
        self._at = <char*>self._view.buf
        self.header = <Header*>self._at
        self._check()
        self.guard = guard
        self.clock = clock
        self.capacity = self.header.slots
        self.columns = self.header.columns
        self._column_bytes = column_bytes(self.capacity)

    def __dealloc__(self):
        if self._has_view:
            PyBuffer_Release(&self._view)

    def image(self):
        """A copy of all of it; each word was right at its moment."""
        return PyBytes_FromStringAndSize(self._at, self._view.len)

    def __repr__(self):
        """How big it is, and how full."""
        taken = len(self.taken())
        return (
            f"<{type(self).__name__} slots={taken}/{self.capacity} "
            f"processes={len(self.processes())}/{self.columns} generation={self.generation}>"
        )

    cdef int _check(self) except -1:
        cdef Header* header = self.header
        cdef uint64_t total
        if <uint64_t>self._view.len < sizeof(Header):
            raise StatusTableError(f"{self._view.len} bytes are no table: a header has 256")
        if <size_t>self._at % 64:
            raise StatusTableError("a table begins at a multiple of 64 bytes")
        if memcmp(header.magic, <char*>MAGIC, 8) != 0:
            found = (<char*>header.magic)[:8]
            raise StatusTableError(f"a table begins with {MAGIC!r}, not with {found!r}")
        for what, expected, got in (
            ("byte order", BYTE_ORDER, header.byte_order),
            ("layout", LAYOUT, header.layout),
            ("word size", sizeof(void*), header.word_bytes),
            ("header size", sizeof(Header), header.header_bytes),
            ("slot size", sizeof(SlotMemory), header.slot_bytes),
            ("tally size", sizeof(Tally), header.tally_bytes),
        ):
            if expected != got:
                raise LayoutMismatch(f"the table has {what} {got:#x}; this version, {expected:#x}")
        if header.slots % 8 or not 0 < header.slots <= MAX_SLOTS:
            raise StatusTableError(f"a table of {header.slots} slots cannot be")
        if not 0 < header.columns <= MAX_COLUMNS:
            raise StatusTableError(f"a table of {header.columns} columns cannot be")
        total = table_bytes(slots=header.slots, columns=header.columns)
        if header.file_bytes != total or <uint64_t>self._view.len != total:
            raise StatusTableError(
                f"the table has {self._view.len} bytes and says {header.file_bytes}; "
                f"{header.slots} slots and {header.columns} columns take {total}"
            )
        if load(&header.slots_used) > header.slots or load(&header.columns_used) > header.columns:
            raise StatusTableError("the table says that more of it is used than there is")
        return 0

    cdef int _check_writable(self) except -1:
        if not self.is_writable:
            raise StatusTableError("the table was opened for reading only")
        return 0

    @property
    def generation(self):
        """Newest generation of processes."""
        return load_acquire(&self.header.generation)

    def begin_generation(self):
        """Begin another generation; its number. Who is asked for from now on belongs to it."""
        self._check_writable()
        with self.guard:
            store_release(&self.header.generation, load(&self.header.generation) + 1)
            return load(&self.header.generation)

    @property
    def changes(self):
        """Moves whenever the config of any slot does, so that one look is enough."""
        return load_acquire(&self.header.changes)

    @property
    def journal(self):
        """Entries of the journal that are part of what is here."""
        return load_acquire(&self.header.journal)

    @journal.setter
    def journal(self, uint64_t number):
        self._check_writable()
        store_release(&self.header.journal, number)

    @property
    def reloads(self):
        """What the daemon's masters did, as `Reloads`."""
        return Reloads(
            done=load(&self.header.reloads),
            refused=load(&self.header.reloads_refused),
            last=Reload(half_load(&self.header.reload)),
            last_ns=load(&self.header.reload_ns),
            deaths=load(&self.header.deaths),
        )

    def note_reload(self, *, bint done):
        """Note how a reload ended; for the master."""
        self._check_writable()
        if done:
            bump(&self.header.reloads, 1)
        else:
            bump(&self.header.reloads_refused, 1)
        store(&self.header.reload_ns, self.clock())
        half_store(&self.header.reload, <uint32_t>(Reload.DONE if done else Reload.REFUSED))

    def note_death(self):
        """Note that a process ended without being told to; for the master."""
        self._check_writable()
        bump(&self.header.deaths, 1)

    @property
    def created_ns(self):
        """When the table was made, since 1970."""
        return self.header.created_ns

    @property
    def is_replaced(self):
        """Whether another table took this one's place: open that one."""
        return half_load(&self.header.state) == REPLACED

    def retire(self):
        """Say that another table takes this one's place."""
        self._check_writable()
        half_store(&self.header.state, REPLACED)

    @property
    def boot_id(self):
        """16 bytes, of the system that the monotonic times belong to."""
        return (<char*>self.header.boot_id)[:16]

    @property
    def holder(self):
        """Process that holds the guard, or died with it; 0: none."""
        return half_load(&self.header.holder)

    def hold(self, uint32_t pid):
        """Note who holds the guard, 0 for nobody. To be called by the guard alone.

        A holder that died may have changed a config without saying so: everybody is to look.
        """
        self._check_writable()
        if pid and half_load(&self.header.holder):
            store_release(&self.header.changes, load(&self.header.changes) + 1)
        half_store(&self.header.holder, pid)

    def reboot(self, bytes boot_id not None):
        """Forget all that a restart of the system ended: processes, and monotonic times."""
        cdef uint32_t index
        cdef int mark
        cdef SlotMemory* slot
        self._check_writable()
        if len(boot_id) != 16:
            raise ValueError(f"a boot id has 16 bytes, not {len(boot_id)}")
        with self.guard:
            for process in self.processes():
                self.clear_column(process.column)
            for index in range(<uint32_t>load(&self.header.slots_used)):
                slot = self.slot_at(index)
                for mark in range(MARKS):
                    store(&slot.mark[mark], 0)
                store(&slot.maintained, 0)
                store(&slot.last_reason_at, 0)
                store(&slot.probe_at, 0)
                store(&slot.session_at, 0)
                half_store(&slot.probe_state, 0)
                for mark in range(MINUTES):
                    store(&slot.minute[mark], 0)
            memcpy(self.header.boot_id, <char*>boot_id, 16)

    # Slots

    def take(self, int kind, bytes identity not None):
        """Find a slot, or take a free one; its number, and whether it is new.

        Args:
            kind: number of a `Kind`.
            identity: 256 bytes: name, balancer and address, each filled up with zeros.

        Raises:
            TableFull: every slot belongs to somebody.
        """
        cdef uint64_t sought[IDENTITY_WORDS]
        cdef uint64_t found[IDENTITY_WORDS]
        cdef uint32_t index
        cdef SlotMemory* slot
        self._check_writable()
        if len(identity) != sizeof(Identity):
            raise ValueError(f"an identity has {sizeof(Identity)} bytes, not {len(identity)}")
        memcpy(sought, <char*>identity, sizeof(Identity))
        with self.guard:
            for index in range(<uint32_t>load(&self.header.slots_used)):
                slot = self.slot_at(index)
                copy_out(found, slot.identity, IDENTITY_WORDS)
                if <int>half_load(&slot.kind) == kind and (
                    memcmp(found, sought, sizeof(Identity)) == 0
                ):
                    raise_to(&slot.generation, load(&self.header.generation))
                    return index, False
            index = self._free_slot()
            slot = self.slot_at(index)
            self._wipe(index)
            copy_in(slot.identity, sought, IDENTITY_WORDS)
            store(&slot.generation, load(&self.header.generation))
            store(&slot.created_ns, self.clock())
            raise_to(&self.header.slots_used, index + 1)
            half_store(&slot.kind, <uint32_t>kind)
            return index, True

    cdef uint32_t _free_slot(self) except? 0xFFFFFFFF:
        cdef uint32_t index
        cdef int _try
        for _try in range(2):
            for index in range(self.capacity):
                if half_load(&self.slot_at(index).kind) == 0:
                    return index
            self.release_unused()
        raise TableFull(f"all {self.capacity} slots of the table are taken")

    cdef void _wipe(self, uint32_t index) noexcept nogil:
        """Forget who had a slot. A reader that still looks at it finds another incarnation."""
        cdef SlotMemory* slot = self.slot_at(index)
        cdef uint32_t number, gauge
        half_store(&slot.incarnation, half_load(&slot.incarnation) + 1)
        memset(<char*>slot + 8, 0, sizeof(SlotMemory) - 8)
        for number in range(<uint32_t>load(&self.header.columns_used)):
            for gauge in range(GAUGES):
                store(&self.in_flight_of(number)[gauge * self.capacity + index], 0)
            memset(&self.tallies_of(number)[index], 0, sizeof(Tally))
        memset(&self.tallies_of(self.columns)[index], 0, sizeof(Tally))

    def taken(self):
        """Numbers of the slots that are taken."""
        cdef uint32_t index
        found = []
        for index in range(<uint32_t>load(&self.header.slots_used)):
            if half_load(&self.slot_at(index).kind):
                found.append(index)
        return found

    def release_unused(self):
        """Free the slots that no living generation refers to; how many there were."""
        cdef uint32_t index, freed = 0
        cdef uint64_t oldest
        cdef SlotMemory* slot
        self._check_writable()
        with self.guard:
            oldest = self._oldest_generation()
            for index in range(<uint32_t>load(&self.header.slots_used)):
                slot = self.slot_at(index)
                if half_load(&slot.kind) and load(&slot.generation) < oldest:
                    half_store(&slot.kind, 0)
                    freed += 1
        return freed

    cdef uint64_t _oldest_generation(self) noexcept nogil:
        """Of the processes that live, and of those to come."""
        cdef uint64_t oldest = load(&self.header.generation), other
        cdef uint32_t number
        for number in range(<uint32_t>load(&self.header.columns_used)):
            if self._is_claimed(number):
                other = load(&self.head_of(number).generation)
                oldest = min(oldest, other)
        return oldest

    # Columns

    cdef bint _is_claimed(self, uint32_t number) noexcept nogil:
        return load_acquire(&self.header.claimed[number // 64]) >> (number % 64) & 1

    def claim(self, *, uint32_t pid, uint64_t started, generation=None):
        """Give a process a column; its number. See `ajp.table.Table.claim_process`.

        Args:
            pid: of the process, not 0.
            started: what the system says of its start, to know it again.
            generation: of the configuration it runs; the newest when None.

        Raises:
            TableFull: as many processes live as there are columns.
        """
        cdef uint32_t number
        cdef uint64_t runs = self.generation if generation is None else generation
        cdef ColumnHead* head
        self._check_writable()
        with self.guard:
            for number in range(self.columns):
                if not self._is_claimed(number):
                    break
            else:
                raise TableFull(f"all {self.columns} columns of the table belong to processes")
            head = self.head_of(number)
            memset(self.in_flight_of(number), 0, GAUGES * self.capacity * sizeof(word))
            store(&head.started, started)
            store(&head.generation, runs)
            store(&head.heartbeat_ns, 0)
            bump(&head.claims, 1)
            half_store(&head.pid, pid)
            half_store(&head.state, <uint32_t>ProcessState.RUNNING)
            raise_to(&self.header.columns_used, number + 1)
            set_bits(&self.header.claimed[number // 64], (<uint64_t>1) << (number % 64))
            return number

    def clear_column(self, uint32_t number):
        """Forget what the process of a column had in flight; whether there was one.

        It must be dead or done. What it counted stays where it is and goes on being part of every
        sum: nothing is moved, so no reader sees it twice or not at all, and whoever gets the column
        next counts on from there.
        """
        cdef bint was_claimed
        cdef uint32_t index
        self._check_writable()
        if number >= self.columns:
            raise IndexError(f"column {number} of {self.columns}")
        with self.guard:
            was_claimed = self._is_claimed(number)
            memset(self.in_flight_of(number), 0, GAUGES * self.capacity * sizeof(word))
            clear_bits(&self.header.claimed[number // 64], (<uint64_t>1) << (number % 64))
            half_swap(&self.header.prober, number + 1, 0)
            for index in range(<uint32_t>load(&self.header.slots_used)):
                half_swap(&self.slot_at(index).lock, number + 1, 0)
            half_store(&self.head_of(number).pid, 0)
            half_store(&self.head_of(number).state, 0)
        return was_claimed

    def processes(self):
        """Every process that has a column, by number of the column."""
        cdef uint32_t number
        cdef ColumnHead* head
        found = []
        for number in range(<uint32_t>load(&self.header.columns_used)):
            head = self.head_of(number)
            state = half_load(&head.state)
            if self._is_claimed(number) and state:
                found.append(
                    Process(
                        column=number,
                        pid=half_load(&head.pid),
                        started=load(&head.started),
                        generation=load(&head.generation),
                        heartbeat_ns=load(&head.heartbeat_ns),
                        state=ProcessState(state),
                    )
                )
        return found

    cdef uint64_t summed(self, uint32_t index, int place) noexcept nogil:
        """One word of a slot's tally, summed over all processes there ever were."""
        cdef uint64_t total = 0
        cdef uint32_t number
        for number in range(<uint32_t>load(&self.header.columns_used)):
            total += load(&(<word*>&self.tallies_of(number)[index])[place])
        return total

    # The one process that probes

    @property
    def prober(self):
        """Column of the process that probes containers for all; None when nobody does."""
        cdef uint32_t held = half_load(&self.header.prober)
        return held - 1 if held else None

    def claim_prober(self, uint32_t column):
        """Have a process probe for all, if nobody does; whether it is the one now."""
        self._check_writable()
        if column >= self.columns or not self._is_claimed(column):
            raise ValueError(f"column {column} belongs to no process")
        return bool(half_swap(&self.header.prober, 0, column + 1)) or self.prober == column

    def release_prober(self, uint32_t column):
        """Let another process probe, if this one does; whether it did."""
        self._check_writable()
        return bool(half_swap(&self.header.prober, column + 1, 0))

    def take_over(self, Memory other not None):
        """Fill this empty table with what another one knows, of no process that lives.

        Raises:
            TableFull: it has more slots than there is room for here.
            ValueError: this table is not empty, or the other one's processes live.
        """
        cdef int place
        cdef uint32_t index, used = <uint32_t>load(&other.header.slots_used)
        self._check_writable()
        if load(&self.header.slots_used) or other.processes():
            raise ValueError("a table is taken over into an empty one, when its processes are gone")
        if used > self.capacity:
            raise TableFull(f"{used} slots do not fit into {self.capacity}")
        memcpy(self.slot_at(0), other.slot_at(0), used * sizeof(SlotMemory))
        memcpy(
            self.tallies_of(self.columns), other.tallies_of(other.columns), used * sizeof(Tally)
        )
        for index in range(used):
            for place in range(TALLY_WORDS):
                store(
                    &(<word*>&self.tallies_of(0)[index])[place], other.summed(index, place)
                )
        memcpy(self.header.boot_id, other.header.boot_id, 16)
        store(&self.header.generation, load(&other.header.generation))
        store(&self.header.changes, load(&other.header.changes))
        store(&self.header.journal, load(&other.header.journal))
        store(&self.header.reloads, load(&other.header.reloads))
        store(&self.header.reloads_refused, load(&other.header.reloads_refused))
        store(&self.header.reload_ns, load(&other.header.reload_ns))
        store(&self.header.deaths, load(&other.header.deaths))
        half_store(&self.header.reload, half_load(&other.header.reload))
        store(&self.header.columns_used, 1)
        store_release(&self.header.slots_used, used)
