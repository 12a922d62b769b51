"""AJP13 packets in C: what the data path uses, and what `_codec` makes messages of.

Tables, framing, the pieces of a FORWARD_REQUEST, a SEND_HEADERS read in place, and the one function
that turns a cursor's error into an exception. Knows no message type and no state.

Source: ajpv13a; Tomcat `AjpMessage`, `AjpProcessor`; mod_jk `jk_ajp_common.c`, `jk_msg_buff.c`.
Where those disagree, docs/explanation/protocol.md says which one this follows and why.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint16_t
from libc.string cimport memchr, memcmp

from ajp._wire cimport *

from ajp import constants
from ajp.constants import PacketType
from ajp.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["REFUSALS", "ResponseHead"]

cdef enum:
    REQUEST_HEADER_CODES = 14
    RESPONSE_HEADER_CODES = 11
    METHOD_CODES = 27
    CONTENT_LENGTH_CODE = 8
    LONGEST_REQUEST_NAME = 255      # Undertow reads any longer name as a code


# --- tables ---------------------------------------------------------------------------------------

cdef uint8_t TOKEN[256]
cdef uint8_t LOWER[256]
# Codes of the header names of each length; 0 ends a row.
cdef uint8_t REQUEST_CODES[16][4]
cdef uint8_t RESPONSE_CODES[17][4]
cdef Slice REQUEST_NAMES[15]
cdef Slice RESPONSE_NAMES[12]
cdef Slice METHOD_NAMES[28]
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
for _index in range(256):
    TOKEN[_index] = 1 if bytes([_index]).isalnum() or _index in b"!#$%&'*+-.^_`|~" else 0
    LOWER[_index] = <uint8_t>bytes([_index]).lower()[0]


cdef int _fill_codes(uint8_t (*rows)[4], tuple names) except -1:
    cdef Py_ssize_t code
    cdef int at
    for code in range(1, len(names)):
        at = 0
        while rows[len(names[code])][at] != 0:
            at += 1
        assert at < 3
        rows[len(names[code])][at] = <uint8_t>code
    return 0


_fill_codes(REQUEST_CODES, _request_names)
_fill_codes(RESPONSE_CODES, _response_names)


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
    if not has_control(p, length):
        return True
    return (
        memchr(p, 13, <size_t>length) == NULL
        and memchr(p, 10, <size_t>length) == NULL
        and memchr(p, 0, <size_t>length) == NULL
    )


cdef bint has_line_break(const uint8_t* p, Py_ssize_t length) noexcept nogil:
    return has_control(p, length) and (
        memchr(p, 13, <size_t>length) != NULL or memchr(p, 10, <size_t>length) != NULL
    )


cdef bint equals_ignoring_case(
    const uint8_t* p, const char* lower, Py_ssize_t length
) noexcept nogil:
    """Whether these bytes equal a lower-case name of the same length."""
    cdef Py_ssize_t i
    for i in range(length):
        if LOWER[p[i]] != <uint8_t>lower[i]:
            return False
    return True


cdef inline bint _is_name(const uint8_t* p, const Slice* name) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(name.len):
        if LOWER[p[i]] != LOWER[name.ptr[i]]:
            return False
    return True


cdef int method_code(const uint8_t* p, Py_ssize_t length) noexcept nogil:
    """Code of a method name, 255 when it has none."""
    cdef int code
    for code in range(1, METHOD_CODES + 1):
        if METHOD_NAMES[code].len == length and memcmp(METHOD_NAMES[code].ptr, p, length) == 0:
            return code
    return STORED_METHOD


cdef int request_header_code(const uint8_t* p, Py_ssize_t length) noexcept nogil:
    """Low byte of the code of a request header name in any case, 0 when it has none."""
    cdef const uint8_t* code
    if length > 15:
        return 0
    code = REQUEST_CODES[length]
    while code[0] != 0:
        if _is_name(p, &REQUEST_NAMES[code[0]]):
            return code[0]
        code += 1
    return 0


cdef int response_header_code(const uint8_t* p, Py_ssize_t length) noexcept nogil:
    """Low byte of the code of a response header name in any case, 0 when it has none."""
    cdef const uint8_t* code
    if length > 16:
        return 0
    code = RESPONSE_CODES[length]
    while code[0] != 0:
        if _is_name(p, &RESPONSE_NAMES[code[0]]):
            return code[0]
        code += 1
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


REFUSALS = {
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
    """The largest headers with what each costs on the wire, name and value."""
    sizes = []
    for name, value in headers:
        coded = request_header_code(<const uint8_t*><const char*>name, len(name)) != 0
        sizes.append((name, (2 if coded else len(name) + 3) + len(value) + 3))
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


cdef int check_packet_size(Py_ssize_t size) except -1:
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
    code = request_header_code(name, name_len)
    if code == 0 and not is_token(name, name_len):
        refuse(w, W_NOT_TOKEN, w.headers)
        return
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
        put_text(w, name, name_len)
    put_header_value(w, value, value_len)


cdef void put_header_value(Writer* w, const uint8_t* value, Py_ssize_t length) noexcept nogil:
    if not is_header_value(value, length):
        refuse(w, W_LINE_BREAK if has_line_break(value, length) else W_NUL, w.headers)
        return
    if length > 0xFFFE:
        refuse(w, W_STRING_TOO_LONG, w.headers)
        return
    put_text(w, value, length)
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


# --- headers: decode ------------------------------------------------------------------------------


cdef int get_header_name(Reader* r, Slice* name, bint request, bint any_name) noexcept nogil:
    """A header name; returns the low byte of its code, 0 when it is spelled out."""
    cdef Py_ssize_t at = r.pos
    cdef Py_ssize_t length = get_u16(r)
    cdef const Slice* table = &REQUEST_NAMES[0] if request else &RESPONSE_NAMES[0]
    cdef int codes = REQUEST_HEADER_CODES if request else RESPONSE_HEADER_CODES
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


cdef void get_header_value(Reader* r, Slice* value) noexcept nogil:
    cdef Py_ssize_t at = r.pos
    cdef Py_ssize_t length
    cdef const uint8_t* p = r.base + at + 2
    if r.end - at >= 3:
        length = load_u16(p - 2)
        # Most values: whole, and looked through once for all that may not be in them.
        if length <= r.end - at - 3 and p[length] == 0 and not has_control(p, length):
            value.ptr = p
            value.len = length
            r.pos = at + length + 3
            return
    get_string(r, value)
    if r.err == E_NONE and (value.ptr == NULL or has_line_break(value.ptr, value.len)):
        fail(r, E_HEADER_VALUE, at, 0, 0)


# --- container to web server ----------------------------------------------------------------------


@cython.final
cdef class ResponseHead:
    """A decoded SEND_HEADERS whose headers still lie in the received bytes.

    Handed to an attempt; valid as long as the object lives.
    """

    cdef int load(
        self, bytes owner, Py_ssize_t start, Py_ssize_t length, Py_ssize_t max_headers
    ) except -1:
        """Check all of a SEND_HEADERS payload at owner[start:start + length]."""
        cdef Reader r
        cdef Slice name, value
        cdef Py_ssize_t _index
        reader_init(&r, <const uint8_t*>PyBytes_AS_STRING(owner) + start, length)
        self._owner = owner
        self._count = get_response_line(&r, &self.status, &self._reason, max_headers)
        self._headers = r
        for _index in range(self._count):
            if r.err != E_NONE:
                break
            get_header_name(&r, &name, False, False)
            get_header_value(&r, &value)
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
        get_header_name(&self._cursor, name, False, True)
        get_string(&self._cursor, value)
        return True

    @property
    def reason(self):
        """Reason phrase, maybe empty; None for AJP's null."""
        return slice_bytes(self._reason)

    @property
    def headers(self):
        """(name, value) pairs in the order of the wire."""
        cdef Slice name, value
        cdef Reader r = self._headers
        cdef Py_ssize_t _index
        cdef int code
        pairs = []
        for _index in range(self._count):
            code = get_header_name(&r, &name, False, True)
            get_string(&r, &value)
            pairs.append((_response_names[code] if code != 0 else slice_bytes(name), slice_bytes(value)))
        return tuple(pairs)


cdef Py_ssize_t get_response_line(
    Reader* r, int* status, Slice* reason, Py_ssize_t max_headers
) noexcept nogil:
    """What a SEND_HEADERS says before its headers; returns their number."""
    cdef Py_ssize_t at, count
    r.pos = 1
    status[0] = get_u16(r)
    if r.err == E_NONE and not 100 <= status[0] <= 999:
        fail(r, E_STATUS, 1, 0, status[0])
    at = r.pos
    get_string(r, reason)
    if r.err == E_NONE and has_line_break(reason.ptr, reason.len):
        fail(r, E_HEADER_VALUE, at, 0, 0)
    at = r.pos
    count = get_u16(r)
    if count > max_headers:
        fail(r, E_HEADER_COUNT, at, max_headers, count)
    return count


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
