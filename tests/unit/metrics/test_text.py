"""The two formats: read by somebody else's parsers, and found equal."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from ajpd.metrics.families import FAMILIES, Kind
from ajpd.metrics.samples import Scrape
from ajpd.metrics.text import parts, render, wants_openmetrics
from tests.unit.metrics.promtool import promtool
from tests.unit.metrics.stage import busy, numbers_of, scraped


@pytest.fixture
def scrape(tmp_path: Path) -> Scrape:
    daemon = busy(tmp_path)
    daemon.table.note_reload(done=True)
    return scraped(daemon)


def test_openmetrics_has_types_units_and_help(scrape: Scrape) -> None:
    text = render(scrape, openmetrics=True).decode()
    assert text.endswith("# EOF\n")
    found = {f.name: f for f in openmetrics_parser.text_string_to_metric_families(text)}
    for family in FAMILIES:
        if family.name in found:
            one = found[family.name]
            assert (one.type, one.unit) == (family.kind, family.unit)
            assert one.documentation == family.help
    assert len(found) >= len(FAMILIES) - 2


def test_the_older_format_has_the_same_samples(scrape: Scrape) -> None:
    text = render(scrape, openmetrics=False).decode()
    assert "# EOF" not in text
    assert "# UNIT" not in text
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    assert found == numbers_of(render(scrape, openmetrics=True).decode())
    types = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE"))
    for family in FAMILIES:
        (*_, name) = family.sample_names if family.kind is not Kind.HISTOGRAM else (family.name,)
        old = {Kind.INFO: "gauge", Kind.STATESET: "gauge"}.get(family.kind, family.kind)
        assert types.get(name, old) == old


def test_promtool_finds_nothing_wrong(scrape: Scrape) -> None:
    assert promtool("check", "metrics", feed=render(scrape, openmetrics=False)) == ""


def test_promtool_would_find_something() -> None:
    wrong = b"# HELP ajpd_a A.\n# TYPE ajpd_a counter\najpd_a 1\n"
    assert "_total" in promtool("check", "metrics", feed=wrong, good=False)


def test_parts_are_families(scrape: Scrape) -> None:
    made = [*parts(scrape, openmetrics=True)]
    assert b"".join(made) == render(scrape, openmetrics=True)
    assert all(part.startswith(b"# TYPE ") for part in made[:-1])
    assert all(part.count(b"# TYPE ") == 1 for part in made[:-1])
    assert made[-1] == b"# EOF\n"


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(route=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9))
def test_whatever_is_in_a_name_is_read_back(tmp_path: Path, route: str) -> None:
    (tmp_path / "ajpd.shm").unlink(missing_ok=True)
    daemon = busy(tmp_path)
    daemon.slots["lb/nodeA"].configure(route=route)
    text = render(scraped(daemon), openmetrics=True).decode()
    routes = [
        dict(labels)["route"]
        for name, labels in numbers_of(text)
        if name == "ajpd_member_route_info" and {("balancer", "lb"), ("member", "nodeA")} <= labels
    ]
    assert routes == [route]


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("application/openmetrics-text; version=2.0.0", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=nonsense", False),
        ('APPLICATION/OpenMetrics-Text;Version="0.0.1"', True),
        # Prometheus 2.42.
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
            "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            True,
        ),
        # Prometheus 3.
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
            "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;"
            "escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            True,
        ),
        # curl_exporter and older servers.
        ("application/vnd.google.protobuf;q=0.7,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", False),
        (";;,,", False),
    ],
)
def test_which_format_is_sent(accept: str, openmetrics: bool) -> None:
    assert wants_openmetrics(accept) is openmetrics
