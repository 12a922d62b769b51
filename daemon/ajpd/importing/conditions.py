"""Whether what is in `<IfModule>`, `<IfDefine>` and the like counts.

What a fragment of a configuration does not tell is taken as its author wants it: the module is
there. Only a configuration that loads its own modules is believed about those it does not load.

Source: httpd `server/core.c` (start_ifmod, start_ifdefine, start_iffile) and `mod_version.c`.
"""

import re
from pathlib import Path
from typing import Final

from .sources import Sources
from .syntax import Block, words_of

__all__ = ["CONDITIONS", "Conditions"]

#: In lower case.
CONDITIONS: Final = frozenset(
    ("ifmodule", "ifdefine", "iffile", "ifdirective", "ifsection", "ifversion")
)
#: Compiled in wherever Apache comes from.
_STATIC: Final = frozenset(
    ("core", "so", "http", "log_config", "version", "unixd", "logio", "watchdog", "mpm_event")
)
#: Who loads one of these loads all that it needs.
_TELLTALES: Final = re.compile(r"(mpm_\w+|authz_core|unixd|mime|dir)_module")
#: What Apache is taken to be.
_VERSION: Final = (2, 4, 62)


class Conditions:
    """Decides.

    Args:
        defines: names of -D, each with its value or an empty text.
        sources: for `<IfFile>`.
    """

    def __init__(self, defines: dict[str, str], sources: Sources) -> None:
        self.defines = defines
        self._sources = sources
        self._loaded: set[str] = set()
        self._knows_all = False

    def load(self, identifier: str) -> None:
        """LoadModule."""
        self._loaded.add(_stem(identifier))
        if _TELLTALES.fullmatch(identifier):
            self._knows_all = True

    def why_not(self, block: Block) -> str:
        """Why the content of a section does not count, or an empty text."""
        words = words_of(block.args)
        word = words[0] if words else ""
        is_negated, name = word.startswith("!"), word.removeprefix("!")
        match block.name.lower():
            case "ifmodule":
                holds, what = self._has(name), f"module {name} is"
            case "ifdefine":
                holds, what = name in self.defines, f"{name} is"
            case "iffile":
                holds, what = self._is_file(name), f"the file {name} is"
            case "ifversion":
                return "" if _is_version(words) else f"the version of Apache is not {block.args}"
            case _:
                holds, what = True, f"{name} is"
        if holds is not is_negated:
            return ""
        return f"{what} {'there' if is_negated else 'not there'}"

    def _has(self, name: str) -> bool:
        stem = _stem(name)
        return stem in self._loaded or stem in _STATIC or not self._knows_all

    def _is_file(self, name: str) -> bool:
        found = self._sources.find(name)
        return found is not None and Path(found).exists()


def _stem(name: str) -> str:
    """`jk` of `jk_module` and of `mod_jk.c`."""
    return name.removesuffix("_module").removesuffix(".c").removeprefix("mod_")


def _is_version(words: list[str]) -> bool:
    """`<IfVersion [[!]operator] version>`; what is no plain comparison counts as true."""
    operator, version = words[:2] if len(words) > 1 else ("=", words[0] if words else "")
    is_negated, operator = operator.startswith("!"), operator.removeprefix("!")
    if not re.fullmatch(r"[0-9]+(\.[0-9]+){0,2}", version):
        return True
    wanted = tuple(map(int, version.split(".")))
    ours = _VERSION[: len(wanted)] if operator in ("=", "==", "") else _VERSION
    wanted += (0,) * (len(ours) - len(wanted))
    found = {
        **dict.fromkeys(("=", "==", ""), ours == wanted),
        ">": ours > wanted,
        ">=": ours >= wanted,
        "<": ours < wanted,
        "<=": ours <= wanted,
    }
    return found.get(operator, not is_negated) is not is_negated
