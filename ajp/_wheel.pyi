from collections.abc import Callable

from typing_extensions import disjoint_base

__all__ = ["Timed", "Wheel"]

@disjoint_base
class Timed:
    @property
    def deadline(self) -> float: ...
    def on_deadline(self, now: float) -> None: ...

@disjoint_base
class Wheel:
    @property
    def tick(self) -> float: ...
    @property
    def armed(self) -> int: ...
    def __init__(
        self,
        now: float,
        *,
        tick: float = 0.1,
        buckets: int = 1024,
        on_first: Callable[[], None] | None = None,
    ) -> None: ...
    def set(self, timed: Timed, deadline: float) -> None: ...
    def advance(self, now: float) -> list[Timed]: ...
