"""Line charts as inline SVG: a few hundred points, an axis of years, nothing to load. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

WIDTH: Final = 720.0
LEFT: Final = 52.0  # room for the labels of values
BOTTOM: Final = 18.0  # room for the labels of years
LABEL_WIDTH: Final = 14.0
MAX_POINTS: Final = 600
LABELS: Final = 4


def chart(
    times: NDArray[np.int64],
    values: NDArray[np.float64],
    *,
    title: str,
    height: float,
    css_class: str,
    percent: bool = False,
    fill_to: float | None = None,
) -> str:
    """Return the SVG of a line over time (int64 ns UTC); ``fill_to`` fills the area between the line and a value."""
    at = np.unique(np.linspace(0, len(values) - 1, min(MAX_POINTS, len(values))).round().astype(np.int64))
    # The extremes must be seen, whatever the grid leaves out.
    at = np.unique(np.concatenate((at, [np.argmax(values), np.argmin(values)])))
    low, high = float(values.min()), float(values.max())
    if fill_to is not None:
        low, high = min(low, fill_to), max(high, fill_to)
    span = (high - low) or 1.0
    xs = LEFT + (times[at] - times[0]) / max(int(times[-1] - times[0]), 1) * (WIDTH - LEFT)
    ys = (high - values[at]) / span * (height - BOTTOM)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    area = ""
    if fill_to is not None:
        base = (high - fill_to) / span * (height - BOTTOM)
        area = f'<polygon class="area" points="{LEFT:.1f},{base:.1f} {points} {xs[-1]:.1f},{base:.1f}"/>'
    return (
        f'<svg class="{escape(css_class)}" viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>'
        f"{_values(low, high, height, percent)}{_years(times, height)}{area}"
        f'<polyline points="{points}"/></svg>'
    )


def _values(low: float, high: float, height: float, percent: bool) -> str:
    parts = []
    for level in np.linspace(low, high, LABELS):
        y = (high - level) / ((high - low) or 1.0) * (height - BOTTOM)
        text = f"{level + 0.0:.0%}" if percent else f"{level:.2f}"  # + 0.0: no minus before zero
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{min(max(y + 4, 10.0), height - BOTTOM):.1f}" text-anchor="end">{text}</text>'
        )
    return "".join(parts)


def _years(times: NDArray[np.int64], height: float) -> str:
    first, last = (datetime.fromtimestamp(int(at) / 1e9, UTC).year for at in (times[0], times[-1]))
    step = max(1, (last - first) // 8)
    parts = []
    for year in range(first + 1, last + 1, step):
        begins = int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1e9)
        if times[0] < begins < times[-1]:
            x = LEFT + (begins - int(times[0])) / int(times[-1] - times[0]) * (WIDTH - LEFT)
            anchor = "end" if x > WIDTH - LABEL_WIDTH else "middle"  # the last one would be cut in half
            parts.append(f'<text x="{x:.1f}" y="{height - 4:.1f}" text-anchor="{anchor}">{year}</text>')
    return "".join(parts)
