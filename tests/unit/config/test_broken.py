"""Broken configurations as people write them: each gives its error with file and line."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ajpd.config import Config, ConfigErrors, load_files, load_toml

#: (lines of workers.properties, what must be among the errors)
WORKERS = [
    ("worker.lst=a\nworker.a.port=1", "w:1: unknown directive 'worker.lst'"),
    ("worker.list=a\nworker.a.prot=1", "w:2: unknown directive 'prot' of worker 'a'"),
    ("worker.list=a\nworker.a.Port=1", "w:2: unknown directive 'Port' of worker 'a'"),
    ("worker.list=a\nworker.a.port=x9", "w:2: port: 'x9' is not a number"),
    ("worker.list=a\n\n\nworker.a.port=-1", "w:4: port: must be at least 0"),
    ("worker.list=a\nworker.a.port=70000", "w:2: port: must be at most 65535"),
    ("worker.list=a\nworker.a.type=AJP13", "w:2: type: 'AJP13' is none of"),
    ("worker.list=a\nworker.a.type=jni", "w:2: type jni of worker 'a': a Tomcat inside Apache"),
    ("worker.list=a\nworker.a.type=ajp12", "w:2: type ajp12 of worker 'a': no Tomcat since"),
    ("worker.list=a\nworker.a.type=ajp14", "w:2: type ajp14 of worker 'a': no Tomcat speaks"),
    ("worker.list=a\nworker.a.retries=abc", "w:2: retries: 'abc' is not a number"),
    ("worker.list=a\nworker.a.reply_timeout=s60", "w:2: reply_timeout: 's60' is not a number"),
    ("worker.list=a\nworker.a.socket_keepalive=2", "w:2: socket_keepalive: '2' is neither"),
    ("worker.list=a\nworker.a.ping_mode=Q", "w:2: ping_mode: 'Q' in 'Q'"),
    ("worker.list=a\nworker.a.recovery_options=32", "w:2: recovery_options: must be at most"),
    ("worker.list=a,\n worker.list = b\nworker.a.port=1", "w:2: worker 'b' is listed"),
    ("worker.list=nodel\nworker.node1.port=1", "w:1: worker 'nodel' is listed"),
    ("worker.list=a\nworker.a.reference=worker.t", "w:2: no key begins with 'worker.t.'"),
    ("worker.list=a\nworker.a.reference=worker.a", "w:2: the references form a loop"),
    ("worker.list=a\nworker.a.type=lb", "w:2: balancer 'a' has no members"),
    (
        "worker.list=a\nworker.a.type=lb\nworker.a.balance_workers=node1 nodel\n"
        "worker.node1.port=1",
        "w:3: member 'nodel' of balancer 'a' is defined nowhere (did you mean 'node1'?)",
    ),
    (
        "worker.list=a\nworker.a.type=lb\nworker.a.balance_workers=b\nworker.b.type=lb",
        "w:3: member 'b' of balancer 'a' is a balancer itself",
    ),
    (
        "worker.list=a\nworker.a.type=lb\nworker.a.balance_workers=b\nworker.b.type=status",
        "w:3: member 'b' of balancer 'a' is a status worker",
    ),
    (
        "worker.list=a\nworker.a.type=lb\nworker.a.method=perhaps\nworker.a.balance_workers=b\n"
        "worker.b.port=1",
        "w:3: method: 'perhaps' is none of Request, Traffic",
    ),
    ("worker.list=a\nworker.a.mount=app", "w:2: the pattern of 'app' must begin with '/'"),
    ("worker.list=a\nworker.a.secret=env:NONE", "w:2: secret: the environment variable"),
    ("worker.list=a\nworker.a.secret=file:/none", "w:2: secret: cannot read '/none'"),
    ("worker.list=a\nworker.a.<%= x %>=1", "w:2: unknown directive '<%' of worker 'a'"),
    ("worker.list=a\nworker.t.port=p\nworker.a.reference=worker.t", "w:2: port: 'p' is not"),
    ("worker.maintain=x\nworker.list=a\nworker.a.port=1", "w:1: worker.maintain: 'x' is not"),
    ("\ufeffworker.list=a\r\nworker.a.port=x\r\n", "w:2: port: 'x' is not a number"),
    ("$ cat w\nworker.list=a\nworker.b.port=1", "w:2: worker 'a' is listed"),
]

#: (lines of uriworkermap.properties, what must be among the errors)
MAPS = [
    ("/x=ap", "m:1: the rule /x=ap names an unknown worker (did you mean 'app'?)"),
    ("/x=app\n!/x/y=spp", "m:2: the rule !/x/y=spp names an unknown worker"),
    ("/x=spare", "m:1: the rule /x=spare names a worker that is not in worker.list"),
    ("/x=*", "m:1: '*' as worker belongs into exclusions only"),
    ("/x=app;session_cookie=a b", "m:1: session_cookie: 'a b' cannot be the name"),
    ("/x=app;reply_timeout=s1", "m:1: reply_timeout: 's1' is no number"),
]

#: (ajpd.toml, what must be among the errors)
TOMLS = [
    ("[server]\nlisten = ['8080']", "t:2: listen: '8080' does not end with a port"),
    ("[server]\nlisten = 8080", "t:2: listen: must be an array of texts, not a number"),
    ("[server]\nheader_timout = '1s'", "t:2: unknown key 'header_timout' in [server]"),
    ("[server]\nheader_timeout = '5m'", "t:2: header_timeout: '5m' is not a duration"),
    ("[server]\nmax_header_bytes = 10", "t:2: max_header_bytes: must be at least 1024 bytes"),
    ("[workers]\nfile = 'none'", "t:2: cannot read"),
    ("[map]\nfile = 'none'", "t:2: cannot read"),
    ("[worker.a]\nprot = 1", "t:2: unknown directive 'prot' of worker 'a'"),
    ("[worker.a]\nport = '1x'", "t:2: port: '1x' is not a number"),
    ("[worker.a]\nport = 8009.5", "t:2: port: must be a number, not a fraction"),
    ("[worker.a]\nconnect_timeout = '2'", "t:2: connect_timeout: '2' is not a duration"),
    ("[worker.a]\n[mount]\n'/x' = 'b'", "t:3: the rule /x=b names an unknown worker"),
    ("[worker.a]\nmount = 5", "t:2: mount: must be an array of texts"),
    ("[worker]\nlist = ['a']", "t:2: 'list' must be a section"),
    ("[tls]\nlisten = 'a:1'", "t:1: certificate: TLS needs one"),
]


def errors(folder: Path, *, workers: str = "", uri_map: str = "", toml: str = "") -> list[str]:
    for name, text in (("w", workers), ("m", uri_map), ("t", toml)):
        (folder / name).write_bytes(text.encode())
    with pytest.raises(ConfigErrors) as caught:
        load_toml(folder / "t", env={}) if toml else load_files(folder / "w", folder / "m", env={})
    return [str(error).replace(f"{folder}/", "") for error in caught.value.errors]


@pytest.mark.parametrize(("text", "expected"), WORKERS)
def test_workers(tmp_path: Path, text: str, expected: str) -> None:
    found = errors(tmp_path, workers=text)
    assert [error for error in found if error.startswith(expected)], found


@pytest.mark.parametrize(("text", "expected"), MAPS)
def test_maps(tmp_path: Path, text: str, expected: str) -> None:
    workers = "worker.list=app\nworker.app.port=1\nworker.spare.port=2\n"
    found = errors(tmp_path, workers=workers, uri_map=text)
    assert [error for error in found if error.startswith(expected)], found
    assert len(found) == 1


@pytest.mark.parametrize(("text", "expected"), TOMLS)
def test_toml(tmp_path: Path, text: str, expected: str) -> None:
    found = errors(tmp_path, toml=text)
    assert [error for error in found if error.startswith(expected)], found


PIECES = st.sampled_from(
    [
        *("worker.", "list", "a", "b", ".", "=", "\n", " ", "#", ",", "$(", ")", "worker.a.", "/"),
        *("port", "host", "type", "lb", "ajp13", "secret", "reference", "mount", "8009", "\ufeff"),
        *("env:", "file:", "unix:", "!", "-", "|", "*", "?", ";", "reply_timeout=", "1", "k", "\0"),
        *("[", "]", "[server]\n", "[worker.a]\n", "[mount]\n", '"', "'", "listen", "{", "}", "ä"),
    ]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES, max_size=30).map("".join), st.lists(PIECES, max_size=10).map("".join))
def test_rubbish_gives_errors_and_nothing_else(tmp_path: Path, text: str, other: str) -> None:
    (tmp_path / "w").write_text(text)
    (tmp_path / "m").write_text(other)
    (tmp_path / "l").write_bytes(f"ä={text}".encode("latin-1", "replace"))
    (tmp_path / "t").write_text(f"[workers]\nfile='l'\n{text}")
    loads: tuple[Callable[[], Config], ...] = (
        lambda: load_files(tmp_path / "w", tmp_path / "m", env={"a": "€", "b": "/"}),
        lambda: load_toml(tmp_path / "t", env={"a": "€", "b": "/"}),
    )
    for load in loads:
        with contextlib.suppress(ConfigErrors):
            config = load()
            assert config.workers or config.balancers or config.statuses


def test_all_errors_of_all_files_at_once(tmp_path: Path) -> None:
    assert errors(
        tmp_path,
        workers="worker.list=a,b\nworker.a.prot=1\nworker.a.port=x\nworker.a.retries=y\n",
        uri_map="/x=*\n/y=c\n",
    ) == [
        "w:1: worker 'b' is listed, but defined nowhere",
        "w:2: unknown directive 'prot' of worker 'a' (did you mean 'port'?)",
        "w:3: port: 'x' is not a number",
        "w:4: retries: 'y' is not a number",
        "m:1: '*' as worker belongs into exclusions only, not into '/x'",
        "m:2: the rule /y=c names an unknown worker",
    ]
