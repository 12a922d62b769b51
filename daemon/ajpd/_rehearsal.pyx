"""One request taken as far as the question for a connection, by the code that serves.

It is an exchange of a real service, with nobody at the other end: rules, session and election are
what they are for a client's request, the packet is written, and no container hears of it. What is
found is told; nothing is decided here.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from ajp._clock cimport monotonic
from ajpd._exchange cimport Exchange
from ajpd._peer cimport Peer
from ajpd._service cimport ClientSide, Service, Target
from ajpd.http._request cimport RequestHead

from ajp.errors import Reason

__all__ = ["Rehearsal"]

cdef enum:
    HTTP_PORT = 80
    HTTPS_PORT = 443


@cython.final
cdef class Rehearsal(ClientSide):
    """A client that nobody sent, with one request.

    Args:
        service: of a process that was not started; it can serve nobody else afterwards.
        remote_addr: of the client.
        is_ssl: it came over TLS.
    """

    cdef Service _service
    cdef Exchange _exchange
    cdef readonly int status
    cdef readonly object reason
    cdef readonly str detail
    cdef readonly int pauses
    cdef readonly bytes host            # whose rules count, as Service.find has it
    cdef readonly bint is_introduced    # a trusted proxy said so

    def __init__(self, Service service, *, bytes remote_addr, bint is_ssl):
        cdef Peer peer = Peer.__new__(Peer)
        peer.remote_addr = remote_addr
        peer.remote_port = b"0"
        peer.local_addr = b"127.0.0.1"
        peer.local_port = HTTPS_PORT if is_ssl else HTTP_PORT
        peer.is_ssl = is_ssl
        self._service = service
        self.peer = peer
        self.trusted = service.trusts(peer, False)
        self.write = _forget
        self.detail = ""
        self.host = b""
        service.pages = _Pages(self)

    def __repr__(self):
        return f"<Rehearsal {self._exchange!r} {self.status}>"

    def begin(self, bytes data):
        """Take a whole request head; to be called once."""
        cdef RequestHead head = self._service.head
        cdef Exchange exchange
        cdef Target target
        if not head.parse(<const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)):
            self.status, self.reason, self.detail = head.status, Reason.BAD_REQUEST, head.problem
            return
        exchange = Exchange.__new__(Exchange)
        exchange.service = self._service
        exchange.client = self
        self._exchange = exchange
        exchange.begin(head, data, 0, PyBytes_GET_SIZE(data))
        self.host = exchange.peer.server_name
        self.is_introduced = self.host is not None
        if self.host is None:
            self.host = head.host.ptr[: head.host.len] if head.host.len > 0 else b""
        # Nobody could be had: another round, as after the pause.
        while exchange.resting:
            self.pauses += 1
            exchange.resting = False
            exchange.disarm()
            target = exchange.placement.next(monotonic())
            if target is not None:
                exchange._address(head, target)
            else:
                exchange._nobody()

    def note(self, int status, reason, str detail):
        """The client was answered with a page."""
        self.status, self.detail = status, detail
        self.reason = None if not reason else Reason(reason)

    # --- what was found ---------------------------------------------------------------------------

    @property
    def rule(self):
        """The rule that maps the request; None."""
        if self._exchange is None or self._exchange.rule is None:
            return None
        return self._exchange.rule.mount

    @property
    def uri(self):
        """The path for the container; None where there is no request for one."""
        return None if self._exchange is None else self._exchange.forward

    @property
    def page(self):
        """The page of our own that answers; None."""
        return None if self._exchange is None else self._exchange.page

    @property
    def worker(self):
        """Name of the container's worker; None when none was found."""
        if self._exchange is None or self._exchange.target is None:
            return None
        return self._exchange.target.name

    @property
    def session(self):
        """The session as the balancer was told; None for none, and where it does not count."""
        if self._exchange is None or self._exchange.placement is None:
            return None
        return self._exchange.placement.session

    @property
    def choice(self):
        """The balancer's choice; None."""
        if self._exchange is None or self._exchange.placement is None:
            return None
        return self._exchange.placement.choice

    @property
    def refusal(self):
        """Why nobody was chosen; None."""
        if self._exchange is None or self._exchange.placement is None:
            return None
        return self._exchange.placement.refusal

    @property
    def packet(self):
        """The FORWARD_REQUEST; None."""
        return None if self._exchange is None else self._exchange.packet

    @property
    def remote_addr(self):
        """Of the client, as far as it is believed."""
        if self._exchange is None or self._exchange.peer is None:
            return self.peer.remote_addr
        return self._exchange.peer.remote_addr

    # --- the client's side ------------------------------------------------------------------------

    cdef int exchange_done(self, bint reusable) except -1:
        return 0

    cdef int exchange_broken(self, bint cleanly) except -1:
        return 0

    cdef int want_body(self, bint wanted) except -1:
        return 0


def _forget(data):
    """Nobody reads what is written."""


class _Pages:
    """Takes the place of a service's pages: notes what they would have said."""

    def __init__(self, rehearsal):
        self._rehearsal = rehearsal

    def page(self, status, reason, *, detail="", **_):
        """As `http.pages.Pages`."""
        self._rehearsal.note(status, reason, detail)
        return b""
