"""Print every family of metrics as Markdown, out of the table that an answer is made from."""

from collections.abc import Iterator

from ajpd.metrics.families import FAMILIES, Family, Kind, Scope


def lines() -> Iterator[str]:
    """A section for each thing that metrics are about."""
    for scope in Scope:
        yield f"## {scope}"
        yield ""
        yield "| name | type | labels | what it is |"
        yield "|---|---|---|---|"
        for family in FAMILIES:
            if family.scope is scope:
                yield row(family)
        yield ""


def row(family: Family) -> str:
    """One family, by the names that a query has."""
    names = family.sample_names
    if family.kind is Kind.HISTOGRAM:
        names = (family.name,)
    labels = [f"`{label}`" for label in family.labels]
    if family.states:
        labels.append(f"`{family.name}`: " + ", ".join(f"`{state}`" for state in family.states))
    cells = (f"`{names[0]}`", family.kind, ", ".join(labels), family.help.replace("|", r"\|"))
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print("\n".join(lines()))
