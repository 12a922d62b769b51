"""What the shared status table holds, as frozen values: sums over all processes at one moment.

Names and numbers of everything that is counted are here, once; the table itself (`_table`) knows
them by number. Numbers are part of the file's layout: lists grow at their end, nothing moves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from .errors import Reason

__all__ = [
    "BUCKETS",
    "COUNTERS",
    "FIELDS",
    "NUMBERS",
    "REASONS",
    "REASON_NUMBERS",
    "TEXTS",
    "Histogram",
    "Kind",
    "ProbeState",
    "Process",
    "ProcessState",
    "Reload",
    "Reloads",
    "Snapshot",
    "Totals",
    "bucket_bounds",
    "bucket_of",
]

#: Buckets of a histogram.
BUCKETS: Final = 112

# The first bucket ends here; an octave is a factor of two.
_FIRST_OCTAVE: Final = 6
_PER_OCTAVE: Final = 4

#: Reasons by number, from 1 on.
REASONS: Final = (
    Reason.CONNECT_REFUSED,
    Reason.CONNECT_TIMEOUT,
    Reason.RESOLVE_FAILED,
    Reason.CPING_TIMEOUT,
    Reason.RESET_BEFORE_HEADERS,
    Reason.EOF_BEFORE_HEADERS,
    Reason.RESET_MID_BODY,
    Reason.EOF_MID_BODY,
    Reason.REPLY_TIMEOUT,
    Reason.PROTOCOL_ERROR,
    Reason.PACKET_TOO_LARGE_FROM_CONTAINER,
    Reason.REQUEST_TOO_LARGE,
    Reason.SECRET_REJECTED,
    Reason.ATTRIBUTE_REJECTED,
    Reason.POOL_EXHAUSTED,
    Reason.QUEUE_TIMEOUT,
    Reason.BUSY_LIMIT,
    Reason.NO_MEMBER,
    Reason.STICKY_FORCED,
    Reason.NO_MAPPING,
    Reason.CLIENT_ABORT,
    Reason.CLIENT_TIMEOUT,
    Reason.BAD_REQUEST,
    Reason.FAIL_ON_STATUS,
    Reason.FROZEN,
    Reason.CONNECTION_LIMIT,
    Reason.SHUTDOWN,
)

#: Number of a reason; 0 is none at all.
REASON_NUMBERS: Final[Mapping[Reason, int]] = {
    reason: number for number, reason in enumerate(REASONS, 1)
}

# Whose fault is the client's alone.
_CLIENTS: Final = frozenset({Reason.CLIENT_ABORT, Reason.CLIENT_TIMEOUT, Reason.BAD_REQUEST})

#: Counters by number.
COUNTERS: Final = (
    "used",
    "retries",
    "sessions",
    "bytes_in",
    "bytes_out",
    "connects",
    "first_byte_us",
    "duration_us",
    "status_1xx",
    "status_2xx",
    "status_3xx",
    "status_4xx",
    "status_5xx",
    "reads",
    "probes",
    "probe_failures",
    "rescued",
    "status_none",
    "tls_handshakes",
    "tls_failures",
)

#: Directives that can be changed while we run, by number: those with a number for a value.
NUMBERS: Final = (
    "activation",
    "lbfactor",
    "distance",
    "port",
    "connection_pool_timeout_ms",
    "connect_timeout_ms",
    "ping_timeout_ms",
    "reply_timeout_ms",
    "prepost_timeout_ms",
    "connection_ping_interval_ms",
    "recovery_options",
    "retries",
    "retry_interval_ms",
    "busy_limit",
    "max_packet_size",
    "sticky_session",
    "sticky_session_force",
    "recover_time_ms",
    "error_escalation_time_ms",
    "max_reply_timeouts",
    "method",
    "lock",
)

#: The same with a text.
TEXTS: Final = ("route", "domain", "redirect", "host")


class Kind(IntEnum):
    """What a slot is about."""

    WORKER = 1  #: a container, whoever sends to it
    MEMBER = 2  #: a container as one balancer sees it
    BALANCER = 3  #: a balancer
    FRONT = 4  #: what clients ask for, whoever answers


class ProbeState(IntEnum):
    """What the last probe of a container showed."""

    NONE = 0  #: there was none yet
    ANSWERS = 1  #: it answered as it should
    FAILS = 2  #: it could not be reached, or answered wrongly
    FROZEN = 3  #: it says nothing at all, to nobody


class ProcessState(IntEnum):
    """What the process of a column does."""

    RUNNING = 1  #: takes connections
    DRAINING = 2  #: finishes what it has


class Reload(IntEnum):
    """How a reload ended."""

    NONE = 0  #: there was none yet
    DONE = 1  #: the new configuration is in use
    REFUSED = 2  #: the one before it stayed in use


#: What can be changed while we run, for each kind.
#:
#: Source: mod_jk `jk_status.c`; connection_ping_interval is one more, which mod_jk changes in one
#: of its processes alone.
FIELDS: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.WORKER: frozenset({"host", *NUMBERS[3:15]}),
    Kind.MEMBER: frozenset({*NUMBERS[:3], "route", "domain", "redirect"}),
    Kind.BALANCER: frozenset({"retries", "retry_interval_ms", *NUMBERS[15:]}),
    Kind.FRONT: frozenset(),
}


def bucket_of(us: int) -> int:
    """Bucket of a time in microseconds.

    Bucket 0 is for times under 64 us. From there each octave, 2**n to 2**(n+1) us, has four buckets
    of one width: 1 + 4 * (n - 6) + the two bits below the highest one. The last bucket begins at
    3 h 34 min and has no end.
    """
    if us < 1 << _FIRST_OCTAVE:
        return 0
    octave = us.bit_length() - 1
    bucket = 1 + (octave - _FIRST_OCTAVE) * _PER_OCTAVE + (us >> (octave - 2) & 3)
    return min(bucket, BUCKETS - 1)


def bucket_bounds(bucket: int) -> tuple[int, int | None]:
    """Microseconds where a bucket begins and where the next one does; None after the last."""
    end = _begin(bucket + 1) if bucket + 1 < BUCKETS else None
    return _begin(bucket), end


def _begin(bucket: int) -> int:
    if bucket == 0:
        return 0
    octave, quarter = divmod(bucket - 1, _PER_OCTAVE)
    return (_PER_OCTAVE + quarter) << (octave + _FIRST_OCTAVE - 2)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many times fell into each bucket."""

    counts: tuple[int, ...] = (0,) * BUCKETS

    @property
    def total(self) -> int:
        """How many times there are."""
        return sum(self.counts)

    def quantile_us(self, part: float) -> float | None:
        """The time that `part` (0 to 1) of all stay within, in microseconds; None without any.

        Within a bucket times are taken as evenly spread: wrong by a bucket's width at most, which
        is a quarter of where it begins.
        """
        rank = part * self.total
        below = 0
        found: float | None = None
        for bucket, count in enumerate(self.counts):
            if not count:
                continue
            begin, end = bucket_bounds(bucket)
            inside = min(max((rank - below) / count, 0.0), 1.0)
            found = begin if end is None else begin + (end - begin) * inside
            below += count
            if below >= rank:
                break
        return found

    @property
    def p50_us(self) -> float | None:
        """The median."""
        return self.quantile_us(0.5)

    @property
    def p95_us(self) -> float | None:
        """What 95 of 100 stay within."""
        return self.quantile_us(0.95)

    @property
    def p99_us(self) -> float | None:
        """What 99 of 100 stay within."""
        return self.quantile_us(0.99)

    def __add__(self, other: "Histogram") -> "Histogram":
        return Histogram(tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)))

    def since(self, earlier: "Histogram") -> "Histogram":
        """What came after an earlier one."""
        if not any(earlier.counts):
            return self
        pairs = zip(self.counts, earlier.counts, strict=True)
        return Histogram(tuple(max(now - then, 0) for now, then in pairs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums that never go down, whoever comes, goes or dies.

    Attributes:
        counters: all of COUNTERS.
        reasons: how often which failure came; those that never did are not there.
        first_byte: times to the first byte of a response.
        duration: times of whole requests.
    """

    counters: Mapping[str, int]
    reasons: Mapping[Reason, int]
    first_byte: Histogram
    duration: Histogram

    @classmethod
    def of(cls, numbers: Sequence[int]) -> "Totals":
        """Made of all words of a tally, in their order.

        Args:
            numbers: 24 counters, 40 reasons by number, and two times BUCKETS.
        """
        by_number = numbers[24:64]
        return cls(
            counters=dict(zip(COUNTERS, numbers, strict=False)),
            reasons={r: count for r, n in REASON_NUMBERS.items() if (count := by_number[n])},
            first_byte=Histogram(tuple(numbers[64 : 64 + BUCKETS])),
            duration=Histogram(tuple(numbers[64 + BUCKETS : 64 + 2 * BUCKETS])),
        )

    def __getitem__(self, name: str) -> int:
        """One of COUNTERS."""
        return self.counters[name]

    @property
    def client_errors(self) -> int:
        """Failures that are the client's fault."""
        return sum(count for reason, count in self.reasons.items() if reason in _CLIENTS)

    @property
    def errors(self) -> int:
        """All others."""
        return sum(self.reasons.values()) - self.client_errors

    @property
    def reply_timeouts(self) -> int:
        """How often a container took longer than reply_timeout."""
        return self.reasons.get(Reason.REPLY_TIMEOUT, 0)

    def since(self, earlier: "Totals") -> "Totals":
        """What came after an earlier moment."""
        return Totals(
            counters={
                name: max(now - earlier.counters[name], 0) for name, now in self.counters.items()
            },
            reasons={
                reason: count
                for reason, now in self.reasons.items()
                if (count := now - earlier.reasons.get(reason, 0)) > 0
            },
            first_byte=self.first_byte.since(earlier.first_byte),
            duration=self.duration.since(earlier.duration),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that is known of a worker, a member or a balancer.

    Times named `_at` are monotonic seconds, 0 when there was none; `_ns` is since 1970.

    Attributes:
        kind, name, balancer, address: what it is about; a balancer's name for members alone.
        generation: newest generation of processes that refers to it.
        created_ns: when its slot was taken.
        state, activation: numbers of `ajp.lb.State` and `ajp.lb.Activation`; of members.
        value, elected, elected_seen, sessions, errors, reply_timeouts: of members, see `ajp.lb`.
        first_error_at, last_error_at, latency_at, latency_s: of members.
        returned_at: when a member came back; of members.
        maintained_at: a balancer's last maintenance.
        in_flight, connected, waiting, idle: requests on their way, connections, requests that
            wait for one and connections without work: sums over the processes that live.
        max_in_flight, max_connected: most since the last reset.
        last_reason, last_reason_at: the last failure.
        probe_state, probe_at, probe_rtt_s, probe_failures: last result of a probe, the seconds that
            the last good answer took, and failures since then; of workers.
        session_at: the last request that carried a session, or may have begun one; of members.
        sequence: how often the operator changed something while we run.
        changed_ns: when that was last; 0: never.
        config: what the operator changed, by the names of NUMBERS and TEXTS; the rest is as the
            configuration files say.
        totals: sums since the table was made.
        reset_ns: when the operator reset it; 0: never.
        since_reset: sums since then.
    """

    kind: Kind
    name: str
    balancer: str
    address: str
    generation: int
    created_ns: int
    state: int
    activation: int
    value: int
    elected: int
    elected_seen: int
    sessions: int
    errors: int
    reply_timeouts: int
    first_error_at: float
    last_error_at: float
    latency_s: float
    latency_at: float
    returned_at: float
    maintained_at: float
    in_flight: int
    connected: int
    waiting: int
    idle: int
    max_in_flight: int
    max_connected: int
    last_reason: Reason | None
    last_reason_at: float
    probe_state: ProbeState
    probe_at: float
    probe_rtt_s: float
    probe_failures: int
    session_at: float
    sequence: int
    changed_ns: int
    config: Mapping[str, int | str] = field(default_factory=dict)
    totals: Totals
    reset_ns: int
    since_reset: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that has a column.

    Attributes:
        column: number of its column.
        pid: its number.
        started: what the system says of its start, in ticks since boot; 0 when it says nothing.
        generation: of the configuration it runs.
        heartbeat_ns: when it last showed that it is alive, monotonic; 0: never yet.
        state: what it does.
    """

    column: int
    pid: int
    started: int
    generation: int
    heartbeat_ns: int
    state: ProcessState


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloads:
    """What a master did since the table was made.

    Attributes:
        done: reloads after which a new configuration was in use.
        refused: reloads that changed nothing.
        last: how the last one ended.
        last_ns: when, since 1970; 0 when there was none.
        deaths: processes that ended without being told to.
    """

    done: int = 0
    refused: int = 0
    last: Reload = Reload.NONE
    last_ns: int = 0
    deaths: int = 0
