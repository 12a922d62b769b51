"""Requests that are answered here, without a container: their body gathered, their page asked.

A page is Python and called once; what a stream writes later goes out at once. An error of a page is
the answer 500 and a traceback in the log, never the end of the connection's protocol.
"""

from cpython.bytes cimport PyBytes_GET_SIZE

from ajpd._course cimport Course
from ajpd._forward cimport server_name_of, server_port_of
from ajpd.http._request cimport Field, RequestHead
from ajpd.http._response cimport BY_CHUNKS, BY_CLOSE

import logging

from ajp.errors import Reason
from ajpd.inside import MOST_BODY, Asked, head_of

__all__ = ["Inside"]

logger = logging.getLogger("ajpd.inside")

cdef Py_ssize_t MOST = MOST_BODY


cdef class Inside(Course):
    """The part of an exchange that is a conversation with a page of our own."""

    # --- the exchange's ---------------------------------------------------------------------------

    cdef int _close(self) except -1:
        raise NotImplementedError

    cdef int _finish(self, bint reusable) except -1:
        raise NotImplementedError

    cdef int _answer_with_page(self, int status, str reason, str detail) except -1:
        raise NotImplementedError

    # --- a page -----------------------------------------------------------------------------------

    cdef int _ask(self, RequestHead head, object page) except -1:
        """Keep what is asked until the body is here too."""
        cdef bytes query = None
        cdef dict headers = {}
        cdef Field* field
        cdef Py_ssize_t index
        if head.content_length > MOST:
            return self._refuse(413, Reason.REQUEST_TOO_LARGE, f"At most {MOST} bytes are taken.")
        if head.query.ptr != NULL:
            query = head.query.ptr[: head.query.len]
        for index in range(head.count):
            field = &head.fields[index]
            if not field.dropped:
                name = field.name.ptr[: field.name.len].lower()
                value = field.value.ptr[: field.value.len]
                headers[name] = headers.get(name, ()) + (value,)
        self.page = page
        self.asked = {
            "method": self.method.decode("latin-1"),
            "path": self.path,
            "query": query,
            "headers": headers,
            "remote_addr": self.peer.remote_addr.decode("ascii"),
            "server_name": server_name_of(head, self.peer).decode("latin-1"),
            "server_port": server_port_of(head, self.peer),
            "remote_user": None,
            "is_ssl": bool(self.peer.is_ssl),
        }
        if self.peer.tls is not None and self.peer.tls.remote_user is not None:
            self.asked["remote_user"] = self.peer.tls.remote_user.decode("utf-8", "replace")
        return 0

    cdef int _answer_inside(self) except -1:
        """Ask the page, as soon as all is there."""
        cdef bytes body = b""
        if self.stream is not None:
            return 0
        if self.upload is not None:
            if self.upload.total > MOST:
                return self._refuse(
                    413, Reason.REQUEST_TOO_LARGE, f"At most {MOST} bytes are taken."
                )
            if not self.body_complete:
                return self.upload.say_continue()
            body = b"".join([data[start:end] for data, start, end in self.upload.queue])
            self.upload.drop()
        try:
            given = self.page.answer(Asked(body=body, **self.asked))
            head = self._head(given)
        except Exception:
            logger.exception("%s could not be answered", self)
            return self._answer_with_page(500, "", "")
        self.answer.status = given.status
        if given.stream is not None:
            return self._begin_stream(head, given.stream)
        if self.answer.plan.head_request:
            self.client.write(head)
        else:
            self.answer.sent = PyBytes_GET_SIZE(given.body)
            self.client.write(head + given.body)
        self.answered = self.answer.begun = True
        return self._finish(self.answer.plan.keep_alive)

    def _head(self, given):
        if self.service.draining or (given.stream is not None and self.answer.plan.minor == 0):
            self.answer.plan.keep_alive = False
        return head_of(
            given,
            date_line=self.service.date_line(),
            keep_alive=bool(self.answer.plan.keep_alive),
            minor=self.answer.plan.minor,
        )

    # --- a stream ---------------------------------------------------------------------------------

    cdef int _begin_stream(self, bytes head, object stream) except -1:
        """Let the head go; nothing is in flight here as far as counts are concerned."""
        self.answer.plan.framing = BY_CHUNKS if self.answer.plan.minor >= 1 else BY_CLOSE
        self.answer.head = head
        self.answer.write(False)
        self.stream = stream
        self._close()
        stream.begin(self)
        return 0

    cdef int _leave_stream(self) except -1:
        """Nobody reads it any more."""
        stream = self.stream
        self.stream = None
        stream.end()
        return 0

    def push(self, bytes data):
        """Send bytes now; nothing happens once the client has gone."""
        if self.stream is not None and not self.answered and PyBytes_GET_SIZE(data) > 0:
            self.answer.add(data, 0, PyBytes_GET_SIZE(data))
            self.answer.write(False)

    def finish(self):
        """End the answer in good order."""
        if self.stream is not None and not self.answered:
            self.answered = True
            self._leave_stream()
            self.answer.write(True)
            self._finish(self.answer.plan.keep_alive)

    def may_push(self):
        """Whether the client takes what is sent."""
        return not self.client.write_paused

    def shall_finish(self):
        """Whether the process wants to end."""
        return bool(self.service.draining)
