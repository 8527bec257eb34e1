"""The HTML page of a world: self-contained, readable without scripts, in light and dark."""

from __future__ import annotations

from html import escape
from typing import Final

from qmtl_foundation.terminal import counted
from qmtl_sdk.report.charts import chart
from qmtl_sdk.report.figures import judged, metric, number, percent
from qmtl_sdk.report.model import ReportRule, ReportStrategy, WorldReport

SHOWN_METRICS: Final = {
    "sharpe": "Sharpe",
    "cagr": "CAGR",
    "volatility": "Volatility",
    "max_drawdown": "Max drawdown",
    "turnover": "Turnover / year",
    "trades": "Trades",
}

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --muted: #667; --rule: #d9dde3; --good: #0a7d4f; --bad: #b3261e;
  --line: #2457c5; --paper: #fff; --card: #f7f8fa }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaf0; --muted: #98a2b3; --rule: #333a45; --good: #4cc38a;
  --bad: #ff8a80; --line: #7aa2ff; --paper: #12151a; --card: #1a1f27 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 64rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } .muted { color: var(--muted) }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 1rem; margin: 1rem 0 }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .25rem .6rem;
  border-bottom: 1px solid var(--rule); vertical-align: top } td.n, th.n { text-align: right;
  font-variant-numeric: tabular-nums }
.pass { color: var(--good) } .fail { color: var(--bad) }
svg { width: 100%; height: auto; display: block; margin: .4rem 0 } svg text { font-size: 10px; fill: var(--muted) }
svg polyline { fill: none; stroke: var(--line); stroke-width: 1.4 } svg .grid { stroke: var(--rule) }
svg.drawdown polyline { stroke: var(--bad) } svg.drawdown .area { fill: var(--bad); opacity: .18 }
"""


def render(report: WorldReport) -> str:
    """Return the page."""
    score = "none active" if report.score is None else f"Sharpe {number(report.score)}"
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(report.world)} · QMTL</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(report.world)}</h1>"
        f"<p class='muted'>{escape(report.mode)} · data {escape(report.data_preset)} as of {escape(report.as_of)} · "
        f"policy version {report.policy_version} · epoch {report.epoch}, sequence {report.sequence} · "
        f"{counted(report.trials, 'trial')} · active set: {score}</p>"
        f"{_summary(report.strategies)}{''.join(_strategy(each) for each in report.strategies)}"
        "</body></html>\n"
    )


def _summary(strategies: tuple[ReportStrategy, ...]) -> str:
    heads = "".join(f"<th class='n'>{escape(label)}</th>" for label in SHOWN_METRICS.values())
    rows = "".join(
        f"<tr><td><a href='#{escape(each.strategy_id)}'>{escape(each.strategy_id)}</a></td>"
        f"<td class='{'pass' if each.status == 'valid' else 'fail'}'>{escape(each.status)}</td>"
        f"<td class='n'>{percent(each.weight if each.active else None)}</td>{_metrics(each)}</tr>"
        for each in strategies
    )
    return f"<table><tr><th>Strategy</th><th>Status</th><th class='n'>Weight</th>{heads}</tr>{rows}</table>"


def _metrics(strategy: ReportStrategy) -> str:
    return "".join(f"<td class='n'>{metric(name, strategy.metrics.get(name))}</td>" for name in SHOWN_METRICS)


def _strategy(strategy: ReportStrategy) -> str:
    name = escape(strategy.strategy_id)
    standing = f"active with {percent(strategy.weight)}" if strategy.active else "not active"
    extra = (
        "" if strategy.contribution is None else f" · contribution to the world's Sharpe {strategy.contribution:+.2f}"
    )
    charts = ""
    if len(strategy.returns) > 1:
        charts = chart(
            strategy.times, strategy.equity, title="Equity, growth of 1", height=190.0, css_class="equity"
        ) + chart(
            strategy.times,
            -strategy.drawdown,
            title="Drawdown",
            height=90.0,
            css_class="drawdown",
            percent=True,
            fill_to=0.0,
        )
    return (
        f"<section id='{name}'><h2>{name}</h2><p class='muted'>{escape(strategy.status)}, {standing}{extra}</p>"
        f"{charts}{_rules(strategy.rules)}</section>"
    )


def _rules(rules: tuple[ReportRule, ...]) -> str:
    rows = "".join(
        f"<tr><td class='{'pass' if each.passed else 'fail'}'>{'✓' if each.passed else '✗'} {escape(each.rule)}</td>"
        f"<td class='n'>{judged(each.value)}</td><td class='n'>{judged(each.limit)}</td>"
        f"<td>{escape(each.message)}</td></tr>"
        for each in rules
    )
    return f"<table><tr><th>Rule</th><th class='n'>Value</th><th class='n'>Limit</th><th>Why</th></tr>{rows}</table>"
