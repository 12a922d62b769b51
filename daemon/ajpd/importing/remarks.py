"""What is said about lines of Apache's configuration: values, their order and their two forms.

Law: every line that is not carried over, or means something else here, is named with the reason
and with what to do. Nothing in this file reads anything.
"""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ajpd.config.errors import Place, one_line

__all__ = ["Level", "Remark", "Remarks", "as_text"]


class Level(enum.StrEnum):
    """How much there is to do.

    `ERROR`: requests that Apache led to a container are not led there. `WARNING`: something else
    that Apache did is not done, or done in another way. `NOTE`: nothing has to be done.
    """

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One line and what became of it."""

    level: Level
    place: Place
    directive: str
    reason: str
    advice: str = ""

    @property
    def words(self) -> str:
        """Everything but level and place."""
        head = f"{self.directive}: " if self.directive else ""
        tail = f"; {self.advice}" if self.advice else ""
        return f"{head}{self.reason}{tail}"


class Remarks:
    """Collects remarks; the same one only once."""

    def __init__(self) -> None:
        self._found: dict[tuple[Place, str], Remark] = {}
        self._places: set[Place] = set()
        self._files: list[str] = []

    def begin(self, file: str) -> None:
        """Note that a file is being read; files are reported in this order."""
        if file not in self._files:
            self._files.append(file)

    def error(self, place: Place, directive: str, reason: str, advice: str = "") -> None:
        """Say that requests do not get where they got."""
        self._add(Level.ERROR, place, directive, reason, advice)

    def warn(self, place: Place, directive: str, reason: str, advice: str = "") -> None:
        """Say that something is not done, or in another way."""
        self._add(Level.WARNING, place, directive, reason, advice)

    def note(self, place: Place, directive: str, reason: str, advice: str = "") -> None:
        """Say that nothing has to be done."""
        self._add(Level.NOTE, place, directive, reason, advice)

    def add(
        self, level: Level, place: Place, directive: str, reason: str, advice: str = ""
    ) -> None:
        """Say one of the three."""
        self._add(level, place, directive, reason, advice)

    def _add(self, level: Level, place: Place, directive: str, reason: str, advice: str) -> None:
        remark = Remark(level=level, place=place, directive=directive, reason=reason, advice=advice)
        self._found.setdefault((place, remark.words), remark)
        self._places.add(place)

    def has(self, place: Place) -> bool:
        """Something was said about a line."""
        return place in self._places

    @property
    def all(self) -> tuple[Remark, ...]:
        """All of them, by file and line."""
        rank = {file: number for number, file in enumerate(self._files)}
        most = len(rank)
        return tuple(
            sorted(
                self._found.values(),
                key=lambda each: (rank.get(each.place.file, most), each.place.line or 0),
            )
        )

    @property
    def has_errors(self) -> bool:
        """Some requests do not get where they got."""
        return any(remark.level is Level.ERROR for remark in self._found.values())


_ORDER: Final = (Level.ERROR, Level.WARNING, Level.NOTE)


def as_text(remarks: Iterable[Remark]) -> list[str]:
    """Lines for people: errors first; of others that say the same, one line for all of them."""
    lines: list[str] = []
    found = list(remarks)
    for level in _ORDER:
        groups: dict[tuple[str, str, int], list[int]] = {}
        for number, remark in enumerate(each for each in found if each.level is level):
            # Errors are not put together: each is somebody's work.
            alone = number + 1 if level is Level.ERROR else 0
            key = (remark.place.file, remark.words, alone)
            groups.setdefault(key, []).append(remark.place.line or 0)
        for (file, words, _), numbers in groups.items():
            where = f"{file}:{_ranges(numbers)}" if any(numbers) else file
            lines.append(one_line(f"{level}: {where}: {words}"))
    return lines


def _ranges(numbers: Sequence[int]) -> str:
    """`3,5,7-9`."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in found)
