"""Time in the life of a balanced request: rounds, pauses, clients that leave, members that recover.

Every block ends with a look at the counters: nothing may be on its way any more.
"""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from ajp.lb import Activation, State
from tests.faults.cluster import Cluster, cluster, session
from tests.faults.container import (
    Container,
    Script,
    Step,
    ask,
    cut,
    headers,
    never,
    read_body,
    respond,
    send,
    tell,
    wait,
    whole,
)
from tests.faults.stage import Client, eventually, get, post, reasons, retried, within

BODY = b"some body"
TO_A = session(b"a")


def failing(count: int, *before: Step) -> list[Container]:
    return [Container([*before, read_body, cut]) for _ in range(count)]


# --- rounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "balancer", "executions"),
    [
        (2, {}, [2, 2]),
        (2, {"retries": 1}, [1, 1]),
        (2, {"retries": 1, "lb_retries": 1}, [1, 0]),
        (3, {"retries": 1}, [1, 1, 0]),
        (3, {"retries": 1, "lb_retries": 8}, [1, 1, 1]),
        # A second round begins with who was not tried; then those that failed are forced.
        (3, {"retries": 2}, [2, 1, 1]),
        (3, {"retries": 3}, [2, 2, 2]),
        # That is done once for a request.
        (1, {"retries": 3}, [2]),
    ],
)
async def test_how_many_attempts(
    count: int, balancer: dict[str, Any], executions: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(*failing(count), balancer=balancer) as s:
        assert (await s.ask(get(b"/x", TO_A))).status == 502
        assert s.executions == executions
        assert set(s.states.split()) <= {"ERR", "ERR/FRC", "OK/IDLE"}
    assert f"attempts={sum(executions)}" in caplog.text


@pytest.mark.slow
async def test_retry_interval_passes_between_two_rounds_and_not_within_one() -> None:
    times: list[float] = []

    async def note(connection: object) -> None:
        times.append(asyncio.get_running_loop().time())

    async with cluster(*failing(2, note), balancer={"retry_interval_ms": 200}) as s:
        assert (await s.ask(get(b"/x"))).status == 502
    assert [later - sooner >= 0.19 for sooner, later in pairwise(times)] == [False, True, False]


async def test_a_member_that_fails_is_left_and_not_waited_for() -> None:
    """`retries` of the worker is for containers that stand alone."""
    worker = {"retries": 5, "retry_interval_ms": 60_000}
    async with cluster(*failing(1), Container(respond(b"b")), worker=worker) as s:
        with within(1.0):
            assert (await s.ask(get(b"/x", TO_A))).body == b"b"
        assert s.executions == [1, 1]


@pytest.mark.slow
async def test_the_reply_timeout_of_a_rule_is_that_of_every_attempt() -> None:
    script = [read_body, never]
    async with cluster(Container(script), Container(script), balancer={"retries": 1}) as s:
        with within(2.0):
            assert (await s.ask(get(b"/soon/x", TO_A))).status == 504
        assert s.executions == [1, 1]
        assert s.states == "ERR ERR"


async def test_a_member_is_tried_again_where_there_is_nothing_to_wait_for() -> None:
    """Worker's retries x lb_retries x retries; the balancer counts an election each."""
    worker = {"retries": 2, "retry_interval_ms": 0}
    async with cluster(*failing(2), worker=worker) as s:
        assert (await s.ask(get(b"/x", TO_A))).status == 502
        assert s.executions == [4, 4]
        assert [record.elected for record in s.balancer.records] == [2, 2]


async def test_a_pooled_connection_that_died_is_replaced_on_the_same_member() -> None:
    """It says nothing about the member: the session stays."""
    a = Container(respond(b"1"), [cut], respond(b"3"))
    async with cluster(a, Container(respond(b"b"))) as s:
        client = await s.connect()
        assert (await client.ask(get(b"/1", TO_A))).body == b"1"
        assert (await client.ask(get(b"/2", TO_A))).body == b"3"
        assert s.executions == [3, 0]
        assert s.states == "OK OK/IDLE"


@pytest.mark.parametrize("recovery_options", [None, 0])
@pytest.mark.parametrize("method", [b"POST", b"PUT"])
async def test_a_pooled_connection_that_died_under_a_body(
    method: bytes, recovery_options: int | None
) -> None:
    """A POST whose head left may have been executed, however old the connection was."""
    is_repeated = method == b"PUT" or recovery_options == 0
    a, b = Container(respond(b"1"), [read_body, cut], respond(b"3")), Container()
    worker = {"recovery_options": recovery_options}
    async with cluster(a, b, worker=worker) as s:
        client = await s.connect()
        await client.ask(get(b"/1", TO_A))
        response = await client.ask(post(BODY, b"/2", TO_A, method=method))
        assert response.status == (200 if is_repeated else 502)
        assert sum(s.executions) == 2 + is_repeated
        assert [seen.body for seen in a.requests[1:]] == [BODY] * (1 + is_repeated)


# --- nobody yet -----------------------------------------------------------------------------------


async def resting(s: Cluster, client: Client, request: bytes) -> None:
    """Send it to members of which none can be had, and wait until that is known."""
    for number in range(len(s.containers)):
        s.balancer.set_activation(number, Activation.STOPPED)
    before = s.service.requests
    await client.send(request)
    await eventually(lambda: s.service.requests > before)


def activate(s: Cluster) -> None:
    for number in range(len(s.containers)):
        s.balancer.set_activation(number, Activation.ACTIVE)


PAUSE = {"retry_interval_ms": 150}


@pytest.mark.parametrize("request_data", [get(b"/x"), post(BODY), post(b"x" * 20_000)],
                         ids=["GET", "POST", "20 kB"])  # fmt: skip
async def test_somebody_comes_while_nobody_is_there(request_data: bytes) -> None:
    body = request_data.partition(b"\r\n\r\n")[2]
    async with cluster(Container(), Container(), balancer=PAUSE) as s:
        client = await s.connect()
        await resting(s, client, request_data)
        activate(s)
        assert (await client.response()).status == 200
        assert sum(s.executions) == 1
        seen = [each for c in s.containers if c is not None for each in c.requests]
        assert [each.body for each in seen] == [body]


@pytest.mark.slow
@pytest.mark.parametrize("expects", [False, True], ids=["slow", "100-continue"])
async def test_somebody_comes_before_the_body_does(expects: bool) -> None:
    """Whoever announces a length owes the first packet with the head: it is waited for."""
    a = Container([read_body, send(whole(b"a"))])
    lines = [b"Content-Length: %d" % len(BODY), *[b"Expect: 100-continue"] * expects]
    async with cluster(a, Container(), balancer=PAUSE) as s:
        client = await s.connect()
        await resting(s, client, get(b"/x", *lines, method=b"POST"))
        activate(s)
        if expects:
            await client.more()
            assert client.buffer.startswith(b"HTTP/1.1 100 ")
        else:
            # The pause ends first.
            await asyncio.sleep(0.6)
        await client.send(BODY)
        response = await client.response()
        assert response.status == 200
        assert a.requests[0].packets == [len(BODY)]


async def test_a_chunked_body_that_comes_after_the_pause() -> None:
    a = Container([read_body, send(whole(b"a"))])
    async with cluster(a, Container(), balancer=PAUSE) as s:
        client = await s.connect()
        await resting(s, client, get(b"/x", b"Transfer-Encoding: chunked", method=b"POST"))
        activate(s)
        # The pause ends first; nobody is asked before the body begins.
        await asyncio.sleep(0.6)
        assert a.executions == 0
        await client.send(b"9\r\nsome")
        await eventually(lambda: a.executions == 1)
        await client.send(b" body\r\n0\r\n\r\n")
        assert (await client.response()).status == 200
        assert a.requests[0].body == BODY


async def test_a_large_body_comes_during_the_pause() -> None:
    """More than waits for a container: reading stops, and goes on afterwards."""
    body = bytes(range(256)) * 2000
    async with cluster(Container(), Container(), balancer=PAUSE) as s:
        client = await s.connect()
        await resting(s, client, get(b"/x", b"Content-Length: %d" % len(body), method=b"PUT"))
        sending = asyncio.create_task(client.send(body))
        activate(s)
        assert (await client.response()).status == 200
        await sending
        assert [each.body for c in s.containers if c for each in c.requests] == [body]


async def test_a_body_that_breaks_during_the_pause(caplog: pytest.LogCaptureFixture) -> None:
    async with cluster(Container(), Container(), balancer=PAUSE) as s:
        client = await s.connect()
        head = get(b"/x", b"Transfer-Encoding: chunked", method=b"POST")
        await resting(s, client, head + b"1\r\nx\r\n")
        await client.send(b"nonsense\r\n")
        assert (await client.response()).status == 400
        assert await client.at_end()
        activate(s)
        assert s.executions == [0, 0]
    assert reasons(caplog) == ["bad_request"]


# --- clients that leave ---------------------------------------------------------------------------


async def test_a_client_leaves_during_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    containers = failing(2)
    async with cluster(*containers, balancer={"retry_interval_ms": 200}) as s:
        client = await s.connect()
        await client.send(get(b"/x"))
        await eventually(lambda: s.executions == [1, 1] and retried(caplog) == 2)
        client.reset()
        await eventually(lambda: not s.service.clients)
        assert s.in_flight == [0, 0]
        await asyncio.sleep(0.3)
        assert s.executions == [1, 1]
    assert reasons(caplog) == ["client_abort"]


async def test_a_client_leaves_while_nobody_is_there(caplog: pytest.LogCaptureFixture) -> None:
    async with cluster(Container(), Container(), balancer=PAUSE) as s:
        client = await s.connect()
        await resting(s, client, get(b"/x"))
        client.reset()
        await eventually(lambda: not s.service.clients)
        activate(s)
        await asyncio.sleep(0.2)
        assert s.executions == [0, 0]
    assert reasons(caplog) == ["client_abort"]


async def test_a_client_leaves_while_it_waits_for_an_endpoint() -> None:
    go = asyncio.Event()
    a = Container([read_body, wait(go), send(whole())], respond())
    async with cluster(a, Container(), members=[{"connection_pool_size": 1}]) as s:
        first, second = await s.connect(), await s.connect()
        await first.send(get(b"/1", TO_A))
        await eventually(lambda: a.executions == 1)
        await second.send(get(b"/2", TO_A))
        await eventually(lambda: s.in_flight == [2, 0])
        second.reset()
        await eventually(lambda: s.in_flight == [1, 0])
        go.set()
        assert (await first.response()).status == 200
        assert s.executions == [1, 0]


SERVED: dict[str, Script] = {
    "before an answer": [read_body, never],
    "with a head": [read_body, send(headers(200)), never],
    "inside an answer": [read_body, send(whole(b"x" * 100)[:-40]), never],
    "asked for body": [ask(), never],
}


@pytest.mark.parametrize("script", SERVED.values(), ids=SERVED)
async def test_a_client_leaves_while_it_is_served(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    a = Container(script, respond(b"a"))
    head = get(b"/x", TO_A, b"Transfer-Encoding: chunked", method=b"POST")
    async with cluster(a, Container()) as s:
        client = await s.connect()
        await client.send(head + b"1\r\nx\r\n")
        await eventually(lambda: s.in_flight == [1, 0] and a.executions == 1)
        client.reset()
        await eventually(lambda: s.in_flight == [0, 0])
        # The member is not to blame, and nobody else gets the request.
        assert s.states == "OK OK/IDLE"
        assert (await s.ask(get(b"/y", TO_A))).body == b"a"
        assert s.executions == [2, 0]
    assert reasons(caplog) == ["client_abort"]


async def test_a_client_leaves_with_all_of_its_answer() -> None:
    """END_RESPONSE is still to come; the attempt was a success."""
    go, said = asyncio.Event(), asyncio.Event()
    full = headers(200, (b"Content-Length", b"2")) + b"AB\x00\x06\x03\x00\x02ok\x00"
    a = Container([read_body, send(full), tell(said), wait(go), send(b"AB\x00\x02\x05\x01")])
    async with cluster(a, Container()) as s:
        client = await s.connect()
        assert (await client.ask(get(b"/x", TO_A))).body == b"ok"
        client.reset()
        await eventually(lambda: s.in_flight == [0, 0])
        go.set()
        assert s.states == "OK OK/IDLE"


# --- members that recover -------------------------------------------------------------------------


async def test_a_member_that_failed_is_tried_again_by_one_request() -> None:
    """recover_time is 60 s; while one request tries it, nobody else is sent there."""
    go = asyncio.Event()
    a = Container([read_body, cut], [read_body, wait(go), send(whole(b"a"))], respond(b"a"))
    async with cluster(a, Container(respond(b"b"))) as s:
        assert (await s.ask(get(b"/1", TO_A))).body == b"b"
        assert s.states == "ERR OK"
        s.later(61)
        assert s.states == "ERR/REC OK"
        probing = await s.connect()
        await probing.send(get(b"/2", TO_A))
        await eventually(lambda: a.executions == 2)
        assert s.states == "ERR/PRB OK"
        assert (await s.ask(get(b"/3", TO_A))).body == b"b"
        go.set()
        assert (await probing.response()).body == b"a"
        assert s.states == "OK OK"
        assert (await s.ask(get(b"/4", TO_A))).body == b"a"


async def test_a_member_that_failed_less_than_recover_time_ago() -> None:
    async with cluster(None, Container(respond(b"b")), balancer={"recover_time_ms": 100_000}) as s:
        assert (await s.ask(get(b"/1", TO_A))).body == b"b"
        s.later(61)
        assert s.states == "ERR OK"
        s.later(122)
        assert s.states == "ERR/REC OK/IDLE"
        # It fails again, and nobody notices.
        assert (await s.ask(get(b"/1", TO_A))).body == b"b"
        assert s.states == "ERR OK"


async def test_a_client_that_leaves_does_not_revive_a_member_that_said_nothing() -> None:
    """It is connected, and still owes its CPONG: nothing was learned of it."""
    a = Container(on_connect=[never])
    async with cluster(a, Container(), worker={"connect_timeout_ms": 60_000}) as s:
        s.set_state(0, State.RECOVER)
        client = await s.connect()
        await client.send(get(b"/1", TO_A))
        await eventually(lambda: a.connections == 1)
        assert s.states == "ERR/PRB OK/IDLE"
        client.reset()
        await eventually(lambda: s.in_flight == [0, 0])
        assert s.states.startswith("ERR")


async def test_a_request_that_is_too_large_does_not_revive_a_member() -> None:
    """Nothing was said to it."""
    async with cluster(None, Container()) as s:
        s.set_state(0, State.RECOVER)
        request = get(b"/1", b"Cookie: JSESSIONID=1.a; x=" + b"v" * 20_000)
        assert (await s.ask(request)).status == 431
        assert s.states.startswith("ERR")


async def test_reply_timeouts_are_tolerated_up_to_a_number() -> None:
    """The third one is too much for max_reply_timeouts=2; maintenance halves them."""
    a = Container([read_body, never])
    balancer, member = {"max_reply_timeouts": 2}, {"reply_timeout_ms": 30}
    async with cluster(a, Container(respond(b"b")), members=[member], balancer=balancer) as s:
        found = []
        for _ in range(3):
            assert (await s.ask(get(b"/x", TO_A))).body == b"b"
            found.append(s.states.split()[0])
        assert found == ["OK", "OK", "ERR"]
        assert s.balancer.records[0].reply_timeouts == 3
        assert s.balancer.records[0].errors == 1


async def test_an_error_beside_other_requests_is_tolerated_for_a_while() -> None:
    go = asyncio.Event()
    a = Container([read_body, wait(go), send(whole(b"a"))], [read_body, cut])
    async with cluster(a, Container(respond(b"b"))) as s:
        first = await s.connect()
        await first.send(get(b"/1", TO_A))
        await eventually(lambda: a.executions == 1)
        assert (await s.ask(get(b"/2", TO_A))).body == b"b"
        assert s.states == "OK OK"
        assert s.balancer.records[0].errors == 1
        go.set()
        assert (await first.response()).body == b"a"
        assert s.states == "OK OK"
        # Alone, it fails at once.
        assert (await s.ask(get(b"/3", TO_A))).body == b"b"
        assert s.states == "ERR OK"


# --- the end --------------------------------------------------------------------------------------


async def test_the_end_waits_for_a_request_that_pauses() -> None:
    a = Container([read_body, cut], respond(b"a"))
    async with cluster(a, balancer={"retry_interval_ms": 200}) as s:
        client = await s.connect()
        await client.send(get(b"/x"))
        await eventually(lambda: s.states == "ERR")
        stopping = asyncio.create_task(s.process.stop())
        response = await client.response()
        assert (response.status, response.body) == (200, b"a")
        assert response.closes
        await stopping
        assert s.executions == [2]


async def test_the_end_cuts_a_pause_that_is_too_long(caplog: pytest.LogCaptureFixture) -> None:
    balancer = {"retry_interval_ms": 60_000}
    async with cluster(*failing(2), balancer=balancer, server={"shutdown_timeout_ms": 100}) as s:
        client = await s.connect()
        await client.send(get(b"/x"))
        await eventually(lambda: s.states == "ERR ERR")
        with within(2.0):
            await s.process.stop()
        rest, _ = await client.read_all()
        assert rest == b""
        assert s.in_flight == [0, 0]


async def test_the_end_with_a_request_on_its_way_to_nobody() -> None:
    """The container accepts and says nothing; there is somebody else, and yet it ends."""
    silent = Container(on_connect=[never])
    worker = {"connect_timeout_ms": 60_000}
    server = {"shutdown_timeout_ms": 100}
    async with cluster(silent, Container(on_connect=[never]), worker=worker, server=server) as s:
        client = await s.connect()
        await client.send(get(b"/x"))
        await eventually(lambda: silent.connections == 1)
        with within(2.0):
            await s.process.stop()
        assert s.in_flight == [0, 0]
