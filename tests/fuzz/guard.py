"""What AddressSanitizer's runtime is asked for: is it there, and may it watch one byte more.

A bytes object ends with a NUL that is no part of its data but of its memory, so a read one byte too
far would go unseen. `SanitizerGuard` poisons that NUL.
"""

import ctypes
from pathlib import Path

#: From the start of a bytes object to its first byte.
DATA_OFFSET = bytes.__basicsize__ - 1


def is_sanitized(path: str) -> bool:
    """Whether a compiled module was built with AddressSanitizer and UndefinedBehaviorSanitizer."""
    found = Path(path).read_bytes()
    return b"__asan_report_load" in found and b"__ubsan_handle" in found


def no_guard(stream: bytes) -> bytes:
    """Stand in for a guard where there is no sanitizer."""
    return stream


class SanitizerGuard:
    """Makes copies of bytes in which even the byte behind the last one may not be read.

    Raises:
        AttributeError: the sanitizer's runtime is not loaded.
    """

    def __init__(self) -> None:
        runtime = ctypes.CDLL(None)
        self._poison = runtime["__asan_poison_memory_region"]
        self._poison.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        self._is_poisoned = runtime["__asan_address_is_poisoned"]
        self._is_poisoned.argtypes = (ctypes.c_void_p,)

    def __call__(self, stream: bytes) -> bytes:
        """Copy; CPython shares objects of one byte and of none, so those stay as they are."""
        if len(stream) < 2:
            return stream
        copy = bytes(bytearray(stream))
        self._poison(id(copy) + DATA_OFFSET + len(copy), 1)
        return copy

    def works(self) -> bool:
        """Whether the byte behind a guarded copy is watched and the last one is not."""
        copy = self(b"0123456789")
        end = id(copy) + DATA_OFFSET + len(copy)
        return bool(self._is_poisoned(end)) and not self._is_poisoned(end - 1)
