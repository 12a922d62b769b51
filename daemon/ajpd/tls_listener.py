"""A listener whose connections begin with a TLS handshake, or with a PROXY header before it.

Accepts by itself instead of leaving it to the loop's server, for three reasons: each handshake gets
the contexts of its moment, a PROXY header can be taken off before it, and a handshake that fails
leaves one line in the log at most. Whoever gets through is handed over to a protocol and is no
longer known here. One task for each connection that is not that far yet, all owned by the listener.

No task accepts: one that is cancelled in the same turn in which its `sock_accept` succeeded would
lose a client.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

from .http.proxy_protocol import BadProxyHeader, NeedMore, ProxyHeader, parse
from .tls_alert import accepted

__all__ = ["TLSListener"]

logger = logging.getLogger("ajpd.tls")

#: Seconds a client has to answer the end of TLS; most close without a word.
SHUTDOWN_TIMEOUT: Final = 5.0
#: Seconds without accepting when there are no descriptors left, as asyncio's own server waits.
PAUSE: Final = 1.0
#: More than the longest PROXY header has, see `proxy_protocol.parse`.
_PEEK: Final = 4200
_OUT_OF_RESOURCES: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
#: What OpenSSL calls it: what it means.
_REASONS: Final = {
    "HTTP_REQUEST": "the client speaks HTTP without TLS",
    "WRONG_VERSION_NUMBER": "the client does not speak TLS",
    "UNSUPPORTED_PROTOCOL": "the client's versions of TLS are too old",
    "NO_SHARED_CIPHER": "the client has no cipher in common",
    "CALLBACK_FAILED": "the client asks for a name that is not ASCII",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client has no certificate",
}

#: Makes the protocol of a connection, told what a proxy said about it.
Factory = Callable[[ProxyHeader | None], asyncio.BaseProtocol]


class TLSListener:
    """Accepts connections on one socket.

    Args:
        sock: listening, not blocking; stays the caller's.
        context: for the next handshake.
        factory: of protocols; called when a handshake begins, `connection_made` when it is done.
        handshake_timeout: seconds for PROXY header and handshake, each; 0 is OpenSSL's patience.
        most: handshakes at a time, and whatever `taken` counts, 0 for any number; who comes then
            is cut off.
        taken: counts what shares `most` with them.
        on_end: told of each handshake that ended, and whether it was done.
        trusts: whether a peer's address may be followed by a PROXY header, None for a peer on a
            Unix socket; without a function nobody may send one.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: Callable[[], ssl.SSLContext],
        factory: Factory,
        *,
        handshake_timeout: float,
        most: int = 0,
        taken: Callable[[], int] = int,
        on_end: Callable[[bool], None] = lambda done: None,
        trusts: Callable[[str | None], bool] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._context = context
        self._factory = factory
        self._timeout = handshake_timeout or None
        self._most = most
        self._taken = taken
        self._on_end = on_end
        self._trusts = trusts
        self._is_accepting = False
        self._pause: asyncio.TimerHandle | None = None
        self._handshakes: set[asyncio.Task[None]] = set()
        #: Accepted, and their task has not begun: cancelling it would leave them open.
        self._untouched: set[socket.socket] = set()

    def start(self) -> None:
        """Begin to accept."""
        self._pause = None
        self._is_accepting = True
        self._loop.add_reader(self._sock, self._accept)

    @property
    def handshakes(self) -> int:
        """Connections that are not handed over yet."""
        return len(self._handshakes)

    def accept_no_more(self) -> None:
        """Leave who comes now to others; handshakes that have begun go on."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._is_accepting:
            self._is_accepting = False
            self._loop.remove_reader(self._sock)

    async def finish(self) -> None:
        """Return when every handshake that has begun has come to its end."""
        while self._handshakes:
            await asyncio.wait(self._handshakes)

    def abort(self) -> None:
        """Cut off who is not through yet: whoever has no TLS cannot have asked anything."""
        for task in self._handshakes:
            task.cancel()

    async def aclose(self) -> None:
        """Accept nothing more, cut off who is not through yet, and leave no socket open."""
        self.accept_no_more()
        self.abort()
        await asyncio.gather(*self._handshakes, return_exceptions=True)
        while self._untouched:
            self._untouched.pop().close()

    def _accept(self) -> None:
        """Take one connection; for the next one the loop calls again, after everybody else."""
        try:
            sock, peer = self._sock.accept()
        except OSError as exc:
            if exc.errno in _OUT_OF_RESOURCES:
                logger.error("cannot accept: %s; the next try is in %g s", exc, PAUSE)
                self.accept_no_more()
                self._pause = self._loop.call_later(PAUSE, self.start)
            # Else another process was faster, or it was the client, which is gone again.
            return
        sock.setblocking(False)
        address = peer[0].partition("%")[0] if isinstance(peer, tuple) else None
        if 0 < self._most <= self.handshakes + self._taken():
            sock.close()
            logger.info(
                "client=%s cut off: %d handshakes",
                address or "-",
                self.handshakes,
                extra={"about": "cut off"},
            )
            return
        task = self._loop.create_task(self._admit(sock, address), name=f"tls {address}")
        self._handshakes.add(task)
        self._untouched.add(sock)
        task.add_done_callback(self._handshakes.discard)

    async def _admit(self, sock: socket.socket, address: str | None) -> None:
        """Bring one connection through its handshake."""
        self._untouched.discard(sock)
        try:
            header = await self._proxy_header(sock, address)
        except ConnectionError as exc:
            sock.close()
            logger.debug("client=%s PROXY header: %s", address or "-", exc)
            return
        except (OSError, BadProxyHeader) as exc:
            sock.close()
            logger.info(
                "client=%s PROXY header: %s",
                address or "-",
                str(exc) or "not in time",
                extra={"about": "PROXY header"},
            )
            return
        except BaseException:
            sock.close()
            raise
        accepted.set(sock)
        is_done = False
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._factory(header),
                sock,
                ssl=self._context(),
                ssl_handshake_timeout=self._timeout,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
            )
            is_done = True
        except ssl.SSLError as exc:
            words = _words(exc)
            logger.info(
                "client=%s TLS handshake: %s", address or "-", words, extra={"about": words}
            )
        except ConnectionAbortedError:
            logger.info(
                "client=%s TLS handshake: not done in time",
                address or "-",
                extra={"about": "not in time"},
            )
        except OSError as exc:
            # It hung up, as the health checks of balancers do.
            logger.debug("client=%s TLS handshake: %s", address or "-", exc)
        finally:
            self._on_end(is_done)

    async def _proxy_header(self, sock: socket.socket, address: str | None) -> ProxyHeader | None:
        """Take a PROXY header off, if there is one and its sender may say such things."""
        if self._trusts is None or not self._trusts(address):
            return None
        async with asyncio.timeout(self._timeout):
            return await self._read_header(sock)

    async def _read_header(self, sock: socket.socket) -> ProxyHeader | None:
        """Read exactly the header: what follows belongs to the handshake."""
        taken = b""
        while True:
            await self._readable(sock)
            try:
                data = taken + sock.recv(_PEEK, socket.MSG_PEEK)
            except BlockingIOError:
                continue
            if len(data) == len(taken):
                raise ConnectionResetError("the connection ended")
            found = parse(data)
            if found is None:
                if taken:
                    raise BadProxyHeader("it ends before it has begun")
                return None
            if not isinstance(found, NeedMore):
                sock.recv(found.length - len(taken))
                return found
            # All of it belongs to the header: no handshake begins like one.
            sock.recv(len(data) - len(taken))
            taken = data

    async def _readable(self, sock: socket.socket) -> None:
        ready = self._loop.create_future()
        self._loop.add_reader(sock, _settle, ready)
        try:
            await ready
        finally:
            self._loop.remove_reader(sock)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _words(exc: ssl.SSLError) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"the client's certificate: {exc.verify_message}"
    reason = exc.reason or str(exc)
    return _REASONS.get(reason, reason.replace("_", " ").lower())
