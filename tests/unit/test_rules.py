"""Rules as exchanges see them, and those that are kept."""

import re

from ajpd._rules import Rules
from ajpd.config.model import Mount
from ajpd.config.urimap import UriMap

RULES = UriMap(
    [Mount(pattern=b"/a/*", worker="w"), Mount(pattern=b"/a/9*", worker="w", is_exclusion=True)]
)
OTHERS = UriMap([Mount(pattern=b"/a/9*", worker="other", use_server_errors=500)])


def kept(rules: Rules) -> int:
    """How many answers are kept."""
    found = re.search(r"found=(\d+)", repr(rules))
    assert found
    return int(found[1])


def test_the_second_answer_is_that_of_the_first() -> None:
    asked = []

    def match(path: bytes) -> Mount | None:
        asked.append(path)
        return RULES.match(path)

    rules = Rules(match)
    for _ in range(3):
        rule = rules.find(b"/a/1", b"any.example")
        assert rule is not None
        assert rule.mount.worker == "w"
        assert rules.find(b"/a/9", b"") is None
    assert asked == [b"/a/1", b"/a/9"]
    assert not rules.by_host


def test_what_is_kept_is_right_and_bounded() -> None:
    rules = Rules(RULES.match)
    for _ in range(2):
        for number in range(3000):
            found = rules.find(b"/a/%d" % number, b"")
            assert (found is None) == str(number).startswith("9")
            assert kept(rules) <= 1024
    before = kept(rules)
    assert rules.find(b"/a/" + b"x" * 300, b"") is not None
    assert kept(rules) == before


def test_hosts_are_told_apart() -> None:
    rules = Rules(RULES.match, lambda host, path: (OTHERS if host == b"o" else RULES).match(path))
    assert rules.by_host
    for _ in range(2):
        assert rules.find(b"/a/9", b"x") is None
        other = rules.find(b"/a/9", b"o")
        assert other is not None
        assert (other.mount.worker, other.mount.use_server_errors) == ("other", 500)
        # A name and a path are not one word.
        assert rules.find(b"/a/9", b"o/a") is None
        assert rules.find(b"/a/1", b"x") is not None
        assert rules.find(b"/a/1", b"o") is None
    assert kept(rules) == 5
