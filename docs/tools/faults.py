"""Print the fault matrix as Markdown, out of the values that the tests run."""

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "daemon")]

from tests.faults.catalogue import FAULTS  # noqa: E402
from tests.faults.cells import (  # noqa: E402
    SELECTIONS,
    Fault,
    Got,
    Outcome,
    Request,
    expected,
)

#: What selections that are more than examples of any request have in common.
NARROW = {
    "bodiless": "without a body",
    "20 kB": "with a body of 20 kB",
    "4 MB": "with a body of 4 MB",
}
HEADER = "| what the container does | requests | client gets | reason | executed | how long |"


def lines() -> Iterator[str]:
    """A heading and a table for each section."""
    ordered = sorted(FAULTS, key=lambda fault: sections().index(fault.section))
    for section, faults in groupby(ordered, key=lambda fault: fault.section):
        yield f"## {section}\n"
        yield HEADER
        yield "|---" * (HEADER.count("|") - 1) + "|"
        for fault in faults:
            yield from rows(fault)
        yield ""


def sections() -> list[str]:
    """In the order in which they first occur."""
    return list(dict.fromkeys(fault.section for fault in FAULTS))


def rows(fault: Fault) -> Iterator[str]:
    """One row for all requests that come to the same, the most of them last."""
    concerned = SELECTIONS[fault.requests if fault.requests in NARROW else "every"]
    # An HTTP/1.0 request differs by its connection, which ends with it.
    concerned = tuple(request for request in concerned if request.minor)
    groups: dict[str, list[Request]] = {}
    for request in concerned:
        groups.setdefault(facts(expected(fault, request)), []).append(request)
    *few, most = sorted(groups.items(), key=lambda entry: len(entry[1]))
    name = fault.name
    for outcome, group in few:
        yield f"| {name} | {names(group, concerned)} | {outcome} |"
        name = ""
    others = "all others" if few else NARROW.get(fault.requests, "all")
    yield f"| {name} | {others} | {most[0]} |"


def names(group: list[Request], concerned: tuple[Request, ...]) -> str:
    """Requests by their method, and by their body where that matters."""
    found: list[str] = []
    for method in dict.fromkeys(request.method for request in group):
        mine = [request for request in group if request.method == method]
        if len(mine) == sum(request.method == method for request in concerned):
            found.append(method)
        else:
            bodies = " or ".join(request.body or "no body" for request in mine)
            found.append(f"{method} with {bodies}")
    return ", ".join(found)


def facts(outcome: Outcome) -> str:
    """The columns that say what a request comes to."""
    executed = ("never", "once", "twice")[outcome.executions]
    return " | ".join((got(outcome), reason(outcome), executed, how_long(outcome)))


def got(outcome: Outcome) -> str:
    """Status and what is special about the answer."""
    if outcome.got is Got.BROKEN:
        return f"{outcome.status}, visibly incomplete"
    words = [f"**{outcome.status}**" if outcome.got is Got.PAGE else f"{outcome.status}"]
    words += ["the connection closes"] * (not outcome.lives)
    return ", ".join(words)


def reason(outcome: Outcome) -> str:
    """A link to its explanation."""
    return f"[{outcome.reason}](reasons.md#{outcome.reason})" if outcome.reason else ""


def how_long(outcome: Outcome) -> str:
    """Which time passes, and how often."""
    directive, count = outcome.waits
    return ("at once", f"`{directive}`", f"`{directive}`, twice")[count]


if __name__ == "__main__":
    print("\n".join(lines()))
