"""The access log: one line for each request, written whole, many at a time.

A format is compiled once, into parts that `_logline` fills in. Lines are collected for a moment and
leave in one write at the end of the file, so that those of several processes never
mix. No byte of a client can end a line, leave its quotes or move a terminal's cursor.

Source: mod_jk `JkRequestLogFormat`. Differs: it is a file of its own, see `docs`.
"""

import asyncio
import logging
import os
import select
import stat
from collections.abc import Sequence
from typing import Final

from ._logline import OPS, LogLines
from .syslog import Syslog

__all__ = ["AccessFormatError", "AccessLog", "compile_format"]

logger = logging.getLogger("ajpd.access")

#: Bytes that are written without waiting for more.
FULL: Final = 65536
#: Seconds that a line waits for others, and until a write that failed is tried again.
WAITS: Final = 0.1
#: Bytes that are kept for somebody who does not read, such as the end of a pipe.
MOST_KEPT: Final = 1024 * 1024
#: Bytes that are kept for a file until its disk has room again.
MOST_KEPT_FOR_FILE: Final = 16 * 1024 * 1024
#: What a pipe takes in one piece once it is ready.
_PIPE_BUF: Final = select.PIPE_BUF

#: Keys of a line in JSON, in their order.
_KEYS: Final = (
    *("time", "client", "host", "method", "path", "query", "status", "bytes", "duration"),
    *("first_byte", "worker", "member", "route", "sticky", "attempts", "reason", "request_id"),
    *("tls", "cipher"),
)
_TOKENS: Final = {
    "b": "bytes or dash",
    "B": "bytes",
    "H": "protocol",
    "m": "method",
    "p": "port",
    "q": "query",
    "r": "request",
    "s": "status",
    "T": "duration",
    "U": "path",
    "v": "host",
    "V": "host",
    "w": "worker",
    "R": "route",
}
_ESCAPES: Final = {"\\": "\\", "n": "\n", "t": "\t"}

#: Operations of `LogLines`, each with the text before it.
Parts = Sequence[tuple[int, bytes]]


class AccessFormatError(ValueError):
    """A format of the access log cannot be used."""


def _parts(*found: str) -> Parts:
    """Texts and, at odd places, names of operations."""
    texts, names = found[::2], (*found[1::2], "")
    return [(OPS[name], text.encode()) for text, name in zip(texts, names, strict=True)]


def _json() -> Parts:
    found = []
    for number, key in enumerate(_KEYS):
        found += [f'{"," if number else "{"}"{key}":', f"json {key}"]
    return _parts(*found, "}")


_COMBINED: Final = _parts(
    *("", "client", " - - [", "common time", '] "', "request", '" ', "status", " "),
    *("bytes or dash", ' "', "referer", '" "', "agent", '"'),
)


def compile_format(text: str) -> Parts:
    """What `LogLines` makes lines of.

    Args:
        text: `json`, `combined`, or tokens of JkRequestLogFormat.

    Raises:
        AccessFormatError: a token is unknown; says which one, and where.
    """
    if text in ("json", "combined"):
        return _json() if text == "json" else _COMBINED
    found = [""]
    at = 0
    while at < len(text):
        char, pair = text[at], text[at : at + 2]
        if char not in "%\\":
            found[-1] += char
            at += 1
            continue
        part = (_TOKENS if char == "%" else _ESCAPES).get(pair[1:])
        if part is None:
            raise AccessFormatError(f"unknown {pair!r} at character {at + 1} of {text!r}")
        if char == "%":
            found += [part, ""]
        else:
            found[-1] += part
        at += 2
    if len(found) == 1:
        raise AccessFormatError(f"{text!r} has no token, and is neither json nor combined")
    return _parts(*found)


class AccessLog:
    """Where one process writes its lines.

    Must be created inside the running loop.

    Args:
        fd: open for appending; somebody else's to close.
        text: a format, see `compile_format`.
        syslog: where lines go in place of `fd`; None for there.

    Attributes:
        lines: takes what is to be written.
    """

    def __init__(self, fd: int, text: str, syslog: Syslog | None = None) -> None:
        self._syslog = syslog
        self.lines = LogLines(compile_format(text), self._wait, self._full)
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._timer: asyncio.TimerHandle | None = None
        self._is_file = syslog is None and stat.S_ISREG(os.fstat(fd).st_mode)
        self.lines.most = MOST_KEPT_FOR_FILE if self._is_file else MOST_KEPT
        self.lines.full = FULL
        self._is_failing = False

    @property
    def dropped(self) -> int:
        """Lines for which there was no more room, since nobody read or the disk was full."""
        return self.lines.dropped

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(WAITS, self._due)

    def _full(self) -> None:
        if not self._is_failing:
            self.flush()

    def _due(self) -> None:
        self._timer = None
        self.flush()
        if self._rest:
            self._wait()

    def close(self) -> None:
        """Write what there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.flush()
        lost = self.dropped + self._rest.count(b"\n")
        if lost:
            logger.warning("%d lines of the access log are lost: they cannot be written", lost)

    def flush(self) -> None:
        """Write what there is, as far as it is taken without waiting."""
        if self._syslog is not None:
            self._send(self._syslog)
            return
        data = self._rest + self.lines.take()
        try:
            while data and self._is_ready():
                data = data[os.write(self._fd, self._piece(data)) :]
        except BlockingIOError:
            pass
        except OSError as exc:
            if not self._is_failing:
                logger.error("the access log cannot be written: %s; trying again", exc.strerror)
            self._is_failing = True
        else:
            self._say_well()
        self._rest = data
        self.lines.kept = len(data)

    def _send(self, syslog: Syslog) -> None:
        """Send each line by itself; what is not taken is lost."""
        lines = self.lines.take().decode("ascii").splitlines()
        lost = sum(not syslog.send(logging.INFO, line) for line in lines)
        self.lines.dropped += lost
        if not lost:
            self._say_well()
        elif not self._is_failing:
            logger.error("the access log cannot be sent to syslog; trying again")
            self._is_failing = True

    def _is_ready(self) -> bool:
        return self._is_file or bool(select.select((), (self._fd,), (), 0)[1])

    def _piece(self, data: bytes) -> bytes:
        """All for a file; whole lines that go into a pipe at once."""
        if self._is_file or len(data) <= _PIPE_BUF:
            return data
        end = data.rfind(b"\n", 0, _PIPE_BUF) + 1
        return data[: end or data.index(b"\n") + 1]

    def _say_well(self) -> None:
        if self._is_failing:
            logger.warning("the access log can be written again")
            self._is_failing = False
        if self.dropped and not self._rest:
            logger.warning(
                "%d lines of the access log are lost: they could not be written", self.dropped
            )
            self.lines.dropped = 0
