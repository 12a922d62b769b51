"""What systemd is told, and what it hands over."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ajpd.systemd import Notifier, sockets_handed_over, watchdog_s


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of a systemd that listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


def test_every_word(told: socket.socket) -> None:
    env = {"NOTIFY_SOCKET": told.getsockname(), "OTHER": "stays"}
    notifier = Notifier(env)
    # What runs below must not speak for the service.
    assert env == {"OTHER": "stays"}
    notifier.ready("2 processes")
    assert told.recv(100) == b"READY=1\nSTATUS=2 processes"
    notifier.reloading()
    first, second, _ = told.recv(100).split(b"\n")
    assert first == b"RELOADING=1"
    assert second.removeprefix(b"MONOTONIC_USEC=").isdigit()
    notifier.stopping()
    assert told.recv(100).startswith(b"STOPPING=1\n")
    notifier.is_alive()
    assert told.recv(100) == b"WATCHDOG=1"


def test_an_abstract_name() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("")
        sock.setblocking(False)
        Notifier({"NOTIFY_SOCKET": "@" + sock.getsockname()[1:].decode()}).is_alive()
        assert sock.recv(100) == b"WATCHDOG=1"


def test_nobody_to_tell(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Notifier({}).ready("")
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).stopping()
    assert "systemd cannot be told STOPPING=1: No such file" in caplog.text


@pytest.mark.parametrize(
    ("env", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "1500000"}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_watchdog(env: dict[str, str], seconds: float) -> None:
    assert watchdog_s(env) == seconds
    assert env == {}


@pytest.fixture
def at_three() -> Iterator[int]:
    """Two descriptors in the places where systemd puts them; how many were there before."""
    saved = {}
    for number in (3, 4):
        try:
            saved[number] = os.dup(number)
        except OSError:
            saved[number] = -1
    with socket.socket() as sock:
        for number in saved:
            os.dup2(sock.fileno(), number, inheritable=True)
    yield 2
    for number, copy in saved.items():
        if copy >= 0:
            os.dup2(copy, number, inheritable=False)
            os.close(copy)
        else:
            os.close(number)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("web:tls", {"web": (3,), "tls": (4,)}),
        ("web:web", {"web": (3, 4)}),
        ("", {"unknown": (3, 4)}),
        ("web", {"web": (3,), "unknown": (4,)}),
    ],
)
def test_sockets(names: str, found: dict[str, tuple[int, ...]], at_three: int) -> None:
    env = {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": str(at_three),
        "LISTEN_FDNAMES": names,
    }
    assert sockets_handed_over(env) == found
    assert env == {}
    assert not os.get_inheritable(3)


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"},
    ],
)
def test_sockets_of_somebody_else(env: dict[str, str]) -> None:
    assert sockets_handed_over(env) == {}
    assert env == {}
