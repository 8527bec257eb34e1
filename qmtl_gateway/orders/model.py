"""An order intent as the gateway sees it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from qmtl_foundation.execution_domain import EffectiveMode

MAX_INTENTS: Final = 1_000  # of one request
MAX_INTENT_BYTES: Final = 4_096
MAX_SYMBOL: Final = 64  # characters, as in presets
SIDES: Final = frozenset({"long", "short", "neutral"})


@dataclass(frozen=True, slots=True)
class Intent:
    """Hold a strategy's wish for one symbol at one bar, and what its runner stamped on it.

    ``target`` is a fraction of the strategy's capital, ``bar_time`` the close of the bar in UTC; ``mode`` is None where
    it is not stated or not known. ``content`` is what is stored, byte for byte.
    """

    intent_id: str
    world: str
    strategy_id: str
    symbol: str
    target: float
    bar_time: datetime
    epoch: int
    executor: str
    strategy_version: str
    side: str
    mode: EffectiveMode | None
    content: bytes
