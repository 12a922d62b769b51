"""The page that people keep open: a report as HTML, complete without any script.

What changes from moment to moment is in `<main>`; a script, where there is one, puts a newer one in
its place. Every text is escaped where it enters the page, and nothing in it runs but the two files
beside it.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Final
from urllib.parse import urlencode

from ajp.lb import Activation, State
from ajp.snapshot import ProbeState, ProcessState
from ajpd.config.changes import shown
from ajpd.config.model import Config, StatusConfig

from .charts import in_words, latency_chart, rate_chart
from .fields import rate, rules_of_worker
from .question import Command, Form, Hide, Question
from .rates import Pace, Rates
from .report import BalancerReport, MemberReport, ProcessReport, Report, SlotReport, WorkerReport
from .text_form import ago, duration

__all__ = ["ASSETS", "Dashboard"]

_FOLDER: Final = files("ajpd.status") / "assets"
#: What the page loads, by name: its type and its content.
ASSETS: Final = {
    "page.css": ("text/css; charset=utf-8", (_FOLDER / "page.css").read_bytes()),
    "page.js": ("text/javascript; charset=utf-8", (_FOLDER / "page.js").read_bytes()),
}

_HEADS: Final = (
    *("Member", "State", "In flight", "Requests/s", "Latency", "Errors", "Sessions"),
    *("Connections", "Actions"),
)
_WORKER_HEADS: Final = (
    *("Worker", "State", "In flight", "Requests/s", "Latency", "Errors", "Connections", "Actions"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One reader's page.

    Attributes:
        report: to show.
        config: with the rules of now.
        status: of the status worker that shows it.
        question: what was asked for.
        rates: what was seen before.
        token: goes with each change; empty: this reader changes nothing.
        may_change: he could, if he wanted to.
        where: name and port that the reader asked for.
        software: of this daemon.
    """

    report: Report
    config: Config
    status: StatusConfig
    question: Question
    rates: Rates
    token: str
    may_change: bool
    where: str
    software: str

    def page(self, message: str = "", *, is_done: bool = True, form: str = "") -> str:
        """All of it.

        Args:
            message: how it went; empty to say nothing.
            is_done: it went well.
            form: HTML that comes before everything else.
        """
        refresh = ""
        if self.question.refresh_s:
            refresh = f'<meta http-equiv="refresh" content="{self.question.refresh_s}">'
        css = escape(self.status.css or "?asset=page.css")
        kind = "good" if is_done else "bad"
        said = f'<p class="said {kind}">{escape(message)}</p>' if message else ""
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f"<title>{self._title()}</title>\n"
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta name="color-scheme" content="light dark">{refresh}\n'
            f'<link rel="stylesheet" href="{css}">\n'
            '<link rel="icon" href="data:,">\n'
            '<script src="?asset=page.js" defer></script>\n</head>\n<body>\n'
            f"<header><h1>{escape(self.where)}</h1>{self._links()}</header>\n"
            f'<div id="said" role="status" aria-live="polite">{said}</div>\n{form}'
            f'<main id="view">{self.view()}</main>\n'
            f"<footer>{self._legend()}<p>{escape(self.software)}"
            '<span id="live"></span></p></footer>\n</body>\n</html>\n'
        )

    def view(self) -> str:
        """What changes from moment to moment."""
        hide = self.question.hide
        parts = [self._summary()]
        if not hide & Hide.BALANCERS:
            parts += [self._balancer(each) for each in self._balancers()]
        workers = self._workers()
        if workers and not hide & Hide.WORKERS:
            parts.append(self._alone(workers))
        parts.append(self._reasons())
        parts.append(self._processes())
        return "\n".join(parts)

    def _title(self) -> str:
        failed = [m for m in self.report.members if m.state is State.ERROR]
        mark = f"({len(failed)}) " if failed else ""
        return f"{mark}ajpd on {escape(self.where)}"

    def _balancers(self) -> Sequence[BalancerReport]:
        """Those that were asked for."""
        wanted = self.question.worker if self.question.command is not Command.LIST else None
        found = [b for b in self.report.balancers if b.name in self.config.balancers]
        return [b for b in found if b.name == wanted] if wanted else found

    def _workers(self) -> Sequence[WorkerReport]:
        wanted = self.question.worker if self.question.command is not Command.LIST else None
        found = [w for w in self.report.workers if w.name in self.config.workers]
        return [w for w in found if w.name == wanted] if wanted else found

    def _links(self) -> str:
        hide = self.question.hide
        links: list[tuple[str, dict[str, str] | None]] = (
            [("All", {})] if self.question.command is not Command.LIST else []
        )
        if not self.may_change:
            links.append(("read only", None))
        elif hide & Hide.READ_ONLY:
            links.append(("Let me change things", {"opt": str(hide & ~Hide.READ_ONLY)}))
        else:
            links.append(("Read only", {"opt": str(hide | Hide.READ_ONLY)}))
        links += [("Settings as loaded", {"cmd": "dump", "mime": "txt"})]
        links += [(form.upper(), {"mime": str(form)}) for form in Form if form is not Form.HTML]
        items = "".join(
            f"<li>{escape(text)}</li>"
            if values is None
            else f'<li><a href="?{escape(urlencode(values))}">{escape(text)}</a></li>'
            for text, values in links
        )
        return f"<nav><ul>{items}</ul></nav>"

    # --- all together -----------------------------------------------------------------------------

    def _summary(self) -> str:
        front = self.report.front
        when = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(self.report.when_ns / 1e9))
        cells = []
        if front is not None:
            pace = self.rates.pace(front, self.report.when_ns)
            cells = [
                ("Requests/s", _rate(pace.per_s) + rate_chart(self.rates.line(front))),
                ("In flight", str(front.in_flight)),
                ("Failed/s", _rate(pace.errors_per_s)),
                ("Latency", escape(in_words(pace.duration))),
                ("Clients", str(front.connected)),
            ]
        serving = sum(p.state is ProcessState.RUNNING for p in self.report.processes)
        cells += [
            ("Processes", str(serving)),
            ("Configuration", f"generation {self.report.generation}"),
        ]
        items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in cells)
        missing = "".join(
            f'<p class="said bad">{escape(name)} is in the files and not in the running ajpd: '
            "reload it</p>"
            for name in self.report.missing
        )
        return (
            f'<section aria-label="Summary"><p class="when">as of <time>{when}</time></p>'
            f'<dl class="facts">{items}</dl>{missing}</section>'
        )

    def _reasons(self) -> str:
        """What failed, and why, since the last reset."""
        front = self.report.front
        reasons = {} if front is None else front.since_reset.reasons
        if not reasons:
            return '<section><h2>Errors</h2><p class="none">none</p></section>'
        rows = "".join(
            f"<tr><th scope='row'>{escape(str(reason))}</th><td>{count}</td></tr>"
            for reason, count in sorted(reasons.items(), key=lambda item: -item[1])
        )
        return (
            '<section><h2>Errors</h2><table class="plain"><caption>What clients were refused, or '
            "lost, by reason</caption><thead><tr><th scope='col'>Reason</th>"
            f"<th scope='col'>Count</th></tr></thead><tbody>{rows}</tbody></table></section>"
        )

    def _processes(self) -> str:
        rows = "".join(_process(each) for each in self.report.processes)
        return (
            '<section><details id="processes"><summary><h2>Processes</h2></summary>'
            "<table class='plain'><thead><tr>"
            "<th scope='col'>Process</th><th scope='col'>Does</th><th scope='col'>Generation</th>"
            "<th scope='col'>Last sign of life</th></tr></thead>"
            f"<tbody>{rows}</tbody></table></details></section>"
        )

    # --- balancers --------------------------------------------------------------------------------

    def _balancer(self, balancer: BalancerReport) -> str:
        name = escape(balancer.name)
        rating = rate(self.status, balancer.members)
        hide = self.question.hide
        words = [f"{rating.good} good", f"{rating.degraded} degraded", f"{rating.bad} bad"]
        words.append(f"{balancer.in_flight} in flight, {balancer.max_in_flight} at most")
        if balancer.maintenance_min_s is not None and balancer.maintenance_max_s is not None:
            least, most = balancer.maintenance_min_s, balancer.maintenance_max_s
            words.append(f"maintenance in {duration(least)} to {duration(most)}")
        summary = "" if hide & Hide.SUMMARY else f'<p class="rating">{"; ".join(words)}</p>'
        rows = ""
        if not hide & Hide.MEMBERS:
            wanted = self.question.member if self.question.command is Command.SHOW else None
            rows = "".join(
                self._member(each) for each in balancer.members if wanted in (None, each.name)
            )
        settings = "" if hide & Hide.BALANCER_SETTINGS else _settings(balancer)
        table = _table(f"Members of {name}", _HEADS, rows) if rows else ""
        return (
            f'<section id="lb-{name}"><h2>Balancer {name}</h2>{self._tools(balancer.name)}'
            f"{summary}{table}{settings}{self._maps(balancer.name)}</section>"
        )

    def _tools(self, worker: str, member: str = "") -> str:
        """Links to look at one thing, and to change its settings."""
        values = {"w": worker, **({"sw": member} if member else {})}
        links = [("show", "Show"), *([("edit", "Edit")] if self.token else [])]
        what = escape(member or worker)
        shown_links = " ".join(
            f'<a href="?{escape(urlencode({"cmd": cmd, **values}))}" '
            f'aria-label="{text} {what}">{text}</a>'
            for cmd, text in links
        )
        return f'<p class="tools">{shown_links}</p>'

    def _member(self, member: MemberReport) -> str:
        worker = member.worker
        pace = self.rates.pace(member, self.report.when_ns)
        trouble = member.trouble or (None if worker is None else worker.trouble)
        errors = str(member.errors)
        if trouble is not None:
            errors += f"<small>{escape(str(trouble.reason))}, {ago(trouble.age_s)}</small>"
        cells = [
            _state(member),
            f"{member.in_flight}<small>{member.max_in_flight} at most</small>",
            _rate(pace.per_s) + rate_chart(self.rates.line(member)),
            _latency(pace, member),
            errors + _reasons_of(member),
            _sessions(member),
            "" if worker is None else _connections(worker),
            self._actions(member),
        ]
        route = f", route {escape(member.route)}" if member.route else ""
        head = (
            f"<th scope='row'>{escape(member.name)}<small>{escape(member.where)}{route}</small>"
            f"{self._tools(member.balancer, member.name)}</th>"
        )
        kind = _kind(member)
        key = escape(f"m-{member.balancer}-{member.name}")
        return f'<tr id="{key}" class="{kind}">{head}{_cells(_HEADS[1:], cells)}</tr>'

    def _actions(self, member: MemberReport) -> str:
        """Buttons for what makes sense now."""
        if not self.token:
            return ""
        of = {"w": member.balancer, "sw": member.name}
        wanted = []
        if member.activation is not Activation.ACTIVE:
            wanted.append(("Activate", {"cmd": "update", **of, "vwa": "a"}))
        if member.activation is Activation.ACTIVE:
            wanted.append(("Drain", {"cmd": "update", **of, "vwa": "d"}))
        if member.activation is not Activation.STOPPED:
            wanted.append(("Stop", {"cmd": "update", **of, "vwa": "s"}))
        if member.state is State.ERROR:
            wanted.append(("Recover", {"cmd": "recover", **of}))
        wanted.append(("Reset", {"cmd": "reset", **of}))
        return self._buttons(member.name, wanted)

    def _buttons(self, name: str, wanted: Iterable[tuple[str, dict[str, str]]]) -> str:
        opt = {"opt": str(int(self.question.hide))} if self.question.hide else {}
        buttons = "".join(
            f'<button formaction="?{escape(urlencode({**values, **opt}))}" '
            f'aria-label="{text} {escape(name)}">{text}</button>'
            for text, values in wanted
        )
        return (
            '<form method="post" class="actions">'
            f'<input type="hidden" name="token" value="{self.token}">{buttons}</form>'
        )

    # --- containers without a balancer ------------------------------------------------------------

    def _alone(self, workers: Sequence[WorkerReport]) -> str:
        rows = "".join(self._worker(each) for each in workers)
        maps = "".join(self._maps(each.name) for each in workers)
        return (
            '<section id="workers"><h2>Workers without a balancer</h2>'
            f"{_table('Workers without a balancer', _WORKER_HEADS, rows)}{maps}</section>"
        )

    def _worker(self, worker: WorkerReport) -> str:
        pace = self.rates.pace(worker, self.report.when_ns)
        errors = str(worker.since_reset.errors)
        if worker.trouble is not None:
            errors += (
                f"<small>{escape(str(worker.trouble.reason))}, {ago(worker.trouble.age_s)}</small>"
            )
        actions = ""
        if self.token:
            actions = self._buttons(worker.name, [("Reset", {"cmd": "reset", "w": worker.name})])
        cells = [
            _probe(worker) or '<span class="badge">no probes</span>',
            f"{worker.in_flight}<small>{worker.max_in_flight} at most</small>",
            _rate(pace.per_s) + rate_chart(self.rates.line(worker)),
            _latency(pace, worker),
            errors + _reasons_of(worker),
            _connections(worker),
            actions,
        ]
        name = escape(worker.name)
        head = (
            f"<th scope='row'>{name}<small>{escape(worker.where)}</small>"
            f"{self._tools(worker.name)}</th>"
        )
        return f'<tr id="w-{name}">{head}{_cells(_WORKER_HEADS[1:], cells)}</tr>'

    # --- what hardly changes ----------------------------------------------------------------------

    def _maps(self, worker: str) -> str:
        rules = rules_of_worker(worker, self.config)
        if self.question.hide & Hide.MAPS or not rules:
            return ""
        rows = "".join(
            f"<tr><td>{escape(host)}</td><th scope='row'><code>{escape(str(rule))}</code></th>"
            f"<td>{escape(_file_of(str(rule.place)))}</td></tr>"
            for host, rule in rules
        )
        name = escape(worker)
        lead = "1 rule leads" if len(rules) == 1 else f"{len(rules)} rules lead"
        return (
            f'<details id="maps-{name}"><summary>{lead} to {name}</summary>'
            "<table class='plain'><thead><tr><th scope='col'>Host</th><th scope='col'>Rule</th>"
            f"<th scope='col'>Written in</th></tr></thead><tbody>{rows}</tbody></table></details>"
        )

    def _legend(self) -> str:
        if self.question.hide & Hide.LEGEND:
            return ""
        rows = "".join(f"<dt>{escape(name)}</dt><dd>{words}</dd>" for name, words in _LEGEND)
        return (
            f"<details id='legend'><summary>What the words mean</summary><dl>{rows}</dl></details>"
        )


_LEGEND: Final = (
    ("ACT, DIS, STP", "what is wanted: everything; its sessions and nothing new; nothing"),
    ("OK, OK/IDLE, OK/BUSY", "works; without work since the last maintenance; all its "
     "connections are taken"),
    ("ERR", "failed, and gets no requests"),
    ("ERR/REC, ERR/PRB, ERR/FRC", "failed, and is about to be tried; is tried by one request; is "
     "tried because nobody else is left"),
    ("Drain", "no new sessions, those it has go on; ajpd drain --wait in a shell waits for them"),
    ("Recover", "have a failed member tried with the next request"),
    ("Reset", "begin all counts anew, and forget errors"),
    ("Latency", "of whole requests in the last seconds while this page is open, else since the "
     "last reset; a bar is half an octave, from 64 us to 17 s"),
)  # fmt: skip


def _table(caption: str, heads: Sequence[str], rows: str) -> str:
    columns = "".join(f"<th scope='col'>{name}</th>" for name in heads)
    return (
        f'<table class="members"><caption>{caption}</caption>'
        f"<thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _cells(heads: Iterable[str], cells: Iterable[str]) -> str:
    """Cells that say what they are where there is no room for a head."""
    return "".join(
        f'<td data-head="{name}">{cell}</td>' for name, cell in zip(heads, cells, strict=True)
    )


def _kind(member: MemberReport) -> str:
    if member.activation is Activation.STOPPED:
        return "stopped"
    if member.state >= State.ERROR:
        return "failed"
    return "disabled" if member.activation is Activation.DISABLED else "fine"


def _state(member: MemberReport) -> str:
    badges = [f'<span class="badge {_kind(member)}">{member.activation.letters}</span>']
    badges.append(f'<span class="badge">{member.state.label}</span>')
    words = []
    if member.worker is not None:
        badges.append(_probe(member.worker))
    if member.activation is Activation.DISABLED:
        words.append("drains")
    if member.recover_max_s is not None and member.recover_min_s is not None:
        words.append(
            f"tried in {duration(member.recover_min_s)} to {duration(member.recover_max_s)}"
        )
    if member.changed:
        changed = ", ".join(f"{name} {shown(value)}" for name, value in member.changed.items())
        words.append(f"changed: {changed}")
    return " ".join(badges) + "".join(f"<small>{escape(each)}</small>" for each in words)


def _probe(worker: WorkerReport) -> str:
    probe = worker.probe
    if probe is None:
        return ""
    if probe.state is ProbeState.ANSWERS:
        took = "" if probe.rtt_s is None else f" in {duration(probe.rtt_s)}"
        return f'<span class="badge fine">answers{took}</span>'
    word = {ProbeState.FAILS: "does not answer", ProbeState.FROZEN: "frozen"}
    return f'<span class="badge failed">{word.get(probe.state, "not probed")}</span>'


def _sessions(member: MemberReport) -> str:
    return (
        f"{member.recent_sessions}<small>in 5 min, the last {ago(member.last_session_age_s)}"
        "</small>"
    )


def _connections(worker: WorkerReport) -> str:
    waiting = f", <b>{worker.waiting} waiting</b>" if worker.waiting else ""
    return f"{worker.connected}<small>{worker.idle} idle{waiting}</small>"


def _latency(pace: Pace, slot: SlotReport) -> str:
    """Lately, or since the last reset when there was nothing lately."""
    times = pace.duration if pace.duration.total else slot.since_reset.duration
    if not times.total:
        return '<span class="none">no requests yet</span>'
    return f"{latency_chart(times)}<small>{escape(in_words(times))}</small>"


def _reasons_of(slot: SlotReport) -> str:
    reasons = slot.since_reset.reasons
    if not reasons:
        return ""
    most = sorted(reasons.items(), key=lambda item: -item[1])
    items = "".join(f"<li>{count} times {escape(str(reason))}</li>" for reason, count in most)
    return f"<details><summary>by reason</summary><ul>{items}</ul></details>"


def _settings(slot: SlotReport) -> str:
    items = "".join(
        f"<div><dt>{escape(name.removesuffix('_ms'))}</dt>"
        f"<dd>{escape(_setting(name, value))}</dd></div>"
        for name, value in slot.settings.items()
    )
    name = escape(slot.name)
    return (
        f'<details id="settings-{name}"><summary>Settings of {name}</summary>'
        f'<dl class="facts">{items}</dl></details>'
    )


def _setting(name: str, value: object) -> str:
    if name.endswith("_ms") and isinstance(value, int):
        return duration(value / 1000) if value else "0"
    return str(value)


def _file_of(place: str) -> str:
    return place.rpartition("/")[2]


def _rate(per_s: float) -> str:
    if per_s and per_s < 0.1:
        return f"{per_s:.2g} "
    return f"{per_s:.1f} " if per_s < 10 else f"{per_s:.0f} "


def _process(process: ProcessReport) -> str:
    does = "serves" if process.state is ProcessState.RUNNING else "finishes"
    if process.is_prober:
        does += ", probes the containers"
    return (
        f"<tr><th scope='row'>{process.pid}</th><td>{does}</td><td>{process.generation}</td>"
        f"<td>{ago(process.heartbeat_age_s)}</td></tr>"
    )
