"""HTTP/1.1 responses as bytes: a container's head turned into ours.

Hop-by-hop fields of the container go no further; how the body is framed is decided here, once.

Source: RFC 9110 §6.4, §7.6.1, §8.6; RFC 9112 §6. mod_jk leaves framing to httpd.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from ajp._packets cimport ResponseHead, equals_ignoring_case, parse_length
from ajp._wire cimport Slice

from http import HTTPStatus

from ajp.errors import RemoteProtocolError

cdef enum:
    # A head of one packet grows here: two bytes of code become up to 16 bytes of name. Four times
    # the largest packet holds any, with room for the lines we add.
    SCRATCH_SIZE = 4 * 65536 + 4096

cdef uint8_t SCRATCH[SCRATCH_SIZE]

cdef dict PHRASES = {int(status): status.phrase.encode() for status in HTTPStatus}
cdef dict STATUS_LINES = {
    code: b"HTTP/1.1 %d %s\r\n" % (code, phrase) for code, phrase in PHRASES.items()
}


cdef inline Py_ssize_t _put(Py_ssize_t at, const void* p, Py_ssize_t length) noexcept nogil:
    memcpy(SCRATCH + at, p, <size_t>length)
    return at + length


cdef Py_ssize_t _put_status_line(ResponseHead head):
    """Status line with the container's phrase, or the usual one where it said none."""
    cdef bytes line = None
    cdef Slice reason = head._reason
    cdef Py_ssize_t i
    own = STATUS_LINES.get(head.status)
    if reason.len <= 3:
        # null, empty, or the number as text, which is what Tomcat sends
        line = own if own is not None else b"HTTP/1.1 %d \r\n" % head.status
    else:
        for i in range(reason.len):
            if reason.ptr[i] < 32 or reason.ptr[i] == 127:
                line = own if own is not None else b"HTTP/1.1 %d \r\n" % head.status
                break
        else:
            line = b"HTTP/1.1 %d %s\r\n" % (head.status, head.reason)
    return _put(0, PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))


cdef inline bint _is(Slice name, const char* lower, Py_ssize_t length) noexcept nogil:
    return equals_ignoring_case(name.ptr, lower, length)


cdef inline bint _hop_by_hop(Slice name) noexcept nogil:
    """Fields that speak of the container's own connection."""
    cdef Py_ssize_t n = name.len
    if n == 2:
        return _is(name, b"te", 2)
    if n == 7:
        return _is(name, b"upgrade", 7) or _is(name, b"trailer", 7)
    if n == 10:
        return _is(name, b"connection", 10) or _is(name, b"keep-alive", 10)
    if n == 16:
        return _is(name, b"proxy-connection", 16)
    if n == 17:
        return _is(name, b"transfer-encoding", 17)
    return False


cdef int64_t _length(Slice value, int64_t before) except -2:
    """A Content-Length; the same one again is harmless, another one is not."""
    cdef int64_t total = parse_length(value.ptr, value.len)
    if total < 0 or (before >= 0 and total != before):
        raise RemoteProtocolError(
            "SEND_HEADERS: Content-Length is no length, or contradicts another one",
            code="E_CONTENT_LENGTH",
            expected="one Content-Length of 0 to 2^63-1",
            got="another value",
            packet_type=4,
        )
    return total


cdef bytes response_head(ResponseHead head, ResponsePlan* plan, bytes date_line, bytes more):
    """Turn a SEND_HEADERS into an HTTP/1.1 head and decide the framing of the body."""
    cdef Slice name, value
    cdef Py_ssize_t at = _put_status_line(head)
    cdef int64_t length = -1
    cdef bint dated = False
    plan.length = -1
    head.rewind()
    while head.next(&name, &value):
        if _hop_by_hop(name):
            continue
        if name.len == 14 and _is(name, b"content-length", 14):
            if length >= 0:
                length = _length(value, length)
                continue
            length = _length(value, -1)
            # No body comes: Tomcat's 0 on a 304 would speak of the 200, and be wrong.
            if head.status == 204 or head.status == 205 or head.status == 304:
                continue
        elif name.len == 4 and _is(name, b"date", 4):
            dated = True
        at = _put(at, name.ptr, name.len)
        at = _put(at, b": ", 2)
        at = _put(at, value.ptr, value.len)
        at = _put(at, b"\r\n", 2)
    if not dated:
        at = _put(at, PyBytes_AS_STRING(date_line), PyBytes_GET_SIZE(date_line))
    if more is not None:
        at = _put(at, PyBytes_AS_STRING(more), PyBytes_GET_SIZE(more))
    if plan.head_request or head.status == 204 or head.status == 304:
        plan.framing = NO_BODY
    elif head.status == 205:
        # Framed like any response, and always empty (RFC 9110 §15.3.6).
        plan.framing = NO_BODY
        at = _put(at, b"Content-Length: 0\r\n", 19)
    elif length >= 0:
        plan.framing = BY_LENGTH
        plan.length = length
    elif plan.minor >= 1:
        plan.framing = BY_CHUNKS
        at = _put(at, b"Transfer-Encoding: chunked\r\n", 28)
    else:
        plan.framing = BY_CLOSE
        plan.keep_alive = False
    if not plan.keep_alive:
        at = _put(at, b"Connection: close\r\n", 19)
    elif plan.minor == 0:
        at = _put(at, b"Connection: keep-alive\r\n", 24)
    at = _put(at, b"\r\n", 2)
    return PyBytes_FromStringAndSize(<const char*>SCRATCH, at)
