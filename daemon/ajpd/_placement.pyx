"""Where a request of a balancer goes: one member after the other.

Finds the session of a request, asks the balancer, and tells it how each attempt ended, exactly
once. Whether a request may go to another member at all is not decided here.

Source: mod_jk `service` of `jk_lb_worker.c`.
"""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from ajp._column cimport Column, hash_of
from ajp._packets cimport equals_ignoring_case
from ajp._slot cimport Slot
from ajp._wire cimport Slice
from ajp.lb._elect cimport ALONE, BY_ROUTE, METHOD_P2C, NOBODY, Election, Wanted, key_of
from ajpd._account cimport NO_SLOT, Account
from ajpd._service cimport Target
from ajpd.http._request cimport RequestHead

from ajp.lb.choice import Choice, NoMember
from ajp.lb.member import Outcome
from ajp.lb.rounds import Rounds
from ajp.lb.session import find_session

__all__ = ["Group", "Placement"]


cdef enum:
    # Sessions remembered by their Cookie header, and the longest header worth its memory.
    MOST_SESSIONS = 2048
    LONGEST_COOKIE = 2048

cdef object SERVED = Outcome.OK
# Seconds; a pause of nothing would look like the end.
cdef double LEAST_PAUSE = 0.001


cdef extern from *:
    """
    #include <string.h>
    """
    const void* memmem(const void*, size_t, const void*, size_t) nogil


cdef inline bint has(bytes text, bytes part) noexcept:
    """Whether a part is in a text; Python's own `in` makes and drops an exception for it."""
    return memmem(<char*>text, <size_t>len(text), <char*>part, <size_t>len(part)) != NULL


@cython.final
cdef class Group:
    """A balancer as exchanges see it.

    Args:
        name: of the balancer.
        balancer: an `ajp.lb.balancer.Balancer`.
        targets: of its members, in their order.
        slot: of the balancer in the status table.
        slots: of its members.
        column: where this process counts.
    """

    def __init__(self, str name, balancer, targets, *, Slot slot=None, slots=(), Column column=None):
        self.name = name
        self.slot = NO_SLOT if slot is None else slot.index
        self.slots = [each.index for each in slots] or None
        self.column = column
        self.balancer = balancer
        self.election = balancer.election
        self.targets = tuple(targets)
        self.session_cookie = balancer.settings.session_cookie.encode()
        self.session_path = balancer.settings.session_path.encode()
        self._sessions = {}

    def __repr__(self):
        return f"<Group {self.name} {self.balancer!r}>"

    def retarget(self, targets):
        """Have attempts from now on go to other targets of the same members, in their order."""
        targets = tuple(targets)
        if len(targets) != len(self.targets):
            raise ValueError(f"{self.name} has {len(self.targets)} members, not {len(targets)}")
        self.targets = targets

    def change(self, members, settings):
        """Elect by other settings from now on, as `Balancer.change`."""
        self.balancer.change(members, settings)
        self.election = self.balancer.election

    cdef object session_of(self, RequestHead head, bytes path, object extension):
        """The session a request says it belongs to; None."""
        cdef bytes cookie = self.session_cookie, parameter = self.session_path
        cdef list cookies = []
        cdef Py_ssize_t i
        cdef Slice name
        cdef bint is_usual = True
        for i in range(head.count):
            name = head.fields[i].name
            if name.len == 6 and equals_ignoring_case(name.ptr, b"cookie", 6):
                cookies.append(head.fields[i].value.ptr[: head.fields[i].value.len])
        if extension is not None:
            if extension.session_cookie is not None:
                cookie, is_usual = extension.session_cookie.encode(), False
            if extension.session_path is not None:
                parameter, is_usual = extension.session_path.encode(), False
        if has(path, parameter):
            is_usual = False
        elif not cookies:
            return None
        if not is_usual or len(cookies) != 1 or len(cookies[0]) > LONGEST_COOKIE:
            return find_session(path, cookies, session_cookie=cookie, session_path=parameter)
        try:
            return self._sessions[cookies[0]]
        except KeyError:
            pass
        session = find_session(b"/", cookies, session_cookie=cookie, session_path=parameter)
        if len(self._sessions) >= MOST_SESSIONS:
            self._sessions.clear()
        self._sessions[cookies[0]] = session
        return session


cdef Placement placement_of(Group group, RequestHead head, bytes path, object extension):
    """Begin with a request; nobody is elected yet."""
    cdef Placement placement = Placement.__new__(Placement)
    placement.group = group
    placement.extension = extension
    placement.session = group.session_of(head, path, extension)
    return placement


@cython.final
@cython.freelist(32)
cdef class Placement:
    """The elections of one request, and the member that has it."""

    def __repr__(self):
        return f"<Placement {self.group.name} {self.choice!r}>"

    cdef Target first(self, double now):
        """The member to begin with; None when there is nobody: see `refusal` and `pause`."""
        return self._locked(now, True)

    cdef Target next(self, double now):
        """The next member; None to wait for `pause` and ask again, or (no pause) to give up."""
        return self._locked(now, False)

    cdef Target _locked(self, double now, bint is_first):
        """Elect; under the balancer's lock if it has one."""
        cdef Election election = self.group.election
        if not election.locks:
            return self._elect(now) if is_first else self._elect_next(now)
        election.store.lock()
        try:
            return self._elect(now) if is_first else self._elect_next(now)
        finally:
            election.store.unlock()

    cdef Target _elect(self, double now):
        cdef Wanted wanted
        cdef Election election
        cdef int found
        cdef tuple routes = ()
        if self.extension is not None:
            # A rule with wishes of its own.
            choice = self.group.balancer.elect(
                self.session, now, extension=self.extension, may_force=False
            )
            if type(choice) is not Choice:
                return self._elect_next(now)
            return self._take(choice, choice.member, choice.makes_session, now)
        election = self.group.election
        if self.session is not None:
            if election.is_sticky:
                routes = self.session.routes
            else:
                self.session = None
        wanted.tried = 0
        wanted.chance = 0
        wanted.stateless = wanted.peek = False
        wanted.force = self.session is not None and election.is_forced
        wanted.overrides = NULL
        if election.method == METHOD_P2C:
            wanted.chance = self.group.balancer.draw()
        found = election.elect(routes, now, &wanted)
        if found == NOBODY:
            return self._elect_next(now)
        choice = election.choices.get(key_of(found, self.session is None, election.sets_cookie))
        if choice is None:
            choice = self.group.balancer.choice_of(
                found, makes_session=self.session is None, sets_cookie=election.sets_cookie
            )
        return self._take(choice, found & 0xFF, self.session is None, now)

    cdef object latest(self):
        return self.choice or self._first

    cdef int stickiness(self) except -2:
        cdef int how
        choice = self.latest()
        if choice is None or self.session is None or not self.session.routes:
            return -1
        how = choice.how
        return how == BY_ROUTE or how == ALONE

    cdef Target _elect_next(self, double now):
        self.pause = 0.0
        if self._rounds is None:
            self._rounds = Rounds(
                self.group.balancer, self.session, extension=self.extension
            )
            if self._first is not None:
                self._rounds.note(self._first)
        found = self._rounds.next(now)
        if type(found) is Choice:
            return self._take(found, found.member, found.makes_session, now)
        if type(found) is NoMember:
            self.refusal = found
        else:
            self.pause = max(found.milliseconds / 1000.0, LEAST_PAUSE)
        return None

    cdef Target _take(self, object choice, int member, bint makes_session, double now):
        self.choice = choice
        self.member = member
        self.makes_session = makes_session
        if self.group.column is not None and self.group.slots is not None:
            self._note_session(choice, now)
        if self._first is None:
            self._first = choice
        if not self.group.election.start(member, makes_session):
            self.group.balancer.note_begun(choice)
        return self.group.targets[member]

    cdef int _note_session(self, object choice, double now) except -1:
        """Note that a session was seen where it lives, or may begin there."""
        cdef Column column = self.group.column
        cdef Election election
        cdef bytes session
        cdef int how = BY_ROUTE
        if self.session is not None:
            how = choice.how
        if self.session is None or (how != BY_ROUTE and how != ALONE):
            # One that had to leave its member begins anew.
            election = self.group.election
            if election.is_sticky and (self.makes_session or self.session is not None):
                column.begin_session(self.group.slots[self.member], now)
        elif self._first is None:
            session = self.session.ids[0]
            column.saw_session(
                self.group.slots[self.member],
                hash_of(<const unsigned char*>session, len(session)),
                now,
            )
        return 0

    cdef bint has_other(self, double now) except -1:
        cdef tuple routes = ()
        activations = None
        if self.extension is not None:
            activations = self.extension.activations
        if self.session is not None and (
            self.extension is None or not self.extension.sticky_ignore
        ):
            routes = self.session.routes
        balancer = self.group.balancer
        return self.group.election.find(
            routes,
            (<uint64_t>1) << self.member,
            now,
            force=bool(routes) and balancer.settings.sticky_session_force,
            peek=True,
            activations=activations,
        ) >= 0

    cdef int end(self, object outcome, Account account, bint counts) except -1:
        """Tell how the attempt ended; nothing when it was told already."""
        cdef Election election
        choice = self.choice
        if choice is None:
            return 0
        self.choice = None
        election = self.group.election
        is_calm = election.finish(
            self.member,
            self.makes_session,
            account.last.now,
            not counts,
            <int64_t>(account.last.bytes_in + account.last.bytes_out),
            <double>account.last.first_byte_us / 1e6,
        )
        if not is_calm or outcome is not SERVED:
            self.group.balancer.judge(choice, outcome, account.last.now)
        if counts and self.group.slots is not None:
            account.count_member(self.group.slots[self.member], self.makes_session)
        return 0
