"""The graph of strategies and its data: merges, calls of the DAG manager, and ids that are not what they say."""

from __future__ import annotations

from typing import Final

from helm.dashboards import calls
from helm.dashboards.board import Board, Section, Variable
from helm.dashboards.panels import Unit, heatmap, quantiles, series, stat

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
    stat(
        "Wrong NodeIDs, 10 m",
        "Nodes that were sent under an id that is not theirs; must be 0.",
        "sum(increase(nodeid_crc_mismatch_total[10m]))",
        alert="QmtlNodeIdMismatch",
    ),
    stat(
        "Cross-context hits, 10 m",
        "Cached results of another compute context that runners found, and did not use; must be 0.",
        "sum(increase(cross_context_cache_hit_total[10m]))",
        alert="QmtlCrossContextHit",
    ),
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
    series(
        "Submissions ended",
        "By outcome, per second; each that is ready was merged.",
        "sum by (outcome) (rate(gateway_submissions_total[$__rate_interval]))",
        "{{outcome}}",
        unit=Unit.EVENTS,
        page="submission.md",
    ),
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
