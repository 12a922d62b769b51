"""The election of a member, without a lock and without an allocation."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from ajp.lb._store cimport Cell, Store


cdef enum:
    MAX_MEMBERS = 64            # one bit each
    NOBODY = -1
    OWN_ACTIVATION = 255        # in the activations of a rule: the member's own


cdef enum State:                # as member.State
    STATE_OK = 1
    STATE_RECOVER = 2
    STATE_FORCE = 3             # the last one that can be elected
    STATE_BUSY = 4


cdef enum Activation:           # as member.Activation
    ACTIVE = 0
    DISABLED = 1
    STOPPED = 2


cdef enum Method:               # as settings.Method.number
    METHOD_REQUEST
    METHOD_TRAFFIC
    METHOD_BUSYNESS
    METHOD_SESSIONS
    METHOD_NEXT
    METHOD_P2C
    METHOD_LATENCY


cdef enum How:                  # as balancer.How
    BY_METHOD                   # had the least
    BY_ROUTE                    # the session lives there
    BY_REDIRECT                 # the session's member names it
    BY_DOMAIN                   # shares sessions with the session's member
    BY_STANDBY                  # another member names it, and nobody else is left
    ALONE                       # there is one member only


cdef struct Usable:
    # Members as bits.
    uint64_t fresh              # may have new work
    uint64_t known              # may have work of a session they know


cdef struct Wanted:
    # What there is to say about an election besides the session; see Election.find.
    uint64_t tried
    uint64_t chance
    bint stateless
    bint force
    bint peek
    const unsigned char* overrides      # one for each member; NULL for none


# What a choice is kept under: found by an election, and the two things that are told besides.
cdef inline int key_of(int found, bint makes_session, bint sets_cookie) noexcept nogil:
    return found | <int>makes_session << 24 | <int>sets_cookie << 25


cdef class Election:
    """What does not change between two elections, in the form they read it."""

    cdef readonly Store store
    cdef readonly int count
    cdef readonly int method
    # What its balancer's settings say about every request; set by the balancer.
    cdef public bint is_sticky
    cdef public bint is_forced
    cdef public bint sets_cookie
    cdef public bint locks                  # lock=Pessimistic: see Store.lock
    cdef public double slow_start           # seconds until a member that returned has its share
    cdef double _now                        # of the last election
    cdef readonly dict choices              # by key_of -> choice.Choice; kept for the balancer
    cdef uint64_t _multiplier[MAX_MEMBERS]
    cdef uint32_t _factor[MAX_MEMBERS]
    cdef int32_t _distance[MAX_MEMBERS]
    cdef int _redirect[MAX_MEMBERS]         # index in _redirects, or NOBODY
    cdef int _domain[MAX_MEMBERS]           # number of its domain, or NOBODY
    cdef dict _routes                       # route -> member
    cdef dict _domains                      # domain -> number
    cdef list _redirects                    # routes

    # For who is compiled too: members are not checked.
    # The member, How << 8 and its activation << 16; NOBODY.
    cdef int elect(self, tuple routes, double now, const Wanted* wanted) except -2
    # An attempt begins; whether the member's state stays as it is.
    cdef bint start(self, int member, bint makes_session) noexcept nogil
    # It ended; whether the member is fine and a success would change nothing.
    cdef bint finish(
        self,
        int member,
        bint makes_session,
        double now,
        bint take_back,
        int64_t traffic,
        double first_byte_s,
    ) noexcept nogil
    # How many times as loaded a member looks as it is.
    cdef double _burden(self, const Cell* cell, double now) noexcept nogil
    # Who may be elected.
    cdef Usable _usable(
        self, const Cell* cells, uint64_t tried, const unsigned char* overrides
    ) noexcept nogil
    cdef int _packed(
        self, int found, const Cell* cell, const unsigned char* overrides
    ) noexcept nogil
    cdef int _by_method(
        self, const Cell* cells, uint64_t fresh, double now, uint64_t chance, bint stateless
    ) noexcept nogil
    cdef void _count_attempt(
        self, int member, bint makes_session, double burden, int sign
    ) noexcept nogil
    cdef uint64_t _score(self, const Cell* cell, int member, double now) noexcept nogil
    cdef int _least(
        self, const Cell* cells, uint64_t among, int start, double now, bint stateless
    ) noexcept nogil
    cdef int _of_two(
        self, const Cell* cells, uint64_t among, double now, uint64_t chance
    ) noexcept nogil
    cdef int _drawn(self, uint64_t among, uint64_t number) noexcept nogil
    cdef uint64_t _nearest(self, uint64_t among) noexcept nogil
    cdef int _by_route(
        self, bytes route, const Cell* cells, Usable usable, double now, bint force
    ) except -2
    cdef int _in_domain(
        self, int domain, const Cell* cells, Usable usable, double now
    ) noexcept nogil
    cdef void _measure(self, int member, double seconds, double now) noexcept nogil
