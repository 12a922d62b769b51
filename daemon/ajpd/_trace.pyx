"""Names of requests that go with them from machine to machine: X-Request-Id and traceparent.

Whose name counts is a setting: nobody's, a trusted proxy's, or anybody's; where it is nobody's, or is
not well formed, there is a new one. A trace that is passed on is passed on as it is, since no span of
it is recorded here. Names are for people who look for something, and no secrets.

Source: W3C Trace Context, level 1. X-Request-Id is in no standard; its letters here are those that
mean nothing in logs, shells and URLs.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from ajpd.http._request cimport RequestHead

__all__ = ["Names", "Trace", "is_request_id", "is_traceparent"]


cdef enum Whose:
    OFF                 # the header is none of our business
    CREATE              # nobody's
    TRUSTED             # a trusted proxy's
    ANY                 # everybody's

cdef enum:
    LONGEST = 128
    # 00-<32 digits>-<16 digits>-<2 digits>
    PARENT = 55
    TRACE_AT = 3
    TRACE_DIGITS = 32
    SPAN_AT = 36
    SPAN_DIGITS = 16

cdef dict WHOSE = {"off": OFF, "create": CREATE, "trusted": TRUSTED, "any": ANY}
cdef bytes REQUEST_ID = b"x-request-id"
cdef bytes TRACEPARENT = b"traceparent"
cdef bytes TRACESTATE = b"tracestate"
cdef const char* HEX = b"0123456789abcdef"
cdef uint8_t LETTER[256]
cdef int _byte
for _byte in range(256):
    LETTER[_byte] = 1 if chr(_byte).isascii() and (
        chr(_byte).isalnum() or chr(_byte) in "-._~+/=:@"
    ) else 0


def is_request_id(bytes text):
    """Whether a name may be passed on: 1 to 128 letters, digits and `-._~+/=:@`."""
    cdef Py_ssize_t at
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(text)
    if not 0 < PyBytes_GET_SIZE(text) <= LONGEST:
        return False
    for at in range(PyBytes_GET_SIZE(text)):
        if not LETTER[p[at]]:
            return False
    return True


def is_traceparent(bytes text):
    """Whether a trace may be passed on; of versions to come the part that is known counts."""
    cdef const char* p = PyBytes_AS_STRING(text)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(text)
    if length < PARENT or p[2] != c"-" or p[35] != c"-" or p[52] != c"-":
        return False
    if not (_is_hex(p, 2) and _is_hex(p + 53, 2)) or (p[0] == c"f" and p[1] == c"f"):
        return False
    if length > PARENT and ((p[0] == c"0" and p[1] == c"0") or p[PARENT] != c"-"):
        return False
    return _is_name(p + TRACE_AT, TRACE_DIGITS) and _is_name(p + SPAN_AT, SPAN_DIGITS)


cdef bint _is_hex(const char* p, int count) noexcept nogil:
    cdef int at
    for at in range(count):
        if not (c"0" <= p[at] <= c"9" or c"a" <= p[at] <= c"f"):
            return False
    return True


cdef bint _is_name(const char* p, int count) noexcept nogil:
    """Hexadecimal digits that are not all zero."""
    cdef int at
    if not _is_hex(p, count):
        return False
    for at in range(count):
        if p[at] != c"0":
            return True
    return False


@cython.final
@cython.freelist(32)
cdef class Names:
    """What one request is called."""

    def __repr__(self):
        return f"<Names {self.request_id} {self.traceparent}>"


@cython.final
cdef class Trace:
    """Whose names count, and new ones where nobody's do.

    Args:
        request_id: off, create, trusted or any.
        traceparent: the same.
        seed: 16 random bytes that no other process has.
    """

    def __init__(self, str request_id, str traceparent, bytes seed):
        self._ids = WHOSE[request_id]
        self._parents = WHOSE[traceparent]
        self.names_requests = self._ids != OFF
        self.traces = self._parents != OFF
        if len(seed) != 16:
            raise ValueError("a seed has 16 bytes")
        memcpy(self._state, PyBytes_AS_STRING(seed), 16)
        self._state[0] |= 1

    cdef Names names_of(self, RequestHead head, bint trusted):
        """The names of a request; its head is as the client sent it."""
        cdef Names names = Names.__new__(Names)
        cdef bytes text
        if self.traces:
            if self._parents == ANY or (self._parents == TRUSTED and trusted):
                text = head.value_of(TRACEPARENT)
                if text is not None and is_traceparent(text):
                    names.traceparent = text
            if names.traceparent is None:
                names.traceparent = b"00-%s-%s-01" % (
                    self._digits(TRACE_DIGITS), self._digits(SPAN_DIGITS)
                )
        if self.names_requests:
            if self._ids == ANY or (self._ids == TRUSTED and trusted):
                text = head.value_of(REQUEST_ID)
                if text is not None and is_request_id(text):
                    names.request_id = text
            if names.request_id is None:
                # One name is better than two.
                names.request_id = (
                    self._digits(TRACE_DIGITS) if names.traceparent is None
                    else names.traceparent[TRACE_AT : TRACE_AT + TRACE_DIGITS]
                )
        return names

    cdef int prepare(self, RequestHead head, Names names) except -1:
        """Take headers out of a head that are written anew; the state of another trace too."""
        if self.traces:
            if head.value_of(TRACEPARENT) != names.traceparent:
                head.drop_one(TRACESTATE)
            head.drop_one(TRACEPARENT)
        if self.names_requests:
            head.drop_one(REQUEST_ID)
        return 0

    cdef bytes _digits(self, int count):
        """Hexadecimal digits, not all of them zero."""
        cdef bytes made = PyBytes_FromStringAndSize(NULL, count)
        cdef char* out = PyBytes_AS_STRING(made)
        cdef uint64_t random = 0
        cdef int at
        for at in range(count):
            if at % 16 == 0:
                random = self._next()
                while random == 0:
                    random = self._next()
            out[at] = HEX[random & 15]
            random >>= 4
        return made

    cdef uint64_t _next(self) noexcept:
        """xorshift128+."""
        cdef uint64_t one = self._state[0], two = self._state[1]
        self._state[0] = two
        one ^= one << 23
        self._state[1] = one ^ two ^ (one >> 17) ^ (two >> 26)
        return self._state[1] + two
