"""Sizing: the weight that a line shall have, to shares, fee and cash. Pure.

The weight is target x activation weight. The arithmetic is that of one bar of the SDK's accounting
(``qmtl_sdk/backtest/kernel.py``, ``_trade`` and ``_settle``), operation by operation, so that both give the same bits
(``tests/integration/executor/test_paper.py``):

1. The account's value counts at the prices of the fill, before fees and slippage; shares are fractional.
2. Sells first, in the order of the lines. Their cash is free for buys.
3. Buys that the cash does not cover, fee included, are cut down; where it is short the smallest go first.
4. What is below 1e-12 of a position, or of the account in cash, is rounding and not traded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from qmtl_foundation.execution_model import BASIS_POINTS, ExecutionModel

DUST: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Wanted:
    """Ask for one line: from ``held`` shares to ``weight`` of the account's value, at ``price`` before slippage."""

    order_id: str
    weight: float
    held: float
    price: float


@dataclass(frozen=True, slots=True)
class Trade:
    """Hold one fill: shares signed, price after slippage, fee. ``wanted``: shares before they were cut down to the
    cash; 0 where there was nothing to trade."""

    order_id: str
    wanted: float
    shares: float = 0.0
    price: float = 0.0
    fee: float = 0.0


def shares(weight: float, value: float, price: float, held: float) -> float:
    """Return the shares to buy (negative: to sell) to bring a line to its weight; 0 for less than rounding."""
    wanted = weight * value / price
    size = wanted - held
    return 0.0 if abs(size) <= DUST * max(abs(wanted), abs(held)) else size


def trade(
    wanted: Sequence[Wanted], value: float, cash: float, model: ExecutionModel
) -> tuple[tuple[Trade, ...], float]:
    """Return the fills of one bar in the order in which they happen, and the cash after them.

    ``value``: cash + shares x prices of the whole account. At 0 or below nothing is traded.
    """
    if value <= 0.0:
        return (), cash
    slippage, fee = model.slippage_bp / BASIS_POINTS, model.fee_bp / BASIS_POINTS
    done: list[Trade] = []
    buys: list[tuple[Wanted, float]] = []
    for each in wanted:
        size = shares(each.weight, value, each.price, each.held)
        if size > 0.0:
            buys.append((each, size))
            continue
        sold = _settled(each, size, size, each.price * (1.0 - slippage), fee)
        cash -= sold.shares * sold.price + sold.fee
        done.append(sold)
    for each, size in _affordable_first(buys, value, cash, slippage, fee):
        price = each.price * (1.0 + slippage)
        affordable = cash / (1.0 + fee) / price
        bought = Trade(each.order_id, size)
        if cash > DUST * value:
            bought = _settled(each, size, min(size, affordable), price, fee)
            cash -= bought.shares * bought.price + bought.fee
        if size > affordable:
            cash = min(cash, 0.0)  # nothing but rounding is left
        done.append(bought)
    return tuple(done), cash


def _affordable_first(
    buys: Sequence[tuple[Wanted, float]], value: float, cash: float, slippage: float, fee: float
) -> Iterable[tuple[Wanted, float]]:
    needed = 0.0
    for each, size in buys:
        needed += size * each.price * (1.0 + slippage) * (1.0 + fee)
    if len(buys) > 1 and needed > cash * (1.0 - DUST):
        # Not size * price: equal targets must tie exactly, and keep the order of the lines.
        return sorted(buys, key=lambda buy: buy[0].weight * value - buy[0].held * buy[0].price)
    return buys


def _settled(line: Wanted, wanted: float, size: float, price: float, fee: float) -> Trade:
    if size == 0.0:
        return Trade(line.order_id, wanted)
    return Trade(line.order_id, wanted, size, price, abs(size) * price * fee)
