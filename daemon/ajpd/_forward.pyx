"""A client's request head as a FORWARD_REQUEST.

Which headers go along, what the container learns of the client, and in what order: one place, so
that it can be held against mod_jk line by line.

Source: mod_jk `ajp_marshal_into_msgb`, `init_ws_service`. Differs: hop-by-hop fields stay here
(RFC 9110 §7.6.1), and Expect with them.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from ajp._packets cimport (
    ATTR_AUTH_TYPE,
    ATTR_QUERY_STRING,
    ATTR_REMOTE_USER,
    ATTR_ROUTE,
    ATTR_SECRET,
    ATTR_SSL_CERT,
    ATTR_SSL_CIPHER,
    ATTR_SSL_SESSION,
    ATTR_STORED_METHOD,
    LARGEST_PACKET,
    STORED_METHOD,
    RequestLine,
    begin_forward_request,
    check_written,
    end_forward_request,
    end_request_headers,
    method_code,
    put_attribute,
    put_key_size,
    put_request_attribute,
    put_request_header,
)
from ajp._wire cimport W_NONE, Slice, Writer, writer_init
from ajpd._peer cimport Peer
from ajpd._service cimport Target
from ajpd._trace cimport Names
from ajpd.http._request cimport RequestHead

from ajp.lb.member import Activation

cdef uint8_t BUFFER[LARGEST_PACKET]
cdef frozenset HOST = frozenset((b"host",))
cdef tuple LETTERS = tuple(activation.letters.encode() for activation in Activation)


cdef bytes forward_request(
    RequestHead head,
    bytes uri,
    Target target,
    Peer peer,
    object choice,
    list attributes,
    Names names,
):
    """Write the FORWARD_REQUEST, whole, before any endpoint is touched.

    Raises LocalProtocolError when it does not fit, or cannot be said.
    """
    cdef Writer w
    cdef RequestLine line
    cdef Py_ssize_t i
    cdef bytes server_name = server_name_of(head, peer)
    cdef bytes host = _host(head, peer)
    line.method = head.method
    line.protocol.ptr = <const uint8_t*>(b"HTTP/1.1" if head.minor >= 1 else b"HTTP/1.0")
    line.protocol.len = 8
    line.uri.ptr = <const uint8_t*>PyBytes_AS_STRING(uri)
    line.uri.len = PyBytes_GET_SIZE(uri)
    _borrow(&line.remote_addr, peer.remote_addr)
    line.remote_host.ptr = NULL
    line.remote_host.len = 0
    _borrow(&line.server_name, server_name)
    line.is_ssl = peer.is_ssl
    line.server_port = server_port_of(head, peer)
    writer_init(&w, BUFFER, target.max_packet_size)
    begin_forward_request(&w, &line)
    if host is not None:
        head.drop(HOST)
        put_request_header(
            &w,
            <const uint8_t*>b"host",
            4,
            <const uint8_t*>PyBytes_AS_STRING(host),
            PyBytes_GET_SIZE(host),
        )
    elif head.authority.len > 0:
        put_request_header(
            &w, <const uint8_t*>b"host", 4, head.authority.ptr, head.authority.len
        )
    for i in range(head.count):
        if not head.fields[i].dropped:
            put_request_header(
                &w,
                head.fields[i].name.ptr,
                head.fields[i].name.len,
                head.fields[i].value.ptr,
                head.fields[i].value.len,
            )
    if head.chunked:
        put_request_header(
            &w, <const uint8_t*>b"Transfer-Encoding", 17, <const uint8_t*>b"chunked", 7
        )
    elif head.content_length < 0:
        # Absent would mean unknown to Tomcat.
        put_request_header(&w, <const uint8_t*>b"content-length", 14, <const uint8_t*>b"0", 1)
    if names is not None:
        _put_header(&w, b"X-Request-Id", names.request_id)
        _put_header(&w, b"traceparent", names.traceparent)
    end_request_headers(&w)
    _put_attributes(&w, head, target, peer, choice)
    if attributes is not None:
        for name, value in attributes:
            _put_named(&w, name, value)
    end_forward_request(&w)
    if w.err != W_NONE or w.pos > target.max_packet_size:
        check_written(&w, target.max_packet_size, "FORWARD_REQUEST", _headers(head))
    return PyBytes_FromStringAndSize(<const char*>BUFFER, w.pos)


cdef int _put_header(Writer* w, bytes name, bytes value) except -1:
    """A header of our own; nothing when there is no value."""
    if value is not None:
        put_request_header(
            w,
            <const uint8_t*>PyBytes_AS_STRING(name),
            PyBytes_GET_SIZE(name),
            <const uint8_t*>PyBytes_AS_STRING(value),
            PyBytes_GET_SIZE(value),
        )
    return 0


cdef bytes server_name_of(RequestHead head, Peer peer):
    """The name the client used; the address it reached where it used none."""
    if peer.server_name is not None:
        return peer.server_name
    if head.host.len > 0:
        return lower(head.host)
    return peer.local_addr


cdef bytes lower(Slice text):
    """A copy, the letters of ASCII in lower case."""
    cdef bytes copy = PyBytes_FromStringAndSize(NULL, text.len)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(copy)
    cdef uint8_t byte
    cdef Py_ssize_t i
    for i in range(text.len):
        byte = text.ptr[i]
        out[i] = <uint8_t>(byte | 0x20) if c"A" <= byte <= c"Z" else byte
    return copy


cdef int server_port_of(RequestHead head, Peer peer) noexcept:
    """The port the client used, as far as it said so; else the one it reached."""
    if peer.server_port > 0:
        return peer.server_port
    return head.port if head.port > 0 else peer.local_port


cdef bytes _host(RequestHead head, Peer peer):
    """Host in the words of the client of a trusted proxy; None: as it stands.

    Tomcat takes the server's name and port from there; the fields of AJP are its local ones.
    """
    cdef bytes name, port
    cdef int number
    if peer.server_name is None and peer.server_port == 0:
        return None
    name = server_name_of(head, peer)
    number = server_port_of(head, peer)
    port = b"" if number == (443 if peer.is_ssl else 80) else b":%d" % number
    return name + port


cdef int _put_attributes(
    Writer* w, RequestHead head, Target target, Peer peer, object choice
) except -1:
    """Attributes in mod_jk's order: the secret first, so that a container can stop early."""
    tls = peer.tls
    _put_coded(w, ATTR_SECRET, target.secret)
    if tls is not None:
        _put_coded(w, ATTR_REMOTE_USER, tls.remote_user)
        _put_coded(w, ATTR_AUTH_TYPE, tls.auth_type)
    if head.query.ptr != NULL:
        put_attribute(w, ATTR_QUERY_STRING, head.query.ptr, head.query.len)
    if choice is not None:
        _put_coded(w, ATTR_ROUTE, choice.route)
    if tls is not None:
        _put_coded(w, ATTR_SSL_CERT, tls.certificate)
        _put_coded(w, ATTR_SSL_CIPHER, tls.cipher)
        _put_coded(w, ATTR_SSL_SESSION, tls.session)
        put_key_size(w, tls.key_size)
    if method_code(head.method.ptr, head.method.len) == STORED_METHOD:
        put_attribute(w, ATTR_STORED_METHOD, head.method.ptr, head.method.len)
    if tls is not None:
        _put_named(w, b"AJP_SSL_PROTOCOL", tls.protocol)
    _put_named(w, b"AJP_REMOTE_PORT", peer.remote_port)
    _put_named(w, b"AJP_LOCAL_ADDR", peer.local_addr)
    _put_named(w, b"JK_LB_ACTIVATION", LETTERS[0 if choice is None else choice.activation])
    return 0


cdef int _put_coded(Writer* w, uint8_t code, bytes value) except -1:
    """An attribute that has a code; nothing when there is no value."""
    if value is not None:
        put_attribute(
            w, code, <const uint8_t*>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)
        )
    return 0


cdef int _borrow(Slice* out, bytes value) except -1:
    if value is None:
        out.ptr = NULL
        out.len = 0
    else:
        out.ptr = <const uint8_t*>PyBytes_AS_STRING(value)
        out.len = PyBytes_GET_SIZE(value)
    return 0


cdef int _put_named(Writer* w, bytes name, bytes value) except -1:
    """A named attribute; nothing when there is no value."""
    if value is not None:
        put_request_attribute(
            w,
            <const uint8_t*>PyBytes_AS_STRING(name),
            PyBytes_GET_SIZE(name),
            <const uint8_t*>PyBytes_AS_STRING(value),
            PyBytes_GET_SIZE(value),
        )
    return 0


cdef list _headers(RequestHead head):
    """The headers that were put, for an error that names one."""
    pairs = []
    cdef Py_ssize_t i
    if head.authority.len > 0:
        pairs.append((b"host", head.authority.ptr[: head.authority.len]))
    for i in range(head.count):
        if not head.fields[i].dropped:
            pairs.append(
                (
                    head.fields[i].name.ptr[: head.fields[i].name.len],
                    head.fields[i].value.ptr[: head.fields[i].value.len],
                )
            )
    return pairs
