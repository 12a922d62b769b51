"""The access log: formats, whole lines, and what becomes of those that cannot be written."""

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ajp.errors import Reason
from ajpd._logline import LogLines
from ajpd.accesslog import MOST_KEPT, AccessFormatError, AccessLog, compile_format
from ajpd.log import AccessFile, use_access
from tests.faults.container import Container, respond
from tests.faults.stage import get, stage

ENTRY: dict[str, Any] = {
    "client": b"192.0.2.1",
    "port": 8080,
    "host": b"example.org",
    "method": b"GET",
    "target": b"/app/x?a=1",
    "minor": 1,
    "status": 200,
    "sent": 13,
    "seconds": 0.25,
    "first_byte": 0.125,
    "worker": "lb",
    "member": "node1",
    "route": b"r1",
    "sticky": False,
    "attempts": 2,
    "failures": [("node2", Reason.CONNECT_REFUSED)],
    "reason": None,
    "referer": b"http://x/",
    "agent": b'a "b"',
    "protocol": b"TLSv1.3",
    "cipher": b"TLS_AES_128_GCM_SHA256",
    "request_id": b"5f",
}


def line(text: str, **values: Any) -> str:
    """The line of a request."""
    lines = LogLines(compile_format(text))
    lines.note(**values)
    return lines.take().decode("ascii")


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
    assert line(token, **ENTRY) == text + "\n"
    assert line(token) == missing + "\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [("%w %x", "'%x' at character 4"), ("%", "'%' at character 1"), ("jsn", "has no token")],
)
def test_a_format_that_cannot_be_used(text: str, words: str) -> None:
    with pytest.raises(AccessFormatError, match=words):
        compile_format(text)


def test_json() -> None:
    found = json.loads(line("json", **ENTRY))
    assert datetime.fromisoformat(found.pop("time")).tzinfo is UTC
    assert found == {
        "client": "192.0.2.1",
        "host": "example.org",
        "method": "GET",
        "path": "/app/x",
        "query": "a=1",
        "status": 200,
        "bytes": 13,
        "duration": 0.25,
        "first_byte": 0.125,
        "worker": "lb",
        "member": "node1",
        "route": "r1",
        "sticky": False,
        "attempts": [
            {"worker": "node2", "reason": "connect_refused"},
            {"worker": "node1", "reason": None},
        ],
        "reason": None,
        "request_id": "5f",
        "tls": "TLSv1.3",
        "cipher": "TLS_AES_128_GCM_SHA256",
    }


def test_json_of_nothing() -> None:
    found = json.loads(line("json"))
    del found["time"]
    numbers = {"bytes": 0, "duration": 0.0, "attempts": []}
    assert found == {**dict.fromkeys(found), **numbers}


@pytest.mark.parametrize(
    ("attempts", "failures", "wanted"),
    [
        (1, None, [("node1", None)]),
        (1, [("node1", Reason.RESET_MID_BODY)], [("node1", "reset_mid_body")]),
        (
            3,
            [("a", Reason.FROZEN), ("b", Reason.FROZEN)],
            [*zip("ab", ["frozen"] * 2, strict=True)],
        ),
        (0, None, []),
    ],
)
def test_attempts(
    attempts: int, failures: list[tuple[str, object]] | None, wanted: list[tuple[str, str | None]]
) -> None:
    values = {**ENTRY, "attempts": attempts, "failures": failures}
    found = [
        (each["worker"], each["reason"]) for each in json.loads(line("json", **values))["attempts"]
    ]
    if attempts == 3:
        wanted = [*wanted, ("node1", None)]
    assert found == wanted


def test_combined() -> None:
    text = line("combined", **ENTRY)
    assert text.startswith("192.0.2.1 - - [")
    assert text.endswith('] "GET /app/x?a=1 HTTP/1.1" 200 13 "http://x/" "a \\"b\\""\n')


@given(st.binary(), st.binary(), st.binary())
def test_no_byte_breaks_a_line(target: bytes, agent: bytes, host: bytes) -> None:
    values = {**ENTRY, "target": target, "agent": agent, "host": host}
    for text in ("json", "combined", "%r %U%q %V"):
        made = line(text, **values)
        assert made.isascii()
        assert made[:-1].isprintable()
        assert made[-1] == "\n"
    found = json.loads(line("json", **values))
    path, mark, query = target.partition(b"?")
    assert found["path"].encode("latin-1") == path
    assert found["host"].encode("latin-1") == host
    assert (found["query"] or "").encode("latin-1") == query
    assert (found["query"] is not None) == bool(mark)


@given(st.text(max_size=100), st.text(max_size=160), st.text(max_size=160))
def test_names_are_text(worker: str, member: str, other: str) -> None:
    values = {**ENTRY, "worker": worker, "member": member, "attempts": 2}
    made = line("json", **{**values, "failures": [(other, Reason.FROZEN)]})
    assert made.isascii()
    found = json.loads(made)
    assert (found["worker"], found["member"]) == (worker, member)
    assert [each["worker"] for each in found["attempts"]] == [other, member]


@given(
    st.lists(st.sampled_from("bBHmpqrsTUvVwR"), min_size=1, max_size=40),
    st.binary(max_size=3000),
    st.text(max_size=300),
    st.integers(0, 2**62),
    st.floats(0, 1e9),
)
def test_room_for_any_line(
    tokens: list[str], target: bytes, worker: str, sent: int, seconds: float
) -> None:
    """The same text may be there many times, and all of it may grow."""
    lines = LogLines(compile_format(" ".join(f"%{token}" for token in tokens)))
    values = {**ENTRY, "target": target, "worker": worker, "sent": sent, "seconds": seconds}
    lines.note(**values)
    first = lines.take()
    for _ in range(3):
        lines.note(**values)
    assert lines.take() == 3 * first


@given(st.floats(0, 1e6))
def test_seconds(seconds: float) -> None:
    assert float(line("%T", seconds=seconds)) == pytest.approx(seconds, abs=6e-7)


async def _write_many(fd: int, name: str, count: int) -> None:
    log = AccessLog(fd, "%w %U")
    for number in range(count):
        size = number * 7919 % 900
        log.lines.note(
            **{**ENTRY, "worker": f"{name}-{number}", "target": b"/" + b"x" * size + b"."}
        )
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
        log.lines.note(**ENTRY)
        async with asyncio.timeout(10):
            while not path.read_text():  # noqa: ASYNC110 - files tell nobody
                await asyncio.sleep(0.01)
        log.close()
    assert path.read_text() == "200\n"


async def test_a_full_disk_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    log = AccessLog(fd, "%s")
    log.lines.note(**ENTRY)
    log.flush()
    log.flush()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    log.close()
    assert "1 lines of the access log are lost" in caplog.text
    os.close(fd)


async def test_who_does_not_read_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    log = AccessLog(writing, "%U")
    entry = {**ENTRY, "target": b"/" + b"x" * 1000}
    for _ in range(2 * MOST_KEPT // 1000):
        log.lines.note(**entry)
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
    assert good["attempts"] == [{"worker": "app", "reason": None}]
    assert good["member"] is not None
    assert (bad["method"], bad["status"], bad["reason"]) == (None, 400, "bad_request")
