"""Where one request goes: attempt after attempt, until it is answered or nobody is left.

Finds the container, asks for an endpoint, counts each attempt once and tells the balancer how it
ended. Whether a failed one may be followed by another is the law of `ajp.retry`; what becomes of a
request that is given up is the exchange's business, as are its body and its answer.

Source: mod_jk `ajp_service`, and `service` of `jk_lb_worker.c`.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t

from ajp._clock cimport monotonic
from ajp._endpoint cimport Attempt
from ajpd._forward cimport forward_request
from ajpd._placement cimport Group, placement_of
from ajpd._service cimport Target
from ajpd.http._request cimport RequestHead

from ajp.errors import REASON_STATUS, LocalProtocolError, Progress, Reason
from ajp.lb.member import Outcome
from ajp.retry import Step, may_move_on, next_step
from ajpd.refusal import refusal_of
from ajpd.report import trying_again

__all__ = ["Course"]

cdef object SERVED = Outcome.OK
cdef object UNTRIED = Outcome.UNTRIED
cdef object BUSY = Outcome.BUSY
cdef object NOTHING_SENT = Progress.NOTHING_SENT
cdef object HEAD_SENT = Progress.HEAD_SENT
cdef object RESPONSE_STARTED = Progress.RESPONSE_STARTED


cdef class Course(Attempt):
    """The attempts of one request; the exchange is one."""

    # --- what the exchange does -------------------------------------------------------------------

    cdef int go(self) except -1:
        raise NotImplementedError

    cdef int _refuse(self, int status, object reason, str detail) except -1:
        raise NotImplementedError

    cdef int _refuse_with(
        self, int status, object reason, str detail, object progress, object error
    ) except -1:
        raise NotImplementedError

    cdef int _ask(self, RequestHead head, object page) except -1:
        raise NotImplementedError

    # --- from one container to the next -----------------------------------------------------------

    cdef int _place(self, RequestHead head) except -1:
        """Find the first container, and write the request for it."""
        target = self.service.targets[self.rule.worker]
        if type(target) is Group:
            self.placement = placement_of(target, head, self.forward, self.rule.extension)
            self.account.enter(self.placement.group.slot)
            target = self.placement.first(self.account.began)
            if target is None:
                return self._nobody()
        else:
            self.head_bytes = None
            if type(target) is not Target:
                return self._ask(head, target)
        return self._address(head, target)

    cdef int _address(self, RequestHead head, Target target) except -1:
        """Write the request for a container."""
        self.target = target
        self.fail_on_status = target.fail_on_status
        if self.rule.fail_on_status is not None:
            self.fail_on_status = self.rule.fail_on_status
        if self.upload is not None:
            self.upload.keep = target.replay_limit
        try:
            attributes = None
            if self.service.attributes:
                attributes = self.service.attributes_of(
                    head, self.peer, self.client.trusted, self.names
                )
            if self.names is not None:
                self.service.trace.prepare(head, self.names)
            self.packet = forward_request(
                head,
                self.forward,
                target,
                self.peer,
                self.placement.choice if self.placement is not None else None,
                attributes,
                self.names,
            )
        except LocalProtocolError as wrong:
            self._tell(UNTRIED, None)
            status, reason, detail = refusal_of(wrong, head.target.len)
            return self._refuse(status, reason, detail)
        self.ready = True
        return 0

    cdef int _try(self) except -1:
        self.account.begin_attempt(self.target.slot)
        self.ready = self.resting = False
        self.waiting = True
        self.bytes_in = self.bytes_out = 0
        self.target.worker.acquire(self)

    cdef bint _again(self, object reason, object progress, object error, object outcome) except -1:
        """Make another attempt, now or a little later, if that can do no harm."""
        step, delay = next_step(
            reason,
            progress,
            method=self.method,
            is_replayable=self.upload is None or self.upload.given is not None,
            recovery_options=self.target.recovery_options,
            # A pooled connection that turned out to be dead was no attempt at anything.
            attempts=self.account.attempts_here - self.account.stale,
            limit=self.target.retries,
            reused=self.reused,
            interval=self.target.retry_interval,
            has_others=self.placement is not None,
        )
        if step is Step.AGAIN:
            self._count(reason, True)
        else:
            self._tell(outcome, reason)
        if step is Step.GIVE_UP:
            return False
        trying_again(
            self.method,
            self.path,
            worker=self.target.name,
            reason=reason,
            progress=progress,
            error=error,
        )
        if self.upload is not None:
            self.upload.rewind()
        self.reused = False
        if step is not Step.AGAIN:
            return self._move_on(reason, progress, error)
        if delay > 0:
            self._rest(delay)
        else:
            self._try()
        return True

    cpdef bint may_leave(self, object progress) except -1:
        """Whether another member may have the request, and can."""
        if self.placement is None or self.placement.choice is None or self.answered:
            return False
        if progress == RESPONSE_STARTED and self.head_bytes is not None and not self.answer.begun:
            # Its head is here, and of that nobody knows.
            progress = HEAD_SENT
        return may_move_on(
            Reason.FROZEN,
            progress,
            method=self.method,
            is_replayable=self.upload is None or self.upload.given is not None,
            recovery_options=self.target.recovery_options,
        ) and self.placement.has_other(monotonic())

    cdef int _rest(self, double seconds) except -1:
        self.resting = True
        self.service.wheel.arm(self, monotonic() + seconds)

    cdef bint _move_on(self, object reason, object progress, object error) except -1:
        """Go to another member; whether that, or a page, is under way."""
        cdef const uint8_t* p
        cdef RequestHead head = self.service.head
        cdef Target target = self.placement.next(monotonic())
        self.account.stale = 0
        self.account.attempts_here = 0
        if target is None:
            if self.placement.pause > 0:
                self.failure = (reason, progress, error)
                self._rest(self.placement.pause)
                return True
            if reason is None:
                self._nobody()
                return True
            return False
        assert self.head_bytes is not None
        p = <const uint8_t*>PyBytes_AS_STRING(self.head_bytes)
        head.parse(p + self.head_start, self.head_end - self.head_start)
        self.service.introduce(head, self.client)
        self._address(head, target)
        self.go()
        return True

    cdef int _nobody(self) except -1:
        """No member, for now or for good."""
        if self.placement.pause > 0:
            return self._rest(self.placement.pause)
        refusal = self.placement.refusal
        return self._refuse_with(
            REASON_STATUS[refusal.reason], refusal.reason, "", NOTHING_SENT, refusal.why
        )

    cdef int _count(self, object reason, bint counts) except -1:
        """Count the end of the attempt, if there is one."""
        self.account.end_attempt(
            self.target.name, self.answer.status, reason, self.bytes_in, self.bytes_out, counts
        )
        return 0

    cdef int _tell(self, object outcome, object reason) except -1:
        """Count the end of the attempt, and tell the balancer, as far as there is either."""
        cdef bint counts = outcome is not UNTRIED and outcome is not BUSY
        if self.target is not None:
            self._count(reason, counts)
        if self.placement is not None and self.placement.choice is not None:
            self.placement.end(outcome, self.account, counts)
            if outcome is not SERVED:
                self.service.note_changes(self.placement.group)
        return 0

    # --- the end of an attempt --------------------------------------------------------------------

    cdef int _abandon(self, object reason) except -1:
        """Give the attempt up, wherever it is."""
        self._tell(self._learned(), reason)
        self.disarm()
        self.resting = False
        if self.endpoint is not None:
            self.endpoint.abort()
        elif self.waiting:
            self.waiting = False
            self.target.worker.cancel(self)
        if self.upload is not None:
            self.upload.drop()

    cdef object _learned(self):
        """What an attempt that the client ended says about the container."""
        if self.endpoint is None or self.endpoint._progress() == NOTHING_SENT:
            return UNTRIED
        return Outcome.CLIENT_ERROR
