"""Every family of metrics: name, type, unit, labels and what it says. One table, read by all.

The reference, the answer to a scrape, and the tests of dashboard and alert rules come from it. A
name is for ever: dashboards of others have it. What a family is filled with is in `samples.py`.

Units are base units and end the name; what only goes up is a counter, and its samples end in
`_total`. A label has few values: names of the configuration, process ids, and closed lists.

Source: https://prometheus.io/docs/practices/naming/ and OpenMetrics 1.0, "Units and Base Units".
"""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

from ajp.errors import Reason
from ajp.lb import Activation, State
from ajp.snapshot import ProbeState, ProcessState, bucket_bounds, bucket_of

__all__ = [
    "BOUNDS",
    "CLASSES",
    "FAMILIES",
    "REASONS_OF_CONTAINERS",
    "Family",
    "Kind",
    "Scope",
]


class Kind(StrEnum):
    """Types of OpenMetrics."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    STATESET = "stateset"
    INFO = "info"


class Scope(StrEnum):
    """What a family is about."""

    DAEMON = "The daemon"
    PROCESS = "Its processes"
    FRONT = "What clients ask for"
    BALANCER = "Balancers"
    MEMBER = "Members of balancers"
    WORKER = "Containers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One family.

    Attributes:
        name: as OpenMetrics has it, without the endings of samples.
        kind: its type.
        scope: what it is about.
        help: one sentence.
        unit: of its values, which its name ends in; empty for a number of something.
        labels: names of the labels that every sample has.
        states: all that a state set can be in.
    """

    name: str
    kind: Kind
    scope: Scope
    help: str
    unit: str = ""
    labels: tuple[str, ...] = ()
    states: tuple[str, ...] = field(default=(), repr=False)

    @property
    def sample_names(self) -> tuple[str, ...]:
        """What names of its samples are."""
        match self.kind:
            case Kind.COUNTER:
                return (f"{self.name}_total",)
            case Kind.HISTOGRAM:
                return tuple(f"{self.name}_{end}" for end in ("bucket", "count", "sum"))
            case Kind.INFO:
                return (f"{self.name}_info",)
        return (self.name,)

    @property
    def sample_labels(self) -> tuple[str, ...]:
        """Names of all labels of its samples."""
        more = {Kind.HISTOGRAM: ("le",), Kind.STATESET: (self.name,)}
        return self.labels + more.get(self.kind, ())


#: Statuses by their first digit; `none` is a request that ended without any.
CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx", "none")

#: Upper ends of the buckets of all histograms, in microseconds: an octave each, from 512 us to nine
#: minutes. They are ends of buckets of the table, so nothing is estimated.
BOUNDS: Final = tuple(1 << octave for octave in range(9, 30))
if any(bucket_bounds(bucket_of(bound))[0] != bound for bound in BOUNDS):
    raise AssertionError("a bound lies within a bucket of the table")

#: Reasons that an attempt on a container can fail for: always there for members and workers, so
#: that the first failure is seen as one more. Others come when they happen.
REASONS_OF_CONTAINERS: Final = (
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
    Reason.POOL_EXHAUSTED,
    Reason.QUEUE_TIMEOUT,
    Reason.BUSY_LIMIT,
    Reason.FAIL_ON_STATUS,
    Reason.FROZEN,
)


class _Rows:
    """Makes the rows of one scope, whose names begin alike and which have labels in common."""

    def __init__(self, scope: Scope, prefix: str, *labels: str) -> None:
        self._scope = scope
        self._prefix = prefix
        self._labels = labels

    def _make(
        self,
        kind: Kind,
        name: str,
        text: str,
        labels: tuple[str, ...],
        *,
        unit: str = "",
        states: tuple[str, ...] = (),
    ) -> Family:
        return Family(
            name=f"{self._prefix}_{name}",
            kind=kind,
            scope=self._scope,
            help=text,
            unit=unit,
            labels=self._labels + labels,
            states=states,
        )

    def counter(self, name: str, text: str, *labels: str, unit: str = "") -> Family:
        return self._make(Kind.COUNTER, name, text, labels, unit=unit)

    def gauge(self, name: str, text: str, *labels: str, unit: str = "") -> Family:
        return self._make(Kind.GAUGE, name, text, labels, unit=unit)

    def histogram(self, name: str, text: str) -> Family:
        return self._make(Kind.HISTOGRAM, name, text, (), unit="seconds")

    def info(self, name: str, text: str, *labels: str) -> Family:
        return self._make(Kind.INFO, name, text, labels)

    def states(self, name: str, text: str, of: type[IntEnum]) -> Family:
        known = tuple(each.name.lower() for each in of)
        return self._make(Kind.STATESET, name, text, (), states=known)

    def common(self, *, what: str, whose: str, start: str) -> tuple[Family, ...]:
        """What is known of everything that requests go through.

        Args:
            what: one of these requests or attempts.
            whose: behind it.
            start: from when its times count.
        """
        one = f"{what} {whose}".rstrip()
        return (
            self.counter(
                "requests", f"{one} that ended, by the class of the answer's status.", "class"
            ),
            self.counter(
                "failures", f"Failures of {one[0].lower()}{one[1:]}, by reason.", "reason"
            ),
            self.gauge("requests_in_flight", f"{one} that are under way."),
            self.histogram("request_duration_seconds", f"Time from {start} to the end."),
            self.histogram(
                "first_byte_seconds", f"Time from {start} to the first byte of the answer."
            ),
            self.counter(
                "request_bytes", "Bytes of packets that were sent to containers.", unit="bytes"
            ),
            self.counter(
                "response_bytes", "Bytes of packets that came from containers.", unit="bytes"
            ),
        )


def _daemon() -> tuple[Family, ...]:
    rows = _Rows(Scope.DAEMON, "ajpd")
    return (
        rows.info(
            "build", "The version that answers, and that of its Python.", "version", "python"
        ),
        rows.gauge(
            "table_created_timestamp_seconds",
            "When the status table was made, since 1970; all counters but those of single "
            "processes count from there.",
            unit="seconds",
        ),
        rows.gauge(
            "table_generation",
            "Newest generation of processes; a start and each reload begin another.",
        ),
        rows.counter("table_changes", "Changes that operators made while the daemon ran."),
        rows.counter(
            "reloads",
            "Reloads of the configuration: `done`, or `refused`, after which all was as before.",
            "result",
        ),
        rows.gauge(
            "last_reload_successful",
            "0: the last reload was refused. Missing as long as there was none.",
        ),
        rows.gauge(
            "last_reload_timestamp_seconds",
            "When the last reload ended, since 1970. Missing as long as there was none.",
            unit="seconds",
        ),
        rows.counter(
            "process_deaths",
            "Processes that ended without being told to; another one follows each.",
        ),
    )


def _process() -> tuple[Family, ...]:
    rows = _Rows(Scope.PROCESS, "ajpd_process", "pid")
    system = _Rows(Scope.PROCESS, "ajpd_process", "pid", "role")
    return (
        rows.states("state", "What it does.", ProcessState),
        rows.gauge("generation", "Generation that it belongs to."),
        rows.gauge("prober", "1: it is the one that probes the containers."),
        rows.gauge(
            "heartbeat_age_seconds",
            "Time since it last showed that it is alive, as it does about once a second.",
            unit="seconds",
        ),
        system.counter("cpu_seconds", "Processor time, of user and system.", unit="seconds"),
        system.gauge(
            "resident_memory_bytes",
            "Memory; what processes share is part of the number of each.",
            unit="bytes",
        ),
        system.gauge("start_time_seconds", "When it started, since 1970.", unit="seconds"),
        system.gauge("open_fds", "Open descriptors. Missing where they may not be seen."),
        system.gauge("max_fds", "Descriptors that it may have. Missing where there is no limit."),
    )


def _front() -> tuple[Family, ...]:
    rows = _Rows(Scope.FRONT, "ajpd_front")
    return (
        *rows.common(what="Requests", whose="of clients", start="the end of a request's head"),
        rows.counter("retries", "Attempts after the first one of a request."),
        rows.gauge("connections", "Connections of clients."),
        rows.counter("connections_opened", "Connections that clients opened."),
        rows.counter("tls_handshakes", "TLS handshakes that were done."),
        rows.counter("tls_failures", "TLS handshakes that came to nothing."),
    )


def _balancer() -> tuple[Family, ...]:
    rows = _Rows(Scope.BALANCER, "ajpd_balancer", "balancer")
    return (
        *rows.common(
            what="Requests", whose="for the balancer", start="the end of a request's head"
        ),
        rows.counter("retries", "Attempts after the first one of a request."),
        rows.gauge("members", "Members that it has."),
        rows.gauge("usable_members", "Members of these that are active and have not failed."),
    )


def _member() -> tuple[Family, ...]:
    rows = _Rows(Scope.MEMBER, "ajpd_member", "balancer", "member")
    return (
        rows.info("route", "Where its sessions lead, and its group.", "route", "domain"),
        rows.states("state", "What was seen of it.", State),
        rows.states("activation", "What the operator wants of it.", Activation),
        rows.gauge("usable", "1: it is active and has not failed, so it gets new sessions."),
        rows.gauge("lbfactor", "Its share of the work. Missing without a configuration."),
        *rows.common(
            what="Attempts",
            whose="of the balancer on this member",
            start="the moment the attempt has a connection",
        ),
        rows.counter(
            "sessions", "Attempts whose request had no session, so that one is made here."
        ),
        rows.gauge("recent_sessions", "Sessions that were seen in the last five minutes, about."),
    )


def _worker() -> tuple[Family, ...]:
    rows = _Rows(Scope.WORKER, "ajpd_worker", "worker")
    return (
        rows.info("address", "Where the configuration files say it is.", "address"),
        *rows.common(
            what="Attempts",
            whose="on the container, whoever made them",
            start="the moment the attempt has a connection",
        ),
        rows.gauge("connections", "Connections to it, of all processes."),
        rows.gauge("idle_connections", "Connections of these without work."),
        rows.gauge(
            "connection_limit",
            "Most connections: connection_pool_size of each process that takes new clients.",
        ),
        rows.counter("connections_opened", "Connections that were made."),
        rows.gauge("requests_waiting", "Requests that wait for a connection."),
        rows.gauge("busy_limit", "Most requests at a time. Missing where there is no limit."),
        rows.counter("reads", "Receive calls that brought bytes of it."),
        rows.states("probe_state", "What the last probe showed.", ProbeState),
        rows.gauge(
            "probe_rtt_seconds",
            "Time the last good answer to a probe took. Missing as long as there was none.",
            unit="seconds",
        ),
        rows.gauge("probe_failures_in_a_row", "Probes that failed since the last good one."),
        rows.counter("probes", "Probes that were made."),
        rows.counter("probe_failures", "Probes that failed."),
        rows.counter("rescued", "Attempts that were taken off it because it was frozen."),
    )


#: All of them, in the order in which they are sent.
FAMILIES: Final = (*_daemon(), *_process(), *_front(), *_balancer(), *_member(), *_worker())
