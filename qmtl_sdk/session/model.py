"""What a runner is told of its world, what it wishes, and what came of that. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from qmtl_foundation.execution_domain import EffectiveMode


class Phase(StrEnum):
    """Name what an event of a world tells; UNKNOWN closes."""

    FREEZE = "freeze"
    SWITCH = "switch"
    UNFREEZE = "unfreeze"
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """Name what an executor says of an intent."""

    WORKING = "working"
    FILLED = "filled"
    UNCHANGED = "unchanged"
    FENCED = "fenced"
    REFUSED = "refused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Runner:
    """Name one start of a strategy's runner in a world."""

    world: str
    strategy_id: str
    strategy_version: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class Seat:
    """Hold one strategy's place in an activation set."""

    strategy_version: str
    side: str
    mode: EffectiveMode
    executor: str


@dataclass(frozen=True, slots=True)
class Told:
    """Hold one event of a world, or a snapshot in its place. ``seats``: by strategy, of those that may emit orders."""

    phase: Phase
    epoch: int
    sequence: int
    run_id: str = ""
    holds: tuple[str, ...] = ()
    seats: Mapping[str, Seat] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stamp:
    """Hold what a runner states on its intents beside the wish: its strategy's seat, and the epoch of its gate."""

    epoch: int
    seat: Seat


@dataclass(frozen=True, slots=True)
class Wish:
    """Hold a target, fraction of the strategy's capital, for one symbol, decided at the close of one bar (UTC)."""

    intent_id: str
    symbol: str
    bar_time: datetime
    target: float


@dataclass(frozen=True, slots=True)
class Report:
    """Hold what came of an intent, with its place in the stream of reports."""

    position: int
    intent_id: str
    epoch: int
    outcome: Outcome
    reason: str = ""
    message: str = ""
