"""An answer to a scrape as text: OpenMetrics 1.0, or the older format of Prometheus, 0.0.4.

Both have the same samples with the same names. The older one knows neither units nor info metrics
nor state sets: they are gauges there.

Source: OpenMetrics 1.0, "Text format"; Prometheus, "Exposition formats", "Text-based format".
"""

from collections.abc import Iterator
from typing import Final

from .families import FAMILIES, Family, Kind
from .samples import Sample, Scrape, samples

__all__ = ["OPENMETRICS", "PLAIN", "parts", "render", "wants_openmetrics"]

#: Content types of the two.
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"

#: Versions of OpenMetrics whose parsers read what is sent here.
_VERSIONS: Final = ("", "0.0.1", "1.0.0")


def render(scrape: Scrape, *, openmetrics: bool) -> bytes:
    """All families and samples of a scrape."""
    return b"".join(parts(scrape, openmetrics=openmetrics))


def parts(scrape: Scrape, *, openmetrics: bool) -> Iterator[bytes]:
    """The same in the order in which it is sent, a family at a time."""
    families = {family.name: family for family in FAMILIES}
    for name, found in samples(scrape):
        lines = [_line(name, sample) for sample in found]
        if lines:
            head = _head(families[name], openmetrics=openmetrics)
            # A name in the configuration may be anything that a file can hold.
            yield (head + "".join(lines)).encode("utf-8", "backslashreplace")
    if openmetrics:
        yield b"# EOF\n"


def _line(name: str, sample: Sample) -> str:
    end, labels, value = sample
    number = value if type(value) is int else _number(value)
    return f"{name}{end}{{{labels}}} {number}\n" if labels else f"{name}{end} {number}\n"


def _number(value: float) -> int | float:
    """Numbers and claims as numbers; whole ones without a fraction."""
    whole = int(value)
    return whole if whole == value else float(value)


def _head(family: Family, *, openmetrics: bool) -> str:
    text = family.help.replace("\\", r"\\").replace("\n", r"\n")
    if not openmetrics:
        name, kind = family.name, family.kind
        if kind in (Kind.COUNTER, Kind.INFO):
            (name,) = family.sample_names
        if kind in (Kind.INFO, Kind.STATESET):
            kind = Kind.GAUGE
        return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
    text = text.replace('"', r"\"")
    unit = f"# UNIT {family.name} {family.unit}\n" if family.unit else ""
    return f"# TYPE {family.name} {family.kind}\n{unit}# HELP {family.name} {text}\n"


def wants_openmetrics(accept: str) -> bool:
    """Whether who sends this Accept header wants OpenMetrics rather than the older format."""
    openmetrics = plain = 0.0
    for item in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        options = dict(part.partition("=")[::2] for part in parameters)
        try:
            weight = float(options.get("q", "1"))
        except ValueError:
            weight = 0.0
        version = options.get("version", "").strip('"')
        if kind == "application/openmetrics-text" and version in _VERSIONS:
            openmetrics = max(openmetrics, weight)
        elif kind == "text/plain" and version in ("", "0.0.4"):
            plain = max(plain, weight)
    return openmetrics > 0 and openmetrics >= plain
