"""A clock that tests move, and counters that they read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from qmtl_foundation.telemetry import LabelledCounter


@dataclass(slots=True)
class ManualClock:
    """Be a monotonic clock that a test moves."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Counted:
    """Make counters by a label ``reason``, and read them."""

    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def counter(self, name: str, *values: str) -> LabelledCounter:
        meter = MeterProvider([self.reader]).get_meter("test")
        return LabelledCounter(meter, name, "of a test", "reason", values)

    def read(self) -> dict[str, int]:
        """Return what was counted more than 0 times."""
        data = self.reader.get_metrics_data()
        assert data is not None
        points: Any = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
        return {str(each.attributes["reason"]): each.value for each in points if each.value}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def counted() -> Counted:
    return Counted()
