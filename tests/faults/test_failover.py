"""A member fails: who gets the request then, and who must not.

The session of every request belongs to member a, which does wrong; b is healthy. `UNSENT` faults
strike before anything of the request left: everybody may go to b. After the others only what may be
executed twice goes there, and only if all that a had of its body is still there.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from ajp.constants import AttributeCode
from tests.faults.cluster import cluster, route_of, session
from tests.faults.container import (
    END,
    Container,
    Script,
    Step,
    ask,
    cut,
    headers,
    never,
    packet,
    read_body,
    reset,
    respond,
    send,
    swallow,
    wait,
    whole,
)
from tests.faults.stage import (
    Broken,
    eventually,
    get,
    post,
    post_chunked,
    reasons,
    retried,
    within,
)

SMALL = b"a body"
LARGE = bytes(range(250)) * 80
TO_A = session(b"a")


@dataclass(frozen=True)
class Kind:
    """A kind of request.

    Attributes:
        is_safe: executing it twice is the same as once.
        is_kept: all of its body is still there once a container read it.
    """

    name: str
    data: bytes
    body: bytes = b""
    is_safe: bool = True
    is_kept: bool = True


KINDS = [
    Kind("GET", get(b"/x", TO_A)),
    Kind("POST", post(b"", b"/x", TO_A), is_safe=False),
    Kind("small POST", post(SMALL, b"/x", TO_A), SMALL, is_safe=False),
    Kind("PUT", post(LARGE, b"/x", TO_A, method=b"PUT"), LARGE, is_kept=False),
    Kind(
        "chunked PUT",
        post_chunked([LARGE[:9000], LARGE[9000:]], b"/x", TO_A, method=b"PUT"),
        LARGE,
        is_kept=False,
    ),
    Kind("small chunked PUT", post_chunked([SMALL], b"/x", TO_A, method=b"PUT"), SMALL),
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@dataclass(frozen=True)
class Fault:
    """What member a does.

    Attributes:
        script: for its only request; None: nobody listens.
        reason: of the failed attempt.
        status: for a client whose request stays there.
        state: of a afterwards.
        is_sent: a has read the whole request when it strikes.
        member: settings of a.
        container: more arguments of it.
        takes: how many requests a reads without reading all of them.
    """

    name: str
    script: Script | None
    reason: str
    status: int
    state: str = "ERR"
    is_sent: bool = True
    member: dict[str, Any] = field(default_factory=dict)
    container: dict[str, Any] = field(default_factory=dict)


FAULTS = [
    Fault("refused", None, "connect_refused", 503, is_sent=False),
    Fault(
        "no CPONG",
        respond(),
        "cping_timeout",
        503,
        is_sent=False,
        member={"connect_timeout_ms": 60},
        container={"answers_cping": False},
    ),
    Fault(
        "EOF for CPONG",
        respond(),
        "eof_before_headers",
        502,
        is_sent=False,
        container={"on_connect": [cut]},
    ),
    Fault("reset", [read_body, reset], "reset_before_headers", 502),
    Fault("EOF", [read_body, cut], "eof_before_headers", 502),
    Fault(
        "reply timeout", [read_body, never], "reply_timeout", 504, member={"reply_timeout_ms": 60}
    ),
    Fault("garbage", [read_body, send(b"HTTP/1.1 200 OK\r\n\r\n")], "protocol_error", 502, "OK"),
    Fault("END first", [read_body, send(END)], "protocol_error", 502, "OK"),
    Fault(
        "hard status",
        respond(b"theirs", 500),
        "fail_on_status",
        503,
        member={"fail_on_status": (500,)},
    ),
    Fault(
        "soft status",
        respond(b"theirs", 404),
        "fail_on_status",
        503,
        "OK",
        member={"fail_on_status": (-404,)},
    ),
]


def container_of(fault: Fault) -> Container | None:
    return None if fault.script is None else Container(fault.script, **fault.container)


@pytest.mark.parametrize("options", [None, 0, 3])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@every_kind
async def test_one_member_fails(
    kind: Kind, fault: Fault, options: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    may_repeat = kind.is_safe if options is None else options == 0
    moves = not fault.is_sent or (may_repeat and kind.is_kept)
    worker = {"recovery_options": options}
    b = Container(respond(b"b's"))
    async with cluster(container_of(fault), b, members=[fault.member], worker=worker) as s:
        client = await s.connect()
        with within(2.0):
            response = await client.ask(kind.data)
        assert response.status == (200 if moves else fault.status)
        assert (response.body == b"b's") == moves
        assert s.executions == [int(fault.is_sent), int(moves)]
        assert all(seen.body == kind.body for seen in b.requests)
        assert s.states == f"{fault.state} {'OK' if moves else 'OK/IDLE'}"
        assert reasons(caplog) == [fault.reason] * (not moves)
        assert retried(caplog) == moves
        # The client's connection goes on, and its session is b's now, if a has failed.
        assert s.in_flight == [0, 0]
        if fault.state == "ERR" and not response.closes:
            assert (await client.ask(get(b"/y", TO_A))).body == b"b's"


# --- no endpoint ----------------------------------------------------------------------------------

FULL = {
    "pool_exhausted": {"connection_pool_size": 1, "connection_acquire_timeout_ms": 0},
    "queue_timeout": {"connection_pool_size": 1, "connection_acquire_timeout_ms": 60},
    "busy_limit": {"busy_limit": 1},
}


@pytest.mark.parametrize("reason", FULL)
@every_kind
async def test_a_member_without_an_endpoint(
    kind: Kind, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    go = asyncio.Event()
    a, b = Container([read_body, wait(go), send(whole(b"a's"))]), Container(respond(b"b's"))
    async with cluster(a, b, members=[FULL[reason]]) as s:
        first = await s.connect()
        await first.send(get(b"/first", TO_A))
        await eventually(lambda: a.executions == 1)
        with within(1.0):
            response = await s.ask(kind.data)
        assert response.body == b"b's"
        assert s.executions == [1, 1]
        assert b.requests[0].body == kind.body
        assert s.states == "OK/BUSY OK"
        # Nobody waits for it meanwhile.
        with within(0.05):
            assert (await s.ask(get(b"/y", TO_A))).body == b"b's"
        assert f"reason={reason}" in caplog.text
        assert s.balancer.records[0].elected == 1
        go.set()
        assert (await first.response()).body == b"a's"
        assert s.states == "OK OK"
        assert (await s.ask(get(b"/z", TO_A))).body == b"a's"


@pytest.mark.parametrize("reason", FULL)
async def test_no_member_has_an_endpoint(reason: str, caplog: pytest.LogCaptureFixture) -> None:
    go = asyncio.Event()
    script = [read_body, wait(go), send(whole())]
    async with cluster(Container(script), Container(script), worker=FULL[reason]) as s:
        waiting = [await s.connect() for _ in "ab"]
        for client in waiting:
            await client.send(get(b"/first"))
        await eventually(lambda: s.executions == [1, 1])
        response = await s.ask(get(b"/x"))
        assert response.status == 503
        assert reason.encode() in response.body
        assert s.states == "OK/BUSY OK/BUSY"
        go.set()
        for client in waiting:
            assert (await client.response()).status == 200
        assert (await s.ask(get(b"/x"))).status == 200
        assert s.states.split().count("OK") >= 1
    assert reasons(caplog) == [reason]


# --- what never moves -----------------------------------------------------------------------------

BEGUN: list[tuple[str, Sequence[Step], str, str]] = [
    ("cut", [cut], "eof_mid_body", "ERR"),
    ("reset", [reset], "reset_mid_body", "ERR"),
    ("garbage", [send(b"\0" * 8)], "protocol_error", "OK"),
    ("headers again", [send(headers(200))], "protocol_error", "OK"),
    ("silence", [never], "reply_timeout", "ERR"),
]


@pytest.mark.parametrize("options", [None, 0])
@pytest.mark.parametrize(("steps", "reason", "state"), [each[1:] for each in BEGUN],
                         ids=[each[0] for each in BEGUN])  # fmt: skip
async def test_a_response_that_began_stays(
    steps: Sequence[Step],
    reason: str,
    state: str,
    options: int | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun = send(headers(200, (b"Content-Length", b"10")) + packet(b"\x03\x00\x05abcde\x00"))
    held = asyncio.Event()
    a = Container([begun, wait(held), *steps])
    async with cluster(
        a, Container(), worker={"recovery_options": options, "reply_timeout_ms": 150}
    ) as s:
        client = await s.connect()
        await client.send(get(b"/x", TO_A))
        while b"abcde" not in client.buffer:
            await client.more()
        held.set()
        with pytest.raises(Broken):
            await client.response()
        assert s.executions == [1, 0]
        await eventually(lambda: s.in_flight == [0, 0])
        assert s.states == f"{state} OK/IDLE"
    assert reasons(caplog) == [reason]


async def test_a_held_head_stays_too(caplog: pytest.LogCaptureFixture) -> None:
    """The client has seen nothing yet, but the container has answered."""
    a = Container([read_body, send(headers(200)), cut])
    async with cluster(a, Container(), worker={"recovery_options": 0}) as s:
        assert (await s.ask(get(b"/x", TO_A))).status == 502
        assert s.executions == [1, 0]
    assert len(reasons(caplog)) == 1


# --- the request for the second member ------------------------------------------------------------


async def test_the_request_is_written_anew() -> None:
    """Secret and route are the second member's; everything else is the same."""
    a, b = Container([read_body, cut]), Container(respond(b"b's"))
    members: list[dict[str, Any]] = [
        {"secret": b"secret of a"},
        {"secret": b"secret of b", "route": "node-b"},
    ]
    lines = (b"X-First: 1", TO_A, b"X-Last: v;w", b"Connection: X-Hop", b"X-Hop: gone")
    async with cluster(a, b, members=members) as s:
        assert (await s.ask(get(b"/p/%C3%A4;x=1?q=%20&r", *lines))).body == b"b's"
        first, second = a.requests[0].head, b.requests[0].head
    assert [head.attribute(AttributeCode.SECRET) for head in (first, second)] == [
        b"secret of a",
        b"secret of b",
    ]
    assert [route_of(head) for head in (first, second)] == [b"a", b"node-b"]
    assert first.headers == second.headers
    assert (first.method, first.uri, first.server_name, first.server_port) == (
        second.method, second.uri, second.server_name, second.server_port
    )  # fmt: skip
    codes = [[(each.code, each.name) for each in head.attributes] for head in (first, second)]
    assert codes[0] == codes[1]


async def test_a_client_of_a_trusted_proxy_stays_who_it_is() -> None:
    a, b = Container([read_body, cut]), Container(respond(b"b's"))
    lines = (
        TO_A,
        b"X-Forwarded-For: 203.0.113.7",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: shop.example",
    )
    server = {"trusted_proxies": ("127.0.0.1/32",)}
    async with cluster(a, b, server=server) as s:
        assert (await s.ask(get(b"/x", *lines))).body == b"b's"
        first, second = a.requests[0].head, b.requests[0].head
    assert second.remote_addr == b"203.0.113.7"
    assert second.is_ssl
    assert second.server_name == b"shop.example"
    assert first.headers == second.headers


PACKETS = [{"max_packet_size": 8192}, {"max_packet_size": 65536}]
BULKY = b"Cookie: JSESSIONID=abc.%s; bulk=" + b"v" * 20_000


async def test_a_request_too_large_for_its_member_is_refused() -> None:
    """The member is not to blame, and which requests pass should not depend on chance."""
    async with cluster(
        Container(respond(b"a's")), Container(respond(b"b's")), members=PACKETS
    ) as s:
        response = await s.ask(get(b"/x", BULKY % b"a"))
        assert response.status == 431
        assert s.in_flight == [0, 0]
        assert s.executions == [0, 0]
        assert (await s.ask(get(b"/x", BULKY % b"b"))).body == b"b's"
        assert (await s.ask(get(b"/x", TO_A))).body == b"a's"


async def test_a_request_too_large_for_the_second_member() -> None:
    a = Container([read_body, cut])
    async with cluster(a, Container(), members=PACKETS[::-1]) as s:
        assert (await s.ask(get(b"/x", BULKY % b"a"))).status == 431
        assert s.executions == [1, 0]
        assert s.states.startswith("ERR OK")


@pytest.mark.parametrize("sizes", [PACKETS, PACKETS[::-1]], ids=["8k-64k", "64k-8k"])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_cut_for_packets_of_one_size_goes_in_those_of_another(
    is_chunked: bool, sizes: list[dict[str, Any]]
) -> None:
    request = (
        post_chunked([LARGE[:9000], LARGE[9000:]], b"/x", TO_A, method=b"PUT")
        if is_chunked
        else post(LARGE, b"/x", TO_A, method=b"PUT")
    )
    a, b = Container([read_body, cut]), Container(respond(b"b's"))
    async with cluster(a, b, members=sizes, worker={"replay_buffer": 40_000}) as s:
        assert (await s.ask(request)).body == b"b's"
        assert [seen.body for seen in (*a.requests, *b.requests)] == [LARGE, LARGE]
        largest = max(size for seen in b.requests for size in seen.packets)
        assert largest <= sizes[1]["max_packet_size"] - 6


async def test_one_packet_of_a_large_body_left() -> None:
    """So much is kept, and the rest is still to be read."""
    a, b = Container([swallow, cut]), Container(respond(b"b's"))
    async with cluster(a, b) as s:
        assert (await s.ask(post(LARGE, b"/x", TO_A, method=b"PUT"))).body == b"b's"
        assert b.requests[0].body == LARGE


async def test_a_body_that_had_come_in_part_goes_on_behind_what_was_kept() -> None:
    a, b = Container([swallow, ask(), cut]), Container(respond(b"b's"))
    head = get(b"/x", TO_A, b"Content-Length: %d" % len(LARGE), method=b"PUT")
    async with cluster(a, b, worker={"replay_buffer": 65536}) as s:
        client = await s.connect()
        await client.send(head + LARGE[:5000])
        await eventually(lambda: a.executions == 1)
        await client.send(LARGE[5000:9000])
        await eventually(lambda: b.executions == 1)
        await client.send(LARGE[9000:])
        assert (await client.response()).body == b"b's"
        assert b.requests[0].body == LARGE
