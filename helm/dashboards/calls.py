"""Panels that several dashboards have: calls by rate, errors and duration, and processes by what they use."""

from __future__ import annotations

from typing import Final

from helm.dashboards.panels import Panel, Unit, heatmap, quantiles, series, stat
from qmtl_foundation.rpc import outcome

FAULTS: Final = "|".join(sorted(each.name for each in outcome.FAULTS))  # of ours, not of what was asked
COUNT: Final = "rpc_duration_ms_count"
CONTRACTS: Final = "contracts.md#errors"


def rate_now(match: str) -> Panel:
    """Return how many calls a second are answered now."""
    return stat(
        "Calls", "Calls that ended, per second.", f"sum(rate({COUNT}{{{match}}}[$__rate_interval]))", unit=Unit.CALLS
    )


def faults_now(match: str) -> Panel:
    """Return which share of calls fails by a fault of ours."""
    failed = f'sum(rate({COUNT}{{{match},code=~"{FAULTS}"}}[$__rate_interval])) or vector(0)'
    return stat(
        "Failed calls",
        "Share of calls that ended by a fault of QMTL or of what it stands on; refusals are not counted.",
        f"({failed}) / sum(rate({COUNT}{{{match}}}[$__rate_interval]))",
        unit=Unit.SHARE,
        page=CONTRACTS,
    )


def duration_now(match: str) -> Panel:
    """Return how long one in twenty calls takes at least."""
    rates = f'sum by (le) (rate(rpc_duration_ms_bucket{{{match},kind="unary"}}[$__rate_interval]))'
    return stat(
        "Duration, p95",
        "One in twenty calls took longer; streams are left out, which last as long as their callers want.",
        f"histogram_quantile(0.95, {rates})",
        unit=Unit.MILLISECONDS,
    )


def rates(match: str, by: str = "method") -> Panel:
    """Return calls per second."""
    return series(
        f"Calls by {by}",
        "Calls that ended, per second. What a gateway forwards counts there and at the service that answers.",
        f"sum by ({by}) (rate({COUNT}{{{match}}}[$__rate_interval]))",
        f"{{{{{by}}}}}",
        unit=Unit.CALLS,
    )


def errors(match: str) -> Panel:
    """Return calls that did not end well, per second."""
    return series(
        "Calls that did not end well",
        "By the status that callers got. CANCELLED: the caller went away, also from a stream, which is usual.",
        f'sum by (method, code) (rate({COUNT}{{{match},code!="OK"}}[$__rate_interval]))',
        "{{code}} {{method}}",
        unit=Unit.CALLS,
        page=CONTRACTS,
    )


def durations(match: str) -> Panel:
    """Return quantiles of how long calls take."""
    return quantiles(
        "Duration of calls",
        "From a call's arrival to its status, without streams.",
        "rpc_duration_ms",
        f'{{{match},kind="unary"}}',
        unit=Unit.MILLISECONDS,
    )


def slowest(match: str) -> Panel:
    """Return the 95th percentile of each method."""
    rates = f'sum by (le, method) (rate(rpc_duration_ms_bucket{{{match},kind="unary"}}[$__rate_interval]))'
    return series(
        "Duration by method, p95",
        "One in twenty calls of a method took longer.",
        f"histogram_quantile(0.95, {rates})",
        "{{method}}",
        unit=Unit.MILLISECONDS,
        width=12,
    )


def spread(match: str) -> Panel:
    """Return how durations of calls are spread."""
    return heatmap(
        "Spread of durations", "How many calls took how long.", "rpc_duration_ms", f'{{{match},kind="unary"}}', width=12
    )


def usage(match: str) -> list[Panel]:
    """Return what processes use: processor, memory, files and connections."""
    return [
        series(
            "Processor",
            "Cores that a process keeps busy. A service's event loop is one thread: near 1 it is saturated. The worker "
            "processes of the world service are not counted.",
            f"rate(process_cpu_seconds_total{{{match}}}[$__rate_interval])",
            "{{job}} {{instance}}",
        ),
        series(
            "Memory",
            "Resident memory of a process.",
            f"process_resident_memory_bytes{{{match}}}",
            "{{job}} {{instance}}",
            unit=Unit.BYTES,
        ),
        series(
            "Files and connections",
            "Share of the file descriptors that a process may have; each connection takes one.",
            f"process_open_fds{{{match}}} / process_max_fds{{{match}}}",
            "{{job}} {{instance}}",
            unit=Unit.SHARE,
            most=1,
        ),
    ]
