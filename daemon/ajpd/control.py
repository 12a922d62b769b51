"""One master for one place: the file with its number, and the socket on which it is asked things.

The socket has an abstract name made from the paths of the configuration files: it is found without
reading them, so also when they are broken, and leaves nothing behind. Who may ask is decided by who
the kernel says it is.
"""

import contextlib
import fcntl
import json
import logging
import os
import pwd
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from .events import Events
from .naming import digest_of

__all__ = [
    "Answer",
    "Control",
    "ControlError",
    "PidFile",
    "ask_reload",
    "ask_table",
    "control_address",
    "tell",
    "user_name",
]

logger = logging.getLogger("ajpd.control")

RELOAD: Final = b"reload\n"
TABLE: Final = b"table\n"
NOTE: Final = b"note\n"
_BYTES_MOST: Final = 1 << 20
_NOTE_MOST: Final = 65536
#: Seconds that an answer may take: a reload reads files, and starts processes.
PATIENCE: Final = 60.0


class ControlError(Exception):
    """There is no master to ask, or it may not be asked; the message says which."""


class PidFile:
    """A file that says which process is the master, and that there is one.

    It is locked as long as the master lives, whoever else reads it. The text is there as soon as
    the name is.
    """

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def take(cls, path: str) -> Self:
        """Make it; one that a dead master left behind is replaced.

        Raises:
            ControlError: another master has it.
            OSError: it cannot be written.
        """
        fresh = f"{path}.{os.getpid()}"
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.write(fd, f"{os.getpid()}\n".encode())
            while not cls._put(fresh, path):
                pass
        except BaseException:
            os.close(fd)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh)
            raise
        return cls(path, fd)

    @staticmethod
    def _put(fresh: str, path: str) -> bool:
        """Give the new file its name; False when somebody was faster, and maybe is dead by now."""
        try:
            os.link(fresh, path, follow_symlinks=False)
        except FileExistsError:
            pass
        else:
            os.unlink(fresh)
            return True
        try:
            old = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(old, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_at(old, path):
                return False
            os.replace(fresh, path)
        except BlockingIOError as exc:
            number = os.read(old, 32).decode(errors="replace").strip()
            text = f"another ajpd runs with pid_file {path}: process {number}"
            raise ControlError(text) from exc
        finally:
            os.close(old)
        return True

    def remove(self) -> None:
        """Take it away, unless it is another one by now."""
        if _is_at(self._fd, self.path):
            os.unlink(self.path)
        os.close(self._fd)

    def close_in_child(self) -> None:
        """Leave it to the parent, whose lock it is."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def _is_at(fd: int, path: str) -> bool:
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a master says to a question.

    Attributes:
        done: what was asked for.
        text: what happened, in one line.
        errors: why it was not done, a line each.
        warnings: what else was found.
    """

    done: bool
    text: str = ""
    errors: Sequence[str] = field(default=())
    warnings: Sequence[str] = field(default=())

    def send(self, sock: socket.socket) -> None:
        """Say it and hang up; who does not listen has had his chance."""
        line = {
            "done": self.done,
            "text": self.text,
            "errors": [*self.errors],
            "warnings": [*self.warnings],
        }
        with contextlib.suppress(OSError):
            sock.settimeout(1.0)
            sock.sendall(json.dumps(line).encode())
        sock.close()


def control_address(paths: Sequence[str]) -> bytes:
    """The abstract name for the master of these configuration files."""
    return b"\0ajpd." + digest_of(paths)[:40].encode()


class Control:
    """Where a master is asked things.

    Args:
        paths: of the configuration files.
        events: of the master.
        on_reload: called when somebody wants a reload.
        table: path of the status table, for who asks.

    Raises:
        OSError: another master has these files.
    """

    def __init__(
        self,
        paths: Sequence[str],
        events: Events,
        on_reload: Callable[[], None],
        *,
        table: str = "",
    ) -> None:
        self._events = events
        self._table = table
        self._on_reload = on_reload
        #: Those who wait for the reload under way, and those for the one after it.
        self._asked: list[socket.socket] = []
        self._waiting: list[socket.socket] = []
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._sock.bind(control_address(paths))
            self._sock.listen(8)
        except OSError:
            self._sock.close()
            raise
        self._sock.setblocking(False)
        events.watch(self._sock, self._accept)

    def begin(self) -> None:
        """Note that everybody who has asked so far gets the next answer."""
        self._asked += self._waiting
        self._waiting.clear()

    def answer(self, answer: Answer) -> None:
        """Tell those who get it."""
        for sock in self._asked:
            answer.send(sock)
        self._asked.clear()

    def close(self, answer: Answer) -> None:
        """Tell everybody, and be found no longer."""
        self.begin()
        self.answer(answer)
        self._events.forget(self._sock)
        self._sock.close()

    def close_in_child(self) -> None:
        """Leave all of it to the parent; what is watched is closed with the events."""
        for sock in (*self._asked, *self._waiting):
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            sock, _ = self._sock.accept()
            if _user_of_peer(sock) not in (0, os.geteuid()):
                sock.close()
                return
            sock.setblocking(False)
            self._events.watch(sock, lambda: self._read(sock))

    def _read(self, sock: socket.socket) -> None:
        self._events.forget(sock)
        question = b""
        with contextlib.suppress(OSError):
            question = sock.recv(_NOTE_MOST)
        if question.startswith(NOTE):
            _log_note(sock, question.removeprefix(NOTE))
            Answer(done=True).send(sock)
            return
        if question == TABLE:
            Answer(done=True, text=self._table).send(sock)
            return
        if question != RELOAD:
            sock.close()
            return
        self._waiting.append(sock)
        self._on_reload()


def _log_note(sock: socket.socket, text: bytes) -> None:
    """Put what somebody did into the log, with who it was."""
    uid, pid = _user_of_peer(sock), _credentials(sock)[0]
    for line in text.decode("utf-8", "backslashreplace").splitlines():
        shown = "".join(letter if letter.isprintable() else "?" for letter in line)
        logger.info("%s user=%s pid=%d", shown, user_name(uid), pid)


def user_name(uid: int) -> str:
    """A user's name; the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _credentials(sock: socket.socket) -> tuple[int, int, int]:
    """Process, user and group at the other end."""
    size = struct.calcsize("3i")
    pid, uid, gid = struct.unpack(
        "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    return pid, uid, gid


def _user_of_peer(sock: socket.socket) -> int:
    return _credentials(sock)[1]


def ask_reload(paths: Sequence[str]) -> Answer:
    """Ask the master that runs with these configuration files to read them again.

    Raises:
        ControlError: there is none, or it does not answer.
    """
    return _ask(paths, RELOAD)


def ask_table(paths: Sequence[str]) -> str:
    """Ask the master that runs with these configuration files where its status table is.

    Raises:
        ControlError: there is none, or it does not answer.
    """
    return _ask(paths, TABLE).text


def tell(paths: Sequence[str], lines: Iterable[str]) -> None:
    """Have the master that runs with these files put lines into its log, with who we are.

    Raises:
        ControlError: there is none, or it does not answer.
    """
    text = "\n".join(lines).encode("utf-8", "backslashreplace")
    if text:
        _ask(paths, (NOTE + text)[:_NOTE_MOST])


def _ask(paths: Sequence[str], question: bytes) -> Answer:
    files = " and ".join(paths)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE)
        try:
            sock.connect(control_address(paths))
            _check(sock)
            sock.sendall(question)
            received = b""
            while len(received) < _BYTES_MOST and (more := sock.recv(65536)):
                received += more
        except ConnectionRefusedError as exc:
            raise ControlError(f"no ajpd runs with {files}") from exc
        except (BrokenPipeError, ConnectionResetError) as exc:
            raise ControlError(_refused(files)) from exc
        except TimeoutError as exc:
            raise ControlError(f"the ajpd of {files} said nothing for {PATIENCE:g} s") from exc
        except OSError as exc:
            raise ControlError(f"the ajpd of {files}: {exc.strerror or exc}") from exc
    try:
        said = json.loads(received)
        return Answer(**said)
    except (ValueError, TypeError) as exc:
        raise ControlError(_refused(files)) from exc


def _refused(files: str) -> str:
    return f"the ajpd of {files} hung up: only root and its own user may ask it"


def _check(sock: socket.socket) -> None:
    """Abstract names are free for all: a user must not be taken in by another one."""
    uid = _user_of_peer(sock)
    if os.geteuid() not in (0, uid) and uid != 0:
        raise ControlError(f"its place is held by a process of another user, number {uid}")
