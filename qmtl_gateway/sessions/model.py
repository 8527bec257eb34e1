"""What a gateway knows of a world: its gate, what may pass it, and the event that told it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from qmtl_foundation.execution_domain import EffectiveMode


class Phase(StrEnum):
    """Name what the newest event of a world told."""

    FREEZE = "freeze"
    SWITCH = "switch"
    UNFREEZE = "unfreeze"


@dataclass(frozen=True, slots=True)
class Activation:
    """Hold one strategy's place in a set. ``executor`` is empty in a mode without orders."""

    strategy_id: str
    strategy_version: str
    side: str
    mode: EffectiveMode
    executor: str


@dataclass(frozen=True, slots=True)
class Gate:
    """Hold a world as of the newest event that was applied. Only an UNFREEZE leaves a gate open.

    Epoch and sequence are 0 while nothing was ever told of the world.
    """

    world: str
    epoch: int
    sequence: int
    phase: Phase
    run_id: str = ""
    holds: tuple[str, ...] = ()
    activations: Mapping[str, Activation] = field(default_factory=dict)
    event_hash: str = ""
    timeline_id: str = ""

    @property
    def is_open(self) -> bool:
        """Tell whether intents of this epoch may pass."""
        return self.phase is Phase.UNFREEZE and not self.holds


@dataclass(frozen=True, slots=True)
class Event:
    """Hold one event of a world, or a snapshot in its place: the gate after it.

    ``previous_hash`` is empty for the first event and in a snapshot. ``payload`` are the bytes of an
    ``ActivationEvent``, for runners. ``create_time`` is unknown of a snapshot. ``trace``: what it belongs to, as a
    ``traceparent``.
    """

    gate: Gate
    payload: bytes
    previous_hash: str = ""
    create_time: datetime | None = None
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Name a gateway, stable over restarts, and one start of it."""

    name: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class WorldPlace:
    """Hold how far a world is by the answer to a lease renewal."""

    world: str
    epoch: int
    sequence: int
    is_open: bool


@dataclass(frozen=True, slots=True)
class Report:
    """Hold one report of an intent: its place in the stream of reports, and the bytes of its ``OrderReport``."""

    position: int
    world: str
    strategy_id: str
    payload: bytes
