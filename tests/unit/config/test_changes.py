"""What an operator changes while we run, laid over the files."""

from pathlib import Path

import pytest

from ajp.lb import Activation, Method
from ajp.snapshot import FIELDS, Kind
from ajpd.config.changes import changed, check, decode, directive_of, encode, read, settings_of
from ajpd.config.load import load_files
from ajpd.config.model import BalancerConfig, Config
from ajpd.config.values import BadValue

FILE = """\
worker.list=lb
worker.lb.type=lb
worker.lb.balance_workers=n1,n2
worker.lb.method=Busyness
worker.n1.port=8109
worker.n1.activation=disabled
worker.n2.port=8209
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "workers.properties"
    path.write_text(FILE, encoding="utf-8")
    return load_files(str(path), None, ["127.0.0.1:0"])


@pytest.fixture
def lb(config: Config) -> BalancerConfig:
    return config.balancers["lb"]


def test_every_field_has_a_row_and_a_value(lb: BalancerConfig) -> None:
    member = lb.members[0]
    for kind, found in (
        (Kind.BALANCER, settings_of(lb)),
        (Kind.MEMBER, settings_of(member)),
        (Kind.WORKER, settings_of(member.worker)),
    ):
        assert set(found) == FIELDS[kind]
        for name, value in found.items():
            assert directive_of(kind, name).supported, name
            if value is not None:
                assert decode(name, encode(name, value) or 0) in (value, value or 0)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("method", Method.P2C, 5),
        ("lock", "Pessimistic", 1),
        ("activation", Activation.STOPPED, 2),
        ("sticky_session", True, 1),
        ("route", "n1", "n1"),
        ("retries", 3, 3),
    ],
)
def test_both_ways(name: str, value: object, kept: object) -> None:
    assert encode(name, value) == kept  # type: ignore[arg-type]
    back = decode(name, kept)  # type: ignore[arg-type]
    assert (back, type(back)) == (value, type(value))


def test_nothing_stays_nothing() -> None:
    assert encode("recovery_options", None) is None


def test_a_number_of_a_newer_version_means_nothing(lb: BalancerConfig) -> None:
    assert decode("method", 99) is None
    assert changed(lb, {"method": 99, "retries": 7}).method is Method.BUSYNESS


def test_changes_lie_over_the_files(lb: BalancerConfig) -> None:
    now = changed(lb, {"method": 0, "sticky_session": 0, "lbfactor": 9})
    assert (now.method, now.sticky_session, now.members) == (Method.REQUEST, False, lb.members)
    member = changed(lb.members[0], {"activation": 0, "route": "x"})
    assert (member.activation, member.route) == (Activation.ACTIVE, "x")
    worker = changed(member.worker, {"host": "::1", "port": 1, "recovery_options": 3})
    assert (worker.host, worker.port, worker.recovery_options) == ("::1", 1, 3)
    assert changed(lb, {}) == lb


@pytest.mark.parametrize(
    ("kind", "name", "text", "value"),
    [
        (Kind.WORKER, "reply_timeout_ms", "5000", 5000),
        (Kind.WORKER, "connection_pool_timeout_ms", "5", 5000),
        (Kind.WORKER, "max_packet_size", "8200", 9216),
        (Kind.WORKER, "host", "[::1]", "::1"),
        (Kind.WORKER, "host", "unix:/run/t.sock", "unix:/run/t.sock"),
        (Kind.MEMBER, "activation", "d", Activation.DISABLED),
        (Kind.MEMBER, "domain", "", ""),
        (Kind.MEMBER, "route", "n.7", "n.7"),
        (Kind.BALANCER, "method", "s", Method.SESSIONS),
        (Kind.BALANCER, "lock", "p", "Pessimistic"),
        (Kind.BALANCER, "sticky_session", "off", False),
        (Kind.BALANCER, "recover_time_ms", "9", 9000),
    ],
)
def test_read_as_in_workers_properties(kind: Kind, name: str, text: str, value: object) -> None:
    assert read(kind, name, text) == value


@pytest.mark.parametrize(
    ("kind", "name", "value", "words"),
    [
        (Kind.WORKER, "port", 0, "at least 1"),
        (Kind.WORKER, "port", 65536, "at most 65535"),
        (Kind.WORKER, "host", "a b", "neither a host name"),
        (Kind.WORKER, "host", "unix:x", "begins with /"),
        (Kind.WORKER, "retries", "many", "a number"),
        (Kind.MEMBER, "lbfactor", 0, "at least 1"),
        (Kind.MEMBER, "route", "", "cannot be empty"),
        (Kind.MEMBER, "route", "a;b", "cannot be in a cookie"),
        (Kind.MEMBER, "domain", "x" * 64, "at most 63 bytes"),
        (Kind.BALANCER, "recover_time_ms", 999, "at least 1000"),
    ],
)
def test_what_cannot_be(kind: Kind, name: str, value: int | str, words: str) -> None:
    with pytest.raises(BadValue, match=words):
        check(kind, name, value)


def test_what_cannot_be_changed_is_no_field() -> None:
    with pytest.raises(KeyError):
        read(Kind.WORKER, "secret", "x")


def test_a_word_that_means_nothing() -> None:
    with pytest.raises(BadValue, match="none of Active, Disabled, Stopped"):
        read(Kind.MEMBER, "activation", "gone")
