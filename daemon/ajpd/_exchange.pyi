from typing import final

from ._course import Course

@final
class Exchange(Course): ...
