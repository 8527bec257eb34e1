"""One world and its apply machine, driven event by event; what it told is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from qmtl_foundation.errors import QmtlError
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_world.apply.machine import step
from qmtl_world.apply.model import Activation
from qmtl_world.apply.place import (
    Effect,
    Event,
    EventKind,
    ExecutorAcknowledged,
    Gateway,
    GatewayAcknowledged,
    MarkKind,
    Phase,
    Place,
    Run,
    Start,
    TimePassed,
)

EXECUTOR = "paper-1"
G1, G2 = Gateway("g1", "g1-a"), Gateway("g2", "g2-a")
OLD = (Activation("ann/Trend", "v1", 0.5, "long", EffectiveMode.PAPER, "f", EXECUTOR),)
NEW = (Activation("bob/Carry", "v1", 0.5, "long", EffectiveMode.PAPER, "f", EXECUTOR),)
LONG = timedelta(seconds=60)


class Scene:
    """Hold a world, and what it has told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, tzinfo=UTC)
        self.place = Place("equity")
        self.told: list[Effect] = []

    @property
    def run(self) -> Run:
        assert self.place.run is not None
        return self.place.run

    def do(self, *events: Event) -> list[str]:
        """Take events; return what was told, as ``KIND epoch``."""
        said: list[str] = []
        for event in events:
            self.place, effects = step(self.place, event, self.now)
            self.told.extend(effects)
            said += [f"{each.kind.value} {each.epoch}" for each in effects]
        return said

    def fenced(self) -> list[str]:
        return self.do(ExecutorAcknowledged(EXECUTOR, MarkKind.FENCE, self.place.epoch))

    def opened(self) -> list[str]:
        return self.do(ExecutorAcknowledged(EXECUTOR, MarkKind.OPEN, self.place.epoch))

    def acknowledged(self, phase: EventKind, *gateways: Gateway) -> list[str]:
        run, epoch = self.run, self.place.epoch
        return self.do(*(GatewayAcknowledged(each, run.run_id, phase, epoch, run.sequence) for each in gateways))

    def later(self, passed: timedelta = LONG) -> list[str]:
        self.now += passed
        return self.do(TimePassed())

    def apply(self, run_id: str, plan: tuple[Activation, ...]) -> None:
        """Carry a run through."""
        self.do(Start(run_id, plan, frozenset({G1, G2})))
        self.reach(Phase.COMPLETED)

    def reach(self, phase: Phase) -> None:
        """Let everybody answer until the run is in a phase."""
        ways = {
            Phase.FREEZING: lambda: (self.fenced(), self.acknowledged(EventKind.FREEZE, G1, G2)),
            Phase.SWITCHING: lambda: self.acknowledged(EventKind.SWITCH, G1, G2),
            Phase.UNFREEZING: lambda: (self.opened(), self.acknowledged(EventKind.UNFREEZE, G1, G2)),
            Phase.DRAINING: lambda: (self.fenced(), self.acknowledged(EventKind.FREEZE, G1, G2)),
            Phase.REOPENING: lambda: (self.opened(), self.acknowledged(EventKind.UNFREEZE, G1, G2)),
        }
        while self.run.phase is not phase:
            ways[self.run.phase]()

    def refused(self, event: Event) -> QmtlError:
        """Return the refusal of an event, which must have changed nothing."""
        before = self.place
        with pytest.raises(QmtlError) as caught:
            self.do(event)
        assert self.place == before
        return caught.value
