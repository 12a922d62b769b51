"""The properties dialect of mod_jk: text → keys, values and the lines they stand on.

This file knows lines, comments, variables, repeated keys and templates. It knows no directive,
no type and no worker; whether a key means anything is decided elsewhere.

Source: mod_jk `jk_map.c` (reading, variables, references) and `jk_util.c` (which keys are lists).
Differs on purpose: a byte order mark is removed instead of spoiling the first key, a line may be
of any length, and what mod_jk ignores without a word is a warning here.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from .errors import Findings, Place, suggest

__all__ = [
    "LAST_COUNTS",
    "LIST_ATTRIBUTES",
    "Property",
    "Repeats",
    "encode",
    "parse_properties",
    "read_bytes",
    "read_properties",
    "resolve_references",
]

#: Last components of the keys whose repeated values are joined instead of replaced.
#: `balanced_workers` joins as well (mod_jk makes rubbish of a repeated one).
LIST_ATTRIBUTES: Final = frozenset(
    (
        "list",
        "balance_workers",
        "balanced_workers",
        "mount",
        "user",
        "good",
        "bad",
        "fail_on_status",
        "probe_status",
    )
)

#: Of the keys that are no lists, those whose repeated values mod_jk joins as well; the last of all
#: others counts. A name that no directive has, a variable's, is joined too.
_JOINED: Final = frozenset(
    (
        *("distance", "maintain", "secretkey", "sysprops", "stderr", "stdout", "mx", "ms"),
        *("class_path", "bridge", "jvm_lib", "ld_path", "cmd_line", "native_lib"),
    )
)
_JOINED_BY_COLON: Final = frozenset(("class_path", "ld_path"))

#: A larger file is no configuration: a log, a disk image, or /dev/zero.
MAX_FILE: Final = 16 * 1024**2

#: More substitutions in one value than this are left as text; mod_jk stops there too.
MAX_SUBSTITUTIONS: Final = 21
#: A chain of templates may be this long.
MAX_REFERENCE_DEPTH: Final = 20

#: What C's isspace() calls space; str.strip() without argument would also eat U+00A0.
_SPACE: Final = " \t\n\v\f\r"
_VARIABLE: Final = re.compile(r"\$\(([^)]*)\)")
_ITEM: Final = re.compile(r"[^ \t,]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One key with its value.

    Attributes:
        key: as written.
        value: variables substituted; of a repeated key what `Repeats` makes of it.
        place: line of the value that counts, and column of the key.
        column: of the value.
        is_literal: the value stands there as it is, no variable was replaced.
        encoding: of the file, to turn text back into the bytes that were written.
        parts: of a repeated list key, every single occurrence; else empty.
    """

    key: str
    value: str
    place: Place
    column: int | None = None
    is_literal: bool = True
    encoding: str = "utf-8"
    parts: tuple["Property", ...] = ()

    def __repr__(self) -> str:
        # The value stays out: it may be a secret.
        return f"<Property {self.key} {self.place}>"

    @property
    def value_place(self) -> Place:
        """Where the value begins."""
        return self.place._replace(column=self.column)

    def tokens(self) -> Iterator[tuple[str, Place]]:
        """Split a list value at blanks, tabs and commas, each item with its own place."""
        for part in self.parts or (self,):
            place = part.value_place
            for match in _ITEM.finditer(part.value):
                if part.is_literal and place.column is not None:
                    yield match[0], place._replace(column=place.column + match.start())
                else:
                    yield match[0], place


@dataclass(frozen=True, slots=True)
class Repeats:
    """What becomes of a key that is there several times.

    Attributes:
        lists: last components of keys whose values add up.
        known: last components of all other keys that mean something; of any other key, which is
            a variable, mod_jk joins the values with `*`. None: every key counts as it was
            written last.

    Source:
        mod_jk `jk_map.c` (jk_map_handle_duplicates) and `jk_util.c` (jk_is_unique_property).
    """

    lists: frozenset[str] = LIST_ATTRIBUTES
    known: frozenset[str] | None = None

    def joint(self, key: str) -> str | None:
        """What stands between the values of this key; None when the last one counts alone."""
        _, dot, name = key.rpartition(".")
        if dot and name in self.lists:
            return ","
        if self.known is None or (dot and name in self.known - _JOINED):
            return None
        if dot and name in _JOINED_BY_COLON:
            return ":"
        return " " if dot and name == "cmd_line" else "*"


LAST_COUNTS: Final = Repeats(lists=frozenset())


def read_bytes(path: str | Path) -> bytes:
    """Read a configuration file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large to be one, or its path cannot be.
    """
    with Path(path).open("rb") as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise ValueError(f"it has more than {MAX_FILE // 1024**2} MB, which no configuration needs")
    return content


def read_properties(
    path: str | Path,
    findings: Findings,
    *,
    env: Mapping[str, str] | None = None,
    repeats: Repeats = Repeats(),
    asked_at: Place | None = None,
) -> list[Property]:
    """Read a properties file; what is wrong goes to `findings`.

    Args:
        path: the file.
        findings: collects errors and warnings.
        env: environment for `$(name)`; the process's own when None.
        repeats: what becomes of keys that are there several times.
        asked_at: where the path was written, for the error when it cannot be read.

    Returns:
        as `parse_properties`; empty when the file cannot be read.
    """
    file = str(path)
    findings.begin(file)
    try:
        raw = read_bytes(path)
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        where = asked_at or Place(file)
        what = f"cannot read {file!r}" if asked_at else "cannot read the file"
        findings.error(where, f"{what}: {getattr(exc, 'strerror', None) or exc}")
        return []
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        findings.error(Place(file, 1), "the file is UTF-16; save it as UTF-8")
        return []
    try:
        text, encoding = raw.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text, encoding = raw.decode("latin-1"), "latin-1"
    return parse_properties(text, file, findings, encoding=encoding, env=env, repeats=repeats)


def parse_properties(
    text: str,
    file: str,
    findings: Findings,
    *,
    encoding: str = "utf-8",
    env: Mapping[str, str] | None = None,
    repeats: Repeats = Repeats(),
) -> list[Property]:
    """Parse the text of a properties file; see `read_properties` for the arguments.

    Returns:
        one `Property` a key, in the order in which the keys appear first.
    """
    environment = os.environ if env is None else env
    _remark_on_mark(text, file, findings)
    found: dict[str, Property] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        place = Place(file, number)
        pair = _split(line, place, findings)
        if pair is None:
            continue
        key, written = pair
        place = place._replace(column=line.index(key) + 1)
        column = line.index(written, line.index("=") + 1) + 1
        value = _substitute(
            written, found, environment, place=place._replace(column=column), findings=findings
        )
        new = Property(
            key=key,
            value=value,
            place=place,
            column=column,
            is_literal=value == written,
            encoding=encoding,
        )
        old = found.get(key)
        found[key] = new if old is None else _repeat(old, new, repeats, findings)
    return list(found.values())


def _remark_on_mark(text: str, file: str, findings: Findings) -> None:
    """A byte order mark is harmless here; where a key follows it, mod_jk loses that."""
    key, equals, _ = text.partition("\n")[0].partition("#")[0].partition("=")
    if equals and key.startswith("\ufeff"):
        findings.warn(
            Place(file, 1),
            "the file begins with a byte order mark, which mod_jk takes for part of "
            f"{key[1:].strip(_SPACE)!r}, so that it misses this line; here it counts",
        )


def _split(line: str, place: Place, findings: Findings) -> tuple[str, str] | None:
    """Cut the comment, split at the first `=`, trim; None when the line says nothing."""
    content, mark, _ = line.partition("#")
    if not content.strip(_SPACE):
        return None
    key, equals, value = content.partition("=")
    key, value = key.strip(_SPACE), value.strip(_SPACE)
    if not equals:
        findings.warn(place, "a line without '=' is ignored")
        return None
    if not key:
        findings.warn(place, "a line without a key is ignored")
        return None
    if not value:
        findings.warn(place, f"{key!r} has no value and is ignored", directive=key)
        return None
    if mark and content[-1] not in _SPACE:
        findings.warn(
            place,
            f"the value of {key!r} ends at '#', which begins a comment anywhere in a line",
            directive=key,
        )
    return key, value


def _substitute(
    value: str,
    found: Mapping[str, Property],
    env: Mapping[str, str],
    *,
    place: Place,
    findings: Findings,
) -> str:
    """Replace `$(name)` by an earlier key's value or the environment; never looks twice."""
    if "$(" not in value:
        return value
    if len(_VARIABLE.findall(value)) > MAX_SUBSTITUTIONS:
        findings.warn(
            place, f"only the first {MAX_SUBSTITUTIONS} variables of a value are replaced"
        )

    def one(match: re.Match[str]) -> str:
        name = match[1]
        if name in found:
            return found[name].value
        if name in env:
            return env[name]
        findings.warn(
            place, f"the variable $({name}) is set nowhere above and stays as it is written"
        )
        return match[0]

    return _VARIABLE.sub(one, value, count=MAX_SUBSTITUTIONS)


def _repeat(old: Property, new: Property, repeats: Repeats, findings: Findings) -> Property:
    joint = repeats.joint(new.key)
    if joint == ",":
        parts = (*(old.parts or (old,)), new)
        return replace(old, value=f"{old.value},{new.value}", parts=parts)
    before = f"{new.key!r} was already given on line {old.place.line}"
    if joint is None:
        findings.warn(new.place, f"{before}; the last one counts", directive=new.key)
        return new
    if joint == "*":
        meaning = f"mod_jk joins both values with {joint!r}, and so it is read here"
        findings.warn(new.place, f"{before}: {meaning}", directive=new.key)
    return replace(new, value=f"{old.value}{joint}{new.value}")


def encode(text: str, encoding: str) -> bytes:
    """Turn text back into the bytes of its file, even if a variable brought in other letters."""
    try:
        return text.encode(encoding, "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def resolve_references(properties: list[Property], findings: Findings) -> list[Property]:
    """Copy the properties of templates to the workers that refer to them.

    `worker.X.reference=worker.Y` gives X every property of Y that X does not have itself. Lists
    are not merged. Y's own reference is followed first. A copied property keeps the line on
    which it was written.

    Returns:
        the properties given, followed by the copies.

    Source:
        mod_jk `jk_map.c`, jk_map_resolve_references: same depth limit, same errors.
    """
    table = {item.key: item for item in properties}
    resolver = _Resolver(table, findings)
    for key in list(table):
        if key.startswith("worker.") and key.endswith(".reference"):
            resolver.resolve(key.removesuffix(".reference"), ())
    return list(table.values())


class _Resolver:
    """Follows references depth first; every owner once."""

    def __init__(self, table: dict[str, Property], findings: Findings) -> None:
        self._table = table
        self._findings = findings
        self._done: set[str] = set()

    def resolve(self, owner: str, chain: tuple[str, ...]) -> None:
        reference = self._table.get(f"{owner}.reference")
        if reference is None or owner in self._done:
            return
        target = reference.value
        chain = (*chain, owner)
        if target in chain:
            loop = " → ".join((*chain[chain.index(target) :], target))
            self._fail(reference, f"the references form a loop: {loop}")
            self._done.update(chain)
            return
        if len(chain) > MAX_REFERENCE_DEPTH:
            self._fail(reference, f"references are nested more than {MAX_REFERENCE_DEPTH} deep")
            self._done.update(chain)
            return
        self.resolve(target, chain)
        self._done.add(owner)
        self._copy(owner, reference)

    def _copy(self, owner: str, reference: Property) -> None:
        prefix = f"{reference.value}."
        names = [
            key.removeprefix(prefix)
            for key in self._table
            if key.startswith(prefix) and "." not in key.removeprefix(prefix)
        ]
        if not names:
            self._fail(
                reference,
                f"no key begins with {prefix!r}, so there is nothing to refer to",
                hint=self._meant(reference.value),
            )
        for name in names:
            key = f"{owner}.{name}"
            if key not in self._table:
                self._table[key] = replace(self._table[prefix + name], key=key)

    def _meant(self, target: str) -> str:
        owners = {key.rpartition(".")[0] for key in self._table}
        for guess in (target.rstrip("."), f"worker.{target.rstrip('.')}"):
            if guess in owners:
                return guess
        names = {owner.removeprefix("worker."): owner for owner in owners}
        return names.get(suggest(target.removeprefix("worker."), names), "")

    def _fail(self, reference: Property, message: str, *, hint: str = "") -> None:
        self._findings.error(reference.place, message, directive=reference.key, hint=hint)
