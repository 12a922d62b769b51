"""Numbers of what is counted, and histograms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ajp.errors import Reason
from ajp.snapshot import (
    BUCKETS,
    FIELDS,
    NUMBERS,
    REASON_NUMBERS,
    REASONS,
    TEXTS,
    Histogram,
    Kind,
    Totals,
    bucket_bounds,
    bucket_of,
)
from tests.unit.table_stage import claimed, memory, worker

times = st.one_of(st.integers(0, 1 << 35), st.integers(0, 200), st.integers(0, (1 << 64) - 1))


def histogram(*us: int) -> Histogram:
    counts = [0] * BUCKETS
    for time in us:
        counts[bucket_of(time)] += 1
    return Histogram(tuple(counts))


def test_every_reason_has_a_number_that_stays() -> None:
    assert set(REASONS) == set(Reason)
    assert len(REASONS) < 40
    # The file has these numbers: this list grows at its end and is never sorted.
    assert [REASON_NUMBERS[reason] for reason in REASONS] == list(range(1, len(REASONS) + 1))
    assert (REASONS[0], REASONS[8], REASONS[26]) == (
        Reason.CONNECT_REFUSED,
        Reason.REPLY_TIMEOUT,
        Reason.SHUTDOWN,
    )


def test_every_field_has_a_number_that_stays() -> None:
    assert (NUMBERS[0], NUMBERS[13], NUMBERS[21]) == ("activation", "busy_limit", "lock")
    assert len(NUMBERS) <= 32
    assert len(TEXTS) <= 4
    assert set().union(*FIELDS.values()) == {*NUMBERS, *TEXTS}
    assert FIELDS[Kind.MEMBER] == {
        "activation", "lbfactor", "distance", "route", "domain", "redirect"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("us", "bucket"),
    [(0, 0), (63, 0), (64, 1), (79, 1), (80, 2), (112, 4), (127, 4), (128, 5), (1000, 16)],
)
def test_buckets(us: int, bucket: int) -> None:
    assert bucket_of(us) == bucket


def test_buckets_follow_each_other_to_beyond_an_hour() -> None:
    bounds = [bucket_bounds(bucket) for bucket in range(BUCKETS)]
    assert [end for _, end in bounds[:-1]] == [begin for begin, _ in bounds[1:]]
    assert bounds[0] == (0, 64)
    assert bounds[-1] == (12_884_901_888, None)
    assert bounds[-1][0] > 3600 * 10**6
    assert all(end - begin <= max(begin / 4, 64) for begin, end in bounds[:-1] if end is not None)


@given(us=times)
def test_time_lies_in_its_bucket_and_the_compiled_one_agrees(us: int) -> None:
    begin, end = bucket_bounds(bucket_of(us))
    assert begin <= us
    assert end is None or us < end
    table = memory()
    slot = worker(table)
    claimed(table).finished(slot, duration_us=us, first_byte_us=min(us, (1 << 63) - 1))
    totals = slot.totals()
    assert totals.duration.counts[bucket_of(us)] == totals.duration.total == 1
    assert totals.first_byte.counts[bucket_of(min(us, (1 << 63) - 1))] == 1


@given(us=st.lists(st.integers(64, 1 << 33), min_size=1), part=st.floats(0.01, 1.0))
def test_quantiles_are_off_by_a_quarter_at_most(us: list[int], part: float) -> None:
    found = histogram(*us).quantile_us(part)
    rank = max(-(-len(us) * part // 1), 1)
    exact = sorted(us)[int(rank) - 1]
    assert found is not None
    assert abs(found - exact) <= exact / 4 + 1


def test_quantiles() -> None:
    assert Histogram().p50_us is None
    assert (Histogram().total, histogram(1, 2).total) == (0, 2)
    assert histogram(*[100] * 98, *[10_000] * 2).p50_us == pytest.approx(104, rel=0.1)
    assert histogram(*[100] * 90, *[10_000] * 10).p95_us == pytest.approx(9216, rel=0.01)
    assert histogram(*[100] * 90, *[10_000] * 10).p99_us == pytest.approx(10035, rel=0.01)
    assert histogram(1 << 40).p99_us == 12_884_901_888
    assert histogram(70).quantile_us(0.0) == 64


def test_sums_and_differences() -> None:
    one, two = histogram(1, 100), histogram(100, 5000)
    assert one + two == histogram(1, 100, 100, 5000)
    assert (one + two).since(one) == two
    assert one.since(two) == histogram(1)


def test_totals_since() -> None:
    def totals(used: int, frozen: int, client: int) -> Totals:
        numbers = [used, *[0] * 23, *[0] * 40, *[0] * 224]
        numbers[24 + REASON_NUMBERS[Reason.FROZEN]] = frozen
        numbers[24 + REASON_NUMBERS[Reason.CLIENT_ABORT]] = client
        return Totals.of(numbers)

    since = totals(5, 4, 1).since(totals(2, 1, 1))
    assert (since["used"], since.reasons) == (3, {Reason.FROZEN: 3})
    assert (totals(5, 4, 1).errors, totals(5, 4, 1).client_errors) == (4, 1)
