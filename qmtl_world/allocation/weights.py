"""Weights: what fraction of a world each active strategy gets, by the policy's method. Pure.

Every weight is in [0, max_weight], they sum to at most 1, and the rest is cash. What the cap cuts off goes to the
others in proportion (water-filling) until all are capped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Weighting(StrEnum):
    """Name how the active strategies share the world."""

    EQUAL = "equal"
    SCORE = "score"
    INVERSE_VOLATILITY = "inverse_volatility"


@dataclass(frozen=True, slots=True)
class WeightRules:
    """Say how the active strategies share the world, and the most that one of them gets, as a fraction."""

    method: Weighting = Weighting.EQUAL
    max_weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Share:
    """Hold what a strategy's weight may depend on: its score, and its volatility per year (a fraction)."""

    score: float
    volatility: float


def weigh(shares: Sequence[Share], rules: WeightRules) -> tuple[float, ...]:
    """Return the weight of each share, in their order.

    ``score`` gives in proportion to positive scores, and equally where none is positive; ``inverse_volatility`` gives
    nothing to a strategy whose volatility is not a positive finite number.
    """
    return _fill([_claim(share, rules.method) for share in _judged(shares, rules.method)], rules.max_weight)


def _judged(shares: Sequence[Share], method: Weighting) -> Sequence[Share]:
    if method is Weighting.SCORE and not any(_positive(share.score) for share in shares):
        return [Share(1.0, share.volatility) for share in shares]
    return shares


def _claim(share: Share, method: Weighting) -> float:
    if method is Weighting.EQUAL:
        return 1.0
    if method is Weighting.SCORE:
        return share.score if _positive(share.score) else 0.0
    # Below the smallest normal double the inverse overflows.
    inverse = 1.0 / share.volatility if _positive(share.volatility) and share.volatility > 1e-300 else 0.0
    return inverse if math.isfinite(inverse) else 0.0


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0.0


def _fill(claims: Sequence[float], cap: float) -> tuple[float, ...]:
    """Share 1 in proportion to the claims with no share above the cap; what nobody can take stays cash."""
    largest = max(claims, default=0.0)
    if largest <= 0.0:
        return (0.0,) * len(claims)
    claims = [claim / largest for claim in claims]  # scaled, so that their sum cannot overflow
    weights = [0.0] * len(claims)
    free, rest = [index for index, claim in enumerate(claims) if claim > 0.0], 1.0
    while free:
        total = math.fsum(claims[index] for index in free)
        over = [index for index in free if rest * claims[index] / total > cap]
        if not over:
            for index in free:
                weights[index] = rest * claims[index] / total
            break
        for index in over:
            weights[index] = cap
        rest = max(0.0, rest - cap * len(over))
        free = [index for index in free if index not in set(over)]
    return _at_most_one(weights)


def _at_most_one(weights: list[float]) -> tuple[float, ...]:
    """Take what rounding put above a sum of 1 from the largest weight."""
    excess = math.fsum(weights) - 1.0
    while excess > 0.0:
        index = weights.index(max(weights))
        weights[index] = max(0.0, math.nextafter(weights[index] - excess, 0.0))
        excess = math.fsum(weights) - 1.0
    return tuple(weights)
