from collections.abc import Sequence

from typing_extensions import disjoint_base

from ._store import Store
from .choice import Choice

__all__ = ["Election"]

@disjoint_base
class Election:
    def __new__(
        cls,
        store: Store,
        members: Sequence[tuple[bytes, bytes, bytes, int, int, int]],
        method: int,
    ) -> Election: ...
    is_sticky: bool
    is_forced: bool
    sets_cookie: bool
    locks: bool
    slow_start: float
    @property
    def choices(self) -> dict[int, Choice]: ...
    @property
    def store(self) -> Store: ...
    @property
    def count(self) -> int: ...
    @property
    def method(self) -> int: ...
    def find(
        self,
        routes: tuple[bytes, ...],
        tried: int,
        now: float,
        *,
        stateless: bool = False,
        force: bool = False,
        peek: bool = False,
        chance: int = 0,
        activations: bytes | None = None,
    ) -> int: ...
    def score(self, member: int, now: float) -> int: ...
    def begin(self, member: int, makes_session: bool) -> bool: ...
    def end(
        self,
        member: int,
        makes_session: bool,
        now: float,
        *,
        take_back: bool = False,
        traffic: int = 0,
        first_byte_s: float = -1.0,
    ) -> bool: ...
