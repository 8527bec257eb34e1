"""Round trips out of fills: as arrays, as objects, as a Polars frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Trade:
    """Hold one round trip, flat to flat in one symbol.

    ``entry_ts``, ``exit_ts``: nanoseconds (UTC) of the closes of the bars in which it was opened and closed.
    ``side``: 1 long, -1 short. ``size``: shares entered. Prices are averages over its fills, after slippage.
    ``pnl``: after ``fees``. ``return_``: pnl / (size * entry price). ``open``: not closed at the end of the data, so
    that the exit is the last known price.
    """

    symbol: str
    entry_ts: int
    exit_ts: int
    side: int
    size: float
    entry_price: float
    exit_price: float
    fees: float
    pnl: float
    return_: float
    open: bool


@dataclass(frozen=True, slots=True, eq=False)
class Trades:
    """Hold N round trips as arrays, in order of entry; the fields are those of ``Trade``, bars beside timestamps."""

    symbols: tuple[str, ...]
    timestamps: NDArray[np.int64]
    symbol: NDArray[np.int64]
    entry_bar: NDArray[np.int64]
    exit_bar: NDArray[np.int64]
    side: NDArray[np.int64]
    size: NDArray[np.float64]
    entry_price: NDArray[np.float64]
    exit_price: NDArray[np.float64]
    fees: NDArray[np.float64]
    pnl: NDArray[np.float64]
    return_: NDArray[np.float64]
    open: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of round trips, open ones included."""
        return len(self.symbol)

    def __iter__(self) -> Iterator[Trade]:
        """Yield each round trip as an object."""
        for i in range(len(self)):
            yield Trade(
                symbol=self.symbols[self.symbol[i]],
                entry_ts=int(self.timestamps[self.entry_bar[i]]),
                exit_ts=int(self.timestamps[self.exit_bar[i]]),
                side=int(self.side[i]),
                size=float(self.size[i]),
                entry_price=float(self.entry_price[i]),
                exit_price=float(self.exit_price[i]),
                fees=float(self.fees[i]),
                pnl=float(self.pnl[i]),
                return_=float(self.return_[i]),
                open=bool(self.open[i]),
            )

    def frame(self) -> pl.DataFrame:
        """Return a Polars frame, a row per round trip, its columns named as the fields of ``Trade``."""
        import polars as pl

        names = np.asarray(self.symbols, dtype=object)[self.symbol]
        when = pl.Datetime("ns", "UTC")
        return pl.DataFrame(
            {
                "symbol": pl.Series(names.tolist(), dtype=pl.String),
                "entry_ts": pl.Series(self.timestamps[self.entry_bar]).cast(when),
                "exit_ts": pl.Series(self.timestamps[self.exit_bar]).cast(when),
                "side": self.side,
                "size": self.size,
                "entry_price": self.entry_price,
                "exit_price": self.exit_price,
                "fees": self.fees,
                "pnl": self.pnl,
                "return_": self.return_,
                "open": self.open,
            }
        )


def round_trips(
    fill_bar: NDArray[np.int64],
    fill_symbol: NDArray[np.int64],
    fill_size: NDArray[np.float64],
    fill_price: NDArray[np.float64],
    fill_fee: NDArray[np.float64],
    timestamps: NDArray[np.int64],
    symbols: tuple[str, ...],
    last_prices: NDArray[np.float64],
) -> Trades:
    """Pair F fills, in order of time, into round trips; definitions as vectorbt's ``Portfolio.positions``.

    What is open at the end is closed on paper, in the last bar, at ``last_prices`` [S], without a fee.
    """
    from qmtl_sdk.backtest.pairing import pair  # loads Numba

    entry, leave, symbol, values = pair(fill_bar, fill_symbol, fill_size, fill_price, fill_fee, len(symbols))
    side, entered, entry_notional, exited, exit_notional, fees = values.T
    still_open = leave < 0
    exit_notional = exit_notional + np.where(still_open, (entered - exited) * last_prices[symbol], 0.0)
    pnl = side * (exit_notional - entry_notional) - fees
    return Trades(
        symbols=symbols,
        timestamps=timestamps,
        symbol=symbol,
        entry_bar=entry,
        exit_bar=np.where(still_open, len(timestamps) - 1, leave),
        side=side.astype(np.int64),
        size=entered,
        entry_price=entry_notional / entered,
        exit_price=exit_notional / entered,
        fees=fees,
        pnl=pnl,
        return_=pnl / entry_notional,
        open=still_open,
    )
