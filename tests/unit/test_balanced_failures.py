"""Both clients before a balancer: who gets a request when an attempt failed, if anybody does."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from ajp.balancing import Balancer
from ajp.container import serve
from ajp.errors import (
    AJPError,
    ConnectFailed,
    EndpointClosed,
    EndpointError,
    EndpointReset,
    LocalProtocolError,
    PoolTimeout,
    Progress,
    Reason,
    RemoteProtocolError,
    ReplyTimeout,
)
from ajp.members import Member
from tests.unit.balanced_stage import (
    BREAKS,
    DROPS,
    GARBLES,
    STALLS,
    Make,
    each_client,
    members,
    nodes,
    settled,
)
from tests.unit.support import until
from tests.unit.worker_stage import unused_port

BIG = bytes(range(256)) * 256


def gone(name: str = "gone") -> Member:
    return Member(f"127.0.0.1:{unused_port()}", name=name)


def states(balancer: Balancer) -> list[str]:
    return [each.state.label for each in balancer.members]


# --- who gets it next ---------------------------------------------------------------------------


@each_client
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("content", [None, BIG, "é"])
async def test_nobody_there(make: Make, method: str, content: Any) -> None:
    """What could not be sent goes to the next one, whatever it is."""
    async with nodes("b") as (b,):
        balancer = Balancer([gone(), *members([b])])
        with settled(balancer):
            async with make(balancer) as client:
                response = await client.request(method, "/", content=content)
                assert (response.member, response.text) == ("b", "b")
        sent = content.encode() if isinstance(content, str) else content or b""
        assert b.bodies == [sent]
    assert states(balancer)[0] == "ERR"
    assert balancer.members[0].errors == 1


FAILURES = [
    (DROPS, {}),
    (GARBLES, {}),
    pytest.param(STALLS, {"reply_timeout": 0.25}, marks=pytest.mark.slow),
]


@each_client
@pytest.mark.parametrize(("does", "options"), FAILURES)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_what_may_be_executed_twice(
    make: Make, method: str, does: str, options: dict[str, Any]
) -> None:
    async with nodes("a", "b") as (a, b):
        a.does = does
        balancer = Balancer(members([a, b]))
        with settled(balancer):
            async with make(balancer, **options) as client:
                response = await client.request(method, "/", content=BIG)
                assert response.member == "b"
        assert (a.heard, b.heard) == ([f"{method} /"], [f"{method} /"])
        assert a.bodies == b.bodies == [BIG]


@each_client
@pytest.mark.parametrize(("does", "options"), FAILURES)
async def test_what_must_not(make: Make, does: str, options: dict[str, Any]) -> None:
    async with nodes("a", "b") as (a, b):
        a.does = does
        balancer = Balancer(members([a, b]))
        with settled(balancer):
            async with make(balancer, **options) as client:
                with pytest.raises(AJPError) as caught:
                    await client.post(content=b"x")
        assert (len(a.heard), len(b.heard)) == (1, 0)
        wrong = {
            DROPS: (EndpointClosed, EndpointReset),
            GARBLES: (RemoteProtocolError,),
            STALLS: (ReplyTimeout,),
        }
        assert isinstance(caught.value, wrong[does])
        if isinstance(caught.value, EndpointError):
            assert caught.value.progress is Progress.BODY_SENT


@each_client
@pytest.mark.parametrize(
    ("recovery_options", "method", "moves"),
    [
        (None, "PUT", True),
        (None, "PATCH", False),
        (0, "POST", True),
        (1, "GET", False),
        (1 | 16, "GET", True),
        (1 | 16, "HEAD", False),
        (1 | 8, "HEAD", True),
    ],
)
async def test_recovery_options(
    make: Make, recovery_options: int | None, method: str, moves: bool
) -> None:
    async with nodes("a", "b") as (a, b):
        a.does = DROPS
        balancer = Balancer(members([a, b]), recovery_options=recovery_options)
        async with make(balancer) as client:
            if moves:
                assert (await client.request(method)).member == "b"
            else:
                with pytest.raises(EndpointError):
                    await client.request(method)
        assert (len(a.heard), len(b.heard)) == (1, int(moves))


@each_client
async def test_nothing_moves_once_a_response_began(make: Make) -> None:
    async with nodes("a", "b") as (a, b):
        a.does = BREAKS
        balancer = Balancer(members([a, b]), recovery_options=0)
        with settled(balancer):
            async with make(balancer) as client:
                with pytest.raises(EndpointError) as caught:
                    await client.get()
        assert caught.value.progress is Progress.RESPONSE_STARTED
        assert b.heard == []
    assert balancer.members[0].errors == 1


def pieces(*sizes: int) -> Iterator[bytes]:
    for size in sizes:
        yield b"x" * size


@each_client
async def test_content_in_pieces(make: Make) -> None:
    """It moves on while all that was taken out of it is still here, and not after."""
    async with nodes("a", "b") as (a, b):
        balancer = Balancer([gone(), *members([b])])
        async with make(balancer) as client:
            assert (await client.request("PUT", content=pieces(9000, 5))).member == "b"
            balancer.recover("gone")
            known = {"content-length": "9005"}
            answer = await client.request("PUT", content=pieces(9000, 5), headers=known)
            assert answer.member == "b"
        assert b.bodies == [b"x" * 9005] * 2
        a.does, a.reads_body = DROPS, False
        async with make(Balancer(members([a, b]))) as client:
            known = {"content-length": "5000"}
            answer = await client.request("PUT", content=pieces(5000), headers=known)
            assert (answer.member, b.bodies[-1]) == ("b", b"x" * 5000)
        a.reads_body = True
        for headers in ({}, {"content-length": "9005"}):
            async with make(Balancer(members([a, b]))) as client:
                heard = len(b.heard)
                with pytest.raises(EndpointError):
                    await client.request("PUT", content=pieces(9000, 5), headers=headers)
                assert len(b.heard) == heard


@each_client
async def test_fail_on_status(make: Make) -> None:
    async with nodes("a", "b") as (a, b):
        balancer = Balancer(members([a, b]), fail_on_status=[500, -503])
        with settled(balancer):
            async with make(balancer) as client:
                a.does = 503
                assert (await client.get()).member == "b"
                assert states(balancer)[0] == "OK"
                a.does = 500
                assert (await client.get(attributes={"route": "a"})).member == "b"
                assert states(balancer)[0] == "ERR"
                b.does = 503
                with pytest.raises(EndpointError, match="b answered 503") as caught:
                    await client.post()
                assert caught.value.reason is Reason.FAIL_ON_STATUS
                b.does = 404
                assert (await client.get()).status == 404


@each_client
async def test_nobody_is_left(make: Make) -> None:
    """The failure of the last one, and who was tried."""
    balancer = Balancer([gone("a"), gone("b")], retry_interval_ms=1)
    with settled(balancer):
        async with make(balancer) as client:
            with pytest.raises(ConnectFailed) as caught:
                await client.post()
            assert "tried a, b" in caught.value.__notes__[0]
            assert states(balancer) in (["ERR", "ERR"], ["ERR/FRC", "ERR"], ["ERR", "ERR/FRC"])
            # Failed members are tried by force, for nobody else is left.
            with pytest.raises(ConnectFailed):
                await client.get()


@each_client
async def test_no_time_for_another_round(make: Make) -> None:
    balancer = Balancer([gone("a"), gone("b")], retry_interval_ms=60_000)
    async with make(balancer, timeout=1) as client:
        with pytest.raises(ConnectFailed) as caught:
            await client.get()
        assert "no time is left" in caught.value.__notes__[0]


@each_client
async def test_member_comes_back(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    async with nodes("a", "b") as (a, b):
        a.does = DROPS
        balancer = Balancer(members([a, b]), name="shop", recover_time_s=0, maintain_s=0.05)
        with caplog.at_level(logging.DEBUG, "ajp.lb"):
            async with make(balancer) as client:
                assert await client.tally(4) == Counter({"b": 4})
                a.does = 200
                answered: list[str | None] = []

                async def is_back() -> bool:
                    answered.append((await client.get()).member)
                    return answered[-1] == "a"

                for _ in range(200):
                    if await is_back():
                        break
                    await asyncio.sleep(0.01)
        assert answered[-1] == "a"
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert ("WARNING", "balancer=shop member=a OK/IDLE -> ERR event=failed") in lines or (
        "WARNING",
        "balancer=shop member=a OK -> ERR event=failed",
    ) in lines
    assert any(level == "INFO" and "member=a" in text for level, text in lines)


@each_client
async def test_recover_and_reset(make: Make) -> None:
    async with nodes("b") as (b,):
        lost = gone("a")
        balancer = Balancer([lost, *members([b])])
        async with make(balancer) as client:
            assert await client.tally(3) == Counter({"b": 3})
            assert balancer.recover("a") is True
            assert balancer.recover("b") is False
            assert states(balancer)[0] == "ERR/REC"
            balancer.reset("a")
            assert states(balancer)[0] == "OK/IDLE"
            assert balancer.members[0].errors == balancer.members[0].elected == 0


@each_client
async def test_dead_connections_are_no_failure(make: Make) -> None:
    """A member that was restarted: its old connections say nothing about it."""
    async with nodes("a") as (a,):
        balancer = Balancer(members([a]))
        async with make(balancer) as client:
            for _ in range(3):
                assert (await client.get()).status == 200
                assert a.server is not None
                port = a.server.port
                await a.server.close()
                a.server = await serve(a, port=port)
        assert a.server is not None
        await a.server.close()
        assert balancer.members[0].errors == 0


# --- what is our own fault, or our own will -----------------------------------------------------


@each_client
@pytest.mark.slow
async def test_own_time_is_up(make: Make) -> None:
    """That a caller has no more patience is no mark against a member."""
    async with nodes("a", "b") as (a, b):
        a.does = STALLS
        balancer = Balancer(members([a, b]))
        with settled(balancer):
            async with make(balancer) as client:
                with pytest.raises(ReplyTimeout):
                    await client.get(timeout=0.3)
        assert b.heard == []
    assert states(balancer)[0] in ("OK", "OK/IDLE")
    assert balancer.members[0].errors == 0


@each_client
@pytest.mark.slow
async def test_busy_member_is_passed_over(make: Make) -> None:
    async with nodes("a", "b") as (a, b):
        a.does = STALLS
        balancer = Balancer(members([a, b]))
        with settled(balancer):
            async with make(balancer, pool_size=1, acquire_timeout=0.2) as client:
                waiting = asyncio.create_task(client.get())
                await until(lambda: a.heard)
                assert await client.tally(3, attributes={"route": "a"}) == Counter({"b": 3})
                assert states(balancer)[0] == "OK/BUSY"
                a.goes_on.set()
                assert (await waiting).member == "a"
    assert balancer.members[0].errors == 0


@each_client
@pytest.mark.slow
async def test_nobody_has_a_connection(make: Make) -> None:
    async with nodes("a") as (a,):
        a.does = STALLS
        balancer = Balancer(members([a]), retry_interval_ms=1)
        async with make(balancer, pool_size=1, acquire_timeout=0.2) as client:
            waiting = asyncio.create_task(client.get())
            await until(lambda: a.heard)
            with pytest.raises(PoolTimeout):
                await client.get()
            a.goes_on.set()
            assert (await waiting).member == "a"


@each_client
async def test_stream_that_is_left(make: Make) -> None:
    async with nodes("a") as (a,):
        balancer = Balancer(members([a]))
        with settled(balancer):
            async with make(balancer) as client:
                a.does = BREAKS
                await client.leave_a_stream()
    assert balancer.members[0].errors == 0


@each_client
async def test_request_that_cannot_be_sent(make: Make) -> None:
    def failing() -> Iterator[bytes]:
        yield b"x"
        raise KeyError("the source")

    async with nodes("a", "b") as both:
        balancer = Balancer(members(both))
        with settled(balancer):
            async with make(balancer) as client:
                with pytest.raises(LocalProtocolError):
                    await client.get(headers={"x": "y" * 9000})
                with pytest.raises(LocalProtocolError):
                    # It fits without what the member is told besides.
                    await client.get(headers={"x": "y" * 8100})
                assert [node.heard for node in both] == [[], []]
                with pytest.raises(KeyError):
                    await client.post(content=failing())
    assert [each.errors for each in balancer.members] == [0, 0]


@each_client
async def test_cancelled(make: Make) -> None:
    if not make.is_async:
        pytest.skip("a blocking call cannot be cancelled")

    async def forever() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async with nodes("a") as (a,):
        balancer = Balancer(members([a]))
        a.does = STALLS
        with settled(balancer):
            async with make(balancer) as client:
                for content in (None, forever()):
                    task = asyncio.create_task(client.request("PUT", content=content))
                    heard = len(a.heard)
                    await until(lambda heard=heard: len(a.heard) > heard)  # type: ignore[misc]
                    assert balancer.members[0].in_flight == 1
                    task.cancel()
                    await asyncio.wait([task])
    assert balancer.members[0].errors == 0
