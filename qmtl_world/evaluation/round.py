"""A round over strategies of which some have a version in force and a newer one: who stands for whom, and the decision.

Submitting a strategy again makes a new version, which replaces the old one only in a switch: as long as the new one may
not be selected, the version in force goes on standing for the strategy. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from qmtl_world.apply.model import RunTerms
from qmtl_world.evaluation.candidates import CROSS_CONTEXT_RULE, Present, to_candidate
from qmtl_world.evaluation.model import (
    Apply,
    Candidate,
    Cohort,
    ReturnSeries,
    RoundDecision,
    RoundState,
    RuleOutcome,
    Side,
    Status,
    StrategyState,
)
from qmtl_world.evaluation.records import Contender, ContenderRecord
from qmtl_world.evaluation.shelf import Missing, Series, shelf

if TYPE_CHECKING:
    from qmtl_world.evaluation.assessment import Assessment


@dataclass(frozen=True, slots=True, eq=False)
class RoundTask:
    """Hold all that a round is decided on but the returns; ``policy`` is YAML, ``as_of`` in UTC.

    ``guest`` is a version that another one stands for in the cohort, as of a newer snapshot, and is judged by itself.
    """

    as_of: datetime
    present: Present
    contenders: tuple[Contender, ...]
    guest: ContenderRecord | None
    policy: bytes
    previous: RoundState


@dataclass(frozen=True, slots=True)
class AssessedAlone:
    """Hold how a version that does not stand for its strategy fares by itself."""

    strategy_id: str
    status: Status
    side: Side
    score: float | None
    rules: tuple[RuleOutcome, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RoundResult:
    """Hold a round's decision. ``held_off`` names the strategies for which the version in force still stands.

    ``applies`` is False where the policy waits for an operator, or a cached result of another context was reported.
    ``terms`` are those of the policy that it was decided under.
    """

    decision: RoundDecision
    alone: tuple[AssessedAlone, ...]
    held_off: frozenset[str]
    applies: bool
    terms: RunTerms


def decide_round(task: RoundTask, sent: Series) -> RoundResult | Missing:
    """Decide a round; run in a worker process, which loads what it takes."""
    from qmtl_world.evaluation.assessment import assess
    from qmtl_world.evaluation.policy import compile_policy
    from qmtl_world.evaluation.selection import decide

    series = shelf().take((record.series_id for record in _records(task)), sent)
    if isinstance(series, Missing):
        return series
    policy = compile_policy(task.policy)

    def candidate(record: ContenderRecord) -> Candidate:
        return to_candidate(record, task.present, series[record.series_id])

    standing: list[Candidate] = []
    alone: list[AssessedAlone] = [] if task.guest is None else [_alone(assess(candidate(task.guest), policy))]
    held_off: set[str] = set()
    hits = False
    for contender in task.contenders:
        newest = candidate(contender.newest)
        hits = hits or any(blocker.rule == CROSS_CONTEXT_RULE for blocker in newest.blockers)
        if contender.incumbent is None or (found := assess(newest, policy)).selectable:
            standing.append(newest)
        else:
            standing.append(candidate(contender.incumbent))
            held_off.add(newest.strategy_id)
            alone.append(_alone(found))
    cohort = Cohort(task.as_of, task.present.spec.bars_per_year, tuple(standing))
    decision = decide(cohort, policy, task.previous)
    applies = policy.policy.apply is Apply.AUTO and not hits
    return RoundResult(decision, tuple(alone), frozenset(held_off), applies, policy.policy.runs)


def assess_alone(record: ContenderRecord, returns: ReturnSeries, present: Present, policy: bytes) -> AssessedAlone:
    """Assess a version by itself; run in a worker process."""
    from qmtl_world.evaluation.assessment import assess
    from qmtl_world.evaluation.policy import compile_policy

    return _alone(assess(to_candidate(record, present, returns), compile_policy(policy)))


def _records(task: RoundTask) -> Iterator[ContenderRecord]:
    if task.guest is not None:
        yield task.guest
    for contender in task.contenders:
        yield contender.newest
        if contender.incumbent is not None:
            yield contender.incumbent


def as_applied(decided: RoundState, active: frozenset[str]) -> RoundState:
    """Return a round's state as it was applied: a strategy that was chosen and not activated goes on waiting."""
    waited = {state.strategy_id: state.streak for state in decided.before}

    def states() -> Iterator[StrategyState]:
        for state in decided.after:
            if state.active and state.strategy_id not in active:
                yield StrategyState(state.strategy_id, False, waited.get(state.strategy_id, 0) + 1, 0)
            else:
                yield state

    return RoundState(decided.as_of, decided.before, tuple(states()))


def _alone(found: Assessment) -> AssessedAlone:
    candidate = found.candidate
    return AssessedAlone(candidate.strategy_id, found.status, candidate.side, found.score, found.rules)
