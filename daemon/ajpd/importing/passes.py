"""ProxyPass and its like of one server → rules.

Apache takes the first one that fits, in their order; here the longest pattern counts, and an
exclusion always does. So what never counted there is left out, and an exclusion stays only where
something is taken out of what follows it.

Source: httpd `modules/proxy/mod_proxy.c` (proxy_trans, ap_proxy_trans_match, alias_match).
"""

from dataclasses import dataclass
from typing import Final

from .containers import Address, Containers, parse_url
from .draft import Draft, Pass, Rule, Server, Setting
from .expressions import Found, TooMuch, patterns_of, substitute
from .proxy import FLAGS
from .remarks import Remarks

__all__ = ["Passes"]

_ERRORS: Final = ";use_server_errors=400"


@dataclass(frozen=True, slots=True)
class _Step:
    """One pass, understood.

    Attributes:
        source: of it.
        keys: patterns of rules.
        worker: where they lead; None for nowhere.
    """

    source: Pass
    keys: tuple[str, ...]
    worker: str | None

    @property
    def prefix(self) -> str | None:
        return None if self.source.is_expression else self.source.path


class Passes:
    """Makes rules.

    Args:
        draft: what was gathered.
        containers: makes the workers.
        remarks: of the whole import.
    """

    def __init__(self, draft: Draft, containers: Containers, remarks: Remarks) -> None:
        self._draft = draft
        self._containers = containers
        self._remarks = remarks
        self._steps: dict[int, _Step | None] = {}
        self._tell_balancers()

    def _tell_balancers(self) -> None:
        """Parameters of a pass that leads to a balancer are the balancer's."""
        for server in self._draft.servers:
            for each in server.passes:
                if not each.url.lower().startswith("balancer://"):
                    continue
                name = each.url[len("balancer://") :].partition("/")[0]
                balancer = self._draft.balancer(server, name)
                if balancer is not None:
                    for key, said in each.parameters.items():
                        if key not in FLAGS:
                            balancer.parameters[key] = said

    def rules(self, server: Server) -> list[Rule]:
        """Rules of a server, those of the main server among them, as in Apache."""
        steps = [step for each in self._effective(server) if (step := self._step(each, server))]
        live: list[_Step] = []
        for step in steps:
            winner = next((each for each in live if _covers(each, step)), None)
            if winner is None:
                live.append(step)
            else:
                self._never(step, winner)
        rules: list[Rule] = []
        for at, step in enumerate(live):
            if step.worker is None:
                rules += self._exclusion(step, live[:at], live[at + 1 :])
            else:
                target = step.worker + (_ERRORS if step.source.shows_own_errors else "")
                rules += [_rule(key, target, step.source) for key in step.keys]
        return rules

    def _effective(self, server: Server) -> list[Pass]:
        """Those of Locations first, then those of the main server, then the server's own."""
        others = [] if server.is_main else self._draft.main.passes
        own = server.passes
        return [
            *(each for each in own if each.is_of_location),
            *(each for each in others if each.is_of_location),
            *(each for each in others if not each.is_of_location),
            *(each for each in own if not each.is_of_location),
        ]

    # --- one of them ------------------------------------------------------------------------------

    def _step(self, found: Pass, server: Server) -> _Step | None:
        """Understand a pass once, however many servers have it."""
        if id(found) not in self._steps:
            self._steps[id(found)] = self._understood(found, server)
        return self._steps[id(found)]

    def _understood(self, found: Pass, server: Server) -> _Step | None:
        patterns: list[Found] = []
        if found.is_expression:
            try:
                patterns = patterns_of(found.path)
            except TooMuch as exc:
                self._error(
                    found,
                    f"no pattern can say {exc}, which is in {found.path}",
                    "write a rule with * and ? into [mount]",
                )
                return None
            keys = tuple(each.text for each in patterns)
        else:
            keys = (_prefix_key(found.path),)
        if found.url == "!":
            return _Step(found, keys, None)
        try:
            address = parse_url(found.url)
        except ValueError as exc:
            self._error(found, f"it leads to {exc}", "mend it")
            return None
        if address.scheme not in ("ajp", "balancer"):
            self._foreign(found)
            return _Step(found, keys, None)
        return self._leading(found, server, keys, patterns, address)

    def _leading(
        self,
        found: Pass,
        server: Server,
        keys: tuple[str, ...],
        patterns: list[Found],
        address: Address,
    ) -> _Step | None:
        paths, name = {address.path}, ""
        if address.scheme == "balancer":
            balancer = self._draft.balancer(server, address.host)
            group = None
            if balancer is not None:
                group = self._containers.group(balancer, server.timeout_ms)
            if group is None:
                self._error(
                    found,
                    f"balancer://{address.host} has no members that speak AJP",
                    "give the file with its BalancerMember lines, too",
                )
                return _Step(found, keys, None)
            paths = {member.rstrip("/") + address.path for member in group.paths}
            name = group.name
        if not all(self._stays(found, path, patterns) for path in paths):
            return None
        if not name:
            name = self._containers.single(
                found.url,
                address,
                found.parameters,
                place=found.place,
                directive=found.directive,
                timeout_ms=server.timeout_ms,
            )
        if "nocanon" in found.parameters:
            self._draft.set("server", "forward_uri", _unparsed(found))
        return _Step(found, keys, name)

    def _stays(self, found: Pass, path: str, patterns: list[Found]) -> bool:
        """The path of a request stays what it is; says so, where it does not."""
        if found.is_expression:
            is_rewritten = found.directive.lower() == "rewriterule"
            changed = [
                each for each in patterns if not _is_same(each, path, is_rewritten=is_rewritten)
            ]
            if changed:
                self._changes(found, path, changed[0].text)
            return not changed
        if found.path.rstrip("/") != path.rstrip("/"):
            self._changes(found, path or "/", found.path)
            return False
        if found.path.endswith("/") and not path.endswith("/"):
            self._remarks.warn(
                found.place,
                found.directive,
                f"as it is written, Apache puts no / between {found.url} and what follows; "
                "the path is handed on as it comes",
            )
        return True

    def _changes(self, found: Pass, path: str, key: str) -> None:
        self._error(
            found,
            f"it changes paths from {key} to {path}, and ajpd hands them on as they come",
            f"deploy the application as {found.path if not found.is_expression else key} "
            "(the path of its Context), and write the rule",
        )

    def _foreign(self, found: Pass) -> None:
        self._error(
            found,
            f"{found.url} is no AJP, which is all that ajpd speaks to containers, so these "
            "requests are answered 404",
            "let the container have an AJP connector and write ajp:// and its port, or let "
            "another proxy in front take them",
        )

    def _error(self, found: Pass, reason: str, advice: str) -> None:
        self._remarks.error(found.place, found.directive, f"{reason}; it is left out", advice)

    # --- all of them together ---------------------------------------------------------------------

    def _never(self, step: _Step, winner: _Step) -> None:
        if step.worker == winner.worker:
            self._remarks.note(
                step.source.place,
                step.source.directive,
                f"{winner.source.directive} at {winner.source.place} says the same",
            )
            return
        self._remarks.warn(
            step.source.place,
            step.source.directive,
            f"it never counts, in Apache neither: {winner.source.directive} {winner.source.path} "
            f"at {winner.source.place} comes first; it is left out",
            "put it before that one, if it should count",
        )

    def _exclusion(self, step: _Step, before: list[_Step], after: list[_Step]) -> list[Rule]:
        """Rules for what goes nowhere, if something behind it would take it."""
        later = {each.worker for each in after if each.worker and _touches(each, step)}
        inside = {each.worker for each in before if each.worker and _touches(step, each)}
        if not later:
            self._remarks.note(
                step.source.place,
                step.source.directive,
                "nothing behind it would take these requests; what no rule maps is answered 404",
            )
            return []
        if later & inside:
            self._remarks.error(
                step.source.place,
                step.source.directive,
                f"{step.source.path} is taken out of what follows and not of what stands before "
                "it, which rules for one worker cannot say; it is left out",
                "name in [mount] what Tomcat must not get",
            )
            return []
        worker = later.pop() if len(later) == 1 else "*"
        if step.source.url == "!":
            self._remarks.note(
                step.source.place,
                step.source.directive,
                "what is taken out is answered 404: ajpd serves no files, as Apache did",
                "if it is needed, take the rule away and let Tomcat serve it",
            )
        return [_rule(f"!{key}", worker or "*", step.source) for key in step.keys]


def _rule(key: str, target: str, source: Pass) -> Rule:
    return Rule(key=key, target=target, place=source.place, directive=source.directive)


def _unparsed(found: Pass) -> Setting:
    """What nocanon asks for."""
    return Setting(value="compat_unparsed", place=found.place, directive=found.directive)


def _prefix_key(path: str) -> str:
    """The pattern for a path and all below it; `/app` has nothing to do with `/apple`."""
    return f"{path}*" if path.endswith("/") else f"{path}|/*"


def _covers(first: _Step, other: _Step) -> bool:
    """Whatever fits the other fits the first."""
    if first.prefix is None or other.prefix is None:
        return first.prefix == "/" or set(other.keys) <= set(first.keys)
    return _is_below(other.prefix, first.prefix)


def _touches(one: _Step, other: _Step) -> bool:
    """Some path may fit both; of expressions nobody knows."""
    if one.prefix is None or other.prefix is None:
        return True
    return _is_below(one.prefix, other.prefix) or _is_below(other.prefix, one.prefix)


def _is_below(path: str, above: str) -> bool:
    if path == above or above == "/":
        return True
    return path.startswith(above if above.endswith("/") else f"{above}/")


def _is_same(found: Found, path: str, *, is_rewritten: bool) -> bool:
    """A path made from an expression is the one that came."""
    if "$" not in path and not is_rewritten:
        # Nothing is put in place of anything: the whole path follows.
        return path in ("", "/")
    made = substitute(path, found)
    # Every path begins with a slash, whether the expression says so or not.
    return (f"/{made}" if made.startswith("*") else made) == found.text
