"""A balancer in the test's own loop: several scripted containers behind one front.

The members are called a, b, c … in the order of their containers, and so are their routes. Taken
down again like a `stage`; besides, nothing may be on its way to any member when all is over.
"""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from ajp.constants import AttributeCode
from ajp.lb import Activation, Balancer, Extension, State, activations
from ajp.messages import ForwardRequest
from ajpd.config.errors import Place
from ajpd.config.model import (
    BalancerConfig,
    Config,
    ListenAddress,
    MemberConfig,
    Mount,
    ServerConfig,
    WorkerConfig,
)
from ajpd.listeners import open_listener
from ajpd.process import Process
from tests.faults.container import Container, Seen
from tests.faults.nowhere import unused_port
from tests.faults.stage import LONGEST, SERVER, TIMEOUT, WORKER, Stage, eventually, open_files

NAMES = "abcdefgh"
#: What the tests know by heart, and no pause that a test does not ask for.
BALANCER: dict[str, Any] = {"retry_interval_ms": 0, "place": Place("test")}
MEMBER: dict[str, Any] = {"retry_interval_ms": 100, "connection_acquire_timeout_ms": 2000}

Options = Mapping[str, Any]


class Cluster(Stage):
    """A stage with several containers; `containers` has None for those where nobody listens."""

    def __init__(
        self, containers: Sequence[Container | None], process: Process, where: Any
    ) -> None:
        super().__init__(None, process, where)
        self.containers = containers

    @property
    def balancer(self) -> Balancer:
        return self.process.groups["lb"].balancer

    @property
    def states(self) -> str:
        """States of all members as status pages spell them."""
        return " ".join(State(record.state).label for record in self.balancer.records)

    @property
    def in_flight(self) -> list[int]:
        return [record.in_flight for record in self.balancer.records]

    @property
    def executions(self) -> list[int]:
        """Whole requests that each container read."""
        return [0 if each is None else each.executions for each in self.containers]

    def heads(self, member: int) -> list[ForwardRequest]:
        """Requests as a container saw them."""
        container = self.containers[member]
        return [] if container is None else [seen.head for seen in container.requests]

    def set_state(self, member: int, state: State) -> None:
        record = self.balancer.records[member]
        assert record.change_state(record.state, state)

    def later(self, seconds: float) -> None:
        """Do what maintenance will do by then."""
        assert self.balancer.maintain(time.monotonic() + seconds)


def rule(pattern: bytes, **more: Any) -> Mount:
    """A rule that leads to the balancer; what `Extension` knows goes there."""
    extension = {name: more.pop(name) for name in list(more) if name in Extension.__slots__}
    return Mount(
        pattern=pattern,
        worker="lb",
        extension=Extension(**extension) if extension else None,
        **more,
    )


def overrides(count: int, **wanted: Activation) -> bytes:
    """Activations of a rule, for `rule`."""
    return activations(list(NAMES[:count]), wanted)


def configuration(
    ports: Sequence[int],
    *,
    server: Options,
    balancer: Options,
    members: Sequence[Options],
    worker: Options,
    rules: Sequence[Mount],
) -> Config:
    made = []
    for number, port in enumerate(ports):
        own = dict(members[number]) if number < len(members) else {}
        name = NAMES[number]
        facts = {key: own.pop(key) for key in list(own) if key in MemberConfig.__slots__}
        settings = {**WORKER, **MEMBER, **worker, **own, "name": name, "port": port}
        made.append(
            MemberConfig(
                **{"name": name, "route": name, **facts, "worker": WorkerConfig(**settings)}
            )
        )
    lb = BalancerConfig(**{**BALANCER, "name": "lb", "members": tuple(made), **balancer})
    return Config(
        server=ServerConfig(**{**SERVER, **server}),
        balancers={"lb": lb},
        rules=(rule(b"/*"), rule(b"/soon/*", reply_timeout_ms=200), *rules),
    )


@contextmanager
def nothing_wrong() -> Iterator[None]:
    """No error is logged, or left to the loop, and no socket stays."""
    loop = asyncio.get_running_loop()
    uncaught: list[dict[str, Any]] = []
    records: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    loop.set_exception_handler(lambda _, context: uncaught.append(context))
    logging.getLogger().addHandler(handler)
    try:
        yield
        assert not uncaught, uncaught
        assert not records, records
    finally:
        logging.getLogger().removeHandler(handler)
        loop.set_exception_handler(None)


@asynccontextmanager
async def cluster(
    *containers: Container | None,
    server: Options | None = None,
    balancer: Options | None = None,
    members: Sequence[Options] = (),
    worker: Options | None = None,
    rules: Sequence[Mount] = (),
) -> AsyncIterator[Cluster]:
    """Everything up, then down again with nothing left behind.

    Args:
        containers: behind the balancer; None is a port where nobody listens.
        server: values other than those of `SERVER`.
        balancer: values other than those of `BALANCER`.
        members: for each, values of its `MemberConfig` and of its worker.
        worker: of all members.
        rules: beside `/*` and `/soon/*`.
    """
    with nothing_wrong():
        before = open_files()
        async with AsyncExitStack() as stack:
            ports = [await _port_of(each, stack) for each in containers]
            config = configuration(
                ports,
                server=server or {},
                balancer=balancer or {},
                members=members,
                worker=worker or {},
                rules=rules,
            )
            listener = open_listener(ListenAddress(host="127.0.0.1", port=0))
            where = listener.getsockname()
            process = Process(config, [listener])
            await process.start()
            made = Cluster(containers, process, where)
            try:
                async with asyncio.timeout(LONGEST):
                    yield made
            finally:
                for client in made.clients:
                    client.reset()
                async with asyncio.timeout(TIMEOUT):
                    await process.stop()
        await _look_for_leftovers(made)
        await eventually(
            lambda: open_files() <= before, what=f"{open_files() - before} descriptors stayed"
        )


async def _port_of(container: Container | None, stack: AsyncExitStack) -> int:
    if container is None:
        return stack.enter_context(unused_port())
    await stack.enter_async_context(container)
    return container.port


async def _look_for_leftovers(made: Cluster) -> None:
    assert not made.service.clients
    for worker in made.process.workers.values():
        pool: Any = worker.pool
        await eventually(lambda pool=pool: pool.open == 0, what=f"endpoints stayed: {pool!r}")
        assert pool.waiting == 0
    assert made.in_flight == [0] * len(made.containers), made.balancer
    for name, container in zip(NAMES, made.containers, strict=False):
        if container is not None:
            most = made.process.workers[name].settings.max_packet_size
            assert not [each for each in container.violations if _is_one(each, most)]
            # To Tomcat it is the end of the body, whatever Content-Length says.
            assert not any(0 in seen.packets for seen in container.requests if _has_length(seen))


def _has_length(seen: Seen) -> bool:
    return seen.head.header(b"content-length") is not None


def _is_one(violation: str, max_packet_size: int) -> bool:
    """Whether it is one where packets of that size are welcome; a Container expects small ones."""
    size = re.fullmatch(r"packet of (\d+) bytes", violation)
    return size is None or int(size[1]) > max_packet_size - 4


def session(*routes: bytes) -> bytes:
    """A Cookie line with a session of each route."""
    return b"Cookie: " + b"; ".join(b"JSESSIONID=abc." + route for route in routes)


def route_of(head: ForwardRequest) -> object:
    """What a container was told its route is."""
    return head.attribute(AttributeCode.ROUTE)


def named(head: ForwardRequest, name: bytes) -> list[object]:
    """Values of a request attribute that has no code."""
    return [each.value for each in head.attributes if each.name == name]
