"""A gate passes only when it is true; what it compared is stated."""

from __future__ import annotations

import math
import struct
from dataclasses import replace

import pytest

from qmtl_world.evaluation.expression import Call, Constant, UnreadableExpressionError, Variable, read_checked, render
from qmtl_world.evaluation.gates import RuleError, compile_gate, compile_score
from qmtl_world.evaluation.model import DataFacts, Facts, GateRule, RiskFacts, RuleOutcome, SampleFacts

FACTS = Facts(
    {"sharpe": 0.31, "max_drawdown": 0.2, "calmar": math.nan, "profit_factor": math.inf},
    SampleFacts(300, 1.2, 10, 4),
    DataFacts(2.0, 0.0, 1.0, 3),
    RiskFacts(1.0, 0.5, 0.25),
)


def judge(rule: str, min_bars: int | None = None, default: int = 0) -> tuple[RuleOutcome, ...]:
    return compile_gate(GateRule("gate", rule, min_bars), default).judge(FACTS)


def only(rule: str) -> RuleOutcome:
    (outcome,) = judge(rule)
    return outcome


def test_comparison_states_value_limit_and_a_sentence() -> None:
    assert only("metrics.sharpe >= 0.5") == RuleOutcome(
        "gate", False, 0.31, 0.5, "gate: metrics.sharpe = 0.31, needs >= 0.5"
    )


def test_limit_on_the_left_is_still_the_limit() -> None:
    assert only("0.5 <= metrics.sharpe") == only("metrics.sharpe >= 0.5")


def test_limit_that_is_computed_is_stated_with_its_value() -> None:
    outcome = only("metrics.sharpe > metrics.max_drawdown * 2.0")
    assert (outcome.passed, outcome.value, outcome.limit) == (False, 0.31, 0.4)
    assert outcome.message == "gate: metrics.sharpe = 0.31, needs > metrics.max_drawdown * 2.0 = 0.4"


def test_each_side_of_an_and_is_an_outcome_of_its_own() -> None:
    outcomes = judge("metrics.sharpe >= 0.1 && (sample.trades >= 50 && data.gaps < 5)")
    assert [(each.passed, each.value, each.limit) for each in outcomes] == [
        (True, 0.31, 0.1),
        (False, 10.0, 50.0),
        (True, 3.0, 5.0),
    ]


@pytest.mark.parametrize(
    ("rule", "passed"),
    [
        ("metrics.sharpe > 1.0 || sample.bars >= 300", True),
        ("!(metrics.sharpe > 1.0)", True),
        ("!(metrics.sharpe < 1.0)", False),
        ("sample.trials > 3 ? metrics.sharpe > 0.3 : true", True),
        ("double(sample.bars) / 252.0 > 1.0", True),
        ("sample.bars % 7 == 6", True),
        ("-metrics.sharpe < -0.3", True),
        ("risk.max_abs_net != risk.max_gross", True),
        ("(metrics.sharpe > 0.0) == (sample.bars > 1000)", False),
        ("false", False),
    ],
)
def test_operators(rule: str, passed: bool) -> None:
    assert only(rule).passed is passed


@pytest.mark.parametrize("rule", ["metrics.calmar < 1.0", "!(metrics.calmar < 1.0)", "metrics.calmar != 1.0"])
def test_undefined_metric_fails_by_name_before_cel(rule: str) -> None:
    outcome = only(rule)
    assert not outcome.passed
    assert "metrics.calmar is undefined on this sample (nan)" in outcome.message


@pytest.mark.parametrize("rule", ["metrics.sortino > -9.0", "true || metrics.sortino > 0.0"])
def test_missing_metric_fails_by_name(rule: str) -> None:
    assert not only(rule).passed
    assert "metrics.sortino is missing" in only(rule).message


def test_infinite_metric_fails_by_name() -> None:
    assert only("metrics.profit_factor > 1.0").message.startswith("gate: metrics.profit_factor is undefined")


@pytest.mark.parametrize(
    "rule", ["sample.bars / 0 > 1", "sample.bars % 0 == 0", "sample.bars * 9223372036854775807 > 1"]
)
def test_error_in_evaluation_fails(rule: str) -> None:
    outcome = only(rule)
    assert (outcome.passed, outcome.value) == (False, None)
    assert "compares no finite numbers" in outcome.message


def test_division_by_zero_does_not_pass_as_infinity() -> None:
    assert not only("metrics.sharpe / 0.0 > 1.0").passed


def test_gate_below_its_sample_fails_before_its_metrics_are_judged() -> None:
    (outcome,) = judge("metrics.sharpe > 0.0 && metrics.max_drawdown < 1.0", min_bars=301)
    assert outcome == RuleOutcome(
        "gate", False, 300.0, 301.0,
        "gate: sample.bars = 300, needs >= 301 to judge metrics.sharpe and metrics.max_drawdown",
    )  # fmt: skip
    assert judge("metrics.sharpe > 0.0", min_bars=300)[0].passed
    assert not judge("metrics.sharpe > 0.0", default=301)[0].passed


def test_score_is_a_finite_number_or_says_why_not() -> None:
    assert compile_score("metrics.sharpe - metrics.max_drawdown").compute(FACTS) == pytest.approx(0.11)
    assert compile_score("sample.bars").compute(FACTS) == 300.0
    for text, why in (
        ("metrics.sharpe - metrics.calmar", "metrics.calmar is undefined"),
        ("metrics.sharpe / 0.0", "has no finite value: inf"),
        ("sample.bars / 0", "divide by zero"),
    ):
        outcome = compile_score(text).compute(FACTS)
        assert isinstance(outcome, RuleOutcome)
        assert (outcome.rule, outcome.passed) == ("score", False)
        assert why in outcome.message


@pytest.mark.parametrize(
    "text",
    [
        "(metrics.sharpe + 1.0) * 2.0 - (3.0 - 1.0) >= 0.5",
        "!(metrics.sharpe < 1.0) && (sample.bars > 3 || sample.trades == 1)",
        "(metrics.sharpe > 0.0 ? 1.0 : 2.0) > double(sample.bars + -3)",
        "-(metrics.sharpe + 1.0) < 1e-07",
        "1.0 - (2.0 - 3.0) - 4.0 > 0.0",
        "(true ? false : true) ? true : false",
    ],
)
def test_printed_expression_means_the_same(text: str) -> None:
    gate = compile_gate(GateRule("gate", text))
    printed = " && ".join(f"({condition.text})" for condition in gate.conditions)
    again = compile_gate(GateRule("gate", printed))
    assert [each.text for each in again.conditions] == [each.text for each in gate.conditions]
    assert [each.passed for each in again.judge(FACTS)] == [each.passed for each in gate.judge(FACTS)]


def test_long_rule_costs_no_more_than_its_length() -> None:
    text = " && ".join(["metrics.sharpe > 0.0"] * 41)
    assert len(text) <= 1_000
    assert len(judge(text)) == 41
    with pytest.raises(RuleError, match="at most 1000"):
        judge(text + " " * 100)


def test_tree_is_read_from_the_serialised_form() -> None:
    constant = b"\x1a\x09\x29" + struct.pack("<d", 0.5)
    variable = b"\x22\x03\x0a\x01x"
    call = b"\x12\x03_<_\x1a" + bytes([len(variable)]) + variable + b"\x1a" + bytes([len(constant)]) + constant
    expression = b"\x32" + bytes([len(call)]) + call
    checked = b"\x22" + bytes([len(expression)]) + expression
    term = read_checked(b"\x12" + bytes([len(checked)]) + checked)
    assert term == Call("_<_", (Variable("x"), Constant(0.5)))
    assert render(term) == "x < 0.5"


def test_tree_of_another_form_is_refused() -> None:
    with pytest.raises(UnreadableExpressionError):
        read_checked(b"")


@pytest.mark.parametrize("turnover", [0.0, 1.0])
@pytest.mark.parametrize(
    "rule",
    [
        "!(metrics.turnover / metrics.exposure > 2.0)",
        "metrics.turnover / metrics.exposure != 1.0 || false",
        "metrics.turnover / metrics.exposure > 2.0 ? false : true",
        "metrics.turnover / metrics.exposure > 2.0 || false",
    ],
)
def test_number_that_is_not_finite_fails_wherever_it_is_compared(rule: str, turnover: float) -> None:
    flat = replace(FACTS, metrics={"turnover": turnover, "exposure": 0.0})
    (outcome,) = compile_gate(GateRule("gate", rule)).judge(flat)
    assert not outcome.passed
    assert "no finite numbers" in outcome.message
