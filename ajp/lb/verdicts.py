"""Words for an election: why a member was chosen, why each other was passed over.

Text only; the election itself is `_elect.pyx`, and what is said here follows its order.
"""

from collections.abc import Sequence
from typing import Final

from ._store import Record
from .choice import How, Verdict
from .member import Activation, Member, State
from .settings import OWN_ACTIVATION

__all__ = ["verdicts"]

_CHOSEN: Final = {
    How.BY_METHOD: "nobody near has less",
    How.BY_ROUTE: "the session lives here",
    How.BY_REDIRECT: "the session's member names it as its stand-in",
    How.BY_DOMAIN: "it shares the domain of the session's member",
    How.BY_STANDBY: "nobody else is left, and a member names it as its stand-in",
    How.ALONE: "it is the only member",
}


def verdicts(
    members: Sequence[Member],
    records: Sequence[Record],
    loads: Sequence[int],
    found: int,
    tried: int,
    activations: bytes | None,
) -> list[Verdict]:
    """Say something about each member.

    Args:
        members: all of them.
        records: theirs.
        loads: what the method compares, of each.
        found: what the election returned.
        tried: members that were out of the question, one bit each.
        activations: of the rule, see `Extension`.
    """
    chosen = -1 if found < 0 else found & 0xFF
    how = How.BY_METHOD if found < 0 else How(found >> 8 & 0xFF)
    said = []
    for number, member in enumerate(members):
        load = f"distance {member.distance}, load {loads[number]}"
        if number == chosen:
            said.append(Verdict(member.name, True, f"{_CHOSEN[how]} ({load})"))
            continue
        is_own = activations is None or activations[number] == OWN_ACTIVATION
        activation = (
            records[number].activation if activations is None or is_own else activations[number]
        )
        reason = _unusable(records[number], Activation(activation), bool(tried >> number & 1))
        said.append(Verdict(member.name, False, f"{reason or _beaten(how)} ({load})"))
    return said


def _unusable(record: Record, activation: Activation, is_tried: bool) -> str:
    """Why a member cannot have new work; empty when it can."""
    state = State(record.state)
    if is_tried:
        return "was tried for this request already"
    if state > State.FORCE and not (state is State.BUSY and record.in_flight == 0):
        return f"its state is {state.label}"
    if activation is Activation.STOPPED:
        return "stopped"
    if activation is Activation.DISABLED:
        return "disabled: only for sessions it has"
    return ""


def _beaten(how: How) -> str:
    """Why a member that can have new work was not chosen."""
    if how is How.BY_METHOD:
        return "another is nearer or has less, or it is its turn"
    return "the session leads elsewhere"
