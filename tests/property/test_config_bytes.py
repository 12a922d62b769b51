"""Whatever bytes stand in its files, a configuration is loaded, or refused with errors."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ajpd.cli import main
from ajpd.config import Config, ConfigErrors, load_files, load_toml
from ajpd.config.directives import WORKER_SCOPES, in_scope
from ajpd.config.values import Scope

ENV = {"a": "€", "b": "/", "AJP_SECRET": "s"}

#: Bytes that begin like something, so that more than the first line is looked at.
WORKERS = st.sampled_from(
    [
        *(b"worker.", b"list=", b"a", b".", b"=", b"\n", b"\r\n", b" ", b"#", b",", b"$(a)", b"\0"),
        *(
            b"worker.list=a,b,s\n",
            b"worker.a.port=",
            b"worker.b.type=lb\n",
            b"worker.s.type=status\n",
        ),
        *(b"worker.b.balance_workers=a\n", b"worker.a.host=", b"worker.a.secret=file:", b"\xff"),
        *(b"worker.a.reference=worker.t\n", b"worker.a.distance=1\n", b"worker.s.good=", b"9" * 20),
        *(b"worker.a.mount=/ !/x -/y\n", b"worker.a.ping_mode=", b"\xef\xbb\xbf", b"k", b"m", b"-"),
    ]
)
MAPS = st.sampled_from(
    [
        *(
            b"/",
            b"*",
            b"?",
            b"|",
            b"!",
            b"-",
            b"=",
            b"a",
            b"b",
            b";",
            b"\n",
            b"\r\n",
            b"\0",
            b"\xff",
        ),
        *(b"/a=a\n", b"!/b=*\n", b"reply_timeout=", b"active=a", b"fail_on_status=", b"1", b"-1"),
        *(b"session_path=", b"session_cookie=", b"use_server_errors=500", b"stateless=x", b"$(b)"),
    ]
)
TOMLS = st.sampled_from(
    [
        *(b"[server]\n", b"[worker.a]\n", b"[mount]\n", b"[host.'a.b']\n", b"[tls]\n", b"[map]\n"),
        *(
            b"listen=",
            b"['a:1']\n",
            b"'x'\n",
            b"1\n",
            b"-1\n",
            b"1.5\n",
            b"true\n",
            b"1979-05-27\n",
        ),
        *(b"file=", b"certificate=", b"key=", b"port=", b"host=", b"mount=", b"{'/*'='a'}\n", b"["),
        *(
            b"aliases=",
            b"map=",
            b"'/*'='a'\n",
            b"\xff",
            b"\0",
            b'"""',
            b"'\\u0000'\n",
            b'"\\u0000"\n',
        ),
        *(b"[attributes]\n", b"A='header:B'\n", b"reload=", b"'5s'\n", b"[log]\n", b"level="),
        *(b"trusted_proxies=", b"error_pages=", b"user=", b"ciphers=", b"remote_user=", b"secret="),
        *(b"[worker.b]\ntype='lb'\nbalance_workers=['a']\n", b"[table]\n", b"client_ca=", b"\n"),
        *(b"type=", b"balance_workers=", b"['a']\n", b"[[1],{a=2}]\n", b"{a=1}\n", b"route="),
        *(b"fail_on_status=", b"redirect=", b"mount_copy=", b"probe_uri=", b"sticky_session="),
        *(b"[worker.s]\ntype='status'\n", b"good=", b"nan\n", b"inf\n", b"99999999999999999999\n"),
    ]
)


def quoted(text: str) -> str:
    """A basic string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def bytes_of(pieces: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Pieces with something between them, or any bytes at all."""
    return st.lists(pieces | st.binary(max_size=3), max_size=40).map(b"".join) | st.binary()


def loads_or_refuses(load: Callable[[], Config]) -> None:
    refused = None
    try:
        config = load()
    except ConfigErrors as broken:
        refused = broken
    else:
        assert config.workers or config.balancers or config.statuses
    for error in () if refused is None else refused.errors:
        assert "\n" not in error.located
        assert error.file
    assert refused is None or refused.errors


SETTINGS = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@SETTINGS
@given(bytes_of(WORKERS), bytes_of(MAPS))
def test_files_of_mod_jk(tmp_path: Path, workers: bytes, uri_map: bytes) -> None:
    (tmp_path / "w").write_bytes(workers)
    (tmp_path / "m").write_bytes(uri_map)
    loads_or_refuses(lambda: load_files(tmp_path / "w", tmp_path / "m", env=ENV))


@SETTINGS
@given(bytes_of(TOMLS))
@example(b"[tls]\nlisten=['a:1']\ncertificate=['\\u0000', 't']\nkey=['t', \"\\u0000\"]\n")
@example(b'[server]\nerror_pages="\\u0000"\nuser="\\u0000"\n[worker.a]\n')
@example(b'[worker."\\u0000"]\nsecret="file:\\u0000"\nhost="unix:/\\u0000"\n')
def test_ajpd_toml(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "t").write_bytes(text)
    loads_or_refuses(lambda: load_toml(tmp_path / "t", env=ENV))


TEXTS = st.sampled_from(
    ["", "a", "b", "lb", "s", "ajp13", "status", "/*", "5s", "1", "env:a", "*"]
) | (st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
VALUES = st.recursive(
    TEXTS.map(quoted)
    | (st.integers() | st.booleans()).map(lambda value: str(value).lower())
    | st.sampled_from(["1.5", "nan", "-inf", "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda found: f"[{', '.join(found)}]")
        | st.dictionaries(TEXTS.map(quoted), inner, max_size=2).map(
            lambda found: "{" + ", ".join(f"{key} = {value}" for key, value in found.items()) + "}"
        )
    ),
    max_leaves=4,
)
WORKER_KEYS = sorted({name for scope in WORKER_SCOPES for name in in_scope(scope)})
SECTIONS = {
    "[host.'a.b']": Scope.HOST,
    **{scope.value: scope for scope in Scope if scope.value[1:-1] in in_scope(Scope.TOP)},
}


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Any values for keys that there are, in sections that there are."""
    lines = []
    for header in ("[worker.a]", "[worker.lb]", "[worker.s]"):
        keys = draw(st.lists(st.sampled_from(WORKER_KEYS), max_size=4, unique=True))
        lines += [header, *(f"{key} = {draw(VALUES)}" for key in keys)]
        if header == "[worker.lb]" and "type" not in keys and "balance_workers" not in keys:
            lines += ["type = 'lb'", "balance_workers = ['a']"]
        if header == "[worker.s]" and "type" not in keys:
            lines += ["type = 'status'"]
    for header in draw(st.lists(st.sampled_from(sorted(SECTIONS)), max_size=3, unique=True)):
        known = sorted(in_scope(SECTIONS[header]))
        keys = draw(st.lists(st.sampled_from(known), max_size=4, unique=True))
        lines += [header, *(f"{key} = {draw(VALUES)}" for key in keys)]
    for header in ("[mount]", "[attributes]"):
        pairs = draw(st.dictionaries(TEXTS.map(quoted), VALUES, max_size=2))
        lines += [header, *(f"{key} = {value}" for key, value in pairs.items())]
    return "\n".join(lines) + "\n"


@SETTINGS
@given(documents())
def test_any_value_of_any_key(tmp_path: Path, text: str) -> None:
    (tmp_path / "t").write_text(text, "utf-8")
    loads_or_refuses(lambda: load_toml(tmp_path / "t", env=ENV))


@SETTINGS
@given(st.lists(st.tuples(st.sampled_from(["a", "lb", "s"]), st.sampled_from(WORKER_KEYS), TEXTS)))
def test_any_text_of_any_directive(tmp_path: Path, lines: list[tuple[str, str, str]]) -> None:
    text = "worker.list=a,lb,s\nworker.lb.type=lb\nworker.lb.balance_workers=a\n"
    text += "worker.s.type=status\nworker.a.port=1\n"
    text += "".join(f"worker.{name}.{key}={value}\n" for name, key, value in lines)
    (tmp_path / "w").write_text(text, "utf-8")
    loads_or_refuses(lambda: load_files(tmp_path / "w", env=ENV))


@SETTINGS
@given(st.binary(max_size=60), st.sampled_from([b"PRIVATE KEY-----", b"CERTIFICATE-----", b""]))
def test_files_of_tls(tmp_path: Path, content: bytes, mark: bytes) -> None:
    (tmp_path / "p").write_bytes(content + b"-----BEGIN " + mark + content)
    (tmp_path / "k").write_bytes(content + mark)
    (tmp_path / "t").write_text(
        "[tls]\nlisten=['127.0.0.1:1']\ncertificate=['p','p']\nkey=['p','k']\nclient_ca='p'\n"
        "client_verify='optional'\n[worker.a]\n"
    )
    loads_or_refuses(lambda: load_toml(tmp_path / "t", env=ENV))


@settings(SETTINGS, max_examples=50)
@given(bytes_of(WORKERS), bytes_of(TOMLS))
def test_the_command_says_it_in_lines(tmp_path: Path, workers: bytes, text: bytes) -> None:
    (tmp_path / "w").write_bytes(workers)
    (tmp_path / "t").write_bytes(b"[workers]\nfile='w'\n" + text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert main(["check", "--workers", "w"]) in (0, 1)
        assert main(["check", "-c", "t"]) in (0, 1)
