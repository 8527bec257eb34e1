"""The account of the paper venue: steps bar by bar through a world's bars and fills what waits. Pure.

Each bar, in the order of ``docs/accounting.md``: leave the last one (fills at its close where the model says so, ruin),
fills at the open, interest, marks. Orders decided at a bar's close come in between its marks and its leaving. No symbol
is ever delisted: that a price is the last one is not known while bars still come.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from qmtl_executor.sizing import Wanted, trade
from qmtl_foundation.execution_model import ExecutionModel, Fill

NANOSECONDS_PER_YEAR: Final = 365 * 86_400 * 1_000_000_000  # ACT/365


@dataclass(frozen=True, slots=True)
class Bar:
    """Hold one bar: its close in nanoseconds (UTC), opens and closes by symbol; what is missing has no price."""

    closes_at: int
    opens: Mapping[str, float]
    closes: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Hold an order that waits for its fill; ``rank`` is that of its line in a bar: by symbol, then strategy."""

    order_id: str
    symbol: str
    weight: float
    held: float
    rank: tuple[int, str]


@dataclass(frozen=True, slots=True)
class Done:
    """Hold the end of an order: shares wanted and traded, signed; ``at`` in nanoseconds (UTC)."""

    order_id: str
    wanted: float
    shares: float
    price: float
    fee: float
    at: int


@dataclass(frozen=True, slots=True)
class Book:
    """Hold the account. ``clock``: close of the newest bar stepped to. ``shares`` and ``marks`` by symbol."""

    cash: float
    clock: int
    shares: Mapping[str, float] = field(default_factory=dict)
    marks: Mapping[str, float] = field(default_factory=dict)
    is_ruined: bool = False

    def value(self, prices: Mapping[str, float], symbols: Sequence[str]) -> float:
        """Return cash + shares x prices, at the mark where one is missing, added in the order of the symbols."""
        value = self.cash
        for symbol in symbols:
            held = self.shares.get(symbol, 0.0)
            if held != 0.0:
                value += held * prices.get(symbol, self.marks.get(symbol, math.nan))
        return value


def leave(
    book: Book, waiting: Sequence[Waiting], bar: Bar | None, model: ExecutionModel, symbols: Sequence[str]
) -> tuple[Book, tuple[Done, ...]]:
    """End the bar that the book stands at: no more orders are decided at it. ``bar`` is that bar, None if unknown."""
    done: tuple[Done, ...] = ()
    if model.fill is Fill.CLOSE and bar is not None:
        book, done = _fill(book, waiting, bar.closes, bar.closes_at, model, symbols)
    value = book.value({}, symbols)
    if value <= 0.0 and not book.is_ruined:  # everything is closed at its mark, without costs
        book = replace(book, cash=value, shares={}, is_ruined=True)
    return book, done


def enter(
    book: Book, waiting: Sequence[Waiting], bar: Bar, model: ExecutionModel, symbols: Sequence[str]
) -> tuple[Book, tuple[Done, ...]]:
    """Step to the next bar, up to its marks."""
    done: tuple[Done, ...] = ()
    if model.fill is Fill.NEXT_OPEN:
        book, done = _fill(book, waiting, bar.opens, bar.closes_at, model, symbols)
    cash = book.cash
    if model.cash_rate != 0.0:
        cash *= 1.0 + model.cash_rate * (bar.closes_at - book.clock) / NANOSECONDS_PER_YEAR
    marks = {**book.marks, **bar.opens, **bar.closes}
    return replace(book, cash=cash, clock=bar.closes_at, marks=marks), done


def _fill(
    book: Book,
    waiting: Sequence[Waiting],
    prices: Mapping[str, float],
    at: int,
    model: ExecutionModel,
    symbols: Sequence[str],
) -> tuple[Book, tuple[Done, ...]]:
    ready = sorted((each for each in waiting if each.symbol in prices), key=lambda each: each.rank)
    if not ready or book.is_ruined:
        return book, ()
    wanted = [Wanted(each.order_id, each.weight, each.held, prices[each.symbol]) for each in ready]
    trades, cash = trade(wanted, book.value(prices, symbols), book.cash, model)
    symbol_of = {each.order_id: each.symbol for each in ready}
    shares = dict(book.shares)
    for each in trades:
        symbol = symbol_of[each.order_id]
        shares[symbol] = shares.get(symbol, 0.0) + each.shares
    done = tuple(Done(each.order_id, each.wanted, each.shares, each.price, each.fee, at) for each in trades)
    return replace(book, cash=cash, shares=shares), done
