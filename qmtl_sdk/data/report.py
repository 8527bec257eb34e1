"""What a read delivered: the panel, and the report of its coverage, gaps, conformance, promises and fingerprint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.identity import Json
from qmtl_sdk.data.conformance import Rule, Violation
from qmtl_sdk.data.coverage import Coverage, Interval
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.data.preset import SchemaMode, ServiceLevel
from qmtl_sdk.data.sessions import BarGrid
from qmtl_sdk.data.streams import Streams
from qmtl_sdk.data.times import NS_PER_SECOND, format_instant, parse_duration


class Layer(StrEnum):
    """Name where the bars came from, nearest first."""

    MEMORY = "memory"
    DISK = "disk"
    STORAGE = "storage"
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Gap:
    """Name consecutive bars that the calendar expects and the symbol lacks, from its first bar on."""

    symbol: str
    span: Interval
    bars: int


@dataclass(frozen=True, slots=True)
class SymbolCoverage:
    """Say what of one symbol is there: spans without a missing bar, bars present, bars expected since its first."""

    symbol: str
    covered: Coverage
    present: int
    expected: int


@dataclass(frozen=True, slots=True)
class SlaBreach:
    """Name a promise that the data does not keep."""

    rule: str
    limit: float
    value: float


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """Say what was delivered.

    ``as_of``: the snapshot, RFC 3339; nothing that closes after it is in the panel. ``span``: from the first bar's
    open to the last one's close. ``source_reachable`` is False when kept data was served without asking its source.
    ``fingerprint`` covers all that was delivered; ``streams`` has by name that of each published stream alone.
    """

    data_preset: str
    served_from: Layer
    source_reachable: bool
    fingerprint: str
    as_of: str
    span: Interval
    bars: int
    bars_per_year: int
    symbols: tuple[SymbolCoverage, ...]
    gaps: tuple[Gap, ...]
    schema_mode: SchemaMode
    violations: tuple[Violation, ...]
    sla_breaches: tuple[SlaBreach, ...]
    streams: Mapping[str, str]

    @property
    def coverage(self) -> Coverage:
        """Return the time at which every listed symbol is there: the span without any symbol's gap."""
        return Coverage((self.span,)) - Coverage(gap.span for gap in self.gaps)

    @property
    def coverage_fraction(self) -> float:
        """Return bars present / bars expected over all symbols, 0..1."""
        return _fraction(self.symbols)

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for each thing that an author should know before trusting what was computed on it."""
        found = []
        if not self.source_reachable:
            found.append(f"the source of {self.data_preset} cannot be read; data kept from before is served")
        found += [f"{self.data_preset}: {item}; {_fate(item.rule)}" for item in self.violations]
        found += [f"{self.data_preset}: {b.rule} is {b.value:.6g}, promised {b.limit:.6g}" for b in self.sla_breaches]
        return tuple(found)

    def document(self) -> dict[str, Json]:
        """Return the JSON form."""
        return {
            "as_of": self.as_of,
            "bars": self.bars,
            "bars_per_year": self.bars_per_year,
            "coverage": [_pair(span) for span in self.coverage.intervals],
            "coverage_fraction": self.coverage_fraction,
            "data_preset": self.data_preset,
            "fingerprint": self.fingerprint,
            "gaps": [{"bars": gap.bars, "span": _pair(gap.span), "symbol": gap.symbol} for gap in self.gaps],
            "schema_mode": str(self.schema_mode),
            "served_from": str(self.served_from),
            "sla_breaches": [{"limit": b.limit, "rule": b.rule, "value": b.value} for b in self.sla_breaches],
            "source_reachable": self.source_reachable,
            "span": _pair(self.span),
            "streams": dict(self.streams),
            "symbols": [
                {
                    "coverage": [_pair(span) for span in item.covered.intervals],
                    "expected": item.expected,
                    "present": item.present,
                    "symbol": item.symbol,
                }
                for item in self.symbols
            ],
            "violations": [item.document() for item in self.violations],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """Hold what was delivered and the report on it."""

    streams: Streams
    report: DeliveryReport

    @property
    def panel(self) -> Panel:
        """Return the preset's bars."""
        return self.streams.bars


def judge_coverage(
    panel: Panel, grid: BarGrid, first_bars: tuple[int, ...]
) -> tuple[tuple[SymbolCoverage, ...], tuple[Gap, ...]]:
    """Compare the bars that are there with those of the grid; before a symbol's first bar nothing is missing.

    ``first_bars``: close of the first bar of each symbol in the whole dataset, UTC nanoseconds.
    """
    known = np.isfinite(panel.columns["close"])
    symbols, gaps = [], []
    for index, name in enumerate(panel.symbols):
        since = int(np.searchsorted(grid.closes, first_bars[index]))
        there = known[since:, index]
        spans = [_span(grid, since + first, since + after) for first, after in _runs(there)]
        symbols.append(SymbolCoverage(name, Coverage(spans), int(there.sum()), len(there)))
        gaps += [Gap(name, _span(grid, since + first, since + after), after - first) for first, after in _runs(~there)]
    return tuple(symbols), tuple(gaps)


def judge_sla(sla: ServiceLevel, symbols: tuple[SymbolCoverage, ...], newest: int, until: int) -> tuple[SlaBreach, ...]:
    """Return the broken promises; ``newest`` bar's close and the time it is judged at, UTC nanoseconds."""
    breaches = []
    missing = 1.0 - _fraction(symbols)
    if sla.max_missing_fraction is not None and missing > sla.max_missing_fraction:
        breaches.append(SlaBreach("max_missing_fraction", sla.max_missing_fraction, missing))
    if sla.max_staleness is not None:
        limit, stale = float(parse_duration(sla.max_staleness)), max(until - newest, 0) / NS_PER_SECOND
        if stale > limit:
            breaches.append(SlaBreach("max_staleness_s", limit, stale))
    return tuple(breaches)


def _fraction(symbols: tuple[SymbolCoverage, ...]) -> float:
    expected = sum(item.expected for item in symbols)
    return sum(item.present for item in symbols) / expected if expected else 1.0


def _fate(rule: Rule) -> str:
    return {Rule.OFF_CALENDAR: "left out", Rule.INFINITE: "delivered as null"}.get(rule, "delivered as it is")


def _runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the half-open index ranges of consecutive True."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    for first, after in edges.reshape(-1, 2):
        yield int(first), int(after)


def _span(grid: BarGrid, first: int, after: int) -> Interval:
    return Interval(int(grid.opens[first]), int(grid.closes[after - 1]))


def _pair(span: Interval) -> list[Json]:
    return [format_instant(span.start), format_instant(span.end)]
