"""Who is at the other end of a client connection, as the container shall see it.

From the connection itself, from the PROXY header in front of it, from the forwarding headers of one
request: in this order, each only where the one before is a proxy that is trusted. Whether it is
has been decided before anything here is called.

Source: AJP's remote_addr, server_name, server_port, is_ssl; mod_remoteip for the order.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING

from ajp._packets cimport equals_ignoring_case
from ajp._wire cimport Slice
from ajpd.http._request cimport RequestHead

import logging

from ajpd.http.forwarded import origin

__all__ = ["Peer"]

logger = logging.getLogger("ajpd.peer")


cdef enum:
    HTTP_PORT = 80
    HTTPS_PORT = 443
    MOST_TOLD = 100

cdef set TOLD = set()


@cython.final
cdef class Peer:
    """Addresses of one client, and how it came."""

    def __repr__(self):
        return f"<Peer {self.remote_addr.decode('latin-1')}{' TLS' if self.is_ssl else ''}>"


cdef bytes _text(object address):
    """An address as the container should see it: IPv4 inside IPv6 as IPv4, no scope."""
    text = address.partition("%")[0]
    if text.startswith("::ffff:") and "." in text:
        text = text[7:]
    return text.encode("ascii", "replace")


cdef Peer peer_of(object transport, object describe_tls):
    """What the connection says.

    `describe_tls` turns the TLS session, if there is one, into a `tls.ClientTLS`.
    """
    cdef Peer peer = Peer.__new__(Peer)
    far = transport.get_extra_info("peername")
    near = transport.get_extra_info("sockname")
    if type(far) is tuple and type(near) is tuple:
        peer.remote_addr = _text(far[0])
        peer.remote_port = b"%d" % far[1]
        peer.local_addr = _text(near[0])
        peer.local_port = near[1]
    else:
        # A Unix socket: whoever can open it is on this machine.
        peer.remote_addr = b"127.0.0.1"
        peer.remote_port = b"0"
        peer.local_addr = b"127.0.0.1"
        peer.local_port = HTTP_PORT
    if describe_tls is not None:
        session = transport.get_extra_info("ssl_object")
        if session is not None:
            peer.is_ssl = True
            peer.tls = describe_tls(session)
    return peer


cdef Peer _copy(Peer peer):
    cdef Peer other = Peer.__new__(Peer)
    other.remote_addr = peer.remote_addr
    other.remote_port = peer.remote_port
    other.local_addr = peer.local_addr
    other.local_port = peer.local_port
    other.is_ssl = peer.is_ssl
    other.server_name = peer.server_name
    other.server_port = peer.server_port
    other.tls = peer.tls
    return other


cdef Peer peer_behind(Peer proxy, object header):
    """Who a PROXY header says is there; TLS that ended at the proxy counts as TLS.

    TLS that ended here did not begin at the proxy, which only put its header in front.
    """
    cdef Peer peer
    if header.is_local:
        return proxy
    peer = _copy(proxy)
    peer.remote_addr = header.source.encode()
    peer.remote_port = b"%d" % header.source_port
    peer.local_addr = header.destination.encode()
    peer.local_port = header.destination_port
    if header.tls is not None:
        peer.is_ssl = True
    return peer


cdef Peer forwarded_peer(Peer proxy, RequestHead head, object trusted, object family):
    """Who the forwarding headers of a trusted proxy say is there."""
    cdef Peer peer
    cdef list of_for = [], of_proto = [], of_host = [], of_port = [], of_forwarded = []
    cdef Py_ssize_t i
    cdef Slice name
    cdef list values
    for i in range(head.count):
        name = head.fields[i].name
        if name.len == 15 and _is(name, b"x-forwarded-for"):
            values = of_for
        elif name.len == 17 and _is(name, b"x-forwarded-proto"):
            values = of_proto
        elif name.len == 16 and _is(name, b"x-forwarded-host"):
            values = of_host
        elif name.len == 16 and _is(name, b"x-forwarded-port"):
            values = of_port
        elif name.len == 9 and _is(name, b"forwarded"):
            values = of_forwarded
        else:
            continue
        values.append(head.fields[i].value.ptr[: head.fields[i].value.len])
    if not (of_for or of_proto or of_host or of_port or of_forwarded):
        return proxy
    found = origin(
        proxy.remote_addr,
        x_forwarded_for=of_for,
        x_forwarded_proto=of_proto,
        x_forwarded_host=of_host,
        x_forwarded_port=of_port,
        forwarded=of_forwarded,
        trusted=trusted,
        family=family,
    )
    if found.problem is not None:
        _tell_once(proxy.remote_addr, found.problem)
    peer = _copy(proxy)
    # What is known of TLS here is between us and the proxy.
    peer.tls = None
    if found.remote_addr is not None:
        peer.remote_addr = found.remote_addr
        peer.remote_port = found.remote_port if found.remote_port is not None else b"0"
    if found.scheme_is_https is not None:
        peer.is_ssl = found.scheme_is_https
        # Where the proxy listens is not known; the usual port, unless Host says another.
        peer.local_port = HTTPS_PORT if peer.is_ssl else HTTP_PORT
    peer.server_name = found.server_name
    if found.server_port is not None:
        peer.server_port = found.server_port
    elif found.server_name is not None:
        # A name without a port: that in Host belongs to another name.
        peer.server_port = HTTPS_PORT if peer.is_ssl else HTTP_PORT
    return peer


cdef int _tell_once(bytes address, str problem) except -1:
    """Log what is wrong with a proxy's headers, once for each proxy."""
    if address not in TOLD and len(TOLD) < MOST_TOLD:
        TOLD.add(address)
        logger.warning(
            "the forwarding headers of proxy %s are not understood: %s",
            address.decode("latin-1"), problem,
        )
    return 0


cdef inline bint _is(Slice name, bytes lower) noexcept:
    return equals_ignoring_case(name.ptr, PyBytes_AS_STRING(lower), name.len)
