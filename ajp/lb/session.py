"""Which session a request belongs to: ids out of a path parameter or cookies, and their routes.

Bytes in, plain values out. What a route means (which member has it, may that one be used) must not
be added: the balancer knows.

Source: Tomcat Connectors documentation "workers.properties" (session_cookie, session_path) and
mod_jk `jk_lb_worker.c` `get_sessionid`, `get_cookie`, `get_path_param`.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

__all__ = ["Session", "find_session"]

#: What ends a session id in a path, besides the query.
_PATH_END: Final = re.compile(rb"[;/]")
_BEFORE_NAME: Final = b";, \t"
_QUOTE: Final = ord('"')


class Session(NamedTuple):
    """The session a request says it belongs to.

    Attributes:
        ids: session ids as they came, in the order they are tried; never empty, none is empty.
        routes: text behind the first dot of each id that has some, in the same order.
    """

    ids: tuple[bytes, ...]
    routes: tuple[bytes, ...]

    @classmethod
    def of_route(cls, route: bytes) -> "Session":
        """A session that names a member and nothing else, as an administrator's JK_ROUTE does."""
        return cls((b"." + route,), (route,) if route else ())

    @classmethod
    def of_ids(cls, ids: Iterable[bytes]) -> "Session | None":
        """A session out of ids, in the order they shall be tried; None when all are empty.

        A route may hold dots itself (`id.domain.node`): the first dot of the id counts.
        """
        found = tuple(dict.fromkeys(filter(None, ids)))
        if not found:
            return None
        routes = [session_id.partition(b".")[2] for session_id in found]
        return cls(found, tuple(filter(None, routes)))

    @classmethod
    def of_id(cls, session_id: bytes) -> "Session":
        """A session out of the one id there is."""
        route = session_id.partition(b".")[2]
        return cls((session_id,), (route,) if route else ())


def find_session(
    path: bytes,
    cookies: Iterable[bytes] = (),
    *,
    session_cookie: bytes = b"JSESSIONID",
    session_path: bytes = b";jsessionid",
) -> Session | None:
    """Find the session of a request.

    Args:
        path: path as it is forwarded; a query behind it is not searched.
        cookies: values of all Cookie headers, in order.
        session_cookie: name of the cookie; its case counts.
        session_path: name of the path parameter with its semicolon; its case counts.

    Returns:
        The session of the path parameter; else that of all cookies of the name together, since a
        browser sends one for each path that has one; None when there is neither.

    Source:
        workers.properties `session_cookie`, `session_path`; mod_jk `get_sessionid`. Nothing is
        percent-decoded there or here. Differs: an empty path parameter hides no cookie; white
        space around a cookie's value is no part of it.
    """
    session_id = _from_path(path, session_path)
    if session_id:
        return Session.of_id(session_id)
    found: list[bytes] = []
    for header in cookies:
        at = header.find(session_cookie)
        while at >= 0:
            found += _cookie_value(header, at, at + len(session_cookie))
            at = header.find(session_cookie, at + 1)
    if len(found) == 1 and found[0]:
        return Session.of_id(found[0])
    return Session.of_ids(found) if found else None


def _from_path(path: bytes, name: bytes) -> bytes:
    """First value of a path parameter that has one, in any segment; empty when there is none."""
    at = path.find(name) if name else -1
    if at < 0:
        return b""
    path = path.partition(b"?")[0]
    wanted = name + b"="
    at = path.find(wanted, at)
    while at >= 0:
        begin = at + len(wanted)
        value = _PATH_END.split(path[begin:], maxsplit=1)[0]
        if value:
            return value
        at = path.find(wanted, begin)
    return b""


def _cookie_value(header: bytes, begin: int, end: int) -> list[bytes]:
    """Value of the cookie whose name is there; none when the place is no cookie's name."""
    if begin and header[begin - 1] not in _BEFORE_NAME:
        return []
    equals = header.find(b"=", end)
    if equals < 0 or (equals > end and header[end:equals].strip()):
        return []
    value = header[equals + 1 :].partition(b";")[0].partition(b",")[0].strip()
    if len(value) >= 2 and value[0] == value[-1] == _QUOTE:
        return [value[1:-1]]
    return [value]
