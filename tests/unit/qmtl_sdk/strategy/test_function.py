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
from qmtl_sdk.strategy.function import STRETCH_BARS, compute_function
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


def test_nan_at_the_last_bars_alone_is_told_from_others(run: Any) -> None:
    def ahead(view: Any) -> Any:
        return np.append(np.ones(4), np.nan)

    with pytest.raises(QmtlError, match=r"NaN .*; at the last bars alone it often comes of look-ahead: shift\(-1\)"):
        run(Node(ahead, input=CLOSE, period=1))

    def unknown(view: Any) -> Any:
        return np.full(5, np.nan)

    with pytest.raises(QmtlError, match=r"return null for the unknown$"):
        run(Node(unknown, input=CLOSE, period=1))


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


@pytest.mark.parametrize("cross_section", [False, True])
def test_function_sees_memory_of_its_own(run: Any, cross_section: bool) -> None:
    def alone(view: Any) -> Any:
        source = view[BARS]
        behind = [source.column("close").data.base, source.timestamps.base, view.axis.timestamps.base]
        return np.full(source.array("close").shape, behind == [None, None, None])

    assert run(Node(alone, input=BARS, period=1, cross_section=cross_section)).data.all()


@pytest.mark.parametrize("tolerance", [1e9, 1.1e-6, -1e-9, float("nan"), float("inf"), True, "1e-9", None])
def test_tolerance_beyond_rounding_is_refused(tolerance: Any) -> None:
    with pytest.raises(QmtlError, match=r"tolerance: .* on node 'doubled' is outside \[0, 1e-06\]") as refused:
        Node(doubled, input=BARS, period=1, tolerance=tolerance)
    assert refused.value.violations[0].field == "tolerance"


@pytest.mark.parametrize("tolerance", [0, 1e-6])
def test_tolerance_of_rounding_is_kept(tolerance: float) -> None:
    assert Node(doubled, input=BARS, period=1, tolerance=tolerance).tolerance == tolerance


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, BaseException])
def test_exit_of_a_function_is_an_error_of_the_node(run: Any, error: type[BaseException]) -> None:
    def leaving(view: Any) -> Any:
        raise error("enough")

    with pytest.raises(QmtlError, match=f"node 'leaving' raised {error.__name__}: enough") as refused:
        run(Node(leaving, input=CLOSE, period=1))
    assert refused.value.reason is Reason.INVALID_STRATEGY


def test_interrupt_passes_through_a_function(run: Any) -> None:
    def interrupted(view: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Node(interrupted, input=CLOSE, period=1))


def test_long_text_of_an_exception_is_cut(run: Any) -> None:
    def talkative(view: Any) -> Any:
        raise ValueError("x" * 100_000)

    with pytest.raises(QmtlError) as refused:
        run(Node(talkative, input=CLOSE, period=1))
    assert refused.value.message == f"node 'talkative' raised ValueError: {'x' * 300}…"


@pytest.mark.parametrize("cross_section", [False, True])
def test_constant_expression_is_the_same_on_every_bar(run: Any, cross_section: bool) -> None:
    node = Node(lambda view: pl.lit(1.5), input=CLOSE, period=1, cross_section=cross_section)
    np.testing.assert_array_equal(run(node).numbers(), np.full((5, 2), 1.5))


def test_aggregate_of_the_whole_history_is_refused(run: Any) -> None:
    with pytest.raises(QmtlError, match="returned 1 rows; expected 5, one for each row of the view"):
        run(Node(lambda view: pl.col("value").mean(), input=CLOSE, period=1))


@pytest.mark.parametrize("returned", [np.asarray, pl.Series])
def test_infinite_value_is_refused_with_its_bar_and_symbol(run: Any, returned: Any) -> None:
    def inverse(view: Any) -> Any:
        return returned(np.where(view[CLOSE].array() == 80.0, np.inf, 1.0))

    with pytest.raises(QmtlError, match="'inverse' returned an infinite value at 1970-01-04T00:00:00Z for S1") as told:
        run(Node(inverse, input=CLOSE, period=2))
    assert told.value.metadata["symbol"] == "S1"


@pytest.mark.parametrize(("method", "field"), [("rolling_corr", "other"), ("neutralize", "exposure")])
def test_number_in_place_of_a_node_is_refused_by_name(method: str, field: str) -> None:
    rest = (5,) if method == "rolling_corr" else ()
    with pytest.raises(QmtlError, match=f"{field}: 3 must be a node") as refused:
        getattr(CLOSE, method)(3, *rest)
    assert refused.value.violations[0].field == field


def running_sum(view: Any) -> Any:
    """Return a rolling sum of 20 bars that accumulates."""
    sums = np.cumsum(np.nan_to_num(view["value"].array()))
    sums[20:] -= sums[:-20].copy()
    return sums


def test_value_carries_no_bits_of_bars_before_its_stretch(run: Any) -> None:
    node = Node(running_sum, input=CLOSE, period=20)
    random = np.random.default_rng(1)
    close = random.normal(size=(2 * STRETCH_BARS + 10, 2)) * 10.0 ** random.integers(0, 9, size=2)
    whole = run(node, close).data
    first = STRETCH_BARS - 19  # the window before the second stretch
    alone = run(node, close[first : first + STRETCH_BARS]).data
    assert whole[STRETCH_BARS : first + STRETCH_BARS].tobytes() == alone[19:].tobytes()
    part = run(node, close[: STRETCH_BARS + 50]).data
    assert whole[: STRETCH_BARS + 50].tobytes() == part.tobytes()


def test_stretch_is_as_long_as_the_period(run: Any) -> None:
    def place(view: Any) -> Any:
        return np.arange(float(len(view["value"].array())))

    period = STRETCH_BARS + 5
    value = run(Node(place, input=CLOSE, period=period), np.ones((period + 1, 1))).data[:, 0]
    np.testing.assert_array_equal(value, [np.nan] * (period - 1) + [period - 1.0] * 2)


def test_kinds_of_all_stretches_meet(run: Any) -> None:
    def late(view: Any) -> Any:
        close = view["value"].array()
        return close > 0 if close[-1] == 1.0 else close

    prices = np.concatenate([np.zeros(STRETCH_BARS), np.ones(5)])
    with pytest.raises(QmtlError, match="booleans here and numbers there"):
        run(Node(late, input=CLOSE, period=1), prices)
