"""The proof of a function node: its value at bar t, from the window [t - period + 1, t], is that of the whole history.

1. The function is run again on the whole history: the same values, bit for bit, or it is not deterministic.
2. Every bar (beyond the budget: bars where the target changes, the last, a seeded sample) is computed from its window.
3. Where they differ, the node is computed from the whole past of the bar. Not the value of the whole history:
   look-ahead. The same value: the window is too short, unless the difference is a tie of rounding (agreement.py).
4. On a few bars also floats that agree are computed from the whole past, which differs by the last bits at most: a
   window may differ by the tolerance, and a later comparison would read the future from that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.errors import QmtlError
from qmtl_sdk.proofs.agreement import agree, moved_views, seed_of, text_of, within_reach
from qmtl_sdk.proofs.model import Budget, Finding, FindingKind, Proof, ProofStatus
from qmtl_sdk.proofs.stacked import stacked_windows
from qmtl_sdk.strategy.evaluate import OnStep
from qmtl_sdk.strategy.function import compute_function
from qmtl_sdk.strategy.node import Node
from qmtl_sdk.strategy.values import FloatArray, TimeArray, Value, ValueKind
from qmtl_sdk.strategy.view import View

CHUNK_BARS: Final = 8192  # compared at once, so that an early finding ends the proof early
LAST_DIGITS: Final = 1e-13  # relative; what a Fourier transform's rounding stays below
LAST_DIGIT_BARS: Final = 8  # bars compared to their last digits: each costs a run over its whole past
MAX_SHORT: Final = 64  # bars with a too short window after which the search for look-ahead ends

Bars = NDArray[np.int64]


def prove_function(
    node: Node, view: View, full: Value, changed_at: TimeArray | None, budget: Budget, on_step: OnStep
) -> Proof:
    """Prove one function node; ``full`` is its value over all of ``view``, ``changed_at`` when the target changes."""
    proof = _WindowProof(node, view, full, budget, on_step)
    proof.check_determinism()
    bars = proof.chosen_bars(changed_at)
    if not proof.findings:
        proof.check_windows(bars)
    if not proof.findings:
        proof.check_last_digits(bars)
    status = ProofStatus.FAILED if proof.findings else ProofStatus.PASSED
    total = max(0, len(full.data) - node.period + 1)
    return Proof(node.node_id, node.name, status, tuple(proof.findings), proof.checked, total, proof.ties)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Hold the values of one bar, float64 [S]; ``error`` says why there are none."""

    numbers: FloatArray
    kind: ValueKind
    error: str = ""


class _WindowProof:
    """Hold one proof while it runs."""

    def __init__(self, node: Node, view: View, full: Value, budget: Budget, on_step: OnStep) -> None:
        self.node = node
        self.on_step = on_step
        self.view = view
        self.full = full
        self.expected = full.numbers()
        self.stacked = stacked_windows(node, view)
        self.limit = budget.calls if self.stacked is None else budget.stacked
        self.findings: list[Finding] = []
        self.checked = 0
        self.ties = 0

    # ---- which bars

    def chosen_bars(self, changed_at: TimeArray | None) -> Bars:
        """Return the bars to check, ascending: all of them within the budget."""
        first, bars = self.node.period - 1, len(self.expected)
        every = np.arange(min(first, bars), bars)
        each = 1 if self.node.cross_section else max(1, self.expected.shape[1])
        allowed = max(1, self.limit // each)
        if len(every) <= allowed:
            return every
        random = np.random.default_rng(seed_of(self.node))
        sample = random.choice(every, allowed, replace=False)
        return np.unique(np.concatenate([sample, every[-1:], every[self._changes(changed_at)[first:]]]))

    def _changes(self, changed_at: TimeArray | None) -> NDArray[np.bool_]:
        """Return bool [T]: the target changes; where it is not known, the node's own booleans or integers change."""
        if changed_at is not None:
            return np.isin(self.view.axis.timestamps, changed_at)
        changes = np.zeros(len(self.expected), dtype=bool)
        if self.full.kind is not ValueKind.FLOAT:
            changes[1:] = ~agree(self.expected[1:], self.expected[:-1], self.full.kind, 0.0).all(axis=1)
        return changes

    # ---- the checks

    def check_determinism(self) -> None:
        """Run the function again: the same bits."""
        again = compute_function(self.node, self.view) if len(self.expected) else None
        if again is None:
            return
        same = agree(self.expected, again.numbers(), self.full.kind, 0.0)
        if again.kind is self.full.kind and same.all():
            return
        bar, symbol = (int(index) for index in np.argwhere(~same)[0]) if not same.all() else (0, 0)
        got = _Outcome(again.numbers()[bar], again.kind)
        self._find(FindingKind.NOT_DETERMINISTIC, bar, symbol, got)

    def check_windows(self, bars: Bars) -> None:
        """Compare bar by bar in order of time; end with the first look-ahead."""
        short = 0
        for start in range(0, len(bars), CHUNK_BARS):
            some = bars[start : start + CHUNK_BARS]
            for position, bar, window in self._differing(some, len(bars)):
                kind = self._judged(bar, window)
                short += kind is FindingKind.WARM_UP_TOO_SHORT
                if kind is FindingKind.LOOK_AHEAD or short >= MAX_SHORT:
                    self.checked += position + 1
                    return
            self.checked += len(some)

    def check_last_digits(self, bars: Bars) -> None:
        """Compare some bars of floats with their whole past, beyond the tolerance."""
        if self.full.kind is not ValueKind.FLOAT or not len(bars):
            return
        random = np.random.default_rng(seed_of(self.node))
        for bar in np.sort(random.choice(bars, min(LAST_DIGIT_BARS, len(bars)), replace=False)).tolist():
            past = self._window(bar, 0)
            ahead = ~(self._agrees(bar, past, LAST_DIGITS) | self._rounded(bar, past, LAST_DIGITS))
            if ahead.any():
                self._find(FindingKind.LOOK_AHEAD, bar, int(np.argmax(ahead)), past)
                return

    def _differing(self, bars: Bars, total: int) -> Iterator[tuple[int, int, _Outcome]]:
        """Yield position, bar and outcome of each window that differs from the whole history."""
        self.on_step(self.node.name, self.checked, total)
        stacked = self.stacked(bars) if self.stacked is not None else None
        suspect = np.ones(len(bars), dtype=bool)
        if stacked is not None:
            same = agree(self.expected[bars], stacked, self.full.kind, self.node.tolerance)
            suspect = ~np.logical_and.reduce(same, axis=1)
        for position in np.flatnonzero(suspect).tolist():
            bar = int(bars[position])
            self.on_step(self.node.name, self.checked + position, total)
            window = self._window(bar, bar - self.node.period + 1)
            if not self._agrees(bar, window).all():
                yield position, bar, window

    def _judged(self, bar: int, window: _Outcome) -> FindingKind | None:
        past = self._window(bar, 0)
        ahead = ~(self._agrees(bar, past) | self._rounded(bar, past))
        if ahead.any():
            self._find(FindingKind.LOOK_AHEAD, bar, int(np.argmax(ahead)), past)
            return FindingKind.LOOK_AHEAD
        differs = np.flatnonzero(~(self._agrees(bar, window) | self._rounded(bar, window)))
        known = any(finding.kind is FindingKind.WARM_UP_TOO_SHORT for finding in self.findings)
        short = differs[:1].tolist() if known else [at for at in differs.tolist() if not self._at_a_tie(bar, at)]
        if not short:
            self.ties += 1
            return None
        self._find(FindingKind.WARM_UP_TOO_SHORT, bar, short[0], window)
        return FindingKind.WARM_UP_TOO_SHORT

    def _at_a_tie(self, bar: int, symbol: int) -> bool:
        """Tell whether inputs moved by less than the tolerance reach the value of the whole history."""
        alone = not self.node.cross_section
        view, column = (self.view.only(symbol), 0) if alone else (self.view, symbol)
        start = bar - self.node.period + 1
        reached: list[float] = []
        for moved in moved_views(view, start, bar, self.node.tolerance, seed_of(self.node)):
            reached.append(float(self._outcome(moved).numbers[column]))
            if within_reach(self.expected[bar, symbol], reached, self.full.kind):
                return True
        return False

    # ---- values

    def _window(self, bar: int, start: int) -> _Outcome:
        return self._outcome(self.view.rows(start, bar + 1))

    def _outcome(self, view: View) -> _Outcome:
        try:
            value = compute_function(self.node, view)
        except QmtlError as error:
            return _Outcome(np.full(self.expected.shape[1], np.nan), self.full.kind, error.message)
        return _Outcome(value.numbers()[-1], value.kind)

    def _agrees(self, bar: int, got: _Outcome, tolerance: float | None = None) -> NDArray[np.bool_]:
        if got.error:
            return np.zeros(len(got.numbers), dtype=bool)
        limit = self.node.tolerance if tolerance is None else tolerance
        return agree(self.expected[bar], got.numbers, self.full.kind, limit)

    def _rounded(self, bar: int, got: _Outcome, tolerance: float | None = None) -> NDArray[np.bool_]:
        """Return bool [S]: floats that differ by rounding only, relative to the node's usual size.

        A Fourier transform rounds by the size of all its values, also where the one in question is near zero.
        The median: one enormous value must not hide a difference elsewhere; nor must another input's size.
        """
        if got.error or got.kind is not ValueKind.FLOAT or self.full.kind is not ValueKind.FLOAT:
            return np.zeros(len(got.numbers), dtype=bool)
        limit = self.node.tolerance if tolerance is None else tolerance
        near: NDArray[np.bool_] = np.abs(self.expected[bar] - got.numbers) <= limit * self.usual_size
        return near

    @cached_property
    def usual_size(self) -> FloatArray:
        """Return the median magnitude of each symbol's known values, float64 [S]; 0 where none is known."""
        columns = [np.abs(column[~np.isnan(column)]) for column in self.expected.T]
        return np.array([float(np.median(column)) if len(column) else 0.0 for column in columns])

    def _find(self, kind: FindingKind, bar: int, symbol: int, got: _Outcome) -> None:
        if any(finding.kind is kind for finding in self.findings):
            return
        axis = self.view.axis
        expected = text_of(self.expected[bar, symbol], self.full.kind)
        found = got.error or text_of(got.numbers[symbol], got.kind)
        when, name = axis.when(bar), axis.symbols[symbol]
        message = _SENTENCES[kind].format(
            node=self.node.name, when=when, symbol=name, expected=expected, got=found, period=self.node.period
        )
        if kind is FindingKind.LOOK_AHEAD and self.full.kind is not ValueKind.FLOAT:
            message += _LAST_BITS
        self.findings.append(Finding(kind, self.node.name, self.node.node_id, when, name, expected, found, message))


# No tie of rounding is let pass here: close - round(close, 2) + 1e-12 * tomorrow > 0 is such a tie on every bar.
_LAST_BITS: Final = (
    "; where only last bits differ, as of a Fourier transform over the whole history, round before comparing"
)
_SENTENCES: Final = {
    FindingKind.LOOK_AHEAD: (
        "node {node!r} looks ahead at {when} for {symbol}: {expected} with the whole history, {got} with the past "
        "alone; use only bars up to the bar itself"
    ),
    FindingKind.WARM_UP_TOO_SHORT: (
        "node {node!r} depends on more than period={period} bars at {when} for {symbol}: {expected} with the whole "
        "past, {got} from its window; state a longer period, or, where the function accumulates over the whole "
        "history (as pandas' rolling variance does), compute each window by itself or state tolerance=1e-7"
    ),
    FindingKind.NOT_DETERMINISTIC: (
        "node {node!r} is not deterministic at {when} for {symbol}: {expected}, then {got} from the same inputs; "
        "remove what differs from call to call"
    ),
}
