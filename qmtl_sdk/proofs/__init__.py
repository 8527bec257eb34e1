"""The proofs of authors' own nodes, on submission: no look-ahead, enough warm-up, resumable folds.

prove.py takes each node in turn; windows.py holds the proof of functions (stacked.py evaluates many windows at once,
agreement.py says when two values agree), resume.py that of folds; cache.py keeps proofs on disk.
"""

from __future__ import annotations

from qmtl_sdk.proofs.cache import ProofCache
from qmtl_sdk.proofs.model import Budget, Finding, FindingKind, Proof, ProofStatus
from qmtl_sdk.proofs.prove import prove, prove_all

__all__ = [
    "Budget",
    "Finding",
    "FindingKind",
    "Proof",
    "ProofCache",
    "ProofStatus",
    "prove",
    "prove_all",
]
