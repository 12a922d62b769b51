"""Connect to a container: its addresses, a socket to one of them, and the time that may take.

Knows no pool and no packet. Names are resolved anew by every dial, so that a container that moved
is found without a restart.

Source: mod_jk `jk_open_socket`, which resolves once at start and knows one address only; RFC 8305
for not waiting on a dead address before the next one is tried.
"""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from .errors import ConnectFailed, ConnectTimeout, EndpointError, Reason

__all__ = ["UNIX_PREFIX", "Address", "Dialer", "Resolver", "address_text"]

logger = logging.getLogger("ajp.worker")

UNIX_PREFIX: Final = "unix:"

#: An answer counts this many seconds; many connections at a time ask once.
REMEMBERED: Final = 5.0
#: As long a dial waits for a new answer where an old one is known.
PATIENCE: Final = 0.5
#: After so many seconds the next address is tried, whatever becomes of the one before (RFC 8305).
STAGGER: Final = 0.25
#: Seconds between two tries where the queue of a Unix socket is full: nothing tells its end.
UNIX_PAUSE: Final = 0.02

P = TypeVar("P", bound=asyncio.BaseProtocol)
# What this process or machine has run out of: no container is to blame.
_OUR_LACK: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_FAMILIES: Final = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}


def address_text(host: str, port: int) -> str:
    """Host and port as one would type them; of a Unix socket, its path behind ``unix:``."""
    if host.startswith(UNIX_PREFIX):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a container listens, ready for connect(2)."""

    family: int
    where: tuple[Any, ...]

    @property
    def host(self) -> str:
        """Address without port."""
        return str(self.where[0])

    @classmethod
    def of(cls, host: str, port: int) -> "Address | None":
        """The address a text is; None when it is a name."""
        try:
            found = ipaddress.ip_address(host)
        except ValueError:
            return None
        if found.version == 4:
            return cls(socket.AF_INET, (host, port))
        # What follows % in it is for getaddrinfo to understand.
        return None if found.scope_id else cls(socket.AF_INET6, (host, port, 0, 0))


class Resolver:
    """The addresses of one host.

    Args:
        name: of the worker, for logs.
        host: name or address.
        port: of the container.
        prefer_ipv6: whether IPv6 addresses come first; else the system's order stays.
        on_answer: called with the addresses, without port, of every answer.
    """

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        *,
        prefer_ipv6: bool = False,
        on_answer: Callable[[frozenset[str]], None],
    ) -> None:
        fixed = Address.of(host, port)
        self.is_name = fixed is None
        self.asked_at = 0.0
        self._name, self._host, self._port = name, host, port
        self._prefer_ipv6 = prefer_ipv6
        self._on_answer = on_answer
        self._loop = asyncio.get_running_loop()
        self._known: tuple[Address, ...] = () if fixed is None else (fixed,)
        self._failure: Exception | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def known(self) -> tuple[Address, ...]:
        """What was found last, the first to try first; asks nobody."""
        return self._known

    async def addresses(self) -> tuple[Address, ...]:
        """All addresses, the first to try first; the former ones when the name is gone.

        Raises:
            OSError, UnicodeError: the name has no address and never had one.
        """
        is_fresh = self._loop.time() - self.asked_at < REMEMBERED
        if not self.is_name or (self._known and is_fresh):
            return self._known
        await asyncio.wait((self.ask(),), timeout=PATIENCE if self._known else None)
        if not self._known:
            assert self._failure is not None
            raise self._failure
        return self._known

    def ask(self) -> asyncio.Task[None]:
        """Resolve the name anew, or join who is at it; the task never fails."""
        if self._task is None:
            self.asked_at = self._loop.time()
            self._task = self._loop.create_task(self._ask(), name=f"ajp resolve {self._host}")
            self._task.add_done_callback(self._asked)
        return self._task

    def doubt(self) -> None:
        """Nobody answers where the name leads: the next dial is to ask again."""
        self.asked_at = 0.0

    async def aclose(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._task = None

    async def _ask(self) -> None:
        try:
            infos = await self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            if not infos:
                raise OSError("it has no address")
        except (OSError, UnicodeError) as exc:
            if self._known and self._failure is None:
                logger.warning(
                    "%s: %s cannot be resolved any more (%s); its last addresses stay in use",
                    self._name,
                    self._host,
                    getattr(exc, "strerror", None) or exc,
                )
            self._failure = exc
            return
        if self._known and self._failure is not None:
            logger.info("%s: %s can be resolved again", self._name, self._host)
        self._failure = None
        found = tuple(dict.fromkeys(Address(info[0], tuple(info[4])) for info in infos))
        if self._prefer_ipv6:
            found = tuple(sorted(found, key=lambda address: address.family != socket.AF_INET6))
        self._learn(found)

    def _learn(self, found: tuple[Address, ...]) -> None:
        before = {address.host for address in self._known}
        now = {address.host for address in found}
        self._known = found
        if before and now != before:
            logger.info(
                "%s: %s is %s now, not %s any more",
                self._name,
                self._host,
                ", ".join(sorted(now)),
                ", ".join(sorted(before)),
            )
        # Even where it is the same as before: somebody may have been on the way to a former one.
        self._on_answer(frozenset(now))


class Dialer:
    """Makes the connections of one worker.

    Args:
        name: of the worker, for messages.
        host: name or address, or ``unix:/path``.
        port: means nothing for a Unix socket.
        address: both as one would type them, for messages.
        timeout: seconds for all of it; 0 as long as the system tries.
        source: local address or name to start from; empty for any.
        buffer: bytes of SO_SNDBUF and SO_RCVBUF; 0 leaves them to the system.
        keepalive: whether the system probes idle connections.
        prefer_ipv6: whether IPv6 addresses of a name are tried first.
        on_answer: see `Resolver`.
    """

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        *,
        address: str,
        timeout: float,
        source: str = "",
        buffer: int = 0,
        keepalive: bool = False,
        prefer_ipv6: bool = False,
        on_answer: Callable[[frozenset[str]], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._where = f"{name} ({address})"
        self._path = host.removeprefix(UNIX_PREFIX) if host.startswith(UNIX_PREFIX) else ""
        self._timeout = timeout
        self._source = source
        self._buffer = buffer
        self._keepalive = keepalive
        self._tries: set[asyncio.Task[socket.socket]] = set()
        self.resolver: Resolver | None = None
        if not self._path:
            self.resolver = Resolver(name, host, port, prefer_ipv6=prefer_ipv6, on_answer=on_answer)

    @property
    def first(self) -> str:
        """What is tried first, as one would type it; empty as long as the name was not resolved."""
        if self.resolver is None:
            return f"unix:{self._path}"
        known = self.resolver.known
        return address_text(known[0].host, known[0].where[1]) if known else ""

    async def dial(self, protocol: Callable[[str], P]) -> P:
        """Connect to the first address that answers.

        Args:
            protocol: makes the protocol of a connection to the address it is told, which is empty
                for a Unix socket.

        Raises:
            EndpointError: no connection; the message says where to and why not.
        """
        sock, peer = await self.connect()
        try:
            if self._path:
                _, made = await self._loop.create_unix_connection(lambda: protocol(peer), sock=sock)
            else:
                _, made = await self._loop.create_connection(lambda: protocol(peer), sock=sock)
        except BaseException:
            sock.close()
            raise
        return made

    async def connect(self) -> tuple[socket.socket, str]:
        """Make a connected socket, not blocking; and the address it leads to, without port."""
        addresses: tuple[Address, ...] = ()
        try:
            async with asyncio.timeout(self._timeout or None):
                if self.resolver is None:
                    return await self._connect_unix(), ""
                addresses = await self._addresses(self.resolver)
                return await self._connect_first(addresses)
        except EndpointError:
            raise
        except TimeoutError as exc:
            text = f"no connection within {self._timeout:g} s"
            reason = Reason.CONNECT_TIMEOUT
            if self.resolver is not None:
                self.resolver.doubt()
                if not addresses:
                    text = f"the name was not resolved within {self._timeout:g} s"
                    reason = Reason.RESOLVE_FAILED
            raise ConnectTimeout(f"{self._where}: {text}", reason=reason) from exc
        except OSError as exc:
            raise ConnectFailed(f"{self._where}: {_words(exc)}", reason=_reason(exc)) from exc

    async def aclose(self) -> None:
        """End what is still under way; those who dial are gone by now."""
        if self.resolver is not None:
            await self.resolver.aclose()
        await asyncio.gather(*self._tries, return_exceptions=True)

    async def _addresses(self, resolver: Resolver) -> tuple[Address, ...]:
        try:
            return await resolver.addresses()
        except (OSError, UnicodeError) as exc:
            # UnicodeError: what the encoding of host names says to an empty or overlong label.
            raise ConnectFailed(
                f"{self._where}: the name cannot be resolved: {_words(exc)}",
                reason=Reason.RESOLVE_FAILED,
            ) from exc

    async def _sources(self) -> dict[int, Address] | None:
        """Local addresses by family; None when any will do."""
        if not self._source:
            return None
        fixed = Address.of(self._source, 0)
        if fixed is not None:
            return {fixed.family: fixed}
        try:
            infos = await self._loop.getaddrinfo(self._source, 0, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise ConnectFailed(
                f"{self._where}: source {self._source} cannot be resolved: {_words(exc)}",
                reason=Reason.RESOLVE_FAILED,
            ) from exc
        return {info[0]: Address(info[0], tuple(info[4])) for info in reversed(infos)}

    async def _connect_first(self, addresses: Iterable[Address]) -> tuple[socket.socket, str]:
        """Try one address after the other, and the next before the last has given up."""
        sources = await self._sources()
        todo = deque(addresses)
        pause = min(STAGGER, self._timeout / len(todo)) if self._timeout > 0 else STAGGER
        failures: dict[str, OSError] = {}
        tries: dict[asyncio.Task[socket.socket], str] = {}
        try:
            while todo or tries:
                if todo:
                    address = todo.popleft()
                    tries[self._try(address, sources)] = address.host
                done, _ = await asyncio.wait(
                    tries, timeout=pause if todo else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    error = task.exception()
                    if error is None:
                        return task.result(), tries.pop(task)
                    if not isinstance(error, OSError):
                        raise error
                    failures[tries.pop(task)] = error
        finally:
            self._call_off(tries)
        raise self._nobody(failures)

    def _try(
        self, address: Address, sources: dict[int, Address] | None
    ) -> asyncio.Task[socket.socket]:
        task = self._loop.create_task(
            self._connect(address, sources), name=f"ajp connect {address.host}"
        )
        self._tries.add(task)
        task.add_done_callback(self._tries.discard)
        return task

    def _call_off(self, tries: Iterable[asyncio.Task[socket.socket]]) -> None:
        """One was quicker, or the time is over."""
        for task in tries:
            if not task.cancel() and task.exception() is None:
                task.result().close()

    def _nobody(self, failures: dict[str, OSError]) -> EndpointError:
        if self.resolver is not None:
            self.resolver.doubt()
        words = "; ".join(f"{host}: {_words(exc)}" for host, exc in failures.items())
        if self.resolver is not None and not self.resolver.is_name:
            words = "; ".join(_words(exc) for exc in failures.values())
        reasons = {_reason(exc) for exc in failures.values()}
        reason = reasons.pop() if len(reasons) == 1 else Reason.CONNECT_REFUSED
        error: EndpointError = ConnectFailed(f"{self._where}: {words}", reason=reason)
        if all(isinstance(exc, TimeoutError) for exc in failures.values()):
            error = ConnectTimeout(f"{self._where}: {words}")
        error.__cause__ = next(iter(failures.values()))
        return error

    async def _connect(self, address: Address, sources: dict[int, Address] | None) -> socket.socket:
        sock = self._socket(address.family)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._keepalive:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if sources is not None:
                self._bind(sock, sources.get(address.family))
            await self._reach(sock, address.where)
        except BaseException:
            sock.close()
            raise
        return sock

    async def _reach(self, sock: socket.socket, where: tuple[Any, ...]) -> None:
        """Connect; uvloop's own `sock_connect` would start four threads to look a number up."""
        error = sock.connect_ex(where)
        if error == errno.EINPROGRESS:
            answered: asyncio.Future[None] = self._loop.create_future()
            self._loop.add_writer(sock, _note, answered)
            try:
                await answered
            finally:
                self._loop.remove_writer(sock)
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))

    def _bind(self, sock: socket.socket, source: Address | None) -> None:
        if source is None:
            raise OSError(f"source {self._source} is no {_FAMILIES[sock.family]} address")
        try:
            sock.bind(source.where)
        except OSError as exc:
            raise OSError(f"cannot start from source {self._source}: {_words(exc)}") from exc

    async def _connect_unix(self) -> socket.socket:
        """Connect to a Unix socket, which is done at once or cannot be done now."""
        while True:
            sock = self._socket(socket.AF_UNIX)
            try:
                sock.connect(self._path)
            except BlockingIOError:
                # Its queue is full, and no loop can wait for that to end.
                sock.close()
            except BaseException:
                sock.close()
                raise
            else:
                return sock
            await asyncio.sleep(UNIX_PAUSE)

    def _socket(self, family: int) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        if self._buffer > 0:
            # Before connecting: the window that is offered depends on it.
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, option, self._buffer)
        return sock


def _reason(exc: BaseException) -> Reason:
    """Whether it is this machine that has no room for a connection, or the container's doing."""
    is_ours = isinstance(exc, OSError) and exc.errno in _OUR_LACK
    return Reason.POOL_EXHAUSTED if is_ours else Reason.CONNECT_REFUSED


def _words(exc: Exception) -> str:
    """What went wrong, without the numbers and addresses that loops add to it."""
    if isinstance(exc, socket.gaierror):
        return exc.strerror or str(exc)
    if isinstance(exc, OSError) and exc.errno is not None:
        return os.strerror(exc.errno)
    return str(exc)


def _note(answered: asyncio.Future[None]) -> None:
    """A connection was made or refused."""
    if not answered.done():
        answered.set_result(None)
