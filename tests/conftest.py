import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def _table_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Status tables of daemons that are started here go with the run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "RUNTIME_DIRECTORY", str(tmp_path_factory.mktemp("run")))
        yield
