"""What a submission tells while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """Name the phases of a submission, in their order."""

    BUILD = "build"
    DATA = "data"
    SUBMIT = "submit"
    BIND = "bind"
    COMPUTE = "compute"
    PROVE = "prove"
    EVALUATE = "evaluate"


@dataclass(frozen=True, slots=True)
class Progress:
    """Tell that a phase began, or ended after ``elapsed_ms``; ``detail`` says what came of it."""

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
