"""What there is to say about one request: plain values, ready to be shown.

Bytes of the request have become text, escaped where they are no UTF-8. No secret is here. Nothing
is decided, and nothing formatted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "Answer",
    "Explanation",
    "Forwarded",
    "HostFound",
    "MemberSeen",
    "Rule",
    "SessionFound",
    "WorkerFound",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFound:
    """Whose rules count.

    Attributes:
        name: that was asked for, without port; empty for none.
        section: that has it; None: the rules for all names that no host has.
        place: of the section.
        others: sections that do not have it, and the place of each.
        is_forwarded: a trusted proxy says the name, not Host.
    """

    name: str
    section: str | None
    place: str | None
    others: Mapping[str, str] = field(default_factory=dict)
    is_forwarded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule, and what became of it.

    Attributes:
        text: as written.
        place: file and line.
        standing: see `urimap.Standing`; or `elsewhere`: matches, and belongs to another section.
        why: in words.
    """

    text: str
    place: str
    standing: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFound:
    """What the rule leads to.

    Attributes:
        name: of the worker.
        type: `ajp13`, `lb` or `status`.
        place: where it is written.
        settings: those that decide about a request, as they count for this one.
        by_rule: what the rule says otherwise.
        on_failure: what becomes of the request when the container fails with it.
    """

    name: str
    type: str
    place: str
    settings: Mapping[str, str]
    by_rule: Mapping[str, str]
    on_failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFound:
    """Which session the request says it belongs to.

    Attributes:
        where: cookie or path parameter that was looked for and found.
        ids: session ids.
        routes: of these.
        counts: it leads the election.
        why: what the balancer makes of it.
    """

    where: str
    ids: tuple[str, ...]
    routes: tuple[str, ...]
    counts: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSeen:
    """One member of the balancer, as the election saw it.

    Attributes:
        load: what the method compares; the least wins.
        is_chosen: it is the one.
        has_turn: it would be the one if it were its turn, which differs from process to process.
        why: in words.
    """

    name: str
    address: str
    route: str
    domain: str
    redirect: str
    distance: int
    lbfactor: int
    activation: str
    state: str
    load: int
    in_flight: int
    is_chosen: bool
    has_turn: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """The FORWARD_REQUEST, without the secret.

    Attributes:
        worker: that gets it.
        address: of its container.
        method, uri, query, remote_addr, server_name, server_port, is_ssl: as they are sent.
        headers: in order.
        attributes: request attributes, in order.
        has_secret: one goes along.
        size: bytes of the packet.
        max_packet_size: bytes that it may have.
    """

    worker: str
    address: str
    method: str
    uri: str
    query: str | None
    remote_addr: str
    server_name: str
    server_port: int
    is_ssl: bool
    headers: tuple[tuple[str, str], ...]
    attributes: tuple[tuple[str, str], ...]
    has_secret: bool
    size: int
    max_packet_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the client gets when no container gets the request."""

    status: int
    reason: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All of it; what the request did not come to is None or empty.

    Attributes:
        request: method and URL.
        is_live: members are as the running daemon sees them.
        host: whose rules count.
        path: that rules are compared with; None where the request has none.
        rules: in the order they are tried; those of other sections at the end.
        worker: what the rule leads to.
        session: that was found.
        members: of the balancer.
        member: that would be elected.
        forwarded: what the container gets.
        answer: what the client gets instead.
        remarks: what else there is to know.
    """

    request: str
    is_live: bool
    host: HostFound
    path: str | None = None
    rules: tuple[Rule, ...] = ()
    worker: WorkerFound | None = None
    session: SessionFound | None = None
    members: tuple[MemberSeen, ...] = ()
    member: str | None = None
    forwarded: Forwarded | None = None
    answer: Answer | None = None
    remarks: tuple[str, ...] = ()
