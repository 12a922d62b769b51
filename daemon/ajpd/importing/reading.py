"""Files of Apache → statements: directives in order, each with the server and sections it is in.

Includes are followed, variables and macros replaced, conditions decided. What a directive
means is for those who get the statements.

Source: httpd `server/core.c` (include_config, virtualhost_section, ap_resolve_env).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ajpd.config.errors import Place

from .conditions import CONDITIONS, Conditions
from .draft import Draft, Server, Setting
from .macros import MAX_DEPTH as MACRO_DEPTH
from .macros import BadUse, Macros
from .remarks import Remarks
from .sources import MAX_FILES, Sources, read_text
from .syntax import Block, Line, Node, parse, words_of

__all__ = ["Reader", "Statement"]

#: Macros that use others twice, and these others twice, come to any number in no time.
MAX_USES: Final = 20_000
_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
#: Directives that decide which request goes where: named one by one where they are left out.
_RELEVANT: Final = re.compile(
    r"jk|proxypass|proxyset|proxytimeout|proxyiobuffersize|balancermember|include|listen$",
    re.IGNORECASE,
)
#: Sections that only hold others together, or whose content counts as if they were not there.
_OPEN: Final = frozenset(("requireall", "requireany", "requirenone", "limit", "limitexcept"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One directive that counts.

    Attributes:
        line: with variables replaced.
        words: its arguments, quotes taken off.
        server: that it stands in.
        blocks: sections around it that are no VirtualHost and no condition, the outermost first.
    """

    line: Line
    words: tuple[str, ...]
    server: Server
    blocks: tuple[Block, ...] = ()

    @property
    def key(self) -> str:
        """Its name, in lower case."""
        return self.line.name.lower()

    @property
    def name(self) -> str:
        """Its name, as written."""
        return self.line.name

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.line.place

    @property
    def block(self) -> Block | None:
        """The section around it."""
        return self.blocks[-1] if self.blocks else None


class Reader:
    """Reads files, one after the other, as one configuration.

    Args:
        sources: finds them.
        defines: of -D.
        draft: gets virtual hosts and the environment.
        remarks: of the whole import.
    """

    def __init__(
        self, sources: Sources, defines: dict[str, str], draft: Draft, remarks: Remarks
    ) -> None:
        self._sources = sources
        self._conditions = Conditions(dict(defines), sources)
        self._draft = draft
        self._remarks = remarks
        self._open_files: list[Path] = []
        self._macros = Macros()
        self._uses = 0
        self._all_uses = 0
        self._files = 0

    def read(self, path: Path) -> Iterator[Statement]:
        """The statements of a file that was given.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no configuration.
        """
        yield from self._file(path, self._draft.main, ())

    def _file(self, path: Path, server: Server, blocks: tuple[Block, ...]) -> Iterator[Statement]:
        self._files += 1
        if self._files > MAX_FILES:
            raise ValueError(f"these are more than {MAX_FILES} files, which no configuration has")
        self._remarks.begin(str(path))
        text = read_text(path)
        if "\0" in text:
            raise ValueError(f"{path}: this is no text")
        self._open_files.append(path)
        yield from self._nodes(parse(text, str(path), self._remarks), server, blocks)
        self._open_files.pop()

    def _nodes(
        self, nodes: Sequence[Node], server: Server, blocks: tuple[Block, ...]
    ) -> Iterator[Statement]:
        for node in nodes:
            resolved = replace(node, args=self._resolve(node.args))
            if isinstance(resolved, Block):
                yield from self._block(resolved, server, blocks)
            else:
                yield from self._line(resolved, server, blocks)

    def _resolve(self, text: str) -> str:
        """Replace `${name}`; a name that nobody defined stays, as in Apache."""
        defines = self._conditions.defines
        return _VARIABLE.sub(lambda match: defines.get(match[1], match[0]), text)

    # --- sections ---------------------------------------------------------------------------------

    def _block(
        self, block: Block, server: Server, blocks: tuple[Block, ...]
    ) -> Iterator[Statement]:
        kind = block.name.lower()
        if kind in CONDITIONS:
            why = self._conditions.why_not(block)
            if why:
                by_name = kind == "ifdefine"
                advice = (
                    "say -D NAME if Apache is started with it"
                    if by_name
                    else ("give the file that says otherwise as well, if there is one")
                )
                self._leave_out(block, f"it is in {block.title}, and {why}", advice)
            else:
                yield from self._nodes(block.children, server, blocks)
        elif kind == "virtualhost":
            addresses = tuple(words_of(block.args))
            if not addresses:
                what = "it has no address, and Apache does not start with it"
                self._remarks.warn(block.place, block.title, what, "it is read as if * stood there")
            host = Server(place=block.place, addresses=addresses or ("*",))
            self._draft.hosts.append(host)
            yield from self._nodes(block.children, host, blocks)
        elif kind == "macro":
            wrong = self._macros.define(block)
            if wrong:
                self._remarks.warn(block.place, block.title, wrong)
        elif kind in _OPEN:
            yield from self._nodes(block.children, server, blocks)
        else:
            # What a section says itself counts too, as that of <Proxy balancer://…> does.
            opening = Line(name=f"<{block.name}", args=block.args, place=block.place)
            yield self._statement(opening, server, (*blocks, block))
            yield from self._nodes(block.children, server, (*blocks, block))

    def _leave_out(self, block: Block, why: str, advice: str) -> None:
        """Name the lines of a section that does not count, if they would matter."""
        for node in block.children:
            if isinstance(node, Block):
                self._leave_out(node, why, advice)
            elif _RELEVANT.match(node.name):
                self._remarks.warn(
                    node.place,
                    node.name,
                    f"{why}: Apache does not look at it, and it is left out",
                    advice,
                )

    # --- lines ------------------------------------------------------------------------------------

    def _statement(self, line: Line, server: Server, blocks: tuple[Block, ...]) -> Statement:
        return Statement(line=line, words=tuple(words_of(line.args)), server=server, blocks=blocks)

    def _line(self, line: Line, server: Server, blocks: tuple[Block, ...]) -> Iterator[Statement]:
        statement = self._statement(line, server, blocks)
        words = statement.words
        match statement.key:
            case "include" | "includeoptional":
                yield from self._include(statement, server, blocks)
            case "define" if words:
                self._conditions.defines[words[0]] = words[1] if len(words) > 1 else ""
            case "undefine" if words:
                self._conditions.defines.pop(words[0], None)
            case "serverroot" if words:
                self._sources.declared = words[0].rstrip("/") or "/"
                self._draft.root = self._sources.declared
            case "loadmodule" if words:
                self._conditions.load(words[0])
                yield statement
            case "use":
                yield from self._use(statement, server, blocks)
            case _:
                yield statement

    def _use(
        self, statement: Statement, server: Server, blocks: tuple[Block, ...]
    ) -> Iterator[Statement]:
        """The lines of a macro count as if they stood here; remarks are about the macro's own."""
        try:
            if self._uses >= MACRO_DEPTH:
                raise BadUse("macros use each other in a circle")
            self._all_uses += 1
            if self._all_uses > MAX_USES:
                raise BadUse(f"macros are used more than {MAX_USES} times")
            nodes = self._macros.use(statement.words)
        except BadUse as exc:
            self._remarks.error(
                statement.place, statement.name, f"{exc}; nothing of it is carried over",
                "give the file with the macro before this one",
            )  # fmt: skip
            return
        self._uses += 1
        yield from self._nodes(nodes, server, blocks)
        self._uses -= 1

    def _include(
        self, statement: Statement, server: Server, blocks: tuple[Block, ...]
    ) -> Iterator[Statement]:
        place, name = statement.place, statement.name
        beside = self._open_files[-1].parent
        for word in statement.words:
            try:
                files = self._sources.included(word, beside)
            except (OSError, ValueError) as exc:
                self._remarks.error(place, name, f"cannot read {word}: {exc}")
                continue
            if not files:
                self._missing(statement, word)
            for file in files:
                if file.resolve() in [path.resolve() for path in self._open_files]:
                    self._remarks.error(place, name, f"{file} would be in itself; it is left out")
                    continue
                try:
                    yield from self._file(file, server, blocks)
                except (OSError, ValueError) as exc:
                    why = getattr(exc, "strerror", None) or exc
                    self._remarks.error(place, name, f"cannot read {file}: {why}")

    def _missing(self, statement: Statement, word: str) -> None:
        if statement.key == "includeoptional" or "*" in word:
            self._remarks.note(
                statement.place, statement.name, f"no file is {word}, so there is nothing to read"
            )
            return
        self._remarks.error(
            statement.place,
            statement.name,
            f"{word} is not here",
            "say --server-root DIR if Apache's directory is elsewhere, or give the file as well",
        )


def setting(statement: Statement, value: str | int | bool | list[str]) -> Setting:
    """A value that a statement says."""
    return Setting(value=value, place=statement.place, directive=statement.name)
