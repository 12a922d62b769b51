"""What is written about probes of a container → `ProbeConfig`.

This file knows what these directives mean together; when a probe is made, and what its answer
does, is known where probes are made.
"""

import re
from typing import Final, Literal, cast

from .model import ProbeConfig
from .sections import SectionValues

__all__ = ["build_probe"]

_URI: Final = re.compile(r"(?:(?P<method>GET|HEAD) +)?(?P<uri>/[!-~]*)")
_STATUSES: Final = re.compile(r"(?P<low>[1-9][0-9]{2})(?:-(?P<high>[1-9][0-9]{2}))?")
#: With its query it has to fit into a packet of 8192 bytes with everything else.
_LONGEST_URI: Final = 4096
#: What has no effect without probes.
_NAMES: Final = ("probe_interval", "probe_timeout", "probe_status", "probe_uri", "freeze_timeout")


def build_probe(values: SectionValues) -> ProbeConfig:
    """Read how a container is to be probed; what cannot be is reported there."""
    kind = _kind(values)
    method, uri = _page(values)
    if kind == "off":
        for name in _NAMES:
            if values.is_written(name):
                values.warn(name, "has no effect with probe=off")
    elif kind == "cping":
        for name in ("probe_uri", "probe_status"):
            if values.is_written(name):
                values.warn(name, "has no effect with probe=cping")
    return ProbeConfig(
        kind=kind,
        interval_ms=values.number("probe_interval"),
        timeout_ms=values.number("probe_timeout"),
        freeze_timeout_ms=values.number("freeze_timeout"),
        method=method,
        uri=uri,
        statuses=_statuses(values),
    )


def _kind(values: SectionValues) -> Literal["off", "cping", "request"]:
    """What is written; where nothing is, probe_uri says it."""
    has_uri = values.is_written("probe_uri") and values.text("probe_uri") != ""
    if not values.is_written("probe"):
        return "request" if has_uri else "cping"
    kind = cast(Literal["off", "cping", "request"], values.text("probe"))
    if kind == "request" and not has_uri:
        values.error("probe", "a request needs a page to ask for", hint="probe_uri=/")
    return kind


def _page(values: SectionValues) -> tuple[Literal["GET", "HEAD"], str]:
    text = values.text("probe_uri")
    match = _URI.fullmatch(text)
    if text and match is None:
        what = f"{text!r} is no path, such as /health or HEAD /health?deep=1"
        values.error("probe_uri", what, hint=f"/{text}" if re.fullmatch(r"\w+", text) else "")
    elif len(text) > _LONGEST_URI:
        values.error("probe_uri", f"has more than {_LONGEST_URI} bytes")
    if match is None:
        return "GET", ""
    return cast(Literal["GET", "HEAD"], match["method"] or "GET"), match["uri"]


def _statuses(values: SectionValues) -> tuple[tuple[int, int], ...]:
    found = []
    for text in values.texts("probe_status"):
        match = _STATUSES.fullmatch(text)
        if match is None:
            what = f"{text!r} is no status code, and no range such as 200-399"
            values.error("probe_status", what)
            continue
        low = int(match["low"])
        high = int(match["high"] or low)
        if high < low:
            values.error("probe_status", f"{text!r} is empty", hint=f"{high}-{low}")
        found.append((low, high))
    return tuple(found)
