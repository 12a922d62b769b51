from typing import final

@final
class Account: ...
