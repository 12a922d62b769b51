"""The report as text and as JSON."""

import json
from pathlib import Path

import pytest

from ajp.errors import Reason
from ajp.lb import State
from ajp.lb._store import Record
from ajp.lb._tablestore import TableStore
from ajp.snapshot import ProbeState
from ajpd.status.collect import collect
from ajpd.status.json_form import as_json
from ajpd.status.text_form import ago, aligned, as_text, duration
from tests.unit.status.stage import WORKERS, Daemon, configuration

NOW = 5000.0


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    made = Daemon(tmp_path)
    one = made.slots["lb/nodeA"]
    made.column.begun(one)
    made.column.finished(one, duration_us=2000, status=200)
    made.column.session_seen(one, b"abc", NOW - 2)
    made.column.failed(made.slots["nodeB"], Reason.CONNECT_REFUSED, NOW - 3)
    made.slots["nodeA"].note_probe(ProbeState.ANSWERS, NOW - 1, rtt_s=0.0004)
    store = TableStore(
        made.slots["lb"], [made.slots["lb/nodeA"], made.slots["lb/nodeB"]], made.column
    )
    record = Record(store, 1)
    assert record.change_state(State.IDLE, State.ERROR)
    record.last_error = NOW - 3
    made.slots["lb"].configure(method=2)
    made.slots["lb/nodeA"].configure(lbfactor=3, activation=1)
    return made


def test_json(daemon: Daemon) -> None:
    report = collect(daemon.table, daemon.config, now=NOW)
    found = json.loads(json.dumps(as_json(report)))
    lb = found["balancers"][0]
    assert (lb["name"], lb["settings"]["method"], lb["changed"]) == (
        "lb",
        "Busyness",
        {"method": "Busyness"},
    )
    one, other = lb["members"]
    assert (one["activation"], one["state"], one["settings"]["lbfactor"]) == (
        "disabled",
        "OK/IDLE",
        3,
    )
    assert one["in_flight"] == 1
    assert one["totals"]["used"] == 1
    assert one["totals"]["duration"]["count"] == 1
    assert 1500 < one["totals"]["duration"]["p50_us"] < 2500
    assert (one["recent_sessions"], one["last_session_age_s"]) == (1, 2.0)
    assert (other["state"], other["recover_min_s"], other["changed_at"]) == ("ERR", 37.0, None)
    by_name = {worker["name"]: worker for worker in found["workers"]}
    assert by_name["nodeA"]["probe"] == {
        "state": "answers",
        "age_s": 1.0,
        "rtt_s": 0.0004,
        "failures": 0,
    }
    assert by_name["nodeB"]["trouble"] == {"reason": "connect_refused", "age_s": 3.0}
    assert by_name["nodeB"]["totals"]["reasons"] == {"connect_refused": 1}
    assert found["processes"][0]["state"] == "running"
    assert found["front"]["name"] == "front"
    assert "top" not in json.dumps(found).split('"')


def test_text(daemon: Daemon, tmp_path: Path) -> None:
    more = WORKERS.replace("nodeA,nodeB", "nodeA,nodeB,nodeC") + "worker.nodeC.port=8409\n"
    lines = as_text(collect(daemon.table, configuration(tmp_path, more), now=NOW))
    text = "\n".join(lines)
    assert lines[0].startswith("1 process: ")
    assert "balancer lb; method Busyness; " in text
    row = next(line for line in lines if line.startswith("  nodeA"))
    assert row.split()[1:5] == ["localhost:8109", "DIS", "OK/IDLE", "3"]
    assert row.split()[-1] == "1"
    probed = next(line for line in lines if line.startswith("nodeA"))
    assert probed.split()[2] == "400us"
    assert "changed: lb/nodeA: activation disabled, lbfactor 3" in lines
    assert (
        "failed: lb/nodeB: last error 3s ago, connect_refused, tried again in 37s to 97s" in lines
    )
    assert "warning: lb has no member that takes new sessions" in lines
    assert "warning: lb/nodeC is in the files, and not in the running ajpd: reload it" in lines


@pytest.mark.parametrize("state", [ProbeState.FAILS, ProbeState.FROZEN])
def test_text_of_a_member_that_is_probed_in_vain(daemon: Daemon, state: ProbeState) -> None:
    daemon.slots["nodeB"].note_probe(state, NOW - 1)
    lines = as_text(collect(daemon.table, daemon.config, now=NOW))
    words = "failed: lb/nodeB: last error 3s ago, connect_refused, back with the first good probe"
    assert words in lines


def test_text_without_a_configuration(daemon: Daemon) -> None:
    lines = as_text(collect(daemon.table, now=NOW))
    assert any(line.startswith("balancer lb; 0 under way") for line in lines)


def test_columns() -> None:
    assert aligned(("MEMBER", "DONE"), [("a", "12345"), ("longer", "1")]) == [
        "MEMBER   DONE",
        "a       12345",
        "longer      1",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00004, "40us"),
        (0.0123, "12.3ms"),
        (0.9999, "1s"),
        (59.0, "59s"),
        (600.0, "10min"),
        (7200.0, "2h"),
        (864000.0, "10d"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
    assert ago(seconds) == f"{text} ago"


def test_never() -> None:
    assert ago(None) == "never"
