"""Print every reason with its status as Markdown; a name with a section of its own is a link."""

from collections.abc import Iterator
from pathlib import Path

from ajp.errors import REASON_STATUS, Reason

PAGE = Path(__file__).resolve().parents[1] / "reference" / "reasons.md"


def explained() -> set[str]:
    """Names that are headings of the page.

    Raises:
        ValueError: a heading is no reason.
    """
    text = PAGE.read_text(encoding="utf-8")
    headings = [line[4:] for line in text.splitlines() if line.startswith("### ")]
    return {str(Reason(heading)) for heading in headings}


def lines() -> Iterator[str]:
    """One row for each reason."""
    known = explained()
    yield "| reason | status | |"
    yield "|---|---|---|"
    for reason, status in REASON_STATUS.items():
        if reason in known:
            yield f"| [{reason}](#{reason}) | {status} | |"
        else:
            yield f"| {reason} | {status} | does not occur in this version |"


if __name__ == "__main__":
    print("\n".join(lines()))
