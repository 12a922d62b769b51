"""Paths → an ajpd.toml and remarks: who is asked in which order.

This file reads and writes nothing itself, and knows no directive.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ajpd.config.errors import ConfigErrors, Findings, Place
from ajpd.config.load import load_toml
from ajpd.config.model import MountSource
from ajpd.config.properties import LAST_COUNTS, read_properties
from ajpd.config.urimap import parse_rule

from .access import take_guards
from .around import AroundReader
from .containers import Containers, Table
from .draft import Draft, Rule, Setting
from .elsewhere import SPELLED
from .hosts import HostTable, Plan, plan_hosts
from .jk import JkReader
from .passes import Passes
from .proxy import ProxyReader
from .reading import Reader, Statement
from .remarks import Remark, Remarks
from .sources import Kind, Sources
from .tls import Listening, listening
from .variables import take_variables
from .workers import Workers, read_workers
from .writing import Writer

__all__ = ["Imported", "Options", "import_configuration"]


#: What these say is in the result, but not on a line of its own.
_TAKEN: Final = frozenset(
    (
        *("servername", "serveralias", "jkmountcopy", "sslengine", "sslcertificatekeyfile"),
        *("sslcertificatechainfile", "sslcertificatefile", "sslprotocol", "sslverifyclient"),
        *("sslciphersuite", "sslusername", "sslcacertificatefile", "proxyerroroverride"),
    )
)
_NOT_NEEDED: Final = (
    "nothing of it is in the result: another line says it again, or nothing asks for it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to read it.

    Attributes:
        root: where ServerRoot is, or a copy of it.
        defines: names of -D, each with its value.
        listen: addresses in place of Apache's.
        in_place: workers and rules become tables, whatever file they are in.
    """

    root: Path | None = None
    defines: dict[str, str] = field(default_factory=dict)
    listen: Sequence[str] = ()
    in_place: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came of it.

    Attributes:
        text: of ajpd.toml.
        remarks: by file and line.
        is_good: ajpd can run with it.
        has_secret: the text holds one.
        kept: places of all lines that are in it.
    """

    text: str = field(repr=False)
    remarks: tuple[Remark, ...]
    is_good: bool
    has_secret: bool
    kept: frozenset[Place] = field(repr=False)


def import_configuration(paths: Sequence[Path], options: Options | None = None) -> Imported:
    """Make an ajpd.toml of Apache's configuration.

    Args:
        paths: of Apache's files and directories, workers.properties, uriworkermap.properties.
        options: how to read them.

    Raises:
        OSError: one of the paths cannot be read.
        ValueError: one of them is no configuration.
    """
    return _Importer(paths, options or Options()).imported()


class _Importer:
    def __init__(self, paths: Sequence[Path], options: Options) -> None:
        self._paths = paths
        self._options = options
        self._remarks = Remarks()
        self._draft = Draft()
        self._read_so_far: list[Statement] = []
        self._sources = Sources(paths, options.root)

    def imported(self) -> Imported:
        """All steps, one after the other."""
        self._read()
        draft, remarks = self._draft, self._remarks
        workers = read_workers(draft, remarks, in_place=self._options.in_place)
        containers = Containers(draft, remarks, workers.taken)
        passes = Passes(draft, containers, remarks)
        passed = {id(server): passes.rules(server) for server in draft.servers}
        containers.remark_on_unused()
        plan = plan_hosts(draft, passed, remarks)
        take_variables(draft, remarks)
        found = listening(draft, self._sources, remarks, self._options.listen)
        if self._options.in_place:
            for table in (plan.others, *plan.hosts):
                self._take_in(table)
        rules = [rule for table in (plan.others, *plan.hosts) for rule in table.rules.values()]
        take_guards(draft, rules, workers.statuses, remarks)
        tables = [*workers.tables, *containers.tables]
        self._make_up(workers, rules, tables)
        workers.names |= {table.name for table in containers.tables}
        writer = self._written(workers, plan, found, tables)
        is_good = self._check(writer)
        self._remark_on_the_rest(writer)
        return Imported(
            text=writer.text,
            remarks=remarks.all,
            is_good=is_good,
            has_secret=writer.has_secret,
            kept=writer.places,
        )

    # --- reading ----------------------------------------------------------------------------------

    def _read(self) -> None:
        draft, remarks = self._draft, self._remarks
        sources = list(self._sources.expand())
        # A file that was given counts before one that a directive names.
        for kind, path in sources:
            if kind is not Kind.APACHE:
                self._take_file(kind, path)
        reader = Reader(self._sources, self._options.defines, draft, remarks)
        jk = JkReader(draft, self._sources, remarks)
        proxy = ProxyReader(draft, remarks)
        around = AroundReader(draft, proxy, remarks, SPELLED)
        for kind, path in sources:
            for statement in reader.read(path) if kind is Kind.APACHE else ():
                self._read_so_far.append(statement)
                if jk.knows(statement.key):
                    jk.take(statement)
                elif proxy.knows(statement.key):
                    proxy.take(statement)
                else:
                    around.take(statement)

    def _take_file(self, kind: Kind, path: Path) -> None:
        found = Setting(value=str(path.absolute()), directive="")
        if kind is Kind.MAP:
            if self._draft.main.map_file is not None:
                self._remarks.error(
                    Place(str(path)), "", "two URI maps were given, and this one is left out",
                    "name it as map of a [host]",
                )  # fmt: skip
                return
            self._draft.main.map_file = found
        elif self._draft.workers_file is not None:
            self._remarks.error(
                Place(str(path)), "", "two workers files were given, and this one is left out",
                "put both into one",
            )  # fmt: skip
        else:
            self._draft.workers_file = found

    # --- putting together -------------------------------------------------------------------------

    def _make_up(self, workers: Workers, rules: Sequence[Rule], tables: list[Table]) -> None:
        """Without any workers file mod_jk has one worker, ajp13."""
        draft = self._draft
        wanted = [rule for rule in rules if rule.worker == "ajp13"]
        if workers.file or draft.properties or draft.lacks_workers or not wanted:
            return
        if "ajp13" in {table.name for table in tables}:
            return
        place = wanted[0].place
        self._remarks.warn(
            place,
            wanted[0].directive,
            "there is no JkWorkersFile: as in mod_jk ajp13 is a container on localhost, port 8009",
            "give the workers.properties as well if there is one",
        )
        tables.append(Table(name="ajp13", kind="ajp13", place=place))
        workers.names.add("ajp13")

    def _take_in(self, table: HostTable) -> None:
        """Rules of its URI map become its own; they count before others, as in mod_jk."""
        if table.map_file is None:
            return
        file = str(table.map_file.value)
        self._remarks.begin(file)
        findings = Findings()
        found = {
            item.key: Rule(key=item.key, target=item.value, place=item.place, directive="")
            for item in read_properties(file, findings, repeats=LAST_COUNTS)
        }
        for error in findings.errors:
            self._remarks.error(error.place, "", error.message)
        table.rules = {
            **found,
            **{key: table.rules[key] for key in table.rules if key not in found},
        }
        table.map_file = None

    def _settle(self, table: HostTable, workers: Workers) -> tuple[list[Rule], list[Rule]]:
        """Rules that can be, and those that cannot."""
        kept: list[Rule] = []
        left_out: list[Rule] = []
        for rule in table.rules.values():
            why = self._why_not(rule, workers)
            if not why:
                kept.append(rule)
                continue
            left_out.append(rule)
            self._remarks.error(
                rule.place, rule.directive, f"{why}; the rule {rule.key} is a comment",
                "give the workers.properties that defines it as well"
                if not workers.file else "name a worker of its worker.list",
            )  # fmt: skip
        return kept, left_out

    def _why_not(self, rule: Rule, workers: Workers) -> str:
        is_exclusion = rule.key.startswith("!")
        unknown = workers.is_known and rule.worker not in workers.names
        if unknown and not (is_exclusion and rule.worker == "*"):
            where = workers.file or "what was given"
            return f"there is no worker {rule.worker} in {where}"
        findings = Findings()
        parse_rule(rule.key, rule.target, findings, place=rule.place, source=MountSource.MOUNT)
        return findings.errors[0].message if findings.errors else ""

    def _written(
        self, workers: Workers, plan: Plan, found: Listening, tables: list[Table]
    ) -> Writer:
        draft, writer = self._draft, Writer()
        writer.comment(
            f"Made by ajpd import from {', '.join(map(str, self._paths))}.",
            "Behind a line: where it comes from. Every key there is: daemon/etc/ajpd.toml.",
        )
        server = {} if found.plain is None else {"listen": found.plain}
        writer.section("server", {**server, **draft.settings.get("server", {})})
        writer.section("tls", found.tls, is_comment=not found.is_usable)
        writer.section("attributes", draft.attributes)
        if workers.file:
            place = None if draft.workers_file is None else draft.workers_file.place
            file = Setting(value=workers.file, place=place)
            writer.section("workers", {"file": file})
        for table in tables:
            writer.worker(table)
        self._write_rules(writer, workers, plan)
        writer.section("status", draft.settings.get("status", {}))
        writer.section("log", draft.settings.get("log", {}))
        return writer

    def _remark_on_the_rest(self, writer: Writer) -> None:
        """Name what neither is in the result nor was named: the law of `remarks.py`."""
        kept = writer.places
        has_tls = any(server.is_tls for server in self._draft.servers)
        for statement in self._read_so_far:
            key = statement.key
            is_taken = key in _TAKEN and (has_tls or not key.startswith("ssl"))
            if key.startswith("<") or is_taken or statement.place in kept:
                continue
            if not self._remarks.has(statement.place):
                self._remarks.note(statement.place, statement.name, _NOT_NEEDED)

    def _write_rules(self, writer: Writer, workers: Workers, plan: Plan) -> None:
        maps = {} if plan.others.map_file is None else {"file": plan.others.map_file}
        has_map = bool(maps) or any(host.map_file is not None for host in plan.hosts)
        if has_map:
            maps.update(self._draft.settings.get("map", {}))
        writer.section("map", maps)
        writer.rules(*self._settle(plan.others, workers))
        for host in plan.hosts:
            writer.host(host)
            kept, left_out = self._settle(host, workers)
            writer.rules(kept, left_out, host=host.names[0])

    def _check(self, writer: Writer) -> bool:
        """Whether `ajpd check` takes it; what it says is said of the lines it comes from."""
        with tempfile.TemporaryDirectory(prefix="ajpd-import-") as folder:
            path = Path(folder, "ajpd.toml")
            path.touch(mode=0o600)
            path.write_text(writer.text, encoding="utf-8")
            try:
                load_toml(path)
            except ConfigErrors as broken:
                for error in broken.errors:
                    place = error.place
                    if place.file == str(path):
                        place = writer.place(place.line) or Place("ajpd.toml", place.line)
                    hint = f" (did you mean {error.hint!r}?)" if error.hint else ""
                    self._remarks.error(place, "", f"{error.message}{hint}")
                return False
        return True
