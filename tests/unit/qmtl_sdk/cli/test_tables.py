"""What people see of worlds and submissions."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console, RenderableType

from qmtl_sdk.cli.phases import PhaseBoard, shown_phases
from qmtl_sdk.cli.tables import reason, sparkline, submission, swept, world, world_status
from qmtl_sdk.proofs import Finding, FindingKind, ProofStatus
from qmtl_sdk.submission.progress import Phase, Progress
from qmtl_sdk.submission.result import Activation, Decision, Precheck, SubmitResult, Violation


def drawn(shown: RenderableType, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def strategy(**stated: Any) -> dict[str, Any]:
    plain = {
        "strategy_id": "ana/Trend",
        "strategy_version": "blake3:0123456789abcdef",
        "status": "valid",
        "active": False,
        "weight": 0.0,
        "score": None,
    }
    return {**plain, "metrics": {}, "rules": [], "equity_curve": [], **stated}


def status(*strategies: dict[str, Any]) -> dict[str, Any]:
    world = {"name": "w", "mode": "paper", "data_preset": "p", "active_policy_version": 2}
    plain = {"world": world, "strategies": list(strategies), "epoch": 1, "trials": 3, "score": 1.0, "as_of": ""}
    return {**plain, "open": True, "holds": [], "run_id": "", "waits_for": ""}


def rule(**stated: Any) -> dict[str, Any]:
    return {"rule": "sharpe", "passed": False, "value": 0.31, "limit": 0.5, "message": "", **stated}


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([1.0], "▁"),
        ([2.0, 2.0], "▁▁"),
        ([1.0, 2.0, 3.0], "▁▅█"),
        ([3.0, math.nan, 1.0], "█ ▁"),
        ([math.nan], ""),
        ([float(i) for i in range(8)], "▁▂▃▄▅▆▇█"),
    ],
)
def test_sparkline_spans_lowest_to_highest(values: list[float], line: str) -> None:
    assert sparkline(values) == line


def test_long_curve_keeps_its_ends() -> None:
    line = sparkline([float(i) for i in range(64)], columns=8)
    assert (len(line), line[0], line[-1]) == (8, "▁", "█")


@pytest.mark.parametrize(
    ("stated", "text"),
    [
        ({}, "sharpe: value 0.31, limit 0.5"),
        ({"message": "sharpe: metrics.sharpe = 0.31, needs >= 0.5"}, "sharpe: metrics.sharpe = 0.31, needs >= 0.5"),
        ({"message": "sharpe: below what the top-3 have"}, "sharpe: below what the top-3 have"),
        ({"message": "is not held", "value": 0.0, "limit": 0.0}, "sharpe: is not held"),
        ({"value": None, "limit": None, "message": "sharpe: is missing"}, "sharpe: is missing"),
    ],
)
def test_reason_has_rule_value_and_limit_once(stated: dict[str, Any], text: str) -> None:
    assert reason(rule(**stated)) == text


@pytest.mark.parametrize("width", [80, 120, 139, 140, 150, 160, 200])
def test_status_shows_every_failed_rule_of_every_strategy_at_any_width(width: int) -> None:
    rules = [rule(), rule(rule="drawdown", value=0.4, limit=0.3), rule(rule="sample", passed=True)]
    poor = strategy(
        status="rejected",
        rules=rules,
        equity_curve=[1.0, 2.0, 3.0],
        metrics={"sharpe": 0.31, "cagr": 7.492, "max_drawdown": 0.4},
    )
    good = strategy(strategy_id="bo/Carry", active=True, weight=0.25, rules=[rule(passed=True)])
    text = drawn(world_status(status(poor, good)), width)
    failed = (
        "ana/Trend",
        "sharpe: value 0.31",
        "drawdown: value 0.4",
        "▁▅█",
        "0.31",
        "749.2%",
        "40.0%",
        "policy 2",
        "01234567",
    )
    for part in (*failed, "bo/Carry", "25.0%", "passes every rule (1)"):
        assert part in text
    assert "sample" not in text
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [140, 150, 160, 180])
def test_reasons_beside_long_names_and_large_figures_are_not_cut(width: int) -> None:
    named = strategy(
        strategy_id="someauthor/MomentumOfSectors",
        status="rejected",
        rules=[rule(rule="promotion.gross_limit", message="gross weight 1.25 on 2004-01-02")],
        equity_curve=[float(bar) for bar in range(64)],
        metrics={"sharpe": -1234.5, "cagr": 123456.7, "max_drawdown": 0.4},
    )
    text = drawn(world_status(status(named)), width)
    for part in ("someauthor/MomentumOfSectors", "promotion.gross_limit:", "12,345,670.0%", "-1,234.50"):
        assert part in text
    assert "…" not in text


def test_status_of_an_empty_world_says_how_to_go_on() -> None:
    assert "qmtl submit FILE --world w" in drawn(world_status(status()))


def test_status_says_whether_orders_go_through_and_what_keeps_them() -> None:
    assert "\nopen\n" in drawn(world_status(status(strategy())))
    kept = {"open": False, "holds": ["operator", "outage"], "run_id": "r1", "waits_for": "world 'w' is held"}
    text = drawn(world_status({**status(strategy()), **kept}))
    for part in (
        "frozen",
        "held by operator, outage: `qmtl world resume w --hold NAME`",
        "under way: `qmtl apply watch w r1`",
        "its newest round is not applied: world 'w' is held",
    ):
        assert part in text


def test_status_of_a_world_of_which_nothing_was_applied_calls_it_neither_open_nor_frozen() -> None:
    text = drawn(world_status({**status(), "epoch": 0, "open": False}))
    assert "open" not in text
    assert "frozen" not in text


def result(**stated: Any) -> SubmitResult:
    plain = SubmitResult(
        strategy_id="ana/Trend",
        version="blake3:fedcba9876543210",
        world="w",
        status="rejected",
        decision=Decision("validate", "backtest", "not activated yet", 1, "", "", ""),
        activation=Activation(False, 0.0, "long", 1, 1),
        metrics={"sharpe": 1.5, "max_drawdown_bars": 948.0},
        contribution=-0.02,
        violations=(Violation("sharpe", 0.3, 0.5, ""),),
        allocations={"bo/Carry": 1.0},
        precheck=None,
        downgraded=True,
        downgrade_reason="hint_above_decision",
        safe_mode=False,
        dataset_fingerprint="",
        eval_key="",
        nodes=(),
    )
    return replace(plain, **stated)


def finding(node: str, message: str) -> Finding:
    return Finding(FindingKind.LOOK_AHEAD, node, "blake3:0", "2010-01-04T21:00:00Z", "IBM", "1.0", "2.0", message)


@pytest.mark.parametrize(
    ("stated", "lacks"),
    [
        ({"mode": "paper"}, ["world policy upload w FILE", "world update w --share-policy world"]),
        ({"mode": "compute-only"}, ["world policy upload w FILE"]),
        ({"mode": "paper", "active_policy_version": 1, "share_policy": "world"}, []),
    ],
)
def test_world_says_what_it_lacks(stated: dict[str, Any], lacks: list[str]) -> None:
    plain = {"name": "w", "active_policy_version": 0, "share_policy": "unstated"}
    text = drawn(world({**plain, **stated}))
    assert [part in text for part in lacks] == [True] * len(lacks)
    assert text.count("`qmtl ") == len(lacks)


def test_submission_shows_verdict_reasons_and_findings() -> None:
    precheck = Precheck(ProofStatus.FAILED, {}, (finding("peek", "node 'peek' looks ahead"),), 1.0)
    text = drawn(submission(result(precheck=precheck).document(), ()))
    for part in (
        "rejected",
        "fedcba98",
        "sharpe: value 0.3",
        "look_ahead: node 'peek' looks ahead",
        "hint_above_decision",
        "1.50",
        "948 ",
    ):
        assert part in text


def test_finding_that_the_world_repeats_as_a_violation_is_shown_once() -> None:
    findings = (finding("peek", "node 'peek' looks ahead"), finding("late", "node 'late' looks ahead"))
    repeated = Violation("look_ahead", None, None, f"look_ahead: {findings[0].message}")
    stated = result(precheck=Precheck(ProofStatus.FAILED, {}, findings, 1.0), violations=(repeated,))
    text = drawn(submission(stated.document(), ()))
    assert (text.count("node 'peek'"), text.count("node 'late'")) == (1, 1)


def test_sweep_has_a_row_for_each_cell_and_says_why_it_fails() -> None:
    barred = Violation("promotion.effective_mode", None, None, "computed under compute-only")
    judged = result(status="invalid", violations=(Violation("sharpe", 0.3, 0.5, ""), barred))
    cells: list[dict[str, Any]] = [
        {"parameters": {"fast": 5, "slow": 50}, "result": judged.document(), "error": ""},
        {"parameters": {"fast": 0, "slow": 50}, "result": None, "error": "window: 0; give at least 1"},
    ]
    text = drawn(swept(cells))
    for part in ("fast", "slow", "invalid", "1.50", "sharpe: value 0.3, limit 0.5", "failed", "window: 0"):
        assert part in text
    assert "compute-only" not in text


def test_phases_are_drawn_live_on_a_terminal() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with shown_phases(console) as take:
        take(Progress(Phase.BUILD))
        take(Progress(Phase.BUILD, 12.0, "6 nodes"))
        take(Progress(Phase.COMPUTE))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "✓" in text
    assert "6 nodes" in text
    assert "backtest" in text


def test_phase_that_goes_on_shows_how_far_and_for_how_long() -> None:
    now = [0.0]
    board = PhaseBoard(clock=lambda: now[0])
    board.take(Progress(Phase.PROVE))
    now[0] = 0.9
    assert "0 s" not in drawn(board)
    now[0] = 75.0
    board.take(Progress(Phase.PROVE, detail="trailing_stop: 41 of 6,540"))
    assert "75 s trailing_stop: 41 of 6,540" in drawn(board)
    board.take(Progress(Phase.PROVE, 76_000.0, "passed"))
    assert "76,000 ms passed" in drawn(board)


def test_phases_are_lines_where_nobody_looks_on() -> None:
    console = Console(file=io.StringIO(), width=100)
    with shown_phases(console) as take:
        take(Progress(Phase.BUILD))
        take(Progress(Phase.BUILD, 12.0, "6 nodes"))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "build the graph: 12 ms 6 nodes\n"
