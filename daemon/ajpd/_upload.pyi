from typing import final

@final
class Upload: ...
