"""What is measured of apply runs, by the names of docs/architecture/apply.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from qmtl_foundation.telemetry import LabelledCounter
from qmtl_world.apply.place import Phase
from qmtl_world.apply.records import RunRecord

PHASES: Final[Mapping[Phase, str]] = {
    Phase.FREEZING: "freeze",
    Phase.SWITCHING: "switch",
    Phase.UNFREEZING: "unfreeze",
    Phase.REOPENING: "rollback",
    Phase.DRAINING: "rollback",
}
BUCKETS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000)
OUTCOMES: Final = (Phase.COMPLETED, Phase.ROLLED_BACK, Phase.ABORTED)


class ApplyMetrics:
    """Measure phases and outcomes of runs, who is awaited, and holds."""

    def __init__(self, meter: Meter) -> None:
        self._durations = meter.create_histogram(
            "apply_phase_duration_ms",
            description="How long each phase of an apply run took.",
            explicit_bucket_boundaries_advisory=BUCKETS_MS,
        )
        self._runs = LabelledCounter(
            meter, "apply_runs_total", "Apply runs ended.", "outcome", (each.value for each in OUTCOMES)
        )
        self.outstanding: Mapping[str, int] = {}
        self.holds: Mapping[str, tuple[str, ...]] = {}
        meter.create_observable_gauge(
            "apply_ack_outstanding",
            [self._observe_outstanding],
            description="Participants that a run still waits for.",
        )
        meter.create_observable_gauge(
            "world_held", [self._observe_holds], description="1 for each reason for which a world is held."
        )

    def moved(self, before: RunRecord | None, after: RunRecord, now: datetime) -> None:
        """Measure the phase that a run has left, and its end."""
        same = before is not None and before.run.run_id == after.run.run_id
        if before is not None and same and before.run.phase is after.run.phase:
            return
        if before is not None and same and before.run.phase in PHASES:
            took = (now - before.phase_time).total_seconds() * 1_000
            self._durations.record(max(0.0, took), {"phase": PHASES[before.run.phase]})
        if after.run.is_terminal:
            self._runs.add(after.run.phase.value)

    def aborted(self) -> None:
        """Count a run that never began."""
        self._runs.add(Phase.ABORTED.value)

    def _observe_outstanding(self, _options: CallbackOptions) -> Iterator[Observation]:
        for world, count in self.outstanding.items():
            yield Observation(count, {"world": world})

    def _observe_holds(self, _options: CallbackOptions) -> Iterator[Observation]:
        for world, reasons in self.holds.items():
            for reason in reasons:
                yield Observation(1, {"world": world, "reason": reason})
