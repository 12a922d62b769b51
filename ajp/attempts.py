"""The attempts of one request: where each goes, and whether another one follows a failure.

One piece for both clients; each of them has only the connections and the waiting. The law itself is
in `retry`, elections are in `balancing`. I/O must not be added.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from . import lb
from .balancing import Placement
from .constants import AttributeCode
from .errors import (
    AJPError,
    BalancerError,
    EndpointError,
    NoUsableMember,
    PoolClosed,
    PoolTimeout,
    Progress,
    Reason,
    RemoteProtocolError,
    RouteNotFound,
)
from .messages import Attribute, ForwardRequest, Headers
from .retry import Step, next_step, outcome_of

__all__ = ["Attempts", "Ending", "reason_of"]

# Attempts on one container before it is left.
TRIES: Final = 2
# Seconds; any time to wait says that another member is to be asked instead.
_INTERVAL: Final = 0.1
# What recovery_options says about a container that stands alone: nothing is sent twice.
_NEVER_TWICE: Final = 1
# A pause of nothing would look like an election.
_LEAST_PAUSE: Final = 0.001


@dataclass(slots=True, kw_only=True)
class Ending:
    """How an attempt ended.

    Attributes:
        is_complete: the whole response came.
        reason: what the container is to blame for; None when it is complete, or when it is our
            side that ended it.
        progress: how far it had come.
        is_reused: it went over a connection that had worked before.
        is_replayable: all of the body that left is still there.
        bytes_in: came from the container.
        bytes_out: went to it.
        first_byte_s: seconds until the response began; negative when it did not.
    """

    is_complete: bool = False
    reason: Reason | None = None
    progress: Progress = Progress.NOTHING_SENT
    is_reused: bool = False
    is_replayable: bool = True
    bytes_in: int = 0
    bytes_out: int = 0
    first_byte_s: float = -1.0


def reason_of(error: BaseException) -> Reason | None:
    """The reason of a failure that is none of our own; else None."""
    if isinstance(error, EndpointError):
        return error.reason
    if isinstance(error, PoolTimeout):
        return Reason.QUEUE_TIMEOUT
    if isinstance(error, PoolClosed):
        return Reason.SHUTDOWN
    if isinstance(error, RemoteProtocolError):
        if error.code == "E_TOO_LARGE":
            return Reason.PACKET_TOO_LARGE_FROM_CONTAINER
        return Reason.PROTOCOL_ERROR
    return None


class Attempts:
    """The attempts of one request. An attempt is `next`, the attempt, and `failed` or `finish`.

    Args:
        request: as the caller wants it, without a secret.
        secrets: of each container; None for none.
        placement: of the request; None when there is only one container.
        deadline: monotonic seconds for everything; None for ever.

    Attributes:
        request: as the container of this attempt gets it.
        container: number of that container.
        member: its name; None when there is only one.
        deadline: as it was given.
    """

    def __init__(
        self,
        request: ForwardRequest,
        secrets: Sequence[bytes | None],
        placement: Placement | None,
        deadline: float | None,
    ) -> None:
        self.container = 0
        self.member: str | None = None
        self._asked = request
        self._secrets = secrets
        self._placement = placement
        self.deadline = deadline
        self._made = 0
        self._stale = 0
        self._status = 0
        self._failure: AJPError | None = None
        self._tried: list[str] = []
        self.request = _addressed(request, secrets[0], None) if placement is None else request

    def next(self) -> float:
        """Decide where the next attempt goes.

        Returns:
            0 when it is `container`; else seconds to wait, and then to ask again.

        Raises:
            AJPError: nobody is left; that of the last attempt, if there was one.
        """
        self._made += 1
        placement = self._placement
        if placement is None or placement.choice is not None:
            return 0.0
        found = placement.next()
        if isinstance(found, lb.Choice):
            self.container, self.member = found.member, found.name
            self.request = _addressed(self._asked, self._secrets[found.member], found)
            self._made, self._stale = 1, 0
            self._tried.append(found.name)
            return 0.0
        if isinstance(found, lb.Pause):
            seconds = max(found.milliseconds / 1000, _LEAST_PAUSE)
            if self.deadline is None or time.monotonic() + seconds < self.deadline:
                return seconds
            raise self._nobody(Reason.NO_MEMBER, "no time is left for another round")
        raise self._nobody(found.reason, found.why)

    def _nobody(self, reason: Reason, why: str) -> AJPError:
        """What a caller is told when no attempt is left."""
        if self._failure is not None:
            self._failure.add_note(f"tried {', '.join(self._tried)}; then: {why}")
            return self._failure
        error: BalancerError = NoUsableMember(why)
        return RouteNotFound(why) if reason is Reason.STICKY_FORCED else error

    def check_status(self, status: int) -> None:
        """Take note of a response's status.

        Raises:
            EndpointError: fail_on_status says that it is none to be passed on.
        """
        self._status = status
        placement = self._placement
        if placement is not None and not placement.balancer.fail_on_status.isdisjoint(
            (status, -status)
        ):
            raise EndpointError(
                f"{self.member} answered {status}, which fail_on_status names",
                reason=Reason.FAIL_ON_STATUS,
                progress=Progress.RESPONSE_STARTED,
            )

    def headers(self, headers: Headers) -> Headers:
        """Headers of a response, as the caller gets them: with the cookie of set_session_cookie."""
        choice = None if self._placement is None else self._placement.choice
        if choice is None or choice.set_cookie is None:
            return headers
        secure = b";Secure" if self.request.is_ssl else b""
        return (*headers, (b"Set-Cookie", choice.set_cookie + secure))

    def failed(self, error: BaseException, ending: Ending) -> bool:
        """Take note of an attempt that failed before its response; whether another one may follow.

        Args:
            error: what the caller gets when none does.
            ending: of the attempt.
        """
        if isinstance(error, EndpointError) and error.reason is Reason.FAIL_ON_STATUS:
            ending.is_complete, ending.reason = False, error.reason
            ending.progress = error.progress
        reason, placement = ending.reason, self._placement
        if reason in (None, Reason.SHUTDOWN) or not isinstance(error, AJPError):
            self.finish(ending)
            return False
        assert reason is not None
        # A pooled connection that turned out to be dead was no attempt at anything.
        is_dead = ending.is_reused and reason is not Reason.CPING_TIMEOUT
        if is_dead and ending.progress == Progress.NOTHING_SENT:
            self._stale += 1
        step, _ = next_step(
            reason,
            ending.progress,
            method=self.request.method,
            is_replayable=ending.is_replayable,
            recovery_options=(
                _NEVER_TWICE if placement is None else placement.balancer.recovery_options
            ),
            attempts=self._made - self._stale,
            # One container gets a second attempt only in place of one on an old connection.
            limit=TRIES if placement is not None or ending.is_reused else 1,
            reused=ending.is_reused,
            interval=0.0 if placement is None else _INTERVAL,
            has_others=placement is not None,
        )
        if step is Step.AGAIN:
            return True
        self._failure = error
        self.finish(ending)
        return step is Step.MOVE_ON

    def finish(self, ending: Ending) -> None:
        """Tell the balancer how the attempt ended, once."""
        if self._placement is None:
            return
        if ending.is_complete:
            outcome = lb.Outcome.OK
        elif ending.reason is not None:
            is_soft = -self._status in self._placement.balancer.fail_on_status
            outcome = outcome_of(ending.reason, is_soft=is_soft)
        elif ending.progress is Progress.NOTHING_SENT:
            outcome = lb.Outcome.UNTRIED
        else:
            outcome = lb.Outcome.CLIENT_ERROR
        self._placement.end(
            outcome,
            reason=ending.reason,
            status=self._status,
            bytes_in=ending.bytes_in,
            bytes_out=ending.bytes_out,
            first_byte_s=ending.first_byte_s,
        )
        self._status = 0

    def abandon(self) -> None:
        """Nothing more comes of it; an attempt that was not begun is none."""
        self.finish(Ending())


def _addressed(
    request: ForwardRequest, secret: bytes | None, choice: lb.Choice | None
) -> ForwardRequest:
    """A request for one container: its secret first, so that it can stop early; its route last."""
    if secret is None and choice is None:
        return request
    attributes = list(request.attributes)
    if secret is not None:
        attributes.insert(0, Attribute(AttributeCode.SECRET, secret))
    if choice is not None:
        attributes = [each for each in attributes if each.code != AttributeCode.ROUTE]
        attributes += [
            Attribute(AttributeCode.ROUTE, choice.route),
            Attribute(
                AttributeCode.REQ_ATTRIBUTE, choice.activation.letters.encode(), b"JK_LB_ACTIVATION"
            ),
        ]
    return replace(request, attributes=tuple(attributes))
