"""Whatever members of a balancer do wrong, and in whatever order: what every client can rely on.

AJP_MACHINE_DEPTH multiplies the number of examples.
"""

import asyncio
import os
from dataclasses import dataclass
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ajp.lb import Method, State
from tests.faults.cluster import Cluster, cluster, session
from tests.faults.container import (
    Connection,
    Container,
    Script,
    chunk,
    cut,
    get_body,
    headers,
    never,
    read_body,
    reset,
    send,
    swallow,
    whole,
)
from tests.faults.stage import Broken, eventually, get, post, post_chunked

DEPTH = int(os.environ.get("AJP_MACHINE_DEPTH", "1"))
SAFE = (b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS")
#: Statuses of our own pages when members fail.
OWN = (502, 503, 504)


async def answer(connection: Connection) -> None:
    """Say whose request it was and how much came with it."""
    name = connection.request.header(b"x-id") or b""
    await connection.write(whole(b"%s %d" % (name, len(connection.body))))


PARTIAL = headers(200, (b"Content-Length", b"10")) + chunk(b"abc")
#: How a member treats a request.
FAULTS: dict[str, Script] = {
    "cut": [cut],
    "reset": [reset],
    "cut behind the first packet": [swallow, cut],
    "cut behind the body": [read_body, cut],
    "reset behind the body": [read_body, reset],
    "reset while it asks": [swallow, send(get_body()), reset],
    "silence": [read_body, never],
    "garbage": [read_body, send(b"\0" * 9)],
    "garbage too soon": [send(b"AB\x00\x01\x63"), never],
    "hard status": [read_body, send(whole(b"theirs", 500))],
    "soft status": [read_body, send(whole(b"theirs", 404))],
    "hard status, nothing read": [swallow, send(whole(b"theirs", 500))],
    "head alone": [read_body, send(headers(200)), cut],
    "half an answer": [read_body, send(PARTIAL), reset],
    "no reuse": [read_body, answer, cut],
}


@dataclass(frozen=True)
class Request:
    """One request, and how it is sent.

    Attributes:
        at: where it is cut in two pieces.
        leaves: the client goes when it has sent both.
    """

    name: bytes
    data: bytes
    method: bytes
    size: int
    at: int
    leaves: bool


@st.composite
def request_lists(draw: st.DrawFn) -> list[list[Request]]:
    """Requests of several clients; those of one come one after the other."""
    clients = draw(st.integers(1, 4))
    return [
        [draw(requests(b"%d-%d" % (client, at))) for at in range(draw(st.integers(1, 3)))]
        for client in range(clients)
    ]


@st.composite
def requests(draw: st.DrawFn, name: bytes) -> Request:
    method = draw(st.sampled_from([b"GET", b"POST", b"POST", b"PUT", b"DELETE", b"HEAD"]))
    size = draw(st.sampled_from([0, 9, 8186, 8187, 20_000])) if method in (b"POST", b"PUT") else 0
    lines = [b"X-Id: " + name]
    route = draw(st.sampled_from([b"", b"a", b"b", b"c", b"z"]))
    if route:
        lines.append(session(route))
    body = b"x" * size
    if method not in (b"POST", b"PUT"):
        data = get(b"/x", *lines, method=method)
    elif draw(st.booleans()):
        data = post(body, b"/x", *lines, method=method)
    else:
        pieces = [body[:100], body[100:]] if size > 100 else [body] * (size > 0)
        data = post_chunked(pieces, b"/x", *lines, method=method)
    at = draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))
    return Request(name, data, method, size, at, draw(st.sampled_from([False] * 7 + [True])))


@st.composite
def casts(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Arguments of a Container for each member, None for one that is not there."""
    count = draw(st.integers(2, 3))
    kinds = ["healthy"] * 6 + ["absent", "mute", "cut at once"]
    found = []
    for _ in range(count):
        faults = draw(st.lists(st.sampled_from([*FAULTS, "healthy"]), max_size=5))
        found.append({"kind": draw(st.sampled_from(kinds)), "faults": faults})
    return found


@st.composite
def balancers(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "method": draw(st.sampled_from(list(Method))),
        "retries": draw(st.integers(1, 3)),
        "lb_retries": draw(st.integers(1, 3)),
        "retry_interval_ms": draw(st.sampled_from([0, 0, 20])),
        "sticky_session_force": draw(st.sampled_from([False, False, True])),
    }


workers = st.fixed_dictionaries(
    {
        "busy_limit": st.sampled_from([0, 0, 1]),
        "connection_pool_size": st.sampled_from([1, 4]),
        "connection_acquire_timeout_ms": st.sampled_from([0, 50, 2000]),
        "replay_buffer": st.sampled_from([0, 16_384, 65_536]),
        "retries": st.integers(1, 2),
    }
)


def container(kind: str, faults: list[str]) -> Container | None:
    if kind == "absent":
        return None
    healthy = [read_body, answer]
    scripts = [FAULTS.get(fault, healthy) for fault in faults]
    return Container(
        *scripts,
        healthy,
        answers_cping=kind != "mute",
        on_connect=[cut] if kind == "cut at once" else (),
    )


async def converse(s: Cluster, wanted: list[Request]) -> None:
    """One client: every request gets exactly one answer, and it is its own."""
    client = await s.connect()
    for request in wanted:
        await client.send(request.data[: request.at])
        await asyncio.sleep(0.001)
        await client.send(request.data[request.at :])
        if request.leaves:
            client.reset()
            return
        # Nobody goes without an answer, and one that began cannot be taken back.
        while b"\r\n\r\n" not in client.buffer:
            await client.more()
        try:
            response = await client.response(request.method)
        except Broken:
            return
        if response.status == 200:
            if request.method != b"HEAD":
                assert response.body == b"%s %d" % (request.name, request.size)
        else:
            assert response.status in OWN, response
        if response.closes:
            assert await client.at_end()
            return
    # Nothing follows the last answer.
    assert client.buffer == b""


async def play(
    cast: list[dict[str, Any]],
    balancer: dict[str, Any],
    worker: dict[str, Any],
    wanted: list[list[Request]],
) -> None:
    containers = [container(**each) for each in cast]
    times = {"reply_timeout_ms": 40, "connect_timeout_ms": 40, "fail_on_status": (500, -404)}
    async with cluster(*containers, balancer=balancer, worker={**worker, **times}) as s:
        await asyncio.gather(*(converse(s, each) for each in wanted))
        await eventually(lambda: sum(s.in_flight) == 0)
        assert all(record.state != State.PROBE for record in s.balancer.records)
    for request in (request for each in wanted for request in each):
        heads = [
            seen
            for each in containers
            if each is not None
            for seen in each.requests
            if seen.head.header(b"x-id") == request.name
        ]
        if request.method not in SAFE:
            assert len(heads) <= 1, f"{request.name!r} was executed {len(heads)} times"
        # No part of a body is left out, or comes twice.
        assert all(len(seen.body) == request.size for seen in heads if seen.is_whole)
        most = balancer["retries"] * min(balancer["lb_retries"], len(cast))
        assert len(heads) <= most * worker["retries"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_one_answer_and_one_execution(factory: Any) -> None:
    @settings(deadline=None, max_examples=30 * DEPTH, suppress_health_check=[HealthCheck.too_slow])
    @given(casts(), balancers(), workers, request_lists())
    def check(
        cast: list[dict[str, Any]],
        balancer: dict[str, Any],
        worker: dict[str, Any],
        wanted: list[list[Request]],
    ) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(play(cast, balancer, worker, wanted))

    check()
