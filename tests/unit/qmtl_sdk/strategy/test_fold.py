"""Folds: state, null bars, warm-up, and going on from a snapshot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from qmtl_foundation.errors import QmtlError
from qmtl_sdk.strategy import Node, StreamInput
from qmtl_sdk.strategy.compute import FoldStates
from qmtl_sdk.strategy.evaluate import evaluate
from qmtl_sdk.strategy.values import ValueKind

BARS = StreamInput("bars")
CLOSE = BARS["close"]
WALK = 100.0 + np.cumsum(np.random.default_rng(4).normal(size=(120, 3)), axis=0)


def smoothed(state: float | None, bar: Any) -> tuple[float, float]:
    """Average exponentially."""
    state = bar["value"] if state is None else state + 0.1 * (bar["value"] - state)
    return state, state


def trailing(state: tuple[float, bool], bar: Any) -> tuple[tuple[float, bool], bool]:
    """Leave at 2% under the highest close, come back at a new high."""
    high, inside = state
    inside = bar.close >= high or (inside and bar.close > 0.98 * high)
    return (max(high, bar.close), inside), inside


def test_fold_equals_pandas_ewm(make_panel: Any) -> None:
    node = Node(smoothed, input=CLOSE, initial=None)
    value = evaluate([node], {BARS.node_id: make_panel({"close": WALK})})[node.node_id].numbers()
    np.testing.assert_allclose(value, pd.DataFrame(WALK).ewm(alpha=0.1, adjust=False).mean(), rtol=1e-12)


def test_resumed_fold_equals_the_whole_at_every_cut(make_panel: Any) -> None:
    node = Node(trailing, input=BARS, initial=(0.0, False), warmup=3)
    whole = evaluate([node], {BARS.node_id: make_panel({"close": WALK})})[node.node_id]
    assert whole.kind is ValueKind.BOOL
    for cut in (1, 2, 3, 50, 119):
        states: FoldStates = {}
        evaluate([node], {BARS.node_id: make_panel({"close": WALK[:cut]})}, folds=states)
        rest = evaluate([node], {BARS.node_id: make_panel({"close": WALK[cut:]})}, folds=states)
        np.testing.assert_array_equal(rest[node.node_id].data, whole.data[cut:])


def test_warmup_bars_are_null(make_panel: Any) -> None:
    node = Node(smoothed, input=CLOSE, initial=None, warmup=10)
    value = evaluate([node], {BARS.node_id: make_panel({"close": WALK})})[node.node_id].numbers()
    assert np.isnan(value[:10]).all()
    assert not np.isnan(value[10:]).any()


def test_null_bar_is_not_folded(make_panel: Any) -> None:
    holed = WALK[:6, :1].copy()
    holed[[0, 3]] = np.nan
    node = Node(lambda state, bar: (state + 1, state), input=CLOSE, initial=0)
    value = evaluate([node], {BARS.node_id: make_panel({"close": holed})})[node.node_id]
    assert value.kind is ValueKind.INT
    np.testing.assert_array_equal(value.numbers()[:, 0], [np.nan, 0, 1, np.nan, 2, 3])


def test_mutable_state_is_each_symbols_own_and_the_snapshot_is_a_copy(make_panel: Any) -> None:
    def summed(state: Any, bar: Any) -> Any:
        state[0] += bar["value"]
        return state, float(state[0])

    node = Node(summed, input=CLOSE, initial=np.zeros(1))
    states: FoldStates = {}
    value = evaluate([node], {BARS.node_id: make_panel({"close": WALK})}, folds=states)[node.node_id].numbers()
    np.testing.assert_allclose(value[-1], WALK.sum(axis=0), rtol=1e-12)
    evaluate([node], {BARS.node_id: make_panel({"close": WALK})}, folds=dict(states))
    assert states[node.node_id]["S0"].state[0] == value[-1, 0]


@pytest.mark.parametrize(
    ("compute", "told"),
    [
        (lambda state, bar: (state, float("nan")), "returned nan; return None"),
        (lambda state, bar: (state, "x"), "returned 'x'"),
        (lambda state, bar: state, "raised TypeError"),
        (
            lambda state, bar: (state, bar["open"]),
            r"no column 'open'; there are value.*\(at 1970-01-01T00:00:00Z for S0\)",
        ),
        (lambda state, bar: (state, bar.open), "no column 'open'"),
        (lambda state, bar: (state, True if bar.value > 100 else 1.0), "booleans and numbers"),
    ],
)
def test_fault_names_node_bar_and_symbol(compute: Any, told: str, make_panel: Any) -> None:
    node = Node(compute, input=CLOSE, initial=0, name="mine")
    with pytest.raises(QmtlError, match=told) as refused:
        evaluate([node], {BARS.node_id: make_panel({"close": WALK})})
    assert refused.value.metadata["node"] == "mine"


def test_exit_of_a_fold_is_an_error_of_the_node(make_panel: Any) -> None:
    def leaving(state: None, bar: Any) -> tuple[None, float]:
        raise SystemExit(3)

    with pytest.raises(QmtlError, match=r"node 'leaving' raised SystemExit: 3 \(at .* for S0\)"):
        evaluate([Node(leaving, input=CLOSE, initial=None)], {BARS.node_id: make_panel({"close": WALK})})


def test_long_value_of_a_fold_is_cut(make_panel: Any) -> None:
    node = Node(lambda state, bar: (state, "x" * 100_000), input=CLOSE, initial=None)
    with pytest.raises(QmtlError, match="returned") as refused:
        evaluate([node], {BARS.node_id: make_panel({"close": WALK})})
    assert len(refused.value.message) < 500
