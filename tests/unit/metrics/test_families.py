"""The names of metrics: their form, their units, and that they say what they are."""

import re

import pytest

from ajp.lb import Activation, State
from ajp.snapshot import BUCKETS, ProbeState, ProcessState, bucket_bounds, bucket_of
from ajpd.metrics.families import BOUNDS, FAMILIES, Family, Kind

# Base units that are in use, and what is none.
UNITS = {"", "seconds", "bytes"}
NO_UNITS = (
    r"_(ms|us|ns|msec|usec|millis|milliseconds|minutes|hours|days|kb|mb|kilobytes|percent)(_|$)"
)
#: A timestamp is seconds since 1970.
ENDINGS = ("_total", "_bucket", "_count", "_sum", "_info", "_created", "_gcount", "_gsum")

each = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


@each
def test_a_name_is_one(family: Family) -> None:
    assert re.fullmatch(r"ajpd(_[a-z0-9]+)+", family.name)
    assert not family.name.endswith(ENDINGS)
    assert not re.search(NO_UNITS, family.name)
    # Its type is said elsewhere.
    assert not re.search(r"_(gauge|counter|histogram|metric)(_|$)", family.name)


@each
def test_a_unit_is_a_base_unit_and_ends_the_name(family: Family) -> None:
    assert family.unit in UNITS
    said = [unit for unit in UNITS - {""} if family.name.endswith(f"_{unit}")]
    assert said == ([family.unit] if family.unit else [])
    if family.kind in (Kind.INFO, Kind.STATESET):
        assert not family.unit


@each
def test_labels_are_few_and_known(family: Family) -> None:
    known = {"pid", "role", "balancer", "member", "worker", "class", "reason", "result"}
    known |= {"version", "python", "address", "route", "domain"}
    assert set(family.labels) <= known
    assert len(set(family.sample_labels)) == len(family.sample_labels)
    # What is only there to be read belongs to an info metric.
    only_read = {"version", "python", "address", "route", "domain"}
    assert family.kind is Kind.INFO or not only_read & set(family.labels)


@each
def test_help_is_a_sentence(family: Family) -> None:
    assert re.match(r"[A-Z0-9]", family.help)
    assert family.help.endswith(".")
    assert "\n" not in family.help
    assert "  " not in family.help


@each
def test_names_of_samples(family: Family) -> None:
    ending = {
        Kind.COUNTER: ["_total"],
        Kind.GAUGE: [""],
        Kind.STATESET: [""],
        Kind.INFO: ["_info"],
        Kind.HISTOGRAM: ["_bucket", "_count", "_sum"],
    }
    assert list(family.sample_names) == [family.name + end for end in ending[family.kind]]
    more = {Kind.HISTOGRAM: ["le"], Kind.STATESET: [family.name]}.get(family.kind, [])
    assert list(family.sample_labels) == [*family.labels, *more]
    assert bool(family.states) is (family.kind is Kind.STATESET)


def test_no_two_share_a_name() -> None:
    names = [name for family in FAMILIES for name in family.sample_names]
    assert len(set(names)) == len(names)
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_states_are_those_of_the_table() -> None:
    states = {family.name: family.states for family in FAMILIES if family.states}
    assert states == {
        "ajpd_process_state": tuple(state.name.lower() for state in ProcessState),
        "ajpd_member_state": tuple(state.name.lower() for state in State),
        "ajpd_member_activation": tuple(each.name.lower() for each in Activation),
        "ajpd_worker_probe_state": tuple(state.name.lower() for state in ProbeState),
    }


def test_bounds_are_where_buckets_of_the_table_begin() -> None:
    assert [*BOUNDS] == sorted(set(BOUNDS))
    for bound in BOUNDS:
        bucket = bucket_of(bound)
        assert bucket_bounds(bucket)[0] == bound
        assert bucket_bounds(bucket - 1)[1] == bound
        assert bucket < BUCKETS - 1
    assert BOUNDS[0] < 1000
    assert BOUNDS[-1] > 300_000_000
