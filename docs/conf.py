"""How the documentation site is built; see `make docs`."""

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(ROOT / "daemon"), str(DOCS / "tools")]

import ajp  # noqa: E402
from ajpd.config.directives import DIRECTIVES  # noqa: E402
from ajpd.config.values import Scope  # noqa: E402

project = "ajp and ajpd"
author = "the authors of ajp"
release = version = ajp.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "**/*.generated.md"]

html_theme = "furo"
html_title = f"ajp and ajpd {release}"
html_copy_source = False

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Source"]


def generate() -> None:
    """Write the pages' generated parts, which they include."""
    target = DOCS / "_build" / "generated"
    target.mkdir(parents=True, exist_ok=True)
    for name in ("states", "members", "reasons", "commands", "faults", "smuggling", "metrics"):
        text = "\n".join(import_module(name).lines()) + "\n"
        (target / f"{name}.md").write_text(text, encoding="utf-8")


def check() -> None:
    """Find names that a page should have and has not.

    Raises:
        ValueError: there are some.
    """
    api = (DOCS / "reference" / "api.md").read_text(encoding="utf-8")
    sample = (ROOT / "daemon" / "etc" / "ajpd.toml").read_text(encoding="utf-8")
    forgotten = [name for name in ajp.__all__ if not re.search(rf"\b{name}\b", api)]
    for row in DIRECTIVES:
        is_toml = row.scope is not Scope.GLOBAL and row.name != "reference"
        if is_toml and row.supported and not row.alias_of and f"{row.name} = " not in sample:
            is_section = row.scope is Scope.TOP and f"[{row.name}" in sample
            forgotten += [] if is_section else [f"{row.name} of {row.scope.value}"]
    if forgotten:
        raise ValueError(f"not documented: {', '.join(forgotten)}")


def tidy(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Mend docstrings before Napoleon reads them.

    Compiled classes begin with a signature in C's spelling; and the first line of a property or an
    attribute names no type, although it may hold a colon.
    """
    if lines and lines[0].startswith(f"{name.rpartition('.')[2]}("):
        del lines[0]
    if what in ("property", "attribute"):
        lines[:0] = ["..", ""]  # an empty comment


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", tidy, priority=100)


generate()
check()
