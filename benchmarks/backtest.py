"""Backtests: the SMA crossover from bars in memory to the result object, warm, beside plain NumPy and vectorbt."""

from __future__ import annotations

import warnings
from functools import partial
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import crossover
from benchmarks.measure import OURS, Contender, Findings, Line, Target, alone, compare, race
from qmtl_foundation.execution_model import Rebalance
from qmtl_sdk.strategy.evaluate import Memo

FIXED_BARS: Final = 10_000
LONG_BARS: Final = 1_000_000
SWEEP_BARS: Final = 100_000
WINDOWS: Final = ((5, 8, 10, 12, 15, 18, 20, 25, 30, 35), (50, 60, 70, 80, 90, 100, 120, 150, 180, 200))
PAIRS: Final = tuple((fast, slow) for fast in WINDOWS[0] for slow in WINDOWS[1])
SYMBOLS: Final = 100
NUMPY: Final = "NumPy"
ENGINES: Final = {"vectorbt, Numba": "numba", "vectorbt, Rust": "rust"}

Array = NDArray[np.float64]


def run() -> Findings:
    """Run all of them."""
    warnings.filterwarnings("ignore", module="vectorbt")
    engines = {name: engine for name, engine in ENGINES.items() if engine != "rust" or find_spec("vectorbt_rust")}
    lines = [*_one_symbol(FIXED_BARS, engines), *_one_symbol(LONG_BARS, engines), *_sweep(engines), *_symbols(engines)]
    checked = "One symbol at weight 1: NumPy and QMTL agree on equity to 1e-9, checked in the run"
    notes = [f"{checked}; with vectorbt, `tests/unit/qmtl_sdk/backtest` compares."]
    if len(engines) < len(ENGINES):
        notes.append("vectorbt's Rust engine (`vectorbt[rust]`) is not installed.")
    return Findings(tuple(lines), tuple(notes))


def _one_symbol(bars: int, engines: dict[str, str]) -> list[Line]:
    panel, program = crossover.prices(bars), crossover.program()
    closes, series = panel.columns["close"], _pandas(panel.columns["close"])
    contenders: dict[str, Contender] = {OURS: partial(crossover.ours, program, panel)}
    contenders[NUMPY] = partial(crossover.by_numpy, closes)
    if bars != FIXED_BARS:  # beside it, they would clear the cache that a warm run of ours has
        contenders |= {name: partial(crossover.by_vectorbt, series, engine) for name, engine in engines.items()}
    _check_equal(crossover.ours(program, panel).outcome(), crossover.by_numpy(closes))
    times = race(contenders, rounds=51 if bars == FIXED_BARS else 7)
    what = f"SMA 10/50, {bars:,} bars"
    if bars == FIXED_BARS:
        build = race({OURS: crossover.program}, rounds=11)[OURS]
        first = [alone(what, times[OURS], Target(ms=1.0)), alone("… build and identity hashing, apart", build)]
        return [*first, compare(what, times, NUMPY)]
    return [
        compare(what, times, NUMPY, Target(times=2.0)),
        *(compare(what, times, name, Target(times=1.0)) for name in engines),
    ]


def _sweep(engines: dict[str, str]) -> list[Line]:
    panel = crossover.prices(SWEEP_BARS)
    closes, series = panel.columns["close"], _pandas(panel.columns["close"])
    programs = [crossover.program(fast, slow) for fast, slow in PAIRS]

    def ours() -> None:
        memo = Memo()
        for program in programs:
            crossover.ours(program, panel, memo=memo)

    def by_numpy() -> None:
        fast, slow = ({window: crossover.numpy_mean(closes, window) for window in each} for each in WINDOWS)
        for short, long in PAIRS:
            crossover.numpy_account(closes, fast[short] > slow[long])

    fast, slow = zip(*PAIRS, strict=True)
    contenders: dict[str, Contender] = {OURS: ours, NUMPY: by_numpy}
    for name, engine in engines.items():
        contenders[name] = partial(crossover.by_vectorbt, series, engine, fast, slow)
    times = race(contenders, rounds=3)
    what = f"sweep of {len(PAIRS)} pairs x {SWEEP_BARS:,} bars"
    return [
        *(compare(what, times, name, Target(times=1 / 20)) for name in engines),
        compare(f"{what}, means shared", times, NUMPY),
    ]


def _symbols(engines: dict[str, str]) -> list[Line]:
    panel, program = crossover.prices(FIXED_BARS, SYMBOLS), crossover.program(weight=1.0 / SYMBOLS)
    closes, frame = panel.columns["close"], _pandas(panel.columns["close"])
    contenders: dict[str, Contender] = {
        OURS: partial(crossover.ours, program, panel),
        NUMPY: partial(crossover.by_numpy, closes),
    }
    contenders |= {name: partial(crossover.by_vectorbt, frame, engine) for name, engine in engines.items()}
    every_bar = partial(crossover.ours, program, panel, Rebalance.EVERY_BAR)
    _check_equal(every_bar().outcome(), crossover.by_numpy(closes), trades=False)
    times = race(contenders, rounds=7)
    rebalanced = race({OURS: every_bar, NUMPY: contenders[NUMPY]}, rounds=7)
    what = f"{SYMBOLS} symbols x {FIXED_BARS:,} bars"
    return [
        compare(what, times, NUMPY, Target(times=1.5)),
        compare(f"{what}, rebalanced at every bar as NumPy's are", rebalanced, NUMPY),
        *(compare(what, times, name) for name in engines),
    ]


def _check_equal(ours: crossover.Outcome, theirs: crossover.Outcome, *, trades: bool = True) -> None:
    np.testing.assert_allclose(ours.equity, theirs.equity, rtol=1e-9)
    np.testing.assert_allclose((ours.sharpe, ours.max_drawdown), (theirs.sharpe, theirs.max_drawdown), rtol=1e-6)
    if trades:
        assert ours.trades == theirs.trades


def _pandas(closes: Array) -> Any:
    import pandas as pd

    return pd.Series(closes[:, 0]) if closes.shape[1] == 1 else pd.DataFrame(closes)
