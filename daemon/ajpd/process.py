"""One OS process of the daemon: its loop, its listeners, its workers, and its end.

Starts from a checked configuration, serves until it is told to stop, then lets what is under way
finish. Signal handlers set an event; the loop acts.
"""

import asyncio
import logging
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from ajp.snapshot import ProcessState
from ajp.timers import Timers
from ajp.worker import Worker

from ._front import Front
from ._service import Service
from ._trace import Trace
from .accesslog import AccessLog
from .balancing import MAINTAIN_EVERY, log_changes, maintain, make_group
from .config.hosts import HostMaps
from .config.model import Config
from .config.urimap import UriMap
from .http.forwarded import TrustedProxies
from .http.pages import Pages
from .http.proxy_protocol import ProxyHeader
from .ledger import Ledger
from .listeners import BACKLOG, remove_files
from .live import LOOK_EVERY, Live
from .log import access_file, say_repeats
from .metrics.serving import MetricsServer
from .prober import Prober
from .remap import MapWatch
from .status.overview import Overview
from .status.page import StatusPage
from .targets import make_target, worker_settings
from .tls import Contexts, client_tls
from .tls_listener import TLSListener

__all__ = ["Process", "raise_descriptor_limit", "run_loop", "serve"]

logger = logging.getLogger("ajpd.process")

#: File descriptors for listeners, logs, certificates and what the interpreter opens.
SPARE_DESCRIPTORS = 64
#: Turns of the loop until whatever had come is read, and whoever was accepted has a protocol.
TURNS = 2
#: Seconds between two looks whether the clients are gone.
IDLE_LOOK = 0.02
#: The same, when those are left who were busy a moment ago.
LATER_LOOK = 0.1
#: Seconds that a pause between two looks counts at most: in the rest of it nobody could be served.
LONGEST_LOOK = 0.1


def raise_descriptor_limit() -> None:
    """Take as many file descriptors as this process may have without asking anybody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _connections_left(config: Config) -> int:
    """How many clients there are file descriptors for, those of the workers set aside; 0 any."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 0
    taken = sum(worker.connection_pool_size for worker in config.containers.values())
    return max(soft - taken - SPARE_DESCRIPTORS, 1)


class Process:
    """Everything one process runs.

    Must be created inside the running loop.

    Args:
        config: checked.
        sockets: listening sockets; owned from here on.
        tls_sockets: the same for connections that begin with TLS; only where `config.tls` is.
        metrics_sockets: the same for who fetches metrics.
        slot: a number that no other living process of the daemon has; 0 where there is one only.
        keeps_paths: the files of Unix sockets are somebody else's to remove.
        ledger: where it counts, with a column of this process; None for one of its own.
        master: process id of the one that watches over this one; None: there is none.

    Raises:
        BadCertificate: a file of `config.tls` cannot be used any more.
    """

    def __init__(
        self,
        config: Config,
        sockets: Sequence[socket.socket],
        tls_sockets: Sequence[socket.socket] = (),
        metrics_sockets: Sequence[socket.socket] = (),
        *,
        slot: int = 0,
        keeps_paths: bool = False,
        ledger: Ledger | None = None,
        master: int | None = None,
    ) -> None:
        server = config.server
        self.slot = slot
        self._loop = asyncio.get_running_loop()
        self._shutdown_timeout = server.shutdown_timeout_ms / 1000
        self._sockets = sockets
        self._tls_sockets = tls_sockets
        self._metrics_sockets = metrics_sockets
        self._unix_paths = [
            sock.getsockname()
            for sock in (*sockets, *tls_sockets, *metrics_sockets)
            if sock.family == socket.AF_UNIX and not keeps_paths
        ]
        self._is_in_hurry = False
        self._servers: list[asyncio.Server] = []
        self._tls_listeners: list[TLSListener] = []
        self._contexts = None if config.tls is None else Contexts(config.tls)
        self._look_timer: asyncio.TimerHandle | None = None
        self._trusted = TrustedProxies(server.trusted_proxies) if server.trusted_proxies else None
        self._handshake_timeout = server.header_timeout_ms / 1000
        self.timers = Timers(self._loop)
        self.ledger = Ledger.alone(config) if ledger is None else ledger
        configs, slots, column = config.containers, self.ledger.workers, self.ledger.column
        self.workers = {
            name: Worker(
                name, worker_settings(worker), self.timers, slot=slots[name], column=column
            )
            for name, worker in configs.items()
        }
        targets = {
            name: make_target(configs[name], worker, slots[name])
            for name, worker in self.workers.items()
        }
        self.groups = {
            name: make_group(balancer, targets, self.ledger)
            for name, balancer in config.balancers.items()
        }
        self._upkeep_timer: asyncio.TimerHandle | None = None
        self._live_timer: asyncio.TimerHandle | None = None
        services: dict[str, object] = {name: targets[name] for name in config.workers}
        services |= self.groups
        self._live = Live(
            config,
            self.ledger,
            workers=self.workers,
            services=services,
            groups=self.groups,
            targets=targets,
        )
        self._prober = Prober(config, self.ledger, self.workers, self.groups)
        # What was changed before this process was there.
        self._live.look()
        self._overview = Overview(
            self.ledger.memory,
            config,
            address_of=lambda name: self.workers[name].where,
            on_change=self._live.look,
        )
        services |= {
            name: StatusPage(status, config.page, self._overview)
            for name, status in config.statuses.items()
        }
        self._maps = MapWatch(config, self._loop, self._map)
        self.service = self._make_service(config, services)
        self.metrics = MetricsServer(config, self.ledger, self.timers.wheel, master=master)
        self._access = self._open_access_log(config)
        if (server.request_id, server.traceparent) != ("off", "off"):
            self.service.trace = Trace(server.request_id, server.traceparent, os.urandom(16))
        self._map(config)

    def _make_service(self, config: Config, targets: dict[str, object]) -> Service:
        """What all connections share; rules follow."""
        server = config.server
        return Service(
            self.timers.wheel,
            UriMap(()).match,
            targets,
            header_timeout=server.header_timeout_ms / 1000,
            keepalive_timeout=server.keepalive_timeout_ms / 1000,
            body_timeout=server.body_timeout_ms / 1000,
            send_timeout=server.send_timeout_ms / 1000,
            max_header_bytes=server.max_header_bytes,
            max_body_bytes=server.max_body_bytes,
            max_connections=server.max_connections or _connections_left(config),
            pages=Pages(server.error_pages or None),
            forward_uri=server.forward_uri,
            trusted=self._trusted,
            forwarded_headers=server.forwarded_headers,
            reply_timeout_header=server.reply_timeout_header.encode() or None,
            describe_tls=None if config.tls is None else partial(client_tls, config=config.tls),
            attributes=config.attributes,
            column=self.ledger.column,
            front=self.ledger.front,
            on_changes=log_changes,
        )

    def _open_access_log(self, config: Config) -> AccessLog | None:
        file = access_file()
        if file is None:
            return None
        log = AccessLog(file.fd, config.log.access_format, file.syslog)
        self.service.access = log.lines
        return log

    def _map(self, config: Config) -> None:
        """Let requests go by the rules of this configuration."""
        maps = HostMaps(config)
        self._overview.config = config
        self.service.remap(maps.default.match, maps.match if maps.has_hosts else None)

    async def start(self) -> None:
        """Accept connections."""
        self._upkeep()
        self._follow()
        self._prober.start()
        self._maps.start()
        for sock in self._sockets:
            self._servers.append(await self._listen(sock, self._front))
        for sock in self._metrics_sockets:
            self._servers.append(await self._listen(sock, self.metrics.front))
        if self._contexts is not None:
            for sock in self._tls_sockets:
                self._listen_for_tls(sock, self._contexts)
            self._look_later()

    async def _listen(self, sock: socket.socket, front: Callable[[], Front]) -> asyncio.Server:
        if sock.family == socket.AF_UNIX:
            return await self._loop.create_unix_server(front, sock=sock, backlog=BACKLOG)
        return await self._loop.create_server(front, sock=sock, backlog=BACKLOG)

    def _listen_for_tls(self, sock: socket.socket, contexts: Contexts) -> None:
        listener = TLSListener(
            sock,
            lambda: contexts.current,
            self._front,
            handshake_timeout=self._handshake_timeout,
            most=self.service.most_accepted,
            taken=lambda: len(self.service.clients),
            on_end=self._count_handshake,
            trusts=None if self._trusted is None else self._trusted.trusts,
        )
        listener.start()
        self._tls_listeners.append(listener)
        self.service.handshakes = self._handshakes

    def _count_handshake(self, done: bool) -> None:
        if self.ledger.column is not None:
            counter = "tls_handshakes" if done else "tls_failures"
            self.ledger.column.counted(self.ledger.front, counter)

    def _handshakes(self) -> int:
        return sum(listener.handshakes for listener in self._tls_listeners)

    def _front(self, header: ProxyHeader | None = None) -> Front:
        """The protocol of one connection; `header` stood before its TLS handshake."""
        return Front(self.service, header)

    def _upkeep(self) -> None:
        """Show that this process lives, and maintain the balancers, now and then."""
        if self.ledger.column is not None:
            self.ledger.column.heartbeat(time.monotonic_ns())
        # Who follows goes by a newer configuration.
        for group in () if self.service.draining else self.groups.values():
            maintain(group, self._loop.time())
        say_repeats()
        self._upkeep_timer = self._loop.call_later(MAINTAIN_EVERY, self._upkeep)

    def _follow(self) -> None:
        """Take over what an operator changed, and show how the pools are."""
        self._live.look()
        for worker in self.workers.values():
            worker.show()
        self._live_timer = self._loop.call_later(LOOK_EVERY, self._follow)

    def _look_later(self) -> None:
        """Look at the certificates' files now and then, if they can be seen."""
        if self._contexts is None or not self._contexts.config.reload_ms:
            return
        hidden = [file for file in self._contexts.config.files if not os.access(file, os.R_OK)]
        if hidden and self._look_timer is None:
            # They were read as root.
            logger.warning(
                "%s cannot be read by this user: new ones count after ajpd reload",
                ", ".join(hidden),
            )
            return
        wait = self._contexts.config.reload_ms / 1000
        self._look_timer = self._loop.call_later(wait, self._look)

    def _look(self) -> None:
        if self._contexts is not None:
            self._contexts.look()
            self._look_later()

    def reload_certificates(self) -> bool:
        """Read the certificates again, changed or not; returns whether they are in use now.

        A file that is broken is logged and changes nothing.
        """
        return self._contexts is not None and self._contexts.reload()

    async def stop(self, *, patience: float = 0.0) -> None:
        """Accept nothing more, finish what is under way, close everything.

        Args:
            patience: seconds in which idle clients may still ask once more. With it nobody loses
                a request whose listener somebody else goes on to serve: handshakes come to their
                end, and who never asked anything yet may do so in the time that anybody has for
                it.
        """
        self._is_in_hurry = self._is_in_hurry or not patience
        self.service.patience = 0.0 if self._is_in_hurry else patience
        self.service.draining = True
        await self._accept_no_more()
        await self._wait_for_idle()
        self._maps.close()
        self._let_go()
        await self._wait_for_clients()
        for timer in (self._look_timer, self._upkeep_timer, self._live_timer):
            if timer is not None:
                timer.cancel()
        for listener in self._tls_listeners:
            await listener.aclose()
        await self._prober.aclose()
        for worker in self.workers.values():
            await worker.aclose()
        if self._access is not None:
            self._access.close()
        self.timers.close()

    async def _accept_no_more(self) -> None:
        """Stop accepting, and lose nobody whom the loop has accepted a moment ago."""
        for listener in self._tls_listeners:
            listener.accept_no_more()
        for sock in (*self._sockets, *self._metrics_sockets):
            if sock.fileno() >= 0:
                self._loop.remove_reader(sock)
        await _turns()
        for server in self._servers:
            server.close()
        # Nobody shall wait in a queue that nobody serves.
        for sock in (*self._sockets, *self._tls_sockets, *self._metrics_sockets):
            sock.close()
        remove_files(self._unix_paths)
        self._unix_paths = []
        # uvloop accepts until its server is closed.
        await _turns()

    async def _wait_for_idle(self) -> None:
        """Give idle clients the time to ask once more; their answers say that they are the last.

        Only time in which they could have been served counts: a machine that had no time for this
        process had none for its clients.
        """
        before = self._loop.time()
        while not self._is_in_hurry and self.service.drained < self.service.patience:
            if not self.service.clients and not self._handshakes():
                return
            before = await self._look_after_idle(before, IDLE_LOOK)
        # What came while this process was not looking is no longer idle.
        await _turns()

    async def _look_after_idle(self, before: float, wait: float) -> float:
        """Let time pass since the last look; when this one is."""
        await asyncio.sleep(wait)
        now = self._loop.time()
        self.service.drained += min(now - before, LONGEST_LOOK)
        return now

    async def _let_go_later(self) -> None:
        """Leave the same time to clients whose answers end only now, if these promised any."""
        now = self._loop.time()
        while not self._is_in_hurry:
            now = await self._look_after_idle(now, LATER_LOOK)
            await _turns()
            self._let_go()

    def _let_go(self) -> None:
        """Close who is idle; in a hurry, those too who have not asked yet."""
        self.metrics.drain()
        for client in self._fronts():
            client.drain(fresh_too=self._is_in_hurry)
        if self._is_in_hurry:
            for listener in self._tls_listeners:
                listener.abort()

    def _fronts(self) -> list[Front]:
        return [client for client in self.service.clients if isinstance(client, Front)]

    def say_draining(self) -> None:
        """Note in the table that this process takes no new clients."""
        self._prober.retire()
        if self.ledger.column is not None:
            self.ledger.column.set_state(ProcessState.DRAINING)

    def hurry(self) -> None:
        """Let a `stop` with patience lose it."""
        self._is_in_hurry = True
        self.service.patience = 0.0
        if self.service.draining:
            self._let_go()

    async def _wait_for_clients(self) -> None:
        gone = asyncio.Event()
        self.service.on_drained = self.metrics.service.on_drained = gone.set
        letting_go = self._loop.create_task(self._let_go_later(), name="ajpd lets go")
        try:
            async with asyncio.timeout(self._shutdown_timeout or None):
                for listener in self._tls_listeners:
                    await listener.finish()
                while self.service.clients or self.metrics.service.clients:
                    gone.clear()
                    await gone.wait()
        except TimeoutError:
            logger.warning(
                "%d connections did not end within %g s and are cut off",
                len(self.service.clients) + self._handshakes(),
                self._shutdown_timeout,
            )
            self.abort()
        finally:
            letting_go.cancel()

    def abort(self) -> None:
        """Cut off every client."""
        self._is_in_hurry = True
        self.service.patience = 0.0
        for client in self._fronts():
            client.abort()
        self.metrics.abort()
        for listener in self._tls_listeners:
            listener.abort()


async def _turns() -> None:
    """Let the loop see what has come, and do what follows from it."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def serve(
    config: Config,
    sockets: Sequence[socket.socket],
    *,
    tls_sockets: Sequence[socket.socket] = (),
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends it at once.

    Args:
        config: checked.
        sockets: listening sockets.
        tls_sockets: listening sockets for TLS.
        on_ready: called once connections are accepted.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    raise_descriptor_limit()
    process = Process(config, sockets, tls_sockets)

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            logger.warning("%s again: not waiting any longer", number.name)
            process.abort()
        else:
            logger.info("%s: finishing what is under way", number.name)
            stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    await process.start()
    if on_ready is not None:
        on_ready()
    try:
        await stop.wait()
    finally:
        await process.stop()


def run_loop(main: Coroutine[Any, Any, None]) -> int:
    """Run on uvloop where it is installed, on asyncio's own loop otherwise."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
    return 0
