"""Assess one strategy by itself: data currency, sample, proofs, gates, score. Pure; no other strategy matters here.

Every rule is judged, also after one has failed: an author wants to see all that is in the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qmtl_world.evaluation.model import (
    NO_TARGET_RULE,
    SCORE_RULE,
    Candidate,
    ConstraintRules,
    DataFacts,
    DataRules,
    Proof,
    ProofState,
    RuleOutcome,
    SampleFacts,
    SampleRules,
    Status,
)

if TYPE_CHECKING:
    from qmtl_world.evaluation.policy import CompiledPolicy


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """Hold what one strategy's own rules found; ``score`` is None where it has no finite value."""

    candidate: Candidate
    status: Status
    score: float | None
    rules: tuple[RuleOutcome, ...]

    @property
    def selectable(self) -> bool:
        """Tell whether the strategy may compete for a place."""
        candidate = self.candidate
        return self.status is Status.VALID and candidate.has_target and not candidate.blockers

    @property
    def order(self) -> tuple[float, str]:
        """Return the key that ranks: the better score first, ties by id."""
        return (-self.score if self.score is not None else float("inf"), self.candidate.strategy_id)


def assess(candidate: Candidate, policy: CompiledPolicy) -> Assessment:
    """Return the outcomes of every rule that concerns one strategy alone, in the order of a decision."""
    facts, rules = candidate.facts, policy.policy
    proofs = _judge_proof(candidate.proof, candidate.has_target)
    outcomes = [*_judge_data(facts.data, rules.data), *_judge_sample(facts.sample, rules.sample), *proofs]
    for gate in policy.gates:
        outcomes += gate.judge(facts)
    score = policy.score.compute(facts)
    if isinstance(score, RuleOutcome):
        outcomes.append(score)
    else:
        outcomes.append(RuleOutcome(SCORE_RULE, True, score, None, f"score: {policy.score.text} = {score:g}"))
    status = _status(proofs, outcomes)
    if not candidate.has_target:
        message = "no_target: states returns only, so there is nothing to hold; state targets or a signal"
        outcomes.append(RuleOutcome(NO_TARGET_RULE, False, None, None, message))
    outcomes += candidate.blockers
    return Assessment(candidate, status, None if isinstance(score, RuleOutcome) else score, tuple(outcomes))


def judge_exposure(candidate: Candidate, rules: ConstraintRules) -> list[RuleOutcome]:
    """Return the outcomes of the limits on a strategy's own exposure that the policy states."""
    risk = candidate.facts.risk
    limits = (
        ("max_gross", "risk.max_gross", risk.max_gross, rules.max_gross),
        ("max_abs_net", "risk.max_abs_net", risk.max_abs_net, rules.max_abs_net),
        ("max_symbol_weight", "risk.max_weight", risk.max_weight, rules.max_symbol_weight),
    )
    return [
        at_most(f"constraints.{name}", subject, value, limit)
        for name, subject, value, limit in limits
        if limit is not None
    ]


def at_most(rule: str, subject: str, value: float, limit: float) -> RuleOutcome:
    """Return the outcome of a limit from above; NaN fails."""
    return RuleOutcome(rule, value <= limit, value, limit, f"{rule}: {subject} = {value:g}, needs <= {limit:g}")


def at_least(rule: str, subject: str, value: float, limit: float) -> RuleOutcome:
    """Return the outcome of a limit from below; NaN fails."""
    return RuleOutcome(rule, value >= limit, value, limit, f"{rule}: {subject} = {value:g}, needs >= {limit:g}")


def _judge_data(data: DataFacts, rules: DataRules) -> list[RuleOutcome]:
    outcomes = []
    if rules.max_behind_days is not None:
        outcomes.append(
            at_most("data.max_behind_days", "data.behind_days", data.behind_days, rules.max_behind_days),
        )
    if rules.max_age_days is not None:
        outcomes.append(at_most("data.max_age_days", "data.age_days", data.age_days, rules.max_age_days))
    return [*outcomes, at_least("data.min_coverage", "data.coverage", data.coverage, rules.min_coverage)]


def _judge_sample(sample: SampleFacts, rules: SampleRules) -> list[RuleOutcome]:
    outcomes = [at_least("sample.min_bars", "sample.bars", sample.bars, rules.min_bars)]
    if rules.min_trades:
        outcomes.append(at_least("sample.min_trades", "sample.trades", sample.trades, rules.min_trades))
    return outcomes


def _judge_proof(proof: Proof, has_target: bool) -> list[RuleOutcome]:
    if proof.state is ProofState.PROVEN or (proof.state is ProofState.MISSING and not has_target):
        return []  # returns alone have no node to prove; they are never activated
    rule = proof.state.value
    if proof.state is ProofState.MISSING:
        message = f"{rule}: the look-ahead and warm-up proofs are missing; submit through the Runner, which makes them"
    else:
        message = (
            f"{rule}: {proof.finding or 'the proofs found a node whose value depends on other bars than it states'}"
        )
    return [RuleOutcome(rule, False, None, None, message)]


def _status(proofs: list[RuleOutcome], outcomes: list[RuleOutcome]) -> Status:
    if proofs:
        return Status.REJECTED
    return Status.VALID if all(outcome.passed for outcome in outcomes) else Status.INVALID
