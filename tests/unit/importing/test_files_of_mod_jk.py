"""Published workers.properties: named by ajpd.toml or written into it, workers are the same."""

from pathlib import Path

import pytest

from ajpd.config import Config, ConfigErrors, UriMap, load_files, load_toml
from ajpd.importing.importer import Options, import_configuration

DATA = Path(__file__).parents[2] / "interop" / "data"
WORKERS = sorted((DATA / "workers").glob("*.properties"))
MAPS = sorted((DATA / "maps").glob("*.properties"))


def by_themselves(workers: Path) -> Config | None:
    try:
        return load_files(workers)
    except ConfigErrors:
        return None


@pytest.mark.parametrize("in_place", [False, True], ids=["named", "in place"])
@pytest.mark.parametrize("path", WORKERS, ids=lambda path: path.stem)
def test_workers(path: Path, in_place: bool, tmp_path: Path) -> None:
    found = import_configuration([path], Options(in_place=in_place))
    alone = by_themselves(path)
    if alone is None:
        # What is wrong is said, at the line where it is.
        errors = [remark for remark in found.remarks if remark.level.value == "error"]
        assert errors
        assert {remark.place.file for remark in errors} <= {str(path), "ajpd.toml"}
    if in_place and alone is None:
        return
    assert found.is_good is (alone is not None)
    if alone is None:
        return
    (tmp_path / "ajpd.toml").write_text(found.text)
    config = load_toml(tmp_path / "ajpd.toml")
    # In ajpd.toml every worker is listed, members of balancers too.
    assert {name: config.workers[name] for name in alone.workers} == alone.workers
    assert config.balancers == alone.balancers
    assert config.statuses == alone.statuses
    assert [str(rule) for rule in config.rules] == [str(rule) for rule in alone.rules]


@pytest.mark.parametrize("path", MAPS, ids=lambda path: path.stem)
def test_maps(path: Path, tmp_path: Path) -> None:
    """With workers of all names that a map has; without them each rule is named."""
    names = sorted(
        {
            line.partition("=")[2].partition(";")[0].strip()
            for line in path.read_text().splitlines()
            if "=" in line and not line.lstrip().startswith("#")
        }
        - {"*"}
    )
    workers = tmp_path / "workers.properties"
    lines = [f"worker.list={','.join(names)}", *(f"worker.{name}.port=1" for name in names)]
    workers.write_text("\n".join(lines))
    found = import_configuration([path, workers])
    assert found.is_good
    (tmp_path / "ajpd.toml").write_text(found.text)
    rules = load_toml(tmp_path / "ajpd.toml").rules
    assert [str(rule) for rule in rules] == [str(rule) for rule in load_files(workers, path).rules]
    found = import_configuration([path, workers], Options(in_place=True))
    (tmp_path / "ajpd.toml").write_text(found.text)
    assert "file = " not in found.text
    ours, theirs = UriMap(load_toml(tmp_path / "ajpd.toml").rules), UriMap(rules)
    assert [str(rule) for rule in ours.rules] == [str(rule) for rule in theirs.rules]
    alone = import_configuration([path])
    assert not alone.is_good
    assert {remark.place.file for remark in alone.remarks} == {"ajpd.toml", str(path)}
