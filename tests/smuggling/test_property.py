"""Behind a refused request nothing is executed, whatever it is and however the bytes are cut."""

import asyncio
import itertools
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from .case import Case, Reached, head, post
from .stage import check, play
from .suite import CASES

#: Each ends the connection with one answer; what is long is left out.
REFUSED = [
    case
    for case in CASES
    if case.closes and len(case.answers) == 1 and not case.reaches and len(case.sent) < 2000
]
STREAMS = [case.stream for case in CASES if len(case.stream) < 2000]
FIRST = (
    (head(), Reached()),
    (
        post(b"Content-Length: 5", body=b"hello"),
        Reached(method=b"POST", body=b"hello"),
    ),
    (head(target=b"/app/x?a=b"), Reached(query=b"a=b")),
)

prefixes = st.lists(st.sampled_from(FIRST), max_size=2)
suffixes = st.lists(st.one_of(st.sampled_from(STREAMS), st.binary(max_size=20)), max_size=3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_nothing_is_executed_behind_a_refused_request() -> None:
    # Without shrinking: what is refused wrongly is waited for, each time again.
    @settings(max_examples=250, deadline=None, phases=(Phase.generate,))
    @given(
        refused=st.sampled_from(REFUSED),
        before=prefixes,
        behind=suffixes,
        cuts=st.lists(st.floats(0, 1), max_size=8),
    )
    def prove(
        refused: Case,
        before: list[tuple[bytes, Reached]],
        behind: list[bytes],
        cuts: list[float],
    ) -> None:
        # The tail decides how some heads are refused; it stays where it is.
        stream = b"".join([*(sent for sent, _ in before), refused.stream, *behind])
        places = sorted({0, len(stream), *(int(cut * len(stream)) for cut in cuts)})
        pieces = [stream[a:b] for a, b in itertools.pairwise(places)]
        case = replace(
            refused,
            answers=(*((200,) for _ in before), *refused.answers),
            reaches=tuple(reached for _, reached in before),
        )
        with asyncio.Runner() as runner:
            outcome = runner.run(play(case, pieces, answers=len(case.answers)))
        check(case, outcome)

    prove()
