"""Prove the nodes of a strategy, each alone, on what it saw of its inputs in the full run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Final

from qmtl_foundation.identity import Json, bytes_id, content_id
from qmtl_sdk.libraries import library_versions
from qmtl_sdk.proofs.cache import ProofCache
from qmtl_sdk.proofs.model import Budget, Proof
from qmtl_sdk.proofs.resume import prove_fold
from qmtl_sdk.proofs.windows import prove_function
from qmtl_sdk.strategy.evaluate import Evaluation, OnStep, unwatched
from qmtl_sdk.strategy.graph import topological
from qmtl_sdk.strategy.node import Node, NodeKind
from qmtl_sdk.strategy.values import TimeArray, Value
from qmtl_sdk.strategy.view import View

PROOF_CONTEXT: Final = "qmtl 2026-11 proof v3"
_CHANGES_CONTEXT: Final = "qmtl 2026-11 proof target-changes v1"
_PROVEN: Final = (NodeKind.FUNCTION, NodeKind.FOLD)


def prove(
    node: Node,
    view: View,
    full: Value,
    changed_at: TimeArray | None = None,
    budget: Budget | None = None,
    on_step: OnStep = unwatched,
) -> Proof:
    """Prove one function or fold node on ``view``, what it sees of its inputs, and ``full``, its value there.

    ``changed_at``, int64 nanoseconds, are the bars at which the strategy's target changes: they are checked also when
    the budget does not reach for all bars. ``on_step`` is told of each bar that takes time. Raises ValueError for other
    kinds of node: operators are proven once, in QMTL's own tests.
    """
    budget = budget or Budget()
    if node.kind is NodeKind.FUNCTION:
        return prove_function(node, view, full, changed_at, budget, on_step)
    if node.kind is NodeKind.FOLD:
        return prove_fold(node, view, full, budget, on_step)
    raise ValueError(f"node {node.name!r} is a {node.kind}; only functions and folds need a proof")


def prove_all(
    nodes: Sequence[Node],
    evaluation: Evaluation,
    *,
    fingerprint: str,
    cache: ProofCache | None = None,
    changed_at: TimeArray | None = None,
    budget: Budget | None = None,
    on_step: OnStep = unwatched,
) -> tuple[Proof, ...]:
    """Prove every function and fold among ``nodes`` and all that they need, in the order of evaluation.

    ``fingerprint`` is that of the data which ``evaluation`` ran over; together with the NodeID it finds a proof again
    in ``cache``.
    """
    budget = budget or Budget()
    proofs: list[Proof] = []
    queried: set[str] = set()  # what needs a tag query: its NodeID does not cover the nodes that the query found
    for node in topological(nodes):
        if node.kind is NodeKind.TAG_QUERY or any(entry.node.node_id in queried for entry in node.inputs):
            queried.add(node.node_id)
        if node.kind not in _PROVEN:
            continue
        kept = None if node.node_id in queried else cache
        key = _key(node, fingerprint, changed_at, budget)
        proof = kept.get(key) if kept is not None else None
        if proof is None:
            proof = prove(node, evaluation.view(node), evaluation[node.node_id], changed_at, budget, on_step)
            if kept is not None:
                kept.put(key, proof)
        proofs.append(proof)
    return tuple(proofs)


def _key(node: Node, fingerprint: str, changed_at: TimeArray | None, budget: Budget) -> str:
    """Return the id of all that a proof depends on; the display name and the tolerance are not part of a NodeID."""
    document: dict[str, Json] = {
        "budget": list(astuple(budget)),
        "changes": None if changed_at is None else bytes_id(_CHANGES_CONTEXT, changed_at.tobytes()),
        "dataset_fingerprint": fingerprint,
        "libraries": dict[str, Json](library_versions()),
        "name": node.name,
        "node_id": node.node_id,
        "tolerance": node.tolerance,
    }
    return content_id(PROOF_CONTEXT, document)
