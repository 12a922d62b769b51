"""What the access log says of an exchange whose head is gone by its end."""

from ajpd._account cimport Account
from ajpd._answer cimport Answer
from ajpd._logline cimport LogLines
from ajpd._peer cimport Peer
from ajpd._placement cimport Placement
from ajpd.http._request cimport RequestHead


cdef class Noted:
    """What was noted of a request's head."""

    cdef bytes target
    cdef bytes host             # None when there was none, as the next two
    cdef bytes referer
    cdef bytes agent

    # Have the line of an exchange written; worker, member and placement are None before there were
    # any.
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
    ) except -1


cdef Noted noted_of(RequestHead head, LogLines access)
