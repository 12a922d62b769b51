"""Balancers to test with, and short words for what happens to them."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from ajp.lb import (
    Balancer,
    Choice,
    Member,
    NoMember,
    Outcome,
    Session,
    Settings,
    State,
    Store,
)

#: Makes what the balancers of a test count in; None: they do it themselves. See `kind_of_store`.
make_store: Callable[[Sequence[Member]], Store] | None = None


def balancer(*members: str | Member, **settings: Any) -> Balancer:
    """A balancer of members given by name, or whole."""
    whole = [Member(name=m) if isinstance(m, str) else m for m in members]
    store = make_store(whole) if make_store else None
    return Balancer(whole, Settings(**settings), store=store, random=Random(1))


def session(*ids: str) -> Session:
    found = Session.of_ids(text.encode() for text in ids)
    assert found is not None
    return found


def chosen(found: Choice | NoMember) -> Choice:
    assert isinstance(found, Choice), found
    return found


def elect(lb: Balancer, *ids: str, now: float = 1.0, **how: Any) -> Choice:
    return chosen(lb.elect(session(*ids) if ids else None, now, **how))


def refuse(lb: Balancer, *ids: str, now: float = 1.0, **how: Any) -> NoMember:
    found = lb.elect(session(*ids) if ids else None, now, **how)
    assert isinstance(found, NoMember), found
    return found


def attempt(
    lb: Balancer,
    *ids: str,
    outcome: Outcome = Outcome.OK,
    now: float = 1.0,
    how: dict[str, Any] | None = None,
    **end: Any,
) -> str:
    """One whole attempt; the name of who had it."""
    choice = elect(lb, *ids, now=now, **(how or {}))
    lb.begin(choice)
    lb.end(choice, outcome, now, **end)
    return choice.name


def put_state(lb: Balancer, member: int, state: State, *, error_at: float = 0.0) -> None:
    """Put a member into a state, with the errors it takes to be in it."""
    record = lb.records[member]
    record.change_state(record.state, state)
    if state in (State.ERROR, State.RECOVER, State.FORCE, State.PROBE):
        record.first_error = record.last_error = error_at or 0.5


def state(lb: Balancer, member: int) -> State:
    return State(lb.records[member].state)


def states(lb: Balancer) -> list[str]:
    return [State(record.state).label for record in lb.records]


def values(lb: Balancer) -> list[int]:
    return [record.value for record in lb.records]
