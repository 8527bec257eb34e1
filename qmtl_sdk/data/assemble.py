"""From a source's rows to partitions.

1. Times must ascend within each symbol (`conformance.check_order`).
2. Each row finds its bar on the calendar's grid; a row that finds none is left out and counted (`_placed`).
3. Rows outside the preset's range are left out; the others are judged against the schema (`conformance.violations`).
4. Prices are adjusted (`_adjusted`), and what is not finite becomes null.
5. Rows are spread over [time, symbol], from the first known bar to the last; sessions without a row stay as nulls.
6. The whole is cut into years, each named by its content (`partitions.by_year`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.data.conformance import PRICES, Rule, Violation, check_order, violation, violations
from qmtl_sdk.data.partitions import Manifest, Partition, by_year, entry_of
from qmtl_sdk.data.preset import ADJUSTED_CLOSE, Adjustments, TimeMeans, WorldDataPreset
from qmtl_sdk.data.sessions import BarGrid, bar_grid, bars_per_session
from qmtl_sdk.data.source import SourceRows
from qmtl_sdk.data.times import DAY_NS


@dataclass(frozen=True, slots=True, eq=False)
class Assembled:
    """Hold a dataset: its manifest, and each partition by content hash."""

    manifest: Manifest
    partitions: Mapping[str, Partition]


def assemble(preset: WorldDataPreset, rows: SourceRows, source_version: str) -> Assembled:
    """Return the dataset of a preset from its source's rows.

    Raises QmtlError DATA_INVALID for rows out of order, DATA_UNAVAILABLE when a symbol has no bar in the range.
    """
    _require_columns(preset, rows)
    check_order(rows, preset.symbols)
    _require_rows(preset, rows)
    grid = rows.grid or _expected(preset, rows.times)
    if not len(grid):
        raise _no_bars(preset, list(preset.symbols), ())
    bars, off_calendar = _placed(preset, rows, grid)
    kept = bars >= 0
    rows, bars = _chosen(rows, kept), bars[kept]
    _require_rows(preset, rows, off_calendar)
    found = (*violations(rows, preset.symbols), *off_calendar)
    whole = _spread(preset, rows, bars, grid)
    known = np.isfinite(whole.columns["close"])
    closes = whole.grid.closes
    parts = [(entry_of(year, part), part) for year, part in by_year(whole)]
    manifest = Manifest(
        dataset_key=preset.dataset_key(),
        source_version=source_version,
        bars_per_session=bars_per_session(whole.grid),
        first_bars=tuple(int(closes[first]) for first in known.argmax(axis=0)),
        newest=int(closes[-1]),
        partitions=tuple(entry for entry, _ in parts),
        violations=found,
    )
    return Assembled(manifest, {entry.content_hash: part for entry, part in parts})


def _expected(preset: WorldDataPreset, times: NDArray[np.int64]) -> BarGrid:
    start, end = int(times.min()) - 2 * DAY_NS, int(times.max()) + 2 * DAY_NS
    return bar_grid(preset.calendar, preset.interval_s, start, end)


def _placed(
    preset: WorldDataPreset, rows: SourceRows, grid: BarGrid
) -> tuple[NDArray[np.int64], tuple[Violation, ...]]:
    """Return each row's bar (int64 [N], -1: not in range or off the calendar) and the violation of the latter."""
    stamps = {TimeMeans.SESSION: grid.sessions, TimeMeans.OPEN: grid.opens, TimeMeans.CLOSE: grid.closes}[
        rows.time_means
    ]
    bars = np.minimum(np.searchsorted(stamps, rows.times), len(grid) - 1)
    off = stamps[bars] != rows.times
    span = grid.within(preset.range.start, preset.range.end)
    bars = np.where(off | (bars < span.start) | (bars >= span.stop), -1, bars)
    off &= (rows.times >= preset.range.start) & (rows.times < preset.range.end)
    broken = (violation(rows, preset.symbols, Rule.OFF_CALENDAR, "time", off),) if off.any() else ()
    return bars, broken


def _chosen(rows: SourceRows, kept: NDArray[np.bool_]) -> SourceRows:
    columns = {name: values[kept] for name, values in rows.columns.items()}
    return SourceRows(rows.times[kept], rows.symbols[kept], columns, rows.rows[kept], rows.time_means, rows.grid)


def _spread(preset: WorldDataPreset, rows: SourceRows, bars: NDArray[np.int64], grid: BarGrid) -> Partition:
    values = _adjusted(rows.columns) if preset.adjustments is Adjustments.SPLIT_DIVIDEND else rows.columns
    used = slice(int(bars.min()), int(bars.max()) + 1)
    columns = {}
    for name in preset.bars.columns:
        column = np.full((used.stop - used.start, len(preset.symbols)), np.nan)
        # Adding zero turns -0.0 into 0.0; every non-finite value becomes the one NaN.
        column[bars - used.start, rows.symbols] = np.where(np.isfinite(values[name]), values[name] + 0.0, np.nan)
        columns[name] = column
    return _trimmed(preset, Partition(grid.take(used), preset.symbols, columns))


def _trimmed(preset: WorldDataPreset, whole: Partition) -> Partition:
    """Cut leading and trailing bars that no symbol has a close for."""
    known = np.isfinite(whole.columns["close"])
    empty = [name for name, some in zip(preset.symbols, np.any(known, axis=0).tolist(), strict=True) if not some]
    if empty:
        raise _no_bars(preset, empty, ())
    present = np.flatnonzero(known.any(axis=1))
    return whole.take(slice(int(present[0]), int(present[-1]) + 1))


def _adjusted(columns: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Scale prices by adjusted close / close. One factor for all four keeps low <= open, close <= high."""
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = columns[ADJUSTED_CLOSE] / columns["close"]
        return {name: values * factor if name in PRICES else values for name, values in columns.items()}


def _require_columns(preset: WorldDataPreset, rows: SourceRows) -> None:
    for name in preset.source_columns:
        if name not in rows.columns:
            message = (
                f"{preset.name}: the source delivers no column {name!r}; add it there, or take it out of the preset"
            )
            raise QmtlError(Reason.DATA_INVALID, message, metadata={"data_preset": preset.name, "column": name})


def _require_rows(preset: WorldDataPreset, rows: SourceRows, off_calendar: tuple[Violation, ...] = ()) -> None:
    counts = np.bincount(rows.symbols, minlength=len(preset.symbols))
    empty = [name for name, count in zip(preset.symbols, counts, strict=True) if count == 0]
    if empty:
        raise _no_bars(preset, empty, off_calendar)


def _no_bars(preset: WorldDataPreset, empty: list[str], off_calendar: tuple[Violation, ...]) -> QmtlError:
    cause = f" ({off_calendar[0]}: no bar of {preset.calendar} at {preset.interval} is there)" if off_calendar else ""
    message = (
        f"{preset.name}: the history of {', '.join(empty)} is empty within {preset.start}..{preset.end or 'now'}"
        f"{cause}; remove the symbol, or correct its name, the range, or what source.time_means says"
    )
    return QmtlError(
        Reason.DATA_UNAVAILABLE, message, metadata={"data_preset": preset.name, "symbols": ",".join(empty)}
    )
