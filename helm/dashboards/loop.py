"""Panels of the loop that several dashboards have: runs, events, submissions, and what must be 0."""

from __future__ import annotations

from typing import Any

from helm.dashboards.panels import Panel, Unit, quantiles, series, stat


def runs_under_way() -> Panel:
    """Return how many apply runs go on now."""
    return stat(
        "Runs under way",
        "Apply runs that go on now.",
        "count(count by (world) (apply_ack_outstanding)) or vector(0)",
        alert="QmtlApplyStuck",
    )


def announced_late() -> Panel:
    """Return how long the oldest event or mark waits now."""
    return stat(
        "Announced late by",
        "Age of the oldest event or mark that is not in its stream.",
        "max(outbox_lag_seconds)",
        unit=Unit.SECONDS,
        alert="QmtlOutboxLag",
    )


def cross_context_hits(**stated: Any) -> Panel:
    """Return how many results of another compute context runners found."""
    return stat(
        "Cross-context hits, 10 m",
        "Cached results of another compute context that runners found, and did not use; must be 0.",
        "sum(increase(cross_context_cache_hit_total[10m]))",
        alert="QmtlCrossContextHit",
        **stated,
    )


def wrong_node_ids(**stated: Any) -> Panel:
    """Return how many nodes were sent under wrong ids."""
    return stat(
        "Wrong NodeIDs, 10 m",
        "Nodes that were sent under an id that is not theirs; must be 0.",
        "sum(increase(nodeid_crc_mismatch_total[10m]))",
        alert="QmtlNodeIdMismatch",
        **stated,
    )


def submissions_ended(more: str = "") -> Panel:
    """Return how submissions ended; ``more`` is said of them besides."""
    return series(
        "Submissions ended",
        f"By outcome, per second{more}.",
        "sum by (outcome) (rate(gateway_submissions_total[$__rate_interval]))",
        "{{outcome}}",
        unit=Unit.EVENTS,
        page="submission.md",
    )


def runs_ended(title: str) -> Panel:
    """Return how apply runs ended."""
    return series(
        title,
        "By outcome, in each interval.",
        "sum by (outcome) (increase(apply_runs_total[$__rate_interval]))",
        "{{outcome}}",
        alert="QmtlApplyRolledBack",
    )


def event_to_runner(match: str = "", **stated: Any) -> Panel:
    """Return how long events are on their way to runners and back."""
    return quantiles(
        "From an event to a runner",
        "From the writing of an activation event to a runner's acknowledgement of it.",
        "activation_skew_seconds",
        match,
        unit=Unit.SECONDS,
        **stated,
    )
