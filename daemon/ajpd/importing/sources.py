"""Which files there are: what was given, what Include and JkWorkersFile name, and where that is.

Files of Apache are often looked at elsewhere than where Apache runs, as a copy. So a path is tried
as it is, below ServerRoot, and below where the copy seems to begin. Contents are not understood
here, but for the kind of a file.
"""

import os
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path, PureWindowsPath
from typing import Final

from ajpd.config.properties import read_bytes

__all__ = ["Kind", "Source", "Sources", "kind_of", "read_text"]

_MAINS: Final = ("apache2.conf", "httpd.conf", "conf/httpd.conf")
_WORKER_LINE: Final = re.compile(r"\s*worker\.[^\s=]+\s*=")
_MAP_LINE: Final = re.compile(r"\s*-?!?/[^\s=<>]*\s*=\s*[^\s/]")
#: A directory with more files is not one of a configuration.
MAX_FILES: Final = 2000
_WILD: Final = re.compile(r"[*?\[]")


class Kind(StrEnum):
    """What is in a file."""

    APACHE = "apache"
    WORKERS = "workers.properties"
    MAP = "uriworkermap.properties"


Source = tuple[Kind, Path]


def read_text(path: Path) -> str:
    """Read a file as Apache and mod_jk do, bytes that are no UTF-8 as Latin-1.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large to be a configuration, or its path cannot be.
    """
    raw = read_bytes(path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def kind_of(path: Path, text: str) -> Kind:
    """Tell from lines of the file what it is; from its name where no line tells."""
    lines = [line.partition("#")[0] for line in text.removeprefix("\ufeff").split("\n")]
    workers = sum(bool(_WORKER_LINE.match(line)) for line in lines)
    rules = sum(bool(_MAP_LINE.match(line)) for line in lines)
    if workers or rules:
        return Kind.WORKERS if workers >= rules else Kind.MAP
    if ".properties" in path.name:
        return Kind.MAP if "map" in path.name.lower() else Kind.WORKERS
    return Kind.APACHE


class Sources:
    """Finds files.

    Args:
        given: paths of the command line.
        root: where ServerRoot is, or its copy; None when nobody said so.
    """

    def __init__(self, given: Sequence[Path], root: Path | None = None) -> None:
        self._given = given
        self._root = root
        self.declared = ""
        self._guesses: list[Path] = []

    def expand(self) -> Iterator[Source]:
        """The files that were given; of a directory what Apache would begin with.

        Raises:
            OSError: one of them is not there or cannot be read.
            ValueError: one is too large, or has nothing in it that could be meant.
        """
        for path in self._given:
            if not path.is_dir():
                self._guess(path.parent)
                yield kind_of(path, read_text(path)), path
                continue
            mains = [path / name for name in _MAINS if (path / name).is_file()]
            self._guess(path)
            files = mains[:1] or self._files_in(path)
            if not files:
                raise ValueError(f"{path}: there is no file to read in this directory")
            for file in files:
                yield kind_of(file, read_text(file)), file

    def _files_in(self, folder: Path) -> list[Path]:
        """As `Include folder/*.conf` would; all files of a folder that has none of these."""
        files = sorted(file for file in folder.iterdir() if file.is_file())
        named = [file for file in files if file.suffix in (".conf", ".load", ".properties")]
        return named or [file for file in files if not file.name.startswith(".")]

    def _guess(self, folder: Path) -> None:
        """A copy of ServerRoot may begin here or above."""
        folder = folder.absolute()
        for root in (folder, folder.parent):
            if root not in self._guesses:
                self._guesses.append(root)

    @property
    def root(self) -> Path | None:
        """ServerRoot as far as it is known."""
        if self._root is not None:
            return self._root.absolute()
        return Path(self.declared) if self.declared else None

    def find(self, text: str, beside: Path | None = None) -> Path | None:
        """The file that a directive names; None when it is nowhere.

        Args:
            text: its path, as written.
            beside: directory of the file with the directive.
        """
        return next((path for path in self._places(text, beside) if _is_there(path)), None)

    def namesake(self, text: str, beside: Path) -> Path | None:
        """A file of the same name where the files are that were given; None if there is none.

        Windows' paths are understood.
        """
        name = PureWindowsPath(text).name
        folders = [beside, *(path if path.is_dir() else path.parent for path in self._given)]
        found = (folder / name for folder in folders)
        return next((path for path in found if name and _is_there(path) and path.is_file()), None)

    def included(self, text: str, beside: Path | None = None) -> list[Path]:
        """The files that Include names: one, those of a pattern, or all of a directory.

        Raises:
            ValueError: the directory has far too many.
        """
        for place in self._places(text, beside):
            found = self._matching(place) if _WILD.search(text) else [place]
            files = [file for path in found for file in _all_files(path)]
            if files:
                return files
        return []

    def _matching(self, pattern: Path) -> list[Path]:
        parts = pattern.parts
        first = next(at for at, part in enumerate(parts) if _WILD.search(part))
        base = Path(*parts[:first])
        return sorted(base.glob("/".join(parts[first:]))) if _is_there(base) else []

    def _places(self, text: str, beside: Path | None) -> Iterator[Path]:
        path = Path(text)
        roots = [*([self._root.absolute()] if self._root else []), *self._guesses]
        if path.is_absolute():
            inside = self.declared and path.is_relative_to(self.declared)
            if inside and self._root is not None:
                yield self._root.absolute() / path.relative_to(self.declared)
            yield path
            if inside:
                yield from (root / path.relative_to(self.declared) for root in roots)
            return
        known = [self.root] if self.root is not None else []
        yield from (root / path for root in (*known, *roots))
        if beside is not None:
            yield beside.absolute() / path


def _is_there(path: Path) -> bool:
    """Also no where nobody may look, and for what can be no path."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _all_files(path: Path) -> list[Path]:
    """A directory's files, at any depth, as Include takes them."""
    if not _is_there(path) or not path.is_dir():
        return [path] if _is_there(path) and path.is_file() else []
    found: list[Path] = []
    for folder, _, names in os.walk(path):
        found += (file for name in names if (file := Path(folder, name)).is_file())
        if len(found) > MAX_FILES:
            raise ValueError(f"it has more than {MAX_FILES} files, which no configuration has")
    return sorted(found)
