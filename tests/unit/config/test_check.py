"""`ajpd check` on broken configurations: every error, one line each, at its place.

`broken.txt` holds them. `####` begins one, `====` a file of it, and `==== expected` what is printed
as errors, in this order and nothing else.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ajpd.cli import main

DATA = Path(__file__).with_name("broken.txt")


class Case(NamedTuple):
    """One broken configuration."""

    name: str
    files: dict[str, bytes]
    expected: list[str]


def cases() -> Iterator[Case]:
    for text in re.split(r"(?m)^#### ", DATA.read_text())[1:]:
        name, *parts = re.split(r"(?m)^==== ", text)
        files, expected = {}, []
        for part in parts:
            header, _, content = part.partition("\n")
            file, _, encoding = header.partition(" ")
            if file == "expected":
                expected = content.splitlines()
            else:
                files[file] = content.encode(encoding or "utf-8")
        yield Case(name.strip(), files, expected)


CASES = list(cases())


def check(folder: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> int:
    for file, content in files.items():
        (folder / file).write_bytes(content)
    monkeypatch.chdir(folder)
    if "ajpd.toml" in files:
        return main(["check", "-c", "ajpd.toml"])
    args = ["check", "--workers", "workers.properties"]
    if "uriworkermap.properties" in files:
        args += ["--map", "uriworkermap.properties"]
    return main(args)


def test_there_are_enough() -> None:
    assert len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.expected for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_broken(
    case: Case,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check(tmp_path, case.files, monkeypatch) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    *lines, last = printed.err.splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    assert errors == case.expected
    assert last == f"ajpd: {len(errors)} error{'s' if len(errors) != 1 else ''}"
    for line in lines:
        assert line.startswith(("error: ", "warning: "))
