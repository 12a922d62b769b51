"""Print the cases of tests/smuggling as Markdown: what is sent, what happens, here and there."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "daemon")]

from tests.smuggling.case import Case, Reached  # noqa: E402
from tests.smuggling.reviewed import recorded  # noqa: E402
from tests.smuggling.suite import AREAS, CASES  # noqa: E402

#: What Markdown would read as its own.
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|&~$^])")


def escaped(text: str) -> str:
    """Text as it is, in a cell of a table."""
    return SPECIAL.sub(r"\\\1", text)


def reached(each: Reached) -> str:
    """One request that is forwarded."""
    query = b"" if each.query is None else b"?" + each.query
    text = (each.method + b" " + each.uri + query).decode("ascii", "backslashreplace")
    text = text if len(text) < 80 else f"{text[:60]} and so on"
    return f"{text} with {len(each.body)} bytes" if each.body else text


def ours(case: Case) -> str:
    """What happens here."""
    answers = ", ".join(" or ".join(map(str, allowed)) for allowed in case.answers)
    parts = [answers or "no answer", *map(reached, case.reaches)]
    return "; ".join([*parts, "connection ends" if case.closes else "connection stays"])


def theirs(case: Case) -> str:
    """What Apache with mod_jk does, and why we do not."""
    if case.max_packet_size != 8192:
        return "not compared"
    found = recorded(case)
    return "the same" if found is None else f"{found.theirs} ({found.reason})"


def counts() -> Iterator[str]:
    """How many cases there are of which kind."""
    refused = sum(not case.reaches and not case.is_cut for case in CASES)
    ended = sum(case.closes for case in CASES)
    compared = [case for case in CASES if case.max_packet_size == 8192]
    different = sum(recorded(case) is not None for case in compared)
    yield f"There are {len(CASES)} cases. In {refused} of them nothing may reach the container; "
    yield f"in {ended} the connection ends, and what follows on it is executed by nobody. "
    yield f"{len(compared)} also go through Apache with mod_jk, which does something else in "
    yield f"{different}; each of these is reviewed.\n"


def lines() -> Iterator[str]:
    """Counts, then a table for each area."""
    yield from counts()
    for area, cases in AREAS.items():
        yield f"### {area}\n"
        yield "| sent | here | why | Apache with mod_jk |"
        yield "|---|---|---|---|"
        for case in cases:
            why = f"{case.reason} ({case.source})"
            cells = (case.name, ours(case), why, theirs(case))
            yield f"| {' | '.join(map(escaped, cells))} |"
        yield ""


if __name__ == "__main__":
    print("\n".join(lines()))
