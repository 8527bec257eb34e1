"""The proofs of a whole program, as a submission carries them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from qmtl_sdk.strategy.evaluate import Evaluation, OnStep, unwatched
from qmtl_sdk.strategy.program import Program

if TYPE_CHECKING:
    from qmtl_sdk.proofs import Finding, ProofStatus

CACHE_FOLDER: Final = "proofs"


@dataclass(frozen=True, slots=True)
class Proofs:
    """Hold what the proofs of a program found; ``coverage`` is bars checked over bars there are, [0, 1]."""

    status: ProofStatus
    findings: tuple[Finding, ...]
    coverage: float
    bars_at_a_tie: int = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what is doubtful without being wrong."""
        if not self.bars_at_a_tie:
            return ()
        return (f"{self.bars_at_a_tie:,} values hang on the last bits of accumulated rounding",)


def prove_program(
    program: Program,
    evaluation: Evaluation,
    timestamps: NDArray[np.int64],
    targets: NDArray[np.float64],
    fingerprint: str,
    cache_dir: Path,
    on_step: OnStep = unwatched,
) -> Proofs:
    """Prove every function and fold node of a program; built-in operators are exempt by construction.

    ``timestamps`` [T] and ``targets`` [T, S] say where the target changes: those bars are always checked. A proof that
    was made before of the same node on the same data is taken from the cache.
    """
    from qmtl_sdk.proofs import ProofCache, ProofStatus, prove_all

    if not program.functions:
        return Proofs(ProofStatus.PASSED, (), 1.0)
    proofs = prove_all(
        program.nodes,
        evaluation,
        fingerprint=fingerprint,
        cache=ProofCache(cache_dir / CACHE_FOLDER),
        changed_at=_changes(timestamps, targets),
        on_step=on_step,
    )
    findings = tuple(each for proof in proofs for each in proof.findings)
    status = ProofStatus.FAILED if findings else ProofStatus.PASSED
    total = sum(proof.bars_total for proof in proofs)
    ties = sum(proof.bars_at_a_tie for proof in proofs)
    checked = sum(proof.bars_checked for proof in proofs)
    return Proofs(status, findings, checked / total if total else 1.0, ties)


def _changes(timestamps: NDArray[np.int64], targets: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the times of the bars whose targets differ from those of the bar before; null is a value like others."""
    before, after = targets[:-1], targets[1:]
    differs = (before != after) & ~(np.isnan(before) & np.isnan(after))
    changed: NDArray[np.int64] = timestamps[1:][differs.any(axis=1)]
    return changed
