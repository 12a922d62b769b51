"""Lines of the access log, made in place: one pass over the parts of a format for each request.

A format is a list of parts, each an operation and the text that stands before what it writes. No
byte of a client can end a line, leave its quotes or move a terminal's cursor. Nothing is known here
of formats by name, of files, or of when lines are written.

Source: RFC 8259 §7 for JSON; mod_jk `JkRequestLogFormat` and the combined log format for the rest.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcpy

import json
import time

__all__ = ["OPS", "LogLines"]


cdef extern from "time.h" nogil:
    ctypedef long time_t
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* out)
    int CLOCK_REALTIME


cdef enum:
    NOTHING             # the text alone
    # as JSON: quoted, null where there is nothing
    JSON_TIME
    JSON_CLIENT
    JSON_HOST
    JSON_METHOD
    JSON_PATH
    JSON_QUERY
    JSON_STATUS
    JSON_BYTES
    JSON_DURATION
    JSON_FIRST_BYTE
    JSON_WORKER
    JSON_MEMBER
    JSON_ROUTE
    JSON_STICKY
    JSON_ATTEMPTS
    JSON_REASON
    JSON_REQUEST_ID
    JSON_TLS
    JSON_CIPHER
    # as text: a dash where there is nothing
    COMMON_TIME
    CLIENT
    HOST
    METHOD
    PATH
    QUERY
    REQUEST
    PROTOCOL
    PORT
    STATUS
    BYTES
    BYTES_OR_DASH
    DURATION
    WORKER
    ROUTE
    REFERER
    AGENT
    REQUEST_ID

#: Number of each operation by its name.
OPS = {
    "": NOTHING,
    "json time": JSON_TIME,
    "json client": JSON_CLIENT,
    "json host": JSON_HOST,
    "json method": JSON_METHOD,
    "json path": JSON_PATH,
    "json query": JSON_QUERY,
    "json status": JSON_STATUS,
    "json bytes": JSON_BYTES,
    "json duration": JSON_DURATION,
    "json first_byte": JSON_FIRST_BYTE,
    "json worker": JSON_WORKER,
    "json member": JSON_MEMBER,
    "json route": JSON_ROUTE,
    "json sticky": JSON_STICKY,
    "json attempts": JSON_ATTEMPTS,
    "json reason": JSON_REASON,
    "json request_id": JSON_REQUEST_ID,
    "json tls": JSON_TLS,
    "json cipher": JSON_CIPHER,
    "common time": COMMON_TIME,
    "client": CLIENT,
    "host": HOST,
    "method": METHOD,
    "path": PATH,
    "query": QUERY,
    "request": REQUEST,
    "protocol": PROTOCOL,
    "port": PORT,
    "status": STATUS,
    "bytes": BYTES,
    "bytes or dash": BYTES_OR_DASH,
    "duration": DURATION,
    "worker": WORKER,
    "route": ROUTE,
    "referer": REFERER,
    "agent": AGENT,
    "request id": REQUEST_ID,
}

cdef enum:
    # A byte becomes six at most, and there are quotes around it.
    GROWTH = 6
    NUMBER = 48
    FIRST_ROOM = 131072

# Bytes that stand for themselves, in JSON and in a token alike; and those that follow a backslash.
cdef uint8_t SAFE[256]
cdef const char* HEX = b"0123456789abcdef"
# Not the locale's.
cdef tuple MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)
cdef int _byte
for _byte in range(256):
    SAFE[_byte] = 1 if 32 <= _byte < 127 and _byte != 34 and _byte != 92 else 0


cdef inline char* put(char* out, const char* text, Py_ssize_t length) noexcept nogil:
    memcpy(out, text, <size_t>length)
    return out + length


cdef inline char* put_null(char* out) noexcept nogil:
    return put(out, b"null", 4)


cdef char* put_number(char* out, int64_t number) noexcept nogil:
    cdef char digits[24]
    cdef int at = 24
    cdef uint64_t rest = <uint64_t>number if number >= 0 else <uint64_t>(-number)
    if number < 0:
        out[0] = c"-"
        out += 1
    while True:
        at -= 1
        digits[at] = <char>(48 + rest % 10)
        rest //= 10
        if rest == 0:
            break
    return put(out, digits + at, 24 - at)


cdef char* put_seconds(char* out, double seconds) noexcept nogil:
    """With six digits behind the point."""
    cdef uint64_t us = <uint64_t>(seconds * 1e6 + 0.5) if seconds > 0.0 else 0
    cdef uint64_t rest = us % 1000000
    cdef int at
    out = put_number(out, <int64_t>(us // 1000000))
    out[0] = c"."
    for at in range(6, 0, -1):
        out[at] = <char>(48 + rest % 10)
        rest //= 10
    return out + 7


cdef char* put_json(char* out, const uint8_t* p, Py_ssize_t length) noexcept nogil:
    """A string; each byte is the character of its number."""
    cdef Py_ssize_t at = 0, run
    out[0] = c'"'
    out += 1
    while at < length:
        run = at
        while run < length and SAFE[p[run]]:
            run += 1
        out = put(out, <const char*>p + at, run - at)
        at = run
        if at == length:
            break
        if p[at] == 34 or p[at] == 92:
            out[0] = c"\\"
            out[1] = <char>p[at]
            out += 2
        else:
            out = put(out, b"\\u00", 4)
            out[0] = HEX[p[at] >> 4]
            out[1] = HEX[p[at] & 15]
            out += 2
        at += 1
    out[0] = c'"'
    return out + 1


cdef char* put_plain(char* out, const uint8_t* p, Py_ssize_t length) noexcept nogil:
    r"""Text of a token: what is not printable ASCII is \xHH."""
    cdef Py_ssize_t at
    for at in range(length):
        if SAFE[p[at]]:
            out[0] = <char>p[at]
            out += 1
        elif p[at] == 34 or p[at] == 92:
            out[0] = c"\\"
            out[1] = <char>p[at]
            out += 2
        else:
            out[0] = c"\\"
            out[1] = c"x"
            out[2] = HEX[p[at] >> 4]
            out[3] = HEX[p[at] & 15]
            out += 4
    return out


cdef inline char* json_bytes(char* out, bytes text) noexcept:
    if text is None:
        return put_null(out)
    return put_json(out, <const uint8_t*>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


cdef inline char* plain_bytes(char* out, bytes text) noexcept:
    if text is None or PyBytes_GET_SIZE(text) == 0:
        out[0] = c"-"
        return out + 1
    return put_plain(out, <const uint8_t*>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


cdef char* json_name(char* out, str name) except NULL:
    cdef Py_ssize_t length = 0
    cdef const char* p
    cdef bytes text
    if name is None:
        return put_null(out)
    p = PyUnicode_AsUTF8AndSize(name, &length)
    if length != len(name):
        # Not ASCII.
        text = json.dumps(name).encode()
        return put(out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    return put_json(out, <const uint8_t*>p, length)


cdef inline Py_ssize_t length_of(bytes text) noexcept:
    return 0 if text is None else PyBytes_GET_SIZE(text)


@cython.final
cdef class LogLines:
    """Lines that wait to be written, in one piece of memory.

    Args:
        parts: (operation, text before it) pairs.
        on_first: called when the first line came after `take`.
        on_full: called with each line beyond `full` bytes.
    """

    def __cinit__(self):
        self._second = -1
        self.most = self.full = (<Py_ssize_t>1) << 62

    def __init__(self, parts, on_first=None, on_full=None):
        cdef Py_ssize_t index
        self._on_first = on_first
        self._on_full = on_full
        self._count = len(parts)
        self._texts = [text for _, text in parts]
        self._ops = <int*>malloc(<size_t>(self._count * <Py_ssize_t>sizeof(int)))
        if self._ops == NULL:
            raise MemoryError
        self._fixed = NUMBER
        for index in range(self._count):
            self._fixed += NUMBER + PyBytes_GET_SIZE(<bytes>self._texts[index])
            self._ops[index] = parts[index][0]
            self.wants_referer |= self._ops[index] == REFERER
            self.wants_agent |= self._ops[index] == AGENT

    def __dealloc__(self):
        free(self._ops)
        free(self._data)

    def __repr__(self):
        return f"<LogLines {self._size} bytes, {self.dropped} lines dropped>"

    @property
    def size(self):
        """Bytes that wait."""
        return self._size

    def take(self):
        """All that waits; from now on nothing does."""
        cdef bytes taken = PyBytes_FromStringAndSize(self._data, self._size)
        self._size = 0
        return taken

    def note(
        self,
        *,
        bytes client=None,
        int port=0,
        bytes host=None,
        bytes method=None,
        bytes target=None,
        int minor=1,
        int status=0,
        int64_t sent=0,
        double seconds=0.0,
        double first_byte=-1.0,
        str worker=None,
        str member=None,
        bytes route=None,
        sticky=None,
        int attempts=0,
        list failures=None,
        reason=None,
        bytes referer=None,
        bytes agent=None,
        bytes protocol=None,
        bytes cipher=None,
        bytes request_id=None,
    ):
        """Add the line of a request."""
        cdef Facts facts
        facts.port, facts.minor, facts.status, facts.attempts = port, minor, status, attempts
        facts.sticky = -1 if sticky is None else 1 if sticky else 0
        facts.sent, facts.seconds, facts.first_byte = sent, seconds, first_byte
        self.add(
            &facts, client, host, method, target, worker, member, route, failures, reason, referer,
            agent, protocol, cipher, request_id,
        )

    cdef int add(
        self,
        const Facts* facts,
        bytes client,
        bytes host,
        bytes method,
        bytes target,
        str worker,
        str member,
        bytes route,
        list failures,
        object reason,
        bytes referer,
        bytes agent,
        bytes protocol,
        bytes cipher,
        bytes request_id,
    ) except -1:
        """Add the line of a request."""
        cdef timespec now
        cdef Py_ssize_t index, length, path = length_of(target)
        cdef const char* mark = NULL
        cdef const char* p = NULL
        cdef char* out
        cdef bytes text, attempts = None
        cdef int op
        if self._size + self.kept > self.most:
            self.dropped += 1
            return 0
        clock_gettime(CLOCK_REALTIME, &now)
        if now.tv_sec != self._second:
            self._look(now.tv_sec)
        if target is not None:
            p = PyBytes_AS_STRING(target)
            mark = <const char*>memchr(p, c"?", <size_t>path)
            if mark != NULL:
                path = mark - p
        if failures is not None or facts.attempts > 0:
            attempts = _attempts(failures, facts.attempts, member)
        # Any of them may be there as often as there are parts; memory that is not used costs nothing.
        self._reserve(
            GROWTH * self._count * (
                length_of(client) + length_of(host) + length_of(method) + length_of(target)
                + length_of(route) + length_of(referer) + length_of(agent) + length_of(protocol)
                + length_of(cipher) + length_of(request_id)
                + 4 * (0 if worker is None else len(worker))
                + 4 * (0 if member is None else len(member))
            ) + self._count * length_of(attempts)
        )
        out = self._data + self._size
        for index in range(self._count):
            text = <bytes>self._texts[index]
            out = put(out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
            op = self._ops[index]
            if op == NOTHING:
                pass
            elif op == JSON_TIME:
                out[0] = c'"'
                out = put(out + 1, PyBytes_AS_STRING(self._iso), 19)
                length = now.tv_nsec // 1000000
                out[0] = c"."
                out[1] = <char>(48 + length // 100)
                out[2] = <char>(48 + length // 10 % 10)
                out[3] = <char>(48 + length % 10)
                out = put(out + 4, b'Z"', 2)
            elif op == JSON_CLIENT:
                out = json_bytes(out, client)
            elif op == JSON_HOST:
                out = json_bytes(out, host)
            elif op == JSON_METHOD:
                out = json_bytes(out, method)
            elif op == JSON_PATH:
                out = put_null(out) if p == NULL else put_json(out, <const uint8_t*>p, path)
            elif op == JSON_QUERY:
                if mark == NULL:
                    out = put_null(out)
                else:
                    length = PyBytes_GET_SIZE(target) - path - 1
                    out = put_json(out, <const uint8_t*>mark + 1, length)
            elif op == JSON_STATUS:
                out = put_null(out) if facts.status == 0 else put_number(out, facts.status)
            elif op == JSON_BYTES or op == BYTES:
                out = put_number(out, facts.sent)
            elif op == JSON_DURATION or op == DURATION:
                out = put_seconds(out, facts.seconds)
            elif op == JSON_FIRST_BYTE:
                out = put_null(out) if facts.first_byte < 0 else put_seconds(out, facts.first_byte)
            elif op == JSON_WORKER:
                out = json_name(out, worker)
            elif op == JSON_MEMBER:
                out = json_name(out, member)
            elif op == JSON_ROUTE:
                out = json_bytes(out, route)
            elif op == JSON_STICKY:
                if facts.sticky < 0:
                    out = put_null(out)
                elif facts.sticky:
                    out = put(out, b"true", 4)
                else:
                    out = put(out, b"false", 5)
            elif op == JSON_ATTEMPTS:
                if attempts is None:
                    out = put(out, b"[]", 2)
                else:
                    out = put(out, PyBytes_AS_STRING(attempts), PyBytes_GET_SIZE(attempts))
            elif op == JSON_REASON:
                out = put_null(out) if reason is None else json_name(out, str(reason))
            elif op == JSON_REQUEST_ID:
                out = json_bytes(out, request_id)
            elif op == JSON_TLS:
                out = json_bytes(out, protocol)
            elif op == JSON_CIPHER:
                out = json_bytes(out, cipher)
            elif op == COMMON_TIME:
                out = put(out, PyBytes_AS_STRING(self._common), PyBytes_GET_SIZE(self._common))
            elif op == CLIENT:
                out = plain_bytes(out, client)
            elif op == HOST:
                out = plain_bytes(out, host)
            elif op == METHOD:
                out = plain_bytes(out, method)
            elif op == PATH:
                if path == 0:
                    out = put(out, b"-", 1)
                else:
                    out = put_plain(out, <const uint8_t*>p, path)
            elif op == QUERY:
                if mark != NULL:
                    length = PyBytes_GET_SIZE(target) - path
                    out = put_plain(out, <const uint8_t*>mark, length)
            elif op == REQUEST or op == PROTOCOL:
                if method is None:
                    out = put(out, b"-", 1)
                    continue
                if op == REQUEST:
                    out = plain_bytes(out, method)
                    out[0] = c" "
                    out = plain_bytes(out + 1, target)
                    out[0] = c" "
                    out += 1
                out = put(out, b"HTTP/1.", 7)
                out = put_number(out, facts.minor)
            elif op == PORT:
                out = put(out, b"-", 1) if facts.port == 0 else put_number(out, facts.port)
            elif op == STATUS:
                out = put(out, b"-", 1) if facts.status == 0 else put_number(out, facts.status)
            elif op == BYTES_OR_DASH:
                out = put(out, b"-", 1) if facts.sent == 0 else put_number(out, facts.sent)
            elif op == WORKER:
                out = plain_bytes(out, None if worker is None else worker.encode())
            elif op == ROUTE:
                out = plain_bytes(out, route)
            elif op == REFERER:
                out = plain_bytes(out, referer)
            elif op == AGENT:
                out = plain_bytes(out, agent)
            elif op == REQUEST_ID:
                out = plain_bytes(out, request_id)
        out[0] = c"\n"
        index = self._size
        self._size = out + 1 - self._data
        if index == 0 and self._on_first is not None:
            self._on_first()
        elif self._size > self.full and self._on_full is not None:
            self._on_full()
        return 0

    cdef int _reserve(self, Py_ssize_t more) except -1:
        """Have room for a line whose texts take that much."""
        cdef Py_ssize_t wanted = self._size + more + self._fixed
        cdef char* data
        if wanted <= self._room:
            return 0
        wanted = max(2 * wanted, FIRST_ROOM)
        data = <char*>realloc(self._data, <size_t>wanted)
        if data == NULL:
            raise MemoryError
        self._data = data
        self._room = wanted
        return 0

    cdef int _look(self, int64_t second) except -1:
        """Make the texts of a second."""
        local = time.localtime(second)
        self._second = second
        self._iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        month = MONTHS[local.tm_mon - 1]
        self._common = time.strftime(f"%d/{month}/%Y:%H:%M:%S %z", local).encode()
        return 0


cdef bytes _attempts(list failures, int attempts, str member):
    """Every attempt as JSON: those that failed, and the last one, if it did not."""
    cdef list found = []
    if failures is None and attempts == 1 and member is not None:
        # Nearly always.
        return _attempt(member, b"null")
    for name, reason in failures or ():
        found.append(_attempt(name, b'"%s"' % str(reason).encode()))
    if attempts > len(found):
        found.append(_attempt(member, b"null"))
    return b"[%s]" % b",".join([each[1 : len(each) - 1] for each in found])


cdef dict KNOWN = {}


cdef bytes _attempt(str member, bytes reason):
    """One of them in brackets; made once for each name and reason."""
    cdef char name[4096]
    cdef char* end
    known = KNOWN.get((member, reason))
    if known is None:
        if member is not None and len(member) > 160:
            member = member[:160]
        end = json_name(name, member)
        known = b'[{"worker":%s,"reason":%s}]' % (name[: end - name], reason)
        if len(KNOWN) < 10000:
            KNOWN[(member, reason)] = known
    return known
