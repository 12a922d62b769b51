"""Rows of the directive table: balancers, status workers and what is left over from old versions.

Values only; `directives.py` joins all rows. This version knows these names and refuses them.

Source: the Tomcat Connectors documentation "workers.properties" and mod_jk `jk_util.c`,
`jk_lb_worker.c`, `jk_status.c` for the defaults that count.
"""

from functools import partial
from typing import Final

from .values import Directive, Scope, Unit, ValueType

__all__ = ["BALANCER_ROWS"]

_lb = partial(Directive, scope=Scope.LB)
_lb_bool = partial(_lb, type=ValueType.BOOL, default=False)
_lb_count = partial(_lb, type=ValueType.INT, default=2, minimum=1, is_clamped=True)
_lb_s = partial(_lb, type=ValueType.DURATION, unit=Unit.S, minimum=0, is_clamped=True)
_status = partial(Directive, scope=Scope.STATUS)
_dead = partial(Directive, scope=Scope.DEAD)

_LB: Final = (
    _lb(
        name="balance_workers",
        type=ValueType.LIST,
        doc="Names of the members. May be given several times; all names count.",
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
        words=("Request", "Traffic", "Busyness", "Sessions", "Next"),
        doc="What is compared, in proportion to lbfactor, to choose a member: requests, bytes, "
        "requests in progress, new sessions; or simply the next one.",
    ),
    _lb(
        name="lock",
        type=ValueType.ENUM,
        default="Optimistic",
        words=("Optimistic", "Pessimistic"),
        doc="Whether choosing a member is one step for all processes (Pessimistic) or not.",
    ),
    _lb_bool(
        name="sticky_session",
        default=True,
        doc="Requests of a session go to the member that created it.",
    ),
    _lb_bool(
        name="sticky_session_force",
        doc="Requests of a session are refused with 503 when their member cannot be used.",
    ),
    _lb(name="session_cookie", default="JSESSIONID", doc="Name of the session cookie."),
    _lb(
        name="session_path",
        default=";jsessionid",
        doc="Path parameter that carries the session id, with its semicolon.",
    ),
    _lb_bool(
        name="set_session_cookie",
        doc="The balancer sets a cookie of its own that carries the route.",
    ),
    _lb(name="session_cookie_path", default="/", doc="Path of the cookie of set_session_cookie."),
    _lb_count(name="retries", doc="How often all members are tried."),
    _lb_count(name="lb_retries", doc="Most members that are tried in one round."),
    _lb_s(
        name="retry_interval",
        unit=Unit.MS,
        default=100,
        doc="Milliseconds between two rounds of trying.",
    ),
    _lb_s(
        name="recover_time",
        default=60,
        minimum=1,
        doc="Seconds after its last error until a member is tried again.",
    ),
    _lb_s(
        name="error_escalation_time",
        doc="Seconds that errors of a member count as passing. Half of recover_time when "
        "nothing is written.",
    ),
    _lb(
        name="max_reply_timeouts",
        type=ValueType.INT,
        default=0,
        minimum=0,
        is_clamped=True,
        doc="Reply timeouts a member may have, decaying over time, before it counts as failed.",
    ),
    _lb(
        name="secret",
        type=ValueType.SECRET,
        doc="The secret of all members that have none themselves.",
    ),
)

_STATUS: Final = (
    _status(name="css", doc="Address of a style sheet for the status page."),
    _status(
        name="read_only",
        type=ValueType.BOOL,
        default=False,
        doc="The status page shows and changes nothing.",
    ),
    _status(
        name="user",
        type=ValueType.LIST,
        default=(),
        doc="Names of the users who may see the page; everybody when empty.",
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
        doc="States of members that make a balancer count as good.",
    ),
    _status(
        name="bad", type=ValueType.LIST, doc="States of members that make a balancer count as bad."
    ),
    _status(name="prefix", default="worker", doc="Begin of the keys in the output as properties."),
    _status(name="ns", default="jk:", doc="Name space prefix of elements in the output as XML."),
    _status(
        name="xmlns",
        default='xmlns:jk="http://tomcat.apache.org"',
        doc="Name space attribute of the root element in the output as XML.",
    ),
    _status(name="doctype", doc="Text behind the XML declaration in the output as XML."),
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
