"""Bodies on their way to the application: every byte arrives, however they are framed."""

import hashlib
import http.client
import random

import pytest

from .front import Front
from .rawhttp import HOST, Client, Header, Response, build, chunks, fetch

#: Around the borders of body packets at both packet sizes (packet size - 6), and some more.
SIZES = [0, 1, 8185, 8186, 8187, 65529, 65530, 65531, 1 << 20]
LARGE = 20 << 20

_CHUNKED: Header = ("Transfer-Encoding", "chunked")


def content(size: int) -> bytes:
    """Bytes that do not repeat, the same for every test."""
    return random.Random(size).randbytes(size)


def assert_arrived(response: Response, body: bytes) -> None:
    assert response.status == 200
    assert response.body.decode() == f"{len(body)} {hashlib.sha256(body).hexdigest()}\n"


def upload(body: bytes, *headers: Header, chunk: int = 0, path: str = "/app/hash") -> bytes:
    """Write a request with that body; in chunks of that size unless it is 0."""
    if not chunk:
        return build("POST", path, headers, body=body)
    return build("POST", path, [_CHUNKED, *headers]) + chunks(body, chunk)


@pytest.mark.parametrize("chunk", [0, 8192], ids=["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_upload_arrives(front: Front, size: int, chunk: int) -> None:
    body = content(size)
    assert_arrived(fetch(front.address, upload(body, chunk=chunk)), body)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [0, 50_000], ids=["length", "chunked"])
def test_large_upload_arrives(front: Front, chunk: int) -> None:
    body = content(LARGE)
    assert_arrived(fetch(front.address, upload(body, chunk=chunk)), body)


@pytest.mark.parametrize("chunk", [1, 7, 8186, 65530, 100_000])
def test_chunks_of_any_size_arrive(front: Front, chunk: int) -> None:
    body = content(300_000 if chunk > 100 else 3000)
    assert_arrived(fetch(front.address, upload(body, chunk=chunk)), body)


@pytest.mark.parametrize("chunk", [0, 500], ids=["length", "chunked"])
def test_upload_in_small_pieces_arrives(front: Front, chunk: int) -> None:
    """The head and the body are cut anywhere, chunk headers too."""
    body = content(2000)
    request = upload(body, chunk=chunk)
    with Client(front.address) as client:
        for start in range(0, len(request), 13):
            client.send(request[start : start + 13])
        assert_arrived(client.response("POST"), body)


@pytest.mark.parametrize("size", [0, 1, 8186, 65530, 200_000])
@pytest.mark.parametrize("chunk", [0, 8192], ids=["length", "chunked"])
def test_connection_is_fine_after_an_upload(front: Front, size: int, chunk: int) -> None:
    body = content(size)
    with Client(front.address) as client:
        for _ in range(3):
            assert_arrived(client.exchange(upload(body, chunk=chunk)), body)


def test_two_uploads_sent_at_once_arrive(front: Front) -> None:
    first, second = content(100_000), content(70_000)
    with Client(front.address) as client:
        client.send(upload(first, chunk=9000) + upload(second))
        assert_arrived(client.response("POST"), first)
        assert_arrived(client.response("POST"), second)


@pytest.mark.parametrize("chunk", [0, 8192], ids=["length", "chunked"])
def test_echo_returns_what_was_sent(front: Front, chunk: int) -> None:
    """The answer begins before the upload has ended."""
    body = content(200_000)
    with Client(front.address) as client:
        sent = client.send_until_answered(upload(body, chunk=chunk, path="/app/echo"))
        rest = upload(body, chunk=chunk, path="/app/echo")[sent:]
        client.send(rest)
        response = client.response("POST")
    assert response.status == 200
    assert response.body == body


@pytest.mark.parametrize("chunk", [0, 8192], ids=["length", "chunked"])
def test_upload_that_nobody_reads_is_answered(front: Front, chunk: int) -> None:
    """The application ignores a small body; the next request on the connection is unharmed."""
    body = content(5000)
    with Client(front.address) as client:
        first = client.exchange(upload(body, chunk=chunk, path="/app/status?code=200&body=fine"))
        assert (first.status, first.body) == (200, b"fine")
        assert_arrived(client.exchange(upload(body)), body)


def test_client_that_waits_for_100_continue(front: Front) -> None:
    body = content(100_000)
    request = upload(body, ("Expect", "100-continue"))
    head, _, rest = request.partition(b"\r\n\r\n")
    with Client(front.address) as client:
        client.send(head + b"\r\n\r\n")
        assert client.interim() == 100
        client.send(rest)
        assert_arrived(client.response("POST"), body)


def test_client_that_does_not_wait_for_100_continue(front: Front) -> None:
    body = content(100_000)
    with Client(front.address) as client:
        response = client.exchange(upload(body, ("Expect", "100-continue")))
        assert set(response.interim) <= {100}
        assert_arrived(response, body)
        assert_arrived(client.exchange(upload(body)), body)


def test_client_that_waits_for_100_continue_and_is_refused(front: Front) -> None:
    """It may be told to go on before the application has decided, as mod_jk does."""
    body = content(100_000)
    request = upload(body, ("Expect", "100-continue"), path="/app/early")
    head, _, rest = request.partition(b"\r\n\r\n")
    with Client(front.address) as client:
        client.send(head + b"\r\n\r\n")
        if client.peek_status() == 100:
            assert client.interim() == 100
            client.send_until_answered(rest)
        assert client.response("POST").status == 413


@pytest.mark.slow
def test_early_answer_to_a_large_upload_is_seen(front: Front) -> None:
    """The application answers 413 and reads nothing; the client looks while it sends."""
    request = upload(content(LARGE), path="/app/early")
    with Client(front.address) as client:
        client.send_until_answered(request)
        response = client.response("POST")
    assert response.status == 413
    assert response.body == b"too much\n"


@pytest.mark.slow
def test_early_answer_is_seen_by_a_client_that_sends_first(front: Front) -> None:
    """Most clients send everything before they look at the answer."""
    connection = http.client.HTTPConnection(*front.address, timeout=30)
    try:
        connection.request("POST", "/app/early", body=content(LARGE), headers={"Host": HOST})
        response = connection.getresponse()
        assert response.status == 413
        assert response.read() == b"too much\n"
    finally:
        connection.close()


@pytest.mark.slow
@pytest.mark.usefixtures("only_ajpd")
@pytest.mark.parametrize("chunk", [0, 50_000], ids=["length", "chunked"])
def test_application_that_reads_late(front: Front, chunk: int) -> None:
    """What the application has not read yet waits in the client."""
    body = content(LARGE)
    before = front.process.memory()
    with Client(front.address) as client:
        request = upload(body, chunk=chunk, path="/app/hash?ms=600")
        sent = client.send_while_taken(request)
        assert sent < len(request)
        assert front.process.memory() - before < 10 << 20
        client.send(request[sent:])
        assert_arrived(client.response("POST"), body)


@pytest.mark.parametrize("chunk", [0, 8192], ids=["length", "chunked"])
def test_upload_that_breaks_off_is_not_taken_for_complete(front: Front, chunk: int) -> None:
    """Nothing of it may reach the next request on the connection to Tomcat."""
    body = content(100_000)
    for _ in range(3):
        with Client(front.address) as client:
            client.send(upload(body, chunk=chunk, path="/app/hash")[:50_000])
        assert_arrived(fetch(front.address, upload(body)), body)


def test_http_client_of_python_uploads(front: Front) -> None:
    body = content(500_000)
    connection = http.client.HTTPConnection(*front.address, timeout=30)
    try:
        for _ in range(3):
            pieces = (body[start : start + 10_000] for start in range(0, len(body), 10_000))
            connection.request("PUT", "/app/hash", body=pieces, encode_chunked=True)
            response = connection.getresponse()
            assert response.status == 200
            assert response.read().decode().split()[0] == str(len(body))
    finally:
        connection.close()
