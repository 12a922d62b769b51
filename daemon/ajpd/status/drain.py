"""Emptying members before their containers stop: when that is done, and how long it may take.

Looks at the status table and says what it sees; no output, no waiting of its own. A member is empty
when nothing is on its way to it and no request of one of its sessions came for long enough.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ajp._slot import Slot
from ajp.lb import Activation

from .actions import title

__all__ = ["Drain", "Standing"]

#: Sessions seen within so many seconds are counted and shown.
SHOWN_S: Final = 300.0
# A trend of less than this says nothing.
_TREND_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a member is.

    Attributes:
        what: `balancer/member`.
        in_flight: requests on their way to it.
        sessions: how many came in the last five minutes, about.
        quiet_s: since a request of one of its sessions came, or one that may have begun a session;
            None when none ever did, since the member is in the table.
        is_empty: it may be stopped.
        is_drained: it takes no new sessions; False when somebody activated it meanwhile.
        least_s: until it is empty, if nobody comes any more.
        guess_s: the same, if its sessions go on becoming fewer as they did; None as long as they
            do not.
    """

    what: str
    in_flight: int
    sessions: int
    quiet_s: float | None
    is_empty: bool
    is_drained: bool
    least_s: float
    guess_s: float | None


class Drain:
    """Members on their way to emptiness.

    Args:
        slots: of the members.
        quiet_for_s: so long no request of a session must have come.
        now: monotonic seconds.
        now_ns: since 1970.
    """

    def __init__(
        self, slots: Sequence[Slot], *, quiet_for_s: float, now: float, now_ns: int
    ) -> None:
        self._slots = slots
        self._quiet_for_s = quiet_for_s
        self._began = now
        # Of a member that is new in the table nobody knows whether it has sessions.
        self._known_since = {
            slot.index: now - (now_ns - slot.snapshot().created_ns) / 1e9 for slot in slots
        }
        self._at_first = {slot.index: slot.sessions_in(SHOWN_S, now) for slot in slots}

    def look(self, now: float) -> list[Standing]:
        """How far each of them is."""
        return [self._standing(slot, now) for slot in self._slots]

    def _standing(self, slot: Slot, now: float) -> Standing:
        in_flight = slot.in_flight
        last = slot.last_session_at
        quiet_s = max(now - last, 0.0) if last > 0 else None
        sessions = slot.sessions_in(SHOWN_S, now)
        since = max(last, self._known_since[slot.index])
        least_s = max(self._quiet_for_s - (now - since), 0.0)
        return Standing(
            what=title(slot),
            in_flight=in_flight,
            sessions=sessions,
            quiet_s=quiet_s,
            is_empty=in_flight == 0 and least_s <= 0,
            is_drained=slot.activation != Activation.ACTIVE,
            least_s=least_s,
            guess_s=self._guess(self._at_first[slot.index], sessions, now),
        )

    def _guess(self, first: int, sessions: int, now: float) -> float | None:
        """Seconds until the last session is gone, if they go as radioactive atoms do."""
        elapsed = now - self._began
        if elapsed < _TREND_S or not 0 < sessions < first:
            return None
        rate = math.log(first / sessions) / elapsed
        return math.log(sessions) / rate + self._quiet_for_s
