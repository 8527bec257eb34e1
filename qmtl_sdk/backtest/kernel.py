"""The compiled accounting: one pass over [time, symbol], in the order that ``docs/accounting.md`` states.

Each bar: 1. delistings (``_delist``), 2. fills at the open (``_trade``), 3. interest, 4. marks and decisions
(``_mark``, ``_decide``, ``_drifted``), 5. fills at the close (``_trade``), 6. equity, ruin (``_liquidate``).
Importing this module loads Numba; ``accounting`` does so on first use.

``run`` makes all arrays. Loops stand where NumPy has a function: it would take longer to compile than the loop.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qmtl_sdk.backtest.compiler import inlined, kernel

NANOSECONDS_PER_YEAR = 365 * 86_400 * 1_000_000_000  # ACT/365
DUST = 1e-12  # less than this part of a position, or of the account in cash, is rounding: nothing to trade

# How a simulation ends.
OK = 0
BAD_PRICE = 1
BAD_TARGET = 2
SHORT_REFUSED = 3

# When a standing target is traded again.
ON_CHANGE = 0
EVERY_BAR = 1
DRIFT = 2

# Rows of the book, float64 [5, symbols].
HELD = 0  # shares
STANDING = 1  # the last stated target
MARK = 2  # the last known price
SIZE = 3  # shares to buy in this bar
AMOUNT = 4  # what they cost
BOOK_ROWS = 5

# Rows of the orders, int64 [4, symbols].
PENDING = 0  # 1 while an order waits
GONE = 1  # the first bar from which there is no price to the end
BUY = 2  # the symbols to buy in this bar, in their order
SPARE = 3  # room to sort them
ORDER_ROWS = 4

# Places in the counts, int64 [3].
FILLS = 0
WAITING = 1
BAD_SYMBOL = 2

# Columns of the fills, float64 [fills, 5]: bar, symbol, shares (negative: sold), price, fee.
FILL_COLUMNS = 5

# Rows of the series, float64 [3, bars].
EQUITY = 0
CASH = 1
DRAWDOWN = 2
SERIES_ROWS = 3

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Rules(NamedTuple):
    """Hold the execution model as numbers; ``slippage`` and ``fee`` as fractions."""

    at_close: bool
    rebalance: int
    drift: float
    can_short: bool
    cash_rate: float
    slippage: float
    fee: float


class Outcome(NamedTuple):
    """Hold how a simulation ended (``status``, at ``bar`` and ``symbol`` when not OK) and what it noted."""

    status: int
    bar: int
    symbol: int
    marks: Floats
    fills: Floats
    series: Floats


def run(
    timestamps: Integers, opens: Floats, closes: Floats, targets: Floats, rules: Rules, initial_cash: float
) -> Outcome:
    """Simulate an account; ``timestamps``: [T], ``opens``, ``closes``, ``targets``: read-only [T, S].

    NumPy makes the arrays: it asks for huge pages, Numba's own do without, and at 1M bars are a third slower.
    """
    bars, symbols = closes.shape
    book, orders = np.zeros((BOOK_ROWS, symbols)), np.zeros((ORDER_ROWS, symbols), np.int64)
    book[MARK], orders[GONE] = np.nan, _gone(opens, closes)
    cash, counts = np.full(1, initial_cash), np.zeros(3, np.int64)
    fills = np.empty((_most_fills(targets, rules.rebalance == ON_CHANGE), FILL_COLUMNS))
    series = np.empty((SERIES_ROWS, bars))
    status, bar = _simulate(timestamps, opens, closes, targets, rules, book, orders, cash, counts, fills, series)
    used = fills[: counts[FILLS]]
    return Outcome(status, bar, int(counts[BAD_SYMBOL]), book[MARK].copy(), used, series)


def _gone(opens: Floats, closes: Floats) -> Integers:
    """Return for each symbol the first bar from which it has no price to the end."""
    gone = np.full(closes.shape[1], len(closes))
    for s in np.flatnonzero(np.isnan(opens[-1]) & np.isnan(closes[-1])):
        known = np.flatnonzero(~(np.isnan(opens[:, s]) & np.isnan(closes[:, s])))
        gone[s] = known[-1] + 1 if known.size else 0
    return gone


def _most_fills(targets: Floats, on_change: bool) -> int:
    """Return how many fills there can be: one per order, and per symbol a delisting and a liquidation.

    Room that is never written costs no memory; a ledger that grew inside the loop would cost 30 ns at each bar.
    """
    symbols: int = targets.shape[1]
    if on_change:  # a null differs from all: too many are counted, never too few
        return 3 * symbols + int(np.count_nonzero(targets[1:] != targets[:-1]))
    return 2 * symbols + int(np.count_nonzero(~np.isnan(targets)))


@kernel
def _simulate(
    timestamps: Integers,
    opens: Floats,
    closes: Floats,
    targets: Floats,
    rules: Rules,
    book: Floats,
    orders: Integers,
    cash: Floats,
    counts: Integers,
    fills: Floats,
    series: Floats,
) -> tuple[int, int]:
    """Run the account in ``book``, ``orders``, ``cash`` [1] and ``counts``; note ``fills`` and ``series``.

    Return (status, bar at which it ended).
    """
    bars = len(closes)
    at_close, rebalance, drift, can_short, cash_rate, slippage, fee = rules
    next_gone, peak, ruined = _next_gone(orders, -1), cash[0], False
    for t in range(bars):
        if t == next_gone:
            _delist(t, book, orders, cash, counts, fills, slippage, fee)
            next_gone = _next_gone(orders, t)
        status = OK
        if counts[WAITING] > 0 and not at_close:
            status = _trade(t, opens, book, orders, cash, counts, fills, slippage, fee)
        if cash_rate != 0.0 and t > 0:
            cash[0] *= 1.0 + cash_rate * (timestamps[t] - timestamps[t - 1]) / NANOSECONDS_PER_YEAR
        if status == OK:
            status = _mark(t, opens, closes, book, counts)
        if status == OK and not ruined:
            status = _decide(t, targets, book, orders, counts, rebalance == EVERY_BAR, can_short)
            if rebalance == DRIFT:
                _drifted(t, targets, book, orders, counts, cash[0], drift)
        if status == OK and counts[WAITING] > 0 and at_close:
            status = _trade(t, closes, book, orders, cash, counts, fills, slippage, fee)
        if status != OK:
            return status, t
        now = _value(book, cash[0])
        if now <= 0.0 and not ruined:
            _liquidate(t, book, orders, cash, counts, fills)
            cash[0], ruined = now, True
        peak = max(peak, now)
        series[EQUITY, t], series[CASH, t] = now, cash[0]
        series[DRAWDOWN, t] = min(1.0 - now / peak, 1.0)
    return OK, bars


@inlined
def _next_gone(orders: Integers, t: int) -> int:
    nearest = -1
    for s in range(orders.shape[1]):
        if orders[GONE, s] > t and (nearest < 0 or orders[GONE, s] < nearest):
            nearest = orders[GONE, s]
    return nearest


@inlined
def _value(book: Floats, cash: float) -> float:
    value = cash
    for s in range(book.shape[1]):
        if book[HELD, s] != 0.0:
            value += book[HELD, s] * book[MARK, s]
    return value


@inlined
def _mark(t: int, opens: Floats, closes: Floats, book: Floats, counts: Integers) -> int:
    """Mark every symbol at its last known price."""
    for s in range(book.shape[1]):
        price = closes[t, s]
        if np.isnan(price):
            price = opens[t, s]
        if 0.0 < price < np.inf:
            book[MARK, s] = price
        elif not np.isnan(price):
            counts[BAD_SYMBOL] = s
            return BAD_PRICE
    return OK


@inlined
def _decide(
    t: int, targets: Floats, book: Floats, orders: Integers, counts: Integers, every_bar: bool, can_short: bool
) -> int:
    """Note the targets of this bar that now wait for a fill."""
    for s in range(book.shape[1]):
        target = targets[t, s]
        if np.isnan(target):
            continue
        if target != book[STANDING, s] or (every_bar and (target != 0.0 or book[HELD, s] != 0.0)):
            if np.isinf(target) or (target < 0.0 and not can_short):
                counts[BAD_SYMBOL] = s
                return BAD_TARGET if np.isinf(target) else SHORT_REFUSED
            book[STANDING, s] = target
            if orders[PENDING, s] == 0 and t < orders[GONE, s]:
                orders[PENDING, s] = 1
                counts[WAITING] += 1
    return OK


@kernel
def _drifted(
    t: int, targets: Floats, book: Floats, orders: Integers, counts: Integers, cash: float, drift: float
) -> None:
    """Note the stated targets from which the weight at the close is further away than ``drift``."""
    value = _value(book, cash)
    if value <= 0.0:
        return
    for s in range(book.shape[1]):
        if np.isnan(targets[t, s]) or orders[PENDING, s] != 0 or t >= orders[GONE, s]:
            continue
        weight = book[HELD, s] * book[MARK, s] / value if book[HELD, s] != 0.0 else 0.0
        if abs(weight - book[STANDING, s]) > drift:
            orders[PENDING, s] = 1
            counts[WAITING] += 1


@kernel
def _trade(
    t: int,
    prices: Floats,
    book: Floats,
    orders: Integers,
    cash: Floats,
    counts: Integers,
    fills: Floats,
    slippage: float,
    fee: float,
) -> int:
    """Fill what waits and has a price: sells first, then buys, the smallest first where cash is short."""
    value = _value_at(t, prices, book, cash[0], counts)
    if value <= 0.0:
        return OK
    if np.isnan(value):
        return BAD_PRICE
    bought, needed = 0, 0.0
    for s in range(book.shape[1]):
        price = prices[t, s]
        if orders[PENDING, s] == 0 or np.isnan(price):
            continue
        orders[PENDING, s] = 0
        counts[WAITING] -= 1
        wanted = book[STANDING, s] * value / price
        size = wanted - book[HELD, s]
        if abs(size) <= DUST * max(abs(wanted), abs(book[HELD, s])):
            continue
        if size < 0.0:
            _settle(t, s, size, price * (1.0 - slippage), fee, book, cash, counts, fills)
            continue
        # Not size * price: equal targets must tie exactly, and keep the order of the symbols.
        book[AMOUNT, s] = book[STANDING, s] * value - book[HELD, s] * price
        book[SIZE, s], orders[BUY, bought] = size, s
        needed += size * price * (1.0 + slippage) * (1.0 + fee)
        bought += 1
    if bought > 1 and needed > cash[0] * (1.0 - DUST):
        _sort_smallest_first(bought, book, orders)
    for k in range(bought):
        s = orders[BUY, k]
        price = prices[t, s] * (1.0 + slippage)
        affordable = cash[0] / (1.0 + fee) / price
        if cash[0] > DUST * value:
            _settle(t, s, min(book[SIZE, s], affordable), price, fee, book, cash, counts, fills)
        if book[SIZE, s] > affordable:
            cash[0] = min(cash[0], 0.0)  # nothing but rounding is left
    return OK


@inlined
def _value_at(t: int, prices: Floats, book: Floats, cash: float, counts: Integers) -> float:
    """Return the account's value at these prices, at the mark where one is missing; NaN for a bad price."""
    value = cash
    for s in range(book.shape[1]):
        price = prices[t, s]
        if np.isnan(price):
            price = book[MARK, s]
        elif not 0.0 < price < np.inf:
            counts[BAD_SYMBOL] = s
            return np.nan
        if book[HELD, s] != 0.0:
            value += book[HELD, s] * price
    return value


@kernel
def _sort_smallest_first(bought: int, book: Floats, orders: Integers) -> None:
    """Sort the symbols to buy by amount, by merges of runs of 1, 2, 4, …: equal amounts keep their order."""
    width = 1
    while width < bought:
        for start in range(0, bought, 2 * width):
            middle, stop = min(start + width, bought), min(start + 2 * width, bought)
            left, right = start, middle
            for k in range(start, stop):
                from_left = right >= stop
                if left < middle and not from_left:
                    from_left = book[AMOUNT, orders[BUY, left]] <= book[AMOUNT, orders[BUY, right]]
                if from_left:
                    orders[SPARE, k] = orders[BUY, left]
                    left += 1
                else:
                    orders[SPARE, k] = orders[BUY, right]
                    right += 1
        for k in range(bought):
            orders[BUY, k] = orders[SPARE, k]
        width *= 2


@kernel
def _delist(
    t: int, book: Floats, orders: Integers, cash: Floats, counts: Integers, fills: Floats, slippage: float, fee: float
) -> None:
    """Close, at the last known price and at full cost, what has no price from this bar to the end."""
    for s in range(book.shape[1]):
        if orders[GONE, s] != t:
            continue
        counts[WAITING] -= orders[PENDING, s]
        orders[PENDING, s] = 0
        size = -book[HELD, s]
        if size != 0.0:
            price = book[MARK, s] * (1.0 + slippage * np.sign(size))
            _settle(t, s, size, price, fee, book, cash, counts, fills)


@kernel
def _liquidate(t: int, book: Floats, orders: Integers, cash: Floats, counts: Integers, fills: Floats) -> None:
    """Close everything at its mark: the account has nothing left."""
    counts[WAITING] = 0
    for s in range(book.shape[1]):
        orders[PENDING, s] = 0
        if book[HELD, s] != 0.0:
            _settle(t, s, -book[HELD, s], book[MARK, s], 0.0, book, cash, counts, fills)


@kernel
def _settle(
    t: int, s: int, size: float, price: float, fee: float, book: Floats, cash: Floats, counts: Integers, fills: Floats
) -> None:
    """Book one fill: ``size`` shares (negative: sold) at ``price``, and its fee on the notional."""
    cost = abs(size) * price * fee
    cash[0] -= size * price + cost
    book[HELD, s] += size
    row = counts[FILLS]
    fills[row, 0], fills[row, 1] = t, s
    fills[row, 2], fills[row, 3], fills[row, 4] = size, price, cost
    counts[FILLS] = row + 1
