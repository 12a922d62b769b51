"""One client request, from its parsed head to its complete answer.

Owns what no other room can decide: when the container gets body and the client response, what a
failure becomes, whether there is another attempt, and backpressure in both directions. Bytes of
the client come in by `feed`, packets of the container by the `on_…` methods of an attempt; all
that one read of the container brought leaves in one write.

Source: mod_jk `ajp_service`, `ajp_get_reply`; RFC 9112 §9; spec of ajp13 "Request body rules".
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from ajp._clock cimport monotonic
from ajp._endpoint cimport Attempt, Endpoint
from ajp._packets cimport ResponseHead, body_packet_header
from ajp._wire cimport Slice
from ajpd._forward cimport forward_request
from ajpd._service cimport DISCARD_LIMIT
from ajpd.http._request cimport (
    ASTERISK_FORM,
    CHUNKS_BAD,
    CHUNKS_DONE,
    RequestHead,
    chunks_feed,
    chunks_init,
    is_plain_path,
)
from ajpd.http._response cimport BY_CHUNKS, BY_CLOSE, BY_LENGTH, NO_BODY, response_head

import logging

from ajp.errors import (
    REASON_STATUS,
    LocalProtocolError,
    Progress,
    ProtocolError,
    Reason,
)
from ajpd.http.pages import page
from ajpd.http.uri import BadURI, normalise
from ajpd.policy import CLIENT_FAULTS, IDEMPOTENT, may_retry

__all__ = ["Exchange"]

logger = logging.getLogger("ajpd.exchange")


cdef enum:
    # The client's body waits here while the container is busy: one packet and one read ahead.
    QUEUE_HIGH = 131072
    QUEUE_LOW = 65536
    # Up to here a copy is cheaper than one more buffer for the system.
    JOIN_LIMIT = 32768
    # Pieces up to this size are copied out of a read, so that they do not keep all of it alive.
    COPY_LIMIT = 4096

# Seconds a response head waits for something to go with it.
cdef double HEAD_WAITS = 0.05
cdef bytes CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
cdef bytes OPTIONS_ALLOWED = b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE\r\n"


@cython.final
cdef class Exchange(Attempt):
    """One client request and all its attempts."""

    def __repr__(self):
        method = (self.method or b"?").decode("latin-1")
        path = (self.path or b"?").decode("latin-1")
        return f"<Exchange {method} {path} attempts={self.attempts} status={self.status}>"

    # --- the client's side ------------------------------------------------------------------------

    cdef int begin(self, RequestHead head) except -1:
        """Take a parsed head: find the worker, encode the request. `feed` and `go` follow."""
        cdef bytes forward
        self.method = PyBytes_FromStringAndSize(<const char*>head.method.ptr, head.method.len)
        self.path = PyBytes_FromStringAndSize(<const char*>head.path.ptr, head.path.len)
        self.plan.head_request = self.method == b"HEAD"
        self.plan.minor = 1 if head.minor >= 1 else 0
        self.plan.keep_alive = head.keep_alive and not self.service.draining
        self.is_idempotent = self.method in IDEMPOTENT
        self.replayable = True
        self.queue = []
        self.pieces = []
        self.by_chunks = head.chunked
        self.body_left = 0 if head.content_length < 0 else head.content_length
        self.body_complete = not head.chunked and self.body_left == 0
        self.expects_continue = head.expects_continue and not self.body_complete
        if self.by_chunks:
            chunks_init(&self.chunks)
        self.service.requests += 1
        if self.service.max_body_bytes > 0 and self.body_left > self.service.max_body_bytes:
            return self._refuse(413, Reason.REQUEST_TOO_LARGE, "")
        if head.form == ASTERISK_FORM:
            return self._answer_options()
        forward = match = self.path
        if not is_plain_path(head.path.ptr, head.path.len):
            try:
                match, forward = normalise(self.path)
            except BadURI as wrong:
                return self._refuse(400, Reason.BAD_REQUEST, str(wrong))
        mount = self.service.match(match)
        if mount is None:
            return self._refuse(404, Reason.NO_MAPPING, "")
        self.target = self.service.targets[mount.worker]
        # What was read of the head decides the length header in the packet and, here, whether a
        # body packet follows it unasked.
        self.after_packet = -1 if head.chunked else self.body_left
        if mount.reply_timeout_ms is not None:
            self.reply_timeout = mount.reply_timeout_ms / 1000
        try:
            self.packet = forward_request(head, forward, self.target, self.client)
        except LocalProtocolError as wrong:
            return self._refuse_encoding(head, wrong)
        return 0

    cdef int _refuse_encoding(self, RequestHead head, object wrong) except -1:
        """The request does not fit into a packet, or cannot be said in one."""
        if wrong.needed is None:
            return self._refuse(400, Reason.BAD_REQUEST, str(wrong))
        if head.target.len > wrong.limit // 2:
            return self._refuse(414, Reason.REQUEST_TOO_LARGE, "")
        largest = ", ".join(
            f"{name.decode('latin-1')} ({size} bytes)" for name, size in wrong.largest
        )
        return self._refuse(
            431, Reason.REQUEST_TOO_LARGE, f"The largest are {largest}." if largest else ""
        )

    cdef int _answer_options(self) except -1:
        """OPTIONS * asks about this server, not about an application."""
        cdef bytes connection = b"\r\n"
        if not self.plan.keep_alive:
            connection = b"Connection: close\r\n\r\n"
        elif self.plan.minor == 0:
            connection = b"Connection: keep-alive\r\n\r\n"
        self.answered = True
        self.status = 200
        self.client.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + OPTIONS_ALLOWED
            + self.service.date_line()
            + connection
        )
        return self._finish(self.plan.keep_alive)

    cdef Py_ssize_t feed(self, bytes data, Py_ssize_t start, Py_ssize_t end) except -1:
        """Take request body out of data[start:end]; returns how many bytes belong to it."""
        cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(data)
        cdef Py_ssize_t pos = start, length
        cdef Slice piece
        if self.by_chunks:
            while pos < end and not self.body_complete:
                pos += chunks_feed(&self.chunks, p + pos, end - pos, &piece)
                if self.chunks.phase == CHUNKS_BAD:
                    self._bad_body()
                    return pos - start
                if self.chunks.phase == CHUNKS_DONE:
                    self.body_complete = True
                if piece.len > 0:
                    self._queue_piece(data, piece.ptr - p, piece.len)
        else:
            length = end - pos
            if length > self.body_left:
                length = <Py_ssize_t>self.body_left
            self.body_left -= length
            self.body_complete = self.body_left == 0
            self._queue_piece(data, pos, length)
            pos += length
        if (
            self.service.max_body_bytes > 0
            and self.body_total > self.service.max_body_bytes
            and not self.answered
        ):
            self._abandon()
            if self.head_written:
                self.answered = True
                self._log(Reason.REQUEST_TOO_LARGE, None, "the request body grew too large")
                self.client.exchange_broken(False)
            else:
                self._refuse(413, Reason.REQUEST_TOO_LARGE, "")
        elif not self.answered:
            self._pump()
        return pos - start

    cdef int _queue_piece(self, bytes data, Py_ssize_t start, Py_ssize_t length) except -1:
        """Keep body for the container, or drop it when the answer is complete already."""
        self.body_total += length
        self.expects_continue = False
        if self.answered or length == 0:
            return 0
        self.queue.append((data, start, start + length))
        self.queued += length
        if self.queued >= QUEUE_HIGH:
            self.client.want_body(False)

    cdef int _bad_body(self) except -1:
        """Chunked framing that cannot be trusted: the connection ends here."""
        self.plan.keep_alive = False
        if self.answered:
            self.client.exchange_broken(True)
            return 0
        self._abandon()
        if self.head_written:
            self._log(Reason.BAD_REQUEST, None, "broken chunked request body")
            self.answered = True
            self.client.exchange_broken(False)
        else:
            self._refuse(400, Reason.BAD_REQUEST, "The chunked request body is broken.")

    cdef int go(self) except -1:
        """Ask for an endpoint, once the first body packet of a known length can ride along."""
        if self.answered or self.waiting or self.endpoint is not None or self.attempts > 0:
            return 0
        if self.after_packet > 0 and self.queued == 0:
            self._say_continue()
            return 0
        if self.after_packet > 0:
            # As much as is there; the container would wait for a full packet no less.
            packet = self._take_body_packet(self.target.max_packet_size - 6)
            self.after_packet -= PyBytes_GET_SIZE(packet) - 6
            self.packet = self.packet + packet
            self.with_body = True
        return self._try()

    cdef int _say_continue(self) except -1:
        if self.expects_continue:
            self.expects_continue = False
            self.client.write(CONTINUE)
            self.client.want_body(True)

    cdef bint wants_body(self) noexcept:
        """Whether the exchange waits for the client's body and not for the container."""
        return not self.body_complete and self.queued == 0 and not self.expects_continue

    cdef int client_gone(self, object reason, str words) except -1:
        """The client closed the connection, or lost it."""
        if self.answered:
            return 0
        self.answered = True
        self._abandon()
        self._log(reason, None, words)
        return 0

    cdef int client_late(self) except -1:
        """The client did not send its body in time."""
        if self.answered:
            self.client.exchange_broken(True)
            return 0
        self._abandon()
        self.plan.keep_alive = False
        if self.head_written:
            self.answered = True
            self._log(Reason.CLIENT_TIMEOUT, None, "the request body did not arrive in time")
            self.client.exchange_broken(False)
            return 0
        return self._refuse(408, Reason.CLIENT_TIMEOUT, "")

    cdef int pause(self, bint paused) except -1:
        """The client reads too slowly, or caught up."""
        if self.endpoint is not None:
            if paused:
                self.endpoint.pause_reading()
            else:
                self.endpoint.resume_reading()
        return 0

    cdef int _abandon(self) except -1:
        """Give the attempt up, wherever it is."""
        if self.endpoint is not None:
            self.endpoint.abort()
        elif self.waiting:
            self.waiting = False
            self.target.worker.cancel(self)
        self.queue.clear()
        self.queued = 0

    # --- attempts ---------------------------------------------------------------------------------

    cdef int _try(self) except -1:
        self.attempts += 1
        self.waiting = True
        self.target.worker.acquire(self)

    cpdef on_endpoint(self, Endpoint endpoint):
        """An endpoint is ours: send."""
        self.waiting = False
        self.allowance = 0
        endpoint.start(self, self.packet, self.after_packet, self.with_body)
        if self.client.write_paused:
            endpoint.pause_reading()

    cpdef on_failed(self, object reason, object progress, object error):
        """The attempt failed: another one, a page, or a broken response."""
        self.waiting = False
        if self.answered:
            return
        if not self.head_written and self.replayable and may_retry(
            reason,
            progress,
            is_idempotent=self.is_idempotent,
            attempts=self.attempts,
            limit=self.target.retries,
        ):
            self._drop_response()
            logger.info(
                "%s %s worker=%s reason=%s progress=%s error=%s: trying again",
                self.method.decode("latin-1"), self.path.decode("latin-1"), self.target.name,
                reason, progress.name, error,
            )
            self._try()
            return
        if self.head_written:
            self.answered = True
            self.queue.clear()
            self._log(reason, progress, error)
            # Without the last chunk or all of its length a close shows; by close alone it does not.
            self._flush(False)
            self.client.exchange_broken(self.plan.framing != BY_CLOSE)
            return
        self._drop_response()
        self._refuse_with(REASON_STATUS[reason], reason, "", progress, error)

    cdef int _drop_response(self) except -1:
        self.head_bytes = None
        self.pieces.clear()
        self.pieces_size = 0

    # --- the container's side ---------------------------------------------------------------------

    cpdef on_headers(self, ResponseHead head):
        """Status and headers: keep them until the read is done."""
        self.status = head.status
        if not self.body_complete and (self.by_chunks or self.body_left > DISCARD_LIMIT):
            # Reading the rest just to keep the connection is not worth it.
            self.plan.keep_alive = False
        if self.service.draining:
            self.plan.keep_alive = False
        try:
            self.head_bytes = response_head(head, &self.plan, self.service.date_line())
        except ProtocolError as wrong:
            self._abandon()
            self._refuse_with(
                502, Reason.PROTOCOL_ERROR, "", Progress.RESPONSE_STARTED, wrong
            )

    cpdef on_body(self, bytes data, Py_ssize_t start, Py_ssize_t end):
        """Body: keep it until the read is done."""
        cdef Py_ssize_t size = end - start
        if self.answered or self.plan.framing == NO_BODY:
            return
        if self.plan.framing == BY_LENGTH and size > self.plan.length:
            # More than announced: what is announced is what the client gets, and no more on this
            # connection.
            if self.plan.length > 0 or self.plan.keep_alive:
                self._log(
                    Reason.PROTOCOL_ERROR,
                    Progress.RESPONSE_STARTED,
                    "the container sent more than its Content-Length",
                )
            size = <Py_ssize_t>self.plan.length
            end = start + size
            self.plan.keep_alive = False
        if size == 0:
            return
        if self.plan.framing == BY_LENGTH:
            self.plan.length -= size
        if size <= COPY_LIMIT:
            self.pieces.append(PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, size))
        else:
            self.pieces.append(memoryview(data)[start:end])
        self.pieces_size += size

    cpdef on_flush(self):
        """What there is leaves at the end of this read, be it the head alone."""
        self.flush_wanted = True

    cpdef on_get_body(self, Py_ssize_t allowance):
        """The container waits for body."""
        self.allowance = allowance
        if self.queued == 0 and not self.body_complete:
            self._say_continue()
        self._pump()

    cpdef on_read_done(self):
        """One write for all that one read brought.

        A head alone waits a moment: Tomcat sends it in a packet of its own, and what it belongs
        to follows at once unless the application flushed.
        """
        if self.answered:
            return
        if self.head_bytes is not None and not self.flush_wanted and (
            self.pieces_size == 0 or self._may_be_cut_short()
        ):
            self.service.wheel.arm(self, monotonic() + HEAD_WAITS)
            return
        self._flush(False)

    cpdef on_deadline(self, double now):
        """Nothing followed the head: it leaves alone."""
        if not self.answered:
            self._flush(False)

    cpdef on_end(self):
        """The response is complete, if it is as long as it said."""
        if self.answered:
            return
        self.answered = True
        if self.status == 403 and self.container_closed:
            # Tomcat refuses a request for its secret or an attribute in this way, and hardly any
            # other: an application's own 403 keeps the connection.
            self._log(
                Reason.SECRET_REJECTED,
                Progress.RESPONSE_STARTED,
                "403 and the connection closed: compare secret with the connector's secret",
            )
        if self.plan.framing == BY_LENGTH and self.plan.length > 0:
            self._log(
                Reason.EOF_MID_BODY,
                Progress.RESPONSE_STARTED,
                f"the container ended {self.plan.length} bytes short of its Content-Length",
            )
            if self._correct_length():
                self._flush(True)
                self._finish(self.plan.keep_alive)
                return
            self._flush(False)
            self.client.exchange_broken(True)
            return
        self._flush(True)
        self._finish(self.plan.keep_alive)

    cdef bint _may_be_cut_short(self) noexcept:
        """Whether this is an error page whose announced length has not come yet."""
        return (
            self.status >= 400
            and self.plan.framing == BY_LENGTH
            and 0 < self.plan.length
            and self.pieces_size <= JOIN_LIMIT
        )

    cdef bint _correct_length(self) except -1:
        """Put the true length into a head that was not written yet; whether it could be done.

        A servlet that sets a length and then fails leaves the length on Tomcat's error page. Of
        anything but an error page the missing part may matter, and the client must see that it is
        missing.
        """
        cdef bytes line, before
        if self.head_bytes is None or self.status < 400:
            return False
        line = b"\r\nContent-Length: %d\r\n" % (self.pieces_size + self.plan.length)
        before = self.head_bytes
        self.head_bytes = before.replace(line, b"\r\nContent-Length: %d\r\n" % self.pieces_size, 1)
        return self.head_bytes != before

    cdef int _pump(self) except -1:
        """Give the container what it asked for, as far as the client has sent it."""
        if self.endpoint is None:
            return self.go()
        if self.allowance == 0:
            return 0
        if self.queued > 0:
            packet = self._take_body_packet(self.allowance)
            self.allowance = 0
            self.replayable = False
            self.endpoint.send_body(packet, PyBytes_GET_SIZE(packet) - 6)
        elif self.body_complete:
            self.allowance = 0
            self.replayable = False
            self.endpoint.end_body()
        return 0

    cdef bytes _take_body_packet(self, Py_ssize_t most):
        """One body packet out of the queue, at least one byte and at most `most`."""
        cdef Py_ssize_t size = self.queued if self.queued < most else most
        cdef Py_ssize_t at = 6, start, end, taken
        cdef int used = 0
        cdef bytes data
        cdef bytes packet = PyBytes_FromStringAndSize(NULL, size + 6)
        cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(packet)
        body_packet_header(out, size)
        while at < size + 6:
            data, start, end = self.queue[used]
            taken = end - start
            if taken > size + 6 - at:
                taken = size + 6 - at
                self.queue[used] = (data, start + taken, end)
            else:
                used += 1
            memcpy(out + at, PyBytes_AS_STRING(data) + start, <size_t>taken)
            at += taken
        del self.queue[:used]
        self.queued -= size
        if self.queued <= QUEUE_LOW and not self.body_complete:
            self.client.want_body(True)
        return packet

    # --- to the client ----------------------------------------------------------------------------

    cdef int _flush(self, bint last) except -1:
        """Write what has gathered; `last`: the response ends here."""
        cdef list parts = []
        cdef Py_ssize_t size = self.pieces_size
        self.flush_wanted = False
        self.disarm()
        if self.head_bytes is not None:
            parts.append(self.head_bytes)
            size += PyBytes_GET_SIZE(self.head_bytes)
            self.head_bytes = None
            self.head_written = True
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

    cdef int _refuse(self, int status, object reason, str detail) except -1:
        return self._refuse_with(status, reason, detail, None, None)

    cdef int _refuse_with(self, int status, object reason, str detail, object progress, object error) except -1:
        """Answer with a page of our own."""
        cdef bint reusable = self.plan.keep_alive and not self.service.draining
        if not self.body_complete and (
            self.by_chunks or self.body_left > DISCARD_LIMIT or self.expects_continue
        ):
            reusable = False
        self.answered = True
        self.status = status
        self.head_written = True
        self.queue.clear()
        self.queued = 0
        self._log(reason, progress, error if error is not None else detail)
        self.client.write(
            page(
                status,
                str(reason),
                date_line=self.service.date_line(),
                keep_alive=reusable,
                minor=self.plan.minor,
                head_request=self.plan.head_request,
                detail=detail,
            )
        )
        return self._finish(reusable)

    cdef int _finish(self, bint reusable) except -1:
        """Answered: the connection goes on, or reads the rest of the body first, or ends."""
        self.discarding = not self.body_complete
        if self.discarding:
            self.client.want_body(True)
        return self.client.exchange_done(reusable)

    cdef int _log(self, object reason, object progress, object error) except -1:
        """One line for each exchange that did not go well; the client's own faults are no news."""
        self.service.failures += 1
        client_fault = reason in CLIENT_FAULTS
        level = logging.INFO if client_fault else logging.WARNING
        if logger.isEnabledFor(level):
            logger.log(
                level,
                "%s %s client=%s worker=%s status=%s reason=%s progress=%s attempts=%d error=%s",
                self.method.decode("latin-1"),
                self.path.decode("latin-1"),
                (self.client.remote_addr or b"-").decode("latin-1"),
                self.target.name if self.target is not None else "-",
                self.status or "-",
                reason,
                progress.name if progress is not None else "-",
                self.attempts,
                error or "-",
            )
