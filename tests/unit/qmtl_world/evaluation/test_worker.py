"""Submitted series are checked, and all metrics are the world's own; peers: empyrical-reloaded, NumPy."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import empyrical
import numpy as np
import polars as pl
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.statistics import METRICS
from qmtl_world.evaluation.model import EvaluationTask, ReturnSeries, Side
from qmtl_world.evaluation.series import MAX_RETURN_ROWS
from qmtl_world.evaluation.worker import evaluate_series, lean
from tests.support.cohorts import DAY_NS, Compression, arrow, days

BARS = 300
TS = days(BARS)
RET = np.random.default_rng(7).normal(0.001, 0.01, BARS)
RETURNS = arrow({"ts": TS, "return": RET})
TASK = EvaluationTask(RETURNS, b"", b"", 252.0)


def targets(ts: object, symbol: list[str], weight: list[float | None]) -> bytes:
    return arrow(
        {"ts": ts, "symbol": pl.Series(symbol, dtype=pl.String), "weight": pl.Series(weight, dtype=pl.Float64)}
    )


def trades(**changes: object) -> bytes:
    columns: dict[str, object] = {
        "symbol": ["A", "B", "A"],
        "entry_ts": TS[[1, 2, 5]],
        "exit_ts": TS[[4, 8, 9]],
        "size": [1.0, 2.0, 1.0],
        "entry_price": [10.0, 10.0, 10.0],
        "exit_price": [11.0, 9.0, 10.5],
        "fees": [0.0, 0.0, 0.0],
        "pnl": [1.0, -2.0, 0.5],
        "return": [0.1, -0.1, 0.05],
        "open": [False, False, True],
    }
    return arrow(columns | changes, ("entry_ts", "exit_ts"))


def refusal(task: EvaluationTask) -> QmtlError:
    with pytest.raises(QmtlError) as caught:
        evaluate_series(task)
    assert caught.value.reason is Reason.INVALID_SERIES
    return caught.value


def test_metrics_are_all_of_the_catalog_and_agree_with_empyrical() -> None:
    found = evaluate_series(TASK)
    assert set(found.metrics) == set(METRICS)
    assert found.metrics["sharpe"] == pytest.approx(empyrical.sharpe_ratio(RET), rel=1e-12)
    assert found.metrics["max_drawdown"] == pytest.approx(-empyrical.max_drawdown(RET), rel=1e-12)
    assert (found.sample.bars, found.sample.trades) == (BARS, 0)
    assert found.sample.years == pytest.approx(BARS / 252)


def test_returns_alone_have_no_target_and_no_position_metrics() -> None:
    found = evaluate_series(TASK)
    assert not found.has_target
    assert found.side is Side.NEUTRAL
    assert np.isnan([found.metrics["turnover"], found.metrics["trades"], found.risk.max_gross]).all()


def test_targets_hold_until_the_next_change_and_null_holds() -> None:
    stream = targets(TS[[0, 100, 100, 200]], ["B", "A", "B", "A"], [0.5, -1.0, 0.0, None])
    found = evaluate_series(replace(TASK, targets=stream))
    assert found.has_target
    assert found.metrics["average_net"] == pytest.approx((0.5 * 100 - 1.0 * 200) / BARS)
    assert found.metrics["average_gross"] == pytest.approx((0.5 * 100 + 1.0 * 200) / BARS)
    assert (found.risk.max_gross, found.risk.max_abs_net, found.risk.max_weight) == (1.0, 1.0, 1.0)
    assert found.side is Side.SHORT


def test_targets_that_never_name_a_symbol_are_none() -> None:
    found = evaluate_series(replace(TASK, targets=targets(TS[:0], [], [])))
    assert not found.has_target
    assert (found.metrics["average_gross"], found.metrics["turnover"], found.risk.max_gross) == (0.0, 0.0, 0.0)


def test_open_round_trips_do_not_count() -> None:
    found = evaluate_series(replace(TASK, trades=trades()))
    assert (found.metrics["trades"], found.sample.trades) == (2.0, 2)
    assert found.metrics["win_rate"] == pytest.approx(0.5)
    assert found.metrics["average_holding_bars"] == pytest.approx((3 + 6) / 2)


def test_more_trials_deflate_the_sharpe_ratio() -> None:
    few = evaluate_series(replace(TASK, trials=3, trial_sharpes=(0.1, 0.9)))
    many = evaluate_series(replace(TASK, trials=300, trial_sharpes=(0.1, 0.9)))
    assert few.metrics["psr"] == many.metrics["psr"]
    assert few.metrics["deflated_sharpe"] > many.metrics["deflated_sharpe"]


def test_overfitting_needs_other_trials_on_the_same_bars() -> None:
    rng = np.random.default_rng(1)
    same = tuple(ReturnSeries(TS, rng.normal(0, 0.01, BARS)) for _ in range(4))
    short = ReturnSeries(TS[10:], RET[10:])
    assert np.isnan(evaluate_series(TASK).metrics["pbo"])
    assert np.isnan(evaluate_series(TASK, (short,)).metrics["pbo"])
    probability = evaluate_series(TASK, (*same, short)).metrics["pbo"]
    assert probability == evaluate_series(TASK, same).metrics["pbo"]
    assert 0.0 <= probability <= 1.0


def test_equity_curve_starts_at_one_and_ends_at_the_equity() -> None:
    curve = evaluate_series(TASK).equity_curve
    assert len(curve) == 64
    assert curve[0] == 1.0
    assert curve[-1] == pytest.approx(float(np.prod(1 + RET)))
    assert evaluate_series(replace(TASK, returns=arrow({"ts": TS[:1], "return": [0.5]}))).equity_curve == (1.0, 1.5)


def test_absurd_and_ruinous_returns_have_finite_answers() -> None:
    for value in (1e6, -1.0, 0.0):
        found = evaluate_series(replace(TASK, returns=arrow({"ts": TS, "return": np.full(BARS, value)})))
        assert np.isfinite(found.equity_curve).all()
        assert not np.isinf(list(found.metrics.values())).any()


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_hash_is_of_values_not_of_their_encoding(compression: Compression) -> None:
    whole = evaluate_series(TASK).series_hash
    again = arrow({"return": RET, "ts": TS}, compression=compression)
    assert evaluate_series(replace(TASK, returns=again)).series_hash == whole
    other = RET.copy()
    other[-1] = np.nextafter(other[-1], 1.0)
    assert evaluate_series(replace(TASK, returns=arrow({"ts": TS, "return": other}))).series_hash != whole


def test_hash_tells_a_null_target_from_a_zero_and_symbols_apart() -> None:
    rows = (
        (["AB", "C"], [0.0, 0.0]),
        (["AB", "C"], [None, 0.0]),
        (["A", "BC"], [0.0, 0.0]),
        (["AB", "C"], [-0.0, 0.0]),
    )
    hashes = [evaluate_series(replace(TASK, targets=targets(TS[[0, 0]], *row))).series_hash for row in rows]
    assert hashes[0] == hashes[3]
    assert len(set(hashes)) == 3


def test_long_short_and_neutral_are_told_by_a_tenth_of_gross() -> None:
    assert lean(0.11, 1.0) is Side.LONG
    assert lean(-0.11, 1.0) is Side.SHORT
    assert lean(0.1, 1.0) is Side.NEUTRAL
    assert lean(float("nan"), float("nan")) is Side.NEUTRAL


def test_worker_process_computes_the_same() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(evaluate_series, TASK).result().series_hash == evaluate_series(TASK).series_hash


def test_result_travels_between_processes() -> None:
    found = evaluate_series(TASK)
    assert pickle.loads(pickle.dumps(found)).metrics == pytest.approx(dict(found.metrics), nan_ok=True)  # noqa: S301  # our own bytes


def changed(row: int, value: float) -> bytes:
    ret = RET.copy()
    ret[row] = value
    return arrow({"ts": TS, "return": ret})


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (changed(5, np.nan), "returns.return: row 5 (1970-01-07T00:00:00Z): nan must be finite"),
        (changed(5, np.inf), "returns.return: row 5 (1970-01-07T00:00:00Z): inf must be finite"),
        (changed(5, -1.01), "returns.return: row 5 (1970-01-07T00:00:00Z): -1.01 loses more than all"),
        (changed(5, 2e6), "returns.return: row 5 (1970-01-07T00:00:00Z): 2000000.0 is beyond 1e+06"),
        (arrow({"ts": TS[:0], "return": RET[:0]}), "returns: empty; submit at least one bar"),
        (
            arrow({"ts": TS[::-1], "return": RET}),
            "returns.ts: row 1 (1970-10-27T00:00:00Z): 1970-10-27T00:00:00Z is before",
        ),
        (
            arrow({"ts": TS[[0, 1, 1]], "return": RET[:3]}),
            "returns.ts: row 2 (1970-01-03T00:00:00Z): 1970-01-03T00:00:00Z is",
        ),
        (arrow({"ts": TS[:3] + 7, "return": [0.0, None, 0.1]}), "returns.return: row 1: null"),
        (arrow({"ts": TS, "ret": RET}), "returns: has the columns (ts Datetime"),
        (arrow({"ts": TS, "return": RET.astype(np.float32)}), "returns: has the columns"),
        (arrow({"ts": TS, "return": RET, "sharpe": RET}), "returns: has the columns"),
        (b"", "returns: is no Arrow IPC stream"),
        (b"not arrow at all", "returns: is no Arrow IPC stream"),
        (RETURNS[:-8], "returns: is no Arrow IPC stream"),
        (RETURNS[: len(RETURNS) // 2], "returns: is cut off"),
        (RETURNS + RETURNS, "returns: goes on after its end marker"),
        (pickle.dumps([1, 2, 3]), "returns: is no Arrow IPC stream"),
    ],
)
def test_bad_returns_are_refused_by_field_row_and_time(stream: bytes, message: str) -> None:
    error = refusal(replace(TASK, returns=stream))
    assert error.message.startswith(message)
    assert error.violations[0].field == error.metadata["field"]


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (targets(TS[[3]] + 1, ["A"], [1.0]), "targets.ts: row 0 (1970-01-05T00:00:00.000000001Z)"),
        (
            targets(TS[[3, 2]], ["A", "A"], [1.0, 0.0]),
            "targets.ts: row 1 (1970-01-04T00:00:00Z): 1970-01-04T00:00:00Z is",
        ),
        (targets(TS[[3]], ["A"], [float("nan")]), "targets.weight: row 0 (1970-01-05T00:00:00Z): nan must be finite"),
        (targets(TS[[3]], ["A"], [1e4]), "targets.weight: row 0 (1970-01-05T00:00:00Z): 10000.0 is beyond 1000"),
        (
            targets(TS[[3, 3]], ["A", "A"], [1.0, 0.5]),
            "targets.symbol: row 1 (1970-01-05T00:00:00Z): A has two weights",
        ),
        (b"x", "targets: is no Arrow IPC stream"),
    ],
)
def test_bad_targets_are_refused_by_field_row_and_time(stream: bytes, message: str) -> None:
    assert refusal(replace(TASK, targets=stream)).message.startswith(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pnl": [1.0, np.nan, 0.0]}, "trades.pnl: row 1 (1970-01-04T00:00:00Z): nan must be finite"),
        ({"exit_ts": TS[[4, 1, 9]]}, "trades.exit_ts: row 1 (1970-01-04T00:00:00Z): 1970-01-03T00:00:00Z is before"),
        ({"entry_ts": TS[[1, 2, 5]] - 1}, "trades.entry_ts: row 0 (1970-01-02T23:59:59.999999999Z)"),
        ({"open": [0, 0, 1]}, "trades: has the columns"),
    ],
)
def test_bad_trades_are_refused_by_field_row_and_time(changes: dict[str, object], message: str) -> None:
    assert refusal(replace(TASK, trades=trades(**changes))).message.startswith(message)


def test_compressed_stream_that_would_unpack_huge_is_refused_before_it_is_unpacked() -> None:
    rows = 10_000
    small = arrow({"ts": np.zeros(rows, dtype=np.int64), "return": np.zeros(rows)}, compression="zstd")
    assert "is stated twice" in refusal(replace(TASK, returns=small)).message
    at = small.rindex((rows * 8).to_bytes(8, "little"))
    bomb = small[:at] + (2**40).to_bytes(8, "little") + small[at + 8 :]
    assert "bytes of columns, at most" in refusal(replace(TASK, returns=bomb)).message


def test_more_rows_than_the_limit_are_refused_before_they_are_unpacked() -> None:
    rows = MAX_RETURN_ROWS + 1
    many = arrow({"ts": np.zeros(rows, dtype=np.int64), "return": np.zeros(rows)}, compression="zstd")
    assert "rows, at most" in refusal(replace(TASK, returns=many)).message


def test_targets_of_too_many_symbols_are_refused_before_they_are_laid_out() -> None:
    bars = days(5_000)
    count = 5_000
    wide = targets(np.full(count, DAY_NS), [f"S{i}" for i in range(count)], [0.0] * count)
    task = replace(TASK, returns=arrow({"ts": bars, "return": np.zeros(bars.size)}), targets=wide)
    assert "5000 bars of 5000 symbols" in refusal(task).message
