from typing_extensions import disjoint_base

from ajp._endpoint import Attempt

__all__ = ["Course"]

@disjoint_base
class Course(Attempt): ...
