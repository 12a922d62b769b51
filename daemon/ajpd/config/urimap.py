"""The URI map: rules as people write them, and the matcher they become.

Law: a path that no rule matches belongs to no worker; there is no default. The matcher compares
bytes and takes time in proportion to the path for each rule; it never backtracks.

Source: mod_jk `jk_uri_worker_map.c` (syntax, order of rules, exclusions) and
`jk_util.c` (jk_wildchar_match). Same order: exact rules are not tried first as such.
A rule that mod_jk drops with a line in its log is dropped with a warning where it is in a file
of mod_jk's, and an error in ajpd.toml.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from .errors import Findings, Place
from .extensions import Options, parse_extensions
from .model import Mount, MountSource
from .properties import LAST_COUNTS, encode, read_properties

__all__ = [
    "Considered",
    "Decision",
    "Standing",
    "UriMap",
    "in_order",
    "parse_rule",
    "read_uri_map",
    "rules_of_worker",
]


def read_uri_map(
    path: str | Path,
    findings: Findings,
    *,
    env: Mapping[str, str] | None = None,
    asked_at: Place | None = None,
) -> list[Mount]:
    """Read uriworkermap.properties; what is wrong goes to `findings`."""
    properties = read_properties(path, findings, env=env, repeats=LAST_COUNTS, asked_at=asked_at)
    rules: list[Mount] = []
    for item in properties:
        rules += parse_rule(
            item.key,
            item.value,
            findings,
            place=item.place,
            column=item.column,
            source=MountSource.FILE,
            encoding=item.encoding,
        )
    return rules


def rules_of_worker(
    worker: str, patterns: Iterable[tuple[str, Place]], findings: Findings, *, encoding: str
) -> list[Mount]:
    """Rules from the `mount` directive of a worker: prefixes work, `|` and extensions do not."""
    rules: list[Mount] = []
    for text, place in patterns:
        if "|" in text:
            findings.warn(
                place, f"'|' in {text!r} is an ordinary character here", directive="mount"
            )
        head = _parse_head(text, findings, place)
        if head is not None:
            rule = _rule(head.pattern, worker, head, place, MountSource.WORKER, encoding)
            _remark(rule, findings)
            rules.append(rule)
    return rules


def parse_rule(
    key: str,
    value: str,
    findings: Findings,
    *,
    place: Place,
    source: MountSource,
    column: int | None = None,
    encoding: str = "utf-8",
) -> list[Mount]:
    """Read one rule: `[-][!]/pattern[|suffix]` and `worker[;extension=value]...`.

    Args:
        key: its left side.
        value: its right side.
        findings: collects errors and warnings.
        place: of the left side.
        source: kind of place it is in.
        column: of the right side.
        encoding: of the file.

    Returns:
        one rule, two when `|` was used, none when there was an error.
    """
    is_lenient = source is MountSource.FILE
    head = _parse_head(key, findings, place, is_lenient=is_lenient)
    worker, *extensions = value.split(";")
    worker = worker.strip()
    value_place = place._replace(column=column)
    options = parse_extensions(extensions, findings, value_place, is_lenient=is_lenient)
    if head is None:
        return []
    if head.is_exclusion and options != _NO_OPTIONS:
        findings.warn(place, f"the exclusion {key!r} has no use for extensions", directive=key)
    if not worker:
        findings.error(value_place, f"the rule {key!r} names no worker", directive=key)
        return []
    if worker == "*" and not head.is_exclusion:
        what = f"'*' as worker belongs into exclusions only, not into {key!r}"
        findings.error(value_place, what, directive=key)
        return []
    first, bar, suffix = head.pattern.partition("|")
    rules = []
    for pattern in (first, first + suffix) if bar else (first,):
        rule = _rule(pattern, worker, head, place, source, encoding, options)
        _remark(rule, findings)
        rules.append(rule)
    return rules


_NO_OPTIONS: Final = Options()


class _Head(NamedTuple):
    pattern: str
    is_exclusion: bool
    is_disabled: bool


def _parse_head(
    text: str, findings: Findings, place: Place, *, is_lenient: bool = False
) -> _Head | None:
    """Take the prefixes off; None when there is no pattern behind them."""
    is_disabled = text.startswith("-")
    rest = text[1:] if is_disabled else text
    is_exclusion = rest.startswith("!")
    pattern = rest[1:] if is_exclusion else rest
    if pattern.startswith("/"):
        return _Head(pattern, is_exclusion, is_disabled)
    if text.startswith("!-"):
        hint = f"-!{text[2:]}"
    else:
        hint = f"{'!' if is_exclusion else ''}/{pattern}" if pattern else ""
    what = f"the pattern of {text!r} must begin with '/'"
    if is_lenient:
        what = f"{what}: the rule is left out, as mod_jk does"
    say = findings.warn if is_lenient else findings.error
    say(place, what, directive=text, hint=hint)
    return None


def _rule(
    pattern: str,
    worker: str,
    head: _Head,
    place: Place,
    source: MountSource,
    encoding: str,
    options: Options = _NO_OPTIONS,
) -> Mount:
    return Mount(
        pattern=encode(pattern, encoding),
        worker=worker,
        is_exclusion=head.is_exclusion,
        is_disabled=head.is_disabled,
        reply_timeout_ms=options.reply_timeout_ms,
        fail_on_status=options.fail_on_status,
        use_server_errors=options.use_server_errors,
        extension=options.extension,
        overrides=options.overrides,
        source=source,
        place=place,
    )


def _remark(rule: Mount, findings: Findings) -> None:
    """Warn of patterns that can match nothing, because paths are normalised before."""
    why = ""
    if b";" in rule.pattern:
        why = "path parameters (;) are cut off before rules are compared"
    elif b"//" in rule.pattern:
        why = "paths have no '//' when rules are compared"
    elif re.search(rb"%[0-9A-Fa-f]{2}", rule.pattern):
        why = "paths are decoded (no %xx) before rules are compared"
    elif re.search(rb"/\.{1,2}(/|$)", rule.pattern):
        why = "paths have no '.' and '..' segments when rules are compared"
    if why:
        findings.warn(rule.place, f"the rule {rule} will hardly match: {why}")


class Decision(NamedTuple):
    """What the map says about a path, with the reason.

    Attributes:
        mount: the rule that maps the path, or None when no rule does.
        exclusion: the rule that takes it back, or None.
    """

    mount: Mount | None
    exclusion: Mount | None = None


class Standing(StrEnum):
    """What became of a rule when a path was looked for."""

    DECIDES = "decides"  #: the first that matches
    EXCLUDED = "excluded"  #: the first that matches, taken back by an exclusion
    EXCLUDES = "excludes"  #: the exclusion that does
    LATER = "later"  #: matches too, and is tried later
    OTHER = "other"  #: an exclusion that matches, of a worker that nothing maps the path to
    OFF = "off"  #: would match, and is switched off by the "-" before it
    NO_MATCH = "no match"


class Considered(NamedTuple):
    """One rule, and what became of it."""

    rule: Mount
    standing: Standing


_Test = Callable[[bytes], bool]


class UriMap:
    """Rules in the order they are tried, compiled once; immutable for its users.

    The order: more slashes in the pattern first, then longer patterns, then the map file before
    `[mount]` before the workers' own `mount`. What mod_jk leaves to chance then is decided:
    exact rules before those with wildcards, then as written. The first rule that matches
    decides; if any exclusion of its worker (or of `*`) matches too, nothing is mapped.
    """

    def __init__(self, rules: Iterable[Mount]) -> None:
        """Compile rules."""
        ordered = in_order(rules)
        self.rules: Final = tuple(rule for rule in ordered if not rule.is_disabled)
        self._disabled = tuple(rule for rule in ordered if rule.is_disabled)
        # (what the path begins with, the whole test, the rule); the first part fails fast
        self._mounts: list[tuple[bytes, _Test, Mount]] = []
        self._exclusions: list[tuple[bytes, _Test, Mount]] = []
        for rule in self.rules:
            tests = self._exclusions if rule.is_exclusion else self._mounts
            begin = re.split(rb"[*?]", rule.pattern, maxsplit=1)[0]
            tests.append((begin, _compile(rule.pattern), rule))

    def __repr__(self) -> str:
        return f"<UriMap {len(self._mounts)} mounts {len(self._exclusions)} exclusions>"

    def match(self, path: bytes) -> Mount | None:
        """Find the rule for a path.

        Args:
            path: normalised as `ajpd.http.uri` does: decoded, without query and parameters.

        Returns:
            the rule, or None: no worker gets this request.
        """
        decision = self.decide(path)
        return decision.mount if decision.exclusion is None else None

    def decide(self, path: bytes) -> Decision:
        """Find the rule for a path and the exclusion that takes it back, if there is one."""
        for begin, test, mount in self._mounts:
            if path.startswith(begin) and test(path):
                return Decision(mount, self._exclusion(path, mount.worker))
        return Decision(None)

    def _exclusion(self, path: bytes, worker: str) -> Mount | None:
        for begin, test, rule in self._exclusions:
            if path.startswith(begin) and rule.worker in (worker, "*") and test(path):
                return rule
        return None

    def consider(self, path: bytes) -> list[Considered]:
        """Say of every rule, in the order they are tried, what became of it."""
        decision = self.decide(path)
        found = [
            (rule, path.startswith(begin) and test(path))
            for begin, test, rule in (*self._mounts, *self._exclusions)
        ]
        considered = [
            Considered(rule, _standing(rule, decision, is_match=it)) for rule, it in found
        ]
        for rule in self._disabled:
            is_match = _compile(rule.pattern)(path)
            considered.append(Considered(rule, Standing.OFF if is_match else Standing.NO_MATCH))
        return sorted(considered, key=lambda each: _rank(each.rule))

    def shadowed(self) -> list[tuple[Mount, Mount]]:
        """Mounts whose pattern an earlier one has as well: (the one that wins, the other)."""
        first: dict[bytes, Mount] = {}
        found = []
        for _, _, rule in self._mounts:
            winner = first.setdefault(rule.pattern, rule)
            if winner is not rule:
                found.append((winner, rule))
        return found


def in_order(rules: Iterable[Mount]) -> tuple[Mount, ...]:
    """Rules as a map tries them."""
    return tuple(sorted(rules, key=_rank))


def _standing(rule: Mount, decision: Decision, *, is_match: bool) -> Standing:
    """What became of a rule that is not switched off."""
    if not is_match:
        return Standing.NO_MATCH
    if rule is decision.mount:
        return Standing.DECIDES if decision.exclusion is None else Standing.EXCLUDED
    if rule is decision.exclusion:
        return Standing.EXCLUDES
    if rule.is_exclusion and (
        decision.mount is None or rule.worker not in (decision.mount.worker, "*")
    ):
        return Standing.OTHER
    return Standing.LATER


def _rank(rule: Mount) -> tuple[int, int, int, bool]:
    return (-rule.pattern.count(b"/"), -len(rule.pattern), -rule.source, not rule.is_exact)


def _compile(pattern: bytes) -> _Test:
    """Make a test out of a pattern.

    A pattern is cut at its stars into pieces of fixed length. The first is anchored at the start,
    the last at the end, and each one between is looked for from where the one before ended: the
    leftmost place is always good enough, so no choice is ever taken back.
    """
    if b"?" in pattern:
        return _with_question_marks(pattern)
    if b"*" not in pattern:
        return lambda path: path == pattern
    first, *middle, last = pattern.split(b"*")
    pieces = tuple(piece for piece in middle if piece)
    if not pieces:
        if not last:
            return lambda path: path.startswith(first)
        least = len(first) + len(last)
        return lambda path: len(path) >= least and path.startswith(first) and path.endswith(last)
    return _with_pieces(first, pieces, last)


def _with_pieces(first: bytes, pieces: tuple[bytes, ...], last: bytes) -> _Test:
    def test(path: bytes) -> bool:
        end = len(path) - len(last)
        pos = len(first)
        if end < pos or not path.startswith(first) or not path.endswith(last):
            return False
        for piece in pieces:
            pos = path.find(piece, pos, end)
            if pos < 0:
                return False
            pos += len(piece)
        return True

    return test


def _with_question_marks(pattern: bytes) -> _Test:
    """As `_with_pieces`, the pieces being expressions without any repetition."""
    *_, last = pieces = pattern.split(b"*")
    compiled = [re.compile(re.escape(piece).replace(rb"\?", b"."), re.DOTALL) for piece in pieces]
    if len(pieces) == 1:
        whole = compiled[0]
        return lambda path: whole.fullmatch(path) is not None
    head, *middle, tail = compiled
    first_len, last_len = len(pieces[0]), len(last)

    def test(path: bytes) -> bool:
        end = len(path) - last_len
        pos = first_len
        if end < pos or head.match(path) is None or tail.match(path, end) is None:
            return False
        for piece in middle:
            found = piece.search(path, pos, end)
            if found is None:
                return False
            pos = found.end()
        return True

    return test
