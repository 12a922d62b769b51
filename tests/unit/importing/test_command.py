"""The command as users see it."""

import json
import stat
from pathlib import Path

import pytest

from ajpd.cli import main
from ajpd.config.errors import Place
from ajpd.importing.remarks import Remarks, as_text

TEXT = "LoadModule a b\nLoadModule c d\nServerAdmin x\nAlias /a /b\nProxyPass /ok ajp://h/ok\n"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "httpd.conf"
    path.write_text(TEXT)
    return path


def test_text_and_remarks(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(conf)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"# Made by ajpd import from {conf}.\n")
    assert '"/ok|/*" = "h"' in out
    lines = err.splitlines()
    assert lines[0].startswith(f"warning: {conf}:4: Alias: ajpd serves no files")
    assert lines[1] == f"note: {conf}:1-2: LoadModule: ajpd has no modules"
    assert lines[-1] == "ajpd import: written, 0 errors, 1 warning, 3 notes; ajpd check accepts it"


def test_into_a_file(conf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "ajpd.toml"
    assert main(["import", str(conf), "--output", str(output)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["check", "-c", str(output)]) == 0
    before = output.read_text()
    conf.write_text("ProxyPass /new ajp://new/new secret=s\n")
    assert main(["import", str(conf), "--output", str(output)]) == 1
    assert "is there already; --force replaces it" in capsys.readouterr().err
    assert output.read_text() == before
    assert main(["import", str(conf), "-o", str(output), "--force"]) == 0
    assert "/new" in output.read_text()
    # Now there is a secret in it.
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


def test_for_machines(conf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(conf), "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert (found["done"], found["output"]) == (True, None)
    assert found["text"].startswith("# Made by")
    assert found["remarks"][0] == {
        "level": "note",
        "file": str(conf),
        "line": 1,
        "directive": "LoadModule",
        "reason": "ajpd has no modules",
        "advice": "",
    }
    assert main(["import", str(conf), "--json", "-o", str(tmp_path / "x")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["output"] == str(tmp_path / "x")
    assert "text" not in found


def test_when_it_cannot_be_run(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf.write_text("JkMount /a nobody\n")
    assert main(["import", str(conf)]) == 1
    out, err = capsys.readouterr()
    assert '#"/a" = "nobody"' in out
    assert f"error: {conf}:1: JkMount: there is no worker nobody in what was given" in err
    assert err.endswith("ajpd check does not accept it\n")


def test_what_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(tmp_path / "no")]) == 1
    assert f"ajpd import: {tmp_path}/no: No such file or directory" in capsys.readouterr().err
    assert main(["import", "--json", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["done"] is False
    assert "there is no file to read" in err
    (tmp_path / "conf").write_text("a\0b")
    assert main(["import", str(tmp_path / "conf")]) == 1
    assert "this is no text" in capsys.readouterr().err


@pytest.mark.parametrize("args", [[], ["x", "-D", "=y"], ["x", "--nonsense"]])
def test_usage(args: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["import", *args])
    assert caught.value.code == 2


def test_options(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf.write_text("<IfDefine A>\nProxyPass ${B} ajp://h${B}\n</IfDefine>\nListen 80\n")
    args = ["-D", "A", "-D", "B=/b", "--listen", "127.0.0.1:1", "--server-root", "/"]
    assert main(["import", str(conf), *args]) == 0
    out = capsys.readouterr().out
    assert '"/b|/*" = "h"' in out
    assert 'listen = ["127.0.0.1:1"]' in out


def test_an_address_that_cannot_be(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(conf), "--listen", "8080"]) == 1
    assert "error: ajpd.toml:" in capsys.readouterr().err


def test_lines_that_say_the_same() -> None:
    remarks = Remarks()
    remarks.begin("f")
    for line in (3, 1, 2, 7, 1):
        remarks.note(Place("f", line), "A", "b")
    remarks.note(Place("g\n", None), "A", "b")
    for line in (2, 1):
        remarks.warn(Place("f", line), "", "c", "d")
        remarks.error(Place("f", line), "E", "e")
    assert as_text(remarks.all) == [
        "error: f:1: E: e",
        "error: f:2: E: e",
        "warning: f:1-2: c; d",
        "note: f:1-3,7: A: b",
        "note: g\\n: A: b",
    ]
    assert remarks.has_errors
