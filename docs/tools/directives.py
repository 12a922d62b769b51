"""Print the directive reference as Markdown, out of the table that the daemon reads itself."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "daemon")]

from ajpd.config.directives import in_scope  # noqa: E402
from ajpd.config.values import MAX_INT, Directive, Scope, Unit, ValueType  # noqa: E402

TYPES = {
    ValueType.TEXT: "text",
    ValueType.INT: "number",
    ValueType.BOOL: "true or false",
    ValueType.WORD: "one word",
    ValueType.ENUM: "one word",
    ValueType.LETTERS: "letters",
    ValueType.LIST: "list",
    ValueType.INT_LIST: "list of numbers",
    ValueType.SECRET: "text, never shown",
    ValueType.DURATION: "duration",
}
UNITS = {Unit.NONE: "", Unit.S: "seconds", Unit.MS: "milliseconds", Unit.BYTES: "bytes"}

#: Scopes of workers, and the heading over what is supported of them.
WORKERS = {
    Scope.COMMON: "## Any worker",
    Scope.AJP: "## Workers of type ajp13",
    Scope.MEMBER: "## Members of a balancer",
    Scope.LB: "## Workers of type lb",
    Scope.STATUS: "## Workers of type status",
}
#: Sections of ajpd.toml, by their heading.
SECTIONS = {scope: f"## {scope.value}" for scope in Scope if scope.value.startswith("[")}

OFF = """\
Of a worker of type `ajp13`, each of these is an error, unless its value is the default and means
off (`0`, `false`): then it asks for nothing and is accepted."""
MEMBER = """\
Of a member of a balancer; a worker of type `ajp13` that has one gets a warning and works without
it:"""
ERROR = "| directive | what it does in mod_jk |"


def main() -> None:
    """Print everything."""
    print("\n".join(lines()))


def lines() -> Iterator[str]:
    """The reference, line by line."""
    yield "## Sections of ajpd.toml\n"
    yield from table("| section | what it is for |", rows(Scope.TOP), form="`[{}]`")
    for scope, heading in SECTIONS.items():
        yield from entries(scope, heading)
    for scope, heading in WORKERS.items():
        yield from entries(scope, heading)
    yield from entries(Scope.GLOBAL, "## Keys of workers.properties outside any worker", "worker.")
    yield from former_names()
    yield "## Known, and not supported by this version\n"
    yield from not_supported()
    yield "## Ignored with a warning\n"
    yield from table("| directive | what it was |", in_scope(Scope.DEAD).values())


def rows(*scopes: Scope, supported: bool = True) -> list[Directive]:
    """Directives of these scopes that this version supports, or those that it does not."""
    found = [row for scope in scopes for row in in_scope(scope).values()]
    return [row for row in found if row.supported is supported]


def entries(scope: Scope, heading: str, prefix: str = "") -> Iterator[str]:
    """A heading and, below it, one more for each supported directive of a scope."""
    found = [row for row in rows(scope) if not row.alias_of]
    if found:
        yield f"{heading}\n"
    for row in found:
        yield f"({scope.name.lower()}-{row.name})="
        yield f"### {prefix}{row.name}\n"
        yield f"*{facts(row)}*\n"
        yield f"{row.doc}\n"


def facts(row: Directive) -> str:
    """Type, unit, words, default, limits."""
    kind, unit = TYPES[row.type], UNITS[row.unit]
    known = [f"{kind} ({unit})" if unit else kind]
    if row.words:
        known.append("of " + ", ".join(f"`{word}`" for word in row.words))
    known += [default(row), limits(row), f"since {row.since}"]
    return "; ".join(filter(None, known))


def default(row: Directive) -> str:
    """What counts when nothing is written."""
    value = row.default
    if value is None:
        return "no fixed default"
    if value in ("", ()):
        return "default: none"
    if isinstance(value, bool):
        return f"default: `{str(value).lower()}`"
    if isinstance(value, tuple):
        return "default: " + ", ".join(f"`{item}`" for item in value)
    return f"default: `{value}`"


def limits(row: Directive) -> str:
    """Smallest and largest number, and what happens beyond."""
    if row.minimum is None:
        return ""
    text = f"at least {row.minimum}"
    if row.maximum < MAX_INT:
        text = f"{row.minimum} to {row.maximum}"
    return text + (", moved to the limit with a warning" if row.is_clamped else "")


def former_names() -> Iterator[str]:
    """Aliases that still work."""
    yield "## Former names that still work\n"
    yield "Each gives a warning; when both are written, the present name counts.\n"
    yield "| former name | present name |"
    yield "|---|---|"
    for row in rows(*WORKERS):
        if row.alias_of:
            yield f"| `{row.name}` | `{row.alias_of}` |"
    yield ""


def not_supported() -> Iterator[str]:
    """What this version knows by name only."""
    yield from block(OFF, ERROR, rows(Scope.AJP, Scope.COMMON, supported=False))
    yield from block(
        "Of `workers.properties` as a whole, an error:",
        ERROR,
        rows(Scope.GLOBAL, supported=False),
        form="`worker.{}`",
    )
    yield from block(MEMBER, ERROR, rows(Scope.MEMBER, supported=False))
    for scope in (Scope.LB, Scope.STATUS):
        yield from block(
            f"Of a worker of type `{scope.value}`, a type that is an error itself:",
            ERROR,
            rows(scope, supported=False),
        )
    yield from block(
        "Sections of ajpd.toml, an error:",
        "| section | what it will be for |",
        rows(Scope.TOP, supported=False),
        form="`[{}]`",
    )
    for scope in SECTIONS:
        yield from block(
            f"Keys of `{scope.value}` in ajpd.toml, an error:",
            "| key | what it will say |",
            rows(scope, supported=False),
        )


def block(text: str, header: str, found: list[Directive], *, form: str = "`{}`") -> Iterator[str]:
    """A sentence and a table; nothing when there are no rows."""
    if found:
        yield f"{text}\n"
        yield from table(header, found, form=form)


def table(header: str, found: Iterable[Directive], *, form: str = "`{}`") -> Iterator[str]:
    """Names and paragraphs."""
    yield header
    yield "|---|---|"
    for row in found:
        yield f"| {form.format(row.name)} | {row.doc.replace('|', chr(92) + '|')} |"
    yield ""


if __name__ == "__main__":
    main()
