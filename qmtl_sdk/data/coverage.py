"""Interval algebra of coverage: half-open spans of UTC nanoseconds, and sets of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from qmtl_sdk.data.times import format_instant


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """Span the half-open time ``[start, end)``, nanoseconds since the Unix epoch; never empty."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError(f"interval [{self.start}, {self.end}) is empty; its start must be before its end")

    def __str__(self) -> str:
        return f"[{format_instant(self.start)}, {format_instant(self.end)})"


@dataclass(frozen=True, slots=True, init=False)
class Coverage:
    """Hold a set of instants in its one canonical form: ascending spans that neither overlap nor touch.

    So two coverages are equal exactly when they hold the same instants.
    """

    intervals: tuple[Interval, ...]

    def __init__(self, intervals: Iterable[Interval] = ()) -> None:
        object.__setattr__(self, "intervals", tuple(_merged(sorted(intervals))))

    def __bool__(self) -> bool:
        return bool(self.intervals)

    def __contains__(self, instant: int) -> bool:
        return any(span.start <= instant < span.end for span in self.intervals)

    def __or__(self, other: Coverage) -> Coverage:
        """Return the union."""
        return Coverage((*self.intervals, *other.intervals))

    def __and__(self, other: Coverage) -> Coverage:
        """Return the intersection, in one walk over both."""
        return Coverage(_common(self.intervals, other.intervals))

    def __sub__(self, other: Coverage) -> Coverage:
        """Return what is here and not in ``other``."""
        if not self.intervals:
            return self
        hull = Interval(self.intervals[0].start, self.intervals[-1].end)
        return self & Coverage(_complement(other.intervals, hull))

    def gaps(self, within: Interval) -> Coverage:
        """Return what of ``within`` is not covered."""
        return Coverage((within,)) - self


def _merged(ordered: Iterable[Interval]) -> Iterator[Interval]:
    open_span: Interval | None = None
    for span in ordered:
        if open_span is None:
            open_span = span
        elif span.start <= open_span.end:
            open_span = Interval(open_span.start, max(open_span.end, span.end))
        else:
            yield open_span
            open_span = span
    if open_span is not None:
        yield open_span


def _common(left: tuple[Interval, ...], right: tuple[Interval, ...]) -> Iterator[Interval]:
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i].start, right[j].start), min(left[i].end, right[j].end)
        if start < end:
            yield Interval(start, end)
        if left[i].end <= right[j].end:
            i += 1
        else:
            j += 1


def _complement(spans: tuple[Interval, ...], hull: Interval) -> Iterator[Interval]:
    reached = hull.start
    for span in spans:
        if span.start > reached:
            yield Interval(reached, span.start)
        reached = max(reached, span.end)
    if reached < hull.end:
        yield Interval(reached, hull.end)
