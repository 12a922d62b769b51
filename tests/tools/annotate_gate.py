"""Fail when a function marked as hot talks to Python.

A comment ``# hot`` on the line above a function of a .pyx file, or above its decorators,
marks it; then Cython's annotation of every line of it must be white. Prints each line that is not.
"""

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT / "ajp", ROOT / "daemon" / "ajpd")
MARK = "# hot"
SCORED = re.compile(r'<pre class="cython line score-(\d+)"[^>]*>.*?<span class="">(\d+)</span>')
DEFINITION = re.compile(r"\s*(?:cdef|cpdef|def)\b.*?(\w+)\(")


@dataclass(frozen=True)
class Hot:
    """A marked function.

    Attributes:
        name: of the function.
        first: number of its first line.
        last: number of its last line.
    """

    name: str
    first: int
    last: int


def hot_functions(text: str) -> list[Hot]:
    """Every marked function of a source.

    Raises:
        ValueError: a mark with no function under it.
    """
    lines = text.splitlines()
    found = []
    for index, line in enumerate(lines):
        if line.strip() != MARK:
            continue
        first = index + 1
        while first < len(lines) and lines[first].lstrip().startswith("@"):
            first += 1
        definition = DEFINITION.match(lines[first]) if first < len(lines) else None
        if definition is None:
            raise ValueError(f"line {index + 1}: no function under {MARK!r}")
        found.append(Hot(definition[1], first + 1, _last_line(lines, first) + 1))
    return found


def _last_line(lines: list[str], first: int) -> int:
    """Index of the last line of the function that begins at index `first`."""
    indent = len(lines[first]) - len(lines[first].lstrip())
    last = first
    for index in range(first + 1, len(lines)):
        text = lines[index].strip()
        depth = len(lines[index]) - len(lines[index].lstrip())
        # A signature over several lines ends with a bracket as far left as its beginning.
        if text and depth <= indent and not text.startswith(")"):
            break
        if text:
            last = index
    return last


def scores(page: str) -> dict[int, int]:
    """How much Python each line of an annotated source costs; 0 is white."""
    return {int(number): int(score) for score, number in SCORED.findall(page)}


def annotate(source: Path, into: Path, include: list[Path]) -> str:
    """The page that `cython -a` writes for a source."""
    output = into / (source.stem + ".c")
    options = ["-3", "--annotate", "-X", "boundscheck=False,wraparound=False,cdivision=True"]
    folders = [argument for folder in include for argument in ("-I", str(folder))]
    command = [sys.executable, "-m", "cython", *options, *folders, "-o", str(output), str(source)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    return output.with_suffix(".html").read_text()


def complaints(source: Path, include: list[Path]) -> list[str]:
    """What is wrong with the marked functions of one source."""
    text = source.read_text()
    marked = hot_functions(text)
    if not marked:
        return []
    with tempfile.TemporaryDirectory() as folder:
        scored = scores(annotate(source, Path(folder), include))
    lines = text.splitlines()
    return [
        f"{source.name}:{number}: {hot.name} is hot, but this talks to Python: "
        f"{lines[number - 1].strip()}"
        for hot in marked
        for number in range(hot.first, hot.last + 1)
        if scored.get(number, 0) > 0
    ]


def main() -> int:
    """Check every source; the exit code."""
    found = [
        complaint
        for folder in SOURCES
        for source in sorted(folder.rglob("*.pyx"))
        for complaint in complaints(source, [ROOT, ROOT / "daemon"])
    ]
    for complaint in found:
        print(complaint)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
