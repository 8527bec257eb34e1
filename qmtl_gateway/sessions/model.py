"""What a gateway knows of a world: its gate, and what may pass it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    """Hold a world as of the newest event that was applied. Only an UNFREEZE leaves a gate open."""

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
