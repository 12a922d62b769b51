"""Tests of the balancer run with every kind of store: `usefixtures("kind_of_store")`."""

import pytest

from tests.unit.lb import stage
from tests.unit.table_stage import table_store


@pytest.fixture(params=["memory", "table"])
def kind_of_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    kind: str = request.param
    monkeypatch.setattr(stage, "make_store", {"memory": None, "table": table_store}[kind])
    return kind
