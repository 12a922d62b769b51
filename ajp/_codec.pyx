"""Encode and decode every AJP13 packet; split a stream into packets.

The Python door to the packets of `_packets`: messages in, bytes out, and back. The endpoint and the
daemon use `_packets` itself. This file knows no state: which packet may come when
is the business of `connection.py`. Garbage raises `RemoteProtocolError` and nothing else; what the
wire cannot carry raises `LocalProtocolError` before a byte exists.

Source: ajpv13a; Tomcat `AjpMessage`, `AjpProcessor`; mod_jk `jk_ajp_common.c`, `jk_msg_buff.c`.
Where those disagree, docs/explanation/protocol.md says which one this follows and why.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t

from ajp._packets cimport *
from ajp._wire cimport *

from ajp import constants
from ajp._packets import REFUSALS
from ajp.constants import AttributeCode
from ajp.errors import LocalProtocolError
from ajp.messages import (
    Attribute,
    CPing,
    CPong,
    EndResponse,
    ForwardRequest,
    GetBodyChunk,
    Ping,
    RequestBody,
    SendBodyChunk,
    SendHeaders,
    Shutdown,
)

__all__ = [
    "CPING",
    "CPONG",
    "END_OF_BODY",
    "END_RESPONSE_CLOSE",
    "END_RESPONSE_REUSE",
    "FLUSH",
    "PING",
    "SHUTDOWN",
    "Splitter",
    "decode_from_container",
    "decode_from_web_server",
    "decode_request_body",
    "encode",
    "encode_forward_request",
    "encode_get_body_chunk",
    "encode_request_body",
    "encode_send_body_chunk",
    "encode_send_headers",
]

CPING = b"\x12\x34\x00\x01\x0a"
CPONG = b"AB\x00\x01\x09"
PING = b"\x12\x34\x00\x01\x08"
SHUTDOWN = b"\x12\x34\x00\x01\x07"
END_OF_BODY = b"\x12\x34\x00\x02\x00\x00"
FLUSH = b"AB\x00\x04\x03\x00\x00\x00"
END_RESPONSE_REUSE = b"AB\x00\x02\x05\x01"
END_RESPONSE_CLOSE = b"AB\x00\x02\x05\x00"


cdef enum:
    # As constants.Tolerate.
    TOLERATE_BOOLEAN = 1
    TOLERATE_LENGTH_AND_ENCODING = 2
    TOLERATE_REPEATED_ATTRIBUTE = 4
    TOLERATE_EMPTY_URI = 8
    TOLERATE_TRAILING_BYTES = 16
    TOLERATE_ANY_HEADER_NAME = 32
    TOLERATE_ZERO_ATTRIBUTE = 64

    METHOD_CODES = 27
    LONGEST_RESPONSE_NAME = 0x9FFF  # 0xA000 and up would read as a code

cdef tuple REQUEST_HEADERS = constants.REQUEST_HEADERS
cdef tuple RESPONSE_HEADERS = constants.RESPONSE_HEADERS
cdef tuple METHODS = constants.METHODS


# --- framing --------------------------------------------------------------------------------------


@cython.final
cdef class Splitter:
    """Cut a byte stream into packet payloads, however it is fragmented.

    Holds what was fed and not yet taken, nothing more; never looks into a payload.

    Args:
        magic: `constants.MAGIC_FROM_WEB_SERVER` or `constants.MAGIC_FROM_CONTAINER`.
        max_packet_size: bytes of the largest whole packet, 8192-65536.

    Source:
        ajpv13a "Packet Headers". The size is checked as `payload <= max_packet_size - 4`, as
        Tomcat does since 10.1.49, not `payload <= max_packet_size` (mod_jk).
    """

    cdef readonly Py_ssize_t max_packet_size
    cdef uint16_t _magic
    cdef bytearray _buffer
    cdef object _error

    def __init__(self, bytes magic, Py_ssize_t max_packet_size=8192):
        check_packet_size(max_packet_size)
        if magic not in (constants.MAGIC_FROM_WEB_SERVER, constants.MAGIC_FROM_CONTAINER):
            raise ValueError(f"magic must be 12 34 or 41 42, not {magic.hex(' ')}")
        self.max_packet_size = max_packet_size
        self._magic = <uint16_t>((magic[0] << 8) | magic[1])
        self._buffer = bytearray()
        self._error = None

    @property
    def buffered(self):
        """Bytes fed and not yet taken."""
        return PyByteArray_GET_SIZE(self._buffer)

    def feed(self, data):
        """Add bytes of the stream; copies them.

        Raises:
            RemoteProtocolError: an earlier error of this stream, again.
        """
        if self._error is not None:
            raise self._error.with_traceback(None)
        self._buffer += data

    def take(self):
        """Take the next payload.

        Returns:
            The payload as bytes, maybe empty; None when no whole packet is there yet.

        Raises:
            RemoteProtocolError: wrong magic (as soon as a byte differs) or too large (as soon as
                the length is there). The stream is unusable from then on.
        """
        cdef Reader error
        cdef Py_ssize_t length
        if self._error is not None:
            raise self._error.with_traceback(None)
        cdef const uint8_t* p = <const uint8_t*>PyByteArray_AS_STRING(self._buffer)
        cdef Py_ssize_t available = PyByteArray_GET_SIZE(self._buffer)
        length = packet_length(p, available, self._magic, self.max_packet_size, &error)
        if length == MALFORMED:
            self._error = remote_error(&error, -1)
            raise self._error
        if length == NEED_MORE or available < PACKET_HEADER + length:
            return None
        payload = PyBytes_FromStringAndSize(<const char*>p + PACKET_HEADER, length)
        del self._buffer[: PACKET_HEADER + length]
        return payload

    def finish(self):
        """Say that the stream has ended.

        Raises:
            RemoteProtocolError: it ended inside a packet (E_TRUNCATED).
        """
        cdef Reader error
        if self._error is not None:
            raise self._error.with_traceback(None)
        cdef Py_ssize_t available = PyByteArray_GET_SIZE(self._buffer)
        if available == 0:
            return
        cdef const uint8_t* p = <const uint8_t*>PyByteArray_AS_STRING(self._buffer)
        cdef Py_ssize_t length = packet_length(
            p, available, self._magic, self.max_packet_size, &error
        )
        if length != MALFORMED:
            length = PACKET_HEADER + (0 if length == NEED_MORE else length)
            fail(&error, E_TRUNCATED, available, length - available, 0)
        self._error = remote_error(&error, -1)
        raise self._error


cdef extern from *:
    """
    #include <structmember.h>

    /* Where a slot of a class with __slots__ lies in its objects; -1 with an exception set. */
    static Py_ssize_t ajp_slot_offset(PyObject *type, const char *name)
    {
        PyObject *found = PyObject_GetAttrString(type, name);
        Py_ssize_t offset = -1;
        if (found == NULL)
            return -1;
        if (Py_TYPE(found) == &PyMemberDescr_Type)
            offset = ((PyMemberDescrObject *)found)->d_member->offset;
        else
            PyErr_Format(PyExc_TypeError, "%s is no slot", name);
        Py_DECREF(found);
        return offset;
    }

    #define ajp_slot(object, offset) (*(PyObject **)((char *)(object) + (offset)))

    static inline PyObject *ajp_get_slot(PyObject *object, Py_ssize_t offset)
    {
        PyObject *found = ajp_slot(object, offset);
        if (found == NULL)
            PyErr_SetString(PyExc_AttributeError, "a field of the message was never set");
        Py_XINCREF(found);
        return found;
    }

    /* Only on a fresh object. */
    static inline void ajp_set_slot(PyObject *object, Py_ssize_t offset, PyObject *value)
    {
        Py_INCREF(value);
        ajp_slot(object, offset) = value;
    }
    """
    Py_ssize_t ajp_slot_offset(object type, const char* name) except -1
    object ajp_get_slot(object o, Py_ssize_t offset)
    void ajp_set_slot(object o, Py_ssize_t offset, object value) noexcept
    object PyType_GenericAlloc(type t, Py_ssize_t items)


cdef Py_ssize_t FR_METHOD = ajp_slot_offset(ForwardRequest, "method")
cdef Py_ssize_t FR_URI = ajp_slot_offset(ForwardRequest, "uri")
cdef Py_ssize_t FR_PROTOCOL = ajp_slot_offset(ForwardRequest, "protocol")
cdef Py_ssize_t FR_REMOTE_ADDR = ajp_slot_offset(ForwardRequest, "remote_addr")
cdef Py_ssize_t FR_REMOTE_HOST = ajp_slot_offset(ForwardRequest, "remote_host")
cdef Py_ssize_t FR_SERVER_NAME = ajp_slot_offset(ForwardRequest, "server_name")
cdef Py_ssize_t FR_SERVER_PORT = ajp_slot_offset(ForwardRequest, "server_port")
cdef Py_ssize_t FR_IS_SSL = ajp_slot_offset(ForwardRequest, "is_ssl")
cdef Py_ssize_t FR_HEADERS = ajp_slot_offset(ForwardRequest, "headers")
cdef Py_ssize_t FR_ATTRIBUTES = ajp_slot_offset(ForwardRequest, "attributes")
cdef Py_ssize_t SH_STATUS = ajp_slot_offset(SendHeaders, "status")
cdef Py_ssize_t SH_REASON = ajp_slot_offset(SendHeaders, "reason")
cdef Py_ssize_t SH_HEADERS = ajp_slot_offset(SendHeaders, "headers")
cdef Py_ssize_t RB_DATA = ajp_slot_offset(RequestBody, "data")
cdef Py_ssize_t SC_DATA = ajp_slot_offset(SendBodyChunk, "data")
cdef type _RequestBody = RequestBody
cdef type _SendBodyChunk = SendBodyChunk
cdef type _ForwardRequest = ForwardRequest
cdef type _SendHeaders = SendHeaders


cdef inline object _forward_request(
    object method, object uri, object protocol, object remote_addr, object remote_host,
    object server_name, object server_port, object is_ssl, object headers, object attributes
):
    """A ForwardRequest; past the frozen dataclass's own __init__, which costs ten times as much."""
    message = PyType_GenericAlloc(_ForwardRequest, 0)
    ajp_set_slot(message, FR_METHOD, method)
    ajp_set_slot(message, FR_URI, uri)
    ajp_set_slot(message, FR_PROTOCOL, protocol)
    ajp_set_slot(message, FR_REMOTE_ADDR, remote_addr)
    ajp_set_slot(message, FR_REMOTE_HOST, remote_host)
    ajp_set_slot(message, FR_SERVER_NAME, server_name)
    ajp_set_slot(message, FR_SERVER_PORT, server_port)
    ajp_set_slot(message, FR_IS_SSL, is_ssl)
    ajp_set_slot(message, FR_HEADERS, headers)
    ajp_set_slot(message, FR_ATTRIBUTES, attributes)
    return message


cdef inline object _body(type kind, Py_ssize_t offset, object data):
    """A RequestBody or SendBodyChunk."""
    message = PyType_GenericAlloc(kind, 0)
    ajp_set_slot(message, offset, data)
    return message


cdef object _new_tuple = tuple.__new__
cdef object _key_size_code = AttributeCode.SSL_KEY_SIZE


cdef inline object _attribute(object code, object value, object name):
    """An Attribute; past the __new__ of named tuples, which is Python."""
    return _new_tuple(Attribute, (code, value, name))


cdef inline object _send_headers(object status, object reason, object headers):
    """A SendHeaders, made the same way."""
    message = PyType_GenericAlloc(_SendHeaders, 0)
    ajp_set_slot(message, SH_STATUS, status)
    ajp_set_slot(message, SH_REASON, reason)
    ajp_set_slot(message, SH_HEADERS, headers)
    return message


# --- FORWARD_REQUEST: encode ----------------------------------------------------------------------


cdef int _borrow(Slice* out, object value, str field) except -1:
    """Point a slice at a bytes object; None becomes AJP's null."""
    if value is None:
        out.ptr = NULL
        out.len = 0
        return 0
    if type(value) is not bytes:
        raise TypeError(f"{field} must be bytes or None, not {type(value).__name__}")
    out.ptr = <const uint8_t*>PyBytes_AS_STRING(value)
    out.len = PyBytes_GET_SIZE(value)
    return 0


cdef int _put_attributes(Writer* w, Slice method, bint stored, object attributes) except -1:
    """Attributes in the order given; the stored method stands before the first named one."""
    cdef Slice value, name
    cdef int code
    for attribute in attributes:
        if type(attribute) is not Attribute:
            raise TypeError(f"expected an Attribute, not {type(attribute).__name__}")
        number = <object>PyTuple_GET_ITEM(attribute, 0)
        entry = <object>PyTuple_GET_ITEM(attribute, 1)
        code = number
        if stored and code == ATTR_REQ_ATTRIBUTE:
            put_attribute(w, ATTR_STORED_METHOD, method.ptr, method.len)
            stored = False
        if code == ATTR_SSL_KEY_SIZE:
            if type(entry) is not int or not 0 <= entry <= 0xFFFF:
                raise LocalProtocolError(f"ssl_key_size must be 0-65535, not {entry!r}")
            put_key_size(w, entry)
        elif code == ATTR_REQ_ATTRIBUTE:
            if not attribute.name:
                raise LocalProtocolError("a request attribute needs a name")
            _borrow(&name, attribute.name, "attribute name")
            _borrow(&value, entry, "attribute value")
            put_request_attribute(w, name.ptr, name.len, value.ptr, value.len)
        elif 1 <= code <= 12:
            _borrow(&value, entry, "attribute value")
            put_attribute(w, <uint8_t>code, value.ptr, value.len)
        else:
            raise LocalProtocolError(f"attribute code {code} cannot be sent; expected 1-12")
        if w.err != W_NONE:
            raise LocalProtocolError(
                f"FORWARD_REQUEST: attribute {AttributeCode(code).name} {REFUSALS[w.err]}"
            )
    if stored:
        put_attribute(w, ATTR_STORED_METHOD, method.ptr, method.len)
    return 0


def encode_forward_request(message, Py_ssize_t max_packet_size=8192):
    """Encode a FORWARD_REQUEST.

    Args:
        message: a ForwardRequest.
        max_packet_size: bytes of the largest whole packet, 8192-65536.

    Returns:
        One whole packet.

    Raises:
        LocalProtocolError: it does not fit (`needed`, `limit`, `largest` are set), a header name
            is no token, a value holds CR, LF or NUL, a port or key size is out of range, lengths
            contradict each other, or an attribute repeats.

    Source:
        ajpv13a "Forward Request Packet Structure"; order of attributes is the caller's (mod_jk
        sends the secret first).
    """
    cdef uint8_t buffer[LARGEST_PACKET]
    cdef Writer w
    cdef RequestLine line
    cdef Slice name, value
    check_packet_size(max_packet_size)
    if type(message) is not ForwardRequest:
        raise TypeError(f"expected a ForwardRequest, not {type(message).__name__}")
    method = ajp_get_slot(message, FR_METHOD)
    uri = ajp_get_slot(message, FR_URI)
    protocol = ajp_get_slot(message, FR_PROTOCOL)
    remote_addr = ajp_get_slot(message, FR_REMOTE_ADDR)
    remote_host = ajp_get_slot(message, FR_REMOTE_HOST)
    server_name = ajp_get_slot(message, FR_SERVER_NAME)
    headers = ajp_get_slot(message, FR_HEADERS)
    _borrow(&line.method, method, "method")
    _borrow(&line.protocol, protocol, "protocol")
    _borrow(&line.uri, uri, "uri")
    _borrow(&line.remote_addr, remote_addr, "remote_addr")
    _borrow(&line.remote_host, remote_host, "remote_host")
    _borrow(&line.server_name, server_name, "server_name")
    if line.method.ptr == NULL or not is_token(line.method.ptr, line.method.len):
        raise LocalProtocolError(f"method {method!r} is not a token")
    if line.uri.len == 0:
        raise LocalProtocolError("uri is empty")
    port = ajp_get_slot(message, FR_SERVER_PORT)
    if not 0 <= port <= 0xFFFF:
        raise LocalProtocolError(f"server_port must be 0-65535, not {port}")
    line.server_port = port
    line.is_ssl = ajp_get_slot(message, FR_IS_SSL)
    writer_init(&w, buffer, max_packet_size)
    begin_forward_request(&w, &line)
    for header in headers:
        if type(header) is tuple and PyTuple_GET_SIZE(header) == 2:
            key = <object>PyTuple_GET_ITEM(header, 0)
            text = <object>PyTuple_GET_ITEM(header, 1)
        else:
            key, text = header
        _borrow(&name, key, "header name")
        _borrow(&value, text, "header value")
        if value.ptr == NULL:
            raise LocalProtocolError(f"header {key!r} has no value")
        put_request_header(&w, name.ptr, name.len, value.ptr, value.len)
    end_request_headers(&w)
    if w.err == W_NONE:
        stored = buffer[5] == STORED_METHOD
        _put_attributes(&w, line.method, stored, ajp_get_slot(message, FR_ATTRIBUTES))
        end_forward_request(&w)
    check_written(&w, max_packet_size, "FORWARD_REQUEST", headers)
    return PyBytes_FromStringAndSize(<const char*>buffer, w.pos)


# --- FORWARD_REQUEST: decode ----------------------------------------------------------------------


cdef tuple _get_request_headers(Reader* r, Py_ssize_t max_headers, int tolerate):
    """Headers of a request; lengths are checked here because a wrong one smuggles requests."""
    cdef Slice name, value
    cdef Py_ssize_t at, count, _index
    cdef bint has_length = False, has_encoding = False
    cdef int code
    at = r.pos
    count = get_u16(r)
    if count > max_headers:
        fail(r, E_HEADER_COUNT, at, max_headers, count)
    headers = []
    for _index in range(count):
        if r.err != E_NONE:
            break
        at = r.pos
        code = get_header_name(r, &name, True, tolerate & TOLERATE_ANY_HEADER_NAME)
        get_header_value(r, &value)
        if r.err != E_NONE:
            break
        if name.len == 14 and equals_ignoring_case(name.ptr, b"content-length", 14):
            if has_length or parse_length(value.ptr, value.len) < 0:
                fail(r, E_CONTENT_LENGTH, at, 0, 0)
            has_length = True
        elif name.len == 17 and equals_ignoring_case(name.ptr, b"transfer-encoding", 17):
            has_encoding = True
        if has_length and has_encoding and not tolerate & TOLERATE_LENGTH_AND_ENCODING:
            fail(r, E_CL_TE, at, 0, 0)
        key = REQUEST_HEADERS[code] if code != 0 else slice_bytes(name)
        headers.append((key, slice_bytes(value)))
    return tuple(headers)


cdef int _get_key_size(Reader* r) noexcept nogil:
    """SSL_KEY_SIZE as integer, or as the string some peers send.

    No real key has 1 to 5 bits, so such a number followed by that many digits and a NUL is a
    string's length.
    """
    cdef Py_ssize_t length = get_u16(r)
    cdef Py_ssize_t i
    cdef int value = 0
    if not 1 <= length <= 5 or r.end - r.pos < length + 1 or r.base[r.pos + length] != 0:
        return <int>length
    for i in range(length):
        if not 48 <= r.base[r.pos + i] <= 57:
            return <int>length
        value = value * 10 + (r.base[r.pos + i] - 48)
    if value > 0xFFFF:
        return <int>length
    r.pos += length + 1
    return value


cdef object _get_attributes(Reader* r, int tolerate, Slice* stored_method):
    """Attributes up to the terminator; the stored method is handed out apart."""
    cdef Slice name, value
    cdef int code
    cdef int seen = 0
    cdef Py_ssize_t at
    attributes = []
    stored_method.ptr = NULL
    stored_method.len = 0
    while r.err == E_NONE:
        at = r.pos
        if r.pos >= r.end:
            fail(r, E_NO_TERMINATOR, at, 0, 0)
            break
        code = get_u8(r)
        if code == 0xFF:
            break
        if code == 0 and tolerate & TOLERATE_ZERO_ATTRIBUTE:
            continue
        if code == 0 or code > 13:
            fail(r, E_ATTR_CODE, at, 0, code)
            break
        if code != ATTR_REQ_ATTRIBUTE:
            if seen & (1 << code) and not tolerate & TOLERATE_REPEATED_ATTRIBUTE:
                fail(r, E_ATTR_DUP, at, 0, code)
                break
            seen |= 1 << code
        if code == ATTR_SSL_KEY_SIZE:
            attributes.append(_attribute(_key_size_code, _get_key_size(r), None))
            continue
        name.ptr = NULL
        name.len = 0
        if code == ATTR_REQ_ATTRIBUTE:
            get_string(r, &name)
            if r.err == E_NONE and name.len == 0:
                fail(r, E_ATTR_NAME, at, 0, 0)
        get_string(r, &value)
        if r.err != E_NONE:
            break
        if code == ATTR_STORED_METHOD:
            stored_method[0] = value
        else:
            attributes.append(
                _attribute(ATTRIBUTE_CODES[code], slice_bytes(value), slice_bytes(name))
            )
    return tuple(attributes)


cdef tuple ATTRIBUTE_CODES = (None, *AttributeCode)


cdef object _decode_forward_request(Reader* r, Py_ssize_t max_headers, int tolerate):
    """The fields of a FORWARD_REQUEST, the reader standing behind the type."""
    cdef Slice protocol, uri, remote_addr, remote_host, server_name, stored
    cdef int code
    cdef Py_ssize_t port, at
    cdef int is_ssl
    code = get_u8(r)
    if r.err == E_NONE and code != STORED_METHOD and not 1 <= code <= METHOD_CODES:
        fail(r, E_METHOD, 1, 0, code)
    get_string(r, &protocol)
    at = r.pos
    get_string(r, &uri)
    if r.err == E_NONE and uri.len == 0 and not tolerate & TOLERATE_EMPTY_URI:
        fail(r, E_URI, at, 0, 0)
    get_string(r, &remote_addr)
    get_string(r, &remote_host)
    get_string(r, &server_name)
    port = get_u16(r)
    at = r.pos
    is_ssl = get_u8(r)
    if is_ssl > 1 and not tolerate & TOLERATE_BOOLEAN:
        fail(r, E_BOOLEAN, at, 0, is_ssl)
    headers = _get_request_headers(r, max_headers, tolerate)
    attributes = _get_attributes(r, tolerate, &stored)
    if r.err == E_NONE and r.pos < r.end and not tolerate & TOLERATE_TRAILING_BYTES:
        fail(r, E_TRAILING, r.pos, 0, r.end - r.pos)
    if r.err == E_NONE:
        if (code == STORED_METHOD) != (stored.ptr != NULL) or (
            stored.ptr != NULL and not is_token(stored.ptr, stored.len)
        ):
            fail(r, E_METHOD, 1, 0, code)
    if r.err != E_NONE:
        raise remote_error(r, FORWARD_REQUEST)
    return _forward_request(
        slice_bytes(stored) if code == STORED_METHOD else METHODS[code],
        slice_bytes(uri) or b"",
        slice_bytes(protocol),
        slice_bytes(remote_addr),
        slice_bytes(remote_host),
        slice_bytes(server_name),
        port,
        is_ssl != 0,
        headers,
        attributes,
    )


def decode_from_web_server(payload, Py_ssize_t max_headers=512, int tolerate=0):
    """Decode a packet that begins with its type, as a container receives it while idle.

    Args:
        payload: whole payload, type byte included.
        max_headers: a request with more headers is refused.
        tolerate: `constants.Tolerate` flags.

    Returns:
        ForwardRequest, CPing, Ping or Shutdown.

    Raises:
        RemoteProtocolError: anything else. Reasons come in the order of the bytes, except those
            that only the end of the packet shows (stored method, trailing bytes).

    Source:
        ajpv13a "Forward Request Packet Structure". Differs: unknown attribute codes are refused;
        Tomcat skips the code byte alone and reads the value as codes.
    """
    cdef bytes data = payload if type(payload) is bytes else bytes(memoryview(payload))
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(data)
    cdef Reader r
    cdef int kind = -1
    reader_init(&r, p, length)
    if length == 0:
        fail(&r, E_EMPTY, 0, 1, 0)
        raise remote_error(&r, kind)
    kind = get_u8(&r)
    if kind == FORWARD_REQUEST:
        return _decode_forward_request(&r, max_headers, tolerate)
    if kind not in (CPING_PACKET, PING_PACKET, SHUTDOWN_PACKET):
        fail(&r, E_TYPE, 0, 0, kind)
    elif length > 1:
        fail(&r, E_TRAILING, 1, 0, length - 1)
    if r.err != E_NONE:
        raise remote_error(&r, kind)
    if kind == CPING_PACKET:
        return CPing()
    return Ping() if kind == PING_PACKET else Shutdown()


# --- request body ---------------------------------------------------------------------------------


def encode_request_body(data, Py_ssize_t max_packet_size=8192):
    """Encode request body data; the end of a body is `END_OF_BODY`.

    Args:
        data: 1 to max_packet_size - 6 bytes.

    Returns:
        One whole packet.

    Raises:
        LocalProtocolError: no data (that would say end of body), or more than fits.
    """
    cdef uint8_t header[6]
    check_packet_size(max_packet_size)
    cdef Py_ssize_t length = len(data)
    if not 1 <= length <= max_packet_size - 6:
        raise LocalProtocolError(
            f"request body packet takes 1-{max_packet_size - 6} bytes, not {length}",
            needed=length + 6,
            limit=max_packet_size,
        )
    body_packet_header(header, length)
    return PyBytes_FromStringAndSize(<const char*>header, 6) + bytes(data)


def decode_request_body(payload, bint strict=False):
    """Decode a request-body packet, which only the connection's state can tell apart.

    Args:
        payload: whole payload; empty means end of body, like an inner length of 0.
        strict: refuse bytes behind the data (Tomcat's own test client sends four).

    Returns:
        RequestBody; no data means the body is complete.

    Raises:
        RemoteProtocolError: inner length missing or larger than the payload.
    """
    cdef bytes data = payload if type(payload) is bytes else bytes(memoryview(payload))
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t inner
    cdef Reader r
    if length == 0:
        return RequestBody()
    reader_init(&r, p, length)
    inner = get_u16(&r)
    if r.err == E_NONE and (inner > length - 2 or (strict and inner != length - 2)):
        fail(&r, E_BODY_LEN, 0, length - 2, inner)
    if r.err != E_NONE:
        raise remote_error(&r, -1)
    return _body(_RequestBody, RB_DATA, PyBytes_FromStringAndSize(<const char*>r.base + 2, inner))


# --- container to web server ----------------------------------------------------------------------


def encode_send_headers(message, Py_ssize_t max_packet_size=8192):
    """Encode a SEND_HEADERS.

    Returns:
        One whole packet.

    Raises:
        LocalProtocolError: status outside 200-999, a header that cannot be said, or too large.

    Source:
        ajpv13a "Send Headers". Differs: a header name is a two-byte code 0xA0nn, not one byte.
    """
    cdef uint8_t buffer[LARGEST_PACKET]
    cdef Writer w
    cdef Slice name, value
    cdef int code
    check_packet_size(max_packet_size)
    if type(message) is not SendHeaders:
        raise TypeError(f"expected SendHeaders, not {type(message).__name__}")
    status = ajp_get_slot(message, SH_STATUS)
    reason = ajp_get_slot(message, SH_REASON)
    headers = ajp_get_slot(message, SH_HEADERS)
    if not 200 <= status <= 999:
        raise LocalProtocolError(f"status must be 200-999, not {status}")
    _borrow(&value, reason, "reason")
    if has_line_break(value.ptr, value.len):
        raise LocalProtocolError("reason holds CR or LF")
    writer_init(&w, buffer, max_packet_size)
    put_u16(&w, MAGIC_FROM_CONTAINER_U16)
    put_u16(&w, 0)
    put_u8(&w, SEND_HEADERS)
    put_u16(&w, status)
    put_string(&w, value.ptr, value.len)
    put_u16(&w, len(headers))
    for header in headers:
        if type(header) is tuple and PyTuple_GET_SIZE(header) == 2:
            key = <object>PyTuple_GET_ITEM(header, 0)
            text = <object>PyTuple_GET_ITEM(header, 1)
        else:
            key, text = header
        _borrow(&name, key, "header name")
        _borrow(&value, text, "header value")
        if value.ptr == NULL:
            raise LocalProtocolError(f"header {key!r} has no value")
        code = response_header_code(name.ptr, name.len)
        if code != 0:
            put_u16(&w, 0xA000 | code)
        elif not is_token(name.ptr, name.len):
            refuse(&w, W_NOT_TOKEN, w.headers)
        elif name.len > LONGEST_RESPONSE_NAME:
            refuse(&w, W_NAME_TOO_LONG, w.headers)
        else:
            put_text(&w, name.ptr, name.len)
        if w.err == W_NONE:
            put_header_value(&w, value.ptr, value.len)
        if w.err != W_NONE:
            break
    check_written(&w, max_packet_size, "SEND_HEADERS", headers)
    store_u16(buffer + 2, w.pos - PACKET_HEADER)
    return PyBytes_FromStringAndSize(<const char*>buffer, w.pos)


def encode_send_body_chunk(data, Py_ssize_t max_packet_size=8192):
    """Encode response body data; a flush is `FLUSH`.

    Args:
        data: 1 to max_packet_size - 8 bytes.

    Returns:
        One whole packet, trailing NUL included.

    Raises:
        LocalProtocolError: no data (that would say flush), or more than fits.

    Source:
        ajpv13a "Send Body Chunk". Differs: the trailing NUL is not in the text; Tomcat writes it
        and mod_proxy_ajp insists on it.
    """
    cdef uint8_t header[7]
    check_packet_size(max_packet_size)
    cdef Py_ssize_t length = len(data)
    if not 1 <= length <= max_packet_size - 8:
        raise LocalProtocolError(
            f"response body packet takes 1-{max_packet_size - 8} bytes, not {length}",
            needed=length + 8,
            limit=max_packet_size,
        )
    store_u16(header, MAGIC_FROM_CONTAINER_U16)
    store_u16(header + 2, length + 4)
    header[4] = SEND_BODY_CHUNK
    store_u16(header + 5, length)
    return b"".join((PyBytes_FromStringAndSize(<const char*>header, 7), data, b"\0"))


def encode_get_body_chunk(Py_ssize_t requested, Py_ssize_t max_packet_size=8192):
    """Encode a GET_BODY_CHUNK.

    Args:
        requested: 1 to max_packet_size - 6 bytes.

    Raises:
        LocalProtocolError: requested is outside that range.
    """
    cdef uint8_t packet[7]
    check_packet_size(max_packet_size)
    if not 1 <= requested <= max_packet_size - 6:
        raise LocalProtocolError(
            f"requested length must be 1-{max_packet_size - 6}, not {requested}"
        )
    store_u16(packet, MAGIC_FROM_CONTAINER_U16)
    store_u16(packet + 2, 3)
    packet[4] = GET_BODY_CHUNK
    store_u16(packet + 5, requested)
    return PyBytes_FromStringAndSize(<const char*>packet, 7)


cdef object _decode_send_headers(Reader* r, Py_ssize_t max_headers):
    """The fields of a SEND_HEADERS; the same reading as `ResponseHead.load`, with objects made."""
    cdef Slice reason, name, value
    cdef int status, code
    cdef Py_ssize_t count = get_response_line(r, &status, &reason, max_headers)
    cdef Py_ssize_t _index
    headers = []
    for _index in range(count):
        code = get_header_name(r, &name, False, False)
        get_header_value(r, &value)
        if r.err != E_NONE:
            break
        key = RESPONSE_HEADERS[code] if code != 0 else slice_bytes(name)
        headers.append((key, slice_bytes(value)))
    if r.err == E_NONE and r.pos < r.end:
        fail(r, E_TRAILING, r.pos, 0, r.end - r.pos)
    if r.err != E_NONE:
        raise remote_error(r, SEND_HEADERS)
    return _send_headers(status, slice_bytes(reason), tuple(headers))


def decode_from_container(payload, Py_ssize_t max_headers=512):
    """Decode a packet as a web server receives it.

    Args:
        payload: whole payload, type byte included.
        max_headers: a response with more headers is refused.

    Returns:
        SendHeaders, SendBodyChunk, EndResponse, GetBodyChunk or CPong.

    Raises:
        RemoteProtocolError: anything else.

    Source:
        ajpv13a "Response Packet Structure". Reads a body chunk with and without trailing NUL, and
        an END_RESPONSE flag other than 0 and 1 as 0.
    """
    cdef bytes data = payload if type(payload) is bytes else bytes(memoryview(payload))
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(data)
    cdef Reader r
    cdef Py_ssize_t number
    reader_init(&r, p, length)
    if length == 0:
        fail(&r, E_EMPTY, 0, 1, 0)
        raise remote_error(&r, -1)
    cdef int kind = p[0]
    message = None
    if kind == SEND_HEADERS:
        return _decode_send_headers(&r, max_headers)
    elif kind == SEND_BODY_CHUNK:
        number = chunk_length(p, length, &r)
        if number >= 0:
            return _body(_SendBodyChunk, SC_DATA, PyBytes_FromStringAndSize(<const char*>p + 3, number))
    elif kind == END_RESPONSE:
        number = end_response_reuse(p, length, &r)
        message = EndResponse(number == 1)
    elif kind == GET_BODY_CHUNK:
        message = GetBodyChunk(get_body_length(p, length, &r))
    elif kind == CPONG_PACKET:
        if length > 1:
            fail(&r, E_TRAILING, 1, 0, length - 1)
        message = CPong()
    else:
        fail(&r, E_TYPE, 0, 0, kind)
    if r.err != E_NONE:
        raise remote_error(&r, kind)
    return message


# --- any message ----------------------------------------------------------------------------------


def encode(message, Py_ssize_t max_packet_size=8192):
    """Encode any message; `RequestBody()` is the end of a body and `SendBodyChunk()` a flush.

    Raises:
        LocalProtocolError: as the encoder of that message.
        TypeError: not a message of `ajp.messages`.
    """
    kind = type(message)
    if kind is ForwardRequest:
        return encode_forward_request(message, max_packet_size)
    if kind is RequestBody:
        return encode_request_body(message.data, max_packet_size) if message.data else END_OF_BODY
    if kind is SendBodyChunk:
        return encode_send_body_chunk(message.data, max_packet_size) if message.data else FLUSH
    if kind is SendHeaders:
        return encode_send_headers(message, max_packet_size)
    if kind is EndResponse:
        return END_RESPONSE_REUSE if message.reuse else END_RESPONSE_CLOSE
    if kind is GetBodyChunk:
        return encode_get_body_chunk(message.requested, max_packet_size)
    fixed = FIXED_PACKETS.get(kind)
    if fixed is None:
        raise TypeError(f"expected a message of ajp.messages, not {kind.__name__}")
    return fixed


cdef dict FIXED_PACKETS = {CPing: CPING, CPong: CPONG, Ping: PING, Shutdown: SHUTDOWN}
