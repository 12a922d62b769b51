"""Parameters of ProxyPass, BalancerMember and ProxySet → directives of workers.

Source: httpd `modules/proxy/mod_proxy.c` (set_worker_param, set_balancer_param) and
`mod_proxy_hcheck.c`.
"""

from collections.abc import Callable, Mapping
from typing import Final

from ajpd.config.directives import worker_directive
from ajpd.config.values import BadValue, read_toml

from .draft import Parameters, Scalar, Setting
from .proxy import milliseconds
from .remarks import Remarks

__all__ = ["Settings", "balancer_settings", "container_settings", "duration", "is_set", "put"]

Settings = dict[str, Setting]

_METHODS: Final = {
    "byrequests": "Request",
    "bytraffic": "Traffic",
    "bybusyness": "Busyness",
    "heartbeat": "Busyness",
}
_ALWAYS: Final = "ajpd never holds anything back"
_WITH_BALANCER: Final = frozenset(("lbmethod", "stickysession", "nofailover", "maxattempts"))
#: Nothing has to be done for these.
_NOTES: Final[Mapping[str, str]] = {
    "min": "connections are opened when they are needed",
    "flushpackets": _ALWAYS,
    "flushwait": _ALWAYS,
    "iobuffersize": "the size of packets is max_packet_size",
    "responsefieldsize": "headers of an answer must fit into max_packet_size",
    "growth": "members are added by a reload",
    "nonce": "the page of the status worker has a token of its own",
    "forcerecovery": "when nobody else is left a failed member is tried at once",
    "failontimeout": "a member that runs into reply_timeout has failed, see max_reply_timeouts",
    "scolonpathdelim": "path parameters are found by their semicolon",
    "interpolate": "there is no environment of Apache here",
    "noquery": "the query is handed on",
    "nocanon": "see forward_uri in [server]",
    "addressttl": "a name is resolved for every new connection",
    "upgrade": "AJP has no WebSocket",
    "enablereuse": "connections are kept",
    "hcpasses": "one good probe brings a member back, slowly, see slow_start",
    "hcfails": "one bad probe makes a member fail",
}
_WARNINGS: Final[Mapping[str, str]] = {
    "disablereuse": "connections are kept; connection_pool_timeout closes idle ones",
    "stickysessionsep": "a route begins behind the first dot of a session id, as Tomcat writes it",
    "hcexpr": "what counts is the status of the answer, see probe_status",
}


def is_set(setting: Setting) -> bool:
    """A parameter that is a switch is on."""
    return str(setting.value).lower() in ("on", "1", "true", "yes")


def put(
    settings: Settings, kind: str, name: str, value: Scalar, said: Setting, remarks: Remarks
) -> None:
    """Keep the value of a directive, if it is a good one."""
    directive = worker_directive(kind, name)
    if directive is None:
        raise AssertionError(f"{name} means nothing for {kind}")
    try:
        read_toml(directive, value)
    except BadValue as exc:
        if said.place is not None:
            remarks.error(said.place, said.directive, f"as {name} here: {exc}", "mend it")
        return
    settings[name] = Setting(value=value, place=said.place, directive=said.directive)


def container_settings(parameters: Parameters, remarks: Remarks) -> Settings:
    """What parameters of a container are as directives of a worker."""
    return _Container(parameters, remarks).settings()


class _Container:
    """Takes parameters of one container."""

    def __init__(self, parameters: Parameters, remarks: Remarks) -> None:
        self._parameters = parameters
        self._remarks = remarks
        self._settings: Settings = {}

    def settings(self) -> Settings:
        for name, said in self._parameters.items():
            self._take(name, str(said.value), said)
        return self._settings

    def _put(self, name: str, value: Scalar, said: Setting) -> None:
        put(self._settings, "ajp13", name, value, said, self._remarks)

    def _take(self, name: str, value: str, said: Setting) -> None:
        match name:
            case "secret" | "route" | "redirect":
                self._put(name, value, said)
            case "timeout" | "connectiontimeout" | "ping" | "ttl" | "acquire":
                self._time(name, value, said)
            case "max" | "smax" | "receivebuffersize" | "lbset":
                self._number(name, value, said)
            case "keepalive":
                self._put("socket_keepalive", is_set(said), said)
            case "status":
                self._status(value, said)
            case "hcmethod" | "hcuri" | "hcinterval":
                self._probe(name, value, said)
            case "loadfactor" | "retry":
                pass  # of members, see containers.py; a single container is never left out
            case _ if name in _NOTES:
                self._say_note(name, said)
            case _ if name in _WARNINGS:
                self._warn(name, said, _WARNINGS[name])
            case _ if name in _WITH_BALANCER:
                self._warn(name, said, "it means something for balancers only, in Apache too")
            case _:
                self._warn(name, said, "it is not known, and left out")

    def _say_note(self, name: str, said: Setting) -> None:
        if said.place is not None:
            self._remarks.note(said.place, f"{said.directive} {name}=", _NOTES[name])

    def _warn(self, name: str, said: Setting, reason: str) -> None:
        if said.place is not None:
            self._remarks.warn(said.place, f"{said.directive} {name}=", reason)

    def _time(self, name: str, value: str, said: Setting) -> None:
        time_ms = milliseconds(value, "ms" if name == "acquire" else "s")
        if time_ms is None:
            self._warn(name, said, f"{value} is no time, and left out")
            return
        targets = {
            "timeout": ("reply_timeout",),
            "connectiontimeout": ("socket_connect_timeout",),
            "ping": ("connect_timeout", "prepost_timeout"),
            "ttl": ("connection_pool_timeout",),
            "acquire": ("connection_acquire_timeout",),
        }
        for target in targets[name]:
            self._put(target, duration(time_ms), said)

    def _number(self, name: str, value: str, said: Setting) -> None:
        targets = {
            "max": "connection_pool_size",
            "smax": "connection_pool_minsize",
            "receivebuffersize": "socket_buffer",
            "lbset": "distance",
        }
        if not value.isdecimal() or len(value) > 9:
            self._warn(name, said, f"{value} is no number, and left out")
        elif int(value) or name != "max":
            self._put(targets[name], int(value), said)

    def _status(self, value: str, said: Setting) -> None:
        """Letters behind + and -: a member that is off, in reserve, or being drained.

        H and R are for `containers.py`, which knows the other members.
        """
        is_on = True
        for letter in value.upper():
            if letter in "+-":
                is_on = letter == "+"
            elif letter in ("D", "S") and is_on:
                self._put("activation", "Stopped", said)
            elif letter == "N" and is_on:
                self._put("activation", "Disabled", said)
            elif letter == "I" and is_on:
                self._warn("status", said, "I: a member whose errors do not count is not known")
            elif letter not in "DSNIHREC":
                self._warn("status", said, f"{letter} is not known, and left out")

    def _probe(self, name: str, value: str, said: Setting) -> None:
        method = str(self._parameters["hcmethod"].value).upper() if self._asks else ""
        if name == "hcinterval":
            time_ms = milliseconds(value)
            if time_ms is None:
                self._warn(name, said, f"{value} is no time, and left out")
            else:
                self._put("probe_interval", duration(max(time_ms, 100)), said)
        elif name == "hcuri" and method in ("", "GET", "GET11", "HEAD", "HEAD11", "OPTIONS"):
            verb = method.removesuffix("11")
            self._put("probe_uri", value if verb in ("", "GET") else f"{verb} {value}", said)
        elif name == "hcmethod" and method in ("TCP", "CPING"):
            self._put("probe", "cping", said)

    @property
    def _asks(self) -> bool:
        return "hcmethod" in self._parameters


def duration(time_ms: int) -> str:
    """As ajpd.toml writes it."""
    if time_ms == 0:
        return "0"
    return f"{time_ms // 1000}s" if time_ms % 1000 == 0 else f"{time_ms}ms"


def balancer_settings(parameters: Parameters, remarks: Remarks) -> Settings:
    """What parameters of a balancer are as directives of one here."""
    settings: Settings = {}

    def keep(name: str, value: Scalar, said: Setting) -> None:
        put(settings, "lb", name, value, said, remarks)

    for name, said in parameters.items():
        value = str(said.value)
        match name:
            case "lbmethod" if value in _METHODS:
                keep("method", _METHODS[value], said)
            case "lbmethod":
                _warn(remarks, name, said, f"{value} is not known here: requests are compared")
            case "stickysession" if value.strip():
                _sticky(value, said, keep, remarks)
            case "nofailover":
                keep("sticky_session_force", is_set(said), said)
            case "maxattempts" if value.isdecimal() and len(value) < 10:
                keep("lb_retries", int(value) + 1, said)
            case "timeout":
                _note(remarks, name, said, "how long to wait for a connection is up to members")
            case "failonstatus":
                pass  # a directive of members here, see containers.py
            case _ if name in _NOTES:
                _note(remarks, name, said, _NOTES[name])
            case _ if name in _WARNINGS:
                _warn(remarks, name, said, _WARNINGS[name])
            case _:
                _warn(remarks, name, said, "it is not known for a balancer, and left out")
    if "session_cookie" not in settings:
        # A balancer of mod_proxy keeps sessions together only when it is told how.
        settings["sticky_session"] = Setting(value=False)
    return settings


def _sticky(
    value: str, said: Setting, keep: Callable[[str, Scalar, Setting], None], remarks: Remarks
) -> None:
    cookie, _, path = value.partition("|")
    path = (path or cookie).removeprefix(";")
    keep("session_cookie", cookie, said)
    if path != "jsessionid":
        keep("session_path", f";{path}", said)
    if cookie == "jsessionid":
        _warn(
            remarks,
            "stickysession",
            said,
            "Tomcat's cookie is JSESSIONID and their case counts, so sessions in cookies are not "
            "kept together, in Apache neither; take session_cookie away",
        )
    elif path == "JSESSIONID":
        _warn(
            remarks,
            "stickysession",
            said,
            "Tomcat writes ;jsessionid into paths and their case counts, so sessions in paths are "
            "not kept together, in Apache neither; take session_path away",
        )


def _warn(remarks: Remarks, name: str, said: Setting, reason: str) -> None:
    if said.place is not None:
        remarks.warn(said.place, f"{said.directive} {name}=", reason)


def _note(remarks: Remarks, name: str, said: Setting, reason: str) -> None:
    if said.place is not None:
        remarks.note(said.place, f"{said.directive} {name}=", reason)
