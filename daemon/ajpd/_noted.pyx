"""What the access log says of an exchange whose head is gone by its end.

Made for exchanges whose line is written, and for no others. What a line looks like is not known
here.
"""

cimport cython

from ajpd._account cimport Account
from ajpd._answer cimport Answer
from ajpd._logline cimport Facts, LogLines
from ajpd._peer cimport Peer
from ajpd._placement cimport Placement
from ajpd.http._request cimport RequestHead

__all__ = ["Noted"]


cdef Noted noted_of(RequestHead head, LogLines access):
    """Note what is wanted of a head."""
    cdef Noted noted = Noted.__new__(Noted)
    noted.target = head.target.ptr[: head.target.len]
    if head.host.len > 0:
        noted.host = head.host.ptr[: head.host.len]
    if access.wants_referer:
        noted.referer = head.value_of(b"referer")
    if access.wants_agent:
        noted.agent = head.value_of(b"user-agent")
    return noted


@cython.final
@cython.freelist(32)
cdef class Noted:
    """What was noted of a request's head."""

    cdef int write(
        self,
        LogLines access,
        Peer peer,
        bytes method,
        Answer answer,
        Account account,
        str worker,
        str member,
        Placement placement,
        bytes request_id,
    ) except -1:
        cdef Facts facts
        cdef bytes route = None, protocol = None, cipher = None
        facts.port = peer.local_port
        facts.minor = answer.plan.minor
        facts.status = answer.status
        facts.attempts = <int>account.attempts
        facts.sticky = -1
        facts.sent = answer.sent
        facts.seconds = account.ended - account.began
        facts.first_byte = account.answered - account.began if account.answered > 0.0 else -1.0
        if placement is not None:
            facts.sticky = placement.stickiness()
            choice = placement.latest()
            if choice is not None:
                route = choice.route
        if peer.tls is not None:
            protocol, cipher = peer.tls.protocol, peer.tls.cipher
        return access.add(
            &facts,
            peer.remote_addr,
            self.host,
            method,
            self.target,
            worker,
            member,
            route,
            account.failures,
            account.reason,
            self.referer,
            self.agent,
            protocol,
            cipher,
            request_id,
        )
