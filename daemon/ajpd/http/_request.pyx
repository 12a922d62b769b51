"""HTTP/1.1 requests as bytes: the head, and the framing of a chunked body.

Strict where two readers could disagree: every line ends in CRLF, no folding, no space before a
colon, one length. What is refused carries the status to answer with. Knows no connection and no
container; pulling one request at a time out of a buffer is what makes pipelining harmless.

Source: RFC 9112 §2-§7, RFC 9110 §7.6; docs/decisions/0001-own-request-parser.md for why not a
library.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcmp, memcpy

from ajp._packets cimport equals_ignoring_case, is_token, parse_length
from ajp._wire cimport Slice


cdef extern from "<arpa/inet.h>" nogil:
    enum:
        AF_INET6
    int inet_pton(int family, const char* text, void* address)


cdef enum:
    # Room for the longest text of an IPv6 address and its end.
    LONGEST_IPV6 = 46
    SEEN_HOST = 1
    SEEN_LENGTH = 2
    SEEN_ENCODING = 4
    MOST_CONNECTION_TOKENS = 64
    # What a client may spend on chunk extensions and trailers, in bytes of one request.
    MOST_EXTRA = 16384

# Bytes of a path that need no second look: what ForwardURIProxy keeps, without ';' and '%'.
cdef uint8_t PLAIN[256]
cdef uint8_t FIELD_BYTE[256]
cdef int _byte
for _byte in range(256):
    PLAIN[_byte] = 1 if bytes([_byte]).isalnum() or _byte in b"~$-_.+!*'(),:@&=/" else 0
    FIELD_BYTE[_byte] = 1 if _byte == 9 or (_byte >= 32 and _byte != 127) else 0


cdef inline bint _is(Slice name, const char* lower, Py_ssize_t length) noexcept nogil:
    return name.len == length and equals_ignoring_case(name.ptr, lower, length)


cdef inline Slice _trim(const uint8_t* p, Py_ssize_t length) noexcept nogil:
    """Without optional white space on both sides."""
    cdef Slice out
    while length > 0 and (p[0] == 32 or p[0] == 9):
        p += 1
        length -= 1
    while length > 0 and (p[length - 1] == 32 or p[length - 1] == 9):
        length -= 1
    out.ptr = p
    out.len = length
    return out


cdef Py_ssize_t head_length(const uint8_t* p, Py_ssize_t available, Py_ssize_t* line) noexcept nogil:
    """Find the empty line that ends a head."""
    cdef const uint8_t* newline
    cdef Py_ssize_t at
    while True:
        newline = <const uint8_t*>memchr(p + line[0], 10, <size_t>(available - line[0]))
        if newline == NULL:
            return HEAD_INCOMPLETE
        at = newline - p
        if at == 0 or p[at - 1] != 13:
            return HEAD_MALFORMED
        if at - 1 == line[0]:
            return at + 1
        line[0] = at + 1


cdef bint is_plain_path(const uint8_t* p, Py_ssize_t length) noexcept nogil:
    """Only kept bytes, no empty segment, no segment that begins with a dot."""
    cdef Py_ssize_t i
    if length < 1 or p[0] != c"/":
        return False
    for i in range(length):
        if not PLAIN[p[i]]:
            return False
        if p[i] == c"/" and i + 1 < length and (p[i + 1] == c"/" or p[i + 1] == c"."):
            return False
    return True


@cython.final
cdef class RequestHead:
    """One parsed request head."""

    cdef int parse(self, const uint8_t* p, Py_ssize_t length) except -1:
        """Parse a whole head, its empty line included; 1 when it is fine, 0 when refused."""
        cdef const uint8_t* end = p + length - 2
        cdef const uint8_t* newline
        cdef int seen = 0
        self.count = 0
        self.authority.ptr = NULL
        self.authority.len = 0
        self.host.ptr = NULL
        self.host.len = 0
        self.accept.ptr = NULL
        self.accept.len = 0
        self.port = 0
        self.content_length = -1
        self.chunked = False
        self.expects_continue = False
        self.status = 0
        self.problem = None
        newline = <const uint8_t*>memchr(p, 10, <size_t>length)
        if not self._parse_line(p, newline - p - 1):
            return 0
        self.keep_alive = self.minor >= 1
        p = newline + 1
        while p < end:
            newline = <const uint8_t*>memchr(p, 10, <size_t>(end - p))
            if not self._parse_field(p, newline - p - 1):
                return 0
            if not self._known_field(&self.fields[self.count - 1], &seen):
                return 0
            p = newline + 1
        return self._settle(seen)

    cdef int _refuse(self, int status, str problem) except -1:
        self.status = status
        self.problem = problem
        return 0

    cdef int _parse_line(self, const uint8_t* p, Py_ssize_t length) except -1:
        """Method, target and version, one space between them."""
        cdef const uint8_t* space = <const uint8_t*>memchr(p, 32, <size_t>length)
        cdef const uint8_t* version
        if space == NULL or not is_token(p, space - p):
            return self._refuse(400, "the request line does not begin with a method")
        self.method.ptr = p
        self.method.len = space - p
        length -= space + 1 - p
        p = space + 1
        space = <const uint8_t*>memchr(p, 32, <size_t>length)
        if space == NULL or space == p:
            return self._refuse(400, "the request line has no target or no version")
        self.target.ptr = p
        self.target.len = space - p
        version = space + 1
        length -= version - p
        if length != 8 or memcmp(version, b"HTTP/", 5) != 0 or version[6] != c".":
            return self._refuse(400, "the request line does not end in an HTTP version")
        if version[5] != c"1" or not 48 <= version[7] <= 57:
            return self._refuse(505, "the request names another version")
        self.minor = version[7] - 48
        return self._parse_target()

    cdef int _parse_target(self) except -1:
        """Path, query and authority of the target in any of its forms."""
        cdef const uint8_t* p = self.target.ptr
        cdef Py_ssize_t length = self.target.len
        cdef const uint8_t* found
        cdef Py_ssize_t i, skip
        for i in range(length):
            if p[i] < 33 or p[i] == 127 or p[i] == c"#":
                return self._refuse(400, "the request target holds a byte that may not be there")
        self.form = ORIGIN_FORM
        self.https = False
        if _is(self.method, b"connect", 7):
            return self._refuse(501, "CONNECT is not served here")
        if length == 1 and p[0] == c"*":
            if not (self.method.len == 7 and memcmp(self.method.ptr, b"OPTIONS", 7) == 0):
                return self._refuse(400, "the target * belongs to OPTIONS alone")
            self.form = ASTERISK_FORM
        elif p[0] != c"/":
            skip = 7 if length > 7 and equals_ignoring_case(p, b"http://", 7) else 0
            if length > 8 and equals_ignoring_case(p, b"https://", 8):
                skip = 8
            if skip == 0:
                return self._refuse(400, "the request target is neither a path nor an http URL")
            self.form = ABSOLUTE_FORM
            p += skip
            length -= skip
            i = 0
            while i < length and p[i] != c"/" and p[i] != c"?":
                i += 1
            if not self._parse_authority(p, i) or self.host.len == 0:
                return self._refuse(400, "the request target names no proper host")
            self.https = skip == 8
            self.authority.ptr = p
            self.authority.len = i
            p += i
            length -= i
        found = <const uint8_t*>memchr(p, c"?", <size_t>length) if length > 0 else NULL
        self.query.ptr = NULL
        self.query.len = 0
        self.path.ptr = p
        self.path.len = length
        if found != NULL:
            self.path.len = found - p
            self.query.ptr = found + 1
            self.query.len = length - self.path.len - 1
        if self.path.len == 0:
            self.path.ptr = <const uint8_t*>b"/"
            self.path.len = 1
        return 1

    cdef int _parse_authority(self, const uint8_t* p, Py_ssize_t length) except -1:
        """host[:port]; 0 when it is neither a name, nor an IPv4, nor an [IPv6] address."""
        cdef Py_ssize_t i = 0
        cdef int port = 0
        if length > 0 and p[0] == c"[":
            i = _ipv6_length(p, length)
            if i == 0:
                return 0
        else:
            while i < length and p[i] != c":":
                if not (
                    48 <= p[i] <= 57 or 65 <= p[i] <= 90 or 97 <= p[i] <= 122
                    or p[i] == c"." or p[i] == c"-" or p[i] == c"_" or p[i] == c"~"
                ):
                    return 0
                i += 1
        self.host.ptr = p
        self.host.len = i
        if i < length:
            if p[i] != c":" or i == 0:
                return 0
            i += 1
            if length - i > 5:
                return 0
            while i < length:
                if not 48 <= p[i] <= 57:
                    return 0
                port = port * 10 + (p[i] - 48)
                i += 1
            if port > 65535:
                return 0
        self.port = port
        return 1

    cdef int _parse_field(self, const uint8_t* p, Py_ssize_t length) except -1:
        """name ':' OWS value OWS."""
        cdef const uint8_t* colon
        cdef Py_ssize_t i
        cdef Field* field
        if self.count >= MOST_FIELDS:
            return self._refuse(431, f"more than {MOST_FIELDS} header fields")
        if p[0] == 32 or p[0] == 9:
            return self._refuse(400, "a header line begins with white space")
        colon = <const uint8_t*>memchr(p, c":", <size_t>length)
        if colon == NULL or not is_token(p, colon - p):
            return self._refuse(400, "a header line does not begin with a name and a colon")
        field = &self.fields[self.count]
        field.name.ptr = p
        field.name.len = colon - p
        field.value = _trim(colon + 1, length - (colon + 1 - p))
        field.dropped = False
        for i in range(field.value.len):
            if not FIELD_BYTE[field.value.ptr[i]]:
                return self._refuse(400, "a header value holds a control byte")
        self.count += 1
        return 1

    cdef int _known_field(self, Field* field, int* seen) except -1:
        """What this hop has to understand itself."""
        cdef Slice name = field.name
        cdef Slice value = field.value
        cdef Py_ssize_t length = name.len
        if length == 4 and _is(name, b"host", 4):
            if seen[0] & SEEN_HOST:
                return self._refuse(400, "more than one Host")
            seen[0] |= SEEN_HOST
            if self.form == ABSOLUTE_FORM:
                # RFC 9112 §3.2.2: the target's authority takes its place.
                field.dropped = True
            elif not self._parse_authority(value.ptr, value.len):
                return self._refuse(400, "Host is neither a name nor an address")
        elif length == 14 and _is(name, b"content-length", 14):
            if seen[0] & SEEN_LENGTH:
                return self._refuse(400, "more than one Content-Length")
            seen[0] |= SEEN_LENGTH
            self.content_length = parse_length(value.ptr, value.len)
            if self.content_length < 0:
                return self._refuse(400, "Content-Length is no length")
        elif length == 17 and _is(name, b"transfer-encoding", 17):
            if seen[0] & SEEN_ENCODING:
                return self._refuse(400, "more than one Transfer-Encoding")
            seen[0] |= SEEN_ENCODING
            if not _is(value, b"chunked", 7):
                return self._refuse(501, "a Transfer-Encoding other than chunked")
            self.chunked = True
            field.dropped = True
        elif length == 10 and _is(name, b"connection", 10):
            field.dropped = True
        elif length == 6 and _is(name, b"accept", 6):
            if self.accept.ptr == NULL:
                self.accept = value
        elif length == 6 and _is(name, b"expect", 6):
            field.dropped = True
            if not _is(value, b"100-continue", 12):
                return self._refuse(417, "an expectation other than 100-continue")
            self.expects_continue = self.minor >= 1
        elif (
            (length == 2 and _is(name, b"te", 2))
            or (length == 7 and (_is(name, b"upgrade", 7) or _is(name, b"trailer", 7)))
            or (length == 10 and _is(name, b"keep-alive", 10))
            or (length == 16 and _is(name, b"proxy-connection", 16))
        ):
            field.dropped = True
        return 1

    cdef int _parse_connection(self, Slice value) except -1:
        """Options of Connection: close, keep-alive, and names of fields for this hop alone."""
        cdef Py_ssize_t i, start = 0, tokens = 0
        cdef Slice token
        for i in range(value.len + 1):
            if i < value.len and value.ptr[i] != c",":
                continue
            token = _trim(value.ptr + start, i - start)
            start = i + 1
            if token.len == 0:
                continue
            tokens += 1
            if tokens > MOST_CONNECTION_TOKENS or not is_token(token.ptr, token.len):
                return self._refuse(400, "Connection is no list of names, or too long a one")
            if _is(token, b"close", 5):
                self._closes = True
            elif _is(token, b"keep-alive", 10):
                self.keep_alive = True
            else:
                self._drop_named(token)
        return 1

    cdef void _drop_named(self, Slice wanted) noexcept:
        """Keep a field named in Connection from the container, unless it frames the message."""
        cdef Py_ssize_t i
        if _is(wanted, b"host", 4) or _is(wanted, b"content-length", 14):
            return
        for i in range(self.count):
            if self.fields[i].name.len == wanted.len and _same(
                self.fields[i].name.ptr, wanted.ptr, wanted.len
            ):
                self.fields[i].dropped = True

    cdef bint mentions_json(self) noexcept:
        """Whether Accept may be a wish for JSON; a quick look."""
        cdef Py_ssize_t i
        for i in range(self.accept.len - 3):
            if (self.accept.ptr[i] | 0x20) == c"j" and equals_ignoring_case(
                self.accept.ptr + i, b"json", 4
            ):
                return True
        return False

    cdef int drop(self, frozenset names) except -1:
        """Keep fields with these names from the container."""
        cdef Py_ssize_t i
        for i in range(self.count):
            if _canonical(self.fields[i].name) in names:
                self.fields[i].dropped = True
        return 0

    cdef int drop_one(self, bytes name) except -1:
        """Keep fields with this name from the container."""
        cdef Py_ssize_t i
        for i in range(self.count):
            if _is_called(self.fields[i].name, name):
                self.fields[i].dropped = True
        return 0

    cdef bytes value_of(self, bytes name):
        """Value of the only field of this name, dropped or not."""
        cdef Py_ssize_t i, found = -1
        for i in range(self.count):
            if _is_called(self.fields[i].name, name):
                if found >= 0:
                    return None
                found = i
        if found < 0:
            return None
        return self.fields[found].value.ptr[: self.fields[found].value.len]

    cdef int _settle(self, int seen) except -1:
        """What only the whole head shows."""
        cdef Py_ssize_t i
        self._closes = False
        if self.content_length >= 0 and self.chunked:
            return self._refuse(400, "Content-Length and Transfer-Encoding together")
        if self.chunked and self.minor == 0:
            return self._refuse(400, "Transfer-Encoding in an HTTP/1.0 request")
        if not seen & SEEN_HOST and self.minor >= 1:
            return self._refuse(400, "no Host")
        for i in range(self.count):
            if self.fields[i].name.len == 10 and _is(self.fields[i].name, b"connection", 10):
                if not self._parse_connection(self.fields[i].value):
                    return 0
        # close wins over keep-alive, whatever their order.
        self.keep_alive = self.keep_alive and not self._closes
        return 1


cdef Py_ssize_t _ipv6_length(const uint8_t* p, Py_ssize_t length) noexcept nogil:
    """Length of the `[address]` that p begins with; 0 when there is none."""
    cdef char text[LONGEST_IPV6]
    cdef uint8_t address[16]
    cdef const uint8_t* end = <const uint8_t*>memchr(p, c"]", <size_t>length)
    cdef Py_ssize_t size
    if end == NULL:
        return 0
    size = end - p - 1
    if size < 2 or size >= LONGEST_IPV6:
        return 0
    memcpy(text, p + 1, <size_t>size)
    text[size] = 0
    return size + 2 if inet_pton(AF_INET6, text, address) == 1 else 0


cdef bytes _canonical(Slice name):
    """A field's name as names are compared: lower case, and '-' for '_', which CGI makes equal."""
    cdef bytes made = PyBytes_FromStringAndSize(NULL, name.len)
    cdef char* out = PyBytes_AS_STRING(made)
    cdef Py_ssize_t i
    for i in range(name.len):
        out[i] = <char>_letter(name.ptr[i])
    return made


cdef inline uint8_t _letter(uint8_t byte) noexcept nogil:
    """A letter of a name as names are compared."""
    if c"A" <= byte <= c"Z":
        return byte + 32
    return c"-" if byte == c"_" else byte


cdef bint _is_called(Slice name, bytes wanted) noexcept:
    """Whether a field has that name, which is in the form that names are compared in."""
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(wanted)
    cdef Py_ssize_t i
    if name.len != PyBytes_GET_SIZE(wanted):
        return False
    for i in range(name.len):
        if _letter(name.ptr[i]) != p[i]:
            return False
    return True


cdef bint _same(const uint8_t* a, const uint8_t* b, Py_ssize_t length) noexcept nogil:
    """Whether two tokens are equal in any case."""
    cdef Py_ssize_t i
    for i in range(length):
        if a[i] != b[i] and not (
            (a[i] | 0x20) == (b[i] | 0x20) and 97 <= (a[i] | 0x20) <= 122
        ):
            return False
    return True


# --- chunked bodies -------------------------------------------------------------------------------


cdef void chunks_init(Chunks* c) noexcept nogil:
    c.phase = CHUNK_SIZE
    c.digits = 0
    c.left = 0
    c.extra = 0


cdef inline int _hex(uint8_t byte) noexcept nogil:
    if 48 <= byte <= 57:
        return byte - 48
    byte |= 0x20
    if 97 <= byte <= 102:
        return byte - 87
    return -1


cdef inline void _size_byte(Chunks* c, uint8_t byte) noexcept nogil:
    """A byte of a chunk-size line up to its extension."""
    cdef int digit = _hex(byte)
    if digit >= 0:
        # 15 digits stay far below 2^63; leading zeros count as well.
        c.digits += 1
        c.left = c.left * 16 + digit
        if c.digits > 15:
            c.phase = CHUNKS_BAD
    elif c.digits == 0:
        c.phase = CHUNKS_BAD
    elif byte == 13:
        c.phase = CHUNK_SIZE_LF
    elif byte == c";":
        c.phase = CHUNK_EXTENSION
    else:
        c.phase = CHUNKS_BAD


cdef inline void _name_byte(Chunks* c, uint8_t byte) noexcept nogil:
    """A byte of a trailer's name, which ends in a colon and cannot be empty."""
    c.extra += 1
    if byte == c":" and c.phase == TRAILER_NAME:
        c.phase = TRAILER_LINE
    elif c.extra > MOST_EXTRA or not is_token(&byte, 1):
        c.phase = CHUNKS_BAD
    else:
        c.phase = TRAILER_NAME


cdef inline void _extra_byte(Chunks* c, uint8_t byte, int line_feed) noexcept nogil:
    """A byte of an extension or of a trailer's value: read past, and counted."""
    c.extra += 1
    if byte == 13:
        c.phase = line_feed
    elif c.extra > MOST_EXTRA or not FIELD_BYTE[byte]:
        c.phase = CHUNKS_BAD


cdef Py_ssize_t chunks_feed(
    Chunks* c, const uint8_t* p, Py_ssize_t available, Slice* data
) noexcept nogil:
    """Read framing until there is data, or nothing more to read."""
    cdef Py_ssize_t i = 0
    cdef uint8_t byte
    data.ptr = NULL
    data.len = 0
    while i < available and c.phase < CHUNKS_DONE:
        byte = p[i]
        if c.phase == CHUNK_DATA:
            data.ptr = p + i
            data.len = available - i
            if data.len > c.left:
                data.len = <Py_ssize_t>c.left
            c.left -= data.len
            if c.left == 0:
                c.phase = CHUNK_DATA_CR
            return i + data.len
        i += 1
        if c.phase == CHUNK_SIZE:
            _size_byte(c, byte)
        elif c.phase == CHUNK_EXTENSION:
            _extra_byte(c, byte, CHUNK_SIZE_LF)
        elif c.phase == TRAILER_LINE:
            _extra_byte(c, byte, TRAILER_LF)
        elif c.phase == TRAILER_START and byte == 13:
            c.phase = CHUNK_LAST_LF
        elif c.phase == TRAILER_START or c.phase == TRAILER_NAME:
            _name_byte(c, byte)
        elif c.phase == CHUNK_DATA_CR:
            c.phase = CHUNK_DATA_LF if byte == 13 else CHUNKS_BAD
        elif byte != 10:
            c.phase = CHUNKS_BAD
        elif c.phase == CHUNK_SIZE_LF:
            c.phase = CHUNK_DATA if c.left > 0 else TRAILER_START
            c.digits = 0
        elif c.phase == CHUNK_DATA_LF:
            c.phase = CHUNK_SIZE
        elif c.phase == TRAILER_LF:
            c.phase = TRAILER_START
        else:
            c.phase = CHUNKS_DONE
    return i
