"""The proof of a fold: stop anywhere, go on from the snapshot, same values.

By induction over the bars: one step from the snapshot before each bar gives the value of the whole run and the next
snapshot, whatever was computed in between. The steps run in a seeded random order, so that anything which a fold
keeps outside its state shows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qmtl_foundation.errors import QmtlError
from qmtl_foundation.identity import Json
from qmtl_sdk.proofs.agreement import seed_of, text_of
from qmtl_sdk.proofs.model import Budget, Finding, FindingKind, Proof, ProofStatus
from qmtl_sdk.strategy.evaluate import OnStep
from qmtl_sdk.strategy.fold import run_fold
from qmtl_sdk.strategy.function import cut
from qmtl_sdk.strategy.node import Node
from qmtl_sdk.strategy.state import FoldState, canonical_state
from qmtl_sdk.strategy.values import Value
from qmtl_sdk.strategy.view import View

Snapshots = Mapping[str, FoldState]


def prove_fold(node: Node, view: View, full: Value, budget: Budget, on_step: OnStep) -> Proof:
    """Prove one fold; ``full`` is its value over the whole of ``view``, from the first bar on."""
    bars, symbols = full.data.shape
    allowed = max(1, budget.calls // max(1, symbols))
    order = np.random.default_rng(seed_of(node)).permutation(bars)[:allowed].tolist()
    steps = bars + len(order)
    before: list[Snapshots] = [{}]  # the states before each bar and after the last, each from a run that stopped there
    for bar in range(bars):
        on_step(node.name, bar, steps)
        before.append(run_fold(node, view.rows(bar, bar + 1), before[-1])[1])
    found = {}
    for done, bar in enumerate(order, bars):
        on_step(node.name, done, steps)
        if (finding := _step(node, view, full, before, bar)) is not None:
            found[bar] = finding
    findings = (found[min(found)],) if found else ()
    status = ProofStatus.FAILED if findings else ProofStatus.PASSED
    return Proof(node.node_id, node.name, status, findings, len(order), bars)


def _step(node: Node, view: View, full: Value, snapshots: list[Snapshots], bar: int) -> Finding | None:
    """Go on from the snapshot before one bar; return what differs from the whole run."""
    expected = full.numbers()[bar]
    try:
        value, after = run_fold(node, view.rows(bar, bar + 1), snapshots[bar])
        got = value.numbers()[0]
        states = [_canonical(node, states) for states in (snapshots[bar + 1], after)]
    except QmtlError as error:
        return _finding(node, view, bar, 0, text_of(expected[0], full.kind), error.message)
    for index, symbol in enumerate(view.axis.symbols):
        if not np.array_equal(expected[index], got[index], equal_nan=True):
            return _finding(
                node, view, bar, index, text_of(expected[index], full.kind), text_of(got[index], value.kind)
            )
        if states[0][symbol] != states[1][symbol]:
            return _finding(node, view, bar, index, *_shown(states, symbol))
    return None


def _canonical(node: Node, states: Snapshots) -> dict[str, Json]:
    return {symbol: [found.bars, canonical_state(node.name, found.state)] for symbol, found in states.items()}


def _shown(states: list[dict[str, Json]], symbol: str) -> tuple[str, str]:
    one, other = (cut(f"state {found[symbol]}") for found in states)
    return one, other


def _finding(node: Node, view: View, bar: int, symbol: int, expected: str, got: str) -> Finding:
    when, name = view.axis.when(bar), view.axis.symbols[symbol]
    message = (
        f"fold {node.name!r} does not go on from its snapshot at {when} for {name}: {expected} in one run, {got} after "
        "a stop; keep everything that it remembers in its state"
    )
    return Finding(FindingKind.NOT_RESUMABLE, node.name, node.node_id, when, name, expected, got, message)
