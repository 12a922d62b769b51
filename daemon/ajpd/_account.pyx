"""How one exchange went: its times, its attempts, what failed; counted in the status table.

Every attempt is counted with its container and with the member it was for; the whole exchange with
its balancer and with the front. Each is counted once, at its end, and what is in flight in between.
Nothing is decided here.

Source: mod_jk `jk_ajp_common.c` `ajp_service` and `jk_lb_worker.c` `service`, which count the same.
Differs: a request that found no endpoint is none of the container's work.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ajp._clock cimport monotonic
from ajp._layout cimport RETRIES, SESSIONS

from ajp.snapshot import REASON_NUMBERS


@cython.final
@cython.freelist(32)
cdef class Account:
    """What is known of one exchange while it lasts, and counted when it ends."""

    def __cinit__(self):
        self.front = self.balancer = NO_SLOT

    def __repr__(self):
        return f"<Account attempts={self.attempts} reason={self.reason}>"

    cdef void begin(self) noexcept:
        self.began = monotonic()
        if self.column is not None:
            self.column.begin(self.front)

    cdef void enter(self, uint32_t balancer) noexcept:
        self.balancer = balancer
        if self.column is not None:
            self.column.begin(balancer)

    cdef void begin_attempt(self, uint32_t worker) noexcept:
        self.attempts += 1
        self.attempts_here += 1
        self.is_trying = True
        self.worker = worker
        self.sent = monotonic()
        self.answered = 0.0
        if self.column is not None:
            self.column.begin(worker)

    cdef bint end_attempt(
        self, str name, int status, object reason, int64_t bytes_in, int64_t bytes_out, bint counts
    ) except -1:
        cdef bint was_trying = self.is_trying
        self.last.now = monotonic()
        self.last.reason = number_of(reason)
        self.last.duration_us = self.last.bytes_in = self.last.bytes_out = 0
        self.last.first_byte_us = -1
        self.last.status = 0
        if not was_trying:
            return False
        self.is_trying = False
        if reason is not None:
            if self.failures is None:
                self.failures = []
            self.failures.append((name, reason))
        if counts:
            self.bytes_in += bytes_in
            self.bytes_out += bytes_out
            self.last.duration_us = microseconds(self.last.now - self.sent)
            self.last.first_byte_us = since(self.sent, self.answered)
            self.last.bytes_in = <uint64_t>bytes_in
            self.last.bytes_out = <uint64_t>bytes_out
            self.last.status = <uint32_t>status
        if self.column is not None:
            self.column.end(self.worker)
            if counts:
                self.column.finish(self.worker, &self.last)
            else:
                self.column.fail(self.worker, self.last.reason, self.last.now)
        return True

    cdef void count_member(self, uint32_t member, bint makes_session) noexcept:
        if self.column is not None:
            self.column.finish(member, &self.last)
            if makes_session:
                self.column.count(member, SESSIONS, 1)

    cdef bint end(self, int status) except -1:
        cdef Finished whole
        if self.ended > 0.0:
            return False
        self.ended = monotonic()
        if self.column is None:
            return True
        whole.now = self.ended
        whole.reason = number_of(self.reason)
        whole.duration_us = microseconds(self.ended - self.began)
        whole.first_byte_us = since(self.began, self.answered)
        whole.bytes_in = <uint64_t>self.bytes_in
        whole.bytes_out = <uint64_t>self.bytes_out
        whole.status = <uint32_t>status
        self._count_whole(self.front, &whole)
        if self.balancer != NO_SLOT:
            self._count_whole(self.balancer, &whole)
        return True

    cdef void _count_whole(self, uint32_t slot, const Finished* whole) noexcept:
        self.column.end(slot)
        self.column.finish(slot, whole)
        if self.attempts > 1:
            self.column.count(slot, RETRIES, <uint64_t>(self.attempts - 1))


cdef uint32_t number_of(object reason) except? 0xFFFFFFFF:
    return 0 if reason is None else <uint32_t>REASON_NUMBERS[reason]


cdef inline uint64_t microseconds(double seconds) noexcept nogil:
    return <uint64_t>(seconds * 1e6) if seconds > 0.0 else 0


cdef inline int64_t since(double start, double end) noexcept nogil:
    """Microseconds from one moment to another; -1 when that did not come."""
    return -1 if end <= 0.0 else <int64_t>microseconds(end - start)
