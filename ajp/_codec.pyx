"""Encode and decode every AJP13 packet; split a stream into packets.

One implementation, two doors: the cdef functions of `_codec.pxd` for the endpoint and the daemon,
the Python functions of `_codec.pyi` over them. This file knows no state: which packet may come when
is the business of `connection.py`. Garbage raises `RemoteProtocolError` and nothing else; what the
wire cannot carry raises `LocalProtocolError` before a byte exists.

Source: ajpv13a; Tomcat `AjpMessage`, `AjpProcessor`; mod_jk `jk_ajp_common.c`, `jk_msg_buff.c`.
Where those disagree, docs/explanation/protocol.md says which one this follows and why.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint16_t
from libc.string cimport memchr, memcmp

from ajp._wire cimport *

from enum import IntFlag

from ajp import constants
from ajp.constants import AttributeCode, PacketType
from ajp.errors import LocalProtocolError, RemoteProtocolError
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
    "ResponseHead",
    "Splitter",
    "Tolerate",
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


class Tolerate(IntFlag):
    """Rules of this decoder that some real peers break; each can be waived on its own.

    Bounds are never among them.
    """

    NOTHING = 0
    BOOLEAN = 1  # is_ssl other than 0 and 1: non-zero is true
    LENGTH_AND_ENCODING = 2  # Content-Length and Transfer-Encoding in one request
    REPEATED_ATTRIBUTE = 4  # a single-valued attribute twice
    EMPTY_URI = 8  # req_uri null or empty
    TRAILING_BYTES = 16  # bytes behind the message, inside the packet
    ANY_HEADER_NAME = 32  # a header name that is no RFC 9110 token
    ZERO_ATTRIBUTE = 64  # attribute code 0x00 is skipped, as Tomcat and Undertow do


cdef enum:
    TOLERATE_BOOLEAN = 1
    TOLERATE_LENGTH_AND_ENCODING = 2
    TOLERATE_REPEATED_ATTRIBUTE = 4
    TOLERATE_EMPTY_URI = 8
    TOLERATE_TRAILING_BYTES = 16
    TOLERATE_ANY_HEADER_NAME = 32
    TOLERATE_ZERO_ATTRIBUTE = 64

    REQUEST_HEADER_CODES = 14
    RESPONSE_HEADER_CODES = 11
    METHOD_CODES = 27
    CONTENT_LENGTH_CODE = 8
    LONGEST_REQUEST_NAME = 255      # Undertow reads any longer name as a code
    LONGEST_RESPONSE_NAME = 0x9FFF  # 0xA000 and up would read as a code


# --- tables ---------------------------------------------------------------------------------------

cdef uint8_t TOKEN[256]
cdef Slice REQUEST_NAMES[15]
cdef Slice RESPONSE_NAMES[12]
cdef Slice METHOD_NAMES[28]
cdef dict RESPONSE_CODES = {}
# The slices above point into these; they must live as long as the module.
cdef tuple _request_names = constants.REQUEST_HEADERS
cdef tuple _response_names = constants.RESPONSE_HEADERS
cdef tuple _methods = constants.METHODS


cdef int _fill(Slice* table, tuple names) except -1:
    cdef Py_ssize_t index
    for index in range(len(names)):
        table[index].ptr = <const uint8_t*>PyBytes_AS_STRING(names[index])
        table[index].len = PyBytes_GET_SIZE(names[index])
    return 0


_fill(REQUEST_NAMES, _request_names)
_fill(RESPONSE_NAMES, _response_names)
_fill(METHOD_NAMES, _methods)
for _index in range(1, RESPONSE_HEADER_CODES + 1):
    RESPONSE_CODES[_response_names[_index].lower()] = _index
for _index in range(256):
    TOKEN[_index] = 1 if bytes([_index]).isalnum() or _index in b"!#$%&'*+-.^_`|~" else 0


cdef bint is_token(const uint8_t* p, Py_ssize_t length) noexcept nogil:
    """Whether these bytes are an RFC 9110 token."""
    cdef Py_ssize_t i
    if length <= 0:
        return False
    for i in range(length):
        if not TOKEN[p[i]]:
            return False
    return True


cdef bint is_header_value(const uint8_t* p, Py_ssize_t length) noexcept nogil:
    """Whether these bytes hold no CR, LF or NUL."""
    if length <= 0:
        return True
    return (
        memchr(p, 13, <size_t>length) == NULL
        and memchr(p, 10, <size_t>length) == NULL
        and memchr(p, 0, <size_t>length) == NULL
    )


cdef inline bint _has_line_break(const uint8_t* p, Py_ssize_t length) noexcept nogil:
    return length > 0 and (
        memchr(p, 13, <size_t>length) != NULL or memchr(p, 10, <size_t>length) != NULL
    )


cdef bint equals_ignoring_case(
    const uint8_t* p, const char* lower, Py_ssize_t length
) noexcept nogil:
    """Whether a token equals a lower-case name of the same length."""
    cdef Py_ssize_t i
    for i in range(length):
        if (p[i] | 0x20) != <uint8_t>lower[i]:
            return False
    return True


cdef int method_code(const uint8_t* p, Py_ssize_t length) noexcept nogil:
    """Code of a method name, 255 when it has none."""
    cdef int code
    for code in range(1, METHOD_CODES + 1):
        if METHOD_NAMES[code].len == length and memcmp(METHOD_NAMES[code].ptr, p, length) == 0:
            return code
    return STORED_METHOD


cdef int _request_header_code(const uint8_t* p, Py_ssize_t length) noexcept nogil:
    """Low byte of the code of a request header name in any case, 0 when it has none."""
    cdef int code
    if length < 4 or length > 15:
        return 0
    for code in range(1, REQUEST_HEADER_CODES + 1):
        if REQUEST_NAMES[code].len == length and equals_ignoring_case(
            p, <const char*>REQUEST_NAMES[code].ptr, length
        ):
            return code
    return 0


# --- errors ---------------------------------------------------------------------------------------

# WireError -> (name, what was expected, what was there); {e} and {g} are the reader's two numbers.
cdef dict RULES = {
    E_MAGIC: ("E_MAGIC", "packet to begin with {e:#06x}", "{g:#04x}"),
    E_TOO_LARGE: ("E_TOO_LARGE", "payload of at most {e} bytes", "{g} bytes declared"),
    E_TRUNCATED: ("E_TRUNCATED", "{e} more bytes", "end of stream"),
    E_EMPTY: ("E_EMPTY", "a packet type", "an empty payload"),
    E_TYPE: ("E_TYPE", "a packet type of this direction", "type {g}"),
    E_SHORT_FIELD: ("E_SHORT_FIELD", "{e} more bytes", "{g} left in the payload"),
    E_STRING_OVERRUN: ("E_STRING_OVERRUN", "string of at most {e} bytes", "length {g}"),
    E_STRING_NUL: ("E_STRING_NUL", "NUL behind the string", "byte {g:#04x}"),
    E_STRING_EMBEDDED_NUL: ("E_STRING_EMBEDDED_NUL", "string without NUL", "NUL at its byte {g}"),
    E_METHOD: ("E_METHOD", "method code 1-27, or 255 with a token as stored method", "code {g}"),
    E_URI: ("E_URI", "a request URI", "null or empty string"),
    E_BOOLEAN: ("E_BOOLEAN", "0 or 1", "{g}"),
    E_HEADER_CODE: ("E_HEADER_CODE", "header name code 0xa001-{e:#06x}", "code {g:#06x}"),
    E_HEADER_NAME: ("E_HEADER_NAME", "a token as header name", "null, empty or another byte"),
    E_HEADER_VALUE: ("E_HEADER_VALUE", "text without CR and LF", "null, CR or LF"),
    E_HEADER_COUNT: ("E_HEADER_COUNT", "at most {e} headers", "{g} headers"),
    E_CONTENT_LENGTH: ("E_CONTENT_LENGTH", "one Content-Length of 0 to 2^63-1", "another value"),
    E_CL_TE: ("E_CL_TE", "Content-Length or Transfer-Encoding", "both"),
    E_ATTR_CODE: ("E_ATTR_CODE", "attribute code 1-13 or 255", "code {g}"),
    E_ATTR_NAME: ("E_ATTR_NAME", "an attribute name", "null or empty string"),
    E_ATTR_DUP: ("E_ATTR_DUP", "attribute {g} once", "a second one"),
    E_NO_TERMINATOR: ("E_NO_TERMINATOR", "an attribute or 0xff", "end of the payload"),
    E_TRAILING: ("E_TRAILING", "end of the payload", "{g} more bytes"),
    E_BODY_LEN: ("E_BODY_LEN", "body length of {e}", "{g}"),
    E_CHUNK_LEN: ("E_CHUNK_LEN", "chunk of {e} bytes and NUL", "length {g}"),
    E_REQ_LEN: ("E_REQ_LEN", "requested length of 1-65534", "{g}"),
    E_STATUS: ("E_STATUS", "status 100-999", "{g}"),
}

cdef dict PACKET_NAMES = {int(kind): kind.name for kind in PacketType}


cdef object remote_error(Reader* r, int packet_type):
    """The exception for what went wrong in a reader."""
    name, expected, got = RULES[r.err]
    expected = expected.format(e=r.err_expected, g=r.err_got)
    got = got.format(e=r.err_expected, g=r.err_got)
    kind = PACKET_NAMES.get(packet_type)
    if kind is None:
        kind = "packet" if packet_type < 0 else f"packet of type {packet_type}"
    return RemoteProtocolError(
        f"{kind}: expected {expected} at offset {r.err_offset}, got {got} [{name}]",
        code=name,
        offset=r.err_offset,
        expected=expected,
        got=got,
        packet_type=packet_type if packet_type >= 0 else None,
    )


cdef dict REFUSALS = {
    W_STRING_TOO_LONG: "longer than 65534 bytes",
    W_NUL: "holds a NUL",
    W_LINE_BREAK: "holds CR or LF",
    W_NOT_TOKEN: "is not a token",
    W_NAME_TOO_LONG: "has a name longer than the peer can read",
    W_COUNT: "is one header too many",
    W_LENGTH: "is no length, or a second Content-Length",
    W_LENGTH_AND_ENCODING: "stands beside the other of Content-Length and Transfer-Encoding",
    W_REPEATED: "may stand once and stands twice",
}


cdef tuple _largest(object headers, Py_ssize_t count=3):
    """The largest headers with what each costs on the wire."""
    sizes = [(name, len(name) + len(value) + 6) for name, value in headers]
    sizes.sort(key=lambda entry: -entry[1])
    return tuple(sizes[:count])


cdef int check_written(
    Writer* w, Py_ssize_t max_packet_size, str what, object headers
) except -1:
    """Raise what a finished writer holds against it."""
    if w.err != W_NONE:
        subject = what
        if w.err_header >= 0:
            subject = f"{what}: header {headers[w.err_header][0]!r}"
            if w.err == W_STRING_TOO_LONG:
                subject += f" ({len(headers[w.err_header][1])} bytes)"
        raise LocalProtocolError(f"{subject} {REFUSALS[w.err]}")
    if w.pos > max_packet_size:
        largest = _largest(headers)
        detail = ", ".join(f"{name.decode('latin-1')} {size}" for name, size in largest)
        raise LocalProtocolError(
            f"{what} needs {w.pos} bytes, the packet size is {max_packet_size}"
            + (f"; largest headers in bytes: {detail}" if detail else ""),
            needed=w.pos,
            limit=max_packet_size,
            largest=largest,
        )
    return 0


cdef int _check_packet_size(Py_ssize_t size) except -1:
    if not 8192 <= size <= LARGEST_PACKET:
        raise ValueError(f"max_packet_size must be 8192-65536 bytes, not {size}")
    return 0


# --- framing --------------------------------------------------------------------------------------


cdef Py_ssize_t packet_length(
    const uint8_t* p, Py_ssize_t available, uint16_t magic, Py_ssize_t max_packet_size, Reader* error
) noexcept nogil:
    """Payload length of the packet at p; decides on as few bytes as possible."""
    cdef Py_ssize_t length
    reader_init(error, p, available)
    if available >= 1 and p[0] != magic >> 8:
        fail(error, E_MAGIC, 0, magic, p[0])
        return MALFORMED
    if available >= 2 and p[1] != (magic & 0xFF):
        fail(error, E_MAGIC, 1, magic, p[1])
        return MALFORMED
    if available < PACKET_HEADER:
        return NEED_MORE
    length = load_u16(p + 2)
    if length > max_packet_size - PACKET_HEADER:
        fail(error, E_TOO_LARGE, 2, max_packet_size - PACKET_HEADER, length)
        return MALFORMED
    return length


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
        _check_packet_size(max_packet_size)
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
            raise self._error
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
            raise self._error
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
            raise self._error
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


cdef extern from "Python.h":
    int PyObject_GenericSetAttr(object o, object name, object value) except -1


cdef object _new = object.__new__


cdef inline object _forward_request(
    object method, object uri, object protocol, object remote_addr, object remote_host,
    object server_name, object server_port, object is_ssl, object headers, object attributes
):
    """A ForwardRequest; past the frozen dataclass's own __init__, which costs four times as much."""
    message = _new(ForwardRequest)
    PyObject_GenericSetAttr(message, "method", method)
    PyObject_GenericSetAttr(message, "uri", uri)
    PyObject_GenericSetAttr(message, "protocol", protocol)
    PyObject_GenericSetAttr(message, "remote_addr", remote_addr)
    PyObject_GenericSetAttr(message, "remote_host", remote_host)
    PyObject_GenericSetAttr(message, "server_name", server_name)
    PyObject_GenericSetAttr(message, "server_port", server_port)
    PyObject_GenericSetAttr(message, "is_ssl", is_ssl)
    PyObject_GenericSetAttr(message, "headers", headers)
    PyObject_GenericSetAttr(message, "attributes", attributes)
    return message


cdef inline object _send_headers(object status, object reason, object headers):
    """A SendHeaders, made the same way."""
    message = _new(SendHeaders)
    PyObject_GenericSetAttr(message, "status", status)
    PyObject_GenericSetAttr(message, "reason", reason)
    PyObject_GenericSetAttr(message, "headers", headers)
    return message


# --- FORWARD_REQUEST: encode ----------------------------------------------------------------------


cdef void begin_forward_request(Writer* w, const RequestLine* line) noexcept nogil:
    """Packet header, fixed fields and room for the header count."""
    put_u16(w, MAGIC_FROM_WEB_SERVER_U16)
    put_u16(w, 0)
    put_u8(w, FORWARD_REQUEST)
    put_u8(w, <uint8_t>method_code(line.method.ptr, line.method.len))
    if not is_token(line.method.ptr, line.method.len):
        refuse(w, W_NOT_TOKEN, -1)
    put_string(w, line.protocol.ptr, line.protocol.len)
    put_string(w, line.uri.ptr, line.uri.len)
    put_string(w, line.remote_addr.ptr, line.remote_addr.len)
    put_string(w, line.remote_host.ptr, line.remote_host.len)
    put_string(w, line.server_name.ptr, line.server_name.len)
    put_u16(w, line.server_port)
    put_u8(w, 1 if line.is_ssl else 0)
    w.count_at = w.pos
    put_u16(w, 0)


cdef void put_request_header(
    Writer* w, const uint8_t* name, Py_ssize_t name_len, const uint8_t* value, Py_ssize_t value_len
) noexcept nogil:
    """One header of a request, its name by code where it has one."""
    cdef int code
    if w.err != W_NONE:
        return
    if not is_token(name, name_len):
        refuse(w, W_NOT_TOKEN, w.headers)
        return
    code = _request_header_code(name, name_len)
    if code == CONTENT_LENGTH_CODE:
        if w.framing & 1 or parse_length(value, value_len) < 0:
            refuse(w, W_LENGTH, w.headers)
            return
        w.framing |= 1
    elif name_len == 17 and equals_ignoring_case(name, b"transfer-encoding", 17):
        w.framing |= 2
    if w.framing == 3:
        refuse(w, W_LENGTH_AND_ENCODING, w.headers)
        return
    if code != 0:
        put_u16(w, 0xA000 | code)
    elif name_len > LONGEST_REQUEST_NAME:
        refuse(w, W_NAME_TOO_LONG, w.headers)
        return
    else:
        put_string(w, name, name_len)
    _put_header_value(w, value, value_len)


cdef void _put_header_value(Writer* w, const uint8_t* value, Py_ssize_t length) noexcept nogil:
    if _has_line_break(value, length):
        refuse(w, W_LINE_BREAK, w.headers)
        return
    put_string(w, value, length)
    if w.err != W_NONE:
        w.err_header = w.headers
        return
    w.headers += 1
    if w.headers > 0xFFFF:
        refuse(w, W_COUNT, w.headers - 1)


cdef void end_request_headers(Writer* w) noexcept nogil:
    """Fill in the header count."""
    if w.count_at + 2 <= w.cap:
        store_u16(w.buf + w.count_at, w.headers)


cdef void put_attribute(
    Writer* w, uint8_t code, const uint8_t* value, Py_ssize_t length
) noexcept nogil:
    """One attribute whose value is a string; NULL is AJP's null."""
    if w.attributes & (1 << code):
        refuse(w, W_REPEATED, -1)
    w.attributes |= 1 << code
    put_u8(w, code)
    put_string(w, value, length)


cdef void put_key_size(Writer* w, Py_ssize_t bits) noexcept nogil:
    """SSL_KEY_SIZE, the one attribute whose value is an integer."""
    if w.attributes & (1 << ATTR_SSL_KEY_SIZE):
        refuse(w, W_REPEATED, -1)
    w.attributes |= 1 << ATTR_SSL_KEY_SIZE
    put_u8(w, ATTR_SSL_KEY_SIZE)
    put_u16(w, bits)


cdef void put_request_attribute(
    Writer* w, const uint8_t* name, Py_ssize_t name_len, const uint8_t* value, Py_ssize_t value_len
) noexcept nogil:
    """One named attribute."""
    put_u8(w, ATTR_REQ_ATTRIBUTE)
    put_string(w, name, name_len)
    put_string(w, value, value_len)


cdef void end_forward_request(Writer* w) noexcept nogil:
    """Terminator and packet length."""
    put_u8(w, 0xFF)
    if w.pos <= w.cap:
        store_u16(w.buf + 2, w.pos - PACKET_HEADER)


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
        code = attribute.code
        if stored and code == ATTR_REQ_ATTRIBUTE:
            put_attribute(w, ATTR_STORED_METHOD, method.ptr, method.len)
            stored = False
        if code == ATTR_SSL_KEY_SIZE:
            if type(attribute.value) is not int or not 0 <= attribute.value <= 0xFFFF:
                raise LocalProtocolError(f"ssl_key_size must be 0-65535, not {attribute.value!r}")
            put_key_size(w, attribute.value)
        elif code == ATTR_REQ_ATTRIBUTE:
            if not attribute.name:
                raise LocalProtocolError("a request attribute needs a name")
            _borrow(&name, attribute.name, "attribute name")
            _borrow(&value, attribute.value, "attribute value")
            put_request_attribute(w, name.ptr, name.len, value.ptr, value.len)
        elif 1 <= code <= 12:
            _borrow(&value, attribute.value, f"attribute {code}")
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


cdef int64_t parse_length(const uint8_t* p, Py_ssize_t length) noexcept nogil:
    """1*DIGIT up to 2^63-1, or -1."""
    cdef int64_t total = 0
    cdef Py_ssize_t i
    cdef int digit
    if length < 1:
        return -1
    for i in range(length):
        digit = p[i] - 48
        if digit < 0 or digit > 9:
            return -1
        if total > INT64_MAX // 10 or (total == INT64_MAX // 10 and digit > INT64_MAX % 10):
            return -1
        total = total * 10 + digit
    return total


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
    _check_packet_size(max_packet_size)
    _borrow(&line.method, message.method, "method")
    _borrow(&line.protocol, message.protocol, "protocol")
    _borrow(&line.uri, message.uri, "uri")
    _borrow(&line.remote_addr, message.remote_addr, "remote_addr")
    _borrow(&line.remote_host, message.remote_host, "remote_host")
    _borrow(&line.server_name, message.server_name, "server_name")
    if line.method.ptr == NULL or not is_token(line.method.ptr, line.method.len):
        raise LocalProtocolError(f"method {message.method!r} is not a token")
    if line.uri.len == 0:
        raise LocalProtocolError("uri is empty")
    if not 0 <= message.server_port <= 0xFFFF:
        raise LocalProtocolError(f"server_port must be 0-65535, not {message.server_port}")
    line.server_port = message.server_port
    line.is_ssl = message.is_ssl
    writer_init(&w, buffer, max_packet_size)
    begin_forward_request(&w, &line)
    for header in message.headers:
        _borrow(&name, header[0], "header name")
        _borrow(&value, header[1], "header value")
        if value.ptr == NULL:
            raise LocalProtocolError(f"header {header[0]!r} has no value")
        put_request_header(&w, name.ptr, name.len, value.ptr, value.len)
    end_request_headers(&w)
    if w.err == W_NONE:
        stored = method_code(line.method.ptr, line.method.len) == STORED_METHOD
        _put_attributes(&w, line.method, stored, message.attributes)
        end_forward_request(&w)
    check_written(&w, max_packet_size, "FORWARD_REQUEST", message.headers)
    return PyBytes_FromStringAndSize(<const char*>buffer, w.pos)


# --- FORWARD_REQUEST: decode ----------------------------------------------------------------------


cdef int _get_header_name(
    Reader* r, Slice* name, const Slice* table, int codes, bint any_name
) noexcept nogil:
    """A header name; returns the low byte of its code, 0 when it is spelled out."""
    cdef Py_ssize_t at = r.pos
    cdef Py_ssize_t length = get_u16(r)
    name.ptr = NULL
    name.len = 0
    if r.err != E_NONE:
        return 0
    if length == 0xFFFF:
        fail(r, E_HEADER_NAME, at, 0, length)
    elif length & 0xFF00 == 0xA000:
        if length & 0xFF == 0 or length & 0xFF > codes:
            fail(r, E_HEADER_CODE, at, 0xA000 | codes, length)
        else:
            name[0] = table[length & 0xFF]
            return <int>(length & 0xFF)
    else:
        get_string_body(r, length, name)
        if r.err == E_NONE and (
            name.len == 0 or (not any_name and not is_token(name.ptr, name.len))
        ):
            fail(r, E_HEADER_NAME, at, 0, length)
    return 0


cdef void _get_header_value(Reader* r, Slice* value) noexcept nogil:
    cdef Py_ssize_t at = r.pos
    get_string(r, value)
    if r.err == E_NONE and (value.ptr == NULL or _has_line_break(value.ptr, value.len)):
        fail(r, E_HEADER_VALUE, at, 0, 0)


cdef inline object _bytes(Slice value):
    if value.ptr == NULL:
        return None
    return PyBytes_FromStringAndSize(<const char*>value.ptr, value.len)


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
        code = _get_header_name(
            r, &name, REQUEST_NAMES, REQUEST_HEADER_CODES, tolerate & TOLERATE_ANY_HEADER_NAME
        )
        _get_header_value(r, &value)
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
        headers.append((_request_names[code] if code != 0 else _bytes(name), _bytes(value)))
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
            attributes.append(Attribute(AttributeCode.SSL_KEY_SIZE, _get_key_size(r)))
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
            attributes.append(Attribute(ATTRIBUTE_CODES[code], _bytes(value), _bytes(name)))
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
        _bytes(stored) if code == STORED_METHOD else _methods[code],
        _bytes(uri) or b"",
        _bytes(protocol),
        _bytes(remote_addr),
        _bytes(remote_host),
        _bytes(server_name),
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
        tolerate: `Tolerate` flags.

    Returns:
        ForwardRequest, CPing, Ping or Shutdown.

    Raises:
        RemoteProtocolError: anything else. Reasons come in the order of the bytes, except those
            that only the end of the packet shows (stored method, trailing bytes).

    Source:
        ajpv13a "Forward Request Packet Structure". Differs: unknown attribute codes are refused;
        Tomcat skips the code byte alone and reads the value as codes.
    """
    cdef const uint8_t[::1] view = payload
    cdef Py_ssize_t length = view.shape[0]
    cdef Reader r
    cdef int kind = -1
    reader_init(&r, &view[0] if length > 0 else NULL, length)
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
    _check_packet_size(max_packet_size)
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
    cdef const uint8_t[::1] view = payload
    cdef Py_ssize_t length = view.shape[0]
    cdef Py_ssize_t inner
    cdef Reader r
    if length == 0:
        return RequestBody()
    reader_init(&r, &view[0], length)
    inner = get_u16(&r)
    if r.err == E_NONE and (inner > length - 2 or (strict and inner != length - 2)):
        fail(&r, E_BODY_LEN, 0, length - 2, inner)
    if r.err != E_NONE:
        raise remote_error(&r, -1)
    return RequestBody(PyBytes_FromStringAndSize(<const char*>r.base + 2, inner))


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
    _check_packet_size(max_packet_size)
    if not 200 <= message.status <= 999:
        raise LocalProtocolError(f"status must be 200-999, not {message.status}")
    _borrow(&value, message.reason, "reason")
    if _has_line_break(value.ptr, value.len):
        raise LocalProtocolError("reason holds CR or LF")
    writer_init(&w, buffer, max_packet_size)
    put_u16(&w, MAGIC_FROM_CONTAINER_U16)
    put_u16(&w, 0)
    put_u8(&w, SEND_HEADERS)
    put_u16(&w, message.status)
    put_string(&w, value.ptr, value.len)
    put_u16(&w, len(message.headers))
    for header in message.headers:
        _borrow(&name, header[0], "header name")
        _borrow(&value, header[1], "header value")
        if value.ptr == NULL:
            raise LocalProtocolError(f"header {header[0]!r} has no value")
        code = RESPONSE_CODES.get(header[0].lower())
        if not is_token(name.ptr, name.len):
            refuse(&w, W_NOT_TOKEN, w.headers)
        elif code is not None:
            put_u16(&w, 0xA000 | <int>code)
        elif name.len > LONGEST_RESPONSE_NAME:
            refuse(&w, W_NAME_TOO_LONG, w.headers)
        else:
            put_string(&w, name.ptr, name.len)
        if w.err == W_NONE:
            _put_header_value(&w, value.ptr, value.len)
        if w.err != W_NONE:
            break
    check_written(&w, max_packet_size, "SEND_HEADERS", message.headers)
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
    _check_packet_size(max_packet_size)
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
    _check_packet_size(max_packet_size)
    if not 1 <= requested <= max_packet_size - 6:
        raise LocalProtocolError(
            f"requested length must be 1-{max_packet_size - 6}, not {requested}"
        )
    store_u16(packet, MAGIC_FROM_CONTAINER_U16)
    store_u16(packet + 2, 3)
    packet[4] = GET_BODY_CHUNK
    store_u16(packet + 5, requested)
    return PyBytes_FromStringAndSize(<const char*>packet, 7)


@cython.final
cdef class ResponseHead:
    """A decoded SEND_HEADERS whose headers still lie in the received bytes.

    Handed to an attempt; valid as long as the object lives.
    """

    cdef int load(self, bytes owner, Py_ssize_t start, Py_ssize_t length) except -1:
        """Check all of a SEND_HEADERS payload at owner[start:start + length]."""
        cdef Reader r
        cdef Slice name, value
        cdef Py_ssize_t _index
        reader_init(&r, <const uint8_t*>PyBytes_AS_STRING(owner) + start, length)
        r.pos = 1
        self._owner = owner
        self.status = get_u16(&r)
        if r.err == E_NONE and not 100 <= self.status <= 999:
            fail(&r, E_STATUS, 1, 0, self.status)
        _get_reason(&r, &self._reason)
        self._count = get_u16(&r)
        self._headers = r
        for _index in range(self._count):
            if r.err != E_NONE:
                break
            _get_header_name(&r, &name, RESPONSE_NAMES, RESPONSE_HEADER_CODES, False)
            _get_header_value(&r, &value)
        if r.err == E_NONE and r.pos < r.end:
            fail(&r, E_TRAILING, r.pos, 0, r.end - r.pos)
        if r.err != E_NONE:
            raise remote_error(&r, SEND_HEADERS)
        self.rewind()
        return 0

    cdef void rewind(self) noexcept:
        """Let `next` begin with the first header again."""
        self._cursor = self._headers
        self._cursor.err_expected = self._count

    cdef bint next(self, Slice* name, Slice* value) noexcept:
        """The next header; its code was checked when the head was loaded."""
        if self._cursor.err_expected <= 0:
            return False
        self._cursor.err_expected -= 1
        _get_header_name(&self._cursor, name, RESPONSE_NAMES, RESPONSE_HEADER_CODES, True)
        get_string(&self._cursor, value)
        return True

    @property
    def reason(self):
        """Reason phrase, maybe empty; None for AJP's null."""
        return _bytes(self._reason)

    @property
    def headers(self):
        """(name, value) pairs in the order of the wire."""
        cdef Slice name, value
        cdef Reader r = self._headers
        cdef Py_ssize_t _index
        cdef int code
        pairs = []
        for _index in range(self._count):
            code = _get_header_name(&r, &name, RESPONSE_NAMES, RESPONSE_HEADER_CODES, True)
            get_string(&r, &value)
            pairs.append((_response_names[code] if code != 0 else _bytes(name), _bytes(value)))
        return tuple(pairs)


cdef void _get_reason(Reader* r, Slice* reason) noexcept nogil:
    cdef Py_ssize_t at = r.pos
    get_string(r, reason)
    if r.err == E_NONE and _has_line_break(reason.ptr, reason.len):
        fail(r, E_HEADER_VALUE, at, 0, 0)


cdef Py_ssize_t chunk_length(const uint8_t* p, Py_ssize_t payload_len, Reader* error) noexcept nogil:
    """Data bytes of a SEND_BODY_CHUNK, from its first three payload bytes."""
    cdef Py_ssize_t length
    reader_init(error, p, payload_len)
    error.pos = 1
    length = get_u16(error)
    if error.err != E_NONE:
        return -1
    # In wide signed arithmetic: in 16 bits a short payload becomes a huge one (CVE-2026-34059).
    if payload_len != length + 4 and payload_len != length + 3:
        fail(error, E_CHUNK_LEN, 1, payload_len - 4, length)
        return -1
    return length


cdef Py_ssize_t get_body_length(
    const uint8_t* p, Py_ssize_t payload_len, Reader* error
) noexcept nogil:
    """Bytes a GET_BODY_CHUNK asks for."""
    cdef Py_ssize_t length
    reader_init(error, p, payload_len)
    error.pos = 1
    length = get_u16(error)
    if error.err == E_NONE and error.pos < error.end:
        fail(error, E_TRAILING, error.pos, 0, error.end - error.pos)
    if error.err == E_NONE and (length == 0 or length == 0xFFFF):
        fail(error, E_REQ_LEN, 1, 0, length)
    return 0 if error.err != E_NONE else length


cdef int end_response_reuse(const uint8_t* p, Py_ssize_t payload_len, Reader* error) noexcept nogil:
    """Only 0x01 keeps a connection; any other value is read as 0."""
    cdef int flag
    reader_init(error, p, payload_len)
    error.pos = 1
    flag = get_u8(error)
    if error.err == E_NONE and error.pos < error.end:
        fail(error, E_TRAILING, error.pos, 0, error.end - error.pos)
    if error.err != E_NONE:
        return -1
    return 1 if flag == 1 else 0


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
    cdef bytes data = payload if type(payload) is bytes else bytes(payload)
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(data)
    cdef Reader r
    cdef ResponseHead head
    cdef Py_ssize_t number
    reader_init(&r, p, length)
    if length == 0:
        fail(&r, E_EMPTY, 0, 1, 0)
        raise remote_error(&r, -1)
    cdef int kind = p[0]
    message = None
    if kind == SEND_HEADERS:
        head = ResponseHead.__new__(ResponseHead)
        head.load(data, 0, length)
        if head._count > max_headers:
            fail(&r, E_HEADER_COUNT, 1, max_headers, head._count)
        else:
            message = _send_headers(head.status, head.reason, head.headers)
    elif kind == SEND_BODY_CHUNK:
        number = chunk_length(p, length, &r)
        if number >= 0:
            message = SendBodyChunk(PyBytes_FromStringAndSize(<const char*>p + 3, number))
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
