"""What families are filled with."""

from pathlib import Path

import pytest

from ajp.errors import Reason
from ajpd.metrics.families import CLASSES, FAMILIES, REASONS_OF_CONTAINERS, Kind
from ajpd.metrics.samples import escape, samples
from ajpd.metrics.text import render
from ajpd.status.collect import collect
from tests.unit.metrics.stage import NOW, Numbers, busy, numbers_of, scraped, value
from tests.unit.status.stage import Daemon


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return busy(tmp_path)


@pytest.fixture
def numbers(daemon: Daemon) -> Numbers:
    return numbers_of(render(scraped(daemon), openmetrics=True).decode())


def test_every_family_has_its_samples_and_no_other_has(daemon: Daemon) -> None:
    daemon.table.note_reload(done=True)
    found = {name: [*some] for name, some in samples(scraped(daemon))}
    assert [*found] == [family.name for family in FAMILIES]
    empty = {name for name, some in found.items() if not some}
    # No process showed its heart, and nobody has a busy_limit.
    assert empty == {"ajpd_process_heartbeat_age_seconds", "ajpd_worker_busy_limit"}


def test_names_and_labels_are_those_of_the_table(daemon: Daemon) -> None:
    daemon.table.note_reload(done=False)
    daemon.slots["alone"].configure(busy_limit=3)
    daemon.column.heartbeat(int((NOW - 0.5) * 1e9))
    found = numbers_of(render(scraped(daemon), openmetrics=True).decode())
    seen = {(name, frozenset(key for key, _ in labels)) for name, labels in found}
    expected = set()
    for family in FAMILIES:
        for name in family.sample_names:
            is_bucket = name.endswith("_bucket") or family.kind is not Kind.HISTOGRAM
            labels = family.sample_labels if is_bucket else family.labels
            expected.add((name, frozenset(labels)))
    assert seen == expected


def test_requests_by_class_and_reason(numbers: Numbers) -> None:
    by_class = [value(numbers, "ajpd_front_requests_total", **{"class": c}) for c in CLASSES]
    assert by_class == [0, 1, 0, 0, 0, 0]
    by_class = [
        value(numbers, "ajpd_worker_requests_total", worker="nodeA", **{"class": c})
        for c in CLASSES
    ]
    assert by_class == [0, 1, 0, 0, 1, 1]
    failures = {
        reason: value(numbers, "ajpd_worker_failures_total", worker="nodeA", reason=str(reason))
        for reason in Reason
    }
    assert {reason for reason, count in failures.items() if count} == {
        Reason.BUSY_LIMIT,
        Reason.CONNECT_REFUSED,
    }
    assert {reason for reason, count in failures.items() if count is None} == {*Reason} - {
        *REASONS_OF_CONTAINERS
    }
    # All of them where anything can happen.
    for reason in Reason:
        count = value(numbers, "ajpd_front_failures_total", reason=str(reason))
        assert count == (reason is Reason.NO_MAPPING)


def test_histograms(numbers: Numbers) -> None:
    def below(le: str, family: str = "ajpd_worker_request_duration_seconds") -> float | None:
        return value(numbers, f"{family}_bucket", worker="nodeA", le=le)

    assert below("0.000512") == 1
    assert below("0.001024") == 2
    assert below("2.097152") == 2
    assert below("4.194304") == below("+Inf") == 3
    assert value(numbers, "ajpd_worker_request_duration_seconds_count", worker="nodeA") == 3
    total = value(numbers, "ajpd_worker_request_duration_seconds_sum", worker="nodeA")
    assert total == pytest.approx(3.001023)
    assert below("+Inf", "ajpd_worker_first_byte_seconds") == 1
    assert below("0.000512", "ajpd_worker_first_byte_seconds") == 0
    assert value(numbers, "ajpd_front_request_duration_seconds_sum") == 3


def test_pools_and_what_is_under_way(daemon: Daemon, numbers: Numbers) -> None:
    names = (
        *("connections", "idle_connections", "requests_waiting", "requests_in_flight"),
        *("connections_opened_total", "connection_limit", "busy_limit"),
    )
    found = [value(numbers, f"ajpd_worker_{name}", worker="nodeA") for name in names]
    size = daemon.config.containers["nodeA"].connection_pool_size
    assert found == [3, 2, 4, 1, 3, size, None]
    assert value(numbers, "ajpd_worker_request_bytes_total", worker="nodeA") == 70
    assert value(numbers, "ajpd_worker_response_bytes_total", worker="nodeA") == 1000


def test_a_limit_is_that_of_the_processes_that_take_clients(daemon: Daemon) -> None:
    daemon.table.claim_process(1)
    found = numbers_of(render(scraped(daemon), openmetrics=True).decode())
    size = daemon.config.containers["nodeA"].connection_pool_size
    assert value(found, "ajpd_worker_connection_limit", worker="nodeA") == 2 * size


def test_members(daemon: Daemon) -> None:
    daemon.slots["lb/nodeB"].configure(activation=1)
    numbers = numbers_of(render(scraped(daemon), openmetrics=True).decode())
    a, b = ({"balancer": "lb", "member": name} for name in ("nodeA", "nodeB"))
    state = "ajpd_member_state"
    assert value(numbers, state, **a, **{state: "idle"}) == 1
    assert value(numbers, state, **a, **{state: "error"}) == 0
    activation = "ajpd_member_activation"
    assert value(numbers, activation, **a, **{activation: "active"}) == 1
    assert value(numbers, activation, **b, **{activation: "active"}) == 0
    assert value(numbers, activation, **b, **{activation: "disabled"}) == 1
    assert [value(numbers, "ajpd_member_usable", **each) for each in (a, b)] == [1, 0]
    assert value(numbers, "ajpd_balancer_members", balancer="lb") == 2
    assert value(numbers, "ajpd_balancer_usable_members", balancer="lb") == 1
    assert value(numbers, "ajpd_member_sessions_total", **a) == 2
    assert value(numbers, "ajpd_member_recent_sessions", **a) == 1
    assert value(numbers, "ajpd_member_lbfactor", **a) == 2
    assert value(numbers, "ajpd_member_route_info", **a, route="a.one", domain="a") == 1


def test_probes(numbers: Numbers) -> None:
    state = "ajpd_worker_probe_state"
    for name, expected in (("nodeA", "answers"), ("nodeB", "frozen"), ("alone", "none")):
        found = {
            each: value(numbers, state, worker=name, **{state: each})
            for each in ("none", "answers", "fails", "frozen")
        }
        assert [each for each, is_on in found.items() if is_on] == [expected]
    assert value(numbers, "ajpd_worker_probe_rtt_seconds", worker="nodeA") == 0.002
    assert value(numbers, "ajpd_worker_probe_rtt_seconds", worker="nodeB") is None
    assert value(numbers, "ajpd_worker_probe_failures_in_a_row", worker="nodeB") == 1


def test_processes_and_reloads(daemon: Daemon) -> None:
    daemon.table.note_reload(done=True)
    daemon.table.note_reload(done=False)
    daemon.table.note_death()
    numbers = numbers_of(render(scraped(daemon), openmetrics=True).decode())
    assert value(numbers, "ajpd_reloads_total", result="done") == 1
    assert value(numbers, "ajpd_reloads_total", result="refused") == 1
    assert value(numbers, "ajpd_last_reload_successful") == 0
    assert value(numbers, "ajpd_process_deaths_total") == 1
    assert value(numbers, "ajpd_table_generation") == 1
    assert value(numbers, "ajpd_process_cpu_seconds_total", pid="7", role="master") == 0.25
    assert value(numbers, "ajpd_process_open_fds", pid="7", role="master") == 9
    assert value(numbers, "ajpd_process_open_fds", pid="8", role="serving") is None
    started = value(numbers, "ajpd_process_start_time_seconds", pid="7", role="master")
    assert started == 1_700_000_000.5


def test_a_reset_by_an_operator_takes_nothing_from_counters(daemon: Daemon) -> None:
    before = numbers_of(render(scraped(daemon), openmetrics=True).decode())
    for slot in daemon.slots.values():
        slot.reset()
    after = numbers_of(render(scraped(daemon), openmetrics=True).decode())
    assert after == before


def test_without_a_configuration(daemon: Daemon) -> None:
    scrape = scraped(daemon)
    bare = collect(daemon.table, now=NOW)
    found = numbers_of(render(type(scrape)(report=bare), openmetrics=True).decode())
    assert value(found, "ajpd_worker_connections", worker="nodeA") == 3
    assert not any(name == "ajpd_worker_connection_limit" for name, _ in found)
    assert not any(name == "ajpd_member_route_info" for name, _ in found)
    assert not any(name == "ajpd_process_cpu_seconds_total" for name, _ in found)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("plain", "plain"), ('a"b', r"a\"b"), ("a\\b", r"a\\b"), ("a\nb", r"a\nb"), ("\\n", r"\\n")],
)
def test_escapes(text: str, escaped: str) -> None:
    assert escape(text) == escaped
