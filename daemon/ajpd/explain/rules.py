"""Whose rules count, and what became of each of them."""

from ajpd._rehearsal import Rehearsal
from ajpd.config.hosts import HostMaps, rules_of
from ajpd.config.model import Config, Mount
from ajpd.config.urimap import Considered, Standing, UriMap
from ajpd.http.uri import BadURI, normalise

from .explanation import HostFound, Rule
from .question import Question

__all__ = ["host_of", "path_of", "rules_of_request", "text_of"]

#: Standing of a rule that matches, and counts for other names.
ELSEWHERE = "elsewhere"
DEFAULT = "the rules for names that no host has"


def text_of(data: bytes) -> str:
    """Bytes of a request as text."""
    return data.decode("utf-8", "backslashreplace")


def path_of(config: Config, question: Question) -> bytes | None:
    """The path that rules are compared with; None where there is none."""
    try:
        return normalise(question.path, config.server.forward_uri).match
    except BadURI:
        return None


def host_of(config: Config, rehearsal: Rehearsal) -> HostFound:
    """The section whose rules count."""
    section = HostMaps(config).host_of(rehearsal.host)
    return HostFound(
        name=text_of(rehearsal.host),
        section=None if section is None else section.name,
        place=None if section is None else str(section.place),
        others={host.name: str(host.place) for host in config.hosts if host is not section},
        is_forwarded=rehearsal.is_introduced,
    )


def rules_of_request(
    config: Config, section: str | None, host: bytes, path: bytes
) -> tuple[Rule, ...]:
    """All rules that count for a name in the order they are tried, then what others would do."""
    considered = HostMaps(config).map_of(host).consider(path)
    decider = next((c.rule for c in considered if c.standing in _FIRST), None)
    rules = [_rule(each, decider, path) for each in considered]
    for name, others in _elsewhere(config, section):
        decision = UriMap(others).decide(path)
        mount = decision.mount
        if mount is not None and decision.exclusion is None and not _is_among(mount, considered):
            why = f"would decide, and belongs to {name}"
            rules.append(Rule(text=str(mount), place=str(mount.place), standing=ELSEWHERE, why=why))
    return tuple(rules)


_FIRST = (Standing.DECIDES, Standing.EXCLUDED)


def _is_among(mount: Mount, considered: list[Considered]) -> bool:
    return any(each.rule is mount for each in considered)


def _elsewhere(config: Config, section: str | None) -> list[tuple[str, tuple[Mount, ...]]]:
    """Rules that do not count for this name, and whose they are."""
    found = [
        (f"[host.{host.name}]", rules_of(host, config.rules))
        for host in config.hosts
        if host.name != section
    ]
    return found if section is None else [(DEFAULT, config.rules), *found]


def _rule(considered: Considered, decider: Mount | None, path: bytes) -> Rule:
    rule, standing = considered
    return Rule(
        text=str(rule),
        place=str(rule.place),
        standing=str(standing),
        why=_why(rule, standing, decider, path),
    )


def _why(rule: Mount, standing: Standing, decider: Mount | None, path: bytes) -> str:
    match standing:
        case Standing.DECIDES:
            return "the first that matches"
        case Standing.EXCLUDED:
            return "the first that matches, and taken back"
        case Standing.EXCLUDES:
            return f"takes {decider} back"
        case Standing.LATER:
            return "matches too, and is tried later"
        case Standing.OTHER:
            return f"matches, and takes back rules of {rule.worker} only"
        case Standing.OFF:
            return "would match, and is switched off by its '-'"
        case Standing.NO_MATCH:
            return _miss(rule, path)


def _miss(rule: Mount, path: bytes) -> str:
    """What keeps a pattern from matching, in words."""
    pattern = rule.pattern
    begin = pattern.partition(b"*")[0].partition(b"?")[0]
    if pattern.endswith(b"/*") and path == pattern[:-2]:
        return f"begins behind the slash: {text_of(path)}|/* has both"
    if rule.is_exact and path.rstrip(b"/") == pattern.rstrip(b"/"):
        return "differs in the slash at its end"
    if not path.startswith(begin):
        if path.lower().startswith(begin.lower()):
            return "differs in upper and lower case"
        return "the path is another" if rule.is_exact else f"does not begin with {text_of(begin)}"
    if rule.is_exact:
        return "the path is another"
    end = pattern.rpartition(b"*")[2]
    if b"?" not in end and not path.endswith(end):
        return f"does not end in {text_of(end)}"
    return "does not match"
