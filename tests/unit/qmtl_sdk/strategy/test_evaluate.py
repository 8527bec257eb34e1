"""The engine: sharing, tag queries, missing data, targets."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.strategy import MatchMode, Node, Strategy, StreamInput, TagQueryNode, long_only
from qmtl_sdk.strategy.evaluate import Memo, evaluate
from qmtl_sdk.strategy.program import build
from qmtl_sdk.strategy.targets import output_array
from qmtl_sdk.strategy.values import Axis

BARS = StreamInput("bars")
WALK = 100.0 + np.cumsum(np.random.default_rng(4).normal(size=(60, 3)), axis=0)


def momentum(view: Any) -> Any:
    """Take the change over five bars."""
    prices = view["value"].array()
    return np.concatenate((np.full(5, np.nan), prices[5:] - prices[:-5]))


class Trend(Strategy):
    """Hold what is above its mean."""

    window: int = 10

    def setup(self) -> None:
        """State equal weights."""
        close = self.bars()["close"]
        self.target(long_only(close > close.rolling_mean(self.window)))


def test_equal_nodes_are_computed_once_also_across_evaluations(make_panel: Any) -> None:
    inputs, memo = {BARS.node_id: make_panel({"close": WALK})}, Memo()
    first = Node(momentum, input=BARS["close"], period=6)
    again = Node(momentum, input=StreamInput("bars")["close"], period=6)
    values = evaluate([first + 1, again + 2], inputs, memo)
    assert len(values) == 4  # the close, the one momentum, and two sums
    assert evaluate([again * 3], inputs, memo)[first.node_id] is values[first.node_id]
    assert evaluate([again * 3], inputs)[first.node_id] is not values[first.node_id]


def test_sweep_over_a_memo_equals_cell_by_cell(make_panel: Any) -> None:
    panel, memo = make_panel({"close": WALK}), Memo()
    for window in (3, 5, 8):
        program = build(Trend(window=window))
        inputs, output = {program.streams[0].node_id: panel}, program.output.nodes[0].node_id
        shared, alone = evaluate(program.nodes, inputs, memo), evaluate(program.nodes, inputs)
        np.testing.assert_array_equal(shared[output].data, alone[output].data)


def test_memo_drops_what_was_used_longest_ago(make_panel: Any) -> None:
    inputs, close = {BARS.node_id: make_panel({"close": WALK})}, BARS["close"]
    memo = Memo(most_bytes=3 * WALK.nbytes)
    evaluate([close + 1, close + 2], inputs, memo)  # the close itself is the third
    evaluate([close + 1, close + 3], inputs, memo)
    assert [each.node_id in memo for each in (close, close + 1, close + 2, close + 3)] == [True, True, False, True]


def test_stream_without_data_is_named() -> None:
    with pytest.raises(QmtlError, match="stream 'sentiment' has no data") as refused:
        evaluate([StreamInput("sentiment")["score"]], {})
    assert refused.value.reason is Reason.DATA_UNAVAILABLE


def test_missing_column_and_symbol_name_what_there_is(make_panel: Any) -> None:
    inputs = {BARS.node_id: make_panel({"close": WALK}, symbols=["A", "B", "C"])}
    with pytest.raises(QmtlError, match="column: 'vwap' is not in 'bars', which has close"):
        evaluate([BARS["vwap"]], inputs)
    with pytest.raises(QmtlError, match="symbol: 'Z' is not in the data, which has A, B, C"):
        evaluate([BARS["close"].symbol("Z")], inputs)


def test_values_and_panels_are_read_only(make_panel: Any) -> None:
    node = BARS["close"].rolling_mean(3)
    values = evaluate([node], {BARS.node_id: make_panel({"close": WALK})})
    with pytest.raises(ValueError, match="read-only"):
        values[node.node_id].data[0] = 1.0


def test_tag_query_gives_a_column_for_each_match(make_panel: Any) -> None:
    close = BARS["close"]
    fast = Node(momentum, input=close, period=6, name="fast", tags=["alpha", "short"])
    slow = Node(momentum, input=close.rolling_mean(3), period=6, name="slow", tags=["alpha"])

    def averaged(view: Any) -> Any:
        found = view["value"]
        return (found.array("fast") + found.array("slow")) / 2

    mixed = Node(averaged, input=TagQueryNode(["alpha"]), period=1)
    values = evaluate([fast, slow, mixed], {BARS.node_id: make_panel({"close": WALK})})
    expected = (values[fast.node_id].numbers() + values[slow.node_id].numbers()) / 2
    np.testing.assert_array_equal(values[mixed.node_id].numbers(), expected)
    assert list(values.view(mixed)["value"].columns) == ["fast", "slow"]


def test_tag_query_matches_all_or_any_on_its_interval() -> None:
    close = BARS["close"]
    both = Node(momentum, input=close, period=6, tags=["a", "b"])
    one = Node(momentum, input=close, period=6, tags=["a"])
    assert [TagQueryNode(["a", "b"], match_mode=MatchMode.ALL).matches(node) for node in (both, one)] == [True, False]
    assert [TagQueryNode(["a", "b"]).matches(node) for node in (both, one)] == [True, True]
    assert not TagQueryNode(["a"], interval="1h").matches(one)


def test_tag_query_that_finds_nothing_or_itself_is_refused() -> None:
    query = TagQueryNode(["alpha"])
    with pytest.raises(QmtlError, match="no node of the strategy has any of the tags alpha"):
        evaluate([Node(momentum, input=query, period=6)], {})
    with pytest.raises(QmtlError, match="nodes need each other") as refused:
        evaluate([Node(momentum, input=query, period=6, tags=["alpha"])], {})
    assert refused.value.reason is Reason.GRAPH_CYCLE
    assert "momentum" in refused.value.metadata["path"]
    assert refused.value.metadata["node"].startswith("blake3:")


def test_chain_longer_than_the_stack_is_evaluated(make_panel: Any) -> None:
    node: Node = BARS["close"]
    for _ in range(3_000):
        node = node + 1
    values = evaluate([node], {BARS.node_id: make_panel({"close": WALK[:2]})})
    np.testing.assert_allclose(values[node.node_id].numbers(), WALK[:2] + 3_000)


def test_targets_lie_on_the_worlds_symbols(make_panel: Any) -> None:
    class Pair(Strategy):
        def setup(self) -> None:
            close = self.bars()["close"]
            rich = (close.symbol("A") - close.symbol("B")) > 0
            self.target({"A": rich.when(-0.5, else_=0.5), "B": rich.when(0.5, else_=-0.5)})

    panel = make_panel({"close": WALK}, symbols=["A", "B", "C"])
    program = build(Pair)
    world = Axis(panel.timestamps, panel.symbols)
    evaluation = evaluate(program.nodes, {program.streams[0].node_id: panel})
    weights = output_array(program, evaluation, world)
    rich = WALK[:, 0] > WALK[:, 1]
    np.testing.assert_array_equal(
        weights, np.column_stack([np.where(rich, -0.5, 0.5), np.where(rich, 0.5, -0.5), rich * 0])
    )
    with pytest.raises(QmtlError, match="'A' is not among the world's symbols"):
        output_array(program, evaluation, Axis(panel.timestamps, ("X", "Y")))


def test_panel_target_of_another_interval_is_held_until_the_next_bar(make_panel: Any) -> None:
    class Daily(Strategy):
        def setup(self) -> None:
            self.target(self.bars(interval="1d")["close"])

    daily = make_panel({"close": [1.0, 2.0]}, closes_s=[86_400, 172_800])
    program = build(Daily)
    evaluation = evaluate(program.nodes, {program.streams[0].node_id: daily})
    hours = Axis(np.array([80_000, 86_400, 90_000, 172_800]) * 10**9, ("S0",))
    np.testing.assert_array_equal(output_array(program, evaluation, hours)[:, 0], [np.nan, 1.0, 1.0, 2.0])


def test_program_without_output_has_no_targets() -> None:
    class Silent(Strategy):
        pass

    program = build(Silent)
    with pytest.raises(QmtlError, match="Silent states no output"):
        output_array(program, evaluate(program.nodes, {}), Axis(np.array([0]), ("A",)))


def test_importing_strategy_loads_neither_numba_nor_polars() -> None:
    code = "import sys, qmtl_sdk.strategy.targets; print({'numba', 'polars', 'talib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
