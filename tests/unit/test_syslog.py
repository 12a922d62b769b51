"""Messages for syslog: what they look like, and what becomes of those that nobody takes."""

import asyncio
import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ajpd import syslog
from ajpd.accesslog import AccessLog
from ajpd.log import AccessFile, open_log
from ajpd.syslog import Destination, Syslog, SyslogHandler

UDP = re.compile(r"<(\d+)>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ ajpd \d+ - - (.*)")


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What listens at /dev/log."""
    path = str(tmp_path / "log")
    monkeypatch.setattr(syslog, "_LOCAL", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(5)
        yield sock


@pytest.fixture
def other() -> Iterator[socket.socket]:
    """Another machine's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock


def to(other: socket.socket) -> Syslog:
    return Syslog(Destination(3, "127.0.0.1", other.getsockname()[1]))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("syslog:", Destination(3)),
        ("syslog:local3", Destination(19)),
        ("syslog:@loghost", Destination(3, "loghost")),
        ("syslog:user@10.0.0.1:1514", Destination(1, "10.0.0.1", 1514)),
        ("syslog:@[::1]", Destination(3, "::1")),
        ("syslog:@[::1]:9", Destination(3, "::1", 9)),
    ],
)
def test_destinations(text: str, wanted: Destination) -> None:
    assert Destination.parse(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["syslog:local9", "syslog:@", "syslog:@h:", "syslog:@h:0", "syslog:@h:x", "syslog:@[::1]:y"],
)
def test_what_is_no_destination(text: str) -> None:
    with pytest.raises(ValueError, match=r"facility|host|port"):
        Destination.parse(text)


def test_to_this_machine(local: socket.socket) -> None:
    log = Syslog(Destination.parse("syslog:local0"))
    assert log.send(logging.WARNING, "hé")
    assert local.recv(1000) == f"<{16 * 8 + 4}>ajpd[{os.getpid()}]: hé".encode()
    log.close()


def test_by_udp(other: socket.socket) -> None:
    log = to(other)
    assert log.send(logging.ERROR, "x")
    found = UDP.fullmatch(other.recv(1000).decode())
    assert found is not None
    assert (found[1], found[2]) == (f"{3 * 8 + 3}", "x")
    log.close()


def test_nobody_waits_for_who_does_not_read(local: socket.socket) -> None:
    log = Syslog(Destination.parse("syslog:"))
    sent = 0
    while log.send(logging.INFO, "x" * 1000):
        sent += 1
        assert sent < 100_000
    assert log.dropped == 1
    for _ in range(sent):
        local.recv(2000)
    assert log.send(logging.INFO, "y")
    log.close()


def test_one_that_was_started_anew_is_found(
    local: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "_AGAIN_S", 0.0)
    log = Syslog(Destination.parse("syslog:"))
    local.close()
    (tmp_path / "log").unlink()
    assert not log.send(logging.INFO, "lost")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as fresh:
        fresh.bind(str(tmp_path / "log"))
        fresh.settimeout(5)
        assert log.send(logging.INFO, "here")
        assert fresh.recv(1000).endswith(b": here")
    log.close()


def test_one_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog, "_LOCAL", str(tmp_path / "log"))
    log = Syslog(Destination.parse("syslog:"))
    assert not log.send(logging.INFO, "lost")
    assert log.dropped == 1


def test_what_is_too_long_is_cut(other: socket.socket) -> None:
    log = to(other)
    assert log.send(logging.INFO, "x" * 100_000)
    assert len(other.recv(200_000)) == 2000
    log.close()


def test_the_log(local: socket.socket) -> None:
    handler = open_log("syslog:")
    assert isinstance(handler, SyslogHandler)
    logger = logging.getLogger("ajpd.test-syslog")
    logger.propagate = False
    logger.handlers[:] = [handler]
    try:
        logger.error("one\ntwo %d", 2)
    finally:
        logger.handlers.clear()
        handler.close()
    lines = [local.recv(1000).decode().partition(": ")[2] for _ in range(2)]
    assert lines == ["ERROR ajpd.test-syslog one", "two 2"]


def test_the_access_log(local: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    file = AccessFile("syslog:local1")

    async def write() -> None:
        log = AccessLog(file.fd, "%m %U", file.syslog)
        for target in (b"/a", b"/b?c", b"/d\n"):
            log.lines.note(method=b"GET", target=target)
        log.flush()
        lines = [local.recv(1000).decode() for _ in range(3)]
        assert [line.partition(": ")[2] for line in lines] == ["GET /a", "GET /b", "GET /d\\x0a"]
        assert lines[0].startswith(f"<{17 * 8 + 6}>ajpd[")
        local.close()
        for _ in range(3):
            log.lines.note(method=b"GET", target=b"/lost")
        log.close()

    asyncio.run(write())
    file.close()
    assert "cannot be sent to syslog" in caplog.text
    assert "3 lines of the access log are lost" in caplog.text
