"""Containers that stand still, are gone, or only look so; and the requests that wait for them.

Member a does wrong, b is healthy. The probes are quick here, so that a test need not wait long.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ajp.lb import Activation
from ajp.snapshot import ProbeState
from ajpd.config.model import ProbeConfig
from tests.faults.cluster import Cluster, cluster, overrides, rule, session
from tests.faults.container import (
    CPONG,
    FLUSH,
    Connection,
    Container,
    Step,
    ask,
    chunk,
    delay,
    get_body,
    headers,
    read_body,
    respond,
    send,
    swallow,
    wait,
    whole,
)
from tests.faults.stage import Stage, eventually, get, post, stage

TO_A = session(b"a")
QUICK: dict[str, Any] = {
    "kind": "cping",
    "interval_ms": 100,
    "timeout_ms": 2000,
    "freeze_timeout_ms": 300,
}
#: Requests leave without a CPING of their own.
UNASKED = {"connect_timeout_ms": 0, "prepost_timeout_ms": 0}
PATIENCE = 10.0


def probing(**more: Any) -> dict[str, Any]:
    """Directives of a worker that is probed quickly."""
    return {"probe": ProbeConfig(**{**QUICK, **more})}


class Freezing(Container):
    """Does nothing at all from its next step on, after `freeze`, until `thaw`."""

    def __init__(self, *scripts: Sequence[Step]) -> None:
        super().__init__(*([self.still, *script] for script in scripts or [respond()]))
        self.moves = asyncio.Event()
        self.moves.set()
        self.pongs = [[self.still, send(CPONG)] for _ in range(1000)]

    async def still(self, connection: Connection) -> None:
        await self.moves.wait()

    def freeze(self) -> None:
        self.moves.clear()

    def thaw(self) -> None:
        self.moves.set()


@asynccontextmanager
async def pair(a: Container | None, **options: Any) -> AsyncIterator[Cluster]:
    """Both members, a probed."""
    settings = {**UNASKED, **options.pop("members_a", {}), **probing(**options.pop("probe", {}))}
    async with cluster(
        a, Container([read_body, send(whole(b"from b"))]), members=[settings], **options
    ) as made:
        yield made


async def settled(made: Stage, name: str, state: ProbeState) -> None:
    slot = made.process.ledger.workers[name]
    await eventually(lambda: slot.probe_state is state, within=PATIENCE, what=f"{state.name}")


def rescued(made: Stage, name: str = "a") -> int:
    return int(made.process.ledger.workers[name].totals().counters["rescued"])


async def asked(made: Stage, request: bytes) -> "asyncio.Task[bytes]":
    """A request under way; its result is the body of the answer."""
    client = await made.connect()

    async def answer() -> bytes:
        response = await client.ask(request)
        return b"%d " % response.status + response.body

    return asyncio.get_running_loop().create_task(answer())


async def test_who_may_moves_and_who_may_not_waits() -> None:
    a = Freezing()
    async with pair(a) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        a.freeze()
        gets = [await asked(made, get(b"/x", TO_A)) for _ in range(3)]
        put = await asked(made, post(b"small", b"/put", TO_A, method=b"PUT"))
        waits = await asked(made, post(b"once", b"/post", TO_A))
        await eventually(lambda: a.executions == 5)
        assert await asyncio.gather(*gets, put) == [b"200 from b"] * 4
        assert made.states.startswith("ERR ")
        assert not waits.done()
        # Nobody is sent there any more, and a session's next request need not wait.
        assert await (await asked(made, post(b"new", b"/post", TO_A))) == b"200 from b"
        assert a.executions == 5
        a.thaw()
        assert await waits == b"200 fine"
        await settled(made, "a", ProbeState.ANSWERS)
        await eventually(lambda: made.states.startswith("OK"), within=PATIENCE)
        assert rescued(made) == 4
        assert made.executions == [5, 5]
        # What a answers to those that left reaches nobody.
        await eventually(lambda: len(a.open) == 2)
        assert await (await asked(made, get(b"/x", TO_A))) == b"200 fine"


async def test_who_waits_for_an_endpoint_moves_whatever_it_is() -> None:
    a = Freezing()
    one = {"connection_pool_size": 1, "connection_acquire_timeout_ms": 60_000}
    async with pair(a, members_a=one) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        a.freeze()
        first = await asked(made, post(b"1", b"/", TO_A))
        await eventually(lambda: a.executions == 1)
        queued = await asked(made, post(b"2", b"/", TO_A))
        await eventually(lambda: made.process.workers["a"].pool.waiting == 1)
        assert await queued == b"200 from b"
        assert not first.done()
        a.thaw()
        assert await first == b"200 fine"
        assert made.executions == [1, 1]


async def test_requests_behind_a_cping_move_whatever_they_are() -> None:
    a = Freezing()
    async with pair(a, members_a={"connect_timeout_ms": 60_000}) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        a.freeze()
        posts = [await asked(made, post(b"once", b"/", TO_A)) for _ in range(2)]
        assert await asyncio.gather(*posts) == [b"200 from b"] * 2
        a.thaw()
        assert made.executions == [0, 2]


async def test_an_answer_that_began_waits() -> None:
    goes_on = asyncio.Event()
    head = send(headers(200, (b"Content-Length", b"4")), FLUSH)
    a = Freezing([head, wait(goes_on), respond_rest])
    async with pair(a) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        began = await asked(made, get(b"/", TO_A))
        await eventually(lambda: a.executions == 1)
        await asyncio.sleep(0.1)
        a.freeze()
        await settled(made, "a", ProbeState.FROZEN)
        await asyncio.sleep(0.3)
        assert not began.done()
        goes_on.set()
        a.thaw()
        assert await began == b"200 rest"
        assert rescued(made) == 0


async def test_an_answer_of_which_nobody_knows_moves() -> None:
    """The head alone came, as Tomcat sends it, and waits for what belongs to it."""
    a = Freezing([swallow, send(headers(200, (b"Content-Length", b"4"))), respond_rest])
    async with pair(a) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        a.freeze()
        a.scripts[0] = a.scripts[0][1:]
        began = await asked(made, get(b"/", TO_A))
        waits = await asked(made, post(b"once", b"/", TO_A))
        assert await began == b"200 from b"
        assert not waits.done()
        a.thaw()
        assert await waits == b"200 rest"
        assert rescued(made) == 1


async def test_heads_that_come_early_are_learned() -> None:
    """Another container than Tomcat may send them without a word that they are to leave."""
    goes_on = asyncio.Event()
    a = Container([send(headers(200, (b"Content-Length", b"4"))), wait(goes_on), finish])
    async with pair(a) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        waits = []
        for _ in range(2):
            client = await made.connect()
            begun = time.monotonic()
            await client.send(get(b"/", TO_A))
            while b"\r\n\r\n" not in client.buffer:
                await client.more()
            waits.append(time.monotonic() - begun)
            goes_on.set()
            assert (await client.response()).body == b"rest"
            goes_on.clear()
        assert waits[0] > 0.8
        assert waits[1] < waits[0] / 2


async def finish(connection: Connection) -> None:
    await connection.write(chunk(b"rest") + b"AB\0\x02\x05\x01")


async def respond_rest(connection: Connection) -> None:
    await connection.container.moves.wait()  # type: ignore[attr-defined]
    await connection.write(chunk(b"rest") + b"AB\0\x02\x05\x01")


async def test_nobody_else_is_there(caplog: pytest.LogCaptureFixture) -> None:
    a = Freezing()
    async with cluster(a, None, members=[{**UNASKED, **probing()}, probing()]) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        await settled(made, "b", ProbeState.FAILS)
        a.freeze()
        waits = await asked(made, get())
        await settled(made, "a", ProbeState.FROZEN)
        await asyncio.sleep(0.3)
        assert not waits.done()
        assert rescued(made) == 0
        a.thaw()
        assert await waits == b"200 fine"
    assert "worker=a is frozen: 0 requests moved, 1 stay" in caplog.text


async def test_a_container_that_stands_alone(caplog: pytest.LogCaptureFixture) -> None:
    container = Freezing()
    async with stage(container, worker={**UNASKED, **probing()}) as made:
        await settled(made, "app", ProbeState.ANSWERS)
        container.freeze()
        waits = await asked(made, get())
        await settled(made, "app", ProbeState.FROZEN)
        await asyncio.sleep(0.3)
        assert not waits.done()
        container.thaw()
        assert await waits == b"200 fine"
        await settled(made, "app", ProbeState.ANSWERS)
    assert "it is in no balancer, so nobody else can have its requests" in caplog.text
    assert "worker=app answers after" in caplog.text


async def test_a_session_that_may_go_nowhere_else_waits() -> None:
    a = Freezing()
    async with pair(a, balancer={"sticky_session_force": True}) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        a.freeze()
        stays = await asked(made, get(b"/", TO_A))
        await eventually(lambda: a.executions == 1)
        await settled(made, "a", ProbeState.FROZEN)
        await asyncio.sleep(0.3)
        assert not stays.done()
        a.thaw()
        assert await stays == b"200 fine"


async def test_a_rule_that_allows_nobody_else() -> None:
    a = Freezing()
    alone = rule(b"/alone/*", activations=overrides(2, b=Activation.STOPPED))
    async with pair(a, rules=[alone]) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        a.freeze()
        stays = await asked(made, get(b"/alone/x"))
        leaves = await asked(made, get(b"/x", TO_A))
        assert await leaves == b"200 from b"
        assert not stays.done()
        a.thaw()
        assert await stays == b"200 fine"


async def test_all_threads_at_work_is_not_frozen() -> None:
    """No CPING is answered, but one request of all gets somewhere."""
    drip = [step for _ in range(20) for step in (send(chunk(b"x")), delay(0.05))]
    script = [send(headers(200, (b"Content-Length", b"20"))), *drip, send(b"AB\0\x02\x05\x01")]
    a = Freezing(script, respond(b"at last"))
    async with pair(a) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        slow = await asked(made, get(b"/slow", TO_A))
        await eventually(lambda: a.executions == 1)
        await asyncio.sleep(0.1)
        a.freeze()
        waits = await asked(made, get(b"/waits", TO_A))
        assert await slow == b"200 " + b"x" * 20
        assert made.process.ledger.workers["a"].probe_state is ProbeState.ANSWERS
        assert made.states.startswith("OK")
        assert not waits.done()
        a.thaw()
        assert await waits == b"200 at last"
        assert (rescued(made), made.executions) == (0, [2, 0])


async def test_waiting_for_a_client_is_not_frozen() -> None:
    """All it has to do is to read what a client does not send."""
    a = Freezing([swallow, ask(), ask(), send(whole(b"thanks"))])
    async with pair(a) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        client = await made.connect()
        body = b"x" * 10_000
        request = post(body, b"/", TO_A)
        await client.send(request[:-1000])
        await eventually(lambda: a.executions == 1)
        await asyncio.sleep(0.2)
        a.freeze()
        await asyncio.sleep(1.0)
        assert made.process.ledger.workers["a"].probe_state is ProbeState.ANSWERS
        a.thaw()
        await client.send(request[-1000:])
        assert (await client.response()).body == b"thanks"


async def test_freeze_timeout_off() -> None:
    a = Freezing()
    async with pair(a, probe={"freeze_timeout_ms": 0, "timeout_ms": 300}) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        a.freeze()
        waits = await asked(made, get(b"/", TO_A))
        # It is taken as gone, which moves nobody.
        await settled(made, "a", ProbeState.FAILS)
        assert made.states.startswith("ERR ")
        assert not waits.done()
        a.thaw()
        assert await waits == b"200 fine"
        await settled(made, "a", ProbeState.ANSWERS)
        assert rescued(made) == 0


async def test_freeze_timeout_off_and_words_after_the_question() -> None:
    """It is late first, and says nothing to anybody only later."""
    goes_on = asyncio.Event()
    few = [step for _ in range(12) for step in (delay(0.05), send(chunk(b"x"), FLUSH))]
    a = Freezing([send(headers(200, (b"Content-Length", b"16")), FLUSH), *few, wait(goes_on)])
    async with pair(a, probe={"freeze_timeout_ms": 0, "timeout_ms": 300}) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        began = await asked(made, get(b"/", TO_A))
        await eventually(lambda: a.executions == 1)
        await asyncio.sleep(0.1)
        a.freeze()
        # Long before another connection would be tried.
        slot = made.process.ledger.workers["a"]
        await eventually(lambda: slot.probe_state is ProbeState.FAILS, within=5.0)
        assert not began.done()
        began.cancel()


async def test_no_request_finds_out_that_it_is_gone_and_back() -> None:
    before, after = Container(), Container()
    async with pair(before) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        await before.__aexit__(None, None, None)
        await settled(made, "a", ProbeState.FAILS)
        assert made.states.startswith("ERR ")
        answers = [await (await asked(made, get())) for _ in range(4)]
        assert answers == [b"200 from b"] * 4
        assert made.executions == [0, 4]
        after.port = before.port
        async with after:
            await settled(made, "a", ProbeState.ANSWERS)
            await eventually(lambda: made.states.startswith("OK"))
            for _ in range(30):
                assert (await (await asked(made, get()))).startswith(b"200 ")
            # Slow start: a tenth of what the other gets.
            assert 1 <= after.executions <= 6
            assert (await made.ask(get(b"/", TO_A))).body == b"fine"


async def test_a_page_says_who_is_well() -> None:
    status = 503

    async def page(connection: Connection) -> None:
        is_probe = connection.request.uri == b"/health"
        await connection.write(whole(b"page", status if is_probe else 200))

    a = Container([read_body, page])
    request = {"kind": "request", "uri": "/health"}
    async with pair(a, probe=request, balancer={"recover_time_ms": 60_000}) as made:
        await settled(made, "a", ProbeState.FAILS)
        assert made.states.startswith("ERR ")
        assert await (await asked(made, get())) == b"200 from b"
        status = 200
        await settled(made, "a", ProbeState.ANSWERS)
        assert made.states.startswith("OK")
        # By what it failed does not matter either.
        made.balancer.records[0].returned = -1.0
        status = 500
        await settled(made, "a", ProbeState.FAILS)


async def test_failed_by_status_stays_out_where_a_cping_is_all() -> None:
    a = Container([read_body, send(whole(b"", 500))])
    async with pair(a, members_a={"fail_on_status": (500,)}) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        assert await (await asked(made, get(b"/", TO_A))) == b"200 from b"
        slot = made.process.ledger.workers["a"]
        before = slot.totals().counters["probes"]
        await eventually(lambda: slot.totals().counters["probes"] > before + 2, within=PATIENCE)
        assert made.states.startswith("ERR ")


async def test_switched_off() -> None:
    a = Container()
    async with pair(a, probe={"kind": "off"}) as made:
        await asyncio.sleep(0.3)
        assert (a.connections, a.cpings) == (0, 0)
        assert not made.process._prober.is_probing
        assert "listens" in repr(made.process._prober)


async def test_asked_at_once_where_requests_wait() -> None:
    """Long before the next probe is due."""
    a = Freezing()
    async with pair(a, probe={"interval_ms": 60_000}) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        a.freeze()
        waits = await asked(made, get(b"/", TO_A))
        assert await waits == b"200 from b"
        a.thaw()


async def test_a_late_upload_moves_when_it_is_kept() -> None:
    a = Freezing([swallow, send(get_body()), wait(asyncio.Event())])
    async with pair(a, members_a={"replay_buffer": 65_536}) as made:
        await settled(made, "a", ProbeState.ANSWERS)
        put = await asked(made, post(b"x" * 20_000, b"/", TO_A, method=b"PUT"))
        await eventually(lambda: a.executions == 1)
        a.freeze()
        assert await put == b"200 from b"
        a.thaw()
