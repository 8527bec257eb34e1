"""What a benchmark yields, and how contenders are timed: in turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Contender = Callable[[], object]
Times = Mapping[str, Sequence[float]]
"""Milliseconds of each round, by contender."""

OURS = "QMTL"
MS = 1e3


@dataclass(frozen=True, slots=True)
class Target:
    """State what is to be reached: at most ``times`` the peer's time, or at most ``ms`` milliseconds."""

    times: float | None = None
    ms: float | None = None

    def __str__(self) -> str:
        """Return the target as the table shows it."""
        return f"≤ {self.times:g} x" if self.times is not None else f"≤ {self.ms:g} ms"


@dataclass(frozen=True, slots=True)
class Line:
    """Hold one measurement: ours, and its peer's where there is one; ``ratio`` is ours over the peer's."""

    what: str
    ours_ms: float
    peer: str = ""
    peer_ms: float | None = None
    ratio: float | None = None
    target: Target | None = None

    @property
    def met(self) -> bool | None:
        """Tell whether the target is met; None without a target."""
        if self.target is None:
            return None
        if self.target.times is not None:
            return self.ratio is not None and self.ratio <= self.target.times
        return self.target.ms is not None and self.ours_ms <= self.target.ms


@dataclass(frozen=True, slots=True)
class Findings:
    """Hold what one benchmark measured, and what else is to be said of it."""

    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Amount:
    """Hold what one of a thing costs, in ``unit``, counted ``on`` so many of them, and how many there are to be."""

    what: str
    one: float
    unit: str
    count: int
    on: str = ""


@dataclass(frozen=True, slots=True)
class Amounts:
    """Hold what a benchmark counted."""

    amounts: tuple[Amount, ...]


def timed(work: Contender) -> float:
    """Return how long one call takes, in milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * MS


def race(contenders: Mapping[str, Contender], rounds: int) -> Times:
    """Let the contenders run in turns, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, work in contenders.items():
            gc.collect()  # a contender pays for its own garbage only
            elapsed = timed(work)
            if number:
                times[name].append(elapsed)
    return times


def compare(what: str, times: Times, peer: str, target: Target | None = None) -> Line:
    """Return ours beside one peer: medians, and the median of the rounds' ratios."""
    ours, theirs = times[OURS], times[peer]
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return Line(what, statistics.median(ours), peer, statistics.median(theirs), ratio, target)


def alone(what: str, times: Sequence[float], target: Target | None = None) -> Line:
    """Return the median of what has no peer."""
    return Line(what, statistics.median(times), target=target)


def percentile(times: Sequence[float], share: float) -> float:
    """Return the least of the times that a share of them does not exceed (nearest rank)."""
    return float(np.quantile(times, share, method="inverted_cdf"))
