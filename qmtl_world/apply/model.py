"""An activation set and its identity; the terms on which a policy lets it change. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final

from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.identity import content_id

KEPT_SETS: Final = 16  # of which a run's steps ask again and again
STATE_CONTEXT: Final = "qmtl 2026-11 activation-state v1"


class OnDemote(StrEnum):
    """Say what becomes of a strategy's position when it leaves the set."""

    FLATTEN = "flatten"
    HOLD = "hold"
    HAND_OVER = "hand_over"


class OnFreeze(StrEnum):
    """Say what becomes of orders that rest at a venue when the world freezes."""

    CANCEL = "cancel"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class RunTerms:
    """Hold what a policy says of apply runs; each timeout in milliseconds, in [100, 600000]."""

    freeze_timeout_ms: int = 30_000
    switch_timeout_ms: int = 10_000
    unfreeze_timeout_ms: int = 30_000
    rollback_timeout_ms: int = 10_000
    on_demote: OnDemote = OnDemote.FLATTEN
    on_freeze: OnFreeze = OnFreeze.CANCEL


@dataclass(frozen=True, slots=True)
class Activation:
    """Let one strategy version trade.

    ``weight`` is a fraction of the world's equity, in [0, 1]; ``executor`` takes its orders, empty in a mode without.
    """

    strategy_id: str
    strategy_version: str
    weight: float
    side: str
    mode: EffectiveMode
    dataset_fingerprint: str
    executor: str = ""


@dataclass(frozen=True, slots=True)
class ActivationSet:
    """Hold what may trade in a world. ``epoch`` and ``sequence`` are 0 when it was never switched."""

    world: str
    activations: tuple[Activation, ...] = ()
    epoch: int = 0
    sequence: int = 0
    switch_time: datetime | None = None

    @property
    def state_hash(self) -> str:
        """Return the identity of set, modes, executors and pins; not of epoch, sequence or time."""
        return state_hash(self.activations)

    def find(self, strategy_id: str) -> Activation | None:
        """Return a strategy's activation, or None."""
        return next((each for each in self.activations if each.strategy_id == strategy_id), None)


def state_hash(activations: Sequence[Activation]) -> str:
    """Return the identity of what may trade; the order does not matter."""
    return _state_hash(tuple(activations))


@lru_cache(maxsize=KEPT_SETS)
def _state_hash(activations: tuple[Activation, ...]) -> str:
    return content_id(
        STATE_CONTEXT,
        [
            {
                "dataset_fingerprint": each.dataset_fingerprint,
                "executor": each.executor,
                "mode": each.mode.value,
                "side": each.side,
                "strategy_id": each.strategy_id,
                "strategy_version": each.strategy_version,
                "weight": each.weight,
            }
            for each in sorted(activations, key=lambda each: each.strategy_id)
        ],
    )
