"""Both clients before a balancer: who gets a request, by one process and by several."""

import asyncio
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ajp import lb
from ajp.balancing import Balancer
from ajp.errors import (
    BalancerError,
    NoUsableMember,
    PoolClosed,
    Reason,
    RouteNotFound,
)
from ajp.members import Member
from ajp.messages import ForwardRequest
from ajp.sync import Client
from ajp.table import Table
from tests.unit.balanced_stage import (
    DROPS,
    Make,
    each_client,
    members,
    nodes,
    settled,
)


def states(balancer: Balancer) -> list[str]:
    return [each.state.label for each in balancer.members]


# --- who gets it --------------------------------------------------------------------------------


@each_client
async def test_members_take_turns(make: Make) -> None:
    async with nodes("a", "b") as both:
        balancer = Balancer(members(both))
        with settled(balancer):
            async with make(balancer) as client:
                assert await client.tally(10) == Counter({"a": 5, "b": 5})
    assert [each.elected for each in balancer.members] == [5, 5]
    assert [len(node.heard) for node in both] == [5, 5]


@each_client
async def test_lbfactor(make: Make) -> None:
    async with nodes("a", "b") as (a, b):
        balancer = Balancer([Member(a.address, name="a", lbfactor=3), b.address])
        async with make(balancer) as client:
            counts = await client.tally(8)
    assert counts == Counter({"a": 6, balancer.containers[1].name: 2})


@each_client
@pytest.mark.parametrize("method", [*lb.Method, "busyness", "session"])
async def test_every_method_serves(make: Make, method: str) -> None:
    async with nodes("a", "b") as both:
        balancer = Balancer(members(both), method=method)
        with settled(balancer):
            async with make(balancer) as client:
                assert (await client.tally(6)).total() == 6


@each_client
@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("/app/x;jsessionid=abc.b", {}),
        ("/app/", {"Cookie": "x=y; JSESSIONID=abc.b"}),
        ("/app/", [("cookie", "JSESSIONID=old.nobody"), ("cookie", "JSESSIONID=abc.b")]),
    ],
)
async def test_sessions_stay(make: Make, url: str, headers: Any) -> None:
    async with nodes("a", "b") as both:
        async with make(Balancer(members(both))) as client:
            assert await client.tally(6, url=url, headers=headers) == Counter({"b": 6})
            assert await client.tally(6, url="/app/") == Counter({"a": 6})
        assert both[1].attributes == {"route": b"b", "activation": b"ACT", "secret": None}


@each_client
async def test_sessions_by_other_names(make: Make) -> None:
    async with nodes("a", "b") as both:
        balancer = Balancer(members(both), session_cookie="SID", session_path=";sid")
        async with make(balancer) as client:
            for _ in range(4):
                assert (await client.get("/x;sid=1.b")).member == "b"
                assert (await client.get("/x", headers={"cookie": "SID=1.a"})).member == "a"
    balancer = Balancer(["h:1", "h:2"], sticky_session=False)
    assert balancer.settings.sticky_session is False


@each_client
async def test_route_that_is_asked_for(make: Make) -> None:
    """As an administrator's JK_ROUTE: it counts more than the cookie."""
    async with nodes("a", "b") as both:
        async with make(Balancer(members(both))) as client:
            options = {"attributes": {"route": "b"}, "headers": {"cookie": "JSESSIONID=1.a"}}
            assert await client.tally(4, **options) == Counter({"b": 4})
        assert both[1].attributes["route"] == b"b"


@each_client
async def test_cookie_that_tells_the_route(make: Make) -> None:
    async with nodes("a") as (node,), nodes("b") as (other,):
        balancer = Balancer(members([node, other]), set_session_cookie=True, session_cookie="R")
        async with make(balancer) as client:
            response = await client.get()
            assert response.headers["set-cookie"] == "R=.a;PATH=/;HttpOnly"
            again = await client.get(headers={"cookie": "R=.a"})
            assert again.member == "a"
            assert "set-cookie" not in again.headers
            over_tls = await client.get("https://shop.example/")
            assert over_tls.headers["set-cookie"] == "R=.b;PATH=/;HttpOnly;Secure"


@each_client
async def test_secrets(make: Make) -> None:
    async with nodes("a", secret="one") as (a,), nodes("b", secret="two") as (b,):
        balancer = Balancer(
            [Member(a.address, name="a", secret="one"), Member(b.address, name="b")]
        )
        async with make(balancer, secret=b"two") as client:
            assert [(await client.get()).status for _ in range(4)] == [200] * 4
        assert "secret" not in repr(balancer.containers)
        assert (a.attributes["secret"], b.attributes["secret"]) == (b"one", b"two")


@each_client
async def test_activation(make: Make) -> None:
    async with nodes("a", "b") as both:
        balancer = Balancer(members(both))
        a_session = {"headers": {"cookie": "JSESSIONID=1.a"}}
        async with make(balancer) as client:
            balancer.drain("a")
            assert await client.tally(4) == Counter({"b": 4})
            assert await client.tally(4, **a_session) == Counter({"a": 4})
            assert both[0].attributes["activation"] == b"DIS"
            balancer.stop("a")
            assert await client.tally(4, **a_session) == Counter({"b": 4})
            assert [each.activation.letters for each in balancer.members] == ["STP", "ACT"]
            balancer.activate("a")
            assert await client.tally(4) == Counter({"a": 2, "b": 2})
            balancer.stop("a")
            balancer.stop("b")
            with pytest.raises(NoUsableMember, match=r"a STP .*, b STP") as caught:
                await client.get()
            assert caught.value.reason is Reason.NO_MEMBER
    with pytest.raises(ValueError, match="no member 'c'; members: a, b"):
        balancer.drain("c")


@each_client
async def test_session_that_may_go_nowhere_else(make: Make) -> None:
    async with nodes("a", "b") as both:
        balancer = Balancer(members(both), sticky_session_force=True, retry_interval_ms=1)
        async with make(balancer) as client:
            balancer.stop("a")
            with pytest.raises(RouteNotFound) as caught:
                await client.get(headers={"cookie": "JSESSIONID=1.a"})
            assert caught.value.reason is Reason.STICKY_FORCED
            assert isinstance(caught.value, BalancerError)
            assert (await client.get()).member == "b"


@each_client
async def test_closed(make: Make) -> None:
    async with nodes("a") as (a,):
        with Balancer(members([a])) as balancer:
            async with make(balancer) as client:
                assert (await client.get()).member == "a"
            with pytest.raises(PoolClosed):
                await client.get()
            assert balancer.members[0].in_flight == 0
        async with make(balancer) as client:
            with pytest.raises(NoUsableMember, match="closed"):
                await client.get()


@each_client
async def test_ping_of_a_member(make: Make) -> None:
    async with nodes("a", "b") as both:
        async with make(Balancer(members(both))) as client:
            assert await client.ping(member="b") > 0
            assert [node.server.connections for node in both if node.server] == [0, 1]
            with pytest.raises(ValueError, match="which member"):
                await client.ping()
            with pytest.raises(ValueError, match="no member 'c'"):
                await client.ping(member="c")
            assert "(a, b)" in repr(client.client)
        async with make(both[0].address) as client:
            with pytest.raises(ValueError, match="one container"):
                await client.ping(member="a")
            assert (await client.get()).member is None


def test_shared_by_threads() -> None:
    """No request is lost in the count, and the turns are taken exactly."""

    async def scene() -> None:
        async with nodes("a", "b") as both:
            balancer = Balancer(members(both))
            counts: Counter[str | None] = Counter()

            def work(client: Client) -> None:
                for _ in range(25):
                    counts[client.get("/").member] += 1

            with settled(balancer), Client(balancer, pool_size=4, timeout=10) as client:
                threads = [threading.Thread(target=work, args=(client,)) for _ in range(8)]
                for thread in threads:
                    thread.start()
                await asyncio.to_thread(lambda: [thread.join() for thread in threads])
            assert counts == Counter({"a": 100, "b": 100})

    asyncio.run(scene())


@each_client
async def test_shared_by_a_table(make: Make, tmp_path: Path) -> None:
    """What one balancer of a table learns, or is told, all know."""
    path = tmp_path / "shared"
    async with nodes("a", "b") as (a, b):
        a.does = DROPS
        Table.create(path, slots=8, columns=4)

        def attached() -> Balancer:
            return Balancer(members([a, b]), name="shop", table=Table.attach(path, writable=True))

        with attached() as one, attached() as other:
            async with make(one) as client:
                assert (await client.get()).member == "b"
            assert states(one) == states(other) == ["ERR", "OK"]
            async with make(other) as client:
                assert await client.tally(3) == Counter({"b": 3})
            assert len(a.heard) == 1
            one.stop("b")
            assert [each.activation.letters for each in other.members] == ["ACT", "STP"]
            other.reset("a")
            assert states(one)[0] == "OK/IDLE"
        with attached() as later:
            assert [each.activation.letters for each in later.members] == ["ACT", "STP"]
            assert later.members[1].elected == 4
        totals = {slot.name: slot.totals() for slot in Table.attach(path).slots()}
        assert totals["b"].counters["used"] == 4
        assert totals["b"].counters["status_2xx"] == 4
        assert Table.attach(path).processes() == []


def test_settled_can_fail() -> None:
    balancer = Balancer(["h:1"])
    placement = balancer.place(ForwardRequest())
    assert isinstance(placement.next(), lb.Choice)
    with pytest.raises(AssertionError), settled(balancer):
        assert placement.choice is not None
