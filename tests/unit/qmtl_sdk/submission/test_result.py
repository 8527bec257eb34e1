"""A result shows the runner's own backtest, and keeps it out of the document."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from qmtl_foundation.execution_model import ExecutionModel
from qmtl_sdk.backtest.accounting import account
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.submission.result import Backtest, SubmitResult, SweepCell, SweepResult
from tests.support.command_line import RESULT_FIELDS

DAY_NS = 86_400 * 10**9


@pytest.fixture
def result() -> SubmitResult:
    """Return a result as it comes when nothing was run."""
    return SubmitResult(
        strategy_id="ana/Trend", version="blake3:1", world="w", status="pending", decision=None, activation=None,
        metrics={}, contribution=None, violations=(), allocations=None, precheck=None, downgraded=False,
        downgrade_reason=None, safe_mode=True, dataset_fingerprint="", eval_key="", nodes=(),
    )  # fmt: skip


@pytest.fixture
def backtest() -> Backtest:
    """Return a backtest of one symbol, bought at the second bar's open and sold at the fourth's."""
    prices = np.array([[10.0], [10.0], [11.0], [12.0], [12.0]])
    times = np.arange(1, 6, dtype=np.int64) * DAY_NS
    bars = Panel(times, ("A",), {"open": prices, "close": prices}, 86_400)
    targets = np.array([[1.0], [1.0], [0.0], [0.0], [0.0]])
    return Backtest(account(bars, targets, ExecutionModel()))


def test_frames_are_of_the_bars_and_of_the_round_trips(backtest: Backtest) -> None:
    assert backtest.equity.schema == {"ts": pl.Datetime("ns", "UTC"), "equity": pl.Float64}
    assert backtest.returns["return"].round(12).to_list() == [0.0, 0.0, 0.1, round(1 / 11, 12), 0.0]
    start = backtest.result.initial_cash
    np.testing.assert_allclose(backtest.equity["equity"], start * (1 + backtest.returns["return"]).cum_prod())
    fills = backtest.fills
    assert fills.columns == ["ts", "symbol", "size", "price", "fee"]
    assert fills.select("symbol", "price").rows() == [("A", 10.0), ("A", 12.0)]
    assert fills["size"].sum() == 0.0
    trade = backtest.trades.row(0, named=True)
    assert (trade["symbol"], trade["entry_price"], trade["exit_price"], trade["open"]) == ("A", 10.0, 12.0, False)


def test_document_has_the_fields_that_programs_read(result: SubmitResult, backtest: Backtest) -> None:
    ran = replace(result, backtest=backtest)
    assert result.backtest is None
    assert list(ran.document()) == list(RESULT_FIELDS)
    assert json.loads(ran.json()) == json.loads(result.json())
    assert "Backtest" not in repr(ran)
    assert repr(backtest) == "Backtest(5 bars, equity 1,000,000 to 1,200,000)"


def test_printed_metrics_are_in_the_form_of_their_unit(result: SubmitResult) -> None:
    judged = replace(result, metrics={"sharpe": 0.73456, "cagr": 0.0912, "max_drawdown": 0.5512, "trades": 12_345.0})
    figures = "sharpe 0.73, cagr 9.1%, max_drawdown 55.1%, trades 12,345"
    assert str(judged).splitlines()[1] == f"  {figures}"
    swept = SweepResult((SweepCell({"fast": 5}, judged), SweepCell({"fast": 0}, None, "window: 0; give at least 1")))
    assert str(swept).splitlines() == [f"fast=5: pending, {figures}", "fast=0: window: 0; give at least 1"]


def cell(result: SubmitResult, status: str, **metrics: float) -> SweepCell:
    return SweepCell({"fast": len(metrics)}, replace(result, status=status, metrics=metrics))


def test_best_cell_is_valid_and_best_in_the_direction_of_the_metric(result: SubmitResult) -> None:
    good = cell(result, "valid", sharpe=1.0, max_drawdown=0.3)
    calm = cell(result, "valid", sharpe=0.5, max_drawdown=0.1)
    barred = cell(result, "invalid", sharpe=9.0, max_drawdown=0.0)
    swept = SweepResult((good, calm, barred, SweepCell({}, None, "no")))
    assert swept.best("sharpe") is good
    assert swept.best("max_drawdown") is calm
    assert repr(swept) == "SweepResult(4 cells: 2 valid, 1 invalid, 1 failed)"
    with pytest.raises(ValueError, match=r"none of 0 valid cells \(of 1\) has metric 'sharpe'"):
        SweepResult((barred,)).best()


def test_warnings_are_shown_with_the_verdict(result: SubmitResult) -> None:
    assert "  ! the source went away" in str(replace(result, warnings=("the source went away",)))
