"""What is written about probes, and what cannot be."""

from typing import Literal

import pytest

from ajpd.config.errors import Findings
from ajpd.config.model import ProbeConfig
from ajpd.config.probes import build_probe
from ajpd.config.properties import parse_properties
from ajpd.config.sections import SectionValues, sections_from_properties


def probe(lines: str) -> tuple[ProbeConfig, list[str], list[str]]:
    """Read lines without their `worker.a.`."""
    findings = Findings()
    text = "\n".join(f"worker.a.{line}" for line in ["type=ajp13", *lines.splitlines()])
    properties = parse_properties(text, "f", findings, env={})
    section = sections_from_properties(properties, findings)["a"]
    found = build_probe(SectionValues(section, "ajp13", findings))
    return found, [str(e) for e in findings.errors], [str(w) for w in findings.warnings]


def test_nothing_written() -> None:
    found, errors, warnings = probe("")
    assert found == ProbeConfig(kind="cping")
    assert (errors, warnings) == ([], [])


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ("probe=off", "off"),
        ("probe=cping", "cping"),
        ("probe_uri=/", "request"),
        ("probe=request\nprobe_uri=/", "request"),
    ],
)
def test_kinds(lines: str, kind: Literal["off", "cping", "request"]) -> None:
    found, errors, warnings = probe(lines)
    assert found.kind == kind
    assert (errors, warnings) == ([], [])


@pytest.mark.parametrize(
    ("text", "method", "uri"),
    [
        ("/", "GET", "/"),
        ("/health?deep=1&x=%20", "GET", "/health?deep=1&x=%20"),
        ("GET /health", "GET", "/health"),
        ("HEAD   /health", "HEAD", "/health"),
    ],
)
def test_pages(text: str, method: str, uri: str) -> None:
    found, errors, _ = probe(f"probe_uri={text}")
    assert (found.method, found.uri) == (method, uri)
    assert errors == []


@pytest.mark.parametrize(
    "text", ["health", "POST /", "GET", "GET  ", "/a b", "/ä", "http://a/", "head /"]
)
def test_no_pages(text: str) -> None:
    _, errors, _ = probe(f"probe_uri={text}")
    assert len(errors) == 1
    assert errors[0].startswith("f:2: probe_uri: ")
    assert "is no path, such as /health or HEAD /health?deep=1" in errors[0]


def test_what_was_probably_meant() -> None:
    assert probe("probe_uri=health")[1][0].endswith("(did you mean '/health'?)")
    assert probe("probe_status=300-200\nprobe_uri=/")[1][0].endswith("(did you mean '200-300'?)")


def test_page_too_long() -> None:
    assert probe(f"probe_uri=/{'a' * 4096}")[1] == ["f:2: probe_uri: has more than 4096 bytes"]


def test_statuses() -> None:
    found, errors, _ = probe("probe_uri=/\nprobe_status=200,301-308 404")
    assert found.statuses == ((200, 200), (301, 308), (404, 404))
    assert errors == []
    found, errors, _ = probe("probe_uri=/\nprobe_status=200\nprobe_status=204")
    assert found.statuses == ((200, 200), (204, 204))
    assert errors == []


@pytest.mark.parametrize("text", ["20", "2xx", "200-", "-404", "099", "1000", "200--300"])
def test_no_statuses(text: str) -> None:
    _, errors, _ = probe(f"probe_uri=/\nprobe_status={text}")
    assert errors == [
        f"f:3: probe_status: {text!r} is no status code, and no range such as 200-399"
    ]


def test_request_without_a_page() -> None:
    _, errors, _ = probe("probe=request")
    assert errors == ["f:2: probe: a request needs a page to ask for (did you mean 'probe_uri=/'?)"]


@pytest.mark.parametrize(
    ("kind", "lines", "names"),
    [
        ("off", "probe_interval=500\nfreeze_timeout=0", ["probe_interval", "freeze_timeout"]),
        ("off", "probe_uri=/\nprobe_timeout=500", ["probe_timeout", "probe_uri"]),
        ("cping", "probe_uri=/\nprobe_status=200", ["probe_uri", "probe_status"]),
    ],
)
def test_what_has_no_effect(kind: str, lines: str, names: list[str]) -> None:
    _, errors, warnings = probe(f"probe={kind}\n{lines}")
    assert errors == []
    assert sorted(warning.split(": ", 1)[1] for warning in warnings) == [
        f"{name!r} has no effect with probe={kind}" for name in sorted(names)
    ]


def test_smallest_numbers() -> None:
    found, errors, warnings = probe("probe_interval=1\nprobe_timeout=2\nfreeze_timeout=-3")
    assert (found.interval_ms, found.timeout_ms, found.freeze_timeout_ms) == (100, 100, 0)
    assert errors == []
    assert len(warnings) == 3
