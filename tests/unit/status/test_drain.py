"""When a member is empty, and how long that may take."""

from pathlib import Path

import pytest

from ajpd.status.drain import Drain, Standing
from tests.unit.status.stage import Daemon

NOW = 7000.0


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    made = Daemon(tmp_path)
    made.slots["lb/nodeA"].configure(activation=1)
    return made


def visits(daemon: Daemon, count: int, at: float) -> None:
    for number in range(count):
        daemon.column.session_seen(daemon.slots["lb/nodeA"], b"s%d" % number, at)


def look(drain: Drain, now: float) -> Standing:
    return drain.look(now)[0]


def begun(daemon: Daemon, quiet_for_s: float = 60.0, known_for_s: float = 3600.0) -> Drain:
    slot = daemon.slots["lb/nodeA"]
    now_ns = slot.snapshot().created_ns + round(known_for_s * 1e9)
    return Drain([slot], quiet_for_s=quiet_for_s, now=NOW, now_ns=now_ns)


def test_nobody_ever_came(daemon: Daemon) -> None:
    assert look(begun(daemon), NOW) == Standing(
        what="lb/nodeA",
        in_flight=0,
        sessions=0,
        quiet_s=None,
        is_empty=True,
        is_drained=True,
        least_s=0.0,
        guess_s=None,
    )


def test_a_member_that_is_new_may_have_sessions(daemon: Daemon) -> None:
    drain = begun(daemon, known_for_s=20)
    assert look(drain, NOW).least_s == pytest.approx(40)
    assert not look(drain, NOW + 39).is_empty
    assert look(drain, NOW + 40.1).is_empty


def test_a_request_under_way(daemon: Daemon) -> None:
    daemon.column.begun(daemon.slots["lb/nodeA"])
    found = look(begun(daemon), NOW)
    assert (found.in_flight, found.is_empty) == (1, False)
    daemon.column.ended(daemon.slots["lb/nodeA"])
    assert look(begun(daemon), NOW).is_empty


def test_quiet_for_long_enough(daemon: Daemon) -> None:
    visits(daemon, 1, NOW - 10)
    drain = begun(daemon)
    found = look(drain, NOW)
    assert (found.quiet_s, found.least_s, found.is_empty) == (10, 50, False)
    assert not look(drain, NOW + 49.9).is_empty
    assert look(drain, NOW + 50).is_empty
    visits(daemon, 1, NOW + 49)
    assert look(drain, NOW + 50).least_s == 59


def test_sessions_that_become_fewer_say_when_they_are_gone(daemon: Daemon) -> None:
    visits(daemon, 64, NOW - 1)
    drain = begun(daemon)
    assert look(drain, NOW).guess_s is None
    visits(daemon, 4, NOW + 400)
    found = look(drain, NOW + 400)
    assert 3 <= found.sessions <= 5
    assert found.guess_s is not None
    # Four octaves in 400 s: two more take 200 s, and then it has to be quiet for a minute.
    assert 200 < found.guess_s < 320


def test_sessions_that_stay_say_nothing(daemon: Daemon) -> None:
    visits(daemon, 8, NOW - 1)
    drain = begun(daemon)
    visits(daemon, 8, NOW + 100)
    assert look(drain, NOW + 100).guess_s is None


def test_somebody_activated_it(daemon: Daemon) -> None:
    drain = begun(daemon)
    daemon.slots["lb/nodeA"].configure(activation=0)
    assert not look(drain, NOW).is_drained
