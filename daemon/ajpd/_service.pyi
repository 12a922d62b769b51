from collections.abc import Callable, Mapping
from typing import Protocol

from typing_extensions import disjoint_base

from ajp._endpoint import Attempt
from ajp._wheel import Timed, Wheel

class _Rule(Protocol):
    @property
    def worker(self) -> str: ...
    @property
    def reply_timeout_ms(self) -> int | None: ...

class _Worker(Protocol):
    def acquire(self, attempt: Attempt, /) -> None: ...
    def cancel(self, attempt: Attempt, /) -> bool: ...

@disjoint_base
class Target:
    @property
    def worker(self) -> _Worker: ...
    @property
    def name(self) -> str: ...
    def __init__(
        self,
        name: str,
        worker: _Worker,
        *,
        secret: bytes | None,
        max_packet_size: int,
        retries: int,
    ) -> None: ...

@disjoint_base
class Service:
    draining: bool
    on_drained: Callable[[], None] | None
    @property
    def wheel(self) -> Wheel: ...
    @property
    def clients(self) -> set[ClientSide]: ...
    @property
    def requests(self) -> int: ...
    @property
    def failures(self) -> int: ...
    def __init__(
        self,
        wheel: Wheel,
        match: Callable[[bytes], _Rule | None],
        targets: Mapping[str, Target],
        *,
        header_timeout: float,
        keepalive_timeout: float,
        body_timeout: float,
        send_timeout: float,
        max_header_bytes: int,
        max_body_bytes: int,
    ) -> None: ...

@disjoint_base
class ClientSide(Timed): ...
