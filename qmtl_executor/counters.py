"""What an executor counts, by world."""

from __future__ import annotations

from opentelemetry.metrics import Meter

from qmtl_foundation.telemetry import LabelledCounter


class Counters:
    """Count what becomes of intents."""

    def __init__(self, meter: Meter) -> None:
        self.fenced = LabelledCounter(
            meter, "orders_fenced_total", "Intents kept from the venue by where they stood.", "world", ()
        )
        self.executed = LabelledCounter(
            meter, "orders_executed_total", "Intents taken and brought to the venue, once each.", "world", ()
        )
        self.refused = LabelledCounter(
            meter, "executor_refused_total", "Intents kept from the venue by what they said.", "world", ()
        )

    def zero(self, world: str) -> None:
        """Export a world's counts from the start."""
        for counter in (self.fenced, self.executed, self.refused):
            counter.add(world, 0)
