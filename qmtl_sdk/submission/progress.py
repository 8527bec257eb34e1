"""What a submission, or a replay, tells while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from qmtl_foundation import tracing

if TYPE_CHECKING:
    from qmtl_sdk.strategy.evaluate import OnStep
    from qmtl_sdk.submission.result import SweepCell


class Phase(StrEnum):
    """Name the phases of a submission, in their order, and those of a replay after its backtest."""

    BUILD = "build"
    DATA = "data"
    SUBMIT = "submit"
    BIND = "bind"
    COMPUTE = "compute"
    PROVE = "prove"
    EVALUATE = "evaluate"
    WAIT = "wait"
    REPLAY = "replay"
    SETTLE = "settle"


@dataclass(frozen=True, slots=True)
class Progress:
    """Tell that a phase began, goes on, or ended after ``elapsed_ms``; ``detail`` says how far, or what came of it."""

    phase: Phase
    elapsed_ms: float | None = None
    detail: str = ""

    @property
    def done(self) -> bool:
        """Tell whether the phase has ended."""
        return self.elapsed_ms is not None


OnProgress = Callable[[Progress], None]


def silent(_progress: Progress) -> None:
    """Take progress and tell nobody."""


OnCell = Callable[["SweepCell"], None]


def unobserved(_cell: SweepCell) -> None:
    """Take a cell of a sweep and tell nobody."""


class AbandonedError(Exception):
    """End work whose result nobody waits for."""


@dataclass(slots=True)
class Timings:
    """Measure the phases and tell of them."""

    on_progress: OnProgress
    elapsed_ms: dict[str, float] = field(default_factory=dict)
    abandoned: bool = False  # set where nobody waits for the work any more, as after Ctrl-C

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[list[str]]:
        """Time a phase; what the body appends to the yielded list is told as its detail."""
        self.on_progress(Progress(phase))
        began = time.perf_counter()
        detail: list[str] = []
        try:
            with tracing.span(phase.value):
                yield detail
        except AbandonedError:
            raise
        except BaseException:
            self.on_progress(Progress(phase, (time.perf_counter() - began) * 1000.0, "failed"))
            raise
        elapsed = (time.perf_counter() - began) * 1000.0
        self.elapsed_ms[phase.value] = round(elapsed, 3)
        self.on_progress(Progress(phase, elapsed, " ".join(detail)))

    def steps(self, phase: Phase) -> OnStep:
        """Return what takes the steps within a phase and tells of them; it ends the work that was abandoned."""

        def take(node: str, done: int, total: int) -> None:
            if self.abandoned:
                raise AbandonedError
            self.on_progress(Progress(phase, detail=f"{node}: {done:,} of {total:,}"))

        return take
