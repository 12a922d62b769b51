"""Where a secret is: the text itself, the environment, or a file.

Law: no message of this file says anything about a secret but where it was looked for.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .properties import encode

__all__ = ["MAX_SECRET_LEN", "find_secret"]

#: A longer one is a wrong path rather than a secret; it must fit into every request.
MAX_SECRET_LEN: Final = 4096


def find_secret(text: str, *, encoding: str, base: Path, env: Mapping[str, str]) -> bytes:
    """Follow `env:NAME` and `file:PATH`, or take the text itself.

    Args:
        text: as written.
        encoding: of the file it was written in; the bytes written are the bytes sent.
        base: directory that a relative PATH begins at.
        env: the environment.

    Raises:
        ValueError: there is no secret where the text points to, or it is empty.
    """
    if text.startswith("env:"):
        name = text.removeprefix("env:")
        if not env.get(name):
            raise ValueError(f"the environment variable {name!r} is not set or empty")
        return env[name].encode("utf-8", "surrogateescape")
    if text.startswith("file:"):
        return _read(base / text.removeprefix("file:"))
    if not text:
        raise ValueError("it is empty")
    return _checked(encode(text, encoding), "it")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_LEN + 3)
    except OSError as exc:
        raise ValueError(f"cannot read {str(path)!r}: {exc.strerror}") from exc
    return _checked(content.removesuffix(b"\n").removesuffix(b"\r"), f"the file {str(path)!r}")


def _checked(secret: bytes, what: str) -> bytes:
    if not secret:
        raise ValueError(f"{what} is empty")
    if len(secret) > MAX_SECRET_LEN:
        raise ValueError(f"{what} is longer than {MAX_SECRET_LEN} bytes")
    return secret
