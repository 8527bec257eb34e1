"""The compiled pairing of fills into round trips, flat to flat per symbol. Importing it loads Numba."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Columns of the values of a round trip.
SIDE = 0
ENTERED = 1  # shares
ENTRY_NOTIONAL = 2
EXITED = 3  # shares
EXIT_NOTIONAL = 4
FEES = 5


@njit(cache=True, nogil=True)
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
    entry, leave, symbol = np.empty(limit, np.int64), np.full(limit, -1), np.empty(limit, np.int64)
    values = np.zeros((limit, 6))
    current, held = np.full(symbols, -1), np.zeros(symbols)
    count = 0
    for i in range(len(fill_bar)):
        s, size, fee = fill_symbol[i], fill_size[i], fill_fee[i]
        if held[s] != 0.0 and held[s] * size < 0.0:
            closing = size if abs(size) <= abs(held[s]) else -held[s]
            trade = values[current[s]]
            trade[EXITED] += abs(closing)
            trade[EXIT_NOTIONAL] += abs(closing) * fill_price[i]
            trade[FEES] += fee * (closing / size)
            held[s] += closing
            fee -= fee * (closing / size)
            size -= closing
            if held[s] == 0.0:
                leave[current[s]] = fill_bar[i]
        if size != 0.0:
            if held[s] == 0.0:
                entry[count], symbol[count], values[count, SIDE] = fill_bar[i], s, np.sign(size)
                current[s] = count
                count += 1
            trade = values[current[s]]
            trade[ENTERED] += abs(size)
            trade[ENTRY_NOTIONAL] += abs(size) * fill_price[i]
            trade[FEES] += fee
            held[s] += size
    return entry[:count].copy(), leave[:count].copy(), symbol[:count].copy(), values[:count].copy()
