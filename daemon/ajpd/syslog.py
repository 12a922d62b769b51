"""Messages for syslog, sent without ever waiting: to this machine's, or to another one by UDP.

What cannot be sent at once is dropped and counted; who writes here serves requests. A syslog that
was started anew is found again.

Source: RFC 5424 for UDP; for /dev/log the form of RFC 3164 without time and host, as syslog(3) of
the C library sends it and every daemon behind that socket reads it.
"""

import contextlib
import errno
import logging
import os
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import SysLogHandler
from typing import Final

__all__ = ["PREFIX", "Destination", "Syslog", "SyslogHandler"]

PREFIX: Final = "syslog:"

_LOCAL: Final = "/dev/log"
_PORT: Final = 514
_TAG: Final = "ajpd"
#: What fits everywhere; longer messages are cut where they are too long.
_SHORT: Final = 2000
#: Seconds between two tries to find a syslog that is gone.
_AGAIN_S: Final = 1.0
_FACILITIES: Final = SysLogHandler.facility_names
_SEVERITIES: Final = {
    logging.DEBUG: SysLogHandler.LOG_DEBUG,
    logging.INFO: SysLogHandler.LOG_INFO,
    logging.WARNING: SysLogHandler.LOG_WARNING,
    logging.ERROR: SysLogHandler.LOG_ERR,
    logging.CRITICAL: SysLogHandler.LOG_CRIT,
}


@dataclass(frozen=True, slots=True)
class Destination:
    """Where messages go.

    Attributes:
        facility: its number.
        host: of another machine; empty for this one.
        port: over there.
    """

    facility: int
    host: str = ""
    port: int = _PORT

    @classmethod
    def parse(cls, text: str) -> "Destination":
        """Read `syslog:`, `syslog:local3`, `syslog:local3@loghost:514` or `syslog:@[::1]:514`.

        Raises:
            ValueError: it is none of these.
        """
        facility, _, address = text.removeprefix(PREFIX).partition("@")
        number = _FACILITIES.get(facility or "daemon")
        if number is None:
            known = ", ".join(sorted(_FACILITIES))
            raise ValueError(f"there is no facility {facility!r}; there are: {known}")
        if "@" in text and not address:
            raise ValueError(f"{text!r} names no host behind @")
        host, port = address, _PORT
        if address.startswith("["):
            host, _, rest = address[1:].partition("]")
            address = f"host{rest}"
        if ":" in address:
            name, _, digits = address.partition(":")
            host = host if "[" in text else name
            if not (digits.isascii() and digits.isdigit() and 0 < int(digits) < 65536):
                raise ValueError(f"{digits!r} is no port")
            port = int(digits)
        return cls(number, host, port)


class Syslog:
    """A way to syslog; several processes may have the same.

    Args:
        where: messages go.

    Attributes:
        dropped: messages that could not be sent.

    Raises:
        OSError: the name of the other machine cannot be resolved.
    """

    def __init__(self, where: Destination) -> None:
        self.dropped = 0
        self._where = where
        self._tried_at = 0.0
        self._socket: socket.socket | None = None
        self._host = socket.gethostname() or "-"
        self._address: str | tuple[object, ...] = _LOCAL
        self._family = socket.AF_UNIX
        if where.host:
            found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_DGRAM)
            family, _, _, _, self._address = found[0]
            self._family = socket.AddressFamily(family)
        self._connect()

    def close(self) -> None:
        """Send nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def send(self, level: int, text: str) -> bool:
        """Send a message; whether it is on its way.

        Args:
            level: of `logging`.
            text: one line.
        """
        sent = self._send(self._message(level, text))
        if not sent:
            self.dropped += 1
        return sent

    def _message(self, level: int, text: str) -> bytes:
        priority = self._where.facility << 3 | _SEVERITIES.get(level, SysLogHandler.LOG_INFO)
        if self._where.host:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            head = f"<{priority}>1 {now} {self._host} {_TAG} {os.getpid()} - - "
        else:
            head = f"<{priority}>{_TAG}[{os.getpid()}]: "
        return (head + text).encode("utf-8", "backslashreplace")

    def _send(self, message: bytes) -> bool:
        for _ in range(2):
            if self._socket is None and not self._connect():
                return False
            assert self._socket is not None
            try:
                self._socket.send(message)
            except BlockingIOError:
                return False
            except OSError as exc:
                if exc.errno == errno.EMSGSIZE and len(message) > _SHORT:
                    message = message[:_SHORT]
                    continue
                if self._where.host and exc.errno == errno.ECONNREFUSED:
                    # Word of an earlier message: the next one may arrive.
                    continue
                self.close()
            else:
                return True
        return False

    def _connect(self) -> bool:
        now = time.monotonic()
        if self._tried_at and now - self._tried_at < _AGAIN_S:
            return False
        self._tried_at = now
        sock = socket.socket(self._family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.connect(self._address)
            self._socket = sock
            self._tried_at = 0.0
            return True
        sock.close()
        return False


class SyslogHandler(logging.Handler):
    """A log that is syslog's.

    Args:
        syslog: closed with it.
    """

    def __init__(self, syslog: Syslog) -> None:
        super().__init__()
        self._syslog = syslog
        self._told = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Send a line for each line of a message."""
        try:
            lines = self.format(record).splitlines()
        except Exception:
            self.handleError(record)
            return
        for line in lines:
            if self._syslog.send(record.levelno, line) and self._syslog.dropped > self._told:
                count, self._told = self._syslog.dropped - self._told, self._syslog.dropped
                self._syslog.send(logging.WARNING, f"{count} messages before this were lost")

    def close(self) -> None:
        """Send nothing more."""
        self._syslog.close()
        super().close()
