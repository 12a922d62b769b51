"""Messages that say the same again and again."""

import io
import logging
from collections.abc import Iterator

import pytest

from ajpd import log as logs
from ajpd.repeats import Repeats


class Now:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


class Site:
    def __init__(self) -> None:
        self.now = Now()
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.repeats = Repeats(self.handler, self.now)
        self.handler.addFilter(self.repeats)
        self.logger = logging.getLogger("ajpd.test-repeats")
        self.logger.handlers[:] = [self.handler]
        self.logger.propagate = False
        self.logger.setLevel(logging.INFO)

    def say(self, number: int, about: object = "a") -> None:
        self.logger.warning("request %d failed", number, extra={"about": about})

    def said(self) -> list[str]:
        text = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        return text.splitlines()


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    yield found
    found.logger.handlers.clear()


def test_the_first_comes_at_once_and_the_others_as_a_number(site: Site) -> None:
    for number in range(413):
        site.say(number)
    assert site.said() == ["request 0 failed"]
    site.now.at += 9.9
    site.repeats.look()
    assert site.said() == []
    site.now.at += 0.2
    site.repeats.look()
    assert site.said() == ["request 412 failed (412 times more, this the last, in 10 s)"]


def test_a_new_message_ends_a_window_too(site: Site) -> None:
    site.say(1)
    site.say(2)
    site.now.at += 10
    site.say(3)
    assert site.said() == ["request 1 failed", "request 2 failed (once more, in 10 s)"]
    site.now.at += 10
    site.repeats.look()
    assert site.said() == ["request 3 failed (once more, in 10 s)"]
    site.now.at += 10
    site.repeats.look()
    assert site.said() == []
    site.say(4)
    assert site.said() == ["request 4 failed"]


def test_what_is_rare_is_written_as_it_comes(site: Site) -> None:
    for number in range(3):
        site.say(number)
        site.now.at += 11
    assert len(site.said()) == 3


def test_each_thing_is_counted_by_itself(site: Site) -> None:
    for number in range(10):
        site.say(number, "a")
        site.say(number, "b")
        site.logger.info("request %d failed", number, extra={"about": "a"})
        site.logger.warning("something else")
    said = site.said()
    assert said.count("request 0 failed") == 3
    assert said.count("something else") == 10
    site.repeats.finish()
    assert [line.partition("(")[2].partition(" ")[0] for line in site.said()] == ["9"] * 3


def test_who_wants_everything_gets_it(site: Site) -> None:
    site.logger.setLevel(logging.DEBUG)
    for number in range(5):
        site.say(number)
    assert len(site.said()) == 5


def test_not_everything_is_remembered(site: Site) -> None:
    for number in range(3000):
        site.say(number, number)
    assert len(site.said()) == 3000
    assert len(site.repeats._seen) <= 1000


def test_the_daemons_log_holds_back(capfd: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("ajpd")
    before = logger.handlers[:], logger.level, logger.propagate
    try:
        logs.setup_logging("info")
        for _ in range(3):
            logging.getLogger("ajpd.x").warning("again", extra={"about": "x"})
        logs.say_repeats(all_of_them=True)
    finally:
        logger.handlers[:], logger.propagate = before[0], before[2]
        logger.setLevel(before[1])
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition("ajpd.x ")[2] for line in lines] == [
        "again",
        "again (2 times more, this the last, in 10 s)",
    ]
