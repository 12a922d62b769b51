from typing import Any

from typing_extensions import disjoint_base

__all__ = ["MemoryStore", "Record", "Store"]

@disjoint_base
class Store:
    offset: int
    def __new__(cls, *args: Any, **kwargs: Any) -> Store: ...
    @property
    def count(self) -> int: ...
    @property
    def maintained(self) -> float: ...
    def claim(self, last: float, now: float) -> bool: ...

@disjoint_base
class MemoryStore(Store):
    def __new__(cls, count: int) -> MemoryStore: ...

@disjoint_base
class Record:
    activation: int
    value: int
    elected: int
    elected_seen: int
    sessions: int
    errors: int
    reply_timeouts: int
    first_error: float
    last_error: float
    latency: float
    def __new__(cls, store: Store, member: int) -> Record: ...
    @property
    def member(self) -> int: ...
    @property
    def state(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    def change_state(self, expected: int, state: int) -> bool: ...
    returned: float
    def note_error(self, now: float) -> None: ...
    def note_reply_timeouts(self, tries: int) -> int: ...
