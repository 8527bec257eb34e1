"""When two values of a node agree, and when their difference is nothing but accumulated rounding.

A rolling sum that accumulates carries bits of all bars before, a window does not: floats agree to the node's
tolerance. Where such bits decide (a comparison of two averages of prices that stand still, a difference near zero),
neither value is wrong. That is a tie: inputs moved by less than the tolerance reach the other value too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qmtl_sdk.strategy.node import Node
from qmtl_sdk.strategy.values import FloatArray, Value, ValueKind
from qmtl_sdk.strategy.view import InputView, View

TIE_SAMPLES: Final = 16  # an even tie escapes with probability 2**-16

Move = Callable[[tuple[int, ...]], FloatArray]
"""The shape of a window -> how far each of its numbers moves, in [-1, 1]."""


def agree(expected: FloatArray, got: FloatArray, kind: ValueKind, tolerance: float) -> NDArray[np.bool_]:
    """Return where two arrays of numbers agree (NaN is null, and agrees with null only).

    Floats to ``tolerance`` relative to the larger of the two, booleans and integers exactly.
    """
    same: NDArray[np.bool_] = (expected == got) | (np.isnan(expected) & np.isnan(got))
    if kind is ValueKind.FLOAT:
        both = np.isfinite(expected) & np.isfinite(got)
        size = np.maximum(np.abs(expected), np.abs(got), where=both, out=np.zeros_like(got))
        same |= np.abs(np.subtract(expected, got, where=both, out=np.ones_like(got))) <= tolerance * size
    return same


def moved_views(view: View, start: int, bar: int, tolerance: float, seed: int) -> Iterator[View]:
    """Yield windows [start, bar] whose numbers are moved by up to ``tolerance``: not at all, at random, by a step.

    Relative to the largest number so far, as accumulated rounding is. Steps of the newest 1, 2, 4, … bars reach what
    noise does not, such as a close two deviations away from the mean.
    """

    def moved(value: Value, move: Move) -> Value:
        if value.kind is not ValueKind.FLOAT:
            return value.rows(start, bar + 1)
        past = np.abs(value.data[: bar + 1])
        scale = tolerance * np.where(np.isnan(past), 0.0, past).max(axis=0, initial=0.0)
        window = value.data[start : bar + 1]
        return value.like(window + scale * move(window.shape))

    def moved_input(move: Move, source: InputView) -> InputView:
        columns = {name: moved(value, move) for name, value in source.columns.items()}
        return InputView(source.axis.rows(start, bar + 1), columns, source.flat)

    for move in _moves(bar + 1 - start, np.random.default_rng((seed, bar))):
        yield view.mapped(partial(moved_input, move))


def _moves(bars: int, random: np.random.Generator) -> Iterator[Move]:
    yield np.zeros
    for _ in range(TIE_SAMPLES):
        yield lambda shape: random.uniform(-1.0, 1.0, shape)
    for power in range(bars.bit_length()):
        step = (np.arange(bars) >= bars - 2**power).astype(np.float64)
        for direction in (step, -step):
            yield partial(np.broadcast_to, direction[:, None])


def within_reach(expected: float, reached: Sequence[float], kind: ValueKind) -> bool:
    """Tell whether a value lies among those that moved inputs reach (for floats: as near as they lie to each other)."""
    known = [number for number in reached if not np.isnan(number)]
    if np.isnan(expected):
        return len(known) < len(reached)
    if kind is not ValueKind.FLOAT:
        return expected in known
    if len(known) < 2:  # one number says nothing of how near they lie
        return False
    low, high = min(known), max(known)
    return low - (high - low) <= expected <= high + (high - low)


def seed_of(node: Node) -> int:
    """Return the seed of everything random in a node's proof: the same proof for the same node."""
    return int(node.node_id[-16:], 16)


def text_of(number: float, kind: ValueKind) -> str:
    """Return a value as a finding shows it."""
    if np.isnan(number):
        return "null"
    if kind is ValueKind.BOOL:
        return "true" if number else "false"
    return str(int(number)) if kind is ValueKind.INT else repr(float(number))
