"""A member of a balancer: what the operator set, and the states it can be seen in.

The two are never one: `Activation` is what an operator wants of a member, `State` what its answers
showed. The whole state machine is data, `TRANSITIONS`; when which event happens is decided in
`balancer.py` and `upkeep.py`. Counters and clocks must not be added.

Source: Tomcat Connectors documentation "workers.properties" (lbfactor, distance, route, domain,
redirect, activation) and mod_jk `jk_lb_worker.c`; the numbers of states and activations are those
of mod_jk.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum, auto
from typing import Final

__all__ = [
    "TRANSITIONS",
    "Activation",
    "Event",
    "Member",
    "Outcome",
    "Probing",
    "State",
    "next_state",
]

# Routes travel in cookies and paths: what ends a value there can never be part of one.
_ROUTE: Final = re.compile(r"[!-~]*")
_NO_ROUTE: Final = frozenset(';,"/?\\')

#: Largest distance the election has room for.
_FARTHEST: Final = 0x7FFFFFFF


class Activation(IntEnum):
    """What an operator wants of a member."""

    ACTIVE = 0  #: everything
    DISABLED = 1  #: the sessions it has, and nothing new
    STOPPED = 2  #: nothing

    @property
    def letters(self) -> str:
        """As the container is told in JK_LB_ACTIVATION."""
        return ("ACT", "DIS", "STP")[self]


class State(IntEnum):
    """What was seen of a member. Up to FORCE a member can be elected."""

    IDLE = 0  #: fine, and without work since the last maintenance
    OK = 1  #: fine
    RECOVER = 2  #: failed long enough ago to be tried again
    FORCE = 3  #: failed, and tried again because nobody else is left
    BUSY = 4  #: had no endpoint to give
    ERROR = 5  #: failed
    PROBE = 6  #: failed, and one request is trying it

    @property
    def label(self) -> str:
        """As status pages and logs spell it."""
        return ("OK/IDLE", "OK", "ERR/REC", "ERR/FRC", "OK/BUSY", "ERR", "ERR/PRB")[self]


class Outcome(Enum):
    """How an attempt on a member ended."""

    OK = auto()  #: the response was passed on, whatever its status
    CLIENT_ERROR = auto()  #: the client went away or sent what cannot be forwarded
    SOFT_STATUS = auto()  #: fail_on_status with a minus: another member, this one is fine
    HARD_STATUS = auto()  #: fail_on_status: another member, this one has failed
    CONNECT_FAILED = auto()  #: no connection, or no CPONG
    LOST = auto()  #: the connection broke, or the container was found frozen
    REPLY_TIMEOUT = auto()  #: no packet within reply_timeout
    PROTOCOL_ERROR = auto()  #: what came was no AJP13
    BUSY = auto()  #: no endpoint within connection_acquire_timeout, or busy_limit
    UNTRIED = auto()  #: over before anything of the request was sent: the member is as it was

    @property
    def may_move_on(self) -> bool:
        """Whether another member could do better; if the request may be sent again, that is."""
        return self not in (Outcome.OK, Outcome.CLIENT_ERROR, Outcome.UNTRIED)


class Probing(StrEnum):
    """Who finds out that a failed member works again."""

    OFF = "off"  #: a user's request, after recover_time
    CPING = "cping"  #: a CPING, where it had failed for its connections; else as OFF
    REQUEST = "request"  #: a page that is asked for, whatever it had failed for


class Event(Enum):
    """What happens to the state of a member."""

    BEGUN = auto()  #: an attempt begins; with a BUSY member when nothing else is on its way to it
    SERVED = auto()  #: an attempt ended that the member is not to blame for
    TOLERATED = auto()  #: an attempt failed, others may have more luck
    GARBLED = auto()  #: an attempt ended with what was no AJP13
    FAILED = auto()  #: an attempt failed, and that is enough
    NO_ENDPOINT = auto()  #: an attempt found no endpoint
    GIVEN_UP = auto()  #: an attempt ended before the member was told anything
    WAITED = auto()  #: maintenance: recover_time is over
    ESCALATED = auto()  #: maintenance: errors for longer than error_escalation_time
    UNUSED = auto()  #: maintenance: not elected since the last one
    FORCED = auto()  #: nobody else is left
    FOUND_DEAD = auto()  #: a probe found its container not there, or frozen
    FOUND_ALIVE = auto()  #: a probe found it well that had failed
    RECOVERED = auto()  #: an operator wants it tried again
    RESET = auto()  #: an operator wants everything forgotten


_S = State
_E = Event

# An attempt may have begun in any state and end in any other, for attempts overlap: each row has
# all its ends. Whatever ends tells that the member has an endpoint and is no longer being tried.
_ENDS: Final = {
    _E.SERVED: _S.OK,
    _E.TOLERATED: _S.OK,
    _E.GARBLED: _S.OK,
    _E.FAILED: _S.ERROR,
    _E.NO_ENDPOINT: _S.BUSY,
    _E.RESET: _S.IDLE,
}

#: Next states. Absence means: this does not happen in that state.
TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = {
    _S.IDLE: {
        **_ENDS,
        _E.BEGUN: _S.IDLE,
        _E.ESCALATED: _S.ERROR,
        _E.UNUSED: _S.IDLE,
        _E.FOUND_DEAD: _S.ERROR,
    },
    _S.OK: {
        **_ENDS,
        _E.BEGUN: _S.OK,
        _E.ESCALATED: _S.ERROR,
        _E.UNUSED: _S.IDLE,
        _E.FOUND_DEAD: _S.ERROR,
    },
    _S.RECOVER: {
        **_ENDS,
        _E.BEGUN: _S.PROBE,
        _E.UNUSED: _S.RECOVER,
        _E.FOUND_DEAD: _S.ERROR,
        _E.FOUND_ALIVE: _S.IDLE,
    },
    _S.FORCE: {
        **_ENDS,
        _E.BEGUN: _S.FORCE,
        _E.GARBLED: _S.ERROR,
        _E.ESCALATED: _S.ERROR,
        _E.UNUSED: _S.FORCE,
        _E.FOUND_DEAD: _S.ERROR,
        _E.FOUND_ALIVE: _S.IDLE,
    },
    _S.BUSY: {
        **_ENDS,
        _E.BEGUN: _S.OK,
        _E.ESCALATED: _S.ERROR,
        _E.UNUSED: _S.BUSY,
        _E.FOUND_DEAD: _S.ERROR,
    },
    _S.ERROR: {
        **_ENDS,
        _E.BEGUN: _S.ERROR,
        _E.TOLERATED: _S.ERROR,
        _E.GARBLED: _S.ERROR,
        _E.NO_ENDPOINT: _S.ERROR,
        _E.WAITED: _S.RECOVER,
        _E.FORCED: _S.FORCE,
        _E.RECOVERED: _S.RECOVER,
        _E.FOUND_ALIVE: _S.IDLE,
    },
    _S.PROBE: {
        **_ENDS,
        _E.BEGUN: _S.PROBE,
        _E.GARBLED: _S.ERROR,
        _E.GIVEN_UP: _S.RECOVER,
        _E.ESCALATED: _S.ERROR,
        _E.UNUSED: _S.PROBE,
        _E.FOUND_DEAD: _S.ERROR,
    },
}


def next_state(state: State, event: Event) -> State | None:
    """The state that follows; None when the event does not happen in this one.

    Source:
        mod_jk `jk_lb_worker.c` `service`, `recover_workers`, `force_recovery`. Differs: garbage
        from a member that is being tried again is a failed try; mod_jk calls the member fine. A
        member in ERROR that reached its busy_limit stays in ERROR; mod_jk makes it BUSY.
    """
    return TRANSITIONS[state].get(event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What the operator set about one member.

    Attributes:
        name: of its worker.
        lbfactor: its share of the work beside those of the others; less than 1 is 1.
        distance: members with a smaller one come first, always.
        route: the jvmRoute of its container; its name when nothing is given.
        domain: containers that share sessions; the route up to its first dot when None.
        redirect: route of the member that takes over first when this one cannot; or empty.
        activation: to begin with; from then on the balancer's store has it.
        probing: who finds out that it works again. Somebody has to call `Balancer.note_probe`
            then.

    Raises:
        ValueError: a route, domain or redirect no cookie could carry, or no name.
    """

    name: str
    lbfactor: int = 1
    distance: int = 0
    route: str = ""
    domain: str | None = None
    redirect: str = ""
    activation: Activation = Activation.ACTIVE
    probing: Probing = Probing.OFF

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a member needs a name")
        settle = object.__setattr__
        settle(self, "lbfactor", max(self.lbfactor, 1))
        settle(self, "distance", min(max(self.distance, 0), _FARTHEST))
        settle(self, "route", self.route or self.name)
        if self.domain is None:
            before, dot, _ = self.route.partition(".")
            settle(self, "domain", before if dot else "")
        for what in ("route", "domain", "redirect"):
            text = getattr(self, what)
            if not _ROUTE.fullmatch(text) or not _NO_ROUTE.isdisjoint(text):
                raise ValueError(f"member {self.name!r}: {what} {text!r} cannot be in a cookie")
