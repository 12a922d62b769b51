"""One container seen from one process: its address, its pool of endpoints, its deadlines.

Does what `_pool.Pool` decides. Attempts come and go by callbacks: a request that finds a warm
endpoint costs no task, no future and no timer. Connecting is the one thing that runs as a task.

Source: mod_jk `ajp_get_endpoint`, `ajp_connect_to_endpoint`. Differs: waiting for an endpoint is
a queue with a deadline, first come first served, not a poll every 100 ms.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from typing import Final

from ._column import Column
from ._endpoint import Attempt, Endpoint
from ._pool import CONNECT, Decision, Pool
from ._slot import Slot
from ._warm import Warm
from ._wheel import Timed
from .dial import Dialer, address_text
from .errors import (
    ConnectTimeout,
    CPingTimeout,
    EndpointClosed,
    EndpointError,
    PoolClosed,
    PoolError,
    PoolTimeout,
    Progress,
    Reason,
)
from .timers import Timers

__all__ = ["Worker", "WorkerSettings"]

logger = logging.getLogger("ajp.worker")

#: A worker with connections asks again after so many seconds where its name leads.
RESOLVE_AGAIN: Final = 30.0


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
        busy_limit: most requests at a time, waiting ones included; 0 for any. See `Worker`.
        connect_timeout: for a connection to be made; 0 as long as the system tries.
        connect_ping: for the CPONG asked of a new connection; 0: none is asked.
        prepost_ping: the same before a request on a connection that was idle over a second.
        ping_interval: silence of an idle connection after which a CPONG is asked of it; 0: never.
        ping_timeout: for that CPONG; 0: none is asked.
        reply_timeout: before each packet of a response; 0 for ever.
        socket_timeout: before any byte of a response where reply_timeout is 0, and for the
            container to take what is sent to it; 0 for ever.
        socket_buffer: size of the system's send and receive buffers; 0 as the system likes.
        source: local address or name that connections start from; empty for any.
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
    busy_limit: int = 0
    connect_timeout: float = 2.0
    connect_ping: float = 2.0
    prepost_ping: float = 2.0
    ping_interval: float = 0.0
    ping_timeout: float = 10.0
    reply_timeout: float = 0.0
    socket_timeout: float = 0.0
    socket_buffer: int = 0
    source: str = ""
    keepalive: bool = False
    prefer_ipv6: bool = False

    @property
    def address(self) -> str:
        """Host and port as one would type them."""
        return address_text(self.host, self.port)

    @property
    def idle_care(self) -> float:
        """Time after which something may have to be done about an idle endpoint; 0 never."""
        return min(filter(None, (self.pool_timeout, self.idle_ping)), default=0.0)

    @property
    def idle_ping(self) -> float:
        """Silence of an idle connection after which a CPONG is asked of it; 0: never."""
        return self.ping_interval if self.ping_timeout > 0 else 0.0


def _ways(settings: WorkerSettings) -> tuple[object, ...]:
    """What connections are made with: where it is another, they are made anew."""
    return (
        settings.host,
        settings.port,
        settings.max_packet_size,
        settings.connect_timeout,
        settings.socket_timeout,
        settings.socket_buffer,
        settings.source,
        settings.keepalive,
        settings.prefer_ipv6,
    )


class _Alarm(Timed):
    """One of the worker's own deadlines."""

    def __init__(self, act: Callable[[float], None]) -> None:
        self._act = act

    def on_deadline(self, now: float) -> None:
        self._act(now)


class _Inquiry(Attempt):
    """Takes an endpoint to ask over it whether the container is there, and no request.

    Args:
        loop: the running one.
        inquiries: where those that wait for an answer are found by their endpoint.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, inquiries: "dict[Endpoint, _Inquiry]"
    ) -> None:
        self.found: asyncio.Future[Endpoint] = loop.create_future()
        self.answer: asyncio.Future[float] = loop.create_future()
        self.asked: Endpoint | None = None
        self._asked_at = 0.0
        self._inquiries = inquiries

    def on_endpoint(self, endpoint: Endpoint) -> None:
        self._inquiries[endpoint] = self
        self.asked, self._asked_at = endpoint, time.monotonic()
        # Whoever waits for the answer has an eye on the clock; the endpoint need not.
        endpoint.ping(0.0)
        if not self.found.done():
            self.found.set_result(endpoint)

    def on_failed(self, reason: Reason, progress: Progress, error: BaseException | None) -> None:
        if not self.found.done():
            self.found.set_exception(error or EndpointError(str(reason), reason=reason))

    def end(self, error: EndpointError | None = None) -> None:
        """The container answered, or cannot any more."""
        if self.answer.done():
            return
        if error is None:
            self.answer.set_result(time.monotonic() - self._asked_at)
        else:
            self.answer.set_exception(error)


class Worker(Warm):
    """One container seen from one process.

    Args:
        name: what logs call it.
        settings: address, sizes, times.
        timers: of the running loop; shared by all workers of a process.
        slot: of the container in a status table. busy_limit is for all its processes then, as
            far as each counts a request as in flight before it asks for an endpoint.
        column: of this process in that table; connections are counted there.
    """

    def __init__(
        self,
        name: str,
        settings: WorkerSettings,
        timers: Timers,
        *,
        slot: Slot | None = None,
        column: Column | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self._slot = slot
        self._column = column
        self._timers = timers
        self._loop = asyncio.get_running_loop()
        super().__init__(
            Pool(
                size=settings.pool_size,
                min_size=settings.pool_min_size,
                idle_timeout=settings.pool_timeout,
                ping_interval=settings.idle_ping,
            ),
            is_limited=settings.busy_limit > 0,
            idle_care=settings.idle_care,
        )
        self._moves = 0
        self._dialer = self._new_dialer()
        self._connecting: set[asyncio.Task[None]] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._queue_alarm = _Alarm(self.maintain)
        self._idle_alarm = _Alarm(self.maintain)
        self._resolve_alarm = _Alarm(self._resolve_again)
        self._all_gone = asyncio.Event()

    def __repr__(self) -> str:
        """Name, address and the pool's counts."""
        return f"<Worker {self.name} {self.settings.address} {self._pool!r}>"

    @property
    def pool(self) -> Pool[Endpoint, Attempt]:
        """The pool, to look at."""
        return self._pool

    # --- for attempts -----------------------------------------------------------------------------

    def _acquire(self, attempt: Attempt) -> None:
        """Find an endpoint for an attempt that needs more than a warm one."""
        if self._closed:
            self._refuse(attempt, Reason.SHUTDOWN, PoolClosed(f"worker {self.name} is closed"))
            return
        pool, timeout, limit = self._pool, self.settings.acquire_timeout, self.settings.busy_limit
        if 0 < limit < self._in_progress():
            error = PoolError(f"worker {self.name}: {limit} requests are in progress (busy_limit)")
            self._refuse(attempt, Reason.BUSY_LIMIT, error)
            return
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

    def _in_progress(self) -> int:
        """Requests that this container has or waits for, the one that just comes included."""
        if self._slot is None:
            return self._pool.busy + self._pool.waiting + 1
        return self._slot.in_flight

    def cancel(self, attempt: Attempt) -> bool:
        """Take an attempt that still waits out of the queue; whether it waited."""
        return self._pool.give_up(attempt)

    def rescue(self, error: EndpointError) -> int:
        """Have attempts leave a container that stands still, if they may and can go elsewhere.

        Each decides for itself (`Attempt.may_leave`). Its connection is closed, so that an answer
        that comes later reaches nobody; the others keep waiting.

        Args:
            error: why; its reason is what the attempts are told.

        Returns:
            how many left.
        """
        moved: int = self._move_off(error.reason, error)
        if moved and self._slot is not None and self._column is not None:
            self._column.counted(self._slot, "rescued", moved)
        return moved

    def excuse(self) -> None:
        """Take the container's silence on us, where all requests of all processes wait for us.

        Its threads may all be busy with clients that read or send slowly, and it has nothing to
        say to anybody then. In the table it looks as if it had said something.
        """
        busy = self._pool.busy
        if not busy or self._slot is None or self._column is None or self.awaits_container():
            return
        if self._slot.in_flight <= busy:
            self._column.counted(self._slot, "reads")

    async def ping(self, seconds: float) -> float:
        """Ask the container over one of the endpoints whether it is there.

        Args:
            seconds: for its answer, once there is an endpoint.

        Returns:
            Seconds from question to answer.

        Raises:
            CPingTimeout: no answer in time.
            EndpointError: no connection, or it broke.
            PoolError: no endpoint to be had.
        """
        inquiry = _Inquiry(self._loop, self._inquiries)
        self.acquire(inquiry)
        try:
            endpoint = await inquiry.found
            try:
                async with asyncio.timeout(seconds):
                    return await inquiry.answer
            except TimeoutError as exc:
                raise CPingTimeout(f"{endpoint.name}: no CPONG within {seconds:g} s") from exc
        finally:
            self.cancel(inquiry)
            # An answer that may still come would be taken for that of the next question.
            if inquiry.asked is not None and self._inquiries.pop(inquiry.asked, None) is not None:
                inquiry.asked.close()

    # --- for operators ----------------------------------------------------------------------------

    def change(self, settings: WorkerSettings) -> None:
        """Take other settings; attempts under way end on the connection they have.

        Where connections would be made in another way, as with another host or max_packet_size,
        idle ones are closed now, and busy ones when they are done.

        Source:
            mod_jk `jk_ajp_pull`. Differs: connections that are being made are made anew as well,
            and another max_packet_size counts for new connections alone.
        """
        before, self.settings = self.settings, settings
        pool = self._pool
        pool.size, pool.min_size = settings.pool_size, settings.pool_min_size
        pool.idle_timeout, pool.ping_interval = settings.pool_timeout, settings.idle_ping
        self._idle_care = settings.idle_care
        self._is_limited = settings.busy_limit > 0
        if _ways(before) != _ways(settings):
            self._move()
        for endpoint in pool.endpoints:
            endpoint.change(
                reply_timeout=settings.reply_timeout,
                connect_ping=settings.connect_ping,
                prepost_ping=settings.prepost_ping,
            )
        if not self._closed:
            self._connect_more()
            self.maintain(self._loop.time())

    # --- EndpointOwner ----------------------------------------------------------------------------

    def _release(self, endpoint: Endpoint) -> None:
        """Give an endpoint to who waits for it, or close it."""
        if self._closed:
            endpoint.close()
            return
        if self._inquiries and endpoint in self._inquiries:
            self._inquiries.pop(endpoint).end()
        waiter = self._pool.release(endpoint, endpoint.heard_at)
        if waiter is not None:
            waiter.on_endpoint(endpoint)
        else:
            self._watch_idle(endpoint)

    def endpoint_lost(self, endpoint: Endpoint) -> None:
        """An endpoint is closed."""
        if self._inquiries and endpoint in self._inquiries:
            error = EndpointClosed(f"{endpoint.name}: closed instead of a CPONG")
            self._inquiries.pop(endpoint).end(error)
        self._pool.lost(endpoint)
        self._connect_more()
        if self._closed and self._pool.open == 0:
            self._all_gone.set()

    # --- its own business -------------------------------------------------------------------------

    def maintain(self, now: float) -> None:
        """Fail who waited too long, close what was idle too long, ask what was silent too long."""
        for attempt in self._pool.overdue(now):
            if self._pool.busy:
                self._refuse(attempt, Reason.QUEUE_TIMEOUT, self._exhausted())
            else:
                # Nobody has a connection: it is being made that takes too long.
                error = ConnectTimeout(
                    f"worker {self.name} ({self.settings.address}): no connection within "
                    f"{self.settings.acquire_timeout:g} s"
                )
                self._refuse(attempt, error.reason, error)
        for endpoint in self._pool.expired(now):
            endpoint.close()
        for endpoint in self._pool.silent(now):
            if endpoint.is_idle:
                endpoint.ping(self.settings.ping_timeout)
            # Else it is closed, and about to be reported as lost.
        self._watch_queue()
        care = self._pool.next_care
        if care is not None:
            self._timers.wheel.set(self._idle_alarm, care)

    def show(self) -> None:
        """Note in the status table how many wait, and how many connections have no work."""
        if self._slot is not None and self._column is not None:
            pool = self._pool
            self._column.pool_is(self._slot, waiting=pool.waiting, idle=pool.idle)

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
        await asyncio.gather(*self._leaving, self._dialer.aclose())
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

    def _watch_idle(self, endpoint: Endpoint) -> None:
        if self._idle_care:
            due = endpoint.idle_since + self._idle_care
            if not 0 < self._idle_alarm.deadline <= due:
                self._timers.wheel.set(self._idle_alarm, due)

    def _watch_name(self) -> None:
        resolver = self._dialer.resolver
        if resolver is not None and resolver.is_name:
            self._timers.wheel.set(self._resolve_alarm, resolver.asked_at + RESOLVE_AGAIN)

    def _resolve_again(self, now: float) -> None:
        """Nobody dialled for a while: see whether the name still leads to where we are."""
        resolver = self._dialer.resolver
        if resolver is None or self._closed or not self._pool.open:
            return
        if now - resolver.asked_at < RESOLVE_AGAIN:
            self._watch_name()
            return
        resolver.ask()
        self._timers.set(self._resolve_alarm, RESOLVE_AGAIN)

    def _keep_to(self, hosts: frozenset[str]) -> None:
        """This is where the name leads: endpoints to anywhere else finish their work."""
        self._let_go([each for each in self._pool.endpoints if each.peer not in hosts])

    def _let_go(self, endpoints: Iterable[Endpoint]) -> None:
        for endpoint in endpoints:
            endpoint.retire()
            if not self._pool.is_busy(endpoint):
                endpoint.close()

    @property
    def where(self) -> str:
        """Where connections go, as one would type it; empty until the name was resolved."""
        return self._dialer.first

    def _new_dialer(self) -> Dialer:
        settings = self.settings
        self._moves += 1
        number = self._moves

        def keep_to(hosts: frozenset[str]) -> None:
            # What is heard of a former host is of no use any more.
            if number == self._moves:
                self._keep_to(hosts)

        return Dialer(
            self.name,
            settings.host,
            settings.port,
            address=settings.address,
            timeout=settings.connect_timeout,
            source=settings.source,
            buffer=settings.socket_buffer,
            keepalive=settings.keepalive,
            prefer_ipv6=settings.prefer_ipv6,
            on_answer=keep_to,
        )

    def _move(self) -> None:
        """Make connections in another way from now on."""
        former, self._dialer = self._dialer, self._new_dialer()
        self._let_go(self._pool.endpoints)
        task = self._loop.create_task(
            self._leave(former, frozenset(self._connecting)), name=f"ajp leave {self.name}"
        )
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave(self, dialer: Dialer, connecting: Set[asyncio.Task[None]]) -> None:
        """Close a dialer, once nobody needs it any more."""
        if connecting:
            await asyncio.wait(connecting)
        await dialer.aclose()

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
        self._watch_name()
        waiter = self._pool.connected(endpoint, self._loop.time())
        if waiter is not None:
            waiter.on_endpoint(endpoint)
        else:
            self._watch_idle(endpoint)

    def _connect_failed(self, error: EndpointError) -> None:
        waiter = self._pool.connect_failed()
        if waiter is not None:
            self._refuse(waiter, error.reason, error)
        if self._pool.open == 0:
            # Nobody got through: the others would learn the same, one after the other.
            for waiter in self._pool.drain()[1]:
                self._refuse(waiter, error.reason, error)
        self._connect_more()

    async def _dial(self) -> Endpoint:
        while True:
            dialer = self._dialer
            try:
                endpoint = await dialer.dial(self._endpoint)
            except EndpointError:
                if dialer is self._dialer:
                    raise
            else:
                if dialer is self._dialer:
                    return endpoint
                endpoint.close()

    def _endpoint(self, peer: str) -> Endpoint:
        settings = self.settings
        return Endpoint(
            self,
            self._timers.wheel,
            max_packet_size=settings.max_packet_size,
            reply_timeout=settings.reply_timeout,
            socket_timeout=settings.socket_timeout,
            connect_ping=settings.connect_ping,
            prepost_ping=settings.prepost_ping,
            name=f"{self.name} {settings.address}",
            peer=peer,
            slot=self._slot,
            column=self._column,
        )
