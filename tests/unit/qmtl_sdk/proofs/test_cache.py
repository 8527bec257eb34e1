"""Proofs are found again by node and data, and only then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.proofs import Budget, Proof, ProofCache, ProofStatus, prove, prove_all
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
    cache = ProofCache(tmp_path / "proofs")
    (first,) = prove_all([node], evaluation, fingerprint=ONE, cache=cache)
    assert first.status is ProofStatus.FAILED
    steps: list[str] = []
    again = prove_all(
        [node],
        evaluation,
        fingerprint=ONE,
        cache=ProofCache(tmp_path / "proofs"),
        on_step=lambda name, _done, _total: steps.append(name),
    )
    assert (again, steps) == ((first,), [])


def test_other_data_or_another_budget_is_another_proof(tmp_path: Path, evaluated: tuple[Node, Evaluation]) -> None:
    node, evaluation = evaluated
    cache = ProofCache(tmp_path)
    prove_all([node], evaluation, fingerprint=ONE, cache=cache)
    prove_all([node], evaluation, fingerprint=OTHER, cache=cache)
    prove_all([node], evaluation, fingerprint=ONE, cache=cache, budget=Budget(calls=9))
    prove_all([node], evaluation, fingerprint=ONE, cache=cache, changed_at=np.array([1]))
    assert len(list(tmp_path.iterdir())) == 4


def test_a_damaged_file_is_proven_again(tmp_path: Path, evaluated: tuple[Node, Evaluation]) -> None:
    node, evaluation = evaluated
    (first,) = prove_all([node], evaluation, fingerprint=ONE, cache=ProofCache(tmp_path))
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (b"", b"{}", whole[:-1], whole.replace(b"failed", b"passed"), whole.replace(b":59", b":58")):
        file.write_bytes(damaged)
        assert prove_all([node], evaluation, fingerprint=ONE, cache=ProofCache(tmp_path)) == (first,)


def test_another_release_of_what_computes_is_another_proof(
    tmp_path: Path, evaluated: tuple[Node, Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, evaluation = evaluated
    for release in ("1", "2"):
        monkeypatch.setattr("qmtl_sdk.libraries.version", lambda name, at=release: at if name == "qmtl" else "0")
        prove_all([node], evaluation, fingerprint=ONE, cache=ProofCache(tmp_path))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, evaluated: tuple[Node, Evaluation]) -> None:
    node, evaluation = evaluated
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(QmtlError, match="choose another cache folder") as caught:
        prove_all([node], evaluation, fingerprint=ONE, cache=ProofCache(tmp_path / "file"))
    assert caught.value.reason is Reason.NOT_CONFIGURED


def test_the_folder_of_proofs_is_bounded(tmp_path: Path) -> None:
    cache = ProofCache(tmp_path, max_bytes=2_000)
    for number in range(40):
        cache.put(f"blake3:{number}", Proof(f"blake3:{number}", "node", ProofStatus.PASSED, (), 3, 4))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2_000 * 17 / 16


def test_what_hangs_on_a_tag_query_is_not_cached(
    tmp_path: Path, bars: StreamInput, walk: Walk, cheats: ModuleType
) -> None:
    tagged = Node(cheats.shift_numpy, bars, period=2, tags=["trend"], name="close")
    reader = Node(cheats.weekday, TagQueryNode(["trend"], "1d"), period=1)
    panel = Panel(np.arange(1, 61) * 86_400_000_000_000, ("A", "B", "C"), {"close": walk(60, whole=True)}, 86_400)
    evaluation = evaluate([tagged, reader], {bars.node_id: panel})
    proofs = prove_all([tagged, reader], evaluation, fingerprint=ONE, cache=ProofCache(tmp_path))
    assert {proof.name for proof in proofs} == {"close", "weekday"}
    assert len(list(tmp_path.iterdir())) == 1


def test_operators_are_not_for_proving(bars: StreamInput, evaluated: tuple[Node, Evaluation]) -> None:
    node, evaluation = evaluated
    with pytest.raises(ValueError, match="only functions and folds need a proof"):
        prove(bars, evaluation.view(node), evaluation[node.node_id])


def test_a_proof_keeps_its_form_on_disk() -> None:
    proof = Proof("blake3:" + "0" * 64, "node", ProofStatus.PASSED, (), 3, 4, 1)
    assert Proof.parsed(proof.canonical()) == proof
    assert proof.coverage == 0.75
