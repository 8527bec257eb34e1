"""What people see of a delivery with many gaps, and of rows that break the schema."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from qmtl_sdk.cli.coverage import delivery, doubts, facts, least_coverage
from qmtl_sdk.data.conformance import Rule, Violation
from qmtl_sdk.data.coverage import Interval
from qmtl_sdk.data.preset import ServiceLevel, builtin_presets
from qmtl_sdk.data.provider import resolve_provider
from qmtl_sdk.data.report import DeliveryReport, Gap
from qmtl_sdk.data.times import DAY_NS


@pytest.fixture
def report(tmp_path: Path) -> DeliveryReport:
    """Return the report of the sample of one symbol, as if it had 500 gaps of which the last is the largest."""
    whole = resolve_provider(builtin_presets()["sample_sp500_1d"], tmp_path).read().report
    gaps = [Gap("SPX", Interval(day * DAY_NS, (day + 1) * DAY_NS), 1) for day in range(0, 998, 2)]
    gaps.append(Gap("SPX", Interval(1000 * DAY_NS, 1077 * DAY_NS), 77))
    return replace(whole, gaps=tuple(gaps))


def drawn(report: DeliveryReport) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(*delivery(report), sep="\n")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_largest_gaps_are_shown_and_the_others_counted(report: DeliveryReport) -> None:
    text = drawn(report)
    assert len(text.splitlines()) < 50
    assert "… and 490 more gaps (--output json has all)" in text
    assert " 77" in text


def test_one_gap_that_is_not_shown_is_one(report: DeliveryReport) -> None:
    assert "… and 1 more gap (" in drawn(replace(report, gaps=report.gaps[:11]))


def test_rule_that_is_broken_has_count_and_first_case(report: DeliveryReport) -> None:
    broken = Violation(Rule.NOT_POSITIVE, "close", 1_234, 17, "2001-02-03T21:00:00Z", "SPX", -0.5)
    text = drawn(replace(report, violations=(broken,), source_reachable=False))
    for part in ("not_positive", "close", "1234", "17", "2001-02-03T21:00:00Z", "SPX", "-0.5"):
        assert part in text
    assert "not_positive in close (1,234 rows, first row 17: SPX at 2001-02-03T21:00:00Z with -0.5); delivered" in text
    assert "the source of sample_sp500_1d cannot be read; data kept from before is served" in text


@pytest.mark.parametrize(("promised", "least"), [(None, 0.9), (0.25, 0.75)])
def test_data_is_doubtful_below_what_it_promises(promised: float | None, least: float) -> None:
    assert least_coverage(ServiceLevel(max_missing_fraction=promised)) == least


def broken(rule: Rule, column: str, count: int) -> Violation:
    return Violation(rule, column, count, 0, "2001-02-03T21:00:00Z", "SPX", None)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (broken(Rule.NOT_POSITIVE, "close", 1), "1 row whose close is not positive, which backtests refuse"),
        (
            broken(Rule.OFF_CALENDAR, "time", 1_200),
            "1,200 rows left out, at times where its calendar has no bar, beside",
        ),
    ],
)
def test_data_is_doubtful_that_no_backtest_takes_or_of_which_much_is_left_out(
    report: DeliveryReport, found: Violation, told: str
) -> None:
    (said,) = doubts(replace(report, violations=(found,)), ServiceLevel())
    assert said.startswith(told)


@pytest.mark.parametrize(
    "found",
    [broken(Rule.NOT_POSITIVE, "low", 9), broken(Rule.OFF_CALENDAR, "time", 9), broken(Rule.INFINITE, "open", 9)],
)
def test_few_rows_that_backtests_take_are_no_doubt(report: DeliveryReport, found: Violation) -> None:
    assert doubts(replace(report, violations=(found,)), ServiceLevel()) == ()


def test_facts_count_the_rows_of_each_rule(report: DeliveryReport) -> None:
    prices = [broken(Rule.NOT_POSITIVE, column, 2) for column in ("open", "close")]
    assert facts(replace(report, violations=tuple(prices))) == {"coverage": "1", "violations.not_positive": "4"}
