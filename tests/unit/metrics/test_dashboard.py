"""The Grafana dashboard: a dashboard, correct in PromQL, about metrics that there are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ajpd.metrics.families import FAMILIES, Kind
from tests.unit.metrics.promtool import ROOT, promtool

FILE = ROOT / "daemon" / "etc" / "grafana-dashboard.json"
#: What Grafana fills in.
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h"}
#: Panels of Grafana itself.
TYPES = {"row", "stat", "timeseries", "state-timeline"}
GRID = 24


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    found = json.loads(FILE.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return list(dashboard["panels"])


def expressions(dashboard: dict[str, Any]) -> Iterator[str]:
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            yield target["expr"]
    for note in dashboard["annotations"]["list"]:
        if "expr" in note:
            yield note["expr"]


def test_it_is_a_dashboard_of_a_schema_in_use(dashboard: dict[str, Any]) -> None:
    assert dashboard["schemaVersion"] >= 39
    # Grafana gives the number of its own; with one of ours it would overwrite somebody's.
    assert dashboard["id"] is None
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", dashboard["uid"])
    assert dashboard["title"]
    assert dashboard["time"] == {"from": "now-1h", "to": "now"}


def test_every_panel_is_whole(dashboard: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in panels(dashboard)]
    assert len(set(ids)) == len(ids)
    for panel in panels(dashboard):
        assert panel["type"] in TYPES
        assert panel["title"]
        if panel["type"] == "row":
            continue
        assert panel["description"].endswith(".")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        refs = [target["refId"] for target in panel["targets"]]
        assert refs == [chr(ord("A") + number) for number in range(len(refs))]
        assert all(t["datasource"] == panel["datasource"] for t in panel["targets"])
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_no_panel_covers_another(dashboard: dict[str, Any]) -> None:
    taken: dict[tuple[int, int], int] = {}
    for panel in panels(dashboard):
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= GRID
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["id"]) == panel["id"], panel["title"]


def test_variables_are_declared_and_used(dashboard: dict[str, Any]) -> None:
    declared = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert declared[0] == "datasource"
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    text = "\n".join(expressions(dashboard))
    used = set(re.findall(r"\$(?!__)\{?(\w+)", text))
    assert used == set(declared) - {"datasource"}
    for variable in dashboard["templating"]["list"][1:]:
        assert variable["query"]["query"] == variable["definition"]


def test_metrics_and_labels_exist(dashboard: dict[str, Any]) -> None:
    samples = {name: family for family in FAMILIES for name in family.sample_names}
    queries = [v["definition"] for v in dashboard["templating"]["list"] if "definition" in v]
    named = 0
    for text in (*expressions(dashboard), *queries):
        for name, selector in re.findall(r"(?<![\w({,] )\b(ajpd_\w+)\{([^}]*)\}", text):
            named += 1
            labels = {part.partition("=")[0].rstrip("!~") for part in selector.split(",")}
            assert name in samples, text
            assert labels - {"job", "instance"} <= set(samples[name].sample_labels), text
        for label in re.findall(r"by \(([^)]*)\)", text):
            used = {each.strip() for each in label.split(",")}
            family = samples[re.findall(r"\b(ajpd_\w+)\{", text)[0]]
            assert used - {"instance"} <= set(family.sample_labels), text
        assert set(re.findall(r"\bajpd_\w+", text)) <= {
            *samples,
            *(family.name for family in FAMILIES),
        }
    assert named > 50


def test_states_are_all_there(dashboard: dict[str, Any]) -> None:
    """A state that is missing in a timeline would be a hole in it."""
    for name in ("ajpd_member_state", "ajpd_member_activation", "ajpd_worker_probe_state"):
        (family,) = [family for family in FAMILIES if family.name == name]
        assert family.kind is Kind.STATESET
        (panel,) = [
            panel
            for panel in panels(dashboard)
            if panel["type"] == "state-timeline" and name in panel["targets"][0]["expr"]
        ]
        found = re.findall(rf'{name}="(\w+)"\}} == 1\) \* (\d+)', panel["targets"][0]["expr"])
        (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
        shown = {state["text"]: number for number, state in mapping["options"].items()}
        assert dict(found) == shown
        assert set(shown) == set(family.states)


def test_what_is_asked_for_is_there(dashboard: dict[str, Any]) -> None:
    text = "\n".join(expressions(dashboard))
    for name in (
        "ajpd_front_requests_total",
        "ajpd_front_failures_total",
        "ajpd_member_request_duration_seconds_bucket",
        "ajpd_worker_connection_limit",
        "ajpd_worker_requests_waiting",
        "ajpd_worker_probe_rtt_seconds",
        "ajpd_process_resident_memory_bytes",
    ):
        assert name in text
    for quantile in ("0.5", "0.95", "0.99"):
        assert f"histogram_quantile({quantile}, sum by (balancer, member, le)" in text


def test_expressions_are_correct(dashboard: dict[str, Any], tmp_path: Path) -> None:
    """By a file of rules, one for each: there is no other way to have promtool read PromQL."""
    rules = []
    for number, text in enumerate(expressions(dashboard)):
        for variable, value in VARIABLES.items():
            text = text.replace(variable, value)
        assert "$__" not in text
        rules.append({"record": f"expression:{number}", "expr": text})
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))
