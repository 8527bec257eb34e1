"""The execution model and the sizing rule of a world: how targets become fills, and signals targets. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from qmtl_foundation.errors import invalid_field
from qmtl_foundation.identity import Json

BASIS_POINTS: Final = 10_000.0


class Fill(StrEnum):
    """Say at which price a target decided at the close of bar t is filled."""

    NEXT_OPEN = "next_open"
    CLOSE = "close"


class Rebalance(StrEnum):
    """Say when a standing target is traded again.

    ON_CHANGE: only when it changes. EVERY_BAR: at each bar that states it. DRIFT: when it changes, and when the weight
    at the close has moved away from it by more than ``drift``.
    """

    ON_CHANGE = "on_change"
    EVERY_BAR = "every_bar"
    DRIFT = "drift"


class Sizing(StrEnum):
    """Say which sides a signal may take."""

    LONG_ONLY = "long_only"
    LONG_SHORT = "long_short"


@dataclass(frozen=True, slots=True)
class ExecutionModel:
    """Hold what a fill costs and when one happens.

    ``slippage_bp``, ``fee_bp``: basis points of the price, and of the traded notional, in [0, 10,000). ``drift``: a
    distance between weights, in (0, 1], for DRIFT; 0 otherwise. ``initial_cash``: currency, above 0.
    ``cash_rate``: simple annual rate (ACT/365) that cash earns, in (-1, 1).
    """

    fill: Fill = Fill.NEXT_OPEN
    slippage_bp: float = 0.0
    fee_bp: float = 0.0
    rebalance: Rebalance = Rebalance.ON_CHANGE
    drift: float = 0.0
    can_short: bool = False
    initial_cash: float = 1_000_000.0
    cash_rate: float = 0.0

    def __post_init__(self) -> None:
        """Check every field; raise QmtlError (INVALID_FIELD) naming it, its value and the mend."""
        _member("fill", self.fill, Fill)
        _member("rebalance", self.rebalance, Rebalance)
        if not isinstance(self.can_short, bool):
            raise _refusal("can_short", self.can_short, "must be true or false")
        for name in ("slippage_bp", "fee_bp"):
            value = getattr(self, name)
            if not (_is_finite(value) and 0 <= value < BASIS_POINTS):
                raise _refusal(name, value, "must be at least 0 and below 10000 basis points")
        if not (_is_finite(self.initial_cash) and self.initial_cash > 0):
            raise _refusal("initial_cash", self.initial_cash, "must be a finite amount above 0")
        if not (_is_finite(self.cash_rate) and -1 < self.cash_rate < 1):
            raise _refusal("cash_rate", self.cash_rate, "must be an annual rate between -1 and 1, such as 0.03")
        self._check_drift()

    def canonical(self) -> dict[str, Json]:
        """Return the JSON object that identifies this model (part of the EvalKey)."""
        return {
            "can_short": self.can_short,
            "cash_rate": float(self.cash_rate),
            "drift": float(self.drift),
            "fee_bp": float(self.fee_bp),
            "fill": self.fill.value,
            "initial_cash": float(self.initial_cash),
            "rebalance": self.rebalance.value,
            "slippage_bp": float(self.slippage_bp),
        }

    def _check_drift(self) -> None:
        if self.rebalance is Rebalance.DRIFT:
            if not (_is_finite(self.drift) and 0 < self.drift <= 1):
                raise _refusal(
                    "drift", self.drift, "must be above 0 and at most 1 when rebalance is drift, such as 0.05"
                )
        elif self.drift != 0:
            raise _refusal("drift", self.drift, f"must be 0 when rebalance is {self.rebalance.value}")


@dataclass(frozen=True, slots=True)
class SizingRule:
    """Hold how a bare signal becomes targets: the sides it may take, and the gross weight it may reach.

    ``gross_limit``: sum of absolute weights, in (0, 10].
    """

    kind: Sizing = Sizing.LONG_ONLY
    gross_limit: float = 1.0

    def __post_init__(self) -> None:
        """Check every field; raise QmtlError (INVALID_FIELD) naming it, its value and the mend."""
        _member("kind", self.kind, Sizing)
        if not (_is_finite(self.gross_limit) and 0 < self.gross_limit <= 10):
            raise _refusal("gross_limit", self.gross_limit, "must be above 0 and at most 10, such as 1.0")

    def canonical(self) -> dict[str, Json]:
        """Return the JSON object that identifies this rule."""
        return {"gross_limit": float(self.gross_limit), "kind": self.kind.value}


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _member(field: str, value: object, kind: type[StrEnum]) -> None:
    if not isinstance(value, kind):
        raise _refusal(field, value, f"must be one of {', '.join(kind)} ({kind.__name__})")


def _refusal(field: str, value: object, mend: str) -> Exception:
    return invalid_field(field, f"{mend}, is {value!r}", value=repr(value))
