from collections.abc import Mapping

import pytest

from ajpd.config.errors import Findings, Place
from ajpd.config.model import ProbeConfig, WorkerConfig
from ajpd.config.properties import parse_properties
from ajpd.config.sections import Entry, Section, check_names, sections_from_properties
from ajpd.config.workers import build_worker

ENV = {"AJP_SECRET": "geheim"}


def sections(text: str, findings: Findings) -> dict[str, Section]:
    return sections_from_properties(parse_properties(text, "f", findings, env=ENV), findings)


def build(
    lines: str, *, is_member: bool = False, env: Mapping[str, str] = ENV
) -> tuple[WorkerConfig | None, list[str], list[str]]:
    """Build the worker `a` from lines without their `worker.a.`."""
    findings = Findings()
    text = "\n".join(f"worker.a.{line}" for line in lines.split("\n"))
    section = sections(text, findings)["a"]
    check_names(section, findings)
    worker = build_worker(section, findings, env=env, is_member=is_member)
    return worker, [str(e) for e in findings.errors], [str(w) for w in findings.warnings]


def built(lines: str) -> WorkerConfig:
    worker, errors, _ = build(lines)
    assert worker is not None, errors
    return worker


def test_all_defaults() -> None:
    worker, errors, warnings = build("type=ajp13")
    assert not errors
    assert not warnings
    assert worker == WorkerConfig(
        name="a",
        host="localhost",
        port=8009,
        secret=None,
        max_packet_size=8192,
        connection_pool_size=256,
        connection_pool_minsize=128,
        connection_pool_timeout_ms=0,
        connection_acquire_timeout_ms=5000,
        socket_connect_timeout_ms=2000,
        socket_keepalive=False,
        prefer_ipv6=False,
        connect_timeout_ms=2000,
        prepost_timeout_ms=2000,
        ping_timeout_ms=10_000,
        ping_mode="",
        reply_timeout_ms=0,
        retries=2,
        socket_timeout_ms=0,
        socket_buffer=0,
        source="",
        busy_limit=0,
        connection_ping_interval_ms=0,
        retry_interval_ms=100,
        recovery_options=None,
        fail_on_status=(),
        replay_buffer=0,
        probe=ProbeConfig(kind="cping"),
        place=Place("f", 1),
    )


def test_everything_written() -> None:
    worker, errors, warnings = build(
        "host=app.example\nport=8010\nsecret=geheim\nmax_packet_size=64k\n"
        "connection_pool_size=10\nconnection_pool_minsize=3\nconnection_pool_timeout=60\n"
        "connection_acquire_timeout=700\nsocket_connect_timeout=800\nsocket_keepalive=1\n"
        "prefer_ipv6=true\nconnect_timeout=900\nprepost_timeout=1000\nping_timeout=1100\n"
        "ping_mode=CP\nreply_timeout=300000\nretries=1\nmount=/x\n"
        "socket_timeout=20\nsocket_buffer=128k\nsource=10.0.0.9\nbusy_limit=30\n"
        "connection_ping_interval=40\nretry_interval=50\nrecovery_options=3\n"
        "fail_on_status=500 -404\nreplay_buffer=64k\n"
        "probe=request\nprobe_interval=500\nprobe_timeout=1500\nprobe_uri=HEAD /up?a=b\n"
        "probe_status=200-299 404\nfreeze_timeout=3000"
    )
    assert not errors
    assert not warnings
    assert worker == WorkerConfig(
        name="a",
        host="app.example",
        port=8010,
        secret=b"geheim",
        max_packet_size=65536,
        connection_pool_size=10,
        connection_pool_minsize=3,
        connection_pool_timeout_ms=60_000,
        connection_acquire_timeout_ms=700,
        socket_connect_timeout_ms=800,
        socket_keepalive=True,
        prefer_ipv6=True,
        connect_timeout_ms=900,
        prepost_timeout_ms=1000,
        ping_timeout_ms=1100,
        ping_mode="CP",
        reply_timeout_ms=300_000,
        retries=1,
        socket_timeout_ms=20_000,
        socket_buffer=131_072,
        source="10.0.0.9",
        busy_limit=30,
        connection_ping_interval_ms=40_000,
        retry_interval_ms=50,
        recovery_options=3,
        fail_on_status=(500, -404),
        replay_buffer=65_536,
        probe=ProbeConfig(
            kind="request",
            interval_ms=500,
            timeout_ms=1500,
            freeze_timeout_ms=3000,
            method="HEAD",
            uri="/up?a=b",
            statuses=((200, 299), (404, 404)),
        ),
        place=Place("f", 1),
    )


@pytest.mark.parametrize(
    ("lines", "connect", "prepost"),
    [
        ("ping_mode=C", 10_000, 0),
        ("ping_mode=p", 0, 10_000),
        ("ping_mode=A\nping_timeout=500", 500, 500),
        ("ping_mode=CP\nconnect_timeout=300", 300, 10_000),
        ("ping_mode=CP\nconnect_timeout=0\nprepost_timeout=0", 10_000, 10_000),
        ("connect_timeout=0\nprepost_timeout=0", 0, 0),
        ("ping_timeout=500", 2000, 2000),
    ],
)
def test_ping_mode_counts_where_nothing_else_is_said(
    lines: str, connect: int, prepost: int
) -> None:
    worker = built(lines)
    assert (worker.connect_timeout_ms, worker.prepost_timeout_ms) == (connect, prepost)


@pytest.mark.parametrize(
    ("lines", "interval"),
    [
        ("ping_mode=I", 100_000),
        ("ping_mode=A\nping_timeout=500", 5_000),
        ("ping_mode=CPI\nconnection_ping_interval=7", 7_000),
        ("ping_mode=I\nconnection_ping_interval=0", 100_000),
        ("ping_mode=CP", 0),
        ("connection_ping_interval=7", 7_000),
        ("ping_mode=I\nping_timeout=0", 0),
    ],
)
def test_interval_of_pings(lines: str, interval: int) -> None:
    assert built(lines).connection_ping_interval_ms == interval


@pytest.mark.parametrize(
    ("lines", "connect"),
    [
        ("socket_timeout=7", 7_000),
        ("socket_timeout=7\nsocket_connect_timeout=300", 300),
        ("socket_timeout=7\nsocket_connect_timeout=0", 0),
        ("socket_timeout=0", 2_000),
        ("host=h", 2_000),
    ],
)
def test_socket_timeout_is_for_connecting_where_nothing_else_is_said(
    lines: str, connect: int
) -> None:
    assert built(lines).socket_connect_timeout_ms == connect


@pytest.mark.parametrize(
    ("line", "options"),
    [("host=h", None), *((f"recovery_options={n}", n) for n in (0, 1, 4, 8, 16, 24, 31))],
)
def test_recovery_options(line: str, options: int | None) -> None:
    assert built(line).recovery_options == options


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [
        ("fail_on_status=500", (500,)),
        ("fail_on_status=-404, 503 500", (-404, 503, 500)),
        ("fail_on_status=503 -503", (503, -503)),
        ("fail_on_status=404\nfail_on_status=-500", (404, -500)),
    ],
)
def test_fail_on_status(lines: str, statuses: tuple[int, ...]) -> None:
    assert built(lines).fail_on_status == statuses


@pytest.mark.parametrize(
    ("lines", "attribute", "value", "warning"),
    [
        (
            "max_packet_size=9000",
            "max_packet_size",
            9216,
            "f:1: 'max_packet_size' is rounded up from 9000 to 9216, a multiple of 1024",
        ),
        (
            "max_packet_size=100",
            "max_packet_size",
            8192,
            "f:1: max_packet_size: less than 8192 bytes is taken as 8192 bytes",
        ),
        (
            "max_packet_size=1m",
            "max_packet_size",
            65536,
            "f:1: max_packet_size: more than 65536 bytes is taken as 65536 bytes",
        ),
        ("retries=0", "retries", 1, "f:1: retries: less than 1 is taken as 1"),
        (
            "socket_buffer=4096\nmax_packet_size=16384",
            "socket_buffer",
            16384,
            "f:1: 'socket_buffer' is less than max_packet_size and taken as 16384",
        ),
        (
            "replay_buffer=17m",
            "replay_buffer",
            16 * 1024**2,
            "f:1: replay_buffer: more than 16777216 bytes is taken as 16777216 bytes",
        ),
        (
            "busy_limit=-1",
            "busy_limit",
            0,
            "f:1: busy_limit: less than 0 is taken as 0",
        ),
        (
            "connection_ping_interval=9\nping_timeout=0",
            "connection_ping_interval_ms",
            9000,
            "f:1: 'connection_ping_interval' has no effect while ping_timeout is 0",
        ),
        (
            "source=10.0.0.9\nhost=unix:/run/ajp",
            "source",
            "10.0.0.9",
            "f:1: 'source' is not used with a Unix socket",
        ),
        (
            "connection_pool_size=4\nconnection_pool_minsize=9",
            "connection_pool_minsize",
            4,
            "f:2: 'connection_pool_minsize' is more than connection_pool_size and taken as 4",
        ),
        (
            "cachesize=8",
            "connection_pool_size",
            8,
            "f:1: 'cachesize' is the former name of 'connection_pool_size'",
        ),
        (
            "cachesize=8\nconnection_pool_size=9",
            "connection_pool_size",
            9,
            "f:1: 'cachesize' is the former name of 'connection_pool_size'",
        ),
        (
            "cache_timeout=8",
            "connection_pool_timeout_ms",
            8000,
            "f:1: 'cache_timeout' is the former name of 'connection_pool_timeout'",
        ),
        (
            "connection_pool_timeout=60s",
            "connection_pool_timeout_ms",
            60_000,
            "f:1: connection_pool_timeout: '60s': write 60, s is meant anyway",
        ),
        (
            "recycle_timeout=1",
            "retries",
            2,
            "f:1: 'recycle_timeout' is ignored, as it is by mod_jk",
        ),
        ("class_path=x", "retries", 2, "f:1: 'class_path' is ignored, as it is by mod_jk"),
        (
            "secretkey=geheim",
            "secret",
            None,
            "f:1: 'secretkey' is ignored, as it is by mod_jk (did you mean 'secret'?)",
        ),
        (
            "lbfactor=1",
            "retries",
            2,
            "f:1: 'lbfactor' only means something for a member of a balancer",
        ),
        (
            "sticky_session=1",
            "retries",
            2,
            "f:1: 'sticky_session' belongs to type lb and has no effect on type ajp13, "
            "nor has it in mod_jk",
        ),
        (
            "host=unix:/run/ajp\nport=1",
            "host",
            "unix:/run/ajp",
            "f:2: 'port' is not used with a Unix socket",
        ),
    ],
)
def test_warnings(lines: str, attribute: str, value: object, warning: str) -> None:
    worker, errors, warnings = build(lines)
    assert not errors
    assert warnings == [warning]
    assert getattr(worker, attribute) == value


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ("port=x9", "f:1: port: 'x9' is not a number"),
        ("port=99999999", "f:1: port: must be at most 65535"),
        ("host=unix:ajp", "f:1: host: 'unix:ajp': the path of a Unix socket begins with /"),
        ("host=a\x07", "f:1: host: 'a\\x07' is neither a host name nor an address"),
        ("socket_keepalive=maybe", "f:1: socket_keepalive: 'maybe' is neither true nor false"),
        ("ping_mode=Q", "f:1: ping_mode: 'Q' in 'Q' is none of A, C, P, I"),
        ("recovery_options=32", "f:1: recovery_options: must be at most 31"),
        ("recovery_options=x", "f:1: recovery_options: 'x' is not a number"),
        ("busy_limit=x", "f:1: busy_limit: 'x' is not a number"),
        ("fail_on_status=503 often", "f:1: fail_on_status: 'often' is not a number"),
        (
            "source=10.0.0.9:1",
            "f:1: source: '10.0.0.9:1': a host has no port; write host=10.0.0.9 and port=1",
        ),
        ("source=not a name", "f:1: source: 'not a name' is neither a host name nor an address"),
        ("secret=env:NONE", "f:1: secret: the environment variable 'NONE' is not set or empty"),
    ],
)
def test_errors(lines: str, error: str) -> None:
    worker, errors, _ = build(lines)
    assert worker is None
    assert errors == [error]


@pytest.mark.parametrize(
    ("line", "attribute", "value", "warning"),
    [
        (
            "port=80x9",
            "port",
            80,
            "f:1: port: '80x9' is taken as 80, as mod_jk does: what follows the digits is not "
            "looked at",
        ),
        (
            "connect_timeout=10s",
            "connect_timeout_ms",
            10,
            "f:1: connect_timeout: '10s' is taken as 10 ms, as mod_jk does: what follows the "
            "digits is not looked at",
        ),
        (
            "reply_timeout=5 k",
            "reply_timeout_ms",
            5120,
            "f:1: reply_timeout: '5 k' means 5120 ms: k and m multiply by 1024, as in mod_jk",
        ),
        (
            "port=0",
            "port",
            0,
            "f:1: port: 0 switches worker 'a' off, and no balancer has another for it; every "
            "request that rules send there is answered 503",
        ),
        (
            "host=10.0.0.1:8009",
            "port",
            0,
            "f:1: host: '10.0.0.1:8009': a host has no port; write host=10.0.0.1 and port=8009; "
            "mod_jk cannot resolve it and switches the worker off, and so it is here",
        ),
        (
            "connection_pool_size=0",
            "connection_pool_size",
            1,
            "f:1: connection_pool_size: less than 1 is taken as 1",
        ),
        (
            "ping_mode=C,P",
            "ping_mode",
            "CP",
            "f:1: ping_mode: 'C,P' is taken as CP: no other letters mean anything",
        ),
        (
            "fail_on_status=-5 503x",
            "fail_on_status",
            (503,),
            "f:1: fail_on_status: '503x' is taken as 503, as mod_jk does: what follows the digits "
            "is not looked at",
        ),
        (
            "fail_on_status=-5",
            "fail_on_status",
            (),
            "f:1: fail_on_status: -5 is no status code, with or without a minus sign; no answer "
            "ever has it",
        ),
    ],
)
def test_what_mod_jk_takes_in_its_way(
    line: str, attribute: str, value: object, warning: str
) -> None:
    worker, errors, warnings = build(line)
    assert not errors
    assert warning in warnings
    assert getattr(worker, attribute) == value


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("hots=x", "f:1: unknown directive 'hots' of worker 'a' (did you mean 'host'?)"),
        ("Route=x", "f:1: unknown directive 'Route' of worker 'a' (did you mean 'route'?)"),
        ("max_reuse=1", "f:1: unknown directive 'max_reuse' of worker 'a'"),
    ],
)
def test_unknown_names(line: str, error: str) -> None:
    assert build(line)[1] == [error]


def test_secrets() -> None:
    assert built("secret=env:AJP_SECRET").secret == b"geheim"
    assert built("secret=geheim").secret == b"geheim"
    assert "geheim" not in repr(built("secret=geheim"))


def test_members_may_be_off_and_have_their_directives() -> None:
    worker, errors, warnings = build("port=0\nlbfactor=3\nroute=r", is_member=True)
    assert worker is not None
    assert worker.port == 0
    assert not errors
    assert not warnings


@pytest.mark.parametrize(
    ("lines", "secret"), [("host=h", b"of the lb"), ("secret=own", b"own"), ("host=", b"of the lb")]
)
def test_a_secret_is_inherited_where_there_is_none(lines: str, secret: bytes) -> None:
    findings = Findings()
    section = sections(f"worker.a.port=1\nworker.a.{lines}", findings)["a"]
    worker = build_worker(section, findings, env=ENV, is_member=True, inherited=b"of the lb")
    assert worker is not None
    assert worker.secret == secret
    assert "of the lb" not in repr(worker)


def test_entries_of_toml() -> None:
    place = Place("ajpd.toml", 4)
    section = Section(
        name="a",
        place=place,
        entries={
            "connect_timeout": Entry(name="connect_timeout", value="1s", place=place),
            "port": Entry(name="port", value=True, place=place),
            "mount": Entry(name="mount", value=5, place=place),
            "type": Entry(name="type", value="ajp13", place=place),
        },
    )
    findings = Findings()
    assert build_worker(section, findings, env={}) is None
    assert [str(error) for error in findings.errors] == [
        "ajpd.toml:4: port: must be a number, not true or false",
        "ajpd.toml:4: mount: must be an array of texts, not a number",
    ]
    for name, value, message in (
        ("port", 0, "port: 0 switches worker 'a' off, and no balancer has another for it"),
        ("host", "the host", "host: 'the host' is neither a host name nor an address"),
        ("port", "80x9", "port: '80x9' is not a number"),
        (
            "fail_on_status",
            [5],
            "fail_on_status: 5 is no status code, with or without a minus sign",
        ),
    ):
        entries = {name: Entry(name=name, value=value, place=place)}
        findings = Findings()
        build_worker(Section(name="a", place=place, entries=entries), findings, env={})
        assert [str(error) for error in findings.errors] == [f"ajpd.toml:4: {message}"]
    del section.entries["port"], section.entries["mount"]
    worker = build_worker(section, Findings(), env={})
    assert worker is not None
    assert worker.connect_timeout_ms == 1000
