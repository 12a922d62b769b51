"""The table and the configuration become one report."""

from pathlib import Path

import pytest

from ajp.errors import Reason
from ajp.lb import Activation, Method, State
from ajp.lb._store import Record
from ajp.lb._tablestore import TableStore
from ajp.snapshot import FIELDS, Kind, ProcessState
from ajp.table import Table
from ajpd.status.collect import collect, current_slots
from ajpd.status.report import BalancerReport, MemberReport
from tests.unit.status.stage import WORKERS, Daemon, configuration

NOW = 1000.0


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path)


def records(daemon: Daemon, balancer: str = "lb") -> dict[str, Record]:
    members = daemon.config.balancers[balancer].members
    slots = [daemon.slots[f"{balancer}/{member.name}"] for member in members]
    store = TableStore(daemon.slots[balancer], slots, daemon.column)
    return {member.name: Record(store, n) for n, member in enumerate(members)}


def member_of(daemon: Daemon, name: str, balancer: str = "lb") -> MemberReport:
    found = {m.name: m for m in balancer_of(daemon, balancer).members}
    return found[name]


def balancer_of(daemon: Daemon, name: str = "lb") -> BalancerReport:
    return {b.name: b for b in collect(daemon.table, daemon.config, now=NOW).balancers}[name]


def test_everything_that_is_configured_is_there(daemon: Daemon) -> None:
    report = collect(daemon.table, daemon.config)
    assert [balancer.name for balancer in report.balancers] == ["lb", "other"]
    assert [f"{m.balancer}/{m.name}" for m in report.members] == [
        "lb/nodeA",
        "lb/nodeB",
        "other/nodeB",
    ]
    assert {w.name: w.balancers for w in report.workers} == {
        "alone": (),
        "nodeA": ("lb",),
        "nodeB": ("lb", "other"),
    }
    assert (report.missing, report.generation) == ((), 1)
    assert report.created_ns == daemon.table.created_ns


def test_settings_are_those_of_the_files_and_what_was_changed(daemon: Daemon) -> None:
    daemon.slots["lb/nodeA"].configure(lbfactor=5, route="b.two")
    daemon.slots["lb"].configure(method=2, sticky_session=0, recover_time_ms=7000)
    daemon.slots["alone"].configure(reply_timeout_ms=9000)
    lb = balancer_of(daemon)
    one = lb.members[0]
    assert (one.lbfactor, one.route, one.number("distance")) == (5, "b.two", 0)
    assert one.changed == {"lbfactor": 5, "route": "b.two"}
    assert one.changed_ns > 0
    assert lb.settings["method"] is Method.BUSYNESS
    assert lb.settings["sticky_session"] is False
    assert lb.config is not None
    assert lb.config.recover_time_ms == 7000
    alone = collect(daemon.table, daemon.config).workers[0]
    assert alone.name == "alone"
    assert alone.number("reply_timeout_ms") == 9000
    assert alone.text("host") == "localhost"
    assert {b.kind: set(b.settings) for b in (lb, one, alone)} == {
        kind: set(FIELDS[kind]) for kind in (Kind.BALANCER, Kind.MEMBER, Kind.WORKER)
    }


def test_multipliers_follow_the_factors_that_apply(daemon: Daemon) -> None:
    assert [m.multiplier for m in balancer_of(daemon).members] == [1, 2]
    daemon.slots["lb/nodeB"].configure(lbfactor=3)
    assert [m.multiplier for m in balancer_of(daemon).members] == [3, 2]


def test_gauges_and_sums(daemon: Daemon) -> None:
    slot = daemon.slots["lb/nodeA"]
    daemon.column.begun(slot)
    daemon.column.begun(slot)
    daemon.column.finished(slot, duration_us=2000, first_byte_us=100, bytes_in=7, status=200)
    daemon.column.ended(slot)
    daemon.column.connection_made(daemon.slots["nodeA"])
    daemon.column.failed(daemon.slots["nodeA"], Reason.CONNECT_REFUSED, NOW - 3)
    one = member_of(daemon, "nodeA")
    assert (one.in_flight, one.max_in_flight) == (1, 2)
    assert one.totals["used"] == 1
    assert one.since_reset["bytes_in"] == 7
    assert one.totals.duration.p50_us is not None
    assert one.worker is not None
    assert (one.worker.connected, one.worker.max_connected) == (1, 1)
    assert one.worker.trouble is not None
    assert one.worker.trouble.reason is Reason.CONNECT_REFUSED
    assert one.worker.trouble.age_s == 3.0
    assert one.trouble is None


def test_a_reset_begins_anew_and_totals_go_on(daemon: Daemon) -> None:
    slot = daemon.slots["nodeA"]
    daemon.column.counted(slot, "used")
    slot.reset()
    daemon.column.counted(slot, "used", 2)
    one = next(w for w in collect(daemon.table, daemon.config).workers if w.name == "nodeA")
    assert (one.totals["used"], one.since_reset["used"]) == (3, 2)
    assert one.reset_age_s >= 0
    assert one.reset_ns == slot.snapshot().reset_ns


def test_a_failed_member_says_when_it_is_tried_again(daemon: Daemon) -> None:
    record = records(daemon)["nodeA"]
    assert record.change_state(State.IDLE, State.ERROR)
    record.first_error, record.last_error = NOW - 20, NOW - 10
    store = TableStore(daemon.slots["lb"], [daemon.slots["lb/nodeA"]], daemon.column)
    assert store.claim(0.0, NOW - 25)
    lb = balancer_of(daemon)
    assert (lb.maintained_age_s, lb.maintenance_min_s, lb.maintenance_max_s) == (25, 35, 95)
    one = lb.members[0]
    assert one.state is State.ERROR
    assert (one.first_error_age_s, one.last_error_age_s) == (20, 10)
    # 30 s of recover_time are left, and 35 until anybody looks.
    assert (one.recover_min_s, one.recover_max_s) == (35, 90)
    other = lb.members[1]
    assert (other.recover_min_s, other.recover_max_s, other.last_error_age_s) == (None, None, None)


def test_counts_and_activation_of_a_member(daemon: Daemon) -> None:
    record = records(daemon)["nodeB"]
    record.elected, record.sessions, record.errors, record.value = 9, 4, 2, 77
    daemon.slots["lb/nodeB"].configure(activation=1)
    one = member_of(daemon, "nodeB")
    assert (one.elected, one.sessions, one.errors, one.value) == (9, 4, 2, 77)
    assert one.activation is Activation.DISABLED
    assert one.settings["activation"] is Activation.DISABLED
    assert member_of(daemon, "nodeB", "other").activation is Activation.ACTIVE


def test_what_clients_asked_for(daemon: Daemon) -> None:
    daemon.column.begun(daemon.slots["front"])
    daemon.column.failed(daemon.slots["front"], Reason.NO_MAPPING, NOW)
    front = collect(daemon.table, daemon.config, now=NOW).front
    assert front is not None
    assert (front.kind, front.in_flight, front.settings) == (Kind.FRONT, 1, {})
    assert front.totals.reasons == {Reason.NO_MAPPING: 1}


def test_processes(daemon: Daemon) -> None:
    daemon.column.heartbeat(int((NOW - 2) * 1e9))
    other = daemon.table.claim_process(1)
    other.set_state(ProcessState.DRAINING)
    first, second = collect(daemon.table, daemon.config, now=NOW).processes
    assert (first.state, first.heartbeat_age_s) == (ProcessState.RUNNING, 2.0)
    assert (second.pid, second.state) == (1, ProcessState.DRAINING)
    assert second.heartbeat_age_s is None


def test_without_a_configuration_the_table_speaks_alone(daemon: Daemon) -> None:
    daemon.slots["lb/nodeA"].configure(distance=3)
    lb = collect(daemon.table).balancers[0]
    one = lb.members[0]
    assert (one.route, one.lbfactor, one.multiplier, one.config) == (None, None, None, None)
    assert one.settings == one.changed == {"distance": 3}
    assert (lb.maintenance_min_s, lb.config) == (None, None)


def test_what_a_reload_left_behind_is_not_shown(daemon: Daemon, tmp_path: Path) -> None:
    # nodeA moved: the same name at another address is another container.
    moved = configuration(tmp_path, WORKERS.replace("8109", "8110").replace("lb,other,", "lb,"))
    daemon.column.set_state(ProcessState.DRAINING)
    assert moved != daemon.config
    daemon.serve(moved)
    report = collect(daemon.table, moved)
    assert [balancer.name for balancer in report.balancers] == ["lb"]
    assert [w.address for w in report.workers if w.name == "nodeA"] == ["localhost:8110"]
    assert len(current_slots(daemon.table)) < len(daemon.table.slots())


def test_two_of_one_name_during_a_reload(daemon: Daemon, tmp_path: Path) -> None:
    before = daemon.config
    moved = configuration(tmp_path, WORKERS.replace("8109", "8110"))
    daemon.serve(moved)  # the one before still serves

    def addresses(config: object) -> list[str]:
        report = collect(daemon.table, config)  # type: ignore[arg-type]
        return [w.address for w in report.workers if w.name == "nodeA"]

    assert addresses(before) == ["localhost:8109"]
    assert addresses(moved) == addresses(None) == ["localhost:8110"]


def test_names_that_the_daemon_does_not_know_are_told(daemon: Daemon, tmp_path: Path) -> None:
    more = WORKERS.replace("nodeA,nodeB", "nodeA,nodeB,nodeC") + "worker.nodeC.port=8409\n"
    report = collect(daemon.table, configuration(tmp_path, more))
    assert report.missing == ("nodeC", "lb/nodeC")


def test_who_may_only_read_can_look(daemon: Daemon) -> None:
    report = collect(Table.attach(daemon.path), daemon.config)
    assert len(report.members) == 3
    assert "top" not in repr(report)
