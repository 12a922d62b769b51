import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs real servers."""
    for item in items:
        if item.path.is_relative_to(HERE) and "servers" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.interop)


@pytest.fixture(autouse=True)
def _no_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client sends is no error of the daemon's own, and nothing goes uncaught."""
    yield
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []
