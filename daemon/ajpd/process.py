"""One OS process of the daemon: its loop, its listeners, its workers, and its end.

Starts from a checked configuration, serves until it is told to stop, then lets what is under way
finish. Signal handlers set an event; the loop acts.
"""

import asyncio
import logging
import os
import signal
import socket
import stat
from collections.abc import Callable, Sequence

from ajp.timers import Timers
from ajp.worker import Worker, WorkerSettings

from ._front import Front
from ._service import Service, Target
from .config.model import Config, ListenAddress, WorkerConfig
from .config.urimap import UriMap

__all__ = ["ListenError", "Process", "address_of", "open_listener", "serve"]

logger = logging.getLogger("ajpd.process")

BACKLOG = 1024


class ListenError(OSError):
    """A listener could not be opened; the message names the address and says what to do."""


def open_listener(address: ListenAddress) -> socket.socket:
    """Bind and listen.

    Raises:
        ListenError: the address is in use, not ours, or not allowed.
    """
    if address.path:
        return _open_unix(address.path)
    try:
        family, kind, proto, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as exc:
        raise ListenError(f"cannot listen on {address}: {exc.strerror}") from exc
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
        sock.listen(BACKLOG)
    except OSError as exc:
        sock.close()
        raise ListenError(f"cannot listen on {address}: {_explain(exc, address)}") from exc
    sock.setblocking(False)
    return sock


def address_of(sock: socket.socket) -> str:
    """Where a socket listens, the port the system chose included."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"[{name[0]}]:{name[1]}" if sock.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"


def _open_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.bind(path)
        sock.listen(BACKLOG)
    except OSError as exc:
        sock.close()
        raise ListenError(f"cannot listen on unix:{path}: {exc.strerror or exc}") from exc
    sock.setblocking(False)
    return sock


def _remove_files(paths: Sequence[str]) -> None:
    """Take away the files of Unix sockets nobody listens on any more."""
    for path in paths:
        if os.path.exists(path):
            os.unlink(path)


def _remove_stale(path: str) -> None:
    """Take away a socket file that nobody listens on any more; leave anything else alone."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(f"{path} exists and is no socket")
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
    else:
        raise OSError("another process listens there")
    finally:
        probe.close()


def _explain(exc: OSError, address: ListenAddress) -> str:
    if isinstance(exc, PermissionError):
        return f"{exc.strerror}; ports below 1024 need root or CAP_NET_BIND_SERVICE"
    if exc.errno == 98:
        return f"another process uses port {address.port}; choose another or stop that one"
    if exc.errno == 99:
        return f"{address.host} is not an address of this machine"
    return exc.strerror or str(exc)


def worker_settings(config: WorkerConfig) -> WorkerSettings:
    """A worker's directives in the units of the library."""
    return WorkerSettings(
        host=config.host,
        port=config.port,
        secret=config.secret,
        max_packet_size=config.max_packet_size,
        pool_size=config.connection_pool_size,
        pool_min_size=config.connection_pool_minsize,
        pool_timeout=config.connection_pool_timeout_ms / 1000,
        acquire_timeout=config.connection_acquire_timeout_ms / 1000,
        connect_timeout=config.socket_connect_timeout_ms / 1000,
        connect_ping=config.connect_timeout_ms / 1000,
        prepost_ping=config.prepost_timeout_ms / 1000,
        reply_timeout=config.reply_timeout_ms / 1000,
        keepalive=config.socket_keepalive,
        prefer_ipv6=config.prefer_ipv6,
    )


class Process:
    """Everything one process runs.

    Must be created inside the running loop.

    Args:
        config: checked.
        sockets: listening sockets; owned from here on.
    """

    def __init__(self, config: Config, sockets: Sequence[socket.socket]) -> None:
        server = config.server
        self._loop = asyncio.get_running_loop()
        self._shutdown_timeout = server.shutdown_timeout_ms / 1000
        self._sockets = sockets
        self._unix_paths = [s.getsockname() for s in sockets if s.family == socket.AF_UNIX]
        self._servers: list[asyncio.Server] = []
        self.timers = Timers(self._loop)
        self.workers = {
            name: Worker(name, worker_settings(worker), self.timers)
            for name, worker in config.workers.items()
        }
        self.service = Service(
            self.timers.wheel,
            UriMap(config.rules).match,
            {
                name: Target(
                    name,
                    worker,
                    secret=worker.settings.secret,
                    max_packet_size=worker.settings.max_packet_size,
                    retries=config.workers[name].retries,
                )
                for name, worker in self.workers.items()
            },
            header_timeout=server.header_timeout_ms / 1000,
            keepalive_timeout=server.keepalive_timeout_ms / 1000,
            body_timeout=server.body_timeout_ms / 1000,
            send_timeout=server.send_timeout_ms / 1000,
            max_header_bytes=server.max_header_bytes,
            max_body_bytes=server.max_body_bytes,
        )

    async def start(self) -> None:
        """Accept connections."""
        for sock in self._sockets:
            self._servers.append(await self._listen(sock))

    async def _listen(self, sock: socket.socket) -> asyncio.Server:
        def factory() -> Front:
            return Front(self.service)

        if sock.family == socket.AF_UNIX:
            return await self._loop.create_unix_server(factory, sock=sock, backlog=BACKLOG)
        return await self._loop.create_server(factory, sock=sock, backlog=BACKLOG)

    async def stop(self) -> None:
        """Accept nothing more, finish what is under way, close everything."""
        drained = asyncio.Event()
        self.service.on_drained = drained.set
        self.service.draining = True
        for server in self._servers:
            server.close()
        for client in list(self.service.clients):
            if isinstance(client, Front):
                client.drain()
        if self.service.clients:
            await self._wait_for_clients(drained)
        for worker in self.workers.values():
            await worker.aclose()
        self.timers.close()
        for sock in self._sockets:
            sock.close()
        _remove_files(self._unix_paths)

    async def _wait_for_clients(self, drained: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._shutdown_timeout or None):
                await drained.wait()
        except TimeoutError:
            logger.warning(
                "%d connections did not end within %g s and are cut off",
                len(self.service.clients),
                self._shutdown_timeout,
            )
            self.abort()

    def abort(self) -> None:
        """Cut off every client."""
        for client in list(self.service.clients):
            if isinstance(client, Front):
                client.abort()


async def serve(
    config: Config,
    sockets: Sequence[socket.socket],
    *,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends it at once.

    Args:
        config: checked.
        sockets: listening sockets.
        on_ready: called once connections are accepted.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    process = Process(config, sockets)

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
