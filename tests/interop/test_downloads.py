"""Answers on their way to the client: whole, in time, and never cleanly ended when they are not."""

import contextlib
import http.client
import time

import pytest

from .conftest import MakeDaemon
from .front import Front
from .rawhttp import Broken, Client, Response, build, fetch
from .tomcat import Connector

#: What the application makes bytes of.
_BLOCK = bytes(33 + i % 89 for i in range(1 << 16))


def content(size: int) -> bytes:
    """The bytes that /bytes answers with."""
    return (_BLOCK * (size // len(_BLOCK) + 1))[:size]


def get(front: Front, target: str) -> Response:
    return fetch(front.address, build("GET", f"/app{target}"))


@pytest.mark.parametrize("length", ["", "&chunked"], ids=["length", "chunked"])
@pytest.mark.parametrize(
    "size",
    [0, 1, 8183, 8184, 8185, 8192, 16_368, 65_527, 65_528, 65_529, 65_536, 131_056, 1 << 20],
)
def test_download_arrives(front: Front, size: int, length: str) -> None:
    """Sizes are around what fits into body packets (packet size - 8) at both packet sizes."""
    response = get(front, f"/bytes?n={size}{length}")
    assert response.status == 200
    assert response.framing == ("chunked" if length else "length")
    assert response.body == content(size)


@pytest.mark.slow
@pytest.mark.parametrize("length", ["", "&chunked"], ids=["length", "chunked"])
def test_large_download_arrives(front: Front, length: str) -> None:
    size = 20 << 20
    assert get(front, f"/bytes?n={size}{length}").body == content(size)


@pytest.mark.slow
@pytest.mark.parametrize("length", ["", "&chunked"], ids=["length", "chunked"])
def test_slow_reader_gets_everything(front: Front, length: str) -> None:
    """The client stops reading for a while; what it has not read yet waits in Tomcat."""
    size = 60 << 20
    before = front.process.memory()
    with Client(front.address) as client:
        client.send(build("GET", f"/app/bytes?n={size}{length}"))
        response = client.head()
        time.sleep(0.5)
        assert front.process.memory() - before < 10 << 20
        body = b"".join(client.parts(response))
    assert body == content(size)


@pytest.mark.slow
def test_stream_arrives_line_by_line(front: Front) -> None:
    """The first line is here while the application still sleeps before the second."""
    begin = time.monotonic()
    with Client(front.address) as client:
        client.send(build("GET", "/app/stream?n=3&ms=700"))
        parts = client.parts(client.head())
        times = []
        for i in range(3):
            assert next(parts) == b"data: %d\n\n" % i
            times.append(time.monotonic() - begin)
        assert list(parts) == []
    assert times[0] < 0.6
    assert times[1] < 1.3


def test_many_response_headers_arrive(front: Front) -> None:
    response = get(front, "/headers?n=60&len=60")
    for i in range(60):
        assert response.one(f"X-Header-{i}") == "v" * 60
    assert response.all("Set-Cookie") == ["first=1; Path=/", "second=2; Path=/; HttpOnly"]


def test_headers_that_fill_a_packet_arrive(front: Front) -> None:
    length = front.connector.packet_size - 500
    assert get(front, f"/headers?n=1&len={length}").one("X-Header-0") == "v" * length


# --- no body ----------------------------------------------------------------------------------


def test_head_has_the_length_and_no_body(front: Front) -> None:
    with Client(front.address) as client:
        response = client.exchange(build("HEAD", "/app/bytes?n=12345"))
        assert (response.status, response.one("Content-Length")) == (200, "12345")
        assert client.is_open()
        assert client.exchange(build("GET", "/app/bytes?n=5")).body == content(5)


@pytest.mark.parametrize("code", [204, 304])
def test_status_without_a_body(front: Front, code: int) -> None:
    with Client(front.address) as client:
        response = client.exchange(build("GET", f"/app/status?code={code}"))
        assert response.status == code
        assert response.one("Transfer-Encoding") is None
        assert response.one("Content-Length") in (None, "0") or code == 304
        assert client.is_open()
        assert client.exchange(build("GET", "/app/bytes?n=5")).body == content(5)


@pytest.mark.parametrize("code", [204, 304])
def test_body_that_may_not_be_is_left_out(front: Front, code: int) -> None:
    with Client(front.address) as client:
        client.send(build("GET", f"/app/status?code={code}&body=illegal"))
        assert client.response().status == code
        assert client.exchange(build("GET", "/app/bytes?n=5")).body == content(5)


# --- broken off -------------------------------------------------------------------------------


@pytest.mark.parametrize("length", ["", "&chunked"], ids=["length", "chunked"])
def test_application_that_dies_in_its_answer(
    make_daemon: MakeDaemon, tomcat_8k: Connector, length: str
) -> None:
    """The client sees that the message is broken, and gets what there was of it.

    Tomcat 10.1.60 neither ends such an answer nor closes the connection: it waits for the next
    request. Nothing but reply_timeout tells that from an application that works for long.
    """
    front = make_daemon(tomcat_8k, "properties", reply_timeout=500)
    with pytest.raises(Broken) as caught:
        get(front, f"/die?when=after{length}")
    response = caught.value.response
    assert response is not None
    assert response.status == 200
    assert 0 < len(response.body) <= 20_000
    assert content(20_000).startswith(response.body)
    assert get(front, "/bytes?n=5").body == content(5)


def test_http_client_of_python_sees_a_broken_answer(
    make_daemon: MakeDaemon, tomcat_64k: Connector
) -> None:
    front = make_daemon(tomcat_64k, reply_timeout="500ms")
    connection = http.client.HTTPConnection(*front.address, timeout=30)
    try:
        connection.request("GET", "/app/die?when=after")
        response = connection.getresponse()
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            response.read()
    finally:
        connection.close()


def test_response_headers_larger_than_a_packet(
    make_daemon: MakeDaemon, tomcat_8k: Connector
) -> None:
    """Tomcat logs that it fails the response and sends nothing at all, see above."""
    front = make_daemon(tomcat_8k, reply_timeout="500ms")
    assert get(front, "/headers?n=2&len=7700").status == 504
    assert get(front, "/bytes?n=1").status == 200


@pytest.mark.usefixtures("only_ajpd")
@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_application_that_promised_more(front: Front, size: int) -> None:
    """Tomcat ends the answer as if it were complete. mod_jk corrects short ones."""
    with pytest.raises(Broken) as caught:
        get(front, f"/bytes?n={size}&declare={size + 1}")
    response = caught.value.response
    assert response is None or response.body == content(size)[: len(response.body)]
    assert get(front, "/bytes?n=5").body == content(5)


@pytest.mark.usefixtures("only_ajpd")
def test_application_that_promised_less(front: Front) -> None:
    """Tomcat sends all of it. What is too much is not taken for the next answer."""
    with Client(front.address) as client:
        client.send(build("GET", "/app/bytes?n=100&declare=50") + build("GET", "/app/bytes?n=5"))
        assert client.response().body == content(50)
        with contextlib.suppress(Broken):
            assert client.response().body == content(5)
    assert get(front, "/bytes?n=5").body == content(5)


def test_application_that_dies_before_its_answer(front: Front) -> None:
    assert get(front, "/die?when=before&chunked").status == 500
    assert get(front, "/bytes?n=5").body == content(5)


@pytest.mark.usefixtures("only_ajpd")
def test_connection_is_kept_after_an_error_of_the_application(front: Front) -> None:
    """mod_jk closes it."""
    with Client(front.address) as client:
        assert client.exchange(build("GET", "/app/die?when=before&chunked")).status == 500
        assert client.exchange(build("GET", "/app/bytes?n=5")).body == content(5)


# --- sessions ---------------------------------------------------------------------------------


def test_session_lives_in_its_cookie(front: Front) -> None:
    first = get(front, "/session")
    cookie = (first.one("Set-Cookie") or "").split(";")[0]
    assert cookie.startswith("JSESSIONID=")
    assert cookie.endswith(".probe1")
    second = fetch(front.address, build("GET", "/app/session", [("Cookie", cookie)]))
    assert second.body == first.body.replace(b", 1]", b", 2]")


def test_session_lives_in_the_path(front: Front) -> None:
    first = get(front, "/session")
    session = first.body.split(b'"')[1].decode()
    second = get(front, f"/session;jsessionid={session}")
    assert second.body == first.body.replace(b", 1]", b", 2]")
