from collections.abc import Sequence
from typing import final

from ajp._column import Column
from ajp._slot import Slot
from ajp.lb.balancer import Balancer
from ajp.lb.member import Member
from ajp.lb.settings import Settings

from ._service import Target

@final
class Group:
    @property
    def name(self) -> str: ...
    @property
    def balancer(self) -> Balancer: ...
    def __init__(
        self,
        name: str,
        balancer: Balancer,
        targets: Sequence[Target],
        *,
        slot: Slot | None = None,
        slots: Sequence[Slot] = (),
        column: Column | None = None,
    ) -> None: ...
    def change(self, members: Sequence[Member], settings: Settings) -> None: ...
    def retarget(self, targets: Sequence[Target]) -> None: ...

@final
class Placement: ...
