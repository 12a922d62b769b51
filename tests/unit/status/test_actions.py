"""What an operator does, and what it leaves in the table."""

from functools import partial
from pathlib import Path

import pytest

from ajp._slot import Slot
from ajp.errors import StatusTableError
from ajp.journal import Journal
from ajp.lb import Activation, Method, State
from ajp.lb._store import Record
from ajp.lb._tablestore import TableStore
from ajp.table import Table
from ajpd.config.changes import Setting
from ajpd.status.actions import ActionError, Operator
from tests.unit.status.stage import WORKERS, Daemon, configuration


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def operator(daemon: Daemon, told: list[str]) -> Operator:
    table = Table.attach(daemon.path, writable=True)
    return Operator(table, daemon.config, tell=told.append)


def titles(slots: list[Slot]) -> list[str]:
    return [f"{slot.balancer}/{slot.name}" for slot in slots]


def record(daemon: Daemon, member: str) -> Record:
    balancer = member.partition("/")[0]
    names = [m.name for m in daemon.config.balancers[balancer].members]
    slots = [daemon.slots[f"{balancer}/{name}"] for name in names]
    store = TableStore(daemon.slots[balancer], slots, daemon.column)
    return Record(store, names.index(member.partition("/")[2]))


class TestFinding:
    @pytest.mark.parametrize(
        ("names", "found"),
        [
            (["nodeA"], ["lb/nodeA"]),
            (["nodeB"], ["lb/nodeB", "other/nodeB"]),
            (["other/nodeB"], ["other/nodeB"]),
            (["nodeB", "lb/nodeB"], ["lb/nodeB", "other/nodeB"]),
            (["node*"], ["lb/nodeA", "lb/nodeB", "other/nodeB"]),
            (["lb/*"], ["lb/nodeA", "lb/nodeB"]),
            (["node?"], ["lb/nodeA", "lb/nodeB", "other/nodeB"]),
            (["*/nodeB"], ["lb/nodeB", "other/nodeB"]),
        ],
    )
    def test_by_name(self, operator: Operator, names: list[str], found: list[str]) -> None:
        assert titles(operator.members(*names)) == found

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("nodeX", "no member nodeX; members: nodeA, nodeB"),
            ("zzz", "no member zzz; members: nodeA, nodeB"),
            ("lb/zzz", "no member lb/zzz; members: lb/nodeA, lb/nodeB, other/nodeB"),
            ("z*", "no member z*; members: nodeA, nodeB"),
            ("alone", "no member alone; members: nodeA, nodeB"),
        ],
    )
    def test_nobody_of_that_name(self, operator: Operator, name: str, words: str) -> None:
        with pytest.raises(ActionError) as caught:
            operator.members("nodeA", name)
        assert str(caught.value) == words

    def test_no_members_at_all(self, tmp_path: Path) -> None:
        lonely = Daemon(tmp_path, "worker.list=a\nworker.a.port=8009\n")
        with pytest.raises(ActionError, match="no member a: there is none at all"):
            Operator(lonely.table, lonely.config).members("a")

    def test_anything(self, operator: Operator) -> None:
        found = [(slot.kind.name, slot.name) for slot in operator.slots("nodeA", "lb")]
        assert found == [("WORKER", "nodeA"), ("MEMBER", "nodeA"), ("BALANCER", "lb")]
        with pytest.raises(ActionError) as caught:
            operator.slots("zzz")
        words = "no member, balancer or worker zzz; there are: alone, lb, nodeA, nodeB, other"
        assert str(caught.value) == words

    def test_balancers_and_workers(self, operator: Operator) -> None:
        assert [slot.name for slot in operator.balancers("*")] == ["lb", "other"]
        assert [slot.name for slot in operator.workers("alone")] == ["alone"]


class TestActivation:
    def test_in_all_balancers(self, daemon: Daemon, operator: Operator, told: list[str]) -> None:
        deeds = operator.set_activation(operator.members("nodeB"), Activation.DISABLED)
        assert [str(deed) for deed in deeds] == [
            "lb/nodeB: active -> disabled",
            "other/nodeB: active -> disabled",
        ]
        assert told == [str(deed) for deed in deeds]
        assert daemon.slots["other/nodeB"].activation == Activation.DISABLED
        assert daemon.slots["lb/nodeB"].config() == {"activation": 1}
        assert daemon.slots["lb/nodeA"].activation == Activation.ACTIVE

    def test_stays_over_a_reload(self, daemon: Daemon, operator: Operator) -> None:
        operator.set_activation(operator.members("lb/nodeA"), Activation.STOPPED)
        daemon.serve(daemon.config)
        assert daemon.slots["lb/nodeA"].activation == Activation.STOPPED

    def test_begins_all_sums_of_the_balancer_anew(self, daemon: Daemon, operator: Operator) -> None:
        for name in ("lb/nodeA", "lb/nodeB", "other/nodeB"):
            record(daemon, name).value = 70
        operator.set_activation(operator.members("lb/nodeA"), Activation.DISABLED)
        names = ("lb/nodeA", "lb/nodeB", "other/nodeB")
        assert [record(daemon, name).value for name in names] == [0, 0, 70]

    def test_twice_is_once(self, daemon: Daemon, operator: Operator, told: list[str]) -> None:
        members = operator.members("nodeA")
        operator.set_activation(members, Activation.DISABLED)
        before = daemon.table.changes
        deeds = operator.set_activation(members, Activation.DISABLED)
        assert [(str(deed), deed.done) for deed in deeds] == [
            ("lb/nodeA: is disabled already", False)
        ]
        assert (daemon.table.changes, len(told)) == (before, 1)

    def test_what_the_files_say_can_be_said_aloud(self, daemon: Daemon, operator: Operator) -> None:
        # So it stays, whatever the files say at the next reload.
        deeds = operator.set_activation(operator.members("nodeA"), Activation.ACTIVE)
        assert [str(deed) for deed in deeds] == ["lb/nodeA: is active"]
        assert daemon.slots["lb/nodeA"].config() == {"activation": 0}


class TestConfigure:
    def test_of_a_member(self, daemon: Daemon, operator: Operator, told: list[str]) -> None:
        slot = operator.members("nodeA")[0]
        deeds = operator.configure(slot, {"lbfactor": 4, "redirect": "nodeB"})
        assert sorted(map(str, deeds)) == sorted(told)
        assert sorted(told) == [
            "lb/nodeA: lbfactor as in the files -> 4",
            "lb/nodeA: redirect as in the files -> nodeB",
        ]
        assert daemon.slots["lb/nodeA"].config() == {"lbfactor": 4, "redirect": "nodeB"}
        assert operator.configure(slot, {"lbfactor": 4}) == []
        assert operator.configure(slot, {}) == []

    def test_activation_among_others(self, daemon: Daemon, operator: Operator) -> None:
        record(daemon, "lb/nodeB").value = 9
        slot = operator.members("nodeA")[0]
        operator.configure(slot, {"activation": Activation.STOPPED, "distance": 2})
        assert slot.activation == Activation.STOPPED
        assert slot.config() == {"activation": 2, "distance": 2}
        assert record(daemon, "lb/nodeB").value == 0
        operator.configure(slot, {"activation": None})
        assert (slot.activation, slot.config()) == (Activation.ACTIVE, {"distance": 2})

    def test_of_a_balancer_and_a_worker(self, daemon: Daemon, operator: Operator) -> None:
        operator.configure(
            operator.balancers("lb")[0],
            {"method": Method.P2C, "lock": "Pessimistic", "sticky_session": False},
        )
        assert daemon.slots["lb"].config() == {"method": 5, "lock": 1, "sticky_session": 0}
        worker = operator.workers("alone")[0]
        operator.configure(worker, {"max_packet_size": 8200, "host": "[::1]"})
        assert daemon.slots["alone"].config() == {"max_packet_size": 9216, "host": "::1"}

    def test_a_route_brings_its_domain(self, daemon: Daemon, operator: Operator) -> None:
        slot = operator.members("lb/nodeB")[0]
        operator.configure(slot, {"route": "d1.b"})
        assert slot.config() == {"route": "d1.b", "domain": "d1"}
        one = operator.members("nodeA")[0]  # has one: the files' route is a.one
        operator.configure(one, {"route": "d2.b"})
        assert one.config() == {"route": "d2.b"}

    @pytest.mark.parametrize(
        ("name", "changes", "words"),
        [
            ("lb/nodeA", {"port": 1}, "port of a member cannot be changed; what can: activation,"),
            ("lb/nodeA", {"lbfactor": 0}, "lbfactor is at least 1, not 0"),
            ("lb/nodeA", {"lbfactor": 2, "route": "a b"}, "cannot be in a cookie"),
            ("lb/nodeB", {"route": "a.one"}, "two members have the route 'a.one'"),
        ],
    )
    def test_all_or_nothing(
        self, daemon: Daemon, operator: Operator, name: str, changes: dict[str, object], words: str
    ) -> None:
        with pytest.raises(ActionError, match=words):
            operator.configure(operator.members(name)[0], changes)  # type: ignore[arg-type]
        assert daemon.slots[name].config() == {}
        assert daemon.table.changes == 0

    def test_routes_that_were_changed_count(self, operator: Operator) -> None:
        one, other = operator.members("lb/*")
        operator.configure(one, {"route": "free"})
        operator.configure(other, {"route": "a.one"})
        with pytest.raises(ActionError, match=r"two members have the route 'a\.one'"):
            operator.configure(one, {"route": None})

    @pytest.mark.parametrize(
        ("slot", "change"),
        [
            ("lb", {"method": Method.TRAFFIC}),
            ("lb", {"lock": "Pessimistic", "sticky_session": False}),
            ("lb/nodeA", {"route": "x", "distance": 2}),
            ("alone", {"host": "10.0.0.1", "port": 1, "reply_timeout_ms": 1}),
        ],
    )
    def test_back_from_everything(
        self, operator: Operator, slot: str, change: dict[str, Setting]
    ) -> None:
        (found,) = operator.slots(slot)
        operator.configure(found, change)
        assert all(deed.done for deed in operator.forget([found]))
        assert found.config() == {}

    def test_back_to_the_files(self, daemon: Daemon, operator: Operator, told: list[str]) -> None:
        slot = operator.members("nodeA")[0]
        operator.configure(slot, {"lbfactor": 4, "activation": Activation.DISABLED})
        told.clear()
        deeds = operator.forget([slot, daemon.slots["lb"]])
        assert [(deed.what, deed.done) for deed in deeds] == [
            ("lb/nodeA", True),
            ("lb/nodeA", True),
            ("lb", False),
        ]
        assert "lb/nodeA: activation disabled -> as in the files" in told
        assert slot.config() == {}
        assert slot.activation == Activation.ACTIVE


class TestRecover:
    def test_a_failed_member(self, daemon: Daemon, operator: Operator, told: list[str]) -> None:
        failed, fine = record(daemon, "lb/nodeB"), record(daemon, "lb/nodeA")
        assert failed.change_state(State.IDLE, State.ERROR)
        failed.last_error, failed.reply_timeouts, fine.value = 7.0, 3, 50
        deeds = operator.recover(operator.members("nodeB"))
        assert [(deed.what, deed.done) for deed in deeds] == [
            ("lb/nodeB", True),
            ("other/nodeB", False),
        ]
        assert deeds[1].text == "is OK/IDLE: only a member in ERR can be"
        assert told == [str(deeds[0])]
        assert State(failed.state) is State.RECOVER
        assert (failed.value, failed.reply_timeouts, failed.last_error) == (50, 0, 7.0)

    def test_with_a_method_that_does_not_add_up(self, daemon: Daemon, operator: Operator) -> None:
        operator.configure(operator.balancers("lb")[0], {"method": Method.BUSYNESS})
        failed = record(daemon, "lb/nodeB")
        assert failed.change_state(State.IDLE, State.ERROR)
        record(daemon, "lb/nodeA").value = 50
        operator.recover(operator.members("lb/nodeB"))
        assert failed.value == 0


class TestReset:
    def test_of_a_member(self, daemon: Daemon, operator: Operator) -> None:
        one, other = record(daemon, "lb/nodeB"), record(daemon, "lb/nodeA")
        assert one.change_state(State.IDLE, State.ERROR)
        one.errors, one.elected, one.value, other.errors = 4, 9, 8, 5
        worker = daemon.slots["nodeB"]
        daemon.column.counted(worker, "used", 3)
        daemon.column.counted(daemon.slots["nodeA"], "used", 3)
        deeds = operator.reset(operator.members("lb/nodeB"))
        assert [str(deed) for deed in deeds] == ["lb/nodeB: counts begin anew"]
        assert (State(one.state), one.errors, one.elected, one.value) == (State.IDLE, 0, 0, 0)
        assert other.errors == 5
        assert worker.snapshot().since_reset["used"] == 0
        assert worker.snapshot().totals["used"] == 3
        assert daemon.slots["nodeA"].snapshot().since_reset["used"] == 3

    def test_of_a_balancer_is_that_of_all_members(self, daemon: Daemon, operator: Operator) -> None:
        for name in ("lb/nodeA", "lb/nodeB", "other/nodeB"):
            record(daemon, name).errors = 4
        deeds = operator.reset(operator.balancers("lb"))
        assert [deed.what for deed in deeds] == ["lb", "lb/nodeA", "lb/nodeB"]
        names = ("lb/nodeA", "lb/nodeB", "other/nodeB")
        assert [record(daemon, name).errors for name in names] == [0, 0, 4]

    def test_of_a_worker_leaves_the_member(self, daemon: Daemon, operator: Operator) -> None:
        record(daemon, "lb/nodeA").errors = 4
        operator.reset(operator.workers("nodeA"))
        assert record(daemon, "lb/nodeA").errors == 4


def test_without_a_configuration(daemon: Daemon) -> None:
    operator = Operator(daemon.table)
    slot = operator.members("nodeA")[0]
    operator.set_activation([slot], Activation.DISABLED)
    operator.configure(slot, {"route": "x.y", "activation": None})
    assert slot.config() == {"route": "x.y"}
    with pytest.raises(ActionError, match=r"two members have the route 'x\.y'"):
        operator.configure(operator.members("lb/nodeB")[0], {"route": "x.y"})


def test_while_a_reload_is_under_way_the_one_that_was_meant_counts(
    daemon: Daemon, tmp_path: Path
) -> None:
    daemon.serve(configuration(tmp_path, WORKERS.replace("8109", "8110")))
    operator = Operator(daemon.table, daemon.config)
    both = operator.members("lb/nodeA")
    assert [slot.address for slot in both] == ["localhost:8109", "localhost:8110"]
    operator.set_activation(both, Activation.DISABLED)
    assert [slot.activation for slot in both] == [1, 1]


def test_who_may_only_read_changes_nothing(daemon: Daemon) -> None:
    with pytest.raises(StatusTableError, match="for reading only"):
        Operator(Table.attach(daemon.path), daemon.config)


class TestJournal:
    @pytest.fixture
    def journal(self, daemon: Daemon) -> Journal:
        return Journal(daemon.folder / "journal")

    @pytest.fixture
    def keeping(self, daemon: Daemon, journal: Journal, told: list[str]) -> Operator:
        table = Table.attach(daemon.path, writable=True)
        write_down = partial(journal.configure, now=1.0, who="me")
        return Operator(table, daemon.config, tell=told.append, configure=write_down)

    def test_every_change_is_kept(
        self, daemon: Daemon, keeping: Operator, journal: Journal
    ) -> None:
        [a] = keeping.members("nodeA")
        keeping.set_activation([a], Activation.DISABLED)
        keeping.set_activation([a], Activation.DISABLED)
        keeping.configure(a, {"lbfactor": 7, "activation": Activation.STOPPED})
        keeping.configure(keeping.balancers("lb")[0], {"method": Method.NEXT})
        keeping.forget([a])
        assert [(str(e).partition(" 1")[0], dict(e.changes)) for e in journal.entries()] == [
            ("member lb/nodeA localhost:8109", {"activation": 1}),
            ("member lb/nodeA localhost:8109", {"lbfactor": 7}),
            ("member lb/nodeA localhost:8109", {"activation": 2}),
            ("balancer lb", {"method": 4}),
            ("member lb/nodeA localhost:8109", {"activation": None, "lbfactor": None}),
        ]
        assert {entry.who for entry in journal.entries()} == {"me"}
        assert journal.replay(daemon.table).noted == ()

    def test_what_cannot_be_kept_is_not_done(
        self, keeping: Operator, journal: Journal, told: list[str]
    ) -> None:
        journal.path.mkdir()
        [a] = keeping.members("nodeA")
        before = (a.activation, a.snapshot().value, a.config())
        with pytest.raises(StatusTableError, match="journal"):
            keeping.set_activation([a], Activation.STOPPED)
        with pytest.raises(StatusTableError, match="journal"):
            keeping.configure(a, {"lbfactor": 3})
        assert (a.activation, a.snapshot().value, a.config()) == before
        assert told == []
