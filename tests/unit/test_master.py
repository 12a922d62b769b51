"""What the master is made of: its loop, its file, its control socket, and the pauses it makes.

The master itself forks: `tests/faults/test_processes.py` runs it as its users do.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ajpd import control as module
from ajpd.control import Answer, Control, ControlError, PidFile, ask_reload, control_address
from ajpd.events import Events
from ajpd.generation import backoff, words_of
from ajpd.log import open_files, open_log, reopen, take_files, use_log

# --- events ---------------------------------------------------------------------------------------


@pytest.fixture
def heard() -> list[signal.Signals]:
    return []


@pytest.fixture
def events(heard: list[signal.Signals]) -> Iterator[Events]:
    before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGCHLD)
    made = Events(heard.append, (signal.SIGUSR1, signal.SIGCHLD))
    yield made
    made.close()
    signal.signal(signal.SIGUSR1, before[0])
    signal.signal(signal.SIGCHLD, before[1])


def test_signals_come_in_a_turn_and_deaths_last(
    events: Events, heard: list[signal.Signals]
) -> None:
    os.kill(os.getpid(), signal.SIGCHLD)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert heard == []
    events.turn()
    assert heard == [signal.SIGUSR1, signal.SIGCHLD]


def test_timers_come_in_order(events: Events) -> None:
    found: list[int] = []
    events.later(0.002, lambda: found.append(2))
    events.later(0.0, lambda: found.append(0))
    events.later(0.0, lambda: found.append(1))
    while len(found) < 3:
        events.turn()
    assert found == [0, 1, 2]


def test_what_is_forgotten_in_a_turn_is_not_called(events: Events) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    found: list[int] = []

    def read(number: int) -> None:
        found.append(number)
        other = pairs[1 - number][0]
        events.forget(other)
        other.close()

    events.watch(pairs[0][0], lambda: read(0))
    events.watch(pairs[1][0], lambda: read(1))
    for _, end in pairs:
        end.send(b".")
    events.turn()
    assert len(found) == 1
    for pair in pairs:
        for end in pair:
            end.close()


def test_a_child_closes_what_was_watched(heard: list[signal.Signals]) -> None:
    events = Events(heard.append, ())
    ours, theirs = socket.socketpair()
    events.watch(ours, lambda: None)
    events.close_in_child()
    assert ours.fileno() < 0
    theirs.close()


# --- the pid file ---------------------------------------------------------------------------------


def test_a_pid_file(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    file = PidFile.take(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    assert os.listdir(tmp_path) == ["pid"]
    with pytest.raises(ControlError, match=f"another ajpd runs with .*: process {os.getpid()}"):
        PidFile.take(str(path))
    assert os.listdir(tmp_path) == ["pid"]
    file.remove()
    assert os.listdir(tmp_path) == []


def test_a_stale_pid_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("4711\nlonger than any number\n")
    file = PidFile.take(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove()


def test_the_pid_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    file = PidFile.take(str(path))
    path.unlink()
    path.write_text("4711\n")
    file.remove()
    assert path.read_text() == "4711\n"


def test_no_pid_file_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    (tmp_path / "pid").symlink_to("precious")
    with pytest.raises(OSError, match="symbolic links"):
        PidFile.take(str(tmp_path / "pid"))
    assert (tmp_path / "precious").read_text() == "data"
    assert sorted(os.listdir(tmp_path)) == ["pid", "precious"]


# --- the control socket ---------------------------------------------------------------------------


def test_one_name_for_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("ajpd.toml")
    whole = control_address([str(tmp_path / "ajpd.toml")])
    assert control_address([str(tmp_path / "link")]) == whole
    monkeypatch.chdir(tmp_path)
    assert control_address(["ajpd.toml"]) == whole
    assert control_address(["a", "b"]) != control_address(["a"]) != control_address(["b"])
    assert whole.startswith(b"\0ajpd.")


def test_a_question_and_its_answer(tmp_path: Path, events: Events) -> None:
    paths = [str(tmp_path / "ajpd.toml")]
    asked: list[bool] = []
    control = Control(paths, events, lambda: asked.append(True))
    answers: list[Answer] = []
    client = threading.Thread(target=lambda: answers.append(ask_reload(paths)))
    client.start()
    while not asked:
        events.turn()
    # Nobody has begun with it yet: this answer is for somebody else.
    control.answer(Answer(done=False, errors=["too early"]))
    control.begin()
    said = Answer(done=True, text="fine", warnings=["w"])
    control.answer(said)
    client.join(5)
    assert (answers[0].done, answers[0].text) == (True, "fine")
    assert (list(answers[0].errors), list(answers[0].warnings)) == ([], ["w"])
    with pytest.raises(OSError, match="in use"):
        Control(paths, events, lambda: None)
    control.close(said)
    with pytest.raises(ControlError, match=f"no ajpd runs with {paths[0]}"):
        ask_reload(paths)


def test_a_stranger_is_not_answered(
    tmp_path: Path, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [str(tmp_path / "ajpd.toml")]
    control = Control(paths, events, lambda: pytest.fail("not allowed"))
    monkeypatch.setattr(module, "_user_of_peer", lambda sock: 4711)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(control_address(paths))
        events.turn()
        assert client.recv(10) == b""
    control.close(Answer(done=False))


def test_nonsense_is_not_answered(tmp_path: Path, events: Events) -> None:
    paths = [str(tmp_path / "ajpd.toml")]
    control = Control(paths, events, lambda: pytest.fail("nobody asked"))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(control_address(paths))
        client.sendall(b"GET / HTTP/1.1\r\n")
        events.turn()
        events.turn()
        client.settimeout(5)
        assert client.recv(10) == b""
    control.close(Answer(done=False))


def test_a_place_that_another_user_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(tmp_path / "ajpd.toml")]
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(control_address(paths))
        other.listen()
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setattr(module, "_user_of_peer", lambda sock: 4711)
        with pytest.raises(ControlError, match="a process of another user, number 4711"):
            ask_reload(paths)


# --- processes that die ---------------------------------------------------------------------------


def test_pauses_grow_to_a_limit() -> None:
    assert [backoff(deaths) for deaths in range(10)] == [0, 0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]
    assert backoff(10_000) == 5


def test_words_for_an_end() -> None:
    assert words_of(signal.SIGKILL) == "was ended by SIGKILL"
    assert words_of(33) == "was ended by signal 33"
    assert words_of(3 << 8) == "ended with exit code 3"


# --- logs -----------------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """A log in use."""
    names = ("ajp", "ajpd", "asyncio")
    before = [(logging.getLogger(name), logging.getLogger(name).__dict__.copy()) for name in names]
    handler = open_log(str(tmp_path / "log"))
    use_log(handler, "info")
    yield tmp_path / "log"
    handler.close()
    for logger, state in before:
        logger.handlers[:] = []
        logger.propagate = state["propagate"]
        logger.setLevel(state["level"])


def test_a_log_that_was_moved_away(log: Path) -> None:
    logger = logging.getLogger("ajpd.test")
    logger.info("first")
    log.rename(log.with_name("old"))
    logger.info("second")
    assert reopen() == []
    logger.info("third")
    assert log.with_name("old").read_text().count("\n") == 2
    assert "third" in log.read_text()


def test_a_log_that_cannot_be_opened_again(log: Path) -> None:
    log.rename(log.with_name("old"))
    log.mkdir()
    assert reopen() == [f"{log} cannot be opened again: Is a directory"]
    logging.getLogger("ajpd.test").info("still here")
    assert "still here" in log.with_name("old").read_text()


def test_logs_that_somebody_else_opened(log: Path, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    fresh = [os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT, 0o600) for name in ("a", "b")]
    take_files([(str(log), fresh[0]), ("/not/ours", fresh[1])])
    logging.getLogger("ajpd.test").info("there")
    assert "there" in (tmp_path / "a").read_text()
    assert (tmp_path / "b").read_text() == ""
    assert len(os.listdir("/proc/self/fd")) == before
    assert [path for path, _ in open_files()] == [str(log)]
