"""Which member of a balancer gets a request, as its container sees it."""

import asyncio
from typing import Any

import pytest

from ajp.lb import Activation, Method, State
from tests.faults.cluster import Cluster, cluster, named, overrides, route_of, rule, session
from tests.faults.container import (
    Container,
    cut,
    delay,
    read_body,
    respond,
    send,
    wait,
    whole,
)
from tests.faults.stage import Response, eventually, get, post, reasons

NO_ROUTE = b"Cookie: JSESSIONID=abc"


def members(count: int = 2, *first: Any) -> list[Container]:
    """Containers that say their name; the scripts given come first, on all of them."""
    return [Container(*first, respond(b"abcdefgh"[at : at + 1])) for at in range(count)]


async def names(s: Cluster, count: int, *lines: bytes, path: bytes = b"/x") -> str:
    """Who answers so many requests, one after the other."""
    client = await s.connect()
    return "".join([(await client.ask(get(path, *lines))).body.decode() for _ in range(count)])


def factors(*numbers: int) -> list[dict[str, Any]]:
    return [{"lbfactor": number} for number in numbers]


# --- methods --------------------------------------------------------------------------------------


async def test_requests_by_their_factors() -> None:
    """Factors 1, 2, 3: of six requests each gets as many; equals take turns."""
    async with cluster(*members(3), members=factors(1, 2, 3)) as s:
        assert await names(s, 12) == "abccbc" * 2
        assert [record.value for record in s.balancer.records] == [12, 12, 12]
        assert [record.elected for record in s.balancer.records] == [2, 4, 6]


async def test_requests_of_a_session_count_with_the_method_request() -> None:
    async with cluster(*members()) as s:
        assert await names(s, 3, session(b"a")) == "aaa"
        assert await names(s, 4) == "bbba"


def counted_sessions(s: Cluster) -> list[int]:
    return [slot.totals()["sessions"] for slot in s.process.ledger.members["lb"]]


@pytest.mark.parametrize("method", [Method.SESSIONS, Method.NEXT])
async def test_new_sessions_by_their_factors(method: Method) -> None:
    async with cluster(*members(3), members=factors(1, 2, 3), balancer={"method": method}) as s:
        assert await names(s, 3, session(b"a")) == "aaa"
        assert await names(s, 2, session(b"b")) == "bb"
        assert await names(s, 6) == "abccbc"
        # An id without a route is a session too: nobody is charged for it.
        values = [record.value for record in s.balancer.records]
        assert values == [6, 6, 6]
        await names(s, 2, NO_ROUTE)
        assert [record.value for record in s.balancer.records] == values
        assert [record.sessions for record in s.balancer.records] == [1, 2, 3]
        assert counted_sessions(s) == [1, 2, 3]
        # A reset takes nothing of what is counted.
        for slot in s.process.ledger.members["lb"]:
            slot.reset()
        assert counted_sessions(s) == [1, 2, 3]


async def test_next_takes_away_what_the_least_usable_member_has() -> None:
    async with cluster(*members(), balancer={"method": Method.NEXT}) as s:
        s.balancer.records[0].value, s.balancer.records[1].value = 10, 9
        s.later(61)
        assert [record.value for record in s.balancer.records] == [1, 0]
        assert await names(s, 3) == "bab"


async def test_traffic() -> None:
    """Who sent much gets nothing until the others have caught up."""
    a, b = Container(respond(b"a" * 5000)), Container(respond(b"b" * 1000))
    async with cluster(a, b, balancer={"method": Method.TRAFFIC}) as s:
        client = await s.connect()
        found = [(await client.ask(get(b"/x"))).body[:1] for _ in range(6)]
        assert b"".join(found) == b"abbbbb"
        # 4 + 1 + 2 + 1 of a body chunk, and about 200 of heads and the request.
        assert 5000 < s.balancer.records[0].value < 5400
        assert 5 * 1000 < s.balancer.records[1].value < 5 * 1400


@pytest.mark.parametrize(
    ("method", "order"), [(Method.BUSYNESS, "abbabb"), (Method.REQUEST, "abbabb")]
)
async def test_requests_that_stay(method: Method, order: str) -> None:
    """With factors 1 and 2, whoever has least to do gets the next one."""
    go = asyncio.Event()
    script = [read_body, wait(go), send(whole())]
    containers = [Container(script), Container(script)]
    async with cluster(*containers, members=factors(1, 2), balancer={"method": method}) as s:
        found, clients = "", []
        for _ in order:
            before = s.executions
            clients.append(await s.connect())
            await clients[-1].send(get(b"/x"))
            await eventually(lambda before=before: s.executions != before)
            found += "a" if s.executions[0] > before[0] else "b"
        assert found == order
        assert s.in_flight == [2, 4]
        go.set()
        for client in clients:
            await client.response()
        assert s.in_flight == [0, 0]


@pytest.mark.parametrize("method", [Method.BUSYNESS, Method.P2C, Method.LATENCY])
async def test_a_member_that_has_something_to_do_gets_nothing_more(method: Method) -> None:
    go = asyncio.Event()
    a, b = Container([read_body, wait(go), *respond(b"a")[1:]], respond(b"a")), Container()
    async with cluster(a, b, balancer={"method": method}) as s:
        # For Latency a member that never answered is the fastest.
        first = await s.connect()
        await first.send(get(b"/x", session(b"a")))
        await eventually(lambda: a.executions == 1)
        assert await names(s, 5) == "fine" * 5
        go.set()
        assert (await first.response()).body == b"a"
        assert a.executions == 1


async def test_latency_prefers_who_answers_fast() -> None:
    slow = Container([read_body, delay(0.05), send(whole(b"a"))])
    async with cluster(slow, members()[1], balancer={"method": Method.LATENCY}) as s:
        assert await names(s, 6) == "abbbbb"
        assert s.balancer.records[0].latency >= 0.05


async def test_a_member_that_never_answered_has_no_latency() -> None:
    """A failure is not the fastest of all answers."""
    async with cluster(None, members()[1], balancer={"method": Method.LATENCY}) as s:
        assert (await s.ask(get(b"/x", session(b"a")))).body == b"b"
        assert s.states == "ERR OK"
        assert s.balancer.records[0].latency == 0.0


async def test_bytes_count_for_the_member_they_went_to() -> None:
    """Nothing was said to the second one."""
    async with cluster(Container([read_body, cut]), None, balancer={"method": Method.TRAFFIC}) as s:
        assert (await s.ask(get(b"/x", session(b"a"), b"X: " + b"v" * 500))).status in (502, 503)
        assert s.balancer.records[0].value > 500
        assert s.balancer.records[1].value == 0


async def test_distance() -> None:
    distances = [{"distance": 2}, {"distance": 1}, {"distance": 1}]
    async with cluster(*members(3), members=distances) as s:
        assert await names(s, 4) == "bcbc"
        assert await names(s, 1, session(b"a")) == "a"
        s.set_state(1, State.ERROR)
        assert await names(s, 2) == "cc"
        s.set_state(2, State.ERROR)
        assert await names(s, 2) == "aa"


# --- sessions -------------------------------------------------------------------------------------

FOUND: dict[str, tuple[bytes, ...]] = {
    "cookie": (b"/x", b"Cookie: JSESSIONID=abc.b"),
    "quoted": (b"/x", b'Cookie: JSESSIONID="abc.b"'),
    "among others": (b"/x", b"Cookie: a=1; JSESSIONID=abc.b; c=2"),
    "blanks": (b"/x", b"Cookie: JSESSIONID = abc.b "),
    "comma": (b"/x", b"Cookie: a=1,JSESSIONID=abc.b,c=2"),
    "second header": (b"/x", b"Cookie: a=1", b"Cookie: JSESSIONID=abc.b"),
    "header in lower case": (b"/x", b"cookie: JSESSIONID=abc.b"),
    "several, one known": (b"/x", b"Cookie: JSESSIONID=abc.z; JSESSIONID=abc.b"),
    "several, one in each header": (b"/x", b"Cookie: JSESSIONID=1", b"Cookie: JSESSIONID=abc.b"),
    "an empty one first": (b"/x", b"Cookie: JSESSIONID=; JSESSIONID=abc.b"),
    "several, the first counts": (b"/x", b"Cookie: JSESSIONID=abc.b; JSESSIONID=abc.c"),
    "path": (b"/x;jsessionid=abc.b",),
    "path and query": (b"/x;jsessionid=abc.b?q;jsessionid=abc.c",),
    "path in the middle": (b"/x;jsessionid=abc.b/y",),
    "path among parameters": (b"/x;v=1;jsessionid=abc.b;w=2",),
    "path before cookie": (b"/x;jsessionid=abc.b", b"Cookie: JSESSIONID=abc.c"),
    "empty path parameter": (b"/x;jsessionid=", b"Cookie: JSESSIONID=abc.b"),
    "path of a name that is longer": (b"/x;jsessionids=abc.c", b"Cookie: JSESSIONID=abc.b"),
}
NOT_FOUND: dict[str, tuple[bytes, ...]] = {
    "other case": (b"/x", b"Cookie: jsessionid=abc.b"),
    "longer name": (b"/x", b"Cookie: XJSESSIONID=abc.b; JSESSIONIDX=abc.b"),
    "case of the path": (b"/x;JSESSIONID=abc.b",),
    "query": (b"/x?;jsessionid=abc.b",),
    "no dot": (b"/x", b"Cookie: JSESSIONID=abcb"),
    "unknown": (b"/x", b"Cookie: JSESSIONID=abc.zz"),
    "first dot counts": (b"/x", b"Cookie: JSESSIONID=abc.x.b"),
    "other case of the route": (b"/x", b"Cookie: JSESSIONID=abc.B"),
}


@pytest.mark.parametrize("request_parts", FOUND.values(), ids=FOUND)
async def test_sessions_that_are_found(request_parts: tuple[bytes, ...]) -> None:
    path, *lines = request_parts
    async with cluster(*members(3)) as s:
        # Twice: once remembered by its cookie.
        assert await names(s, 2, *lines, path=path) == "bb"
        assert [route_of(head) for head in s.heads(1)] == [b"b", b"b"]
        # The container gets its cookies and path as they are.
        head = s.heads(1)[0]
        assert head.uri == path.partition(b"?")[0]
        assert len([name for name, _ in head.headers if name.lower() == b"cookie"]) == len(lines)


@pytest.mark.parametrize("request_parts", NOT_FOUND.values(), ids=NOT_FOUND)
async def test_sessions_that_are_not_found(request_parts: tuple[bytes, ...]) -> None:
    path, *lines = request_parts
    async with cluster(*members(3)) as s:
        assert await names(s, 3, *lines, path=path) == "abc"


async def test_names_that_the_balancer_sets() -> None:
    names_of = {"session_cookie": "SID", "session_path": ";sid"}
    rules = [rule(b"/own/*", session_cookie="OWN", session_path=";own")]
    async with cluster(*members(3), balancer=names_of, rules=rules) as s:
        assert await names(s, 2, b"Cookie: SID=1.b; JSESSIONID=1.c; OWN=1.c") == "bb"
        assert await names(s, 2, path=b"/x;sid=1.b") == "bb"
        assert await names(s, 2, b"Cookie: SID=1.c; OWN=1.b", path=b"/own/x") == "bb"
        assert await names(s, 2, path=b"/own/x;sid=1.c;own=1.b") == "bb"


async def test_one_cookie_line_under_two_rules() -> None:
    """What is remembered of a Cookie header is the balancer's own name, not the rule's."""
    async with cluster(*members(3), rules=[rule(b"/own/*", session_cookie="OWN")]) as s:
        for _ in range(2):
            both = b"Cookie: JSESSIONID=1.b; OWN=1.c"
            assert await names(s, 1, both) == "b"
            assert await names(s, 1, both, path=b"/own/x") == "c"


@pytest.mark.parametrize(
    ("balancer", "rules"),
    [({"sticky_session": False}, []), ({}, [rule(b"/x", sticky_ignore=True)])],
    ids=["sticky_session", "sticky_ignore"],
)
async def test_sessions_that_do_not_count(balancer: Any, rules: Any) -> None:
    async with cluster(*members(), balancer=balancer, rules=rules) as s:
        assert await names(s, 4, session(b"b")) == "abab"
        assert [record.sessions for record in s.balancer.records] == [2, 2]


async def test_stateless_requests_take_turns_and_make_no_session() -> None:
    async with cluster(*members(), members=factors(1, 9), rules=[rule(b"/x", stateless=True)]) as s:
        assert await names(s, 6) == "ababab"
        assert [record.sessions for record in s.balancer.records] == [0, 0]
        assert counted_sessions(s) == [0, 0]
        assert await names(s, 2, session(b"b")) == "bb"


# --- routes, activations --------------------------------------------------------------------------


async def test_what_the_container_is_told() -> None:
    facts: list[dict[str, Any]] = [
        {"route": "tomcat-1"},
        {"route": "tomcat-2", "activation": Activation.DISABLED},
    ]
    async with cluster(*members(), members=facts) as s:
        assert await names(s, 3) == "aaa"
        assert await names(s, 1, session(b"tomcat-2")) == "b"
        a, b = (s.heads(number)[-1] for number in (0, 1))
    assert (route_of(a), named(a, b"JK_LB_ACTIVATION")) == (b"tomcat-1", [b"ACT"])
    assert (route_of(b), named(b, b"JK_LB_ACTIVATION")) == (b"tomcat-2", [b"DIS"])


async def test_activations_of_a_rule() -> None:
    """For its requests alone, and the containers learn of it."""
    rules = [
        rule(b"/dis/*", activations=overrides(2, a=Activation.DISABLED)),
        rule(b"/stp/*", activations=overrides(2, a=Activation.STOPPED)),
        rule(b"/act/*", activations=overrides(2, b=Activation.ACTIVE)),
        rule(b"/none/*", activations=overrides(2, a=Activation.STOPPED)),
    ]
    stopped: list[dict[str, Any]] = [{}, {"activation": Activation.STOPPED}]
    async with cluster(*members(), rules=rules) as s:
        assert await names(s, 2, path=b"/dis/x") == "bb"
        assert await names(s, 2, session(b"a"), path=b"/dis/x") == "aa"
        assert named(s.heads(0)[-1], b"JK_LB_ACTIVATION") == [b"DIS"]
        assert await names(s, 2, session(b"a"), path=b"/stp/x") == "bb"
        assert named(s.heads(1)[-1], b"JK_LB_ACTIVATION") == [b"ACT"]
        assert await names(s, 1, session(b"a")) == "a"
        assert named(s.heads(0)[-1], b"JK_LB_ACTIVATION") == [b"ACT"]
    async with cluster(*members(), members=stopped, rules=rules) as s:
        assert await names(s, 2, session(b"b")) == "aa"
        assert await names(s, 2, session(b"b"), path=b"/act/x") == "bb"
        assert named(s.heads(1)[-1], b"JK_LB_ACTIVATION") == [b"ACT"]
        assert (await s.ask(get(b"/none/x"))).status == 503


async def test_activations_that_change_while_it_runs() -> None:
    async with cluster(*members()) as s:
        assert await names(s, 2) == "ab"
        s.balancer.set_activation(0, Activation.DISABLED)
        assert await names(s, 2) == "bb"
        assert await names(s, 1, session(b"a")) == "a"
        s.balancer.set_activation(0, Activation.STOPPED)
        assert await names(s, 1, session(b"a")) == "b"
        s.balancer.set_activation(0, Activation.ACTIVE)
        assert await names(s, 2) == "ab"


async def test_redirect_beats_domain() -> None:
    facts: list[dict[str, Any]] = [
        {"domain": "d1", "redirect": "b"},
        {"activation": Activation.DISABLED},
        {"domain": "d1"},
    ]
    async with cluster(*members(3), members=facts) as s:
        s.balancer.set_activation(0, Activation.STOPPED)
        assert await names(s, 2, session(b"a")) == "bb"
        assert route_of(s.heads(1)[-1]) == b"b"


async def test_a_domain_shares_its_sessions() -> None:
    """The container is told the domain: the session has the route of another one."""
    facts: list[dict[str, Any]] = [{"domain": "d1"}, {}, {"domain": "d1"}]
    async with cluster(None, *members(3)[1:], members=facts) as s:
        # The first request finds out, on its way.
        assert await names(s, 3, session(b"a")) == "ccc"
        assert {route_of(head) for head in s.heads(2)} == {b"d1"}
        assert s.states == "ERR OK/IDLE OK"


async def test_a_route_that_names_a_domain() -> None:
    facts: list[dict[str, Any]] = [
        {"route": "x.a"},
        {"route": "d1.n1", "domain": "d1"},
        {"route": "d1.n2", "domain": "d1"},
    ]
    async with cluster(*members(3), members=facts) as s:
        assert await names(s, 4, session(b"d1.n9")) == "bcbc"
        assert route_of(s.heads(1)[0]) == b"d1"
        assert await names(s, 2, session(b"d1.n2")) == "cc"
        assert route_of(s.heads(2)[-1]) == b"d1.n2"


async def test_a_hot_standby() -> None:
    """Disabled, and named by another: it gets requests only when nobody else is left."""
    facts: list[dict[str, Any]] = [{"redirect": "c"}, {}, {"activation": Activation.DISABLED}]
    async with cluster(None, None, members(3)[2], members=facts) as s:
        assert await names(s, 3) == "ccc"
        assert s.states == "ERR ERR OK"
        assert named(s.heads(2)[0], b"JK_LB_ACTIVATION") == [b"DIS"]


# --- nobody ---------------------------------------------------------------------------------------

REQUESTS = [get(b"/x"), post(b"body"), get(b"/x", method=b"HEAD"), post(b"x" * 20_000)]


@pytest.mark.parametrize("request_data", REQUESTS, ids=["GET", "POST", "HEAD", "20 kB"])
@pytest.mark.parametrize("interval", [0, 30])
async def test_no_member(
    request_data: bytes, interval: int, caplog: pytest.LogCaptureFixture
) -> None:
    stopped: list[dict[str, Any]] = [{"activation": Activation.STOPPED}] * 2
    async with cluster(*members(), members=stopped, balancer={"retry_interval_ms": interval}) as s:
        client = await s.connect()
        for _ in range(2):
            response = await client.ask(request_data)
            assert response.status == 503
            assert b"no_member" in response.body or request_data.startswith(b"HEAD")
        assert s.executions == [0, 0]
    assert reasons(caplog) == ["no_member"] * 2
    assert "a STP OK/IDLE, b STP OK/IDLE" in caplog.text


@pytest.mark.parametrize("how", ["stopped", "error", "no dot", "unknown"])
async def test_sticky_session_force(how: str, caplog: pytest.LogCaptureFixture) -> None:
    cookie = {"no dot": b"Cookie: JSESSIONID=xyz", "unknown": session(b"zz")}.get(
        how, session(b"a")
    )
    async with cluster(None, members()[1], balancer={"sticky_session_force": True}) as s:
        if how == "stopped":
            s.balancer.set_activation(0, Activation.STOPPED)
        response = await s.ask(get(b"/x", cookie))
        assert response.status == 503
        reason = "connect_refused" if how == "error" else "sticky_forced"
        assert reason.encode() in response.body
        assert s.executions == [0, 0]
        # Who has no session goes where he can.
        assert (await s.ask(get(b"/x"))).body == b"b"
    assert reasons(caplog) == [reason]


async def test_all_are_down_and_one_came_back() -> None:
    """Nobody waits for recover_time when there is nobody else."""
    async with cluster(None, members()[1]) as s:
        s.set_state(0, State.ERROR)
        s.set_state(1, State.ERROR)
        assert await names(s, 1) == "b"
        assert s.states.split()[1] == "OK"
        assert await names(s, 3) == "bbb"


async def test_an_only_member() -> None:
    """No session logic, no cookie of ours, and it is tried again when it failed."""
    a = Container([read_body, cut], respond(b"a"))
    async with cluster(a, balancer={"set_session_cookie": True}) as s:
        assert (await s.ask(get(b"/x", session(b"elsewhere")))).body == b"a"
        assert a.executions == 2
        assert s.states == "OK"
        response = await s.ask(get(b"/x"))
        assert response.all(b"set-cookie") == []


# --- set_session_cookie ---------------------------------------------------------------------------


def cookies(response: Response) -> list[bytes]:
    return response.all(b"set-cookie")


async def test_a_session_cookie_of_ours() -> None:
    theirs = (b"Set-Cookie", b"theirs=1")
    container = Container(respond(b"a", 200, theirs))
    async with cluster(container, *members(), balancer={"set_session_cookie": True}) as s:
        client = await s.connect()
        response = await client.ask(get(b"/x"))
        assert sorted(cookies(response)) == [b"JSESSIONID=.a;PATH=/;HttpOnly", b"theirs=1"]
        assert cookies(await client.ask(get(b"/x", b"Cookie: JSESSIONID=.a"))) == [b"theirs=1"]
        # A session that lives nowhere gets a new home.
        assert len(cookies(await client.ask(get(b"/x", session(b"zz"))))) == 1


async def test_a_session_cookie_of_a_rule() -> None:
    rules = [
        rule(b"/on/*", set_session_cookie=True),
        rule(b"/own/*", set_session_cookie=True, session_cookie="OWN", session_cookie_path="/own"),
    ]
    async with cluster(*members(), rules=rules) as s:
        assert cookies(await s.ask(get(b"/x"))) == []
        assert cookies(await s.ask(get(b"/on/x"))) == [b"JSESSIONID=.b;PATH=/;HttpOnly"]
        assert cookies(await s.ask(get(b"/own/x"))) == [b"OWN=.a;PATH=/own;HttpOnly"]
        assert cookies(await s.ask(get(b"/own/x", b"Cookie: OWN=.a"))) == []


async def test_a_session_cookie_after_a_failover() -> None:
    """One, of the member that answered."""
    balancer = {"set_session_cookie": True}
    async with cluster(Container([read_body, cut]), members()[1], balancer=balancer) as s:
        for method in (b"GET", b"HEAD"):
            client = await s.connect()
            response = await client.ask(get(b"/x", session(b"a"), method=method))
            assert cookies(response) == [b"JSESSIONID=.b;PATH=/;HttpOnly"]


@pytest.mark.parametrize("proto", [b"https", b"http"])
async def test_a_session_cookie_over_tls(proto: bytes) -> None:
    secure = b";Secure" if proto == b"https" else b""
    server = {"trusted_proxies": ("127.0.0.1/32",)}
    async with cluster(*members(), server=server, balancer={"set_session_cookie": True}) as s:
        response = await s.ask(get(b"/x", b"X-Forwarded-Proto: " + proto))
        assert cookies(response) == [b"JSESSIONID=.a;PATH=/;HttpOnly" + secure]
