"""Asking a master, from the side of who asks."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ajpd.control import ControlError, ask_reload, ask_table, control_address, tell


@contextmanager
def master(path: Path, act: Callable[[socket.socket], None]) -> Iterator[list[str]]:
    """Somebody who holds a master's place, and does that with who comes; yields the paths."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(control_address([str(path)]))
        listener.listen()

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                act(sock)

        thread = threading.Thread(target=serve)
        thread.start()
        yield [str(path)]
        thread.join()


def hang_up(sock: socket.socket) -> None:
    """Leave what is asked unread: that is a reset to who asked."""
    while not sock.recv(1, socket.MSG_PEEK):
        pass


@pytest.mark.parametrize("act", [hang_up, lambda sock: sock.recv(4096)], ids=["reset", "end"])
def test_who_is_not_answered_is_told_who_would_be(
    act: Callable[[socket.socket], None], tmp_path: Path
) -> None:
    ask: Callable[[list[str]], object]
    for ask in (ask_table, ask_reload, lambda paths: tell(paths, ["done"])):
        with (
            master(tmp_path / "ajpd.toml", act) as paths,
            pytest.raises(ControlError, match="hung up: only root and its own user may ask it"),
        ):
            ask(paths)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match=f"no ajpd runs with {tmp_path}"):
        ask_table([str(tmp_path / "ajpd.toml")])


def test_a_place_held_by_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Abstract names are free for all."""
    with master(tmp_path / "ajpd.toml", lambda sock: sock.recv(1) and None) as paths:
        ours = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: 54321)
        if ours == 0:
            # Root may hold any place.
            with pytest.raises(ControlError, match="hung up"):
                ask_table(paths)
        else:
            with pytest.raises(ControlError, match=f"another user, number {ours}"):
                ask_table(paths)
