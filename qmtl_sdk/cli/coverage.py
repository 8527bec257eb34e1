"""What people see of a delivery: how much of the data is there, what breaks the schema, which promises are broken."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from qmtl_foundation.terminal import counted
from qmtl_sdk.cli.tables import key_values, rows
from qmtl_sdk.data.conformance import Rule
from qmtl_sdk.data.preset import ADJUSTED_CLOSE, ServiceLevel
from qmtl_sdk.data.report import DeliveryReport
from qmtl_sdk.report.figures import percent

LARGEST_GAPS: Final = 10
LEAST_COVERAGE: Final = 0.9  # where the preset promises nothing
MOST_LEFT_OUT: Final = 0.1  # of the rows
TRADED: Final = frozenset({"open", "close", ADJUSTED_CLOSE})  # the prices that a backtest fills and marks at

SUMMARY: Final = ("as_of", "bars", "fingerprint", "served_from", "source_reachable", "span", "schema_mode")
SYMBOLS: Final = {each: each for each in ("symbol", "present", "expected", "coverage", "gaps", "missing")}
GAPS: Final = {"gap": "symbol", "span": "span", "bars": "bars"}
BROKEN: Final = {"promise broken": "rule", "limit": "limit", "value": "value"}
VIOLATIONS: Final = {
    "rule broken": "rule",
    "column": "column",
    "rows": "count",
    "first row": "row",
    "time": "time",
    "symbol": "symbol",
    "value": "value",
}


def delivery(report: DeliveryReport) -> tuple[RenderableType, ...]:
    """Return a report as tables; of the gaps the largest ones, the symbols' table counts them all."""
    document: dict[str, Any] = report.document()
    summary = {name: document[name] for name in SUMMARY}
    summary["coverage"] = percent(report.coverage_fraction)
    largest = sorted(document["gaps"], key=lambda gap: -gap["bars"])[:LARGEST_GAPS]
    more = len(document["gaps"]) - len(largest)
    return (
        *(Text(each, "yellow") for each in report.warnings()),
        key_values(summary),
        rows(_totals(report), SYMBOLS, "no symbols"),
        rows(largest, GAPS, "no gaps"),
        *((Text(f"… and {counted(more, 'more gap')} (--output json has all)"),) if more else ()),
        rows(document["sla_breaches"], BROKEN, "every promise kept"),
        rows(document["violations"], VIOLATIONS, "every row conforms"),
    )


def least_coverage(sla: ServiceLevel) -> float:
    """Return the fraction of the expected bars below which data is doubtful: the promised one, or else 0.9."""
    return LEAST_COVERAGE if sla.max_missing_fraction is None else 1.0 - sla.max_missing_fraction


def doubts(report: DeliveryReport, sla: ServiceLevel) -> tuple[str, ...]:
    """Return what should be thought over before the data is registered, each as what the data has."""
    found = []
    if report.coverage_fraction < least_coverage(sla):
        found.append(f"{percent(report.coverage_fraction)} of the bars that its calendar expects")
    present = sum(each.present for each in report.symbols)
    for item in report.violations:
        rows = counted(item.count, "row")
        if item.rule is Rule.NOT_POSITIVE and item.column in TRADED:
            found.append(f"{rows} whose {item.column} is not positive, which backtests refuse")
        if item.rule is Rule.OFF_CALENDAR and item.count > MOST_LEFT_OUT * (item.count + present):
            found.append(f"{rows} left out, at times where its calendar has no bar, beside {present:,} bars")
    return tuple(found)


def facts(report: DeliveryReport) -> dict[str, str]:
    """Return coverage (0..1) and the rows that break each rule, as a refusal's metadata has them."""
    counts: defaultdict[str, int] = defaultdict(int)
    for item in report.violations:
        counts[f"violations.{item.rule}"] += item.count
    return {"coverage": f"{report.coverage_fraction:.6g}", **{name: str(count) for name, count in counts.items()}}


def _totals(report: DeliveryReport) -> list[dict[str, Any]]:
    gaps: defaultdict[str, int] = defaultdict(int)
    for gap in report.gaps:
        gaps[gap.symbol] += 1
    return [
        {
            "symbol": each.symbol,
            "present": each.present,
            "expected": each.expected,
            "coverage": percent(each.present / each.expected) if each.expected else "-",
            "gaps": gaps[each.symbol],
            "missing": each.expected - each.present,
        }
        for each in report.symbols
    ]
