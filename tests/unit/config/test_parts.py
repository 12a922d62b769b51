"""How what several files say is joined."""

from pathlib import Path

import pytest

from ajpd.config import (
    Config,
    ConfigErrors,
    ListenAddress,
    load_files,
    load_toml,
)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)


def load(folder: Path, text: str) -> Config:
    write(folder, ajpd_toml=text)
    return load_toml(folder / "ajpd.toml", env={})


def errors_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load(folder, text)
    return [str(error).replace(f"{folder}/", "") for error in caught.value.errors]


def warnings_of(config: Config, folder: Path) -> list[str]:
    return [str(warning).replace(f"{folder}/", "") for warning in config.warnings]


def load_workers(folder: Path, workers: str, rules: str = "/*=lb\n") -> Config:
    write(folder, w=workers, m=rules)
    return load_files(folder / "w", folder / "m", env={})


def test_a_worker_in_place_that_the_file_lists(tmp_path: Path) -> None:
    write(tmp_path, w="worker.list=b,a\nworker.a.port=1\n")
    config = load(tmp_path, "[workers]\nfile='w'\n[worker.b]\n[mount]\n'/a'='a'\n'/b'='b'\n")
    assert list(config.workers) == ["b", "a"]
    assert config.warnings == ()


def test_without_a_list_there_is_ajp13(tmp_path: Path) -> None:
    write(tmp_path, w="worker.ajp13.host=h\nworker.ajp13.mount=/*\n")
    config = load_files(tmp_path / "w", env={})
    assert config.workers["ajp13"].host == "h"
    assert config.server.listen == (ListenAddress(host="127.0.0.1", port=8080),)


def test_a_worker_defined_in_both(tmp_path: Path) -> None:
    write(tmp_path, w="worker.list=a\nworker.a.port=1\n")
    assert errors_of(
        tmp_path, "[workers]\nfile = 'w'\n[worker.a]\nport = 2\n[mount]\n'/' = 'a'\n"
    ) == ["ajpd.toml:3: worker 'a' is also defined at w:2"]


def test_without_a_list_there_is_one_worker(tmp_path: Path) -> None:
    config = load_workers(tmp_path, "worker.list=\nworker.a.port=1\n", "/*=ajp13\n")
    assert list(config.workers) == ["ajp13"]
    assert (config.workers["ajp13"].host, config.workers["ajp13"].port) == ("localhost", 8009)
    assert warnings_of(config, tmp_path) == [
        "w: no worker.list: as in mod_jk there is one worker, 'ajp13', a container on localhost "
        "with port 8009",
        "w:1: 'worker.list' has no value and is ignored",
        "w:2: worker 'a' is not in worker.list and not used",
    ]
    config = load_workers(tmp_path, "worker.ajp13.port=1\n", "/*=ajp13\n")
    assert config.workers["ajp13"].port == 1
    assert not config.warnings
    write(tmp_path, x="ps=/\n")
    text = f"[workers]\nfile = '{tmp_path}/x'\n[worker.b]\n[mount]\n'/*' = 'b'\n"
    assert list(load(tmp_path, text).workers) == ["b"]
