"""Prices for the proofs, with stretches that stand still and gaps, and the way from a node to its proof."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from qmtl_sdk.data.panel import Panel
from qmtl_sdk.proofs import Proof, prove_all
from qmtl_sdk.strategy.evaluate import evaluate
from qmtl_sdk.strategy.node import Node, StreamInput

DAY_NS = 86_400_000_000_000
START_NS = 1_577_923_200_000_000_000  # 2020-01-02T00:00:00Z
SYMBOLS = ("AAPL", "IBM", "MSFT")


def panel(close: np.ndarray) -> Panel:
    """Return a daily panel of one column."""
    close = np.ascontiguousarray(close, dtype=np.float64)
    close.flags.writeable = False
    timestamps = START_NS + DAY_NS * np.arange(len(close), dtype=np.int64)
    return Panel(timestamps, SYMBOLS[: close.shape[1]], {"close": close}, 86_400)


def walk(bars: int, seed: int = 7, *, whole: bool = False) -> np.ndarray:
    """Return float64 [bars, 3]: random walks near 100. The second starts late and has a halt, unless ``whole``. The
    third stands still for 120 bars after large moves, and for ever from three quarters on.
    """
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.02, (bars, 3)), axis=0))
    if not whole:
        close[: bars // 10, 1] = np.nan
        close[bars // 2 : bars // 2 + 3, 1] = np.nan
    close[bars // 3 : bars // 3 + 120, 2] = close[bars // 3, 2]
    close[bars * 3 // 4 :, 2] = close[bars * 3 // 4, 2]
    return close


@pytest.fixture(name="walk")
def walk_fixture() -> Callable[..., np.ndarray]:
    """Return ``walk(bars, seed=7, whole=False)``."""
    return walk


@pytest.fixture
def bars() -> StreamInput:
    """Return the stream of prices."""
    return StreamInput("bars", interval="1d")


Prove = Callable[..., Proof]


@pytest.fixture
def prove_on(bars: StreamInput) -> Prove:
    """Return ``prove_on(node, close, **options)``: the proof of the last node over these prices."""

    def prove_on(node: Node, close: np.ndarray | None = None, **options: object) -> Proof:
        evaluation = evaluate([node], {bars.node_id: panel(walk(700) if close is None else close)})
        return prove_all([node], evaluation, fingerprint="blake3:" + "0" * 64, **options)[-1]  # type: ignore[arg-type]  # each test states its own

    return prove_on


@pytest.fixture(scope="session")
def cheats() -> ModuleType:
    """Return the module of functions beside this file."""
    spec = importlib.util.spec_from_file_location("cheats", Path(__file__).with_name("cheats.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
