"""Which member of a balancer gets a request, and what its answers say about the member.

Elects, counts and judges; plain values in, plain values out. No I/O, no clock, no log, no chance of
its own. An attempt is `elect`, `begin`, the attempt itself, `end`; `maintain` belongs to time. Who
repeats attempts is `rounds.py`; whether a request may be sent again is not known here at all.

Source: Tomcat Connectors documentation "workers.properties", "loadbalancers", and mod_jk
`jk_lb_worker.c`.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from ajp.errors import Reason

from ._elect import Election
from ._store import MemoryStore, Record, Store
from .choice import Choice, How, NoMember, Verdict
from .member import Activation, Event, Member, Outcome, Probing, State
from .session import Session
from .settings import Extension, Method, Settings, multipliers
from .upkeep import Change, apply, come_back_value, decay, force, forgive, revive
from .verdicts import Question, verdicts

__all__ = ["Balancer", "Chance"]

#: Changes of state that wait to be taken; the oldest are lost beyond.
_MOST_CHANGES: Final = 1024

# Bits of a choice's key above those Election.find returns; as `key_of` of the election.
_MAKES_SESSION: Final = 1 << 24
_SETS_COOKIE: Final = 1 << 25

_NO_EXTENSION: Final = Extension()
_OK: Final = Outcome.OK
_TAKEN_BACK: Final = frozenset((Outcome.BUSY, Outcome.UNTRIED))
#: States of a member that has failed and did not come back yet, and those of one that is fine.
_FAILED: Final = frozenset((State.RECOVER, State.FORCE, State.ERROR, State.PROBE))
_FINE: Final = frozenset((State.IDLE, State.OK))


class Chance(Protocol):
    """Where random numbers come from; a `random.Random` is one."""

    def getrandbits(self, k: int, /) -> int:
        """An integer of so many random bits."""


class Balancer:
    """Members, and what is counted about them.

    Args:
        members: in the order that matters between equals.
        settings: what the operator set about the balancer.
        store: where is counted; memory of its own when None. A given one keeps what it knows,
            activations too.
        random: for the method P2C.

    Raises:
        ValueError: no members or too many, two of one name or route, or P2C without chance.
    """

    def __init__(
        self,
        members: Sequence[Member],
        settings: Settings | None = None,
        *,
        store: Store | None = None,
        random: Chance | None = None,
    ) -> None:
        self._random = random
        self._changes: deque[Change] = deque(maxlen=_MOST_CHANGES)
        self.store = MemoryStore(len(members)) if store is None else store
        self._settle(tuple(members), settings or Settings())
        self.records = tuple(Record(self.store, number) for number in range(len(members)))
        if store is None:
            for record, member in zip(self.records, self.members, strict=True):
                record.activation = member.activation

    def __repr__(self) -> str:
        """Every member with its activation and its state."""
        return f"<Balancer {self.settings.method} {self._states()}>"

    def _settle(self, members: tuple[Member, ...], settings: Settings) -> None:
        """Make everything that follows from members and settings; all of it or nothing."""
        for what in ("name", "route"):
            seen = [getattr(member, what) for member in members]
            if twice := {word for word in seen if seen.count(word) > 1}:
                raise ValueError(f"two members have the {what} {min(twice)!r}")
        if settings.method is Method.P2C and self._random is None:
            raise ValueError("the method P2C needs a source of random numbers")
        weights = multipliers([member.lbfactor for member in members])
        entries = [
            (
                member.route.encode(),
                (member.domain or "").encode(),
                member.redirect.encode(),
                member.distance,
                member.lbfactor,
                weight,
            )
            for member, weight in zip(members, weights, strict=True)
        ]
        self.election = Election(self.store, entries, settings.method.number)
        self.election.is_sticky = settings.sticky_session
        self.election.is_forced = settings.sticky_session_force
        self.election.sets_cookie = settings.set_session_cookie
        self.election.locks = settings.is_pessimistic
        self.election.slow_start = settings.slow_start_s
        self.members = members
        self.settings = settings
        self._routes = {entry[0]: number for number, entry in enumerate(entries)}
        self._draws = self._random if settings.method is Method.P2C else None

    def elect(
        self,
        session: Session | None,
        now: float,
        *,
        tried: int = 0,
        stateless: bool = False,
        sticky_ignore: bool = False,
        extension: Extension | None = None,
        may_force: bool = True,
    ) -> Choice | NoMember:
        """Elect a member for a request.

        Args:
            session: of the request.
            now: monotonic seconds, more than 0.
            tried: members that this request shall not get, one bit each.
            stateless: the request makes no session: members take turns, whatever their load.
            sticky_ignore: the session does not count.
            extension: what the request's rule sets besides.
            may_force: whether failed members are tried at once when nobody else is left. mod_jk
                does that once for a request.

        Returns:
            Who it is; `begin` is to follow at once, or the next request gets the same.

        Source:
            mod_jk `get_most_suitable_worker`. Differs: all ids of a session count after a failover
            as well, not the first alone; every member's `redirect` is looked at when nobody is
            left, not the first one's alone; the container is told the route of this attempt's
            member, not of the first attempt's. A request refused by sticky_session_force has its
            own member tried again, and not all failed ones: anybody could switch those on with a
            session id that he made up.
        """
        rule = extension or _NO_EXTENSION
        stateless = stateless or rule.stateless
        if sticky_ignore or rule.sticky_ignore or not self.settings.sticky_session:
            session = None
        routes = () if session is None else session.routes
        is_forced = session is not None and self.settings.sticky_session_force
        found = self.election.find(
            routes,
            tried,
            now,
            stateless=stateless,
            force=is_forced,
            chance=self.draw(),
            activations=rule.activations,
        )
        if found < 0:
            forced = self._force(routes if is_forced else None) if may_force else 0
            # Somebody new first; else again who has failed this request and is forced now.
            for out in (tried, tried & ~forced) if forced else ():
                choice = self.elect(
                    session, now, tried=out, stateless=stateless, extension=rule, may_force=False
                )
                if isinstance(choice, Choice):
                    return choice
            reason = Reason.STICKY_FORCED if is_forced else Reason.NO_MEMBER
            return NoMember(reason=reason, why=self._states(tried))
        sets_cookie = self.settings.set_session_cookie or rule.set_session_cookie
        chosen = self.choice_of(
            found, makes_session=session is None and not stateless, sets_cookie=sets_cookie
        )
        if extension is None or chosen.set_cookie is None:
            return chosen
        return replace(chosen, set_cookie=self._cookie(chosen.member, rule))

    def draw(self) -> int:
        """64 random bits for the method P2C; 0 for the others, which need none."""
        return 0 if self._draws is None else self._draws.getrandbits(64)

    def choice_of(self, found: int, *, makes_session: bool, sets_cookie: bool) -> Choice:
        """What the compiled election found, as a value; there are few, so each is made once.

        Args:
            found: by `Election.find`.
            makes_session: see `Choice`.
            sets_cookie: whether set_session_cookie applies.
        """
        key = (
            found | (_MAKES_SESSION if makes_session else 0) | (_SETS_COOKIE if sets_cookie else 0)
        )
        return self.election.choices.get(key) or self._choose(key)

    def _choose(self, key: int) -> Choice:
        number, how = key & 0xFF, How(key >> 8 & 0xFF)
        member = self.members[number]
        choice = Choice(
            member=number,
            name=member.name,
            route=((how is How.BY_DOMAIN and member.domain) or member.route).encode(),
            activation=Activation(key >> 16 & 0xFF),
            how=how,
            makes_session=bool(key & _MAKES_SESSION),
            set_cookie=None,
        )
        if key & _SETS_COOKIE and not choice.is_sticky:
            choice = replace(choice, set_cookie=self._cookie(number, _NO_EXTENSION))
        self.election.choices[key] = choice
        return choice

    def _cookie(self, number: int, extension: Extension) -> bytes:
        """The cookie of set_session_cookie.

        Source:
            mod_jk `service` of `jk_lb_worker.c`. Differs: a rule's own cookie name and path count.
        """
        name = extension.session_cookie or self.settings.session_cookie
        path = extension.session_cookie_path or self.settings.session_cookie_path
        return f"{name}=.{self.members[number].route};PATH={path};HttpOnly".encode()

    def _force(self, routes: tuple[bytes, ...] | None) -> int:
        """Have failed members tried at once: those of the routes, or all; they as bits."""
        records = self.records
        if routes is not None:
            records = tuple(
                records[self._routes[route]] for route in routes if route in self._routes
            )
        changes = force(records)
        self._changes += changes
        return sum(1 << change.member for change in changes)

    def begin(self, choice: Choice) -> None:
        """Count an attempt that begins; exactly one `end` has to follow.

        Source:
            mod_jk counts when it has an endpoint. Differs: here it is before waiting for one, so
            that requests which come meanwhile see it; `end` with BUSY or UNTRIED takes it back.
        """
        if not self.election.begin(choice.member, choice.makes_session):
            self.note_begun(choice)

    def note_begun(self, choice: Choice) -> None:
        """Do the rest of `begin` where the election's own says that the member's state changes."""
        self._apply(choice.member, Event.BEGUN)

    def end(
        self,
        choice: Choice,
        outcome: Outcome,
        now: float,
        *,
        bytes_in: int = 0,
        bytes_out: int = 0,
        first_byte_s: float = -1.0,
        tries: int = 1,
    ) -> None:
        """Count an attempt that ended, and judge the member.

        Args:
            choice: given to `begin`.
            outcome: how it ended.
            now: monotonic seconds.
            bytes_in: came from the container, AJP framing included.
            bytes_out: went to the container, AJP framing included.
            first_byte_s: seconds until the response began; negative when none did.
            tries: how often the worker itself tried; each of them was a reply timeout, if one was.
        """
        is_calm = self.election.end(
            choice.member,
            choice.makes_session,
            now,
            take_back=outcome in _TAKEN_BACK,
            traffic=bytes_in + bytes_out,
            first_byte_s=first_byte_s,
        )
        if not is_calm or outcome is not _OK:
            self.judge(choice, outcome, now, tries=tries)

    def judge(self, choice: Choice, outcome: Outcome, now: float, *, tries: int = 1) -> None:
        """Do the rest of `end`, which is nothing for a success of a member that is fine."""
        record = self.records[choice.member]
        change = self._apply(choice.member, self._event(record, outcome, now, tries))
        if change is not None and change.before in _FAILED and change.after in _FINE:
            record.returned = now

    def _event(self, record: Record, outcome: Outcome, now: float, tries: int) -> Event:
        """What an attempt's end does to the member, and note the error if it was one.

        Source:
            mod_jk `service` of `jk_lb_worker.c`.
        """
        match outcome:
            case Outcome.OK | Outcome.CLIENT_ERROR | Outcome.SOFT_STATUS:
                record.first_error = record.last_error = 0.0
                return Event.SERVED
            case Outcome.BUSY:
                return Event.NO_ENDPOINT
            case Outcome.UNTRIED:
                return Event.GIVEN_UP
            case Outcome.PROTOCOL_ERROR:
                if record.state in (State.FORCE, State.PROBE):
                    record.note_error(now)
                    self._expect(record, is_gone=False)
                return Event.GARBLED
            case Outcome.HARD_STATUS:
                return self._fail(record, now)
            case Outcome.REPLY_TIMEOUT:
                timeouts = record.note_reply_timeouts(tries)
                if timeouts > self.settings.max_reply_timeouts:
                    return self._fail(record, now)
                return Event.TOLERATED
            case Outcome.CONNECT_FAILED | Outcome.LOST:
                record.note_error(now)
                is_alone = record.in_flight == 0
                is_old = now - record.first_error >= self.settings.escalation_s
                if not (is_alone or is_old):
                    return Event.TOLERATED
                self._expect(record, is_gone=True)
                return Event.FAILED

    def _fail(self, record: Record, now: float) -> Event:
        """Note an error that begins the count of errors anew."""
        record.first_error = 0.0
        record.note_error(now)
        self._expect(record, is_gone=False)
        return Event.FAILED

    def _expect(self, record: Record, *, is_gone: bool) -> None:
        """Note who is to find out that the member works again; before its state says it failed.

        Args:
            record: its.
            is_gone: its connections failed: a CPING knows better when that is over.
        """
        probing = self.members[record.member].probing
        if probing is Probing.REQUEST or (probing is Probing.CPING and is_gone):
            record.await_probe()
        else:
            record.returned = 0.0

    def _apply(self, member: int, event: Event) -> Change | None:
        """Let something happen to a member; None when that changed nothing."""
        change = apply(self.records[member], event)
        if change is not None:
            self._changes.append(change)
        return change

    def note_probe(self, member: int, now: float, *, is_good: bool) -> bool:
        """Take over what a probe found out; whether that changed the member's state.

        A good probe brings a member back only where a probe can tell: see `Probing`. A bad one
        makes it fail at once, and each further one is a later error.

        Args:
            member: its number.
            now: monotonic seconds.
            is_good: the container answers as it should; otherwise it is not there, or frozen.
        """
        record = self.records[member]
        if not is_good:
            return self._found_dead(record, now)
        if not record.is_awaited or self._apply(member, Event.FOUND_ALIVE) is None:
            return False
        record.first_error = record.last_error = 0.0
        record.returned = now
        forgive(record, self.settings.method, come_back_value(self.records))
        return True

    def _found_dead(self, record: Record, now: float) -> bool:
        is_news = record.state != State.ERROR
        if is_news:
            record.note_error(now)
        else:
            record.last_error = now
        self._expect(record, is_gone=True)
        return self._apply(record.member, Event.FOUND_DEAD) is not None

    def maintain(self, now: float) -> bool:
        """Do what time brings, if it is time and no other process does it; whether it was done."""
        maintain_s, last = self.settings.maintain_s, self.store.maintained
        if maintain_s <= 0 or (last > 0 and now - last < maintain_s):
            return False
        # A new store counts from here.
        if not self.store.claim(last, now) or last <= 0:
            return False
        periods = int((now - last) // maintain_s)
        come_back = decay(self.records, self.settings.method, periods)
        for change in revive(self.records, self.settings, now, come_back):
            self._changes.append(change)
            if change.event is Event.ESCALATED:
                self._expect(self.records[change.member], is_gone=True)
        return True

    @property
    def next_maintenance(self) -> float | None:
        """Monotonic seconds when `maintain` has something to do; None when it never has."""
        maintain_s, last = self.settings.maintain_s, self.store.maintained
        if maintain_s <= 0:
            return None
        return last + maintain_s if last > 0 else 0.0

    def take_changes(self) -> list[Change]:
        """Changes of state since this was last asked, oldest first."""
        changes = list(self._changes)
        self._changes.clear()
        return changes

    def load(self, member: int, now: float) -> int:
        """What the method compares; the least is elected."""
        return self.election.score(member, now)

    def set_activation(self, member: int, activation: Activation) -> None:
        """Set what an operator wants of a member.

        Source:
            mod_jk `jk_status.c`: sums of all members begin anew then, or a member that comes back
            would get everything until it had caught up.
        """
        record = self.records[member]
        if record.activation != activation:
            record.activation = activation
            self._level()

    def change(
        self, members: Sequence[Member] | None = None, settings: Settings | None = None
    ) -> None:
        """Take other settings, of the same members.

        Raises:
            ValueError: other members, or what `Balancer` does not take either; nothing changed.

        Source:
            mod_jk `jk_status.c`. Differs: with another method all sums begin anew, since bytes
            compare badly with requests.
        """
        before = self.settings
        members = self.members if members is None else tuple(members)
        if [member.name for member in members] != [member.name for member in self.members]:
            raise ValueError("the members of a balancer stay the same in name and order")
        self._settle(members, settings or before)
        if self.settings.method is not before.method:
            self._level()

    def _level(self) -> None:
        for record in self.records:
            record.value = 0

    def reset(self, member: int) -> None:
        """Forget everything about a member but what is going on.

        Source:
            mod_jk `jk_status.c` `reset_worker`.
        """
        record = self.records[member]
        self._apply(member, Event.RESET)
        record.value = record.elected = record.elected_seen = 0
        record.sessions = record.errors = record.reply_timeouts = 0
        record.first_error = record.last_error = record.latency = record.returned = 0.0

    def recover(self, member: int) -> bool:
        """Have a failed member tried again now; whether it was one."""
        is_failed = self._apply(member, Event.RECOVERED) is not None
        if is_failed:
            come_back = come_back_value(self.records)
            forgive(self.records[member], self.settings.method, come_back)
        return is_failed

    def explain(
        self,
        session: Session | None,
        now: float,
        *,
        tried: int = 0,
        stateless: bool = False,
        sticky_ignore: bool = False,
        extension: Extension | None = None,
        choice: Choice | None = None,
    ) -> list[Verdict]:
        """Say of every member why an election would take it or pass it over; changes nothing.

        Arguments are those of `elect`. With P2C it is one election of many, with numbers that
        `elect` will not draw again; or that of `choice`, which `elect` made of the same members as
        they are now.
        """
        rule = extension or _NO_EXTENSION
        if sticky_ignore or rule.sticky_ignore or not self.settings.sticky_session:
            session = None
        question = Question(
            method=self.settings.method,
            routes=() if session is None else session.routes,
            tried=tried,
            takes_turns=stateless or rule.stateless,
            activations=rule.activations,
        )
        if choice is not None:
            found = choice.member | choice.how << 8
        else:
            found = self.election.find(
                question.routes,
                tried,
                now,
                stateless=question.takes_turns,
                force=session is not None and self.settings.sticky_session_force,
                peek=True,
                activations=rule.activations,
            )
        loads = [self.load(number, now) for number in range(len(self.members))]
        return verdicts(self.members, self.records, loads, question, found)

    def _states(self, tried: int = 0) -> str:
        return ", ".join(
            f"{member.name} {Activation(record.activation).letters} {State(record.state).label}"
            + (" tried" if tried >> number & 1 else "")
            for number, (member, record) in enumerate(zip(self.members, self.records, strict=True))
        )
