"""The return series that a worker process keeps: a round sends it those that it has not seen, not the whole cohort's.

A series is named by its content, so one that is kept is never stale. A worker that lacks some answers with their names
instead of a result, and is asked again with them (``EvaluationProcesses.run_on_series``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from qmtl_world.evaluation.model import ReturnSeries

MAX_SHELF_BARS: Final = 16_000_000  # 16 bytes each: 256 MiB in each worker

Series = Mapping[str, "ReturnSeries"]


@dataclass(frozen=True, slots=True)
class Missing:
    """Answer that a worker lacks the series of these names."""

    series_ids: tuple[str, ...]


class Shelf:
    """Keep series up to a number of bars; the one that was asked for longest ago goes first."""

    def __init__(self, max_bars: int = MAX_SHELF_BARS) -> None:
        self._max_bars = max_bars
        self._bars = 0
        self._kept: OrderedDict[str, ReturnSeries] = OrderedDict()

    def take(self, wanted: Iterable[str], sent: Series) -> Series | Missing:
        """Keep what was sent and return the wanted series, or the names of those that are neither kept nor sent."""
        for name, series in sent.items():
            if name not in self._kept:
                self._kept[name] = series
                self._bars += series.ret.size
        names = tuple(wanted)
        missing = tuple(dict.fromkeys(name for name in names if name not in self._kept))
        if missing:
            return Missing(missing)
        for name in names:
            self._kept.move_to_end(name)
        found = {name: self._kept[name] for name in names}
        while self._bars > self._max_bars:
            _, dropped = self._kept.popitem(last=False)
            self._bars -= dropped.ret.size
        return found


@cache
def shelf() -> Shelf:
    """Return this process's own."""
    return Shelf()
