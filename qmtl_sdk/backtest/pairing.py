"""The compiled pairing of fills into round trips, flat to flat per symbol. Importing it loads Numba."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmtl_sdk.backtest.compiler import kernel

# Columns of where a round trip lies.
ENTRY = 0  # bar
LEAVE = 1  # bar, -1 while open
SYMBOL = 2

# Columns of the values of a round trip.
SIDE = 0
ENTERED = 1  # shares
ENTRY_NOTIONAL = 2
EXITED = 3  # shares
EXIT_NOTIONAL = 4
FEES = 5


def pair(
    fill_bar: NDArray[np.int64],
    fill_symbol: NDArray[np.int64],
    fill_size: NDArray[np.float64],
    fill_price: NDArray[np.float64],
    fill_fee: NDArray[np.float64],
    symbols: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return (entry bar, exit bar or -1, symbol, values [trades, 6]) in order of entry.

    A fill through zero closes one round trip and opens the next; its fee is shared by size.
    """
    limit = 2 * len(fill_bar)
    where, values = np.empty((limit, 3), np.int64), np.empty((limit, 6))
    current, held = np.empty(symbols, np.int64), np.zeros(symbols)
    count = _pair(fill_bar, fill_symbol, fill_size, fill_price, fill_fee, current, held, where, values)
    entry, leave, symbol = where[:count].T.copy()
    return entry, leave, symbol, values[:count].copy()


@kernel
def _pair(
    fill_bar: NDArray[np.int64],
    fill_symbol: NDArray[np.int64],
    fill_size: NDArray[np.float64],
    fill_price: NDArray[np.float64],
    fill_fee: NDArray[np.float64],
    current: NDArray[np.int64],
    held: NDArray[np.float64],
    where: NDArray[np.int64],
    values: NDArray[np.float64],
) -> int:
    """Fill ``where`` [.., 3] and ``values`` [.., 6]; return how many round trips there are."""
    count = 0
    for i in range(len(fill_bar)):
        s, size, fee = fill_symbol[i], fill_size[i], fill_fee[i]
        if held[s] != 0.0 and held[s] * size < 0.0:
            closing, trade = size if abs(size) <= abs(held[s]) else -held[s], current[s]
            values[trade, EXITED] += abs(closing)
            values[trade, EXIT_NOTIONAL] += abs(closing) * fill_price[i]
            values[trade, FEES] += fee * (closing / size)
            held[s] += closing
            fee -= fee * (closing / size)
            size -= closing
            if held[s] == 0.0:
                where[trade, LEAVE] = fill_bar[i]
        if size != 0.0:
            if held[s] == 0.0:
                where[count, ENTRY], where[count, LEAVE], where[count, SYMBOL] = fill_bar[i], -1, s
                for column in range(values.shape[1]):
                    values[count, column] = 0.0
                values[count, SIDE] = np.sign(size)
                current[s] = count
                count += 1
            trade = current[s]
            values[trade, ENTERED] += abs(size)
            values[trade, ENTRY_NOTIONAL] += abs(size) * fill_price[i]
            values[trade, FEES] += fee
            held[s] += size
    return count
