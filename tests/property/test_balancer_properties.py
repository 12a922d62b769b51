"""Elections against a model that is slow and plain, and promises that hold whatever happens.

The model follows mod_jk's description line by line, with lists and comparisons; it shares no code,
no table and no bit with what it checks.
"""

from collections import Counter
from dataclasses import dataclass
from math import gcd
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ajp.lb import (
    Activation,
    Balancer,
    Choice,
    How,
    Member,
    Method,
    NoMember,
    Outcome,
    Pause,
    Probing,
    Rounds,
    Session,
    Settings,
    State,
    Store,
)
from tests.unit.table_stage import table_store

#: Their next choice depends on chance or on measured times: it is checked, not foretold.
NOT_FORETOLD = (Method.P2C, Method.LATENCY)
ROUTES = ["a", "d.b", "d.c", "e.x"]
WAYS_TO_DISABLED = (How.BY_ROUTE, How.BY_REDIRECT, How.BY_STANDBY)

members = st.lists(
    st.builds(
        dict,
        lbfactor=st.integers(0, 4),
        distance=st.integers(0, 1),
        redirect=st.sampled_from(["", "", *ROUTES, "gone"]),
        domain=st.sampled_from([None, None, "d", "f"]),
        activation=st.sampled_from([*Activation, Activation.ACTIVE, Activation.ACTIVE]),
        probing=st.sampled_from(Probing),
    ),
    min_size=1,
    max_size=4,
).map(lambda given: [Member(name=f"n{i}", route=ROUTES[i], **g) for i, g in enumerate(given)])
ids = st.sampled_from(["s", "s.", *(f"s.{r}" for r in ROUTES), "s.d.gone", "s.f", "s.gone"])
sessions = st.none() | st.lists(ids, min_size=1, max_size=2, unique=True)


@dataclass
class Known:
    """What the model knows of one member."""

    member: Member
    weight: int
    activation: str
    state: str = "IDLE"
    value: int = 0
    in_flight: int = 0
    elected: int = 0
    seen: int = 0
    errors: int = 0
    timeouts: int = 0
    first: float = 0.0
    last: float = 0.0
    is_awaited: bool = False

    def takes_new(self) -> bool:
        return self.activation == "ACTIVE" and self.takes_any()

    def takes_known(self) -> bool:
        return self.activation != "STOPPED" and self.takes_any()

    def takes_any(self) -> bool:
        if self.state == "BUSY":
            return self.in_flight == 0
        return self.state in ("IDLE", "OK", "RECOVER", "FORCE")


class Model:
    """A balancer, slowly."""

    def __init__(self, members: list[Member], settings: Settings) -> None:
        common = 1
        for member in members:
            common = common * member.lbfactor // gcd(common, member.lbfactor)
        self.settings = settings
        self.all = [Known(m, common // m.lbfactor, m.activation.name) for m in members]
        self.offset = 0
        self.maintained = 0.0

    def load(self, known: Known) -> int:
        if self.settings.method in (Method.BUSYNESS, Method.P2C):
            return known.in_flight * known.weight
        return known.value

    def usable(self, tried: set[int]) -> tuple[list[Known], list[Known]]:
        left = [known for i, known in enumerate(self.all) if i not in tried]
        return [k for k in left if k.takes_new()], [k for k in left if k.takes_known()]

    def best(self, candidates: list[Known]) -> Known | None:
        return min(
            candidates,
            key=lambda k: (k.member.distance, self.load(k), self.all.index(k)),
            default=None,
        )

    def by_route(self, route: str, tried: set[int], force: bool) -> tuple[Known, str] | None:
        new, known_ones = self.usable(tried)
        home = next((k for k in self.all if k.member.route == route), None)
        if home is None:
            domain = route.split(".")[0]
            found = self.best([k for k in new if domain and k.member.domain == domain])
            return (found, "BY_DOMAIN") if found else None
        if home in known_ones:
            return home, "BY_ROUTE"
        if force:
            return None
        if home.member.redirect:
            stand_in = [k for k in known_ones if k.member.route == home.member.redirect]
            return (stand_in[0], "BY_REDIRECT") if stand_in else None
        domain = home.member.domain or ""
        found = self.best([k for k in new if domain and k.member.domain == domain])
        return (found, "BY_DOMAIN") if found else None

    def elect(
        self, ids: list[str] | None, tried: set[int], stateless: bool
    ) -> tuple[Known, str] | None:
        new, known_ones = self.usable(tried)
        if len(self.all) == 1 and self.all[0].activation != "DISABLED":
            return (self.all[0], "ALONE") if known_ones else None
        if len(self.all) == 1 and not known_ones:
            return None
        force = ids is not None and self.settings.sticky_session_force
        for session_id in ids or []:
            route = session_id.split(".", 1)[1] if "." in session_id else ""
            found = self.by_route(route, tried, force) if route else None
            if found:
                return found
        if force:
            return None
        taken: Known | None = None
        start = self.offset
        for step in range(len(self.all)):
            index = (start + step) % len(self.all)
            candidate = self.all[index]
            if candidate not in new:
                continue
            if (
                taken is None
                or candidate.member.distance < taken.member.distance
                or (
                    not stateless
                    and candidate.member.distance == taken.member.distance
                    and self.load(candidate) < self.load(taken)
                )
            ):
                taken = candidate
                self.offset = (index + 1) % len(self.all)
        if taken is not None:
            return taken, "BY_METHOD"
        for member in self.all:
            found = (
                self.by_route(member.member.redirect, tried, False)
                if member.member.redirect
                else None
            )
            if found:
                return found[0], "BY_STANDBY"
        return None

    def force(self, ids: list[str] | None) -> set[int]:
        is_forced = ids is not None and self.settings.sticky_session_force
        routes = [i.split(".", 1)[1] for i in ids or [] if "." in i]
        forced = set()
        for index, known in enumerate(self.all):
            if known.state == "ERROR" and (not is_forced or known.member.route in routes):
                known.state = "FORCE"
                known.timeouts = 0
                forced.add(index)
        return forced

    def counts(self, makes_session: bool) -> bool:
        method = self.settings.method
        return method is Method.REQUEST or (
            makes_session and method in (Method.SESSIONS, Method.NEXT)
        )

    def begin(self, known: Known, makes_session: bool) -> None:
        known.in_flight += 1
        known.elected += 1
        if self.counts(makes_session):
            known.value += known.weight
        known.state = {"RECOVER": "PROBE", "BUSY": "OK"}.get(known.state, known.state)

    def end(
        self, known: Known, makes_session: bool, outcome: Outcome, now: float, traffic: int
    ) -> None:
        known.in_flight -= 1
        if outcome in (Outcome.BUSY, Outcome.UNTRIED):
            known.elected = max(known.elected - 1, 0)
            if self.counts(makes_session):
                known.value = max(known.value - known.weight, 0)
            if outcome is Outcome.UNTRIED:
                known.state = "RECOVER" if known.state == "PROBE" else known.state
            else:
                known.state = "ERROR" if known.state == "ERROR" else "BUSY"
            return
        if self.settings.method is Method.TRAFFIC:
            known.value += traffic * known.weight
        self.judge(known, outcome, now)

    def judge(self, known: Known, outcome: Outcome, now: float) -> None:
        was = known.state
        if known.state != "ERROR":
            known.state = "OK"
        if outcome in (Outcome.OK, Outcome.CLIENT_ERROR, Outcome.SOFT_STATUS):
            known.state, known.first, known.last = "OK", 0.0, 0.0
        elif outcome is Outcome.PROTOCOL_ERROR:
            if was in ("FORCE", "PROBE"):
                known.state = "ERROR"
                self.blame(known, now)
                self.expect(known, is_gone=False)
        elif outcome is Outcome.REPLY_TIMEOUT:
            known.timeouts += 1
            if known.timeouts > self.settings.max_reply_timeouts:
                known.first = 0.0
                known.state = "ERROR"
                self.blame(known, now)
                self.expect(known, is_gone=False)
        elif outcome is Outcome.HARD_STATUS:
            known.first = 0.0
            known.state = "ERROR"
            self.blame(known, now)
            self.expect(known, is_gone=False)
        else:
            self.blame(known, now)
            if known.in_flight == 0 or now - known.first >= self.settings.escalation_s:
                known.state = "ERROR"
                self.expect(known, is_gone=True)
        if was in ("RECOVER", "FORCE", "ERROR", "PROBE") and known.state == "OK":
            known.is_awaited = False

    def expect(self, known: Known, *, is_gone: bool) -> None:
        """Who finds out that it works again."""
        probing = known.member.probing
        known.is_awaited = probing is Probing.REQUEST or (probing is Probing.CPING and is_gone)

    def probe(self, known: Known, now: float, *, is_good: bool) -> None:
        if not is_good:
            if known.state == "ERROR":
                known.last = now
            else:
                self.blame(known, now)
            known.state = "ERROR"
            self.expect(known, is_gone=True)
        elif known.is_awaited and known.state in ("RECOVER", "FORCE", "ERROR"):
            known.state, known.is_awaited = "IDLE", False
            known.first, known.last, known.timeouts = 0.0, 0.0, 0
            if self.settings.method.accumulates:
                known.value = max(other.value for other in self.all)

    def blame(self, known: Known, now: float) -> None:
        known.errors += 1
        known.first = known.first or now
        known.last = now

    def maintain(self, now: float) -> None:
        if not self.maintained:
            self.maintained = now
            return
        halvings = int((now - self.maintained) // self.settings.maintain_s)
        if halvings < 1:
            return
        self.maintained = now
        method = self.settings.method
        adds = method in (Method.REQUEST, Method.TRAFFIC, Method.SESSIONS)
        for known in self.all:
            known.timeouts //= 2**halvings
            if adds:
                known.value //= 2**halvings
        most = max(known.value for known in self.all)
        if method is Method.NEXT:
            least = min(
                (k.value for k in self.all if k.takes_new() and k.state != "BUSY"), default=0
            )
            for known in self.all:
                known.value = max(known.value - least, 0)
        fine = 0
        for known in self.all:
            if known.state == "ERROR":
                if now - known.last > self.settings.recover_time_s:
                    known.state, known.timeouts = "RECOVER", 0
                    if adds or method is Method.NEXT:
                        known.value = most
                    fine += 1
            elif (
                known.state != "RECOVER"
                and known.first > 0
                and now - known.first >= self.settings.escalation_s
            ):
                known.state = "ERROR"
                self.expect(known, is_gone=True)
            else:
                if known.state == "OK" and known.elected == known.seen:
                    known.state = "IDLE"
                fine += 1
            known.seen = known.elected
        if not fine:
            for known in self.all:
                known.state, known.timeouts = "FORCE", 0

    def reset(self, known: Known) -> None:
        known.state = "IDLE"
        known.value = known.elected = known.seen = known.errors = known.timeouts = 0
        known.first = known.last = 0.0
        known.is_awaited = False

    def activate(self, known: Known, activation: str) -> None:
        if known.activation != activation:
            known.activation = activation
            for other in self.all:
                other.value = 0

    def recover(self, known: Known) -> None:
        if known.state == "ERROR":
            known.state, known.timeouts = "RECOVER", 0
            if self.settings.method.accumulates:
                known.value = max(other.value for other in self.all)


class BalancerAgainstModel(RuleBasedStateMachine):
    """Requests, their ends, time and an operator."""

    def store(self, members: list[Member]) -> Store | None:
        return None

    @initialize(
        members=members,
        method=st.sampled_from(Method),
        force=st.booleans(),
        timeouts=st.integers(0, 2),
        escalation=st.sampled_from([0.0, 10.0, None]),
    )
    def begin(
        self,
        members: list[Member],
        method: Method,
        force: bool,
        timeouts: int,
        escalation: float | None,
    ) -> None:
        options = Settings(
            method=method,
            sticky_session_force=force,
            max_reply_timeouts=timeouts,
            error_escalation_time_s=escalation,
        )
        self.now = 1.0
        self.lb = Balancer(members, options, store=self.store(members), random=Random(7))
        self.model = Model(members, options)
        self.out: list[Choice] = []

    @rule(
        names=sessions,
        stateless=st.booleans(),
        tried=st.sets(st.integers(0, 3), max_size=2),
        may_force=st.booleans(),
    )
    def request(
        self, names: list[str] | None, stateless: bool, tried: set[int], may_force: bool
    ) -> None:
        session = Session.of_ids(name.encode() for name in names) if names else None
        mask = sum(1 << i for i in tried)
        said = self.lb.explain(session, self.now, tried=mask, stateless=stateless)
        found = self.lb.elect(
            session, self.now, tried=mask, stateless=stateless, may_force=may_force
        )
        expected = self.model.elect(names, tried, stateless)
        was_foretold = expected is not None
        if expected is None and may_force:
            forced = self.model.force(names)
            expected = self.model.elect(names, tried, stateless)
            if expected is None:
                tried = tried - forced
                expected = self.model.elect(names, tried, stateless)
        if expected is None:
            assert isinstance(found, NoMember)
            assert not any(verdict.is_chosen for verdict in said)
            return
        assert isinstance(found, Choice)
        known = self.model.all[found.member]
        self.compare(found, expected, tried, stateless)
        if self.model.settings.method is not Method.P2C:
            chosen = [verdict.member for verdict in said if verdict.is_chosen]
            assert chosen == ([found.name] if was_foretold else [])
        assert found.activation.name == known.activation
        assert found.makes_session == (session is None and not stateless)
        self.lb.begin(found)
        self.model.begin(known, found.makes_session)
        self.out.append(found)

    def compare(
        self, found: Choice, expected: tuple[Known, str], tried: set[int], stateless: bool
    ) -> None:
        """The same member for the same reason; where chance decides, one of those it may take."""
        known = self.model.all[found.member]
        assert found.how.name == expected[1]
        assert found.member not in tried
        assert known.activation != "STOPPED"
        assert known.activation == "ACTIVE" or found.how in WAYS_TO_DISABLED
        # Within a domain the load counts for stateless requests as well.
        by_load = found.how in (How.BY_DOMAIN, How.BY_STANDBY) or (
            found.how is How.BY_METHOD and not stateless
        )
        if by_load and self.model.settings.method in NOT_FORETOLD:
            assert found.how is How.BY_STANDBY or known.takes_new()
            assert found.how is How.BY_STANDBY or (
                known.member.distance == expected[0].member.distance
            )
            self.model.offset = self.lb.store.offset
        else:
            assert known is expected[0]
            assert self.lb.store.offset == self.model.offset

    @precondition(lambda self: self.out)
    @rule(
        which=st.integers(0, 1000),
        outcome=st.sampled_from([*Outcome, Outcome.OK, Outcome.LOST]),
        traffic=st.integers(0, 5),
        first_byte=st.sampled_from([-1.0, 0.0, 0.01, 3.0]),
    )
    def end(self, which: int, outcome: Outcome, traffic: int, first_byte: float) -> None:
        choice = self.out.pop(which % len(self.out))
        self.lb.end(
            choice, outcome, self.now, bytes_in=traffic, bytes_out=traffic, first_byte_s=first_byte
        )
        known = self.model.all[choice.member]
        self.model.end(known, choice.makes_session, outcome, self.now, 2 * traffic)

    @rule(seconds=st.sampled_from([0.5, 5.0, 31.0, 60.0, 61.0, 1000.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.lb.maintain(self.now)
        self.model.maintain(self.now)

    @rule(which=st.integers(0, 3), activation=st.sampled_from(Activation))
    def activate(self, which: int, activation: Activation) -> None:
        which %= len(self.model.all)
        self.lb.set_activation(which, activation)
        self.model.activate(self.model.all[which], activation.name)

    @rule(which=st.integers(0, 3), is_good=st.booleans())
    def probe(self, which: int, is_good: bool) -> None:
        which %= len(self.model.all)
        known = self.model.all[which]
        before = known.state
        changed = self.lb.note_probe(which, self.now, is_good=is_good)
        self.model.probe(known, self.now, is_good=is_good)
        assert changed == (known.state != before)

    @rule(which=st.integers(0, 3), forget=st.booleans())
    def operate(self, which: int, forget: bool) -> None:
        which %= len(self.model.all)
        if forget:
            self.lb.reset(which)
            self.model.reset(self.model.all[which])
        else:
            self.lb.recover(which)
            self.model.recover(self.model.all[which])

    @invariant()
    def both_know_the_same(self) -> None:
        if not hasattr(self, "lb"):
            return
        for record, known in zip(self.lb.records, self.model.all, strict=True):
            assert State(record.state).name == known.state
            assert Activation(record.activation).name == known.activation
            assert (record.value, record.in_flight) == (known.value, known.in_flight)
            assert (record.elected, record.elected_seen) == (known.elected, known.seen)
            assert (record.errors, record.reply_timeouts) == (known.errors, known.timeouts)
            assert (record.first_error, record.last_error) == (known.first, known.last)
            assert record.is_awaited == known.is_awaited

    def teardown(self) -> None:
        if hasattr(self, "lb"):
            for choice in self.out:
                self.lb.end(choice, Outcome.OK, self.now)
            assert [record.in_flight for record in self.lb.records] == [0] * len(self.lb.records)


TestBalancerAgainstModel = BalancerAgainstModel.TestCase
TestBalancerAgainstModel.settings = settings(max_examples=200, stateful_step_count=40)


class BalancerInTableAgainstModel(BalancerAgainstModel):
    """The same with a store in the shared table."""

    def store(self, members: list[Member]) -> Store:
        return table_store(members)


TestBalancerInTableAgainstModel = BalancerInTableAgainstModel.TestCase
TestBalancerInTableAgainstModel.settings = settings(max_examples=100, stateful_step_count=40)

factors = st.lists(st.integers(1, 12), min_size=1, max_size=6)


def weighted(method: Method, lbfactors: list[int]) -> Balancer:
    return Balancer(
        [Member(name=f"n{i}", lbfactor=f) for i, f in enumerate(lbfactors)], Settings(method=method)
    )


def spread(lb: Balancer) -> int:
    loads = [lb.load(member, 1.0) for member in range(len(lb.members))]
    return max(loads) - min(loads)


@pytest.mark.parametrize(
    "method", [Method.REQUEST, Method.TRAFFIC, Method.SESSIONS, Method.NEXT, Method.BUSYNESS]
)
@given(factors=factors, laps=st.integers(1, 3))
def test_shares_are_exact_after_every_lap_and_never_far_off(
    method: Method, factors: list[int], laps: int
) -> None:
    lb = weighted(method, factors)
    seen: Counter[int] = Counter()
    common = lb.settings.method is Method.TRAFFIC
    for step in range(1, laps * sum(factors) + 1):
        choice = lb.elect(None, 1.0)
        assert isinstance(choice, Choice)
        lb.begin(choice)
        if method is not Method.BUSYNESS:
            lb.end(choice, Outcome.OK, 1.0, bytes_in=int(common))
        seen[choice.member] += 1
        # Whoever has least gets one more: no two are further apart than one step of the largest.
        assert (
            spread(lb)
            <= max(Model(list(lb.members), lb.settings).all, key=lambda k: k.weight).weight
        )
        if step % sum(factors) == 0:
            lap = step // sum(factors)
            assert [seen[i] for i in range(len(factors))] == [f * lap for f in factors]


@given(
    count=st.integers(1, 5),
    rounds=st.integers(1, 4),
    per_round=st.integers(1, 4),
    outcomes=st.lists(st.sampled_from([o for o in Outcome if o.may_move_on]), min_size=20),
    dead=st.sets(st.integers(0, 4)),
    home=st.none() | st.integers(0, 5),
    force=st.booleans(),
)
def test_nobody_is_tried_twice_while_somebody_new_is_left(
    count: int,
    rounds: int,
    per_round: int,
    outcomes: list[Outcome],
    dead: set[int],
    home: int | None,
    force: bool,
) -> None:
    options = Settings(retries=rounds, lb_retries=per_round, sticky_session_force=force)
    lb = Balancer([Member(name=f"n{i}") for i in range(count)], options)
    for member in dead & set(range(count)):
        lb.records[member].change_state(State.IDLE, State.ERROR)
    session = None if home is None else Session.of_route(f"n{home}".encode())
    asked = Rounds(lb, session)
    tried = now_tried = 0
    attempts = pauses = 0
    while not isinstance(found := asked.next(1.0), NoMember):
        if isinstance(found, Pause):
            pauses += 1
            now_tried = 0
            continue
        assert not now_tried >> found.member & 1 or lb.records[found.member].state == State.FORCE
        if tried >> found.member & 1:
            assert not any(v.is_chosen for v in lb.explain(session, 1.0, tried=tried))
        tried |= 1 << found.member
        now_tried |= 1 << found.member
        lb.begin(found)
        lb.end(found, outcomes[attempts], 1.0)
        attempts += 1
    assert pauses == rounds - 1
    assert attempts <= rounds * min(per_round, count)
