"""The bytes of the shared status table, read from the structures in `ajp/_layout.pxd`."""

import re
from pathlib import Path
from typing import NamedTuple

LAYOUT = Path(__file__).parents[2] / "ajp" / "_layout.pxd"

BYTES = {"char": 1, "uint32_t": 4, "ajp_half": 4, "uint64_t": 8, "int64_t": 8, "ajp_word": 8}
STRUCT = re.compile(r"typedef struct \{(.*?)\} ajp_(\w+);", re.DOTALL)
FIELD = re.compile(r"(\w+) (\w+)((?:\[\d+\])*);")


class Field(NamedTuple):
    """A field of a structure."""

    at: int
    size: int
    name: str
    kind: str


def structures() -> dict[str, list[Field]]:
    """Fields of every structure; none has a gap, since each begins where its size wants it."""
    found = {}
    for body, name in STRUCT.findall(LAYOUT.read_text(encoding="utf-8")):
        at = 0
        fields = []
        for kind, field, dimensions in FIELD.findall(body):
            size = BYTES[kind]
            if at % size:
                raise ValueError(f"{name}.{field} would begin at {at}, behind a gap")
            for times in re.findall(r"\d+", dimensions):
                size *= int(times)
            fields.append(Field(at, size, field + dimensions, kind.removeprefix("ajp_")))
            at += size
        found[name] = fields
    return found


def lines() -> list[str]:
    """Tables of all structures."""
    made = []
    for name, fields in structures().items():
        size = fields[-1].at + fields[-1].size
        made += [
            f"### {name}: {size} bytes",
            "",
            "| at | bytes | field | of |",
            "|---|---|---|---|",
        ]
        made += [f"| {f.at} | {f.size} | `{f.name}` | {f.kind} |" for f in fields]
        made.append("")
    return made


if __name__ == "__main__":
    print("\n".join(lines()))
