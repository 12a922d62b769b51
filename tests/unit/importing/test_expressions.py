import re

import pytest

from ajpd.config.model import Mount, MountSource
from ajpd.config.urimap import UriMap
from ajpd.importing.expressions import TooMuch, patterns_of, substitute

PATHS = [
    *("/", "/a", "/a/", "/a/b", "/ab", "/a.jsp", "/x/a.jsp", "/a.jspx", "/a/b.do", "/app1"),
    *("/app2/x", "/app12", "/x/app1/y", "/a/b/c", "/.jsp", "/b", "/a.b", "/axb", "/a//b", "/jsp"),
]  # fmt: skip
GOOD: dict[str, list[str]] = {
    r"^/a": ["/a*"],
    r"^/a$": ["/a"],
    r"^/a/(.*)$": ["/a/*"],
    r"^/a/.*": ["/a/*"],
    r"^(/.*\.jsp)$": ["/*.jsp"],
    r"\.jsp$": ["/*.jsp"],
    r".*\.jsp$": ["/*.jsp"],
    r"^.*\.jsp": ["/*.jsp*"],
    r"\.(jsp|do)$": ["/*.jsp", "/*.do"],
    r"^/(app1|app2)(/.*)?$": ["/app1/*", "/app1", "/app2/*", "/app2"],
    r"^/a/.+$": ["/a/?*"],
    r"^/a.b$": ["/a?b"],
    r"/app1/": ["/app1/*", "/*/app1/*"],
    r"^/a/?$": ["/a/", "/a"],
    r"^/(?:a|b)$": ["/a", "/b"],
    r"^/a|^/b": ["/a*", "/b*"],
    r"^/a.*?$": ["/a*"],
    r"^.*$": ["/*"],
    r"^/(.*)": ["/*"],
}


@pytest.mark.parametrize(("expression", "patterns"), GOOD.items())
def test_patterns_that_say_the_same(expression: str, patterns: list[str]) -> None:
    found = [each.text for each in patterns_of(expression)]
    assert found == patterns
    rules = [Mount(pattern=text.encode(), worker="w", source=MountSource.MOUNT) for text in found]
    uri_map = UriMap(rules)
    for path in PATHS:
        is_theirs = re.search(expression, path) is not None
        assert (uri_map.match(path.encode()) is not None) == is_theirs, path


@pytest.mark.parametrize(
    "expression",
    [
        *("^/[ab]", "^/a{2}", "^/a+", "^/(a|b)+", "^/(?!a)", "^/(?i)a", r"^/\d", r"^/a\*b", "a^b"),
        *("^/a$b", "^/(a", "^/a)", "^a", "^/a*", "^/a??", "^/.*+", r"^/a\?", "^/a" + "\\"),
        *("^/" + "(a|b)" * 6, "^/(" + "|".join("a" * n for n in range(1, 40)) + ")", "^?"),
    ],
)
def test_what_no_pattern_can_say(expression: str) -> None:
    with pytest.raises(TooMuch):
        patterns_of(expression)


def test_what_is_put_in_place_of_a_group() -> None:
    (found,) = patterns_of("^/app/(.*)/x(.*)$")
    assert found.text == "/app/*/x*"
    assert substitute("/app/$1/x$2", found) == found.text
    assert substitute("$0", found) == found.text
    assert substitute("/new/$1$3", found) == "/new/*"
    (with_slash, without) = patterns_of("^/app(/.*)?$")
    assert substitute("/app$1", with_slash) == "/app/*"
    assert substitute("/app$1", without) == "/app"
