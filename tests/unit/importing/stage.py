"""Apache's configuration as text → what becomes of it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ajpd.config import Config, load_toml
from ajpd.importing.importer import Imported, Options, import_configuration
from ajpd.importing.remarks import Level

__all__ = ["WORKERS", "Stage"]

#: Workers that rules of the tests may name.
WORKERS = "worker.list=lb,one,two,status\nworker.lb.type=lb\nworker.lb.balance_workers=a,b\n" + (
    "worker.a.port=8010\nworker.b.port=8011\nworker.status.type=status\n"
    "worker.one.port=8012\nworker.two.port=8013\n"
)


@dataclass(slots=True)
class Stage:
    """A directory with files of Apache.

    Attributes:
        folder: where they are.
        found: what the last import came to.
    """

    folder: Path
    found: Imported | None = None

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        return path

    def take(self, text: str, *paths: Path, options: Options | None = None) -> dict[str, Any]:
        """Import a text as httpd.conf, and files besides; ajpd.toml as TOML reads it."""
        path = self.write("httpd.conf", text)
        self.found = import_configuration([path, *paths], options)
        return tomllib.loads(self.found.text)

    def jk(self, text: str, options: Options | None = None) -> dict[str, Any]:
        """The same, with a workers.properties."""
        self.write("workers.properties", WORKERS)
        return self.take(f"JkWorkersFile workers.properties\n{text}", options=options)

    @property
    def result(self) -> Imported:
        assert self.found is not None
        return self.found

    def config(self) -> Config:
        """What ajpd makes of it."""
        return load_toml(self.write("ajpd.toml", self.result.text))

    def said(self, *levels: Level) -> list[str]:
        """`line: words` of all remarks of these levels, of all when none is given."""
        return [
            f"{remark.place.line}: {remark.words}"
            for remark in self.result.remarks
            if not levels or remark.level in levels
        ]

    def errors(self) -> list[str]:
        return self.said(Level.ERROR)

    def warnings(self) -> list[str]:
        return self.said(Level.WARNING)

    def notes(self) -> list[str]:
        return self.said(Level.NOTE)
