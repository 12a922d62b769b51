"""The access log: formats, whole lines, and what becomes of those that cannot be written."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ajp.errors import Reason
from ajpd.accesslog import MOST_KEPT, AccessFormatError, AccessLog, Entry, compile_format
from ajpd.log import AccessFile, use_access
from tests.faults.container import Container, respond
from tests.faults.stage import get, stage

ENTRY = Entry(
    client=b"192.0.2.1",
    port=8080,
    host=b"example.org",
    method=b"GET",
    target=b"/app/x?a=1",
    minor=1,
    status=200,
    sent=13,
    seconds=0.25,
    first_byte=0.125,
    worker="lb",
    member="node1",
    route=b"r1",
    attempts=2,
    failures=[("node2", Reason.CONNECT_REFUSED)],
    reason=None,
    referer=b"http://x/",
    agent=b'a "b"',
    protocol=None,
)


@pytest.mark.parametrize(
    ("token", "text", "missing"),
    [
        ("%b", "13", "-"),
        ("%B", "13", "0"),
        ("%H", "HTTP/1.1", "-"),
        ("%m", "GET", "-"),
        ("%p", "8080", "-"),
        ("%q", "?a=1", ""),
        ("%r", "GET /app/x?a=1 HTTP/1.1", "-"),
        ("%s", "200", "-"),
        ("%T", "0.250000", "0.000000"),
        ("%U", "/app/x", "-"),
        ("%v", "example.org", "-"),
        ("%V", "example.org", "-"),
        ("%w", "lb", "-"),
        ("%R", "r1", "-"),
        ("%w\\t%s\\\\", "lb\t200\\", "-\t-\\"),
    ],
)
def test_tokens(token: str, text: str, missing: str) -> None:
    nothing = Entry(*[None] * len(ENTRY))._replace(  # type: ignore[arg-type]
        port=0, minor=1, status=0, sent=0, seconds=0.0
    )
    assert compile_format(token)(ENTRY) == text + "\n"
    assert compile_format(token)(nothing) == missing + "\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [("%w %x", "'%x' at character 4"), ("%", "'%' at character 1"), ("jsn", "has no token")],
)
def test_a_format_that_cannot_be_used(text: str, words: str) -> None:
    with pytest.raises(AccessFormatError, match=words):
        compile_format(text)


def test_json() -> None:
    found = json.loads(compile_format("json")(ENTRY))
    assert found["path"] == "/app/x"
    assert found["query"] == "a=1"
    assert found["duration"] == 0.25
    assert found["member"] == "node1"
    assert found["failures"] == [{"worker": "node2", "reason": str(Reason.CONNECT_REFUSED)}]
    assert found["tls"] is None


def test_combined() -> None:
    line = compile_format("combined")(ENTRY)
    assert line.startswith("192.0.2.1 - - [")
    assert line.endswith('] "GET /app/x?a=1 HTTP/1.1" 200 13 "http://x/" "a \\"b\\""\n')


@given(st.binary(), st.binary(), st.binary())
def test_no_byte_breaks_a_line(target: bytes, agent: bytes, host: bytes) -> None:
    entry = ENTRY._replace(target=target, agent=agent, host=host)
    for text in ("json", "combined", "%r %U%q %V"):
        line = compile_format(text)(entry)
        assert line.isascii()
        assert line[:-1].isprintable()
        assert line[-1] == "\n"
    found = json.loads(compile_format("json")(entry))
    path, mark, query = target.partition(b"?")
    assert found["path"].encode("latin-1") == path
    assert found["host"].encode("latin-1") == host
    assert (found["query"] or "").encode("latin-1") == query
    assert (found["query"] is not None) == bool(mark)


async def _write_many(fd: int, name: str, count: int) -> None:
    log = AccessLog(fd, "%w %U")
    for number in range(count):
        size = number * 7919 % 900
        log.write(*ENTRY._replace(worker=f"{name}-{number}", target=b"/" + b"x" * size + b"."))
        if number % 500 == 0:
            await asyncio.sleep(0)
    log.close()


def test_lines_of_processes_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "access"
    children = []
    for name in "abcd":
        pid = os.fork()
        if pid == 0:
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            asyncio.run(_write_many(fd, name, 4000))
            os._exit(0)
        children.append(pid)
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
    wanted = {
        f"{name}-{number} /{'x' * (number * 7919 % 900)}."
        for name in "abcd"
        for number in range(4000)
    }
    lines = path.read_text().splitlines()
    assert len(lines) == 16000
    assert set(lines) == wanted


async def test_a_line_comes_soon(tmp_path: Path) -> None:
    path = tmp_path / "access"
    with path.open("ab") as file:
        log = AccessLog(file.fileno(), "%s")
        log.write(*ENTRY)
        async with asyncio.timeout(10):
            while not path.read_text():  # noqa: ASYNC110 - files tell nobody
                await asyncio.sleep(0.01)
        log.close()
    assert path.read_text() == "200\n"


async def test_a_full_disk_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    log = AccessLog(fd, "%s")
    log.write(*ENTRY)
    log.flush()
    log.flush()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    log.close()
    assert "1 lines of the access log are lost" in caplog.text
    os.close(fd)


async def test_who_does_not_read_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    log = AccessLog(writing, "%U")
    entry = ENTRY._replace(target=b"/" + b"x" * 1000)
    for _ in range(2 * MOST_KEPT // 1000):
        log.write(*entry)
    assert log.dropped > 0
    log.close()
    assert "are lost" in caplog.text
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert {len(line) for line in pipe.read().splitlines()} == {1001}


async def test_exchanges_and_refusals_have_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "access"
    file = AccessFile(str(path))
    use_access(file)
    try:
        async with stage(Container(respond(b"hello"))) as s:
            client = await s.connect()
            await client.send(get())
            assert (await client.response()).body == b"hello"
            stranger = await s.connect()
            await stranger.send(b"NONSENSE\r\n\r\n")
            assert (await stranger.response()).status == 400
            await s.process.stop()
    finally:
        use_access(None)
        file.close()
    good, bad = map(json.loads, path.read_text().splitlines())
    assert (good["method"], good["status"], good["bytes"]) == ("GET", 200, 5)
    assert 0 < good["first_byte"] <= good["duration"]
    assert good["attempts"] == 1
    assert good["member"] is not None
    assert (bad["method"], bad["status"], bad["reason"]) == (None, 400, "bad_request")
