"""Connections of clients, and connections to Tomcat: kept, closed and shared as they should be."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from .conftest import MakeDaemon
from .front import Front
from .rawhttp import Client, Header, Response, build, fetch
from .tomcat import Connector

_KEEP: Header = ("Connection", "keep-alive")
_CLOSE: Header = ("Connection", "close")


def request(*headers: Header, target: str = "/app/bytes?n=5", version: str = "HTTP/1.1") -> bytes:
    return build("GET", target, headers, version=version)


def tokens(response: Response) -> list[str]:
    """What Connection says, in lower case."""
    values = ",".join(response.all("Connection")).lower()
    return [token.strip() for token in values.split(",") if token.strip()]


# --- of clients -------------------------------------------------------------------------------


def test_connection_is_kept(front: Front) -> None:
    with Client(front.address) as client:
        for _ in range(50):
            response = client.exchange(request())
            assert response.status == 200
            assert "close" not in tokens(response)
        assert client.is_open()


def test_connection_is_closed_when_the_client_says_so(front: Front) -> None:
    with Client(front.address) as client:
        response = client.exchange(request(_CLOSE))
        assert response.status == 200
        assert "close" in tokens(response)
        assert client.is_closed()


@pytest.mark.parametrize("target", ["/app/bytes?n=5", "/app/bytes?n=5&chunked"])
def test_http_1_0_is_closed_after_the_answer(front: Front, target: str) -> None:
    with Client(front.address) as client:
        response = client.exchange(request(target=target, version="HTTP/1.0"))
        assert (response.status, len(response.body)) == (200, 5)
        assert response.framing != "chunked"
        assert client.is_closed()


def test_http_1_0_is_kept_when_the_client_says_so(front: Front) -> None:
    with Client(front.address) as client:
        for _ in range(3):
            response = client.exchange(request(_KEEP, version="HTTP/1.0"))
            assert response.status == 200
            assert "keep-alive" in tokens(response)
        assert client.is_open()


def test_http_1_0_is_closed_where_the_length_is_unknown(front: Front) -> None:
    with Client(front.address) as client:
        target = "/app/bytes?n=5&chunked"
        response = client.exchange(request(_KEEP, target=target, version="HTTP/1.0"))
        assert (response.framing, len(response.body)) == ("close", 5)
        assert client.is_closed()


def test_pipelined_requests_are_answered_in_order(front: Front) -> None:
    """Slow ones before fast ones, and all of them sent in one piece."""
    targets = [
        "/app/count?key=none&read&ms=200",
        "/app/bytes?n=1",
        "/app/bytes?n=20000&chunked",
        "/app/nothing",
        "/app/bytes?n=3",
    ]
    with Client(front.address) as client:
        client.send(b"".join(request(target=target) for target in targets))
        answers = [client.response() for _ in targets]
        assert [answer.status for answer in answers] == [200, 200, 200, 404, 200]
        assert [len(answer.body) for answer in answers if answer.status == 200] == [2, 1, 20000, 3]
        assert client.is_open()


def test_many_pipelined_requests(front: Front) -> None:
    with Client(front.address) as client:
        sender = threading.Thread(
            target=client.send,
            args=(b"".join(request(target=f"/app/bytes?n={i}") for i in range(1, 301)),),
        )
        sender.start()
        for i in range(1, 301):
            assert len(client.response().body) == i
        sender.join()


def test_nothing_is_answered_after_close_in_a_pipeline(front: Front) -> None:
    key = f"pipeline-{front.connector.packet_size}-{front.name}"
    counted = f"/app/count?key={key}"
    with Client(front.address) as client:
        client.send(request(_CLOSE) + request(target=counted))
        assert client.response().status == 200
        assert client.is_closed()
    assert fetch(front.address, request(target=f"{counted}&read")).body == b"0\n"


def test_bad_request_ends_the_connection(front: Front) -> None:
    with Client(front.address) as client:
        client.send(b"NO SUCH THING\r\n\r\n" + request())
        assert client.response().status == 400
        assert client.is_closed()


def test_client_that_half_closes_is_answered(front: Front) -> None:
    """`nc` and some monitors do that."""
    with Client(front.address) as client:
        client.send(request(target="/app/count?key=none&read&ms=200"))
        client.half_close()
        assert client.response().status == 200
        assert client.is_closed()


def test_client_that_goes_away_harms_nobody(front: Front) -> None:
    for _ in range(20):
        with Client(front.address) as client:
            client.send(request(target="/app/bytes?n=5000000"))
            assert client.head().status == 200
    assert fetch(front.address, request()).status == 200


# --- at the end of the daemon -----------------------------------------------------------------


def test_request_under_way_is_finished_at_the_end(
    make_daemon: MakeDaemon, tomcat_8k: Connector
) -> None:
    front = make_daemon(tomcat_8k)
    with ThreadPoolExecutor(1) as threads, Client(front.address) as client:
        client.send(request(target="/app/stream?n=3&ms=300"))
        response = client.head()
        stopped = threads.submit(front.process.stop)
        body = b"".join(client.parts(response))
        assert body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
        assert client.is_closed()
        assert stopped.result() == 0


def test_idle_clients_do_not_delay_the_end(make_daemon: MakeDaemon, tomcat_8k: Connector) -> None:
    front = make_daemon(tomcat_8k)
    with Client(front.address) as used, Client(front.address) as fresh:
        assert used.exchange(request()).status == 200
        begin = time.monotonic()
        assert front.process.stop() == 0
        assert time.monotonic() - begin < 3.0
        assert used.is_closed()
        assert fresh.is_closed()


# --- to Tomcat --------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["toml", "properties"])
def test_one_connection_serves_sequential_requests(
    make_daemon: MakeDaemon, tomcat_8k: Connector, style: str
) -> None:
    front = make_daemon(tomcat_8k, style)
    before = front.connections()
    upload = build("POST", "/app/hash", body=b"x" * 10_000)
    with Client(front.address) as client:
        for i in range(50):
            assert client.exchange(upload if i % 2 else request()).status == 200
            assert front.connections() == before + 1


def test_sequential_clients_share_connections(
    make_daemon: MakeDaemon, tomcat_8k: Connector
) -> None:
    """A few at most: a client may have its whole answer just before Tomcat says that it ended."""
    front = make_daemon(tomcat_8k)
    before = front.connections()
    for _ in range(50):
        assert fetch(front.address, request()).status == 200
    assert front.connections() <= before + 5


def test_connection_is_reused_after_answers_of_all_kinds(
    make_daemon: MakeDaemon, tomcat_8k: Connector
) -> None:
    """Errors of the application, answers without a body and unread uploads are no reason."""
    front = make_daemon(tomcat_8k)
    before = front.connections()
    with Client(front.address) as client:
        for target in ("/app/nothing", "/app/status?code=204", "/app/status?code=500&body=x"):
            client.exchange(request(target=target))
        client.exchange(build("HEAD", "/app/bytes?n=50000"))
        client.exchange(build("POST", "/app/status?code=200&body=x", body=b"unread"))
        assert client.exchange(request()).status == 200
    assert front.connections() == before + 1


def test_pool_is_as_large_as_it_is_said_to_be(
    make_daemon: MakeDaemon, tomcat_8k: Connector
) -> None:
    """Five requests at a time over two connections: nobody is refused."""
    front = make_daemon(tomcat_8k, connection_pool_size=2)
    before = front.connections()
    answers = at_once(5, lambda i: fetch(front.address, request(target="/app/slow?ms=100")))
    assert [answer.status for answer in answers] == [200] * 5
    assert front.connections() <= before + 2


def at_once(number: int, call: Callable[[int], Response]) -> list[Response]:
    """Run a call in that many threads and return all results."""
    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(call, range(number)))


@pytest.mark.slow
def test_two_hundred_clients_at_a_time(front: Front) -> None:
    """All of them are inside the application at the same moment."""
    key = f"{front.name}-{front.connector.packet_size}"
    target = f"/app/barrier?key={key}&n=200"
    answers = at_once(200, lambda i: fetch(front.address, request(target=target)))
    assert {(answer.status, answer.body) for answer in answers} == {(200, b"all here\n")}


@pytest.mark.slow
def test_answers_go_to_who_asked(front: Front) -> None:
    """Forty clients, each with requests of its own sizes, up and down."""

    def ask(number: int) -> Response:
        with Client(front.address) as client:
            for i in range(25):
                size = 1 + (number * 7919 + i * 104_729) % 70_000
                body = bytes([number]) * size
                response = client.exchange(build("POST", "/app/echo", body=body))
                assert response.body == body
        return response

    assert len(at_once(40, ask)) == 40
