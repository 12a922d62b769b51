"""What exchanges share, and what they need of the connection their client is on."""

from libc.stdint cimport int64_t, uint32_t

from ajp._column cimport Column
from ajp._wheel cimport Timed, Wheel
from ajpd._account cimport Account
from ajpd._logline cimport LogLines
from ajpd._peer cimport Peer
from ajpd._rules cimport Rule, Rules
from ajpd._trace cimport Names, Trace
from ajpd.http._request cimport RequestHead


cdef enum:
    # Body of an already answered request that is read for the sake of the connection, in bytes.
    DISCARD_LIMIT = 1048576


cdef class Target:
    """A worker as an exchange sees it: what goes into the packet, and how to get an endpoint."""

    cdef readonly object worker         # acquire(attempt), cancel(attempt)
    cdef readonly str name
    cdef bytes secret                   # None when there is none
    cdef Py_ssize_t max_packet_size
    cdef Py_ssize_t replay_limit        # body bytes that are kept for another attempt
    cdef int retries                    # attempts of one request, the first included
    cdef double retry_interval          # seconds
    cdef object recovery_options        # int, or None when nobody said
    cdef object fail_on_status          # tuple of statuses, soft ones negative; None
    cdef readonly uint32_t slot         # of the container in the status table; NO_SLOT: none
    cdef public double head_waits       # seconds that a head of an answer waits for what follows


cdef class Service:
    """What all connections of one process share."""

    cdef readonly Wheel wheel
    cdef readonly set clients           # every open client connection
    cdef public bint draining           # answer what is there, accept nothing more
    cdef public double patience         # seconds that draining leaves idle clients; 0: none
    cdef public double drained          # seconds of draining in which clients could be served
    cdef public object on_drained       # called when the last client goes while draining; or None
    cdef readonly int64_t requests      # begun
    cdef readonly dict reasons          # reason -> exchanges and refusals that ended with it
    cdef public object handshakes       # how many connections are not clients yet; None for none
    cdef Column column                  # where this process counts; None: nowhere
    cdef public LogLines access         # takes what a line of the access log says; None: no log
    cdef uint32_t front                 # slot of all that clients ask for
    cdef object on_changes              # told of a group whose members may have changed; or None
    cdef Rules rules                    # of normalised paths
    cdef readonly dict targets          # worker name -> Target, Group or inside.Page
    cdef RequestHead head               # scratch: parsed and encoded in one go
    cdef double header_timeout          # seconds, as all times here; 0: none
    cdef double keepalive_timeout
    cdef double body_timeout
    cdef double send_timeout
    cdef Py_ssize_t max_header_bytes
    cdef int64_t max_body_bytes         # 0: no limit
    cdef Py_ssize_t max_connections     # 0: no limit
    cdef readonly Py_ssize_t most_accepted  # those beyond the limit are told so; 0: no limit
    cdef object pages                   # http.pages.Pages
    cdef object forward_uri             # mode of http.uri.normalise
    cdef object trusted                 # http.forwarded.TrustedProxies, or None
    cdef object forwarded_headers       # which family of them counts
    cdef object describe_tls            # TLS session -> tls.ClientTLS
    cdef bytes reply_timeout_header     # in which trusted proxies say it; None
    cdef public Trace trace             # names requests; None: nobody does
    cdef tuple attributes               # AttributeRule; what containers are told besides
    cdef frozenset _never               # header names that no client may send
    cdef frozenset _from_trusted        # header names that trusted proxies alone may send
    cdef bytes _date_line
    cdef int64_t _date_second

    cdef bytes date_line(self)
    cdef int count(self, object reason) except -1
    # a request that never became an exchange
    cdef int count_refusal(self, object reason, int status) except -1
    cdef int count_client(self, int by) except -1
    cdef Account account(self)
    cdef Py_ssize_t connections(self) except -1
    cdef int note_changes(self, object group) except -1
    # the rule for a normalised path of the host that is asked for, or None
    cdef Rule find(self, bytes path, RequestHead head, Peer peer)
    cdef bint trusts(self, Peer peer, bint is_unix) except -1
    cdef Peer introduce(self, RequestHead head, ClientSide client)
    cdef double asked_reply_timeout(self, RequestHead head, double otherwise) except -2
    cdef list attributes_of(self, RequestHead head, Peer peer, bint trusted, Names names)


cdef class ClientSide(Timed):
    """What an exchange needs of the connection its client is on; the front implements it."""

    cdef object transport
    cdef object write                   # transport.write, looked up once
    cdef bint write_paused
    cdef Peer peer                      # of the connection; a request may know better
    cdef bint trusted                   # it is a proxy whose word counts

    # the response is complete and written; `reusable` as promised in its head
    cdef int exchange_done(self, bint reusable) except -1
    # the response cannot be completed any more; `cleanly` False: a close alone would look complete
    cdef int exchange_broken(self, bint cleanly) except -1
    # more request body is wanted, or none for now
    cdef int want_body(self, bint wanted) except -1
