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
import stat
from collections.abc import Callable, Sequence
from functools import partial

from ajp.timers import Timers
from ajp.worker import Worker, WorkerSettings

from ._front import Front
from ._service import Service, Target
from .config.model import Config, ListenAddress, WorkerConfig
from .config.urimap import UriMap
from .http.forwarded import TrustedProxies
from .http.pages import Pages
from .http.proxy_protocol import ProxyHeader
from .tls import Contexts, client_tls
from .tls_listener import TLSListener

__all__ = ["ListenError", "Process", "address_of", "open_listener", "serve"]

logger = logging.getLogger("ajpd.process")

BACKLOG = 1024
#: File descriptors for listeners, logs, certificates and what the interpreter opens.
SPARE_DESCRIPTORS = 64


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
        busy_limit=config.busy_limit,
        connect_timeout=config.socket_connect_timeout_ms / 1000,
        connect_ping=config.connect_timeout_ms / 1000,
        prepost_ping=config.prepost_timeout_ms / 1000,
        ping_interval=config.connection_ping_interval_ms / 1000,
        ping_timeout=config.ping_timeout_ms / 1000,
        reply_timeout=config.reply_timeout_ms / 1000,
        socket_timeout=config.socket_timeout_ms / 1000,
        socket_buffer=config.socket_buffer,
        source=config.source,
        keepalive=config.socket_keepalive,
        prefer_ipv6=config.prefer_ipv6,
    )


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
    taken = sum(worker.connection_pool_size for worker in config.workers.values())
    return max(soft - taken - SPARE_DESCRIPTORS, 1)


class Process:
    """Everything one process runs.

    Must be created inside the running loop.

    Args:
        config: checked.
        sockets: listening sockets; owned from here on.
        tls_sockets: the same for connections that begin with TLS; only where `config.tls` is.

    Raises:
        BadCertificate: a file of `config.tls` cannot be used any more.
    """

    def __init__(
        self,
        config: Config,
        sockets: Sequence[socket.socket],
        tls_sockets: Sequence[socket.socket] = (),
    ) -> None:
        server = config.server
        self._loop = asyncio.get_running_loop()
        self._shutdown_timeout = server.shutdown_timeout_ms / 1000
        self._sockets = sockets
        self._tls_sockets = tls_sockets
        self._unix_paths = [
            sock.getsockname() for sock in (*sockets, *tls_sockets) if sock.family == socket.AF_UNIX
        ]
        self._servers: list[asyncio.Server] = []
        self._tls_listeners: list[TLSListener] = []
        self._contexts = None if config.tls is None else Contexts(config.tls)
        self._look_timer: asyncio.TimerHandle | None = None
        self._trusted = TrustedProxies(server.trusted_proxies) if server.trusted_proxies else None
        self._handshake_timeout = server.header_timeout_ms / 1000
        self._max_connections = server.max_connections or _connections_left(config)
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
                    retry_interval=config.workers[name].retry_interval_ms / 1000,
                    recovery_options=config.workers[name].recovery_options,
                    fail_on_status=config.workers[name].fail_on_status,
                    replay_buffer=config.workers[name].replay_buffer,
                )
                for name, worker in self.workers.items()
            },
            header_timeout=server.header_timeout_ms / 1000,
            keepalive_timeout=server.keepalive_timeout_ms / 1000,
            body_timeout=server.body_timeout_ms / 1000,
            send_timeout=server.send_timeout_ms / 1000,
            max_header_bytes=server.max_header_bytes,
            max_body_bytes=server.max_body_bytes,
            max_connections=self._max_connections,
            pages=Pages(server.error_pages or None),
            forward_uri=server.forward_uri,
            trusted=self._trusted,
            forwarded_headers=server.forwarded_headers,
            reply_timeout_header=server.reply_timeout_header.encode() or None,
            describe_tls=None if config.tls is None else partial(client_tls, config=config.tls),
            attributes=config.attributes,
        )

    async def start(self) -> None:
        """Accept connections."""
        for sock in self._sockets:
            self._servers.append(await self._listen(sock))
        if self._contexts is not None:
            for sock in self._tls_sockets:
                self._listen_for_tls(sock, self._contexts)
            self._look_later()

    async def _listen(self, sock: socket.socket) -> asyncio.Server:
        if sock.family == socket.AF_UNIX:
            return await self._loop.create_unix_server(self._front, sock=sock, backlog=BACKLOG)
        return await self._loop.create_server(self._front, sock=sock, backlog=BACKLOG)

    def _listen_for_tls(self, sock: socket.socket, contexts: Contexts) -> None:
        listener = TLSListener(
            sock,
            lambda: contexts.current,
            self._front,
            handshake_timeout=self._handshake_timeout,
            most=self._max_connections,
            trusts=None if self._trusted is None else self._trusted.trusts,
        )
        listener.start()
        self._tls_listeners.append(listener)

    def _front(self, header: ProxyHeader | None = None) -> Front:
        """The protocol of one connection; `header` stood before its TLS handshake."""
        return Front(self.service, header)

    def _look_later(self) -> None:
        """Look at the certificates' files now and then."""
        if self._contexts is not None and self._contexts.config.reload_ms:
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

    async def stop(self) -> None:
        """Accept nothing more, finish what is under way, close everything."""
        drained = asyncio.Event()
        self.service.on_drained = drained.set
        self.service.draining = True
        for server in self._servers:
            server.close()
        if self._look_timer is not None:
            self._look_timer.cancel()
        for listener in self._tls_listeners:
            await listener.aclose()
        for client in list(self.service.clients):
            if isinstance(client, Front):
                client.drain()
        if self.service.clients:
            await self._wait_for_clients(drained)
        for worker in self.workers.values():
            await worker.aclose()
        self.timers.close()
        for sock in (*self._sockets, *self._tls_sockets):
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
