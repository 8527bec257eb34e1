"""What a function node sees, and what may leave it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.strategy import Node, StreamInput
from qmtl_sdk.strategy.evaluate import Evaluation, evaluate
from qmtl_sdk.strategy.function import compute_function
from qmtl_sdk.strategy.values import Value, ValueKind
from qmtl_sdk.strategy.view import View

BARS = StreamInput("bars")
CLOSE = BARS["close"]
PRICES = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, np.nan], [8.0, 80.0], [16.0, 160.0]])


@pytest.fixture
def run(make_panel: Any) -> Callable[..., Value]:
    """Evaluate one function node on the prices."""

    def value(node: Node, prices: Any = PRICES) -> Value:
        return evaluate([node], {BARS.node_id: make_panel({"close": prices, "open": prices})})[node.node_id]

    return value


def doubled(view: Any) -> Any:
    """Double the closes."""
    return view[BARS].array("close") * 2


@pytest.fixture
def view(make_panel: Any) -> View:
    """Return what a function of the bars is given for the second symbol."""
    node = Node(doubled, input=BARS, period=1)
    return evaluate([node], {BARS.node_id: make_panel({"close": PRICES, "open": PRICES})}).view(node).only(1)


def test_array_is_one_symbols_time_and_read_only(run: Any, view: View) -> None:
    np.testing.assert_array_equal(run(Node(doubled, input=BARS, period=1)).numbers(), PRICES * 2)
    assert view[BARS].symbols == ("S1",)
    assert view[BARS].timestamps.shape == view[BARS].array("close").shape == (5,)
    with pytest.raises(ValueError, match="read-only"):
        view[BARS].array("close")[0] = 1.0


def test_cross_section_sees_all_symbols(run: Any) -> None:
    def spread(view: Any) -> Any:
        prices = view[CLOSE].array()
        return prices - prices[:, :1]

    node = Node(spread, input=CLOSE, period=1, cross_section=True)
    np.testing.assert_array_equal(run(node).numbers(), PRICES - PRICES[:, :1])


def test_frame_has_time_symbol_and_nulls(view: View) -> None:
    frame = view[BARS].frame()
    assert frame.columns == ["ts", "symbol", "close", "open"]
    assert frame["symbol"].unique().to_list() == ["S1"]
    assert frame["close"].to_list() == [10.0, 20.0, None, 80.0, 160.0]
    assert frame.schema["ts"] == pl.Datetime("ns", "UTC")


@pytest.mark.parametrize(
    "compute",
    [
        lambda view: pl.col("close").rolling_mean(2),
        lambda view: view[BARS].frame()["close"].rolling_mean(2),
        lambda view: view[BARS].frame().select(pl.col("close").rolling_mean(2)).to_series(),
    ],
)
def test_expression_and_series_are_computed_per_symbol(compute: Any, run: Any) -> None:
    expected = [[np.nan, np.nan], [1.5, 15.0], [3.0, np.nan], [6.0, np.nan], [12.0, 120.0]]
    np.testing.assert_array_equal(run(Node(compute, input=BARS, period=2)).numbers(), expected)


def test_expression_over_several_inputs_uses_their_names(run: Any) -> None:
    def above(view: Any) -> Any:
        return pl.col("fast") > pl.col("slow")

    node = Node(above, input={"fast": CLOSE, "slow": CLOSE.shift(1)}, period=1)
    value = run(node)
    assert value.kind is ValueKind.BOOL
    assert value.data.tolist() == [[-1, -1], [1, 1], [1, -1], [1, -1], [1, 1]]


def test_integers_and_booleans_keep_their_kind(run: Any) -> None:
    assert run(Node(lambda view: np.arange(5), input=CLOSE, period=1)).kind is ValueKind.INT
    truth = run(Node(lambda view: view[CLOSE].array() > 2, input=CLOSE, period=1))
    assert truth.data[:, 0].tolist() == [0, 0, 1, 1, 1]
    masked = run(Node(lambda view: np.ma.masked_invalid(view[CLOSE].array()) > 2, input=CLOSE, period=1))
    assert masked.data[:, 1].tolist() == [1, 1, -1, 1, 1]


def test_warmup_is_null_whatever_is_returned(run: Any) -> None:
    value = run(Node(lambda view: np.ones(5), input=CLOSE, period=4)).numbers()
    assert np.isnan(value[:3]).all()
    assert (value[3:] == 1.0).all()


def test_nan_of_an_array_is_null_only_where_an_input_is_null_in_the_window(run: Any) -> None:
    def momentum(view: Any) -> Any:
        prices = view[CLOSE].array()
        return prices - np.concatenate(([np.nan], prices[:-1]))

    value = run(Node(momentum, input=CLOSE, period=2)).numbers()
    np.testing.assert_array_equal(np.isnan(value[:, 1]), [True, False, True, True, False])

    def faulty(view: Any) -> Any:
        return np.where(view[CLOSE].array() == 16.0, np.nan, 1.0)

    with pytest.raises(QmtlError, match="'faulty' returned NaN at 1970-01-05T00:00:00Z for S0") as refused:
        run(Node(faulty, input=CLOSE, period=2))
    assert refused.value.metadata == {"node": "faulty", "timestamp": "1970-01-05T00:00:00Z", "symbol": "S0"}


def test_nan_of_polars_is_refused_even_where_an_input_is_null(run: Any) -> None:
    def filled(view: Any) -> Any:
        return pl.col("value").fill_null(float("nan"))

    with pytest.raises(QmtlError, match="'filled' returned NaN at 1970-01-03T00:00:00Z for S1"):
        run(Node(filled, input=CLOSE, period=1))


@pytest.mark.parametrize(
    ("compute", "told"),
    [
        (lambda view: np.ones(4), r"an array \[4\]; expected \[5\]"),
        (lambda view: np.ones((5, 2)), r"an array \[5, 2\]; expected \[5\]"),
        (lambda view: pl.Series([1.0]), "returned 1 rows; expected 5"),
        (lambda view: view[CLOSE].frame(), "returned DataFrame; return one column"),
        (lambda view: 1.0, "returned float"),
        (lambda view: None, "returned NoneType"),
        (lambda view: np.array(["a"] * 5), "an array of <U1"),
        (lambda view: pl.Series(["a"] * 5), "a column of String"),
        (lambda view: np.full(5, np.inf), "infinite"),
        (lambda view: pl.col("nope"), "raised ColumnNotFoundError"),
        (lambda view: view["nope"], "no input of this node; its inputs are value"),
        (lambda view: view[CLOSE].array("nope"), "no column 'nope'; there are value"),
        (lambda view: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_bad_result_names_the_node(compute: Any, told: str, run: Any) -> None:
    with pytest.raises(QmtlError, match=told) as refused:
        run(Node(compute, input=CLOSE, period=1, name="mine"))
    assert refused.value.reason is Reason.INVALID_STRATEGY
    assert refused.value.metadata["node"] == "mine"
    assert "'mine'" in refused.value.message


def test_window_of_the_view_computes_what_the_whole_does(make_panel: Any) -> None:
    def trend(view: Any) -> Any:
        return pl.col("value").rolling_mean(3)

    prices = np.random.default_rng(2).uniform(1, 2, size=(40, 3))
    node = Node(trend, input=CLOSE.pct_change(1), period=3)
    evaluation: Evaluation = evaluate([node], {BARS.node_id: make_panel({"close": prices})})
    whole, view = evaluation[node.node_id].numbers(), evaluation.view(node)
    for bar in (5, 20, 39):
        window = compute_function(node, view.rows(bar - 2, bar + 1)).numbers()
        np.testing.assert_allclose(window[-1], whole[bar], rtol=1e-9)
