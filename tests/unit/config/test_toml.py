from pathlib import Path

import pytest

from ajpd.config.errors import Findings, Place
from ajpd.config.toml import KeyLocator, TomlFile, Written, read_toml_file
from ajpd.config.values import Scope

SAMPLE = '''\
# a comment with key = "value"
[server]
listen = [
  "127.0.0.1:8080",
  "[::1]:8080",
]
header_timeout = "20s"   # unit

[worker]
[worker."a.b"]
host = "h"
[worker.'c']
"port" = 1
text = """
host = "no"
"""
last = \'\'\'one line\'\'\'
more = 1
[ log ] # tail
level = "info"
[[array]]
x = 1
dotted.key = 1
"esc\\u0061ped" = 1
"broken\\q" = 1
'''


def read(tmp_path: Path, text: str | bytes) -> tuple[TomlFile | None, list[str], list[str]]:
    path = tmp_path / "ajpd.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    findings = Findings()
    document = read_toml_file(path, findings)
    where = f"{tmp_path}/"
    return (
        document,
        [str(error).removeprefix(where) for error in findings.errors],
        [str(warning).removeprefix(where) for warning in findings.warnings],
    )


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("server",), 2),
        (("server", "listen"), 3),
        (("server", "header_timeout"), 7),
        (("worker",), 9),
        (("worker", "a.b"), 10),
        (("worker", "a.b", "host"), 11),
        (("worker", "c", "port"), 13),
        (("worker", "c", "text"), 14),
        (("worker", "c", "last"), 17),
        (("worker", "c", "more"), 18),
        (("log",), 19),
        (("log", "level"), 20),
        (("array", "x"), 22),
        (("array", "dotted", "key"), 23),
        (("array", "dotted"), 23),
        (("array", "escaped"), 24),
        (("server", "listen", "deeper"), 3),
        (("worker", "c", "host"), 12),
        (("none", "at all"), None),
    ],
)
def test_lines_of_keys(path: tuple[str, ...], line: int | None) -> None:
    assert KeyLocator(SAMPLE, "f").place(*path)[:2] == Place("f", line)[:2]


def test_columns() -> None:
    locator = KeyLocator("[ log ]\n level  =  'info'\n[worker.'a'.b]\nx.y=1\n", "f")
    assert locator.place("log") == Place("f", 1, 3)
    assert locator.place("log", "level") == Place("f", 2, 2)
    assert locator.value_place("log", "level") == Place("f", 2, 12)
    assert locator.value_place("worker", "a", "b", "x", "y") == Place("f", 4, 5)
    assert locator.value_place("worker", "a") == Place("f", 3, 2)
    assert locator.value_place("none") == Place("f")


def test_everything(tmp_path: Path) -> None:
    document, errors, warnings = read(
        tmp_path,
        '[server]\nlisten = ["a:1", "b:2"]\nheader_timeout = "500ms"\nkeepalive_timeout = 5\n'
        'max_body_bytes = "10m"\n'
        '[workers]\nfile = "w"\n[map]\nfile = "m"\n[log]\nlevel = "debug"\n'
        '[worker.a]\nhost = "h"\nport = 1\n'
        '[mount]\n"/app|/*" = "a"\n"!/app/x" = "*"\n',
    )
    assert document is not None
    assert not errors
    assert not warnings
    file = str(document.path)
    assert document.values == {
        (Scope.SERVER, "listen"): Written(("a:1", "b:2"), Place(file, 2, 10)),
        (Scope.SERVER, "header_timeout"): Written(500, Place(file, 3, 18)),
        (Scope.SERVER, "keepalive_timeout"): Written(5000, Place(file, 4, 21)),
        (Scope.SERVER, "max_body_bytes"): Written(10 * 1024 * 1024, Place(file, 5, 18)),
        (Scope.WORKERS, "file"): Written("w", Place(file, 7, 8)),
        (Scope.MAP, "file"): Written("m", Place(file, 9, 8)),
        (Scope.LOG, "level"): Written("debug", Place(file, 11, 9)),
    }
    assert list(document.sections) == ["a"]
    section = document.sections["a"]
    assert section.place == Place(file, 12, 2)
    assert {name: entry.place.line for name, entry in section.entries.items()} == {
        "host": 13,
        "port": 14,
    }
    assert [(str(rule), rule.place.line) for rule in document.rules] == [
        ("/app=a", 16),
        ("/app/*=a", 16),
        ("!/app/x=*", 17),
    ]


def test_an_empty_file(tmp_path: Path) -> None:
    document, errors, warnings = read(tmp_path, "")
    assert document is not None
    assert (document.values, document.sections, document.rules) == ({}, {}, [])
    assert not errors
    assert not warnings


def test_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    document, errors, _ = read(tmp_path, b"\xef\xbb\xbf[log]\r\n\r\nlevel = 'info'\r\n")
    assert document is not None
    assert not errors
    assert document.values[Scope.LOG, "level"].place.line == 3


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[server]\nlisten = [", "ajpd.toml:2: not TOML: Invalid value (at end of document)"),
        ("[server]\nlisten = \n", "ajpd.toml:2: not TOML: Invalid value"),
        ("[log]\nlevel = 'info'; file = 'x'\n", "ajpd.toml:2: not TOML: Expected newline"),
        ("[log]\n[log]\n", "ajpd.toml:2: not TOML: Cannot declare"),
        ("[server]\nlisten = " + "9" * 5000, "ajpd.toml:2: not TOML: Exceeds the limit"),
        ("[server]\nlisten = " + "[" * 5000, "ajpd.toml:2: not TOML: maximum recursion depth"),
        (b"[log]\nfile = '\xe4'\n", "ajpd.toml:2: the file is not UTF-8, which TOML must be"),
    ],
)
def test_not_toml(tmp_path: Path, text: str | bytes, error: str) -> None:
    document, errors, _ = read(tmp_path, text)
    assert document is None
    assert len(errors) == 1
    assert errors[0].startswith(error)


def test_no_file(tmp_path: Path) -> None:
    findings = Findings()
    path = tmp_path / "none.toml"
    assert read_toml_file(path, findings) is None
    assert [str(error) for error in findings.errors] == [
        f"{path}: cannot read the file: No such file or directory"
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[sever]\n", "ajpd.toml:1: unknown section 'sever' (did you mean 'server'?)"),
        ("\nlisten = 'a:1'", "ajpd.toml:2: unknown key 'listen' "
         "(did you mean 'listen in [server]'?)"),
        ("nothing = 1", "ajpd.toml:1: unknown key 'nothing'"),
        ("[table]\nfile = 1", "ajpd.toml:2: file: must be text, not a number"),
        ("[log]\n[status]\nlisten='x'", "ajpd.toml:3: unknown key 'listen' in [status]"),
        ("server = 1", "ajpd.toml:1: 'server' must be a section"),
        ("[server]\n\nlisen = 'a:1'", "ajpd.toml:3: unknown key 'lisen' in [server] "
         "(did you mean 'listen'?)"),
        ("[server]\nprocesses = 'many'", "ajpd.toml:2: processes: 'many' is not a number"),
        ("[server]\nprocesses = 0", "ajpd.toml:2: processes: must be at least 1"),
        ("[server]\nprocesses = []", "ajpd.toml:2: processes: must be a number or auto, "
         "not an array"),
        ("[log]\nlevel = 'verbose'", "ajpd.toml:2: level: 'verbose' is none of debug, info, "
         "warning, error"),
        ("[log]\nlevel = 'warn'", "ajpd.toml:2: level: 'warn' is none of debug, info, warning, "
         "error (did you mean 'warning'?)"),
        ("[server]\nheader_timeout = '20'", "ajpd.toml:2: header_timeout: '20' is not a duration "
         'such as "500ms", "20s", "5min" or "1h"'),
        ("[server]\nheader_timeout = -1", "ajpd.toml:2: header_timeout: must be at least 0 s"),
        ("[worker]\na = 1", "ajpd.toml:2: 'a' must be a section [worker.NAME]"),
        ("[worker.a]\nreference = 'worker.t'", "ajpd.toml:2: 'reference' works in "
         "workers.properties only"),
        ("[mount]\n'/a' = 1", "ajpd.toml:2: the rule '/a' must name a worker"),
        ("[mount]\n'/a' = 'w'\n'b' = 'w'", "ajpd.toml:3: the pattern of 'b' must begin with '/' "
         "(did you mean '/b'?)"),
    ],
)  # fmt: skip
def test_wrong_keys_and_values(tmp_path: Path, text: str, error: str) -> None:
    document, errors, _ = read(tmp_path, text)
    assert document is not None
    assert errors == [error]


def test_remarks_become_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ajpd.config import toml
    from ajpd.config.values import Reading

    monkeypatch.setattr(toml, "read_toml", lambda directive, value: Reading(1, "look"))
    assert read(tmp_path, "[log]\nlevel = 1")[1:] == ([], ["ajpd.toml:2: level: look"])
