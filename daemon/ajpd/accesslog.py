"""The access log: one line for each request, written whole, many at a time.

A format is compiled once, into a function that makes a line of an `Entry`. Lines are collected for
a moment and leave in one write at the end of the file, so that those of several processes never
mix. No byte of a client can end a line, leave its quotes or move a terminal's cursor.

Source: mod_jk `JkRequestLogFormat`. Differs: it is a file of its own, see `docs`.
"""

import asyncio
import logging
import os
import re
import select
import stat
import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quoted
from typing import Final, NamedTuple

__all__ = ["AccessFormatError", "AccessLog", "Entry", "compile_format"]

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

# Not the locale's.
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
_UNSAFE: Final = re.compile(r'[^ -~]|["\\]')


class AccessFormatError(ValueError):
    """A format of the access log cannot be used."""


class Entry(NamedTuple):
    """What is known of a request at its end; bytes are the client's own, None is nothing."""

    client: bytes | None
    port: int
    host: bytes | None
    method: bytes | None
    target: bytes | None
    minor: int
    status: int
    sent: int
    seconds: float
    first_byte: float
    worker: str | None
    member: str | None
    route: bytes | None
    attempts: int
    failures: list[tuple[str, object]] | None
    reason: object
    referer: bytes | None
    agent: bytes | None
    protocol: bytes | None


_Line = Callable[[Entry], str]


def _plain(value: bytes | None) -> str:
    r"""Text in a line of a token format: what is not printable ASCII is written as \xHH."""
    if value is None:
        return "-"
    text = value.decode("latin-1")
    if _UNSAFE.search(text) is None:
        return text or "-"
    return _UNSAFE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    return "\\" + char if char in '"\\' else f"\\x{ord(char):02x}"


def _member_of(value: bytes | None) -> str:
    """A JSON string of the same bytes, each as the character of its number; null for None."""
    return "null" if value is None else quoted(value.decode("latin-1"))


class _Clock:
    """The time as text, made once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._iso = self._common = ""

    def _look(self, now: float) -> None:
        if int(now) != self._second:
            self._second = int(now)
            local = time.localtime(self._second)
            self._iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self._second))
            month = [
                "Jan",
                "Feb",
                "Mar",
                "Apr",
                "May",
                "Jun",
                "Jul",
                "Aug",
                "Sep",
                "Oct",
                "Nov",
                "Dec",
            ][local.tm_mon - 1]
            self._common = time.strftime(f"%d/{month}/%Y:%H:%M:%S %z", local)

    def iso(self) -> str:
        """UTC with milliseconds."""
        now = time.time()
        self._look(now)
        return f"{self._iso}.{int(now * 1000) % 1000:03d}Z"

    def common(self) -> str:
        """As in the common log format."""
        self._look(time.time())
        return self._common


_clock: Final = _Clock()


def _json(entry: Entry) -> str:
    failures = ",".join(
        f'{{"worker":{quoted(name)},"reason":{quoted(str(reason))}}}'
        for name, reason in entry.failures or ()
    )
    target, mark, query = (entry.target or b"").partition(b"?")
    path = "null" if entry.target is None else _member_of(target)
    first = "null" if entry.first_byte < 0 else f"{entry.first_byte:.6f}"
    reason = "null" if entry.reason is None else quoted(str(entry.reason))
    return (
        f'{{"time":"{_clock.iso()}","client":{_member_of(entry.client)}'
        f',"host":{_member_of(entry.host)},"method":{_member_of(entry.method)},"path":{path}'
        f',"query":{_member_of(query) if mark else "null"},"status":{entry.status or "null"}'
        f',"bytes":{entry.sent},"duration":{entry.seconds:.6f},"first_byte":{first}'
        f',"worker":{_name(entry.worker)},"member":{_name(entry.member)}'
        f',"route":{_member_of(entry.route)},"attempts":{entry.attempts}'
        f',"failures":[{failures}],"reason":{reason},"tls":{_member_of(entry.protocol)}}}\n'
    )


def _name(value: str | None) -> str:
    return "null" if value is None else quoted(value)


def _request_line(entry: Entry) -> str:
    if entry.method is None:
        return "-"
    return f"{_plain(entry.method)} {_plain(entry.target)} HTTP/1.{entry.minor}"


def _combined(entry: Entry) -> str:
    return (
        f'{_plain(entry.client)} - - [{_clock.common()}] "{_request_line(entry)}" '
        f'{entry.status or "-"} {entry.sent or "-"} "{_plain(entry.referer)}" '
        f'"{_plain(entry.agent)}"\n'
    )


def _query(entry: Entry) -> str:
    _, mark, query = (entry.target or b"").partition(b"?")
    return "?" + (_plain(query) if query else "") if mark else ""


_TOKENS: Final[dict[str, _Line]] = {
    "b": lambda entry: str(entry.sent or "-"),
    "B": lambda entry: str(entry.sent),
    "H": lambda entry: "-" if entry.method is None else f"HTTP/1.{entry.minor}",
    "m": lambda entry: _plain(entry.method),
    "p": lambda entry: str(entry.port or "-"),
    "q": _query,
    "r": _request_line,
    "s": lambda entry: str(entry.status or "-"),
    "T": lambda entry: f"{entry.seconds:.6f}",
    "U": lambda entry: _plain(entry.target and entry.target.partition(b"?")[0]),
    "v": lambda entry: _plain(entry.host),
    "V": lambda entry: _plain(entry.host),
    "w": lambda entry: _plain(entry.worker.encode() if entry.worker else None),
    "R": lambda entry: _plain(entry.route),
}
_ESCAPES: Final = {"\\": "\\", "n": "\n", "t": "\t"}


def compile_format(text: str) -> _Line:
    """Make the function that makes lines.

    Args:
        text: `json`, `combined`, or tokens of JkRequestLogFormat.

    Raises:
        AccessFormatError: a token is unknown; says which one, and where.
    """
    if text in ("json", "combined"):
        return _json if text == "json" else _combined
    parts: list[str | _Line] = []
    at = 0
    while at < len(text):
        char, pair = text[at], text[at : at + 2]
        if char not in "%\\":
            parts.append(char)
            at += 1
            continue
        part = (_TOKENS if char == "%" else _ESCAPES).get(pair[1:])
        if part is None:
            raise AccessFormatError(f"unknown {pair!r} at character {at + 1} of {text!r}")
        parts.append(part)
        at += 2
    if not any(callable(part) for part in parts):
        raise AccessFormatError(f"{text!r} has no token, and is neither json nor combined")
    return _joined(parts)


def _joined(parts: list[str | _Line]) -> _Line:
    merged: list[str | _Line] = []
    for part in [*parts, "\n"]:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)

    def line(entry: Entry) -> str:
        return "".join([part if isinstance(part, str) else part(entry) for part in merged])

    return line


class AccessLog:
    """Where one process writes its lines.

    Must be created inside the running loop.

    Args:
        fd: open for appending; somebody else's to close.
        text: a format, see `compile_format`.

    Attributes:
        dropped: lines for which there was no more room, since nobody read or the disk was full.
    """

    def __init__(self, fd: int, text: str) -> None:
        self.dropped = 0
        self._fd = fd
        self._line = compile_format(text)
        self._loop = asyncio.get_running_loop()
        self._lines: list[str] = []
        self._size = 0
        self._rest = b""
        self._timer: asyncio.TimerHandle | None = None
        self._is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        self._most = MOST_KEPT_FOR_FILE if self._is_file else MOST_KEPT
        self._is_failing = False

    def write(self, *values: object) -> None:
        """Note a request; `values` are those of an `Entry`."""
        if self._size + len(self._rest) > self._most:
            self.dropped += 1
            return
        line = self._line(Entry(*values))  # type: ignore[arg-type]
        self._lines.append(line)
        self._size += len(line)
        if self._timer is None:
            self._timer = self._loop.call_later(WAITS, self._due)
        elif self._size > FULL and not self._is_failing:
            self.flush()

    def _due(self) -> None:
        self._timer = None
        self.flush()
        if self._rest or self._lines:
            self._timer = self._loop.call_later(WAITS, self._due)

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
        data = self._rest + "".join(self._lines).encode("ascii")
        self._lines.clear()
        self._size = 0
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
            self.dropped = 0
