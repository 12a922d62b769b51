"""One client request, from its parsed head to its complete answer.

Owns what no other room can decide: when the container gets body and the client response, what a
failure becomes, whether there is another attempt, and backpressure in both directions. Bytes of
the client come in by `feed`, packets of the container by the `on_…` methods of an attempt; all
that one read of the container brought leaves in one write.

Source: mod_jk `ajp_service`, `ajp_get_reply`; RFC 9112 §9; spec of ajp13 "Request body rules".
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from ajp._clock cimport monotonic
from ajp._endpoint cimport Attempt, Endpoint
from ajp._packets cimport ResponseHead, slice_bytes
from ajpd._forward cimport forward_request
from ajpd._service cimport DISCARD_LIMIT
from ajpd._upload cimport upload_of
from ajpd.http._request cimport ASTERISK_FORM, RequestHead, is_plain_path
from ajpd.http._response cimport BY_CHUNKS, BY_CLOSE, BY_LENGTH, NO_BODY, response_head

import logging

from ajp.errors import (
    REASON_STATUS,
    LocalProtocolError,
    Progress,
    ProtocolError,
    Reason,
)
from ajpd.http.pages import wants_json
from ajpd.http.uri import BadURI, normalise
from ajpd.policy import CLIENT_FAULTS, leaves_hard, may_retry, retry_delay

__all__ = ["Exchange"]

logger = logging.getLogger("ajpd.exchange")


cdef enum:
    # Up to here a copy is cheaper than one more buffer for the system.
    JOIN_LIMIT = 32768
    # Pieces up to this size are copied out of a read, so that they do not keep all of it alive.
    COPY_LIMIT = 4096

# Seconds a response head waits for something to go with it.
cdef double HEAD_WAITS = 0.05
# Seconds END_RESPONSE may take when the client has gone with all of its answer.
cdef double END_WAITS = 1.0
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
        if head.mentions_json():
            self.wants_json = wants_json(slice_bytes(head.accept))
        self.pieces = []
        self.upload = upload_of(head, self.client)
        self.body_complete = self.upload is None
        self.peer = self.service.introduce(head, self.client)
        self.service.requests += 1
        if self.service.max_body_bytes > 0 and head.content_length > self.service.max_body_bytes:
            return self._refuse(413, Reason.REQUEST_TOO_LARGE, "")
        if head.form == ASTERISK_FORM:
            return self._answer_options()
        if head.https and not self.peer.is_ssl:
            # RFC 9110 §7.4: what is asked for over TLS must have come over TLS.
            self.plan.keep_alive = False
            return self._refuse(421, Reason.BAD_REQUEST, "")
        forward = match = self.path
        if not is_plain_path(head.path.ptr, head.path.len):
            try:
                match, forward = normalise(self.path, self.service.forward_uri)
            except BadURI as wrong:
                return self._refuse(400, Reason.BAD_REQUEST, str(wrong))
        mount = self.service.match(match)
        if mount is None:
            return self._refuse(404, Reason.NO_MAPPING, "")
        self.target = self.service.targets[mount.worker]
        # What was read of the head decides the length header in the packet and, here, whether a
        # body packet follows it unasked.
        self.after_packet = 0
        if self.upload is not None:
            self.after_packet = -1 if head.chunked else head.content_length
            self.upload.keep = self.target.replay_limit
        if mount.reply_timeout_ms is not None:
            self.reply_timeout = mount.reply_timeout_ms / 1000
        if self.service.reply_timeout_header is not None and self.client.trusted:
            self.reply_timeout = self.service.asked_reply_timeout(head, self.reply_timeout)
        self.fail_on_status = self.target.fail_on_status
        if mount.fail_on_status is not None:
            self.fail_on_status = mount.fail_on_status
        self.replace_from = mount.use_server_errors
        try:
            attributes = None
            if self.service.attributes:
                attributes = self.service.attributes_of(head, self.peer, self.client.trusted)
            self.packet = forward_request(head, forward, self.target, self.peer, attributes)
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
        cdef Upload upload = self.upload
        cdef Py_ssize_t used = upload.feed(data, start, end)
        self.body_complete = upload.complete
        if upload.broken:
            self._bad_body()
        elif self.answered:
            return used
        elif 0 < self.service.max_body_bytes < upload.total:
            self._abandon()
            if self.head_written:
                self.answered = True
                self._log(Reason.REQUEST_TOO_LARGE, None, "the request body grew too large")
                self.client.exchange_broken(False)
            else:
                self._refuse(413, Reason.REQUEST_TOO_LARGE, "")
        else:
            self._pump()
        return used

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
        if self.after_packet > 0:
            if self.upload.queued == 0:
                return self.upload.say_continue()
            # As much as is there; the container would wait for a full packet no less.
            packet = self.upload.take_packet(self.target.max_packet_size - 6)
            self.after_packet -= PyBytes_GET_SIZE(packet) - 6
            self.packet = self.packet + packet
            self.with_body = True
            # It rides in `packet` on every attempt.
            if self.upload.given is not None:
                self.upload.given.clear()
                self.upload.given_size = 0
        return self._try()

    cdef bint wants_body(self) noexcept:
        """Whether the exchange waits for the client's body and not for the container."""
        return not self.body_complete and self.upload.queued == 0 and (
            not self.upload.expects_continue
        )

    cdef bint may_say_more(self) noexcept:
        """Whether an interim response may be written now."""
        return not self.answered and not self.head_written and self.plan.minor >= 1

    cdef int client_gone(self, object reason, str words) except -1:
        """The client closed the connection, or lost it."""
        if self.answered:
            return 0
        self.answered = True
        if self.endpoint is not None:
            if self._has_all():
                # It got what it came for; END_RESPONSE is still to come and says whether the
                # endpoint may be used again.
                self.service.wheel.arm(self, monotonic() + END_WAITS)
                return 0
            self.endpoint.leave(leaves_hard(self.target.recovery_options))
        self._abandon()
        self._log(reason, None, words)
        return 0

    cdef bint _has_all(self) noexcept:
        """Whether the client has every byte of its answer, and the container every byte of it."""
        return self.head_written and self.body_complete and self.allowance == 0 and (
            self.plan.framing == NO_BODY
            or (self.plan.framing == BY_LENGTH and self.plan.length == 0)
        )

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
        self.disarm()
        self.resting = False
        if self.endpoint is not None:
            self.endpoint.abort()
        elif self.waiting:
            self.waiting = False
            self.target.worker.cancel(self)
        if self.upload is not None:
            self.upload.drop()

    # --- attempts ---------------------------------------------------------------------------------

    cdef int _try(self) except -1:
        self.attempts += 1
        self.resting = False
        self.waiting = True
        self.target.worker.acquire(self)

    cpdef on_endpoint(self, Endpoint endpoint):
        """An endpoint is ours: send."""
        self.waiting = False
        self.allowance = 0
        endpoint.start(self, self.packet, self.after_packet, self.with_body)
        self.reused = endpoint.reused
        if self.client.write_paused:
            endpoint.pause_reading()

    cpdef on_failed(self, object reason, object progress, object error):
        """The attempt failed: another one, a page, or a broken response."""
        self.waiting = False
        if self.answered:
            return
        if self.reused and progress == Progress.NOTHING_SENT:
            self.stale += 1
        if self.head_written:
            self.answered = True
            if self.upload is not None:
                self.upload.drop()
            self._log(reason, progress, error)
            # Without the last chunk or all of its length a close shows; by close alone it does not.
            self._flush(False)
            self.client.exchange_broken(self.plan.framing != BY_CLOSE)
            return
        self.head_bytes = None
        self.pieces.clear()
        self.pieces_size = 0
        if self._again(reason, progress, error):
            return
        self._refuse_with(REASON_STATUS[reason], reason, "", progress, error)

    cdef bint _again(self, object reason, object progress, object error) except -1:
        """Make another attempt, now or a little later, if that can do no harm."""
        cdef double delay
        if not may_retry(
            reason,
            progress,
            method=self.method,
            is_replayable=self.upload is None or self.upload.given is not None,
            recovery_options=self.target.recovery_options,
            # A pooled connection that turned out to be dead was no attempt at anything.
            attempts=self.attempts - self.stale,
            limit=self.target.retries,
        ):
            return False
        logger.info(
            "%s %s worker=%s reason=%s progress=%s error=%s: trying again",
            self.method.decode("latin-1"), self.path.decode("latin-1"), self.target.name,
            reason, progress.name, error,
        )
        if self.upload is not None:
            self.upload.rewind()
        self.status = 0
        delay = retry_delay(reason, reused=self.reused, interval=self.target.retry_interval)
        self.reused = False
        if delay > 0:
            self.resting = True
            self.service.wheel.arm(self, monotonic() + delay)
        else:
            self._try()
        return True

    # --- the container's side ---------------------------------------------------------------------

    cpdef on_headers(self, ResponseHead head):
        """Status and headers: keep them until the read is done."""
        self.status = head.status
        if self.fail_on_status is not None and (
            head.status in self.fail_on_status or -head.status in self.fail_on_status
        ):
            self.endpoint.abort()
            self.on_failed(
                Reason.FAIL_ON_STATUS,
                Progress.RESPONSE_STARTED,
                f"{self.target.name} answered {head.status}, which fail_on_status names",
            )
            return
        # The challenge of a 401 is in its headers.
        self.replacing = 0 < self.replace_from <= head.status != 401
        if self.replacing:
            return
        if self.upload is not None:
            self.upload.forget()
            if self._rest_is_too_much():
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
        if self.answered or self.replacing or self.plan.framing == NO_BODY:
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
        self.flush_wanted = not self.replacing

    cpdef on_get_body(self, Py_ssize_t allowance):
        """The container waits for body."""
        self.allowance = allowance
        if self.upload is not None and self.upload.queued == 0 and not self.body_complete:
            self.upload.say_continue()
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
        """Nothing followed the head, or END_RESPONSE did not; or another attempt is due."""
        if self.resting:
            self._try()
        elif not self.answered:
            self._flush(False)
        elif self.endpoint is not None:
            self.endpoint.abort()

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
        if self.replacing:
            self._answer_with_page(self.status, "", "")
            return
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
        if self.upload is not None and self.upload.queued > 0:
            packet = self.upload.take_packet(self.allowance)
            self.allowance = 0
            self.endpoint.send_body(packet, PyBytes_GET_SIZE(packet) - 6)
        elif self.body_complete:
            self.allowance = 0
            self.endpoint.end_body()
        return 0

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
        """Give up, and answer with a page of our own."""
        self.status = status
        self._log(reason, progress, error if error is not None else detail)
        return self._answer_with_page(status, str(reason), detail)

    cdef int _answer_with_page(self, int status, str reason, str detail) except -1:
        cdef bint reusable = self.plan.keep_alive and not self.service.draining
        if self.upload is not None:
            if self._rest_is_too_much() or (
                not self.body_complete and self.upload.expects_continue
            ):
                reusable = False
            self.upload.drop()
        self.answered = True
        self.head_written = True
        self.client.write(
            self.service.pages.page(
                status,
                reason,
                date_line=self.service.date_line(),
                keep_alive=reusable,
                minor=self.plan.minor,
                head_request=self.plan.head_request,
                detail=detail,
                json=self.wants_json,
            )
        )
        return self._finish(reusable)

    cdef bint _rest_is_too_much(self) noexcept:
        """Whether reading the rest of the body is not worth keeping the connection."""
        return not self.body_complete and (
            self.upload.by_chunks or self.upload.left > DISCARD_LIMIT
        )

    cdef int _finish(self, bint reusable) except -1:
        """Answered: the connection goes on, or reads the rest of the body first, or ends."""
        if self.upload is not None:
            self.upload.drop()
            if not self.body_complete:
                self.client.want_body(True)
        return self.client.exchange_done(reusable)

    cdef int _log(self, object reason, object progress, object error) except -1:
        """One line for each exchange that did not go well; the client's own faults are no news."""
        self.service.count(reason)
        client_fault = reason in CLIENT_FAULTS
        level = logging.INFO if client_fault else logging.WARNING
        if logger.isEnabledFor(level):
            logger.log(
                level,
                "%s %s client=%s worker=%s status=%s reason=%s progress=%s attempts=%d error=%s",
                self.method.decode("latin-1"),
                self.path.decode("latin-1"),
                (self.peer.remote_addr).decode("latin-1"),
                self.target.name if self.target is not None else "-",
                self.status or "-",
                reason,
                progress.name if progress is not None else "-",
                self.attempts,
                error or "-",
            )
