"""Words for an election: why a member was chosen, why each other was passed over.

Text only; the election itself is `_elect.pyx`, and what is said here follows its order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ._store import Record
from .choice import How, Verdict
from .member import Activation, Member, State
from .settings import OWN_ACTIVATION, Method

__all__ = ["Question", "verdicts"]

_CHOSEN: Final = {
    How.BY_METHOD: "nobody near has less",
    How.BY_ROUTE: "the session lives here",
    How.BY_REDIRECT: "the session's member names it as its stand-in",
    How.BY_DOMAIN: "it shares the domain of the session's member",
    How.BY_STANDBY: "nobody else is left, and a member names it as its stand-in",
    How.ALONE: "it is the only member",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What an election was asked.

    Attributes:
        method: how members are compared.
        routes: of the session, in the order they are tried.
        tried: members that were out of the question, one bit each.
        takes_turns: the load does not count.
        activations: of the rule, see `Extension`.
    """

    method: Method = Method.REQUEST
    routes: tuple[bytes, ...] = ()
    tried: int = 0
    takes_turns: bool = False
    activations: bytes | None = None


def verdicts(
    members: Sequence[Member],
    records: Sequence[Record],
    loads: Sequence[int],
    question: Question,
    found: int,
) -> list[Verdict]:
    """Say something about each member.

    Args:
        members: all of them.
        records: theirs.
        loads: what the method compares, of each.
        question: that was asked.
        found: what the election returned.
    """
    return _Words(members, records, loads, question, found).verdicts()


class _Words:
    """One election, put into words."""

    def __init__(
        self,
        members: Sequence[Member],
        records: Sequence[Record],
        loads: Sequence[int],
        question: Question,
        found: int,
    ) -> None:
        self._members = members
        self._records = records
        self._loads = loads
        self._question = question
        self._chosen = -1 if found < 0 else found & 0xFF
        self._how = How.BY_METHOD if found < 0 else How(found >> 8 & 0xFF)

    def verdicts(self) -> list[Verdict]:
        """About each member, in their order."""
        said = []
        for number, member in enumerate(self._members):
            is_chosen = number == self._chosen
            text = self._won(number) if is_chosen else self._lost(number)
            load = f"distance {member.distance}, load {self._loads[number]}"
            said.append(Verdict(member.name, is_chosen, f"{text} ({load})"))
        return said

    def _won(self, number: int) -> str:
        state = State(self._records[number].state)
        if state > State.FORCE and not self._gives(number):
            return f"nobody else is left, so it is tried although its state is {state.label}"
        if self._how is How.BY_METHOD:
            if self._question.takes_turns:
                return "members take turns, and it is its"
            if self._question.method is Method.P2C:
                return "of two drawn by lot it has less, or was the first"
        return _CHOSEN[self._how]

    def _lost(self, number: int) -> str:
        is_home = self._members[number].route.encode() in self._question.routes
        why = self._unusable(number)
        if why:
            return f"the session lives here, but {why}" if is_home else why
        if self._chosen < 0:
            # It can be had, and nobody was chosen: there is one reason only.
            return "not the session's own, and sticky_session_force allows no other"
        if self._how in (How.BY_METHOD, How.BY_DOMAIN) and self._may_have_been(number):
            return self._beaten(number)
        return f"the session leads to {self._name}"

    @property
    def _name(self) -> str:
        return self._members[self._chosen].name

    def _may_have_been(self, number: int) -> bool:
        """Whether it was compared with the one that was chosen."""
        if self._how is How.BY_METHOD:
            return True
        return self._members[number].domain == self._members[self._chosen].domain

    def _unusable(self, number: int) -> str:
        """Why a member cannot have new work; empty when it can."""
        state = State(self._records[number].state)
        if self._question.tried >> number & 1:
            return "it was tried for this request already"
        if state > State.FORCE and not self._gives(number):
            return f"its state is {state.label}"
        activation, whose = self._activation(number)
        if activation is Activation.STOPPED:
            return f"it is stopped{whose}"
        if activation is Activation.DISABLED:
            return f"it is disabled{whose}: only for sessions it has"
        return ""

    def _gives(self, number: int) -> bool:
        """Whether a member that had no endpoint must have one: nothing is on its way to it."""
        record = self._records[number]
        return record.state == State.BUSY and record.in_flight == 0

    def _activation(self, number: int) -> tuple[Activation, str]:
        """What applies to a member, and who says so if it is not the member's own."""
        activations = self._question.activations
        if activations is None or activations[number] == OWN_ACTIVATION:
            return Activation(self._records[number].activation), ""
        return Activation(activations[number]), " by the rule"

    def _beaten(self, number: int) -> str:
        """Why a member that can have new work was not chosen."""
        ours, theirs = self._members[number], self._members[self._chosen]
        if ours.distance > theirs.distance:
            return f"{self._name} is nearer"
        if self._question.takes_turns:
            return f"members take turns, and it is that of {self._name}"
        if self._question.method is Method.P2C and self._how is How.BY_METHOD:
            return f"{self._name} won: of two drawn by lot the one that has less"
        if self._loads[number] > self._loads[self._chosen]:
            return f"{self._name} has less"
        return f"{self._name} has as little, and it is its turn"
