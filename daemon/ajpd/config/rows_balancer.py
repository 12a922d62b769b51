"""Rows of the directive table: balancers, status workers and what is left over from old versions.

Values only; `directives.py` joins all rows. Rows without a version are known and refused.

Source: the Tomcat Connectors documentation "workers.properties" and mod_jk `jk_util.c`,
`jk_lb_worker.c`, `jk_status.c` for the defaults that count.
"""

from functools import partial
from typing import Final

from .values import Directive, Scope, Unit, ValueType

__all__ = ["BALANCER_ROWS"]

_FIRST: Final = "0.1"

_lb = partial(Directive, scope=Scope.LB, since=_FIRST)
_lb_bool = partial(_lb, type=ValueType.BOOL, default=False)
_lb_count = partial(_lb, type=ValueType.INT, default=2, minimum=1, is_clamped=True)
_lb_s = partial(_lb, type=ValueType.DURATION, unit=Unit.S, minimum=0, is_clamped=True)
_status = partial(Directive, scope=Scope.STATUS, since=_FIRST)
_dead = partial(Directive, scope=Scope.DEAD)

_LB: Final = (
    _lb(
        name="balance_workers",
        type=ValueType.LIST,
        doc="Names of the members, 1 to 64 workers of type ajp13, which need not be in "
        "worker.list. May be given several times; all names count. Their order decides between "
        "equals. One worker may be a member of several balancers: its connections are shared "
        "between them, where mod_jk opens some for each.",
    ),
    _lb(
        name="balanced_workers",
        type=ValueType.LIST,
        alias_of="balance_workers",
        doc="Former name of balance_workers.",
    ),
    _lb(
        name="method",
        type=ValueType.ENUM,
        default="Request",
        words=("Request", "Traffic", "Busyness", "Sessions", "Next", "P2C", "Latency"),
        whole_words=("P2C", "Latency"),
        doc="What is compared, in proportion to lbfactor, to choose a member for new work. "
        "Request: requests. Traffic: bytes in both directions. Busyness: requests under way. "
        "Sessions and Next: requests that begin a session. Of these the first letter is enough, "
        "or the number 0 to 4, as in mod_jk, which does not know the other two. P2C: requests "
        "under way, of two members drawn by lot. Latency: time to the first byte of answers.",
    ),
    _lb(
        name="lock",
        type=ValueType.ENUM,
        default="Optimistic",
        words=("Optimistic", "Pessimistic"),
        doc="Optimistic: any number of processes choose at a time, by numbers that they share; two "
        "that do so at the same moment may choose the same member. Pessimistic: one process at a "
        "time; the others wait for it, 2 ms at most.",
    ),
    _lb_bool(
        name="sticky_session",
        default=True,
        doc="Requests of a session go to the member that created it, which the route at the end "
        "of the session id tells.",
    ),
    _lb_bool(
        name="sticky_session_force",
        doc="Requests of a session are refused with 503 when their member cannot be used, and "
        "when their session id has no route of any member; otherwise they go to another one.",
    ),
    _lb(
        name="session_cookie",
        default="JSESSIONID",
        doc="Name of the cookie with the session id; its case counts. A rule of the URI map may "
        "have another.",
    ),
    _lb(
        name="session_path",
        default=";jsessionid",
        doc="Path parameter that carries the session id, with its semicolon; it counts before "
        "the cookie. A rule of the URI map may have another.",
    ),
    _lb_bool(
        name="set_session_cookie",
        doc="The balancer sets a session cookie of its own that holds nothing but the route, for "
        "applications without sessions. It would overwrite a session cookie of the container. "
        "Never sent for a balancer with one member.",
    ),
    _lb(
        name="session_cookie_path",
        default="/",
        doc="Path of the cookie of set_session_cookie. A rule of the URI map may have another, "
        "which mod_jk reads and does not use.",
    ),
    _lb_count(
        name="retries",
        doc="Rounds of one request, in each of which up to lb_retries members are tried. Only "
        "requests that may safely be sent again are. Every attempt on a member has the retries of "
        "that member besides.",
    ),
    _lb_count(
        name="lb_retries",
        doc="Most members that one request tries in one round; never more than there are.",
    ),
    _lb_s(
        name="retry_interval",
        unit=Unit.MS,
        default=100,
        doc="Milliseconds between two rounds of one request.",
    ),
    _lb_s(
        name="recover_time",
        default=60,
        minimum=1,
        doc="Seconds after its last error until a failed member is tried again with a user's "
        "request, at the next maintenance. When nobody else is left it is tried at once. Where "
        "its container is probed, a probe brings it back earlier, and each one that fails is an "
        "error; see probe.",
    ),
    _lb_s(
        name="slow_start",
        default=10,
        doc="Seconds over which a member that had failed gets its share back, from a tenth to all "
        "of it; 0 gives it everything at once. Sessions that live there go there in any case. Not "
        "known to mod_jk.",
    ),
    _lb_s(
        name="error_escalation_time",
        doc="Seconds that errors of a member are tolerated while other requests are on their way "
        "to it; 0 tolerates none. Half of recover_time when nothing is written.",
    ),
    _lb(
        name="max_reply_timeouts",
        type=ValueType.INT,
        default=0,
        minimum=0,
        is_clamped=True,
        doc="Requests that ran into reply_timeout, halved at each maintenance, that a member may "
        "have before it counts as failed.",
    ),
    _lb(
        name="secret",
        type=ValueType.SECRET,
        doc="The secret of all members that have none themselves, written in the same ways. Where "
        "such a member is in several balancers they must agree, and it has the secret as well "
        "when a rule names it directly.",
    ),
)

_STATUS: Final = (
    _status(
        name="css",
        default="",
        doc="Address of a style sheet for the status page, in place of its own.",
    ),
    _status(
        name="read_only",
        type=ValueType.BOOL,
        default=False,
        doc="The status page shows everything and changes nothing.",
    ),
    _status(
        name="user",
        type=ValueType.LIST,
        default=(),
        doc="Names of the remote users who may see the page, everybody when empty. May be given "
        "several times; all names count.",
    ),
    _status(
        name="user_case_insensitive",
        type=ValueType.BOOL,
        default=False,
        doc="The case of user names does not count.",
    ),
    _status(
        name="good",
        type=ValueType.LIST,
        doc="Which members are counted as good in the summary of a balancer: a list of "
        "activations (active, disabled, stopped), states (ok, idle, busy, recovering, error), or "
        "both with a dot, active.ok; the first letters are enough. Active members that are not in "
        "error, when nothing is written.",
    ),
    _status(
        name="bad",
        type=ValueType.LIST,
        doc="Which members are counted as bad, written as for good; it counts before good, and "
        "members in neither are degraded. Stopped ones, and those in error, when nothing is "
        "written.",
    ),
    _status(
        name="prefix",
        default="worker",
        doc="What keys in the output as properties begin with.",
    ),
    _status(
        name="ns",
        default="jk:",
        doc="What the names of elements in the output as XML begin with; - for nothing.",
    ),
    _status(
        name="xmlns",
        default='xmlns:jk="http://tomcat.apache.org"',
        doc="Attribute of the root element in the output as XML; - for none.",
    ),
    _status(
        name="doctype",
        default="",
        doc="Text behind the XML declaration in the output as XML.",
    ),
)

_JNI: Final = "Part of the JNI worker, which mod_jk lost long ago. Ignored, as mod_jk does."

_DEAD: Final = (
    _dead(
        name="recycle_timeout",
        doc="Once closed connections that had been in use for long. Ignored, as mod_jk does.",
    ),
    _dead(
        name="local_worker",
        doc="Once preferred a member; distance does that now. Ignored, as mod_jk does.",
    ),
    _dead(
        name="local_worker_only",
        doc="Once kept work from other members; see distance. Ignored, as mod_jk does.",
    ),
    _dead(
        name="secretkey",
        type=ValueType.SECRET,
        doc="Login key of ajp14, without effect on ajp13, whose directive is secret. Ignored, as "
        "mod_jk does.",
    ),
    *(
        _dead(name=name, doc=_JNI)
        for name in (
            "sysprops",
            "stderr",
            "stdout",
            "mx",
            "ms",
            "class_path",
            "bridge",
            "jvm_lib",
            "ld_path",
            "cmd_line",
            "native_lib",
        )
    ),
)

BALANCER_ROWS: Final[tuple[Directive, ...]] = (*_LB, *_STATUS, *_DEAD)
