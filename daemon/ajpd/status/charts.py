"""Small pictures in a page: SVG, with words for those who do not see them."""

from collections.abc import Sequence
from html import escape
from typing import Final

from ajp.snapshot import BUCKETS, Histogram

from .text_form import duration

__all__ = ["latency_chart", "rate_chart"]

_WIDTH: Final = 112
_HEIGHT: Final = 24
#: Two buckets of the table are one bar; what is under 64 us or over 17 s has no bar of its own.
_FIRST: Final = 1
_LAST: Final = 73
_STEP: Final = 2


def latency_chart(times: Histogram) -> str:
    """How long requests took: a bar for each half octave, marks at the quantiles."""
    words = in_words(times)
    bars = _bars(times)
    most = max(bars, default=0)
    if not most:
        return ""
    width = _WIDTH / len(bars)
    drawn = "".join(
        f'<rect x="{index * width:.1f}" y="{_HEIGHT - height:.1f}" width="{width - 0.6:.1f}" '
        f'height="{height:.1f}"/>'
        for index, count in enumerate(bars)
        if (height := max(count / most * _HEIGHT, 1.0 if count else 0.0))
    )
    return _svg("latency", words, drawn)


def in_words(times: Histogram) -> str:
    """The quantiles."""
    found = (times.p50_us, times.p95_us, times.p99_us)
    if found[0] is None:
        return "no requests"
    named = zip(("p50", "p95", "p99"), found, strict=True)
    return ", ".join(f"{name} {duration((us or 0) / 1e6)}" for name, us in named)


def _bars(times: Histogram) -> list[int]:
    counts = times.counts
    inside = [sum(counts[at : at + _STEP]) for at in range(_FIRST, _LAST, _STEP)]
    inside[0] += sum(counts[:_FIRST])
    inside[-1] += sum(counts[_LAST:BUCKETS])
    return inside


def rate_chart(per_s: Sequence[float]) -> str:
    """Requests in a second over the last minutes."""
    points = list(per_s)[-_WIDTH // 2 :]
    most = max(points, default=0.0)
    if len(points) < 2 or most <= 0:
        return ""
    step = _WIDTH / (len(points) - 1)
    line = " ".join(
        f"{index * step:.1f},{_HEIGHT - value / most * (_HEIGHT - 2) - 1:.1f}"
        for index, value in enumerate(points)
    )
    return _svg("rate", f"at most {most:.3g} a second lately", f'<polyline points="{line}"/>')


def _svg(name: str, words: str, drawn: str) -> str:
    return (
        f'<svg class="{name}" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" role="img" aria-label="{escape(words)}" '
        f'preserveAspectRatio="none">{drawn}</svg>'
    )
