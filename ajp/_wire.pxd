"""Cursors over AJP bytes: a reader with a sticky error, a writer that counts what it could not fit.

Inline structs and functions, all noexcept nogil; nothing here knows a packet type. A read past the
end sets the reader's error once and yields zeros from then on, so a decoder tests `err` at its end.
"""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memchr, memcpy

cdef enum WireError:
    E_NONE = 0
    E_MAGIC
    E_TOO_LARGE
    E_TRUNCATED
    E_EMPTY
    E_TYPE
    E_SHORT_FIELD
    E_STRING_OVERRUN
    E_STRING_NUL
    E_STRING_EMBEDDED_NUL
    E_METHOD
    E_URI
    E_BOOLEAN
    E_HEADER_CODE
    E_HEADER_NAME
    E_HEADER_VALUE
    E_HEADER_COUNT
    E_CONTENT_LENGTH
    E_CL_TE
    E_ATTR_CODE
    E_ATTR_NAME
    E_ATTR_DUP
    E_NO_TERMINATOR
    E_TRAILING
    E_BODY_LEN
    E_CHUNK_LEN
    E_REQ_LEN
    E_STATUS


ctypedef struct Slice:
    const uint8_t* ptr      # NULL: AJP's null string
    Py_ssize_t len


ctypedef struct Reader:
    const uint8_t* base     # borrowed; must outlive the reader
    Py_ssize_t pos          # next byte, from base
    Py_ssize_t end          # end of the payload, never of the buffer
    int err                 # a WireError; the first one stays
    Py_ssize_t err_offset
    Py_ssize_t err_expected
    Py_ssize_t err_got


cdef inline void reader_init(Reader* r, const uint8_t* base, Py_ssize_t length) noexcept nogil:
    r.base = base
    r.pos = 0
    r.end = length
    r.err = E_NONE
    r.err_offset = -1
    r.err_expected = 0
    r.err_got = 0


cdef inline void fail(
    Reader* r, int err, Py_ssize_t offset, Py_ssize_t expected, Py_ssize_t got
) noexcept nogil:
    """Remember the first error and make every later read yield nothing."""
    if r.err == E_NONE:
        r.err = err
        r.err_offset = offset
        r.err_expected = expected
        r.err_got = got
    r.pos = r.end


cdef inline bint need(Reader* r, Py_ssize_t n) noexcept nogil:
    """The one bounds check: whether n more bytes are inside the payload."""
    if r.end - r.pos >= n:
        return True
    fail(r, E_SHORT_FIELD, r.pos, n, r.end - r.pos)
    return False


cdef inline uint16_t load_u16(const uint8_t* p) noexcept nogil:
    return <uint16_t>((p[0] << 8) | p[1])


cdef inline void store_u16(uint8_t* p, Py_ssize_t value) noexcept nogil:
    p[0] = <uint8_t>((value >> 8) & 0xFF)
    p[1] = <uint8_t>(value & 0xFF)


cdef inline uint8_t get_u8(Reader* r) noexcept nogil:
    cdef uint8_t value
    if not need(r, 1):
        return 0
    value = r.base[r.pos]
    r.pos += 1
    return value


cdef inline uint16_t get_u16(Reader* r) noexcept nogil:
    cdef uint16_t value
    if not need(r, 2):
        return 0
    value = load_u16(r.base + r.pos)
    r.pos += 2
    return value


cdef inline bint has_control(const uint8_t* p, Py_ssize_t length) noexcept nogil:
    """Whether some byte is below 14: if none is, there is no CR, LF or NUL. Eight at a time."""
    cdef uint64_t word
    cdef Py_ssize_t i = 0
    if length >= 8:
        while i <= length - 8:
            memcpy(&word, p + i, 8)
            if (word - <uint64_t>0x0E0E0E0E0E0E0E0E) & ~word & <uint64_t>0x8080808080808080:
                return True
            i += 8
        if i == length:
            return False
        # The last eight, some of them again.
        memcpy(&word, p + length - 8, 8)
        return ((word - <uint64_t>0x0E0E0E0E0E0E0E0E) & ~word & <uint64_t>0x8080808080808080) != 0
    while i < length:
        if p[i] < 14:
            return True
        i += 1
    return False


cdef inline void get_string_body(Reader* r, Py_ssize_t length, Slice* out) noexcept nogil:
    """The bytes and the NUL of a string whose length was just read."""
    cdef const uint8_t* p = r.base + r.pos
    cdef const uint8_t* nul
    out.ptr = NULL
    out.len = 0
    if r.err != E_NONE:
        return
    if r.end - r.pos < length + 1:
        fail(r, E_STRING_OVERRUN, r.pos - 2, r.end - r.pos - 1, length)
        return
    if p[length] != 0:
        fail(r, E_STRING_NUL, r.pos + length, 0, p[length])
        return
    if has_control(p, length):
        nul = <const uint8_t*>memchr(p, 0, <size_t>length)
        if nul != NULL:
            fail(r, E_STRING_EMBEDDED_NUL, r.pos + (nul - p), 0, nul - p)
            return
    out.ptr = p
    out.len = length
    r.pos += length + 1


cdef inline void get_string(Reader* r, Slice* out) noexcept nogil:
    cdef Py_ssize_t length = get_u16(r)
    if length == 0xFFFF:
        out.ptr = NULL
        out.len = 0
        return
    get_string_body(r, length, out)


cdef enum WriteError:
    W_NONE = 0
    W_STRING_TOO_LONG       # more than 65534 bytes
    W_NUL                   # a NUL inside
    W_LINE_BREAK            # CR or LF in a header value
    W_NOT_TOKEN             # header name or method is no token
    W_NAME_TOO_LONG         # header name longer than its limit
    W_COUNT                 # more headers than a message may have
    W_LENGTH                # a Content-Length that is no length, or a second one
    W_LENGTH_AND_ENCODING   # Content-Length and Transfer-Encoding in one request
    W_REPEATED              # an attribute that may stand once stands twice


ctypedef struct Writer:
    uint8_t* buf            # borrowed
    Py_ssize_t pos          # bytes asked for so far; beyond cap they are counted, not written
    Py_ssize_t cap
    int err                 # a WriteError; the first one stays
    Py_ssize_t headers      # headers put so far
    Py_ssize_t count_at     # where their number goes
    int framing             # bit 1: Content-Length put, bit 2: Transfer-Encoding put
    int attributes          # bit n: attribute code n put
    Py_ssize_t err_header   # index of the header that err is about, -1 when none


cdef inline void writer_init(Writer* w, uint8_t* buf, Py_ssize_t cap) noexcept nogil:
    w.buf = buf
    w.pos = 0
    w.cap = cap
    w.err = W_NONE
    w.headers = 0
    w.count_at = 0
    w.framing = 0
    w.attributes = 0
    w.err_header = -1


cdef inline void refuse(Writer* w, int err, Py_ssize_t header) noexcept nogil:
    if w.err == W_NONE:
        w.err = err
        w.err_header = header


cdef inline void put_u8(Writer* w, uint8_t value) noexcept nogil:
    if w.pos + 1 <= w.cap:
        w.buf[w.pos] = value
    w.pos += 1


cdef inline void put_u16(Writer* w, Py_ssize_t value) noexcept nogil:
    if w.pos + 2 <= w.cap:
        store_u16(w.buf + w.pos, value)
    w.pos += 2


cdef inline void put_bytes(Writer* w, const uint8_t* p, Py_ssize_t length) noexcept nogil:
    if length > 0 and w.pos + length <= w.cap:
        memcpy(w.buf + w.pos, p, <size_t>length)
    w.pos += length


cdef inline void put_text(Writer* w, const uint8_t* p, Py_ssize_t length) noexcept nogil:
    """Length, bytes, NUL; of bytes that were looked through."""
    cdef uint8_t* to = w.buf + w.pos
    if w.pos + length + 3 <= w.cap:
        store_u16(to, length)
        memcpy(to + 2, p, <size_t>length)
        to[length + 2] = 0
    w.pos += length + 3


cdef inline void put_string(Writer* w, const uint8_t* p, Py_ssize_t length) noexcept nogil:
    """Length, bytes, NUL; a NULL pointer writes the null string."""
    if p == NULL:
        put_u16(w, 0xFFFF)
        return
    if length > 0xFFFE:
        refuse(w, W_STRING_TOO_LONG, -1)
        w.pos += length + 3
        return
    if has_control(p, length) and memchr(p, 0, <size_t>length) != NULL:
        refuse(w, W_NUL, -1)
    put_text(w, p, length)
