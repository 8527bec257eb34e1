"""Where a world stands in its apply protocol: epoch, marks, holds, participants, the run; what happens to it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_world.apply.model import Activation, RunTerms, state_hash

OPERATOR: Final = "operator"
SWITCH_FAILED: Final = "switch_failed"
ROLLED_BACK_HOLD: Final = "rolled_back"
UNDRAINED: Final = "rollback_undrained"
ASTRAY: Final = "stream_astray"  # streams and database disagree
RESEEDED: Final = "reseeded"


class Phase(StrEnum):
    """Name where a run stands. REOPENING and DRAINING are both shown as ROLLING_BACK."""

    QUEUED = "queued"  # waits for the run before it
    FREEZING = "freezing"  # fenced; gates close
    SWITCHING = "switching"  # the set is the new one, gates still closed
    UNFREEZING = "unfreezing"  # gates open
    REOPENING = "reopening"  # undone, gates open as they were
    DRAINING = "draining"  # undone after gates may have opened: fenced again, and restored once that is drained
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"  # never began


TERMINAL: Final = frozenset({Phase.COMPLETED, Phase.ROLLED_BACK, Phase.ABORTED})


class MarkKind(StrEnum):
    """Name the marks in a world's order stream."""

    FENCE = "fence"
    OPEN = "open"


class EventKind(StrEnum):
    """Name the events in a world's control stream; a gateway acknowledges what it did of one."""

    FREEZE = "freeze"
    SWITCH = "switch"
    UNFREEZE = "unfreeze"


@dataclass(frozen=True, slots=True, order=True)
class Gateway:
    """Name one start of a gateway."""

    name: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Say how long each phase waits for acknowledgements before the run goes on without, or back."""

    freeze: timedelta
    switch: timedelta
    unfreeze: timedelta
    rollback: timedelta

    @classmethod
    def of(cls, terms: RunTerms) -> Timeouts:
        """Return those that a policy states."""
        return cls(
            freeze=timedelta(milliseconds=terms.freeze_timeout_ms),
            switch=timedelta(milliseconds=terms.switch_timeout_ms),
            unfreeze=timedelta(milliseconds=terms.unfreeze_timeout_ms),
            rollback=timedelta(milliseconds=terms.rollback_timeout_ms),
        )


@dataclass(frozen=True, slots=True)
class Run:
    """Hold one attempt to replace what may trade.

    ``prior`` and ``prior_holds`` are what a rollback restores. ``clears`` is the hold that a resume ends in its switch.
    ``awaited`` are the gateways of freeze time whose lease has not ended since; ``acked`` those that acknowledged the
    event ``sequence`` of the phase. ``unopened``: who had not acknowledged when the run ended without them.
    """

    run_id: str
    phase: Phase
    plan: tuple[Activation, ...]
    prior: tuple[Activation, ...]
    prior_holds: frozenset[str]
    timeouts: Timeouts
    deadline: datetime
    awaited: frozenset[Gateway]
    acked: frozenset[Gateway] = frozenset()
    sequence: int = 0
    clears: str = ""
    reason: str = ""
    unopened: tuple[str, ...] = ()

    @property
    def is_terminal(self) -> bool:
        """Tell whether it is over."""
        return self.phase in TERMINAL


@dataclass(frozen=True, slots=True)
class Place:
    """Hold where one world stands.

    ``epoch``, ``sequence`` and ``mark`` only grow. ``is_open``: the epoch has its Open. ``allow_live``: what the world
    says of it now. ``fenced`` and ``opened``: the enrolled executors that acknowledged Fence and Open of this epoch.
    ``repeat_at``: when marks are written again for those that did not. ``run``: the newest one, also when it is over.
    ``reseed_mark``: number of the newest reseed's Fence, 0 for none.
    """

    world: str
    epoch: int = 0
    sequence: int = 0
    mark: int = 0
    is_open: bool = False
    holds: frozenset[str] = frozenset()
    activations: tuple[Activation, ...] = ()
    allow_live: bool = False
    executors: frozenset[str] = frozenset()
    fenced: frozenset[str] = frozenset()
    opened: frozenset[str] = frozenset()
    repeat_at: datetime | None = None
    run: Run | None = None
    reseed_mark: int = 0

    @property
    def state_hash(self) -> str:
        """Return the identity of what may trade."""
        return state_hash(self.activations)

    @property
    def running(self) -> Run | None:
        """Return the run that is not over yet, or None."""
        return None if self.run is None or self.run.is_terminal else self.run

    @property
    def is_settled(self) -> bool:
        """Tell whether every enrolled executor acknowledged the newest marks: only then FROZEN or open is a fact."""
        return self.executors <= (self.opened if self.is_open else self.fenced)


# ---- What happens to a world


@dataclass(frozen=True, slots=True)
class Start:
    """Ask for a run. ``plan`` None keeps the set; ``clears`` names the hold that a resume ends; ``base`` is the
    ``state_hash`` that a queued plan was made on, empty for any."""

    run_id: str
    plan: tuple[Activation, ...] | None
    gateways: frozenset[Gateway]
    clears: str = ""
    base: str = ""
    timeouts: Timeouts = field(default_factory=lambda: Timeouts.of(RunTerms()))


@dataclass(frozen=True, slots=True)
class GatewayAcknowledged:
    """Say that a gateway did its part of a phase."""

    gateway: Gateway
    run_id: str
    phase: EventKind
    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class ExecutorAcknowledged:
    """Say that an executor passed a mark with all that stands before it."""

    executor: str
    kind: MarkKind
    epoch: int


@dataclass(frozen=True, slots=True)
class ExecutorClosed:
    """Say that an executor missed a mark: what it acknowledged is void until it passes a Fence again."""

    executor: str


@dataclass(frozen=True, slots=True)
class GatewayLost:
    """Say that the lease of one start of a gateway has ended: its gates are closed."""

    gateway: Gateway


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Look whether something is due."""


@dataclass(frozen=True, slots=True)
class SwitchFailed:
    """Say that the switch of a run could not be carried out."""

    run_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class RollBack:
    """Ask to undo a run. ``gateways``: those of this moment, which a fence after the opening has to close."""

    run_id: str
    reason: str
    gateways: frozenset[Gateway]


@dataclass(frozen=True, slots=True)
class Stop:
    """Freeze a world at once, and hold it under a name."""

    hold: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reseed:
    """Take a world above everything that was seen of it anywhere; it stays held until a resume."""

    epoch: int
    sequence: int
    mark: int


@dataclass(frozen=True, slots=True)
class Enrol:
    """Let an executor take the orders of one mode, from the next mark on."""

    executor: str
    mode: EffectiveMode


@dataclass(frozen=True, slots=True)
class Deregister:
    """Let an executor leave."""

    executor: str


Event = (
    Start
    | GatewayAcknowledged
    | ExecutorAcknowledged
    | ExecutorClosed
    | GatewayLost
    | TimePassed
    | SwitchFailed
    | RollBack
    | Stop
    | Reseed
    | Enrol
    | Deregister
)

# ---- What a world tells, in this order, through its outbox


@dataclass(frozen=True, slots=True)
class Mark:
    """Write a mark into the order stream."""

    number: int
    kind: MarkKind
    epoch: int


@dataclass(frozen=True, slots=True)
class Told:
    """Write an event into the control stream."""

    sequence: int
    kind: EventKind
    epoch: int
    run_id: str
    activations: tuple[Activation, ...]


Effect = Mark | Told


def names(gateways: Iterable[Gateway]) -> tuple[str, ...]:
    """Return the gateways' names in order."""
    return tuple(sorted(each.name for each in gateways))
