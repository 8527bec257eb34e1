"""Apply runs as spans: each phase when it is over, and the run at its end, within the trace of who asked for it."""

from __future__ import annotations

from datetime import datetime

from qmtl_foundation import tracing
from qmtl_world.apply.metrics import PHASES
from qmtl_world.apply.place import Phase
from qmtl_world.apply.records import RunRecord


def moved(before: RunRecord | None, after: RunRecord, now: datetime) -> None:
    """Record the phase that a run has left, and the run where it has ended."""
    same = before is not None and before.run.run_id == after.run.run_id
    if before is not None and same and before.run.phase is after.run.phase:
        return
    phase = PHASES.get(before.run.phase) if before is not None and same else None
    if before is not None and phase is not None:
        attributes = {"qmtl.world": after.world, "qmtl.run_id": after.run.run_id}
        tracing.past(f"apply {phase}", before.phase_time, now, after.trace, attributes=attributes)
    if after.run.is_terminal:
        _ended(after, after.run.phase, now)


def aborted(record: RunRecord, now: datetime) -> None:
    """Record a run that never began."""
    _ended(record, Phase.ABORTED, now)


def _ended(record: RunRecord, phase: Phase, now: datetime) -> None:
    attributes = {"qmtl.world": record.world, "qmtl.run_id": record.run.run_id, "qmtl.outcome": phase.value}
    tracing.past("apply", record.create_time, now, record.trace, attributes=attributes)
