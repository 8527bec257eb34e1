"""Decide one round of a world: which strategies of the cohort are active, with which weight, and why. Pure.

1. Each strategy by itself: data, sample, proofs, gates, score (``assessment.py``).
2. Top-k: the valid ones by score, in total and by side. Ties go by id.
3. Constraints, by score: the own exposure, then the correlation with those already chosen.
4. Hysteresis: an active strategy that was chosen stays, one that was not is held for a while, a new one waits for a
   while. The held and the new ones come in, in this order, as far as top-k and constraints leave room: the active set
   obeys both in every round.
5. Weights (``allocation/weights.py``) and contributions (``contribution.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from qmtl_world.evaluation.assessment import Assessment, assess, at_least, at_most, judge_exposure
from qmtl_world.evaluation.contribution import ScoredSet
from qmtl_world.evaluation.correlation import MIN_COMMON_BARS, ChosenReturns
from qmtl_world.evaluation.model import (
    Cohort,
    HysteresisRules,
    Policy,
    RoundDecision,
    RoundState,
    RuleOutcome,
    SelectRules,
    Side,
    Status,
    StrategyDecision,
    StrategyState,
)

if TYPE_CHECKING:
    from qmtl_world.evaluation.policy import CompiledPolicy

Outcomes = dict[str, list[RuleOutcome]]


def decide(cohort: Cohort, policy: CompiledPolicy, previous: RoundState) -> RoundDecision:
    """Return the decision of a round, and the state that the next one starts from.

    A round is a distinct ``as_of``: deciding again for the same (or an older) one replaces that round's decision and
    counts nothing twice. The order of the candidates does not matter.
    """
    assessed = sorted((assess(candidate, policy) for candidate in cohort.candidates), key=lambda found: found.order)
    outcomes: Outcomes = {found.candidate.strategy_id: list(found.rules) for found in assessed}
    chosen = _choose(assessed, policy.policy, outcomes)
    as_of, before = _start(cohort.as_of, previous)
    states = {state.strategy_id: state for state in before}
    active = _settle(assessed, chosen, states, policy.policy, outcomes)
    world = ScoredSet(active, policy.policy.weights, cohort.periods_per_year)
    after = _advance(assessed, chosen, frozenset(world.weights), states)
    decisions = (_conclude(found, world, outcomes) for found in assessed)
    return RoundDecision(
        as_of=as_of,
        strategies=tuple(sorted(decisions, key=lambda decision: decision.strategy_id)),
        world_score=world.score,
        state=RoundState(as_of, before, after),
    )


class _Places:
    """The places of an active set: how many there are, who has one, and whether another strategy may join."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._returns = ChosenReturns()
        self._taken: Counter[Side] = Counter()

    def judge_rank(self, found: Assessment) -> list[RuleOutcome]:
        """Return the outcomes of the limits on the number of strategies."""
        select, side = self._policy.select, found.candidate.side
        rank = self._taken.total() + 1
        outcomes = [_ranked("select.top_k", found, "active strategy", rank, select.top_k)]
        limit = _side_limit(select, side)
        if limit is not None:
            rank = self._taken[side] + 1
            outcomes.append(_ranked(f"select.top_k_{side.value}", found, f"active {side.value} strategy", rank, limit))
        return outcomes

    def judge_constraints(self, found: Assessment) -> list[RuleOutcome]:
        """Return the outcomes of the limits on exposure and correlation."""
        rules = self._policy.constraints
        outcomes = judge_exposure(found.candidate, rules)
        alike = self._returns.most_alike(found.candidate) if rules.max_correlation is not None else None
        if rules.max_correlation is None or alike is None:
            return outcomes
        rule, limit = "constraints.max_correlation", rules.max_correlation
        if alike.correlation != alike.correlation:
            message = (
                f"{rule}: correlation with {alike.strategy_id} is unknown, "
                f"needs {MIN_COMMON_BARS} common bars and variance, and <= {limit:g}"
            )
            return [*outcomes, RuleOutcome(rule, False, None, limit, message)]
        return [*outcomes, at_most(rule, f"correlation with {alike.strategy_id}", alike.correlation, limit)]

    def rank(self, found: Assessment) -> None:
        """Give a place to a strategy, for its rank alone."""
        self._taken[found.candidate.side] += 1

    def compare(self, found: Assessment) -> None:
        """Let the next ones be compared with a strategy's returns."""
        if self._policy.constraints.max_correlation is not None:
            self._returns.add(found.candidate)


def _choose(assessed: Sequence[Assessment], policy: Policy, outcomes: Outcomes) -> frozenset[str]:
    """Return the ids that top-k and constraints choose from a ranked cohort, and note each outcome."""
    places = _Places(policy)
    ranked = []
    for found in assessed:
        if found.selectable and _note(outcomes, found, places.judge_rank(found)):
            places.rank(found)
            ranked.append(found)
    chosen = []
    for found in ranked:
        if _note(outcomes, found, places.judge_constraints(found)):
            places.compare(found)
            chosen.append(found.candidate.strategy_id)
    return frozenset(chosen)


def _settle(
    assessed: Sequence[Assessment],
    chosen: frozenset[str],
    states: Mapping[str, StrategyState],
    policy: Policy,
    outcomes: Outcomes,
) -> list[Assessment]:
    """Return the active set after hysteresis, and note who is held, who waits and who finds no room."""
    places = _Places(policy)
    active, held, ready = [], [], []
    for found in assessed:
        state = states.get(found.candidate.strategy_id, StrategyState(found.candidate.strategy_id))
        is_chosen = state.strategy_id in chosen
        if is_chosen and state.active:
            places.rank(found)
            places.compare(found)
            active.append(found)
        elif state.active and _note(outcomes, found, _judge_hold(found, state, policy.hysteresis)):
            held.append(found)
        elif is_chosen and _note(outcomes, found, [_judge_promotion(state, policy.hysteresis)]):
            ready.append(found)
    for found in (*held, *ready):
        judged = [*places.judge_rank(found), *places.judge_constraints(found)]
        if all(outcome.passed for outcome in judged):
            places.rank(found)
            places.compare(found)
            active.append(found)
        else:
            outcomes[found.candidate.strategy_id] += [_crowded_out(outcome) for outcome in judged if not outcome.passed]
    return active


def _judge_hold(found: Assessment, state: StrategyState, rules: HysteresisRules) -> list[RuleOutcome]:
    """Return whether an active strategy that was not chosen is held: for demote_after rounds, or its dwell.

    One that a proof refuses, that has no score or nothing to hold, or that the world bars, is never held.
    """
    candidate = found.candidate
    barred = not candidate.has_target or bool(candidate.blockers)
    if found.status is Status.REJECTED or found.score is None or barred:
        return [_outcome("hysteresis.demote_after", False, 0, 0, "is not held: it may not be active at all")]
    missed, dwell = state.streak + 1, state.dwell_rounds
    if dwell < rules.min_dwell_rounds:
        sentence = f"is held: active for {dwell} of at least {rules.min_dwell_rounds} rounds"
        return [_outcome("hysteresis.min_dwell_rounds", True, dwell, rules.min_dwell_rounds, sentence)]
    is_held = missed < rules.demote_after
    sentence = f"{'is held' if is_held else 'is demoted'}: not chosen in {missed} of {rules.demote_after} rounds"
    return [_outcome("hysteresis.demote_after", is_held, missed, rules.demote_after, sentence)]


def _judge_promotion(state: StrategyState, rules: HysteresisRules) -> RuleOutcome:
    return at_least("hysteresis.promote_after", "rounds chosen", state.streak + 1, rules.promote_after)


def _outcome(rule: str, passed: bool, value: float, limit: float, sentence: str) -> RuleOutcome:
    return RuleOutcome(rule, passed, float(value), float(limit), f"{rule}: {sentence}")


def _ranked(rule: str, found: Assessment, place: str, rank: int, limit: int) -> RuleOutcome:
    sentence = f"with score {found.score:g} it would be {place} {rank}, needs <= {limit}"
    return _outcome(rule, rank <= limit, rank, limit, sentence)


def _crowded_out(outcome: RuleOutcome) -> RuleOutcome:
    message = f"{outcome.message}, beside the strategies that are active already"
    return RuleOutcome(outcome.rule, False, outcome.value, outcome.limit, message)


def _note(outcomes: Outcomes, found: Assessment, judged: list[RuleOutcome]) -> bool:
    outcomes[found.candidate.strategy_id] += judged
    return all(outcome.passed for outcome in judged)


def _side_limit(select: SelectRules, side: Side) -> int | None:
    return {Side.LONG: select.top_k_long, Side.SHORT: select.top_k_short}.get(side)


def _start(as_of: datetime, previous: RoundState) -> tuple[datetime, tuple[StrategyState, ...]]:
    """Return the round that is decided and the states before it."""
    if previous.as_of is None or as_of > previous.as_of:
        return as_of, previous.after
    return previous.as_of, previous.before


def _advance(
    assessed: Iterable[Assessment], chosen: frozenset[str], active: frozenset[str], states: Mapping[str, StrategyState]
) -> tuple[StrategyState, ...]:
    """Return the states after the round; a strategy that left the cohort is forgotten."""
    return tuple(
        _next_state(states.get(strategy_id, StrategyState(strategy_id)), strategy_id in chosen, strategy_id in active)
        for strategy_id in sorted(found.candidate.strategy_id for found in assessed)
    )


def _next_state(state: StrategyState, is_chosen: bool, is_active: bool) -> StrategyState:
    if is_active:
        streak = 0 if is_chosen or not state.active else state.streak + 1
        return StrategyState(state.strategy_id, True, streak, state.dwell_rounds + 1 if state.active else 1)
    # One that was demoted in this round begins anew; a chosen one that waits keeps counting.
    return StrategyState(state.strategy_id, False, state.streak + 1 if is_chosen and not state.active else 0, 0)


def _conclude(found: Assessment, world: ScoredSet, outcomes: Outcomes) -> StrategyDecision:
    strategy_id = found.candidate.strategy_id
    is_active = strategy_id in world.weights
    return StrategyDecision(
        strategy_id=strategy_id,
        status=found.status,
        active=is_active,
        side=found.candidate.side,
        weight=world.weights.get(strategy_id, 0.0),
        score=found.score,
        contribution=world.contribution(found) if found.status is Status.VALID or is_active else None,
        rules=tuple(outcomes[strategy_id]),
    )
