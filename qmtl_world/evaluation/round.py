"""A round over strategies of which some have a version in force and a newer one: who stands for whom, and the decision.

Submitting a strategy again makes a new version, which replaces the old one only in a switch: as long as the new one may
not be selected, the version in force goes on standing for the strategy. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from qmtl_world.evaluation.model import Apply, Candidate, Cohort, RoundDecision, RoundState, RuleOutcome, StrategyState

if TYPE_CHECKING:
    from qmtl_world.evaluation.assessment import Assessment


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """Hold a strategy's newest version that may be promoted, and the one in force where it is another."""

    newest: Candidate
    incumbent: Candidate | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RoundTask:
    """Hold all that a round is decided on; ``policy`` is YAML, ``as_of`` in UTC.

    ``guest`` is a version that does not compete (of a sweep, or downgraded) and is judged by itself.
    """

    as_of: datetime
    periods_per_year: float
    contenders: tuple[Contender, ...]
    guest: Candidate | None
    policy: bytes
    previous: RoundState


@dataclass(frozen=True, slots=True)
class AssessedAlone:
    """Hold how a version that does not stand for its strategy fares by itself."""

    strategy_id: str
    status: str
    side: str
    score: float | None
    rules: tuple[RuleOutcome, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RoundResult:
    """Hold a round's decision. ``held_off`` names the strategies for which the version in force still stands."""

    decision: RoundDecision
    alone: tuple[AssessedAlone, ...]
    held_off: frozenset[str]
    applies: bool


def decide_round(task: RoundTask) -> RoundResult:
    """Decide a round; run in a worker process, which loads what it takes."""
    from qmtl_world.evaluation.assessment import assess
    from qmtl_world.evaluation.policy import compile_policy
    from qmtl_world.evaluation.selection import decide

    policy = compile_policy(task.policy)
    standing: list[Candidate] = []
    alone: list[AssessedAlone] = []
    held_off: set[str] = set()
    if task.guest is not None:
        alone.append(_alone(assess(task.guest, policy)))
    for contender in task.contenders:
        newest = assess(contender.newest, policy)
        if contender.incumbent is None or newest.selectable:
            standing.append(contender.newest)
        else:
            standing.append(contender.incumbent)
            held_off.add(contender.newest.strategy_id)
            alone.append(_alone(newest))
    cohort = Cohort(task.as_of, task.periods_per_year, tuple(standing))
    decision = decide(cohort, policy, task.previous)
    return RoundResult(decision, tuple(alone), frozenset(held_off), policy.policy.apply is Apply.AUTO)


def as_applied(decided: RoundState, before: RoundState, active: frozenset[str]) -> RoundState:
    """Return a round's state as it was applied: a strategy that was chosen and not activated goes on waiting."""
    waited = {state.strategy_id: state.streak for state in before.after}

    def states() -> Iterator[StrategyState]:
        for state in decided.after:
            if state.active and state.strategy_id not in active:
                yield StrategyState(state.strategy_id, False, waited.get(state.strategy_id, 0) + 1, 0)
            else:
                yield state

    return RoundState(decided.as_of, decided.before, tuple(states()))


def _alone(found: Assessment) -> AssessedAlone:
    candidate = found.candidate
    return AssessedAlone(candidate.strategy_id, found.status.value, candidate.side.value, found.score, found.rules)
