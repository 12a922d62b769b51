"""What an election says: who it is, that it is nobody, or what there is to say about each member.

Values only.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from ajp.errors import Reason

from .member import Activation

__all__ = ["Choice", "How", "NoMember", "Verdict"]


class How(IntEnum):
    """What made the election. The numbers are those of the compiled one."""

    BY_METHOD = 0  #: it had the least
    BY_ROUTE = 1  #: the session lives there
    BY_REDIRECT = 2  #: the session's member cannot, and names it
    BY_DOMAIN = 3  #: it shares sessions with the session's member
    BY_STANDBY = 4  #: another member names it, and nobody else is left
    ALONE = 5  #: the balancer has no other


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An elected member.

    Attributes:
        member: its number.
        name: its name.
        route: what the container is told its route is: the domain if that is what led here, since
            the session has the route of another container then.
        activation: what applies to this request; its letters are the value of JK_LB_ACTIVATION.
        how: what led here.
        makes_session: the request brought no session and may make one.
        set_cookie: value of a Set-Cookie for the response, or None. A client that came over TLS
            gets `;Secure` behind it.
    """

    member: int
    name: str
    route: bytes
    activation: Activation
    how: How
    makes_session: bool
    set_cookie: bytes | None

    @property
    def is_sticky(self) -> bool:
        """Whether the request is where its session is."""
        return self.how in (How.BY_ROUTE, How.ALONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMember:
    """Nobody was elected.

    Attributes:
        reason: NO_MEMBER; or STICKY_FORCED: there may be others, but not for this session.
        why: a word about each member.
    """

    reason: Reason
    why: str


class Verdict(NamedTuple):
    """What an election says about one member.

    Attributes:
        member: its name.
        is_chosen: whether it is the one.
        text: why, or why not.
    """

    member: str
    is_chosen: bool
    text: str
