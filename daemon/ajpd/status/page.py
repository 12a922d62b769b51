"""The status worker: who may ask, what is asked, what is done, how it is answered.

Source: mod_jk `jk_status.c` `service`; its messages, in its order. Differs: who may not see the
page gets 403; what changes something has to be sent by POST with the token of a page, unless the
configuration lets programs on this machine do it by GET.
"""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any, Final

from ajp import __version__
from ajp._slot import Slot
from ajp.errors import StatusTableError
from ajpd.config.model import PageConfig, StatusConfig
from ajpd.http.forwarded import TrustedProxies
from ajpd.inside import Asked, Given

from .actions import ActionError, Deed, Operator, is_like
from .dashboard import ASSETS, Dashboard
from .edit import attribute_form, balancer_form, member_form, worker_form
from .fields import Part, Shower, Shown
from .jk_forms import as_properties, as_txt, as_xml
from .json_form import as_json
from .live_view import LiveView, Readers
from .overview import Overview
from .question import Command, Form, Hide, Question, QuestionError, read_question
from .rates import Rates
from .report import BalancerReport, MemberReport, WorkerReport
from .token import is_token, token_for
from .update import update_balancer, update_members

__all__ = ["SOFTWARE", "StatusPage"]

logger = logging.getLogger("ajpd.status")

#: What pages call this daemon.
SOFTWARE: Final = f"ajpd/{__version__}"

_TYPES: Final = {
    Form.HTML: "text/html; charset=utf-8",
    Form.XML: "text/xml; charset=utf-8",
    Form.TXT: "text/plain; charset=utf-8",
    Form.PROP: "text/plain; charset=utf-8",
    Form.JSON: "application/json",
}
_HEADERS: Final = (
    ("Cache-Control", "no-cache, no-store"),
    ("Pragma", "no-cache"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
)
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; style-src 'self'"
)
#: How each command that does something says that it could not.
_FAILURES: Final = {
    Command.UPDATE: "Update failed",
    Command.RESET: "Reset failed",
    Command.RECOVER: "Marking worker for recovery failed",
}
_SECRET: Final = (".secret", ".secretkey")


class _Answered(Exception):  # noqa: N818 - it is an answer
    """The answer is there already: nothing is done.

    Attributes:
        text: the message.
        status: of the answer.
    """

    def __init__(self, text: str, status: int = 200) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


@dataclass(frozen=True, slots=True)
class _Found:
    """What `w` and `sw` name.

    Attributes:
        balancer, member, worker: of the report; None for what is not named.
        members: all members that `sw` means.
    """

    balancer: BalancerReport | None = None
    member: MemberReport | None = None
    worker: WorkerReport | None = None
    members: tuple[MemberReport, ...] = ()


class StatusPage:
    """One status worker, in one process.

    Args:
        status: the worker.
        access: who may ask, and how.
        overview: of the daemon.
    """

    def __init__(self, status: StatusConfig, access: PageConfig, overview: Overview) -> None:
        self._status = status
        self._access = access
        self._allowed = TrustedProxies(access.allow)
        self._overview = overview
        self._rates = Rates()
        self._readers = Readers()
        self._users = {self._folded(user) for user in status.users}

    def __repr__(self) -> str:
        return f"<StatusPage {self._status.name}>"

    def answer(self, asked: Asked) -> Given:
        """Answer a request."""
        try:
            question = read_question(asked.query, asked.form() if asked.method == "POST" else {})
        except QuestionError as exc:
            refused = self._refusal(asked)
            text, status = refused or (str(exc), 200)
            return self._given(exc.form, self._write_result(exc.form, text), status=status)
        refused = self._refusal(asked)
        if refused is not None:
            text, status = refused
            return self._given(
                question.form, self._write_result(question.form, text), status=status
            )
        asset = ASSETS.get(question.values.get("asset", ""))
        if asset is not None:
            return Given(content_type=asset[0], body=asset[1], headers=_HEADERS[2:])
        if "events" in question.values and question.form is Form.HTML:
            return self._events(asked, question)
        try:
            self._check(asked, question)
            return self._answer(asked, question)
        except _Answered as exc:
            return self._say(asked, question, exc.text, is_done=False, status=exc.status)

    # --- who may ----------------------------------------------------------------------------------

    def _folded(self, user: str) -> str:
        return user.casefold() if self._status.user_case_insensitive else user

    def _refusal(self, asked: Asked) -> tuple[str, int] | None:
        """Why this reader gets nothing; None when he does."""
        if not self._allowed.trusts(asked.remote_addr):
            return f"Access denied for {asked.remote_addr}: it is not in [status] allow", 403
        if self._users:
            if asked.remote_user is None:
                return "Access denied: users are known by their certificate, and there is none", 403
            if self._folded(asked.remote_user) not in self._users:
                return f"Access denied for user {asked.remote_user}", 403
        if asked.method not in ("GET", "HEAD", "POST"):
            return f"{asked.method} is not supported: GET, HEAD or POST", 405
        return None

    @property
    def _may_change(self) -> bool:
        return not (self._status.read_only or self._access.read_only)

    def _is_read_only(self, question: Question) -> bool:
        return not self._may_change or bool(question.hide & Hide.READ_ONLY)

    def _token(self, asked: Asked, question: Question) -> str:
        """For the forms of a page; empty where there are none."""
        return "" if self._is_read_only(question) else token_for(self._who(asked))

    @staticmethod
    def _who(asked: Asked) -> str:
        user = f"{asked.remote_user}@" if asked.remote_user is not None else ""
        return f"{user}{asked.remote_addr}"

    def _check(self, asked: Asked, question: Question) -> None:
        """Whether the command may be given at all, and in this way."""
        if not question.command.is_for_writers:
            return
        if self._is_read_only(question):
            raise _Answered("This command is not allowed in read only mode.")
        if not question.command.changes:
            return
        # What a browser says of where a request comes from no script of a site can change.
        if asked.header(b"sec-fetch-site") in ("cross-site", "same-site"):
            raise _Answered("Another site's page asks for this: it is not done", 403)
        if asked.method == "POST":
            token = question.values.get("token", "") or asked.header(b"x-ajpd-token")
            if not is_token(token, self._who(asked)):
                raise _Answered(
                    "The token is missing or too old: take the one of a new page, or of mime=json",
                    403,
                )
        elif not (self._access.allow_get and _LOCAL.trusts(asked.remote_addr)):
            raise _Answered(
                "What changes something has to be sent by POST with a token; allow_get in [status] "
                "lets programs on this machine do it by GET",
                403,
            )

    # --- commands ---------------------------------------------------------------------------------

    def _answer(self, asked: Asked, question: Question) -> Given:
        match question.command:
            case Command.UPDATE | Command.RESET | Command.RECOVER:
                return self._say(asked, question, self._change(asked, question))
            case Command.LIST | Command.VERSION | Command.DUMP:
                return self._show(asked, question, _Found())
        return self._show(asked, question, self._find(question))

    def _find(self, question: Question) -> _Found:
        """What is named.

        Raises:
            _Answered: nothing is.
        """
        name, member = question.worker, question.member
        patterns = question.command is Command.UPDATE
        if not name:
            raise _Answered("NULL or EMPTY worker param")
        if member == "":
            raise _Answered("EMPTY sub worker param")
        if member and ("*" in member or "?" in member) and not patterns:
            raise _Answered("wildcard not allowed in sub worker for this command")
        config, report = self._overview.config, self._overview.report()
        balancer = next((b for b in report.balancers if b.name == name), None)
        if balancer is not None and name in config.balancers:
            return _in_balancer(balancer, member)
        if name not in config.workers and name not in config.statuses:
            raise _Answered("Could not find given worker")
        if member:
            raise _Answered("worker type has no sub workers")
        return _Found(worker=next((w for w in report.workers if w.name == name), None))

    def _change(self, asked: Asked, question: Question) -> str:
        """Change something; returns what to say about it.

        Raises:
            _Answered: it was not done.
        """
        # Others change things too.
        self._overview.report(anew=True)
        found = self._find(question)
        who = self._who(asked)
        lines: list[str] = []
        try:
            operator = self._overview.operator(f"status page, {who}", lines.append)
            deeds = _do(operator, question, found)
        except (ActionError, StatusTableError) as exc:
            raise _Answered(f"{_FAILURES[question.command]}: {exc}") from exc
        finally:
            for line in lines:
                logger.info("%s: %s client=%s", question.command, line, who)
            self._overview.has_changed()
        if question.command is Command.RECOVER and not any(deed.done for deed in deeds):
            raise _Answered(_FAILURES[Command.RECOVER])
        if question.form is Form.HTML or question.form is Form.JSON:
            return "; ".join(map(str, deeds)) or "Nothing was to be changed"
        return "Action finished"

    # --- answers ----------------------------------------------------------------------------------

    def _given(self, form: Form, text: str, *, status: int = 200) -> Given:
        headers: tuple[tuple[str, str], ...] = _HEADERS
        if form is Form.HTML:
            # A style sheet of somebody's own may be anywhere.
            policy = f"{_POLICY} *" if self._status.css else _POLICY
            headers = (*headers, ("Content-Security-Policy", policy))
        if status == 405:
            headers = (*headers, ("Allow", "GET, HEAD, POST"))
        body = text.encode("utf-8", "replace")
        return Given(status=status, content_type=_TYPES[form], body=body, headers=headers)

    def _write_result(self, form: Form, text: str) -> str:
        """A result alone, for who gets nothing else."""
        if form is Form.HTML:
            return (
                f'<!doctype html><html lang="en"><title>ajpd</title><p>{escape(text)}</p></html>\n'
            )
        return self._write(form, Shown(is_done=False, message=text))

    def _write(self, form: Form, shown: Shown) -> str:
        if form is Form.XML:
            return as_xml(shown, self._status)
        if form is Form.TXT:
            return as_txt(shown)
        if form is Form.PROP:
            return as_properties(shown, self._status)
        result = {"type": "OK" if shown.is_done else "ERROR", "message": shown.message}
        return json.dumps({"result": result}, indent=2) + "\n"

    def _say(
        self,
        asked: Asked,
        question: Question,
        text: str,
        *,
        is_done: bool = True,
        status: int = 200,
    ) -> Given:
        """A result, and for people the page with it."""
        if question.form is Form.HTML:
            page = self._dashboard(asked, question).page(text, is_done=is_done)
            return self._given(Form.HTML, page, status=status)
        shown = Shown(is_done=is_done, message=text)
        return self._given(question.form, self._write(question.form, shown), status=status)

    def _show(self, asked: Asked, question: Question, found: _Found) -> Given:
        if question.form is Form.HTML:
            return self._given(Form.HTML, self._html(asked, question, found))
        if question.form is Form.JSON:
            return self._given(Form.JSON, self._json(asked, question))
        edits = question.command is Command.EDIT
        balancers, workers = self._parts(question, found)
        shown = Shown(
            server=(asked.server_name, asked.server_port),
            when=None if edits else time.time(),
            software=SOFTWARE,
            with_counts=question.command is Command.LIST,
            properties=self._properties() if question.command is Command.DUMP else None,
            balancers=balancers,
            workers=workers,
        )
        return self._given(question.form, self._write(question.form, shown))

    def _parts(self, question: Question, found: _Found) -> tuple[Sequence[Part], Sequence[Part]]:
        """Balancers and other workers that are shown."""
        shower = Shower(
            report=self._overview.report(),
            config=self._overview.config,
            status=self._status,
            address_of=self._overview.address_of,
            with_members=not question.hide & Hide.MEMBERS,
            with_maps=not question.hide & Hide.MAPS,
        )
        if question.command is Command.LIST:
            hide = question.hide
            return (
                () if hide & Hide.BALANCERS else shower.balancers(),
                () if hide & Hide.WORKERS else shower.workers(),
            )
        if question.command is Command.SHOW and found.balancer is not None:
            return [shower.balancer(found.balancer, found.member)], ()
        if question.command is Command.SHOW and found.worker is not None:
            return (), [shower.worker(found.worker)]
        return (), ()

    def _properties(self) -> list[tuple[str, str]]:
        """What was loaded, without what nobody shall read."""
        return _without_secrets(self._overview.config.properties)

    def _json(self, asked: Asked, question: Question) -> str:
        found: dict[str, Any] = {
            "server": {"name": asked.server_name, "port": asked.server_port},
            "software": SOFTWARE,
            "time": time.time(),
        }
        token = self._token(asked, question)
        if token:
            found["token"] = token
        if question.command is Command.DUMP:
            found["properties"] = dict(self._properties())
        elif question.command is not Command.VERSION:
            found |= as_json(self._overview.report())
        found["result"] = {"type": "OK", "message": "Action finished"}
        return json.dumps(found, indent=2) + "\n"

    # --- for people -------------------------------------------------------------------------------

    def _dashboard(self, asked: Asked, question: Question) -> Dashboard:
        report = self._overview.report()
        self._rates.note(report)
        return Dashboard(
            report=report,
            config=self._overview.config,
            status=self._status,
            question=question,
            rates=self._rates,
            token=self._token(asked, question),
            may_change=self._may_change,
            where=f"{asked.server_name}:{asked.server_port}",
            software=SOFTWARE,
        )

    def _html(self, asked: Asked, question: Question, found: _Found) -> str:
        form = ""
        if question.command is Command.EDIT:
            token = self._token(asked, question)
            if found.member is not None:
                form = member_form(found.member, token)
            elif found.balancer is not None and question.attribute:
                form = attribute_form(found.balancer, question.attribute, token)
            elif found.balancer is not None:
                form = balancer_form(found.balancer, token)
            elif found.worker is not None:
                form = worker_form(found.worker, token)
        return self._dashboard(asked, question).page(form=form)

    def _events(self, asked: Asked, question: Question) -> Given:
        """The page as it goes on."""
        if self._readers.is_full:
            return self._given(Form.TXT, "Too many have this page open.\n", status=503)
        view = partial(self._view, asked, question)
        return Given(
            content_type="text/event-stream",
            headers=(*_HEADERS, ("X-Accel-Buffering", "no")),
            stream=None if asked.method == "HEAD" else LiveView(self._readers, view),
        )

    def _view(self, asked: Asked, question: Question) -> str:
        return self._dashboard(asked, question).view()


_LOCAL: Final = TrustedProxies(("loopback",))


def _without_secrets(properties: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """All but secrets, and the variables that they are made of."""
    secrets = {value for name, value in properties if name.endswith(_SECRET) and value}

    def tells(name: str, value: str) -> bool:
        if name.endswith(_SECRET) or value in secrets:
            return True
        is_variable = not name.startswith("worker.") and bool(value)
        return is_variable and any(value in each or each in value for each in secrets)

    return [(name, value) for name, value in properties if not tells(name, value)]


def _in_balancer(balancer: BalancerReport, name: str | None) -> _Found:
    if name is None:
        return _Found(balancer=balancer, members=balancer.members)
    if "*" in name or "?" in name:
        members = tuple(m for m in balancer.members if is_like(m.name, name))
        member = None
    else:
        members = tuple(m for m in balancer.members if m.name == name)
        member = members[0] if members else None
    if not members:
        raise _Answered("could not find sub worker")
    return _Found(balancer=balancer, member=member, members=members)


def _do(operator: Operator, question: Question, found: _Found) -> list[Deed]:
    """Do what was asked for."""
    balancer, name = found.balancer, question.worker or ""
    if balancer is None:
        if found.worker is None:
            raise ActionError(f"{name} has nothing that could be changed")
        if question.command is Command.RECOVER:
            return []
        if question.command is Command.RESET:
            return operator.reset(operator.workers(name))
        worker = _slot(operator.workers(name))
        return update_members(operator, (), [(worker, found.worker)], question)
    if question.command is Command.UPDATE and question.member is None and not question.attribute:
        slot = _slot(operator.balancers(name))
        return update_balancer(operator, slot, balancer, question.values)
    if question.command is Command.RESET and question.member is None:
        return operator.reset(operator.balancers(name))
    if question.command is Command.RECOVER and question.member is None:
        return []
    members = [_slot(operator.members(f"{name}/{each.name}")) for each in found.members]
    if question.command is Command.RECOVER:
        return operator.recover(members)
    if question.command is Command.RESET:
        return operator.reset(members)
    workers = [
        (_slot(operator.workers(each.name)), each.worker)
        for each in found.members
        if each.worker is not None
    ]
    return update_members(operator, [*zip(members, found.members, strict=True)], workers, question)


def _slot(found: Sequence[Slot]) -> Slot:
    """The newest of those of one name: during a reload there may be two."""
    return max(found, key=lambda slot: slot.generation)
