"""The compiled accounting: one pass over [time, symbol], in the order that ``docs/accounting.md`` states.

Each bar: 1. delistings (``_delist``), 2. fills at the open (``_trade``), 3. interest, 4. marks and decisions
(``_mark_and_decide``, ``_drifted``), 5. fills at the close (``_trade``), 6. equity, ruin (``_liquidate``).
Importing this module loads Numba; ``accounting`` does so on first use.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

NANOSECONDS_PER_YEAR = 365 * 86_400 * 1_000_000_000  # ACT/365
DUST = 1e-12  # less than this part of a position, or of the account in cash, is rounding: nothing to trade
NEVER = 2**62  # a bar beyond all data

# How a simulation ends.
OK = 0
BAD_PRICE = 1
BAD_TARGET = 2
SHORT_REFUSED = 3

# When a standing target is traded again.
ON_CHANGE = 0
EVERY_BAR = 1
DRIFT = 2

# Columns of the fill values.
SIZE = 0
PRICE = 1
FEE = 2

# Places in ``Book.counts``.
FILLS = 0
WAITING = 1
BAD_SYMBOL = 2


class Rules(NamedTuple):
    """Hold the execution model as numbers; ``slippage`` and ``fee`` as fractions."""

    at_close: bool
    rebalance: int
    drift: float
    can_short: bool
    cash_rate: float
    slippage: float
    fee: float


class Book(NamedTuple):
    """Hold the state of the account; arrays, so that the steps change it in place.

    Per symbol: shares ``held``, the last stated target (``standing``), the last known price (``marks``), whether an
    order waits (``pending``), the first bar from which there is no price to the end (``gone``). ``cash``: [1].
    ``buys``, ``sizes``, ``amounts``: room for the orders of one bar.
    """

    held: NDArray[np.float64]
    standing: NDArray[np.float64]
    marks: NDArray[np.float64]
    pending: NDArray[np.bool_]
    gone: NDArray[np.int64]
    cash: NDArray[np.float64]
    counts: NDArray[np.int64]
    buys: NDArray[np.int64]
    sizes: NDArray[np.float64]
    amounts: NDArray[np.float64]


class Ledger(NamedTuple):
    """Hold the fills; ``Book.counts[FILLS]`` of its rows are in use."""

    bar: NDArray[np.int64]
    symbol: NDArray[np.int64]
    values: NDArray[np.float64]


class Series(NamedTuple):
    """Hold what is noted at each close."""

    equity: NDArray[np.float64]
    cash: NDArray[np.float64]
    returns: NDArray[np.float64]
    positions: NDArray[np.float64]


def empty_series(bars: int, symbols: int) -> Series:
    """Return room for the series.

    NumPy asks for huge pages, Numba's own arrays do without: at 1M bars they are a third slower.
    """
    return Series(np.empty(bars), np.empty(bars), np.empty(bars), np.empty((bars, symbols)))


@njit(cache=True, nogil=True)
def simulate(
    timestamps: NDArray[np.int64],
    opens: NDArray[np.float64],
    closes: NDArray[np.float64],
    targets: NDArray[np.float64],
    rules: Rules,
    initial_cash: float,
    series: Series,
) -> tuple[int, int, Book, Ledger]:
    """Fill ``series``; return (status, bar at which it ended, book, ledger)."""
    bars, symbols = closes.shape
    equity, purse, returns, positions = series  # a field read in the loop would count references at each bar
    book = _open_book(opens, closes, initial_cash)
    held, standing, marks, pending, gone, cash, counts, _, _, _ = book
    ledger = _ledger(_most_fills(targets, rules.rebalance == ON_CHANGE))
    every_bar, drifting = rules.rebalance == EVERY_BAR, rules.rebalance == DRIFT
    next_gone, before, ruined = gone.min(), initial_cash, False
    for t in range(bars):
        if t >= next_gone:
            _delist(t, book, rules, ledger)
            next_gone = _next_after(gone, t)
        status = OK
        if counts[WAITING] > 0 and not rules.at_close:
            status = _trade(t, opens, book, rules, ledger)
        if rules.cash_rate != 0.0 and t > 0:
            cash[0] *= 1.0 + rules.cash_rate * (timestamps[t] - timestamps[t - 1]) / NANOSECONDS_PER_YEAR
        if status == OK:
            status = _mark(t, opens, closes, marks, counts)
        if status == OK and not ruined:
            status = _decide(t, targets, held, standing, pending, gone, counts, every_bar, rules.can_short)
            if drifting:
                _drifted(t, targets, book, rules.drift)
        if status == OK and counts[WAITING] > 0 and rules.at_close:
            status = _trade(t, closes, book, rules, ledger)
        if status != OK:
            return status, t, book, ledger
        now = _value(held, marks, cash)
        if now <= 0.0 and not ruined:
            _liquidate(t, book, ledger)
            cash[0], ruined = now, True
        equity[t], purse[t] = now, cash[0]
        returns[t] = max(now / before - 1.0, -1.0) if before > 0.0 else 0.0
        for s in range(symbols):
            positions[t, s] = held[s]
        before = now
    return OK, bars, book, ledger


@njit(cache=True, nogil=True)
def _open_book(opens: NDArray[np.float64], closes: NDArray[np.float64], cash: float) -> Book:
    bars, symbols = closes.shape
    gone = np.empty(symbols, np.int64)
    for s in range(symbols):
        t = bars
        while t > 0 and np.isnan(closes[t - 1, s]) and np.isnan(opens[t - 1, s]):
            t -= 1
        gone[s] = t
    return Book(
        np.zeros(symbols),
        np.zeros(symbols),
        np.full(symbols, np.nan),
        np.zeros(symbols, np.bool_),
        gone,
        np.full(1, cash),
        np.zeros(3, np.int64),
        np.empty(symbols, np.int64),
        np.empty(symbols),
        np.empty(symbols),
    )


@njit(cache=True, nogil=True)
def _ledger(capacity: int) -> Ledger:
    return Ledger(np.empty(capacity, np.int64), np.empty(capacity, np.int64), np.empty((capacity, 3)))


@njit(cache=True, nogil=True)
def _most_fills(targets: NDArray[np.float64], on_change: bool) -> int:
    """Return how many fills there can be: one per order, and per symbol a delisting and a liquidation.

    Room that is never written costs no memory; a ledger that grew inside the loop would cost 30 ns at each bar.
    """
    bars, symbols = targets.shape
    standing = np.zeros(symbols)
    count = 2 * int(symbols)
    for t in range(bars):
        for s in range(symbols):
            target = targets[t, s]
            if not np.isnan(target) and (target != standing[s] or not on_change):
                standing[s] = target
                count += 1
    return count


@njit(cache=True, nogil=True)
def _next_after(gone: NDArray[np.int64], t: int) -> int:
    nearest = NEVER
    for bar in gone:
        if t < bar < nearest:
            nearest = int(bar)
    return nearest


@njit(inline="always")
def _value(held: NDArray[np.float64], marks: NDArray[np.float64], cash: NDArray[np.float64]) -> float:
    value = float(cash[0])
    for s in range(len(held)):
        if held[s] != 0.0:
            value += held[s] * marks[s]
    return value


@njit(inline="always")
def _mark(
    t: int,
    opens: NDArray[np.float64],
    closes: NDArray[np.float64],
    marks: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> int:
    """Mark every symbol at its last known price."""
    for s in range(len(marks)):
        price = closes[t, s]
        if np.isnan(price):
            price = opens[t, s]
        if 0.0 < price < np.inf:
            marks[s] = price
        elif not np.isnan(price):
            counts[BAD_SYMBOL] = s
            return BAD_PRICE
    return OK


@njit(inline="always")
def _decide(
    t: int,
    targets: NDArray[np.float64],
    held: NDArray[np.float64],
    standing: NDArray[np.float64],
    pending: NDArray[np.bool_],
    gone: NDArray[np.int64],
    counts: NDArray[np.int64],
    every_bar: bool,
    can_short: bool,
) -> int:
    """Note the targets of this bar that now wait for a fill."""
    for s in range(len(held)):
        target = targets[t, s]
        if np.isnan(target):
            continue
        if target != standing[s] or (every_bar and (target != 0.0 or held[s] != 0.0)):
            if np.isinf(target) or (target < 0.0 and not can_short):
                counts[BAD_SYMBOL] = s
                return BAD_TARGET if np.isinf(target) else SHORT_REFUSED
            standing[s] = target
            if not pending[s] and t < gone[s]:
                pending[s] = True
                counts[WAITING] += 1
    return OK


@njit(cache=True, nogil=True)
def _drifted(t: int, targets: NDArray[np.float64], book: Book, drift: float) -> None:
    """Note the stated targets from which the weight at the close is further away than ``drift``."""
    value = _value(book.held, book.marks, book.cash)
    if value <= 0.0:
        return
    for s in range(len(book.held)):
        if np.isnan(targets[t, s]) or book.pending[s] or t >= book.gone[s]:
            continue
        weight = book.held[s] * book.marks[s] / value if book.held[s] != 0.0 else 0.0
        if abs(weight - book.standing[s]) > drift:
            book.pending[s] = True
            book.counts[WAITING] += 1


@njit(cache=True, nogil=True)
def _trade(t: int, prices: NDArray[np.float64], book: Book, rules: Rules, ledger: Ledger) -> int:
    """Fill what waits and has a price: sells first, then buys, the smallest first where cash is short."""
    held, standing, _, pending, _, cash, counts, buys, sizes, amounts = book
    value = _value_at(t, prices, book)
    if value <= 0.0:
        return OK
    if np.isnan(value):
        return BAD_PRICE
    bought, needed = 0, 0.0
    for s in range(len(held)):
        price = prices[t, s]
        if not pending[s] or np.isnan(price):
            continue
        pending[s] = False
        counts[WAITING] -= 1
        wanted = standing[s] * value / price
        size = wanted - held[s]
        if abs(size) <= DUST * max(abs(wanted), abs(held[s])):
            continue
        if size < 0.0:
            _settle(t, s, size, price * (1.0 - rules.slippage), rules.fee, held, cash, counts, ledger)
            continue
        # Not size * price: equal targets must tie exactly, and keep the order of the symbols.
        amounts[bought] = standing[s] * value - held[s] * price
        buys[bought], sizes[bought] = s, size
        needed += size * price * (1.0 + rules.slippage) * (1.0 + rules.fee)
        bought += 1
    if bought > 1 and needed > cash[0] * (1.0 - DUST):
        smallest_first = np.argsort(amounts[:bought], kind="mergesort")
        buys[:bought], sizes[:bought] = buys[smallest_first], sizes[smallest_first]
    for k in range(bought):
        price = prices[t, buys[k]] * (1.0 + rules.slippage)
        affordable = cash[0] / (1.0 + rules.fee) / price
        if cash[0] > DUST * value:
            _settle(t, buys[k], min(sizes[k], affordable), price, rules.fee, held, cash, counts, ledger)
        if sizes[k] > affordable:
            cash[0] = min(cash[0], 0.0)  # nothing but rounding is left
    return OK


@njit(cache=True, nogil=True)
def _value_at(t: int, prices: NDArray[np.float64], book: Book) -> float:
    """Return the account's value at these prices, at the mark where one is missing; NaN for a bad price."""
    value = float(book.cash[0])
    for s in range(len(book.held)):
        price = prices[t, s]
        if np.isnan(price):
            price = book.marks[s]
        elif not 0.0 < price < np.inf:
            book.counts[BAD_SYMBOL] = s
            return np.nan
        if book.held[s] != 0.0:
            value += book.held[s] * price
    return value


@njit(cache=True, nogil=True)
def _delist(t: int, book: Book, rules: Rules, ledger: Ledger) -> None:
    """Close, at the last known price and at full cost, what has no price from this bar to the end."""
    for s in range(len(book.held)):
        if book.gone[s] != t:
            continue
        if book.pending[s]:
            book.pending[s] = False
            book.counts[WAITING] -= 1
        size = -book.held[s]
        if size != 0.0:
            price = book.marks[s] * (1.0 + rules.slippage * np.sign(size))
            _settle(t, s, size, price, rules.fee, book.held, book.cash, book.counts, ledger)


@njit(cache=True, nogil=True)
def _liquidate(t: int, book: Book, ledger: Ledger) -> None:
    """Close everything at its mark: the account has nothing left."""
    book.counts[WAITING] = 0
    for s in range(len(book.held)):
        book.pending[s] = False
        if book.held[s] != 0.0:
            _settle(t, s, -book.held[s], book.marks[s], 0.0, book.held, book.cash, book.counts, ledger)


@njit(cache=True, nogil=True)
def _settle(
    t: int,
    s: int,
    size: float,
    price: float,
    fee: float,
    held: NDArray[np.float64],
    cash: NDArray[np.float64],
    counts: NDArray[np.int64],
    ledger: Ledger,
) -> None:
    """Book one fill: ``size`` shares (negative: sold) at ``price``, and its fee on the notional."""
    cost = abs(size) * price * fee
    cash[0] -= size * price + cost
    held[s] += size
    row = counts[FILLS]
    ledger.bar[row], ledger.symbol[row] = t, s
    ledger.values[row, SIZE], ledger.values[row, PRICE], ledger.values[row, FEE] = size, price, cost
    counts[FILLS] = row + 1
