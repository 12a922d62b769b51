"""All elections of one request: who is tried after whom, when to pause, when to give up.

`retries` rounds of at most `lb_retries` members each. Whether a request may be sent again is the
caller's to know: it asks for the next member only if so.

Source: mod_jk `jk_lb_worker.c` `service`.
"""

from typing import NamedTuple

from ajp.errors import Reason

from .balancer import Balancer
from .choice import Choice, NoMember
from .session import Session
from .settings import Extension

__all__ = ["Pause", "Rounds"]


class Pause(NamedTuple):
    """Another round is to come.

    Attributes:
        milliseconds: to wait before it.
    """

    milliseconds: int


class Rounds:
    """The elections of one request, one after the other.

    Args:
        balancer: elects.
        session: of the request.
        stateless: see `Balancer.elect`.
        sticky_ignore: see `Balancer.elect`.
        extension: see `Balancer.elect`.

    Source:
        mod_jk `service` of `jk_lb_worker.c`. Differs: a later round begins with the members that
        were not tried yet, and a round in which nobody is left ends at once, where mod_jk counts
        empty attempts.
    """

    __slots__ = (
        "_attempts",
        "_balancer",
        "_extension",
        "_may_force",
        "_round",
        "_session",
        "_stateless",
        "_sticky_ignore",
        "_tried",
        "_tried_now",
    )

    def __init__(
        self,
        balancer: Balancer,
        session: Session | None = None,
        *,
        stateless: bool = False,
        sticky_ignore: bool = False,
        extension: Extension | None = None,
    ) -> None:
        self._balancer = balancer
        self._session = session
        self._stateless = stateless
        self._sticky_ignore = sticky_ignore
        self._extension = extension
        self._may_force = True
        self._round = 1
        self._attempts = 0
        self._tried = 0
        self._tried_now = 0

    def __repr__(self) -> str:
        """Where it is."""
        return f"<Rounds round={self._round} attempts={self._attempts} tried={self._tried:b}>"

    def next(self, now: float) -> Choice | Pause | NoMember:
        """Elect the first member, or the next one after the last has failed.

        Returns:
            Who it is; or how long to wait before asking again; or that it is over. Then the
            reason of the last attempt says more, if there was one.
        """
        settings = self._balancer.settings
        if self._attempts >= min(settings.lb_retries, len(self._balancer.members)):
            return self._next_round(None)
        found = self._elect(now)
        if isinstance(found, NoMember):
            return self._next_round(found)
        self.note(found)
        return found

    def note(self, choice: Choice) -> None:
        """Count a member that was elected without asking here, as the first one may be."""
        self._attempts += 1
        self._tried |= 1 << choice.member
        self._tried_now |= 1 << choice.member

    def _elect(self, now: float) -> Choice | NoMember:
        """Ask for somebody new, then for somebody not yet tried in this round, then by force."""
        found = self._ask(now, self._tried, may_force=False)
        if isinstance(found, NoMember) and self._tried != self._tried_now:
            found = self._ask(now, self._tried_now, may_force=False)
        if isinstance(found, NoMember) and self._may_force:
            self._may_force = False
            found = self._ask(now, self._tried, may_force=True)
        return found

    def _ask(self, now: float, tried: int, *, may_force: bool) -> Choice | NoMember:
        return self._balancer.elect(
            self._session,
            now,
            tried=tried,
            stateless=self._stateless,
            sticky_ignore=self._sticky_ignore,
            extension=self._extension,
            may_force=may_force,
        )

    def _next_round(self, found: NoMember | None) -> Pause | NoMember:
        settings = self._balancer.settings
        if self._round >= settings.retries:
            why = f"round {self._round} of {settings.retries} is over"
            return found or NoMember(reason=Reason.NO_MEMBER, why=why)
        self._round += 1
        self._attempts = 0
        self._tried_now = 0
        return Pause(settings.retry_interval_ms)
