from collections.abc import Iterable
from typing import final

from ajp._column import Column
from ajp._slot import Slot
from ajp.lb._store import Store

__all__ = ["TableStore"]

@final
class TableStore(Store):
    def __new__(
        cls, balancer: Slot, members: Iterable[Slot], column: Column | None = None
    ) -> TableStore: ...
    @property
    def balancer(self) -> Slot: ...
    @property
    def members(self) -> tuple[Slot, ...]: ...
    @property
    def column(self) -> Column | None: ...
