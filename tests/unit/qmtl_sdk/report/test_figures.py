"""How people read numbers: the same metric in the same form everywhere."""

from __future__ import annotations

import math

import pytest

from qmtl_foundation.statistics.catalog import METRICS
from qmtl_foundation.terminal import counted
from qmtl_sdk.report.figures import judged, metric, number, percent


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (math.nan, "-"), (0.0, "0.00"), (0.00123, "0.00123"), (1234.5, "1,234.50")]
)
def test_numbers_are_readable(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 trials"), (1, "1 trial"), (1200, "1,200 trials")])
def test_one_thing_is_no_plural(count: int, text: str) -> None:
    assert counted(count, "trial") == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("cagr", 0.125, "12.5%"),
        ("turnover", 2.877, "287.7%"),
        ("trades", 1234.0, "1,234"),
        ("max_drawdown_bars", 948.0, "948"),
        ("average_holding_bars", 150.62, "150.6"),
        ("sharpe", 1.0, "1.00"),
        ("psr", 0.98, "0.98"),
        ("of_a_newer_release", 0.5, "0.50"),
    ],
)
def test_metrics_are_shown_in_their_unit(name: str, value: float, text: str) -> None:
    assert metric(name, value) == text


@pytest.mark.parametrize("name", METRICS)
def test_unknown_value_of_any_metric_is_a_dash(name: str) -> None:
    assert (metric(name, None), metric(name, math.nan), percent(None)) == ("-", "-", "-")


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (3270.0, "3,270"), (0.6419381, "0.641938"), (0.5, "0.5")])
def test_rules_are_told_in_the_unit_that_policies_write(value: float | None, text: str) -> None:
    assert judged(value) == text
