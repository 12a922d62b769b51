"""Blocking connections to one container, and the pool that keeps them warm.

A `Link` moves the bytes of a `WebServerConnection`; every wait in it is bounded by a `Clock`, and
every failure has its reason and how far the exchange had come. What a request is, and whether to
try again, is the client's business and must not be added.
"""

import select
import socket
import threading
import time
from typing import Final

from .connection import NEED_DATA, Signal, WebServerConnection
from .errors import EndpointError, PoolClosed, PoolTimeout, Progress, Reason
from .messages import CPing, FromContainer
from .request import UNIX_PREFIX, failure

__all__ = ["Clock", "Link", "Links", "connect"]

READ_SIZE: Final = 65536


class Clock:
    """How long the next wait may take.

    Args:
        deadline: monotonic seconds for everything; None for ever.
        each: seconds for each wait; None for ever.
        reason: what it is called when time is up.
    """

    def __init__(
        self, deadline: float | None, each: float | None, reason: Reason = Reason.REPLY_TIMEOUT
    ) -> None:
        self.deadline = deadline
        self.reason = reason
        self._each = each

    def remaining(self) -> float | None:
        """Seconds for the next wait; None for ever.

        Raises:
            TimeoutError: time is up.
        """
        if self.deadline is None:
            return self._each
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left if self._each is None else min(left, self._each)

    @property
    def is_over(self) -> bool:
        """Whether the time for everything is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def sooner(self, seconds: float | None) -> float | None:
        """Shorten another time to what is left of everything."""
        if self.deadline is None:
            return seconds
        left = max(self.deadline - time.monotonic(), 0.001)
        return left if seconds is None else min(seconds, left)


class Link:
    """One connection to the container; every wait is bounded and every failure has its reason."""

    def __init__(self, sock: socket.socket, max_packet_size: int) -> None:
        self.sock = sock
        self.wire = WebServerConnection(max_packet_size=max_packet_size)
        self.requests = 0
        self.idle_since = time.monotonic()
        self.progress = Progress.NOTHING_SENT
        self.bytes_in = 0
        self.bytes_out = 0

    def begin(self) -> None:
        """Another exchange: nothing of it has been sent, nothing has come."""
        self.progress = Progress.NOTHING_SENT
        self.bytes_in = self.bytes_out = 0

    @property
    def is_alive(self) -> bool:
        """Whether an idle connection may be used: open, and nothing came that nobody asked for."""
        readable = select.poll()
        readable.register(self.sock, select.POLLIN | select.POLLHUP | select.POLLERR)
        return self.wire.is_reusable and not readable.poll(0)

    def close(self) -> None:
        """Close the connection, in whatever state it is."""
        self.sock.close()

    def write(self, packet: bytes, clock: Clock, progress: Progress) -> None:
        """Write a whole packet; `progress` is what the exchange has come to with its first byte."""
        rest = memoryview(packet)
        try:
            while rest:
                self.sock.settimeout(clock.remaining())
                sent = self.sock.send(rest)
                rest = rest[sent:]
                self.bytes_out += sent
                self.progress = max(self.progress, progress)
        except TimeoutError as exc:
            raise self._failure(clock.reason, "the container takes nothing") from exc
        except OSError as exc:
            raise self._failure(Reason.RESET_BEFORE_HEADERS, str(exc)) from exc

    def next_message(self, clock: Clock) -> FromContainer | Signal:
        """Wait for the next message."""
        while (event := self.wire.next_event()) is NEED_DATA:
            try:
                self.sock.settimeout(clock.remaining())
                data = self.sock.recv(READ_SIZE)
            except TimeoutError as exc:
                raise self._failure(clock.reason, "no packet in time") from exc
            except OSError as exc:
                raise self._failure(Reason.RESET_BEFORE_HEADERS, str(exc)) from exc
            if not data:
                raise self._failure(
                    Reason.EOF_BEFORE_HEADERS, "the container closed the connection"
                )
            self.bytes_in += len(data)
            self.wire.receive(data)
        return event

    def ping(self, seconds: float) -> None:
        """Send a CPING and wait for its CPONG."""
        clock = Clock(time.monotonic() + seconds, None, Reason.CPING_TIMEOUT)
        self.write(self.wire.send(CPing()), clock, Progress.NOTHING_SENT)
        self.next_message(clock)

    def _failure(self, reason: Reason, message: str) -> EndpointError:
        if self.progress is Progress.RESPONSE_STARTED:
            late = {
                Reason.EOF_BEFORE_HEADERS: Reason.EOF_MID_BODY,
                Reason.RESET_BEFORE_HEADERS: Reason.RESET_MID_BODY,
            }
            reason = late.get(reason, reason)
        return failure(reason, self.progress, message)


class Links:
    """Warm connections, the last one used first, and how many there are in all.

    Args:
        size: most connections, busy ones included.
        idle_timeout: seconds one may be idle; None for ever.
    """

    def __init__(self, size: int, idle_timeout: float | None) -> None:
        self.size = size
        self.idle_timeout = idle_timeout
        self.open = 0
        self.idle: list[Link] = []
        self._is_closed = False
        self._changed = threading.Condition()

    def take(self, seconds: float | None) -> Link | None:
        """Take a live idle connection; None: the caller may make one.

        Raises:
            PoolTimeout: all stayed busy.
            PoolClosed: the client is closed.
        """
        with self._changed:
            if not self._changed.wait_for(self._is_free, seconds):
                raise PoolTimeout(f"all {self.size} connections stayed busy")
            if self._is_closed:
                raise PoolClosed("the client is closed")
            while self.idle:
                link = self.idle.pop()
                if link.is_alive and not self._is_old(link):
                    return link
                link.close()
                self.open -= 1
            self.open += 1
            return None

    def give_back(self, link: Link | None) -> None:
        """Return a connection that may be used again; None: one that is gone."""
        with self._changed:
            if link is None or self._is_closed:
                self.open -= 1
                if link is not None:
                    link.close()
            else:
                link.idle_since = time.monotonic()
                self.idle.append(link)
            self._changed.notify()

    def close(self) -> None:
        """Close what is idle now, and the rest as it comes back."""
        with self._changed:
            self._is_closed = True
            self.open -= len(self.idle)
            for link in self.idle:
                link.close()
            self.idle.clear()
            self._changed.notify_all()

    def _is_free(self) -> bool:
        return self._is_closed or bool(self.idle) or self.open < self.size

    def _is_old(self, link: Link) -> bool:
        limit = self.idle_timeout
        return limit is not None and time.monotonic() - link.idle_since > limit


def connect(host: str, port: int, seconds: float | None, max_packet_size: int) -> Link:
    """Connect to a container.

    Args:
        host: name or address, or ``unix:/path``.
        port: ignored for a Unix socket.
        seconds: None for as long as the system tries.
        max_packet_size: bytes, 8192-65536.

    Raises:
        ConnectTimeout: not in time.
        ConnectFailed: refused, unreachable, or the name cannot be resolved.
    """
    try:
        if host.startswith(UNIX_PREFIX):
            sock = _connect_unix(host.removeprefix(UNIX_PREFIX), seconds)
        else:
            sock = socket.create_connection((host, port), seconds)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as exc:
        if isinstance(exc, TimeoutError):
            reason = Reason.CONNECT_TIMEOUT
        elif isinstance(exc, socket.gaierror):
            reason = Reason.RESOLVE_FAILED
        else:
            reason = Reason.CONNECT_REFUSED
        where = host if host.startswith(UNIX_PREFIX) else f"{host}:{port}"
        raise failure(reason, Progress.NOTHING_SENT, f"{where}: {exc}") from exc
    return Link(sock, max_packet_size)


def _connect_unix(path: str, seconds: float | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(seconds)
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock
