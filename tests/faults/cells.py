"""The fault matrix: what a request comes to when a container does something wrong.

Data and the few rules that compute an outcome from the fault and the request. Nothing in here was
copied from what the daemon does. `catalogue.FAULTS` has the faults, test_cells.py runs every cell,
and the documentation is printed from the same values. Knows no pytest.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum
from typing import Any, Final, Literal

from tests.faults.container import FLUSH, Script, headers, send

#: What one body packet holds: so much is kept for a second attempt.
PACKET: Final = 8192 - 6
#: So much of a body that nobody wants is read, to keep the client's connection.
MOST_DISCARDED: Final = 1024 * 1024
#: What a client that is slow has not sent yet when its answer is there.
HELD_BACK: Final = 5000

# --- requests -------------------------------------------------------------------------------------

#: RFC 9110 §9.2.2, RFC 4918: twice is the same as once.
IDEMPOTENT: Final = frozenset(("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PROPFIND"))

Framing = Literal["none", "length", "chunked"]


@dataclass(frozen=True, slots=True)
class Request:
    """One kind of request.

    Attributes:
        size: bytes of its body.
        framing: how the client says where the body ends.
        minor: of HTTP/1.x.
    """

    method: str
    size: int = 0
    framing: Framing = "none"
    minor: int = 1

    @property
    def body(self) -> str:
        """The body in words; empty without one."""
        if self.minor == 0:
            return "HTTP/1.0"
        if not self.size:
            return ""
        size = {9: "9 bytes", 20_000: "20 kB", 4_000_000: "4 MB"}[self.size]
        return f"{size} chunked" if self.framing == "chunked" else size

    def __str__(self) -> str:
        return f"{self.method} {self.body}".rstrip()


_BODIES: Final[tuple[tuple[int, Framing], ...]] = (
    (9, "length"),
    (20_000, "length"),
    (9, "chunked"),
    (20_000, "chunked"),
)
_BODILESS: Final = tuple(
    Request(method)
    for method in ("GET", "HEAD", "OPTIONS", "DELETE", "PROPFIND", "POST", "PUT", "PATCH")
)
_WITH_BODY: Final = (
    *(Request(method, *body) for method in ("POST", "PUT", "PATCH") for body in _BODIES),
    Request("PROPFIND", 9, "length"),
    Request("DELETE", 9, "chunked"),
)

#: The requests a fault is tried with. `few`: where method and body hardly matter. `three`: the
#: same, where each takes its time.
SELECTIONS: Final[Mapping[str, tuple[Request, ...]]] = {
    "every": (*_BODILESS, Request("GET", minor=0), *_WITH_BODY),
    "few": (
        Request("GET"),
        Request("HEAD"),
        Request("GET", minor=0),
        Request("PUT", 9, "length"),
        Request("POST", 20_000, "length"),
        Request("POST", 9, "chunked"),
    ),
    "three": (Request("GET"), Request("HEAD"), Request("POST", 20_000, "length")),
    "bodiless": _BODILESS,
    "20 kB": tuple(r for r in _WITH_BODY if r.size == 20_000),
    "4 MB": (Request("POST", 4_000_000, "length"), Request("PUT", 4_000_000, "chunked")),
}

# --- faults ---------------------------------------------------------------------------------------


class Section(StrEnum):
    """Headings of the documentation."""

    REACH = "No connection"
    GREET = "In place of a CPONG"
    LEAVE = "It goes away, or says nothing more"
    WRONG = "It says what it must not say"
    LATER = "It says something wrong inside an answer"
    BODIES = "Bodies that are not as announced"
    WILLING = "It answers, and something is unusual"


class Harm(IntEnum):
    """How far the exchange had come when it struck."""

    NONE = 0  #: it does not matter to the client
    UNSENT = 1  #: nothing of the request had left
    SENT = 2  #: the request had left, nothing of an answer had come
    HELD = 3  #: the head of the answer had come, and was not passed on yet
    BEGUN = 4  #: the client had the head of the answer


class Took(IntEnum):
    """How much of the request the container had read."""

    NOTHING = 0
    HEAD = 1
    PACKET = 2  #: besides what comes with the head, one packet of the body
    ALL = 3


#: What a fault begins its answer with, without a length and with one that is never reached.
begin: Final = send(headers(200), FLUSH)
begin_announced: Final = send(headers(200, (b"Content-Length", b"1000")), FLUSH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that a container does wrong, and what there is to know about it.

    Attributes:
        section: where it stands in the documentation.
        name: what the container does, in words.
        steps: done for a request, or in place of a CPONG if `at_cping`.
        scene: what is around, where it is not a container that follows a script.
        reason: the word in the log; None when nothing is logged.
        after: the directive whose time passes first; empty: it shows at once.
        is_constant: it happens to each attempt, not to the first one alone.
        status: of the container's own answer.
        is_complete: the client had all of the answer.
        is_of_body: of the answer's body, which a HEAD has not.
        keeps_endpoint: the next request goes over the same connection to the container.
        is_partial: the client has not sent the end of its body when the answer comes.
        closes_client: the answer is whole, and ends the client's connection.
        requests: a key of `SELECTIONS`.
        worker: directives of the worker, by their name in the configuration's model.
    """

    section: Section
    name: str
    steps: Script = ()
    at_cping: bool = False
    scene: str = ""
    harm: Harm = Harm.NONE
    took: Took = Took.ALL
    reason: str | None = None
    after: str = ""
    is_constant: bool = False
    status: int = 200
    is_complete: bool = False
    is_of_body: bool = False
    keeps_endpoint: bool = True
    is_partial: bool = False
    closes_client: bool = False
    requests: str = "every"
    worker: Mapping[str, Any] = field(default_factory=dict)

    def script(self, *, announced: bool) -> Script:
        """The steps, with the head of the answer as it is wanted."""
        return [begin_announced if step is begin and announced else step for step in self.steps]


# --- outcomes -------------------------------------------------------------------------------------


class Got(Enum):
    """What the client sees."""

    WHOLE = "the whole answer"
    PAGE = "an error page"
    BROKEN = "a broken answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a request comes to.

    Attributes:
        status: the client's; of a broken answer the container's.
        reason: in the log, once; None: nothing is logged.
        executions: how often a container read the head of the request.
        attempts: how often it was tried.
        lives: the client can go on with its connection.
        reuses: the next request needs no new connection to the container; None: there is none.
        waits: directive whose time passes, and how often it does.
    """

    got: Got
    status: int
    reason: str | None
    executions: int
    attempts: int
    lives: bool
    reuses: bool | None
    waits: tuple[str, int]


#: Nobody was reached, or whoever was reached had gone without an answer.
_LOST: Final = frozenset(
    ("connect_refused", "cping_timeout", "eof_before_headers", "reset_before_headers")
)
#: The container is not to blame for an answer, because it never got the request; or it asked so.
_UNAVAILABLE: Final = frozenset(
    (
        "connect_refused",
        "connect_timeout",
        "resolve_failed",
        "cping_timeout",
        "pool_exhausted",
        "queue_timeout",
        "busy_limit",
        "fail_on_status",
    )
)


def page_status(reason: str) -> int:
    """Too slow, not to be had, or no good."""
    if reason == "reply_timeout":
        return 504
    return 503 if reason in _UNAVAILABLE else 502


def may_go_again(fault: Fault, request: Request) -> bool:
    """Whether the request is tried a second time."""
    if fault.reason not in _LOST or fault.harm > Harm.SENT:
        return False
    if fault.harm is Harm.UNSENT:
        return True
    return request.method in IDEMPOTENT and body_that_left(fault, request) <= PACKET


def body_that_left(fault: Fault, request: Request) -> int:
    """Bytes of the body the container had been sent; a known length brings the first unasked."""
    unasked = PACKET if request.framing == "length" else 0
    asked = {Took.PACKET: PACKET, Took.ALL: request.size}.get(fault.took, 0)
    return min(unasked + asked, request.size)


def keeps_client(fault: Fault, request: Request) -> bool:
    """Whether a whole answer leaves the client its connection."""
    if request.minor == 0 or fault.closes_client:
        return False
    rest = HELD_BACK if fault.is_partial else request.size
    if not fault.is_partial and request.size <= MOST_DISCARDED:
        return True
    return request.framing == "length" and rest <= MOST_DISCARDED


def expected(fault: Fault, request: Request) -> Outcome:
    """What has to become of a request."""
    is_head = request.method == "HEAD"
    executed = int(fault.took > Took.NOTHING)
    waits = (fault.after, 1 if fault.after else 0)
    if fault.harm is Harm.NONE or (is_head and fault.is_of_body):
        is_unharmed = is_head and fault.is_of_body
        return Outcome(
            got=Got.WHOLE,
            status=fault.status,
            reason=None if is_unharmed else fault.reason,
            executions=1,
            attempts=1,
            lives=keeps_client(fault, request) or (is_unharmed and request.minor > 0),
            reuses=is_unharmed or fault.keeps_endpoint,
            waits=waits,
        )
    again = may_go_again(fault, request)
    if again and not fault.is_constant:
        return Outcome(
            got=Got.WHOLE,
            status=200,
            reason=None,
            executions=executed + 1,
            attempts=2,
            lives=request.minor > 0,
            reuses=True,
            waits=waits,
        )
    assert fault.reason is not None
    # A body of the wrong length leaves the packets in step.
    reuses = None if fault.scene else fault.is_of_body
    if fault.harm < Harm.BEGUN:
        return Outcome(
            got=Got.PAGE,
            status=page_status(fault.reason),
            reason=fault.reason,
            executions=executed * (1 + again),
            attempts=1 + again,
            lives=keeps_client(fault, request),
            reuses=reuses,
            waits=(fault.after, (1 + again) if fault.after else 0),
        )
    is_whole = is_head or fault.is_complete
    return Outcome(
        got=Got.WHOLE if is_whole else Got.BROKEN,
        status=fault.status,
        reason=fault.reason,
        executions=executed,
        attempts=1,
        # The client has all it was told of: its connection is none of the container's business.
        lives=is_whole and keeps_client(fault, request),
        reuses=reuses,
        waits=waits,
    )


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault, one request, and whether the answer announces its length."""

    fault: Fault
    request: Request
    announced: bool = False

    def __str__(self) -> str:
        return f"{self.fault.name}-{self.request}{'-announced' * self.announced}"


def cells(fault: Fault) -> Iterator[Cell]:
    """All cells of a fault; twice as many where its answer may or may not announce a length."""
    for request in SELECTIONS[fault.requests]:
        yield Cell(fault, request)
        if begin in fault.steps:
            yield Cell(fault, request, announced=True)
