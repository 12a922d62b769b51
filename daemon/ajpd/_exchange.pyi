from typing import final

from ._inside import Inside

@final
class Exchange(Inside): ...
