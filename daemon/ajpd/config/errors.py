"""What can be wrong with a configuration, and where: errors, warnings and their collector.

Law: an error always says the file and, where there is one, the line. Reading a configuration
never stops at the first error; everything found is reported at once. Nothing in this file reads
anything.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from ajp.errors import AJPError

__all__ = [
    "ConfigError",
    "ConfigErrors",
    "ConfigWarning",
    "Findings",
    "Place",
    "one_line",
    "suggest",
]


_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Place(NamedTuple):
    """Where something was written.

    Attributes:
        file: path as the user gave it, or a word such as ``command line``.
        line: counted from 1, or None when the whole file is meant.
        column: counted from 1, or None when unknown.
    """

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        """Without the column, which helps an editor more than a reader."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    @property
    def full(self) -> str:
        """With the column, as compilers say it."""
        return str(self) if self.column is None else f"{self}:{self.column}"


def one_line(text: str) -> str:
    """One line, whatever stands in the files: names and paths may hold line ends, and worse."""
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


def _sentence(where: str, message: str, hint: str) -> str:
    tail = f" (did you mean {hint!r}?)" if hint else ""
    return one_line(f"{where}: {message}{tail}")


class ConfigError(AJPError):
    """One thing in a configuration that must be corrected before it can be used.

    Attributes:
        message: what is wrong, without place and hint.
        file: path of the file.
        line: line in it, from 1; None when the file as a whole is meant.
        column: column in that line, from 1; None when unknown.
        directive: the key it is about, or an empty string.
        hint: the word that was probably meant, or an empty string.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str,
        line: int | None = None,
        column: int | None = None,
        directive: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.directive = directive
        self.hint = hint

    @property
    def place(self) -> Place:
        """The place as one value."""
        return Place(self.file, self.line, self.column)

    def __str__(self) -> str:
        return _sentence(str(self.place), self.message, self.hint)

    @property
    def located(self) -> str:
        """One line that begins with file, line and column."""
        return _sentence(self.place.full, self.message, self.hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigWarning:
    """Something that works, but probably not as its author thinks. A value, not an exception."""

    message: str
    file: str
    line: int | None = None
    column: int | None = None
    directive: str = ""
    hint: str = ""

    @property
    def place(self) -> Place:
        """The place as one value."""
        return Place(self.file, self.line, self.column)

    def __str__(self) -> str:
        return _sentence(str(self.place), self.message, self.hint)

    @property
    def located(self) -> str:
        """One line that begins with file, line and column."""
        return _sentence(self.place.full, self.message, self.hint)


class ConfigErrors(AJPError):  # noqa: N818 - several of them
    """All errors of one configuration, in the order of files and lines.

    Attributes:
        errors: at least one.
        warnings: what else was found on the way.
    """

    def __init__(
        self, errors: Sequence[ConfigError], warnings: Sequence[ConfigWarning] = ()
    ) -> None:
        super().__init__(f"{len(errors)} errors in the configuration")
        self.errors = tuple(errors)
        self.warnings = tuple(warnings)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


class Findings:
    """Collects errors and warnings while a configuration is read; the same one only once."""

    def __init__(self) -> None:
        self._errors: dict[str, ConfigError] = {}
        self._warnings: dict[str, ConfigWarning] = {}
        self._files: list[str] = []

    def begin(self, file: str) -> None:
        """Note that a file is being read; files are reported in this order."""
        if file not in self._files:
            self._files.append(file)

    def error(self, place: Place, message: str, *, directive: str = "", hint: str = "") -> None:
        """Note an error."""
        error = ConfigError(
            message,
            file=place.file,
            line=place.line,
            column=place.column,
            directive=directive,
            hint=hint,
        )
        self._errors.setdefault(str(error), error)

    def warn(self, place: Place, message: str, *, directive: str = "", hint: str = "") -> None:
        """Note a warning."""
        warning = ConfigWarning(
            message=message,
            file=place.file,
            line=place.line,
            column=place.column,
            directive=directive,
            hint=hint,
        )
        self._warnings.setdefault(str(warning), warning)

    @property
    def count(self) -> int:
        """How many errors there are so far."""
        return len(self._errors)

    @property
    def errors(self) -> tuple[ConfigError, ...]:
        """All errors so far, by file and line."""
        return tuple(_in_order(self._errors.values(), self._files))

    @property
    def warnings(self) -> tuple[ConfigWarning, ...]:
        """All warnings so far, by file and line."""
        return tuple(_in_order(self._warnings.values(), self._files))

    def raise_errors(self) -> None:
        """Do nothing when all is well.

        Raises:
            ConfigErrors: there is at least one error.
        """
        if self._errors:
            raise ConfigErrors(self.errors, self.warnings)


_Found = TypeVar("_Found", ConfigError, ConfigWarning)


def _in_order(found: Iterable[_Found], files: Sequence[str]) -> list[_Found]:
    items = list(found)
    rank = {file: number for number, file in enumerate(files)}
    for item in items:
        rank.setdefault(item.file, len(rank))
    return sorted(items, key=lambda item: (rank[item.file], item.line or 0, item.column or 0))


def suggest(word: str, known: Iterable[str]) -> str:
    """Find the known word that was probably meant.

    Returns:
        the closest known word (case does not count), or an empty string when none is close.
    """
    by_fold = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.7)
    return by_fold[close[0]] if close else ""
