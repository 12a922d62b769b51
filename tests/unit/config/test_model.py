import dataclasses

import pytest

from ajp.lb import Activation, Member, Method, Settings
from ajpd.config.errors import Place
from ajpd.config.model import (
    BalancerConfig,
    Config,
    LogConfig,
    MemberConfig,
    Mount,
    ServerConfig,
    WorkerConfig,
)


def worker(**changes: object) -> WorkerConfig:
    base = WorkerConfig(
        name="w",
        host="h",
        port=8009,
        secret=b"geheim",
        max_packet_size=8192,
        connection_pool_size=2,
        connection_pool_minsize=1,
        connection_pool_timeout_ms=0,
        connection_acquire_timeout_ms=0,
        socket_connect_timeout_ms=0,
        socket_keepalive=False,
        prefer_ipv6=False,
        connect_timeout_ms=0,
        prepost_timeout_ms=0,
        ping_timeout_ms=0,
        ping_mode="",
        reply_timeout_ms=0,
        retries=1,
        place=Place("f", 1),
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]  # names are the test's


def test_secrets_stay_out_of_the_repr() -> None:
    one = worker()
    config = Config(
        server=ServerConfig(
            listen=(),
            header_timeout_ms=0,
            keepalive_timeout_ms=0,
            body_timeout_ms=0,
            send_timeout_ms=0,
            max_header_bytes=0,
            max_body_bytes=0,
            max_connections=0,
            trusted_proxies=(),
            forwarded_headers="auto",
            forward_uri="proxy",
            reply_timeout_header="",
            error_pages="",
            shutdown_timeout_ms=0,
        ),
        workers={"w": one},
    )
    assert "geheim" not in repr(config) + str(config) + repr(one) + str(one)
    assert config.log == LogConfig(level="info", file="")


def test_values_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        worker().host = "x"  # type: ignore[misc]  # the point of the test
    assert not hasattr(worker(), "__dict__")


def test_workers_are_equal_when_they_mean_the_same() -> None:
    assert worker() == worker(place=Place("g", 2))
    assert worker() != worker(secret=b"x")


def test_unix_path() -> None:
    assert worker().unix_path is None
    assert worker(host="unix:/run/ajp").unix_path == "/run/ajp"


def test_rules_show_as_written() -> None:
    rule = Mount(pattern=b"/a/*", worker="w", is_exclusion=True, is_disabled=True)
    assert str(rule) == "-!/a/*=w"
    assert str(Mount(pattern=b"/\xe4", worker="w")) == "/\\xe4=w"
    assert not rule.is_exact
    assert Mount(pattern=b"/a", worker="w").is_exact


def test_a_member_for_the_library() -> None:
    member = MemberConfig(
        name="w",
        worker=worker(),
        lbfactor=3,
        distance=2,
        route="d.r",
        redirect="s",
        activation=Activation.DISABLED,
    )
    # The domain is filled in already: none means none, whatever the route looks like.
    assert member.member == Member(
        name="w",
        lbfactor=3,
        distance=2,
        route="d.r",
        domain="",
        redirect="s",
        activation=Activation.DISABLED,
    )
    assert "geheim" not in repr(member)


def test_a_balancer_for_the_library() -> None:
    balancer = BalancerConfig(
        name="lb",
        members=(),
        method=Method.LATENCY,
        sticky_session=False,
        sticky_session_force=True,
        session_cookie="SID",
        session_path=";sid",
        set_session_cookie=True,
        session_cookie_path="/a",
        retries=3,
        lb_retries=4,
        retry_interval_ms=5,
        recover_time_ms=6_500,
        slow_start_ms=500,
        error_escalation_time_ms=0,
        max_reply_timeouts=7,
        maintain_ms=8_000,
        place=Place("f", 1),
    )
    assert balancer.settings == Settings(
        method=Method.LATENCY,
        sticky_session=False,
        sticky_session_force=True,
        session_cookie="SID",
        session_path=";sid",
        set_session_cookie=True,
        session_cookie_path="/a",
        retries=3,
        lb_retries=4,
        retry_interval_ms=5,
        recover_time_s=6.5,
        slow_start_s=0.5,
        error_escalation_time_s=0.0,
        max_reply_timeouts=7,
        maintain_s=8.0,
    )
