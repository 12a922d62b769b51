"""A container's response on its way to the client.

Turns heads into HTTP, frames bodies as the head promised, and gathers what one read of the
container brought into one write. Decides nothing about attempts; whether there is to be an answer at
all is the exchange's business.

Source: RFC 9112 §6-§7; mod_jk `ajp_process_callback`, which leaves framing to httpd.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from ajp._packets cimport ResponseHead
from ajpd._service cimport Service
from ajpd.http._response cimport BY_CHUNKS, BY_LENGTH, NO_BODY, response_head

from ajpd.http.pages import options_answer

__all__ = ["Answer"]


cdef enum:
    # Up to here a copy is cheaper than one more buffer for the system.
    JOIN_LIMIT = 32768
    # Pieces up to this size are copied out of a read, so that they do not keep all of it alive.
    COPY_LIMIT = 4096


@cython.final
@cython.freelist(32)
cdef class Answer:
    """One response."""

    def __cinit__(self):
        self.pieces = []

    def __repr__(self):
        return f"<Answer {self.status} sent={self.sent} waiting={self.pieces_size}>"

    cdef int begin(self, ResponseHead head, bytes date_line, bytes more) except -1:
        """Take a head; `more` are whole lines of ours behind it. Nothing is written yet."""
        self.status = head.status
        self.head = response_head(head, &self.plan, date_line, more)
        return 0

    cdef Py_ssize_t add(self, bytes data, Py_ssize_t start, Py_ssize_t end) except -1:
        """Take body; returns how much of it is beyond the announced length, and dropped."""
        cdef Py_ssize_t size = end - start, beyond = 0
        if self.plan.framing == NO_BODY:
            return 0
        if self.plan.framing == BY_LENGTH:
            if size > self.plan.length:
                beyond = size - <Py_ssize_t>self.plan.length
                size -= beyond
            self.plan.length -= size
        if size == 0:
            return beyond
        if size <= COPY_LIMIT:
            self.pieces.append(PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, size))
        else:
            self.pieces.append(memoryview(data)[start : start + size])
        self.pieces_size += size
        return beyond

    cdef int write(self, bint last) except -1:
        """Write what has gathered; `last`: the response ends here."""
        cdef list parts
        cdef Py_ssize_t size = self.pieces_size
        if self.head is not None and size <= COPY_LIMIT and len(self.pieces) <= 1 and (
            self.plan.framing != BY_CHUNKS
        ):
            return self._write_small()
        parts = []
        if self.head is not None:
            parts.append(self.head)
            size += PyBytes_GET_SIZE(self.head)
            self.head = None
            self.begun = True
        if self.pieces_size > 0:
            self.sent += self.pieces_size
            if self.plan.framing == BY_CHUNKS:
                parts.append(b"%x\r\n" % self.pieces_size)
                parts.extend(self.pieces)
                parts.append(b"\r\n")
            else:
                parts.extend(self.pieces)
            self.pieces.clear()
            self.pieces_size = 0
        if last and self.plan.framing == BY_CHUNKS:
            parts.append(b"0\r\n\r\n")
        if not parts:
            return 0
        if len(parts) == 1:
            self.client.write(parts[0])
        elif size <= JOIN_LIMIT:
            self.client.write(b"".join(parts))
        else:
            self.client.transport.writelines(parts)
        return 0

    cdef int _write_small(self) except -1:
        """Write a head and what little body came with it."""
        cdef bytes head = self.head, body, whole = head
        cdef Py_ssize_t size = PyBytes_GET_SIZE(head)
        self.head = None
        self.begun = True
        if self.pieces_size > 0:
            body = self.pieces.pop()
            whole = PyBytes_FromStringAndSize(NULL, size + self.pieces_size)
            memcpy(PyBytes_AS_STRING(whole), PyBytes_AS_STRING(head), <size_t>size)
            memcpy(
                PyBytes_AS_STRING(whole) + size, PyBytes_AS_STRING(body), <size_t>self.pieces_size
            )
            self.sent += self.pieces_size
            self.pieces_size = 0
        self.client.write(whole)
        return 0

    cdef int write_page(
        self, Service service, int status, str reason, str detail, bint json, bytes more
    ) except -1:
        """Write a whole answer of our own."""
        self.begun = True
        self.client.write(
            service.pages.page(
                status,
                reason,
                date_line=service.date_line(),
                keep_alive=self.plan.keep_alive,
                minor=self.plan.minor,
                head_request=self.plan.head_request,
                detail=detail,
                json=json,
                more=more,
            )
        )
        return 0

    cdef int write_options(self, Service service) except -1:
        """Write what OPTIONS * is answered with."""
        self.client.write(
            options_answer(
                service.date_line(), keep_alive=self.plan.keep_alive, minor=self.plan.minor
            )
        )
        return 0

    cdef int drop(self) except -1:
        """Forget what was not written: another attempt, or a page, takes its place."""
        self.status = 0
        self.head = None
        self.pieces.clear()
        self.pieces_size = 0
        return 0

    cdef bint waits(self) noexcept:
        """Whether a head alone, or an error page whose announced length has not come, is there.

        Both are worth waiting for what belongs to them.
        """
        return self.head is not None and (
            self.pieces_size == 0
            or (self.status >= 400 and self.lacks() and self.pieces_size <= JOIN_LIMIT)
        )

    cdef bint lacks(self) noexcept:
        """Whether less came than the head announced."""
        return self.plan.framing == BY_LENGTH and self.plan.length > 0

    cdef bint is_whole(self) noexcept:
        """Whether the client has all that the head announced."""
        return self.begun and self.pieces_size == 0 and (
            self.plan.framing == NO_BODY
            or (self.plan.framing == BY_LENGTH and self.plan.length == 0)
        )

    cdef bint mend(self) except -1:
        """Put the true length into a head that was not written yet; whether it could be done.

        A servlet that sets a length and then fails leaves the length on Tomcat's error page. Of
        anything but an error page the missing part may matter, and the client must see that it is
        missing.
        """
        cdef bytes line, before
        if self.head is None or self.status < 400:
            return False
        line = b"\r\nContent-Length: %d\r\n" % (self.pieces_size + self.plan.length)
        before = self.head
        self.head = before.replace(line, b"\r\nContent-Length: %d\r\n" % self.pieces_size, 1)
        return self.head != before
