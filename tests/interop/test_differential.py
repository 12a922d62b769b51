"""The same requests through the daemon and through mod_jk: what is seen on both sides is equal.

Every difference is written down in `reviewed.py`, with its reason.
"""

import json
from typing import Any

import pytest

from .apache import Apache
from .cases import REQUESTS, RESPONSES, Case
from .front import Front
from .rawhttp import Broken, Client, Response, build, fetch
from .reviewed import IN_REQUESTS, IN_RESPONSES, unreviewed

#: What there is to say about one request or response: flat, with plain values.
Facts = dict[str, Any]

#: Response headers that are each server's own.
_OWN_HEADERS = ("server", "date", "keep-alive", "connection")


def _name(case: Case) -> str:
    return case.name


def answer(front: Front, case: Case) -> Response | None:
    """Send one request; None when the connection was closed without a whole answer."""
    with Client(front.address, timeout=10) as client:
        client.send(case.request)
        try:
            return client.response(case.method)
        except Broken:
            return None


def seen(front: Front, case: Case) -> Facts:
    """Send one request and ask the application what it saw of it."""
    response = answer(front, case)
    facts: Facts = {"answer": response.status if response else "broken"}
    recalled = fetch(front.address, build("GET", f"/app/recall?id={case.mark}"))
    facts["ran"] = recalled.status == 200
    if facts["ran"]:
        facts.update(_flat(json.loads(recalled.body), front))
    else:
        assert recalled.status == 404, recalled
    return facts


def _flat(dump: dict[str, Any], front: Front) -> Facts:
    facts: Facts = {
        name: "(port of the front)" if value == front.port else value
        for name, value in dump.items()
        if name not in ("headers", "attributes")
    }
    for name, value in dump["attributes"].items():
        facts[f"attribute {name}"] = value
    for name, value in dump["headers"]:
        facts.setdefault(f"header {name.lower()}", []).append(value)
    facts["order of headers"] = [name.lower() for name, _ in dump["headers"]]
    return facts


def _with_common_headers(mine: Facts, other: Facts) -> Facts:
    """Leave each header that both have in its first place: the rest is told by the headers."""
    if "order of headers" not in mine or "order of headers" not in other:
        return mine
    names = dict.fromkeys(mine["order of headers"])
    return {**mine, "order of headers": [name for name in names if f"header {name}" in other]}


@pytest.mark.parametrize("case", REQUESTS, ids=_name)
def test_the_application_sees_the_same(case: Case, front: Front, apache: Apache) -> None:
    ours = seen(front, case)
    theirs = seen(apache.front(front.connector.packet_size), case)
    if not (ours["ran"] and theirs["ran"]):
        ours = {name: ours[name] for name in ("answer", "ran")}
        theirs = {name: theirs[name] for name in ("answer", "ran")}
    ours, theirs = _with_common_headers(ours, theirs), _with_common_headers(theirs, ours)
    reviewed = IN_REQUESTS if front.is_ajpd else ()
    problems = [*unreviewed(case.name, ours, theirs, reviewed)]
    assert problems == []


def told(front: Front, case: Case) -> Facts:
    """Send one request and flatten its response."""
    response = answer(front, case)
    if response is None:
        return {"answer": "broken"}
    facts: Facts = {
        "answer": response.status,
        "version": response.version,
        "reason": response.reason,
        "framing": response.framing,
        "body": response.body,
    }
    for name, value in response.headers:
        if name.lower() not in _OWN_HEADERS:
            plain = value.replace(f":{front.port}/", ":(port of the front)/")
            facts.setdefault(f"header {name.lower()}", []).append(plain)
    return facts


@pytest.mark.parametrize("case", RESPONSES, ids=_name)
def test_the_client_is_told_the_same(case: Case, front: Front, apache: Apache) -> None:
    ours = told(front, case)
    theirs = told(apache.front(front.connector.packet_size), case)
    if "broken" in (ours["answer"], theirs["answer"]):
        ours, theirs = {"answer": ours["answer"]}, {"answer": theirs["answer"]}
    reviewed = IN_RESPONSES if front.is_ajpd else ()
    problems = [*unreviewed(case.name, ours, theirs, reviewed)]
    assert problems == []


@pytest.mark.parametrize("cases", [REQUESTS, RESPONSES], ids=["requests", "responses"])
def test_no_two_cases_have_the_same_name(cases: tuple[Case, ...]) -> None:
    names = [case.name for case in cases]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("cases", "reviewed"),
    [(REQUESTS, IN_REQUESTS), (RESPONSES, IN_RESPONSES)],
    ids=["requests", "responses"],
)
def test_reviewed_cases_exist(cases: tuple[Case, ...], reviewed: tuple[Any, ...]) -> None:
    names = {case.name for case in cases}
    assert not [name for each in reviewed for name in each.cases if name not in names]
