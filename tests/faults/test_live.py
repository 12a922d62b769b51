"""Settings that an operator changes while a process serves."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from ajp.lb import Method
from ajp.snapshot import Kind
from ajpd import live
from ajpd.live import LOOK_EVERY, let_files_win
from tests.faults.cluster import Cluster, cluster, session
from tests.faults.container import Container, never, respond, send, wait, whole
from tests.faults.stage import eventually, get, reasons


def slots(s: Cluster) -> dict[str, Any]:
    """Slots by name, those of members as `lb/name`."""
    ledger = s.process.ledger
    members = {f"lb/{slot.name}": slot for slot in ledger.members.get("lb", ())}
    return {**ledger.workers, **ledger.balancers, **members}


def change(s: Cluster, name: str, **settings: int | str | None) -> None:
    """As an operator, and the process has seen it."""
    slots(s)[name].configure(**settings)
    s.process._live.look()


def members(count: int = 2) -> list[Container]:
    return [Container(respond(b"abcd"[at : at + 1])) for at in range(count)]


async def names(s: Cluster, count: int, *lines: bytes) -> str:
    client = await s.connect()
    return "".join([(await client.ask(get(b"/x", *lines))).body.decode() for _ in range(count)])


async def test_a_process_looks_by_itself() -> None:
    async with cluster(*members()) as s:
        slots(s)["lb/b"].configure(activation=2)
        slots(s)["lb/a"].configure(route="first")
        await eventually(
            lambda: s.balancer.members[0].route == "first",
            within=20 * LOOK_EVERY,
            what="it did not look",
        )
        assert await names(s, 3) == "aaa"


async def test_nothing_is_done_when_nothing_moved() -> None:
    async with cluster(*members()) as s:
        before = s.balancer.members
        s.process._live.look()
        # Somebody else's slot moved, or one was set to what it is.
        change(s, "lb/a", lbfactor=1)
        assert s.balancer.members is before
        change(s, "lb/a", activation=1)
        assert s.balancer.members is before
        assert await names(s, 2) == "bb"


async def test_factors_distances_and_method() -> None:
    async with cluster(*members()) as s:
        assert await names(s, 4) == "abab"
        change(s, "lb/b", lbfactor=3)
        for record in s.balancer.records:
            record.value = 0
        assert sorted(await names(s, 8)) == list("aabbbbbb")
        change(s, "lb/b", lbfactor=None, distance=1)
        assert await names(s, 4) == "aaaa"
        assert s.balancer.members[1].lbfactor == 1
        change(s, "lb", method=list(Method).index(Method.P2C))
        assert s.balancer.settings.method is Method.P2C


async def test_routes_and_sticky_session() -> None:
    async with cluster(*members()) as s:
        assert await names(s, 3, session(b"b")) == "bbb"
        change(s, "lb/b", route="node9")
        assert await names(s, 2, session(b"node9")) == "bb"
        change(s, "lb", sticky_session=0)
        assert await names(s, 4, session(b"node9")) == "aaaa"


async def test_redirect_and_domain() -> None:
    async with cluster(*members(3)) as s:
        change(s, "lb/a", activation=2, redirect="c")
        assert await names(s, 3, session(b"a")) == "ccc"
        change(s, "lb/a", redirect=None, domain="d")
        change(s, "lb/b", domain="d")
        assert await names(s, 3, session(b"a")) == "bbb"


async def test_what_cannot_be_is_logged_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(live.logger, "error", lambda text, *args: said.append(text % args))
    async with cluster(*members()) as s:
        change(s, "lb/a", lbfactor=7)
        # Nobody but an operator past all checks could write this.
        change(s, "lb/a", route="b")
        assert said == [
            "lb: a change cannot be taken, all is as before: two members have the route 'b'"
        ]
        assert [member.route for member in s.balancer.members] == ["a", "b"]
        assert s.balancer.members[0].lbfactor == 7
        assert await names(s, 2, session(b"a")) == "aa"
        change(s, "lb/a", route="c")
        assert s.balancer.members[0].route == "c"


async def test_attempts_under_way_end_with_their_member() -> None:
    done = asyncio.Event()
    a = Container([wait(done), send(whole(b"slow"))], respond(b"a"))
    async with cluster(a, Container(respond(b"b"))) as s:
        client = await s.connect()
        await client.send(get(b"/x", session(b"a")))
        await eventually(lambda: s.in_flight == [1, 0])
        change(s, "lb", method=list(Method).index(Method.BUSYNESS))
        change(s, "lb/a", lbfactor=4, route="other", activation=2)
        assert s.in_flight == [1, 0]
        done.set()
        response = await client.response()
        assert (response.status, response.body) == (200, b"slow")
        assert s.in_flight == [0, 0]


async def test_a_worker_moves_to_another_port() -> None:
    moved = Container(respond(b"moved"))
    async with moved, cluster(*members()) as s:
        assert await names(s, 2) == "ab"
        change(s, "a", port=moved.port)
        assert await names(s, 2, session(b"a")) == "movedmoved"
        assert s.process.workers["a"].settings.port == moved.port
        change(s, "a", port=None)
        assert await names(s, 1, session(b"a")) == "a"
        await eventually(lambda: not moved.open)


async def test_reply_timeout_counts_at_once(caplog: pytest.LogCaptureFixture) -> None:
    a = Container(respond(b"a"), [never])
    async with cluster(a, balancer={"retries": 1}, worker={"retries": 1}) as s:
        assert await names(s, 1) == "a"
        change(s, "a", reply_timeout_ms=50)
        client = await s.connect()
        assert (await client.ask(get(b"/x"))).status == 504
        assert reasons(caplog) == ["reply_timeout"]


async def test_retries_of_requests_to_come() -> None:
    a = Container(respond(b"a"))
    async with cluster(a) as s:
        before = s.process._live._targets["a"]
        change(s, "a", retries=5, recovery_options=1, max_packet_size=16384)
        assert s.process._live._targets["a"] is not before
        assert await names(s, 1) == "a"
        assert s.process.workers["a"].settings.max_packet_size == 16384


async def test_the_log_says_what_changed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ajpd.live")
    async with cluster(*members()) as s:
        change(s, "lb/a", lbfactor=4, activation=1)
        change(s, "lb", recover_time_ms=9000)
        change(s, "b", reply_timeout_ms=7)
    assert [record.getMessage() for record in caplog.records if record.name == "ajpd.live"] == [
        "lb/a: activation active -> disabled, lbfactor 1 -> 4",
        "lb: recover_time_ms 60000 -> 9000",
        "b: reply_timeout_ms 0 -> 7",
    ]


async def test_changed_files_win(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ajpd.live")
    async with cluster(*members()) as s:
        ledger, before = s.process.ledger, s.process._live._config
        slots(s)["lb/a"].configure(lbfactor=4, distance=1)
        slots(s)["lb"].configure(retries=7)
        slots(s)["b"].configure(reply_timeout_ms=7)
        let_files_win(ledger, before, before)
        assert slots(s)["lb/a"].config() == {"lbfactor": 4, "distance": 1}
        edited = _with_factor(before, 2)
        let_files_win(ledger, before, edited)
        assert slots(s)["lb/a"].config() == {"distance": 1}
        assert slots(s)["lb"].config() == {"retries": 7}
        assert slots(s)["b"].config() == {"reply_timeout_ms": 7}
    assert "lb/a: the files changed, and count again: lbfactor 2" in caplog.text
    assert Kind.MEMBER is slots(s)["lb/a"].kind


def _with_factor(config: Any, lbfactor: int) -> Any:
    lb = config.balancers["lb"]
    first, *others = lb.members
    changed = replace(lb, members=(replace(first, lbfactor=lbfactor), *others))
    return replace(config, balancers={"lb": changed})
