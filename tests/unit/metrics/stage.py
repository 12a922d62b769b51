"""Scrapes of a table in which something happened, and what is in an answer."""

from collections.abc import Mapping
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ajp.errors import Reason
from ajp.snapshot import ProbeState
from ajpd.metrics.samples import Scrape
from ajpd.metrics.usage import Usage
from ajpd.status.collect import collect
from tests.unit.status.stage import WORKERS, Daemon

NOW = 1000.0
NOW_NS = 1_800_000_000_000_000_000
USAGES = (
    Usage(
        pid=7,
        role="master",
        cpu_s=0.25,
        resident_bytes=4096,
        started_s=1_700_000_000.5,
        open_fds=9,
        max_fds=1024,
    ),
    Usage(
        pid=8,
        role="serving",
        cpu_s=3.0,
        resident_bytes=8192,
        started_s=None,
        open_fds=None,
        max_fds=None,
    ),
)

Numbers = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def busy(folder: Path, workers: str = WORKERS) -> Daemon:
    """A daemon that had something to do."""
    daemon = Daemon(folder, workers)
    column, slots = daemon.column, daemon.slots
    for name in ("front", "lb", "lb/nodeA", "nodeA"):
        column.finished(
            slots[name],
            duration_us=3_000_000,
            first_byte_us=600,
            bytes_in=1000,
            bytes_out=70,
            status=200,
        )
    column.finished(slots["nodeA"], duration_us=511, status=503, reason=Reason.BUSY_LIMIT, now=1.0)
    column.finished(slots["nodeA"], duration_us=512, reason=Reason.CONNECT_REFUSED, now=2.0)
    column.failed(slots["front"], Reason.NO_MAPPING, 2.0)
    column.counted(slots["lb/nodeA"], "sessions", 2)
    column.session_seen(slots["lb/nodeA"], b"one", NOW)
    for _ in range(3):
        column.connection_made(slots["nodeA"])
    column.begun(slots["nodeA"])
    column.pool_is(slots["nodeA"], waiting=4, idle=2)
    slots["nodeA"].note_probe(ProbeState.ANSWERS, NOW - 1, rtt_s=0.002)
    slots["nodeB"].note_probe(ProbeState.FROZEN, NOW - 1)
    return daemon


def scraped(daemon: Daemon) -> Scrape:
    report = collect(daemon.table, daemon.config, now=NOW, now_ns=NOW_NS)
    return Scrape(report=report, usages=USAGES)


def numbers_of(openmetrics: str) -> Numbers:
    """Numbers by name and labels; each is there once."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(openmetrics):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(numbers: Numbers, name: str, **labels: str) -> float | None:
    return numbers.get((name, frozenset(labels.items())))
