"""`[metrics]` of ajpd.toml."""

from pathlib import Path

import pytest

from ajpd.config import ConfigErrors, ListenAddress, load_toml
from ajpd.config.model import Config, MetricsConfig

REST = '[worker.app]\nhost = "10.0.0.1"\n[mount]\n"/*" = "app"\n'


def load(folder: Path, text: str) -> Config:
    (folder / "ajpd.toml").write_text(text + REST)
    return load_toml(folder / "ajpd.toml", env={})


def told(config: Config) -> list[str]:
    return [str(warning.message) for warning in config.warnings]


def test_nothing_is_the_default(tmp_path: Path) -> None:
    assert load(tmp_path, "").metrics == MetricsConfig()
    config = load(tmp_path, "[metrics]\n")
    assert (config.metrics, config.warnings) == (MetricsConfig(), ())


def test_everything(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        '[metrics]\nlisten = ["0.0.0.0:9113", "unix:/run/m"]\npath = "/m"\nallow = ["private"]\n',
    )
    assert config.warnings == ()
    assert config.metrics == MetricsConfig(
        listen=(ListenAddress(host="0.0.0.0", port=9113), ListenAddress(path="/run/m")),
        path="/m",
        allow=("private",),
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('listen = ["9113"]', "2: listen: '9113' does not end with a port, such as 127.0.0.1:8080"),
        (
            'listen = ["127.0.0.1:8080"]',
            "2: listen: 127.0.0.1:8080 is for clients too; metrics need an address of their own",
        ),
        ('listen = ["a:1", "a:1"]', "2: listen: 'a:1' is there twice"),
        ('path = "metrics"', "2: path: 'metrics' is no path such as /metrics"),
        ('path = "/a?b"', "2: path: '/a?b' is no path such as /metrics"),
        (
            'allow = ["10.0.0.1/8"]',
            "2: allow: '10.0.0.1/8' has bits behind its prefix; the network is 10.0.0.0/8",
        ),
        ("port = 1", "2: unknown key 'port' in [metrics]"),
    ],
)
def test_errors(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path, f"[metrics]\n{text}\n")
    (found,) = caught.value.errors
    assert str(found).endswith(f"ajpd.toml:{error}")


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            'allow = ["private"]',
            "metrics: nobody can fetch them as long as listen names no address",
        ),
        ('listen = ["127.0.0.1:1"]\nallow = []', "allow: nobody may fetch metrics"),
        (
            'listen = ["127.0.0.1:1", "0.0.0.0:9113"]',
            "listen: 0.0.0.0:9113 can be reached from elsewhere, and only this machine may fetch "
            "metrics as long as allow says no more",
        ),
    ],
)
def test_warnings(tmp_path: Path, text: str, warning: str) -> None:
    assert told(load(tmp_path, f"[metrics]\n{text}\n")) == [warning]


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:0", "[::1]:9113", "unix:/run/m", "fd:3", "localhost:9113"]
)
def test_this_machine_is_no_reason_to_warn(tmp_path: Path, listen: str) -> None:
    assert load(tmp_path, f'[metrics]\nlisten = ["{listen}"]\n').warnings == ()
