"""Any interleaving of what clients, containers and time can do to the exchange.

The machine only chooses; `exchange_stage` plays and judges. AJP_MACHINE_DEPTH multiplies the number
of examples: 20 takes some minutes.
"""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ajp import _codec
from ajp.errors import Reason
from ajp.messages import SendHeaders
from tests.property.exchange_checks import check
from tests.property.exchange_stage import READ, ClientEnd, ContainerEnd, Play, Transport
from tests.property.exchange_wire import Forward, Request, text
from tests.property.strategies import damaged

DEPTH = int(os.environ.get("AJP_MACHINE_DEPTH", "1"))
MOST_CLIENTS, MOST_ENDS = 3, 5
FAILURES = [
    Reason.CONNECT_REFUSED,
    Reason.CONNECT_TIMEOUT,
    Reason.QUEUE_TIMEOUT,
    Reason.POOL_EXHAUSTED,
    Reason.BUSY_LIMIT,
]
#: Packets that may come at a wrong time.
STRAY = [
    _codec.CPONG,
    _codec.FLUSH,
    _codec.END_RESPONSE_REUSE,
    _codec.END_RESPONSE_CLOSE,
    _codec.encode_get_body_chunk(100),
    _codec.encode_send_body_chunk(b"stray"),
    b"AB\x00\x0b\x04\x00\x64\x00\x03100\x00\x00\x00\x00",
    b"AB\x00\x00",
    b"AB\xff\xff",
    b"AB\x00\x01\x0a",
]
GARBAGE = st.one_of(
    st.binary(min_size=1, max_size=30),
    st.sampled_from(
        [
            b"\r\n" * 6,
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\nHost: a\n\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 17000,
            b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: nothing\r\nContent-Length: 3\r\n\r\nabc",
        ]
    ),
)
STATUSES = [200, 200, 200, 204, 205, 304, 404, 403, 500, 503]
LEAVING = ["shut", "shut", "close", "reset", "again"]
WRONG = ["flood", "damage", "garbage"]
#: What the process does of itself.
BUSINESS = ["accepts", "connects", "connects", "fails", "refuses", "waits", "asks", "retires"]
BUSINESS += ["drains", "hurries"]
which = st.integers(0, 4)
sizes = st.one_of(
    st.just(0), st.integers(1, 40), st.sampled_from([8184, 8186, 8187, 20_000, 70_000, 300_000])
)
amounts = st.one_of(st.just(READ), st.just(READ), st.integers(1, 300), st.integers(1, 20_000))


@st.composite
def request_shapes(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of Request.make, without its number."""
    minor = draw(st.sampled_from([1, 1, 1, 0]))
    method = draw(st.sampled_from([b"GET", b"HEAD", b"POST", b"POST", b"PUT"]))
    has_body = method in (b"POST", b"PUT")
    is_chunked = has_body and minor == 1 and draw(st.booleans())
    return {
        "method": method,
        "path": draw(st.sampled_from([b"/", b"/", b"/", b"/replaced", b"/strict", b"/nowhere"])),
        "minor": minor,
        "connection": draw(st.sampled_from([b"", b"", b"close", b"keep-alive"])),
        "expects": has_body and draw(st.sampled_from([False, False, True])),
        "size": draw(sizes) if has_body else 0,
        "chunk": draw(st.sampled_from([7000, 50, 100_000])) if is_chunked else 0,
    }


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of Play."""
    timeout = st.sampled_from([10.0, 10.0, 0.0])
    names = ("header_timeout", "keepalive_timeout", "body_timeout", "send_timeout")
    service: dict[str, Any] = {name: draw(timeout) for name in names}
    service["max_body_bytes"] = draw(st.sampled_from([0, 0, 100_000]))
    service["max_connections"] = draw(st.sampled_from([0] * 7 + [2]))
    return {
        "service": service,
        "target": {
            "retries": draw(st.sampled_from([2, 3, 1])),
            "recovery_options": draw(st.sampled_from([None, None, None, 0, 3, 4, 27])),
            "replay_buffer": draw(st.sampled_from([0, 65536])),
            "retry_interval": draw(st.sampled_from([0.0, 0.1])),
        },
        "high": draw(st.sampled_from([0, 2000, 65536])),
        "endpoint": {
            "connect_ping": draw(st.sampled_from([0.0, 0.0, 0.0, 2.0])),
            "reply_timeout": draw(st.sampled_from([0.0, 5.0])),
            "socket_timeout": draw(st.sampled_from([0.0, 5.0])),
        },
    }


class ExchangeMachine(RuleBasedStateMachine):
    """Chooses what happens next."""

    play: Play

    @initialize(chosen=options())
    def begin(self, chosen: dict[str, Any]) -> None:
        self.play = Play(**chosen)
        self.number = 0
        #: Bytes of response body every container said so far.
        self.said: dict[Forward, int] = {}
        self.play.connect_client()
        for _ in range(3):
            self.play.connect_container()

    @property
    def clients(self) -> list[ClientEnd]:
        return [client for client in self.play.clients if not client.transport.is_lost]

    @property
    def ends(self) -> list[ContainerEnd]:
        """Connections to containers, those that carry a request first."""
        there = [end for end in self.play.worker.ends.values() if not end.transport.is_lost]
        return sorted(there, key=lambda end: end.carries is None)

    @property
    def transports(self) -> list[Transport]:
        return [each.transport for each in self.clients] + [end.transport for end in self.ends]

    # --- clients ----------------------------------------------------------------------------------

    @precondition(lambda self: self.clients)
    @rule(at=which, shape=request_shapes(), amount=amounts)
    def a_client_asks(self, at: int, shape: dict[str, Any], amount: int) -> None:
        client = one_of(self.clients, at)
        client.enqueue(self.request(**shape))
        client.send(amount)

    @precondition(lambda self: self.clients)
    @rule(at=which, shapes=st.lists(request_shapes(), min_size=2, max_size=4))
    def a_client_pipelines(self, at: int, shapes: list[dict[str, Any]]) -> None:
        client = one_of(self.clients, at)
        for shape in shapes:
            client.enqueue(self.request(**shape))
        client.send(READ)

    @precondition(lambda self: self.clients)
    @rule(at=which, how=st.sampled_from(LEAVING + WRONG), drawn=st.data())
    def a_client_misbehaves(self, at: int, how: str, drawn: st.DataObject) -> None:
        client = one_of(self.clients, at)
        if how in WRONG:
            self.send_wrongly(client, how, drawn)
        else:
            self.leave(client, how)

    def leave(self, client: ClientEnd, how: str) -> None:
        """It closes its side of the connection, or both, or resets it."""
        transport = client.transport
        client.is_gone |= how in ("close", "reset")
        if how == "reset":
            transport.reset()
        elif transport.can_read:
            transport.eof()
        elif transport.at_eof and transport.was_resumed and not transport.closed_by:
            # Who resumes reading behind the end of a stream is told of it once more.
            transport.eof()

    def send_wrongly(self, client: ClientEnd, how: str, drawn: st.DataObject) -> None:
        if how == "flood":
            for _ in range(50):
                client.enqueue(self.request(method=b"GET", path=b"/", padding=6000))
            for _ in range(4):
                client.send(READ)
        elif how == "damage":
            shape = drawn.draw(request_shapes())
            raw = self.request(**{**shape, "size": min(shape["size"], 40)}).raw
            client.enqueue(Request.unknown(drawn.draw(damaged(st.just(raw)))))
        else:
            client.enqueue(Request.unknown(drawn.draw(GARBAGE)))
        client.send(READ)

    # --- what is to be expected -------------------------------------------------------------------

    @rule(drawn=st.data(), count=st.integers(1, 8))
    def things_take_their_course(self, drawn: st.DataObject, count: int) -> None:
        """As one of many rules progress would be rare, and little of it seen."""
        for _ in range(count):
            moves = self.moves()
            if not moves:
                return
            name = drawn.draw(st.sampled_from(sorted(moves)))
            getattr(self, name)(drawn.draw(st.sampled_from(moves[name])), drawn)
            check(self.play)

    def moves(self) -> dict[str, list[int]]:
        """Methods that can go on now, and with which of the clients, ends or transports."""
        ends, clients, every = self.ends, self.clients, self.transports
        states = [end.heard.state if not end.transport.closed_by else "" for end in ends]
        said_all = [not end.outbox for end in ends]
        found = {
            "loss": [i for i, each in enumerate(every) if each.loss],
            "send": [
                i
                for i, client in enumerate(clients)
                if len(client.outbox) > client.delivered and client.transport.can_read
            ],
            "arrive": [i for i, e in enumerate(ends) if e.outbox and e.transport.can_read],
            "pong": [i for i, end in enumerate(ends) if end.told.pings],
            "respond": [i for i, s in enumerate(states) if s == "waiting" and said_all[i]],
            "go_on": [i for i, s in enumerate(states) if s == "responding" and said_all[i]],
            "connect": [0] if self.play.worker.waiting else [],
        }
        found["done"] = found["go_on"]
        found["want"] = [i for i in found["respond"] + found["go_on"] if self.may_ask(ends[i])]
        return {name: places for name, places in found.items() if places}

    def loss(self, at: int, _: st.DataObject) -> None:
        self.transports[at].lose()

    def connect(self, _: int, __: st.DataObject) -> None:
        self.play.connect_container()

    def send(self, at: int, drawn: st.DataObject) -> None:
        self.clients[at].send(drawn.draw(amounts))

    def arrive(self, at: int, drawn: st.DataObject) -> None:
        self.ends[at].send(drawn.draw(amounts))

    def pong(self, at: int, _: st.DataObject) -> None:
        end = self.ends[at]
        end.told.pings -= 1
        end.outbox += _codec.CPONG
        end.send(READ)

    def respond(self, at: int, drawn: st.DataObject) -> None:
        end = self.ends[at]
        length = drawn.draw(st.none() | st.sampled_from([0, 5, 8184, 60_000]))
        assert end.heard.forward is not None
        end.outbox += head_of(end.heard.forward, drawn.draw(st.sampled_from(STATUSES)), length)
        size = drawn.draw(sizes)
        self.add_body(end, size if length is None else min(size, length + 1))
        if drawn.draw(st.booleans()):
            end.outbox += _codec.END_RESPONSE_REUSE
        end.send(drawn.draw(amounts))

    def go_on(self, at: int, drawn: st.DataObject) -> None:
        end = self.ends[at]
        self.add_body(end, drawn.draw(sizes))
        end.outbox += drawn.draw(st.sampled_from([b"", _codec.FLUSH]))
        end.send(drawn.draw(amounts))

    def done(self, at: int, drawn: st.DataObject) -> None:
        end = self.ends[at]
        last = st.sampled_from([_codec.END_RESPONSE_REUSE, _codec.END_RESPONSE_CLOSE])
        end.outbox += drawn.draw(last)
        end.send(drawn.draw(amounts))

    def want(self, at: int, drawn: st.DataObject) -> None:
        end = self.ends[at]
        size = drawn.draw(st.sampled_from([8186, 65000, 100, 1]))
        for _ in range(drawn.draw(st.integers(1, 12))):
            if self.may_ask(end):
                end.outbox += b"AB\x00\x03\x06" + size.to_bytes(2, "big")
                end.send(READ)

    # --- both -------------------------------------------------------------------------------------

    @precondition(lambda self: self.transports and not any(t.is_stalled for t in self.transports))
    @rule(at=st.integers(0, 9))
    def somebody_takes_nothing(self, at: int) -> None:
        one_of(self.transports, at).is_stalled = True

    @precondition(lambda self: any(each.is_stalled for each in self.transports))
    @rule(at=st.integers(0, 9), most=st.none() | st.integers(1, 70_000))
    def somebody_takes_something(self, at: int, most: int | None) -> None:
        transport = one_of([each for each in self.transports if each.is_stalled], at)
        transport.is_stalled = most is not None
        transport.take(most)

    @precondition(lambda self: self.play.armed())
    @rule(at=which, count=st.sampled_from([1, 1, 1, 2, 9]))
    def time_passes(self, at: int, count: int) -> None:
        armed = self.play.armed()
        at %= len(armed)
        self.play.pass_time((armed[at:] + armed[:at])[:count])

    # --- the worker -------------------------------------------------------------------------------

    @rule(at=which, how=st.sampled_from(BUSINESS), reason=st.sampled_from(FAILURES))
    def the_process_minds_its_business(self, at: int, how: str, reason: Reason) -> None:
        worker, service = self.play.worker, self.play.service
        if how == "accepts" and len(self.clients) < MOST_CLIENTS:
            self.play.connect_client()
        elif how == "connects" and (worker.waiting or len(self.ends) < MOST_ENDS):
            self.play.connect_container()
        elif how == "fails" and worker.waiting:
            worker.fail(worker.waiting.pop(0), reason)
        elif how == "refuses":
            worker.refuses = reason
        elif how == "waits":
            worker.keeps_waiting = not worker.keeps_waiting
        elif how == "asks" and worker.idle:
            worker.ask(one_of(worker.idle, at), 2.0)
        elif how == "retires" and self.ends:
            end = one_of(self.ends, at)
            end.endpoint.retire()
            if end in worker.idle:
                end.endpoint.close()
        elif how == "drains" and at == 0 and not service.draining:
            self.play.drain()
        elif how == "hurries" and service.draining:
            for client in self.clients:
                self.play.abort(client)

    # --- containers -------------------------------------------------------------------------------

    @precondition(lambda self: self.ends)
    @rule(at=which, how=st.sampled_from(["stray", "damage", "eof", "reset"]), drawn=st.data())
    def a_container_misbehaves(self, at: int, how: str, drawn: st.DataObject) -> None:
        end = one_of(self.ends, at)
        if how == "reset":
            end.transport.reset()
        elif how == "eof":
            if end.transport.can_read:
                end.transport.eof()
        else:
            packet = st.sampled_from(STRAY)
            end.is_honest = False
            if end.heard.forward is not None:
                packet |= st.just(head_of(end.heard.forward, 200))
            end.outbox += drawn.draw(packet if how == "stray" else damaged(packet))
            end.send(READ)

    @invariant()
    def nothing_is_wrong(self) -> None:
        if hasattr(self, "play"):
            check(self.play)

    def teardown(self) -> None:
        if hasattr(self, "play"):
            self.play.end()

    # --- what rules need --------------------------------------------------------------------------

    def may_ask(self, end: ContainerEnd) -> bool:
        """A container asks again once it got something; behind the end Tomcat does so once."""
        heard = end.heard
        if heard.forward is None or heard.state not in ("waiting", "responding") or heard.asks:
            return False
        return heard.forward.ends < 2 and not end.outbox

    def request(self, **shape: Any) -> Request:
        self.number += 1
        return Request.make(self.number, **shape)

    def add_body(self, end: ContainerEnd, size: int) -> None:
        forward = end.heard.forward
        assert forward is not None
        said = self.said.setdefault(forward, 0)
        body = text(forward.serial + 500, said + size)[said:]
        self.said[forward] += size
        for at in range(0, size, 8184):
            end.outbox += _codec.encode_send_body_chunk(body[at : at + 8184])


def head_of(forward: Forward, status: int, length: int | None = None) -> bytes:
    """A head that says whose answer it is."""
    fields = [(b"X-Serial", b"%d" % forward.serial)]
    if length is not None:
        fields.append((b"Content-Length", b"%d" % length))
    return _codec.encode_send_headers(SendHeaders(status, b"", tuple(fields)))


def one_of(things: list[Any], at: int) -> Any:
    return things[at % len(things)]


ExchangeMachine.TestCase.settings = settings(
    max_examples=200 * DEPTH,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
@pytest.mark.timeout(600)  # what was found is made small before it is told
class TestExchange(ExchangeMachine.TestCase):  # type: ignore[misc,valid-type]
    """Runs the machine."""
