"""The name that the configuration files of a daemon stand for: how it is found by its files alone.

Both its control socket and its status table are called so, whatever is in the files.
"""

import hashlib
import os
from collections.abc import Sequence

__all__ = ["digest_of"]


def digest_of(files: Sequence[str]) -> str:
    """64 hexadecimal digits, the same for every way to write the same paths."""
    whole = "\0".join(os.path.realpath(file) for file in files)
    return hashlib.sha256(whole.encode("utf-8", "surrogateescape")).hexdigest()
