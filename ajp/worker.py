"""One container seen from one process: its address, its pool of endpoints, its deadlines.

Does what `pool.Pool` decides. Attempts come and go by callbacks: a request that finds a warm
endpoint costs no task, no future and no timer. Connecting is the one thing that runs as a task.

Source: mod_jk `ajp_get_endpoint`, `ajp_connect_to_endpoint`. Differs: waiting for an endpoint is
a queue with a deadline, first come first served, not a poll every 100 ms.
"""

import asyncio
import logging
import math
import socket
from dataclasses import dataclass, field
from typing import Final

from ._endpoint import Attempt, Endpoint
from ._wheel import Timed
from .errors import (
    ConnectFailed,
    ConnectTimeout,
    EndpointClosed,
    EndpointError,
    PoolClosed,
    PoolTimeout,
    Progress,
    Reason,
)
from .pool import CONNECT, Decision, Pool
from .timers import Timers

__all__ = ["Worker", "WorkerSettings"]

logger = logging.getLogger("ajp.worker")

UNIX_PREFIX: Final = "unix:"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Everything a worker can be told; times in seconds, sizes in bytes.

    Attributes:
        host: name, IPv4 or IPv6 address, or ``unix:/path``.
        port: 1-65535; ignored for a Unix socket.
        secret: sent with every request; None for none.
        max_packet_size: 8192-65536; must equal the container's packetSize.
        pool_size: most connections of this process.
        pool_min_size: idle connections that are kept however old they are.
        pool_timeout: how long a connection may be idle; 0 for ever.
        acquire_timeout: how long a request may wait for a connection; 0 not at all.
        connect_timeout: for a connection to be made; 0 as long as the system tries.
        connect_ping: for the CPONG asked of a new connection; 0: none is asked.
        prepost_ping: the same before a request on a connection that was idle over a second.
        reply_timeout: before each packet of a response; 0 for ever.
        keepalive: whether the system probes idle connections.
        prefer_ipv6: whether IPv6 addresses of a name are tried first.
    """

    host: str = "localhost"
    port: int = 8009
    secret: bytes | None = field(default=None, repr=False)
    max_packet_size: int = 8192
    pool_size: int = 256
    pool_min_size: int = 0
    pool_timeout: float = 0.0
    acquire_timeout: float = 5.0
    connect_timeout: float = 2.0
    connect_ping: float = 2.0
    prepost_ping: float = 2.0
    reply_timeout: float = 0.0
    keepalive: bool = False
    prefer_ipv6: bool = False

    @property
    def address(self) -> str:
        """Host and port as one would type them."""
        if self.host.startswith(UNIX_PREFIX):
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class _Alarm(Timed):
    """One of the worker's own deadlines."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker

    def on_deadline(self, now: float) -> None:
        self._worker.maintain(now)


class Worker:
    """One container seen from one process.

    Args:
        name: what logs call it.
        settings: address, sizes, times.
        timers: of the running loop; shared by all workers of a process.
    """

    def __init__(self, name: str, settings: WorkerSettings, timers: Timers) -> None:
        self.name = name
        self.settings = settings
        self._timers = timers
        self._loop = asyncio.get_running_loop()
        self._pool: Pool[Endpoint, Attempt] = Pool(
            size=settings.pool_size,
            min_size=settings.pool_min_size,
            idle_timeout=settings.pool_timeout,
        )
        self._connecting: set[asyncio.Task[None]] = set()
        self._closed = False
        self._queue_alarm = _Alarm(self)
        self._expiry_alarm = _Alarm(self)
        self._all_gone = asyncio.Event()

    def __repr__(self) -> str:
        """Name, address and the pool's counts."""
        return f"<Worker {self.name} {self.settings.address} {self._pool!r}>"

    @property
    def pool(self) -> Pool[Endpoint, Attempt]:
        """The pool, to look at."""
        return self._pool

    # --- for attempts -----------------------------------------------------------------------------

    def acquire(self, attempt: Attempt) -> None:
        """Find an endpoint; `attempt.on_endpoint` or `attempt.on_failed` follows, maybe at once.

        An attempt that changes its mind while it has no endpoint calls `cancel`.
        """
        if self._closed:
            self._refuse(attempt, Reason.SHUTDOWN, PoolClosed(f"worker {self.name} is closed"))
            return
        pool, timeout = self._pool, self.settings.acquire_timeout
        deadline = self._queue_deadline() if not pool.idle else 0.0
        while True:
            found = pool.acquire(attempt, deadline)
            if isinstance(found, Decision):
                break
            if found.is_idle:
                attempt.on_endpoint(found)
                return
            # Closed a moment ago and not yet reported as lost.
            pool.lost(found)
            deadline = self._queue_deadline()
        if found is CONNECT:
            self._connect()
        elif timeout <= 0 and pool.open >= pool.size and pool.give_up(attempt):
            self._refuse(attempt, Reason.POOL_EXHAUSTED, self._exhausted())
            return
        self._watch_queue()

    def cancel(self, attempt: Attempt) -> bool:
        """Take an attempt that still waits out of the queue; whether it waited."""
        return self._pool.give_up(attempt)

    # --- EndpointOwner ----------------------------------------------------------------------------

    def endpoint_released(self, endpoint: Endpoint) -> None:
        """An endpoint finished its exchange and may be reused."""
        if self._closed:
            endpoint.close()
            return
        waiter = self._pool.release(endpoint, endpoint.idle_since)
        if waiter is not None:
            waiter.on_endpoint(endpoint)
        else:
            self._watch_idle()

    def endpoint_lost(self, endpoint: Endpoint) -> None:
        """An endpoint is closed."""
        self._pool.lost(endpoint)
        self._connect_more()
        if self._closed and self._pool.open == 0:
            self._all_gone.set()

    # --- its own business -------------------------------------------------------------------------

    def maintain(self, now: float) -> None:
        """Fail who waited too long, close what was idle too long."""
        for attempt in self._pool.overdue(now):
            self._refuse(attempt, Reason.QUEUE_TIMEOUT, self._exhausted())
        for endpoint in self._pool.expired(now):
            endpoint.close()
        self._watch_queue()
        if self.settings.pool_timeout > 0 and self._pool.idle > self._pool.min_size:
            self._timers.set(self._expiry_alarm, max(1.0, self.settings.pool_timeout / 4))

    async def aclose(self, grace: float = 0.0) -> None:
        """Close every connection; busy ones get `grace` seconds to finish first."""
        self._closed = True
        idle, waiting = self._pool.drain()
        for endpoint in idle:
            endpoint.close()
        for attempt in waiting:
            self._refuse(attempt, Reason.SHUTDOWN, PoolClosed(f"worker {self.name} is closed"))
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        if self._pool.busy and grace > 0:
            try:
                async with asyncio.timeout(grace):
                    await self._all_gone.wait()
            except TimeoutError:
                logger.warning("%s: %d requests did not end in time", self.name, self._pool.busy)
        for endpoint in self._pool.busy_endpoints:
            endpoint.close()
        # Transports report their end in the loop's next turn.
        await asyncio.sleep(0)

    def _exhausted(self) -> PoolTimeout:
        return PoolTimeout(
            f"worker {self.name}: all {self._pool.size} connections stayed busy "
            f"for {self.settings.acquire_timeout:g} s"
        )

    def _refuse(self, attempt: Attempt, reason: Reason, error: Exception) -> None:
        attempt.on_failed(reason, Progress.NOTHING_SENT, error)

    def _queue_deadline(self) -> float:
        timeout = self.settings.acquire_timeout
        # Without a time to wait only those are in the queue for whom a connection is being made;
        # that has its own time.
        return self._loop.time() + timeout if timeout > 0 else math.inf

    def _watch_queue(self) -> None:
        deadline = self._pool.next_deadline
        if deadline is not None and deadline < math.inf:
            self._timers.wheel.set(self._queue_alarm, deadline)

    def _watch_idle(self) -> None:
        if self.settings.pool_timeout > 0 and not self._expiry_alarm.deadline:
            self._timers.set(self._expiry_alarm, self.settings.pool_timeout)

    def _connect_more(self) -> None:
        while not self._closed and self._pool.wants_connection():
            self._connect()

    def _connect(self) -> None:
        task = self._loop.create_task(self._make_endpoint(), name=f"ajp connect {self.name}")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _make_endpoint(self) -> None:
        try:
            endpoint = await self._dial()
        except EndpointError as error:
            self._connect_failed(error)
            return
        except asyncio.CancelledError:
            self._pool.connect_failed()
            raise
        if not endpoint.is_idle:
            self._connect_failed(EndpointClosed(f"{endpoint.name}: closed at once"))
            return
        waiter = self._pool.connected(endpoint, self._loop.time())
        if waiter is not None:
            waiter.on_endpoint(endpoint)
        else:
            self._watch_idle()

    def _connect_failed(self, error: EndpointError) -> None:
        waiter = self._pool.connect_failed()
        if waiter is not None:
            self._refuse(waiter, error.reason, error)
        self._connect_more()

    async def _dial(self) -> Endpoint:
        """Connect to the first address that answers."""
        settings = self.settings
        where = f"{self.name} ({settings.address})"
        try:
            async with asyncio.timeout(settings.connect_timeout or None):
                if settings.host.startswith(UNIX_PREFIX):
                    path = settings.host.removeprefix(UNIX_PREFIX)
                    _, endpoint = await self._loop.create_unix_connection(self._endpoint, path)
                    return endpoint
                return await self._dial_addresses(where)
        except EndpointError:
            raise
        except TimeoutError as exc:
            raise ConnectTimeout(
                f"{where}: no connection within {settings.connect_timeout:g} s"
            ) from exc
        except socket.gaierror as exc:
            raise ConnectFailed(
                f"{where}: the name cannot be resolved: {exc.strerror}",
                reason=Reason.RESOLVE_FAILED,
            ) from exc
        except UnicodeError as exc:
            # What the encoding of host names says to an empty or overlong label.
            raise ConnectFailed(
                f"{where}: the name cannot be resolved: {exc}", reason=Reason.RESOLVE_FAILED
            ) from exc
        except OSError as exc:
            raise ConnectFailed(f"{where}: {exc}") from exc

    async def _dial_addresses(self, where: str) -> Endpoint:
        settings = self.settings
        found = await self._loop.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        if settings.prefer_ipv6:
            found = sorted(found, key=lambda info: info[0] != socket.AF_INET6)
        failures: list[OSError] = []
        for family, _, _, _, address in found:
            try:
                transport, endpoint = await self._loop.create_connection(
                    self._endpoint, str(address[0]), int(address[1]), family=family
                )
            except OSError as exc:
                failures.append(exc)
                continue
            if settings.keepalive:
                sock = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return endpoint
        raise ConnectFailed(f"{where}: {'; '.join(str(exc) for exc in failures)}")

    def _endpoint(self) -> Endpoint:
        settings = self.settings
        return Endpoint(
            self,
            self._timers.wheel,
            max_packet_size=settings.max_packet_size,
            reply_timeout=settings.reply_timeout,
            connect_ping=settings.connect_ping,
            prepost_ping=settings.prepost_ping,
            name=f"{self.name} {settings.address}",
        )
