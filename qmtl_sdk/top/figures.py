"""Figures of what services expose: levels as they are, rates from two readings of counters. Pure.

A counter that is lower than before was begun anew with its process, and has counted from 0 since. What is not known is
None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final

Labels = tuple[tuple[str, str], ...]
Series = Mapping[tuple[str, Labels], float]

LEVELS: Final[Mapping[str, str]] = {"sessions": "runner_sessions", "outbox_lag_s": "outbox_lag_seconds"}
COUNTERS: Final[Mapping[str, str]] = {
    "submissions_per_s": "gateway_submissions_total",
    "accepted_per_s": "orders_accepted_total",
    "refused_per_s": "orders_refused_total",
    "fenced_per_s": "orders_fenced_total",
}
METRICS: Final = frozenset((*LEVELS.values(), *COUNTERS.values()))


@dataclass(frozen=True, slots=True)
class Figures:
    """Hold levels and rates; None is not known, or not of this service."""

    sessions: float | None = None
    submissions_per_s: float | None = None
    accepted_per_s: float | None = None
    refused_per_s: float | None = None
    fenced_per_s: float | None = None
    outbox_lag_s: float | None = None


NAMES: Final = tuple(each.name for each in fields(Figures))
NO_SOURCES: Final = "no /metrics is known: name them by --metrics URL"


@dataclass(frozen=True, slots=True)
class Reading:
    """Hold what a source exposed at a moment, in monotonic seconds."""

    at: float
    series: Series


@dataclass(frozen=True, slots=True)
class Source:
    """Hold what is known of one ``/metrics``: its two newest readings, and why there is no newer one, if there is not.

    ``since`` is when it was first asked, in monotonic seconds.
    """

    name: str
    url: str
    since: float
    last: Reading | None = None
    before: Reading | None = None
    failure: str = ""
    has: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_fresh(self) -> bool:
        """Tell whether the newest attempt to read it succeeded."""
        return self.last is not None and not self.failure

    @property
    def known_at(self) -> float:
        """Return from when its newest reading is; without one, when it was first asked."""
        return self.since if self.last is None else self.last.at

    def may_expose(self, name: str) -> bool:
        """Tell whether a figure is one of its own, or may be while it was never read."""
        return (LEVELS.get(name) or COUNTERS[name]) in self.has or self.last is None

    def read(self, reading: Reading) -> Source:
        """Return it after a reading."""
        has = frozenset(name for name, _ in reading.series)
        return replace(self, last=reading, before=self.last, failure="", has=has)

    def failed(self, why: str) -> Source:
        """Return it after an attempt that failed."""
        return replace(self, failure=why or "no answer")

    @property
    def figures(self) -> Figures:
        """Return its figures of now; nothing while it does not answer, no rates before the second reading."""
        if self.last is None or self.failure:
            return Figures()
        levels = {name: _level(self.last.series, metric) for name, metric in LEVELS.items()}
        return Figures(**levels, **({} if self.before is None else rates(self.before, self.last)))


def increase(before: Series, after: Series, metric: str) -> float | None:
    """Return how much a counter rose between two readings, over all its labels; None where it is not exposed."""
    now = {key: value for key, value in after.items() if key[0] == metric}
    if not now:
        return None
    return sum(_risen(before.get(key, 0.0), value) for key, value in now.items())


def rates(before: Reading, after: Reading) -> dict[str, float | None]:
    """Return each counter's rise per second between two readings."""
    elapsed = after.at - before.at
    risen = {name: increase(before.series, after.series, metric) for name, metric in COUNTERS.items()}
    return {name: None if rise is None or elapsed <= 0.0 else rise / elapsed for name, rise in risen.items()}


def totals(sources: Sequence[Source]) -> Figures:
    """Return the figures of all sources together: sums, and the longest lag.

    A figure is not known when nobody exposes it, nor while one that does, or may, is not read: a part is no whole.
    """
    return Figures(**{name: _total(name, sources) for name in NAMES})


def why_unknown(sources: Sequence[Source]) -> str:
    """Return why some totals are not known, empty where they are or the services simply do not expose them."""
    if not sources:
        return NO_SOURCES
    silent = [each.name for each in sources if not each.is_fresh]
    if silent:
        return f"not all is known without {', '.join(silent)}"
    return "rates need two readings" if any(each.before is None for each in sources) else ""


def _total(name: str, sources: Sequence[Source]) -> float | None:
    values = [getattr(each.figures, name) for each in sources if each.may_expose(name)]
    known: list[float] = [value for value in values if value is not None]
    if not values or len(known) < len(values):
        return None
    return max(known) if name == "outbox_lag_s" else sum(known)


def _risen(before: float, after: float) -> float:
    return after - before if after >= before else after


def _level(series: Series, metric: str) -> float | None:
    found = [value for (name, _), value in series.items() if name == metric]
    return sum(found) if found else None
