from typing import final

from ajp._endpoint import Attempt

@final
class Exchange(Attempt): ...
