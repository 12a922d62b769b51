"""What both clients are told when they are made, and what they make of it.

Values only: connections and waiting are those of `aio` and `sync`.
"""

import time
from typing import Final

from . import constants
from .attempts import Attempts
from .balancing import Balancer
from .members import Member
from .request import PING_TIMEOUT, RequestOptions, build_request, check_limits, parse_address
from .worker import WorkerSettings

__all__ = ["ClientBase"]

_USUAL_ADDRESS: Final = "ajp://127.0.0.1:8009"


class ClientBase:
    """Where a client sends its requests, and with what patience."""

    def __init__(
        self,
        address: str | Balancer = _USUAL_ADDRESS,
        *,
        secret: str | bytes | None = None,
        timeout: float | None = None,
        connect_timeout: float | None = 2.0,
        reply_timeout: float | None = None,
        acquire_timeout: float = 5.0,
        ping_timeout: float | None = PING_TIMEOUT,
        pool_size: int = 100,
        idle_timeout: float | None = None,
        max_packet_size: int = constants.DEFAULT_PACKET_SIZE,
    ) -> None:
        """Make a client; it connects with its first request.

        Args:
            address: ``ajp://host:port``, ``host:port`` or ``unix:/path``; or a `Balancer`.
            secret: shared with the container; with each member that has none of its own.
            timeout: seconds for a whole request, unless it says otherwise; None for ever.
            connect_timeout: seconds for a connection to be made.
            reply_timeout: seconds before each packet of a response; None for ever.
            acquire_timeout: seconds to wait for one of `pool_size` connections to be free.
            ping_timeout: seconds for the answer to the CPING that goes before the first request of
                a connection, and before a later one when it was idle for over a second; None: no
                CPING.
            pool_size: most connections; to each member.
            idle_timeout: seconds a connection may be idle; None for ever.
            max_packet_size: bytes, 8192-65536; must equal the container's packetSize.

        Raises:
            ValueError: an address that is none, or a number out of its range.
        """
        check_limits(
            max_packet_size,
            pool_size,
            timeout=timeout,
            connect_timeout=connect_timeout,
            reply_timeout=reply_timeout,
            acquire_timeout=acquire_timeout,
            ping_timeout=ping_timeout,
            idle_timeout=idle_timeout,
        )
        self.timeout = timeout
        self.balancer = address if isinstance(address, Balancer) else None
        self._connect_timeout = connect_timeout
        self._reply_timeout = reply_timeout
        self._acquire_timeout = acquire_timeout
        self._ping_timeout = ping_timeout
        self._pool_size = pool_size
        self._idle_timeout = idle_timeout
        self._max_packet_size = max_packet_size
        members = (
            address.containers
            if isinstance(address, Balancer)
            else (Member(address, name="client"),)
        )
        self._containers = tuple(self._settings_of(member, secret) for member in members)
        self._names = tuple(member.name for member in members)
        self._prepare()

    def _prepare(self) -> None:
        """Make what does not need to wait for the first request."""

    def _settings_of(self, member: Member, secret: str | bytes | None) -> WorkerSettings:
        """One container's part of it."""
        host, port = parse_address(member.address)
        if member.secret is not None:
            secret = member.secret
        return WorkerSettings(
            host=host,
            port=port,
            secret=secret.encode() if isinstance(secret, str) else secret,
            max_packet_size=self._max_packet_size,
            pool_size=self._pool_size,
            pool_timeout=self._idle_timeout or 0.0,
            acquire_timeout=self._acquire_timeout,
            connect_timeout=self._connect_timeout or 0.0,
            connect_ping=self._ping_timeout or 0.0,
            prepost_ping=self._ping_timeout or 0.0,
            reply_timeout=self._reply_timeout or 0.0,
        )

    @property
    def _where(self) -> str:
        """Where requests go, in a word."""
        if self.balancer is None:
            return self._containers[0].address
        return f"{self.balancer.name} ({', '.join(self._names)})"

    def _number(self, member: str | None) -> int:
        """Which container a member's name means.

        Raises:
            ValueError: no member has this name; or there are several, and none is named.
        """
        if self.balancer is None:
            if member is not None:
                raise ValueError(f"no member {member!r}: the client has one container")
            return 0
        if member is None:
            raise ValueError(f"which member? There are {', '.join(self._names)}")
        return self.balancer.number(member)

    def _attempts(
        self, method: str, url: str, length: int | None, options: RequestOptions
    ) -> Attempts:
        """Begin with a request; the arguments are those of `build_request`."""
        seconds = options.get("timeout", self.timeout)
        deadline = None if seconds is None else time.monotonic() + seconds
        request = build_request(method, url, length=length, options=options)
        secrets = [container.secret for container in self._containers]
        placement = None if self.balancer is None else self.balancer.place(request)
        return Attempts(request, secrets, placement, deadline)
