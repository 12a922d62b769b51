"""The election of a member, without a lock and without an allocation.

Who can be elected comes first, as two sets of bits; then whoever the session names; then whoever
has least. Compiled because every request comes through here, most twice. Which state follows
another, time and chance are not known here: numbers for both come in.

Source: mod_jk `jk_lb_worker.c` `get_most_suitable_worker`, `find_bysession_route`,
`find_failover_worker`, `find_best_byvalue`, `find_best_bydomain`. Two methods mod_jk does not have:
Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (1996), and the peak EWMA of
Twitter's Finagle.
"""

from libc.math cimport exp
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from ajp.lb._store cimport (
    ELECTED,
    FIRST_ERROR,
    IN_FLIGHT,
    LATENCY,
    LATENCY_AT,
    RETURNED,
    SESSIONS,
    VALUE,
    Cell,
    Store,
)

__all__ = ["Election"]

cdef enum:
    # Larger numbers stand for this one, so that sums of two fit.
    MOST_BITS = 62
    # Whole factors of all members together stay below 32 bits.
    MOST_FACTOR = 1 << 24

cdef double LATENCY_WINDOW_S = 10.0     # a measurement fades over about this time, as in Finagle
cdef double UNKNOWN_LATENCY_S = 1.0     # of a member whose first answer is still awaited
cdef double LEAST_SHARE = 0.1           # of its own that a member has which just returned


# hot
cdef inline uint64_t bit(int member) noexcept nogil:
    return (<uint64_t>1) << member


# hot
cdef inline int activation_of(
    const Cell* cell, const unsigned char* overrides, int member
) noexcept nogil:
    """What applies to a member in this request."""
    if overrides != NULL and overrides[member] != OWN_ACTIVATION:
        return overrides[member]
    return cell.activation


# hot
cdef inline double faded(const Cell* cell, double now) noexcept nogil:
    """Latency as it counts now, in seconds: nobody is slow for ever who is not asked any more."""
    cdef double age = now - cell.mark[LATENCY_AT]
    return cell.mark[LATENCY] * exp(-age / LATENCY_WINDOW_S) if age > 0.0 else cell.mark[LATENCY]


cdef class Election:
    """What does not change between two elections, in the form they read it.

    Args:
        store: what is counted; it has as many members.
        members: for each (route, domain, redirect, distance, lbfactor, multiplier).
        method: number of the `Method`.
    """

    def __cinit__(self, Store store not None, members, int method):
        cdef int member
        if not 0 < store.count <= MAX_MEMBERS:
            raise ValueError(f"a balancer has 1 to {MAX_MEMBERS} members, not {store.count}")
        if store.count != len(members):
            raise ValueError(f"a store for {store.count} members cannot keep {len(members)}")
        self.store = store
        self.count = store.count
        self.method = method
        self.is_sticky = True
        self.choices = {}
        self._routes = {entry[0]: member for member, entry in enumerate(members)}
        self._domains = {}
        self._redirects = []
        for member, entry in enumerate(members):
            self._distance[member] = entry[3]
            self._factor[member] = min(entry[4], MOST_FACTOR)
            self._multiplier[member] = entry[5]
            self._domain[member] = NOBODY
            self._redirect[member] = NOBODY
            if entry[1]:
                self._domain[member] = self._domains.setdefault(entry[1], len(self._domains))
            if entry[2]:
                self._redirect[member] = <int>len(self._redirects)
                self._redirects.append(entry[2])

    def find(
        self,
        tuple routes not None,
        uint64_t tried,
        double now,
        *,
        bint stateless=False,
        bint force=False,
        bint peek=False,
        uint64_t chance=0,
        bytes activations=None,
    ):
        """Elect a member.

        Args:
            routes: of the session, in the order they are tried.
            tried: members that are out of the question, one bit each.
            now: monotonic seconds.
            stateless: take turns instead of looking at the load.
            force: the session stays with its member or gets none.
            peek: leave it whose turn it is.
            chance: 64 random bits, for the method P2C.
            activations: one byte for each member, see `Extension`.

        Returns:
            The member's number, `How` << 8 and its activation << 16; -1 when there is none.
        """
        cdef Wanted wanted
        wanted.tried = tried
        wanted.chance = chance
        wanted.stateless = stateless
        wanted.force = force
        wanted.peek = peek
        wanted.overrides = NULL
        if activations is not None:
            if len(activations) != self.count:
                raise ValueError(f"activations of {len(activations)} members, not {self.count}")
            wanted.overrides = activations
        return self.elect(routes, now, &wanted)

    cdef int elect(self, tuple routes, double now, const Wanted* wanted) except -2:
        """As `find`."""
        cdef const unsigned char* overrides = wanted.overrides
        cdef const Cell* cells
        cdef Usable usable
        cdef int found = NOBODY, how = BY_METHOD
        cdef bytes route
        cells = self.store.view()
        self._now = now
        usable = self._usable(cells, wanted.tried, overrides)
        # The only member is never left for another, so its requests need no route.
        if self.count == 1 and (usable.known == 0 or usable.fresh == 1):
            if usable.known == 0:
                return NOBODY
            return <int>(ALONE << 8)
        for route in routes:
            found = self._by_route(route, cells, usable, now, wanted.force)
            if found != NOBODY:
                return self._packed(found, &cells[found & 0xFF], overrides)
        if wanted.force:
            return NOBODY
        found = self._by_method(cells, usable.fresh, now, wanted.chance, wanted.stateless)
        if found == NOBODY:
            how = BY_STANDBY
            for route in self._redirects:
                found = self._by_route(route, cells, usable, now, False)
                if found != NOBODY:
                    found &= 0xFF
                    break
        elif not wanted.peek:
            self.store.offset = (found + 1) % self.count
        if found == NOBODY:
            return NOBODY
        return self._packed(found | how << 8, &cells[found], overrides)

    # hot
    cdef int _packed(
        self, int found, const Cell* cell, const unsigned char* overrides
    ) noexcept nogil:
        return found | activation_of(cell, overrides, found & 0xFF) << 16

    # hot
    cdef Usable _usable(
        self, const Cell* cells, uint64_t tried, const unsigned char* overrides
    ) noexcept nogil:
        cdef Usable usable
        cdef int member, activation
        cdef int32_t state
        usable.fresh = 0
        usable.known = 0
        for member in range(self.count):
            state = cells[member].state
            # Nothing is on its way to it, so it must have an endpoint to give.
            if state == STATE_BUSY and cells[member].count[IN_FLIGHT] == 0:
                state = STATE_OK
            if state > STATE_FORCE or tried & bit(member):
                continue
            activation = activation_of(&cells[member], overrides, member)
            if activation != STOPPED:
                usable.known |= bit(member)
                if activation == ACTIVE:
                    usable.fresh |= bit(member)
        return usable

    # hot
    cdef double _burden(self, const Cell* cell, double now) noexcept nogil:
        cdef double returned = cell.mark[RETURNED]
        cdef double age
        if returned <= 0.0 or self.slow_start <= 0.0:
            return 1.0
        age = now - returned
        if age >= self.slow_start:
            return 1.0
        return self.slow_start / max(age, self.slow_start * LEAST_SHARE)

    # hot
    cdef uint64_t _score(self, const Cell* cell, int member, double now) noexcept nogil:
        cdef uint64_t in_flight = cell.count[IN_FLIGHT]
        cdef double latency, burden = self._burden(cell, now)
        if self.method == METHOD_LATENCY:
            latency = faded(cell, now)
            if latency <= 0.0:
                latency = 0.0 if in_flight == 0 and burden == 1.0 else UNKNOWN_LATENCY_S
            latency *= 1e9 * <double>(in_flight + 1) * <double>self._multiplier[member] * burden
            if latency >= <double>bit(MOST_BITS):
                return bit(MOST_BITS)
            return <uint64_t>latency
        if self.method == METHOD_BUSYNESS or self.method == METHOD_P2C:
            if burden > 1.0:
                # As if every attempt were several, and the one that would begin were there.
                burden = <double>(in_flight + 1) * burden - 1.0
                return <uint64_t>(burden * <double>self._multiplier[member])
            return in_flight * self._multiplier[member]
        return cell.count[VALUE]

    # hot
    cdef int _by_method(
        self, const Cell* cells, uint64_t fresh, double now, uint64_t chance, bint stateless
    ) noexcept nogil:
        if fresh == 0:
            return NOBODY
        if self.method == METHOD_P2C and not stateless:
            return self._of_two(cells, self._nearest(fresh), now, chance)
        return self._least(cells, fresh, self.store.offset, now, stateless)

    # hot
    cdef int _least(
        self, const Cell* cells, uint64_t among, int start, double now, bint stateless
    ) noexcept nogil:
        """Whoever is nearest and has least; the first from `start` on where several have."""
        cdef int best = NOBODY, member = start, _step
        cdef uint64_t least = 0, score = 0
        for _step in range(self.count):
            if member >= self.count:
                member = 0
            if among & bit(member):
                if best == NOBODY or self._distance[member] < self._distance[best]:
                    best = member
                    least = 0 if stateless else self._score(&cells[member], member, now)
                elif not stateless and self._distance[member] == self._distance[best]:
                    score = self._score(&cells[member], member, now)
                    if score < least:
                        best = member
                        least = score
            member += 1
        return best

    # hot
    cdef uint64_t _nearest(self, uint64_t among) noexcept nogil:
        """Members with the smallest distance of these."""
        cdef uint64_t nearest = 0
        cdef int32_t distance = 0
        cdef int member
        for member in range(self.count):
            if among & bit(member):
                if nearest == 0 or self._distance[member] < distance:
                    nearest = bit(member)
                    distance = self._distance[member]
                elif self._distance[member] == distance:
                    nearest |= bit(member)
        return nearest

    # hot
    cdef int _drawn(self, uint64_t among, uint64_t number) noexcept nogil:
        """One of these by a random number of 32 bits, in proportion to their factors."""
        cdef uint64_t total = 0
        cdef int member
        for member in range(self.count):
            if among & bit(member):
                total += self._factor[member]
        # Multiply and shift instead of a remainder; the sum has less than 32 bits.
        number = (number * total) >> 32
        for member in range(self.count):
            if among & bit(member):
                if number < self._factor[member]:
                    return member
                number -= self._factor[member]
        return NOBODY

    # hot
    cdef int _of_two(
        self, const Cell* cells, uint64_t among, double now, uint64_t chance
    ) noexcept nogil:
        """The one of two drawn members that has less to do, the first if both have the same."""
        cdef int first = self._drawn(among, <uint32_t>chance)
        cdef int second = self._drawn(among & ~bit(first), chance >> 32)
        if second == NOBODY:
            return first
        if self._score(&cells[second], second, now) < self._score(&cells[first], first, now):
            return second
        return first

    cdef int _by_route(
        self, bytes route, const Cell* cells, Usable usable, double now, bint force
    ) except -2:
        """Whom a route leads to, with how << 8; NOBODY when to nobody who can be used."""
        cdef object known = self._routes.get(route)
        cdef int member
        if known is None:
            known = self._domains.get(route.partition(b".")[0])
            return NOBODY if known is None else self._in_domain(known, cells, usable, now)
        member = known
        if usable.known & bit(member):
            return member | BY_ROUTE << 8
        if force:
            return NOBODY
        if self._redirect[member] != NOBODY:
            known = self._routes.get(self._redirects[self._redirect[member]])
            if known is None or not usable.known & bit(known):
                return NOBODY
            return <int>known | BY_REDIRECT << 8
        if self._domain[member] == NOBODY:
            return NOBODY
        return self._in_domain(self._domain[member], cells, usable, now)

    # hot
    cdef int _in_domain(
        self, int domain, const Cell* cells, Usable usable, double now
    ) noexcept nogil:
        """The best of a domain for new work, with how << 8."""
        cdef uint64_t among = 0
        cdef int member
        for member in range(self.count):
            if self._domain[member] == domain:
                among |= bit(member)
        member = self._least(cells, among & usable.fresh, 0, now, False)
        if member != NOBODY:
            member |= BY_DOMAIN << 8
        return member

    def score(self, int member, double now):
        """What is compared: the least wins."""
        if not 0 <= member < self.count:
            raise IndexError(f"member {member} of {self.count}")
        return self._score(&self.store.view()[member], member, now)

    def begin(self, int member, bint makes_session):
        """Count an attempt that begins; whether the member's state stays as it is."""
        if not 0 <= member < self.count:
            raise IndexError(f"member {member} of {self.count}")
        return self.start(member, makes_session)

    # hot
    cdef bint start(self, int member, bint makes_session) noexcept nogil:
        cdef const Cell* cell = self.store.cell(member)
        cdef int32_t state = cell.state
        self._count_attempt(member, makes_session, self._burden(cell, self._now), 1)
        self.store.add(member, IN_FLIGHT, 1)
        return state != STATE_RECOVER and state != STATE_BUSY

    # hot
    cdef void _count_attempt(
        self, int member, bint makes_session, double burden, int sign
    ) noexcept nogil:
        """Count an attempt by 1, or take it back by -1."""
        cdef double weight = <double>self._multiplier[member] * burden
        cdef bint counts = self.method == METHOD_REQUEST or (
            makes_session and (self.method == METHOD_SESSIONS or self.method == METHOD_NEXT)
        )
        self.store.add(member, ELECTED, sign)
        if makes_session:
            self.store.add(member, SESSIONS, sign)
        if counts:
            self.store.add(member, VALUE, sign * <int64_t>weight)

    def end(
        self,
        int member,
        bint makes_session,
        double now,
        *,
        bint take_back=False,
        int64_t traffic=0,
        double first_byte_s=-1.0,
    ):
        """Count an attempt that ended.

        Args:
            member: its number.
            makes_session: as in its begin.
            now: monotonic seconds.
            take_back: as if it had not been: nothing was sent.
            traffic: bytes in and out.
            first_byte_s: seconds until the answer began; negative when it did not.

        Returns:
            Whether the member is fine and a success would change nothing.
        """
        if not 0 <= member < self.count:
            raise IndexError(f"member {member} of {self.count}")
        return self.finish(member, makes_session, now, take_back, traffic, first_byte_s)

    # hot
    cdef bint finish(
        self,
        int member,
        bint makes_session,
        double now,
        bint take_back,
        int64_t traffic,
        double first_byte_s,
    ) noexcept nogil:
        cdef const Cell* cell = self.store.cell(member)
        cdef double burden = self._burden(cell, now)
        cdef int64_t most
        cdef bint is_calm = cell.state == STATE_OK and cell.mark[FIRST_ERROR] == 0.0
        self.store.add(member, IN_FLIGHT, -1)
        if take_back:
            self._count_attempt(member, makes_session, burden, -1)
        elif self.method == METHOD_TRAFFIC and traffic > 0:
            most = <int64_t>(bit(MOST_BITS) // self._multiplier[member])
            traffic = min(traffic, most) * <int64_t>self._multiplier[member]
            if burden > 1.0:
                traffic = <int64_t>min(<double>traffic * burden, <double>bit(MOST_BITS))
            self.store.add(member, VALUE, traffic)
        if first_byte_s >= 0.0 and self.method == METHOD_LATENCY:
            self._measure(member, first_byte_s, now)
        return is_calm

    # hot
    cdef void _measure(self, int member, double seconds, double now) noexcept nogil:
        """Smooth a latency in: a slow answer counts at once, a fast one bit by bit."""
        cdef const Cell* cell = self.store.cell(member)
        cdef double before = faded(cell, now)
        cdef double age = now - cell.mark[LATENCY_AT]
        # 0 means that there was none yet.
        seconds = max(seconds, 1e-9)
        if seconds < before:
            seconds = before + seconds * (1.0 - exp(-max(age, 0.0) / LATENCY_WINDOW_S))
        self.store.put_mark(member, LATENCY, seconds)
        self.store.put_mark(member, LATENCY_AT, now)
