"""The container side: accept web servers and call a handler for each of their requests.

One task a connection, and the handler runs in it. This file admits requests and ends each exchange
so that the connection is kept exactly when both ends agree where the next request begins. What may
be sent and received when is `ContainerConnection`'s business, bytes and waiting are `Channel`'s.
Routing, rendering and applications must not be added.

Source: ajpv13a; Tomcat `AjpProcessor`. Differs: nothing is answered before `secret` and attributes
were checked, a body that ends early is an error, and a response that fails halfway is never ended
as if it was whole.
"""

import asyncio
import contextlib
import hmac
import logging
import os
import re
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, TypeAlias

from . import _codec, constants
from .channel import Channel, ContainerRequest, phrase_of
from .connection import State
from .errors import REASON_STATUS, EndpointError, RemoteProtocolError
from .messages import CPing, CPong, EndResponse, ForwardRequest, SendHeaders

__all__ = ["ContainerRequest", "Handler", "Server", "serve"]

logger = logging.getLogger("ajp.container")

Handler: TypeAlias = Callable[[ContainerRequest], Awaitable[None]]

#: What Tomcat consumes itself and lets through besides `constants.PRIVATE_ATTRIBUTES`.
TLS_ATTRIBUTES: Final = frozenset(
    b"%s.servlet.request.%s" % (vendor, name)
    for vendor in (b"javax", b"jakarta")
    for name in (b"cipher_suite", b"key_size", b"ssl_session", b"X509Certificate")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What every connection of a server goes by; see `serve`."""

    secret: bytes | None = field(repr=False)
    max_packet_size: int
    allowed_attributes: re.Pattern[str] | None
    idle_timeout: float | None
    packet_timeout: float | None
    max_headers: int

    def __post_init__(self) -> None:
        smallest, largest = constants.MIN_PACKET_SIZE, constants.MAX_PACKET_SIZE
        if not smallest <= self.max_packet_size <= largest:
            raise ValueError(
                f"max_packet_size {self.max_packet_size}: expected {smallest}-{largest}"
            )
        if self.secret == b"":
            raise ValueError("secret: expected some text, or None for no secret")

    def objection(self, head: ForwardRequest) -> str:
        """Say why a request is not admitted; empty when it is."""
        if self.secret is not None and not hmac.compare_digest(head.secret or b"", self.secret):
            # The web server is not told whether it sent the wrong secret or none.
            return "secret missing or wrong"
        for name in head.request_attributes:
            if not self._is_allowed(name):
                return f"request attribute {name!r} not allowed"
        return ""

    def _is_allowed(self, name: bytes) -> bool:
        if name in constants.PRIVATE_ATTRIBUTES or name in TLS_ATTRIBUTES:
            return True
        allowed = self.allowed_attributes
        return allowed is not None and allowed.fullmatch(name.decode("latin-1")) is not None


class Server:
    """A listener and the connections it accepted; made by `serve`."""

    def __init__(self, handler: Handler, rules: Rules) -> None:
        self._handler = handler
        self._rules = rules
        self._channels: set[Channel] = set()
        self._is_closing = False
        self._listener: asyncio.Server | None = None
        self._path: str | None = None

    def __repr__(self) -> str:
        """Address and counts."""
        where = self._path or self.port
        return f"<Server {where} connections={self.connections} busy={self.busy}>"

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._channels)

    @property
    def busy(self) -> int:
        """Connections whose handler is running."""
        return sum(channel.in_handler for channel in self._channels)

    @property
    def sockets(self) -> tuple[Any, ...]:
        """Listening sockets; empty once closed."""
        return tuple(self._listener.sockets) if self._listener else ()

    @property
    def port(self) -> int:
        """Port of the first listening socket; 0 for a Unix socket and once closed."""
        if self._path is not None or not self.sockets:
            return 0
        return int(self.sockets[0].getsockname()[1])

    async def listen(self, host: str | None, port: int, path: str | None, backlog: int) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        if path is not None:
            self._listener = await loop.create_unix_server(self._channel, path, backlog=backlog)
            self._path = path
        else:
            self._listener = await loop.create_server(self._channel, host, port, backlog=backlog)

    async def close(self, grace: float = 0.0) -> None:
        """Accept nothing more and close every connection.

        Args:
            grace: seconds that running handlers get to finish; then they are cancelled.
        """
        self._is_closing = True
        if self._listener is not None:
            self._listener.close()
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
        busy = {channel.task for channel in self._channels if channel.in_handler}
        if busy and grace > 0:
            await asyncio.wait(busy, timeout=grace)
        channels = list(self._channels)
        for channel in channels:
            channel.task.cancel()
        await asyncio.gather(*(channel.task for channel in channels), return_exceptions=True)
        for channel in channels:
            channel.transport.abort()
        if self._listener is not None:
            await self._listener.wait_closed()

    # --- connections ------------------------------------------------------------------------------

    def _channel(self) -> Channel:
        rules = self._rules
        return Channel(
            self._begin,
            self._channels.discard,
            packet_timeout=rules.packet_timeout,
            max_packet_size=rules.max_packet_size,
            max_headers=rules.max_headers,
        )

    def _begin(self, channel: Channel) -> Coroutine[Any, Any, None]:
        self._channels.add(channel)
        return self._run(channel)

    async def _run(self, channel: Channel) -> None:
        """Serve one connection to its end."""
        try:
            while not self._is_closing and await self._serve_one(channel):
                pass
        except RemoteProtocolError as error:
            logger.debug("%s: %s", channel.peer, error)
            await channel.end_badly(channel.wire.send_refusal())
        except EndpointError as error:
            logger.debug("%s: %s", channel.peer, error)
        except asyncio.CancelledError:
            channel.transport.abort()
            raise
        except Exception:
            logger.exception("%s: connection given up", channel.peer)
        finally:
            channel.flush()
            channel.transport.close()

    async def _serve_one(self, channel: Channel) -> bool:
        """Serve one message on an idle connection; whether the connection goes on."""
        message = await channel.receive(self._rules.idle_timeout)
        if isinstance(message, CPing):
            channel.send(CPong())
            channel.flush()
            return True
        if not isinstance(message, ForwardRequest):
            return False
        objection = self._rules.objection(message)
        if objection:
            logger.warning("%s: 403: %s", channel.peer, objection)
            # With the number for a phrase, as Tomcat has it.
            channel.send(SendHeaders(403, b"403"))
            await channel.end_badly(channel.wire.send(EndResponse(reuse=False)))
            return False
        channel.check_open()
        return await self._exchange(channel, ContainerRequest(message, channel))

    # --- exchanges --------------------------------------------------------------------------------

    async def _exchange(self, channel: Channel, request: ContainerRequest) -> bool:
        failure: BaseException | None = None
        channel.in_handler = True
        try:
            await self._handler(request)
        except asyncio.CancelledError as error:
            if channel.task.cancelling():
                raise
            failure = error
        except Exception as error:
            failure = error
        finally:
            channel.in_handler = False
        if channel.is_gone:
            logger.debug("%s: the web server went away during %r", channel.peer, request)
            return False
        failure = failure or request.shortfall()
        if failure is not None and not await self._answer_failure(channel, request, failure):
            return False
        return await self._end_exchange(channel)

    async def _answer_failure(
        self, channel: Channel, request: ContainerRequest, failure: BaseException
    ) -> bool:
        """Answer for a handler that failed; whether the exchange can still be ended in order."""
        status = 500
        if failure is channel.offence:
            status = 400
        elif isinstance(failure, EndpointError):
            status = REASON_STATUS[failure.reason]
        if status < 500:
            logger.info("%s: %d for %r: %s", channel.peer, status, request, failure)
        else:
            logger.error("%s: the handler failed on %r", channel.peer, request, exc_info=failure)
        if channel.wire.state is State.DEAD:
            await channel.end_badly(channel.wire.send_refusal())
            return False
        if request.is_started:
            # Only a close without END_RESPONSE tells the web server that the response is broken.
            return False
        channel.send(SendHeaders(status, phrase_of(status), ((b"Content-Length", b"0"),)))
        return True

    async def _end_exchange(self, channel: Channel) -> bool:
        """End a complete response; whether the connection is kept."""
        wire = channel.wire
        if wire.owed and not channel.has_stalled:
            channel.flush()
            try:
                # At most one packet is under way; left there it would be read as a request.
                await channel.receive(self._rules.packet_timeout)
            except (EndpointError, RemoteProtocolError) as error:
                logger.debug("%s: unread request body: %s", channel.peer, error)
        if wire.state is State.DEAD:
            await channel.end_badly(_codec.END_RESPONSE_CLOSE)
            return False
        reuse = not (wire.owed or wire.has_unsolicited or self._is_closing)
        packet = wire.send(EndResponse(reuse))
        if not reuse:
            await channel.end_badly(packet)
            return False
        channel.put(packet)
        channel.flush()
        return True


class Starting:
    """What `serve` returns: await it, or enter it."""

    def __init__(self, server: Server, listen: Callable[[], Awaitable[None]]) -> None:
        self._server = server
        self._listen = listen

    def __await__(self) -> Generator[Any, None, Server]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Server:
        await self._listen()
        return self._server

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._server.close()


def serve(
    handler: Handler,
    host: str | None = "127.0.0.1",
    port: int = 8009,
    *,
    secret: str | bytes | None = None,
    max_packet_size: int = constants.DEFAULT_PACKET_SIZE,
    allowed_attributes: re.Pattern[str] | str | None = None,
    idle_timeout: float | None = None,
    packet_timeout: float | None = 20.0,
    max_headers: int = 100,
    backlog: int = 100,
    path: str | None = None,
) -> Starting:
    """Listen for web servers; await what this returns or enter it by ``async with``.

    Args:
        handler: called with each request; everything is ended properly when it returns or raises.
        host: address to listen on; None for all. AJP believes its peers: keep it to yourself.
        port: 0 for any free one.
        secret: what every request must carry; None for nothing.
        max_packet_size: bytes, 8192-65536; must equal the web server's.
        allowed_attributes: pattern of whole names of request attributes that are let through
            besides those of the protocol; a request with any other is answered 403.
        idle_timeout: seconds a connection may be idle; None for ever: proxies keep pools.
        packet_timeout: seconds a web server may take for the rest of a packet it began, or for a
            body packet it owes.
        max_headers: a request with more is answered 400.
        backlog: connections the system may hold before they are accepted.
        path: of a Unix socket, in place of host and port.

    Raises:
        ValueError: a size or the secret cannot be.
        OSError: when started: the address cannot be listened on.
    """
    rules = Rules(
        secret=secret.encode() if isinstance(secret, str) else secret,
        max_packet_size=max_packet_size,
        allowed_attributes=None if allowed_attributes is None else re.compile(allowed_attributes),
        idle_timeout=idle_timeout,
        packet_timeout=packet_timeout,
        max_headers=max_headers,
    )
    server = Server(handler, rules)
    return Starting(server, lambda: server.listen(host, port, path, backlog))
