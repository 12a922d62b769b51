"""What the operator set about a balancer, and what a rule may set besides.

Frozen values under the names of workers.properties, with units. Decisions must not be added.

Source: Tomcat Connectors documentation "workers.properties" and mod_jk `jk_util.c`,
`jk_lb_worker.c` for the defaults that count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import lcm
from typing import Final

from .member import Activation

__all__ = ["OWN_ACTIVATION", "Extension", "Method", "Settings", "activations", "multipliers"]

#: In the activations of a rule: the member's own.
OWN_ACTIVATION: Final = 255

# A multiplier times the bytes of a maintenance interval has to fit into 62 bits.
_MAX_MULTIPLIER: Final = 1 << 24


class Method(StrEnum):
    """What is compared to elect a member. The first five are those of mod_jk."""

    REQUEST = "Request"
    TRAFFIC = "Traffic"
    BUSYNESS = "Busyness"
    SESSIONS = "Sessions"
    NEXT = "Next"
    P2C = "P2C"
    LATENCY = "Latency"

    @property
    def number(self) -> int:
        """As mod_jk and the compiled election count them."""
        return _METHODS.index(self)

    @property
    def accumulates(self) -> bool:
        """Whether a member's value is a sum over the past; otherwise it is what goes on now."""
        return self in (Method.REQUEST, Method.TRAFFIC, Method.SESSIONS, Method.NEXT)


_METHODS: Final = tuple(Method)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator set about a balancer.

    Attributes:
        method: how members are compared.
        sticky_session: whether a session goes to the member that made it.
        sticky_session_force: whether it may go to no other.
        session_cookie: name of the cookie with the session id.
        session_path: name of the path parameter with the session id, semicolon included.
        set_session_cookie: whether the balancer tells the client the route itself.
        session_cookie_path: path of that cookie.
        retries: rounds of one request.
        lb_retries: most members tried in one round.
        retry_interval_ms: pause between two rounds.
        recover_time_s: since its last error, until a failed member is tried again.
        slow_start_s: over which the share of a member that came back grows to all of it; 0: it has
            it at once.
        error_escalation_time_s: how long errors are tolerated while other attempts are on their
            way; 0: not at all; None: half of recover_time_s.
        max_reply_timeouts: reply timeouts, halved at each maintenance, that are tolerated.
        maintain_s: between two maintenances; 0: none, ever.
        is_pessimistic: whether processes that share a store elect one after the other, so that none
            elects by numbers another is about to change. Honoured by who elects for many processes.

    Raises:
        ValueError: a number too small for what it counts.
    """

    method: Method = Method.REQUEST
    sticky_session: bool = True
    sticky_session_force: bool = False
    session_cookie: str = "JSESSIONID"
    session_path: str = ";jsessionid"
    set_session_cookie: bool = False
    session_cookie_path: str = "/"
    retries: int = 2
    lb_retries: int = 2
    retry_interval_ms: int = 100
    recover_time_s: float = 60.0
    slow_start_s: float = 0.0
    error_escalation_time_s: float | None = None
    max_reply_timeouts: int = 0
    maintain_s: float = 60.0
    is_pessimistic: bool = False

    def __post_init__(self) -> None:
        least = {"retries": 1, "lb_retries": 1, "retry_interval_ms": 0, "recover_time_s": 0}
        least |= {"slow_start_s": 0}
        least |= {"error_escalation_time_s": 0, "max_reply_timeouts": 0, "maintain_s": 0}
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None and not value >= minimum:
                raise ValueError(f"{name} is at least {minimum}, not {value}")

    @property
    def escalation_s(self) -> float:
        """error_escalation_time_s with its default filled in."""
        seconds = self.error_escalation_time_s
        return self.recover_time_s / 2 if seconds is None else seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """What a rule of the URI map sets besides; None leaves the balancer's own.

    Attributes:
        stateless: requests make no session: take turns, count nothing.
        sticky_ignore: requests do not go by their session.
        set_session_cookie, session_cookie, session_path, session_cookie_path: as in `Settings`.
        activations: one byte for each member, its activation or OWN_ACTIVATION; see
            `activations`.
    """

    stateless: bool = False
    sticky_ignore: bool = False
    set_session_cookie: bool = False
    session_cookie: str | None = None
    session_path: str | None = None
    session_cookie_path: str | None = None
    activations: bytes | None = None


def multipliers(factors: Sequence[int]) -> list[int]:
    """What one unit of work weighs for each member: more for a smaller lbfactor.

    Source:
        mod_jk `update_mult`: the least common multiple of all factors divided by each. Differs:
        where that multiple is enormous, which overflows there, it is a rounded fraction.
    """
    common = lcm(*factors)
    if common <= _MAX_MULTIPLIER:
        return [common // factor for factor in factors]
    return [max(1, round(_MAX_MULTIPLIER * min(factors) / factor)) for factor in factors]


def activations(names: Sequence[str], overrides: Mapping[str, Activation]) -> bytes:
    """What a rule wants of members, for `Extension`.

    Args:
        names: of all members, in their order.
        overrides: name of a member -> what applies to it in requests of the rule.

    Raises:
        ValueError: an override of somebody who is no member.
    """
    if strangers := set(overrides) - set(names):
        raise ValueError(f"{min(strangers)!r} is none of the members {', '.join(names)}")
    return bytes(overrides.get(name, OWN_ACTIVATION) for name in names)
