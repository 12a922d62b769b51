"""Who is at the other end of a client connection, as the container shall see it."""

from ajpd.http._request cimport RequestHead


cdef class Peer:
    """Addresses of one client, and how it came."""

    cdef readonly bytes remote_addr     # as text
    cdef readonly bytes remote_port
    cdef readonly bytes local_addr
    cdef readonly int local_port
    cdef readonly bint is_ssl
    cdef readonly bytes server_name     # instead of that in Host; None
    cdef readonly int server_port       # instead of that in Host; 0
    cdef readonly object tls            # tls.ClientTLS, or None


cdef Peer peer_of(object transport, object describe_tls)
# Who a PROXY header says is there.
cdef Peer peer_behind(Peer proxy, object header)
# Who the forwarding headers of a trusted proxy say is there; the same when they say nothing.
cdef Peer forwarded_peer(Peer proxy, RequestHead head, object trusted, object family)
