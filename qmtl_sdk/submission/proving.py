"""The proofs of a whole program: each node with an author's code alone, on what it saw in the full run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qmtl_sdk.strategy.evaluate import Evaluation
from qmtl_sdk.strategy.program import Program
from qmtl_sdk.submission.result import Finding

PASSED: Final = "passed"
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class Proofs:
    """Hold what the proofs of a program found; ``coverage`` is bars checked over bars there are, [0, 1]."""

    status: str
    findings: tuple[Finding, ...]
    coverage: float


def prove_program(program: Program, evaluation: Evaluation, targets: NDArray[np.float64], fingerprint: str) -> Proofs:
    """Prove every function and fold node of a program; built-in operators are exempt by construction."""
    if not program.functions:
        return Proofs(PASSED, (), 1.0)
    raise SystemExit("proofs land here")
