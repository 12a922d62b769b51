"""The command as users see it: exit codes, what goes to which stream, and the end by a signal."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ajpd import arguments
from ajpd.cli import main
from ajpd.config.directives import in_scope, lookup
from ajpd.config.values import Scope

ROOT = Path(__file__).parents[2]
WORKERS = "worker.list=app\nworker.app.type=ajp13\nworker.app.host=127.0.0.1\nworker.app.port=9\n"
MAP = "/app/*=app\n"


def environment() -> dict[str, str]:
    path = os.pathsep.join((str(ROOT), str(ROOT / "daemon")))
    return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "error"}


def ajpd(*args: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "ajpd", *map(str, args)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def said(process: subprocess.Popen[str], words: str) -> None:
    """Read the errors of a process up to the line with these words; it may warn before it."""
    assert process.stderr is not None
    before = []
    for line in process.stderr:
        if words in line:
            return
        before.append(line)
    raise AssertionError(f"{words!r} was not said, but: {before}")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Arguments for a configuration that is fine."""
    (tmp_path / "workers.properties").write_text(WORKERS)
    (tmp_path / "uriworkermap.properties").write_text(MAP)
    return [
        *("--workers", str(tmp_path / "workers.properties")),
        *("--map", str(tmp_path / "uriworkermap.properties")),
    ]


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["check", "-h"]])
def test_help(args: Sequence[str]) -> None:
    done = ajpd(*args)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: ajpd")
    assert done.stderr == ""


def test_version() -> None:
    from ajp import __version__

    done = ajpd("--version")
    assert (done.returncode, done.stdout) == (0, f"ajpd {__version__}\n")


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["frobnicate"],
        ["run"],
        ["check"],
        ["run", "--nonsense"],
        ["check", "--map", "x"],
        ["run", "-c", "x", "--workers", "y"],
        ["check", "-c", "x", "--listen", "127.0.0.1:80"],
        ["run", "-c", "x", "--processes", "2"],
        ["run", "--workers", "x", "--processes", "0"],
        ["run", "--workers", "x", "--processes", "many"],
        ["reload"],
        ["reload", "-c", "x", "--workers", "y"],
    ],
)
def test_usage(args: Sequence[str]) -> None:
    done = ajpd(*args)
    assert done.returncode == 2
    assert "ajpd" in done.stdout + done.stderr


def test_check_of_a_fine_one(files: list[str]) -> None:
    done = ajpd("check", *files)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok: 1 worker, 1 rule\n", "")


def test_check_tells_every_error_with_its_line(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "workers.properties").write_text(
        WORKERS + "worker.app.prot=8009\nworker.app.retries=many\n"
    )
    (tmp_path / "uriworkermap.properties").write_text("/app/*=app\n/b/*=apps\n")
    done = ajpd("check", *files)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    for place, word in (
        ("workers.properties:5", "'port'"),
        ("workers.properties:6", "retries"),
        ("uriworkermap.properties:2", "'app'"),
    ):
        assert [line for line in lines if place in line and word in line], (place, lines)
    assert lines[-1] == "ajpd: 3 errors"


@pytest.mark.parametrize("command", ["run", "check"])
def test_files_that_are_not_there(command: str, tmp_path: Path) -> None:
    for args in (["-c", tmp_path / "no.toml"], ["--workers", tmp_path / "no.properties"]):
        done = ajpd(command, *args)
        assert done.returncode == 1
        assert str(args[1]) in done.stderr
        assert "ajpd: 1 error\n" in done.stderr


@pytest.mark.parametrize("text", ["[server\n", "\xff\xfe", "[server]\nlisten = 5\n", "a = \n"])
def test_a_toml_that_is_broken(text: str, tmp_path: Path) -> None:
    path = tmp_path / "ajpd.toml"
    path.write_bytes(text.encode("latin-1"))
    done = ajpd("check", "-c", path)
    assert done.returncode == 1
    assert f"error: {path}" in done.stderr


def test_run_with_a_broken_configuration(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "workers.properties").write_text(WORKERS + "worker.app.prot=8009\n")
    done = ajpd("run", *files)
    assert done.returncode == 1
    assert "workers.properties:5" in done.stderr


def test_a_bad_listen_address(files: list[str]) -> None:
    done = ajpd("run", *files, "--listen", "8080")
    assert done.returncode == 1
    assert "8080" in done.stderr


def test_the_number_of_processes(files: list[str], tmp_path: Path) -> None:
    path = tmp_path / "http"
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "ajpd", "run", *files),
            *("--listen", f"unix:{path}", "--processes", "3"),
        ],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said(process, f"listens on unix:{path}: 3 processes")
            done = ajpd("reload", *files)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout == f"reloaded: 3 processes on unix:{path}\n"
            process.terminate()
            assert process.wait(timeout=5) == 0
        finally:
            process.kill()
    assert not path.exists()


def test_help_is_out_of_the_table_of_directives() -> None:
    told = " ".join(ajpd("check", "--help").stdout.split())
    for row in in_scope(Scope.TOP).values():
        assert (f"[{row.name}] " in told) == row.supported
    assert " ".join(lookup(Scope.SERVER, "listen").doc.split()) in told
    told = " ".join(ajpd("run", "--help").stdout.split())
    assert " ".join(lookup(Scope.SERVER, "processes").doc.split()) in told


def test_a_user_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "ajpd.toml"
    path.write_text('[server]\nuser = "no one"\n[worker.app]\n[mount]\n"/*" = "app"\n')
    done = ajpd("check", "-c", path)
    assert done.returncode == 1
    assert f"error: {path}:2:8: user: there is no user 'no one' on this machine" in done.stderr


def test_a_port_in_use(files: list[str]) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        done = ajpd("run", *files, "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"another process uses port {port}" in done.stderr
    assert done.stdout == ""


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "ajpd.toml"
    path.write_text(
        f'[log]\nfile = "{tmp_path}/no/such/log"\n[worker.app]\nhost = "a"\n[mount]\n"/*" = "app"\n'
    )
    done = ajpd("run", "-c", path)
    assert done.returncode == 1
    assert "log.file" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run(number: signal.Signals, files: list[str], tmp_path: Path) -> None:
    path = tmp_path / "http"
    with subprocess.Popen(
        [sys.executable, "-m", "ajpd", "run", *files, "--listen", f"unix:{path}"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said(process, f"listens on unix:{path}")
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5)
                client.connect(str(path))
                client.sendall(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 404 ")
            process.send_signal(number)
            out, errors = process.communicate(timeout=5)
        finally:
            process.kill()
    assert process.returncode == 0
    assert out == ""
    assert f"{number.name}: finishing" in errors
    assert "Traceback" not in errors
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("1.5s", 1.5), ("200ms", 0.2), ("5min", 300.0)],
)
def test_times(text: str, seconds: float) -> None:
    assert arguments.seconds(text) == seconds


def test_what_is_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["drain", "nodeA", "--timeout", "soon"])
    assert ended.value.code == 2
    assert "'soon' is no time such as 30s or 5min" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "drain", "activate", "stop", "recover", "reset"])
def test_nobody_runs(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "ajpd.toml"
    members = [] if command == "status" else ["nodeA"]
    assert main([command, *members, "-c", str(config)]) == 1
    assert capsys.readouterr().err == f"ajpd {command}: no ajpd runs with {config}\n"


def test_a_reader_that_has_enough_is_no_accident(files: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "ajpd", "explain", *files, "/app/x"],
        env=environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=20,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
