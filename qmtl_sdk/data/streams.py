"""What a read delivers to strategies: the preset's bars, coarser bars made of them, and its published streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qmtl_sdk.data.panel import Panel
from qmtl_sdk.data.sessions import BarGrid


@dataclass(frozen=True, slots=True, eq=False)
class Streams:
    """Hold the bars of a preset with their grid and calendar, and by name what was published, on the same bars."""

    preset: str
    bars: Panel
    grid: BarGrid
    calendar: str
    published: Mapping[str, Panel]
