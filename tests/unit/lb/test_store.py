"""Every kind of store, one operation after the other."""

from collections.abc import Callable

import pytest

from ajp.lb import Balancer, Choice, Member, MemoryStore, Record, State, Store
from tests.unit.table_stage import claimed, memory, table_store, worker

Maker = Callable[[int], Store]

CEILING = 1 << 62


def in_table(count: int) -> Store:
    return table_store([f"n{number}" for number in range(count)])


@pytest.fixture(params=[MemoryStore, in_table])
def make(request: pytest.FixtureRequest) -> Maker:
    maker: Maker = request.param
    return maker


def test_new_store_knows_nothing(make: Maker) -> None:
    store = make(2)
    assert (store.count, store.offset, store.maintained) == (2, 0, 0.0)
    assert repr(store) == f"<{type(store).__name__} members=2 offset=0>"
    record = Record(store, 1)
    assert repr(record) == "<Record 1 state=0 activation=0 value=0 in_flight=0>"
    assert (record.elected, record.elected_seen, record.sessions, record.errors) == (0, 0, 0, 0)
    assert (record.reply_timeouts, record.first_error, record.last_error) == (0, 0.0, 0.0)
    assert (record.member, record.latency) == (1, 0.0)


@pytest.mark.parametrize(
    "field", ["value", "elected", "elected_seen", "sessions", "errors", "reply_timeouts"]
)
def test_counts_are_kept_apart(make: Maker, field: str) -> None:
    store = make(3)
    setattr(Record(store, 1), field, 7)
    for member in range(3):
        record = Record(store, member)
        for other in ("value", "elected", "elected_seen", "sessions", "errors", "reply_timeouts"):
            assert getattr(record, other) == (7 if (member, other) == (1, field) else 0)
    with pytest.raises(OverflowError):
        setattr(Record(store, 1), field, -1)


@pytest.mark.parametrize("field", ["first_error", "last_error", "latency"])
def test_marks_are_kept_apart(make: Maker, field: str) -> None:
    store = make(2)
    setattr(Record(store, 1), field, 1.5)
    for member in range(2):
        for other in ("first_error", "last_error", "latency"):
            expected = 1.5 if (member, other) == (1, field) else 0.0
            assert getattr(Record(store, member), other) == expected


def test_state_changes_only_from_where_it_was_seen(make: Maker) -> None:
    record = Record(make(1), 0)
    assert record.change_state(State.IDLE, State.ERROR)
    assert not record.change_state(State.IDLE, State.OK)
    assert record.state == State.ERROR
    record.activation = 2
    assert (record.activation, record.state) == (2, State.ERROR)


def test_errors(make: Maker) -> None:
    record = Record(make(1), 0)
    record.note_error(3.0)
    record.note_error(5.0)
    assert (record.errors, record.first_error, record.last_error) == (2, 3.0, 5.0)


def test_reply_timeouts_and_the_ceiling(make: Maker) -> None:
    record = Record(make(1), 0)
    assert record.note_reply_timeouts(2) == 2
    assert record.note_reply_timeouts(1) == 3
    record.reply_timeouts = CEILING - 1
    assert record.note_reply_timeouts(5) == CEILING
    assert record.note_reply_timeouts(-3) == CEILING - 3


def test_one_maintenance_for_all(make: Maker) -> None:
    store = make(1)
    assert store.claim(0.0, 5.0)
    assert not store.claim(0.0, 5.1)  # another process that saw the same last one
    assert store.maintained == 5.0


def test_stores_of_nobody() -> None:
    with pytest.raises(ValueError, match="has members, not 0"):
        MemoryStore(0)
    store = Store()
    assert (store.count, store.maintained, store.claim(0.0, 1.0)) == (0, 0.0, False)
    with pytest.raises(IndexError, match="member 0 of 0"):
        Record(store, 0)
    with pytest.raises(IndexError, match="member -1 of 2"):
        Record(MemoryStore(2), -1)


def test_store_in_a_table_knows_its_members() -> None:
    store = table_store(["a", "b"])
    assert [slot.name for slot in store.members] == ["a", "b"]
    assert (store.balancer.name, store.column is not None) == ("lb", True)
    other = table_store(["a"])
    for balancer, members, column, problem in [
        (store.balancer, [], None, "has members, not 0"),
        (store.members[0], store.members, None, "is no balancer"),
        (store.balancer, [store.balancer], None, "is no member of"),
        (store.balancer, other.members, None, "is no member of"),
        (store.balancer, [worker(store.balancer.memory, "w")], None, "is no member of"),
        (store.balancer, store.members, claimed(memory()), "is of another table"),
    ]:
        with pytest.raises(ValueError, match=problem):
            type(store)(balancer, members, column)


def test_store_without_a_column_counts_no_attempts() -> None:
    store = table_store(["a"])
    looking = type(store)(store.balancer, store.members)
    lb = Balancer([Member(name="a")], store=store)
    seen = Balancer([Member(name="a")], store=looking)
    choice = lb.elect(None, 1.0)
    assert isinstance(choice, Choice)
    lb.begin(choice)
    seen.begin(choice)
    assert [record.in_flight for record in (*lb.records, *seen.records)] == [1, 1]
