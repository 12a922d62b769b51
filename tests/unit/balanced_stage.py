"""Containers that behave as they are told, and a client of either kind before them."""

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from ajp.aio import AsyncClient
from ajp.balancing import Balancer
from ajp.channel import ContainerRequest
from ajp.constants import AttributeCode
from ajp.container import Server, serve
from ajp.members import Member
from ajp.request import Response
from ajp.sync import Client
from tests.unit.support import LOOPS

#: What a node may do with a request, beside answering it.
DROPS, STALLS, BREAKS, GARBLES = "drops", "stalls", "breaks", "garbles"


@dataclass
class Node:
    """A container: what it is to do, and what it was asked."""

    name: str
    does: str | int = 200
    heard: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    attributes: dict[str, bytes | int | None] = field(default_factory=dict)
    server: Server | None = None
    reads_body: bool = True
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def address(self) -> str:
        assert self.server is not None
        return f"ajp://127.0.0.1:{self.server.port}"

    async def __call__(self, request: ContainerRequest) -> None:
        self.heard.append(f"{request.method.decode()} {request.uri.decode()}")
        coded = {each.code: each.value for each in request.head.attributes}
        self.attributes = {
            "route": coded.get(AttributeCode.ROUTE),
            "secret": coded.get(AttributeCode.SECRET),
            "activation": request.attributes.get(b"JK_LB_ACTIVATION"),
        }
        if self.reads_body:
            self.bodies.append(await request.read())
        match self.does:
            case int(status):
                await request.respond(status, [("X-Node", self.name)], self.name)
            case "drops":
                request._channel.transport.abort()
                raise ConnectionAbortedError
            case "garbles":
                request._channel.put(b"AB\x00\x01\x63")
                request._channel.flush()
                await asyncio.Event().wait()
            case "stalls":
                await self.goes_on.wait()
                await request.respond(200, body=self.name)
            case "breaks":
                await request.send_headers(200)
                await request.write(b"half")
                await request.flush()
                raise ConnectionAbortedError


@asynccontextmanager
async def nodes(*names: str, secret: str | None = None) -> AsyncIterator[list[Node]]:
    async with AsyncExitStack() as stack:
        everybody = [Node(name) for name in names]
        for node in everybody:
            node.server = await stack.enter_async_context(serve(node, port=0, secret=secret))
        yield everybody


def members(everybody: list[Node], **options: Any) -> list[Member]:
    return [Member(node.address, name=node.name, **options) for node in everybody]


class Asker:
    """A client of either kind, asked in the same words.

    Args:
        client: that is asked.
    """

    def __init__(self, client: AsyncClient | Client) -> None:
        self.client = client

    async def request(self, method: str, url: str = "/", **options: Any) -> Response:
        if isinstance(self.client, AsyncClient):
            return await self.client.request(method, url, **options)
        return await asyncio.to_thread(self.client.request, method, url, **options)

    async def get(self, url: str = "/", **options: Any) -> Response:
        return await self.request("GET", url, **options)

    async def post(self, url: str = "/", **options: Any) -> Response:
        return await self.request("POST", url, **options)

    async def ping(self, **options: Any) -> float:
        if isinstance(self.client, AsyncClient):
            return await self.client.ping(**options)
        return await asyncio.to_thread(self.client.ping, **options)

    async def tally(self, times: int, **options: Any) -> Counter[str | None]:
        """So many GETs; who answered how many."""
        return Counter([(await self.get(**options)).member for _ in range(times)])

    async def leave_a_stream(self, url: str = "/") -> None:
        """Get the head of a response, and look away."""
        if isinstance(self.client, AsyncClient):
            async with self.client.stream("GET", url):
                return
        await asyncio.to_thread(self._leave, self.client, url)

    def _leave(self, client: Client, url: str) -> None:
        with client.stream("GET", url):
            return


class Make:
    """Makes clients of one kind."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async

    @asynccontextmanager
    async def __call__(self, balancer: Balancer | str, **options: Any) -> AsyncIterator[Asker]:
        options = {"timeout": 10, **options}
        if self.is_async:
            async with AsyncClient(balancer, **options) as client:
                yield Asker(client)
        else:
            with Client(balancer, **options) as blocking:
                yield Asker(blocking)


def each_client(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test with a client of each kind; its first argument makes them."""
    kinds = [*((loop, True) for loop in LOOPS), ("blocking", False)]

    def run(kind: tuple[str, bool], **fixtures: Any) -> None:
        loop, is_async = kind
        with asyncio.Runner(loop_factory=LOOPS.get(loop)) as runner:
            runner.run(asyncio.wait_for(test(Make(is_async), **fixtures), 30))

    asked = list(inspect.signature(test).parameters.values())[1:]
    kind = inspect.Parameter("kind", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = inspect.Signature([kind, *asked])  # type: ignore[attr-defined]
    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    run.pytestmark = list(getattr(test, "pytestmark", ()))  # type: ignore[attr-defined]
    return pytest.mark.parametrize("kind", kinds, ids=[name for name, _ in kinds])(run)


@contextmanager
def settled(balancer: Balancer) -> Iterator[None]:
    """Behind it nothing is in flight."""
    yield
    assert [each.in_flight for each in balancer.members] == [0] * len(balancer.members)
