"""Every case against a front in this process: what the container gets, what a client is told."""

import re

import pytest

from .case import Case
from .stage import check, play
from .suite import AREAS, CASES

#: Above this, single bytes take too long and show nothing new.
_LONG = 1500


def _name(case: Case) -> str:
    return case.name[:80]


def _expected_answers(case: Case) -> int:
    return len(case.answers) + (not case.closes)


@pytest.mark.parametrize("case", CASES, ids=_name)
async def test_in_one_piece(case: Case) -> None:
    outcome = await play(
        case,
        [case.stream],
        answers=_expected_answers(case),
        first_method=case.first_method,
    )
    check(case, outcome)


@pytest.mark.parametrize("case", CASES, ids=_name)
async def test_byte_by_byte(case: Case) -> None:
    """Wherever the stream is cut, it means the same."""
    step = 1 if len(case.stream) < _LONG else 997
    pieces = (case.stream[at : at + step] for at in range(0, len(case.stream), step))
    outcome = await play(
        case, pieces, answers=_expected_answers(case), first_method=case.first_method
    )
    check(case, outcome)


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)
    assert len(CASES) == sum(map(len, AREAS.values()))


def test_a_case_says_all_it_has_to() -> None:
    for case in CASES:
        assert case.reason, case
        assert case.source, case
        assert case.begins is None or case.closes, case
        assert case.answers or case.is_cut, case
        assert len(case.answers) >= len(case.reaches), case


#: A head of which no two readers can think differently, and its body.
_CLEAR = re.compile(
    rb"(?:\r\n)?[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^\x00-\x20\x7f#]+ HTTP/1\.[0-9]\r\n"
    rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)+\r\n"
)


def test_the_connection_stays_only_where_the_head_is_clear() -> None:
    for case in CASES:
        if not case.closes:
            found = _CLEAR.match(case.sent)
            assert found, case
            names = re.findall(rb"\r\n([^:\r]+):", found[0].lower())
            assert names.count(b"host") + (b" HTTP/1.0\r" in found[0]) >= 1, case
            assert names.count(b"content-length") + names.count(b"transfer-encoding") < 2, case
