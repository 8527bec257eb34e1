"""The one mapping from what a world decided to where a strategy computes, and every reason to stand below it.

Pure. Whatever is missing, stale or ambiguous means compute-only with gates closed; a caller's hint raises nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

DECISION_TTL_SECONDS: Final = 300
DOWNGRADE_METRIC: Final = "strategy_compute_context_downgrade_total"


class EffectiveMode(StrEnum):
    """What a world lets a strategy do."""

    VALIDATE = "validate"
    COMPUTE_ONLY = "compute-only"
    PAPER = "paper"
    LIVE = "live"
    SHADOW = "shadow"


class ExecutionDomain(StrEnum):
    """Where a computation runs."""

    BACKTEST = "backtest"
    DRYRUN = "dryrun"
    LIVE = "live"
    SHADOW = "shadow"


class DowngradeReason(StrEnum):
    """Why a compute context stands below what was decided or asked for."""

    MISSING_AS_OF = "missing_as_of"
    DECISION_UNAVAILABLE = "decision_unavailable"
    DECISION_STALE = "decision_stale"
    LIVE_NOT_ALLOWED = "live_not_allowed"
    UNKNOWN_MODE = "unknown_mode"
    MISSING_FINGERPRINT = "missing_fingerprint"
    HINT_ABOVE_DECISION = "hint_above_decision"


@dataclass(frozen=True, slots=True)
class DomainRule:
    """Say what one effective mode means: its domain, and where its orders go."""

    domain: ExecutionDomain
    orders: str


DOMAIN_RULES: Final[Mapping[EffectiveMode, DomainRule]] = {
    EffectiveMode.VALIDATE: DomainRule(ExecutionDomain.BACKTEST, "gated off"),
    EffectiveMode.COMPUTE_ONLY: DomainRule(ExecutionDomain.BACKTEST, "gated off"),
    EffectiveMode.PAPER: DomainRule(ExecutionDomain.DRYRUN, "paper executor"),
    EffectiveMode.LIVE: DomainRule(ExecutionDomain.LIVE, "venue, only with `allow_live` and a passed apply"),
    EffectiveMode.SHADOW: DomainRule(ExecutionDomain.SHADOW, "live inputs, orders hard-blocked; operators only"),
}

# What a world may be set to; SHADOW is reached by operators through an apply only.
WORLD_MODES: Final = (EffectiveMode.COMPUTE_ONLY, EffectiveMode.PAPER, EffectiveMode.LIVE)

# Whose orders an executor takes.
ORDER_MODES: Final = frozenset({EffectiveMode.PAPER, EffectiveMode.LIVE})

ALIASES: Final[Mapping[str, EffectiveMode]] = {"sim": EffectiveMode.PAPER}

# How much each mode lets happen; a hint may only go down this list. Shadow stands apart: nobody reaches it by a hint.
_RANK: Final[Mapping[EffectiveMode, int]] = {
    EffectiveMode.COMPUTE_ONLY: 0,
    EffectiveMode.VALIDATE: 1,
    EffectiveMode.PAPER: 2,
    EffectiveMode.LIVE: 3,
}


@dataclass(frozen=True, slots=True)
class DecisionTerms:
    """Hold of a decision what the mapping needs. ``effective_mode`` is text: a mode may come from a newer release."""

    effective_mode: str
    allow_live: bool
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ContextTerms:
    """Say under which terms a strategy computes."""

    mode: EffectiveMode
    domain: ExecutionDomain
    reasons: tuple[DowngradeReason, ...]
    safe_mode: bool

    @property
    def downgraded(self) -> bool:
        """Tell whether anything was taken away."""
        return bool(self.reasons)


def parse_mode(text: str) -> EffectiveMode | None:
    """Return the mode that a text names, with its aliases; None when it names none."""
    try:
        return ALIASES.get(text) or EffectiveMode(text)
    except ValueError:
        return None


def domain_of(mode: EffectiveMode | None) -> ExecutionDomain:
    """Return the execution domain of a mode; what is unknown is backtest."""
    return ExecutionDomain.BACKTEST if mode is None else DOMAIN_RULES[mode].domain


def derive_context(
    decision: DecisionTerms | None, *, hint: str, as_of: str, dataset_fingerprint: str, now: datetime
) -> ContextTerms:
    """Derive the terms under which a strategy computes.

    ``hint`` is the mode that the caller would like (empty: none), ``as_of`` the dataset snapshot and
    ``dataset_fingerprint`` the data (empty: missing). Every reason to stand lower is returned, in the order found.
    """
    mode, reasons = _decided(decision, now)
    if hint:
        wanted = parse_mode(hint)
        if wanted is None:
            mode = EffectiveMode.COMPUTE_ONLY
            reasons.append(DowngradeReason.UNKNOWN_MODE)
        elif _is_above(wanted, mode):
            reasons.append(DowngradeReason.HINT_ABOVE_DECISION)
        else:
            mode = wanted
    domain = domain_of(mode)
    if not as_of and domain in {ExecutionDomain.BACKTEST, ExecutionDomain.DRYRUN}:
        mode = EffectiveMode.COMPUTE_ONLY
        reasons.append(DowngradeReason.MISSING_AS_OF)
    if not dataset_fingerprint and domain is not ExecutionDomain.BACKTEST:
        mode = EffectiveMode.COMPUTE_ONLY
        reasons.append(DowngradeReason.MISSING_FINGERPRINT)
    # A hint that was too high takes nothing away from the decision; any other reason means that something is not known.
    safe_mode = any(reason is not DowngradeReason.HINT_ABOVE_DECISION for reason in reasons)
    return ContextTerms(mode, domain_of(mode), tuple(dict.fromkeys(reasons)), safe_mode)


def _decided(decision: DecisionTerms | None, now: datetime) -> tuple[EffectiveMode, list[DowngradeReason]]:
    if decision is None:
        return EffectiveMode.COMPUTE_ONLY, [DowngradeReason.DECISION_UNAVAILABLE]
    if now >= decision.expires_at:
        return EffectiveMode.COMPUTE_ONLY, [DowngradeReason.DECISION_STALE]
    mode = parse_mode(decision.effective_mode)
    if mode is None:
        return EffectiveMode.COMPUTE_ONLY, [DowngradeReason.UNKNOWN_MODE]
    if mode is EffectiveMode.LIVE and not decision.allow_live:
        return EffectiveMode.COMPUTE_ONLY, [DowngradeReason.LIVE_NOT_ALLOWED]
    return mode, []


def _is_above(wanted: EffectiveMode, decided: EffectiveMode) -> bool:
    if wanted is decided:
        return False
    if wanted is EffectiveMode.SHADOW:
        return True
    # Under a shadow decision only compute-only and validate are lower.
    return _RANK[wanted] > _RANK.get(decided, _RANK[EffectiveMode.VALIDATE])
