"""What requests are called: X-Request-Id and traceparent, passed on or new."""

import asyncio
import re
from pathlib import Path

import pytest

from ajpd._trace import is_request_id, is_traceparent
from ajpd.config import load_toml
from ajpd.config.model import ListenAddress
from ajpd.listeners import open_listener
from ajpd.process import Process
from tests.faults.container import Container, cut, respond
from tests.faults.stage import Response, Stage, get, stage

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
NEW_TRACE = re.compile(rb"00-([0-9a-f]{32})-[0-9a-f]{16}-01")
NEW_ID = re.compile(rb"[0-9a-f]{32}")
TRUSTED = {"trusted_proxies": ("127.0.0.1",)}


def told(s: Stage, name: bytes) -> list[bytes]:
    """What the container got as headers of that name, in its last request."""
    head = s.container.requests[-1].head
    return [value for key, value in head.headers if key.lower() == name]


async def ask(s: Stage, *lines: bytes, path: bytes = b"/") -> Response:
    client = await s.connect()
    await client.send(get(path, *lines))
    return await client.response()


async def test_off_is_any_header() -> None:
    async with stage() as s:
        response = await ask(s, b"X-Request-Id: <any thing>", b"traceparent: x")
        assert told(s, b"x-request-id") == [b"<any thing>"]
        assert told(s, b"traceparent") == [b"x"]
        assert response.one(b"x-request-id") is None


async def test_create() -> None:
    async with stage(server={"request_id": "create", "traceparent": "create"}) as s:
        seen = set()
        for _ in range(3):
            response = await ask(
                s, b"X-Request-Id: mine", b"Traceparent: " + TRACE, b"tracestate: a=1"
            )
            (name,) = told(s, b"x-request-id")
            (trace,) = told(s, b"traceparent")
            found = NEW_TRACE.fullmatch(trace)
            assert found is not None
            # One name is better than two.
            assert found[1] == name == response.one(b"x-request-id")
            assert told(s, b"tracestate") == []
            seen.add(name)
        assert len(seen) == 3


@pytest.mark.parametrize("whose", ["trusted", "any"])
@pytest.mark.parametrize("is_trusted", [False, True])
async def test_whose_names_count(whose: str, is_trusted: bool) -> None:
    server = {"request_id": whose, "traceparent": whose, **(TRUSTED if is_trusted else {})}
    async with stage(server=server) as s:
        lines = (b"X-Request-Id: a-1", b"traceparent: " + TRACE, b"tracestate: a=1")
        response = await ask(s, *lines)
        counts = is_trusted or whose == "any"
        assert (told(s, b"x-request-id") == [b"a-1"]) is counts
        assert (told(s, b"traceparent") == [TRACE]) is counts
        assert (told(s, b"tracestate") == [b"a=1"]) is counts
        assert (response.one(b"x-request-id") == b"a-1") is counts
        assert len(told(s, b"x-request-id")) == len(told(s, b"traceparent")) == 1


@pytest.mark.parametrize(
    "lines",
    [
        (b"X-Request-Id: a b",),
        (b"X-Request-Id: " + b"x" * 129,),
        (b"X-Request-Id: \xe9",),
        (b"X-Request-Id:",),
        (b"X-Request-Id: a", b"X-Request-Id: b"),
        (b"X_Request_Id: a",),
    ],
)
async def test_what_is_not_well_formed_is_replaced(lines: tuple[bytes, ...]) -> None:
    async with stage(server={"request_id": "any"}) as s:
        response = await ask(s, *lines)
        found = response.one(b"x-request-id")
        assert found is not None
        if lines == (b"X_Request_Id: a",):
            # For many applications it is the same header.
            assert told(s, b"x_request_id") == []
        else:
            assert NEW_ID.fullmatch(found)
        assert told(s, b"x-request-id") == [found]


async def test_a_page_of_our_own_has_it_too(caplog: pytest.LogCaptureFixture) -> None:
    async with stage(server={"request_id": "any"}) as s:
        response = await ask(s, b"X-Request-Id: abc", path=b"/nowhere/x")
        assert (response.status, response.one(b"x-request-id")) == (404, b"abc")
        response = await ask(s, b"X-Request-Id: abc", path=b"/%zz")
        assert (response.status, response.one(b"x-request-id")) == (400, b"abc")
    assert all(
        "request_id=abc" in record.getMessage()
        for record in caplog.records
        if record.name == "ajpd.exchange"
    )


async def test_another_attempt_has_the_same_name() -> None:
    async with stage(Container([cut], respond(b"ok")), server={"request_id": "create"}) as s:
        response = await ask(s)
        assert response.status == 200
        names = {
            value
            for seen in s.container.requests
            for key, value in seen.head.headers
            if key.lower() == b"x-request-id"
        }
        assert names == {response.one(b"x-request-id")}


TOML = """\
[server]
request_id = "any"
traceparent = "any"
[worker.app]
host = "127.0.0.1"
port = {port}
[mount]
"/*" = "app"
[attributes]
"com.example.ID" = "request:id"
"com.example.TRACE" = "request:trace"
"""


async def test_names_as_attributes(tmp_path: Path) -> None:
    async with Container() as container:
        (tmp_path / "t").write_text(TOML.format(port=container.port))
        config = load_toml(tmp_path / "t", env={})
        assert config.warnings == ()
        listener = open_listener(ListenAddress(host="127.0.0.1", port=0))
        process = Process(config, [listener])
        await process.start()
        try:
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            # An attribute's name is no name of a header that anybody may send.
            spoof = b"com.example.ID: spoofed"
            writer.write(get(b"/", b"X-Request-Id: a-1", spoof, b"Connection: close"))
            assert b"X-Request-Id: a-1\r\n" in await reader.read()
            writer.close()
        finally:
            await process.stop()
        head = container.requests[0].head
        assert head.request_attributes[b"com.example.ID"] == b"a-1"
        assert NEW_TRACE.fullmatch(head.request_attributes[b"com.example.TRACE"])
        assert head.header(b"com.example.id") is None


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (TRACE, True),
        (TRACE[:-2] + b"ff", True),
        (b"cc" + TRACE[2:], True),
        (b"cc" + TRACE[2:] + b"-more", True),
        (TRACE + b"-more", False),
        (b"cc" + TRACE[2:] + b"more", False),
        (b"ff" + TRACE[2:], False),
        (TRACE.upper(), False),
        (TRACE[:-1], False),
        (TRACE.replace(b"-", b"_"), False),
        (b"00-" + b"0" * 32 + TRACE[35:], False),
        (TRACE[:36] + b"0" * 16 + b"-00", False),
        (b"", False),
    ],
)
def test_traces(text: bytes, is_one: bool) -> None:
    assert is_traceparent(text) is is_one


def test_request_ids() -> None:
    assert is_request_id(b"a" * 128)
    assert is_request_id(b"0aZ-._~+/=:@")
    for text in (b"", b"a" * 129, b"a b", b'a"', b"a;b", b"a\n", b"\xff", b"<a>", b"a\\"):
        assert not is_request_id(text)
