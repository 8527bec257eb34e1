"""Apply runs and the executors that follow them: holds, phases, who is awaited, what is announced, what is fenced."""

from __future__ import annotations

from typing import Final

from helm.dashboards import calls, loop
from helm.dashboards.board import Board, Section, Variable
from helm.dashboards.panels import Panel, Query, Unit, heatmap, quantiles, series, stat, states

WORLD: Final = 'world=~"$world"'
METHODS: Final = 'method=~"qmtl.apply.v1.ApplyService/.*"'
PROTOCOL: Final = "architecture/apply.md"
EXECUTOR: Final = "runbooks/dead-executor.md"

NOW: Final = (
    stat(
        "Held: streams astray",
        "Worlds whose streams and database disagree.",
        'count(count by (world) (world_held{reason="stream_astray"})) or vector(0)',
        alert="QmtlStreamsAstray",
    ),
    stat(
        "Held: other reasons",
        "Worlds that are closed until an operator ends a hold.",
        'count(count by (world) (world_held{reason!="stream_astray"})) or vector(0)',
        alert="QmtlWorldHeld",
    ),
    loop.runs_under_way(),
    stat(
        "Awaited",
        "Most participants that a run waits for.",
        "max(max by (world) (apply_ack_outstanding)) or vector(0)",
        alert="QmtlAckOutstanding",
    ),
    stat(
        "Rolled back, 15 m",
        "Runs that were undone.",
        'sum(increase(apply_runs_total{outcome="rolled_back"}[15m]))',
        alert="QmtlApplyRolledBack",
    ),
    loop.announced_late(),
)

CALLS: Final = (calls.rates(METHODS), calls.errors(METHODS), calls.durations(METHODS))

RUNS: Final = (
    loop.runs_ended("Runs ended"),
    series(
        "Participants awaited",
        "Gateways and executors that a world's run waits for; no line without a run.",
        f"max by (world) (apply_ack_outstanding{{{WORLD}}})",
        "{{world}}",
        alert="QmtlAckOutstanding",
    ),
    states(
        "Holds",
        "Worlds that are held, by reason.",
        f"max by (world, reason) (world_held{{{WORLD}}})",
        "{{world}}: {{reason}}",
        ((1, "held", "orange"),),
        page="runbooks/frozen-world.md",
    ),
    quantiles(
        "Phases",
        "How long phases took, all of them.",
        "apply_phase_duration_ms",
        unit=Unit.MILLISECONDS,
        page=PROTOCOL,
    ),
    series(
        "Each phase, p95",
        "One in twenty phases of a kind took longer; rollback is the way back.",
        "histogram_quantile(0.95, sum by (le, phase) (rate(apply_phase_duration_ms_bucket[$__rate_interval])))",
        "{{phase}}",
        unit=Unit.MILLISECONDS,
        page=PROTOCOL,
    ),
    heatmap("Spread of phases", "How many phases took how long.", "apply_phase_duration_ms"),
    series(
        "Waiting to be announced",
        "Age of the oldest event or mark that is not in its stream, as each world service sees it.",
        "outbox_lag_seconds",
        "{{instance}}",
        unit=Unit.SECONDS,
        alert="QmtlOutboxLag",
        width=12,
    ),
    loop.event_to_runner(width=12),
)

EXECUTORS: Final = (
    states(
        "Open",
        "Whether the newest mark that an executor has passed is an Open.",
        f"executor_open{{{WORLD}}}",
        "{{world}} {{instance}}",
        ((0, "closed", "orange"), (1, "open", "green")),
        page=EXECUTOR,
    ),
    series(
        "Behind",
        "Messages of a world that its executor has still to read.",
        f"executor_behind_messages{{{WORLD}}}",
        "{{world}} {{instance}}",
        page=EXECUTOR,
    ),
    series(
        "Epoch",
        "Epoch of the newest Fence that an executor has passed: each run and each stop takes the next.",
        f"executor_epoch{{{WORLD}}}",
        "{{world}} {{instance}}",
        page=EXECUTOR,
    ),
    series(
        "Place",
        "Place in the order stream that is settled.",
        f"executor_position{{{WORLD}}}",
        "{{world}} {{instance}}",
        page=EXECUTOR,
        width=6,
    ),
    series(
        "Executed",
        "Intents that were taken, once each, per second.",
        f"sum by (world) (rate(orders_executed_total{{{WORLD}}}[$__rate_interval]))",
        "{{world}}",
        unit=Unit.EVENTS,
        width=6,
    ),
    series(
        "Fenced, 10 m",
        "Intents that were kept from the venue by where they stood; usual around a run, a stop or a killed gateway, so "
        "that the alert leaves out the first two.",
        f"sum by (world) (increase(orders_fenced_total{{{WORLD}}}[10m]))",
        "{{world}}",
        alert="QmtlOrdersFenced",
        width=6,
    ),
    Panel(
        "Refused",
        "Intents that were kept from the venue by what they said, per second.",
        [Query(f"sum by (world) (rate(executor_refused_total{{{WORLD}}}[$__rate_interval]))", "{{world}}")],
        unit=Unit.EVENTS,
        width=6,
    ),
)

BOARD: Final = Board(
    "qmtl-apply",
    "QMTL / Apply",
    "Apply runs: what is held, how long phases take, who is awaited, what is announced, and what executors make of it.",
    (Variable("world", "World", "executor_behind_messages"),),
    (
        Section("Now", NOW),
        Section("Calls of the apply service", CALLS),
        Section("Runs", RUNS),
        Section("Executors", EXECUTORS),
    ),
)
