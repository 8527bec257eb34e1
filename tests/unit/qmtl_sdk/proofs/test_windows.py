"""Look-ahead is found at its node and bar, too short a period is told from it, and honest functions pass."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

from qmtl_sdk.proofs import Budget, FindingKind, Proof, ProofStatus
from qmtl_sdk.strategy.code import CodeIdentityError
from qmtl_sdk.strategy.node import Node, StreamInput

Prove = Callable[..., Proof]
Walk = Callable[..., np.ndarray]


def day(bar: int) -> str:
    return f"{np.datetime64('2020-01-02') + bar}T00:00:00Z"


@pytest.mark.parametrize(
    ("name", "period", "bar"),
    [
        ("shift_expression", 2, 1),
        ("shift_frame", 2, 1),
        ("shift_numpy", 2, 1),
        ("through_a_helper", 3, 2),
        ("zscore_expression", 20, 19),
        ("zscore_numpy", 20, 19),
        ("centred_expression", 5, 4),
        ("centred_numpy", 5, 4),
        ("one_date_expression", 2, 500),
        ("one_date_numpy", 2, 500),
    ],
)
def test_look_ahead_is_found_at_its_node_and_first_bar(
    cheats: ModuleType, bars: StreamInput, prove_on: Prove, walk: Walk, name: str, period: int, bar: int
) -> None:
    node = Node(getattr(cheats, name), bars, period=period, name="cheat")
    proof = prove_on(node, walk(700, whole=True))
    assert proof.status is ProofStatus.FAILED
    (finding,) = proof.findings
    assert (finding.kind, finding.node, finding.node_id) == (FindingKind.LOOK_AHEAD, "cheat", node.node_id)
    assert (finding.bar, finding.symbol) == (day(bar), finding.symbol)
    assert finding.expected != finding.got
    assert finding.message.startswith(f"node 'cheat' looks ahead at {day(bar)} for ")


@pytest.mark.parametrize(
    ("name", "period"),
    [
        ("honest_shift_expression", 2),
        ("honest_shift_numpy", 2),
        ("honest_zscore_expression", 20),
        ("honest_zscore_frame", 20),
        ("honest_zscore_numpy", 20),
        ("honest_mean_expression", 5),
        ("crossover_expression", 50),
        ("crossover_frame", 50),
        ("below_the_band_expression", 20),
        ("accumulated_difference", 50),
        ("accumulated_crossover", 50),
        ("weekday", 1),
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_honest_functions_pass_at_every_bar_also_on_prices_that_stand_still(
    cheats: ModuleType, bars: StreamInput, prove_on: Prove, walk: Walk, name: str, period: int, seed: int
) -> None:
    proof = prove_on(Node(getattr(cheats, name), bars, period=period), walk(600, seed))
    assert proof.findings == ()
    assert (proof.status, proof.coverage, proof.bars_checked) == (ProofStatus.PASSED, 1.0, 600 - period + 1)


def test_comparisons_that_hang_on_the_last_bits_are_counted_as_ties(
    cheats: ModuleType, bars: StreamInput, prove_on: Prove, walk: Walk
) -> None:
    close = np.round(walk(900), 2)
    proof = prove_on(Node(cheats.crossover_expression, bars, period=50), close)
    assert proof.status is ProofStatus.PASSED
    assert proof.bars_at_a_tie > 0


@pytest.mark.parametrize(
    ("name", "period", "enough"),
    [
        ("crossover_expression", 20, 50),
        ("crossover_frame", 49, 50),
        ("honest_shift_expression", 1, 2),
        ("honest_zscore_numpy", 19, 20),
        ("accumulated_difference", 40, 50),
    ],
)
def test_a_period_stated_too_short_is_told_from_look_ahead(
    cheats: ModuleType, bars: StreamInput, prove_on: Prove, name: str, period: int, enough: int
) -> None:
    proof = prove_on(Node(getattr(cheats, name), bars, period=period))
    assert [finding.kind for finding in proof.findings] == [FindingKind.WARM_UP_TOO_SHORT]
    assert proof.findings[0].bar == day(enough - 1)
    assert f"more than period={period} bars" in proof.findings[0].message
    assert prove_on(Node(getattr(cheats, name), bars, period=enough)).status is ProofStatus.PASSED


def test_look_ahead_behind_a_short_period_is_found_too(bars: StreamInput, prove_on: Prove, walk: Walk) -> None:
    def compute(view: Any) -> np.ndarray:
        close = view["value"].array("close")
        slow = np.append(np.zeros(9), np.convolve(close, np.ones(10) / 10, "valid"))[: len(close)]
        if len(close) > 30:
            slow[30] = close[-1]
        return slow if len(close) >= 10 else np.zeros(len(close))

    findings = prove_on(Node(compute, bars, period=5), walk(700, whole=True)).findings
    kinds = [(finding.kind, finding.bar) for finding in findings]
    assert kinds == [(FindingKind.WARM_UP_TOO_SHORT, day(9)), (FindingKind.LOOK_AHEAD, day(30))]


def test_a_captured_array_is_refused_by_code_identity(bars: StreamInput, walk: Walk) -> None:
    prices = walk(700)[:, 0]

    def compute(view: Any) -> np.ndarray:
        return prices[1 : 1 + len(view["value"].timestamps)]

    with pytest.raises(CodeIdentityError, match="captured value 'prices' of type ndarray has no canonical form"):
        _ = Node(compute, bars, period=2).node_id


def test_a_function_that_tells_windows_from_the_whole_run_is_found(
    bars: StreamInput, prove_on: Prove, walk: Walk
) -> None:
    """It behaves on short inputs, where it cannot look ahead, and cheats on long ones."""

    def compute(view: Any) -> pl.Expr | np.ndarray:
        try:
            close = view["value"].array("close")
        except Exception:
            return pl.col("close") * 2.0
        return close * 2.0 if len(close) < 100 else np.append(close[1:], close[-1:])

    (finding,) = prove_on(Node(compute, bars, period=2), walk(700, whole=True)).findings
    assert finding.kind is FindingKind.LOOK_AHEAD


class Artifact:
    """Count its uses; code identity takes a registered artifact by its id, so that only the proof can see it."""

    artifact_id = "blake3:" + "a" * 64
    uses = 0

    def drift(self) -> float:
        """Return another number each time."""
        self.uses += 1
        return float(self.uses)


ARTIFACT = Artifact()


def test_a_function_whose_artifact_changes_is_not_deterministic(bars: StreamInput, prove_on: Prove) -> None:
    def compute(view: Any) -> np.ndarray:
        return view["value"].array("close") + ARTIFACT.drift()

    (finding,) = prove_on(Node(compute, bars, period=1)).findings
    assert (finding.kind, finding.bar) == (FindingKind.NOT_DETERMINISTIC, day(0))


def test_a_cross_section_is_proven_over_all_symbols(cheats: ModuleType, bars: StreamInput, prove_on: Prove) -> None:
    for function in (cheats.cross_rank, cheats.cross_demean):
        assert prove_on(Node(function, bars, period=1, cross_section=True)).status is ProofStatus.PASSED
    close = np.tile(np.linspace(100.0, 130.0, 40)[:, None], (1, 3))
    (finding,) = prove_on(Node(cheats.cross_ahead, bars, period=3, cross_section=True), close).findings
    assert (finding.kind, finding.bar, finding.symbol) == (FindingKind.LOOK_AHEAD, day(2), "AAPL")


def test_beyond_the_budget_changes_of_the_target_and_a_sample_are_checked(
    cheats: ModuleType, bars: StreamInput, prove_on: Prove, walk: Walk
) -> None:
    close, few = walk(700), Budget(calls=60, stacked=60)
    node = Node(cheats.one_date_numpy, bars, period=2)
    proof = prove_on(node, close, budget=few, changed_at=np.array([cheats.SINGLE_DATE]))
    assert [finding.bar for finding in proof.findings] == [day(500)]
    honest = Node(cheats.honest_shift_expression, bars, period=2)
    proof = prove_on(honest, close, budget=few, changed_at=np.array([cheats.SINGLE_DATE]))
    assert proof.status is ProofStatus.PASSED
    assert 20 <= proof.bars_checked <= 22
    assert proof.coverage == proof.bars_checked / 699
    assert prove_on(honest, close, budget=few, changed_at=np.array([cheats.SINGLE_DATE])) == proof


def test_a_history_shorter_than_the_period_has_nothing_to_prove(
    cheats: ModuleType, bars: StreamInput, prove_on: Prove, walk: Walk
) -> None:
    proof = prove_on(Node(cheats.crossover_expression, bars, period=50), walk(700)[:20])
    assert (proof.status, proof.bars_total, proof.coverage) == (ProofStatus.PASSED, 0, 1.0)


@pytest.mark.parametrize("name", ["through_base_of_the_array", "through_base_of_the_column"])
def test_the_memory_behind_a_window_holds_no_future(
    cheats: ModuleType, bars: StreamInput, prove_on: Prove, walk: Walk, name: str
) -> None:
    proof = prove_on(Node(getattr(cheats, name), bars, period=2), walk(700, whole=True)[:, :1])
    assert [finding.kind for finding in proof.findings] == [FindingKind.LOOK_AHEAD]


def test_rounding_of_a_fourier_transform_near_zero_is_no_look_ahead(
    cheats: ModuleType, bars: StreamInput, prove_on: Prove, walk: Walk
) -> None:
    close = walk(700)
    close[:100] = np.nan
    proof = prove_on(Node(cheats.smoothed_by_fourier, bars, period=10), close)
    assert proof.findings == ()


def test_one_enormous_value_hides_no_look_ahead(
    cheats: ModuleType, bars: StreamInput, prove_on: Prove, walk: Walk
) -> None:
    proof = prove_on(Node(cheats.spiked_look_ahead, bars, period=2), walk(700, whole=True))
    assert [finding.kind for finding in proof.findings] == [FindingKind.LOOK_AHEAD]


def test_a_function_that_accumulates_over_the_history_is_told_the_mend_which_mends_it(
    cheats: ModuleType, bars: StreamInput, prove_on: Prove, walk: Walk
) -> None:
    (finding,) = prove_on(Node(cheats.pandas_deviation, bars, period=20), walk(700)).findings
    assert finding.kind is FindingKind.WARM_UP_TOO_SHORT
    assert finding.message.endswith(
        "where the function accumulates over the whole history (as pandas' rolling variance does), "
        "compute each window by itself or state tolerance=1e-7"
    )
    told = prove_on(Node(cheats.pandas_deviation, bars, period=20, tolerance=1e-7), walk(700))
    assert told.status is ProofStatus.PASSED
    assert told.bars_at_a_tie > 0


def test_a_stated_tolerance_hides_no_short_period(cheats: ModuleType, bars: StreamInput, prove_on: Prove) -> None:
    (finding,) = prove_on(Node(cheats.accumulated_difference, bars, period=40, tolerance=1e-7)).findings
    assert (finding.kind, finding.bar) == (FindingKind.WARM_UP_TOO_SHORT, day(49))


def test_look_ahead_hidden_in_a_tie_of_rounding_is_found(
    cheats: ModuleType, bars: StreamInput, prove_on: Prove, walk: Walk
) -> None:
    close = np.round(walk(700, whole=True), 2)
    (finding,) = prove_on(Node(cheats.look_ahead_at_a_tie, bars, period=2), close).findings
    assert finding.kind is FindingKind.LOOK_AHEAD


def test_a_comparison_of_last_bits_is_told_the_mend_which_mends_it(
    cheats: ModuleType, bars: StreamInput, prove_on: Prove, walk: Walk
) -> None:
    (finding,) = prove_on(Node(cheats.fourier_crossover, bars, period=10), walk(700)).findings
    assert finding.message.endswith("round before comparing")
    assert prove_on(Node(cheats.rounded_fourier_crossover, bars, period=10), walk(700)).status is ProofStatus.PASSED


def test_look_ahead_below_the_tolerance_is_found(
    cheats: ModuleType, bars: StreamInput, prove_on: Prove, walk: Walk
) -> None:
    node = Node(cheats.look_ahead_below_the_tolerance, bars, period=2)
    (finding,) = prove_on(node, walk(700, whole=True)).findings
    assert finding.kind is FindingKind.LOOK_AHEAD
