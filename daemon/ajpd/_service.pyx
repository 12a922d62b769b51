"""What exchanges share, and what they need of the connection their client is on.

Settings, scratch space and counters of one process; a worker as an exchange sees it; the side of a
client connection that an exchange talks to. Whose word counts is decided here, and nothing else.
"""

from libc.stdint cimport int64_t, uint32_t

from ajp._clock cimport monotonic
from ajp._column cimport Column, Finished
from ajp._slot cimport Slot
from ajp._wheel cimport Timed, Wheel
from ajpd._account cimport NO_SLOT, Account
from ajpd._peer cimport Peer, forwarded_peer
from ajpd._rules cimport Rule, Rules
from ajpd._trace cimport Names
from ajpd.http._request cimport RequestHead

from email.utils import formatdate

from ajp.snapshot import REASON_NUMBERS
from ajpd.config.attributes import spoofable
from ajpd.http.pages import Pages

__all__ = ["ClientSide", "Service", "Target"]


cdef extern from "time.h" nogil:
    long time(long* out)


cdef enum:
    # Connections beyond the limit that are told so; any more are closed without a word.
    MOST_TURNED_AWAY = 32

# Names under which proxies say who their client is; a client's own word for it is not passed on
# once somebody is trusted with it.
cdef frozenset FORWARDING = frozenset((
    b"forwarded",
    b"x-forwarded-by",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
    b"x-forwarded-proto",
    b"x-forwarded-scheme",
    b"x-forwarded-server",
    b"x-forwarded-ssl",
    b"x-real-ip",
))


cdef class Target:
    """A worker as an exchange sees it."""

    def __init__(
        self,
        str name,
        worker,
        *,
        secret,
        max_packet_size,
        retries,
        retry_interval=0.0,
        recovery_options=None,
        fail_on_status=(),
        replay_buffer=0,
        Slot slot=None,
        double head_waits=0.05,
    ):
        self.name = name
        self.worker = worker
        self.secret = secret
        self.max_packet_size = max_packet_size
        # A body that fits into one packet is kept as in mod_jk.
        self.replay_limit = max(replay_buffer, max_packet_size - 6)
        self.retries = retries
        self.retry_interval = retry_interval
        self.recovery_options = recovery_options
        self.fail_on_status = tuple(fail_on_status) or None
        self.slot = NO_SLOT if slot is None else slot.index
        self.head_waits = head_waits


cdef class Service:
    """What all connections of one process share.

    Args:
        wheel: where deadlines hang.
        match: finds the rule for a normalised path; its `worker` names a target.
        targets: by worker name.
        header_timeout … send_timeout: seconds, 0 for none.
        max_header_bytes: of a request head.
        max_body_bytes: of a request body, 0 for no limit.
        max_connections: of clients, 0 for no limit.
        pages: what we answer with ourselves.
        forward_uri: form of the path that containers get, see `http.uri`.
        trusted: proxies whose word about their clients counts; None for nobody.
        forwarded_headers: which headers they use for it, see `http.forwarded`.
        describe_tls: turns a TLS session into a `tls.ClientTLS`.
        reply_timeout_header: in which trusted proxies say reply_timeout; lower case, or None.
        attributes: `AttributeRule` values.
        column: where this process counts; None: nowhere.
        front: slot of all that clients ask for; goes with the column.
        on_changes: told of a `Group` whose members may be in another state than before.
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
        max_connections=0,
        pages=None,
        forward_uri="proxy",
        trusted=None,
        forwarded_headers="auto",
        describe_tls=None,
        reply_timeout_header=None,
        attributes=(),
        Column column=None,
        Slot front=None,
        on_changes=None,
    ):
        self.wheel = wheel
        self.rules = Rules(match)
        self.targets = targets
        self.header_timeout = header_timeout
        self.keepalive_timeout = keepalive_timeout
        self.body_timeout = body_timeout
        self.send_timeout = send_timeout
        self.max_header_bytes = max_header_bytes
        self.max_body_bytes = max_body_bytes
        self.max_connections = max_connections
        self.most_accepted = max_connections + MOST_TURNED_AWAY if max_connections else 0
        self.pages = pages if pages is not None else Pages(None)
        self.forward_uri = forward_uri
        self.trusted = trusted
        self.on_changes = on_changes
        self.column = column
        self.front = NO_SLOT if front is None else front.index
        self.forwarded_headers = forwarded_headers
        self.describe_tls = describe_tls
        self.attributes = tuple(attributes)
        self.reply_timeout_header = reply_timeout_header
        never = set(spoofable(attributes))
        if reply_timeout_header is not None:
            never.add(reply_timeout_header)
        self._never = frozenset(never) or None
        self._from_trusted = FORWARDING if trusted is not None else None
        self.clients = set()
        self.reasons = {}
        self.head = RequestHead()

    @property
    def failures(self):
        """Exchanges and refusals that ended with a reason."""
        return sum(self.reasons.values())

    cdef bytes date_line(self):
        """A Date header line, made once a second."""
        cdef int64_t now = time(NULL)
        if now != self._date_second:
            self._date_second = now
            self._date_line = b"Date: %s\r\n" % formatdate(now, usegmt=True).encode()
        return self._date_line

    cdef int count(self, object reason) except -1:
        """One exchange or refusal more ended with this reason."""
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        return 0

    cdef int count_refusal(self, object reason, int status) except -1:
        """One request less that becomes an exchange."""
        cdef Finished done
        self.count(reason)
        if self.column is not None:
            done.duration_us = done.bytes_in = done.bytes_out = 0
            done.first_byte_us = -1
            done.status = <uint32_t>status
            done.reason = <uint32_t>REASON_NUMBERS[reason]
            done.now = monotonic()
            self.column.finish(self.front, &done)
        return 0

    cdef int count_client(self, int by) except -1:
        """A client came, 1, or went, -1."""
        if self.column is not None:
            if by > 0:
                self.column.connect(self.front)
            else:
                self.column.disconnect(self.front)
        return 0

    cdef Account account(self):
        """Begin to count an exchange."""
        cdef Account account = Account.__new__(Account)
        account.column = self.column
        account.front = self.front
        account.begin()
        return account

    cdef Py_ssize_t connections(self) except -1:
        """Connections of clients, those in a handshake among them."""
        return len(self.clients) + (0 if self.handshakes is None else self.handshakes())

    cdef int note_changes(self, object group) except -1:
        """Members of a balancer may be in another state than before."""
        if self.on_changes is not None:
            self.on_changes(group)
        return 0

    def remap(self, match, match_host=None):
        """Find rules in another way from the next request on.

        Args:
            match: as for the constructor.
            match_host: as for `Rules`.
        """
        self.rules = Rules(match, match_host)

    cdef Rule find(self, bytes path, RequestHead head, Peer peer):
        """The rule for a normalised path of the host that is asked for, or None."""
        cdef bytes host = b""
        if self.rules.by_host:
            host = peer.server_name
            if host is None:
                host = head.host.ptr[: head.host.len] if head.host.len > 0 else b""
        return self.rules.find(path, host)

    cdef bint trusts(self, Peer peer, bint is_unix) except -1:
        """Whether a connection comes from a proxy whose word about its client counts."""
        if self.trusted is None:
            return False
        return self.trusted.trusts(None if is_unix else peer.remote_addr.decode("ascii"))

    cdef Peer introduce(self, RequestHead head, ClientSide client):
        """Who asks, as far as it is believed; takes out headers that may not be believed."""
        cdef Peer peer = client.peer
        if client.trusted:
            peer = forwarded_peer(peer, head, self.trusted, self.forwarded_headers)
        elif self._from_trusted is not None:
            head.drop(self._from_trusted)
        if self._never is not None:
            head.drop(self._never)
        return peer

    cdef double asked_reply_timeout(self, RequestHead head, double otherwise) except -2:
        """Seconds that a trusted proxy asks for in a header, which holds milliseconds."""
        cdef bytes value = head.value_of(self.reply_timeout_header)
        if value is None or not value.isdigit() or len(value) > 9:
            return otherwise
        return int(value) / 1000

    cdef list attributes_of(self, RequestHead head, Peer peer, bint trusted, Names names):
        """Names and values of the attributes that were asked for; None when there are none."""
        cdef list found = []
        for rule in self.attributes:
            value = None
            if rule.source == "header":
                if trusted:
                    value = head.value_of(rule.key)
            elif rule.source == "certificate":
                if peer.tls is not None:
                    value = peer.tls.field(rule.key)
            elif rule.source == "request":
                if names is not None:
                    value = names.request_id if rule.key == b"id" else names.traceparent
            else:
                value = rule.key
            if value is None:
                value = rule.default
            if value is not None:
                found.append((rule.name, value))
        return found


cdef class ClientSide(Timed):
    """What an exchange needs of the connection its client is on."""

    cdef int exchange_done(self, bint reusable) except -1:
        raise NotImplementedError

    cdef int exchange_broken(self, bint cleanly) except -1:
        raise NotImplementedError

    cdef int want_body(self, bint wanted) except -1:
        raise NotImplementedError
