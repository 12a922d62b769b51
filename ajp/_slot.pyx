"""One record of the shared status table: a worker, a member or a balancer.

What the operator sets while we run is kept twice. A change is written into the copy that is not
valid, then the sequence moves, and its lowest bit says which copy is. So readers never wait: the
worst that happens to them is that it moved while they copied, then they copy again; and a writer
that dies leaves the old copy valid.

Source: mod_jk `jk_shm.h`: `sequence`, "pull when it moved". Differs: there one copy and a lock;
and what is here are changes alone, where mod_jk has zeros for all that was never changed.
"""

cimport cython
from libc.math cimport log
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ajp._atomic cimport (
    bits_of,
    bump,
    copy_in,
    copy_out,
    half_load,
    half_store,
    load,
    load_acquire,
    load_double,
    store,
    store_release,
    word,
)
from ajp._layout cimport (
    CONFIG_WORDS,
    COUNT_ELECTED,
    COUNT_ELECTED_SEEN,
    COUNT_ERRORS,
    COUNT_REPLY_TIMEOUTS,
    COUNT_SESSIONS,
    COUNT_VALUE,
    IDENTITY_WORDS,
    MARK_FIRST_ERROR,
    MARK_LAST_ERROR,
    MARK_LATENCY,
    MARK_LATENCY_AT,
    MARK_RETURNED,
    MINUTES,
    NAME_BYTES,
    NUMBERS,
    READS,
    SEEN_BITS,
    SEEN_WORDS,
    TEXT_BYTES,
    Config,
    Identity,
    SlotMemory,
    Tally,
)
from ajp._table cimport GAUGE_IDLE, GAUGE_WAITING, Memory

from .errors import StatusTableError
from .snapshot import (
    FIELDS,
    NUMBERS as NUMBER_NAMES,
    REASONS,
    TEXTS as TEXT_NAMES,
    Kind,
    ProbeState,
    Snapshot,
    Totals,
)

__all__ = ["Slot"]

cdef enum:
    TALLY_WORDS = sizeof(Tally) // 8
    # Of ajp.lb.State and ajp.lb.Activation.
    LAST_STATE = 6
    LAST_ACTIVATION = 2

cdef extern from * nogil:
    """
    #define ajp_count_bits(number) __builtin_popcountll(number)
    """
    int count_bits "ajp_count_bits"(uint64_t number)


cdef dict TEXT_ROOM = {"host": TEXT_BYTES}      # of the others: NAME_BYTES, as in mod_jk


cdef bytes padded(str what, str text, size_t room):
    """A text as it stands in the table.

    Raises:
        ValueError: it is too long, or has a zero in it.
    """
    cdef bytes encoded = text.encode()
    if <size_t>len(encoded) >= room or b"\0" in encoded:
        raise ValueError(f"{what} {text!r} has {len(encoded)} bytes; at most {room - 1}, none 0")
    return encoded.ljust(room, b"\0")


@cython.final
cdef class Slot:
    """One record of the table; it keeps the table's memory.

    Args:
        memory: the table.
        index: number of a slot that is taken.
        is_new: whether it was taken just now.
    """

    def __cinit__(self, Memory memory not None, uint32_t index, bint is_new=False):
        cdef Identity identity
        if index >= memory.capacity:
            raise IndexError(f"slot {index} of {memory.capacity}")
        self.memory = memory
        self.index = index
        self.is_new = is_new
        self.at = memory.slot_at(index)
        self._incarnation = half_load(&self.at.incarnation)
        kind = half_load(&self.at.kind)
        copy_out(&identity, self.at.identity, IDENTITY_WORDS)
        if kind == 0 or self._incarnation != half_load(&self.at.incarnation):
            raise StatusTableError(f"slot {index} of the table is free")
        identity.name[sizeof(identity.name) - 1] = 0
        identity.balancer[sizeof(identity.balancer) - 1] = 0
        identity.address[sizeof(identity.address) - 1] = 0
        try:
            self.kind = Kind(kind)
            self.name = (<bytes>identity.name).decode()
            self.balancer = (<bytes>identity.balancer).decode()
            self.address = (<bytes>identity.address).decode()
        except ValueError as exc:
            raise StatusTableError(f"slot {index} of the table is damaged: {exc}") from exc

    @staticmethod
    def take(Memory memory not None, kind, str name not None, *, str address="", str balancer=""):
        """Find the slot of somebody, or take a free one.

        Raises:
            TableFull: every slot belongs to somebody.
            ValueError: a text that is too long, or no name.
        """
        cdef Slot found
        if not name or (kind == Kind.MEMBER) != bool(balancer):
            raise ValueError(f"a {kind.name.lower()} {name!r} of balancer {balancer!r} cannot be")
        identity = (
            padded("name", name, NAME_BYTES)
            + padded("balancer", balancer, NAME_BYTES)
            + padded("address", address, TEXT_BYTES)
        )
        index, is_new = memory.take(kind, identity)
        found = Slot(memory, index, is_new)
        found._forget_nonsense()
        return found

    cdef void _forget_nonsense(self) noexcept nogil:
        """Begin anew where a damaged file has numbers that would stop whoever reads them."""
        if half_load(&self.at.state) > LAST_STATE:
            half_store(&self.at.state, 0)
        if half_load(&self.at.activation) > LAST_ACTIVATION:
            half_store(&self.at.activation, 0)

    def __repr__(self):
        """Who it is."""
        name = f"{self.balancer}/{self.name}" if self.balancer else self.name
        return f"<Slot {self.index} {self.kind.name.lower()} {name} {self.address}>"

    @property
    def is_current(self):
        """Whether it still is the same one's: nobody else got it since."""
        return bool(half_load(&self.at.kind)) and (
            half_load(&self.at.incarnation) == self._incarnation
        )

    @property
    def generation(self):
        """Newest generation of processes that refers to it."""
        return load(&self.at.generation)

    cdef int _check_current(self) except -1:
        if not self.is_current:
            raise StatusTableError(f"slot {self.index} is no longer that of {self.name!r}")
        return 0

    # What the operator sets

    @property
    def sequence(self):
        """How often the config changed; to `pull` when it moved."""
        return load_acquire(&self.at.sequence)

    cdef uint64_t _read_config(self, Config* out) noexcept nogil:
        """Copy the valid config; its sequence."""
        cdef uint64_t sequence
        while True:
            sequence = load_acquire(&self.at.sequence)
            copy_out(out, self.at.config[sequence & 1], CONFIG_WORDS)
            if load(&self.at.sequence) == sequence:
                return sequence

    cdef void _write_config(self, const Config* config) noexcept nogil:
        """Write the copy that is not valid, then make it so. For who holds the guard."""
        cdef uint64_t sequence = load(&self.at.sequence) + 1
        copy_in(self.at.config[sequence & 1], config, CONFIG_WORDS)
        store_release(&self.at.sequence, sequence)
        store_release(&self.memory.header.changes, load(&self.memory.header.changes) + 1)

    def config(self):
        """What the operator changed while we run, by name."""
        return self.pull()[1]

    def pull(self):
        """The sequence of a config, and the config."""
        cdef Config config
        cdef uint64_t sequence = self._read_config(&config)
        return sequence, self._values_of(&config)

    cdef dict _values_of(self, Config* config):
        """What the operator set, by name."""
        cdef int number
        cdef dict found = {}
        for number, name in enumerate(NUMBER_NAMES):
            if config.present >> number & 1:
                found[name] = config.number[number]
        for number, name in enumerate(TEXT_NAMES):
            if config.present >> (NUMBERS + number) & 1:
                config.text[number][TEXT_BYTES - 1] = 0
                found[name] = (<bytes>config.text[number]).decode(errors="replace")
        return found

    def configure(self, **changes):
        """Change what the operator sets, for all processes.

        Args:
            changes: names of `FIELDS` for this kind; None goes back to the configuration files.

        Raises:
            ValueError: a name or a value that cannot be; nothing changed.
        """
        cdef Config config
        self.memory._check_writable()
        if strangers := set(changes) - FIELDS[self.kind]:
            raise ValueError(f"{min(strangers)} of a {self.kind.name.lower()} cannot be changed")
        with self.memory.guard:
            self._check_current()
            self._read_config(&config)
            for name, value in changes.items():
                self._put(&config, name, value)
            config.changed_ns = self.memory.clock()
            if changes.get("activation") is not None:
                half_store(&self.at.activation, <uint32_t>changes["activation"])
            self._write_config(&config)

    cdef int _put(self, Config* config, str name, value) except -1:
        cdef uint64_t bit
        cdef int place
        cdef bytes text
        if name in TEXT_NAMES:
            place = TEXT_NAMES.index(name)
            bit = (<uint64_t>1) << (NUMBERS + place)
            text = padded(name, value or "", TEXT_ROOM.get(name, NAME_BYTES))
            memset(config.text[place], 0, TEXT_BYTES)
            memcpy(config.text[place], <char*>text, len(text))
        else:
            place = NUMBER_NAMES.index(name)
            bit = (<uint64_t>1) << place
            if value is not None and not INT64_MIN <= value <= INT64_MAX:
                raise ValueError(f"{name} {value} does not fit into 64 bits")
            if value is not None and name == "activation" and not 0 <= value <= 2:
                raise ValueError(f"activation is 0, 1 or 2, not {value}")
            config.number[place] = <int64_t>(value or 0)
        if value is None:
            config.present &= ~bit
        else:
            config.present |= bit
        return 0

    # What is observed

    @property
    def activation(self):
        """Number of an `ajp.lb.Activation`, as it applies now."""
        return half_load(&self.at.activation)

    def settle(self, uint32_t activation):
        """Set the activation that the configuration files have, unless the operator set another."""
        self.memory._check_writable()
        with self.memory.guard:
            self._check_current()
            if "activation" not in self.config():
                half_store(&self.at.activation, activation)

    @property
    def in_flight(self):
        """Requests on their way, of all processes that live."""
        return self.memory.sum_in_flight(self.index)

    @property
    def connected(self):
        """Connections, of all processes that live."""
        return self.memory.sum_connected(self.index)

    @property
    def waiting(self):
        """Requests that wait for an endpoint, of all processes that live."""
        return self.memory.sum_gauge(self.index, GAUGE_WAITING)

    @property
    def idle(self):
        """Connections without work, of all processes that live."""
        return self.memory.sum_gauge(self.index, GAUGE_IDLE)

    @property
    def reads(self):
        """How often bytes of the container came, to whatever process there ever was."""
        return self.memory.summed(self.index, READS)

    @property
    def probe_state(self):
        """The `ProbeState` of a worker's container."""
        cdef uint32_t state = half_load(&self.at.probe_state)
        return ProbeState(state if state <= 3 else 0)

    def note_probe(self, state, double now, *, double rtt_s=-1.0):
        """Note what a probe showed; for the one process that probes.

        Args:
            state: a `ProbeState`.
            now: monotonic seconds.
            rtt_s: seconds that a good answer took; negative when there was none.
        """
        self.memory._check_writable()
        store(&self.at.probe_at, bits_of(now))
        if state == ProbeState.ANSWERS:
            store(&self.at.probe_failures, 0)
        else:
            bump(&self.at.probe_failures, 1)
        if rtt_s >= 0.0:
            store(&self.at.probe_rtt, bits_of(rtt_s))
        half_store(&self.at.probe_state, <uint32_t>ProbeState(state))

    @property
    def last_session_at(self):
        """When a request last carried a session, or may have begun one; 0: never yet."""
        return load_double(&self.at.session_at)

    def sessions_in(self, double seconds, double now):
        """How many different sessions were seen lately.

        Args:
            seconds: how far back, rounded up to whole minutes; six of them at most, the present
                one included.
            now: monotonic seconds.

        Returns:
            An estimate, a few per cent off up to 5000; about 15600 means that or more.

        Source:
            Whang, Vander-Zanden, Taylor, "A linear-time probabilistic counting algorithm for
            database applications" (1990).
        """
        cdef uint64_t newest = <uint64_t>(now / 60.0) + 1, minute
        cdef uint64_t back = <uint64_t>min(max((seconds + 59.0) / 60.0, 1.0), <double>MINUTES)
        cdef int ring, place
        cdef int free = SEEN_BITS
        cdef uint64_t bits
        for place in range(SEEN_WORDS):
            bits = 0
            for ring in range(MINUTES):
                minute = load(&self.at.minute[ring])
                if minute <= newest and newest - minute < back:
                    bits |= load(&self.at.seen[ring][place])
            free -= count_bits(bits)
        return round(-SEEN_BITS * log(max(free, 1) / <double>SEEN_BITS))

    def totals(self):
        """Sums over all processes there ever were."""
        cdef int place
        return Totals.of([self.memory.summed(self.index, place) for place in range(TALLY_WORDS)])

    cdef object _reset_totals(self):
        cdef word* words = <word*>&self.memory.tallies_of(self.memory.columns)[self.index]
        cdef int place
        return Totals.of([load(&words[place]) for place in range(TALLY_WORDS)])

    def reset(self):
        """Let `since_reset` and what was most begin anew; sums themselves never go down."""
        cdef word* words = <word*>&self.memory.tallies_of(self.memory.columns)[self.index]
        cdef int place
        self.memory._check_writable()
        with self.memory.guard:
            self._check_current()
            for place in range(TALLY_WORDS):
                store(&words[place], self.memory.summed(self.index, place))
            store(&self.at.max_in_flight, self.in_flight)
            store(&self.at.max_connected, self.connected)
            half_store(&self.at.last_reason, 0)
            store(&self.at.last_reason_at, 0)
            store(&self.at.reset_ns, self.memory.clock())

    def snapshot(self):
        """All of it at this moment; each number by itself is right, together they may be a bit off.

        Raises:
            StatusTableError: the slot is somebody else's by now.
        """
        cdef Config config
        cdef SlotMemory* at = self.at
        cdef uint32_t reason = half_load(&at.last_reason)
        cdef uint64_t sequence = self._read_config(&config)
        totals = self.totals()
        found = Snapshot(
            kind=self.kind,
            name=self.name,
            balancer=self.balancer,
            address=self.address,
            generation=load(&at.generation),
            created_ns=load(&at.created_ns),
            state=half_load(&at.state),
            activation=half_load(&at.activation),
            value=load(&at.count[COUNT_VALUE]),
            elected=load(&at.count[COUNT_ELECTED]),
            elected_seen=load(&at.count[COUNT_ELECTED_SEEN]),
            sessions=load(&at.count[COUNT_SESSIONS]),
            errors=load(&at.count[COUNT_ERRORS]),
            reply_timeouts=load(&at.count[COUNT_REPLY_TIMEOUTS]),
            first_error_at=load_double(&at.mark[MARK_FIRST_ERROR]),
            last_error_at=load_double(&at.mark[MARK_LAST_ERROR]),
            latency_s=load_double(&at.mark[MARK_LATENCY]),
            latency_at=load_double(&at.mark[MARK_LATENCY_AT]),
            returned_at=max(load_double(&at.mark[MARK_RETURNED]), 0.0),
            maintained_at=load_double(&at.maintained),
            in_flight=self.in_flight,
            connected=self.connected,
            waiting=self.waiting,
            idle=self.idle,
            max_in_flight=load(&at.max_in_flight),
            max_connected=load(&at.max_connected),
            last_reason=REASONS[reason - 1] if 0 < reason <= len(REASONS) else None,
            last_reason_at=load_double(&at.last_reason_at),
            probe_state=self.probe_state,
            probe_at=load_double(&at.probe_at),
            probe_rtt_s=load_double(&at.probe_rtt),
            probe_failures=load(&at.probe_failures),
            session_at=self.last_session_at,
            sequence=sequence,
            changed_ns=config.changed_ns,
            config=self._values_of(&config),
            totals=totals,
            reset_ns=load(&at.reset_ns),
            since_reset=totals.since(self._reset_totals()),
        )
        self._check_current()
        return found
