"""What exchanges share, and what they need of the connection their client is on.

Settings, scratch space and counters of one process; a worker as an exchange sees it; the side of a
client connection that an exchange talks to. No decision is taken here.
"""

from libc.stdint cimport int64_t

from ajp._wheel cimport Timed, Wheel
from ajpd.http._request cimport RequestHead

from email.utils import formatdate

__all__ = ["ClientSide", "Service", "Target"]


cdef extern from "time.h" nogil:
    long time(long* out)


cdef class Target:
    """A worker as an exchange sees it."""

    def __init__(self, str name, worker, *, secret, max_packet_size, retries):
        self.name = name
        self.worker = worker
        self.secret = secret
        self.max_packet_size = max_packet_size
        self.retries = retries


cdef class Service:
    """What all connections of one process share.

    Args:
        wheel: where deadlines hang.
        match: finds the rule for a normalised path; its `worker` names a target.
        targets: by worker name.
        header_timeout … send_timeout: seconds, 0 for none.
        max_header_bytes: of a request head.
        max_body_bytes: of a request body, 0 for no limit.
    """

    def __init__(
        self,
        Wheel wheel,
        match,
        dict targets,
        *,
        double header_timeout,
        double keepalive_timeout,
        double body_timeout,
        double send_timeout,
        Py_ssize_t max_header_bytes,
        max_body_bytes,
    ):
        self.wheel = wheel
        self.match = match
        self.targets = targets
        self.header_timeout = header_timeout
        self.keepalive_timeout = keepalive_timeout
        self.body_timeout = body_timeout
        self.send_timeout = send_timeout
        self.max_header_bytes = max_header_bytes
        self.max_body_bytes = max_body_bytes
        self.clients = set()
        self.head = RequestHead()

    cdef bytes date_line(self):
        """A Date header line, made once a second."""
        cdef int64_t now = time(NULL)
        if now != self._date_second:
            self._date_second = now
            self._date_line = b"Date: %s\r\n" % formatdate(now, usegmt=True).encode()
        return self._date_line


cdef class ClientSide(Timed):
    """What an exchange needs of the connection its client is on."""

    cdef int exchange_done(self, bint reusable) except -1:
        raise NotImplementedError

    cdef int exchange_broken(self, bint cleanly) except -1:
        raise NotImplementedError

    cdef int want_body(self, bint wanted) except -1:
        raise NotImplementedError
