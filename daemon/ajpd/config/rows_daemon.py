"""Rows of the directive table: the keys of ajpd.toml outside `[worker.NAME]` and `[mount]`.

Values only; `directives.py` joins all rows. A row without `since` is a name that later versions
will honour; writing it is an error in this one.

A section of keys is a member of `Scope`, a row for its name, and a row for each key; `toml.py`
reads it then, and the reference, the sample's test and `--help` know it.
"""

from functools import partial
from typing import Final

from .values import Directive, Scope, Unit, ValueType

__all__ = ["DAEMON_ROWS"]

_FIRST: Final = "0.1"

_server = partial(Directive, scope=Scope.SERVER)
_server_s = partial(
    _server, type=ValueType.DURATION, unit=Unit.S, minimum=0, since=_FIRST, default=60
)
_map = partial(Directive, scope=Scope.MAP)
_host = partial(Directive, scope=Scope.HOST, since=_FIRST)
_log = partial(Directive, scope=Scope.LOG)
_tls = partial(Directive, scope=Scope.TLS, since=_FIRST)
_metrics = partial(Directive, scope=Scope.METRICS, since=_FIRST)
_table = partial(Directive, scope=Scope.TABLE)
_status = partial(Directive, scope=Scope.STATUS_PAGE, since=_FIRST)
_section = partial(Directive, scope=Scope.TOP)

_SECTIONS: Final = (
    _section(name="server", since=_FIRST, doc="The side that faces the browsers."),
    _section(name="workers", since=_FIRST, doc="Where workers.properties is."),
    _section(name="worker", since=_FIRST, doc="Workers written in place: [worker.NAME]."),
    _section(name="map", since=_FIRST, doc="Where uriworkermap.properties is."),
    _section(name="mount", since=_FIRST, doc='Rules written in place: "/app/*" = "worker".'),
    _section(
        name="host",
        since=_FIRST,
        doc='Rules for one name: [host."www.example.org"], and a table mount in it. Requests for '
        "any other name go by [map] and [mount].",
    ),
    _section(name="log", since=_FIRST, doc="What is written where."),
    _section(name="tls", since=_FIRST, doc="Certificates, for browsers that come over TLS."),
    _section(
        name="attributes",
        since=_FIRST,
        doc='Request attributes that are sent to the containers: NAME = "SOURCE", where SOURCE is '
        "header:NAME (of a request, from a trusted proxy only), certificate:FIELD (of the "
        "client's verified certificate, FIELD as Apache's SSL_CLIENT_FIELD), request:id, "
        "request:trace (see request_id and traceparent in [server]) or value:TEXT. "
        "Behind all but the last, |TEXT says what is sent when there is none.",
    ),
    _section(name="status", since=_FIRST, doc="Who may see status pages, and change things there."),
    _section(
        name="metrics",
        since=_FIRST,
        doc="Where metrics can be fetched, as Prometheus wants them, and by whom.",
    ),
    _section(
        name="table", since=_FIRST, doc="Where the status table is, which all processes share."
    ),
)

_SERVER: Final = (
    _server(
        name="listen",
        type=ValueType.LIST,
        default=("127.0.0.1:8080",),
        since=_FIRST,
        doc="Addresses to accept HTTP on: host:port, [IPv6 address]:port, unix:/path, or fd:3 and "
        "fd:NAME for a listening socket that was handed over at start, by systemd for one.",
    ),
    _server_s(
        name="header_timeout",
        default=20,
        doc="Time a client has to send the head of a request, from its first byte on.",
    ),
    _server_s(
        name="keepalive_timeout",
        default=65,
        doc="Time an idle connection of a client stays open between two requests.",
    ),
    _server_s(
        name="body_timeout",
        doc="Time a client may pause while it sends the body of a request. 0 is no limit.",
    ),
    _server_s(
        name="send_timeout",
        doc="Time a client may leave an answer unread before its connection is cut. 0 is no limit.",
    ),
    _server(
        name="max_header_bytes",
        type=ValueType.INT,
        unit=Unit.BYTES,
        default=65536,
        minimum=1024,
        maximum=1024 * 1024,
        since=_FIRST,
        doc="Largest head of a request, request line included. What the container accepts is "
        "also limited by max_packet_size of the worker.",
    ),
    _server(
        name="max_body_bytes",
        type=ValueType.INT,
        unit=Unit.BYTES,
        default=0,
        minimum=0,
        maximum=2**63 - 1,
        since=_FIRST,
        doc="Largest body of a request; 0 is no limit. k and m may follow the number.",
    ),
    _server_s(
        name="shutdown_timeout",
        default=30,
        doc="Time that requests in progress have to finish when the daemon is stopped.",
    ),
    _server(
        name="processes",
        type=ValueType.INT,
        words=("auto",),
        default="auto",
        minimum=1,
        maximum=256,
        since=_FIRST,
        doc="Number of processes that serve; auto is one for each processor that this one may use. "
        "Each has connections of its own to the containers. One more process starts, watches and "
        "replaces them.",
    ),
    _server_s(
        name="hang_timeout",
        default=20,
        doc="A process that does nothing for so long, not even give its sign of life once a "
        "second, is killed, and another one takes its place; at least 3 s. 0: it may hang.",
    ),
    _server(
        name="scheduling",
        type=ValueType.WORD,
        default="batch",
        words=("batch", "normal"),
        since=_FIRST,
        doc="When a process that serves runs, once there is something for it to do. batch: on a "
        "free processor at once, else after the program that is at it, so that more is done in one "
        "go (SCHED_BATCH). normal: it may interrupt. Another policy that the daemon was started "
        "with stays.",
    ),
    _server(
        name="user",
        default="",
        since=_FIRST,
        doc="User that the serving processes become when the daemon is started as root, once "
        "listeners, log and keys are open. The process that watches them stays root, so that it "
        "can open what a reload needs. Empty: nobody changes.",
    ),
    _server(
        name="group",
        default="",
        since=_FIRST,
        doc="Group they become, in place of the first one of user.",
    ),
    _server(
        name="pid_file",
        default="",
        since=_FIRST,
        doc="Path of a file with the number of the process that signals are for, relative to "
        "ajpd.toml. A second daemon with the same file does not start. Empty: none.",
    ),
    _server(
        name="max_connections",
        type=ValueType.INT,
        default=0,
        minimum=0,
        since=_FIRST,
        doc="Most connections of clients at a time in one process; who comes then is told 503. 0: "
        "as many as there are file descriptors for, those for the containers set aside.",
    ),
    _server(
        name="trusted_proxies",
        type=ValueType.LIST,
        default=(),
        since=_FIRST,
        doc="Networks of proxies in front of this one, such as 10.0.0.0/8; also the words "
        "loopback, private, and unix for whoever comes over a Unix socket. Their X-Forwarded-*, "
        "Forwarded and PROXY headers are believed; those of anybody else are not, and are not "
        "passed on either. Empty: nobody is believed, and these headers are passed on as ordinary "
        "ones.",
    ),
    _server(
        name="forwarded_headers",
        type=ValueType.WORD,
        default="auto",
        words=("auto", "x-forwarded", "forwarded", "none"),
        since=_FIRST,
        doc="Which headers of trusted proxies say who their client is: X-Forwarded-For, -Proto, "
        "-Host and -Port, or Forwarded (RFC 7239). auto takes the first kind where there is one of "
        "them, else the second; name the kind when a proxy sets only one of them and lets the "
        "client's other kind through.",
    ),
    _server(
        name="forward_uri",
        type=ValueType.WORD,
        default="proxy",
        words=("proxy", "compat", "compat_unparsed", "escaped"),
        since=_FIRST,
        doc="Form in which containers get the path: mod_jk's ForwardURIProxy (decoded, checked and "
        "encoded again), ForwardURICompat (decoded), ForwardURICompatUnparsed (as it came) or "
        "ForwardURIEscaped. Whatever it is, a path that the container would read otherwise than "
        "it was compared with the rules is refused.",
    ),
    _server(
        name="reply_timeout_header",
        default="",
        since=_FIRST,
        doc="Name of a request header in which trusted proxies may say reply_timeout for one "
        "request, in milliseconds, 0 for no limit. It is never passed on. Empty: none.",
    ),
    _server(
        name="error_pages",
        default="",
        since=_FIRST,
        doc="Directory of own pages for errors: 503.html for one status, 5xx.html for all of a "
        "class, error.html for any. They may hold {{status}}, {{phrase}}, {{words}}, {{detail}} "
        "and {{reason}}.",
    ),
)

_REST: Final = (
    Directive(
        scope=Scope.WORKERS,
        name="file",
        since=_FIRST,
        doc="Path of workers.properties, relative to ajpd.toml.",
    ),
    _map(
        name="file",
        since=_FIRST,
        doc="Path of uriworkermap.properties, relative to ajpd.toml.",
    ),
    _map(
        name="reload",
        type=ValueType.DURATION,
        unit=Unit.S,
        default=60,
        minimum=0,
        since=_FIRST,
        doc="How often the URI maps, those of hosts too, are looked at for changes; 0 is never. "
        "Requests go by the new rules from then on. While a map has an error the old rules stay, "
        "and the log says why.",
    ),
    _host(
        name="aliases",
        type=ValueType.LIST,
        default=(),
        doc="More names of this host. A name that begins with *. is every name that ends like it; "
        "of several that fit, the longest counts, and one without * first of all.",
    ),
    _host(
        name="map",
        default="",
        doc="Path of an uriworkermap.properties for this host, relative to ajpd.toml.",
    ),
    _host(
        name="mount_copy",
        type=ValueType.BOOL,
        default=False,
        doc="Whether the rules for all other names count here too, as with JkMountCopy of mod_jk: "
        "except for patterns that this host has itself, and without their URI map if it has one.",
    ),
    _log(
        name="level",
        type=ValueType.WORD,
        default="info",
        words=("debug", "info", "warning", "error"),
        since=_FIRST,
        doc="Least severe messages to write.",
    ),
    _log(
        name="file",
        default="",
        since=_FIRST,
        doc="Path of the log, relative to ajpd.toml; standard error when empty; or syslog, as "
        "syslog:FACILITY of this machine or syslog:FACILITY@HOST:PORT of another one. What is not "
        "said is daemon and 514.",
    ),
    _log(
        name="access",
        default="off",
        since=_FIRST,
        doc="Path of the access log, relative to ajpd.toml, - for standard output, syslog as for "
        "file, or off.",
    ),
    _log(
        name="access_format",
        default="json",
        since=_FIRST,
        doc="Format of a line of the access log: json, combined, or tokens of JkRequestLogFormat: "
        "%b %B %H %m %p %q %r %s %T %U %v %V %w %R.",
    ),
)

_TLS: Final = (
    _tls(
        name="listen",
        type=ValueType.LIST,
        doc="Addresses to accept HTTPS on, written as in [server].",
    ),
    _tls(
        name="certificate",
        type=ValueType.LIST,
        doc="Paths of PEM files, relative to ajpd.toml: a certificate each, with its chain behind "
        "it. A client gets the one whose names have the name it asked for (SNI); the first one is "
        "for all others.",
    ),
    _tls(
        name="key",
        type=ValueType.LIST,
        default=(),
        doc="Paths of the private keys, one for each certificate in the same order. Without it a "
        "key is in the file of its certificate. A key with a passphrase is refused.",
    ),
    _tls(
        name="client_ca",
        default="",
        doc="Path of a PEM file with the authorities that certificates of clients may come from.",
    ),
    _tls(
        name="client_verify",
        type=ValueType.WORD,
        default="none",
        words=("none", "optional", "require"),
        doc="Whether clients are asked for a certificate. With optional, one that has none is "
        "served; one whose certificate is no good is served by neither.",
    ),
    _tls(
        name="client_chain",
        type=ValueType.BOOL,
        default=False,
        doc="Send the certificates behind the client's own to the container too, as "
        "JkOptions +ForwardSSLCertChain does. A resumed session has none of them.",
    ),
    _tls(
        name="min_version",
        type=ValueType.WORD,
        default="1.2",
        words=("1.2", "1.3"),
        doc="Oldest version of TLS that is spoken.",
    ),
    _tls(
        name="ciphers",
        default="",
        doc="Ciphers of TLS 1.2 in OpenSSL's notation; those of the library when empty. The "
        "ciphers of TLS 1.3 are always OpenSSL's own.",
    ),
    _tls(
        name="remote_user",
        default="",
        doc="Part of the client's verified certificate that becomes the remote user: CN, "
        "emailAddress, UID or another part of the subject, DN for the whole subject, SAN:email, "
        "SAN:DNS or SAN:URI. Empty: there is no remote user.",
    ),
    _tls(
        name="reload",
        type=ValueType.DURATION,
        unit=Unit.S,
        default=60,
        minimum=0,
        doc="How often the files are looked at for changes; 0 is never. New connections get the "
        "new certificates. A file that is broken is logged, and the old ones stay.",
    ),
)

_METRICS: Final = (
    _metrics(
        name="listen",
        type=ValueType.LIST,
        default=(),
        doc="Addresses where metrics can be fetched by HTTP, written as in [server], such as "
        "127.0.0.1:9113; none of them can be an address for clients as well. Every process "
        "listens there, and each one's answer is about all of them. Empty: there are no metrics.",
    ),
    _metrics(
        name="path",
        default="/metrics",
        doc="Path of the metrics; anything else there is answered 404.",
    ),
    _metrics(
        name="allow",
        type=ValueType.LIST,
        default=("loopback",),
        doc="Networks and addresses that may fetch them; loopback stands for this machine, Unix "
        "sockets included, private for the networks of RFC 1918 and the like. Anybody else gets "
        "403.",
    ),
)

_TABLE: Final = (
    _table(
        name="file",
        default="",
        since=_FIRST,
        doc="Path of the status table, relative to ajpd.toml; nobody but the user of ajpd "
        "can read it. Empty: a name made from the paths of the configuration files, in "
        "RUNTIME_DIRECTORY where systemd sets it; else in /run/ajpd for root, in XDG_RUNTIME_DIR "
        "or /dev/shm for other users. It is opened at start: another path needs a restart.",
    ),
    _table(
        name="journal",
        default="",
        since=_FIRST,
        doc="Path of a file, relative to ajpd.toml, that keeps what was changed while ajpd ran, "
        "for the day the table is lost, as it is when the machine starts again. The user of ajpd "
        "has to be able to write to its directory, and nobody else. Changes made by commands that "
        "know the table alone (--table) get into it with the next reload. Empty: none is kept.",
    ),
)

_NAMES: Final = (
    "off: it is passed on like any header. create: always a new one. trusted: that of a proxy in "
    "trusted_proxies, if it is well formed, else a new one. any: the same with anybody's."
)
_TRACE: Final = (
    _server(
        name="request_id",
        type=ValueType.WORD,
        default="off",
        words=("off", "create", "trusted", "any"),
        since=_FIRST,
        doc="X-Request-Id: the name of a request, for its container, its client, the access log "
        f"and the error log. {_NAMES} A new one is the trace's, where there is one.",
    ),
    _server(
        name="traceparent",
        type=ValueType.WORD,
        default="off",
        words=("off", "create", "trusted", "any"),
        since=_FIRST,
        doc="traceparent of W3C Trace Context: the trace that a request belongs to, for its "
        f"container. {_NAMES} One that counts is passed on as it is; a new one is sampled, and "
        "tracestate goes with none but its own trace.",
    ),
)

_STATUS: Final = (
    _status(
        name="allow",
        type=ValueType.LIST,
        default=("loopback",),
        doc="Networks and addresses that may see status pages; loopback stands for this machine, "
        "private for the networks of RFC 1918 and the like. Anybody else gets 403. Who comes "
        "through a proxy that is not in trusted_proxies has that proxy's address.",
    ),
    _status(
        name="read_only",
        type=ValueType.BOOL,
        default=False,
        doc="Status pages show everything and change nothing.",
    ),
    _status(
        name="allow_get",
        type=ValueType.BOOL,
        default=False,
        doc="Let programs on this machine change things by GET, as scripts for mod_jk do. Else a "
        "change has to be sent by POST, with the token of a page. A browser on this machine can "
        "be made to send a GET by any site, so leave it off where there are browsers.",
    ),
)

DAEMON_ROWS: Final[tuple[Directive, ...]] = (
    *_SECTIONS,
    *_SERVER,
    *_TRACE,
    *_REST,
    *_TLS,
    *_METRICS,
    *_TABLE,
    *_STATUS,
)
