"""Every case with real servers: what Tomcat executed is what was decided, and what differs from
Apache with mod_jk is reviewed.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .case import Case, Reached
from .reviewed import DIFFERENCES, recorded
from .servers import Executed, Servers, Told, servers
from .suite import CASES

#: Those that need packets of another size are not for these servers.
_CASES = [case for case in CASES if case.max_packet_size == 8192]


@pytest.fixture(scope="module", name="servers")
def _servers() -> Iterator[Servers]:
    """Tomcat, the daemon and Apache; each is started once."""
    with tempfile.TemporaryDirectory(prefix="ajpd-smuggling-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # Apache's children are other users
        with servers(directory) as made:
            yield made


def _name(case: Case) -> str:
    return case.name[:80]


@pytest.mark.parametrize("case", _CASES, ids=_name)
def test_tomcat_executes_what_was_decided(case: Case, servers: Servers) -> None:
    ours = servers.tell(servers.ajpd, case)
    theirs = servers.tell(servers.apache, case)
    problems = [*_beyond(case, ours)]
    difference = _difference(ours, theirs)
    reviewed = recorded(case)
    if difference and (reviewed is None or reviewed.theirs != difference):
        problems.append(f"with mod_jk: {difference}; with us: {ours.words}")
    if reviewed is not None and not difference and not problems:
        problems.append("reviewed as different from mod_jk, but it is not")
    assert problems == []


def _beyond(case: Case, ours: Told) -> Iterator[str]:
    """Say what the case does not allow. What Tomcat itself refuses is not executed."""
    statuses = list(ours.answers[:-1] if ours.stays else ours.answers)
    if ours.stays is case.closes:
        yield f"the tail: executed {ours.stays}"
    if len(statuses) != len(case.answers):
        yield f"answers {statuses}"
    wanted = [
        each
        for number, each in enumerate(case.reaches)
        if number < len(statuses) and statuses[number] < 400
    ]
    if not case.reaches and any(
        status not in allowed for status, allowed in zip(statuses, case.answers, strict=False)
    ):
        yield f"answers {statuses}"
    if [_wanted(each) for each in wanted] != [_executed(each) for each in ours.own]:
        yield f"executed {[each.words for each in ours.own]}"
    for each in ours.own:
        if not each.facts.endswith(b":127.0.0.1:false"):
            yield f"name, client and TLS: {each.facts!r}"


def _wanted(each: Reached) -> tuple[object, ...]:
    path = each.path.decode("utf-8", "replace").encode()
    return each.method, path, each.uri, each.query, each.body, "whole"


def _executed(each: Executed) -> tuple[object, ...]:
    return each.method, each.context + each.path, each.uri, each.query, each.body, each.end


def _difference(ours: Told, theirs: Told) -> str:
    """What they do in another way; empty when nothing."""
    if ours.words != theirs.words:
        return theirs.words
    ours_fields = frozenset[bytes]().union(*(each.fields for each in ours.own))
    theirs_fields = frozenset[bytes]().union(*(each.fields for each in theirs.own))
    more = sorted(theirs_fields - ours_fields)
    return f"also {b', '.join(more).decode('latin-1')}" if more else ""


def test_a_difference_is_named_once() -> None:
    names = [name for each in DIFFERENCES for name in each.cases]
    assert sorted(names) == sorted(set(names))
