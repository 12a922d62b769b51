"""The alert rules: correct, about metrics that there are, and firing when they should."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ajpd.metrics.families import FAMILIES
from tests.unit.metrics.promtool import ROOT, promtool

RULES = ROOT / "daemon" / "etc" / "alerts.yml"
GUIDE = ROOT / "docs" / "howto" / "watch-it.md"
ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text())


class Case(NamedTuple):
    """One alert, and series of samples 15 seconds apart.

    Attributes:
        series: by name and labels.
        quiet: when it does not fire.
        fires: when it does; empty: never.
        severity: of it.
        labels: of it, besides job and instance.
    """

    alert: str
    series: dict[str, str]
    quiet: str
    fires: str
    severity: str = "warning"
    labels: dict[str, str] = {}  # noqa: RUF012 - nobody changes it


def state(metric: str, states: dict[str, str], labels: str) -> dict[str, str]:
    return {f'{metric}{{{labels},{metric}="{each}"}}': v for each, v in states.items()}


LB = 'balancer="lb",member="m"'
M = {"balancer": "lb", "member": "m"}
W = 'worker="w"'
FROZEN = "ajpd_worker_probe_state"
BUCKETS = {
    f'ajpd_worker_request_duration_seconds_bucket{{{W},le="{le}"}}': values
    for le, values in {
        "8.388608": "0+100x80 8000+90x120",
        "16.777216": "0+100x80 8000+100x120",
        "+Inf": "0+100x80 8000+100x120",
    }.items()
}

CASES = [
    Case("AjpdDown", {"up{}": "1x20 0x60"}, "5m45s", "6m15s", "critical"),
    Case("AjpdReloadRefused", {"ajpd_last_reload_successful{}": "1x20 0x60"}, "6m", "6m15s"),
    Case("AjpdProcessDied", {"ajpd_process_deaths_total{}": "3x20 4x99"}, "5m", "5m15s"),
    Case("AjpdProcessDied", {"ajpd_process_deaths_total{}": "3x20 4x99"}, "21m", "19m"),
    Case(
        "AjpdProcessesKeepDying",
        {"ajpd_process_deaths_total{}": "0x20 1+1x60"},
        "6m",
        "8m",
        "critical",
    ),
    Case("AjpdProcessesKeepDying", {"ajpd_process_deaths_total{}": "0x20 3x60"}, "8m", ""),
    Case(
        "AjpdProcessStuck",
        {'ajpd_process_heartbeat_age_seconds{pid="7"}': "1x20 15+15x60"},
        "5m45s",
        "6m",
        "critical",
        {"pid": "7"},
    ),
    Case(
        "AjpdFewDescriptorsLeft",
        {
            'ajpd_process_open_fds{pid="7",role="serving"}': "50x20 950x60",
            'ajpd_process_max_fds{pid="7",role="serving"}': "1024x80",
        },
        "6m",
        "6m15s",
        labels={"pid": "7", "role": "serving"},
    ),
    Case(
        "AjpdErrorRatioHigh",
        {
            'ajpd_front_requests_total{class="2xx"}': "0+90x80 7200+90x80",
            'ajpd_front_requests_total{class="5xx"}': "0+4x80 324+10x80",
        },
        "20m",
        "30m",
        "critical",
    ),
    # One error at night is no fire.
    Case(
        "AjpdErrorRatioHigh",
        {
            'ajpd_front_requests_total{class="2xx"}': "0x160",
            'ajpd_front_requests_total{class="5xx"}': "0x80 1x80",
        },
        "22m",
        "",
    ),
    Case(
        "AjpdLatencyHigh",
        {
            **BUCKETS,
            f"ajpd_worker_request_duration_seconds_count{{{W}}}": "0+100x200",
        },
        "25m",
        "35m",
        labels={"worker": "w"},
    ),
    Case(
        "AjpdAllMembersDown",
        {'ajpd_balancer_usable_members{balancer="lb"}': "2x10 1x10 0x60"},
        "5m15s",
        "6m",
        "critical",
        {"balancer": "lb"},
    ),
    Case(
        "AjpdMemberDown",
        state("ajpd_member_state", {"error": "0x10 1x20 0x2 1x40", "probe": "0x31 1x2 0x40"}, LB),
        "3m15s",
        "4m",
        labels=M,
    ),
    Case(
        "AjpdMemberDown",
        state("ajpd_member_state", {"idle": "1x40", "ok": "1x40", "busy": "1x40"}, LB),
        "9m",
        "",
    ),
    Case(
        "AjpdMemberDrainingTooLong",
        {
            **state("ajpd_member_activation", {"disabled": "0x10 1x700", "stopped": "0x710"}, LB),
            f"ajpd_member_recent_sessions{{{LB}}}": "4x710",
            f"ajpd_member_requests_in_flight{{{LB}}}": "0x710",
        },
        "2h",
        "2h10m",
        "info",
        M,
    ),
    Case(
        "AjpdMemberDrainingTooLong",
        {
            **state("ajpd_member_activation", {"stopped": "1x710"}, LB),
            f"ajpd_member_recent_sessions{{{LB}}}": "0x710",
            f"ajpd_member_requests_in_flight{{{LB}}}": "0x710",
        },
        "2h10m",
        "",
    ),
    Case(
        "AjpdContainerFrozen",
        state(FROZEN, {"frozen": "0x10 1x40", "fails": "0x50"}, W),
        "2m30s",
        "3m15s",
        "critical",
        {"worker": "w", FROZEN: "frozen"},
    ),
    Case(
        "AjpdContainerUnreachable",
        state(FROZEN, {"fails": "0x10 1x40", "frozen": "0x50"}, W),
        "3m30s",
        "4m",
        labels={"worker": "w", FROZEN: "fails"},
    ),
    Case(
        "AjpdPoolSaturated",
        {
            f"ajpd_worker_connections{{{W}}}": "250x80",
            f"ajpd_worker_idle_connections{{{W}}}": "100x20 2x60",
            f"ajpd_worker_connection_limit{{{W}}}": "256x80",
        },
        "6m",
        "8m",
        labels={"worker": "w"},
    ),
    Case(
        "AjpdPoolSaturated",
        {
            f"ajpd_worker_requests_in_flight{{{W}}}": "5x20 10x60",
            f"ajpd_worker_busy_limit{{{W}}}": "10x80",
        },
        "6m",
        "8m",
        labels={"worker": "w"},
    ),
    Case(
        "AjpdRequestsWait",
        {f"ajpd_worker_requests_waiting{{{W}}}": "0 5 5 0x17 5x60"},
        "5m",
        "7m",
        labels={"worker": "w"},
    ),
]


def bare(text: str) -> str:
    """Rules without annotations, whose texts would have to be repeated."""
    return re.sub(r"\n {8}annotations:\n(?: {10}.*\n)+", "\n", text)


def place(name: str) -> str:
    """A series as all of them are scraped."""
    own = 'job="ajpd",instance="a"'
    metric, _, labels = name.partition("{")
    return f"{metric}{{{own}{',' if labels != '}' else ''}{labels}"


def unit(case: Case) -> dict[str, Any]:
    labels = {"job": "ajpd", "instance": "a", "severity": case.severity, **case.labels}
    expected = [(case.quiet, [])]
    if case.fires:
        expected.append((case.fires, [{"exp_labels": labels}]))
    return {
        "name": case.alert,
        "interval": "15s",
        "input_series": [
            {"series": place(name), "values": values} for name, values in case.series.items()
        ],
        "alert_rule_test": [
            {"alertname": case.alert, "eval_time": when, "exp_alerts": alerts}
            for when, alerts in expected
        ],
    }


def write(folder: Path, rules: str, tests: list[dict[str, Any]]) -> str:
    """A file of tests; JSON is YAML."""
    (folder / "rules.yml").write_text(rules)
    file = folder / "tests.yml"
    whole = {"rule_files": ["rules.yml"], "evaluation_interval": "15s", "tests": tests}
    file.write_text(json.dumps(whole))
    return str(file)


def test_rules_are_correct() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", str(RULES))


def test_metrics_exist() -> None:
    known = {name for family in FAMILIES for name in family.sample_names}
    known |= {name for family in FAMILIES for name in family.sample_labels}
    expressions = bare(RULES.read_text())
    named = set(re.findall(r"\bajpd_\w+", expressions)) - {"ajpd_"}
    assert len(named) > 15
    assert named - known == set()


def test_the_guide_names_all_alerts_and_no_other() -> None:
    text = GUIDE.read_text()
    assert set(re.findall(r"`(Ajpd\w+)`", text)) == set(ALERTS)


def test_queries_of_the_guide_are_correct(tmp_path: Path) -> None:
    (block,) = re.findall(r"## Queries\n\n```text\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    queries = [line for line in block.splitlines() if line and not line.startswith("#")]
    rules = [{"record": f"query:{n}", "expr": query} for n, query in enumerate(queries)]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "guide", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))
    known = {name for family in FAMILIES for name in family.sample_names}
    assert set(re.findall(r"\bajpd_\w+", block)) <= known


def test_every_alert_has_texts_and_a_severity() -> None:
    text = RULES.read_text()
    assert len(set(ALERTS)) == len(ALERTS)
    for key in ("summary: ", "description: ", "severity: "):
        assert text.count(key) == len(ALERTS)
    assert {*re.findall(r"severity: (\w+)", text)} == {"critical", "warning", "info"}


def test_every_alert_is_tested() -> None:
    assert {case.alert for case in CASES if case.fires} == set(ALERTS)
    assert bare(RULES.read_text()).count("expr:") == len(ALERTS)


def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    tests = [unit(case) for case in CASES]
    promtool("test", "rules", write(tmp_path, bare(RULES.read_text()), tests))


@pytest.mark.parametrize("case", [case for case in CASES if case.fires], ids=lambda c: c.alert)
def test_a_test_can_fail(tmp_path: Path, case: Case) -> None:
    # With both moments exchanged the same test must find fault with the rules.
    wrong = unit(case._replace(quiet=case.fires, fires=case.quiet))
    said = promtool("test", "rules", write(tmp_path, bare(RULES.read_text()), [wrong]), good=False)
    assert case.alert in said


def test_texts_are_filled_in(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.alert == "AjpdProcessStuck")
    test = unit(case)
    test["alert_rule_test"][1]["exp_alerts"][0]["exp_annotations"] = {
        "summary": "Process 7 of ajpd on a does nothing",
        "description": "It has shown no life for 1m 0s, and its clients get no answers.",
    }
    promtool("test", "rules", write(tmp_path, RULES.read_text(), [test]))
