"""Sections of balancers and their members → `BalancerConfig`, and the workers they need.

This file knows what the directives of a balancer and of its members mean together; how a member
itself is reached is for `workers.py`.

Source: mod_jk `jk_lb_worker.c` (validate, init: members, routes, domains, the secret that members
inherit) and `jk_util.c` for the defaults. Differs on purpose: two different secrets for one
container are an error.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple, cast

from ajp.lb import Activation, Member, Method

from .errors import Findings, Place, suggest
from .model import BalancerConfig, MemberConfig, StatusConfig, WorkerConfig
from .sections import Section, SectionValues, check_type
from .status_worker import build_status
from .workers import build_worker

__all__ = ["MAX_MEMBERS", "Workers", "bad_session_name", "build_workers"]

#: The election keeps one bit for each member in a word.
MAX_MEMBERS: Final = 64

_COOKIE_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATH_PARAMETER: Final = re.compile(r";?(?:(?![;/?=#])[!-~])+")
_PATH: Final = re.compile(r"/[!-:<-~]*")


def bad_session_name(directive: str, value: str) -> str:
    """What is wrong with session_cookie, session_path or session_cookie_path; empty if nothing."""
    if directive == "session_cookie" and not _COOKIE_NAME.fullmatch(value):
        return f"{value!r} cannot be the name of a cookie"
    if directive == "session_cookie_path" and not _PATH.fullmatch(value):
        return f"{value!r} cannot be the path of a cookie, which begins with /"
    if directive == "session_path" and not _PATH_PARAMETER.fullmatch(value):
        return f"{value!r} cannot be the name of a path parameter"
    return ""


class Workers(NamedTuple):
    """All that could be built, by name."""

    workers: dict[str, WorkerConfig]
    balancers: dict[str, BalancerConfig]
    statuses: dict[str, StatusConfig]


def build_workers(
    sections: Mapping[str, Section],
    used: Iterable[str],
    findings: Findings,
    *,
    env: Mapping[str, str],
    maintain_ms: int,
) -> Workers:
    """Build workers, balancers and the members of these.

    Args:
        sections: all there are, with names of directives already checked.
        used: names of those to build; their members are built as well.
        findings: collects errors and warnings.
        env: environment for `secret=env:NAME`.
        maintain_ms: what worker.maintain says.

    Returns:
        every worker of type ajp13, members included, every balancer and every status worker;
        without those that have errors, or a member with errors.
    """
    wanted = [sections[name] for name in used]
    for section in wanted:
        check_type(section, findings)
    groups = [_Group(section, sections, findings) for section in wanted if section.kind == "lb"]
    secrets = _secrets(groups, findings, env)
    members = {name: section for group in groups for name, section in group.members.items()}
    plain = {section.name: section for section in wanted if section.kind == "ajp13"}
    for name in members.keys() - plain.keys():
        check_type(members[name], findings)
    workers: dict[str, WorkerConfig] = {}
    for name, section in (plain | members).items():
        worker = build_worker(
            section, findings, env=env, is_member=name in members, inherited=secrets.get(name)
        )
        if worker is not None:
            workers[name] = worker
    balancers: dict[str, BalancerConfig] = {}
    for group in groups:
        balancer = group.balancer(workers, maintain_ms)
        if balancer is not None:
            balancers[balancer.name] = balancer
    pages = [section for section in wanted if section.kind == "status"]
    statuses = {section.name: build_status(section, findings) for section in pages}
    return Workers(workers, balancers, statuses)


def _secrets(
    groups: Iterable["_Group"], findings: Findings, env: Mapping[str, str]
) -> dict[str, bytes]:
    """The secrets of balancers, for each member that has none itself."""
    found: dict[str, bytes] = {}
    giver: dict[str, str] = {}
    for group in groups:
        section = group.values.section
        secret = group.values.secret(env)
        if secret is None:
            continue
        for name, member in group.members.items():
            if "secret" in member.entries:
                continue
            if found.setdefault(name, secret) != secret:
                both = f"balancers {giver[name]!r} and {section.name!r}"
                findings.error(
                    member.place,
                    f"member {name!r} has no secret, and {both} have different ones for it",
                    directive="secret",
                )
            giver.setdefault(name, section.name)
    return found


class _Group:
    """What is written about one balancer and its members."""

    def __init__(
        self, section: Section, sections: Mapping[str, Section], findings: Findings
    ) -> None:
        self.values = SectionValues(section, "lb", findings)
        self._sections = sections
        self._findings = findings
        self.members = self._find_members()

    def _find_members(self) -> dict[str, Section]:
        """Sections of the members by name, in order."""
        section = self.values.section
        found: dict[str, Section] = {}
        written = section.members()
        for name, place in written:
            what = f"member {name!r} of balancer {section.name!r}"
            if name in found:
                self._findings.warn(place, f"{what} is there twice", directive="balance_workers")
            elif name not in self._sections:
                hint = suggest(name, self._sections)
                self._error(place, f"{what} is defined nowhere", hint=hint)
            elif self._sections[name].kind != "ajp13":
                is_balancer = self._sections[name].kind == "lb"
                kind = "a balancer itself" if is_balancer else "a status worker"
                self._error(place, f"{what} is {kind}; members are of type ajp13")
            else:
                found[name] = self._sections[name]
        if not written:
            self._error(section.place, f"balancer {section.name!r} has no members")
        if len(found) > MAX_MEMBERS:
            count = f"{len(found)} members, and {MAX_MEMBERS} is the most"
            self._error(written[-1][1], f"balancer {section.name!r} has {count}")
        return found

    def _error(self, place: Place, message: str, *, hint: str = "") -> None:
        self._findings.error(place, message, directive="balance_workers", hint=hint)

    def balancer(
        self, workers: Mapping[str, WorkerConfig], maintain_ms: int
    ) -> BalancerConfig | None:
        """The balancer; None when one of its members is missing."""
        values, section = self.values, self.values.section
        members = tuple(
            _build_member(member, workers[name], self._findings)
            for name, member in self.members.items()
            if name in workers
        )
        self._check_routes(members)
        self._check_sense(maintain_ms)
        if not members or len(members) < len({name for name, _ in section.members()}):
            return None
        recover_ms = values.number("recover_time")
        escalation_ms = values.number_or_none("error_escalation_time")
        return BalancerConfig(
            name=section.name,
            members=members,
            method=Method(values.text("method")),
            lock=cast(Literal["Optimistic", "Pessimistic"], values.text("lock")),
            sticky_session=values.flag("sticky_session"),
            sticky_session_force=values.flag("sticky_session_force"),
            session_cookie=self._session_name("session_cookie"),
            session_path=self._session_name("session_path"),
            set_session_cookie=values.flag("set_session_cookie"),
            session_cookie_path=self._session_name("session_cookie_path"),
            retries=values.number("retries"),
            lb_retries=values.number("lb_retries"),
            retry_interval_ms=values.number("retry_interval"),
            recover_time_ms=recover_ms,
            slow_start_ms=values.number("slow_start"),
            error_escalation_time_ms=recover_ms // 2 if escalation_ms is None else escalation_ms,
            max_reply_timeouts=values.number("max_reply_timeouts"),
            maintain_ms=maintain_ms,
            place=section.place,
        )

    def _check_sense(self, maintain_ms: int) -> None:
        """Warn of what contradicts itself."""
        values, section = self.values, self.values.section
        if values.flag("sticky_session_force") and not values.flag("sticky_session"):
            values.warn("sticky_session_force", "has no effect without sticky_session")
        if maintain_ms == 0:
            what = f"failed members of balancer {section.name!r} are only tried again"
            self._findings.warn(
                section.place,
                f"because of worker.maintain=0, {what} when nobody else is left",
                directive="worker.maintain",
            )

    def _session_name(self, directive: str) -> str:
        value = self.values.text(directive)
        wrong = bad_session_name(directive, value)
        if wrong:
            self.values.error(directive, wrong)
        elif directive == "session_path" and not value.startswith(";"):
            self.values.warn(directive, "has no ';' and is found in other names too")
        return value

    def _check_routes(self, members: tuple[MemberConfig, ...]) -> None:
        """No route is twice, and every redirect leads somewhere."""
        routes: dict[str, str] = {}
        for member in members:
            section = self.members[member.name]
            first = routes.setdefault(member.route, member.name)
            if first != member.name:
                entry = section.written("route", "jvm_route") or section
                self._findings.error(
                    entry.place,
                    f"members {first!r} and {member.name!r} of balancer "
                    f"{self.values.section.name!r} have the same route {member.route!r}",
                    directive="route",
                )
        for member in members:
            if member.redirect and routes.get(member.redirect, member.name) == member.name:
                self._check_redirect(member, routes)

    def _check_redirect(self, member: MemberConfig, routes: Mapping[str, str]) -> None:
        """What to say about a redirect to nobody in this balancer, or to the member itself."""
        place = self.members[member.name].entries["redirect"].place
        to = f"redirect: {member.redirect!r}"
        balancer = f"balancer {self.values.section.name!r}"
        if member.redirect in routes:
            message = f"{to} is the route of member {member.name!r} itself, so it has no effect"
            self._findings.warn(place, message, directive="redirect")
            return
        routed = {name: route for route, name in routes.items()}
        others = [route for route, name in routes.items() if name != member.name]
        hint = routed.get(member.redirect) or suggest(member.redirect, others)
        message = f"{to} is the route of no member of {balancer}"
        known = {_route_in(section) for section in self._sections.values()}
        is_elsewhere = member.redirect in known and member.redirect not in routed
        # Somebody has it: taken out of the list for a while, or a member elsewhere.
        is_fine = is_elsewhere or self.members[member.name].is_lenient
        say = self._findings.warn if is_fine else self._findings.error
        say(place, message, directive="redirect", hint="" if is_elsewhere else hint)


def _route_in(section: Section) -> str:
    """The route that a section gives its worker."""
    entry = section.written("route", "jvm_route")
    return section.name if entry is None else str(entry.value)


def _build_member(section: Section, worker: WorkerConfig, findings: Findings) -> MemberConfig:
    """A member out of what is written about its worker."""
    values = SectionValues(section, "ajp13", findings, is_member=True)
    route = _in_cookies(values, "route")
    if route is None:
        route = section.name
        if not values.is_written("route") and not _fits_cookies(route):
            what = "its name cannot be part of a session cookie"
            findings.error(section.place, f"member {route!r} needs a route: {what}")
    domain = _in_cookies(values, "domain")
    if domain is None:
        before, dot, _ = route.partition(".")
        domain = before if dot else ""
    return MemberConfig(
        name=section.name,
        worker=worker,
        lbfactor=values.number("lbfactor"),
        distance=values.number("distance"),
        route=route,
        domain=domain,
        redirect=_in_cookies(values, "redirect") or "",
        activation=_activation(values, worker),
    )


def _in_cookies(values: SectionValues, directive: str) -> str | None:
    """Text that travels in session ids; None when nothing, or nothing good, is written."""
    text = values.text_or_none(directive)
    if text is not None and not _fits_cookies(text):
        values.error(directive, f"{text!r} cannot be part of a session cookie")
        return None
    return text


def _fits_cookies(text: str) -> bool:
    """The balancer takes it for a route."""
    try:
        Member(name="member", route=text)
    except ValueError:
        return False
    return True


def _activation(values: SectionValues, worker: WorkerConfig) -> Activation:
    """What a member begins with.

    Source:
        mod_jk `jk_util.c` jk_get_worker_activation: the two former directives only count without
        the present one, and of these `stopped` before `disabled`.
    """
    activation = Activation.ACTIVE
    is_written = values.is_written("activation")
    if is_written:
        activation = Activation[values.text("activation").upper()]
        for former in ("disabled", "stopped"):
            if values.is_written(former):
                values.warn(former, "has no effect besides 'activation'")
    elif values.flag("stopped"):
        activation = Activation.STOPPED
    elif values.flag("disabled"):
        activation = Activation.DISABLED
    if worker.port == 0 and worker.unix_path is None and activation is not Activation.STOPPED:
        if is_written:
            values.warn("activation", "has no effect with port 0: the member begins stopped")
        return Activation.STOPPED
    return activation
