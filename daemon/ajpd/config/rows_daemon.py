"""Rows of the directive table: the keys of ajpd.toml outside `[worker.NAME]` and `[mount]`.

Values only; `directives.py` joins all rows. A row without `since` is a name that later versions
will honour; writing it is an error in this one.
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
_log = partial(Directive, scope=Scope.LOG)
_section = partial(Directive, scope=Scope.TOP)

_SECTIONS: Final = (
    _section(name="server", since=_FIRST, doc="The side that faces the browsers."),
    _section(name="workers", since=_FIRST, doc="Where workers.properties is."),
    _section(name="worker", since=_FIRST, doc="Workers written in place: [worker.NAME]."),
    _section(name="map", since=_FIRST, doc="Where uriworkermap.properties is."),
    _section(name="mount", since=_FIRST, doc='Rules written in place: "/app/*" = "worker".'),
    _section(name="log", since=_FIRST, doc="What is written where."),
    _section(name="tls", doc="Certificates, for browsers that come over TLS."),
    _section(name="attributes", doc="Request attributes that are sent to the containers."),
    _section(name="status", doc="Who may see and do what on the status page."),
    _section(name="metrics", doc="Where metrics can be fetched."),
    _section(name="table", doc="Where the shared status table is kept."),
)

_SERVER: Final = (
    _server(
        name="listen",
        type=ValueType.LIST,
        default=("127.0.0.1:8080",),
        since=_FIRST,
        doc="Addresses to accept HTTP on: host:port, [IPv6 address]:port or unix:/path.",
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
    _server(name="processes", doc="Number of processes; auto is one for each core."),
    _server(name="user", doc="User to become after start as root."),
    _server(
        name="trusted_proxies",
        type=ValueType.LIST,
        doc="Networks whose X-Forwarded-*, Forwarded and PROXY headers are believed.",
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
        doc="How often the URI map is looked at for changes.",
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
        doc="Path of the log, relative to ajpd.toml; standard error when empty.",
    ),
    _log(name="access", doc="Path of the access log, - for standard output, or off."),
    _log(name="access_format", doc="Format of a line of the access log."),
)

DAEMON_ROWS: Final[tuple[Directive, ...]] = (*_SECTIONS, *_SERVER, *_REST)
