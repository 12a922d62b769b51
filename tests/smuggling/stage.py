"""Plays a case: one front in this process, and a container that keeps all it got."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from ajp.constants import AttributeCode
from ajp.messages import ForwardRequest
from ajpd.config.model import Mount
from ajpd.listeners import open_listener
from ajpd.process import Process
from tests.faults.container import Connection, Container, Seen, read_body, whole
from tests.faults.stage import Broken, Response, Stage, configuration, eventually

from .case import Case, Reached

#: The configuration that every case is written for.
RULES: Final = (
    Mount(pattern=b"/app/*", worker="app"),
    Mount(pattern=b"/app/private/*", worker="app", is_exclusion=True),
)
TAIL_REACHED: Final = Reached(uri=b"/app/tail", path=b"/app/tail")

#: What the web server may say of a request beside its headers, whatever the client sends.
_CODES: Final = {
    AttributeCode.QUERY_STRING,
    AttributeCode.STORED_METHOD,
    AttributeCode.REQ_ATTRIBUTE,
    AttributeCode.ROUTE,
}
_NAMES: Final = {b"AJP_REMOTE_PORT", b"AJP_LOCAL_ADDR", b"JK_LB_ACTIVATION"}
_FRAMING: Final = (b"content-length", b"transfer-encoding")


@dataclass(slots=True)
class Outcome:
    """What came of a stream.

    Attributes:
        responses: whole ones, in order.
        is_closed: the connection ended, in order, and with nothing behind the last response.
        requests: all that the container got, whole or not, in order.
        port: that the front listened on.
    """

    responses: list[Response] = field(default_factory=list)
    is_closed: bool = False
    requests: list[Seen] = field(default_factory=list)
    port: int = 0

    @property
    def statuses(self) -> list[int]:
        return [response.status for response in self.responses]


async def _answer(connection: Connection) -> None:
    await connection.write(whole(connection.request.uri))


@asynccontextmanager
async def stage(max_packet_size: int = 8192) -> AsyncIterator[Stage]:
    """A front before a container; when it ends, the container has read all that it was sent."""
    async with Container([read_body, _answer]) as container:
        worker = {"port": container.port, "max_packet_size": max_packet_size}
        config = replace(configuration(worker=worker), rules=RULES)
        listener = open_listener(config.server.listen[0])
        process = Process(config, [listener])
        await process.start()
        made = Stage(container, process, listener.getsockname())
        try:
            yield made
        finally:
            for client in made.clients:
                client.reset()
            await process.stop()
            await eventually(lambda: not container.open, what="a container's connection stays")
        assert not container.violations


async def play(
    case: Case, pieces: Iterable[bytes], *, answers: int, first_method: bytes = b"GET"
) -> Outcome:
    """Send the pieces, read so many responses, and look at what is left on both sides."""
    outcome = Outcome()
    async with stage(case.max_packet_size) as s:
        outcome.port = s.where[1]
        client = await s.connect()
        try:
            for piece in pieces:
                await client.send(piece)
                await asyncio.sleep(0)
        except ConnectionError:
            pass  # refused before the last byte
        if case.is_cut:
            client.half_close()
        try:
            for number in range(answers):
                method = first_method if number == 0 else b"GET"
                outcome.responses.append(await client.response(method))
        except Broken:
            pass  # told by the number of responses
        # What does not announce its end would be waited for in vain.
        if case.closes and (not outcome.responses or outcome.responses[-1].closes):
            outcome.is_closed = await client.at_end()
    outcome.requests = s.container.requests
    return outcome


def check(case: Case, outcome: Outcome) -> None:
    """What came is what the case allows, and no more.

    Raises:
        AssertionError: it is not.
    """
    expected = [*case.answers, *([] if case.closes else [(200,)])]
    assert len(outcome.responses) == len(expected), outcome.statuses
    for status, allowed in zip(outcome.statuses, expected, strict=True):
        assert status in allowed, outcome.statuses
    assert outcome.is_closed is case.closes
    if case.closes and outcome.responses:
        assert outcome.responses[-1].closes
    complete = [each for each in outcome.requests if each.is_whole]
    wanted = [*case.reaches, *([] if case.closes else [TAIL_REACHED])]
    assert [_reached(each) for each in complete] == [_wanted(each, outcome.port) for each in wanted]
    _check_begun(case, outcome)
    for each in outcome.requests:
        check_trust(each.head)


def _check_begun(case: Case, outcome: Outcome) -> None:
    """Of what is not whole, no more than the beginning of what may begin."""
    begun = [each for each in outcome.requests if not each.is_whole]
    assert len(begun) <= (case.begins is not None), begun
    for each in begun:
        assert case.begins is not None
        assert case.begins.body.startswith(each.body)
        got, may = _reached(each), _wanted(case.begins, outcome.port)
        assert {**got, "body": b"", "framing": b""} == {**may, "body": b"", "framing": b""}


def _reached(each: Seen) -> dict[str, object]:
    """One request in the terms of `Reached`."""
    head = each.head
    lengths = [value for name, value in head.headers if name.lower() == _FRAMING[0]]
    codings = [value for name, value in head.headers if name.lower() == _FRAMING[1]]
    assert len(lengths) + len(codings) == 1, head.headers
    return {
        "method": head.method,
        "uri": head.uri,
        "query": _query(head),
        "headers": [
            (name.lower(), value) for name, value in head.headers if name.lower() not in _FRAMING
        ],
        "framing": int(lengths[0]) if lengths else codings[0],
        "body": each.body,
        "version": head.protocol,
        "server_name": head.server_name,
        "server_port": head.server_port,
    }


def _wanted(each: Reached, port: int) -> dict[str, object]:
    return {
        "method": each.method,
        "uri": each.uri,
        "query": each.query,
        "headers": [*each.headers],
        "framing": b"chunked" if each.is_chunked else len(each.body),
        "body": each.body,
        "version": each.version,
        "server_name": each.server_name,
        "server_port": each.server_port or port,
    }


def _query(head: ForwardRequest) -> object:
    found = [each.value for each in head.attributes if each.code is AttributeCode.QUERY_STRING]
    assert len(found) < 2, found
    return found[0] if found else None


def check_trust(head: ForwardRequest) -> None:
    """What only the web server may say is said by it, and not by the client.

    Raises:
        AssertionError: it is not so.
    """
    assert head.remote_addr == b"127.0.0.1"
    assert not head.remote_host
    assert not head.is_ssl
    for each in head.attributes:
        assert each.code in _CODES, each
        if each.code is AttributeCode.REQ_ATTRIBUTE:
            assert each.name in _NAMES, each
            if each.name == b"AJP_LOCAL_ADDR":
                assert each.value == b"127.0.0.1"
        elif each.code is AttributeCode.STORED_METHOD:
            assert each.value == head.method
