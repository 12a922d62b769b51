"""One client request, from its parsed head to its complete answer.

Owns what no other room can decide: when the container gets body and the client response, what a
failure becomes, and backpressure in both directions; which container has the request is in
`_course`. Bytes of the client come in by `feed`, packets of the container by the `on_…` methods of an attempt; all
that one read of the container brought leaves in one write.

Source: mod_jk `ajp_service`, `ajp_get_reply`; RFC 9112 §9; spec of ajp13 "Request body rules".
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from ajp._clock cimport monotonic
from ajp._endpoint cimport Endpoint
from ajp._packets cimport ResponseHead, slice_bytes
from ajpd._answer cimport Answer
from ajpd._inside cimport Inside
from ajpd._noted cimport noted_of
from ajpd._service cimport DISCARD_LIMIT
from ajpd._upload cimport Upload, upload_of
from ajpd.http._request cimport ASTERISK_FORM, RequestHead, is_plain_path
from ajpd.http._response cimport BY_CLOSE

from ajp.errors import REASON_STATUS, Progress, ProtocolError, Reason
from ajp.lb.member import Outcome
from ajp.retry import leaves_hard, outcome_of
from ajpd.http.pages import wants_json
from ajpd.http.uri import BadURI, normalise
from ajpd.report import exchange_failed

__all__ = ["Exchange"]

# Seconds a response head waits for something to go with it.
cdef double HEAD_WAITS = 0.05
# Seconds END_RESPONSE may take when the client has gone with all of its answer.
cdef double END_WAITS = 1.0
cdef object SERVED = Outcome.OK
cdef object NOTHING_SENT = Progress.NOTHING_SENT
cdef object HEAD_SENT = Progress.HEAD_SENT
cdef object RESPONSE_STARTED = Progress.RESPONSE_STARTED


@cython.final
cdef class Exchange(Inside):
    """One client request, its attempts and its answer."""

    def __repr__(self):
        method = (self.method or b"?").decode("latin-1")
        path = (self.path or b"?").decode("latin-1")
        return f"<Exchange {method} {path} {self.account!r}>"

    # --- the client's side ------------------------------------------------------------------------

    cdef int begin(self, RequestHead head, bytes data, Py_ssize_t start, Py_ssize_t end) except -1:
        """Take a head, parsed out of data[start:end]: find out who gets it, write the packet.

        `feed` and `go` follow.
        """
        self.account = self.service.account()
        if self.service.access is not None:
            self.noted = noted_of(head, self.service.access)
        self.answer = Answer.__new__(Answer)
        self.answer.client = self.client
        self.method = PyBytes_FromStringAndSize(<const char*>head.method.ptr, head.method.len)
        self.path = PyBytes_FromStringAndSize(<const char*>head.path.ptr, head.path.len)
        self.answer.plan.head_request = self.method == b"HEAD"
        self.answer.plan.minor = 1 if head.minor >= 1 else 0
        self.answer.plan.keep_alive = head.keep_alive and not self.service.draining
        if head.mentions_json():
            self.wants_json = wants_json(slice_bytes(head.accept))
        self.upload = upload_of(head, self.client)
        self.body_complete = self.upload is None
        self.peer = self.service.introduce(head, self.client)
        if self.service.trace is not None:
            self.names = self.service.trace.names_of(head, self.client.trusted)
        self.service.requests += 1
        if self.service.max_body_bytes > 0 and head.content_length > self.service.max_body_bytes:
            return self._refuse(413, Reason.REQUEST_TOO_LARGE, "")
        if head.form == ASTERISK_FORM:
            return self._answer_options()
        if head.https and not self.peer.is_ssl:
            # RFC 9110 §7.4: what is asked for over TLS must have come over TLS.
            self.answer.plan.keep_alive = False
            return self._refuse(421, Reason.BAD_REQUEST, "")
        self.forward = match = self.path
        if not is_plain_path(head.path.ptr, head.path.len):
            try:
                match, self.forward = normalise(self.path, self.service.forward_uri)
            except BadURI as wrong:
                return self._refuse(400, Reason.BAD_REQUEST, str(wrong))
        self.rule = self.service.find(match, head, self.peer)
        if self.rule is None:
            return self._refuse(404, Reason.NO_MAPPING, "")
        self.reply_timeout = self.rule.reply_timeout
        if self.service.reply_timeout_header is not None and self.client.trusted:
            self.reply_timeout = self.service.asked_reply_timeout(head, self.reply_timeout)
        # What was read of the head decides the length header in the packet and, here, whether a
        # body packet follows it unasked.
        if self.upload is not None:
            self.content_length = -1 if head.chunked else head.content_length
        self.head_bytes, self.head_start, self.head_end = data, start, end
        return self._place(head)

    cdef int _answer_options(self) except -1:
        """OPTIONS * asks about this server, not about an application."""
        self.answered = True
        self.answer.write_options(self.service)
        return self._finish(self.answer.plan.keep_alive)

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
            self._cut(413, Reason.REQUEST_TOO_LARGE, "the request body grew too large", "")
        else:
            self._pump()
        return used

    cdef int _bad_body(self) except -1:
        """Chunked framing that cannot be trusted: the connection ends here."""
        self.answer.plan.keep_alive = False
        if self.answered:
            return self.client.exchange_broken(True)
        words = "The chunked request body is broken."
        return self._cut(400, Reason.BAD_REQUEST, words, words)

    cdef int _cut(self, int status, object reason, str words, str detail) except -1:
        """The client's fault ends the exchange: by a page, or by breaking what has begun."""
        self._abandon(reason)
        if not self.answer.begun:
            return self._refuse(status, reason, detail)
        self.answered = True
        self._log(reason, None, words)
        self._close()
        return self.client.exchange_broken(False)

    cdef int go(self) except -1:
        """Ask for an endpoint, once the first body packet of a known length can ride along."""
        if self.answered or not self.ready:
            return self._answer_inside() if self.page is not None and not self.answered else 0
        # No endpoint is held for a body that may never begin.
        if self.content_length > 0 and self.upload.queued == 0:
            return self.upload.say_continue()
        if self.content_length < 0 and self.wants_body():
            return 0
        return self._try()

    cdef bint wants_body(self) noexcept:
        """Whether the exchange waits for the client's body and not for the container."""
        return not self.body_complete and self.upload.queued == 0 and (
            not self.upload.expects_continue
        )

    cdef bint may_say_more(self) noexcept:
        """Whether an interim response may be written now."""
        return not self.answered and not self.answer.begun and self.answer.plan.minor >= 1

    cdef int client_gone(self, object reason, str words) except -1:
        """The client closed the connection, or lost it."""
        if self.answered:
            return 0
        self.answered = True
        if self.stream is not None:
            return self._leave_stream()
        if self.endpoint is not None:
            if self.answer.is_whole() and self.body_complete and self.allowance == 0:
                # It got what it came for; END_RESPONSE is still to come and says whether the
                # endpoint may be used again.
                self._tell(SERVED, None)
                self.service.wheel.arm(self, monotonic() + END_WAITS)
                return self._close()
            self._tell(self._learned(), reason)
            self.endpoint.leave(leaves_hard(self.target.recovery_options))
        self._abandon(reason)
        self._log(reason, None, words)
        return self._close()

    cdef int client_late(self) except -1:
        """The client did not send its body in time."""
        self.answer.plan.keep_alive = False
        if self.answered:
            return self.client.exchange_broken(True)
        return self._cut(408, Reason.CLIENT_TIMEOUT, "the request body did not arrive in time", "")

    cdef int pause(self, bint paused) except -1:
        """The client reads too slowly, or caught up."""
        if self.endpoint is None:
            return 0
        return self.endpoint.pause_reading() if paused else self.endpoint.resume_reading()

    # --- attempts ---------------------------------------------------------------------------------

    cpdef on_endpoint(self, Endpoint endpoint):
        """An endpoint is ours: send. Body that is here already rides along."""
        cdef bytes packet = self.packet, body
        cdef int64_t left = self.content_length
        cdef bint with_body = self.content_length > 0
        self.waiting = False
        self.allowance = 0
        if with_body:
            # As much as is there; the container would wait for a full packet no less.
            body = self.upload.take_packet(self.target.max_packet_size - 6)
            left -= PyBytes_GET_SIZE(body) - 6
            packet += body
        self.account.sent = monotonic()
        endpoint.start(self, packet, left, with_body)
        self.reused = endpoint.reused
        if self.client.write_paused:
            endpoint.pause_reading()

    cpdef on_failed(self, object reason, object progress, object error):
        """The attempt failed: another one, a page, or a broken response."""
        self.waiting = False
        self.disarm()
        if self.answered:
            return
        if reason is Reason.FROZEN and progress == RESPONSE_STARTED and not self.answer.begun:
            progress = HEAD_SENT
        if self.reused and progress == NOTHING_SENT:
            self.account.stale += 1
        if self.answer.begun:
            self.answered = True
            self._tell(outcome_of(reason), reason)
            if self.upload is not None:
                self.upload.drop()
            self._log(reason, progress, error)
            if self.answer.is_whole():
                # What is missing is the container's word that it was all, and the client has it all.
                self._finish(self.answer.plan.keep_alive)
                return
            # Without the last chunk or all of its length a close shows; by close alone it does not.
            self.answer.write(False)
            self._close()
            self.client.exchange_broken(self.answer.plan.framing != BY_CLOSE)
            return
        is_soft = -self.answer.status in self.fail_on_status if self.fail_on_status else False
        self.answer.drop()
        if not self._again(reason, progress, error, outcome_of(reason, is_soft=is_soft)):
            self._refuse_with(REASON_STATUS[reason], reason, "", progress, error)

    cdef int _close(self) except -1:
        """Count the exchange, which has ended."""
        if self.account.end(self.answer.status) and self.noted is not None:
            self.noted.write(
                self.service.access,
                self.peer,
                self.method,
                self.answer,
                self.account,
                self.rule.worker if self.rule is not None else None,
                self.target.name if self.target is not None else None,
                self.placement,
                self.names.request_id if self.names is not None else None,
            )
        return 0

    # --- the container's side ---------------------------------------------------------------------

    cpdef on_headers(self, ResponseHead head):
        """Status and headers: keep them until the read is done."""
        cdef bytes more = None
        self.answer.status = head.status
        if self.fail_on_status is not None and (
            head.status in self.fail_on_status or -head.status in self.fail_on_status
        ):
            self._fail_on_status(head.status)
            return
        if self.placement is None or self.upload is not None or self.target.head_waits <= HEAD_WAITS:
            # Nobody else will get it.
            self.head_bytes = None
        self.account.answered = monotonic()
        if self.placement is not None:
            if self.placement.choice.set_cookie is not None:
                more = b"Set-Cookie: %s%s\r\n" % (
                    self.placement.choice.set_cookie, b";Secure" if self.peer.is_ssl else b""
                )
        if self.names is not None and self.names.request_id is not None:
            more = self._id_line() if more is None else more + self._id_line()
        # The challenge of a 401 is in its headers.
        self.replacing = 0 < self.rule.use_server_errors <= head.status != 401
        if self.replacing:
            return
        if self.upload is not None:
            self.upload.forget()
            if self._rest_is_too_much():
                self.answer.plan.keep_alive = False
        if self.service.draining:
            self.answer.plan.keep_alive = False
        try:
            self.answer.begin(head, self.service.date_line(), more)
        except ProtocolError as wrong:
            self._tell(Outcome.PROTOCOL_ERROR, Reason.PROTOCOL_ERROR)
            self._abandon(None)
            self._refuse_with(502, Reason.PROTOCOL_ERROR, "", Progress.RESPONSE_STARTED, wrong)

    cdef bytes _id_line(self):
        """The request's name as a line of a head; empty when it has none."""
        if self.names is None or self.names.request_id is None:
            return b""
        return b"X-Request-Id: %s\r\n" % self.names.request_id

    cdef int _fail_on_status(self, int status) except -1:
        """An answer that stands for a failure; nobody but us saw it."""
        self.endpoint.abort()
        self.on_failed(
            Reason.FAIL_ON_STATUS,
            Progress.RESPONSE_STARTED,
            f"{self.target.name} answered {status}, which fail_on_status names",
        )
        return 0

    cpdef on_body(self, bytes data, Py_ssize_t start, Py_ssize_t end):
        """Body: keep it until the read is done."""
        if self.answered or self.replacing:
            return
        if self.answer.add(data, start, end) > 0:
            # What was announced is what the client gets, and no more on this connection.
            if not self.too_long:
                self._log(
                    Reason.PROTOCOL_ERROR,
                    Progress.RESPONSE_STARTED,
                    "the container sent more than its Content-Length",
                )
            self.too_long = True
            self.answer.plan.keep_alive = False

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
        to follows at once unless the application flushed, or Tomcat froze. While it waits for
        that the request may still go elsewhere.
        """
        cdef double wait = HEAD_WAITS
        if self.answered:
            return
        if not self.flush_wanted and self.answer.waits():
            if self.head_bytes is not None and self.answer.pieces_size == 0:
                wait = self.target.head_waits
            self.service.wheel.arm(self, monotonic() + wait)
            return
        self.disarm()
        self.flush_wanted = False
        self.answer.write(False)
        if self.answer.begun:
            self.head_bytes = None

    cpdef on_deadline(self, double now):
        """Nothing followed the head, or END_RESPONSE did not; or another attempt is due."""
        if self.resting:
            self.resting = False
            if self.placement is not None and self.placement.choice is None:
                reason, progress, error = self.failure or (None, None, None)
                if not self._move_on(reason, progress, error):
                    self._refuse_with(REASON_STATUS[reason], reason, "", progress, error)
            else:
                self._try()
        elif not self.answered:
            if self.head_bytes is not None and self.answer.pieces_size == 0:
                # A container that sends heads early, and does not say that it wants them to leave.
                self.target.head_waits = HEAD_WAITS
            self.head_bytes = None
            self.answer.write(False)
        elif self.endpoint is not None:
            self.endpoint.abort()

    cpdef on_end(self):
        """The response is complete, if it is as long as it said."""
        self._tell(SERVED, None)
        self.disarm()
        if self.answered:
            return
        self.answered = True
        if self.answer.status == 403 and self.container_closed:
            # Tomcat refuses a request for its secret or an attribute in this way, and hardly any
            # other: an application's own 403 keeps the connection.
            self._log(
                Reason.SECRET_REJECTED,
                Progress.RESPONSE_STARTED,
                "403 and the connection closed: compare secret with the connector's secret",
            )
        if self.replacing:
            self._answer_with_page(self.answer.status, "", "")
            return
        if self.answer.lacks():
            self._log(
                Reason.EOF_MID_BODY,
                Progress.RESPONSE_STARTED,
                f"the container ended {self.answer.plan.length} bytes short of its Content-Length",
            )
            if not self.answer.mend():
                self.answer.write(False)
                self._close()
                self.client.exchange_broken(True)
                return
        self.answer.write(True)
        self._finish(self.answer.plan.keep_alive)

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

    cdef int _refuse(self, int status, object reason, str detail) except -1:
        return self._refuse_with(status, reason, detail, None, None)

    cdef int _refuse_with(self, int status, object reason, str detail, object progress, object error) except -1:
        """Give up, and answer with a page of our own."""
        self.answer.status = status
        self._log(reason, progress, error if error is not None else detail)
        return self._answer_with_page(status, str(reason), detail)

    cdef int _answer_with_page(self, int status, str reason, str detail) except -1:
        cdef bint reusable = self.answer.plan.keep_alive and not self.service.draining
        if self.upload is not None:
            if self._rest_is_too_much() or (
                not self.body_complete and self.upload.expects_continue
            ):
                reusable = False
            self.upload.drop()
        self.answered = True
        self.answer.plan.keep_alive = reusable
        self.answer.write_page(
            self.service, status, reason, detail, self.wants_json, self._id_line()
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
        self._close()
        return self.client.exchange_done(reusable)

    cdef int _log(self, object reason, object progress, object error) except -1:
        """Count an exchange that did not go well, and write its line."""
        self.account.reason = reason
        self.service.count(reason)
        exchange_failed(
            self.method,
            self.path,
            client=self.peer.remote_addr,
            worker=self.target.name if self.target is not None else None,
            status=self.answer.status,
            reason=reason,
            progress=progress,
            attempts=self.account.attempts,
            error=error,
            request_id=self.names.request_id if self.names is not None else None,
        )
        return 0
