"""Worker, session, members, packet or answer: what one request came to."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final

from ajp._codec import decode_from_web_server
from ajp.constants import AttributeCode
from ajp.errors import Progress, Reason
from ajp.lb import (
    Activation,
    Choice,
    Extension,
    How,
    Method,
    Session,
    State,
    Verdict,
    find_session,
)
from ajp.lb.balancer import Balancer
from ajp.messages import Attribute, ForwardRequest
from ajp.retry import may_move_on, may_retry
from ajpd._rehearsal import Rehearsal
from ajpd.config.changes import changed, shown
from ajpd.config.model import Config, Mount, WorkerConfig
from ajpd.config.urimap import Standing
from ajpd.process import Process

from .explanation import Answer, Forwarded, MemberSeen, Rule, SessionFound, WorkerFound
from .question import Question
from .rules import ELSEWHERE, text_of

__all__ = ["Course", "answer_of", "forwarded_of", "members_of", "session_of", "worker_of"]

_NO_EXTENSION: Final = Extension()
#: Magic and length before a packet's payload.
_PACKET_HEAD: Final = 4
_UNITS: Final = "_ms"


@dataclass(slots=True)
class Course:
    """A request that went through, and what it went through.

    Attributes:
        config: of both processes.
        question: the request.
        rehearsal: that it went through.
        process: likewise.
        before: as that process was before.
        remarks: gathered on the way.
    """

    config: Config
    question: Question
    rehearsal: Rehearsal
    process: Process
    before: Process
    remarks: list[str] = field(default_factory=list)

    @property
    def rule(self) -> Mount | None:
        """That maps the request."""
        return self.rehearsal.rule

    @property
    def extension(self) -> Extension:
        """What the rule says to its balancer."""
        return (self.rule and self.rule.extension) or _NO_EXTENSION

    @property
    def balancer(self) -> Balancer | None:
        """As it was before the request."""
        group = None if self.rule is None else self.before.groups.get(self.rule.worker)
        return None if group is None else group.balancer

    @property
    def container(self) -> WorkerConfig | None:
        """That gets the request, with what was changed while the daemon runs."""
        name = self.rehearsal.worker
        if name is None:
            return None
        return changed(self.config.containers[name], self.before.ledger.workers[name].config())

    def address(self, worker: str) -> str:
        """Of a container, likewise."""
        return self.before.workers[worker].settings.address


# --- what the rule leads to -----------------------------------------------------------------------


def worker_of(course: Course) -> WorkerFound | None:
    """The worker that the rule names."""
    rule, config = course.rule, course.config
    if rule is None:
        return None
    balancer = course.balancer
    if balancer is not None:
        kind, place = "lb", config.balancers[rule.worker].place
    elif rule.worker in config.workers:
        kind, place = "ajp13", config.workers[rule.worker].place
    else:
        kind, place = "status", config.statuses[rule.worker].place
    return WorkerFound(
        name=rule.worker,
        type=kind,
        place=str(place),
        settings=_settings(course),
        by_rule=_by_rule(rule),
        on_failure=_on_failure(course),
    )


def _settings(course: Course) -> dict[str, str]:
    """What decides about a request, as it counts for this one."""
    found: dict[str, str] = {}
    balancer, container = course.balancer, course.container
    if balancer is not None:
        settings = balancer.settings
        for name in ("method", "sticky_session", "sticky_session_force"):
            value = getattr(settings, name)
            found[name] = ("off", "on")[value] if isinstance(value, bool) else str(value)
        found["session_cookie"] = course.extension.session_cookie or settings.session_cookie
        found["session_path"] = course.extension.session_path or settings.session_path
        found["retries"], found["lb_retries"] = str(settings.retries), str(settings.lb_retries)
    if container is not None:
        settings_now = course.before.workers[container.name].settings
        rule = course.rule
        own = settings_now.reply_timeout
        if rule is not None and rule.reply_timeout_ms is not None:
            own = rule.reply_timeout_ms / 1000
        found["reply_timeout"] = f"{own:g} s" if own else "no limit"
        statuses = container.fail_on_status
        if rule is not None and rule.fail_on_status is not None:
            statuses = rule.fail_on_status
        found["fail_on_status"] = _listed(statuses) or "none"
    return found


def _by_rule(rule: Mount) -> dict[str, str]:
    """The extensions of a rule, by their names in uriworkermap.properties."""
    found: dict[str, str] = {}
    if rule.reply_timeout_ms is not None:
        found["reply_timeout"] = str(rule.reply_timeout_ms)
    if rule.fail_on_status is not None:
        found["fail_on_status"] = _listed(rule.fail_on_status)
    if rule.use_server_errors:
        found["use_server_errors"] = str(rule.use_server_errors)
    extension = rule.extension or _NO_EXTENSION
    for name in ("stateless", "sticky_ignore", "set_session_cookie"):
        if getattr(extension, name):
            found[name] = "1"
    for name in ("session_cookie", "session_path", "session_cookie_path"):
        if getattr(extension, name) is not None:
            found[name] = getattr(extension, name)
    for activation in Activation:
        members = [name for name, wanted in rule.overrides if wanted is activation]
        if members:
            found[shown(activation)] = ",".join(members)
    return found


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(map(str, numbers))


def _on_failure(course: Course) -> str:
    """Whether the request may be sent again once its head has left; as exchanges decide it."""
    container = course.container
    if container is None:
        return ""
    method, options = course.question.method.encode(), container.recovery_options
    lost, sent = Reason.EOF_BEFORE_HEADERS, Progress.HEAD_SENT
    if course.balancer is not None and len(course.balancer.members) > 1:
        again = may_move_on(lost, sent, method=method, is_replayable=True, recovery_options=options)
        whom = "to another member"
    else:
        again = may_retry(
            lost,
            sent,
            method=method,
            is_replayable=True,
            recovery_options=options,
            attempts=1,
            limit=container.retries,
        )
        whom = "once more"
    if again:
        return f"{course.question.method} is sent {whom} if the container fails before it answers"
    return (
        f"{course.question.method} is not sent {whom} once its head has left, whatever comes: the "
        "client gets an error"
    )


# --- its session ----------------------------------------------------------------------------------


def session_of(course: Course) -> SessionFound | None:
    """The session that a balancer would find; None where there is no balancer."""
    balancer, uri = course.balancer, course.rehearsal.uri
    if balancer is None or uri is None:
        return None
    cookie = course.extension.session_cookie or balancer.settings.session_cookie
    parameter = course.extension.session_path or balancer.settings.session_path
    cookies = [value for name, value in course.question.headers if name.lower() == b"cookie"]
    by_path = _find(uri, (), cookie, parameter)
    by_cookie = _find(b"/", cookies, cookie, parameter)
    if by_path is not None and by_cookie is not None:
        course.remarks.append(f"the path parameter {parameter} hides the cookie {cookie}")
    found = by_path or by_cookie
    if found is None:
        where = f"no cookie {cookie} and no path parameter {parameter}"
        return SessionFound(where=where, ids=(), routes=(), counts=False, why="")
    why = _why_not(course, balancer) or _leads_to(balancer, found)
    return SessionFound(
        where=f"path parameter {parameter}" if by_path is not None else f"cookie {cookie}",
        ids=tuple(map(text_of, found.ids)),
        routes=tuple(map(text_of, found.routes)),
        counts=not _why_not(course, balancer) and bool(found.routes),
        why=why,
    )


def _find(uri: bytes, cookies: Iterable[bytes], cookie: str, parameter: str) -> Session | None:
    return find_session(
        uri, cookies, session_cookie=cookie.encode(), session_path=parameter.encode()
    )


def _why_not(course: Course, balancer: Balancer) -> str:
    """Why a session does not count; empty when it does."""
    if course.extension.sticky_ignore:
        return "the rule says sticky_ignore"
    if not balancer.settings.sticky_session:
        return "sticky_session is off"
    if len(balancer.members) == 1:
        return "the balancer has one member only"
    return ""


def _leads_to(balancer: Balancer, session: Session) -> str:
    """Whom the routes of a session name."""
    if not session.routes:
        return "its id has no route behind a dot: does the container have a jvmRoute?"
    said = []
    for route in map(text_of, session.routes):
        named = [member.name for member in balancer.members if member.route == route]
        domain = route.partition(".")[0]
        sharing = [member.name for member in balancer.members if member.domain == domain]
        if named:
            said.append(f"{route} is the route of {named[0]}")
        elif sharing and domain:
            said.append(f"{route} is nobody's route, {domain} the domain of {', '.join(sharing)}")
        else:
            said.append(f"{route} is nobody's route: compare it with the members' jvmRoute")
    return "; ".join(said)


# --- its members ----------------------------------------------------------------------------------


def members_of(course: Course, now: float) -> tuple[MemberSeen, ...]:
    """Every member as the election saw it.

    Args:
        course: of the request.
        now: monotonic seconds.
    """
    balancer, rule = course.balancer, course.rule
    if balancer is None or rule is None:
        return ()
    session, choice = course.rehearsal.session, course.rehearsal.choice
    said = balancer.explain(session, now, extension=rule.extension, choice=choice)
    workers = {m.name: m.worker.name for m in course.config.balancers[rule.worker].members}
    members = [
        _member(
            balancer,
            number,
            verdict,
            load=balancer.load(number, now),
            address=course.address(workers[verdict.member]),
        )
        for number, verdict in enumerate(said)
    ]
    turns = _turns(balancer, course, now)
    if len(turns) > 1:
        course.remarks.append(
            f"it could be any of {', '.join(sorted(turns))}: whose turn it is differs from process "
            "to process"
        )
    return tuple(replace(member, has_turn=member.name in turns) for member in members)


def _member(
    balancer: Balancer, number: int, verdict: Verdict, *, load: int, address: str
) -> MemberSeen:
    member, record = balancer.members[number], balancer.records[number]
    return MemberSeen(
        name=member.name,
        address=address,
        route=member.route,
        domain=member.domain or "",
        redirect=member.redirect,
        distance=member.distance,
        lbfactor=member.lbfactor,
        activation=shown(Activation(record.activation)),
        state=State(record.state).label,
        load=load,
        in_flight=record.in_flight,
        is_chosen=verdict.is_chosen,
        has_turn=False,
        why=verdict.text,
    )


def _turns(balancer: Balancer, course: Course, now: float) -> set[str]:
    """Members that would be elected if it were their turn; each process counts turns by itself.

    What comes after this sees members that were forced, where that is what it takes.
    """
    choice, rule = course.rehearsal.choice, course.rule
    if choice is None or rule is None or choice.how is not How.BY_METHOD:
        return set()
    if balancer.settings.method is Method.P2C:
        course.remarks.append("members are drawn by lot: another time it may be another one")
        return set()
    found = {choice.name}
    for offset in range(len(balancer.members)):
        balancer.store.offset = offset
        other = balancer.elect(course.rehearsal.session, now, extension=rule.extension)
        if isinstance(other, Choice):
            found.add(other.name)
    return found


# --- what is sent ---------------------------------------------------------------------------------


def forwarded_of(course: Course) -> Forwarded | None:
    """What the container gets; None when none does."""
    packet, container = course.rehearsal.packet, course.container
    if packet is None or container is None or course.rehearsal.status:
        return None
    message = decode_from_web_server(packet[_PACKET_HEAD:])
    assert isinstance(message, ForwardRequest)
    query = message.query_string
    return Forwarded(
        worker=container.name,
        address=course.address(container.name),
        method=text_of(message.method),
        uri=text_of(message.uri),
        query=None if query is None else text_of(query),
        remote_addr=text_of(message.remote_addr or b""),
        server_name=text_of(message.server_name or b""),
        server_port=message.server_port,
        is_ssl=message.is_ssl,
        headers=tuple((text_of(name), text_of(value)) for name, value in message.headers),
        attributes=tuple(map(_attribute, filter(_is_shown, message.attributes))),
        has_secret=message.secret is not None,
        size=len(packet),
        max_packet_size=course.before.workers[container.name].settings.max_packet_size,
    )


def _is_shown(attribute: Attribute) -> bool:
    return attribute.code not in (AttributeCode.SECRET, AttributeCode.QUERY_STRING)


def _attribute(attribute: Attribute) -> tuple[str, str]:
    name = attribute.code.name.lower() if attribute.name is None else text_of(attribute.name)
    value = attribute.value
    return name, text_of(value) if isinstance(value, bytes) else str(value)


def answer_of(course: Course, rules: tuple[Rule, ...]) -> Answer | None:
    """What the client gets when no container gets the request."""
    rehearsal = course.rehearsal
    if not rehearsal.status:
        return None
    why = rehearsal.detail or HTTPStatus(rehearsal.status).phrase
    if rehearsal.reason is Reason.NO_MAPPING:
        why = _no_mapping(course, rules)
    elif rehearsal.refusal is not None:
        why = f"{rehearsal.refusal.why}; asked {rehearsal.pauses + 1} times"
    return Answer(status=rehearsal.status, reason=str(rehearsal.reason or ""), why=why)


def _no_mapping(course: Course, rules: tuple[Rule, ...]) -> str:
    standing = {rule.standing: rule for rule in rules}
    if excluding := standing.get(Standing.EXCLUDES):
        return f"{excluding.text} ({excluding.place}) takes the rule back"
    if not rules:
        return "there is no rule"
    other = standing.get(ELSEWHERE)
    return "no rule matches" + (f"; {other.text} ({other.place}) {other.why}" if other else "")
