"""Where messages go and what they look like."""

import logging
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Final, TextIO, cast

from .repeats import Repeats
from .syslog import PREFIX, Destination, Syslog, SyslogHandler

__all__ = [
    "AccessFile",
    "access_file",
    "open_files",
    "open_log",
    "reopen",
    "say_repeats",
    "setup_logging",
    "take_files",
    "use_access",
    "use_log",
]

_LOGGERS: Final = ("ajp", "ajpd", "asyncio")

#: Path and descriptor of each log that this process writes to.
_opened: Final[list[tuple[str, int]]] = []


class _Formatter(logging.Formatter):
    """One line an event: time with milliseconds and zone, level, logger, message."""

    def formatTime(  # noqa: N802 - overrides logging's name
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """ISO 8601 with milliseconds and offset."""
        local = time.localtime(record.created)
        offset = time.strftime("%z", local)
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{int(record.msecs):03d}{offset}"


class _LogFile(logging.FileHandler):
    """A log that can be opened again in place; every process writes whole lines at its end."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._known = (self.baseFilename, cast(TextIO, self.stream).fileno())
        _opened.append(self._known)

    def close(self) -> None:
        """Close the file and forget it."""
        if self._known in _opened:
            _opened.remove(self._known)
        super().close()


class AccessFile:
    """The descriptor of an access log; opened again in place as every log.

    Args:
        path: to append to; `-` for standard output, or `syslog:` and what `Destination` reads.

    Attributes:
        fd: to write to; -1 where it is syslog.
        syslog: where that is it; else None.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._known: tuple[str, int] | None = None
        self.fd = 1
        self.syslog: Syslog | None = None
        if path.startswith(PREFIX):
            self.fd = -1
            self.syslog = Syslog(Destination.parse(path))
        elif path != "-":
            path = os.path.abspath(path)
            self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self._known = (path, self.fd)
            _opened.append(self._known)

    def close(self) -> None:
        """Close the file and forget it; standard output stays."""
        if self._known is not None and self._known in _opened:
            _opened.remove(self._known)
            os.close(self.fd)
        if self.syslog is not None:
            self.syslog.close()


class _Used:
    """Which log this process writes to, and what stands before it."""

    repeats: Repeats | None = None


class _Access:
    """Which access log this process uses."""

    file: AccessFile | None = None


def use_access(file: AccessFile | None) -> None:
    """Write the access log there in processes that begin from now on; None for nowhere."""
    _Access.file = file


def access_file() -> AccessFile | None:
    """Where the access log goes."""
    return _Access.file


def setup_logging(level: str, file: str = "") -> None:
    """Send the messages of library and daemon to a file or to stderr.

    Args:
        level: debug, info, warning or error.
        file: path to append to; empty for stderr; or `syslog:` and what `Destination` reads.

    Raises:
        OSError: the file cannot be opened.
    """
    use_log(open_log(file), level)


def open_log(file: str) -> logging.Handler:
    """Open a log, or take stderr when there is no name; nothing is written to it yet.

    Raises:
        OSError: the file cannot be opened.
    """
    handler: logging.Handler
    if file.startswith(PREFIX):
        handler = SyslogHandler(Syslog(Destination.parse(file)))
        # It has the time itself.
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    else:
        handler = _LogFile(file) if file else logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    handler.addFilter(Repeats(handler))
    return handler


def use_log(handler: logging.Handler, level: str) -> None:
    """Send all messages there from now on; what was used before stays open."""
    say_repeats(all_of_them=True)
    found = [each for each in handler.filters if isinstance(each, Repeats)]
    _Used.repeats = found[0] if found else None
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())


def say_repeats(*, all_of_them: bool = False) -> None:
    """Write how often messages came that were held back.

    Args:
        all_of_them: those too that may still come more often.
    """
    if _Used.repeats is not None:
        if all_of_them:
            _Used.repeats.finish()
        else:
            _Used.repeats.look()


def open_files() -> Sequence[tuple[str, int]]:
    """Path and descriptor of each log that is open."""
    return tuple(_opened)


def reopen() -> list[str]:
    """Open every log again by its name, because somebody has moved it away.

    Returns:
        what went wrong; such a log is written to as before.
    """
    problems = []
    for path, fd in _opened:
        try:
            fresh = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as exc:
            problems.append(f"{path} cannot be opened again: {exc.strerror}")
            continue
        _replace(fd, fresh)
    return problems


def take_files(files: Iterable[tuple[str, int]]) -> None:
    """Use logs that another process has opened again.

    Args:
        files: path and descriptor of each; closed here.
    """
    for path, fresh in files:
        ours = [fd for known, fd in _opened if known == path]
        for fd in ours[1:]:
            os.dup2(fresh, fd, inheritable=False)
        if ours:
            _replace(ours[0], fresh)
        else:
            os.close(fresh)


def _replace(fd: int, fresh: int) -> None:
    """Let a descriptor mean another file; whoever writes to it need not know."""
    os.dup2(fresh, fd, inheritable=False)
    os.close(fresh)
