"""Panels and a one-line way to evaluate an expression on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from qmtl_sdk.data.panel import Panel
from qmtl_sdk.strategy import Node, StreamInput
from qmtl_sdk.strategy.evaluate import evaluate
from qmtl_sdk.strategy.values import Value

DAY_NS = 86_400 * 10**9

Compute = Callable[..., Value]


@pytest.fixture
def compute() -> Compute:
    """Evaluate ``expression(a, b, …)`` on columns given as arrays [T] or [T, S]."""

    def run(expression: Callable[..., Node], *arrays: NDArray[np.float64]) -> Value:
        columns = {f"c{index}": column(array) for index, array in enumerate(arrays)}
        bars, symbols = next(iter(columns.values())).shape
        panel = Panel(np.arange(bars, dtype=np.int64) * DAY_NS, tuple(f"S{i}" for i in range(symbols)), columns, 86_400)
        stream = StreamInput("bars")
        node = expression(*(stream[name] for name in columns))
        return evaluate([node], {stream.node_id: panel})[node.node_id]

    return run


@pytest.fixture
def prices() -> NDArray[np.float64]:
    """Return random walks [600, 5] with holes, a ragged start, and a stretch that stands still."""
    generator = np.random.default_rng(7)
    walk = 100.0 * np.exp(np.cumsum(generator.normal(0.0, 0.02, (600, 5)), axis=0))
    walk[300:360, 1] = walk[299, 1]
    walk[:40, 2] = np.nan
    walk[generator.uniform(size=walk.shape) < 0.005] = np.nan
    return walk


def column(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a contiguous, read-only copy as [T, S]."""
    copied = np.array(array, dtype=np.float64).reshape(len(array), -1)
    copied.flags.writeable = False
    return copied
