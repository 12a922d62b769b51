"""What clients get when Tomcat is killed, refuses us, or cannot take a request."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import MakeDaemon
from .front import Front
from .rawhttp import Broken, Client, Response, build, fetch
from .tomcat import Connector, Tomcat, TomcatOptions


@pytest.fixture(scope="module")
def mortal(directory: Path, application: Path) -> Iterator[Tomcat]:
    """A Tomcat that no other module uses, for tests that kill it."""
    server = Tomcat("mortal", directory, application, TomcatOptions(packet_sizes=(8192,)))
    server.start()
    yield server
    if server.process.is_alive:
        server.kill()


@pytest.fixture
def living(mortal: Tomcat) -> Iterator[Tomcat]:
    """The same, running; it is again afterwards."""
    yield mortal
    if not mortal.process.is_alive:
        mortal.start()


def get(front: Front, target: str = "/app/bytes?n=5") -> Response:
    return fetch(front.address, build("GET", target))


def assert_short_page(response: Response) -> None:
    """An answer of the daemon itself: short, HTML, and nothing of our inside in it."""
    assert response.framing == "length"
    assert 0 < len(response.body) < 1000
    assert (response.one("Content-Type") or "").startswith("text/html")
    assert b"127.0.0.1" not in response.body
    assert b"interop-secret" not in response.body


def wait_until_counted(front: Front, key: str, runs: int) -> None:
    """Wait until the application has begun that many runs for a key."""
    deadline = time.monotonic() + 10
    while get(front, f"/app/count?key={key}&read").body != b"%d\n" % runs:
        assert time.monotonic() < deadline, "the application was not reached"
        time.sleep(0.01)


def killed_during(front: Front, tomcat: Tomcat, request: bytes, key: str) -> Response:
    """Kill Tomcat while it works on a request; return the answer to that."""
    with Client(front.address) as client:
        client.send(request)
        wait_until_counted(front, key, 1)
        tomcat.kill()
        return client.response(request.split(b" ", 1)[0].decode())


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_tomcat_is_killed_and_comes_back(
    make_daemon: MakeDaemon, living: Tomcat, method: str
) -> None:
    front = make_daemon(living.connectors[8192])
    body = b"x" if method == "POST" else None
    request = build(method, f"/app/count?key=killed-{method}&ms=30000", body=body)

    answer = killed_during(front, living, request, f"killed-{method}")
    # a GET may be tried again, and then there is nobody to connect to
    assert answer.status == 502 if method == "POST" else answer.status in (502, 503)
    assert_short_page(answer)

    begin = time.monotonic()
    refused = get(front)
    assert refused.status == 503
    assert_short_page(refused)
    assert time.monotonic() - begin < 2.5

    living.start()
    assert get(front).status == 200


def test_tomcat_is_killed_within_an_answer(make_daemon: MakeDaemon, living: Tomcat) -> None:
    """An answer that began is broken off, never ended as if it were complete."""
    front = make_daemon(living.connectors[8192])
    with Client(front.address) as client:
        client.send(build("GET", "/app/stream?n=100&ms=300"))
        response = client.head()
        parts = client.parts(response)
        assert next(parts) == b"data: 0\n\n"
        living.kill()
        with pytest.raises(Broken):
            list(parts)


def test_idle_connections_of_a_restarted_tomcat(make_daemon: MakeDaemon, living: Tomcat) -> None:
    """The pool is full of connections that nobody listens to any more; no request notices."""
    front = make_daemon(living.connectors[8192])
    clients = [threading.Thread(target=get, args=(front, "/app/slow?ms=200")) for _ in range(10)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    living.kill()
    living.start()
    for _ in range(10):
        with Client(front.address) as one:
            assert one.exchange(build("POST", "/app/hash", body=b"x")).status == 200


def test_upload_is_broken_off_when_tomcat_is_killed(
    make_daemon: MakeDaemon, living: Tomcat
) -> None:
    front = make_daemon(living.connectors[8192])
    head = build("POST", "/app/hash", [("Content-Length", "1000000")])
    with Client(front.address) as client:
        client.send(head + b"x" * 500_000)
        assert get(front).status == 200
        living.kill()
        assert client.response("POST").status == 502


def test_tomcat_is_frozen(make_daemon: MakeDaemon, living: Tomcat) -> None:
    """It accepts connections, but no CPONG comes: 503 after the time for that, not never."""
    front = make_daemon(living.connectors[8192], "properties", connect_timeout=500)
    with living.process.frozen():
        begin = time.monotonic()
        answer = get(front)
        assert answer.status == 503
        assert_short_page(answer)
        assert 0.4 < time.monotonic() - begin < 3.0
    assert get(front).status == 200


def test_nobody_listens(make_daemon: MakeDaemon, living: Tomcat) -> None:
    """A daemon that is started before its Tomcat answers 503 until that is there."""
    connector = living.connectors[8192]
    living.kill()
    front = make_daemon(connector, "properties")
    answer = get(front)
    assert answer.status == 503
    assert_short_page(answer)
    living.start()
    assert get(front).status == 200


# --- refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("secret", ["not the secret", ""], ids=["wrong", "none"])
def test_secret_that_tomcat_does_not_accept(
    make_daemon: MakeDaemon, tomcat_8k: Connector, method: str, secret: str
) -> None:
    """Tomcat answers 403 to everything; that, or 502, is what the client gets, every time."""
    front = make_daemon(Connector(port=tomcat_8k.port, packet_size=8192, secret=secret))
    body = b"x" * 20_000 if method == "POST" else None
    for _ in range(3):
        answer = fetch(front.address, build(method, "/app/bytes?n=5", body=body))
        assert answer.status in (403, 502)
        assert tomcat_8k.secret.encode() not in answer.body


def test_refused_secret_is_named_in_the_log(make_daemon: MakeDaemon, tomcat_8k: Connector) -> None:
    front = make_daemon(Connector(port=tomcat_8k.port, packet_size=8192, secret="not the secret"))
    assert get(front).status in (403, 502)
    # The page may be complete before the container's last packet says what it was.
    deadline = time.monotonic() + 5
    while "secret_rejected" not in front.process.output() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "secret_rejected" in front.process.output()
    assert "not the secret" not in front.process.output()


def test_403_of_the_application_is_its_own(front: Front) -> None:
    answer = get(front, "/app/status?code=403&body=no")
    assert (answer.status, answer.body) == (403, b"no")


@pytest.mark.usefixtures("only_ajpd")
def test_request_larger_than_a_packet(front: Front) -> None:
    """431 names the largest header; the connection to Tomcat is not touched. mod_jk says 413."""
    packet = front.connector.packet_size
    large = [("X-Small", "v" * 50), ("X-Large", "v" * (packet - 600)), ("X-Middle", "v" * 450)]
    answer = fetch(front.address, build("GET", "/app/dump", large))
    assert answer.status == 431
    assert_short_page(answer)
    if packet == 8192:
        # larger ones are refused before they are looked at, see max_header_bytes
        assert b"X-Large" in answer.body
    assert get(front).status == 200


@pytest.mark.usefixtures("only_ajpd")
def test_largest_request_that_fits_into_a_packet(front: Front) -> None:
    """What the front lets through, Tomcat understands, to the last byte."""

    def fits(length: int) -> bool:
        answer = fetch(front.address, build("GET", "/app/dump", [("X-Large", "v" * length)]))
        assert answer.status in (200, 431)
        assert answer.status == 431 or b"v" * length in answer.body
        return answer.status == 200

    packet = front.connector.packet_size
    small, large = packet - 600, packet + 100
    assert fits(small)
    assert not fits(large)
    while large - small > 1:
        middle = (small + large) // 2
        small, large = (middle, large) if fits(middle) else (small, middle)
    assert packet - 400 < small < packet


def test_request_that_just_fits_into_a_packet(front: Front) -> None:
    length = min(front.connector.packet_size, 8192) - 500
    answer = fetch(front.address, build("GET", "/app/dump", [("X-Large", "v" * length)]))
    assert answer.status == 200
    assert b"v" * length in answer.body


def test_packets_larger_than_tomcat_expects(make_daemon: MakeDaemon, tomcat_8k: Connector) -> None:
    """A mistake in the configuration fails those requests that are large, and no other."""
    wrong = Connector(port=tomcat_8k.port, packet_size=65536, secret=tomcat_8k.secret)
    front = make_daemon(wrong, reply_timeout="1s")
    large = build("GET", "/app/dump", [("X-Large", "v" * 20_000)])
    upload = build("POST", "/app/hash", body=b"x" * 50_000)
    for request in (large, upload):
        assert fetch(front.address, request).status >= 400
        assert get(front).status == 200


@pytest.mark.usefixtures("only_ajpd")
def test_large_headers_pass_with_large_packets(front: Front) -> None:
    """48 KB of cookies need packets of 64 KB on both sides."""
    cookies = [("Cookie", f"cookie{i}={'v' * 4000}") for i in range(12)]
    answer = fetch(front.address, build("GET", "/app/dump", cookies))
    assert answer.status == (200 if front.connector.packet_size == 65536 else 431)


@pytest.mark.usefixtures("only_ajpd")
def test_path_that_no_rule_maps(front: Front) -> None:
    """Nothing is forwarded by accident."""
    for target in ("/", "/other", "/application", "/app2/dump"):
        answer = get(front, target)
        assert answer.status == 404
        assert_short_page(answer)
