"""Balancer and Member without clients: what may be said of them, tables, threads, forks."""

import gc
import os
import pickle
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ajp
from ajp import lb
from ajp.balancing import Balancer, Placement
from ajp.errors import NoUsableMember, TableFull
from ajp.members import BalancerOptions, Member
from ajp.messages import ForwardRequest
from ajp.table import Table

TWO = {"a": "10.0.0.1", "b": "ajp://10.0.0.2:8010"}


def elected(balancer: Balancer, uri: bytes = b"/") -> Placement:
    placement = balancer.place(ForwardRequest(uri=uri))
    assert isinstance(placement.next(), lb.Choice)
    return placement


def in_flight(balancer: Balancer) -> int:
    return sum(each.in_flight for each in balancer.members)


def in_child(work: Callable[[], Any]) -> Any:
    """Do something in a forked process; what came of it."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            result: Any = work()
        except BaseException:
            result = traceback.format_exc()
        os.write(into, pickle.dumps(result))
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as reader:
        result = pickle.loads(reader.read())
    os.waitpid(pid, 0)
    return result


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table.create(tmp_path / "table", slots=8, columns=3)


# --- what may be said ---------------------------------------------------------------------------


def test_members_by_name_and_by_address() -> None:
    balancer = Balancer(TWO)
    assert [(each.name, each.address, each.route) for each in balancer.members] == [
        ("a", "10.0.0.1:8009", "a"),
        ("b", "10.0.0.2:8010", "b"),
    ]
    assert repr(balancer) == "<Balancer balancer Request a ACT OK/IDLE, b ACT OK/IDLE>"
    unnamed = Balancer(["ajp://[::1]:8010", "localhost"])
    assert [each.name for each in unnamed.members] == ["[::1]:8010", "localhost:8009"]


def test_everything_about_a_member() -> None:
    member = Member(
        "unix:/run/tomcat",
        name="a",
        route="r.1",
        lbfactor=3,
        distance=2,
        redirect="b",
        activation=ajp.Activation.DISABLED,
        secret="s",
    )
    (status,) = Balancer([member]).members
    assert (status.address, status.route) == ("unix:/run/tomcat", "r.1")
    assert status.activation is ajp.Activation.DISABLED
    assert status.state is ajp.MemberState.IDLE
    assert member.policy().domain == "r"
    assert (member.policy().lbfactor, member.policy().redirect) == (3, "b")


@pytest.mark.parametrize(
    ("members", "options", "word"),
    [
        ([], {}, "member"),
        ("ajp://one", {}, "list of addresses"),
        (["http://one"], {}, "expected ajp://"),
        (["unix:/run/a"], {}, "needs a name"),
        ({"a": "h:1", "b;": "h:2"}, {}, "cookie"),
        (["h:1", "h:1"], {}, "two members"),
        (TWO, {"method": "Least"}, "expected one of Request, Traffic"),
        (TWO, {"retries": 0}, "retries is at least 1"),
    ],
)
def test_what_cannot_be(members: Any, options: Any, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Balancer(members, **options)


@pytest.mark.parametrize("name", ["Session", "sessions", "SESSIONS"])
def test_method_in_any_spelling(name: str) -> None:
    assert Balancer(TWO, method=name).settings.method is lb.Method.SESSIONS


def test_options_are_those_of_the_election() -> None:
    settings = lb.Settings.__dataclass_fields__
    assert set(BalancerOptions.__annotations__) <= set(settings)
    given: dict[str, Any] = {
        name: not settings[name].default
        if isinstance(settings[name].default, bool)
        else settings[name].default
        for name in BalancerOptions.__annotations__
    }
    balancer = Balancer(TWO, **given)
    for name, value in given.items():
        assert getattr(balancer.settings, name) == value


# --- counting -----------------------------------------------------------------------------------


def test_an_attempt_is_ended_once() -> None:
    balancer = Balancer(TWO)
    placement = elected(balancer)
    assert in_flight(balancer) == 1
    for _ in range(2):
        placement.end(lb.Outcome.OK)
        assert in_flight(balancer) == 0


def test_closed_while_a_request_is_under_way(table: Table) -> None:
    for balancer in (Balancer(TWO), Balancer(TWO, table=table)):
        placement = elected(balancer)
        balancer.close()
        placement.end(lb.Outcome.LOST)
        with pytest.raises(NoUsableMember, match="closed"):
            placement.next()
        with pytest.raises(NoUsableMember, match="closed"):
            balancer.place(ForwardRequest())
        balancer.close()
    assert table.processes() == []


# --- tables -------------------------------------------------------------------------------------


def test_table_that_is_full(table: Table) -> None:
    balancers = [Balancer(TWO, name="one", table=table) for _ in range(3)]
    with pytest.raises(TableFull):
        Balancer(TWO, name="one", table=table)
    balancers.pop().close()
    Balancer(TWO, name="one", table=table).close()
    with pytest.raises(ValueError, match="two members"):
        Balancer(
            [Member("h:1", name="a", route="r"), Member("h:2", name="b", route="r")], table=table
        )
    assert len(table.processes()) == 2
    with pytest.raises(TableFull):
        Balancer({f"m{number}": f"h:{number + 1}" for number in range(9)}, table=table)


def test_place_of_a_balancer_that_was_forgotten(table: Table) -> None:
    balancer = Balancer(TWO, table=table)
    elected(balancer)
    assert len(table.processes()) == 1
    del balancer
    gc.collect()
    assert table.processes() == []


def test_activation_that_was_set_outlives_the_balancer(table: Table) -> None:
    with Balancer(TWO, table=table) as balancer:
        balancer.stop("a")
    again = [Member("10.0.0.1", name="a"), Member("ajp://10.0.0.2:8010", name="b")]
    with Balancer(again, table=table) as balancer:
        assert [each.activation.letters for each in balancer.members] == ["STP", "ACT"]


def test_sessions_that_were_seen(table: Table) -> None:
    with Balancer(TWO, table=table) as balancer:
        for number in range(20):
            elected(balancer, b"/;jsessionid=%d.b" % number).end(lb.Outcome.OK)
        seen = {slot.name: slot.last_session_at for slot in table.slots()}
        assert seen["b"] > seen["a"] == 0
        # What may begin a session counts as well, but not as one that was seen.
        elected(balancer).end(lb.Outcome.OK)
        slots = {slot.name: slot for slot in table.slots()}
        assert slots["a"].last_session_at >= seen["b"]
        assert slots["a"].sessions_in(120, time.monotonic()) == 0


def test_a_session_that_moves_begins_elsewhere(table: Table) -> None:
    with Balancer(TWO, table=table) as balancer:
        balancer.stop("b")
        elected(balancer, b"/;jsessionid=1.b").end(lb.Outcome.OK)
    seen = {slot.name: slot.last_session_at for slot in table.slots()}
    assert seen["a"] > seen["b"] == 0


def test_where_sessions_do_not_count_none_begins(table: Table) -> None:
    with Balancer(TWO, table=table, sticky_session=False) as balancer:
        elected(balancer).end(lb.Outcome.OK)
    assert {slot.last_session_at for slot in table.slots()} == {0.0}


# --- forks --------------------------------------------------------------------------------------


def test_fork_counts_for_itself() -> None:
    balancer = Balancer(TWO)
    placement = elected(balancer)

    def child() -> tuple[int, int, int]:
        before = in_flight(balancer)
        mine = elected(balancer)
        during = in_flight(balancer)
        placement.end(lb.Outcome.OK)
        mine.end(lb.Outcome.OK)
        return before, during, in_flight(balancer)

    assert in_child(child) == (0, 1, 0)
    assert in_flight(balancer) == 1


def test_fork_while_the_lock_is_held() -> None:
    balancer = Balancer(TWO)
    with balancer._lock:
        assert in_child(lambda: len(balancer.members)) == 2


def test_fork_shares_a_table(table: Table) -> None:
    balancer = Balancer(TWO, table=table)
    elected(balancer)

    def child() -> tuple[int, int, int]:
        elected(balancer)
        balancer.stop("a")
        found = in_flight(balancer), len(table.processes())
        balancer.close()
        return *found, len(table.processes())

    assert in_child(child) == (2, 2, 1)
    assert in_flight(balancer) == 1
    assert balancer.members[0].activation is ajp.Activation.STOPPED
    balancer.close()
    assert table.processes() == []


def test_fork_that_dies_is_forgotten(table: Table) -> None:
    balancer = Balancer(TWO, table=table)
    in_child(lambda: elected(balancer) and None)
    assert in_flight(balancer) == 1
    with Balancer(TWO, table=table):
        assert in_flight(balancer) == 0
    balancer.close()
