"""Values → the text of an ajpd.toml, each line with the place it comes from beside it.

This file knows TOML and the order of sections. It decides nothing.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

from ajpd.config.errors import Place, one_line

from .containers import Table
from .draft import Rule, Scalar, Setting
from .hosts import HostTable

__all__ = ["Writer", "as_toml"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH: Final = 100


def as_toml(value: Scalar) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(as_toml(each) for each in value)}]"
    # JSON's strings are TOML's, but for what TOML wants escaped besides, and for surrogates.
    text = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else as_toml(name)


class Writer:
    """Writes one file from top to bottom.

    Attributes:
        has_secret: a secret is in it.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._places: dict[int, Place] = {}
        self.has_secret = False

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self._lines) + "\n"

    @property
    def places(self) -> frozenset[Place]:
        """Where all of it comes from."""
        return frozenset(self._places.values())

    def place(self, line: int | None) -> Place | None:
        """Where a line comes from; None when it comes from nowhere else."""
        return None if line is None else self._places.get(line)

    def _line(
        self,
        text: str,
        place: Place | None = None,
        *,
        is_comment: bool = False,
        is_plain: bool = False,
    ) -> None:
        """One line; a plain one does not say where it comes from."""
        text = f"#{text}" if is_comment else text
        if place is not None:
            self._places[len(self._lines) + 1] = place
        if place is not None and not is_plain:
            beside = one_line(f"# {place}")
            text = f"{text}  {beside}" if len(text) + len(beside) + 2 <= _WIDTH else text
        self._lines.append(text)

    def comment(self, *texts: str) -> None:
        """Lines that mean nothing."""
        for text in texts:
            self._lines.append(one_line(f"# {text}") if text else "#")

    def section(
        self,
        name: str,
        settings: Mapping[str, Setting],
        *,
        place: Place | None = None,
        is_comment: bool = False,
    ) -> None:
        """A section with keys; nothing where there are none."""
        if not settings:
            return
        self._begin(f"[{name}]", place, is_comment=is_comment)
        for key, setting in settings.items():
            self.has_secret |= key == "secret"
            text = f"{_key(key)} = {as_toml(setting.value)}"
            is_same = setting.place == place
            self._line(text, setting.place, is_comment=is_comment, is_plain=is_same)

    def _begin(self, header: str, place: Place | None, *, is_comment: bool = False) -> None:
        if self._lines:
            self._lines.append("")
        self._line(header, place, is_comment=is_comment)

    def worker(self, table: Table) -> None:
        """`[worker.NAME]`; its type where that is not the usual one."""
        kind = {} if table.kind == "ajp13" else {"type": Setting(value=table.kind)}
        settings = {**kind, **table.settings}
        if settings:
            self.section(f"worker.{_key(table.name)}", settings, place=table.place)
        else:
            self._begin(f"[worker.{_key(table.name)}]", table.place)

    def rules(
        self, rules: Iterable[Rule], left_out: Iterable[Rule], *, host: str | None = None
    ) -> None:
        """A mount table, with rules that cannot be as comments."""
        kept, others = list(rules), list(left_out)
        if not kept and not others:
            return
        self._begin("[mount]" if host is None else f"[host.{as_toml(host)}.mount]", None)
        for rule in kept:
            self._line(f"{as_toml(rule.key)} = {as_toml(rule.target)}", rule.place)
        for rule in others:
            text = f"{as_toml(rule.key)} = {as_toml(rule.target)}"
            self._line(text, rule.place, is_comment=True)

    def host(self, table: HostTable) -> None:
        """`[host.NAME]` and what stands in it, without its rules."""
        first, *others = table.names
        self._begin(f"[host.{as_toml(first)}]", table.place)
        if others:
            self._line(f"aliases = {as_toml(others)}")
        if table.map_file is not None:
            self._line(f"map = {as_toml(table.map_file.value)}", table.map_file.place)
