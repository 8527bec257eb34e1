"""A round over strategies of which some have a version in force and a newer one: who stands for whom, and the decision.

Submitting a strategy again makes a new version, which replaces the old one only in a switch: as long as the new one may
not be selected, the version in force goes on standing for the strategy. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from qmtl_world.evaluation.assessment import Assessment, assess
from qmtl_world.evaluation.model import Candidate, Cohort, RoundDecision, RoundState


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """Hold a strategy's newest evaluated version, and the one in force where it is another."""

    newest: Candidate
    incumbent: Candidate | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RoundTask:
    """Hold all that a round is decided on; ``policy`` is YAML, ``as_of`` in UTC."""

    as_of: datetime
    periods_per_year: float
    contenders: tuple[Contender, ...]
    policy: bytes
    previous: RoundState


@dataclass(frozen=True, slots=True, eq=False)
class RoundResult:
    """Hold a round's decision. ``held_off`` are the newest versions for which the one in force still stands."""

    decision: RoundDecision
    held_off: tuple[Assessment, ...]
    applies: bool


def decide_round(task: RoundTask) -> RoundResult:
    """Decide a round."""
    # Pydantic, CEL and NumPy: only where a round is decided, not in the service that passes it to a worker.
    from qmtl_world.evaluation.policy import compile_policy
    from qmtl_world.evaluation.selection import decide

    policy = compile_policy(task.policy)
    standing: list[Candidate] = []
    held_off: list[Assessment] = []
    for contender in task.contenders:
        newest = assess(contender.newest, policy)
        if contender.incumbent is None or newest.selectable:
            standing.append(contender.newest)
        else:
            standing.append(contender.incumbent)
            held_off.append(newest)
    cohort = Cohort(task.as_of, task.periods_per_year, tuple(standing))
    decision = decide(cohort, policy, task.previous)
    return RoundResult(decision, tuple(held_off), policy.policy.apply == "auto")
