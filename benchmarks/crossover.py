"""The SMA crossover three times: by our operators, in plain NumPy, by vectorbt; trading at the close, without costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.execution_model import ExecutionModel, Fill, Rebalance, SizingRule
from qmtl_foundation.statistics.returns import sharpe
from qmtl_sdk import Strategy
from qmtl_sdk.backtest.accounting import account
from qmtl_sdk.backtest.model import BacktestResult
from qmtl_sdk.backtest.trades import Trades
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.data.sessions import BarGrid
from qmtl_sdk.data.streams import Streams
from qmtl_sdk.strategy.evaluate import Memo, evaluate
from qmtl_sdk.strategy.program import Program, build
from qmtl_sdk.submission.compute import targets_of
from qmtl_sdk.submission.inputs import stream_inputs

FAST: Final = 10
SLOW: Final = 50
BARS_PER_YEAR: Final = 252.0
INTERVAL_S: Final = 86_400
CASH: Final = 1_000_000.0

Array = NDArray[np.float64]


class SmaCross(Strategy):
    """Hold while the fast mean is above the slow one; ``weight`` of the capital in each symbol."""

    fast: int = FAST
    slow: int = SLOW
    weight: float = 1.0

    def setup(self) -> None:
        """State the target."""
        close = self.bars()["close"]
        up = close.rolling_mean(self.fast) > close.rolling_mean(self.slow)
        self.target(up.when(self.weight, else_=0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Hold what every contender has to come up with."""

    equity: Array
    sharpe: float
    max_drawdown: float
    trades: int


@dataclass(frozen=True, slots=True, eq=False)
class Ours:
    """Hold our whole result: the account, its round trips and ratios."""

    result: BacktestResult
    trades: Trades
    sharpe: float
    max_drawdown: float

    def outcome(self) -> Outcome:
        """Return what is compared with the peers."""
        return Outcome(self.result.equity, self.sharpe, self.max_drawdown, len(self.trades))


def prices(bars: int, symbols: int = 1) -> Panel:
    """Return random walks."""
    random = np.random.default_rng(7)
    closes = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.2 / np.sqrt(bars), (bars, symbols)), axis=0))
    names = tuple(f"S{number}" for number in range(symbols))
    timestamps = np.arange(1, bars + 1, dtype=np.int64) * INTERVAL_S * 1_000_000_000
    return Panel(timestamps, names, {"open": closes, "close": closes}, INTERVAL_S)


def delivered(bars: Panel) -> Streams:
    """Return bars as a preset delivers them."""
    opens = bars.timestamps - INTERVAL_S * 1_000_000_000
    return Streams("bench", bars, BarGrid(opens, bars.timestamps, opens), "24/7", {})


def program(fast: int = FAST, slow: int = SLOW, weight: float = 1.0) -> Program:
    """Return the program, its NodeIDs computed."""
    made = build(SmaCross(fast=fast, slow=slow, weight=weight))
    for node in made.nodes:
        _ = node.node_id
    return made


def ours(made: Program, bars: Panel, rebalance: Rebalance = Rebalance.ON_CHANGE, memo: Memo | None = None) -> Ours:
    """Backtest by our operators, from bars in memory to the result."""
    values = evaluate(made.nodes, stream_inputs(made, delivered(bars)), memo)
    targets = targets_of(made, values, bars, SizingRule())
    result = account(bars, targets, ExecutionModel(fill=Fill.CLOSE, rebalance=rebalance, initial_cash=CASH))
    return Ours(result, result.trades(), float(sharpe(result.returns, BARS_PER_YEAR)), float(result.drawdown.max()))


def numpy_mean(closes: Array, window: int) -> Array:
    """Return a rolling mean [T, S] by cumulative sums, NaN before the first whole window."""
    sums = np.cumsum(closes, axis=0)
    mean = np.full_like(closes, np.nan)
    mean[window - 1] = sums[window - 1]
    np.subtract(sums[window:], sums[:-window], out=mean[window:])
    mean /= window
    return mean


def by_numpy(closes: Array, fast: int = FAST, slow: int = SLOW) -> Outcome:
    """Backtest in plain NumPy, equal parts of the account in each symbol, rebalanced at each bar."""
    return numpy_account(closes, numpy_mean(closes, fast) > numpy_mean(closes, slow))


def numpy_account(closes: Array, up: NDArray[np.bool_]) -> Outcome:
    """Return equity, ratios and round trips of positions [T, S] that are taken at the close."""
    moves = np.zeros_like(closes)
    np.divide(closes[1:], closes[:-1], out=moves[1:])
    moves[1:] -= 1.0
    moves[1:] *= up[:-1]
    returns = moves.mean(axis=1) if moves.shape[1] > 1 else moves[:, 0]
    equity = CASH * np.cumprod(1.0 + returns)
    flips = np.diff(up.astype(np.int8), axis=0, prepend=np.int8(0))
    entries, exits = np.argwhere(flips.T > 0), np.argwhere(flips.T < 0)
    _ = closes[exits[:, 1], exits[:, 0]]  # the prices of the round trips
    _ = closes[entries[:, 1], entries[:, 0]]
    ratio = returns.mean() / returns.std(ddof=1) * np.sqrt(BARS_PER_YEAR)
    return Outcome(equity, float(ratio), _largest_fall(equity), len(entries))


def by_vectorbt(closes: Any, engine: str, fast: Sequence[int] = (FAST,), slow: Sequence[int] = (SLOW,)) -> Any:
    """Backtest by vectorbt's ``MA`` and ``from_signals``, every column an account of its own; ``closes`` of pandas."""
    import vectorbt as vbt

    vbt.settings["engine"] = engine
    quick = vbt.MA.run(closes, list(fast), short_name="fast")
    slowly = vbt.MA.run(closes, list(slow), short_name="slow")
    portfolio = vbt.Portfolio.from_signals(
        closes,
        quick.ma_crossed_above(slowly),
        quick.ma_crossed_below(slowly),
        init_cash=CASH,
        freq="1D",
        attach_call_seq=False,
    )
    return portfolio.value(), portfolio.sharpe_ratio(), portfolio.max_drawdown(), portfolio.trades.count()


def _largest_fall(equity: Array) -> float:
    peak = np.maximum.accumulate(equity)
    np.maximum(peak, CASH, out=peak)
    return float(1.0 - np.divide(equity, peak, out=peak).min())
