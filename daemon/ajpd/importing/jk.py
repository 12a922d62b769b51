"""mod_jk's directives → a draft.

Source: mod_jk `mod_jk.c` (jk_cmds, and jk_mount_context for where JkMount may stand).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ajpd.accesslog import AccessFormatError, compile_format

from .draft import Draft, Rule, Setting
from .jk_options import take_options
from .reading import Statement, setting
from .remarks import Remarks
from .sources import Sources
from .where import EVERYWHERE, location_of

__all__ = ["JkReader"]

_LEVELS: Final = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "warn": "warning",
    "error": "error",
    "emerg": "error",
}
#: Nothing has to be done for these.
_NOTES: Final = {
    "jkshmfile": "ajpd has a status table of its own, see [table]",
    "jkshmsize": "ajpd has a status table of its own, see [table]",
    "jkwatchdoginterval": "ajpd looks after its workers all the time",
    "jklogstampformat": "the log of ajpd has a form of its own",
    "jkstripsession": "it changes requests that Apache answers itself; they are answered 404 here",
    "jkignoreclindicator": "ajpd has no filters that change the length of a body",
    "jkrequestidindicator": "ajpd names requests in its log itself",
    "jkkeysizeindicator": "ajpd takes it from TLS itself",
    "jkcipherindicator": "ajpd takes it from TLS itself",
    "jksessionindicator": "ajpd takes it from TLS itself",
    "jksslprotocolindicator": "ajpd takes it from TLS itself",
    "jkcertsindicator": "ajpd takes it from TLS itself, see client_verify in [tls]",
    "jkcertchainprefix": "ajpd takes it from TLS itself, see client_chain in [tls]",
}
_PROXIES: Final = (
    "there is no environment of Apache here",
    "what a proxy in front says counts with trusted_proxies in [server]",
)
_USERS: Final = (
    "there is no environment of Apache here",
    "see remote_user in [tls], or [attributes]",
)
#: What these changed is said in another way here, or not at all.
_WARNINGS: Final[Mapping[str, tuple[str, str]]] = {
    "jkautoalias": (
        "ajpd serves no files, so what no rule maps is answered 404",
        "let rules lead to Tomcat for static files as well",
    ),
    "jkworkerindicator": (
        "there is no environment of Apache here that could name a worker",
        "write the rules that decide it into [mount]",
    ),
    "jkhttpsindicator": _PROXIES,
    "jkremoteaddrindicator": _PROXIES,
    "jkremoteportindicator": _PROXIES,
    "jkremotehostindicator": _PROXIES,
    "jklocalnameindicator": _PROXIES,
    "jklocaladdrindicator": _PROXIES,
    "jklocalportindicator": _PROXIES,
    "jkremoteuserindicator": _USERS,
    "jkauthtypeindicator": _USERS,
}
#: How many arguments Apache takes; of all others one.
_COUNTS: Final = {
    "jkmount": (1, 2),
    "jkunmount": (1, 2),
    "jkenvvar": (1, 2),
    "jkstripsession": (1, 2),
    "jkoptions": (1, 99),
    "jkworkerproperty": (1, 99),
}
#: Only for the main server.
_GLOBAL: Final = frozenset(
    ("jkworkersfile", "jkworkerproperty", "jkshmfile", "jkshmsize", "jkwatchdoginterval")
)


class JkReader:
    """Takes statements that begin with Jk.

    Args:
        draft: gets what they say.
        sources: finds the files they name.
        remarks: of the whole import.
    """

    def __init__(self, draft: Draft, sources: Sources, remarks: Remarks) -> None:
        self._draft = draft
        self._sources = sources
        self._remarks = remarks
        self._takers: dict[str, Callable[[Statement], None]] = {
            "jkworkersfile": self._workers_file,
            "jkworkerproperty": self._property,
            "jkmount": self._mount,
            "jkunmount": self._mount,
            "jkmountfile": self._mount_file,
            "jkmountfilereload": self._reload,
            "jkmountcopy": self._copy,
            "jkenvvar": self._variable,
            "jkoptions": self._options,
            "jkextractssl": self._extract,
            "jkloglevel": self._level,
            "jklogfile": self._log_file,
            "jkrequestlogformat": self._format,
        }
        self._log_files: list[Setting] = []

    def knows(self, key: str) -> bool:
        """There is such a directive; `key` is in lower case."""
        return key in self._takers or key in _NOTES or key in _WARNINGS

    def take(self, statement: Statement) -> None:
        """Understand one of them."""
        key, count = statement.key, len(statement.words)
        low, high = _COUNTS.get(key, (1, 1))
        if not low <= count <= high:
            what = f"{count} arguments, and takes {low}" + (f" or {high}" if low != high else "")
            joined = [word for word in statement.words[1:] if self.knows(word.lower())]
            advice = f"write {joined[0]} on a line of its own" if joined else "mend the line"
            self._broken(statement, f"it has {what}", advice)
        elif key in _GLOBAL and not statement.server.is_main:
            self._broken(statement, "it does not belong into a VirtualHost", "move it out of there")
        elif key in self._takers:
            self._takers[key](statement)
        elif key in _NOTES:
            self._remarks.note(statement.place, statement.name, _NOTES[key])
        else:
            reason, advice = _WARNINGS[key]
            self._remarks.warn(statement.place, statement.name, reason, advice)

    def _broken(self, statement: Statement, why: str, advice: str) -> None:
        self._remarks.error(
            statement.place,
            statement.name,
            f"{why}: Apache does not start with this line, and it is left out",
            advice,
        )

    # --- workers ----------------------------------------------------------------------------------

    def _workers_file(self, statement: Statement) -> None:
        if self._draft.workers_file is not None:
            first = self._draft.workers_file.place
            self._broken(
                statement,
                f"it is there already, at {first}" if first else "a workers file was given",
                "take one of them away",
            )
            return
        found = self._file(statement, "the workers.properties")
        if found is not None:
            self._draft.workers_file = setting(statement, found)

    def _file(self, statement: Statement, what: str) -> str | None:
        """Find the file that a statement names; None, with a remark, when it is not there."""
        (word,) = statement.words
        beside = Path(statement.place.file).parent
        path = self._sources.find(word, beside)
        if path is not None and path.is_dir():
            inside = path / "workers.properties"
            path = inside if inside.is_file() and statement.key == "jkworkersfile" else None
        if path is not None:
            return str(path.absolute())
        path = self._sources.namesake(word, beside)
        if path is None:
            self._draft.lacks_workers |= statement.key == "jkworkersfile"
            self._remarks.error(
                statement.place,
                statement.name,
                f"{word} is not here",
                f"give {what} as well, or say --server-root DIR if Apache's directory is elsewhere",
            )
            return None
        self._remarks.warn(
            statement.place,
            statement.name,
            f"{word} is not here, {path} is taken in its place",
            "check that it is the same file",
        )
        return str(path.absolute())

    def _property(self, statement: Statement) -> None:
        # The whole line counts, and no quotes are taken off.
        self._draft.properties.append(setting(statement, statement.line.args))

    # --- rules ------------------------------------------------------------------------------------

    def _mount(self, statement: Statement) -> None:
        location = location_of(statement, self._remarks)
        if location is None:
            return
        is_inside = location is not EVERYWHERE
        if is_inside == (len(statement.words) == 2):
            why = "a path cannot stand inside a Location" if is_inside else "there is no path"
            self._broken(statement, why, "write path and worker, or the worker inside a Location")
            return
        if location.is_expression:
            self._remarks.error(
                statement.place,
                statement.name,
                f"mod_jk takes the expression {location.path} for a path, which no request has",
                "write a rule with * and ? into [mount]",
            )
            return
        path = location.path if is_inside else statement.words[0]
        if not path.startswith("/"):
            self._broken(statement, f"{path} does not begin with /", "mend the path")
            return
        key = path if statement.key == "jkmount" else f"!{path}"
        rule = Rule(
            key=key, target=statement.words[-1], place=statement.place, directive=statement.name
        )
        other = statement.server.jk.pop(key, None)
        if other is not None:
            self._remarks.note(
                other.place,
                other.directive,
                f"{path} is mapped again on line {rule.place.line}, and the last one counts",
            )
        statement.server.jk[key] = rule
        self._remark_on(rule)

    def _remark_on(self, rule: Rule) -> None:
        if rule.key.startswith("!"):
            self._remarks.note(
                rule.place,
                rule.directive,
                f"{rule.key[1:]} is answered 404: ajpd serves no files, as Apache did",
                "if they are needed, take the rule away and let Tomcat serve them",
            )
        elif rule.key.endswith("/") and rule.key != "/":
            self._remarks.note(
                rule.place, rule.directive, f"{rule.key} is this one path, as it is in mod_jk"
            )

    def _mount_file(self, statement: Statement) -> None:
        found = self._file(statement, "the uriworkermap.properties")
        if found is not None:
            statement.server.map_file = setting(statement, found)

    def _reload(self, statement: Statement) -> None:
        (word,) = statement.words
        digits = word.removeprefix("-")
        if not digits.isdecimal():
            self._broken(statement, f"{word} is no number of seconds", "write a number")
            return
        seconds = 0 if word.startswith("-") else min(int(digits), 2_000_000)
        self._draft.set("map", "reload", setting(statement, f"{seconds}s" if seconds else "0"))

    def _copy(self, statement: Statement) -> None:
        (word,) = statement.words
        is_main = statement.server.is_main
        value = {"on": True, "off": False, "all": True}.get(word.lower())
        if value is None or (word.lower() == "all" and not is_main):
            self._broken(statement, f"it cannot be {word} here", "write On or Off")
        elif is_main and word.lower() != "all":
            self._remarks.note(
                statement.place, statement.name, f"{word} outside of a VirtualHost changes nothing"
            )
        else:
            statement.server.copies = value

    # --- everything else --------------------------------------------------------------------------

    def _variable(self, statement: Statement) -> None:
        name, *default = statement.words
        self._draft.wanted[name] = (default[0] if default else None, statement.place)

    def _options(self, statement: Statement) -> None:
        take_options(statement, self._draft, self._remarks)

    def _extract(self, statement: Statement) -> None:
        if statement.words[0].lower() != "off":
            self._remarks.note(statement.place, statement.name, "ajpd takes it from TLS itself")
            return
        self._remarks.warn(
            statement.place,
            statement.name,
            "with Off every request is plain HTTP to the containers; here those over TLS are not",
        )

    def _level(self, statement: Statement) -> None:
        level = _LEVELS.get(statement.words[0].lower(), "info")
        self._draft.set("log", "level", setting(statement, level))

    def _log_file(self, statement: Statement) -> None:
        """The last one counts, if there is a place for it here."""
        text = statement.words[0].strip()
        if text.startswith("|"):
            why, folder = f"ajpd does not log to a program ({text[1:].strip()})", None
        else:
            root = self._sources.root
            path = Path(text) if root is None else root / text
            folder = path.parent if path.is_absolute() else None
            why = f"there is no directory for {text} on this machine"
        if folder is not None and folder.is_dir() and not folder.is_relative_to("/proc"):
            self._draft.set("log", "file", setting(statement, str(path)))
            return
        self._draft.settings.get("log", {}).pop("file", None)
        self._remarks.note(
            statement.place,
            statement.name,
            f"{why}: ajpd logs to standard error, which systemd keeps",
            "write file into [log] to have one",
        )

    def _format(self, statement: Statement) -> None:
        text = statement.words[0]
        try:
            compile_format(text)
        except AccessFormatError as exc:
            self._remarks.warn(
                statement.place, statement.name, str(exc), "see access_format in [log]"
            )
            return
        self._draft.set("log", "access_format", setting(statement, text))
        self._draft.set("log", "access", setting(statement, "-"))
        self._remarks.note(
            statement.place,
            statement.name,
            "its lines go to standard output, not into the log",
            "write a path to access in [log]",
        )
