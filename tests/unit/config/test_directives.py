import pytest

from ajp.lb import Method
from ajpd.config.directives import (
    DIRECTIVES,
    WORKER_SCOPES,
    in_scope,
    known_scopes,
    lookup,
    suggest_in,
    worker_directive,
)
from ajpd.config.properties import LIST_ATTRIBUTES
from ajpd.config.values import (
    BadValue,
    Directive,
    Scope,
    Unit,
    ValueType,
    default_of,
    read_toml,
)

#: Everything mod_jk accepts behind `worker.NAME.`, and `worker.list`, `worker.maintain`.
MOD_JK = [
    "list",
    "maintain",
    "type",
    "reference",
    "mount",
    "host",
    "port",
    "source",
    "prefer_ipv6",
    "socket_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_buffer",
    "connection_pool_size",
    "connection_pool_minsize",
    "connection_pool_timeout",
    "connection_acquire_timeout",
    "connection_ping_interval",
    "ping_mode",
    "ping_timeout",
    "connect_timeout",
    "prepost_timeout",
    "reply_timeout",
    "retries",
    "retry_interval",
    "retry_interval",
    "recovery_options",
    "fail_on_status",
    "busy_limit",
    "max_packet_size",
    "secret",
    "secretkey",
    "lbfactor",
    "distance",
    "route",
    "jvm_route",
    "domain",
    "redirect",
    "activation",
    "disabled",
    "stopped",
    "balance_workers",
    "balanced_workers",
    "method",
    "lock",
    "sticky_session",
    "sticky_session_force",
    "session_cookie",
    "session_path",
    "set_session_cookie",
    "session_cookie_path",
    "lb_retries",
    "recover_time",
    "error_escalation_time",
    "max_reply_timeouts",
    "css",
    "read_only",
    "user",
    "user_case_insensitive",
    "good",
    "bad",
    "prefix",
    "ns",
    "xmlns",
    "doctype",
    "cachesize",
    "cache_timeout",
    "recycle_timeout",
    "local_worker",
    "local_worker_only",
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
]

#: What mod_jk does not know.
OURS = [
    "replay_buffer",
    "probe",
    "probe_interval",
    "probe_timeout",
    "probe_uri",
    "probe_status",
    "freeze_timeout",
    "slow_start",
]

SUPPORTED = [
    *OURS,
    "list",
    "source",
    "socket_timeout",
    "socket_buffer",
    "connection_ping_interval",
    "recovery_options",
    "fail_on_status",
    "busy_limit",
    "retry_interval",
    "maintain",
    "type",
    "reference",
    "mount",
    "host",
    "port",
    "secret",
    "max_packet_size",
    "connection_pool_size",
    "connection_pool_minsize",
    "connection_pool_timeout",
    "connection_acquire_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "prefer_ipv6",
    "connect_timeout",
    "prepost_timeout",
    "ping_mode",
    "ping_timeout",
    "reply_timeout",
    "retries",
    "cachesize",
    "cache_timeout",
    "lbfactor",
    "distance",
    "route",
    "jvm_route",
    "domain",
    "redirect",
    "activation",
    "disabled",
    "stopped",
    "balance_workers",
    "balanced_workers",
    "method",
    "lock",
    "sticky_session",
    "sticky_session_force",
    "session_cookie",
    "session_path",
    "set_session_cookie",
    "session_cookie_path",
    "lb_retries",
    "recover_time",
    "error_escalation_time",
    "max_reply_timeouts",
    "css",
    "read_only",
    "user",
    "user_case_insensitive",
    "good",
    "bad",
    "prefix",
    "ns",
    "xmlns",
    "doctype",
]


def test_every_directive_of_mod_jk_has_a_row() -> None:
    rows = {
        row.name for scope in (Scope.GLOBAL, *WORKER_SCOPES) for row in in_scope(scope).values()
    }
    assert rows == {*MOD_JK, *OURS}


def test_what_is_supported() -> None:
    rows = [row for scope in (Scope.GLOBAL, *WORKER_SCOPES) for row in in_scope(scope).values()]
    assert {row.name for row in rows if row.supported} == set(SUPPORTED)
    # Nothing that is written for these would be passed over in silence.
    for scope in (Scope.AJP, Scope.MEMBER, Scope.LB, Scope.STATUS):
        assert all(row.supported for row in in_scope(scope).values())


def test_list_attributes_agree_with_the_table() -> None:
    lists = {
        row.name
        for scope in (Scope.GLOBAL, *WORKER_SCOPES)
        for row in in_scope(scope).values()
        if row.type in (ValueType.LIST, ValueType.INT_LIST)
    }
    assert lists == LIST_ATTRIBUTES


@pytest.mark.parametrize("row", DIRECTIVES, ids=lambda row: f"{row.scope}-{row.name}")
def test_rows_are_sound(row: Directive) -> None:
    assert row.doc.endswith(".")
    assert "  " not in row.doc
    assert (row.unit in (Unit.S, Unit.MS)) == (row.type is ValueType.DURATION)
    if row.type is not ValueType.INT:  # may have words in place of a number
        worded = (ValueType.WORD, ValueType.ENUM, ValueType.LETTERS)
        assert bool(row.words) == (row.type in worded)
    if row.alias_of:
        assert row.alias_of in in_scope(row.scope)
    if row.default is not None and row.default != ():
        default = list(row.default) if isinstance(row.default, tuple) else row.default
        assert read_toml(row, default).value == default_of(row)
        assert not read_toml(row, default).remark
    if row.is_clamped:
        assert row.minimum is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "localhost"),
        ("port", 8009),
        ("max_packet_size", 8192),
        ("connection_pool_size", 256),
        ("connection_pool_timeout", 0),
        ("connection_acquire_timeout", 5000),
        ("socket_connect_timeout", 2000),
        ("socket_keepalive", False),
        ("connect_timeout", 2000),
        ("prepost_timeout", 2000),
        ("ping_timeout", 10_000),
        ("reply_timeout", 0),
        ("retries", 2),
        ("retry_interval", 100),
        ("socket_timeout", 0),
        ("socket_buffer", 0),
        ("source", ""),
        ("connection_ping_interval", 0),
        ("fail_on_status", ()),
        ("busy_limit", 0),
        ("replay_buffer", 0),
    ],
)
def test_defaults(name: str, value: object) -> None:
    assert default_of(lookup(Scope.AJP, name)) == value


@pytest.mark.parametrize(
    ("scope", "name", "value"),
    [
        (Scope.MEMBER, "lbfactor", 1),
        (Scope.MEMBER, "distance", 0),
        (Scope.MEMBER, "redirect", ""),
        (Scope.MEMBER, "activation", "Active"),
        (Scope.LB, "method", "Request"),
        (Scope.LB, "lock", "Optimistic"),
        (Scope.LB, "sticky_session", True),
        (Scope.LB, "sticky_session_force", False),
        (Scope.LB, "session_cookie", "JSESSIONID"),
        (Scope.LB, "session_path", ";jsessionid"),
        (Scope.LB, "set_session_cookie", False),
        (Scope.LB, "session_cookie_path", "/"),
        (Scope.LB, "retries", 2),
        (Scope.LB, "lb_retries", 2),
        (Scope.LB, "retry_interval", 100),
        (Scope.LB, "recover_time", 60_000),
        (Scope.LB, "max_reply_timeouts", 0),
        (Scope.GLOBAL, "maintain", 60_000),
    ],
)
def test_defaults_of_balancers(scope: Scope, name: str, value: object) -> None:
    assert default_of(lookup(scope, name)) == value


def test_the_methods_are_those_of_the_library() -> None:
    row = lookup(Scope.LB, "method")
    assert row.words == tuple(Method)
    assert row.whole_words == tuple(method for method in Method if method.number > 4)


def test_prepost_timeout_tells_when_it_applies() -> None:
    assert "idle for more than a second" in lookup(Scope.AJP, "prepost_timeout").doc


def test_one_name_in_two_scopes() -> None:
    assert known_scopes("retries") == (Scope.AJP, Scope.LB)
    assert known_scopes("none") == ()
    ajp, balancer = worker_directive("ajp13", "retries"), worker_directive("lb", "retries")
    assert ajp is not None
    assert balancer is not None
    assert (ajp.scope, balancer.scope) == (Scope.AJP, Scope.LB)
    assert worker_directive("ajp13", "css") is None
    assert worker_directive("status", "css") is lookup(Scope.STATUS, "css")


def test_suggestions_stay_in_their_scopes() -> None:
    assert suggest_in("sticky_sesion", WORKER_SCOPES) == "sticky_session"
    assert suggest_in("sticky_sesion", (Scope.SERVER,)) == ""
    assert suggest_in("lisen", (Scope.SERVER,)) == "listen"


def test_lookup_of_nothing() -> None:
    with pytest.raises(KeyError):
        lookup(Scope.AJP, "css")


def test_bad_value_is_a_value_error() -> None:
    assert issubclass(BadValue, ValueError)
