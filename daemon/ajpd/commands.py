"""The commands for a daemon that runs: status, drain, activate, stop, recover, reset; and explain.

They look at the status table and change it; the daemon itself is asked only where its table is, and
told what to write into its log. Text for people, `--json` for machines; what is done is decided in
`ajpd.status`. Arguments are read in `cli.py` and `arguments.py`.
"""

import argparse
import importlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from ipaddress import ip_address
from typing import Final

from ajp._slot import Slot
from ajp.errors import StatusTableError
from ajp.journal import Journal
from ajp.lb import Activation, State
from ajp.snapshot import Kind
from ajp.table import Table

from .config.errors import ConfigErrors
from .config.load import load_files, load_toml
from .config.model import Config
from .control import ControlError, ask_table, tell, user_name
from .explain.forms import as_json as as_values
from .explain.forms import as_text as as_lines
from .explain.look import explain
from .explain.question import Question, question_of
from .ledger import journal_of, slot_address
from .status.actions import ActionError, Deed, Operator
from .status.collect import collect, current_slots
from .status.drain import Drain, Standing
from .status.json_form import as_json
from .status.rates import Rates
from .status.report import Report
from .status.text_form import ago, as_text, duration
from .status.top_form import as_lines as as_lines_of_top

__all__ = ["COMMANDS", "explain_request", "files_of"]

#: Seconds between two looks at members that drain, and between two lines where no terminal is.
LOOK_S: Final = 0.5
LINE_S: Final = 10.0


_ACTIVATIONS: Final = {
    "activate": Activation.ACTIVE,
    "drain": Activation.DISABLED,
    "stop": Activation.STOPPED,
}


class Refused(Exception):  # noqa: N818 - the answer is no
    """There is nothing to look at, or it must not be looked at; the message says why."""


def files_of(args: argparse.Namespace) -> list[str]:
    """The paths that a daemon is known by."""
    return [file for file in (args.config, args.workers, args.map) if file is not None]


def _open(args: argparse.Namespace, *, writable: bool) -> Table:
    """The table of the daemon that runs with these files, or the one that was named.

    Raises:
        Refused: there is no such daemon, or its table cannot be opened.
    """
    try:
        path = args.table or ask_table(files_of(args))
        table = Table.attach(path, writable=writable)
    except (ControlError, StatusTableError) as exc:
        raise Refused(str(exc)) from exc
    if not table.living():
        raise Refused(f"no ajpd runs with the table {table.path}")
    return table


def _config(args: argparse.Namespace) -> Config | None:
    """What the files say now; None where there are none, or they are broken."""
    if not files_of(args):
        return None
    try:
        if args.config is not None:
            return load_toml(args.config)
        return load_files(args.workers, args.map, [])
    except ConfigErrors as broken:
        count = len(broken.errors)
        print(
            f"warning: the files are broken (ajpd check tells {count}): what only they say is left "
            "out",
            file=sys.stderr,
        )
        return None


def _write_down(journal: Journal, slot: Slot, changes: Mapping[str, int | str | None]) -> None:
    """Make a change, and keep it for the day the table is lost."""
    journal.configure(slot, changes, time.time(), who=user_name(os.geteuid()))


class _Session:
    """One command: the table, who changes it, and what it leaves in the daemon's log."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.table = _open(args, writable=True)
        self.config = _config(args)
        self._told: list[str] = []
        journal = None if self.config is None else journal_of(self.config, self.table)
        configure = None if journal is None else partial(_write_down, journal)
        self.operator = Operator(
            self.table, self.config, tell=self._told.append, configure=configure
        )

    def log(self) -> None:
        """Have the daemon log what was done; where it cannot be asked its processes do alone."""
        lines, self._told[:] = [*self._told], []
        files = files_of(self.args)
        if lines and files:
            try:
                tell(files, [f"{self.args.command}: {line}" for line in lines])
            except ControlError as exc:
                print(f"warning: who did this is not in the log: {exc}", file=sys.stderr)

    def show(self, deeds: Sequence[Deed], *, done: bool) -> None:
        """Say what was done."""
        if self.args.json:
            found = {"done": done, "deeds": [asdict(deed) for deed in deeds]}
            print(json.dumps(found, indent=2))
            return
        for deed in deeds:
            print(deed)


def _status(args: argparse.Namespace) -> int:
    report = collect(_open(args, writable=False), _config(args))
    if args.json:
        print(json.dumps(as_json(report), indent=2))
    else:
        print("\n".join(as_text(report)))
    return 0


# --- top ------------------------------------------------------------------------------------------


class _Watch:
    """What `top` looks at, and what its keys do."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._config = _config(args)
        self._table = _open(args, writable=False)

    def look(self) -> Report:
        """A report of now; of the next ajpd, when this one has been started anew.

        Raises:
            ValueError: there is none any more.
        """
        try:
            if self._table.is_replaced or not self._table.living():
                self._table = _open(self._args, writable=False)
                self._config = _config(self._args)
            return collect(self._table, self._config)
        except (Refused, StatusTableError) as exc:
            raise ValueError(str(exc)) from exc

    def act(self, word: str, name: str) -> list[str]:
        """Do what a key says.

        Raises:
            ValueError: it cannot be done.
        """
        try:
            session = _Session(self._args)
            operator = session.operator
            if word == "reset":
                deeds = operator.reset(operator.slots(name))
            elif word == "recover":
                deeds = operator.recover(operator.members(name))
            else:
                deeds = operator.set_activation(operator.members(name), _ACTIVATIONS[word])
            session.log()
        except (Refused, ActionError, StatusTableError) as exc:
            raise ValueError(str(exc)) from exc
        return [*map(str, deeds)]


def _top(args: argparse.Namespace) -> int:
    watch = _Watch(args)
    if not args.once:
        try:
            # Only who wants it has to have what it needs.
            screen = importlib.import_module("ajpd.top")
        except ImportError as exc:
            raise Refused(
                f"{exc.name} is not installed: pip install 'ajp[top]', or use --once"
            ) from exc
        return int(screen.run(watch.look, watch.act, interval=args.interval))
    rates = Rates()
    rates.note(watch.look())
    time.sleep(args.interval)
    print("\n".join(as_lines_of_top(watch.look(), rates)))
    return 0


def explain_request(args: argparse.Namespace, config: Config) -> int:
    """Say what becomes of a request; 1 when no container gets it."""
    try:
        question = question_of(args.url, args.headers, args.method)
        client = str(ip_address(args.client))
    except ValueError as exc:
        print(f"ajpd explain: {exc}", file=sys.stderr)
        return 2
    return _answered(partial(_explain, config=config, question=question, client=client))(args)


def _explain(args: argparse.Namespace, config: Config, question: Question, client: str) -> int:
    # What the daemon would write into its log is part of what is printed here.
    logging.getLogger("ajpd").addHandler(logging.NullHandler())
    table = _open(args, writable=False) if args.live else None
    found = explain(config, question, table=table, client=client)
    if args.json:
        print(json.dumps(as_values(found), indent=2))
    else:
        print("\n".join(as_lines(found)))
    return 0 if found.answer is None else 1


def _set_activation(args: argparse.Namespace, activation: Activation) -> int:
    session = _Session(args)
    members = session.operator.members(*args.members)
    deeds = session.operator.set_activation(members, activation)
    session.log()
    session.show(deeds, done=True)
    if activation is not Activation.ACTIVE:
        _warn_of_nobody(session.table, members)
    return 0


def _recover(args: argparse.Namespace) -> int:
    session = _Session(args)
    deeds = session.operator.recover(session.operator.members(*args.members))
    session.log()
    done = any(deed.done for deed in deeds)
    session.show(deeds, done=done)
    return 0 if done else 1


def _reset(args: argparse.Namespace) -> int:
    session = _Session(args)
    slots = session.operator.slots(*args.members)
    if args.back:
        # What only the files know has to be known to go back to.
        if session.config is None:
            raise Refused("--to-files needs files that are not broken: -c, or --workers and --map")
        deeds = session.operator.forget(slots)
    else:
        deeds = session.operator.reset(slots)
    session.log()
    session.show(deeds, done=True)
    return 0


def _warn_of_nobody(table: Table, members: Sequence[Slot]) -> None:
    """Say so where nobody is left for new sessions."""
    for name in sorted({member.balancer for member in members}):
        others = [
            slot
            for slot in current_slots(table)
            if slot.balancer == name and slot.activation == Activation.ACTIVE
        ]
        if not others:
            print(
                f"warning: {name} has no active member any more: new sessions get 503",
                file=sys.stderr,
            )
        elif all(slot.snapshot().state >= State.BUSY for slot in others):
            print(f"warning: no active member of {name} can be had now", file=sys.stderr)


def _warn_of_other_ways(session: _Session, members: Sequence[Slot]) -> None:
    """Say so where requests get to the same containers in other ways, for which nobody waits."""
    addresses = {member.address for member in members}
    indexes = {member.index for member in members}
    for slot in current_slots(session.table):
        is_another = slot.kind is Kind.MEMBER and slot.index not in indexes
        if is_another and slot.address in addresses and slot.activation != Activation.STOPPED:
            words = Activation(slot.activation).name.lower()
            print(
                f"warning: {slot.balancer}/{slot.name} is the same container and {words}: its "
                "requests are not waited for",
                file=sys.stderr,
            )
    if session.config is None:
        return
    rules = [*session.config.rules, *(r for host in session.config.hosts for r in host.rules)]
    direct = {rule.worker for rule in rules if not rule.is_exclusion and not rule.is_disabled}
    for name, worker in session.config.workers.items():
        if name in direct and slot_address(worker) in addresses:
            print(
                f"warning: rules lead to worker {name} without a balancer: these requests go on, "
                "and are not waited for",
                file=sys.stderr,
            )


# --- drain ----------------------------------------------------------------------------------------


def _drain(args: argparse.Namespace) -> int:
    session = _Session(args)
    members = session.operator.members(*args.members)
    deeds = session.operator.set_activation(members, Activation.DISABLED)
    session.log()
    if not args.json:
        session.show(deeds, done=True)
    _warn_of_nobody(session.table, members)
    _warn_of_other_ways(session, members)
    drain = Drain(members, quiet_for_s=args.quiet_for, now=time.monotonic(), now_ns=time.time_ns())
    if not args.wait:
        standings = drain.look(time.monotonic())
        _show_standings(args, standings, done=True, text="disabled")
        return 0
    began = time.monotonic()
    try:
        problem = _wait(args, session, drain, began)
    except KeyboardInterrupt:
        problem = "interrupted"
    standings = drain.look(time.monotonic())
    if problem:
        _show_standings(args, standings, done=False, text=problem)
        left = [each.what for each in standings if each.is_drained]
        words = f"; members stay disabled, ajpd activate {' '.join(left)} takes it back"
        print(f"ajpd drain: {problem}{words if left else ''}", file=sys.stderr)
        return 1
    stopped = session.operator.set_activation(members, Activation.STOPPED)
    session.log()
    if not args.json:
        session.show(stopped, done=True)
    waited = duration(time.monotonic() - began)
    _show_standings(args, standings, done=True, text=f"empty after {waited}, and stopped")
    return 0


def _wait(args: argparse.Namespace, session: _Session, drain: Drain, began: float) -> str:
    """Wait until all members are empty; why they are not, or an empty text."""
    progress = _Progress(is_quiet=args.json)
    while True:
        now = time.monotonic()
        standings = drain.look(now)
        problem = _broken_off(session.table, standings)
        is_done = all(each.is_empty for each in standings)
        progress.show(standings, now, is_last=bool(problem) or is_done)
        if problem or is_done:
            return problem
        if args.timeout and now - began >= args.timeout:
            progress.end()
            return f"not empty after {duration(args.timeout)}"
        time.sleep(LOOK_S)


def _broken_off(table: Table, standings: Sequence[Standing]) -> str:
    """Why waiting is of no use any more."""
    if not table.living():
        return "ajpd has ended"
    if table.is_replaced:
        return "ajpd was started anew, with a larger table"
    again = [each.what for each in standings if not each.is_drained]
    return f"somebody activated {', '.join(again)}" if again else ""


class _Progress:
    """Tells how far draining is: one line that changes on a terminal, a line now and then else."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._is_terminal = sys.stdout.isatty()
        self._said_at = 0.0
        self._is_open = False

    def show(self, standings: Sequence[Standing], now: float, *, is_last: bool) -> None:
        """Say how far it is."""
        if self._is_quiet:
            return
        line = "; ".join(map(_in_words, standings))
        if self._is_terminal:
            print(f"\r\x1b[K{line}", end="\n" if is_last else "", flush=True)
            self._is_open = not is_last
        elif is_last or now - self._said_at >= LINE_S:
            self._said_at = now
            print(line, flush=True)

    def end(self) -> None:
        """Leave the line."""
        if self._is_open:
            print(flush=True)


def _in_words(standing: Standing) -> str:
    words = [
        f"{standing.in_flight} under way",
        f"{standing.sessions} sessions in 5 min, the last {ago(standing.quiet_s)}",
    ]
    if standing.is_empty:
        words.append("empty")
    elif standing.guess_s is not None:
        words.append(f"empty in about {duration(max(standing.guess_s, standing.least_s))}")
    elif standing.least_s > 0:
        words.append(f"empty in {duration(standing.least_s)} at the earliest")
    return f"{standing.what}: {', '.join(words)}"


def _show_standings(
    args: argparse.Namespace, standings: Sequence[Standing], *, done: bool, text: str
) -> None:
    if args.json:
        found = {"done": done, "text": text, "members": [asdict(each) for each in standings]}
        print(json.dumps(found, indent=2))
    elif not args.wait:
        for standing in standings:
            print(_in_words(standing))
    elif done:
        print(text)


# --- all of them ----------------------------------------------------------------------------------


def _answered(command: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """A command whose refusals are words and exit code 1."""

    def run(args: argparse.Namespace) -> int:
        try:
            return command(args)
        except (Refused, ActionError, StatusTableError) as exc:
            if args.json:
                print(json.dumps({"done": False, "error": str(exc)}, indent=2))
            print(f"ajpd {args.command}: {exc}", file=sys.stderr)
            return 1

    return run


def _activate(args: argparse.Namespace) -> int:
    return _set_activation(args, Activation.ACTIVE)


def _stop(args: argparse.Namespace) -> int:
    return _set_activation(args, Activation.STOPPED)


#: Every command by its name.
COMMANDS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "status": _answered(_status),
    "top": _answered(_top),
    "drain": _answered(_drain),
    "activate": _answered(_activate),
    "stop": _answered(_stop),
    "recover": _answered(_recover),
    "reset": _answered(_reset),
}
