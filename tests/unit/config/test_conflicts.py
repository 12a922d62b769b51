import resource
from pathlib import Path

import pytest

from ajpd.config import load_toml


def warnings(folder: Path, text: str) -> list[str]:
    (folder / "t").write_text(text)
    found = load_toml(folder / "t", env={}).warnings
    return [str(warning).replace(f"{folder}/", "") for warning in found]


PAIR = """\
[worker.lb]
type = "lb"
balance_workers = ["a", "b"]
[mount]
"/*" = "lb"
[worker.a]
host = "10.0.0.1"
{a}
[worker.b]
host = "10.0.0.2"
{b}
"""


def pair(folder: Path, a: str = "", b: str = "") -> list[str]:
    return warnings(folder, PAIR.format(a=a, b=b))


def test_a_pair_that_is_fine(tmp_path: Path) -> None:
    assert pair(tmp_path) == []
    assert pair(tmp_path, "secret = 'x'", "secret = 'y'\nactivation = 'Disabled'") == []


@pytest.mark.parametrize(
    ("a", "b", "warning"),
    [
        (
            "secret = 'geheim'",
            "",
            "t:9: worker 'b' has no secret, and 'a' has one: a connector that expects one answers "
            "every request with 403",
        ),
        (
            "max_packet_size = 16384",
            "",
            "t:1: members of balancer 'lb' have different max_packet_size (a 16384, b 8192): a "
            "request that fits one of them may not fit another",
        ),
        (
            "max_packet_size = 9000",
            "max_packet_size = 9216",
            "t:8: 'max_packet_size' is rounded up from 9000 to 9216, a multiple of 1024",
        ),
        (
            "activation = 'Stopped'",
            "activation = 'Disabled'",
            "t:1: no member of balancer 'lb' is active: new sessions are answered 503",
        ),
        (
            "busy_limit = 10",
            "",
            "t:6: worker 'a' keeps 128 connections, and busy_limit lets 10 requests through",
        ),
    ],
)
def test_one_thing_that_does_not_fit(tmp_path: Path, a: str, b: str, warning: str) -> None:
    assert pair(tmp_path, a, b) == [warning]


def test_two_members_that_are_one(tmp_path: Path) -> None:
    text = PAIR.replace("10.0.0.2", "10.0.0.1")
    assert warnings(tmp_path, text.format(a="", b="")) == [
        "t:9: members 'a' and 'b' of balancer 'lb' are one container, 10.0.0.1:8009"
    ]
    assert warnings(tmp_path, text.format(a="", b="port = 8010")) == []
    assert warnings(tmp_path, text.format(a="port = 0", b="port = 0")) == [
        "t:1: no member of balancer 'lb' is active: new sessions are answered 503"
    ]
    text = PAIR.replace("10.0.0.1", "unix:/run/a").replace("10.0.0.2", "unix:/run/a")
    assert warnings(tmp_path, text.format(a="", b="")) == [
        "t:9: members 'a' and 'b' of balancer 'lb' are one container, unix:/run/a"
    ]


@pytest.mark.parametrize(
    ("listen", "host", "is_loop"),
    [
        ("127.0.0.1:8009", "localhost", True),
        ("0.0.0.0:8009", "127.0.0.1", True),
        ("[::]:8009", "::1", True),
        ("10.0.0.1:8009", "10.0.0.1", True),
        ("10.0.0.1:8009", "localhost", False),
        ("10.0.0.1:8009", "10.0.0.2", False),
        ("0.0.0.0:8080", "localhost", False),
        ("unix:/run/a", "localhost", False),
    ],
)
def test_a_worker_that_is_this_daemon(
    tmp_path: Path, listen: str, host: str, is_loop: bool
) -> None:
    text = f"[server]\nlisten = ['{listen}']\n[worker.w]\nhost = '{host}'\n[mount]\n'/*' = 'w'\n"
    found = warnings(tmp_path, text)
    assert len(found) == is_loop
    if is_loop:
        assert found[0].startswith(f"t:3: worker 'w' is {host}:8009: this daemon itself listens")


def test_pools_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def limit(most: int) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda which: (1, most))

    limit(511)
    assert pair(tmp_path, "connection_pool_size = 257") == [
        "t:6: all workers together may have 513 connections, with connection_pool_size: here a "
        "process may open 511 files, those for clients included"
    ]
    limit(514)
    assert pair(tmp_path, "connection_pool_size = 257") == []
    limit(resource.RLIM_INFINITY)
    assert pair(tmp_path, "connection_pool_size = 257") == []
