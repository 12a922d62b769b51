from collections.abc import Callable, Iterable
from ssl import SSLObject
from typing import Any, Protocol

from typing_extensions import disjoint_base

from ajp._column import Column
from ajp._endpoint import Attempt
from ajp._slot import Slot
from ajp._wheel import Timed, Wheel
from ajp.errors import Reason

from ._logline import LogLines
from ._rules import Mount
from ._trace import Trace
from .config.model import AttributeRule, ForwardedHeaders, ForwardURI
from .http.forwarded import TrustedProxies
from .http.pages import Pages
from .tls import ClientTLS

class _Worker(Protocol):
    def acquire(self, attempt: Attempt, /) -> None: ...
    def cancel(self, attempt: Attempt, /) -> bool: ...

@disjoint_base
class Target:
    @property
    def worker(self) -> _Worker: ...
    @property
    def name(self) -> str: ...
    @property
    def slot(self) -> int: ...
    head_waits: float
    def __init__(
        self,
        name: str,
        worker: _Worker,
        *,
        secret: bytes | None,
        max_packet_size: int,
        retries: int,
        retry_interval: float = 0.0,
        recovery_options: int | None = None,
        fail_on_status: Iterable[int] = (),
        replay_buffer: int = 0,
        slot: Slot | None = None,
        head_waits: float = 0.05,
    ) -> None: ...

@disjoint_base
class Service:
    draining: bool
    patience: float
    drained: float
    access: LogLines | None
    trace: Trace | None
    on_drained: Callable[[], None] | None
    handshakes: Callable[[], int] | None
    @property
    def wheel(self) -> Wheel: ...
    @property
    def clients(self) -> set[ClientSide]: ...
    @property
    def targets(self) -> dict[str, object]: ...
    @property
    def most_accepted(self) -> int: ...
    @property
    def requests(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def reasons(self) -> dict[Reason, int]: ...
    def __init__(
        self,
        wheel: Wheel,
        match: Callable[[bytes], Mount | None],
        targets: dict[str, object],
        *,
        header_timeout: float,
        keepalive_timeout: float,
        body_timeout: float,
        send_timeout: float,
        max_header_bytes: int,
        max_body_bytes: int,
        max_connections: int = 0,
        pages: Pages | None = None,
        forward_uri: ForwardURI = "proxy",
        trusted: TrustedProxies | None = None,
        forwarded_headers: ForwardedHeaders = "auto",
        describe_tls: Callable[[SSLObject], ClientTLS] | None = None,
        reply_timeout_header: bytes | None = None,
        attributes: Iterable[AttributeRule] = (),
        column: Column | None = None,
        front: Slot | None = None,
        on_changes: Callable[[Any], None] | None = None,
    ) -> None: ...
    def remap(
        self,
        match: Callable[[bytes], Mount | None],
        match_host: Callable[[bytes, bytes], Mount | None] | None = None,
    ) -> None: ...

@disjoint_base
class ClientSide(Timed): ...
