"""What came of a replay: whether its targets are the backtest's, and how far its intents came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qmtl_sdk.data.times import format_instant
from qmtl_sdk.strategy.values import FloatArray, TimeArray


@dataclass(frozen=True, slots=True)
class Difference:
    """Hold the first target that differs, and how many do; None is a null target, which holds."""

    bar: str
    symbol: str
    backtest: float | None
    live: float | None
    count: int


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Hold one replay. ``intents`` counts them by how far they came, ``intents_before`` those of earlier runs."""

    world: str
    strategy_id: str
    strategy_version: str
    data_preset: str
    as_of: str
    dataset_fingerprint: str
    bars: int
    difference: Difference | None
    intents: Mapping[str, int]
    intents_before: int

    @property
    def equal(self) -> bool:
        """Tell whether the targets are the backtest's, bit for bit."""
        return self.difference is None

    def document(self) -> dict[str, Any]:
        """Return the JSON form."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        found = self.difference
        shown = None if found is None else {name: getattr(found, name) for name in found.__slots__}
        return plain | {"equal": self.equal, "difference": shown, "intents": dict(self.intents)}


def first_difference(
    timestamps: TimeArray, symbols: tuple[str, ...], backtest: FloatArray, live: FloatArray
) -> Difference | None:
    """Return the first of the targets [T, S] that differs in any bit, None where they are equal; NaN equals NaN."""
    differs = (backtest.view(np.int64) != live.view(np.int64)) & ~(np.isnan(backtest) & np.isnan(live))
    places = np.argwhere(differs)
    if not len(places):
        return None
    bar, symbol = (int(place) for place in places[0])
    return Difference(
        bar=format_instant(int(timestamps[bar])),
        symbol=symbols[symbol],
        backtest=_plain(backtest[bar, symbol]),
        live=_plain(live[bar, symbol]),
        count=len(places),
    )


def _plain(target: float) -> float | None:
    return None if np.isnan(target) else float(target)
