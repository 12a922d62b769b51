"""What systemd and a service tell each other: sockets handed over, and how the service is.

Everything comes from the environment; without it nothing is said and nothing is there. Only the
process that systemd started may use this.

Source: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3).
"""

import logging
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

__all__ = ["Notifier", "sockets_handed_over", "watchdog_s"]

logger = logging.getLogger("ajpd.master")

#: Number of the first descriptor that is handed over.
_FIRST: Final = 3


class Notifier:
    """Tells systemd how the service is.

    Args:
        env: environment; NOTIFY_SOCKET is taken out of it.
    """

    def __init__(self, env: MutableMapping[str, str]) -> None:
        where = env.pop("NOTIFY_SOCKET", "")
        # An @ stands for the NUL of an abstract name.
        self._where = "\0" + where[1:] if where.startswith("@") else where

    def ready(self, status: str) -> None:
        """It serves."""
        self._say("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """It reads its configuration again; `ready` follows, whatever came of it."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._say("RELOADING=1", f"MONOTONIC_USEC={now_us}", "STATUS=reloading")

    def stopping(self) -> None:
        """It comes to its end."""
        self._say("STOPPING=1", "STATUS=finishing what is under way")

    def is_alive(self) -> None:
        """All is well; to be said again before `watchdog_s` is over."""
        self._say("WATCHDOG=1")

    def _say(self, *lines: str) -> None:
        if not self._where:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto("\n".join(lines).encode(), self._where)
        except OSError as exc:
            logger.warning("systemd cannot be told %s: %s", lines[0], exc.strerror or exc)


def watchdog_s(env: MutableMapping[str, str]) -> float:
    """Seconds within which systemd wants to hear that all is well; 0 when it does not.

    What said so is taken out of the environment.
    """
    text, pid = env.pop("WATCHDOG_USEC", ""), env.pop("WATCHDOG_PID", "")
    if not text.isdecimal() or (pid and pid != str(os.getpid())):
        return 0.0
    return int(text) / 1_000_000


def sockets_handed_over(env: MutableMapping[str, str]) -> dict[str, tuple[int, ...]]:
    """Descriptors that systemd handed over, by name; several may have the same one.

    What said so is taken out of the environment.
    """
    pid, count = env.pop("LISTEN_PID", ""), env.pop("LISTEN_FDS", "")
    names = env.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return {}
    found: dict[str, tuple[int, ...]] = {}
    for number in range(int(count)):
        fd = _FIRST + number
        os.set_inheritable(fd, False)
        name = names[number] if number < len(names) and names[number] else "unknown"
        found[name] = (*found.get(name, ()), fd)
    return found
