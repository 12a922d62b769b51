"""Where a request of a balancer goes: one member after the other."""

from libc.stdint cimport uint32_t

from ajp._column cimport Column
from ajp.lb._elect cimport Election
from ajpd._account cimport Account
from ajpd._service cimport Target
from ajpd.http._request cimport RequestHead


cdef class Group:
    """A balancer as exchanges see it."""

    cdef readonly str name
    cdef readonly object balancer   # ajp.lb.balancer.Balancer
    cdef Election election          # the balancer's of now
    cdef tuple targets              # of its members, in their order
    cdef uint32_t slot              # in the status table; NO_SLOT: none
    cdef list slots                 # of its members; None
    cdef Column column              # where this process counts; None: nowhere
    cdef bytes session_cookie
    cdef bytes session_path
    cdef dict _sessions             # Cookie header -> session; forgotten all at once

    cdef object session_of(self, RequestHead head, bytes path, object extension)


cdef class Placement:
    """The elections of one request, and the member that has it."""

    cdef Group group
    cdef object session
    cdef object extension           # of the rule; None
    cdef object choice              # of the attempt under way; None between two
    cdef int member                 # of that choice
    cdef bint makes_session         # likewise
    cdef object refusal             # NoMember, when nobody was elected
    cdef double pause               # seconds until `next` may be asked again; 0
    cdef object _first              # choice that was made first
    cdef object _rounds             # made when that one failed, or there was none

    cdef Target first(self, double now)
    cdef Target next(self, double now)
    # the choice of the present attempt, or the first one there was; None
    cdef object latest(self)
    # 1: it is where its session is; 0: it is not; -1: it has no session, or that does not count
    cdef int stickiness(self) except -2
    cdef Target _locked(self, double now, bint is_first)
    cdef Target _elect(self, double now)
    cdef Target _elect_next(self, double now)
    cdef Target _take(self, object choice, int member, bint makes_session, double now)
    cdef int _note_session(self, object choice, double now) except -1
    # Whether there is another member that could have the request now.
    cdef bint has_other(self, double now) except -1
    # The account has ended the attempt; `counts` as it was told.
    cdef int end(self, object outcome, Account account, bint counts) except -1


cdef Placement placement_of(Group group, RequestHead head, bytes path, object extension)
