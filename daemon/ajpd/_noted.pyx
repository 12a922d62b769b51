"""What the access log says of an exchange whose head is gone by its end.

Made for exchanges whose line is written, and for no others. What a line looks like is not known
here.
"""

cimport cython

from ajpd._account cimport Account
from ajpd._answer cimport Answer
from ajpd._peer cimport Peer
from ajpd.http._request cimport RequestHead

__all__ = ["Noted"]


cdef Noted noted_of(RequestHead head):
    """Note what is wanted of a head."""
    cdef Noted noted = Noted.__new__(Noted)
    noted.target = head.target.ptr[: head.target.len]
    if head.host.len > 0:
        noted.host = head.host.ptr[: head.host.len]
    noted.referer = head.value_of(b"referer")
    noted.agent = head.value_of(b"user-agent")
    return noted


@cython.final
@cython.freelist(32)
cdef class Noted:
    """What was noted of a request's head."""

    cdef int write(
        self,
        object access,
        Peer peer,
        bytes method,
        Answer answer,
        Account account,
        str worker,
        str member,
        object choice,
    ) except -1:
        tls = peer.tls
        access(
            peer.remote_addr,
            peer.local_port,
            self.host,
            method,
            self.target,
            answer.plan.minor,
            answer.status,
            answer.sent,
            account.ended - account.began,
            account.answered - account.began if account.answered > 0.0 else -1.0,
            worker,
            member,
            choice.route if choice is not None else None,
            account.attempts,
            account.failures,
            account.reason,
            self.referer,
            self.agent,
            tls.protocol if tls is not None else None,
        )
        return 0
