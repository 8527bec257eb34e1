"""Proofs are found again by node and data, and only then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from qmtl_sdk.data.panel import Panel
from qmtl_sdk.proofs import Budget, FileProofCache, Proof, ProofStatus, prove, prove_all
from qmtl_sdk.strategy.evaluate import Evaluation, evaluate
from qmtl_sdk.strategy.node import Node, StreamInput, TagQueryNode

Walk = Callable[..., np.ndarray]
ONE, OTHER = ("blake3:" + digit * 64 for digit in "12")


@pytest.fixture
def evaluated(bars: StreamInput, walk: Walk, cheats: ModuleType) -> tuple[Node, Evaluation]:
    """Return a node that looks ahead, and its evaluation."""
    node = Node(cheats.shift_numpy, bars, period=2)
    close = walk(60, whole=True)
    panel = Panel(np.arange(1, 61) * 86_400_000_000_000, ("A", "B", "C"), {"close": close}, 86_400)
    return node, evaluate([node], {bars.node_id: panel})


def test_a_proof_comes_back_from_disk_as_it_was(tmp_path: Path, evaluated: tuple[Node, Evaluation]) -> None:
    node, evaluation = evaluated
    cache = FileProofCache(tmp_path / "proofs")
    (first,) = prove_all([node], evaluation, fingerprint=ONE, cache=cache)
    assert first.status is ProofStatus.FAILED
    (file,) = (tmp_path / "proofs").iterdir()
    file.write_bytes(file.read_bytes().replace(b'"bars_total":59', b'"bars_total":58'))
    (again,) = prove_all([node], evaluation, fingerprint=ONE, cache=FileProofCache(tmp_path / "proofs"))
    assert again.bars_total == 58
    assert again.findings == first.findings


def test_other_data_or_another_budget_is_another_proof(tmp_path: Path, evaluated: tuple[Node, Evaluation]) -> None:
    node, evaluation = evaluated
    cache = FileProofCache(tmp_path)
    prove_all([node], evaluation, fingerprint=ONE, cache=cache)
    prove_all([node], evaluation, fingerprint=OTHER, cache=cache)
    prove_all([node], evaluation, fingerprint=ONE, cache=cache, budget=Budget(calls=9))
    prove_all([node], evaluation, fingerprint=ONE, cache=cache, changed_at=np.array([1]))
    assert len(list(tmp_path.iterdir())) == 4


def test_a_broken_file_is_proven_again(tmp_path: Path, evaluated: tuple[Node, Evaluation]) -> None:
    node, evaluation = evaluated
    (first,) = prove_all([node], evaluation, fingerprint=ONE, cache=FileProofCache(tmp_path))
    (file,) = tmp_path.iterdir()
    for broken in (b"", b"{}", b"[1]", file.read_bytes().replace(b"failed", b"maybe")):
        file.write_bytes(broken)
        assert prove_all([node], evaluation, fingerprint=ONE, cache=FileProofCache(tmp_path)) == (first,)


def test_what_hangs_on_a_tag_query_is_not_cached(
    tmp_path: Path, bars: StreamInput, walk: Walk, cheats: ModuleType
) -> None:
    tagged = Node(cheats.shift_numpy, bars, period=2, tags=["trend"], name="close")
    reader = Node(cheats.weekday, TagQueryNode(["trend"], "1d"), period=1)
    panel = Panel(np.arange(1, 61) * 86_400_000_000_000, ("A", "B", "C"), {"close": walk(60, whole=True)}, 86_400)
    evaluation = evaluate([tagged, reader], {bars.node_id: panel})
    proofs = prove_all([tagged, reader], evaluation, fingerprint=ONE, cache=FileProofCache(tmp_path))
    assert {proof.name for proof in proofs} == {"close", "weekday"}
    assert len(list(tmp_path.iterdir())) == 1


def test_operators_are_not_for_proving(bars: StreamInput, evaluated: tuple[Node, Evaluation]) -> None:
    node, evaluation = evaluated
    with pytest.raises(ValueError, match="only functions and folds need a proof"):
        prove(bars, evaluation.view(node), evaluation[node.node_id])


def test_a_proof_keeps_its_form_on_disk() -> None:
    proof = Proof("blake3:" + "0" * 64, "node", ProofStatus.PASSED, (), 3, 4, 1)
    assert Proof.parsed(proof.canonical()) == proof  # type: ignore[arg-type]  # the JSON form of a proof is an object
    assert proof.coverage == 0.75
