"""Rows of the directive table: the whole file, every worker, ajp13 workers and members.

Values only; `directives.py` joins all rows. Each paragraph is shown to users, so it says what
the directive does here, and where that is not what mod_jk does.

Source: the Tomcat Connectors documentation "workers.properties" and mod_jk `jk_util.c`,
`jk_ajp_common.c`, `jk_lb_worker.c` for the defaults that count.
"""

from functools import partial
from typing import Final

from ajp.constants import DEFAULT_PACKET_SIZE, MAX_PACKET_SIZE, MIN_PACKET_SIZE

from .values import Directive, Scope, Unit, ValueType

__all__ = ["WORKER_ROWS"]

_FIRST: Final = "0.1"

_global = partial(Directive, scope=Scope.GLOBAL)
_common = partial(Directive, scope=Scope.COMMON)
_ajp = partial(Directive, scope=Scope.AJP)
_ajp_s = partial(_ajp, type=ValueType.DURATION, unit=Unit.S, minimum=0, is_clamped=True, default=0)
_ajp_ms = partial(_ajp_s, unit=Unit.MS)
_member = partial(Directive, scope=Scope.MEMBER)

_GLOBAL: Final = (
    _global(
        name="list",
        type=ValueType.LIST,
        default=("ajp13",),
        since=_FIRST,
        doc="Names of the workers that URIs may be mapped to. May be given several times; all "
        "names count. Members of a balancer need not be listed.",
    ),
    _global(
        name="maintain",
        type=ValueType.DURATION,
        unit=Unit.S,
        default=60,
        minimum=0,
        is_clamped=True,
        since=_FIRST,
        doc="Seconds between two rounds of a balancer's maintenance: the past counts half, and "
        "members whose recover_time is over are tried again. 0 switches both off. Connections "
        "need none here: they are closed and asked when it is due. Only in workers.properties.",
    ),
)

_COMMON: Final = (
    _common(
        name="type",
        type=ValueType.WORD,
        default="ajp13",
        words=("ajp13", "lb", "status"),
        since=_FIRST,
        doc="Kind of worker. ajp13: one container reached over AJP13. lb: a balancer, several "
        "containers behind one name. status: a page about all workers. Case matters. ajp12, ajp14 "
        "and jni of old files are refused; no Tomcat of today speaks them.",
    ),
    _common(
        name="reference",
        since=_FIRST,
        doc="Prefix of a template, such as worker.template: everything written for the template "
        "counts for this worker too, unless the worker has it itself. Only in "
        "workers.properties.",
    ),
    _common(
        name="mount",
        type=ValueType.LIST,
        since=_FIRST,
        doc="URI patterns of this worker, separated by blanks or commas, as an alternative to "
        "the URI map. The prefixes ! and - work, the shorthand | does not.",
    ),
)

_ADDRESS: Final = (
    _ajp(
        name="host",
        default="localhost",
        since=_FIRST,
        doc="Name or address of the container, without port. A name is resolved for every new "
        "connection, and every half minute while there are connections: those to an address it "
        "has no more end with their request. mod_jk resolves once. Also unlike mod_jk: unix:/path "
        "for a connector that listens on a Unix domain socket; port is not used then.",
    ),
    _ajp(
        name="port",
        type=ValueType.INT,
        default=8009,
        minimum=0,
        maximum=65535,
        since=_FIRST,
        doc="TCP port of the container's AJP connector. 0 switches a member of a balancer off "
        "and any other worker too: an error in ajpd.toml, a warning in workers.properties.",
    ),
    _ajp(
        name="source",
        default="",
        since=_FIRST,
        doc="Local address, or name of one, that connections to the container start from; any "
        "when nothing is written. A connection fails where it cannot be used, also when it is "
        "of another family than the container's address; mod_jk goes on without it.",
    ),
    _ajp(
        name="prefer_ipv6",
        type=ValueType.BOOL,
        default=False,
        since=_FIRST,
        doc="When the host name has addresses of both families, try IPv6 first.",
    ),
    _ajp_s(
        name="socket_timeout",
        since=_FIRST,
        doc="Seconds that the container may be silent inside an answer, or before it, where no "
        "reply_timeout counts; and that it may take until it accepts bytes of a request. 0 is no "
        "limit. When written it is also the default of socket_connect_timeout. mod_jk's does not "
        "work for what is sent.",
    ),
    _ajp_ms(
        name="socket_connect_timeout",
        default=2000,
        since=_FIRST,
        doc="Milliseconds that making a TCP connection may take, for all addresses of a name "
        "together: they are tried one after the other, a quarter of a second apart. 0 leaves it "
        "to the operating system, as mod_jk does unless told otherwise. socket_timeout when that "
        "is written and this is not.",
    ),
    _ajp(
        name="socket_keepalive",
        type=ValueType.BOOL,
        default=False,
        since=_FIRST,
        doc="Switch TCP keep-alive on for connections to the container, with the timers of the "
        "operating system. Keeps firewalls from forgetting idle connections.",
    ),
    _ajp(
        name="socket_buffer",
        type=ValueType.INT,
        unit=Unit.BYTES,
        default=0,
        minimum=0,
        maximum=1024**3,
        is_clamped=True,
        since=_FIRST,
        doc="Size of the socket's send and receive buffer; 0 leaves it to the operating system, "
        "which is best nearly always. Less than max_packet_size is taken as max_packet_size.",
    ),
)

_POOL: Final = (
    _ajp(
        name="connection_pool_size",
        type=ValueType.INT,
        default=256,
        minimum=1,
        is_clamped=True,
        since=_FIRST,
        doc="Most connections to the container that one process keeps, and so the most requests "
        "it has there at a time. They are opened when needed. Times the number of processes it "
        "should not exceed the connector's maxConnections. mod_jk takes the number of threads "
        "of an httpd child when nothing is written.",
    ),
    _ajp(
        name="connection_pool_minsize",
        type=ValueType.INT,
        minimum=0,
        is_clamped=True,
        since=_FIRST,
        doc="Idle connections that connection_pool_timeout leaves open. They are never opened "
        "ahead of time. Half of connection_pool_size, rounded up, when nothing is written.",
    ),
    _ajp_s(
        name="connection_pool_timeout",
        since=_FIRST,
        doc="Seconds after which an idle connection is closed; 0 keeps it for ever. Should fit "
        "the connector's keepAliveTimeout.",
    ),
    _ajp_ms(
        name="connection_acquire_timeout",
        default=5000,
        since=_FIRST,
        doc="Milliseconds that a request waits for a connection when connection_pool_size are "
        "busy: a queue with a deadline, first come first served. 0 refuses at once when none is "
        "free. mod_jk polls every 100 ms, 200 ms long, and with 0 refuses every request.",
    ),
    _ajp_s(
        name="connection_ping_interval",
        since=_FIRST,
        doc="Seconds of silence after which an idle connection is asked with a CPING; without a "
        "CPONG in ping_timeout it is closed. 0 asks none. Connections idle for more than a second "
        "are asked before a request anyway, see prepost_timeout; at intervals it keeps firewalls "
        "from forgetting them. A request never gets a connection that is being asked.",
    ),
)

_TIMEOUTS: Final = (
    _ajp_ms(
        name="connect_timeout",
        default=2000,
        since=_FIRST,
        doc="Milliseconds to wait for the CPONG to a CPING sent right after connecting; 0 sends "
        "none, which is mod_jk's default. Not the time to connect: that is "
        "socket_connect_timeout.",
    ),
    _ajp_ms(
        name="prepost_timeout",
        default=2000,
        since=_FIRST,
        doc="Milliseconds to wait for the CPONG to a CPING sent before a pooled connection is "
        "used again; 0 sends none, which is mod_jk's default. It only applies to connections "
        "that were idle for more than a second; younger ones are used at once.",
    ),
    _ajp(
        name="ping_mode",
        type=ValueType.LETTERS,
        default="",
        words=("A", "C", "P", "I"),
        since=_FIRST,
        doc="Which CPINGs to send with ping_timeout, where connect_timeout or prepost_timeout "
        "say nothing else: C after connecting, P before a request, I at intervals, A all. What is "
        "not among the letters is left out, as in mod_jk. For I "
        "connection_ping_interval is a hundredth of ping_timeout's number, in seconds, where "
        "nothing else is written: 100 s for 10000 ms.",
    ),
    _ajp_ms(
        name="ping_timeout",
        default=10_000,
        since=_FIRST,
        doc="Milliseconds to wait for the CPONG to the CPINGs that ping_mode switches on, and to "
        "those of connection_ping_interval; 0 sends none of the latter.",
    ),
    _ajp_ms(
        name="reply_timeout",
        since=_FIRST,
        doc="Milliseconds that the container may take until its next packet, not for the whole "
        "answer; 0 is no limit, because long reports are legal. A rule of the URI map may say "
        "otherwise.",
    ),
)

_FAILURE: Final = (
    _ajp(
        name="retries",
        type=ValueType.INT,
        default=2,
        minimum=1,
        is_clamped=True,
        since=_FIRST,
        doc="Attempts on this container for one request, the first included. Only requests that "
        "may safely be sent again are.",
    ),
    _ajp_ms(
        name="retry_interval",
        default=100,
        since=_FIRST,
        doc="Milliseconds between a failed attempt and the next one. An attempt that failed on a "
        "connection that had been idle is repeated at once: it says nothing about the container. "
        "mod_jk waits in every case, and its thread with it.",
    ),
    _ajp(
        name="recovery_options",
        type=ValueType.INT,
        minimum=0,
        maximum=31,
        since=_FIRST,
        doc="Which requests are sent again after a failure. Nothing written: those whose head "
        "had not left, and those of idempotent methods. Written, it is a sum: 1 none that was "
        "sent to the container; 2 none whose response headers came, which is always so here; 4 a "
        "client that goes away makes the connection to the container be reset, where else it is "
        "closed in order; 8 HEAD always; 16 GET always. In mod_jk 16 means nothing besides 8.",
    ),
    _ajp(
        name="fail_on_status",
        type=ValueType.INT_LIST,
        default=(),
        since=_FIRST,
        doc="Response status codes that count as a failure, separated by blanks or commas; may "
        "be given several times. The client gets 503 in their place. A plain one counts "
        "against the container, one with a minus sign fails the request only; the first in the "
        "list decides where a code is there with both.",
    ),
    _ajp(
        name="busy_limit",
        type=ValueType.INT,
        default=0,
        minimum=0,
        is_clamped=True,
        since=_FIRST,
        doc="Most requests for this worker at a time, those that wait for a connection included; "
        "more are refused with 503. 0 is no limit. This version counts in each process by itself, "
        "mod_jk in all of them together.",
    ),
    _ajp(
        name="replay_buffer",
        type=ValueType.INT,
        unit=Unit.BYTES,
        default=0,
        minimum=0,
        maximum=16 * 1024**2,
        is_clamped=True,
        since=_FIRST,
        doc="Bytes of a request's body that are kept in memory so that the request can be sent "
        "again; only requests that may be sent again at all are. 0 keeps none: a body that went "
        "along with its head can be repeated, anything longer cannot. Not known to mod_jk.",
    ),
)

_PROBE: Final = (
    _ajp(
        name="probe",
        type=ValueType.WORD,
        default="cping",
        words=("cping", "request", "off"),
        since=_FIRST,
        doc="How one process of all looks after the container over a connection of its own, so "
        "that none of a user's requests has to find out. cping: with a CPING. request: with a "
        "CPING and the page of probe_uri, which is what counts when probe_uri is written and this "
        "is not. off: not at all; a failed member of a balancer comes back as in mod_jk, by a "
        "user's request after recover_time. However many balancers have the container, it is "
        "probed once. Not known to mod_jk, as all of probe_... and freeze_timeout.",
    ),
    _ajp_ms(
        name="probe_interval",
        default=1000,
        minimum=100,
        since=_FIRST,
        doc="Milliseconds between two probes. A CPING is sent at once where a connection of the "
        "probe breaks, and where requests are under way and nothing was heard of the container "
        "for a third of a second.",
    ),
    _ajp_ms(
        name="probe_timeout",
        default=2000,
        minimum=100,
        since=_FIRST,
        doc="Milliseconds that a probe may take to connect, and as many until its answer. A "
        "container that says something to others meanwhile is late and nothing else.",
    ),
    _ajp(
        name="probe_uri",
        default="",
        since=_FIRST,
        doc="Page to ask the container for, path and query, as in /health; HEAD /health asks with "
        "another method than GET. An answer with another status than those of probe_status makes "
        "the member fail, a good one brings it back, whatever it had failed for.",
    ),
    _ajp(
        name="probe_status",
        type=ValueType.LIST,
        default=("200-399",),
        since=_FIRST,
        doc="Statuses of good answers to probe_uri, single ones and ranges, separated by blanks "
        "or commas.",
    ),
    _ajp_ms(
        name="freeze_timeout",
        default=1000,
        since=_FIRST,
        doc="Milliseconds after which a container is taken as frozen: a CPING of the probe is "
        "unanswered for so long, and not one byte came from the container meanwhile, over no "
        "connection of no process. It gets no requests until it answers, and those that wait for "
        "it and may be sent again go to another member. Longer than a container may be silent "
        "with all its threads at work, as in a stop of its garbage collector. 0 calls nobody "
        "frozen.",
    ),
)

_PROTOCOL: Final = (
    _ajp(
        name="max_packet_size",
        type=ValueType.INT,
        unit=Unit.BYTES,
        default=DEFAULT_PACKET_SIZE,
        minimum=MIN_PACKET_SIZE,
        maximum=MAX_PACKET_SIZE,
        is_clamped=True,
        since=_FIRST,
        doc="Largest AJP packet in bytes, rounded up to a multiple of 1024. Must equal "
        "packetSize of the container's connector. Raise both when requests with large headers "
        "are refused.",
    ),
    _ajp(
        name="secret",
        type=ValueType.SECRET,
        since=_FIRST,
        doc="What the container's connector expects as secret. Besides the text itself: "
        "env:NAME takes it from the environment, file:/path from a file (one line end at its "
        "end is cut). It never shows up in logs or pages.",
    ),
)

_MEMBER: Final = (
    _member(
        name="lbfactor",
        type=ValueType.INT,
        default=1,
        minimum=1,
        is_clamped=True,
        since=_FIRST,
        doc="Share of the work that this member gets, in proportion to the other members of its "
        "balancer: with 2 twice as much as one with 1.",
    ),
    _member(
        name="distance",
        type=ValueType.INT,
        default=0,
        minimum=0,
        is_clamped=True,
        since=_FIRST,
        doc="Members with the smallest distance get all new work as long as one of them can be "
        "had; lbfactor counts among equals only.",
    ),
    _member(
        name="route",
        since=_FIRST,
        doc="The jvmRoute of the container's Engine, which its session ids end with behind a dot. "
        "The member's name when nothing is written. No two members of a balancer may have the "
        "same, and it cannot hold blanks, commas, semicolons, quotes or slashes.",
    ),
    _member(
        name="domain",
        since=_FIRST,
        doc="Name of a group of members that replicate sessions to each other: when the member of "
        "a session cannot be had, another one of the group is next. The part of route before its "
        "first dot when nothing is written, nothing when there is no dot.",
    ),
    _member(
        name="redirect",
        default="",
        since=_FIRST,
        doc="Route, not name, of the member that gets the sessions of this one while it cannot be "
        "had, even a disabled one. It counts before domain. With activation=Disabled there that "
        "member is a hot standby.",
    ),
    _member(
        name="activation",
        type=ValueType.ENUM,
        default="Active",
        words=("Active", "Disabled", "Stopped"),
        since=_FIRST,
        doc="Active: gets everything. Disabled: gets the sessions it has, and nothing new. "
        "Stopped: gets nothing; a member with port 0 always begins so. As in mod_jk the first "
        "letter is enough, or the number 0, 1 or 2.",
    ),
    _member(
        name="disabled",
        type=ValueType.BOOL,
        default=False,
        alias_of="activation",
        since=_FIRST,
        doc="Former way to write activation=Disabled.",
    ),
    _member(
        name="stopped",
        type=ValueType.BOOL,
        default=False,
        alias_of="activation",
        since=_FIRST,
        doc="Former way to write activation=Stopped.",
    ),
    _member(name="jvm_route", alias_of="route", since=_FIRST, doc="Former name of route."),
)

_FORMER: Final = (
    _ajp(
        name="cachesize",
        type=ValueType.INT,
        minimum=1,
        alias_of="connection_pool_size",
        since=_FIRST,
        doc="Former name of connection_pool_size; counts only when that is not written.",
    ),
    _ajp_s(
        name="cache_timeout",
        alias_of="connection_pool_timeout",
        since=_FIRST,
        doc="Former name of connection_pool_timeout; counts only when that is not written.",
    ),
)

WORKER_ROWS: Final[tuple[Directive, ...]] = (
    *_GLOBAL,
    *_COMMON,
    *_ADDRESS,
    *_POOL,
    *_TIMEOUTS,
    *_FAILURE,
    *_PROBE,
    *_PROTOCOL,
    *_MEMBER,
    *_FORMER,
)
