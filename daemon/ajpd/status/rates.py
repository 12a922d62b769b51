"""How fast counters move: the last looks at a report, kept while somebody looks.

Only what a page shows is kept: a few numbers for each slot and look.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from ajp.snapshot import Histogram

from .report import BalancerReport, MemberReport, Report, SlotReport

__all__ = ["Pace", "Rates"]

#: Looks that are kept, and the seconds that are between two of them at least.
_MOST: Final = 90
_APART: Final = 1.0
#: A pace is that of so many seconds, if there are looks that old, and never of older ones.
_OVER: Final = 10.0
_OLDEST: Final = 300.0

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Pace:
    """What happened lately.

    Attributes:
        per_s: requests in a second.
        errors_per_s: of these, failed ones.
        duration: times of them.
        over_s: seconds that this was counted over.
    """

    per_s: float
    errors_per_s: float
    duration: Histogram
    over_s: float


class _Count(NamedTuple):
    done: int
    errors: int
    duration: Histogram


class _Look(NamedTuple):
    at: float
    counts: dict[_Key, _Count]


class Rates:
    """Remembers reports."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque(maxlen=_MOST)

    def note(self, report: Report) -> None:
        """Take a new report in, unless the last one is of a moment ago."""
        at = report.when_ns / 1e9
        if self._looks and at - self._looks[-1].at < _APART:
            return
        self._looks.append(_Look(at, {key: _count(slot) for key, slot in _slots(report)}))

    def pace(self, slot: SlotReport, now_ns: int) -> Pace:
        """How fast it goes: lately, or since the last reset while there is nothing to compare."""
        key, count = _key(slot), _count(slot)
        now = now_ns / 1e9
        then = self._then(key, now)
        if then is None:
            seconds, since = max(slot.reset_age_s, 1.0), slot.since_reset
            errors = since.errors
            done = since.duration.total
            return Pace(done / seconds, errors / seconds, since.duration, seconds)
        at, before = then
        seconds = max(now - at, 0.001)
        return Pace(
            max(count.done - before.done, 0) / seconds,
            max(count.errors - before.errors, 0) / seconds,
            count.duration.since(before.duration),
            seconds,
        )

    def line(self, slot: SlotReport) -> list[float]:
        """Requests in a second between each two looks, the last at the end."""
        key = _key(slot)
        found: list[float] = []
        before: tuple[float, int] | None = None
        for look in self._looks:
            count = look.counts.get(key)
            if count is None:
                before = None
                continue
            if before is not None:
                found.append(max(count.done - before[1], 0) / max(look.at - before[0], 0.001))
            before = (look.at, count.done)
        return found

    def _then(self, key: _Key, now: float) -> tuple[float, _Count] | None:
        """The youngest look that is old enough; else the oldest that is not too old."""
        found = None
        for look in reversed(self._looks):
            count = look.counts.get(key)
            if count is None or now - look.at > _OLDEST:
                break
            if now - look.at > 0.5:
                found = (look.at, count)
            if now - look.at >= _OVER:
                break
        return found


def _slots(report: Report) -> Iterator[tuple[_Key, SlotReport]]:
    for slot in (*report.balancers, *report.members, *report.workers):
        yield _key(slot), slot
    if report.front is not None:
        yield _key(report.front), report.front


def _key(slot: SlotReport) -> _Key:
    if isinstance(slot, MemberReport):
        return f"{slot.balancer}/", slot.name
    return ("lb" if isinstance(slot, BalancerReport) else slot.kind.name, slot.name)


def _count(slot: SlotReport) -> _Count:
    return _Count(slot.totals.duration.total, slot.totals.errors, slot.totals.duration)
