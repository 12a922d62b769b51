from typing import Final, final

__all__ = ["REFUSALS", "ResponseHead"]

REFUSALS: Final[dict[int, str]]

@final
class ResponseHead:
    @property
    def status(self) -> int: ...
    @property
    def reason(self) -> bytes | None: ...
    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]: ...
