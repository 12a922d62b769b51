"""Lines of the access log, made in place."""

from libc.stdint cimport int64_t


cdef struct Facts:
    # What is known of a request at its end besides texts.
    int port                # that the client reached; 0 unknown
    int minor               # of HTTP/1.x
    int status              # 0: none was sent
    int attempts
    int sticky              # 1 where its session is, 0 elsewhere, -1 it has none
    int64_t sent            # bytes of the body
    double seconds          # the whole exchange
    double first_byte       # seconds until the answer began; negative: it did not


cdef class LogLines:
    """Lines that wait to be written, in one piece of memory."""

    cdef readonly bint wants_referer
    cdef readonly bint wants_agent
    cdef public Py_ssize_t kept     # bytes somebody else keeps, of the same allowance
    cdef public Py_ssize_t most     # bytes that are kept; lines beyond are dropped
    cdef public Py_ssize_t full     # bytes from which on `on_full` is called with each line
    cdef public int64_t dropped
    cdef object _on_first           # called when the first line came
    cdef object _on_full
    cdef int* _ops
    cdef Py_ssize_t _count
    cdef Py_ssize_t _fixed          # bytes of a line without any text of a request
    cdef list _texts
    cdef char* _data
    cdef Py_ssize_t _size
    cdef Py_ssize_t _room
    cdef int64_t _second
    cdef bytes _iso
    cdef bytes _common

    # Texts are None where there is nothing; `failures` is a list of (worker, reason).
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
    ) except -1
    cdef int _reserve(self, Py_ssize_t more) except -1
    cdef int _look(self, int64_t second) except -1
