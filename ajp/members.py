"""What a user says of a balancer and its members, and what he is shown of them.

Values only; names are those of workers.properties, with their units.
"""

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, TypedDict

from . import lb
from .dial import address_text
from .request import UNIX_PREFIX, parse_address

__all__ = ["BalancerOptions", "Member", "MemberStatus", "members_of", "settings_of"]


class BalancerOptions(TypedDict, total=False):
    """What may be said of a balancer besides its members; names are those of workers.properties.

    Attributes:
        method: how members are compared: ``Request``, ``Traffic``, ``Busyness``, ``Sessions``,
            ``Next``, ``P2C`` or ``Latency``; ``Request`` unless it is given.
        sticky_session: whether a session goes to the member that made it; it does.
        sticky_session_force: whether it may go to no other; it may.
        session_cookie: name of the cookie with the session id; ``JSESSIONID``.
        session_path: name of the path parameter with it, semicolon included; ``;jsessionid``.
        set_session_cookie: whether responses get a cookie that tells the route; no.
        session_cookie_path: path of that cookie; ``/``.
        retries: rounds of one request; 2.
        lb_retries: most members tried in one round; 2.
        retry_interval_ms: pause between two rounds; 100.
        recover_time_s: since its last error, until a failed member is tried again; 60.
        slow_start_s: over which the share of a member that came back grows to all of it; 0.
        error_escalation_time_s: how long errors are tolerated while other requests are on their
            way; half of recover_time_s.
        max_reply_timeouts: reply timeouts, halved at each maintenance, that are tolerated; 0.
        maintain_s: between two maintenances; 60. It is done with the first request after that.
    """

    method: str
    sticky_session: bool
    sticky_session_force: bool
    session_cookie: str
    session_path: str
    set_session_cookie: bool
    session_cookie_path: str
    retries: int
    lb_retries: int
    retry_interval_ms: int
    recover_time_s: float
    slow_start_s: float
    error_escalation_time_s: float | None
    max_reply_timeouts: int
    maintain_s: float


@dataclass(frozen=True, slots=True)
class Member:
    """A container as a member of a balancer.

    Attributes:
        address: ``ajp://host:port``, ``host:port`` or ``unix:/path``.
        name: what logs, methods of `Balancer` and the table call it; host and port if not given.
        route: the jvmRoute of its container; the name if not given.
        lbfactor: its share of the work beside those of the others.
        distance: members with a smaller one come first, always.
        domain: containers that share sessions; the route up to its first dot when None.
        redirect: route of the member that takes over first when this one cannot.
        activation: to begin with.
        secret: shared with the container; the client's when None.

    Raises:
        ValueError: no address; no name where there is no port; what no cookie could carry.
    """

    address: str
    _: KW_ONLY
    name: str = ""
    route: str = ""
    lbfactor: int = 1
    distance: int = 0
    domain: str | None = None
    redirect: str = ""
    activation: lb.Activation = lb.Activation.ACTIVE
    secret: str | bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        host, _ = parse_address(self.address)
        if not self.name:
            if host.startswith(UNIX_PREFIX):
                raise ValueError(f"a member at {self.address} needs a name")
            object.__setattr__(self, "name", self.place)
        # Whatever else is wrong with it is found here.
        self.policy()

    @property
    def place(self) -> str:
        """Host and port, or the path of a socket behind ``unix:``."""
        return address_text(*parse_address(self.address))

    def policy(self) -> lb.Member:
        """What the election knows of it."""
        return lb.Member(
            name=self.name,
            lbfactor=self.lbfactor,
            distance=self.distance,
            route=self.route,
            domain=self.domain,
            redirect=self.redirect,
            activation=self.activation,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStatus:
    """A member at one moment; with a table, as all processes together see it.

    Attributes:
        name: of the member.
        address: of its container.
        route: its jvmRoute.
        activation: what an operator wants of it.
        state: what its answers showed.
        in_flight: attempts on their way.
        elected: attempts it got since it was reset.
        errors: those of them that failed.
    """

    name: str
    address: str
    route: str
    activation: lb.Activation
    state: lb.State
    in_flight: int
    elected: int
    errors: int


def members_of(members: Iterable[str | Member] | Mapping[str, str]) -> tuple[Member, ...]:
    """Members out of what a user gives for them."""
    if isinstance(members, Mapping):
        return tuple(Member(address, name=name) for name, address in members.items())
    if isinstance(members, str):
        raise ValueError(f"members: a list of addresses, not the one address {members!r}")
    return tuple(Member(each) if isinstance(each, str) else each for each in members)


def settings_of(options: BalancerOptions) -> lb.Settings:
    """Settings of the election out of options.

    Raises:
        ValueError: a method that is none, or a number too small for what it counts.
    """
    settings: dict[str, Any] = {**options, "method": _method(options.get("method"))}
    return lb.Settings(**settings)


def _method(name: str | None) -> lb.Method:
    """A method by its name, in any case."""
    if name is None:
        return lb.Method.REQUEST
    for method in lb.Method:
        if method.lower() in (name.lower(), f"{name.lower()}s"):
            return method
    raise ValueError(f"method {name!r}: expected one of {', '.join(lb.Method)}")
