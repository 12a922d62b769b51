"""More connections than allowed, and the pages we answer with ourselves."""

import json
from pathlib import Path

import pytest

from tests.faults.container import Container, cut, headers, never, respond, send
from tests.faults.stage import eventually, get, post, reasons, stage


async def test_one_connection_too_many(caplog: pytest.LogCaptureFixture) -> None:
    async with stage(server={"max_connections": 2}) as s:
        first, second = await s.connect(), await s.connect()
        assert (await first.ask(get())).status == 200
        assert (await second.ask(get())).status == 200
        third = await s.connect()
        response = await third.response()
        assert response.status == 503
        assert response.closes
        assert b"connection_limit" in response.body
        assert await third.at_end()
        # Who was there before is served as ever.
        assert (await first.ask(get())).status == 200
        third.close()
        first.close()
        await eventually(lambda: len(s.service.clients) == 1)
        assert (await s.ask(get())).status == 200
        assert s.service.reasons == {"connection_limit": 1}
    assert reasons(caplog, logger="ajpd.front") == ["connection_limit"]


async def test_far_too_many_connections_are_only_closed() -> None:
    """Answering costs a connection for a while, and there are none."""
    async with stage(server={"max_connections": 1}) as s:
        clients = [await s.connect() for _ in range(60)]
        assert (await clients[0].ask(get())).status == 200
        await eventually(lambda: len(s.service.clients) <= 40)
        received, _ = await clients[-1].read_all()
        assert received == b""


async def test_problem_json() -> None:
    async with stage(Container([cut])) as s:
        response = await s.ask(post(b"x", b"/x", b"Accept: application/json"))
        assert response.status == 502
        assert response.one(b"content-type") == b"application/problem+json"
        problem = json.loads(response.body)
        assert (problem["status"], problem["reason"]) == (502, "eof_before_headers")
        browser = b"Accept: text/html,application/xhtml+xml,application/json;q=0.1"
        response = await s.ask(post(b"x", b"/x", browser))
        assert response.one(b"content-type") == b"text/html; charset=utf-8"


async def test_own_pages(tmp_path: Path) -> None:
    (tmp_path / "404.html").write_text("<p>Nothing here: {{status}} {{reason}}</p>")
    (tmp_path / "5xx.html").write_text("<p>Sorry, {{phrase}}</p>")
    async with stage(Container([cut]), server={"error_pages": str(tmp_path)}) as s:
        assert (await s.ask(get(b"/nowhere/x"))).body == b"<p>Nothing here: 404 no_mapping</p>"
        assert (await s.ask(post(b"x"))).body == b"<p>Sorry, Bad Gateway</p>"
        broken = await s.connect()
        await broken.send(b"nonsense\r\n\r\n")
        assert b"400 Bad Request" in (await broken.response()).body


@pytest.mark.parametrize("status", [500, 503, 404])
async def test_use_server_errors(status: int, tmp_path: Path) -> None:
    """From this status on the container's page is replaced, headers and all."""
    (tmp_path / "error.html").write_text("ours {{status}}")
    script = respond(b"a stack trace", status, (b"X-Secret", b"1"))
    async with stage(Container(script), server={"error_pages": str(tmp_path)}) as s:
        client = await s.connect()
        for path, replaced in ((b"/replaced/x", status >= 500), (b"/x", False)):
            response = await client.ask(get(path))
            assert response.status == status
            assert response.body == (b"ours %d" % status if replaced else b"a stack trace")
            assert (response.one(b"x-secret") is None) == replaced
        await eventually(lambda: s.pool.idle == 1)
        assert s.service.reasons == {}


async def test_a_challenge_is_never_replaced() -> None:
    challenge = (b"WWW-Authenticate", b'Basic realm="x"')
    async with stage(Container(respond(b"who?", 401, challenge))) as s:
        response = await s.ask(get(b"/all-replaced/x"))
        assert response.one(b"www-authenticate") == challenge[1]


async def test_an_answer_that_is_replaced_and_then_breaks() -> None:
    async with stage(Container([send(headers(500)), cut], [never])) as s:
        response = await s.ask(get(b"/replaced/x"))
        assert response.status == 502
