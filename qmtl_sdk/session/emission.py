"""Which of a strategy's targets are sent, and when, so that its executor does what its backtest did.

The newest target of each symbol counts; a null states none, and keeps the one before. While the gate is closed nothing
is sent; once it is open again, the newest targets are, as if their bars had just closed. Those between are dropped.

=============  =======================================================================================================
``on_change``  A target equal to the one that stands at the executor needs no intent. Only what stands *under this
               epoch* counts: an apply may have closed positions, cancelled orders or changed weights, so the first bar
               after it states every target again, and the executor answers UNCHANGED where nothing is to be done.
``every_bar``  Each bar that states a target sends it: the executor trades back to it.
``drift``      The same: the executor looks at each how far the weight has moved away.
=============  =======================================================================================================

An intent that may have been stored or not is sent again under its id, and one that a Fence caught under a newer epoch,
as long as it is its symbol's newest; one that its executor kept back within the epoch, after a while. An id that was
taken is not used again: it was for one bar. Bars before the newest that was sent for a symbol are past: a runner that
starts again over its history goes on where it stood.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_model import Rebalance
from qmtl_foundation.identity import intent_id
from qmtl_sdk.session.journal import Entry, IntentJournal, State
from qmtl_sdk.session.model import Wish
from qmtl_sdk.strategy.values import FloatArray

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NS_PER_MICROSECOND: Final = 1_000


class Emission:
    """Hold a strategy's newest targets, and say which are to be sent."""

    def __init__(
        self, world: str, strategy_id: str, symbols: Sequence[str], rebalance: Rebalance, journal: IntentJournal
    ) -> None:
        self._world = world
        self._strategy_id = strategy_id
        self._symbols = tuple(symbols)
        self._always = rebalance is not Rebalance.ON_CHANGE
        self._journal = journal
        self._newest: dict[str, Wish] = {}

    def state(self, timestamp: int, targets: FloatArray) -> None:
        """Take the targets [S] of the bar that closed at ``timestamp`` (nanoseconds of UTC); NaN states none.

        Raises QmtlError INVALID_FIELD for a target outside [-1, 1], naming symbol and bar.
        """
        bar_time = bar_time_of(timestamp)
        for symbol, target in zip(self._symbols, targets.tolist(), strict=True):
            if math.isnan(target):
                continue
            if not -1.0 <= target <= 1.0:
                raise _outside(symbol, bar_time, target)
            wish_id = intent_id(self._world, self._strategy_id, bar_time, symbol)
            self._newest[symbol] = Wish(wish_id, symbol, bar_time, target)

    def due(self, epoch: int) -> list[Wish]:
        """Return what is to be sent under an epoch."""
        known = self._journal.find([wish.intent_id for wish in self._newest.values()])
        return [wish for wish in self._newest.values() if self._is_due(wish, known.get(wish.intent_id), epoch)]

    def kept_back(self, epoch: int) -> list[Wish]:
        """Return what was fenced under this very epoch: by an executor that has yet to pass the marks of it.

        It missed some of them, or was enrolled anew; once they are written again it takes what it kept back.
        """
        known = self._journal.find([wish.intent_id for wish in self._newest.values()])
        entries = [(wish, known.get(wish.intent_id)) for wish in self._newest.values()]
        return [
            wish
            for wish, entry in entries
            if entry is not None
            and (entry.wish, entry.state, entry.epoch) == (wish, State.FENCED, epoch)
            and not self._is_past(wish)
        ]

    def _is_past(self, wish: Wish) -> bool:
        """Tell whether an intent of a newer bar of the symbol was written: a runner that starts again comes by it."""
        newest = self._journal.newest_bar(wish.symbol)
        return newest is not None and newest > wish.bar_time

    def _is_due(self, wish: Wish, entry: Entry | None, epoch: int) -> bool:
        if entry is None:
            if self._is_past(wish):
                return False
            return self._always or self._journal.standing(wish.symbol, epoch) != wish.target
        if entry.wish.target != wish.target:  # of a former version of the strategy: its next bar says what it wants now
            return False
        is_open = entry.state is State.WRITTEN or (entry.state is State.FENCED and entry.epoch < epoch)
        return is_open and not self._is_past(wish)


def bar_time_of(timestamp: int) -> datetime:
    """Return a bar's close, given in nanoseconds of UTC, as intents state it: to the microsecond."""
    return _EPOCH + timedelta(microseconds=timestamp // _NS_PER_MICROSECOND)


def _outside(symbol: str, bar_time: datetime, target: float) -> QmtlError:
    return QmtlError(
        Reason.INVALID_FIELD,
        f"target: {target!r} of {symbol} at {bar_time:%Y-%m-%dT%H:%M:%SZ} is outside [-1, 1], which is all that an "
        "order may ask for; limit it by .clip(-1.0, 1.0)",
        metadata={"field": "target", "symbol": symbol, "value": repr(target)},
    )
