"""The loop as a whole: submissions, the graph, evaluations, applies, orders; is anything wrong, and where."""

from __future__ import annotations

from typing import Any, Final

from helm.dashboards import calls, loop
from helm.dashboards.board import Board, Section, Variable
from helm.dashboards.panels import Panel, Query, Unit, series, stat, states

JOBS: Final = 'job=~"qmtl.*"'
CHOSEN: Final = 'job=~"$job",instance=~"$instance"'
EVALUATE: Final = '{method="qmtl.evaluation.v1.EvaluationService/Evaluate"}'
OPERATIONS: Final = "operations/index.md#metrics"


def answering(title: str, says: str, service: str, **stated: Any) -> Panel:
    """Return how many processes of a service answer now."""
    return stat(title, says, f'count(up{{job="qmtl-{service}"}} == 1) or vector(0)', **stated)


NOW: Final = (
    stat(
        "Services down",
        "Services whose metrics are not answered.",
        f"count(up{{{JOBS}}} == 0) or vector(0)",
        alert="QmtlServiceDown",
    ),
    answering(
        "Gateways",
        "Gateways that answer. Without one no client reaches anything.",
        "gateway",
        alert="QmtlNoGateway",
        wanted=True,
    ),
    answering(
        "World services",
        "World services that answer. Without one nothing is decided, and gates close with their leases.",
        "world",
        alert="QmtlNoWorldService",
        wanted=True,
    ),
    answering(
        "DAG managers",
        "DAG managers that answer. Without one submissions wait.",
        "dagmgr",
        alert="QmtlNoDagManager",
        wanted=True,
    ),
    answering(
        "Executors",
        "Executors that answer. Without its executor a world's orders wait, and so do its runs.",
        "executor",
        alert="QmtlNoExecutor",
    ),
    stat(
        "Alerts firing",
        "Alerts of QMTL that fire now; they stand as lines on all panels.",
        'count(ALERTS{alertname=~"Qmtl.*",alertstate="firing"}) or vector(0)',
        page="operations/index.md#alerts",
    ),
    calls.rate_now(CHOSEN),
    calls.faults_now(CHOSEN),
    calls.duration_now(CHOSEN),
    stat(
        "Worlds held",
        "Worlds that are closed until an operator ends a hold.",
        "count(count by (world) (world_held)) or vector(0)",
        alert="QmtlWorldHeld",
    ),
    loop.runs_under_way(),
    loop.announced_late(),
    loop.cross_context_hits(width=8),
    loop.wrong_node_ids(width=8),
    stat("Sessions", "Runners' sessions that gateways hold.", "sum(runner_sessions)", page="live.md", width=8),
)

CALLS: Final = (
    calls.rates(CHOSEN, "job"),
    calls.errors(CHOSEN),
    calls.durations(CHOSEN),
    calls.slowest(CHOSEN),
    calls.spread(CHOSEN),
)

LOOP: Final = (
    loop.submissions_ended(),
    series(
        "Merges into the graph, p95",
        "One in twenty merges of a strategy version took longer.",
        "histogram_quantile(0.95, sum by (le) (rate(diff_duration_ms_bucket[$__rate_interval])))",
        "p95",
        unit=Unit.MILLISECONDS,
        alert="QmtlDiffSlow",
    ),
    series(
        "Evaluations",
        "Calls of Evaluate that the world service answered, by status, per second.",
        f"sum by (code) (rate({calls.COUNT}{EVALUATE}[$__rate_interval]) unless on (instance) runner_sessions)",
        "{{code}}",
        unit=Unit.CALLS,
    ),
    loop.runs_ended("Apply runs ended"),
    loop.event_to_runner(page=OPERATIONS),
    Panel(
        "Orders",
        "Intents that gateways stored, and what executors made of them, per second.",
        (
            Query("sum(rate(orders_accepted_total[$__rate_interval]))", "accepted"),
            Query("sum(rate(orders_refused_total[$__rate_interval]))", "refused by a gateway"),
            Query("sum(rate(orders_executed_total[$__rate_interval]))", "executed"),
            Query("sum(rate(orders_fenced_total[$__rate_interval]))", "fenced"),
            Query("sum(rate(executor_refused_total[$__rate_interval]))", "refused by an executor"),
        ),
        unit=Unit.EVENTS,
        page=OPERATIONS,
    ),
)

PROCESSES: Final = (
    states(
        "Up",
        "Whether a service's metrics are answered.",
        f"up{{{JOBS},{CHOSEN}}}",
        "{{job}} {{instance}}",
        ((0, "down", "red"), (1, "up", "green")),
        width=24,
        height=6,
        alert="QmtlServiceDown",
    ),
    *calls.usage(f"{JOBS},{CHOSEN}"),
)

BOARD: Final = Board(
    "qmtl-core-loop",
    "QMTL / Core loop",
    "Is anything wrong, and in which part of the loop: calls, submissions, evaluations, applies, orders.",
    (
        Variable("job", "Service", f"up{{{JOBS}}}"),
        Variable("instance", "Instance", f'up{{{JOBS},job=~"$job"}}'),
    ),
    (
        Section("Now", NOW),
        Section("Calls", CALLS),
        Section("The loop", LOOP),
        Section("Processes", PROCESSES),
    ),
)
