from collections.abc import Callable, Mapping, Sequence
from typing import Final, final

__all__ = ["OPS", "LogLines"]

OPS: Final[Mapping[str, int]]

@final
class LogLines:
    kept: int
    most: int
    full: int
    dropped: int
    @property
    def wants_referer(self) -> bool: ...
    @property
    def wants_agent(self) -> bool: ...
    @property
    def size(self) -> int: ...
    def __init__(
        self,
        parts: Sequence[tuple[int, bytes]],
        on_first: Callable[[], None] | None = None,
        on_full: Callable[[], None] | None = None,
    ) -> None: ...
    def note(
        self,
        *,
        client: bytes | None = None,
        port: int = 0,
        host: bytes | None = None,
        method: bytes | None = None,
        target: bytes | None = None,
        minor: int = 1,
        status: int = 0,
        sent: int = 0,
        seconds: float = 0.0,
        first_byte: float = -1.0,
        worker: str | None = None,
        member: str | None = None,
        route: bytes | None = None,
        sticky: bool | None = None,
        attempts: int = 0,
        failures: list[tuple[str, object]] | None = None,
        reason: object = None,
        referer: bytes | None = None,
        agent: bytes | None = None,
        protocol: bytes | None = None,
        cipher: bytes | None = None,
        request_id: bytes | None = None,
    ) -> None: ...
    def take(self) -> bytes: ...
