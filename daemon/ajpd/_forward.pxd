"""A client's request head as a FORWARD_REQUEST."""

from ajpd._peer cimport Peer
from ajpd._service cimport Target
from ajpd._trace cimport Names
from ajpd.http._request cimport RequestHead

# `choice`: of the balancer, or None; `attributes`: (name, value) pairs, or None; `names`: or None.
cdef bytes forward_request(
    RequestHead head,
    bytes uri,
    Target target,
    Peer peer,
    object choice,
    list attributes,
    Names names,
)
# The name and the port that the client asked for, as far as it said so; else what it reached.
cdef bytes server_name_of(RequestHead head, Peer peer)
cdef int server_port_of(RequestHead head, Peer peer) noexcept
