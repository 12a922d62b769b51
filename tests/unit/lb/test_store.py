"""The store in memory, one operation after the other."""

import pytest

from ajp.lb import MemoryStore, Record, State, Store

CEILING = 1 << 62


def test_new_store_knows_nothing() -> None:
    store = MemoryStore(2)
    assert (store.count, store.offset, store.maintained) == (2, 0, 0.0)
    assert repr(store) == "<MemoryStore members=2 offset=0>"
    record = Record(store, 1)
    assert repr(record) == "<Record 1 state=0 activation=0 value=0 in_flight=0>"
    assert (record.elected, record.elected_seen, record.sessions, record.errors) == (0, 0, 0, 0)
    assert (record.reply_timeouts, record.first_error, record.last_error) == (0, 0.0, 0.0)
    assert (record.member, record.latency) == (1, 0.0)


@pytest.mark.parametrize(
    "field", ["value", "elected", "elected_seen", "sessions", "errors", "reply_timeouts"]
)
def test_counts_are_kept_apart(field: str) -> None:
    store = MemoryStore(3)
    setattr(Record(store, 1), field, 7)
    for member in range(3):
        record = Record(store, member)
        for other in ("value", "elected", "elected_seen", "sessions", "errors", "reply_timeouts"):
            assert getattr(record, other) == (7 if (member, other) == (1, field) else 0)
    with pytest.raises(OverflowError):
        setattr(Record(store, 1), field, -1)


@pytest.mark.parametrize("field", ["first_error", "last_error", "latency"])
def test_marks_are_kept_apart(field: str) -> None:
    store = MemoryStore(2)
    setattr(Record(store, 1), field, 1.5)
    for member in range(2):
        for other in ("first_error", "last_error", "latency"):
            expected = 1.5 if (member, other) == (1, field) else 0.0
            assert getattr(Record(store, member), other) == expected


def test_state_changes_only_from_where_it_was_seen() -> None:
    record = Record(MemoryStore(1), 0)
    assert record.change_state(State.IDLE, State.ERROR)
    assert not record.change_state(State.IDLE, State.OK)
    assert record.state == State.ERROR
    record.activation = 2
    assert (record.activation, record.state) == (2, State.ERROR)


def test_errors() -> None:
    record = Record(MemoryStore(1), 0)
    record.note_error(3.0)
    record.note_error(5.0)
    assert (record.errors, record.first_error, record.last_error) == (2, 3.0, 5.0)


def test_reply_timeouts_and_the_ceiling() -> None:
    record = Record(MemoryStore(1), 0)
    assert record.note_reply_timeouts(2) == 2
    assert record.note_reply_timeouts(1) == 3
    record.reply_timeouts = CEILING - 1
    assert record.note_reply_timeouts(5) == CEILING
    assert record.note_reply_timeouts(-3) == CEILING - 3


def test_one_maintenance_for_all() -> None:
    store = MemoryStore(1)
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
