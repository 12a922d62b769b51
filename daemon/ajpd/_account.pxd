"""How one exchange went: its times, its attempts, what failed; counted in the status table."""

from libc.stdint cimport int64_t, uint32_t

from ajp._column cimport Column, Finished


cdef enum:
    NO_SLOT = 0xFFFFFFFF            # where nobody counts


cdef class Account:
    """What is known of one exchange while it lasts, and counted when it ends."""

    cdef Column column              # None: nobody counts
    cdef uint32_t front             # slots: of everything,
    cdef uint32_t balancer          # of the balancer; NO_SLOT when there is none,
    cdef uint32_t worker            # of the container that has or had the attempt
    cdef bint is_trying             # there is an attempt under way
    cdef double began               # the head was complete; monotonic seconds, as all times here
    cdef double sent                # the present attempt got its endpoint
    cdef double answered            # the response began; 0: it did not
    cdef double ended               # 0: not yet
    cdef int attempts               # all of them
    cdef int attempts_here          # of these on the present container
    cdef int stale                  # of these over a pooled connection that was dead already
    cdef int64_t bytes_in           # from containers, of all attempts
    cdef int64_t bytes_out
    cdef object reason              # of the failure that the client saw; None
    cdef list failures              # (worker's name, reason) of attempts that failed; None
    cdef Finished last              # the attempt that ended last, or nothing that was one

    cdef void begin(self) noexcept
    # A request is on its way into a balancer.
    cdef void enter(self, uint32_t balancer) noexcept
    # An attempt begins, on the container of this slot.
    cdef void begin_attempt(self, uint32_t worker) noexcept
    # It ended; False: there was none. `counts` False: nothing reached the container.
    cdef bint end_attempt(
        self, str name, int status, object reason, int64_t bytes_in, int64_t bytes_out, bint counts
    ) except -1
    # The same attempt, as the balancer's member saw it; a request without a session makes one.
    cdef void count_member(self, uint32_t member, bint makes_session) noexcept
    cdef void _count_whole(self, uint32_t slot, const Finished* whole) noexcept
    # All of it ended; False: it had already.
    cdef bint end(self, int status) except -1
