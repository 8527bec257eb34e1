"""A fold goes on from its snapshot with the same values, wherever it is stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from qmtl_sdk.proofs import FindingKind, Proof, ProofStatus
from qmtl_sdk.strategy.node import Node, StreamInput

Prove = Callable[..., Proof]


def ewm(state: float, bar: Any) -> tuple[float, float]:
    state = 0.9 * state + 0.1 * bar["close"]
    return state, state


def trailing_exit(state: Any, bar: Any) -> tuple[Any, bool]:
    peak, recent = max(state[0], bar.close), np.append(state[1][1:], bar.close)
    out = bar.close < 0.9 * peak
    return ((bar.close if out else peak), recent), not out


def grows_in_place(state: Any, bar: Any) -> tuple[Any, float]:
    state["seen"].append(bar.close)
    return state, sum(state["seen"][-3:])


class Memory:
    """Remember outside any state: code identity takes a registered artifact by its id."""

    artifact_id = "blake3:" + "a" * 64
    calls = 0

    def next(self) -> int:
        self.calls += 1
        return self.calls


MEMORY = Memory()


def remembers_outside(state: float, bar: Any) -> tuple[float, float]:
    return state, bar.close + MEMORY.next()


class Secret:
    """Have no canonical form."""


def opaque(state: Any, bar: Any) -> tuple[Any, float]:
    return Secret(), bar.close


def test_folds_that_keep_all_in_their_state_pass_at_every_bar(bars: StreamInput, prove_on: Prove) -> None:
    for compute, initial in ((ewm, 0.0), (trailing_exit, (0.0, np.zeros(5))), (grows_in_place, {"seen": []})):
        proof = prove_on(Node(compute, bars, initial=initial, warmup=5))
        assert (proof.status, proof.findings) == (ProofStatus.PASSED, ())
        assert (proof.bars_checked, proof.bars_total) == (700, 700)


def test_memory_outside_the_state_is_found(bars: StreamInput, prove_on: Prove) -> None:
    node = Node(remembers_outside, bars, initial=0.0)
    (finding,) = prove_on(node).findings
    assert (finding.kind, finding.node_id, finding.bar) == (
        FindingKind.NOT_RESUMABLE,
        node.node_id,
        "2020-01-02T00:00:00Z",
    )
    assert "keep everything that it remembers in its state" in finding.message


def test_a_state_without_canonical_form_is_found(bars: StreamInput, prove_on: Prove) -> None:
    (finding,) = prove_on(Node(opaque, bars, initial=0.0)).findings
    assert finding.kind is FindingKind.NOT_RESUMABLE
    assert "Secret" in finding.got


def test_a_long_state_is_cut_in_the_finding(bars: StreamInput, prove_on: Prove) -> None:
    def compute(state: tuple[int, ...], bar: Any) -> tuple[tuple[int, ...], float]:
        return (MEMORY.next(),) * 1000, 1.0

    (finding,) = prove_on(Node(compute, bars, initial=())).findings
    assert len(finding.message) < 1000
