"""A balancer for clients: members with addresses, a lock for threads, and what all processes share.

Who gets a request is decided in `ajp.lb`, when it may move on in `retry`; connections belong to the
clients. Here is what both need around them: the clock, the log, the table. It has no thread and no
task: what time brings is done when a request asks.
"""

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from random import Random
from types import TracebackType
from typing import Final, Self, Unpack

from . import lb
from ._column import Column
from ._slot import Slot
from .constants import AttributeCode
from .errors import NoUsableMember, Reason
from .lb._tablestore import TableStore
from .members import BalancerOptions, Member, MemberStatus, members_of, settings_of
from .messages import ForwardRequest
from .table import Table

__all__ = ["Balancer", "Placement"]

logger = logging.getLogger("ajp.lb")

_USABLE: Final = frozenset((lb.State.IDLE, lb.State.OK, lb.State.BUSY))


class Balancer:
    """Several containers that serve the same; a client takes it in place of an address.

    May be shared by threads, and by several clients. Forked processes each have their own count, or
    share it by a table.

    Args:
        members: addresses or `Member`, in the order that matters between equals; or a mapping from
            name to address. A name is the jvmRoute of its container.
        name: what logs and the table call it.
        table: shared by processes: they elect by the same numbers, and what one learns of a member,
            or sets about it, all know. None: memory of this process.
        recovery_options: as in workers.properties; None: only what is idempotent is sent again
            once it may have been executed.
        fail_on_status: statuses that count as failures of the member, so that another one gets the
            request; those with a minus do so without a mark against it.
        **options: see `BalancerOptions`.

    Raises:
        ValueError: no members, two of one name or route, or an option that cannot be.
        TableFull: no room in the table.
    """

    def __init__(
        self,
        members: Iterable[str | Member] | Mapping[str, str],
        *,
        name: str = "balancer",
        table: Table | None = None,
        recovery_options: int | None = None,
        fail_on_status: Iterable[int] = (),
        **options: Unpack[BalancerOptions],
    ) -> None:
        self.name = name
        self.containers = members_of(members)
        self.settings = settings_of(options)
        self.recovery_options = recovery_options
        self.fail_on_status = frozenset(fail_on_status)
        self._table = table
        self._lock = threading.Lock()
        self._is_closed = False
        self._life = _Life(self, table)
        _everybody.add(self)

    def __repr__(self) -> str:
        """Every member with its activation and its state."""
        states = ", ".join(
            f"{each.name} {each.activation.letters} {each.state.label}" for each in self.members
        )
        return f"<Balancer {self.name} {self.settings.method} {states}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Elect no more, and give this process's place in the table back.

        What is under way ends as it would, and is counted no more.
        """
        with self._lock:
            self._is_closed = True
            self._life.end()

    @property
    def members(self) -> tuple[MemberStatus, ...]:
        """How the members are at this moment, in their order."""
        with self._lock:
            policy = self._live().policy
            return tuple(
                MemberStatus(
                    name=container.name,
                    address=container.place,
                    route=member.route,
                    activation=lb.Activation(record.activation),
                    state=lb.State(record.state),
                    in_flight=record.in_flight,
                    elected=record.elected,
                    errors=record.errors,
                )
                for container, member, record in zip(
                    self.containers, policy.members, policy.records, strict=True
                )
            )

    # --- what an operator does --------------------------------------------------------------------

    def activate(self, member: str) -> None:
        """Let a member have everything again.

        Raises:
            ValueError: no member has this name.
            StatusTableError: the table cannot be changed.
        """
        self._set(member, lb.Activation.ACTIVE)

    def drain(self, member: str) -> None:
        """Let a member keep its sessions and give it nothing new; raises as `activate` does."""
        self._set(member, lb.Activation.DISABLED)

    def stop(self, member: str) -> None:
        """Give a member nothing any more; raises as `activate` does."""
        self._set(member, lb.Activation.STOPPED)

    def recover(self, member: str) -> bool:
        """Have a failed member tried again with the next request; whether it was one."""
        with self._lock:
            life = self._live()
            recovered = life.policy.recover(self.number(member))
            life.log_changes(self.name)
            return recovered

    def reset(self, member: str) -> None:
        """Forget everything about a member but what is going on and what is wanted of it."""
        with self._lock:
            life = self._live()
            number = self.number(member)
            life.policy.reset(number)
            if life.slots:
                life.slots[number].reset()
            life.log_changes(self.name)

    def _set(self, member: str, activation: lb.Activation) -> None:
        with self._lock:
            life, number = self._live(), self.number(member)
            if life.slots:
                # So that a process which starts later does not go back to what it was told.
                life.slots[number].configure(activation=int(activation))
            life.policy.set_activation(number, activation)

    # --- what clients need ------------------------------------------------------------------------

    def number(self, member: str) -> int:
        """Place of a member among all.

        Raises:
            ValueError: no member has this name.
        """
        names = [each.name for each in self.containers]
        if member not in names:
            raise ValueError(f"no member {member!r}; members: {', '.join(names)}")
        return names.index(member)

    def place(self, request: ForwardRequest) -> "Placement":
        """Begin to find a member for a request; nobody is elected yet."""
        with self._lock:
            life = self._live()
            return Placement(self, self._lock, life, self._session(request))

    def _session(self, request: ForwardRequest) -> lb.Session | None:
        """The session of a request, or the member that its route attribute asks for."""
        route = request.attribute(AttributeCode.ROUTE)
        if isinstance(route, bytes):
            return lb.Session.of_route(route)
        return lb.find_session(
            request.uri,
            [value for name, value in request.headers if name.lower() == b"cookie"],
            session_cookie=self.settings.session_cookie.encode(),
            session_path=self.settings.session_path.encode(),
        )

    def _live(self) -> "_Life":
        """What this process counts in; for who holds the lock."""
        if self._is_closed:
            raise NoUsableMember(f"balancer {self.name} is closed")
        if not self._life.is_open:
            # We were forked.
            self._life = _Life(self, self._table)
        return self._life

    def forked(self) -> None:
        """This is another process now: begin anew, with a lock that nobody else can hold."""
        self._lock = threading.Lock()
        self._life.is_open = False


#: Balancers of this process, for the one it may fork.
_everybody: Final[weakref.WeakSet[Balancer]] = weakref.WeakSet()


def _after_fork() -> None:
    for balancer in _everybody:
        balancer.forked()


os.register_at_fork(after_in_child=_after_fork)


class _Life:
    """A balancer within one process: the policy, and where it counts.

    Args:
        balancer: whose it is.
        table: shared by processes; None for memory.
    """

    def __init__(self, balancer: Balancer, table: Table | None) -> None:
        members = [each.policy() for each in balancer.containers]
        self.is_open = True
        self.column: Column | None = None
        self.slots: tuple[Slot, ...] = ()
        # Refuses what cannot be, before a place in the table is taken for it.
        self.policy = lb.Balancer(members, balancer.settings, random=Random())
        if table is not None:
            with table.lock():
                shared = table.balancer(balancer.name)
                self.slots = tuple(
                    table.member(balancer.name, each.name, each.place)
                    for each in balancer.containers
                )
                for slot, member in zip(self.slots, members, strict=True):
                    slot.settle(member.activation)
                # Nobody else may be there to clear up behind those that were killed.
                table.clear_dead()
                self.column = table.claim_process()
            # Whoever forgets to close gives the place back when it ends, or is collected.
            self._give_back = weakref.finalize(
                self, _give_back, table, self.column.number, os.getpid()
            )
            store = TableStore(shared, self.slots, self.column)
            self.policy = lb.Balancer(members, balancer.settings, store=store, random=Random())

    def end(self) -> None:
        """Count no more."""
        self.is_open = False
        if self.column is not None:
            self._give_back()

    def maintain(self, name: str, now: float) -> None:
        """Do what time brings."""
        self.policy.maintain(now)
        self.log_changes(name)

    def log_changes(self, name: str) -> None:
        """Log members that failed or came back since this was last called."""
        for change in self.policy.take_changes():
            level = logging.DEBUG
            if change.after is lb.State.ERROR:
                level = logging.WARNING
            elif change.before not in _USABLE and change.after in _USABLE:
                level = logging.INFO
            logger.log(
                level,
                "balancer=%s member=%s %s -> %s event=%s",
                name,
                self.policy.members[change.member].name,
                change.before.label,
                change.after.label,
                change.event.name.lower(),
            )


def _give_back(table: Table, column: int, pid: int) -> None:
    """Clear the column of a process that is done, unless it is that of who forked us."""
    if os.getpid() == pid:
        table.clear_column(column)


class Placement:
    """The elections of one request, and the member that has it.

    Args:
        balancer: elects.
        lock: of the balancer.
        life: of the balancer, as it was when the request began.
        session: of the request; None when it has none.

    Attributes:
        choice: the member that has the request; None while it has none.
    """

    def __init__(
        self, balancer: Balancer, lock: threading.Lock, life: _Life, session: lb.Session | None
    ) -> None:
        self.balancer = balancer
        self.choice: lb.Choice | None = None
        self._lock = lock
        self._life = life
        self._session = session
        self._rounds = lb.Rounds(life.policy, session)
        self._begun_at = 0.0

    def next(self) -> lb.Choice | lb.Pause | lb.NoMember:
        """Elect the first member, or the next one after the last has failed."""
        now = time.monotonic()
        with self._lock:
            self._check_open()
            self._life.maintain(self.balancer.name, now)
            found = self._rounds.next(now)
            if isinstance(found, lb.Choice):
                self.choice, self._begun_at = found, now
                self._life.policy.begin(found)
                self._note_session(found, now)
            self._life.log_changes(self.balancer.name)
        return found

    def _note_session(self, choice: lb.Choice, now: float) -> None:
        """Note in the table where a session lives, or may begin: who drains wants to know."""
        column = self._life.column
        if column is None:
            return
        slot = self._life.slots[choice.member]
        if self._session is not None and choice.is_sticky:
            column.session_seen(slot, self._session.ids[0], now)
        elif self._life.policy.settings.sticky_session and (
            choice.makes_session or self._session is not None
        ):
            column.session_may_begin(slot, now)

    def end(
        self,
        outcome: lb.Outcome,
        *,
        reason: Reason | None = None,
        status: int = 0,
        bytes_in: int = 0,
        bytes_out: int = 0,
        first_byte_s: float = -1.0,
    ) -> None:
        """Tell how the attempt ended; nothing when it was told already.

        Args:
            outcome: how it ended.
            reason: why it failed; None when it did not.
            status: of the response; 0 when there was none.
            bytes_in: came from the container.
            bytes_out: went to it.
            first_byte_s: seconds until the response began; negative when none did.
        """
        choice, self.choice = self.choice, None
        now = time.monotonic()
        with self._lock:
            life = self._life
            if choice is None or not life.is_open:
                return
            life.policy.end(
                choice,
                outcome,
                now,
                bytes_in=bytes_in,
                bytes_out=bytes_out,
                first_byte_s=first_byte_s,
            )
            life.log_changes(self.balancer.name)
            if life.column is not None and outcome is not lb.Outcome.UNTRIED:
                life.column.finished(
                    life.slots[choice.member],
                    duration_us=int((now - self._begun_at) * 1e6),
                    first_byte_us=-1 if first_byte_s < 0 else int(first_byte_s * 1e6),
                    bytes_in=bytes_in,
                    bytes_out=bytes_out,
                    status=status,
                    reason=reason,
                    now=now,
                )

    def _check_open(self) -> None:
        if not self._life.is_open:
            raise NoUsableMember(f"balancer {self.balancer.name} is closed")
