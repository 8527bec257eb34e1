"""Gateways: sessions and what they were told, orders, limits of callers, leases and gates, downgrades."""

from __future__ import annotations

from typing import Final

from helm.dashboards import calls, loop
from helm.dashboards.board import Board, Section, Variable
from helm.dashboards.panels import Unit, heatmap, series, stat

GATEWAY: Final = 'instance=~"$instance"'
STALE: Final = 'reason=~"decision_stale|decision_unavailable"'
OTHERS: Final = 'reason!~"decision_stale|decision_unavailable|hint_above_decision"'
LIMITS: Final = "operations/security.md#limits"

NOW: Final = (
    stat("Gateways", "Gateways that are scraped.", "count(runner_sessions) or vector(0)", wanted=True),
    stat("Sessions", "Runners' sessions held.", f"sum(runner_sessions{{{GATEWAY}}})", page="live.md"),
    calls.rate_now(GATEWAY),
    calls.faults_now(GATEWAY),
    calls.duration_now(GATEWAY),
    stat(
        "Leases lost, 10 m",
        "Worlds closed because a gateway's lease was over.",
        'sum(increase(activation_resync_total{reason="lease"}[10m]))',
        alert="QmtlLeaseLost",
    ),
)

CALLS: Final = (
    calls.rates(GATEWAY),
    calls.errors(GATEWAY),
    calls.durations(GATEWAY),
    calls.slowest(GATEWAY),
    calls.spread(GATEWAY),
)

SESSIONS: Final = (
    series("Sessions", "Held now, by gateway.", f"runner_sessions{{{GATEWAY}}}", "{{instance}}", stacked=True),
    loop.event_to_runner(f"{{{GATEWAY}}}"),
    series(
        "Acknowledgements refused",
        "Runners that acknowledged something that they were not told, by what did not fit, per second.",
        f"sum by (field) (rate(acknowledgements_refused_total{{{GATEWAY}}}[$__rate_interval]))",
        "{{field}}",
        unit=Unit.EVENTS,
    ),
)

ORDERS: Final = (
    series(
        "Orders accepted",
        "Intents stored in the order stream, by gateway, per second; a repetition counts again.",
        f"rate(orders_accepted_total{{{GATEWAY}}}[$__rate_interval])",
        "{{instance}}",
        unit=Unit.EVENTS,
        stacked=True,
    ),
    series(
        "Orders refused",
        "By reason, per second. GATE_CLOSED: a run or a hold; DEPENDENCY_UNAVAILABLE is unclear, some may be stored.",
        f"sum by (reason) (rate(orders_refused_total{{{GATEWAY}}}[$__rate_interval]))",
        "{{reason}}",
        unit=Unit.EVENTS,
        page=calls.CONTRACTS,
    ),
    heatmap(
        "Duration of publishing",
        "How many calls of PublishIntents took how long.",
        "rpc_duration_ms",
        f'{{{GATEWAY},method="qmtl.order.v1.OrderService/PublishIntents"}}',
    ),
)

LEASES: Final = (
    series(
        "Calls refused by limits",
        "Calls refused for what their caller asked at once, by limit, per second.",
        f"sum by (limit) (rate(calls_limited_total{{{GATEWAY}}}[$__rate_interval]))",
        "{{limit}}",
        unit=Unit.CALLS,
        page=LIMITS,
    ),
    series(
        "Leases lost, 10 m",
        "Worlds closed because a gateway's lease was over.",
        f'sum by (instance) (increase(activation_resync_total{{{GATEWAY},reason="lease"}}[10m]))',
        "{{instance}}",
        alert="QmtlLeaseLost",
    ),
    series(
        "Worlds closed and read anew",
        "By reason, in each interval; they open again when they were read.",
        f"sum by (reason) (increase(activation_resync_total{{{GATEWAY}}}[$__rate_interval]))",
        "{{reason}}",
        page="operations/index.md#metrics",
    ),
    series(
        "Downgrades by what is decided",
        "Contexts below what was asked for, because a decision is stale or cannot be had; per second.",
        f"sum by (reason) (rate(strategy_compute_context_downgrade_total{{{GATEWAY},{STALE}}}[2m]))",
        "{{reason}}",
        unit=Unit.EVENTS,
        alert="QmtlStaleDecisions",
    ),
    series(
        "Other downgrades",
        "Contexts below what was asked for, for other reasons than decisions; per second.",
        f"sum by (reason) (rate(strategy_compute_context_downgrade_total{{{GATEWAY},{OTHERS}}}[5m]))",
        "{{reason}}",
        unit=Unit.EVENTS,
        alert="QmtlDowngrades",
    ),
    series(
        "Wishes above the decision",
        "Authors ask for more than is decided, per second: no fault.",
        "sum(rate(strategy_compute_context_downgrade_total"
        f'{{{GATEWAY},reason="hint_above_decision"}}[$__rate_interval]))',
        "hint_above_decision",
        unit=Unit.EVENTS,
        page="concepts.md",
    ),
    series(
        "Submissions ended",
        "By gateway and outcome, per second.",
        f"sum by (instance, outcome) (rate(gateway_submissions_total{{{GATEWAY}}}[$__rate_interval]))",
        "{{instance}} {{outcome}}",
        unit=Unit.EVENTS,
        page="submission.md",
        width=12,
    ),
    series(
        "Wrong NodeIDs, 10 m",
        "Nodes that were sent under an id that is not theirs; must be 0.",
        f"sum by (instance) (increase(nodeid_crc_mismatch_total{{{GATEWAY}}}[10m]))",
        "{{instance}}",
        alert="QmtlNodeIdMismatch",
        width=12,
    ),
)

BOARD: Final = Board(
    "qmtl-gateways",
    "QMTL / Gateways",
    "Gateways: calls, sessions, orders, limits of callers, leases and gates.",
    (Variable("instance", "Gateway", "runner_sessions"),),
    (
        Section("Now", NOW),
        Section("Calls", CALLS),
        Section("Sessions", SESSIONS),
        Section("Orders", ORDERS),
        Section("Limits, leases, downgrades", LEASES),
        Section("Processes", calls.usage(GATEWAY)),
    ),
)
