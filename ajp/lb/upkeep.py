"""What time does to members: load fades, failed ones are tried again, idle ones are called so.

Works on records, returns what it changed. When it is time, and in which process, the balancer and
its store decide.

Source: mod_jk `jk_lb_worker.c` `decay_load`, `recover_workers`, `force_recovery`.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ._store import Record
from .member import Activation, Event, State, next_state
from .settings import Method, Settings

__all__ = ["Change", "apply", "come_back_value", "decay", "force", "forgive", "revive"]

# More halvings than a count has bits.
_MOST_HALVINGS = 63


class Change(NamedTuple):
    """A member went from one state to another.

    Attributes:
        member: its number.
        before: the state it left.
        after: the state it is in.
        event: what did it.
    """

    member: int
    before: State
    after: State
    event: Event


def apply(record: Record, event: Event) -> Change | None:
    """Let something happen to a member's state; None when that changed nothing.

    Another process may change the state meanwhile: then it happens to that one.
    """
    while True:
        before = State(record.state)
        after = next_state(before, event)
        if after is None or after is before:
            return None
        if record.change_state(before, after):
            return Change(record.member, before, after, event)


def come_back_value(records: Iterable[Record]) -> int:
    """The value with which a member has no advantage over any other."""
    return max(record.value for record in records)


def decay(records: Sequence[Record], method: Method, periods: int) -> int:
    """Let the past count less: half for each period.

    Returns:
        The value a member comes back with.

    Source:
        mod_jk `decay_load`. Next takes away what the least of the usable members has instead, and
        a member comes back with the most from before that. Differs: a long idle time halves at
        most to nothing; mod_jk shifts by more bits than there are, which is undefined.
    """
    periods = min(periods, _MOST_HALVINGS)
    for record in records:
        record.reply_timeouts >>= periods
    if not method.accumulates:
        return 0
    if method is Method.NEXT:
        before = come_back_value(records)
        usable = [record.value for record in records if _is_electable(record)]
        least = min(usable, default=0)
        for record in records:
            record.value = max(record.value - least, 0)
        return before
    for record in records:
        record.value >>= periods
    return come_back_value(records)


def _is_electable(record: Record) -> bool:
    return record.state <= State.FORCE and record.activation == Activation.ACTIVE


def revive(
    records: Sequence[Record], settings: Settings, now: float, come_back: int
) -> list[Change]:
    """Look at every member's errors and work since the last time.

    Args:
        records: all members.
        settings: of their balancer.
        now: monotonic seconds.
        come_back: value of a member that is tried again; the methods that add up use it.

    Source:
        mod_jk `recover_workers`: who failed is tried again when more than recover_time passed since
        its last error; who has had errors for error_escalation_time, and no success, has failed.
    """
    changes = []
    for record in records:
        event = _due(record, settings, now)
        change = apply(record, event) if event else None
        if event is Event.WAITED and change:
            forgive(record, settings.method, come_back)
        if change:
            changes.append(change)
        record.elected_seen = record.elected
    if all(record.state == State.ERROR for record in records):
        changes += force(records)
    return changes


def _due(record: Record, settings: Settings, now: float) -> Event | None:
    """What time did to a member; the table of transitions knows whether it can happen to it."""
    if record.state == State.ERROR:
        return Event.WAITED if now - record.last_error > settings.recover_time_s else None
    if 0 < record.first_error <= now - settings.escalation_s:
        return Event.ESCALATED
    return Event.UNUSED if record.elected == record.elected_seen else None


def forgive(record: Record, method: Method, come_back: int) -> None:
    """Let a member that is tried again begin without old timeouts, and without an advantage."""
    record.reply_timeouts = 0
    if method.accumulates:
        record.value = come_back


def force(records: Iterable[Record]) -> list[Change]:
    """Have failed members tried at once."""
    changes = [change for record in records if (change := apply(record, Event.FORCED))]
    for record in records:
        if record.state == State.FORCE:
            record.reply_timeouts = 0
    return changes
