"""A client's request head as a FORWARD_REQUEST.

Which headers go along, what the container learns of the client, and in what order: one place, so
that it can be held against mod_jk line by line.

Source: mod_jk `ajp_marshal_into_msgb`, `init_ws_service`. Differs: hop-by-hop fields stay here
(RFC 9110 §7.6.1), and Expect with them.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from ajp._packets cimport (
    ATTR_QUERY_STRING,
    ATTR_SECRET,
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
    put_request_attribute,
    put_request_header,
)
from ajp._wire cimport W_NONE, Slice, Writer, writer_init
from ajpd._service cimport ClientSide, Target
from ajpd.http._request cimport RequestHead

cdef uint8_t BUFFER[LARGEST_PACKET]


cdef bytes forward_request(RequestHead head, bytes uri, Target target, ClientSide client):
    """Write the FORWARD_REQUEST, whole, before any endpoint is touched.

    Raises LocalProtocolError when it does not fit, or cannot be said.
    """
    cdef Writer w
    cdef RequestLine line
    cdef Py_ssize_t i
    cdef bytes server_name
    line.method = head.method
    line.protocol.ptr = <const uint8_t*>(b"HTTP/1.1" if head.minor >= 1 else b"HTTP/1.0")
    line.protocol.len = 8
    line.uri.ptr = <const uint8_t*>PyBytes_AS_STRING(uri)
    line.uri.len = PyBytes_GET_SIZE(uri)
    _borrow(&line.remote_addr, client.remote_addr)
    line.remote_host.ptr = NULL
    line.remote_host.len = 0
    if head.host.len > 0:
        server_name = PyBytes_FromStringAndSize(<const char*>head.host.ptr, head.host.len)
        server_name = server_name.lower()
    else:
        server_name = client.local_addr
    _borrow(&line.server_name, server_name)
    line.is_ssl = client.is_tls
    line.server_port = head.port if head.port > 0 else client.local_port
    writer_init(&w, BUFFER, target.max_packet_size)
    begin_forward_request(&w, &line)
    if head.authority.len > 0:
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
    end_request_headers(&w)
    _put_attributes(&w, head, target, client)
    end_forward_request(&w)
    if w.err != W_NONE or w.pos > target.max_packet_size:
        check_written(&w, target.max_packet_size, "FORWARD_REQUEST", _headers(head))
    return PyBytes_FromStringAndSize(<const char*>BUFFER, w.pos)


cdef int _put_attributes(
    Writer* w, RequestHead head, Target target, ClientSide client
) except -1:
    """Attributes in mod_jk's order: the secret first, so that a container can stop early."""
    cdef bytes secret = target.secret
    if secret is not None:
        put_attribute(
            w, ATTR_SECRET, <const uint8_t*>PyBytes_AS_STRING(secret), PyBytes_GET_SIZE(secret)
        )
    if head.query.ptr != NULL:
        put_attribute(w, ATTR_QUERY_STRING, head.query.ptr, head.query.len)
    if method_code(head.method.ptr, head.method.len) == STORED_METHOD:
        put_attribute(w, ATTR_STORED_METHOD, head.method.ptr, head.method.len)
    _put_named(w, b"AJP_REMOTE_PORT", client.remote_port)
    _put_named(w, b"AJP_LOCAL_ADDR", client.local_addr)
    _put_named(w, b"JK_LB_ACTIVATION", b"ACT")
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
