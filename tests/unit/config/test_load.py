import os
from pathlib import Path

import pytest

from ajpd.config import (
    Config,
    ConfigErrors,
    ListenAddress,
    LogConfig,
    UriMap,
    load_files,
    load_toml,
)

WORKERS = """\
# two nodes from one template
worker.list=app, admin
worker.template.type=ajp13
worker.template.socket_keepalive=true
worker.template.connection_pool_timeout=600
worker.app.reference=worker.template
worker.app.host=app.example
worker.app.mount=/app/ws
worker.admin.reference=worker.template
worker.admin.host=admin.example
worker.admin.port=8010
"""
MAP = """\
/app/*=app
/admin|/*=admin;reply_timeout=60000
!/app/static/*=*
"""


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


def test_both_files(tmp_path: Path) -> None:
    write(tmp_path, w_properties=WORKERS, m_properties=MAP)
    workers, uri_map = tmp_path / "w.properties", tmp_path / "m.properties"
    config = load_files(workers, uri_map, ["127.0.0.1:9000", "unix:/run/x"], env={})
    assert list(config.workers) == ["app", "admin"]
    assert config.workers["admin"].port == 8010
    assert config.workers["admin"].socket_keepalive
    assert config.workers["app"].connection_pool_timeout_ms == 600_000
    assert config.server.listen == (
        ListenAddress(host="127.0.0.1", port=9000),
        ListenAddress(path="/run/x"),
    )
    assert config.warnings == ()
    assert config.files == (str(workers), str(uri_map))
    matches = {
        path: mount and (mount.worker, mount.reply_timeout_ms)
        for path in (b"/app/x", b"/app/ws", b"/admin", b"/app/static/x", b"/")
        for mount in [UriMap(config.rules).match(path)]
    }
    assert matches == {
        b"/app/x": ("app", None),
        b"/app/ws": ("app", None),
        b"/admin": ("admin", 60_000),
        b"/app/static/x": None,
        b"/": None,
    }


def test_the_smallest_toml(tmp_path: Path) -> None:
    config = load(tmp_path, "[worker.a]\n[mount]\n'/*' = 'a'\n")
    assert config.server.listen == (ListenAddress(host="127.0.0.1", port=8080),)
    assert config.server.header_timeout_ms == 20_000
    assert config.server.keepalive_timeout_ms == 65_000
    assert config.server.body_timeout_ms == 60_000
    assert config.server.send_timeout_ms == 60_000
    assert config.server.shutdown_timeout_ms == 30_000
    assert config.server.max_header_bytes == 65536
    assert config.server.max_body_bytes == 0
    assert config.workers["a"].host == "localhost"
    assert config.log == LogConfig()
    assert config.warnings == ()
    assert config.files == (str(tmp_path / "ajpd.toml"),)


def test_toml_and_both_files(tmp_path: Path) -> None:
    write(tmp_path, w_properties=WORKERS, m_properties=MAP)
    config = load(
        tmp_path,
        "[server]\nlisten = ['[::1]:0']\nheader_timeout = '500ms'\n"
        "[workers]\nfile = 'w.properties'\n[map]\nfile = 'm.properties'\n"
        "[worker.extra]\nhost = 'unix:/run/ajp'\nmount = ['/extra', '/extra/*']\n"
        "[mount]\n'/more/*' = 'extra'\n[log]\nfile = 'log'\nlevel = 'debug'\n",
    )
    assert list(config.workers) == ["app", "admin", "extra"]
    assert config.workers["extra"].unix_path == "/run/ajp"
    assert config.server.listen == (ListenAddress(host="::1", port=0),)
    assert config.server.header_timeout_ms == 500
    assert config.log == LogConfig(level="debug", file=str(tmp_path / "log"))
    assert config.warnings == ()
    assert config.files == tuple(
        str(tmp_path / name) for name in ("ajpd.toml", "w.properties", "m.properties")
    )
    uri_map = UriMap(config.rules)
    for path in (b"/extra", b"/extra/x", b"/more/x"):
        mount = uri_map.match(path)
        assert mount is not None
        assert mount.worker == "extra"


def test_the_environment_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AJPD_TEST_SECRET", "geheim")
    text = "worker.list=a\nworker.a.host=h\nworker.a.mount=/*\nworker.a.secret="
    for value in ("env:AJPD_TEST_SECRET", "$(AJPD_TEST_SECRET)"):
        write(tmp_path, w=text + value)
        config = load_files(tmp_path / "w")
        assert config.workers["a"].secret == b"geheim"
        assert "geheim" not in repr(config)
    write(tmp_path, ajpd_toml="[worker.a]\nsecret='env:AJPD_TEST_SECRET'\n[mount]\n'/'='a'\n")
    assert load_toml(tmp_path / "ajpd.toml").workers["a"].secret == b"geheim"


def test_a_secret_file_is_relative_to_where_it_is_named(tmp_path: Path) -> None:
    write(tmp_path, key="geheim\n")
    config = load(tmp_path, "[worker.a]\nsecret = 'file:key'\n[mount]\n'/'='a'\n")
    assert config.workers["a"].secret == b"geheim"


@pytest.mark.parametrize(
    ("workers", "warnings"),
    [
        (
            "worker.list=a\nworker.list=b,a\nworker.a.mount=/a\nworker.b.mount=/b\n",
            ["w:2: worker 'a' is listed twice"],
        ),
        (
            "worker.list=a\nworker.a.mount=/a\nworker.c.port=1\nworker.c.type=lb\n",
            ["w:3: worker 'c' is not in worker.list and not used"],
        ),
        (
            "worker.list=a,b\nworker.a.mount=/a\nworker.b.port=1\n",
            ["w:3: no rule leads to worker 'b'"],
        ),
        (
            "worker.list=a\nworker.a.mount=!/a -/b\n",
            ["w: no rule maps anything, so every request will be answered 404"],
        ),
        (
            "worker.list=a,b\nworker.a.mount=/a /b\nworker.b.mount=/b /a /b\n",
            [
                "w:3: the rule /b=b never counts: /b=a at w:2 comes first",
                "w:3: the rule /a=b never counts: /a=a at w:2 comes first",
            ],
        ),
    ],
)
def test_warnings(tmp_path: Path, workers: str, warnings: list[str]) -> None:
    write(tmp_path, w=workers)
    assert warnings_of(load_files(tmp_path / "w", env={}), tmp_path) == warnings


def test_nothing_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="command line: there is no worker"):
        load_files(env={})
    assert errors_of(tmp_path, "") == [
        "ajpd.toml: there is no worker, neither in a workers file nor as [worker.NAME]"
    ]


def test_files_that_are_missing_are_all_that_is_told(tmp_path: Path) -> None:
    assert errors_of(
        tmp_path,
        "[workers]\nfile = 'w'\n[map]\nfile = 'm'\n[worker.a]\n[mount]\n'/x' = 'b'\n",
    ) == [
        f"ajpd.toml:2: cannot read '{tmp_path}/w': No such file or directory".replace(
            f"{tmp_path}/", ""
        ),
        "ajpd.toml:4: cannot read 'm': No such file or directory",
    ]
    with pytest.raises(ConfigErrors) as caught:
        load_files(tmp_path / "w", tmp_path / "m", ["x"], env={})
    assert [str(error).replace(f"{tmp_path}/", "") for error in caught.value.errors] == [
        "command line: listen: 'x' does not end with a port, such as 127.0.0.1:8080",
        "w: cannot read the file: No such file or directory",
        "m: cannot read the file: No such file or directory",
    ]


def test_a_toml_that_is_none(tmp_path: Path) -> None:
    assert errors_of(tmp_path, "[server\n") == [
        "ajpd.toml:1: not TOML: Expected ']' at the end of a table declaration"
    ]


@pytest.mark.parametrize(
    ("listen", "error"),
    [
        ("[]", "ajpd.toml:2: listen: there must be an address"),
        ("['a:1', 'a:1']", "ajpd.toml:2: listen: 'a:1' is there twice"),
        (
            "['fd:2']",
            "ajpd.toml:2: listen: 'fd:2': 0 to 2 are the standard streams, sockets begin with fd:3",
        ),
    ],
)
def test_addresses(tmp_path: Path, listen: str, error: str) -> None:
    text = f"[server]\nlisten = {listen}\n[worker.a]\n[mount]\n'/*' = 'a'\n"
    assert errors_of(tmp_path, text) == [error]


def test_any_port_may_be_there_twice(tmp_path: Path) -> None:
    text = "[server]\nlisten = ['a:0', 'a:0']\n[worker.a]\n[mount]\n'/*' = 'a'\n"
    assert len(load(tmp_path, text).server.listen) == 2


# --- processes ------------------------------------------------------------------------------------

REST = "[worker.a]\n[mount]\n'/*' = 'a'\n"


def test_processes_and_who_they_are(tmp_path: Path) -> None:
    server = load(tmp_path, REST).server
    assert server.processes == len(os.sched_getaffinity(0))
    assert (server.user, server.group, server.pid_file) == ("", "", "")
    text = "[server]\nprocesses = 3\nuser = 'root'\ngroup = 'root'\npid_file = 'run/pid'\n" + REST
    server = load(tmp_path, text).server
    assert (server.processes, server.user, server.group) == (3, "root", "root")
    assert server.pid_file == str(tmp_path / "run/pid")


def test_people_that_are_not_there(tmp_path: Path) -> None:
    text = "[server]\nuser = 'nobody-here'\n\ngroup = 'nobody-there'\n" + REST
    assert errors_of(tmp_path, text) == [
        "ajpd.toml:2: user: there is no user 'nobody-here' on this machine",
        "ajpd.toml:4: group: there is no group 'nobody-there' on this machine",
    ]
    assert errors_of(tmp_path, "[server]\ngroup = 'root'\n" + REST) == [
        "ajpd.toml:2: group: it only counts together with user"
    ]


@pytest.mark.parametrize("name", ["access", "file"])
def test_syslog_is_no_file_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "ajpd.toml"
    path.write_text(f'[log]\n{name} = "syslog:local3@loghost"\n{REST}')
    assert getattr(load_toml(path).log, name) == "syslog:local3@loghost"
    path.write_text(f'[log]\n{name} = "syslog:local9"\n{REST}')
    with pytest.raises(ConfigErrors) as broken:
        load_toml(path)
    assert f"2: {name}: there is no facility 'local9'; there are: auth, " in str(broken.value)
