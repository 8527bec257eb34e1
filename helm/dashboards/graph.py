"""The graph of strategies and its data: merges, calls of the DAG manager, and ids that are not what they say."""

from __future__ import annotations

from typing import Final

from helm.dashboards import calls, loop
from helm.dashboards.board import Board, Section, Variable
from helm.dashboards.panels import Unit, heatmap, quantiles, stat

METHODS: Final = 'method=~"qmtl.graph.v1.*|qmtl.dataset.v1.*"'
SERVICE: Final = 'instance=~"$instance"'
PAGE: Final = "architecture/dagmgr.md"

NOW: Final = (
    stat(
        "Merges",
        "Strategy versions merged into the graph, per second.",
        f"sum(rate(diff_duration_ms_count{{{SERVICE}}}[$__rate_interval]))",
        unit=Unit.EVENTS,
        page=PAGE,
    ),
    stat(
        "Merges, p95",
        "One in twenty merges took longer.",
        f"histogram_quantile(0.95, sum by (le) (rate(diff_duration_ms_bucket{{{SERVICE}}}[5m])))",
        unit=Unit.MILLISECONDS,
        alert="QmtlDiffSlow",
    ),
    calls.rate_now(f"{SERVICE},{METHODS}"),
    calls.faults_now(f"{SERVICE},{METHODS}"),
    loop.wrong_node_ids(),
    loop.cross_context_hits(),
)

MERGES: Final = (
    quantiles(
        "Duration of merges",
        "How long merging a strategy version into the graph took.",
        "diff_duration_ms",
        f"{{{SERVICE}}}",
        unit=Unit.MILLISECONDS,
        alert="QmtlDiffSlow",
    ),
    heatmap("Spread of merges", "How many merges took how long.", "diff_duration_ms", f"{{{SERVICE}}}"),
    loop.submissions_ended("; each that is ready was merged"),
)

CALLS: Final = (
    calls.rates(f"{SERVICE},{METHODS}"),
    calls.errors(f"{SERVICE},{METHODS}"),
    calls.durations(f"{SERVICE},{METHODS}"),
    calls.slowest(f"{SERVICE},{METHODS}"),
    calls.spread(f"{SERVICE},{METHODS}"),
)

BOARD: Final = Board(
    "qmtl-graph",
    "QMTL / Graph",
    "The DAG manager: how fast strategies are merged into the graph, its calls, and ids that are not what they say.",
    (Variable("instance", "DAG manager", "diff_duration_ms_count"),),
    (
        Section("Now", NOW),
        Section("Merges", MERGES),
        Section("Calls of the DAG manager", CALLS),
        Section("Processes", calls.usage(SERVICE)),
    ),
)
