"""Benchmarks time something only when asked: `make bench`, or `--benchmark-enable`."""

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

Measure: TypeAlias = Callable[..., Any]


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Measure:
    """Call a function and return what it returned; time it if benchmarks are enabled.

    Without pytest-benchmark, or without its option, the function is called once.
    """
    if not request.config.getoption("benchmark_enable", default=False):
        return lambda function, *arguments: function(*arguments)
    benchmark: Measure = request.getfixturevalue("benchmark")
    # What ours and theirs do alike stands in one table.
    chosen = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    sizes = [str(value) for name, value in chosen.items() if name != "by"]
    benchmark.group = " ".join(  # type: ignore[attr-defined]
        (request.node.originalname.removeprefix("test_"), *sizes)
    )
    return benchmark
