"""Listening sockets: opened, shared out among processes, and kept over a reload.

An address of TCP has one socket for each process, all with SO_REUSEPORT: the kernel shares new
connections out among their queues. Nobody closes one while its address stays in use. A process
that died is replaced by one that takes over its queue, and when there are fewer processes than
before, some of them serve several queues; so no connection that waits in one is ever lost. Unix
sockets, and sockets that were handed over, are shared by all processes.
"""

import errno
import os
import socket
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .config.model import ListenAddress

__all__ = [
    "BACKLOG",
    "ListenError",
    "Listeners",
    "Sockets",
    "address_of",
    "open_listener",
    "remove_files",
]

BACKLOG = 1024

#: Finds the descriptors that a name of systemd stands for.
Named = Mapping[str, Sequence[int]]


class ListenError(OSError):
    """A listener could not be opened; the message names the address and says what to do.

    Attributes:
        in_use: somebody else listens there.
    """

    def __init__(self, text: str, *, in_use: bool = False) -> None:
        super().__init__(text)
        self.in_use = in_use


def open_listener(address: ListenAddress) -> socket.socket:
    """Bind and listen; nobody else may listen there.

    Raises:
        ListenError: the address is in use, not ours, or not allowed.
    """
    sock = _bind_unix(address.path) if address.path else _bind(address, address.port)
    _listen(sock, address)
    return sock


def address_of(sock: socket.socket) -> str:
    """Where a socket listens, the port the system chose included."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"[{name[0]}]:{name[1]}" if sock.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"


def remove_files(paths: Iterable[str]) -> None:
    """Take away the files of Unix sockets nobody listens on any more."""
    for path in paths:
        if os.path.exists(path):
            os.unlink(path)


class Sockets(NamedTuple):
    """Those of one process: for HTTP, for what begins with TLS, and for who fetches metrics."""

    plain: list[socket.socket]
    tls: list[socket.socket]
    metrics: list[socket.socket]

    @property
    def all(self) -> list[socket.socket]:
        """Whatever they are for."""
        return [*self.plain, *self.tls, *self.metrics]


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """One address and its sockets.

    Attributes:
        address: as it was written.
        sockets: one for each process, or more; of a shared one, all for everybody.
        is_shared: each process gets all sockets.
        fresh: those that do not listen yet.
    """

    address: ListenAddress
    sockets: tuple[socket.socket, ...]
    is_shared: bool = False
    fresh: tuple[socket.socket, ...] = ()

    def of(self, lane: int, lanes: int) -> Sequence[socket.socket]:
        return self.sockets if self.is_shared else self.sockets[lane::lanes]


@dataclass(frozen=True, slots=True, eq=False)
class Listeners:
    """All listening sockets of a configuration.

    A value: a reload makes the next one out of it, which has the sockets of addresses that stay.

    Attributes:
        lanes: number of processes.
        plain: addresses for HTTP.
        tls: those for connections that begin with TLS.
        metrics: those for metrics.
    """

    lanes: int = 0
    plain: tuple[_Opened, ...] = ()
    tls: tuple[_Opened, ...] = ()
    metrics: tuple[_Opened, ...] = ()
    _named: Named = field(default_factory=dict)

    def next(
        self,
        plain: Sequence[ListenAddress],
        tls: Sequence[ListenAddress],
        metrics: Sequence[ListenAddress] = (),
        *,
        lanes: int,
    ) -> "Listeners":
        """Bind what is missing; nothing new listens before `listen`.

        Raises:
            ListenError: one cannot be bound; all that was is closed again.
        """
        kept = {_key(each, among): each for among in self._kinds for each in among}
        made: list[_Opened] = []

        def find(addresses: Sequence[ListenAddress]) -> tuple[_Opened, ...]:
            first = len(made)
            for number, address in enumerate(addresses):
                key = (address, addresses[:number].count(address))
                made.append(self._open(address, kept.get(key), lanes))
            return tuple(made[first:])

        try:
            return Listeners(lanes, find(plain), find(tls), find(metrics), self._named)
        except ListenError:
            Listeners(lanes, tuple(made), _named=self._named).close_except(self)
            raise

    def _open(self, address: ListenAddress, kept: _Opened | None, lanes: int) -> _Opened:
        if address.fd:
            return kept or _Opened(address, tuple(_handed_over(address, self._named)), True)
        if address.path:
            if kept is not None:
                return kept
            sock = _bind_unix(address.path)
            return _Opened(address, (sock,), True, (sock,))
        sockets: list[socket.socket] = [] if kept is None else list(kept.sockets)
        before = len(sockets)
        # With SO_REUSEPORT another program could share the port unnoticed, if it is ours.
        is_ours = any(_port(sock) == address.port for sock in self.sockets)
        try:
            if not sockets and not is_ours:
                _bind(address, address.port).close()
            while len(sockets) < lanes:
                # The first one finds the port when that is 0.
                port = _port(sockets[0]) if sockets else address.port
                sockets.append(_bind(address, port, shares=True))
        except ListenError:
            for sock in sockets[before:]:
                sock.close()
            raise
        return _Opened(address, tuple(sockets), False, tuple(sockets[before:]))

    @property
    def _kinds(self) -> tuple[tuple[_Opened, ...], ...]:
        return self.plain, self.tls, self.metrics

    @property
    def _opened(self) -> list[_Opened]:
        return [opened for kind in self._kinds for opened in kind]

    @property
    def sockets(self) -> list[socket.socket]:
        """All of them."""
        return [sock for opened in self._opened for sock in opened.sockets]

    @property
    def paths(self) -> list[str]:
        """Files of Unix sockets that were made here."""
        return [each.address.path for each in self._opened if each.address.path]

    def listen(self) -> None:
        """Let the kernel accept connections on what is new.

        Raises:
            ListenError: an address was taken in the meantime.
        """
        for opened in self._opened:
            for sock in opened.fresh:
                _listen(sock, opened.address)

    def of(self, lane: int) -> Sockets:
        """What one process serves.

        Args:
            lane: number of the process, from 0.
        """
        return Sockets(
            *([sock for each in kind for sock in each.of(lane, self.lanes)] for kind in self._kinds)
        )

    def close_sockets(self, kept: Iterable[socket.socket] = ()) -> None:
        """Close all but some of them; files stay, whose owner is another process."""
        numbers = {id(sock) for sock in kept}
        for sock in self.sockets:
            if id(sock) not in numbers:
                sock.close()

    def close_except(self, other: "Listeners") -> None:
        """Close all that another one does not have, and take away the files of Unix sockets."""
        self.close_sockets(other.sockets)
        remove_files(path for path in self.paths if path not in other.paths)

    def __str__(self) -> str:
        plain = [address_of(sock) for each in self.plain for sock in _shown(each)]
        tls = [f"{address_of(sock)} (TLS)" for each in self.tls for sock in _shown(each)]
        metrics = [
            f"{address_of(sock)} (metrics)" for each in self.metrics for sock in _shown(each)
        ]
        return ", ".join(plain + tls + metrics)


def _shown(opened: _Opened) -> Sequence[socket.socket]:
    return opened.sockets if opened.is_shared else opened.sockets[:1]


def _key(opened: _Opened, among: Sequence[_Opened]) -> tuple[ListenAddress, int]:
    """An address, and which one of several with port 0."""
    before = among[: among.index(opened)]
    return opened.address, sum(each.address == opened.address for each in before)


def _port(sock: socket.socket) -> int:
    return 0 if sock.family == socket.AF_UNIX else int(sock.getsockname()[1])


def _bind(address: ListenAddress, port: int, *, shares: bool = False) -> socket.socket:
    try:
        family, kind, proto, _, where = socket.getaddrinfo(
            address.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as exc:
        raise ListenError(f"cannot listen on {address}: {exc.strerror}") from exc
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
    except OSError as exc:
        sock.close()
        raise _refused(address, exc) from exc
    sock.setblocking(False)
    return sock


def _listen(sock: socket.socket, address: ListenAddress) -> None:
    try:
        sock.listen(BACKLOG)
    except OSError as exc:
        sock.close()
        raise _refused(address, exc) from exc


def _bind_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.bind(path)
    except OSError as exc:
        sock.close()
        text = f"cannot listen on unix:{path}: {exc.strerror or exc}"
        raise ListenError(text, in_use=exc.errno == errno.EADDRINUSE) from exc
    sock.setblocking(False)
    return sock


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
        raise OSError(errno.EADDRINUSE, "another process listens there")
    finally:
        probe.close()


def _handed_over(address: ListenAddress, named: Named) -> Iterable[socket.socket]:
    """Take over sockets that were open when the daemon started."""
    numbers = [int(address.fd)] if address.fd.isdecimal() else named.get(address.fd, ())
    if not numbers:
        known = ", ".join(f"fd:{name}" for name in named) or "no names at all"
        raise ListenError(f"cannot listen on {address}: systemd gave {known}")
    for number in numbers:
        yield _take_over(address, number)


def _take_over(address: ListenAddress, number: int) -> socket.socket:
    try:
        # Another descriptor of it: the original stays for the case that a reload takes the address
        # out and another one brings it back.
        sock = socket.fromfd(number, -1, -1)
    except OSError as exc:
        text = f"cannot listen on {address}: descriptor {number} is no socket: {exc.strerror}"
        raise ListenError(text) from exc
    accepts = sock.type == socket.SOCK_STREAM and sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    )
    if not accepts:
        sock.close()
        raise ListenError(f"cannot listen on {address}: descriptor {number} does not listen")
    sock.setblocking(False)
    return sock


def _refused(address: ListenAddress, exc: OSError) -> ListenError:
    text = f"cannot listen on {address}: {_explain(exc, address)}"
    return ListenError(text, in_use=exc.errno == errno.EADDRINUSE)


def _explain(exc: OSError, address: ListenAddress) -> str:
    if isinstance(exc, PermissionError):
        return f"{exc.strerror}; ports below 1024 need root or CAP_NET_BIND_SERVICE"
    if exc.errno == errno.EADDRINUSE:
        return f"another process uses port {address.port}; choose another or stop that one"
    if exc.errno == errno.EADDRNOTAVAIL:
        return f"{address.host} is not an address of this machine"
    return exc.strerror or str(exc)
