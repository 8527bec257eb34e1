"""Apply runs as spans: each phase when it is over, and the run at its end, within the trace of who asked for it."""

from __future__ import annotations

from datetime import datetime

from qmtl_foundation import tracing
from qmtl_world.apply.metrics import PHASES
from qmtl_world.apply.records import RunRecord


def moved(before: RunRecord | None, after: RunRecord, now: datetime) -> None:
    """Record the phase that a run has left, and the run where it has ended."""
    if before is None or before.run.run_id != after.run.run_id or before.run.phase is after.run.phase:
        return
    attributes = {"qmtl.world": after.world, "qmtl.run_id": after.run.run_id}
    phase = PHASES.get(before.run.phase)
    if phase is not None:
        tracing.past(f"apply {phase}", before.phase_time, now, after.trace, attributes=attributes)
    if after.run.is_terminal:
        outcome = {**attributes, "qmtl.outcome": after.run.phase.value}
        tracing.past("apply", after.create_time, now, after.trace, attributes=outcome)
