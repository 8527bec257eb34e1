"""What is stored of apply runs beside the machine's state: who asked, why, when; enrolments; the audit. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_world.apply.model import ActivationSet, RunTerms
from qmtl_world.apply.place import Gateway, MarkKind, Place, Run
from qmtl_world.audit.model import Cause

ROUND_RUN: Final = "round-"  # begins the id of a run that a round began; its number follows


PROTOCOL: Final = Cause()  # what follows from acknowledgements and time


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Hold a run as stored. ``base``: the ``state_hash`` it was planned on, empty for any. ``epoch``: of its freeze.
    ``trace``: what it belongs to, as a ``traceparent``; empty for none.
    """

    world: str
    run: Run
    request_hash: str
    cause: Cause
    base: str
    epoch: int
    revision: int
    create_time: datetime
    phase_time: datetime
    end_time: datetime | None
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """Hold a world's place with what is told of it. ``event_hash`` is that of the newest event, empty for none.

    ``timeline_id`` is the database's, empty where nothing is known of the world.
    """

    place: Place
    record: RunRecord | None
    terms: RunTerms
    switch_time: datetime | None
    event_hash: str
    timeline_id: str = ""

    @property
    def activation_set(self) -> ActivationSet:
        """Return what may trade by the newest switch."""
        place = self.place
        return ActivationSet(place.world, place.activations, place.epoch, place.sequence, self.switch_time)


@dataclass(frozen=True, slots=True)
class ApplyRecord:
    """Hold one entry of a world's audit; ``detail`` says what was asked for or told, in one line."""

    world: str
    run_id: str
    event: str
    cause: Cause
    epoch: int
    sequence: int
    create_time: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True)
class GatewayLease:
    """Hold until when a gateway's lease lasts, and the strategies whose runners it waits for in a world."""

    until: datetime
    waits_for: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ShownRun:
    """Hold a run with the place of its world, the leases of gateways that last, and its audit timeline."""

    record: RunRecord
    place: Place
    leases: Mapping[Gateway, GatewayLease]
    timeline: Sequence[ApplyRecord]


@dataclass(frozen=True, slots=True)
class Holding:
    """Hold what an executor holds of one symbol for one strategy; shares, signed."""

    strategy_id: str
    symbol: str
    quantity: float


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Hold an executor that takes a world's orders in one mode, behind the Fence numbered ``mark``."""

    world: str
    executor: str
    mode: EffectiveMode
    mark: int
    create_time: datetime
    incarnation: str = ""
    renew_time: datetime | None = None
    position: int = 0
    holdings: tuple[Holding, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class MarkPassed:
    """Say that a start of an executor passed a mark."""

    executor: str
    incarnation: str
    kind: MarkKind
    epoch: int
    mark: int
    run_id: str
