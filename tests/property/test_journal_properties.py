"""A journal against the table that wrote it: what is replayed is what there was."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ajp._slot import Slot
from ajp.journal import Journal
from ajp.snapshot import FIELDS, TEXTS, Kind
from ajp.table import Table

#: Kind, balancer, name, address.
WHO = (
    (Kind.WORKER, "", "a", "h:1"),
    (Kind.WORKER, "", "a", "h:2"),
    (Kind.MEMBER, "lb", "a", "h:1"),
    (Kind.MEMBER, "lb", "ü\n", "[::1]:8009"),
    (Kind.BALANCER, "", "lb", ""),
)


@st.composite
def changes(draw: st.DrawFn) -> tuple[int, dict[str, int | str | None]]:
    """Of whom, and what."""
    who = draw(st.integers(0, len(WHO) - 1))
    names = st.sampled_from(sorted(FIELDS[WHO[who][0]]))
    numbers = st.none() | st.integers(0, 2) | st.integers(-(1 << 63), (1 << 63) - 1)
    texts = st.none() | st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=15
    )
    found: dict[str, int | str | None] = {}
    for name in draw(st.lists(names, min_size=1, max_size=4, unique=True)):
        if name == "activation":
            found[name] = draw(st.none() | st.integers(0, 2))
        else:
            found[name] = draw(texts if name in TEXTS else numbers)
    return who, found


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def table(path: Path) -> Table:
    made = Table.create(path, slots=8, columns=1)
    for kind, balancer, name, address in WHO:
        Slot.take(made, kind, name, address=address, balancer=balancer)
    return made


def configs(table: Table) -> list[dict[str, int | str]]:
    return [slot.config() for slot in table.slots()]


#: A change with the journal or past it; None: the journal is compacted.
STEPS = st.lists(st.none() | st.tuples(changes(), st.booleans()), max_size=25)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, known=st.integers(0, 30), cut=st.integers(0, 100))
def test_replay_gives_what_there_was(
    steps: list[tuple[tuple[int, dict[str, int | str | None]], bool] | None], known: int, cut: int
) -> None:
    with folder() as at:
        made, journal = table(at / "made"), Journal(at / "journal")
        slots = made.slots()
        # A copy that was taken somewhere on the way, as a file that was not lost but is old.
        old = table(at / "old")
        for step, what in enumerate(steps):
            if step == known:
                Journal(at / "journal").replay(old)
            if what is None:
                journal.compact(made)
                continue
            (who, changed), is_kept = what
            if is_kept:
                journal.configure(slots[who], changed, 1.5e9 + step)
            else:
                slots[who].configure(**changed)
        before = configs(made)
        if cut and (at / "journal").exists():
            with (at / "journal").open("ab") as file:
                file.write(b'{"number": 1'[:cut])
        noted = Journal(at / "journal").replay(made).noted
        assert configs(made) == before
        assert bool(noted) <= any(what and not what[1] for what in steps)
        lost = table(at / "lost")
        Journal(at / "journal").replay(lost)
        assert configs(lost) == before
        if known < len(steps):
            Journal(at / "journal").replay(old)
            assert configs(old) == before
        assert Journal(at / "journal").replay(made) == Journal(at / "journal").replay(lost)
