"""Extensions of a rule: what follows the worker's name, behind semicolons.

First they are read, when no worker is known yet; then `settle` holds those for a balancer against
the balancer that the rule leads to.

Source: mod_jk `jk_uri_worker_map.c` (parse_rule_extensions, extract_activation). What mod_jk drops
with a line in its log is dropped with a warning where it is in a file of mod_jk's, and an error in
ajpd.toml. Differs on purpose: a rule's own `session_cookie_path` counts, which mod_jk reads and
forgets; a value that is no number is an error.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Final, NamedTuple

from ajp.lb import Activation, Extension, activations

from .balancers import bad_session_name
from .errors import Findings, Place, suggest
from .model import BalancerConfig, Mount, WorkerConfig

__all__ = ["Options", "parse_extensions", "settle"]

_MAX_INT: Final = 2**31 - 1
_SEPARATORS: Final = re.compile(r"[,\s]+")

_SWITCHES: Final = ("sticky_ignore", "stateless", "set_session_cookie")
_NAMES: Final = ("session_cookie", "session_path", "session_cookie_path")
#: In the order in which a later one beats an earlier one, for a member that is in both.
_ACTIVATIONS: Final = {
    "active": Activation.ACTIVE,
    "disabled": Activation.DISABLED,
    "stopped": Activation.STOPPED,
}
#: Of these the first one counts, of all others the last one.
_ONCE: Final = frozenset(("fail_on_status", *_NAMES, *_ACTIVATIONS))
_EXTENSIONS: Final = (
    "reply_timeout",
    "fail_on_status",
    "use_server_errors",
    *_SWITCHES,
    *_NAMES,
    *_ACTIVATIONS,
)


class Options(NamedTuple):
    """What the extensions of a rule say; see `Mount`."""

    reply_timeout_ms: int | None = None
    fail_on_status: tuple[int, ...] | None = None
    use_server_errors: int = 0
    extension: Extension | None = None
    overrides: tuple[tuple[str, Activation], ...] = ()


def parse_extensions(
    words: Iterable[str], findings: Findings, place: Place, *, is_lenient: bool = False
) -> Options:
    """Understand what stands between the semicolons; what is wrong goes to `findings`.

    Args:
        words: each of them.
        findings: of the whole configuration.
        place: of the rule.
        is_lenient: what mod_jk accepts, in its way, is no error.
    """
    return _Parser(findings, place, is_lenient=is_lenient).options(words)


class _Parser:
    """Reads the extensions of one rule."""

    def __init__(self, findings: Findings, place: Place, *, is_lenient: bool) -> None:
        self._findings = findings
        self._place = place
        self._is_lenient = is_lenient

    def options(self, words: Iterable[str]) -> Options:
        found = self._pairs(iter(words))
        switches = {name: self._switch(name, found[name]) for name in _SWITCHES if name in found}
        names = {name: self._name(name, found[name]) for name in _NAMES if found.get(name)}
        extension = Extension(
            stateless=switches.get("stateless", False),
            sticky_ignore=switches.get("sticky_ignore", False),
            set_session_cookie=switches.get("set_session_cookie", False),
            session_cookie=names.get("session_cookie"),
            session_path=names.get("session_path"),
            session_cookie_path=names.get("session_cookie_path"),
        )
        options = Options(
            extension=None if extension == Extension() else extension,
            overrides=self._overrides(found),
        )
        if "reply_timeout" in found:
            options = options._replace(reply_timeout_ms=self._timeout(found["reply_timeout"]))
        if "fail_on_status" in found:
            options = options._replace(fail_on_status=self._statuses(found["fail_on_status"]))
        if "use_server_errors" in found:
            options = options._replace(use_server_errors=self._least(found["use_server_errors"]))
        return options

    def _pairs(self, words: Iterable[str]) -> dict[str, str]:
        """Names and values, unknown names left out."""
        found: dict[str, str] = {}
        words = iter(words)
        for word in words:
            name, _, value = word.partition("=")
            name, value = name.strip(), value.strip()
            if name == "session_path" and not value:
                # `session_path=;x` names the path parameter with its semicolon.
                parameter = next(words, "").strip()
                value = f";{parameter}" if parameter else ""
            if name not in _EXTENSIONS:
                if word.strip():
                    hint = suggest(name, _EXTENSIONS)
                    self._object(name, f"unknown extension {name!r} of a rule", hint=hint)
            elif name in found and name in _ONCE:
                self._warn(name, f"{name!r} is there twice; the first one counts")
            else:
                found[name] = value
        return found

    def _switch(self, name: str, value: str) -> bool:
        """A number as mod_jk reads it: what it begins with, and 0 when that is no number."""
        number = re.match(r"[+-]?[0-9]+", value)
        is_on = number is not None and int(number[0]) != 0
        if number is None:
            self._warn(name, f"{name}: {value!r} is no number and counts as 0, in mod_jk too: "
                       "write 1 to switch it on")  # fmt: skip
        elif number[0] != value:
            self._warn(name, f"{name}: {value!r} counts as {number[0]}")
        return is_on

    def _name(self, name: str, value: str) -> str:
        wrong = bad_session_name(name, value)
        if wrong:
            self._error(name, f"{name}: {wrong}")
        if name == "session_path" and not value.startswith(";"):
            self._warn(name, f"session_path: {value!r} has no ';' and is found in other names too")
        if name == "session_cookie_path":
            self._warn(name, "'session_cookie_path' of a rule counts here, in mod_jk it does not")
        return value

    def _overrides(self, found: Mapping[str, str]) -> tuple[tuple[str, Activation], ...]:
        overrides: dict[str, str] = {}
        for word in _ACTIVATIONS:
            for member in filter(None, _SEPARATORS.split(found.get(word, ""))):
                before = overrides.setdefault(member, word)
                if before != word:
                    both = f"member {member!r} is in {before!r} and in {word!r}"
                    self._warn(word, f"{both}: {word!r} counts")
                overrides[member] = word
        return tuple((member, _ACTIVATIONS[word]) for member, word in overrides.items())

    def _number(self, name: str, value: str) -> str:
        """What a number begins with, where mod_jk looks no further."""
        begin = re.match(r"[+-]?[0-9]+", value) if self._is_lenient else None
        if begin is None or begin[0] == value:
            return value
        self._warn(name, f"{name}: {value!r} counts as {begin[0]}, as in mod_jk")
        return begin[0]

    def _timeout(self, value: str) -> int | None:
        value = self._number("reply_timeout", value)
        if not re.fullmatch(r"-?[0-9]{1,10}", value) or not -1 <= int(value) <= _MAX_INT:
            self._error(
                "reply_timeout",
                f"reply_timeout: {value!r} is no number of milliseconds, 0 for no limit or -1 for "
                "that of the worker",
            )
            return None
        return None if int(value) == -1 else int(value)

    def _statuses(self, value: str) -> tuple[int, ...] | None:
        """`503,-500`: a list that takes the place of the worker's; empty says nothing."""
        found = []
        for written in filter(None, _SEPARATORS.split(value)):
            word = self._number("fail_on_status", written)
            if re.fullmatch(r"-?[1-9][0-9]{2}", word):
                found.append(int(word))
            else:
                what = f"{word!r} is no status of 100 to 999, with or without a minus"
                self._error("fail_on_status", f"fail_on_status: {what}")
        return tuple(found) or None

    def _least(self, value: str) -> int:
        """The smallest status that is answered with a page of our own; 0 for none."""
        value = self._number("use_server_errors", value)
        if value == "0" or re.fullmatch(r"[45][0-9]{2}", value):
            return int(value)
        what = f"{value!r} is neither 0 nor a status of 400 to 599"
        self._error("use_server_errors", f"use_server_errors: {what}")
        return 0

    def _warn(self, name: str, message: str) -> None:
        self._findings.warn(self._place, message, directive=name)

    def _object(self, name: str, message: str, *, hint: str = "") -> None:
        if self._is_lenient:
            message = f"{message} is not looked at, as in mod_jk"
        say = self._findings.warn if self._is_lenient else self._findings.error
        say(self._place, message, directive=name, hint=hint)

    def _error(self, name: str, message: str, *, hint: str = "") -> None:
        self._findings.error(self._place, message, directive=name, hint=hint)


def settle(
    rules: Iterable[Mount],
    workers: Mapping[str, WorkerConfig],
    balancers: Mapping[str, BalancerConfig],
    findings: Findings,
) -> list[Mount]:
    """Make the extensions of all rules fit their workers.

    Args:
        rules: as they were read.
        workers: those of type ajp13 that rules may name.
        balancers: those of type lb.
        findings: gets what is wrong; rules that name nobody are not looked at.

    Returns:
        the rules in their order; where one names members, with their activations in `extension`.
    """
    return [_settled(rule, workers, balancers, findings) for rule in rules]


def _settled(
    rule: Mount,
    workers: Mapping[str, WorkerConfig],
    balancers: Mapping[str, BalancerConfig],
    findings: Findings,
) -> Mount:
    if rule.is_exclusion or (rule.extension is None and not rule.overrides):
        return rule
    balancer = balancers.get(rule.worker)
    if balancer is None:
        if rule.worker in workers:
            what = ", ".join(_written(rule))
            message = f"the rule {rule}: {what} only means something for a balancer"
            findings.warn(rule.place, message, directive=str(rule))
        return replace(rule, extension=None, overrides=())
    names = [member.name for member in balancer.members]
    strangers = [name for name, _ in rule.overrides if name not in names]
    for name in strangers:
        message = f"{name!r} is no member of balancer {balancer.name!r}"
        findings.error(rule.place, message, directive=str(rule), hint=suggest(name, names))
    if strangers or not rule.overrides:
        return rule
    compiled = activations(names, dict(rule.overrides))
    return replace(rule, extension=replace(rule.extension or Extension(), activations=compiled))


def _written(rule: Mount) -> list[str]:
    """Names of the extensions for balancers that a rule has."""
    nothing = Extension()
    extension = rule.extension or nothing
    known = [field.name for field in fields(Extension)]
    found = [name for name in known if getattr(extension, name) != getattr(nothing, name)]
    used = {activation for _, activation in rule.overrides}
    return found + [word for word, activation in _ACTIVATIONS.items() if activation in used]
